"""Guards of what is closed and numbered, taken out; see `tests.sim.mutations`, which lists them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import false, text

from amends.core import work
from amends.store import ledger
from amends.store.schema import documents_due
from amends.store.sqlite import SqliteStore


def number_left_out(patch: pytest.MonkeyPatch) -> None:
    whole = ledger._numbered

    async def numbered(*given: Any) -> Any:
        return [replace(note, number=note.number + 1) for note in await whole(*given)]

    patch.setattr(ledger, "_numbered", numbered)


def numbered_again(patch: pytest.MonkeyPatch) -> None:
    """What has its number waits for one all the same."""
    whole = ledger.delete

    def delete(table: Any) -> Any:
        made = whole(table)
        return made.where(false()) if table is documents_due else made

    patch.setattr(ledger, "delete", delete)


def closed_is_open(patch: pytest.MonkeyPatch) -> None:
    """What comes too late is posted into its month, and the database takes it."""
    whole = SqliteStore.migrate

    async def migrate(self: SqliteStore) -> None:
        await whole(self)
        async with self.writing() as connection:
            await connection.execute(text("DROP TRIGGER entries_not_closed"))

    patch.setattr(work, "dated", lambda entry, closed: entry)
    patch.setattr(SqliteStore, "migrate", migrate)
