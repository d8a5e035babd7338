"""The tables: which belong to an order, what the migrations make, what refuses to change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import Connection, insert, inspect, text

from amends.core.order import Verdict
from amends.store import migrate, rows, schema
from amends.store.open import connect
from amends.store.postgres import PostgresStore
from amends.store.records import Head
from amends.store.schema import AGGREGATE, APPEND_ONLY, ROUTING, metadata
from amends.store.spec import Batch, Checkpoint, RowRefused, Store, StoreUnavailable
from tests.store.conftest import POSTGRES
from tests.store.examples import NOW, an_order, recorded, refunded
from tests.store.sql import cold, everything, rows_of, run, write


def test_every_table_is_of_an_order_or_routes_and_is_keyed_so() -> None:
    keyed = {**AGGREGATE, **ROUTING}
    assert len(keyed) == len(AGGREGATE) + len(ROUTING)
    assert set(keyed) == set(metadata.tables)
    for name, column in keyed.items():
        assert next(iter(metadata.tables[name].primary_key.columns)).name == column
    assert {"order_id", "stream", "id"} >= set(AGGREGATE.values())


def test_unique_indexes_would_not_stop_sharding() -> None:
    """A unique index that leaves out the column of distribution cannot be kept by any shard."""
    for name in AGGREGATE:
        assert not [i for i in metadata.tables[name].indexes if i.unique]


async def test_models_and_migrations_agree(store: Store) -> None:
    async with cold(store).reading() as connection:
        assert await connection.run_sync(_differences) == []


def _differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_migrations_make_what_the_models_would_make(store: Store) -> None:
    """Checks, partial indexes and storage too, which Alembic does not compare."""
    async with cold(store).writing() as connection:
        migrated = await connection.run_sync(_described)
        for name in metadata.tables:
            await connection.execute(text(f"DROP TABLE {name}"))
        await connection.run_sync(metadata.create_all)
        assert await connection.run_sync(_described) == migrated
    assert len(migrated) > len(metadata.tables)


_MASTER = "SELECT name, sql FROM sqlite_master WHERE type <> 'trigger' AND sql IS NOT NULL"
_CATALOG = """
    SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid > 0 AND connamespace = 'public'::regnamespace
    UNION ALL
    SELECT table_name || '.' || column_name, ordinal_position || ' ' || data_type || ' '
      || is_nullable || ' ' || coalesce(collation_name, '') || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT relname || ' with', reloptions::text FROM pg_class
    WHERE reloptions IS NOT NULL AND relnamespace = 'public'::regnamespace
