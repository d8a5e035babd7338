"""A cancellation that Adyen refused, with no capture told: with automatic capture none ever is.

It is asked for as a reversal, and what of that is signed decides what is booked.
"""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.effects import CancelIntent, CaptureRestIntent, RefundIntent, ReverseIntent
from amends.core.facts import LinesUnavailable, RefundRequested, Retried
from amends.core.legs import CAPTURE_WAIT
from amends.core.order import shown_state
from amends.core.requests import LinePick, RefundIn
from amends.engine.views import _leg_view
from amends.gateways import adyen
from amends.gateways.spec import Failure
from tests.core.desk import Desk
from tests.gateways.adyen_money_table import error
from tests.gateways.adyen_table import SETTINGS, disputed, one
from tests.gateways.test_adyen_life import (
    TIMEOUT,
    Sendable,
    answers,
    asked,
    hear,
    paid,
    reference,
    sends,
    succeeded,
    taken_up,
)

REVERSAL = "REVERSAL00TABLE82"
CAPTURE = {"pspReference": "CAPTURED00TABLE82"}


def refused(part: bool = False) -> tuple[Desk, Sendable]:
    """A release of all (or of a part) that Adyen refused, and told nothing else of."""
    desk = paid(captured=0)
    if part:
        desk.tell(LinesUnavailable((LinePick("1", 1),)))
    else:
        desk.tell(RefundRequested(RefundIn()))
    intent = sends(desk)
    answers(desk, intent, taken_up(intent))
    event = "CAPTURE" if isinstance(intent, CaptureRestIntent) else "CANCELLATION"
    value = intent.amount if isinstance(intent, CaptureRestIntent) else 10_200
    mark = reference(intent)
    hear(desk, one(event, success="false", value=value, merchantReference=mark))
    assert desk.leg().state == "unknown"
    return desk, intent


def reversing() -> tuple[Desk, ReverseIntent]:
    """... and no capture was told either: its reversal leaves."""
    desk, cancel = refused()
    began = desk.now
    assert desk.due() is None
    assert desk.now - began >= CAPTURE_WAIT
    intent = sends(desk)
    assert isinstance(cancel, CancelIntent)
    assert isinstance(intent, ReverseIntent)
    assert (intent.leg, intent.key) == (cancel.leg, f"{cancel.leg}-2")
    assert adyen.write(intent, SETTINGS).url.endswith("/reversals")
    return desk, intent


def told(intent: Sendable, action: str = "refund", value: int = 10_200, **more: Any) -> Any:
    return one(
        "CANCEL_OR_REFUND",
        value=value,
        extra={"modification.action": action},
        **{"merchantReference": reference(intent), "pspReference": REVERSAL, **more},
    )


def given_back(desk: Desk) -> None:
    """It was captured, and refunded by us: once, in the books and on the payment."""
    payment, leg = desk.payment(), desk.leg()
    assert (leg.kind, leg.state, leg.psp_refund_id) == ("refund", "succeeded", REVERSAL)
    assert (payment.captured, payment.captured_peak) == (10_200, 10_200)
    assert payment.captured_at > 0
    assert (payment.refunded_ours, payment.pending_ours) == (10_200, 0)
    assert (payment.voiding, payment.voided, payment.external) == (0, 0, 0)
    assert (desk.order.remaining, desk.kinds()) == (0, ["claim", "payout"])
    assert desk.balance("refunds_payable") == 0
    assert not desk.rows


def test_edge_21_what_was_captured_unsaid_is_reversed() -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    assert (desk.leg().state, desk.payment().voiding) == ("pending", 10_200)
    assert _leg_view(desk.order, desk.leg())["kind"] == "reversal"
    sent = [event.body["kind"] for event in desk.events if event.type == "leg.sending"]
    assert sent == ["void", "reversal"]
    assert desk.order.remaining == 0
    hear(desk, told(intent))
    given_back(desk)
    assert desk.raised() == []
    assert _leg_view(desk.order, desk.leg())["kind"] == "refund"


@pytest.mark.parametrize("action", ["refund", "cancel", ""])
def test_what_is_not_signed_of_a_reversal_decides_nothing(action: str) -> None:
    desk, intent = reversing()
    for _ in range(2):
        hear(desk, told(intent, action))  # before its answer, and twice
    answers(desk, intent, taken_up(intent))
    given_back(desk)


