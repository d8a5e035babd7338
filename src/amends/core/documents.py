"""Credit notes and the documents that reverse them: what each entry that gives revenue and tax back
says on paper. Its totals are the entry's own, to the minor unit; who numbers it is another matter
(store/ledger.py), so that no counter is on the way of a refund.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from amends.core.order import Charge, Line, Order, Refund, Shipping
from amends.core.postings import Entry
from amends.core.shares import Fee, LineShare, Lost
from amends.kernel.time import Instant, day_of

Kind = Literal["credit_note", "reversal"]

# What says how an entry is settled, and compensation, which leaves the sale as it is.
SETTLED = ("refunds_payable", "clearing")
_BESIDE = (*SETTLED, "goodwill")


class DocumentTax(msgspec.Struct, frozen=True):
    """One tax, as it was charged; `rate` as the shop said it, "" if it did not."""

    name: str
    rate: str
    amount: int


class DocumentPart(msgspec.Struct, frozen=True):
    """What is given back for a `kind` "line", "shipping" or "charge" of the order, and "other" for
    what none of them explains; or kept back, so negative: a "fee", a "promotion" that was lost.
    `quantity` 0: an amount, not units. In a reversal all of it has the other sign."""

    kind: str
    id: str
    title: str
    quantity: int
    net: int
    taxes: tuple[DocumentTax, ...]


class Document(msgspec.Struct, frozen=True):
    """A credit note, or what reverses one. Amounts are in minor units of `currency`, and negative
    in a reversal.

    `net`, `tax` and `gross` are what this document is for. `parts` are those of the refund, which
    come to it where it is `whole`; a document of less is for a part of them. `invoice` is the
    number of the order's own document, "" if the shop did not say it, and `of` the day of the sale.
    `reverses` are the numbers of the credit notes of the same refund, filled in with its own.
    """

    kind: Kind
    order: str
    entry: int
    refund: str
    entity: str
    source_connection: str
    source_order: str
    invoice: str
    of: str
    document_date: str
    reason: str
    currency: str
    net: int
    tax: int
    gross: int
    whole: bool
    parts: tuple[DocumentPart, ...]
    reverses: tuple[str, ...] = ()


class DueDocument(msgspec.Struct, frozen=True):
    """A document that waits for its number, in the order of `at`, its order and its entry."""

    at: Instant
    document: Document


def document(order: Order, refund: Refund, entry: Entry) -> DueDocument | None:
    """The document of an entry of a refund; None if the entry gives no revenue or tax back.
    Compensation is not on it: it changes nothing of what was invoiced."""
    if entry.kind not in ("claim", "claim_lapsed", "external"):
        return None
    sides = [p for p in entry.postings if p.account.partition(":")[0] not in _BESIDE]
    tax = sum(p.amount for p in sides if p.account == "tax_payable")
    gross = sum(p.amount for p in sides)
    if not gross:
        return None
    owed = -sum(p.amount for p in entry.postings if p.account.partition(":")[0] in SETTLED)
    made = Document(
        kind="credit_note" if owed > 0 else "reversal",
        order=order.id,
        entry=entry.number,
        refund=refund.id,
        entity=entry.entity,
        source_connection=order.source.connection,
        source_order=order.source.order_id,
        invoice=order.invoice,
        of=day_of(order.placed_at) if order.placed_at else "",
        document_date=day_of(entry.at),
        reason=refund.reason,
        currency=entry.currency,
        net=gross - tax,
        tax=tax,
        gross=gross,
        whole=abs(gross) == abs(refund.breakdown.total - refund.breakdown.compensation),
        parts=tuple(_parts(order, refund, 1 if owed > 0 else -1)),
    )
    return DueDocument(entry.at, made)


def _parts(order: Order, refund: Refund, sign: int) -> Iterator[DocumentPart]:
    parts = refund.breakdown
    for kind, shares, sold in (
        ("line", parts.lines, {line.id: line for line in order.lines}),
        ("shipping", parts.shipping, {charge.id: charge for charge in order.shipping}),
        ("charge", parts.charges, {charge.id: charge for charge in order.charges}),
    ):
        for share in shares:
            yield _part(kind, share, sold.get(share.id), sign)
    for fee in parts.fees:
        yield _kept("fee", fee.kind, fee, sign)
    for lost in (lost for lost in parts.lost if not lost.waived):
        yield _kept("promotion", lost.promotion, lost, sign)
    if parts.unallocated:
        yield DocumentPart("other", "", "", 0, sign * parts.unallocated, ())


def _kept(kind: str, name: str, held: Fee | Lost, sign: int) -> DocumentPart:
    """What is kept back, so negative where the rest is positive."""
    taxes = tuple(DocumentTax(t.name, "", -sign * t.amount) for t in held.taxes)
    return DocumentPart(kind, name, "", 0, -sign * held.net, taxes)


def _part(
    kind: str, share: LineShare, sold: Line | Shipping | Charge | None, sign: int
) -> DocumentPart:
    """Without a title or rates if the shop no longer tells of what was sold."""
    rates = {tax.name: tax.rate for tax in sold.taxes} if sold else {}
    taxes = tuple(DocumentTax(t.name, rates.get(t.name, ""), sign * t.amount) for t in share.taxes)
    title = sold.title if sold else ""
    return DocumentPart(kind, share.id, title, sign * share.quantity, sign * share.net, taxes)
