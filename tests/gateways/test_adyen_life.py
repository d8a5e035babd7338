"""Adyen's bytes through gateway and core: a refund whose outcome only webhooks tell.

Webhooks come in any order; nothing can be looked up.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from amends.core.decision import Terms
from amends.core.effects import CancelIntent, CaptureRestIntent, RefundIntent, ReverseIntent
from amends.core.facts import (
    Answered,
    Canceled,
    LinesUnavailable,
    OrderReported,
    RefundRequested,
    Rejected,
)
from amends.core.order import Leg
from amends.core.policy import built_in
from amends.core.requests import LinePick, RefundIn, TenderIn
from amends.gateways import adyen
from amends.gateways.spec import Failure, Genuine, Response
from amends.kernel.check import InvariantBroken
from amends.kernel.time import DAY
from tests.core.desk import Desk, contract_order
from tests.gateways.adyen_money_table import answer, error, received
from tests.gateways.adyen_table import (
    PSP,
    REFUND_PSP,
    SECRET,
    SETTINGS,
    disputed,
    one,
    seal,
)
from tests.gateways.table import NOW, dumps

ABLE = adyen.CAPABILITIES
TERMS = Terms(
    ABLE.key_ttl, ABLE.lookup_delay, ABLE.key_ttl, lookup=ABLE.lookup, reversal=ABLE.reversal
)
ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
TIMEOUT = Failure(True, "no answer in 6 s")

Sendable = RefundIntent | CancelIntent | CaptureRestIntent | ReverseIntent


def paid(captured: int = 10_200) -> Desk:
    """The order of the contract, paid through Adyen."""
    tender = TenderIn(10_200, "payment", "adyen-eu", PSP, captured)
    return Desk(contract_order(tenders=(tender,)), terms={"adyen-eu": TERMS})


def sends(desk: Desk) -> Sendable:
    """What leaves now, for the leg that was made last."""
    intent = desk.due()
    assert isinstance(intent, Sendable)
    return intent


def asked(desk: Desk, request: RefundIn = ONE_TEA) -> Sendable:
    desk.tell(RefundRequested(request))
    return sends(desk)


def reference(intent: Sendable) -> str:
    return str(json.loads(adyen.write(intent, SETTINGS).body)["reference"])


def taken_up(intent: Sendable, **changes: Any) -> Response:
    """The answer "received" to this very request."""
    sent = json.loads(adyen.write(intent, SETTINGS).body)
    echoed = {key: sent[key] for key in ("reference", "amount") if key in sent}
    return answer(201, received(**{**echoed, **changes}))


def answers(desk: Desk, intent: Sendable, result: Response | Failure) -> None:
    leg = leg_of(desk, intent)
    desk.now += 50_000
    outcome = adyen.parse(intent, result)
    desk.tell(Answered(leg.id, leg.epoch, leg.attempts, outcome), "connection:adyen-eu")


def hear(desk: Desk, message: dict[str, Any]) -> None:
    """A webhook, signed, verified and read."""
    raw = dumps(seal(message, SECRET))
    assert adyen.verify(raw, {}, (SECRET,), NOW) == Genuine()
    for told in adyen.read(raw, {}, SETTINGS).facts:
        desk.tell(told.fact, "connection:adyen-eu")


def leg_of(desk: Desk, intent: Sendable) -> Leg:
    return next(leg for _, leg in desk.legs() if leg.id == intent.leg)


def succeeded(intent: Sendable, **changes: Any) -> dict[str, Any]:
    return one("REFUND", **{"merchantReference": reference(intent), **changes})


def test_a_refund_is_done_when_its_webhook_says_so() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    assert (desk.leg().state, desk.leg().psp_refund_id) == ("pending", REFUND_PSP)
    assert desk.payment().pending_ours == 3200
    hear(desk, succeeded(intent))
    assert desk.leg().state == "succeeded"
    assert (desk.payment().refunded_ours, desk.order.remaining) == (3200, 7000)
    assert not desk.rows


def test_edge_02_an_unknown_outcome_is_settled_by_the_same_bytes() -> None:
    desk = paid()
    first = asked(desk)
    answers(desk, first, TIMEOUT)
    assert (desk.leg().state, desk.payment().pending_ours) == ("unknown", 3200)
    again = sends(desk)
    assert adyen.write(again, SETTINGS) == adyen.write(first, SETTINGS)
    answers(desk, again, taken_up(again))
    hear(desk, succeeded(again))
    assert (desk.leg().state, len(desk.legs())) == ("succeeded", 1)


def test_edge_03_after_a_crash_the_same_bytes_leave_again() -> None:
    desk = paid()
    first = asked(desk)
    desk.due(lost=True)
    assert adyen.write(sends(desk), SETTINGS) == adyen.write(first, SETTINGS)


def test_edge_04_past_the_retention_nothing_is_sent_and_a_webhook_settles_it() -> None:
    desk = paid()
    first = asked(desk)
    began = last = desk.now
    answers(desk, first, TIMEOUT)
    while (intent := desk.due()) is not None:
        assert intent == first
        last = desk.now
        answers(desk, first, TIMEOUT)
    assert 0 < last - began < ABLE.key_ttl
    assert (desk.leg().state, desk.raised()) == ("unknown", ["stuck", "key_ending", "key_ended"])
    assert desk.payment().pending_ours == 3200
    for _ in range(40):  # it is looked in on, and nothing leaves
        assert desk.due() is None
    assert desk.leg().state == "unknown"
    hear(desk, succeeded(first))
    assert (desk.leg().state, desk.payment().refunded_ours) == ("succeeded", 3200)


def test_edge_05_a_key_that_brought_another_refund_stops_the_order() -> None:
    desk = paid()
    intent = asked(desk)
    with pytest.raises(InvariantBroken, match="999"):
        answers(desk, intent, taken_up(intent, amount={"currency": "EUR", "value": 999}))


def test_edge_06_the_webhook_comes_before_the_answer() -> None:
    desk = paid()
    intent = asked(desk)
    hear(desk, succeeded(intent))
    answers(desk, intent, taken_up(intent))
    assert (desk.leg().state, len(desk.legs())) == ("succeeded", 1)
    assert desk.kinds().count("payout") == 1


def test_edge_07_what_is_heard_twice_happens_once() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    for message in (
        succeeded(intent),
        one("POSTPONED_REFUND", merchantReference=reference(intent)),
    ):
        for _ in range(3):
            hear(desk, message)
    assert desk.leg().state == "succeeded"
    assert (desk.kinds().count("payout"), desk.payment().refunded_ours) == (1, 3200)


@pytest.mark.parametrize("event", ["REFUND_FAILED", "REFUNDED_REVERSED"])
def test_edge_08_a_refund_that_fails_days_later_puts_the_money_back(event: str) -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    hear(desk, succeeded(intent))
    desk.now += 9 * ABLE.key_ttl
    for _ in range(2):
        hear(desk, one(event, merchantReference=reference(intent)))
    assert (desk.leg().state, desk.leg().failure) == ("failed", event.lower())
    assert (desk.payment().refunded_ours, desk.kinds().count("payout_failed")) == (0, 1)


def test_edge_10_a_refund_from_the_customer_area_is_adopted() -> None:
    desk = paid()
    for _ in range(2):
        hear(desk, one("REFUND", value=5000))
    assert (desk.payment().external, desk.order.remaining) == (5000, 5200)
    assert desk.refund().external


def test_edge_11_a_chargeback_while_a_refund_is_pending_is_seen_to_pay_twice() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    hear(desk, disputed("NOTIFICATION_OF_CHARGEBACK", value=10_200))
    assert desk.order.remaining == 7000
    hear(desk, disputed("CHARGEBACK", value=10_200))
    assert (desk.order.remaining, desk.raised()) == (0, ["paid_twice"])
    hear(desk, succeeded(intent, success="false", reason="Chargeback"))
    assert desk.leg().state == "failed"
    assert desk.payment().pending_ours == 0


def test_edge_12_warning_and_chargeback_and_refund_are_one_exposure() -> None:
    desk = paid()
    hear(desk, disputed("NOTIFICATION_OF_FRAUD"))
    hear(desk, disputed("NOTIFICATION_OF_CHARGEBACK", value=10_200))
    hear(desk, disputed("CHARGEBACK", value=10_200))
    assert (desk.payment().disputed, desk.order.remaining) == (10_200, 0)
    hear(desk, disputed("CHARGEBACK_REVERSED", value=10_200))
    assert desk.order.remaining == 10_200
    hear(desk, disputed("SECOND_CHARGEBACK", value=10_200))
    for late in ("CHARGEBACK_REVERSED", "CHARGEBACK", "NOTIFICATION_OF_CHARGEBACK"):
        hear(desk, disputed(late, value=10_200))
        assert (desk.payment().disputed, desk.order.remaining) == (10_200, 0), late


def test_edge_20_all_of_an_authorization_is_canceled() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    assert isinstance(intent, CancelIntent)
    answers(desk, intent, taken_up(intent))
    assert (desk.leg().state, desk.payment().voided) == ("pending", 0)
    hear(desk, one("CANCELLATION", merchantReference=reference(intent)))
    assert (desk.leg().state, desk.payment().voided) == ("succeeded", 10_200)


def test_edge_20_a_part_of_an_authorization_never_becomes_a_cancel() -> None:
    desk = paid(captured=0)
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    intent = sends(desk)
    assert isinstance(intent, CaptureRestIntent)
    assert intent.amount == 7000
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CAPTURE", value=7000, merchantReference=reference(intent)))
    assert (desk.payment().captured, desk.payment().voided) == (7000, 3200)


def test_edge_22_a_refund_refused_for_want_of_balance_was_never_shown_as_done() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    refused = succeeded(intent, success="false", reason="Insufficient balance on payment")
    hear(desk, refused)
    assert (desk.leg().state, desk.leg().failure) == ("failed", "insufficient_balance")
    assert (desk.order.remaining, "payout" in desk.kinds()) == (10_200, False)


@pytest.mark.parametrize("said", ["refund", "cancel"])
@pytest.mark.parametrize("captured", [0, 10_200])
def test_a_reversal_is_what_the_order_knows_it_can_only_be(said: str, captured: int) -> None:
    """Which of the two Adyen did is not signed."""
    desk = paid(captured)
    message = one("CANCEL_OR_REFUND", value=10_200, extra={"modification.action": said})
    for _ in range(2):
        hear(desk, message)
    payment = desk.payment()
    assert (payment.external, payment.voided) == (captured, 10_200 - captured)
    assert desk.order.remaining == 0


# --- releases, and what only a webhook can settle ----------------------------------------------


def test_a_captured_rest_settles_its_release() -> None:
    desk = paid(captured=0)
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    intent = sends(desk)
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CAPTURE", value=7000, merchantReference=reference(intent)))
    assert (desk.leg().state, desk.order.remaining) == ("succeeded", 7000)


def test_edge_21_a_void_that_lost_against_the_capture_becomes_a_refund() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CANCELLATION", success="false", reason="Transaction has been captured"))
    hear(desk, one("CAPTURE", value=10_200))
    assert desk.leg().kind == "refund"


def test_a_refused_cancellation_ends_its_void() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CANCELLATION", success="false", merchantReference=reference(intent)))
    assert desk.leg().state != "pending"


def test_edge_07_a_success_told_after_the_failure_asks_nothing_of_adyen() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    hear(desk, one("REFUND_FAILED", merchantReference=reference(intent)))
    hear(desk, succeeded(intent))
    assert desk.leg().state == "failed"
    assert not desk.rows


def test_what_adyen_says_not_to_repeat_is_not_repeated() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, error(422, "704"))
    assert desk.due() is None


@pytest.mark.parametrize("marked", [True, False])
def test_edge_21_the_capture_is_told_before_the_refused_cancellation(marked: bool) -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    mark = {"merchantReference": reference(intent)} if marked else {}
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CAPTURE", value=10_200, pspReference="CAPTURED00TABLE82"))
    assert (desk.leg().kind, desk.leg().epoch) == ("refund", 2)
    hear(desk, one("CANCELLATION", success="false", **mark))
    refund = sends(desk)
    assert isinstance(refund, RefundIntent)
    assert refund.amount == 10_200
    answers(desk, refund, taken_up(refund))
    hear(desk, succeeded(refund, value=10_200))
    assert (desk.leg().state, desk.raised()) == ("succeeded", [])
    assert desk.kinds() == ["claim", "payout"]


def test_edge_21_the_capture_is_told_while_the_cancellation_is_on_the_wire() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    hear(desk, one("CAPTURE", value=10_200, pspReference="CAPTURED00TABLE82"))
    assert desk.payment().busy, "its answer is still to come"
    desk.now += 50_000
    leg = leg_of(desk, intent)
    late = Answered(leg.id, 1, 1, adyen.parse(intent, taken_up(intent)))
    desk.tell(late, "connection:adyen-eu")
    refund = sends(desk)
    assert isinstance(refund, RefundIntent)
    assert (refund.amount, refund.epoch) == (10_200, 2)


@pytest.mark.parametrize("lost", [True, False])
def test_edge_21_taken_back_while_the_cancellation_is_on_the_wire_it_keeps_its_lease(
    lost: bool,
) -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    hear(desk, one("CAPTURE", value=10_200, pspReference="CAPTURED00TABLE82"))
    desk.tell(Canceled(desk.refund().id))
    assert (desk.leg().state, desk.payment().busy) == ("canceled", desk.leg().id)
    if lost:  # nobody waits for the answer any more
        assert desk.due(lost=True) is None
    else:
        desk.now += 50_000
        late = Answered(desk.leg().id, 1, 1, adyen.parse(intent, taken_up(intent)))
        desk.tell(late, "connection:adyen-eu")
    assert (desk.payment().busy, desk.rows) == ("", {})
    assert isinstance(asked(desk, RefundIn()), RefundIntent)


def test_edge_21_the_refusal_is_told_before_the_answer() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    refusal = one("CANCELLATION", success="false", merchantReference=reference(intent))
    hear(desk, refusal)
    answers(desk, intent, taken_up(intent))
    assert desk.leg().state == "unknown", "an answer that says received takes no refusal back"
    hear(desk, one("CAPTURE", value=10_200))
    assert desk.leg().kind == "refund"


def test_edge_21_a_refusal_of_what_the_shop_said_was_captured_is_a_refund_at_once() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    answers(desk, intent, taken_up(intent))
    tender = TenderIn(10_200, "payment", "adyen-eu", PSP, 10_200)
    desk.tell(OrderReported(contract_order(version=2, tenders=(tender,))), "connection:shop-1")
    before = desk.now
    hear(desk, one("CANCELLATION", success="false", merchantReference=reference(intent)))
    refund = sends(desk)
    assert isinstance(refund, RefundIntent)
    assert desk.now < before + 10, "not at the next look-in"


def test_edge_21_a_capture_the_shop_told_before_turns_the_void_at_once() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    answers(desk, intent, taken_up(intent))
    tender = TenderIn(10_200, "payment", "adyen-eu", PSP, 10_200)
    desk.tell(OrderReported(contract_order(version=2, tenders=(tender,))), "connection:shop-1")
    before = desk.now
    hear(desk, one("CAPTURE", value=10_200, pspReference="CAPTURED00TABLE82"))
    assert isinstance(sends(desk), RefundIntent)
    assert desk.now < before + 10, "not at the next look-in"


def test_a_cancellation_after_all_outlives_its_refusal() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    answers(desk, intent, taken_up(intent))
    for success in ("false", "true", "false"):
        hear(desk, one("CANCELLATION", success=success, merchantReference=reference(intent)))
    assert (desk.leg().state, desk.payment().voided) == ("succeeded", 10_200)


def test_a_refused_capture_of_the_rest_waits_for_the_capture_that_won() -> None:
    desk = paid(captured=0)
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    intent = sends(desk)
    answers(desk, intent, taken_up(intent))
    mark = reference(intent)
    hear(desk, one("CAPTURE", value=7000, success="false", merchantReference=mark))
    assert (desk.leg().state, desk.payment().captured) == ("unknown", 0)
    hear(desk, one("CAPTURE", value=10_200, pspReference="CAPTURED00TABLE82"))
    refund = sends(desk)
    assert isinstance(refund, RefundIntent)
    assert refund.amount == 3200


def test_captures_add_up_and_each_counts_once() -> None:
    desk = paid(captured=0)
    for name, value in (("A", 4000), ("B", 3000), ("A", 4000), ("B", 3000)):
        hear(desk, one("CAPTURE", value=value, pspReference=name))
    assert desk.payment().captured == 7000
    assert desk.payment().captures == (("A", 4000), ("B", 3000))
    assert desk.order.remaining == 7000


def test_what_the_shop_said_was_captured_is_not_counted_again() -> None:
    desk = paid(captured=10_200)
    hear(desk, one("CAPTURE", value=4000, pspReference="A"))
    hear(desk, one("CAPTURE", value=6200, pspReference="B"))
    assert (desk.payment().captured, desk.order.remaining) == (10_200, 10_200)


@pytest.mark.parametrize("first", ["CAPTURE", "CAPTURE_FAILED"])
def test_a_capture_that_fails_is_not_refundable_in_either_order(first: str) -> None:
    desk = paid(captured=0)
    other = {"CAPTURE": "CAPTURE_FAILED", "CAPTURE_FAILED": "CAPTURE"}[first]
    hear(desk, one("CAPTURE", value=5000, pspReference="B"))
    for event in (first, other, other, first):
        hear(desk, one(event, value=5200, pspReference="A"))
    payment = desk.payment()
    assert (payment.captured, payment.captured_peak, payment.uncaptured) == (10_200, 10_200, 5200)
    assert desk.order.remaining == 5000
    assert desk.raised().count("capture_failed") == 1


def test_a_failed_capture_the_shop_still_believes_in_stays_failed() -> None:
    desk = paid(captured=10_200)
    hear(desk, one("CAPTURE_FAILED", value=10_200, pspReference="A"))
    assert desk.order.remaining == 0
    tender = TenderIn(10_200, "payment", "adyen-eu", PSP, 10_200)
    desk.tell(OrderReported(contract_order(version=2, tenders=(tender,))), "connection:shop-1")
    assert desk.order.remaining == 0


def test_a_refund_of_a_capture_that_fails_later_is_seen_to_pay_twice() -> None:
    desk = paid(captured=0)
    hear(desk, one("CAPTURE", value=10_200, pspReference="A"))
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    hear(desk, succeeded(intent))
    hear(desk, one("CAPTURE_FAILED", value=10_200, pspReference="A"))
    assert desk.raised() == ["capture_failed", "paid_twice"]
    assert (desk.payment().captured_peak, desk.payment().refunded_ours) == (10_200, 3200)
    hear(desk, one("CAPTURE", value=10_200, pspReference="A"))
    assert (desk.order.remaining, desk.raised()[-1]) == (0, "captured_after_failure")


@pytest.mark.parametrize("how", ["webhook", "shop"])
def test_edge_10_a_refund_told_before_its_capture_is_adopted_with_it(how: str) -> None:
    desk = paid(captured=0)
    hear(desk, one("REFUND", value=5000))
    assert not desk.order.refunds
    if how == "webhook":
        hear(desk, one("CAPTURE", value=10_200, pspReference="A"))
    else:
        tender = TenderIn(10_200, "payment", "adyen-eu", PSP, 10_200)
        desk.tell(OrderReported(contract_order(version=2, tenders=(tender,))), "connection:shop-1")
    assert (desk.payment().external, desk.order.remaining) == (5000, 5200)
    assert not desk.payment().early


def test_edge_10_a_refund_that_failed_before_its_capture_was_told_takes_nothing() -> None:
    desk = paid(captured=0)
    for event in ("REFUND_FAILED", "REFUND"):
        hear(desk, one(event, value=5000))
    hear(desk, one("CAPTURE", value=10_200, pspReference="A"))
    assert (desk.payment().external, desk.order.remaining) == (0, 10_200)


def test_what_must_not_be_repeated_waits_for_its_webhook_and_a_person_is_told() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, error(422, "704"))
    for _ in range(9):
        assert desk.due() is None
    assert desk.raised()[0] == "unheard"
    assert {"key_ending", "key_ended"} < set(desk.raised())
    assert (desk.leg().state, desk.payment().pending_ours) == ("unknown", 3200)
    hear(desk, succeeded(intent))
    assert desk.leg().state == "succeeded"


def test_a_refund_taken_up_of_which_nothing_is_heard_is_raised_once() -> None:
    desk = paid()
    intent = asked(desk)
    answers(desk, intent, taken_up(intent))
    for _ in range(6):
        assert desk.due() is None
    assert desk.raised() == ["unheard"]
    assert desk.leg().state == "pending"


def test_repeats_grow_rare_within_the_retention() -> None:
    desk = paid()
    intent = asked(desk)
    began, sent, told = desk.now, 0, 0
    answers(desk, intent, TIMEOUT)
    while desk.due() is not None:
        sent += 1
        told = told or ("key_ending" in desk.raised() and ABLE.key_ttl + began - desk.now)
        answers(desk, intent, TIMEOUT)
    assert 20 < sent < 50
    assert told > DAY, "a person is told well before the key may be forgotten"


@pytest.mark.parametrize("captured", [3000, 10_200])
def test_what_was_captured_is_not_let_go_by_a_review_that_is_declined(captured: int) -> None:
    """The rest ran out, and that is told before the capture."""
    desk = paid(captured=0)
    desk.policy = built_in(0)
    desk.tell(RefundRequested(RefundIn()))
    hear(desk, one("EXPIRE", value=10_200, originalReference="", pspReference=PSP))
    hear(desk, one("CAPTURE", value=captured))
    desk.tell(Rejected(desk.refund().id))
    payment = desk.payment()
    assert (payment.captured, payment.voided) == (captured, 10_200 - captured)
    assert desk.order.remaining == captured
