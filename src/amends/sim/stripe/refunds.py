"""Refunds: create, update, cancel, and everything that may happen to them afterwards."""

from typing import Any

import msgspec

from amends.sim.account import BY_OTHERS, Origin, Outcome
from amends.sim.stripe import connect, fraud
from amends.sim.stripe.books import Books
from amends.sim.stripe.currencies import check_multiple, display
from amends.sim.stripe.errors import bad_parameter, missing, refused
from amends.sim.stripe.objects import (
    BANK_DESTINATION,
    CARD_DESTINATION,
    Charge,
    Json,
    Payment,
    Refund,
)
from amends.sim.stripe.params import Reader, merge_metadata

REASONS = frozenset(("duplicate", "fraudulent", "requested_by_customer"))
FAILURE_REASONS = frozenset(
    (
        "charge_for_pending_refund_disputed",
        "declined",
        "expired_or_canceled_card",
        "insufficient_funds",
        "lost_or_stolen_card",
        "merchant_request",
        "unknown",
    )
)
NEXT_STATUSES: dict[str, frozenset[str]] = {
    "pending": frozenset(("succeeded", "failed", "requires_action")),
    "requires_action": frozenset(("pending", "succeeded", "failed", "canceled")),
    # A bank may still return the money after the refund succeeded.
    "succeeded": frozenset(("failed", "requires_action")),
    "failed": frozenset(),
    "canceled": frozenset(),
}
GIVEN_BACK = ("failed", "canceled")
ACTION_DAYS_S = 45 * 86_400


def find(books: Books, refund_id: str) -> Refund:
    """Raises Refusal."""
    refund = books.refunds.get(refund_id)
    if refund is None:
        raise missing("refund", refund_id, "id")
    return refund


def create(books: Books, reader: Reader, origin: Origin) -> Refund:
    """`POST /v1/refunds`."""
    intent_id, charge_id = reader.text("payment_intent"), reader.text("charge")
    if intent_id is not None and charge_id is not None:
        raise bad_parameter("Give only one of payment_intent and charge.", "payment_intent")
    if intent_id is None and charge_id is None:
        message = "One of the following params should be provided: payment_intent or charge."
        raise bad_parameter(message, "payment_intent", "parameter_missing")
    amount = reader.positive("amount")
    reason = reader.choice("reason", REASONS)
    metadata = merge_metadata({}, reader.metadata())
    transfer = reader.boolean("reverse_transfer", False)
    take = connect.Take(transfer, reader.boolean("refund_application_fee", False))
    payment = _payment(books, intent_id, charge_id)
    if amount is not None:
        check_multiple(amount, payment.intent.currency, "amount")
    check_refundable(payment, amount, strict=books.settings.refuse_over_refund)
    email = reader.text("instructions_email")
    wish = Wish(amount or payment.refundable, reason, metadata, email, take)
    connect.check(books, payment, take)
    return make(books, payment, wish, origin)


def _payment(books: Books, intent_id: str | None, charge_id: str | None) -> Payment:
    if intent_id is not None:
        payment = books.by_intent.get(intent_id)
        if payment is None:
            raise missing("payment_intent", intent_id, "payment_intent")
        return payment
    payment = books.by_charge.get(charge_id or "")
    if payment is None:
        raise missing("charge", charge_id or "", "charge")
    return payment


def check_refundable(payment: Payment, amount: int | None, *, strict: bool = True) -> None:
    """Raises Refusal when this amount (None: all that is left) cannot be refunded now. Not
    `strict`: more than is left can."""
    charge = payment.charge
    if charge is None or payment.intent.status != "succeeded":
        message = (
            f"This PaymentIntent ({payment.intent.id}) does not have a successful charge to "
            f"refund: its status is {payment.intent.status}."
        )
        raise refused(message, "charge_not_refundable", "payment_intent")
    if any(_blocks(dispute.status) for dispute in payment.disputes):
        message = f"Charge {charge.id} has been charged back; cannot issue a refund."
        raise refused(message, "charge_disputed")
    if not strict and amount is not None:
        return
    if payment.refundable == 0:
        message = f"Charge {charge.id} has already been refunded."
        raise refused(message, "charge_already_refunded")
    if amount is not None and amount > payment.refundable:
        asked, left = (display(a, charge.currency) for a in (amount, payment.refundable))
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})"
        raise refused(message, None, "amount")


