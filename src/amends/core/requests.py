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

SellerAccount = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
PlatformFee = Literal["proportional", "full", "keep"]
BelowMinimum = Literal["refuse", "hold", "credit"]

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


Taxes = Annotated[tuple[TaxIn, ...], Meta(max_length=20)]


class DiscountIn(_Body, frozen=True):
    """What was taken off one line or shipping charge, in the terms of the order's prices; `of` is
    the id of a discount or promotion of the order. `taxes` are those that would be charged on it;
    left out, they are in proportion to those of what it was taken off."""

    amount: PositiveAmount
    of: Text = ""
    title: Text = ""
    taxes: Taxes = ()


Discounts = Annotated[tuple[DiscountIn, ...], Meta(max_length=20)]


Time = Annotated[str, Meta(max_length=40)]  # RFC 3339


class SpanIn(_Body, frozen=True):
    """From `start` to `end`, not included."""

    start: Time
    end: Time


class PeriodIn(_Body, frozen=True):
    """The time a line was paid for, reckoned `by` seconds or by days of 24 hours from its start.

    `paid_by_credit`: what was paid for it by proration credit, tax included, beside the line's
    total. `credited`: the time for which such a credit was granted, to be used elsewhere.
    """

    start: Time
    end: Time
    by: Literal["second", "day"] = "second"
    paid_by_credit: Amount = 0
    credited: Annotated[tuple[SpanIn, ...], Meta(max_length=100)] = ()


class UnusedIn(_Body, frozen=True):
    """Time of a line's period that was not used: from `start`, when the service ended, to `end`,
    or to the end of the period."""

    line: Name
    start: Time
    end: Time | None = None


class LineIn(_Body, frozen=True):
    """A line of the order. `total` is what the customer paid for all units after discounts,
    `subtotal` what it was before; `discount` is the sum of `discounts` where both are said. `cost`
    is what all units cost the merchant, in the currency of the books."""

    id: Name
    quantity: Quantity
    total: Amount
    sku: Text = ""
    title: Text = ""
    discount: Amount = 0
    taxes: Taxes = ()
    fulfilled: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    subtotal: Amount | None = None
    discounts: Discounts = ()
    seller: SellerAccount | None = None  # who sold it, if not the platform itself
    period: PeriodIn | None = None
    cost: Amount | None = None
    category: Text = ""  # what kind of goods: each has its own usual share of refunds
    access: bool = False  # a licence, a file or a seat: it ends with its refund


class ShippingIn(_Body, frozen=True):
    """A shipping charge, paid once. `standard` is what the least expensive standard delivery would
    have cost, tax as in `total`: all that a statutory withdrawal gives back of a dearer one."""

    id: Name
    total: Amount
    title: Text = ""
    taxes: Taxes = ()
    subtotal: Amount | None = None
    discounts: Discounts = ()
    standard: Amount | None = None
    seller: SellerAccount | None = None


ChargeKind = Literal["gift_wrap", "handling", "duties", "tip", "other"]


class ChargeIn(_Body, frozen=True):
    """Anything else the customer paid for. One that is not `refundable` is kept unless the sale as
    a whole is undone (cancelled, duplicate, fraud) or withdrawn from by law."""

    id: Name
    kind: ChargeKind
    total: Amount
    title: Text = ""
    taxes: Taxes = ()
    refundable: bool = True


class OrderDiscountIn(_Body, frozen=True):
    """A discount on the order as a whole, apportioned by the shop: the `discounts` of lines and
    shipping that are `of` it come to `amount`."""

    id: Name
    amount: Amount
    title: Text = ""


BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
IfLost = Literal["clawback", "waive", "review"]


class TierIn(_Body, frozen=True):
    """What a smaller basket would have been given: `off_bp` (1/10,000) of it and `off`."""

    at_least: Amount
    off_bp: BasisPoints = 0
    off: Amount = 0


