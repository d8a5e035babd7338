"""Authorizations being released: what captures and cancellations, ours and others', make of it."""

from __future__ import annotations

from amends.core import legs
from amends.core.claims import claim
from amends.core.order import Leg
from amends.core.reversals import REFUSED
from amends.core.work import Work
from amends.kernel.outcome import CaptureState, PaymentState, RefundState, ReleaseState

LIVE = ("sending", "unknown", "pending")


def released_by(work: Work, payment_id: str, state: CaptureState | ReleaseState) -> Leg | None:
    """The release that a capture of the rest or a cancellation was asked for by: known by the
    provider's id from the answer, else by our mark on it."""
    psp_id = state.psp_capture_id if isinstance(state, CaptureState) else state.psp_release_id
    voids = [leg for leg in _of(work, payment_id) if leg.kind == "void" and leg.attempts]
    for leg in voids:
        if leg.psp_release_id == psp_id:
            return leg
    mark = (state.leg, state.epoch)
    found = next((leg for leg in voids if (leg.id, leg.epoch) == mark), None)
    return found and work.put_leg(found.id, psp_release_id=found.psp_release_id or psp_id)


def _of(work: Work, payment_id: str) -> list[Leg]:
    return [leg for r in work.order.refunds for leg in r.legs if leg.payment == payment_id]


def void_news(work: Work, leg: Leg, state: PaymentState, asked: int) -> bool:
    """What the payment's own state says about a void of it; False: it says nothing was done."""
    if state.captured > 0 and state.captured == leg.rest:
        legs.move(work, leg.id, legs.asked_status(leg, "succeeded", asked))
        return True
    if state.captured > 0:
        if leg.state not in ("succeeded", "failed", "canceled"):
            captured_first(work, leg, state)
        return True
    if state.canceled:
        gone(work, leg.payment)
        return True
    return False


def captured_first(work: Work, leg: Leg, state: PaymentState | None) -> None:
    """The capture won the race: give back captured money instead (edge 21)."""
    if state is not None and state.captured > work.payment(leg.payment).captured:
        take_capture(work, leg.payment, state.captured)
    if leg.state not in LIVE:
        return  # it was told by webhook before, and has ended
    payment = work.payment(leg.payment)
    if not payment.captured_peak:
        work.put_payment(payment.id, captured=payment.authorized, captured_peak=payment.authorized)
    if not legs.as_refund(work, leg.id):
        return
    legs.fresh(work, leg.id)
    work.put_leg(leg.id, state="sending")


def take_capture(work: Work, payment_id: str, captured: int) -> None:
    """So much was captured, all in all."""
    payment = work.payment(payment_id)
    work.put_payment(
        payment_id,
        captured=captured,
        captured_peak=max(captured, payment.captured_peak),
        captured_at=payment.captured_at or work.now,
    )


def after_capture(work: Work, payment_id: str) -> None:
    """What was captured settles the releases that are out: it is the rest they left, or they came
    too late and give back captured money."""
    for leg in _of(work, payment_id):
        out = leg.kind == "void" and leg.attempts and leg.state in LIVE
        if out and not leg.reverse:  # a reversal gives back what was captured as well
            void_news(work, leg, PaymentState(captured=work.payment(payment_id).captured), 0)


def gone(work: Work, payment_id: str) -> None:
    """The whole authorization is gone: our void did it, or others' hand, or it expired. A part that
    was to be captured is gone with it, and what waited to be released need not be asked for."""
    work.put_payment(payment_id, gone=True)
    for leg in _of(work, payment_id):
        if leg.kind == "void" and leg.state in LIVE:
            lost = leg.rest
            work.put_leg(leg.id, rest=0)
            legs.move(work, leg.id, "heard_succeeded", psp_release_id=leg.psp_release_id)
            if lost:
                work.event("exception.raised", what="authorization_lost", leg=leg.id, amount=lost)
    payment = work.payment(payment_id)
    left = payment.authorized - payment.voided - payment.voiding
    if left > 0:
        work.put_payment(payment.id, voided=payment.voided + left)
        work.event("payment.updated", payment=payment.id, released=left)
    tell_if_both(work, payment_id)


