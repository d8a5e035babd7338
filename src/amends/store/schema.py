"""The tables: one schema for SQLite and PostgreSQL. Instants and amounts are 64-bit integers.

Text sorts by bytes on both databases (collation "C" on PostgreSQL), so that pages and locks come
in one order everywhere. SQLite tables are STRICT, so that it refuses the wrong type as PostgreSQL
does. No foreign keys: every row of an order is written in one turn under that order's lock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, text

from amends.store.columns import ROOM, big, flag, metadata, narrow, raw, string, table

__all__ = ["metadata"]

# -- of one order: every key begins with the order, so that a sharded database keeps them together

orders = table(
    "orders",
    string("id", key=True),
    string("entity"),
    string("source_connection"),
    string("source_order_id"),
    big("version"),
    big("head_seq"),
    string("head_hash"),
    flag("parked"),
    big("created_at"),
    big("updated_at"),
    string("state"),  # JSON of core.order.Order
    room=ROOM,
)

_MONEY = (
    *("authorized", "captured", "captured_peak", "pending_ours", "refunded_ours"),
    *("credited_ours", "external", "disputed", "voiding", "voided", "uncaptured"),
)

payments = narrow(
    "payments",
    string("order_id", key=True),
    string("id", key=True),
    string("connection"),
    string("psp_payment_id"),
    string("currency"),
    *(big(name) for name in _MONEY),
    CheckConstraint(
        "pending_ours + refunded_ours + credited_ours <= captured_peak",
        name="payments_never_exceed_captured",
    ),
    CheckConstraint(" AND ".join(f"{name} >= 0" for name in _MONEY), name="payments_not_negative"),
    room=ROOM,
)

refunds = narrow(
    "refunds",
    string("order_id", key=True),
    string("id", key=True),
    string("state"),  # core.order.shown_state
    string("reason"),
    big("amount"),
    string("currency"),
    big("amount_succeeded"),
    string("requested_by"),
    big("created_at"),
)

legs = narrow(
    "legs",
    string("order_id", key=True),
    string("id", key=True),
    string("refund_id"),
    string("payment_id"),
    string("connection"),
    string("kind"),
    string("state"),
    big("amount"),
    string("psp_refund_id"),
)

events = table(
    "events",
    string("stream", key=True),  # an order id or system:*
    big("seq", key=True),
    big("at"),
    string("type"),
    string("actor"),
    string("fact"),
    string("ctx"),
    string("body"),  # canonical JSON
    string("entries"),  # JSON list of hashes
    string("previous"),
    string("hash"),
)

entries = table(
    "entries",
    string("order_id", key=True),
    big("number", key=True),
    big("at"),
    string("kind"),
    string("entity"),
    string("currency"),
    string("functional_currency"),
    string("refund_id"),
    string("leg_id"),
    string("psp_refund_id"),
    string("posted_on"),  # YYYY-MM-DD, "" for the day of `at`
    string("holder"),  # whose gift card or store credit it moves, "" for nobody's
    string("worth"),  # JSON, "" for the order's rate
)

postings = narrow(
    "postings",
    string("order_id", key=True),
    big("entry", key=True),
    big("line", key=True),
    string("account"),
    string("currency"),
    big("amount"),
    big("functional"),
    string("entity"),
    big("at"),
)

effects = table(
    "effects",
    string("order_id", key=True),
    string("id", key=True),
    string("kind"),
    string("connection"),  # "" for kind deadline: what `claim` limits by
    string("payment_id"),
    string("leg_id"),
    big("due"),
    string("lease_holder"),  # "" for nobody
    big("lease_until"),  # 0 for nobody
    big("ready_at"),  # the later of due and lease_until: from then on anybody may take it
    big("attempt"),
    string("doc"),  # JSON of core.effects.Effect: the intent, on disk before the wire (I3)
)

notes = table(
    "notes",
    string("order_id", key=True),
    string("id", key=True),
    string("salt"),
    string("text"),
    big("at"),
)

deliveries = table(  # what others are told, each row one telling to one connection
    "deliveries",
    string("order_id", key=True),  # or a stream of its own: "books:ENTITY"
    big("number", key=True),
    string("connection"),
    string("kind"),  # core.outlets.KINDS
    string("key"),
    flag("ordered"),  # after those before it of the same order and connection
    string("state"),  # open | done | stuck (a person must) | dropped (a person did)
    big("ready_at"),  # when anybody may take it: it is due, and no lease holds
    string("lease_holder"),
    big("attempts"),
    big("at"),
    big("ended_at"),  # 0: it is open
    string("reference"),  # what the party calls what came of it
    string("detail"),  # why it is not done yet
    string("doc"),  # JSON of core.outlets.Telling
    room=ROOM,
)

stock_moves = narrow(  # units that came back, by what became of them
    "stock_moves",
    string("order_id", key=True),
    big("number", key=True),
    big("at"),
    string("return_id"),
    string("line"),
    string("sku"),
    string("location"),
    string("disposition"),
    big("units"),
    string("source"),  # the connection or person that says so
)

stock_counts = narrow(  # what somebody counted of returned units since the count before
    "stock_counts",
    string("sku", key=True),
    string("location", key=True),
    big("at", key=True),
    big("units"),
    string("actor"),
)

documents_due = table(  # that wait for their number
    "documents_due",
    string("order_id", key=True),
    big("entry", key=True),
    big("at"),
    string("doc"),  # JSON of core.documents.Document
)

_OF_REFUND = ("order_id", "refund_id")

decisions = table(  # the last judgement of each refund: for replay, training and quantiles
    "decisions",
    *(string(name, key=True) for name in _OF_REFUND),
    big("at"),
    string("policy"),
    string("rule"),
    string("outcome"),
    big("score_bp"),
    string("model"),
    big("amount"),  # functional
    string("fields"),  # JSON, as core.history.Judged says
    string("features"),
    string("shadows"),
    string("rows"),
    flag("statutory"),
)

labels = narrow(  # what refunds turned out to be, one row for each source
    "labels",
    *(string(name, key=True) for name in (*_OF_REFUND, "source")),
    big("at"),
    flag("abuse"),
)

reviews = narrow(  # refunds that wait, or waited, for a person or for the goods
    "reviews",
    *(string(name, key=True) for name in _OF_REFUND),
    string("entity"),
    string("state"),  # open | closed
    string("role"),  # who may decide it, "" for whoever may decide any
    string("assignee"),  # "" for nobody
    big("due"),
    big("snoozed_until"),  # 0: not
    string("escalated"),  # the role it was handed up to, "" for none
    flag("asked"),  # the customer is to say or send more
    big("amount"),  # as the refund's, in the order's currency
    string("currency"),
    big("score_bp"),
    string("rule"),
    string("reason"),
    big("created_at"),
    big("closed_at"),  # 0: it is open
)

# -- what is found by a key of its own

inbox = table(
    "inbox",
    string("connection", key=True),
    string("message", key=True),
    big("at"),
    string("type"),
    string("state"),
    string("actor"),
    raw("raw", null=True),  # NULL: empty or expired
    raw("facts"),
    string("refs"),  # JSON list of "connection/id"
    string("order_id"),
    big("seq"),
)

inbox_refs = narrow(
    "inbox_refs",  # what unmatched rows wait for, taken apart at the first "/"
    string("ref_id", key=True),
    string("ref_connection", key=True),
    string("connection", key=True),
    string("message", key=True),
)

idempotency = table(
    "idempotency",
    string("principal", key=True),
    string("route", key=True),
    string("key", key=True),
    string("body_hash"),
    raw("request"),
    big("status"),
    raw("body"),
    string("headers"),  # JSON list of pairs
    big("at"),
)

payment_refs = narrow(
    "payment_refs",
    string(
        "psp_payment_id", key=True
    ),  # first, so that a search without a connection is served too
    string("connection", key=True),
    string("order_id"),
)

people = table(
    "people",
    string("entity", key=True),
    string("id", key=True),
    string("email"),
    string("name"),
    string("country"),
    big("at"),
)

quotes = table(
    "quotes",
    string("id", key=True),
    string("order_id"),
    raw("request"),
    string("hash"),
    big("expires_at"),
)

principals = table(
    "principals",
    string("id", key=True),
    string("name"),
    string("scopes"),  # JSON list
    string("key_hash"),
    big("created_at"),
    big("revoked_at"),  # 0: it holds
)

checkpoints = table(
    "checkpoints",
    big("number", key=True),
    big("at"),
    big("orders"),
    string("heads"),  # JSON list of [stream, seq, hash]
    string("previous"),
    string("key_id"),
    string("signature"),
)

processes = table("processes", string("id", key=True), big("seen_at"))

periods = narrow(  # closed ones; those before them are closed with them
    "periods",
    string("entity", key=True),
    string("period", key=True),  # YYYY-MM
    big("at"),
    string("actor"),
)

balance_marks = narrow(  # instants at which balances are kept; made: 1, or 0 while they are summed
    "balance_marks", big("at", key=True), big("made")
)

balance_lines = narrow(
    "balance_lines",
    big("at", key=True),
    string("account", key=True),
    string("currency", key=True),
    big("amount"),
    big("functional"),
)

credit_notes = table(
    "credit_notes",
    string("entity", key=True),
    string("series", key=True),
    big("number", key=True),  # from 1 without gaps
    string("order_id"),
    big("entry"),
    string("refund_id"),
    string("kind"),
    big("at"),
    string("doc"),
)

_TALLIED = (
    *("orders", "order_value", "order_max", "refunds", "refund_value"),
    *("not_received", "disputes", "not_returned", "findings"),
)

customer_days = narrow(  # what a customer did on one day, UTC; amounts functional
    "customer_days",
    string("customer", key=True),
    string("entity", key=True),
    big("day", key=True),  # since 1970-01-01
    *(big(name) for name in _TALLIED),
    room=ROOM,
)

sightings = narrow(  # which customers were seen with a card, an address or a device
    "sightings", *(string(name, key=True) for name in ("value", "kind", "entity", "customer"))
)

customer_orders = narrow(  # which orders a customer has, and since when it is known
    "customer_orders",
    string("customer", key=True),
    string("entity", key=True),
    big("at", key=True),
    string("order_id", key=True),
)

caps = narrow(  # what is drawn of each bucket
    "caps", string("bucket", key=True), big("amount"), big("count"), room=ROOM
)

stops = table(
    "stops",
    string("id", key=True),
    string("scope"),
    string("key"),
    string("why"),  # a hash of what was said, as lifted_why
    string("actor"),
    big("at"),
    big("lifted_at"),  # 0: it holds
    string("lifted_by"),
    string("lifted_why"),
)

policies = table(
    "policies",
    big("number", key=True),  # from 1 without gaps
    string("hash"),
    string("name"),
    string("doc"),
    big("effective_from"),
    big("at"),
    string("actor"),
)

drafts = table(
    "drafts",
    string("name", key=True),
    string("doc"),
    string("hash"),
    flag("shadow"),  # it runs beside the policy on every decision
    big("at"),
    string("actor"),
)

models = table(
    "models",
    string("hash", key=True),
    string("kind"),
    string("name"),
    string("model"),
    string("meta"),  # JSON
    big("at"),
    string("actor"),
)

settings = table(  # "board": a counter that goes up with whatever decisions are made by
    "settings", string("key", key=True), string("value"), big("at"), string("actor")
)

shop_stats = table("shop_stats", string("connection", key=True), big("at"), string("doc"))

users = table(
    "users",
    string("id", key=True),
    string("login"),
    string("name"),
    string("role"),
    string("password"),  # Argon2's own text
    string("totp"),  # enciphered, base64; "" for none
    big("totp_step"),  # of the last code taken: none is taken twice
    big("created_at"),
    big("disabled_at"),  # 0: not
    big("failures"),  # in a row
    big("locked_until"),
    big("password_at"),  # 0: it has to be changed first
)

sessions = table(
    "sessions",
    string("hash", key=True),  # SHA-256 of what the cookie says
    string("user_id"),
    string("stage"),  # how far the sign-in has come
    string("csrf"),
    big("created_at"),
    big("seen_at"),
    big("expires_at"),
    string("agent"),
)

tries = narrow(  # failed sign-ins from one place
    "tries",
    string("key", key=True),  # a hash
    big("failures"),
    big("since"),
    big("locked_until"),
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
    "deliveries": "order_id",
    "stock_moves": "order_id",
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
    "stock_counts": "sku",
}

APPEND_ONLY = (
    *("events", "entries", "postings", "checkpoints", "periods", "credit_notes"),
    *("policies", "models", "stock_moves", "stock_counts"),
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
_index(
    "deliveries_open",
    *(deliveries.c.connection, deliveries.c.ready_at),
    where="state = 'open'",
)
_index("deliveries_stuck", deliveries.c.at, where="state = 'stuck'")
_index("deliveries_at", deliveries.c.at, deliveries.c.order_id, deliveries.c.number)
_index("stock_moves_sku", stock_moves.c.sku, stock_moves.c.location, stock_moves.c.at)
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
