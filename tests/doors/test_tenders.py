"""Gift cards over REST: given back, shown, and with a balance."""

from __future__ import annotations

from typing import Any

from .conftest import Shop, order_body


def mixed() -> dict[str, Any]:
    """The order of the documentation, 30.00 of it by gift card."""
    body = order_body()
    body["tenders"][0] |= {"amount": 7200, "captured": 7200}
    gift = {"kind": "gift_card", "amount": 3000, "reference": "GC-1"}
    return {**body, "tenders": [gift, *body["tenders"]]}


async def test_edge_19_a_gift_card_is_given_back_and_shown(shop: Shop) -> None:
    shop.sandbox.control({"op": "payment", "id": "pi_1", "amount": 7200, "currency": "eur"})
    told = await shop.call("POST", "/v1/orders", mixed())
    assert told.status_code == 201, told.text
    order = told.json()
    assert [(t["kind"], t["name"], t["remaining"]) for t in order["tenders"]] == [
        ("gift_card", "GC-1", 3000),
        ("payment", "pi_1", 7200),
    ]
    assert (order["remaining"], len(order["payments"])) == (10_200, 1)
    asked = {"order": order["id"], "amount": 5100, "tenders": "proportional"}
    quote = (await shop.call("POST", "/v1/quotes", asked)).json()
    assert [(t["tender_kind"], t["kind"], t["amount"]) for t in quote["tenders"]] == [
        ("gift_card", "credit", 1500),
        ("payment", "refund", 3600),
    ]
    refund = await shop.refund({"quote": quote["id"]})
    credit = refund["legs"][0]
    assert (credit["kind"], credit["tender_kind"], credit["state"]) == (
        *("credit", "gift_card", "succeeded"),
    )
    over = {"order": order["id"], "amount": 3700, "tenders": [{"id": "pi_1", "amount": 3700}]}
    refused = await shop.call("POST", "/v1/refunds", over)
    assert (refused.status_code, refused.json()["code"]) == (409, "exceeds_tender")
    assert [t["remaining"] for t in refused.json()["tenders"]] == [1500, 3600]
    credits = (await shop.call("GET", "/v1/ledger/credits?holder=GC-1")).json()
    assert credits == {
        "holder": "GC-1",
        "credits": [{"account": "gift_cards", "currency": "EUR", "amount": 1500}],
    }
    listed = (await shop.call("GET", "/v1/ledger/entries?holder=GC-1")).json()["items"]
    assert [(e["kind"], e["holder"], e["refund"]) for e in listed] == [
        ("payout", "GC-1", refund["id"])
    ]
    assert await shop.code("GET", "/v1/ledger/credits") == "422 validation"
    held = (await shop.call("GET", f"/v1/payments/{order['tenders'][0]['id']}")).json()
    assert (held["kind"], held["credited"], held["remaining"]) == ("gift_card", 1500, 1500)
