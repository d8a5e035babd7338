"""What people decide of a refund: yes, no, take it back, once more. Refusals raise `Refused`."""

from __future__ import annotations

from amends.core import claims, legs, less
from amends.core.asks import approve_all, check_methods, drop_all, ended, find, in_review
from amends.core.caps import check_room
from amends.core.cases import learn_approved, learn_declined
from amends.core.effects import deadline_id
from amends.core.facts import Approved, Canceled, Rejected, Retried
from amends.core.holds import reserve
from amends.core.left import counts, paid_by_fallback
from amends.core.order import (
    FAILED,
    SHOWN_ORDER,
    Leg,
    LegKind,
    Order,
    Refund,
    all_failed,
    covered,
    may_take,
    overdrawn,
    partly_failed,
    room_of,
    shown_state,
)
from amends.core.outside import by_hand
from amends.core.policy import higher
from amends.core.quote import Portion, fits
from amends.core.reasons import Reason, Refused
from amends.core.reckoned import check_not_built_on, check_right
from amends.core.stops import check_not_stopped
from amends.core.work import Work


def approve(work: Work, fact: Approved) -> None:
    """A person says yes to exactly what was shown (I11)."""
    refund = in_review(work, fact.refund)
    if by_hand(refund):
        raise Refused(
            Reason.WRONG_STATE,
            "Its provider cannot pay this; pay it by other means and say so with `payout`, or "
            "decline it.",
            state=shown_state(refund),
        )
    check_approver(work, refund, fact.shown, fact.role)
    check_not_stopped(work.ctx.stops, work.order)
    if fact.amount and fact.amount != refund.amount:
        less.approve(work, refund, fact)
        return
    check_still_there(work, refund)
    work.put_refund(refund.id, decided_by=work.recorded.actor, awaits=False)
    work.finish(deadline_id(refund.id))
    approve_all(work, refund.id)
    learn_approved(work, refund, fact.reason)
    work.event(
        "refund.approved",
        refund=refund.id,
        amount=refund.amount,
        shown=refund.shown,
        reason=fact.reason,
        role=fact.role,
    )


def check_approver(work: Work, refund: Refund, shown: str, role: str) -> None:
    """Somebody else than who asked, where that is wanted and always of an agent's; of the role that
    is wanted; and of what was shown. Raises Refused."""
    actor = work.recorded.actor
    apart = work.ctx.policy.second_person or refund.second_person or actor.startswith("agent:")
    if apart and actor == refund.requested_by:
        raise Refused(Reason.SELF_APPROVAL)
    wanted = higher(refund.approver, refund.case.escalated if refund.case else "")
    if higher(role, wanted) != role:
        raise Refused(Reason.ROLE_TOO_LOW, role=wanted)
    if shown and shown != refund.shown:
        raise Refused(Reason.SHOWN_CHANGED, shown=refund.shown)


def check_still_there(work: Work, refund: Refund) -> None:
    """Neither the money nor what it is for was taken while the refund waited. Raises Refused."""
    for leg in refund.legs:
        short = overdrawn(work.order, refund.id, leg.payment)
        if short:
            raise Refused(
                Reason.EXCEEDS_REMAINING,
                "Money left the payment by others' hand while this waited; decline or cancel it "
                "instead.",
                remaining=max(0, leg.amount - short),
            )
    before = [work.refund(name) for name in refund.takes_over]
    if not all(all_failed(old) or partly_failed(old) for old in before):
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            "What this refund is for was given back by another one meanwhile; decline it instead.",
            remaining=0,
        )
    _check_built_on(work, refund)
    check_right(work.order, refund)


def _check_built_on(work: Work, refund: Refund) -> None:
    """What it was reckoned with was approved, and counts. Raises Refused."""
    others = [work.refund(name) for name in refund.builds_on]
    first = [other.id for other in others if other.stage == "review"]
    if first:
        raise Refused(
            Reason.AMOUNT_CHANGED,
            f"It was reckoned with refunds that are not decided; decide {first} first.",
            refunds=first,
        )
    gone = [other.id for other in others if not counts(other)]
    if gone:
        raise Refused(
            Reason.AMOUNT_CHANGED,
            f"It was reckoned with {gone}, of which nothing is paid now; decline it, and ask for "
            "it anew.",
            refunds=gone,
        )


def reject(work: Work, fact: Rejected) -> None:
    """A person says no; what was reserved is free again."""
    refund = in_review(work, fact.refund)
    drop_all(work, refund)
    work.put_refund(refund.id, stage="declined", decided_by=work.recorded.actor, decide_by=0)
    learn_declined(work, refund, fact.reason)
    work.event(
        "refund.declined",
        refund=refund.id,
        amount=refund.amount,
        reason=fact.reason,
        note=fact.why,
        note_id=fact.note_id,
    )


