"""The composition root: clocks, ids, database, network and settings come together here only."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

import structlog
from msgspec.structs import replace

from amends.core.decision import Ctx, Daily, Terms
from amends.core.order import Order, shown_state
from amends.core.outlets import Outlet
from amends.core.parties import Split
from amends.core.policy import built_in
from amends.engine.board import Board, read_board, read_shops, reckon_shops
from amends.engine.certificates import Certificates
from amends.engine.clock import Ids, SystemClock, SystemIds
from amends.engine.config import Config, ConnectionConfig, amounts
from amends.engine.daybooks import tell_days
from amends.engine.deliver import LEASE_US, Deliverer
from amends.engine.drift import Drift, drifted
from amends.engine.drop import droppers
from amends.engine.http import HttpTransport, Transport
from amends.engine.limits import Limit
from amends.engine.mail import mailers
from amends.engine.notify import kinds_told, subscribers
from amends.engine.outbox import Outbox, Sender
from amends.engine.rates import configured, daily
from amends.engine.seals import Sealer, Unsealable
from amends.engine.sweep import Sweeper
from amends.engine.turn import Turner
from amends.engine.world import Outgoing
from amends.gateways.registry import CAPABILITIES
from amends.gateways.spec import Capabilities
from amends.kernel.money import Rate
from amends.kernel.time import Clock, Instant
from amends.store.spec import Store, StoreUnavailable

log = structlog.get_logger()

# A refund that is here has nothing more coming soon: whoever waits for it is answered.
RESTING = (
    *("succeeded", "failed", "canceled", "declined", "review", "pending", "requires_action"),
    *("held", "combined"),
)


class Engine:
    """One process's engine. `start` begins to turn (and, for servers and workers, to sweep)."""

    lease_us = LEASE_US

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        transport: Transport | None = None,
        sends: bool = True,
    ) -> None:
        self.config, self.store = config, store
        self.clock: Clock = clock or SystemClock()
        self.ids: Ids = ids or SystemIds()
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{self.ids.new()[-8:]}"
        self._sends = sends
        self.connections = _connections(config)
        self.limits = {
            name: Limit(c.rate, c.concurrency, self.clock)
            for name, c in self.connections.items()
            if _able(c).provider
        }
        self._terms = {name: _terms(self.connections[name]) for name in self.limits}
        self._splits = _splits(self.connections)
        self._outlets = tuple(_outlets(self.connections))
        self.subscribers = subscribers({n: c.settings for n, c in self.connections.items()})
        policy = config.policy
        self._policy = built_in(
            policy.auto_approve_up_to, policy.second_person, amounts(policy), policy.fallback
        )
        self.board = Board()
        self.drift: Drift | None = None  # as it was reckoned last, here
        self.turner = Turner(store, self)
        self.transport: Transport = transport or HttpTransport()
        self.certificates = Certificates(self.transport, self.clock)
        self.sealer = Sealer(store, config.audit_dir, self.clock)
        self.sweeper = Sweeper(
            store, self.turner, self.limits, self.clock, self.holder, self.sealer
        )
        self.sweeper.learn_usual = self.learn_usual
        if any("books" in outlet.takes for outlet in self._outlets):
            self.sweeper.tell_days = self.tell_days
        if config.ledger.credit_note_issuer == "amends":
            self.sweeper.series = config.ledger.credit_note_series
        self.deliverer = Deliverer(
            self.connections, self.limits, self.transport, self.clock, self.sweeper.room
        )
        self.outbox = Outbox(
            store,
            self.connections,
            self.transport,
            self.clock,
            self.holder,
            self._senders(),
            self.new_id,
        )
        self._waiters: dict[str, list[asyncio.Future[Order | None]]] = {}
        self._closed: Mapping[str, str] = {}  # what it does not know of, the database refuses
        self.hurried = asyncio.Event()  # whoever keeps a connection open ends it
        self._tasks: list[asyncio.Task[None]] = []

    def _senders(self) -> dict[str, Sender]:
        folder, books = self.config.path.parent, self.config.ledger.functional_currency
        mails = mailers(self.store, self.connections, folder, self.clock)
        return {**mails, **droppers(self.connections, folder, books, self.config.accounts)}

    # -- what a fold needs (World) -------------------------------------------------------------

    def ctx(self, now: Instant) -> Ctx:
        books = self.config.ledger
        policy, earlier = self.board.in_force(self._policy, now)
        return Ctx(
            now,
            policy,
            books.functional_currency,
            self._terms,
            self._rates,
            self._closed,
            books.captures,
            self._splits,
            self._daily,
            books.write_off_up_to,
            earlier,
            self.board.shadows,
            self.board.stops,
            scorer=self.board.scorer,
            shops=self.board.shops,
            outlets=self._outlets,
        )

    async def learn_board(self) -> None:
        """Another process, or a person here, changed what decisions are made by."""
        self.board = await read_board(self.store, self._policy, self.clock)

    async def learn_shops(self) -> None:
        """What is usual at each shop is reckoned anew."""
        await reckon_shops(self.store, self.clock.now())
        self.board = replace(self.board, shops=await read_shops(self.store))

    async def learn_drift(self) -> None:
        """Whether what is judged has moved from what the model was made of."""
        self.drift = await drifted(self.store, self.clock.now())

    async def tell_days(self) -> None:
        """ERPs are told what was booked on days that are over."""
        functional, now = self.config.ledger.functional_currency, self.clock.now()
        if await tell_days(self.store, self._outlets, functional, now):
            self.outbox.wake()

    async def learn_usual(self) -> None:
        """What a server learns anew each hour."""
        await self.learn_shops()
        await self.learn_drift()

    async def learn_closed(self) -> None:
        """A period was closed by another process."""
        self._closed = await self.store.closed()

    @cached_property
    def _rates(self) -> Mapping[str, Rate]:
        return configured(self.config.ledger)

    @cached_property
    def _daily(self) -> Daily | None:
        return daily(self.config.ledger, self.config.path.parent)

    def new_id(self) -> str:
        return self.ids.new()

    def take(self, connection: str) -> bool:
        return self._sends and connection in self.limits and self.limits[connection].take()

    def give_back(self, connection: str) -> None:
        self.limits[connection].give_back()

    def started(self, outgoing: list[Outgoing]) -> None:
        self.deliverer.start(outgoing, self.turner)

    def told(self, connections: Iterable[str]) -> None:
        if self._sends:
            self.outbox.told(connections)

    def scheduled(self, due: Instant) -> None:
        if self._sends:
            self.sweeper.scheduled(due)

    def moved(self, orders: Iterable[Order], refunds: Iterable[tuple[str, str]]) -> None:
        if not self._waiters:
            return
        by_id = {order.id: order for order in orders}
        for order_id, refund_id in refunds:
            waiters = self._waiters.get(refund_id)
            order = by_id.get(order_id)
            refund = order.refund(refund_id) if order else None
            if order and waiters and refund and shown_state(refund) in RESTING:
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(order)

    # -- life ----------------------------------------------------------------------------------

    async def start(self, sweep: bool = True) -> None:
        """Begin to turn; with `sweep` also to take over what is due."""
        self.ctx(self.clock.now())  # reads the rates, which takes long, before anybody waits
        self._tasks.append(asyncio.create_task(self.turner.run(), name="turner"))
        if sweep:
            self.sealer.prepare()
            self._tasks.append(asyncio.create_task(self.sweeper.run(), name="sweeper"))
            if self._outlets:
                self._tasks.append(asyncio.create_task(self.outbox.run(), name="outbox"))

    async def stop(self) -> None:
        """Stop in order: no new effects, answers of those on the wire, the last turn, the seal."""
        sweeping = [task for task in self._tasks if task.get_name() == "sweeper"]
        self._sends = False
        self.turner.leave()
        self.sweeper.stop()
        self.outbox.stop()
        await asyncio.gather(*sweeping)  # what it claimed last is handed in before the turner ends
        await self.deliverer.drain()
        self.turner.stop()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        await self.transport.close()
        if sweeping:
            await self._last_seal()

    async def _last_seal(self) -> None:
        try:
            await self.sealer.seal()
        except (StoreUnavailable, Unsealable, OSError) as error:
            log.warning("stopped without a last seal", error=str(error))

    @property
    def alive(self) -> bool:
        """Whether this process takes asks and turns."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def over(self) -> None:
        """Until a task of the engine has ended: by `stop`, or by a defect, which is raised."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def hurry(self) -> None:
        """Whoever waits for an end state is answered with what there is: the process will stop."""
        self.hurried.set()
        for told in [told for waiters in self._waiters.values() for told in waiters]:
            if not told.done():
                told.set_result(None)

    async def wait_for(self, refund_id: str, seconds: float) -> Order | None:
        """The order once the refund rests, as far as this process sees; None if the time is over
        before."""
        if self.hurried.is_set():
            return None
        told: asyncio.Future[Order | None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(refund_id, []).append(told)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await told
            return None
        finally:
            self._waiters[refund_id].remove(told)
            if not self._waiters[refund_id]:
                del self._waiters[refund_id]


def _connections(config: Config) -> Mapping[str, ConnectionConfig]:
    return config.connections


def _splits(connections: Mapping[str, ConnectionConfig]) -> dict[str, Split]:
    found = {}
    for name, connection in connections.items():
        able = _able(connection)
        if able.split is not None:
            steps = tuple(sorted(able.multiple_of.items()))
            found[name] = replace(able.split, multiple_of=steps)
    return found


def _able(connection: ConnectionConfig) -> Capabilities:
    return CAPABILITIES[connection.settings.gateway]


def _outlets(connections: Mapping[str, ConnectionConfig]) -> Iterator[Outlet]:
    for name, connection in connections.items():
        able = _able(connection)
        takes = frozenset(able.takes)
        if connection.settings.gateway == "webhook":
            takes = kinds_told(connection.settings)
        if takes:
            yield Outlet(name, takes, connection.entity, able.own_orders)


def _terms(connection: ConnectionConfig) -> Terms:
    able = _able(connection)
    return Terms(
        key_ttl=able.key_ttl,
        lookup_delay=able.lookup_delay,
        indeterminate_after=connection.indeterminate_after,
        lookup=able.lookup,
        void=able.void,
        release_part=able.release_part,
        reversal=able.reversal,
        multiple_of=tuple(sorted(able.multiple_of.items())),
        methods=able.methods,
        arrivals=able.arrivals,
    )
