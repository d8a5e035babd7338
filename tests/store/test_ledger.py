"""Kept balances equal a recount, whatever is written when; and nothing slips into a period that is
closed, not even while it is being closed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from amends.core.events import Event, link
from amends.core.order import Order
from amends.core.postings import Entry, Posting
from amends.kernel.time import DAY, HOUR, day_of
from amends.store import migrate
from amends.store.open import connect
from amends.store.records import Head
from amends.store.spec import Batch, PeriodClosed, Store
from tests.store.conftest import Another
from tests.store.examples import NOW, an_order, recorded, refunded
from tests.store.sql import cold, rows_of, run, write
from tests.store.test_schema import to_revision

MONTH = day_of(NOW)[:7]  # 2026-09
NUMBERS = itertools.count(1)


def an_entry(order: Order, at: int, **changes: Any) -> Entry:
    amount = 100 + at % 7
    lines = (Posting("tax_payable", amount, 2 * amount), Posting("x", -amount, -2 * amount))
    head = (order.id, next(NUMBERS), at, "claim", "main", "EUR", "EUR", "rf", "", "")
    return replace(Entry(*head, lines), **changes)


def a_batch(*found: Entry) -> Batch:
    batch = Batch()
    batch.entries += found
    return batch


def closing(period: str, actor: str = "cli:me") -> Any:
    def make(head: Head) -> Event:
        body = {"entity": "main", "period": period}
        number = head.seq + 1
        return link(head.stream, number, head.hash, NOW, "period.closed", actor, "f", "", body)

    return make


async def recount(store: Store, at: int) -> dict[tuple[str, str], tuple[int, int]]:
    """The balances from all postings, of entries posted on a day that has come."""
    found: Counter[tuple[str, str, int]] = Counter()
    query = text(
        "SELECT p.account, p.currency, p.amount, p.functional, e.posted_on FROM postings AS p"
        " JOIN entries AS e ON e.order_id = p.order_id AND e.number = p.entry"
        f" WHERE e.at <= {at}"
    )
    for account, currency, amount, functional, posted_on in await cold(store).fetch(query):
        there = posted_on <= day_of(at)
        found[account, currency, 0] += amount if there else 0
        found[account, currency, 1] += functional if there else 0
    pairs = {(account, currency) for account, currency, _ in found}
    return {pair: (found[*pair, 0], found[*pair, 1]) for pair in pairs}


async def shown(store: Store, at: int) -> dict[tuple[str, str], tuple[int, int]]:
    return {(a, c): (n, f) for a, c, n, f in await store.balances(at)}


@pytest.mark.parametrize("seed", range(4))
async def test_kept_balances_equal_a_recount(store: Store, seed: int) -> None:
    """Entries and marks at random instants in any order, late ones among them."""
    chance = random.Random(seed)
    order, batch = recorded(an_order(1))
    await write(store, batch)
    instants: list[int] = []
    for _ in range(60):
        at = NOW + chance.randrange(50) * HOUR
        if chance.random() < 0.3:
            await store.keep_balances(at)
        else:
            currency = chance.choice(("EUR", "JPY"))
            late = day_of(at + 2 * DAY) if chance.random() < 0.2 else ""
            await write(store, a_batch(an_entry(order, at, currency=currency, posted_on=late)))
            instants.append(at)
        soon = at + chance.randrange(50) * HOUR
        look = chance.choice((at, at - 1, NOW + 60 * HOUR, soon, chance.choice(instants or [at])))
        assert await shown(store, look) == await recount(store, look)
    assert {(a, c): n for a, c, n, _ in await store.balances(None)} == {
        pair: n for pair, (n, _) in (await recount(store, NOW + 9 * DAY)).items()
    }


async def test_balances_are_read_from_those_kept(store: Store) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch, a_batch(an_entry(order, NOW)))
    assert await store.last_kept() == 0
    assert await store.keep_balances(NOW + HOUR)
    assert not await store.keep_balances(NOW + HOUR), "they are there already"
    assert await store.last_kept() == NOW + HOUR
    await run(store, "UPDATE balance_lines SET amount = amount + 5 WHERE account = 'x'")
    kept, counted = await shown(store, NOW + 2 * HOUR), await shown(store, NOW)
    assert kept["x", "EUR"][0] == counted["x", "EUR"][0] + 5
    await write(store, a_batch(an_entry(order, NOW + HOUR)))
    assert await store.last_kept() == 0, "an entry as old as they are takes them back"
    assert await shown(store, NOW + 2 * HOUR) == await recount(store, NOW + 2 * HOUR)


async def test_the_balances_of_a_closed_month_stay_what_they_were(store: Store) -> None:
    """What is late for it is posted on the first open day, and counts from then on."""
    end, first = 1_790_812_799_999_999, 1_790_812_800_000_000  # around 2026-10-01T00:00:00Z
    order, batch = recorded(an_order(1))
    await write(store, batch, a_batch(an_entry(order, NOW)))
    reported = await shown(store, end)
    assert await store.close_period("main", MONTH, first, "cli:me", closing(MONTH))
    await write(store, a_batch(an_entry(order, NOW + 5, posted_on="2026-10-01")))
    assert await shown(store, end) == reported
    assert await shown(store, first) == await recount(store, first) != reported


@pytest.mark.parametrize(
    "store_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
async def test_a_turn_under_way_is_waited_for(store: Store) -> None:
    """Both by closing and by keeping balances: what it writes is in them."""
    order, batch = recorded(an_order(1))
    await write(store, batch)
    for wait in (
        lambda: store.keep_balances(NOW + HOUR),
        lambda: store.close_period("main", MONTH, NOW, "cli:me", closing(MONTH)),
    ):
        async with store.turn() as turn:
            await turn.write(a_batch(an_entry(order, NOW)))
            waiting = asyncio.create_task(wait())
            while not await _waits(store):
                assert not waiting.done()
        assert await waiting
        assert await shown(store, NOW + HOUR) == await recount(store, NOW + HOUR)


async def _waits(store: Store) -> bool:
    locks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return bool(await cold(store).fetch(text(locks)))


async def test_nothing_slips_into_a_closed_period(store: Store, another: Another) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch)
    other = await another()
    assert await other.close_period("main", MONTH, NOW, "cli:me", closing(MONTH))
    assert not await store.close_period("main", MONTH, NOW, "cli:me", closing(MONTH))
    assert not await store.close_period("main", "2026-08", NOW, "cli:me", closing("2026-08"))
    assert await store.closed() == {"main": MONTH}
    for entry in (
        an_entry(order, NOW),
        an_entry(order, NOW - 100 * DAY),
        an_entry(order, NOW + 30 * DAY, posted_on="2026-09-30"),
    ):
        with pytest.raises(PeriodClosed):
            await write(store, a_batch(entry))
    assert await rows_of(store, "entries") == []
    good = (
        an_entry(order, NOW, posted_on="2026-10-01"),
        an_entry(order, NOW + 30 * DAY),
        an_entry(order, NOW, entity="other"),
    )
    await write(store, a_batch(*good))
    assert len(await rows_of(store, "entries")) == 3
    (event,) = await store.events("system:ledger", "", 10)
    assert (event.type, event.actor) == ("period.closed", "cli:me")
    assert event.body == {"entity": "main", "period": MONTH}


async def test_dates_come_back_as_they_were_sealed(store: Store) -> None:
    order, batch = recorded(an_order(1))
    late = an_entry(order, NOW, posted_on="2026-10-01")
    plain = an_entry(order, NOW)
    await write(store, batch, a_batch(late, plain))
    hashes = await store.entry_hashes(order.id)
    assert hashes == {late.number: late.hash, plain.number: plain.hash}
    (first, second) = (await store.entries({"order": order.id}, "", 5)).items
    dates = ("posted_on", "tax_point", "document_date")
    assert [first[name] for name in dates] == ["2026-10-01", day_of(NOW), day_of(NOW)]
    assert {second[name] for name in dates} == {day_of(NOW)}


@pytest.mark.parametrize("revision", ["0003", "0004"])
async def test_books_of_before_are_taken_over(store_url: str, revision: str) -> None:
    """Entries written before the dates were apart, or before they had a worth; their hashes and the
    guards of the table."""
    store = connect(store_url)

    def before(connection: Connection) -> None:
        to_revision(connection, revision)
        more, day = (", posted_on", ", ''") if revision == "0004" else ("", "")
        connection.execute(
            text(
                "INSERT INTO entries (order_id, number, at, kind, entity, currency,"
                f" functional_currency, refund_id, leg_id, psp_refund_id{more}) VALUES"
                f" ('ord_1', 1, {NOW}, 'void', 'main', 'EUR', 'EUR', 'rf', 'leg', 're'{day})"
            )
        )

    async with cold(store).writing() as connection:
        await connection.run_sync(before)
        await connection.run_sync(migrate.upgrade)
    await store.open()
    bare = Entry("ord_1", 1, NOW, "void", "main", "EUR", "EUR", "rf", "leg", "re", ())
    assert await store.entry_hashes("ord_1") == {1: bare.hash}
    for change in ("UPDATE entries SET posted_on = '2026-01-01'", "DELETE FROM entries"):
        with pytest.raises(Exception, match="append-only"):
            await run(store, change)
    order, batch = recorded(an_order(2))
    await store.keep_balances(NOW)
    await write(store, batch, a_batch(an_entry(order, NOW)))
    assert await store.last_kept() == 0, "an entry as old as kept balances takes them back"
    await store.close_period("main", MONTH, NOW, "cli:me", closing(MONTH))
    with pytest.raises(PeriodClosed):
        await write(store, a_batch(an_entry(order, NOW)))
    await store.close()


async def test_a_refund_in_a_turn_takes_the_guard_too(store: Store) -> None:
    """The whole batch of a turn is refused, not only its entries."""
    await store.close_period("main", "2030-01", NOW, "cli:me", closing("2030-01"))
    order, batch = recorded(an_order(1))
    await write(store, batch)
    order, batch = refunded(order)
    with pytest.raises(PeriodClosed):
        await write(store, batch)
    assert await rows_of(store, "refunds") == []


async def test_a_holders_credit_is_summed_over_orders_and_currencies(store: Store) -> None:
    """What was taken back is off it; what is another's, or nobody's, does not count."""

    def credit(order: Order, amount: int, holder: str, account: str = "gift_cards") -> Entry:
        lines = (Posting("refunds_payable", amount, amount), Posting(account, -amount, -amount))
        return an_entry(order, NOW, postings=lines, holder=holder)

    orders = [recorded(an_order(n)) for n in (1, 2)]
    for _, batch in orders:
        await write(store, batch)
    (one, _), (two, _) = orders
    found = (
        credit(one, 500, "GC-1"),
        credit(two, 300, "GC-1"),
        credit(two, -200, "GC-1"),
        credit(two, 70, "GC-1", "store_credit"),
        replace(credit(one, 40, "GC-1"), currency="USD"),
        *(credit(one, 900, "GC-2"), credit(one, 800, "")),
    )
    await write(store, a_batch(*found))
    assert await store.credits("GC-1") == [
        ("gift_cards", "EUR", 600),
        ("gift_cards", "USD", 40),
        ("store_credit", "EUR", 70),
    ]
    assert (await store.credits(""), await store.credits("GC-3")) == ([], [])
    listed = (await store.entries({"holder": "GC-1"}, "", 10)).items
    assert [item["holder"] for item in listed] == ["GC-1"] * 5
