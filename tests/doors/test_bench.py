"""`amends bench` gives well-formed rows. Nothing here asserts a time or a ratio."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import asyncpg
import pytest
from typer.testing import CliRunner

from amends.core.orders import order_id
from amends.core.requests import OrderKey
from amends.doors import bench_cli, svg
from amends.doors.cli import app
from amends.store.rows import to_order
from amends.store.schema import metadata
from bench import curves, growth, naive, ours, plot, psp, stock
from bench.__main__ import chosen
from bench.facts import facts
from bench.machine import ROOT
from bench.ours import picked, stock_name
from bench.places import Places
from bench.plan import Curve, Plan, Round, Row, summed_up
from bench.references import LEFT, SCRIPT
from bench.rows import ROWS

FIELDS = {"name", "what", "unit", "value", "reference", "ratio", "must", "aim", "ok"}
MACHINE = {"cpu", "cores", "memory_gb", "kernel", "python", "sqlite", "postgresql", "flush_ms"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["engine-sqlite", "webhooks-sqlite"])
def test_a_measured_row_is_whole(name: str) -> None:
    machine, row = measured(
        *("--rows", name, "--store", "sqlite", "--seconds", "0.02", "--rounds", "1")
    )
    assert machine["machine"].keys() >= MACHINE
    row = row["row"]
    assert row["name"] == name
    assert row.keys() >= FIELDS | {"cpu_s_per_1000"}
    assert row["value"] > 0
    assert row["reference"] > 0
    assert row["ratio"] > 0
    assert isinstance(row["ok"], bool)
    assert row["cpu_s_per_1000"]


@pytest.mark.slow
def test_the_sandbox_row_leaves_nothing_in_the_checkout() -> None:
    before = sorted(ROOT.glob("*.pem"))
    _, row = measured(
        *("--rows", "sandbox-sqlite", "--store", "sqlite", "--seconds", "0.02", "--rounds", "1")
    )
    assert row["row"]["value"] > 0
    assert sorted(ROOT.glob("*.pem")) == before


def test_what_is_not_measured_says_why() -> None:
    with ExitStack() as stack:
        plan = Plan(Places("", stack), 0.02, 1, ("postgresql", "sqlite"))
        rows = [row for name in ("growth", "bulk") for row in ROWS[name][1](plan)]
    assert [row.name for row in rows if isinstance(row, Row)] == ["growth", "growth-p99", "bulk"]
    assert [row.absent for row in rows if isinstance(row, Row)] == [
        "--long only",
        "--long only",
        "not built yet: a later release brings it",
    ]


@pytest.mark.slow
def test_growth_on_tiny_stocks(postgres_server: str) -> None:
    with ExitStack() as stack:
        places = Places(postgres_server, stack)
        plan = Plan(places, 0.05, 1, ("postgresql",), long=True, sizes=(400, 1200))
        found = growth.growth(plan)
    throughput, p99, curve = found
    assert isinstance(throughput, Row) and isinstance(p99, Row) and isinstance(curve, Curve)
    for row in (throughput, p99):
        assert row.value and row.reference and row.ratio and isinstance(row.ok, bool)
        assert row.cpu_s_per_1000
    assert "1,200 orders loaded in" in throughput.note
    assert [(point.x, bool(point.per_s and point.p99)) for point in curve.points] == [
        (400, True),
        (1200, True),
    ]


def test_no_order_of_a_stock_is_picked_twice() -> None:
    wish = {"stock": 120, "parts": 2, "seeds": 3}
    wishes = [{**wish, "part": part, "seed": seed} for part in range(2) for seed in range(3)]
    found = [order for one in wishes for order in picked(one, 20)]
    assert len(set(found)) == len(found) == 120
    assert picked(wishes[0], 20) == found[:20]  # a seed picks the same again


def test_a_refund_that_does_not_end_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not heard of here, and nowhere in the store either."""

    async def asked(*given: Any) -> Any:
        return SimpleNamespace(results=[SimpleNamespace(refund="rf_1")])

    async def nothing(*given: Any) -> None:
        return None

    monkeypatch.setattr(ours.actions, "request_refund", asked)
    engine: Any = SimpleNamespace(wait_for=nothing, store=SimpleNamespace(order=nothing))
    with pytest.raises(RuntimeError, match="nothing was measured"):
        asyncio.run(ours.Run(engine, {})._refund("ord_1"))


