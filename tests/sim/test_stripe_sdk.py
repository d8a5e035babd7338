"""The official `stripe` package notices nothing."""

import threading
from typing import Any

import pytest
import stripe
from stripe import StripeClient


@pytest.fixture
def paid(client: StripeClient) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {
            "amount": 10_000,
            "currency": "eur",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "metadata": {"order": "1001"},
        }
    )


def authorize(client: StripeClient, amount: int = 10_000) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "capture_method": "manual",
            "confirm": True,
        }
    )


def test_payment_is_created_confirmed_and_read_back(client: StripeClient) -> None:
    intent = client.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    assert intent.status == "requires_payment_method"
    intent = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert intent.status == "succeeded"
    again = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert isinstance(again.latest_charge, stripe.Charge)
    assert again.latest_charge.amount_captured == 500


def test_partial_capture_releases_the_rest(client: StripeClient) -> None:
    intent = authorize(client)
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 10_000)
    intent = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 6_000})
    assert (intent.status, intent.amount_received) == ("succeeded", 6_000)
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 6_000


def test_authorization_is_canceled(client: StripeClient) -> None:
    intent = authorize(client)
    intent = client.v1.payment_intents.cancel(
        intent.id, {"cancellation_reason": "requested_by_customer"}
    )
    assert (intent.status, intent.cancellation_reason) == ("canceled", "requested_by_customer")


def test_cancel_after_success_is_refused_with_the_intent(
    client: StripeClient, paid: stripe.PaymentIntent
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.cancel(paid.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    assert refused.value.error is not None
    assert refused.value.error.payment_intent["id"] == paid.id


def test_declined_card(client: StripeClient) -> None:
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create(
            {
                "amount": 500,
                "currency": "eur",
                "payment_method": "pm_card_chargeDeclined",
                "confirm": True,
            }
        )
    assert declined.value.code == "card_declined"


def test_refund_by_charge_of_the_rest(client: StripeClient, paid: stripe.PaymentIntent) -> None:
    first = client.v1.refunds.create(
        {"payment_intent": paid.id, "amount": 3_200, "reason": "requested_by_customer"}
    )
    assert (first.status, first.amount, first.reason) == (
        "succeeded",
        3_200,
        "requested_by_customer",
    )
    rest = client.v1.refunds.create({"charge": str(paid.latest_charge)})
    assert rest.amount == 6_800
    charge = client.v1.charges.retrieve(str(paid.latest_charge), {"expand": ["refunds"]})
    assert charge.refunded and charge.amount_refunded == 10_000
    assert charge.refunds is not None
    assert [refund.id for refund in charge.refunds.data] == [rest.id, first.id]


def test_too_much_is_refused(client: StripeClient, paid: stripe.PaymentIntent) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 10_001})
    assert (refused.value.http_status, refused.value.param) == (400, "amount")
    client.v1.refunds.create({"payment_intent": paid.id})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 1})
    assert refused.value.code == "charge_already_refunded"


def test_same_key_gives_the_same_refund(client: StripeClient, paid: stripe.PaymentIntent) -> None:
    params: Any = {"payment_intent": paid.id, "amount": 100}
    first = client.v1.refunds.create(params, {"idempotency_key": "k-1"})
    again = client.v1.refunds.create(params, {"idempotency_key": "k-1"})
    assert first.id == again.id
    assert again.last_response is not None and first.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Idempotency-Key"] == "k-1"
    assert again.last_response.body == first.last_response.body
    with pytest.raises(stripe.IdempotencyError):
        client.v1.refunds.create(params | {"amount": 101}, {"idempotency_key": "k-1"})
    assert len(client.v1.refunds.list({"payment_intent": paid.id}).data) == 1


def test_concurrent_use_of_a_key(
    served: Any, client: StripeClient, receiver: Any, paid: stripe.PaymentIntent
) -> None:
    """The first request is held open by its own webhook, not answered by the receiver yet."""
    params: Any = {"payment_intent": paid.id, "amount": 100}
    served.control("webhook", url=receiver.url, secret="whsec_test", types=["refund.created"])
    served.control("fault", kind="webhook_before_answer", count=1)
    receiver.gate.clear()
    answers: list[stripe.Refund] = []

    def first() -> None:
        answers.append(client.v1.refunds.create(params, {"idempotency_key": "k-2"}))

    thread = threading.Thread(target=first)
    thread.start()
    receiver.got.get(timeout=10)
    with pytest.raises(stripe.APIError) as conflict:
        client.v1.refunds.create(params, {"idempotency_key": "k-2"})
    assert conflict.value.http_status == 409 and conflict.value.error is not None
    assert conflict.value.error.code == "idempotency_key_in_use"
    receiver.gate.set()
    thread.join()
    assert [answer.id for answer in answers] == [served.refunds()[0]["psp_refund_id"]]