def test_edge_02_a_reversal_without_an_answer_is_asked_for_by_the_same_bytes() -> None:
    desk, intent = reversing()
    answers(desk, intent, TIMEOUT)
    again = sends(desk)
    assert adyen.write(again, SETTINGS) == adyen.write(intent, SETTINGS)
    answers(desk, again, TIMEOUT)
    hear(desk, told(intent))
    given_back(desk)


def test_edge_04_past_the_retention_of_its_key_only_a_webhook_settles_a_reversal() -> None:
    desk, intent = reversing()
    began = last = desk.now
    answers(desk, intent, TIMEOUT)
    while (again := desk.due()) is not None:
        assert again == intent
        last = desk.now
        answers(desk, intent, TIMEOUT)
    assert 0 < last - began < adyen.CAPABILITIES.key_ttl
    for _ in range(9):
        assert desk.due() is None
    assert (desk.leg().state, desk.payment().voiding) == ("unknown", 10_200)
    hear(desk, told(intent))
    given_back(desk)


def test_a_refused_reversal_ends_and_a_person_is_told() -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    hear(desk, told(intent, success="false"))
    assert (desk.leg().state, desk.leg().failure) == ("failed", "release_refused")
    assert (desk.raised(), desk.payment().voiding) == (["release_refused"], 0)
    assert (desk.kinds(), desk.rows) == ([], {})
    hear(desk, one("CAPTURE", value=10_200))  # it was captured after all
    desk.tell(Retried(desk.refund().id))
    assert isinstance(sends(desk), RefundIntent)


def test_a_reversal_declined_at_once_is_told_as_well() -> None:
    desk, intent = reversing()
    answers(desk, intent, error(422, "167", "Original pspReference required"))
    assert (desk.leg().state, desk.raised()) == ("failed", ["release_refused"])
    assert (desk.payment().voiding, desk.rows) == (0, {})


def test_a_reversal_said_to_be_done_after_it_failed_is_looked_at() -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    hear(desk, told(intent, success="false"))
    hear(desk, told(intent))
    assert (desk.leg().state, desk.raised()[-1]) == ("failed", "contradicted")
    assert desk.kinds() == []


# -- when nothing is reversed --------------------------------------------------------------------


def test_edge_20_a_part_is_never_reversed() -> None:
    desk, _ = refused(part=True)
    assert desk.due() is None
    assert (desk.leg().state, desk.raised()) == ("failed", ["release_refused"])


def test_nothing_is_reversed_while_the_cancel_is_unknown() -> None:
    desk = paid(captured=0)
    intent = asked(desk, RefundIn())
    answers(desk, intent, TIMEOUT)
    while (again := desk.due()) is not None:
        assert again == intent
        answers(desk, intent, TIMEOUT)
    for _ in range(9):
        assert desk.due() is None
    assert (desk.leg().state, desk.leg().epoch) == ("unknown", 1)


@pytest.mark.parametrize("when", ["before", "in between"])
def test_edge_11_what_a_chargeback_took_is_not_reversed(when: str) -> None:
    desk, _ = refused()
    if when == "in between":
        assert desk.due() is None
    hear(desk, disputed("CHARGEBACK", value=10_200))
    assert desk.due() is None
    assert (desk.leg().state, desk.raised()[-1]) == ("failed", "release_refused")
    assert not desk.payment().busy


def test_edge_10_what_others_gave_back_is_not_reversed() -> None:
    desk, _ = refused()
    hear(desk, one("REFUND", value=10_200))
    assert desk.due() is None
    assert (desk.leg().state, desk.raised()) == ("failed", ["release_refused"])


def test_edge_21_a_capture_told_before_the_reversal_leaves_makes_it_a_refund() -> None:
    desk, _ = refused()
    assert desk.due() is None
    hear(desk, one("CAPTURE", value=10_200, **CAPTURE))
    intent = sends(desk)
    assert isinstance(intent, RefundIntent)
    answers(desk, intent, taken_up(intent))
    hear(desk, succeeded(intent, value=10_200))
    assert (desk.leg().state, desk.payment().refunded_ours) == ("succeeded", 10_200)


