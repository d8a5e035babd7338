"""The engine in a process of its own, with refunds handed in from within (rows 1 and 2).

    python -m bench.ours '{"url": …, "psp": …, "folder": …, "refunds": 2000, "in_flight": 512, …}'

Records its orders, prints a line, waits for a line, refunds a part of each order in a closed loop,
prints a line with what it took, and stops when standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from amends.core.order import shown_state
from amends.core.requests import (
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    RefundIn,
    ShippingIn,
    TaxIn,
    TenderIn,
)
from amends.engine import actions, config, heap
from amends.engine.wiring import Engine
from amends.store.open import connect

WAIT_S = 60.0
CALLER = actions.Caller("key:bench", "prn_bench")


def order_in(name: str) -> OrderIn:
    """An order of 102.00 with a line of three, shipping and taxes, paid with one payment."""
    return OrderIn(
        OrderKey("shop", name),
        "EUR",
        (LineIn("1", 3, 9600, sku="MUG", taxes=(TaxIn("VAT", 1600),)),),
        (TenderIn(10200, connection="psp", psp_payment_id=f"pi_{name}", captured=10200),),
        shipping=(ShippingIn("s1", 600, taxes=(TaxIn("VAT", 100),)),),
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

    async def prepare(self) -> None:
        names = [f"{self._wish['name']}{n}" for n in range(self._wish["refunds"])]

        async def report(part: list[str]) -> None:
            for name in part:
                told = await actions.report_order(self._engine, CALLER, order_in(name))
                order = told.results[0].order
                assert order is not None
                self._orders.append(order.id)

        await asyncio.gather(*(report(names[n::256]) for n in range(256)))

    async def refund_all(self) -> dict[str, Any]:
        lanes = min(self._wish["in_flight"], len(self._orders))
        turns, cpu, start = self._engine.turner.turns, time.process_time(), time.perf_counter()
        await asyncio.gather(*(self._lane(self._orders[n::lanes]) for n in range(lanes)))
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        turns = self._engine.turner.turns - turns
        return {"seconds": took, "cpu": cpu, "turns": turns, "latencies": sorted(self._latencies)}

    async def _lane(self, orders: list[str]) -> None:
        for order in orders:
            start = time.perf_counter()
            await self._refund(order)
            self._latencies.append(time.perf_counter() - start)

    async def _refund(self, order: str) -> None:
        request = RefundIn(order=order, lines=(LinePick("1", 1),))
        told = await actions.request_refund(self._engine, CALLER, request)
        await self._engine.wait_for(told.results[0].refund, WAIT_S)

    async def paced(self, rate: int, seconds: float) -> dict[str, Any]:
        """Open loop: one every 1/rate seconds, whoever is still waiting."""
        count = min(int(rate * seconds), len(self._orders))
        start, tasks = time.perf_counter(), []
        for n, order in enumerate(self._orders[:count]):
            await asyncio.sleep(max(0.0, start + n / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(self._lane([order])))
        await asyncio.gather(*tasks)
        return {"seconds": time.perf_counter() - start, "latencies": sorted(self._latencies)}

    async def check(self) -> None:
        """Every refund has succeeded; a figure of a run that did not is worth nothing."""
        order = await self._engine.store.order(self._orders[-1])
        assert order is not None and shown_state(order.refunds[-1]) == "succeeded", order


async def main(wish: dict[str, Any]) -> None:
    folder = Path(wish["folder"])
    store = connect(wish["url"])
    await store.open()
    engine = Engine(settings(wish["url"], wish["psp"], folder), store)
    await engine.start()
    heap.settle()
    run = Run(engine, wish)
    await run.prepare()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    rate = wish.get("rate", 0)
    found = await run.paced(rate, wish["seconds"]) if rate else await run.refund_all()
    await run.check()
    print(json.dumps(found), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await engine.stop()
    await store.close()


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
