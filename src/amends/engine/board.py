"""The board: what decisions are made by, as this process knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import structlog

from amends.core.decision import CARD
from amends.core.history import Stop
from amends.core.policy import BadPolicy, Document, Policy, Row, Table, checked, with_table
from amends.core.risk import Scorer, Shop
from amends.engine.risk_shelf import scorer
from amends.kernel.time import DAY, Clock, Instant
from amends.store.records import DraftRow, PolicyRow, ShopStats
from amends.store.spec import Store

log = structlog.get_logger()

USUAL = 90 * DAY  # what is usual at a shop is what was so long


class Board(msgspec.Struct, frozen=True):
    """`number` is the store's; `policies` are those published, the newest first; `shadows` drafts
    that are judged beside."""

    number: int = -1
    policies: tuple[Policy, ...] = ()
    shadows: tuple[Policy, ...] = ()
    stops: tuple[Stop, ...] = ()
    scorer: Scorer = CARD
    shops: Mapping[str, Shop] = {}

    def in_force(self, settings: Policy, now: Instant) -> tuple[Policy, tuple[Policy, ...]]:
        """The policy at an instant, and those before it: the built-in one is the first of all."""
        every = (*self.policies, settings)
        for index, policy in enumerate(every):
            if policy.since <= now:
                return policy, every[index + 1 :]
        return settings, ()


async def read_board(store: Store, settings: Policy, clock: Clock) -> Board:
    """The board as it is now. Its number is read first: what changes after that is read again."""
    number = int((await store.settings()).get("board", "0"))
    rows = sorted(await store.policies(), key=lambda row: (row.effective_from, row.number))
    return Board(
        number,
        tuple(_policy(row, settings) for row in reversed(rows)),
        tuple(_shadow(row, settings) for row in await store.drafts() if row.shadow),
        tuple(row.stop for row in await store.stops(active=True)),
        await _scorer(store, clock),
        await read_shops(store),
    )


async def _scorer(store: Store, clock: Clock) -> Scorer:
    said = await store.settings()
    named = any(said.get(f"model.{role}") for role in ("champion", "challenger"))
    return await scorer(store, clock) if named else CARD


async def read_shops(store: Store) -> dict[str, Shop]:
    """What is usual at each shop, as it was reckoned last."""
    stats = await store.shop_stats()
    return {name: msgspec.json.decode(one.doc, type=Shop) for name, one in stats.items()}


async def reckon_shops(store: Store, now: Instant) -> None:
    """Reckon anew what is usual, from the refunds that were judged in 90 days."""
    for name, found in (await store.amounts(now - USUAL)).items():
        shop = Shop(found.count, found.quantiles)
        doc = msgspec.json.encode(shop).decode()
        await store.put_shop_stats(ShopStats(name, now, doc))


def _policy(row: PolicyRow, settings: Policy) -> Policy:
    return with_table(settings, usable(row.doc, row.hash), row.effective_from)


def _shadow(row: DraftRow, settings: Policy) -> Policy:
    return msgspec.structs.replace(
        with_table(settings, usable(row.doc, row.hash)), version=row.hash, name=row.name
    )


def usable(doc: str, version: str) -> Table:
    """The table of a stored document. One that cannot be used any more sends everything to a
    person: it was checked when it was saved, so this is a newer version of amends, or damage."""
    try:
        return checked(msgspec.json.decode(doc, type=Document))
    except (BadPolicy, msgspec.DecodeError) as error:
        log.error("a stored policy cannot be used", policy=version, error=str(error))
        return checked(UNUSABLE)


UNUSABLE = Document(
    "unusable", (Row("unusable-policy", "true", "review", reason="unusable_policy"),)
)


def newest(rows: Sequence[PolicyRow], now: Instant) -> PolicyRow | None:
    """The version in force."""
    found = [row for row in rows if row.effective_from <= now]
    return max(found, key=lambda row: (row.effective_from, row.number), default=None)
