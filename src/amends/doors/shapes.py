"""The shapes of answers, and of the small bodies that only doors know.

The answers themselves are made by engine/views.py; these structs are what the OpenAPI document
says of them, and a test converts every answer into its struct.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from amends.core.order import TenderKind
from amends.core.requests import ChargeKind, FeeKind, IfLost, PayoutWay
from amends.doors.shapes_goods import CancelledLine, Return, ShopRefund
from amends.doors.shapes_told import Delivery, Signals, When

READ = ("read", "orders:write", "refunds:write", "refunds:approve")

Date = Annotated[str, Meta(extra_json_schema={"format": "date"})]
LegState = Literal[
    "sending",
    "unknown",
    "pending",
    "requires_action",
    "awaiting_funds",
    "succeeded",
    "failed",
    "canceled",
]
RefundState = Literal[
    "review",
    "approved",
    "declined",
    "held",
    "combined",
    "awaiting_return",
    "parked",
    "sending",
    "unknown",
    "pending",
    "requires_action",
    "awaiting_funds",
    "succeeded",
    "failed",
    "canceled",
]


Reference = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]


class PayoutIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the customer was paid by other means: the `reference` of that payment, an id and no
    name. For store credit also where the customer's `consent` is recorded. `shown` as for an
    approval."""

    reference: Reference
    way: PayoutWay = "transfer"
    consent: Reference | None = None
    shown: Annotated[str, Meta(max_length=255)] = ""


class UnparkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the order may go on; only its hash goes on the trail."""

    why: Annotated[str, Meta(max_length=500)] = ""


class Problem(msgspec.Struct):
    """RFC 9457, and what a program needs of the case (`pointer`, `remaining`, `field`, …)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Source(msgspec.Struct):
    """An order by the name its shop gave it."""

    connection: str
    order_id: str


class Period(msgspec.Struct):
    """The time a line was paid for, and of it the time that was credited."""

    start: When
    end: When
    by: Literal["second", "day"]
    paid_by_credit: int
    credited: list[dict[str, When]]


class LineItem(msgspec.Struct):
    """A line of an order, and what of it was not given back."""

    id: str
    sku: str
    title: str
    quantity: int
    total: int
    remaining_quantity: int
    remaining: int
    seller: str | msgspec.UnsetType = msgspec.UNSET
    period: Period | msgspec.UnsetType = msgspec.UNSET
    category: str | msgspec.UnsetType = msgspec.UNSET


class ShippingItem(msgspec.Struct):
    """A shipping charge of an order, and what of it was not given back."""

    id: str
    title: str
    total: int
    remaining: int


class ChargeItem(msgspec.Struct):
    """Another charge of an order, and what of it was not given back."""

    id: str
    kind: ChargeKind
    title: str
    total: int
    refundable: bool
    remaining: int


class Promotion(msgspec.Struct):
    """A discount with a condition; `if_lost`: what becomes of it when a return breaks that."""

    id: str
    kind: str
    if_lost: IfLost


class Payment(msgspec.Struct):
    """The exposure on one payment; amounts in minor units. `uncaptured` is what captures took that
    failed later, `releasable` what of the authorization is neither captured nor released."""

    id: str
    order: str
    connection: str
    psp_payment_id: str
    currency: str
    authorized: int
    captured: int
    refunded: int
    pending: int
    credited: int
    external: int
    disputed: int
    uncaptured: int
    voided: int
    voiding: int
    releasable: int
    remaining: int
    kind: TenderKind


class Share(msgspec.Struct):
    """What a refund gives back for one line."""

    id: str
    quantity: int
    net: int
    tax: int


class NetTax(msgspec.Struct):
    """An amount and the tax beside it."""

    net: int
    tax: int


class Fee(msgspec.Struct):
    """What is kept back of a refund; negative: given back of what was kept back before."""

    kind: FeeKind
    net: int
    tax: int


class ChargeShare(msgspec.Struct):
    """What a refund gives back of another charge."""

    id: str
    net: int
    tax: int


class LostPromotion(msgspec.Struct):
    """What of promotion `id` on a line or shipping charge the return loses: kept back, unless it is
    `waived`. Negative: what an earlier return lost and this one gives back."""

    id: str
    net: int
    tax: int
    waived: bool
    line: str | msgspec.UnsetType = msgspec.UNSET
    shipping: str | msgspec.UnsetType = msgspec.UNSET


