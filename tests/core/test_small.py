"""Amounts below the minimum: held until an order's come to enough, or credited; nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.effects import RefundIntent, deadline_id
from amends.core.facts import (
    Approved,
    Canceled,
    DisputeReported,
    EffectDue,
    OrderCancelled,
    PaidOutside,
    RefundRequested,
)
from amends.core.history import Stop
from amends.core.order import Refund, shown_state
from amends.core.policy import built_in
from amends.core.reasons import Reason
from amends.core.requests import (
    BelowMinimum,
    ChargeIn,
    DiscountIn,
    FeeIn,
    LineIn,
    LinePick,
    PaymentKey,
    PromotionIn,
    RefundIn,
    TenderIn,
)
from amends.kernel.outcome import RefundState
from tests.core.desk import STRIPE, Desk, card, contract_order


def desk_of(
    how: BelowMinimum, minimum: int = 100, total: int = 10_000, auto: int = 10**9, **order: Any
) -> Desk:
    codes = ("EUR", "JPY", "KWD", "USD")
    amounts = Amounts(minimum=tuple((code, minimum) for code in codes), below_minimum=how)
    plain = {
        "lines": (LineIn("1", 1, total),),
        "shipping": (),
        "tenders": (card(total),),
    }
    policy = built_in(auto, amounts=amounts)
    ours = "KWD" if order.get("currency") == "KWD" else "EUR"
    return Desk(contract_order(**{**plain, **order}), policy=policy, functional=ours)


def ask(desk: Desk, amount: int | None, **more: Any) -> Refund:
    asked = RefundIn(reason="goodwill", amount=amount, **more)
    decision = desk.tell(RefundRequested(asked))
    assert decision.refused is None, decision.refused
    found = desk.order.refund(decision.refund)
    assert found is not None
    return found


def refused(desk: Desk, amount: int, **more: Any) -> Reason:
    found = desk.tell(RefundRequested(RefundIn(reason="goodwill", amount=amount, **more))).refused
    assert found is not None
    return found.reason


def movements(desk: Desk) -> list[int]:
    """Pays everything that is to leave; the amounts that did."""
    paid = []
    while waiting := [leg for _, leg in desk.legs() if leg.state == "sending"]:
        intent = desk.due(waiting[0])
        assert isinstance(intent, RefundIntent)
        paid.append(intent.amount)
        desk.accept(leg=next(leg for _, leg in desk.legs() if leg.id == waiting[0].id))
    return paid


# -- held ------------------------------------------------------------------------------------------


def test_edge_23_small_refunds_are_held_and_paid_by_one_movement() -> None:
    desk = desk_of("hold")
    first, second = ask(desk, 40), ask(desk, 30)
    assert [shown_state(first), shown_state(second)] == ["held", "held"]
    assert movements(desk) == []
    assert desk.balance("refunds_payable") == -70
    assert desk.payment().pending_ours == 70
    third = ask(desk, 30)
    assert shown_state(third) == "combined"
    made = desk.refund()
    assert (made.amount, third.combined_in) == (100, made.id)
    assert [shown_state(r) for r in desk.order.refunds] == ["combined"] * 3 + ["sending"]
    assert movements(desk) == [100]
    assert desk.balance("refunds_payable") == 0
    assert desk.balance("sales_returns") == 100
    assert desk.balance(f"clearing:{STRIPE}") == -100
    assert desk.order.remaining == 9900


def test_what_is_held_counts_in_what_is_left() -> None:
    desk = desk_of("hold", total=1000)
    ask(desk, 90)
    assert refused(desk, 911) == Reason.EXCEEDS_REMAINING
    assert ask(desk, 900).amount == 900
    assert movements(desk) == [900]
    assert shown_state(desk.order.refunds[0]) == "held"


def test_it_is_paid_when_nothing_else_could_follow() -> None:
    desk = desk_of("hold", total=1000)
    ask(desk, 90)
    assert ask(desk, None).amount == 910
    assert sorted(movements(desk)) == [90, 910]
    assert desk.order.remaining == 0


def test_all_that_is_left_is_paid_though_it_is_small() -> None:
    desk = desk_of("hold", total=90)
    assert shown_state(ask(desk, None)) == "sending"


def test_what_is_held_can_be_given_up() -> None:
    desk = desk_of("hold")
    held = ask(desk, 40)
    assert desk.tell(Canceled(held.id)).refused is None
    assert shown_state(desk.refund()) == "canceled"
    assert (desk.balance("refunds_payable"), desk.order.remaining) == (0, 10_000)
    ask(desk, 60)
    assert shown_state(desk.refund()) == "held"


def test_a_person_approves_and_then_it_is_held() -> None:
    desk = desk_of("hold", auto=10)
    refund = ask(desk, 40)
    assert (refund.stage, refund.small) == ("review", True)
    assert desk.balance("refunds_payable") == 0


def test_a_person_may_pay_what_is_held_by_other_means() -> None:
    desk = desk_of("hold")
    held = ask(desk, 40)
    assert desk.tell(PaidOutside(held.id, "SEPA-1")).refused is None
    assert shown_state(desk.refund()) == "succeeded"
    assert (desk.balance("refunds_payable"), desk.balance("manual_payouts")) == (0, -40)
    ask(desk, 90)
    assert shown_state(desk.refund()) == "held"


def test_a_withdrawal_by_law_is_never_held() -> None:
    desk = desk_of("hold")
    assert shown_state(ask(desk, 40, statutory=True)) == "sending"


def test_what_failed_of_the_combined_one_is_tried_again_as_one() -> None:
    desk = desk_of("hold")
    ask(desk, 60)
    ask(desk, 60)
    made = desk.refund()
    desk.due(made.legs[0])
    desk.accept("failed", leg=made.legs[0])
    assert shown_state(desk.refund()) == "failed"
    assert desk.balance("refunds_payable") == 0
    assert desk.order.remaining == 10_000


def test_it_is_paid_when_others_gave_the_rest_back() -> None:
    desk = desk_of("hold", total=1000)
    ask(desk, 90)
    desk.hear(RefundState("re_x", "succeeded", 910, "EUR"))
    assert desk.order.remaining == 0
    assert movements(desk) == [90]


def with_a_fee(how: BelowMinimum, line: int) -> Desk:
    """10.00 for two lines; the first went back less a fee of 1.00."""
    lines = (LineIn("1", 1, 1000 - line), LineIn("2", 1, line))
    desk = desk_of(how, lines=lines, tenders=(card(1000),))
    asked = RefundIn(lines=(LinePick("1", 1),), fees=(FeeIn("restocking", 100),))
    assert desk.tell(RefundRequested(asked)).refused is None
    return desk


def test_what_was_kept_as_a_fee_is_nothing_that_could_follow() -> None:
    desk = desk_of("hold", lines=(LineIn("1", 1, 1000),), tenders=(card(1000),))
    ask(desk, 50)
    asked = RefundIn(lines=(LinePick("1", 1),), fees=(FeeIn("restocking", 100),))
    assert desk.tell(RefundRequested(asked)).refused is None
    assert desk.order.remaining == 100
    assert sorted(movements(desk)) == [50, 850]


@pytest.mark.parametrize("how", ["refuse", "hold", "credit"])
def test_the_whole_rest_is_paid_though_a_fee_was_kept(how: BelowMinimum) -> None:
    desk = with_a_fee(how, 50)
    assert desk.tell(RefundRequested(RefundIn(lines=(LinePick("2", 1),)))).refused is None
    assert sorted(movements(desk)) == [50, 850]


def test_a_charge_that_is_not_refundable_is_nothing_that_could_follow() -> None:
    tip = ChargeIn(id="tip", total=300, kind="tip", refundable=False)
    desk = desk_of("hold", charges=(tip,), lines=(LineIn("1", 1, 700),), tenders=(card(1000),))
    ask(desk, 50)
    assert ask(desk, None).amount == 650
    assert sorted(movements(desk)) == [50, 650]


def disputed(desk: Desk, status: str, amount: int = 1000, payment: str = "pi_1") -> None:
    open_ = status == "needs_response"
    withdrawn = amount if status != "won" else 0
    desk.tell(DisputeReported(STRIPE, (payment,), "dp_1", amount, "EUR", status, open_, withdrawn))


@pytest.mark.parametrize("status", ["lost", "needs_response"])
def test_edge_11_what_is_held_does_not_leave_a_payment_that_a_dispute_took(status: str) -> None:
    desk = desk_of("hold", total=2000, tenders=(card(1000), card(1000, name="pi_2")))
    first = ask(desk, 40, payment=PaymentKey(STRIPE, "pi_1"))
    disputed(desk, status)
    second = ask(desk, 60, payment=PaymentKey(STRIPE, "pi_2"))
    if second.stage == "review":
        approved = Approved(second.id, second.shown)
        assert desk.tell(approved, actor="user:boss").refused is None
    assert [shown_state(desk.order.refunds[n]) for n in (0, 1)] == ["held", "held"]
    assert ask_all_of(desk, "pi_2") == [940, 60]
    assert shown_state(desk.order.refunds[0]) == "held"
    refused = desk.tell(PaidOutside(first.id, "SEPA-1"), actor="user:boss").refused
    assert refused is not None
    assert refused.reason == Reason.EXCEEDS_REMAINING
    assert "double_benefit" not in desk.raised()
    assert desk.tell(Canceled(first.id)).refused is None
    assert desk.balance("refunds_payable") == 0


def ask_all_of(desk: Desk, name: str) -> list[int]:
    """All that is left of a payment, approved where a person has to; what leaves."""
    last = ask(desk, None, payment=PaymentKey(STRIPE, name))
    if last.stage == "review":
        assert desk.tell(Approved(last.id, last.shown), actor="user:boss").refused is None
    return movements(desk)


def test_edge_11_what_is_held_waits_for_a_dispute_to_end() -> None:
    """An inquiry takes nothing at first, and may yet."""
    desk = desk_of("hold")
    held = ask(desk, 60)
    fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_000, "EUR", "warning_needs_response", True)
    desk.tell(fact)
    more = ask(desk, 60)
    assert desk.tell(Approved(more.id, more.shown), actor="user:boss").refused is None
    assert movements(desk) == []
    desk.tell(DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_000, "EUR", "won", False))
    assert movements(desk) == [120]
    assert shown_state(next(r for r in desk.order.refunds if r.id == held.id)) == "combined"


def test_where_others_took_a_part_a_person_says_which_is_paid() -> None:
    desk = desk_of("hold", total=1000)
    ask(desk, 60)
    less = ask(desk, 30)
    desk.hear(RefundState("re_x", "succeeded", 940, "EUR"))
    assert movements(desk) == []
    assert desk.tell(Canceled(less.id)).refused is None
    assert movements(desk) == [60]
    assert not any(leg.outside for refund, leg in desk.legs() if not refund.external)


def test_units_sent_back_and_units_given_as_goodwill_stay_apart_when_paid_together() -> None:
    """What breaks a promotion's condition is what came back by choice, whoever asked last."""
    promotion = PromotionIn("p", "threshold", at_least=9060, if_lost="clawback")
    lines = (
        LineIn("1", 2, 8100, subtotal=9000, discounts=(DiscountIn(900, of="p"),)),
        LineIn("2", 1, 60),
        LineIn("3", 1, 60),
    )
    for minimum in (1, 100):
        for reasons in (("goodwill", "return"), ("return", "goodwill")):
            desk = desk_of(
                "hold", minimum, lines=lines, tenders=(card(8220),), promotions=(promotion,)
            )
            for line, reason in zip("32", reasons, strict=True):
                asked = RefundIn(reason=reason, lines=(LinePick(line, 1),))
                assert desk.tell(RefundRequested(asked)).refused is None
            asked = RefundIn(reason="goodwill", lines=(LinePick("1", 1),))
            assert desk.tell(RefundRequested(asked)).refused is None
            assert desk.refund().amount == 4050
            assert not desk.refund().breakdown.lost


