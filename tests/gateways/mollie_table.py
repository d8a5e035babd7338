"""What Mollie tells and what it means, what is asked of it and what it answers, case by case."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from amends.core.effects import Intent, LookupPaymentIntent, LookupRefundsIntent, RefundIntent
from amends.core.facts import Addressed, RefundReported
from amends.gateways import mollie
from amends.gateways.spec import Failure, Request, Response, Settings
from amends.kernel.outcome import (
    Accepted,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    RefundState,
    Unknown,
)
from amends.kernel.time import SECOND
from tests.gateways.table import NOW, Amounts, Asked, Heard, MoneyTable, Table, dumps, judge

KEY = "test_" + "tAbLeKeY" * 4
SETTINGS = Settings(name="mollie-eu", gateway="mollie", values={"api_key": KEY})
SECRET, OTHER_SECRET = "table-signing-secret", "another-signing-secret"
PAYMENT, REFUND_ID = "tr_5B8cwPMGnTable", "re_4qqhOTable"
TIME = "2026-09-21T14:13:20+00:00"
API = "https://api.mollie.com/v2"


def sign(raw: bytes, secret: str, seconds: int) -> dict[str, str]:
    """The head of a genuine message; it tells no time."""
    mac = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return {"x-mollie-signature": f"sha256={mac}"}


def money(value: str = "32.00", currency: str = "EUR") -> dict[str, str]:
    return {"currency": currency, "value": value}


def marks(leg: str = "leg_01", epoch: str = "1") -> dict[str, str]:
    ours = {"amends_order": "ord_01", "amends_refund": "rf_01"}
    return {**ours, "amends_leg": leg, "amends_epoch": epoch}


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "resource": "refund",
        "id": REFUND_ID,
        "mode": "test",
        "amount": money(),
        "status": "pending",
        "metadata": marks(),
        "paymentId": PAYMENT,
        "createdAt": TIME,
        **changes,
    }


def payment(**changes: Any) -> dict[str, Any]:
    return {
        "resource": "payment",
        "id": PAYMENT,
        "mode": "test",
        "amount": money("100.00"),
        "amountRefunded": money("32.00"),
        "status": "paid",
        **changes,
    }


def event(kind: str, entity: Any, **changes: Any) -> dict[str, Any]:
    embedded = {} if entity is None else {"_embedded": {"entity": entity}}
    made = {"resource": "event", "id": "event_table1", "type": kind, "createdAt": TIME}
    return {**made, "entityId": REFUND_ID, **embedded, **changes}


# --- what webhooks say -------------------------------------------------------------------------


def state(status: Any = "pending", **changes: Any) -> RefundState:
    fields = {"amount": 3200, "currency": "EUR", "leg": "leg_01", "epoch": 1, "psp_at": NOW}
    return RefundState(REFUND_ID, status, **{**fields, **changes})


def told(found: RefundState) -> Addressed:
    report = RefundReported("mollie-eu", (PAYMENT,), found)
    return Addressed(report, payments=(("mollie-eu", PAYMENT),))


def _heard(status: str, means: Any) -> Heard:
    return Heard(status, event(f"refund.{status}", refund(status=status)), (told(state(means)),))


HEARING = Table(
    gateway=mollie,
    settings=SETTINGS,
    secret=SECRET,
    other_secret=OTHER_SECRET,
    sign=sign,
    vectors=(),
    payloads=(),
    verify=mollie.verify,
    judge=lambda vectors, case: judge(mollie.verify, case, case["secrets"]),
    ages=False,
    type_of=lambda body: str(body.get("type") or f"refund.{body['status']}"),
    heard=(
        _heard("queued", "awaiting_funds"),
        _heard("pending", "pending"),
        _heard("processing", "pending"),
        _heard("refunded", "succeeded"),
        _heard("failed", "failed"),
        _heard("canceled", "canceled"),
        _heard("dreamt_of", "pending"),
        Heard("the refund alone", refund(status="failed"), (told(state("failed")),)),
        Heard(
            "made in the dashboard",
            event("refund.refunded", refund(status="refunded", metadata=None)),
            (told(state("succeeded", leg="", epoch=0)),),
        ),
        Heard(
            "marked by somebody else",
            event("refund.refunded", refund(status="refunded", metadata="order 33")),
            (told(state("succeeded", leg="", epoch=0)),),
        ),
        Heard(
            "no cents",
            event("refund.refunded", refund(status="refunded", amount=money("32", "JPY"))),
            (told(state("succeeded", amount=32, currency="JPY")),),
        ),
        Heard("not about refunds", event("payment-link.paid", {"id": "pl_1"}), ()),
        Heard("a type of tomorrow", event("balance.dreamt_of", None), ()),
    ),
    unreadable=(
        ("no JSON", b"hello", "JSON"),
        ("the older, unsigned kind", b"id=tr_5B8cwPMGnTable", "JSON"),
        ("no object", b"[]", "object"),
        ("another object", dumps(payment()), "event"),
        ("no id", dumps(event("refund.failed", refund(), id=None)), "id"),
        ("no type", dumps(event("", refund())), "type"),
        ("the short payload", dumps(event("refund.failed", None)), "full payload"),
        ("no payment", dumps(event("refund.failed", refund(paymentId=None))), "paymentId"),
        ("no amount", dumps(event("refund.failed", refund(amount=None))), "amount"),
        ("a number", dumps(event("refund.failed", refund(amount=money(5.95)))), "amount"),  # type: ignore[arg-type]
        ("half a yen", dumps(event("refund.failed", refund(amount=money("1.5", "JPY")))), "JPY"),
        ("less than nothing", dumps(event("refund.failed", refund(amount=money("-1")))), "amount"),
        ("no currency", dumps(event("refund.failed", refund(amount=money("1", "")))), "amount"),
        ("no money", dumps(event("refund.failed", refund(amount=money("1", "XYZ")))), "amount"),
    ),
)

# --- what is asked, and answered ---------------------------------------------------------------

REFUND = RefundIntent(
    connection="mollie-eu",
    psp_payment_id=PAYMENT,
    currency="EUR",
    key="leg_01-1",
    amount=3200,
    order="ord_01",
    refund="rf_01",
    leg="leg_01",
    epoch=1,
    reason="return",
)
LIST = LookupRefundsIntent(connection="mollie-eu", psp_payment_id=PAYMENT, currency="EUR")
READ = LookupPaymentIntent(connection="mollie-eu", psp_payment_id=PAYMENT, currency="EUR")

INTENTS: dict[str, Intent] = {
    "refund": REFUND,
    "refund of a yen": RefundIntent(
        **{**{f: getattr(REFUND, f) for f in REFUND.__struct_fields__}, "currency": "JPY"}
    ),
    "list": LIST,
    "list on": LookupRefundsIntent(
        connection="mollie-eu", psp_payment_id=PAYMENT, currency="EUR", cursor=REFUND_ID
    ),
    "read": READ,
}


def answer(status: int, body: Any, **headers: str) -> Response:
    return Response(status, {"content-type": "application/hal+json", **headers}, dumps(body))


def error(status: int, detail: str = "No.", **headers: str) -> Response:
    return answer(status, {"status": status, "title": "Refused", "detail": detail}, **headers)


def page(*refunds: Any, following: str = "") -> Response:
    link = {"href": following, "type": "application/hal+json"} if following else None
    body = {"count": len(refunds), "_embedded": {"refunds": list(refunds)}}
    return answer(200, {**body, "_links": {"self": {}, "previous": None, "next": link}})


def _maybe(words: str, **more: Any) -> Unknown:
    return Unknown(words, **more)


_CASES: tuple[tuple[str, Intent, Response | Failure, Outcome], ...] = (
    ("made", REFUND, answer(201, refund()), Accepted(refund=state())),
    (
        "the balance is short",
        REFUND,
        answer(201, refund(status="queued")),
        Accepted(refund=state("awaiting_funds")),
    ),
    (
        "another amount than asked",
        REFUND,
        answer(201, refund(amount=money("32.01"))),
        _maybe(
            f"HTTP 201 that cannot be read: the refund {REFUND_ID!r} is not the one asked for",
            alert=True,
        ),
    ),
    (
        "another refund of ours",
        REFUND,
        answer(201, refund(metadata=marks(epoch="2"))),
        _maybe(
            f"HTTP 201 that cannot be read: the refund {REFUND_ID!r} is not the one asked for",
            alert=True,
        ),
    ),
    ("listed", LIST, page(refund(status="refunded")), Accepted(refunds=(state("succeeded"),))),
    ("nothing listed", LIST, page(), Accepted()),
    (
        "more to list",
        LIST,
        page(refund(), following=f"{API}/payments/{PAYMENT}/refunds?from=re_next&limit=250"),
        Accepted(refunds=(state(),), next="re_next"),
    ),
    (
        "more to list, but from where",
        LIST,
        page(refund(), following=f"{API}/payments/{PAYMENT}/refunds?limit=250"),
        _maybe(
            "HTTP 200 that cannot be read: _links.next names no refund to go on from", alert=True
        ),
    ),
    (
        "half a list",
        LIST,
        page(refund(), None),
        _maybe(
            "HTTP 200 that cannot be read: refunds holds something that is not an object",
            alert=True,
        ),
    ),
    (
        "paid",
        READ,
        answer(200, payment()),
        Accepted(payment=PaymentState(authorized=10_000, captured=10_000, refunded=3200)),
    ),
    (
        "captured in part",
        READ,
        answer(200, payment(amountCaptured=money("60.00"), amountRefunded=None)),
        Accepted(payment=PaymentState(authorized=10_000, captured=6000)),
    ),
    (
        "authorized",
        READ,
        answer(200, payment(status="authorized", amountRefunded=None)),
        Accepted(payment=PaymentState(authorized=10_000)),
    ),
    (
        "expired",
        READ,
        answer(200, payment(status="expired", amountRefunded=None)),
        Accepted(payment=PaymentState(canceled=True)),
    ),
    (
        "another payment",
        READ,
        answer(200, payment(id="tr_other")),
        _maybe(
            "HTTP 200 that cannot be read: this is not the payment that was asked for", alert=True
        ),
    ),
    ("more than is left", REFUND, error(422, "Too much."), Declined("http_422", "Too much.")),
    ("no such payment", REFUND, error(404), Declined("http_404", "No.")),
    ("no error of Mollie's", REFUND, answer(422, {}), _maybe("HTTP 422", alert=True)),
    ("a key for other bytes", REFUND, error(400), _maybe("No.", stored=True, alert=True)),
    (
        "one like it was seen",
        REFUND,
        error(409, "A duplicate."),
        _maybe("A duplicate.", alert=True),
    ),
    ("not our key", REFUND, error(401), NotSent("No.", alert=True)),
    ("not ours to do", REFUND, error(403), NotSent("No.", alert=True)),
    (
        "too fast",
        REFUND,
        error(429, **{"retry-after": "7"}),
        NotSent("No.", retry_after=7 * SECOND),
    ),
    ("broken", REFUND, error(500), _maybe("No.")),
    (
        "away",
        REFUND,
        Response(503, {"retry-after": "3"}, b""),
        _maybe("HTTP 503", retry_after=3 * SECOND),
    ),
    ("moved", REFUND, Response(302, {}, b""), _maybe("HTTP 302", alert=True)),
    ("never left", REFUND, Failure(False, "refused"), NotSent("refused")),
    ("no answer", REFUND, Failure(True, "no answer in time"), _maybe("no answer in time")),
)


def _echo(intent: RefundIntent, request: Request) -> Response:
    sent = json.loads(request.body)
    return answer(201, refund(amount=sent["amount"], metadata=sent["metadata"]))


AMOUNTS = Amounts(
    refund=REFUND,
    said=lambda request: json.loads(request.body)["amount"]["value"],
    echo=_echo,
    worked=(
        ("EUR", 1050, "10.50"),
        ("EUR", 1, "0.01"),
        ("JPY", 500, "500"),
        ("KWD", 1234, "1.234"),
    ),
    unsayable=(),
)

MONEY = MoneyTable(
    gateway=mollie,
    settings=SETTINGS,
    intents=INTENTS,
    asked=tuple(Asked(*case) for case in _CASES),
    amounts=AMOUNTS,
    openapi=(),
    base_path="https://api.mollie.com",
    live=(("live_abc1", True), ("test_abc1", False), ("access_abc1", None), ("", None)),
    credential="api_key",
    secrets=(
        "live_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM",
        "access_Wwvu7egPcJLLJ9Kb7J632x8wJ2zMeJ",
        "4242 4242 4242 4242",
    ),
    harmless=(PAYMENT, REFUND_ID, "leg_01k-1", "test_mode"),
    words=("refund", "payment", "paid", "queued", "refunded", "EUR"),
)
