"""What a store keeps of what others are told, and of goods that came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from amends.core.outlets import Telling
from amends.kernel.time import Instant
from amends.store.desk_spec import Make
from amends.store.records import Page

State = Literal["open", "done", "stuck", "dropped"]


class Due(msgspec.Struct, frozen=True):
    """A telling whose lease was just taken. `attempts` were made before."""

    order: str
    number: int
    connection: str
    telling: Telling
    attempts: int
    at: Instant


class Came(msgspec.Struct, frozen=True):
    """What came of one attempt: `open` again from `ready_at` on, or ended."""

    order: str
    number: int
    state: State
    ready_at: Instant
    reference: str = ""
    detail: str = ""


class Counted(msgspec.Struct, frozen=True):
    """So many returned units of an article were found at a location since the count before."""

    sku: str
    location: str
    units: int


class Lane(msgspec.Struct, frozen=True):
    """What one connection has not been told: `stuck` of it waits for a person, and `oldest` is when
    the first of it was decided (0: there is none)."""

    connection: str
    open: int = 0
    stuck: int = 0
    oldest: Instant = 0


class Outbox(Protocol):
    """Tellings: one row each, of one order (or stream) to one connection. An `ordered` one is never
    claimed while one before it, of the same order and connection, is open or stuck."""

    async def claim_tells(
        self, holder: str, now: Instant, until: Instant, limits: dict[str, int]
    ) -> list[Due]:
        """Lease what is due, longest ready first, at most `limits[connection]` per connection. What
        cannot be read is a person's, and the others go on."""
        ...

    async def came(self, holder: str, outcomes: Sequence[Came], now: Instant) -> None:
        """Store what came of attempts, of those whose lease is still ours, or that are done."""
        ...

    async def next_tell(self, connections: Sequence[str]) -> Instant | None:
        """When the next open one of these is ready; may be in the past."""
        ...

    async def add_tells(
        self, stream: str, connection: str, tellings: Sequence[tuple[int, Telling]]
    ) -> int:
        """Add tellings of no order, by number; those that are there already are left. How many are
        new."""
        ...

    async def tells(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        """Newest first; filters: order, connection, state, kind. Items: order, number, connection,
        kind, key, state, attempts, at, ended_at, reference, detail."""
        ...

    async def tell_doc(self, order: str, number: int) -> Telling | None: ...

    async def tell_row(self, order: str, number: int) -> dict[str, Any] | None:
        """One, as in `tells`."""
        ...

    async def move_tell(
        self, order: str, number: int, to: State, now: Instant, make: Make | None = None
    ) -> bool:
        """Open one that is stuck, done or dropped again ("open"), or give up one that is open or
        stuck ("dropped"); with the event that tells of it in `system:outlets`. False if it is none
        of these, or not there."""
        ...

    async def replay_tells(
        self, connection: str, since: Instant, until: Instant, now: Instant, make: Make
    ) -> int:
        """Open all events again that are done or dropped and were decided from `since` to before
        `until`; how many. None: nothing is written."""
        ...

    async def lanes(self) -> list[Lane]:
        """Of each connection that has not been told everything."""
        ...

    async def told_between(
        self, connection: str, entity: str, since: Instant, until: Instant
    ) -> list[Telling]:
        """All credit notes and payments of a legal entity from `since` to before `until` that are
        for this connection."""
        ...

    async def day_booked(
        self, entity: str, since: Instant, until: Instant
    ) -> list[tuple[str, str, int, int]]:
        """(account, currency, amount, functional) that a legal entity's entries add in that
        time."""
        ...

    async def stock_report(self, since: Instant, until: Instant) -> list[dict[str, object]]:
        """By article and location: units booked back as `restock` and counted, in that time."""
        ...

    async def add_counts(self, at: Instant, actor: str, counts: Sequence[Counted]) -> int:
        """Those of that instant that are not there yet; how many are new."""
        ...

    async def hold_writer(self, name: str) -> bool:
        """Be the one writer of a connection among all processes, until `close` or the database is
        lost: whether we are it. Asked again it answers anew."""
        ...
