"""What the Adyen look-alike takes, answers and sends is valid by Adyen's own schemas, and our
gateway writes and reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    RefundIntent,
    ReverseIntent,
)
from amends.gateways import adyen as gateway
from amends.gateways.adyen_objects import mark
from amends.gateways.spec import Response
from amends.kernel.outcome import Accepted, Declined, NotSent, Unknown
from tests.sim.adyen_bench import ACCOUNT, PSP, AdyenBench, item_of
from tests.sim.test_adyen_webhooks import SETTINGS, lively

SPECS = Path(__file__).resolve().parents[3] / "shared" / "psp" / "openapi"
VERSIONS = ("v71", "v72")
ROUTES = {
    "refunds": "/payments/{paymentPspReference}/refunds",
    "captures": "/payments/{paymentPspReference}/captures",
    "cancels": "/payments/{paymentPspReference}/cancels",
    "reversals": "/payments/{paymentPspReference}/reversals",
    "": "/cancels",
}
# Adyen's own schemas of webhooks lack what Adyen's own examples carry, the signature among it.
SCHEMAS = {
    "AUTHORISATION": "AuthorisationNotificationRequestItem",
    "CAPTURE": "CaptureNotificationRequestItem",
    "CAPTURE_FAILED": "RefundCaptureFailedNotificationRequestItem",
    "CANCELLATION": "CancellationNotificationRequestItem",
    "CANCEL_OR_REFUND": "CancelOrRefundNotificationRequestItem",
    "REFUND": "RefundNotificationRequestItem",
    "EXPIRE": "ExpireNotificationRequestItem",
    "CHARGEBACK": "DisputesNotificationRequestItem",
    "CHARGEBACK_REVERSED": "DisputesNotificationRequestItem",
    "SECOND_CHARGEBACK": "DisputesNotificationRequestItem",
    "NOTIFICATION_OF_CHARGEBACK": "DisputesNotificationRequestItem",
    "NOTIFICATION_OF_FRAUD": "DisputesNotificationRequestItem",
    "REQUEST_FOR_INFORMATION": "DisputesNotificationRequestItem",
    "INFORMATION_SUPPLIED": "DisputesNotificationRequestItem",
}

official = pytest.mark.skipif(
    not SPECS.is_dir(), reason=f"the provider's schemas are not beside the project: {SPECS}"
)


@pytest.fixture(scope="module")
def specs() -> dict[str, Any]:
    names = [f"adyen-checkout-{version}-modifications" for version in VERSIONS]
    found = {
        version: json.loads((SPECS / f"{name}.json").read_text())
        for version, name in zip(VERSIONS, names, strict=True)
    }
    return found | {"webhooks": json.loads((SPECS / "adyen-webhooks-v1.json").read_text())}


def schema(spec: Any, action: str, status: int | None = None) -> dict[str, Any]:
    """The schema of a request, or of the answer with a status."""
    operation = spec["paths"][ROUTES[action]]["post"]
    place = operation["requestBody"] if status is None else operation["responses"][str(status)]
    found: dict[str, Any] = place["content"]["application/json"]["schema"]
    return found | {"components": spec["components"]}


AMOUNT = {"currency": "EUR", "value": 100}
LINES = [{"id": "1", "quantity": 1, "amountIncludingTax": 100, "taxPercentage": 1900}]
WHOLE = {
    "merchantAccount": ACCOUNT,
    "reference": "r-1",
    "applicationInfo": {"adyenLibrary": {"name": "x", "version": "1"}},
}
BODIES: dict[str, dict[str, Any]] = {
    "refunds": WHOLE
    | {"amount": AMOUNT, "merchantRefundReason": "FRAUD", "lineItems": LINES, "store": "s"},
    "captures": WHOLE | {"amount": AMOUNT, "lineItems": LINES},
    "cancels": WHOLE,
    "reversals": WHOLE,
    "": WHOLE | {"paymentReference": "1001"},
}


def path(action: str, version: str = "v72") -> str:
    return f"/{version}" + ROUTES[action].replace("{paymentPspReference}", PSP)


@official
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("action", BODIES)
def test_requests_and_answers(adyen: Any, specs: Any, version: str, action: str) -> None:
    adyen.payment(capture="manual", multicapture=True)
    OAS31Validator(schema(specs[version], action)).validate(BODIES[action])
    answer = adyen.ask(path(action, version), BODIES[action])
    OAS31Validator(schema(specs[version], action, 201)).validate(answer)


@official
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({}, {}, 400),
        ({}, {"x-api-key": "no"}, 401),
        (BODIES["refunds"] | {"merchantAccount": "Other"}, {}, 403),
        (BODIES["refunds"] | {"reference": "r" * 81}, {}, 422),
    ],
)
def test_errors(adyen: Any, specs: Any, body: Any, headers: Any, status: int) -> None:
    adyen.payment()
    body = {"amount": AMOUNT} | body
    error = adyen.ask(path("refunds"), body, headers=headers, status=status)
    OAS31Validator(schema(specs["v72"], "refunds", status)).validate(error)
    adyen.control("fault", kind="error_500", count=1)
    error = adyen.ask(path("refunds"), BODIES["refunds"], status=500)
    OAS31Validator(schema(specs["v72"], "refunds", 500)).validate(error)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(("EUR", "USD", ACCOUNT, "RETURN", "FRAUD", "r" * 81, "")),
    st.just(AMOUNT),
    st.just(LINES),
    st.dictionaries(st.sampled_from(("currency", "value", "id", "name", "x")), st.integers(0, 9)),
)
_FIELDS = st.sampled_from(
    "amount merchantAccount reference merchantRefundReason lineItems store applicationInfo "
    "paymentReference capturePspReference splits colour".split()
)


@official
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.dictionaries(_FIELDS, _VALUES, max_size=3))
def test_whatever_is_accepted_is_valid(specs: Any, action: str, changes: dict[str, Any]) -> None:
    bench = AdyenBench()
    bench.payment(capture="manual", multicapture=True)
    body = BODIES[action] | changes
    answer = bench.send(path(action), body)
    assert answer.status in (201, 400, 403, 422)
    if answer.status == 201:
        OAS31Validator(schema(specs["v72"], action)).validate(body)
        OAS31Validator(schema(specs["v72"], action, 201)).validate(json.loads(answer.body))


@official
def test_webhooks(adyen: Any, specs: Any) -> None:
    adyen.listen()
    lively(adyen)
    checked = set()
    components = specs["webhooks"]["components"]
    for delivery in adyen.due(1):
        item = item_of(delivery)
        name = SCHEMAS.get(item["eventCode"])
        if name is not None:
            known = components["schemas"][name]
            OAS31Validator(known | {"components": components}).validate(item)
            checked.add(item["eventCode"])
    assert checked == set(SCHEMAS)


# -- our gateway against it ----------------------------------------------------------------------

MARKS: dict[str, Any] = {
    "connection": "adyen-eu",
    "psp_payment_id": PSP,
    "currency": "EUR",
    "key": "key-1",
    "order": "ord_1",
    "refund": "rf_1",
    "leg": "leg_1",
    "epoch": 1,
}
REFUND = RefundIntent(**MARKS, amount=3_000, reason="return")
INTENTS: dict[str, Intent] = {
    "refunds": REFUND,
    "captures": CaptureRestIntent(**MARKS, amount=7_000),
    "cancels": CancelIntent(**MARKS, reason="cancelled"),
    "reversals": ReverseIntent(**MARKS),
}


def heard(bench: AdyenBench, intent: Intent) -> Any:
    """What the gateway makes of the look-alike's answer to an intent."""
    connection = msgspec.structs.replace(SETTINGS, base_url="http://psp.test/adyen")
    request = gateway.write(intent, connection)
    where = urlsplit(request.url).path.removeprefix("/adyen")
    headers = {name.lower(): value for name, value in request.headers}
    answer = bench.send(where, request.body, headers=headers, method=request.method)
    lower = {name.lower(): value for name, value in answer.headers.items()}
    return gateway.parse(intent, Response(answer.status, lower, answer.body))


