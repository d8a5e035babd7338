"""Money that was only authorized: void, partial release, and the race with the capture."""

from __future__ import annotations

import pytest

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.core.facts import (
    Answered,
    Approved,
    DisputeReported,
    LinesUnavailable,
    LookedUp,
    OrderCancelled,
    PaymentReported,
    PaymentToRead,
    RefundRequested,
)
from amends.core.order import shown_state
from amends.core.policy import built_in
from amends.core.reasons import Reason
from amends.core.requests import LineIn, LinePick, RefundIn
from amends.kernel.outcome import Accepted, Declined, PaymentState, Unknown
from tests.core.desk import DAY, STRIPE, VAT, Desk, card, contract_order

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
CANCELED = Accepted(payment=PaymentState(authorized=10_200, captured=0, canceled=True))
LATE = Declined("payment_intent_unexpected_state", kind="captured")


def authorized(policy_up_to: int = 10**9) -> Desk:
    report = contract_order(tenders=(card(10_200, 0),))
    return Desk(report, policy=built_in(policy_up_to))


def captured(amount: int) -> Accepted:
    return Accepted(payment=PaymentState(authorized=10_200, captured=amount))


def capture_reported(desk: Desk, amount: int) -> None:
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=amount)))


def release_reported(desk: Desk) -> None:
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=0, canceled=True)))


def looked_up(desk: Desk, state: PaymentState) -> None:
    fact = LookedUp(desk.payment().id, Accepted(payment=state), desk.leg().id, desk.now)
    desk.tell(fact)


def test_edge_20_all_of_an_authorization_is_voided() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    assert isinstance(desk.due(), CancelIntent)
    desk.answer(CANCELED)
    assert desk.leg().kind == "void"
    assert desk.leg().state == "succeeded"
    assert (desk.payment().voided, desk.payment().voiding) == (10_200, 0)
    assert desk.kinds() == ["void"]
    assert desk.balance("memo_authorizations") == -10_200
    assert desk.order.remaining == 0


def test_edge_20_a_partial_is_never_a_full_void() -> None:
    desk = authorized()
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    intent = desk.due()
    assert isinstance(intent, CaptureRestIntent)
    assert intent.amount == 7000
    desk.answer(captured(7000))
    payment = desk.payment()
    assert (payment.voided, payment.captured, payment.captured_peak) == (3200, 7000, 7000)
    assert desk.order.remaining == 7000
    assert desk.kinds() == ["void"]


def test_edge_20_captured_money_is_refunded() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn()))
    assert isinstance(desk.due(), RefundIntent)


def test_edge_20_two_parts_are_released_one_after_the_other() -> None:
    desk = authorized()
    desk.tell(RefundRequested(ONE_TEA))
    desk.tell(RefundRequested(ONE_TEA))
    first, second = (leg for _, leg in desk.legs())
    assert isinstance(desk.due(first), CaptureRestIntent)
    desk.answer(Unknown("timeout"), desk.leg(0))
    assert desk.due(second) is None, "what is left to capture depends on the first"
    desk.due(first)
    desk.tell(LookedUp(desk.payment().id, captured(7000), first.id, desk.now))
    assert desk.leg(0).state == "succeeded"
    intent = desk.due(second)
    assert isinstance(intent, RefundIntent)
    assert intent.amount == 3200
    desk.accept()
    assert desk.order.remaining == 3800


def test_edge_20_the_same_key_captures_the_same_rest() -> None:
    """A newer version of the order raises the authorization while the answer is lost."""
    desk = authorized()
    desk.tell(RefundRequested(ONE_TEA))
    first = desk.due()
    desk.answer(Unknown("timeout"))
    raised = contract_order(version=2, tenders=(card(20_000, 0),))
    desk.tell(type(desk.told[0][0].fact)(raised))
    desk.due()
    looked_up(desk, PaymentState(authorized=10_200, captured=0))
    assert desk.due() == first


def test_edge_20_a_lost_void_is_looked_up_at_the_payment() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    first = desk.due()
    desk.answer(Unknown("timeout"))
    assert isinstance(desk.due(), LookupPaymentIntent)
    looked_up(desk, PaymentState(authorized=10_200, captured=0))
    assert desk.due() == first
    desk.answer(Declined("unexpected_state", kind="canceled"))
    assert desk.leg().state == "succeeded"


