"""The store on PostgreSQL: asyncpg for the hot set-based statements, SQLAlchemy for cold reads.

READ COMMITTED. A turn locks its orders in id order in one statement and reads them in the next,
which sees what the ones before us committed. All it writes goes out as one statement: a chain of
data-modifying CTEs over `unnest`, prepared once for each set of tables it touches.

Columns of text and numbers go over as one text each, joined by a separator that occurs in none:
asyncpg encodes the values of an array one by one, which took more than half of a large write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from amends.core.history import History
from amends.core.order import Order
from amends.kernel.time import Instant
from amends.store import migrate, past, rows
from amends.store.desk_reads import DeskReads
from amends.store.outbox import Told
from amends.store.spec import (
    Answer,
    AnswerKey,
    Batch,
    Claimed,
    CommitUnknown,
    Inbound,
    PeriodClosed,
    Retry,
    RowRefused,
    StoreUnavailable,
    Turn,
    Wanted,
)
from amends.store.steps import RACED, STEPS, Step, Work, joined, work

POOL = 10  # connections for turns and claims
COLD_POOL = 5  # and for everything else
CONNECT_S = 10.0
CALL_S = 40.0  # longer than any of the server's own limits below, for a server that says nothing

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# What every connection for turns is told first. Its statements are few, known, and served by an
# index each; planned once, while a table is still small, a scan would stay long after it has grown.
# A commit is on this disk before it is acknowledged (I13), whatever the server's default.
_SESSION = """
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '60s';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;
"""
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE"
_DURABLE += " current_setting('synchronous_commit') = 'off'"

_TYPES: dict[type, str] = {Text: "text[]", BigInteger: "bigint[]", Boolean: "boolean[]"}
# Control characters first, then those that Unicode gives to nobody.
_SEPARATORS = ("\x1f", "\x1e", "\x1d", "\x1c", *(chr(code) for code in range(0xF0000, 0xF1000)))

_INBOX = ", ".join(f"i.{name}" for name in STEPS["inbox"].columns)
_ANSWER = ", ".join(f"a.{name}" for name in STEPS["answers"].columns)

_DAYS = f"""
    SELECT k.entity, k.customer, s.*
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS k(entity, customer, day)
    CROSS JOIN LATERAL ({past.summed("k.customer", "k.entity", "k.day")}) AS s
"""
_SEEN = f"""
    SELECT k.kind, k.value, s.customer FROM unnest($1::text[], $2::text[]) AS k(kind, value)
    CROSS JOIN LATERAL (
      SELECT customer FROM sightings WHERE kind = k.kind AND value = k.value
      ORDER BY entity, customer LIMIT {past.OTHERS}
    ) AS s
"""
# Both in the order of the names. Whoever makes a row holds it like one that locked it.
_MAKE_CAPS = """
    INSERT INTO caps (bucket, amount, count) SELECT name, 0, 0 FROM unnest($1::text[]) AS k(name)
    ON CONFLICT (bucket) DO NOTHING
"""
_LOCK_CAPS = "SELECT bucket FROM caps WHERE bucket = ANY($1) ORDER BY bucket FOR UPDATE"

_CLAIM = """
    WITH picked AS (
      SELECT e.ready_at, e.order_id, e.id, e.connection, e.kind, e.lease_holder <> '' AS lost
      FROM unnest($1::text[], $2::bigint[]) AS lane(connection, most)
      CROSS JOIN LATERAL (
        SELECT * FROM effects
        WHERE connection = lane.connection AND ready_at <= $3
        ORDER BY ready_at LIMIT lane.most
        FOR UPDATE SKIP LOCKED
      ) AS e
    )
    UPDATE effects AS e SET lease_holder = $4, lease_until = $5, ready_at = $5
    FROM picked AS p WHERE e.order_id = p.order_id AND e.id = p.id
    RETURNING p.ready_at, p.order_id, p.id, p.connection, p.kind, p.lost
