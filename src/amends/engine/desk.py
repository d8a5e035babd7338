"""What the console shows: pages put together of rows, as plain values. It decides nothing.

Every figure is of a bounded number of rows, and says of how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from amends.core.history import UNKNOWN, History
from amends.core.order import FAILED, Order, Refund, amount_succeeded, partly_failed, shown_state
from amends.core.reasons import Reason, Refused
from amends.engine import endpoints, queries, tellings
from amends.engine.audit import Report, verify
from amends.engine.views import event_view, order_view, refund_view
from amends.engine.wiring import Engine
from amends.gateways.registry import CAPABILITIES
from amends.kernel.time import DAY, Instant
from amends.store.outbox_spec import Lane
from amends.store.pages_spec import DayRow

DAYS = 30  # of the overview
DISPUTE_DAYS = 90  # a dispute comes weeks after its order
REFUNDS_MOST, TIMED_MOST, ORDERS_MOST = 50_000, 2_000, 5_000
SHOWN = 25  # rows of a page
EVENTS_MOST = 500  # of one order; the rest is on its audit page
NO_FILTERS: Mapping[str, str] = {}


class Day(msgspec.Struct, frozen=True):
    """One day of the overview in one currency; `at` is its first instant."""

    at: Instant
    count: int
    amount: int
    succeeded: int


class Overview(msgspec.Struct, frozen=True):
    """The figures of the first page; a share is (part, whole), None where nothing is known."""

    currency: str
    currencies: tuple[str, ...]
    days: tuple[Day, ...]
    refunds: int
    amount: int
    succeeded: int
    failed: int
    cut: bool  # there are more than were looked at
    p50: int | None  # microseconds from request to payment
    p99: int | None
    timed: int
    by_itself: tuple[int, int] | None
    disputed: tuple[int, int] | None
    review: int
    unknown: int
    parked: int
    unmatched: int


async def overview(engine: Engine, currency: str = "") -> Overview:
    """The last 30 days, UTC, in one currency: the books' own if there are refunds in it."""
    now, store = engine.clock.now(), engine.store
    today = now // DAY
    since = (today - DAYS + 1) * DAY
    found = await store.refund_days(since, REFUNDS_MOST)
    times = await store.refund_times(since, TIMED_MOST)
    outcomes = await store.outcomes(since, REFUNDS_MOST)
    orders, disputes = await store.disputed(now - DISPUTE_DAYS * DAY, ORDERS_MOST)
    counts = await store.counts(now)
    currencies = _currencies(found)
    books = engine.config.ledger.functional_currency
    if currency not in currencies:
        currency = books if books in currencies or not currencies else currencies[0]
    rows = [row for row in found if row.currency == currency]
    judged = sum(outcomes.values())
    return Overview(
        currency=currency,
        currencies=currencies,
        days=_days(rows, today),
        refunds=sum(row.count for row in rows),
        amount=sum(row.amount for row in rows),
        succeeded=sum(row.succeeded for row in rows),
        failed=sum(row.count for row in rows if row.state == "failed"),
        cut=sum(row.count for row in found) >= REFUNDS_MOST,
        p50=percentile(times, 50),
        p99=percentile(times, 99),
        timed=len(times),
        by_itself=(outcomes.get("approve", 0), judged) if judged else None,
        disputed=(disputes, orders) if orders else None,
        review=counts["refunds_review"],
        unknown=counts["refunds_unknown"],
        parked=counts["orders_parked"],
        unmatched=counts["inbox_unmatched"],
    )


def _currencies(rows: list[DayRow]) -> tuple[str, ...]:
    """Those there are, with the most refunds first."""
    counted: dict[str, int] = {}
    for row in rows:
        counted[row.currency] = counted.get(row.currency, 0) + row.count
    return tuple(sorted(counted, key=lambda code: (-counted[code], code)))


def _days(rows: list[DayRow], today: int) -> tuple[Day, ...]:
    made = []
    for day in range(today - DAYS + 1, today + 1):
        of_day = [row for row in rows if row.day == day]
        made.append(
            Day(
                day * DAY,
                sum(row.count for row in of_day),
                sum(row.amount for row in of_day),
                sum(row.succeeded for row in of_day),
            )
        )
    return tuple(made)


