"""Books that are closed while refunds are booked; documents that get their numbers meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.events import Event, link
from amends.core.reasons import Reason, Refused
from amends.engine import actions, audit, proof
from amends.kernel.time import DAY, MINUTE, day_of
from amends.store.records import Head
from amends.store.spec import Store
from tests.engine.lab import Lab


def closing(at: int) -> Any:
    def make(head: Head) -> Event:
        event = ("period.closed", "cli:other", "f", "", {"entity": "main", "period": "2026-09"})
        return link(head.stream, head.seq + 1, head.hash, at, *event)  # type: ignore[arg-type]

    return make


async def entries(store: Store) -> list[dict[str, Any]]:
    return (await store.entries({}, "", 100)).items


async def test_a_turn_that_meets_a_closed_period_posts_into_the_open_one(lab: Lab) -> None:
    """Another process, whose clock is ahead, closed the month; this one does not know of it."""
    (node,) = lab.nodes
    store, order = node.engine.store, await lab.order()
    await node.refund(order.id, amount=100)
    at = lab.clock.now()
    assert await store.close_period("main", "2026-09", at, "cli:other", closing(at))
    told = await node.refund(order.id, key="late", amount=200)
    assert told.results[0].refused is None
    await lab.settle()
    found = await entries(store)
    days = {(e["posted_on"], e["document_date"]) for e in found if e["at"] > at - MINUTE}
    assert ("2026-10-01", day_of(at)) in days
    assert {e["posted_on"] for e in found} == {day_of(at), "2026-10-01"}
    assert (await proof.prove(store)).ok
    assert (await audit.verify(store, node.engine.config.audit_dir)).ok
    assert await lab.wrong() == []


async def test_who_may_close_what(lab: Lab) -> None:
    (node,) = lab.nodes
    with pytest.raises(Refused) as early:
        await actions.close_period(node.engine, "2026-09", "main", "cli:me")
    assert early.value.refusal.reason == Reason.PERIOD_NOT_OVER
    lab.clock.forward(20 * DAY)
    await actions.close_period(node.engine, "2026-09", "main", "cli:me")
    with pytest.raises(Refused) as again:
        await actions.close_period(node.engine, "2026-09", "main", "cli:me")
    assert again.value.refusal.reason == Reason.PERIOD_CLOSED
    (event,) = await node.engine.store.events("system:ledger", "", 5)
    assert event.body == {"entity": "main", "period": "2026-09"}


async def test_documents_are_numbered_by_the_sweep(lab: Lab) -> None:
    (node,) = lab.nodes
    store, order = node.engine.store, await lab.order()
    await node.refund(order.id, amount=100)
    await node.refund(order.id, key="k", amount=200)
    lab.clock.forward(MINUTE)
    await node.engine.sweeper._chores()
    items = (await store.credit_notes({}, "", 9)).items
    assert [(i["name"], i["gross"]) for i in items] == [("CN-000001", 100), ("CN-000002", 200)]
    claims = {e["number"] for e in await entries(store) if e["kind"] == "claim"}
    assert {i["entry"] for i in items} == claims
    assert await store.documents_due(9) == []


async def test_where_the_erp_numbers_them_they_wait(lab: Lab) -> None:
    (node,) = lab.nodes
    node.engine.sweeper.series = ""
    order = await lab.order()
    await node.refund(order.id, amount=100)
    lab.clock.forward(MINUTE)
    await node.engine.sweeper._chores()
    assert len(await node.engine.store.documents_due(9)) == 1
    assert (await node.engine.store.credit_notes({}, "", 9)).items == []
