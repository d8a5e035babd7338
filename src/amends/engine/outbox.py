"""Tellings out: what a turn decided to tell others is told in the order in which it was decided,
party by party, until each has taken it. Nothing here moves money, and no refund waits for it.

A telling is a conversation (`Outlet.talk`), broken off when its lease is nearly over and begun anew
by whoever takes it next: the party is asked for our key before anything is made. A party that
cannot be reached keeps every telling in its place, so that it catches up in order, and is tried
again before long; one that does not understand a telling has that one told later and later; one
that refuses it for good leaves it to a person, and what comes after it for the same order waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog
from msgspec.structs import replace

from amends.core.outlets import Happened, Telling
from amends.engine import endpoints
from amends.engine.clock import SystemIds
from amends.engine.config import ConnectionConfig
from amends.engine.http import Transport
from amends.engine.limits import Limit
from amends.engine.notify import Health, after, enabled, next_try
from amends.gateways.codecs import blank_people
from amends.gateways.registry import OUTLETS
from amends.gateways.spec import Failure, Response, Settings, Talk
from amends.gateways.subscriber import disable_after, schedule
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import HOUR, MINUTE, SECOND, Clock, Instant
from amends.store.outbox_spec import Came, Due, State
from amends.store.spec import Store, StoreUnavailable

log = structlog.get_logger()

LEASE = 60 * SECOND
SPARE = 5 * SECOND  # of a lease, that a conversation without requests of ours is not given
TIMEOUT_SECONDS = 10  # of one request of a conversation
REQUESTS_MAX = 100  # of one conversation
PERIOD = 1 * SECOND  # the longest sleep: other processes' tellings are found this often
AT_ONCE = 8  # conversations with one party that can have several
SAID_MAX = 500  # characters of what a party says
WRITER = 5 * SECOND  # how often a process asks to be a party's one writer
LOOK = 5 * SECOND  # how often the settings are read for which endpoints are disabled
LATER = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR)
AWAY = (  # half an hour of half minutes, then less often: it may be a day
    *(1 * SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND),
    *(30 * SECOND,) * 60,
    5 * MINUTE,
)


class Sender(Protocol):
    """Whoever speaks for a gateway that no conversation of requests serves."""

    async def send(self, telling: Telling, settings: Settings) -> Outcome: ...


class Outbox:
    """One process's conversations with outlets."""

    def __init__(
        self,
        store: Store,
        connections: Mapping[str, ConnectionConfig],
        transport: Transport,
        clock: Clock,
        holder: str,
        senders: Mapping[str, Sender] | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """`senders` by gateway; `new_id` names what goes on the trail."""
        self._new_id = new_id or SystemIds().new
        self._store, self._transport, self._clock = store, transport, clock
        self._holder, self._senders = holder, senders or {}
        self._connections = {
            name: c
            for name, c in connections.items()
            if c.settings.gateway in OUTLETS or c.settings.gateway in self._senders
        }
        self._limits = {
            name: Limit(c.rate, 1 if self._alone(c) else min(c.concurrency, AT_ONCE), clock)
            for name, c in self._connections.items()
        }
        self.period = PERIOD
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[Came] = []
        self._away: Counter[str] = Counter()  # fruitless conversations in a row
        self._asked_at: dict[str, Instant] = {}
        self._first: Instant | None = None  # when the next is ready, as it was seen last
        self._writer: set[str] = set()
        self._endpoints = {
            name: Endpoint(c.settings)
            for name, c in self._connections.items()
            if c.settings.gateway == "webhook"
        }
        self._shut: list[str] = []  # disabled here, and not stored yet
        self._looked_at: Instant | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self.outcomes: Counter[tuple[str, str]] = Counter()  # by connection and kind of outcome
        self.answered_at: dict[str, Instant] = {}

    def _alone(self, connection: ConnectionConfig) -> bool:
        outlet = OUTLETS.get(connection.settings.gateway)
        return outlet is not None and outlet.CAPABILITIES.one_writer

    # -- life ------------------------------------------------------------------------------------

    def told(self, connections: Iterable[str]) -> None:
        """There is something to tell these."""
        if not self._connections.keys().isdisjoint(connections):
            self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`; then until what is said was answered."""
        while not self._stopping and self._connections:
            try:
                await self._settle()
                if any(map(self._is_off, self._endpoints)):
                    await self.look()
                await self.claim()
                await self._rest()
            except StoreUnavailable as error:
                log.warning("outbox: the database is away", error=str(error))
                await self._wait(self.period)
            except Exception:
                # What was not stored is told again as its lease ends; the parties know its key.
                log.exception("the outbox failed and goes on")
                await self._wait(self.period)
        while self._tasks:
            await asyncio.wait(self._tasks)
        try:
            await self._settle()
        except StoreUnavailable as error:
            log.warning("outbox: outcomes not stored; the leases run out", error=str(error))

    async def _rest(self) -> None:
        waits = [self.period, *(w for x in self._limits.values() if (w := x.wakes_in()))]
        if self._first is not None and self._first > self._clock.now():
            waits.append(self._first - self._clock.now())
        if not self._ended:
            await self._wait(min(waits))

    async def _wait(self, pause: int) -> None:
        """So long, or until there is something to do."""
        try:
            async with asyncio.timeout(max(pause, SECOND // 100) * 1e-6):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def _settle(self) -> None:
        """Store what came of conversations that have ended, and which endpoints were disabled."""
        while self._shut:
            name = self._shut[0]
            health = self._endpoints[name].health
            await endpoints.disable(self._store, self._new_id, health)
            self._shut.pop(0)
        ended, self._ended = self._ended, []
        try:
            await self._store.came(self._holder, ended, self._clock.now())
        except StoreUnavailable:
            self._ended = ended + self._ended
            raise

    async def look(self) -> None:
        """Which endpoints are disabled, by whichever process or person."""
        now = self._clock.monotonic()
        if not self._endpoints or now - (self._looked_at or now - LOOK) < LOOK:
            return
        self._looked_at = now
        known = await endpoints.disabled(self._store)
        for name, endpoint in self._endpoints.items():
            endpoint.learn(known.get(name))

    # -- telling ---------------------------------------------------------------------------------

    async def claim(self) -> bool:
        """Lease what is due, as far as there is room, and begin to tell it; whether there was
        any."""
        room = {
            name: 1 if self._away[name] else n  # who cannot be reached is tried with one
            for name, limit in self._limits.items()
            if (n := limit.free()) and not self._is_off(name)
        }
        for name in [name for name in room if self._alone(self._connections[name])]:
            if not await self._is_writer(name):
                del room[name]
        # The lease begins before it is taken: a slow database must not make it longer for us.
        now, until = self._clock.now(), self._clock.monotonic() + LEASE
        self._first = await self._store.next_tell(list(room)) if room else None
        if self._first is None or self._first > now:
            return False  # seen without the write lock: most of the time nothing is due
        await self.look()
        room = {name: n for name, n in room.items() if not self._is_off(name)}
        found = await self._store.claim_tells(self._holder, now, now + LEASE, room)
        for due in found:
            self._limits[due.connection].take()
            task = asyncio.create_task(self._deliver(due, until))
            self._tasks.add(task)
            task.add_done_callback(self._over)
        return bool(found)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    def _is_off(self, name: str) -> bool:
        endpoint = self._endpoints.get(name)
        return endpoint is not None and bool(endpoint.health.disabled_at)

    async def _is_writer(self, name: str) -> bool:
        """Whether we are its one writer; who is not asks now and then."""
        now = self._clock.monotonic()
        if name not in self._writer and now - self._asked_at.get(name, -WRITER) < WRITER:
            return False
        self._asked_at[name] = now
        if await self._store.hold_writer(name):
            self._writer.add(name)
            return True
        self._writer.discard(name)
        return False

    async def _deliver(self, due: Due, until: Instant) -> None:
        outcome: Outcome
        try:
            outcome = await self._tell(due, until)
        except Exception:
            log.exception("telling failed", order=due.order, number=due.number)
            outcome = Unknown("a defect while telling; it has been logged", alert=True)
        outcome = storable(outcome)
        self.outcomes[(due.connection, type(outcome).__name__.lower())] += 1
        self._limits[due.connection].ended(True)
        self._ended.append(self._came(due, outcome))

    async def _tell(self, due: Due, until: Instant) -> Outcome:
        connection = self._connections[due.connection]
        sender = self._senders.get(connection.settings.gateway)
        if sender is not None:
            try:
                async with asyncio.timeout((until - self._clock.monotonic() - SPARE) * 1e-6):
                    return await sender.send(due.telling, connection.settings)
            except TimeoutError:
                return Unknown("the conversation took longer than its lease")
        outlet = OUTLETS[connection.settings.gateway]
        talk = outlet.talk(due.telling, connection.settings, self._clock.now())
        return await self._converse(talk, until)

    async def _converse(self, talk: Talk, until: Instant) -> Outcome:
        """Carry the conversation on until it has an outcome, or the lease is nearly over."""
        answer: Response | Failure | None = None
        for _ in range(REQUESTS_MAX):
            try:
                request = next(talk) if answer is None else talk.send(answer)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if self._clock.monotonic() + TIMEOUT_SECONDS * SECOND > until:
                talk.close()
                return Unknown("the conversation took longer than its lease")
            answer = await self._transport.send(request, TIMEOUT_SECONDS)
        talk.close()
        return Unknown("the conversation does not end", alert=True)

    def _came(self, due: Due, outcome: Outcome) -> Came:
        """What becomes of the telling: done, a person's, or again."""
        now, name = self._clock.now(), due.connection
        endpoint = self._endpoints.get(name)
        if not isinstance(outcome, NotSent):
            self._away[name] = 0
        if endpoint is not None and isinstance(due.telling, Happened):
            came = endpoint.came(due, outcome, now)
            if endpoint.is_news:
                self._shut.append(name)
            return came
        if isinstance(outcome, NotSent):
            # What the row has seen counts too: a process that starts meanwhile is no new hope.
            self._away[name] = max(self._away[name], due.attempts) + 1
            step = AWAY[min(self._away[name], len(AWAY)) - 1]
            self._limits[name].pause(max(step, outcome.retry_after), AWAY[-1])
            return Came(due.order, due.number, "open", due.at, detail=outcome.reason)
        self.answered_at[name] = now
        if isinstance(outcome, Accepted):
            return Came(due.order, due.number, "done", now, outcome.reference)
        if isinstance(outcome, Declined):
            said = f"{outcome.code}: {outcome.text}" if outcome.text else outcome.code
            log.warning("an outlet refused a telling", order=due.order, connection=name, why=said)
            return Came(due.order, due.number, "stuck", now, outcome.reference, said)
        later = max(LATER[min(due.attempts, len(LATER) - 1)], outcome.retry_after)
        return Came(due.order, due.number, "open", now + later, detail=outcome.reason)


def storable(outcome: Outcome) -> Outcome:
    """The outcome, its words as they may be kept: one line, not long, with no character that a
    database would not take, and nobody's address or card (I15). Parties say what they like."""
    if isinstance(outcome, Accepted):
        return replace(outcome, reference=_kept(outcome.reference))
    if isinstance(outcome, Declined):
        names = {name: _kept(getattr(outcome, name)) for name in ("code", "text", "reference")}
        return replace(outcome, **names)
    return replace(outcome, reason=_kept(outcome.reason))


def _kept(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    return blank_people(" ".join(printable.split()))[:SAID_MAX]


class Endpoint:
    """A subscriber's endpoint: how it does, as far as this process has seen, and when an event that
    it did not take is sent again. One that is disabled, here (`is_news`, with the event that ended
    it) or by another process, keeps what is open until a person enables it."""

    def __init__(self, settings: Settings) -> None:
        self.health, self.is_news = Health(settings.name), False
        self._pauses, self._patience = schedule(settings), disable_after(settings)

    def learn(self, stored: Health | None) -> None:
        """What the database knows of it, which is what counts."""
        if stored is not None:
            self.health = stored
        elif self.health.disabled_at:
            self.health = enabled(self.health)

    def came(self, due: Due, outcome: Outcome, now: Instant) -> Came:
        """What becomes of an event."""
        before, self.health = self.health, after(self.health, outcome, now, self._patience)
        self.is_news = bool(self.health.disabled_at and not before.disabled_at)
        if self.is_news:
            log.error("an endpoint was disabled", connection=due.connection, why=self.health.why)
        if isinstance(outcome, Accepted):
            return Came(due.order, due.number, "done", now, outcome.reference)
        if isinstance(outcome, Declined):
            state: State = "open" if outcome.code == "gone" else "dropped"
            why = outcome.text or outcome.code
            return Came(due.order, due.number, state, now, "", why)
        again = next_try(self._pauses, due.attempts + 1, due.telling.key, now, outcome.retry_after)
        if again is None:
            why = f"given up after {due.attempts + 1} tries: {outcome.reason}"
            return Came(due.order, due.number, "dropped", now, "", why)
        return Came(due.order, due.number, "open", again, "", outcome.reason)