def cancel(work: Work, fact: Canceled) -> None:
    """Taken back before any byte left; or what failed of it, and is still owed, is given up."""
    refund = find(work, fact.refund)
    _check_no_fallback(work.order, refund)
    amount = refund.amount
    if refund.claimed and all_failed(refund) and not refund.external:
        claims.lapse(work, refund)
    elif partly_failed(refund) and ended(refund):
        amount = claims.give_up_rest(work, refund.id)
    elif refund.stage == "declined" or any(
        leg.state not in ("planned", "sending") or leg.attempts
        for leg in refund.legs
        if not leg.replaced
    ):
        raise Refused(
            Reason.WRONG_STATE,
            f"The refund is {shown_state(refund)}; what may have left cannot be canceled.",
            state=shown_state(refund),
        )
    else:
        work.put_refund(refund.id, stage="active", decide_by=0)
        drop_all(work, refund)
        claims.lapse(work, work.refund(refund.id))  # a retry: what failed before it was still owed
    check_not_built_on(work.order, refund)
    work.event("refund.canceled", refund=refund.id, amount=amount)


def retry(work: Work, fact: Retried) -> None:
    """A failed refund once more: a new leg takes each failed one's place."""
    refund = find(work, fact.refund)
    check_not_stopped(work.ctx.stops, work.order)
    failed = failed_legs(work, refund)
    _check_not_disputed(work.order, failed)
    check_room(work, refund)
    for leg in failed:
        kind: LegKind = "refund" if work.payment(leg.payment).captured_peak else leg.kind
        check_methods(work, [Portion(leg.payment, kind, leg.amount)])
        legs.decide_leg(work, again(work, refund.id, leg, kind), "approve")
    claims.claim(work, refund.id)
    work.put_refund(refund.id, decided_by=work.recorded.actor)
    work.event("refund.retried", refund=refund.id, legs=[leg.id for leg in failed])


def _check_not_disputed(order: Order, failed: list[Leg]) -> None:
    """Nothing leaves once more to a payment that a dispute may take (edge 11). Raises Refused."""
    disputed = {dispute.payment for dispute in order.disputes if may_take(dispute)}
    if any(leg.payment in disputed for leg in failed):
        raise Refused(
            Reason.WRONG_STATE,
            "A dispute may take the money; wait for its end, or pay it by other means.",
            state=SHOWN_ORDER[5],
        )


def _check_no_fallback(order: Order, refund: Refund) -> None:
    if paid_by_fallback(order, refund):
        names = [r.id for r in order.refunds if r.fallback_of == refund.id]
        raise Refused(Reason.FALLBACK_PAYS, fallback=names[-1])


def failed_legs(work: Work, refund: Refund) -> list[Leg]:
    """What failed of a refund and may be paid another time. Raises Refused."""
    failed = [leg for leg in refund.legs if leg.state in FAILED and not leg.replaced]
    elsewhere = covered(work.order)
    if failed and all(leg.id in elsewhere for leg in failed):
        _check_no_fallback(work.order, refund)
    failed = [leg for leg in failed if leg.id not in elsewhere]
    if any(leg.surfaced for leg in failed):
        raise Refused(
            Reason.WRONG_STATE,
            "An earlier attempt of it paid after all and is a refund of its own on the books.",
            state=shown_state(refund),
        )
    if not failed or shown_state(refund) != SHOWN_ORDER[5] or refund.external:
        raise Refused(
            Reason.WRONG_STATE,
            f"The refund is {shown_state(refund)}; only what failed can be paid another time.",
            state=shown_state(refund),
        )
    if not fits(work.order, refund):
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            "What this refund was for was given back by another one meanwhile.",
            remaining=work.order.remaining,
        )
    if not counts(refund):
        check_right(work.order, refund)
    return failed


def again(work: Work, refund_id: str, leg: Leg, kind: LegKind) -> str:
    """Set aside again what a failed leg was to pay, as a new leg; its id. Of which captures, where
    that must be said, is settled when it leaves, by the room they have then. Raises Refused."""
    room = room_of(work.payment(leg.payment))
    if room < leg.amount:
        raise Refused(Reason.EXCEEDS_REMAINING, remaining=room)
    number = len(work.refund(refund_id).legs) + 1
    name = f"{leg.id.rpartition('_')[0]}_{number}"
    fresh = Leg(name, kind, leg.payment, leg.amount, "planned", instead_of=leg.id)
    work.put_leg(leg.id, replaced=True)
    work.put_refund(refund_id, legs=(*work.refund(refund_id).legs, fresh))
    reserve(work, name)
    return name
