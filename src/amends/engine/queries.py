"""What a person or agent may see. Every door reads through these and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from amends.core.chart import called
from amends.core.reasons import Reason, Refused
from amends.engine.views import event_view, order_view, payment_view, refund_view
from amends.engine.wiring import Engine
from amends.kernel.time import Instant, rfc3339
from amends.store.records import Page

PAGE_MAX = 200


async def order(engine: Engine, order_id: str) -> dict[str, Any]:
    """One order with its payments and refunds. Raises Refused(UNKNOWN_ORDER)."""
    found = await engine.store.order(order_id)
    if found is None:
        raise Refused(Reason.UNKNOWN_ORDER)
    return order_view(found)


async def refund(engine: Engine, refund_id: str) -> dict[str, Any]:
    """One refund. Raises Refused(UNKNOWN_REFUND)."""
    order_id = await engine.store.refund_order(refund_id)
    found = await engine.store.order(order_id) if order_id else None
    one = found.refund(refund_id) if found else None
    if found is None or one is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    return refund_view(found, one)


async def payment(engine: Engine, payment_id: str) -> dict[str, Any]:
    """The exposure on one payment, by our id or the provider's. Raises Refused(UNKNOWN_PAYMENT)."""
    found = await engine.store.payment(payment_id)
    owner = await engine.store.order(found[0]) if found else None
    if found is None or owner is None:
        raise Refused(Reason.UNKNOWN_PAYMENT)
    return payment_view(owner, found[1])


async def timeline(engine: Engine, refund_id: str) -> list[dict[str, Any]]:
    """What happened to one refund, in order. Raises Refused(UNKNOWN_REFUND)."""
    order_id = await engine.store.refund_order(refund_id)
    if order_id is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    found = await engine.store.order(order_id)
    one = found.refund(refund_id) if found else None
    legs = {leg.id for leg in one.legs} if one else set()
    events = await _all_events(engine, order_id)
    return [
        event_view(event)
        for event in events
        if refund_id in (event.body.get("refund"), event.body.get("fallback_of"))
        or event.body.get("leg") in legs
    ]


async def _all_events(engine: Engine, stream: str) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while page := await engine.store.events(stream, cursor, 500):
        found += page
        cursor = str(page[-1].seq)
    return found


async def audit(engine: Engine, stream: str, cursor: str, limit: int) -> dict[str, Any]:
    """Events of one stream, oldest first: a page."""
    page = await engine.store.events(stream, cursor, min(limit, PAGE_MAX))
    more = len(page) == min(limit, PAGE_MAX)
    return {
        "items": [event_view(event) for event in page],
        "next": str(page[-1].seq) if more and page else None,
    }


async def balances(engine: Engine, at: Instant | None) -> dict[str, Any]:
    """`GET /v1/ledger/balances`; debit positive."""
    rows = await engine.store.balances(at)
    return {
        "at": rfc3339(at if at is not None else engine.clock.now()),
        "functional_currency": engine.config.ledger.functional_currency,
        "balances": [
            {
                "account": a,
                "currency": c,
                "amount": amount,
                "functional_amount": functional,
                **msgspec.to_builtins(called(a, engine.config.accounts)),
            }
            for a, c, amount, functional in rows
        ],
    }


async def credits(engine: Engine, holder: str) -> dict[str, Any]:
    """`GET /v1/ledger/credits`: what a gift card or customer was given back and still has here."""
    rows = await engine.store.credits(holder)
    return {
        "holder": holder,
        "credits": [{"account": a, "currency": c, "amount": amount} for a, c, amount in rows],
    }


async def orders(engine: Engine, cursor: str, limit: int) -> dict[str, Any]:
    """Orders, newest first: a page. Raises ValueError for a cursor of another list."""
    page = await engine.store.orders(cursor, min(limit, PAGE_MAX))
    return _page_view(page, _order_item)


async def refunds(
    engine: Engine, filters: dict[str, str], cursor: str, limit: int
) -> dict[str, Any]:
    """Refunds, newest first: a page. Raises ValueError for a cursor of another list."""
    page = await engine.store.refunds(filters, cursor, min(limit, PAGE_MAX))
    return _page_view(page, lambda item: {**item, "created_at": rfc3339(item["created_at"])})


async def entries(
    engine: Engine, filters: dict[str, str], cursor: str, limit: int
) -> dict[str, Any]:
    """Journal entries, oldest first: a page. Raises ValueError for a cursor of another list."""
    page = await engine.store.entries(filters, cursor, min(limit, PAGE_MAX))
    return _page_view(page, lambda item: {**item, "at": rfc3339(item["at"])})


def _order_item(item: dict[str, Any]) -> dict[str, Any]:
    source = {"connection": item["connection"], "order_id": item["source_order_id"]}
    hidden = ("connection", "source_order_id")
    return {
        **{name: value for name, value in item.items() if name not in hidden},
        "source": source,
        "parked": item["parked"] or None,
        "created_at": rfc3339(item["created_at"]),
        "updated_at": rfc3339(item["updated_at"]),
    }


def _page_view(page: Page, view: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """A page as promised: items and the cursor of the next one, or null."""
    return {"items": [view(item) for item in page.items], "next": page.next or None}
