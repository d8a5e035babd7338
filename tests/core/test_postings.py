"""Entries balance in both currencies at any rate; what is corrected is corrected exactly (I5)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core import postings
from amends.core.chart import CHART
from amends.core.facts import DisputeReported, OrderCancelled, RefundRequested
from amends.core.order import Dispute, Leg, Order, Refund
from amends.core.postings import Entry
from amends.core.requests import OrderKey, RefundIn
from amends.core.shares import Breakdown, Fee, LineShare, Lost, TaxShare
from amends.kernel.check import InvariantBroken
from amends.kernel.money import Rate, convert
from amends.kernel.time import from_datetime
from tests.core.desk import STRIPE, Desk, contract_order

AMOUNTS = st.integers(0, 10**9)
RATES = st.builds(
    Rate,
    st.just("USD"),
    st.just("EUR"),
    st.integers(1, 10**7),
    st.integers(1, 10**7),
    st.just("config"),
)


@st.composite
def kept_and_more(draw: st.DrawFn, most: int) -> dict[str, object]:
    """Charges and compensation; fees and lost promotions that leave something to pay."""
    fee, lost = draw(st.integers(0, (most - 1) // 2)), draw(st.integers(-(10**6), (most - 1) // 2))
    tax = draw(st.integers(0, max(0, fee)))
    on = draw(st.sampled_from(["line", "shipping"]))
    return {
        "charges": (LineShare("w", 0, draw(AMOUNTS), (TaxShare("VAT", draw(AMOUNTS)),)),),
        "compensation": draw(AMOUNTS),
        "fees": (Fee("handling", fee - tax, (TaxShare("VAT", tax),)),),
        "lost": (Lost("p", "1", lost, on=on), Lost("q", "1", draw(AMOUNTS), waived=True)),
    }


@st.composite
def refunds(draw: st.DrawFn) -> Refund:
    line = LineShare("1", 1, draw(AMOUNTS), (TaxShare("VAT", draw(AMOUNTS)),))
    freight = LineShare("s", 0, draw(AMOUNTS), (TaxShare("VAT", draw(AMOUNTS)),))
    breakdown = Breakdown((line,), (freight,), draw(st.integers(1, 10**9)))
    if draw(st.booleans()):
        breakdown = replace(breakdown, **draw(kept_and_more(breakdown.total)))
    leg = Leg("leg_1", "refund", "pay_1", breakdown.total, "sending", psp_refund_id="re_1")
    return Refund(
        "rf_1", "return", breakdown.total, "active", breakdown, (leg,), "key:x", 1, "shown"
    )


def order_at(rate: Rate) -> Order:
    payment = replace(Desk().payment(), id="pay_1")
    return Order("ord_1", OrderKey("shop-1", "1"), "USD", rate, payments=(payment,))


def sums(entries: list[Entry]) -> dict[str, tuple[int, int]]:
    """Amount and functional amount per account."""
    found: dict[str, tuple[int, int]] = {}
    for posting in (p for entry in entries for p in entry.postings):
        amount, functional = found.get(posting.account, (0, 0))
        found[posting.account] = (amount + posting.amount, functional + posting.functional)
    return found


def check(entry: Entry) -> None:
    assert sum(p.amount for p in entry.postings) == 0
    assert sum(p.functional for p in entry.postings) == 0
    for posting in entry.postings:
        # What is kept back is rounded beside what is given, and may leave a unit over.
        rounded = posting.account == "fx_gain_loss" and abs(posting.functional) <= 1
        assert posting.amount != 0 or rounded
        assert posting.amount * posting.functional >= 0
        assert posting.account.partition(":")[0] in CHART


@given(refund=refunds(), rate=RATES)
def test_every_entry_balances_at_any_rate(refund: Refund, rate: Rate) -> None:
    order, leg = order_at(rate), refund.legs[0]
    whole = convert(leg.amount, rate)
    for entry in (
        postings.claim(order, refund, leg.amount, 1),
        postings.payout(order, refund, leg, 1),
        postings.payout_failed(order, refund, leg, 1),
        postings.void(order, refund, leg, 1),
        postings.external(order, refund, leg, 1),
        postings.external(order, refund, leg, 1, back=True),
        postings.claim_lapsed(order, replace(refund, claimed=leg.amount), Breakdown(), 1),
    ):
        check(entry)
        debit = sum(p.functional for p in entry.postings if p.functional > 0)
        paid = [p for p in entry.postings if abs(p.amount) == leg.amount]
        if not refund.breakdown.held and min(p.amount for p in entry.postings) == -leg.amount:
            assert debit == whole, "each side is converted once, as a whole"
        elif entry.kind != "external":
            assert any(abs(p.functional) == whole for p in paid)
        assert (entry.currency, entry.functional_currency) == ("USD", "EUR")


@given(refund=refunds(), rate=RATES, data=st.data())
def test_a_claim_is_reversed_exactly(refund: Refund, rate: Rate, data: st.DataObject) -> None:
    """Even if it was made in two steps, as when a release turned into a refund."""
    order = order_at(rate)
    first = data.draw(st.integers(0, refund.amount))
    entries = []
    if first:
        entries.append(postings.claim(order, refund, first, 1))
        refund = replace(refund, claimed=first)
    if first < refund.amount:
        entries.append(postings.claim(order, refund, refund.amount, 1))
        refund = replace(refund, claimed=refund.amount)
    entries.append(postings.claim_lapsed(order, refund, Breakdown(), 2))
    for entry in entries:
        check(entry)
    assert {amount for amount, _ in sums(entries).values()} == {0}
    if len(entries) == 2:
        assert {functional for _, functional in sums(entries).values()} == {0}


@given(refund=refunds(), rate=RATES)
def test_what_came_back_is_reversed_exactly(refund: Refund, rate: Rate) -> None:
    order, leg = order_at(rate), refund.legs[0]
    paid = [postings.payout(order, refund, leg, 1), postings.payout_failed(order, refund, leg, 2)]
    assert set(sums(paid).values()) == {(0, 0)}
    made = [
        postings.external(order, refund, leg, 1),
        postings.external(order, refund, leg, 2, back=True),
    ]
    assert set(sums(made).values()) == {(0, 0)}


def test_edge_17_the_functional_currency_at_the_orders_rate() -> None:
    desk = Desk(contract_order(currency="USD"))
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.accept()
    claim, payout = desk.entries
    assert [(p.account, p.amount, p.functional) for p in claim.postings] == [
        ("sales_returns", 8000, 7310),
        ("shipping_refunds", 500, 457),
        ("tax_payable", 1700, 1553),
        ("refunds_payable", -10_200, -9320),
    ]
    assert [(p.account, p.amount, p.functional) for p in payout.postings] == [
        ("refunds_payable", 10_200, 9320),
        (f"clearing:{STRIPE}", -10_200, -9320),
    ]
    assert payout.psp_refund_id == desk.leg().psp_refund_id


def test_numbers_count_without_gaps_and_hashes_differ() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(amount=500)))
    desk.due()
    desk.accept()
    desk.hear(desk.state("failed"))
    desk.tell(OrderCancelled())
    assert [e.number for e in desk.entries] == list(range(1, len(desk.entries) + 1))
    assert len({e.hash for e in desk.entries}) == len(desk.entries)
    sealed = [entry for event in desk.events for entry in event.entries]
    assert sealed == [e.hash for e in desk.entries]


def test_an_entry_that_does_not_balance_is_a_defect() -> None:
    """A payout of another amount than its leg's can never be written."""
    order = Desk().order
    with pytest.raises(InvariantBroken, match="does not balance"):
        postings._entry(order, 1, "payout", "rf", "leg", "", [("refunds_payable", 1)])


