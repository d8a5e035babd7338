"""What others are told, as rows: claimed in order, told once, kept for a person."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from amends.core.outlets import Books, Goods, Moved, Tell, Telling
from amends.store.outbox_spec import Came, Counted
from amends.store.postgres import PostgresStore
from amends.store.spec import Batch, Store
from tests.store.conftest import POSTGRES
from tests.store.examples import NOW, an_order, recorded
from tests.store.sql import write

LEASE = NOW + 60_000_000


def books(n: int) -> Books:
    return Books(key=f"b{n}", at=NOW + n, day="2026-09-21", currency="EUR", lines=())


async def told(store: Store, *tells: Tell) -> None:
    _, batch = recorded(an_order(1))
    batch.tells += tells
    await write(store, batch)


def tell(n: int, connection: str = "erp", order: str = "ord_1") -> Tell:
    return Tell(order, n, connection, books(n))


async def claimed(store: Store, now: int = NOW + 100, most: int = 9) -> list[tuple[str, int]]:
    found = await store.claim_tells("p1", now, LEASE, {"erp": most})
    return [(due.order, due.number) for due in found]


async def test_tellings_of_one_order_are_claimed_one_at_a_time_in_their_order(store: Store) -> None:
    await told(store, tell(2), tell(1), tell(1, order="ord_2"), tell(3, "hooks"))
    assert await claimed(store) == [("ord_1", 1), ("ord_2", 1)]
    assert await claimed(store) == []  # leased, and what is after them waits
    await store.came("p1", [Came("ord_1", 1, "done", NOW, "INV-1")], NOW + 5)
    assert await claimed(store) == [("ord_1", 2)]


async def test_no_more_are_claimed_than_there_is_room_for(store: Store) -> None:
    await told(store, tell(1), tell(1, order="ord_2"))
    assert await claimed(store, most=1) == [("ord_1", 1)]
    assert await claimed(store, most=0) == []


async def test_what_failed_is_claimed_again_when_its_time_has_come(store: Store) -> None:
    await told(store, tell(1))
    (due,) = await store.claim_tells("p1", NOW + 100, LEASE, {"erp": 1})
    assert (due.attempts, due.telling) == (0, books(1))
    await store.came("p1", [Came("ord_1", 1, "open", NOW + 900, "", "away")], NOW + 200)
    assert await store.next_tell(["erp", "hooks"]) == NOW + 900
    assert await claimed(store, NOW + 800) == []
    (due,) = await store.claim_tells("p1", NOW + 900, LEASE, {"erp": 1})
    assert due.attempts == 1


async def test_a_lease_that_ran_out_is_taken_over_and_its_late_holder_changes_nothing(
    store: Store,
) -> None:
    await told(store, tell(1))
    await store.claim_tells("p1", NOW + 100, LEASE, {"erp": 1})
    (due,) = await store.claim_tells("p2", LEASE, LEASE + 60, {"erp": 1})
    assert due.number == 1
    await store.came("p1", [Came("ord_1", 1, "stuck", NOW, "", "no")], LEASE + 1)
    (item,) = (await store.tells({}, "", 5)).items
    assert item["state"] == "open"
    await store.came("p1", [Came("ord_1", 1, "done", NOW, "INV-1")], LEASE + 1)
    (item,) = (await store.tells({}, "", 5)).items  # that it is done is news whoever brings it
    assert (item["state"], item["reference"]) == ("done", "INV-1")


@pytest.mark.parametrize("doc", ['{"type":"of_tomorrow"}', '{"type":"books"}', "{"])
async def test_what_cannot_be_read_is_a_persons_and_the_others_go_on(
    store: Store, doc: str
) -> None:
    await told(store, tell(1), tell(2), tell(1, order="ord_2"))
    async with store.writing() as connection:  # type: ignore[attr-defined]
        spoil = "UPDATE deliveries SET doc = :doc WHERE order_id = 'ord_1' AND number = 1"
        await connection.execute(text(spoil), {"doc": doc})
    assert await claimed(store) == [("ord_2", 1)]
    (item,) = (await store.tells({"state": "stuck"}, "", 5)).items
    assert (item["order"], item["number"]) == ("ord_1", 1)
    assert item["detail"].startswith("unreadable: ")
    assert await claimed(store) == [], "what comes after it waits for a person"


async def test_what_comes_after_one_that_is_stuck_waits_until_a_person_has_looked(
    store: Store,
) -> None:
    await told(store, tell(1), tell(2), tell(1, order="ord_2"))
    await claimed(store)
    stuck = Came("ord_1", 1, "stuck", NOW, "", "closed: the period is closed")
    await store.came("p1", [stuck, Came("ord_2", 1, "done", NOW)], NOW + 5)
    assert await claimed(store) == []
    (item,) = (await store.tells({"state": "stuck"}, "", 5)).items
    assert item["detail"] == "closed: the period is closed"
    assert await store.move_tell("ord_1", 1, "open", NOW + 50)
    assert await claimed(store) == [("ord_1", 1)]
    assert await store.move_tell("ord_1", 1, "dropped", NOW + 60)
    assert not await store.move_tell("ord_1", 1, "dropped", NOW + 60)
    assert not await store.move_tell("ord_1", 9, "open", NOW + 60)
    assert await claimed(store) == [("ord_1", 2)]


async def test_tellings_of_no_order_are_added_once(store: Store) -> None:
    days: list[tuple[int, Telling]] = [(n, books(n)) for n in (1, 2)]
    assert await store.add_tells("books:main", "erp", days) == 2
    assert await store.add_tells("books:main", "erp", [*days, (3, books(3))]) == 1
    assert await store.tell_doc("books:main", 3) == books(3)
    assert await store.tell_doc("books:main", 4) is None
    assert len((await store.tells({"order": "books:main"}, "", 2)).items) == 2


async def test_what_came_back_is_held_against_what_was_counted(store: Store) -> None:
    order, batch = recorded(an_order(1))
    for n, (units, what) in enumerate(((2, "restock"), (1, "write_off"), (1, "restock")), 1):
        goods = Goods("1", "TEA", units, what, "STO")  # type: ignore[arg-type]
        batch.moved.append(Moved(order.id, n, NOW + n, "R-1", goods, "connection:shop-1"))
    await write(store, batch)
    await store.add_counts(NOW + 9, "user:ada", [Counted("TEA", "STO", 2), Counted("MUG", "", 1)])
    assert await store.stock_report(NOW, NOW + 10) == [
        {"sku": "MUG", "location": "", "booked": 0, "counted": 1},
        {"sku": "TEA", "location": "STO", "booked": 3, "counted": 2},
    ]
    assert await store.stock_report(NOW + 2, NOW + 5) == [
        {"sku": "TEA", "location": "STO", "booked": 1, "counted": None}
    ]


async def test_only_one_telling_of_a_number(store: Store) -> None:
    batch = Batch()
    batch.tells += [tell(1)]
    await write(store, batch)
    assert len((await store.tells({}, "", 5)).items) == 1
    with pytest.raises(ValueError, match="no filter colour"):
        await store.tells({"colour": "red"}, "", 5)


@pytest.mark.parametrize("store_url", [POSTGRES], indirect=True)
async def test_a_party_has_one_writer_in_all_processes(store: Store, store_url: str) -> None:
    other = PostgresStore(store_url)
    await other.open()
    assert await store.hold_writer("erp")
    assert await store.hold_writer("erp")
    assert not await other.hold_writer("erp")
    assert await other.hold_writer("erp-2")
    assert isinstance(store, PostgresStore)
    await store.close()
    assert await other.hold_writer("erp")
    await other.close()
