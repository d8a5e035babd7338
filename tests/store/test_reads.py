"""Cold reads: pages, filters, sums, tips."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.order import Order
from amends.store.reads import decode_cursor, encode_cursor
from amends.store.records import Head, Page
from amends.store.spec import Batch, Store
from tests.store.examples import NOW, an_order, next_event, recorded, refunded
from tests.store.sql import write


async def some_orders(store: Store, count: int, refunds: int = 0) -> list[Order]:
    """Orders in one batch, each with so many refunds of 100."""
    batch = Batch()
    orders = []
    for n in range(count):
        order, batch = recorded(an_order(n), batch)
        orders.append(order)
    await write(store, batch)
    for _ in range(refunds):
        batch = Batch()
        for place, order in enumerate(orders):
            orders[place], batch = refunded(order, batch, amount=100)
        await write(store, batch)
    return orders


async def all_pages(fetch: Any, limit: int) -> list[dict[str, Any]]:
    """Every item, by following the cursors."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page: Page = await fetch(cursor, limit)
        assert len(page.items) <= limit
        items += page.items
        if not page.next:
            return items
        assert len(page.items) == limit
        cursor = page.next


@pytest.mark.parametrize("limit", [1, 3, 6, 7, 100])
async def test_orders_newest_first(store: Store, limit: int) -> None:
    orders = await some_orders(store, 6)
    items = await all_pages(store.orders, limit)
    assert [item["id"] for item in items] == [order.id for order in reversed(orders)]
    assert items[-1] == {
        "id": orders[0].id,
        "entity": "main",
        "connection": "shop-1",
        "source_order_id": "0",
        "version": 1,
        "currency": "EUR",
        "remaining": 10200,
        "parked": "",
        "created_at": NOW,
        "updated_at": NOW,
    }


async def test_orders_made_in_one_instant_page_too(store: Store) -> None:
    batch = Batch()
    for n in range(5):
        _, batch = recorded(msgspec.structs.replace(an_order(n), last_at=NOW), batch)
    await write(store, batch)
    items = await all_pages(store.orders, 2)
    assert [i["id"] for i in items] == sorted(batch.orders, reverse=True)


async def test_refunds_newest_first_and_filtered(store: Store) -> None:
    orders = await some_orders(store, 3, refunds=2)
    last = orders[2]
    refund = last.refunds[1]
    named = msgspec.structs.replace(refund.legs[0], state="unknown", psp_refund_id="re_1")
    review = msgspec.structs.replace(last.refunds[0], stage="review")
    changed = (review, msgspec.structs.replace(refund, legs=(named,)))
    batch = Batch()
    batch.orders[last.id] = msgspec.structs.replace(last, refunds=changed)
    batch.refunds = {(last.id, r.id) for r in changed}
    await write(store, batch)

    async def found(**filters: str) -> list[str]:
        async def fetch(cursor: str, limit: int) -> Page:
            return await store.refunds(filters, cursor, limit)

        return [item["id"] for item in await all_pages(fetch, 2)]

    every = await found()
    times = {r.id: (r.created_at, r.id) for order in orders for r in order.refunds}
    assert every == sorted(times, key=lambda r: times[r], reverse=True)
    assert await found(order=orders[0].id) == [
        r for r in every if r in {x.id for x in orders[0].refunds}
    ]
    assert await found(state="unknown") == [refund.id]
    assert await found(state="review") == [review.id]
    assert len(await found(state="sending")) == 4
    assert await found(state="it's") == []
    assert await found(connection="stripe-eu") == every
    assert await found(connection="stripe-us") == []
    assert await found(psp_refund_id="re_1") == [refund.id]
    assert await found(psp_refund_id="") == []
    assert await found(psp_refund_id="re_1", state="review") == []
    assert await store.refund_order(refund.id) == last.id
    assert await store.refund_order("rf_nobody") is None
    counts = await store.counts(NOW)
    assert (counts["refunds_review"], counts["refunds_unknown"]) == (1, 1)
    (item,) = (await store.refunds({"state": "unknown"}, "", 5)).items
    assert item == {
        "id": refund.id,
        "order": last.id,
        "state": "unknown",
        "amount": 100,
        "amount_succeeded": 0,
        "currency": "EUR",
        "reason": "return",
        "requested_by": "key:support",
        "created_at": refund.created_at,
    }


