"""What an order knows of its goods, of its shop's own refunds, and of what an ERP was told."""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.kernel.time import Instant


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """Goods that came back: units by line, as far as they had been shipped, and what of their cost
    is in stock again. `held` of the units somebody is still to look at; `gone` is the cost of
    those that were written off."""

    id: str
    lines: tuple[tuple[str, int, int], ...]
    held: tuple[tuple[str, int], ...] = ()
    gone: tuple[tuple[str, int], ...] = ()


ReturnState = Literal["authorized", "shipped", "received", "inspected", "cancelled"]


class Return(msgspec.Struct, frozen=True, omit_defaults=True):
    """Goods that are to come back, units by line. What came of it is in its receipts."""

    id: str
    state: ReturnState
    lines: tuple[tuple[str, int], ...]
    at: Instant  # of the state


class Cancelled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What its shop has cancelled of a line so far: units, and of those `back` in its stock; for
    `asked` of them money was asked for, or had been given back already."""

    line: str
    units: int
    back: int = 0
    asked: int = 0


class ShopRefund(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refund as the shop has it: `ours`, the one it records; else the shop made it, and `refund`
    is the one it was adopted as, "" while that is not known here."""

    id: str
    amount: int
    ours: str = ""
    refund: str = ""
    psp_refund_id: str = ""
    lines: tuple[tuple[str, int, int], ...] = ()  # id, units, gross (-1: not said)

    @property
    def unseen(self) -> bool:
        """Whether its money is still looked for: the provider has not told of it."""
        return bool(self.amount) and not self.ours and not self.refund


class Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A credit note, by its key: what it owes, and was paid, and the connections told of it."""

    key: str
    owed: int
    paid: int = 0
    to: tuple[str, ...] = ()
