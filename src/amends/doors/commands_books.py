"""`amends audit …` and `amends ledger …`: proofs and books, from the database alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from amends.core.chart import Names
from amends.core.reasons import Reason, Refused
from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    beside,
    fail,
    looking,
    opened,
    out,
    read_config,
    run,
    show_json,
    who,
)
from amends.engine import actions, journal, proof, queries
from amends.engine.actions import Caller
from amends.engine.asks import Told
from amends.engine.audit import Report, verify
from amends.engine.clock import SystemClock
from amends.engine.config import Config
from amends.engine.seals import Sealer
from amends.engine.wiring import Engine
from amends.kernel.money import major
from amends.kernel.time import Instant, parse_rfc3339
from amends.store.spec import Checkpoint

audit_group = typer.Typer(no_args_is_help=True, help="Prove that the trail is whole.")
ledger_group = typer.Typer(no_args_is_help=True, help="Balances, entries and exports of the books.")

PAGE = 200  # entries read at once


class Format(StrEnum):
    """What an export is written as."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"
    CSV = "csv"


WRITERS: dict[Format, Callable[[Names], journal.Writer]] = {
    Format.BEANCOUNT: journal.Beancount,
    Format.HLEDGER: journal.Hledger,
    Format.CSV: journal.Csv,
}

# -- audit ---------------------------------------------------------------------------------------


