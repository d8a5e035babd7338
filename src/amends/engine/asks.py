"""What is handed to the turn, and what its caller is told after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from amends.core.facts import Addressed
from amends.core.order import Order
from amends.core.reasons import Refusal
from amends.store.spec import Answer, AnswerKey, Inbound, NoteText, Person, QuoteRow

decode_facts = msgspec.json.Decoder(tuple[Addressed, ...]).decode
encode_facts = msgspec.json.Encoder().encode


class Result(msgspec.Struct, frozen=True):
    """What became of one fact. `order` is its state after the fold (None: no such order).

    `refund` is the refund made or acted on; `created`: the order was new; `parked`: the fact was
    stored and waits for a person, `unmatched`: it waits for its order.
    """

    order: Order | None = None
    refund: str = ""
    refused: Refusal | None = None
    created: bool = False
    parked: bool = False
    unmatched: bool = False


class Rendered(msgspec.Struct, frozen=True):
    """An answer as bytes; `keep` False: a repeat is computed anew (not stored under the key)."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    keep: bool = True


class Told(msgspec.Struct, frozen=True):
    """What a caller is told. `answer` is set where a key was given: the first answer, `replayed`
    if it was given before, `mismatch` the field by which this body differs from the first."""

    results: tuple[Result, ...] = ()
    answer: Answer | None = None
    rendered: Rendered | None = None
    replayed: bool = False
    mismatch: str = ""
    duplicate: bool = False  # the message was in the inbox already


@dataclass(slots=True, eq=False)
class Ask:
    """One caller's facts. `render` makes the answer inside the turn, so that it is stored in the
    commit of the decision. `message` is the inbox row of a webhook. `patient`: kept while the
    database is away (a provider's answer must not be lost)."""

    facts: tuple[Addressed, ...]
    actor: str
    told: asyncio.Future[Told]
    key: AnswerKey | None = None
    body_hash: str = ""
    request: bytes = b""
    render: Callable[[Result], Rendered] | None = None
    message: Inbound | None = None
    patient: bool = False
    late: bool = False  # `message` was in the inbox, unmatched; fold it only if it still is
    folded: bool = False  # committed; whatever happens to the rest of its batch
    slot: str = ""  # connection whose start is reserved for this effect, "" for none
    people: tuple[Person, ...] = ()
    notes: tuple[NoteText, ...] = ()
    quotes: list[QuoteRow] = field(default_factory=list)

    def tell(self, told: Told) -> None:
        if not self.told.done():
            self.told.set_result(told)

    def fail(self, error: BaseException) -> None:
        if not self.told.done():
            self.told.set_exception(error)


def mismatch(first: bytes, now: bytes) -> str:
    """The first top-level field by which two canonical bodies differ, "" if they do not."""
    if first == now:
        return ""
    before, after = msgspec.json.decode(first), msgspec.json.decode(now)
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "body"
    names = sorted(set(before) | set(after))
    return next((name for name in names if before.get(name) != after.get(name)), "body")
