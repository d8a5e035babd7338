"""How much may leave now, per connection: concurrency, requests a second, and a circuit breaker.

All in microseconds of the monotonic clock. A connection's configured rate is shared out over the
live processes (`share`); concurrency is per process.
"""

from __future__ import annotations

from amends.kernel.time import SECOND, Clock, Instant

BREAK_AFTER = 10  # failures in a row without any answer
BREAK_FOR = (1 * SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND)


class Limit:
    """One connection's budget. `rate` 0 means no limit."""

    def __init__(self, rate: int, concurrency: int, clock: Clock) -> None:
        self.rate, self.concurrency, self._clock = rate, concurrency, clock
        self.in_flight = 0
        self.processes = 1
        self._tokens_us = SECOND  # a second's worth of tokens, counted in microseconds of rate
        self._filled_at = clock.monotonic()
        self._failures = 0
        self._opened = 0
        self._closed_until: Instant = 0

    def free(self) -> int:
        """How many requests may start now."""
        if self._clock.monotonic() < self._closed_until:
            return 0
        slots = self.concurrency - self.in_flight
        if self._opened:
            slots = min(slots, 1 if not self.in_flight else 0)  # half open: one probe
        return max(0, min(slots, self._tokens()) if self.rate else slots)

    def take(self) -> bool:
        """Reserve one start."""
        if not self.free():
            return False
        self.in_flight += 1
        if self.rate:
            self._tokens_us -= self._price()
        return True

    def give_back(self) -> None:
        """A start that was reserved and not used."""
        self.in_flight -= 1
        if self.rate:
            self._tokens_us += self._price()

    def ended(self, answered: bool) -> None:
        """A request ended; `answered` False: the party gave no answer at all."""
        self.in_flight -= 1
        if answered:
            self._failures = self._opened = 0
            return
        self._failures += 1
        if self._opened and self._clock.monotonic() < self._closed_until:
            return  # it was on the wire when the breaker opened: the same outage, not a new probe
        if self._failures >= BREAK_AFTER or self._opened:
            pause = BREAK_FOR[min(self._opened, len(BREAK_FOR) - 1)]
            self._closed_until = self._clock.monotonic() + pause
            self._opened += 1

    def pause(self, duration: int, most: int = 30 * SECOND) -> None:
        """The party asked for a pause (Retry-After): nobody of this process starts before it."""
        until = self._clock.monotonic() + min(duration, most)
        self._closed_until = max(self._closed_until, until)

    def wakes_in(self) -> int:
        """Microseconds until something may start again, if only time is in the way."""
        waits = [self._closed_until - self._clock.monotonic()]
        if self.rate and not self._tokens():
            waits.append(self._price() - self._tokens_us)
        return max(0, *waits)

    @property
    def open(self) -> bool:
        """Whether the breaker holds requests back."""
        return self._opened > 0

    def _price(self) -> int:
        return max(1, SECOND * self.processes // self.rate)

    def _tokens(self) -> int:
        now = self._clock.monotonic()
        most = max(SECOND, self._price())  # a burst of one second, and never less than one start
        self._tokens_us = min(most, self._tokens_us + now - self._filled_at)
        self._filled_at = now
        return max(0, self._tokens_us // self._price())
