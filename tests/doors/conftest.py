"""A running engine behind the REST application, with the sandbox as its provider."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS30Validator

from amends.core.reasons import SENTENCES
from amends.doors.rest import app
from amends.engine import actions
from amends.engine.config import Config, parse
from amends.engine.http import HttpTransport, Transport
from amends.engine.wiring import Engine
from amends.gateways.spec import Failure, Request, Response
from amends.sim.serve import Sandbox, running
from amends.store.open import connect
from amends.store.sqlite import SqliteStore

STRIPE_SECRET = "whsec_of_stripe"
SHOP_KEY = b"a secret of the shop: 24b"
SHOP_SECRET = "whsec_" + base64.b64encode(SHOP_KEY).decode()
ENVIRONMENT = {
    "STRIPE_KEY": "sk_test_sandbox",
    "STRIPE_WHSEC": STRIPE_SECRET,
    "SHOP_SECRET": SHOP_SECRET,
}


def settings(sandbox_url: str, **sections: Any) -> dict[str, Any]:
    """amends.toml, as Python; further `connections` besides those of every test."""
    more = sections.pop("connections", {})
    return {
        "store": {"url": "sqlite:///amends.db"},
        "connections": {
            "stripe-eu": {
                "gateway": "stripe",
                "api_key": "env:STRIPE_KEY",
                "webhook_secrets": ["env:STRIPE_WHSEC"],
                "base_url": f"{sandbox_url}/stripe",
            },
            "shop-1": {"gateway": "standard", "webhook_secrets": ["env:SHOP_SECRET"]},
            **more,
        },
        **sections,
    }


def order_body(number: str = "1001", payment: str = "pi_1") -> dict[str, Any]:
    """The order of the documentation: three teas and a parcel, 102.00 EUR."""
    vat = {"name": "VAT", "rate": "0.20"}
    return {
        "source": {"connection": "shop-1", "order_id": number},
        "placed_at": "2026-11-01T10:00:00Z",
        "currency": "EUR",
        "prices_include_tax": True,
        "customer": {"id": "c-1", "email": "a@example.com", "country": "DE"},
        "lines": [
            {
                "id": "1",
                "sku": "TEA",
                "title": "Tea",
                "quantity": 3,
                "total": 9600,
                "taxes": [{**vat, "amount": 1600}],
                "fulfilled": 3,
            }
        ],
        "shipping": [{"id": "s1", "total": 600, "taxes": [{**vat, "amount": 100}]}],
        "tenders": [
            {
                "kind": "payment",
                "connection": "stripe-eu",
                "psp_payment_id": payment,
                "amount": 10200,
                "captured": 10200,
            }
        ],
    }


class Documented:
    """Holds every answer against the OpenAPI document the application serves."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        """The status is documented for the call, with this media type and this shape."""
        operation = self._operation(method, path)
        if operation is None:
            assert answer.status_code in (404, 405), f"{method} {path} is not documented"
            return
        said = operation["responses"].get(str(answer.status_code))
        assert said, f"{method} {path} may not answer {answer.status_code}: {answer.text}"
        media = answer.headers["content-type"].partition(";")[0]
        schema = said["content"][media]["schema"]
        if media.endswith("json"):
            body = answer.json()
            whole = {"components": self._document["components"], **schema}
            OAS30Validator(whole).validate(body)
            self._no_more(body, schema, path)
        if media == "application/problem+json":
            assert f"`{answer.json()['code']}`" in said["description"]
            assert answer.json()["title"] in SENTENCES.values()

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        steps = path.partition("?")[0].split("/")
        whole = sorted(self._document["paths"].items(), key=lambda one: one[0].count("{"))
        for template, calls in whole:  # an address without a parameter is served first
            parts = template.split("/")
            same = len(parts) == len(steps) and all(
                part == step or part.startswith("{")
                for part, step in zip(parts, steps, strict=True)
            )
            if same and method.lower() in calls:
                found: dict[str, Any] = calls[method.lower()]
                return found
        return None

    def _no_more(self, body: Any, schema: dict[str, Any], where: str) -> None:
        """Every field that is answered is documented."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            self._no_more(body, self._document["components"]["schemas"][name], where)
        elif isinstance(body, dict) and "properties" in schema and schema.get("title") != "Problem":
            for name, value in body.items():
                assert name in schema["properties"], f"{where}: {name} is not documented"
                self._no_more(value, schema["properties"][name], f"{where}.{name}")
        elif isinstance(body, list) and "items" in schema:
            for value in body:
                self._no_more(value, schema["items"], f"{where}[]")


