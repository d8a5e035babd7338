"""What webhooks tell of payments. They may be stale, doubled and out of order, so they only move
things forward; what is said of a payment twice happens once."""

from __future__ import annotations

from amends.core import disputed, legs, news, releases
from amends.core.facts import (
    CaptureReported,
    DisputeReported,
    FraudWarned,
    PaymentReported,
    PaymentToRead,
    RefundReported,
    ReleaseReported,
    ReversalReported,
)
from amends.core.order import Dispute, Leg, Order, Payment, psp_ids
from amends.core.rereads import reread
from amends.core.tallies import learn_disputed
from amends.core.work import Work
from amends.kernel.outcome import CaptureState, PaymentState, ReleaseState


def payments_of(order: Order, connection: str, named: tuple[str, ...]) -> tuple[Payment, ...]:
    """The payments a message may be about: the one it calls as we do, else all that its provider
    knows by any of its ids; several may hang in one order there."""
    here = [payment for payment in order.payments if payment.connection == connection]
    exact = [payment for payment in here if payment.psp_payment_id in named]
    return tuple(exact[:1] or [p for p in here if not psp_ids(p).isdisjoint(named)])


def payment_of(order: Order, connection: str, named: tuple[str, ...]) -> Payment | None:
    """The payment a message is about."""
    return next(iter(payments_of(order, connection, named)), None)


def refund_reported(work: Work, fact: RefundReported) -> None:
    """A webhook about a refund: ours, adopted before, or somebody else's to adopt."""
    payment = payment_of(work.order, fact.connection, fact.psp_payment_ids)
    if payment is not None:
        news.refund_heard(work, payment.id, fact.refund)


def _foreign(work: Work, payment: Payment, currency: str) -> bool:
    """Whether amounts in this currency do not add to ours; a person is told."""
    if currency in ("", work.order.currency):
        return False
    why = {"what": "currency_mismatch", "payment": payment.id, "currency": currency}
    work.event("exception.raised", **why)
    return True


def payment_reported(work: Work, fact: PaymentReported) -> None:
    """A webhook about a payment: captures only grow, a release is final."""
    payment = payment_of(work.order, fact.connection, fact.psp_payment_ids)
    if payment is None or _foreign(work, payment, fact.currency):
        return
    news.payment_news(work, payment.id, fact.payment)
    payment = work.payment(payment.id)
    ours = payment.pending_ours + payment.refunded_ours
    if payment.captured_peak and fact.payment.refunded > ours + payment.external:
        reread(work, payment.id)


def payment_to_read(work: Work, fact: PaymentToRead) -> None:
    """Look at the payment, whatever it is."""
    for payment in payments_of(work.order, fact.connection, fact.psp_payment_ids):
        reread(work, payment.id, open_too=True)


# -- captures and cancellations, one by one ----------------------------------------------------


def capture_reported(work: Work, fact: CaptureReported) -> None:
    """One capture: it took money, took none, or what it took went back."""
    payment = payment_of(work.order, fact.connection, fact.psp_payment_ids)
    state = fact.capture
    if payment is None or _foreign(work, payment, state.currency):
        return
    leg = releases.released_by(work, payment.id, state)
    if state.status == "succeeded":
        _captured(work, payment.id, state)
    elif state.status == "failed" or state.psp_capture_id in dict(payment.captures):
        _captured(work, payment.id, state)  # it may be told before its success
        _capture_failed(work, payment.id, state)
    elif leg is not None:
        releases.refused(work, leg, state.failure_reason or "refused")
    legs.kick(work, payment.id)


def _captured(work: Work, payment_id: str, state: CaptureState) -> None:
    payment, name = work.payment(payment_id), state.psp_capture_id
    if name in payment.failed_captures and state.status == "succeeded":
        # Old news, or taken again under the same id: nothing tells which.
        work.event(
            "exception.raised", what="captured_after_failure", payment=payment.id, capture=name
        )
    if name in dict(payment.captures):
        return
    captures = (*payment.captures, (name, state.amount))
    work.put_payment(payment_id, captures=captures)
    added = sum(amount for _, amount in captures)
    captured = max(payment.captured, min(added, payment.authorized))  # never too much
    work.put_payment(payment_id, uncaptured=_undone(work.payment(payment_id)))
    if captured > payment.captured:
        news.take_more(work, payment_id, captured, psp_capture_id=name)
    else:
        work.event("payment.updated", payment=payment_id, psp_capture_id=name, captured=captured)
        releases.after_capture(work, payment_id)


def _undone(payment: Payment) -> int:
    """What captures took that failed, less what was captured again in their place: all captures
    together come to more than was authorized then."""
    undone = sum(n for name, n in payment.captures if name in payment.failed_captures)
    added = sum(amount for _, amount in payment.captures)
    return max(0, undone - max(0, added - payment.authorized))


def _capture_failed(work: Work, payment_id: str, state: CaptureState) -> None:
    """What a capture took went back by others' hand: recorded whole, and a person is told."""
    payment, name = work.payment(payment_id), state.psp_capture_id
    if name in payment.failed_captures:
        return
    amount = dict(payment.captures)[name]
    failed = (*payment.failed_captures, name)
    payment = work.put_payment(payment_id, failed_captures=failed)
    work.put_payment(payment_id, uncaptured=_undone(payment))
    work.event(
        "payment.updated",
        payment=payment_id,
        psp_capture_id=name,
        uncaptured=amount,
        failure=state.failure_reason,
    )
    work.event("exception.raised", what="capture_failed", payment=payment_id, amount=amount)
    news.raise_if_overpaid(work, payment_id)


