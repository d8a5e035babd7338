"""A "no" speaks for the attempts before it only; and when an attempt that was closed as not
executed has paid after all, nothing more is sent (I2, I3, I4)."""

from __future__ import annotations

import pytest

from amends.core.effects import RefundIntent
from amends.kernel.outcome import Declined, NotSent, Outcome, Unknown
from tests.core.desk import TERMS, Desk
from tests.core.test_sending import doubtful

FUNDS = Declined("balance_insufficient", kind="funds")
FINAL = Declined("charge_disputed")


@pytest.mark.parametrize("last", ["timeout", "stored", "lost"])
@pytest.mark.parametrize("no", [FUNDS, FINAL], ids=["funds", "final"])
def test_a_no_does_not_speak_for_the_attempt_after_it(no: Declined, last: str) -> None:
    desk = doubtful()
    desk.due()
    desk.found()
    desk.due()
    desk.answer(no)
    desk.due()
    desk.found()  # too early to count
    assert isinstance(desk.due(), RefundIntent), "the same bytes again"
    if last == "lost":
        desk.due(lost=True)
    else:
        desk.answer(Unknown("timeout", stored=last == "stored"))
    key = desk.leg().key
    desk.now += TERMS.lookup_delay
    desk.due()
    desk.found()
    assert (desk.leg().state, desk.leg().key) == ("unknown", key)


def surfaced() -> Desk:
    """The second key is out when the first attempt turns out to have paid."""
    desk = doubtful()
    desk.due()
    desk.found()
    desk.due()
    desk.answer(FUNDS)
    first = desk.state()
    desk.now += TERMS.lookup_delay
    desk.due()
    desk.found()
    assert isinstance(desk.due(desk.leg(0)), RefundIntent)
    assert desk.leg(0).epoch == 2
    desk.hear(first)
    assert desk.raised() == ["closed_attempt_surfaced"]
    return desk


def ends_unsent(desk: Desk) -> None:
    """However long one waits, no further request leaves, and the money counts once."""
    for _ in range(200):
        leg = desk.leg(0)
        if leg.state == "failed":
            break
        assert not isinstance(desk.due(leg), RefundIntent), "sent again, though it is paid"
        desk.found(leg=leg)
    assert desk.leg(0).state == "failed"
    payment = desk.payment()
    assert (payment.pending_ours, payment.refunded_ours, payment.external) == (0, 0, 3200)


@pytest.mark.parametrize(
    "answer",
    [
        FUNDS,
        FINAL,
        NotSent("refused"),
        Unknown("timeout"),
        Unknown("error 500", stored=True),
    ],
    ids=["no funds", "no", "not sent", "unknown", "stored 500"],
)
def test_nothing_follows_what_is_out(answer: Outcome) -> None:
    desk = surfaced()
    desk.answer(answer, desk.leg(0))
    ends_unsent(desk)


def test_what_is_out_is_followed_to_its_end() -> None:
    """It succeeds: both have paid, which is counted and was raised (I3)."""
    desk = surfaced()
    desk.accept(leg=desk.leg(0))
    assert desk.leg(0).state == "succeeded"
    assert (desk.payment().refunded_ours, desk.payment().external) == (3200, 3200)


def test_an_attempt_that_surfaced_as_failed_has_paid_nothing() -> None:
    desk = doubtful()
    desk.due()
    desk.found()
    desk.due()
    desk.answer(FUNDS)
    first = desk.state("failed")
    desk.now += TERMS.lookup_delay
    desk.due()
    desk.found()
    desk.due(desk.leg(0))
    desk.hear(first)
    assert not desk.leg(0).surfaced
    desk.answer(FUNDS, desk.leg(0))
    assert desk.leg(0).state == "awaiting_funds"
