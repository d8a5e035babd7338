"""A process that ends at any chosen point: after any statement of SQL, any commit, before and after
any send, and around the line of a checkpoint.

Points are counted in the order in which they are passed, so a story is first played once to count
them and then once for every point, crashing there. A crash is a BaseException that nothing may
catch, and after it every further step of that process crashes too.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from amends.engine.deliver import LEASE_US
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.time import DAY
from amends.store import sqlite
from amends.store.cold import Cold
from amends.store.open import connect
from amends.store.schema import metadata
from amends.store.spec import Checkpoint, Store
from amends.store.sqlite import SqliteStore
from tests import postgres
from tests.engine.lab import Lab, Loopback, Node, laboratory
from tests.engine.taps import AtOnce, tapped


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Counts the points of one process and ends it at number `at` (0: never)."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.passed = at, 0
        self.points: list[str] = []
        self.armed = False
        self.blown = asyncio.Event()

    def __call__(self, point: str) -> None:
        if not self.armed:
            return
        if self.blown.is_set():
            raise Crash(point)
        self.passed += 1
        self.points.append(point)
        if self.passed == self.at:
            self.blown.set()
            raise Crash(point)


class FusedNetwork(Loopback):
    """Crashes before the first byte, and after the provider's work but before its answer."""

    def __init__(self, lab: Lab, fuse: Fuse) -> None:
        super().__init__(lab)
        self._fuse = fuse

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        self._fuse("send")
        answer = await super().send(request, timeout_seconds)
        self._fuse("sent")
        return answer


async def fused(lab: Lab, fuse: Fuse) -> Node:
    """A node that ends when its fuse blows, as the only one."""
    await lab.lose(lab.nodes[0])
    node = await lab.node(lambda store: tapped(store, fuse))
    node.transport = FusedNetwork(lab, fuse)
    node.engine.deliverer._transport = node.transport
    witness = node.engine.sealer._witness
    append = witness.append

    def line(checkpoint: Checkpoint) -> None:
        fuse("line")
        append(checkpoint)
        fuse("lined")

    witness.append = line  # type: ignore[method-assign]
    return node


class Stage:
    """Databases without a row, one after the other: new files, or one PostgreSQL emptied over its
    open connections."""

    def __init__(self, template: Path, folder: Path, postgres_url: str = "") -> None:
        self._template, self._folder, self._url = template, folder, postgres_url
        self._numbers = itertools.count(1)
        self._store: Store | None = None

    async def fresh(self) -> tuple[str, Path, Store]:
        """A URL, a folder for audit and settings, and the open store that all nodes share."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        if not self._url:
            await self.close()
            path = folder / "amends.db"
            shutil.copy(self._template, path)
            file = SqliteStore(path)
            file._writer = AtOnce(path)  # type: ignore[assignment]
            await file.open()
            self._store = file
            return f"sqlite:///{path}", folder, file
        if self._store is None:
            self._durable("off")
            self._store = connect(self._url)
            await self._store.open()
        assert isinstance(self._store, Cold)
        async with self._store.writing() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in metadata.sorted_tables:
                await connection.execute(table.delete())
        return self._url, folder, self._store

    @property
    def kind(self) -> str:
        return "PostgreSQL" if self._url else "SQLite"

    def _durable(self, word: str) -> None:
        """Whether the server waits for the disk: what dies here are processes, not machines."""
        postgres.sql(self._url, f"ALTER SYSTEM SET fsync = {word}")
        postgres.sql(self._url, "SELECT pg_reload_conf()")

    async def close(self) -> None:
        if self._url and self._store is not None:
            self._durable("on")
        if isinstance(self._store, SqliteStore):
            assert isinstance(self._store._writer, AtOnce)
            self._store._writer.close()
        if self._store is not None:
            await self._store.close()
        self._store = None


Story = Callable[[Lab], Awaitable[None]]


async def until_crash(work: Awaitable[Any], fuse: Fuse) -> None:
    """Let the story go on until it ends or its process does. Raises what the story raised."""
    task = asyncio.ensure_future(work)
    blown = asyncio.ensure_future(fuse.blown.wait())
    await asyncio.wait({task, blown}, return_when=asyncio.FIRST_COMPLETED)
    ended = task.done() and not fuse.blown.is_set()
    for one in (task, blown):
        one.cancel()
    await asyncio.gather(task, blown, return_exceptions=True)
    if ended:
        task.result()


async def nothing(lab: Lab) -> None:
    """The story begins with an empty database; or nothing is asked again."""


@dataclass(frozen=True)
class Tale:
    """What is played: `prepare` before the fuse is armed, `story` under it, `again` in the process
    after it. `ends` are the states that its refunds may come to rest in."""

    story: Story
    prepare: Story
    ends: tuple[str, ...] = ("succeeded",)
    again: Story = nothing
    settings: Mapping[str, Any] = field(default_factory=dict)
    refunds: int = 0  # how many there must be; 0: as many as were asked for before the crash
    others: int = 0  # processes beside the one that ends, on the same database


async def play(
    tale: Tale, stage: Stage, at: int, then: int | None = None
) -> tuple[list[Fuse], Lab]:
    """Play a tale, crash at point `at` (0: nowhere), recover with a fresh process, which crashes at
    point `then` of its own, unless that is None. The laboratory is closed then: `lab.after` are its
    orders and `lab.found` is what was wrong."""
    fuses = [Fuse(at)]
    url, folder, shared = await stage.fresh()
    async with laboratory(url, folder, shared, **tale.settings) as lab:
        lab.listen()
        await tale.prepare(lab)
        node = await fused(lab, fuses[0])
        for _ in range(tale.others):
            await lab.node()
        await burn(lab, node, fuses[0], tale.story)
        if then is not None:
            fuses.append(Fuse(then))
            await lab.node()
            node = await fused(lab, fuses[1])
            await burn(lab, node, fuses[1], lambda lab: recover(lab, tale))
        await lab.node()
        await recover(lab, tale)
        lab.after = await lab.orders()
        lab.found = await lab.wrong()
    return fuses, lab


async def burn(lab: Lab, node: Node, fuse: Fuse, story: Story) -> None:
    fuse.armed = True
    await until_crash(story(lab), fuse)
    fuse.armed = False
    await lab.lose(node)
    if isinstance(lab.shared, SqliteStore):
        sqlite._rollback(lab.shared._writer.connection)  # as when its connection closes


async def recover(lab: Lab, tale: Tale) -> None:
    await tale.again(lab)
    lab.clock.forward(LEASE_US)
    await lab.settle(2 * DAY)
