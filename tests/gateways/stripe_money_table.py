"""What we ask of Stripe, what it answers and what that means, case by case."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from msgspec.structs import replace

from amends.core.effects import (
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
    SellerShare,
)
from amends.gateways import stripe
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.outcome import (
    Accepted,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    Settled,
    Unknown,
)
from tests.gateways.stripe_table import (
    CH,
    OTHERS,
    PI,
    SETTINGS,
    STATE,
    by_others,
    charge,
    intent,
    refund,
    state_of,
)
from tests.gateways.table import Amounts, Asked, MoneyTable, dumps, first_intents

REFUND, CANCEL, CAPTURE = first_intents("stripe-eu", PI)
LIST = LookupRefundsIntent(connection="stripe-eu", psp_payment_id=PI, currency="EUR")
READ = LookupPaymentIntent(connection="stripe-eu", psp_payment_id=PI, currency="EUR")

# A part of a destination charge, its application fee given back in proportion, or kept.
SOLD = replace(
    REFUND, sellers=(SellerShare("acct_1", REFUND.amount, REFUND.amount - 20, fee_too=True),)
)
KEPT = (SellerShare("acct_1", REFUND.amount, REFUND.amount),)

INTENTS: dict[str, Intent] = {
    "refund": REFUND,
    "refund of a charge": RefundIntent(
        connection="stripe-eu",
        psp_payment_id=CH,
        currency="UGX",
        key="leg_04-2",
        amount=500,
        order="ord_02",
        refund="rf_04",
        leg="leg_04",
        epoch=2,
        reason="duplicate",
        full=True,
    ),
    "refund with its figures": replace(REFUND, figures=True),
    "list with figures": replace(LIST, figures=True),
    "refund for fraud": RefundIntent(
        connection="stripe-eu",
        psp_payment_id=PI,
        currency="MGA",
        key="leg_05-1",
        amount=12300,
        order="ord_02",
        refund="rf_05",
        leg="leg_05",
        epoch=1,
        reason="fraud",
        charge=CH,
    ),
    "refund of a seller's sale": SOLD,
    "refund of a seller's sale, the fee kept": replace(SOLD, sellers=KEPT),
    "refund of what was sold for others, apart": replace(SOLD, sellers=()),
    "cancel": CANCEL,
    "capture the rest": CAPTURE,
    "list": LIST,
    "list, next page": LookupRefundsIntent(
        connection="stripe-eu", psp_payment_id=PI, currency="EUR", cursor="re_last"
    ),
    "list of a charge": LookupRefundsIntent(
        connection="stripe-eu", psp_payment_id=CH, currency="EUR"
    ),
    "read": READ,
    "read a charge": LookupPaymentIntent(connection="stripe-eu", psp_payment_id=CH, currency="EUR"),
}


# --- what answers mean -------------------------------------------------------------------------


def answer(status: int, body: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else dumps(body)
    return Response(status, {"request-id": "req_1", **named}, raw)


def error(status: int, code: str | None = None, message: str = "", **fields: Any) -> Response:
    """An error as Stripe words it; `headers` among the fields go into the head."""
    headers = fields.pop("headers", {})
    kind = fields.pop("type", "invalid_request_error")
    body = {"error": {"type": kind, "code": code, "message": message, **fields}}
    return answer(status, body, **headers)


def page(*refunds: dict[str, Any], has_more: bool = False) -> Response:
    return answer(200, {"object": "list", "data": list(refunds), "has_more": has_more})


CAPTURED = PaymentState(authorized=10000, captured=10000, capturable=0)
CANCELED = PaymentState(captured=0, canceled=True, capturable=0)
_CANCELED_OBJECT = intent(status="canceled", amount_received=0)


def _declined(code: str, kind: str = "final", text: str = "", **more: Any) -> Declined:
    return Declined(code=code, text=text, kind=kind, reference="req_1", **more)  # type: ignore[arg-type]


def _unknown(reason: str, **more: Any) -> Unknown:
    return Unknown(reason, reference="req_1", **more)


def _not_sent(reason: str, **more: Any) -> NotSent:
    return NotSent(reason, reference="req_1", **more)


def _refused(name: str, result: Response | Failure, outcome: Outcome) -> Asked:
    return Asked(name, REFUND, result, outcome)


def _to_card(way: str, reference: str) -> dict[str, Any]:
    kind = "acquirer_reference_number"
    card = {"type": way, "reference": reference, "reference_type": kind}
    return {"type": "card", "card": {**card, "reference_status": "available"}}


def _line(amount: int, currency: str, fee: int) -> dict[str, Any]:
    """A balance transaction; its exchange rate is rounded, as Stripe's are."""
    said = {"id": "txn_9", "object": "balance_transaction", "exchange_rate": 0.92}
    return {**said, "amount": amount, "currency": currency, "fee": fee}


