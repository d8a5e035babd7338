"""The store on one SQLite file: WAL, synchronous=FULL, one writer thread per process.

Turns are serialised by a lock of the event loop; everything a turn does runs in the one thread
that owns the writing connection, since a hop between threads costs more than most statements.
Other processes (a command beside the server) take turns by SQLite's own lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, TypeVar

from sqlalchemy import URL, Connection, Text, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from amends.core.history import History
from amends.core.order import Order
from amends.kernel.time import Instant
from amends.store import migrate, past, rows
from amends.store.cold import WRITES, Mending
from amends.store.desk_reads import DeskReads
from amends.store.outbox import Told
from amends.store.rows import Row
from amends.store.spec import (
    Answer,
    AnswerKey,
    Batch,
    Claimed,
    Inbound,
    PeriodClosed,
    Retry,
    RowRefused,
    StoreUnavailable,
    Turn,
    Wanted,
)
from amends.store.steps import RACED, STEPS, Step, Work, joined, work

BUSY_MS = 5_000  # how long to wait for another process's short write
PING_S = 5.0
# A batch of hundreds of orders touches thousands of pages, all over the file. With SQLite's own
# 2 MiB and 1,000 pages it would spill the cache and rewrite the file in every commit.
CACHE_KIB = 65_536
WAL_PAGES = 8_000

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

_AWAY = {
    sqlite3.SQLITE_BUSY: "another process has kept it locked for too long",
    sqlite3.SQLITE_LOCKED: "another process has kept it locked for too long",
    sqlite3.SQLITE_FULL: "the disk, or the size allowed to the file, is full",
    sqlite3.SQLITE_IOERR: "the disk does not read or write",
    sqlite3.SQLITE_READONLY: "it is read-only for this user",
    sqlite3.SQLITE_PERM: "it is not ours to open",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
    sqlite3.SQLITE_PROTOCOL: "another process has kept it locked for too long",
    sqlite3.SQLITE_SCHEMA: "its schema changed; run the command again",
}
_UNFIT = (OverflowError, UnicodeEncodeError, sqlite3.DataError)


def _insert(step: Step) -> str:
    marks = ", ".join("?" * len(step.columns))
    columns = ", ".join(step.columns)
    return f"INSERT INTO {step.table.name} ({columns}) VALUES ({marks}){step.conflict}"


def _statement(step: Step) -> str:
    """The step for one row; the row's values are bound by number."""
    number = {name: f"?{place}" for place, name in enumerate(step.columns, 1)}
    where = " AND ".join(f"{name} = {number[name]}" for name in step.keys)
    if step.act == "delete":
        return f"DELETE FROM {step.table.name} WHERE {where}"
    if step.act == "update":
        sets = ", ".join(f"{n} = {number[n]}" for n in step.columns if n not in step.keys)
        return f"UPDATE {step.table.name} SET {sets} WHERE {where}"
    return _insert(step)


_SQL = {name: _statement(step) for name, step in STEPS.items()}
# Places of the columns that hold text.
_TEXTS = {
    name: [n for n, c in enumerate(step.columns) if isinstance(step.table.columns[c].type, Text)]
    for name, step in STEPS.items()
}
_INBOX = ", ".join(STEPS["inbox"].columns)
_ANSWER = ", ".join(STEPS["answers"].columns)
_DAYS = f"SELECT ?1, ?2, s.* FROM ({past.summed('?2', '?1', '?3')}) AS s"
_SEEN = (
    "SELECT kind, value, customer FROM sightings WHERE kind = ? AND value = ?"
    f" ORDER BY entity, customer LIMIT {past.OTHERS}"
)


class _Writer:
    """One thread that owns one connection and runs the jobs it is given, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: SimpleQueue[
            tuple[Job, asyncio.AbstractEventLoop, asyncio.Future[Any]] | None
        ] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"amends-writer-{path.name}", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Queue a job; jobs run in the order they were queued, wanted or not by then."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((job, loop, future))
        return future

    def stop(self) -> None:
        """Finish what is queued and close the connection."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while (item := self._jobs.get()) is not None:
            job, loop, future = item
            result, error = None, None
            try:
                if connection is None:
                    connection = _connect(self._path)
                result = job(connection)
            except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, future, result, error)
        if connection is not None:
            connection.close()


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)
    connection.isolation_level = None  # BEGIN and COMMIT are said, never guessed
    _prepare(connection.execute)
    return connection


