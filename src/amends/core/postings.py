"""What happened, as balanced journal entries (invariant I5). Debit is positive, credit negative.

Every entry sums to zero in its currency and in the functional currency: each side of an entry is
converted once, as a whole, and split over its postings by largest remainder, so that no rounding
difference is left over. What we owe for a refund is converted as the whole it comes to, and an
entry takes the step between two such wholes: so it ends at zero in both currencies, in however many
parts it was claimed and paid. Nothing is ever changed; a correction is a reversing entry.

What is owed is converted at the order's rate, what leaves the provider's balance at what it was
worth that day (core/fx.py says how much): the difference is the realised gain or loss of exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from amends.core.chart import OUTSIDE_ACCOUNT, clearing, receivable
from amends.core.left import claimed_parts, part_of
from amends.core.order import Dispute, Leg, Order, Payment, Refund, holder_of
from amends.core.parties import parts_of
from amends.core.shares import Breakdown
from amends.kernel.canon import digest
from amends.kernel.check import invariant
from amends.kernel.money import allocate, convert
from amends.kernel.outcome import Settled
from amends.kernel.time import Instant, day_of

EntryKind = Literal[
    "capture",
    "claim",
    "payout",
    "payout_failed",
    "claim_lapsed",
    "void",
    "external",
    "seller_paid",
    "seller_share",
    "seller_share_back",
    "seller_taken",
    "seller_returned",
    "restock",
    "dispute",
    "dispute_returned",
    "dispute_lost",
    "fx_settled",
    "provider_fee",
    "write_off",
]

_FX = "fx_gain_loss"


class Posting(msgspec.Struct, frozen=True):
    """One line: debit positive, credit negative; `functional` in the functional currency."""

    account: str
    amount: int
    functional: int


class Worth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a movement was worth in the functional currency, and who says so: the `source` of a rate
    with its `day`, or a connection whose provider gave its figures, `settled`."""

    functional: int
    source: str
    day: str = ""
    settled: Settled | None = None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A balanced journal entry of one order; `number` counts from 1 without gaps per order.

    It was recorded `at` an instant, whose day, UTC, is that of its document and the one its tax
    belongs to. It is posted on that day too, unless `posted_on` says another (YYYY-MM-DD).
    `holder` is whose gift card or store credit it moves, `worth` what it is valued by where that is
    not the order's rate.
    """

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
    posted_on: str = ""
    holder: str = ""
    worth: Worth | None = None

    @property
    def hash(self) -> str:
        """Goes into the event that booked it, so that the audit chain seals the books too."""
        return digest(self)


def dated(entry: Entry, closed: str) -> Entry:
    """The entry as it can be posted when the books are closed up to a period ("2026-10", "" if
    none is): on the first open day, if its own is in a closed period."""
    late = closed and day_of(entry.at)[:7] <= closed
    return replace(entry, posted_on=first_open(closed)) if late else entry


def first_open(closed: str) -> str:
    """The first day after a period: that of "2026-12" is "2027-01-01"."""
    year, month = int(closed[:4]), int(closed[5:])
    return f"{year + month // 12:04}-{month % 12 + 1:02}-01"


def capture(order: Order, payment: Payment, at: Instant) -> Entry | None:
    """What is captured of a payment and was not booked yet: Dr clearing, Cr customer receipts;
    what came undone the other way. None if it is booked. What is held in all is converted as a
    whole."""
    was, now = payment.receipt, received(payment)
    if was == now:
        return None
    ours = convert(now, order.rate) - convert(was, order.rate)
    account = clearing(payment.connection)
    lines = (
        Posting(account, now - was, ours),
        Posting("customer_receipts", was - now, -ours),
    )
    return _made(order, at, "capture", "", "", "", lines)


def sellers_paid(order: Order, payment: Payment, at: Instant) -> Entry | None:
    """What sellers were paid with captures and was not booked yet, less the platform's fee: Dr
    their shares, Cr the fee, Cr clearing; what came undone the other way. None if it is booked."""
    shares, fees = paid_with(payment)
    if payment.apart or (shares, fees) == (payment.paid_shares, payment.paid_fees):
        return None
    steps = (
        ("seller_shares", payment.paid_shares, shares),
        ("platform_fees", -payment.paid_fees, -fees),
    )
    made = [
        Posting(x, to - of, convert(to, order.rate) - convert(of, order.rate))
        for x, of, to in steps
    ]
    rest = Posting(
        clearing(payment.connection),
        -sum(p.amount for p in made),
        -sum(p.functional for p in made),
    )
    lines = tuple(p for p in (*made, rest) if p.amount or p.functional)
    return _made(order, at, "seller_paid", "", "", "", lines)


def paid_with(payment: Payment) -> tuple[int, int]:
    """What of its captures is the sellers', and the platform's fee on it."""
    found = parts_of(payment.sellers, received(payment), payment.authorized)
    return sum(seller.amount for seller in found), sum(seller.fee for seller in found)


def received(payment: Payment) -> int:
    """What captures brought to a provider's balance and did not lose again."""
    return payment.captured - payment.uncaptured if payment.is_money else 0


