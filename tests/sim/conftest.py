"""A pure world under a clock of its own, and a served sandbox the official SDK talks to."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from amends.sim.serve import API_KEY, Sandbox, running
from amends.sim.stripe import StripeWorld
from amends.sim.wire import Delivery, Plan, Request, Response
from tests.sim.adyen_bench import AdyenBench
from tests.sim.paypal_bench import PayPalBench

START = 1_790_000_000.0
WAIT_S = 10.0


class Bench:
    """A world, its clock, and short ways to ask it things."""

    def __init__(self, seed: int = 1) -> None:
        self.now = START
        self.world = StripeWorld(lambda: self.now, Random(seed))

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Plan:
        """Hand a request in; the key stays in use until the plan is released."""
        encoded = urlencode(params or {})
        sent = {"authorization": "Bearer sk_test_sandbox", **(headers or {})}
        if key is not None:
            sent["idempotency-key"] = key
        if method == "GET":
            return self.world.handle(Request(method, path, encoded, sent))
        return self.world.handle(Request(method, path, "", sent, encoded.encode()))

    def send(self, *args: Any, **kwargs: Any) -> Response:
        """Hand a request in and take the answer."""
        plan = self.request(*args, **kwargs)
        self.world.release(plan)
        assert plan.response is not None
        return plan.response

    def ask(self, *args: Any, status: int = 200, **kwargs: Any) -> dict[str, Any]:
        """The JSON of an answer that must have this status."""
        response = self.send(*args, **kwargs)
        assert response.status == status, response.body
        parsed: dict[str, Any] = json.loads(response.body)
        return parsed

    def refuse(self, *args: Any, status: int = 400, **kwargs: Any) -> dict[str, Any]:
        """The error object of an answer that must have this status."""
        error: dict[str, Any] = self.ask(*args, status=status, **kwargs)["error"]
        return error

    def refund(self, payment: str, amount: int | None = None, **kwargs: Any) -> dict[str, Any]:
        """Refund over the API."""
        params = {"payment_intent": payment} | ({} if amount is None else {"amount": amount})
        return self.ask("POST", "/v1/refunds", params, **kwargs)

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        """Run a control command."""
        return self.world.control({"op": op, **command})

    def payment(self, payment_id: str = "pi_1", amount: int = 10_000, **more: Any) -> str:
        """Make a payment."""
        self.control("payment", id=payment_id, amount=amount, **more)
        return payment_id

    def listen(self) -> None:
        """Configure a webhook target."""
        self.control("webhook", url="http://shop.test/hook", secret="whsec_test")

    def due(self) -> list[Delivery]:
        """Webhook attempts due now."""
        return self.world.due(self.now)

    def events(self) -> list[dict[str, Any]]:
        """What is due now, delivered with success, as parsed events."""
        deliveries = self.due()
        for delivery in deliveries:
            self.world.delivered(delivery, 200)
        return [json.loads(delivery.body) for delivery in deliveries]

    def types(self) -> list[str]:
        """The types of what is due now."""
        return [event["type"] for event in self.events()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def adyen() -> AdyenBench:
    return AdyenBench()


@pytest.fixture
def paypal() -> PayPalBench:
    return PayPalBench()


class Served:
    """A sandbox in another thread, so that the blocking SDK can be used."""

    def __init__(self) -> None:
        self._ready: Queue[Sandbox] = Queue()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self.sandbox = self._ready.get(timeout=WAIT_S)
        self.url = self.sandbox.url

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with running(seed=1) as sandbox:
            self._ready.put(sandbox)
            await self._stop.wait()

    def stop(self) -> None:
        """End the sandbox and its thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        """POST one command."""
        status, answer = self.post({"op": op, **command})
        assert status == 200, answer
        return answer

    def post(self, body: Any) -> tuple[int, dict[str, Any]]:
        """POST anything to the control API."""
        request = urllib.request.Request(self.url + "/control", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def get(self, path: str) -> dict[str, Any]:
        """GET something of the control API."""
        with urllib.request.urlopen(self.url + path, timeout=WAIT_S) as response:
            parsed: dict[str, Any] = json.load(response)
            return parsed

    def refunds(self) -> list[dict[str, Any]]:
        """Every movement of money."""
        items: list[dict[str, Any]] = self.get("/control/refunds")["items"]
        return items


@pytest.fixture(scope="session")
def _served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def served(_served: Served) -> Served:
    _served.control("reset")
    return _served


@pytest.fixture
def client(served: Served) -> stripe.StripeClient:
    return stripe.StripeClient(
        API_KEY, base_addresses={"api": served.url + "/stripe"}, max_network_retries=0
    )


class Receiver:
    """A merchant's webhook endpoint; it answers `answers`, then 200, while `gate` is open."""

    def __init__(self) -> None:
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        self.answers: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.put((dict(self.headers), body))
                receiver.gate.wait(WAIT_S)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()