class PromotionIn(_Body, frozen=True):
    """A discount with a condition, as sold. What it took off is in the `discounts` that name it.

    A "threshold" or "free_shipping" needs a basket of `at_least` (in the order's prices, this
    promotion not taken off); `tiers` are what smaller baskets get. "buy_get": of every `buy` and
    `get` units the cheapest `get` are `off_bp` off. `lines` are those that count, else all do.
    `if_lost` is what becomes of it when a return breaks the condition; left out, the policy says.
    """

    id: Name
    kind: Literal["threshold", "free_shipping", "buy_get"]
    at_least: Amount = 0
    tiers: Annotated[tuple[TierIn, ...], Meta(max_length=20)] = ()
    buy: Annotated[int, Meta(ge=0, le=1000)] = 0
    get: Annotated[int, Meta(ge=0, le=1000)] = 0
    off_bp: BasisPoints = 10_000
    lines: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    if_lost: IfLost | None = None
    title: Text = ""


class TotalsIn(_Body, frozen=True):
    """The sums as the shop has them; each that is said is checked. `total` is what the customer
    paid for everything, tax included, and what the tenders come to."""

    lines: Amount | None = None
    shipping: Amount | None = None
    charges: Amount | None = None
    discounts: Amount | None = None
    taxes: Amount | None = None
    total: Amount | None = None


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


class SellerIn(_Body, frozen=True):
    """Whose sale a part of a payment was: their `account` at the provider, `amount` before the
    platform's `fee`. The references are those of the provider's bookings, where it wants them."""

    account: SellerAccount
    amount: PositiveAmount
    fee: Amount = 0
    reference: Text = ""
    fee_reference: Text = ""


class SettledIn(_Body, frozen=True):
    """What a capture brought on the balance at the provider, before fees, by its own figures."""

    amount: Amount
    currency: CurrencyCode


class TenderIn(_Body, frozen=True):
    """One way the order was paid. `amount` was promised, `captured` of it was taken; `method` is
    the provider's name for it ("visa", "klarna"), `settled` what `captured` came to there.
    `sellers` it was for; what none of them has is the platform's own. They were paid
    `with_payment`, by the provider, or apart from it. `reference` is what the shop calls a gift
    card or a balance of store credit: an id, never the code that spends it."""

    amount: Amount
    kind: Literal["payment", "gift_card", "store_credit"] = "payment"
    connection: Text = ""
    psp_payment_id: Text = ""
    captured: Amount = 0
    psp: PspIn = PspIn()
    method: Text = ""
    sellers: Annotated[tuple[SellerIn, ...], Meta(max_length=50)] = ()
    sellers_paid: Literal["with_payment", "apart"] = "with_payment"
    reference: Annotated[str, Meta(max_length=255)] = ""
    settled: SettledIn | None = None


class CustomerIn(_Body, frozen=True):
    """Who bought. Only `id`, `country` and `since`, when the account was made, reach the order; the
    rest is kept in `people`."""

    id: Name
    email: Text = ""
    name: Text = ""
    country: Text = ""
    since: Time = ""


class SignalsIn(_Body, frozen=True):
    """By what an order can be told to be of the same card, address or device as another: any text
    that is the same for the same one. Only its SHA-256 is kept. `address_mismatch`: it is sent
    elsewhere than it is billed to."""

    card: Text = ""
    address: Text = ""
    device: Text = ""
    address_mismatch: bool | None = None


Tracking = Literal["none", "in_transit", "delivered", "returned", "lost"]


class DeliveryIn(_Body, frozen=True):
    """What the carrier says of the parcel: when it was delivered, and how far it is."""

    delivered_at: Time = ""
    tracking: Tracking | None = None


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
    charges: Annotated[tuple[ChargeIn, ...], Meta(max_length=50)] = ()
    discounts: Annotated[tuple[OrderDiscountIn, ...], Meta(max_length=50)] = ()
    promotions: Annotated[tuple[PromotionIn, ...], Meta(max_length=50)] = ()
    totals: TotalsIn | None = None
    invoice: Text = ""  # the number of the order's own invoice, for the credit notes that follow
    signals: SignalsIn | None = None
    delivery: DeliveryIn | None = None
    expires_at: Time = ""  # of a checkout that is not completed: then all of it goes back