class Breakdown(msgspec.Struct):
    """Where an amount comes from: lines, shipping, charges, compensation and what nothing explains,
    less fees and lost promotions, sum to it exactly."""

    lines: list[Share]
    shipping: NetTax
    fees: list[Fee]
    charges: list[ChargeShare]
    promotions: list[LostPromotion]
    compensation: int
    unallocated: int


class UnusedTime(msgspec.Struct):
    """The time of a line's `period` that is given back, counted `by` seconds or days from its
    start: `unused` units from `start` on. `used` are those that were neither given back, now or
    before, nor credited. `credit` is what of the value was paid by proration credit, and so is not
    paid in money."""

    line: str
    by: Literal["second", "day"]
    period: int
    start: int
    end: int
    unused: int
    used: int
    credit: int


class SellerShare(msgspec.Struct):
    """What of it one seller bears: `amount`, less `fee` of the platform that goes back to him.
    `taken` is what the provider takes from him with the refund; the rest is owed."""

    account: str
    amount: int
    fee: int
    taken: int


class Days(msgspec.Struct):
    """Between which dates, UTC, the customer should see the money."""

    earliest: Date
    latest: Date


class Task(msgspec.Struct):
    """What a person has to do where no provider pays: `customer` is owed `amount`."""

    what: Literal["manual_payout"]
    amount: int
    currency: str
    customer: str | None
    why: str
    how: str


class Leg(msgspec.Struct):
    """One movement on one tender; `tender` is its id, and a gift card has no connection ("")."""

    id: str
    kind: Literal["refund", "void", "reversal", "credit", "manual"]
    connection: str
    psp_payment_id: str
    psp_refund_id: str | None
    amount: int
    state: LegState
    failure: str | None
    psp_release_id: str | None
    destination: str | None
    bank_reference: str | None
    bank_reference_type: str | None
    expected_by: Days | None
    tender: str
    tender_kind: TenderKind


class Risk(msgspec.Struct):
    """`score` from 0 to 1."""

    score: float
    model: str
    reasons: list[str]


class Decision(msgspec.Struct):
    """What the policy said, and which version of it: `code` and `says`, to the customer, are the
    row's; `sentence` is why, for who looks at it."""

    outcome: Literal["approve", "review", "decline"]
    policy: str
    rule: str
    risk: Risk
    code: str
    says: str
    sentence: str


class Refund(msgspec.Struct):
    """A request to give money back, and what became of it."""

    id: str
    order: str
    state: RefundState
    amount: int
    amount_succeeded: int
    currency: str
    reason: str
    breakdown: Breakdown
    legs: list[Leg]
    decision: Decision | None
    requested_by: str
    decided_by: str | None
    fallback_of: str | None
    shown: str | None
    decide_by: When | None
    created_at: When | None
    expected_by: Days | None
    task: Task | None
    fallbacks: list[str]
    sellers: list[SellerShare] | msgspec.UnsetType = msgspec.UNSET
    combined_in: str | msgspec.UnsetType = msgspec.UNSET
    statutory: bool | msgspec.UnsetType = msgspec.UNSET
    builds_on: list[str] | msgspec.UnsetType = msgspec.UNSET
    unused: list[UnusedTime] | msgspec.UnsetType = msgspec.UNSET


class ParkedRefund(msgspec.Struct):
    """A request that is kept until a person unparks its order."""

    id: str
    order: str
    state: Literal["parked"]
    currency: str
    detail: str


class Dispute(msgspec.Struct):
    """A chargeback or inquiry."""

    id: str
    payment: str
    amount: int
    status: str


class SellerPart(msgspec.Struct):
    """What of a payment was a seller's, before the platform's fee."""

    account: str
    amount: int
    fee: int


class Tender(msgspec.Struct):
    """One way the order was paid. `name` is its provider's id or the gift card's reference,
    `remaining` what it can still give back."""

    id: str
    kind: TenderKind
    name: str | None
    amount: int
    remaining: int
    sellers: list[SellerPart] | msgspec.UnsetType = msgspec.UNSET


