"""Payments: made by a request or by the control API, captured on their own or left to run out."""

from typing import Any

import msgspec

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.adyen.books import Books
from amends.sim.adyen.errors import INVALID_AMOUNT, UNSUPPORTED_CURRENCY, invalid
from amends.sim.adyen.objects import CURRENCIES, Payment
from amends.sim.adyen.outcomes import expire
from amends.sim.adyen.requests import INVALID_FIELD, Capture, read


class Method(msgspec.Struct, kw_only=True):
    """What is paid with; of a card's details nothing is looked at but the brand."""

    type: str
    brand: str = "visa"


class Pay(Capture, kw_only=True):
    """`/payments`. `additional_data` may ask for the capture to be left to the merchant."""

    payment_method: Method
    return_url: str
    additional_data: dict[str, str] = msgspec.field(default_factory=dict)


def pay(books: Books, raw: bytes, origin: Origin) -> dict[str, Any]:
    """`POST /payments`: authorised at once. Raises Refusal."""
    asked = read(books, raw, Pay)
    if not asked.reference:
        raise invalid("A reference is required.", INVALID_FIELD)
    if not 1 <= asked.amount.value < 2**63:
        raise invalid("The amount is not one that can be paid.", INVALID_AMOUNT)
    if asked.amount.currency not in CURRENCIES:
        raise invalid("The currency is not offered.", UNSUPPORTED_CURRENCY)
    kind = asked.payment_method.type
    payment = Payment(
        psp_reference=origin.request_id or books.new_reference(),
        reference=asked.reference,
        amount=asked.amount.value,
        currency=asked.amount.currency,
        method=asked.payment_method.brand if kind == "scheme" else kind,
        multicapture=False,
        open=asked.amount.value,
    )
    manual = asked.additional_data.get("manualCapture") == "true"
    enter(books, payment, None if manual else payment.amount, origin)
    return {
        "pspReference": payment.psp_reference,
        "resultCode": "Authorised",
        "amount": {"currency": payment.currency, "value": payment.amount},
        "merchantReference": payment.reference,
    }


def enter(
    books: Books, payment: Payment, taken: int | None, origin: Origin, *, announce: bool = True
) -> None:
    """Put an authorised payment on the books; `taken` is captured of it as Adyen does on its own,
    with no request and no CAPTURE webhook."""
    name = payment.psp_reference
    books.by_reference[name] = payment
    if announce:
        group, amount = origin.request_id, payment.amount
        books.emit("AUTHORISATION", payment, name, amount, group=group, modifies=False)
    if taken is not None:
        made = books.add("capture", payment, "", taken, BY_OTHERS)
        made.status = "succeeded"
        payment.captured = taken
        payment.open = payment.amount - taken if payment.multicapture else 0
    if payment.open:
        books.later(books.settings.authorization_age_s, lambda: expire(books, payment))
