"""What the database and the provider say, as plain values, for the checker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import select

from amends.sim.checker.spec import Snapshot
from amends.sim.wire import World
from amends.store.schema import events, metadata, orders, refunds

TABLES = (
    *("payments", "refunds", "legs", "events", "entries", "postings", "effects"),
    *("inbox", "idempotency", "payment_refs", "people", "notes"),
)


async def snapshot(store: Any, worlds: Sequence[World], at: int) -> Snapshot:
    """Every row of the tables that count, and the providers' own truth."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in TABLES:
        table = metadata.tables[name]
        names = [column.name for column in table.columns]
        query = select(table).order_by(*table.primary_key.columns)
        rows[name] = [dict(zip(names, row, strict=True)) for row in await store.fetch(query)]
    found = await store.fetch(select(orders.c.state).order_by(orders.c.id))
    return Snapshot(
        at=at,
        orders=[json.loads(row[0]) for row in found],
        rows=rows,
        movements=[msgspec.to_builtins(item) for world in worlds for item in world.movements()],
        provider_payments=[row for world in worlds for row in world.payments()],
        provider_disputes=[row for world in worlds for row in world.disputes()],
        provider_warnings=[row for world in worlds for row in world.warnings()],
    )


async def fingerprint(store: Any) -> str:
    """A hash over the hash of every event of every order."""
    query = select(events.c.stream, events.c.seq, events.c.hash)
    rows = await store.fetch(query.order_by(events.c.stream, events.c.seq))
    return sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()


async def in_review(store: Any) -> list[tuple[str, str]]:
    """(refund, the shop's number of its order) of every refund that waits for a person."""
    query = select(refunds.c.id, orders.c.source_order_id).join(
        orders, orders.c.id == refunds.c.order_id
    )
    found = await store.fetch(query.where(refunds.c.state == "review").order_by(refunds.c.id))
    return [(row[0], row[1]) for row in found]
