"""`amends policy …` and `amends stop …`: what decides by itself, and how to stop it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from amends.core.fields import FIELDS
from amends.core.history import StopScope
from amends.core.policy import Document, Row
from amends.core.reasons import Reason, Refused
from amends.doors import examples
from amends.doors.replay_plot import picture
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
from amends.engine import policies, policy_desk
from amends.engine.config import Config
from amends.engine.policy_desk import Difference
from amends.engine.replay import Replay
from amends.engine.tryout import Tried
from amends.engine.wiring import Engine
from amends.kernel.money import major
from amends.kernel.time import DAY, Instant, parse_rfc3339, rfc3339

policy_group = typer.Typer(
    no_args_is_help=True, help="What decides by itself: write, try, replay and publish it."
)
stop_group = typer.Typer(no_args_is_help=True, help="Stop refunds at once, and let them go on.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A policy as TOML or JSON.")]
Named = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A file, a draft, a version's number or hash, `current`, `built-in`."
    ),
]
Why = Annotated[str, typer.Option(help="Why; only its hash goes on the trail.")]


# -- policies ------------------------------------------------------------------------------------


@policy_group.command("list")
def policy_list(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the versions that were published, the newest first.

    Example: amends policy list
    """
    found = run(_looked(read_config(config, connections=False), policy_desk.listed))
    if as_json:
        show_json({"items": found})
        return
    table = Table("version", "name", "in force from", "by", "hash")
    for one in found:
        now = " (now)" if one["in_force"] else ""
        since = f"{one['effective_from'][:19]}Z{now}"
        table.add_row(
            str(one["version"]), one["name"], since, escape(one["published_by"]), one["hash"][:19]
        )
    if found:
        out.print(table)
    else:
        out.print("No policy was published: the built-in one decides (amends policy show).")


@policy_group.command("show")
def policy_show(
    name: Named = "current", config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Show a policy: the one in force if none is named.

    Example: amends policy show 3 --json > third.json
    """
    document = _document(name, config)
    if as_json:
        show_json(policy_desk.plain(document))
        return
    purchase = ", by the version in force at the purchase" if document.at_purchase else ""
    out.print(f"{document.name}{purchase}", markup=False)
    table = Table("row", "when", "outcome", "options")
    for row in document.rows:
        table.add_row(row.id, escape(row.when), row.outcome, escape(_options(row)))
    out.print(table)
    for cap, limit in document.caps.items():
        said = {n: v for n, v in msgspec.to_builtins(limit).items() if n not in ("of", "per")}
        told = ", ".join(f"{n} {v}" for n, v in said.items())
        out.print(f"cap {cap}: of one {limit.of} per {limit.per}: {told}", markup=False)


def _options(row: Row) -> str:
    found = policy_desk.row_options(row)
    return ", ".join(n if v is True else f"{n} {_short(v)}" for n, v in found.items())


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{n} {v}" for n, v in value.items())
    return "+".join(value) if isinstance(value, list | tuple) else str(value)


@policy_group.command("check")
def policy_check(file: File, as_json: AsJson = False) -> None:
    """Say what is wrong with a policy, all of it; end with 1 if anything is.

    Example: amends policy check apparel.toml
    """
    try:
        document = _read(file)
        policies.check(document)
    except Refused as refused:
        if refused.refusal.reason is not Reason.BAD_POLICY:
            raise
        faults = refused.refusal.extra["errors"]
        if as_json:
            show_json({"ok": False, "faults": faults})
        for fault in () if as_json else faults:
            err.print(f"{file}: {_place(file, fault)}", markup=False)
        raise typer.Exit(1) from None
    if as_json:
        show_json({"ok": True, "faults": [], "rows": len(document.rows)})
    else:
        out.print(f"{file}: {len(document.rows)} rows, and nothing wrong.", markup=False)


def _place(file: Path, fault: dict[str, str]) -> str:
    """Where a fault is, as a person looks for it: "row 3 (high-value), when: …"."""
    parts = fault["pointer"].strip("/").split("/")
    said = fault["detail"]
    if parts[0] != "rows" or len(parts) < 2 or not parts[1].isdigit():
        return f"{', '.join(part for part in parts if part)}: {said}".removeprefix(": ")
    number = int(parts[1])
    name = _row_name(file, number)
    return ", ".join([f"row {number + 1}{name}", *parts[2:]]) + f": {said}"


def _row_name(file: Path, number: int) -> str:
    decode = msgspec.json.decode if file.suffix == ".json" else msgspec.toml.decode
    try:
        rows = decode(file.read_bytes())["rows"]
        return f" ({rows[number]['id']})"
    except (msgspec.DecodeError, OSError, LookupError, TypeError):
        return ""  # what cannot be read at all was said before


@policy_group.command("try")
def policy_try(
    name: Named,
    refund: Annotated[str, typer.Option(help="A refund that was judged, as it was then.")] = "",
    case: Annotated[
        str, typer.Option(help="Fields of a case as JSON, or @FILE; the rest is assumed.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what a policy would decide of one case. Nothing happens.

    Example: amends policy try apparel.toml --case '{"refund.amount": 60000}'
    """
    if bool(refund) == bool(case):
        fail("Name --refund, or give a --case.")
    document = _document(name, config)
    if refund:
        settings = read_config(config, connections=False)
        found = run(_looked(settings, policy_desk.try_refund, document, refund))
    else:
        found = policy_desk.try_case(document, _case(case))
    if as_json:
        show_json(msgspec.to_builtins(found))
    else:
        _show_tried(found)


def _case(text: str) -> dict[str, Any]:
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw, type=dict[str, Any])
    except OSError as error:
        fail(f"--case: {text[1:]} cannot be read: {error.strerror}.")
    except msgspec.DecodeError as error:
        fail(f'--case is a JSON object of fields, like {{"refund.amount": 900}}: {error}.')


