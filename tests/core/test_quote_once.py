"""A quote is committed once, unchanged: again, under whatever key, or after the order has changed,
it pays nothing more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decide import quote
from amends.core.decision import Method
from amends.core.facts import OrderReported, Recorded, RefundRequested
from amends.core.quote import basis_of
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    ChargeIn,
    ChargePick,
    FeeIn,
    LineAmount,
    LineIn,
    LinePick,
    RefundIn,
)
from tests.core.desk import DAY, STRIPE, TEA, TERMS, Desk, card, contract_order, recorded_id
from tests.core.test_amounts import ONE, WRAP, ask

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
AD_HOC = RefundIn(amount=500)


@pytest.mark.parametrize("request_", [ONE_TEA, AD_HOC, RefundIn()])
def test_the_second_commit_is_stale(request_: RefundIn) -> None:
    desk = Desk()
    asked = Recorded(recorded_id(99), desk.now, "key:agent", RefundRequested(request_))
    made = quote(desk.order, request_, asked, desk.ctx())
    fact = RefundRequested(request_, made.hash, desk.now + DAY)
    assert desk.tell(fact).refused is None
    again = desk.tell(fact).refused
    assert again is not None and again.reason == Reason.QUOTE_STALE
    assert len(desk.order.refunds) == 1


TIE = LineIn("2", 1, 500)
PAID = (card(10_940),)


@pytest.mark.parametrize(
    ("sold", "quoted", "then"),
    [
        pytest.param(
            {"lines": (TEA, TIE)},
            RefundIn(lines=(LinePick("2", 1),)),
            {"lines": (TEA,)},
            id="the line is gone (unknown_line)",
        ),
        pytest.param(
            {"charges": (WRAP,)},
            RefundIn(charges=(ChargePick("w"),)),
            {"charges": (ChargeIn("w", "gift_wrap", 240, refundable=False),)},
            id="the charge is not refundable any more (charge_not_refundable)",
        ),
        pytest.param(
            {},
            RefundIn(lines=ONE, fees=(FeeIn("handling", 600),)),
            LineAmount("1", 9000),
            id="the unit is worth less than its fee (fee_exceeds_refund)",
        ),
    ],
)
def test_a_quote_of_a_changed_order_is_stale_and_says_why(
    sold: dict[str, Any], quoted: RefundIn, then: Any
) -> None:
    """Whatever the request runs into now, it was right when it was quoted."""
    desk = Desk(contract_order(**{"tenders": PAID, **sold}))
    asked = Recorded(recorded_id(99), desk.now, "key:agent", RefundRequested(quoted))
    made = quote(desk.order, quoted, asked, desk.ctx())
    basis = basis_of(desk.order, desk.policy.version)
    if isinstance(then, LineAmount):
        ask(desk, adjustments=(then,), reason="price_adjustment")
    else:
        changed = contract_order(**{"tenders": PAID, **sold, **then, "version": 2})
        desk.tell(OrderReported(changed))
    refused = desk.tell(RefundRequested(quoted, made.hash, 0, quote_basis=basis)).refused
    assert refused is not None
    assert refused.reason is Reason.QUOTE_STALE
    fields = {"refunds", "remaining"} if isinstance(then, LineAmount) else {"version"}
    assert set(refused.extra["changed"]) == fields
    told = {"refunds": "1 refunds count (were 0)", "version": "version 2 (was 1)"}
    assert all(told.get(field, "") in refused.detail for field in fields)


def test_what_a_method_does_not_allow_is_not_quoted() -> None:
    terms = replace(TERMS, methods=(Method("cash", partial=False),))
    paid = replace(card(10_200), method="cash")
    desk = Desk(contract_order(tenders=(paid,)), terms={STRIPE: terms})
    asked = Recorded(recorded_id(99), desk.now, "key:agent", RefundRequested(ONE_TEA))
    with pytest.raises(Refused) as told:
        quote(desk.order, ONE_TEA, asked, desk.ctx())
    assert told.value.refusal.reason is Reason.PARTIAL_NOT_POSSIBLE
