"""What the control API can do to a Stripe account.

The commands are described in `amends.sim.serve`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from amends.sim.account import BY_OTHERS, Outcome
from amends.sim.faults import FaultBook
from amends.sim.settlement import Settlement
from amends.sim.steering import (
    GENERAL,
    Answer,
    Commands,
    MakePayments,
    OnPayment,
    change,
    check_payment_id,
    run,
    several,
)
from amends.sim.stripe import disputes, fraud, payments, refunds
from amends.sim.stripe.books import Books
from amends.sim.stripe.currencies import check_currency, check_multiple
from amends.sim.stripe.objects import Dispute, Payment, PaymentIntent
from amends.sim.stripe.params import Reader
from amends.sim.wire import CommandRefused


class MakePayment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`payment`. `captured` is a partial capture of a manual payment. `destination`: the connected
    account that it is transferred to, or `transfer` of it; `application_fee` comes back of it."""

    id: str
    amount: int
    currency: str = "eur"
    capture: Literal["automatic", "manual"] = "automatic"
    captured: int | None = None
    charge: str | None = None
    method: str = "card"
    multicapture: bool = False
    customer: str | None = None
    metadata: dict[str, str] = {}
    announce: bool = False
    destination: str = ""
    transfer: int = 0
    application_fee: int = 0


