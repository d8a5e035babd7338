"""What sellers bear of refunds that we did not ask for, or thought were not made."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from amends.core.facts import PaidOutside
from amends.core.parties import Party, Split
from amends.kernel.outcome import Declined, RefundState, Unknown
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


def paid_both_ways(desk: Market) -> None:
    """The last refund failed, a person paid, and then the provider did after all."""
    first = desk.leg()
    desk.hear(desk.state("failed", first))
    assert desk.tell(PaidOutside(desk.refund().id, "SEPA-1"), "person:lead").refused is None
    desk.hear(desk.state("succeeded", first))
    desk.due_reread()
    desk.reread(desk.state("succeeded", first))


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


def test_a_refund_that_is_not_what_an_attempt_asked_took_what_nobody_here_knows() -> None:
    """It bears the mark of a leg, and is of another amount."""
    desk = market()
    refunded(desk, amount=4000)
    desk.hear(replace(desk.state(), psp_refund_id="re_other", amount=3000))
    assert desk.balance("seller_shares") == -4000
    assert desk.balance(f"clearing:{STRIPE}") == 3600 - 4000 - 3000


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


def test_a_refund_marked_with_a_leg_that_is_not_here_is_adopted() -> None:
    """Edge 10. After a restore, or where another installation shares the account, a provider lists
    refunds with a mark of ours on a leg this order does not have."""
    desk = market()
    mark = "leg_00000000000000000000000009_1"
    desk.hear(RefundState("re_1", "succeeded", 100, "EUR", mark, 1))
    assert desk.payment().external == 100


@pytest.mark.parametrize("splits", [FEES, STRIPES, SPLITS])
def test_edge_9_where_both_ways_paid_a_seller_bears_it_once(splits: dict[str, Split]) -> None:
    """The refund failed, a person paid, and then the provider did after all: what is too much the
    customer owes the platform. The seller bears his part once, and what was taken of him counts for
    that, else both would owe the same money."""
    desk = market(captures=True, splits=splits)
    refunded(desk)
    paid_both_ways(desk)
    assert "double_benefit" in desk.raised()
    assert desk.balance("seller_receivable:acct_1") == 0
    assert desk.balance("seller_shares") == 0
    assert desk.balance("platform_fees") == 0


def test_so_with_a_part_of_it() -> None:
    """60.00 by both ways, of 100.00: of the second he bears the 40.00 that are left of his part."""
    desk = market(captures=True, splits=SPLITS)
    refunded(desk, amount=6000)
    paid_both_ways(desk)
    assert desk.leg(0).parties == (Party("acct_1", 4000, part=400, fee=400, taken=5400),)
    assert books(desk)["seller_receivable:acct_1"] == 5400 + 3600 - 5400
    assert "platform_fees" not in books(desk)


def test_so_where_others_paid_it_again() -> None:
    """A person paid 60.00 of 100.00 by other means, and then all is given back on the payee's own
    page: he bears 100.00, and what was taken of him beyond the rest is what he owed for the 60."""
    desk = market(captures=True, splits=FEES, mode="keep")
    ask(desk, amount=6000)
    sent(desk)
    desk.answer(Declined("no", kind="final"))
    assert desk.tell(PaidOutside(desk.refund().id, "SEPA-1"), "person:lead").refused is None
    by_others(desk, 10_000)
    assert desk.balance("seller_receivable:acct_1") == 0
    assert desk.balance("seller_shares") == 0
