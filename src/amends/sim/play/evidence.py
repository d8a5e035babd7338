"""What the database and the provider say, as plain values, for the checker."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import select

from amends.sim.checker.spec import Snapshot
from amends.sim.stripe import StripeWorld
from amends.sim.stripe.objects import Dispute
from amends.store.schema import events, metadata, orders, refunds

TABLES = (
    *("payments", "refunds", "legs", "events", "entries", "postings", "effects"),
    *("inbox", "idempotency", "payment_refs", "people", "notes"),
)


async def snapshot(store: Any, world: StripeWorld, at: int) -> Snapshot:
    """Every row of the tables that count, and the provider's own truth."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in TABLES:
        table = metadata.tables[name]
        names = [column.name for column in table.columns]
        query = select(table).order_by(*table.primary_key.columns)
        rows[name] = [dict(zip(names, row, strict=True)) for row in await store.fetch(query)]
    found = await store.fetch(select(orders.c.state).order_by(orders.c.id))
    return Snapshot(
        at=at,
        orders=[json.loads(row[0]) for row in found],
        rows=rows,
        movements=[msgspec.to_builtins(item) for item in world.movements()],
        provider_payments=world.payments(),
        provider_disputes=[_dispute(item) for item in world.books.disputes.items],
        provider_warnings=[
            {"id": item.id, "psp_payment_id": item.payment_intent}
            for item in world.books.warnings.items
        ],
    )


def _dispute(dispute: Dispute) -> dict[str, Any]:
    """How it stands, and what its lines on the balance have taken so far."""
    withdrawn = -sum(line.amount for line in dispute.balance_transactions)
    names = {"id": dispute.id, "psp_payment_id": dispute.payment_intent}
    return names | {"status": dispute.status, "withdrawn": withdrawn}


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
