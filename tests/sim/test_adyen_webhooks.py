"""Webhooks of the Adyen look-alike: signed, retried, disturbed on request, read by our gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amends.core.facts import DisputeReported, FraudWarned, PaymentReported, RefundReported
from amends.gateways import adyen as gateway
from amends.gateways.spec import Genuine, Message, NotGenuine, Settings
from amends.sim.wire import CommandRefused, Delivery
from tests.sim.adyen_bench import ACCOUNT, HMAC_KEY, PSP, item_of

VALUES = {"api_key": "sk_test_sandbox", "merchant_account": ACCOUNT, "environment": "test"}
SETTINGS = Settings(name="adyen-eu", gateway="adyen", values=VALUES)


def genuine(delivery: Delivery) -> bool:
    """Whether our gateway takes it for Adyen's."""
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    found = gateway.verify(delivery.body, headers, (HMAC_KEY,), 0)
    assert isinstance(found, Genuine | NotGenuine)
    return isinstance(found, Genuine)


def read(delivery: Delivery) -> Message:
    """What our gateway reads in it."""
    assert genuine(delivery)
    return gateway.read(delivery.body, {}, SETTINGS)


def lively(adyen: Any) -> None:
    """A world in which everything has happened."""
    adyen.payment(announce=True, multicapture=True, capture="manual")
    adyen.modify("captures", 4_000)
    adyen.modify("captures", 5_000)
    adyen.payment("P2", capture="manual")
    adyen.modify("cancels", payment="P2")
    adyen.payment("P3", capture="manual", reference="own-3")
    adyen.ask("/v72/cancels", {"merchantAccount": ACCOUNT, "paymentReference": "own-3"})
    adyen.payment("P4")
    adyen.modify("reversals", payment="P4")
    adyen.payment("P5", capture="manual")
    adyen.control("expire", payment="P5")
    adyen.payment("P6", currency="KWD", method="ideal")
    adyen.control("fail_capture", payment="P6")
    adyen.now += 1
    adyen.world.books.run_due(adyen.now)
    first, second = (adyen.modify("refunds", 100)["pspReference"] for _ in range(2))
    adyen.modify("refunds", 90_000)
    adyen.now += 1
    adyen.world.books.run_due(adyen.now)
    adyen.control("fail_refund", refund=first)
    adyen.control("fail_refund", refund=second, reversed=True)
    adyen.control("settings", postpone_refunds=True)
    adyen.payment("P7", capture="manual")
    adyen.modify("refunds", 100, payment="P7")
    adyen.now += 0.1
    adyen.modify("captures", 10_000, payment="P7")
    for status in ("chargeback", "request_for_information"):
        adyen.control("open_dispute", payment=PSP, status=status)
    adyen.control("close_dispute", payment=PSP, status="closed")
    adyen.payment("P8")
    adyen.control("open_dispute", payment="P8")
    adyen.control("close_dispute", payment="P8", status="reversed")
    adyen.control("close_dispute", payment="P8", status="lost")
    adyen.control("fraud_warning", payment=PSP)


EVENTS = {
    *("AUTHORISATION", "CAPTURE", "CAPTURE_FAILED", "CANCELLATION", "TECHNICAL_CANCEL", "EXPIRE"),
    *("CANCEL_OR_REFUND", "REFUND", "REFUND_FAILED", "REFUNDED_REVERSED", "POSTPONED_REFUND"),
    *("NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"),
    *("REQUEST_FOR_INFORMATION", "INFORMATION_SUPPLIED", "NOTIFICATION_OF_FRAUD"),
}


def test_our_gateway_reads_every_one(adyen: Any) -> None:
    adyen.listen()
    lively(adyen)
    found = {}
    for delivery in adyen.due(1):
        message, item = read(delivery), item_of(delivery)
        assert message.id == delivery.event_id and message.live is False
        assert abs(message.sent_at / 1e6 - adyen.now) <= 5
        found[item["eventCode"]] = message
        if item["eventCode"] != "CAPTURE_FAILED":
            assert message.facts, item["eventCode"]
    assert set(found) == EVENTS
    kinds = {type(fact.fact) for message in found.values() for fact in message.facts}
    assert kinds >= {RefundReported, PaymentReported, DisputeReported, FraudWarned}


