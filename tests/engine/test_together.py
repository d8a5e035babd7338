"""Two processes, one PostgreSQL, one order: nothing is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest_asyncio

from amends.core.order import Order
from tests.engine.lab import Lab, Node, laboratory, report, states


@pytest_asyncio.fixture
async def pair(pg_url: str, tmp_path: Path) -> AsyncIterator[tuple[Lab, Node, Node]]:
    async with laboratory(pg_url, tmp_path) as lab:
        yield lab, lab.nodes[0], await lab.node()


async def test_fifty_want_sixty_percent(pair: tuple[Lab, Node, Node]) -> None:
    """edge-01: exactly one fits; the others are told what is left."""
    lab, *nodes = pair
    order = await lab.order()
    told = await asyncio.gather(
        *(nodes[n % 2].refund(order.id, key=f"k{n}", amount=6000) for n in range(50))
    )
    answers = [t.answer for t in told]
    assert all(answer is not None for answer in answers)
    statuses = [answer.status for answer in answers if answer]
    assert sorted(statuses) == [201] + [409] * 49
    bodies = {answer.body for answer in answers if answer and answer.status == 409}
    assert bodies == {b"exceeds_remaining {'remaining': 4000}"}
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert [m["amount"] for m in lab.movements()] == [6000]
    assert await lab.wrong() == []


async def test_fifty_with_one_key(pair: tuple[Lab, Node, Node]) -> None:
    lab, *nodes = pair
    order = await lab.order()
    told = await asyncio.gather(
        *(nodes[n % 2].refund(order.id, key="one", amount=6000) for n in range(50))
    )
    assert len({t.answer.body for t in told if t.answer}) == 1
    assert sum(not t.replayed for t in told) == 1
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert len(lab.movements()) == 1
    assert await lab.wrong() == []


async def test_one_order_told_to_both(pair: tuple[Lab, Node, Node]) -> None:
    """The same order reported to two processes at once is one order."""
    lab, a, b = pair
    made = await asyncio.gather(*(lab.order(str(n)) for n in range(3)))
    reports = [report(order.source.order_id) for order in made]
    await asyncio.gather(*(node.report(r) for r in reports for node in (a, b)))
    assert len(await lab.orders()) == 3
    assert await lab.wrong() == []


async def test_facts_of_one_order_keep_their_order(pair: tuple[Lab, Node, Node]) -> None:
    """What was acknowledged before something else was asked comes before it in the chain, whoever
    heard of it; and no fact is lost."""
    lab, *nodes = pair
    prng = Random(3)
    orders = [await lab.order(str(n), amount=100_000) for n in range(12)]

    async def ask_in_turn(order: Order) -> None:
        for amount in range(1, 11):
            await prng.choice(nodes).refund(order.id, amount=amount)

    sweeping = asyncio.create_task(keep_sweeping(lab))
    await asyncio.gather(*(ask_in_turn(order) for order in orders))
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    await lab.settle()
    for order in orders:
        events = await lab.nodes[0].store.events(order.id, "", 500)
        asked = [e.body["amount"] for e in events if e.type == "refund.requested"]
        assert asked == list(range(1, 11))
        assert states(await lab.one(order.id)) == ["succeeded"] * 10
    assert len(lab.movements()) == 120
    assert await lab.wrong() == []


async def keep_sweeping(lab: Lab) -> None:
    while True:
        for node in lab.nodes:
            await node.engine.sweeper.claim()
        await asyncio.sleep(0.01)


async def test_orders_in_every_sequence_do_not_stand_in_each_others_way(
    pair: tuple[Lab, Node, Node],
) -> None:
    """Batches of both processes hold the same orders; locks are taken in one sequence."""
    lab, *nodes = pair
    orders = [await lab.order(str(n)) for n in range(10)]
    prng = Random(5)
    for _ in range(10):
        mixed = [order for order in orders for _ in range(2)]
        prng.shuffle(mixed)
        asks = (nodes[n % 2].refund(o.id, amount=10) for n, o in enumerate(mixed))
        told = await asyncio.gather(*asks)
        assert all(t.results[0].refused is None for t in told)
    await lab.settle()
    for order in orders:
        assert states(await lab.one(order.id)) == ["succeeded"] * 20
    assert await lab.wrong() == []
