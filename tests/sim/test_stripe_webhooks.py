"""Webhooks: signed, retried, disturbed on request, and before the answer when asked."""

import json
from typing import Any

import pytest
import stripe

SECRET = "whsec_test"


def test_every_event_is_signed_and_shaped(bench: Any) -> None:
    bench.listen()
    bench.payment(announce=True)
    bench.refund("pi_1", 100, key="k")
    deliveries = bench.due()
    assert [delivery.attempt for delivery in deliveries] == [1] * 4
    for delivery in deliveries:
        signature = delivery.headers["Stripe-Signature"]
        # The library compares with its own clock, which knows nothing of this world's time.
        assert stripe.WebhookSignature.verify_header(
            delivery.body.decode(), signature, SECRET, tolerance=None
        )
    event = json.loads(deliveries[2].body)
    assert (event["type"], event["livemode"]) == ("refund.created", False)
    assert event["request"]["idempotency_key"] == "k" and event["request"]["id"]
    charge = json.loads(deliveries[3].body)
    assert charge["data"]["object"]["amount_refunded"] == 100
    assert charge["data"]["previous_attributes"] == {"amount_refunded": 0}


@pytest.mark.parametrize("status", [500, 301, None])
def test_what_is_not_2xx_is_tried_again(bench: Any, status: int | None) -> None:
    bench.control("webhook", url="http://shop.test/", secret=SECRET, types=["refund.created"])
    bench.control("webhook_retries", retry_after_s=[5, 30])
    bench.payment()
    bench.refund("pi_1", 100)
    ids = []
    for wait in (0, 5, 30):
        bench.now += wait
        (delivery,) = bench.due()
        ids.append(delivery.event_id)
        bench.world.delivered(delivery, status)
    assert len(set(ids)) == 1
    assert bench.world.next_due() is None and bench.world.webhooks_pending == 0


def test_a_retry_is_hurried(bench: Any) -> None:
    bench.control("webhook", url="http://shop.test/", secret=SECRET, types=["refund.*"])
    bench.payment()
    bench.refund("pi_1", 100)
    bench.world.delivered(bench.due()[0], 503)
    assert bench.due() == []
    bench.control("hurry_webhooks")
    assert [delivery.attempt for delivery in bench.due()] == [2]


def test_disturbances(bench: Any) -> None:
    bench.listen()
    bench.payment()
    bench.control("webhook_fault", kind="lose", type="refund.created", count=1)
    bench.control("webhook_fault", kind="duplicate", type="charge.refunded", count=1, copies=2)
    bench.refund("pi_1", 100)
    events = bench.events()
    assert [event["type"] for event in events] == ["charge.refunded"] * 3
    assert len({event["id"] for event in events}) == 1
    bench.control("webhook_fault", kind="delay", type="refund.created", count=1, seconds=60)
    bench.refund("pi_1", 100)
    assert bench.types() == ["charge.refunded"]
    bench.now += 60
    assert bench.types() == ["refund.created"]


def test_reordering(bench: Any) -> None:
    bench.listen()
    bench.payment()
    bench.control("webhook_fault", kind="reorder", seconds=10)
    for _ in range(10):
        bench.refund("pi_1", 100)
    bench.now += 10
    events = bench.events()
    made = [event["id"] for event in bench.ask("GET", "/v1/events", {"limit": 100})["data"]]
    arrived = [event["id"] for event in events]
    assert sorted(arrived) == sorted(made) and arrived != made[::-1]
    assert bench.control("clear_webhook_faults")["removed"] == 1


def test_a_forged_signature_is_followed_by_a_true_one(bench: Any) -> None:
    bench.control("webhook", url="http://shop.test/", secret=SECRET, types=["refund.created"])
    bench.control("webhook_fault", kind="bad_signature", count=1)
    bench.control("webhook_retries", retry_after_s=[1])
    bench.payment()
    bench.refund("pi_1", 100)
    (forged,) = bench.due()
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(
            forged.body.decode(), forged.headers["Stripe-Signature"], SECRET
        )
    bench.world.delivered(forged, 401)
    bench.now += 1
    (true,) = bench.due()
    stripe.WebhookSignature.verify_header(
        true.body.decode(), true.headers["Stripe-Signature"], SECRET
    )


def test_webhook_before_the_answer(bench: Any) -> None:
    bench.listen()
    bench.payment()
    bench.control("fault", kind="webhook_before_answer", count=1)
    plan = bench.request("POST", "/v1/refunds", {"payment_intent": "pi_1"}, key="k")
    types = [json.loads(delivery.body)["type"] for delivery in plan.deliver_first]
    assert types == ["refund.created", "charge.refunded"]
    assert bench.due() == []
    bench.world.delivered(plan.deliver_first[0], 200)
    bench.world.delivered(plan.deliver_first[1], 500)
    assert bench.world.webhooks_pending == 1


def test_voids_and_captures_are_announced(bench: Any) -> None:
    bench.listen()
    bench.payment(capture="manual", announce=True)
    assert bench.types() == ["charge.succeeded", "payment_intent.amount_capturable_updated"]
    bench.ask("POST", "/v1/payment_intents/pi_1/capture")
    assert bench.types() == ["charge.captured", "payment_intent.succeeded"]
    bench.payment("pi_2", capture="manual")
    bench.ask("POST", "/v1/payment_intents/pi_2/cancel")
    assert bench.types() == ["charge.refunded", "payment_intent.canceled"]


def test_full_refund_answers_a_fraud_warning(bench: Any) -> None:
    bench.listen()
    bench.payment()
    bench.control("fraud_warning", payment="pi_1")
    assert bench.types() == ["radar.early_fraud_warning.created"]
    bench.refund("pi_1")
    assert bench.types()[-1] == "radar.early_fraud_warning.updated"


def test_over_http_with_the_official_library(
    served: Any, client: stripe.StripeClient, receiver: Any
) -> None:
    receiver.answers = [500]
    served.control("webhook", url=receiver.url, secret=SECRET, types=["refund.*"])
    served.control("webhook_retries", retry_after_s=[0])
    served.control("payment", id="pi_1", amount=500)
    refund = client.v1.refunds.create({"payment_intent": "pi_1"})
    for _ in range(2):
        headers, body = receiver.got.get(timeout=10)
        event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
        assert (event.type, event.data.object["id"]) == ("refund.created", refund.id)
    assert event.api_version == stripe.api_version


def test_time_moves_but_signatures_keep_real_time(served: Any, receiver: Any) -> None:
    # One type only: two webhooks of one instant arrive in any order.
    served.control("webhook", url=receiver.url, secret=SECRET, types=["charge.expired"])
    served.control("payment", id="pi_1", amount=500, capture="manual")
    before = served.get("/control/status")["now"]
    assert served.control("advance", seconds=8 * 86_400)["now"] > before + 8 * 86_400 - 1
    headers, body = receiver.got.get(timeout=10)
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
    assert event.type == "charge.expired"
    at = int(headers["Stripe-Signature"].split(",")[0].removeprefix("t="))
    assert event.created - at > 7 * 86_400
    served.control("reset")
