"""What Adyen's webhooks say and what it means, case by case."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from amends.core.facts import (
    Addressed,
    CaptureReported,
    DisputeReported,
    FraudWarned,
    PaymentReported,
    RefundReported,
    ReleaseReported,
    ReversalReported,
)
from amends.gateways import adyen
from amends.gateways.spec import Settings
from amends.kernel.outcome import CaptureState, PaymentState, RefundState, ReleaseState
from tests.gateways.table import Heard, Table, dumps, judge

ACCOUNT = "AmendsECOM"
SETTINGS = Settings(
    name="adyen-eu",
    gateway="adyen",
    values={
        "api_key": "AQEtable4Key.not-a/real+one=",
        "merchant_account": ACCOUNT,
        "environment": "test",
    },
)
PSP, REFUND_PSP, DISPUTE_PSP = "PAYMENT00TABLE82", "REFUND000TABLE82", "DISPUTE00TABLE82"
MARK = "amends.leg_01.1"
SECRET = "0A" * 31 + "F1"
OTHER_SECRET = "0A" * 31 + "F2"
SIGNED = "pspReference originalReference merchantAccountCode merchantReference"


def signed_text(item: dict[str, Any]) -> str:
    """What a signature covers, written down a second time: Adyen's order, joined by colons."""
    amount = item.get("amount") or {}
    values = [item.get(name) for name in SIGNED.split()]
    values += [amount.get("value"), amount.get("currency"), item["eventCode"], item["success"]]
    return ":".join("" if value is None else str(value) for value in values)


