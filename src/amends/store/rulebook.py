"""What decisions are made by, written once for both databases: policies and drafts, stops, models,
settings. Each change waits in line for the row of the board, so that two never overtake each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Table, delete, func, insert, literal_column, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.core.events import Event
from amends.core.history import Stop
from amends.kernel.check import InvariantBroken, invariant
from amends.kernel.time import Instant
from amends.store import rows
from amends.store.desk_spec import Make
from amends.store.ledger import Ledger
from amends.store.records import DraftRow, ModelRow, PolicyRow, StopRow
from amends.store.schema import drafts, models, policies, settings, stops

BOARD = "board"

# Whoever comes second waits here for the first to commit.
_LINE = text(
    "INSERT INTO settings (key, value, at, actor) VALUES ('board', '0', 0, '')"
    " ON CONFLICT (key) DO UPDATE SET value = settings.value"
)
_RAISE = text(
    "UPDATE settings SET value = CAST(CAST(value AS bigint) + 1 AS text), at = :at, actor = :actor"
    " WHERE key = 'board'"
)
_DRAFT = text(
    "INSERT INTO drafts (name, doc, hash, shadow, at, actor)"
    " VALUES (:name, :doc, :hash, :shadow, :at, :actor) ON CONFLICT (name) DO UPDATE SET"
    " doc = excluded.doc, hash = excluded.hash, shadow = excluded.shadow, at = excluded.at,"
    " actor = excluded.actor"
)
_MODEL = text(
    "INSERT INTO models (hash, kind, name, model, meta, at, actor)"
    " VALUES (:hash, :kind, :name, :model, :meta, :at, :actor) ON CONFLICT (hash) DO NOTHING"
)
_SETTING = text(
    "INSERT INTO settings (key, value, at, actor) VALUES (:key, :value, :at, :actor)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, at = excluded.at,"
    " actor = excluded.actor WHERE settings.value <> excluded.value"
)

Change = Callable[[AsyncConnection], Awaitable[int]]


class Rules(Ledger):
    """Rare reads and writes of the rulebook."""

    async def _change(self, stream: str, make: Make, change: Change) -> Event | None:
        """`change` answers how many rows it touched; none: nothing is written."""
        async with self.writing() as connection:
            await connection.execute(_LINE)
            if not await change(connection):
                await connection.rollback()
                return None
            event = await self.append_event(connection, stream, make)
            await connection.execute(_RAISE, {"at": event.at, "actor": event.actor})
            return event

    async def _sure(self, stream: str, make: Make, change: Change) -> Event:
        if (event := await self._change(stream, make, change)) is None:
            raise InvariantBroken(f"a change of {stream} touched no row")
        return event

    # -- policies --------------------------------------------------------------------------------
    async def policies(self) -> list[PolicyRow]:
        found = await self.fetch(select(policies).order_by(policies.c.number))
        return [PolicyRow(*row) for row in found]

    async def publish(self, row: PolicyRow, make: Make) -> Event | None:
        last = select(func.coalesce(func.max(policies.c.number), 0))

        async def change(connection: AsyncConnection) -> int:
            if (await connection.execute(last)).scalar_one() + 1 != row.number:
                return 0
            return await _put(connection, policies, rows.policy(row))

        return await self._change("system:policy", make, change)

    async def drafts(self) -> list[DraftRow]:
        return [rows.to_draft(row) for row in await self.fetch(select(drafts).order_by("name"))]

    async def put_draft(self, row: DraftRow, make: Make) -> Event:
        async def change(connection: AsyncConnection) -> int:
            named = _named(drafts, rows.draft(row))
            return (await connection.execute(_DRAFT, named)).rowcount

        return await self._sure("system:policy", make, change)

    async def drop_draft(self, name: str, make: Make) -> Event | None:
        async def change(connection: AsyncConnection) -> int:
            return (await connection.execute(delete(drafts).where(drafts.c.name == name))).rowcount

        return await self._change("system:policy", make, change)

    # -- stops -----------------------------------------------------------------------------------
    async def stops(self, active: bool) -> list[StopRow]:
        query = select(stops).order_by(stops.c.at, stops.c.id)
        if active:
            query = query.where(stops.c.lifted_at == literal_column("0"))
        return [rows.to_stop(row) for row in await self.fetch(query)]

    async def add_stop(self, stop: Stop, make: Make) -> Event:
        async def change(connection: AsyncConnection) -> int:
            return await _put(connection, stops, rows.stop(stop))

        return await self._sure("system:stops", make, change)

    async def lift_stop(
        self, stop_id: str, at: Instant, actor: str, why: str, make: Make
    ) -> Event | None:
        holds = (stops.c.id == stop_id) & (stops.c.lifted_at == literal_column("0"))
        lifted = update(stops).where(holds)
        lifted = lifted.values(lifted_at=at, lifted_by=actor, lifted_why=why)

        async def change(connection: AsyncConnection) -> int:
            return (await connection.execute(lifted)).rowcount

        return await self._change("system:stops", make, change)

    # -- models ----------------------------------------------------------------------------------
    async def models(self) -> list[ModelRow]:
        columns = [c if c is not models.c.model else literal_column("''") for c in models.columns]
        query = select(*columns).order_by(models.c.at, models.c.hash)
        return [ModelRow(*row) for row in await self.fetch(query)]

    async def model(self, model_hash: str) -> ModelRow | None:
        found = await self.fetch(select(models).where(models.c.hash == model_hash))
        return ModelRow(*found[0]) if found else None

    async def add_model(self, row: ModelRow, make: Make) -> Event | None:
        async def change(connection: AsyncConnection) -> int:
            named = _named(models, rows.model(row))
            return (await connection.execute(_MODEL, named)).rowcount

        return await self._change("system:models", make, change)

    # -- settings --------------------------------------------------------------------------------
    async def settings(self) -> dict[str, str]:
        query = select(settings.c.key, settings.c.value).order_by(settings.c.key)
        return {row.key: row.value for row in await self.fetch(query)}

    async def set_setting(
        self, key: str, value: str, at: Instant, actor: str, make: Make
    ) -> Event | None:
        invariant(key != BOARD, "the board is raised, not set")
        row = {"key": key, "value": value, "at": at, "actor": actor}

        async def change(connection: AsyncConnection) -> int:
            return (await connection.execute(_SETTING, row)).rowcount

        return await self._change("system:settings", make, change)


def _named(table: Table, row: rows.Row) -> dict[str, Any]:
    return dict(zip((column.name for column in table.columns), row, strict=True))


async def _put(connection: AsyncConnection, table: Table, row: rows.Row) -> int:
    return (await connection.execute(insert(table).values(row))).rowcount
