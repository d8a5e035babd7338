"""The worked example of docs/amounts.md, as it is computed."""

from __future__ import annotations

from amends.core.facts import RefundRequested
from amends.core.requests import DiscountIn, FeeIn, LineIn, LinePick, PromotionIn, RefundIn, TaxIn
from tests.core.desk import Desk, card, contract_order


def test_the_worked_example() -> None:
    off = DiscountIn(3000, "ten")
    lamps = LineIn("1", 3, 27_000, subtotal=30_000, discounts=(off,), taxes=(TaxIn("VAT", 4500),))
    ten = PromotionIn("ten", "threshold", at_least=25_000, if_lost="clawback")
    order = contract_order(lines=(lamps,), shipping=(), promotions=(ten,), tenders=(card(27_000),))
    desk, one = Desk(order), (LinePick("1", 1),)
    desk.tell(RefundRequested(RefundIn(lines=one, fees=(FeeIn("return_label", 600),))))
    parts = desk.refund().breakdown
    rows = [(x.net, x.tax) for x in (*parts.lines, *parts.lost, *parts.fees)]
    assert rows == [(7500, 1500), (1667, 333), (500, 100)]
    assert desk.refund().amount == 6400
    assert [(p.account, p.amount) for p in desk.entries[-1].postings] == [
        ("sales_returns", 5833),
        ("tax_payable", 1067),
        ("fees_kept", -500),
        ("refunds_payable", -6400),
    ]
    for _ in range(2):
        desk.tell(RefundRequested(RefundIn(lines=one)))
        assert desk.refund().amount == 10_000
    assert sum(r.amount for r in desk.order.refunds) == 27_000 - 600
