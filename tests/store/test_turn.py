"""A turn: what it reads, what it writes, who wins, and that it is all or nothing."""

from __future__ import annotations

import msgspec
import pytest

from amends.core.order import Order
from amends.store.spec import (
    Answer,
    AnswerKey,
    Batch,
    Inbound,
    NoteText,
    Person,
    QuoteRow,
    Retry,
    RowRefused,
    Store,
)
from tests.store.conftest import Another
from tests.store.examples import (
    LEASE,
    NOW,
    an_answer,
    an_effect,
    an_order,
    payment_of,
    recorded,
    refunded,
)
from tests.store.sql import everything, rows_of, write

WEIRD = "Grüße 🍵 'quoted\" \\ \x1f\x1e\x1d\x1c \u2028 {}, NULL ''"


async def known(store: Store, n: int = 1) -> Order:
    order, batch = recorded(an_order(n))
    await write(store, batch)
    return order


def inbound(n: int, state: str = "done", **more: object) -> Inbound:
    fields = {"connection": "stripe-eu", "message": f"evt_{n}", "at": NOW + n, "type": "refund"}
    fields |= {"state": state, "actor": "connection:stripe-eu", "raw": b"{}", **more}
    return msgspec.convert(fields, Inbound)


def messages(*found: Inbound) -> Batch:
    batch = Batch()
    batch.inbox = {(i.connection, i.message): i for i in found}
    return batch


async def test_an_order_comes_back_as_it_was_written(store: Store) -> None:
    order = await known(store)
    changed, batch = refunded(order)
    await write(store, batch)
    async with store.turn() as turn:
        assert await turn.lock([order.id, "ord_nobody", order.id]) == {order.id: changed}
    assert await store.order(order.id) == changed
    assert await store.order("ord_nobody") is None


async def test_every_row_of_a_refund(store: Store) -> None:
    order, batch = refunded(await known(store))
    await write(store, batch)
    (refund,) = order.refunds
    (leg,) = refund.legs
    found = await everything(store)
    assert found["refunds"] == [
        (order.id, refund.id, "sending", "return", 3200, "EUR", 0, "key:support", order.last_at)
    ]
    assert found["legs"] == [
        (order.id, leg.id, refund.id, leg.payment, "stripe-eu", "refund", "sending", 3200, "")
    ]
    assert found["payments"][0][2:] == (
        *("stripe-eu", "pi_1", "EUR", 10200, 10200, 10200, 3200, 0, 0, 0, 0, 0, 0, 0),
    )
    assert [row[1] for row in found["events"]] == [1, 2, 3]
    assert [row[3:6] for row in found["postings"]] == [
        ("sales_returns", "EUR", 2667),
        ("tax_payable", "EUR", 533),
        ("refunds_payable", "EUR", -3200),
    ]
    assert found["orders"][0][5:8] == (order.head_seq, order.head_hash, 0)
    assert await store.events(order.id, "1", 10) == batch.events


async def test_nothing_to_read_for_nothing_asked(store: Store) -> None:
    async with store.turn() as turn:
        assert await turn.answers([]) == {}
        assert await turn.routes([]) == {}
        assert await turn.lock([]) == {}
        assert await turn.seen([]) == set()
        assert await turn.waiting([]) == []
        assert await turn.unmatched([]) == []
        assert await turn.parked([]) == []
        assert await turn.history([], 0) == {}
        assert await turn.caps([]) == {}
        await turn.write(Batch())


async def test_what_a_turn_routes_by(store: Store) -> None:
    order, batch = refunded(await known(store), key="k-1")
    await write(store, batch)
    first = an_answer("k-1")
    async with store.turn() as turn:
        asked = [first.key, AnswerKey("key:other", first.key.route, "k-1")]
        assert await turn.answers(asked) == {first.key: first}
        refs = [("stripe-eu", "pi_1"), ("stripe-us", "pi_1")]
        assert await turn.routes(refs) == {("stripe-eu", "pi_1"): order.id}


async def test_a_quote_comes_back(store: Store) -> None:
    batch = Batch()
    batch.quotes = [QuoteRow(f"qt_{n}", "ord_1", b'{"amount":1}', "h" * 64, NOW) for n in (2, 1)]
    await write(store, batch)
    assert await store.quote("qt_1") == batch.quotes[1]
    assert await store.quote("qt_3") is None