"""


def _described(connection: Connection) -> dict[str, str]:
    query = _MASTER if connection.dialect.name == "sqlite" else _CATALOG
    found = {name: re.sub(r"\s+", " ", sql) for name, sql in connection.execute(text(query))}
    return {name: sql for name, sql in found.items() if "alembic" not in name}


async def test_migrating_again_changes_nothing(store: Store) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch)
    before = await everything(store)
    await store.migrate()
    assert await everything(store) == before
    assert await store.order(order.id) == order


async def test_migrating_does_not_depend_on_the_working_directory(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "some where %d"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    store = connect(store_url)
    await store.migrate()
    await store.open()
    await store.close()
    assert list(elsewhere.iterdir()) == []


async def test_a_missing_schema_is_refused_with_what_to_do(store_url: str) -> None:
    store = connect(store_url)
    with pytest.raises(StoreUnavailable, match="amends init"):
        await store.open()
    await store.close()


async def test_an_old_schema_is_refused_with_what_to_do(store: Store, store_url: str) -> None:
    await run(store, "UPDATE alembic_version SET version_num = '0000'")
    late = connect(store_url)
    with pytest.raises(StoreUnavailable, match=r"at 0000.*needs \d+.*amends init"):
        await late.open()
    await late.close()


async def test_a_failed_migration_leaves_nothing(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(store_url)

    def half(connection: Connection) -> None:
        migrate_all(connection)
        raise RuntimeError("power cut")

    migrate_all = migrate.upgrade
    monkeypatch.setattr(migrate, "upgrade", half)
    with pytest.raises(RuntimeError, match="power cut"):
        await store.migrate()
    async with cold(store).reading() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == []
    await store.close()


def to_revision(connection: Connection, revision: str) -> None:
    config = migrate._config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def test_payments_of_before_keep_their_amounts(store_url: str) -> None:
    store = connect(store_url)
    amounts = "9, 8, 8, 1, 2, 3, 4, 5, 6, 7"
    async with cold(store).writing() as connection:
        await connection.run_sync(to_revision, "0002")
        row = f"INSERT INTO payments VALUES ('ord_1', 'pay_1', 'psp', 'pi_1', 'EUR', {amounts})"
        await connection.execute(text(row))
    await store.migrate()
    await store.open()
    rows = await rows_of(store, "payments")
    assert rows == [("ord_1", "pay_1", "psp", "pi_1", "EUR", *map(int, amounts.split(", ")), 0)]
    with pytest.raises(RowRefused, match="payments_not_negative"):
        await run(store, "UPDATE payments SET uncaptured = -1")
    await store.close()


async def test_refunds_that_wait_already_are_in_the_queue(store_url: str) -> None:
    store = connect(store_url)
    verdict = Verdict("review", "v1", "high-value", 4200)
    order, _ = refunded(an_order(1))
    waits, runs = refunded(order)[0].refunds
    waits = replace(waits, stage="review", verdict=verdict, decide_by=NOW + 9)
    order = replace(order, refunds=(runs, waits))
    async with cold(store).writing() as connection:
        await connection.run_sync(to_revision, "0005")
        await connection.execute(insert(schema.orders).values(rows.created(order)))
        for refund in order.refunds:
            await connection.execute(insert(schema.refunds).values(rows.refund(order, refund)))
    await store.migrate()
    await store.open()
    head = (order.id, waits.id, "main", "open", "", "", NOW + 9, 0, "", 0, 3200, "EUR", 4200)
    assert await rows_of(store, "reviews") == [(*head, "high-value", "return", NOW + 1, 0)]
    await store.close()


CHECKPOINT = Checkpoint(1, NOW, 1, (Head("ord_1", 1, "a" * 64),), "0" * 64, "key-1", "sig")


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("act", ["update", "delete"])
async def test_append_only_tables_refuse(store: Store, table: str, act: str) -> None:
    order, batch = recorded(an_order(1))
    await write(store, batch, refunded(order)[1])
    assert await store.add_checkpoint(CHECKPOINT)
    await run(store, "INSERT INTO periods VALUES ('main', '2026-10', 1, 'cli:me')")
    await run(store, "INSERT INTO credit_notes VALUES ('main','CN',1,'o',1,'rf','issued',1,'{}')")
    await run(store, "INSERT INTO policies VALUES (1, 'h', 'n', '{}', 1, 1, 'cli:me')")
    await run(store, "INSERT INTO models VALUES ('h', 'lightgbm', 'n', 'm', '{}', 1, 'cli:me')")
    move = "'o', 1, 1, 'r', '1', 'TEA', '', 'restock', 1, 'cli:me'"
    await run(store, f"INSERT INTO stock_moves VALUES ({move})")
    await run(store, "INSERT INTO stock_counts VALUES ('TEA', '', 1, 1, 'cli:me')")
    before = await everything(store)
    column = next(c.name for c in metadata.tables[table].columns if not c.primary_key)
    statement = {
        "update": f"UPDATE {table} SET {column} = {column}",
        "delete": f"DELETE FROM {table}",
    }[act]
    with pytest.raises(RowRefused, match=f"{table} is append-only"):
        await run(store, statement)
    assert before[table]
    assert await everything(store) == before


@pytest.mark.parametrize("store_url", [POSTGRES], indirect=True)  # SQLite has no TRUNCATE
@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_append_only_tables_refuse_truncate(store: Store, table: str) -> None:
    with pytest.raises(RowRefused, match=f"{table} is append-only"):
        await run(store, f"TRUNCATE {table}")


async def test_sqlite_refuses_the_wrong_type_as_postgresql_does(store: Store) -> None:
    with pytest.raises(RowRefused):
        await run(store, "INSERT INTO processes (id, seen_at) VALUES ('p', 'yesterday')")


def test_money_columns_are_the_ones_the_check_names() -> None:
    checks = {c.name for c in schema.payments.constraints if c.name}
    assert checks == {"payments_never_exceed_captured", "payments_not_negative"}


@pytest.mark.parametrize("table", ["orders", "payments"])
async def test_what_is_changed_among_many_stays_in_its_page(store: Store, table: str) -> None:
    """On PostgreSQL: so that no index is written for it, and none of its pages read."""
    if not isinstance(store, PostgresStore):
        return
    batch = Batch()
    orders = [recorded(an_order(number), batch)[0] for number in range(300)]
    await write(store, batch)
    where = f"SELECT {AGGREGATE[table]}, ctid::text FROM {table}"

    async def pages() -> dict[str, str]:
        async with cold(store).reading() as connection:
            found = await connection.execute(text(where))
            return {order: place.partition(",")[0] for order, place in found}

    before = await pages()
    assert len(set(before.values())) > 3
    for order in orders[::50]:
        await write(store, refunded(order)[1])
    assert await pages() == before