def percentile(ascending: list[int], of_100: int) -> int | None:
    """The smallest value that so many of a hundred do not exceed; None of nothing."""
    if not ascending:
        return None
    return ascending[(len(ascending) * of_100 + 99) // 100 - 1]


# -- one refund, one order ---------------------------------------------------------------------


class Act(msgspec.Struct, frozen=True):
    """Something that can be tried now: the engine decides whether it may be done."""

    name: str
    role: str
    label: str
    will: str  # what it will do, in a sentence
    tone: Literal["good", "bad", "plain"] = "plain"
    fields: tuple[Literal["reference", "way", "consent"], ...] = ()
    asks: tuple[Literal["approve", "decline"], ...] = ()  # for a reason of which list


ORDERS = 20  # of a customer that are looked at
OTHERS = 8  # refunds of other orders that are told beside one


class RefundPage(msgspec.Struct, frozen=True):
    """A refund with everything around it. `view`s are as in the API, scores in 1/10,000."""

    order: Order
    refund: Refund
    view: dict[str, Any]
    score_bp: int
    acts: tuple[Act, ...]
    timeline: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    notes: list[str]
    customer: dict[str, str] | None
    past: History
    others: tuple[Other, ...]
    told: list[dict[str, Any]]


async def refund_page(engine: Engine, refund_id: str) -> RefundPage:
    """Raises Refused(UNKNOWN_REFUND)."""
    store = engine.store
    order_id = await store.refund_order(refund_id)
    order = await store.order(order_id) if order_id else None
    refund = order.refund(refund_id) if order else None
    if order is None or refund is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    entries = await store.entries({"refund": refund_id}, "", queries.PAGE_MAX)
    notes = await store.notes(order.id)
    return RefundPage(
        order=order,
        refund=refund,
        view=refund_view(order, refund),
        score_bp=refund.verdict.score_bp if refund.verdict else 0,
        acts=acts_of(order, refund),
        timeline=await queries.timeline(engine, refund_id),
        entries=entries.items,
        notes=[note.text for note in notes if note.id == refund.note],
        customer=await _person(engine, order),
        past=await _past(engine, order),
        others=tuple(o for o in await _refunds_of(engine, order) if o.order != order.id)[:OTHERS],
        told=await _told(engine, order.id),
    )


async def _told(engine: Engine, order_id: str) -> list[dict[str, Any]]:
    """The newest of what others are told of an order."""
    found: list[dict[str, Any]]
    found = (await tellings.page(engine, {"order": order_id}, "", SHOWN))["items"]
    return found


class Other(msgspec.Struct, frozen=True):
    """Another refund of the same customer."""

    order: str
    number: str  # the shop's
    refund: Refund
    currency: str


async def _refunds_of(engine: Engine, order: Order) -> list[Other]:
    """What was asked back of the customer's newest orders, newest first."""
    if not order.customer:
        return []
    found = await engine.store.customer_orders(order.entity, order.customer, ORDERS)
    others = [Other(o.id, o.source.order_id, r, o.currency) for o in found for r in o.refunds]
    return sorted(others, key=lambda other: other.refund.created_at, reverse=True)


async def _person(engine: Engine, order: Order) -> dict[str, str] | None:
    if not order.customer:
        return None
    found = await engine.store.person(order.entity, order.customer)
    person = {"id": order.customer, "entity": order.entity, "country": order.country}
    if found:
        person |= {"name": found.name, "email": found.email, "country": found.country}
    return person


async def _past(engine: Engine, order: Order) -> History:
    if not order.customer:
        return UNKNOWN
    today = engine.clock.now() // DAY
    return await engine.store.customer_history(order.entity, order.customer, today)


def acts_of(order: Order, refund: Refund) -> tuple[Act, ...]:
    """What a person can try with a refund as it is, most wanted first. `money` in the sentences is
    put in by whoever shows them."""
    if order.parked or refund.external:
        return ()
    state = shown_state(refund)
    by_hand = any(leg.kind == "manual" for leg in refund.legs if not leg.replaced)
    if refund.stage == "review":
        return (_PAYOUT if by_hand else _approve(refund), _DECLINE, _CANCEL)
    if refund.stage == "held":
        return (_PAYOUT, _CANCEL)
    if state == "failed":
        released = any(leg.kind == "void" and leg.state in FAILED for leg in refund.legs)
        owed = refund.claimed or partly_failed(refund)
        return (_RETRY, *(() if released else (_PAYOUT,)), *((_GIVE_UP,) if owed else ()))
    waits = all(leg.state in ("planned", "sending") and not leg.attempts for leg in refund.legs)
    return (_CANCEL,) if waits and refund.legs and state == "sending" else ()


def _approve(refund: Refund) -> Act:
    """What approving it will do, where that is not that money leaves at once."""
    legs = [leg for leg in refund.legs if not leg.replaced]
    instead = [leg.destination == "store_credit" for leg in legs]
    if refund.small:
        will = "It is less than is sent by itself: it is owed from then on, and leaves with others."
    elif legs and all(instead):
        will = "It is given as store credit at once; no money leaves. It cannot be called back."
    elif any(instead):
        will = f"{_APPROVE.will} A part of it is given as store credit, as is shown."
    elif legs and all(leg.kind == "void" for leg in legs):
        will = "What was authorized is released at once; it was not paid yet."
    else:
        return _APPROVE
    return msgspec.structs.replace(_APPROVE, will=will)


_APPROVE = Act(
    *("approve", "reviewer", "Approve {money}"),
    "The money leaves at once, to where the order was paid from. It cannot be called back.",
    "good",
    asks=("approve",),
)
_DECLINE = Act(
    *("decline", "reviewer", "Decline"),
    "Nothing is paid. What was set aside for it is free again, and the customer can be refunded "
    "by a new request.",
    "bad",
    asks=("decline",),
)
_CANCEL = Act(
    *("cancel", "agent", "Cancel"),
    "Takes the request back before anything leaves. Nothing is paid.",
)
_GIVE_UP = Act(
    *("cancel", "agent", "Give up what failed"),
    "What failed is not owed any more: the claim ends on the books. What was paid stays paid.",
    "bad",
)
_RETRY = Act(
    *("retry", "agent", "Try again"),
    "Sends what failed once more, as a new attempt. What was paid is not paid twice.",
)
_PAYOUT = Act(
    *("payout", "reviewer", "Record a payment by hand"),
    "Says that you paid the customer {money} outside of every provider. Nothing is sent; the books "
    "show the payment under its reference.",
    fields=("reference", "way", "consent"),
)


class OrderPage(msgspec.Struct, frozen=True):
    """An order with everything around it."""

    order: Order
    view: dict[str, Any]
    timeline: list[dict[str, Any]]
    more_events: bool
    entries: list[dict[str, Any]]
    more_entries: bool
    customer: dict[str, str] | None
    paid_back: int
    told: list[dict[str, Any]]


async def order_page(engine: Engine, order_id: str) -> OrderPage:
    """Raises Refused(UNKNOWN_ORDER)."""
    order = await engine.store.order(order_id)
    if order is None:
        raise Refused(Reason.UNKNOWN_ORDER)
    events = await engine.store.events(order.id, "", EVENTS_MOST + 1)
    entries = await engine.store.entries({"order": order.id}, "", queries.PAGE_MAX)
    return OrderPage(
        order=order,
        view=order_view(order),
        timeline=[event_view(event) for event in events[:EVENTS_MOST]],
        more_events=len(events) > EVENTS_MOST,
        entries=entries.items,
        more_entries=bool(entries.next),
        customer=await _person(engine, order),
        paid_back=sum(amount_succeeded(refund) for refund in order.refunds),
        told=await _told(engine, order.id),
    )


# -- lists -------------------------------------------------------------------------------------


class Waiting(msgspec.Struct, frozen=True):
    """A refund in the queue of reviews."""

    id: str
    order: str
    shop_order: str
    amount: int
    currency: str
    reason: str
    requested_by: str
    created_at: Instant
    decide_by: Instant
    score_bp: int
    rule: str
    by_hand: bool
    shown: str
    assignee: str
    snoozed_until: Instant
    escalated: str
    awaits: bool
    asked: bool


async def queue(
    engine: Engine, cursor: str, filters: Mapping[str, str] = NO_FILTERS, goods: bool = False
) -> tuple[list[Waiting], str]:
    """Refunds that wait for a person, the soonest due first, and the cursor of the next page;
    `goods`: of the next 200 those that wait for goods. Raises ValueError for a cursor of another
    list."""
    limit = queries.PAGE_MAX if goods else SHOWN
    page = await engine.store.reviews(filters, cursor, limit, engine.clock.now())
    orders = await engine.store.orders_of([item["order"] for item in page.items])
    found = []
    for item in page.items:
        order = orders.get(item["order"])
        refund = order.refund(item["refund"]) if order else None
        if order is not None and refund is not None and (refund.awaits or not goods):
            found.append(_waiting(item, order, refund))
    return found, page.next


def _waiting(item: dict[str, Any], order: Order, refund: Refund) -> Waiting:
    return Waiting(
        id=refund.id,
        order=order.id,
        shop_order=order.source.order_id,
        requested_by=refund.requested_by,
        decide_by=item["due"],
        by_hand=any(leg.kind == "manual" for leg in refund.legs),
        shown=refund.shown,
        awaits=refund.awaits,
        **{name: item[name] for name in _OF_ROW},
    )


_OF_ROW = (
    *("amount", "currency", "reason", "created_at", "score_bp", "rule"),
    *("assignee", "snoozed_until", "escalated", "asked"),
)


class Link(msgspec.Struct, frozen=True):
    """One connection's health, as rows and this process know it."""

    name: str
    gateway: str
    provider: bool
    entity: str
    last_message: Instant
    messages: int
    waiting: int
    last_answer: Instant
    outcomes: tuple[tuple[str, int], ...]
    in_flight: int
    concurrency: int
    rate: int
    held_back: bool  # its breaker is open
    told: Lane | None  # where it is told anything
    disabled: str  # why nothing is sent to a subscriber, "" if it is


async def connections(engine: Engine) -> list[Link]:
    """Every configured connection."""
    heard = {one.connection: one for one in await engine.store.heard()}
    lanes = {lane.connection: lane for lane in await tellings.lanes(engine)}
    disabled = await endpoints.disabled(engine.store)
    made = []
    for name, connection in sorted(engine.connections.items()):
        news, limit = heard.get(name), engine.limits.get(name)
        counted = engine.deliverer.outcomes.items()
        made.append(
            Link(
                *(name, connection.settings.gateway),
                CAPABILITIES[connection.settings.gateway].provider,
                connection.entity,
                *((news.last_at, news.messages, news.waiting) if news else (0, 0, 0)),
                engine.deliverer.answered_at.get(name, 0),
                tuple(sorted((what, n) for (whose, what), n in counted if whose == name)),
                *((limit.in_flight, limit.concurrency, limit.rate) if limit else (0, 0, 0)),
                limit is not None and limit.open,
                lanes.get(name),
                disabled[name].why if name in disabled else "",
            )
        )
    return made


async def recent(engine: Engine, stream: str, before: int) -> tuple[list[dict[str, Any]], int]:
    """Events of a stream, newest first, and the number to go on before (0: that was all)."""
    found = await engine.store.recent_events(stream, before, SHOWN + 1)
    views = [event_view(event) for event in found[:SHOWN]]
    return views, found[SHOWN - 1].seq if len(found) > SHOWN else 0


async def prove(engine: Engine) -> Report:
    """`amends audit verify`: everything, recomputed."""
    return await verify(engine.store, engine.config.audit_dir)


class Customer(msgspec.Struct, frozen=True):
    """What is known of a customer."""

    person: dict[str, str]
    past: History
    orders: tuple[Order, ...]  # the newest


async def customer(engine: Engine, entity: str, customer_id: str) -> Customer:
    """Raises Refused(NOT_FOUND) where nothing is known."""
    past = await engine.store.customer_history(entity, customer_id, engine.clock.now() // DAY)
    found = await engine.store.person(entity, customer_id)
    if found is None and not past.first_day:
        raise Refused(Reason.NOT_FOUND, "Nothing is known of this customer.")
    person = {"id": customer_id, "entity": entity, "name": "", "email": "", "country": ""}
    if found:
        person |= {"name": found.name, "email": found.email, "country": found.country}
    orders = await engine.store.customer_orders(entity, customer_id, ORDERS)
    return Customer(person, past, tuple(orders))