def _blocks(dispute_status: str) -> bool:
    # An inquiry may still be answered with a refund, and a won dispute leaves the money here.
    return not dispute_status.startswith("warning_") and dispute_status not in ("won", "prevented")


class Wish(msgspec.Struct, frozen=True):
    """What is to be refunded, minor units of the payment's currency, with what stands beside it."""

    amount: int
    reason: str | None = None
    metadata: dict[str, str] = {}
    instructions_email: str | None = None
    take: connect.Take = connect.Take()


def make(books: Books, payment: Payment, wish: Wish, origin: Origin) -> Refund:
    """Make a refund that was found possible; its outcome is what the control API asked for.

    Raises Refusal when the balance is short and set to refuse.
    """
    short = books.balance.get(payment.intent.currency, wish.amount) < wish.amount
    if short and books.refuse_when_short:
        message = "Insufficient funds in your Stripe balance to refund this amount."
        raise refused(message, "balance_insufficient")
    charge = payment.charged
    outcome = books.take_outcome(payment.intent.id)
    card = charge.payment_method_details["type"] == "card" and outcome.status != "requires_action"
    refund = _draw_up(books, charge, wish, card=card)
    books.refunds.add(refund)
    payment.refunds.append(refund)
    payment.refunded += wish.amount
    payment.show_refunded()
    books.move("refund", payment, refund.id, wish.amount, "pending", origin)
    connect.take_back(books, payment, refund, wish.take)
    _begin(books, refund, outcome, short=short, card=card)
    announce(books, payment, refund, origin)
    return refund


def _draw_up(books: Books, charge: Charge, wish: Wish, *, card: bool) -> Refund:
    email = wish.instructions_email
    return Refund(
        id=books.new_id("re" if card else "pyr"),
        amount=wish.amount,
        charge=charge.id,
        created=books.now(),
        currency=charge.currency,
        customer=charge.customer,
        destination_details=CARD_DESTINATION if card else BANK_DESTINATION,
        instructions_email=msgspec.UNSET if email is None else email,
        metadata=wish.metadata,
        payment_intent=charge.payment_intent,
        payment_method=charge.payment_method,
        reason=wish.reason,
        status="pending",
    )


def _begin(books: Books, refund: Refund, outcome: Outcome, *, short: bool, card: bool) -> None:
    """Give a new refund its first status. A short balance holds card refunds and fails others."""
    if short and card:
        refund.pending_reason = "insufficient_funds"
        books.held.setdefault(refund.currency, []).append(refund)
        return
    if not short:
        _debit(books, refund)
    status = "failed" if short else outcome.status
    reason = "insufficient_funds" if short else outcome.failure_reason
    _enter(books, refund, status, reason)
    books.movement_of[refund.id].status = refund.status
    if outcome.then is not None and not short:
        then, failure = outcome.then, outcome.failure_reason
        books.later(outcome.after_s, lambda: _become(books, refund, then, failure))


def _become(books: Books, refund: Refund, status: str, failure_reason: str) -> None:
    # Somebody may have settled or canceled it first; then the schedule is void.
    if status in NEXT_STATUSES[refund.status]:
        turn(books, refund, status, BY_OTHERS, failure_reason)


def _debit(books: Books, refund: Refund) -> None:
    kind = "refund" if refund.id.startswith("re_") else "payment_refund"
    line = books.transact(kind, "refund", -refund.amount, refund.currency, refund.id)
    refund.balance_transaction = line.id
    books.took_off(refund.id, -line.amount, line.currency, line.fee)


def _enter(books: Books, refund: Refund, status: str, failure_reason: str) -> None:
    """Put a refund into a status with the fields that belong to it."""
    refund.status = status
    refund.pending_reason = msgspec.UNSET
    refund.next_action = msgspec.UNSET
    if status == "pending":
        refund.pending_reason = "processing"
    elif status == "requires_action":
        refund.next_action = _next_action(books, refund)
    elif status in GIVEN_BACK:
        refund.failure_reason = "merchant_request" if status == "canceled" else failure_reason
        _give_back(books, refund)


