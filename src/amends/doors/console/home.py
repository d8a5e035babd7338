"""The first page: how refunds go, and what waits."""

from __future__ import annotations

from amends.doors.console.web import Route, Visit
from amends.engine import desk
from amends.engine.asks import Rendered


async def overview(visit: Visit) -> Rendered:
    found = await desk.overview(visit.engine, visit.query.get("currency", ""))
    return visit.page("overview.html", here="overview", found=found)


ROUTES = (Route("GET", "/console", "viewer", overview),)