def claim(order: Order, refund: Refund, amount: int, at: Instant) -> Entry:
    """We owe the customer `amount`: Dr returns, shipping, tax; Cr refunds payable.

    `amount` is what is to be paid out; a voided authorization was never revenue and is left out.
    Where part of it was claimed before, the entry makes up the difference, account by account, so
    that what lapses is exactly what was booked.
    """
    return _claimed(order, "claim", refund, part_of(refund.breakdown, amount), at)


def claim_lapsed(order: Order, before: Refund, stands: Breakdown, at: Instant) -> Entry:
    """The claim of `before` ends unpaid, but for what `stands` of it: that much of the entry that
    recognised it is reversed."""
    return _claimed(order, "claim_lapsed", before, stands, at)


def _claimed(order: Order, kind: EntryKind, refund: Refund, parts: Breakdown, at: Instant) -> Entry:
    """The step from what is claimed to a claim for other parts of the same refund."""
    before = claimed_parts(refund)
    was = dict(_returned(before)) if refund.claimed else {}
    now = dict(_returned(parts))
    lines = [(account, now.get(account, 0) - was.get(account, 0)) for account in {**was, **now}]
    owed = (before.total, parts.total)
    lines.append(("refunds_payable", owed[0] - owed[1]))
    return _entry(order, at, kind, refund.id, "", "", lines, owed)


def _returned(parts: Breakdown) -> list[tuple[str, int]]:
    """What a refund takes back of revenue and tax. What is lost of a promotion raises the price of
    what was kept; a fee is revenue of its own; compensation leaves the sale and its tax alone."""
    lost = [one for one in parts.lost if not one.waived]
    goods, freight = (sum(x.net for x in lost if x.on == on) for on in ("line", "shipping"))
    tax = sum(p.tax for p in parts.parts) - sum(p.tax for p in parts.held)
    sides = [
        ("sales_returns", sum(p.net for p in parts.lines) + parts.unallocated - goods),
        ("shipping_refunds", sum(p.net for p in parts.shipping) - freight),
        ("tax_payable", tax),
        ("charge_refunds", sum(p.net for p in parts.charges)),
        ("goodwill", parts.compensation),
        ("fees_kept", -sum(fee.net for fee in parts.fees)),
    ]
    return [(account, amount) for account, amount in sides if amount]


def payout(
    order: Order, refund: Refund, leg: Leg, at: Instant, worth: Worth | None = None
) -> Entry:
    """The provider paid: Dr refunds payable, Cr its clearing account; or a person did, outside; or
    a gift card or store credit was given back: Cr what its holder has."""
    account = paid_from(order, leg)
    lines = [("refunds_payable", leg.amount), (account, -leg.amount)]
    paid = _paid_beside(order, refund, leg)
    owed = (paid + leg.amount, paid)
    entry = _entry(order, at, "payout", refund.id, leg.id, leg.psp_refund_id, lines, owed)
    entry = _held(entry, order, leg)
    value = worth.functional if worth else leg_value(order, leg)
    return _valued(entry, account, -value, worth)


def payout_failed(order: Order, refund: Refund, leg: Leg, at: Instant) -> Entry:
    """A late failure (I12), or credit that is taken back: Dr where it was paid from, Cr refunds
    payable. The claim stands. What the payout realised goes back with it."""
    account = paid_from(order, leg)
    lines = [(account, leg.amount), ("refunds_payable", -leg.amount)]
    paid = _paid_beside(order, refund, leg)
    owed = (paid, paid + leg.amount)
    entry = _entry(order, at, "payout_failed", refund.id, leg.id, leg.psp_refund_id, lines, owed)
    entry = _held(entry, order, leg)
    return _valued(entry, account, leg_value(order, leg))


