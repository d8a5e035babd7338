"""The wire between simulated processes and the providers' look-alikes, and all that happens on it.

A request that has left arrives, whatever becomes of the process that sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from amends.gateways.spec import Failure, Request, Response
from amends.sim import wire
from amends.sim.play.node import START
from amends.sim.play.parties import Party
from amends.sim.play.partners import Partner, partner_of
from amends.sim.play.trouble import Troubles

WAY_S = (0.004, 0.060)  # one way over the wire
REVOKED = 0.1  # how often a token is void, of how often a request is struck at all
CERTIFICATE_AWAY_S = (30.0, 2 * 3600.0)

T = TypeVar("T")

Deliver = Callable[["Provider", wire.Delivery, bool], Coroutine[Any, Any, None]]
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


class Silence(msgspec.Struct):
    """Nothing about an order gets through until then. `unsure`: nobody has said since what became
    of the request it began with."""

    until: float
    unsure: bool = True


class Provider:
    """A look-alike in the simulated world: its requests, its webhooks, its outages."""

    def __init__(
        self, party: Party, troubles: Troubles, say: Say, deliver: Deliver, ended: Ended
    ) -> None:
        self._ended = ended  # told of every task that is over
        self._loop = asyncio.get_running_loop()
        self.party, self.name = party, party.gateway
        self.troubles, self._say, self._deliver = troubles, say, deliver
        source = "provider" if self.name == "stripe" else f"provider {self.name}"
        self.world = party.world(self.now, troubles.prng("", source))
        self.outage_until = 0.0
        self.quiet_at = 0.0  # the next quiet point
        self._silent: dict[str, Silence] = {}  # by order number
        self.certificate_away_until = 0.0
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

    def number(self, request: Request) -> str:
        """The order number of a request."""
        return self.party.number(self.party.payment(request, self.world))

    def strikes(self, kind: str) -> str:
        """A kind of trouble where it can be survived, else none."""
        return "" if kind in self.party.without else kind

    def struck(self, kind: str, number: str = "") -> None:
        """It happened here."""
        self.troubles.struck(kind, number, self.name)

    # -- silence -------------------------------------------------------------------------------

    def silent(self, number: str) -> bool:
        """Whether nothing about this order gets through, in either direction."""
        silence = self._silent.get(number)
        return silence is not None and silence.until > self._loop.time()

    def _may_fall_silent(self, request: Request) -> bool:
        """A silence begins where money was to move and where it fits before the next quiet point,
        which would end it."""
        fits = self._loop.time() + self.party.silence_s < self.quiet_at
        return fits and request.method == "POST"

    def heard(self, number: str) -> None:
        """A webhook about this order got through."""
        if silence := self._silent.get(number):
            silence.unsure = False

    def break_silence(self) -> None:
        """A quiet point ends every silence; no key was forgotten over it."""
        self._silent.clear()
        self.certificate_away_until = 0.0

    def _after_silence(self, number: str) -> None:
        """A request gets through: if it is the first word about what was sent before, the provider
        has forgotten its key meanwhile."""
        silence = self._silent.pop(number, None)
        if silence is not None and silence.unsure:
            self.struck("key_pruned", number)

    async def carry(self, request: Request, timeout_s: float) -> Response | Failure:
        """One request and its answer, if there is one."""
        number = self.number(request)
        self.sent += 1
        self.on_wire += 1
        what = f"{request.method} {urlsplit(request.url).path.removeprefix(self.party.base_path)}"
        try:
            way = self.start(self._way(request, number, timeout_s))
            answer, kind = await asyncio.shield(way)
        finally:
            self.on_wire -= 1
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
        if self.silent(number):
            return Failure(False, "no connection: refused"), ""
        self._after_silence(number)
        own = self._own(request, number)
        if own == "certificate_away":
            return Response(503, {}, b""), own
        if own == "token_revoked":
            self.world.control({"op": "revoke_tokens"})
        kind = self.strikes(self.troubles.request(number, self._may_fall_silent(request)))
        answer, kind = await self._strike(kind, request, number, timeout_s)
        if kind:  # also where the process that sent it has ended meanwhile
            self.struck(kind, number)
        if own and isinstance(answer, Response) and answer.status == 401:
            self.struck(own, number)
            kind = own
        return answer, kind

    def _own(self, request: Request, number: str) -> str:
        """What only this provider has, and strikes this request. Its certificate is away for a
        while, once it is."""
        kind = self.party.strikes_request(request)
        drawn = self.troubles.own(number, (kind,), REVOKED if number else 1.0) if kind else ""
        if kind != "certificate_away":
            return drawn
        if drawn and self._loop.time() >= self.certificate_away_until:
            away = self.troubles.prng("", "certificate").uniform(*CERTIFICATE_AWAY_S)
            self.certificate_away_until = self._loop.time() + away
            self.struck(kind)
        return kind if self._loop.time() < self.certificate_away_until else ""

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
            self._silent[number] = Silence(self._loop.time() + self.party.silence_s)
        fault = FAULTS.get(kind) if post else None  # these are about what is done
        if kind in FAULTS and fault is None:
            kind = ""
        plan, struck = await asyncio.shield(self.start(self._arrive(request, 0.0, fault)))
        if fault is not None and not struck:
            kind = ""
        if kind == "slow_answer":
            await asyncio.sleep(timeout_s)
            return Failure(True, "no answer in time"), kind
        if kind in ("lost_answer", "silence") or plan.response is None:
            return Failure(True, "connection lost: ServerDisconnectedError"), kind
        await asyncio.sleep(self.troubles.prng(number, "way").uniform(*WAY_S))
        answer = plan.response
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, lower, answer.body), kind

    async def _arrive(
        self, request: Request, wait_s: float, fault: dict[str, Any] | None = None
    ) -> tuple[wire.Plan, bool]:
        """What the provider does, and whether `fault` struck there: nothing does where it only
        repeats an answer that it kept."""
        if wait_s:
            await asyncio.sleep(wait_s)
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers}
        path = parts.path.removeprefix(self.party.base_path)
        if fault is not None:
            self.world.control({"op": "fault", "count": 1, "method": "POST", **fault})
        plan = self.world.handle(
            wire.Request(request.method, path, parts.query, headers, request.body)
        )
        left = self.world.control({"op": "clear_faults"}) if fault is not None else {}
        self._changed.set()
        self._was_short(request, plan)
        for delivery in plan.deliver_first:
            await self._deliver(self, delivery, True)
        self.world.release(plan)
        return plan, not left.get("removed")

    def _was_short(self, request: Request, plan: wire.Plan) -> None:
        """Money is wanting: said so by a refusal, or by a new refund that waits for it."""
        if request.method == "POST" and self.party.was_short(plan):
            self.struck("insufficient_balance", self.number(request))

    # -- webhooks ------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Deliver webhooks as they come due, for ever."""
        while True:
            for delivery in self.world.due(self.now()):
                self.start(self._deliver(self, delivery, False))
            due = self.world.next_due()
            wait = max(0.0, due - self.now()) + 1e-6 if due is not None else None
            self._changed.clear()
            try:  # not wait_for: in Python 3.11 it can swallow a cancellation
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue  # something is due

    def delivered(self, delivery: wire.Delivery, status: int | None) -> None:
        """What an attempt was answered; without a 2xx there will be another one."""
        self.world.delivered(delivery, status)
        self._changed.set()

    @property
    def busy(self) -> bool:
        """Whether anything is on the wire, in either direction."""
        return bool(self.on_wire or self._tasks)


async def _pass(where: str) -> None:
    """Nobody ends here: the wire belongs to no process yet."""


class Wire:
    """One process's way to the providers: what its engine takes for the network."""

    def __init__(self, providers: Sequence[Provider], partners: Sequence[Partner] = ()) -> None:
        self._providers, self._partners = providers, partners
        self.numbers: list[str] = []  # orders whose requests are out
        self.passing: Callable[[str], Coroutine[Any, Any, None]] = _pass

    def _provider(self, request: Request) -> Provider:
        path = urlsplit(request.url).path
        return next(p for p in self._providers if path.startswith(f"{p.party.base_path}/"))

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        partner = partner_of(self._partners, request)
        if partner is not None:
            await self.passing("send")
            told = await partner.carry(request, timeout_seconds)
            await self.passing("sent")
            return told
        provider = self._provider(request)
        number = provider.number(request)
        self.numbers.append(number)
        try:
            await self.passing("send")
            answer = await provider.carry(request, timeout_seconds)
            await self.passing("sent")
        finally:
            self.numbers.remove(number)
        return answer

    async def close(self) -> None:
        """Nothing is open: a request that has left belongs to the world."""
