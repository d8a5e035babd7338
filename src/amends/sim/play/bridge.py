"""The real database in a simulated world: every call stops the world until it is done.

To the world a statement takes no time of its own, so real speed decides nothing; how long it seems
to take is drawn from the seed (`Pace`). On PostgreSQL a call may wait for a lock that another
simulated process holds: it is then set aside, and taken up when the lock is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aiosqlite

from amends.sim.play.room import driver
from amends.store import sqlite
from amends.store.spec import Batch, Store, Turn

T = TypeVar("T")

PATIENCE_S = 0.01  # real seconds before we ask the database whether a call waits for a lock
SURE_S = 60.0  # real seconds after which a call that neither ends nor waits is a defect
LOCKED = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""

# What a simulated process passes: told before and after every call. It may wait, or raise.
Point = Callable[[str], Awaitable[None]]
# Told what was written, once it is committed.
Tell = Callable[[Batch], None]


class Bridge:
    """A real event loop inside the simulated one, and the calls that are in it.

    `locks` is the URL of a PostgreSQL to be asked about locks; "" where simulated processes take
    turns at the database, as SQLite has it anyway.
    """

    def __init__(self, locks: str = "") -> None:
        self._loop = asyncio.new_event_loop()
        self._blocked: list[tuple[asyncio.Task[Any], asyncio.Future[None]]] = []
        self._monitor: Any = None  # a connection of its own
        if locks:
            self._monitor = self.run(driver().connect(locks))
        self.writer = None if locks else asyncio.Lock()  # as SQLite's own lock over processes
        self.waited = 0  # calls that met a lock

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end, at once: the world's loop stands still while the database's own runs."""
        world = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(work)
        finally:
            asyncio._set_running_loop(world)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """To its end; the world goes on meanwhile only if it waits for a lock."""
        if self._monitor is None:
            return self.run(work)
        task = self._loop.create_task(work)
        if not self._rests(task):
            self.waited += 1
            free = asyncio.get_running_loop().create_future()
            self._blocked.append((task, free))
            try:
                await free
            except BaseException:
                self._drop(task)
                raise
        return task.result()

    def freed(self) -> None:
        """A transaction has ended: calls that waited for it go on, in the order they came."""
        while True:
            found = [item for item in self._blocked if self._rests(item[0])]
            if not found:
                return
            for item in found:
                self._blocked.remove(item)
                if not item[1].done():
                    item[1].set_result(None)

    def _rests(self, task: asyncio.Task[Any]) -> bool:
        """Whether the call is done; False if it waits for a lock."""
        assert self._monitor is not None
        for _ in range(int(SURE_S / PATIENCE_S)):
            self.run(_wait(task))
            if task.done():
                return True
            running = {item for item, _ in self._blocked if not item.done()} | {task}
            if self.run(self._monitor.fetchval(LOCKED)) >= len(running) and not task.done():
                return False
        raise RuntimeError("a statement neither ends nor waits for a lock")

    def _drop(self, task: asyncio.Task[Any]) -> None:
        """Whoever waited for it is gone."""
        self._blocked = [item for item in self._blocked if item[0] is not task]
        task.cancel()
        self.run(_wait(task, None))
        if not task.cancelled():
            task.exception()  # nobody is left to hear it

    def close(self) -> None:
        if self._monitor is not None:
            self.run(self._monitor.close())
        self.run(self._loop.shutdown_default_executor())
        self._loop.close()


async def _wait(task: asyncio.Task[Any], seconds: float | None = PATIENCE_S) -> None:
    await asyncio.wait((task,), timeout=seconds)


@contextmanager
def inline() -> Iterator[None]:
    """SQLite's statements run in this thread. The world waits for each of them anyway, and a hop to
    the thread of aiosqlite, or of our writer, and back costs more than the statement."""

    async def execute(connection: aiosqlite.Connection, act: Any, *given: Any, **named: Any) -> Any:
        return act(*given, **named)

    opened: dict[sqlite._Writer, Any] = {}

    def submit(writer: sqlite._Writer, job: Callable[[Any], T]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            if writer not in opened:
                opened[writer] = sqlite._connect(writer._path)
            done.set_result(job(opened[writer]))
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            done.set_exception(error)
        return done

    whole, whole_submit = aiosqlite.Connection._execute, sqlite._Writer.submit
    aiosqlite.Connection._execute = execute  # type: ignore[method-assign, assignment]
    sqlite._Writer.submit = submit  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        aiosqlite.Connection._execute = whole  # type: ignore[method-assign]
        sqlite._Writer.submit = whole_submit  # type: ignore[method-assign]
        for connection in opened.values():
            connection.close()


READS = ("order", "orders", "payment", "refunds", "refund_order", "quote", "events", "entries")


class BridgedTurn:
    """One transaction, statement by statement."""

    def __init__(self, turn: Turn, bridge: Bridge, point: Point) -> None:
        self._turn, self._bridge, self._point = turn, bridge, point
        self.written: list[Batch] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._turn, name)

        async def call(*given: Any, **named: Any) -> Any:
            await self._point(name)
            found = await self._bridge.call(method(*given, **named))
            if name == "write":
                self.written.append(given[0])
            await self._point(f"{name}.done")
            return found

        return call


class BridgedStore:
    """A store whose every call passes `point`, before and after it."""

    def __init__(self, store: Store, bridge: Bridge, point: Point, tell: Tell) -> None:
        self._store, self._bridge, self._point, self._tell = store, bridge, point, tell

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*given: Any, **named: Any) -> Any:
            await self._point(name)
            found = await self._alone(name, method, given, named)
            await self._point(f"{name}.done")
            return found

        return call

    async def _alone(self, name: str, method: Any, given: Any, named: Any) -> Any:
        writer = self._bridge.writer
        if writer is None or name in READS:
            found = await self._bridge.call(method(*given, **named))
            self._bridge.freed()
            return found
        async with writer:
            return await self._bridge.call(method(*given, **named))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[BridgedTurn]:
        await self._point("begin")
        writer = self._bridge.writer
        if writer is None:
            async with self._open() as turn:
                yield turn
        else:
            async with writer, self._open() as turn:
                yield turn
        await self._point("committed")

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[BridgedTurn]:
        whole = self._store.turn()
        turn = BridgedTurn(await self._bridge.call(_enter(whole)), self._bridge, self._point)
        try:
            yield turn
            await self._point("commit")
        except BaseException as error:
            # Nothing of the world may come between a broken turn and its end.
            try:
                self._bridge.run(_leave(whole, error))
            finally:
                self._bridge.freed()
            raise
        else:
            try:
                await self._bridge.call(_leave(whole, None))
                for batch in turn.written:
                    self._tell(batch)
            finally:
                self._bridge.freed()


async def _enter(whole: Any) -> Any:
    return await whole.__aenter__()


async def _leave(whole: Any, error: BaseException | None) -> None:
    """End a transaction, by rollback if there is an error."""
    try:
        if error is None:
            await whole.__aexit__(None, None, None)
        else:
            await whole.__aexit__(type(error), error, error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise
