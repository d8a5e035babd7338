"""What rows 1 and 2 are held against: the same rows of one refund, one transaction each, without
a decision, a provider or a second commit. Refunds a second that the database alone can take."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.machine import ROOT
from bench.places import Place, execute
from tests import postgres

SCRIPT = ROOT / "bench" / "one_refund.sql"
CLIENTS = 8
ORDERS = 4000
STATE = 3300  # characters of an order's state with one refund
BODY = 250  # and of an event's body

# What one refund leaves behind, in the order in which it is written; orders, payments and the days
# of customers are there.
LEFT = ("refunds", "legs", "decisions", "events", "entries", "postings", "documents_due")


def pgbench_program() -> str:
    """The program, "" if there is none."""
    try:
        beside = postgres.installed() / "pgbench"
    except RuntimeError:
        return shutil.which("pgbench") or ""
    return str(beside) if beside.exists() else shutil.which("pgbench") or ""


def pgbench(place: Place, seconds: float) -> float:
    """Refunds a second by pgbench: 8 clients, prepared statements, the script beside this file."""
    execute(
        place.url,
        "INSERT INTO orders SELECT 'or_' || n, 'main', 'shop', 'o' || n, 1, 1, repeat('0', 64),"
        f" false, n, n, repeat('x', {STATE}) FROM generate_series(1, {ORDERS}) AS n",
        "INSERT INTO payments SELECT 'or_' || n, 'pay_' || n, 'psp', 'pi_' || n, 'EUR',"
        " 10200, 10200, 10200, 0, 0, 0, 0, 0, 0, 0, 0"
        f" FROM generate_series(1, {ORDERS}) AS n",
        "INSERT INTO customer_days SELECT 'c_' || n, 'main', 20000, 1, 10200, 10200,"
        " 0, 0, 0, 0, 0, 0"
        f" FROM generate_series(1, {ORDERS}) AS n",
    )
    done = subprocess.run(
        [
            *(pgbench_program(), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "1"),
            *("-T", str(max(1, round(seconds))), "-f", str(SCRIPT), "-D", f"orders={ORDERS}"),
            *("-D", "n=0", "-D", f"hash={'a' * 64}", "-D", f"body={'b' * BODY}"),
            *("-D", f"doc={'c' * STATE}", place.url),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode or found is None:
        raise RuntimeError(f"pgbench: {done.stderr[-500:]}")
    return float(found[1])


def executemany(finished: Path, empty: Path, seconds: float) -> float:
    """Refunds a second when the rows of `finished` (a file our engine has filled) are written into
    `empty`, table by table with executemany, one FULL transaction per refund."""
    with closing(sqlite3.connect(finished)) as source, closing(sqlite3.connect(empty)) as target:
        target.isolation_level = None
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("PRAGMA synchronous = FULL")
        orders = source.execute("SELECT * FROM orders ORDER BY created_at").fetchall()
        _copy(source, target, "orders", "payments", "customer_days")
        work = [list(_rows(source, order)) for order in orders]
        start, done = time.perf_counter(), 0
        for statements in work:
            target.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                target.executemany(sql, values)
            target.execute("COMMIT")
            done += 1
            if time.perf_counter() - start > seconds:
                break
        return done / (time.perf_counter() - start)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, *tables: str) -> None:
    target.execute("BEGIN")
    for table in tables:
        values = source.execute(f"SELECT * FROM {table}").fetchall()
        target.executemany(_insert(table, len(values[0])), values)
    target.execute("COMMIT")


def _insert(table: str, width: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * width)})"


def _rows(source: sqlite3.Connection, order: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """The statements of one refund, with its rows. The order's own events came before it."""
    sql = "UPDATE orders SET version = ?, head_seq = ?, head_hash = ?, updated_at = ?, state = ?"
    yield f"{sql} WHERE id = ?", [(*order[4:7], order[9], order[10], order[0])]
    yield "UPDATE payments SET refunded_ours = refunded_ours WHERE order_id = ?", [(order[0],)]
    customer = json.loads(order[10])["customer"]
    sql = "UPDATE customer_days SET refunds = refunds + 1 WHERE customer = ? AND entity = ?"
    yield sql, [(customer, order[1])]
    for table in LEFT:
        key = "stream" if table == "events" else "order_id"
        more = " AND type <> 'order.recorded'" if table == "events" else ""
        found = source.execute(f"SELECT * FROM {table} WHERE {key} = ?{more}", (order[0],))
        values = found.fetchall()
        yield _insert(table, len(values[0])), values