def test_a_reversal_that_is_not_ours_is_a_release_where_nothing_was_captured() -> None:
    desk = paid(captured=0)
    cancel = asked(desk, RefundIn())
    answers(desk, cancel, taken_up(cancel))
    hear(desk, told(cancel))
    assert (desk.leg().kind, desk.leg().state) == ("void", "succeeded")
    assert (desk.payment().voided, desk.payment().captured) == (10_200, 0)


# -- when more is told than the reversal ---------------------------------------------------------


@pytest.mark.parametrize("first", ["capture", "reversal"])
def test_edge_21_a_capture_told_late_is_not_given_back_twice(first: str) -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    said = [one("CAPTURE", value=10_200, **CAPTURE), told(intent)]
    for message in said if first == "capture" else said[::-1]:
        hear(desk, message)
        assert desk.order.remaining == 0
        assert desk.leg().epoch == 2, "nothing leaves beside the reversal"
    given_back(desk)


def test_edge_21_a_reversal_that_lost_against_a_capture_told_late_becomes_a_refund() -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CAPTURE", value=10_200, **CAPTURE))
    hear(desk, told(intent, success="false"))
    refund = sends(desk)
    assert isinstance(refund, RefundIntent)
    assert (refund.amount, refund.epoch) == (10_200, 3)


@pytest.mark.parametrize("by", ["webhook", "amount"])
def test_edge_21_of_a_capture_of_a_part_only_that_is_refunded(by: str) -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    if by == "webhook":
        hear(desk, one("CAPTURE", value=6000, **CAPTURE))
    hear(desk, told(intent, value=10_200 if by == "webhook" else 6000))
    payment = desk.payment()
    assert (payment.captured, payment.refunded_ours, payment.voided) == (6000, 6000, 4200)
    assert (payment.voiding, desk.order.remaining, desk.raised()) == (0, 0, [])
    legs = [(leg.kind, leg.amount, leg.state) for _, leg in desk.legs()]
    assert legs == [("refund", 6000, "succeeded"), ("void", 4200, "succeeded")]
    assert (shown_state(desk.refund()), desk.balance("refunds_payable")) == ("succeeded", 0)


@pytest.mark.parametrize("first", ["release", "reversal"])
def test_a_cancellation_after_all_and_its_reversal_are_never_both(first: str) -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    gone = one("CANCELLATION", merchantReference=reference(intent).replace(".2", ".1"))
    said = [gone, told(intent)]
    for message in said if first == "release" else said[::-1]:
        hear(desk, message)
    if first == "reversal":
        given_back(desk)
        return
    payment = desk.payment()
    assert (desk.leg().kind, desk.leg().state, desk.kinds()) == ("void", "succeeded", ["void"])
    assert (payment.voided, payment.captured, payment.refunded_ours) == (10_200, 0, 0)
    assert desk.raised() == ["contradicted"]


@pytest.mark.parametrize("value", [6000, 10_200])
def test_edge_08_a_reversal_of_a_part_fails_whole(value: int) -> None:
    """Whose amount a failure of it tells is not documented."""
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    hear(desk, one("CAPTURE", value=6000, **CAPTURE))
    hear(desk, told(intent))
    hear(desk, one("REFUND_FAILED", value=value, pspReference=REVERSAL))
    legs = [(leg.kind, leg.amount, leg.state) for _, leg in desk.legs()]
    assert legs == [("refund", 6000, "failed"), ("void", 4200, "succeeded")]
    assert desk.balance("refunds_payable") == -6000


def test_a_reversal_refused_while_a_repeat_is_out_keeps_its_lease() -> None:
    desk, intent = reversing()
    answers(desk, intent, TIMEOUT)
    again = sends(desk)
    hear(desk, told(intent, success="false"))
    assert (desk.leg().state, desk.payment().busy) == ("failed", desk.leg().id)
    desk.due(lost=True)  # nobody answered
    assert (desk.payment().busy, desk.rows) == ("", {})
    answers(desk, again, taken_up(again))
    assert (desk.leg().state, desk.raised()) == ("failed", ["release_refused"])


