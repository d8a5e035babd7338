"""What one turn writes, as steps: so many rows into one table, sorted by key, in a fixed order.

Both databases take the same steps with the same rows; each turns a step into its own set-based
statement. The first steps are those that can find another process ahead of us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import structs
from sqlalchemy import Table

from amends.core.order import Order
from amends.store import rows, schema
from amends.store.rows import Row
from amends.store.spec import Batch, Inbound, RowRefused


class Step(msgspec.Struct, frozen=True):
    """One set-based statement.

    `columns` are those of the rows, in order; `keys` name the row that is replaced, changed or
    deleted. `only_if` is what the stored row must meet to be replaced; `replace` says which column
    takes another expression than the new row's value (`excluded.` names the new row).
    `exact`: every row must take effect; else another process was there first.
    """

    name: str
    table: Table
    act: Literal["insert", "insert_new", "upsert", "update", "delete"]
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()
    only_if: str = ""
    exact: bool = False
    replace: tuple[tuple[str, str], ...] = ()

    @property
    def sets(self) -> list[tuple[str, str]]:
        """(column, expression) of what an upsert replaces."""
        special = dict(self.replace)
        return [
            (name, special.get(name, f"excluded.{name}"))
            for name in self.columns
            if name not in self.keys
        ]

    @property
    def conflict(self) -> str:
        """The end of an INSERT: the same words on both databases."""
        if self.act == "insert":
            return ""
        target = f" ON CONFLICT ({', '.join(self.keys)}) DO"
        if self.act == "insert_new":
            return f"{target} NOTHING"
        sets = ", ".join(f"{name} = {expression}" for name, expression in self.sets)
        return f"{target} UPDATE SET {sets}{f' WHERE {self.only_if}' if self.only_if else ''}"


def joined(step: Step, texts: Iterable[str], separator: str) -> str:
    """A column's texts in one. Raises RowRefused for a value that is no text, which PostgreSQL's
    arrays would take for its name."""
    try:
        return separator.join(texts)
    except TypeError as error:
        raise RowRefused(f"{step.table.name}: {error}") from error


def _all(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


def _keys(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key.columns)


def _insert(name: str, table: Table) -> Step:
    return Step(name, table, "insert", _all(table))


def _upsert(name: str, table: Table) -> Step:
    return Step(name, table, "upsert", _all(table), _keys(table))


_LARGEST = ("order_max",)


def _adds(name: str, table: Table) -> Step:
    """What is not of the key is added to what is stored; a maximum is the larger of the two."""
    replace = []
    for column in _all(table):
        new, old = f"excluded.{column}", f"{table.name}.{column}"
        larger = f"CASE WHEN {new} > {old} THEN {new} ELSE {old} END"
        replace.append((column, larger if column in _LARGEST else f"{old} + {new}"))
    return Step(name, table, "upsert", _all(table), _keys(table), replace=tuple(replace))


# A review that ends keeps until when it was due; one that is open, when it was opened.
_WAS_DUE = "CASE excluded.state WHEN 'open' THEN excluded.due ELSE reviews.due END"
_BEGAN = "CASE reviews.state WHEN 'open' THEN reviews.created_at ELSE excluded.created_at END"

_CHANGED = ("id", "version", "head_seq", "head_hash", "parked", "updated_at", "state")

STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("created", schema.orders, "insert", _all(schema.orders), exact=True),
        Step("changed", schema.orders, "update", _CHANGED, ("id",), exact=True),
        Step("answers", schema.idempotency, "insert", _all(schema.idempotency), exact=True),
        Step(
            "routes",
            schema.payment_refs,
            "upsert",
            *(_all(schema.payment_refs), _keys(schema.payment_refs)),
            only_if="payment_refs.order_id = excluded.order_id",
            exact=True,
        ),
        Step(
            "aliases",
            schema.payment_refs,
            "insert_new",
            *(_all(schema.payment_refs), _keys(schema.payment_refs)),
        ),
        Step(
            "inbox",
            schema.inbox,
            "upsert",
            *(_all(schema.inbox), _keys(schema.inbox)),
            only_if="inbox.state <> 'done' AND inbox.state <> 'ignored'",
            exact=True,
            replace=(("raw", "coalesce(excluded.raw, inbox.raw)"),),
        ),
        Step(
            "settled",  # these messages wait for nothing any more
            schema.inbox_refs,
            "delete",
            *(("connection", "message"), ("connection", "message")),
        ),
        Step(
            "unref",  # these wait for less than before
            schema.inbox_refs,
            "delete",
            *(_all(schema.inbox_refs), _all(schema.inbox_refs)),
        ),
        Step(
            "refs",
            schema.inbox_refs,
            "insert_new",
            *(_all(schema.inbox_refs), _all(schema.inbox_refs)),
        ),
        _upsert("payments", schema.payments),
        _upsert("refunds", schema.refunds),
        _upsert("legs", schema.legs),
        Step(
            "reviews",
            schema.reviews,
            "upsert",
            *(_all(schema.reviews), _keys(schema.reviews)),
            replace=(("due", _WAS_DUE), ("created_at", _BEGAN)),
        ),
        _upsert("decisions", schema.decisions),
        Step(
            "labels",
            schema.labels,
            "upsert",
            *(_all(schema.labels), _keys(schema.labels)),
            only_if="labels.at <= excluded.at",
        ),
        _insert("events", schema.events),
        _insert("entries", schema.entries),
        _insert("postings", schema.postings),
        _insert("documents_due", schema.documents_due),
        _insert("deliveries", schema.deliveries),
        _insert("stock_moves", schema.stock_moves),
        _upsert("effects", schema.effects),
        Step(
            "done",
            schema.effects,
            "delete",
            *(_keys(schema.effects), _keys(schema.effects)),
        ),
        Step(
            "people",
            schema.people,
            "upsert",
            *(_all(schema.people), _keys(schema.people)),
            only_if="people.at <= excluded.at",
        ),
        _insert("notes", schema.notes),
        _insert("quotes", schema.quotes),
        # What several orders share. Buckets first, which is what `exact` is for here: PostgreSQL
        # takes the rest in an order of its own. Whoever has locked a bucket to read it then waits
        # for nobody who waits for that bucket.
        structs.replace(_adds("draws", schema.caps), exact=True),
        _adds("tallies", schema.customer_days),
        Step(
            "sights",
            schema.sightings,
            "insert_new",
            *(_all(schema.sightings), _all(schema.sightings)),
        ),
        Step(
            "customer_orders",
            schema.customer_orders,
            "insert_new",
            *(_all(schema.customer_orders), _all(schema.customer_orders)),
        ),
    )
}

# Unique keys on which another process can be ahead of us: the turn is run again.
RACED = ("orders", "idempotency", "payment_refs")

Work = list[tuple[Step, list[Row]]]


def work(
    batch: Batch, locked: Mapping[str, Order], waited: Mapping[tuple[str, str], Inbound]
) -> Work:
    """The steps of a batch that have rows.

    `locked` are the orders as this turn read them, so that payments that did not change are left
    alone; `waited` the unmatched inbox rows it read. Raises KeyError for a refund that its order
    does not have.
    """
    found = {
        **_of_orders(batch, locked),
        **_of_messages(batch, waited),
        **_of_journal(batch),
        **_of_customers(batch),
    }
    return [(step, found[name]) for name, step in STEPS.items() if found[name]]


def _of_orders(batch: Batch, locked: Mapping[str, Order]) -> dict[str, list[Row]]:
    orders = sorted(batch.orders.values(), key=lambda order: order.id)
    payments: list[Row] = []
    for order in orders:
        before = locked.get(order.id)
        known = {rows.payment(before, p) for p in before.payments} if before else set()
        payments += [row for p in order.payments if (row := rows.payment(order, p)) not in known]
    was = {order.id: order.customer for order in locked.values()}
    named = [o for o in orders if o.customer and o.customer != was.get(o.id)]
    refunds: list[Row] = []
    legs: list[Row] = []
    reviews: list[Row] = []
    for order_id, refund_id in sorted(batch.refunds):
        order = batch.orders[order_id]
        refund = order.refund(refund_id)
        before = locked.get(order_id)
        if refund is None:
            raise KeyError(f"order {order_id} has no refund {refund_id}")
        refunds.append(rows.refund(order, refund))
        legs += rows.legs(order, refund)
        if rows.waits(refund) or rows.waits(before.refund(refund_id) if before else None):
            reviews.append(rows.review(order, refund))
    return {
        "created": [rows.created(order) for order in orders if order.id in batch.created],
        "changed": [rows.changed(order) for order in orders if order.id not in batch.created],
        "customer_orders": _map(rows.customer_order, named),
        "payments": _by_key(payments),
        "refunds": refunds,
        "legs": _by_key(legs),
        "reviews": reviews,
        "decisions": _last(map(rows.judged, batch.judged)),
        "labels": _last(map(rows.label, sorted(batch.labels, key=lambda label: label.at)), 3),
    }


def _of_messages(batch: Batch, waited: Mapping[tuple[str, str], Inbound]) -> dict[str, list[Row]]:
    inbox = [batch.inbox[key] for key in sorted(batch.inbox)]
    stale: set[Row] = set()
    for message in inbox:
        before = waited.get((message.connection, message.message))
        if before is not None:
            stale |= rows.refs(before) - rows.refs(message)
    return {
        "inbox": [rows.inbound(message) for message in inbox],
        "settled": [(m.connection, m.message) for m in inbox if m.state != "unmatched"],
        "unref": sorted(stale),
        "refs": sorted(ref for message in inbox for ref in rows.refs(message)),
        "answers": _map(rows.answer, batch.answers),
        "routes": sorted((psp, name, order) for (name, psp), order in batch.routes.items()),
        "aliases": sorted((psp, name, order) for (name, psp), order in batch.aliases.items()),
        "people": _by_key({row[:2]: row for row in map(rows.person, batch.people)}.values()),
        "notes": _map(rows.note, batch.notes),
        "quotes": _map(rows.quote, batch.quotes),
    }


def _of_journal(batch: Batch) -> dict[str, list[Row]]:
    return {
        "events": _map(rows.event, batch.events),
        "entries": _map(rows.entry, batch.entries),
        "postings": _by_key(row for e in batch.entries for row in rows.postings(e)),
        "documents_due": _map(rows.due_document, batch.documents),
        "deliveries": _map(rows.tell, batch.tells),
        "stock_moves": _map(rows.moved, batch.moved),
        "effects": [rows.effect(*batch.effects[key]) for key in sorted(batch.effects)],
        "done": sorted(batch.done - batch.effects.keys()),
    }


def _of_customers(batch: Batch) -> dict[str, list[Row]]:
    days: dict[Row, Row] = {}
    for row in map(rows.tally, batch.tallies):
        key, fresh = row[:_DAY], row[_DAY:]
        days[key] = tuple(map(_plus, _ADDED, days.get(key, (0,) * len(fresh)), fresh))
    buckets: dict[str, tuple[int, int]] = {}
    for draw in batch.draws:
        amount, count = buckets.get(draw.bucket, (0, 0))
        buckets[draw.bucket] = (amount + draw.amount, count + draw.count)
    return {
        "draws": sorted((name, *sums) for name, sums in buckets.items() if any(sums)),
        "tallies": sorted(key + sums for key, sums in days.items()),
        "sights": sorted(set(map(rows.sight, batch.sights))),
    }


_DAY = len(_keys(schema.customer_days))
_ADDED = [name not in _LARGEST for name in _all(schema.customer_days)[_DAY:]]


def _plus(is_sum: bool, old: int, new: int) -> int:
    return old + new if is_sum else max(old, new)


def _last(found: Iterable[Row], width: int = 2) -> list[Row]:
    """Of the rows of one key, so many columns wide, the last."""
    return _by_key({row[:width]: row for row in found}.values())


def _map(make: Callable[[Any], Row], items: Iterable[Any]) -> list[Row]:
    return _by_key(map(make, items))


def _by_key(found: Iterable[Row]) -> list[Row]:
    """A row begins with its key, which no other row of the step has."""
    return sorted(found)
