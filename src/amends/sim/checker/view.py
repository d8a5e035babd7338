"""The snapshot sorted by order, in the checker's own words; no rule and no judgement here.

The structs name only what a rule reads. They are written from the promised shape of the document,
not imported: a checker that shares the engine's types shares its mistakes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import msgspec

from amends.sim.checker.spec import Journal, Row, Snapshot, Violation

GONE = (
    "failed",
    "canceled",
)  # of a movement: the money is the merchant's; of a leg: it ended unpaid
# Kinds of legs that no provider moves: a person paid, and the account it is booked on.
BY_HAND = {"manual": "manual_payouts", "credit": "store_credit"}
GIFT_CARDS = "gift_cards"  # where credit goes that is of a gift card
OPEN = ("planned", "sending", "unknown", "pending", "requires_action", "awaiting_funds")


class Tax(msgspec.Struct):
    """A named tax; `amount` minor units."""

    name: str
    amount: int


class Share(msgspec.Struct):
    """What a refund gives back of one line or shipping charge."""

    id: str
    quantity: int
    net: int
    taxes: list[Tax] = []


class Kept(msgspec.Struct):
    """What a refund keeps back: a fee of some `kind`, or what of a `promotion` on a `part` is lost
    (negative: given back again; `waived`: only shown)."""

    net: int
    taxes: list[Tax] = []
    kind: str = ""
    promotion: str = ""
    part: str = ""
    on: str = "line"
    waived: bool = False

    @property
    def gross(self) -> int:
        return self.net + sum(tax.amount for tax in self.taxes)


class Time(msgspec.Struct):
    """Units of a line's period that a refund gives back, the last not included."""

    line: str
    start: int
    end: int
    part: bool = False  # its money was paid in part only, and the rest may be by another


class Breakdown(msgspec.Struct):
    """Where the amount of a refund comes from."""

    lines: list[Share] = []
    shipping: list[Share] = []
    unallocated: int = 0
    charges: list[Share] = []
    fees: list[Kept] = []
    lost: list[Kept] = []
    compensation: int = 0
    unused: list[Time] = []

    @property
    def parts(self) -> list[Share]:
        return [*self.lines, *self.shipping, *self.charges]

    @property
    def kept(self) -> list[Kept]:
        return [*self.fees, *(lost for lost in self.lost if not lost.waived)]


class Party(msgspec.Struct):
    """What of a leg a seller bears, less the fee that goes back to him; `taken` with the refund."""

    account: str
    amount: int
    fee: int = 0
    taken: int = 0


class Settled(msgspec.Struct):
    """What the document was told that was taken off the provider's balance."""

    currency: str = ""
    amount: int = 0
    fee: int = 0


class Leg(msgspec.Struct):
    """One movement on one payment, as the order's document has it."""

    id: str
    kind: str
    payment: str
    amount: int
    state: str
    psp_refund_id: str = ""
    replaced: bool = False
    outside: bool = False
    parties: list[Party] = []
    took: bool = False
    pays_for: str = ""
    settled: Settled | None = None
    capture: str = ""


class Refund(msgspec.Struct):
    """A refund of the document; `claimed` is what it says is owed or paid on the books."""

    id: str
    amount: int
    stage: str
    breakdown: Breakdown
    legs: list[Leg]
    requested_by: str
    fallback_of: str = ""
    claimed: int = 0
    external: bool = False
    combined_in: str = ""

    @property
    def current(self) -> list[Leg]:
        """The legs that no other leg has replaced."""
        return [leg for leg in self.legs if not leg.replaced]


class Seller(msgspec.Struct):
    """Whose sale a part of a payment was, and the platform's fee on it."""

    account: str
    amount: int
    fee: int = 0


class Payment(msgspec.Struct):
    """Money at one provider, or a gift card or store credit, by its `kind`."""

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
    reread: bool = False
    busy: str = ""
    sellers: list[Seller] = []
    kind: str = "payment"


class Dispute(msgspec.Struct):
    """What a chargeback took."""

    id: str
    payment: str
    withdrawn: int = 0
    status: str = ""
    booked: int = 0
    beyond: int = 0
    currency: str = ""
    settled: Settled | None = None


class Part(msgspec.Struct):
    """A line or a shipping charge; `total` is gross."""

    id: str
    total: int
    quantity: int = 1
    taxes: list[Tax] = []


class Source(msgspec.Struct):
    """The shop's own name of an order."""

    connection: str
    order_id: str


