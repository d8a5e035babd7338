"""Where what providers can do crosses what happens to a payment: releases, several captures, and
what others do meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Method, Terms
from amends.core.effects import RefundIntent
from amends.core.facts import (
    Approved,
    CaptureReported,
    LookedUp,
    RefundReported,
    RefundRequested,
    Rejected,
    ReleaseReported,
    Retried,
)
from amends.core.order import Leg, shown_state
from amends.core.policy import built_in
from amends.core.requests import LinePick, RefundIn
from amends.core.rereads import reread_id
from amends.kernel.outcome import (
    Accepted,
    CaptureState,
    CaptureStatus,
    Declined,
    PaymentState,
    RefundState,
    ReleaseState,
)
from tests.core.desk import DAY, HOUR, SECOND, STRIPE, Desk, card, contract_order

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))  # 32.00 of 102.00
WEBHOOKS_ONLY = Terms(7 * DAY, 0, 7 * DAY, lookup=False)
PER_CAPTURE = Terms(45 * DAY, 60 * SECOND, 45 * DAY, methods=(Method(per_capture=True),))


def paid(terms: Terms, captured: int = 0, up_to: int = 10**9) -> Desk:
    report = contract_order(tenders=(card(10_200, captured),))
    return Desk(report, policy=built_in(up_to), terms={STRIPE: terms})


def told(desk: Desk, fact: Any) -> None:
    desk.tell(fact, f"connection:{STRIPE}")


# -- what a provider does not do ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("void", "release_part", "whole", "part"),
    [
        (True, True, "", ""),
        (True, False, "", "release_not_possible"),
        (False, False, "release_not_possible", "release_not_possible"),
    ],
)
def test_edge_20_a_release_its_provider_does_not_do_is_refused(
    void: bool, release_part: bool, whole: str, part: str
) -> None:
    terms = Terms(HOUR, 0, HOUR, void=void, release_part=release_part)
    for request, reason in ((RefundIn(), whole), (ONE_TEA, part)):
        desk = paid(terms)
        decision = desk.tell(RefundRequested(request))
        assert (decision.refused.reason if decision.refused else "") == reason
        assert bool(desk.rows) == (not reason)


# -- an authorization that is gone -------------------------------------------------------------


def canceled(desk: Desk, name: str = "CANCEL1") -> None:
    told(desk, ReleaseReported(STRIPE, ("pi_1",), ReleaseState(name, True)))


def test_edge_20_a_release_that_waits_is_not_asked_for_once_all_is_gone() -> None:
    """Where a second cancellation is only refused it would be called failed, hours later."""
    desk = paid(WEBHOOKS_ONLY)
    desk.tell(RefundRequested(RefundIn()))
    canceled(desk)
    assert desk.due() is None
    assert (desk.leg().state, desk.payment().voided) == ("succeeded", 10_200)
    assert desk.kinds() == ["void"]
    assert not desk.rows


def test_edge_20_nor_is_one_that_is_approved_after_all_is_gone() -> None:
    desk = paid(WEBHOOKS_ONLY, up_to=0)
    desk.tell(RefundRequested(ONE_TEA))
    canceled(desk)
    assert (desk.payment().voided, desk.order.remaining) == (7000, 0)
    desk.tell(Approved(desk.refund().id), "person:lead")
    assert desk.due() is None
    assert (desk.leg().state, desk.payment().voided) == ("succeeded", 10_200)


def test_what_is_gone_is_not_left_once_its_release_is_declined() -> None:
    desk = paid(WEBHOOKS_ONLY, up_to=0)
    desk.tell(RefundRequested(RefundIn()))
    canceled(desk)
    desk.tell(Rejected(desk.refund().id), "person:lead")
    assert (desk.order.remaining, desk.payment().voided) == (0, 10_200)


# -- several captures --------------------------------------------------------------------------


def captured(desk: Desk, name: str, amount: int, status: CaptureStatus = "succeeded") -> None:
    state = CaptureState(name, amount, "EUR", status)
    told(desk, CaptureReported(STRIPE, ("pi_1",), state))


def read(desk: Desk, *captures: tuple[str, int]) -> None:
    """The payment is read again, and has these captures."""
    assert desk.due_reread() is not None
    named = tuple(CaptureState(name, amount, "EUR") for name, amount in captures)
    state = PaymentState(10_200, sum(c.amount for c in named), captures=named)
    asked = desk.asked(reread_id(desk.payment().id))
    told(desk, LookedUp(desk.payment().id, Accepted(payment=state), "", desk.now, asked))


def leaves(desk: Desk, leg: Leg) -> tuple[str, int]:
    intent = desk.due(leg)
    assert isinstance(intent, RefundIntent)
    return intent.capture, intent.amount


def test_a_capture_that_failed_since_it_was_chosen_gives_nothing_back() -> None:
    """It waits for funds; its capture fails; the other one has the money."""
    terms = Terms(7 * DAY, 0, 7 * DAY, lookup=False, methods=(Method(per_capture=True),))
    desk = paid(terms)
    captured(desk, "A", 6000)
    captured(desk, "B", 4200)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.leg().capture == "A"
    captured(desk, "A", 6000, "failed")
    assert leaves(desk, desk.leg()) == ("B", 3200)


def test_a_retry_is_of_a_capture_that_has_the_money_now() -> None:
    desk = paid(PER_CAPTURE)
    captured(desk, "A", 6000)
    captured(desk, "B", 4200)
    desk.tell(RefundRequested(ONE_TEA))
    assert leaves(desk, desk.leg()) == ("A", 3200)
    desk.answer(Declined("REFUND_AMOUNT_EXCEEDED"))
    taken = RefundState("re_by_hand", "succeeded", 5000, "EUR", psp_capture_id="A")
    told(desk, RefundReported(STRIPE, ("pi_1",), taken))
    desk.tell(Retried(desk.refund(0).id))
    retried = desk.refund(0).legs[-1]
    assert leaves(desk, retried) == ("B", 3200)


def test_what_no_capture_holds_is_read_and_then_retried_as_several() -> None:
    """The shop told of one capture of two: the other is found, and the refund is of both."""
    desk = paid(PER_CAPTURE, 10_200)
    desk.order = replace(desk.order, payments=(replace(desk.payment(), captures=(("A", 6000),)),))
    desk.tell(RefundRequested(RefundIn()))
    assert desk.due() is None
    read(desk, ("A", 6000), ("B", 4200))
    assert desk.due() is None
    assert (shown_state(desk.refund()), desk.raised()) == ("failed", ["no_such_capture"])
    desk.tell(Retried(desk.refund().id))
    parts = [leg for leg in desk.refund().legs if not leg.replaced]
    assert [(leg.capture, leg.amount) for leg in parts] == [("A", 6000), ("B", 4200)]
    for number in (-2, -1):
        leaves(desk, desk.leg(number))
        desk.accept(leg=desk.leg(number))
    assert (shown_state(desk.refund()), desk.payment().refunded_ours) == ("succeeded", 10_200)
    assert desk.balance("refunds_payable") == 0


def test_a_capture_nobody_told_of_is_found_before_a_refund_of_it() -> None:
    desk = paid(PER_CAPTURE, 10_200)
    desk.order = replace(desk.order, payments=(replace(desk.payment(), captures=(("A", 3000),)),))
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.due() is None
    read(desk, ("A", 3000), ("B", 7200))
    assert leaves(desk, desk.leg()) == ("B", 3200)
    assert not desk.raised()