def test_one_byte_of_what_is_signed(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.modify("refunds", 3_000)
    (delivery,) = adyen.due(1)
    assert genuine(delivery)
    for part in (b'"value":3000', b"REFUND", b"ours-1", PSP.encode(), b'"success":"true"'):
        assert part in delivery.body
        changed = delivery.body.replace(part, part[:-2] + b"9" + part[-1:], 1)
        forged = Delivery(0, "", 1, "", delivery.headers, changed)
        assert not genuine(forged), part


def test_live_and_success_are_texts(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.modify("refunds", 3_000)
    (delivery,) = adyen.due(1)
    body = json.loads(delivery.body)
    assert body["live"] == "false" and item_of(delivery)["success"] == "true"


@pytest.mark.parametrize("status", [500, 301, None])
def test_what_is_not_2xx_is_tried_again_for_thirty_days(adyen: Any, status: int | None) -> None:
    adyen.listen()
    adyen.payment()
    adyen.modify("refunds", 100)
    adyen.now += 1
    began, waits, names = adyen.now, [], set()
    while (due := adyen.world.next_due()) is not None:
        waits.append(round(max(0, due - adyen.now)))
        adyen.now = max(due, adyen.now)
        (delivery,) = adyen.due()
        names.add(delivery.event_id)
        adyen.world.delivered(delivery, status)
    assert waits[:9] == [0, 9, 18, 27, 120, 300, 600, 900, 1800]
    assert 29 <= (adyen.now - began) / 86_400 <= 31 and len(names) == 1


def test_a_forged_signature_is_followed_by_a_true_one(adyen: Any) -> None:
    adyen.listen()
    adyen.control("webhook_fault", kind="bad_signature", count=1)
    adyen.payment()
    adyen.modify("refunds", 100)
    (forged,) = adyen.due(1)
    assert not genuine(forged)
    adyen.world.delivered(forged, 401)
    (true,) = adyen.due(9)
    assert genuine(true) and true.event_id == forged.event_id


def test_disturbances(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("webhook_fault", kind="lose", type="REFUND", count=1)
    adyen.modify("refunds", 100)
    assert adyen.told() == []
    adyen.control("webhook_fault", kind="duplicate", type="REF*", count=1, copies=2)
    adyen.modify("refunds", 100)
    assert adyen.told() == [("REFUND", "true", 100)] * 3
    adyen.control("webhook_fault", kind="delay", seconds=60, count=1)
    adyen.modify("refunds", 100)
    assert adyen.told() == []
    assert adyen.told(60) == [("REFUND", "true", 100)]
    adyen.control("webhook_fault", kind="reorder", seconds=10)
    values = list(range(1, 11))
    for value in values:
        adyen.modify("refunds", value)
    arrived = [value for _, _, value in adyen.told() + adyen.told(11)]
    assert sorted(arrived) == values and arrived != values


def test_webhook_before_the_answer(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("fault", kind="webhook_before_answer", count=1)
    body = {"merchantAccount": ACCOUNT, "amount": {"currency": "EUR", "value": 100}}
    plan = adyen.request(f"/v72/payments/{PSP}/refunds", body, key="k")
    (delivery,) = plan.deliver_first
    item = item_of(delivery)
    assert (item["eventCode"], item["success"]) == ("REFUND", "true")
    assert item["pspReference"] == json.loads(plan.response.body)["pspReference"]
    assert adyen.due(10) == []


def test_a_key_that_is_no_hex_is_refused(adyen: Any) -> None:
    for secret in ("whsec_x", ""):
        with pytest.raises(CommandRefused):
            adyen.control("webhook", url="http://shop.test/hook", secret=secret)


def test_a_capture_that_failed_may_be_made_again(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("fail_capture", payment=PSP, again=True)
    adyen.control("dashboard_capture", payment=PSP)
    assert adyen.told() == [("CAPTURE_FAILED", "true", 10_000), ("CAPTURE", "true", 10_000)]
    row = adyen.row()
    assert (row["captured"], row["uncaptured"], row["capturable"]) == (10_000, 10_000, 0)
    adyen.modify("refunds", 10_000)
    assert adyen.told() == [("REFUND", "true", 10_000)]


def test_what_was_captured_unsaid_is_told_after_all(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    assert adyen.told() == []
    adyen.control("tell_captures", payment=PSP)
    assert adyen.told() == [("CAPTURE", "true", 10_000)]
