"""What leaves for a leg, as data: the intent is a function of the order's rows and nothing else, so
that the same attempt always has the same bytes."""

from __future__ import annotations

from typing import Any

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
    RefundLine,
    ReverseIntent,
    SellerShare,
)
from amends.core.left import paid_for
from amends.core.order import Leg, Order, Payment, Refund
from amends.core.shares import LineShare


def send_intent(order: Order, refund: Refund, leg: Leg, payment: Payment) -> Intent:
    """The movement of a leg, complete; its amount, `full` and `rest` were fixed before (I3)."""
    common: dict[str, Any] = {
        "connection": payment.connection,
        "psp_payment_id": payment.psp_payment_id,
        "currency": order.currency,
        "key": leg.key,
        "order": order.id,
        "refund": refund.id,
        "leg": leg.id,
        "epoch": leg.epoch,
    }
    if leg.kind != "void":
        return RefundIntent(
            **common,
            amount=leg.amount,
            reason=refund.reason,
            full=leg.full,
            charge=leg.charge,
            capture=leg.capture,
            method=payment.method,
            lines=tuple(RefundLine(x.id, x.quantity, x.gross, x.tax) for x in leg.lines),
            sellers=_sellers(leg, payment),
            figures=_figures(order),
        )
    if leg.rest:
        return CaptureRestIntent(**common, amount=leg.rest)
    if leg.reverse:
        return ReverseIntent(**common)
    return CancelIntent(**common, reason=refund.reason)


def _sellers(leg: Leg, payment: Payment) -> tuple[SellerShare, ...]:
    """Of those that were paid with the payment; none where the provider refused to take theirs."""
    if payment.apart or leg.untaken:
        return ()
    borne = {party.account: party for party in leg.parties}
    return tuple(
        SellerShare(
            seller.account,
            borne[seller.account].amount,
            borne[seller.account].taken,
            seller.reference,
            seller.fee_reference,
            borne[seller.account].fee_too,
        )
        for seller in payment.sellers
        if seller.account in borne
    )


def refund_lines(refund: Refund, leg: Leg) -> tuple[LineShare, ...]:
    """What a leg is for, in parts that come to its amount: what was kept back is off them."""
    return paid_for(refund.breakdown, leg.amount)


def look_intent(order: Order, leg: Leg, payment: Payment) -> Intent:
    """What tells whether a leg's movement happened."""
    return _open(order, payment) if leg.kind == "void" else _captured(order, payment, leg.capture)


def _open(order: Order, payment: Payment) -> Intent:
    return LookupPaymentIntent(
        payment.connection,
        payment.psp_payment_id,
        order.currency,
        psp_order=payment.psp_order,
    )


def _captured(order: Order, payment: Payment, capture: str) -> Intent:
    first = payment.captures[0][0] if payment.captures else ""
    # Called by one of several captures, only its own refunds would be found.
    several = len(payment.captures) > 1 and payment.authorization
    return LookupRefundsIntent(
        payment.connection,
        payment.authorization if several else payment.psp_payment_id,
        order.currency,
        charge=payment.charge,
        capture=capture or first,
        figures=_figures(order),
    )


def _figures(order: Order) -> bool:
    """Whether the books need the provider's own: they are in another currency."""
    return order.rate.base != order.rate.quote


def whole_intent(order: Order, payment: Payment, per_capture: bool) -> Intent:
    """What tells all of a payment: the refunds of what was captured, or the payment itself, also
    where refunds are found by a capture (`per_capture`) and none is known."""
    if payment.captured_peak and not (per_capture and unknown_capture(payment)):
        return _captured(order, payment, "")
    return _open(order, payment)


def unknown_capture(payment: Payment) -> bool:
    """Whether it was captured from an authorization and no id of a capture is known."""
    known = payment.captures or payment.charge
    return payment.authorization == payment.psp_payment_id and not known
