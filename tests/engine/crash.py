"""A process that ends at any chosen point: between any two statements, commits and sends.

Points are counted in the order in which they are passed, so a story is first played once to count
them and then once for every point, crashing there. A crash is a BaseException that nothing may
catch, and after it every further step of that process crashes too.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from amends.engine.deliver import LEASE_US
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.time import DAY
from amends.store.cold import Cold
from amends.store.open import connect
from amends.store.schema import metadata
from amends.store.spec import Store
from tests.engine.hooked import HookedStore
from tests.engine.lab import Lab, Loopback, Node, laboratory

# Every statement counts when it is done; before it, nothing differs from after the one before.
ACTS = ("commit", "committed", "send", "sent")
READS = ("next_due.done",)


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
        if not self.armed or not (point in ACTS or point.endswith(".done")) or point in READS:
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

    def wrap(store: Store) -> Any:
        return HookedStore(store, fuse)

    node = await lab.node(wrap)
    node.transport = FusedNetwork(lab, fuse)
    node.engine.deliverer._transport = node.transport
    return node


class Stage:
    """Databases without a row, one after the other: new files, or one PostgreSQL emptied over its
    open connections."""

    def __init__(self, template: Path, folder: Path, postgres_url: str = "") -> None:
        self._template, self._folder, self._url = template, folder, postgres_url
        self._numbers = itertools.count(1)
        self._store: Store | None = None

    async def fresh(self) -> tuple[str, Path, Store | None]:
        """A URL, a folder for audit and settings, and the store to share, if it is shared."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        if not self._url:
            shutil.copy(self._template, folder / "amends.db")
            return f"sqlite:///{folder / 'amends.db'}", folder, None
        if self._store is None:
            self._store = connect(self._url)
            await self._store.open()
        assert isinstance(self._store, Cold)
        async with self._store.writing() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in metadata.sorted_tables:
                await connection.execute(table.delete())
        return self._url, folder, self._store

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()


Story = Callable[[Lab], Awaitable[None]]


async def until_crash(work: Awaitable[Any], fuse: Fuse) -> None:
    """Let the story go on until it ends or its process does."""
    task = asyncio.ensure_future(work)
    blown = asyncio.ensure_future(fuse.blown.wait())
    await asyncio.wait({task, blown}, return_when=asyncio.FIRST_COMPLETED)
    for one in (task, blown):
        one.cancel()
    await asyncio.gather(task, blown, return_exceptions=True)


async def play(
    story: Story, prepare: Story, stage: Stage, at: int, again: Story | None = None
) -> tuple[Fuse, Lab]:
    """Play a story, crash at point `at`, recover with a fresh process. The laboratory is closed
    then: `lab.after` are its orders and `lab.found` is what was wrong."""
    fuse = Fuse(at)
    url, folder, shared = await stage.fresh()
    async with laboratory(url, folder, shared) as lab:
        lab.listen()
        await prepare(lab)
        node = await fused(lab, fuse)
        fuse.armed = True
        await until_crash(story(lab), fuse)
        fuse.armed = False
        await lab.lose(node)
        await lab.node()
        if again is not None:
            await again(lab)
        lab.clock.forward(LEASE_US)
        await lab.settle(2 * DAY)
        lab.after = await lab.orders()
        lab.found = await lab.wrong()
    return fuse, lab
