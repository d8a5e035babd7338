"""Charges, shipping, fees, goodwill and price adjustments: as they were sold, and on the books."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.amounts import Amounts
from amends.core.facts import (
    Approved,
    Canceled,
    OrderCancelled,
    OrderReported,
    RefundRequested,
    Rejected,
)
from amends.core.intents import refund_lines
from amends.core.left import shrunk
from amends.core.order import Refund
from amends.core.policy import built_in
from amends.core.reasons import Reason
from amends.core.requests import (
    ChargeIn,
    ChargePick,
    FeeIn,
    LineAmount,
    LineIn,
    LinePick,
    PaymentKey,
    RefundIn,
    ShippingIn,
    TaxIn,
)
from amends.core.shares import Breakdown, Fee, LineShare, Lost, TaxShare
from tests.core.desk import STRIPE, TEA, Desk, card, contract_order

WRAP = ChargeIn("w", "gift_wrap", 240, taxes=(TaxIn("VAT", 40),))
TIP = ChargeIn("t", "tip", 500, refundable=False)
ONE, ALL = (LinePick("1", 1),), (LinePick("1", 3),)


def desk_of(amounts: Amounts | None = None, **changes: Any) -> Desk:
    """The contract's order with a gift wrap of 2.40 and a tip of 5.00 that is not refunded."""
    plain = {"charges": (WRAP, TIP), "tenders": (card(10_940),)}
    policy = built_in(10**9, amounts=amounts or Amounts())
    return Desk(contract_order(**{**plain, **changes}), policy=policy)


def ask(desk: Desk, **asked: Any) -> Refund:
    decision = desk.tell(RefundRequested(RefundIn(**asked)))
    assert decision.refused is None, decision.refused
    return desk.refund()


def refused(desk: Desk, **asked: Any) -> tuple[Reason, dict[str, Any]]:
    found = desk.tell(RefundRequested(RefundIn(**asked))).refused
    assert found is not None
    return found.reason, found.extra


# -- charges ---------------------------------------------------------------------------------------


def test_a_charge_is_given_back_when_named_and_once() -> None:
    desk = desk_of()
    part = ask(desk, charges=(ChargePick("w", 100),)).breakdown.charges[0]
    assert (part.id, part.net, part.tax) == ("w", 83, 17)
    rest = ask(desk, charges=(ChargePick("w"),)).breakdown.charges[0]
    assert (rest.net, rest.tax) == (117, 23)
    reason, extra = refused(desk, charges=(ChargePick("w", 1),))
    assert (reason, extra["remaining"]) == (Reason.EXCEEDS_REMAINING, 0)
    assert (desk.balance("charge_refunds"), desk.balance("tax_payable")) == (200, 40)


def test_a_charge_that_is_not_refundable_stays() -> None:
    desk = desk_of()
    assert refused(desk, charges=(ChargePick("t"),))[0] is Reason.CHARGE_NOT_REFUNDABLE
    assert refused(desk, charges=(ChargePick("x"),))[0] is Reason.UNKNOWN_LINE
    assert [c.id for c in ask(desk, charges="full").breakdown.charges] == ["w"]
    assert ask(desk).amount == 10_200, "all that is left is all that is refundable"
    assert desk.order.remaining == 500
    assert refused(desk)[0] is Reason.NOTHING_LEFT


def test_a_sale_undone_as_a_whole_gives_every_charge_back() -> None:
    desk = desk_of()
    desk.tell(OrderCancelled())
    assert desk.refund().amount == 10_940
    assert [c.id for c in desk.refund().breakdown.charges] == ["w", "t"]
    assert ask(desk_of(), statutory=True).amount == 10_940


def test_an_amount_reaches_what_is_not_refundable_last() -> None:
    desk = desk_of()
    assert [c.id for c in ask(desk, amount=10_440).breakdown.charges] == ["w"]
    assert [c.id for c in ask(desk, amount=500).breakdown.charges] == ["t"]
    assert not any(r.breakdown.unallocated for r in desk.order.refunds)


# -- shipping --------------------------------------------------------------------------------------


def test_shipping_in_proportion_and_once() -> None:
    desk = desk_of()
    assert ask(desk, lines=ONE, shipping="proportional").breakdown.shipping[0].gross == 200
    assert ask(desk, lines=ONE).breakdown.shipping == ()
    shipping = ask(desk, lines=ONE, shipping="proportional").breakdown.shipping[0]
    assert (shipping.net, shipping.tax) == (333, 67), "the last takes the exact rest"
    assert refused(desk, shipping="full")[0] is Reason.NOTHING_LEFT
    desk = desk_of()
    each = [ask(desk, lines=ONE, shipping="proportional").breakdown.shipping for _ in range(3)]
    assert [part.gross for (part,) in each] == [200, 200, 200]


