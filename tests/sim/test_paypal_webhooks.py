"""PayPal's webhooks: signed under our own authority, retried, disturbed; read by our gateway."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from amends.core.facts import DisputeReported, PaymentToRead
from amends.gateways import paypal as gateway
from amends.gateways.spec import Genuine, Settings, Trust
from amends.sim.paypal.certificates import Signer
from amends.sim.wire import Delivery
from tests.sim.paypal_bench import PayPalBench, amount, check, documents, held_path, refund_path

SECRET = "WEBHOOK1"


def connection(bench: PayPalBench) -> Settings:
    values = {"environment": "sandbox"}
    url = bench.world.site.url
    return Settings(name="paypal-eu", gateway="paypal", base_url=url, values=values)


def trust(bench: PayPalBench, headers: dict[str, str]) -> Trust:
    """What an engine gathers: the chain from where the message says, the authority by hand."""
    url = gateway.certificate_url(headers, connection(bench))
    path = url.removeprefix(bench.world.site.url)
    answer = bench.send("GET", path, headers={"authorization": ""})
    assert answer.headers["Content-Type"] == "application/x-pem-file"
    return Trust(url, answer.body, bench.control("trust_anchors")["pem"].encode())


def heads(delivery: Delivery) -> dict[str, str]:
    return {name.lower(): value for name, value in delivery.headers.items()}


def genuine(
    bench: PayPalBench,
    delivery: Delivery,
    body: bytes | None = None,
    secret: str = SECRET,
    **changed: str,
) -> bool:
    headers = heads(delivery) | {name.replace("_", "-"): value for name, value in changed.items()}
    given, now = trust(bench, heads(delivery)), int(bench.now) * 1_000_000
    raw = delivery.body if body is None else body
    return isinstance(gateway.verify(raw, headers, (secret,), now, given), Genuine)


@pytest.fixture(params=["https://api.sandbox.paypal.com", "http://127.0.0.1:9400/paypal"])
def anywhere(request: Any, paypal: PayPalBench) -> PayPalBench:
    """At PayPal's own address, and at a sandbox's."""
    paypal.world.site.url = request.param
    paypal.listen()
    paypal.captured()
    return paypal


def test_our_gateway_takes_it_for_genuine(anywhere: PayPalBench) -> None:
    anywhere.refund("1.00")
    (delivery,) = anywhere.due()
    assert genuine(anywhere, delivery)
    assert not genuine(anywhere, delivery, secret="WEBHOOK2")


def test_a_flipped_byte_is_found_wherever_it_is(paypal: PayPalBench) -> None:
    paypal.listen()
    paypal.captured()
    paypal.refund("1.00")
    (delivery,) = paypal.due()
    for at in range(0, len(delivery.body), 7):
        flipped = bytearray(delivery.body)
        flipped[at] ^= 1
        assert not genuine(paypal, delivery, bytes(flipped)), at
    headers = heads(delivery)
    signature = bytearray(base64.b64decode(headers["paypal-transmission-sig"]))
    signature[40] ^= 1
    sent = base64.b64encode(signature).decode()
    assert not genuine(paypal, delivery, paypal_transmission_sig=sent)
    time, name = headers["paypal-transmission-time"], headers["paypal-transmission-id"]
    assert not genuine(paypal, delivery, paypal_transmission_time=time.replace("2", "1", 1))
    assert not genuine(paypal, delivery, paypal_transmission_id=name[:-1] + "-")


def test_another_authority_does_not_vouch_for_it(paypal: PayPalBench) -> None:
    paypal.listen()
    paypal.captured()
    paypal.refund("1.00")
    (delivery,) = paypal.due()
    given = trust(paypal, heads(delivery))
    now = int(paypal.now) * 1_000_000
    for anchors in (b"", Signer().anchors.encode()):
        other = Trust(given.url, given.chain, anchors)
        found = gateway.verify(delivery.body, heads(delivery), (SECRET,), now, other)
        assert not isinstance(found, Genuine)


def test_a_forged_signature_is_followed_by_a_true_one(paypal: PayPalBench) -> None:
    paypal.listen()
    paypal.captured()
    paypal.control("webhook_fault", kind="bad_signature", count=1)
    paypal.refund("1.00")
    (forged,) = paypal.due()
    assert not genuine(paypal, forged)
    paypal.world.delivered(forged, 401)
    paypal.now += 5
    (true,) = paypal.due()
    assert (true.attempt, true.body) == (2, forged.body)
    assert genuine(paypal, true)


def test_what_is_not_taken_is_tried_25_times_in_three_days(paypal: PayPalBench) -> None:
    paypal.listen()
    paypal.captured()
    paypal.refund("1.00")
    began, attempts = paypal.now, []
    while (at := paypal.world.next_due()) is not None:
        paypal.now = at
        (delivery,) = paypal.due()
        attempts.append(delivery)
        paypal.world.delivered(delivery, 500)
    assert len(attempts) == 25
    assert 2 * 86_400 < paypal.now - began <= 3 * 86_400
    assert len({(d.event_id, d.body) for d in attempts}) == 1
    assert len({tuple(heads(d).items()) for d in attempts}) == 1  # PayPal repeats the head


def lively(bench: PayPalBench) -> list[dict[str, Any]]:
    """Everything that is told of happens once; the events in order."""
    bench.listen()
    bench.captured(announce=True, method="card", custom_id="order-1", invoice_id="INV-1")
    bench.authorized(announce=True)
    bench.control("payment", id="VOID1", amount=500, capture="manual")
    bench.send("POST", held_path("void", "VOID1"))
    for status, after in (("pending", "succeeded"), ("pending", "failed"), ("pending", "canceled")):
        bench.control("refund_outcome", status=status, count=1)
        given = bench.refund("1.00")
        bench.control("settle_refund", refund=given["id"], status=after)
    bench.control("refund_outcome", status="failed", count=1)
    bench.refund("1.00")
    for status in ("pending", "failed"):
        bench.control("capture_outcome", status=status)
        bench.send("POST", held_path("capture"), amount("10.00"))
    bench.send("POST", held_path("reauthorize"), {})
    bench.control("reverse", payment="CAP1", amount=100)
    bench.control("open_dispute", payment="CAP1")
    bench.control("update_dispute", payment="CAP1", status="UNDER_REVIEW")
    bench.control("close_dispute", payment="CAP1", status="won")
    order = {"intent": "CAPTURE", "purchase_units": [amount("5.00")]}
    made = bench.ask("POST", "/v2/checkout/orders", order, status=201)
    bench.control("approve", order=made["id"])
    return bench.events()


def test_every_event_is_shaped_as_published_and_read_by_our_gateway(paypal: PayPalBench) -> None:
    events = lively(paypal)
    assert {event["event_type"] for event in events} == {
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.CAPTURE.PENDING",
        "PAYMENT.CAPTURE.DECLINED",
        "PAYMENT.CAPTURE.REFUNDED",
        "PAYMENT.CAPTURE.REVERSED",
        "PAYMENT.AUTHORIZATION.CREATED",
        "PAYMENT.AUTHORIZATION.VOIDED",
        "PAYMENT.REFUND.COMPLETED",
        "PAYMENT.REFUND.FAILED",
        "PAYMENT.REFUND.CANCELLED",
        "CUSTOMER.DISPUTE.CREATED",
        "CUSTOMER.DISPUTE.UPDATED",
        "CUSTOMER.DISPUTE.RESOLVED",
        "CHECKOUT.ORDER.APPROVED",
    }
    schemas = {"refund": (0, "refund"), "capture": (0, "capture-2"), "dispute": (2, "dispute")}
    schemas |= {"authorization": (0, "authorization-2"), "checkout-order": (1, "order")}
    for event in events:
        number, name = schemas[event["resource_type"]]
        if documents():
            schema = {"$ref": f"#/components/schemas/{name}"}
            check(documents()[number], schema, event["resource"])
        told = gateway.read(json.dumps(event).encode(), {}, connection(paypal))
        assert told.id == event["id"]
        kinds = {type(item.fact) for item in told.facts}
        expected = set() if event["resource_type"] == "checkout-order" else {PaymentToRead}
        if event["resource_type"] == "dispute":
            expected = {DisputeReported, PaymentToRead}
        assert kinds == expected, event["event_type"]


def test_a_refund_s_webhook_names_its_capture(paypal: PayPalBench) -> None:
    paypal.listen()
    paypal.captured()
    paypal.refund("1.00")
    (delivery,) = paypal.due()
    told = gateway.read(delivery.body, heads(delivery), connection(paypal))
    assert [item.payments for item in told.facts] == [(("paypal-eu", "CAP1"),)]


def test_a_refund_that_ends_later_may_say_nothing(paypal: PayPalBench) -> None:
    """PAYMENT.REFUND.* is not confirmed by PayPal's own list."""
    paypal.listen()
    paypal.captured()
    paypal.control("settings", refund_events=False)
    paypal.control("refund_outcome", status="pending", count=1)
    given = paypal.refund("1.00")
    assert paypal.types() == ["PAYMENT.CAPTURE.REFUNDED"]
    paypal.control("settle_refund", refund=given["id"], status="failed")
    assert paypal.types() == []


def test_edge_06_the_webhook_before_the_answer(paypal: PayPalBench) -> None:
    paypal.listen()
    paypal.captured()
    paypal.control("fault", kind="webhook_before_answer", count=1)
    plan = paypal.request("POST", refund_path(), {}, key="k")
    assert [json.loads(d.body)["event_type"] for d in plan.deliver_first] == [
        "PAYMENT.CAPTURE.REFUNDED"
    ]
    assert paypal.due() == []


@pytest.mark.parametrize(
    ("fault", "seconds", "told"),
    [
        ({"kind": "lose"}, 0, 0),
        ({"kind": "duplicate", "copies": 2}, 0, 3),
        ({"kind": "delay", "seconds": 60}, 60, 1),
        ({"kind": "reorder", "seconds": 10}, 10, 1),
    ],
)
def test_disturbances(paypal: PayPalBench, fault: Any, seconds: int, told: int) -> None:
    paypal.listen(types=["PAYMENT.CAPTURE.*"])
    paypal.captured()
    paypal.control("webhook_fault", count=1, type="PAYMENT.CAPTURE.REFUNDED", **fault)
    paypal.refund("1.00")
    assert seconds == 0 or paypal.due() == []
    paypal.now += seconds
    assert len(paypal.events()) == told
