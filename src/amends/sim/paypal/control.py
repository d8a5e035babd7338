"""What the control API can do to a PayPal account.

The commands are described in `amends.sim.serve`.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from amends.sim.account import BY_OTHERS, Outcome
from amends.sim.faults import FaultBook
from amends.sim.paypal import (
    certificates,
    disputes,
    errors,
    money,
    orders,
    payments,
    refunds,
    views,
)
from amends.sim.paypal.books import Books, Forced
from amends.sim.paypal.objects import GIVEN_BACK, Authorization, Capture, Dispute, Payment
from amends.sim.settlement import Settlement
from amends.sim.steering import (
    GENERAL,
    Answer,
    Commands,
    MakePayments,
    Nothing,
    OnPayment,
    change,
    run,
    several,
)
from amends.sim.wire import CommandRefused

_ID = re.compile(r"[A-Z0-9]{1,19}", re.ASCII)


class MakePayment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`payment`. `captured` is a part of a manual payment that was captured for good. `seller` is
    the payee of it, who paid the merchant a `platform_fee`."""

    id: str
    amount: int
    currency: str = "EUR"
    capture: Literal["automatic", "manual"] = "automatic"
    captured: int | None = None
    charge: str | None = None
    order: str | None = None
    status: Literal["succeeded", "pending"] = "succeeded"
    method: Literal["paypal", "card"] = "paypal"
    custom_id: str = ""
    invoice_id: str = ""
    announce: bool = False
    seller: str = ""
    platform_fee: int = 0


class OnOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`approve`."""

    order: str


class DashboardCapture(OnPayment, kw_only=True, forbid_unknown_fields=True):
    """`dashboard_capture`. `final` False: the rest stays held."""

    final: bool = True


class RefundOutcome(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`refund_outcome`."""

    status: Literal["succeeded", "pending", "failed"] = "succeeded"
    then: Literal["succeeded", "failed", "canceled"] | None = None
    after_s: float = 0.0
    payment: str | None = None
    count: int | None = None


