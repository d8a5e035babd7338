"""One simulated process: the real engine, its own skewed clock, its own way to end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from amends.core.facts import PaidOutside
from amends.core.order import Order
from amends.core.quote import Quote
from amends.core.reasons import SENTENCES, Reason, Refused
from amends.core.requests import OrderIn, RefundIn
from amends.engine import actions, review_desk
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result, Told
from amends.engine.config import Config
from amends.engine.intake import receive
from amends.engine.wiring import Engine
from amends.kernel.ids import encode
from amends.kernel.time import DAY, SECOND, Instant
from amends.sim.play.bridge import Bridge, BridgedStore, Point
from amends.store.spec import Batch, Store, StoreUnavailable

if TYPE_CHECKING:
    from amends.sim.play.network import Wire

T = TypeVar("T")

START = 1_790_000_000  # Unix seconds at which every world begins


def _approve(engine: Engine, caller: Caller, refund: str) -> Coroutine[Any, Any, Told]:
    return review_desk.approve(engine, caller, "admin", refund)


_ACTS: dict[str, Callable[[Engine, Caller, str], Coroutine[Any, Any, Told]]] = {
    "approve": _approve,
    "decline": review_desk.decline,
    "cancel": actions.cancel,
    "retry": actions.retry,
}


class Gone(Exception):
    """The process ended while it was asked: nobody knows what became of it."""


class SimClock:
    """A machine's clock: virtual time and the machine's own error, in microseconds."""

    def __init__(self, skew_us: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self.skew_us = skew_us

    def now(self) -> Instant:
        return START * SECOND + round(self._loop.time() * SECOND) + self.skew_us

    def monotonic(self) -> Instant:
        return round(self._loop.time() * SECOND)


class Numbers:
    """Ids in the order in which they are made, over all processes of a world."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def new(self) -> str:
        return encode("", next(self._next).to_bytes(16, "big"))[1:]

    def salt(self) -> str:
        return f"{next(self._next):032x}"


