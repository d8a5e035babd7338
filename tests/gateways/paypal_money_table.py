"""What we ask of PayPal, what it answers and what that means, case by case."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from amends.core.effects import (
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
    SellerShare,
)
from amends.gateways import paypal
from amends.gateways.spec import Failure, Response
from amends.kernel.outcome import (
    Accepted,
    CaptureState,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    RefundState,
    Settled,
    Unknown,
)
from tests.gateways.paypal_table import (
    AUTH,
    CAPTURE,
    ORDER,
    SETTINGS,
    authorization,
    by_others,
    capture,
    link,
    money,
    order,
    refund,
)
from tests.gateways.table import NOW, Amounts, Asked, MoneyTable, dumps, first_intents

REFUND, CANCEL, REST = first_intents("paypal-eu", CAPTURE, AUTH)
FIND = LookupRefundsIntent(connection="paypal-eu", psp_payment_id=CAPTURE, currency="EUR")
LIST = LookupRefundsIntent(
    connection="paypal-eu", psp_payment_id=CAPTURE, currency="EUR", cursor=ORDER
)
LIST_AUTH = LookupRefundsIntent(
    connection="paypal-eu", psp_payment_id=AUTH, currency="EUR", cursor=ORDER, charge=CAPTURE
)
READ = LookupPaymentIntent(connection="paypal-eu", psp_payment_id=AUTH, currency="EUR")


def _refund_of(**changes: Any) -> RefundIntent:
    fields = {name: getattr(REFUND, name) for name in REFUND.__struct_fields__}
    return RefundIntent(**{**fields, **changes})


SOLD = replace(REFUND, sellers=(SellerShare("8XD4EPHK2ZYYG", REFUND.amount, REFUND.amount - 20),))
KEPT = (SellerShare("8XD4EPHK2ZYYG", REFUND.amount, REFUND.amount),)

INTENTS: dict[str, Intent] = {
    "refund": REFUND,
    "refund without decimals": _refund_of(currency="HUF", amount=320000, full=True),
    "refund of yen": _refund_of(currency="JPY", amount=1, reason="fraud"),
    "refund of a capture of an authorization": _refund_of(psp_payment_id=AUTH, charge=CAPTURE),
    "refund of one of several captures": _refund_of(psp_payment_id=AUTH, capture="2CAP"),
    "refund of a seller's sale, and what we add": SOLD,
    "refund of a seller's sale, the fee kept": replace(SOLD, sellers=KEPT),
    "void": CANCEL,
    "capture the rest": REST,
    "list, by way of the capture": FIND,
    "list, by way of the capture of an authorization": LookupRefundsIntent(
        connection="paypal-eu", psp_payment_id=AUTH, currency="EUR", charge=CAPTURE
    ),
    "list": LIST,
    "read": READ,
    "read on, as a capture": replace(READ, psp_payment_id=CAPTURE, cursor=f"capture:{CAPTURE}"),
}


# --- what answers mean -------------------------------------------------------------------------


def answer(status: int, body: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else dumps(body)
    return Response(status, {"paypal-debug-id": "debug_1", **named}, raw)


def error(status: int, name: str, *issues: str, **fields: Any) -> Response:
    """An error as PayPal words it; `headers` among the fields go into the head."""
    headers = fields.pop("headers", {})
    details = [{"issue": issue, "description": f"About {issue}."} for issue in issues]
    body = {"name": name, "message": "It could not be done.", "debug_id": "debug_1", **fields}
    return answer(status, {**body, "details": details} if details else body, **headers)


def issue(*issues: str) -> Response:
    return error(422, "UNPROCESSABLE_ENTITY", *issues)


STATE = RefundState("1JU08902781691411", "succeeded", 3200, "EUR", "leg_01", 1, "", NOW, CAPTURE)
OTHERS = RefundState(
    "9KL55511781691499", "succeeded", 3200, "EUR", psp_at=NOW, psp_capture_id=CAPTURE
)


def taken(name: str, amount: int) -> CaptureState:
    return CaptureState(name, amount, "EUR")


WHOLE = taken(CAPTURE, 10000)
VOIDED = PaymentState(captured=-1, canceled=True, capturable=0)


def state_of(**changes: Any) -> RefundState:
    fields = {name: getattr(STATE, name) for name in STATE.__struct_fields__}
    return RefundState(**{**fields, **changes})


def _declined(code: str, kind: str = "final", text: str = "") -> Declined:
    said = text or f"About {code}."
    return Declined(code=code, text=said, kind=kind, reference="debug_1")  # type: ignore[arg-type]


def _unknown(reason: str, **more: Any) -> Unknown:
    return Unknown(reason, reference="debug_1", **more)


def _not_sent(reason: str, **more: Any) -> NotSent:
    return NotSent(reason, reference="debug_1", **more)


def _accepted(**more: Any) -> Accepted:
    return Accepted(reference="debug_1", **more)


def _refused(name: str, result: Response | Failure, outcome: Outcome) -> Asked:
    return Asked(name, REFUND, result, outcome)


def _refunded(name: str, body: Any, http: int = 201, **changes: Any) -> Asked:
    return _refused(name, answer(http, body), _accepted(refund=state_of(**changes)))


def _rest(**changes: Any) -> dict[str, Any]:
    """The capture of the rest of an authorization."""
    return capture(**{"id": "3CAP", "amount": money("70.00"), **changes})


def _breakdown(**said: Any) -> dict[str, Any]:
    """In euro where nothing else is said."""
    pairs = {name: v if isinstance(v, tuple) else ("EUR", v) for name, v in said.items()}
    return {name: {"currency_code": c, "value": v} for name, (c, v) in pairs.items()}


def _up(kind: str, psp_id: str) -> dict[str, Any]:
    return {"links": [link("up", f"payments/{kind}/{psp_id}")]}


_DONE = (
    _refunded("refunded", refund()),
    _refunded("refunded, the same bytes again", refund(), 200),
    _refunded("refunded in the end, by eCheck", refund(status="PENDING"), status="pending"),
    _refunded(
        "refund that failed",
        refund(status="FAILED", status_details={"reason": "ECHECK"}),
        200,
        status="failed",
        failure_reason="ECHECK",
    ),
    _refunded(
        "refunded to a card",
        refund(acquirer_reference_number="74537604221222132710572"),
        bank_reference="74537604221222132710572",
        bank_reference_type="acquirer_reference_number",
    ),
    _refunded(
        "refunded, and what came off the balance",
        refund(seller_payable_breakdown=_breakdown(paypal_fee="0.80", net_amount="31.20")),
        settled=Settled("1JU08902781691411", "EUR", 3200, -80),
    ),
    _refunded(
        "refunded from a balance in another currency",
        refund(
            seller_payable_breakdown=_breakdown(
                paypal_fee="0.80",
                net_amount="31.20",
                paypal_fee_in_receivable_currency=("USD", "0.91"),
                net_amount_in_receivable_currency=("USD", "35.49"),
            )
        ),
        settled=Settled("1JU08902781691411", "USD", 3640, -91),
    ),
    _refunded("refunded, and told no figures", refund(seller_payable_breakdown=None)),
    _refunded("refund called off", refund(status="CANCELLED"), 200, status="canceled"),
    _refunded("a status nobody knows yet", refund(status="REVERSING"), status="pending"),
    _refunded(
        "custom_id not handed back, more zeros than needed, no links",
        refund(custom_id=None, amount=money("32.000"), links=None, create_time="yesterday"),
        leg="",
        epoch=0,
        psp_at=0,
        psp_capture_id="",
    ),
    Asked(
        "refunded without decimals",
        _refund_of(currency="HUF", amount=320000),
        answer(201, refund(amount=money("3200", "HUF"))),
        _accepted(refund=state_of(amount=320000, currency="HUF")),
    ),
    Asked(
        "voided, no body",
        CANCEL,
        answer(204, b""),
        _accepted(payment=PaymentState(canceled=True, capturable=0)),
    ),
    Asked(
        "voided",
        CANCEL,
        answer(200, authorization(status="VOIDED")),
        _accepted(payment=PaymentState(authorized=10000, canceled=True, capturable=0)),
    ),
    Asked(
        "rest captured",
        REST,
        answer(201, _rest()),
        _accepted(
            payment=PaymentState(
                captured=7000, capturable=0, captures=(taken("3CAP", 7000),), psp_release_id="3CAP"
            )
        ),
    ),
    Asked(
        "rest captured, its money still to come",
        REST,
        answer(201, _rest(status="PENDING", status_details={"reason": "PENDING_REVIEW"})),
        _accepted(payment=PaymentState(capturable=0, psp_release_id="3CAP")),
    ),
    Asked("which order", FIND, answer(200, capture()), _accepted(next=ORDER)),
    Asked(
        "which order, told by a link only",
        FIND,
        answer(200, capture(supplementary_data=None)),
        _accepted(next=ORDER),
    ),
)

_ORDERS = (
    Asked(
        "nothing refunded",
        LIST,
        answer(200, order({"captures": [capture()]})),
        _accepted(payment=PaymentState(captured=10000, refunded=0, captures=(WHOLE,))),
    ),
    Asked(
        "ours and theirs, one pending",
        LIST,
        answer(
            200,
            order({"captures": [capture()], "refunds": [refund(status="PENDING"), by_others()]}),
        ),
        _accepted(
            payment=PaymentState(captured=10000, refunded=3200, captures=(WHOLE,)),
            refunds=(state_of(status="pending"), OTHERS),
        ),
    ),
    Asked(
        "taken back by PayPal, and not in the list",
        LIST,
        answer(200, order({"captures": [capture(status="REFUNDED")], "refunds": [refund()]})),
        _accepted(
            payment=PaymentState(captured=10000, refunded=10000, captures=(WHOLE,)),
            refunds=(STATE,),
        ),
    ),
    Asked(
        "refunds of other captures of the order left out",
        LIST,
        answer(
            200,
            order(
                {"captures": [capture(id="4CAP")], "refunds": [by_others()]},
                {
                    "captures": [capture(), capture(id="5CAP")],
                    "refunds": [refund(), by_others(**_up("captures", "5CAP"))],
                },
            ),
        ),
        _accepted(
            payment=PaymentState(captured=10000, refunded=3200, captures=(WHOLE,)),
            refunds=(STATE,),
        ),
    ),
    Asked(
        "all captures of an authorization, declined and pending ones apart",
        LIST_AUTH,
        answer(
            200,
            order(
                {
                    "authorizations": [authorization(status="PARTIALLY_CAPTURED")],
                    "captures": [
                        _rest(id=CAPTURE, status="PARTIALLY_REFUNDED", final_capture=False),
                        _rest(id="4CAP", status="DECLINED"),
                        _rest(id="5CAP", status="PENDING", final_capture=False),
                    ],
                    "refunds": [refund()],
                }
            ),
        ),
        _accepted(
            payment=PaymentState(10000, 7000, 3200, False, 3000, (taken(CAPTURE, 7000),)),
            refunds=(STATE,),
        ),
    ),
    Asked(
        "a final capture of a part leaves nothing to capture",
        LIST_AUTH,
        answer(
            200,
            order({"authorizations": [authorization(status="CAPTURED")], "captures": [_rest()]}),
        ),
        _accepted(payment=PaymentState(10000, 7000, 0, False, 0, (taken("3CAP", 7000),))),
    ),
    Asked(
        "voided, nothing captured",
        LIST_AUTH,
        answer(200, order({"authorizations": [authorization(status="VOIDED")]})),
        _accepted(payment=PaymentState(10000, 0, 0, True, 0)),
    ),
    Asked(
        "read: authorized",
        READ,
        answer(200, authorization()),
        _accepted(payment=PaymentState(10000, 0, -1, False, 10000)),
    ),
    Asked(
        "read: captured, but not how much",
        READ,
        answer(200, authorization(status="CAPTURED")),
        _accepted(payment=PaymentState(10000, -1, -1, False, 0), next=ORDER),
    ),
    Asked(
        "read: partly captured",
        READ,
        answer(200, authorization(status="PARTIALLY_CAPTURED")),
        _accepted(payment=PaymentState(10000, -1, -1, False, -1), next=ORDER),
    ),
    Asked(
        "read: the order it was captured in",
        replace(READ, cursor=ORDER),
        answer(
            200,
            order({"authorizations": [authorization(status="CAPTURED")], "captures": [_rest()]}),
        ),
        _accepted(payment=PaymentState(10000, 7000, 0, False, 0, (taken("3CAP", 7000),))),
    ),
    Asked(
        "read: captured, and no order is named but the one we know",
        replace(READ, psp_order="9ORDER"),
        answer(200, authorization(status="CAPTURED", links=[])),
        _accepted(payment=PaymentState(10000, -1, -1, False, 0), next="9ORDER"),
    ),
    Asked(
        "read: no authorization, so perhaps a capture",
        replace(READ, psp_payment_id=CAPTURE),
        error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"),
        _accepted(next=f"capture:{CAPTURE}"),
    ),
    Asked(
        "read: a capture, which names its order",
        replace(READ, psp_payment_id=CAPTURE, cursor=f"capture:{CAPTURE}"),
        answer(200, capture(status="PENDING")),
        _accepted(next=ORDER),
    ),
    Asked(
        "read: nothing at all",
        replace(READ, cursor=f"capture:{AUTH}"),
        error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"),
        _declined("INVALID_RESOURCE_ID"),
    ),
    Asked(
        "read: voided, or expired; a part may have been captured before",
        READ,
        answer(200, authorization(status="VOIDED")),
        _accepted(payment=PaymentState(10000, -1, -1, True, 0), next=ORDER),
    ),
)

_ISSUES = {
    "CAPTURE_FULLY_REFUNDED": "refunded",
    "REFUND_AMOUNT_EXCEEDED": "refunded",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": "funds",
    "PENDING_CAPTURE": "funds",
    "TRANSACTION_DISPUTED": "final",
    "REFUND_TIME_LIMIT_EXCEEDED": "final",
    "AN_ISSUE_OF_TOMORROW": "final",
}

_NO = (
    *(_refused(code, issue(code), _declined(code, kind)) for code, kind in _ISSUES.items()),
    _refused(
        "no such capture",
        error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"),
        _declined("INVALID_RESOURCE_ID"),
    ),
    _refused(
        "not well-formed, no details",
        error(400, "INVALID_REQUEST"),
        _declined("INVALID_REQUEST", text="It could not be done."),
    ),
    Asked(
        "void after void",
        CANCEL,
        issue("PREVIOUSLY_VOIDED"),
        _declined("PREVIOUSLY_VOIDED", "canceled"),
    ),
    Asked(
        "void after capture",
        CANCEL,
        issue("PREVIOUSLY_CAPTURED"),
        _declined("PREVIOUSLY_CAPTURED", "captured"),
    ),
    Asked(
        "void of a reauthorization",
        CANCEL,
        issue("CANNOT_BE_VOIDED"),
        _declined("CANNOT_BE_VOIDED"),
    ),
    Asked(
        "capture after expiry",
        REST,
        issue("AUTHORIZATION_EXPIRED"),
        _declined("AUTHORIZATION_EXPIRED", "canceled"),
    ),
    Asked(
        "capture after void",
        REST,
        issue("AUTHORIZATION_VOIDED"),
        _declined("AUTHORIZATION_VOIDED", "canceled"),
    ),
    Asked("capture refused", REST, issue("PAYER_CANNOT_PAY"), _declined("PAYER_CANNOT_PAY")),
    Asked(
        "an issue of refunds says nothing of a void",
        CANCEL,
        issue("CAPTURE_FULLY_REFUNDED"),
        _declined("CAPTURE_FULLY_REFUNDED"),
    ),
)

_NOTHING_DONE = (
    _refused("connection refused", Failure(False, "refused"), NotSent("refused")),
    _refused(
        "too fast",
        error(429, "RATE_LIMIT_REACHED", headers={"retry_after": "2"}),
        _not_sent("RATE_LIMIT_REACHED", retry_after=2_000_000),
    ),
    _refused("too fast, nothing said", answer(429, b""), _not_sent("HTTP 429")),
    _refused(
        "token refused",
        answer(401, {"error": "invalid_token", "error_description": "Token A21AAF" + "x" * 40}),
        _not_sent("Token [secret]", alert=True),
    ),
    _refused(
        "not allowed",
        error(403, "NOT_AUTHORIZED", "PERMISSION_DENIED"),
        _not_sent("About PERMISSION_DENIED.", alert=True),
    ),
)

_UNREADABLE = "HTTP 201 that cannot be read: "

_MAYBE = (
    _refused("timeout", Failure(True, "no answer in 6 s"), Unknown("no answer in 6 s")),
    _refused(
        "the first one is still at work",
        error(409, "RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS"),
        _unknown("PREVIOUS_REQUEST_IN_PROGRESS"),
    ),
    _refused(
        "a conflict, nothing said of why",
        error(409, "RESOURCE_CONFLICT"),
        _unknown("RESOURCE_CONFLICT"),
    ),
    _refused(
        "the first one is still at work, told as 422",
        issue("PREVIOUS_REQUEST_IN_PROGRESS"),
        _unknown("PREVIOUS_REQUEST_IN_PROGRESS"),
    ),
    _refused(
        "500 on what may have been done", error(500, "INTERNAL_SERVER_ERROR"), _unknown("HTTP 500")
    ),
    _refused(
        "unavailable, with a pause",
        answer(503, b"", retry_after="7"),
        _unknown("HTTP 503", retry_after=7_000_000),
    ),
    _refused("bad gateway", answer(502, b"<html>"), _unknown("HTTP 502")),
    _refused("moved", answer(302, b""), _unknown("HTTP 302", alert=True)),
    _refused("request timeout", answer(408, b""), _unknown("HTTP 408")),
    _refused(
        "a 4xx that is nobody's word",
        answer(404, b"<html>"),
        _unknown("HTTP 404 without an error", alert=True),
    ),
    _refused(
        "our own invoice_id seen before",
        issue("DUPLICATE_INVOICE_ID"),
        _unknown("DUPLICATE_INVOICE_ID", stored=True, alert=True),
    ),
    _refused(
        "several issues, one of which is a maybe",
        issue("REFUND_NOT_ALLOWED", "DUPLICATE_INVOICE_ID"),
        _unknown("DUPLICATE_INVOICE_ID", stored=True, alert=True),
    ),
    _refused(
        "a refund of another leg",
        answer(201, refund(custom_id="amends.ord_01.leg_09.1")),
        _unknown(f"{_UNREADABLE}the refund '1JU08902781691411' is another one of ours", alert=True),
    ),
    _refused(
        "minimal in spite of what we prefer",
        answer(201, {"id": "1JU08902781691411", "status": "COMPLETED"}),
        _unknown(f"{_UNREADABLE}amount is missing or not an amount", alert=True),
    ),
    Asked(
        "captured already, by whom and how much is not said",
        REST,
        issue("AUTHORIZATION_ALREADY_CAPTURED"),
        _unknown("AUTHORIZATION_ALREADY_CAPTURED", stored=True, alert=True),
    ),
    Asked(
        "capture that was declined after all",
        REST,
        answer(201, _rest(status="DECLINED")),
        _unknown("capture DECLINED", stored=True, alert=True),
    ),
    Asked(
        "another amount captured",
        REST,
        answer(201, _rest(amount=money("100.00"))),
        _unknown(f"{_UNREADABLE}10000 was captured where 7000 was asked for", alert=True),
    ),
    Asked("500 on a look-up", LIST, error(500, "INTERNAL_SERVER_ERROR"), _unknown("HTTP 500")),
)

ASKED = _DONE + _ORDERS + _NO + _NOTHING_DONE + _MAYBE

AMOUNTS = Amounts(
    refund=REFUND,
    rest=REST,
    said=lambda request: json.loads(request.body)["amount"]["value"],
    echo=lambda intent, request: answer(201, refund(amount=json.loads(request.body)["amount"])),
    worked=(
        ("EUR", 1050, "10.50"),
        ("EUR", 1, "0.01"),
        ("USD", 100_000_000, "1000000.00"),
        ("JPY", 500, "500"),
        ("HUF", 123400, "1234"),
        ("TWD", 100, "1"),
        ("MXN", 90, "0.90"),
    ),
    unsayable=(("HUF", 12350), ("TWD", 1), ("KWD", 1230), ("INR", 100)),
)

MONEY = MoneyTable(
    gateway=paypal,
    settings=SETTINGS,
    intents=INTENTS,
    asked=ASKED,
    amounts=AMOUNTS,
    openapi=(("paypal-payments-v2.json", "paypal-orders-v2.json"),),
    base_path="https://api-m.sandbox.paypal.com",
    live=(("live", True), ("sandbox", False), ("Live", None), ("", None)),
    credential="client_secret",
    mode="environment",
    key_header="paypal-request-id",
    secrets=(
        SETTINGS.values["client_secret"],
        "A21AAFEpH4PsADK7qSS7pSRsgzfENtu-Q1ysgEDVDESseMHBYXVJYE8ovjj68elIDy8nF26AwPhfXTIeWAZHSLIsQkSYz9ifg",
        "4242424242424242",
        "4242 4242 4242 4242",
    ),
    harmless=(
        CAPTURE,
        "WH-58D329510W468432D-8HN650336L201105X",
        "amends.ord_01k.leg_01k_1.1",
        "1790000000000000",
        "4242424242424241",
    ),
    words=(
        *("EUR", "HUF", "COMPLETED", "PENDING", "VOIDED", "DECLINED", "32.00", "70.00"),
        *(CAPTURE, AUTH, ORDER, "CAPTURE_FULLY_REFUNDED", "DUPLICATE_INVOICE_ID"),
    ),
)