EXPRESS = ShippingIn("s1", 1500, standard=600)


def test_edge_26_the_whole_withdrawn_returns_standard_delivery() -> None:
    desk = desk_of(shipping=(EXPRESS,), tenders=(card(11_840),))
    assert ask(desk, lines=ONE, statutory=True).breakdown.shipping == ()
    last = ask(desk, lines=(LinePick("1", 2),), statutory=True)
    assert last.breakdown.shipping[0].gross == 600, "of the express only what standard costs"
    desk = desk_of(shipping=(EXPRESS,), tenders=(card(11_840),))
    ask(desk, shipping=400)
    assert ask(desk, lines=ALL, statutory=True).breakdown.shipping[0].gross == 200
    desk = desk_of()
    assert ask(desk, lines=ALL).breakdown.shipping == (), "by choice the shop's own terms count"
    assert ask(desk_of(), lines=ALL, statutory=True).breakdown.shipping[0].gross == 600


# -- fees ------------------------------------------------------------------------------------------


def test_a_fee_is_kept_back_with_its_tax_and_is_revenue() -> None:
    desk = desk_of()
    refund = ask(desk, lines=ONE, fees=(FeeIn("restocking", 600),))
    (fee,) = refund.breakdown.fees
    assert (refund.amount, fee.net, fee.tax) == (2600, 500, 100)
    assert {p.account: p.amount for p in desk.entries[-1].postings} == {
        "sales_returns": 2667,
        "tax_payable": 433,
        "fees_kept": -500,
        "refunds_payable": -2600,
    }
    free = ask(desk, lines=ONE, fees=(FeeIn("return_label", 490, ()),)).breakdown.fees[0]
    assert (free.net, free.tax) == (490, 0)
    told = ask(desk, lines=ONE, fees=(FeeIn("handling", 100, (TaxIn("VAT", 7),)),))
    assert (told.breakdown.fees[0].net, told.breakdown.fees[0].tax) == (93, 7)
    assert ask(desk).amount == 840, "all that is left leaves the fees where they are"
    assert desk.order.remaining == 600 + 490 + 100 + 500


def test_a_fee_is_kept_of_the_order_and_not_of_each_payment() -> None:
    """All that is left of the second card is all of it."""
    desk = desk_of(tenders=(card(5000), card(5940, None, "pi_2")))
    ask(desk, lines=ONE, fees=(FeeIn("handling", 700),))
    second = PaymentKey(STRIPE, "pi_2")
    assert ask(desk, payment=second, reason="cancelled").amount == 5940
    assert ask(desk, reason="cancelled").amount == 5000 - 2500 - 700
    assert desk.order.remaining == 700


def test_a_fee_above_the_refund_is_refused() -> None:
    for amount in (3200, 3201):
        reason, extra = refused(desk_of(), lines=ONE, fees=(FeeIn("handling", amount),))
        assert (reason, extra) == (
            Reason.FEE_EXCEEDS_REFUND,
            {"fees": amount, "refund": 3200},
        )
    assert ask(desk_of(), lines=ONE, fees=(FeeIn("handling", 3199),)).amount == 1
    bad = FeeIn("handling", 10, (TaxIn("VAT", 11),))
    assert refused(desk_of(), lines=ONE, fees=(bad,))[0] is Reason.VALIDATION


POLICY = Amounts(
    restocking_bp=1000, return_label=(("EUR", 490),), handling=(("EUR", 50), ("USD", 60))
)


def test_fees_by_policy_only_where_units_come_back_by_choice() -> None:
    kept = [(f.kind, f.gross) for f in ask(desk_of(POLICY), lines=ONE).breakdown.fees]
    assert kept == [("return_label", 490), ("handling", 50), ("restocking", 320)]
    for asked in (
        {"lines": ONE, "reason": "damaged"},
        {"lines": ONE, "fees": ()},
        {"shipping": "full"},
        {"amount": 500},
        {},
    ):
        assert ask(desk_of(POLICY), **asked).breakdown.fees == ()


