"""Where what providers can do crosses what happens to a payment: releases, several captures, and
what others do meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.decision import Method, Terms
from amends.core.facts import Approved, Rejected, RefundRequested, ReleaseReported
from amends.core.policy import built_in
from amends.core.requests import LinePick, RefundIn
from amends.kernel.outcome import ReleaseState
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