class CaptureOutcome(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`capture_outcome`."""

    status: Literal["pending", "failed"]
    payment: str | None = None


class SettleCapture(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settle_capture`: a pending one, by its id or its payment's."""

    capture: str
    status: Literal["succeeded", "failed"] = "succeeded"


class SettleRefund(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settle_refund` (one) and `settle_refunds` (every pending one)."""

    refund: str | None = None
    status: Literal["succeeded", "failed", "canceled"] = "succeeded"


class FailRefund(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fail_refund`."""

    refund: str


class Reverse(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`reverse`."""

    payment: str
    amount: int | None = None
    listed: bool = True


class Refuse(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`refusal`."""

    issue: str
    what: Literal["refund", "capture", "void", "reauthorize"] = "refund"
    payment: str | None = None
    count: int | None = 1


class OpenDispute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`open_dispute`. `amount` may exceed the payment."""

    payment: str
    amount: int | None = None
    reason: str = "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"
    status: str = "WAITING_FOR_SELLER_RESPONSE"
    stage: str = "INQUIRY"
    channel: str = "INTERNAL"


class OnDispute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`update_dispute`, `close_dispute`: the named one, or the last one of the payment."""

    status: str
    dispute: str | None = None
    payment: str | None = None


class SetBalance(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`balance` sets what is available, `fund` adds to it."""

    currency: str
    amount: int
    refuse: bool = True


def _settle(books: Books, wish: Settlement) -> Answer:
    books.settlement = wish
    return {}


class ChangeSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settings`."""

    key_age_s: float | None = None
    order_key_age_s: float | None = None
    token_age_s: float | None = None
    authorization_age_s: float | None = None
    refund_age_s: float | None = None
    refunds_most: int | None = None
    list_delay_s: float | None = None
    refund_events: bool | None = None
    refuse_over_refund: bool | None = None
    fees_back: bool | None = None


# -- payments ----------------------------------------------------------------------------------


def _payment(books: Books, payment_id: str) -> Payment:
    payment = books.find(payment_id)
    if payment is None:
        raise CommandRefused(f"There is no payment {payment_id}.")
    return payment


def _make_payment(books: Books, wish: MakePayment) -> Answer:
    order = wish.order or f"O{wish.id}"
    charge = wish.id if wish.capture == "automatic" else wish.charge or f"C{wish.id}"
    currency = wish.currency.upper()
    _check_payment(books, wish, {wish.id, order, charge}, currency)
    now = books.now()
    payment = Payment(
        id=wish.id,
        order=order,
        amount=wish.amount,
        currency=currency,
        created=now,
        updated=now,
        intent="CAPTURE" if wish.capture == "automatic" else "AUTHORIZE",
        method=wish.method,
        custom_id=wish.custom_id,
        invoice_id=wish.invoice_id,
        seller=wish.seller,
        platform_fee=wish.platform_fee,
    )
    payments.register(books, payment)
    held = "" if wish.capture == "automatic" else wish.id
    if held:
        payments.hold(books, payment, held, wish.amount)
    taken = wish.captured if held else wish.amount
    if taken is not None:
        status = "PENDING" if wish.status == "pending" else "COMPLETED"
        payments.take(books, payment, charge, taken, status, authorization=held)
    if wish.announce:
        _announce(books, payment)
    shown = payment.captures[0].id if payment.captures else None
    return {"payment": wish.id, "order": order, "charge": shown, "status": _status(payment)}


def _check_payment(books: Books, wish: MakePayment, ids: set[str], currency: str) -> None:
    for name in sorted(ids):
        if _ID.fullmatch(name) is None:
            raise CommandRefused(f"An id has 1 to 19 capital letters and digits, not {name!r}.")
        if books.find(name) is not None:
            raise CommandRefused(f"There is a payment {name} already.")
    if wish.charge is not None and wish.capture == "automatic":
        raise CommandRefused("`charge` goes with capture=manual; else the capture's id is `id`.")
    money.check(wish.amount, currency)
    if wish.captured is None:
        return
    money.check(wish.captured, currency)
    if wish.capture != "manual" or wish.captured > wish.amount:
        raise CommandRefused("`captured` goes with capture=manual and is between 1 and the amount.")


def _announce(books: Books, payment: Payment) -> None:
    for held in payment.authorizations:
        resource = views.authorization(books, held)
        books.emit("PAYMENT.AUTHORIZATION.CREATED", "authorization", resource, BY_OTHERS)
    for taken in payment.captures:
        payments.announce(books, taken, BY_OTHERS)


def _make_payments(books: Books, wish: MakePayments) -> Answer:
    made = several(wish, MakePayment)
    for item in made:
        _make_payment(books, item)
    return {"made": len(made)}


def _approve(books: Books, wish: OnOrder) -> Answer:
    payment = books.order(wish.order)
    orders.approve(books, payment)
    return {"order": payment.order, "status": payment.status}


def _captured(books: Books, payment_id: str) -> Capture:
    """The capture of that id, or the last one of the payment. Raises CommandRefused."""
    if payment_id in books.captures:
        return books.captures[payment_id]
    payment = _payment(books, payment_id)
    if not payment.captures:
        raise CommandRefused(f"{payment_id} is not captured.")
    return payment.captures[-1]


def _held(books: Books, payment_id: str) -> Authorization:
    payment = _payment(books, payment_id)
    if not payment.authorizations or payment.authorizations[-1].closed:
        raise CommandRefused(f"{payment_id} is {_status(payment)}, so nothing is held.")
    return payment.authorizations[-1]


def _dashboard_refund(books: Books, wish: OnPayment) -> Answer:
    taken = _captured(books, wish.payment)
    if wish.amount is not None:
        money.check(wish.amount, taken.payment.currency)
    given = refunds.make(books, taken, refunds.Wish(amount=wish.amount), BY_OTHERS)
    disputes.settle(books, taken, BY_OTHERS)
    return {"refund": given.id, "status": refunds.WORDS[given.status]}


def _dashboard_capture(books: Books, wish: DashboardCapture) -> Answer:
    held = _held(books, wish.payment)
    if wish.amount is not None:
        money.check(wish.amount, held.payment.currency)
    taken = payments.capture_held(books, held, wish.amount, BY_OTHERS, final=wish.final)
    return {"payment": held.payment.id, "charge": taken.id, "status": _status(held.payment)}


def _dashboard_cancel(books: Books, wish: OnPayment) -> Answer:
    held = _held(books, wish.payment)
    payments.void(books, held.payment.authorizations[0], BY_OTHERS)
    return {"payment": held.payment.id, "status": _status(held.payment)}


def _expire(books: Books, wish: OnPayment) -> Answer:
    held = _held(books, wish.payment)
    payments.expire(books, held)
    return {"payment": held.payment.id, "status": _status(held.payment)}


def _capture_outcome(books: Books, wish: CaptureOutcome) -> Answer:
    status = "PENDING" if wish.status == "pending" else "DECLINED"
    books.capture_outcomes.append((status, wish.payment))
    return {}


def _settle_capture(books: Books, wish: SettleCapture) -> Answer:
    taken = _captured(books, wish.capture)
    payments.settle(books, taken, "COMPLETED" if wish.status == "succeeded" else "DECLINED")
    return {"charge": taken.id, "status": taken.status}


def _reverse(books: Books, wish: Reverse) -> Answer:
    taken = _captured(books, wish.payment)
    amount = taken.rest if wish.amount is None else wish.amount
    money.check(amount, taken.payment.currency)
    event = "PAYMENT.CAPTURE.REVERSED"
    given = refunds.take_back(books, taken, amount, event, BY_OTHERS, listed=wish.listed)
    return {"refund": given.id, "status": refunds.WORDS[given.status]}


# -- refunds -----------------------------------------------------------------------------------


def _refund_outcome(books: Books, wish: RefundOutcome) -> Answer:
    first = refunds.STATUSES[wish.status]
    if wish.then is not None and refunds.STATUSES[wish.then] not in refunds.NEXT_STATUSES[first]:
        raise CommandRefused(f"A {wish.status} refund cannot become {wish.then}.")
    if wish.count is not None and wish.count < 1:
        raise CommandRefused("`count` must be at least 1.")
    outcome = Outcome(
        status=wish.status, then=wish.then, after_s=wish.after_s, payment=wish.payment
    )
    books.expect(outcome, wish.count)
    return {}


def _settle_refund(books: Books, wish: SettleRefund) -> Answer:
    if wish.refund is None:
        raise CommandRefused("`settle_refund` needs `refund`; `settle_refunds` settles all.")
    given = books.refund(wish.refund)
    refunds.turn(books, given, refunds.STATUSES[wish.status], BY_OTHERS)
    return {"refund": given.id, "status": refunds.WORDS[given.status]}


def _settle_refunds(books: Books, wish: SettleRefund) -> Answer:
    waiting = [given for given in books.refunds.values() if given.status == "PENDING"]
    for given in waiting:
        if given.status == "PENDING":  # money that came back may have settled it meanwhile
            refunds.turn(books, given, refunds.STATUSES[wish.status], BY_OTHERS)
    return {"settled": len(waiting)}


def _fail_refund(books: Books, wish: FailRefund) -> Answer:
    given = books.refund(wish.refund)
    refunds.turn(books, given, "FAILED", BY_OTHERS)
    return {"refund": given.id, "status": refunds.WORDS[given.status]}


def _refuse(books: Books, wish: Refuse) -> Answer:
    if wish.issue not in errors.ISSUES:
        raise CommandRefused(f"PayPal refuses nothing for {wish.issue!r}.")
    if wish.count is not None and wish.count < 1:
        raise CommandRefused("`count` must be at least 1.")
    books.forced.append(Forced(wish.issue, wish.what, wish.payment, wish.count))
    return {}


def _balance(books: Books, wish: SetBalance) -> Answer:
    currency = _currency(wish)
    books.balance[currency] = wish.amount
    books.refuse_when_short = wish.refuse
    refunds.fund_held(books, currency)
    return {"available": books.balance[currency]}


def _fund(books: Books, wish: SetBalance) -> Answer:
    currency = _currency(wish)
    if currency not in books.balance:
        raise CommandRefused(f"The balance in {currency} is not followed; set it with `balance`.")
    books.balance[currency] += wish.amount
    funded = refunds.fund_held(books, currency)
    return {"available": books.balance[currency], "released": funded}


def _currency(wish: SetBalance) -> str:
    currency = wish.currency.upper()
    if currency not in money.SUPPORTED:
        raise CommandRefused(f"PayPal offers no {currency}.")
    return currency


# -- cases -------------------------------------------------------------------------------------


def _open_dispute(books: Books, wish: OpenDispute) -> Answer:
    taken, now = _captured(books, wish.payment), books.now()
    known = {
        "reason": disputes.REASONS,
        "status": disputes.STATUSES,
        "stage": disputes.STAGES,
        "channel": disputes.CHANNELS,
    }
    for name, words in known.items():
        if getattr(wish, name) not in words:
            raise CommandRefused(f"`{name}` is one of {', '.join(sorted(words))}.")
    amount = taken.amount if wish.amount is None else wish.amount
    money.check(amount, taken.payment.currency)
    case = Dispute(
        id=f"PP-D-{books.number()}",
        capture=taken,
        amount=amount,
        created=now,
        updated=now,
        due=now + disputes.RESPONSE_S,
        reason=wish.reason,
        status=wish.status,
        stage=wish.stage,
        channel=wish.channel,
    )
    disputes.start(books, case)
    return {"dispute": case.id, "status": case.status}


def _case(books: Books, wish: OnDispute) -> Dispute:
    if wish.dispute is not None:
        return books.dispute(wish.dispute)
    if wish.payment is not None and _payment(books, wish.payment).disputes:
        return _payment(books, wish.payment).disputes[-1]
    raise CommandRefused("Name a `dispute`, or a `payment` that has one.")


def _update_dispute(books: Books, wish: OnDispute) -> Answer:
    if wish.status not in disputes.STATUSES:
        raise CommandRefused(f"`status` is one of {', '.join(sorted(disputes.STATUSES))}.")
    case = _case(books, wish)
    disputes.update(books, case, wish.status, BY_OTHERS)
    return {"dispute": case.id, "status": case.status}


def _close_dispute(books: Books, wish: OnDispute) -> Answer:
    if wish.status not in disputes.OUTCOMES:
        raise CommandRefused(f"`status` is one of {', '.join(sorted(disputes.OUTCOMES))}.")
    case = _case(books, wish)
    paid = disputes.finish(books, case, disputes.OUTCOMES[wish.status], BY_OTHERS)
    return {"dispute": case.id, "status": case.outcome, "refund": paid and paid.id}


# -- the account -------------------------------------------------------------------------------


def _revoke_tokens(books: Books, _: Nothing) -> Answer:
    revoked = len(books.tokens)
    books.tokens.clear()
    return {"revoked": revoked}


def _trust_anchors(books: Books, _: Nothing) -> Answer:
    return {"pem": certificates.signer().anchors}


def _settings(books: Books, wish: ChangeSettings) -> Answer:
    return change(books.settings, wish)


COMMANDS: Commands = {
    **GENERAL,
    "payment": (MakePayment, _make_payment),
    "payments": (MakePayments, _make_payments),
    "approve": (OnOrder, _approve),
    "refund_outcome": (RefundOutcome, _refund_outcome),
    "fail_refund": (FailRefund, _fail_refund),
    "settle_refund": (SettleRefund, _settle_refund),
    "settle_refunds": (SettleRefund, _settle_refunds),
    "capture_outcome": (CaptureOutcome, _capture_outcome),
    "settle_capture": (SettleCapture, _settle_capture),
    "refusal": (Refuse, _refuse),
    "reverse": (Reverse, _reverse),
    "dashboard_refund": (OnPayment, _dashboard_refund),
    "dashboard_capture": (DashboardCapture, _dashboard_capture),
    "dashboard_cancel": (OnPayment, _dashboard_cancel),
    "expire": (OnPayment, _expire),
    "open_dispute": (OpenDispute, _open_dispute),
    "update_dispute": (OnDispute, _update_dispute),
    "close_dispute": (OnDispute, _close_dispute),
    "balance": (SetBalance, _balance),
    "fund": (SetBalance, _fund),
    "revoke_tokens": (Nothing, _revoke_tokens),
    "trust_anchors": (Nothing, _trust_anchors),
    "settings": (ChangeSettings, _settings),
    "settle": (Settlement, _settle),
}


def control(books: Books, faults: FaultBook, command: Mapping[str, Any]) -> Answer:
    """Run one command, `{"op": name, …}`. Raises CommandRefused with one sentence."""
    return run(COMMANDS, books, faults, command)


# -- the truth ---------------------------------------------------------------------------------


def payment_rows(books: Books) -> list[dict[str, Any]]:
    """Every payment with its amounts in minor units, oldest first."""
    return [_payment_row(payment) for payment in books.payments.values()]


def _payment_row(payment: Payment) -> dict[str, Any]:
    held = payment.authorizations
    return {
        "gateway": "paypal",
        "psp_payment_id": payment.id,
        "order": payment.order,
        "charge": payment.captures[0].id if payment.captures else None,
        "currency": payment.currency,
        "status": _status(payment),
        "authorized": held[-1].amount if held else payment.amount,
        "captured": payment.captured,
        "capturable": payment.capturable,
        "refunded": payment.refunded,
        # A case takes nothing while it is open; what it took is a refund of PayPal's own.
        "disputed": 0,
        **({"platform_fee_refunded": _given_back(payment)} if payment.seller else {}),
    }


def _given_back(payment: Payment) -> int:
    """What of the platform's fee went back with refunds that stand."""
    return sum(given.added for given in payment.refunds if given.status not in GIVEN_BACK)


def _status(payment: Payment) -> str:
    """The status of what is there: the authorization until money was taken, then the capture."""
    standing = [taken for taken in payment.captures if taken.status != "DECLINED"]
    if standing:
        return standing[-1].status
    held = payment.authorizations
    return held[-1].status if held else payment.captures[-1].status


def dispute_rows(books: Books) -> list[dict[str, Any]]:
    """Every case, oldest first."""
    return [
        {
            "gateway": "paypal",
            "id": case.id,
            "psp_payment_id": case.capture.payment.id,
            "status": case.outcome or case.status,
            "withdrawn": 0,
        }
        for case in books.disputes.values()
    ]
