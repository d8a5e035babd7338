"""Instants are integers: microseconds since 1970-01-01T00:00:00Z, UTC.

One integer compares, sorts, hashes and stores alike on every database; RFC 3339 appears only at
the doors. The clock is handed in (`Clock`), so that a simulation can own time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

Instant = int  # microseconds since the epoch, UTC

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)", re.ASCII)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> Instant:
        """The wall clock, UTC."""
        ...

    def monotonic(self) -> Instant:
        """Microseconds that never go back; only differences mean anything."""
        ...


def from_datetime(moment: datetime) -> Instant:
    """The instant of a datetime that knows its zone. Raises ValueError for one that does not."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone names no instant: add Z or an offset")
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(at: Instant) -> datetime:
    """The same instant as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=at)


def rfc3339(at: Instant) -> str:
    """`2026-11-01T10:00:00.000000Z`."""
    return to_datetime(at).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def day_of(at: Instant) -> str:
    """The date of an instant, UTC: `2026-11-30`."""
    return to_datetime(at).date().isoformat()


def day_after(at: Instant, days: int, business: bool) -> str:
    """The date, UTC, so many days after an instant: `2026-11-30`. Business days are Monday to
    Friday; no country's holidays are known here."""
    date = to_datetime(at).date()
    if not business:
        return (date + timedelta(days=days)).isoformat()
    while days:
        date += timedelta(days=1)
        days -= date.weekday() < 5
    return date.isoformat()


def parse_rfc3339(text: str) -> Instant:
    """The instant an RFC 3339 text names. Raises ValueError."""
    at = from_datetime(datetime.fromisoformat(text))
    try:
        to_datetime(at)
    except OverflowError:
        raise ValueError(f"{text!r} is not of the years 1 to 9999 in UTC") from None
    return at


def parse_duration(text: str) -> int:
    """Microseconds of "5s", "90m", "24h", "45d". Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is not a duration; write "5s", "90m", "24h" or "45d"')
    return int(match[1]) * _UNITS[match[2]]
