"""Returns over REST, from their authorization to what became of each unit."""

from __future__ import annotations

from typing import Any

from .conftest import Shop, order_body


async def told(shop: Shop, order: str, name: str, **kwargs: Any) -> dict[str, Any]:
    answer = await shop.call("POST", f"/v1/returns/{name}", {"order": order, **kwargs})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def authorized(shop: Shop, order: Any, units: int = 2) -> str:
    body = {"order": order, "lines": [{"id": "1", "quantity": units}]}
    answer = await shop.call("POST", "/v1/returns", body)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


async def test_a_return_from_the_label_to_the_shelf(shop: Shop) -> None:
    order = await shop.order()
    name = await authorized(shop, {"connection": "shop-1", "order_id": "1001"})
    assert (await told(shop, order, f"{name}/ship"))["state"] == "shipped"
    came = await told(shop, order, f"{name}/receive", inspect=True)
    two = [{"id": "1", "quantity": 2}]
    assert (came["state"], came["received"], came["to_inspect"]) == ("received", two, two)
    one = {"sku": "TEA", "quantity": 1, "disposition": "restock", "location": "berlin"}
    left = await told(shop, order, f"{name}/inspect", lines=[one])
    assert (left["state"], left["to_inspect"]) == ("received", [{"id": "1", "quantity": 1}])
    rest = {"id": "1", "quantity": 1, "disposition": "write_off"}
    done = await told(shop, order, f"{name}/inspect", lines=[rest])
    assert (done["state"], done["to_inspect"]) == ("inspected", [])
    whole = (await shop.call("GET", f"/v1/orders/{order}")).json()
    listed = (await shop.call("GET", f"/v1/returns?order={order}")).json()
    read = (await shop.call("GET", f"/v1/returns/{name}?order={order}")).json()
    assert whole["returns"] == listed["items"] == [read] == [done]
    trail = (await shop.call("GET", f"/v1/audit?stream={order}")).json()["items"]
    kinds = [one["type"] for one in trail if one["type"].startswith("return.")]
    steps = ["authorized", "shipped", "received", "inspected", "inspected"]
    assert kinds == [f"return.{step}" for step in steps]


async def test_a_repeat_makes_no_second_return(shop: Shop) -> None:
    order = await shop.order()
    body = {"order": order, "lines": [{"id": "1", "quantity": 1}]}
    first = await shop.call("POST", "/v1/returns", body, key="again")
    second = await shop.call("POST", "/v1/returns", body, key="again")
    assert (second.content, second.headers["idempotent-replayed"]) == (first.content, "true")
    assert len((await shop.call("GET", f"/v1/returns?order={order}")).json()["items"]) == 1
    body["lines"] = [{"id": "1", "quantity": 2}]
    assert await shop.code("POST", "/v1/returns", body, key="again") == "409 idempotency_mismatch"
    assert (await shop.call("POST", "/v1/returns", body, key=None)).status_code == 400


async def test_goods_that_nobody_expected_are_taken_in(shop: Shop) -> None:
    order = await shop.order()
    came = await told(shop, order, "found/receive", lines=[{"id": "TEA", "quantity": 5}])
    assert (came["state"], came["at"], came["lines"]) == ("received", None, [])
    assert came["received"] == [{"id": "1", "quantity": 3}]  # more was never shipped


async def test_what_is_no_return_is_refused(shop: Shop) -> None:
    order = await shop.order()
    of = {"order": order}
    for act in ("ship", "receive", "cancel"):
        assert await shop.code("POST", f"/v1/returns/x/{act}", of) == "404 unknown_return"
    looked = {**of, "lines": [{"id": "1", "quantity": 1}]}
    assert await shop.code("POST", "/v1/returns/x/inspect", looked) == "404 unknown_return"
    assert await shop.code("GET", f"/v1/returns/x?order={order}") == "404 unknown_return"
    assert await shop.code("GET", "/v1/returns?order=ord_x") == "404 unknown_order"
    assert await shop.code("GET", "/v1/returns") == "422 validation"
    named = {**of, "lines": [{"id": "9", "quantity": 1}]}
    assert await shop.code("POST", "/v1/returns", named) == "404 unknown_line"
    many = {**of, "lines": [{"id": "1", "quantity": 4}]}
    assert await shop.code("POST", "/v1/returns", many) == "409 exceeds_quantity"
    name = await authorized(shop, order)
    both = {**of, "lines": [{"id": "1", "sku": "TEA", "quantity": 1}]}
    assert await shop.code("POST", f"/v1/returns/{name}/inspect", both) == "422 validation"
    reader = ("read",)
    assert await shop.code("POST", "/v1/returns", looked, scopes=reader) == "403 forbidden"


async def test_what_a_return_has_passed_it_does_not_go_back_to(shop: Shop) -> None:
    order = await shop.order()
    name = await authorized(shop, order)
    await told(shop, order, f"{name}/receive")
    assert await shop.code("POST", f"/v1/returns/{name}/cancel", {"order": order}) == (
        "409 wrong_state"
    )
    lines = [{"id": "1", "quantity": 1}]
    looked = {"order": order, "lines": lines}
    assert await shop.code("POST", f"/v1/returns/{name}/inspect", looked) == "409 exceeds_quantity"
    other = await authorized(shop, order, 1)
    assert (await told(shop, order, f"{other}/cancel"))["state"] == "cancelled"
    assert await shop.code("POST", f"/v1/returns/{other}/ship", {"order": order}) == (
        "409 wrong_state"
    )


async def test_an_order_says_when_it_expires(shop: Shop) -> None:
    body = order_body()
    body["expires_at"] = "2099-01-01T00:00:00Z"
    made = (await shop.call("POST", "/v1/orders", body)).json()
    assert made["expires_at"] == "2099-01-01T00:00:00.000000Z"
    assert "returns" not in made