def test_edge_21_the_capture_won_the_race() -> None:
    desk = authorized()
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    desk.due()
    desk.answer(Declined(LATE.code, kind="captured", payment=PaymentState(captured=10_200)))
    intent = desk.due()
    assert isinstance(intent, RefundIntent)
    assert (intent.amount, intent.epoch) == (3200, 2)
    assert desk.payment().voiding == 0
    desk.accept()
    assert desk.kinds() == ["claim", "payout"]
    assert desk.balance("refunds_payable") == 0
    assert desk.order.remaining == 7000


def test_edge_21_the_capture_was_heard_of_before_the_release_left() -> None:
    desk = authorized()
    desk.tell(RefundRequested(ONE_TEA))
    capture_reported(desk, 10_200)
    assert isinstance(desk.due(), RefundIntent)
    assert desk.kinds() == ["claim"]


def test_edge_21_our_own_capture_in_doubt_is_not_anothers() -> None:
    """The first attempt captured the rest and its answer was lost; the repeat is declined as
    captured. Until a look-up tells, that is unknown (I4): a refund here would be too much."""
    desk = authorized()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.answer(Unknown("timeout"))
    desk.due()
    looked_up(desk, PaymentState(authorized=10_200, captured=0))
    desk.due()
    desk.answer(LATE)
    assert desk.leg().state == "unknown"
    desk.due()
    looked_up(desk, PaymentState(authorized=10_200, captured=7000))
    assert desk.leg().state == "succeeded"
    assert desk.payment().captured == 7000
    assert desk.kinds() == ["void"]


def test_edge_21_a_capture_of_too_little_is_not_refunded_beyond() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.answer(Declined(LATE.code, kind="captured", payment=PaymentState(captured=4000)))
    assert desk.leg().state == "failed"
    assert "exceeds_captured" in desk.raised()
    assert desk.payment().voiding == 0
    assert desk.order.remaining == 4000
    assert not desk.rows


def test_a_release_in_review_still_reserves_when_the_capture_comes() -> None:
    """I1: else a second refund could be approved on the same money."""
    desk = authorized(policy_up_to=0)
    desk.tell(RefundRequested(RefundIn()))
    capture_reported(desk, 10_200)
    assert desk.order.remaining == 0
    decision = desk.tell(RefundRequested(ONE_TEA))
    assert decision.refused is not None
    desk.tell(Approved(desk.refund().id), actor="person:lead")
    intent = desk.due()
    assert isinstance(intent, RefundIntent)
    assert intent.amount == 10_200
    assert not desk.raised()


def test_a_release_in_review_of_more_than_was_captured_cannot_be_approved() -> None:
    desk = authorized(policy_up_to=0)
    desk.tell(RefundRequested(RefundIn()))
    capture_reported(desk, 4000)
    decision = desk.tell(Approved(desk.refund().id), actor="person:lead")
    assert decision.refused is not None
    assert decision.refused.reason is Reason.EXCEEDS_REMAINING


def test_a_queued_release_of_more_than_was_captured_is_not_sent() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    capture_reported(desk, 4000)
    assert desk.due() is None
    assert shown_state(desk.refund()) == "failed"
    assert "exceeds_captured" in desk.raised()


@pytest.mark.parametrize("how", ["answer", "look-up", "webhook"])
def test_a_part_of_an_authorization_that_is_gone_captured_nothing(how: str) -> None:
    """Releasing a part captures the rest; if the whole was released meanwhile there is no rest."""
    desk = authorized()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    gone = PaymentState(authorized=10_200, captured=0, canceled=True)
    if how == "answer":
        desk.answer(Declined("unexpected_state", kind="canceled"))
    elif how == "webhook":
        release_reported(desk)
    else:
        desk.answer(Unknown("timeout"))
        desk.due()
        looked_up(desk, gone)
    payment = desk.payment()
    assert (payment.captured, payment.captured_peak, payment.voided) == (0, 0, 10_200)
    assert desk.order.remaining == 0, "nothing was captured that could be refunded"
    assert "authorization_lost" in desk.raised()


