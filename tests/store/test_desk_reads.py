"""What the console reads, on both databases."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from amends.core.history import History, Tally, Window
from amends.kernel.time import DAY
from amends.store import rows
from amends.store.open import connect
from amends.store.pages_spec import DayRow, Found, Heard
from amends.store.schema import orders
from amends.store.spec import Batch, Inbound, Person, Store
from tests.store.examples import NOW, an_order, recorded, refunded
from tests.store.sql import cold, write
from tests.store.test_judgements import a_judgement, judged
from tests.store.test_schema import to_revision

EVER = 10**9


async def some_refunds(store: Store, count: int) -> list[tuple[str, str]]:
    """(order, refund) of so many."""
    made = []
    for n in range(1, count + 1):
        order, batch = recorded(an_order(n))
        await write(store, batch)
        order, batch = refunded(order)
        await write(store, batch)
        made.append((order.id, order.refunds[0].id))
    return made


def message(n: int, connection: str = "shop-1", state: str = "done", raw: bytes = b"{}") -> Inbound:
    return Inbound(connection, f"msg_{n}", NOW + n, "order.paid", state, "a", raw, b"[]", (), "o")


async def test_a_search_finds_by_every_name(store: Store) -> None:
    ((order_id, refund_id),) = await some_refunds(store, 1)
    order = await store.order(order_id)
    assert order is not None
    leg = order.refunds[0].legs[0]
    named = replace(order.refunds[0], legs=(replace(leg, psp_refund_id="re_1"),))
    batch = Batch()
    batch.orders[order_id] = replace(order, refunds=(named,))
    batch.refunds.add((order_id, refund_id))
    batch.people.append(Person("main", "c-1", "a@example.com", "A", "DE", NOW))
    batch.tallies.append(Tally("shop-eu", "c-2", 20_000, 1))
    await write(store, batch)
    payment = order.payments[0]
    wanted = {
        order_id: [Found("order", order_id, "order")],
        refund_id: [Found("refund", refund_id, "refund")],
        order.source.order_id: [Found("order", order_id, "shop's order")],
        payment.id: [Found("order", order_id, "payment")],
        payment.psp_payment_id: [Found("order", order_id, "provider's payment")],
        "re_1": [Found("refund", refund_id, "provider's refund")],
        "c-1": [Found("customer", "c-1", "customer", "main")],
        "c-2": [Found("customer", "c-2", "customer", "shop-eu")],
        "none": [],
        "": [],
    }
    assert {text: await store.find(text) for text in wanted} == wanted


async def test_days_are_summed_of_the_newest_only(store: Store) -> None:
    made = await some_refunds(store, 3)
    order = await store.order(made[0][0])
    assert order is not None
    refund = order.refunds[0]
    at, amount = refund.created_at, refund.amount
    (day,) = await store.refund_days(0, EVER)
    assert day == DayRow(at // DAY, order.currency, day.state, 3, 3 * amount, 0)
    assert sum(row.count for row in await store.refund_days(0, 2)) == 2
    assert await store.refund_days(at + DAY, EVER) == []


async def test_times_and_disputes_come_from_what_was_booked(store: Store) -> None:
    await some_refunds(store, 2)
    assert await store.refund_times(0, EVER) == []
    assert await store.disputed(0, EVER) == (2, 0)
    assert await store.disputed(0, 1) == (1, 0)


async def test_outcomes_are_counted(store: Store) -> None:
    outcomes = ("approve", "approve", "review")
    await write(
        store, judged(*(a_judgement(n, NOW + n, outcome=o) for n, o in enumerate(outcomes)))
    )
    assert await store.outcomes(0, EVER) == {"approve": 2, "review": 1}
    assert await store.outcomes(NOW + 1, EVER) == {"approve": 1, "review": 1}
    assert await store.outcomes(0, 1) == {"review": 1}


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_messages_come_newest_first_in_pages(store: Store, limit: int) -> None:
    batch = Batch()
    rows = [message(n) for n in range(4)]
    rows += [message(7, "stripe-eu", "unmatched"), message(8, "stripe-eu", "parked")]
    rows += [message(9, raw=b"")]  # expired
    for row in rows:
        batch.inbox[row.connection, row.message] = row
    await write(store, batch)

    async def pages(connection: str) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = await store.messages(connection, cursor, limit)
            assert len(page.items) <= limit
            found += [item["message"] for item in page.items]
            if not page.next:
                return found
            cursor = page.next

    assert await pages("") == ["msg_8", "msg_7", "msg_3", "msg_2", "msg_1", "msg_0"]
    assert await pages("shop-1") == ["msg_3", "msg_2", "msg_1", "msg_0"]
    heard = {one.connection: one for one in await store.heard()}
    assert heard == {
        "shop-1": Heard("shop-1", NOW + 3, 4, 0),
        "stripe-eu": Heard("stripe-eu", NOW + 8, 2, 2),
    }
    with pytest.raises(ValueError, match="cursor"):
        await store.messages("", "x", 1)


async def test_the_queues_mark_changes_with_the_queue(store: Store) -> None:
    empty = await store.queue_mark()
    assert await store.queue_mark() == empty
    order, batch = recorded(an_order(1))
    await write(store, batch)
    order, batch = refunded(order)
    refund = replace(order.refunds[0], stage="review")
    batch.orders[order.id] = order = replace(order, refunds=(refund,))
    await write(store, batch)
    waits = await store.queue_mark()
    assert waits != empty
    batch = Batch()
    batch.orders[order.id] = replace(order, refunds=(replace(refund, stage="declined"),))
    batch.refunds.add((order.id, refund.id))
    await write(store, batch)
    assert await store.queue_mark() == empty


async def test_orders_by_id(store: Store) -> None:
    made = await some_refunds(store, 2)
    found = await store.orders_of([made[0][0], made[1][0], "ord_none"])
    assert set(found) == {order for order, _ in made}
    assert found[made[0][0]] == await store.order(made[0][0])
    assert await store.orders_of([]) == {}


async def test_a_customers_history_is_what_a_turn_reads(store: Store) -> None:
    batch = Batch()
    for day, refunds in ((100, 1), (200, 2), (300, 4)):
        tally = Tally("main", "c-1", day, 1, 1000, 1000, refunds, 10 * refunds)
        batch.tallies += [tally, replace(tally, entity="other"), replace(tally, customer="c-2")]
    await write(store, batch)
    year, month = Window(2, 2000, 6, 60), Window(1, 1000, 4, 40)
    found = await store.customer_history("main", "c-1", 310)
    assert found == History(100, month, month, Window(3, 3000, 7, 70), 1000)
    assert await store.customer_history("main", "c-1", 480) == History(
        100, d365=year, order_max=1000
    )
    assert await store.customer_history("main", "c-9", 310) == History()
    async with store.turn() as turn:
        wanted = [("main", "c-1", ())]
        assert await turn.history(wanted, 310) == {("main", "c-1"): found}


async def test_a_customers_newest_orders(store: Store) -> None:
    """Under whoever an order names by now."""
    made = []
    for n in (1, 2, 3, 4):
        order, batch = recorded(replace(an_order(n), customer="c-1", last_at=NOW + n))
        await write(store, batch)
        made.append(order)
    assert [o.id for o in await store.customer_orders("main", "c-1", 3)] == [
        made[3].id,
        made[2].id,
        made[1].id,
    ]
    for customer, at in (("c-2", 10), ("c-1", 11), ("c-2", 12)):  # to and fro
        batch = Batch()
        batch.orders[made[3].id] = replace(made[3], customer=customer, last_at=NOW + at)
        await write(store, batch)
    assert [o.id for o in await store.customer_orders("main", "c-2", 9)] == [made[3].id]
    assert [o.id for o in await store.customer_orders("main", "c-1", 9)] == [
        order.id for order in reversed(made[:3])
    ]
    assert await store.customer_orders("other", "c-1", 9) == []
    batch = Batch()
    batch.orders[made[0].id] = replace(made[0], customer="", last_at=NOW + 13)
    await write(store, batch)
    assert await store.customer_orders("main", "", 9) == []


async def test_orders_of_before_are_entered_for_their_customers(store_url: str) -> None:
    store = connect(store_url)
    named, nameless = an_order(1), replace(an_order(2), customer="")
    columns = ", ".join(column.name for column in orders.columns)
    words = text(f"INSERT INTO orders ({columns}) VALUES (:{columns.replace(', ', ', :')})")
    async with cold(store).writing() as connection:
        await connection.run_sync(to_revision, "0006")
        for order in (named, nameless):
            row = dict(zip(columns.split(", "), rows.created(order), strict=True))
            await connection.execute(words, row)
    await store.migrate()
    await store.open()
    assert await store.customer_orders("main", "c-1", 9) == [named]
    async with cold(store).writing() as connection:
        assert (
            await connection.execute(text("SELECT count(*) FROM customer_orders"))
        ).scalar() == 1
    await store.close()


async def test_events_newest_first(store: Store) -> None:
    ((order_id, _),) = await some_refunds(store, 1)
    events = await store.events(order_id, "", 100)
    assert len(events) > 1
    assert await store.recent_events(order_id, 0, 100) == events[::-1]
    assert await store.recent_events(order_id, events[-1].seq, 1) == [events[-2]]
    assert await store.recent_events("system:none", 0, 10) == []
