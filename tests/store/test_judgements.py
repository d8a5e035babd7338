"""What decisions leave behind: judgements and labels in pages, the queue of reviews, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from amends.core.history import Judged, Label
from amends.core.order import Order, Refund, Stage, Verdict
from amends.store.records import Amounts, ShopStats
from amends.store.schema import reviews
from amends.store.spec import Batch, Store
from tests.store.examples import NOW, an_order, recorded, refunded
from tests.store.sql import cold, rows_of, write
from tests.store.test_reads import all_pages

LATER = NOW + 1_000_000
FOR_EVER = 2**62


def a_judgement(n: int, at: int = NOW, **more: Any) -> Judged:
    fields = {
        "order": f"ord_{n}",
        "refund": f"rf_{n}",
        "at": at,
        "policy": "a" * 64,
        "rule": "high-value",
        "outcome": "review",
        "score_bp": 4200,
        "model": "scorecard-2",
        "amount": 100 * n,
        "fields": '[1,"Grüße",null]',
        "features": "[-1,20]",
        "shadows": "[]",
        "rows": "..+!",
        "statutory": n % 2 == 0,
    }
    return Judged(**(fields | more))


def judged(*found: Judged) -> Batch:
    batch = Batch()
    batch.judged += found
    return batch


def labelled(*found: Label) -> Batch:
    batch = Batch()
    batch.labels += found
    return batch


# -- judgements and labels


@pytest.mark.parametrize("limit", [1, 2, 5, 9])
async def test_judgements_come_in_pages_of_time(store: Store, limit: int) -> None:
    made = [a_judgement(n, NOW + n // 3) for n in range(9)]
    await write(store, judged(*reversed(made)))
    found: list[Judged] = []
    after = None
    while page := await store.decisions(NOW, NOW + 2, after, limit):
        found += page
        after = (page[-1].at, page[-1].order, page[-1].refund)
    assert found == made[:6]
    assert await store.decisions(NOW + 1, FOR_EVER, None, 100) == made[3:]


async def test_the_last_judgement_of_a_refund_is_kept(store: Store) -> None:
    first, second, third = (a_judgement(1, NOW + n, rule=f"row-{n}") for n in range(3))
    await write(store, judged(first, second), judged(third))
    assert await store.decisions(0, FOR_EVER, None, 10) == [third]


async def test_the_last_label_of_each_source_is_kept(store: Store) -> None:
    review = Label("ord_1", "rf_1", NOW, "review", False)
    changed = replace(review, at=NOW + 2, abuse=True)
    dispute = Label("ord_1", "rf_1", NOW + 1, "dispute", True)
    other = replace(review, order="ord_0", at=NOW + 2)
    await write(store, labelled(changed, review, dispute), labelled(other))
    await write(store, labelled(replace(review, at=NOW + 1)))
    assert await store.labels(0, FOR_EVER, None, 10) == [dispute, other, changed]
    assert await store.labels(0, NOW + 2, None, 10) == [dispute]
    after = (NOW + 2, "ord_0", "rf_1", "review")
    assert await store.labels(0, FOR_EVER, after, 10) == [changed]
    await write(store, labelled(replace(changed, at=NOW + 3, abuse=False)))
    assert (await store.labels(NOW + 3, FOR_EVER, None, 10))[0].abuse is False


# -- reviews


def waiting(
    order: Order, at: int = 0, stage: Stage = "review", due: int = 0, rule: str = "high-value"
) -> tuple[Order, Batch]:
    """The order with a refund at that stage, as the last thing that happened, and its batch."""
    order, batch = refunded(replace(order, last_at=at or order.last_at))
    verdict = Verdict("review", "v1", rule, 4200)
    return staged(order, order.refunds[-1], stage, batch, verdict=verdict, decide_by=due)


def staged(
    order: Order, refund: Refund, stage: Stage, batch: Batch | None = None, **more: Any
) -> tuple[Order, Batch]:
    batch = batch or Batch()
    fresh = replace(refund, stage=stage, **more)
    refunds = tuple(fresh if r.id == refund.id else r for r in order.refunds)
    order = replace(order, refunds=refunds)
    batch.orders[order.id] = order
    batch.refunds.add((order.id, refund.id))
    return order, batch


async def test_a_review_from_its_beginning_to_its_end(store: Store) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch)
    order, batch = waiting(order, NOW + 5, due=LATER)
    await write(store, batch)
    (refund,) = order.refunds
    head = (order.id, refund.id, "main")
    tail = (0, "", 0, 3200, "EUR", 4200, "high-value", "return", NOW + 5)
    assert await rows_of(store, "reviews") == [(*head, "open", "", "", LATER, *tail, 0)]
    order, batch = staged(replace(order, last_at=NOW + 6), refund, "review", amount=3000)
    await write(store, batch)
    tail = (0, "", 0, 3000, *tail[4:])
    assert await rows_of(store, "reviews") == [(*head, "open", "", "", LATER, *tail, 0)]
    order = replace(order, last_at=NOW + 9)
    order, batch = staged(order, order.refunds[0], "active", decide_by=0)
    await write(store, batch)
    closed = [(*head, "closed", "", "", LATER, *tail, NOW + 9)]
    assert await rows_of(store, "reviews") == closed
    order, batch = staged(replace(order, last_at=NOW + 10), order.refunds[0], "active")
    await write(store, batch)
    assert await rows_of(store, "reviews") == closed
    order = replace(order, last_at=NOW + 11)
    await write(store, staged(order, order.refunds[0], "review", decide_by=LATER + 9)[1])
    ((*_, state, _, _, due, _, _, _, _, _, _, _, _, began, ended),) = await rows_of(
        store, "reviews"
    )
    assert (state, due, began, ended) == ("open", LATER + 9, NOW + 11, 0)


async def test_a_refund_that_never_waited_has_no_row(store: Store) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch)
    order, batch = refunded(order)
    await write(store, batch)
    declined = replace(order.refunds[0], stage="declined")
    await write(store, staged(order, declined, "declined")[1])
    assert await rows_of(store, "reviews") == []


async def some_reviews(store: Store, count: int = 6) -> list[str]:
    """Refunds that wait, the last due first; their ids."""
    found = []
    for n in range(count):
        order, batch = recorded(an_order(n))
        await write(store, batch)
        order, batch = waiting(order, due=LATER - n // 2)
        await write(store, batch)
        found.append(order.refunds[0].id)
    return found


async def close(store: Store, refund_id: str, at: int) -> None:
    order_id = await store.refund_order(refund_id)
    order = await store.order(order_id or "")
    assert order is not None
    await write(store, staged(replace(order, last_at=at), order.refunds[0], "active")[1])


@pytest.mark.parametrize("limit", [1, 2, 6, 9])
async def test_the_queue_shows_first_what_is_due_first(store: Store, limit: int) -> None:
    made = await some_reviews(store)
    items = await all_pages(lambda cursor, n: store.reviews({}, cursor, n, NOW), limit)
    assert sorted(item["refund"] for item in items) == sorted(made)
    assert [item["due"] for item in items] == [LATER - n for n in (2, 2, 1, 1, 0, 0)]
    for n, refund in enumerate(made[:3]):
        await close(store, refund, LATER + n)
    done = await all_pages(
        lambda cursor, n: store.reviews({"state": "closed"}, cursor, n, NOW), limit
    )
    assert [item["refund"] for item in done] == made[2::-1]
    assert [item["closed_at"] for item in done] == [LATER + 2, LATER + 1, LATER]
    left = await all_pages(lambda cursor, n: store.reviews({}, cursor, n, NOW), limit)
    assert left == [item for item in items if item["refund"] not in made[:3]]


async def test_an_item_of_the_queue(store: Store) -> None:
    (refund,) = await some_reviews(store, 1)
    (item,) = (await store.reviews({}, "", 10, NOW)).items
    assert item == {
        "order": await store.refund_order(refund),
        "refund": refund,
        "entity": "main",
        "state": "open",
        "role": "",
        "assignee": "",
        "due": LATER,
        "snoozed_until": 0,
        "escalated": "",
        "asked": False,
        "amount": 3200,
        "currency": "EUR",
        "score_bp": 4200,
        "rule": "high-value",
        "reason": "return",
        "created_at": NOW,
        "closed_at": 0,
    }


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, [0, 1]),
        ({"state": "open", "snoozed": "no"}, [0, 1]),
        ({"snoozed": "yes"}, [2]),
        ({"snoozed": "any"}, [0, 1, 2]),
        ({"assignee": "person:1"}, [1]),
        ({"assignee": ""}, [0]),
        ({"role": "finance", "snoozed": "any"}, [2]),
        ({"due_before": str(LATER + 1)}, [0]),
        ({"state": "closed"}, []),
    ],
)
async def test_filters_of_the_queue(
    store: Store, filters: dict[str, str], shown: Sequence[int]
) -> None:
    batch = Batch()
    orders = [recorded(an_order(n), batch)[0] for n in range(3)]
    await write(store, batch)
    made = []
    for n, order in enumerate(orders):
        order, batch = waiting(order, due=LATER + n)
        made.append(order.refunds[0].id)
        await write(store, batch)
    async with cold(store).writing() as connection:
        for n, column, value in ((1, "assignee", "person:1"), (2, "role", "finance")):
            where = reviews.c.refund_id == made[n]
            await connection.execute(update(reviews).where(where).values({column: value}))
        snoozed = update(reviews).where(reviews.c.refund_id == made[2])
        await connection.execute(snoozed.values(snoozed_until=NOW + 1))
    page = await store.reviews(filters, "", 10, NOW)
    assert [item["refund"] for item in page.items] == [made[n] for n in shown]
    awake = await store.reviews(filters, "", 10, NOW + 1)
    assert (filters == {"snoozed": "yes"}) == (page != awake and not awake.items)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"colour": "red"}, "no filter colour: there are assignee, due_before, role"),
        ({"state": "asleep"}, "no state asleep: there are open, closed"),
        ({"snoozed": "maybe"}, "no snoozed maybe: there are no, yes, any"),
        ({"due_before": "tomorrow"}, "due_before is an instant"),
        ({"due_before": "9" * 19}, "due_before is an instant"),
    ],
)
async def test_a_filter_that_means_nothing(
    store: Store, filters: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        await store.reviews(filters, "", 10, NOW)


async def test_a_cursor_of_another_list(store: Store) -> None:
    with pytest.raises(ValueError, match="this cursor was not made by this list"):
        await store.reviews({}, "WzFd", 10, NOW)


async def test_reviews_that_are_overdue_are_counted(store: Store) -> None:
    made = await some_reviews(store, 4)
    assert [(await store.counts(at))["reviews_overdue"] for at in (NOW, LATER - 1, LATER)] == [
        *(0, 2, 4)
    ]
    await close(store, made[0], LATER)
    assert (await store.counts(LATER))["reviews_overdue"] == 3


# -- what is usual


async def test_amounts_by_connection(store: Store) -> None:
    batch = Batch()
    for n in range(42):
        order = an_order(n)
        if n % 2:
            order = replace(order, source=replace(order.source, connection="shop-2"))
        order, batch = recorded(order, batch)
        batch.judged.append(a_judgement(n, NOW + n, order=order.id, amount=n * 10))
    batch.judged.append(a_judgement(99, NOW - 1))
    batch.judged.append(a_judgement(98, NOW))
    await write(store, batch)
    found = await store.amounts(NOW + 2)
    even = sorted(range(20, 420, 20))
    odd = sorted(range(30, 420, 20))
    assert found == {
        "shop-1": Amounts(20, tuple(even[:19])),
        "shop-2": Amounts(20, tuple(odd[:19])),
    }
    assert await store.amounts(FOR_EVER) == {}


async def test_quantiles_of_one_amount(store: Store) -> None:
    order, batch = recorded(an_order(1))
    batch.judged.append(a_judgement(1, order=order.id, amount=7))
    await write(store, batch)
    assert await store.amounts(NOW) == {"shop-1": Amounts(1, (7,) * 19)}


async def test_what_is_usual_is_kept_by_connection(store: Store) -> None:
    assert await store.shop_stats() == {}
    stats = ShopStats("shop-1", NOW, '{"count":1}')
    for kept in (stats, replace(stats, connection="shop-0"), replace(stats, at=NOW + 1, doc="{}")):
        await store.put_shop_stats(kept)
    fresh = ShopStats("shop-1", NOW + 1, "{}")
    assert await store.shop_stats() == {"shop-0": replace(stats, connection="shop-0")} | {
        "shop-1": fresh
    }
