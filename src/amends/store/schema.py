"""The tables: one schema for SQLite and PostgreSQL. Instants and amounts are 64-bit integers.

Text sorts by bytes on both databases (collation "C" on PostgreSQL), so that pages and locks come
in one order everywhere. SQLite tables are STRICT, so that it refuses the wrong type as PostgreSQL
does. No foreign keys: every row of an order is written in one turn under that order's lock.
"""

from __future__ import annotations

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
    *parts: Column[str] | Column[int] | CheckConstraint,
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
    Column("parked", FLAG, nullable=False),
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
}

APPEND_ONLY = ("events", "entries", "postings", "checkpoints", "periods", "credit_notes")

# -- indexes: only what a query needs

Index("orders_created", orders.c.created_at, orders.c.id)
Index("orders_source", orders.c.source_order_id, orders.c.source_connection)
_STOPPED = text("parked = true")
Index("orders_parked", orders.c.id, postgresql_where=_STOPPED, sqlite_where=_STOPPED)
Index("payments_id", payments.c.id)
Index("refunds_id", refunds.c.id)
Index("refunds_created", refunds.c.created_at, refunds.c.id)
_ATTENTION = text("state = 'review' OR state = 'unknown'")  # few rows, asked for all day
Index(
    "refunds_attention",
    *(refunds.c.state, refunds.c.created_at, refunds.c.id),
    postgresql_where=_ATTENTION,
    sqlite_where=_ATTENTION,
)
_NAMED = text("psp_refund_id <> ''")
Index("legs_psp_refund", legs.c.psp_refund_id, postgresql_where=_NAMED, sqlite_where=_NAMED)
# Events come in the order of time, so on PostgreSQL a block range index costs nearly nothing.
Index("events_at", events.c.at, postgresql_using="brin", postgresql_with={"autosummarize": "on"})
Index("entries_at", entries.c.at, entries.c.order_id, entries.c.number)
_HELD = text("holder <> ''")
_LATE = text("posted_on <> ''")
Index("entries_posted", entries.c.posted_on, postgresql_where=_LATE, sqlite_where=_LATE)
Index("entries_holder", entries.c.holder, postgresql_where=_HELD, sqlite_where=_HELD)
Index("effects_ready", effects.c.connection, effects.c.ready_at)
_UNMATCHED = text("state = 'unmatched'")
Index("inbox_unmatched", inbox.c.at, postgresql_where=_UNMATCHED, sqlite_where=_UNMATCHED)
_PARKED = text("state = 'parked'")
Index(
    "inbox_parked",
    *(inbox.c.order_id, inbox.c.seq),
    postgresql_where=_PARKED,
    sqlite_where=_PARKED,
)
_KEPT = text("raw IS NOT NULL")
Index("inbox_raw", inbox.c.at, postgresql_where=_KEPT, sqlite_where=_KEPT)
Index("inbox_refs_message", inbox_refs.c.connection, inbox_refs.c.message)
Index("principals_key", principals.c.key_hash, unique=True)
Index("documents_due_at", documents_due.c.at, documents_due.c.order_id, documents_due.c.entry)
Index("credit_notes_order", credit_notes.c.order_id)
