"""The board: what decisions are made by, as this process knows it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from amends.core.history import Stop
from amends.core.policy import BadPolicy, Document, Policy, Row, Table, checked, with_table
from amends.kernel.time import Instant
from amends.store.records import DraftRow, PolicyRow
from amends.store.spec import Store

log = structlog.get_logger()


class Board(msgspec.Struct, frozen=True):
    """`number` is the store's; `policies` are those published, the newest first; `shadows` drafts
    that are judged beside."""

    number: int = -1
    policies: tuple[Policy, ...] = ()
    shadows: tuple[Policy, ...] = ()
    stops: tuple[Stop, ...] = ()

    def in_force(self, settings: Policy, now: Instant) -> tuple[Policy, tuple[Policy, ...]]:
        """The policy at an instant, and those before it: the built-in one is the first of all."""
        every = (*self.policies, settings)
        for index, policy in enumerate(every):
            if policy.since <= now:
                return policy, every[index + 1 :]
        return settings, ()


async def read_board(store: Store, settings: Policy) -> Board:
    """The board as it is now. Its number is read first: what changes after that is read again."""
    number = int((await store.settings()).get("board", "0"))
    rows = sorted(await store.policies(), key=lambda row: (row.effective_from, row.number))
    return Board(
        number,
        tuple(_policy(row, settings) for row in reversed(rows)),
        tuple(_shadow(row, settings) for row in await store.drafts() if row.shadow),
        tuple(row.stop for row in await store.stops(active=True)),
    )


def _policy(row: PolicyRow, settings: Policy) -> Policy:
    return with_table(settings, _table(row.doc, row.hash), row.effective_from)


def _shadow(row: DraftRow, settings: Policy) -> Policy:
    return msgspec.structs.replace(
        with_table(settings, _table(row.doc, row.hash)), version=row.hash, name=row.name
    )


def _table(doc: str, version: str) -> Table:
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
