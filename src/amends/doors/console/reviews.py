"""The queue of refunds that wait for a person, and the page of one case."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from amends.core.reasons import Reason
from amends.doors.console.web import Route, Visit
from amends.doors.pages import cursor as read_cursor
from amends.doors.pages import cursor_of_this_list, identifier
from amends.engine import case_desk, desk
from amends.engine.asks import Rendered
from amends.kernel.time import DAY

# What of the queue is shown, by the word in the address.
TABS = {
    "": "All",
    "mine": "Mine",
    "nobody": "Nobody's",
    "role": "For my role",
    "goods": "Awaiting goods",
    "snoozed": "Put off",
}
LATER = ((1, "for a day"), (3, "for three days"), (7, "for a week"))


async def queue(visit: Visit) -> Rendered:
    return await show_queue(visit)


async def show_queue(
    visit: Visit,
    status: int = 200,
    wrong: str = "",
    decided: Sequence[tuple[str, str]] = (),
    approved: bool = False,
) -> Rendered:
    """The queue; `decided` are refunds that were decided together, each with why not."""
    tab = visit.query.get("show", "")
    tab = tab if tab in TABS else ""
    mark = await visit.engine.store.queue_mark()  # before the rows: what comes between is told
    with cursor_of_this_list():
        found, after = await desk.queue(
            visit.engine, read_cursor(visit.query), *_wanted(visit, tab)
        )
    more = urlencode({"show": tab, "cursor": after} if tab else {"cursor": after}) if after else ""
    values = {"found": found, "more": more, "now": visit.engine.clock.now(), "mark": mark}
    values |= {"tab": tab, "tabs": TABS, "key": visit.engine.new_id(), "wrong": wrong}
    values |= {"decided": decided, "approved": approved}
    return visit.page("reviews.html", status, here="reviews", **values)


def _wanted(visit: Visit, tab: str) -> tuple[dict[str, str], bool]:
    """The store's filters of a tab, and whether only what waits for its goods is shown."""
    filters = {
        "mine": {"assignee": visit.actor, "snoozed": "any"},
        "nobody": {"assignee": ""},
        "role": {"role": visit.me.role},
        "snoozed": {"snoozed": "yes"},
    }
    return filters.get(tab, {}), tab == "goods"


async def case(visit: Visit) -> Rendered:
    return await show_case(visit)


async def show_case(visit: Visit, status: int = 200, wrong: str = "") -> Rendered:
    """The page of one case; a refund that waits no more has its own page."""
    name = identifier(visit.path["refund"], Reason.UNKNOWN_REFUND)
    found = await case_desk.case_page(visit.engine, name)
    if found.page.refund.stage != "review" and not wrong:
        return visit.go(f"/console/refunds/{name}")
    now = visit.engine.clock.now()
    later = [(now + days * DAY, words) for days, words in LATER]
    values = {"case": found, "found": found.page, "wrong": wrong, "key": visit.engine.new_id()}
    return visit.page("case.html", status, here="reviews", later=later, now=now, **values)


ROUTES = (
    Route("GET", "/console/reviews", "viewer", queue),
    Route("GET", "/console/reviews/{refund}", "viewer", case),
)
