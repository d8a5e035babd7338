"""Where news, people and others' hands cross: retries, claims taken over, re-reads, disputes."""

from __future__ import annotations

import pytest

from amends.core import asks
from amends.core.effects import RefundIntent
from amends.core.facts import (
    Approved,
    Canceled,
    DisputeReported,
    LookedUp,
    PaymentReported,
    RefundRequested,
    Rejected,
    Retried,
)
from amends.core.order import shown_state
from amends.core.policy import built_in
from amends.core.quote import compute
from amends.core.reasons import Reason
from amends.core.requests import LineIn, LinePick, PaymentKey, RefundIn
from amends.kernel.outcome import (
    Accepted,
    Declined,
    NotSent,
    PaymentState,
    RefundState,
    Unknown,
)
from tests.core.desk import HOUR, SECOND, STRIPE, Desk, card, contract_order
from tests.core.test_news import ONE_TEA, dashboard, dispute, paid
from tests.core.test_requests import quoted
from tests.core.test_sending import sent
from tests.core.test_surfaced import FUNDS, surfaced

ALL = RefundIn()


# -- money that leaves twice ---------------------------------------------------------------------


def test_a_reread_asked_for_while_one_is_out_is_not_dropped() -> None:
    """A list is out for another reason; meanwhile the bank pays after all, and its webhook is here
    before the list, which was made before."""
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200, refunded=500)))
    desk.due_reread()
    desk.hear(desk.state("succeeded"))
    assert desk.payment().reread
    desk.reread(desk.state("failed"), dashboard(500))
    assert desk.leg(0).state == "succeeded" or desk.payment().reread, "paid, and nobody will look"


def test_a_dashboard_refund_made_while_a_reread_is_out_is_found() -> None:
    desk = paid()
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200, refunded=3700)))
    desk.due_reread()
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200, refunded=4700)))
    desk.reread(desk.state(), dashboard(500))  # as it was before the second one
    assert desk.payment().external == 1500 or desk.payment().reread


def test_edge_09_a_retry_that_has_not_left_does_not_once_the_first_has_paid() -> None:
    """The retry waits for funds; meanwhile the provider says the first one paid after all."""
    desk = paid()
    desk.hear(desk.state("failed"))
    old = desk.leg()
    desk.tell(Retried(desk.refund().id))
    desk.due()
    desk.answer(Declined("balance_insufficient", kind="funds"))
    desk.hear(desk.state("succeeded", old))
    desk.due_reread()
    desk.reread(desk.state("succeeded", old))
    assert desk.leg(0).state == "succeeded"
    assert not isinstance(desk.due(desk.leg(1)), RefundIntent), "paid twice, knowingly"


def test_edge_09_nor_does_the_refund_that_took_its_claim_over() -> None:
    desk = paid(RefundIn(shipping="full"))
    desk.hear(desk.state("failed"))
    old = desk.leg()
    desk.tell(RefundRequested(RefundIn(shipping="full")))
    desk.due()
    desk.answer(FUNDS)
    desk.hear(desk.state("succeeded", old))
    desk.due_reread()
    desk.reread(desk.state("succeeded", old))
    assert desk.raised() == ["paid_before"]
    assert not isinstance(desk.due(desk.leg(1)), RefundIntent), "paid twice, knowingly"


def test_edge_11_what_was_never_sent_does_not_leave_once_a_dispute_took_the_money() -> None:
    """Every request was refused before a byte left (an outage); then the bank took all."""
    desk = sent(ALL)
    desk.answer(NotSent("connection refused"))
    desk.tell(dispute(10_200, withdrawn=10_200))
    assert not isinstance(desk.due(), RefundIntent), "the dispute took it, and we send it too"


def test_edge_11_what_failed_is_not_tried_again_while_a_dispute_may_take_the_money() -> None:
    """The inquiry holds nothing yet, so that the money is there; both would pay."""
    desk = sent(ALL)
    desk.answer(Declined("refund_disputed_payment", "no"))
    desk.tell(dispute(10_200, "warning_needs_response", withdrawn=0))
    refused = desk.tell(Retried(desk.refund().id)).refused
    assert refused and refused.reason is Reason.WRONG_STATE
    desk.tell(dispute(10_200, "won", withdrawn=0))
    assert desk.tell(Retried(desk.refund().id)).refused is None


