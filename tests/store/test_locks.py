"""Several at once: no lost update, no stale read, no row twice; deadlocks are run again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from amends.core.order import Order
from amends.store.spec import Batch, Inbound, Retry, Store
from tests.store.conftest import POSTGRES, Another
from tests.store.examples import NOW, an_order, payment_of, recorded, refunded
from tests.store.sql import rows_of, write

DEADLINE_S = 20.0
on_postgres = pytest.mark.parametrize("store_url", [POSTGRES], indirect=True)


@pytest.fixture
async def raw(store_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of somebody else."""
    connection = await asyncpg.connect(store_url)
    yield connection
    await connection.close()


async def waiting_for_lock(raw: asyncpg.Connection[asyncpg.Record], count: int = 1) -> None:
    """Return once so many sessions of this database wait for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(DEADLINE_S):
        while await raw.fetchval(query) < count:
            pass  # each look is a round trip


async def known(store: Store, *numbers: int) -> list[Order]:
    made = [recorded(an_order(n)) for n in numbers]
    await write(store, *(batch for _, batch in made))
    return [order for order, _ in made]


@on_postgres
async def test_a_locking_join_reads_stale_columns_and_lock_then_read_does_not(
    store: Store, store_url: str, raw: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Why a turn locks in one statement and reads in the next (READ COMMITTED): a statement that
    waited for a lock sees the locked table anew, and every other table as it was before."""
    (order,) = await known(store, 1)
    joined = (
        "SELECT o.version, p.external FROM orders o JOIN payments p ON p.order_id = o.id"
        " WHERE o.id = $1 FOR UPDATE OF o"
    )
    other = await asyncpg.connect(store_url)
    changed = msgspec.structs.replace(payment_of(order, external=77), version=2)
    batch = Batch()
    batch.orders[order.id] = changed

    async def locked() -> dict[str, Order]:
        async with store.turn() as turn:
            return await turn.lock([order.id])

    async with store.turn() as turn:
        await turn.lock([order.id])
        await turn.write(batch)
        stale = asyncio.create_task(other.fetchrow(joined, order.id))
        fresh = asyncio.create_task(locked())
        await waiting_for_lock(raw, 2)
    assert tuple(await stale or ()) == (2, 0)  # the new version, with the money of the old one
    await other.close()
    assert await fresh == {order.id: changed}


@on_postgres
async def test_a_deadlock_is_a_retry(store: Store, another: Another) -> None:
    one, two = await known(store, 1, 2)
    both_hold = asyncio.Barrier(2)

    async def crosswise(mine: Store, first: str, second: str) -> str:
        try:
            async with mine.turn() as turn:
                await turn.lock([first])
                await both_hold.wait()
                await turn.lock([second])
        except Retry:
            return "again"
        return "done"

    ends = await asyncio.gather(
        crosswise(store, one.id, two.id), crosswise(await another(), two.id, one.id)
    )
    assert sorted(ends) == ["again", "done"]


@on_postgres
async def test_a_waiting_message_goes_to_one_turn(store: Store, another: Another) -> None:
    row = Inbound("s", "m", NOW, "t", "unmatched", "a", facts=b"[]", refs=("s/1", "s/2"))
    batch = Batch()
    batch.inbox["s", "m"] = row
    await write(store, batch)
    second = await another()
    done = Batch()
    done.inbox["s", "m"] = msgspec.structs.replace(row, state="done", refs=())

    async def later() -> list[Inbound]:
        async with second.turn() as turn:
            return await turn.waiting(["s/2"])

    async with store.turn() as turn:
        assert await turn.waiting(["s/1"]) == [row]
        blocked = asyncio.create_task(later())
        await turn.write(done)
    assert await blocked == []


async def test_no_update_is_lost(store: Store, another: Another) -> None:
    """Two stores, twelve turns each, over three orders in every order of naming them."""
    orders = await known(store, 1, 2, 3)
    names = [order.id for order in orders]
    stores = [store, await another()]

    async def add(turn_number: int) -> None:
        async with stores[turn_number % 2].turn() as turn:
            shift = turn_number % 3
            locked = await turn.lock(names[shift:] + names[:shift])
            batch = Batch()
            for order in locked.values():
                more = order.payments[0].external + 1
                batch.orders[order.id] = payment_of(order, external=more)
            await turn.write(batch)

    await asyncio.gather(*(add(n) for n in range(24)))
    assert [row[11] for row in await rows_of(store, "payments")] == [24, 24, 24]


async def test_of_two_who_make_one_order_one_runs_again(store: Store, another: Another) -> None:
    stores = [store, await another()]
    ends = await asyncio.gather(
        *(write(stores[n % 2], recorded(an_order(1))[1]) for n in range(6)),
        return_exceptions=True,
    )
    assert [type(end) for end in ends if end is not None] == [Retry] * 5
    assert len(await rows_of(store, "events")) == 1


async def test_of_two_who_answer_one_request_one_runs_again(store: Store, another: Another) -> None:
    """The orders differ, so no lock keeps the two apart."""
    stores = [store, await another()]
    orders = await known(store, 1, 2, 3, 4)
    batches = [refunded(order, key="same")[1] for order in orders]
    ends = await asyncio.gather(
        *(write(stores[n % 2], batch) for n, batch in enumerate(batches)), return_exceptions=True
    )
    assert [type(end) for end in ends if end is not None] == [Retry] * 3
    assert len(await rows_of(store, "refunds")) == 1


async def test_a_cancelled_turn_leaves_nothing_and_nobody_waiting(store: Store) -> None:
    (order,) = await known(store, 1)
    written = asyncio.Event()

    async def hang() -> None:
        async with store.turn() as turn:
            await turn.lock([order.id])
            await turn.write(refunded(order)[1])
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(DEADLINE_S), store.turn() as turn:
        assert await turn.lock([order.id]) == {order.id: order}
    assert await rows_of(store, "refunds") == []


async def test_a_turn_cancelled_in_the_middle_of_a_write(store: Store) -> None:
    (order,) = await known(store, 1)
    batch = refunded(order)[1]

    async def one() -> None:
        async with store.turn() as turn:
            await turn.lock([order.id])
            await turn.write(batch)

    whole = {0: 0, 1: 2}  # refunds: further events
    for steps in range(12):
        task = asyncio.create_task(one())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        refunds = len(await rows_of(store, "refunds"))
        assert len(await rows_of(store, "events")) == 1 + whole[refunds]
        if refunds:
            break
