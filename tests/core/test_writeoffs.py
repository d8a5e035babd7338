"""Small differences that a person writes off, up to a limit, and takes back by an entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.decision import Ctx
from amends.core.facts import RefundRequested, WriteOffReversed, WrittenOff
from amends.core.reasons import Reason
from amends.core.requests import LineIn, RefundIn, SellerIn
from amends.kernel.money import convert
from tests.core.desk import STRIPE, Desk, card, contract_order
from tests.core.test_sellers import STRIPES, Market, refunded

CLEARING = f"clearing:{STRIPE}"


class Books(Desk):
    """A desk at which up to 1.00 in the books' currency is small."""

    def ctx(self) -> Ctx:
        return replace(super().ctx(), write_off_up_to=100)


def refused(desk: Desk, fact: Any) -> Reason | None:
    found = desk.tell(fact, "cli:lead").refused
    return found.reason if found else None


def test_a_small_difference_is_written_off_and_taken_back_once() -> None:
    desk = Books()
    desk.tell(WrittenOff(CLEARING, 2, "sha256:1"), "cli:lead")
    (entry,) = desk.entries
    assert [(p.account, p.amount) for p in entry.postings] == [("write_offs", 2), (CLEARING, -2)]
    assert desk.order.remaining == 10_200, "nothing of the order's money is touched"
    assert refused(desk, WriteOffReversed(entry.number)) is None
    assert (desk.balance("write_offs"), desk.balance(CLEARING)) == (0, 0)
    assert [e.kind for e in desk.entries] == ["write_off", "write_off"]
    assert refused(desk, WriteOffReversed(entry.number)) is Reason.NOT_REVERSIBLE
    assert desk.order.write_offs == ()


@pytest.mark.parametrize("amount", [100, -100])
def test_it_is_small_up_to_the_limit_in_the_currency_of_the_books(amount: int) -> None:
    desk = Books()
    assert refused(desk, WrittenOff(CLEARING, amount)) is None
    more = amount + (1 if amount > 0 else -1)
    assert refused(desk, WrittenOff(CLEARING, more)) is Reason.WRITE_OFF_TOO_LARGE
    dollars = Books(contract_order(currency="USD"))
    assert refused(dollars, WrittenOff(CLEARING, 109)) is None  # 0.996 euro
    assert refused(dollars, WrittenOff(CLEARING, 111)) is Reason.WRITE_OFF_TOO_LARGE


@pytest.mark.parametrize(
    ("account", "amount"),
    [
        ("refunds_payable", 1),
        ("clearing:another", 1),
        ("seller_receivable:acct_2", 1),
        (CLEARING, 0),
    ],
)
def test_only_a_difference_on_the_orders_own_balances(account: str, amount: int) -> None:
    sold = replace(card(10_200), sellers=(SellerIn("acct_1", 5000),), sellers_paid="apart")
    desk = Books(contract_order(tenders=(sold,)))
    assert refused(desk, WrittenOff(account, amount)) is Reason.VALIDATION
    assert refused(desk, WrittenOff("seller_receivable:acct_1", 1)) is None


def test_what_follows_from_what_happened_is_not_reversed_by_hand() -> None:
    desk = Books()
    desk.tell(RefundRequested(RefundIn()))
    assert desk.kinds() == ["claim"]
    assert refused(desk, WriteOffReversed(1)) is Reason.NOT_REVERSIBLE
    assert desk.kinds() == ["claim"]


@given(
    amounts=st.lists(st.integers(-90, 90).filter(bool), min_size=1, max_size=6),
    currency=st.sampled_from(["EUR", "USD", "JPY"]),
)
def test_what_is_written_off_is_the_whole_it_comes_to_and_reversed_comes_to_nothing(
    amounts: list[int], currency: str
) -> None:
    desk = Books(contract_order(currency=currency))
    taken = 0
    for amount in amounts:
        if refused(desk, WrittenOff(CLEARING, amount)) is None:
            taken += amount
        assert held(desk) == (-taken, -convert(taken, desk.order.rate))
    for number, _, amount in desk.order.write_offs:
        assert refused(desk, WriteOffReversed(number)) is None
        taken -= amount
        assert held(desk) == (-taken, -convert(taken, desk.order.rate))
    assert taken == 0


def held(desk: Desk) -> tuple[int, int]:
    lines = [p for e in desk.entries for p in e.postings if p.account == CLEARING]
    return sum(p.amount for p in lines), sum(p.functional for p in lines)


def test_the_limit_is_of_what_is_written_off_an_account_and_not_of_each_time() -> None:
    """Ten times 1.00 of one account of one order are a difference of 10.00 (cf. edge 25: caps are
    of the sum). What was taken back does not count."""
    desk = Books()
    assert refused(desk, WrittenOff(CLEARING, 60)) is None
    assert refused(desk, WrittenOff(CLEARING, 41)) is Reason.WRITE_OFF_TOO_LARGE
    assert refused(desk, WrittenOff(CLEARING, 40)) is None
    assert refused(desk, WriteOffReversed(1)) is None
    assert refused(desk, WrittenOff(CLEARING, 60)) is None
    assert refused(desk, WrittenOff(CLEARING, 1)) is Reason.WRITE_OFF_TOO_LARGE


class Small(Market):
    """A market at which up to 1.00 is small."""

    def ctx(self) -> Ctx:
        ctx: Ctx = replace(super().ctx(), write_off_up_to=100)
        return ctx


def test_what_a_seller_owes_ends_at_zero_in_both_currencies_in_however_many_write_offs() -> None:
    """JPY 3 are 2 cents; written off one by one, each by itself, they were 3, and a cent stayed
    that no write-off in yen can ever reach."""
    account = "seller_receivable:acct_1"
    seller = SellerIn("acct_1", 10_000)
    sold = replace(card(10_000), sellers=(seller,), sellers_paid="apart")
    lines = (LineIn("1", 1, 10_000),)
    report = contract_order(currency="JPY", lines=lines, shipping=(), tenders=(sold,))
    desk = Small(STRIPES, report=report)
    refunded(desk, amount=3)
    lines_of = [p for e in desk.entries for p in e.postings if p.account == account]
    assert [(p.amount, p.functional) for p in lines_of] == [(3, 2)]
    for _ in range(3):
        assert refused(desk, WrittenOff(account, 1)) is None
    lines_of = [p for e in desk.entries for p in e.postings if p.account == account]
    assert sum(p.amount for p in lines_of) == sum(p.functional for p in lines_of) == 0
