"""What the database and the provider say, as plain values, for the checker."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select

from amends.sim.checker.spec import Row, Snapshot
from amends.sim.wire import World
from amends.store.schema import deliveries, entries, events, metadata, orders, refunds

# Those that name the order of each row, and the column that does.
OF_ORDERS = {
    **dict.fromkeys(("payments", "refunds", "legs", "entries", "postings"), "order_id"),
    **dict.fromkeys(("effects", "inbox", "payment_refs", "notes"), "order_id"),
    **dict.fromkeys(("credit_notes", "documents_due"), "order_id"),
    **dict.fromkeys(("deliveries", "stock_moves"), "order_id"),
    "events": "stream",
}
UNREAD = {"deliveries": ("doc",)}  # what was told is looked at where it was told
OTHERS = ("idempotency", "people", "periods")  # with the first part
TABLES = (*OF_ORDERS, *OTHERS)
AT_ONCE = 2000  # orders in a part


class Truth(msgspec.Struct):
    """What the providers say: by psp_payment_id, as their own control tells it, and what each
    account holds."""

    movements: dict[str, list[Row]]
    payments: dict[str, list[Row]]
    disputes: dict[str, list[Row]]
    warnings: dict[str, list[Row]]
    balances: list[Row]
    partners: list[Row] = []  # what those know who are told

    def of(self, what: str, payments: Iterable[str]) -> list[Row]:
        """Rows of these payments."""
        rows: dict[str, list[Row]] = getattr(self, what)
        return [row for name in payments for row in rows.get(name, ())]


def truth(worlds: Sequence[World]) -> Truth:
    """The providers' own record of everything."""
    made = (item for world in worlds for item in world.movements())
    return Truth(
        _by_payment(msgspec.to_builtins(item) for item in made),
        _by_payment(row for world in worlds for row in world.payments()),
        _by_payment(row for world in worlds for row in world.disputes()),
        _by_payment(row for world in worlds for row in world.warnings()),
        [row for world in worlds for row in world.balances()],
    )


def _by_payment(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["psp_payment_id"]].append(row)
    return dict(found)


async def ranges(store: Any, at_once: int = AT_ONCE) -> list[tuple[str, str]]:
    """From which id on and before which ("" is for ever) there are so many orders."""
    found = await store.fetch(select(orders.c.id).order_by(orders.c.id))
    begins = ["", *(found[place][0] for place in range(at_once, len(found), at_once))]
    return list(zip(begins, [*begins[1:], ""], strict=True))


async def snapshot(store: Any, part: tuple[str, str], told: Truth, at: int) -> Snapshot:
    """Every row of the tables that count, of one range of orders, and the providers' own truth of
    them."""
    rows = {name: await _rows(store, name, part) for name in OF_ORDERS}
    rows |= {name: [] if part[0] else await _rows(store, name) for name in OTHERS}
    states = select(orders.c.state).where(*_within(orders.c.id, part)).order_by(orders.c.id)
    paid = list(dict.fromkeys(row["psp_payment_id"] for row in rows["payments"]))
    return Snapshot(
        at=at,
        orders=[json.loads(row[0]) for row in await store.fetch(states)],
        rows=rows,
        movements=told.of("movements", paid),
        provider_payments=told.of("payments", paid),
        provider_disputes=told.of("disputes", paid),
        provider_warnings=told.of("warnings", paid),
        partners=[] if part[0] else told.partners,
    )


async def _rows(store: Any, name: str, part: tuple[str, str] = ("", "")) -> list[Row]:
    table = metadata.tables[name]
    names = [column.name for column in table.columns if column.name not in UNREAD.get(name, ())]
    query = select(*(table.c[column] for column in names)).order_by(*table.primary_key.columns)
    if name in OF_ORDERS:
        query = query.where(*_within(table.c[OF_ORDERS[name]], part))
    return [dict(zip(names, row, strict=True)) for row in await store.fetch(query)]


def _within(column: ColumnElement[str], part: tuple[str, str]) -> list[ColumnElement[bool]]:
    first, end = part
    return [column >= first, *([column < end] if end else [])]


async def next_due(store: Any) -> int | None:
    """When the next effect is due, or something to be told that waits for no person."""
    d, before = deliveries.c, deliveries.alias()
    held = (
        select(before.c.number)
        .where(before.c.order_id == d.order_id, before.c.number < d.number)
        .where(before.c.connection == d.connection, before.c.state == "stuck")
    )
    first = select(func.min(d.ready_at)).where(d.state == "open", ~held.exists())
    found = [await store.next_due(), *(await store.fetch(first))[0]]
    return min((at for at in found if at is not None), default=None)


async def stuck(store: Any) -> list[tuple[str, int]]:
    """(order or stream, number) of what somebody refused to be told."""
    place = deliveries.c.order_id, deliveries.c.number
    query = select(*place).where(deliveries.c.state == "stuck").order_by(*place)
    return [(row[0], row[1]) for row in await store.fetch(query)]


async def states(store: Any) -> dict[str, int]:
    """How many refunds are in each state."""
    query = select(refunds.c.state, func.count()).group_by(refunds.c.state)
    return {row[0]: row[1] for row in await store.fetch(query.order_by(refunds.c.state))}


async def kinds(store: Any, name: str) -> dict[str, int]:
    """How many rows of a table are of each kind."""
    table = metadata.tables[name]
    query = select(table.c.kind, func.count()).group_by(table.c.kind).order_by(table.c.kind)
    return {row[0]: row[1] for row in await store.fetch(query)}


async def posted_late(store: Any) -> int:
    """How many entries are posted on a later day than they were booked."""
    query = select(func.count()).select_from(entries).where(entries.c.posted_on != "")
    return int((await store.fetch(query))[0][0])


async def fingerprint(store: Any) -> str:
    """A hash over the hash of every event of every order."""
    query = select(events.c.stream, events.c.seq, events.c.hash)
    rows = await store.fetch(query.order_by(events.c.stream, events.c.seq))
    return sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()


async def in_review(store: Any) -> list[tuple[str, str]]:
    """(refund, the shop's number of its order) of every refund that waits for a person."""
    query = select(refunds.c.id, orders.c.source_order_id).join(
        orders, orders.c.id == refunds.c.order_id
    )
    found = await store.fetch(query.where(refunds.c.state == "review").order_by(refunds.c.id))
    return [(row[0], row[1]) for row in found]
