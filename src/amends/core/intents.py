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
)
from amends.core.order import Leg, Order, Payment, Refund


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
            **common, amount=leg.amount, reason=refund.reason, full=leg.full, charge=payment.charge
        )
    if leg.rest:
        return CaptureRestIntent(**common, amount=leg.rest)
    return CancelIntent(**common, reason=refund.reason)


def look_intent(order: Order, leg: Leg, payment: Payment) -> Intent:
    """What tells whether a leg's movement happened."""
    common = {
        "connection": payment.connection,
        "psp_payment_id": payment.psp_payment_id,
        "currency": order.currency,
    }
    if leg.kind == "void":
        return LookupPaymentIntent(**common)
    return LookupRefundsIntent(**common, charge=payment.charge)


def whole_intent(order: Order, payment: Payment) -> Intent:
    """What tells all of a payment: the refunds of what was captured, or the payment itself."""
    common = {
        "connection": payment.connection,
        "psp_payment_id": payment.psp_payment_id,
        "currency": order.currency,
    }
    if payment.captured_peak:
        return LookupRefundsIntent(**common, charge=payment.charge)
    return LookupPaymentIntent(**common)
