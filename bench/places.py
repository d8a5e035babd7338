"""Where a row runs: a fresh database of one kind, and what must be known of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy.engine import make_url

from amends.store.open import connect
from bench.machine import parent_of
from tests import postgres

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A database with the current schema and nothing in it."""

    url: str
    folder: Path
    server_pid: int = 0  # of a PostgreSQL on this machine

    @property
    def is_postgres(self) -> bool:
        return self.url.startswith("postgres")

    @property
    def orm_url(self) -> str:
        """The same database as SQLAlchemy names it."""
        if self.is_postgres:
            return make_url(self.url).set(drivername="postgresql+asyncpg").render_as_string(False)
        return self.url.replace("sqlite:", "sqlite+aiosqlite:", 1)


class Places:
    """Fresh databases. PostgreSQL is the server of `store`, else a temporary one of our own."""

    def __init__(self, store: str, stack: ExitStack) -> None:
        self._server = store if store.startswith("postgres") else ""
        self._stack = stack

    @contextmanager
    def fresh(self, kind: str, schema: bool = True) -> Iterator[Place]:
        with tempfile.TemporaryDirectory(prefix="amends-bench-") as name:
            folder = Path(name)
            if kind == "sqlite":
                place = Place(f"sqlite:///{folder / 'amends.db'}", folder)
                yield self._prepared(place, schema)
                return
            server = self.server
            with _database(server) as url:
                yield self._prepared(Place(url, folder, asyncio.run(_server_pid(url))), schema)

    def _prepared(self, place: Place, schema: bool) -> Place:
        if schema:
            asyncio.run(_migrate(place.url))
        return place

    @property
    def server(self) -> str:
        """The URL of the PostgreSQL, started if need be."""
        if not self._server:
            self._server = self._stack.enter_context(postgres.supervised(usual()))
        return self._server


def usual() -> dict[str, str]:
    """How a server of its own would be set: a quarter of the memory, and checkpoints far apart."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {"shared_buffers": f"{memory // 4}MB", "max_wal_size": "4GB"}


@contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"amends_bench_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(server, f'CREATE DATABASE "{name}"'))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        asyncio.run(_execute(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _server_pid(url: str) -> int:
    """The server's first process, if it is on this machine."""
    connection = await asyncpg.connect(url)
    try:
        mine = await connection.fetchval("SELECT pg_backend_pid()")
        local = await connection.fetchval("SELECT inet_server_addr() <<= inet '127.0.0.0/8'")
        return parent_of(mine) if local is not False else 0
    finally:
        await connection.close()


async def _migrate(url: str) -> None:
    store = connect(url)
    try:
        await store.migrate()
    finally:
        await store.close()


def execute(url: str, *statements: str) -> None:
    """Run statements on a PostgreSQL."""
    asyncio.run(_execute(url, *statements))