@pytest.mark.parametrize("first", ["", "consent-1"])
def test_together_they_become_store_credit_only_where_all_agreed(first: str) -> None:
    desk = desk_of("hold")
    ask(desk, 60, consent=first)
    ask(desk, 60, consent="consent-2")
    assert desk.refund().consent == ("consent-2" if first else "")


# -- credited, refused -----------------------------------------------------------------------------


def test_edge_23_with_consent_a_small_amount_is_store_credit() -> None:
    desk = desk_of("credit")
    assert refused(desk, 40) == Reason.BELOW_MINIMUM
    refund = ask(desk, 40, consent="consent-1")
    assert (shown_state(refund), refund.legs[0].kind) == ("succeeded", "credit")
    assert desk.balance("store_credit") == -40
    assert desk.payment().credited_ours == 40
    assert ask(desk, 400, consent="consent-1").legs[0].kind == "refund"


@pytest.mark.parametrize("how", ["refuse", "hold", "credit"])
def test_the_whole_rest_of_the_payment_that_is_named_is_paid(how: BelowMinimum) -> None:
    desk = desk_of(how, tenders=(card(9960), card(40, name="pi_2")))
    refund = ask(desk, 40, payment=PaymentKey(STRIPE, "pi_2"))
    assert (shown_state(refund), refund.legs[0].kind) == ("sending", "refund")


