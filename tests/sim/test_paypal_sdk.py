"""The official `paypal-server-sdk` notices nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from apimatic_core.http.response.api_response import ApiResponse
from paypalserversdk.configuration import Configuration, Environment, Server
from paypalserversdk.exceptions.api_exception import ApiException
from paypalserversdk.exceptions.error_exception import ErrorException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.amount_with_breakdown import AmountWithBreakdown
from paypalserversdk.models.capture_request import CaptureRequest
from paypalserversdk.models.checkout_payment_intent import CheckoutPaymentIntent
from paypalserversdk.models.money import Money
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.purchase_unit_request import PurchaseUnitRequest
from paypalserversdk.models.reauthorize_request import ReauthorizeRequest
from paypalserversdk.models.refund_request import RefundRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from amends.sim.serve import API_KEY

WHOLE = "return=representation"


@pytest.fixture
def shop(served: Any, monkeypatch: pytest.MonkeyPatch) -> PaypalServersdkClient:
    monkeypatch.setitem(
        Configuration.environments[Environment.SANDBOX], Server.DEFAULT, served.url + "/paypal"
    )
    return client()


def client(secret: str = API_KEY) -> PaypalServersdkClient:
    login = ClientCredentialsAuthCredentials("sandbox", secret)
    return PaypalServersdkClient(
        client_credentials_auth_credentials=login, environment=Environment.SANDBOX
    )


@pytest.fixture
def pay(served: Any) -> Any:
    """Makes a payment of 100.00 EUR: `pay("P1")`, or an authorization."""

    def make(name: str, **more: Any) -> str:
        served.control("payment", gateway="paypal", id=name, amount=10_000, **more)
        return name

    return make


def refund(shop: PaypalServersdkClient, capture: str, value: str = "", **more: Any) -> ApiResponse:
    body = RefundRequest(amount=Money("EUR", value)) if value else RefundRequest()
    asked = {"capture_id": capture, "prefer": WHOLE, "body": body, **more}
    return shop.payments.refund_captured_payment(asked)


def issue(refused: pytest.ExceptionInfo[ErrorException], status: int = 422) -> str:
    assert refused.value.response_code == status
    return str(refused.value.details[0].issue)


def test_an_order_is_made_approved_and_captured(served: Any, shop: PaypalServersdkClient) -> None:
    unit = PurchaseUnitRequest(amount=AmountWithBreakdown("EUR", "12.34"), custom_id="order-1")
    body = OrderRequest(CheckoutPaymentIntent.CAPTURE, [unit])
    made = shop.orders.create_order({"body": body, "paypal_request_id": "o-1"}).body
    again = shop.orders.create_order({"body": body, "paypal_request_id": "o-1"})
    assert (again.status_code, again.body.id, made.status) == (200, made.id, "CREATED")
    served.control("approve", gateway="paypal", order=made.id)
    done = shop.orders.capture_order({"id": made.id, "prefer": WHOLE}).body
    (taken,) = done.purchase_units[0].payments.captures
    assert (done.status, taken.status, taken.amount.value) == ("COMPLETED", "COMPLETED", "12.34")
    assert refund(shop, taken.id).body.amount.value == "12.34"
    listed = shop.orders.get_order({"id": made.id}).body.purchase_units[0].payments
    assert listed.captures[0].status == "REFUNDED"
    assert [given.status for given in listed.refunds] == ["COMPLETED"]


def test_an_order_is_authorized(served: Any, shop: PaypalServersdkClient) -> None:
    unit = PurchaseUnitRequest(amount=AmountWithBreakdown("EUR", "10.00"))
    body = OrderRequest(CheckoutPaymentIntent.AUTHORIZE, [unit])
    made = shop.orders.create_order({"body": body}).body
    with pytest.raises(ErrorException) as refused:
        shop.orders.authorize_order({"id": made.id})
    assert issue(refused) == "ORDER_NOT_APPROVED"
    served.control("approve", gateway="paypal", order=made.id)
    done = shop.orders.authorize_order({"id": made.id, "prefer": WHOLE}).body
    (held,) = done.purchase_units[0].payments.authorizations
    found = shop.payments.get_authorized_payment({"authorization_id": held.id}).body
    assert (found.status, found.supplementary_data.related_ids.order_id) == ("CREATED", made.id)


def test_refund_in_parts_then_the_rest(shop: PaypalServersdkClient, pay: Any) -> None:
    pay("P1")
    first = refund(shop, "P1", "32.00")
    assert (first.status_code, first.body.status) == (201, "COMPLETED")
    rest = refund(shop, "P1").body
    assert (rest.amount.currency_code, rest.amount.value) == ("EUR", "68.00")
    assert shop.payments.get_captured_payment({"capture_id": "P1"}).body.status == "REFUNDED"
    found = shop.payments.get_refund({"refund_id": rest.id}).body
    assert found.seller_payable_breakdown.total_refunded_amount.value == "100.00"
    order = shop.orders.get_order({"id": "OP1"}).body
    listed = order.purchase_units[0].payments.refunds
    assert [given.id for given in listed] == [first.body.id, rest.id]


def test_the_answer_is_minimal_unless_asked(shop: PaypalServersdkClient, pay: Any) -> None:
    pay("P1")
    given = shop.payments.refund_captured_payment({"capture_id": "P1"}).body
    assert (given.status, hasattr(given, "amount")) == ("COMPLETED", False)


def test_capture_of_an_authorization_in_parts(shop: PaypalServersdkClient, pay: Any) -> None:
    pay("A1", capture="manual")
    asked = {"authorization_id": "A1", "prefer": WHOLE}
    part = CaptureRequest(amount=Money("EUR", "60.00"))
    first = shop.payments.capture_authorized_payment({**asked, "body": part}).body
    assert (first.status, first.final_capture, first.amount.value) == ("COMPLETED", False, "60.00")
    held = shop.payments.get_authorized_payment({"authorization_id": "A1"}).body
    assert held.status == "PARTIALLY_CAPTURED"
    last = CaptureRequest(amount=Money("EUR", "30.00"), final_capture=True)
    again = {**asked, "body": last, "paypal_request_id": "c-1"}
    made = [shop.payments.capture_authorized_payment(again) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 200]
    assert made[0].body.id == made[1].body.id
    with pytest.raises(ErrorException) as refused:
        shop.payments.capture_authorized_payment(asked)
    assert issue(refused) == "AUTHORIZATION_ALREADY_CAPTURED"


def test_void(served: Any, shop: PaypalServersdkClient, pay: Any) -> None:
    pay("A1", capture="manual")
    done = shop.payments.void_payment({"authorization_id": "A1", "paypal_request_id": "v-1"})
    assert (done.status_code, done.body) == (204, None)
    asked = {"authorization_id": "A1", "paypal_request_id": "v-1", "prefer": WHOLE}
    assert shop.payments.void_payment(asked).body.status == "VOIDED"
    with pytest.raises(ErrorException) as refused:
        shop.payments.void_payment({"authorization_id": "A1", "paypal_request_id": "v-2"})
    assert issue(refused) == "PREVIOUSLY_VOIDED"
    assert [item["kind"] for item in served.refunds()] == ["void"]


def test_reauthorize(shop: PaypalServersdkClient, pay: Any) -> None:
    pay("A1", capture="manual")
    body = ReauthorizeRequest(Money("EUR", "110.00"))
    asked = {"authorization_id": "A1", "prefer": WHOLE, "body": body}
    held = shop.payments.reauthorize_payment(asked).body
    assert (held.status, held.amount.value) == ("CREATED", "110.00")


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        ("100.01", "EUR", "REFUND_AMOUNT_EXCEEDED"),
        ("1.005", "EUR", "DECIMAL_PRECISION"),
        ("1.00", "USD", "REFUND_CAPTURE_CURRENCY_MISMATCH"),
        ("0.00", "EUR", "CANNOT_BE_ZERO_OR_NEGATIVE"),
    ],
)
def test_refusals(
    served: Any, shop: PaypalServersdkClient, pay: Any, value: str, currency: str, expected: str
) -> None:
    pay("P1")
    body = RefundRequest(amount=Money(currency, value))
    with pytest.raises(ErrorException) as refused:
        shop.payments.refund_captured_payment({"capture_id": "P1", "body": body})
    assert issue(refused) == expected
    assert refused.value.name == "UNPROCESSABLE_ENTITY" and refused.value.debug_id
    assert served.refunds() == []


def test_what_is_not_there(shop: PaypalServersdkClient) -> None:
    with pytest.raises(ErrorException) as refused:
        refund(shop, "NONE")
    assert issue(refused, 404) == "INVALID_RESOURCE_ID"


def test_the_same_request_id_gives_the_same_refund(
    served: Any, shop: PaypalServersdkClient, pay: Any
) -> None:
    pay("P1")
    answers = [refund(shop, "P1", "1.00", paypal_request_id="k-1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert {answer.body.id for answer in answers} == {served.refunds()[0]["psp_refund_id"]}
    assert [item["key"] for item in served.refunds()] == ["k-1"]


def test_a_repeat_is_told_what_became_of_it(
    served: Any, shop: PaypalServersdkClient, pay: Any
) -> None:
    pay("P1")
    served.control("refund_outcome", gateway="paypal", status="pending", count=1)
    first = refund(shop, "P1", "1.00", paypal_request_id="k-1").body
    assert (first.status, first.status_details.reason) == ("PENDING", "ECHECK")
    served.control("settle_refund", gateway="paypal", refund=first.id)
    assert refund(shop, "P1", "1.00", paypal_request_id="k-1").body.status == "COMPLETED"


def test_simultaneous_use_of_a_request_id(
    served: Any, shop: PaypalServersdkClient, pay: Any, receiver: Any
) -> None:
    """The first request is held open by its own webhook, not answered by the receiver yet."""
    pay("P1")
    served.control("webhook", gateway="paypal", url=receiver.url, secret="WEBHOOK1")
    served.control("fault", gateway="paypal", kind="webhook_before_answer", count=1)
    receiver.gate.clear()
    answers: list[ApiResponse] = []

    def first() -> None:
        answers.append(refund(client(), "P1", "1.00", paypal_request_id="k-2"))

    thread = threading.Thread(target=first)
    thread.start()
    receiver.got.get(timeout=10)
    with pytest.raises(ErrorException) as conflict:
        refund(shop, "P1", "1.00", paypal_request_id="k-2")
    assert issue(conflict, 409) == "PREVIOUS_REQUEST_IN_PROGRESS"
    receiver.gate.set()
    thread.join()
    assert [answer.body.id for answer in answers] == [served.refunds()[0]["psp_refund_id"]]


@pytest.mark.parametrize("after_work", [True, False])
def test_a_500_then_the_same_request_id(
    served: Any, shop: PaypalServersdkClient, pay: Any, after_work: bool
) -> None:
    pay("P1")
    served.control("fault", gateway="paypal", kind="error_500", count=1, after_work=after_work)
    with pytest.raises(ApiException) as broken:
        refund(shop, "P1", paypal_request_id="k-3")
    assert broken.value.response_code == 500
    assert refund(shop, "P1", paypal_request_id="k-3").body.status == "COMPLETED"
    assert len(served.refunds()) == 1


def test_a_login_that_is_void_and_one_that_is_wrong(
    served: Any, shop: PaypalServersdkClient, pay: Any
) -> None:
    pay("P1")
    refund(shop, "P1", "1.00")
    served.control("revoke_tokens", gateway="paypal")
    with pytest.raises(ErrorException) as refused:
        refund(shop, "P1", "1.00")
    assert (refused.value.response_code, refused.value.name) == (401, "AUTHENTICATION_FAILURE")
    assert refund(client(), "P1", "1.00").body.status == "COMPLETED"
    with pytest.raises(Exception, match="OAuthToken is undefined or expired"):
        refund(client("wrong"), "P1", "1.00")
    assert len(served.refunds()) == 2
