"""What providers tell, in any order: webhooks, re-reads, late failures, others' refunds (I9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from amends.core.effects import RefundIntent
from amends.core.facts import (
    Approved,
    Canceled,
    DisputeReported,
    FraudWarned,
    LookedUp,
    OrderReported,
    PaymentReported,
    RefundReported,
    RefundRequested,
    Retried,
)
from amends.core.legs import effect_id
from amends.core.order import shown_state
from amends.core.policy import built_in
from amends.core.reasons import Reason
from amends.core.requests import LinePick, RefundIn
from amends.kernel.check import InvariantBroken
from amends.kernel.outcome import Accepted, Declined, PaymentState, RefundState, Unknown
from amends.kernel.time import SECOND
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
ALL = RefundIn()


def paid(request: RefundIn = ONE_TEA, desk: Desk | None = None) -> Desk:
    """A refund that has succeeded."""
    desk = desk or Desk()
    desk.tell(RefundRequested(request))
    desk.due()
    desk.accept()
    return desk


def dispute(amount: int, status: str = "needs_response", withdrawn: int = -1) -> DisputeReported:
    open_ = status not in ("won", "lost", "warning_closed")
    return DisputeReported(STRIPE, ("pi_1",), "dp_1", amount, "EUR", status, open_, withdrawn)


def dashboard(amount: int, psp_id: str = "re_x", status: str = "succeeded") -> RefundState:
    return RefundState(psp_id, status, amount, "EUR")  # type: ignore[arg-type]


def test_the_instant_of_an_answer_is_the_providers_or_that_of_our_hearing_it() -> None:
    for psp_at in (7 * SECOND, 0):
        desk = paid()
        state = RefundState("re_1", "failed", 3200, "EUR", psp_at=psp_at)
        desk.tell(RefundReported(STRIPE, ("pi_1",), state))
        (moved,) = [e for e in desk.events if e.type == "leg.moved" and e.body["now"] == "failed"]
        assert moved.body["psp_at"] == psp_at or (not psp_at and moved.body["psp_at"] == moved.at)


# -- order of arrival --------------------------------------------------------------------------


def test_edge_07_duplicates_are_nothing() -> None:
    desk = paid()
    before = desk.order
    for _ in range(3):
        desk.hear(desk.state())
    assert desk.order == before


def test_edge_07_a_late_pending_changes_nothing() -> None:
    desk = paid()
    before = desk.order
    desk.hear(desk.state("pending"))
    assert desk.order == before


def test_edge_07_succeeded_after_failed_is_read_again() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.hear(desk.state("succeeded"))
    assert desk.leg().state == "failed", "it may be the first success, arriving late"
    assert desk.due_reread() is not None
    desk.reread(desk.state("failed"))
    assert desk.leg().state == "failed"
    assert not desk.rows


def test_a_reread_asked_before_the_leg_moved_is_stale() -> None:
    desk = paid()
    desk.hear(desk.state("requires_action"))
    desk.due_reread()
    asked_at, asked = desk.now, desk.order.head_seq
    old = desk.state("succeeded")
    desk.hear(desk.state("failed"))
    desk.tell(LookedUp(desk.payment().id, Accepted(refunds=(old,)), "", asked_at, asked))
    assert desk.leg().state == "failed"
    assert desk.due_reread() is not None, "and it is asked once more"


def test_a_reread_that_fails_is_repeated_until_it_is_answered() -> None:
    desk = paid()
    desk.hear(desk.state("requires_action"))
    for _ in range(3):
        desk.due_reread()
        desk.tell(LookedUp(desk.payment().id, Unknown("timeout"), "", desk.now))
    desk.due_reread()
    desk.tell(LookedUp(desk.payment().id, Declined("no_such_payment"), "", desk.now))
    assert not desk.rows
    assert "reread_declined" in desk.raised()


def test_a_reread_waits_for_the_payment_to_be_free() -> None:
    desk = paid()
    desk.hear(desk.state("requires_action"))
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.due() is not None
    assert desk.due_reread() is None
    desk.accept()
    assert desk.due_reread() is not None


def test_news_of_payments_we_do_not_know_is_nothing() -> None:
    desk = Desk()
    before = desk.order
    ids = ("pi_other",)
    desk.tell(RefundReported(STRIPE, ids, dashboard(500)))
    desk.tell(PaymentReported(STRIPE, ids, PaymentState(captured=5)))
    desk.tell(DisputeReported(STRIPE, ids, "dp", 5, "EUR", "needs_response", True))
    desk.tell(RefundReported("other", ("pi_1",), dashboard(500)))
    assert desk.order == before


def test_an_echo_of_another_amount_is_a_broken_invariant() -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    with pytest.raises(InvariantBroken, match="asked 3200 EUR"):
        desk.answer(Accepted(refund=RefundState("re_1", "succeeded", 3201, "EUR")))


# -- late failures (I12) -----------------------------------------------------------------------


def test_edge_08_a_late_failure_puts_the_money_back_and_the_claim_stands() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    assert shown_state(desk.refund()) == "failed"
    assert desk.kinds() == ["claim", "payout", "payout_failed"]
    assert desk.balance("clearing:stripe-eu") == 0
    assert desk.balance("refunds_payable") == -3200
    assert desk.balance("tax_payable") == 533
    assert desk.refund().claimed == 3200
    assert desk.order.remaining == 10_200
    desk.hear(desk.state("failed"))
    assert desk.kinds() == ["claim", "payout", "payout_failed"]


def test_edge_08_tried_again_the_claim_is_paid_and_not_made_twice() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(Retried(desk.refund().id))
    assert desk.leg().id.endswith("_2")
    desk.due()
    desk.accept()
    assert shown_state(desk.refund()) == "succeeded"
    assert desk.kinds() == ["claim", "payout", "payout_failed", "payout"]
    assert desk.balance("refunds_payable") == 0


def test_edge_08_the_claim_may_be_given_up() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(Canceled(desk.refund().id))
    assert desk.kinds()[-1] == "claim_lapsed"
    accounts = {p.account for e in desk.entries for p in e.postings}
    assert all(desk.balance(account) == 0 for account in accounts)
    assert desk.tell(Canceled(desk.refund().id)).refused is not None


def test_edge_08_a_new_refund_that_needs_its_room_takes_the_claim_over() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(RefundRequested(ALL))
    assert desk.refund(0).claimed == 0
    assert desk.refund().amount == 10_200
    assert desk.refund().breakdown.unallocated == 0
    assert "refund.superseded" in [e.type for e in desk.events]
    assert desk.balance("refunds_payable") == -10_200
    assert desk.order.remaining == 0


def test_edge_08_a_new_refund_beside_it_leaves_the_claim_alone() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.refund(0).claimed == 3200
    assert desk.balance("refunds_payable") == -6400


def test_edge_08_an_amount_that_needs_its_room_takes_the_claim_over() -> None:
    """An amount without lines must not pay from the money a standing claim is owed."""
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(RefundRequested(RefundIn(amount=7001)))
    assert desk.refund(0).claimed == 0
    assert desk.refund().breakdown.unallocated == 0
    assert desk.balance("refunds_payable") == -7001


# -- both pay (edge 9) -------------------------------------------------------------------------


def test_edge_09_the_failed_one_pays_after_all_with_no_room_left() -> None:
    desk = paid(ALL)
    desk.hear(desk.state("failed"))
    old = desk.leg()
    desk.tell(Retried(desk.refund().id))
    desk.due()
    desk.accept()
    desk.hear(desk.state("succeeded", old))
    desk.due_reread()
    desk.reread(desk.state("succeeded", old), desk.state("succeeded"))
    assert "double_benefit" in desk.raised()
    assert desk.payment().external == 10_200
    assert desk.balance("clearing:stripe-eu") == -20_400


def test_edge_09_a_replaced_leg_that_pays_is_raised_even_with_room() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    old = desk.leg()
    desk.tell(Retried(desk.refund().id))
    desk.due()
    desk.accept()
    desk.hear(desk.state("succeeded", old))
    desk.due_reread()
    desk.reread(desk.state("succeeded", old), desk.state("succeeded"))
    assert "double_benefit" in desk.raised()
    assert desk.order.remaining == 10_200 - 6400


def test_edge_09_a_superseded_refund_that_pays_is_raised_and_allocated_anew() -> None:
    desk = paid(RefundIn(lines=(LinePick("1", 2),)))
    desk.hear(desk.state("failed"))
    old = desk.leg()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 2),))))
    assert desk.refund(0).claimed == 0
    desk.due()
    desk.accept()
    desk.hear(desk.state("succeeded", old))
    desk.due_reread()
    desk.reread(desk.state("succeeded", old), desk.state("succeeded"))
    assert "double_benefit" in desk.raised()
    assert desk.refund(0).breakdown.unallocated == 6400 - 3800
    assert desk.balance("clearing:stripe-eu") == -12_800


# -- by others' hand ---------------------------------------------------------------------------


def test_edge_10_a_refund_in_the_dashboard_is_adopted() -> None:
    desk = Desk()
    desk.hear(dashboard(3200))
    refund = desk.refund()
    assert (refund.external, refund.reason, refund.amount) == (True, "external", 3200)
    assert refund.requested_by == "external:stripe-eu"
    assert desk.payment().external == 3200
    assert desk.order.remaining == 7000
    assert desk.kinds() == ["external"]
    assert desk.balance("clearing:stripe-eu") == -3200
    adopted = next(e for e in desk.events if e.type == "refund.adopted")
    assert adopted.body["restock"] == "undecided"
    desk.hear(dashboard(3200))
    assert len(desk.order.refunds) == 1
    decision = desk.tell(RefundRequested(RefundIn(amount=7001)))
    assert decision.refused is not None
    assert decision.refused.extra["remaining"] == 7000


def test_edge_10_an_adopted_refund_may_be_pending_and_fail() -> None:
    desk = Desk()
    desk.hear(dashboard(3200, status="pending"))
    assert desk.payment().external == 3200
    assert desk.kinds() == []
    desk.hear(dashboard(3200))
    desk.hear(dashboard(3200, status="failed"))
    assert desk.payment().external == 0
    assert desk.kinds() == ["external", "external"]
    assert desk.balance("clearing:stripe-eu") == 0
    for fact in (Retried(desk.refund().id), Canceled(desk.refund().id)):
        assert desk.tell(fact).refused is not None


def test_edge_10_an_adopted_refund_only_moves_forward_by_webhooks() -> None:
    desk = Desk()
    desk.hear(dashboard(3200, status="pending"))
    desk.hear(dashboard(3200, status="requires_action"))
    assert desk.leg().state == "pending"
    assert desk.due_reread() is not None


def test_edge_10_found_by_a_look_up_is_adopted_too() -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.answer(Unknown("timeout"))
    desk.due()
    desk.found(dashboard(1000), desk.state())
    assert desk.leg(0).state == "succeeded"
    assert desk.payment().external == 1000


def test_edge_10_both_paid_is_raised() -> None:
    desk = paid(ALL)
    desk.hear(dashboard(500))
    assert desk.raised() == ["paid_twice"]
    assert desk.order.remaining == 0
    assert desk.refund().breakdown.unallocated == 500


def test_a_payment_that_was_refunded_more_than_we_know_is_read_again() -> None:
    desk = paid()
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200, refunded=3200)))
    assert not desk.rows
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200, refunded=3700)))
    desk.due_reread()
    desk.reread(desk.state(), dashboard(500))
    assert desk.payment().external == 500


# -- disputes ----------------------------------------------------------------------------------


def test_edge_11_a_dispute_while_a_refund_is_pending_freezes_new_ones() -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.accept("pending")
    desk.tell(dispute(10_200))
    decision = desk.tell(RefundRequested(ONE_TEA))
    verdict = decision.order.refunds[-1].verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.rule) == ("review", "payment-disputed")
    desk.hear(desk.state("failed", desk.leg(0)))
    assert desk.leg(0).state == "failed"
    assert desk.kinds() == ["claim", "claim_lapsed"]


def test_edge_11_what_the_dispute_took_is_not_paid_again() -> None:
    desk = paid()
    desk.tell(dispute(10_200, withdrawn=10_200))
    assert desk.order.remaining == 0
    assert desk.raised() == ["paid_twice"]
    decision = desk.tell(RefundRequested(ONE_TEA))
    assert decision.refused is not None
    assert decision.refused.reason is Reason.EXCEEDS_REMAINING
    desk.tell(dispute(10_200, "won", 0))
    assert desk.order.remaining == 7000


def test_a_dispute_in_another_currency_leaves_nothing_to_refund() -> None:
    """Its amount says nothing in the order's currency, so nothing is safe until a person looks."""
    desk = Desk()
    fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", 500, "USD", "needs_response", True, 500)
    decision = desk.tell(fact)
    assert [e.type for e in decision.events] == ["exception.raised", "dispute.updated"]
    assert desk.order.remaining == 0