def test_edge_26_no_restocking_fee_in_a_statutory_withdrawal() -> None:
    refund = ask(desk_of(POLICY), lines=ONE, statutory=True)
    assert [fee.kind for fee in refund.breakdown.fees] == ["return_label"]
    for kind in ("restocking", "handling"):
        reason, extra = refused(desk_of(), lines=ONE, statutory=True, fees=(FeeIn(kind, 1),))
        assert (reason, extra["kind"]) == (Reason.FEE_NOT_ALLOWED, kind)
    label = (FeeIn("return_label", 490),)
    assert ask(desk_of(), lines=ONE, statutory=True, fees=label).amount == 2710


def test_less_than_the_minimum_is_refused_unless_it_is_all_or_the_law() -> None:
    desk = desk_of(Amounts(minimum=(("EUR", 700),)))
    reason, extra = refused(desk, shipping="full")
    assert (reason, extra) == (Reason.BELOW_MINIMUM, {"amount": 600, "minimum": 700})
    assert ask(desk, amount=10_300).amount == 10_300
    assert ask(desk, amount=640).amount == 640, "all there is"
    little = LineIn("2", 1, 100)
    desk = desk_of(desk.policy.amounts, lines=(little, LineIn("1", 3, 9500)))
    assert refused(desk, lines=(LinePick("2", 1),))[0] is Reason.BELOW_MINIMUM
    assert ask(desk, lines=(LinePick("2", 1),), statutory=True).amount == 100


# -- goodwill --------------------------------------------------------------------------------------


def test_edge_26_goodwill_lowers_the_price_or_is_compensation() -> None:
    desk = desk_of()
    assert ask(desk, amount=600, reason="goodwill").breakdown.lines[0].tax == 92
    assert desk.balance("goodwill") == 0
    refund = ask(desk, amount=600, reason="goodwill", goodwill="compensation")
    assert (refund.breakdown.compensation, refund.breakdown.parts) == (600, ())
    assert {p.account: p.amount for p in desk.entries[-1].postings} == {
        "goodwill": 600,
        "refunds_payable": -600,
    }
    assert refused(desk, goodwill="compensation", reason="goodwill")[0] is Reason.VALIDATION
    assert refused(desk, goodwill="compensation", amount=1)[0] is Reason.VALIDATION


def test_a_price_adjustment_leaves_the_units_with_the_customer() -> None:
    desk = desk_of()
    refund = ask(desk, adjustments=(LineAmount("1", 600),), reason="price_adjustment")
    (part,) = refund.breakdown.lines
    assert (part.quantity, part.net, part.tax) == (0, 500, 100)
    units = [ask(desk, lines=ONE).amount for _ in range(3)]
    assert units == [3000, 3000, 3000]
    for line, reason in (("1", Reason.EXCEEDS_REMAINING), ("9", Reason.UNKNOWN_LINE)):
        assert refused(desk, adjustments=(LineAmount(line, 1),))[0] is reason


@pytest.mark.parametrize(
    "asked",
    [
        {"amount": 1, "fees": (FeeIn("handling", 1),)},
        {"amount": 1, "charges": "full"},
        {"amount": 1, "adjustments": (LineAmount("1", 1),)},
        {"quote": "qt_1", "fees": ()},
        {"quote": "qt_1", "statutory": True},
        {"hash": "abc"},
    ],
)
def test_what_contradicts_itself_is_refused(asked: dict[str, Any]) -> None:
    assert refused(desk_of(), **asked)[0] is Reason.VALIDATION


# -- what fails, and what leaves -------------------------------------------------------------------


def test_a_claim_with_fees_lapses_exactly() -> None:
    """Also one in two parts, of which the first is of the captured money alone."""
    desk = desk_of(tenders=(card(5000), card(5940, 0, "pi_2")))
    refund = ask(desk, lines=ALL, charges="full", fees=(FeeIn("restocking", 999),))
    assert desk.balance("refunds_payable") == -5000, "the rest is an authorization"
    assert -832 < desk.balance("fees_kept") < 0, "in proportion"
    desk.tell(Canceled(refund.id))
    assert {p.account: desk.balance(p.account) for e in desk.entries for p in e.postings} == {
        "sales_returns": 0,
        "tax_payable": 0,
        "charge_refunds": 0,
        "fees_kept": 0,
        "refunds_payable": 0,
    }


