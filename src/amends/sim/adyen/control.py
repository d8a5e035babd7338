"""What the control API can do to an Adyen account.

The commands are described in `amends.sim.serve`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from amends.sim.account import BY_OTHERS, Outcome
from amends.sim.adyen import disputes, outcomes, payments
from amends.sim.adyen.books import Books
from amends.sim.adyen.objects import CURRENCIES, Dispute, Kind, Modification, Payment
from amends.sim.faults import FaultBook
from amends.sim.outbox import WebhookTarget
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
from amends.sim.wire import CommandRefused


class MakePayment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`payment`. `captured` is a partial capture of a manual payment."""

    id: str
    amount: int
    currency: str = "EUR"
    capture: Literal["automatic", "manual"] = "automatic"
    captured: int | None = None
    method: str = "visa"
    multicapture: bool = False
    reference: str | None = None
    announce: bool = False


class RefundOutcome(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`refund_outcome`."""

    status: Literal["succeeded", "pending", "failed"] = "succeeded"
    then: Literal["succeeded", "failed", "reversed"] | None = None
    after_s: float = 0.0
    failure_reason: str = "Refused by the scheme"
    payment: str | None = None
    count: int | None = None


class FailRefund(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fail_refund`. `reversed`: the money came back by itself."""

    refund: str
    failure_reason: str = "Refund failed at the scheme"
    reversed: bool = False


class SettleRefund(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settle_refund` (one) and `settle_refunds` (every one without a word yet)."""

    refund: str | None = None
    status: Literal["succeeded", "failed"] = "succeeded"
    failure_reason: str = "Refused by the scheme"


class FailCapture(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fail_capture`: the named one, or the last one of the payment. `again`: what it took can be
    captured again."""

    payment: str
    capture: str | None = None
    failure_reason: str = "Capture failed at the scheme"
    again: bool = False


class OpenDispute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`open_dispute`. `amount` may exceed the payment."""

    payment: str
    amount: int | None = None
    reason: str = "10.4"
    status: disputes.Opening = "chargeback"


class OnDispute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`charge_back`: the named one, or the last one of the payment."""

    dispute: str | None = None
    payment: str | None = None


class CloseDispute(OnDispute, kw_only=True, forbid_unknown_fields=True):
    """`close_dispute`."""

    status: disputes.Ending


class FraudWarning(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fraud_warning`."""

    payment: str
    fraud_type: str = "6"


class ChangeSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settings`; ages and delays in seconds."""

    key_age_s: float | None = None
    authorization_age_s: float | None = None
    outcome_delay_s: float | None = None
    postpone_refunds: bool | None = None
    key_in_use_status: Literal[409, 422] | None = None
    key_in_use_transient: bool | None = None
    refuse_over_refund: bool | None = None


def _payment(books: Books, name: str) -> Payment:
    payment = books.by_reference.get(name)
    if payment is None:
        raise CommandRefused(f"There is no payment {name}.")
    return payment


def _refund(books: Books, name: str) -> Modification:
    found = books.modifications.get(name)
    if found is None or name not in books.movement_of or found.kind not in ("refund", "reversal"):
        raise CommandRefused(f"There is no refund {name}.")
    return found


def _make_payment(books: Books, wish: MakePayment) -> Answer:
    _check_payment(books, wish)
    payment = Payment(
        psp_reference=wish.id,
        reference=wish.reference or f"order-{wish.id}",
        amount=wish.amount,
        currency=wish.currency.upper(),
        method=wish.method,
        multicapture=wish.multicapture,
        open=wish.amount,
    )
    taken = wish.amount if wish.capture == "automatic" else wish.captured
    payments.enter(books, payment, taken, BY_OTHERS, announce=wish.announce)
    return {"payment": wish.id, "status": payment.status}


def _check_payment(books: Books, wish: MakePayment) -> None:
    check_payment_id(wish.id)
    if wish.id in books.by_reference:
        raise CommandRefused(f"There is a payment {wish.id} already.")
    if wish.currency.upper() not in CURRENCIES:
        raise CommandRefused(f"Adyen does not take {wish.currency!r}.")
    if wish.amount < 1:
        raise CommandRefused(f"The amount of {wish.id} must be at least 1.")
    if wish.captured is not None and (
        wish.capture != "manual" or not 1 <= wish.captured <= wish.amount
    ):
        raise CommandRefused("`captured` goes with capture=manual and is between 1 and the amount.")


def _make_payments(books: Books, wish: MakePayments) -> Answer:
    wanted = several(wish, MakePayment)
    for item in wanted:
        _make_payment(books, item)
    return {"made": len(wanted)}


def _add_webhook(books: Books, target: WebhookTarget) -> Answer:
    try:
        key = bytes.fromhex(target.secret)
    except ValueError:
        key = b""
    if not key:
        raise CommandRefused("The secret of an Adyen webhook is an HMAC key in hex.")
    return GENERAL["webhook"][1](books, target)


def _refund_outcome(books: Books, wish: RefundOutcome) -> Answer:
    after = {"pending": ("succeeded", "failed"), "succeeded": ("failed", "reversed"), "failed": ()}
    if wish.then is not None and wish.then not in after[wish.status]:
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
    refund = _refund(books, wish.refund)
    if refund.status != "succeeded":
        raise CommandRefused(f"Refund {wish.refund} is {refund.status}, so it cannot fail now.")
    event = "REFUNDED_REVERSED" if wish.reversed else "REFUND_FAILED"
    outcomes.take_back(books, refund, event, wish.failure_reason)
    return {"refund": wish.refund, "status": refund.status}


def _settle_refund(books: Books, wish: SettleRefund) -> Answer:
    if wish.refund is None:
        raise CommandRefused("`settle_refund` needs `refund`; `settle_refunds` settles all.")
    refund = _refund(books, wish.refund)
    if refund.status != "received":
        raise CommandRefused(f"Refund {wish.refund} is {refund.status} already.")
    outcomes.settle(books, refund, wish.status, wish.failure_reason)
    return {"refund": wish.refund, "status": refund.status}


def _settle_refunds(books: Books, wish: SettleRefund) -> Answer:
    known = books.modifications.values()
    waiting = [m for m in known if m.kind == "refund" and m.status == "received"]
    for refund in waiting:
        outcomes.settle(books, refund, wish.status, wish.failure_reason)
    return {"settled": len(waiting)}


def _by_hand(books: Books, kind: Kind, payment: Payment, amount: int) -> Modification:
    return books.add(kind, payment, "", amount, BY_OTHERS)


def _positive(amount: int | None, otherwise: int) -> int:
    if amount is not None and amount < 1:
        raise CommandRefused("`amount` must be at least 1.")
    return otherwise if amount is None else amount


def _dashboard_refund(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    amount = _positive(wish.amount, payment.refundable)
    if why := outcomes.why_not(books, payment, amount) or ("" if amount else outcomes.TOO_LITTLE):
        raise CommandRefused(f"{why}.")
    refund = _by_hand(books, "refund", payment, amount)
    books.moved("refund", refund, amount, "pending")
    outcomes.settle(books, refund, "succeeded")
    return {"refund": refund.psp_reference, "status": refund.status}


def _dashboard_capture(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    amount = _positive(wish.amount, payment.open)
    if not payment.open or amount > payment.open:
        raise CommandRefused(f"{wish.payment} has {payment.open} left to capture.")
    outcomes.capture(books, _by_hand(books, "capture", payment, amount))
    return {"payment": wish.payment, "status": payment.status}


def _dashboard_cancel(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    if not payment.open:
        raise CommandRefused(f"{wish.payment} is {payment.status}: there is nothing to cancel.")
    outcomes.cancel(books, _by_hand(books, "cancel", payment, 0))
    return {"payment": wish.payment, "status": payment.status}


def _expire(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    if not payment.open:
        raise CommandRefused(f"{wish.payment} is {payment.status}, so nothing expires.")
    outcomes.expire(books, payment)
    return {"payment": wish.payment, "status": payment.status}


def _fail_capture(books: Books, wish: FailCapture) -> Answer:
    payment = _payment(books, wish.payment)
    standing = payment.captures("succeeded")
    named = [m for m in standing if wish.capture in (None, m.psp_reference)]
    if not named:
        raise CommandRefused(f"{wish.payment} has no such capture that could fail.")
    outcomes.fail_capture(books, named[-1], wish.failure_reason)
    payment.open += named[-1].amount if wish.again else 0
    return {"capture": named[-1].psp_reference, "amount": named[-1].amount}


def _tell_captures(books: Books, wish: OnPayment) -> Answer:
    payment = _payment(books, wish.payment)
    standing = payment.captures("succeeded")
    if not standing:
        raise CommandRefused(f"{wish.payment} is {payment.status}: there is no capture to tell of.")
    for made in standing:
        books.told(made, "CAPTURE")
    return {"payment": wish.payment, "status": payment.status}


def _open_dispute(books: Books, wish: OpenDispute) -> Answer:
    payment = _payment(books, wish.payment)
    if not payment.captured:
        raise CommandRefused(f"{wish.payment} is not captured, so it cannot be disputed.")
    amount = _positive(wish.amount, payment.captured)
    dispute = disputes.start(books, payment, amount, wish.reason, wish.status)
    return {"dispute": dispute.psp_reference, "status": dispute.status}


def _dispute(books: Books, wish: OnDispute) -> tuple[Payment, Dispute]:
    known = [(p, d) for p in books.by_reference.values() for d in p.disputes]
    if wish.dispute is not None:
        named = [pair for pair in known if pair[1].psp_reference == wish.dispute]
    else:
        named = [pair for pair in known if pair[0].psp_reference == wish.payment]
    if not named:
        raise CommandRefused("Name a `dispute`, or a `payment` that has one.")
    return named[-1]


def _charge_back(books: Books, wish: OnDispute) -> Answer:
    payment, dispute = _dispute(books, wish)
    disputes.withdraw(books, payment, dispute)
    return {"dispute": dispute.psp_reference, "status": dispute.status}


def _close_dispute(books: Books, wish: CloseDispute) -> Answer:
    payment, dispute = _dispute(books, wish)
    disputes.finish(books, payment, dispute, wish.status)
    return {"dispute": dispute.psp_reference, "status": dispute.status}


def _fraud_warning(books: Books, wish: FraudWarning) -> Answer:
    return {"warning": disputes.warn(books, _payment(books, wish.payment), wish.fraud_type)}


def _settings(books: Books, wish: ChangeSettings) -> Answer:
    return change(books.settings, wish)


COMMANDS: Commands = {
    **GENERAL,
    "webhook": (WebhookTarget, _add_webhook),
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
    "fail_capture": (FailCapture, _fail_capture),
    "tell_captures": (OnPayment, _tell_captures),
    "open_dispute": (OpenDispute, _open_dispute),
    "charge_back": (OnDispute, _charge_back),
    "close_dispute": (CloseDispute, _close_dispute),
    "fraud_warning": (FraudWarning, _fraud_warning),
    "settings": (ChangeSettings, _settings),
}


def control(books: Books, faults: FaultBook, command: Mapping[str, Any]) -> Answer:
    """Run one command, `{"op": name, …}`. Raises CommandRefused with one sentence."""
    return run(COMMANDS, books, faults, command)


def payment_rows(books: Books) -> list[dict[str, Any]]:
    """Every payment with its amounts in minor units, oldest first."""
    return [_payment_row(payment) for payment in books.by_reference.values()]


def _payment_row(payment: Payment) -> dict[str, Any]:
    return {
        "gateway": "adyen",
        "psp_payment_id": payment.psp_reference,
        "charge": None,
        "currency": payment.currency,
        "status": payment.status,
        "authorized": payment.amount,
        "captured": payment.captured,
        "uncaptured": payment.uncaptured,
        "capturable": payment.open,
        "refunded": payment.refunded,
        "disputed": sum(dispute.amount for dispute in payment.disputes if dispute.held),
        **_borne_row(payment),
    }


def _borne_row(payment: Payment) -> dict[str, Any]:
    """What sellers' accounts bear of its refunds that stand, where any was split."""
    sums: dict[str, int] = {}
    for made in payment.modifications:
        for account, amount in made.borne.items() if made.status == "succeeded" else ():
            sums[account] = sums.get(account, 0) + amount
    return {"borne": sums} if sums else {}


def dispute_rows(books: Books) -> list[dict[str, Any]]:
    """Every dispute, by payment; its status is what was said of it last."""
    return [
        {
            "gateway": "adyen",
            "id": dispute.psp_reference,
            "psp_payment_id": payment.psp_reference,
            "status": dispute.told,
            "withdrawn": dispute.amount if dispute.held else 0,
        }
        for payment in books.by_reference.values()
        for dispute in payment.disputes
    ]


def warning_rows(books: Books) -> list[dict[str, Any]]:
    """Every warning of fraud, oldest first."""
    return [
        {"gateway": "adyen", "id": name, "psp_payment_id": payment}
        for name, payment in books.warnings
    ]
