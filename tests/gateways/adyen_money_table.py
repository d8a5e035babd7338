"""What we ask of Adyen, what it answers and what that means, case by case."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from amends.core.effects import (
    Intent,
    RefundIntent,
    RefundLine,
    ReverseIntent,
    SellerShare,
)
from amends.gateways import adyen
from amends.gateways.spec import Failure, Response
from amends.kernel.outcome import (
    Accepted,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    RefundState,
    Unknown,
)
from tests.gateways.adyen_table import ACCOUNT, PSP, REFUND_PSP, SETTINGS
from tests.gateways.table import Amounts, Asked, MoneyTable, dumps, first_intents

REFUND, CANCEL, CAPTURE = first_intents("adyen-eu", PSP)
REVERSE = ReverseIntent(
    connection="adyen-eu",
    psp_payment_id=PSP,
    currency="EUR",
    key="leg_02-2",
    order="ord_01",
    refund="rf_02",
    leg="leg_02",
    epoch=2,
)


def _refund(currency: str, amount: int, reason: str, leg: str, epoch: int = 1) -> RefundIntent:
    return RefundIntent(
        connection="adyen-eu",
        psp_payment_id="8836183819713023",
        currency=currency,
        key=f"{leg}-{epoch}",
        amount=amount,
        order="ord_02",
        refund="rf_04",
        leg=leg,
        epoch=epoch,
        reason=reason,
        full=True,
    )


SELLERS = (
    SellerShare("BA00000000000000000000001", 2000, 1800, "split-1", "split-1-fee"),
    SellerShare("BA00000000000000000000002", 700, 0),
    SellerShare("BA00000000000000000000003", 0),
)
SOLD = replace(REFUND, amount=3000, sellers=SELLERS)

INTENTS: dict[str, Intent] = {
    "refund": REFUND,
    "refund of what several sold": SOLD,
    "refund of what one sold": replace(SOLD, amount=2000, sellers=SELLERS[:1]),
    "refund asked for by the customer": _refund("CLP", 990, "cancelled", "leg_04", 2),
    "refund of a duplicate": _refund("IDR", 1500000, "duplicate", "leg_05"),
    "refund for fraud": _refund("KWD", 1234, "fraud", "leg_06"),
    "refund out of goodwill": _refund("JPY", 500, "goodwill", f"leg_{'z' * 50}", 999_999_999),
    "refund that says what it is for": replace(
        REFUND, method="klarna", lines=(RefundLine("1", 2, 2600, 400), RefundLine("s1", 0, 600))
    ),
    "refund of one capture of a PayPal payment": replace(
        REFUND, method="paypal", capture="CAPTURE000TABLE2"
    ),
    "cancel": CANCEL,
    "reversal": REVERSE,
    "capture the rest": CAPTURE,
}


# --- what answers mean -------------------------------------------------------------------------


def answer(status: int, body: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else dumps(body)
    return Response(status, {"pspreference": "ANSWER000TABLE82", **named}, raw)


def received(**changes: Any) -> dict[str, Any]:
    """A modification taken up, as Adyen shapes it."""
    return {
        "merchantAccount": ACCOUNT,
        "paymentPspReference": PSP,
        "pspReference": REFUND_PSP,
        "reference": "amends.leg_01.1",
        "status": "received",
        "amount": {"currency": "EUR", "value": 3200},
        **changes,
    }


def bare(**changes: Any) -> dict[str, Any]:
    """A cancellation taken up: nothing of an amount."""
    body = received(**changes)
    del body["amount"]
    return body


def error(status: int, code: str | None = None, message: str = "", **headers: str) -> Response:
    """An error as Adyen words it."""
    kind = {401: "security", 403: "security", 500: "internal"}.get(status, "validation")
    body = {"status": status, "errorCode": code, "message": message, "errorType": kind}
    return answer(status, body, **headers)


REFERENCE = "ANSWER000TABLE82"
PENDING = RefundState(REFUND_PSP, "pending", 3200, "EUR", "leg_01", 1)
_TRANSIENT = {"transient_error": "true"}


def _declined(code: str, text: str = "") -> Declined:
    return Declined(code=code, text=text, reference=REFERENCE)


def _unknown(reason: str, **more: Any) -> Unknown:
    return Unknown(reason, reference=REFERENCE, **more)


def _not_sent(reason: str, **more: Any) -> NotSent:
    return NotSent(reason, reference=REFERENCE, **more)


def _refused(name: str, result: Response | Failure, outcome: Outcome) -> Asked:
    return Asked(name, REFUND, result, outcome)


def _unread(why: str) -> Unknown:
    return _unknown(f"HTTP 201 that cannot be read: {why}", alert=True)


_DONE = (
    Asked(
        "refund received: no success yet",
        REFUND,
        answer(201, received()),
        Accepted(refund=PENDING, reference=REFERENCE),
    ),
    Asked(
        "refund received, nothing of ours repeated",
        REFUND,
        Response(200, {}, dumps(received(reference=None, paymentPspReference=None, splits=[]))),
        Accepted(refund=PENDING, reference=REFUND_PSP),
    ),
    Asked(
        "edge-05: a key used for two: the first answer, for the engine to compare",
        REFUND,
        answer(201, received(amount={"currency": "EUR", "value": 999})),
        Accepted(
            refund=RefundState(REFUND_PSP, "pending", 999, "EUR", "leg_01", 1),
            reference=REFERENCE,
        ),
    ),
    Asked(
        "reversal received",
        REVERSE,
        answer(201, bare(reference="amends.leg_02.2")),
        Accepted(payment=PaymentState(psp_release_id=REFUND_PSP), reference=REFERENCE),
    ),
    Asked(
        "the answer to a cancellation under the key of its reversal",
        REVERSE,
        answer(201, bare(reference="amends.leg_02.1")),
        _unread("reference is not the one asked for"),
    ),
    Asked(
        "cancellation received",
        CANCEL,
        answer(201, bare(reference="amends.leg_02.1")),
        Accepted(payment=PaymentState(psp_release_id=REFUND_PSP), reference=REFERENCE),
    ),
    Asked(
        "capture received",
        CAPTURE,
        answer(
            201, received(reference="amends.leg_03.1", amount={"currency": "EUR", "value": 7000})
        ),
        Accepted(payment=PaymentState(psp_release_id=REFUND_PSP), reference=REFERENCE),
    ),
)

_NO = (
    _refused(
        "not valid",
        error(422, "137", "Invalid amount specified"),
        _declined("137", "Invalid amount specified"),
    ),
    _refused("no such field", error(400, "702", "x"), _declined("702", "x")),
    _refused(
        "without a code",
        error(422, None, "Unprocessable"),
        _declined("validation", "Unprocessable"),
    ),
    _refused(
        "an error's own reference",
        answer(422, {"errorCode": 167, "pspReference": "ERROR0000TABLE82"}),
        Declined(code="167", reference="ERROR0000TABLE82"),
    ),
)

_NOTHING_DONE = (
    _refused("connection refused", Failure(False, "refused"), NotSent("refused")),
    _refused(
        "too fast",
        error(429, "429", retry_after="2"),
        _not_sent("429", retry_after=2_000_000),
    ),
    _refused("too fast, no words", answer(429, b""), _not_sent("HTTP 429")),
    _refused(
        "wrong key",
        error(401, "000", "HTTP Status Response - Unauthorized"),
        _not_sent("HTTP Status Response - Unauthorized", alert=True),
    ),
    _refused("not allowed", answer(403, b"<html>"), _not_sent("HTTP 403", alert=True)),
)

_MAYBE = (
    _refused(
        "edge-02: timeout",
        Failure(True, "no answer in 6 s"),
        Unknown("no answer in 6 s"),
    ),
    _refused(
        "same key at work, may be repeated",
        error(422, "704", "request already processed or in progress", **_TRANSIENT),
        _unknown("HTTP 422, errorCode 704"),
    ),
    _refused(
        "same key at work, by its other status",
        error(409, "704", **_TRANSIENT, retry_after="1"),
        _unknown("HTTP 409, errorCode 704", retry_after=1_000_000),
    ),
    _refused(
        "same key processed, not to be repeated",
        error(422, "704", "request already processed or in progress"),
        _unknown("HTTP 422, errorCode 704", stored=True),
    ),
    _refused(
        "same key at work, not to be repeated",
        error(409, "704", transient_error="false"),
        _unknown("HTTP 409, errorCode 704", stored=True),
    ),
    _refused(
        "keys cannot be stored, may be repeated",
        error(503, "703", **_TRANSIENT),
        _unknown("HTTP 503, errorCode 703"),
    ),
    _refused(
        "keys cannot be stored",
        error(503, "703"),
        _unknown("HTTP 503, errorCode 703", stored=True),
    ),
    _refused("500", error(500, "905"), _unknown("HTTP 500, errorCode 905", stored=True)),
    _refused("500 without words", answer(500, b""), _unknown("HTTP 500", stored=True)),
    _refused(
        "500 that may be repeated",
        error(500, "905", **_TRANSIENT),
        _unknown("HTTP 500, errorCode 905"),
    ),
    _refused(
        "422 that may be repeated",
        error(422, "9", **_TRANSIENT),
        _unknown("HTTP 422, errorCode 9"),
    ),
    _refused("bad gateway", answer(502, b"<html>"), _unknown("HTTP 502")),
    _refused("gateway timeout", answer(504, b""), _unknown("HTTP 504")),
    _refused("request timeout", answer(408, b""), _unknown("HTTP 408")),
    _refused("moved", answer(302, b""), _unknown("HTTP 302", alert=True)),
    _refused("a 4xx that is nobody's word", answer(404, b"{}"), _unknown("HTTP 404", alert=True)),
    _refused(
        "no body",
        answer(204, b""),
        _unknown(
            "HTTP 204 that cannot be read: the body is not JSON: Input data was truncated",
            alert=True,
        ),
    ),
    _refused(
        "another status",
        answer(201, received(status="refunded")),
        _unread("status is not received"),
    ),
    _refused(
        "no reference",
        answer(201, received(pspReference=None)),
        _unread("pspReference is missing or not a text"),
    ),
    _refused("no amount", answer(201, bare()), _unread("currency is missing or not a text")),
    _refused(
        "the answer to another leg",
        answer(201, received(reference="amends.leg_09.1")),
        _unread("reference is not the one asked for"),
    ),
    _refused(
        "the answer to another payment",
        answer(201, received(paymentPspReference="OTHER0000TABLE82")),
        _unread("paymentPspReference is not the one asked for"),
    ),
    Asked(
        "another capture than the one asked for",
        CAPTURE,
        answer(201, received(reference="amends.leg_03.1")),
        _unread("another amount than the 7000 EUR asked for"),
    ),
)

ASKED = _DONE + _NO + _NOTHING_DONE + _MAYBE

AMOUNTS = Amounts(
    refund=REFUND,
    rest=CAPTURE,
    said=lambda request: json.loads(request.body)["amount"]["value"],
    echo=lambda intent, request: answer(201, received(amount=json.loads(request.body)["amount"])),
    worked=(
        ("EUR", 1050, 1050),
        ("JPY", 500, 500),
        ("KWD", 1234, 1234),
        ("UGX", 500, 500),
        ("CLP", 990, 99000),
        ("ISK", 5, 500),
        ("CVE", 12300, 123),
        ("IDR", 1500000, 15000),
    ),
    unsayable=(("CVE", 12350), ("IDR", 1), ("BIF", 5), ("CLF", 10000)),
)

MONEY = MoneyTable(
    gateway=adyen,
    settings=SETTINGS,
    intents=INTENTS,
    asked=ASKED,
    amounts=AMOUNTS,
    openapi=(
        ("adyen-checkout-v71-modifications.json",),
        ("adyen-checkout-v72-modifications.json",),
    ),
    base_path="https://checkout-test.adyen.com",
    version_path="/v72",
    live=(("test", False), ("1797a841fbb37ca7-AmendsShop", True), ("", None)),
    credential="api_key",
    mode="environment",
    secrets=(
        "AQEyhmfxK4PHYxBFw0m/n3Q5qf3VaY9UCJ14XWZE03G/k2NFitRvbe4N1XqH1eHaH2AksaEQwV1bDb7kfNy1WIx=",
        "AQEtable4Key.not-a/real+one=",
        SETTINGS.values["api_key"],
        "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        "4242424242424242",
        "4111 1111 1111 1111",
        "3782-822463-10005",
    ),
    harmless=(
        "QFQTPCQ8HXSKGK82",
        "8836183819713023",
        "amends.leg_01.1",
        "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056",
        "1790000000000000",
        "4242424242424241",
    ),
    words=("EUR", "CLP", "received", PSP),
)