"""

_GIVE_UP = """
    UPDATE effects AS e SET lease_holder = '', lease_until = 0, ready_at = e.due
    FROM unnest($2::text[], $3::text[]) AS c(order_id, id)
    WHERE e.order_id = c.order_id AND e.id = c.id AND e.lease_holder = $1
"""


def _arrays(step: Step, first: int) -> str:
    """`unnest(…)` over the step's columns, bound from parameter `first` on; $1 is the separator."""
    columns = (step.table.columns[name] for name in step.columns)
    return f"unnest({', '.join(_array(c, place) for place, c in enumerate(columns, first))})"


def _array(column: Column[Any], place: int) -> str:
    if isinstance(column.type, LargeBinary):
        return f"${place}::bytea[]"
    kind = next(name for kind, name in _TYPES.items() if isinstance(column.type, kind))
    # The joined text begins with a separator, since a lone "" would make an empty array.
    return f"(string_to_array(${place}::text, $1::text))[2:]::{kind}"


def _arguments(steps: Work) -> list[Any]:
    """The separator, and every column of every step. Raises RowRefused when no separator is left,
    which takes one batch that has them all in its values."""
    for separator in _SEPARATORS:
        arguments: list[Any] = [separator]
        for step, values in steps:
            for name, column in zip(step.columns, zip(*values, strict=True), strict=True):
                kind = step.table.columns[name].type
                if isinstance(kind, LargeBinary):
                    arguments.append(column)
                    continue
                texts = column if isinstance(kind, Text) else map(str, column)
                whole = separator + joined(step, texts, separator)
                if whole.count(separator) != len(column):
                    break
                arguments.append(whole)
            else:
                continue
            break
        else:
            return arguments
    raise RowRefused("the batch holds every character that could part its values")


def _statement(step: Step, first: int) -> str:
    """The step for all its rows, its arrays bound from parameter `first` on."""
    table, columns = step.table.name, ", ".join(step.columns)
    given = _arrays(step, first)
    if step.act not in ("update", "delete"):
        return f"INSERT INTO {table} ({columns}) SELECT * FROM {given}{step.conflict}"
    where = " AND ".join(f"{table}.{name} = n.{name}" for name in step.keys)
    if step.act == "delete":
        return f"DELETE FROM {table} USING {given} AS n({columns}) WHERE {where}"
    sets = ", ".join(f"{name} = n.{name}" for name in step.columns if name not in step.keys)
    return f"UPDATE {table} SET {sets} FROM {given} AS n({columns}) WHERE {where}"


@lru_cache(maxsize=512)
def _written(names: tuple[str, ...]) -> str:
    """One statement for these steps. It answers how many rows each exact step touched; counting
    them also makes them run first, so that a race shows as one and not as somebody's bad row."""
    parts, counts, first = [], [], 2
    for name in names:
        step = STEPS[name]
        returning = " RETURNING 1" if step.exact else ""
        parts.append(f"{name} AS ({_statement(step, first)}{returning})")
        counts += [f"(SELECT count(*) FROM {name})"] if step.exact else []
        first += len(step.columns)
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts) or '0'}"


