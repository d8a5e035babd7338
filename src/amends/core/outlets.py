"""What others are told, as data: the ERP, the shop an order is from, whoever keeps stock or grants
access, customers, and subscribers of events.

Nothing of it is state of the order. A telling is decided with the change it tells of, stored in the
same commit as a row (`deliveries`), and goes to one connection; those of one order to one
connection go in the order of their numbers. A party may hear the same telling again after a crash:
`key` marks what it leads to there, and is looked for before anything is made.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.core.documents import Document
from amends.kernel.time import Instant

Disposition = Literal["restock", "quarantine", "refurbish", "write_off"]

KINDS = (
    "credit_note",
    "refund_paid",
    "refund_recorded",
    "goods_returned",
    "lines_released",
    "access_changed",
    "books",
    "notice",
    "event",
)


class _Tells(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="tells", kw_only=True):
    """`key` is unique and the same over all tries. `order` is ours, `shop` the connection it is
    from and `shop_order` its name there; `at` when it happened here."""

    key: str
    at: Instant
    entity: str = "main"
    order: str = ""
    shop: str = ""
    shop_order: str = ""


class Booked(msgspec.Struct, frozen=True):
    """What is booked on one account, debit positive; in minor units of the functional currency,
    and in `currency` where that is another."""

    account: str
    functional: int
    currency: str
    amount: int


class CreditNote(_Tells, frozen=True, tag="credit_note"):
    """A document that gives revenue and tax back, or takes that back again (see its `kind`).
    `number` is ours, "" where the ERP numbers it; `skus` by line id. `booked` is what it books:
    what is owed is on `refunds_payable`."""

    document: Document
    number: str = ""
    skus: tuple[tuple[str, str], ...] = ()
    booked: tuple[Booked, ...] = ()


class RefundPaid(_Tells, frozen=True, tag="refund_paid"):
    """`amount` of what the credit note `note` (its key) owes was paid from `account`, or came back
    (`back`). `reference` is the provider's id of the refund, `booked` what it books."""

    note: str
    refund: str
    amount: int
    currency: str
    account: str
    reference: str = ""
    back: bool = False
    booked: tuple[Booked, ...] = ()


class RefundedPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a refund gives back of a "line", "shipping" or "charge" of the shop's order; quantity
    0: an amount, no units. `tax` is beside `net`."""

    kind: Literal["line", "shipping", "charge", "other"]
    id: str
    quantity: int
    net: int
    tax: int = 0
    sku: str = ""


class PaidBack(msgspec.Struct, frozen=True, omit_defaults=True):
    """One movement of a refund, at the provider or by other means."""

    connection: str
    psp_payment_id: str
    psp_refund_id: str
    amount: int
    kind: str = "refund"


class RefundRecorded(_Tells, frozen=True, tag="refund_recorded"):
    """A refund was paid here, and the shop must know without paying it again."""

    refund: str
    amount: int
    currency: str
    reason: str
    parts: tuple[RefundedPart, ...] = ()
    paid: tuple[PaidBack, ...] = ()


class Goods(msgspec.Struct, frozen=True, omit_defaults=True):
    """Units of one line, and what becomes of them where."""

    line: str
    sku: str
    units: int
    disposition: Disposition = "restock"
    location: str = ""


class GoodsReturned(_Tells, frozen=True, tag="goods_returned"):
    """Goods are back, and this is what becomes of them."""

    return_id: str
    lines: tuple[Goods, ...]


class LinesReleased(_Tells, frozen=True, tag="lines_released"):
    """Units that never left and never will: a reservation ends, stock does not rise."""

    lines: tuple[Goods, ...]


class AccessChanged(_Tells, frozen=True, tag="access_changed"):
    """Licences, files or seats of these lines are revoked with a refund, or `granted` again since
    it failed."""

    refund: str
    lines: tuple[Goods, ...]
    granted: bool = False


class Books(_Tells, frozen=True, tag="books"):
    """All that a legal entity's ledger booked on a day (YYYY-MM-DD), but for what credit notes and
    their payments tell: balanced."""

    day: str
    currency: str
    lines: tuple[Booked, ...]


class Notice(_Tells, frozen=True, tag="notice"):
    """A customer is told what became of a refund: by `what` (see notices.What), and by the refund's
    `reason` for the tone. Who and where is looked up when it is sent (invariant I15). `items` are
    units and titles of what it is for, `way` the kind of tender or the provider's name of the
    payment method it goes back to, `reference` what the customer's bank finds it by."""

    customer: str
    refund: str
    what: str
    reason: str
    amount: int
    currency: str
    expected: tuple[str, ...] = ()
    items: tuple[tuple[int, str], ...] = ()
    way: str = ""
    reference: str = ""


class Happened(_Tells, frozen=True, tag="event"):
    """Something subscribers may want to know. `type` is what they subscribe to, `body` the
    JSON that is signed and sent as it is."""

    type: str
    body: str


Telling = (
    CreditNote
    | RefundPaid
    | RefundRecorded
    | GoodsReturned
    | LinesReleased
    | AccessChanged
    | Books
    | Notice
    | Happened
)


class Outlet(msgspec.Struct, frozen=True):
    """What one connection is told: which kinds, of which legal entity, and whether only of the
    orders that are from it."""

    name: str
    takes: frozenset[str]
    entity: str = "main"
    own_orders: bool = False

    def wants(self, telling: Telling) -> bool:
        if kind_of(telling) not in self.takes or telling.entity != self.entity:
            return False
        return not self.own_orders or telling.shop == self.name


# Each of these stands for itself: it is told whatever became of those before it.
APART = ("notice", "event")


class Moved(msgspec.Struct, frozen=True):
    """Units that came back and are booked: `number` counts those of the order."""

    order: str
    number: int
    at: Instant
    return_id: str
    goods: Goods
    source: str


class Tell(msgspec.Struct, frozen=True):
    """A telling on its way to one connection; `number` counts those of its order."""

    order: str
    number: int
    connection: str
    telling: Telling


def kind_of(telling: Telling) -> str:
    """One of KINDS."""
    return str(telling.__struct_config__.tag)


encode_telling = msgspec.json.Encoder().encode
decode_telling = msgspec.json.Decoder(Telling).decode
