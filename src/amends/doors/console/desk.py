"""Refunds, orders, customers, search."""

from __future__ import annotations

from urllib.parse import urlencode

from amends.core.order import SHOWN_ORDER
from amends.core.reasons import Reason
from amends.doors.console.web import Route, Visit
from amends.doors.pages import cursor as read_cursor
from amends.doors.pages import cursor_of_this_list, identifier
from amends.engine import desk, queries
from amends.engine.asks import Rendered

STATES = ("review", "held", *SHOWN_ORDER, "declined")
_FILTERS = ("state", "order", "connection", "psp_refund_id")
TEXT_MAX = 255


async def refunds(visit: Visit) -> Rendered:
    wanted = {
        n: visit.query[n].strip()[:TEXT_MAX] for n in _FILTERS if visit.query.get(n, "").strip()
    }
    with cursor_of_this_list():
        found = await queries.refunds(visit.engine, wanted, read_cursor(visit.query), desk.SHOWN)
    more = urlencode({**wanted, "cursor": found["next"]}) if found["next"] else ""
    return visit.page(
        "refunds.html",
        here="refunds",
        found=found["items"],
        more=more,
        wanted=wanted,
        states=STATES,
        connections=sorted(visit.engine.limits),
        paged="cursor" in visit.query,
    )


async def refund(visit: Visit) -> Rendered:
    return await show_refund(visit)


async def show_refund(visit: Visit, status: int = 200, wrong: str = "") -> Rendered:
    """The page of one refund; `wrong` says why what was asked of it was not done."""
    name = identifier(visit.path["refund"], Reason.UNKNOWN_REFUND)
    found = await desk.refund_page(visit.engine, name)
    values = {"found": found, "wrong": wrong, "key": visit.engine.new_id()}
    return visit.page("refund.html", status, here="refunds", **values)


async def order(visit: Visit) -> Rendered:
    name = identifier(visit.path["order"], Reason.UNKNOWN_ORDER)
    found = await desk.order_page(visit.engine, name)
    key = visit.engine.new_id()
    return visit.page("order.html", here="refunds", found=found, key=key, wrong="")


async def customer(visit: Visit) -> Rendered:
    entity, name = visit.query.get("entity", "main"), visit.query.get("id", "")
    found = await desk.customer(visit.engine, entity, name)
    return visit.page("customer.html", here="search", found=found)


async def search(visit: Visit) -> Rendered:
    text = visit.query.get("q", "").strip()[:TEXT_MAX]
    found = await visit.engine.store.find(text) if text else []
    if len(found) == 1 and found[0].kind != "customer":
        return visit.go(f"/console/{found[0].kind}s/{found[0].id}")
    return visit.page("search.html", here="search", text=text, found=found)


ROUTES = (
    Route("GET", "/console/refunds", "viewer", refunds),
    Route("GET", "/console/refunds/{refund}", "viewer", refund),
    Route("GET", "/console/orders/{order}", "viewer", order),
    Route("GET", "/console/customers", "agent", customer),
    Route("GET", "/console/search", "viewer", search),
)
