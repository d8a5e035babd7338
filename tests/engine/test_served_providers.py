"""Adyen and PayPal as a connection has them: real HTTP to the served look-alikes, their signed
webhooks back, a login, a certificate that is fetched. One engine on each database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio
from aiohttp import web

from amends.core.order import Order
from amends.core.reasons import Reason, Refused
from amends.core.requests import LineIn, OrderIn, OrderKey, RefundIn, TenderIn
from amends.doors.problems import STATUS
from amends.engine import actions, config
from amends.engine.actions import Caller
from amends.engine.intake import receive
from amends.engine.wiring import Engine
from amends.sim.serve import Sandbox, running
from amends.store.open import connect
from tests.engine.lab import render

PAYPAL, ADYEN = "paypal-eu", "adyen-eu"
HMAC, WEBHOOK = "0A" * 32, "8PT597110X687430L"
TRIES = 8000  # of 5 ms and a read each; a busy machine is slow


class Served:
    """The sandbox, one engine, and the address its webhooks come to."""

    def __init__(self, sandbox: Sandbox, engine: Engine) -> None:
        self.sandbox, self.engine = sandbox, engine
        self.answers: list[int] = []

    async def hear(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await receive(self.engine, request.match_info["name"], await request.read(), headers)
            status = 200
        except Refused as refused:
            status = STATUS[refused.refusal.reason]
        self.answers.append(status)
        return web.Response(status=status)

    def control(self, gateway: str, op: str, **command: Any) -> dict[str, Any]:
        return self.sandbox.control({"op": op, "gateway": gateway, **command})

    async def sold(self, gateway: str, psp_payment_id: str, **more: Any) -> Order:
        """An order of 100.00 EUR paid there."""
        self.control(gateway, "payment", id=psp_payment_id, amount=10_000, currency="EUR", **more)
        tender = TenderIn(10_000, "payment", f"{gateway}-eu", psp_payment_id, 10_000)
        line = LineIn("1", 1, 10_000, fulfilled=1)
        key = OrderKey("shop-1", psp_payment_id)
        told = await actions.report_order(
            self.engine, Caller("key:shop", "key:shop"), OrderIn(key, "EUR", (line,), (tender,))
        )
        (result,) = told.results
        assert result.order is not None, result
        return result.order

    async def refund(self, order: Order, amount: int) -> None:
        caller = Caller("key:support", "key:support", "POST /v1/refunds", "", render)
        await actions.request_refund(self.engine, caller, RefundIn(order=order.id, amount=amount))

    async def until(self, order: Order, states: list[str], external: int = 0) -> None:
        """Until its legs are in these states, and so much left by others' hand."""
        seen: Any = None
        for _ in range(TRIES):
            found = await self.engine.store.order(order.id)
            assert found is not None
            (paid,) = found.payments
            seen = [leg.state for item in found.refunds for leg in item.legs], paid.external
            if seen == (states, external):
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"never {states}, {external}: {seen}, webhooks {self.answers}")

    def moved(self, gateway: str) -> list[int]:
        """What the provider really gave back."""
        rows = self.sandbox.worlds[gateway].movements()
        return [row.amount for row in rows if row.kind == "refund" and row.status == "succeeded"]


def settings(url: str, folder: Path, sandbox: Sandbox) -> config.Config:
    pem = sandbox.control({"op": "trust_anchors", "gateway": "paypal"})["pem"]
    for name, text in (
        ("key", "sk_test_sandbox"),
        ("root.pem", pem),
        ("webhook", WEBHOOK),
        ("hmac", HMAC),
    ):
        (folder / name).write_text(text)
    paypal = {
        "gateway": "paypal",
        "client_id": "sandbox",
        "client_secret": f"file:{folder / 'key'}",
        "environment": "sandbox",
        "webhook_secrets": [f"file:{folder / 'webhook'}"],
        "base_url": f"{sandbox.url}/paypal",
        "trust_anchors": f"file:{folder / 'root.pem'}",
    }
    adyen = {
        "gateway": "adyen",
        "api_key": f"file:{folder / 'key'}",
        "merchant_account": "TestMerchant",
        "environment": "test",
        "hmac_keys": [f"file:{folder / 'hmac'}"],
        "base_url": f"{sandbox.url}/adyen",
    }
    raw = {
        "store": {"url": url},
        "policy": {"auto_approve_up_to": 10**9},
        "audit": {"dir": str(folder / "audit")},
        "connections": {PAYPAL: paypal, ADYEN: adyen},
    }
    return config.parse(raw, folder / "amends.toml")


