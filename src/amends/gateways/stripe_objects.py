"""Stripe's objects and amounts in our words.

Amounts: Stripe counts in units of its own (docs.stripe.com/currencies), which differ from ISO 4217
for ISK and UGX (Stripe two decimals, ISO none) and MGA (Stripe none, ISO two); three-decimal
currencies end in 0. Everything outside this file is in ISO 4217 minor units, upper-case codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from amends.gateways.codecs import (
    Json,
    Malformed,
    blank_cards,
    code_text,
    flag,
    instant,
    part,
    required_text,
    required_whole,
    text,
    whole,
)
from amends.gateways.spec import Unwritable
from amends.kernel.currency import EXPONENT
from amends.kernel.outcome import PaymentState, RefundState, RefundStatus, Settled

_WIRE_ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_WIRE_TWO_THOUGH_ISO_NONE = "ISK UGX"
_WIRE_THREE = "BHD JOD KWD OMR TND"

WIRE_EXPONENT: dict[str, int] = {
    **{code: 2 for code, iso in EXPONENT.items() if iso == 2},
    **dict.fromkeys(_WIRE_ZERO.split(), 0),
    **dict.fromkeys(_WIRE_TWO_THOUGH_ISO_NONE.split(), 2),
    **dict.fromkeys(_WIRE_THREE.split(), 3),
}

# In ISO 4217 minor units: what an amount must be a multiple of for Stripe to carry it.
MULTIPLE_OF: Mapping[str, int] = {**dict.fromkeys(_WIRE_THREE.split(), 10), "MGA": 100}

_TENS = (1, 10, 100)

_STATUSES: tuple[RefundStatus, ...] = get_args(RefundStatus)

_SECRETS = re.compile(
    r"\b(?:[srp]k_(?:live|test)_|whsec_)[\w+/=-]+|\b(?:pi|seti)_\w+_secret_\w+", re.ASCII
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.+/=~-]+", re.ASCII)


def to_wire(minor: int, currency: str) -> int:
    """An amount in Stripe's units. Raises Unwritable if Stripe cannot carry it exactly."""
    if currency not in WIRE_EXPONENT:
        raise Unwritable(f"Stripe carries no {currency}")
    if minor <= 0:
        raise Unwritable(f"Stripe carries no amount of {minor}")
    step = MULTIPLE_OF.get(currency, 1)
    if minor % step:
        raise Unwritable(f"Stripe carries {currency} only in multiples of {step} minor units")
    shift = WIRE_EXPONENT[currency] - EXPONENT[currency]
    return minor * _TENS[shift] if shift >= 0 else minor // _TENS[-shift]


def from_wire(amount: int, currency: str) -> int:
    """Stripe's amount in ISO 4217 minor units of the upper-case `currency`. Raises Malformed."""
    if currency not in WIRE_EXPONENT:
        raise Malformed(f"currency {currency[:8]!r} is not one Stripe and ISO 4217 share")
    shift = WIRE_EXPONENT[currency] - EXPONENT[currency]
    if shift <= 0:
        return amount * _TENS[-shift]
    minor, rest = divmod(amount, _TENS[shift])
    if rest:
        raise Malformed(f"{amount} of {currency} is not a whole number of its minor units")
    return minor


def currency_of(source: Json) -> str:
    """The object's currency in upper case. Raises Malformed."""
    return required_text(source, "currency").upper()


def amount_of(source: Json, key: str) -> int:
    """The amount under `key`, not below 0, in ISO minor units of the object's currency. Raises
    Malformed."""
    amount = required_whole(source, key)
    if amount < 0:
        raise Malformed(f"{key} is negative")
    return from_wire(amount, currency_of(source))


def refund_state(refund: Json) -> RefundState:
    """A refund object as a RefundState. Raises Malformed.

    A status this version does not know, or none, counts as pending: nothing is concluded from it.
    """
    if text(refund, "object") not in ("refund", ""):
        raise Malformed("object is not a refund")
    marks = part(refund, "metadata")
    return RefundState(
        psp_refund_id=required_text(refund, "id"),
        status=_refund_status(refund),
        amount=amount_of(refund, "amount"),
        currency=currency_of(refund),
        leg=text(marks, "amends_leg"),
        epoch=_epoch(text(marks, "amends_epoch")),
        failure_reason=text(refund, "failure_reason"),
        psp_at=instant(refund, "created"),
        settled=_settled(refund),
        **_traces(refund),
    )


def _settled(refund: Json) -> Settled | None:
    """What a refund took off the balance, in the currency the account settles in: told where its
    balance transaction is expanded, which it is in no event."""
    line = part(refund, "balance_transaction")
    if line:
        return settled(text(line, "id"), [line])
    name = text(refund, "balance_transaction")
    return Settled(name) if name else None


