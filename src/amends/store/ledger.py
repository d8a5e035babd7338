"""The books beyond their rows, written once for both databases: closed periods, balances kept at an
instant, numbered documents. All of it is rare; what guards it against turns are the triggers on
`entries` (migration 0004).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from sqlalchemy import delete, exists, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.core.events import Event
from amends.kernel.time import Instant
from amends.store.cold import Cold
from amends.store.schema import balance_lines, balance_marks, periods
from amends.store.spec import Head

# What stands at an instant: the last balances kept before it, and every entry since. One statement,
# so that an entry that takes kept balances back is seen together with that.
_PARTS = """
    WITH mark AS (SELECT max(at) AS at FROM balance_marks WHERE made = 1 AND at <= :until),
    parts AS (
      SELECT account, currency, amount, functional FROM balance_lines
      WHERE at = (SELECT at FROM mark)
      UNION ALL
      SELECT p.account, p.currency, p.amount, p.functional FROM entries AS e
      JOIN postings AS p ON p.order_id = e.order_id AND p.entry = e.number
      WHERE e.at > coalesce((SELECT at FROM mark), -1) AND e.at <= :until
    )
"""
_BALANCES = text(
    f"{_PARTS} SELECT account, currency, sum(amount), sum(functional) FROM parts"
    " GROUP BY account, currency ORDER BY account, currency"
)
_KEEP = text(
    "INSERT INTO balance_lines (at, account, currency, amount, functional)"
    f" {_PARTS} SELECT CAST(:until AS bigint), account, currency, sum(amount), sum(functional)"
    " FROM parts GROUP BY account, currency"
)
_MARK = text("INSERT INTO balance_marks (at, made) VALUES (:at, 0) ON CONFLICT (at) DO NOTHING")

END_OF_TIME: Instant = 2**62


class Ledger(Cold):
    """Rare reads and writes of the books. Each write is a transaction of its own."""

    @abstractmethod
    async def lock_books(self, connection: AsyncConnection) -> None:
        """Wait for every turn that has entries in it, and keep others waiting, until the
        transaction ends."""

    # -- balances --------------------------------------------------------------------------------
    async def balances(self, at: Instant | None) -> list[tuple[str, str, int, int]]:
        until = END_OF_TIME if at is None else at
        found = await self.fetch(_BALANCES.bindparams(until=until))
        return [(a, c, int(amount), int(ours)) for a, c, amount, ours in found]

    async def last_kept(self) -> Instant:
        query = select(func.max(balance_marks.c.at)).where(balance_marks.c.made == 1)
        return (await self.fetch(query))[0][0] or 0

    async def keep_balances(self, at: Instant) -> bool:
        """The mark first, alone: whoever was writing an older entry has committed by then, and
        whoever writes one from now on takes the mark away, so that it cannot be made."""
        marks, lines = balance_marks, balance_lines
        lost = ~exists().where(marks.c.at == lines.c.at, marks.c.made == 1)
        async with self.writing() as connection:
            await self.lock_books(connection)
            await connection.execute(delete(marks).where(marks.c.made == 0))
            await connection.execute(delete(lines).where(lost))
            if (await connection.execute(_MARK, {"at": at})).rowcount != 1:
                return False
        async with self.writing() as connection:
            await connection.execute(_KEEP, {"until": at})
            made = update(marks).where(marks.c.at == at, marks.c.made == 0).values(made=1)
            return (await connection.execute(made)).rowcount == 1

    # -- periods ---------------------------------------------------------------------------------
    async def closed(self) -> dict[str, str]:
        last = select(periods.c.entity, func.max(periods.c.period)).group_by(periods.c.entity)
        return {row[0]: row[1] for row in await self.fetch(last)}

    async def close_period(
        self, entity: str, period: str, at: Instant, actor: str, make: Callable[[Head], Event]
    ) -> bool:
        later = select(periods.c.period).where(
            periods.c.entity == entity, periods.c.period >= period
        )
        async with self.writing() as connection:
            await self.lock_books(connection)
            if (await connection.execute(later)).first() is not None:
                return False
            row = {"entity": entity, "period": period, "at": at, "actor": actor}
            await connection.execute(insert(periods).values(row))
            await self.append_event(connection, "system:ledger", make)
        return True
