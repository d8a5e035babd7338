"""Amounts that other systems got wrong in public, with our figures beside the wrong ones."""

from __future__ import annotations

import pytest

from amends.core.facts import RefundRequested
from amends.core.requests import DiscountIn, LineIn, LinePick, OrderDiscountIn, RefundIn, TaxIn
from amends.kernel.money import major, share
from tests.core.desk import Desk, card, contract_order


def paid(line: LineIn, amount: int, currency: str = "EUR", **more: object) -> Desk:
    """One line, paid by one card."""
    plain = {"lines": (line,), "shipping": (), "currency": currency, "tenders": (card(amount),)}
    return Desk(contract_order(**plain, **more), functional=currency)


def ask(desk: Desk, **asked: object) -> int:
    assert desk.tell(RefundRequested(RefundIn(**asked))).refused is None  # type: ignore[arg-type]
    return desk.refund().amount


def parts(desk: Desk) -> list[tuple[int, int]]:
    return [(r.breakdown.lines[0].net, r.breakdown.lines[0].tax) for r in desk.order.refunds]


def test_edge_14_polar_13770_stacked_partials_of_52_and_10() -> None:
    """Each refund's tax by the rate of the whole, rounded: the net comes to 53 of 52."""
    desk = paid(LineIn("1", 1, 62, taxes=(TaxIn("VAT", 10),)), 62)
    asked = (32, 9, 8, 3, 6, 3)
    for amount in asked:
        assert ask(desk, amount=amount) == amount
    assert parts(desk) == [(27, 5), (8, 1), (6, 2), (3, 0), (5, 1), (2, 1)]
    assert [sum(column) for column in zip(*parts(desk), strict=True)] == [51, 10]
    wrong = [share(10, amount, 62) for amount in asked]
    assert (sum(asked) - sum(wrong), sum(wrong)) == (53, 8), "more net than there was"
    assert ask(desk) == 1
    assert parts(desk)[-1] == (1, 0)
    assert desk.order.remaining == 0


def test_sonata_177_two_of_three_less_a_tenth() -> None:
    """Their figure was 200: the price before the discount."""
    off = DiscountIn(30, "ten")
    line = LineIn("1", 3, 270, subtotal=300, discounts=(off,))
    desk = paid(line, 270, discounts=(OrderDiscountIn("ten", 30),))
    assert ask(desk, lines=(LinePick("1", 2),)) == 180
    assert share(300, 2, 3) == 200
    assert ask(desk, lines=(LinePick("1", 1),)) == 90


@pytest.mark.parametrize(("picks", "ours"), [((1, 1, 1), [33, 34, 33]), ((2, 1), [67, 33])])
def test_edge_14_three_at_a_third(picks: tuple[int, ...], ours: list[int]) -> None:
    """3 x 0.333 for 1.00: three times 0.33 leaves a cent that nobody can get back."""
    desk = paid(LineIn("1", 3, 100, taxes=(TaxIn("VAT", 16),)), 100)
    assert [ask(desk, lines=(LinePick("1", units),)) for units in picks] == ours
    assert sum(ours) == 100 != 3 * share(100, 1, 3)
    assert sum(tax for _, tax in parts(desk)) == 16
    assert desk.order.remaining == 0


def test_edge_16_jpy_5800_is_5800_yen() -> None:
    """As if yen had hundredths it was paid back as 58."""
    desk = paid(LineIn("1", 1, 5800), 5800, "JPY")
    assert ask(desk) == 5800
    assert major(desk.refund().amount, "JPY") == "5800"
    desk.due()
    assert desk.leg().amount == 5800 != 58


def test_edge_16_kwd_has_three_decimals() -> None:
    """12.345 KWD is 12345 fils; taken for hundredths it was ten times as much."""
    desk = paid(LineIn("1", 3, 12_345, taxes=(TaxIn("VAT", 588),)), 12_345, "KWD")
    assert [ask(desk, lines=(LinePick("1", 1),)) for _ in range(3)] == [4115, 4115, 4115]
    assert [tax for _, tax in parts(desk)] == [196, 196, 196]
    assert major(4115, "KWD") == "4.115"
    assert major(4115, "EUR") == "41.15", "the wrong one"


@pytest.mark.parametrize("steps", [(4,), (1, 1, 1, 1), (2, 2), (3, 1), (1, 3)])
def test_it_does_not_matter_in_how_many_steps_units_come_back(steps: tuple[int, ...]) -> None:
    """Each reckoned from what is left, one by one, four of six at 17 came to 12 and not 11."""
    desk = paid(LineIn("1", 6, 17), 17)
    assert sum(ask(desk, lines=(LinePick("1", units),)) for units in steps) == 11
