"""Where a seed is played: a folder and an empty database of its own, both gone afterwards."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

MEMORY = Path("/dev/shm")  # files here are in memory: a simulated month syncs ten thousand times

_numbers = itertools.count(1)


class NoRoom(RuntimeError):
    """A database cannot be had. Its message is a sentence for whoever named the server."""


@contextmanager
def room(server: str, label: str, keep: str = "") -> Iterator[tuple[str, Path]]:
    """The URL of an empty database and a folder. `server` is the URL of a PostgreSQL, "" a file;
    `keep` a folder for a file that stays.

    Raises NoRoom.
    """
    if keep:
        yield _kept(Path(keep))
        return
    parent = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="amends-sim-", dir=parent) as name:
        folder = Path(name)
        if not server:
            yield f"sqlite:///{folder / 'amends.db'}", folder
            return
        database = f"amends_sim_{label}_{os.getpid()}_{next(_numbers)}"
        _do(server, f'CREATE DATABASE "{database}"')
        try:
            # What ends in a simulated world are processes, not machines: the disk need not hear.
            _do(server, f'ALTER DATABASE "{database}" SET synchronous_commit = off')
            yield urlunsplit(urlsplit(server)._replace(path=f"/{database}")), folder
        finally:
            _do(server, f'DROP DATABASE "{database}" WITH (FORCE)')


def _kept(folder: Path) -> tuple[str, Path]:
    database = folder / "amends.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoRoom(f"{folder} cannot be made: {error.strerror}.") from error
    if database.exists():
        raise NoRoom(f"{database} is there already; name another folder.")
    return f"sqlite:///{database}", folder


def leave(folder: Path, store: str) -> None:
    """Write the settings with which the commands read what a run has left in its folder."""
    (folder / "amends.toml").write_text(f'[store]\nurl = "{store}"\n')


def driver() -> Any:
    """asyncpg, which is an extra. Raises NoRoom without it."""
    try:
        return import_module("asyncpg")
    except ModuleNotFoundError:
        raise NoRoom("PostgreSQL needs asyncpg: pip install 'amends[postgres]'.") from None


def shown(server: str) -> str:
    """A server's URL without its password."""
    parts = urlsplit(server)
    if not parts.password:
        return server
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


def _do(server: str, statement: str) -> None:
    asyncpg = driver()
    try:
        asyncio.run(_done(asyncpg, server, statement))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = f"{type(error).__name__}: {error}".rstrip(".: ")
        raise NoRoom(f"{shown(server)} is asked to {statement}: {said}.") from error


async def _done(asyncpg: Any, server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
