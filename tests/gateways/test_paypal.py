"""What is PayPal's alone: amounts, requests, its published errors and shapes, the login."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import ValidationError  # type: ignore[import-untyped]
from openapi_schema_validator import OAS30Validator

from amends.core.effects import Intent, RefundIntent
from amends.gateways import paypal
from amends.gateways.codecs import Malformed
from amends.gateways.paypal_values import WIRE_EXPONENT, money
from amends.gateways.registry import CERTIFIED, PROVIDERS, SIGNS_IN
from amends.gateways.spec import Failure, Request, Response, Settings, Token, Unwritable
from amends.kernel.currency import EXPONENT
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import DAY, SECOND
from tests.gateways.paypal_money_table import (
    CANCEL,
    FIND,
    LIST,
    READ,
    REFUND,
    REST,
    answer,
    error,
    issue,
)
from tests.gateways.paypal_table import (
    AUTH,
    CAPTURE,
    ORDER,
    SETTINGS,
    authorization,
    by_others,
    capture,
    dispute,
    order,
    refund,
)
from tests.gateways.paypal_table import money as paypal_money

Json = dict[str, Any]


def _body(intent: Intent) -> Any:
    return json.loads(paypal.write(intent, SETTINGS).body)


def _refund_of(**changes: Any) -> RefundIntent:
    return msgspec.structs.replace(REFUND, **changes)


# --- amounts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "minor"),
    [("10", 1000), ("10.5", 1050), (".5", 50), ("10.500", 1050), ("0.00", 0), ("007.10", 710)],
)
def test_amounts_are_read_however_they_are_written(value: str, minor: int) -> None:
    assert money({"m": {"currency_code": "eur", "value": value}}, "m") == (minor, "EUR")


@pytest.mark.parametrize(
    "value",
    ["", ".", "10.", "-1.00", "+1", "1e3", "1,00", "10.005", "٣", " 1", "1\n", "9" * 20, 10, None],
)
def test_what_is_no_amount_is_not_read(value: Any) -> None:
    with pytest.raises(Malformed):
        money({"m": {"currency_code": "EUR", "value": value}}, "m")


def test_edge_16_amounts_are_as_published(shared: Path) -> None:
    rows = json.loads((shared / "psp" / "currencies.json").read_text())["paypal"]
    assert set(WIRE_EXPONENT) == set(rows["supported"])
    for currency, exponent in WIRE_EXPONENT.items():
        assert exponent == rows["exponent"].get(currency, rows["default"]), currency
        step = 10 ** max(0, EXPONENT[currency] - exponent)
        assert paypal.CAPABILITIES.multiple_of.get(currency, 1) == step, currency


# --- requests ----------------------------------------------------------------------------------


def test_a_refund_says_its_amount_and_whose_it_is_and_nothing_to_the_buyer() -> None:
    for full in (False, True):
        assert _body(_refund_of(full=full, reason="fraud")) == {
            "amount": {"currency_code": "EUR", "value": "32.00"},
            "custom_id": "amends.ord_01.leg_01.1",
            "invoice_id": "leg_01-1",
        }


def test_the_mark_of_ids_as_the_engine_makes_them_fits() -> None:
    tail = "01k" + "z" * 23
    made = _refund_of(order=f"ord_{tail}", leg=f"leg_{tail}_12", epoch=999_999_999)
    body = _body(made)
    assert max(len(body["custom_id"]), len(body["invoice_id"])) <= 127
    outcome = paypal.parse(made, answer(201, refund(custom_id=body["custom_id"])))
    assert isinstance(outcome, Accepted)
    assert outcome.refund is not None
    assert (outcome.refund.leg, outcome.refund.epoch) == (made.leg, made.epoch)


@pytest.mark.parametrize("changes", [{"leg": "leg.1"}, {"order": "ä"}, {"order": "o" * 120}])
def test_what_is_no_mark_is_not_written(changes: Json) -> None:
    with pytest.raises(Unwritable, match="custom_id"):
        paypal.write(_refund_of(**changes), SETTINGS)


@pytest.mark.parametrize(
    "custom_id",
    [None, 7, "", "order-1001", "amends.a.b", "amends.a.b.c", "amends.a..1", "amends.a.b.1.2"],
)
def test_a_mark_that_is_not_ours_is_nobody_s(custom_id: Any) -> None:
    listed = order({"captures": [capture()], "refunds": [by_others(custom_id=custom_id)]})
    outcome = paypal.parse(LIST, answer(200, listed))
    assert isinstance(outcome, Accepted)
    assert [(state.leg, state.epoch) for state in outcome.refunds] == [("", 0)]


def test_the_rest_is_captured_for_good() -> None:
    """PayPal's own default keeps the authorization open."""
    assert _body(REST) == {
        "amount": {"currency_code": "EUR", "value": "70.00"},
        "final_capture": True,
    }


