"""What others are told, written once for both databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from msgspec.structs import replace
from sqlalchemy import and_, func, insert, or_, select, text, tuple_, union_all, update

from amends.core.outlets import (
    CreditNote,
    RefundPaid,
    Tell,
    Telling,
    decode_telling,
)
from amends.kernel.time import Instant
from amends.store import rows
from amends.store.desk_spec import Make
from amends.store.outbox_spec import Came, Counted, Due, Lane, State
from amends.store.reads import decode_cursor, literal, page_of
from amends.store.records import Page
from amends.store.schema import deliveries, entries, postings, stock_counts, stock_moves
from amends.store.signins import SigningIn

STREAM = "system:outlets"
_MONEY = ("credit_note", "refund_paid")
_READY = """
    SELECT d.order_id, d.number, d.connection, d.doc, d.attempts, d.at FROM deliveries AS d
    WHERE d.connection = :connection AND d.state = 'open' AND d.ready_at <= :now
      AND (NOT d.ordered OR NOT EXISTS (
        SELECT 1 FROM deliveries AS e
        WHERE e.order_id = d.order_id AND e.number < d.number AND e.connection = d.connection
          AND e.ordered AND (e.state = 'open' OR e.state = 'stuck')))
    ORDER BY d.ready_at, d.at, d.order_id, d.number LIMIT :most
