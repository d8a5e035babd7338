"""What is Adyen's alone in what we ask it: amounts, references, hosts, its published errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from amends.core.effects import (
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
)
from amends.gateways import adyen
from amends.gateways.adyen_objects import WIRE_EXPONENT, mark, marked, to_wire
from amends.gateways.spec import Response, Settings, Unwritable
from amends.kernel.currency import EXPONENT
from amends.kernel.ids import encode
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import DAY
from tests.gateways.adyen_money_table import (
    CANCEL,
    CAPTURE,
    INTENTS,
    REFUND,
    answer,
    bare,
    error,
    received,
)
from tests.gateways.adyen_table import (
    ACCOUNT,
    PSP,
    SETTINGS,
)

V72 = "openapi/adyen-checkout-v72-modifications.json"


def _sent(intent: Intent, connection: Settings = SETTINGS) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(adyen.write(intent, connection).body)
    return fields


def _with(**values: str) -> Settings:
    return msgspec.structs.replace(SETTINGS, values={**SETTINGS.values, **values})


# --- amounts (edge-16) -------------------------------------------------------------------------


def test_edge_16_amounts_are_as_published(shared: Path) -> None:
    rows = json.loads((shared / "psp" / "currencies.json").read_text())["adyen"]
    for currency, exponent in rows["exponent"].items():
        assert WIRE_EXPONENT[currency] == exponent, currency
    differing = {code for code, wire in WIRE_EXPONENT.items() if wire != EXPONENT[code]}
    assert differing == set(rows["differs_from_iso"])


# --- requests ----------------------------------------------------------------------------------


def test_a_refund_says_whose_it_is_and_always_its_amount() -> None:
    full = msgspec.structs.replace(REFUND, full=True)
    for intent in (REFUND, full):
        assert _sent(intent) == {
            "merchantAccount": ACCOUNT,
            "reference": "amends.leg_01.1",
            "amount": {"currency": "EUR", "value": 3200},
            "merchantRefundReason": "RETURN",
        }


def test_edge_20_releases_are_cancels_and_captures_and_nothing_else() -> None:
    """A part is released by capturing the rest; a whole by a cancel, which names no amount."""
    assert _sent(CANCEL) == {"merchantAccount": ACCOUNT, "reference": "amends.leg_02.1"}
    assert _sent(CAPTURE) == {
        "merchantAccount": ACCOUNT,
        "reference": "amends.leg_03.1",
        "amount": {"currency": "EUR", "value": 7000},
    }
    for intent, action in ((REFUND, "refunds"), (CANCEL, "cancels"), (CAPTURE, "captures")):
        url = adyen.write(intent, SETTINGS).url
        assert url == f"https://checkout-test.adyen.com/v72/payments/{PSP}/{action}"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("return", "RETURN"),
        ("duplicate", "DUPLICATE"),
        ("fraud", "FRAUD"),
        ("goodwill", "OTHER"),
        ("not_received", "CUSTOMER REQUEST"),
        ("a reason of tomorrow", "CUSTOMER REQUEST"),
    ],
)
def test_reasons_are_adyen_s_five_one_with_a_space(reason: str, said: str) -> None:
    sent = _sent(msgspec.structs.replace(REFUND, reason=reason))
    assert sent["merchantRefundReason"] == said


def test_requests_carry_key_account_and_credential() -> None:
    request = adyen.write(REFUND, SETTINGS)
    assert dict(request.headers) == {
        "X-API-Key": SETTINGS.values["api_key"],
        "Content-Type": "application/json",
        "idempotency-key": "leg_01-1",
    }


@pytest.mark.parametrize("key", ["", "k" * 65, "a\r\nX-Evil: 1", "schlüssel"])
def test_a_key_that_is_none_is_not_written(key: str) -> None:
    with pytest.raises(Unwritable, match="key"):
        adyen.write(msgspec.structs.replace(REFUND, key=key), SETTINGS)


def test_keys_of_64_characters_are_taken_and_kept_seven_days() -> None:
    adyen.write(msgspec.structs.replace(REFUND, key="k" * 64), SETTINGS)
    assert adyen.CAPABILITIES.key_ttl == 7 * DAY
    assert not adyen.CAPABILITIES.lookup


@pytest.mark.parametrize("leg", ["", "leg 1", "leg.1", "l" * 61, "leg_ü", "a:b", "leg_1\n"])
def test_a_leg_that_could_not_be_read_back_is_not_written(leg: str) -> None:
    with pytest.raises(Unwritable, match="leg"):
        adyen.write(msgspec.structs.replace(REFUND, leg=leg), SETTINGS)


@given(
    raw=st.binary(min_size=16, max_size=16), n=st.integers(1, 99), epoch=st.integers(1, 10**9 - 1)
)
def test_every_leg_of_ours_fits_a_reference_and_comes_back(raw: bytes, n: int, epoch: int) -> None:
    leg = f"{encode('leg', raw)}_{n}"
    reference = mark(leg, epoch)
    assert len(reference) <= 80
    assert marked(reference) == (leg, epoch)
    assert len(f"{leg}-{epoch}") <= 64


@given(reference=st.text(max_size=90) | st.text("amends.leg_01:", max_size=30))
def test_no_other_reference_is_taken_for_ours(reference: str) -> None:
    leg, epoch = marked(reference)
    assert (leg, epoch) == ("", 0) or f"amends.{leg}." in reference


def test_live_requests_go_to_the_company_s_own_host() -> None:
    request = adyen.write(REFUND, _with(environment="1797a841fbb37ca7-AmendsShop"))
    host = "https://1797a841fbb37ca7-AmendsShop-checkout-live.adyenpayments.com"
    assert request.url == f"{host}/checkout/v72/payments/{PSP}/refunds"


@pytest.mark.parametrize(
    "environment", ["", "live prefix", "a.b", "evil.example/", "x@y", "-", "ü"]
)
def test_no_environment_leads_to_another_host(environment: str) -> None:
    with pytest.raises(Unwritable, match="environment"):
        adyen.write(REFUND, _with(environment=environment))


def test_nothing_is_sent_for_no_merchant_account() -> None:
    with pytest.raises(Unwritable, match="merchant account"):
        adyen.write(REFUND, _with(merchant_account=""))


@pytest.mark.parametrize("kind", [LookupRefundsIntent, LookupPaymentIntent])
def test_edge_04_there_is_no_look_up_to_write_or_to_answer(kind: Any) -> None:
    """After the key's retention only webhooks and reports tell; nothing looks like "not found"."""
    lookup = kind(connection="adyen-eu", psp_payment_id=PSP, currency="EUR")
    with pytest.raises(Unwritable, match="look-up"):
        adyen.write(lookup, SETTINGS)
    assert isinstance(adyen.parse(lookup, answer(200, received())), Unknown)