def test_a_void_has_no_body_and_asks_what_became_of_it() -> None:
    request = paypal.write(CANCEL, SETTINGS)
    assert request.body == b""
    assert request.url.endswith(f"/v2/payments/authorizations/{AUTH}/void")
    assert dict(request.headers)["Prefer"] == "return=representation"


def test_each_movement_goes_to_what_it_moves() -> None:
    paths: dict[str, Intent] = {
        "/v2/payments/captures/2CAP/refund": _refund_of(psp_payment_id=AUTH, capture="2CAP"),
        f"/v2/payments/captures/{CAPTURE}/refund": _refund_of(psp_payment_id=AUTH, charge=CAPTURE),
        f"/v2/payments/authorizations/{AUTH}/capture": REST,
        f"/v2/payments/authorizations/{AUTH}": READ,
        f"/v2/payments/captures/{CAPTURE}": FIND,
        f"/v2/checkout/orders/{ORDER}": LIST,
    }
    for path, intent in paths.items():
        assert paypal.write(intent, SETTINGS).url == paypal.API["sandbox"] + path


@pytest.mark.parametrize("key", ["", "k" * 109, "a\r\nX-Evil: 1", "schlüssel"])
def test_a_key_that_is_none_is_not_written(key: str) -> None:
    replace = msgspec.structs.replace
    intents: list[Intent] = [replace(REFUND, key=key), replace(CANCEL, key=key)]
    intents.append(replace(REST, key=key))
    for intent in intents:
        with pytest.raises(Unwritable, match="idempotency key"):
            paypal.write(intent, SETTINGS)


def test_the_longest_key_is_written() -> None:
    longest = paypal.write(_refund_of(key="k" * 108), SETTINGS)
    assert dict(longest.headers)["PayPal-Request-Id"] == "k" * 108


@pytest.mark.parametrize("environment", ["", "Live", "production"])
def test_without_an_environment_nothing_is_written(environment: str) -> None:
    values = {**SETTINGS.values, "environment": environment}
    nowhere = msgspec.structs.replace(SETTINGS, values=values)
    with pytest.raises(Unwritable, match="environment"):
        paypal.write(REFUND, nowhere)
    with pytest.raises(Unwritable, match="environment"):
        paypal.login(nowhere)


def test_live_and_sandbox_are_two_hosts() -> None:
    values = {**SETTINGS.values, "environment": "live"}
    url = paypal.write(REFUND, msgspec.structs.replace(SETTINGS, values=values)).url
    assert url.startswith("https://api-m.paypal.com/v2/")


def test_edge_04_keys_are_trusted_no_longer_than_paypal_keeps_them() -> None:
    assert paypal.CAPABILITIES.key_ttl == 45 * DAY


def test_the_engine_is_told_of_its_login_and_its_certificates() -> None:
    assert set(SIGNS_IN) == set(CERTIFIED) == {"paypal"} <= set(PROVIDERS)


# --- the login ---------------------------------------------------------------------------------


def test_the_login_names_the_client_and_no_request_holds_its_secret() -> None:
    request = paypal.login(SETTINGS)
    assert request.url == "https://api-m.sandbox.paypal.com/v1/oauth2/token"
    assert request.body == b"grant_type=client_credentials"
    scheme, _, pair = dict(request.headers)["Authorization"].partition(" ")
    assert scheme == "Basic"
    values = SETTINGS.values
    assert base64.b64decode(pair).decode() == f"{values['client_id']}:{values['client_secret']}"
    assert pair not in paypal.scrub(repr(request))


def test_a_token_goes_in_the_head_and_changes_nothing_else() -> None:
    plain = paypal.write(REFUND, SETTINGS)
    sent = paypal.authorize(plain, Token("A21AAOwn-token_1", SECOND))
    assert dict(sent.headers)["Authorization"] == "Bearer A21AAOwn-token_1"
    assert Request(plain.method, sent.url, sent.headers[1:], sent.body) == plain
    assert "A21AAOwn" not in paypal.scrub(repr(sent))


def _granted(**changes: Any) -> Json:
    return {"access_token": "A21AAOwn", "token_type": "Bearer", "expires_in": 32400, **changes}


LOGINS = [
    (answer(200, _granted()), Token("A21AAOwn", 32400 * SECOND)),
    (Failure(True, "no answer"), NotSent("no login: no answer")),
    (
        answer(
            401, {"error": "invalid_client", "error_description": "Client Authentication failed"}
        ),
        NotSent("no login: Client Authentication failed", alert=True, reference="debug_1"),
    ),
    (
        answer(429, b"", retry_after="3"),
        NotSent("no login: HTTP 429", retry_after=3 * SECOND, reference="debug_1"),
    ),
    (answer(503, b"<html>"), NotSent("no login: HTTP 503", reference="debug_1")),
]


