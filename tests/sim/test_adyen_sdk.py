"""The official `Adyen` package notices nothing."""

from __future__ import annotations

import json
import threading
from typing import Any

import Adyen
import pytest
from Adyen.exceptions import (
    AdyenAPIAuthenticationError,
    AdyenAPICommunicationError,
    AdyenAPIInvalidPermission,
    AdyenAPIResponseError,
    AdyenAPIUnprocessableEntity,
    AdyenAPIValidationError,
)
from Adyen.util import is_valid_hmac_notification

from amends.sim.serve import API_KEY
from tests.sim.adyen_bench import ACCOUNT, HMAC_KEY, PSP


class Merchant:
    """The official library pointed at the sandbox, and the sandbox's own record."""

    def __init__(self, served: Any, api_key: str = API_KEY, version: str = "v72") -> None:
        self.served = served
        client = Adyen.Adyen(xapikey=api_key, platform="test")
        self.api, self.shop = client.checkout.modifications_api, client.checkout.payments_api
        self.api.baseUrl = self.shop.baseUrl = f"{served.url}/adyen/{version}"

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.served.control(op, gateway="adyen", **command)
        return answer

    def payment(self, **more: Any) -> str:
        self.control("payment", id=PSP, amount=10_000, **more)
        return PSP

    def movements(self) -> list[tuple[str, int, str]]:
        found = [m for m in self.served.refunds() if m["gateway"] == "adyen"]
        return [(m["kind"], m["amount"], m["status"]) for m in found]

    def row(self) -> dict[str, Any]:
        (found,) = self.served.get("/control/payments")["items"]
        row: dict[str, Any] = found
        return row


def asked(value: int | None = None, **more: Any) -> dict[str, Any]:
    amount = {} if value is None else {"amount": {"currency": "EUR", "value": value}}
    return {"merchantAccount": ACCOUNT, "reference": "ours", **amount, **more}


def bought(value: int = 10_000, **more: Any) -> dict[str, Any]:
    card = {"type": "scheme", "brand": "visa", "encryptedCardNumber": "test_4111111111111111"}
    return asked(value, paymentMethod=card, returnUrl="https://shop.test/paid", **more)


@pytest.fixture
def merchant(served: Any) -> Merchant:
    return Merchant(served)


@pytest.fixture
def heard(merchant: Merchant, receiver: Any) -> Any:
    """Every webhook of the sandbox, as one item."""
    merchant.control("settings", outcome_delay_s=0)
    merchant.control("webhook", url=receiver.url, secret=HMAC_KEY)

    def wait() -> dict[str, Any]:
        _, body = receiver.got.get(timeout=10)
        message = json.loads(body)
        assert is_valid_hmac_notification(message, HMAC_KEY)
        item: dict[str, Any] = message["notificationItems"][0]["NotificationRequestItem"]
        return item

    return wait


def test_a_payment_is_made_captured_and_refunded(merchant: Merchant, heard: Any) -> None:
    manual = bought(additionalData={"manualCapture": "true"})
    made = merchant.shop.payments(manual, idempotency_key="p-1")
    assert (made.status_code, made.message["resultCode"]) == (200, "Authorised")
    assert merchant.shop.payments(manual, idempotency_key="p-1").psp == made.psp
    item = heard()
    assert (item["eventCode"], item["success"]) == ("AUTHORISATION", "true")
    assert (item["pspReference"], "originalReference" in item) == (made.psp, False)
    merchant.api.capture_authorised_payment(asked(10_000), made.psp)
    assert heard()["eventCode"] == "CAPTURE"
    merchant.api.refund_captured_payment(asked(2_500), made.psp)
    assert heard()["eventCode"] == "REFUND"
    row = merchant.row()
    assert (row["authorized"], row["captured"], row["refunded"]) == (10_000, 10_000, 2_500)