def release_reported(work: Work, fact: ReleaseReported) -> None:
    """One cancellation: the authorization is gone, or this did not release it."""
    payment = payment_of(work.order, fact.connection, fact.psp_payment_ids)
    if payment is None:
        return
    state: ReleaseState = fact.release
    leg = releases.released_by(work, payment.id, state)
    if not state.done:
        if leg is not None:
            releases.refused(work, leg, state.failure_reason or "refused")
    else:
        releases.done(work, payment.id, leg)
    legs.kick(work, payment.id)


def reversal_reported(work: Work, fact: ReversalReported) -> None:
    """All of a payment went back, or did not. By whose hand decides what it was: the cancel of ours
    was refused, so it was refunded; of others' the order knows whether there was a capture."""
    payment = payment_of(work.order, fact.connection, fact.psp_payment_ids)
    state = fact.refund
    if payment is None or _foreign(work, payment, state.currency):
        return
    leg = releases.reversed_by(work, payment.id, state)
    if state.status != "succeeded":
        if leg is not None and leg.kind == "void":
            releases.refused(work, leg, state.failure_reason or "refused")
        elif leg is not None and leg.state == "succeeded":
            _contradicted(work, leg)
    elif leg is None:
        releases.reversed_by_others(work, payment.id, state.amount)
        news.refund_heard(work, payment.id, state)
        news.payment_news(work, payment.id, PaymentState(canceled=True, capturable=0))
    elif leg.kind == "void" and leg.state in releases.LIVE:
        releases.given_back(work, leg, state)
        news.refund_heard(work, payment.id, state)
        news.adopt_early(work, payment.id)
        news.raise_if_overpaid(work, payment.id)
    elif leg.kind == "void":
        _contradicted(work, leg)  # it was released as well, or is called failed
    legs.kick(work, payment.id)


def _contradicted(work: Work, leg: Leg) -> None:
    """Two words on one reversal cannot both be so: a person looks which is."""
    work.event("exception.raised", what="contradicted", leg=leg.id, state=leg.state)


# -- disputes and warnings ----------------------------------------------------------------------


def dispute_reported(work: Work, fact: DisputeReported) -> None:
    """A chargeback or inquiry: what it took is no longer ours to refund."""
    payment = payment_of(work.order, fact.connection, fact.psp_payment_ids)
    if payment is None:
        return
    before = next((d for d in work.order.disputes if d.id == fact.dispute), None)
    if before is not None and fact.open and _overtaken(before, fact):
        return
    status = fact.status if fact.open else _ended_status(fact.status)
    taken, settled = disputed.taken(before), fact.settled
    if fact.withdrawn >= 0:
        again = before is not None and before.status == status and status in ("won", "closed")
        stale = again and fact.withdrawn > taken[0]  # given back once; the rest is stale (I9)
        settled = None if stale else settled
        theirs = fact.currency if fact.withdrawn and fact.currency != work.order.currency else ""
        taken = taken if stale else (fact.withdrawn, theirs)
    if settled is None and before is not None and taken == disputed.taken(before):
        settled = before.settled  # not told again: they are of what it holds
    step = max(fact.step, before.step if before else 0)
    after = Dispute(
        fact.dispute,
        payment.id,
        fact.amount,
        status,
        payment.captured if taken[1] else taken[0],
        step,
        currency=taken[1],
        taken=taken[0] if taken[1] else 0,
        settled=settled,
    )
    if disputed.same(before, after):
        return
    if before is None:
        learn_disputed(work)
    others = tuple(d for d in work.order.disputes if d.id != fact.dispute)
    after = disputed.book(work, payment, before, after)
    delta = after.withdrawn - (before.withdrawn if before else 0)
    work.change(disputes=(*others, after))
    work.put_payment(payment.id, disputed=payment.disputed + delta)
    work.event(
        "dispute.updated",
        dispute=fact.dispute,
        payment=payment.id,
        amount=fact.amount,
        currency=fact.currency,
        status=status,
        withdrawn=after.withdrawn,
    )
    if delta > 0:
        news.raise_if_overpaid(work, payment.id)


def _overtaken(before: Dispute, fact: DisputeReported) -> bool:
    """Stale: an opening that arrives after the end, an inquiry after its chargeback, or any earlier
    step after a later one."""
    inquiry = "warning_"
    return (
        before.status in ("won", "lost", "closed")
        or fact.step < before.step
        or (fact.status.startswith(inquiry) and not before.status.startswith(inquiry))
    )


def _ended_status(status: str) -> str:
    return status if status in ("won", "lost") else "closed"


def fraud_warned(work: Work, fact: FraudWarned) -> None:
    """An early fraud warning: kept for the risk of later refunds."""
    if fact.warning not in work.order.alerts:
        work.change(alerts=(*work.order.alerts, fact.warning))
        work.event("fraud.warned", warning=fact.warning, actionable=fact.actionable)
