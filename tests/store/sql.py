"""Statements of a test's own, next to the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, text

from amends.store.cold import Cold
from amends.store.schema import metadata
from amends.store.spec import Batch, Store


def cold(store: Store) -> Cold:
    assert isinstance(store, Cold)
    return store


async def run(store: Store, statement: str) -> None:
    """One statement in a transaction of its own."""
    async with cold(store).writing() as connection:
        await connection.execute(text(statement))


async def rows_of(store: Store, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table, sorted by its key."""
    found = metadata.tables[table]
    query = select(found).order_by(*found.primary_key.columns)
    return [tuple(row) for row in await cold(store).fetch(query)]


async def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables; a flag is 1 or 0."""
    return {
        name: [tuple(int(v) if isinstance(v, bool) else v for v in row) for row in found]
        for name in metadata.tables
        for found in [await rows_of(store, name)]
    }


async def write(store: Store, *batches: Batch) -> None:
    """Each batch in a turn of its own, its orders locked as the engine does."""
    for batch in batches:
        async with store.turn() as turn:
            await turn.lock(list(batch.orders))
            await turn.write(batch)
