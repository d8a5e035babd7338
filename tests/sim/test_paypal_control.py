"""PayPal's part of the control API: its truth, its commands, and its refusals."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from amends.gateways import paypal as gateway
from amends.gateways.spec import Genuine, Settings, Trust

PAYPAL: dict[str, Any] = {"gateway": "paypal"}


@pytest.fixture
def control(served: Any) -> Iterator[Any]:
    """Commands to PayPal's look-alike."""
    yield lambda op, **command: served.control(op, **PAYPAL, **command)


def test_movements_and_payments_have_the_shape_of_all_providers(served: Any, control: Any) -> None:
    made = control("payment", id="AUTH1", amount=500, capture="manual", captured=300)
    assert made == {
        "ok": True,
        "payment": "AUTH1",
        "order": "OAUTH1",
        "charge": "CAUTH1",
        "status": "COMPLETED",
    }
    given = control("dashboard_refund", payment="AUTH1", amount=100)
    (item,) = served.refunds()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", item.pop("at"))
    assert item == {
        "gateway": "paypal",
        "psp_payment_id": "AUTH1",
        "psp_refund_id": given["refund"],
        "kind": "refund",
        "amount": 100,
        "currency": "EUR",
        "status": "succeeded",
        "key": None,
        "settled_currency": "EUR",
        "settled": 100,
        "settled_fee": 0,
    }
    served.control("payment", id="pi_1", amount=500)
    stripe, paypal = served.get("/control/payments")["items"]
    assert set(stripe) == set(paypal) - {"order"}
    assert paypal == {
        "gateway": "paypal",
        "psp_payment_id": "AUTH1",
        "order": "OAUTH1",
        "charge": "CAUTH1",
        "currency": "EUR",
        "status": "PARTIALLY_REFUNDED",
        "authorized": 500,
        "captured": 300,
        "capturable": 0,
        "refunded": 100,
        "disputed": 0,
    }


def test_many_at_once(served: Any, control: Any) -> None:
    assert control("payments", count=3, prefix="B", each={"amount": 700})["made"] == 3
    items = served.get("/control/payments")["items"]
    assert [item["psp_payment_id"] for item in items] == ["B1", "B2", "B3"]


@pytest.mark.parametrize(
    "command",
    [
        {"op": "nonsense"},
        {"op": "payment"},
        {"op": "payment", "id": "P9", "amount": 0},
        {"op": "payment", "id": "pi_9", "amount": 1},
        {"op": "payment", "id": "P" * 19, "amount": 1},
        {"op": "payment", "id": "P9", "amount": 1, "currency": "KWD"},
        {"op": "payment", "id": "P9", "amount": 150, "currency": "HUF"},
        {"op": "payment", "id": "P9", "amount": 1, "captured": 1},
        {"op": "payment", "id": "P9", "amount": 1, "captured": 2, "capture": "manual"},
        {"op": "payment", "id": "P9", "amount": 1, "charge": "C9"},
        {"op": "payment", "id": "TAKEN", "amount": 1},
        {"op": "payment", "id": "OTAKEN", "amount": 1},
        {"op": "payment", "id": "P9", "amount": 1, "metadata": {}},
        {"op": "payments", "count": 1, "prefix": "P", "each": {}},
        {"op": "approve", "order": "NONE"},
        {"op": "approve", "order": "OTAKEN"},
        {"op": "refund_outcome", "status": "failed", "then": "succeeded"},
        {"op": "refund_outcome", "status": "pending", "count": 0},
        {"op": "capture_outcome", "status": "succeeded"},
        {"op": "settle_capture", "capture": "TAKEN"},
        {"op": "settle_capture", "capture": "NONE"},
        {"op": "settle_refund"},
        {"op": "settle_refund", "refund": "NONE"},
        {"op": "fail_refund", "refund": "NONE"},
        {"op": "refusal", "issue": "MOOD"},
        {"op": "refusal", "issue": "REFUND_NOT_ALLOWED", "count": 0},
        {"op": "reverse", "payment": "NONE"},
        {"op": "reverse", "payment": "TAKEN", "amount": 0},
        {"op": "dashboard_refund", "payment": "NONE"},
        {"op": "dashboard_refund", "payment": "TAKEN", "amount": 101},
        {"op": "dashboard_refund", "payment": "TAKEN", "amount": 0},
        {"op": "dashboard_refund", "payment": "HELD"},
        {"op": "dashboard_capture", "payment": "TAKEN"},
        {"op": "dashboard_capture", "payment": "HELD", "amount": 0},
        {"op": "dashboard_cancel", "payment": "TAKEN"},
        {"op": "expire", "payment": "TAKEN"},
        {"op": "open_dispute", "payment": "HELD"},
        {"op": "open_dispute", "payment": "TAKEN", "reason": "fraudulent"},
        {"op": "open_dispute", "payment": "TAKEN", "status": "RESOLVED"},
        {"op": "open_dispute", "payment": "TAKEN", "amount": 0},
        {"op": "update_dispute", "payment": "TAKEN", "status": "UNDER_REVIEW"},
        {"op": "update_dispute", "dispute": "PP-D-1", "status": "MOOD"},
        {"op": "close_dispute", "dispute": "PP-D-1", "status": "won"},
        {"op": "close_dispute", "payment": "TAKEN", "status": "RESOLVED"},
        {"op": "fund", "currency": "EUR", "amount": 1},
        {"op": "balance", "currency": "XXX", "amount": 1},
        {"op": "settings", "token_age_s": "long"},
        {"op": "fraud_warning", "payment": "TAKEN"},
    ],
)
def test_bad_commands_are_refused_with_a_sentence(
    served: Any, control: Any, command: dict[str, Any]
) -> None:
    control("payment", id="TAKEN", amount=100)
    control("payment", id="HELD", amount=100, capture="manual")
    status, answer = served.post(PAYPAL | command)
    assert status == 400 and not answer["ok"]
    assert answer["error"].endswith(".") and len(answer["error"]) > 15
    assert len(served.get("/control/payments")["items"]) == 2 and served.refunds() == []