@asynccontextmanager
async def listening(served: Served) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/webhooks/{name}", served.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/webhooks"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture
async def served(db_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with running(seed=1) as sandbox:
        found = settings(db_url, tmp_path, sandbox)
        store = connect(db_url)
        await store.open()
        engine = Engine(found, store)
        await engine.start()
        here = Served(sandbox, engine)
        async with listening(here) as url:
            here.control("paypal", "webhook", url=f"{url}/{PAYPAL}", secret=WEBHOOK)
            here.control("adyen", "webhook", url=f"{url}/{ADYEN}", secret=HMAC)
            try:
                yield here
            finally:
                await engine.stop()
                await store.close()


async def test_paypal_from_login_to_webhook(served: Served) -> None:
    order = await served.sold("paypal", "2GG279541U471931P")
    await served.refund(order, 700)
    await served.until(order, ["succeeded"])
    served.control("paypal", "revoke_tokens")
    await served.refund(order, 800)
    await served.until(order, ["succeeded", "succeeded"])
    served.control("paypal", "dashboard_refund", payment="2GG279541U471931P", amount=900)
    await served.until(order, ["succeeded"] * 3, external=900)
    assert served.moved("paypal") == [700, 800, 900]
    assert set(served.answers) == {200}, "every certificate was fetched and believed"
    assert len(served.engine.certificates._kept) == 1


async def test_paypal_lost_answer(served: Served) -> None:
    """edge-02: the money left, its answer was lost; it is found and not sent twice."""
    order = await served.sold("paypal", "2GG279541U471931P")
    served.control("paypal", "fault", kind="lost_answer", count=1, path="/v2/payments/*")
    await served.refund(order, 700)
    await served.until(order, ["succeeded"])
    assert served.moved("paypal") == [700]


async def test_adyen_from_request_to_webhook(served: Served) -> None:
    order = await served.sold("adyen", "8815329842815468")
    await served.refund(order, 700)
    await served.until(order, ["succeeded"])
    served.control("adyen", "refund_outcome", status="failed", count=1)
    await served.refund(order, 800)
    await served.until(order, ["succeeded", "failed"])
    assert served.moved("adyen") == [700]
    assert set(served.answers) == {200}


async def test_adyen_lost_answer(served: Served) -> None:
    """edge-02: without a look-up the webhook, or the same bytes again, tell."""
    order = await served.sold("adyen", "8815329842815468")
    served.control("adyen", "fault", kind="lost_answer", count=1)
    await served.refund(order, 700)
    await served.until(order, ["succeeded"])
    assert served.moved("adyen") == [700]


async def test_a_forged_webhook_of_either_is_refused(served: Served) -> None:
    for gateway in ("paypal", "adyen"):
        served.control(gateway, "webhook_fault", kind="bad_signature", count=1)
        served.control(gateway, "webhook_retries", retry_after_s=[0.5, 1, 2])
    order = await served.sold("adyen", "8815329842815468")
    await served.refund(order, 700)
    await served.until(order, ["succeeded"])  # by the repeat
    other = await served.sold("paypal", "2GG279541U471931P")
    served.control("paypal", "dashboard_refund", payment="2GG279541U471931P", amount=900)
    await served.until(other, ["succeeded"], external=900)
    assert served.answers.count(STATUS[Reason.SIGNATURE_INVALID]) == 2
