"""`amends user …`: who may sign in to the console."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from rich.markup import escape
from rich.table import Column, Table

from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    looking,
    out,
    read_config,
    run,
    show_json,
    who,
)
from amends.engine import people
from amends.engine.config import Config
from amends.engine.wiring import Engine
from amends.kernel.time import rfc3339
from amends.store.records import User

user_group = typer.Typer(
    no_args_is_help=True, help="Add, list, change and disable who signs in to the console."
)
Named = Annotated[str, typer.Argument(metavar="LOGIN", help="The login, or usr_….")]
Enable = Annotated[bool, typer.Option("--enable", help="Let them sign in again.")]
T = TypeVar("T")
ROLES = ", ".join(people.ROLES)


@user_group.command("add")
def add(
    login: Annotated[str, typer.Argument(help="What they sign in with.")],
    role: Annotated[str, typer.Option(help=f"One of: {ROLES}.")],
    name: Annotated[str, typer.Option(help="Shown on pages; the login if not given.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add somebody. Prints a one-time password, to be changed at the first sign-in.

    Example: amends user add ada --name "Ada L." --role admin
    """
    work = _with(config, lambda engine: people.add(engine, who(), login, name, role))
    user, password = run(work)
    _show_password(user, password, as_json)


@user_group.command("list")
def list_(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List who may sign in.

    Example: amends user list
    """
    users = run(_with(config, lambda engine: engine.store.users()))
    if as_json:
        show_json({"items": [_plain(user) for user in users]})
        return
    table = Table(Column("id", no_wrap=True), "login", "name", "role", "state", box=None)
    for user in users:
        table.add_row(user.id, user.login, escape(user.name), user.role, _state(user))
    out.print(table)


@user_group.command("role")
def role_(
    login: Named,
    role: Annotated[str, typer.Argument(help=f"One of: {ROLES}.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Change somebody's role. Their sessions end.

    Example: amends user role ada finance
    """
    user = run(_with(config, lambda engine: people.set_role(engine, who(), login, role)))
    out.print(f"{user.login} is {user.role}.", markup=False)


@user_group.command("disable")
def disable(login: Named, enable: Enable = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Let somebody in no more. Their sessions end at once.

    Example: amends user disable ada
    """
    work = _with(config, lambda engine: people.set_disabled(engine, who(), login, not enable))
    user = run(work)
    done = "can sign in again" if enable else "cannot sign in any more"
    out.print(f"{user.login} {done}.", markup=False)


@user_group.command("reset")
def reset(login: Named, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """A new one-time password, for who lost theirs or their phone. Codes are set up anew.

    Example: amends user reset ada
    """
    work = _with(config, lambda engine: people.reset(engine, who(), login))
    user, password = run(work)
    _show_password(user, password, as_json)


def _show_password(user: User, password: str, as_json: bool) -> None:
    if as_json:
        show_json({**_plain(user), "password": password})
        return
    out.print(f"{password}\n", markup=False)
    out.print(
        f"One-time password of {user.login} ({user.id}). It has to be changed at the first "
        "sign-in, and is not shown again.",
        markup=False,
    )


def _plain(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "login": user.login,
        "name": user.name,
        "role": user.role,
        "state": _state(user),
        "created_at": rfc3339(user.created_at),
    }


def _state(user: User) -> str:
    if user.disabled_at:
        return "disabled"
    return "active" if user.password_at and user.totp else "not signed in yet"


async def _with(config: ConfigPath, work: Callable[[Engine], Awaitable[T]]) -> T:
    settings: Config = read_config(config, connections=False)
    async with looking(settings) as engine:
        return await work(engine)