async def test_entries_with_their_postings(store: Store) -> None:
    orders = await some_orders(store, 3, refunds=2)

    async def found(**filters: str) -> list[dict[str, Any]]:
        async def fetch(cursor: str, limit: int) -> Page:
            return await store.entries(filters, cursor, limit)

        return await all_pages(fetch, 2)

    every = await found()
    keys = [(item["at"], item["order"], item["number"]) for item in every]
    assert len(keys) == 6
    assert keys == sorted(keys)
    one = await found(order=orders[1].id)
    assert [(item["order"], item["number"]) for item in one] == [
        (orders[1].id, 1),
        (orders[1].id, 2),
    ]
    refund = orders[1].refunds[1]
    assert await found(refund=refund.id) == [one[1]]
    assert await found(refund=refund.id, order=orders[0].id) == []
    assert await found(account="tax_payable", currency="EUR") == every
    assert await found(account="clearing:stripe-eu") == []
    assert await found(currency="USD") == []
    assert one[1] == {
        "order": orders[1].id,
        "number": 2,
        "at": orders[1].last_at,
        "kind": "claim",
        "entity": "main",
        "currency": "EUR",
        "functional_currency": "EUR",
        "refund": refund.id,
        "leg": "",
        "psp_refund_id": "",
        "holder": "",
        "posted_on": "2026-09-21",
        "tax_point": "2026-09-21",
        "document_date": "2026-09-21",
        "worth": None,
        "postings": [
            {"account": "sales_returns", "amount": 84, "functional": 84},
            {"account": "tax_payable", "amount": 16, "functional": 16},
            {"account": "refunds_payable", "amount": -100, "functional": -100},
        ],
    }


async def test_entry_hashes_follow_from_the_rows(store: Store) -> None:
    batch = Batch()
    (order,) = await some_orders(store, 1)
    for _ in range(3):
        order, batch = refunded(order, batch, amount=100)
    await write(store, batch)
    assert await store.entry_hashes(order.id) == {e.number: e.hash for e in batch.entries}
    assert await store.entry_hashes("ord_nobody") == {}


async def test_balances(store: Store) -> None:
    assert await store.balances(None) == []
    await some_orders(store, 3, refunds=2)
    assert await store.balances(None) == [
        ("refunds_payable", "EUR", -600, -600),
        ("sales_returns", "EUR", 504, 504),
        ("tax_payable", "EUR", 96, 96),
    ]
    assert (await store.balances(NOW))[0] == ("refunds_payable", "EUR", -200, -200)
    assert await store.balances(NOW - 1) == []


async def test_sums_beyond_64_bits_of_one_entry(store: Store) -> None:
    """The largest amounts a request may name still add up exactly."""
    batch = Batch()
    for n in range(3):
        order, batch = recorded(an_order(n), batch)
        _, batch = refunded(order, batch)
    batch.orders = {}
    batch.created, batch.refunds = set(), set()
    batch.events, batch.effects = [], {}
    large = 10**15
    batch.entries = [
        msgspec.structs.replace(
            entry,
            postings=tuple(
                msgspec.structs.replace(p, amount=large * sign, functional=large * sign)
                for p, sign in zip(entry.postings[1:], (1, -1), strict=True)
            ),
        )
        for entry in batch.entries
    ]
    await write(store, batch)
    assert [amount for *_, amount, _ in await store.balances(None)] == [-3 * large, 3 * large]


