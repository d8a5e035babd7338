"""What Stripe's webhooks say: events to facts.

An event carries its object in the API version of the endpoint, not ours (docs.stripe.com/webhooks),
so every field may be missing, null, or expanded. Which events exist: the `enabled_events` of
webhook endpoints in Stripe's SDK. Events that touch no refund, capture, cancellation, dispute or
fraud warning have no facts; so do failed and pending charges, since a payment has one for each try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from amends.core.facts import (
    Addressed,
    DisputeReported,
    Fact,
    FraudWarned,
    PaymentReported,
    RefundReported,
)
from amends.gateways.codecs import (
    Json,
    Malformed,
    flag,
    identifier,
    instant,
    json_object,
    part,
    parts,
    required_text,
    text,
    whole,
)
from amends.gateways.spec import Message, Settings, Unreadable
from amends.gateways.stripe_objects import (
    amount_of,
    charge_state,
    currency_of,
    from_wire,
    moves_money,
    payment_state,
    refund_state,
    settled,
)
from amends.kernel.outcome import Settled

_EVENT_OBJECTS = ("event", "v2.core.event")
_CLOSED = ("won", "lost", "warning_closed", "prevented")

_Facts = tuple[Addressed, ...]


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine event. Raises Unreadable, and nothing else."""
    try:
        return _message(json_object(raw), settings.name)
    except Malformed as error:
        raise Unreadable(f"not a Stripe event as documented: {error}") from error


def _message(event: Json, connection: str) -> Message:
    if text(event, "object") not in _EVENT_OBJECTS:
        raise Malformed("object is not an event")
    kind = required_text(event, "type")
    reader = _READERS.get(kind)
    facts: _Facts = ()
    if reader is not None:
        subject = part(part(event, "data"), "object")
        if not subject:
            raise Malformed(f"{kind} has no data.object")
        try:
            facts = reader(subject, kind, connection)
        except Malformed as error:
            raise Malformed(f"{kind}: {error}") from error
    return Message(
        id=required_text(event, "id"),
        type=kind,
        facts=facts,
        live=flag(event, "livemode"),
        sent_at=instant(event, "created"),
    )


def _addressed(fact: Fact, connection: str, ids: tuple[str, ...]) -> Addressed:
    return Addressed(fact, payments=tuple((connection, psp_id) for psp_id in ids))


def _payment_ids(source: Json) -> tuple[str, ...]:
    """The ids the payment may be known by: PaymentIntent first, then charge."""
    ids = (identifier(source, "payment_intent"), identifier(source, "charge"))
    return tuple(psp_id for psp_id in ids if psp_id)


def _refund(refund: Json, kind: str, connection: str) -> _Facts:
    return _refund_of(refund, _payment_ids(refund), connection)


def _refund_of(refund: Json, ids: tuple[str, ...], connection: str) -> _Facts:
    """One refund of a payment. None if it gave no money back, or if it belongs to no payment (a
    refund of a customer's cash balance)."""
    order = text(part(refund, "metadata"), "amends_order")
    state = refund_state(refund)
    if not moves_money(refund) or not (ids or order):
        return ()
    fact = RefundReported(connection, ids, state, order)
    return (_addressed(fact, connection, ids) if ids else Addressed(fact, order=order),)


def _charge(charge: Json, kind: str, connection: str) -> _Facts:
    """The charge as it stands, and before it the refunds it brings along (API versions before
    2022-11-15), which are how an endpoint of such a version hears of them."""
    if text(charge, "object") not in ("charge", ""):
        raise Malformed("data.object is not a charge")
    ids = tuple(i for i in (identifier(charge, "payment_intent"), text(charge, "id")) if i)
    if not ids or text(charge, "status") not in ("succeeded", ""):
        return ()
    state = charge_state(charge)
    refunds = parts(part(charge, "refunds"), "data") if state.captured else None
    within = [fact for refund in refunds or () for fact in _refund_of(refund, ids, connection)]
    report = PaymentReported(connection, ids, state, currency_of(charge))
    return (*within, _addressed(report, connection, ids))


