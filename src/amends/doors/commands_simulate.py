"""`amends simulate`: whole months of a shop against a world that fights back, from one number."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from amends.doors import commands_shoppers
from amends.doors.shell import AsJson, err, fail, out, show_json
from amends.sim.play.game import DAYS, ORDERS, PROVIDERS, Game, play_all
from amends.sim.play.parties import PARTIES
from amends.sim.play.room import NoRoom, shown
from amends.sim.play.shrink import Shrunk, shrink, targeted
from amends.sim.play.timeline import clock, story, timeline
from amends.sim.play.trouble import GROUPS, KINDS, OWN, kinds_of
from amends.sim.play.wish import Report

SHRUNK_MOST = 3  # seeds whose story is made small; the others are only named
SHOWN_MOST = 10  # violations of one seed in words


class Faults(StrEnum):
    """How much goes wrong."""

    NONE = "none"
    CALM = "calm"
    DEFAULT = "default"
    STORM = "storm"


Keep = Annotated[
    str,
    typer.Option(
        help="Leave the database of a single seed in this folder, with the settings to read it by: "
        "amends ledger check --config DIR/amends.toml.",
        metavar="DIR",
    ),
]
Place = Annotated[
    str,
    typer.Option(
        help="sqlite, a temporary file; or postgresql://… of a server where a database may be made "
        "for each seed and dropped."
    ),
]


Workers = Annotated[
    int,
    typer.Option(
        help="Processes that send; more than one needs PostgreSQL. If not given, one; on "
        "PostgreSQL two for even seeds.",
        min=0,
        max=4,
    ),
]
Told = Annotated[
    bool,
    typer.Option("--partners/--no-partners", help="An ERP and a shop's books are told."),
]
Abusers = Annotated[
    int,
    typer.Option(
        help="Instead: a year of so many shoppers, of whom some abuse refunds, and what the "
        "scorecard and a trained model would do about it.",
        min=0,
        metavar="SHOPPERS",
    ),
]
Draft = Annotated[
    Path | None,
    typer.Option(
        help="With --abusers: let them live through so many --days with this policy beside the "
        "built-in one and then with it in force, and compare a replay with that.",
        metavar="FILE",
    ),
]


def simulate(
    seed: Annotated[int | None, typer.Option(help="One seed; 1 if neither is given.")] = None,
    seeds: Annotated[str, typer.Option(help="Several, like 1..500.", metavar="A..B")] = "",
    days: Annotated[float, typer.Option(help="Virtual days in which orders live.", min=1)] = DAYS,
    orders: Annotated[int, typer.Option(help="Orders of one seed.", min=1)] = ORDERS,
    faults: Annotated[Faults, typer.Option(help="How much goes wrong.")] = Faults.DEFAULT,
    without: Annotated[
        str, typer.Option(help="Kinds or groups of faults to leave out, comma-separated.")
    ] = "",
    store: Place = "sqlite",
    workers: Workers = 0,
    providers: Annotated[
        str, typer.Option(help="Those the payments are at, comma-separated.", metavar="NAMES")
    ] = ",".join(PROVIDERS),
    asking: Annotated[
        float,
        typer.Option(help="Share of orders of which anybody asks anything.", min=0, max=1),
    ] = 1.0,
    keep: Keep = "",
    only: Annotated[
        str, typer.Option(help="Only these order numbers, comma-separated.", metavar="ORDERS")
    ] = "",
    jobs: Annotated[int, typer.Option(help="Seeds played at once; all cores if 0.", min=0)] = 0,
    show_timeline: Annotated[
        bool, typer.Option("--timeline", help="Print all that happens in a single seed.")
    ] = False,
    partners: Told = True,
    abusers: Abusers = 0,
    draft: Draft = None,
    as_json: AsJson = False,
) -> None:
    """Play a shop's month under faults, from a seed, and check it against every invariant.

    The engine and its database are real; time, people, the provider and all that goes wrong come
    from the seed, so a seed replays. Ends with 1 if anything is violated, and then prints the
    smallest story that still shows it and the command that replays it.

    Example: amends simulate --seeds 1..20 --faults storm
    """
    if abusers:
        number = 1 if seed is None else seed
        commands_shoppers.abusers(number, abusers, round(days), draft, keep, as_json)
        return
    if draft is not None:
        raise _wrong("--draft", "it goes with --abusers")
    server = _server(store)
    if workers > 1 and not server:
        raise _wrong("--workers", "several need PostgreSQL: SQLite has one process that sends")
    numbers = _seeds(seed, seeds)
    if show_timeline and len(numbers) > 1:
        raise _wrong("--timeline", "it is for a single seed")
    if keep and (server or len(numbers) > 1):
        raise _wrong("--keep", "it is for a single seed on SQLite")
    usual = Game(
        0,
        days,
        orders,
        faults.value,
        _kinds(without),
        _orders(only, orders),
        server,
        workers,
        _providers(providers),
        asking,
        str(Path(keep).resolve()) if keep else "",
        partners,
    )
    games = [msgspec.structs.replace(usual, seed=number) for number in numbers]
    bad = _run(games, jobs, show_timeline, as_json)
    raise typer.Exit(1 if bad else 0)


def _run(games: list[Game], jobs: int, show_timeline: bool, as_json: bool) -> bool:
    """Play them and say what came of it; whether anything was violated."""
    began = time.monotonic()
    many = min(jobs or len(os.sched_getaffinity(0)), len(games))
    try:
        reports = [games[0].play()] if show_timeline else _played(games, many)
        took = time.monotonic() - began
        bad = [(g, r) for g, r in zip(games, reports, strict=True) if r.violations]
        small = [] if show_timeline else _shrunk(bad)
    except NoRoom as none:
        fail(f"There is no database to play on: {none}")
    except BrokenProcessPool:
        fail("A process that played was killed, perhaps for want of memory; try --jobs 1.")
    summary = _summary(games, reports, took, many)
    if as_json:
        show_json(_document(summary, reports, small, show_timeline))
        return bool(bad)
    if show_timeline:
        for line in timeline(reports[0]):
            out.print(line, markup=False)
    _show(summary)
    _show_violations(bad, small)
    return bool(bad)


# -- what was asked ------------------------------------------------------------------------------


def _wrong(option: str, why: str) -> typer.BadParameter:
    return typer.BadParameter(f"{why}.", param_hint=option)


def _server(store: str) -> str:
    if store == "sqlite":
        return ""
    if store.startswith(("postgresql://", "postgres://")):
        return re.sub("^postgres:", "postgresql:", store)
    raise _wrong("--store", "it is sqlite, or the URL of a PostgreSQL, postgresql://…")


def _seeds(seed: int | None, seeds: str) -> list[int]:
    if not seeds:
        return [1 if seed is None else seed]
    if seed is not None:
        raise _wrong("--seeds", "it does not go with --seed")
    found = re.fullmatch(r"(\d+)\.\.(\d+)", seeds)
    if not found or int(found[1]) > int(found[2]):
        raise _wrong("--seeds", f"{seeds} is not two numbers like 1..500")
    return list(range(int(found[1]), int(found[2]) + 1))


def _kinds(words: str) -> frozenset[str]:
    try:
        return kinds_of(word.strip() for word in words.split(",") if word.strip())
    except ValueError as error:
        groups = "; ".join(f"{name}: {', '.join(kinds)}" for name, kinds in GROUPS.items())
        raise _wrong("--without", f"{error}. There are {groups}") from None


def _providers(words: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for name in found:
        if name not in PARTIES:
            raise _wrong("--providers", f"{name} is none; there are {', '.join(PARTIES)}")
    if not found:
        raise _wrong("--providers", "at least one is needed")
    return found


def _orders(words: str, orders: int) -> tuple[str, ...]:
    found = tuple(word.strip() for word in words.split(",") if word.strip())
    for word in found:
        if not word.isdecimal() or not 1 <= int(word) <= orders:
            raise _wrong("--only", f"there is no order {word}; their numbers are 1 to {orders}")
    return found


# -- playing -------------------------------------------------------------------------------------


def _played(games: list[Game], jobs: int) -> list[Report]:
    """All reports, in the order of their seeds, with a bar on a terminal."""
    found: dict[int, Report] = {}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    shown_bar = len(games) > 1 and err.is_terminal
    with Progress(*columns, console=err, transient=True, disable=not shown_bar) as bar:
        task = bar.add_task("seeds", total=len(games))
        for report in play_all(games, jobs):
            found[report.seed] = report
            words = f"seeds, {sum(bool(r.violations) for r in found.values())} violated"
            bar.update(task, advance=1, description=words)
    return [found[game.seed] for game in games]


def _shrunk(bad: list[tuple[Game, Report]]) -> list[Shrunk]:
    """The small stories of the first seeds with something to shrink."""
    found: list[Shrunk] = []
    for game, report in bad[:SHRUNK_MOST]:
        target = targeted(report)
        if target[0] != "minimum":  # of a whole month or of none
            with err.status(f"making seed {game.seed} small"):
                found.append(shrink(game, target))
    return found


# -- telling -------------------------------------------------------------------------------------


def _summary(games: list[Game], reports: list[Report], took: float, jobs: int) -> dict[str, Any]:
    struck, survived = Counter[str](), Counter[str]()
    for report in reports:
        struck.update(report.faults)
        if not report.violations:
            survived.update(report.faults)
    asks = sum(report.asks for report in reports)
    days = sum(report.days for report in reports)
    first = games[0]
    return {
        "seeds": [games[0].seed, games[-1].seed],
        "store": shown(first.server) or "sqlite",
        "profile": first.faults,
        "orders": len(first.only) or first.orders,
        "days": round(days, 1),
        "asks": asks,
        "touched": sum(report.touched for report in reports),
        "refunds": sum(report.refunds for report in reports),
        "movements": sum(report.movements for report in reports),
        "providers": _by_provider(reports, first.providers),
        "quiet_points": sum(report.quiet_points for report in reports),
        "faults": {
            group: {kind: {"struck": struck[kind], "survived": survived[kind]} for kind in kinds}
            for group, kinds in GROUPS.items()
        },
        "legs": _summed(report.legs for report in reports),
        "entries": _summed(report.entries for report in reports),
        "posted_late": sum(report.posted_late for report in reports),
        "never_struck": [kind for kind in _possible(first.providers) if not struck[kind]],
        "violated": [report.seed for report in reports if report.violations],
        "seconds": round(took, 1),
        "years_per_second": round(days / 365.25 / took, 4),
        "jobs": jobs,
        "peak_mb": max(report.peak_mb for report in reports),
        "fingerprint": reports[0].fingerprint if len(reports) == 1 else "",
    }


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    found = Counter[str]()
    for one in counts:
        found.update(one)
    return dict(sorted(found.items()))


def _possible(providers: tuple[str, ...]) -> list[str]:
    """The kinds that can strike where these providers are."""
    own = {kind for name in providers for kind in PARTIES[name].own}
    return [kind for kind in KINDS if kind not in OWN or kind in own]


def _by_provider(reports: list[Report], names: tuple[str, ...]) -> dict[str, Any]:
    """Movements of money and what went wrong, at each provider."""
    found: dict[str, Any] = {}
    for name in names:
        struck = Counter[str]()
        for report in reports:
            struck.update(report.faults_at.get(name, {}))
        moved = sum(report.movements_at.get(name, 0) for report in reports)
        found[name] = {"movements": moved, "struck": dict(sorted(struck.items()))}
    return found


def _document(
    summary: dict[str, Any], reports: list[Report], small: list[Shrunk], with_chronicle: bool
) -> dict[str, Any]:
    runs = [msgspec.to_builtins(report) for report in reports]
    for run in runs:
        if not with_chronicle:
            del run["chronicle"]
    stories = [
        {
            "seed": item.game.seed,
            "violation": list(item.target),
            "again": item.again,
            "replays": item.replays,
            "command": item.game.command(),
            "only": list(item.game.only),
            "without": sorted(item.game.without),
            "timeline": story(item.report, item.target),
        }
        for item in small
    ]
    return {**summary, "runs": runs, "stories": stories}


def _show(found: dict[str, Any]) -> None:
    first, last = found["seeds"]
    number = last - first + 1
    share = f"{found['touched'] / found['asks']:.1%} touched by a fault" if found["asks"] else ""
    facts = Table(box=None, show_header=False)
    rows = (
        (
            "seeds",
            f"{first}..{last}, {number} of {found['orders']} orders" if number > 1 else first,
        ),
        ("on", f"{found['store']}, faults: {found['profile']}"),
        ("virtual time", f"{found['days']:,} days, {found['quiet_points']:,} quiet points checked"),
        ("refunds asked", f"{found['asks']:,}, {share}"),
        ("refunds", f"{found['refunds']:,}, {found['movements']:,} movements of money"),
    )
    for name, value in rows:
        facts.add_row(f"[bold]{name}[/bold]", str(value))
    out.print(facts)
    faults = Table("faults", "kind", "struck", "survived", box=None)
    for column in faults.columns[2:]:
        column.justify = "right"
    for group, kinds in found["faults"].items():
        for place, (kind, count) in enumerate(kinds.items()):
            style = "" if count["struck"] else "dim"
            struck, survived = f"{count['struck']:,}", f"{count['survived']:,}"
            faults.add_row("" if place else group, kind, struck, survived, style=style)
    out.print(faults)
    for name, at in found["providers"].items() if len(found["providers"]) > 1 else ():
        struck = sum(at["struck"].values())
        out.print(f"{name}: {at['movements']:,} movements of money, {struck:,} faults struck.")
    out.print(f"Legs: {_counted(found['legs'])}.", markup=False)
    out.print(f"Entries: {_counted(found['entries'])}.", markup=False)
    out.print(f"Of them {found['posted_late']:,} came after their month was closed.")
    if found["never_struck"]:
        out.print(f"Never struck: {', '.join(found['never_struck'])}.", markup=False)
    if found["fingerprint"]:
        out.print(f"Fingerprint of all events: {found['fingerprint']}", markup=False)
    out.print(
        f"{found['years_per_second']} simulated years a second ({found['seconds']:,} s, "
        f"{found['jobs']} at once), at most {found['peak_mb']} MB a process.",
        markup=False,
    )
    bad = len(found["violated"])
    out.print(f"[red]{bad} of {number} seeds violated.[/red]" if bad else "Zero violations.")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.items()) or "none"


def _show_violations(bad: list[tuple[Game, Report]], small: list[Shrunk]) -> None:
    stories = {item.game.seed: item for item in small}
    for game, report in bad:
        out.print(f"\n[bold red]seed {game.seed}[/bold red]")
        said = {(v[1], v[2], v[3]): v[0] for v in reversed(report.violations)}  # first seen
        for (invariant, number, what), day in list(reversed(said.items()))[:SHOWN_MOST]:
            about = f"order {number}: " if number else ""
            out.print(f"  {clock(day * 86400)[:6]}  {invariant}  {about}{what}", markup=False)
        if len(said) > SHOWN_MOST:
            out.print(f"  and {len(said) - SHOWN_MOST} more")
        item = stories.get(game.seed)
        if item is None:
            out.print(f"Replay: {game.command()}", markup=False)
            continue
        _show_story(item)


def _show_story(item: Shrunk) -> None:
    if not item.again:
        out.print("  It did not come back when the whole seed was replayed: the run is not the")
        out.print("  seed's alone. That is a defect of the simulation.")
    invariant, number = item.target
    about = f" of order {number}" if number else ""
    out.print(f"\nThe smallest story with {invariant}{about}, in {item.replays} replays:\n")
    for line in story(item.report, item.target):
        out.print(f"  {line}", markup=False)
    out.print(f"\nReplay: {item.game.command()}", markup=False)
