"""PayPal's refunds, captures, authorizations and orders in our words.

Shapes: PayPal's own OpenAPI files, Payments v2 (2.9) and Orders v2 (2.13).
"""

from __future__ import annotations

import msgspec

from amends.gateways.codecs import (
    Json,
    Malformed,
    code_text,
    flag,
    part,
    parts,
    required_text,
    text,
)
from amends.gateways.paypal_values import amount_in, check_kind, link_to, marked, moment, money
from amends.kernel.outcome import CaptureState, PaymentState, RefundState, RefundStatus, Settled

_STATUSES: dict[str, RefundStatus] = {
    "COMPLETED": "succeeded",
    "PENDING": "pending",
    "FAILED": "failed",
    "CANCELLED": "canceled",
}
_ARN = "acquirer_reference_number"
_CAPTURED = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")  # of a capture: the money was taken
_NO_CAPTURE = ("DECLINED", "FAILED")


def refund_state(refund: Json) -> RefundState:
    """A refund as a RefundState. Raises Malformed.

    A status this version does not know, or none, counts as pending: nothing is concluded from it.
    """
    check_kind(refund, "refunds")
    amount, currency = money(refund, "amount")
    leg, epoch = marked(refund)
    status = _STATUSES.get(text(refund, "status"), "pending")
    why = text(part(refund, "status_details"), "reason")
    arn = code_text(refund, _ARN)  # of refunds to cards
    return RefundState(
        psp_refund_id=required_text(refund, "id"),
        status=status,
        amount=amount,
        currency=currency,
        leg=leg,
        epoch=epoch,
        failure_reason=why if status in ("failed", "canceled") else "",
        psp_at=moment(refund, "create_time"),
        psp_capture_id=link_to(refund, "captures", "up"),
        bank_reference=arn,
        bank_reference_type=_ARN if arn else "",
        settled=_settled(refund),
    )


def _settled(refund: Json) -> Settled | None:
    """What a refund took off the balance: `net_amount` is the gross less the fee that PayPal gave
    back, in the currency the account is kept in where that is another one. Its exchange rate is
    rounded, so it is not read."""
    told = part(refund, "seller_payable_breakdown")
    if told.get("platform_fees"):
        return None  # it left the payee's balance, which is not ours
    kept = "_in_receivable_currency" if "net_amount_in_receivable_currency" in told else ""
    try:
        net, currency = money(told, f"net_amount{kept}")
        fee, same = money(told, f"paypal_fee{kept}") if f"paypal_fee{kept}" in told else (0, "")
    except Malformed:
        return None  # the refund stands without them
    if same not in ("", currency):
        return None
    return Settled(text(refund, "id"), currency, net + fee, -fee)


def authorization_state(authorization: Json, currency: str) -> PaymentState:
    """An authorization as a PaymentState. Raises Malformed.

    It does not say how much of it was captured, and CAPTURED does not mean all of it (a final
    capture may take less): that is only in the order.
    """
    check_kind(authorization, "authorizations")
    authorized = amount_in(authorization, currency)
    status = required_text(authorization, "status")
    return PaymentState(
        authorized=authorized,
        captured=0 if status in ("CREATED", "PENDING") else -1,
        canceled=status in ("VOIDED", "DENIED"),
        capturable={"CREATED": authorized, "PARTIALLY_CAPTURED": -1}.get(status, 0),
    )


def order_state(
    order: Json, psp_payment_id: str, currency: str
) -> tuple[PaymentState, tuple[RefundState, ...]]:
    """What an order says of one of its payments, and the refunds of that payment. Raises Malformed:
    what is missing here would count as never captured or never refunded.

    The payment is a capture, or an authorization: then all captures of its purchase unit are its,
    those of a reauthorization too.
    """
    for unit in parts(order, "purchase_units") or []:
        payments = _object(unit, "payments")
        held, captures, refunds = (
            _list(payments, key) for key in ("authorizations", "captures", "refunds")
        )
        for authorization in held:
            if text(authorization, "id") == psp_payment_id:
                state = _authorized(authorization, captures, refunds, currency)
                return state, tuple(refund_state(refund) for refund in refunds)
        for capture in captures:
            if text(capture, "id") == psp_payment_id:
                known = [r for r in refunds if _is_of(r, psp_payment_id, len(captures) == 1)]
                state = _captured([capture], known, currency)
                return state, tuple(refund_state(refund) for refund in known)
    raise Malformed(f"the order holds no payment {psp_payment_id[:40]!r}")


def _is_of(refund: Json, capture_id: str, only: bool) -> bool:
    """Whether a refund is of this capture: it says so, or there is no other."""
    named = link_to(refund, "captures", "up")
    if not named and not only:
        raise Malformed("a refund does not say of which capture it is")
    return named in (capture_id, "")


def _captured(captures: list[Json], refunds: list[Json], currency: str) -> PaymentState:
    """What was taken, and what of it went back: the refunds that are listed, or all of a capture
    that says so itself (whether a reversal by PayPal is listed as a refund is not documented)."""
    taken = [c for c in captures if capture_status(c) in _CAPTURED]
    emptied = [c for c in taken if capture_status(c) == "REFUNDED"]
    listed = [r for r in refunds if text(r, "status") == "COMPLETED"]
    totals = [
        sum(amount_in(item, currency) for item in items) for items in (taken, emptied, listed)
    ]
    named = tuple(
        CaptureState(required_text(c, "id"), amount_in(c, currency), currency) for c in taken
    )
    return PaymentState(captured=totals[0], refunded=max(totals[1:]), captures=named)


def _authorized(
    authorization: Json, captures: list[Json], refunds: list[Json], currency: str
) -> PaymentState:
    plain = authorization_state(authorization, currency)
    state = _captured(captures, refunds, currency)
    standing = [c for c in captures if capture_status(c) not in _NO_CAPTURE]
    ended = any(flag(capture, "final_capture") is True for capture in standing)
    rest = max(0, plain.authorized - state.captured)
    return msgspec.structs.replace(
        state,
        authorized=plain.authorized,
        canceled=plain.canceled and not standing,
        capturable=0 if ended or plain.capturable == 0 else rest,
    )


def capture_status(capture: Json) -> str:
    """The status of a capture. Raises Malformed."""
    check_kind(capture, "captures")
    return required_text(capture, "status")


def _object(source: Json, key: str) -> Json:
    if not isinstance(source.get(key), dict | None):
        raise Malformed(f"{key} is not an object")
    return part(source, key)


def _list(source: Json, key: str) -> list[Json]:
    found = parts(source, key)
    if found is None and source.get(key) is not None:
        raise Malformed(f"{key} is not a list")
    return found or []
