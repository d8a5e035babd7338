"""Events: what was recorded, past tense. The list of events of an order is its audit trail.

Each links to the one before by hash. Bodies hold ids, amounts and codes, never personal data.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from amends.kernel.canon import canonical, chain
from amends.kernel.time import Instant

EventType = Literal[
    "order.recorded",
    "order.updated",
    "order.cancelled",
    "order.parked",
    "order.unparked",
    "refund.requested",
    "refund.case",
    "refund.refused",
    "refund.approved",
    "refund.declined",
    "refund.canceled",
    "refund.retried",
    "refund.paid_outside",
    "refund.adopted",
    "refund.reallocated",
    "refund.superseded",
    "refund.overdue",
    "leg.sending",
    "leg.looking",
    "leg.moved",
    "leg.news",
    "payment.updated",
    "dispute.updated",
    "fraud.warned",
    "lines.unavailable",
    "lines.cancelled",
    "return.authorized",
    "return.shipped",
    "return.received",
    "return.inspected",
    "return.cancelled",
    "shop.refunded",
    "exception.raised",
    "ledger.written_off",
    "ledger.reversed",
    "key.created",
    "key.revoked",
    "setting.changed",
    "policy.published",
    "policy.drafted",
    "policy.dropped",
    "stop.set",
    "stop.lifted",
    "model.added",
    "period.closed",
    "delivery.retried",
    "delivery.dropped",
    "delivery.replayed",
    "user.added",
    "user.changed",
    "sign_in.done",
    "sign_in.failed",
    "sign_out.done",
]


class Event(msgspec.Struct, frozen=True):
    """One link of a chain.

    `stream` is an order id or `system:*`; `seq` counts from 1 without gaps. `fact` is the id of the
    fact that led to it, `ctx` the hash of everything else the decision saw, `entries` the hashes of
    the journal entries booked with it. `body` says who, why and with which provider references.
    """

    stream: str
    seq: int
    at: Instant
    type: EventType
    actor: str
    fact: str
    ctx: str
    body: dict[str, Any]
    entries: tuple[str, ...]
    previous: str
    hash: str


def link(
    stream: str,
    seq: int,
    previous: str,
    at: Instant,
    type_: EventType,
    actor: str,
    fact: str,
    ctx: str,
    body: dict[str, Any],
    entries: tuple[str, ...] = (),
) -> Event:
    """The event that follows `previous`, with its hash."""
    return Event(
        stream,
        seq,
        at,
        type_,
        actor,
        fact,
        ctx,
        body,
        entries,
        previous,
        chain(previous, sealed(stream, seq, at, type_, actor, fact, ctx, body, entries)),
    )


def sealed(
    stream: str,
    seq: int,
    at: Instant,
    type_: str,
    actor: str,
    fact: str,
    ctx: str,
    body: dict[str, Any],
    entries: tuple[str, ...],
) -> bytes:
    """The canonical bytes an event's hash covers (with the previous hash before them)."""
    return canonical([stream, seq, at, type_, actor, fact, ctx, body, entries])
