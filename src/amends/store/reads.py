"""Cold reads, written once for both databases with SQLAlchemy Core.

A cursor is the key of the last row of a page, as base64 of its canonical JSON.
"""

from __future__ import annotations

import binascii
from abc import ABC, abstractmethod
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    and_,
    exists,
    func,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from amends.core.events import Event
from amends.core.order import Order, Payment
from amends.core.postings import Entry
from amends.kernel.canon import canonical
from amends.kernel.time import Instant
from amends.store import migrate, rows
from amends.store.records import Head, Page
from amends.store.schema import (
    checkpoints,
    entries,
    events,
    inbox,
    inbox_refs,
    legs,
    notes,
    orders,
    payment_refs,
    payments,
    people,
    postings,
    principals,
    quotes,
    refunds,
    reviews,
)
from amends.store.spec import (
    Books,
    Checkpoint,
    Inbound,
    NoteText,
    Person,
    Principal,
    QuoteRow,
    StoreUnavailable,
)

STRANGERS = 100  # named at once; more would say no more

# The connections that have effects, by one look into the index for each.
_LANES = (
    "WITH RECURSIVE lanes(connection) AS ("
    " SELECT min(connection) FROM effects"
    " UNION ALL SELECT (SELECT min(e.connection) FROM effects e"
    " WHERE e.connection > lanes.connection) FROM lanes WHERE lanes.connection IS NOT NULL)"
)
_NEXT_DUE = text(
    f"{_LANES} SELECT min((SELECT min(e.ready_at) FROM effects e"
    " WHERE e.connection = lanes.connection))"
    " FROM lanes WHERE lanes.connection IS NOT NULL"
)
_DUE = text(
    f"{_LANES} SELECT coalesce(sum((SELECT count(*) FROM effects e"
    " WHERE e.connection = lanes.connection AND e.ready_at <= :now)), 0)"
    " FROM lanes WHERE lanes.connection IS NOT NULL"
)


def encode_cursor(key: Sequence[Any]) -> str:
    return urlsafe_b64encode(canonical(list(key))).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The key a cursor stands for. Raises ValueError unless it is one of ours for this list."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = msgspec.json.decode(urlsafe_b64decode(padded))
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise ValueError("this cursor was not made by this list: start again without one")
    return tuple(key)


def page_of(items: list[dict[str, Any]], keys: list[tuple[Any, ...]], limit: int) -> Page:
    """`keys` are the keys of one row more than the page has, if there is one more."""
    more = len(keys) > limit
    return Page(items[:limit], encode_cursor(keys[limit - 1]) if more else "")


def _known(filters: dict[str, str], names: set[str]) -> None:
    if unknown := sorted(filters.keys() - names):
        raise ValueError(f"no filter {unknown[0]}: there are {', '.join(sorted(names))}")


