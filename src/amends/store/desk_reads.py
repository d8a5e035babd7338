"""Reads of the console, written once for both databases with SQLAlchemy Core."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import Select, and_, case, exists, func, literal_column, select, text, tuple_

from amends.core.events import Event
from amends.core.history import History
from amends.core.order import Order
from amends.kernel.time import DAY, Instant
from amends.store import past, rows
from amends.store.pages_spec import LOOKED_AT, DayRow, Found, Heard
from amends.store.reads import Reads, decode_cursor, literal, page_of
from amends.store.records import Page
from amends.store.schema import (
    customer_days,
    customer_orders,
    decisions,
    entries,
    events,
    inbox,
    legs,
    orders,
    payment_refs,
    payments,
    people,
    refunds,
    reviews,
)

SAME_NAME = 20  # orders that one name leads to, at most

_NEWEST = (refunds.c.created_at.desc(), refunds.c.id.desc())
_HISTORY = text(past.summed(":customer", ":entity", ":day"))


class DeskReads(Reads):
    """Everything the console reads that no other door does."""

    async def find(self, text: str) -> list[Found]:
        order = orders.c
        ways: list[tuple[str, str, Select[tuple[str]]]] = [
            ("order", "order", select(order.id).where(order.id == text)),
            ("refund", "refund", select(refunds.c.id).where(refunds.c.id == text)),
            ("order", "shop's order", select(order.id).where(order.source_order_id == text)),
            ("order", "payment", select(payments.c.order_id).where(payments.c.id == text)),
            (
                "order",
                "provider's payment",
                select(payment_refs.c.order_id).where(payment_refs.c.psp_payment_id == text),
            ),
            (
                "refund",
                "provider's refund",
                select(legs.c.refund_id).where(
                    legs.c.psp_refund_id == text, legs.c.psp_refund_id != literal("")
                ),
            ),
        ]
        found: dict[tuple[str, str], Found] = {}
        for kind, by, query in ways:
            for (name,) in await self.fetch(query.limit(SAME_NAME)):
                found.setdefault((kind, name), Found(kind, name, by))
        return [*found.values(), *await self._customers(text)]

    async def _customers(self, text: str) -> list[Found]:
        day = customer_days.c
        entities = select(day.entity).where(day.customer == text).distinct().limit(SAME_NAME)
        known = {entity for (entity,) in await self.fetch(entities)} | {"main"}
        person = people.c
        query = select(person.entity).where(person.entity.in_(known), person.id == text)
        there = {entity for (entity,) in await self.fetch(query)}
        there |= known - {"main"}
        main = select(day.day).where(day.customer == text, day.entity == "main").limit(1)
        if await self.fetch(main):
            there.add("main")
        return [Found("customer", text, "customer", entity) for entity in sorted(there)]

    # -- figures ---------------------------------------------------------------------------------
    async def refund_days(self, since: Instant, most: int) -> list[DayRow]:
        part = (
            select(
                *(refunds.c.created_at, refunds.c.currency, refunds.c.state),
                *(refunds.c.amount, refunds.c.amount_succeeded),
            )
            .where(refunds.c.created_at >= since)
            .order_by(*_NEWEST)
            .limit(most)
            .subquery()
        )
        day = (part.c.created_at - part.c.created_at % DAY) // DAY
        query = select(
            *(day, part.c.currency, part.c.state, func.count()),
            *(func.sum(part.c.amount), func.sum(part.c.amount_succeeded)),
        ).group_by(literal_column("1"), part.c.currency, part.c.state)
        found = await self.fetch(query.order_by(literal_column("1"), part.c.currency))
        return [DayRow(int(a), b, c, n, int(d), int(e)) for a, b, c, n, d, e in found]

    async def refund_times(self, since: Instant, most: int) -> list[int]:
        part = (
            select(refunds.c.order_id, refunds.c.id, refunds.c.created_at)
            .where(refunds.c.created_at >= since)
            .order_by(*_NEWEST)
            .limit(most)
            .subquery()
        )
        paid = and_(
            entries.c.order_id == part.c.order_id,
            entries.c.refund_id == part.c.id,
            entries.c.kind == "payout",
        )
        query = (
            select(func.min(entries.c.at) - part.c.created_at)
            .select_from(part)
            .join(entries, paid)
            .group_by(part.c.order_id, part.c.id, part.c.created_at)
        )
        return sorted(int(took) for (took,) in await self.fetch(query))

    async def outcomes(self, since: Instant, most: int) -> dict[str, int]:
        part = (
            select(decisions.c.outcome)
            .where(decisions.c.at >= since)
            .order_by(decisions.c.at.desc())
            .limit(most)
            .subquery()
        )
        query = select(part.c.outcome, func.count()).group_by(part.c.outcome)
        return {row.outcome: row[1] for row in await self.fetch(query)}

    async def disputed(self, since: Instant, most: int) -> tuple[int, int]:
        part = (
            select(orders.c.id)
            .where(orders.c.created_at >= since)
            .order_by(orders.c.created_at.desc(), orders.c.id.desc())
            .limit(most)
            .subquery()
        )
        taken = exists().where(entries.c.order_id == part.c.id, entries.c.kind == "dispute")
        query = select(func.count(), func.coalesce(func.sum(case((taken, 1), else_=0)), 0))
        ((count, disputes),) = await self.fetch(query.select_from(part))
        return count, int(disputes)

    # -- messages --------------------------------------------------------------------------------
    async def messages(self, connection: str, cursor: str, limit: int) -> Page:
        m = inbox.c
        columns = (m.connection, m.message, m.at, m.type, m.state, m.order_id.label("order"))
        query = select(*columns).where(m.raw.is_not(None))
        key = (m.at, m.connection, m.message)
        if cursor:
            query = query.where(tuple_(*key) < tuple_(*decode_cursor(cursor, (int, str, str))))
        query = query.order_by(*(column.desc() for column in key))
        if connection:
            part = query.limit(LOOKED_AT).subquery()
            query = select(part).where(part.c.connection == connection)
            query = query.order_by(*(part.c[name].desc() for name in ("at", "message")))
        found = [dict(row._mapping) for row in await self.fetch(query.limit(limit + 1))]
        keys = [(item["at"], item["connection"], item["message"]) for item in found]
        return page_of(found, keys, limit)

    async def heard(self) -> list[Heard]:
        m = inbox.c
        part = (
            select(m.connection, m.at, m.state)
            .where(m.raw.is_not(None))
            .order_by(m.at.desc())
            .limit(LOOKED_AT)
            .subquery()
        )
        waits = func.sum(case((part.c.state.in_(("unmatched", "parked")), 1), else_=0))
        query = select(part.c.connection, func.max(part.c.at), func.count(), waits)
        found = await self.fetch(query.group_by(part.c.connection))
        return [Heard(name, at, count, int(waiting)) for name, at, count, waiting in found]

    # -- reviews ---------------------------------------------------------------------------------
    async def queue_mark(self) -> str:
        r = reviews.c
        query = select(r.due, r.order_id, r.refund_id, r.assignee, r.snoozed_until, r.escalated)
        query = query.where(r.state == literal("open"))
        found = await self.fetch(query.order_by(r.due, r.order_id, r.refund_id).limit(LOOKED_AT))
        return hashlib.sha256(repr([tuple(row) for row in found]).encode()).hexdigest()[:16]

    async def orders_of(self, order_ids: Sequence[str]) -> dict[str, Order]:
        query = select(orders.c.id, orders.c.state).where(orders.c.id.in_(set(order_ids)))
        return {id_: rows.to_order(state) for id_, state in await self.fetch(query)}

    async def customer_orders(self, entity: str, customer: str, most: int) -> list[Order]:
        own = customer_orders.c
        query = select(own.order_id).where(own.customer == customer, own.entity == entity)
        newest = query.order_by(own.at.desc(), own.order_id.desc()).limit(most)
        names = [name for (name,) in await self.fetch(newest)]
        found = await self.orders_of(names)
        orders_ = (found[name] for name in dict.fromkeys(names))
        return [order for order in orders_ if (order.entity, order.customer) == (entity, customer)]

    async def customer_history(self, entity: str, customer: str, today: int) -> History:
        whose = {"customer": customer, "entity": entity, "day": today}
        (row,) = await self.fetch(_HISTORY.bindparams(**whose))
        return past.to_history(row)

    async def recent_events(self, stream: str, before: int, limit: int) -> list[Event]:
        query = select(events).where(events.c.stream == stream)
        if before:
            query = query.where(events.c.seq < before)
        found = await self.fetch(query.order_by(events.c.seq.desc()).limit(limit))
        return [rows.to_event(row) for row in found]