@pytest.mark.parametrize("how", ["dispute", "dashboard"])
def test_edge_11_what_left_meanwhile_cannot_be_approved(how: str) -> None:
    desk = Desk(policy=built_in(0))
    desk.tell(RefundRequested(ALL))
    if how == "dispute":
        desk.tell(dispute(10_200, withdrawn=10_200))
    else:
        desk.hear(dashboard(10_200))
    decision = desk.tell(Approved(desk.refund(0).id), actor="person:lead")
    assert decision.refused is not None
    assert decision.refused.reason is Reason.EXCEEDS_REMAINING
    assert decision.refused.extra["remaining"] == 0
    assert shown_state(desk.refund(0)) == "review"


def test_edge_11_an_opening_that_arrives_after_the_end_is_stale() -> None:
    desk = Desk()
    desk.tell(dispute(3200, withdrawn=3200))
    desk.tell(dispute(3200, "won", 0))
    before = desk.order
    desk.tell(dispute(3200, withdrawn=3200))
    desk.tell(dispute(3200, "won", 0))
    assert desk.order == before


def test_edge_13_remaining_is_never_negative() -> None:
    desk = paid()
    desk.tell(dispute(99_999, withdrawn=99_999))
    assert desk.order.remaining == 0
    assert desk.payment().disputed == 99_999


