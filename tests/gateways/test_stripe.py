"""What is Stripe's alone: amounts, its own SDK as counterparty, its published errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
import stripe as sdk

from amends.core.effects import CaptureRestIntent, RefundIntent
from amends.gateways import stripe
from amends.gateways.spec import Genuine, Response, Unwritable
from amends.gateways.stripe_objects import WIRE_EXPONENT, to_wire
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import HOUR
from tests.gateways.stripe_money_table import CANCEL, CAPTURE, INTENTS, LIST, REFUND, answer
from tests.gateways.stripe_table import SETTINGS, charge, dispute, intent, refund, sign
from tests.gateways.table import NOW, NOW_SECONDS

SECRET = "whsec_table_secret"


def _fields(intent: RefundIntent | CaptureRestIntent) -> dict[str, list[str]]:
    return parse_qs(stripe.write(intent, SETTINGS).body.decode("ascii"), strict_parsing=True)


# --- amounts -----------------------------------------------------------------------------------


def test_edge_16_amounts_are_as_published(shared: Path) -> None:
    """Stripe's exponents, and its multiples turned into our minor units."""
    rows = json.loads((shared / "psp" / "currencies.json").read_text())["stripe"]
    for currency, exponent in rows["exponent"].items():
        assert WIRE_EXPONENT[currency] == exponent, currency
    for currency, multiple in rows["multiple_of"].items():
        step = stripe.CAPABILITIES.multiple_of.get(currency, 1)
        assert to_wire(step, currency) == multiple, currency


# --- requests ----------------------------------------------------------------------------------


def test_a_refund_says_whose_it_is() -> None:
    assert _fields(REFUND) == {
        "payment_intent": ["pi_table"],
        "amount": ["3200"],
        "reason": ["requested_by_customer"],
        "metadata[amends_order]": ["ord_01"],
        "metadata[amends_refund]": ["rf_01"],
        "metadata[amends_leg]": ["leg_01"],
        "metadata[amends_epoch]": ["1"],
    }


def test_a_charge_is_refunded_as_a_charge() -> None:
    for psp_payment_id in ("ch_1", "py_1"):
        intent = msgspec.structs.replace(REFUND, psp_payment_id=psp_payment_id)
        fields = _fields(intent)
        assert fields["charge"] == [psp_payment_id]
        assert "payment_intent" not in fields


@pytest.mark.parametrize(
    ("reason", "said"),
    [("duplicate", "duplicate"), ("fraud", "fraudulent"), ("damaged", "requested_by_customer")],
)
def test_reasons_are_stripe_s_three(reason: str, said: str) -> None:
    assert _fields(msgspec.structs.replace(REFUND, reason=reason))["reason"] == [said]
    body = stripe.write(msgspec.structs.replace(CANCEL, reason=reason), SETTINGS).body
    assert body.decode() == f"cancellation_reason={said}"


def test_an_authorization_known_only_by_its_charge_cannot_be_released() -> None:
    for release in (CANCEL, CAPTURE):
        with pytest.raises(Unwritable, match="PaymentIntent"):
            stripe.write(msgspec.structs.replace(release, psp_payment_id="ch_1"), SETTINGS)


@pytest.mark.parametrize("key", ["", "k" * 256, "a\r\nX-Evil: 1", "schlüssel"])
def test_a_key_that_is_none_is_not_written(key: str) -> None:
    with pytest.raises(Unwritable, match="key"):
        stripe.write(msgspec.structs.replace(REFUND, key=key), SETTINGS)


def test_requests_pin_the_version_the_sdk_is_made_for() -> None:
    headers = dict(stripe.write(REFUND, SETTINGS).headers)
    assert headers["Stripe-Version"] == sdk.api_version
    assert headers["Authorization"] == "Bearer sk_test_51Table"


def test_keys_are_trusted_no_longer_than_stripe_keeps_them() -> None:
    assert stripe.CAPABILITIES.key_ttl == 24 * HOUR


# --- answers -----------------------------------------------------------------------------------


def _as_published(row: dict[str, Any]) -> Response:
    status = int(str(row["http"])[:3])
    code, message = row.get("code"), ""
    if code and "amount greater than unrefunded" in code:
        code = code.split(" /")[0]
        message = "Refund amount ($2.00) is greater than unrefunded amount on charge ($1.00)"
    kind = row.get("type", "invalid_request_error")
    return answer(status, {"error": {"type": kind, "code": code, "message": message}})


def _obeys(action: str, outcome: Outcome) -> bool:
    if action == "retry_same_key":
        return isinstance(outcome, NotSent) or (isinstance(outcome, Unknown) and not outcome.stored)
    if action == "lookup_first":
        refunded = isinstance(outcome, Declined) and outcome.kind == "refunded"
        return refunded or (isinstance(outcome, Unknown) and outcome.stored)
    if action == "terminal":
        return isinstance(outcome, Declined) and outcome.kind == "final"
    assert action == "alert"
    if isinstance(outcome, Declined):
        return outcome.kind == "funds"
    return isinstance(outcome, NotSent | Unknown) and outcome.alert


def test_every_published_error_has_its_outcome(shared: Path) -> None:
    rows = json.loads((shared / "psp" / "errors.json").read_text())["stripe"]
    seen = 0
    for row in rows:
        if "http" not in row or not str(row["http"])[0].isdigit():
            continue  # no answer at all, and Stripe-Should-Retry: in the table
        outcome = stripe.parse(REFUND, _as_published(row))
        assert _obeys(row["action"], outcome), (row, outcome)
        seen += 1
    assert seen >= 14


