"""Any order with a promotion and any life of its returns: refunds that wait for a person, are
declined or canceled, fail before or after they were paid, are tried again or taken over (edge 18).

What is kept back by all refunds that are decided follows from what is kept, after every step. Only
a refund that its provider refuses, or that is canceled, upsets it: until the next return.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.amounts import Amounts
from amends.core.facts import Approved, Canceled, RefundRequested, Rejected, Retried
from amends.core.left import counts
from amends.core.order import Refund
from amends.core.policy import built_in
from amends.core.promotions import basket, loss
from amends.core.requests import LinePick, OrderIn, RefundIn
from amends.kernel.outcome import Accepted, Declined
from tests.core.desk import Desk
from tests.core.test_any_amounts import orders

ENDS = ("succeeded", "refused", "late")


def upset(desk: Desk) -> bool:
    """Whether those that are decided keep back another sum than follows from what is kept."""
    live = [r for r in desk.order.refunds if counts(r) and r.stage != "review"]
    parts = [(refund.reason, refund.breakdown) for refund in live]
    found = loss(desk.order, [one for _, one in parts], basket(desk.order, parts), False, False)
    return bool(found.items)


@st.composite
def returns(draw: st.DrawFn, order: OrderIn) -> RefundIn:
    names = st.sampled_from([line.id for line in order.lines])
    if draw(st.integers(0, 7)) == 0:
        return RefundIn(amount=draw(st.integers(1, 900)), reason="goodwill")
    return RefundIn(
        lines=(LinePick(draw(names), draw(st.integers(1, 2))),),
        reason=draw(st.sampled_from(["return", "return", "return", "damaged"])),
        promotions=draw(st.sampled_from(["policy", "policy", "policy", "waive"])),
        fees=(),
    )


def end(desk: Desk, refund: Refund, how: str) -> bool:
    """Whatever of it is on its way ends; whether all of it ended unpaid."""
    for leg in refund.legs:
        if leg.state != "sending":
            continue
        desk.due(leg)
        if how == "refused":
            desk.answer(Declined("no"), desk.order.refund(refund.id).legs[-1])  # type: ignore[union-attr]
            continue
        now = next(g for _, g in desk.legs() if g.id == leg.id)
        desk.answer(Accepted(refund=desk.state(leg=now, psp_id=f"re_{leg.id}")), now)
        if how == "late":
            payment = desk.order.payment(leg.payment).psp_payment_id
            now = next(g for _, g in desk.legs() if g.id == leg.id)
            desk.hear(desk.state("failed", now), payment)
    after = desk.order.refund(refund.id)
    return after is not None and not counts(after)


def step(desk: Desk, draw: Any, report: OrderIn) -> tuple[bool, bool]:
    """One more thing happens: whether it may upset the sum, and whether it was a return that makes
    up for it."""
    refunds = desk.order.refunds
    what = draw(
        st.sampled_from(["ask", "ask", "ask", "approve", "decline", "cancel", "end", "retry"])
    )
    if what == "ask" or not refunds:
        told = desk.tell(RefundRequested(draw(returns(report))))
        made = desk.refund() if told.refused is None else None
        units = made is not None and any(x.quantity for x in made.breakdown.lines)
        return False, made is not None and units and made.stage == "active"
    refund = draw(st.sampled_from(refunds))
    if what == "end":
        return end(desk, refund, draw(st.sampled_from(ENDS))), False
    facts: dict[str, Any] = {
        "approve": Approved(refund.id),
        "decline": Rejected(refund.id),
        "cancel": Canceled(refund.id),
        "retry": Retried(refund.id),
    }
    refused = desk.tell(facts[what], actor="key:boss").refused
    right = what in ("approve", "retry") and bool(refund.breakdown.lost)
    return what == "cancel" and refund.stage != "review", refused is None and right


@settings(max_examples=400)
@given(data=st.data())
def test_edge_18_what_is_kept_back_follows_from_what_is_kept(data: st.DataObject) -> None:
    report = data.draw(orders(promoted=True))
    lost: Any = data.draw(st.sampled_from(["clawback", "review"]))
    limit = data.draw(st.sampled_from([2000, 10**9]))
    policy = built_in(limit, amounts=Amounts(promotion_lost=lost))
    desk = Desk(report, policy=policy, functional=report.currency)
    disturbed = False
    for _ in range(data.draw(st.integers(1, 12))):
        may, makes_up = step(desk, data.draw, report)
        disturbed = (disturbed or may) and not makes_up
        assert disturbed or not upset(desk), [r.breakdown for r in desk.order.refunds]