@pytest.mark.parametrize("action", INTENTS)
def test_what_our_gateway_asks_is_taken_up(adyen: Any, action: str) -> None:
    adyen.listen()
    adyen.payment(capture="automatic" if action == "refunds" else "manual")
    outcome = heard(adyen, INTENTS[action])
    assert isinstance(outcome, Accepted)
    (item,) = adyen.items()
    assert item["merchantReference"] == mark("leg_1", 1) and item["success"] == "true"
    assert outcome.reference == item["pspReference"]
    assert heard(adyen, INTENTS[action]) == outcome  # the same bytes under the same key
    assert len(adyen.world.movements()) == 1


def test_errors_are_the_outcomes_they_are(adyen: Any) -> None:
    assert isinstance(heard(adyen, REFUND), Declined)  # no such payment, kept under its key
    adyen.payment()

    def under(key: str, kind: str, **more: Any) -> Any:
        adyen.control("fault", kind=kind, count=1, **more)
        return heard(adyen, msgspec.structs.replace(REFUND, key=key))

    assert isinstance(under("k1", "rate_limit"), NotSent)
    for kind in ("unavailable", "lock_timeout"):
        again = under("k2", kind)
        assert isinstance(again, Unknown) and not again.stored
    for after_work in (True, False):
        broken = under(f"k3{after_work}", "error_500", after_work=after_work)
        assert isinstance(broken, Unknown) and broken.stored
    assert [m.amount for m in adyen.world.movements()] == [3_000]
