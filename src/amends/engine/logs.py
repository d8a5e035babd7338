"""Where log lines go, and what never gets into one: API keys, signing secrets, card numbers.

Lines go to standard error, so that a command's answer is alone on standard output. Tracebacks are
plain: the values of local variables, which a pretty one would print, hold credentials. The last
thing before a line is written is the scrubbing of every text in it, tracebacks included.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from amends.engine.config import Config
from amends.gateways.registry import PROVIDERS

BLANK = "[secret]"
SHORTEST = 6  # a shorter "secret" would blank ordinary words
_OURS = re.compile(r"\bamk_[A-Za-z0-9_-]{8,}")


class Scrub:
    """Blanks secrets: the configured ones by value, all others by how they look."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = sorted({s for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        return {key: self.value(value) for key, value in event.items()}

    def value(self, value: Any) -> Any:
        """The same value without secrets; what is not plain becomes text first."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {str(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        return self.text(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)

    def text(self, value: object) -> str:
        line = str(value)
        if self._known is not None:
            line = self._known.sub(BLANK, line)
        line = _OURS.sub(BLANK, line)
        for provider in PROVIDERS.values():
            line = provider.scrub(line)
        return line


def secrets_of(config: Config) -> list[str]:
    """Every secret the configuration resolved."""
    found: list[str] = []
    for connection in config.connections.values():
        settings = connection.settings
        provider = PROVIDERS.get(settings.gateway)
        names = provider.CAPABILITIES.secrets if provider else ()
        found += [settings.values[name] for name in names if name in settings.values]
        found += settings.webhook_secrets
    return found


def configure(config: Config | None = None, stream: TextIO | None = None) -> None:
    """Set logging up for this process; call it once, before anything is logged."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            Scrub(secrets_of(config) if config else ()),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