@given(refund=refunds(), day=st.dates(date(1971, 1, 1), date(2200, 1, 1)), ahead=st.integers(0, 40))
def test_an_entry_is_posted_into_an_open_period(refund: Refund, day: date, ahead: int) -> None:
    order, at = Desk().order, from_datetime(datetime(day.year, day.month, day.day, 23, tzinfo=UTC))
    entry = postings.claim(order, refund, refund.amount, at)
    before = (day.replace(day=1) - timedelta(days=1)).isoformat()[:7]
    assert postings.dated(entry, before) is entry
    assert postings.dated(entry, "") is entry
    closed = (day + timedelta(days=31 * ahead)).isoformat()[:7]
    late = postings.dated(entry, closed)
    month_after = (date.fromisoformat(f"{closed}-01") + timedelta(days=32)).replace(day=1)
    assert late.posted_on == month_after.isoformat()
    assert replace(late, posted_on="").hash == entry.hash


HELD = st.lists(
    st.tuples(st.integers(0, 10**9), st.sampled_from(["open", "won", "lost"])), min_size=1
)


@given(held=HELD, rate=RATES)
def test_a_dispute_is_on_the_books_with_what_it_holds(
    held: list[tuple[int, str]], rate: Rate
) -> None:
    """Whatever it takes and gives back, in however many steps; a lost one as a loss."""
    order, entries, before = order_at(rate), [], None
    for amount, status in held:
        after = Dispute("dp_1", "pay_1", amount, status, amount, booked=amount)
        made = postings.dispute(order, "stripe-eu", before, after, 1)
        if made is not None:
            check(made)
            entries.append(made)
        assert postings.dispute(order, "stripe-eu", after, after, 1) is None
        before = after
    whole = (amount, convert(amount, rate))
    account = "dispute_losses" if status == "lost" else "disputed"
    found = {name: pair for name, pair in sums(entries).items() if pair != (0, 0)}
    assert found == (
        {account: whole, "clearing:stripe-eu": (-whole[0], -whole[1])} if amount else {}
    )


def test_edge_11_a_dispute_is_booked_once_and_given_back_when_won() -> None:
    desk = Desk()
    for status, is_open, withdrawn in (
        ("needs_response", True, 10_200),
        ("under_review", True, 10_200),
        ("won", False, 0),
        ("won", False, 0),
    ):
        fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", status, is_open, withdrawn)
        desk.tell(fact)
    assert [e.kind for e in desk.entries] == ["dispute", "dispute_returned"]
    assert set(sums(desk.entries).values()) == {(0, 0)}
    assert desk.order.disputes[0].booked == 0