class Order(msgspec.Struct):
    """An order, its payments and its refunds."""

    id: str
    source: Source
    version: int
    entity: str
    currency: str
    placed_at: When | None
    customer: str | None
    remaining: int
    cancelled: bool
    parked: str | None
    lines: list[LineItem]
    shipping: list[ShippingItem]
    charges: list[ChargeItem]
    promotions: list[Promotion]
    payments: list[Payment]
    refunds: list[Refund]
    disputes: list[Dispute]
    tenders: list[Tender]
    customer_since: When | msgspec.UnsetType = msgspec.UNSET
    signals: Signals | msgspec.UnsetType = msgspec.UNSET
    delivery: Delivery | msgspec.UnsetType = msgspec.UNSET
    expires_at: When | msgspec.UnsetType = msgspec.UNSET
    returns: list[Return] | msgspec.UnsetType = msgspec.UNSET
    cancelled_lines: list[CancelledLine] | msgspec.UnsetType = msgspec.UNSET
    shop_refunds: list[ShopRefund] | msgspec.UnsetType = msgspec.UNSET


class OrderItem(msgspec.Struct):
    """An order in a list."""

    id: str
    entity: str
    source: Source
    version: int
    currency: str
    remaining: int
    parked: str | None
    created_at: When
    updated_at: When


class OrderPage(msgspec.Struct):
    """A page."""

    items: list[OrderItem]
    next: str | None


class RefundItem(msgspec.Struct):
    """A refund in a list."""

    id: str
    order: str
    state: RefundState
    amount: int
    amount_succeeded: int
    currency: str
    reason: str
    requested_by: str
    created_at: When


class RefundPage(msgspec.Struct):
    """A page."""

    items: list[RefundItem]
    next: str | None


class QuotedTender(msgspec.Struct):
    """What would leave one tender, and how."""

    payment: str
    connection: str
    psp_payment_id: str
    kind: str
    amount: int
    tender_kind: TenderKind


class Quote(msgspec.Struct):
    """An amount that can be committed unchanged until `expires_at`."""

    id: str
    order: str
    amount: int
    currency: str
    breakdown: Breakdown
    tenders: list[QuotedTender]
    expires_at: When
    hash: str
    sellers: list[SellerShare] | msgspec.UnsetType = msgspec.UNSET
    unused: list[UnusedTime] | msgspec.UnsetType = msgspec.UNSET


class Event(msgspec.Struct):
    """One link of an audit chain."""

    stream: str
    seq: int
    at: When
    type: str
    actor: str
    fact: str
    body: dict[str, Any]
    previous: str
    hash: str


class EventPage(msgspec.Struct):
    """A page."""

    items: list[Event]
    next: str | None


class Posting(msgspec.Struct):
    """One line of an entry: debit positive."""

    account: str
    amount: int
    functional: int


class Settled(msgspec.Struct):
    """What a provider's own figures say came off the balance there, and the fee besides."""

    currency: str
    amount: int = 0
    fee: int = 0
    id: str = ""


class Worth(msgspec.Struct):
    """What a movement was worth in the functional currency: by the rate of a `source` and `day`,
    or by the provider's figures (`settled`), then `source` is the connection."""

    functional: int
    source: str
    day: str = ""
    settled: Settled | None = None


class Entry(msgspec.Struct):
    """A balanced journal entry; its three dates are YYYY-MM-DD, UTC. `tax_point` is null where
    nothing of it is tax, `worth` where it is valued at its order's rate."""

    order: str
    number: int
    at: When
    kind: str
    entity: str
    currency: str
    functional_currency: str
    refund: str
    leg: str
    psp_refund_id: str
    holder: str
    posted_on: str
    tax_point: str | None
    document_date: str
    worth: Worth | None
    postings: list[Posting]


class EntryPage(msgspec.Struct):
    """A page."""

    items: list[Entry]
    next: str | None


class Balance(msgspec.Struct):
    """One account in one currency; `number` and `name` are the merchant's own, "" if not given."""

    account: str
    currency: str
    amount: int
    functional_amount: int
    number: str
    name: str


class Balances(msgspec.Struct):
    """The balance of every account at an instant."""

    at: When
    functional_currency: str
    balances: list[Balance]


class Credit(msgspec.Struct):
    """What was given back as gift card or store credit, less what was taken back."""

    account: str
    currency: str
    amount: int


class Credits(msgspec.Struct):
    """All that one holder was given back: a gift card's reference, or a customer's id."""

    holder: str
    credits: list[Credit]


class Received(msgspec.Struct):
    """The message is on disk."""

    received: bool
    duplicate: bool


class Health(msgspec.Struct):
    """Whether this process can do its work."""

    status: Literal["ok"]
