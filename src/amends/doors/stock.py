"""Stock over REST: what was counted, and the report of ghost stock."""

from __future__ import annotations

from collections import Counter

import msgspec

from amends.doors import shapes, shapes_goods
from amends.doors.calls import Asked, Call, Query, decode, fine
from amends.doors.pages import instant
from amends.engine import stocktaking
from amends.engine.asks import Rendered
from amends.store.outbox_spec import Counted

_COUNTS = msgspec.json.Decoder(shapes_goods.CountsIn)
_TIME = {"type": "string", "format": "date-time"}


async def count(asked: Asked) -> Rendered:
    said = decode(_COUNTS, asked.body)
    units = Counter[tuple[str, str]]()
    for one in said.counts:
        units[one.sku, one.location] += one.units
    counts = [Counted(sku, place, found) for (sku, place), found in units.items()]
    at = instant(said.at, "at")
    new = await stocktaking.count(asked.engine, asked.actor, at, counts)
    return fine({"new": new})


async def report(asked: Asked) -> Rendered:
    query, now = asked.query, asked.engine.clock.now()
    since = instant(query["since"], "since") if "since" in query else 0
    until = instant(query["until"], "until") if "until" in query else now + 1
    found = await stocktaking.report(asked.engine.store, since, until)
    return fine({"items": msgspec.to_builtins(found)})


CALLS = (
    Call(
        "countStock",
        "POST",
        "/v1/stock/counts",
        "What was found of returned units since the count before.",
        count,
        scopes=("orders:write",),
        body=shapes_goods.CountsIn,
        answers={200: shapes_goods.CountsTaken},
    ),
    Call(
        "reportStock",
        "GET",
        "/v1/stock/report",
        "What was booked back into stock against what was counted: ghost stock.",
        report,
        scopes=shapes.READ,
        query=(
            Query("since", "From this instant on.", _TIME),
            Query("until", "Before this instant.", _TIME),
        ),
        answers={200: shapes_goods.StockReport},
    ),
)
