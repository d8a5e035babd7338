"""What PayPal's webhooks say: events to facts.

Their signature covers a checksum of the body that anybody can make another body for, so nothing in
it that is money is believed: news of a payment only asks for a look-up of that payment, at PayPal.
Names by developer.paypal.com/api/rest/webhooks/event-names; a refund that fails later may have no
event of its own (PAYMENT.REFUND.* is not confirmed), so any event of a payment asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from amends.core.facts import Addressed, DisputeReported, PaymentToRead
from amends.gateways.codecs import (
    Json,
    Malformed,
    json_object,
    part,
    parts,
    required_text,
    text,
)
from amends.gateways.paypal_signatures import live_by
from amends.gateways.paypal_values import linked, moment, money, related
from amends.gateways.spec import Message, Settings, Unreadable

_Facts = tuple[Addressed, ...]

_KINDS = ("captures", "authorizations", "orders")
_RELATED = ("capture_id", "authorization_id", "order_id")

# How a dispute ended, for us. RESOLVED_WITH_PAYOUT: PayPal paid the buyer itself.
_ENDS = {
    "RESOLVED_SELLER_FAVOUR": "won",
    "RESOLVED_WITH_PAYOUT": "won",
    "DENIED": "won",
    "RESOLVED_BUYER_FAVOUR": "lost",
    "ACCEPTED": "lost",
}


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine event. Raises Unreadable, and nothing else."""
    try:
        return _message(json_object(raw), headers, settings.name)
    except Malformed as error:
        raise Unreadable(f"not a PayPal event as documented: {error}") from error


def _message(event: Json, headers: Mapping[str, str], connection: str) -> Message:
    kind = required_text(event, "event_type")
    reader = next((found for start, found in _READERS if kind.startswith(start)), None)
    facts: _Facts = ()
    if reader is not None:
        resource = part(event, "resource")
        if not resource:
            raise Malformed(f"{kind} has no resource")
        try:
            facts = reader(resource, text(event, "resource_type"), connection)
        except Malformed as error:
            raise Malformed(f"{kind}: {error}") from error
    return Message(
        id=required_text(event, "id"),
        type=kind,
        facts=facts,
        live=live_by(headers),
        sent_at=moment(event, "create_time"),
    )


def _payment(resource: Json, kind: str, connection: str) -> _Facts:
    """A capture, an authorization or a refund. A refund names its capture by a link only."""
    known = list(linked(resource))
    if kind in ("capture", "authorization"):
        known.append((f"{kind}s", required_text(resource, "id")))
    ids = [psp_id for wanted in _KINDS for found, psp_id in known if found == wanted]
    ids += [psp_id for key in _RELATED if (psp_id := text(related(resource), key))]
    if not ids:
        raise Malformed("no link leads to the payment")
    return (_look(connection, tuple(dict.fromkeys(ids))),)


def _look(connection: str, ids: tuple[str, ...]) -> Addressed:
    """That it be looked at: the one thing a body without a real signature may ask for."""
    return _addressed(PaymentToRead(connection, ids), connection, ids)


def _addressed(
    fact: PaymentToRead | DisputeReported, connection: str, ids: tuple[str, ...]
) -> Addressed:
    return Addressed(fact, payments=tuple((connection, psp_id) for psp_id in ids))


def _dispute(dispute: Json, kind: str, connection: str) -> _Facts:
    """A case is opened, moves or ends. What it took of the money is not said here: the look-up it
    asks for and the statement tell. The amount is what the buyer claims, for people to read."""
    name = required_text(dispute, "dispute_id")
    transactions = parts(dispute, "disputed_transactions") or []
    sold = [psp_id for t in transactions if (psp_id := text(t, "seller_transaction_id"))]
    if not sold:
        raise Malformed("disputed_transactions names no payment of ours")
    said = part(dispute, "dispute_amount")  # none where what was paid is no money
    amount, currency = money(dispute, "dispute_amount") if said else (0, "")
    status = required_text(dispute, "status")
    ended = status == "RESOLVED"
    outcome = text(part(dispute, "dispute_outcome"), "outcome_code")
    facts: list[Addressed] = []
    for psp_id in dict.fromkeys(sold):
        fact = DisputeReported(
            connection=connection,
            psp_payment_ids=(psp_id,),
            dispute=name,
            amount=amount,
            currency=currency,
            status=_ENDS.get(outcome, "closed") if ended else status,
            open=not ended,
        )
        facts += (_addressed(fact, connection, (psp_id,)), _look(connection, (psp_id,)))
    return tuple(facts)


_READERS: tuple[tuple[str, Callable[[Json, str, str], _Facts]], ...] = (
    ("PAYMENT.CAPTURE.", _payment),
    ("PAYMENT.AUTHORIZATION.", _payment),
    ("PAYMENT.REFUND.", _payment),
    ("CUSTOMER.DISPUTE.", _dispute),
)