def signature(message: bytes, secret: str) -> str:
    mac = hmac.new(bytes.fromhex(secret), message, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def sign(raw: bytes, secret: str, seconds: int) -> dict[str, str]:
    """The header of a genuine Platform or Management webhook; it tells no time."""
    return {"hmacsignature": signature(raw, secret)}


def seal(body: dict[str, Any], secret: str) -> dict[str, Any]:
    """A standard webhook with the signature of each item in it."""
    sealed = []
    for entry in body["notificationItems"]:
        item = entry["NotificationRequestItem"]
        extra = item.get("additionalData") or {}
        mac = signature(signed_text(item).encode(), secret)
        signed = {**item, "additionalData": {**extra, "hmacSignature": mac}}
        sealed.append({"NotificationRequestItem": signed})
    return {**body, "notificationItems": sealed}


# --- webhooks, as Adyen shapes them ------------------------------------------------------------


def item(event: str, **changes: Any) -> dict[str, Any]:
    """About a payment of ours. `value`, `currency` and `extra` are short for where they go."""
    amount = {"currency": changes.pop("currency", "EUR"), "value": changes.pop("value", 3200)}
    return {
        "additionalData": changes.pop("extra", {}),
        "amount": amount,
        "eventCode": event,
        "eventDate": "2026-09-21T16:13:20+02:00",
        "merchantAccountCode": ACCOUNT,
        "merchantReference": "1001",
        "originalReference": PSP,
        "paymentMethod": "visa",
        "pspReference": REFUND_PSP,
        "reason": "",
        "success": "true",
        **changes,
    }


def body(*items: dict[str, Any], live: Any = "false") -> dict[str, Any]:
    return {
        "live": live,
        "notificationItems": [{"NotificationRequestItem": each} for each in items],
    }


def one(event: str, **changes: Any) -> dict[str, Any]:
    return body(item(event, **changes))


def ours(event: str, **changes: Any) -> dict[str, Any]:
    """About a refund we asked for."""
    return one(event, **{"merchantReference": MARK, **changes})


def disputed(event: str, **changes: Any) -> dict[str, Any]:
    return one(event, **{"pspReference": DISPUTE_PSP, "value": 10000, **changes})


def events_of(message: dict[str, Any]) -> str:
    codes = {e["NotificationRequestItem"]["eventCode"] for e in message["notificationItems"]}
    return "+".join(sorted(codes))


# --- what webhooks say -------------------------------------------------------------------------

STATE = RefundState(REFUND_PSP, "succeeded", 3200, "EUR", "leg_01", 1)


def refund_fact(status: Any = "succeeded", failure: str = "", **changes: Any) -> Addressed:
    fields = {"leg": "leg_01", "epoch": 1, "amount": 3200, "currency": "EUR", **changes}
    state = RefundState(psp_refund_id=REFUND_PSP, status=status, failure_reason=failure, **fields)
    return Addressed(RefundReported("adyen-eu", (PSP,), state), payments=(("adyen-eu", PSP),))


def others(status: Any = "succeeded", failure: str = "", **changes: Any) -> Addressed:
    """A refund we did not ask for."""
    return refund_fact(status, failure, leg="", epoch=0, **changes)


def payment_fact(currency: str = "EUR", **state: Any) -> Addressed:
    report = PaymentReported("adyen-eu", (PSP,), PaymentState(**state), currency)
    return Addressed(report, payments=(("adyen-eu", PSP),))


def dispute_fact(status: str, is_open: bool, withdrawn: int, **changes: Any) -> Addressed:
    fields = {"dispute": DISPUTE_PSP, "amount": 10000, "currency": "EUR", **changes}
    payment = fields.pop("payment", PSP)
    fact = DisputeReported(
        "adyen-eu", (payment,), status=status, open=is_open, withdrawn=withdrawn, **fields
    )
    return Addressed(fact, payments=(("adyen-eu", payment),))


def capture_fact(status: Any = "succeeded", failure: str = "", **changes: Any) -> Addressed:
    fields = {"amount": 7000, "currency": "EUR", **changes}
    state = CaptureState(REFUND_PSP, status=status, failure_reason=failure, **fields)
    return Addressed(CaptureReported("adyen-eu", (PSP,), state), payments=(("adyen-eu", PSP),))


def reversal_fact(**changes: Any) -> Addressed:
    state = RefundState(REFUND_PSP, **{"amount": 3200, "currency": "EUR", **changes})
    return Addressed(ReversalReported("adyen-eu", (PSP,), state), payments=(("adyen-eu", PSP),))


def release_fact(done: bool, failure: str = "", leg: str = "", epoch: int = 0) -> Addressed:
    state = ReleaseState(REFUND_PSP, done, leg, epoch, failure)
    return Addressed(ReleaseReported("adyen-eu", (PSP,), state), payments=(("adyen-eu", PSP),))


CANCELED = payment_fact(canceled=True, capturable=0)

_REFUNDS = (
    Heard("refund sent to the scheme", ours("REFUND"), (refund_fact(),)),
    Heard(
        "what the customer's bank finds it by, for people",
        ours("REFUND", extra={"arn": "74980000000000000000001"}),
        (
            refund_fact(
                bank_reference="74980000000000000000001",
                bank_reference_type="acquirer_reference_number",
            ),
        ),
    ),
    Heard(
        "no reference, but somebody's name",
        ours("REFUND", extra={"arn": "Jane Doe"}),
        (refund_fact(),),
    ),
    Heard(
        "refund refused, the sentence known",
        ours(
            "REFUND",
            success="false",
            reason="Transaction hasn't been captured, refund not possible",
        ),
        (refund_fact("failed", "not_captured"),),
    ),
    Heard(
        "refund refused, more than is left of the payment",
        ours("REFUND", success="false", reason="Insufficient balance on payment"),
        (refund_fact("failed", "insufficient_balance"),),
    ),
    Heard(
        "refund refused in words that may name anybody",
        ours("REFUND", success="false", reason="Ask Jane Doe, +31 20 555 0100"),
        (refund_fact("failed", "refused"),),
    ),
    Heard(
        "edge-08: refund failed after it had succeeded; the event's success is true",
        ours("REFUND_FAILED", reason="Refund Failed"),
        (refund_fact("failed", "refund_failed"),),
    ),
    Heard("a failure that did not happen", ours("REFUND_FAILED", success="false"), ()),
    Heard(
        "edge-08: refunded money came back",
        ours("REFUNDED_REVERSED"),
        (refund_fact("failed", "refunded_reversed"),),
    ),
    Heard("refund waits for the capture", ours("POSTPONED_REFUND"), (refund_fact("pending"),)),
    Heard("edge-10: refund from the Customer Area", one("REFUND"), (others(),)),
    Heard(
        "a reference that only resembles ours",
        ours("REFUND", merchantReference="amends.leg_01.1 "),
        (others(),),
    ),
    Heard("no reference, or null", ours("REFUND", merchantReference=None), (others(),)),
    Heard("a refund to a card, of no payment", one("REFUND_WITH_DATA", originalReference=None), ()),
    Heard("a refund to a card, of a payment", one("REFUND_WITH_DATA"), (others(),)),
    Heard("a refund at the terminal taken back", one("VOID_PENDING_REFUND"), ()),
    Heard(
        "edge-16: a currency Adyen gives decimals",
        ours("REFUND", currency="CLP", value=99000),
        (refund_fact(amount=990, currency="CLP"),),
    ),
    Heard(
        "edge-16: a currency Adyen takes them from",
        ours("REFUND", currency="IDR", value=15000),
        (refund_fact(amount=1500000, currency="IDR"),),
    ),
    Heard(
        "reversed, said to be a refund: what is not signed decides nothing",
        one("CANCEL_OR_REFUND", extra={"modification.action": "refund"}),
        (reversal_fact(status="succeeded"),),
    ),
    Heard(
        "reversed, said to be a cancellation: the same fact",
        one("CANCEL_OR_REFUND", extra={"modification.action": "cancel"}),
        (reversal_fact(status="succeeded"),),
    ),
    Heard(
        "not reversed, as we had asked",
        ours("CANCEL_OR_REFUND", success="false"),
        (reversal_fact(status="failed", leg="leg_01", epoch=1, failure_reason="refused"),),
    ),
)

_PAYMENTS = (
    Heard(
        "authorised",
        one("AUTHORISATION", pspReference=PSP, originalReference=None, value=10000),
        (payment_fact(authorized=10000),),
    ),
    Heard(
        "refused",
        one("AUTHORISATION", pspReference=PSP, originalReference=None, success="false"),
        (),
    ),
    Heard("edge-20: captured in part", one("CAPTURE", value=7000), (capture_fact(),)),
    Heard(
        "edge-20: the rest captured as we asked",
        ours("CAPTURE", value=7000),
        (capture_fact(leg="leg_01", epoch=1),),
    ),
    Heard(
        "not captured",
        one("CAPTURE", value=7000, success="false", reason="Insufficient balance on payment"),
        (capture_fact("refused", "insufficient_balance"),),
    ),
    Heard(
        "capture rejected later; the event's success is true",
        one("CAPTURE_FAILED", value=7000, reason="Capture Failed"),
        (capture_fact("failed", "refused"),),
    ),
    Heard("a failure of a capture that did not happen", one("CAPTURE_FAILED", success="false"), ()),
    Heard("edge-20: canceled", one("CANCELLATION"), (release_fact(True),)),
    Heard(
        "edge-20: canceled as we asked",
        ours("CANCELLATION"),
        (release_fact(True, leg="leg_01", epoch=1),),
    ),
    Heard(
        "edge-21: not canceled, captured meanwhile",
        one("CANCELLATION", success="false", reason="Transaction has been captured"),
        (release_fact(False, "refused"),),
    ),
    Heard("canceled by the shop's reference", one("TECHNICAL_CANCEL"), (CANCELED,)),
    Heard("canceled before there was a payment", one("TECHNICAL_CANCEL", originalReference=""), ()),
    Heard(
        "authorization ran out",
        one("EXPIRE", pspReference=PSP, originalReference=None, value=10000),
        (CANCELED,),
    ),
)

_DISPUTES = (
    Heard(
        "dispute opens: no money yet",
        disputed("NOTIFICATION_OF_CHARGEBACK"),
        (dispute_fact("notification_of_chargeback", True, -1, step=1),),
    ),
    Heard(
        "inquiry",
        disputed("REQUEST_FOR_INFORMATION"),
        (dispute_fact("request_for_information", True, -1, step=1),),
    ),
    Heard(
        "edge-11: money taken",
        disputed("CHARGEBACK", extra={"disputeStatus": "Won"}),
        (dispute_fact("chargeback", True, 10000, step=2),),
    ),
    Heard(
        "defended: money back, not for good",
        disputed("CHARGEBACK_REVERSED"),
        (dispute_fact("chargeback_reversed", True, 0, step=3),),
    ),
    Heard(
        "edge-13: taken again, fees of the arbitration on top",
        disputed("SECOND_CHARGEBACK", value=10600),
        (dispute_fact("lost", False, 10600, amount=10600),),
    ),
    Heard(
        "a code without the payment's reference",
        disputed("SECOND_CHARGEBACK", originalReference=None),
        (dispute_fact("lost", False, 10000, payment=DISPUTE_PSP),),
    ),
    Heard("won", disputed("PREARBITRATION_WON"), (dispute_fact("won", False, 0),)),
    Heard("lost", disputed("SCHEME_ARBITRATION_LOST"), (dispute_fact("lost", False, 10000),)),
    Heard(
        "nobody defended: the money goes by its own code",
        disputed("DISPUTE_DEFENSE_PERIOD_ENDED", extra={"disputeStatus": "Lost"}),
        (dispute_fact("dispute_defense_period_ended", True, -1, step=2),),
    ),
    Heard("a chargeback that is none", disputed("CHARGEBACK", success="false"), ()),
    Heard(
        "edge-12: early fraud warning",
        disputed("NOTIFICATION_OF_FRAUD", extra={"nofReasonCode": "6"}),
        (
            Addressed(
                FraudWarned("adyen-eu", (PSP,), DISPUTE_PSP, True), payments=(("adyen-eu", PSP),)
            ),
        ),
    ),
)

_OTHER = (
    Heard("not about refunds", one("REPORT_AVAILABLE", pspReference="report.csv"), ()),
    Heard("a code of tomorrow", one("REFUND_DREAMT_OF"), ()),
    Heard("a success nobody knows", one("REFUND", success="maybe"), ()),
    Heard("another merchant account's", one("REFUND", merchantAccountCode="AmendsPOS"), ()),
    Heard("another shop's, in a currency of old", ours("REFUND", currency="VEF"), ()),
    Heard("no amount where none is needed", body({**item("ORDER_CLOSED"), "amount": None}), ()),
    Heard(
        "several items, one of another account",
        body(
            item("REFUND", merchantReference=MARK),
            item("CHARGEBACK", merchantAccountCode="AmendsPOS"),
            item("CAPTURE", value=7000),
        ),
        (refund_fact(), capture_fact()),
    ),
)


def _refund(**changes: Any) -> bytes:
    return dumps(one("REFUND", **changes))


HEARING = Table(
    gateway=adyen,
    settings=SETTINGS,
    secret=SECRET,
    other_secret=OTHER_SECRET,
    sign=sign,
    vectors=("adyen.json", "adyen_header.json"),
    payloads=("adyen.json",),
    verify=adyen.verify,
    judge=lambda vectors, case: judge(adyen.verify, case, case["hex_keys"]),
    heard=_REFUNDS + _PAYMENTS + _DISPUTES + _OTHER,
    unreadable=(
        ("no JSON", b"hello", "JSON"),
        ("no UTF-8", b'{"type":"\xff"}', "JSON"),
        ("no object", b"[]", "object"),
        ("no type", dumps({"environment": "test"}), "type"),
        ("no list", dumps({"notificationItems": {}}), "notificationItems"),
        ("no items", dumps(body()), "notificationItems"),
        ("items of another kind", dumps({"notificationItems": [1]}), "notificationItems"),
        ("an item of nothing", dumps({"notificationItems": [{}]}), "pspReference"),
        ("no code", _refund(eventCode=None), "eventCode"),
        ("no reference of its own", _refund(pspReference=""), "pspReference"),
        ("of no payment", _refund(originalReference=None), "originalReference"),
        ("truth for a text", _refund(success=True), "success"),
        ("a colon that could part two values", _refund(originalReference="A:B"), "colon"),
        ("no amount", dumps(body({**item("REFUND"), "amount": {}})), "amount"),
        ("half an amount", _refund(value=1.5), "value"),
        ("a text for an amount", _refund(value="3200"), "value"),
        ("truth for an amount", _refund(value=True), "value"),
        ("less than nothing", _refund(value=-1), "negative"),
        ("more than an int64", _refund(value=2**63), "value"),
        ("no currency", _refund(currency=None), "currency"),
        ("half a peso", _refund(currency="CLP", value=150), "CLP"),
        ("one bad item of two", dumps(body(item("CAPTURE"), item("REFUND", value=-1))), "REFUND"),
    ),
    type_of=events_of,
    seal=seal,
    ages=False,
)
