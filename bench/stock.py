"""A stock of orders, loaded in bulk: what an installation holds after some time.

    python -m bench.stock '{"url": …, "orders": 1000000, "template": …, "tables": ["orders"]}'

Our own engine records one order and refunds a part of another; the rows it leaves are the template.
Every hundredth order of the stock has the rows of the second. Ids, names, instants and hashes are
varied; the ids are those the engine would give, so that its turns work on every order. The hashes
stand for real ones and would not pass an audit.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from typing import Any

import asyncpg
from msgspec.structs import replace

from amends.core.order import Order
from amends.core.orders import order_id, payment_id
from amends.core.requests import OrderKey
from amends.engine.seals import Witness, key_id
from amends.kernel.canon import GENESIS, canonical
from amends.kernel.ids import encode, tail
from amends.store.open import connect
from amends.store.rows import to_order
from amends.store.spec import Checkpoint
from bench.engines import bare_psp
from bench.machine import module, running
from bench.ours import settings, stock_name
from bench.places import Place, Places

REFUNDED_EACH = 100  # one order of so many has a refund
CHUNK = 5_000  # orders handed to COPY at once
KEYS = {"orders": "id", "events": "stream"}  # the column that names the order, if not order_id
# What two processes load beside each other: about half the bytes each.
LOADERS = (
    ("orders",),
    ("events", "payments", "payment_refs", "refunds", "legs", "entries", "postings"),
)
TABLES = tuple(table for tables in LOADERS for table in tables)
MONTH_US = 30 * 24 * 3600 * 1_000_000
_HASH, _INSTANT = re.compile(r"(?!0{64})[0-9a-f]{64}"), re.compile(r"\b1[6-9]\d{14}\b")

Template = dict[str, list[str]]  # table -> lines of COPY with places for ids


def load(place: Place, orders: int, likes: tuple[Template, Template]) -> float:
    """Fill a PostgreSQL that holds nothing with the likes of these; the seconds that took. Its
    indexes are made last."""
    (plain, refunded), start = likes, time.perf_counter()
    indexes = asyncio.run(_without_indexes(place.url))
    wish = {"url": place.url, "orders": orders, "plain": plain, "refunded": refunded}
    commands = [
        module("bench.stock", json.dumps({**wish, "tables": tables, "now": time.time_ns() // 1000}))
        for tables in LOADERS
    ]
    with running(*commands[0]) as first, running(*commands[1]) as second:
        first.line()
        second.line()
    asyncio.run(_with_indexes(place.url, indexes))
    asyncio.run(_sealed(place, orders))
    return time.perf_counter() - start


# -- the template ----------------------------------------------------------------------------------


def templates(places: Places) -> tuple[Template, Template]:
    """Of an order without and with a refund."""
    with places.fresh("sqlite") as place, bare_psp() as (url, _):
        wish = {
            "url": place.url,
            "psp": url,
            "folder": str(place.folder),
            "in_flight": 1,
            "warm": 0,
        }
        found = []
        for name, refunds in (("plain", 0), ("refunded", 1)):
            one = {**wish, "refunds": 1, "name": name}
            with running(*module("bench.ours", json.dumps(one))) as child:
                child.line()
                if refunds:
                    child.go()
                    child.found()
            found.append(_template(place, f"{name}0"))
        return found[0], found[1]


def _template(place: Place, name: str) -> Template:
    """The rows of an order of this name as lines of COPY, with places for what varies."""
    found: Template = {}
    with closing(sqlite3.connect(place.folder / "amends.db")) as source:
        identifier = order_id(OrderKey("shop", name))
        (state,) = source.execute("SELECT state FROM orders WHERE id = ?", [identifier]).fetchone()
        order = to_order(state)
        for table in TABLES:
            key = KEYS.get(table, "order_id")
            rows = source.execute(f"SELECT * FROM {table} WHERE {key} = ?", [identifier])
            found[table] = [_line(row, order) for row in rows]
    return found


def _line(row: tuple[Any, ...], order: Order) -> str:
    text = "\t".join(str(value).replace("\\", "\\\\") for value in row) + "\n"
    text = text.replace("%", "%%")
    places = {order.id: "order", order.payments[0].id: "payment", order.source.order_id: "name"}
    if order.refunds:
        (refund,) = order.refunds
        places |= {tail(refund.id): "refund", refund.legs[0].psp_refund_id: "reference"}
    for value, place in places.items():
        text = text.replace(value, f"%({place})s")
    return _INSTANT.sub("%(at)d", _HASH.sub("%(hash)s", text))


# -- loading ---------------------------------------------------------------------------------------


async def copy(wish: Mapping[str, Any]) -> None:
    """Load some tables, one COPY each at the same time: frozen, so that nothing is left to do for
    a vacuum, which PostgreSQL allows in the transaction that emptied them."""
    queues = {table: asyncio.Queue[bytes | None](maxsize=2) for table in wish["tables"]}
    connections = [await asyncpg.connect(wish["url"]) for _ in queues]
    lanes = [
        asyncio.create_task(_copy_one(connection, table, queue))
        for connection, (table, queue) in zip(connections, queues.items(), strict=True)
    ]
    for chunk in chunks(wish):
        for table, queue in queues.items():
            await queue.put(chunk[table])
    for queue in queues.values():
        await queue.put(None)
    await asyncio.gather(*lanes)
    for connection in connections:
        await connection.close()


async def _copy_one(
    connection: asyncpg.Connection[asyncpg.Record], table: str, queue: asyncio.Queue[bytes | None]
) -> None:
    async def source() -> AsyncIterator[bytes]:
        while (data := await queue.get()) is not None:
            yield data

    # What keeps a table append-only would keep even an empty one from being emptied.
    await connection.execute("SET session_replication_role = replica")
    async with connection.transaction():
        await connection.execute(f"TRUNCATE {table}")
        await connection.copy_to_table(table, source=source(), format="text", freeze=True)


def chunks(wish: Mapping[str, Any]) -> Iterator[dict[str, bytes]]:
    """Lines of COPY, by table, for some orders after the other."""
    tables: list[str] = wish["tables"]
    plain = {table: "".join(wish["plain"][table]) for table in tables}
    refunded = {table: "".join(wish["refunded"][table]) for table in tables}
    step = max(1, MONTH_US // wish["orders"])
    for start in range(0, wish["orders"], CHUNK):
        found: dict[str, list[str]] = {table: [] for table in tables}
        for number in range(start, min(start + CHUNK, wish["orders"])):
            name = stock_name(number)
            mark = sha256(name.encode())
            values = {
                "order": order_id(OrderKey("shop", name)),
                "payment": payment_id("psp", f"pi_{name}"),
                "name": name,
                "refund": tail(encode("rf", mark.digest()[:16])),
                "reference": f"re_{name}",
                "hash": mark.hexdigest(),
                "at": wish["now"] - MONTH_US + number * step,
            }
            lines = plain if number % REFUNDED_EACH else refunded
            for table, text in lines.items():
                if text:
                    found[table].append(text % values)
        yield {table: "".join(parts).encode() for table, parts in found.items()}


async def _without_indexes(url: str) -> list[str]:
    """Drop keys and indexes of what is loaded; the statements that bring them back."""
    connection = await asyncpg.connect(url)
    try:
        keys = await connection.fetch(
            "SELECT conrelid::regclass::text AS name, conname, pg_get_constraintdef(oid) AS words"
            " FROM pg_constraint WHERE contype = 'p' AND conrelid::regclass::text = ANY($1)",
            TABLES,
        )
        plain = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY($1)"
            " AND indexname <> ALL($2)",
            TABLES,
            [key["conname"] for key in keys],
        )
        for key in keys:
            await connection.execute(f"ALTER TABLE {key['name']} DROP CONSTRAINT {key['conname']}")
        for index in plain:
            await connection.execute(f"DROP INDEX {index['indexname']}")
    finally:
        await connection.close()
    again = [f"ALTER TABLE {k['name']} ADD CONSTRAINT {k['conname']} {k['words']}" for k in keys]
    return [*again, *(index["indexdef"] for index in plain)]


async def _with_indexes(url: str, statements: list[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for statement in statements:
            await connection.execute(statement)
        await connection.execute("ANALYZE")
        await connection.execute("CHECKPOINT")
        await _warmed(connection)
    finally:
        await connection.close()


async def _warmed(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Read the indexes into the server's buffers, as days of work would have: measured is what many
    orders cost, not a server that has just been started."""
    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    await connection.execute(
        "SELECT pg_prewarm(indexrelid::regclass) FROM pg_index"
        " WHERE indrelid::regclass::text = ANY($1)",
        TABLES,
    )


async def _sealed(place: Place, orders: int) -> None:
    """A checkpoint of now, as if the stock had been sealed minute by minute: without it each engine
    would begin by sealing all of it."""
    witness = Witness(settings(place.url, "http://127.0.0.1:1", place.folder).audit_dir)
    witness.prepare()
    key = witness.key()
    now = time.time_ns() // 1000
    draft = Checkpoint(1, now, orders, (), GENESIS, key_id(key.public_key()), "")
    sealed = replace(draft, signature=key.sign(canonical(draft)).hex())
    store = connect(place.url)
    await store.open()
    try:
        await store.add_checkpoint(sealed)
    finally:
        await store.close()
    witness.append(sealed)


if __name__ == "__main__":
    asyncio.run(copy(json.loads(sys.argv[1])))
    print("loaded", flush=True)
    sys.stdin.read()
