"""What becomes of what was asked: decided after the request was taken up, told by webhook."""

from amends.sim.account import BY_OTHERS, Outcome
from amends.sim.adyen.books import Books, arn
from amends.sim.adyen.objects import Modification, Payment

NOT_CAPTURED = "The payment hasn't been captured, so there is nothing to refund"
TOO_LITTLE = "Insufficient balance on the payment for this amount"
CAPTURED = "The payment has been captured already"
GONE = "The payment has been cancelled already"
SEVERAL = "The payment has been captured in parts, so it cannot be reversed"


def begin(books: Books, change: Modification) -> None:
    """Let the outcome of something taken up come in its time."""
    group, delay = change.origin.request_id, books.settings.outcome_delay_s
    if change.kind == "refund":
        outcome = books.take_outcome(change.payment.psp_reference)
        books.moved("refund", change, change.amount, "pending")
        books.later(delay, lambda: _refund_begins(books, change, outcome), group)
    elif change.kind == "capture":
        books.later(delay, lambda: capture(books, change), group)
    elif change.kind == "reversal":
        books.later(delay, lambda: _reverse(books, change), group)
    else:
        books.later(delay, lambda: cancel(books, change), group)


# -- refunds -------------------------------------------------------------------------------------


def _refund_begins(books: Books, change: Modification, outcome: Outcome) -> None:
    if change.status != "received":
        return  # settled by a control command meanwhile
    if outcome.status == "pending":
        if outcome.then is not None:
            then, why = outcome.then, outcome.failure_reason
            books.later(outcome.after_s, lambda: settle(books, change, then, why))
        return
    settle(books, change, outcome.status, outcome.failure_reason)
    if outcome.then is not None:
        event = "REFUNDED_REVERSED" if outcome.then == "reversed" else "REFUND_FAILED"
        why = outcome.failure_reason
        books.later(outcome.after_s, lambda: take_back(books, change, event, why))


def settle(books: Books, change: Modification, status: str, reason: str = "") -> None:
    """The first word about a refund: `succeeded`, if the payment allows it, or `failed`."""
    if change.status != "received":
        return
    payment = change.payment
    if status == "failed":
        _refuse_refund(books, change, reason)
    elif payment.captures("received") and books.settings.postpone_refunds and not payment.captured:
        payment.postponed.append(change)
        books.told(change, "POSTPONED_REFUND")
    elif why := why_not(books, payment, change.amount):
        _refuse_refund(books, change, why)
    else:
        payment.refunded += change.amount
        change.status = "succeeded"
        books.movement_of[change.psp_reference].status = "succeeded"
        books.told(change, "REFUND", extra=arn(payment, books.number()))


def why_not(books: Books, payment: Payment, amount: int) -> str:
    """Why this much of a payment cannot be refunded now, "" if it can."""
    if not payment.captured:
        return GONE if payment.gone else NOT_CAPTURED
    if amount > payment.refundable and books.settings.refuse_over_refund:
        return TOO_LITTLE
    return ""


def _refuse_refund(books: Books, change: Modification, reason: str) -> None:
    change.status = "failed"
    books.movement_of[change.psp_reference].status = "failed"
    books.told(change, "REFUND", success=False, reason=reason)


def take_back(books: Books, change: Modification, event: str, reason: str) -> None:
    """A refund that had succeeded did not reach the shopper: the money is the merchant's again.

    The event happened, so its own success is "true".
    """
    if change.status != "succeeded":
        return
    change.status = "failed"
    books.movement_of[change.psp_reference].status = "failed"
    change.payment.refunded -= change.amount
    books.told(change, event, reason=reason)


# -- captures and cancellations ------------------------------------------------------------------


def capture(books: Books, change: Modification) -> None:
    """Take authorised money; the rest is let go unless several captures are switched on."""
    payment = change.payment
    why = _why_no_capture(payment, change.amount)
    change.status = "failed" if why else "succeeded"
    if not why:
        payment.open -= change.amount
        payment.captured += change.amount
        if not payment.multicapture:
            payment.open = 0
        books.moved("capture", change, change.amount, "succeeded")
    books.told(change, "CAPTURE", success=not why, reason=why)
    waiting, payment.postponed = payment.postponed, []
    for refund in waiting:
        settle(books, refund, "succeeded")


def _why_no_capture(payment: Payment, amount: int) -> str:
    if payment.gone:
        return GONE
    if payment.captured and not payment.multicapture:
        return CAPTURED
    return TOO_LITTLE if amount > payment.open else ""


def fail_capture(books: Books, change: Modification, reason: str) -> None:
    """The scheme gives nothing for a capture that had succeeded. Its event's success is "true"."""
    change.status = "failed"
    change.payment.captured -= change.amount
    change.payment.uncaptured += change.amount
    made = books.movement_of.get(change.psp_reference)  # none for what was captured on its own
    if made is not None:
        made.status = "failed"
    books.told(change, "CAPTURE_FAILED", reason=reason)


def cancel(books: Books, change: Modification) -> None:
    """Let all go that is authorised and not captured, if nothing was captured."""
    payment = change.payment
    why = "" if payment.open else CAPTURED if payment.captured else GONE
    change.status = "failed" if why else "succeeded"
    if not why:
        _let_go(books, change)
    event = "TECHNICAL_CANCEL" if change.kind == "technical_cancel" else "CANCELLATION"
    books.told(change, event, success=not why, reason=why, amount=payment.amount)


def _let_go(books: Books, change: Modification) -> None:
    payment = change.payment
    books.moved("void", change, payment.open, "succeeded")
    payment.open = 0
    payment.gone = "" if payment.captured else "canceled"


def expire(books: Books, payment: Payment) -> None:
    """The authorization runs out, if anything of it is left."""
    if not payment.open:
        return
    left, payment.open = payment.open, 0
    payment.gone = "" if payment.captured else "expired"
    name, currency = payment.psp_reference, payment.currency
    books.note("void", name, None, left, currency, "succeeded", BY_OTHERS)
    books.emit("EXPIRE", payment, payment.psp_reference, payment.amount, group=None, modifies=False)


def _reverse(books: Books, change: Modification) -> None:
    """All of it goes back, as a refund if it was captured and by cancelling it if not; which of the
    two is said where nothing is signed."""
    payment = change.payment
    action = "refund" if payment.captured else "cancel"
    why = _why_no_reversal(books, payment)
    change.status = "failed" if why else "succeeded"
    change.amount = payment.captured if action == "refund" else payment.amount
    if not why and action == "refund":
        payment.refunded += change.amount
        books.moved("refund", change, change.amount, "succeeded")
    elif not why:
        _let_go(books, change)
    extra = {"modification.action": action}
    books.told(change, "CANCEL_OR_REFUND", success=not why, reason=why, extra=extra)


def _why_no_reversal(books: Books, payment: Payment) -> str:
    if payment.gone:
        return GONE
    if len(payment.captures("succeeded")) > 1:
        return SEVERAL
    return why_not(books, payment, payment.captured) if payment.captured else ""
