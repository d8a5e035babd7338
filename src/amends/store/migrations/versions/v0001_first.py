"""The first schema: every table, every index, and the triggers that keep the books append-only.

There is no way down: a step back would drop audit rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = ("events", "entries", "postings", "checkpoints")
MONEY = (
    *("authorized", "captured", "captured_peak", "pending_ours", "refunded_ours"),
    *("credited_ours", "external", "disputed", "voiding", "voided"),
)
WORDS = "is append-only: correct it by adding a row"


def _str(name: str, key: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=key, nullable=False)


def _big(name: str, key: bool = False) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)


def _raw(name: str, null: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=null)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _money() -> None:
    op.create_table(
        "orders",
        _str("id", key=True),
        _str("entity"),
        _str("source_connection"),
        _str("source_order_id"),
        _big("version"),
        _big("head_seq"),
        _str("head_hash"),
        _flag("parked"),
        _big("created_at"),
        _big("updated_at"),
        _str("state"),
        sqlite_strict=True,
    )
    op.create_table(
        "payments",
        _str("order_id", key=True),
        _str("id", key=True),
        _str("connection"),
        _str("psp_payment_id"),
        _str("currency"),
        *(_big(name) for name in MONEY),
        sa.CheckConstraint(
            "pending_ours + refunded_ours + credited_ours <= captured_peak",
            name="payments_never_exceed_captured",
        ),
        sa.CheckConstraint(
            " AND ".join(f"{name} >= 0" for name in MONEY), name="payments_not_negative"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "refunds",
        _str("order_id", key=True),
        _str("id", key=True),
        _str("state"),
        _str("reason"),
        _big("amount"),
        _str("currency"),
        _big("amount_succeeded"),
        _str("requested_by"),
        _big("created_at"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "legs",
        _str("order_id", key=True),
        _str("id", key=True),
        _str("refund_id"),
        _str("payment_id"),
        _str("connection"),
        _str("kind"),
        _str("state"),
        _big("amount"),
        _str("psp_refund_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _journal() -> None:
    op.create_table(
        "events",
        _str("stream", key=True),
        _big("seq", key=True),
        _big("at"),
        _str("type"),
        _str("actor"),
        _str("fact"),
        _str("ctx"),
        _str("body"),
        _str("entries"),
        _str("previous"),
        _str("hash"),
        sqlite_strict=True,
    )
    op.create_table(
        "entries",
        _str("order_id", key=True),
        _big("number", key=True),
        _big("at"),
        _str("kind"),
        _str("entity"),
        _str("currency"),
        _str("functional_currency"),
        _str("refund_id"),
        _str("leg_id"),
        _str("psp_refund_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "postings",
        _str("order_id", key=True),
        _big("entry", key=True),
        _big("line", key=True),
        _str("account"),
        _str("currency"),
        _big("amount"),
        _big("functional"),
        _str("entity"),
        _big("at"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoints",
        _big("number", key=True),
        _big("at"),
        _big("orders"),
        _str("heads"),
        _str("previous"),
        _str("key_id"),
        _str("signature"),
        sqlite_strict=True,
    )


def _work() -> None:
    op.create_table(
        "effects",
        _str("order_id", key=True),
        _str("id", key=True),
        _str("kind"),
        _str("connection"),
        _str("payment_id"),
        _str("leg_id"),
        _big("due"),
        _str("lease_holder"),
        _big("lease_until"),
        _big("ready_at"),
        _big("attempt"),
        _str("doc"),
        sqlite_strict=True,
    )
    op.create_table(
        "inbox",
        _str("connection", key=True),
        _str("message", key=True),
        _big("at"),
        _str("type"),
        _str("state"),
        _str("actor"),
        _raw("raw", null=True),
        _raw("facts"),
        _str("refs"),
        _str("order_id"),
        _big("seq"),
        sqlite_strict=True,
    )
    op.create_table(
        "inbox_refs",
        _str("ref_id", key=True),
        _str("ref_connection", key=True),
        _str("connection", key=True),
        _str("message", key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency",
        _str("principal", key=True),
        _str("route", key=True),
        _str("key", key=True),
        _str("body_hash"),
        _raw("request"),
        _big("status"),
        _raw("body"),
        _str("headers"),
        _big("at"),
        sqlite_strict=True,
    )
    op.create_table(
        "payment_refs",
        _str("psp_payment_id", key=True),
        _str("connection", key=True),
        _str("order_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _people() -> None:
    op.create_table(
        "notes",
        _str("order_id", key=True),
        _str("id", key=True),
        _str("salt"),
        _str("text"),
        _big("at"),
        sqlite_strict=True,
    )
    op.create_table(
        "people",
        _str("entity", key=True),
        _str("id", key=True),
        _str("email"),
        _str("name"),
        _str("country"),
        _big("at"),
        sqlite_strict=True,
    )
    op.create_table(
        "quotes",
        _str("id", key=True),
        _str("order_id"),
        _raw("request"),
        _str("hash"),
        _big("expires_at"),
        sqlite_strict=True,
    )
    op.create_table(
        "principals",
        _str("id", key=True),
        _str("name"),
        _str("scopes"),
        _str("key_hash"),
        _big("created_at"),
        _big("revoked_at"),
        sqlite_strict=True,
    )
    op.create_table(
        "processes",
        _str("id", key=True),
        _big("seen_at"),
        sqlite_strict=True,
    )


def _index_where(name: str, table: str, columns: list[str], where: str) -> None:
    words = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=words, sqlite_where=words)


def _indexes() -> None:
    op.create_index("orders_created", "orders", ["created_at", "id"])
    _index_where("orders_parked", "orders", ["id"], "parked = true")
    op.create_index("orders_source", "orders", ["source_order_id", "source_connection"])
    op.create_index("payments_id", "payments", ["id"])
    _index_where(
        "refunds_attention",
        "refunds",
        ["state", "created_at", "id"],
        "state = 'review' OR state = 'unknown'",
    )
    op.create_index("refunds_created", "refunds", ["created_at", "id"])
    op.create_index("refunds_id", "refunds", ["id"])
    _index_where("legs_psp_refund", "legs", ["psp_refund_id"], "psp_refund_id <> ''")
    op.create_index(
        "events_at",
        "events",
        ["at"],
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.create_index("entries_at", "entries", ["at", "order_id", "number"])
    op.create_index("effects_ready", "effects", ["connection", "ready_at"])
    _index_where("inbox_parked", "inbox", ["order_id", "seq"], "state = 'parked'")
    _index_where("inbox_raw", "inbox", ["at"], "raw IS NOT NULL")
    _index_where("inbox_unmatched", "inbox", ["at"], "state = 'unmatched'")
    op.create_index("inbox_refs_message", "inbox_refs", ["connection", "message"])
    op.create_index("principals_key", "principals", ["key_hash"], unique=True)


def _triggers_postgresql() -> None:
    """Once per statement, before any row is touched: costs an INSERT nothing."""
    op.execute(
        "CREATE FUNCTION amends_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION '% {WORDS}', TG_TABLE_NAME"
        " USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME; END $$"
    )
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


def upgrade() -> None:
    _money()
    _journal()
    _work()
    _people()
    _indexes()
    if op.get_bind().dialect.name == "postgresql":
        _triggers_postgresql()
    else:
        _triggers_sqlite()
