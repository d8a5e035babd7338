"""The aggregate: one order and everything that ever happened to its money. Frozen; one document.

Amounts are integers in the minor unit of `Order.currency`; instants are microseconds, UTC.
No personal data lives here (invariant I15): a customer is an id, a note is a salted hash elsewhere.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.core.goods import Cancelled, Noted, Receipt, Return, ShopRefund
from amends.core.history import Draw
from amends.core.parties import Party, Seller
from amends.core.period import Period
from amends.core.requests import (
    ChargeKind,
    IfLost,
    OrderKey,
    PlatformFee,
    RefundReason,
)
from amends.core.shares import Breakdown, LineShare
from amends.core.signals import NO_DELIVERY, NO_SIGNALS, Delivery, Signals
from amends.kernel.canon import GENESIS
from amends.kernel.money import Rate
from amends.kernel.outcome import RefundState, Settled
from amends.kernel.time import Instant

LegKind = Literal["refund", "void", "reversal", "credit", "manual"]

LegState = Literal[
    "planned",  # reserved, waiting for an approval; not shown outside
    "sending",
    "unknown",
    "pending",
    "requires_action",
    "awaiting_funds",
    "succeeded",
    "failed",
    "canceled",
]

FAILED: tuple[LegState, ...] = ("failed", "canceled")
LIVE: tuple[LegState, ...] = (
    "planned",
    "sending",
    "unknown",
    "pending",
    "requires_action",
    "awaiting_funds",
)

Stage = Literal["review", "declined", "active", "held", "combined"]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True): ...


class Tax(_Part, frozen=True):
    """One stored tax of a line or a shipping charge; never recomputed from its rate."""

    name: str
    amount: int
    rate: str = ""


class Discount(_Part, frozen=True):
    """What was taken off a line or shipping charge; `amount` is gross, `of` a promotion's id."""

    amount: int
    of: str = ""
    taxes: tuple[Tax, ...] = ()


class Line(_Part, frozen=True):
    """`total` is gross: tax is inside it, whatever the shop's prices included."""

    id: str
    quantity: int
    total: int
    taxes: tuple[Tax, ...] = ()
    sku: str = ""
    title: str = ""
    discount: int = 0
    fulfilled: int = 0
    discounts: tuple[Discount, ...] = ()
    seller: str = ""  # the account of whoever sold it, where the platform did not
    period: Period | None = None  # what it was paid for, where that is time
    cost: int = 0  # of all its units to the merchant, in the functional currency
    category: str = ""
    access: bool = False  # a licence, a file or a seat: it ends with its refund


class Shipping(_Part, frozen=True):
    """A shipping charge; `total` is gross, `standard` what of it is owed by law, None: all."""

    id: str
    total: int
    taxes: tuple[Tax, ...] = ()
    title: str = ""
    discounts: tuple[Discount, ...] = ()
    standard: int | None = None
    seller: str = ""


class Charge(_Part, frozen=True):
    """Anything else that was paid for; `total` is gross."""

    id: str
    total: int
    taxes: tuple[Tax, ...] = ()
    title: str = ""
    kind: ChargeKind = "other"
    refundable: bool = True


class Tier(_Part, frozen=True):
    """What a smaller basket is given: `off_bp` (1/10,000) of it and `off`."""

    at_least: int
    off_bp: int = 0
    off: int = 0


class Promotion(_Part, frozen=True):
    """A discount's condition as sold (see requests.PromotionIn); `if_lost` as the shop said or the
    policy in force when the order was recorded."""

    id: str
    kind: Literal["threshold", "free_shipping", "buy_get"]
    at_least: int = 0
    tiers: tuple[Tier, ...] = ()
    buy: int = 0
    get: int = 0
    off_bp: int = 10_000
    lines: tuple[str, ...] = ()
    if_lost: IfLost = "review"


TenderKind = Literal["payment", "gift_card", "store_credit"]


