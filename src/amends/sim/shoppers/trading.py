"""The shoppers' life at a real engine: what their shop reports and they ask for, with one policy in
force and drafts beside it.

Engine, database and look-alike of the provider are real; time is the stream's, told in whole hours:
what happens within an hour is handed in together, so a seed gives the same turns whatever the
policy says. Goods come back after nine days, unless they are kept, whatever became of the request.
Nobody decides what waits for a person, and only disputes are told by webhook. That an order has
arrived is reported where somebody will ask for money back: it matters to nobody else.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec

from amends.core.facts import Addressed, ReturnReceived
from amends.core.orders import order_id
from amends.core.policy import Document
from amends.core.requests import LinePick, OrderIn, OrderKey, RefundIn
from amends.engine import actions, config, policies
from amends.engine.actions import Caller
from amends.engine.asks import Told
from amends.engine.intake import receive
from amends.engine.wiring import Engine
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.time import DAY, HOUR, Instant
from amends.sim import wire
from amends.sim.play.node import Numbers
from amends.sim.play.parties import PARTIES, WHSEC
from amends.sim.play.room import leave
from amends.sim.shoppers.life import PROVIDER, SHOP, START, Event, stream
from amends.sim.stripe import StripeWorld
from amends.store.open import connect

FUNCTIONAL = "EUR"
SENT_BACK = ("return", "wrong_item")
ON_THE_WAY = 9 * DAY

Progress = Callable[[int], None]  # events that are over
SHOPPING = Caller("key:shop", "key:shop")


class Asked(msgspec.Struct, frozen=True):
    """How many events there are, how many of them requests, of which orders, and the names of
    those whose goods never come back."""

    events: int
    total: int
    orders: frozenset[str]
    kept: frozenset[str]


class Shoppers(msgspec.Struct, frozen=True):
    """So many of them, for so many days."""

    seed: int
    customers: int
    days: int

    def stream(self) -> Iterator[Event]:
        return stream(self.seed, self.customers, self.days)

    def asked(self) -> Asked:
        """What is to come of them."""
        events = total = 0
        orders: set[str] = set()
        kept: set[str] = set()
        for event in self.stream():
            events += 1
            if event["kind"] == "refund":
                total += 1
                orders.add(event["body"]["order"]["order_id"])
            elif event.get("finding") == "not_returned":
                kept.add(event["name"])
        return Asked(events, total, frozenset(orders), frozenset(kept))


class Stage:
    """Time as it is set, and the provider behind a wire without sockets."""

    def __init__(self, seed: int) -> None:
        self.at: Instant = START
        self.world = StripeWorld(lambda: self.at * 1e-6, Random(seed))

    def now(self) -> Instant:
        return self.at

    def monotonic(self) -> Instant:
        return self.at

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        """One request to the provider; nothing goes wrong on the way."""
        url = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers}
        path = url.path.removeprefix("/stripe")
        asked = wire.Request(request.method, path, url.query, headers, request.body)
        plan = self.world.handle(asked)
        self.world.release(plan)
        if plan.response is None:
            return Failure(True, "no answer")
        told = {name.lower(): value for name, value in plan.response.headers.items()}
        return Response(plan.response.status, told, plan.response.body)

    async def close(self) -> None:
        """Nothing is open."""

    def tell(self, op: str, **command: Any) -> None:
        self.world.control({"op": op, **command})


def settings(folder: Path) -> config.Config:
    """One shop, one account, books in euro."""
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    (folder / "secrets" / "shop").write_text(WHSEC)
    account = {**PARTIES["stripe"].account(folder), "rate": 0}
    shop = {"gateway": "standard", "webhook_secrets": [f"file:{folder / 'secrets' / 'shop'}"]}
    raw = {
        "store": {"url": f"sqlite:///{folder / 'amends.db'}"},
        "ledger": {"functional_currency": FUNCTIONAL},
        "audit": {"dir": str(folder / "audit")},
        "connections": {PROVIDER: account, SHOP: shop},
    }
    return config.parse(raw, folder / "amends.toml")


@asynccontextmanager
async def shop(folder: Path, stage: Stage) -> AsyncIterator[Engine]:
    """An engine on a new database in that folder, whose clock and provider are the stage's; what
    stays of it is read with the settings beside it."""
    made = settings(folder)
    leave(folder, made.store.url)
    store = connect(made.store.url)
    await store.migrate()
    await store.open()
    try:
        engine = Engine(made, store, clock=stage, ids=Numbers(), transport=stage)
        engine.sealer.prepare()
        await engine.start(sweep=False)
        try:
            yield engine
        finally:
            await engine.stop()
    finally:
        await store.close()


async def trade(
    engine: Engine,
    stage: Stage,
    shoppers: Shoppers,
    asked: Asked,
    live: Document | None,
    draft: Document | None,
    progress: Progress,
) -> Counter[str]:
    """Play it: `live` is in force, None for the built-in policy, and `draft` beside it. Counts
    what was refused, by reason."""
    if live is not None:
        await policies.publish(engine, "cli:lead", live)
    if draft is not None:
        await policies.put_draft(engine, "cli:lead", draft, shadow=True)
    url = f"http://us.test/webhooks/{PROVIDER}"
    stage.tell("webhook", url=url, secret=WHSEC, types=["charge.dispute.*"])
    trading = _Trading(engine, stage, asked)
    over = 0
    for hour, events in groupby(shoppers.stream(), key=lambda event: event["at"] // HOUR):
        over += await trading.hour(hour, list(events))
        progress(over)
    await engine.sealer.seal()
    return trading.refused


class _Trading:
    """The hours of a shop, one after the other."""

    def __init__(self, engine: Engine, stage: Stage, asked: Asked) -> None:
        self._engine, self._stage, self._asked = engine, stage, asked
        self._today = stage.at // DAY
        self._parcels: list[tuple[Instant, str, dict[str, Any]]] = []  # on their way back
        self.refused: Counter[str] = Counter()

    async def hour(self, hour: int, events: Sequence[Event]) -> int:
        """All of an hour at once, and whatever comes of it; how many events it had."""
        engine, stage = self._engine, self._stage
        stage.at = (hour + 1) * HOUR - 1
        if stage.at // DAY != self._today:
            self._today = stage.at // DAY
            await engine.learn_shops()
            while await engine.sweeper.claim():
                pass
        handed = [self._handed(event) for event in events]
        told = await asyncio.gather(*self._back(), *(one for one in handed if one is not None))
        await engine.deliverer.drain()
        for delivery in stage.world.due(stage.at * 1e-6):
            headers = {name.lower(): value for name, value in delivery.headers.items()}
            await receive(engine, PROVIDER, delivery.body, headers)
            stage.world.delivered(delivery, 200)
        every = (result.refused for one in told for result in one.results)
        self.refused.update(refused.reason for refused in every if refused is not None)
        return len(events)

    def _back(self) -> Iterator[Awaitable[Told]]:
        """The parcels that came back by now."""
        while self._parcels and self._parcels[0][0] <= self._stage.at:
            _, name, body = heapq.heappop(self._parcels)
            lines = msgspec.convert(body["lines"], tuple[LinePick, ...])
            order = order_id(msgspec.convert(body["order"], OrderKey))
            item = Addressed(ReturnReceived(lines, name), order=order)
            yield self._engine.turner.submit(actions.ask_of(SHOPPING, (item,), body))

    def _handed(self, event: Event) -> Awaitable[Told] | None:
        """What somebody says to the engine, None where they say it elsewhere or not at all."""
        if event["kind"] == "order":
            return self._order(event["body"])
        if event["kind"] == "refund":
            body, name = event["body"], event["name"]
            if body["reason"] in SENT_BACK and "lines" in body and name not in self._asked.kept:
                heapq.heappush(self._parcels, (event["at"] + ON_THE_WAY, name, body))
            caller = Caller(event["actor"], event["actor"])
            request = msgspec.convert(body, RefundIn)
            return actions.request_refund(self._engine, caller, request)
        if event["kind"] == "dispute":
            payment = f"pi_{event['order']}"
            self._stage.tell("open_dispute", payment=payment, amount=event["amount"])
        return None

    def _order(self, body: dict[str, Any]) -> Awaitable[Told] | None:
        matters = body["source"]["order_id"] in self._asked.orders
        if matters and body["version"] == 1:
            (tender,) = body["tenders"]
            self._stage.tell("payment", id=tender["psp_payment_id"], amount=tender["amount"])
        if body["version"] > 1 and not matters:
            return None
        report = msgspec.convert(body, OrderIn)
        return actions.report_order(self._engine, SHOPPING, report)