_OVER = "Refund amount (€32.00) is greater than unrefunded amount on charge (€10.00)"
_STATE = "payment_intent_unexpected_state"
_AGAIN = {"stripe_should_retry": "true"}
_NEVER = {"stripe_should_retry": "false"}

_DONE = (
    Asked("refunded", REFUND, answer(200, refund()), Accepted(refund=STATE, reference="req_1")),
    Asked(
        "refunded to a card, and its bank has a reference",
        REFUND,
        answer(200, refund(destination_details=_to_card("refund", "74537604221222132710572"))),
        Accepted(
            refund=replace(
                STATE,
                destination="card",
                bank_reference="74537604221222132710572",
                bank_reference_type="acquirer_reference_number",
            ),
            reference="req_1",
        ),
    ),
    Asked(
        "refunded, and what it took off the balance is told",
        replace(REFUND, figures=True),
        answer(200, refund(balance_transaction=_line(-2944, "gbp", 12))),
        Accepted(
            refund=replace(STATE, settled=Settled("txn_9", "GBP", 2944, 12)), reference="req_1"
        ),
    ),
    Asked(
        "refunded, and the line of the balance is in a currency nobody knows",
        replace(REFUND, figures=True),
        answer(200, refund(balance_transaction=_line(-2944, "xxq", 0))),
        Accepted(refund=replace(STATE, settled=None), reference="req_1"),
    ),
    Asked(
        "reversed at the card, which has no reference",
        REFUND,
        answer(200, refund(destination_details={"type": "card", "card": {"type": "reversal"}})),
        Accepted(refund=replace(STATE, destination="card_reversal"), reference="req_1"),
    ),
    Asked(
        "to a bank account, and a reference that may be a sentence",
        REFUND,
        answer(
            200,
            refund(
                destination_details={
                    "type": "eu_bank_transfer",
                    "eu_bank_transfer": {"reference": "for Jane Doe"},
                }
            ),
        ),
        Accepted(refund=replace(STATE, destination="eu_bank_transfer"), reference="req_1"),
    ),
    Asked(
        "refund waits for money",
        REFUND,
        answer(200, refund(status="pending", pending_reason="insufficient_funds")),
        Accepted(refund=state_of(status="awaiting_funds"), reference="req_1"),
    ),
    Asked(
        "voided",
        CANCEL,
        answer(200, _CANCELED_OBJECT),
        Accepted(payment=CANCELED, reference="req_1"),
    ),
    Asked(
        "rest captured",
        CAPTURE,
        answer(200, intent(amount_received=7000)),
        Accepted(payment=PaymentState(10000, 7000, -1, False, 0), reference="req_1"),
    ),
    Asked("read", READ, answer(200, intent()), Accepted(payment=CAPTURED, reference="req_1")),
    Asked(
        "read a charge",
        READ,
        answer(200, charge(amount_refunded=100)),
        Accepted(payment=PaymentState(10000, 10000, 100), reference="req_1"),
    ),
    Asked("nothing there", LIST, page(), Accepted(reference="req_1")),
    Asked(
        "ours and theirs",
        LIST,
        page(refund(), by_others()),
        Accepted(refunds=(STATE, OTHERS), reference="req_1"),
    ),
    Asked(
        "a page of more, with a release among them",
        LIST,
        page(refund(), by_others(id="re_x", reason="expired_uncaptured_charge"), has_more=True),
        Accepted(refunds=(STATE,), next="re_x", reference="req_1"),
    ),
)