def test_a_refund_paid_by_a_closed_attempt_is_not_retried() -> None:
    """It shows "failed" only because nothing more need leave."""
    desk = surfaced()
    desk.answer(FUNDS, desk.leg(0))
    for _ in range(200):
        if desk.leg(0).state == "failed":
            break
        desk.due(desk.leg(0))
        desk.found(leg=desk.leg(0))
    assert desk.payment().external == 3200
    decision = desk.tell(Retried(desk.refund(0).id))
    assert decision.refused is not None, "3200 was paid already by the closed attempt"


@pytest.mark.parametrize("stale", ["warning_needs_response", "warning_under_review"])
def test_an_inquiry_heard_after_its_chargeback_gives_nothing_back(stale: str) -> None:
    """The event of the inquiry was tried again after the dispute had escalated (I9, I1)."""
    desk = Desk()
    desk.tell(dispute(10_200, "warning_needs_response", withdrawn=0))
    desk.tell(dispute(10_200, "needs_response", withdrawn=10_200))
    desk.tell(dispute(10_200, stale, withdrawn=0))
    assert desk.payment().disputed == 10_200
    assert desk.order.remaining == 0


def test_an_overtaken_look_up_says_nothing_newer_than_the_one_after_it() -> None:
    """The first list (of many pages) outlived its lease; the second one, asked later, came first.
    It said what was known, so nothing remembers that it was newer."""
    desk = paid()
    desk.hear(desk.state("requires_action"))
    desk.due_reread()
    first = desk.asked(f"fx_{desk.payment().id[4:]}_all")
    desk.due_reread(lost=True)
    desk.reread(desk.state("succeeded"))
    old = Accepted(refunds=(desk.state("requires_action"),))
    desk.tell(LookedUp(desk.payment().id, old, "", desk.now - 20 * SECOND, first))
    assert desk.leg().state == "succeeded"


def test_a_prevented_dispute_that_was_given_back_stays_given_back() -> None:
    """As a won one does: its end carries the balance of before the money came back."""
    desk = Desk()
    for withdrawn, status in ((3000, "needs_response"), (0, "prevented"), (3000, "prevented")):
        open_ = status == "needs_response"
        fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", 3000, "EUR", status, open_, withdrawn)
        desk.tell(fact, actor=f"connection:{STRIPE}")
    assert desk.payment().disputed == 0
    assert desk.order.remaining == 10_200


def test_a_stale_failure_after_the_providers_word_of_success_is_read_again() -> None:
    """failed, then succeeded after all (edge 9), then the first webhook once more."""
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.hear(desk.state("succeeded"))
    desk.due_reread()
    desk.reread(desk.state("succeeded"))
    assert desk.leg().state == "succeeded"
    desk.hear(desk.state("failed"))
    assert desk.leg().state == "succeeded" or desk.payment().reread


# -- money that does not leave -------------------------------------------------------------------


def test_a_closed_attempt_that_surfaced_and_failed_does_not_hold_the_leg_back() -> None:
    """Nothing was paid by either; want of funds is still no reason to give up."""
    desk = surfaced()
    first = RefundState(desk.leg(1).psp_refund_id, "failed", 3200, "EUR", desk.leg(0).id, 1)
    desk.hear(first)
    assert desk.payment().external == 0
    desk.answer(FUNDS, desk.leg(0))
    assert desk.leg(0).state == "awaiting_funds", desk.leg(0).failure


def test_a_leg_the_provider_canceled_is_not_shown_as_paid() -> None:
    """50.00 is paid, 52.00 is canceled there: the customer lacks it and nobody is told."""
    desk = Desk(contract_order(tenders=(card(5000), card(5200, name="pi_2"))))
    desk.tell(RefundRequested(ALL))
    desk.due(desk.leg(0))
    desk.accept(leg=desk.leg(0))
    desk.due(desk.leg(1))
    desk.accept("canceled", desk.leg(1))
    assert desk.refund().claimed == 10_200, "it is owed"
    assert shown_state(desk.refund()) != "succeeded" or desk.raised()