@pytest.mark.parametrize(("result", "found"), LOGINS)
def test_a_login_gives_a_token_or_nothing_was_sent(result: Any, found: Any) -> None:
    assert paypal.token(result) == found


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        _granted(access_token=""),
        _granted(access_token="a\r\nX-Evil: 1"),
        _granted(access_token="a b"),
        _granted(access_token="ü"),
        _granted(expires_in=None),
        _granted(expires_in=0),
    ],
)
def test_a_token_that_cannot_be_sent_is_none(body: Any) -> None:
    found = paypal.token(answer(200, body))
    assert isinstance(found, NotSent)
    assert found.alert


@settings(max_examples=200, deadline=None)
@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=40)
    | st.dictionaries(st.text(max_size=9), st.text(max_size=9)).map(json.dumps).map(str.encode),
)
def test_the_login_never_raises(status: int, body: bytes) -> None:
    assert isinstance(paypal.token(Response(status, {}, body)), Token | NotSent)


# --- answers -----------------------------------------------------------------------------------


def _as_published(row: Json, name: str) -> Response:
    status = int(row["http"])
    return error(status, row.get("name", "UNPROCESSABLE_ENTITY"), *([name] if name else []))


def _obeys(action: str, outcome: Outcome) -> bool:
    kind = outcome.kind if isinstance(outcome, Declined) else ""
    if action.startswith("retry_same_key"):
        return isinstance(outcome, NotSent) or (isinstance(outcome, Unknown) and not outcome.stored)
    if action == "lookup_first":
        return kind == "refunded" or (isinstance(outcome, Unknown) and outcome.stored)
    if action.startswith(("later", "alert then retry with a NEW key")):
        return kind == "funds"
    if action.startswith("refresh token once"):
        return isinstance(outcome, NotSent) and outcome.alert
    kinds = {
        "success-equivalent after lookup": "canceled",
        "switch to refund": "captured",
        "void the original parent authorization": "final",
    }
    expected = "final" if action.startswith("terminal") else kinds[action]
    return kind == expected


def test_every_published_error_has_its_outcome(shared: Path) -> None:
    rows = json.loads((shared / "psp" / "errors.json").read_text())["paypal"]
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row["http"], int):
            continue  # no answer at all: in the table
        for name in row.get("issue", "").split("|"):
            intent: Intent = CANCEL if row.get("op") == "void" else REFUND
            outcome = paypal.parse(intent, _as_published(row, name))
            assert _obeys(row["action"], outcome), (row, name, outcome)
            seen.add(name or str(row["http"]))
    assert len(seen) >= 34