class Shop:
    """What a test talks to."""

    def __init__(self, engine: Engine, client: httpx.AsyncClient, sandbox: Sandbox) -> None:
        self.engine, self.client, self.sandbox = engine, client, sandbox
        self.keys: dict[str, str] = {}
        self.documented: Documented | None = None
        self._number = 0

    async def key(self, *scopes: str) -> str:
        """An API key with these scopes."""
        name = "+".join(scopes)
        if name not in self.keys:
            _, self.keys[name] = await actions.create_key(self.engine, "cli:test", name, scopes)
        return self.keys[name]

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        scopes: tuple[str, ...] = ("admin",),
        key: str | None = "",
        headers: dict[str, str] | None = None,
        content: Any = None,
    ) -> httpx.Response:
        """One request, held against the OpenAPI document. `key` "" makes a fresh one, None sends
        none."""
        sent = {"Authorization": f"Bearer {await self.key(*scopes)}"}
        if key is not None and method == "POST":
            self._number += 1
            sent["Idempotency-Key"] = key or f"key-{self._number}"
        sent |= headers or {}
        if content is None and body is not None:
            content = json.dumps(body).encode()
        answer = await self.client.request(method, path, headers=sent, content=content)
        if self.documented is None:
            self.documented = Documented((await self.client.get("/openapi.json")).json())
        self.documented.check(method, path, answer)
        return answer

    async def order(self, number: str = "1001", payment: str = "pi_1") -> str:
        """An order that was paid at the provider; its id."""
        self.sandbox.control({"op": "payment", "id": payment, "amount": 10200, "currency": "eur"})
        answer = await self.call("POST", "/v1/orders", order_body(number, payment))
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found

    async def refund(self, body: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """A refund that is made, as it is when it rests."""
        headers = {"Prefer": "wait=20"}
        answer = await self.call("POST", "/v1/refunds", body, headers=headers, **kwargs)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def code(self, method: str, path: str, body: Any = None, **kwargs: Any) -> str:
        """`<status> <code>` of a refusal."""
        answer = await self.call(method, path, body, **kwargs)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert problem["status"] == answer.status_code
        return f"{answer.status_code} {problem['code']}"


class Held(Transport):
    """A network that answers only once it is let go."""

    def __init__(self) -> None:
        self.inner = HttpTransport()
        self.refuse = False
        self.sent: list[Request] = []

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        self.sent.append(request)
        if self.refuse:
            return Failure(False, "held")
        return await self.inner.send(request, timeout_seconds)

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "amends.db"
    asyncio.run(_migrate(path))
    return path


Opening = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def opening(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractAsyncContextManager[Shop]]:
    """Opens a shop: `async with opening() as shop`."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    @asynccontextmanager
    async def open_(transport: Transport | None = None, **sections: Any) -> AsyncIterator[Shop]:
        shutil.copy(empty_database, tmp_path / "amends.db")
        async with running() as sandbox:
            config = parse(settings(sandbox.url, **sections), tmp_path / "amends.toml")
            async with _serving(config, transport) as engine:
                wire = httpx.ASGITransport(app(engine))
                async with httpx.AsyncClient(transport=wire, base_url="http://amends") as client:
                    yield Shop(engine, client, sandbox)

    return open_


@pytest.fixture
async def shop(opening: Opening) -> AsyncIterator[Shop]:
    """A shop with default settings."""
    async with opening() as found:
        yield found


async def _migrate(path: Path) -> None:
    store = SqliteStore(path)
    await store.migrate()
    await store.close()


@asynccontextmanager
async def _serving(config: Config, transport: Transport | None) -> AsyncIterator[Engine]:
    store = connect(config.store.url)
    await store.open()
    await store.own()
    engine = Engine(config, store, transport=transport)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
        await store.close()


def stripe_signature(raw: bytes, at: int | None = None, secret: str = STRIPE_SECRET) -> str:
    """The Stripe-Signature header."""
    stamp = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256)
    return f"t={stamp},v1={mac.hexdigest()}"


def shop_headers(raw: bytes, message: str = "msg_1", at: int | None = None) -> dict[str, str]:
    """The headers of a Standard Webhook."""
    stamp = str(int(time.time()) if at is None else at)
    signed = f"{message}.{stamp}.".encode() + raw
    mac = base64.b64encode(hmac.new(SHOP_KEY, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{mac}",
    }
