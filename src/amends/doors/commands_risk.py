"""`amends risk …`: make a model of what refunds turned out to be, test it, and let it judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from amends.doors import risk_report
from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    err,
    fail,
    looking,
    out,
    read_config,
    run,
    show_json,
    who,
)
from amends.engine import risk_shelf
from amends.engine.config import Config
from amends.engine.drift import moved
from amends.engine.risk import BadModel, Loaded
from amends.engine.risk_rows import MATURE, BadRows, Example, from_csv, split
from amends.engine.risk_shelf import Explained, Listed, Role
from amends.engine.risk_train import Made, train, tried
from amends.kernel.time import DAY, rfc3339
from amends.sim.shoppers.life import stream
from amends.sim.shoppers.samples import examples
from amends.sim.shoppers.table import DAYS

risk_group = typer.Typer(
    no_args_is_help=True, help="Train, test and promote the model that judges refunds."
)

FromCsv = Annotated[
    Path | None,
    typer.Option("--from-csv", metavar="FILE", help="Your own refunds, one a line, with a header."),
]
Simulated = Annotated[
    int, typer.Option(help="So many simulated customers instead of refunds of your own.", min=0)
]
Seed = Annotated[int, typer.Option(help="The same rows and seed give the same model.")]
Mature = Annotated[
    int, typer.Option(help="Days after which a refund nobody objected to counts as honest.", min=0)
]
Since = Annotated[int, typer.Option(help="Days of the database to look at.", min=1)]
Folder = Annotated[Path, typer.Argument(help="The folder of a model: model.txt and model.json.")]

TEXT, META, REPORT = "model.txt", "model.json", "report.html"


@risk_group.command("train")
def risk_train(
    to: Annotated[Path, typer.Option("--out", help="The folder to write the model into.")] = Path(
        "model"
    ),
    csv: FromCsv = None,
    simulated: Simulated = 0,
    seed: Seed = 1,
    mature: Mature = MATURE,
    since: Since = 730,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a model of what refunds turned out to be, and test it on later ones of other customers.

    Writes model.txt, model.json and report.html. Nothing judges by it before it is promoted.

    Example: amends risk train --from-csv refunds.csv --out model && amends risk promote model
    """
    rows = _rows(csv, simulated, seed, since, config)
    try:
        with err.status(f"Learning from {len(rows):,} refunds"):
            made = train(split(rows, mature), seed)
    except BadRows as error:
        fail(str(error))
    to.mkdir(parents=True, exist_ok=True)
    (to / TEXT).write_text(made.text, encoding="utf-8")
    (to / META).write_text(made.meta, encoding="utf-8")
    report = risk_report.page(made, "A model of refund abuse")
    (to / REPORT).write_text(report, encoding="utf-8")
    _show(made, to / REPORT, bool(simulated), as_json)


