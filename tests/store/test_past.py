"""What rows know of customers: days that add up, fingerprints, buckets that nobody overdraws."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from amends.core.history import OTHERS_MAX, UNKNOWN, Draw, History, Sight, SightKind, Tally, Window
from amends.store.postgres import PostgresStore, PostgresTurn
from amends.store.spec import Batch, RowRefused, Store, Wanted
from amends.store.sqlite import SqliteTurn
from tests.store.conftest import Another
from tests.store.sql import rows_of, write
from tests.store.test_locks import on_postgres, raw, waiting_for_lock

__all__ = ["raw"]  # a fixture

DAY = 20_000
ANNA = ("main", "c-1")
HASH = "a" * 64


def tallied(*tallies: Tally) -> Batch:
    batch = Batch()
    batch.tallies += tallies
    return batch


def seen(*sights: Sight) -> Batch:
    batch = Batch()
    batch.sights += sights
    return batch


def drawn(*draws: Draw) -> Batch:
    batch = Batch()
    batch.draws += draws
    return batch


async def history(store: Store, *wanted: Wanted, day: int = DAY) -> dict[tuple[str, str], History]:
    async with store.turn() as turn:
        return await turn.history(wanted, day)


async def of_anna(store: Store, day: int = DAY) -> History:
    return (await history(store, (*ANNA, ()), day=day))[ANNA]


async def test_all_customers_are_asked_for_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement for their days, one for what they were seen with, however many they are."""
    postgres = isinstance(store, PostgresStore)
    kind, name = (PostgresTurn, "_fetch") if postgres else (SqliteTurn, "run")
    asked: list[object] = []
    through = getattr(kind, name)

    async def hear(self: object, *given: object) -> object:
        asked.append(given[0])
        return await through(self, *given)

    monkeypatch.setattr(kind, name, hear)
    wanted = [("main", f"c-{n}", (("card", HASH), ("device", f"{n}" * 64))) for n in range(9)]
    assert len(await history(store, *wanted)) == 9
    assert len(asked) == 2


# -- days


async def test_nothing_known_is_unknown(store: Store) -> None:
    assert await history(store) == {}
    assert await history(store, (*ANNA, (("card", HASH),))) == {ANNA: UNKNOWN}


async def test_a_batch_is_summed_and_added_to_the_day(store: Store) -> None:
    first = Tally(*ANNA, DAY, 1, 5000, 5000, not_received=1)
    second = Tally(*ANNA, DAY, 1, 700, 700, 2, 300, disputes=1, not_returned=2, findings=3)
    await write(store, tallied(first, second))
    await write(store, tallied(Tally(*ANNA, DAY, 1, 900, 900), Tally("us", "c-1", DAY, 1)))
    assert await rows_of(store, "customer_days") == [
        ("c-1", "main", DAY, 3, 6600, 5000, 2, 300, 1, 1, 2, 3),
        ("c-1", "us", DAY, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    ]
    window = Window(3, 6600, 2, 300, 1, 1, 2, 3)
    assert await of_anna(store) == History(DAY, window, window, window, 5000)


@pytest.mark.parametrize(
    ("ago", "windows"), [(0, 3), (29, 3), (30, 2), (89, 2), (90, 1), (364, 1), (365, 0), (-1, None)]
)
async def test_a_day_is_in_the_windows_it_is_in(
    store: Store, ago: int, windows: int | None
) -> None:
    """Today counts as the first day; what another process says of tomorrow does not count."""
    await write(store, tallied(Tally(*ANNA, DAY - ago, 1, 10, 10)))
    found = await of_anna(store)
    orders = [found.d30.orders, found.d90.orders, found.d365.orders]
    if windows is None:
        assert found == UNKNOWN
        return
    assert orders == [0] * (3 - windows) + [1] * windows
    assert (found.first_day, found.order_max) == (DAY - ago, 10 if windows else 0)


async def test_what_another_process_says_of_tomorrow_is_in_no_window(store: Store) -> None:
    await write(store, tallied(Tally(*ANNA, DAY, 1, 10, 10), Tally(*ANNA, DAY + 1, 1, 90, 90)))
    window = Window(1, 10)
    assert await of_anna(store) == History(DAY, window, window, window, 10)


_SMALL = st.integers(0, 5)
_TALLY = st.builds(
    Tally,
    *(st.sampled_from(["main", "us"]), st.sampled_from(["a", "b"]), st.integers(DAY - 400, DAY)),
    *[_SMALL] * 9,
)


@dataclass
class Counted:
    """The same sums in plain Python."""

    days: dict[tuple[str, str], dict[int, list[Tally]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def put(self, tally: Tally) -> None:
        self.days[tally.entity, tally.customer][tally.day].append(tally)

    def history(self, who: tuple[str, str], day: int) -> History:
        known = {at: found for at, found in self.days[who].items() if at <= day}
        if not known:
            return UNKNOWN
        windows = [
            Window(
                **{
                    name: sum(
                        getattr(tally, name)
                        for at, found in known.items()
                        if at > day - length
                        for tally in found
                    )
                    for name in to_builtins(Window(*[1] * 8))
                }
            )
            for length in (30, 90, 365)
        ]
        recent = [t.order_max for at, f in known.items() if at > day - 365 for t in f]
        return History(min(known), *windows, max(recent, default=0))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_TALLY, max_size=6), max_size=4), day=st.integers(DAY - 30, DAY))
