"""What the books tell an ERP: each credit note, and each payment of one.

What an entry books beyond those (goodwill, fees, exchange, sellers, disputes, stock) is told by the
day, in sums (`Books`): everything that was booked less what stands in `booked` of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from amends.core.documents import SETTLED, DueDocument
from amends.core.goods import Noted
from amends.core.order import Order
from amends.core.outlets import Booked, CreditNote, Outlet, RefundPaid, Telling
from amends.core.postings import Entry, Posting
from amends.kernel.money import share

_OWED = "refunds_payable"
Notes = tuple[Noted, ...]
Names = tuple[str, ...]


def note_key(entry: Entry) -> str:
    """The name of a credit note everywhere: it is that of its entry."""
    return f"{entry.order}-{entry.number}"


def of_entry(
    order: Order, notes: Notes, entry: Entry, due: DueDocument | None, outlets: tuple[Outlet, ...]
) -> tuple[list[tuple[Telling, Names]], Notes]:
    """What is told of an entry, each with the connections that are told it, and what is known of
    the refund's credit notes after it. Who was connected later is not told how a credit note was
    paid that it has never had: that is in the books of its day."""
    told: list[tuple[Telling, Names]] = []
    if due is not None:
        key = note_key(entry)
        note = _note(order, entry, due, key)
        to = tuple(outlet.name for outlet in outlets if outlet.wants(note))
        told.append((note, to))
        notes = (*notes, Noted(key, due.document.gross, to=to))
    if entry.kind in ("payout", "payout_failed", "external"):
        paid, notes = _settled(order, notes, entry)
        told += [(one, _hear(outlets, note)) for one, note in paid]
    return told, notes


def _hear(outlets: tuple[Outlet, ...], note: Noted) -> Names:
    """Who had the credit note, and whoever takes none."""
    return tuple(o.name for o in outlets if o.name in note.to or "credit_note" not in o.takes)


def _note(order: Order, entry: Entry, due: DueDocument, key: str) -> CreditNote:
    on_it = [p for p in entry.postings if p.account.partition(":")[0] not in SETTLED]
    on_it = [p for p in on_it if p.account not in ("goodwill", "fx_gain_loss")]
    gross = sum(p.amount for p in on_it), sum(p.functional for p in on_it)
    owed = Posting(_OWED, -gross[0], -gross[1])
    return CreditNote(
        key=key,
        at=entry.at,
        entity=entry.entity,
        order=order.id,
        shop=order.source.connection,
        shop_order=order.source.order_id,
        document=due.document,
        skus=tuple((line.id, line.sku) for line in order.lines if line.sku),
        booked=tuple(_booked(entry, p) for p in (*on_it, owed)),
    )


def _settled(
    order: Order, notes: Notes, entry: Entry
) -> tuple[list[tuple[RefundPaid, Noted]], Notes]:
    """The notes that a payment pays, the oldest first; what came back opens the newest again."""
    account = next(p for p in entry.postings if _pays(p))
    rest, told = -account.amount, list[tuple[RefundPaid, Noted]]()
    after = list(notes)
    places = list(range(len(after)))
    for place in places if rest > 0 else reversed(places):
        note = after[place]
        step = min(rest, note.owed - note.paid) if rest > 0 else max(rest, -note.paid)
        if not step or note.owed < 0:
            continue
        rest -= step
        after[place] = replace(note, paid=note.paid + step)
        told.append((_paid(order, note, entry, account.account, step), note))
    return told, tuple(after)


def _pays(posting: Posting) -> bool:
    kind = posting.account.partition(":")[0]
    return kind in ("clearing", "manual_payouts", "store_credit", "gift_cards")


def _paid(order: Order, note: Noted, entry: Entry, account: str, amount: int) -> RefundPaid:
    """`booked` values it as what was owed: what it cost more or less is told with the day."""
    owed = [p for p in entry.postings if not _pays(p) and p.account != "fx_gain_loss"]
    gross, worth = sum(p.amount for p in owed), sum(p.functional for p in owed)
    functional = share(abs(worth), abs(amount), abs(gross)) * (1 if amount > 0 else -1)
    sides = (Posting(_OWED, amount, functional), Posting(account, -amount, -functional))
    return RefundPaid(
        key=f"{note.key}-{entry.number}",
        at=entry.at,
        entity=entry.entity,
        order=order.id,
        shop=order.source.connection,
        shop_order=order.source.order_id,
        note=note.key,
        refund=entry.refund,
        amount=abs(amount),
        currency=entry.currency,
        account=account,
        reference=entry.psp_refund_id,
        back=amount < 0,
        booked=tuple(_booked(entry, p) for p in sides),
    )


def _booked(entry: Entry, posting: Posting) -> Booked:
    return Booked(posting.account, posting.functional, entry.currency, posting.amount)


def booked_of(tellings: Iterable[Telling]) -> Iterator[Booked]:
    """What these stand for, of the books of their day."""
    for telling in tellings:
        if isinstance(telling, CreditNote | RefundPaid):
            yield from telling.booked
