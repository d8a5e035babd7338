"""Promotions lost by a return (edge 18): what the kept basket would have cost, as it was sold."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from amends.core.amounts import Amounts
from amends.core.facts import Approved, Canceled, OrderReported, RefundRequested, Rejected, Retried
from amends.core.intents import refund_lines
from amends.core.order import Refund
from amends.core.policy import built_in
from amends.core.reasons import Reason
from amends.core.requests import (
    DiscountIn,
    LineAmount,
    LineIn,
    LinePick,
    OrderIn,
    PromotionIn,
    RefundIn,
    ShippingIn,
    TaxIn,
    TierIn,
)
from amends.core.shares import Lost
from amends.kernel.outcome import Declined
from tests.core.desk import Desk, card, contract_order

CLAWBACK = built_in(10**9, amounts=Amounts(promotion_lost="clawback"))


def ten_off(**more: Any) -> PromotionIn:
    """A tenth off a basket of 250."""
    return PromotionIn(**{"id": "ten", "kind": "threshold", "at_least": 250, **more})


def line(name: str, quantity: int, price: int, off: int, tax: int = 0) -> LineIn:
    taxes = (TaxIn("VAT", tax),) if tax else ()
    parts = (DiscountIn(off, "ten"),) if off else ()
    return LineIn(name, quantity, price - off, subtotal=price, discounts=parts, taxes=taxes)


def order_of(*lines: LineIn, promotion: PromotionIn | None = None, **more: Any) -> OrderIn:
    shipping: tuple[ShippingIn, ...] = more.pop("shipping", ())
    paid = sum(item.total for item in (*lines, *shipping))
    paid += (
        0 if more.get("prices_include_tax", True) else sum(t.amount for x in lines for t in x.taxes)
    )
    promotions = (promotion or ten_off(),)
    plain = {"lines": lines, "shipping": shipping, "promotions": promotions}
    return contract_order(**{**plain, "tenders": (card(paid),), **more})


THREE = order_of(line("1", 3, 300, 30, 45))  # 3 x 100 less 10 %, a sixth of it tax


def ask(desk: Desk, **asked: Any) -> Refund:
    decision = desk.tell(RefundRequested(RefundIn(**asked)))
    assert decision.refused is None, decision.refused
    return desk.refund()


def units(number: int, name: str = "1") -> dict[str, Any]:
    return {"lines": (LinePick(name, number),)}


def test_edge_18_the_discount_of_what_is_kept_is_taken_back_line_by_line() -> None:
    desk = Desk(THREE, policy=CLAWBACK)
    refund = ask(desk, **units(1))
    (lost,) = refund.breakdown.lost
    assert (lost.promotion, lost.part, lost.on, lost.gross, lost.tax) == ("ten", "1", "line", 20, 3)
    assert refund.amount == 90 - 20
    assert {p.account: p.amount for p in desk.entries[-1].postings} == {
        "sales_returns": 75 - 17,
        "tax_payable": 15 - 3,
        "refunds_payable": -70,
    }
    assert [ask(desk, **units(1)).amount for _ in range(2)] == [100, 100], "never twice"
    assert sum(x.gross for r in desk.order.refunds for x in r.breakdown.lost) == 0
    assert desk.order.remaining == 0


def test_edge_18_in_any_order_the_partials_come_to_one_return_of_it_all() -> None:
    goods = (line("1", 2, 120, 12), line("2", 1, 90, 9, 13), line("3", 2, 101, 10, 15))
    once = Desk(order_of(*goods), policy=CLAWBACK)
    picks = (LinePick("1", 1), LinePick("2", 1), LinePick("3", 1))
    whole = ask(once, lines=picks).amount
    assert whole == 54 + 81 + 46 - (6 + 5), "the rest is sold without its tenth"
    for way in permutations(picks):
        desk = Desk(order_of(*goods), policy=CLAWBACK)
        assert sum(ask(desk, lines=(pick,)).amount for pick in way) == whole
        assert ask(desk).amount == ask(Desk(order_of(*goods), policy=CLAWBACK)).amount - whole


def test_a_condition_that_still_holds_loses_nothing() -> None:
    desk = Desk(order_of(line("1", 4, 400, 40)), policy=CLAWBACK)
    assert ask(desk, **units(1)).breakdown.lost == ()
    assert ask(desk, **units(1)).amount == 90 - 20


def test_a_lower_tier_is_what_the_kept_basket_gets() -> None:
    tiers = (TierIn(150, off_bp=500), TierIn(180, off=1, off_bp=500))
    desk = Desk(order_of(line("1", 3, 300, 30), promotion=ten_off(tiers=tiers)), policy=CLAWBACK)
    assert [x.gross for x in ask(desk, **units(1)).breakdown.lost] == [20 - 11]


FREE = ShippingIn(
    "1", 0, subtotal=600, discounts=(DiscountIn(600, "free", taxes=(TaxIn("VAT", 100),)),)
)
FREE_FROM = PromotionIn("free", "free_shipping", at_least=5000)


def test_edge_18_free_shipping_is_charged_once_the_basket_is_too_small() -> None:
    """Also where a line has the same id."""
    goods = LineIn("1", 3, 6000, taxes=(TaxIn("VAT", 1000),))
    desk = Desk(order_of(goods, promotion=FREE_FROM, shipping=(FREE,)), policy=CLAWBACK)
    refund = ask(desk, **units(1))
    assert refund.breakdown.lost == (
        Lost("free", "1", 500, refund.breakdown.lost[0].taxes, on="shipping"),
    )
    assert refund.amount == 2000 - 600
    assert desk.balance("shipping_refunds") == -500
    assert ask(desk, **units(1)).amount == 2000
    assert ask(desk, **units(1)).amount == 2000 + 600, "nothing is kept, so nothing was owed"
    whole = Desk(order_of(goods, promotion=FREE_FROM, shipping=(FREE,)), policy=CLAWBACK)
    assert ask(whole, **units(3)).amount == 6000


def test_of_buy_two_get_one_the_cheapest_are_free() -> None:
    promotion = PromotionIn("ten", "buy_get", buy=2, get=1, lines=("1", "2"))
    goods = (line("1", 3, 300, 0), line("2", 3, 180, 120), LineIn("3", 9, 900))
    desk = Desk(order_of(*goods, promotion=promotion), policy=CLAWBACK)
    assert ask(desk, **units(1, "3")).breakdown.lost == (), "does not count"
    lost = ask(desk, **units(1)).breakdown.lost
    assert [x.gross for x in lost] == [60], "five are kept: one of the cheapest is free"
    assert ask(desk, **units(2)).amount == 200, "three are kept: one is free"
    reason, extra = refused(desk, **units(1, "2"))
    assert (reason, extra) == (Reason.PROMOTION_EXCEEDS_REFUND, {"refund": 20, "lost": 20})
    assert ask(desk, **units(2, "2")).amount == 60, "one is kept, at its price"


def refused(desk: Desk, **asked: Any) -> tuple[Reason, dict[str, Any]]:
    found = desk.tell(RefundRequested(RefundIn(**asked))).refused
    assert found is not None
    return found.reason, found.extra


def test_edge_18_never_negative() -> None:
    """What is sent back is worth less than the discount it loses: refused, and waived if wanted."""
    goods = (line("1", 1, 245, 24), line("2", 1, 10, 1))
    desk = Desk(order_of(*goods), policy=CLAWBACK)
    reason, extra = refused(desk, **units(1, "2"))
    assert (reason, extra) == (Reason.PROMOTION_EXCEEDS_REFUND, {"refund": 9, "lost": 24})
    assert ask(desk, **units(1, "2"), promotions="waive").amount == 9
    free = Desk(order_of(line("1", 1, 245, 24), line("2", 1, 6, 6)), policy=CLAWBACK)
    assert refused(free, **units(1, "2"))[1] == {"refund": 0, "lost": 24}
    both = Desk(order_of(*goods), policy=CLAWBACK)
    assert ask(both, lines=(LinePick("1", 1), LinePick("2", 1))).amount == 230


@pytest.mark.parametrize(
    ("if_lost", "promotions", "statutory", "rule", "amount"),
    [
        ("clawback", "policy", False, "small-and-trusted", 70),
        ("review", "policy", False, "promotion-lost", 70),
        ("waive", "policy", False, "small-and-trusted", 90),
        ("clawback", "waive", False, "promotion-waived", 90),
        ("review", "waive", False, "promotion-waived", 90),
        ("clawback", "policy", True, "promotion-lost", 70),
        ("waive", "policy", True, "small-and-trusted", 90),
    ],
)
def test_edge_18_clawback_waive_or_review(
    if_lost: Any, promotions: Any, statutory: bool, rule: str, amount: int
) -> None:
    """As the shop said, else by policy; the law sends it to a person; what is waived is shown."""
    told = order_of(line("1", 3, 300, 30), promotion=ten_off(if_lost=if_lost))
    settled = built_in(10**9, amounts=Amounts(promotion_lost=if_lost))
    for desk in (Desk(told), Desk(THREE, policy=settled)):
        refund = ask(desk, **units(1), promotions=promotions, statutory=statutory)
        assert refund.verdict is not None
        assert (refund.amount, refund.verdict.rule) == (amount, rule)
        assert [(x.gross, x.waived) for x in refund.breakdown.lost] == [(20, amount == 90)]


def test_what_was_waived_once_stays_waived() -> None:
    desk = Desk(THREE, policy=CLAWBACK)
    ask(desk, **units(1), promotions="waive")
    assert [ask(desk, **units(1)).amount for _ in range(2)] == [90, 90]
    assert [x.gross for r in desk.order.refunds for x in r.breakdown.lost] == [20, -10, -10]
    desk = Desk(THREE, policy=CLAWBACK)
    ask(desk, **units(1))
    assert [ask(desk, **units(1), promotions="waive").amount, ask(desk).amount] == [100, 100]


def test_only_what_is_sent_back_by_choice_breaks_a_condition() -> None:
    for reason in ("out_of_stock", "damaged", "cancelled"):
        desk = Desk(THREE, policy=CLAWBACK)
        assert ask(desk, **units(1), reason=reason).amount == 90
        assert ask(desk, adjustments=(LineAmount("1", 9),), reason="price_adjustment").amount == 9
        assert ask(desk, **units(1)).amount == 86 - 10, "one is kept, at its price"
        assert ask(desk).amount == 85 + 10


def test_terms_are_those_of_the_purchase() -> None:
    """A newer version of the order, under another policy, changes nothing of them."""
    desk = Desk(THREE, policy=CLAWBACK)
    bought = desk.policy.version
    desk.policy = built_in(10**9, amounts=Amounts(promotion_lost="waive"))
    desk.tell(OrderReported(contract_order(**{**plain(THREE), "version": 2})))
    assert (desk.order.version, desk.order.policy) == (2, bought)
    assert ask(desk, **units(1)).amount == 70


def plain(order: OrderIn) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


def test_net_prices_have_net_thresholds_and_the_tax_on_top() -> None:
    goods = line("1", 3, 300, 30, 54)
    desk = Desk(order_of(goods, prices_include_tax=False), policy=CLAWBACK)
    (lost,) = ask(desk, **units(1)).breakdown.lost
    assert (lost.net, lost.tax) == (20, 4)
    assert desk.refund().amount == 90 + 18 - 24


def test_a_promotion_the_shop_takes_back_is_given_back() -> None:
    desk = Desk(THREE, policy=CLAWBACK)
    ask(desk, **units(1))
    bare = {"promotions": (), "lines": (LineIn("1", 3, 270, taxes=(TaxIn("VAT", 45),)),)}
    desk.tell(OrderReported(contract_order(**{**plain(THREE), **bare, "version": 2})))
    assert [ask(desk, **units(1)).amount for _ in range(2)] == [110, 90]


# -- a promotion is lost by what is returned, and by nothing else ----------------------------------


def test_goodwill_pays_what_was_asked_whatever_became_of_the_promotion() -> None:
    """What is to be given back waits for the next return, or for all that is left."""
    desk = Desk(THREE, policy=CLAWBACK)
    ask(desk, **units(1))
    bare = {"promotions": (), "lines": (LineIn("1", 3, 270, taxes=(TaxIn("VAT", 45),)),)}
    desk.tell(OrderReported(contract_order(**{**plain(THREE), **bare, "version": 2})))
    assert ask(desk, amount=50, reason="goodwill", goodwill="compensation").amount == 50
    assert ask(desk).amount == 150


def test_what_was_sold_as_it_was_sold_is_earned() -> None:
    """The shop rounds otherwise, makes a dearer unit free, or counts the parcel: no loss as long as
    nothing was sent back."""
    tenth = PromotionIn("ten", "buy_get", buy=1, get=1, off_bp=1000)
    desk = Desk(order_of(line("1", 2, 202, 11), promotion=tenth), policy=CLAWBACK)
    assert ask(desk, amount=50, reason="goodwill").amount == 50
    third = PromotionIn("ten", "buy_get", buy=2, get=1)
    goods = (LineIn("1", 2, 200), line("2", 1, 100, 100), LineIn("3", 1, 50))
    desk = Desk(order_of(*goods, promotion=third), policy=CLAWBACK)
    assert ask(desk, **units(1), reason="damaged").amount == 100
    assert ask(desk, **units(1)).amount == 100, "of the three that count as kept one is free"
    goods = (line("1", 1, 200, 20), line("2", 1, 40, 4))
    desk = Desk(order_of(*goods, shipping=(ShippingIn("s", 20),)), policy=CLAWBACK)
    assert ask(desk, shipping="full", reason="damaged").amount == 20
    assert ask(desk, **units(1, "2"), reason="damaged").amount == 36
    assert ask(desk, **units(1)).amount == 180, "nothing is left that it could be lost on"


GIFT = order_of(
    LineIn("1", 1, 100), line("2", 1, 60, 60), promotion=PromotionIn("ten", "buy_get", buy=1, get=1)
)


def test_a_free_unit_goes_back_together_with_a_paid_one() -> None:
    desk = Desk(GIFT, policy=CLAWBACK)
    assert refused(desk, **units(1, "2")) == (Reason.WORTH_NOTHING, {"remaining": 100})
    both = (LinePick("2", 1), LinePick("1", 1))
    assert ask(desk, lines=both).amount == 100


def test_what_a_provider_is_told_comes_to_the_amount_where_something_is_given_back() -> None:
    desk = Desk(GIFT, policy=CLAWBACK)
    ask(desk, **units(1))
    last = ask(desk, **units(1, "2"))
    (told,) = refund_lines(last, last.legs[0])
    assert (told.id, told.quantity, told.gross, last.amount) == ("2", 1, 60, 60)
    goods = LineIn("1", 2, 6000, taxes=(TaxIn("VAT", 1000),))
    desk = Desk(order_of(goods, promotion=FREE_FROM, shipping=(FREE,)), policy=CLAWBACK)
    ask(desk, **units(1))
    last = ask(desk, **units(1))
    told_of = [(x.id, x.gross, x.tax) for x in refund_lines(last, last.legs[0])]
    assert told_of == [("1", 3000, 500), ("1", 600, 100)], "the goods, and the parcel"


# -- refunds that wait, or end unpaid --------------------------------------------------------------

REVIEW = built_in(10**9, amounts=Amounts(promotion_lost="review"))


def decided(desk: Desk, fact: Any) -> Reason | None:
    refused = desk.tell(fact, actor="key:boss").refused
    return refused.reason if refused else None


def kept_back(desk: Desk) -> int:
    return sum(x.gross for r in desk.order.refunds for x in r.breakdown.lost if r.stage == "active")


@pytest.mark.parametrize("end", [Rejected, Canceled])
def test_edge_18_what_waits_is_not_paid_on_the_strength_of_what_waits_before_it(end: Any) -> None:
    desk = Desk(THREE, policy=REVIEW)
    first, second = ask(desk, **units(1)), ask(desk, **units(1), reason="damaged")
    assert (second.stage, second.builds_on) == ("review", (first.id,))
    assert second.verdict is not None
    assert second.verdict.rule == "depends-on-review"
    assert decided(desk, Approved(second.id)) is Reason.AMOUNT_CHANGED, "not before the first"
    assert decided(desk, end(first.id)) is None
    assert decided(desk, Approved(second.id)) is Reason.AMOUNT_CHANGED, "nor without it"
    assert decided(desk, Rejected(second.id)) is None
    assert ask(desk, **units(1)).amount == 70


def test_edge_18_reviews_approved_one_after_the_other_come_to_one_return_of_both() -> None:
    desk = Desk(THREE, policy=REVIEW)
    first, second = ask(desk, **units(1)), ask(desk, **units(1))
    assert [decided(desk, Approved(one.id)) for one in (first, second)] == [None, None]
    assert sum(r.amount for r in desk.order.refunds) == 180 - kept_back(desk) == 170


def test_a_waiver_counts_once_it_was_granted() -> None:
    desk = Desk(THREE, policy=CLAWBACK)
    first, second = ask(desk, **units(1), promotions="waive"), ask(desk, **units(1))
    assert (first.stage, second.stage, second.amount) == ("review", "review", 90)
    decided(desk, Rejected(first.id))
    assert decided(desk, Approved(second.id)) is Reason.AMOUNT_CHANGED
    decided(desk, Rejected(second.id))
    assert ask(desk, **units(1)).amount == 70


def test_a_review_beside_a_newer_version_is_asked_for_anew() -> None:
    desk = Desk(THREE, policy=REVIEW)
    first = ask(desk, **units(1))
    bare = {"promotions": (), "lines": (LineIn("1", 3, 270, taxes=(TaxIn("VAT", 45),)),)}
    desk.tell(OrderReported(contract_order(**{**plain(THREE), **bare, "version": 2})))
    assert decided(desk, Approved(first.id)) is Reason.AMOUNT_CHANGED


def test_what_waives_or_returns_nothing_does_not_wait() -> None:
    waived = built_in(100, amounts=Amounts(promotion_lost="waive"))
    desk = Desk(THREE, policy=waived)
    assert ask(desk, **units(2)).stage == "review"
    assert ask(desk, **units(1)).stage == "active"
    desk = Desk(THREE, policy=REVIEW)
    ask(desk, **units(1))
    assert ask(desk, amount=5, reason="goodwill").stage == "active"


def test_what_others_gave_back_since_is_not_canceled_under_them() -> None:
    desk = Desk(THREE, policy=CLAWBACK)
    first, second = ask(desk, **units(1)), ask(desk, **units(1))
    assert decided(desk, Canceled(first.id)) is Reason.AMOUNT_CHANGED
    assert [decided(desk, Canceled(one.id)) for one in (second, first)] == [None, None]
    assert ask(desk, **units(2)).amount == 170


def test_edge_18_the_next_return_makes_up_for_one_that_failed() -> None:
    """And the one that failed is not tried again with what it would have kept back then."""
    desk = Desk(THREE, policy=CLAWBACK)
    first = ask(desk, **units(1))
    desk.due()
    second = ask(desk, **units(1))
    assert (first.amount, second.amount) == (70, 100)
    desk.answer(Declined("no"), desk.leg(0))
    assert desk.leg(0).state == "failed"
    again = ask(desk, **units(1))
    assert again.amount == 70
    assert decided(desk, Retried(first.id)) is not None
    assert ask(desk).amount == 100


def test_a_failed_return_is_tried_again_only_while_it_keeps_back_what_is_right() -> None:
    desk = Desk(THREE, policy=CLAWBACK)
    first = ask(desk, **units(1))
    desk.due()
    desk.answer(Declined("no"))
    assert ask(desk, **units(1)).amount == 70
    assert decided(desk, Retried(first.id)) is Reason.AMOUNT_CHANGED
    assert ask(desk, **units(1)).amount == 100


@pytest.mark.parametrize("number", [1, 2, 3])
def test_units_of_a_claim_that_a_review_takes_over_are_counted_once(number: int) -> None:
    desk = Desk(THREE, policy=REVIEW)
    first = ask(desk, **units(3), reason="damaged")
    desk.due()
    desk.accept()
    desk.hear(desk.state("failed", desk.leg()))
    second = ask(desk, **units(number))
    assert second.takes_over == (first.id,)
    if number < 3:
        assert (second.stage, ask(desk, amount=1, reason="goodwill").amount) == ("review", 1)
        desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
