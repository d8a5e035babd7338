"""Core's structs as rows and back, the same for both databases (invariant I14).

A row is a tuple in the order of its table's columns in `schema` unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from amends.core.documents import Document, DueDocument
from amends.core.effects import Effect
from amends.core.events import Event
from amends.core.history import Judged, Label, Sight, Stop, Tally
from amends.core.order import NO_CASE, Order, Payment, Refund, amount_succeeded, shown_state
from amends.core.outlets import APART, Moved, Tell, encode_telling, kind_of
from amends.core.policy import higher
from amends.core.postings import Entry, Posting, Worth
from amends.kernel.canon import canonical
from amends.kernel.time import Instant, day_of
from amends.store.records import DraftRow, Head, ModelRow, PolicyRow, Session, StopRow, User
from amends.store.spec import (
    Answer,
    AnswerKey,
    Checkpoint,
    CreditNote,
    Inbound,
    Lease,
    NoteText,
    Person,
    Principal,
    QuoteRow,
)

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_order = msgspec.json.Decoder(Order).decode
_strings = msgspec.json.Decoder(tuple[str, ...]).decode
_pairs = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode
_heads = msgspec.json.Decoder(tuple[tuple[str, int, str], ...]).decode
_document = msgspec.json.Decoder(Document).decode
_body = msgspec.json.Decoder(dict[str, Any]).decode


def _json(value: Any) -> str:
    return _encode(value).decode()


# -- to rows


def created(order: Order) -> Row:
    """A whole row of `orders`."""
    return (
        order.id,
        order.entity,
        order.source.connection,
        order.source.order_id,
        order.version,
        order.head_seq,
        order.head_hash,
        bool(order.parked),
        order.last_at,
        order.last_at,
        _json(order),
    )


def customer_order(order: Order) -> Row:
    """A row of `customer_orders`."""
    return (order.customer, order.entity, order.last_at, order.id)


def changed(order: Order) -> Row:
    """What changes of a row of `orders`: id, version, head_seq, head_hash, parked, updated_at,
    state."""
    return (
        order.id,
        order.version,
        order.head_seq,
        order.head_hash,
        bool(order.parked),
        order.last_at,
        _json(order),
    )


def payment(order: Order, p: Payment) -> Row:
    return (
        order.id,
        p.id,
        p.connection,
        p.psp_payment_id,
        order.currency,
        p.authorized,
        p.captured,
        p.captured_peak,
        p.pending_ours,
        p.refunded_ours,
        p.credited_ours,
        p.external,
        p.disputed,
        p.voiding,
        p.voided,
        p.uncaptured,
    )


def refund(order: Order, r: Refund) -> Row:
    return (
        order.id,
        r.id,
        shown_state(r),
        r.reason,
        r.amount,
        order.currency,
        amount_succeeded(r),
        r.requested_by,
        r.created_at,
    )


def legs(order: Order, r: Refund) -> Iterator[Row]:
    connections = {p.id: p.connection for p in order.payments}
    for leg in r.legs:
        yield (
            order.id,
            leg.id,
            r.id,
            leg.payment,
            connections.get(leg.payment, ""),
            leg.kind,
            leg.state,
            leg.amount,
            leg.psp_refund_id,
        )


def waits(r: Refund | None) -> bool:
    """It is in the queue of reviews: for a person, or for its goods."""
    return r is not None and r.stage == "review"


def review(order: Order, r: Refund) -> Row:
    """A refund that waits, or no longer does."""
    open_, verdict, case = waits(r), r.verdict, r.case or NO_CASE
    return (
        order.id,
        r.id,
        order.entity,
        "open" if open_ else "closed",
        higher(r.approver, case.escalated),
        case.assignee,
        r.decide_by,
        case.snoozed_until,
        case.escalated,
        case.asked,
        r.amount,
        order.currency,
        verdict.score_bp if verdict else 0,
        verdict.rule if verdict else "",
        r.reason,
        order.last_at,
        0 if open_ else order.last_at,
    )


def judged(j: Judged) -> Row:
    return (
        *(j.order, j.refund, j.at, j.policy, j.rule, j.outcome, j.score_bp, j.model, j.amount),
        *(j.fields, j.features, j.shadows, j.rows, j.statutory),
    )


def label(x: Label) -> Row:
    return (x.order, x.refund, x.source, x.at, x.abuse)


def tally(t: Tally) -> Row:
    return (
        *(t.customer, t.entity, t.day, t.orders, t.order_value, t.order_max, t.refunds),
        *(t.refund_value, t.not_received, t.disputes, t.not_returned, t.findings),
    )


def sight(s: Sight) -> Row:
    return (s.value, s.kind, s.entity, s.customer)


def event(e: Event) -> Row:
    return (
        e.stream,
        e.seq,
        e.at,
        e.type,
        e.actor,
        e.fact,
        e.ctx,
        canonical(e.body).decode(),
        _json(e.entries),
        e.previous,
        e.hash,
    )


def entry(e: Entry) -> Row:
    return (
        e.order,
        e.number,
        e.at,
        e.kind,
        e.entity,
        e.currency,
        e.functional_currency,
        e.refund,
        e.leg,
        e.psp_refund_id,
        e.posted_on,
        e.holder,
        _json(e.worth) if e.worth else "",
    )


def postings(e: Entry) -> Iterator[Row]:
    for line, p in enumerate(e.postings, 1):
        yield (
            e.order,
            e.number,
            line,
            p.account,
            e.currency,
            p.amount,
            p.functional,
            e.entity,
            e.at,
        )


def due_document(d: DueDocument) -> Row:
    return (d.document.order, d.document.entry, d.at, _json(d.document))


def tell(t: Tell) -> Row:
    kind = kind_of(t.telling)
    return (
        *(t.order, t.number, t.connection, kind, t.telling.key, kind not in APART, "open"),
        *(t.telling.at, "", 0, t.telling.at, 0, "", "", encode_telling(t.telling).decode()),
    )


def moved(m: Moved) -> Row:
    goods = m.goods
    return (
        *(m.order, m.number, m.at, m.return_id, goods.line, goods.sku),
        *(goods.location, goods.disposition, goods.units, m.source),
    )


def effect(e: Effect, lease: Lease | None) -> Row:
    until = lease.until if lease else 0
    return (
        e.order,
        e.id,
        e.kind,
        "" if e.kind == "deadline" else e.connection,
        e.payment,
        e.leg,
        e.due,
        lease.holder if lease else "",
        until,
        max(e.due, until),
        e.attempt,
        _json(e),
    )


def inbound(i: Inbound) -> Row:
    return (
        i.connection,
        i.message,
        i.at,
        i.type,
        i.state,
        i.actor,
        i.raw or None,
        i.facts,
        _json(i.refs),
        i.order,
        i.seq,
    )


def refs(i: Inbound) -> set[Row]:
    """What an unmatched row waits for: (ref_id, ref_connection, connection, message)."""
    if i.state != "unmatched":
        return set()
    return {(*split_ref(ref), i.connection, i.message) for ref in i.refs}


def split_ref(ref: str) -> tuple[str, str]:
    """(id, connection) of "connection/id"."""
    connection, _, identifier = ref.partition("/")
    return identifier, connection


def answer(a: Answer) -> Row:
    return (
        *(a.key.principal, a.key.route, a.key.key),
        a.body_hash,
        a.request,
        a.status,
        a.body,
        _json(a.headers),
        a.at,
    )


def person(p: Person) -> Row:
    return (p.entity, p.id, p.email, p.name, p.country, p.at)


def note(n: NoteText) -> Row:
    return (n.order, n.id, n.salt, n.text, n.at)


def quote(q: QuoteRow) -> Row:
    return (q.id, q.order, q.request, q.hash, q.expires_at)


def principal(p: Principal, key_hash: str) -> Row:
    return (p.id, p.name, _json(p.scopes), key_hash, p.created_at, p.revoked_at)


def checkpoint(c: Checkpoint) -> Row:
    heads = _json([(h.stream, h.seq, h.hash) for h in c.heads])
    return (c.number, c.at, c.orders, heads, c.previous, c.key_id, c.signature)


def stop(s: Stop) -> Row:
    return (s.id, s.scope, s.key, s.why, s.actor, s.at, 0, "", "")


def policy(p: PolicyRow) -> Row:
    return (p.number, p.hash, p.name, p.doc, p.effective_from, p.at, p.actor)


def draft(d: DraftRow) -> Row:
    return (d.name, d.doc, d.hash, d.shadow, d.at, d.actor)


def model(m: ModelRow) -> Row:
    return (m.hash, m.kind, m.name, m.model, m.meta, m.at, m.actor)


def user(u: User) -> Row:
    return (
        *(u.id, u.login, u.name, u.role, u.password, u.totp, u.totp_step, u.created_at),
        *(u.disabled_at, u.failures, u.locked_until, u.password_at),
    )


def session(s: Session) -> Row:
    return (*(s.hash, s.user_id, s.stage, s.csrf, s.created_at, s.seen_at, s.expires_at, s.agent),)


# -- from rows


def to_judged(row: Sequence[Any]) -> Judged:
    values = [*row]
    values[-1] = bool(values[-1])
    return Judged(*values)


def to_label(row: Sequence[Any]) -> Label:
    order, refund_id, source, at, abuse = row
    return Label(order, refund_id, at, source, bool(abuse))


def to_stop(row: Sequence[Any]) -> StopRow:
    return StopRow(Stop(*row[:6]), *row[6:])


def to_draft(row: Sequence[Any]) -> DraftRow:
    name, doc, hash_, shadow, at, actor = row
    return DraftRow(name, doc, hash_, bool(shadow), at, actor)


def to_order(state: str) -> Order:
    return _order(state)


def to_event(row: Sequence[Any]) -> Event:
    stream, seq, at, type_, actor, fact, ctx, body, hashes, previous, hash_ = row
    return Event(
        *(stream, seq, at, type_, actor, fact, ctx),
        *(_body(body), _strings(hashes), previous, hash_),
    )


def to_inbound(row: Sequence[Any]) -> Inbound:
    connection, message, at, type_, state, actor, raw, facts, waits, order, seq = row
    return Inbound(
        *(connection, message, at, type_, state, actor),
        *(bytes(raw or b""), bytes(facts), _strings(waits), order, seq),
    )


def to_answer(row: Sequence[Any]) -> Answer:
    principal_id, route, key, body_hash, request, status, body, headers, at = row
    return Answer(
        AnswerKey(principal_id, route, key),
        *(body_hash, bytes(request), status, bytes(body), _pairs(headers), at),
    )


def to_quote(row: Sequence[Any]) -> QuoteRow:
    id_, order, request, hash_, expires_at = row
    return QuoteRow(id_, order, bytes(request), hash_, expires_at)


def to_entry(item: dict[str, Any]) -> Entry:
    """An entry from its item on a page of `Store.entries`."""
    lines = tuple(Posting(p["account"], p["amount"], p["functional"]) for p in item["postings"])
    return Entry(
        item["order"],
        item["number"],
        item["at"],
        item["kind"],
        item["entity"],
        item["currency"],
        item["functional_currency"],
        item["refund"],
        item["leg"],
        item["psp_refund_id"],
        lines,
        "" if item["posted_on"] == day_of(item["at"]) else item["posted_on"],
        item["holder"],
        to_worth(item["worth"]),
    )


def to_worth(said: dict[str, Any] | None) -> Worth | None:
    """What an entry is valued by, from its item."""
    return msgspec.convert(said, Worth) if said else None


def dates(at: Instant, posted_on: str, lines: Sequence[dict[str, Any]]) -> dict[str, str | None]:
    """The dates of an entry as its item has them. That of its document, and the one its tax belongs
    to, is the day it was recorded, UTC."""
    day = day_of(at)
    taxed = any(line["account"] == "tax_payable" for line in lines)
    return {
        "posted_on": posted_on or day,
        "tax_point": day if taxed else None,
        "document_date": day,
    }


def credit_note(c: CreditNote) -> Row:
    d = c.document
    head = (d.entity, c.series, c.number, d.order, d.entry, d.refund, d.kind, c.at)
    return (*head, _json(d))


def to_credit_note(row: Sequence[Any]) -> CreditNote:
    return CreditNote(row.series, row.number, row.at, _document(row.doc))  # type: ignore[attr-defined]


def to_due_document(row: Sequence[Any]) -> DueDocument:
    _, _, at, doc = row
    return DueDocument(at, _document(doc))


def to_note(row: Sequence[Any]) -> NoteText:
    order, id_, salt, text, at = row
    return NoteText(id_, order, salt, text, at)


def to_principal(row: Sequence[Any]) -> Principal:
    id_, name, scopes, _, created_at, revoked_at = row
    return Principal(id_, name, _strings(scopes), created_at, revoked_at)


def to_checkpoint(row: Sequence[Any]) -> Checkpoint:
    number, at, sealed, heads, previous, key_id, signature = row
    tips = tuple(Head(*head) for head in _heads(heads))
    return Checkpoint(number, at, sealed, tips, previous, key_id, signature)