def test_the_key_is_as_published(shared: Path) -> None:
    """The idempotency key is a parameter of each operation; no query has any."""
    document = json.loads((shared / "psp" / V72).read_text())
    seen = 0
    for path, methods in document["paths"].items():
        stated = methods["post"]["parameters"]
        refs = [each["$ref"].rpartition("/")[2] for each in stated if "$ref" in each]
        headers = [document["components"]["parameters"][name] for name in refs]
        assert [each["name"].lower() for each in headers] == ["idempotency-key"], path
        seen += 1
    assert seen == 6


# --- answers -----------------------------------------------------------------------------------


def _as_published(row: dict[str, Any], status: int) -> Response:
    headers = {"transient_error": "true"} if "transient-error: true" in str(row) else {}
    return error(status, row.get("errorCode"), row.get("message", ""), **headers)


def _obeys(action: str, outcome: Outcome) -> bool:
    if action.startswith("retry_same_key"):
        return isinstance(outcome, NotSent) or (isinstance(outcome, Unknown) and not outcome.stored)
    if action == "lookup_first":
        return isinstance(outcome, Unknown) and outcome.stored
    if action.startswith("terminal"):
        return isinstance(outcome, Declined) and outcome.kind == "final"
    if action == "alert":
        return isinstance(outcome, NotSent | Unknown) and outcome.alert
    assert action.startswith("wait for webhook")
    return isinstance(outcome, Accepted)


def test_every_published_error_has_its_outcome(shared: Path) -> None:
    rows = json.loads((shared / "psp" / "errors.json").read_text())["adyen"]
    seen = 0
    for row in rows:
        found = str(row.get("http", "")).replace("/", " or ").split(" or ")
        for status in [int(each) for each in found if each.isdigit()]:
            response = answer(201, received()) if status == 201 else _as_published(row, status)
            outcome = adyen.parse(REFUND, response)
            assert _obeys(row["action"], outcome), (row, outcome)
            seen += 1
    assert seen == 10


@pytest.mark.parametrize("intent", list(INTENTS.values()), ids=list(INTENTS))
def test_received_is_never_a_success(intent: Any) -> None:
    fields: dict[str, Any] = {
        "reference": mark(intent.leg, intent.epoch),
        "paymentPspReference": intent.psp_payment_id,
    }
    if hasattr(intent, "amount"):
        value = to_wire(intent.amount, intent.currency)
        fields["amount"] = {"currency": intent.currency, "value": value}
    outcome = adyen.parse(intent, answer(201, received(**fields)))
    assert isinstance(outcome, Accepted)
    if outcome.refund is None:
        assert outcome.payment is not None
        assert not outcome.payment.canceled
        assert outcome.payment.captured == -1
    else:
        assert outcome.refund.status == "pending"


@pytest.mark.parametrize("intent", [REFUND, CANCEL, CAPTURE])
def test_edge_02_the_same_bytes_after_a_timeout_bring_the_same_refund(intent: Any) -> None:
    """Without a look-up, what settles it is the same request once more: the same key and bytes, and
    the first answer again."""
    first, again = adyen.write(intent, SETTINGS), adyen.write(intent, SETTINGS)
    assert first == again
    replayed = answer(201, received(reference=mark(intent.leg, 1)), idempotency_key=intent.key)
    assert adyen.parse(intent, replayed) == adyen.parse(intent, replayed)


def test_our_answers_are_shaped_like_adyen_s(shared: Path) -> None:
    document = json.loads((shared / "psp" / V72).read_text())
    schemas = {
        "PaymentRefundResponse": received(),
        "PaymentCaptureResponse": received(),
        "PaymentCancelResponse": bare(),
        "ServiceError": json.loads(error(422, "137", "x").body),
    }
    for name, shaped in schemas.items():
        schema = {**document["components"]["schemas"][name], "components": document["components"]}
        OAS31Validator(schema).validate(shaped)