def test_a_stale_capture_takes_nothing_from_what_is_known_to_be_captured() -> None:
    """Two captures; the answer to our release was written between them."""
    desk = Desk(contract_order(tenders=(card(10_200, 0),)))
    desk.tell(RefundRequested(ALL))
    desk.due()
    out = desk.leg()
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200)))
    late = Declined("unexpected_state", kind="captured", payment=PaymentState(captured=4000))
    desk.answer(late, out)
    assert desk.payment().captured == 10_200
    assert desk.leg().state == "sending"
    assert isinstance(desk.due(), RefundIntent)


def test_of_two_releases_overtaken_by_a_small_capture_the_one_that_fits_is_paid() -> None:
    desk = Desk(contract_order(tenders=(card(10_200, 0),)))
    desk.tell(RefundRequested(ONE_TEA))
    desk.tell(RefundRequested(ALL))
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=4000)))
    first = desk.due(desk.leg(0))
    assert isinstance(first, RefundIntent), "3200 of 4000 could go back"


def test_what_a_review_holds_does_not_stop_what_was_approved() -> None:
    """70.00 waits for a person, 32.00 was approved and waits for funds; a dispute takes 1.00."""
    desk = Desk(policy=built_in(5000))
    desk.tell(RefundRequested(RefundIn(amount=7000)))
    desk.tell(RefundRequested(RefundIn(amount=3200)))
    desk.due()
    desk.answer(FUNDS)
    desk.tell(dispute(100, withdrawn=100))
    assert isinstance(desk.due(), RefundIntent), desk.leg().failure


# -- claims --------------------------------------------------------------------------------------


def two_late_failures() -> Desk:
    desk = paid(ONE_TEA)
    desk.tell(RefundRequested(RefundIn(shipping="full")))
    desk.due()
    desk.answer(Accepted(refund=desk.state(psp_id="re_parcel")))
    desk.hear(desk.state("failed", desk.leg(0)))
    desk.hear(desk.state("failed", desk.leg(1)))
    assert desk.balance("refunds_payable") == -3800
    return desk


def test_a_new_refund_takes_over_only_the_claim_whose_parts_it_needs() -> None:
    desk = two_late_failures()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 3),))))
    assert desk.refund(0).claimed == 0
    assert desk.refund(1).claimed == 600, "the parcel is still owed, nobody gave it up"


def failed_late(number: int) -> Desk:
    """An order of twice as many lines as it has refunds, each of which came back."""
    lines = tuple(LineIn(str(n), 1, 100) for n in range(2 * number))
    desk = Desk(contract_order(lines=lines, shipping=(), tenders=(card(200 * number),)))
    for n in range(number):
        desk.tell(RefundRequested(RefundIn(lines=(LinePick(str(n), 1),))))
        desk.due()
        desk.answer(Accepted(refund=desk.state(psp_id=f"re_{n}")))
        desk.hear(desk.state("failed"))
    return desk


def test_claims_that_nobody_needs_are_spared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: with them, and without."""
    desk, made = failed_late(9), []
    monkeypatch.setattr(asks, "compute", lambda *given: made.append(1) or compute(*given))
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("9", 1),))))
    assert desk.refund().takes_over == ()
    assert len(made) == 2
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("4", 1), LinePick("10", 1)))))
    assert desk.refund().takes_over == (desk.refund(4).id,)


def test_all_of_one_payment_leaves_what_another_payment_owes() -> None:
    """52.00 on pi_2 failed and is owed; somebody asks for the rest of pi_1."""
    desk = Desk(contract_order(tenders=(card(5000), card(5200, name="pi_2"))))
    only = PaymentKey(STRIPE, "pi_2")
    desk.tell(RefundRequested(RefundIn(payment=only, amount=5200)))
    desk.due()
    desk.accept()
    desk.hear(desk.state("failed"), "pi_2")
    assert desk.balance("refunds_payable") == -5200
    desk.tell(RefundRequested(RefundIn(payment=PaymentKey(STRIPE, "pi_1"))))
    assert desk.refund(0).claimed == 5200


def test_what_is_owed_stands_until_the_refund_that_takes_it_over_is_approved() -> None:
    """I12: a late failure's claim stands. A request that a person turns down gives nothing up."""
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.policy = built_in(0)
    desk.tell(RefundRequested(ALL))
    desk.tell(Rejected(desk.refund().id), "person:lead")
    assert desk.balance("refunds_payable") == -3200