def test_a_release_by_others_is_final() -> None:
    desk = authorized()
    release_reported(desk)
    assert desk.payment().voided == 10_200
    assert desk.order.remaining == 0
    release_reported(desk)
    decision = desk.tell(RefundRequested(ONE_TEA))
    assert decision.refused is not None


def test_a_release_by_others_while_ours_is_out() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    release_reported(desk)
    assert desk.leg().state == "succeeded"
    desk.answer(CANCELED)
    assert desk.kinds() == ["void"]
    assert not desk.rows


def test_a_release_the_provider_is_still_doing_is_pending() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.answer(Accepted(payment=PaymentState(authorized=10_200, captured=0)))
    assert desk.leg().state == "pending"
    desk.due()
    looked_up(desk, PaymentState(authorized=10_200, captured=0))
    assert desk.leg().state == "pending"
    release_reported(desk)
    assert desk.leg().state == "succeeded"


def test_an_answer_that_says_nothing_of_the_payment_is_looked_up() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.answer(Accepted())
    assert desk.leg().state == "unknown"
    assert isinstance(desk.due(), LookupPaymentIntent)


def test_an_answer_to_the_release_after_it_became_a_refund_is_not_the_refunds() -> None:
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    old = desk.leg()
    desk.due(lost=True)
    desk.due()
    looked_up(desk, PaymentState(authorized=10_200, captured=10_200))
    assert desk.leg().kind == "refund"
    for state in (PaymentState(captured=0, canceled=True), PaymentState(captured=10_200)):
        desk.tell(Answered(old.id, old.epoch, old.attempts, Accepted(payment=state)))
    assert desk.leg().state == "sending"
    assert desk.payment().refunded_ours == 0


def test_a_refund_on_one_payment_and_a_release_on_another_overtaken_by_its_capture() -> None:
    """The claim grows by what turned from release into refund, and lapses exactly."""
    tea = LineIn("1", 3, 9601, taxes=VAT)
    tenders = (card(5000), card(5201, 0, "pi_2"))
    desk = Desk(contract_order(lines=(tea,), tenders=tenders))
    desk.tell(RefundRequested(RefundIn()))
    first, second = (leg for _, leg in desk.legs())
    assert (first.kind, second.kind) == ("refund", "void")
    assert desk.refund().claimed == 5000
    desk.due(second)
    state = PaymentState(captured=5201)
    desk.answer(Declined(LATE.code, kind="captured", payment=state), desk.leg(1))
    assert desk.refund().claimed == 10_201
    desk.due(first)
    desk.answer(Declined("no"), desk.leg(0))
    desk.due(second)
    desk.answer(Declined("no"), desk.leg(1))
    assert desk.kinds() == ["claim", "claim", "claim_lapsed"]
    accounts = {p.account for e in desk.entries for p in e.postings}
    assert all(desk.balance(account) == 0 for account in accounts)


def test_a_cancelled_order_gives_all_back() -> None:
    desk = authorized()
    desk.tell(OrderCancelled())
    assert isinstance(desk.due(), CancelIntent)
    desk.answer(CANCELED)
    desk.now += DAY
    before = desk.order
    desk.tell(OrderCancelled())
    assert desk.order == before


def test_a_release_that_a_capture_ended_is_not_ended_again_by_its_answer() -> None:
    """A dispute took a part: not all of it can be given back. Then the void's own no arrives."""
    desk = authorized()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.tell(DisputeReported(STRIPE, ("pi_1",), "dp_1", 1, "EUR", "lost", False, 1))
    capture_reported(desk, 10_200)
    assert (desk.leg().state, desk.raised()[-1]) == ("failed", "exceeds_captured")
    desk.answer(Declined(LATE.code, kind="captured", payment=PaymentState(captured=10_200)))
    assert (desk.leg().state, desk.leg().kind) == ("failed", "void")
    assert (desk.payment().voiding, desk.payment().pending_ours) == (0, 0)
    assert not desk.rows


def test_what_was_captured_is_read_again_by_its_refunds() -> None:
    """Only where a refund is of one capture is the payment itself read to find that."""
    desk = authorized()
    capture_reported(desk, 10_200)
    desk.tell(PaymentToRead(STRIPE, ("pi_1",)))
    assert isinstance(desk.due_reread(), LookupRefundsIntent)
