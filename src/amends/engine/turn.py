"""The batch turn: takes whatever waits, decides it all, commits it in one transaction.

No timer: an idle engine turns at once with one ask, a busy one with hundreds (group commit).
Reads come after the order locks, in later statements. A deadlock or a row another process just made
runs the whole turn again; a row the database refuses bisects the batch down to the poisoned fact,
whose order is parked; a database that is away fails the callers and keeps what must not be lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from amends.engine.asks import Ask, Told
from amends.engine.fold import Fold
from amends.engine.world import BoardChanged, CapsGrew, World
from amends.store.spec import PeriodClosed, Retry, RowRefused, Store, StoreUnavailable

log = structlog.get_logger()

BATCH_MAX = 512  # asks in one transaction; larger ones stop getting cheaper and start to wait
RETRIES = 50  # of one turn, before its callers are told to come back
PAUSE_SECONDS = 0.5  # between tries while the database is away


class Turner:
    """One per process: a queue of asks and the loop that empties it."""

    def __init__(self, store: Store, world: World) -> None:
        self._store, self._world = store, world
        self._queue: deque[Ask] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._leaving = False
        self._turning = False
        self.batch_max = BATCH_MAX
        self.turns = 0
        self.folded = 0

    def submit(self, ask: Ask) -> asyncio.Future[Told]:
        """Queue it; the future is told after the commit, or raises StoreUnavailable."""
        self._queue.append(ask)
        self._wake.set()
        return ask.told

    async def run(self) -> None:
        """Turn until `stop`; what was queued before is still turned."""
        while True:
            while self._queue:
                await self._next()
            if self._stopping:
                return
            self._wake.clear()
            await self._wake.wait()

    def leave(self) -> None:
        """The process is about to stop: an outage of the database is no longer waited for."""
        self._leaving = True

    def stop(self) -> None:
        self._stopping = self._leaving = True
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Asks that are not yet in a transaction."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        return not self._queue and not self._turning

    async def _next(self) -> None:
        count = min(len(self._queue), self.batch_max)
        batch = [self._queue.popleft() for _ in range(count)]
        self._turning = True
        try:
            await self._turn(batch)
        except StoreUnavailable as error:
            await self._unavailable([ask for ask in batch if not ask.folded], error)
        except Exception as error:
            log.exception("turn failed", asks=len(batch))
            for ask in batch:
                ask.fail(error)
        finally:
            self._turning = False

    async def _unavailable(self, batch: Sequence[Ask], error: StoreUnavailable) -> None:
        """Callers are told; what must not be lost goes back to the front of the queue."""
        keep = [ask for ask in batch if ask.patient]
        for ask in batch:
            if not ask.patient:
                ask.fail(error)
        log.warning(
            "database away", error=str(error), kept=len(keep), failed=len(batch) - len(keep)
        )
        if self._leaving:
            for ask in keep:  # leases run out; another process takes these effects over
                ask.fail(error)
        elif keep:
            self._queue.extendleft(reversed(keep))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _turn(self, batch: list[Ask]) -> None:
        """One transaction over `batch`, bisected while the database refuses a row of it, or a
        defect breaks it: what cannot be stored at all fails alone."""
        try:
            fold = await self._commit(batch)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged where it belongs to one ask
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._turn(batch[:middle])
                await self._turn(batch[middle:])
                return
            found = await self._poisoned(batch[0], error)
            if found is None:
                return
            fold = found
        self.turns += 1
        self.folded += len(batch)
        for ask in batch:
            ask.folded = True
        self._world.started(fold.outgoing)
        fold.tell()

    async def _poisoned(self, ask: Ask, error: Exception) -> Fold | None:
        """Park the order of a row that was refused; None if not even that can be written."""
        log.error("poisoned", error=str(error), fact=str(ask.facts[:1])[:200])
        try:
            if isinstance(error, RowRefused):
                return await self._commit([ask], poisoned=str(error))
        except StoreUnavailable:
            raise
        except Exception as again:  # noqa: BLE001 - logged below
            error = again
        log.error("turn failed", exc_info=error)
        ask.fail(error)
        ask.folded = True
        return None

    async def _commit(self, batch: list[Ask], poisoned: str = "") -> Fold:
        buckets: frozenset[str] = frozenset()
        for _ in range(RETRIES):
            fold = Fold(self._world, batch, poisoned, buckets)
            try:
                async with self._store.turn() as turn:
                    await fold.read(turn)
                    fold.decide()
                    if missing := fold.caps_missing():
                        buckets |= missing
                        fold = await fold.again(turn, buckets)
                        fold.decide()
                        fold.caps_missing()
                    await turn.write(fold.batch)
                return fold
            except CapsGrew as grew:
                fold.undo()
                buckets |= grew.buckets
            except BoardChanged:
                fold.undo()
                await self._world.learn_board()
            except PeriodClosed:
                fold.undo()
                await self._world.learn_closed()
            except Retry:
                fold.undo()
            except BaseException:
                fold.undo()
                raise
        raise StoreUnavailable("the database kept refusing to serialise this turn; try again")
