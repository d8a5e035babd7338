"""A laboratory: engines on a real database, a provider look-alike without sockets, one hand-moved
clock. Days pass in milliseconds, every answer can be lost, and the provider's own books are open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from amends.core.order import Order, Refund, shown_state
from amends.core.reasons import Refused
from amends.core.requests import LineIn, OrderIn, OrderKey, RefundIn, TaxIn, TenderIn
from amends.engine import actions, audit, config
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result, Told
from amends.engine.intake import receive
from amends.engine.wiring import Engine
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.time import DAY, SECOND, Instant
from amends.sim import wire
from amends.sim.play.node import Numbers
from amends.sim.stripe import StripeWorld
from amends.store.open import connect
from amends.store.reads import Reads
from amends.store.schema import effects
from amends.store.spec import Store, StoreUnavailable
from tests.engine.truth import violations

START = 1_790_000_000 * SECOND
STRIPE = "stripe-eu"
WHSEC = "whsec_laboratory"
BASE = "http://psp.test/stripe"
PATIENCE_S = 20.0  # how long anything may take in real time before a test gives up


class HandClock:
    """Time stands still until it is moved."""

    def __init__(self) -> None:
        self.at: Instant = START

    def now(self) -> Instant:
        return self.at

    def monotonic(self) -> Instant:
        return self.at

    def forward(self, duration: int) -> None:
        self.at += duration


class Loopback:
    """Carries requests into a look-alike without a socket."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.sent: list[Request] = []
        self.gate: asyncio.Event | None = None  # answers wait until it is set
        self.change: Callable[[Request], Request] = lambda request: request

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        request = self.change(request)
        self.sent.append(request)
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers}
        path = parts.path.removeprefix("/stripe")
        world = self._lab.world
        plan = world.handle(wire.Request(request.method, path, parts.query, headers, request.body))
        if plan.action == "refuse":
            return Failure(False, "no connection: refused")
        if plan.start_after:
            return self._late(plan, timeout_seconds)
        for delivery in plan.deliver_first:
            await self._lab.deliver(delivery)
        if self.gate is not None:
            await self.gate.wait()
        world.release(plan)
        if plan.action == "drop" or plan.response is None:
            return Failure(True, "connection lost: ServerDisconnectedError")
        if plan.delay > timeout_seconds:
            return Failure(True, "no answer in time")
        answer = plan.response
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, lower, answer.body)

    def _late(self, plan: wire.Plan, timeout_seconds: float) -> Failure:
        """The provider begins to work only after we have stopped to listen."""
        assert plan.start_after > timeout_seconds, "a short wait needs no laboratory"
        due = self._lab.clock.now() + int(plan.start_after * SECOND)

        def work() -> None:
            self._lab.world.perform(plan)
            self._lab.world.release(plan)

        self._lab.later.append((due, work))
        return Failure(True, "no answer in time")

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Node:
    """One process: an engine with its own connections to the database."""

    lab: Lab
    engine: Engine
    store: Store
    transport: Loopback

    async def quiet(self) -> None:
        """Until nothing is queued, being turned or on the wire here."""
        async with asyncio.timeout(PATIENCE_S):
            while self.engine.deliverer._tasks or not self.engine.turner.idle:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)

    async def sending(self) -> None:
        """Until the first request has reached the provider."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.transport.sent:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)

    async def refund(
        self, order: str, key: str = "", actor: str = "key:support", **ask: Any
    ) -> Told:
        """Ask for a refund as a door would."""
        caller = Caller(actor, actor, "POST /v1/refunds", key, render)
        request = RefundIn(order=order, **ask)
        return await actions.request_refund(self.engine, caller, request)

    async def report(self, report: OrderIn) -> Order:
        told = await actions.report_order(self.engine, Caller("key:shop", "key:shop"), report)
        (result,) = told.results
        assert result.order is not None and result.refused is None, result
        return result.order


def render(result: Result) -> Rendered:
    """An answer as a door would make it."""
    if result.refused is not None:
        return Rendered(409, f"{result.refused.reason} {result.refused.extra}".encode())
    return Rendered(201, f"{result.refund} parked={result.parked}".encode())


def settings(url: str, folder: Path, **connection: Any) -> config.Config:
    """A configuration with one Stripe account and one shop. `connection` changes the account, but
    `auto_approve_up_to` the policy."""
    up_to = connection.pop("auto_approve_up_to", 10**9)
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    (secrets / "key").write_text("sk_test_sandbox")
    (secrets / "whsec").write_text(WHSEC)
    account = {
        "gateway": "stripe",
        "api_key": f"file:{secrets / 'key'}",
        "webhook_secrets": [f"file:{secrets / 'whsec'}"],
        "base_url": BASE,
        "rate": 0,
    }
    shop = {"gateway": "standard", "webhook_secrets": [f"file:{secrets / 'whsec'}"]}
    raw = {
        "store": {"url": url},
        "policy": {"auto_approve_up_to": up_to},
        "audit": {"dir": str(folder / "audit")},
        "connections": {STRIPE: account | connection, "shop-1": shop},
    }
    return config.parse(raw, folder / "amends.toml")


class Lab:
    """One database, one provider, one clock; any number of engines."""

    def __init__(
        self, url: str, folder: Path, shared: Store | None = None, **connection: Any
    ) -> None:
        self.url, self.folder = url, folder
        self.shared = shared  # open connections all nodes use, to save making them
        self.config = settings(url, folder, **connection)
        self.clock, self.ids = HandClock(), Numbers()
        self.world = StripeWorld(lambda: self.clock.now() * 1e-6, Random(7))
        self.nodes: list[Node] = []
        self.later: list[tuple[Instant, Callable[[], None]]] = []
        self.statuses: list[int] = []  # what webhooks were answered
        self.after: list[Order] = []  # set by whoever closes it: its orders, what was wrong
        self.found: list[str] = []

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        return self.world.control({"op": op, **command})

    def listen(self) -> None:
        """Let the provider send webhooks to the first node."""
        self.control("webhook", url="http://us.test/webhooks/stripe-eu", secret=WHSEC)

    async def node(self, wrap: Callable[[Store], Store] | None = None, sends: bool = True) -> Node:
        store = self.shared or connect(self.url)
        if not self.shared:
            await store.open()
        transport = Loopback(self)
        engine = Engine(
            self.config,
            wrap(store) if wrap else store,
            clock=self.clock,
            ids=self.ids,
            transport=transport,
            sends=sends,
        )
        engine.sealer.prepare()
        await engine.start(sweep=False)
        node = Node(self, engine, store, transport)
        self.nodes.append(node)
        return node

    async def lose(self, node: Node) -> None:
        """The process is gone: nothing of it runs on, and its transactions are undone."""
        self.nodes.remove(node)
        tasks = [*node.engine._tasks, *node.engine.deliverer._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self.shared:
            await node.store.close()

    async def close(self) -> None:
        for node in list(self.nodes):
            await self.lose(node)

    # -- what happens outside ------------------------------------------------------------------

    async def order(self, number: str = "1", amount: int = 10_000, **more: Any) -> Order:
        """A paid order at the shop and at the provider."""
        capture = more.pop("capture", "automatic")
        self.control("payment", id=f"pi_{number}", amount=amount, capture=capture)
        return await self.nodes[0].report(report(number, amount, capture == "automatic"))

    async def deliver(self, delivery: wire.Delivery) -> None:
        """One webhook to the first node, as a door would take it."""
        headers = {name.lower(): value for name, value in delivery.headers.items()}
        status: int | None = None  # no answer, if this process ends meanwhile
        try:
            await receive(self.nodes[0].engine, STRIPE, delivery.body, headers)
            status = 200
        except Refused:
            status = 401
        except StoreUnavailable:
            status = 503
        finally:
            self.statuses.append(status or 0)
            self.world.delivered(delivery, status)

    async def webhooks(self) -> int:
        """Deliver what is due; how many."""
        due = self.world.due(self.clock.now() * 1e-6)
        left = list(due)
        try:
            while left:
                await self.deliver(left.pop(0))
        finally:
            for delivery in left:
                self.world.delivered(delivery, None)
        return len(due)

    async def step(self) -> bool:
        """Everything that is due now, on every node; whether there was anything."""
        happened = False
        for item in [item for item in self.later if item[0] <= self.clock.now()]:
            self.later.remove(item)
            item[1]()
            happened = True
        for node in self.nodes:
            await node.quiet()
        happened |= bool(await self.webhooks())
        for node in self.nodes:
            happened |= await node.engine.sweeper.claim()
            await node.quiet()
        return happened

    def _room_in(self) -> int:
        limits = (limit for node in self.nodes for limit in node.engine.limits.values())
        return min((wait for limit in limits if (wait := limit.wakes_in())), default=0)

    async def next_due(self) -> Instant | None:
        waits = [due for due, _ in self.later]
        found = await self.nodes[0].store.next_due()
        waits += [found] if found is not None else []
        change = self.world.next_due()
        waits += [int(change * SECOND) + 1] if change is not None else []
        return min(waits, default=None)

    async def settle(self, horizon: int = 2 * DAY) -> None:
        """Let time run until nothing is due any more within `horizon` of now."""
        end = self.clock.now() + horizon
        for _ in range(3000):
            if await self.step():
                continue
            due = await self.next_due()
            if due is None or due > end:
                return
            # What is due and has no room waits for its limit, as the sweep does.
            room = max(self._room_in(), SECOND // 100)
            self.clock.at = due if due > self.clock.now() else self.clock.now() + room
        raise AssertionError("it never gets quiet")

    # -- what can be seen ----------------------------------------------------------------------

    async def orders(self) -> list[Order]:
        return await all_orders(self.nodes[0].store)

    async def one(self, order_id: str) -> Order:
        found = await self.nodes[0].store.order(order_id)
        assert found is not None
        return found

    def movements(self) -> list[dict[str, Any]]:
        """The provider's own truth."""
        return [
            {name: getattr(item, name) for name in item.__struct_fields__}
            for item in self.world.movements()
        ]

    async def wrong(self) -> list[str]:
        """Everything that must never be, as sentences."""
        store = self.nodes[0].store
        found = violations(await self.orders(), self.movements())
        found += await unbalanced(store) + await stuck(store)
        report_ = await audit.verify(store, self.config.audit_dir)
        return found + [f"audit: {f.stream} {f.seq} {f.what}" for f in report_.findings]


