"""What decisions are made by and what they leave behind: policies, models, stops, caps; judgements,
labels, reviews; what customers did by day, and what they were seen with. And who signs in.

Refunds that wait for a person already get their row of `reviews` here. Nothing else is known of
before.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

APPEND_ONLY = ("policies", "models")
WORDS = "is append-only: correct it by adding a row"
ROOM = {"fillfactor": 80}


def _str(name: str, key: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=key, nullable=False)


def _big(name: str, key: bool = False) -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _keys(*names: str) -> list[sa.Column[str]]:
    return [_str(name, key=True) for name in names]


def upgrade() -> None:
    _of_refunds()
    _of_customers()
    _what_decides()
    _who_signs_in()
    _open_reviews()
    _indexes()
    if op.get_bind().dialect.name == "postgresql":
        _triggers_postgresql()
    else:
        _triggers_sqlite()


def _of_refunds() -> None:
    op.create_table(
        "decisions",
        *_keys("order_id", "refund_id"),
        *(_big("at"), _str("policy"), _str("rule"), _str("outcome"), _big("score_bp")),
        *(_str("model"), _big("amount"), _str("fields"), _str("features"), _str("shadows")),
        *(_str("rows"), _flag("statutory")),
        sqlite_strict=True,
    )
    op.create_table(
        "labels",
        *_keys("order_id", "refund_id", "source"),
        *(_big("at"), _flag("abuse")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reviews",
        *_keys("order_id", "refund_id"),
        *(_str("entity"), _str("state"), _str("role"), _str("assignee"), _big("due")),
        *(_big("snoozed_until"), _str("escalated"), _flag("asked"), _big("amount")),
        *(_str("currency"), _big("score_bp"), _str("rule"), _str("reason")),
        *(_big("created_at"), _big("closed_at")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _open_reviews() -> None:
    """Of refunds that are waiting now; what else their row has is in the order's document."""
    connection = op.get_bind()
    waiting = sa.text(
        "SELECT r.order_id, r.id, o.entity, o.state, r.amount, r.currency, r.reason, r.created_at"
        " FROM refunds AS r JOIN orders AS o ON o.id = r.order_id WHERE r.state = 'review'"
    )
    row = sa.text(
        "INSERT INTO reviews (order_id, refund_id, entity, state, role, assignee, due,"
        " snoozed_until, escalated, asked, amount, currency, score_bp, rule, reason, created_at,"
        " closed_at)"
        " VALUES (:order, :refund, :entity, 'open', '', '', :due, 0, '', false, :amount, :currency,"
        " :score, :rule, :reason, :created, 0)"
    )
    for order, id_, entity, state, amount, currency, reason, created in connection.execute(waiting):
        refund = next(r for r in json.loads(state)["refunds"] if r["id"] == id_)
        verdict = refund.get("verdict") or {}
        values = {
            "order": order,
            "refund": id_,
            "entity": entity,
            "due": refund.get("decide_by", 0),
            "amount": amount,
            "currency": currency,
            "score": verdict.get("score_bp", 0),
            "rule": verdict.get("rule", ""),
            "reason": reason,
            "created": created,
        }
        connection.execute(row, values)


def _of_customers() -> None:
    tallied = ("orders", "order_value", "order_max", "refunds", "refund_value")
    found = ("not_received", "disputes", "not_returned", "findings")
    op.create_table(
        "customer_days",
        *_keys("customer", "entity"),
        _big("day", key=True),
        *(_big(name) for name in (*tallied, *found)),
        sqlite_strict=True,
        sqlite_with_rowid=False,
        postgresql_with=ROOM,
    )
    op.create_table(
        "sightings",
        *_keys("value", "kind", "entity", "customer"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "caps",
        *_keys("bucket"),
        *(_big("amount"), _big("count")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
        postgresql_with=ROOM,
    )


def _what_decides() -> None:
    op.create_table(
        "stops",
        *_keys("id"),
        *(_str("scope"), _str("key"), _str("why"), _str("actor"), _big("at")),
        *(_big("lifted_at"), _str("lifted_by"), _str("lifted_why")),
        sqlite_strict=True,
    )
    op.create_table(
        "policies",
        *(_big("number", key=True), _str("hash"), _str("name"), _str("doc")),
        *(_big("effective_from"), _big("at"), _str("actor")),
        sqlite_strict=True,
    )
    op.create_table(
        "drafts",
        *_keys("name"),
        *(_str("doc"), _str("hash"), _flag("shadow"), _big("at"), _str("actor")),
        sqlite_strict=True,
    )
    op.create_table(
        "models",
        *_keys("hash"),
        *(_str("kind"), _str("name"), _str("model"), _str("meta")),
        *(_big("at"), _str("actor")),
        sqlite_strict=True,
    )
    op.create_table(
        "settings",
        *_keys("key"),
        *(_str("value"), _big("at"), _str("actor")),
        sqlite_strict=True,
    )
    op.create_table(
        "shop_stats", *_keys("connection"), *(_big("at"), _str("doc")), sqlite_strict=True
    )


def _who_signs_in() -> None:
    op.create_table(
        "users",
        *_keys("id"),
        *(_str("login"), _str("name"), _str("role"), _str("password")),
        *(_str("totp"), _big("totp_step"), _big("created_at"), _big("disabled_at")),
        *(_big("failures"), _big("locked_until"), _big("password_at")),
        sqlite_strict=True,
    )
    op.create_table(
        "sessions",
        *_keys("hash"),
        *(_str("user_id"), _str("stage"), _str("csrf")),
        *(_big("created_at"), _big("seen_at"), _big("expires_at"), _str("agent")),
        sqlite_strict=True,
    )
    op.create_table(
        "tries",
        *_keys("key"),
        *(_big("failures"), _big("since"), _big("locked_until")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _index_where(name: str, table: str, columns: list[str], where: str) -> None:
    words = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=words, sqlite_where=words)


def _indexes() -> None:
    of = ["order_id", "refund_id"]
    op.create_index("decisions_at", "decisions", ["at", *of])
    op.create_index("labels_at", "labels", ["at", *of, "source"])
    _index_where("reviews_open", "reviews", ["due", *of], "state = 'open'")
    _index_where("reviews_closed", "reviews", ["closed_at", *of], "state = 'closed'")
    _index_where("stops_active", "stops", ["at", "id"], "lifted_at = 0")
    op.create_index("users_login", "users", ["login"], unique=True)
    op.create_index("sessions_user", "sessions", ["user_id"])
    op.create_index("sessions_expire", "sessions", ["expires_at"])
    op.create_index("tries_since", "tries", ["since"])


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
