"""What may be asked of a payment, field by field as in Checkout v71 and v72, and taking it up.

Fields of Adyen's that no refund needs (airline data, sub-merchants) are refused as unknown.
"""

from typing import Any, Literal, TypeVar

import msgspec

from amends.sim.account import Origin
from amends.sim.adyen.books import Books
from amends.sim.adyen.errors import (
    INVALID_AMOUNT,
    NO_AMOUNT,
    NO_SUCH_PAYMENT,
    UNKNOWN_ACCOUNT,
    UNSUPPORTED_CURRENCY,
    Refusal,
    invalid,
    unreadable,
)
from amends.sim.adyen.objects import CURRENCIES, METHOD_NEEDS_LINES, Kind, Modification, Payment
from amends.sim.adyen.outcomes import begin

REFERENCE_LENGTH = 80
INVALID_FIELD = "130"


class _Strict(
    msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True, rename="camel"
):
    """An object of which every field is known."""


class Amount(_Strict, kw_only=True):
    """In Adyen's minor units."""

    currency: str
    value: int


class Named(_Strict, kw_only=True):
    """A piece of software."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    version: str | msgspec.UnsetType = msgspec.UNSET


class ApplicationInfo(_Strict, kw_only=True):
    """Who asks."""

    adyen_library: Named | msgspec.UnsetType = msgspec.UNSET
    adyen_payment_source: Named | msgspec.UnsetType = msgspec.UNSET
    merchant_application: Named | msgspec.UnsetType = msgspec.UNSET


class LineItem(_Strict, kw_only=True):
    """One item that goes back."""

    amount_excluding_tax: int | msgspec.UnsetType = msgspec.UNSET
    amount_including_tax: int | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET
    image_url: str | msgspec.UnsetType = msgspec.UNSET
    item_category: str | msgspec.UnsetType = msgspec.UNSET
    product_url: str | msgspec.UnsetType = msgspec.UNSET
    quantity: int | msgspec.UnsetType = msgspec.UNSET
    sku: str | msgspec.UnsetType = msgspec.UNSET
    tax_amount: int | msgspec.UnsetType = msgspec.UNSET
    tax_percentage: int | msgspec.UnsetType = msgspec.UNSET


class _Asked(_Strict, kw_only=True):
    merchant_account: str
    reference: str | msgspec.UnsetType = msgspec.UNSET
    application_info: ApplicationInfo | msgspec.UnsetType = msgspec.UNSET


class Cancel(_Asked, kw_only=True):
    """`/payments/…/cancels` and `/payments/…/reversals`."""


class TechnicalCancel(_Asked, kw_only=True):
    """`/cancels`."""

    payment_reference: str


class Capture(_Asked, kw_only=True):
    """`/payments/…/captures`."""

    amount: Amount
    line_items: list[LineItem] | msgspec.UnsetType = msgspec.UNSET


class SplitAmount(_Strict, kw_only=True):
    """Of one item of a split, in Adyen's minor units."""

    value: int
    currency: str | msgspec.UnsetType = msgspec.UNSET


class Split(_Strict, kw_only=True):
    """What one account bears of a refund, or the platform."""

    type: Literal["BalanceAccount", "Commission", "Default", "Remainder", "PaymentFee"]
    amount: SplitAmount
    account: str | msgspec.UnsetType = msgspec.UNSET
    reference: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET


Reason = Literal["FRAUD", "CUSTOMER REQUEST", "RETURN", "DUPLICATE", "OTHER"]


class Refund(Capture, kw_only=True):
    """`/payments/…/refunds`."""

    merchant_refund_reason: Reason | msgspec.UnsetType | None = msgspec.UNSET
    capture_psp_reference: str | msgspec.UnsetType = msgspec.UNSET
    store: str | msgspec.UnsetType = msgspec.UNSET
    splits: list[Split] | msgspec.UnsetType = msgspec.UNSET


S = TypeVar("S", bound=_Asked)

# The last part of the path: what it asks for, and in which shape.
ACTIONS: dict[str, tuple[Kind, type[_Asked]]] = {
    "refunds": ("refund", Refund),
    "captures": ("capture", Capture),
    "cancels": ("cancel", Cancel),
    "reversals": ("reversal", Cancel),
}


