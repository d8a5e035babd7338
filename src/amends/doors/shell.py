"""What every command shares: its options, its store, its engine, and how it says no."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from amends.engine.config import Config, ConfigError, load
from amends.engine.wiring import Engine
from amends.store.open import connect
from amends.store.spec import Store

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="AMENDS_CONFIG",
        metavar="PATH",
        help="The settings file.",
        show_default=True,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON, for scripts.")]
DEFAULT_CONFIG = Path("amends.toml")


def read_config(path: Path, connections: bool = True) -> Config:
    """The settings. Raises ConfigError, which `main` turns into a sentence."""
    return load(path, connections)


def store_of(config: Config) -> Store:
    """The store the settings name, not opened yet. Raises ConfigError."""
    try:
        return connect(config.store.url)
    except ValueError as error:
        raise ConfigError(f"[store] url: {error}.") from None


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """The store, open. Raises StoreUnavailable."""
    store = store_of(config)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def beside(config: Config) -> AsyncIterator[Engine]:
    """An engine that decides but sends nothing: a server or worker takes over what it decided."""
    async with opened(config) as store:
        engine = Engine(config, store, sends=False)
        await engine.start(sweep=False)
        try:
            yield engine
        finally:
            await engine.stop()


@asynccontextmanager
async def looking(config: Config) -> AsyncIterator[Engine]:
    """An engine that does not turn: for what only reads, and for keys."""
    async with opened(config) as store:
        engine = Engine(config, store, sends=False)
        try:
            yield engine
        finally:
            await engine.transport.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


def who() -> str:
    """The actor of what is done on the command line: the person's name at the machine."""
    return f"cli:{getpass.getuser()}"


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def fail(sentence: str) -> NoReturn:
    """Say why on standard error and end with 1."""
    err.print(f"[red]amends:[/red] {escape(sentence)}")
    raise typer.Exit(1)