def paid_from(order: Order, leg: Leg) -> str:
    """The account a leg is paid from: its provider's balance, or what stands for it."""
    payment = order.payment(leg.payment)
    if leg.kind == "credit" and payment.kind == "gift_card":
        return "gift_cards"
    return OUTSIDE_ACCOUNT.get(leg.kind) or clearing(payment.connection)


def _held(entry: Entry, order: Order, leg: Leg) -> Entry:
    if leg.kind != "credit":
        return entry
    return replace(entry, holder=holder_of(order, order.payment(leg.payment)))


def _paid_beside(order: Order, refund: Refund, leg: Leg) -> int:
    """What the other legs of the refund, and of what is its fallback, have paid now."""
    claim = refund.fallback_of or refund.id
    family = [r for r in order.refunds if claim in (r.id, r.fallback_of)]
    legs = [g for r in family for g in r.legs if g.id != leg.id]
    return sum(g.amount for g in legs if g.paid_at and g.kind != "void")


def leg_value(order: Order, leg: Leg) -> int:
    """What a leg takes off the account it is paid from, functional, while it is paid."""
    if leg.valued:
        return leg.value
    return _at_rate(order, leg.payment, paid_from(order, leg), leg.amount, leg.id)


def dispute_value(order: Order, dispute: Dispute) -> int:
    """What a dispute holds of a provider's balance, functional."""
    if dispute.value is not None:
        return dispute.value
    account = clearing(order.payment(dispute.payment).connection)
    return _at_rate(order, dispute.payment, account, dispute.booked, dispute.id)


def _at_rate(order: Order, payment: str, account: str, amount: int, mine: str) -> int:
    """Of a payment all that left an account at the order's rate is converted as the whole it comes
    to: this is the step that `mine` makes in it."""
    if order.rate.base == order.rate.quote:
        return amount
    beside = sum(
        leg.amount
        for refund in order.refunds
        for leg in refund.legs
        if leg.payment == payment and leg.paid_at and not leg.valued and leg.id != mine
        if leg.kind != "void" and paid_from(order, leg) == account
    )
    if account == clearing(order.payment(payment).connection):
        taken = [d for d in order.disputes if d.payment == payment and d.id != mine]
        beside += sum(d.booked for d in taken if d.value is None)
    return convert(beside + amount, order.rate) - convert(beside, order.rate)


def settled(order: Order, refund: Refund, leg: Leg, worth: Worth, at: Instant) -> Entry:
    """The provider's figures came after the payout was booked: the difference is realised."""
    more = worth.functional - leg_value(order, leg)
    lines = (Posting(paid_from(order, leg), 0, -more), Posting(_FX, 0, more))
    made = _made(order, at, "fx_settled", refund.id, leg.id, leg.psp_refund_id, lines)
    return replace(made, worth=worth)


def provider_fee(
    order: Order,
    connection: str,
    refund: str,
    leg: Leg | None,
    fee: tuple[int, int],
    worth: Worth,
    currency: str,
    at: Instant,
) -> Entry:
    """What the provider took besides, or gave back: Dr provider fees, Cr clearing. `fee` is in
    `currency`, which is that of its balance, and functional."""
    amount, functional = fee
    lines = (
        Posting("provider_fees", amount, functional),
        Posting(clearing(connection), -amount, -functional),
    )
    ids = (leg.id, leg.psp_refund_id) if leg else ("", "")
    made = _made(order, at, "provider_fee", refund, *ids, lines)
    return replace(made, currency=currency, worth=worth)


def write_off(order: Order, account: str, was: int, amount: int, at: Instant) -> Entry:
    """A small difference that nobody will explain: Dr write-offs, Cr the account it is on; below 0
    back. With what `was` written off of it before it is converted as the whole it comes to."""
    ours = convert(was + amount, order.rate) - convert(was, order.rate)
    lines = (Posting("write_offs", amount, ours), Posting(account, -amount, -ours))
    return _made(order, at, "write_off", "", "", "", lines)