_NO = (
    _refused(
        "all refunded already",
        error(400, "charge_already_refunded", "Charge ch_table has already been refunded."),
        _declined(
            "charge_already_refunded", "refunded", "Charge ch_table has already been refunded."
        ),
    ),
    _refused(
        "more than is left",
        error(400, None, _OVER, param="amount"),
        _declined("invalid_request_error", "refunded", _OVER),
    ),
    _refused(
        "no balance", error(400, "balance_insufficient"), _declined("balance_insufficient", "funds")
    ),
    _refused("disputed", error(400, "charge_disputed"), _declined("charge_disputed")),
    _refused("no such payment", error(404, "resource_missing"), _declined("resource_missing")),
    _refused(
        "refund of what was not captured",
        error(400, _STATE, payment_intent=_CANCELED_OBJECT),
        _declined(_STATE, payment=CANCELED),
    ),
    Asked(
        "void after capture",
        CANCEL,
        error(400, _STATE, payment_intent=intent()),
        _declined(_STATE, "captured", payment=CAPTURED),
    ),
    Asked(
        "capture after void",
        CAPTURE,
        error(400, _STATE, payment_intent=_CANCELED_OBJECT),
        _declined(_STATE, "canceled", payment=CANCELED),
    ),
    Asked(
        "void after void, told in words only",
        CANCEL,
        error(400, _STATE, "You cannot cancel this because it has a status of canceled."),
        _declined(
            _STATE, "canceled", "You cannot cancel this because it has a status of canceled."
        ),
    ),
    Asked(
        "void while it is processing",
        CANCEL,
        error(400, _STATE, payment_intent={"id": PI, "status": "processing"}),
        _declined(_STATE),
    ),
    Asked(
        "capture of an expired authorization",
        CAPTURE,
        error(400, "charge_expired_for_capture"),
        _declined("charge_expired_for_capture", "canceled"),
    ),
    Asked(
        "no such payment to look up",
        READ,
        error(404, "resource_missing"),
        _declined("resource_missing"),
    ),
)

