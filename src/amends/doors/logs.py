"""Logs: one JSON object a line on standard error, with every secret taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from amends.gateways.registry import PROVIDERS

HIDDEN = "[secret]"
# Our keys, Stripe's keys and signing secrets, and whatever follows "Bearer".
_KNOWN = r"amk_[\w-]{8,}|[sr]k_(?:live|test)_\w{4,}|whsec_[\w+/=-]{4,}|(?<=Bearer )[^\s\"']+"
SECRET_MIN = 6  # characters; shorter values would take words out of sentences


def set_up(secrets: Iterable[str] = (), level: int = logging.INFO) -> None:
    """Send all logs of this process there, also those of libraries (warnings and up)."""
    scrub, stream = _scrubber(secrets), sys.stderr
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(
            # Without the local variables: they hold bodies, people and keys.
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(), scrub],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
                scrub,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


class _Lines:
    """Writes lines. Where standard error is gone (its reader ended, the disk is full), they are
    lost: a log that cannot be written must not stop a refund."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


def _scrubber(secrets: Iterable[str]) -> Processor:
    exact = [re.escape(text) for text in secrets if len(text) >= SECRET_MIN]
    pattern = re.compile("|".join([*sorted(exact, key=len, reverse=True), _KNOWN]))

    def scrub(logger: WrappedLogger, name: str, line: EventDict | str) -> str:
        clean = pattern.sub(HIDDEN, str(line))
        for provider in PROVIDERS.values():  # what only a gateway knows to be secret
            clean = provider.scrub(clean)
        return clean

    return scrub