class Payment(_Part, frozen=True):
    """Money at one provider for this order; or, by its `kind`, a gift card or store credit it was
    paid with: that has no connection, was captured as it was paid, and `psp_payment_id` is what the
    shop calls it, "" if it has no name.

    What we send out is checked (I1): pending_ours + refunded_ours + credited_ours <= captured_peak.
    `external`, `disputed` and `uncaptured` left by others' hand and are recorded whole, unchecked;
    the last is what captures took that failed later and was not captured again. `captures` are
    those known one by one, with their amounts, `failed_captures` the ids among them that came
    undone or took nothing. `early` holds refunds by others that were told before any capture was,
    at a provider that lists none.
    `voiding` is the part of an authorization being released, `voided` the part that was; once it is
    `gone` as a whole, by whoever's hand, nothing of it is left to release.
    `busy` is the leg (or "reread") whose effect is out right now; one at a time.
    """

    id: str
    connection: str
    psp_payment_id: str
    authorized: int
    captured: int
    captured_peak: int
    pending_ours: int = 0
    refunded_ours: int = 0
    credited_ours: int = 0
    external: int = 0
    disputed: int = 0
    uncaptured: int = 0
    voiding: int = 0
    voided: int = 0
    gone: bool = False
    busy: str = ""
    reread: bool = False  # a look-up of the whole payment is due, after the one that may be out
    reread_tries: int = 0  # consecutive fruitless ones
    look: bool = False  # ... even while nothing of it is captured
    method: str = ""  # as the provider names it: "visa", "klarna"
    captured_at: Instant = 0  # when the first capture was known here, or the order was placed
    charge: str = ""
    psp_order: str = ""
    authorization: str = ""
    captures: tuple[tuple[str, int], ...] = ()
    failed_captures: tuple[str, ...] = ()
    early: tuple[RefundState, ...] = ()
    sellers: tuple[Seller, ...] = ()  # whose sale it was, what none of them has is our own
    apart: bool = False  # they were paid by other means than with the payment
    kind: TenderKind = "payment"
    receipt: int = 0  # what of its captures is on the books, where those are kept here
    paid_shares: int = 0  # what of the sellers' parts of them is on the books, likewise
    paid_fees: int = 0  # ... and of the platform's fees

    @property
    def is_money(self) -> bool:
        """Whether a provider pays it back; what is credited instead leaves no order for cash."""
        return self.kind == "payment"


class Tender(_Part, frozen=True):
    """One way the order was paid, and the Payment that keeps count of it."""

    kind: TenderKind
    amount: int
    payment: str = ""


class Leg(_Part, frozen=True):
    """One movement on one payment.

    `epoch` numbers the provider keys (`<leg>-<epoch>`): it rises only when the attempt before is
    settled as not executed. `attempts`, `first_sent_at`, `last_sent_at` are of this epoch; the last
    is when the request ended, if that is known to be without a clear answer.
    `in_flight`: bytes may be on the wire. `doubt`: an attempt of this epoch ended unknown.
    `stored`: how often the provider answered with an error it keeps under the key.
    `declined`: code of a "no" that came while in doubt, waiting for a look-up to agree.
    """

    id: str
    kind: LegKind
    payment: str
    amount: int
    state: LegState
    epoch: int = 1
    attempts: int = 0
    first_sent_at: Instant = 0
    last_sent_at: Instant = 0
    in_flight: bool = False
    full: bool = False  # fixed with the first send of the epoch: the whole of what was captured
    rest: int = 0  # likewise: what a partial release captures, 0 if the whole is released
    reverse: bool = False  # a void whose cancel was refused: asked for as a reversal now
    doubt: bool = False
    stored: int = 0
    resend: bool = False  # the next round sends the same bytes; else it looks up
    tries: int = 0  # consecutive fruitless rounds, for the backoff
    declined: str = ""
    unfunded: bool = False  # that "no" was for want of money there: it is tried again later
    surfaced: bool = False  # an attempt closed as not executed paid after all: send nothing more
    capture: str = ""  # the one it gives back from, where that must be said
    charge: str = ""  # of the payment, if known with the first send: fixed like `full`
    lines: tuple[LineShare, ...] = ()  # what it says it is for, fixed like `full`
    psp_refund_id: str = ""
    destination: str = ""  # these three as the provider tells them, for whoever looks for it
    bank_reference: str = ""
    bank_reference_type: str = ""
    expected: tuple[str, ...] = ()  # first and last day on which the customer should see it
    psp_release_id: str = ""  # a void's: the cancellation or the capture of the rest, there
    told: tuple[str, ...] = ()  # of what a person was told while nothing was heard
    failure: str = ""
    replaced: bool = False  # a later leg took over; not part of the refund's shown state
    instead_of: str = ""  # the one that it took over from
    outside: bool = False  # counted in Payment.external: not ours, or found no room any more
    moved: int = 0  # the event with which the provider's news last changed the state
    paid_at: Instant = 0  # when it last succeeded, 0 if it is not paid now
    was_paid: bool = False  # it succeeded at some time: its claim outlives a late failure
    revived: bool = False  # it had ended and was alive again: news of an end may be the old one
    waits: int = 0  # how often it was put off for want of funds
    falls_back: bool = False  # failed for good: a fallback pays, and its claim outlives the failure
    pays_for: str = ""  # the failed leg whose money a fallback gives
    parties: tuple[Party, ...] = ()  # what sellers bear of it, fixed like `full`
    untaken: bool = False  # the provider refused to take that from them: it goes without
    took: bool = False  # what it took from them is on the books
    settled: Settled | None = None  # what the provider says that it took off our balance
    value: int = 0  # in another currency than the books': what it was booked as, functional
    valued: bool = False  # ... at what it was worth when it was paid, not at the order's rate
    fee: tuple[int, int] = (0, 0)  # of the provider, as booked: in that currency and functional
    fee_currency: str = ""

    @property
    def key(self) -> str:
        """The provider's idempotency key of the current epoch."""
        return f"{self.id}-{self.epoch}"


