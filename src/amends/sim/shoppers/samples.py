"""The stream of shoppers as examples to learn from: each request with the features it had when it
was asked for, and what became known of it.

Orders are folded by the same `decide` as real ones, and the past is kept by the same rules; so the
features are those that a running house would have recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from amends.core.decide import decide
from amends.core.decision import Ctx, Terms
from amends.core.facts import Fact, OrderReported, Recorded, RefundRequested
from amends.core.history import History
from amends.core.order import Dispute, Order
from amends.core.policy import built_in
from amends.core.requests import OrderIn, RefundIn
from amends.core.risk import Shop, features
from amends.engine.risk_rows import Example
from amends.kernel.time import HOUR, SECOND, Instant
from amends.sim.shoppers.life import PROVIDER, Event
from amends.sim.shoppers.memory import Memory, Usual

TERMS = {PROVIDER: Terms(24 * HOUR, 5 * SECOND, 24 * HOUR)}
POLICY = built_in(10**12)  # all of it is approved: what is asked must not hang on what was decided
KINDS = ("card", "address", "device")


class Shopfloor:
    """Takes events in their order; `examples` holds those requested so far, by the names of the
    requests."""

    def __init__(self) -> None:
        self.examples: dict[str, Example] = {}
        self._memory, self._usual = Memory(), Usual()
        self._bodies: dict[str, dict[str, Any]] = {}
        self._orders: dict[str, Order] = {}
        self._asked: dict[str, list[tuple[Fact, Instant, str]]] = {}  # not folded yet: few matter
        self._count = 0

    def take(self, event: Event) -> None:
        """One event of the stream."""
        takes: dict[str, Callable[[Event], None]] = {
            "order": self._order,
            "refund": self._refund,
            "found": self._found,
            "dispute": self._dispute,
        }
        takes[event["kind"]](event)

    def _order(self, event: Event) -> None:
        body = event["body"]
        number, customer = body["source"]["order_id"], body["customer"]["id"]
        self._bodies[number] = body
        if body["version"] > 1:
            return
        total = sum(line["total"] for line in body["lines"])
        self._memory.add(customer, event["at"], orders=1, order_value=total, order_max=total)
        self._memory.saw(customer, hashed(body["signals"]))
        for line in body["lines"]:
            self._usual.sold(line["category"], line["total"])

    def _refund(self, event: Event) -> None:
        at, customer, name = event["at"], event["customer"], event["name"]
        number = event["body"]["order"]["order_id"]
        body = self._bodies[number]
        order = self._known(number, at)
        request = msgspec.convert(event["body"], RefundIn)
        past = self._memory.past(customer, hashed(body["signals"]), at)
        history, shop = msgspec.convert(past, History), msgspec.convert(self._usual.shown(at), Shop)
        found = features(order, request, event["amount"], history, shop, at, event["actor"])
        values = msgspec.structs.astuple(found)
        truth = event["truth"]
        self.examples[name] = Example(at, customer, values, event["amount"], truth=truth)
        self._asked.setdefault(number, []).append((RefundRequested(request), at, event["actor"]))
        missing = int(request.reason == "not_received")
        value = event["amount"]
        self._memory.add(customer, at, refunds=1, refund_value=value, not_received=missing)
        self._usual.asked(value, _categories(body, event["body"]))

    def _found(self, event: Event) -> None:
        self._label(event)
        name = {"empty": "findings", "swapped": "findings", "not_returned": "not_returned"}
        if event["finding"] in name:
            self._memory.add(event["customer"], event["at"], **{name[event["finding"]]: 1})

    def _dispute(self, event: Event) -> None:
        self._label(event)
        self._memory.add(event["customer"], event["at"], disputes=1)
        number = event["order"]
        order = self._known(number, event["at"])
        more = Dispute(f"dp_{number}", order.payments[0].id, event["amount"], "needs_response")
        disputes = (*order.disputes, more)
        self._orders[number] = msgspec.structs.replace(order, disputes=disputes)

    def _label(self, event: Event) -> None:
        one = self.examples[event["name"]]
        if one.abuse is None or (event["abuse"] and not one.abuse):
            changes = {"abuse": event["abuse"], "known_at": event["at"]}
            self.examples[event["name"]] = msgspec.structs.replace(one, **changes)

    def _known(self, number: str, at: Instant) -> Order:
        """The order as its shop told it last."""
        body = {**self._bodies[number], "signals": hashed(self._bodies[number]["signals"])}
        before = self._orders.get(number)
        for asked in self._asked.pop(number, ()):
            before = self._orders[number] = self._fold(before, *asked)
        if before is not None and before.version >= body["version"]:
            return before
        report = OrderReported(msgspec.convert(body, OrderIn))
        self._orders[number] = self._fold(before, report, at, "connection:shop-1")
        return self._orders[number]

    def _fold(self, order: Order | None, fact: Fact, at: Instant, actor: str) -> Order:
        self._count += 1
        ctx = Ctx(at, POLICY, "EUR", TERMS)
        recorded = Recorded(f"{self._count:026}", at, actor, fact)
        decision = decide(order, recorded, ctx)
        if decision.refused is not None:
            raise AssertionError(f"a shopper asked for what cannot be had: {decision.refused}")
        return decision.order


def hashed(signals: dict[str, Any]) -> dict[str, Any]:
    """As a door hands them on."""
    hashes = {k: hashlib.sha256(signals[k].encode()).hexdigest() for k in KINDS if k in signals}
    return {**signals, **hashes}


def _categories(body: dict[str, Any], request: dict[str, Any]) -> dict[str, int]:
    """What a request is of, by category; an amount is of none."""
    lines = {line["id"]: line for line in body["lines"]}
    found: dict[str, int] = {}
    for picked in request.get("lines", ()):
        line = lines[picked["id"]]
        found[line["category"]] = found.get(line["category"], 0) + line["total"]
    return found


def examples(events: Iterator[Event]) -> list[Example]:
    """All requests of a stream, in the order they were asked."""
    floor = Shopfloor()
    for event in events:
        floor.take(event)
    return list(floor.examples.values())
