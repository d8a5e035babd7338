"""The time a line was paid for, and how much of its price goes with how much of it.

Time is counted in units from the start of the period: seconds, or days of 24 hours, of which a
begun one counts as used. So no zone and no change of the clocks matters, and a part of a period is
the same whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from amends.kernel.money import share
from amends.kernel.time import DAY, SECOND, Instant

Unit = Literal["second", "day"]
LENGTH: dict[Unit, int] = {"second": SECOND, "day": DAY}

Span = tuple[int, int]  # units of a period, from (inclusive) and to (exclusive)


class Period(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line was paid for: the time from `start` to `end`. `paid_by_credit` of its value was
    paid by credit for time of another period, beside the line's total; for `credited` time of this
    one such credit was granted."""

    start: Instant
    end: Instant
    by: Unit = "second"
    paid_by_credit: int = 0
    credited: tuple[tuple[Instant, Instant], ...] = ()  # in order

    @property
    def whole(self) -> int:
        """Its units; a last one that is not whole counts as one."""
        return self.unit(self.end)

    def unit(self, at: Instant) -> int:
        """The first unit that begins at or after an instant within it."""
        return -((self.start - at) // LENGTH[self.by])

    @property
    def granted(self) -> tuple[Span, ...]:
        """What of it was credited, with every unit that was touched."""
        merged: list[Span] = []
        for first, last in self.credited:
            start, end = (first - self.start) // LENGTH[self.by], self.unit(last)
            if merged and start < merged[-1][1]:  # two of them touch one day
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        return tuple(merged)


class Unused(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which units of a line's period a refund gives back. `credit` of their value was paid by
    credit, and is not paid in money: whoever granted that credit gives it back, or not. `used` are
    the units that were neither given back by then nor credited."""

    line: str
    start: int
    end: int
    credit: int = 0
    used: int = 0

    @property
    def span(self) -> Span:
        return self.start, self.end


def length(spans: Iterable[Span]) -> int:
    """Units in all; the spans do not overlap."""
    return sum(end - start for start, end in spans)


def overlapping(span: Span, others: Iterable[Span]) -> list[Span]:
    """Those of the others that share a unit with it."""
    start, end = span
    return [(a, b) for a, b in others if a < end and start < b]


def money_of(period: Period, total: int, units: int) -> tuple[int, int]:
    """What of the money paid for a period, and of the credit, goes with so many of its units:
    the credit first, so that no more money goes back than was paid and not used."""
    value = share(total + period.paid_by_credit, units, period.whole)
    credit = min(period.paid_by_credit, value)
    return value - credit, credit