class Node:
    """A process. `sends` False: a command beside the server, which leaves effects to others;
    `alone` False: there may be other processes that send."""

    def __init__(
        self,
        name: str,
        config: Config,
        store: Store,
        bridge: Bridge,
        point: Callable[[Node, str], Coroutine[Any, Any, None]],
        tell: Callable[[Node, Batch], None],
        ids: Numbers,
        wire: Wire,
        prng: Random,
        skew_us: int = 0,
        sends: bool = True,
        alone: bool = True,
    ) -> None:
        async def pass_point(where: str) -> None:
            await point(self, where)

        def told(batch: Batch) -> None:
            tell(self, batch)

        self.name, self.sends = name, sends
        self.gone = asyncio.get_running_loop().create_future()
        self.wire, self.prng = wire, prng
        wire.passing = pass_point
        passing: Point = pass_point
        bridged: Any = BridgedStore(store, bridge, passing, told)
        clock = SimClock(skew_us)
        self.engine = Engine(config, bridged, clock=clock, ids=ids, transport=wire, sends=sends)
        self.engine.sweeper.period = 365 * DAY  # `stir` wakes it when there is a reason
        self.engine.outbox.period = 365 * DAY
        self._every = (300,) if alone else (60, 300)
        self._stirs: set[int] = set()
        self.tired_s = 0.0  # falls asleep after its next commit, for so long
        self._awake = asyncio.Event()
        self._awake.set()
        self._away = asyncio.Event()  # asleep for longer than anybody waits for an answer
        self._unheard: set[asyncio.Task[Any]] = set()

    @property
    def alive(self) -> bool:
        return not self.gone.done()

    @property
    def serves(self) -> bool:
        """Whether somebody who asks gets an answer here, if not at once."""
        return self.alive and not self._away.is_set()

    async def doze(self, until: Coroutine[Any, Any, Any], away: bool) -> None:
        """The machine stands still; what it was about to do it does afterwards. `away`: callers
        give up and ask elsewhere."""
        self._awake.clear()
        if away:
            self._away.set()
        try:
            await until
        finally:
            self._away.clear()
            self._awake.set()

    async def awake(self) -> None:
        await self._awake.wait()

    async def start(self) -> None:
        await self.engine.start(sweep=self.sends)

    def stir(self) -> None:
        """Something was committed somewhere: look soon for what another process left, and in a
        while for chores. A real sweeper looks every second; here an idle month costs nothing, and
        what is due by itself wakes the sweeper in time as ever."""
        loop = asyncio.get_running_loop()
        for every in self._every:
            second = (int(loop.time()) // every + 1) * every
            if self.sends and second not in self._stirs:
                self._stirs.add(second)
                loop.call_at(float(second), self._look, second)

    def _look(self, second: int) -> None:
        self._stirs.discard(second)
        if self.alive:
            self.engine.sweeper.wake()
            self.engine.outbox.wake()

    async def kill(self) -> None:
        """The process is gone at once: its transactions are undone, its callers hear nothing."""
        if not self.alive:
            return
        self.gone.set_result(None)
        sent = {*self.engine.deliverer._tasks, *self.engine.outbox._tasks}
        own = {*self.engine._tasks, *sent, *self._unheard}
        tasks = sorted(own, key=_number)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def quiet(self) -> bool:
        """Whether nothing is queued, being turned or on the wire here."""
        outbox = self.engine.outbox
        telling = bool(outbox._tasks or outbox._ended)
        return self.engine.turner.idle and not self.engine.deliverer._tasks and not telling

    # -- doors ---------------------------------------------------------------------------------

    async def _answer(self, work: Coroutine[Any, Any, T]) -> T:
        """What a caller hears. Raises Gone when the process ends first, or sleeps for long: then it
        does the work all the same when it wakes up."""
        task = asyncio.ensure_future(work)
        away = asyncio.ensure_future(self._away.wait())
        await asyncio.wait((task, self.gone, away), return_when=asyncio.FIRST_COMPLETED)
        away.cancel()
        if task.done():
            return task.result()
        if self.alive:
            self._unheard.add(task)
            task.add_done_callback(self._forget)
        else:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        raise Gone(self.name)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._unheard.discard(task)
        if not task.cancelled():
            task.exception()

    async def refund(self, actor: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """`POST /v1/refunds`: status and body. 503 is a database that is away."""

        async def ask() -> tuple[int, Any]:
            request = msgspec.convert(body, RefundIn)
            caller = Caller(actor, actor, "POST /v1/refunds", key, render)
            told = await actions.request_refund(self.engine, caller, request)
            if told.mismatch:
                return 409, {"code": "key_reused", "field": told.mismatch}
            answer = told.answer or told.rendered  # what is not kept (a 404) is only rendered
            assert answer is not None
            return answer.status, json.loads(answer.body)

        return await self._answer(_said(ask()))

    async def quote(self, actor: str, body: dict[str, Any]) -> tuple[int, Any]:
        """`POST /v1/quotes`."""

        async def ask() -> tuple[int, Any]:
            request = msgspec.convert(body, RefundIn)
            told = await actions.make_quote(self.engine, Caller(actor, actor), request, show)
            assert told.rendered is not None
            return told.rendered.status, json.loads(told.rendered.body)

        return await self._answer(_said(ask()))

    async def report(self, report: dict[str, Any], actor: str) -> tuple[int, Any]:
        """`POST /v1/orders`."""

        async def tell() -> tuple[int, Any]:
            told = await actions.report_order(
                self.engine, Caller(actor, actor), msgspec.convert(report, OrderIn)
            )
            (result,) = told.results
            answer = render(result)
            return answer.status, json.loads(answer.body)

        return await self._answer(_said(tell()))

    async def act(self, what: str, actor: str, refund: str) -> tuple[int, Any]:
        """`POST /v1/refunds/{id}/approve|decline|cancel|retry`."""

        async def do() -> tuple[int, Any]:
            told = await _ACTS[what](self.engine, Caller(actor, actor), refund)
            (result,) = told.results
            answer = render(result)
            return answer.status, json.loads(answer.body)

        return await self._answer(_said(do()))

    async def tell_again(self, order: str, number: int) -> tuple[int, Any]:
        """What a person does with a telling that was refused, once that is mended."""

        async def do() -> tuple[int, Any]:
            now = self.engine.clock.now()
            moved = await self.engine.store.move_tell(order, number, "open", now)
            self.engine.outbox.wake()
            return 200, {"moved": moved}

        return await self._answer(_said(do()))

    async def payout(self, actor: str, refund: str, body: dict[str, Any]) -> tuple[int, Any]:
        """`POST /v1/refunds/{id}/payout`: somebody has paid it by other means."""

        async def do() -> tuple[int, Any]:
            fact = PaidOutside(refund, **body)
            told = await actions.payout(self.engine, Caller(actor, actor), fact)
            (result,) = told.results
            answer = render(result)
            return answer.status, json.loads(answer.body)

        return await self._answer(_said(do()))

    async def close(self, month: str) -> tuple[int, Any]:
        """`amends ledger close`."""

        async def do() -> tuple[int, Any]:
            await actions.close_period(self.engine, month, "main", "cli:books")
            return 201, {}

        return await self._answer(_said(do()))

    async def hear(self, connection: str, raw: bytes, headers: Mapping[str, str]) -> int:
        """`POST /webhooks/{connection}`: the status."""

        async def take() -> tuple[int, Any]:
            lower = {name.lower(): value for name, value in headers.items()}
            told = await receive(self.engine, connection, raw, lower)
            return 200, {"duplicate": told.duplicate}

        status, _ = await self._answer(_said(take()))
        return status


SAID = {
    Reason.SIGNATURE_INVALID: 401,
    Reason.UNKNOWN_ORDER: 404,
    Reason.CERTIFICATE_AWAY: 503,
}


async def _said(work: Coroutine[Any, Any, tuple[int, Any]]) -> tuple[int, Any]:
    """An answer as a door would give it."""
    try:
        return await work
    except Refused as refused:
        code = refused.refusal.reason
        return SAID.get(code, 409), {"code": str(code), **refused.refusal.extra}
    except StoreUnavailable as error:
        return 503, {"code": "unavailable", "detail": str(error)}


def render(result: Result) -> Rendered:
    """An answer of the REST door, without its prose."""
    if result.refused is not None:
        code = result.refused.reason
        assert code in SENTENCES
        return Rendered(409, json.dumps({"code": str(code), **result.refused.extra}).encode())
    if result.unmatched:
        return Rendered(404, json.dumps({"code": str(Reason.UNKNOWN_ORDER)}).encode(), keep=False)
    order = result.order.id if result.order else ""
    body = {"id": result.refund or order, "order": order, "parked": result.parked}
    return Rendered(201, json.dumps(body).encode())


def show(order: Order, quote: Quote, name: str, ends: Instant) -> Rendered:
    """A quote, without its prose."""
    body = {"id": name, "order": order.id, "amount": quote.amount, "ends": ends}
    return Rendered(201, json.dumps(body).encode())


def _number(task: asyncio.Task[None]) -> tuple[int, str]:
    """Tasks in the order in which they were made."""
    name = task.get_name()
    digits = name.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else -1, name)


def prng_of(seed: int, *parts: object) -> Random:
    """A source of its own for each thing, so that leaving one out changes no other."""
    return Random(f"{seed}:{':'.join(str(part) for part in parts)}")