@pytest.mark.parametrize("first", [True, False])
def test_edge_08_a_reversal_that_fails_days_later_puts_the_money_back(first: bool) -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    failed = one("REFUND_FAILED", value=10_200, pspReference=REVERSAL)
    for message in [told(intent), failed] if first else [failed, told(intent)]:
        hear(desk, message)
    assert (desk.leg().state, desk.leg().failure) == ("failed", "refund_failed")
    assert (desk.payment().refunded_ours, desk.payment().captured) == (0, 10_200)
    assert desk.kinds() == ["claim", "payout", "payout_failed"]
    desk.tell(Retried(desk.refund().id))
    assert isinstance(sends(desk), RefundIntent)


def test_edge_11_a_chargeback_while_a_reversal_is_out_is_seen_to_pay_twice() -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    hear(desk, disputed("CHARGEBACK", value=10_200))
    hear(desk, told(intent))
    assert (desk.leg().state, desk.payment().refunded_ours) == ("succeeded", 10_200)
    assert desk.raised() == ["paid_twice", "paid_twice"]  # once known, and once it was paid


# -- when what is told does not fit --------------------------------------------------------------


@pytest.mark.parametrize("marked", [True, False])
def test_edge_08_a_failure_told_before_the_reversal_it_is_of_is_kept(marked: bool) -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent, pspReference=REVERSAL))
    hear(desk, one("CAPTURE", value=10_200, **CAPTURE))
    mark = {"merchantReference": reference(intent)} if marked else {}
    hear(desk, one("REFUND_FAILED", value=10_200, pspReference=REVERSAL, **mark))
    assert desk.leg().state == "pending"
    hear(desk, told(intent))
    assert (desk.leg().state, desk.payment().refunded_ours) == ("failed", 0)
    assert desk.kinds() == ["claim", "payout", "payout_failed"]
    assert desk.raised() == []


def test_edge_07_a_reversal_told_as_refused_after_it_was_done_is_looked_at() -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    hear(desk, told(intent))
    hear(desk, told(intent, success="false"))
    given_back(desk)
    assert desk.raised() == ["contradicted"]


@pytest.mark.parametrize(("known", "value"), [(0, 12_000), (10_200, 6000), (6000, 3000)])
def test_a_reversal_of_another_amount_than_what_is_known_is_told(known: int, value: int) -> None:
    desk, intent = reversing()
    answers(desk, intent, taken_up(intent))
    if known:
        hear(desk, one("CAPTURE", value=known, **CAPTURE))
    hear(desk, told(intent, value=value))
    assert desk.payment().refunded_ours == (known or 10_200)
    assert desk.raised() == ["reversed_amount"]


def test_the_capture_is_waited_for_as_long_where_a_repeat_was_out_when_it_was_refused() -> None:
    desk = paid(captured=0)
    cancel = asked(desk, RefundIn())
    answers(desk, cancel, TIMEOUT)
    again = sends(desk)
    hear(desk, one("CANCELLATION", success="false", merchantReference=reference(cancel)))
    began = desk.now
    answers(desk, again, Failure(False, "connection refused"))
    assert desk.due() is None
    assert desk.now - began >= CAPTURE_WAIT
    assert isinstance(sends(desk), ReverseIntent)


@pytest.mark.parametrize("when", ["waiting", "reversing"])
def test_edge_10_what_refused_its_cancel_and_others_reversed_was_captured(when: str) -> None:
    if when == "waiting":
        desk, _ = refused()
    else:
        desk, intent = reversing()
        answers(desk, intent, taken_up(intent))
    for _ in range(2):
        hear(desk, one("CANCEL_OR_REFUND", value=10_200, pspReference="OTHERS0000TABLE82"))
    if when == "reversing":
        hear(desk, told(intent, success="false"))
    assert desk.due(desk.leg(0)) is None
    payment = desk.payment()
    assert (payment.captured, payment.external, payment.voided) == (10_200, 10_200, 0)
    assert (desk.leg(0).state, desk.order.remaining) == ("failed", 0)
    assert desk.kinds()[0] == "external"
    assert desk.balance("refunds_payable") == 0
    assert desk.raised() in (["release_refused"], ["exceeds_captured"])