def test_a_page_that_is_not_whole_is_not_understood() -> None:
    """What is missing on a page would count as never refunded."""
    bodies: list[Any] = [
        {"data": [refund(), {**refund(), "amount": None}], "has_more": False},
        {"data": [refund(), None], "has_more": False},
        {"data": [refund()]},
        {"data": None, "has_more": False},
        {"data": [], "has_more": True},
        {"error": {}},
    ]
    for body in bodies:
        assert isinstance(stripe.parse(LIST, answer(200, body)), Unknown), body


def test_something_else_is_no_answer_to_a_refund() -> None:
    for other in (intent(), charge(), {"object": "list", "data": [refund()]}, {}):
        assert isinstance(stripe.parse(REFUND, answer(200, other)), Unknown), other


def test_our_mark_counts_whatever_else_a_refund_looks_like() -> None:
    ours = refund(reason=None, balance_transaction=None)
    outcome = stripe.parse(LIST, answer(200, {"data": [ours], "has_more": False}))
    assert isinstance(outcome, Accepted)
    assert [state.leg for state in outcome.refunds] == ["leg_01"]


def test_what_is_kept_of_a_sentence_names_no_secret_and_ends() -> None:
    body = {"error": {"code": "x", "message": "card 4242 4242 4242 4242 " + "z" * 9000}}
    outcome = stripe.parse(REFUND, answer(400, body))
    assert isinstance(outcome, Declined)
    assert "4242" not in outcome.text
    assert len(outcome.text) <= 300


# --- the official SDK as counterparty ----------------------------------------------------------


def _sdk_accepts(raw: bytes, header: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("time.time", lambda: float(NOW_SECONDS))
    try:
        sdk.WebhookSignature.verify_header(raw.decode(), header, secret, 300)
    except sdk.SignatureVerificationError:
        return False
    return True


def test_the_sdk_agrees_on_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = '{"Rückgabe": "💶"}'.encode()
    header = sign(raw, SECRET, NOW_SECONDS)["stripe-signature"]
    mac = header.partition("v1=")[2]
    cases = [
        (raw, header, SECRET),
        (raw, f"t={NOW_SECONDS},v1={'0' * 64},v1={mac}", SECRET),
        (raw, f"t={NOW_SECONDS},v0={mac}", SECRET),
        (raw, f"t={NOW_SECONDS},v1={mac},v2=x", SECRET),
        (raw, f"v1={mac},t={NOW_SECONDS}", SECRET),
        (raw, f"t={NOW_SECONDS}", SECRET),
        (raw, f"t=x,v1={mac}", SECRET),
        (raw, "", SECRET),
        (raw + b" ", header, SECRET),
        (raw, header, SECRET.removeprefix("whsec_")),
        (raw, sign(raw, SECRET, NOW_SECONDS - 301)["stripe-signature"], SECRET),
        (raw, sign(raw, SECRET, NOW_SECONDS - 300)["stripe-signature"], SECRET),
    ]
    verdicts = set()
    for body, value, secret in cases:
        ours = stripe.verify(body, {"stripe-signature": value}, (secret,), NOW) == Genuine()
        assert ours is _sdk_accepts(body, value, secret, monkeypatch), value
        verdicts.add(ours)
    assert verdicts == {True, False}


def test_two_timestamps_are_none() -> None:
    header = sign(b"{}", SECRET, NOW_SECONDS)["stripe-signature"]
    for value in (f"{header},t={NOW_SECONDS}", f"t={NOW_SECONDS - 1},{header}"):
        assert stripe.verify(b"{}", {"stripe-signature": value}, (SECRET,), NOW) != Genuine()


def test_the_sdk_takes_any_future_and_we_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    header = sign(b"{}", SECRET, NOW_SECONDS + 301)["stripe-signature"]
    assert _sdk_accepts(b"{}", header, SECRET, monkeypatch)
    assert stripe.verify(b"{}", {"stripe-signature": header}, (SECRET,), NOW) != Genuine()


def test_the_sdk_understands_what_we_write() -> None:
    """The names of our form are among those the SDK's own request type declares."""
    declared = set(sdk.params.RefundCreateParams.__annotations__)
    assert {name.partition("[")[0] for name in _fields(REFUND)} <= declared
    cancel = set(sdk.params.PaymentIntentCancelParams.__annotations__)
    assert "cancellation_reason" in cancel
    assert set(_fields(CAPTURE)) <= set(sdk.params.PaymentIntentCaptureParams.__annotations__)


def test_the_table_s_objects_have_the_fields_stripe_publishes(shared: Path) -> None:
    """Our own cases are shaped like Stripe's: no field of them is made up."""
    name = "openapi/stripe-sdk-derived-2026-10-28.json"
    schemas = json.loads((shared / "psp" / name).read_text())["components"]["schemas"]
    assert set(refund()) <= set(schemas["refund"]["properties"])
    assert set(intent()) <= set(schemas["payment_intent"]["properties"])
    assert set(charge(refunds=None)) <= set(schemas["charge"]["properties"])
    assert set(dispute()) <= set(schemas["dispute"]["properties"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("refund", {}),
        (
            "refund of a seller's sale",
            {"reverse_transfer": "true", "refund_application_fee": "true"},
        ),
        ("refund of a seller's sale, the fee kept", {"reverse_transfer": "true"}),
        ("refund of what was sold for others, apart", {}),
    ],
)
def test_what_is_taken_back_of_a_seller_is_said(name: str, said: dict[str, str]) -> None:
    found = _fields(INTENTS[name])  # type: ignore[arg-type]
    flags = ("reverse_transfer", "refund_application_fee")
    assert {flag: found[flag][0] for flag in flags if flag in found} == said
