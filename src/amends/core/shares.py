"""What a refund consists of: shares of lines, shipping and charges, less what is kept back.

Amounts are integers in the order's minor unit; the parts of a breakdown sum to its total exactly.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal, Protocol

import msgspec

from amends.core.period import Unused
from amends.core.requests import FeeKind


class _Part(msgspec.Struct, frozen=True, omit_defaults=True): ...


class TaxShare(_Part, frozen=True):
    """How much of one named tax is in a part of a refund."""

    name: str
    amount: int


class _NetAndTaxes(Protocol):
    @property
    def net(self) -> int: ...
    @property
    def taxes(self) -> tuple[TaxShare, ...]: ...


class _Amount(_Part, frozen=True):
    """Of what has a net amount and the taxes on it: `gross` is their sum."""

    @property
    def tax(self: _NetAndTaxes) -> int:
        return sum([share.amount for share in self.taxes])

    @property
    def gross(self: _NetAndTaxes) -> int:
        return self.net + sum([share.amount for share in self.taxes])


class LineShare(_Amount, frozen=True):
    """What a refund gives back for one line. Quantity 0: an ad-hoc amount."""

    id: str
    quantity: int
    net: int
    taxes: tuple[TaxShare, ...] = ()
    reason: str = ""  # where it is another than the refund's


class Fee(_Amount, frozen=True):
    """What is kept back of a refund."""

    kind: FeeKind
    net: int
    taxes: tuple[TaxShare, ...] = ()


class Lost(_Amount, frozen=True):
    """What of a promotion on one line or shipping charge (`part`, `on`) the return loses: kept
    back, or only shown where it is `waived`. Negative: what an earlier return lost and this one
    gives back, because what it was taken for comes back as well."""

    promotion: str
    part: str
    net: int
    taxes: tuple[TaxShare, ...] = ()
    waived: bool = False
    on: Literal["line", "shipping"] = "line"


class Breakdown(_Part, frozen=True):
    """Where the amount of a refund comes from; the parts sum to it exactly.

    `unallocated` is what no line or charge explains (an order without details, or money another
    party gave back beyond them). `compensation` is goodwill that leaves the price as it is. `fees`
    and what is `lost` of promotions are kept back.
    """

    lines: tuple[LineShare, ...] = ()
    shipping: tuple[LineShare, ...] = ()
    unallocated: int = 0
    charges: tuple[LineShare, ...] = ()
    fees: tuple[Fee, ...] = ()
    lost: tuple[Lost, ...] = ()
    compensation: int = 0
    unused: tuple[Unused, ...] = ()  # the time that amounts of lines are for

    @property
    def parts(self) -> tuple[LineShare, ...]:
        """The components of the order that it gives back."""
        return (*self.lines, *self.shipping, *self.charges)

    @property
    def units(self) -> Counter[str]:
        """Units by line. A line may be in it more than once, with units and with an amount."""
        found: Counter[str] = Counter()
        for part in self.lines:
            found[part.id] += part.quantity
        return found

    @property
    def held(self) -> tuple[Fee | Lost, ...]:
        """What is kept back (negative: given back again)."""
        if not self.lost:
            return self.fees
        return (*self.fees, *(lost for lost in self.lost if not lost.waived))

    @property
    def total(self) -> int:
        amount = self.unallocated + self.compensation
        for part in self.parts:  # plain loops: this is asked for all the time
            amount += part.gross
        for kept in self.held:
            amount -= kept.gross
        return amount