def test_a_fraud_warning_is_kept_for_later_risk() -> None:
    desk = Desk()
    warned = FraudWarned(STRIPE, ("pi_1",), "issfr_1", True)
    desk.tell(warned)
    desk.tell(warned)
    assert desk.order.alerts == ("issfr_1",)
    decision = desk.tell(RefundRequested(ONE_TEA))
    verdict = decision.order.refunds[-1].verdict
    assert verdict is not None
    assert verdict.reasons[0] == "early fraud warning on the payment"


# -- what is declined, stays open, comes back --------------------------------------------------


@dataclass
class Way:
    """Statuses heard one after the other, and where they must lead."""

    heard: tuple[str, ...]
    state: str
    reread: bool = False


WAYS = [
    Way(("pending", "requires_action"), "pending", True),
    Way(("requires_action", "pending"), "requires_action", True),
    Way(("succeeded", "requires_action"), "succeeded", True),
    Way(("succeeded", "awaiting_funds"), "succeeded"),
    Way(("failed", "pending"), "failed"),
    Way(("canceled", "failed"), "canceled"),
    Way(("canceled", "succeeded"), "canceled", True),
    Way(("pending", "canceled"), "canceled"),
    Way(("succeeded", "canceled", "pending"), "canceled"),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.heard))
def test_edge_07_webhooks_only_move_forward(way: Way) -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    intent = desk.due()
    assert isinstance(intent, RefundIntent)
    desk.answer(Unknown("timeout"))
    for status in way.heard:
        desk.hear(desk.state(status))  # type: ignore[arg-type]
    assert desk.leg().state == way.state
    assert desk.payment().reread is way.reread
    assert TERMS.lookup