async def all_orders(store: Store) -> list[Order]:
    found: list[Order] = []
    cursor = ""
    while True:
        page = await store.orders(cursor, 200)
        for item in page.items:
            order = await store.order(item["id"])
            assert order is not None
            found.append(order)
        if not page.next:
            return found
        cursor = page.next


async def unbalanced(store: Store) -> list[str]:
    """Entries whose lines do not sum to zero in both currencies."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await store.entries({}, cursor, 200)
        for entry in page.items:
            for column in ("amount", "functional"):
                total = sum(line[column] for line in entry["postings"])
                if total or not entry["postings"]:
                    found.append(f"entry {entry['order']}/{entry['number']}: {column} {total}")
        if not page.next:
            return found
        cursor = page.next


async def stuck(store: Store) -> list[str]:
    """Legs that wait for something while their order has nothing to do, unless it is parked."""
    assert isinstance(store, Reads)
    busy = {row[0] for row in await store.fetch(select(effects.c.order_id).distinct())}
    return [
        f"{leg.id} is {leg.state} and nothing of {order.id} is due"
        for order in await all_orders(store)
        if order.id not in busy and not order.parked
        for refund in order.refunds
        for leg in refund.legs
        if leg.state in ("sending", "unknown", "awaiting_funds")
    ]


def report(number: str, amount: int = 10_000, captured: bool = True, **more: Any) -> OrderIn:
    """An order with one line, one tax and one card payment."""
    line = LineIn("1", 1, amount, taxes=(TaxIn("VAT", amount // 6, "0.20"),), fulfilled=1)
    payment = TenderIn(amount, "payment", STRIPE, f"pi_{number}", amount if captured else 0)
    return OrderIn(OrderKey("shop-1", number), "EUR", (line,), (payment,), **more)


def states(order: Order) -> list[str]:
    return [shown_state(refund) for refund in order.refunds]


def first(order: Order) -> Refund:
    return order.refunds[0]


@asynccontextmanager
async def laboratory(
    url: str, folder: Path, shared: Store | None = None, **connection: Any
) -> AsyncIterator[Lab]:
    """A fresh laboratory on a migrated database, with one node."""
    lab = Lab(url, folder, shared, **connection)
    await lab.node()
    try:
        yield lab
    finally:
        await lab.close()


def header_free(name: str) -> Callable[[Request], Request]:
    """A network that loses one header of every request."""

    def change(request: Request) -> Request:
        kept = tuple((n, v) for n, v in request.headers if n.lower() != name.lower())
        return Request(request.method, request.url, kept, request.body)

    return change


Headers = Mapping[str, str]
