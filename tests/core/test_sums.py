"""An order that does not add up is refused: which component is off, and by how much."""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.orders import check_order
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    ChargeIn,
    DiscountIn,
    LineIn,
    OrderDiscountIn,
    PromotionIn,
    ShippingIn,
    TaxIn,
    TotalsIn,
)
from tests.core.desk import Desk, card, contract_order

VAT = (TaxIn("VAT", 150),)
OFF = DiscountIn(100, "ten")
TEN = OrderDiscountIn("ten", 150)


def adding_up(**changes: Any) -> Any:
    """Goods of 10.00 less 1.50 off the order, parcel 0.50, wrapping 2.00, all of it said twice."""
    said: dict[str, Any] = {
        "lines": (
            LineIn("1", 1, 500, subtotal=600, discount=100, discounts=(OFF,), taxes=VAT),
            LineIn("2", 2, 350, subtotal=400, discounts=(DiscountIn(50, "ten"),)),
        ),
        "shipping": (ShippingIn("s", 50),),
        "charges": (ChargeIn("w", "gift_wrap", 200, taxes=(TaxIn("VAT", 30),)),),
        "discounts": (TEN,),
        "tenders": (card(1100),),
        "totals": TotalsIn(850, 50, 200, 150, 180, 1100),
    }
    return contract_order(**{**said, **changes})


def test_what_adds_up_is_taken() -> None:
    order = Desk(adding_up()).order
    assert [(x.id, x.total) for x in (*order.lines, *order.shipping, *order.charges)] == [
        ("1", 500),
        ("2", 350),
        ("s", 50),
        ("w", 200),
    ]


def test_taxes_on_top_are_in_the_total() -> None:
    report = adding_up(prices_include_tax=False, tenders=(card(1280),))
    with pytest.raises(Refused) as refused:
        check_order(report)
    assert refused.value.refusal.extra["computed"] == 1280
    check_order(adding_up(prices_include_tax=False, tenders=(card(1280),), totals=None))


LINE = LineIn("1", 1, 500, subtotal=600, discounts=(OFF,))
OFF_BY: list[tuple[dict[str, Any], Reason, str, int]] = [
    (
        {"lines": (LineIn("1", 1, 10, taxes=(TaxIn("VAT", 11),)),), "discounts": ()},
        Reason.TAXES_OFF,
        "/lines/0/taxes",
        1,
    ),
    (
        {"lines": (LineIn("1", 1, 500, subtotal=605, discounts=(OFF,)),)},
        Reason.DISCOUNTS_OFF,
        "/lines/0/subtotal",
        -5,
    ),
    (
        {"lines": (LineIn("1", 1, 500, discount=90, discounts=(OFF,)),)},
        Reason.DISCOUNTS_OFF,
        "/lines/0/discount",
        10,
    ),
    (
        {"lines": (LineIn("1", 1, 9, discounts=(DiscountIn(1, taxes=(TaxIn("VAT", 2),)),)),)},
        Reason.TAXES_OFF,
        "/lines/0/discounts/0/taxes",
        1,
    ),
    ({"lines": (LINE,)}, Reason.DISCOUNTS_OFF, "/discounts/0/amount", -50),
    ({"totals": TotalsIn(lines=851)}, Reason.TOTAL_OFF, "/totals/lines", -1),
    ({"totals": TotalsIn(shipping=49)}, Reason.TOTAL_OFF, "/totals/shipping", 1),
    ({"totals": TotalsIn(charges=0)}, Reason.TOTAL_OFF, "/totals/charges", 200),
    ({"totals": TotalsIn(discounts=100)}, Reason.DISCOUNTS_OFF, "/totals/discounts", 50),
    ({"totals": TotalsIn(taxes=181)}, Reason.TAXES_OFF, "/totals/taxes", -1),
    ({"totals": TotalsIn(total=1101)}, Reason.TOTAL_OFF, "/totals/total", -1),
    ({"tenders": (card(1000),)}, Reason.TENDERS_OFF, "/tenders", -100),
]


@pytest.mark.parametrize(("changes", "reason", "pointer", "off_by"), OFF_BY)
def test_what_is_off_and_by_how_much(
    changes: dict[str, Any], reason: Reason, pointer: str, off_by: int
) -> None:
    with pytest.raises(Refused) as refused:
        check_order(adding_up(**changes))
    refusal = refused.value.refusal
    assert (refusal.reason, refusal.extra["pointer"]) == (reason, pointer)
    assert refusal.extra["off_by"] == off_by
    assert refusal.extra["computed"] - refusal.extra["stated"] == off_by
    assert str(abs(off_by)) in refusal.detail


PROMOTION = PromotionIn("p", "threshold", at_least=1)
UNCLEAR: list[tuple[dict[str, Any], Reason, str]] = [
    ({"discounts": ()}, Reason.VALIDATION, "/lines/0/discounts/0/of"),
    ({"discounts": (TEN, TEN)}, Reason.VALIDATION, "/discounts"),
    ({"charges": (ChargeIn("w", "tip", 1),) * 2}, Reason.VALIDATION, "/charges"),
    ({"promotions": (PromotionIn("p", "threshold"),)}, Reason.VALIDATION, "/promotions/0"),
    ({"promotions": (PromotionIn("p", "buy_get", buy=2),)}, Reason.VALIDATION, "/promotions/0"),
    (
        {"promotions": (PromotionIn("p", "threshold", at_least=1, lines=("9",)),)},
        Reason.UNKNOWN_LINE,
        "/promotions/0/lines",
    ),
]


@pytest.mark.parametrize(("changes", "reason", "pointer"), UNCLEAR)
def test_what_cannot_be_meant(changes: dict[str, Any], reason: Reason, pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        check_order(adding_up(**changes))
    assert (refused.value.refusal.reason, refused.value.refusal.extra["pointer"]) == (
        reason,
        pointer,
    )
    check_order(adding_up(promotions=(PROMOTION,)))