def _show_tried(found: Tried) -> None:
    code = f" ({found.code})" if found.code else ""
    out.print(f"{found.outcome} by {found.rule}{code}", markup=False)
    if found.says:
        out.print(f"  to the customer: {found.says}", markup=False)
    for name, value in found.options.items():
        out.print(f"  {name}: {_short(value)}", markup=False)
    for row, verdict in found.rows:
        mark = {"applies": "+", "error": "!"}.get(verdict, " ")
        out.print(f"  {mark} {row}", markup=False)
    if found.assumed:
        told = ", ".join(f"{name} {_said(value)}" for name, value in found.assumed.items())
        out.print(f"assumed: {told}", markup=False)


def _said(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@policy_group.command("new")
def policy_new(
    like: Annotated[str, typer.Option(help=f"{', '.join(examples.NAMES)}.")],
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write it.")
    ] = None,
) -> None:
    """Write a policy of your trade to begin with.

    Example: amends policy new --like apparel --out policy.toml
    """
    if like not in examples.NAMES:
        fail(f"There is no example {like!r}; there are {', '.join(examples.NAMES)}.")
    path = to or Path(f"{like}.toml")
    if path.exists():
        fail(f"{path} is there already; name another file with --out.")
    path.write_text(examples.text(like), encoding="utf-8")
    out.print(f"{path}: read it, change it, then: amends policy replay {path}", markup=False)


