"""One run of one seed: a shop's month in virtual time, with a check at every quiet point."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from amends.core.order import Refund, shown_state
from amends.core.orders import order_id
from amends.core.requests import OrderKey
from amends.engine import audit
from amends.kernel.time import SECOND
from amends.sim import wire
from amends.sim.checker import Ask, Checker, Journal
from amends.sim.checker.spec import Snapshot
from amends.sim.play.books import Bookkeeper
from amends.sim.play.bridge import Bridge
from amends.sim.play.crowd import crowd
from amends.sim.play.desk import Desk
from amends.sim.play.evidence import in_review, next_due, ranges, snapshot, stuck, truth
from amends.sim.play.hooks import Hooks
from amends.sim.play.network import Provider, Wire
from amends.sim.play.node import START, Gone, Node, Numbers, prng_of
from amends.sim.play.parties import WHSEC, Word, parties
from amends.sim.play.partners import ASKS_FOR, Partner
from amends.sim.play.people import Call
from amends.sim.play.reports import Reports
from amends.sim.play.story import SHOP
from amends.sim.play.strikes import NAP_S, Strikes
from amends.sim.play.trouble import STATEMENT, Troubles
from amends.sim.play.wish import Line, Wish, settings
from amends.store.spec import Batch, CommitUnknown, Retry, Store, StoreUnavailable

QUIETS = 5  # quiet points in a run
SOON_S = 2 * 3600.0  # quiet: nothing of ours is due within this time
CALM_S = 3 * 86400.0  # the longest a world may need to become quiet
AGAIN_S = (0.5, 5.0)  # a caller without an answer asks again after so long
PACE_S = (0.0002, 0.004)  # what a statement takes
DOWN_S = (0.5, 60.0)  # from a crash to the next start
UNKNOWN_S = 3 * 86400.0  # after that an order's report is not on its way any more
TOLD = (  # what of an event is worth a word on the chronicle
    *("refund", "leg", "amount", "reason", "what", "was", "now", "state", "news", "why", "tries"),
    *("key", "psp_refund_id", "captured", "status"),
)


class World:
    """Everything that exists in one run."""

    def __init__(self, wish: Wish, bridge: Bridge, store: Store) -> None:
        self.wish, self.bridge, self.store = wish, bridge, store
        self.secret = WHSEC
        self.config = settings(wish)
        self.ids = Numbers()
        self.loop = asyncio.get_running_loop()
        self.troubles = Troubles(wish.seed, wish.profile)
        self.journal = Journal(
            reports=Reports(), captures=wish.books_captures, minimum=wish.minimum
        )
        here = parties(wish.providers)
        self.checker = Checker(psps=tuple(party.connection for party in here))
        self.chronicle: list[Line] = []
        self.violations: list[tuple[float, str, str, str]] = []
        self.providers = [
            Provider(party, self.troubles, self.say, self._deliver, self.ended) for party in here
        ]
        start = self.providers[0].start
        self.partners = [
            Partner(name, self.troubles, self.say, start) for name in ASKS_FOR if wish.partners
        ]
        self.troubles.now = self.loop.time
        self.hooks = Hooks(self)
        self._expected: dict[str, str] = {}  # order number: the kind its refund will meet
        self.nodes: list[Node] = []
        self.declined: set[str] = set()  # refunds the desk declined
        self.quiet_points = 0
        self._made = 0
        self._up = asyncio.Event()
        self._going = asyncio.Event()  # cleared while the world becomes quiet
        self._going.set()
        self._calming = asyncio.Event()
        self._in_hand = 0  # calls of people that have no answer yet
        self.away_until = 0.0
        self._later: set[asyncio.Task[None]] = set()

    def at(self, payment: str) -> Provider:
        """The provider of a payment, by its id."""
        return next(p for p in self.providers if payment.startswith(p.party.prefix))

    def refunded_at(self, refund: str) -> Provider:
        """The provider that made a refund, by its own record."""
        made = (
            (provider, movement.psp_refund_id)
            for provider in self.providers
            for movement in provider.world.movements()
        )
        return next(provider for provider, name in made if name == refund)

    # -- what people use -----------------------------------------------------------------------

    def say(self, number: str, text: str) -> None:
        if self.wish.chronicle:
            self.chronicle.append(Line(self.loop.time(), number, text))

    def wrong(self, number: str, what: str) -> None:
        """Somebody in the world saw something that must not be."""
        self._found("seen", number, what)

    def touch(self, number: str, kind: str) -> None:
        self.troubles.touch(number, kind)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._going.wait()

    async def until(self, at: float) -> None:
        await self.pause(max(0.0, at - self.loop.time()))

    async def ready(self) -> None:
        await self._going.wait()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Something of a story that goes on beside it."""
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        task.add_done_callback(self.ended)

    @property
    def away(self) -> bool:
        """Whether the database is."""
        return self.away_until > self.loop.time()

    async def answered(self, number: str, prng: Random, call: Call) -> tuple[int, Any]:
        """Ask until somebody answers, whoever ends meanwhile. An order that nobody knows of is on
        its way, but not for ever."""
        given_up = self.loop.time() + UNKNOWN_S
        self._in_hand += 1
        try:
            while True:
                node = await self._server(prng)
                try:
                    status, body = await call(node)
                except Gone:
                    self.touch(number, "crash")
                else:
                    if status == 503:
                        self.touch(number, "store_error")
                    elif status == 404 and self.loop.time() > given_up:
                        self.wrong(number, f"nobody knows of it for {UNKNOWN_S:.0f} s")
                        return status, body
                    elif status == 404:
                        self._in_hand -= 1
                        await self.pause(600)
                        self._in_hand += 1
                    else:
                        return status, body
                await asyncio.sleep(prng.uniform(*AGAIN_S) * (30 if self.away else 1))
        finally:
            self._in_hand -= 1

    async def _server(self, prng: Random) -> Node:
        while True:
            serving = [node for node in self.nodes if node.serves]
            if serving:
                return prng.choice(serving)
            self._up.clear()
            await self._up.wait()

    def reviews(self) -> list[tuple[str, str]]:
        """(refund, order number) of all that waits for a person."""
        return self.bridge.run(in_review(self.store))

    def stuck(self) -> list[tuple[str, int]]:
        """(order or stream, number) of all tellings that wait for a person."""
        return self.bridge.run(stuck(self.store)) if self.partners else []

    def is_by_hand(self, number: str, refund: str) -> bool:
        """Whether a person is to pay some of it by other means."""
        order = self.bridge.run(self.store.order(order_id(OrderKey(SHOP, number))))
        found = order.refund(refund) if order else None
        return found is not None and any(leg.kind == "manual" for leg in found.legs)

    def turned_down(self, ask: Ask) -> bool:
        """Whether the desk declined it, so that its money is free again."""
        return isinstance(ask.answer, dict) and ask.answer.get("id") in self.declined

    def refund(self, ask: Ask) -> Refund | None:
        """The refund an ask led to, as far as its caller was told."""
        if ask.status != 201 or ask.answer is None:
            return None
        order = self.bridge.run(self.store.order(ask.answer["order"]))
        return order.refund(ask.answer["id"]) if order else None

    def paid(self, ask: Ask) -> str:
        """The provider's id of what was paid for an ask, "" if nothing was."""
        refund = self.refund(ask)
        legs = refund.legs if refund else ()
        return next((leg.psp_refund_id for leg in legs if leg.state == "succeeded"), "")

    def failed(self, number: str) -> list[str]:
        """The refunds of an order that failed and were asked for by us."""
        order = self.bridge.run(self.store.order(order_id(OrderKey(SHOP, number))))
        refunds = order.refunds if order else ()
        return [r.id for r in refunds if shown_state(r) == "failed" and not r.external]

    # -- processes -----------------------------------------------------------------------------

    async def start_node(self, sends: bool = True, ahead: bool = False) -> Node:
        """`ahead`: its clock is not behind."""
        self._made += 1
        prng = prng_of(self.wish.seed, "node", self._made)
        skew = round(prng.uniform(-3, 3) * SECOND)  # drawn in any case: it moves no other draw
        if not self.wish.profile.world or "clock_skew" in self.wish.profile.without:
            skew = 0
        skew = abs(skew) if ahead else skew
        self.troubles.counts["clock_skew"] += abs(skew) > SECOND
        node = Node(
            f"node-{self._made}",
            self.config,
            self.store,
            self.bridge,
            self._point,
            self._told,
            self.ids,
            Wire(self.providers, self.partners),
            prng,
            skew,
            sends,
            alone=self.wish.workers == 1,
        )
        await node.start()
        self.nodes.append(node)
        self._up.set()
        self.say("", f"{node.name} starts, its clock {skew / SECOND:+.1f} s")
        return node

    async def leave(self, node: Node) -> None:
        """A process has done what it was started for."""
        if node in self.nodes and node.alive:
            self.nodes.remove(node)
            await node.kill()
            self.say("", f"{node.name} leaves")

    async def _point(self, node: Node, where: str) -> None:
        """Every statement and every send of every process passes here, before and after."""
        if where in ("send", "sent"):
            if self._draws(node) == "crash":
                await self._strike(node, where, "crash")
            return
        if where == "committed":
            for other in self.nodes:
                other.stir()
            await self._sleep(node)
        await node.awake()
        before = not where.endswith(".done") and where != "committed"
        if before:
            await asyncio.sleep(node.prng.uniform(*PACE_S))
        kind = self._draws(node)
        if self.away:
            raise StoreUnavailable("the database is away")
        if kind:
            await self._strike(node, where, kind)

    def _draws(self, node: Node) -> str:
        """What strikes a process here, "" for nothing."""
        profile, strikes = self.wish.profile, node.prng.random() < self.wish.profile.statement
        kind = node.prng.choice(profile.of(STATEMENT))
        return kind if strikes and self.troubles.on and kind not in profile.without else ""

    def _told(self, node: Node, batch: Batch) -> None:
        """What a process has committed, on the chronicle."""
        for event in batch.events:
            order = batch.orders.get(event.stream)
            number = order.source.order_id if order else ""
            known = {name: event.body[name] for name in TOLD if event.body.get(name)}
            what = ", ".join(
                str(value) if name in ("refund", "leg") else f"{name} {value}"
                for name, value in known.items()
            )
            self.say(number, f"wrote {event.type} {what} ({node.name}, for {event.actor})")

    async def _strike(self, node: Node, where: str, kind: str) -> None:
        if kind == "crash":
            self.crash(node, where)
            await asyncio.Event().wait()  # until it is cancelled
        elif kind == "store_error" and where not in ("commit", "committed"):
            self.troubles.struck(kind)
            raise StoreUnavailable(f"simulated: the connection broke at {where}")
        elif kind == "commit_unknown" and where in ("commit", "committed", "write.done"):
            self.troubles.struck(kind)
            raise CommitUnknown(f"simulated: the connection broke at {where}")
        elif kind == "store_retry" and where in ("lock", "write", "routes", "commit"):
            self.troubles.struck(kind)
            raise Retry("simulated")

    async def _sleep(self, node: Node) -> None:
        """A machine that stands still between a commit and what was to follow it: for moments, or
        for more than a day where another one goes on meanwhile."""
        seconds, node.tired_s = node.tired_s, 0.0
        if not seconds or not self.troubles.on:
            return
        others = [other for other in self.nodes if other is not node and other.sends]
        if not any(other.serves for other in others):
            seconds = min(seconds, NAP_S[1])
        self.troubles.struck("sleep")
        self.say("", f"{node.name} stands still for {seconds:.0f} s")
        await node.doze(self.calm_or(seconds), away=seconds > NAP_S[1])
        self._up.set()
        self.say("", f"{node.name} goes on")

    def crash(self, node: Node, where: str) -> None:
        """kill -9."""
        self.troubles.struck("crash")
        self.say("", f"{node.name} is killed at {where}")
        self.providers[0].start(self._down(node))

    async def _down(self, node: Node) -> None:
        prng = prng_of(self.wish.seed, "down", node.name)
        for number in node.wire.numbers:
            self.touch(number, "crash")
        await node.kill()
        self.nodes = [other for other in self.nodes if other is not node]
        await asyncio.sleep(prng.uniform(*DOWN_S))
        if sum(other.sends for other in self.nodes) < self.wish.workers:
            await self.start_node()

    # -- what comes from outside ---------------------------------------------------------------

    async def _deliver(self, provider: Provider, delivery: wire.Delivery, at_once: bool) -> None:
        await self.hooks.deliver(provider, delivery, at_once)

    def expect(self, number: str, kind: str) -> None:
        """The provider was told what a refund of this order will meet; see `came_true`."""
        self._expected[number] = kind

    def came_true(self, number: str, word: Word, provider: Provider) -> None:
        """The provider says so: what an order was to meet has happened."""
        kind = self._expected.get(number)
        if kind is not None and kind == word.proves:
            del self._expected[number]
            provider.struck(kind, number)

    async def calm_or(self, seconds: float) -> bool:
        """Wait so long, or until the world becomes quiet; whether it was so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._calming.wait()
        except TimeoutError:
            return True
        return False

    # -- the run -------------------------------------------------------------------------------

    async def run(self) -> None:
        for provider in self.providers:
            party = provider.party
            url = f"http://us.sim/webhooks/{party.connection}"
            provider.control("webhook", url=url, secret=party.secret)
            lenient = {"refuse_over_refund": not self.wish.lenient}
            provider.control("settings", **lenient, **party.settings)
        for _ in range(self.wish.workers):
            await self.start_node()
        pumps = [provider.pump() for provider in self.providers]
        strikes = Strikes(self)
        works = (
            *pumps,
            Desk(self).work(),
            strikes.events(),
            strikes.balance(),
            Bookkeeper(self).work(),
        )
        background = [asyncio.create_task(work) for work in works]
        quiets = asyncio.create_task(self._quiets())
        people = asyncio.create_task(crowd(self))
        try:
            await self._over([people], [*background, quiets])
            while self._later:
                await asyncio.wait(set(self._later))
            quiets.cancel()  # it would switch troubles on again
            await asyncio.wait((quiets,))
            final = asyncio.create_task(self._final())
            background.append(final)
            await self._over([final], background)
        finally:
            tasks = (*background, quiets, people, *self._later)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop()

    async def _over(
        self, wanted: list[asyncio.Task[None]], background: list[asyncio.Task[None]]
    ) -> None:
        """Until these have ended; a defect of the world itself is raised at once."""
        left = set(wanted)
        while left:
            done, _ = await asyncio.wait({*left, *background}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            left -= done

    async def _final(self) -> None:
        """The last word of everything: reviews decided, time for what is pending, then the end."""
        desk = Desk(self)
        for _ in range(4):
            await self.calm(check=False)
            for node in self.nodes:  # nothing may ever be written again that would wake them
                node.stir()
            await desk.look()
            await asyncio.sleep(2 * 86400)
        for node in self.nodes:  # the last day's books
            node.stir()
        await asyncio.sleep(900)
        await self.calm(check=False)
        await self._check(final=True)

    async def _stop(self) -> None:
        for node in list(self.nodes):
            await node.kill()
        tasks = [task for provider in self.providers for task in provider._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- quiet points --------------------------------------------------------------------------

    async def _quiets(self) -> None:
        for place in range(1, QUIETS):
            quiet = self.wish.days * 86400 * place / QUIETS
            for provider in self.providers:
                provider.quiet_at = quiet
            await asyncio.sleep(max(0, quiet - self.loop.time()))
            await self.calm()
            self._go()
        for provider in self.providers:
            provider.quiet_at = self.wish.days * 86400
        await asyncio.Event().wait()

    async def calm(self, check: bool = True) -> None:
        """No more trouble, nobody asks; until nothing is due. Then everything must be right."""
        self._going.clear()
        self._calming.set()
        self.troubles.on = False
        self.away_until = 0.0
        for provider in self.providers:
            provider.outage_until = 0.0
            provider.break_silence()
        for partner in self.partners:
            partner.mend()
        began = self.loop.time()
        while not await self._is_quiet((self.loop.time() - began) / 50):
            for provider in self.providers:
                provider.control("hurry_webhooks")
            if self.loop.time() > began + CALM_S:
                self._found("liveness", "", "the world never becomes quiet")
                break
        else:
            self._starts_have_ended()
        if check:
            await self._check(final=False)

    def _starts_have_ended(self) -> None:
        """What was reserved for requests that are not on the wire would be lost for ever: after an
        outage a process that seems to wait for one sends no other."""
        for node in self.nodes:
            for name, limit in node.engine.limits.items():
                if limit.in_flight:
                    what = f"{limit.in_flight} starts at {name} that never end"
                    self._found("defect", "", f"{node.name} holds {what}")

    def _go(self) -> None:
        self.troubles.on = True
        self._calming.clear()
        self._going.set()

    async def _is_quiet(self, patience: float) -> bool:
        """Whether nothing is due soon; else time has gone on a little, by `patience` at least."""
        busy = (
            not self.nodes
            or self._in_hand
            or any(p.busy or p.world.webhooks_pending for p in self.providers)
            or not all(node.quiet for node in self.nodes)
        )
        changes = [at for p in self.providers if (at := p.world.next_due()) is not None]
        if busy or any(at < self.providers[0].now() + 60 for at in changes):
            await asyncio.sleep(max(0.5, patience))
            return False
        due = self.bridge.run(next_due(self.store))
        now = (START + self.loop.time()) * SECOND
        if due is None or due > now + SOON_S * SECOND:
            return True
        for node in self.nodes:
            node.stir()
        await asyncio.sleep(max(1.0, patience, (due - now) / SECOND))
        return False

    async def _check(self, final: bool) -> None:
        self.quiet_points += 1
        for ask in self.journal.asks:
            ask.faults = self.troubles.since(ask.number, ask.at / 1e6)
            if self.turned_down(ask):
                ask.should_succeed = False
        for violation in self.checker.look(self._parts(), self.journal, final):
            self._found(violation.invariant, violation.order, violation.what)
        if final:  # the checker follows the chains itself; this is the seals' turn
            verified = self.bridge.run(audit.verify(self.store, self.config.audit_dir))
            for finding in verified.findings:
                self._found("I10", "", f"audit: {finding.stream} {finding.seq} {finding.what}")

    def _parts(self) -> Iterator[Snapshot]:
        """All there is, a range of orders at a time."""
        told = truth([provider.world for provider in self.providers])
        told.partners = [partner.erp.truth() for partner in self.partners]
        at = round((START + self.loop.time()) * SECOND)
        for part in self.bridge.run(ranges(self.store)):
            yield self.bridge.run(snapshot(self.store, part, told, at))

    def ended(self, task: asyncio.Task[Any]) -> None:
        """Something that nobody waits for is over; what it died of must not be lost with it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broke(error)

    def logged(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """What the engine survived and called an error is a defect all the same."""
        for line in lines:
            if line["log_level"] in ("error", "critical"):
                said = {k: v for k, v in line.items() if k not in ("log_level", "exc_info")}
                cause = line.get("exc_info")
                self._found("defect", "", f"logged: {said} {cause!r}"[:500])

    def broke(self, error: BaseException) -> None:
        """Something died of it, or the run itself: a defect of the engine or of this world."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        self._found("defect", "", f"{type(error).__name__}: {error} ({place})")

    def _found(self, invariant: str, number: str, what: str) -> None:
        self.violations.append((round(self.loop.time() / 86400, 3), invariant, number, what))
        self.say(number, f"VIOLATION {invariant}: {what}")
