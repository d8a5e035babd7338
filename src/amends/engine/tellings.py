"""What others are told, as people and programs see it: what is still to be told, what is stuck, and
telling it again or giving it up."""

from __future__ import annotations

from typing import Any

from amends.core.events import Event, EventType, link
from amends.core.reasons import Reason, Refused
from amends.engine import endpoints
from amends.engine.queries import PAGE_MAX
from amends.engine.views import when
from amends.engine.wiring import Engine
from amends.gateways.registry import CAPABILITIES
from amends.kernel.time import Instant
from amends.store.desk_spec import Make
from amends.store.outbox_spec import Lane, State
from amends.store.records import Head


async def page(engine: Engine, filters: dict[str, str], cursor: str, limit: int) -> dict[str, Any]:
    """Newest first. Raises ValueError for a cursor of another list."""
    found = await engine.store.tells(filters, cursor, min(limit, PAGE_MAX))
    return {"items": [view(item) for item in found.items], "next": found.next or None}


def view(item: dict[str, Any]) -> dict[str, Any]:
    """One delivery of `GET /v1/deliveries`."""
    at = {name: when(item[name]) for name in ("at", "ended_at")}
    return {**item, **at, "reference": item["reference"] or None, "detail": item["detail"] or None}


async def lanes(engine: Engine) -> list[Lane]:
    """Of each connection that is told anything, what it was not told yet."""
    found = {lane.connection: lane for lane in await engine.store.lanes()}
    told = {
        name
        for name, connection in engine.connections.items()
        if CAPABILITIES[connection.settings.gateway].takes
    }
    return [found.get(name, Lane(name)) for name in sorted(told | found.keys())]


async def move(engine: Engine, actor: str, order: str, number: int, to: State) -> dict[str, Any]:
    """Tell it again ("open"), or give it up ("dropped"). Raises Refused where there is no such
    delivery, or it is not one of which that can be said."""
    item = await engine.store.tell_row(order, number)
    if item is None:
        raise Refused(Reason.NOT_FOUND, "There is no such delivery.")
    body = {name: item[name] for name in ("order", "number", "connection", "kind")}
    what: EventType = "delivery.retried" if to == "open" else "delivery.dropped"
    now = engine.clock.now()
    if not await engine.store.move_tell(
        order, number, to, now, _make(engine, now, what, actor, body)
    ):
        raise Refused(Reason.WRONG_STATE, f"The delivery is {item['state']}.")
    engine.outbox.wake()
    after = await engine.store.tell_row(order, number)
    return view(after or item)


async def replay(
    engine: Engine, actor: str, connection: str, since: Instant, until: Instant
) -> int:
    """Send a subscriber the events again that were decided in that time; how many. Raises
    Refused."""
    if "event" not in CAPABILITIES[_gateway(engine, connection)].takes:
        raise Refused(Reason.VALIDATION, f"{connection} is no subscriber of events.")
    now = engine.clock.now()
    body = {"connection": connection, "since": since, "until": until}
    make = _make(engine, now, "delivery.replayed", actor, body)
    count = await engine.store.replay_tells(connection, since, until, now, make)
    engine.outbox.wake()
    return count


async def enable(engine: Engine, actor: str, connection: str) -> None:
    """Send to a subscriber's endpoint again. Raises Refused."""
    _gateway(engine, connection)
    now = engine.clock.now()
    if not await endpoints.enable(engine.store, engine.new_id, connection, now, actor):
        raise Refused(Reason.WRONG_STATE, f"The endpoint {connection} is not disabled.")
    engine.outbox.wake()


def _gateway(engine: Engine, connection: str) -> str:
    if connection not in engine.connections:
        raise Refused(Reason.UNKNOWN_CONNECTION)
    return engine.connections[connection].settings.gateway


def _make(engine: Engine, now: Instant, what: EventType, actor: str, body: dict[str, Any]) -> Make:
    fact = engine.new_id()

    def make(head: Head) -> Event:
        return link(head.stream, head.seq + 1, head.hash, now, what, actor, fact, "", body)

    return make