@pytest.mark.parametrize(
    ("op", "more", "kind", "status"),
    [
        ("dashboard_capture", {"amount": 60}, "capture", "COMPLETED"),
        ("dashboard_cancel", {}, "void", "VOIDED"),
        ("expire", {}, "void", "VOIDED"),
    ],
)
def test_what_people_and_time_do(
    served: Any, control: Any, op: str, more: dict[str, Any], kind: str, status: str
) -> None:
    control("payment", id="HELD", amount=100, capture="manual")
    assert control(op, payment="HELD", **more)["status"] == status
    (item,) = served.refunds()
    assert (item["kind"], item["key"]) == (kind, None)


def test_pending_refunds_are_settled_at_once(served: Any, control: Any) -> None:
    control("payment", id="P1", amount=500)
    control("refund_outcome", status="pending")
    for _ in range(2):
        control("dashboard_refund", payment="P1", amount=100)
    assert control("settle_refunds")["settled"] == 2
    assert {item["status"] for item in served.refunds()} == {"succeeded"}
    assert control("settle_refunds", status="failed")["settled"] == 0


def test_a_webhook_over_http_is_genuine_for_our_gateway(
    served: Any, control: Any, receiver: Any
) -> None:
    """The certificate comes from where the message says, the authority from the control API."""
    control("webhook", url=receiver.url, secret="WEBHOOK1")
    control("payment", id="P1", amount=500)
    control("dashboard_refund", payment="P1")
    headers, body = receiver.got.get(timeout=10)
    lowered = {name.lower(): value for name, value in headers.items()}
    base = served.url + "/paypal"
    at = Settings(name="p", gateway="paypal", base_url=base, values={"environment": "sandbox"})
    url = gateway.certificate_url(lowered, at)
    assert url.startswith(base)
    with urllib.request.urlopen(url, timeout=10) as answer:
        chain = answer.read()
    trust = Trust(url, chain, control("trust_anchors")["pem"].encode())
    now = 1_790_000_000_000_000
    assert isinstance(gateway.verify(body, lowered, ("WEBHOOK1",), now, trust), Genuine)
    (link,) = [x for x in json.loads(body)["resource"]["links"] if x["rel"] == "up"]
    assert link["href"] == f"{base}/v2/payments/captures/P1"