class Rate(msgspec.Struct):
    """Minor units of `quote` (the functional currency) per minor unit of `base`, as a fraction."""

    base: str
    quote: str
    numerator: int
    denominator: int

    @property
    def converts(self) -> bool:
        """Whether there is anything to round."""
        return self.base != self.quote

    @property
    def text(self) -> str:
        """For a sentence."""
        return f"{self.numerator}/{self.denominator}"

    def off(self, amount: int, functional: int) -> int:
        """How far `functional` is from `amount` at this rate, in halves of a minor unit of `quote`,
        times the denominator."""
        return abs(2 * (functional * self.denominator - amount * self.numerator))

    def of(self, amount: int) -> int:
        """An amount, not below 0, in minor units of `quote`, half up."""
        return (2 * amount * self.numerator + self.denominator) // (2 * self.denominator)


class Order(msgspec.Struct):
    """The document of one order."""

    id: str
    source: Source
    currency: str
    rate: Rate
    version: int = 1
    lines: list[Part] = []
    shipping: list[Part] = []
    charges: list[Part] = []
    payments: list[Payment] = []
    refunds: list[Refund] = []
    disputes: list[Dispute] = []
    alerts: list[str] = []
    parked: str = ""
    entries: int = 0
    head_seq: int = 0
    head_hash: str = "0" * 64

    @property
    def legs(self) -> list[Leg]:
        """Every leg of every refund."""
        return [leg for refund in self.refunds for leg in refund.legs]


class Movement(msgspec.Struct):
    """Money the provider moved, by its own record."""

    psp_payment_id: str
    kind: str
    amount: int
    status: str
    psp_refund_id: str | None = None
    key: str | None = None
    settled_currency: str = ""
    settled: int = 0
    settled_fee: int = 0

    @property
    def figures(self) -> tuple[str, int, int]:
        """What it took off the balance, and the fee."""
        return self.settled_currency, self.settled, self.settled_fee

    @property
    def asked(self) -> bool:
        """A request made it, not people or the provider itself."""
        return self.key is not None

    @property
    def live(self) -> bool:
        """The money left and has not come back (or is held to leave)."""
        return self.kind == "refund" and self.status not in GONE


class AtProvider(msgspec.Struct):
    """A payment by the provider's own record; `uncaptured` is what captures took that failed later
    and is not in `captured` any more."""

    psp_payment_id: str
    status: str
    authorized: int
    captured: int
    capturable: int
    uncaptured: int = 0

    @property
    def taken(self) -> int:
        """What captures took, whatever became of it; what was captured again in the place of what
        failed counts once."""
        return max(self.captured, min(self.captured + self.uncaptured, self.authorized))

    @property
    def missing(self) -> int:
        """What captures took that failed and was not captured again."""
        return self.taken - self.captured

    @property
    def released(self) -> int:
        """How much of the authorization was let go."""
        return max(0, self.authorized - self.taken - self.capturable)


class DisputeThere(msgspec.Struct):
    """A dispute by the provider's own record; `withdrawn` is what it holds now, without fees."""

    id: str
    psp_payment_id: str
    status: str
    withdrawn: int
    settled: int = 0
    settled_currency: str = ""
    settled_fee: int = 0


class Told(msgspec.Struct):
    """What stored messages of the provider have said, ever."""

    refunds: set[tuple[str, str]] = msgspec.field(default_factory=set)  # (id, status)
    disputes: set[tuple[str, str, int]] = msgspec.field(default_factory=set)  # status, withdrawn
    captured: set[tuple[str, int]] = msgspec.field(default_factory=set)  # (payment, in all)
    # By payment, where each capture is told by itself: its id and amount; and those that failed.
    captures: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    undone: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    warnings: set[str] = msgspec.field(default_factory=set)
    # Captures and cancellations that took or released nothing: ids.
    refused: set[str] = msgspec.field(default_factory=set)


class Entry(msgspec.Struct):
    """A journal entry with its lines (account, amount, functional)."""

    row: Row
    lines: list[tuple[str, int, int]]

    def on(self, account: str) -> int:
        """The balance of the lines on an account (or on `clearing:` any), debit positive."""
        whole = account.endswith(":")
        return sum(
            amount
            for name, amount, _ in self.lines
            if name == account or (whole and name.startswith(account))
        )


class Event(msgspec.Struct):
    """One link of the trail with its body parsed."""

    row: Row
    type: str
    body: dict[str, Any]


