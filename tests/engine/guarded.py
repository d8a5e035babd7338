"""A provider behind a login, and one engine that talks to it: PayPal's protocol in a few lines.
The engine also has a connection to Adyen, which only speaks by webhook here.

It takes each token once it gave it, until it is told to forget; what it was asked and what it made
can be looked at. Addresses of certificates are answered from a table.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from amends.core.order import Order
from amends.core.requests import LineIn, OrderIn, OrderKey, RefundIn, TenderIn
from amends.engine import actions, config
from amends.engine.actions import Caller
from amends.engine.wiring import Engine
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.time import SECOND
from amends.sim.play.node import Numbers
from amends.store.open import connect
from tests.engine.lab import HandClock, render
from tests.gateways.adyen_table import ACCOUNT
from tests.gateways.adyen_table import SECRET as HMAC
from tests.gateways.paypal_table import CAPTURE, refund

PAYPAL, ADYEN = "paypal-eu", "adyen-eu"
CLIENT_SECRET = "E" + "cret-Table_" * 7 + "99"
PATIENCE_S = 20.0
LIFETIME_S = 32_400


class Party:
    """Its own transport. `login_answer` replaces what a login is answered, `at` is called before a
    request is answered, `gate` holds logins back."""

    def __init__(self) -> None:
        self.logins: list[Request] = []
        self.requests: list[Request] = []
        self.fetched: list[Request] = []
        self.timeouts: list[float] = []
        self.refunds: dict[str, dict[str, Any]] = {}  # by request id
        self.certificates: dict[str, Response | Failure] = {}
        self.valid: set[str] = set()
        self.lifetime_s = LIFETIME_S
        self.login_answer: Response | Failure | None = None
        self.gate: asyncio.Event | None = None
        self.at: Callable[[Request], None] = lambda request: None

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        self.timeouts.append(timeout_seconds)
        self.at(request)
        if "/certs/" in request.url:
            self.fetched.append(request)
            await asyncio.sleep(0)
            return self.certificates.get(request.url, Response(404, {}, b"{}"))
        if request.url.endswith("/v1/oauth2/token"):
            return await self._login(request)
        self.requests.append(request)
        return self._answer(request)

    async def _login(self, request: Request) -> Response | Failure:
        self.logins.append(request)
        number = len(self.logins)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.login_answer is not None:
            return self.login_answer
        token = f"A21AA-token-number-{number}-of-the-table"
        self.valid.add(token)
        return _json(200, {"access_token": token, "expires_in": self.lifetime_s})

    def _answer(self, request: Request) -> Response:
        head = dict(request.headers)
        if head.get("Authorization", "").removeprefix("Bearer ") not in self.valid:
            return _json(401, {"name": "AUTHENTICATION_FAILURE", "message": "Not authenticated."})
        if request.method == "GET":
            return _json(404, {"name": "RESOURCE_NOT_FOUND", "message": "Not here."})
        asked = json.loads(request.body)
        given = {name: asked[name] for name in ("amount", "custom_id", "invoice_id")}
        made = self.refunds.setdefault(head["PayPal-Request-Id"], refund(**given))
        return _json(201, made)

    def forget(self) -> None:
        """No token holds any more."""
        self.valid.clear()

    async def close(self) -> None:
        """Nothing is open."""


def _json(status: int, body: Any) -> Response:
    return Response(status, {"paypal-debug-id": "f1"}, json.dumps(body).encode())


def bearer(request: Request) -> str:
    return dict(request.headers)["Authorization"].removeprefix("Bearer ")


def bare(request: Request) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    """A request without its token."""
    head = tuple((n, v) for n, v in request.headers if n != "Authorization")
    return request.url, head, request.body


def settings(url: str, folder: Path, **changes: Any) -> config.Config:
    """A configuration with a PayPal account, which `changes` change, and one at Adyen."""
    for name, text in (("secret", CLIENT_SECRET), ("webhook", "8PT597110X687430L"), ("hmac", HMAC)):
        (folder / name).write_text(text)
    paypal = {
        "gateway": "paypal",
        "client_id": "AcOwnTableClient",
        "client_secret": f"file:{folder / 'secret'}",
        "environment": "sandbox",
        "webhook_secrets": [f"file:{folder / 'webhook'}"],
        "rate": 0,
    }
    adyen = {
        "gateway": "adyen",
        "api_key": f"file:{folder / 'secret'}",
        "merchant_account": ACCOUNT,
        "environment": "test",
        "hmac_keys": [f"file:{folder / 'hmac'}"],
        "rate": 0,
    }
    raw = {
        "store": {"url": url},
        "policy": {"auto_approve_up_to": 10**9},
        "audit": {"dir": str(folder / "audit")},
        "connections": {PAYPAL: paypal | changes, ADYEN: adyen},
    }
    return config.parse(raw, folder / "amends.toml")


class Guarded:
    """One engine, its clock, and the party it talks to."""

    def __init__(self, found: config.Config, engine: Engine, clock: HandClock, party: Party):
        self.config, self.engine, self.clock, self.party = found, engine, clock, party

    async def order(
        self,
        number: str = "1",
        psp_payment_id: str = CAPTURE,
        connection: str = PAYPAL,
        captured: int = 10_000,
    ) -> Order:
        tender = TenderIn(10_000, "payment", connection, psp_payment_id, captured)
        line = LineIn("1", 1, 10_000, fulfilled=1)
        told = await actions.report_order(
            self.engine,
            Caller("key:shop", "key:shop"),
            OrderIn(OrderKey("shop-1", number), "EUR", (line,), (tender,)),
        )
        (result,) = told.results
        assert result.order is not None and result.refused is None, result
        return result.order

    async def refund(self, order: Order, amount: int) -> None:
        caller = Caller("key:support", "key:support", "POST /v1/refunds", "", render)
        await actions.request_refund(self.engine, caller, RefundIn(order=order.id, amount=amount))

    async def quiet(self) -> None:
        """Until nothing is queued, being turned or on the wire."""
        async with asyncio.timeout(PATIENCE_S):
            while self.engine.deliverer._tasks or not self.engine.turner.idle:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)

    async def settle(self, seconds: int = 120) -> None:
        """Let time run for so long."""
        await self.quiet()
        for _ in range(seconds):
            self.clock.forward(SECOND)
            while await self.engine.sweeper.claim():
                await self.quiet()

    async def states(self, order: Order) -> list[str]:
        found = await self.engine.store.order(order.id)
        assert found is not None
        return [leg.state for item in found.refunds for leg in item.legs]


@asynccontextmanager
async def guarded(url: str, folder: Path, **connection: Any) -> AsyncIterator[Guarded]:
    found = settings(url, folder, **connection)
    store = connect(url)
    await store.open()
    clock, party = HandClock(), Party()
    engine = Engine(found, store, clock=clock, ids=Numbers(), transport=party)
    engine.sealer.prepare()
    await engine.start(sweep=False)
    try:
        yield Guarded(found, engine, clock, party)
    finally:
        tasks = [*engine._tasks, *engine.deliverer._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
