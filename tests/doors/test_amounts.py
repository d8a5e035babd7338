"""Amounts over REST: what an order says, what a refund gives back, quotes that no longer hold."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Shop, order_body

TEA = {"lines": [{"id": "1", "quantity": 1}]}


def promoted() -> dict[str, Any]:
    """The order of the documentation, with a gift wrap, less 3.00 from 90.00 on."""
    body = order_body()
    body["lines"][0] |= {"subtotal": 9900, "discounts": [{"amount": 300, "of": "p"}]}
    body["charges"] = [{"id": "w", "kind": "gift_wrap", "total": 300}]
    body["promotions"] = [{"id": "p", "kind": "threshold", "at_least": 9000, "if_lost": "clawback"}]
    body["tenders"][0] |= {"amount": 10500, "captured": 10500}
    return body


async def reported(shop: Shop, body: dict[str, Any]) -> str:
    shop.sandbox.control({"op": "payment", "id": "pi_1", "amount": 10500, "currency": "eur"})
    answer = await shop.call("POST", "/v1/orders", body)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


async def test_every_part_of_an_amount_is_shown(shop: Shop) -> None:
    order = await reported(shop, promoted())
    asked = {**TEA, "charges": "full", "shipping": "proportional"}
    asked["fees"] = [{"kind": "return_label", "amount": 120}]
    refund = await shop.refund({"order": order, **asked})
    assert refund["amount"] == 3200 + 200 + 300 - 200 - 120
    assert refund["breakdown"] == {
        "lines": [{"id": "1", "quantity": 1, "net": 2667, "tax": 533}],
        "shipping": {"net": 167, "tax": 33},
        "charges": [{"id": "w", "net": 300, "tax": 0}],
        "promotions": [{"id": "p", "line": "1", "net": 167, "tax": 33, "waived": False}],
        "fees": [{"kind": "return_label", "net": 102, "tax": 18}],
        "compensation": 0,
        "unallocated": 0,
    }
    shown = (await shop.call("GET", f"/v1/orders/{order}")).json()
    tea = next(line for line in shown["lines"] if line["id"] == "1")
    assert (tea["remaining_quantity"], tea["remaining"]) == (2, 6400)
    (freight,) = shown["shipping"]
    assert (freight["total"], freight["remaining"]) == (600, 400)
    (wrap,) = shown["charges"]
    assert wrap == {
        "id": "w",
        "kind": "gift_wrap",
        "title": "",
        "total": 300,
        "refundable": True,
        "remaining": 0,
    }
    assert shown["promotions"] == [{"id": "p", "kind": "threshold", "if_lost": "clawback"}]
    balances = (await shop.call("GET", "/v1/ledger/balances")).json()["balances"]
    booked = {row["account"]: row["amount"] for row in balances}
    assert (booked["fees_kept"], booked["charge_refunds"], sum(booked.values())) == (-102, 300, 0)


@pytest.mark.parametrize(
    ("totals", "code"),
    [
        ({"total": 10200}, "total_off"),
        ({"taxes": 1}, "taxes_off"),
        ({"discounts": 1}, "discounts_off"),
    ],
)
async def test_an_order_that_does_not_add_up(shop: Shop, totals: dict[str, int], code: str) -> None:
    answer = await shop.call("POST", "/v1/orders", {**promoted(), "totals": totals})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code)
    assert problem["off_by"] == problem["computed"] - problem["stated"] != 0


async def test_a_stale_quote_says_what_changed(shop: Shop) -> None:
    order = await reported(shop, promoted())
    quote = (await shop.call("POST", "/v1/quotes", {"order": order, **TEA})).json()
    other = await shop.order("1002", "pi_2")
    named = {"quote": quote["id"], "order": other}
    assert await shop.code("POST", "/v1/refunds", named) == "409 quote_of_another_order"
    altered = {"quote": quote["id"], "hash": "0" * 64}
    assert await shop.code("POST", "/v1/refunds", altered) == "409 quote_altered"
    await shop.refund({"order": order, "amount": 100})
    answer = await shop.call(
        "POST",
        "/v1/refunds",
        {"quote": quote["id"], "order": order, "hash": quote["hash"]},
        key="s",
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "quote_stale")
    assert problem["changed"] == ["refunds", "remaining"]
    assert "10400 is left (was 10500)" in problem["detail"]
    fresh = (await shop.call("POST", "/v1/quotes", {"order": order, **TEA})).json()
    committed = {"quote": fresh["id"], "order": order, "hash": fresh["hash"]}
    assert (await shop.refund(committed))["amount"] == fresh["amount"]
