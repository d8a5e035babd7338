"""The wire between simulated processes and the provider's look-alike, and all that happens on it.

A request that has left arrives, whatever becomes of the process that sent it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from amends.gateways.spec import Failure, Request, Response
from amends.sim import wire
from amends.sim.play.node import START
from amends.sim.play.trouble import Troubles
from amends.sim.stripe import StripeWorld

KEY_AGE_S = 24 * 3600  # how long Stripe keeps keys
SILENCE_S = 26 * 3600
WAY_S = (0.004, 0.060)  # one way over the wire

T = TypeVar("T")

Deliver = Callable[[wire.Delivery, bool], Coroutine[Any, Any, None]]
Say = Callable[[str, str], None]
Ended = Callable[[asyncio.Task[Any]], None]
FAULTS: dict[str, dict[str, Any]] = {
    "rate_limit": {"kind": "rate_limit", "retry_after": 2},
    "lock_timeout": {"kind": "lock_timeout"},
    "unavailable": {"kind": "unavailable", "retry_after": 1},
    "error_500_undone": {"kind": "error_500", "after_work": False},
    "error_500_done": {"kind": "error_500", "after_work": True},
    "webhook_before_answer": {"kind": "webhook_before_answer"},
}


class Provider:
    """The look-alike in the simulated world: its requests, its webhooks, its outages."""

    def __init__(self, troubles: Troubles, say: Say, deliver: Deliver, ended: Ended) -> None:
        self._ended = ended  # told of every task that is over
        self._loop = asyncio.get_running_loop()
        self.troubles, self._say, self._deliver = troubles, say, deliver
        self.world = StripeWorld(self.now, troubles.prng("", "provider"))
        self.outage_until = 0.0
        self._silent: dict[str, float] = {}  # order number: until when
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.on_wire = 0
        self.sent = 0

    def now(self) -> float:
        return START + self._loop.time()

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        """A command to the look-alike. Raises CommandRefused."""
        try:
            return self.world.control({"op": op, **command})
        finally:
            self._changed.set()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Something that goes on whatever process ends."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._ended)
        return task

    # -- requests ------------------------------------------------------------------------------

    def number_of(self, payment: str) -> str:
        """The order of a payment or a charge: both are named after their order here."""
        return payment.partition("_")[2]

    def number(self, request: Request) -> str:
        parts = urlsplit(request.url)
        form = parse_qs(parts.query) | parse_qs(request.body.decode())
        for name in (*form.get("payment_intent", ()), *parts.path.split("/")):
            if name.startswith("pi_"):
                return self.number_of(name)
        return ""

    async def carry(self, request: Request, timeout_s: float) -> Response | Failure:
        """One request and its answer, if there is one."""
        number = self.number(request)
        self.sent += 1
        self.on_wire += 1
        what = f"{request.method} {urlsplit(request.url).path.removeprefix('/stripe')}"
        try:
            way = self.start(self._way(request, number, timeout_s))
            answer, kind = await asyncio.shield(way)
        finally:
            self.on_wire -= 1
        if kind:
            self.troubles.struck(kind, number)
        told = str(answer.status) if isinstance(answer, Response) else answer.reason
        self._say(number, f"sent {what}: {told}{f' ({kind})' if kind else ''}")
        return answer

    async def _way(
        self, request: Request, number: str, timeout_s: float
    ) -> tuple[Response | Failure, str]:
        prng = self.troubles.prng(number, "way")
        await asyncio.sleep(prng.uniform(*WAY_S))
        if self.outage_until > self._loop.time():
            self.troubles.touch(number, "outage")
            return Failure(False, "no connection: refused"), ""
        silent = self._silent.get(number, 0.0)
        if silent > self._loop.time() and self.troubles.on:
            return Failure(False, "no connection: refused"), ""
        if silent:
            del self._silent[number]
            if silent <= self._loop.time():
                self.troubles.struck("key_pruned", number)
        kind = self.troubles.request(number)
        return await self._strike(kind, request, number, timeout_s)

    async def _strike(
        self, kind: str, request: Request, number: str, timeout_s: float
    ) -> tuple[Response | Failure, str]:
        post = request.method == "POST"
        if kind == "refused":
            return Failure(False, "no connection: refused"), kind
        if kind == "lost_request":
            return Failure(True, "connection lost: lost on the way"), kind
        if kind == "slow_request":
            self.start(self._arrive(request, timeout_s + 2))
            await asyncio.sleep(timeout_s)
            return Failure(True, "no answer in time"), kind
        if kind == "silence":
            self._silent[number] = self._loop.time() + SILENCE_S
        if fault := FAULTS.get(kind):
            if not post:
                kind = ""  # these are about what is done
            else:
                about = {"count": 1, "method": "POST", "payment": f"pi_{number}"}
                self.world.control({"op": "fault", **about, **fault})
        way = self.start(self._arrive(request, 0.0))
        plan = await asyncio.shield(way)
        if kind == "slow_answer":
            await asyncio.sleep(timeout_s)
            return Failure(True, "no answer in time"), kind
        if kind in ("lost_answer", "silence") or plan.response is None:
            return Failure(True, "connection lost: ServerDisconnectedError"), kind
        await asyncio.sleep(self.troubles.prng(number, "way").uniform(*WAY_S))
        answer = plan.response
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, lower, answer.body), kind

    async def _arrive(self, request: Request, wait_s: float) -> wire.Plan:
        if wait_s:
            await asyncio.sleep(wait_s)
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers}
        path = parts.path.removeprefix("/stripe")
        plan = self.world.handle(
            wire.Request(request.method, path, parts.query, headers, request.body)
        )
        self._changed.set()
        for delivery in plan.deliver_first:
            await self._deliver(delivery, True)
        self.world.release(plan)
        return plan

    # -- webhooks ------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Deliver webhooks as they come due, for ever."""
        while True:
            for delivery in self.world.due(self.now()):
                self.start(self._deliver(delivery, False))
            due = self.world.next_due()
            wait = max(0.0, due - self.now()) + 1e-6 if due is not None else None
            self._changed.clear()
            try:  # not wait_for: in Python 3.11 it can swallow a cancellation
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue  # something is due

    def owner(self, delivery: wire.Delivery) -> tuple[str, str, str]:
        """The order number, the type and the object's id of a webhook."""
        event = json.loads(delivery.body)
        about = event["data"]["object"]
        named = about.get("payment_intent") or about.get("charge") or about["id"]
        return self.number_of(named), event["type"], about["id"]

    @property
    def busy(self) -> bool:
        """Whether anything is on the wire, in either direction."""
        return bool(self.on_wire or self._tasks)


class Wire:
    """One process's way to the provider: what its engine takes for the network."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.numbers: list[str] = []  # orders whose requests are out

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        number = self._provider.number(request)
        self.numbers.append(number)
        try:
            return await self._provider.carry(request, timeout_seconds)
        finally:
            self.numbers.remove(number)

    async def close(self) -> None:
        """Nothing is open: a request that has left belongs to the world."""
