"""What had ended may pay after all, and whatever took its place must not pay as well (edge 9)."""

from __future__ import annotations

from amends.core import legs
from amends.core.effects import deadline_id
from amends.core.holds import reserve
from amends.core.left import frees
from amends.core.order import FAILED, LIVE, Leg, Refund, all_failed, partly_failed
from amends.core.quote import fits, refit
from amends.core.work import Work


def resume(work: Work, leg_id: str) -> None:
    """What had ended may pay after all. Where another leg or refund took its place and may have
    left meanwhile, both pay (edge 9): a person is told, and it is allocated to what is left."""
    work.put_leg(leg_id, revived=True)
    stop_retry(work, leg_id)
    _stop_successors(work, work.leg(leg_id)[0].id)
    _stop_fallback(work, leg_id)
    refund, leg = work.leg(leg_id)
    fitting = refit(work.order, refund)
    if leg.replaced or fitting != refund.breakdown:
        work.put_refund(refund.id, breakdown=fitting)
        work.event("exception.raised", what="double_benefit", leg=leg_id, amount=leg.amount)
    reserve(work, leg_id)


def stop_retry(work: Work, leg_id: str) -> None:
    """A leg that was tried again turns out to pay. What took its place (of several alike, one that
    has not left) ends and the first one counts again, or, if it may have left, nothing follows."""
    refund, leg = work.leg(leg_id)
    same = (leg.payment, leg.amount)
    later = (g for g in refund.legs if not g.replaced and g.state in LIVE)
    heir = max((g for g in later if (g.payment, g.amount) == same), key=legs.unsent, default=None)
    if not leg.replaced or heir is None:
        return
    if not legs.unsent(heir):
        work.put_leg(heir.id, surfaced=True)
        return
    work.put_leg(leg_id, replaced=False)
    work.put_leg(heir.id, replaced=True)
    for other in refund.legs:
        if other.instead_of == leg_id and not other.replaced and other.id != heir.id:
            work.put_leg(other.id, instead_of=heir.id)  # it pays now what that was to pay
    _stop(work, heir)


def _stop_successors(work: Work, refund_id: str) -> None:
    """So do the legs of a refund that took its claim over, as far as they have not left; and one in
    review that was to, where not enough of that failed any more."""
    for refund in work.order.refunds:
        if refund_id in frees(refund):
            before = work.refund(refund_id)
            failed = all_failed(before) or partly_failed(before)
            if not failed or not fits(work.order, refund):
                _call_off(work, refund)
                told = {"what": "paid_before", "refund": refund.id, "amount": refund.amount}
                work.event("exception.raised", **told)
        elif refund_id in refund.takes_over and refund.stage == "active":
            for leg in refund.legs:
                if legs.unsent(leg) and not leg.replaced:
                    _stop(work, leg)


def _call_off(work: Work, refund: Refund) -> None:
    """What waits for a person's word is not to be paid: nothing of it has left."""
    work.finish(deadline_id(refund.id))
    work.put_refund(refund.id, stage="active", decide_by=0)
    for leg in refund.legs:
        work.put_leg(leg.id, failure=legs.PAID_BEFORE)
        legs.decide_leg(work, leg.id, "drop")
    work.event("refund.canceled", refund=refund.id, amount=refund.amount, why=legs.PAID_BEFORE)


def _stop(work: Work, leg: Leg) -> None:
    work.put_leg(leg.id, failure=legs.PAID_BEFORE)
    legs.move(work, leg.id, "said_failed", failure=legs.PAID_BEFORE)
    work.event("exception.raised", what="paid_before", leg=leg.id, amount=leg.amount)


def _stop_fallback(work: Work, leg_id: str) -> None:
    """The money goes the way it was to go: a fallback that has not left ends, store credit is taken
    back, and of what a person has paid a person is told."""
    for refund in work.order.refunds:
        for leg in refund.legs:
            if leg.pays_for == leg_id and leg.state not in FAILED:
                _take_back(work, refund, leg)


def _take_back(work: Work, refund: Refund, leg: Leg) -> None:
    if leg.state == "planned":
        _call_off(work, refund)
        return
    credit = leg.kind == "credit"
    if credit:
        legs.move(work, leg.id, "clawed_back", why=legs.PAID_BEFORE)
    work.event(
        "exception.raised",
        what="double_benefit",
        leg=leg.pays_for,
        fallback=refund.id,
        amount=leg.amount,
        clawed_back=leg.amount if credit else 0,
    )


legs.TABLE_ACTIONS["reserve"] = resume