PayoutWay = Literal["transfer", "store_credit"]

# Why a person decides as they do; training learns from the first three of the second list, and from
# the first two of the first.
ApproveReason = Literal["as_asked", "verified", "goodwill", "exception"]
DeclineReason = Literal[
    "abuse",
    "goods_not_as_sent",
    "goods_not_returned",
    "outside_policy",
    "not_eligible",
    "duplicate_request",
    "no_proof",
    "customer_withdrew",
    "already_compensated",
    "other",
]


class LinePick(_Body, frozen=True):
    """So many units of one line."""

    id: Name
    quantity: Quantity


class LineAmount(_Body, frozen=True):
    """So much off the price of one line, whose units stay with the customer."""

    id: Name
    amount: PositiveAmount


class ChargePick(_Body, frozen=True):
    """One charge: so much of it, or all that is left."""

    id: Name
    amount: PositiveAmount | None = None


Allocation = Literal["card_first", "proportional", "last_in_first_out"]


class TenderPick(_Body, frozen=True):
    """So much of a refund on one tender, named by its id here, by its provider's id of the payment
    or by the reference of the gift card."""

    id: Name
    amount: PositiveAmount


# A "reduction" is what was agreed not to be given back.
FeeKind = Literal["restocking", "return_label", "handling", "reduction"]


class FeeIn(_Body, frozen=True):
    """What is kept back of a refund, tax included. Without `taxes` it holds tax in proportion to
    what it is kept back from; an empty list: none."""

    kind: FeeKind
    amount: PositiveAmount
    taxes: Taxes | None = None


class RefundIn(_Body, frozen=True):
    """`POST /v1/refunds` and `/v1/quotes`: give money back for an order.

    One of `order`, `payment`, `quote` names what (a quote may name its order too, and the `hash` it
    was shown with); `lines`, `adjustments`, `shipping` and `charges`, or `amount`, say how much;
    none of them means all that is left. `fees` are kept back; left out, the policy says which.
    `statutory`: a withdrawal that the law grants. `goodwill` as "compensation" leaves the price and
    its tax as they are. `promotions`: "waive" takes nothing back of what a return loses. `tenders`
    says which of the ways the order was paid gives how much, by a rule or one by one. `consent` is
    where it is recorded that the customer takes store credit, should the money not arrive.
    `platform_fee`: what becomes of the platform's fee on sellers' sales; else the policy says.
    `unused` time of a line's period gives back what of its price goes with it.
    """

    order: Name | OrderKey | None = None
    payment: PaymentKey | None = None
    quote: Name | None = None
    reason: RefundReason = "return"
    lines: Annotated[tuple[LinePick, ...], Meta(max_length=1000)] = ()
    shipping: Literal["none", "full", "proportional"] | PositiveAmount = "none"
    amount: PositiveAmount | None = None
    currency: CurrencyCode | None = None
    note: Note = ""
    adjustments: Annotated[tuple[LineAmount, ...], Meta(max_length=1000)] = ()
    charges: Literal["none", "full"] | Annotated[tuple[ChargePick, ...], Meta(max_length=50)] = (
        "none"
    )
    fees: Annotated[tuple[FeeIn, ...], Meta(max_length=10)] | None = None
    goodwill: Literal["price_reduction", "compensation"] = "price_reduction"
    promotions: Literal["policy", "waive"] = "policy"
    statutory: bool = False
    hash: Text = ""
    platform_fee: PlatformFee | None = None
    unused: Annotated[tuple[UnusedIn, ...], Meta(max_length=100)] = ()
    tenders: (
        Literal["policy"]
        | Allocation
        | Annotated[tuple[TenderPick, ...], Meta(min_length=1, max_length=20)]
    ) = "policy"
    consent: Text = ""

    @property
    def by_parts(self) -> bool:
        """Whether it names parts of the order."""
        named = self.shipping != "none" or self.charges != "none"
        return named or bool(self.lines or self.adjustments or self.unused)

    @property
    def wants_all(self) -> bool:
        """Whether it is for all that is left."""
        return self.amount is None and not self.by_parts
