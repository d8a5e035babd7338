"""What settings and policy say of how much: what is kept back, the least that is refunded, which of
several tenders gives, and what pays where money cannot go back the way it came."""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.core.requests import Allocation, BelowMinimum, IfLost, PlatformFee


class RowAmounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a row of the policy keeps back of what it applies to, whoever asks for what: so much of
    the goods, a handling fee by currency, and all but `partial_bp` of the rest."""

    restocking_bp: int = 0
    fee: tuple[tuple[str, int], ...] = ()
    partial_bp: int = 10_000


NO_ROW = RowAmounts()


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the policy says of how much. `restocking_bp` is 1/10,000 of the goods; the others are
    (currency, minor units) pairs. `promotion_lost` counts for promotions that do not say, and
    `allocation` for requests that do not say which tender gives how much."""

    promotion_lost: IfLost = "review"
    restocking_bp: int = 0
    return_label: tuple[tuple[str, int], ...] = ()
    handling: tuple[tuple[str, int], ...] = ()
    minimum: tuple[tuple[str, int], ...] = ()
    platform_fee: PlatformFee = "proportional"
    below_minimum: BelowMinimum = "refuse"
    allocation: Allocation = "card_first"
    row: RowAmounts = NO_ROW


PLAIN = Amounts()

Fallback = Literal["none", "manual", "store_credit"]
