"""A database that is locked, full or gone: 503, and nothing is acknowledged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from amends.store.open import connect
from amends.store.spec import StoreUnavailable

from .conftest import Shop, order_body, stripe_signature
from .test_webhooks import stripe_event

UNAVAILABLE = "503 store_unavailable"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's store waits a moment for another process, not seconds."""
    monkeypatch.setattr("amends.store.sqlite.BUSY_MS", 100)


@pytest.mark.usefixtures("impatient")
async def test_a_locked_database(shop: Shop, tmp_path: Path) -> None:
    order = await shop.order()
    raw = stripe_event()
    signed = {"Stripe-Signature": stripe_signature(raw)}
    with sqlite3.connect(tmp_path / "amends.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        asked = {"order": order, "amount": 100}
        answer = await shop.call("POST", "/v1/refunds", asked, key="k")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
        webhook = await shop.call("POST", "/webhooks/stripe-eu", content=raw, headers=signed)
        assert webhook.status_code == 503
        assert (await shop.client.get("/readyz")).status_code == 503
        assert (await shop.client.get("/healthz")).status_code == 200
        other.execute("ROLLBACK")
    other.close()
    assert (await shop.call("GET", "/v1/refunds")).json()["items"] == []
    again = await shop.call("POST", "/v1/refunds", asked, key="k")
    assert (again.status_code, "idempotent-replayed" in again.headers) == (201, False)
    taken = await shop.call("POST", "/webhooks/stripe-eu", content=raw, headers=signed)
    assert taken.json() == {"received": True, "duplicate": False}


async def test_a_full_database(shop: Shop) -> None:
    store = shop.engine.store
    size = await store.submit(  # type: ignore[attr-defined]
        lambda connection: connection.execute("PRAGMA page_count").fetchone()[0]
    )
    await store.submit(  # type: ignore[attr-defined]
        lambda connection: connection.execute(f"PRAGMA max_page_count = {size}").fetchone()
    )
    answers = [
        await shop.call("POST", "/v1/orders", order_body(str(n), f"pi_{n}")) for n in range(60)
    ]
    assert answers[-1].json()["code"] == "store_unavailable"
    kept = (await shop.call("GET", "/v1/orders?limit=200")).json()["items"]
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert {item["id"] for item in kept} == made


async def test_a_second_server_is_refused(shop: Shop, tmp_path: Path) -> None:
    other = connect(f"sqlite:///{tmp_path / 'amends.db'}")
    await other.open()
    with pytest.raises(StoreUnavailable, match="one server"):
        await other.own()
    await other.close()


async def test_a_store_that_is_gone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await shop.order()

    def gone(*args: object) -> None:
        raise StoreUnavailable("the connection was refused")

    monkeypatch.setattr(shop.engine.store, "turn", gone)
    monkeypatch.setattr(shop.engine.store, "orders", gone)
    monkeypatch.setattr(shop.engine.store, "counts", gone)
    body = {"order": order, "amount": 100}
    assert await shop.code("POST", "/v1/refunds", body) == UNAVAILABLE
    assert await shop.code("POST", "/v1/orders", order_body("2", "pi_2")) == UNAVAILABLE
    assert await shop.code("GET", "/v1/orders") == UNAVAILABLE
    assert "amends_store_up 0.0" in (await shop.client.get("/metrics")).text
