"""What was valued once stays at that until it moves (docs/currencies.md: "A message that moves no
money leaves it as it is, and figures are of what it held when they were told"; I5, I7, edge 17)."""

from __future__ import annotations

from collections import Counter

import pytest

from amends.kernel.outcome import Settled
from tests.core.test_fx import CLEARING, FX, Market

GBP = {"USD": (91, 100), "GBP": (110, 100)}


def third() -> Market:
    """Dollars sold, euro books, pounds on the provider's balance."""
    return Market(by_day=dict(GBP))


def fees(desk: Market) -> dict[str, int]:
    """What is on the books as charged, by currency."""
    found: Counter[str] = Counter()
    for entry in desk.entries:
        on = [line.amount for line in entry.postings if line.account == "provider_fees"]
        found[entry.currency] += sum(on)
    return {currency: amount for currency, amount in found.items() if amount}


@pytest.mark.parametrize("later", [(91, 100), None])
def test_a_dispute_that_takes_more_keeps_what_it_held_at_what_that_was_worth(
    later: tuple[int, int] | None,
) -> None:
    """40.00 taken at 0.95, and 10.00 more on a day whose rate is the order's, or on which nobody
    knows one: only the 10.00 are at the order's rate."""
    desk = Market()  # its rate is 0.91
    desk.by_day["USD"] = (95, 100)
    desk.dispute(4000)
    assert desk.ours(CLEARING) == -3800
    desk.by_day = {"USD": later} if later else {}
    desk.dispute(5000)
    assert (desk.ours(CLEARING), desk.ours(FX)) == (-3800 - 910, 160)
    desk.dispute(0, "won", amount=5000)
    assert (desk.ours(CLEARING), desk.ours(FX)) == (0, 0)


def test_what_a_dispute_takes_more_of_a_currency_without_a_rate_is_worth_nothing_until_told() -> (
    None
):
    """The dollars' rate is not that of pounds; what it held stays as it is."""
    desk = third()
    desk.dispute(4000, currency="GBP")
    del desk.by_day["GBP"]
    desk.dispute(5000, currency="GBP")
    assert desk.ours(CLEARING) == -4400
    assert "no_rate" in desk.raised()


@pytest.mark.parametrize("again", [None, Settled("txn", "GBP", 3000)])
@pytest.mark.parametrize("status", ["under_review", "lost"])
@pytest.mark.parametrize("later", [{"GBP": (120, 100)}, {}])
def test_a_dispute_that_moves_nothing_is_not_valued_anew_at_another_days_rate(
    later: dict[str, tuple[int, int]], status: str, again: Settled | None
) -> None:
    """Stripe's messages repeat all lines: the same figures are what was booked, whether or not
    anybody knows a rate that day."""
    desk = third()
    desk.dispute(4000, settled=Settled("txn", "GBP", 3000))
    assert desk.ours(CLEARING) == -3300
    desk.by_day = later
    desk.dispute(4000, status, settled=again)
    assert (desk.ours(CLEARING), desk.raised()) == (-3300, [])


def test_of_figures_that_change_only_the_step_is_at_the_rate_of_the_day() -> None:
    """10.00 GBP more are worth what pounds are worth then; what comes back is what it left for."""
    desk = third()
    desk.dispute(4000, settled=Settled("txn", "GBP", 3000))
    desk.by_day["GBP"] = (120, 100)
    desk.dispute(5000, settled=Settled("txn", "GBP", 4000))
    assert desk.ours(CLEARING) == -3300 - 1200
    desk.by_day["GBP"] = (130, 100)
    desk.dispute(2500, settled=Settled("txn", "GBP", 2000))
    assert desk.ours(CLEARING) == -2250


def test_figures_nobody_knew_a_rate_of_are_valued_once_one_is_known() -> None:
    """Those were never valued: the payout was booked at the order's rate."""
    desk = Market()
    leg = desk.pay(Settled("txn", "GBP", 3000), amount=4000)
    assert desk.ours(CLEARING) == -3640
    desk.by_day["GBP"] = (110, 100)
    desk.figures(Settled("txn", "GBP", 3000, 10), leg)
    assert desk.ours(CLEARING) == -3300 - 11


@pytest.mark.parametrize("fee", [0, 100])
def test_a_fee_that_is_told_later_does_not_value_the_refund_anew(fee: int) -> None:
    """The amount is what was told before; only what is new of the fee is at the rate of its day,
    and what is given back of it comes back as it went."""
    desk = third()
    leg = desk.pay(Settled("txn", "GBP", 3000, fee), amount=4000)
    before = desk.ours(CLEARING)
    assert before == -3300 - fee * 110 // 100
    desk.by_day["GBP"] = (120, 100)
    desk.figures(Settled("txn", "GBP", 3000, fee + 50), leg)
    assert desk.ours(CLEARING) == before - 60
    desk.figures(Settled("txn", "GBP", 3000), leg)
    assert (desk.ours(CLEARING), desk.ours("provider_fees")) == (-3300, 0)


def test_a_fee_that_is_told_in_another_currency_takes_the_place_of_the_first() -> None:
    """1.00 GBP and then 0.50 EUR are 0.50 EUR; nothing is left of the pounds."""
    desk = third()
    leg = desk.pay(Settled("txn", "GBP", 3000, 100), amount=4000)
    desk.figures(Settled("txn", "EUR", 3300, 50), leg)
    assert (fees(desk), desk.ours("provider_fees")) == ({"EUR": 50}, 50)
    desk.hear(desk.state("failed", desk.leg()))
    assert (fees(desk), desk.ours("provider_fees")) == ({}, 0)


def test_a_fee_of_a_dispute_is_told_in_another_currency_too() -> None:
    """Though the figures it was booked by are not of what it holds any more."""
    desk = third()
    desk.dispute(4000, settled=Settled("txn", "GBP", 3000, 100))
    desk.dispute(5000)
    assert desk.order.disputes[0].settled is None
    desk.dispute(5000, settled=Settled("txn", "EUR", 4500, 100))
    assert (fees(desk), desk.ours("provider_fees")) == ({"EUR": 100}, 100)
    desk.dispute(5000, settled=Settled("txn"))
    assert fees(desk) == {"EUR": 100}, "figures that are not told say nothing"


def test_a_fee_in_a_currency_nobody_knows_a_rate_of_leaves_the_first_as_it_is() -> None:
    desk = third()
    leg = desk.pay(Settled("txn", "GBP", 3000, 100), amount=4000)
    desk.figures(Settled("txn", "CHF", 3300, 50), leg)
    assert (fees(desk), desk.raised()) == ({"GBP": 100}, ["no_rate"])
    desk.hear(desk.state("failed", desk.leg()))
    assert (fees(desk), desk.ours("provider_fees")) == ({}, 0)