def test_what_a_provider_is_told_comes_to_the_amount() -> None:
    """Line items less what was kept back of them."""
    desk = desk_of()
    refund = ask(desk, lines=ALL, shipping="full", fees=(FeeIn("restocking", 999),))
    told = refund_lines(refund, refund.legs[0])
    assert [part.id for part in told] == ["1", "s1"]
    assert sum(part.gross for part in told) == refund.amount == 9201
    extra = ask(desk, amount=100, reason="goodwill", goodwill="compensation")
    assert [(p.id, p.net) for p in refund_lines(extra, extra.legs[0])] == [("other", 100)]


MIXED = Breakdown(
    lines=(LineShare("1", 3, 8000, (TaxShare("VAT", 1600),)),),
    unallocated=7,
    charges=(LineShare("w", 0, 200, (TaxShare("VAT", 40),)),),
    fees=(Fee("restocking", 500, (TaxShare("VAT", 100),)),),
    lost=(Lost("p", "1", 90, (TaxShare("VAT", 18),)), Lost("q", "s", -60, on="shipping")),
    compensation=300,
)


@given(amount=st.integers(1, MIXED.total))
def test_a_part_of_a_refund_keeps_every_component_in_its_bounds(amount: int) -> None:
    part = shrunk(MIXED, amount)
    assert part.total == amount
    assert shrunk(MIXED, MIXED.total) == MIXED
    fees = {fee.kind: fee for fee in part.fees}
    assert all(fee.gross for fee in part.fees), "a fee of nothing is none"
    held = (*(fees.get(fee.kind, Fee(fee.kind, 0)) for fee in MIXED.fees), *part.lost)
    for less, whole in zip((*part.parts, *held), (*MIXED.parts, *MIXED.held), strict=True):
        assert 0 <= less.net * (1 if whole.net > 0 else -1) <= abs(whole.net)
        assert 0 <= less.tax <= whole.tax


# -- a sale undone, in part or as a whole ----------------------------------------------------------


@pytest.mark.parametrize("how", [{"statutory": True}, {"reason": "fraud"}, {"reason": "cancelled"}])
def test_what_is_not_refundable_stays_while_goods_are_kept(how: dict[str, Any]) -> None:
    desk = desk_of()
    assert [c.id for c in ask(desk, lines=ONE, charges="full", **how).breakdown.charges] == ["w"]
    tip = (ChargePick("t"),)
    assert refused(desk, lines=ONE, charges=tip, **how)[0] is Reason.CHARGE_NOT_REFUNDABLE
    last = ask(desk, lines=(LinePick("1", 2),), charges=tip, **how)
    assert [c.id for c in last.breakdown.charges] == ["t"]


@pytest.mark.parametrize(
    "asked",
    [
        {"statutory": True},
        {"shipping": "proportional"},
        {"reason": "cancelled", "charges": "full"},
    ],
)
def test_goods_that_a_review_may_still_refuse_undo_no_sale_by_themselves(
    asked: dict[str, Any],
) -> None:
    """What follows from goods that may stay waits with them, and is not paid without them."""
    plain = {"charges": (WRAP, TIP), "tenders": (card(10_940),)}
    desk = Desk(contract_order(**plain), policy=built_in(5000))
    first = ask(desk, lines=(LinePick("1", 2),), **asked)
    desk.policy = built_in(10**9)
    second = ask(desk, lines=ONE, **asked)
    assert (first.stage, second.stage, second.builds_on) == ("review", "review", (first.id,))
    desk.tell(Canceled(first.id))
    found = desk.tell(Approved(second.id), actor="key:boss").refused
    assert found is not None
    assert (found.reason, found.extra) == (Reason.AMOUNT_CHANGED, {"refunds": [first.id]})


def test_edge_26_of_each_parcel_what_the_law_wants_of_it() -> None:
    parcels = (
        ShippingIn("s1", 1500, standard=600, taxes=(TaxIn("VAT", 250),)),
        ShippingIn("s2", 500),
    )
    for shipping, least in (("none", {"s1": 600, "s2": 500}), (1200, {"s1": 700, "s2": 500})):
        desk = desk_of(charges=(), shipping=parcels, tenders=(card(11_600),))
        refund = ask(desk, lines=ALL, statutory=True, shipping=shipping)
        assert {part.id: part.gross for part in refund.breakdown.shipping} == least
    desk = desk_of(charges=(), shipping=parcels, tenders=(card(11_600),))
    ask(desk, lines=ALL, statutory=True)
    assert desk.balance("tax_payable") == 1600 + 100