def done(work: Work, payment_id: str, leg: Leg | None) -> None:
    """A cancellation was done, by `leg` if that is one of ours. What a shop calls captured it may
    only have asked for: then our release stands beside it."""
    if not work.payment(payment_id).captured_peak:
        gone(work, payment_id)
    elif leg is not None and leg.state in LIVE:
        legs.move(work, leg.id, "heard_succeeded", psp_release_id=leg.psp_release_id)
        tell_if_both(work, payment_id)


def tell_if_both(work: Work, payment_id: str) -> None:
    """Part of the authorization counts as captured and as released (what was captured before is no
    part of what a release lets go): a person is told how much."""
    payment = work.payment(payment_id)
    over = payment.captured + payment.voided - payment.authorized
    if payment.voided and over > 0:
        told = {"what": "captured_after_release", "payment": payment_id, "amount": over}
        work.event("exception.raised", **told)


def refused(work: Work, leg: Leg, failure: str) -> None:
    """The provider did not release it. Most likely it was captured, and that news is on its way:
    then it becomes a refund; after a while without, it ends and a person is told."""
    if leg.state not in LIVE:
        return
    if work.payment(leg.payment).captured_peak:
        captured_first(work, leg, None)
    elif leg.reverse:
        legs.not_released(work, leg, "heard_failed")
    else:
        legs.move(
            work,
            leg.id,
            "refused",
            psp_release_id=leg.psp_release_id,
            failure=failure,
            code=failure,
        )


def reversed_by(work: Work, payment_id: str, state: RefundState) -> Leg | None:
    """Our leg that asked for this reversal, as `released_by`; or that it was found to have paid."""
    for leg in _of(work, payment_id):
        ids = (leg.psp_release_id, leg.psp_refund_id)
        mine = state.psp_refund_id in ids or (leg.id, leg.epoch) == (state.leg, state.epoch)
        if leg.reverse and leg.attempts and mine:
            return leg
    return None


def reversed_by_others(work: Work, payment_id: str, amount: int) -> None:
    """Others gave all of a payment back of which no capture is known. If it refused a release of
    ours, it had been captured all the same."""
    payment = work.payment(payment_id)
    refused_ours = any(
        leg.kind == "void" and (leg.reverse or REFUSED in (leg.declined, leg.failure))
        for leg in _of(work, payment_id)
    )
    if refused_ours and not (payment.captured_peak or payment.gone):
        captured = min(amount, payment.authorized)
        take_capture(work, payment_id, captured)
        work.event("payment.updated", payment=payment_id, captured=captured)


def given_back(work: Work, leg: Leg, state: RefundState) -> None:
    """Our reversal was done: the money is with the customer. Its cancel was refused, so it had been
    captured and this refunded it. Of a capture of less than all the rest was let go before."""
    payment = work.payment(leg.payment)
    said = state.amount if 0 < state.amount < leg.amount else leg.amount
    paid = min(payment.captured_peak or said, leg.amount)
    if not payment.captured_peak:
        take_capture(work, payment.id, paid)
        work.event("payment.updated", payment=payment.id, captured=paid)
    if state.amount not in (paid, leg.amount):
        told = {"what": "reversed_amount", "leg": leg.id, "amount": state.amount}
        work.event("exception.raised", **told)
    name = state.psp_refund_id
    work.put_leg(leg.id, kind="refund", amount=paid, psp_refund_id=name, psp_release_id=name)
    payment = work.payment(payment.id)
    work.put_payment(
        payment.id, voiding=payment.voiding - paid, pending_ours=payment.pending_ours + paid
    )
    refund, _ = work.leg(leg.id)
    if paid < leg.amount:
        number = len(refund.legs) + 1
        rest = Leg(
            f"{leg.id.rpartition('_')[0]}_{number}",
            "void",
            payment.id,
            leg.amount - paid,
            "sending",
        )
        work.put_refund(refund.id, legs=(*refund.legs, rest))
        legs.move(work, rest.id, "said_succeeded")
    claim(work, refund.id)
    work.event("leg.news", leg=leg.id, news="reversed", kind="refund", amount=paid)
