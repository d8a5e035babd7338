"""Ghost stock: what was booked back into stock, held against what somebody counted of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from amends.engine.wiring import Engine
from amends.kernel.time import Instant
from amends.store.outbox_spec import Counted
from amends.store.spec import Store


class Shelf(msgspec.Struct, frozen=True):
    """Units of an article at a location: booked back, counted (None: nobody did), and `ghost`: how
    many of those that were booked back are not there (less than 0: more are there)."""

    sku: str
    location: str
    booked: int
    counted: int | None
    ghost: int | None


async def report(store: Store, since: Instant, until: Instant) -> list[Shelf]:
    """By article and location, of what was booked back and counted in that time."""
    found = []
    for row in await store.stock_report(since, until):
        one: dict[str, Any] = dict(row)
        counted = one["counted"]
        found.append(Shelf(**one, ghost=None if counted is None else one["booked"] - counted))
    return found


async def count(engine: Engine, actor: str, at: Instant, counts: Sequence[Counted]) -> int:
    """What was found at `at`; told again it changes nothing. How many are new."""
    return await engine.store.add_counts(at, actor, counts)
