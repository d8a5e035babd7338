"""The engine in a process of its own, with refunds handed in from within (rows 1 and 2).

    python -m bench.ours '{"url": …, "psp": …, "folder": …, "refunds": 2000, "in_flight": 512, …}'

Records its orders, prints a line, waits for a line, refunds a part of each order (in a closed loop,
or with `rate` in an open one), prints a line with what it took, stops when standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from amends.core.order import shown_state
from amends.core.orders import order_id
from amends.core.requests import (
    CustomerIn,
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    RefundIn,
    ShippingIn,
    SignalsIn,
    TaxIn,
    TenderIn,
)
from amends.doors import logs
from amends.engine import actions, config, heap, policies
from amends.engine.turn import BATCH_MAX
from amends.engine.wiring import Engine
from amends.store.open import connect
from bench.policies import document

WAIT_S = 60
WARM = 64  # refunds before the clock starts: they connect, plan and fill caches
CALLER = actions.Caller("key:bench", "prn_bench")


def order_in(name: str) -> OrderIn:
    """An order of 102.00 with a line of three, shipping and taxes, paid with one payment, by a
    customer of whom the card and the address are known too."""
    return OrderIn(
        OrderKey("shop", name),
        "EUR",
        (LineIn("1", 3, 9600, sku="MUG", taxes=(TaxIn("VAT", 1600),)),),
        (TenderIn(10200, connection="psp", psp_payment_id=f"pi_{name}", captured=10200),),
        shipping=(ShippingIn("s1", 600, taxes=(TaxIn("VAT", 100),)),),
        customer=CustomerIn(f"c-{name}", country="DE"),
        signals=SignalsIn(card=f"card-{name}", address=f"address-{name}"),
    )


def settings(url: str, psp: str, folder: Path) -> config.Config:
    os.environ |= {"BENCH_KEY": "sk_test_bench", "BENCH_SECRET": "whsec_bench"}
    connection = {
        "gateway": "stripe",
        "api_key": "env:BENCH_KEY",
        "webhook_secrets": ["env:BENCH_SECRET"],
        "base_url": psp,
        "rate": 0,
        "concurrency": 4096,
    }
    raw = {"store": {"url": url}, "connections": {"psp": connection}}
    return config.parse(raw, folder / "amends.toml")


class Run:
    """One process's part of a run."""

    def __init__(self, engine: Engine, wish: dict[str, Any]) -> None:
        self._engine, self._wish = engine, wish
        self._orders: list[str] = []
        self._latencies: list[float] = []
        self._warm = wish.get("warm", WARM)

    async def prepare(self) -> None:
        """Put the policy of ten rows in force, and record its orders, or with `stock` pick them at
        random from so many that are there."""
        if not await self._engine.store.policies():
            await policies.publish(self._engine, "cli:bench", document())
        if self._wish.get("stock"):
            self._orders = picked(self._wish, self._wish["refunds"] + self._warm)
            return
        count = self._wish["refunds"] + self._warm
        names = [f"{self._wish['name']}{n}" for n in range(count)]

        async def report(part: list[str]) -> None:
            for name in part:
                told = await actions.report_order(self._engine, CALLER, order_in(name))
                order = told.results[0].order
                assert order is not None
                self._orders.append(order.id)

        await asyncio.gather(*(report(names[n::256]) for n in range(256)))

    async def warm_up(self) -> None:
        """The first orders are refunded before anything is measured."""
        first, self._orders = self._orders[: self._warm], self._orders[self._warm :]
        await asyncio.gather(*(self._lane(first[n::8]) for n in range(8)))
        self._latencies.clear()

    async def refund_all(self) -> dict[str, Any]:
        lanes = min(self._wish["in_flight"], len(self._orders))
        turns, cpu, start = self._engine.turner.turns, time.process_time(), time.perf_counter()
        await asyncio.gather(*(self._lane(self._orders[n::lanes]) for n in range(lanes)))
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        turns = self._engine.turner.turns - turns
        return {"seconds": took, "cpu": cpu, "turns": turns, "latencies": sorted(self._latencies)}

    async def _lane(self, orders: list[str], due: float = 0.0) -> None:
        """One after the other; the time of the first counts from `due`, if it was due then."""
        for order in orders:
            start = due or time.perf_counter()
            await self._refund(order)
            self._latencies.append(time.perf_counter() - start)

    async def _refund(self, order: str) -> None:
        request = RefundIn(order=order, lines=(LinePick("1", 1),))
        told = await actions.request_refund(self._engine, CALLER, request)
        for _ in range(WAIT_S):
            # What the other process took over, after a stall of the disk, is not heard of here.
            ended = await self._engine.wait_for(told.results[0].refund, 1.0)
            ended = ended or await self._engine.store.order(order)
            if ended is not None and shown_state(ended.refunds[-1]) == "succeeded":
                return
        raise RuntimeError(f"A refund did not succeed, so nothing was measured: {told}")

    async def paced(self, rate: float) -> dict[str, Any]:
        """Open loop: one every 1/rate seconds, whoever is still waiting. What starts late because
        we were busy still counts from when it was due."""
        start, tasks = time.perf_counter(), []
        for n, order in enumerate(self._orders):
            due = start + n / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(self._lane([order], due)))
        await asyncio.gather(*tasks)
        return {"seconds": time.perf_counter() - start, "latencies": sorted(self._latencies)}


def picked(wish: dict[str, Any], count: int) -> list[str]:
    """Ids of so many orders, anywhere in the range, and none that another part or another of the
    `seeds` picks: refunded often in all rounds, an order would have to be seen by a person."""
    step = wish["parts"] * wish["seeds"]
    first = wish["part"] * wish["seeds"] + wish["seed"]
    dice = random.Random(wish["seed"])
    numbers = dice.sample(range(first, wish["stock"], step), count)
    return [order_id(OrderKey("shop", stock_name(number))) for number in numbers]


def stock_name(number: int) -> str:
    """The shop's name of an order that `bench.stock` loads."""
    return f"stock-{number}"


async def main(wish: dict[str, Any]) -> None:
    logs.set_up(level=logging.WARNING)  # to standard error: standard output is for figures
    folder = Path(wish["folder"])
    store = connect(wish["url"])
    await store.open()
    engine = Engine(settings(wish["url"], wish["psp"], folder), store)
    engine.turner.batch_max = wish.get("batch", BATCH_MAX)
    await engine.start()
    heap.settle()
    run = Run(engine, wish)
    await run.prepare()
    await run.warm_up()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    if await loop.run_in_executor(None, sys.stdin.readline):  # else only its orders were wanted
        rate = wish.get("rate", 0)
        found = await run.paced(rate) if rate else await run.refund_all()
        print(json.dumps(found), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
    await engine.stop()
    await store.close()


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
