"""`amends outbox …` and `amends stock …`: what others are told, and goods that came back."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer
from rich.markup import escape
from rich.table import Column, Table

from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    fail,
    looking,
    opened,
    out,
    read_config,
    run,
    show_json,
    who,
)
from amends.engine import stocktaking, tellings
from amends.engine.config import Config
from amends.engine.stocktaking import Shelf
from amends.kernel.time import Instant, parse_rfc3339
from amends.store.outbox_spec import Counted, State

outbox_group = typer.Typer(no_args_is_help=True, help="What others are told, and telling it again.")
stock_group = typer.Typer(no_args_is_help=True, help="Goods that came back, and ghost stock.")

PAGE = 200
SAID = ("order", "number", "connection", "kind", "state", "detail")
_COLUMNS = ("sku", "location", "units")
_EVER = 2**62

Order = Annotated[str, typer.Argument(metavar="ORDER", help="ord_…, as `amends outbox list` says.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Its number there.")]
Since = Annotated[str, typer.Option(help="From this instant or day (UTC) on.")]
Until = Annotated[str, typer.Option(help="Up to this instant, or before this day (UTC).")]


def _instant(text: str, name: str, otherwise: Instant) -> Instant:
    if not text:
        return otherwise
    try:
        return parse_rfc3339(text if "T" in text.upper() else f"{text}T00:00:00Z")
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{error}.", param_hint=name) from None


# -- outbox --------------------------------------------------------------------------------------


@outbox_group.command("list")
def outbox_list(
    connection: Annotated[str, typer.Option(help="Only to this connection.")] = "",
    state: Annotated[str, typer.Option(help="open, stuck, done or dropped.")] = "",
    order: Annotated[str, typer.Option(help="Only of this order.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the newest 200 tellings: what, to whom, how far it is and why.

    Example: amends outbox list --state stuck
    """
    if state and state not in get_args(State):
        fail(f"There is no state {state!r}: it is open, stuck, done or dropped.")
    named = {"connection": connection, "state": state, "order": order}
    found = run(_tells(read_config(config), {n: v for n, v in named.items() if v}))
    if as_json:
        show_json({"items": found})
        return
    table = Table(*(Column(name, no_wrap=name == "order") for name in SAID), box=None)
    for item in found:
        table.add_row(*(escape(str("" if item[name] is None else item[name])) for name in SAID))
    out.print(table)


async def _tells(config: Config, wanted: dict[str, str]) -> list[dict[str, Any]]:
    async with looking(config) as engine:
        found: list[dict[str, Any]] = (await tellings.page(engine, wanted, "", PAGE))["items"]
        return found


@outbox_group.command("retry")
def outbox_retry(order: Order, number: Number, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Tell one again that is stuck, given up or done.

    Example: amends outbox retry ord_… 3
    """
    _moved(config, order, number, "open", "is told again")


@outbox_group.command("drop")
def outbox_drop(order: Order, number: Number, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give one up; what comes after it for the same order goes on.

    Example: amends outbox drop ord_… 3
    """
    _moved(config, order, number, "dropped", "is given up")


def _moved(config: Path, order: str, number: int, to: State, said: str) -> None:
    run(_move(read_config(config), order, number, to))
    out.print(f"{order} {number} {said}.", markup=False)


async def _move(config: Config, order: str, number: int, to: State) -> None:
    async with looking(config) as engine:
        await tellings.move(engine, who(), order, number, to)


@outbox_group.command("replay")
def outbox_replay(
    connection: Annotated[str, typer.Option(help="The subscriber.")],
    since: Since,
    until: Until = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Send a subscriber all events again that were decided in that time, under their old ids.

    Example: amends outbox replay --connection crm --since 2026-11-01
    """
    span = (_instant(since, "--since", 0), _instant(until, "--until", _EVER))
    count = run(_replay(read_config(config), connection, *span))
    out.print(f"{count} events are sent to {connection} again.", markup=False)


async def _replay(config: Config, connection: str, since: Instant, until: Instant) -> int:
    async with looking(config) as engine:
        return await tellings.replay(engine, who(), connection, since, until)


@outbox_group.command("enable")
def outbox_enable(
    connection: Annotated[str, typer.Argument(metavar="NAME", help="The subscriber.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Send to an endpoint again that was disabled since it took nothing for long, or is gone.

    Example: amends outbox enable crm
    """
    run(_enable(read_config(config), connection))
    out.print(f"{connection} is sent to again.", markup=False)


async def _enable(config: Config, connection: str) -> None:
    async with looking(config) as engine:
        await tellings.enable(engine, who(), connection)


# -- stock ---------------------------------------------------------------------------------------


@stock_group.command("count")
def stock_count(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Columns sku,location,units.")],
    at: Annotated[str, typer.Option(help="When it was counted; now if not given.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Take in what was found of returned units since the count before.

    With --at, the same file given twice counts once.

    Example: amends stock count counted.csv --at 2026-11-02T18:00:00Z
    """
    try:
        counts = _read(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    except ValueError as error:
        fail(f"{file}: {error}.")
    when = _instant(at, "--at", 0)
    new = run(_count(read_config(config, connections=False), when, counts))
    out.print(f"{new} of {len(counts)} counts are new.", markup=False)


def _read(text: str) -> list[Counted]:
    """Raises ValueError with the line that is wrong."""
    rows = csv.DictReader(text.splitlines())
    if not set(_COLUMNS) <= set(rows.fieldnames or ()):
        raise ValueError(f"its first line has the columns {','.join(_COLUMNS)}")
    found: dict[tuple[str, str], Counted] = {}
    for row in _rows(rows):
        sku, place, units = ((row[name] or "").strip() for name in _COLUMNS)
        if not sku or not units.isascii() or not units.isdigit() or len(units) > 9:
            raise ValueError(f"line {rows.line_num} has no SKU, or no whole number of units")
        if (sku, place) in found:
            raise ValueError(f"line {rows.line_num} counts {sku} at {place!r} a second time")
        found[sku, place] = Counted(sku, place, int(units))
    return list(found.values())


def _rows(rows: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    """Raises ValueError where a line is no CSV."""
    try:
        yield from rows
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num + 1} is no CSV: {error}") from error


async def _count(config: Config, at: Instant, counts: list[Counted]) -> int:
    async with looking(config) as engine:
        return await stocktaking.count(engine, who(), at or engine.clock.now(), counts)


@stock_group.command("report")
def stock_report(
    since: Since = "",
    until: Until = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Hold what was booked back against what was counted; ends with 1 if there is ghost stock.

    Example: amends stock report --since 2026-11-01 --json
    """
    span = (_instant(since, "--since", 0), _instant(until, "--until", _EVER))
    found: list[Shelf] = run(_report(read_config(config, connections=False), *span))
    if as_json:
        show_json({"items": msgspec.to_builtins(found)})
    else:
        table = Table("sku", "location", "booked", "counted", "ghost", box=None)
        for one in found:
            counted = "–" if one.counted is None else str(one.counted)
            ghost = "–" if one.ghost is None else str(one.ghost)
            table.add_row(escape(one.sku), escape(one.location), str(one.booked), counted, ghost)
        out.print(table)
    if any(one.ghost is not None and one.ghost > 0 for one in found):
        raise typer.Exit(1)


async def _report(config: Config, since: Instant, until: Instant) -> list[Shelf]:
    async with opened(config) as store:
        return await stocktaking.report(store, since, until)
