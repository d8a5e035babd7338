"""Out of stock, at once: from the instant a shop's message is due to be sent to the cancel request
at the provider's look-alike, 100 messages a second.

The message is signed and says that all of an order that is only authorized cannot be delivered. The
sandbox says when it handled each cancellation, by the clock of the same machine.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from statistics import median

import aiohttp
import msgspec

from amends.core.requests import LineIn, OrderIn, OrderKey, TenderIn
from bench import services
from bench.load import request
from bench.machine import module, running
from bench.places import Place
from bench.plan import Plan, Row, at

RATE = 100  # messages a second
WARM = 64
PATIENCE_S = 60.0


def rows(plan: Plan, kind: str) -> list[Row]:
    """Milliseconds, p50 and p99."""
    found = []
    for _ in range(plan.rounds):
        with plan.places.fresh(kind) as place:
            found.append(_measured(plan, place))
    return [
        Row(
            f"out-of-stock-{name}-{kind}",
            f"{name} from a shop's message to the cancel request at the sandbox, {RATE}/s; {kind}",
            unit="ms",
            value=round(median(1000 * at(taken, share) for taken in found), 1),
            note="stated: from when the message was due to be sent",
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


def _measured(plan: Plan, place: Place) -> list[float]:
    """Sorted seconds, of each order."""
    names = [f"s-{n}" for n in range(WARM + plan.count(RATE))]
    root = ["--root", str(place.folder / "paypal-root.pem")]
    with running(*module("amends.doors.cli", "sandbox", "--port", "0", *root), term=True) as child:
        url = child.line().split()[1].rstrip(",").removesuffix("/stripe")
        with services.amends(place, f"{url}/stripe") as service:
            items = [_payment(name) for name in names]
            _command(url, {"gateway": "stripe", "op": "payments", "items": items})
            orders = [msgspec.json.encode(_order(name)) for name in names]
            service.post([request("/v1/orders", body, service.headers()) for body in orders], 64)
            address = f"{service.urls[0]}/webhooks/shop"
            asyncio.run(_send(address, names[:WARM]))
            due = asyncio.run(_send(address, names[WARM:]))
            canceled = _canceled(url, len(names))
            return sorted(canceled[f"pi_{name}"] - sent for name, sent in due.items())


def _payment(name: str) -> dict[str, object]:
    return {"id": f"pi_{name}", "amount": 9600, "currency": "eur", "capture": "manual"}


def _order(name: str) -> OrderIn:
    tender = TenderIn(9600, connection="psp", psp_payment_id=f"pi_{name}")
    return OrderIn(OrderKey("shop", name), "EUR", (LineIn("1", 3, 9600, sku="MUG"),), (tender,))


async def _send(address: str, names: Sequence[str]) -> dict[str, float]:
    """When each message was due; what leaves late because we were busy counts from then."""
    start, due, tasks = time.time() + 0.05, {}, []
    async with aiohttp.ClientSession() as session:
        for number, name in enumerate(names):
            due[name] = start + number / RATE
            await asyncio.sleep(max(0.0, due[name] - time.time()))
            tasks.append(asyncio.create_task(_post(session, address, name)))
        await asyncio.gather(*tasks)
    return due


async def _post(session: aiohttp.ClientSession, address: str, name: str) -> None:
    data = {"order_id": name, "lines": [{"id": "1", "quantity": 3}]}
    body = json.dumps({"type": "inventory.unavailable", "data": data}).encode()
    stamp = str(int(time.time()))
    key = base64.b64decode(services.SECRETS["BENCH_SHOP"].removeprefix("whsec_"))
    mac = hmac.new(key, f"msg_{name}.{stamp}.".encode() + body, "sha256").digest()
    head = {"webhook-id": f"msg_{name}", "webhook-timestamp": stamp}
    head["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
    async with session.post(address, data=body, headers=head) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status} for a message: {await answer.text()}")


def _command(url: str, command: dict[str, object]) -> None:
    body = json.dumps(command).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/control", body), timeout=30).close()


def _canceled(url: str, count: int) -> dict[str, float]:
    """When the sandbox canceled each payment, once it has all of them."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{url}/control/refunds", timeout=30) as answer:
            moved = [m for m in json.load(answer)["items"] if m["kind"] == "void"]
        if len(moved) >= count:
            return {m["psp_payment_id"]: _seconds(m["at"]) for m in moved}
        time.sleep(0.2)
    raise RuntimeError(f"{len(moved)} of {count} were canceled in {PATIENCE_S:.0f} s")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
