"""`amends ledger check`: the books proved from the rows alone, order by order.

Every entry balances in both currencies and in the order's own; an order's numbers have no gaps;
what is payable is what was claimed and not paid; each provider's clearing account, and each account
paid from by hand, holds what succeeded less what failed later, and each seller's what he bears of
it less what was taken of him; numbered documents have no gaps.
An order that moves while it is read is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from amends.core.chart import CREDITS, OUTSIDE_ACCOUNT, clearing, receivable
from amends.core.order import Order
from amends.core.postings import Entry, paid_from
from amends.store.spec import Books, Store

READ_AGAIN = 10  # times, while the order keeps moving
PAGE = 200  # orders read at once
OWING = ("claim", "claim_lapsed", "payout", "payout_failed")  # what is owed, and what is paid of it


class Finding(msgspec.Struct, frozen=True):
    """One thing that does not add up. `order` is "" where it is of none, `entry` 0 likewise."""

    order: str
    entry: int
    what: str


class Report(msgspec.Struct, frozen=True):
    """What was looked at and found."""

    ok: bool
    orders: int
    entries: int
    findings: tuple[Finding, ...]


async def prove(store: Store) -> Report:
    """Check every order's books. Raises StoreUnavailable."""
    findings: list[Finding] = []
    orders = entries = 0
    after = ""
    while page := await store.books(after, PAGE):
        for books in page:
            orders += 1
            entries += len(books.entries)
            if any(wrong(books)):
                findings += await _settled(store, books)
        after = page[-1].order.id
    findings += [
        Finding(order, 0, "The books have entries of it, and there is no such order.")
        for order in await store.strangers()
    ]
    findings += [
        Finding(
            "", 0, f"Series {series} of {entity} has {count} documents, and its last is {last}."
        )
        for entity, series, count, last in await store.number_gaps()
    ]
    return Report(not findings, orders, entries, tuple(findings))


async def _settled(store: Store, books: Books) -> list[Finding]:
    """What is wrong with one order once it holds still: its rows are read one after the other."""
    found = list(wrong(books))
    for _ in range(READ_AGAIN):
        (again,) = await store.books("", 1, books.order.id)
        found = list(wrong(again))
        if not found or again.order == books.order:
            break
        books = again
    return found


def wrong(books: Books) -> Iterator[Finding]:
    """What does not add up in one order's books."""
    order = books.order
    numbers = [entry.number for entry in books.entries]
    if numbers != list(range(1, order.entries + 1)):
        said = f"Its entries are numbered {numbers}, and it counts {order.entries} of them."
        yield Finding(order.id, 0, said)
    for entry in books.entries:
        yield from _unbalanced(order, entry)
    yield from _not_as_paid(order, books.entries)


def _unbalanced(order: Order, entry: Entry) -> Iterator[Finding]:
    amount = sum(posting.amount for posting in entry.postings)
    functional = sum(posting.functional for posting in entry.postings)
    if not entry.postings:
        yield Finding(order.id, entry.number, f"The {entry.kind} has no postings.")
    if amount:
        said = f"The {entry.kind} is off by {amount} minor units of {entry.currency}."
        yield Finding(order.id, entry.number, said)
    if functional:
        ours = entry.functional_currency
        said = f"The {entry.kind} is off by {functional} minor units of {ours}."
        yield Finding(order.id, entry.number, said)
    if entry.kind in OWING and all(p.account != "refunds_payable" for p in entry.postings):
        yield Finding(order.id, entry.number, f"The {entry.kind} is not on refunds_payable.")
    own = order.rate.quote if entry.kind == "restock" else order.currency
    if entry.currency != own and entry.kind != "provider_fee":
        said = f"The {entry.kind} is in {entry.currency}, the order in {order.currency}."
        yield Finding(order.id, entry.number, said)


def _not_as_paid(order: Order, entries: tuple[Entry, ...]) -> Iterator[Finding]:
    """Payable, clearing and outside accounts against the legs."""
    booked: Counter[str] = Counter()
    moved = (entry for entry in entries if entry.kind not in ("provider_fee", "write_off"))
    for posting in (posting for entry in moved for posting in entry.postings):
        booked[posting.account] -= posting.amount
    legs = _paid(order)
    own = sum(legs[account, False] for account, external in legs if not external)
    owed = sum(refund.claimed for refund in order.refunds) - own
    if booked["refunds_payable"] != owed:
        said = f"{owed} {order.currency} (minor units) is claimed and not paid"
        yield Finding(order.id, 0, f"{said}, and refunds_payable says {booked['refunds_payable']}.")
    received = Counter[str]()
    for payment in order.payments:
        received[clearing(payment.connection)] += payment.receipt
    if (receipts := booked["customer_receipts"]) != received.total():
        said = f"{received.total()} {order.currency} (minor units) of captures is booked"
        yield Finding(order.id, 0, f"{said}, and customer_receipts says {receipts}.")
    for payment in order.payments:
        received[clearing(payment.connection)] -= payment.paid_shares - payment.paid_fees
    for refund in order.refunds:
        for leg in (leg for leg in refund.legs if leg.took):
            account = clearing(order.payment(leg.payment).connection)
            received[account] += sum(party.taken for party in leg.parties)
    yield from _not_as_borne(order, booked)
    outside = {*OUTSIDE_ACCOUNT.values(), *CREDITS}
    shown = {a for a in booked if a.startswith(clearing("")) or a in outside}
    for account in sorted(shown | {account for account, _ in legs}):
        paid = legs[account, False] + legs[account, True] - received[account]
        if booked[account] != paid:
            said = f"{paid} {order.currency} (minor units) was paid from {account}"
            yield Finding(order.id, 0, f"{said}, and the books say {booked[account]}.")


def _not_as_borne(order: Order, booked: Counter[str]) -> Iterator[Finding]:
    """What each seller owes against what he bears of what is paid, and what was taken of him."""
    owed: Counter[str] = Counter()
    for leg in (leg for refund in order.refunds for leg in refund.legs):
        for party in leg.parties:
            due = party.due if leg.paid_at else 0
            owed[receivable(party.account)] += due - (party.taken if leg.took else 0)
    for account in sorted({a for a in booked if a.startswith(receivable(""))} | set(owed)):
        if -booked[account] != owed[account]:
            said = f"{owed[account]} {order.currency} (minor units) is owed on {account}"
            yield Finding(order.id, 0, f"{said}, and the books say {-booked[account]}.")


def _paid(order: Order) -> Counter[tuple[str, bool]]:
    """What left by legs that are paid now, by account and whether others made them; disputes are
    by others."""
    found: Counter[tuple[str, bool]] = Counter()
    for refund in order.refunds:
        for leg in refund.legs:
            if leg.paid_at and leg.kind != "void":
                found[paid_from(order, leg), refund.external] += leg.amount
    for dispute in order.disputes:
        connection = order.payment(dispute.payment).connection
        found[clearing(connection), True] += dispute.booked
    return found