def _valued(entry: Entry, account: str, functional: int, worth: Worth | None = None) -> Entry:
    """The entry with `account` at what it is worth; what it lacks then is realised."""
    lines = [
        p if p.account != account else replace(p, functional=functional) for p in entry.postings
    ]
    if gap := -sum(p.functional for p in lines):
        lines.append(Posting(_FX, 0, gap))
    return replace(entry, postings=tuple(lines), worth=worth)


def void(order: Order, refund: Refund, leg: Leg, at: Instant) -> Entry:
    """An authorization was released: off balance, since no money moved."""
    lines = [("memo_released", leg.amount), ("memo_authorizations", -leg.amount)]
    return _entry(order, at, "void", refund.id, leg.id, leg.psp_refund_id, lines)


def external(
    order: Order,
    refund: Refund,
    leg: Leg,
    at: Instant,
    back: bool = False,
    worth: Worth | None = None,
) -> Entry:
    """Others gave money back (edge 10): Dr what it was allocated to, Cr clearing; `back` when it
    returned to us. Without `worth` it is valued as the leg was."""
    account = clearing(order.payment(leg.payment).connection)
    lines = [*_returned(refund.breakdown), (account, -leg.amount)]
    if back:
        lines = [(name, -amount) for name, amount in lines]
    entry = _entry(order, at, "external", refund.id, leg.id, leg.psp_refund_id, lines)
    value = worth.functional if worth else leg_value(order, leg)
    return _valued(entry, account, value if back else -value, worth)


Owed = Mapping[str, int]  # by account, of the order before an entry


def seller_share(
    order: Order, refund: Refund, leg: Leg, at: Instant, owed: Owed, back: bool = False
) -> Entry:
    """What sellers bear of a refund that was paid: Dr what each owes us, Dr the platform's fee that
    goes back to them, Cr their shares of the sale; `back` when it came back after all."""
    due = [(receivable(party.account), party.due) for party in leg.parties]
    fee = ("platform_fees", sum(party.fee for party in leg.parties))
    kind: EntryKind = "seller_share_back" if back else "seller_share"
    return _of_sellers(order, at, kind, refund, leg, [*due, fee], "seller_shares", owed, back)


def seller_taken(
    order: Order, refund: Refund, leg: Leg, at: Instant, owed: Owed, back: bool = False
) -> Entry:
    """The provider took it from them with the refund: Dr clearing, Cr what each owes us."""
    taken = [(receivable(party.account), -party.taken) for party in leg.parties]
    account = clearing(order.payment(leg.payment).connection)
    kind: EntryKind = "seller_returned" if back else "seller_taken"
    return _of_sellers(order, at, kind, refund, leg, taken, account, owed, back)


def _of_sellers(
    order: Order,
    at: Instant,
    kind: EntryKind,
    refund: Refund,
    leg: Leg,
    lines: list[tuple[str, int]],
    against: str,
    owed: Owed,
    back: bool,
) -> Entry:
    """What a seller owes is converted as the whole it comes to, so that it ends at zero in both
    currencies; the one line `against` them balances it."""
    made = []
    for name, value in ((name, -n if back else n) for name, n in lines if n):
        was = owed.get(name, 0)
        ours = convert(was + value, order.rate) - convert(was, order.rate)
        made.append(Posting(name, value, ours))
    whole = sum(p.amount for p in made), sum(p.functional for p in made)
    rest = Posting(against, -whole[0], -whole[1])
    postings = (*made, rest) if any(whole) else tuple(made)
    return _made(order, at, kind, refund.id, leg.id, leg.psp_refund_id, postings)


def restock(order: Order, cost: int, at: Instant) -> Entry:
    """Goods are in stock again at what they had cost: Dr inventory, Cr cost of goods, in the
    functional currency alone."""
    lines = (Posting("inventory", cost, cost), Posting("cost_of_goods", -cost, -cost))
    made = _made(order, at, "restock", "", "", "", lines)
    return replace(made, currency=order.rate.quote)