class PostgresTurn:
    """One transaction on one connection."""

    def __init__(self, store: PostgresStore, connection: Connection) -> None:
        self._store = store
        self._connection = connection
        self._locked: dict[str, Order] = {}
        self._waited: dict[tuple[str, str], Inbound] = {}
        self.broken: BaseException | None = None

    async def answers(self, keys: Sequence[AnswerKey]) -> dict[AnswerKey, Answer]:
        found = await self._by_keys(
            f"SELECT {_ANSWER} FROM unnest($1::text[], $2::text[], $3::text[])"
            " AS k(principal, route, key) JOIN idempotency AS a"
            " ON a.principal = k.principal AND a.route = k.route AND a.key = k.key",
            [(key.principal, key.route, key.key) for key in keys],
        )
        return {answer.key: answer for answer in map(rows.to_answer, found)}

    async def routes(self, refs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        found = await self._by_keys(
            "SELECT r.connection, r.psp_payment_id, r.order_id"
            " FROM unnest($1::text[], $2::text[]) AS k(connection, psp) JOIN payment_refs AS r"
            " ON r.psp_payment_id = k.psp AND r.connection = k.connection",
            refs,
        )
        return {(connection, psp): order for connection, psp, order in found}

    async def lock(self, order_ids: Sequence[str]) -> dict[str, Order]:
        wanted = [(id_,) for id_ in sorted(set(order_ids))]
        locking = "SELECT id FROM orders WHERE id = ANY($1) ORDER BY id FOR UPDATE"
        there = await self._by_keys(locking, wanted)
        reading = "SELECT state FROM orders WHERE id = ANY($1)"
        found = await self._by_keys(reading, [(id_,) for (id_,) in there])
        orders = {order.id: order for order in (rows.to_order(state) for (state,) in found)}
        self._locked.update(orders)
        return orders

    async def seen(self, messages: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        found = await self._by_keys(
            "SELECT i.connection, i.message FROM unnest($1::text[], $2::text[])"
            " AS k(connection, message) JOIN inbox AS i"
            " ON i.connection = k.connection AND i.message = k.message",
            messages,
        )
        return {(connection, message) for connection, message in found}

    async def waiting(self, refs: Sequence[str]) -> list[Inbound]:
        found = await self._by_keys(
            "SELECT r.connection, r.message FROM unnest($1::text[], $2::text[])"
            " AS k(ref_id, ref_connection) JOIN inbox_refs AS r"
            " ON r.ref_id = k.ref_id AND r.ref_connection = k.ref_connection",
            [rows.split_ref(ref) for ref in refs],
        )
        return await self.unmatched([(connection, message) for connection, message in found])

    async def unmatched(self, messages: Sequence[tuple[str, str]]) -> list[Inbound]:
        found = await self._by_keys(
            f"SELECT {_INBOX} FROM unnest($1::text[], $2::text[]) AS k(connection, message)"
            " JOIN inbox AS i ON i.connection = k.connection AND i.message = k.message"
            " WHERE i.state = 'unmatched'"
            " ORDER BY i.connection, i.message FOR UPDATE OF i",
            sorted(set(messages)),
        )
        waiting = [rows.to_inbound(row) for row in found]
        self._waited.update({(i.connection, i.message): i for i in waiting})
        return sorted(waiting, key=lambda i: (i.at, i.connection, i.message))

    async def parked(self, order_ids: Sequence[str]) -> list[Inbound]:
        found = await self._by_keys(
            f"SELECT {_INBOX} FROM inbox AS i WHERE i.order_id = ANY($1) AND i.state = 'parked'"
            " ORDER BY i.order_id, i.seq, i.connection, i.message",
            [(id_,) for id_ in sorted(set(order_ids))],
        )
        return [rows.to_inbound(row) for row in found]

    async def board(self) -> int:
        found = await self._fetch("SELECT value FROM settings WHERE key = 'board'")
        return int(found[0][0]) if found else 0

    async def history(self, wanted: Sequence[Wanted], day: int) -> dict[tuple[str, str], History]:
        who = past.merged(wanted)
        days = await self._by_keys(_DAYS, [(*key, day) for key in who])
        found = await self._by_keys(_SEEN, past.fingerprints(who.values()))
        return past.histories(who, days, found)

    async def caps(self, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
        names = [(name,) for name in sorted(set(buckets))]
        await self._by_keys(_MAKE_CAPS, names)
        await self._by_keys(_LOCK_CAPS, names)
        reading = "SELECT bucket, amount, count FROM caps WHERE bucket = ANY($1)"
        return {name: (a, n) for name, a, n in await self._by_keys(reading, names)}

    async def write(self, batch: Batch) -> None:
        steps = work(batch, self._locked, self._waited)
        if not steps:
            return
        sql = _written(tuple(step.name for step, _ in steps))
        (counts,) = await self._fetch(sql, *_arguments(steps))
        exact = [(step.name, len(values)) for step, values in steps if step.exact]
        for (name, wanted), done in zip(exact, counts if exact else (), strict=True):
            if done != wanted:
                self.broken = Retry(f"{name}: another process was there first")
                raise self.broken

    async def _by_keys(self, sql: str, keys: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Rows found by keys of one or several columns, bound as one array a column."""
        return await self._fetch(sql, *zip(*keys, strict=True)) if keys else ()

    async def _fetch(self, sql: str, *arguments: Any) -> Sequence[Any]:
        if self.broken is not None:
            raise RuntimeError("this turn has failed; leave its block") from self.broken
        try:
            return await self._connection.fetch(sql, *arguments)
        except BaseException as error:
            self.broken = self._store.translate(error)
            if self.broken is error:
                raise
            raise self.broken from error


class PostgresStore(DeskReads, Told):
    """A PostgreSQL database by its URL (`postgresql://user@host/name`, libpq's parameters)."""

    def __init__(self, url: str) -> None:
        async def connect() -> Any:
            return await asyncpg.connect(url, timeout=CONNECT_S, command_timeout=CALL_S)

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=COLD_POOL,
            max_overflow=0,
            pool_timeout=CONNECT_S,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
        )
        super().__init__(engine)
        self.url = url
        parts = urlsplit(url)
        self.name = f"PostgreSQL at {parts.hostname or 'the local socket'}{parts.path}"
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._writers: dict[str, asyncpg.Connection[asyncpg.Record]] = {}

    skip_locked = " FOR UPDATE OF d SKIP LOCKED"

    # -- life ------------------------------------------------------------------------------------
    async def open(self) -> None:
        await self.check_schema()
        if self._pool is None:
            async with self.translated():
                self._pool = await asyncpg.create_pool(
                    self.url,
                    min_size=1,
                    max_size=POOL,
                    init=_first,
                    reset=_as_it_is,
                    timeout=CONNECT_S,
                    command_timeout=CALL_S,
                    max_queries=1_000_000,
                    statement_cache_size=512,
                    max_cached_statement_lifetime=0,
                    max_cacheable_statement_size=0,
                )

    async def close(self) -> None:
        await self.engine.dispose()
        while self._writers:
            _, writer = self._writers.popitem()
            await writer.close()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def migrate(self) -> None:
        async with self.writing() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('amends'))"))
            await connection.run_sync(migrate.upgrade)

    async def ping(self) -> None:
        async with self._connection() as connection, self.translated():
            # Touches nothing; refused by a server that takes no writes.
            await connection.execute("DELETE FROM processes WHERE false")

    async def own(self) -> None:
        """Nothing to do: any number of servers share a PostgreSQL."""

    # -- turns -----------------------------------------------------------------------------------
    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        async with self._connection() as connection:
            async with self.translated():
                await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            turn = PostgresTurn(self, connection)
            try:
                yield turn
                if turn.broken is not None:
                    raise turn.broken  # COMMIT would roll back without a word
            except BaseException:
                await _rollback(connection)
                raise
            await self._commit(connection)

    async def _commit(self, connection: Connection) -> None:
        try:
            await connection.execute("COMMIT")
        except Exception as error:
            told = self.translate(error)
            _cut(connection)
            if isinstance(told, StoreUnavailable) and not _aborted(error):
                raise CommitUnknown(f"{self.name}: the connection broke at COMMIT") from error
            raise told from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise StoreUnavailable(f"{self.name} is not open")
        async with self.translated():
            connection = await self._pool.acquire(timeout=CONNECT_S)
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    # -- effects ---------------------------------------------------------------------------------
    async def claim(
        self, holder: str, now: Instant, until: Instant, limits: dict[str, int]
    ) -> list[Claimed]:
        wanted = {name: most for name, most in sorted(limits.items()) if most > 0}
        arguments = (list(wanted), list(wanted.values()), now, holder, until)
        async with self._connection() as connection, self.translated():
            found = await connection.fetch(_CLAIM, *arguments)
        return [
            Claimed(order, effect, name, kind, lost)
            for _, order, effect, name, kind, lost in sorted(tuple(row) for row in found)
        ]

    async def give_up(self, holder: str, claims: Sequence[tuple[str, str]]) -> None:
        if claims:
            async with self._connection() as connection, self.translated():
                await connection.execute(_GIVE_UP, holder, *zip(*sorted(claims), strict=True))

    async def hold_writer(self, name: str) -> bool:
        """By a session lock, on a connection of its own: it ends with that, whatever ends it."""
        held = self._writers.get(name)
        async with self.translated():
            if held is not None and not held.is_closed():
                await held.execute("SELECT 1")
                return True
            writer = await asyncpg.connect(self.url, timeout=CONNECT_S, command_timeout=CALL_S)
            lock = "SELECT pg_try_advisory_lock(hashtextextended('amends-writer:' || $1, 0))"
            if await writer.fetchval(lock, name):
                self._writers[name] = writer
                return True
            await writer.close()
            return False

    # -- what the cold half leaves to us ----------------------------------------------------------
    async def lock_books(self, connection: AsyncConnection) -> None:
        lock = "SELECT pg_advisory_xact_lock(hashtextextended('amends-books', 0))"
        await connection.execute(text(lock))

    def mending(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def lock_stream(self, connection: AsyncConnection, stream: str) -> None:
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:stream, 0))"), {"stream": stream}
        )

    def translate(self, error: BaseException) -> BaseException:
        told = error.__cause__ if isinstance(error.__cause__, asyncpg.PostgresError) else error
        if isinstance(told, asyncpg.PostgresError):
            return self._by_state(told) or error
        if isinstance(told, ValueError) and isinstance(told, asyncpg.InterfaceError):
            return RowRefused(f"a value does not fit its column: {told}")
        if isinstance(told, TimeoutError):
            return StoreUnavailable(f"{self.name} does not answer in time")
        if isinstance(told, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
            return StoreUnavailable(f"{self.name} is away: {told}")
        return error

    def _by_state(self, error: asyncpg.PostgresError) -> Exception | None:
        """By SQLSTATE (PostgreSQL's Appendix A)."""
        state: str = error.sqlstate or ""
        if state in ("40001", "40P01"):  # serialisation failure, deadlock
            return Retry(str(error))
        if state == "AM001":  # ours: the trigger on entries
            return PeriodClosed(str(error))
        if state == "23505" and error.table_name in RACED:
            return Retry(str(error))
        if state[:2] in ("22", "23", "54"):  # data, constraint or trigger, over a limit
            where = error.constraint_name or error.table_name or "no constraint"
            return RowRefused(f"{where}: {error}")
        if state[:2] in _AWAY_CLASSES or state in _AWAY_STATES:
            return StoreUnavailable(f"{self.name}: {error}")
        return None


# Connection, authorisation, no such database, resources, intervention by an operator, system.
_AWAY_CLASSES = ("08", "28", "3D", "53", "57", "58")
# Lock not available, read-only transaction, idle too long in a transaction.
_AWAY_STATES = ("55P03", "25006", "25P03")


def _aborted(error: Exception) -> bool:
    """The server said that the transaction failed; a dying server may have committed it first."""
    state = getattr(error, "sqlstate", None) or "08"
    return state[:2] not in ("08", "57")


async def _rollback(connection: Connection) -> None:
    """Undo the transaction. A connection that cannot is cut, and the server undoes it."""
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        _cut(connection)


def _cut(connection: Connection) -> None:
    """Give up on a connection. One that broke has left the pool by itself, which asyncpg tells by
    an InterfaceError."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _first(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.execute(_SESSION)
    await connection.execute(_DURABLE)


async def _as_it_is(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """asyncpg would clean up every connection it takes back, one round trip a turn; ours are only
    used by this module, which leaves nothing behind. An open transaction is still rolled back."""
