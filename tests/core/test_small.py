"""Amounts below the minimum: held until an order's come to enough, or credited; nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.effects import RefundIntent
from amends.core.facts import Canceled, PaidOutside, RefundRequested
from amends.core.order import Refund, shown_state
from amends.core.policy import Amounts, built_in
from amends.core.reasons import Reason
from amends.core.requests import BelowMinimum, LineIn, PaymentKey, RefundIn, TenderIn
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
    currency=st.sampled_from(["EUR", "JPY", "KWD", "USD"]),
)
def test_nothing_is_lost_and_nothing_small_leaves(
    amounts: list[int], minimum: int, currency: str
) -> None:
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


@pytest.mark.parametrize("how", ["refuse", "hold", "credit"])
def test_without_a_minimum_nothing_is_small(how: BelowMinimum) -> None:
    desk = desk_of(how, minimum=0)
    assert shown_state(ask(desk, 1)) == "sending"