@policy_group.command("publish")
def policy_publish(
    file: File,
    effective: Annotated[
        str, typer.Option("--from", metavar="INSTANT", help="Later, like 2026-12-01T00:00:00Z.")
    ] = "",
    why: Why = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put a policy in force: every process decides by it from its next turn on.

    Example: amends policy publish apparel.toml --why "final sale is final"
    """
    document = _read(file)
    since = _instant(effective) if effective else 0
    settings = read_config(config, connections=False)
    row = run(_changed(settings, policies.publish, document, since, why))
    if as_json:
        show_json(policy_desk.version_view(row, None) | {"in_force": not since})
        return
    when = rfc3339(row.effective_from)
    out.print(f"Version {row.number}, {row.name}, in force from {when}.", markup=False)


@policy_group.command("draft")
def policy_draft(
    file: File,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Judge every refund by it too; it decides nothing.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Keep a draft under its name, or replace the one of that name.

    Example: amends policy draft apparel.toml --shadow
    """
    settings = read_config(config, connections=False)
    row = run(_changed(settings, policies.put_draft, _read(file), shadow))
    if as_json:
        show_json(policy_desk.draft_view(row))
    else:
        beside = ", judged beside the one in force" if shadow else ""
        out.print(f"Draft {row.name}{beside}.", markup=False)


@policy_group.command("drafts")
def policy_drafts(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the drafts.

    Example: amends policy drafts
    """
    found = run(_looked(read_config(config, connections=False), policy_desk.drafts))
    if as_json:
        show_json({"items": found})
        return
    table = Table("draft", "shadow", "since", "by", "hash")
    for one in found:
        shadow = "yes" if one["shadow"] else "no"
        said = (one["name"], shadow, one["at"][:19], one["actor"], one["hash"][:19])
        table.add_row(*map(escape, said))
    out.print(table)


@policy_group.command("drop")
def policy_drop(
    name: Annotated[str, typer.Argument(help="The draft's name.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Drop a draft.

    Example: amends policy drop apparel
    """
    run(_changed(read_config(config, connections=False), policies.drop_draft, name))
    out.print(f"Draft {name} is gone.", markup=False)


@policy_group.command("diff")
def policy_diff(
    old: Named, new: Named, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Say what differs between two policies, row by row.

    Example: amends policy diff current apparel.toml
    """
    found = policy_desk.differences(_document(old, config), _document(new, config))
    if as_json:
        show_json(msgspec.to_builtins(found))
    elif not found:
        out.print("They say the same.")
    for one in () if as_json else found:
        out.print(_difference(one), markup=False)


def _difference(one: Difference) -> str:
    if one.old is None:
        return f"+ {one.where}: {_said(one.new)}"
    if one.new is None:
        return f"- {one.where}: {_said(one.old)}"
    return f"~ {one.where}: {_said(one.old)} -> {_said(one.new)}"


@policy_group.command("fields")
def policy_fields(as_json: AsJson = False) -> None:
    """Show what a condition can ask.

    Example: amends policy fields
    """
    if as_json:
        show_json([f._asdict() for f in FIELDS])
        return
    table = Table("field", "type", "what it says")
    for field in FIELDS:
        table.add_row(field.name, field.type, field.words + (" (a guess)" if field.guess else ""))
    out.print(table)


@policy_group.command("explain")
def policy_explain(
    refund: Annotated[str, typer.Argument(help="rf_…, as the API names it.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say why a refund was decided as it was.

    Example: amends policy explain rf_01jd…
    """
    found = run(_looked(read_config(config, connections=False), policy_desk.explain, refund))
    if as_json:
        show_json(found)
        return
    out.print(found["sentence"], markup=False)
    if found["condition"]:
        out.print(f"  when {found['condition']}", markup=False)
    if found["says"]:
        out.print(f"  to the customer: {found['says']}", markup=False)
    for reason in found["reasons"]:
        out.print(f"  {reason}", markup=False)
    for row in found["rows"]:
        out.print(f"  {row['row']}: {row['verdict']}", markup=False)


@policy_group.command("replay")
def policy_replay(
    name: Named,
    since: Annotated[str, typer.Option(help="So far back: 90d, or an instant.")] = "90d",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw it too, day by day.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what a policy would have decided of the refunds that were decided. Nothing happens.

    Example: amends policy replay apparel.toml --since 90d --plot apparel.svg
    """
    settings = read_config(config, connections=False)
    found = run(_replayed(settings, name, since))
    currency = settings.ledger.functional_currency
    if plot is not None:
        plot.write_text(picture(found, currency), encoding="utf-8")
    if as_json:
        show_json(policy_desk.replay_view(found))
    else:
        _show_replay(found, currency)


async def _replayed(settings: Config, name: str, since: str) -> Replay:
    async with looking(settings) as engine:
        document = await _found(engine, name)
        begin = _ago(since, engine.clock.now())
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("0 decisions", total=max(1, engine.clock.now() - begin))

            def show(count: int, at: Instant) -> None:
                bar.update(task, completed=at - begin, description=f"{count:,} decisions")

            return await policy_desk.over_history(engine, document, begin, show)


def _show_replay(found: Replay, currency: str) -> None:
    out.print(
        f"{found.decisions:,} decisions since {rfc3339(found.since)[:10]}; "
        f"{found.changed.count:,} would be others, of {_money(found.changed.amount, currency)}.",
        markup=False,
    )
    outcomes: tuple[Literal["approve", "review", "decline"], ...] = ("approve", "review", "decline")
    table = Table("was", *(f"would {new}" for new in outcomes))
    for old in outcomes:
        cells = [found.total(old, new) for new in outcomes]
        said = [f"{cell.count:,}  ({_money(cell.amount, currency)})" for cell in cells]
        table.add_row(old, *said)
    out.print(table)
    table = Table("row", "decisions", "of")
    for rule, total in sorted(found.rules.items(), key=lambda one: -one[1].count):
        table.add_row(rule, f"{total.count:,}", _money(total.amount, currency))
    out.print(table)
    for case in found.cases[:20]:
        moved = f"{case.old} ({case.old_rule}) -> {case.new} ({case.new_rule})"
        out.print(f"{case.refund} {_money(case.amount, currency)}: {moved}", markup=False)
    if found.changed.count > 20:
        out.print(f"… and {found.changed.count - 20:,} more; --json has {len(found.cases)}.")
    for count, words in (
        (found.house, "stay with a person whatever a policy says"),
        (found.capped, "would be approved as far as caps allow, which are not replayed"),
        (found.credit, "would be approved if the customer takes store credit"),
        (found.errors, "could not be evaluated, so a person would look"),
        (found.not_comparable, "were kept by a version with other fields, and are not counted"),
    ):
        if count:
            out.print(f"{count:,} {words}.", markup=False)


def _money(amount: int, currency: str) -> str:
    return f"{major(amount, currency)} {currency}"


# -- stops ---------------------------------------------------------------------------------------


@stop_group.command("set")
def stop_set(
    why: Annotated[str, typer.Option(help="Why; only its hash goes on the trail.")],
    order: Annotated[str, typer.Option(help="Of one order, ord_….")] = "",
    customer: Annotated[str, typer.Option(help="Of one customer, by the shop's id.")] = "",
    connection: Annotated[str, typer.Option(help="Of one connection.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Of everything.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Stop refunds: at once, in every process. What is on the wire is seen through.

    Example: amends stop set --customer c-42 --why "asks for the same parcel again"
    """
    named: list[tuple[StopScope, str]] = [
        ("order", order),
        ("customer", customer),
        ("connection", connection),
    ]
    chosen = [one for one in named if one[1]] + ([("all", "")] if everything else [])
    if len(chosen) != 1:
        fail("Name one of --order, --customer, --connection and --all.")
    settings = read_config(config, connections=False)
    stop = run(_changed(settings, policies.set_stop, *chosen[0], why))
    if as_json:
        show_json(msgspec.to_builtins(stop) | {"at": rfc3339(stop.at)})
    else:
        out.print(f"{stop.id}: refunds of {stop.scope} {stop.key} are stopped.", markup=False)


@stop_group.command("lift")
def stop_lift(
    stop: Annotated[str, typer.Argument(help="stop_…, as `amends stop list` shows it.")],
    why: Annotated[str, typer.Option(help="Why; only its hash goes on the trail.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Let refunds go on.

    Example: amends stop lift stop_01jd… --why "cleared by phone"
    """
    run(_changed(read_config(config, connections=False), policies.lift_stop, stop, why))
    out.print(f"{stop} is lifted.", markup=False)


@stop_group.command("list")
def stop_list(
    every: Annotated[bool, typer.Option("--all", help="Those that were lifted too.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the stops that hold.

    Example: amends stop list
    """
    settings = read_config(config, connections=False)
    found = run(_looked(settings, policy_desk.stops, not every))
    if as_json:
        show_json({"items": found})
        return
    table = Table("stop", "scope", "of", "why", "since", "by", "lifted")
    for one in found:
        lifted = (one["lifted_at"] or "")[:19]
        said = (one["scope"], one["key"], one["why"], one["at"][:19], one["actor"], lifted)
        table.add_row(one["id"], *map(escape, said))
    out.print(table)


# -- what they share -----------------------------------------------------------------------------


def _read(file: Path) -> Document:
    """A policy from a file. Raises Refused with its faults."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    return policies.parse(raw, "json" if file.suffix == ".json" else "toml")


def _document(name: str, config: Path) -> Document:
    """By a file, where there is one of that name, or else by what the database has."""
    if _is_file(name):
        return _read(Path(name))
    return run(_looked(read_config(config, connections=False), policy_desk.find, name))  # type: ignore[no-any-return]


async def _found(engine: Engine, name: str) -> Document:
    return _read(Path(name)) if _is_file(name) else await policy_desk.find(engine, name)


def _is_file(name: str) -> bool:
    return name.endswith((".toml", ".json")) or "/" in name


async def _looked(settings: Config, look: Any, *words: Any) -> Any:
    async with looking(settings) as engine:
        return await look(engine, *words)


async def _changed(settings: Config, change: Any, *words: Any) -> Any:
    async with looking(settings) as engine:
        return await change(engine, who(), *words)


def _instant(text: str) -> Instant:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        fail(f"{text!r} is not an instant like 2026-12-01T00:00:00Z.")


def _ago(text: str, now: Instant) -> Instant:
    """So many days back, or an instant."""
    number = text.removesuffix("d")
    if number.isascii() and number.isdigit() and number != text:
        return now - min(int(number), 36_500) * DAY
    return _instant(text)