def _probe(path: Path, mode: str) -> None:
    """Raises what is wrong with the file, before anything keeps a connection to it."""
    with closing(_connect(path, mode)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _prepare(execute: Callable[[str], Any]) -> None:
    execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    execute("PRAGMA journal_mode = WAL")
    execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns (I13)
    execute("PRAGMA foreign_keys = ON")
    execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")


class SqliteTurn:
    """One transaction of the writer. The first call begins it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._locked: dict[str, Order] = {}
        self._waited: dict[tuple[str, str], Inbound] = {}
        self.begun = False
        self.broken: BaseException | None = None

    async def answers(self, keys: Sequence[AnswerKey]) -> dict[AnswerKey, Answer]:
        found = await self._each(
            f"SELECT {_ANSWER} FROM idempotency WHERE principal = ? AND route = ? AND key = ?",
            [(key.principal, key.route, key.key) for key in keys],
        )
        return {answer.key: answer for answer in map(rows.to_answer, found)}

    async def routes(self, refs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        found = await self._each(
            "SELECT connection, psp_payment_id, order_id FROM payment_refs"
            " WHERE connection = ? AND psp_payment_id = ?",
            refs,
        )
        return {(connection, psp): order for connection, psp, order in found}

    async def lock(self, order_ids: Sequence[str]) -> dict[str, Order]:
        sql = "SELECT state FROM orders WHERE id = ?"
        found = await self._each(sql, [(id_,) for id_ in sorted(set(order_ids))])
        orders = {order.id: order for order in (rows.to_order(state) for (state,) in found)}
        self._locked.update(orders)
        return orders

    async def seen(self, messages: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        sql = "SELECT connection, message FROM inbox WHERE connection = ? AND message = ?"
        return {(connection, message) for connection, message in await self._each(sql, messages)}

    async def waiting(self, refs: Sequence[str]) -> list[Inbound]:
        found = await self._each(
            "SELECT connection, message FROM inbox_refs WHERE ref_id = ? AND ref_connection = ?",
            [rows.split_ref(ref) for ref in refs],
        )
        return await self.unmatched([(connection, message) for connection, message in found])

    async def unmatched(self, messages: Sequence[tuple[str, str]]) -> list[Inbound]:
        found = await self._each(
            f"SELECT {_INBOX} FROM inbox WHERE connection = ? AND message = ?"
            " AND state = 'unmatched'",
            sorted(set(messages)),
        )
        waiting = [rows.to_inbound(row) for row in found]
        self._waited.update({(i.connection, i.message): i for i in waiting})
        return sorted(waiting, key=lambda i: (i.at, i.connection, i.message))

    async def parked(self, order_ids: Sequence[str]) -> list[Inbound]:
        found = await self._each(
            f"SELECT {_INBOX} FROM inbox WHERE order_id = ? AND state = 'parked'"
            " ORDER BY seq, connection, message",
            [(id_,) for id_ in sorted(set(order_ids))],
        )
        return [rows.to_inbound(row) for row in found]

    async def board(self) -> int:
        found = await self._each("SELECT value FROM settings WHERE key = ?", [("board",)])
        return int(found[0][0]) if found else 0

    async def history(self, wanted: Sequence[Wanted], day: int) -> dict[tuple[str, str], History]:
        who = past.merged(wanted)
        days = await self._each(_DAYS, [(entity, customer, day) for entity, customer in who])
        prints = past.fingerprints(who.values())
        found = await self._each(_SEEN, prints)
        return past.histories(who, days, found)

    async def caps(self, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
        names = sorted(set(buckets))
        sql = "SELECT bucket, amount, count FROM caps WHERE bucket = ?"
        found = await self._each(sql, [(name,) for name in names])
        return dict.fromkeys(names, (0, 0)) | {name: (a, n) for name, a, n in found}

    async def write(self, batch: Batch) -> None:
        steps = work(batch, self._locked, self._waited)
        await self.run(lambda connection: _write(connection, steps))

    async def _each(self, sql: str, keys: Iterable[Sequence[Any]]) -> list[Row]:
        wanted = list(keys)
        if not wanted:
            return []
        return await self.run(lambda c: [row for key in wanted for row in c.execute(sql, key)])

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run it in the transaction; an error is told as the spec tells it and ends the turn."""
        if self.broken is not None:
            raise RuntimeError("this turn has failed; leave its block") from self.broken
        begin, self.begun = not self.begun, True

        def begun(connection: sqlite3.Connection) -> T:
            if begin:
                connection.execute("BEGIN IMMEDIATE")
            return job(connection)

        try:
            return await self._store.submit(begun)
        except BaseException as error:
            self.broken = error
            raise


def _check_texts(step: Step, values: list[Row]) -> None:
    """By column: looking at each value by itself took as long as some statements."""
    columns = list(zip(*values, strict=True))
    for place in _TEXTS[step.name]:
        if "\0" in joined(step, columns[place], ""):
            # SQLite would keep it; PostgreSQL cannot, and both must decide alike (I14).
            raise RowRefused(f"{step.table.name}: a text holds a NUL character")


def _write(connection: sqlite3.Connection, steps: Work) -> None:
    for step, values in steps:
        _check_texts(step, values)
        done = connection.executemany(_SQL[step.name], values).rowcount
        if step.exact and done != len(values):
            raise Retry(f"{step.name}: another process was there first")


class SqliteStore(DeskReads, Told):
    """One SQLite file. `path` is made by `migrate`, together with its folder."""

    def __init__(self, path: Path) -> None:
        url = URL.create("sqlite+aiosqlite", database=str(path))
        super().__init__(create_async_engine(url))
        event.listen(self.engine.sync_engine, "connect", _on_connect)
        event.listen(self.engine.sync_engine, "begin", _on_begin)
        self.path = path
        self._writer: _Writer | None = None
        self._turn = asyncio.Lock()
        self._owned: IO[str] | None = None

    # -- life ------------------------------------------------------------------------------------
    async def open(self) -> None:
        if not self.path.exists():
            raise StoreUnavailable(f"there is no database {self.path}: run `amends init`")
        await self._reach("rw")
        await self.check_schema()
        if self._writer is None:
            self._writer = _Writer(self.path)

    async def close(self) -> None:
        await self.engine.dispose()
        if self._writer is not None:
            async with self._turn:
                await asyncio.to_thread(self._writer.stop)
            self._writer = None
        if self._owned is not None:
            self._owned.close()  # which frees the lock
            self._owned = None

    async def migrate(self) -> None:
        try:
            self.path.absolute().parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"cannot make the folder of {self.path}: {error}") from error
        await self._reach("rwc")
        async with self.writing() as connection:
            await connection.run_sync(migrate.upgrade)

    async def _reach(self, mode: str) -> None:
        async with self.translated():
            await asyncio.to_thread(_probe, self.path, mode)

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(PING_S), self.turn() as turn:
                assert isinstance(turn, SqliteTurn)
                await turn.run(lambda connection: None)
        except TimeoutError as error:
            why = f"a turn has kept it for more than {PING_S:.0f} s"
            raise StoreUnavailable(f"{self.path}: {why}") from error

    async def own(self) -> None:
        beside = self.path.with_name(self.path.name + ".lock")
        try:
            file = beside.open("a+")
        except OSError as error:
            raise StoreUnavailable(f"cannot open {beside}: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            words = f"{self.path} is served by {holder}; a SQLite file has one server"
            raise StoreUnavailable(words) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        self._owned = file
        await self._orphan()

    async def _orphan(self) -> None:
        """Whoever held a lease here served this file, so it is gone: its leases have run out. They
        keep their holder, which tells the claim that somebody's bytes may be under way."""
        async with self.turn() as turn:
            assert isinstance(turn, SqliteTurn)
            sql = "UPDATE effects SET lease_until = 0, ready_at = due WHERE lease_holder <> ''"
            await turn.run(lambda connection: connection.execute(sql))
            sql_told = (
                "UPDATE deliveries SET lease_holder = '', ready_at = at"
                " WHERE lease_holder <> '' AND state = 'open'"
            )
            await turn.run(lambda connection: connection.execute(sql_told))

    # -- turns -----------------------------------------------------------------------------------
    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        async with self._turn:
            turn = SqliteTurn(self)
            try:
                yield turn
                if turn.broken is not None:
                    raise turn.broken  # half a batch is never committed, whoever caught its error
                if turn.begun:
                    await self.submit(lambda connection: connection.execute("COMMIT"))
            except BaseException:
                if turn.begun:
                    # Queued behind whatever still runs, so the next turn finds a clean connection.
                    await asyncio.shield(self._started().submit(_rollback))
                raise

    async def submit(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in the writer thread, its errors told as the spec tells them."""
        try:
            return await self._started().submit(job)
        except (sqlite3.Error, *_UNFIT) as error:
            raise self.translate(error) from error

    def _started(self) -> _Writer:
        if self._writer is None:
            raise StoreUnavailable(f"{self.path} is not open")
        return self._writer

    # -- effects ---------------------------------------------------------------------------------
    async def claim(
        self, holder: str, now: Instant, until: Instant, limits: dict[str, int]
    ) -> list[Claimed]:
        wanted = [(name, now, most) for name, most in sorted(limits.items()) if most > 0]
        async with self._turn:
            return await self.submit(lambda c: _claim(c, holder, until, wanted))

    async def give_up(self, holder: str, claims: Sequence[tuple[str, str]]) -> None:
        sql = (
            "UPDATE effects SET lease_holder = '', lease_until = 0, ready_at = due"
            " WHERE order_id = ? AND id = ? AND lease_holder = ?"
        )
        values = [(order, effect, holder) for order, effect in sorted(claims)]
        if values:
            async with self.turn() as turn:
                assert isinstance(turn, SqliteTurn)
                await turn.run(lambda connection: connection.executemany(sql, values))

    # -- what the cold half leaves to us ----------------------------------------------------------
    async def lock_books(self, connection: AsyncConnection) -> None:
        """A SQLite transaction that writes is alone."""

    def mending(self) -> Mending:
        """Cold writes queue behind turns: two writers of one process would only wait in SQLite."""
        return self._turn

    def translate(self, error: BaseException) -> BaseException:
        if isinstance(error, sqlite3.IntegrityError):
            return _refused(error)
        if isinstance(error, _UNFIT):
            return RowRefused(f"a value does not fit its column: {error}")
        code = getattr(error, "sqlite_errorcode", None)
        why = _AWAY.get(code & 0xFF) if code is not None else None
        if why is not None:
            return StoreUnavailable(f"{self.path}: {why} ({error})")
        return error


def _refused(error: sqlite3.IntegrityError) -> RowRefused | Retry:
    """SQLite's words are `UNIQUE constraint failed: orders.id`."""
    if str(error) == PERIOD_CLOSED:
        return PeriodClosed(str(error))
    table = str(error).rpartition(": ")[2].partition(".")[0]
    if error.sqlite_errorcode in _UNIQUE and table in RACED:
        return Retry(str(error))
    return RowRefused(str(error))


PERIOD_CLOSED = "a period of these books is closed"  # as the trigger on entries says it
_UNIQUE = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # SQLite has rolled back by itself after a full disk
        connection.execute("ROLLBACK")


_READY = (
    "SELECT ready_at, order_id, id, connection, kind, lease_holder <> '' FROM effects"
    " WHERE connection = ? AND ready_at <= ? ORDER BY ready_at LIMIT ?"
)
_LEASE = (
    "UPDATE effects SET lease_holder = ?, lease_until = ?, ready_at = ?"
    " WHERE order_id = ? AND id = ?"
)


def _claim(
    connection: sqlite3.Connection,
    holder: str,
    until: Instant,
    wanted: list[tuple[str, Instant, int]],
) -> list[Claimed]:
    """Look first, without the write lock: most of the time nothing is due."""
    if not any(connection.execute(_READY, lane).fetchone() for lane in wanted):
        return []
    connection.execute("BEGIN IMMEDIATE")
    try:
        ready = sorted(row for lane in wanted for row in connection.execute(_READY, lane))
        leases = [(holder, until, until, order, effect) for _, order, effect, *_ in ready]
        connection.executemany(_LEASE, leases)
        connection.execute("COMMIT")
    finally:
        _rollback(connection)
    return [
        Claimed(order, effect, name, kind, bool(lost))
        for _, order, effect, name, kind, lost in ready
    ]


def _on_connect(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Connections of cold reads and writes: transactions begin when we say, DDL included."""
    connection.isolation_level = None
    cursor = connection.cursor()
    _prepare(cursor.execute)
    cursor.close()


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
