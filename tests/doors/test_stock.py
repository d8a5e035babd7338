"""Ghost stock over REST."""

from __future__ import annotations

from .conftest import Shop


async def test_what_is_back_is_held_against_what_was_counted(shop: Shop) -> None:
    order = await shop.order()
    came = {"order": order, "lines": [{"id": "1", "quantity": 3}]}
    assert (await shop.call("POST", "/v1/returns/R1/receive", came)).status_code == 200
    count = {"sku": "TEA", "units": 2, "location": ""}
    body = {"at": "2020-11-02T18:00:00Z", "counts": [count]}
    for new in (1, 0):
        assert (await shop.call("POST", "/v1/stock/counts", body)).json() == {"new": new}
    (shelf,) = (await shop.call("GET", "/v1/stock/report")).json()["items"]
    whole = {"sku": "TEA", "location": "", "booked": 3, "counted": 2, "ghost": 1}
    assert shelf == whole
    later = "/v1/stock/report?since=2020-11-03T00:00:00Z&until=2099-01-01T00:00:00Z"
    (shelf,) = (await shop.call("GET", later)).json()["items"]
    assert shelf == {**whole, "counted": None, "ghost": None}
    body |= {"at": "2020-11-04T18:00:00Z", "counts": [count, count]}  # in two boxes
    assert (await shop.call("POST", "/v1/stock/counts", body)).json() == {"new": 1}
    (shelf,) = (await shop.call("GET", later)).json()["items"]
    assert shelf["counted"] == 4
    assert await shop.code("POST", "/v1/stock/counts", {**body, "at": "x"}) == "422 validation"
    assert await shop.code("GET", "/v1/stock/report?since=now") == "422 validation"