class Reads(ABC):
    """Everything that only reads, over an async engine of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @abstractmethod
    def translate(self, error: BaseException) -> BaseException:
        """The error of the spec that a driver's error means; itself if it means none."""

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """Driver errors inside become errors of the spec."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable("every connection to the database is in use") from error
        except Exception as error:
            driver = error.orig if isinstance(error, DBAPIError) and error.orig else error
            told = self.translate(driver)
            if told is driver:
                raise
            raise told from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One connection with one snapshot or, on PostgreSQL, one a statement."""
        async with self.translated(), self.engine.connect() as connection:
            yield connection

    async def fetch(self, statement: Executable) -> Sequence[Any]:
        async with self.reading() as connection:
            return (await connection.execute(statement)).all()

    async def check_schema(self) -> None:
        """Raises StoreUnavailable unless the schema is the one this program needs."""
        async with self.reading() as connection:
            there = await connection.run_sync(migrate.current)
        needed = migrate.newest()
        if there != needed:
            state = f"at {there}, and this program needs {needed}" if there else "not there yet"
            raise StoreUnavailable(f"the schema is {state}: run `amends init`")

    # -- orders ----------------------------------------------------------------------------------
    async def order(self, order_id: str) -> Order | None:
        found = await self.fetch(select(orders.c.state).where(orders.c.id == order_id))
        return rows.to_order(found[0][0]) if found else None

    async def payment(self, payment_id: str) -> tuple[str, Payment] | None:
        ours = select(payments.c.order_id).where(payments.c.id == payment_id)
        theirs = (
            select(payment_refs.c.order_id)
            .where(payment_refs.c.psp_payment_id == payment_id)
            .order_by(payment_refs.c.connection)
        )
        found = await self.fetch(ours) or await self.fetch(theirs)
        for (order_id,) in found:
            order = await self.order(order_id)
            for payment in order.payments if order else ():
                if payment_id in _names(payment):
                    return order_id, payment
        return None

    async def orders(self, cursor: str, limit: int) -> Page:
        query = select(orders.c.created_at, orders.c.updated_at, orders.c.state)
        key = tuple_(orders.c.created_at, orders.c.id)
        if cursor:
            query = query.where(key < tuple_(*decode_cursor(cursor, (int, str))))
        query = query.order_by(orders.c.created_at.desc(), orders.c.id.desc()).limit(limit + 1)
        found = [(at, updated, rows.to_order(s)) for at, updated, s in await self.fetch(query)]
        items = [_order_item(order, at, updated) for at, updated, order in found]
        return page_of(items, [(at, order.id) for at, _, order in found], limit)

    async def order_ids(self, after: str, limit: int) -> list[tuple[str, int, str]]:
        query = (
            select(orders.c.id, orders.c.head_seq, orders.c.head_hash)
            .where(orders.c.id > after)
            .order_by(orders.c.id)
            .limit(limit)
        )
        return [(id_, seq, hash_) for id_, seq, hash_ in await self.fetch(query)]

    # -- refunds ---------------------------------------------------------------------------------
    async def refunds(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        _known(filters, {"state", "order", "connection", "psp_refund_id"})
        query = select(
            *(refunds.c.id, refunds.c.order_id.label("order"), refunds.c.state),
            *(refunds.c.amount, refunds.c.amount_succeeded, refunds.c.currency),
            *(refunds.c.reason, refunds.c.requested_by, refunds.c.created_at),
        ).where(*_refund_filters(filters))
        if cursor:
            key = tuple_(refunds.c.created_at, refunds.c.id)
            query = query.where(key < tuple_(*decode_cursor(cursor, (int, str))))
        query = query.order_by(refunds.c.created_at.desc(), refunds.c.id.desc()).limit(limit + 1)
        items = [dict(row._mapping) for row in await self.fetch(query)]
        return page_of(items, [(item["created_at"], item["id"]) for item in items], limit)

    async def refund_order(self, refund_id: str) -> str | None:
        found = await self.fetch(select(refunds.c.order_id).where(refunds.c.id == refund_id))
        return found[0][0] if found else None

    # -- events ----------------------------------------------------------------------------------
    async def events(self, stream: str, cursor: str, limit: int) -> list[Event]:
        if cursor and not (cursor.isascii() and cursor.isdigit()):
            raise ValueError("a cursor of events is the number of the last one seen")
        query = (
            select(events)
            .where(events.c.stream == stream, events.c.seq > int(cursor or 0))
            .order_by(events.c.seq)
            .limit(limit)
        )
        return [rows.to_event(row) for row in await self.fetch(query)]

    async def streams(self, after: str, limit: int) -> list[Head]:
        tips = (
            select(events.c.stream, func.max(events.c.seq).label("seq"))
            .where(events.c.stream > after)
            .group_by(events.c.stream)
            .order_by(events.c.stream)
            .limit(limit)
        )
        return await self._heads(tips)

    async def changed_heads(self, since: Instant) -> list[Head]:
        # Not distinct: SQLite would then go through all streams to find each once.
        moved = select(events.c.stream).where(events.c.at >= since)
        tips = (
            select(events.c.stream, func.max(events.c.seq).label("seq"))
            .where(events.c.stream.in_(moved))
            .group_by(events.c.stream)
        )
        return await self._heads(tips)

    async def born(self, since: Instant) -> set[str]:
        query = select(events.c.stream).where(events.c.at >= since, events.c.seq == 1)
        return {stream for (stream,) in await self.fetch(query)}

    async def _heads(self, tips: Select[Any]) -> list[Head]:
        tip = tips.subquery()
        same = and_(events.c.stream == tip.c.stream, events.c.seq == tip.c.seq)
        query = (
            select(events.c.stream, events.c.seq, events.c.hash)
            .join(tip, same)
            .order_by(events.c.stream)
        )
        return [Head(*row) for row in await self.fetch(query)]

    # -- the books -------------------------------------------------------------------------------
    async def entries(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        _known(filters, {"order", "refund", "account", "currency", "holder"})
        key = [entries.c.at, entries.c.order_id, entries.c.number]
        kinds: tuple[type, ...] = (int, str, int)
        if "order" in filters:
            key, kinds = key[1:], kinds[1:]
        query = select(entries).where(*_entry_filters(filters)).order_by(*key).limit(limit + 1)
        if cursor:
            query = query.where(tuple_(*key) > tuple_(*decode_cursor(cursor, kinds)))
        async with self.reading() as connection:
            found = (await connection.execute(query)).all()
            lines = await _lines(connection, [(e.order_id, e.number) for e in found[:limit]])
        items = [_entry_item(e, lines[e.order_id, e.number]) for e in found[:limit]]
        keys = [tuple(getattr(e, column.name) for column in key) for e in found]
        return page_of(items, keys, limit)

    async def entry_hashes(self, order_id: str) -> dict[int, str]:
        found: dict[int, str] = {}
        cursor = ""
        while True:
            page = await self.entries({"order": order_id}, cursor, 200)
            found |= {item["number"]: rows.to_entry(item).hash for item in page.items}
            if not page.next:
                return found
            cursor = page.next

    async def books(self, after: str, limit: int, only: str = "") -> list[Books]:
        wanted = orders.c.id == only if only else orders.c.id > after
        query = select(orders.c.id, orders.c.state).where(wanted).order_by(orders.c.id)
        async with self.reading() as connection:
            found = (await connection.execute(query.limit(limit))).all()
            mine = entries.c.order_id.in_([id_ for id_, _ in found])
            heads = select(entries).where(mine).order_by(entries.c.order_id, entries.c.number)
            booked = (await connection.execute(heads)).all()
            lines = await _lines_of(connection, [id_ for id_, _ in found])
        made: dict[str, list[Entry]] = {id_: [] for id_, _ in found}
        for e in booked:
            item = _entry_item(e, lines.get((e.order_id, e.number), []))
            made[e.order_id].append(rows.to_entry(item))
        return [Books(rows.to_order(state), tuple(made[id_])) for id_, state in found]

    async def strangers(self) -> list[str]:
        found: set[str] = set()
        for table in (entries, postings):
            there = exists().where(orders.c.id == table.c.order_id)
            query = select(table.c.order_id).where(~there).distinct().limit(STRANGERS)
            found |= {id_ for (id_,) in await self.fetch(query)}
        lost = exists().where(
            entries.c.order_id == postings.c.order_id, entries.c.number == postings.c.entry
        )
        query = select(postings.c.order_id).where(~lost).distinct().limit(STRANGERS)
        return sorted(found | {id_ for (id_,) in await self.fetch(query)})

    async def quote(self, quote_id: str) -> QuoteRow | None:
        found = await self.fetch(select(quotes).where(quotes.c.id == quote_id))
        return rows.to_quote(found[0]) if found else None

    async def last_checkpoint(self) -> Checkpoint | None:
        query = select(checkpoints).order_by(checkpoints.c.number.desc()).limit(1)
        found = await self.fetch(query)
        return rows.to_checkpoint(found[0]) if found else None

    # -- people ----------------------------------------------------------------------------------
    async def notes(self, order_id: str) -> list[NoteText]:
        query = select(notes).where(notes.c.order_id == order_id).order_by(notes.c.at, notes.c.id)
        return [rows.to_note(row) for row in await self.fetch(query)]

    async def person(self, entity: str, person_id: str) -> Person | None:
        query = select(people).where(people.c.entity == entity, people.c.id == person_id)
        found = await self.fetch(query)
        return Person(*found[0]) if found else None

    async def principal(self, key_hash: str) -> Principal | None:
        query = select(principals).where(
            principals.c.key_hash == key_hash, principals.c.revoked_at == 0
        )
        found = await self.fetch(query)
        return rows.to_principal(found[0]) if found else None

    async def principals(self) -> list[Principal]:
        query = select(principals).order_by(principals.c.created_at, principals.c.id)
        return [rows.to_principal(row) for row in await self.fetch(query)]

    # -- work ------------------------------------------------------------------------------------
    async def next_due(self) -> Instant | None:
        due: Instant | None = (await self.fetch(_NEXT_DUE))[0][0]
        return due

    async def unmatched_routed(self, limit: int) -> list[Inbound]:
        ref = inbox_refs.c
        by_payment = select(ref.connection, ref.message).join(
            payment_refs,
            and_(
                payment_refs.c.psp_payment_id == ref.ref_id,
                payment_refs.c.connection == ref.ref_connection,
            ),
        )
        by_order = select(ref.connection, ref.message).join(
            orders,
            and_(
                orders.c.source_order_id == ref.ref_id,
                orders.c.source_connection == ref.ref_connection,
            ),
        )
        found = by_payment.union(by_order).subquery()
        query = (
            select(inbox)
            .join(
                found,
                and_(
                    inbox.c.connection == found.c.connection,
                    inbox.c.message == found.c.message,
                ),
            )
            .where(inbox.c.state == "unmatched")
            .order_by(inbox.c.at, inbox.c.connection, inbox.c.message)
            .limit(limit)
        )
        return [rows.to_inbound(row) for row in await self.fetch(query)]

    async def counts(self, now: Instant) -> dict[str, int]:
        counted = {
            "inbox_unmatched": _count_state(inbox.c.state, "unmatched"),
            "inbox_parked": _count_state(inbox.c.state, "parked"),
            "refunds_review": _count_state(refunds.c.state, "review"),
            "refunds_unknown": _count_state(refunds.c.state, "unknown"),
            "orders_parked": select(func.count())
            .select_from(orders)
            .where(orders.c.parked == literal_column("true")),
            "reviews_overdue": _count_state(reviews.c.state, "open").where(reviews.c.due <= now),
        }
        query = select(*(q.scalar_subquery().label(name) for name, q in counted.items()))
        ((due,),) = await self.fetch(_DUE.bindparams(now=now))
        return {"effects_due": int(due), **(await self.fetch(query))[0]._mapping}


def _names(payment: Payment) -> set[str]:
    captures = (capture for capture, _ in payment.captures)
    names = (payment.id, payment.psp_payment_id, payment.charge, payment.psp_order)
    return {*names, payment.authorization, *captures}


def _order_item(order: Order, created_at: Instant, updated_at: Instant) -> dict[str, Any]:
    return {
        "id": order.id,
        "entity": order.entity,
        "connection": order.source.connection,
        "source_order_id": order.source.order_id,
        "version": order.version,
        "currency": order.currency,
        "remaining": order.remaining,
        "parked": order.parked,
        "created_at": created_at,
        "updated_at": updated_at,
    }


def literal(value: str) -> ColumnElement[str]:
    """A constant in the statement itself, so that a partial index can serve it."""
    return literal_column("'" + value.replace("'", "''") + "'")


def _count_state(column: ColumnElement[str], state: str) -> Select[int]:
    return select(func.count()).where(column == literal(state))


def _refund_filters(filters: dict[str, str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    ours = and_(legs.c.order_id == refunds.c.order_id, legs.c.refund_id == refunds.c.id)
    for name, value in filters.items():
        if name == "state":
            attention = value in ("review", "unknown")
            found.append(refunds.c.state == (literal(value) if attention else value))
        elif name == "order":
            found.append(refunds.c.order_id == value)
        elif name == "connection":
            found.append(exists().where(ours, legs.c.connection == value))
        else:
            named = select(legs.c.order_id, legs.c.refund_id).where(
                legs.c.psp_refund_id == value, legs.c.psp_refund_id != literal("")
            )
            found.append(tuple_(refunds.c.order_id, refunds.c.id).in_(named))
    return found


def _entry_filters(filters: dict[str, str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    ours = and_(postings.c.order_id == entries.c.order_id, postings.c.entry == entries.c.number)
    for name, value in filters.items():
        if name == "order":
            found.append(entries.c.order_id == value)
        elif name == "refund":
            # The order by way of the projection, so that the key of entries serves it.
            order = select(refunds.c.order_id).where(refunds.c.id == value)
            found += [entries.c.order_id.in_(order), entries.c.refund_id == value]
        elif name == "account":
            found.append(exists().where(ours, postings.c.account == value))
        elif name == "holder":
            found += [entries.c.holder == value, entries.c.holder != literal("")]
        else:
            found.append(entries.c.currency == value)
    return found


async def _lines(
    connection: AsyncConnection, keys: list[tuple[str, int]]
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The postings of these entries, as items."""
    lines: dict[tuple[str, int], list[dict[str, Any]]] = {key: [] for key in keys}
    if not keys:
        return lines
    orders_ = {order for order, _ in keys}  # SQLite has no index for a list of pairs alone
    query = (
        select(postings)
        .where(postings.c.order_id.in_(orders_))
        .where(tuple_(postings.c.order_id, postings.c.entry).in_(keys))
        .order_by(postings.c.order_id, postings.c.entry, postings.c.line)
    )
    for row in await connection.execute(query):
        item = {"account": row.account, "amount": row.amount, "functional": row.functional}
        lines[row.order_id, row.entry].append(item)
    return lines


async def _lines_of(
    connection: AsyncConnection, order_ids: list[str]
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """All postings of these orders, as items."""
    line = postings.c
    query = select(postings).where(line.order_id.in_(order_ids))
    lines: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in await connection.execute(query.order_by(line.order_id, line.entry, line.line)):
        item = {"account": row.account, "amount": row.amount, "functional": row.functional}
        lines.setdefault((row.order_id, row.entry), []).append(item)
    return lines


def _entry_item(e: Any, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "order": e.order_id,
        "number": e.number,
        "at": e.at,
        "kind": e.kind,
        "entity": e.entity,
        "currency": e.currency,
        "functional_currency": e.functional_currency,
        "refund": e.refund_id,
        "leg": e.leg_id,
        "psp_refund_id": e.psp_refund_id,
        "holder": e.holder,
        **rows.dates(e.at, e.posted_on, lines),
        "worth": msgspec.json.decode(e.worth) if e.worth else None,
        "postings": lines,
    }
