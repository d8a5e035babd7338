"""A subscription's unused time over REST."""

from __future__ import annotations

from typing import Any

from .conftest import Shop, order_body


def subscribed() -> dict[str, Any]:
    body = order_body()
    period = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "by": "day"}
    body["lines"][0] |= {"period": period, "quantity": 1}
    return body


async def test_unused_days_are_quoted_paid_and_shown(shop: Shop) -> None:
    shop.sandbox.control({"op": "payment", "id": "pi_1", "amount": 10200, "currency": "eur"})
    order = (await shop.call("POST", "/v1/orders", subscribed())).json()["id"]
    unused = {"line": "1", "start": "2026-11-16T09:00:00Z"}
    asked = {"order": order, "reason": "subscription", "unused": [unused]}
    quote = (await shop.call("POST", "/v1/quotes", asked)).json()
    shown = {"line": "1", "by": "day", "period": 30, "start": 16, "end": 30}
    shown |= {"unused": 14, "used": 16, "credit": 0}
    assert (quote["amount"], quote["unused"]) == (4480, [shown])
    line = (await shop.call("GET", f"/v1/orders/{order}")).json()["lines"][0]
    assert (line["period"]["by"], line["period"]["credited"]) == ("day", [])
    refund = await shop.refund({"quote": quote["id"]})
    assert (refund["state"], refund["unused"]) == ("succeeded", [shown])
    assert await shop.code("POST", "/v1/refunds", asked) == "409 time_refunded"
    asked["unused"] = [{"line": "1", "start": "2026-10-01T00:00:00Z"}]
    assert await shop.code("POST", "/v1/quotes", asked) == "422 bad_period"


async def test_a_period_that_is_none_is_refused(shop: Shop) -> None:
    body = subscribed()
    body["lines"][0]["period"]["end"] = "2026-10-01T00:00:00Z"
    assert await shop.code("POST", "/v1/orders", body) == "422 bad_period"