class Case(msgspec.Struct):
    """All that is known of one order, from every side."""

    order: Order
    report: dict[str, Any] | None
    rows: dict[str, list[Row]]  # payments, refunds, legs, effects of this order
    entries: list[Entry]
    events: list[Event]
    movements: dict[str, list[Movement]]  # by psp_payment_id
    provider: dict[str, AtProvider]
    dashboard: set[str]
    bounced: set[str]
    told: Told
    disputes: dict[str, list[DisputeThere]]  # by psp_payment_id
    warnings: dict[str, list[str]]  # likewise: ids of fraud warnings
    captures: bool = False  # they are booked

    def wrong(self, invariant: str, what: str) -> Violation:
        """A violation of this order."""
        return Violation(invariant, self.order.source.order_id, what)

    def refunds_at(self, payment: Payment) -> list[Movement]:
        """What the provider gave back of a payment, whatever became of it."""
        found = self.movements.get(payment.psp_payment_id, [])
        return [m for m in found if m.kind == "refund"]

    def by_people(self, movement: Movement) -> bool:
        """Made in the provider's dashboard, not by us."""
        return movement.psp_refund_id in self.dashboard

    def was_told(self, movement: Movement) -> bool:
        """Whether a message with the movement's present status has reached our inbox."""
        return (movement.psp_refund_id or "", movement.status) in self.told.refunds

    def to_be_read(self, payment: Payment) -> bool:
        """Whether the whole payment is going to be looked at: an effect of it that is of no leg is
        there, or will be once what is out for it is back, or once it is known to be captured."""
        if not payment.captured_peak:
            return True
        own = [row for row in self.rows["effects"] if row["payment_id"] == payment.id]
        return any(not row["leg_id"] for row in own) or bool(payment.reread and payment.busy)

    def family(self, refund: Refund) -> list[Refund]:
        """A refund, and those that pay what failed of it."""
        return [r for r in self.order.refunds if refund.id in (r.id, r.fallback_of)]

    def takes_over(self, leg: Leg) -> bool:
        """Whether the leg gives or gave money that one of the order was to give, which now pays it
        after all."""
        first = next((g for g in self.order.legs if g.id == leg.pays_for), None)
        return first is not None and first.state not in GONE

    def owners(self, movement: Movement) -> list[tuple[Refund, Leg]]:
        """The legs that say the movement is theirs."""
        return [
            (refund, leg)
            for refund in self.order.refunds
            for leg in refund.legs
            if leg.psp_refund_id and leg.psp_refund_id == movement.psp_refund_id
        ]

    def movement_of(self, leg: Leg) -> Movement | None:
        """What the provider did under the leg's reference."""
        if not leg.psp_refund_id:
            return None
        found = (m for made in self.movements.values() for m in made)
        return next((m for m in found if m.psp_refund_id == leg.psp_refund_id), None)


def surfaced(case: Case, leg: Leg) -> list[Movement]:
    """What attempts of the leg moved that had been closed as not executed: the trail closed one,
    and a person was told later that it was made after all (I3)."""
    closed, found = False, []
    made = {m.psp_refund_id: m for each in case.movements.values() for m in each}
    for event in case.events:
        body = event.body
        if body.get("leg") != leg.id:
            continue
        closed = closed or body.get("news") == "attempt_closed"
        told = event.type == "exception.raised" and body.get("what") == "closed_attempt_surfaced"
        movement = made.get(body.get("psp_refund_id")) if told and closed else None
        if movement is not None and movement.amount == leg.amount and not case.by_people(movement):
            found.append(movement)
    return found


def cases(snapshot: Snapshot, journal: Journal, told: Told) -> list[Case]:
    """Every order with what belongs to it."""
    by_order = {
        name: _grouped(snapshot.rows[name], "order_id")
        for name in ("payments", "refunds", "legs", "effects", "entries", "postings")
    }
    events = _grouped(snapshot.rows["events"], "stream")
    movements: dict[str, list[Movement]] = defaultdict(list)
    for movement in msgspec.convert(snapshot.movements, list[Movement]):
        movements[movement.psp_payment_id].append(movement)
    paid = msgspec.convert(snapshot.provider_payments, list[AtProvider])
    provider = {p.psp_payment_id: p for p in paid}
    disputes = _grouped(snapshot.provider_disputes, "psp_payment_id")
    warnings = _grouped(snapshot.provider_warnings, "psp_payment_id")
    dashboard, bounced = set(journal.dashboard), set(journal.bounced)
    found = []
    for order in msgspec.convert(snapshot.orders, list[Order]):
        own = [p.psp_payment_id for p in order.payments]
        found.append(
            Case(
                order,
                journal.reports.get(order.source.order_id),
                {name: rows[order.id] for name, rows in by_order.items()},
                _entries(by_order["entries"][order.id], by_order["postings"][order.id]),
                [event(row) for row in sorted(events[order.id], key=_seq)],
                {name: movements[name] for name in own},
                {name: provider[name] for name in own if name in provider},
                dashboard,
                bounced,
                told,
                {name: msgspec.convert(disputes[name], list[DisputeThere]) for name in own},
                {name: [row["id"] for row in warnings[name]] for name in own},
                journal.captures,
            )
        )
    return found


def event(row: Row) -> Event:
    """An event's row with its body parsed."""
    return Event(row, row["type"], json.loads(row["body"]))