async def test_windows_are_the_sums_of_their_days(
    store: Store, batches: list[list[Tally]], day: int
) -> None:
    counted = Counted()
    # Nothing of an example is to stay: what breaks the turn in the end rolls it back.
    with pytest.raises(RowRefused):
        async with store.turn() as turn:
            for batch in batches:
                await turn.write(tallied(*batch))
                for tally in batch:
                    counted.put(tally)
            everybody = [(entity, who) for entity in ("main", "us") for who in ("a", "b")]
            found = await turn.history([(*who, ()) for who in everybody], day)
            assert found == {who: counted.history(who, day) for who in everybody}
            await turn.write(tallied(Tally("main", "a", day, 2**64)))


async def test_a_sum_that_does_not_fit_is_refused(store: Store) -> None:
    await write(store, tallied(Tally(*ANNA, DAY, order_value=2**63 - 1)))
    with pytest.raises(RowRefused):
        await write(store, tallied(Tally(*ANNA, DAY, order_value=1)))


# -- fingerprints


def sight(
    customer: str, value: str = HASH, kind: SightKind = "card", entity: str = "main"
) -> Sight:
    return Sight(kind, value, entity, customer)


async def test_others_are_counted_once_and_never_oneself(store: Store) -> None:
    await write(store, seen(sight("c-1"), sight("c-2"), sight("c-2"), sight("c-3", "b" * 64)))
    await write(store, seen(sight("c-2"), sight("c-2", "b" * 64), sight("c-4", kind="device")))
    cards = (("card", HASH), ("card", "b" * 64))
    found = (await history(store, (*ANNA, cards)))[ANNA]
    assert found == History(card_others=2)
    both = await history(store, (*ANNA, cards[:1]), (*ANNA, cards[1:]), ("main", "c-2", cards[:1]))
    assert both == {ANNA: History(card_others=2), ("main", "c-2"): History(card_others=1)}


async def test_each_kind_is_counted_for_itself(store: Store) -> None:
    kinds: tuple[SightKind, ...] = ("card", "address", "device")
    for number, kind in enumerate(kinds, 1):
        await write(store, seen(*(sight(f"o-{n}", kind=kind) for n in range(number))))
    found = await history(store, (*ANNA, tuple((kind, HASH) for kind in kinds)))
    assert found[ANNA] == History(card_others=1, address_others=2, device_others=3)


async def test_the_same_id_at_another_entity_is_no_other_customer(store: Store) -> None:
    await write(store, seen(sight("c-1", entity="us"), sight("c-9", entity="us")))
    found = await history(store, (*ANNA, (("card", HASH),)))
    assert found[ANNA] == History(card_others=1)


async def test_of_many_others_some_are_read(store: Store) -> None:
    crowd = [sight(f"c-{n:03}", value) for n in range(50) for value in (HASH, "b" * 64)]
    await write(store, seen(*crowd))
    found = await history(store, (*ANNA, (("card", HASH), ("card", "b" * 64))))
    assert found[ANNA] == History(card_others=OTHERS_MAX)


