"""`amends import`: orders and their payments from a file, streamed, and taken up where it stopped.

JSON lines hold one body of `POST /v1/orders` each. A CSV has a header; rows of the same
`connection` and `order_id` that follow each other are lines of one order. Running it again changes
nothing that is there: an order is the same by its source.
"""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from amends.core.reasons import Reason, Refusal, Refused
from amends.core.requests import OrderIn
from amends.doors.calls import decode
from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    beside,
    err,
    fail,
    out,
    read_config,
    run,
    show_json,
    who,
)
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.config import Config
from amends.engine.wiring import Engine

AT_ONCE = 500  # orders in flight: one batch of the turn
_ORDER = msgspec.json.Decoder(OrderIn)

ORDER_COLUMNS = ("connection", "order_id", "currency")
PAYMENT_COLUMNS = ("payment_connection", "psp_payment_id", "amount")


class Record(msgspec.Struct, frozen=True):
    """One order of the file: the number of its first line, and its body as JSON or why not."""

    line: int
    last: int  # number of its last line
    body: bytes = b""
    refusal: Refusal | None = None


class Tally(msgspec.Struct):
    """What became of the file."""

    created: int = 0
    known: int = 0
    refused: int = 0
    skipped: int = 0  # done by a run before


def import_(
    file: Annotated[Path, typer.Argument(help="Orders as .jsonl or .csv.", dir_okay=False)],
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again, though a run before stopped midway.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Import orders and payments. Refused rows go to FILE.refused.jsonl with line and reason.

    A run that was stopped goes on where it was (FILE.progress says where). Ends with 0 only if no
    row was refused.

    Example: amends import orders.jsonl
    """
    if not file.is_file():
        fail(f"There is no file {file}.")
    settings = read_config(config)
    tally = run(_import(settings, file, _start(file, restart), quiet=as_json))
    if as_json:
        show_json(msgspec.to_builtins(tally))
    else:
        out.print(
            f"{tally.created} new, {tally.known} known, {tally.refused} refused"
            + (f", {tally.skipped} lines done before." if tally.skipped else "."),
            markup=False,
        )
    if tally.refused:
        err.print(f"amends: refused rows are in {_beside(file, 'refused.jsonl')}.", markup=False)
        raise typer.Exit(1)


def _beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}.{what}")


# -- where it stopped ----------------------------------------------------------------------------


def _mark(file: Path) -> dict[str, int]:
    """What tells a file from another one of its name."""
    stat = file.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _start(file: Path, restart: bool) -> int:
    """The last line that is done; 0 for none."""
    progress = _beside(file, "progress")
    if restart or not progress.exists():
        _beside(file, "refused.jsonl").unlink(missing_ok=True)
        return 0
    try:
        said = json.loads(progress.read_text(encoding="utf-8"))
        return int(said["line"]) if said["file"] == _mark(file) else 0
    except (ValueError, KeyError, TypeError):
        fail(f"{progress} cannot be read; delete it, or use --restart.")


def _note(file: Path, line: int) -> None:
    """Whole or not at all: written beside and moved into place."""
    fresh = _beside(file, "progress.new")
    fresh.write_text(json.dumps({"file": _mark(file), "line": line}), encoding="utf-8")
    fresh.replace(_beside(file, "progress"))


# -- reading -------------------------------------------------------------------------------------


def records(file: Path, source: BinaryIO, after: int) -> Iterator[Record]:
    """The orders that begin after line `after`."""
    reader = _csv_records if file.suffix.lower() == ".csv" else _json_records
    return (record for record in reader(source) if record.line > after)


def _json_records(source: BinaryIO) -> Iterator[Record]:
    for number, line in enumerate(source, 1):
        if line.strip():
            yield Record(number, number, line)


def _csv_records(source: BinaryIO) -> Iterator[Record]:
    rows = csv.DictReader(_text(source), strict=True)
    missing = [name for name in ORDER_COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        fail(f"The CSV has no column {missing[0]}; it needs {', '.join(ORDER_COLUMNS)}.")
    numbered = ((rows.line_num, row) for row in _rows(rows))
    for _, group in groupby(numbered, key=lambda item: _source(item[1])):
        lines = list(group)
        first, last = lines[0][0], lines[-1][0]
        try:
            body = msgspec.json.encode(_order([row for _, row in lines]))
            yield Record(first, last, body)
        except ValueError as error:
            yield Record(first, last, refusal=Refusal(Reason.VALIDATION, f"{error}."))


def _text(source: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(source, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            fail(f"Line {number} is not UTF-8.")


def _rows(rows: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    try:
        for row in rows:
            yield {k: v.strip() for k, v in row.items() if isinstance(v, str) and v.strip()}
    except csv.Error as error:
        fail(f"Line {rows.line_num} is not CSV: {error}.")


def _source(row: dict[str, str]) -> tuple[str, str]:
    return row.get("connection", ""), row.get("order_id", "")


def _order(rows: list[dict[str, str]]) -> dict[str, Any]:
    """One order from its rows. Raises ValueError for what is no number."""
    first = rows[0]
    lines = [_line(row) for row in rows if "line_id" in row]
    tenders = {
        (row.get("payment_connection", ""), row["psp_payment_id"]): _tender(row)
        for row in rows
        if "psp_payment_id" in row
    }
    body: dict[str, Any] = {
        "source": {"connection": _source(first)[0], "order_id": _source(first)[1]},
        "currency": first.get("currency", ""),
        "lines": lines,
        "tenders": list(tenders.values()),
    }
    if "placed_at" in first:
        body["placed_at"] = first["placed_at"]
    if "customer_id" in first:
        customer = {"id": first["customer_id"]}
        customer |= {
            n: first[f"customer_{n}"] for n in ("email", "name") if f"customer_{n}" in first
        }
        body["customer"] = customer | ({"country": first["country"]} if "country" in first else {})
    return body


def _line(row: dict[str, str]) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": row["line_id"],
        "quantity": _whole(row, "quantity", "1"),
        "total": _whole(row, "total", "0"),
        "fulfilled": _whole(row, "fulfilled", "0"),
    }
    line |= {name: row[name] for name in ("sku", "title") if name in row}
    if "tax" in row:
        name = row.get("tax_name", "tax")
        line["taxes"] = [{"name": name, "amount": _whole(row, "tax", "0")}]
    return line


def _tender(row: dict[str, str]) -> dict[str, Any]:
    return {
        "connection": row.get("payment_connection", ""),
        "psp_payment_id": row["psp_payment_id"],
        "amount": _whole(row, "amount", "0"),
        "captured": _whole(row, "captured", row.get("amount", "0")),
    }


def _whole(row: dict[str, str], name: str, default: str) -> int:
    text = row.get(name, default)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is {text!r}, and must be a whole number of minor units or pieces")
    return int(text)


# -- doing ---------------------------------------------------------------------------------------


async def _import(config: Config, file: Path, after: int, quiet: bool) -> Tally:
    tally = Tally(skipped=after)
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    refused = _beside(file, "refused.jsonl")
    async with beside(config) as engine:
        with (
            Progress(*columns, console=err, disable=quiet, transient=True) as progress,
            await asyncio.to_thread(file.open, "rb") as source,
        ):
            task = progress.add_task("bytes", total=_mark(file)["size"])
            async for last in _batches(engine, file, source, after, tally, refused):
                _note(file, last)
                progress.update(task, completed=source.tell())
    _beside(file, "progress").unlink(missing_ok=True)
    return tally


async def _batches(
    engine: Engine, file: Path, source: BinaryIO, after: int, tally: Tally, refused: Path
) -> AsyncIterator[int]:
    """Hand in a batch at a time; gives the last line of each once all of it is on disk."""
    waiting = records(file, source, after)
    while batch := list(islice(waiting, AT_ONCE)):
        told = await asyncio.gather(*(_one(engine, record, tally) for record in batch))
        bad = [line for line in told if line]
        if bad:
            with refused.open("a", encoding="utf-8") as report:
                report.write("".join(bad))
        yield batch[-1].last


async def _one(engine: Engine, record: Record, tally: Tally) -> str:
    """Report one order; the line for the list of refused ones, "" if it was not."""
    refusal = record.refusal
    if refusal is None:
        try:
            order = decode(_ORDER, record.body)
            told = await actions.report_order(engine, Caller(who(), "cli"), order)
            result = told.results[0]
            refusal = result.refused
            tally.created += result.created and refusal is None
            tally.known += not result.created and refusal is None
        except Refused as refused:
            refusal = refused.refusal
    if refusal is None:
        return ""
    tally.refused += 1
    said = {"line": record.line, "code": str(refusal.reason), "detail": refusal.detail}
    return json.dumps({**said, **refusal.extra}, default=str) + "\n"
