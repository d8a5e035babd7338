"""Messages in: genuine ones are on disk before the 2xx, all others are refused."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from amends.doors import calls
from amends.gateways import mollie
from amends.gateways.spec import Genuine

from .conftest import Shop, order_body, shop_headers, stripe_signature

STRIPE = "/webhooks/stripe-eu"
SHOP = "/webhooks/shop-1"


def stripe_event(event: str = "evt_1", live: bool = False) -> bytes:
    """A refund made in the dashboard."""
    refund = {
        "id": "re_9",
        "object": "refund",
        "amount": 500,
        "currency": "eur",
        "payment_intent": "pi_1",
        "charge": "ch_1",
        "status": "succeeded",
        "metadata": {},
        "created": int(time.time()),
    }
    body = {
        "id": event,
        "object": "event",
        "type": "refund.created",
        "livemode": live,
        "created": int(time.time()),
        "data": {"object": refund},
        "api_version": "2025-01-27",
    }
    return json.dumps(body).encode()


async def post(shop: Shop, path: str, raw: bytes, headers: dict[str, str]) -> Any:
    return await shop.call("POST", path, content=raw, headers=headers, key=None)


async def test_a_message_is_taken_once(shop: Shop) -> None:
    order = await shop.order()
    raw = stripe_event()
    headers = {"Stripe-Signature": stripe_signature(raw)}
    first = await post(shop, STRIPE, raw, headers)
    assert (first.status_code, first.json()) == (200, {"received": True, "duplicate": False})
    again = await post(shop, STRIPE, raw, headers)
    assert again.json() == {"received": True, "duplicate": True}
    payment = (await shop.call("GET", "/v1/payments/pi_1")).json()
    assert (payment["external"], payment["remaining"]) == (500, 9700)
    assert len((await shop.call("GET", f"/v1/orders/{order}")).json()["refunds"]) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Stripe-Signature": ""},
        {"Stripe-Signature": "t=1,v1=00"},
        {"Stripe-Signature": stripe_signature(stripe_event("evt_other"))},
        {"Stripe-Signature": stripe_signature(stripe_event(), secret="whsec_wrong")},
        {"Stripe-Signature": stripe_signature(stripe_event(), at=int(time.time()) - 3600)},
        {"Stripe-Signature": stripe_signature(stripe_event(), at=int(time.time()) + 3600)},
    ],
    ids=["none", "empty", "old", "other", "secret", "stale", "future"],
)
async def test_what_is_not_genuine_is_refused(shop: Shop, headers: dict[str, str]) -> None:
    answer = await post(shop, STRIPE, stripe_event(), headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")


def test_a_header_that_comes_twice_is_one_list() -> None:
    """Mollie signs by the old secret and by the new one for a day, each in a header of its own."""
    raw = b"{}"
    pairs = [(b"host", b"amends.test")]
    for secret in (b"old", b"new"):
        mac = hmac.new(secret, raw, hashlib.sha256).hexdigest()
        pairs.append((b"x-mollie-signature", f"sha256={mac}".encode()))
    headers = calls._headers({"headers": pairs})  # type: ignore[typeddict-item]
    assert headers["host"] == "amends.test"
    for secret in ("old", "new"):
        assert mollie.verify(raw, headers, (secret,), 0) == Genuine()


async def test_a_tampered_body_is_refused(shop: Shop) -> None:
    raw = stripe_event()
    headers = {"Stripe-Signature": stripe_signature(raw)}
    answer = await post(shop, STRIPE, raw.replace(b"500", b"900"), headers)
    assert answer.status_code == 401


async def test_the_body_is_not_parsed_before_its_signature_holds(shop: Shop) -> None:
    assert (await post(shop, STRIPE, b"{", {})).status_code == 401
    signed = {"Stripe-Signature": stripe_signature(b"{")}
    assert (await post(shop, STRIPE, b"{", signed)).status_code == 400


async def test_strangers_and_giants(shop: Shop) -> None:
    unknown = await post(shop, "/webhooks/nobody", b"{}", {})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_connection")
    raw = b"x" * (2 * 1024 * 1024)
    giant = await post(shop, STRIPE, raw, {"Stripe-Signature": stripe_signature(raw)})
    assert (giant.status_code, giant.json()["code"]) == (413, "too_large")


async def test_the_wrong_mode_is_refused(shop: Shop) -> None:
    raw = stripe_event(live=True)
    answer = await post(shop, STRIPE, raw, {"Stripe-Signature": stripe_signature(raw)})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_mode")


async def test_a_message_of_an_unknown_payment_waits_for_its_order(shop: Shop) -> None:
    raw = stripe_event()
    answer = await post(shop, STRIPE, raw, {"Stripe-Signature": stripe_signature(raw)})
    assert answer.status_code == 200
    counts = await shop.engine.store.counts(shop.engine.clock.now())
    assert counts["inbox_unmatched"] == 1
    await shop.order()
    payment = (await shop.call("GET", "/v1/payments/pi_1")).json()
    assert (payment["external"], payment["remaining"]) == (500, 9700)


async def test_a_shop_reports_an_order_and_asks_for_a_refund(shop: Shop) -> None:
    shop.sandbox.control({"op": "payment", "id": "pi_1", "amount": 10200, "currency": "eur"})
    stamp = "2026-11-01T10:00:00Z"
    order = {"type": "order.created", "timestamp": stamp, "data": order_body()}
    raw = json.dumps(order).encode()
    assert (await post(shop, SHOP, raw, shop_headers(raw, "m1"))).status_code == 200
    data = {"order": {"connection": "shop-1", "order_id": "1001"}, "amount": 500}
    wish = {"type": "refund.requested", "timestamp": stamp, "data": data}
    raw = json.dumps(wish).encode()
    for _ in range(2):
        assert (await post(shop, SHOP, raw, shop_headers(raw, "m2"))).status_code == 200
    items = (await shop.call("GET", "/v1/refunds")).json()["items"]
    assert [(item["amount"], item["requested_by"]) for item in items] == [
        (500, "connection:shop-1")
    ]