def test_lists_page_by_themselves(client: StripeClient, paid: stripe.PaymentIntent) -> None:
    made = [
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 10 + n}).id for n in range(7)
    ]
    pages = client.v1.refunds.list({"payment_intent": paid.id, "limit": 3})
    assert pages.has_more and len(pages.data) == 3
    assert [refund.id for refund in pages.auto_paging_iter()] == made[::-1]
    before = client.v1.refunds.list({"limit": 2, "ending_before": made[3]})
    assert [refund.id for refund in before.data] == [made[5], made[4]]
    lines = client.v1.balance_transactions.list({"type": "refund", "limit": 2})
    assert [line.net for line in lines.auto_paging_iter()] == [-(10 + n) for n in range(7)][::-1]


def test_refund_is_updated_and_not_canceled(
    client: StripeClient, paid: stripe.PaymentIntent
) -> None:
    refund = client.v1.refunds.create(
        {"payment_intent": paid.id, "amount": 100, "metadata": {"leg": "leg_1", "old": "x"}}
    )
    refund = client.v1.refunds.update(refund.id, {"metadata": {"case": "7", "old": ""}})
    assert refund.metadata is not None
    assert refund.metadata.to_dict() == {"leg": "leg_1", "case": "7"}
    assert client.v1.refunds.retrieve(refund.id).metadata == refund.metadata
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.cancel(refund.id)


def test_refund_that_needs_action_is_canceled(
    served: Any, client: StripeClient, paid: stripe.PaymentIntent
) -> None:
    served.control("refund_outcome", status="requires_action", count=1)
    refund = client.v1.refunds.create(
        {"payment_intent": paid.id, "instructions_email": "ada@example.test"}
    )
    assert refund.status == "requires_action" and refund.next_action is not None
    refund = client.v1.refunds.cancel(refund.id)
    assert refund.status == "canceled" and refund.failure_balance_transaction is not None
    assert client.v1.refunds.create({"payment_intent": paid.id}).amount == 10_000


def test_disputes_and_warnings(
    served: Any, client: StripeClient, paid: stripe.PaymentIntent
) -> None:
    served.control("fraud_warning", payment=paid.id)
    warning = client.v1.radar.early_fraud_warnings.list({"payment_intent": paid.id}).data[0]
    assert warning.actionable
    served.control("open_dispute", payment=paid.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"
    dispute = client.v1.disputes.list({"payment_intent": paid.id}).data[0]
    client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "sent"}})
    assert client.v1.disputes.retrieve(dispute.id).status == "under_review"
    assert client.v1.disputes.close(dispute.id).status == "lost"
    assert not client.v1.radar.early_fraud_warnings.retrieve(warning.id).actionable


def test_events_are_listed(client: StripeClient, paid: stripe.PaymentIntent) -> None:
    refund = client.v1.refunds.create({"payment_intent": paid.id}, {"idempotency_key": "k-3"})
    event = client.v1.events.list({"type": "refund.created"}).data[0]
    assert event.data.object["id"] == refund.id
    assert event.request is not None and event.request.idempotency_key == "k-3"
    assert client.v1.events.retrieve(event.id).type == "refund.created"
    both = client.v1.events.list({"types": ["refund.created", "charge.refunded"]})
    assert [event.type for event in both.data] == ["charge.refunded", "refund.created"]


def test_wrong_key_and_unknown_payment(served: Any, client: StripeClient) -> None:
    stranger = StripeClient(
        "sk_test_wrong", base_addresses={"api": served.url + "/stripe"}, max_network_retries=0
    )
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.refunds.list()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": "pi_unknown"})
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


@pytest.mark.parametrize("kind", ["lost_answer", "refuse"])
def test_closed_connections(
    served: Any, client: StripeClient, paid: stripe.PaymentIntent, kind: str
) -> None:
    served.control("fault", kind=kind, count=1)
    params: Any = {"payment_intent": paid.id, "amount": 100}
    with pytest.raises(stripe.APIConnectionError):
        client.v1.refunds.create(params, {"idempotency_key": "k-4"})
    assert len(served.refunds()) == (1 if kind == "lost_answer" else 0)
    refund = client.v1.refunds.create(params, {"idempotency_key": "k-4"})
    assert [item["psp_refund_id"] for item in served.refunds()] == [refund.id]


def test_limits_and_errors_of_the_provider(
    served: Any, client: StripeClient, paid: stripe.PaymentIntent
) -> None:
    params: Any = {"payment_intent": paid.id, "amount": 100}
    served.control("fault", kind="rate_limit", count=1, retry_after=7)
    with pytest.raises(stripe.RateLimitError) as limited:
        client.v1.refunds.create(params, {"idempotency_key": "k-5"})
    assert limited.value.headers is not None and limited.value.headers["Retry-After"] == "7"
    served.control("fault", kind="error_500", count=1, after_work=True)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            client.v1.refunds.create(params, {"idempotency_key": "k-5"})
        assert failed.value.http_status == 500
    assert [item["key"] for item in served.refunds()] == ["k-5"]


def test_sdk_retries_keep_one_refund(served: Any, paid: stripe.PaymentIntent) -> None:
    patient = StripeClient(
        "sk_test_sandbox", base_addresses={"api": served.url + "/stripe"}, max_network_retries=1
    )
    served.control("fault", kind="lost_answer", count=1)
    refund = patient.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    assert [item["psp_refund_id"] for item in served.refunds()] == [refund.id]
