"""Every route of the API, with what it is told and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends.core.reasons import Reason
from amends.doors.problems import STATUS

from .conftest import Held, Opening, Shop, order_body

TEA = {"lines": [{"id": "1", "quantity": 1}]}


async def test_an_order_is_new_then_known(shop: Shop) -> None:
    first = await shop.call("POST", "/v1/orders", order_body())
    assert (first.status_code, first.json()["remaining"]) == (201, 10200)
    again = await shop.call("POST", "/v1/orders", order_body())
    assert (again.status_code, again.json()) == (200, first.json())
    read = await shop.call("GET", f"/v1/orders/{first.json()['id']}")
    assert read.json() == first.json()


async def test_an_order_shows_what_its_shop_told_of_it(shop: Shop) -> None:
    """Which fingerprints are known, and not what they are."""
    plain = (await shop.call("POST", "/v1/orders", order_body())).json()
    assert not {"customer_since", "signals", "delivery"} & set(plain)
    body = order_body("1002", "pi_2")
    body["customer"]["since"] = "2024-03-01T00:00:00Z"
    body["lines"][0]["category"] = "tea"
    body["signals"] = {"card": "fp_1", "device": "d-7", "address_mismatch": False}
    body["delivery"] = {"tracking": "delivered", "delivered_at": "2026-11-04T14:10:00Z"}
    order = (await shop.call("POST", "/v1/orders", body)).json()
    assert order["customer_since"] == "2024-03-01T00:00:00.000000Z"
    assert order["lines"][0]["category"] == "tea"
    assert order["signals"] == {"known": ["card", "device"], "address_mismatch": False}
    assert order["delivery"]["tracking"] == "delivered"
    assert order["delivery"]["delivered_at"] == "2026-11-04T14:10:00.000000Z"
    body["delivery"]["tracking"] = "teleported"
    assert (await shop.code("POST", "/v1/orders", body)).startswith("4")


async def test_a_refund_of_a_line_is_sent_and_booked(shop: Shop) -> None:
    order = await shop.order()
    refund = await shop.refund({"order": order, **TEA, "note": "seal was broken"})
    assert (refund["state"], refund["amount"], refund["amount_succeeded"]) == (
        *("succeeded", 3200),
        3200,
    )
    assert refund["breakdown"]["lines"] == [{"id": "1", "quantity": 1, "net": 2667, "tax": 533}]
    assert refund["requested_by"] == "key:admin"
    assert (await shop.call("GET", f"/v1/refunds/{refund['id']}")).json() == refund
    timeline = (await shop.call("GET", f"/v1/refunds/{refund['id']}/timeline")).json()["items"]
    assert [e["type"] for e in timeline] == ["refund.requested", "leg.sending", "leg.moved"]
    payment = (await shop.call("GET", "/v1/payments/pi_1")).json()
    assert (payment["refunded"], payment["remaining"]) == (3200, 7000)
    balances = (await shop.call("GET", "/v1/ledger/balances")).json()["balances"]
    booked = {row["account"]: row["amount"] for row in balances}
    assert booked["clearing:stripe-eu"] == -3200
    assert sum(booked.values()) == 0
    items = await _all(shop, "/v1/ledger/entries?limit=1")
    assert [item["kind"] for item in items] == ["claim", "payout"]
    trail = await _all(shop, f"/v1/audit?stream={order}&limit=2")
    assert [e["seq"] for e in trail] == list(range(1, len(trail) + 1))


async def _all(shop: Shop, path: str) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        more = f"{'&' if '?' in path else '?'}cursor={cursor}" if cursor else ""
        page = (await shop.call("GET", path + more)).json()
        found += page["items"]
        if not page["next"]:
            return found
        cursor = page["next"]


async def test_lists_page_and_filter(shop: Shop) -> None:
    orders = [await shop.order(str(n), f"pi_{n}") for n in range(3)]
    for order in orders:
        await shop.refund({"order": order, "amount": 100})
    assert {o["id"] for o in await _all(shop, "/v1/orders?limit=2")} == set(orders)
    assert len(await _all(shop, "/v1/refunds?limit=2")) == 3
    only = (await shop.call("GET", f"/v1/refunds?order={orders[0]}&state=succeeded")).json()
    assert [item["order"] for item in only["items"]] == [orders[0]]
    other = "/v1/refunds?connection=paypal-eu"
    assert (await shop.call("GET", other)).json()["items"] == []


async def test_a_quote_is_committed_unchanged(shop: Shop) -> None:
    order = await shop.order()
    body = {"order": order, **TEA, "shipping": "full"}
    quote = await shop.call("POST", "/v1/quotes", body, key="q")
    assert (quote.status_code, quote.json()["amount"]) == (201, 3800)
    assert sum(t["amount"] for t in quote.json()["tenders"]) == 3800
    again = await shop.call("POST", "/v1/quotes", body, key="q")
    assert again.content == quote.content
    assert again.headers["idempotent-replayed"] == "true"
    assert (await shop.refund({"quote": quote.json()["id"]}))["amount"] == 3800
    stale = await shop.code("POST", "/v1/refunds", {"quote": quote.json()["id"]})
    assert stale == "409 quote_stale"
    assert await shop.code("POST", "/v1/refunds", {"quote": "qt_no"}) == "404 unknown_quote"


async def test_a_review_is_approved_as_shown_or_declined(opening: Opening) -> None:
    policy = {"auto_approve_up_to": 1000, "second_person": True}
    async with opening(policy=policy) as shop:
        order = await shop.order()
        held = await shop.refund({"order": order, **TEA})
        assert (held["state"], held["legs"]) == ("review", [])
        path = f"/v1/refunds/{held['id']}"
        assert await shop.code("POST", f"{path}/approve") == "403 self_approval"
        lead = ("refunds:approve",)
        wrong = await shop.code("POST", f"{path}/approve", {"shown": "other"}, scopes=lead)
        assert wrong == "409 shown_changed"
        good = await shop.call("POST", f"{path}/approve", {"shown": held["shown"]}, scopes=lead)
        assert good.json()["decided_by"] == "key:refunds:approve"
        assert await shop.code("POST", f"{path}/decline") == "409 wrong_state"
        second = await shop.refund({"order": order, **TEA})
        no = await shop.call("POST", f"/v1/refunds/{second['id']}/decline", scopes=lead)
        assert no.json()["state"] == "declined"
        third = await shop.refund({"order": order, **TEA})
        gone = await shop.call("POST", f"/v1/refunds/{third['id']}/cancel")
        assert gone.json()["state"] == "canceled"
        assert await shop.code("POST", f"/v1/refunds/{third['id']}/retry") == "409 wrong_state"


async def test_a_failed_refund_is_tried_again(shop: Shop) -> None:
    order = await shop.order()
    shop.sandbox.control({"op": "refund_outcome", "status": "failed", "count": 1})
    refund = await shop.refund({"order": order, **TEA})
    assert refund["state"] == "failed"
    again = await shop.call("POST", f"/v1/refunds/{refund['id']}/retry")
    assert again.status_code == 200


def too_old() -> dict[str, Any]:
    """An order whose provider refunds its method no more."""
    body = order_body() | {"placed_at": "2020-01-01T00:00:00Z"}
    body["tenders"][0]["method"] = "bacs_debit"
    return body


async def test_what_no_provider_pays_is_a_task_for_a_person(opening: Opening) -> None:
    async with opening(policy={"second_person": True}) as shop:
        await shop.call("POST", "/v1/orders", too_old())
        order = {"connection": "shop-1", "order_id": "1001"}
        quote = await shop.call("POST", "/v1/quotes", {"order": order, **TEA})
        assert [tender["kind"] for tender in quote.json()["tenders"]] == ["manual"]
        held = await shop.refund({"order": order, **TEA})
        assert (held["state"], held["decision"]["rule"]) == ("review", "past-refund-limit")
        task = held["task"]
        assert (task["amount"], task["currency"], task["customer"]) == (3200, "EUR", "c-1")
        assert "older" in task["why"]
        assert "payout" in task["how"]
        path, lead = f"/v1/refunds/{held['id']}", ("refunds:approve",)
        assert await shop.code("POST", f"{path}/approve", scopes=lead) == "409 wrong_state"
        said = {"reference": "SEPA-2026-1", "shown": held["shown"]}
        assert await shop.code("POST", f"{path}/payout", said) == "403 self_approval"
        support = ("refunds:write",)
        assert await shop.code("POST", f"{path}/payout", said, scopes=support) == "403 forbidden"
        for wrong in ({}, {"reference": ""}, {"reference": "Ann Other"}, {"reference": "x\n"}):
            bad = await shop.code("POST", f"{path}/payout", wrong, scopes=lead)
            assert bad == "422 validation"
        credit = {"reference": "GC-7", "way": "store_credit"}
        bad = await shop.code("POST", f"{path}/payout", credit, scopes=lead)
        assert bad == "422 validation"
        paid = await shop.call("POST", f"{path}/payout", said, scopes=lead, key="p")
        assert (paid.json()["state"], paid.json()["task"]) == ("succeeded", None)
        assert paid.json()["legs"][0]["bank_reference"] == "SEPA-2026-1"
        assert paid.json()["expected_by"] is None
        again = await shop.call("POST", f"{path}/payout", said, scopes=lead, key="p")
        assert again.content == paid.content
        other = await shop.code(
            "POST", f"{path}/payout", {"reference": "SEPA-2"}, scopes=lead, key="p"
        )
        assert other == "409 idempotency_mismatch"
        payment = (await shop.call("GET", "/v1/payments/pi_1")).json()
        assert (payment["credited"], payment["remaining"]) == (3200, 7000)
        types = [e["type"] for e in (await shop.call("GET", f"{path}/timeline")).json()["items"]]
        assert types == ["refund.requested", "leg.moved", "refund.paid_outside"]


async def test_a_failed_refund_says_what_a_person_can_do(shop: Shop) -> None:
    order = await shop.order()
    shop.sandbox.control({"op": "refund_outcome", "status": "failed", "count": 1})
    refund = await shop.refund({"order": order, **TEA})
    assert refund["task"]["amount"] == 3200
    assert "retry" in refund["task"]["how"]
    path = f"/v1/refunds/{refund['id']}/payout"
    paid = await shop.call("POST", path, {"reference": "SEPA-1"})
    assert (paid.json()["state"], paid.json()["amount_succeeded"]) == ("succeeded", 3200)


async def test_a_paid_refund_says_when_the_customer_sees_it(shop: Shop) -> None:
    refund = await shop.refund({"order": await shop.order(), **TEA})
    days = refund["expected_by"]
    assert days == refund["legs"][0]["expected_by"]
    assert days["earliest"] < days["latest"]
    timeline = (await shop.call("GET", f"/v1/refunds/{refund['id']}/timeline")).json()["items"]
    assert timeline[-1]["body"]["expected_by"] == days["latest"]


async def test_the_wait_is_asked_for_and_only_then(opening: Opening) -> None:
    async with opening(transport=Held()) as shop:
        order = await shop.order()
        at_once = await shop.call("POST", "/v1/refunds", {"order": order, "amount": 100})
        assert at_once.json()["state"] == "sending"
        for prefer in ("wait=0", "wait=31", "wait=1.5", "wait=x", "respond-async"):
            headers = {"Prefer": prefer}
            body = {"order": order, "amount": 100}
            answer = await shop.call("POST", "/v1/refunds", body, headers=headers)
            assert "preference-applied" not in answer.headers
        waited = await shop.call(
            "POST", "/v1/refunds", {"order": order, "amount": 100}, headers={"Prefer": "a, Wait=20"}
        )
        assert waited.headers["preference-applied"] == "wait=20"
        assert waited.json()["state"] == "succeeded"


async def test_a_wait_ends_when_its_time_is_over(opening: Opening) -> None:
    network = Held()
    async with opening(transport=network) as shop:
        network.refuse = True
        order = await shop.order()
        answer = await shop.call(
            "POST", "/v1/refunds", {"order": order, "amount": 100}, headers={"Prefer": "wait=1"}
        )
        assert answer.json()["state"] == "sending"
        assert answer.headers["preference-applied"] == "wait=1"


async def test_a_parked_order_keeps_requests(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await shop.order()

    def broken(*args: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("amends.core.asks.judge", broken)
        kept = await shop.call("POST", "/v1/refunds", {"order": order, **TEA}, key="k")
    assert (kept.status_code, kept.json()["state"]) == (201, "parked")
    again = await shop.call("POST", "/v1/refunds", {"order": order, **TEA}, key="k")
    assert again.content == kept.content
    unpark = f"/v1/orders/{order}/unpark"
    assert await shop.code("POST", unpark, scopes=("refunds:write",)) == "403 forbidden"
    free = await shop.call("POST", unpark, {"why": "mended"})
    assert (free.status_code, free.json()["parked"]) == (200, None)
    assert [r["id"] for r in free.json()["refunds"]] == [kept.json()["id"]]
    assert await shop.code("POST", unpark) == "409 wrong_state"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"order": "ord_unknown"}, "404 unknown_order"),
        ({"order": {"connection": "shop-1", "order_id": "no"}}, "404 unknown_order"),
        ({"payment": {"connection": "stripe-eu", "psp_payment_id": "no"}}, "404 unknown_payment"),
        ({"order": "ORDER", "lines": [{"id": "9", "quantity": 1}]}, "404 unknown_line"),
        ({"order": "ORDER", "lines": [{"id": "1", "quantity": 4}]}, "409 exceeds_quantity"),
        ({"order": "ORDER", "amount": 10201}, "409 exceeds_remaining"),
        ({"order": "ORDER", "amount": 10, "currency": "USD"}, "422 other_currency /currency"),
        ({"order": "ORDER", "amount": -1}, "422 validation /amount"),
        ({"order": "ORDER", "amount": 0}, "422 validation /amount"),
        ({"order": "ORDER", "amount": 1.5}, "422 validation /amount"),
        ({"order": "ORDER", "amount": 100.0}, "422 validation /amount"),
        ({"order": "ORDER", "amount": 10**16}, "422 validation /amount"),
        ({"order": "ORDER", "amount": 10**40}, "422 validation /amount"),
        ({"order": "ORDER", "amount": "100"}, "422 validation /amount"),
        ({"order": "ORDER", "amount": True}, "422 validation /amount"),
        (
            {"order": "ORDER", "lines": [{"id": "1", "quantity": 0}]},
            "422 validation /lines/0/quantity",
        ),
        ({"order": "ORDER", "lines": [{"id": "1"}]}, "422 validation /lines/0/quantity"),
        ({"order": "ORDER", "reason": "whim"}, "422 validation /reason"),
        ({"order": "ORDER", "ammount": 5}, "422 validation /ammount"),
        ({"order": "ORDER", "note": "\0"}, "422 validation /note"),
        (
            {"order": "ORDER", "payment": {"connection": "a", "psp_payment_id": "b"}},
            "422 validation",
        ),
        ({"order": "ORDER", "amount": 5, **TEA}, "422 validation /amount"),
        ({}, "422 validation /order"),
        ([], "422 validation"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/v1/refunds", "/v1/quotes"])
async def test_what_cannot_be_refunded(shop: Shop, path: str, body: Any, told: str) -> None:
    order = await shop.order()
    if isinstance(body, dict) and body.get("order") == "ORDER":
        body = {**body, "order": order}
    answer = await shop.call("POST", path, body)
    problem = answer.json()
    pointer = problem.get("pointer", "")
    said = f"{problem['status']} {problem['code']}"
    assert told in (said, f"{said} {pointer}")
    if problem["code"] == "exceeds_remaining":
        assert problem["remaining"] == 10200
    assert (await shop.call("GET", f"/v1/orders/{order}")).json()["remaining"] == 10200


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"currency": "XYZ"}, "422 unknown_currency"),
        ({"currency": "eur"}, "422 validation"),
        ({"tenders": []}, "422 validation"),
        ({"lines": [{"id": "1", "quantity": -1, "total": 5}]}, "422 validation"),
        ({"lines": [{"id": "1", "quantity": 1, "total": 10**16}]}, "422 validation"),
        ({"placed_at": "yesterday"}, "422 validation"),
        ({"version": 0}, "422 validation"),
        ({"surprise": 1}, "422 validation"),
        (
            {"tenders": [{"connection": "no", "psp_payment_id": "p", "amount": 1}]},
            "404 unknown_connection",
        ),
    ],
    ids=str,
)
async def test_what_is_no_order(shop: Shop, change: dict[str, Any], told: str) -> None:
    assert await shop.code("POST", "/v1/orders", {**order_body(), **change}) == told


@pytest.mark.parametrize("day", ["0001-01-03", "9999-12-30"])
async def test_an_order_of_a_day_without_a_rate_is_refused(shop: Shop, day: str) -> None:
    foreign = {**order_body(), "currency": "USD", "placed_at": f"{day}T00:00:00Z"}
    assert await shop.code("POST", "/v1/orders", foreign) == "409 no_rate"


async def test_orders_that_contradict_each_other(shop: Shop) -> None:
    order = await shop.order()
    taken = order_body("1002", "pi_1")
    assert await shop.code("POST", "/v1/orders", taken) == "409 payment_taken"
    await shop.refund({"order": order, **TEA})
    smaller = {**order_body(), "version": 2, "lines": []}
    assert await shop.code("POST", "/v1/orders", smaller) == "409 order_conflict"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "400 malformed"),
        (b"{", "400 malformed"),
        (b'{"order": "a"} x', "400 malformed"),
        (b'{"order": "\xff"}', "400 malformed"),
        (b'{"amount": ' + b"9" * 5000 + b"}", "422 validation"),
        (b"[" * 100_000, "422 validation"),
        (b"x" * (2 * 1024 * 1024), "413 too_large"),
    ],
    ids=["empty", "cut", "trailing", "utf-8", "digits", "nested", "2 MiB"],
)
async def test_bodies_that_are_no_request(shop: Shop, raw: bytes, told: str) -> None:
    assert await shop.code("POST", "/v1/refunds", content=raw) == told


async def test_a_chunked_body_is_not_read_to_its_end(shop: Shop) -> None:
    given = 0

    async def chunks() -> Any:
        nonlocal given
        for _ in range(1000):
            given += 1
            yield b"x" * 64 * 1024

    assert await shop.code("POST", "/v1/orders", content=chunks()) == "413 too_large"
    assert given < 20


async def test_addresses_and_parameters_that_are_wrong(shop: Shop) -> None:
    assert await shop.code("GET", "/v1/nothing") == "404 not_found"
    wrong = await shop.call("DELETE", "/v1/orders")
    assert wrong.json()["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "GET, OPTIONS, POST"
    assert await shop.code("GET", "/v1/orders/%00") == "404 unknown_order"
    assert await shop.code("GET", "/v1/refunds/no") == "404 unknown_refund"
    assert await shop.code("GET", "/v1/refunds/no/timeline") == "404 unknown_refund"
    assert await shop.code("GET", "/v1/payments/no") == "404 unknown_payment"
    assert await shop.code("POST", "/v1/refunds/no/approve") == "404 unknown_refund"
    assert await shop.code("POST", "/v1/orders/no/unpark") == "404 unknown_order"
    for query in ("limit=0", "limit=201", "limit=1.5", "limit=x", "cursor=!", "cursor=", "stat=a"):
        assert await shop.code("GET", f"/v1/refunds?{query}") == "422 validation"
    for query in ("limit=1&limit=2", "state=", "order=%00", "a=%ff"):
        assert await shop.code("GET", f"/v1/refunds?{query}") == "422 validation"
    assert await shop.code("GET", "/v1/refunds?cursor=WzEsMiwzXQAAAAAA") == "404 not_found"
    assert await shop.code("GET", "/v1/audit") == "422 validation"
    assert await shop.code("GET", "/v1/audit?stream=a&cursor=WzEsMiwzXQAAAAAA") == "422 validation"
    for at in ("now", "2026-11-01", "2026-11-01T10:00:00", "", "9999-99-99T00:00:00Z"):
        assert await shop.code("GET", f"/v1/ledger/balances?at={at}") == "422 validation"


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("read",), {"GET /v1/orders", "GET /v1/ledger/balances"}),
        (("ledger:read",), {"GET /v1/ledger/balances"}),
        (("orders:write",), {"GET /v1/orders", "POST /v1/orders"}),
        (("refunds:write",), {"GET /v1/orders", "POST /v1/refunds", "POST /v1/refunds/no/cancel"}),
        (("refunds:approve",), {"GET /v1/orders", "POST /v1/refunds/no/approve"}),
    ],
    ids=["read", "ledger", "orders", "refunds", "approve"],
)
async def test_a_key_opens_what_its_scopes_say(
    shop: Shop, scopes: tuple[str, ...], allowed: set[str]
) -> None:
    for route in (
        "GET /v1/orders",
        "GET /v1/ledger/balances",
        "POST /v1/orders",
        "POST /v1/refunds",
        "POST /v1/refunds/no/cancel",
        "POST /v1/refunds/no/approve",
        "POST /v1/orders/no/unpark",
    ):
        method, _, path = route.partition(" ")
        answer = await shop.call(method, path, scopes=scopes)
        assert (answer.status_code != 403) == (route in allowed), (route, answer.text)


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer amk_no", "Basic amk_no", "Bearer x"])
async def test_without_a_key_nothing_is_told(shop: Shop, sent: str) -> None:
    answer = await shop.call("GET", "/v1/orders", headers={"Authorization": sent})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_key_is_refused(shop: Shop) -> None:
    principal, secret = await actions_key(shop)
    headers = {"Authorization": f"Bearer {secret}"}
    await shop.engine.store.revoke(principal, shop.engine.clock.now())
    assert await shop.code("GET", "/v1/orders", headers=headers) == "401 unauthenticated"


async def actions_key(shop: Shop) -> tuple[str, str]:
    secret = await shop.key("read")
    found = await shop.engine.store.principals()
    return next(p.id for p in found if p.name == "read"), secret


async def test_service_addresses(opening: Opening) -> None:
    async with opening() as shop:
        order = await shop.order()
        await shop.refund({"order": order, **TEA})
        assert (await shop.client.get("/healthz")).json() == {"status": "ok"}
        assert (await shop.client.get("/readyz")).status_code == 200
        text = (await shop.client.get("/metrics")).text
        assert 'amends_requests_sent_total{connection="stripe-eu",outcome="accepted"} 1.0' in text
        assert "amends_store_up 1.0" in text
        shop.engine.deliverer.logins.counted["paypal-eu", "revoked"] += 2
        shop.engine.certificates.counted["paypal-eu", "fetched"] += 3
        more = (await shop.client.get("/metrics")).text
        assert 'amends_logins_total{connection="paypal-eu",outcome="revoked"} 2.0' in more
        assert 'amends_certificates_total{connection="paypal-eu",outcome="fetched"} 3.0' in more
        assert "amends_refunds_review 0.0" in text
        assert 'amends_http_answers_total{call="createRefund",status="201"} 1.0' in text
        await shop.engine.stop()
        assert (await shop.client.get("/readyz")).status_code == 503
        assert (await shop.client.get("/healthz")).status_code == 200


async def test_metrics_ask_for_a_key_where_configured(opening: Opening) -> None:
    async with opening(server={"metrics_key": True}) as shop:
        assert (await shop.client.get("/metrics")).status_code == 401
        assert (await shop.call("GET", "/metrics", scopes=("read",))).status_code == 200


async def test_a_defect_is_told_without_its_trace(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(shop.engine.store, "orders", broken)
    answer = await shop.call("GET", "/v1/orders")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


async def test_too_many_at_once_are_told_to_come_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amends.doors.calls.WAITING_MAX", -1)
    answer = await shop.call("POST", "/v1/refunds", {"order": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_every_reason_has_a_status() -> None:
    assert set(STATUS) == set(Reason)


async def test_requests_of_one_moment_share_a_turn(shop: Shop) -> None:
    orders = [await shop.order(str(n), f"pi_{n}") for n in range(20)]
    before = shop.engine.turner.turns
    body = {"amount": 100}
    calls = [shop.call("POST", "/v1/refunds", {"order": order, **body}) for order in orders]
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {201}
    assert shop.engine.turner.turns - before < 20 * 2