def test_a_payment_is_captured_on_its_own(merchant: Merchant) -> None:
    merchant.control("settings", outcome_delay_s=0)
    made = merchant.shop.payments(bought())
    merchant.api.refund_captured_payment(asked(10_000), made.psp)
    assert merchant.movements() == [("refund", 10_000, "succeeded")]
    with pytest.raises(AdyenAPIUnprocessableEntity):
        merchant.shop.payments(bought(0))


@pytest.mark.parametrize("version", ["v71", "v72"])
def test_refunds_in_full_and_in_part(served: Any, version: str, merchant: Merchant) -> None:
    merchant = Merchant(served, version=version)
    merchant.control("settings", outcome_delay_s=0)
    payment = merchant.payment()
    request = asked(2_500, merchantRefundReason="CUSTOMER REQUEST")
    first = merchant.api.refund_captured_payment(request, payment)
    second = merchant.api.refund_captured_payment(asked(7_500), payment)
    assert (first.status_code, first.message["status"]) == (201, "received")
    assert first.psp != second.psp and first.message["paymentPspReference"] == payment
    assert [amount for _, amount, _ in merchant.movements()] == [2_500, 7_500]


def test_outcomes_come_by_webhook_and_its_validator_holds(merchant: Merchant, heard: Any) -> None:
    payment = merchant.payment()
    answer = merchant.api.refund_captured_payment(asked(10_000), payment)
    item = heard()
    assert (item["eventCode"], item["success"]) == ("REFUND", "true")
    assert (item["pspReference"], item["originalReference"]) == (answer.psp, payment)
    merchant.api.refund_captured_payment(asked(1), payment)
    item = heard()
    assert (item["eventCode"], item["success"]) == ("REFUND", "false")
    merchant.control("fail_refund", refund=answer.psp)
    item = heard()
    assert (item["eventCode"], item["success"]) == ("REFUND_FAILED", "true")
    assert merchant.movements() == [("refund", 10_000, "failed"), ("refund", 1, "failed")]


def test_its_validator_refuses_what_is_forged(merchant: Merchant, receiver: Any) -> None:
    merchant.control("webhook", url=receiver.url, secret=HMAC_KEY)
    merchant.control("webhook_fault", kind="bad_signature", count=1)
    merchant.payment(announce=True)
    _, body = receiver.got.get(timeout=10)
    assert not is_valid_hmac_notification(json.loads(body), HMAC_KEY)


def test_capture_and_refund(merchant: Merchant, heard: Any) -> None:
    payment = merchant.payment(capture="manual")
    captured = merchant.api.capture_authorised_payment(asked(6_000), payment)
    assert captured.message["amount"]["value"] == 6_000
    item = heard()
    assert (item["eventCode"], item["pspReference"]) == ("CAPTURE", captured.psp)
    merchant.api.refund_captured_payment(asked(6_000), payment)
    assert heard()["success"] == "true"
    row = merchant.row()
    assert (row["captured"], row["capturable"], row["refunded"]) == (6_000, 0, 6_000)


def test_void(merchant: Merchant, heard: Any) -> None:
    payment = merchant.payment(capture="manual")
    merchant.api.cancel_authorised_payment_by_psp_reference(asked(), payment)
    item = heard()
    assert (item["eventCode"], item["success"]) == ("CANCELLATION", "true")
    assert merchant.movements() == [("void", 10_000, "succeeded")]


def test_void_by_the_shops_reference(merchant: Merchant, heard: Any) -> None:
    merchant.payment(capture="manual", reference="1001")
    answer = merchant.api.cancel_authorised_payment(asked(paymentReference="1001"))
    item = heard()
    assert (item["eventCode"], item["pspReference"]) == ("TECHNICAL_CANCEL", answer.psp)


def test_reversal(merchant: Merchant, heard: Any) -> None:
    payment = merchant.payment()
    merchant.api.refund_or_cancel_payment(asked(), payment)
    item = heard()
    assert item["eventCode"] == "CANCEL_OR_REFUND"
    assert item["additionalData"]["modification.action"] == "refund"


