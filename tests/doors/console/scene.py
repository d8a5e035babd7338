"""A month of a small shop's refunds, so that pages have something to show."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from amends.core.outlets import Goods, GoodsReturned, Tell
from amends.core.requests import RefundIn
from amends.engine import actions, review_desk
from amends.engine.actions import Caller
from amends.kernel.time import DAY, HOUR, MINUTE, Instant
from amends.store.outbox_spec import Came
from amends.store.spec import Batch, Inbound
from tests.doors.console.world import World

GOODS = (
    *(("Linen shirt, undyed", 8900), ("Merino socks, three pairs", 2700), ("Rain jacket", 18900)),
    *(
        ("Enamel kettle", 5400),
        ("Desk lamp", 12900),
        ("Running shoes", 13900),
        ("Tea, 250 g", 1490),
    ),
)
REASONS = ("return", "return", "damaged", "not_received", "wrong_item", "price_adjustment")


class Shifted:
    """The machine's clock, put back while the past is made."""

    def __init__(self, clock: Any) -> None:
        self._clock, self.back = clock, 0

    def now(self) -> Instant:
        return int(self._clock.now()) - self.back

    def monotonic(self) -> Instant:
        return int(self._clock.monotonic())


class Scene(msgspec.Struct):
    """What can be looked at."""

    paid: str
    review: str
    failed: str
    order: str
    customer: str


def basket(prng: Random, number: str, currency: str = "EUR") -> dict[str, Any]:
    """The body of an order."""
    lines = []
    for place in range(prng.randint(1, 3)):
        title, price = prng.choice(GOODS)
        units = prng.randint(1, 2)
        tax = {"name": "VAT", "rate": "0.19", "amount": price * units * 19 // 119}
        line = {"id": str(place + 1), "sku": f"SKU-{title[:3].upper()}", "title": title}
        line |= {"quantity": units, "total": price * units, "taxes": [tax], "fulfilled": units}
        lines.append(line)
    total = sum(line["total"] for line in lines) + 490
    connection, payment = "stripe-eu", f"pi_{number}"
    return {
        "lines": lines,
        "currency": currency,
        "shipping": [{"id": "s1", "total": 490, "title": "Standard delivery"}],
        "customer": {
            "id": f"c-{prng.randint(100, 130)}",
            "email": "someone@example.com",
            "name": "Robin Example",
            "country": "DE",
        },
        "tenders": [
            {
                "kind": "payment",
                "connection": connection,
                "psp_payment_id": payment,
                "amount": total,
                "captured": total,
            }
        ],
    }


def furnish(world: World) -> Scene:
    """Makes a month, and leaves some of it to people."""
    prng, engine = Random(6), world.engine
    lead = f"person:{world.person('grace', 'reviewer', 'Grace Hopper').user.id}"
    agent = f"person:{world.person('alan', 'agent', 'Alan Turing').user.id}"
    clock = Shifted(engine.clock)
    engine.clock = clock
    paid = ""
    for back in range(29, 0, -1):
        for turn in range(prng.randint(1, 3)):
            clock.back = back * DAY - prng.randint(0, 9) * HOUR
            number = f"{40 - back:02}{turn}7"
            placed = "2026-10-01T09:30:00Z"
            order = world.order(number, placed_at=placed, **basket(prng, number))
            lines = [{"id": "1", "quantity": 1}]
            refund = world.refund(order, reason=prng.choice(REASONS), lines=lines)
            state = world.do(engine.store.order(order))
            assert state is not None
            if state.refunds[0].stage == "review":
                told = Caller(lead, lead)
                if prng.random() < 0.8:
                    world.do(review_desk.approve(engine, told, "reviewer", refund))
                else:
                    world.do(review_desk.decline(engine, told, refund))
            world.rests(refund)
            paid = refund
    clock.back = 0
    failed = _failed(world, prng, lead)
    asked = [(agent, "key:support")[n % 2] for n in range(6)]
    reviews = [_waiting(world, prng, clock, n, actor) for n, actor in enumerate(asked)]
    world.do(_messages(world))
    clock.back = 0
    order = world.do(engine.store.refund_order(reviews[0]))
    assert order is not None
    world.do(_tellings(world, order))
    return Scene(paid, reviews[0], failed, order, "c-117")


def _failed(world: World, prng: Random, lead: str) -> str:
    """The provider does not know the payment, and says no."""
    body = basket(prng, "8888")
    body["tenders"][0]["psp_payment_id"] = "pi_of_another_account"
    order = world.order("8888", **body)
    refund = world.refund(order, lines=[{"id": "1", "quantity": 1}], reason="damaged")
    if world.rests(refund) == "review":
        world.do(review_desk.approve(world.engine, Caller(lead, lead), "reviewer", refund))
    assert world.rests(refund) == "failed"
    return refund


async def _messages(world: World) -> None:
    """As they came from the shop and the provider."""
    now, batch = world.engine.clock.now(), Batch()
    types = ("order.paid", "order.fulfilled", "order.cancelled")
    for n in range(9):
        where, type_ = ("shop-1", types[n % 3]) if n % 2 else ("stripe-eu", "refund.updated")
        state = "unmatched" if n == 4 else "done"
        name = f"msg_{n:04}"
        row = Inbound(where, name, now - n * 11 * MINUTE, type_, state, "a", b"{}", b"[]")
        batch.inbox[where, name] = row
    async with world.engine.store.turn() as turn:
        await turn.write(batch)


async def _tellings(world: World, order: str) -> None:
    """One that an ERP has taken, one that it refuses, and one that waits for that."""
    store, now = world.engine.store, world.engine.clock.now()
    batch, goods = Batch(), (Goods("1", "SKU-TEA", 1, location="berlin"),)
    for number in (901, 902, 903):
        key = f"{order}-m{number}"
        telling = GoodsReturned(key=key, at=now, order=order, return_id="R-1", lines=goods)
        batch.tells.append(Tell(order, number, "erp", telling))
    async with store.turn() as turn:
        await turn.write(batch)
    for came in (
        Came(order, 901, "done", now, "CRS-2026-0017"),
        Came(order, 902, "stuck", now, "", "closed: The period 2026-10 is closed."),
    ):
        await store.claim_tells("scene", now, now + MINUTE, {"erp": 1})
        await store.came("scene", [came], now)


def _waiting(world: World, prng: Random, clock: Shifted, n: int, actor: str) -> str:
    number = f"90{n}"
    clock.back = (6 - n) * 9 * HOUR + 7 * MINUTE
    order = world.order(number, **basket(prng, number))
    note = (
        "The customer sent photos of the broken seam.\nThe carrier has a claim open."
        if n == 0
        else ""
    )
    told = Caller(actor, actor)
    wanted = {"order": order, "reason": REASONS[n], "note": note}
    found = world.do(actions.request_refund(world.engine, told, msgspec.convert(wanted, RefundIn)))
    return found.results[0].refund
