"""One table per party; `test_hearing` and `test_providers` run them all.

A new party is one more table: how it signs, what its messages mean, and, if it moves money, which
intents it writes and what its answers mean.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amends.core.effects import Intent
from amends.core.facts import Addressed
from amends.gateways.spec import (
    Failure,
    Genuine,
    Hearing,
    NotGenuine,
    Provider,
    Response,
    Settings,
)
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


Verify = Callable[[bytes, Mapping[str, str], tuple[str, ...], int], Genuine | NotGenuine]


def judge(verify: Verify, case: Any) -> Genuine | NotGenuine:
    """The verdict on one case of a file of signature vectors."""
    raw = base64.b64decode(case["body_b64"])
    headers = {name.lower(): value for name, value in case["headers"].items()}
    secrets = tuple(case["secrets"] if "secrets" in case else (case["webhook_id"],))
    return verify(raw, headers, secrets, case["now"] * 1_000_000)


@dataclass(frozen=True)
class Table:
    """Everything the shared suites need to know of one party that sends webhooks.

    `sign(raw, secret, seconds)` gives the headers of a genuine message. `vectors` and `payloads`
    are files of the reference material. `verify` is the gateway's, with whatever else it needs;
    `judge(vectors, case)` its verdict on one case of that file.
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
    verify: Verify
    judge: Callable[[Any, Any], Genuine | NotGenuine]
    moves: tuple[str, ...]  # how the types begin that have facts
    type_field: str = "type"
    ages: bool = True  # a message is refused when it is old


@dataclass(frozen=True)
class MoneyTable:
    """Everything the shared suites need to know of one party that moves money."""

    gateway: Provider
    settings: Settings
    intents: dict[str, Intent]
    asked: tuple[Asked, ...]
    openapi: tuple[tuple[str, ...], ...]  # the files of each version
    base_path: str  # of the default host
    live: tuple[tuple[str, bool | None], ...]  # a setting's value, what it tells
    credential: str  # the setting that is secret
    secrets: tuple[str, ...]  # texts that must not survive `scrub`
    harmless: tuple[str, ...] = field(default=())  # texts that must
    mode: str = ""  # the setting `live` reads, if it is not the credential
    key_header: str = "idempotency-key"
    words: tuple[str, ...] = ()  # what its answers say, for the fuzzer
