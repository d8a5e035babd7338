"""What decisions leave behind, written once for both databases: pages for replay and training, the
queue of reviews, what is usual at each connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, select, text, tuple_

from amends.core.history import Judged, Label
from amends.kernel.time import Instant
from amends.store import rows
from amends.store.reads import decode_cursor, literal, page_of
from amends.store.records import Amounts, Page, ShopStats
from amends.store.rulebook import Rules
from amends.store.schema import decisions, labels, orders, reviews, shop_stats

AMOUNTS_MAX = 20_000  # newest judgements that say what is usual
QUANTILES = 20  # parts that the quantiles part them in

_FILTERS = ("assignee", "due_before", "role", "snoozed", "state")
_STATS = text(
    "INSERT INTO shop_stats (connection, at, doc) VALUES (:connection, :at, :doc)"
    " ON CONFLICT (connection) DO UPDATE SET at = excluded.at, doc = excluded.doc"
)


class Judging(Rules):
    """Rare reads of judgements, reviews and labels; statistics."""

    async def decisions(
        self, since: Instant, until: Instant, after: tuple[Instant, str, str] | None, limit: int
    ) -> list[Judged]:
        query = _between(decisions, since, until, after, ("order_id", "refund_id"))
        return [rows.to_judged(row) for row in await self.fetch(query.limit(limit))]

    async def newest_decisions(self, since: Instant, limit: int) -> list[Judged]:
        query = select(decisions).where(decisions.c.at >= since)
        newest = query.order_by(decisions.c.at.desc()).limit(limit)
        return [rows.to_judged(row) for row in await self.fetch(newest)]

    async def labels(
        self,
        since: Instant,
        until: Instant,
        after: tuple[Instant, str, str, str] | None,
        limit: int,
    ) -> list[Label]:
        query = _between(labels, since, until, after, ("order_id", "refund_id", "source"))
        return [rows.to_label(row) for row in await self.fetch(query.limit(limit))]

    async def reviews(
        self, filters: Mapping[str, str], cursor: str, limit: int, now: Instant
    ) -> Page:
        state = filters.get("state", "open")
        if state not in ("open", "closed"):
            raise ValueError(f"no state {state}: there are open, closed")
        by = reviews.c.due if state == "open" else reviews.c.closed_at
        key = (by, reviews.c.order_id, reviews.c.refund_id)
        query = select(reviews).where(reviews.c.state == literal(state))
        query = query.where(*_review_filters(filters, now)).limit(limit + 1)
        if cursor:
            last = tuple_(*decode_cursor(cursor, (int, str, str)))
            query = query.where(tuple_(*key) > last if state == "open" else tuple_(*key) < last)
        ordered = key if state == "open" else tuple(column.desc() for column in key)
        found = await self.fetch(query.order_by(*ordered))
        keys = [(getattr(row, by.name), row.order_id, row.refund_id) for row in found]
        return page_of([_item(row) for row in found], keys, limit)

    async def amounts(self, since: Instant) -> dict[str, Amounts]:
        newest = (
            select(decisions.c.order_id, decisions.c.amount)
            .where(decisions.c.at >= since)
            .order_by(decisions.c.at.desc())
            .limit(AMOUNTS_MAX)
            .subquery()
        )
        query = select(orders.c.source_connection, newest.c.amount)
        found: dict[str, list[int]] = {}
        for connection, amount in await self.fetch(
            query.select_from(newest).join(orders, orders.c.id == newest.c.order_id)
        ):
            found.setdefault(connection, []).append(amount)
        return {name: _quantiles(sorted(found[name])) for name in sorted(found)}

    async def shop_stats(self) -> dict[str, ShopStats]:
        query = select(shop_stats).order_by(shop_stats.c.connection)
        return {row.connection: ShopStats(*row) for row in await self.fetch(query)}

    async def put_shop_stats(self, stats: ShopStats) -> None:
        row = {"connection": stats.connection, "at": stats.at, "doc": stats.doc}
        async with self.writing() as connection:
            await connection.execute(_STATS, row)


def _between(
    table: Table,
    since: Instant,
    until: Instant,
    after: tuple[Any, ...] | None,
    rest: Sequence[str],
) -> Select[Any]:
    """Rows of that time by (at, …), after one of them."""
    at = table.c.at
    key = (at, *(table.c[name] for name in rest))
    query = select(table).where(at >= since, at < until).order_by(*key)
    return query if after is None else query.where(tuple_(*key) > tuple_(*after))


def _quantiles(amounts: Sequence[int]) -> Amounts:
    """By nearest rank, so that each is an amount there was; `amounts` are sorted."""
    count = len(amounts)
    ranks = (-(-part * count // QUANTILES) for part in range(1, QUANTILES))
    return Amounts(count, tuple(amounts[rank - 1] for rank in ranks))


def _review_filters(filters: Mapping[str, str], now: Instant) -> list[ColumnElement[bool]]:
    if unknown := sorted(filters.keys() - set(_FILTERS)):
        raise ValueError(f"no filter {unknown[0]}: there are {', '.join(_FILTERS)}")
    same = {"assignee": reviews.c.assignee, "role": reviews.c.role}
    found = [column == filters[name] for name, column in same.items() if name in filters]
    if (before := filters.get("due_before")) is not None:
        if not (before.isascii() and before.isdigit() and len(before) < len(str(2**63))):
            raise ValueError("due_before is an instant: microseconds since 1970-01-01, in decimal")
        found.append(reviews.c.due < int(before))
    snoozed = filters.get("snoozed", "no")
    if snoozed not in ("no", "yes", "any"):
        raise ValueError(f"no snoozed {snoozed}: there are no, yes, any")
    if snoozed == "yes":
        found.append(reviews.c.snoozed_until > now)
    elif snoozed == "no":
        found.append(reviews.c.snoozed_until <= now)
    return found


def _item(row: Any) -> dict[str, Any]:
    item = {**row._mapping, "asked": bool(row.asked)}
    return {"order": item.pop("order_id"), "refund": item.pop("refund_id"), **item}
