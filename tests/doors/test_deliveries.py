"""What others are told: listed, told again, given up; endpoints that are disabled and enabled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends.core.outlets import Books, Happened, Tell
from amends.core.reasons import Refused
from amends.engine import endpoints, tellings
from amends.engine.http import Transport
from amends.engine.outbox import Outbox
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.time import DAY, HOUR, MINUTE
from amends.store.outbox_spec import Came
from amends.store.spec import Batch
from tests.store.sql import write

from .conftest import Opening, Shop

HOOK = {
    "gateway": "webhook",
    "url": "https://hooks.example/amends",
    "webhook_secrets": ["env:SHOP_SECRET"],
    "events": ["refund.*"],
}


class Ear(Transport):
    """A network with one subscriber."""

    def __init__(self) -> None:
        self.status, self.heard = 200, 0

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        self.heard += 1
        return Response(self.status, (), b"")

    async def close(self) -> None:
        return


def happened(n: int, at: int) -> Happened:
    return Happened(key=f"e{n}", at=at, order="ord_1", type="refund.created", body="{}")


async def put(shop: Shop, *tells: Tell) -> None:
    batch = Batch()
    batch.tells += tells
    await write(shop.engine.store, batch)


async def items(shop: Shop, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shop.call("GET", f"/v1/deliveries{query}")).json()["items"]
    return found


async def stuck(shop: Shop) -> None:
    """Two days of books, of which the first is stuck."""
    store, now = shop.engine.store, shop.engine.clock.now()
    day = Books(key="b1", at=now, day="2026-11-01", currency="EUR", lines=())
    await store.add_tells("books:main", "erp", [(1, day), (2, day)])
    await store.claim_tells("p", now, now + MINUTE, {"erp": 2})
    await store.came("p", [Came("books:main", 1, "stuck", now, "", "closed: it is")], now)


async def test_what_is_stuck_is_seen_told_again_and_given_up(shop: Shop) -> None:
    await stuck(shop)
    (item,) = await items(shop, "?state=stuck&connection=erp&kind=books&order=books:main")
    assert (item["number"], item["detail"], item["attempts"]) == (1, "closed: it is", 1)
    first = (await shop.call("GET", "/v1/deliveries?limit=1")).json()
    second = (await shop.call("GET", f"/v1/deliveries?limit=1&cursor={first['next']}")).json()
    assert [one["items"][0]["number"] for one in (first, second)] == [2, 1]
    again = (await shop.call("POST", "/v1/deliveries/books:main/1/retry")).json()
    assert (again["state"], again["ended_at"]) == ("open", None)
    where = "/v1/deliveries/books:main/1"
    assert await shop.code("POST", f"{where}/retry") == "409 wrong_state"
    assert (await shop.call("POST", f"{where}/drop")).json()["state"] == "dropped"
    assert await shop.code("POST", f"{where}/drop") == "409 wrong_state"
    trail = (await shop.call("GET", "/v1/audit?stream=system:outlets")).json()["items"]
    assert [one["type"] for one in trail] == ["delivery.retried", "delivery.dropped"]
    assert trail[0]["body"]["connection"] == "erp"


async def test_what_is_no_delivery_is_refused(shop: Shop) -> None:
    await stuck(shop)
    for where in ("books:main/9", "books:main/x", "ord_x/1"):
        assert await shop.code("POST", f"/v1/deliveries/{where}/drop") == "404 not_found"
    assert await shop.code("GET", "/v1/deliveries?state=lost") == "422 validation"
    assert await shop.code("GET", "/v1/deliveries?kind=tale") == "422 validation"
    asks = ("read",)
    refused = await shop.code("POST", "/v1/deliveries/books:main/1/drop", scopes=asks)
    assert refused == "403 forbidden"


async def test_what_is_not_told_is_measured(shop: Shop) -> None:
    await stuck(shop)
    text = (await shop.client.get("/metrics")).text
    assert 'amends_deliveries{connection="erp",state="open"} 1.0' in text
    assert 'amends_deliveries{connection="erp",state="stuck"} 1.0' in text
    assert 'amends_deliveries_oldest_seconds{connection="erp"}' in text


async def test_an_endpoint_that_is_gone_stays_disabled_until_a_person_enables_it(
    opening: Opening,
) -> None:
    ear = Ear()
    ear.status = 410
    async with opening(ear, connections={"hooks": HOOK}) as shop:
        engine = shop.engine
        now = engine.clock.now()
        await put(shop, *(Tell("ord_1", n, "hooks", happened(n, now)) for n in (1, 2)))
        engine.outbox.wake()
        async with asyncio.timeout(20):
            while "hooks" not in await endpoints.disabled(engine.store):
                continue
        heard = ear.heard
        other = Outbox(engine.store, engine.connections, ear, engine.clock, "another")
        await other.look()
        assert not await other.claim(), "another process, or this one started anew, sends nothing"
        text = (await shop.client.get("/metrics")).text
        assert 'amends_endpoint_disabled{connection="hooks"} 1.0' in text
        ear.status = 200
        await tellings.enable(engine, "cli:test", "hooks")
        with pytest.raises(Refused, match="not disabled"):
            await tellings.enable(engine, "cli:test", "hooks")
        await told_all(shop)
        assert {one["state"] for one in await items(shop)} == {"done"}
        assert ear.heard >= heard + 2
        said = await engine.store.events("system:settings", "", 9)
        assert [one.body for one in said] == [
            {"key": "endpoint.hooks", "value": state} for state in ("disabled", "enabled")
        ]


async def test_a_subscriber_is_sent_again_what_it_lost(opening: Opening) -> None:
    ear = Ear()
    async with opening(ear, connections={"hooks": HOOK}) as shop:
        engine = shop.engine
        now = engine.clock.now()
        old, new = happened(1, now - 2 * DAY), happened(2, now - HOUR)
        await put(shop, Tell("ord_1", 1, "hooks", old), Tell("ord_1", 2, "hooks", new))
        engine.outbox.wake()
        await told_all(shop)
        assert ear.heard == 2
        assert await tellings.replay(engine, "cli:test", "hooks", now - DAY, now) == 1
        await told_all(shop)
        assert ear.heard == 3
        with pytest.raises(Refused, match="no subscriber"):
            await tellings.replay(engine, "cli:test", "stripe-eu", now - DAY, now)


async def told_all(shop: Shop) -> None:
    async with asyncio.timeout(20):
        while await items(shop, "?state=open"):
            continue
