"""`amends bench` gives well-formed rows. Nothing here asserts a time or a ratio."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from amends.doors import bench_cli
from amends.doors.cli import app
from bench import naive, psp
from bench.__main__ import chosen
from bench.references import SCRIPT
from bench.rows import ROWS, Round, Row, _summed_up
from tests.conftest import ROOT

FIELDS = {"name", "what", "unit", "value", "reference", "ratio", "must", "ok", "cpu_s_per_1000"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["engine-sqlite", "webhooks-sqlite"])
def test_a_measured_row_is_whole(name: str) -> None:
    (row,) = measured("--rows", name, "--seconds", "0.02", "--rounds", "1")
    assert row["name"] == name
    assert row.keys() >= FIELDS
    assert row["value"] > 0
    assert row["reference"] > 0
    assert row["ratio"] > 0
    assert isinstance(row["ok"], bool)
    assert row["cpu_s_per_1000"]


def test_what_is_not_built_says_so() -> None:
    rows = measured("--rows", "growth,bulk")
    assert [row["name"] for row in rows] == ["growth", "bulk"]
    assert all(row["absent"] and row["ok"] is None for row in rows)


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
    row = _summed_up(Row("x", "x", must=2.0), rounds)
    assert (row.value, row.reference, row.ratio, row.ok) == (10, 10, 3.0, True)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Stands in for the measuring process."""

    def give(*found: Row) -> None:
        plain = [json.loads(json.dumps(vars(row))) for row in found]
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
    assert [row["name"] for row in json.loads(done.output)["rows"]] == ["a", "b"]


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
    assert tables == {"orders", "payments", "refunds", "legs", "events", "entries", "postings"}
    assert naive.Base.metadata.tables