async def test_values_of_every_kind_come_back(store: Store) -> None:
    order = await known(store)
    weird = msgspec.structs.replace(order, customer=WEIRD, parked=WEIRD)
    batch = Batch()
    batch.orders[order.id] = weird
    answer = Answer(
        AnswerKey(WEIRD, "", WEIRD), "", b"\x00\xff", 201, b"", ((WEIRD, ""), ("", WEIRD)), -1
    )
    batch.answers.append(answer)
    batch.people.append(Person(WEIRD, "", WEIRD, "", "", 2**62))
    await write(store, batch)
    assert await store.order(order.id) == weird
    assert await store.person(WEIRD, "") == batch.people[0]
    async with store.turn() as turn:
        assert await turn.answers([answer.key]) == {answer.key: answer}


async def test_a_lone_empty_text_is_a_row(store: Store) -> None:
    batch = Batch()
    batch.people.append(Person("", "", "", "", "", 0))
    await write(store, batch)
    assert await store.person("", "") == batch.people[0]


# -- who wins


async def test_a_created_order_must_be_new(store: Store) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch)
    before = await everything(store)
    with pytest.raises(Retry):
        await write(store, recorded(an_order(1))[1])
    assert await everything(store) == before
    assert await store.order(order.id) == order


async def test_a_changed_order_must_be_there(store: Store) -> None:
    order, _ = recorded(an_order(1))
    with pytest.raises(Retry):
        await write(store, refunded(order)[1])
    assert not any((await everything(store)).values())


async def test_an_answer_must_be_new(store: Store) -> None:
    order, batch = refunded(await known(store), key="k-1")
    await write(store, batch)
    before = await everything(store)
    with pytest.raises(Retry):
        await write(store, refunded(order, key="k-1")[1])
    assert await everything(store) == before


async def test_a_route_must_be_new_or_equal(store: Store) -> None:
    order = await known(store)
    same, other = Batch(), Batch()
    same.routes = {("stripe-eu", "pi_1"): order.id, ("stripe-eu", "ch_1"): order.id}
    await write(store, same)
    other.routes = {("stripe-eu", "ch_2"): "ord_2", ("stripe-eu", "pi_1"): "ord_2"}
    with pytest.raises(Retry):
        await write(store, other)
    assert await rows_of(store, "payment_refs") == [
        ("ch_1", "stripe-eu", order.id),
        ("pi_1", "stripe-eu", order.id),
    ]


async def test_a_further_id_that_is_taken_stays_with_whom_it_is(store: Store) -> None:
    order = await known(store)
    first, second = Batch(), Batch()
    first.aliases = {("stripe-eu", "ch_1"): order.id, ("stripe-eu", "ch_2"): order.id}
    await write(store, first)
    second.aliases = {("stripe-eu", "ch_2"): "ord_2", ("stripe-eu", "ch_3"): "ord_2"}
    await write(store, second)
    assert await rows_of(store, "payment_refs") == [
        ("ch_1", "stripe-eu", order.id),
        ("ch_2", "stripe-eu", order.id),
        ("ch_3", "stripe-eu", "ord_2"),
        ("pi_1", "stripe-eu", order.id),
    ]


@pytest.mark.parametrize("final", ["done", "ignored"])
async def test_a_message_that_is_done_stays_done(store: Store, final: str) -> None:
    """A duplicate that was read before the first was written must not open it again (I9)."""
    await write(store, messages(inbound(1, final)))
    with pytest.raises(Retry):
        await write(store, messages(inbound(1, "unmatched", refs=["stripe-eu/pi_1"])))
    async with store.turn() as turn:
        assert await turn.seen([("stripe-eu", "evt_1"), ("stripe-eu", "evt_2")]) == {
            ("stripe-eu", "evt_1")
        }
        assert await turn.waiting(["stripe-eu/pi_1"]) == []


async def test_a_second_event_of_one_number_is_refused(store: Store) -> None:
    order = await known(store)
    _, batch = refunded(msgspec.structs.replace(order, head_seq=0))
    with pytest.raises(RowRefused, match="events"):
        await write(store, batch)


# -- I1 and other refusals


@pytest.mark.parametrize(
    "changes",
    [
        {"pending_ours": 10201},
        {"pending_ours": 1, "refunded_ours": 10200},
        {"credited_ours": 5000, "refunded_ours": 5201},
        {"pending_ours": -1},
        {"external": -1},
    ],
)
async def test_more_than_was_captured_is_refused(store: Store, changes: dict[str, int]) -> None:
    order = await known(store)
    before = await everything(store)
    batch = Batch()
    batch.orders[order.id] = payment_of(order, **changes)
    with pytest.raises(RowRefused) as refused:
        await write(store, batch)
    assert "payments_n" in refused.value.detail
    assert await everything(store) == before


