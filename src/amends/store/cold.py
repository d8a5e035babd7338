"""Writes that are rare, written once for both databases: keys, system events, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import func, insert, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.core.events import Event
from amends.kernel.canon import GENESIS
from amends.kernel.check import invariant
from amends.kernel.time import Instant
from amends.store import rows
from amends.store.reads import Reads
from amends.store.records import Head
from amends.store.schema import checkpoints, events, inbox, principals, processes
from amends.store.spec import Checkpoint, Principal

WRITES = "amends_writes"  # execution option of a connection that will write
EXPIRE_ROWS = 5_000  # raw bodies blanked in one transaction

Mending = AbstractAsyncContextManager[Any]

_ALIVE = text(
    "INSERT INTO processes (id, seen_at) VALUES (:id, :now)"
    " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at"
)
_SEAL = text(
    "INSERT INTO checkpoints (number, at, orders, heads, previous, key_id, signature)"
    " VALUES (:number, :at, :orders, :heads, :previous, :key_id, :signature)"
    " ON CONFLICT (number) DO NOTHING"
)


class Cold(Reads):
    """Rare writes. Each is a transaction of its own."""

    @abstractmethod
    def mending(self) -> Mending:
        """Held while a cold write runs."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that commits when the block ends."""
        async with self.mending(), self.translated(), self.engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                yield connection

    async def lock_stream(self, connection: AsyncConnection, stream: str) -> None:
        """Keep other writers off this stream until the transaction ends. A SQLite transaction
        that writes is alone anyway."""

    async def add_principal(self, principal: Principal, key_hash: str) -> None:
        row = rows.principal(principal, key_hash)
        async with self.writing() as connection:
            await connection.execute(insert(principals).values(row))

    async def revoke(self, principal_id: str, at: Instant) -> bool:
        holds = (principals.c.id == principal_id) & (principals.c.revoked_at == 0)
        async with self.writing() as connection:
            query = update(principals).where(holds).values(revoked_at=at)
            return (await connection.execute(query)).rowcount == 1

    async def append_system(self, stream: str, make: Callable[[Head], Event]) -> Event:
        async with self.writing() as connection:
            return await self.append_event(connection, stream, make)

    async def append_event(
        self, connection: AsyncConnection, stream: str, make: Callable[[Head], Event]
    ) -> Event:
        """The same in a transaction that does more."""
        invariant(stream.startswith("system:"), f"{stream} is no system stream")
        tip = (
            select(events.c.stream, events.c.seq, events.c.hash)
            .where(events.c.stream == stream)
            .order_by(events.c.seq.desc())
            .limit(1)
        )
        await self.lock_stream(connection, stream)
        found = (await connection.execute(tip)).first()
        head = Head(*found) if found else Head(stream, 0, GENESIS)
        event = make(head)
        follows = (event.stream, event.seq, event.previous)
        invariant(follows == (stream, head.seq + 1, head.hash), f"{event} breaks the chain")
        await connection.execute(insert(events).values(rows.event(event)))
        return event

    async def add_checkpoint(self, checkpoint: Checkpoint) -> bool:
        names = [column.name for column in checkpoints.columns]
        row = dict(zip(names, rows.checkpoint(checkpoint), strict=True))
        async with self.writing() as connection:
            return (await connection.execute(_SEAL, row)).rowcount == 1

    async def heartbeat(self, process: str, now: Instant, forget_before: Instant) -> int:
        dead = processes.delete().where(processes.c.seen_at < forget_before)
        async with self.writing() as connection:
            await connection.execute(_ALIVE, {"id": process, "now": now})
            await connection.execute(dead)
            alive = await connection.execute(select(func.count()).select_from(processes))
            return int(alive.scalar_one())

    async def expire_raw(self, before: Instant) -> int:
        old = (
            select(inbox.c.connection, inbox.c.message)
            .where(inbox.c.raw.is_not(None), inbox.c.at < before)
            .limit(EXPIRE_ROWS)
        )
        blank = update(inbox).where(tuple_(inbox.c.connection, inbox.c.message).in_(old))
        total, done = 0, EXPIRE_ROWS
        while done == EXPIRE_ROWS:
            async with self.writing() as connection:
                done = (await connection.execute(blank.values(raw=None))).rowcount
            total += done
        return total
