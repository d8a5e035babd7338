"""Goods that came back, and the refunds that waited for them."""

from __future__ import annotations

from amends.core import stock
from amends.core.answers import check_still_there
from amends.core.asks import approve_all
from amends.core.effects import deadline_id
from amends.core.facts import ReturnReceived
from amends.core.order import Refund
from amends.core.reasons import Refused
from amends.core.reviews import REVIEW_FOR, set_deadline
from amends.core.seen import awaits_return, in_the_way
from amends.core.work import Work


def return_received(work: Work, fact: ReturnReceived) -> None:
    """Take the goods in; what waited only for them leaves."""
    stock.return_received(work, fact)
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
