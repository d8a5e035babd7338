"""Effects: who may act, from when, and never two at once."""

from __future__ import annotations

import asyncio

import msgspec

from amends.core.effects import Effect
from amends.store.spec import Batch, Claimed, Lease, Store
from tests.store.conftest import Another
from tests.store.examples import LEASE, NOW, an_effect, an_order
from tests.store.sql import rows_of, write

SECOND = 1_000_000
ORDER = an_order(1)
LIMITS = {"stripe-eu": 10, "adyen-eu": 10, "": 10}


def effect(leg: str, due: int = NOW, connection: str = "stripe-eu", kind: str = "send") -> Effect:
    made = an_effect(ORDER, leg, due=due)
    return msgspec.structs.replace(made, id=leg, connection=connection, kind=kind)


async def put(store: Store, *effects: Effect, lease: Lease | None = None) -> None:
    batch = Batch()
    batch.effects = {(e.order, e.id): (e, lease) for e in effects}
    await write(store, batch)


async def take(store: Store, now: int, holder: str = "p1", **limits: int) -> list[Claimed]:
    return await store.claim(holder, now, now + 30 * SECOND, limits or LIMITS)


def ids(claimed: list[Claimed]) -> list[str]:
    return [c.effect for c in claimed]


async def test_what_is_due_and_free_is_claimed_longest_ready_first(store: Store) -> None:
    await put(store, effect("c", NOW - 1), effect("b", NOW), effect("later", NOW + 1))
    await put(store, effect("a", NOW - 2, "adyen-eu"), effect("d", NOW - 3, kind="deadline"))
    claimed = await take(store, NOW)
    assert ids(claimed) == ["d", "a", "c", "b"]
    assert claimed[:2] == [
        Claimed(ORDER.id, "d", "", "deadline", False),
        Claimed(ORDER.id, "a", "adyen-eu", "send", False),
    ]
    assert await take(store, NOW) == []
    assert ids(await take(store, NOW + 1)) == ["later"]


async def test_limits_hold_per_connection(store: Store) -> None:
    await put(store, *(effect(f"s{n}", NOW + n) for n in range(5)))
    await put(store, *(effect(f"a{n}", NOW + n, "adyen-eu") for n in range(5)))
    await put(store, *(effect(f"d{n}", NOW + n, kind="deadline") for n in range(5)))
    limits = {"stripe-eu": 2, "adyen-eu": 0, "": 1, "nobody": 7}
    claimed = await store.claim("p1", NOW + 9, NOW + 99, limits)
    assert sorted(ids(claimed)) == ["d0", "s0", "s1"]
    assert await store.claim("p1", NOW + 9, NOW + 99, {}) == []
    assert await store.claim("p1", NOW + 9, NOW + 99, {"adyen-eu": -1}) == []


async def test_a_lease_that_ran_out_is_lost(store: Store) -> None:
    await put(store, effect("a"), lease=Lease("p1", NOW + SECOND))
    assert await take(store, NOW + SECOND - 1, "p2") == []
    (lost,) = await take(store, NOW + SECOND, "p2")
    assert (lost.effect, lost.lost) == ("a", True)
    (ours,) = await take(store, NOW + 31 * SECOND, "p2")
    assert ours.lost


async def test_a_leased_effect_of_the_future_waits_for_both(store: Store) -> None:
    await put(store, effect("a", NOW + 9), lease=Lease("p1", NOW + 5))
    assert await store.next_due() == NOW + 9
    assert await take(store, NOW + 8, "p2") == []
    assert ids(await take(store, NOW + 9, "p2")) == ["a"]


async def test_given_up_leases_are_free_again(store: Store) -> None:
    await put(store, effect("a"), effect("b"), effect("c", NOW - 5))
    await take(store, NOW, "p1")
    await store.give_up("p2", [(ORDER.id, "a")])
    await store.give_up("p1", [(ORDER.id, "b"), (ORDER.id, "c"), (ORDER.id, "gone")])
    await store.give_up("p1", [])
    claimed = await take(store, NOW, "p2")
    assert ids(claimed) == ["c", "b"]
    assert not any(c.lost for c in claimed)


async def test_when_to_look_again(store: Store) -> None:
    assert await store.next_due() is None
    await put(store, effect("a", NOW + 50), effect("b", NOW + 70, "adyen-eu"))
    await put(store, effect("c", NOW + 60, kind="deadline"))
    assert await store.next_due() == NOW + 50
    await put(store, effect("a", NOW + 50), lease=Lease("p1", NOW + 80))
    assert await store.next_due() == NOW + 60
    batch = Batch()
    batch.done = {(ORDER.id, "c")}
    await write(store, batch)
    assert await store.next_due() == NOW + 70


async def test_effects_committed_under_a_lease_are_not_offered(store: Store) -> None:
    await put(store, effect("a"), lease=LEASE)
    assert await take(store, LEASE.until - 1, "process-2") == []
    assert (await store.counts(LEASE.until - 1))["effects_due"] == 0
    assert (await store.counts(LEASE.until))["effects_due"] == 1


async def test_no_effect_goes_to_two(store: Store, another: Another) -> None:
    """Four claimants on two stores, at the same effects, until nothing is left."""
    everything = {f"e{n:03}" for n in range(240)}
    await put(store, *(effect(e) for e in everything))
    stores = [store, await another()]

    async def drain(number: int) -> list[str]:
        got: list[str] = []
        # An empty list proves nothing while others hold rows locked: ask until the rows say so.
        while await stores[number % 2].next_due() == NOW:
            got += ids(await take(stores[number % 2], NOW, f"p{number}", **{"stripe-eu": 7}))
        return got

    taken = await asyncio.gather(*(drain(n) for n in range(4)))
    together = [e for got in taken for e in got]
    assert sorted(together) == sorted(everything)
    holders = {row[1]: row[7] for row in await rows_of(store, "effects")}
    assert holders == {e: f"p{n}" for n, got in enumerate(taken) for e in got}