def dispute(
    order: Order,
    connection: str,
    before: Dispute | None,
    after: Dispute,
    at: Instant,
    worth: Worth | None = None,
) -> Entry | None:
    """A dispute took money: Dr disputed, Cr clearing; gave it back: reversed. A lost one is a loss:
    Dr dispute losses, Cr disputed. None if nothing of that changed. What it holds is converted as
    the whole it comes to, so that it ends at zero in both currencies; what it takes beyond the
    payment, and what it is worth more, is a loss of exchange."""
    was, now = before.booked if before else 0, after.booked
    held, holds = (
        _dispute_sides(order, connection, before),
        _dispute_sides(order, connection, after),
    )
    lines = tuple(
        Posting(account, amount, ours)
        for account, plain in {**held, **holds}
        for amount, ours in [_step(held, holds, (account, plain))]
        if amount or ours
    )
    if not lines:
        return None
    kind: EntryKind = "dispute" if now > was else "dispute_returned" if now < was else "fx_settled"
    if now == was and _held_on(before) != _held_on(after):
        kind = "dispute_lost"
    return replace(_made(order, at, kind, "", "", "", lines), worth=worth)


_Sides = dict[tuple[str, bool], tuple[int, int]]  # account, whether it is of an amount at all


def _dispute_sides(order: Order, connection: str, dispute: Dispute | None) -> _Sides:
    """What a dispute leaves on each account: in the order's currency and functional."""
    if dispute is None:
        return {(clearing(connection), True): (0, 0), (_held_on(None), True): (0, 0)}
    within = dispute.booked - dispute.beyond
    value = dispute_value(order, dispute)
    sides = {(clearing(connection), True): (-dispute.booked, -value)}
    sides[_held_on(dispute), True] = (within, convert(within, order.rate))
    excess = convert(dispute.beyond, order.rate)
    if dispute.beyond:
        sides[_FX, True] = (dispute.beyond, excess)
    if rest := value - excess - convert(within, order.rate):
        sides[_FX, False] = (0, rest)
    return sides


def _step(held: _Sides, holds: _Sides, side: tuple[str, bool]) -> tuple[int, int]:
    (was, ours_was), (now, ours) = held.get(side, (0, 0)), holds.get(side, (0, 0))
    return now - was, ours - ours_was


def _held_on(dispute: Dispute | None) -> str:
    return "dispute_losses" if dispute is not None and dispute.status == "lost" else "disputed"


def _entry(
    order: Order,
    at: Instant,
    kind: EntryKind,
    refund: str,
    leg: str,
    psp_refund_id: str,
    lines: list[tuple[str, int]],
    owed: tuple[int, int] | None = None,
) -> Entry:
    """`owed`: between which two amounts the entry leads refunds payable."""
    postings = _convert_sides([line for line in lines if line[1]], order, owed)
    return _made(order, at, kind, refund, leg, psp_refund_id, postings)


def _made(
    order: Order,
    at: Instant,
    kind: EntryKind,
    refund: str,
    leg: str,
    psp_refund_id: str,
    postings: tuple[Posting, ...],
) -> Entry:
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


def _convert_sides(
    lines: list[tuple[str, int]], order: Order, owed: tuple[int, int] | None
) -> tuple[Posting, ...]:
    if order.rate.base == order.rate.quote:
        return tuple(Posting(account, amount, amount) for account, amount in lines)
    shares: dict[int, int] = {}
    payable = [i for i, (account, _) in enumerate(lines) if account == "refunds_payable"]
    step = 0
    if owed and payable:
        before, after = owed
        step = convert(before, order.rate) - convert(after, order.rate)
        shares[payable[0]] = step
    rest = {
        sign: [i for i, (_, n) in enumerate(lines) if n * sign > 0 and i not in shares]
        for sign in (1, -1)
    }
    # One side is converted, that of what we owe if it is there, and the other balances it.
    fewer = 1 if len(rest[1]) < len(rest[-1]) else -1
    if shares:
        fewer = 1 if lines[payable[0]][1] > 0 else -1
    for sign in (fewer, -fewer):
        side = rest[sign]
        if side:
            whole = convert(sum(abs(lines[i][1]) for i in side), order.rate)
            if sign != fewer:
                whole = -sign * sum(shares.values())
            parts = allocate(whole, [abs(lines[i][1]) for i in side])
            shares.update({i: part * sign for i, part in zip(side, parts, strict=True)})
    return tuple(Posting(a, amount, shares[i]) for i, (a, amount) in enumerate(lines))
