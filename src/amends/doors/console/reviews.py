"""The queue of refunds that wait for a person, and the page of one case."""

from __future__ import annotations

from urllib.parse import urlencode

from amends.core.reasons import Reason
from amends.doors.console.web import Route, Visit
from amends.doors.pages import cursor as read_cursor
from amends.doors.pages import cursor_of_this_list, identifier
from amends.engine import desk
from amends.engine.asks import Rendered


async def queue(visit: Visit) -> Rendered:
    mark = await visit.engine.store.queue_mark()  # before the rows: what comes between is told
    with cursor_of_this_list():
        found, after = await desk.queue(visit.engine, read_cursor(visit.query))
    more = urlencode({"cursor": after}) if after else ""
    values = {"found": found, "more": more, "now": visit.engine.clock.now(), "mark": mark}
    return visit.page("reviews.html", 200, here="reviews", **values)


async def case(visit: Visit) -> Rendered:
    return await show_case(visit)


async def show_case(visit: Visit, status: int = 200, wrong: str = "") -> Rendered:
    """The page of one case; a refund that waits no more has its own page."""
    name = identifier(visit.path["refund"], Reason.UNKNOWN_REFUND)
    found = await desk.refund_page(visit.engine, name)
    if found.refund.stage != "review" and not wrong:
        return visit.go(f"/console/refunds/{name}")
    values = {"found": found, "wrong": wrong, "key": visit.engine.new_id()}
    return visit.page("case.html", status, here="reviews", **values)


ROUTES = (
    Route("GET", "/console/reviews", "viewer", queue),
    Route("GET", "/console/reviews/{refund}", "viewer", case),
)
