"""`amends simulate --abusers`: what a scorecard and a trained model would do among shoppers of whom
some abuse refunds; with `--draft`, whether a replay tells what a policy would have done."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from amends.core.policy import Document
from amends.core.reasons import Refused
from amends.doors.shell import err, fail, out, run, show_json
from amends.engine import policies, policy_desk
from amends.engine.replay import Total
from amends.engine.risk_rows import BadRows
from amends.engine.risk_train import Made
from amends.kernel.money import major
from amends.sim.shoppers import table
from amends.sim.shoppers.compared import Compared, compared
from amends.sim.shoppers.trading import FUNCTIONAL, Shoppers, Stage, shop, trade

FEWEST = 500  # customers; of fewer nothing can be split by time and by customer


def abusers(
    seed: int, customers: int, days: int, draft: Path | None, keep: str, as_json: bool
) -> None:
    """What a model learns of a year, or, of so many `days`, what a draft decides."""
    if draft is None:
        _learned(seed, customers, as_json)
    else:
        _drafted(seed, customers, days, draft, keep, as_json)


def _learned(seed: int, customers: int, as_json: bool) -> None:
    """Play a year, learn from its first part, and say what the rest would have been spared."""
    if customers < FEWEST:
        raise typer.BadParameter(
            f"of fewer than {FEWEST} shoppers nothing can be learned.", param_hint="--abusers"
        )
    with err.status(f"{customers:,} shoppers live through a year, and a model learns from it"):
        try:
            made = table.made(seed, customers)
        except BadRows as bad:
            fail(str(bad))
    if as_json:
        show_json(_document(seed, customers, made))
        return
    rows = Table("scorer", "threshold", "honest approved", "abuse stopped", "of its value")
    for one in made.choices:
        shares = (one.honest_approved, one.abuse_stopped, one.value_stopped)
        rows.add_row(one.scorer, f"{one.threshold_bp:,}", *(f"{share:.1%}" for share in shares))
    out.print(rows)
    out.print(
        "Shoppers whom the model never saw, later than what it learned from. They are simulated, "
        "and so is how well it does.",
        markup=False,
    )


def _document(seed: int, customers: int, made: Made) -> dict[str, Any]:
    return {
        "seed": seed,
        "customers": customers,
        "days": table.DAYS,
        "simulated": True,
        "choices": [msgspec.to_builtins(one) for one in made.choices],
    }


# -- a draft over history and in force -----------------------------------------------------------


class Played(msgspec.Struct, frozen=True):
    """How a draft over history compares with the same draft in force, and how long the replay took,
    in seconds."""

    compared: Compared
    seconds: float


def _drafted(seed: int, customers: int, days: int, path: Path, keep: str, as_json: bool) -> None:
    """Let them live twice: with the draft beside the built-in policy, then with it in force."""
    try:
        draft = policies.parse(path.read_bytes(), "toml" if path.suffix == ".toml" else "json")
        policies.check(draft)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.")
    except Refused as refused:
        fail(str(refused))
    with tempfile.TemporaryDirectory(prefix="amends-shop-") as name:
        found = run(_lived(Shoppers(seed, customers, days), draft, Path(keep or name)))
    if as_json:
        show_json(_figures(seed, customers, days, found))
    else:
        _show(found)
    if found.compared.unexplained:
        raise typer.Exit(1)


async def _lived(who: Shoppers, draft: Document, folder: Path) -> Played:
    asked = who.asked()
    past, lived = folder / "past", folder / "lived"
    for place in (past, lived):
        if place.exists():
            fail(f"{place} is there already; name another folder.")
        place.mkdir(parents=True)
    stage = Stage(who.seed)
    async with shop(past, stage) as engine:
        with _bar("the draft beside the policy in force", asked.events) as show:
            await trade(engine, stage, who, asked, None, draft, show)
        began = time.monotonic()
        with _bar("the draft over history", asked.total) as show:
            found = await policy_desk.over_history(engine, draft, 0, lambda count, _: show(count))
        seconds = time.monotonic() - began
        stage = Stage(who.seed)
        async with shop(lived, stage) as later:
            with _bar("the draft in force", asked.events) as show:
                await trade(later, stage, who, asked, draft, None, show)
            return Played(await compared(found, engine.store, later.store, draft), seconds)


@contextmanager
def _bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda count: bar.update(task, completed=count)


def _figures(seed: int, customers: int, days: int, found: Played) -> dict[str, Any]:
    one = found.compared
    return {
        "seed": seed,
        "customers": customers,
        "days": days,
        "simulated": True,
        "same": one.same,
        "replay_seconds": round(found.seconds, 2),
        **msgspec.to_builtins(one),
    }


def _show(found: Played) -> None:
    one = found.compared
    rows = Table("", "over history", "in force")
    for named in (one.outcomes, one.rules):
        for name, sides in named.items():
            style = "" if sides.same else "bold"
            rows.add_row(name, _said(sides.replayed), _said(sides.lived), style=style)
        rows.add_section()
    out.print(rows)
    out.print(f"{one.refunds:,} refunds, replayed in {found.seconds:.1f} s.", markup=False)
    if one.same:
        out.print("What the replay says and what the draft in force decided is the same.")
    for count, words in (
        (one.capped, "fell to a cap of the draft, which a replay does not count"),
        (one.consent, "wait for the customer's consent to store credit"),
        (one.facts, "saw other facts, because earlier requests had been decided otherwise"),
        (one.unexplained, "were decided otherwise for no reason: that is a defect"),
    ):
        if count:
            out.print(f"{count:,} {words}.", markup=False)


def _said(total: Total) -> str:
    return f"{total.count:,}  ({major(total.amount, FUNCTIONAL)} {FUNCTIONAL})"
