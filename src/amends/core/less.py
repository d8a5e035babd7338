"""A person gives less than was asked for: the same things come back, and a part is kept back.

The refund in review is declined and one of the smaller amount takes its place, in one decision. So
units, taxes and what is left follow the same rules as of any other refund (I6). What the law grants
cannot be cut.
"""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from amends.core.asks import approve_all, as_credit, drop_all, make, multiples, quoted
from amends.core.facts import Approved, RefundRequested
from amends.core.order import Order, Refund
from amends.core.period import LENGTH, Unused
from amends.core.quote import Quote
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    ChargePick,
    FeeIn,
    LineAmount,
    LinePick,
    RefundIn,
    RefundReason,
    TaxIn,
    TenderPick,
    UnusedIn,
)
from amends.core.reviews import tell_requested
from amends.core.tenders import portioned
from amends.core.work import Work
from amends.kernel.check import InvariantBroken
from amends.kernel.time import rfc3339


def approve(work: Work, refund: Refund, fact: Approved) -> None:
    """Decline it, and give `fact.amount` in its place. Raises Refused."""
    if fact.amount > refund.amount:
        raise Refused(
            Reason.VALIDATION,
            f"No more than was asked for can be approved: {refund.amount}.",
            pointer="/amount",
        )
    if refund.fallback_of or refund.builds_on or refund.takes_over:
        raise Refused(
            Reason.WRONG_STATE,
            "Its amount was reckoned with another refund; approve it whole, or decline it.",
        )
    if refund.statutory:
        raise Refused(
            Reason.FEE_NOT_ALLOWED,
            "What the law grants is given whole; approve all of it, or decline it.",
        )
    _decline(work, refund)
    request = _same(work.order, refund, refund.amount - fact.amount)
    tenders = _tenders(work, refund, fact.amount)
    quote, over = quoted(work, replace(request, tenders=tenders))
    quote = _as_shown(work, refund, quote)
    if quote.amount != fact.amount:
        raise Refused(
            Reason.AMOUNT_CHANGED,
            f"What is left of its parts comes to {quote.amount} by now; decline it, and ask anew.",
            amount=quote.amount,
        )
    if refund.verdict is None:
        raise InvariantBroken("what is in review was judged")
    verdict = replace(refund.verdict, outcome="approve", rule="approved-less", says="")
    fresh = make(work, RefundRequested(request, note_id=refund.note), quote, over, verdict)
    work.put_refund(
        fresh.id,
        requested_by=refund.requested_by,
        decided_by=work.recorded.actor,
        instead_of=refund.id,
        platform_fee=refund.platform_fee,
        approver=refund.approver,
        second_person=refund.second_person,
    )
    approve_all(work, fresh.id)
    tell_requested(work, fresh.id)


def _decline(work: Work, refund: Refund) -> None:
    drop_all(work, refund)
    work.put_refund(refund.id, stage="declined", decided_by=work.recorded.actor, decide_by=0)
    work.event(
        "refund.declined", refund=refund.id, amount=refund.amount, reason="approved_for_less"
    )


def _tenders(work: Work, refund: Refund, amount: int) -> tuple[TenderPick, ...]:
    """The same tenders that were shown, each in proportion."""
    shown: Counter[str] = Counter()
    for leg in refund.legs:
        shown[leg.payment] += leg.amount
    room = [(work.payment(name), most) for name, most in shown.items()]
    made = portioned(work.order, RefundIn(), "proportional", amount, room, multiples(work))
    return tuple(TenderPick(payment.id, part) for payment, part in made)


def _as_shown(work: Work, refund: Refund, quote: Quote) -> Quote:
    """As store credit where that was shown. Raises Refused where no provider pays it by now."""
    if any(portion.kind == "manual" for portion in quote.portions):
        raise Refused(
            Reason.WRONG_STATE,
            "Its provider cannot pay this any more; decline it, and ask for it anew.",
        )
    if not any(leg.kind == "credit" and work.payment(leg.payment).is_money for leg in refund.legs):
        return quote
    return as_credit(quote)


def _same(order: Order, refund: Refund, less: int) -> RefundIn:
    """The request that gives the same parts, and keeps so much more back."""
    parts = refund.breakdown
    if parts.unallocated or parts.compensation:
        goodwill = "compensation" if parts.compensation else "price_reduction"
        return RefundIn(
            reason=_reason(refund),
            amount=refund.amount - less,
            goodwill=goodwill,  # type: ignore[arg-type]
            consent=refund.consent,
        )
    fees = [
        FeeIn(fee.kind, fee.gross, tuple(TaxIn(tax.name, tax.amount) for tax in fee.taxes))
        for fee in parts.fees
        if fee.gross > 0
    ]
    units, amounts = Counter[str](), Counter[str]()
    times = {one.line for one in parts.unused}
    for share in parts.lines:
        if share.id in times and not share.quantity:
            continue
        (units if share.quantity else amounts)[share.id] += share.quantity or share.gross
    shipping = sum(share.gross for share in parts.shipping)
    return RefundIn(
        reason=_reason(refund),
        lines=tuple(LinePick(name, quantity) for name, quantity in units.items()),
        adjustments=tuple(LineAmount(name, amount) for name, amount in amounts.items()),
        shipping=shipping or "none",
        charges=tuple(ChargePick(share.id, share.gross) for share in parts.charges) or "none",
        fees=(*fees, FeeIn("reduction", less)),
        consent=refund.consent,
        unused=tuple(_time(order, one) for one in parts.unused),
    )


def _time(order: Order, one: Unused) -> UnusedIn:
    """The units of a line's period as they are asked for."""
    period = next(line.period for line in order.lines if line.id == one.line)
    if period is None:
        raise InvariantBroken(f"time of line {one.line} is of no period")
    start, end = (period.start + LENGTH[period.by] * units for units in one.span)
    return UnusedIn(one.line, rfc3339(start), rfc3339(min(end, period.end)))


def _reason(refund: Refund) -> RefundReason:
    if refund.reason == "external":
        raise InvariantBroken("what others made is not reviewed")
    return refund.reason