def test_it_is_refused_where_nothing_else_is_said() -> None:
    desk = desk_of("refuse")
    assert refused(desk, 40) == Reason.BELOW_MINIMUM
    assert refused(desk, 40, consent="consent-1") == Reason.BELOW_MINIMUM


def test_row_15_what_is_held_is_not_credited_under_a_stop_and_leaves_once_it_is_lifted() -> None:
    gift = TenderIn(5000, "gift_card", reference="g-1", captured=5000)
    desk = desk_of("hold", 500, tenders=(card(5000), gift))
    ask(desk, 300, tenders="proportional")
    desk.stops = (Stop("stop_1", "all", "", "hash", "person:lead", desk.now),)
    enough = replace(desk.policy.amounts, minimum=(("EUR", 200),))
    desk.policy = replace(desk.policy, amounts=enough)
    row = deadline_id(desk.refund().id)
    desk.tell(OrderCancelled("cancelled"), "connection:shop-1")
    for _ in range(2):
        assert [leg.state for leg in desk.refund(0).legs] == ["planned", "planned"]
        desk.now = desk.rows[row].due
        desk.tell(EffectDue(row), "system:deliver")
    desk.stops = ()
    desk.now = desk.rows[row].due
    desk.tell(EffectDue(row), "system:deliver")
    assert {leg.kind: leg.state for leg in desk.refund().legs} == {
        "refund": "sending",
        "credit": "succeeded",
    }
    assert row not in desk.rows