_NOTHING_DONE = (
    _refused("connection refused", Failure(False, "refused"), NotSent("refused")),
    _refused(
        "too fast",
        error(429, "rate_limit", headers={"retry_after": "2"}),
        _not_sent("rate_limit", retry_after=2_000_000),
    ),
    _refused("object locked", error(429, "lock_timeout"), _not_sent("lock_timeout")),
    _refused(
        "too fast, come again on a date",
        answer(429, b"", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"),
        _not_sent("HTTP 429"),
    ),
    _refused(
        "too fast, do repeat", error(429, "rate_limit", headers=_AGAIN), _not_sent("rate_limit")
    ),
    _refused(
        "wrong key",
        error(401, None, "Invalid API Key provided: sk_test_51Table"),
        _not_sent("Invalid API Key provided: [secret]", alert=True),
    ),
    _refused("not allowed", answer(403, b"<html>"), _not_sent("HTTP 403", alert=True)),
)

_MAYBE = (
    _refused("timeout", Failure(True, "no answer in 6 s"), Unknown("no answer in 6 s")),
    _refused(
        "same key at work",
        error(409, "idempotency_key_in_use"),
        _unknown("idempotency_key_in_use"),
    ),
    _refused(
        "same key, other bytes",
        error(400, None, "Keys for idempotent requests", type="idempotency_error"),
        _unknown("idempotency_error", stored=True, alert=True),
    ),
    _refused("stored 500", error(500, type="api_error"), _unknown("HTTP 500", stored=True)),
    _refused("bad gateway", answer(502, b"<html>"), _unknown("HTTP 502")),
    _refused(
        "unavailable, with a pause",
        answer(503, b"", retry_after="7"),
        _unknown("HTTP 503", retry_after=7_000_000),
    ),
    _refused("gateway timeout", answer(504, b""), _unknown("HTTP 504")),
    _refused("moved", answer(302, b""), _unknown("HTTP 302", alert=True)),
    _refused("request timeout", answer(408, b""), _unknown("HTTP 408")),
    _refused(
        "a 4xx that is nobody's word",
        answer(404, b"<html>"),
        _unknown("HTTP 404 without an error", alert=True),
    ),
    _refused(
        "500 that may be repeated", error(500, headers=_AGAIN), _unknown("HTTP 500, to be repeated")
    ),
    _refused(
        "400 that may be repeated",
        error(400, "x", headers=_AGAIN),
        _unknown("HTTP 400, to be repeated"),
    ),
    _refused("503 that is final", error(503, headers=_NEVER), _unknown("HTTP 503", stored=True)),
    Asked("500 on a look-up", LIST, error(500), _unknown("HTTP 500")),
)

_NOT_THEIRS = (
    Asked(
        "the seller has no money",
        SOLD,
        error(400, "balance_insufficient", "no funds there", param="reverse_transfer"),
        _declined("balance_insufficient", "split", "no funds there"),
    ),
    Asked(
        "the transfer is not reversible, in words",
        SOLD,
        error(400, None, "Transfer reversals in BGN are no longer supported."),
        _declined(
            "invalid_request_error", "split", "Transfer reversals in BGN are no longer supported."
        ),
    ),
    Asked(
        "we have no money ourselves",
        SOLD,
        error(400, "balance_insufficient", "Insufficient funds in your Stripe balance"),
        _declined("balance_insufficient", "funds", "Insufficient funds in your Stripe balance"),
    ),
    _refused(
        "words about a transfer, of a refund that takes nothing back",
        error(400, None, "The destination account is closed."),
        _declined("invalid_request_error", "final", "The destination account is closed."),
    ),
)

ASKED = _DONE + _NOT_THEIRS + _NO + _NOTHING_DONE + _MAYBE


def _said(request: Request) -> int:
    form = dict(parse_qsl(request.body.decode("ascii")))
    return int(form.get("amount") or form["amount_to_capture"])


AMOUNTS = Amounts(
    refund=REFUND,
    rest=CAPTURE,
    said=_said,
    echo=lambda intent, request: answer(
        200, refund(amount=_said(request), currency=intent.currency.lower())
    ),
    worked=(
        ("EUR", 1050, 1050),
        ("JPY", 500, 500),
        ("ISK", 5, 500),
        ("UGX", 5, 500),
        ("MGA", 12300, 123),
        ("KWD", 1230, 1230),
        ("HUF", 12345, 12345),
        ("TWD", 12345, 12345),
        ("CLP", 990, 990),
    ),
    unsayable=(("KWD", 1234), ("MGA", 12350), ("IQD", 1000), ("CLF", 10000)),
)

MONEY = MoneyTable(
    gateway=stripe,
    settings=SETTINGS,
    intents=INTENTS,
    asked=ASKED,
    amounts=AMOUNTS,
    openapi=(
        ("stripe-official-2023-08-16.json",),
        ("stripe-sdk-derived-2026-10-28.json",),
    ),
    base_path="https://api.stripe.com",
    live=(
        ("sk_live_1", True),
        ("rk_live_1", True),
        ("sk_test_1", False),
        ("rk_test_1", False),
        ("sk_org_1", None),
        ("", None),
    ),
    credential="api_key",
    secrets=(
        "sk_live_51AbCdEf",
        "rk_test_51AbCdEf",
        "pk_live_51AbCdEf",
        "whsec_a+b/c=",
        "pi_3Pg_secret_x9",
        "4242424242424242",
        "4242 4242 4242 4242",
        "3782-822463-10005",
    ),
    harmless=("pi_3PgafyB7WZ01zgkW1SjxsAJo", "1790000000000000", "leg_01k-1", "4242424242424241"),
)
