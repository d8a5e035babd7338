"""Small amounts over REST: held, combined, paid by one movement."""

from __future__ import annotations

from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.policy import built_in

from .conftest import Shop


async def test_small_refunds_are_held_and_paid_as_one(shop: Shop) -> None:
    amounts = Amounts(minimum=(("EUR", 100),), below_minimum="hold")
    shop.engine._policy = replace(built_in(10_000, amounts=amounts))
    order = await shop.order()
    first = await shop.refund({"order": order, "amount": 60})
    assert (first["state"], first["legs"]) == ("held", [])
    second = await shop.refund({"order": order, "amount": 60})
    assert second["state"] == "combined"
    made = await shop.refund({"order": order, "amount": 200})
    assert made["state"] == "succeeded"
    shown = (await shop.call("GET", f"/v1/refunds/{second['combined_in']}")).json()
    assert (shown["amount"], len(shown["legs"])) == (120, 1)
    again = (await shop.call("GET", f"/v1/refunds/{first['id']}")).json()
    assert (again["state"], again["combined_in"]) == ("combined", shown["id"])
