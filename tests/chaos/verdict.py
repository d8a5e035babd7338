"""What must hold when the dust has settled: nothing acknowledged is lost, nothing is paid twice,
our rows say what the provider did, every entry balances, the trail is whole."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import func, select

from amends.core.order import Order
from amends.engine.clock import SystemClock
from amends.kernel.time import HOUR
from amends.sim.serve import Sandbox
from amends.store.open import connect
from amends.store.reads import Reads
from amends.store.schema import effects, inbox
from amends.store.spec import Store
from tests.chaos.arena import Arena
from tests.chaos.load import CONNECTION, Notes
from tests.engine.lab import all_orders, unbalanced
from tests.engine.truth import GONE, violations

REST = ("succeeded", "failed", "canceled", "pending", "declined", "review")


async def settle(store: Store, sandbox: Sandbox, seconds: float) -> float:
    """Wait until nothing is due within the hour, no webhook waits and nothing is to change at the
    provider by itself any more; how long that took. Raises TimeoutError."""
    assert isinstance(store, Reads)
    began, stripe = time.monotonic(), sandbox.worlds["stripe"]
    query = select(func.count()).where(effects.c.due < SystemClock().now() + HOUR)
    async with asyncio.timeout(seconds):
        while True:
            (row,) = await store.fetch(query)
            change = stripe.next_due()  # an authorization that expires in days may wait
            rests = change is None or change > time.time() + 60
            if row[0] == 0 and stripe.webhooks_pending == 0 and rests:
                return time.monotonic() - began
            await asyncio.sleep(0.2)


async def judge(arena: Arena, sandbox: Sandbox, notes: Notes) -> list[str]:
    """Every violation, as a sentence."""
    store = connect(arena.store)
    await store.open()
    try:
        orders = await all_orders(store)
        made: list[dict[str, Any]] = json.loads(sandbox.movements())["items"]
        found = list(notes.wrong)
        found += _acknowledged(orders, notes)
        found += await _messages(store, notes)
        found += violations(orders, made)
        found += _outcomes(orders, made)
        found += await unbalanced(store)
        found += await _clearing(store, made)
        notes.figures["movements"] = len(made)
        notes.figures["refunds"] = sum(len(order.refunds) for order in orders)
        notes.figures["orders parked"] = sum(1 for order in orders if order.parked)
        found += [f"{order.id} is parked: {order.parked}" for order in orders if order.parked]
        await _evidence(arena, store, orders, made, found)
    finally:
        await store.close()
    code, text = await arena.command("audit", "verify", "--json")
    if code:
        found.append(f"amends audit verify ended with {code}: {text}")
    else:
        notes.figures["events verified"] = json.loads(text)["events"]
    return found


async def _evidence(
    arena: Arena,
    store: Store,
    orders: list[Order],
    made: list[dict[str, Any]],
    found: list[str],
) -> None:
    """All that is known of the orders something is wrong with, beside the logs."""
    text = " ".join(found)
    for order in orders:
        parts = (order.id, *(g.id for r in order.refunds for g in r.legs))
        if any(part in text for part in parts):
            payments = {p.psp_payment_id for p in order.payments}
            known = {
                "order": msgspec.to_builtins(order),
                "events": msgspec.to_builtins(await store.events(order.id, "", 1000)),
                "movements": [m for m in made if m["psp_payment_id"] in payments],
            }
            path = arena.folder / f"evidence-{order.id}.json"
            path.write_bytes(msgspec.json.format(msgspec.json.encode(known)))


def _acknowledged(orders: list[Order], notes: Notes) -> list[str]:
    """Every answer 2xx has its row (I13)."""
    known = {order.id for order in orders} | {r.id for order in orders for r in order.refunds}
    found = []
    for key, acked in notes.acked.items():
        if acked.status // 100 == 2:
            identifier = json.loads(acked.answer)["id"]
            if identifier not in known:
                found.append(f"{key} was answered {identifier}, which does not exist")
        elif acked.status != 409:
            found.append(f"{key} was answered {acked.status}: {acked.answer!r}")
    return found


async def _messages(store: Store, notes: Notes) -> list[str]:
    assert isinstance(store, Reads)
    rows = await store.fetch(select(inbox.c.message).where(inbox.c.connection == "shop-1"))
    known = {row[0] for row in rows}
    return [f"message {m} was taken and is not there" for m in notes.messages if m not in known]


def _outcomes(orders: list[Order], made: list[dict[str, Any]]) -> list[str]:
    """Every leg rests, in the state in which the provider has it."""
    truth = {m["psp_refund_id"]: m["status"] for m in made if m["psp_refund_id"]}
    found = []
    for order in orders:
        for refund in order.refunds:
            for leg in refund.legs:
                if refund.stage == "active" and leg.state not in REST:
                    found.append(f"{leg.id} of {order.id} never came to rest: {leg.state}")
                there = truth.get(leg.psp_refund_id)
                if leg.psp_refund_id and there != leg.state and leg.kind == "refund":
                    found.append(f"{leg.id} is {leg.state}, at the provider it is {there}")
    keys = Counter(m["key"] for m in made if m["key"] and m["status"] not in GONE)
    return found + [f"key {key} moved money {n} times" for key, n in keys.items() if n > 1]


async def _clearing(store: Store, made: list[dict[str, Any]]) -> list[str]:
    """The balance at the provider, by our books, is what left there (I5)."""
    left = sum(m["amount"] for m in made if m["kind"] == "refund" and m["status"] not in GONE)
    left -= sum(m["amount"] for m in made if m["kind"] == "refund" and m["status"] == "pending")
    ours = sum(
        amount
        for account, _, amount, _ in await store.balances(None)
        if account == f"clearing:{CONNECTION}"
    )
    return [] if ours == -left else [f"clearing says {ours}, the provider paid out {left}"]
