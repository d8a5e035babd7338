"""The database is away, full, locked, read-only or dies: said as such, and nothing half-written."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from amends.store import postgres as store_postgres
from amends.store import sqlite as store_sqlite
from amends.store.open import connect
from amends.store.postgres import PostgresStore
from amends.store.spec import Batch, CommitUnknown, Retry, RowRefused, Store, StoreUnavailable
from amends.store.sqlite import SqliteStore
from tests import postgres
from tests.store.conftest import POSTGRES, SQLITE, Another
from tests.store.examples import NOW, an_order, recorded, refunded
from tests.store.sql import everything, rows_of, run, write

on_sqlite = pytest.mark.parametrize("store_url", [SQLITE], indirect=True)
on_postgres = pytest.mark.parametrize("store_url", [POSTGRES], indirect=True)


def many(count: int, prefix: str = "") -> Batch:
    batch = Batch()
    for n in range(count):
        recorded(an_order(n, prefix), batch)
    return batch


async def every_call_says_so(store: Store, words: str) -> None:
    """A read, a write, a claim and a turn all raise StoreUnavailable."""
    with pytest.raises(StoreUnavailable, match=words):
        await store.ping()
    with pytest.raises(StoreUnavailable, match=words):
        await store.claim("p", NOW, NOW, {"stripe-eu": 1})
    with pytest.raises(StoreUnavailable, match=words):
        await store.heartbeat("p", NOW, 0)
    with pytest.raises(StoreUnavailable, match=words):
        await write(store, many(1, "away"))


async def test_a_healthy_store_answers_a_ping(store: Store) -> None:
    await store.ping()


async def test_a_store_that_is_not_open_says_so(store_url: str) -> None:
    await every_call_says_so_when_closed(connect(store_url))


async def every_call_says_so_when_closed(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.ping()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.claim("p", NOW, NOW, {"stripe-eu": 1})
    await store.close()


# -- SQLite


@on_sqlite
async def test_a_file_locked_by_another_process(
    another: Another, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_sqlite, "BUSY_MS", 20)
    store = await another()
    other = sqlite3.connect(tmp_path / "amends.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"amends\.db: another process has kept it locked"):
        await store.ping()
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.heartbeat("p", NOW, 0)
    assert (await store.orders("", 1)).items == []
    other.execute("ROLLBACK")
    other.close()
    await store.ping()


@on_sqlite
async def test_a_full_disk(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    await write(store, many(3))
    before = await everything(store)
    await store.submit(lambda c: c.execute("PRAGMA max_page_count = 1"))  # as small as it is now
    with pytest.raises(StoreUnavailable, match="full"):
        await write(store, many(500, "more"))
    assert await everything(store) == before
    await store.submit(lambda c: c.execute("PRAGMA max_page_count = 1000000"))
    await write(store, many(500, "more"))
    assert len(await rows_of(store, "orders")) == 503


@on_sqlite
async def test_a_read_only_file(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    await store.submit(lambda c: c.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable, match="read-only"):
        await write(store, many(1))


@on_sqlite
async def test_a_turn_that_never_ends_is_told_by_ping(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_sqlite, "PING_S", 0.02)
    async with store.turn():
        with pytest.raises(StoreUnavailable, match="a turn has kept it"):
            await store.ping()
    await store.ping()


@pytest.mark.parametrize("content", [b"", b"this is no database " * 500])
async def test_a_file_that_is_no_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    store = connect(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailable, match=r"not a SQLite database|amends init"):
        await store.open()
    await store.close()


async def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (f"{tmp_path}/file/x.db", str(tmp_path)):
        store = connect(f"sqlite:///{place}")
        with pytest.raises(StoreUnavailable):
            await store.migrate()
        await store.close()


async def test_migrate_makes_the_folder(tmp_path: Path) -> None:
    store = connect(f"sqlite:///{tmp_path}/new/deep/x.db")
    await store.migrate()
    await store.open()
    await store.close()


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `code`, killed at the end if it still runs."""
    path = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


