"""What becomes of a leg's amount on its payment and in the books: reserved, released, paid, back.

These numbers are those of invariant I1.
"""

from __future__ import annotations

from amends.core import fx, postings, sellers
from amends.core.chart import OUTSIDE_ACCOUNT
from amends.core.claims import claim, fell_back, lapse
from amends.core.order import Leg, Payment, Refund, remaining
from amends.core.work import Work


def reserve(work: Work, leg_id: str) -> None:
    """Set the leg's amount aside on its payment. Without room, which only others' doing can cause,
    it is counted as external and a person is told: both may have paid (edge 9)."""
    _, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    if leg.kind == "void":
        work.put_payment(payment.id, voiding=payment.voiding + leg.amount)
    elif leg.outside or remaining(payment) < leg.amount:
        work.put_payment(payment.id, external=payment.external + leg.amount)
        if not leg.outside:
            work.put_leg(leg_id, outside=True)
            work.event("exception.raised", what="double_benefit", leg=leg_id, amount=leg.amount)
    else:
        work.put_payment(payment.id, pending_ours=payment.pending_ours + leg.amount)


def release(work: Work, leg_id: str) -> None:
    """It will not leave: give the amount back. A claim nobody pays lapses with its last leg, unless
    a fallback will pay it."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    work.put_leg(leg_id, failure=leg.failure or leg.declined)
    if leg.kind == "void":
        open_ = max(0, payment.authorized - payment.captured - payment.voided)
        released = payment.voided + (min(leg.amount, open_) if payment.gone else 0)
        work.put_payment(payment.id, voiding=payment.voiding - leg.amount, voided=released)
    elif leg.outside:
        work.put_payment(payment.id, external=payment.external - leg.amount)
    else:
        work.put_payment(payment.id, pending_ours=payment.pending_ours - leg.amount)
    refund = work.refund(refund.id)
    ended = all(g.state in ("failed", "canceled") for g in refund.legs if not g.replaced)
    if ended and not any(g.was_paid or fell_back(g) for g in refund.legs):
        lapse(work, refund)


def settle(work: Work, leg_id: str) -> None:
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    leg = work.put_leg(
        leg_id, paid_at=work.now, was_paid=True, tries=0, failure="", doubt=False, waits=0
    )
    if leg.kind == "void":
        _settle_void(work, refund, leg, payment)
    elif refund.external:
        fx.book_paid(work, refund, leg, external=True)
        sellers.book_others(work, leg_id)
    else:
        if leg.kind in OUTSIDE_ACCOUNT:
            work.put_payment(
                payment.id,
                pending_ours=payment.pending_ours - leg.amount,
                credited_ours=payment.credited_ours + leg.amount,
            )
        elif not leg.outside:
            work.put_payment(
                payment.id,
                pending_ours=payment.pending_ours - leg.amount,
                refunded_ours=payment.refunded_ours + leg.amount,
            )
        claim(work, refund.id)
        fx.book_paid(work, refund, leg, external=False)
        sellers.book(work, leg_id)


def _settle_void(work: Work, refund: Refund, leg: Leg, payment: Payment) -> None:
    changes: dict[str, int] = {
        "voiding": payment.voiding - leg.amount,
        "voided": payment.voided + leg.amount,
    }
    if leg.rest:  # part of it was released by capturing the rest
        captured = max(leg.rest, payment.captured)
        changes |= {"captured": captured, "captured_peak": max(captured, payment.captured_peak)}
        changes["captured_at"] = payment.captured_at or work.now
    work.put_payment(payment.id, **changes)
    work.book(postings.void(work.order, refund, leg, work.now))


def unsettle(work: Work, leg_id: str) -> None:
    """The money is back with us (I12); the claim stands."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    work.put_leg(leg_id, paid_at=0)
    if leg.kind == "void":
        return  # a released authorization cannot come back; the news is on the trail
    if refund.external:
        work.put_payment(payment.id, external=payment.external - leg.amount)
        work.book(postings.external(work.order, refund, leg, work.now, back=True))
        sellers.book_back(work, leg_id)
        fx.leg_fee(work, leg_id, back=True)
        return
    if leg.outside:
        work.put_payment(payment.id, external=payment.external - leg.amount)
    elif leg.kind in OUTSIDE_ACCOUNT:
        work.put_payment(payment.id, credited_ours=payment.credited_ours - leg.amount)
    else:
        work.put_payment(payment.id, refunded_ours=payment.refunded_ours - leg.amount)
    work.book(postings.payout_failed(work.order, refund, leg, work.now))
    sellers.book_back(work, leg_id)
    fx.leg_fee(work, leg_id, back=True)
