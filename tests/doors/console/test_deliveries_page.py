"""What others are told, on the console: seen by all, moved by who may approve."""

from __future__ import annotations

import pytest

from amends.core.outlets import GoodsReturned, Tell
from amends.engine import endpoints
from amends.engine.notify import Health
from amends.kernel.time import MINUTE
from amends.store.outbox_spec import Came
from amends.store.spec import Batch
from tests.doors.console.door import Door, send
from tests.store.sql import write


async def stuck(door: Door) -> str:
    """An order of whose returned goods an ERP will hear nothing."""
    order = await door.shop.order()
    store, now = door.engine.store, door.engine.clock.now()
    telling = GoodsReturned(key=f"{order}-m1", at=now, order=order, return_id="R", lines=())
    batch = Batch()
    batch.tells.append(Tell(order, 91, "erp", telling))
    await write(store, batch)
    await store.claim_tells("p", now, now + MINUTE, {"erp": 1})
    await store.came("p", [Came(order, 91, "stuck", now, "", "closed: <b>it is</b>")], now)
    return order


async def state(door: Door, order: str) -> str:
    row = await door.engine.store.tell_row(order, 91)
    return str(row["state"]) if row else ""


@pytest.mark.parametrize(("act", "after"), [("retry", "open"), ("drop", "dropped")])
async def test_who_may_approve_moves_what_is_stuck(door: Door, act: str, after: str) -> None:
    order = await stuck(door)
    browser, _ = await door.settled("ada", "reviewer")
    where = f"/console/deliveries/{order}/91/{act}"
    for page in ("/console/deliveries", f"/console/orders/{order}"):
        text = (await browser.get(page)).text
        assert "closed: &lt;b&gt;it is" in text and where in text
    back = f"/console/orders/{order}"
    answer = await send(browser, where, back=back)
    assert answer.headers["location"].startswith(f"{back}?done=")
    assert await state(door, order) == after
    assert (await send(browser, where, back=back)).status_code == 409
    (event,) = await door.engine.store.events("system:outlets", "", 9)
    assert event.actor.startswith("person:")


async def test_others_only_look(door: Door) -> None:
    order = await stuck(door)
    browser, _ = await door.settled("eve", "agent")
    page = await browser.get("/console/deliveries")
    assert page.status_code == 200 and "/retry" not in page.text
    assert (await send(browser, f"/console/deliveries/{order}/91/retry")).status_code == 403
    assert await state(door, order) == "stuck"
    assert (await browser.get("/console/deliveries?state=whim&connection=x")).status_code == 200


async def test_an_endpoint_that_is_disabled_is_shown_and_enabled(door: Door) -> None:
    gone = Health("shop-1", disabled_at=1, why="It answered 410.")
    await endpoints.disable(door.engine.store, door.engine.new_id, gone)
    browser, _ = await door.settled("ada", "reviewer")
    assert "It answered 410." in (await browser.get("/console/connections")).text
    where = "/console/connections/shop-1/enable"
    answer = await send(browser, where)
    assert answer.headers["location"] == "/console/connections?done=endpoint"
    assert await endpoints.disabled(door.engine.store) == {}
    assert (await send(browser, where)).status_code == 409
