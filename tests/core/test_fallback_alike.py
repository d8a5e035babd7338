"""One fallback for each leg that failed (docs/tenders.md), told apart from legs that are alike."""

from __future__ import annotations

from msgspec.structs import replace

from amends.core.decision import Method
from amends.core.facts import RefundRequested, Rejected, Retried
from amends.core.order import Leg, Refund
from amends.core.policy import built_in
from amends.core.requests import CaptureIn, LineIn, PspIn, RefundIn
from amends.kernel.outcome import Accepted
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order


def two_captures() -> Desk:
    """100.00 by two captures of 50.00, each given back by a leg of its own."""
    captures = (CaptureIn("c1", 5000), CaptureIn("c2", 5000))
    tender = replace(card(10_000), psp=PspIn(captures=captures))
    report = contract_order(lines=(LineIn("1", 1, 10_000),), shipping=(), tenders=(tender,))
    terms = {STRIPE: replace(TERMS, methods=(Method(per_capture=True),))}
    desk = Desk(report, policy=built_in(10**9, fallback="manual"), terms=terms)
    desk.tell(RefundRequested(RefundIn()))
    for number in (0, 1):
        leaves(desk, number)
    return desk


def leaves(desk: Desk, number: int) -> None:
    leg = desk.refund(0).legs[number]
    desk.due(leg)
    made = desk.state("succeeded", leg, psp_id=f"re_{leg.id}")
    desk.answer(Accepted(refund=made), desk.refund(0).legs[number])


def bounces(desk: Desk, leg: Leg) -> None:
    desk.hear(replace(desk.state("failed", leg), failure_reason="expired_or_canceled_card"))


def fallbacks(desk: Desk) -> list[Refund]:
    return [refund for refund in desk.order.refunds if refund.fallback_of]


def paid_for(desk: Desk) -> list[str]:
    return [leg.pays_for for refund in fallbacks(desk) for leg in refund.legs]


def retry_after_its_fallback(desk: Desk) -> None:
    """The first leg fails, its fallback is declined, and all that failed is tried again."""
    bounces(desk, desk.leg(0))
    (fallback,) = fallbacks(desk)
    desk.tell(Rejected(fallback.id), "person:lead")
    assert desk.tell(Retried(desk.refund(0).id), "person:lead").refused is None


def test_a_leg_has_a_fallback_of_its_own_whatever_became_of_one_like_it() -> None:
    """Of the same payment and amount: else nobody were asked to pay these 50.00."""
    desk = two_captures()
    retry_after_its_fallback(desk)
    first, second, again = desk.refund(0).legs
    bounces(desk, second)
    assert paid_for(desk) == [first.id, second.id]
    assert again.instead_of == first.id


def test_what_is_tried_again_has_no_other_fallback() -> None:
    desk = two_captures()
    retry_after_its_fallback(desk)
    leaves(desk, 2)
    bounces(desk, desk.refund(0).legs[2])
    assert desk.refund(0).legs[2].state == "failed"
    assert paid_for(desk) == [desk.leg(0).id]


def test_a_retry_that_pays_for_another_has_a_fallback_for_that_one() -> None:
    """Both are tried again, and the first one pays after all: of the two retries the one that has
    not left is stopped, and the other pays for the second leg, which had no fallback."""
    desk = two_captures()
    desk.hear(desk.state("canceled", desk.leg(1)))
    retry_after_its_fallback(desk)
    first, second, retry, other = desk.refund(0).legs
    assert (retry.instead_of, other.instead_of) == (first.id, second.id)
    leaves(desk, 2)
    desk.hear(desk.state("succeeded", first))
    desk.due_reread()
    desk.reread(*(desk.state("succeeded", desk.leg(number)) for number in (0, 2)))
    assert [leg.state for leg in desk.refund(0).legs] == [
        *("succeeded", "canceled", "succeeded", "failed")
    ]
    bounces(desk, desk.refund(0).legs[2])
    assert paid_for(desk) == [first.id, retry.id]