def modify(books: Books, action: str, name: str, raw: bytes, origin: Origin) -> dict[str, Any]:
    """`POST /payments/{name}/{action}`. Raises Refusal."""
    kind, shape = ACTIONS[action]
    asked = read(books, raw, shape)
    payment = books.by_reference.get(name)
    if payment is None:
        raise invalid("There is no payment with this pspReference.", NO_SUCH_PAYMENT)
    amount = _amount(payment, asked.amount) if isinstance(asked, Capture) else 0
    if isinstance(asked, Refund):
        _check_refund(payment, asked)
    change = books.add(kind, payment, asked.reference or "", amount, origin)
    if isinstance(asked, Refund) and asked.splits:
        change.borne = {s.account: s.amount.value for s in asked.splits if s.account}
    begin(books, change)
    return _received(asked, change) | {"paymentPspReference": name}


def cancel_by_reference(books: Books, raw: bytes, origin: Origin) -> dict[str, Any]:
    """`POST /cancels`: taken up whether or not there is such a payment. Raises Refusal."""
    asked = read(books, raw, TechnicalCancel)
    named = asked.payment_reference
    payment = next((p for p in books.by_reference.values() if p.reference == named), None)
    if payment is None:
        nobody = Payment(
            psp_reference="",
            reference=named,
            amount=0,
            currency="EUR",
            method="",
            multicapture=False,
            open=0,
        )
        psp_reference = origin.request_id or books.new_reference()
        books.later(
            books.settings.outcome_delay_s,
            lambda: books.emit(
                "TECHNICAL_CANCEL",
                nobody,
                psp_reference,
                0,
                group=origin.request_id,
                modifies=False,
                success=False,
                reason="The payment was not found",
            ),
            origin.request_id,
        )
        return _answer(asked, psp_reference)
    change = books.add("technical_cancel", payment, asked.reference or "", 0, origin)
    begin(books, change)
    return _received(asked, change)


def _received(asked: _Asked, change: Modification) -> dict[str, Any]:
    return _answer(asked, change.psp_reference)


def _answer(asked: _Asked, psp_reference: str) -> dict[str, Any]:
    """What was asked, given back, with the reference under which it was taken up."""
    said: dict[str, Any] = msgspec.to_builtins(asked)
    said.pop("applicationInfo", None)
    return said | {"pspReference": psp_reference, "status": "received"}


def read(books: Books, raw: bytes, shape: type[S]) -> S:
    """What was asked, in its shape and of this merchant account. Raises Refusal."""
    try:
        sent = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise unreadable(f"The body is not a JSON object: {error}") from error
    if issubclass(shape, Capture) and sent.get("amount") is None:
        raise invalid("An amount is required, for the full amount too.", NO_AMOUNT)
    try:
        asked = msgspec.convert(sent, shape)
    except msgspec.ValidationError as error:
        raise unreadable(f"{error}") from error
    if asked.merchant_account != books.merchant_account:
        said = "This API key may not use this merchant account."
        raise Refusal(403, said, UNKNOWN_ACCOUNT, "security")
    if len(asked.reference or "") > REFERENCE_LENGTH:
        raise invalid(f"reference has at most {REFERENCE_LENGTH} characters.", INVALID_FIELD)
    return asked


def _amount(payment: Payment, amount: Amount) -> int:
    if amount.value < 1 or amount.value >= 2**63:
        raise invalid("The amount is not one that can be moved.", INVALID_AMOUNT)
    if amount.currency not in CURRENCIES or amount.currency != payment.currency:
        raise invalid("The currency is not that of the payment.", UNSUPPORTED_CURRENCY)
    return amount.value


def _check_refund(payment: Payment, asked: Refund) -> None:
    partial = asked.amount.value < (payment.captured or payment.amount)
    if payment.method in METHOD_NEEDS_LINES and partial and not asked.line_items:
        raise invalid(f"Partial refunds of {payment.method} need lineItems.", INVALID_FIELD)
    if asked.splits:
        _check_splits(payment, asked.splits, asked.amount.value)
    if asked.capture_psp_reference is msgspec.UNSET:
        return
    known = {change.psp_reference for change in payment.captures("succeeded")}
    if payment.method != "paypal" or asked.capture_psp_reference not in known:
        raise invalid("capturePspReference names no capture of a PayPal payment.", INVALID_FIELD)


def _check_splits(payment: Payment, splits: list[Split], amount: int) -> None:
    """They come to the amount of the refund, each with the account it is of."""
    if sum(item.amount.value for item in splits) != amount:
        raise invalid("The split amounts do not come to the amount of the refund.", INVALID_FIELD)
    for item in splits:
        if item.amount.value < 1 or item.amount.currency not in (msgspec.UNSET, payment.currency):
            raise invalid("A split has an amount in the currency of the payment.", INVALID_FIELD)
        if (item.type == "BalanceAccount") != bool(item.account):
            raise invalid("An account goes with BalanceAccount, and only with it.", INVALID_FIELD)