@risk_group.command("evaluate")
def risk_evaluate(
    folder: Folder,
    report: Annotated[Path, typer.Option(help="Where to write the report.")] = Path(REPORT),
    csv: FromCsv = None,
    simulated: Simulated = 0,
    seed: Seed = 2,
    mature: Mature = MATURE,
    since: Since = 730,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Test a model that is there on refunds it did not learn from, and say what has drifted.

    Example: amends risk evaluate model --from-csv newer.csv --report newer.html
    """
    text, meta = _read(folder)
    rows = _rows(csv, simulated, seed, since, config)
    try:
        made = tried(text, meta, split(rows, mature))
        drift = moved(Loaded(text, meta), [row.features for row in rows])
    except (BadRows, BadModel) as error:
        fail(_sentence(error))
    page = risk_report.page(made, "A model of refund abuse, tested again", drift)
    report.write_text(page, encoding="utf-8")
    _show(made, report, bool(simulated), as_json, drift)


@risk_group.command("promote")
def risk_promote(
    model: Annotated[
        str, typer.Argument(help="The folder or the hash of a model; `none` for the scorecard.")
    ],
    challenger: Annotated[
        bool, typer.Option("--challenger", help="It is only told beside, and decides nothing.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let a model judge every refund from now on, or be the challenger told beside.

    Example: amends risk promote model --challenger
    """
    role: Role = "challenger" if challenger else "champion"
    pair = _read(Path(model)) if Path(model).is_dir() else None
    try:
        found = run(_promote(read_config(config, connections=False), role, model, pair))
    except BadModel as error:
        fail(_sentence(error))
    if as_json:
        show_json({"role": role, "model": found or None})
    else:
        out.print(f"The {role} is {found or 'the scorecard'}.", markup=False)


async def _promote(config: Config, role: Role, model: str, pair: tuple[str, str] | None) -> str:
    async with looking(config) as engine:
        shelf, now = engine.store, engine.clock.now()
        named = "" if model == "none" else model
        if pair is not None:
            named = await risk_shelf.put(shelf, engine.new_id, now, who(), pair)
        await risk_shelf.promote(shelf, engine.new_id, now, who(), role, named)
        return named


@risk_group.command("list")
def risk_list(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the models that are kept, and which of them judges.

    Example: amends risk list
    """
    try:
        found = run(_listed(read_config(config, connections=False)))
    except BadModel as error:
        fail(_sentence(error))
    if as_json:
        show_json([{**msgspec.to_builtins(one), "at": rfc3339(one.at)} for one in found])
        return
    table = Table("model", "since", "role", "AUC", "data")
    for one in found:
        auc = f"{one.measures.get('auc', 0):.3f}"
        data = "simulated" if one.simulated else "real"
        table.add_row(one.hash[:16], rfc3339(one.at)[:10], one.role, auc, data)
    out.print(table)


async def _listed(config: Config) -> list[Listed]:
    async with looking(config) as engine:
        return await risk_shelf.listed(engine.store)


@risk_group.command("explain")
def risk_explain(
    refund: Annotated[str, typer.Argument(help="The id of a refund.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say why a refund was judged as it was, and what adds how much by whoever judges today.

    Example: amends risk explain rf_01jd…
    """
    found = run(_explained(read_config(config, connections=False), refund))
    if as_json:
        show_json({**msgspec.to_builtins(found), "at": rfc3339(found.at)})
        return
    said = f"{found.outcome} by rule {found.rule}, risk {found.score_bp:,} of 10,000"
    out.print(f"{found.refund}: {said} ({found.model}).", markup=False)
    for reason in found.reasons:
        out.print(f"  {reason}", markup=False)
    if found.now is None:
        out.print("Its features were not kept, or are not today's.", markup=False)
        return
    out.print(f"Today: risk {found.now.score_bp:,} ({found.now.model}).", markup=False)
    for sentence, points in found.now.reasons:
        out.print(f"  {points:+6,}  {sentence}", markup=False)


async def _explained(config: Config, refund: str) -> Explained:
    async with looking(config) as engine:
        return await risk_shelf.explained(engine.store, engine.clock, refund)


# -- what they share -----------------------------------------------------------------------------


def _rows(csv: Path | None, simulated: int, seed: int, since: int, config: Path) -> list[Example]:
    """Refunds from the one place that was named, the database if none was."""
    if csv is not None and simulated:
        fail("Name --from-csv or --simulated, not both.")
    try:
        if csv is not None:
            return from_csv(csv)
        if simulated:
            with err.status("Simulating a year of shoppers"):
                return examples(stream(seed, simulated, DAYS))
        found: list[Example] = run(_kept(read_config(config, connections=False), since))
    except BadRows as error:
        fail(str(error))
    return found


async def _kept(config: Config, since: int) -> list[Example]:
    async with looking(config) as engine:
        now = engine.clock.now()
        return await risk_shelf.examples(engine.store, now - since * DAY, now)


def _read(folder: Path) -> tuple[str, str]:
    try:
        texts = [(folder / name).read_text(encoding="utf-8") for name in (TEXT, META)]
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{folder} is no folder of a model: {error}.")
    return texts[0], texts[1]


def _sentence(error: Exception) -> str:
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}" + ("" if said.endswith(".") else ".")


def _show(
    made: Made, report: Path, simulated: bool, as_json: bool, moved: dict[str, float] | None = None
) -> None:
    if as_json:
        document: dict[str, Any] = {
            "hash": made.hash,
            "simulated": simulated,
            "report": str(report),
            "figures": {name: curves.figures for name, curves in made.curves.items()},
            "thresholds": msgspec.to_builtins(made.choices),
        }
        show_json(document | ({} if moved is None else {"drift": moved}))
        return
    table = Table("scorer", "AUC", "abuse held up at 1 % false alarms", "Brier")
    for name, curves in made.curves.items():
        figures = curves.figures
        shares = (f"{figures['auc']:.3f}", f"{figures['recall_at_1']:.1%}")
        table.add_row(name, *shares, f"{figures['brier']:.3f}")
    out.print(table)
    table = Table("scorer", "threshold", "honest approved", "abuse stopped", "of its value")
    for c in made.choices:
        shown = (c.honest_approved, c.abuse_stopped, c.value_stopped)
        table.add_row(c.scorer, f"{c.threshold_bp:,}", *(f"{share:.1%}" for share in shown))
    out.print(table)
    for name, value in sorted((moved or {}).items(), key=lambda one: -one[1])[:5]:
        out.print(f"drift of {name}: PSI {value:.3f}", markup=False)
    if simulated:
        out.print("These figures are simulated: they say nothing of your shop.", markup=False)
    out.print(f"Model {made.hash[:16]}; the whole report: {report}", markup=False)
