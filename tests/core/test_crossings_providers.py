"""Where what providers can do crosses what happens to a payment: releases, several captures, and
what others do meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.decision import Method, Terms
from amends.core.facts import RefundRequested
from amends.core.policy import built_in
from amends.core.requests import LinePick, RefundIn
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
