"""The tables: one schema for SQLite and PostgreSQL. Instants and amounts are 64-bit integers.

Text sorts by bytes on both databases (collation "C" on PostgreSQL), so that pages and locks come
in one order everywhere. SQLite tables are STRICT, so that it refuses the wrong type as PostgreSQL
does. No foreign keys: every row of an order is written in one turn under that order's lock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

STR: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
BIG: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
FLAG = Boolean().with_variant(Integer(), "sqlite")
RAW = LargeBinary()

metadata = MetaData()


def _str(name: str, key: bool = False) -> Column[str]:
    return Column(name, STR, primary_key=key, nullable=False)


def _big(name: str, key: bool = False) -> Column[int]:
    return Column(name, BIG, primary_key=key, nullable=False, autoincrement=False)


def _raw(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, RAW, nullable=null)


def _flag(name: str) -> Column[bool]:
    return Column(name, FLAG, nullable=False)


# Room in the pages of what is changed long after: PostgreSQL then mostly keeps a row's new version
# in its page and writes no index for it.
ROOM = {"fillfactor": 80}


def _table(
    name: str,
    *parts: Column[str] | Column[int] | Column[bytes] | Column[bool],
    room: dict[str, int] | None = None,
) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True, postgresql_with=room or {})


def _narrow(
    name: str,
    *parts: Column[str] | Column[int] | Column[bool] | CheckConstraint,
    room: dict[str, int] | None = None,
) -> Table:
    """Small rows live in the tree of their key on SQLite: one tree to write instead of two."""
    with_ = room or {}
    return Table(
        name, metadata, *parts, sqlite_strict=True, sqlite_with_rowid=False, postgresql_with=with_
    )


# -- of one order: every key begins with the order, so that a sharded database keeps them together

orders = _table(
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
    _str("state"),  # JSON of core.order.Order
    room=ROOM,
)

_MONEY = (
    *("authorized", "captured", "captured_peak", "pending_ours", "refunded_ours"),
    *("credited_ours", "external", "disputed", "voiding", "voided", "uncaptured"),
)

payments = _narrow(
    "payments",
    _str("order_id", key=True),
    _str("id", key=True),
    _str("connection"),
    _str("psp_payment_id"),
    _str("currency"),
    *(_big(name) for name in _MONEY),
    CheckConstraint(
        "pending_ours + refunded_ours + credited_ours <= captured_peak",
        name="payments_never_exceed_captured",
    ),
    CheckConstraint(" AND ".join(f"{name} >= 0" for name in _MONEY), name="payments_not_negative"),
    room=ROOM,
)

refunds = _narrow(
    "refunds",
    _str("order_id", key=True),
    _str("id", key=True),
    _str("state"),  # core.order.shown_state
    _str("reason"),
    _big("amount"),
    _str("currency"),
    _big("amount_succeeded"),
    _str("requested_by"),
    _big("created_at"),
)

legs = _narrow(
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
)

events = _table(
    "events",
    _str("stream", key=True),  # an order id or system:*
    _big("seq", key=True),
    _big("at"),
    _str("type"),
    _str("actor"),
    _str("fact"),
    _str("ctx"),
    _str("body"),  # canonical JSON
    _str("entries"),  # JSON list of hashes
    _str("previous"),
    _str("hash"),
)

entries = _table(
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
    _str("posted_on"),  # YYYY-MM-DD, "" for the day of `at`
    _str("holder"),  # whose gift card or store credit it moves, "" for nobody's
    _str("worth"),  # JSON, "" for the order's rate
)

postings = _narrow(
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
)

effects = _table(
    "effects",
    _str("order_id", key=True),
    _str("id", key=True),
    _str("kind"),
    _str("connection"),  # "" for kind deadline: what `claim` limits by
    _str("payment_id"),
    _str("leg_id"),
    _big("due"),
    _str("lease_holder"),  # "" for nobody
    _big("lease_until"),  # 0 for nobody
    _big("ready_at"),  # the later of due and lease_until: from then on anybody may take it
    _big("attempt"),
    _str("doc"),  # JSON of core.effects.Effect: the intent, on disk before the wire (I3)
)

notes = _table(
    "notes",
    _str("order_id", key=True),
    _str("id", key=True),
    _str("salt"),
    _str("text"),
    _big("at"),
)

documents_due = _table(  # that wait for their number
    "documents_due",
    _str("order_id", key=True),
    _big("entry", key=True),
    _big("at"),
    _str("doc"),  # JSON of core.documents.Document
)

_OF_REFUND = ("order_id", "refund_id")

decisions = _table(  # the last judgement of each refund: for replay, training and quantiles
    "decisions",
    *(_str(name, key=True) for name in _OF_REFUND),
    _big("at"),
    _str("policy"),
    _str("rule"),
    _str("outcome"),
    _big("score_bp"),
    _str("model"),
    _big("amount"),  # functional
    _str("fields"),  # JSON, as core.history.Judged says
    _str("features"),
    _str("shadows"),
    _str("rows"),
    _flag("statutory"),
)

labels = _narrow(  # what refunds turned out to be, one row for each source
    "labels",
    *(_str(name, key=True) for name in (*_OF_REFUND, "source")),
    _big("at"),
    _flag("abuse"),
)

reviews = _narrow(  # refunds that wait, or waited, for a person or for the goods
    "reviews",
    *(_str(name, key=True) for name in _OF_REFUND),
    _str("entity"),
    _str("state"),  # open | closed
    _str("role"),  # who may decide it, "" for whoever may decide any
    _str("assignee"),  # "" for nobody
    _big("due"),
    _big("snoozed_until"),  # 0: not
    _str("escalated"),  # the role it was handed up to, "" for none
    _flag("asked"),  # the customer is to say or send more
    _big("amount"),  # as the refund's, in the order's currency
    _str("currency"),
    _big("score_bp"),
    _str("rule"),
    _str("reason"),
    _big("created_at"),
    _big("closed_at"),  # 0: it is open
)

# -- what is found by a key of its own

inbox = _table(
    "inbox",
    _str("connection", key=True),
    _str("message", key=True),
    _big("at"),
    _str("type"),
    _str("state"),
    _str("actor"),
    _raw("raw", null=True),  # NULL: empty or expired
    _raw("facts"),
    _str("refs"),  # JSON list of "connection/id"
    _str("order_id"),
    _big("seq"),
)

inbox_refs = _narrow(
    "inbox_refs",  # what unmatched rows wait for, taken apart at the first "/"
    _str("ref_id", key=True),
    _str("ref_connection", key=True),
    _str("connection", key=True),
    _str("message", key=True),
)

idempotency = _table(
    "idempotency",
    _str("principal", key=True),
    _str("route", key=True),
    _str("key", key=True),
    _str("body_hash"),
    _raw("request"),
    _big("status"),
    _raw("body"),
    _str("headers"),  # JSON list of pairs
    _big("at"),
)

payment_refs = _narrow(
    "payment_refs",
    _str("psp_payment_id", key=True),  # first, so that a search without a connection is served too
    _str("connection", key=True),
    _str("order_id"),
)

people = _table(
    "people",
    _str("entity", key=True),
    _str("id", key=True),
    _str("email"),
    _str("name"),
    _str("country"),
    _big("at"),
)

quotes = _table(
    "quotes",
    _str("id", key=True),
    _str("order_id"),
    _raw("request"),
    _str("hash"),
    _big("expires_at"),
)

principals = _table(
    "principals",
    _str("id", key=True),
    _str("name"),
    _str("scopes"),  # JSON list
    _str("key_hash"),
    _big("created_at"),
    _big("revoked_at"),  # 0: it holds
)

checkpoints = _table(
    "checkpoints",
    _big("number", key=True),
    _big("at"),
    _big("orders"),
    _str("heads"),  # JSON list of [stream, seq, hash]
    _str("previous"),
    _str("key_id"),
    _str("signature"),
)

processes = _table("processes", _str("id", key=True), _big("seen_at"))

periods = _narrow(  # closed ones; those before them are closed with them
    "periods",
    _str("entity", key=True),
    _str("period", key=True),  # YYYY-MM
    _big("at"),
    _str("actor"),
)

balance_marks = _narrow(  # instants at which balances are kept; made: 1, or 0 while they are summed
    "balance_marks", _big("at", key=True), _big("made")
)

balance_lines = _narrow(
    "balance_lines",
    _big("at", key=True),
    _str("account", key=True),
    _str("currency", key=True),
    _big("amount"),
    _big("functional"),
)

credit_notes = _table(
    "credit_notes",
    _str("entity", key=True),
    _str("series", key=True),
    _big("number", key=True),  # from 1 without gaps
    _str("order_id"),
    _big("entry"),
    _str("refund_id"),
    _str("kind"),
    _big("at"),
    _str("doc"),
)

_TALLIED = (
    *("orders", "order_value", "order_max", "refunds", "refund_value"),
    *("not_received", "disputes", "not_returned", "findings"),
)

customer_days = _narrow(  # what a customer did on one day, UTC; amounts functional
    "customer_days",
    _str("customer", key=True),
    _str("entity", key=True),
    _big("day", key=True),  # since 1970-01-01
    *(_big(name) for name in _TALLIED),
    room=ROOM,
)

sightings = _narrow(  # which customers were seen with a card, an address or a device
    "sightings", *(_str(name, key=True) for name in ("value", "kind", "entity", "customer"))
)

customer_orders = _narrow(  # which orders a customer has, and since when it is known
    "customer_orders",
    _str("customer", key=True),
    _str("entity", key=True),
    _big("at", key=True),
    _str("order_id", key=True),
)

caps = _narrow(  # what is drawn of each bucket
    "caps", _str("bucket", key=True), _big("amount"), _big("count"), room=ROOM
)

stops = _table(
    "stops",
    _str("id", key=True),
    _str("scope"),
    _str("key"),
    _str("why"),  # a hash of what was said, as lifted_why
    _str("actor"),
    _big("at"),
    _big("lifted_at"),  # 0: it holds
    _str("lifted_by"),
    _str("lifted_why"),
)

policies = _table(
    "policies",
    _big("number", key=True),  # from 1 without gaps
    _str("hash"),
    _str("name"),
    _str("doc"),
    _big("effective_from"),
    _big("at"),
    _str("actor"),
)

drafts = _table(
    "drafts",
    _str("name", key=True),
    _str("doc"),
    _str("hash"),
    _flag("shadow"),  # it runs beside the policy on every decision
    _big("at"),
    _str("actor"),
)

models = _table(
    "models",
    _str("hash", key=True),
    _str("kind"),
    _str("name"),
    _str("model"),
    _str("meta"),  # JSON
    _big("at"),
    _str("actor"),
)

settings = _table(  # "board": a counter that goes up with whatever decisions are made by
    "settings", _str("key", key=True), _str("value"), _big("at"), _str("actor")
)

shop_stats = _table("shop_stats", _str("connection", key=True), _big("at"), _str("doc"))

users = _table(
    "users",
    _str("id", key=True),
    _str("login"),
    _str("name"),
    _str("role"),
    _str("password"),  # Argon2's own text
    _str("totp"),  # enciphered, base64; "" for none
    _big("totp_step"),  # of the last code taken: none is taken twice
    _big("created_at"),
    _big("disabled_at"),  # 0: not
    _big("failures"),  # in a row
    _big("locked_until"),
    _big("password_at"),  # 0: it has to be changed first
)

sessions = _table(
    "sessions",
    _str("hash", key=True),  # SHA-256 of what the cookie says
    _str("user_id"),
    _str("stage"),  # how far the sign-in has come
    _str("csrf"),
    _big("created_at"),
    _big("seen_at"),
    _big("expires_at"),
    _str("agent"),
)

tries = _narrow(  # failed sign-ins from one place
    "tries",
    _str("key", key=True),  # a hash
    _big("failures"),
    _big("since"),
    _big("locked_until"),
)

# Tables of the aggregate and the column that names the order; the first column of their keys.
AGGREGATE: dict[str, str] = {
    "orders": "id",
    "payments": "order_id",
    "refunds": "order_id",
    "legs": "order_id",
    "events": "stream",
    "entries": "order_id",
    "postings": "order_id",
    "effects": "order_id",
    "notes": "order_id",
    "documents_due": "order_id",
    "decisions": "order_id",
    "labels": "order_id",
    "reviews": "order_id",
}

# Tables found, and distributed, by the first column of a key of their own.
ROUTING: dict[str, str] = {
    "inbox": "connection",
    "inbox_refs": "ref_id",
    "idempotency": "principal",
    "payment_refs": "psp_payment_id",
    "people": "entity",
    "quotes": "id",
    "principals": "id",
    "checkpoints": "number",
    "processes": "id",
    "periods": "entity",
    "balance_marks": "at",
    "balance_lines": "at",
    "credit_notes": "entity",
    "customer_days": "customer",
    "sightings": "value",
    "customer_orders": "customer",
    "caps": "bucket",
    "stops": "id",
    "policies": "number",
    "drafts": "name",
    "models": "hash",
    "settings": "key",
    "shop_stats": "connection",
    "users": "id",
    "sessions": "hash",
    "tries": "key",
}

APPEND_ONLY = (
    *("events", "entries", "postings", "checkpoints", "periods", "credit_notes"),
    *("policies", "models"),
)

# -- indexes: only what a query needs


def _index(name: str, *columns: Column[Any], where: str = "", unique: bool = False) -> None:
    """With `where`, of those rows alone: a statement must say the same words to be served."""
    some = text(where) if where else None
    Index(name, *columns, unique=unique, postgresql_where=some, sqlite_where=some)


_index("orders_created", orders.c.created_at, orders.c.id)
_index("orders_source", orders.c.source_order_id, orders.c.source_connection)
_index("orders_parked", orders.c.id, where="parked = true")
_index("payments_id", payments.c.id)
_index("refunds_id", refunds.c.id)
_index("refunds_created", refunds.c.created_at, refunds.c.id)
_index(  # few rows, asked for all day
    "refunds_attention",
    *(refunds.c.state, refunds.c.created_at, refunds.c.id),
    where="state = 'review' OR state = 'unknown'",
)
_index("legs_psp_refund", legs.c.psp_refund_id, where="psp_refund_id <> ''")
# Events come in the order of time, so on PostgreSQL a block range index costs nearly nothing.
Index("events_at", events.c.at, postgresql_using="brin", postgresql_with={"autosummarize": "on"})
_index("entries_at", entries.c.at, entries.c.order_id, entries.c.number)
_index("entries_posted", entries.c.posted_on, where="posted_on <> ''")
_index("entries_holder", entries.c.holder, where="holder <> ''")
_index("effects_ready", effects.c.connection, effects.c.ready_at)
_index("inbox_unmatched", inbox.c.at, where="state = 'unmatched'")
_index("inbox_parked", inbox.c.order_id, inbox.c.seq, where="state = 'parked'")
_index("inbox_raw", inbox.c.at, where="raw IS NOT NULL")
_index("inbox_refs_message", inbox_refs.c.connection, inbox_refs.c.message)
_index("principals_key", principals.c.key_hash, unique=True)
_index("documents_due_at", documents_due.c.at, documents_due.c.order_id, documents_due.c.entry)
_index("credit_notes_order", credit_notes.c.order_id)
_index("decisions_at", decisions.c.at, decisions.c.order_id, decisions.c.refund_id)
_index("labels_at", labels.c.at, labels.c.order_id, labels.c.refund_id, labels.c.source)
_REVIEW = (reviews.c.order_id, reviews.c.refund_id)
_index("reviews_open", reviews.c.due, *_REVIEW, where="state = 'open'")
_index("reviews_closed", reviews.c.closed_at, *_REVIEW, where="state = 'closed'")
_index("stops_active", stops.c.at, stops.c.id, where="lifted_at = 0")
_index("users_login", users.c.login, unique=True)
_index("sessions_user", sessions.c.user_id)
_index("sessions_expire", sessions.c.expires_at)
_index("tries_since", tries.c.since)
