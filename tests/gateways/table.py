"""One table per party; `test_hearing` and `test_providers` run them all.

A new party is one more table: how it signs, what its messages mean, and, if it moves money, which
intents it writes and what its answers mean.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amends.core.effects import CancelIntent, CaptureRestIntent, Intent, RefundIntent
from amends.core.facts import Addressed
from amends.gateways.spec import (
    Failure,
    Genuine,
    Hearing,
    NotGenuine,
    Provider,
    Request,
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
    event: str = ""  # what its sender calls it, where that is in the headers


@dataclass(frozen=True)
class Asked:
    """An intent, an answer to it, and the outcome it must give."""

    name: str
    intent: Intent
    result: Response | Failure
    outcome: Outcome


def first_intents(
    connection: str, payment: str, authorization: str = ""
) -> tuple[RefundIntent, CancelIntent, CaptureRestIntent]:
    """What every party that moves money is asked: a refund of a payment, the end of an
    authorization (the payment itself unless it has an id of its own), a capture of its rest."""
    at: Any = {"connection": connection, "currency": "EUR", "order": "ord_01", "epoch": 1}
    refund = RefundIntent(
        **at,
        psp_payment_id=payment,
        key="leg_01-1",
        amount=3200,
        refund="rf_01",
        leg="leg_01",
        reason="return",
    )
    at["psp_payment_id"] = authorization or payment
    cancel = CancelIntent(**at, key="leg_02-1", refund="rf_02", leg="leg_02", reason="out_of_stock")
    rest = CaptureRestIntent(**at, key="leg_03-1", amount=7000, refund="rf_03", leg="leg_03")
    return refund, cancel, rest


Verify = Callable[[bytes, Mapping[str, str], tuple[str, ...], int], Genuine | NotGenuine]


def judge(verify: Verify, case: Any, secrets: Iterable[str]) -> Genuine | NotGenuine:
    """The verdict on one case of a file of signature vectors."""
    raw = base64.b64decode(case["body_b64"])
    headers = {name.lower(): value for name, value in case["headers"].items()}
    return verify(raw, headers, tuple(secrets), case["now"] * 1_000_000)


@dataclass(frozen=True)
class Table:
    """Everything the shared suites need to know of one party that sends webhooks.

    `sign(raw, secret, seconds)` gives the headers of a genuine message. `vectors` and `payloads`
    name files of the reference material, if it has any of this party. `verify` is the gateway's,
    with whatever else it needs; `judge(vectors, case)` its verdict on one case of that file.
    `seal`: the party signs inside the body of what it tells of payments; this is the body with its
    signature in it.
    """

    gateway: Hearing
    settings: Settings
    secret: str
    other_secret: str
    sign: Callable[[bytes, str, int], dict[str, str]]
    vectors: tuple[str, ...]
    payloads: tuple[str, ...]
    heard: tuple[Heard, ...]
    unreadable: tuple[tuple[str, bytes, str], ...]  # name, body, what the sentence mentions
    verify: Verify
    judge: Callable[[Any, Any], Genuine | NotGenuine]
    moves: tuple[str, ...] = ()  # how the types of `payloads` begin that have facts
    type_of: Callable[[Any], str] = field(default=lambda body: str(body["type"]))
    seal: Callable[[Any, str], Any] | None = None
    ages: bool = True  # a message is refused when it is old
    timed: bool = True  # every message says when it was sent
    named: Callable[[str], dict[str, str]] | None = None  # the headers that name an event

    def headers(self, event: str = "") -> dict[str, str]:
        """Those of a genuine message, whatever its body."""
        named = self.named(event or "none") if self.named else {}
        return {**self.sign(b"{}", self.secret, NOW_SECONDS), **named}

    def genuine(self, body: Any) -> tuple[bytes, dict[str, str]]:
        """A message with this body as its sender would send it, and its headers."""
        if self.seal is not None:
            return dumps(self.seal(body, self.secret)), {}
        raw = dumps(body)
        return raw, self.sign(raw, self.secret, NOW_SECONDS)


@dataclass(frozen=True)
class Amounts:
    """How a party writes amounts. `worked`: currency, our minor units, and what `said` finds in the
    request for them. `echo` is the answer of a party that did what a refund's request asks."""

    refund: RefundIntent
    said: Callable[[Request], Any]
    echo: Callable[[RefundIntent, Request], Response]
    worked: tuple[tuple[str, int, Any], ...]
    unsayable: tuple[tuple[str, int], ...]  # currency, our minor units
    rest: CaptureRestIntent | None = None


@dataclass(frozen=True)
class MoneyTable:
    """Everything the shared suites need to know of one party that moves money."""

    gateway: Provider
    settings: Settings
    intents: dict[str, Intent]
    asked: tuple[Asked, ...]
    amounts: Amounts
    openapi: tuple[tuple[str, ...], ...]  # the files of each version
    base_path: str  # the default host, and what `base_url` replaces
    live: tuple[tuple[str, bool | None], ...]  # a setting's value, what it tells
    credential: str  # the setting that is secret
    secrets: tuple[str, ...]  # texts that must not survive `scrub`
    harmless: tuple[str, ...] = field(default=())  # texts that must
    mode: str = ""  # the setting `live` reads, if it is not the credential
    version_path: str = ""  # between the host and the paths of the OpenAPI documents
    key_header: str = "idempotency-key"
    words: tuple[str, ...] = ()  # what its answers say, for the fuzzer
