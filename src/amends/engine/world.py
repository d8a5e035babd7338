"""What one turn's work needs of its process, and why a turn is run again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from amends.core.decision import Ctx
from amends.core.effects import Effect
from amends.core.order import Order
from amends.engine.board import Board
from amends.engine.notify import Subscribers
from amends.kernel.time import Clock, Instant


class Outgoing(msgspec.Struct, frozen=True):
    """An effect that leaves now: its lease ends at `until` of the monotonic clock."""

    effect: Effect
    until: Instant


class BoardChanged(Exception):
    """Policies, stops or models are others than this process knows: read them, and turn again."""


class CapsGrew(Exception):
    """More buckets than were locked: what is locked is locked at once and in order, so that two
    turns never wait for each other. Turn again with these as well."""

    def __init__(self, buckets: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(buckets)))
        self.buckets = buckets


class World(Protocol):
    """What a fold needs of its process."""

    clock: Clock
    board: Board
    holder: str  # this process, as leases name it
    lease_us: int
    subscribers: Subscribers  # to what happens

    def ctx(self, now: Instant) -> Ctx: ...

    def new_id(self) -> str: ...

    async def learn_closed(self) -> None:
        """Read which periods of the books are closed."""
        ...

    async def learn_board(self) -> None:
        """Read what decisions are made by."""
        ...

    def take(self, connection: str) -> bool:
        """Reserve one start at a connection, if its limits allow one now."""
        ...

    def give_back(self, connection: str) -> None: ...

    def started(self, outgoing: list[Outgoing]) -> None: ...

    def moved(self, orders: Iterable[Order], refunds: Iterable[tuple[str, str]]) -> None:
        """Told after the commit: what changed, for those who wait for an end state."""
        ...

    def told(self, connections: Iterable[str]) -> None:
        """Told after the commit: these are to be told something."""
        ...

    def scheduled(self, due: Instant) -> None:
        """An effect nobody holds is due then."""
        ...
