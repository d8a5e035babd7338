"""Disputes: inquiries and chargebacks, opened by the control API, closed by it or accepted."""

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.stripe import fraud, refunds
from amends.sim.stripe.books import Books
from amends.sim.stripe.errors import bad_parameter, missing, refused
from amends.sim.stripe.objects import EVIDENCE_FIELDS, Dispute, Json, Payment
from amends.sim.stripe.params import Reader, merge_metadata

REASONS = frozenset(
    "bank_cannot_process check_returned credit_not_processed customer_initiated "
    "debit_not_authorized duplicate fraudulent general incorrect_account_details "
    "insufficient_funds noncompliant product_not_received product_unacceptable "
    "subscription_canceled unrecognized".split()
)
OPEN_STATUSES = frozenset(("needs_response", "warning_needs_response"))
FINAL_STATUSES = frozenset(("won", "lost", "warning_closed", "prevented"))
DISPUTE_FEE = 1500
RESPONSE_DAYS_S = 14 * 86_400


def find(books: Books, dispute_id: str) -> Dispute:
    """Raises Refusal."""
    dispute = books.disputes.get(dispute_id)
    if dispute is None:
        raise missing("dispute", dispute_id, "dispute")
    return dispute


def start(books: Books, payment: Payment, amount: int, reason: str, status: str) -> Dispute:
    """The customer's bank disputes a charge; a chargeback takes the money at once."""
    charge = payment.charged
    inquiry = status.startswith("warning_")
    case_type = "inquiry" if inquiry else "chargeback"
    card = {"brand": "visa", "case_type": case_type, "network": "visa"}
    dispute = Dispute(
        id=books.new_id("dp"),
        amount=amount,
        balance_transactions=[],
        charge=charge.id,
        created=books.now(),
        currency=charge.currency,
        evidence=dict.fromkeys(EVIDENCE_FIELDS) | {"enhanced_evidence": {}},
        evidence_details=_evidence_details(books),
        is_charge_refundable=inquiry and payment.refundable > 0,
        network_reason_code="10.4",
        payment_intent=payment.intent.id,
        payment_method_details={"card": card, "type": "card"},
        reason=reason,
        status=status,
    )
    books.disputes.add(dispute)
    payment.disputes.append(dispute)
    charge.disputed = True
    books.emit("charge.dispute.created", dispute, BY_OTHERS)
    if not inquiry:
        _withdraw(books, payment, dispute)
    fraud.settle(books, payment, BY_OTHERS)
    return dispute


def _evidence_details(books: Books) -> Json:
    return {
        "due_by": books.now() + RESPONSE_DAYS_S,
        "enhanced_eligibility": {},
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
        "submission_method": "not_submitted",
    }


def _withdraw(books: Books, payment: Payment, dispute: Dispute) -> None:
    line = books.transact(
        "adjustment", "dispute", -dispute.amount, dispute.currency, dispute.id, fee=DISPUTE_FEE
    )
    dispute.balance_transactions.append(line)
    books.emit("charge.dispute.funds_withdrawn", dispute, BY_OTHERS)
    for refund in payment.refunds:
        # The bank takes the money back itself, so a refund still on its way is stopped.
        if refund.status in ("pending", "requires_action"):
            refunds.turn(books, refund, "failed", BY_OTHERS, "charge_for_pending_refund_disputed")


def finish(books: Books, dispute: Dispute, status: str, origin: Origin) -> Dispute:
    """Close a dispute; a won one gives the money back. Raises Refusal when it is closed already."""
    if dispute.status in FINAL_STATUSES:
        raise refused(f"Dispute {dispute.id} is already closed: {dispute.status}.")
    if dispute.status.startswith("warning_") != (status == "warning_closed"):
        raise refused(f"Dispute {dispute.id} is {dispute.status} and cannot become {status}.")
    previous = {"status": dispute.status}
    dispute.status = status
    dispute.is_charge_refundable = False
    books.emit("charge.dispute.closed", dispute, origin, previous)
    if status in ("won", "prevented"):
        line = books.transact(
            "adjustment", "dispute_reversal", dispute.amount, dispute.currency, dispute.id
        )
        dispute.balance_transactions.append(line)
        books.emit("charge.dispute.funds_reinstated", dispute, origin)
        refunds.fund_held(books, dispute.currency)
    return dispute


def accept(books: Books, dispute: Dispute, reader: Reader, origin: Origin) -> Dispute:
    """`POST /v1/disputes/{id}/close`: the merchant gives in; it cannot be undone."""
    inquiry = dispute.status.startswith("warning_")
    return finish(books, dispute, "warning_closed" if inquiry else "lost", origin)


def update(books: Books, dispute: Dispute, reader: Reader, origin: Origin) -> Dispute:
    """`POST /v1/disputes/{id}`: evidence, sent to the bank at once unless `submit=false`."""
    evidence = reader.nested("evidence")
    submit = reader.boolean("submit", True)
    metadata = merge_metadata(dispute.metadata, reader.metadata())
    for name, value in evidence.items():
        if name not in dispute.evidence:
            message = f"Received unknown parameter: evidence[{name}]"
            raise bad_parameter(message, f"evidence[{name}]", "parameter_unknown")
        if isinstance(value, str) and len(value) > 20_000:
            raise bad_parameter("Evidence texts may have 20000 characters.", f"evidence[{name}]")
    if dispute.status in FINAL_STATUSES:
        raise refused(f"Dispute {dispute.id} is already closed: {dispute.status}.")
    previous = {"status": dispute.status}
    dispute.metadata = metadata
    dispute.evidence = dispute.evidence | evidence
    if evidence:
        _note_evidence(dispute, submit=submit)
    books.emit("charge.dispute.updated", dispute, origin, previous)
    return dispute


def _note_evidence(dispute: Dispute, *, submit: bool) -> None:
    details = dispute.evidence_details | {"has_evidence": True}
    if submit:
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        inquiry = dispute.status.startswith("warning_")
        dispute.status = "warning_under_review" if inquiry else "under_review"
    dispute.evidence_details = details