@pytest.mark.slow
def test_a_stock_is_what_the_engine_would_have_left(postgres_server: str) -> None:
    """Loaded rows agree with the documents beside them, and the indexes are as they were."""
    with ExitStack() as stack:
        places = Places(postgres_server, stack)
        with places.fresh("postgresql") as place, places.fresh("postgresql") as bare:
            stock.load(place, 250, stock.templates(places))
            indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
            assert asked(place.url, indexes) == asked(bare.url, indexes)
            orders = [to_order(state) for (state,) in asked(place.url, "SELECT state FROM orders")]
            legs = asked(place.url, "SELECT order_id, id, psp_refund_id FROM legs")
            counts = {
                table: asked(place.url, f"SELECT count(*) FROM {table}")[0][0]
                for table in stock.TABLES
            }
    names = [stock_name(number) for number in range(250)]
    assert {order.id for order in orders} == {order_id(OrderKey("shop", name)) for name in names}
    refunded = [(o.id, leg) for o in orders for refund in o.refunds for leg in refund.legs]
    assert {(id_, leg.id, leg.psp_refund_id) for id_, leg in refunded} == set(legs)
    assert counts["legs"] == counts["refunds"] == len(legs) == 3
    assert counts["orders"] == counts["payments"] == counts["payment_refs"] == 250
    assert counts["events"] == 250 + 3 * 3
    assert (counts["entries"], counts["postings"]) == (6, 15)


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def measured(*options: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *options],
        cwd=ROOT,
        env={**bench_cli.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_rows_are_chosen_by_the_beginning_of_their_names() -> None:
    both = ("postgresql", "sqlite")
    assert chosen("rest", both) == ["rest-postgresql", "rest-sqlite"]
    assert chosen("rest", ("sqlite",)) == ["rest-sqlite"]
    assert chosen("", both) == list(ROWS)
    with pytest.raises(SystemExit, match="no row nothing"):
        chosen("nothing", both)


def test_the_ratio_is_the_median_of_the_rounds_own() -> None:
    rounds = [Round(10, 10), Round(100, 20), Round(9, 3)]
    row = summed_up(Row("x", "x", must=2.0), rounds)
    assert (row.value, row.reference, row.ratio, row.ok) == (10, 10, 3.0, True)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Stands in for the measuring process."""

    def give(*found: Row) -> None:
        plain = [{"machine": {"cores": 2}}]
        plain += [{"row": json.loads(json.dumps(vars(row)))} for row in found]
        monkeypatch.setattr(bench_cli, "_measured", lambda options: iter(plain))
        monkeypatch.setattr(bench_cli, "_save", lambda report: tmp_path / "x.json")

    return give


def test_a_row_below_its_must_ends_with_1(rows: Callable[..., None]) -> None:
    rows(Row("a", "a", value=1.0, reference=2.0, ratio=0.5, must=0.6, ok=False))
    done = CliRunner().invoke(app, ["bench"])
    assert done.exit_code == 1
    assert re.search(r"a +1\.0 refunds/s +2\.0 +0\.5 +0\.6 +no", done.output)


def test_rows_as_json(rows: Callable[..., None]) -> None:
    rows(Row("a", "a", value=1.0), Row("b", "b", absent="not built yet"))
    done = CliRunner().invoke(app, ["bench", "--json"])
    assert done.exit_code == 0
    report = json.loads(done.output)
    assert [row["name"] for row in report["rows"]] == ["a", "b"]
    assert (report["machine"], report["curves"]) == ({"cores": 2}, [])


def test_the_facts_of_this_machine() -> None:
    found = facts()
    assert found.keys() >= MACHINE
    assert found["flush_ms"] > 0
    assert found["postgresql"] is None


REPORT = {
    "at": "2026-11-22T17:00:00+00:00",
    "version": "1",
    "machine": {"cores": 2, "cpu": "a <fast> one"},
    "rows": [],
    "curves": [
        {
            "over": "batch",
            "kind": kind,
            "points": [
                {"x": 1, "per_s": 300.0, "p99": 3000.0},
                {"x": 512, "per_s": 9e3, "p99": 41},
            ],
        }
        for kind in ("postgresql", "sqlite")
    ],
}


def test_the_plot_is_a_picture_with_axes(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(REPORT))
    picture = ElementTree.parse(bench_cli._draw(tmp_path / "x.json"))
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"PostgreSQL", "SQLite", "refunds/s", "p99, ms", "512", "10k"} <= set(words)
    assert words.count("not measured") == 4
    lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 4
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 < x < plot.WIDTH and 0 < y < plot.HEIGHT


@pytest.mark.parametrize(
    ("values", "log", "found"),
    [
        ((17, 1700), False, (0, 500, 1000, 1500, 2000)),
        ((5,), False, (0, 1, 2, 3, 4, 5)),
        ((28, 600), True, (20, 50, 100, 200, 500, 1000)),
        ((1, 200_000), True, (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)),
        ((7, 7), True, (5, 10)),
    ],
)
def test_ticks_are_round_and_hold_every_value(
    values: tuple[float, ...], log: bool, found: tuple[float, ...]
) -> None:
    assert svg.ticks(values, log) == pytest.approx(found)


@pytest.mark.slow
def test_curves_over_batch_and_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "BATCHES", (1, 8))
    monkeypatch.setattr(curves, "SHARES", (0.5,))
    with ExitStack() as stack:
        plan = Plan(Places("", stack), 0.02, 1, ("sqlite",), plot=True)
        found = curves.over_batch(plan, "sqlite"), curves.over_load(plan, "sqlite")
    assert [curve.over for curve in found] == ["batch", "load"]
    assert [point.x for point in found[0].points] == [1, 8]
    assert all(point.per_s > 0 and point.p99 > 20 for each in found for point in each.points)


def test_outside_a_checkout_it_says_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench_cli, "ROOT", tmp_path)
    done = CliRunner().invoke(app, ["bench"])
    assert done.exit_code == 1
    assert "runs from a checkout" in done.output


def test_the_bare_provider_echoes_the_refund() -> None:
    head, _, body = psp.response(b"amount=5&metadata%5Bamends_leg%5D=leg_1").partition(b"\r\n\r\n")
    refund = json.loads(body)
    assert f"Content-Length: {len(body)}".encode() in head
    assert (refund["amount"], refund["metadata"]) == (5, {"amends_leg": "leg_1"})


def test_the_references_write_where_we_write() -> None:
    tables = set(re.findall(r"(?:INTO|UPDATE) (\w+)", SCRIPT.read_text()))
    assert tables == {"orders", "payments", "customer_days", *LEFT}
    for table, said in re.findall(r"INTO (\w+) \(([^)]*)\)", SCRIPT.read_text()):
        columns = metadata.tables[table].columns
        assert said.split(", ") == [column.name for column in columns], "PostgreSQL would refuse it"
    assert naive.Base.metadata.tables