async def test_twenty_others_are_counted_beside_oneself(store: Store) -> None:
    crowd = [sight(f"c-{n:03}") for n in range(OTHERS_MAX + 1)]
    await write(store, seen(*crowd))
    found = await history(store, ("main", "c-000", (("card", HASH),)))
    assert found["main", "c-000"] == History(card_others=OTHERS_MAX)


# -- caps


async def caps(store: Store, *buckets: str) -> dict[str, tuple[int, int]]:
    async with store.turn() as turn:
        return await turn.caps(buckets)


async def test_draws_of_a_batch_are_summed_by_bucket(store: Store) -> None:
    await write(store, drawn(Draw("b", 300, 1), Draw("a", 50, 1), Draw("b", 200, 1)))
    await write(store, drawn(Draw("b", -300, -1), Draw("c", 7, 1), Draw("c", -7, -1)))
    assert await caps(store, "b", "a", "b", "c") == {"a": (50, 1), "b": (200, 1), "c": (0, 0)}
    assert await caps(store) == {}


async def test_two_processes_never_overdraw_a_bucket(store: Store, another: Another) -> None:
    """Each reads before it draws; the buckets are named in every order."""
    stores, buckets = [store, await another()], ["day", "agent", "customer"]
    most, taken = 10, []

    async def take(number: int) -> None:
        shift = number % 3
        async with stores[number % 2].turn() as turn:
            found = await turn.caps(buckets[shift:] + buckets[:shift])
            if all(count < most for _, count in found.values()):
                await turn.write(drawn(*(Draw(name, 100, 1) for name in buckets)))
                taken.append(number)

    await asyncio.gather(*(take(n) for n in range(30)))
    assert len(taken) == most
    assert await caps(store, *buckets) == dict.fromkeys(buckets, (1000, most))


async def test_who_reads_a_bucket_holds_it_until_the_end(store: Store, another: Another) -> None:
    """Also one that is not there yet; and what is given back waits its turn."""
    second = await another()
    order = []

    async def later() -> None:
        async with second.turn() as turn:
            order.append(await turn.caps(["new"]))

    async with store.turn() as turn:
        await turn.caps(["new"])
        task = asyncio.create_task(later())
        await turn.write(drawn(Draw("new", 5, 1)))
        order.append({})
    await task
    assert order == [{}, {"new": (5, 1)}]


async def test_turns_that_share_customers_and_buckets_all_end(
    store: Store, another: Another
) -> None:
    """Written in one order everywhere, so that none has to run again, and none is lost."""
    stores = [store, await another()]
    names = [f"c-{n}" for n in range(5)]

    async def one(number: int) -> None:
        shift = number % 5
        mine = names[shift:] + names[:shift]
        batch = tallied(*(Tally("main", name, DAY, 1) for name in mine))
        batch.draws += [Draw(name, 1, 1) for name in mine]
        batch.sights += [sight(name, f"{shift}" * 64) for name in mine]
        async with stores[number % 2].turn() as turn:
            if number % 3 == 0:
                await turn.caps(mine)
            await turn.write(batch)

    await asyncio.gather(*(one(n) for n in range(20)))
    assert [row[3] for row in await rows_of(store, "customer_days")] == [20] * 5
    assert await caps(store, *names) == dict.fromkeys(names, (20, 20))


@on_postgres
async def test_whoever_reads_a_bucket_waits_for_nobody_who_waits_for_it(
    store: Store, another: Another, raw: asyncpg.Connection[asyncpg.Record]
) -> None:
    await write(store, tallied(Tally(*ANNA, DAY, 1)), drawn(Draw("agent", 1, 1)))
    both = tallied(Tally(*ANNA, DAY, 1))
    both.draws.append(Draw("agent", -1, -1))
    both.sights.append(sight("c-1"))
    second = await another()
    async with store.turn() as turn:
        await turn.caps(["agent"])
        gives_back = asyncio.create_task(write(second, both))
        await waiting_for_lock(raw)
        ours = tallied(Tally(*ANNA, DAY, 1))
        ours.sights.append(sight("c-1"))
        await turn.write(ours)
    await gives_back
    assert (await of_anna(store)).d30.orders == 3
    assert await caps(store, "agent") == {"agent": (0, 0)}


async def test_the_board_is_at_zero_before_anything(store: Store) -> None:
    async with store.turn() as turn:
        assert await turn.board() == 0