def _next_action(books: Books, refund: Refund) -> Json:
    email = refund.instructions_email
    to = None if email is msgspec.UNSET else email
    sent = {"email_sent_at": books.now(), "email_sent_to": to or "customer@example.test"}
    details = {"email_sent": sent, "expires_at": books.now() + ACTION_DAYS_S}
    return {"type": "display_details", "display_details": details}


def _give_back(books: Books, refund: Refund) -> None:
    """The money is the merchant's again and the charge can be refunded once more."""
    payment = books.by_charge[refund.charge]
    payment.refunded -= refund.amount
    payment.show_refunded()
    if refund.balance_transaction is None:
        books.held[refund.currency] = [
            held for held in books.held.get(refund.currency, []) if held is not refund
        ]
        return
    kind = "refund_failure" if refund.id.startswith("re_") else "payment_failure_refund"
    before = books.transactions.get(refund.balance_transaction)
    line = books.transact(
        kind, "refund_failure", refund.amount, refund.currency, refund.id, undoes=before
    )
    refund.failure_balance_transaction = line.id


def announce(books: Books, payment: Payment, refund: Refund, origin: Origin) -> None:
    """The events of a new refund. `charge.refunded` carries the charge, the others the refund."""
    charge = payment.charged
    books.emit("refund.created", refund, origin)
    if refund.status == "failed":
        books.emit("refund.failed", refund, origin)
        return
    previous: Json = {"amount_refunded": charge.amount_refunded - refund.amount}
    if charge.refunded:
        previous["refunded"] = False
    books.emit("charge.refunded", charge, origin, previous)
    fraud.settle_after_refund(books, payment, origin)


def turn(
    books: Books, refund: Refund, status: str, origin: Origin, failure_reason: str = "unknown"
) -> None:
    """Move a refund to its next status and say so. Raises Refusal when it cannot go there."""
    if status not in NEXT_STATUSES[refund.status]:
        raise refused(f"Refund {refund.id} is {refund.status} and cannot become {status}.")
    before = _changing(refund)
    if refund.balance_transaction is None and status not in GIVEN_BACK:
        _release_held(books, refund)
    _enter(books, refund, status, failure_reason)
    books.movement_of[refund.id].status = status
    after = _changing(refund)
    previous = {name: value for name, value in before.items() if after[name] != value}
    if status == "failed":
        books.emit("refund.failed", refund, origin, previous)
    books.emit("refund.updated", refund, origin, previous)
    books.emit("charge.refund.updated", refund, origin, previous)
    if status in GIVEN_BACK:
        fund_held(books, refund.currency)


def _changing(refund: Refund) -> dict[str, Any]:
    values = {
        "status": refund.status,
        "balance_transaction": refund.balance_transaction,
        "failure_balance_transaction": refund.failure_balance_transaction,
        "failure_reason": refund.failure_reason,
        "pending_reason": refund.pending_reason,
    }
    return {name: None if value is msgspec.UNSET else value for name, value in values.items()}


def _release_held(books: Books, refund: Refund) -> None:
    held = books.held.get(refund.currency, [])
    books.held[refund.currency] = [other for other in held if other is not refund]
    _debit(books, refund)


def fund_held(books: Books, currency: str) -> int:
    """Let refunds that waited for money succeed, oldest first; gives how many did."""
    funded = 0
    while held := books.held.get(currency, []):
        if books.balance.get(currency, held[0].amount) < held[0].amount:
            break
        turn(books, held[0], "succeeded", BY_OTHERS)
        funded += 1
    return funded


def update(books: Books, refund: Refund, reader: Reader, origin: Origin) -> Refund:
    """`POST /v1/refunds/{id}`: metadata only."""
    kept = {} if reader.clears_metadata() else refund.metadata
    previous = {"metadata": dict(refund.metadata)}
    refund.metadata = merge_metadata(kept, reader.metadata())
    if refund.metadata != previous["metadata"]:
        books.emit("refund.updated", refund, origin, previous)
        books.emit("charge.refund.updated", refund, origin, previous)
    return refund


def cancel(books: Books, refund: Refund, reader: Reader, origin: Origin) -> Refund:
    """`POST /v1/refunds/{id}/cancel`: only while the customer still has to act."""
    if refund.status != "requires_action":
        raise refused(
            f"Refund {refund.id} cannot be canceled because its status is {refund.status}; "
            "only refunds with the status requires_action can.",
        )
    turn(books, refund, "canceled", origin)
    return refund
