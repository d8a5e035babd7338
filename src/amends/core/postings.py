"""What happened, as balanced journal entries (invariant I5). Debit is positive, credit negative.

Every entry sums to zero in its currency and in the functional currency: each side of an entry is
converted once, as a whole, and split over its postings by largest remainder, so that no rounding
difference is left over. Nothing is ever changed; a correction is a reversing entry.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.core.chart import clearing
from amends.core.order import Leg, Order, Payment, Refund
from amends.kernel.canon import digest
from amends.kernel.check import invariant
from amends.kernel.money import allocate, convert
from amends.kernel.time import Instant

EntryKind = Literal["claim", "payout", "payout_failed", "claim_lapsed", "void", "external"]


class Posting(msgspec.Struct, frozen=True):
    """One line: debit positive, credit negative; `functional` in the functional currency."""

    account: str
    amount: int
    functional: int


class Entry(msgspec.Struct, frozen=True):
    """A balanced journal entry of one order; `number` counts from 1 without gaps per order."""

    order: str
    number: int
    at: Instant
    kind: EntryKind
    entity: str
    currency: str
    functional_currency: str
    refund: str
    leg: str
    psp_refund_id: str
    postings: tuple[Posting, ...]

    @property
    def hash(self) -> str:
        """Goes into the event that booked it, so that the audit chain seals the books too."""
        return digest(self)


def claim(order: Order, refund: Refund, at: Instant, lapsed: bool = False) -> Entry:
    """We owe the customer: Dr returns, shipping, tax; Cr refunds payable. Reversed when it lapses.

    Only what is to be paid out counts: a voided authorization was never revenue.
    """
    tax = sum(p.tax for p in (*refund.breakdown.lines, *refund.breakdown.shipping))
    goods = sum(p.net for p in refund.breakdown.lines) + refund.breakdown.unallocated
    shipping = sum(p.net for p in refund.breakdown.shipping)
    sides = [("sales_returns", goods), ("shipping_refunds", shipping), ("tax_payable", tax)]
    lines = [*sides, ("refunds_payable", -refund.amount)]
    if lapsed:
        lines = [(account, -amount) for account, amount in lines]
    return _entry(order, at, "claim_lapsed" if lapsed else "claim", refund.id, "", "", lines)


def payout(order: Order, refund: Refund, leg: Leg, at: Instant) -> Entry:
    """The provider paid: Dr refunds payable, Cr its clearing account."""
    account = clearing(order.payment(leg.payment).connection)
    lines = [("refunds_payable", leg.amount), (account, -leg.amount)]
    return _entry(order, at, "payout", refund.id, leg.id, leg.psp_refund_id, lines)


def payout_failed(order: Order, refund: Refund, leg: Leg, at: Instant) -> Entry:
    """A late failure (I12): Dr provider clearing, Cr refunds payable. The claim stands."""
    account = clearing(order.payment(leg.payment).connection)
    lines = [(account, leg.amount), ("refunds_payable", -leg.amount)]
    return _entry(order, at, "payout_failed", refund.id, leg.id, leg.psp_refund_id, lines)


def void(order: Order, refund: Refund, leg: Leg, at: Instant) -> Entry:
    """An authorization was released: off balance, since no money moved."""
    lines = [("memo_released", leg.amount), ("memo_authorizations", -leg.amount)]
    return _entry(order, at, "void", refund.id, leg.id, leg.psp_refund_id, lines)


def external(
    order: Order, payment: Payment, refund: Refund, leg: Leg, at: Instant, back: bool = False
) -> Entry:
    """Others gave money back (I1): Dr external refunds, Cr clearing; `back` when it returned."""
    lines = [("external_refunds", leg.amount), (clearing(payment.connection), -leg.amount)]
    if back:
        lines = [(account, -amount) for account, amount in lines]
    return _entry(order, at, "external", refund.id, leg.id, leg.psp_refund_id, lines)


def _entry(
    order: Order,
    at: Instant,
    kind: EntryKind,
    refund: str,
    leg: str,
    psp_refund_id: str,
    lines: list[tuple[str, int]],
) -> Entry:
    postings = _convert_sides([line for line in lines if line[1]], order)
    invariant(sum(p.amount for p in postings) == 0, f"{kind} does not balance in {order.currency}")
    invariant(sum(p.functional for p in postings) == 0, f"{kind} does not balance in {order.rate}")
    return Entry(
        order.id,
        order.entries + 1,
        at,
        kind,
        order.entity,
        order.currency,
        order.rate.quote,
        refund,
        leg,
        psp_refund_id,
        postings,
    )


def _convert_sides(lines: list[tuple[str, int]], order: Order) -> tuple[Posting, ...]:
    if order.rate.base == order.rate.quote:
        return tuple(Posting(account, amount, amount) for account, amount in lines)
    shares: dict[int, int] = {}
    for sign in (1, -1):
        side = [i for i, (_, amount) in enumerate(lines) if amount * sign > 0]
        if side:
            whole = convert(sum(abs(lines[i][1]) for i in side), order.rate)
            parts = allocate(whole, [abs(lines[i][1]) for i in side])
            shares.update({i: part * sign for i, part in zip(side, parts, strict=True)})
    return tuple(Posting(a, amount, shares[i]) for i, (a, amount) in enumerate(lines))
