"""The books beyond their rows, written once for both databases: closed periods, balances kept at an
instant, numbered documents. All of it is rare; what guards it against turns are the triggers on
`entries` (migration 0004).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from msgspec import to_builtins
from msgspec.structs import replace
from sqlalchemy import delete, exists, func, insert, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.core.chart import CREDITS
from amends.core.documents import Document, DueDocument
from amends.core.events import Event
from amends.kernel.time import Instant, day_of
from amends.store import rows
from amends.store.cold import Cold
from amends.store.reads import decode_cursor, literal, page_of
from amends.store.records import Head, Page
from amends.store.schema import (
    balance_lines,
    balance_marks,
    credit_notes,
    documents_due,
    entries,
    orders,
    periods,
    postings,
    refunds,
)
from amends.store.spec import CreditNote

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
# Less what was recorded by then and is posted on a later day: what was late for a closed month.
_BALANCES = text(
    f"{_PARTS}, posted AS (SELECT * FROM parts UNION ALL"
    " SELECT p.account, p.currency, -p.amount, -p.functional FROM entries AS e"
    " JOIN postings AS p ON p.order_id = e.order_id AND p.entry = e.number"
    " WHERE e.posted_on <> '' AND e.posted_on > :day AND e.at <= :until)"
    " SELECT account, currency, sum(amount), sum(functional) FROM posted"
    " GROUP BY account, currency ORDER BY account, currency"
)
_KEEP = text(
    "INSERT INTO balance_lines (at, account, currency, amount, functional)"
    f" {_PARTS} SELECT CAST(:until AS bigint), account, currency, sum(amount), sum(functional)"
    " FROM parts GROUP BY account, currency"
)
_MARK = text("INSERT INTO balance_marks (at, made) VALUES (:at, 0) ON CONFLICT (at) DO NOTHING")

END_OF_TIME: Instant = 2**62
END_OF_DAYS = "9999-12-31"


class Ledger(Cold):
    """Rare reads and writes of the books. Each write is a transaction of its own."""

    @abstractmethod
    async def lock_books(self, connection: AsyncConnection) -> None:
        """Wait for every turn that has entries in it, and keep others waiting, until the
        transaction ends."""

    # -- balances --------------------------------------------------------------------------------
    async def balances(self, at: Instant | None) -> list[tuple[str, str, int, int]]:
        until, day = (END_OF_TIME, END_OF_DAYS) if at is None else (at, day_of(at))
        found = await self.fetch(_BALANCES.bindparams(until=until, day=day))
        return [(a, c, int(amount), int(ours)) for a, c, amount, ours in found]

    async def credits(self, holder: str) -> list[tuple[str, str, int]]:
        entry, line = entries.c, postings.c
        mine = (entry.holder == holder) & (entry.holder != literal(""))
        ours = (line.order_id == entry.order_id) & (line.entry == entry.number)
        group = (line.account, line.currency)
        query = select(*group, func.sum(line.amount)).where(mine, ours, line.account.in_(CREDITS))
        found = await self.fetch(query.group_by(*group).order_by(*group))
        return [(account, currency, -int(amount)) for account, currency, amount in found]

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

    async def has_orders(self, entity: str) -> bool:
        return bool(await self.fetch(select(orders.c.id).where(orders.c.entity == entity).limit(1)))

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

    # -- documents -------------------------------------------------------------------------------
    async def number_documents(self, series: str, at: Instant, limit: int) -> int:
        due = documents_due.c
        query = select(documents_due).order_by(due.at, due.order_id, due.entry).limit(limit)
        async with self.writing() as connection:
            await self.lock_stream(connection, "amends-credit-notes")
            found = [rows.to_due_document(row) for row in await connection.execute(query)]
            if not found:
                return 0
            made = await _numbered(connection, series, at, found)
            names = [column.name for column in credit_notes.columns]
            values = [dict(zip(names, rows.credit_note(note), strict=True)) for note in made]
            await connection.execute(insert(credit_notes), values)
            keys = [(d.document.order, d.document.entry) for d in found]
            done = tuple_(due.order_id, due.entry).in_(keys)
            await connection.execute(delete(documents_due).where(done))
        return len(found)

    async def credit_notes(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        note = credit_notes.c
        key = (note.entity, note.series, note.number)
        query = select(credit_notes).order_by(*key).limit(limit + 1)
        columns = {
            "order": note.order_id,
            "refund": note.refund_id,
            "entity": note.entity,
            "series": note.series,
        }
        if refund := filters.get("refund"):  # by its order, so that the index serves it
            of = select(refunds.c.order_id).where(refunds.c.id == refund)
            query = query.where(note.order_id.in_(of))
        if unknown := sorted(filters.keys() - columns.keys()):
            raise ValueError(f"no filter {unknown[0]}: there are {', '.join(sorted(columns))}")
        query = query.where(*(columns[name] == value for name, value in filters.items()))
        if cursor:
            query = query.where(tuple_(*key) > tuple_(*decode_cursor(cursor, (str, str, int))))
        found = await self.fetch(query)
        items = [_item(rows.to_credit_note(row)) for row in found]
        return page_of(items, [(row.entity, row.series, row.number) for row in found], limit)

    async def documents_due(
        self, limit: int, after: DueDocument | None = None
    ) -> list[DueDocument]:
        due = documents_due.c
        key = (due.at, due.order_id, due.entry)
        query = select(documents_due).order_by(*key).limit(limit)
        if after is not None:
            query = query.where(
                tuple_(*key) > tuple_(after.at, after.document.order, after.document.entry)
            )
        return [rows.to_due_document(row) for row in await self.fetch(query)]

    async def number_gaps(self) -> list[tuple[str, str, int, int]]:
        note = credit_notes.c
        count, last = func.count(), func.max(note.number)
        query = select(note.entity, note.series, count, last).group_by(note.entity, note.series)
        query = query.having(count != last).order_by(note.entity, note.series)
        return [(row[0], row[1], row[2], row[3]) for row in await self.fetch(query)]


async def _numbered(
    connection: AsyncConnection, series: str, at: Instant, found: Sequence[DueDocument]
) -> list[CreditNote]:
    """The documents with the numbers that follow those given. Who calls holds the lock."""
    note = credit_notes.c
    query = select(note.entity, func.max(note.number), func.max(note.at))
    query = query.where(note.series == series).group_by(note.entity)
    last = {entity: (n, issued) for entity, n, issued in await connection.execute(query)}
    orders = {d.document.order for d in found}
    query = select(credit_notes).where(note.order_id.in_(orders)).order_by(note.entry)
    given: dict[str, _Given] = {}
    for row in await connection.execute(query):
        before = rows.to_credit_note(row)
        given.setdefault(before.document.refund, _Given()).put(before.name, before.document)
    made = []
    for item in found:
        document = item.document
        number, issued = last.get(document.entity, (0, 0))
        name = CreditNote(series, number + 1, 0, document).name
        reverses = given.setdefault(document.refund, _Given()).put(name, document)
        document = replace(document, reverses=reverses)
        fresh = CreditNote(series, number + 1, max(at, issued), document)
        last[document.entity] = (fresh.number, fresh.at)
        made.append(fresh)
    return made


class _Given:
    """The credit notes of one refund, and what of each was not reversed."""

    def __init__(self) -> None:
        self._open: list[tuple[str, int]] = []

    def put(self, name: str, document: Document) -> tuple[str, ...]:
        """One more document; the credit notes it reverses, of the last ones first."""
        if document.kind == "credit_note":
            self._open.append((name, abs(document.gross)))
            return ()
        rest, named = abs(document.gross), []
        while rest and self._open:
            name, left = self._open.pop()
            named.append(name)
            if left > rest:
                self._open.append((name, left - rest))
            rest = max(0, rest - left)
        return tuple(reversed(named))


def _item(note: CreditNote) -> dict[str, object]:
    head = {"name": note.name, "series": note.series, "number": note.number, "at": note.at}
    return {**head, **to_builtins(note.document)}