@audit_group.command("verify")
def audit_verify(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Recompute every chain of events and hold it against the signed checkpoints.

    Ends with 0 only if nothing is wrong; otherwise every finding is listed.

    Example: amends audit verify --json
    """
    report = run(_verify(read_config(config, connections=False)))
    if as_json:
        show_json(msgspec.to_builtins(report))
    else:
        for finding in report.findings:
            out.print(f"{finding.stream} {finding.seq}: {finding.what}", markup=False)
        for note in report.notes:
            out.print(f"note: {note}", markup=False)
        out.print(
            f"{report.streams} chains, {report.events} events, {report.checkpoints} checkpoints: "
            + ("whole." if report.ok else f"{len(report.findings)} findings."),
            markup=False,
        )
    if not report.ok:
        raise typer.Exit(1)


async def _verify(config: Config) -> Report:
    async with opened(config) as store:
        return await verify(store, config.audit_dir)


@audit_group.command("checkpoint")
def audit_checkpoint(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Seal what changed since the last checkpoint, now. A server does it every minute.

    Example: amends audit checkpoint
    """
    made = run(_checkpoint(read_config(config, connections=False)))
    if as_json:
        show_json({"made": made is not None, "number": made.number if made else None})
    elif made is None:
        out.print("Nothing has changed since the last checkpoint.")
    else:
        out.print(f"Checkpoint {made.number} seals {len(made.heads)} chains.", markup=False)


async def _checkpoint(config: Config) -> Checkpoint | None:
    async with opened(config) as store:
        sealer = Sealer(store, config.audit_dir, SystemClock())
        sealer.prepare()
        return await sealer.seal()


# -- ledger --------------------------------------------------------------------------------------


@ledger_group.command("balances")
def ledger_balances(
    at: Annotated[
        str, typer.Option(help="An instant, like 2026-11-01T10:00:00Z; now if not given.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """The balance of every account. Debit is positive.

    Example: amends ledger balances --at 2026-12-01T00:00:00Z
    """
    found = run(_balances(read_config(config, connections=False), _instant(at)))
    if as_json:
        show_json(found)
        return
    functional = found["functional_currency"]
    table = Table("account", "amount", "", f"in {functional}", "", box=None)
    for row in found["balances"]:
        table.add_row(
            row["account"],
            major(row["amount"], row["currency"]),
            row["currency"],
            major(row["functional_amount"], functional),
            f"{row['number']} {row['name']}".strip(),
        )
    out.print(table)


def _instant(text: str) -> Instant | None:
    try:
        return parse_rfc3339(text) if text else None
    except ValueError as error:
        fail(f"--at {text}: {error}.")


async def _balances(config: Config, at: Instant | None) -> dict[str, Any]:
    async with looking(config) as engine:
        return await queries.balances(engine, at)


@ledger_group.command("entries")
def ledger_entries(
    order: Annotated[str, typer.Option(help="Only of this order.")] = "",
    refund: Annotated[str, typer.Option(help="Only of this refund.")] = "",
    account: Annotated[str, typer.Option(help="Only with a posting to this account.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Journal entries, oldest first. With --json one entry a line.

    Example: amends ledger entries --account clearing:stripe-eu
    """
    given = {"order": order, "refund": refund, "account": account}
    filters = {name: text for name, text in given.items() if text}
    shape = journal.json_line if as_json else journal.plain
    run(_write(read_config(config, connections=False), filters, journal.Each(shape)))


@ledger_group.command("credits")
def ledger_credits(
    holder: Annotated[str, typer.Argument(help="A gift card's reference, or a customer's id.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """What a gift card or a customer was given back as credit, less what was taken back.

    Example: amends ledger credits GC-1001
    """
    found = run(_credits(read_config(config, connections=False), holder))
    if as_json:
        show_json(found)
        return
    table = Table("account", "amount", "", box=None)
    for row in found["credits"]:
        table.add_row(row["account"], major(row["amount"], row["currency"]), row["currency"])
    out.print(table)


async def _credits(config: Config, holder: str) -> dict[str, Any]:
    async with looking(config) as engine:
        return await queries.credits(engine, holder)


@ledger_group.command("close")
def ledger_close(
    period: Annotated[str, typer.Argument(help="The month, like 2026-10.")],
    entity: Annotated[str, typer.Option(help="The legal entity whose books it is.")] = "main",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Close a month of the books, and all before it, for good. What is late for it is posted on
    the first open day, with its own date as its document's.

    Example: amends ledger close 2026-10
    """
    run(_close(read_config(config, connections=False), period, entity))
    out.print(f"{period} is closed for {entity}.", markup=False)


async def _close(config: Config, period: str, entity: str) -> None:
    async with looking(config) as engine:
        await actions.close_period(engine, period, entity, who())


@ledger_group.command("write-off")
def ledger_write_off(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="ord_…, as the API names it.")],
    account: Annotated[str, typer.Argument(help="Where the difference is: clearing:stripe-eu.")],
    amount: Annotated[int, typer.Argument(help="Minor units too much there; too little: -- -2.")],
    why: Annotated[str, typer.Option(help="Kept as a hash beside the entry.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write a small difference off an order's account, up to `[ledger] write_off_up_to`.

    Example: amends ledger write-off ord_01m9c… clearing:stripe-eu 2 --why "rounded there"
    """

    def act(engine: Engine, caller: Caller) -> Awaitable[Told]:
        return actions.write_off(engine, caller, order, account, amount, why)

    entries = run(_act(read_config(config), "amends ledger write-off", act))
    out.print(f"{amount} is written off {account}, as entry {entries} of {order}.", markup=False)


@ledger_group.command("reverse")
def ledger_reverse(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="ord_…, as the API names it.")],
    entry: Annotated[int, typer.Argument(help="The number of the write-off's entry.")],
    why: Annotated[str, typer.Option(help="Kept as a hash beside the entry.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Take a write-off back by an entry that reverses it; no other entry can be reversed by hand.

    Example: amends ledger reverse ord_01m9c… 7 --why "the provider paid it out after all"
    """

    def act(engine: Engine, caller: Caller) -> Awaitable[Told]:
        return actions.reverse(engine, caller, order, entry, why)

    entries = run(_act(read_config(config), "amends ledger reverse", act))
    out.print(f"Entry {entry} is reversed by entry {entries} of {order}.", markup=False)


async def _act(config: Config, route: str, act: Callable[[Engine, Caller], Awaitable[Told]]) -> int:
    """The number of the entry that was made. Raises Refused."""
    async with beside(config) as engine:
        (result,) = (await act(engine, Caller(who(), "cli", route))).results
        if result.refused is not None:
            raise Refused(result.refused.reason, result.refused.detail)
        if result.order is None:
            raise Refused(Reason.UNKNOWN_ORDER)
        return result.order.entries


@ledger_group.command("check")
def ledger_check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Prove the books from the database alone: entries balance in both currencies, numbers have no
    gaps, payable and clearing accounts are what the refunds say.

    Ends with 0 only if nothing is wrong; otherwise every finding is listed.

    Example: amends ledger check --json
    """
    report = run(_check(read_config(config, connections=False)))
    if as_json:
        show_json(msgspec.to_builtins(report))
    else:
        for finding in report.findings:
            entry = f" entry {finding.entry}" if finding.entry else ""
            where = f"{finding.order}{entry}: " if finding.order else ""
            out.print(f"{where}{finding.what}", markup=False)
        out.print(
            f"{report.orders} orders, {report.entries} entries: "
            + ("in order." if report.ok else f"{len(report.findings)} findings."),
            markup=False,
        )
    if not report.ok:
        raise typer.Exit(1)


async def _check(config: Config) -> proof.Report:
    async with opened(config) as store:
        return await proof.prove(store)


@ledger_group.command("credit-notes")
def ledger_credit_notes(
    order: Annotated[str, typer.Option(help="Only of this order.")] = "",
    refund: Annotated[str, typer.Option(help="Only of this refund.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Numbered credit notes and the documents that reverse them, then those that wait for a number.
    With --json one a line, with its parts and taxes.

    Example: amends ledger credit-notes --refund rf_01h8
    """
    filters = {name: text for name, text in (("order", order), ("refund", refund)) if text}
    run(_credit_notes(read_config(config, connections=False), filters, as_json))


async def _credit_notes(config: Config, filters: dict[str, str], as_json: bool) -> None:
    async with opened(config) as store:
        cursor, first = "", True
        while first or cursor:
            page = await store.credit_notes(filters, cursor, PAGE)
            for item in page.items:
                show_json(item) if as_json else out.print(journal.credit_note(item), markup=False)
            cursor, first = page.next, False
        due = await store.documents_due(PAGE)
        while due:
            for waiting in due:
                item = {"name": "", **msgspec.to_builtins(waiting.document)}
                if all(item[name] == value for name, value in filters.items()):
                    show_json(item) if as_json else out.print(
                        journal.credit_note(item), markup=False
                    )
            due = await store.documents_due(PAGE, due[-1])


@ledger_group.command("export")
def ledger_export(
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CSV,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write all entries to standard output, amounts exact, for other accounting programs.

    Example: amends ledger export --format beancount > refunds.beancount
    """
    settings = read_config(config, connections=False)
    run(_write(settings, {}, WRITERS[format_](settings.accounts)))


async def _write(config: Config, filters: dict[str, str], writer: journal.Writer) -> None:
    async with opened(config) as store:
        sys.stdout.write(writer.begin())
        cursor, first = "", True
        waiting = journal.ByDay()
        while first or cursor:
            page = await store.entries(filters, cursor, PAGE)
            for item in page.items:
                sys.stdout.writelines(map(writer.entry, waiting.put(item)))
            cursor, first = page.next, False
            await asyncio.to_thread(sys.stdout.flush)
        sys.stdout.writelines(map(writer.entry, waiting.rest()))
        sys.stdout.write(writer.end())
