"""Ledger, connections, audit."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from amends.core.reasons import Reason, Refused
from amends.doors.console.web import Route, Visit
from amends.doors.pages import cursor as read_cursor
from amends.doors.pages import cursor_of_this_list
from amends.engine import desk, queries
from amends.engine.asks import Rendered
from amends.engine.audit import Report
from amends.store.pages_spec import LOOKED_AT

PROVE_SECONDS = 20  # what a page may take; longer proofs are for the command line
STREAMS = 50
_NUMBER = "[0-9]{1,15}"


async def ledger(visit: Visit) -> Rendered:
    found = await queries.balances(visit.engine, None)
    account = visit.query.get("account", "").strip()[:255]
    wanted = {"account": account} if account else {}
    with cursor_of_this_list():
        page = await visit.engine.store.entries(wanted, read_cursor(visit.query), desk.SHOWN)
    more = urlencode({**wanted, "cursor": page.next}) if page.next else ""
    values = {"entries": page.items, "more": more, "account": account}
    return visit.page("ledger.html", 200, here="ledger", found=found, **values)


async def connections(visit: Visit) -> Rendered:
    wanted = visit.query.get("connection", "")[:255]
    with cursor_of_this_list():
        page = await visit.engine.store.messages(wanted, read_cursor(visit.query), desk.SHOWN)
    more = urlencode({"connection": wanted, "cursor": page.next}) if page.next else ""
    links = await desk.connections(visit.engine)
    values = {"links": links, "messages": page.items, "more": more, "wanted": wanted}
    values |= {"looked_at": LOOKED_AT}
    return visit.page("connections.html", 200, here="connections", **values)


async def audit(visit: Visit) -> Rendered:
    return await _audit(visit)


async def _audit(visit: Visit, report: Report | None = None, slow: bool = False) -> Rendered:
    stream = visit.query.get("stream", "").strip()[:255]
    before = read_cursor(visit.query, _NUMBER) or "0"
    events, after = await desk.recent(visit.engine, stream, int(before)) if stream else ([], 0)
    heads = await visit.engine.store.streams("system:", STREAMS)
    sealed = await visit.engine.store.last_checkpoint()
    more = urlencode({"stream": stream, "cursor": after}) if after else ""
    return visit.page(
        "audit.html",
        200,
        here="audit",
        stream=stream,
        events=events,
        more=more,
        heads=heads,
        sealed=sealed,
        report=report,
        slow=slow,
    )


async def verify(visit: Visit) -> Rendered:
    """Recompute everything, one at a time in this process."""
    if visit.shared.get("proving"):
        raise Refused(Reason.RATE_LIMITED, "The trail is being proved right now; wait for it.")
    visit.shared["proving"] = True
    try:
        async with asyncio.timeout(PROVE_SECONDS):
            return await _audit(visit, await desk.prove(visit.engine))
    except TimeoutError:
        return await _audit(visit, slow=True)
    finally:
        visit.shared["proving"] = False


ROUTES = (
    Route("GET", "/console/ledger", "viewer", ledger),
    Route("GET", "/console/connections", "viewer", connections),
    Route("GET", "/console/audit", "viewer", audit),
    Route("POST", "/console/audit/verify", "finance", verify),
)