def test_a_gift_card_beside_the_card_waits_with_it() -> None:
    tenders = (card(6000), TenderIn(4000, "gift_card", captured=4000, reference="gc-1"))
    desk = desk_of("hold", tenders=tenders)
    ask(desk, 50, tenders="proportional")
    assert shown_state(desk.refund()) == "held"
    ask(desk, 50, tenders="proportional")
    assert movements(desk) == [60]
    assert desk.balance("gift_cards") == -40


# -- any sequence ----------------------------------------------------------------------------------


@given(
    amounts=st.lists(st.integers(1, 300), min_size=1, max_size=12),
    minimum=st.integers(2, 400),
    others=st.integers(0, 2000),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "USD"]),
)
def test_nothing_is_lost_and_nothing_small_leaves(
    amounts: list[int], minimum: int, others: int, currency: str
) -> None:
    """`others` gave back so much in the end, in the provider's dashboard."""
    desk = desk_of("hold", minimum, 2000, currency=currency)
    asked = 0
    for amount in amounts:
        if amount <= desk.order.remaining:
            ask(desk, amount)
            asked += amount
    paid = movements(desk)
    held = sum(r.amount for r in desk.order.refunds if r.stage == "held")
    assert sum(paid) + held == asked
    assert desk.balance("refunds_payable") == -held
    assert desk.order.remaining == 2000 - asked
    assert held < minimum or not held
    if desk.order.remaining:
        assert all(amount >= minimum for amount in paid)
    else:
        assert not held
    others = min(others, 2000 - sum(paid))
    if not others:
        return
    desk.hear(RefundState("re_x", "succeeded", others, currency))
    paid += movements(desk)
    held = sum(r.amount for r in desk.order.refunds if r.stage == "held")
    assert sum(paid) + held == asked
    assert sum(paid) + others <= 2000
    assert not held or others + asked > 2000 or (held < minimum and desk.order.remaining)


@pytest.mark.parametrize("how", ["refuse", "hold", "credit"])
def test_without_a_minimum_nothing_is_small(how: BelowMinimum) -> None:
    desk = desk_of(how, minimum=0)
    assert shown_state(ask(desk, 1)) == "sending"
