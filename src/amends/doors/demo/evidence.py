"""Collecting what the checks hold against each other: by REST, from the sandbox, from the disk."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

import msgspec

from amends.core.chart import clearing
from amends.doors.demo.checks import Ours, Trail, Truth
from amends.doors.demo.parties import (
    GATEWAYS,
    PROVIDER,
    SHOP,
    Caller,
    Json,
    Provider,
    Sale,
    Shop,
)
from amends.engine import audit
from amends.engine.config import Config
from amends.store.spec import Store


class Before(msgspec.Struct, frozen=True):
    """What the store held before this run: it may have been used."""

    unmatched: int
    checkpoints: int


async def before(store: Store) -> Before:
    last = await store.last_checkpoint()
    return Before(await _unmatched(store), last.number if last else 0)


async def _unmatched(store: Store) -> int:
    return (await store.counts(int(time() * 1_000_000)))["inbox_unmatched"]


async def of_provider(provider: Provider) -> Truth:
    """What it says it did."""
    refunds, payments = await provider.shows("refunds"), await provider.shows("payments")
    return Truth(refunds["items"], payments["items"])


async def of_books(books: Caller, support: Caller, sales: Sequence[Sale]) -> Ours:
    """What amends shows for these orders, over REST. `support` made the requests."""
    orders: list[Json] = []
    entries: list[Json] = []
    keys: dict[str, set[str]] = {}
    for sale in sales:
        orders.append(await books.order(sale))
        entries += await books.pages(f"/v1/ledger/entries?order={sale.id}")
        for event in await books.pages(f"/v1/audit?stream={sale.id}"):
            if event["type"] == "leg.sending":
                keys.setdefault(event["body"]["leg"], set()).add(event["body"]["key"])
    accounts = {gateway: clearing(name) for name, gateway in GATEWAYS.items()}
    sent = {leg: frozenset(found) for leg, found in keys.items()}
    return Ours(orders, entries, sent, frozenset(support.accepted), accounts)


async def of_disk(
    store: Store, config: Config, began: Before, shop: Shop, provider: Provider, orders: set[str]
) -> Trail:
    """The inbox and the audit trail, as far as they are of this run."""
    delivered = set(await provider.events()) - provider.never_sent
    acknowledged = {(SHOP, name) for name in shop.acknowledged}
    acknowledged |= {(PROVIDER, name) for name in delivered}
    async with store.turn() as turn:
        stored = await turn.seen(sorted(acknowledged))
    report = await audit.verify(store, config.audit_dir)
    findings = [
        f"{finding.stream} {finding.seq} {finding.what}"
        for finding in report.findings
        if finding.stream in orders
        or (finding.stream == "checkpoints" and finding.seq > began.checkpoints)
    ]
    return Trail(
        acknowledged=frozenset(acknowledged),
        stored=frozenset(stored),
        unmatched=await _unmatched(store) - began.unmatched,
        findings=findings,
    )
