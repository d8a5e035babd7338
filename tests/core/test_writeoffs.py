"""Small differences that a person writes off, up to a limit, and takes back by an entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core import postings
from amends.core.decision import Ctx
from amends.core.facts import RefundRequested, WriteOffReversed, WrittenOff
from amends.core.reasons import Reason
from amends.core.requests import RefundIn, SellerIn
from tests.core.desk import STRIPE, Desk, card, contract_order

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


@given(amount=st.integers(-(10**9), 10**9).filter(bool), currency=st.sampled_from(["EUR", "USD"]))
def test_an_entry_and_its_reversal_come_to_nothing(amount: int, currency: str) -> None:
    order = Desk(contract_order(currency=currency)).order
    entry = postings.write_off(order, CLEARING, amount, 1)
    back = postings.reversal(order, entry, 2)
    both = zip(entry.postings, back.postings, strict=True)
    assert all((a.amount, a.functional) == (-b.amount, -b.functional) for a, b in both)
    assert sum(p.functional for p in entry.postings) == 0
