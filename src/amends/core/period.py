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

    def within(self, start: Instant, end: Instant) -> Span:
        """The units of which the whole is between two instants; none if they come out as equal."""
        whole = self.whole if end == self.end else (end - self.start) // LENGTH[self.by]
        return self.unit(start), max(self.unit(start), whole)

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
    the units that were neither given back by then nor credited. `part`: only part of what they are
    worth was paid, and they may be asked for again; they are not free to be credited."""

    line: str
    start: int
    end: int
    credit: int = 0
    used: int = 0
    part: bool = False

    @property
    def span(self) -> Span:
        return self.start, self.end


def length(spans: Iterable[Span]) -> int:
    """Units in all, each counted once."""
    units, last = 0, 0
    for start, end in sorted(spans):
        units += max(0, end - max(start, last))
        last = max(last, end)
    return units


def overlapping(span: Span, others: Iterable[Span]) -> list[Span]:
    """Those of the others that share a unit with it."""
    start, end = span
    return [(a, b) for a, b in others if a < end and start < b]


def credited_of(period: Period, total: int) -> int:
    """What of the money paid for a period was given back as credit: all that does not go with the
    rest of it, reckoned as `money_of` does."""
    value = total + period.paid_by_credit
    rest = share(value, period.whole - length(period.granted), period.whole)
    return max(0, total - rest)


def money_of(period: Period, total: int, units: int) -> tuple[int, int]:
    """What of the money paid for a period, and of the credit, goes with so many of its units:
    the credit first, so that no more money goes back than was paid and not used."""
    value = share(total + period.paid_by_credit, units, period.whole)
    credit = min(period.paid_by_credit, value)
    return value - credit, credit
