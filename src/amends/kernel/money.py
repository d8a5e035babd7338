"""Money is an integer in the currency's minor unit, and division has a name.

There is no `/`, no float and no default rounding here. Whoever divides says how: `allocate`
(parts that sum to the whole), `share` (part of a whole, half up), `scale` (signed parts to a
smaller whole), `convert` (by a rate).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from amends.kernel.check import invariant
from amends.kernel.currency import exponent


class Money(msgspec.Struct, frozen=True):
    """`minor` units of `currency`: Money(1050, "EUR") is 10.50 EUR, Money(1050, "JPY") 1050 JPY."""

    minor: int
    currency: str

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __str__(self) -> str:
        return f"{major(self.minor, self.currency)} {self.currency}"

    def _same(self, other: Money) -> None:
        invariant(
            self.currency == other.currency, f"{self.currency} and {other.currency} do not add"
        )


class Rate(msgspec.Struct, frozen=True):
    """Minor units of `quote` per minor unit of `base`, as an exact fraction.

    `source` says who gave it ("same", "ECB", "config") and `day` for which day (YYYY-MM-DD).
    """

    base: str
    quote: str
    numerator: int
    denominator: int
    source: str
    day: str = ""


def major(minor: int, currency: str) -> str:
    """The amount as people write it: major(-1050, "EUR") is "-10.50"."""
    places = exponent(currency)
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def share(whole: int, part: int, parts: int) -> int:
    """`whole * part : parts`, half up. share(9600, 1, 3) is 3200; share(w, n, n) is exactly w."""
    invariant(0 <= part <= parts > 0, "a share is of 0 to all parts")
    return proportion(whole, part, parts)


def proportion(whole: int, part: int, parts: int) -> int:
    """Like `share`, where the part may be more than all: the tax on 300 if that on 200 is known."""
    return (2 * whole * part + parts) // (2 * parts)


def allocate(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split `total` in proportion to `weights`, by largest remainder; the parts sum to `total`.

    A part of a non-negative total is never negative, and a weight of zero gets nothing. Ties go to
    the earlier part, so that the same input always gives the same cents to the same line.
    """
    whole = sum(weights)
    invariant(whole > 0 and min(weights) >= 0, "weights are non-negative and one is positive")
    floors = [total * weight // whole for weight in weights]
    if missing := total - sum(floors):
        rests = [-(total * weight % whole) for weight in weights]
        for i in sorted(range(len(weights)), key=rests.__getitem__)[:missing]:
            floors[i] += 1
    return tuple(floors)


def scale(total: int, parts: Sequence[int]) -> tuple[int, ...]:
    """Parts of either sign made smaller in proportion, so that they sum to `total`, which is 0 to
    their sum. None of them changes its sign or grows: what is negative is a share, half up, what is
    positive is split by largest remainder."""
    whole = sum(parts)
    less = [share(-part, total, whole) if part < 0 else 0 for part in parts]
    more = [max(0, part) for part in parts]
    split = allocate(total + sum(less), more) if any(more) else more
    return tuple(up - down for up, down in zip(split, less, strict=True))


def convert(minor: int, rate: Rate) -> int:
    """`minor` of rate.base in minor units of rate.quote, half away from zero."""
    doubled = 2 * abs(minor) * rate.numerator
    magnitude = (doubled + rate.denominator) // (2 * rate.denominator)
    return magnitude if minor >= 0 else -magnitude
