"""What no provider can pay: its method gives nothing back, or no more, or not after so long.

It is set aside on its payment like any refund, so that nothing else can take it, and waits in
review until a person has paid it by other means and says under which reference, or declines it.
"""

from __future__ import annotations

from msgspec.structs import replace

from amends.core import legs
from amends.core.captures import refunds_made
from amends.core.decision import ANY_METHOD, Method
from amends.core.facts import PaidOutside
from amends.core.order import Payment, Refund
from amends.core.quote import Portion, Quote
from amends.core.reasons import SENTENCES, Reason
from amends.core.work import Work
from amends.kernel.canon import digest
from amends.kernel.time import DAY

# When a payment was captured is known to a day or so: within that a person may have it tried.
SURELY = 2 * DAY

WHY = {
    "method_not_refundable": SENTENCES[Reason.METHOD_NOT_REFUNDABLE],
    "too_many_refunds": SENTENCES[Reason.TOO_MANY_REFUNDS],
    "past_refund_limit": "The payment is older than its provider refunds this method.",
}


def method_of(work: Work, payment: Payment) -> Method:
    """What the payment's method allows; everything where its connection is not known here."""
    terms = work.ctx.terms.get(payment.connection)
    return terms.method(payment.method) if terms else ANY_METHOD


def set_apart(work: Work, quote: Quote) -> Quote:
    """The quote with what no provider can pay as portions of kind "manual"."""
    why = {p.id: _why(work, p, quote) for p in work.order.payments}
    if not any(why.values()):
        return quote
    portions = tuple(
        replace(p, kind="manual", why=why[p.payment]) if _paid(p) and why[p.payment] else p
        for p in quote.portions
    )
    return replace(quote, portions=portions, hash=digest([quote.hash, portions]))


def _paid(portion: Portion) -> bool:
    return portion.kind == "refund"


def _why(work: Work, payment: Payment, quote: Quote) -> str:
    """Why the provider cannot pay what is asked of a payment, "" if it can, or may."""
    method = method_of(work, payment)
    asked = sum(1 for p in quote.portions if p.payment == payment.id and _paid(p))
    if not asked:
        return ""
    if not method.refunds:
        return "method_not_refundable"
    if method.count and refunds_made(work.order, payment) + asked > method.count:
        return "too_many_refunds"
    if past_limit(work, payment, SURELY):
        return "past_refund_limit"
    return ""


def past_limit(work: Work, payment: Payment, doubt: int = 0) -> bool:
    """Whether a payment is older than its method is refunded, by more than `doubt`."""
    within = method_of(work, payment).within
    return within > 0 and 0 < payment.captured_at < work.now - within - doubt


def by_hand(refund: Refund) -> bool:
    """Whether a part of it waits for a person to pay it, or was paid so."""
    return any(leg.kind == "manual" for leg in refund.legs)


def pay(work: Work, leg_id: str, fact: PaidOutside) -> None:
    """Book one leg as paid by hand."""
    kind = "credit" if fact.way == "store_credit" else "manual"
    told = {"destination": fact.way, "bank_reference": fact.reference}
    work.put_leg(leg_id, kind=kind, bank_reference_type="payout_reference", **told)
    legs.move(work, leg_id, "paid_outside", kind=kind, **told)