def _seq(row: Row) -> int:
    return int(row["seq"])


def _grouped(rows: list[Row], column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return found


def _entries(rows: list[Row], postings: list[Row]) -> list[Entry]:
    lines: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    for p in sorted(postings, key=lambda row: (row["entry"], row["line"])):
        lines[p["entry"]].append((p["account"], p["amount"], p["functional"]))
    return [Entry(row, lines[row["number"]]) for row in sorted(rows, key=lambda r: r["number"])]


def listen(told: Told, inbox: list[Row]) -> None:
    """Add what the messages of a provider say of refunds, disputes, captures and warnings."""
    for row in inbox:
        if not row["raw"] or row["state"] == "unmatched":
            continue
        try:
            body = json.loads(bytes(row["raw"]))
        except ValueError:
            continue
        if isinstance(body, dict) and "event_type" in body:
            _hear_event(told, body["event_type"], body["resource"])
        for entry in body.get("notificationItems", ()) if isinstance(body, dict) else ():
            _hear_item(told, entry["NotificationRequestItem"])
        data = body.get("data") if isinstance(body, dict) else None
        thing = data.get("object") if isinstance(data, dict) else None
        if isinstance(thing, dict):
            _hear(told, thing)


def _hear(told: Told, thing: dict[str, Any]) -> None:
    name, kind = str(thing.get("id")), thing.get("object")
    if kind == "refund":
        told.refunds.add((name, str(thing.get("status"))))
    elif kind == "dispute":
        lines = thing.get("balance_transactions") or ()
        held = thing.get("amount") or 0 if len(lines) % 2 else 0  # one takes, the next gives back
        told.disputes.add((name, str(thing.get("status")), held))
    elif kind == "payment_intent":
        told.captured.add((name, thing.get("amount_received") or 0))
    elif kind == "charge":
        told.captured.add((str(thing.get("payment_intent")), thing.get("amount_captured") or 0))
    elif kind == "radar.early_fraud_warning":
        told.warnings.add(name)


# What each of Adyen's codes says of a dispute's money: with the customer, with us, or neither.
_TAKES: dict[str, tuple[bool, ...]] = {
    "CHARGEBACK": (True,),
    "SECOND_CHARGEBACK": (True,),
    "CHARGEBACK_REVERSED": (False,),
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": (False,),
}
_SILENT = (
    *("NOTIFICATION_OF_CHARGEBACK", "REQUEST_FOR_INFORMATION", "INFORMATION_SUPPLIED"),
    "DISPUTE_DEFENSE_PERIOD_ENDED",
)
_TAKES |= dict.fromkeys(_SILENT, (True, False))


def _hear_item(told: Told, item: dict[str, Any]) -> None:
    """One item of Adyen's, by what it says that it signs."""
    event, name, amount = item["eventCode"], item["pspReference"], item["amount"]["value"]
    happened = item["success"] == "true"
    if event in ("REFUND", "CANCEL_OR_REFUND"):
        told.refunds.add((name, "succeeded" if happened else "failed"))
    elif event in ("REFUND_FAILED", "REFUNDED_REVERSED") and happened:
        told.refunds.add((name, "failed"))
    elif event == "CAPTURE" and happened:
        told.captures.setdefault(item["originalReference"], {})[name] = amount
    elif event in ("CAPTURE", "CANCELLATION"):
        if not happened:
            told.refused.add(name)
    elif event == "CAPTURE_FAILED" and happened:
        told.undone.setdefault(item["originalReference"], {})[name] = amount
    elif event == "NOTIFICATION_OF_FRAUD":
        told.warnings.add(name)
    for takes in _TAKES.get(event, ()):
        told.disputes.add((name, event.lower(), amount if takes else 0))


_PAYPAL = {"COMPLETED": "succeeded", "PENDING": "pending", "CANCELLED": "canceled"}


def _hear_event(told: Told, event: str, thing: dict[str, Any]) -> None:
    """One event of PayPal's. A case takes nothing itself: what it took is a refund."""
    if event.startswith(("PAYMENT.REFUND.", "PAYMENT.CAPTURE.RE")):
        told.refunds.add((thing["id"], _PAYPAL.get(thing["status"], "failed")))
    elif event == "PAYMENT.CAPTURE.COMPLETED":
        held = thing["supplementary_data"]["related_ids"].get("authorization_id")
        # Two decimals or none, as its currency has them: without the point, minor units.
        amount = int(thing["amount"]["value"].replace(".", ""))
        told.captures.setdefault(held or thing["id"], {})[thing["id"]] = amount
    elif event.startswith("CUSTOMER.DISPUTE."):
        ended = thing.get("dispute_outcome", {}).get("outcome_code")
        told.disputes.add((thing["dispute_id"], ended or thing["status"], 0))
