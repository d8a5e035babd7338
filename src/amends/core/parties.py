"""Whose sale a payment was where a platform sold for others, and what of a refund each bears.

Amounts are in minor units of the order's currency. An `account` is an id at the provider, no name.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from amends.kernel.money import share

SplitWay = Literal["transfer", "amounts", "fee"]


class Split(msgspec.Struct, frozen=True):
    """How a provider takes back with a refund what it paid to sellers with the payment.

    `way`: "transfer" of one seller, in proportion, with or without the platform's fee, as it is
    told; "amounts" for each account, as said; "fee": it takes all from the one who was paid, less
    the fee that the platform adds. `sellers`: the most one payment has, 0: any number. `returns`:
    a refund that fails after it was paid gives back what it took. `multiple_of`: what it takes must
    be one, by currency.
    """

    way: SplitWay
    sellers: int = 1
    returns: bool = True
    multiple_of: tuple[tuple[str, int], ...] = ()


class Seller(msgspec.Struct, frozen=True, omit_defaults=True):
    """One seller's part of a payment: `amount` is before the platform's `fee`. The references are
    those under which the provider booked the two."""

    account: str
    amount: int
    fee: int = 0
    reference: str = ""
    fee_reference: str = ""


def parts_of(sellers: tuple[Seller, ...], captured: int, authorized: int) -> tuple[Seller, ...]:
    """The sellers with their parts of what was captured of a payment, and the fees on these. Parts
    are rounded down, so that they are within it and none falls while it grows; the rest is ours."""
    whole = max(authorized, captured, 1)
    found = ((seller, seller.amount * captured // whole) for seller in sellers)
    return tuple(
        replace(seller, amount=part, fee=share(seller.fee, part, max(1, seller.amount)))
        for seller, part in found
    )


class Party(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a leg one seller bears: `amount`, less `fee` that the platform gives back to him.

    `part` is what of the platform's fee goes with the amount, given back or kept; `taken` is what
    the provider takes from the seller with the refund. What it does not take is owed to us, what it
    takes beyond that is owed by us. `fee_too`: it is told to give its fee back besides.
    """

    account: str
    amount: int
    part: int = 0
    fee: int = 0
    taken: int = 0
    fee_too: bool = False

    @property
    def due(self) -> int:
        return self.amount - self.fee
