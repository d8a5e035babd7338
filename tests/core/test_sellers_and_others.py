"""What sellers bear of refunds that we did not ask for, or thought were not made."""

from __future__ import annotations

import pytest

from amends.core.parties import Party, Split
from amends.kernel.outcome import RefundState, Unknown
from amends.kernel.time import DAY
from tests.core.desk import STRIPE
from tests.core.test_sellers import (
    FEES,
    SPLITS,
    STRIPES,
    Market,
    ask,
    books,
    market,
    refunded,
    sent,
)


def by_others(desk: Market, amount: int, name: str = "re_dashboard") -> None:
    desk.hear(RefundState(name, "succeeded", amount, desk.order.currency))


@pytest.mark.parametrize("splits", [FEES, STRIPES, SPLITS])
def test_what_others_give_back_is_the_payees_where_it_can_be_nobody_elses(
    splits: dict[str, Split],
) -> None:
    desk = market(splits=splits)
    by_others(desk, 4000)
    held = books(desk)
    assert held.pop("sales_returns") == 4000
    if splits is FEES:
        assert held == {"seller_shares": -4000}, "the seller paid, of us nothing left"
        assert desk.leg().parties == (Party("acct_1", 4000, part=400, taken=4000),)
    else:
        assert held == {f"clearing:{STRIPE}": -4000}
    desk.hear(RefundState("re_dashboard", "failed", 4000, "EUR"))
    assert not any(books(desk).values())


def test_what_others_give_back_of_sellers_paid_apart_is_ours() -> None:
    desk = market(splits=FEES, apart=True)
    by_others(desk, 4000)
    assert books(desk) == {"sales_returns": 4000, f"clearing:{STRIPE}": -4000}


def test_after_others_the_payee_bears_what_is_left_of_his_part() -> None:
    desk = market(splits=FEES)
    by_others(desk, 4000)
    last = refunded(desk, amount=6000)
    assert [(p.amount, p.fee, p.taken) for p in last] == [(6000, 600, 5400)]
    assert desk.balance("seller_shares") == -10_000
    assert desk.balance(f"clearing:{STRIPE}") == -600


def test_an_attempt_that_surfaces_had_asked_something_of_sellers() -> None:
    desk = market()
    ask(desk, amount=4000)
    sent(desk)
    desk.answer(Unknown("timeout"))
    late = desk.state()
    desk.now += DAY
    desk.due()
    desk.found()
    sent(desk)
    desk.accept()
    desk.hear(late)
    assert "closed_attempt_surfaced" in desk.raised()
    assert desk.balance("seller_shares") == -8000
    assert desk.balance("seller_receivable:acct_1") == 0
    assert desk.balance(f"clearing:{STRIPE}") == -800
