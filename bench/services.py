"""The services that rows over REST speak to: `amends serve`, and the naive one."""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from amends.engine import actions
from amends.engine.wiring import Engine
from amends.store.open import connect
from bench.load import Posted, post_all, request
from bench.machine import module, running
from bench.ours import order_in, settings
from bench.places import Place
from tests import postgres

CONNECTIONS = 32
AMOUNT = 3200  # of a refund: one of the three units of an order's line
SECRETS = {
    "BENCH_KEY": "sk_test_sandbox",
    "BENCH_SECRET": "whsec_bench",
    "BENCH_SHOP": "whsec_" + "YmVuY2gtc2hvcC1iZW5jaC1zaG9w",
}
START_S = 30.0
SETTINGS = """\
[store]
url = "{url}"

[connections.psp]
gateway = "stripe"
api_key = "env:BENCH_KEY"
webhook_secrets = ["env:BENCH_SECRET"]
base_url = "{psp}"
rate = 0
concurrency = 4096

[connections.shop]
gateway = "standard"
webhook_secrets = ["env:BENCH_SHOP"]
"""


@dataclass(frozen=True)
class Service:
    """Where it listens, its processes, and the key that lets in ("" where none is asked)."""

    urls: Sequence[str]
    pids: list[int]
    key: str = ""

    def headers(self, key: str = "") -> list[tuple[str, str]]:
        found = [("Authorization", f"Bearer {self.key}")] if self.key else []
        return [*found, ("Idempotency-Key", key)] if key else found

    def post(self, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Posted:
        return asyncio.run(post_all(self.urls, requests, connections))


# -- amends ----------------------------------------------------------------------------------------


@contextmanager
def amends(place: Place, psp: str, processes: int = 1) -> Iterator[Service]:
    """`amends serve` over a database that is there; several share a PostgreSQL."""
    path = place.folder / "amends.toml"
    path.write_text(SETTINGS.format(url=place.url, psp=psp))
    key = asyncio.run(_key(place, psp))
    command = module("amends.doors.cli", "serve", "--config", str(path), "--port", "0")
    with ExitStack() as stack:
        children = [
            stack.enter_context(running(*command, env=SECRETS, term=True)) for _ in range(processes)
        ]
        urls = [child.line().rpartition(" ")[2] for child in children]
        yield Service(urls, [child.pid for child in children], key)


async def _key(place: Place, psp: str) -> str:
    """A key, made as `amends key create` makes it."""
    store = connect(place.url)
    await store.open()
    engine = Engine(settings(place.url, psp, place.folder), store, sends=False)
    try:
        scopes = ("orders:write", "refunds:write", "read")
        return (await actions.create_key(engine, "cli:bench", "bench", scopes))[1]
    finally:
        await engine.transport.close()
        await store.close()


def report_orders(service: Service, names: Sequence[str]) -> None:
    """Hand in an order of each name."""
    headers = service.headers()
    bodies = [msgspec.json.encode(order_in(name)) for name in names]
    service.post([request("/v1/orders", body, headers) for body in bodies], 64)


def refund_requests(service: Service, names: Sequence[str]) -> list[bytes]:
    """A refund of one unit of each order; answered when the provider has."""
    found = []
    for name in names:
        order = {"connection": "shop", "order_id": name}
        body = msgspec.json.encode({"order": order, "lines": [{"id": "1", "quantity": 1}]})
        headers = [*service.headers(f"k-{name}"), ("Prefer", "wait=30")]
        found.append(request("/v1/refunds", body, headers))
    return found


def webhooks(answers: Sequence[bytes]) -> list[bytes]:
    """The provider's news of each answered refund: signed, and new to us, though it says nothing
    that the provider's answer has not said already."""
    found, now = [], int(time.time())
    for number, answer in enumerate(answers):
        (leg,) = json.loads(answer)["legs"]
        refund = {
            "id": leg["psp_refund_id"],
            "object": "refund",
            "amount": leg["amount"],
            "currency": "eur",
            "status": "succeeded",
            "created": now,
            "payment_intent": leg["psp_payment_id"],
            "metadata": {"amends_leg": leg["id"], "amends_epoch": "1"},
        }
        event = {
            "id": f"evt_{number:016d}",
            "object": "event",
            "type": "refund.updated",
            "created": now,
            "livemode": False,
            "data": {"object": refund},
        }
        body = msgspec.json.encode(event)
        signed = b"%d.%s" % (now, body)
        mac = hmac.new(SECRETS["BENCH_SECRET"].encode(), signed, "sha256").hexdigest()
        header = ("Stripe-Signature", f"t={now},v1={mac}")
        found.append(request("/webhooks/psp", body, [header]))
    return found


# -- the naive one ---------------------------------------------------------------------------------


@contextmanager
def naive(place: Place, psp: str, workers: int = 2) -> Iterator[Service]:
    """The naive service with its tables made."""
    env = {"BENCH_URL": place.orm_url, "BENCH_PSP": psp}
    port = postgres.free_port()
    make = "import asyncio, bench.naive; asyncio.run(bench.naive.create()); print('made')"
    with running(sys.executable, "-c", make, env=env) as child:
        child.line()
    options = ("--port", str(port), "--workers", str(workers), "--no-access-log")
    with running(*module("uvicorn", "bench.naive:app", *options), env=env, term=True) as child:
        url = f"http://127.0.0.1:{port}"
        _await(url)
        yield Service([url], [child.pid])


def _await(url: str) -> None:
    """Until it answers."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=1):
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer: {error}") from error
            time.sleep(0.05)


def report_naive(service: Service, names: Sequence[str]) -> None:
    orders = [
        {"id": name, "currency": "EUR", "payment_intent": f"pi_{name}", "captured": 10200}
        for name in names
    ]
    service.post([request("/orders", msgspec.json.encode(order)) for order in orders])


def naive_requests(names: Sequence[str]) -> list[bytes]:
    return [
        request(
            "/refunds",
            msgspec.json.encode({"order": name, "amount": AMOUNT}),
            [("Idempotency-Key", f"k-{name}")],
        )
        for name in names
    ]


# -- the sandbox -----------------------------------------------------------------------------------


def prepare_sandbox(url: str, target: str, names: Sequence[str]) -> None:
    """Payments for these orders, and a webhook endpoint."""
    commands: list[dict[str, object]] = [
        {"op": "payment", "id": f"pi_{name}", "amount": 10200, "currency": "eur"}
        | {"capture": "automatic"}
        for name in names
    ]
    commands.append({"op": "webhook", "url": target, "secret": SECRETS["BENCH_SECRET"]})
    asyncio.run(post_all([url], [request("/control", msgspec.json.encode(commands))], 1))


def settle_sandbox(url: str) -> float:
    """Wait until every webhook was taken; the seconds that took."""
    start = time.perf_counter()
    while time.perf_counter() - start < START_S:
        with urllib.request.urlopen(f"{url}/control/status", timeout=5) as answer:
            if not json.load(answer)["webhooks_pending"]:
                return time.perf_counter() - start
        time.sleep(0.02)
    raise RuntimeError("webhooks of the sandbox are still not taken")