_SERVER = """
import asyncio, sys
from amends.store.open import connect
async def main():
    store = connect(sys.argv[1])
    await store.open()
    await store.own()
    print("own", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


@on_sqlite
async def test_a_file_has_one_server_and_a_killed_one_leaves_no_lock(
    store: Store, store_url: str, another: Another
) -> None:
    with process(_SERVER, store_url) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "own\n"
        with pytest.raises(StoreUnavailable, match=rf"served by process {server.pid}\b"):
            await store.own()
        await write(store, many(1))  # a command beside the server still writes
        server.send_signal(signal.SIGKILL)
        server.wait()
    await store.own()
    second = await another()
    with pytest.raises(StoreUnavailable, match=rf"served by process {os.getpid()}\b"):
        await second.own()
    await store.close()
    await second.own()


@on_sqlite
async def test_the_next_server_takes_over_what_the_one_before_held(store: Store) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch, refunded(order)[1])
    assert await store.claim("p2", NOW, NOW + 1, {"stripe-eu": 9}) == []
    await store.own()
    (claimed,) = await store.claim("p2", NOW, NOW + 1, {"stripe-eu": 9})
    assert claimed.lost  # bytes may be under way


@on_postgres
async def test_any_number_of_servers_share_a_postgresql(store: Store, another: Another) -> None:
    await store.own()
    await (await another()).own()


_WRITER = """
import asyncio, sys
from amends.store.open import connect
from tests.store.examples import an_order, recorded, refunded
from tests.store.sql import write
async def main():
    store = connect(sys.argv[1])
    await store.open()
    for n in range(100_000):
        order, batch = recorded(an_order(n))
        await write(store, batch)
        await write(store, refunded(order)[1])
        print(order.id, flush=True)
asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_it_acknowledged(store: Store, store_url: str) -> None:
    with process(_WRITER, store_url) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.readlines()
    stored = {order_id: seq for order_id, seq, _ in await store.order_ids("", 10**6)}
    whole = [line.strip() for line in acknowledged if line.endswith("\n")]
    assert all(stored[order_id] == 3 for order_id in whole)
    assert len(stored) - len(whole) in (0, 1, 2)
    for head in await store.streams("", 10**6):
        assert stored[head.stream] == head.seq
    found = await everything(store)
    refunded_orders = sum(seq == 3 for seq in stored.values())
    assert len(found["postings"]) == 3 * refunded_orders
    assert len(found["idempotency"]) == len(found["effects"]) == refunded_orders


# -- PostgreSQL


@pytest.mark.parametrize("url", ["postgresql://amends@127.0.0.1:1/x", "postgresql:///x?host=/no"])
async def test_a_server_that_is_not_there(url: str) -> None:
    store = connect(url)
    for call in (store.open, store.migrate, store.principals):
        with pytest.raises(StoreUnavailable, match=r"PostgreSQL at .* is away"):
            await call()
    await store.close()


@on_postgres
async def test_a_database_that_is_not_there(store_url: str) -> None:
    store = connect(store_url + "_nobody")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        await store.open()
    await store.close()


@pytest.mark.postgres
async def test_a_server_that_stops() -> None:
    with postgres.running() as url:
        store = connect(url)
        await store.migrate()
        await store.open()
        await write(store, many(1))
    await every_call_says_so(store, "PostgreSQL at")
    with pytest.raises(StoreUnavailable, match="PostgreSQL at"):
        await store.orders("", 1)
    await store.close()


_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@on_postgres
async def test_a_connection_that_breaks(store: Store, store_url: str) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch)
    raw = await asyncpg.connect(store_url)
    with pytest.raises(StoreUnavailable) as before_commit:
        async with store.turn() as turn:
            await turn.lock([order.id])
            await raw.execute(_END)
            await turn.write(refunded(order)[1])
    assert not isinstance(before_commit.value, CommitUnknown)
    with pytest.raises(CommitUnknown, match="COMMIT"):
        async with store.turn() as turn:
            await turn.lock([order.id])
            await turn.write(refunded(order)[1])
            await raw.execute(_END)
    await raw.close()
    assert await rows_of(store, "refunds") == []
    await write(store, refunded(order)[1])