def test_errors(served: Any, merchant: Merchant) -> None:
    payment = merchant.payment()
    refund = merchant.api.refund_captured_payment
    with pytest.raises(AdyenAPIUnprocessableEntity) as unprocessable:
        refund(asked(), payment)
    assert unprocessable.value.error_code == "100"
    with pytest.raises(AdyenAPIUnprocessableEntity):
        refund(asked(1), "NOBODY")
    with pytest.raises(AdyenAPIValidationError):
        refund(asked(1, merchantRefundReason="CUSTOMER_REQUEST"), payment)
    with pytest.raises(AdyenAPIInvalidPermission):
        refund(asked(1) | {"merchantAccount": "Other"}, payment)
    with pytest.raises(AdyenAPIAuthenticationError):
        Merchant(served, "wrong").api.refund_captured_payment(asked(1), payment)
    with pytest.raises(AdyenAPICommunicationError):
        Merchant(served, version="v1").api.refund_captured_payment(asked(1), payment)
    assert merchant.movements() == []


def test_an_idempotent_repeat(merchant: Merchant) -> None:
    payment = merchant.payment()
    refund = merchant.api.refund_captured_payment
    first = refund(asked(2_500), payment, idempotency_key="k-1")
    again = refund(asked(2_500), payment, idempotency_key="k-1")
    assert (again.psp, again.raw_response) == (first.psp, first.raw_response)
    other = refund(asked(2_500), payment, idempotency_key="k-2")
    assert other.psp != first.psp and len(merchant.movements()) == 2


def test_a_lost_answer_and_a_500_are_repeated_with_the_same_key(merchant: Merchant) -> None:
    payment = merchant.payment()
    refund = merchant.api.refund_captured_payment
    merchant.control("fault", kind="lost_answer", count=1)
    with pytest.raises(Exception, match=r"(?i)connection|remote"):
        refund(asked(2_500), payment, idempotency_key="k-1")
    assert refund(asked(2_500), payment, idempotency_key="k-1").status_code == 201
    merchant.control("fault", kind="error_500", count=1)
    for _ in range(2):
        with pytest.raises(AdyenAPICommunicationError) as broken:
            refund(asked(100), payment, idempotency_key="k-2")
        assert broken.value.status_code == 500
    assert [amount for _, amount, _ in merchant.movements()] == [2_500, 100]


def test_transient_errors_say_so(merchant: Merchant) -> None:
    payment = merchant.payment()
    for kind, status, code in (("unavailable", 503, "703"), ("rate_limit", 429, "000")):
        merchant.control("fault", kind=kind, count=1)
        with pytest.raises(AdyenAPIResponseError) as away:
            merchant.api.refund_captured_payment(asked(1), payment, idempotency_key="k")
        assert (away.value.status_code, away.value.error_code) == (status, code)
    assert merchant.api.refund_captured_payment(asked(1), payment, idempotency_key="k").psp


def test_a_key_whose_first_request_is_at_work(merchant: Merchant) -> None:
    payment = merchant.payment()
    refund = merchant.api.refund_captured_payment
    merchant.control("fault", kind="latency", seconds=0.7, count=1)
    answers: list[Any] = []

    def first() -> None:
        answers.append(refund(asked(100), payment, idempotency_key="k"))

    slow = threading.Thread(target=first)
    slow.start()
    while not merchant.movements():
        pass  # until the first is being worked on
    with pytest.raises(AdyenAPIUnprocessableEntity) as at_work:
        refund(asked(100), payment, idempotency_key="k")
    assert at_work.value.error_code == "704"
    assert at_work.value.headers["transient-error"] == "true"
    slow.join(10)
    assert refund(asked(100), payment, idempotency_key="k").psp == answers[0].psp
    assert len(merchant.movements()) == 1