def settled(name: str, lines: list[Json]) -> Settled | None:
    """What lines of the balance come to together: what they took, fees apart, and the fees. None if
    they do not say, or are in several currencies. Their exchange rate is rounded, so it is not
    read: the amounts are exact."""
    currencies = {text(line, "currency").upper() for line in lines}
    amounts = [(whole(line, "amount"), whole(line, "fee")) for line in lines]
    if len(currencies) != 1 or any(amount is None for amount, _ in amounts):
        return None
    currency = currencies.pop()
    off = -sum(amount or 0 for amount, _ in amounts)
    fee = sum(fee or 0 for _, fee in amounts)
    try:
        return Settled(name, currency, from_wire(off, currency), from_wire(fee, currency))
    except Malformed:
        return None  # what is told stands without them


def _traces(refund: Json) -> dict[str, Any]:
    """Which way the money goes, and what a bank finds it by once that is there (for cards up to
    seven business days later; a reversal has none)."""
    details = part(refund, "destination_details")
    kind = code_text(details, "type")
    held = part(details, kind) if kind else {}
    way = code_text(held, "type")
    return {
        "destination": f"{kind}_{way}" if way not in ("", "refund") else kind,
        "bank_reference": code_text(held, "reference"),
        "bank_reference_type": code_text(held, "reference_type"),
    }


def moves_money(refund: Json) -> bool:
    """Whether a refund object stands for money given back, not for a released authorization.

    Stripe also makes refund objects for the part of an authorization that was never captured: when
    it expires (reason `expired_uncaptured_charge`) and when less is captured than was authorized.
    The latter say nothing but that they succeeded without touching the balance; a refund of ours
    carries our marks.
    """
    if text(refund, "reason") == "expired_uncaptured_charge":
        return False
    return not (
        text(refund, "status") == "succeeded"
        and "balance_transaction" in refund
        and refund["balance_transaction"] is None
        and not text(refund, "reason")
        and not part(refund, "metadata")
    )


def payment_state(payment: Json) -> PaymentState:
    """A PaymentIntent or a Charge as a PaymentState. Raises Malformed."""
    kind = text(payment, "object")
    if kind == "payment_intent":
        return _intent_state(payment)
    if kind == "charge":
        return charge_state(payment)
    raise Malformed(f"object is {kind[:40]!r}, not a payment")


def _intent_state(intent: Json) -> PaymentState:
    """`authorized` is only said where an authorization stands or stood (captured or capturable);
    what was refunded is only in the charge, when that is expanded."""
    status = required_text(intent, "status")
    held = status in ("requires_capture", "succeeded")
    charge = part(intent, "latest_charge")
    return PaymentState(
        authorized=amount_of(intent, "amount") if held else -1,
        captured=_said(intent, "amount_received"),
        refunded=charge_state(charge).refunded if charge else -1,
        canceled=status == "canceled",
        capturable=_said(intent, "amount_capturable"),
    )


def charge_state(charge: Json) -> PaymentState:
    """An authorized or captured charge. Raises Malformed.

    An uncaptured charge that expired or was canceled says refunded=true and amount_refunded=amount
    although no money moved: that is `canceled`, with nothing refunded.
    """
    authorized = amount_of(charge, "amount")
    if flag(charge, "captured") is False:
        return _uncaptured(charge, authorized)
    said = _said(charge, "amount_captured")  # absent before API version 2020-08-27
    captured = said if said >= 0 else authorized
    refunded = _refunded(_said(charge, "amount_refunded"), authorized, captured)
    return PaymentState(authorized=authorized, captured=captured, refunded=refunded)


def _uncaptured(charge: Json, authorized: int) -> PaymentState:
    released = flag(charge, "refunded") is True
    standing = text(charge, "status") == "succeeded" and not released
    return PaymentState(
        authorized=authorized,
        captured=0,
        refunded=0,
        canceled=released,
        capturable=authorized if standing else 0,
    )


def _refunded(said: int, authorized: int, captured: int) -> int:
    """What of `said` was given back. After a partial capture Stripe counts the released rest as
    refunded, at least in some API versions; where both readings are possible, -1 (not said)."""
    rest = authorized - captured
    if said <= 0 or rest <= 0 or said < rest:
        return said
    return said - rest if said > captured else -1


def _said(source: Json, key: str) -> int:
    return -1 if whole(source, key) is None else amount_of(source, key)


def _refund_status(refund: Json) -> RefundStatus:
    said = text(refund, "status")
    if said == "pending" and text(refund, "pending_reason") == "insufficient_funds":
        return "awaiting_funds"
    return next((status for status in _STATUSES if status == said), "pending")


def _epoch(mark: str) -> int:
    return int(mark) if mark.isascii() and mark.isdigit() and len(mark) < 10 else 0


def scrub(line: str) -> str:
    """`line` with API keys, signing secrets, client secrets and card numbers blanked, for logs."""
    return blank_cards(_BEARER.sub(r"\1 [secret]", _SECRETS.sub("[secret]", line)))