async def test_what_others_took_is_recorded_whole(store: Store) -> None:
    order = await known(store)
    batch = Batch()
    taken = payment_of(order, captured=0, refunded_ours=10200, external=10200, disputed=20400)
    batch.orders[order.id] = taken
    await write(store, batch)
    assert await store.order(order.id) == taken


@pytest.mark.parametrize("bad", [2**63, -(2**63) - 1])
async def test_a_number_that_does_not_fit_is_refused(store: Store, bad: int) -> None:
    order = await known(store)
    batch = Batch()
    batch.orders[order.id] = payment_of(order, external=abs(bad), disputed=bad)
    with pytest.raises(RowRefused):
        await write(store, batch)


async def test_text_that_is_no_unicode_is_refused(store: Store) -> None:
    batch = Batch()
    batch.people.append(Person("main", "c-1", "\ud800", "", "", NOW))
    with pytest.raises(RowRefused):
        await write(store, batch)


async def test_a_refund_that_its_order_does_not_have_is_a_bug(store: Store) -> None:
    order = await known(store)
    batch = Batch()
    batch.orders[order.id] = order
    batch.refunds.add((order.id, "rf_nobody"))
    with pytest.raises(KeyError):
        await write(store, batch)


# -- all or nothing


async def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    order, batch = recorded(an_order(1))
    with pytest.raises(ZeroDivisionError):
        async with store.turn() as turn:
            await turn.write(batch)
            raise ZeroDivisionError
    assert not any((await everything(store)).values())
    await write(store, batch)
    assert await store.order(order.id) == order


async def test_an_error_that_is_caught_inside_the_block_still_ends_the_turn(store: Store) -> None:
    """Half a batch would be on disk otherwise, or, on PostgreSQL, nothing without a word."""
    good, batch = recorded(an_order(1))
    bad = Batch()
    bad.orders["x"] = msgspec.structs.replace(payment_of(good, pending_ours=99999), id="x")
    bad.created.add("x")
    with pytest.raises(RowRefused):
        async with store.turn() as turn:
            await turn.write(batch)
            with pytest.raises(RowRefused):
                await turn.write(bad)
            with pytest.raises(RuntimeError, match="failed"):
                await turn.lock([good.id])
    assert not any((await everything(store)).values())


async def test_turns_see_what_was_committed_before(store: Store, another: Another) -> None:
    order = await known(store)
    second = await another()
    async with store.turn() as turn:
        await turn.lock([order.id])
        changed, batch = refunded(order)
        await turn.write(batch)
        assert await second.order(order.id) == order
    assert await second.order(order.id) == changed


async def test_a_large_batch(store: Store) -> None:
    size = 600
    batch = Batch()
    orders = {}
    for n in range(size):
        order, batch = recorded(an_order(n), batch)
        orders[order.id] = order
    await write(store, batch)
    batch = Batch()
    changed = {}
    for order in orders.values():
        new, batch = refunded(order, batch)
        changed[new.id] = new
    await write(store, batch)
    async with store.turn() as turn:
        assert await turn.lock(list(orders)) == changed
        assert len(await turn.answers([answer.key for answer in batch.answers])) == size
    found = await everything(store)
    assert (len(found["events"]), len(found["postings"])) == (3 * size, 3 * size)


# -- payments, people, notes


async def test_only_payments_that_changed_are_written(store: Store) -> None:
    order = await known(store)
    batch = Batch()
    batch.orders[order.id] = msgspec.structs.replace(order, parked="look")
    async with store.turn() as turn:
        await turn.lock([order.id])
        await turn.write(batch)
    assert (await store.counts(NOW))["orders_parked"] == 1
    batch.orders[order.id] = payment_of(order, voided=5, uncaptured=7)
    await write(store, batch)
    assert [row[-2:] for row in await rows_of(store, "payments")] == [(5, 7)]
    assert (await store.counts(NOW))["orders_parked"] == 0


async def test_people_keep_the_newest(store: Store) -> None:
    first = Person("main", "c-1", "a@example.com", "A", "DE", NOW)
    newer = msgspec.structs.replace(first, email="b@example.com", at=NOW + 1)
    for people in ([first, newer], [first]):
        batch = Batch()
        batch.people = people
        await write(store, batch)
    assert await store.person("main", "c-1") == newer
    assert await store.person("main", "c-2") is None


