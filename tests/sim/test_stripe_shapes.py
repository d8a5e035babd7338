"""What the look-alike shows is valid by the provider's own schemas."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SPEC = (
    Path(__file__).resolve().parents[3]
    / "shared"
    / "psp"
    / "openapi"
    / "stripe-sdk-derived-2026-10-28.json"
)

pytestmark = pytest.mark.skipif(
    not SPEC.exists(), reason=f"the provider's schemas are not beside the project: {SPEC}"
)


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(SPEC.read_text())
    return parsed


def check(spec: dict[str, Any], subject: dict[str, Any], name: str) -> None:
    """Valid by the schema of that name, and without a field the schema does not know."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
    jsonschema.Draft202012Validator(schema).validate(subject)
    assert set(subject) <= set(spec["components"]["schemas"][name]["properties"])


def lively(bench: Any) -> None:
    """A world in which everything has happened."""
    bench.listen()
    bench.payment(announce=True)
    bench.payment("pi_2", capture="manual", announce=True)
    bench.payment("pi_3", capture="manual", captured=600)
    bench.payment("pi_4", method="sepa_debit")
    bench.ask("POST", "/v1/payment_intents/pi_2/cancel")
    for status in ("succeeded", "pending", "requires_action", "failed"):
        bench.control("refund_outcome", status=status, count=1)
        bench.refund("pi_1", 100)
    bench.refund("pi_4")
    last = bench.refund("pi_3")
    bench.control("fail_refund", refund=last["id"])
    bench.control("fraud_warning", payment="pi_3")
    bench.control("open_dispute", payment="pi_1")
    bench.control("close_dispute", payment="pi_1", status="won")
    bench.control("open_dispute", payment="pi_3", status="warning_needs_response")
    bench.ask(
        "POST",
        "/v1/payment_intents",
        {"amount": 500, "currency": "eur", "automatic_payment_methods[enabled]": "true"},
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/payment_intents", "payment_intent"),
        ("/v1/charges", "charge"),
        ("/v1/refunds", "refund"),
        ("/v1/disputes", "dispute"),
        ("/v1/balance_transactions", "balance_transaction"),
        ("/v1/radar/early_fraud_warnings", "radar.early_fraud_warning"),
        ("/v1/events", "event"),
    ],
)
def test_objects(bench: Any, spec: dict[str, Any], path: str, name: str) -> None:
    lively(bench)
    listed = bench.ask("GET", path, {"limit": 100})
    assert (listed["object"], listed["url"], listed["has_more"]) == ("list", path, False)
    assert listed["data"]
    for item in listed["data"]:
        check(spec, item, name)
        assert bench.ask("GET", f"{path}/{item['id']}") == item


def test_events_carry_valid_objects(bench: Any, spec: dict[str, Any]) -> None:
    lively(bench)
    events = bench.events()
    assert len({event["type"] for event in events}) >= 14
    for event in events:
        check(spec, event, "event")
        check(spec, event["data"]["object"], event["data"]["object"]["object"])


def test_expanded_objects(bench: Any, spec: dict[str, Any]) -> None:
    lively(bench)
    params = {"expand[0]": "data.charge.payment_intent", "expand[1]": "data.balance_transaction"}
    for refund in bench.ask("GET", "/v1/refunds", params)["data"]:
        check(spec, refund, "refund")
        check(spec, refund["charge"]["payment_intent"], "payment_intent")
        check(spec, refund["balance_transaction"], "balance_transaction")


def test_balance_and_errors(bench: Any, spec: dict[str, Any]) -> None:
    lively(bench)
    check(spec, bench.ask("GET", "/v1/balance"), "balance")
    error = bench.ask("POST", "/v1/payment_intents/pi_1/cancel", status=400)
    check(spec, error, "error")
    check(spec, error["error"]["payment_intent"], "payment_intent")
    check(spec, bench.ask("GET", "/v1/refunds/re_x", status=404), "error")
