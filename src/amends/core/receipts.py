"""Returns: goods that are to come back, are on their way, are here and were looked at; and the
refunds that waited for them."""

from __future__ import annotations

from amends.core import stock
from amends.core.answers import check_still_there
from amends.core.asks import approve_all
from amends.core.effects import deadline_id
from amends.core.facts import (
    ReturnAuthorized,
    ReturnCancelled,
    ReturnInspected,
    ReturnReceived,
    ReturnShipped,
)
from amends.core.goods import Return, ReturnState
from amends.core.order import Refund
from amends.core.reasons import Reason, Refused
from amends.core.reviews import REVIEW_FOR, set_deadline
from amends.core.seen import awaits_return, in_the_way
from amends.core.work import Work

# How far a return can still go from each state; what it has passed it does not go back to.
_THEN: dict[ReturnState, tuple[ReturnState, ...]] = {
    "authorized": ("shipped", "received", "cancelled"),
    "shipped": ("received", "cancelled"),
    "received": ("inspected",),
    "inspected": (),
    "cancelled": ("received",),  # it came after all
}


def return_authorized(work: Work, fact: ReturnAuthorized) -> None:
    """The customer may send these back. Told again, it changes nothing."""
    order = work.order
    here = {receipt.id for receipt in order.receipts}
    if fact.return_id in {one.id for one in order.returns} | here:
        return
    known = {line.id: line.quantity for line in order.lines}
    for index, pick in enumerate(fact.lines):
        if pick.id not in known:
            pointer = f"/lines/{index}/id"
            raise Refused(Reason.UNKNOWN_LINE, line=pick.id, pointer=pointer)
        if pick.quantity > known[pick.id]:
            detail = f"Line {pick.id!r} has {known[pick.id]} units, not {pick.quantity}."
            raise Refused(Reason.EXCEEDS_QUANTITY, detail, pointer=f"/lines/{index}/quantity")
    lines = tuple((pick.id, pick.quantity) for pick in fact.lines)
    work.change(returns=(*order.returns, Return(fact.return_id, "authorized", lines, work.now)))
    work.event("return.authorized", return_id=fact.return_id, lines=[list(one) for one in lines])


def return_shipped(work: Work, fact: ReturnShipped) -> None:
    """A carrier has it: what waited only for that leaves."""
    if _move(work, fact.return_id, "shipped"):
        work.event("return.shipped", return_id=fact.return_id)
        _go_on_all(work)


def return_received(work: Work, fact: ReturnReceived) -> None:
    """Take the goods in; what waited only for them leaves."""
    stock.return_received(work, fact)
    _move(work, fact.return_id, "received")
    _go_on_all(work)


def return_inspected(work: Work, fact: ReturnInspected) -> None:
    """Somebody has looked at them; what waited only for that leaves."""
    stock.return_inspected(work, fact)
    receipt = next(one for one in work.order.receipts if one.id == fact.return_id)
    if not receipt.held:
        _move(work, fact.return_id, "inspected")
    _go_on_all(work)


def return_cancelled(work: Work, fact: ReturnCancelled) -> None:
    """Nothing more is to come of it; a refund that waits for it is looked at when its time is
    over."""
    if _move(work, fact.return_id, "cancelled"):
        work.event("return.cancelled", return_id=fact.return_id)


def _move(work: Work, return_id: str, to: ReturnState) -> bool:
    """Whether the return is in another state than before: never one it has passed."""
    for at, one in enumerate(work.order.returns):
        if one.id == return_id and to in _THEN[one.state]:
            moved = Return(one.id, to, one.lines, work.now)
            returns = work.order.returns
            work.change(returns=(*returns[:at], moved, *returns[at + 1 :]))
            return True
    return False


def _go_on_all(work: Work) -> None:
    for refund in work.order.refunds:
        waits = refund.stage == "review" and refund.awaits
        if waits and not awaits_return(work.order, refund):
            _go_on(work, refund)


def _go_on(work: Work, refund: Refund) -> None:
    """It leaves, unless something else stands in its way by now: then a person looks."""
    if held := _held(work, refund):
        work.finish(deadline_id(refund.id))
        decide_by = work.now + REVIEW_FOR
        set_deadline(work, work.put_refund(refund.id, awaits=False, decide_by=decide_by))
        work.event("refund.case", refund=refund.id, what="goods_back", held=held)
        return
    work.put_refund(refund.id, awaits=False)
    work.finish(deadline_id(refund.id))
    approve_all(work, refund.id)
    work.event("refund.approved", refund=refund.id, amount=refund.amount, shown=refund.shown)


def _held(work: Work, refund: Refund) -> str:
    """What stands in its way, "" for nothing."""
    if rule := in_the_way(work, refund.legs):
        return rule.replace("-", "_")
    try:
        check_still_there(work, refund)
    except Refused as refused:
        return str(refused.refusal.reason)
    return ""
