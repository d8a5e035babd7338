"""The same database through a store that tells of every statement it has run, one by one.

On SQLite statements run at once instead of in the writer's thread, so that points are passed in
the same sequence every time; the statements, the file and its transactions are the real ones.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from typing import Any

from sqlalchemy import event

from amends.store import sqlite
from amends.store.cold import Cold
from amends.store.postgres import PostgresStore
from amends.store.spec import Store
from amends.store.sqlite import SqliteStore

On = Callable[[str], None]


class Broken(Exception):
    """The process ended in a statement that goes through SQLAlchemy, which for an error that is no
    Exception would leave the connection, and its transaction, open."""


class AtOnce:
    """A writer of a SQLite file without a thread, and without waiting for the disk: what a killed
    process wrote is in the file, and no machine fails here."""

    def __init__(self, path: Any) -> None:
        self.connection = sqlite._connect(path)
        self.connection.execute("PRAGMA synchronous = OFF")

    def submit(self, job: Callable[[Any], Any]) -> asyncio.Future[Any]:
        done = asyncio.get_running_loop().create_future()
        try:
            done.set_result(job(self.seen()))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            done.set_exception(error)
        return done

    def seen(self) -> Any:
        return self.connection

    def stop(self) -> None:
        """The store asks for this in another thread; whoever made us calls `close`."""

    def close(self) -> None:
        self.connection.close()


class Tapped(AtOnce):
    """The same writer, telling."""

    def __init__(self, writer: AtOnce, on: On) -> None:
        self.connection, self._on = writer.connection, on

    def seen(self) -> Any:
        return Statements(self.connection, self._on)


class Statements:
    """A connection of SQLite that tells what it ran. Undoing is not told: a database does it for
    a process that is gone."""

    def __init__(self, connection: sqlite3.Connection, on: On) -> None:
        self._connection, self._on = connection, on

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        result = self._connection.execute(sql, values)
        if sql.startswith("SELECT"):
            if not self._connection.in_transaction:  # whether anything is due
                return result
            result = iter(
                result.fetchall()
            )  # read to its end: a cursor held in a traceback reads on
        if sql != "ROLLBACK":
            self._on(brief(sql))
        return result

    def executemany(self, sql: str, values: Any) -> Any:
        result = self._connection.executemany(sql, values)
        self._on(brief(sql))
        return result


class Calls:
    """The same of a connection of asyncpg."""

    def __init__(self, connection: Any, on: On) -> None:
        self._connection, self._on = connection, on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, sql: str, *values: Any) -> Any:
        result = await self._connection.execute(sql, *values)
        if sql != "ROLLBACK":
            self._on(brief(sql))
        return result

    async def fetch(self, sql: str, *values: Any) -> Any:
        result = await self._connection.fetch(sql, *values)
        self._on(brief(sql))
        return result


def tapped(store: Store, on: On) -> Store:
    """`store` with taps on all its connections; both are the same open database."""
    assert isinstance(store, Cold)
    seen: Any = copy(store)
    if isinstance(store, SqliteStore):
        assert isinstance(store._writer, AtOnce)
        seen._writer = Tapped(store._writer, on)
    else:
        assert isinstance(store, PostgresStore)
        seen._connection = _connections(store, on)
    seen.engine = store.engine.execution_options()

    def ran(connection: Any, cursor: Any, sql: str, *_: Any) -> None:
        # Whether anything is due is asked all the time; and an error while SQLAlchemy begins would
        # leave its transaction open, which the end of a process does not.
        if sql.startswith(("WITH RECURSIVE", "BEGIN")):
            return
        try:
            on(brief(sql))
        except BaseException as error:
            raise Broken(str(error)) from error

    event.listen(seen.engine.sync_engine, "after_cursor_execute", ran)
    found: Store = seen
    return found


def _connections(store: PostgresStore, on: On) -> Any:
    @asynccontextmanager
    async def connection() -> AsyncIterator[Any]:
        async with store._connection() as real:
            yield Calls(real, on)

    return connection


def brief(sql: str) -> str:
    """What a statement does to what: enough to tell it from the others."""
    words = sql.split()
    if words[0] == "WITH":
        return "WITH … write" if "FOR UPDATE SKIP" not in sql else "WITH … claim"
    for mark in ("INTO", "FROM", "UPDATE"):
        if mark in words:
            return f"{words[0]} {words[words.index(mark) + 1]}"
    return words[0]