def test_what_takes_over_a_claim_is_not_approved_once_that_was_paid_after_all() -> None:
    desk = paid(RefundIn(shipping="full"))
    desk.hear(desk.state("failed"))
    old = desk.leg()
    desk.policy = built_in(0)
    desk.tell(RefundRequested(RefundIn(shipping="full")))
    assert desk.refund().takes_over == (desk.refund(0).id,)
    desk.hear(desk.state("succeeded", old))
    desk.due_reread()
    desk.reread(desk.state("succeeded", old))
    decision = desk.tell(Approved(desk.refund().id), "person:lead")
    assert decision.refused is not None
    assert decision.refused.reason == Reason.WRONG_STATE
    assert "canceled" in decision.refused.detail


def test_a_retry_taken_back_leaves_no_claim_on_a_canceled_refund() -> None:
    desk = paid()
    desk.hear(desk.state("failed"))
    desk.tell(Retried(desk.refund().id))
    decision = desk.tell(Canceled(desk.refund().id))
    assert decision.refused is None and shown_state(desk.refund()) == "canceled"
    assert desk.balance("refunds_payable") == 0


def test_what_is_owed_ends_at_zero_in_the_functional_currency_too() -> None:
    """One claim, two payouts, each converted on its own: a cent stays on refunds payable."""
    tenders = (card(4908), card(5292, name="pi_2"))
    desk = Desk(contract_order(currency="USD", tenders=tenders))
    desk.tell(RefundRequested(ALL))
    for number in (0, 1):
        desk.due(desk.leg(number))
        desk.accept(leg=desk.leg(number))
    owed = [p for e in desk.entries for p in e.postings if p.account == "refunds_payable"]
    assert sum(p.amount for p in owed) == 0
    assert sum(p.functional for p in owed) == 0


# -- nobody told ---------------------------------------------------------------------------------


def test_a_reread_that_fails_for_days_is_told_to_a_person() -> None:
    desk = paid()
    desk.hear(desk.state("requires_action"))
    for _ in range(10_000):
        assert desk.due_reread() is not None
        desk.tell(LookedUp(desk.payment().id, Unknown("timeout"), "", desk.now))
    assert desk.raised(), "three days of failed look-ups"


def test_what_waits_for_funds_for_weeks_is_told_to_a_person() -> None:
    desk = sent()
    for _ in range(24 * 30):
        desk.answer(FUNDS)
        desk.due()
    assert desk.raised(), "the customer waits for a month"


def test_an_adopted_refund_that_is_pending_is_looked_in_on() -> None:
    """As ours are, in case the webhook of its end is lost."""
    desk = Desk()
    desk.hear(dashboard(3200, status="pending"))
    assert desk.rows, "it stays pending for ever: on no book, its amount set aside"


# -- quotes --------------------------------------------------------------------------------------


def test_a_quote_is_stale_once_it_would_give_up_a_claim() -> None:
    """Made when nothing was owed; a late failure later its commit lapses another refund's claim,
    which nobody was shown."""
    desk = Desk()
    request = RefundIn(amount=7000)
    bound = quoted(desk, request)
    paid(RefundIn(amount=5000), desk)
    desk.hear(desk.state("failed"))
    decision = desk.tell(RefundRequested(request, bound, desk.now + HOUR))
    assert decision.refused is not None or desk.refund(0).claimed == 5000


