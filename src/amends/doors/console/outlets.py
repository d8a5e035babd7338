"""What others are told: what is stuck, telling it again or giving it up, endpoints that are off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import get_args
from urllib.parse import urlencode

from amends.core.reasons import Reason
from amends.doors.console.web import Route, Visit, local
from amends.doors.deliveries import number_of
from amends.doors.pages import cursor as read_cursor
from amends.doors.pages import cursor_of_this_list, identifier
from amends.engine import desk, tellings
from amends.engine.asks import Rendered
from amends.store.outbox_spec import State

STATES: tuple[str, ...] = get_args(State)


async def deliveries(visit: Visit) -> Rendered:
    """Those that are stuck, or in another state; all, or to one connection."""
    state = visit.query.get("state", "stuck")
    wanted = {"state": state if state in STATES else "stuck"}
    if connection := visit.query.get("connection", "").strip()[:255]:
        wanted["connection"] = connection
    engine = visit.engine
    with cursor_of_this_list():
        found = await tellings.page(engine, wanted, read_cursor(visit.query), desk.SHOWN)
    more = urlencode({**wanted, "cursor": found["next"]}) if found["next"] else ""
    values = {
        "told": found["items"],
        "more": more,
        "wanted": {"connection": "", **wanted},
        "states": STATES,
    }
    values |= {"connections": [lane.connection for lane in await tellings.lanes(engine)]}
    return visit.page("deliveries.html", 200, here="connections", **values)


def _moving(to: State, done: str) -> Callable[[Visit], Awaitable[Rendered]]:
    async def run(visit: Visit) -> Rendered:
        order = identifier(visit.path["order"], Reason.NOT_FOUND)
        await tellings.move(visit.engine, visit.actor, order, number_of(visit.path["number"]), to)
        back = local(visit.form.get("back", "")).partition("?")[0]
        return visit.go(f"{'/console/deliveries' if back == '/console' else back}?done={done}")

    return run


async def enable(visit: Visit) -> Rendered:
    name = identifier(visit.path["connection"], Reason.UNKNOWN_CONNECTION)
    await tellings.enable(visit.engine, visit.actor, name)
    return visit.go("/console/connections?done=endpoint")


_ONE = "/console/deliveries/{order}/{number}"
ROUTES = (
    Route("GET", "/console/deliveries", "viewer", deliveries),
    Route("POST", f"{_ONE}/retry", "reviewer", _moving("open", "told")),
    Route("POST", f"{_ONE}/drop", "reviewer", _moving("dropped", "given_up")),
    Route("POST", "/console/connections/{connection}/enable", "reviewer", enable),
)