class Verdict(_Part, frozen=True):
    """What the policy said and why. `score_bp` is the risk in 1/10,000; `rows` the verdict of every
    row (see history.Judged), `code` and `says` the reason, for programs and for the customer."""

    outcome: Literal["approve", "review", "decline"]
    policy: str
    rule: str
    score_bp: int = 0
    model: str = ""
    reasons: tuple[str, ...] = ()
    rows: str = ""
    code: str = ""
    says: str = ""


class Suggestion(_Part, frozen=True):
    """What somebody who cannot decide would do with a review, and the events of the order, by
    number, that bear it out. It decides nothing."""

    outcome: Literal["approve", "decline"]
    by: str
    cites: tuple[int, ...]
    note: str = ""


class Case(_Part, frozen=True):
    """Who looks after a refund in review, and until when nobody does. `escalated` is the role it
    was handed up to; `asked`: the customer is to say or send more."""

    assignee: str = ""
    snoozed_until: Instant = 0
    escalated: str = ""
    asked: bool = False
    suggested: Suggestion | None = None  # the last one


NO_CASE = Case()


class Refund(_Part, frozen=True):
    """A request to give money back, and its legs.

    `claimed`: the amount of the claim that is on the books and stands (what we owe, I12).
    `external`: made by others at the provider and adopted; `attempt_of`: by an attempt of that leg
    of ours that was closed as not executed. `takes_over`: refunds whose standing claim it needs and
    ends once it is approved. `fallback_of` pays what failed of that refund: the claim stays there.
    `statutory`: the law grants it; `consent`: where it is recorded that store credit is taken.
    """

    id: str
    reason: RefundReason | Literal["external"]
    amount: int
    stage: Stage
    breakdown: Breakdown
    legs: tuple[Leg, ...]
    requested_by: str
    created_at: Instant
    shown: str  # hash of what an approver is shown
    verdict: Verdict | None = None
    decided_by: str = ""
    fallback_of: str = ""
    claimed: int = 0
    external: bool = False
    attempt_of: str = ""
    takes_over: tuple[str, ...] = ()
    note: str = ""  # id of the note's text in `notes`
    decide_by: Instant = 0
    statutory: bool = False
    consent: str = ""
    platform_fee: PlatformFee | Literal[""] = ""  # what the request said of it, else the policy
    builds_on: tuple[str, ...] = ()  # those in review that its amount was reckoned with
    small: bool = False  # below the minimum: held once it is approved
    combined_in: str = ""  # the refund that pays it together with others
    claim_of: Breakdown | None = None  # what is claimed, where that is not in proportion
    instead_of: str = ""  # the larger one that a person cut to this
    awaits: bool = False  # in review only until the goods are back
    by_shop: bool = False  # its shop told which lines it is for
    awaits_for: Literal["", "shipment", "inspection"] = ""  # ... or so far, "": received
    returnless: bool = False  # nothing is to come back
    approver: str = ""  # the role that may approve it at least
    second_person: bool = False  # ... and not whoever asked (I11)
    draws: tuple[Draw, ...] = ()  # of caps, where all of it is paid
    drew: tuple[Draw, ...] = ()  # ... and as far as it may pay or has paid
    case: Case | None = None
    notes_told: tuple[Noted, ...] = ()
    told: tuple[str, ...] = ()  # what others were told of it that is told once


