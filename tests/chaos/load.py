"""What the world asks of us during a run: orders, refunds, repeats, signed messages. A client keeps
at it with the same key until it has an answer, and writes down what was acknowledged."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import aiohttp
from standardwebhooks import Webhook

from amends.sim.serve import Sandbox
from tests.chaos.arena import SHOP_SECRET

CONNECTION = "stripe-eu"
AGAIN_S = 0.1
CALL_S = 8.0


@dataclass
class Acked:
    """One request that got a final answer."""

    path: str
    body: dict[str, Any]
    key: str
    status: int
    answer: bytes


@dataclass
class Notes:
    """What a run has seen."""

    acked: dict[str, Acked] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)  # ids of signed messages answered 2xx
    figures: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Shop:
    """The client: everything it starts runs until it is answered, whoever is killed meanwhile."""

    def __init__(self, urls: list[str], key: str, sandbox: Sandbox, prng: Random) -> None:
        self._urls, self._sandbox, self.prng = urls, sandbox, prng
        self.notes = Notes()
        self.orders: list[tuple[str, int]] = []  # (shop's number, amount)
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_S),
            headers={"Authorization": f"Bearer {key}"},
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._signer = Webhook(b64decode(SHOP_SECRET.removeprefix("whsec_")))

    # -- what is asked -------------------------------------------------------------------------

    def burst(self, orders: int, seconds: float) -> None:
        """New orders and refunds of old and new ones, spread over `seconds`."""
        for _ in range(orders):
            self._start(self._life(self.prng.uniform(0, seconds)))
        for _ in range(orders):
            self._start(self._refund_any(self.prng.uniform(0, seconds)))
        for _ in range(2):
            self._start(self._repeat(self.prng.uniform(0, seconds)))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _life(self, wait_s: float) -> None:
        """One order, reported, then refunded in one of the ways of the world."""
        await asyncio.sleep(wait_s)
        self._number += 1
        number, amount = str(self._number), self.prng.choice((900, 4999, 10_200, 100_000))
        captured = self.prng.random() < 0.85
        capture = "automatic" if captured else "manual"
        self._sandbox.control(
            {"op": "payment", "id": f"pi_{number}", "amount": amount, "capture": capture}
        )
        report = order(number, amount, captured)
        if await self._told_by_message(report):
            self.notes.figures["orders by message"] += 1
        else:
            await self.post("/v1/orders", report, f"order-{number}")
        self.orders.append((number, amount))
        self.notes.figures["orders"] += 1
        way = self.prng.random()
        if way < 0.3:
            await self._refund(number, {"reason": "cancelled"})
        elif way < 0.6:
            share = {"reason": "return", "amount": max(1, amount * 3 // 10)}
            await asyncio.gather(*(self._refund(number, share) for _ in range(5)))
        elif way < 0.7 and captured:
            self._sandbox.control(
                {"op": "dashboard_refund", "payment": f"pi_{number}", "amount": amount // 4}
            )

    async def _told_by_message(self, report: dict[str, Any]) -> bool:
        if self.prng.random() >= 0.3:
            return False
        await self.message("order.created", report)
        return True

    async def _refund_any(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if not self.orders:
            return
        number, amount = self.prng.choice(self.orders)
        share = {"reason": "damaged", "amount": self.prng.randint(1, amount)}
        if self.prng.random() < 0.3:
            named = {"connection": "shop-1", "order_id": number}
            await self.message("refund.requested", {"order": named, **share})
        else:
            await self._refund(number, share)

    async def _refund(self, number: str, ask: dict[str, Any]) -> None:
        self.notes.figures["refund requests"] += 1
        named = {"connection": "shop-1", "order_id": number}
        key = f"refund-{self.prng.getrandbits(64):016x}"
        await self.post("/v1/refunds", {"order": named, **ask}, key)

    async def _repeat(self, wait_s: float) -> None:
        """An answered request once more: the first answer, byte for byte."""
        await asyncio.sleep(wait_s)
        if self.notes.acked:
            first = self.prng.choice(list(self.notes.acked.values()))
            if first.path == "/v1/refunds":
                self.notes.figures["repeats"] += 1
                await self.post(first.path, first.body, first.key)

    # -- how it is asked -----------------------------------------------------------------------

    async def post(self, path: str, body: dict[str, Any], key: str) -> None:
        """Until there is an answer that is one: not a 5xx, 429 or a broken connection."""
        raw = json.dumps(body).encode()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        status, answer = await self._ask(path, raw, headers)
        first = self.notes.acked.setdefault(key, Acked(path, body, key, status, answer))
        if path == "/v1/refunds" and (first.status, first.answer) != (status, answer):
            self.notes.wrong.append(f"{key} was answered {first.answer!r} and then {answer!r}")

    async def message(self, kind: str, data: dict[str, Any]) -> None:
        """A signed message of the shop, repeated until it is taken."""
        number = f"msg_{self.prng.getrandbits(64):016x}"
        now = datetime.now(UTC)
        event = {"type": kind, "timestamp": now.isoformat(), "data": data}
        raw = json.dumps(event)
        headers = {
            "webhook-id": number,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(number, now, raw),
            "Content-Type": "application/json",
        }
        status, answer = await self._ask("/webhooks/shop-1", raw.encode(), headers)
        if status // 100 == 2:
            self.notes.messages.append(number)
            self.notes.figures["messages"] += 1
        else:
            self.notes.wrong.append(f"a signed {kind} was answered {status} {answer!r}")

    async def _ask(self, path: str, raw: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        while True:
            url = self.prng.choice(self._urls) + path
            try:
                async with self._http.post(url, data=raw, headers=headers) as response:
                    answer = await response.read()
                    if response.status < 500 and response.status != 429:
                        self.notes.figures[f"answered {response.status}"] += 1
                        return response.status, answer
                    self.notes.figures[f"met {response.status}"] += 1
            except (aiohttp.ClientError, TimeoutError, OSError):
                self.notes.figures["broken calls"] += 1
            await asyncio.sleep(AGAIN_S)

    async def finish(self, seconds: float) -> None:
        """Wait until everything asked has its answer."""
        async with asyncio.timeout(seconds):
            while self._tasks:
                await asyncio.wait(self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()


def order(number: str, amount: int, captured: bool) -> dict[str, Any]:
    tax = amount // 6
    return {
        "source": {"connection": "shop-1", "order_id": number},
        "currency": "EUR",
        "lines": [
            {
                "id": "1",
                "quantity": 1,
                "total": amount,
                "taxes": [{"name": "VAT", "rate": "0.20", "amount": tax}],
                "fulfilled": 1 if captured else 0,
            }
        ],
        "tenders": [
            {
                "kind": "payment",
                "connection": CONNECTION,
                "psp_payment_id": f"pi_{number}",
                "amount": amount,
                "captured": amount if captured else 0,
            }
        ],
    }