class RefundOutcome(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`refund_outcome`."""

    status: Literal["succeeded", "pending", "requires_action", "failed"] = "succeeded"
    then: Literal["succeeded", "pending", "requires_action", "failed", "canceled"] | None = None
    after_s: float = 0.0
    failure_reason: str = "unknown"
    payment: str | None = None
    count: int | None = None


class FailRefund(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fail_refund`."""

    refund: str
    failure_reason: str = "unknown"


class SettleRefund(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settle_refund` (one) and `settle_refunds` (every pending one)."""

    refund: str | None = None
    status: Literal["succeeded", "pending", "requires_action", "failed", "canceled"] = "succeeded"
    failure_reason: str = "unknown"


class OpenDispute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`open_dispute`. `amount` may exceed the payment."""

    payment: str
    amount: int | None = None
    reason: str = "fraudulent"
    status: str = "needs_response"


class CloseDispute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`close_dispute`: the named one, or the last one of the payment."""

    dispute: str | None = None
    payment: str | None = None
    status: Literal["won", "lost", "warning_closed", "prevented"]


class FraudWarning(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fraud_warning`."""

    payment: str
    fraud_type: str = "made_with_stolen_card"


class SetBalance(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`balance` sets what is available, `fund` adds to it."""

    currency: str
    amount: int
    refuse: bool = False


class ConnectedAccount(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`connected_account`: whether transfers to it can be reversed."""

    account: str
    reversible: bool = True


def _settle(books: Books, wish: Settlement) -> Answer:
    books.settlement = wish
    return {}


class ChangeSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settings`; ages and delays in seconds."""

    key_age_s: float | None = None
    authorization_age_s: float | None = None
    list_delay_s: float | None = None
    refuse_over_refund: bool | None = None


def _payment(books: Books, payment_id: str) -> Payment:
    payment = books.by_intent.get(payment_id) or books.by_charge.get(payment_id)
    if payment is None:
        raise CommandRefused(f"There is no payment {payment_id}.")
    return payment


def _make_payment(books: Books, wish: MakePayment) -> Answer:
    currency = check_currency(wish.currency)
    _check_payment(books, wish, currency)
    intent = PaymentIntent(
        id=wish.id,
        amount=wish.amount,
        capture_method=wish.capture,
        client_secret=f"{wish.id}_secret_sandbox",
        created=books.now(),
        currency=currency,
        customer=wish.customer,
        metadata=dict(wish.metadata),
        payment_method="pm_card_visa" if wish.method == "card" else None,
        payment_method_types=[wish.method],
        status="requires_confirmation",
    )
    payment = payments.open_payment(books, intent)
    payment.multicapture = wish.multicapture
    payment.destination, payment.transfer = wish.destination, wish.transfer
    charge = payments.authorize(books, payment, _charge_id(wish), wish.method)
    charge.application_fee_amount = wish.application_fee or None
    taken = wish.amount if wish.capture == "automatic" else wish.captured
    if taken is not None:
        payments.settle_capture(books, payment, taken)
    if wish.announce:
        books.emit("charge.succeeded", charge, BY_OTHERS)
        name = "amount_capturable_updated" if taken is None else "succeeded"
        books.emit(f"payment_intent.{name}", intent, BY_OTHERS)
    return {"payment": wish.id, "charge": charge.id, "status": intent.status}


def _charge_id(wish: MakePayment) -> str:
    return wish.charge or "ch_" + wish.id.removeprefix("pi_")


def _check_payment(books: Books, wish: MakePayment, currency: str) -> None:
    check_payment_id(wish.id)
    if wish.id in books.by_intent or _charge_id(wish) in books.by_charge:
        raise CommandRefused(f"There is a payment {wish.id} (or its charge) already.")
    if wish.amount < 1:
        raise CommandRefused(f"The amount of {wish.id} must be at least 1.")
    check_multiple(wish.amount, currency, "amount")
    most = wish.transfer or wish.amount
    split = wish.transfer or wish.application_fee
    if (split and not wish.destination) or not 0 <= wish.application_fee <= most <= wish.amount:
        raise CommandRefused(
            "`transfer` and `application_fee` go with `destination` and are of the amount."
        )
    if wish.captured is not None and (
        wish.capture != "manual" or not 1 <= wish.captured <= wish.amount
    ):
        raise CommandRefused("`captured` goes with capture=manual and is between 1 and the amount.")


def _make_payments(books: Books, wish: MakePayments) -> Answer:
    wanted = several(wish, MakePayment)
    for item in wanted:
        _make_payment(books, item)
    return {"made": len(wanted)}


def _refund_outcome(books: Books, wish: RefundOutcome) -> Answer:
    if wish.failure_reason not in refunds.FAILURE_REASONS:
        raise CommandRefused(f"Stripe has no failure reason {wish.failure_reason!r}.")
    if wish.then is not None and wish.then not in refunds.NEXT_STATUSES[wish.status]:
        raise CommandRefused(f"A {wish.status} refund cannot become {wish.then}.")
    if wish.count is not None and wish.count < 1:
        raise CommandRefused("`count` must be at least 1.")
    outcome = Outcome(
        status=wish.status,
        then=wish.then,
        after_s=wish.after_s,
        failure_reason=wish.failure_reason,
        payment=wish.payment,
    )
    books.expect(outcome, wish.count)
    return {}


def _fail_refund(books: Books, wish: FailRefund) -> Answer:
    if wish.failure_reason not in refunds.FAILURE_REASONS:
        raise CommandRefused(f"Stripe has no failure reason {wish.failure_reason!r}.")
    refund = refunds.find(books, wish.refund)
    refunds.turn(books, refund, "failed", BY_OTHERS, wish.failure_reason)
    return {"refund": refund.id, "status": refund.status}


def _settle_refund(books: Books, wish: SettleRefund) -> Answer:
    if wish.refund is None:
        raise CommandRefused("`settle_refund` needs `refund`; `settle_refunds` settles all.")
    refund = refunds.find(books, wish.refund)
    refunds.turn(books, refund, wish.status, BY_OTHERS, wish.failure_reason)
    return {"refund": refund.id, "status": refund.status}


def _settle_refunds(books: Books, wish: SettleRefund) -> Answer:
    waiting = [refund for refund in books.refunds.items if refund.status == "pending"]
    for refund in waiting:
        refunds.turn(books, refund, wish.status, BY_OTHERS, wish.failure_reason)
    return {"settled": len(waiting)}


def _dashboard_refund(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    if wish.amount is not None and wish.amount < 1:
        raise CommandRefused("`amount` must be at least 1.")
    refunds.check_refundable(payment, wish.amount)
    amount = payment.refundable if wish.amount is None else wish.amount
    refund = refunds.make(books, payment, refunds.Wish(amount), BY_OTHERS)
    return {"refund": refund.id, "status": refund.status}


def _dashboard_capture(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    params = {} if wish.amount is None else {"amount_to_capture": str(wish.amount)}
    reader = Reader({**params}, frozenset(("amount_to_capture",)))
    payments.capture(books, payment, reader, BY_OTHERS)
    return {"payment": payment.intent.id, "status": payment.intent.status}


def _dashboard_cancel(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    payments.cancel(books, payment, Reader({}, frozenset()), BY_OTHERS)
    return {"payment": payment.intent.id, "status": payment.intent.status}


def _expire(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    if payment.intent.status != "requires_capture":
        raise CommandRefused(f"{wish.payment} is {payment.intent.status}, so nothing expires.")
    payments.expire(books, payment)
    return {"payment": payment.intent.id, "status": payment.intent.status}


def _open_dispute(books: Books, wish: OpenDispute) -> Answer:
    payment = _payment(books, wish.payment)
    if payment.charge is None or not payment.charge.captured:
        raise CommandRefused(f"{wish.payment} is not captured, so it cannot be disputed.")
    if wish.reason not in disputes.REASONS:
        raise CommandRefused(f"Stripe has no dispute reason {wish.reason!r}.")
    if wish.status not in disputes.OPEN_STATUSES:
        raise CommandRefused(f"A dispute opens as one of {sorted(disputes.OPEN_STATUSES)}.")
    amount = payment.charge.amount_captured if wish.amount is None else wish.amount
    if amount < 1:
        raise CommandRefused("`amount` must be at least 1.")
    dispute = disputes.start(books, payment, amount, wish.reason, wish.status)
    return {"dispute": dispute.id, "status": dispute.status}


def _close_dispute(books: Books, wish: CloseDispute) -> Answer:
    if wish.dispute is not None:
        dispute = disputes.find(books, wish.dispute)
    elif wish.payment is not None and _payment(books, wish.payment).disputes:
        dispute = _payment(books, wish.payment).disputes[-1]
    else:
        raise CommandRefused("Name a `dispute`, or a `payment` that has one.")
    disputes.finish(books, dispute, wish.status, BY_OTHERS)
    return {"dispute": dispute.id, "status": dispute.status}


def _fraud_warning(books: Books, wish: FraudWarning) -> Answer:
    payment = _payment(books, wish.payment)
    if payment.charge is None:
        raise CommandRefused(f"{wish.payment} has no charge to warn about.")
    return {"warning": fraud.warn(books, payment, wish.fraud_type).id}


def _balance(books: Books, wish: SetBalance) -> Answer:
    currency = check_currency(wish.currency)
    books.balance[currency] = wish.amount
    books.refuse_when_short = wish.refuse
    refunds.fund_held(books, currency)
    return {"available": books.balance[currency]}


def _fund(books: Books, wish: SetBalance) -> Answer:
    currency = check_currency(wish.currency)
    if currency not in books.balance:
        raise CommandRefused(f"The balance in {currency} is not followed; set it with `balance`.")
    books.balance[currency] += wish.amount
    funded = refunds.fund_held(books, currency)
    return {"available": books.balance[currency], "released": funded}


def _connected_account(books: Books, wish: ConnectedAccount) -> Answer:
    if wish.reversible:
        books.empty_accounts.discard(wish.account)
    else:
        books.empty_accounts.add(wish.account)
    return {}


def _settings(books: Books, wish: ChangeSettings) -> Answer:
    return change(books.settings, wish)


COMMANDS: Commands = {
    **GENERAL,
    "payment": (MakePayment, _make_payment),
    "payments": (MakePayments, _make_payments),
    "refund_outcome": (RefundOutcome, _refund_outcome),
    "fail_refund": (FailRefund, _fail_refund),
    "settle_refund": (SettleRefund, _settle_refund),
    "settle_refunds": (SettleRefund, _settle_refunds),
    "dashboard_refund": (OnPayment, _dashboard_refund),
    "dashboard_capture": (OnPayment, _dashboard_capture),
    "dashboard_cancel": (OnPayment, _dashboard_cancel),
    "expire": (OnPayment, _expire),
    "open_dispute": (OpenDispute, _open_dispute),
    "close_dispute": (CloseDispute, _close_dispute),
    "fraud_warning": (FraudWarning, _fraud_warning),
    "balance": (SetBalance, _balance),
    "fund": (SetBalance, _fund),
    "connected_account": (ConnectedAccount, _connected_account),
    "settings": (ChangeSettings, _settings),
    "settle": (Settlement, _settle),
}


def control(books: Books, faults: FaultBook, command: Mapping[str, Any]) -> Answer:
    """Run one command, `{"op": name, …}`. Raises CommandRefused with one sentence."""
    return run(COMMANDS, books, faults, command)


def payment_rows(books: Books) -> list[dict[str, Any]]:
    """Every payment with its amounts in minor units, oldest first."""
    return [_payment_row(payment) for payment in books.by_intent.values()]


def _payment_row(payment: Payment) -> dict[str, Any]:
    intent, charge = payment.intent, payment.charge
    open_disputes = (d for d in payment.disputes if d.status not in ("won", "prevented"))
    return {
        "gateway": "stripe",
        "psp_payment_id": intent.id,
        "charge": None if charge is None else charge.id,
        "currency": intent.currency,
        "status": intent.status,
        "authorized": intent.amount,
        "captured": 0 if charge is None else charge.amount_captured,
        "capturable": intent.amount_capturable,
        "refunded": payment.refunded,
        "disputed": sum(d.amount for d in open_disputes if d.balance_transactions),
        **_split_row(payment),
    }


def _split_row(payment: Payment) -> Answer:
    """What went to a connected account and came back of it, where there is one."""
    if not payment.destination:
        return {}
    return {
        "destination": payment.destination,
        "transferred": payment.transfer,
        "reversed": payment.reversed,
        "fee_refunded": payment.fee_refunded,
    }


def dispute_rows(books: Books) -> list[dict[str, Any]]:
    """Every dispute, oldest first."""
    return [_dispute_row(dispute) for dispute in books.disputes.items]


def _dispute_row(dispute: Dispute) -> dict[str, Any]:
    """How it stands, and what its lines on the balance have taken so far: the first takes what is
    disputed, the second gives it back."""
    lines = dispute.balance_transactions
    return {
        "gateway": "stripe",
        "id": dispute.id,
        "psp_payment_id": dispute.payment_intent,
        "status": dispute.status,
        "withdrawn": dispute.amount if len(lines) == 1 else 0,
        "settled": -sum(line.amount for line in lines),
        "settled_currency": lines[0].currency.upper() if lines else "",
        "settled_fee": sum(line.fee for line in lines),
    }


def warning_rows(books: Books) -> list[dict[str, Any]]:
    """Every early fraud warning, oldest first."""
    return [
        {"gateway": "stripe", "id": item.id, "psp_payment_id": item.payment_intent}
        for item in books.warnings.items
    ]
