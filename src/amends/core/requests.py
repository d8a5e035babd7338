"""What may be asked: the bodies of `POST /v1/orders`, `/v1/quotes` and `/v1/refunds`.

Amounts are integers in the minor unit of the order's currency. The same structs come in by REST,
by Standard Webhooks, by CLI and by import; field names are promised and only grow.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

AMOUNT_MAX = 10**15  # minor units; keeps every sum of a batch inside a signed 64-bit integer

Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
PositiveAmount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=500)]
Note = Annotated[str, Meta(max_length=5000)]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$")]

RefundReason = Literal[
    "return",
    "not_received",
    "damaged",
    "wrong_item",
    "out_of_stock",
    "cancelled",
    "duplicate",
    "fraud",
    "goodwill",
    "price_adjustment",
    "subscription",
]


class _Body(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A misspelt field is an error, not a silent default: money hangs on it."""


class OrderKey(_Body, frozen=True):
    """An order by the name its shop gave it."""

    connection: Name
    order_id: Name


class PaymentKey(_Body, frozen=True):
    """A payment by the name its provider gave it."""

    connection: Name
    psp_payment_id: Name


class TaxIn(_Body, frozen=True):
    """One tax contained in (or added to) a total; `rate` is for people, `amount` is what counts."""

    name: Name
    amount: Amount
    rate: Text = ""


class LineIn(_Body, frozen=True):
    """A line of the order. `total` is what the customer paid for all units after discounts."""

    id: Name
    quantity: Quantity
    total: Amount
    sku: Text = ""
    title: Text = ""
    discount: Amount = 0
    taxes: Annotated[tuple[TaxIn, ...], Meta(max_length=20)] = ()
    fulfilled: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class ShippingIn(_Body, frozen=True):
    """A shipping charge, paid once."""

    id: Name
    total: Amount
    title: Text = ""
    taxes: Annotated[tuple[TaxIn, ...], Meta(max_length=20)] = ()


class CaptureIn(_Body, frozen=True):
    """One capture of a payment that has several."""

    id: Name
    amount: PositiveAmount


class PspIn(_Body, frozen=True):
    """A provider's further ids of one payment, where one id is not enough."""

    order: Text = ""
    authorization: Text = ""
    charge: Text = ""
    captures: Annotated[tuple[CaptureIn, ...], Meta(max_length=100)] = ()


class TenderIn(_Body, frozen=True):
    """One way the order was paid. `amount` was promised, `captured` of it was taken; `method` is
    the provider's name for it ("visa", "klarna")."""

    amount: Amount
    kind: Literal["payment", "gift_card", "store_credit"] = "payment"
    connection: Text = ""
    psp_payment_id: Text = ""
    captured: Amount = 0
    psp: PspIn = PspIn()
    method: Text = ""


class CustomerIn(_Body, frozen=True):
    """Who bought. Only `id` and `country` reach the order; the rest is kept in `people`."""

    id: Name
    email: Text = ""
    name: Text = ""
    country: Text = ""


class OrderIn(_Body, frozen=True):
    """`POST /v1/orders`: what was bought and how it was paid."""

    source: OrderKey
    currency: CurrencyCode
    lines: Annotated[tuple[LineIn, ...], Meta(max_length=1000)]
    tenders: Annotated[tuple[TenderIn, ...], Meta(min_length=1, max_length=20)]
    version: Annotated[int, Meta(ge=1, le=2**53)] = 1
    placed_at: Annotated[str, Meta(max_length=40)] = ""
    prices_include_tax: bool = True
    customer: CustomerIn | None = None
    shipping: Annotated[tuple[ShippingIn, ...], Meta(max_length=20)] = ()
    entity: Name = "main"
    invoice: Text = ""  # the number of the order's own invoice, for the credit notes that follow


PayoutWay = Literal["transfer", "store_credit"]


class LinePick(_Body, frozen=True):
    """So many units of one line."""

    id: Name
    quantity: Quantity


class RefundIn(_Body, frozen=True):
    """`POST /v1/refunds` and `/v1/quotes`: give money back for an order.

    Exactly one of `order`, `payment`, `quote` names what; `lines` (with `shipping`) or `amount` say
    how much; neither means all that is left.
    """

    order: Name | OrderKey | None = None
    payment: PaymentKey | None = None
    quote: Name | None = None
    reason: RefundReason = "return"
    lines: Annotated[tuple[LinePick, ...], Meta(max_length=1000)] = ()
    shipping: Literal["none", "full"] | PositiveAmount = "none"
    amount: PositiveAmount | None = None
    currency: CurrencyCode | None = None
    note: Note = ""