class Dispute(_Part, frozen=True):
    """A chargeback or inquiry on one payment; `withdrawn` is what the provider took, `booked` what
    of it is on the books, `step` how far it is known to have come.

    `taken` is that in the `currency` it was taken in, where it is not the order's. Of `booked`,
    `beyond` is more than the payment ever was. `value` is functional, None: the order's rate."""

    id: str
    payment: str
    amount: int
    status: str
    withdrawn: int = 0
    step: int = 0
    booked: int = 0
    currency: str = ""
    taken: int = 0
    beyond: int = 0
    value: int | None = None
    settled: Settled | None = None
    fee: tuple[int, int] = (0, 0)  # as a leg's
    fee_currency: str = ""


class Order(_Part, frozen=True):
    """What was bought, how it was paid and everything that happened since.

    `head_seq` and `head_hash` are the tip of its event chain; `last_at` never goes back.
    `rate` converts to the ledger's functional currency, fixed when the order was recorded.
    """

    id: str
    source: OrderKey
    currency: str
    rate: Rate
    version: int = 1
    entity: str = "main"
    placed_at: Instant = 0
    customer: str = ""
    country: str = ""
    invoice: str = ""  # the number of its own document, which credit notes refer to
    lines: tuple[Line, ...] = ()
    shipping: tuple[Shipping, ...] = ()
    tenders: tuple[Tender, ...] = ()
    payments: tuple[Payment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    alerts: tuple[str, ...] = ()  # early fraud warnings seen
    cancelled: bool = False
    parked: str = ""  # why it takes no decisions, empty if it does
    stored: int = 0  # facts ever stored while parked; the last one's place in the line
    entries: int = 0  # journal entries written so far; the next one's number
    write_offs: tuple[tuple[int, str, int], ...] = ()  # that stand: entry, account, amount
    charges: tuple[Charge, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    net_prices: bool = False  # the shop's prices, thresholds and discounts are without tax
    policy: str = ""  # in force when promotions were recorded, "" without any
    receipts: tuple[Receipt, ...] = ()
    expires_at: Instant = 0  # of a checkout that nobody has completed yet
    expired: bool = False  # ... and that was given up then
    returns: tuple[Return, ...] = ()
    cancelled_lines: tuple[Cancelled, ...] = ()
    shop_refunds: tuple[ShopRefund, ...] = ()
    moves: int = 0  # of stock, so far; the last one's number
    told: int = 0  # tellings to outlets so far; the last one's number
    customer_since: Instant = 0  # when the customer's account was made, 0: not known
    signals: Signals = NO_SIGNALS
    delivery: Delivery = NO_DELIVERY
    head_seq: int = 0
    head_hash: str = GENESIS
    last_at: Instant = 0

    def payment(self, payment_id: str) -> Payment:
        for payment in self.payments:
            if payment.id == payment_id:
                return payment
        raise LookupError(f"order {self.id} has no payment {payment_id}")

    def refund(self, refund_id: str) -> Refund | None:
        return next((r for r in self.refunds if r.id == refund_id), None)

    @property
    def remaining(self) -> int:
        return sum(room_of(p) for p in self.payments)


def may_take(dispute: Dispute) -> bool:
    """Whether a dispute may still take money, or took some that nobody told us of."""
    untold = dispute.status == "lost" and not dispute.withdrawn and dispute.amount > 0
    return untold or dispute.status not in ("won", "lost", "closed")


def holder_of(order: Order, payment: Payment) -> str:
    """Whose credit it is that is given back on a tender: the card's reference, the customer's id,
    or, where neither is known, an id of the tender or of the order."""
    if payment.kind == "gift_card":
        return payment.psp_payment_id or payment.id
    return (payment.psp_payment_id if payment.kind == "store_credit" else "") or (
        order.customer or order.id
    )


def psp_ids(payment: Payment) -> frozenset[str]:
    """Every id the provider knows this payment by; that of its order there it may share."""
    captures = (name for name, _ in payment.captures)
    known = (payment.psp_payment_id, payment.charge, payment.authorization, payment.psp_order)
    return frozenset(name for name in (*known, *captures) if name)


def same_ids(one: Payment, other: Payment) -> bool:
    """Whether a provider knows both by the same ids, as far as is told without making sets."""
    return (
        one.psp_payment_id == other.psp_payment_id
        and one.charge == other.charge
        and one.authorization == other.authorization
        and one.psp_order == other.psp_order
        and one.captures == other.captures
    )


def taken(payment: Payment) -> int:
    """What left or is set aside to leave this payment, by whoever's hand."""
    return (
        payment.pending_ours
        + payment.refunded_ours
        + payment.credited_ours
        + payment.external
        + payment.disputed
        + payment.uncaptured
        + payment.voiding  # a release that the capture overtook leaves as a refund
    )


def overdrawn(order: Order, refund_id: str, payment_id: str) -> int:
    """By how much what is under way, paid and taken by others exceeds what was captured, from where
    this refund stands: what only other reviews hold has not left, nor have releases that a capture
    overtook; each of them is asked in its turn."""
    payment = order.payment(payment_id)
    if not payment.captured_peak:
        return 0
    held = 0
    for refund in order.refunds:
        for leg in refund.legs:
            if leg.payment == payment_id and refund.id != refund_id:
                waits = leg.state == "planned" if leg.kind == "refund" else leg.state in LIVE
                held += leg.amount if waits else 0
    return max(0, taken(payment) - held - payment.captured)


def remaining(payment: Payment) -> int:
    """What may still be refunded (I1), never below zero."""
    return max(0, payment.captured - taken(payment))


def voidable(payment: Payment) -> int:
    """What of an authorization can still be released; 0 once anything was captured."""
    if payment.captured_peak or payment.gone:
        return 0
    return max(0, payment.authorized - payment.voiding - payment.voided)


def room_of(payment: Payment) -> int:
    """What can leave this payment now: the rest of the capture, or of the open authorization."""
    return remaining(payment) if payment.captured_peak else voidable(payment)


def all_failed(refund: Refund) -> bool:
    return all(leg.state in FAILED for leg in refund.legs if not leg.replaced)


def covered(order: Order) -> frozenset[str]:
    """Failed legs whose money a fallback gives or gave."""
    return frozenset(
        leg.pays_for
        for refund in order.refunds
        if refund.fallback_of
        for leg in refund.legs
        if leg.state not in FAILED
    )


def partly_failed(refund: Refund) -> bool:
    """Some of it failed, and the rest was paid or may still be."""
    failed = {leg.state in FAILED for leg in refund.legs if not leg.replaced}
    return len(failed) > 1 and not refund.external


# What a refund shows: the first of these that one of its legs is in.
SHOWN_ORDER: tuple[LegState, ...] = (
    "unknown",
    "requires_action",
    "awaiting_funds",
    "sending",
    "pending",
    "failed",
    "succeeded",
    "canceled",
)


def shown_state(refund: Refund) -> str:
    """The state of a refund as promised: review, declined, or the most telling of its legs. Where
    one leg paid and the provider canceled another, the rest has failed."""
    if refund.stage != "active":
        return "awaiting_return" if refund.awaits and refund.stage == "review" else refund.stage
    states = {leg.state for leg in refund.legs if not leg.replaced}
    if states == {"succeeded", "canceled"}:
        return "failed"
    return next((state for state in SHOWN_ORDER if state in states), "canceled")


def amount_succeeded(refund: Refund) -> int:
    return sum(leg.amount for leg in refund.legs if leg.state == "succeeded")