async def test_payments_by_our_name_and_by_theirs(store: Store) -> None:
    order = an_order(1)
    more = msgspec.structs.replace(order.payments[0], captures=(("2GG", 10200),), psp_order="5O1")
    order, batch = recorded(msgspec.structs.replace(order, payments=(more,)))
    for name in ("ch_1", "2GG", "5O1"):
        batch.routes["stripe-eu", name] = order.id
    await write(store, batch)
    for name in (more.id, "pi_1", "ch_1", "2GG", "5O1"):
        assert await store.payment(name) == (order.id, more)
    assert await store.payment("pi_2") is None


async def test_events_of_a_stream(store: Store) -> None:
    (order,) = await some_orders(store, 1, refunds=1)
    events = await store.events(order.id, "", 10)
    assert [event.seq for event in events] == [1, 2, 3]
    assert events[-1].hash == order.head_hash
    assert await store.events(order.id, "1", 1) == events[1:2]
    assert await store.events(order.id, "3", 10) == []
    assert await store.events("ord_nobody", "", 10) == []


async def test_tips_of_chains(store: Store) -> None:
    orders = sorted(await some_orders(store, 5), key=lambda order: order.id)
    heads = [Head(order.id, 1, order.head_hash) for order in orders]
    assert await store.streams("", 10) == heads
    assert await store.streams(orders[1].id, 2) == heads[2:4]
    rows = [(order.id, 1, order.head_hash) for order in orders]
    assert await store.order_ids("", 3) == rows[:3]
    assert await store.order_ids(rows[2][0], 10) == rows[3:]


async def test_chains_that_changed(store: Store) -> None:
    orders = await some_orders(store, 3)
    late = msgspec.structs.replace(orders[1], last_at=NOW + 100)
    changed, batch = refunded(late)
    await write(store, batch)
    head = Head(changed.id, 3, changed.head_hash)
    assert await store.changed_heads(NOW + 100) == [head]
    assert await store.changed_heads(NOW + 101) == []
    assert len(await store.changed_heads(NOW)) == 3


async def test_a_chain_whose_clock_went_back_shows_its_last_event(store: Store) -> None:
    (order,) = await some_orders(store, 1)
    batch = Batch()
    back = msgspec.structs.replace(order, last_at=NOW - 500)
    batch.events = [next_event(back, "order.updated", {})]
    await write(store, batch)
    assert await store.changed_heads(NOW) == [Head(order.id, 2, batch.events[0].hash)]


# -- cursors


async def test_cursors_of_others_are_refused_with_a_sentence(store: Store) -> None:
    await some_orders(store, 2, refunds=1)
    theirs = (await store.orders("", 1)).next
    for bad in ("!", "å", "e30", encode_cursor([1]), encode_cursor(["a", 1]), "x" * 500):
        with pytest.raises(ValueError, match="cursor"):
            await store.orders(bad, 1)
        with pytest.raises(ValueError, match="cursor"):
            await store.refunds({}, bad, 1)
        with pytest.raises(ValueError, match="cursor"):
            await store.entries({}, bad, 1)
        with pytest.raises(ValueError, match="cursor"):
            await store.events("ord_1", bad, 1)
    with pytest.raises(ValueError, match="cursor"):
        await store.entries({}, theirs, 1)


async def test_unknown_filters_are_refused_with_what_there_is(store: Store) -> None:
    with pytest.raises(ValueError, match="no filter colour: there are connection, order"):
        await store.refunds({"colour": "red"}, "", 1)
    with pytest.raises(ValueError, match="no filter colour"):
        await store.entries({"colour": "red"}, "", 1)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(), min_size=1, max_size=3))
def test_a_cursor_is_its_key(key: list[int | str]) -> None:
    assert decode_cursor(encode_cursor(key), tuple(type(part) for part in key)) == tuple(key)


@given(st.text() | st.binary().map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        key = decode_cursor(text, (int, str))
    except ValueError as error:
        assert "cursor" in str(error)
    else:
        assert [type(part) for part in key] == [int, str]