async def test_notes_of_an_order(store: Store) -> None:
    batch = Batch()
    later = NoteText("n-1", "ord_1", "salt", "Seal was broken", NOW + 1)
    first = NoteText("n-2", "ord_1", "salt", WEIRD, NOW)
    batch.notes = [later, first, NoteText("n-3", "ord_2", "salt", "", NOW)]
    await write(store, batch)
    assert await store.notes("ord_1") == [first, later]


# -- the inbox


async def test_waiting_messages_are_found_by_what_they_wait_for(store: Store) -> None:
    one = inbound(1, "unmatched", facts=b"[1]", refs=["stripe-eu/pi_1", "shop-1/a/b"])
    two = inbound(0, "unmatched", facts=b"[2]", refs=["stripe-eu/pi_1"])
    await write(store, messages(one, two, inbound(3)))
    async with store.turn() as turn:
        assert await turn.waiting(["stripe-eu/pi_1", "stripe-eu/pi_2"]) == [two, one]
        assert await turn.waiting(["shop-1/a/b", "stripe-eu/pi_1"]) == [two, one]
        assert await turn.waiting(["shop-1/a"]) == []
        assert await turn.unmatched([("stripe-eu", "evt_1"), ("stripe-eu", "evt_3")]) == [one]
    done = msgspec.structs.replace(one, state="done", facts=b"", refs=(), raw=b"", order="ord_1")
    await write(store, messages(done))
    assert await rows_of(store, "inbox_refs") == [("pi_1", "stripe-eu", "stripe-eu", "evt_0")]
    (_, row) = (await rows_of(store, "inbox"))[:2]
    assert (row[4], row[6]) == ("done", b"{}")  # the raw body it came with is kept


async def test_a_message_may_wait_for_less_than_before(store: Store) -> None:
    row = inbound(1, "unmatched", refs=["stripe-eu/pi_1", "stripe-eu/pi_2"])
    await write(store, messages(row))
    less = msgspec.structs.replace(row, refs=("stripe-eu/pi_2",))
    async with store.turn() as turn:
        await turn.waiting(["stripe-eu/pi_1"])
        await turn.write(messages(less))
    async with store.turn() as turn:
        assert await turn.waiting(["stripe-eu/pi_1"]) == []
        assert await turn.waiting(["stripe-eu/pi_2"]) == [less]


async def test_parked_messages_in_their_order(store: Store) -> None:
    rows = [
        inbound(1, "parked", order="ord_2", seq=2),
        inbound(2, "parked", order="ord_2", seq=1),
        inbound(3, "parked", order="ord_1", seq=9),
        inbound(4, "parked", order="ord_3", seq=1),
        inbound(5, "done", order="ord_1", seq=1),
    ]
    await write(store, messages(*rows))
    async with store.turn() as turn:
        assert await turn.parked(["ord_2", "ord_1"]) == [rows[2], rows[1], rows[0]]


async def test_unmatched_messages_whose_payment_or_order_came(store: Store) -> None:
    by_payment = inbound(1, "unmatched", refs=["stripe-eu/pi_1"])
    by_both = inbound(0, "unmatched", refs=["shop-1/1", "stripe-eu/pi_1"])
    neither = inbound(3, "unmatched", refs=["stripe-us/pi_1", "shop-1/2"])
    await write(store, messages(by_payment, by_both, neither))
    assert await store.unmatched_routed(10) == []
    await known(store, 1)
    assert await store.unmatched_routed(10) == [by_both, by_payment]
    assert await store.unmatched_routed(1) == [by_both]
    await write(store, messages(inbound(0), inbound(1)))
    assert await store.unmatched_routed(10) == []


async def test_effects_are_replaced_and_done(store: Store) -> None:
    order = await known(store)
    first, second = an_effect(order, "leg_1"), an_effect(order, "leg_2")
    batch = Batch()
    batch.effects = {(order.id, first.id): (first, LEASE), (order.id, second.id): (second, None)}
    await write(store, batch)
    batch = Batch()
    again = msgspec.structs.replace(first, attempt=2, due=NOW + 5)
    batch.effects = {(order.id, first.id): (again, None)}
    batch.done = {(order.id, first.id), (order.id, second.id), (order.id, "ef_gone")}
    await write(store, batch)
    (row,) = await rows_of(store, "effects")
    assert row[1:-1] == (
        *(first.id, "send", "stripe-eu", first.payment, "leg_1", NOW + 5, "", 0, NOW + 5, 2),
    )
    assert msgspec.json.decode(row[-1], type=type(again)) == again
