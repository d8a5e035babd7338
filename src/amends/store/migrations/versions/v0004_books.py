"""The books grow: the day each entry is posted on, closed periods, balances kept at an instant,
documents with numbers. An entry written before is posted on the day of its instant, as most are.

What guards them stands in the database. An entry that falls into a closed period is refused: on
PostgreSQL it holds a lock on the books, shared with all entries, until it commits, and closing
takes that lock alone; on SQLite whoever writes is alone. An entry older than kept balances takes
those back. Both look with a fresh snapshot, after the lock.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ENTRY = (
    *("order_id", "number", "at", "kind", "entity", "currency", "functional_currency"),
    *("refund_id", "leg_id", "psp_refund_id"),
)
NUMBERS = ("number", "at")
APPEND_ONLY = ("periods", "credit_notes")
WORDS = "is append-only: correct it by adding a row"
CLOSED = "a period of these books is closed"


def _str(name: str, key: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=key, nullable=False)


def _big(name: str, key: bool = False) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)


def upgrade() -> None:
    _tables()
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def _tables() -> None:
    op.create_table(
        "periods",
        *(_str("entity", key=True), _str("period", key=True), _big("at"), _str("actor")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "balance_marks",
        *(_big("at", key=True), _big("made")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "balance_lines",
        *(_big("at", key=True), _str("account", key=True), _str("currency", key=True)),
        *(_big("amount"), _big("functional")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "documents_due",
        *(_str("order_id", key=True), _big("entry", key=True), _big("at"), _str("doc")),
        sqlite_strict=True,
    )
    op.create_index("documents_due_at", "documents_due", ["at", "order_id", "entry"])
    op.create_table(
        "credit_notes",
        *(_str("entity", key=True), _str("series", key=True), _big("number", key=True)),
        *(_str("order_id"), _big("entry"), _str("refund_id"), _str("kind"), _big("at")),
        _str("doc"),
        sqlite_strict=True,
    )
    op.create_index("credit_notes_order", "credit_notes", ["order_id"])


def _postgresql() -> None:
    kind = sa.Text(collation="C")
    op.add_column("entries", sa.Column("posted_on", kind, nullable=False, server_default=""))
    op.alter_column("entries", "posted_on", server_default=None)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION amends_append_only()"
        )
    day = "to_char(to_timestamp(e.at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    op.execute(
        "CREATE FUNCTION amends_entries_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock_shared(hashtextextended('amends-books', 0));"
        " IF EXISTS (SELECT 1 FROM fresh AS e JOIN periods AS p ON p.entity = e.entity"
        f" WHERE substr(coalesce(nullif(e.posted_on, ''), {day}), 1, 7) <= p.period) THEN"
        f" RAISE EXCEPTION '{CLOSED}' USING ERRCODE = 'AM001', TABLE = 'entries'; END IF;"
        " DELETE FROM balance_marks WHERE at >= (SELECT min(at) FROM fresh);"
        " RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER entries_kept AFTER INSERT ON entries REFERENCING NEW TABLE AS fresh"
        " FOR EACH STATEMENT EXECUTE FUNCTION amends_entries_kept()"
    )


def _sqlite() -> None:
    """SQLite puts a new column behind the table's keys, so the table is made anew."""
    op.drop_index("entries_at")
    op.rename_table("entries", "entries_before")
    op.create_table(
        "entries",
        *(
            _big(name, name == "number") if name in NUMBERS else _str(name, name == "order_id")
            for name in ENTRY
        ),
        _str("posted_on"),
        sqlite_strict=True,
    )
    names = ", ".join(ENTRY)
    op.execute(f"INSERT INTO entries ({names}, posted_on) SELECT {names}, '' FROM entries_before")
    op.drop_table("entries_before")
    op.create_index("entries_at", "entries", ["at", "order_id", "number"])
    for table in (*APPEND_ONLY, "entries"):
        for act in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act} BEFORE {act.upper()} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} {WORDS}'); END"
            )
    day = "date(NEW.at / 1000000, 'unixepoch')"
    op.execute(
        "CREATE TRIGGER entries_not_closed BEFORE INSERT ON entries WHEN EXISTS"
        " (SELECT 1 FROM periods AS p WHERE p.entity = NEW.entity"
        f" AND substr(coalesce(nullif(NEW.posted_on, ''), {day}), 1, 7) <= p.period)"
        f" BEGIN SELECT RAISE(ABORT, '{CLOSED}'); END"
    )
    op.execute(
        "CREATE TRIGGER entries_kept AFTER INSERT ON entries"
        " BEGIN DELETE FROM balance_marks WHERE at >= NEW.at; END"
    )