def test_a_quote_is_not_committed_again_beside_the_claim_of_its_first_commit() -> None:
    desk = Desk()
    bound = quoted(desk, ONE_TEA)
    desk.tell(RefundRequested(ONE_TEA, bound, desk.now + HOUR))
    desk.due()
    desk.accept()
    desk.hear(desk.state("failed"))
    desk.tell(RefundRequested(ONE_TEA, bound, desk.now + HOUR))
    desk.tell(Retried(desk.refund(0).id))
    assert sum(r.claimed for r in desk.order.refunds) == 3200, "one quote, two teas"


# -- what others gave back, explained ------------------------------------------------------------


def explained(desk: Desk) -> None:
    """All of the order went back by others' hand: each component whole, and so booked."""
    (others,) = [refund for refund in desk.order.refunds if refund.external]
    parts = others.breakdown
    assert (others.amount, parts.unallocated) == (10_200, 0)
    taxes = sum(t.amount for part in (*parts.lines, *parts.shipping) for t in part.taxes)
    assert desk.balance("tax_payable") == taxes > 0
    assert desk.balance("shipping_refunds") == sum(part.net for part in parts.shipping)
    assert desk.balance("sales_returns") == sum(part.net for part in parts.lines)
    assert desk.balance("clearing:stripe-eu") == -10_200
    assert desk.balance("refunds_payable") == 0


def test_edge_10_what_others_gave_back_is_explained_by_ours_that_ended_unpaid() -> None:
    """All is refunded by hand while it is unknown what became of ours; ours is refused for that."""
    desk = sent()
    desk.answer(Unknown("no answer in time"))
    desk.hear(dashboard(10_200))
    assert desk.refund(1).breakdown.unallocated == 3200
    while desk.leg(0).state == "unknown":
        if isinstance(desk.due(desk.leg(0)), RefundIntent):
            desk.answer(Declined("charge_already_refunded", kind="refunded"), desk.leg(0))
        else:
            desk.found(dashboard(10_200), leg=desk.leg(0))
    assert shown_state(desk.refund(0)) == "failed"
    assert "refund.reallocated" in [event.type for event in desk.events]
    explained(desk)


@pytest.mark.parametrize("ended", ["declined", "taken back"])
def test_edge_10_nor_does_a_refund_that_was_never_approved_leave_it_unexplained(
    ended: str,
) -> None:
    desk = Desk(policy=built_in(0))
    desk.tell(RefundRequested(ONE_TEA))
    desk.hear(dashboard(10_200, status="pending"))
    desk.tell(Rejected(desk.refund(0).id) if ended == "declined" else Canceled(desk.refund(0).id))
    desk.hear(dashboard(10_200))
    explained(desk)


# -- what failed, and a review is to take over ---------------------------------------------------


def taking_over() -> Desk:
    """All of it failed late and is still owed; a review asks for one tea of it."""
    desk = paid(ALL)
    desk.hear(desk.state("failed"))
    desk.policy = built_in(0)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.refund().takes_over == (desk.refund(0).id,)
    desk.policy = built_in(10**9)
    return desk


def test_what_a_review_is_to_take_over_is_not_there_for_another_refund() -> None:
    desk = taking_over()
    refused = desk.tell(RefundRequested(ONE_TEA)).refused
    assert refused is not None
    assert refused.reason == Reason.EXCEEDS_QUANTITY
    desk.tell(Rejected(desk.refund(1).id))
    assert sum(refund.claimed for refund in desk.order.refunds) == 10_200


@pytest.mark.parametrize("end", [Approved, Rejected])
def test_edge_10_what_others_give_back_meanwhile_wedges_no_order(end: type) -> None:
    desk = taking_over()
    for amount in (5000, 3000):
        desk.hear(RefundState(f"re_{amount}", "succeeded", amount, "EUR"))
    desk.tell(end(desk.refund(1).id))
    desk.hear(RefundState("re_500", "succeeded", 500, "EUR"))
    others = [refund for refund in desk.order.refunds if refund.external]
    explained = 8500 - sum(refund.breakdown.unallocated for refund in others)
    assert desk.payment().external == 8500
    # Too little is left for the tea: it is not approved, and both are for a person to decide.
    assert (explained, desk.refund(0).claimed) == (0, 10_200)
