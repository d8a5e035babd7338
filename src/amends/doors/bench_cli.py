"""`amends bench`: measures a checkout against references of the same run and machine.

The parts that measure live in `bench/` beside `src/`; they run in a process of their own and hand
over one line of JSON per row. Here they are shown, saved and judged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from amends import __version__
from amends.doors.shell import AsJson, err, fail, out, show_json

ROOT = Path(__file__).resolve().parents[3]
SECONDS, ROUNDS = 2.0, 2
QUICK_SECONDS, QUICK_ROUNDS = 0.5, 1

Row = dict[str, Any]


def bench(
    rows: Annotated[
        str, typer.Option(help="Only rows whose names begin so, comma-separated.")
    ] = "",
    store: Annotated[
        str,
        typer.Option(help="Only this database: sqlite, or the URL of a PostgreSQL to use."),
    ] = "",
    seconds: Annotated[
        float, typer.Option(help="How long one measurement takes, about.", min=0)
    ] = 0.0,
    rounds: Annotated[int, typer.Option(help="How often a row is measured.", min=0)] = 0,
    long: Annotated[
        bool, typer.Option("--long", help="Also what takes long: growth to 10 million orders.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also curves, drawn beside the saved results.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Under a minute, and rougher.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure refunds a second and what they cost, beside references measured in the same run.

    Only the ratios mean anything elsewhere. Without --store it starts its own PostgreSQL. Needs a
    checkout with the development dependencies. Ends with 1 if a ratio is below what it must be.

    Example: amends bench --quick --rows rest
    """
    if not (ROOT / "bench" / "__main__.py").is_file():
        fail(f"There is no bench/ in {ROOT}: amends bench runs from a checkout, `make bench`.")
    many = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    each = seconds or (QUICK_SECONDS if quick else SECONDS)
    options = ["--rows", rows, "--store", store, "--seconds", str(each), "--rounds", str(many)]
    options += [*(["--long"] if long else []), *(["--plot"] if plot else [])]
    report: Row = {"at": _stamp(), "version": __version__, "machine": {}, "rows": [], "curves": []}
    for found in _measured(options):
        report["machine"] |= found.get("machine", {})
        report["rows"] += [found["row"]] if "row" in found else []
        report["curves"] += [found["curve"]] if "curve" in found else []
    path = _save(report)
    picture = _draw(path) if plot else None
    if as_json:
        show_json(report)
    else:
        _show(report["rows"])
        for saved in filter(None, (path, picture)):
            out.print(f"Saved: {saved}", markup=False)
    if any(row["ok"] is False for row in report["rows"]):
        raise typer.Exit(1)


def _measured(options: list[str]) -> Iterator[Row]:
    """Facts of the machine, rows and curves, as they come."""
    command = [sys.executable, "-m", "bench", *options]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as measuring:
        assert measuring.stdout is not None
        for line in measuring.stdout:
            yield json.loads(line)
    if measuring.returncode:
        err.print("amends: The measuring ended early; see above.", markup=False)
        raise typer.Exit(1)


def environment() -> dict[str, str]:
    """Ours, with the checkout before what is installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _save(report: Row) -> Path:
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    name = report["at"].replace(":", "").replace("+0000", "Z")
    path = folder / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path


def _draw(path: Path) -> Path:
    """The curves of saved results as a picture beside them."""
    picture = path.with_suffix(".svg")
    command = [sys.executable, "-m", "bench.plot", str(path), str(picture)]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)
    return picture


def _show(found: list[Row]) -> None:
    table = Table("row", "value", "reference", "ratio", "must", "aim", "", box=None)
    for row in found:
        if row["absent"]:
            table.add_row(row["name"], "absent", *[""] * 5, style="dim")
            continue
        table.add_row(
            row["name"],
            f"{row['value']:,} {row['unit']}",
            _number(row["reference"]),
            _number(row["ratio"]),
            _number(row["must"]),
            _number(row["aim"]),
            {True: "ok", False: "[red]no[/red]", None: ""}[row["ok"]],
        )
    out.print(table)
    for row in found:
        spent = ", ".join(f"{name} {value}" for name, value in row["cpu_s_per_1000"].items())
        out.print(f"\n[bold]{row['name']}[/bold] {row['what']}")
        for line in (row["note"], row["absent"], spent and f"CPU-s per 1,000: {spent}"):
            if line:
                out.print(f"  {line}", markup=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"
