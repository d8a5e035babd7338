"""What the console reads: each of these looks at a bounded number of rows, by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from amends.core.events import Event
from amends.core.history import History
from amends.core.order import Order
from amends.kernel.time import Instant
from amends.store.records import Page

LOOKED_AT = 5_000  # messages among which those of one connection are looked for


class DayRow(msgspec.Struct, frozen=True):
    """Refunds asked for on one day, UTC (days since 1970-01-01), in one currency and state."""

    day: int
    currency: str
    state: str
    count: int
    amount: int
    succeeded: int


class Found(msgspec.Struct, frozen=True):
    """What a search found: an "order", a "refund" or a "customer", and by which of its names."""

    kind: str
    id: str
    by: str
    entity: str = ""


class Heard(msgspec.Struct, frozen=True):
    """What came in from a connection lately."""

    connection: str
    last_at: Instant
    messages: int
    waiting: int  # unmatched or parked


class Desk(Protocol):
    """Reading for people."""

    async def find(self, text: str) -> list[Found]:
        """What has exactly this id or name: order, shop's order, payment, refund, customer."""
        ...

    async def refund_days(self, since: Instant, most: int) -> list[DayRow]:
        """The newest `most` refunds since then, by day, currency and state."""
        ...

    async def refund_times(self, since: Instant, most: int) -> list[int]:
        """How long refunds took to be paid, from their request, in microseconds, ascending: of the
        newest `most`, those that were."""
        ...

    async def outcomes(self, since: Instant, most: int) -> dict[str, int]:
        """How the newest `most` judgements since then ended, by outcome."""
        ...

    async def disputed(self, since: Instant, most: int) -> tuple[int, int]:
        """Of the newest `most` orders since then: how many there are, and how many had money taken
        by a dispute."""
        ...

    async def messages(self, connection: str, cursor: str, limit: int) -> Page:
        """Messages whose bodies are still kept, newest first, of one connection or of all (""); of
        one among the newest thousands only. Items: connection, message, at, type, state, order."""
        ...

    async def heard(self) -> list[Heard]:
        """By connection, among the newest thousands of messages."""
        ...

    async def queue_mark(self) -> str:
        """Another text whenever a refund came to the queue or left it."""
        ...

    async def orders_of(self, order_ids: Sequence[str]) -> dict[str, Order]: ...

    async def customer_orders(self, entity: str, customer: str, most: int) -> list[Order]:
        """A customer's newest orders, newest first."""
        ...

    async def customer_history(self, entity: str, customer: str, today: int) -> History:
        """As a turn of that day (since 1970-01-01) would read it; nobody else is looked for."""
        ...

    async def recent_events(self, stream: str, before: int, limit: int) -> list[Event]:
        """Events of a stream, newest first, before number `before` (0: from the last)."""
        ...