def _issues(document: Any, node: Any) -> Iterator[str]:
    """Every issue an error schema names."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield from _issues(document, _pointed(document, node["$ref"]))
        yield from node.get("properties", {}).get("issue", {}).get("enum", ())
        for value in node.values():
            yield from _issues(document, value)
    elif isinstance(node, list):
        for value in node:
            yield from _issues(document, value)


def _pointed(document: Any, reference: str) -> Any:
    found = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_issue_of_the_official_files_is_a_no_or_a_maybe(shared: Path) -> None:
    """None is taken for a yes, and none for "nothing was executed, ask again at once"."""
    document = json.loads((shared / "psp" / "openapi/paypal-payments-v2.json").read_text())
    operations: dict[str, Intent] = {
        "captures/{capture_id}/refund": REFUND,
        "authorizations/{authorization_id}/void": CANCEL,
        "authorizations/{authorization_id}/capture": REST,
    }
    maybe = {"DUPLICATE_INVOICE_ID", "AUTHORIZATION_ALREADY_CAPTURED"}
    seen = 0
    for path, intent in operations.items():
        responses = document["paths"][f"/v2/payments/{path}"]["post"]["responses"]
        for name in sorted(set(_issues(document, responses["422"]))):
            outcome = paypal.parse(intent, issue(name))
            assert isinstance(outcome, Unknown if name in maybe else Declined), (path, name)
            seen += 1
    assert seen >= 40


def test_something_else_is_no_answer() -> None:
    for other in (capture(), authorization(), order({"refunds": [refund()]}), {}):
        assert isinstance(paypal.parse(REFUND, answer(200, other)), Unknown), other
    for other in (refund(), authorization(), {}):
        assert isinstance(paypal.parse(REST, answer(200, other)), Unknown), other
    for other in (refund(), capture(), authorization(id="4AU"), {}):
        assert isinstance(paypal.parse(CANCEL, answer(200, other)), Unknown), other
        assert isinstance(paypal.parse(READ, answer(200, other)), Unknown), other
    for other in (refund(), authorization(), capture(id="9CAP"), {}):
        assert isinstance(paypal.parse(FIND, answer(200, other)), Unknown), other


def test_only_a_void_may_be_answered_without_a_body() -> None:
    for intent in (REFUND, REST, FIND, LIST, READ):
        assert isinstance(paypal.parse(intent, answer(204, b"")), Unknown)


def test_a_list_that_is_not_whole_is_not_understood() -> None:
    """What is missing on it would count as never refunded."""
    held = {"captures": [capture()]}
    bodies: list[Any] = [
        order({**held, "refunds": [refund(), {**refund(), "amount": None}]}),
        order({**held, "refunds": [refund(), None]}),
        order({**held, "refunds": {}}),
        order({**held, "refunds": [capture()]}),
        order({"captures": [capture(), capture(id="4CAP")], "refunds": [refund(links=[])]}),
        order({"captures": [capture(amount=paypal_money("1.00", "USD"))]}),
        order({"captures": [capture(status=None)]}),
        order({"captures": [capture(id="4CAP")]}),
        order({}),
        order(),
        {**order(held), "purchase_units": None},
        {**order(held), "purchase_units": [{"payments": []}]},
        {**order(held), "id": "another"},
        capture(supplementary_data=None, links=None),
    ]
    for body in bodies:
        assert isinstance(paypal.parse(LIST, answer(200, body)), Unknown), body
    bare = capture(supplementary_data=None, links=None)
    assert isinstance(paypal.parse(FIND, answer(200, bare)), Unknown)


def test_what_is_kept_of_a_sentence_names_no_secret_and_ends() -> None:
    words = "card 4242 4242 4242 4242 " + "z" * 9000
    outcome = paypal.parse(REFUND, error(400, "INVALID_REQUEST", message=words))
    assert isinstance(outcome, Declined)
    assert "4242" not in outcome.text
    assert len(outcome.text) <= 300


# --- shapes ------------------------------------------------------------------------------------


def _declared(document: Any, schema: Any) -> set[str]:
    """The names of all fields a schema declares, through references and allOf."""
    if "$ref" in schema:
        return _declared(document, _pointed(document, schema["$ref"]))
    parts = [_declared(document, part) for part in schema.get("allOf", ())]
    return set(schema.get("properties", {})).union(*parts)


def test_our_objects_and_requests_have_the_fields_paypal_publishes(shared: Path) -> None:
    """Our own cases are shaped like PayPal's: no field of them, nor of a request, is made up."""
    files = {
        "openapi/paypal-payments-v2.json": {
            "refund": set(refund()),
            "capture-2": set(capture()),
            "authorization-2": set(authorization()),
            "money": set(paypal_money()),
            "refund_request": set(_body(REFUND)),
            "capture_request": set(_body(REST)),
        },
        "openapi/paypal-orders-v2.json": {
            "order": set(order()),
            "payment_collection": {"authorizations", "captures", "refunds"},
        },
        "openapi/paypal-disputes-v1.json": {"dispute": set(dispute())},
    }
    for name, shapes in files.items():
        document = json.loads((shared / "psp" / name).read_text())
        for schema, fields in shapes.items():
            assert fields <= _declared(document, document["components"]["schemas"][schema]), schema


def test_our_objects_and_our_marks_are_valid_by_the_official_schemas(shared: Path) -> None:
    """The custom_id too: what a refund hands back may hold fewer characters than what it takes."""
    held = {"authorizations": [authorization()], "captures": [capture()], "refunds": [refund()]}
    files: dict[str, list[tuple[str, Json]]] = {
        "openapi/paypal-payments-v2.json": [
            ("refund", refund(custom_id=_body(REFUND)["custom_id"])),
            ("refund", by_others(status="PENDING")),
            ("capture-2", capture()),
            ("authorization-2", authorization(status="VOIDED")),
            ("refund_request", _body(REFUND)),
            ("capture_request", _body(REST)),
        ],
        "openapi/paypal-orders-v2.json": [("order", order(held))],
        "openapi/paypal-disputes-v1.json": [("dispute", dispute())],
    }
    for name, objects in files.items():
        components = json.loads((shared / "psp" / name).read_text())["components"]
        for schema, value in objects:
            whole = {"$ref": f"#/components/schemas/{schema}", "components": components}
            OAS30Validator(whole).validate(value)
            with pytest.raises(ValidationError):
                OAS30Validator(whole).validate({**value, "links": 7, "amount": 7, "reason": 7})


def test_a_connection_s_settings_are_the_ones_it_reads() -> None:
    assert set(SETTINGS.values) == set(paypal.CAPABILITIES.settings)
    bare = Settings(name="x", gateway="paypal", base_url="http://127.0.0.1:9400")
    assert paypal.write(REFUND, bare).url.startswith("http://127.0.0.1:9400/v2/")
