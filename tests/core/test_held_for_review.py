"""What a review holds of a line is the worse of its two ends, part by part."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from amends.core.facts import OrderReported, RefundRequested
from amends.core.order import Refund
from amends.core.policy import built_in
from amends.core.requests import FeeIn, LineIn, LinePick, RefundIn, SpanIn
from amends.kernel.outcome import Declined
from tests.core.desk import Desk, card, contract_order
from tests.core.test_subscriptions import on, plan


def ask(desk: Desk, **wish: Any) -> Refund:
    decision = desk.tell(RefundRequested(RefundIn(**wish)))
    assert decision.refused is None, decision.refused
    return desk.refund()


def ends(desk: Desk, number: int, paid_: bool) -> None:
    desk.due(desk.leg(number))
    if paid_:
        desk.accept(leg=desk.leg(number))
    else:
        desk.answer(Declined("expired_or_canceled_card"), desk.leg(number))


def told_again(desk: Desk) -> Any:
    first = desk.told[0][0].fact
    assert isinstance(first, OrderReported)
    again = replace(first.order, version=desk.order.version + 1)
    return desk.tell(OrderReported(again), "connection:shop-1").refused


def test_a_newer_version_unchanged_is_taken_while_a_review_is_to_take_over_a_plan() -> None:
    """Five of thirty days were credited. What the review holds of net and of tax, each by itself,
    comes to more than is left beside the credit: `Rest.short` counts that as less than was given
    back, and the shop's next version is refused for as long as nobody decides."""
    line = plan(486, 147, credited=(SpanIn(on(16), on(21)),))
    tenders = (card(57), card(729, name="pi_2"))
    desk = Desk(contract_order(lines=(line, LineIn("0", 1, 300)), shipping=(), tenders=tenders))
    ask(desk, lines=(LinePick("plan", 1),), fees=(FeeIn("handling", 4),))
    ends(desk, 0, False)
    ends(desk, 1, True)
    desk.policy = built_in(0)
    review = ask(desk, lines=(LinePick("plan", 1),))
    assert (review.stage, len(review.takes_over)) == ("review", 1)
    assert told_again(desk) is None