@on_postgres
async def test_a_lock_that_is_not_given_up(
    another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = store_postgres._SESSION.replace("lock_timeout = '10s'", "lock_timeout = '20ms'")
    assert impatient != store_postgres._SESSION
    store = await another()
    order, batch = recorded(an_order(1))
    await write(store, batch)
    monkeypatch.setattr(store_postgres, "_SESSION", impatient)
    second = await another()
    async with store.turn() as turn:
        await turn.lock([order.id])
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            async with second.turn() as blocked:
                await blocked.lock([order.id])


@on_postgres
async def test_a_server_that_takes_no_writes(store: Store, store_url: str) -> None:
    raw = await asyncpg.connect(store_url)
    name = await raw.fetchval("SELECT current_database()")
    await raw.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await raw.close()
    late = connect(store_url)
    await late.open()
    await every_call_says_so(late, "read-only transaction")
    await late.close()


@on_postgres
async def test_commits_are_on_disk_whatever_the_server_says(
    another: Another, store_url: str
) -> None:
    await another()
    raw = await asyncpg.connect(store_url)
    name = await raw.fetchval("SELECT current_database()")
    await raw.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await raw.close()
    store = await another()
    assert isinstance(store, PostgresStore)
    async with store.turn() as turn:
        assert isinstance(turn, store_postgres.PostgresTurn)
        (shown,) = await turn._fetch("SHOW synchronous_commit")
        assert shown[0] == "on"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (asyncpg.SerializationError("x"), Retry),
        (asyncpg.DeadlockDetectedError("x"), Retry),
        (asyncpg.CheckViolationError("x"), RowRefused),
        (asyncpg.CharacterNotInRepertoireError("x"), RowRefused),
        (asyncpg.ProgramLimitExceededError("x"), RowRefused),
        (asyncpg.TooManyConnectionsError("x"), StoreUnavailable),
        (asyncpg.DiskFullError("x"), StoreUnavailable),
        (asyncpg.CannotConnectNowError("x"), StoreUnavailable),
        (asyncpg.AdminShutdownError("x"), StoreUnavailable),
        (asyncpg.QueryCanceledError("x"), StoreUnavailable),
        (asyncpg.LockNotAvailableError("x"), StoreUnavailable),
        (asyncpg.InvalidPasswordError("x"), StoreUnavailable),
        (asyncpg.PostgresIOError("x"), StoreUnavailable),
        (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
        (ConnectionRefusedError("x"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (asyncpg.UndefinedColumnError("x"), asyncpg.UndefinedColumnError),
        (KeyError("x"), KeyError),
    ],
)
def test_what_an_error_of_postgresql_means(error: Exception, told: type[Exception]) -> None:
    store = PostgresStore("postgresql://amends:secret@db.example/amends")
    meant = store.translate(error)
    assert type(meant) is told
    assert "secret" not in str(meant)


# -- both


async def test_a_bug_in_a_statement_is_not_taken_for_a_bad_row(store: Store) -> None:
    with pytest.raises(Exception, match="nobody") as raised:
        await run(store, "SELECT nobody FROM orders")
    assert not isinstance(raised.value, StoreUnavailable | RowRefused | Retry)


async def test_a_text_with_a_nul_is_refused(store: Store) -> None:
    batch = Batch()
    batch.routes["stripe-eu", "pi\0"] = "ord_1"
    with pytest.raises(RowRefused):
        await write(store, batch)


async def test_a_value_that_is_no_text_is_refused(store: Store) -> None:
    batch = Batch()
    batch.routes["stripe-eu", "pi_1"] = None  # type: ignore[assignment]
    with pytest.raises(RowRefused):
        await write(store, batch)
