"""The fallback: where money cannot go back the way it came, a new refund pays what failed (I12).

The policy says how: a person pays it by other means ("manual"), or it becomes store credit at once,
which only takes the place of money with the customer's recorded consent and never in a claim that
the law grants (edge 26); else a person pays. The claim stays where it is, with its credit note, and
the fallback pays it: one for each leg that failed, whatever becomes of it. Should the first way pay
after all, `revivals` sees to it that both do not.
"""

from __future__ import annotations

from amends.core import legs
from amends.core.caps import capped
from amends.core.claims import fell_back
from amends.core.holds import reserve
from amends.core.left import shrunk
from amends.core.order import (
    FAILED,
    Dispute,
    Leg,
    LegKind,
    Order,
    Refund,
    Verdict,
    overdrawn,
    room_of,
)
from amends.core.reviews import REVIEW_FOR, set_deadline, tell_requested
from amends.core.stops import stopped
from amends.core.work import Work
from amends.kernel.canon import digest
from amends.kernel.ids import derived, tail
from amends.kernel.money import convert


def mark(work: Work, leg_id: str) -> None:
    """The provider says for good that it does not pay: should the leg fail by this, a fallback is
    due. Not where others have taken the money, or may."""
    if work.ctx.policy.fallback == "none":
        return
    refund, leg = work.leg(leg_id)
    ours = leg.kind == "refund" and leg.state not in FAILED and not leg.outside
    if not ours or leg.surfaced or refund.external or refund.stage != "active":
        return
    if _disputed(work.order, leg.payment) or overdrawn(work.order, refund.id, leg.payment):
        return
    if not _has_heir(work.order, refund, leg) and not _had_one(work.order, refund, leg):
        work.put_leg(leg_id, falls_back=True)


def _disputed(order: Order, payment: str) -> bool:
    return any(d.payment == payment and _holds(d) for d in order.disputes)


def _holds(dispute: Dispute) -> bool:
    return dispute.withdrawn > 0 or dispute.status not in ("won", "lost", "closed")


def _has_heir(order: Order, refund: Refund, leg: Leg) -> bool:
    """Whether another refund is to give back what this one failed to, or did."""
    stages = ("review", "active") if leg.revived else ("review",)
    return any(refund.id in r.takes_over and r.stage in stages for r in order.refunds)


def _had_one(order: Order, refund: Refund, leg: Leg) -> bool:
    """Whether there was a fallback for what this leg was to pay: for itself, or for one that it was
    tried again for."""
    instead_of = {g.id: g.instead_of for g in refund.legs}
    before: set[str] = set()
    name = leg.id
    while name and name not in before:
        before.add(name)
        name = instead_of[name]
    made = (r for r in order.refunds if r.fallback_of == refund.id)
    return any(g.pays_for in before for r in made for g in r.legs)


def start_due(work: Work) -> None:
    """Start what the fact just folded made due."""
    if work.ctx.policy.fallback == "none":
        return
    for refund in work.order.refunds:
        for leg in refund.legs:
            if fell_back(leg) and not leg.replaced and not _had_one(work.order, refund, leg):
                _start(work, refund, leg)


def _start(work: Work, refund: Refund, leg: Leg) -> None:
    if room_of(work.payment(leg.payment)) < leg.amount:
        work.put_leg(leg.id, falls_back=False)  # it is owed, and others have the money now
        return
    consented = bool(refund.consent) and not refund.statutory
    credit = work.ctx.policy.fallback == "store_credit" and consented
    credit = credit and not stopped(work.ctx.stops, work.order)
    fresh = _made(work, refund, leg, credit)
    work.change(refunds=(*work.order.refunds, fresh))
    reserve(work, fresh.legs[0].id)
    if credit:
        legs.decide_leg(work, fresh.legs[0].id, "credited")
    else:
        set_deadline(work, fresh)
    tell_requested(work, fresh.id)


def _made(work: Work, refund: Refund, leg: Leg, credit: bool) -> Refund:
    name = derived("rf", leg.id, "fallback")
    kind: LegKind = "credit" if credit else "manual"
    pays = Leg(
        f"leg_{tail(name)}_1",
        kind,
        leg.payment,
        leg.amount,
        "planned",
        destination="store_credit" if credit else "",
        failure=leg.failure,
        pays_for=leg.id,
    )
    parts = shrunk(refund.breakdown, leg.amount)
    rule = "fallback-store-credit" if credit else "fallback-manual"
    outcome = "approve" if credit else "review"
    return Refund(
        id=name,
        reason=refund.reason,
        amount=leg.amount,
        stage="active" if credit else "review",
        breakdown=parts,
        legs=(pays,),
        requested_by=refund.requested_by,
        created_at=work.now,
        shown=digest([name, leg.amount, refund.reason, parts, kind, leg.payment]),
        verdict=Verdict(outcome, work.ctx.policy.version, rule),  # type: ignore[arg-type]
        fallback_of=refund.id,
        decide_by=0 if credit else work.now + REVIEW_FOR,
        statutory=refund.statutory,
        consent=refund.consent,
        platform_fee=refund.platform_fee,
        approver=refund.approver,
        second_person=refund.second_person,
        draws=capped(refund.draws, convert(leg.amount, work.order.rate)),
    )
