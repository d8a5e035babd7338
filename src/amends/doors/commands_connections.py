"""`amends connections …`: whether what is connected is as the settings say."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    fail,
    out,
    read_config,
    run,
    show_json,
)
from amends.engine.config import Config
from amends.engine.http import HttpTransport
from amends.gateways.registry import INSPECTS
from amends.gateways.spec import Inspection

connections_group = typer.Typer(
    no_args_is_help=True, help="Hold the settings of connections against what is there."
)

TIMEOUT_S = 30.0


@connections_group.command("check")
def check(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Only this connection.", show_default=False)
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask each connection that can be asked whether accounts, taxes, products, rights and the rest
    of its settings are there. Nothing is changed. Example: amends connections check erp"""
    settings = read_config(config)
    if name and name not in settings.connections:
        fail(f"There is no [connections.{name}].")
    checked = [
        one
        for one, connection in settings.connections.items()
        if connection.settings.gateway in INSPECTS and name in ("", one)
    ]
    if name and not checked:
        fail(f"{name} cannot be asked: {settings.connections[name].settings.gateway} has no check.")
    found = run(_inspected(settings, checked))
    if as_json:
        items = [{"connection": one, "ok": not said, "wrong": said} for one, said in found.items()]
        show_json({"items": items})
    else:
        _show(found)
    if any(found.values()):
        raise typer.Exit(1)


def _show(found: dict[str, tuple[str, ...]]) -> None:
    if not found:
        out.print("No connection here can be asked.")
    for one, said in found.items():
        out.print(f"[green]{escape(one)}[/green] is as the settings say." if not said else one)
        for sentence in said:
            out.print(f"  [red]-[/red] {escape(sentence)}")


async def _inspected(settings: Config, names: list[str]) -> dict[str, tuple[str, ...]]:
    """What is wrong with each connection."""
    transport = HttpTransport()
    try:
        found = {}
        for name in names:
            its = settings.connections[name].settings
            found[name] = await _held(INSPECTS[its.gateway].inspect(its), transport)
        return found
    finally:
        await transport.close()


async def _held(asking: Inspection, transport: HttpTransport) -> tuple[str, ...]:
    """The conversation, held."""
    try:
        request = next(asking)
        while True:
            request = asking.send(await transport.send(request, TIMEOUT_S))
    except StopIteration as ended:
        said: tuple[str, ...] = ended.value
        return said
