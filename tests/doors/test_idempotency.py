"""Repeating a request gives the first answer, byte for byte; the money moves once."""

from __future__ import annotations

import asyncio

import pytest

from .conftest import Shop, order_body

TEA = {"lines": [{"id": "1", "quantity": 1}]}


async def test_a_repeat_is_the_first_answer(shop: Shop) -> None:
    order = await shop.order()
    body = {"order": order, **TEA, "note": "torn"}
    first = await shop.call("POST", "/v1/refunds", body, key="k", headers={"Prefer": "wait=20"})
    assert "idempotent-replayed" not in first.headers
    second = await shop.call("POST", "/v1/refunds", body, key="k")
    third = await shop.call("POST", "/v1/refunds", body, key="k", headers={"Prefer": "wait=20"})
    assert second.headers["idempotent-replayed"] == "true"
    assert (second.status_code, second.json()["state"]) == (201, "sending")
    assert third.content == second.content
    assert "preference-applied" not in third.headers
    assert len((await shop.call("GET", "/v1/refunds")).json()["items"]) == 1


async def test_another_body_under_the_key_names_the_field(shop: Shop) -> None:
    order = await shop.order()
    await shop.call("POST", "/v1/refunds", {"order": order, **TEA}, key="k")
    for body, field in (
        ({"order": order, "amount": 5}, "amount"),
        ({"order": order, **TEA, "note": "x"}, "note"),
        ({"order": order, **TEA, "reason": "fraud"}, "reason"),
    ):
        answer = await shop.call("POST", "/v1/refunds", body, key="k")
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
        assert answer.json()["field"] == field


async def test_fifty_at_once_are_one_refund(shop: Shop) -> None:
    order = await shop.order()
    body = {"order": order, **TEA}
    calls = [shop.call("POST", "/v1/refunds", body, key="same") for _ in range(50)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert len((await shop.call("GET", "/v1/refunds")).json()["items"]) == 1


async def test_keys_belong_to_who_used_them(shop: Shop) -> None:
    order = await shop.order()
    body = {"order": order, "amount": 100}
    one = await shop.call("POST", "/v1/refunds", body, key="k", scopes=("refunds:write",))
    other = await shop.call("POST", "/v1/refunds", body, key="k", scopes=("admin",))
    assert one.json()["id"] != other.json()["id"]


async def test_business_refusals_are_kept(shop: Shop) -> None:
    order = await shop.order()
    body = {"order": order, "amount": 20_000}
    first = await shop.call("POST", "/v1/refunds", body, key="k")
    second = await shop.call("POST", "/v1/refunds", body, key="k")
    assert (first.status_code, first.content) == (409, second.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == "application/problem+json"


async def test_what_may_come_right_is_not_kept(shop: Shop) -> None:
    body = {"order": {"connection": "shop-1", "order_id": "1001"}, **TEA}
    assert await shop.code("POST", "/v1/refunds", body, key="k") == "404 unknown_order"
    await shop.order()
    assert (await shop.call("POST", "/v1/refunds", body, key="k")).status_code == 201


@pytest.mark.parametrize("path", ["/v1/refunds", "/v1/quotes"])
@pytest.mark.parametrize("key", [None, "", "x" * 256, "t\tab", "\xe9"])
async def test_what_creates_needs_a_key(shop: Shop, path: str, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await shop.code("POST", path, {"order": "a"}, key=None, headers=raw)  # type: ignore[arg-type]
    assert answer == "400 idempotency_key_missing"


async def test_orders_may_have_a_key(shop: Shop) -> None:
    first = await shop.call("POST", "/v1/orders", order_body(), key="o")
    again = await shop.call("POST", "/v1/orders", order_body(), key="o")
    assert (again.status_code, again.content) == (201, first.content)
    assert (await shop.call("POST", "/v1/orders", order_body(), key=None)).status_code == 200


async def test_an_action_repeats(shop: Shop) -> None:
    order = await shop.order()
    refund = await shop.refund({"order": order, **TEA})
    path = f"/v1/refunds/{refund['id']}/cancel"
    first = await shop.call("POST", path, key="c")
    again = await shop.call("POST", path, key="c")
    assert (first.status_code, first.content) == (409, again.content)
    other = await shop.refund({"order": order, **TEA})
    moved = await shop.code("POST", f"/v1/refunds/{other['id']}/cancel", key="c")
    assert moved == "409 idempotency_mismatch"
