"""Shops of their own make at the door: what they send as it is, and what they are answered."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from amends.core.orders import order_id
from amends.core.requests import OrderKey
from amends.gateways.spec import Failure, Request, Response
from tests.gateways import shopify_table, woocommerce_table
from tests.gateways.table import NOW_SECONDS
from tests.gateways.test_shopify import PAID_BY

from .conftest import Opening, Shop

CONNECTIONS = {
    "stripe-eu": {"gateway": "stripe", "api_key": "env:STRIPE_KEY"},
    "stripe-us": {"gateway": "stripe", "api_key": "env:STRIPE_KEY"},
    "shop-1": {
        "gateway": "shopify",
        "shop": "example.myshopify.com",
        "access_token": "env:SHOP_SECRET",
        "webhook_secrets": ["env:SHOP_SECRET"],
        "payments": {"stripe": "stripe-eu"},
    },
    "shop-2": {
        "gateway": "woocommerce",
        "store_url": "https://shop.example",
        "consumer_key": "env:SHOP_SECRET",
        "consumer_secret": "env:SHOP_SECRET",
        "webhook_secrets": ["env:SHOP_SECRET"],
        "payments": {"stripe": "stripe-us"},
    },
}
PARTIES = {
    "shop-1": (shopify_table, "orders/create"),
    "shop-2": (woocommerce_table, "order.created"),
}


SECRET = "a secret of the shop"


async def hear(shop: Shop, connection: str, body: Any, event: str = "") -> httpx.Response:
    party, topic = PARTIES[connection]
    raw = json.dumps(body).encode()
    headers = {**party.sign(raw, SECRET, NOW_SECONDS), **party.named(event or topic)}
    return await shop.call(
        "POST", f"/webhooks/{connection}", content=raw, headers=headers, key=None
    )


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch, opening: Opening) -> None:
    monkeypatch.setenv("SHOP_SECRET", SECRET)


@pytest.mark.parametrize("connection", PARTIES)
async def test_a_shops_order_becomes_ours_and_its_repeat_nothing(
    opening: Opening, connection: str
) -> None:
    async with opening(connections=CONNECTIONS) as shop:
        order = PARTIES[connection][0].order()
        for duplicate in (False, True):
            answer = await hear(shop, connection, order)
            assert answer.json() == {"received": True, "duplicate": duplicate}
        name = order_id(OrderKey(connection, str(order["id"])))
        found = (await shop.call("GET", f"/v1/orders/{name}")).json()
        assert found["source"] == {"connection": connection, "order_id": str(order["id"])}


class Shopify:
    """Answers the one thing it is asked."""

    def __init__(self, answer: Response | Failure) -> None:
        self.answer = answer
        self.asked = 0

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        assert request.url.startswith("https://example.myshopify.com/admin/api/")
        self.asked += 1
        return self.answer

    async def close(self) -> None:
        """Nothing is open."""


async def test_what_a_message_leaves_out_is_asked_for_and_without_it_nothing_is_taken(
    opening: Opening,
) -> None:
    shopify = Shopify(Failure(True, "no answer in time"))
    async with opening(shopify, connections=CONNECTIONS) as shop:
        order = shopify_table.order(transactions=None)
        away = await hear(shop, "shop-1", order)
        assert (away.status_code, away.json()["code"]) == (503, "sender_away")
        paid = {"order": {"transactions": [PAID_BY]}}
        shopify.answer = Response(200, {}, json.dumps({"data": paid}).encode())
        assert (await hear(shop, "shop-1", order)).json() == {"received": True, "duplicate": False}
        assert shopify.asked == 2
        assert (await shop.call("GET", "/v1/payments/ch_1")).status_code == 200


async def test_the_greeting_of_a_new_webhook_is_answered_200_and_believed_in_nothing(
    opening: Opening,
) -> None:
    """WooCommerce saves no webhook whose address answers `webhook_id=17` otherwise."""
    async with opening(connections=CONNECTIONS) as shop:
        for connection, status in (("shop-2", 200), ("shop-1", 401)):
            answer = await shop.call(
                "POST", f"/webhooks/{connection}", content=b"webhook_id=17", key=None
            )
            assert answer.status_code == status
        unsigned = await shop.call("POST", "/webhooks/shop-2", content=b"{}", key=None)
        assert unsigned.status_code == 401


async def test_an_order_by_a_payment_nobody_configured_is_not_acknowledged(
    opening: Opening,
) -> None:
    """Its sender shows the failure, and repeats it once the settings name the payment."""
    async with opening(connections=CONNECTIONS) as shop:
        order = woocommerce_table.order(payment_method="klarna")
        answer = await hear(shop, "shop-2", order)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "No payment connection 'klarna' is configured."
