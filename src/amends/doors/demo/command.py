"""The command `amends demo`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from amends.doors.demo.play import Outcome, Wish, play
from amends.doors.demo.stage import Stage
from amends.doors.demo.told import Teller
from amends.doors.shell import err, fail

STOPPED = 130  # what shells expect after Ctrl-C


def demo(
    store: Annotated[
        str,
        typer.Option(help="Play on this store and leave it behind: postgresql://… or sqlite:///…"),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Only the result, as JSON.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave sandbox and server running until Ctrl-C.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="The same ids in every run (not with --store).")
    ] = None,
) -> None:
    """Play small stories against providers that misbehave, and check the books.

    It starts look-alikes of three payment providers and `amends serve` on this machine, on a
    temporary SQLite file unless --store names another. It ends with 0 only if every check holds.

    Example: amends demo --store postgresql://user@localhost/amends_demo
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ✓ still gets its lines
    console = None if json else Console(highlight=False)
    teller = Teller(console)

    def kept(outcome: Outcome, stage: Stage) -> None:
        _conclude(teller, outcome, json)
        _invite(json, stage)

    try:
        outcome = asyncio.run(play(Wish(store, seed, keep), teller, kept))
    except asyncio.CancelledError:
        err.print("Stopped; nothing of the demo is left running.")
        raise typer.Exit(STOPPED) from None
    except ValueError as error:
        fail(f"The demo cannot start: {error}.")
    if not (keep and outcome.ok):
        _conclude(teller, outcome, json)
    raise typer.Exit(0 if outcome.ok else 1)


def _conclude(teller: Teller, outcome: Outcome, json: bool) -> None:
    if json:
        print(msgspec.json.format(msgspec.json.encode(outcome)).decode(), flush=True)
        return
    if failure := outcome.failure:
        teller.note("")
        teller.note(f"✗ {failure.story} did not go as told.", "bold red")
        teller.note(f"  expected  {failure.expected}")
        teller.note(f"  found     {failure.found}")
        teller.note(f"  logs      {failure.logs}")
        return
    teller.note("")
    teller.note(f"{len(outcome.stories)} stories in {outcome.seconds:.1f} seconds.", "dim")
    bad = [check.name for check in outcome.checks if not check.ok]
    if not bad:
        teller.note(f"All {len(outcome.checks)} checks hold.", "bold green")
        return
    teller.note(f"The logs are in {outcome.logs}.")
    held = "does not hold" if len(bad) == 1 else "do not hold"
    names = "; ".join(bad)
    teller.note(f"{len(bad)} of {len(outcome.checks)} checks {held}: {names}.", "bold red")


def _invite(json: bool, stage: Stage) -> None:
    """Where to go on, on standard error when standard output is for the JSON."""
    key = stage.keys.admin
    console = Console(stderr=json, highlight=False, soft_wrap=True)
    console.print()
    console.print("Sandbox and server stay up until Ctrl-C, which stops both.")
    console.print(f"  API      {stage.server_url}/v1  described at /openapi.json")
    console.print(f"  key      {key}")
    console.print(f"  sandbox  {stage.sandbox_url}  its truth at /control/refunds")
    console.print(f"  files    {stage.folder}")
    console.print(
        f'  curl -H "Authorization: Bearer {key}" {stage.server_url}/v1/refunds', style="dim"
    )