def test_said_moves_back_with_the_books() -> None:
    desk = paid()
    desk.hear(desk.state("requires_action"))
    desk.due_reread()
    desk.reread(desk.state("requires_action"))
    assert desk.leg().state == "requires_action"
    assert (desk.payment().refunded_ours, desk.payment().pending_ours) == (0, 3200)
    assert desk.kinds() == ["claim", "payout", "payout_failed"]
    desk.due()
    desk.found(desk.state("succeeded"))
    assert desk.kinds() == ["claim", "payout", "payout_failed", "payout"]


def test_a_refund_heard_before_its_capture_is_looked_into_when_the_shop_reports_it() -> None:
    """A provider dresses a release as a refund, so one without a capture is left for later."""
    report = contract_order(tenders=(card(10_200, captured=0),))
    desk = Desk(report)
    made = RefundState("re_9", "succeeded", 500, "EUR")
    desk.tell(RefundReported(STRIPE, ("pi_1",), made), "connection:stripe-eu")
    assert desk.order.refunds == () and not desk.rows
    newer = replace(report, version=2, tenders=(card(10_200),))
    decision = desk.tell(OrderReported(newer), "connection:shop-1")
    assert [effect.kind for effect in decision.effects] == ["lookup"]


@pytest.mark.parametrize("ahead", [0, 3 * SECOND])
def test_an_answer_from_before_the_leg_moved_is_stale_whatever_the_clock_says(ahead: int) -> None:
    """The sender's clock may be ahead of that of who heard the webhooks."""
    desk = Desk()
    start = desk.now
    desk.tell(RefundRequested(RefundIn(amount=3000)))
    desk.now = start + ahead
    desk.due()
    desk.now = start + SECOND
    desk.hear(desk.state("succeeded"))
    desk.hear(desk.state("failed"))
    desk.accept("succeeded")
    assert desk.leg().state == "failed"


