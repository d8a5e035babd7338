"""One table per party; `test_hearing` and `test_providers` run them all.

A new party is one more table: how it signs, what its messages mean, and, if it moves money, which
intents it writes and what its answers mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amends.core.effects import Intent
from amends.core.facts import Addressed
from amends.gateways.spec import Failure, Hearing, Provider, Response, Settings
from amends.kernel.outcome import Outcome

NOW_SECONDS = 1_790_000_000
NOW = NOW_SECONDS * 1_000_000


def dumps(value: Any) -> bytes:
    """Compact JSON, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Heard:
    """A message, and the facts it must give."""

    name: str
    body: Any
    facts: tuple[Addressed, ...]


@dataclass(frozen=True)
class Asked:
    """An intent, an answer to it, and the outcome it must give."""

    name: str
    intent: Intent
    result: Response | Failure
    outcome: Outcome


@dataclass(frozen=True)
class Table:
    """Everything the shared suites need to know of one party that sends webhooks.

    `sign(raw, secret, seconds)` gives the headers of a genuine message. `vectors` and `payloads`
    are files of the reference material.
    """

    gateway: Hearing
    settings: Settings
    secret: str
    other_secret: str
    sign: Callable[[bytes, str, int], dict[str, str]]
    vectors: str
    payloads: str
    heard: tuple[Heard, ...]
    unreadable: tuple[tuple[str, bytes, str], ...]  # name, body, what the sentence mentions


@dataclass(frozen=True)
class MoneyTable:
    """Everything the shared suites need to know of one party that moves money."""

    gateway: Provider
    settings: Settings
    intents: dict[str, Intent]
    asked: tuple[Asked, ...]
    openapi: tuple[str, ...]
    base_path: str  # of the default host
    live: tuple[tuple[str, bool | None], ...]  # a credential, what it tells
    credential: str  # which setting `live` reads
    secrets: tuple[str, ...]  # texts that must not survive `scrub`
    harmless: tuple[str, ...] = field(default=())  # texts that must