def _intent(intent: Json, kind: str, connection: str) -> _Facts:
    if text(intent, "object") not in ("payment_intent", ""):
        raise Malformed("data.object is not a PaymentIntent")
    state = payment_state({**intent, "object": "payment_intent"})
    ids = (required_text(intent, "id"), identifier(intent, "latest_charge"))
    known = tuple(psp_id for psp_id in ids if psp_id)
    report = PaymentReported(connection, known, state, currency_of(intent))
    return (_addressed(report, connection, known),)


def _dispute(dispute: Json, kind: str, connection: str) -> _Facts:
    ids = _payment_ids(dispute)
    if not ids:
        raise Malformed("neither payment_intent nor charge is given")
    status = text(dispute, "status")
    fact = DisputeReported(
        connection=connection,
        psp_payment_ids=ids,
        dispute=required_text(dispute, "id"),
        amount=amount_of(dispute, "amount"),
        currency=currency_of(dispute),
        status=status,
        open=status not in _CLOSED,
        withdrawn=_withdrawn(dispute, kind),
        settled=_settled(dispute),
    )
    return (_addressed(fact, connection, ids),)


def _withdrawn(dispute: Json, kind: str) -> int:
    """What the provider holds of the disputed amount now, without its fee; -1 where it is not said.

    By the balance transactions, where there are any: their sum if they are in the currency of the
    dispute, else (the account settles in another) the whole amount while more withdrawals than
    returns are listed. Without them by what the event itself announces; inquiries take nothing.
    """
    moves = parts(dispute, "balance_transactions") or []
    if moves:
        return _net(dispute, moves)
    if text(dispute, "status").startswith("warning_") or kind.endswith(".funds_reinstated"):
        return 0
    return amount_of(dispute, "amount") if kind.endswith(".funds_withdrawn") else -1


def _settled(dispute: Json) -> Settled | None:
    """What it holds of the balance and costs, if its balance transactions are told."""
    moves = parts(dispute, "balance_transactions") or []
    return settled(required_text(dispute, "id"), moves) if moves else None


def _net(dispute: Json, moves: list[Json]) -> int:
    amounts = [whole(move, "amount") for move in moves]
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(moves):
        return -1
    if all(text(move, "currency") == text(dispute, "currency") for move in moves):
        return max(0, from_wire(-sum(known), currency_of(dispute)))
    taken = sum(1 for amount in known if amount < 0)
    returned = sum(1 for amount in known if amount > 0)
    return amount_of(dispute, "amount") if taken > returned else 0


def _fraud_warning(warning: Json, kind: str, connection: str) -> _Facts:
    ids = _payment_ids(warning)
    if not ids:
        raise Malformed("neither payment_intent nor charge is given")
    actionable = flag(warning, "actionable") is not False
    fact = FraudWarned(connection, ids, required_text(warning, "id"), actionable)
    return (_addressed(fact, connection, ids),)


_READERS: dict[str, Callable[[Json, str, str], _Facts]] = {
    **dict.fromkeys(
        ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"), _refund
    ),
    **dict.fromkeys(
        (
            "charge.succeeded",
            "charge.captured",
            "charge.updated",
            "charge.refunded",
            "charge.expired",
        ),
        _charge,
    ),
    **dict.fromkeys(
        (
            "payment_intent.succeeded",
            "payment_intent.canceled",
            "payment_intent.amount_capturable_updated",
        ),
        _intent,
    ),
    **dict.fromkeys(
        (
            "charge.dispute.created",
            "charge.dispute.updated",
            "charge.dispute.closed",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.funds_reinstated",
        ),
        _dispute,
    ),
    **dict.fromkeys(
        ("radar.early_fraud_warning.created", "radar.early_fraud_warning.updated"),
        _fraud_warning,
    ),
}