def test_it_is_on_the_trail_that_the_law_granted_it() -> None:
    desk = desk_of()
    refund = ask(desk, lines=ONE, statutory=True)
    (event,) = [event for event in desk.events if event.type == "refund.requested"]
    assert (event.body["statutory"], refund.statutory) == (True, True)
    other = desk_of()
    ask(other, lines=ONE)
    assert "statutory" not in other.events[-1].body
    assert other.refund().shown != refund.shown, "an approver is shown it"


def test_near_miss_a_fee_that_is_given_back_takes_its_tax_with_it() -> None:
    desk = desk_of(charges=(), tenders=(card(10_200),))
    ask(desk, lines=ALL, shipping="full", fees=(FeeIn("handling", 600), FeeIn("restocking", 60)))
    back = [ask(desk, amount=amount).breakdown.fees for amount in (100, 560)]
    assert [sum(fee.gross for fee in fees) for fees in back] == [-100, -560]
    assert desk.balance("tax_payable") == 1700, "of the order, and none of the fees"
    assert desk.balance("fees_kept") == 0
    assert desk.balance("sales_returns") == 8000
    assert refused(desk, amount=1)[0] is Reason.NOTHING_LEFT or desk.order.remaining == 0


def test_units_that_are_worth_nothing_any_more_come_back_with_others() -> None:
    desk = desk_of(lines=(TEA, LineIn("2", 1, 500)), tenders=(card(11_440),))
    ask(desk, adjustments=(LineAmount("1", 9600),), reason="price_adjustment")
    assert refused(desk, lines=ONE) == (Reason.WORTH_NOTHING, {"remaining": 1840})
    assert ask(desk, lines=(*ONE, LinePick("2", 1))).amount == 500


@pytest.mark.parametrize("reason", ["out_of_stock", "damaged", "not_received"])
def test_what_is_owed_in_any_case_has_no_minimum(reason: str) -> None:
    goods = (LineIn("2", 1, 100), LineIn("1", 3, 9500))
    for way in ("refuse", "hold"):
        desk = desk_of(Amounts(minimum=(("EUR", 700),), below_minimum=way), lines=goods)
        refund = ask(desk, lines=(LinePick("2", 1),), reason=reason)
        assert (refund.amount, refund.stage) == (100, "active")


# -- newer versions --------------------------------------------------------------------------------


def test_a_line_whose_refund_was_declined_may_go() -> None:
    two = (TEA, LineIn("2", 1, 500))
    desk = Desk(contract_order(lines=two, tenders=(card(10_700),)), policy=built_in(10))
    ask(desk, lines=(LinePick("2", 1),))
    newer = contract_order(version=2, tenders=(card(10_700),))
    kept = desk.tell(OrderReported(newer)).refused
    assert kept is not None
    assert kept.reason is Reason.ORDER_CONFLICT
    desk.tell(Rejected(desk.refund().id), actor="key:boss")
    assert desk.tell(OrderReported(newer)).refused is None


def test_an_order_stays_with_its_legal_entity() -> None:
    found = Desk().tell(OrderReported(contract_order(version=2, entity="amends-de"))).refused
    assert found is not None
    assert found.reason is Reason.ORDER_CONFLICT


def test_shipping_that_was_given_back_before_is_not_owed_again() -> None:
    """More than its part, or than the law wants of it: then nothing more goes back, by no way."""
    desk = desk_of(shipping=(EXPRESS,), tenders=(card(11_840),))
    ask(desk, shipping=700)
    assert ask(desk, lines=ONE, shipping="proportional").breakdown.shipping == ()
    assert ask(desk, lines=(LinePick("1", 2),), statutory=True).breakdown.shipping == ()


def test_what_is_given_for_free_comes_back_with_all_that_is_left() -> None:
    goods = (LineIn("1", 1, 9600), LineIn("free", 2, 0))
    desk = desk_of(lines=goods, shipping=(), charges=(), tenders=(card(9600),))
    assert {p.id: p.quantity for p in ask(desk).breakdown.lines} == {"1": 1, "free": 2}


def test_a_charge_that_stays_is_not_among_all_that_is_left() -> None:
    """The tip of 5.00 stays where nothing undoes the sale, and is not paid as something else."""
    desk = desk_of()
    refund = ask(desk, reason="goodwill")
    assert (refund.amount, refund.breakdown.unallocated) == (10_440, 0)
    assert [part.id for part in refund.breakdown.charges] == ["w"]
    unexplained = desk_of(tenders=(card(11_940),))
    refund = ask(unexplained, reason="goodwill")
    assert (refund.amount, refund.breakdown.unallocated) == (11_440, 1000)
