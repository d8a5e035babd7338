"""Entries say whose gift card or store credit they move, and what they are valued by where that is
not their order's rate. One written before moves nobody's and is valued by that rate.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

FRESH = ("holder", "worth")
NUMBERS = ("number", "at")
BEFORE = (
    *("order_id", "number", "at", "kind", "entity", "currency", "functional_currency"),
    *("refund_id", "leg_id", "psp_refund_id", "posted_on"),
)
SOME = ("holder", "posted_on")  # of which few entries have one
WORDS = "entries is append-only: correct it by adding a row"
CLOSED = "a period of these books is closed"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        kind = sa.Text(collation="C")
        for name in FRESH:
            op.add_column("entries", sa.Column(name, kind, nullable=False, server_default=""))
            op.alter_column("entries", name, server_default=None)
    else:
        _sqlite()
    for name in SOME:
        some = sa.text(f"{name} <> ''")
        index = f"entries_{name.partition('_')[0]}"
        op.create_index(index, "entries", [name], postgresql_where=some, sqlite_where=some)


def _sqlite() -> None:
    """SQLite adds no column without a default, so the table is made anew."""
    op.drop_index("entries_at")
    for name in ("entries_no_update", "entries_no_delete", "entries_not_closed", "entries_kept"):
        op.execute(f"DROP TRIGGER {name}")
    op.rename_table("entries", "entries_before")
    op.create_table("entries", *map(_column, (*BEFORE, *FRESH)), sqlite_strict=True)
    names = ", ".join(BEFORE)
    op.execute(
        f"INSERT INTO entries ({names}, holder, worth) SELECT {names}, '', '' FROM entries_before"
    )
    op.drop_table("entries_before")
    op.create_index("entries_at", "entries", ["at", "order_id", "number"])
    for act in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER entries_no_{act} BEFORE {act.upper()} ON entries"
            f" BEGIN SELECT RAISE(ABORT, '{WORDS}'); END"
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


def _column(name: str) -> sa.Column[object]:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    kind = number if name in NUMBERS else sa.Text()
    return sa.Column(
        name,
        kind,
        primary_key=name in ("order_id", "number"),
        nullable=False,
        autoincrement=False,
    )