def test_a_look_up_from_before_the_leg_moved_is_stale_whatever_the_clock_says() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(amount=3000)))
    desk.due()
    desk.accept("pending")
    desk.due()
    leg, asked = desk.leg(), desk.asked(effect_id(desk.leg().id))
    desk.hear(desk.state("succeeded"))
    old = Accepted(refunds=(desk.state("pending"),))
    desk.tell(LookedUp(leg.payment, old, leg.id, desk.now + 3 * SECOND, asked))
    assert desk.leg().state == "succeeded"


def test_edge_11_what_waits_for_funds_does_not_leave_once_a_dispute_took_the_money() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.answer(Declined("balance_insufficient", kind="funds"))
    taken = DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", "lost", True, 10_200)
    desk.tell(taken, actor=f"connection:{STRIPE}")
    assert desk.due() is None
    assert (desk.leg().state, desk.leg().failure) == ("failed", "taken_by_others")
    assert "taken_by_others" in desk.raised()
    assert desk.balance("refunds_payable") == 0 and desk.payment().pending_ours == 0


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2)], ids=str)
def test_edge_07_steps_of_a_dispute_in_any_order(order: tuple[int, ...]) -> None:
    desk = paid()
    told = {1: ("announced", -1), 2: ("taken", 3000), 3: ("given_back", 0)}
    for step in order:
        status, withdrawn = told[step]
        fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", 3000, "EUR", status, True, withdrawn)
        desk.tell(replace(fact, step=step))
    (dispute_,) = desk.order.disputes
    assert (dispute_.status, dispute_.withdrawn, dispute_.step) == ("given_back", 0, 3)
    assert desk.order.payments[0].disputed == 0


def test_a_won_dispute_that_was_given_back_stays_given_back() -> None:
    """The word of its end may carry the balance of before the money came back, and come later."""
    desk = Desk()
    for withdrawn, status in ((3000, "needs_response"), (0, "won"), (3000, "won")):
        open_ = status != "won"
        fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", 3000, "EUR", status, open_, withdrawn)
        desk.tell(fact, actor=f"connection:{STRIPE}")
    assert (desk.payment().disputed, desk.order.disputes[0].withdrawn) == (0, 0)


def test_where_a_refund_is_is_kept_as_it_arrives() -> None:
    """The way with the answer, the bank's reference days later; each is on the trail once."""
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    state = replace(desk.state(), destination="card")
    desk.answer(Accepted(refund=state))
    assert desk.leg().destination == "card"
    arn = "74537604221222132710572"
    told = replace(state, bank_reference=arn, bank_reference_type="acquirer_reference_number")
    for _ in range(3):
        desk.hear(told)
    assert (desk.leg().bank_reference, desk.leg().state) == (arn, "succeeded")
    traced = [e.body for e in desk.events if e.body.get("news") == "traced"]
    assert [body["bank_reference"] for body in traced] == [arn]
    desk.hear(replace(state, destination=""))
    assert desk.leg().bank_reference == arn, "what is not said takes nothing away"
