"""What subscribers are told: which events of the trail are published, with what, and to whom; and
how long an endpoint that does not answer is believed in.

A payload is `{"type", "timestamp", "version", "data"}`, and `data` is what the REST door shows of
the same thing, as it is after the decision: ids, amounts and codes, never who a customer is (I15).
Nothing is built that nobody subscribed to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zlib import crc32

import msgspec
from msgspec.structs import replace

from amends.core.decision import Decision
from amends.core.events import Event, EventType
from amends.core.order import Order, Refund, shown_state
from amends.core.outlets import Happened, Tell
from amends.core.published import PUBLISHED, VERSION, Published, kinds_asked_for, wants
from amends.engine.views import order_view, payment_view, refund_view, when
from amends.gateways.spec import Settings
from amends.kernel.outcome import Accepted, Declined, Outcome
from amends.kernel.time import Instant

Data = Callable[[Order, Event], dict[str, Any] | None]
Subscribers = Mapping[str, frozenset[Published]]  # by connection, what it wants

_ENDED = ("won", "lost", "closed")


def subscribers(settings: Mapping[str, Settings]) -> Subscribers:
    """What each connection that is a subscriber wants: all there is, unless it says."""
    return {
        name: frozenset(x for x in PUBLISHED if wants(one.lists.get("events", ("*",)), x))
        for name, one in settings.items()
        if one.gateway == "webhook"
    }


def kinds_told(settings: Settings) -> frozenset[str]:
    """The kinds of tellings a subscriber takes: events, and what else it asks for by name."""
    return kinds_asked_for(settings.lists.get("events", ())) | {"event"}


# -- what is published -----------------------------------------------------------------------------


def _order(order: Order, event: Event) -> dict[str, Any]:
    return order_view(order)


def _refund(order: Order, event: Event) -> dict[str, Any] | None:
    found = order.refund(str(event.body.get("refund", "")))
    return refund_view(order, found) if found else None


def _payment(order: Order, event: Event) -> dict[str, Any] | None:
    name = event.body.get("payment")
    return next((payment_view(order, p) for p in order.payments if p.id == name), None)


def _dispute(order: Order, event: Event) -> dict[str, Any]:
    told = {name: event.body.get(name) for name in ("payment", "amount", "currency", "status")}
    return {"id": event.body.get("dispute"), "order": order.id, **told}


def _plain(order: Order, event: Event) -> dict[str, Any]:
    return {"order": order.id, **event.body}


# One event of the trail, under one name. A refund's life is told by its state, see `_moved`.
TABLE: dict[EventType, tuple[Published, Data]] = {
    "order.recorded": ("order.recorded", _order),
    "order.updated": ("order.updated", _order),
    "order.cancelled": ("order.cancelled", _order),
    "order.parked": ("order.parked", _order),
    "order.unparked": ("order.unparked", _order),
    "refund.refused": ("refund.refused", _plain),
    "refund.superseded": ("refund.superseded", _refund),
    "refund.overdue": ("review.overdue", _refund),
    "refund.case": ("review.updated", _refund),
    "payment.updated": ("payment.updated", _payment),
    "dispute.updated": ("dispute.updated", _dispute),
    "fraud.warned": ("fraud.warned", _plain),
    "return.authorized": ("return.authorized", _plain),
    "return.shipped": ("return.shipped", _plain),
    "return.received": ("return.received", _plain),
    "return.inspected": ("return.inspected", _plain),
    "return.cancelled": ("return.cancelled", _plain),
    "lines.unavailable": ("lines.unavailable", _plain),
    "lines.cancelled": ("lines.cancelled", _plain),
    "exception.raised": ("exception.raised", _plain),
}
# Told by the state of the refund, or of nobody's concern outside.
UNTOLD: frozenset[EventType] = frozenset(
    (
        *("refund.requested", "refund.approved", "refund.declined", "refund.canceled"),
        *("refund.retried", "refund.paid_outside", "refund.adopted", "refund.reallocated"),
        *("leg.sending", "leg.looking", "leg.moved", "leg.news"),
        *("ledger.written_off", "ledger.reversed", "shop.refunded"),
    )
)
_STATES: dict[str, Published] = {
    "review": "review.opened",
    "awaiting_return": "refund.awaiting_return",
    "declined": "refund.declined",
    "held": "refund.held",
    "sending": "refund.sending",
    "unknown": "refund.unknown",
    "pending": "refund.pending",
    "requires_action": "refund.requires_action",
    "awaiting_funds": "refund.awaiting_funds",
    "succeeded": "refund.succeeded",
    "failed": "refund.failed",
    "canceled": "refund.canceled",
}


def published(
    before: Order | None, order: Order, events: tuple[Event, ...], wanted: frozenset[Published]
) -> Iterator[Happened]:
    """What of `events`, which led from `before` to `order`, subscribers want to know. Each has an
    id of its own, the same whenever the same events are decided again."""
    for event in events:
        if (row := TABLE.get(event.type)) is not None:
            name, data = row
            name = _dispute_name(before, event) if name == "dispute.updated" else name
            if name in wanted and (told := data(order, event)) is not None:
                yield _happened(order, event, name, str(event.seq), told)
    if events:
        known = {r.id: r for r in before.refunds} if before else {}
        for refund in order.refunds:
            was = known.get(refund.id)
            if was is not refund:
                yield from _moved(order, was, refund, events[-1], wanted)


def _dispute_name(before: Order | None, event: Event) -> Published:
    if event.body.get("status") in _ENDED:
        return "dispute.closed"
    known = before is not None and any(d.id == event.body.get("dispute") for d in before.disputes)
    return "dispute.updated" if known else "dispute.opened"


def _moved(
    order: Order, was: Refund | None, refund: Refund, last: Event, wanted: frozenset[Published]
) -> Iterator[Happened]:
    """A refund by what it came to. One that was approved at once is told as created, approved and
    sending."""
    names: list[Published] = []
    if was is None:
        names.append("refund.adopted" if refund.external else "refund.created")
    waited = was is None or was.stage == "review"
    if waited and refund.stage == "active" and not refund.external:
        names.append("refund.approved")
    state = shown_state(refund)
    if (was is None or shown_state(was) != state) and state in _STATES:
        names.append(_STATES[state])
    for name in names:
        if name in wanted:
            key = f"{last.seq}-{refund.id}-{name.partition('.')[2]}"
            yield _happened(order, last, name, key, refund_view(order, refund))


def _happened(
    order: Order, event: Event, name: Published, key: str, data: dict[str, Any]
) -> Happened:
    body = {"type": name, "timestamp": when(event.at), "version": VERSION, "data": data}
    return Happened(
        key=f"{order.id}-{key}",
        at=event.at,
        entity=order.entity,
        order=order.id,
        shop=order.source.connection,
        shop_order=order.source.order_id,
        type=name,
        body=msgspec.json.encode(body).decode(),
    )


def told(before: Order | None, decision: Decision, to: Subscribers) -> Decision:
    """The decision, with what each subscriber is told of it."""
    if not decision.events:
        return decision
    order, tells = decision.order, list(decision.tells)
    wanted: frozenset[Published] = frozenset().union(*to.values())
    number = order.told
    for happened in published(before, order, decision.events, wanted):
        for name, wishes in to.items():
            if happened.type in wishes:
                number += 1
                tells.append(Tell(order.id, number, name, happened))
    return replace(decision, order=replace(order, told=number), tells=tuple(tells))


# -- endpoints -------------------------------------------------------------------------------------


class Health(msgspec.Struct, frozen=True):
    """How an endpoint does: when it last took anything, since when it took nothing (0: it does),
    and when and why it was disabled (0 and "": it is not)."""

    connection: str
    took_at: Instant = 0
    failing_since: Instant = 0
    disabled_at: Instant = 0
    why: str = ""


def after(health: Health, outcome: Outcome, now: Instant, patience: int) -> Health:
    """How it does after one more try. Where `patience` is over, or it said that it is gone, it is
    disabled, which a person is to be told; what it refuses for the event's sake counts neither
    way, nor does anything while it is disabled."""
    if health.disabled_at:
        return health
    if isinstance(outcome, Accepted):
        return replace(health, took_at=now, failing_since=0)
    if isinstance(outcome, Declined):
        if outcome.code != "gone":
            return health
        return replace(health, disabled_at=now, why=outcome.text)
    since = health.failing_since or now
    health = replace(health, failing_since=since)
    if now - since < patience:
        return health
    return replace(health, disabled_at=now, why=f"Nothing arrived for long: {outcome.reason}.")


def enabled(health: Health) -> Health:
    """A person lets it be tried again, and its patience begins anew."""
    return replace(health, failing_since=0, disabled_at=0, why="")


def next_try(
    pauses: tuple[int, ...], tries: int, key: str, now: Instant, asked: int = 0
) -> Instant | None:
    """When to try again after so many tries; None: never, it is given up. Tries of different events
    are spread by up to a tenth of the pause, so that an endpoint that comes back is not met by all
    at once. `asked` is the pause that it asked for."""
    if tries > len(pauses):
        return None
    pause = pauses[tries - 1]
    spread = crc32(f"{key} {tries}".encode()) * (pause // 10) >> 32
    return now + max(pause + spread, asked)
