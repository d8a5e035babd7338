"""When a payment is given back by a reversal: its provider releases it, or refunds it if it was
captured. Which of the two it did may not be told where it could be believed."""

from __future__ import annotations

from amends.core.order import Leg
from amends.core.work import Work

REFUSED = "release_refused"


def reversible(work: Work, leg: Leg) -> bool:
    """Whether a release that was refused is asked for as a reversal. That takes all of a payment,
    so the release was of all of it too, and nobody is known to have given any of it back."""
    payment = work.payment(leg.payment)
    whole = leg.amount == payment.authorized and not leg.rest
    touched = payment.captured_peak or payment.captures or payment.voided or payment.gone
    back = payment.disputed or payment.external or payment.early
    able = work.ctx.terms[payment.connection].reversal
    return able and whole and not (touched or back)


def tell_refused(work: Work, leg: Leg) -> None:
    """Neither released nor refunded: a person is told."""
    work.event("exception.raised", what=REFUSED, leg=leg.id, amount=leg.amount)