"""
_LEASE = text(
    "UPDATE deliveries SET lease_holder = :holder, ready_at = :until"
    " WHERE order_id = :order_id AND number = :number"
)
_CAME = text(
    "UPDATE deliveries SET state = :state, ready_at = :ready_at, lease_holder = '',"
    " attempts = attempts + 1, reference = :reference, detail = :detail,"
    " ended_at = CASE WHEN CAST(:state AS text) = 'open' THEN 0 ELSE CAST(:now AS bigint) END"
    " WHERE order_id = :order_id AND number = :number AND state = 'open'"
    " AND (lease_holder = :holder OR CAST(:state AS text) = 'done')"
)
_SET_ASIDE = text(
    "UPDATE deliveries SET state = 'stuck', lease_holder = '', detail = :detail"
    " WHERE order_id = :order_id AND number = :number"
)
_UNREADABLE = (
    "unreadable: This program cannot read what is to be told ({}). Was it written by a newer one,"
    " have it told again once that runs everywhere; else give it up and tell the party yourself."
)
_COUNT = text(
    "INSERT INTO stock_counts (sku, location, at, units, actor)"
    " VALUES (:sku, :location, :at, :units, :actor) ON CONFLICT (sku, location, at) DO NOTHING"
)
_SHOWN = (
    *("order_id", "number", "connection", "kind", "key", "state", "attempts", "at", "ended_at"),
    *("reference", "detail"),
)
_FILTERS = {"order": "order_id", "connection": "connection", "state": "state", "kind": "kind"}


def _item(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("order", *_SHOWN[1:]), row, strict=True))


class Told(SigningIn):
    """Rows of `deliveries`, `stock_moves` and `stock_counts`."""

    skip_locked = ""  # what keeps two processes from the same row, where a writer is not alone

    async def claim_tells(
        self, holder: str, now: Instant, until: Instant, limits: dict[str, int]
    ) -> list[Due]:
        ready = text(_READY + self.skip_locked)
        lanes = [(name, most) for name, most in sorted(limits.items()) if most > 0]
        found: list[Due] = []
        spoilt: list[dict[str, Any]] = []
        async with self.writing() as connection:
            for name, most in lanes:
                lane = {"connection": name, "now": now, "most": most}
                for row in (await connection.execute(ready, lane)).all():
                    order, number, _, doc, attempts, at = row
                    try:
                        telling = decode_telling(doc)
                    except msgspec.DecodeError as error:
                        detail = _UNREADABLE.format(error)
                        spoilt.append({"order_id": order, "number": number, "detail": detail})
                    else:
                        found.append(Due(order, number, name, telling, attempts, at))
            leases = [
                {"holder": holder, "until": until, "order_id": d.order, "number": d.number}
                for d in found
            ]
            if leases:
                await connection.execute(_LEASE, leases)
            if spoilt:
                await connection.execute(_SET_ASIDE, spoilt)
        return found

    async def came(self, holder: str, outcomes: Sequence[Came], now: Instant) -> None:
        values = [
            {
                "order_id": one.order,
                "number": one.number,
                "state": one.state,
                "ready_at": one.ready_at,
                "reference": one.reference,
                "detail": one.detail,
                "holder": holder,
                "now": now,
            }
            for one in outcomes
        ]
        if values:
            async with self.writing() as connection:
                await connection.execute(_CAME, values)

    async def next_tell(self, connections: Sequence[str]) -> Instant | None:
        d = deliveries.c
        ones = [
            select(func.min(d.ready_at).label("first")).where(
                d.connection == name, text("state = 'open'")
            )
            for name in connections
        ]
        if not ones:
            return None
        found = await self.fetch(union_all(*ones))
        return min((first for (first,) in found if first is not None), default=None)

    async def add_tells(
        self, stream: str, connection: str, tellings: Sequence[tuple[int, Telling]]
    ) -> int:
        d = deliveries.c
        names = [column.name for column in deliveries.columns]
        numbers = [number for number, _ in tellings]
        known = select(d.number).where(d.order_id == stream, d.number.in_(numbers))
        async with self.writing() as writer:
            await self.lock_stream(writer, stream)
            there = {number for (number,) in (await writer.execute(known)).all()}
            fresh = [
                dict(zip(names, rows.tell(Tell(stream, number, connection, telling)), strict=True))
                for number, telling in tellings
                if number not in there
            ]
            if fresh:
                await writer.execute(insert(deliveries), fresh)
        return len(fresh)

    async def tells(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        if unknown := sorted(filters.keys() - _FILTERS.keys()):
            raise ValueError(f"no filter {unknown[0]}: there are {', '.join(sorted(_FILTERS))}")
        d = deliveries.c
        key = tuple_(d.at, d.order_id, d.number)
        query = select(*(d[name] for name in _SHOWN))
        for name, value in filters.items():
            exact = literal(value) if name == "state" and value in get_args(State) else value
            query = query.where(d[_FILTERS[name]] == exact)
        if cursor:
            query = query.where(key < tuple_(*decode_cursor(cursor, (int, str, int))))
        order = (d.at.desc(), d.order_id.desc(), d.number.desc())
        items = [_item(row) for row in await self.fetch(query.order_by(*order).limit(limit + 1))]
        return page_of(items, [(i["at"], i["order"], i["number"]) for i in items], limit)

    async def tell_doc(self, order: str, number: int) -> Telling | None:
        d = deliveries.c
        query = select(d.doc).where(d.order_id == order, d.number == number)
        found = await self.fetch(query)
        return decode_telling(found[0][0]) if found else None

    async def tell_row(self, order: str, number: int) -> dict[str, Any] | None:
        d = deliveries.c
        query = select(*(d[name] for name in _SHOWN))
        found = await self.fetch(query.where(d.order_id == order, d.number == number))
        return _item(found[0]) if found else None

    async def move_tell(
        self, order: str, number: int, to: State, now: Instant, make: Make | None = None
    ) -> bool:
        d = deliveries.c
        mine = and_(d.order_id == order, d.number == number)
        if to == "open":
            where = and_(mine, or_(*(d.state == one for one in ("stuck", "done", "dropped"))))
            values: dict[str, Any] = {"state": "open", "ready_at": now, "ended_at": 0}
        else:
            where = and_(mine, or_(d.state == "open", d.state == "stuck"))
            values = {"state": "dropped", "ended_at": now}
        async with self.writing() as connection:
            query = update(deliveries).where(where).values(lease_holder="", **values)
            if (await connection.execute(query)).rowcount != 1:
                return False
            if make is not None:
                await self.append_event(connection, STREAM, make)
        return True

    async def replay_tells(
        self, connection: str, since: Instant, until: Instant, now: Instant, make: Make
    ) -> int:
        d = deliveries.c
        ended = or_(d.state == "done", d.state == "dropped")
        where = and_(d.connection == connection, d.kind == "event", d.at >= since, d.at < until)
        again = update(deliveries).where(where, ended)
        again = again.values(state="open", ready_at=now, ended_at=0, lease_holder="")
        async with self.writing() as writer:
            count = (await writer.execute(again)).rowcount
            if count:
                await self.append_event(writer, STREAM, make)
        return count

    async def lanes(self) -> list[Lane]:
        d = deliveries.c
        found: dict[str, Lane] = {}
        for state in ("open", "stuck"):
            query = select(d.connection, func.count(), func.min(d.at))
            query = query.where(text(f"state = '{state}'")).group_by(d.connection)
            for name, count, first in await self.fetch(query):
                lane = found.get(name, Lane(name))
                oldest = min(at for at in (lane.oldest, first) if at)
                found[name] = replace(lane, **{state: int(count)}, oldest=oldest)
        return [found[name] for name in sorted(found)]

    async def told_between(
        self, connection: str, entity: str, since: Instant, until: Instant
    ) -> list[Telling]:
        d = deliveries.c
        kinds = or_(*(d.kind == kind for kind in _MONEY))
        query = select(d.doc).where(kinds, d.at >= since, d.at < until)
        found = await self.fetch(query.where(d.connection == connection))
        return [
            telling
            for (doc,) in found
            if isinstance(telling := decode_telling(doc), CreditNote | RefundPaid)
            and telling.entity == entity
        ]

    async def day_booked(
        self, entity: str, since: Instant, until: Instant
    ) -> list[tuple[str, str, int, int]]:
        e, p = entries.c, postings.c
        group = (p.account, p.currency)
        query = (
            select(*group, func.sum(p.amount), func.sum(p.functional))
            .where(e.at >= since, e.at < until, e.entity == entity)
            .where(p.order_id == e.order_id, p.entry == e.number)
            .group_by(*group)
            .order_by(*group)
        )
        return [(a, c, int(n), int(ours)) for a, c, n, ours in await self.fetch(query)]

    async def stock_report(self, since: Instant, until: Instant) -> list[dict[str, object]]:
        m, c = stock_moves.c, stock_counts.c
        moved = (
            select(m.sku, m.location, func.sum(m.units))
            .where(m.at >= since, m.at < until, m.disposition == "restock")
            .group_by(m.sku, m.location)
        )
        counted = (
            select(c.sku, c.location, func.sum(c.units))
            .where(c.at >= since, c.at < until)
            .group_by(c.sku, c.location)
        )
        booked = {(sku, place): int(n) for sku, place, n in await self.fetch(moved)}
        found = {(sku, place): int(n) for sku, place, n in await self.fetch(counted)}
        return [
            {
                "sku": key[0],
                "location": key[1],
                "booked": booked.get(key, 0),
                "counted": found.get(key),
            }
            for key in sorted(booked.keys() | found.keys())
        ]

    async def add_counts(self, at: Instant, actor: str, counts: Sequence[Counted]) -> int:
        values = [
            {"sku": c.sku, "location": c.location, "at": at, "units": c.units, "actor": actor}
            for c in counts
        ]
        new = 0
        async with self.writing() as connection:
            for row in values:
                new += (await connection.execute(_COUNT, row)).rowcount
        return new

    async def hold_writer(self, name: str) -> bool:
        """A SQLite file has one server, which is the one writer of everything."""
        return True
