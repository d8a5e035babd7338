"""What nobody pushes: leases that ran out, effects whose time has come, messages that came before
their order, deadlines, checkpoints, old raw bodies. One loop per process; rows decide, not memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from amends.core.facts import Addressed, EffectDue
from amends.engine.asks import Ask, decode_facts
from amends.engine.deliver import LEASE_US
from amends.engine.limits import Limit
from amends.engine.seals import Sealer
from amends.engine.turn import Turner
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND, Clock, Instant
from amends.store.spec import Claimed, Store, StoreUnavailable

log = structlog.get_logger()

PERIOD = 1 * SECOND  # the longest sleep: orphans of other processes are found this often
BREATH = SECOND // 100  # the shortest sleep
BEAT = 2 * SECOND
DEAD_AFTER = 10 * SECOND
UNMATCHED = 5 * SECOND
SEAL = 1 * MINUTE
DOCUMENTS = 10 * SECOND
DAYS = 10 * MINUTE  # how often it is looked whether a day is over
NUMBERED_AT_ONCE = 500
SETTLED = 10 * MINUTE  # older entries seldom come: balances kept then stay kept
RAW_KEPT = 30 * DAY  # raw inbound bodies (I15)
DEADLINES_AT_ONCE = 100


class Sweeper:
    """Claims what is due and feeds it to the turn."""

    def __init__(
        self,
        store: Store,
        turner: Turner,
        limits: Mapping[str, Limit],
        clock: Clock,
        holder: str,
        sealer: Sealer,
    ) -> None:
        self._store, self._turner, self._limits = store, turner, limits
        self._clock, self._holder, self._sealer = clock, holder, sealer
        self.period = PERIOD
        self.series = ""  # of the credit notes to number, "" if they are numbered elsewhere
        self.learn_usual: Callable[[], Awaitable[None]] | None = None
        self.tell_days: Callable[[], Awaitable[None]] | None = None
        self._wake = asyncio.Event()
        self._next_due: Instant | None = None
        self._done_at: dict[str, Instant] = {}
        self._stopping = False

    def scheduled(self, due: Instant) -> None:
        """An effect nobody holds is due then: wake in time."""
        if self._next_due is None or due < self._next_due:
            self._next_due = due
            self._wake.set()

    def room(self) -> None:
        """A request has ended: what waited for room may go."""
        if self._next_due is not None and self._next_due <= self._clock.now():
            self._wake.set()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Sweep until `stop`. A database that is away is waited for."""
        while not self._stopping:
            try:
                claimed = await self.claim()
                await self._chores()
            except StoreUnavailable as error:
                log.warning("sweep waits for the database", error=str(error))
                claimed = False
            except Exception:
                # A chore that fails is tried again at its next time; refunds go on meanwhile.
                log.exception("sweep failed and goes on")
                claimed = False
            if not claimed and not self._stopping:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until the next thing of ours is due, or a period at most."""
        now = self._clock.now()
        waits = [
            self.period,
            *(wait for limit in self._limits.values() if (wait := limit.wakes_in())),
        ]
        if self._next_due is not None and self._next_due > now:
            waits.append(self._next_due - now)
        pause = max(min(waits), BREATH)
        self._wake.clear()
        try:
            async with asyncio.timeout(pause * 1e-6):
                await self._wake.wait()
        except TimeoutError:
            return

    async def claim(self) -> bool:
        """Lease what is due, as far as the limits allow, and decide it; whether there was any."""
        self._next_due = None
        room = {name: n for name, limit in self._limits.items() if (n := limit.free())}
        now = self._clock.now()
        claims = await self._store.claim(
            self._holder, now, now + LEASE_US, {**room, "": DEADLINES_AT_ONCE}
        )
        waits = [(item, self._hand_in(item)) for item in claims]
        # Not those of a lost process: that a lease ran out must not be forgotten with the lease.
        unused = [(c.order, c.effect) for c, wait in waits if wait is None and not c.lost]
        if unused:
            await self._store.give_up(self._holder, unused)
        for _, wait in waits:
            if wait is not None:
                await asyncio.wait([wait])
        due = await self._store.next_due()
        if due is not None:
            self.scheduled(due)
        return bool(claims)

    def _hand_in(self, item: Claimed) -> asyncio.Future[object] | None:
        limit = self._limits.get(item.connection)
        if limit is not None and not limit.take():
            return None  # another start took the room meanwhile
        ask = Ask(
            (Addressed(EffectDue(item.effect, item.lost), order=item.order),),
            "system:sweep",
            asyncio.get_running_loop().create_future(),
            slot=item.connection if limit is not None else "",
        )
        told: asyncio.Future[object] = self._turner.submit(ask)  # type: ignore[assignment]
        told.add_done_callback(lambda done: self._after(done, ask.slot))
        return told

    def _after(self, done: asyncio.Future[object], slot: str) -> None:
        if done.exception() is not None and slot:
            self._limits[slot].give_back()

    async def _chores(self) -> None:
        now = self._clock.now()
        if self._is_time("beat", BEAT):
            live = await self._store.heartbeat(self._holder, now, now - DEAD_AFTER)
            for limit in self._limits.values():
                limit.processes = max(1, live)
        if self._is_time("unmatched", UNMATCHED):
            await self._match_late()
        if self._is_time("seal", SEAL):
            await self._sealer.seal()
        if self.series and self._is_time("documents", DOCUMENTS):
            await self._number()
        if self._is_time("balances", HOUR) and await self._store.last_kept() < now - DAY:
            await self._store.keep_balances(now - SETTLED)
        if self.tell_days is not None and self._is_time("days", DAYS):
            await self.tell_days()
        if self.learn_usual is not None and self._is_time("usual", HOUR):
            await self.learn_usual()
        if self._is_time("raw", HOUR):
            await self._store.expire_raw(now - RAW_KEPT)

    async def _number(self) -> None:
        """Credit notes get their numbers here, so that no refund waits for a counter."""
        done = NUMBERED_AT_ONCE
        while done == NUMBERED_AT_ONCE:
            now = self._clock.now()
            done = await self._store.number_documents(self.series, now, NUMBERED_AT_ONCE)

    def _is_time(self, chore: str, period: int) -> bool:
        now = self._clock.monotonic()
        if now - self._done_at.get(chore, -period) < period:
            return False
        self._done_at[chore] = now
        return True

    async def _match_late(self) -> None:
        """Messages that raced their order: their order is known by now."""
        for row in await self._store.unmatched_routed(100):
            ask = Ask(
                decode_facts(row.facts),
                row.actor,
                asyncio.get_running_loop().create_future(),
                message=row,
                late=True,
            )
            await self._turner.submit(ask)
