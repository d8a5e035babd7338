"""What others are told of orders, what came back of their goods, and what was counted of that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

APPEND_ONLY = ("stock_moves", "stock_counts")
WORDS = "is append-only: correct it by adding a row"


def _str(name: str, key: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=key, nullable=False)


def _big(name: str, key: bool = False) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean().with_variant(sa.Integer(), "sqlite"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "deliveries",
        *(_str("order_id", key=True), _big("number", key=True)),
        *(_str("connection"), _str("kind"), _str("key"), _flag("ordered"), _str("state")),
        *(_big("ready_at"), _str("lease_holder"), _big("attempts"), _big("at")),
        *(_big("ended_at"), _str("reference"), _str("detail"), _str("doc")),
        sqlite_strict=True,
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "stock_moves",
        *(_str("order_id", key=True), _big("number", key=True), _big("at")),
        *(_str("return_id"), _str("line"), _str("sku"), _str("location")),
        *(_str("disposition"), _big("units"), _str("source")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stock_counts",
        *(_str("sku", key=True), _str("location", key=True), _big("at", key=True)),
        *(_big("units"), _str("actor")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    _index("deliveries_open", "deliveries", "connection", "ready_at", where="state = 'open'")
    _index("deliveries_stuck", "deliveries", "at", where="state = 'stuck'")
    _index("deliveries_at", "deliveries", "at", "order_id", "number")
    _index("stock_moves_sku", "stock_moves", "sku", "location", "at")
    if op.get_bind().dialect.name == "postgresql":
        _triggers_postgresql()
    else:
        _triggers_sqlite()


def _index(name: str, table: str, *columns: str, where: str = "") -> None:
    some = sa.text(where) if where else None
    op.create_index(name, table, list(columns), postgresql_where=some, sqlite_where=some)


def _triggers_postgresql() -> None:
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION amends_append_only()"
        )


def _triggers_sqlite() -> None:
    for table in APPEND_ONLY:
        for act in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act} BEFORE {act.upper()} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} {WORDS}'); END"
            )
