"""The Adyen look-alike: what it takes, what becomes of it, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from amends.sim.wire import CommandRefused
from tests.sim.adyen_bench import ACCOUNT, PSP

EUR = "EUR"


def test_a_refund_is_received_and_told_later(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    answer = adyen.modify("refunds", 3_000, key="k", fields={"merchantRefundReason": "RETURN"})
    name = answer.pop("pspReference")
    assert answer == {
        "amount": {"currency": EUR, "value": 3_000},
        "merchantAccount": ACCOUNT,
        "merchantRefundReason": "RETURN",
        "paymentPspReference": PSP,
        "reference": "ours-1",
        "status": "received",
    }
    assert len(name) == 16 and name.isalnum() and name.isupper()
    assert adyen.due() == [] and adyen.row()["refunded"] == 0
    (movement,) = adyen.world.movements()
    assert (movement.psp_refund_id, movement.status, movement.key) == (name, "pending", "k")
    (item,) = adyen.items()
    assert item["eventCode"] == "REFUND" and item["success"] == "true"
    assert (item["pspReference"], item["originalReference"]) == (name, PSP)
    assert item["merchantReference"] == "ours-1" and len(item["additionalData"]["arn"]) == 23
    assert (movement.status, adyen.row()["refunded"]) == ("succeeded", 3_000)


def test_more_than_was_captured_is_taken_up_and_refused_by_webhook(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.modify("refunds", 6_000)
    adyen.modify("refunds", 6_000)
    assert adyen.told() == [("REFUND", "true", 6_000), ("REFUND", "false", 6_000)]
    assert [m.status for m in adyen.world.movements()] == ["succeeded", "failed"]
    adyen.control("settings", refuse_over_refund=False)
    adyen.modify("refunds", 6_000)
    assert adyen.told() == [("REFUND", "true", 6_000)]


def test_an_uncaptured_payment_is_not_refunded(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual")
    adyen.modify("refunds", 10_000)
    (item,) = adyen.items()
    assert (item["eventCode"], item["success"]) == ("REFUND", "false")
    assert "hasn't been captured" in item["reason"]


@pytest.mark.parametrize(
    ("event", "reversed_"), [("REFUND_FAILED", False), ("REFUNDED_REVERSED", True)]
)
def test_a_refund_comes_back_days_later(adyen: Any, event: str, reversed_: bool) -> None:
    adyen.listen()
    adyen.payment()
    refund = adyen.modify("refunds", 10_000)["pspReference"]
    adyen.items()
    adyen.control("fail_refund", refund=refund, reversed=reversed_)
    assert adyen.told() == [(event, "true", 10_000)]
    assert adyen.row()["refunded"] == 0
    with pytest.raises(CommandRefused):
        adyen.control("fail_refund", refund=refund)


def test_outcomes_by_rule(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("refund_outcome", status="failed", failure_reason="No", count=1)
    adyen.modify("refunds", 100)
    (item,) = adyen.items()
    assert (item["success"], item["reason"]) == ("false", "No")
    adyen.control("refund_outcome", then="reversed", after_s=60, count=1)
    adyen.modify("refunds", 100)
    assert adyen.told() == [("REFUND", "true", 100)]
    assert adyen.told(60) == [("REFUNDED_REVERSED", "true", 100)]
    adyen.control("refund_outcome", status="pending", then="failed", after_s=60, count=1)
    adyen.modify("refunds", 100)
    assert adyen.told() == []
    assert adyen.told(60) == [("REFUND", "false", 100)]


def test_a_pending_refund_is_settled_by_command(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("refund_outcome", status="pending")
    first, second = (adyen.modify("refunds", 100)["pspReference"] for _ in range(2))
    assert adyen.told() == []
    adyen.control("settle_refund", refund=first, status="failed")
    assert adyen.control("settle_refunds") == {"settled": 1}
    assert adyen.told() == [("REFUND", "false", 100), ("REFUND", "true", 100)]
    with pytest.raises(CommandRefused):
        adyen.control("settle_refund", refund=second)


def test_what_is_settled_by_command_stays_so(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("refund_outcome", status="pending", then="failed", after_s=60, count=1)
    refund = adyen.modify("refunds", 100)["pspReference"]
    adyen.items()
    adyen.control("settle_refund", refund=refund)
    early = adyen.modify("refunds", 200)["pspReference"]
    adyen.control("settle_refund", refund=early)  # before its own webhook was due
    assert adyen.told(61) == [("REFUND", "true", 100), ("REFUND", "true", 200)]
    assert adyen.row()["refunded"] == 300


def test_a_capture_lets_the_rest_go(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual")
    assert adyen.modify("captures", 4_000)["status"] == "received"
    assert adyen.row()["captured"] == 0
    assert adyen.told() == [("CAPTURE", "true", 4_000)]
    row = adyen.row()
    assert (row["captured"], row["capturable"], row["status"]) == (4_000, 0, "captured")
    adyen.modify("captures", 1_000)
    (item,) = adyen.items()
    assert item["success"] == "false" and "captured already" in item["reason"]


def test_several_captures_add_up_where_they_are_switched_on(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual", multicapture=True)
    for value in (4_000, 5_000, 2_000):
        adyen.modify("captures", value)
    expected = [("CAPTURE", "true", 4_000), ("CAPTURE", "true", 5_000), ("CAPTURE", "false", 2_000)]
    assert adyen.told() == expected
    assert (adyen.row()["captured"], adyen.row()["capturable"]) == (9_000, 1_000)
    adyen.modify("cancels")
    assert adyen.told() == [("CANCELLATION", "true", 10_000)]
    assert (adyen.row()["captured"], adyen.row()["capturable"]) == (9_000, 0)
    adyen.modify("reversals")
    (item,) = adyen.items()
    assert (item["eventCode"], item["success"]) == ("CANCEL_OR_REFUND", "false")


def test_a_capture_that_fails_later(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("fail_capture", payment=PSP)
    assert adyen.told() == [("CAPTURE_FAILED", "true", 10_000)]
    assert adyen.row()["captured"] == 0
    adyen.modify("refunds", 10_000)
    assert adyen.told() == [("REFUND", "false", 10_000)]
    with pytest.raises(CommandRefused):
        adyen.control("fail_capture", payment=PSP)


def test_a_cancel_of_what_is_only_authorised(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual")
    assert adyen.modify("cancels")["paymentPspReference"] == PSP
    assert adyen.told() == [("CANCELLATION", "true", 10_000)]
    adyen.modify("cancels")
    adyen.modify("captures", 10_000)
    assert adyen.told() == [("CANCELLATION", "false", 10_000), ("CAPTURE", "false", 10_000)]
    (movement,) = adyen.world.movements()
    assert (movement.kind, movement.amount) == ("void", 10_000)
    assert adyen.row()["status"] == "canceled"


def test_a_cancel_of_what_was_captured_fails_by_webhook(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.modify("cancels")
    (item,) = adyen.items()
    assert (item["eventCode"], item["success"]) == ("CANCELLATION", "false")
    assert adyen.row()["captured"] == 10_000 and adyen.world.movements() == []


def test_a_cancel_by_the_shops_own_reference(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual", reference="1001")
    body = {"merchantAccount": ACCOUNT, "paymentReference": "1001", "reference": "c-1"}
    answer = adyen.ask("/v71/cancels", body)
    assert answer["paymentReference"] == "1001" and "paymentPspReference" not in answer
    adyen.ask("/v71/cancels", body | {"paymentReference": "nobody"})
    first, second = adyen.items()
    assert (first["eventCode"], first["success"]) == ("TECHNICAL_CANCEL", "true")
    assert first["originalReference"] == PSP and first["pspReference"] == answer["pspReference"]
    assert (second["success"], "originalReference" in second) == ("false", False)


@pytest.mark.parametrize(("capture", "action"), [("automatic", "refund"), ("manual", "cancel")])
def test_a_reversal_decides_itself(adyen: Any, capture: str, action: str) -> None:
    adyen.listen()
    adyen.payment(capture=capture)
    adyen.modify("reversals")
    (item,) = adyen.items()
    assert (item["eventCode"], item["success"]) == ("CANCEL_OR_REFUND", "true")
    assert item["additionalData"]["modification.action"] == action
    (movement,) = adyen.world.movements()
    assert movement.kind == {"refund": "refund", "cancel": "void"}[action]
    adyen.modify("reversals")
    (again,) = adyen.items()
    assert again["success"] == "false" and len(adyen.world.movements()) == 1


def test_a_partly_refunded_payment_is_not_reversed(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.modify("refunds", 1)
    adyen.modify("reversals")
    assert adyen.told()[1] == ("CANCEL_OR_REFUND", "false", 10_000)


def test_a_refund_waits_for_the_capture_under_way(adyen: Any) -> None:
    adyen.listen()
    adyen.control("settings", postpone_refunds=True)
    adyen.payment(capture="manual")
    adyen.modify("refunds", 500)
    assert adyen.told() == [("REFUND", "false", 500)]  # no capture is under way
    adyen.modify("refunds", 500)
    adyen.now += 0.1
    adyen.modify("captures", 10_000)
    expected = [("POSTPONED_REFUND", "true", 500), ("CAPTURE", "true", 10_000)]
    assert adyen.told() == [*expected, ("REFUND", "true", 500)]


def test_an_authorization_expires(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual", announce=True)
    (item,) = adyen.items()
    assert item["eventCode"] == "AUTHORISATION" and item["pspReference"] == PSP
    assert adyen.told(27 * 86_400) == []
    (item,) = adyen.items(86_400)
    assert (item["eventCode"], item["pspReference"]) == ("EXPIRE", PSP)
    assert "originalReference" not in item and adyen.row()["status"] == "expired"
    adyen.payment("P2", capture="manual")
    adyen.control("expire", payment="P2")
    assert adyen.row("P2")["status"] == "expired"


def test_a_chargeback_takes_from_what_can_be_refunded(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("open_dispute", payment=PSP, amount=8_000, status="notification")
    assert adyen.told() == [("NOTIFICATION_OF_CHARGEBACK", "true", 8_000)]
    assert adyen.row()["disputed"] == 0
    adyen.control("charge_back", payment=PSP)
    adyen.modify("refunds", 2_001)
    assert adyen.told() == [("CHARGEBACK", "true", 8_000), ("REFUND", "false", 2_001)]
    adyen.control("close_dispute", payment=PSP, status="reversed")
    (held,) = adyen.world.disputes()
    assert (held["status"], held["withdrawn"]) == ("chargeback_reversed", 0)
    adyen.control("close_dispute", payment=PSP, status="lost")
    expected = [("CHARGEBACK_REVERSED", "true", 8_000), ("SECOND_CHARGEBACK", "true", 8_000)]
    assert adyen.told() == expected
    assert adyen.world.disputes()[0]["withdrawn"] == 8_000
    with pytest.raises(CommandRefused):
        adyen.control("close_dispute", payment=PSP, status="won")


def test_other_ends_of_disputes(adyen: Any) -> None:
    adyen.listen()
    adyen.payment()
    adyen.control("open_dispute", payment=PSP, amount=5_000)
    adyen.control("close_dispute", payment=PSP, status="won")
    adyen.control("open_dispute", payment=PSP, amount=5_000)
    adyen.control("close_dispute", payment=PSP, status="lost")
    asked = adyen.control("open_dispute", payment=PSP, status="request_for_information")
    with pytest.raises(CommandRefused):
        adyen.control("close_dispute", dispute=asked["dispute"], status="lost")
    adyen.control("close_dispute", dispute=asked["dispute"], status="closed")
    adyen.control("fraud_warning", payment=PSP)
    assert [event for event, _, _ in adyen.told()] == [
        *("NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK"),
        *("CHARGEBACK_REVERSED", "ISSUER_RESPONSE_TIMEFRAME_EXPIRED"),
        *("NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "DISPUTE_DEFENSE_PERIOD_ENDED"),
        *("REQUEST_FOR_INFORMATION", "INFORMATION_SUPPLIED", "NOTIFICATION_OF_FRAUD"),
    ]
    assert [d["withdrawn"] for d in adyen.world.disputes()] == [0, 5_000, 0]
    assert len(adyen.world.warnings()) == 1


def test_by_hand(adyen: Any) -> None:
    adyen.listen()
    adyen.payment(capture="manual", reference="1001")
    adyen.control("dashboard_capture", payment=PSP, amount=9_000)
    refund = adyen.control("dashboard_refund", payment=PSP, amount=500)["refund"]
    first, second = adyen.items(0)
    assert (first["eventCode"], second["eventCode"]) == ("CAPTURE", "REFUND")
    assert (second["pspReference"], second["merchantReference"]) == (refund, "1001")
    assert [m.key for m in adyen.world.movements()] == [None, None]
    for amount in (8_501, 0):
        with pytest.raises(CommandRefused):
            adyen.control("dashboard_refund", payment=PSP, amount=amount)
    with pytest.raises(CommandRefused):
        adyen.control("dashboard_cancel", payment=PSP)
    adyen.payment("P2", capture="manual")
    adyen.control("dashboard_cancel", payment="P2")
    assert adyen.told() == [("CANCELLATION", "true", 10_000)]


@pytest.mark.parametrize(
    "command",
    [
        {"op": "nonsense"},
        {"op": "payment", "id": PSP, "amount": 1},
        {"op": "payment", "id": "P/2", "amount": 1},
        {"op": "payment", "id": "P2", "amount": 0},
        {"op": "payment", "id": "P2", "amount": 1, "currency": "ZZZ"},
        {"op": "payment", "id": "P2", "amount": 1, "captured": 1},
        {"op": "payment", "id": "P2", "amount": 1, "capture": "manual", "captured": 2},
        {"op": "payment", "id": "P2", "amount": 1, "customer": "c"},
        {"op": "payments", "items": [{"id": "P2", "amount": 1}, {"id": "P3"}]},
        {"op": "refund_outcome", "status": "failed", "then": "succeeded"},
        {"op": "refund_outcome", "status": "pending", "then": "reversed"},
        {"op": "refund_outcome", "count": 0},
        {"op": "settle_refund"},
        {"op": "settle_refund", "refund": "NOBODY"},
        {"op": "fail_refund", "refund": "NOBODY"},
        {"op": "fail_capture", "payment": PSP, "capture": "NOBODY"},
        {"op": "tell_captures", "payment": "OPEN"},
        {"op": "dashboard_refund", "payment": "NOBODY"},
        {"op": "dashboard_capture", "payment": PSP},
        {"op": "dashboard_capture", "payment": "OPEN", "amount": 10_001},
        {"op": "dashboard_cancel", "payment": PSP},
        {"op": "expire", "payment": PSP},
        {"op": "open_dispute", "payment": "OPEN"},
        {"op": "open_dispute", "payment": PSP, "amount": 0},
        {"op": "charge_back", "payment": PSP},
        {"op": "charge_back", "payment": "TAKEN"},
        {"op": "close_dispute", "payment": "TAKEN", "status": "closed"},
        {"op": "settings", "key_in_use_status": 500},
        {"op": "balance", "currency": "EUR", "amount": 0},
    ],
    ids=str,
)
def test_commands_that_cannot_be_done(adyen: Any, command: dict[str, Any]) -> None:
    adyen.payment()
    adyen.payment("OPEN", capture="manual")
    adyen.payment("TAKEN")
    adyen.control("open_dispute", payment="TAKEN")
    before = adyen.world.payments(), adyen.world.disputes()
    with pytest.raises(CommandRefused) as refused:
        adyen.world.control(command)
    assert str(refused.value).endswith(".")
    assert (adyen.world.payments(), adyen.world.disputes()) == before
    assert adyen.world.movements() == []


BASE = {"merchantAccount": ACCOUNT}
AMOUNT = {"currency": EUR, "value": 100}


@pytest.mark.parametrize(
    ("action", "body", "status", "code"),
    [
        ("refunds", BASE, 422, "100"),
        ("captures", BASE, 422, "100"),
        ("refunds", {"amount": AMOUNT}, 400, "702"),
        ("refunds", BASE | {"amount": AMOUNT | {"value": 0}}, 422, "137"),
        ("refunds", BASE | {"amount": AMOUNT | {"value": -1}}, 422, "137"),
        ("refunds", BASE | {"amount": AMOUNT | {"value": "100"}}, 400, "702"),
        ("refunds", BASE | {"amount": AMOUNT | {"value": 1.5}}, 400, "702"),
        ("refunds", BASE | {"amount": AMOUNT | {"currency": "USD"}}, 422, "138"),
        ("captures", BASE | {"amount": AMOUNT | {"currency": "eur"}}, 422, "138"),
        ("refunds", {"merchantAccount": "Other", "amount": AMOUNT}, 403, "901"),
        ("refunds", BASE | {"amount": AMOUNT, "reference": "r" * 81}, 422, "130"),
        (
            "refunds",
            BASE | {"amount": AMOUNT, "merchantRefundReason": "CUSTOMER_REQUEST"},
            *(400, "702"),
        ),
        ("refunds", BASE | {"amount": AMOUNT, "colour": "red"}, 400, "702"),
        ("refunds", BASE | {"amount": AMOUNT, "capturePspReference": "x"}, 422, "130"),
        ("cancels", BASE | {"amount": AMOUNT}, 400, "702"),
        ("reversals", BASE | {"amount": AMOUNT}, 400, "702"),
        ("reversals", b"[]", 400, "702"),
        ("reversals", b"{", 400, "702"),
    ],
)
def test_what_cannot_be_taken_up(
    adyen: Any, action: str, body: Any, status: int, code: str
) -> None:
    adyen.listen()
    adyen.payment()
    error = adyen.ask(f"/v72/payments/{PSP}/{action}", body, status=status)
    assert (error["status"], error["errorCode"]) == (status, code)
    assert error["message"] and error["errorType"]
    assert adyen.told() == [] and adyen.world.movements() == []


def test_who_may_ask_and_where(adyen: Any) -> None:
    adyen.payment()
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    assert adyen.ask(path, body, headers={"x-api-key": "x"}, status=401)["errorCode"] == "000"
    adyen.ask(path, body, headers={"content-type": "text/plain"}, status=400)
    adyen.ask(path, body, method="GET", status=405)
    adyen.ask(path.replace("v72", "v70"), body, status=404)
    adyen.ask("/v72/orders", body, status=404)
    unknown = adyen.ask("/v72/payments/NOBODY/refunds", body, status=422)
    assert unknown["errorCode"] == "167" and adyen.world.movements() == []


PAY = BASE | {
    "amount": AMOUNT,
    "reference": "1001",
    "paymentMethod": {"type": "scheme", "brand": "mc", "encryptedCardNumber": "test"},
    "returnUrl": "https://shop.test/paid",
}


@pytest.mark.parametrize("manual", ["true", "false"])
def test_a_payment_is_made_by_request(adyen: Any, manual: str) -> None:
    adyen.listen()
    body = PAY | {"additionalData": {"manualCapture": manual}}
    made = adyen.ask("/v72/payments", body, key="p", status=200)
    assert (made["resultCode"], made["merchantReference"]) == ("Authorised", "1001")
    assert adyen.ask("/v72/payments", body, key="p", status=200) == made
    (item,) = adyen.items()
    assert (item["eventCode"], item["pspReference"]) == ("AUTHORISATION", made["pspReference"])
    assert (item["paymentMethod"], "originalReference" in item) == ("mc", False)
    row = adyen.row(made["pspReference"])
    assert (row["authorized"], row["capturable"]) == (100, 100 if manual == "true" else 0)
    assert row["captured"] == 100 - row["capturable"]
    if manual == "true":
        assert adyen.told(wait_s=29 * 86_400) == [("EXPIRE", "true", 100)]


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"amount": None}, 422, "100"),
        ({"amount": AMOUNT | {"value": 0}}, 422, "137"),
        ({"amount": AMOUNT | {"currency": "eur"}}, 422, "138"),
        ({"reference": ""}, 422, "130"),
        ({"paymentMethod": {}}, 400, "702"),
        ({"returnUrl": None}, 400, "702"),
        ({"colour": "red"}, 400, "702"),
        ({"merchantAccount": "Other"}, 403, "901"),
    ],
)
def test_a_payment_that_cannot_be_made(
    adyen: Any, wrong: dict[str, Any], status: int, code: str
) -> None:
    adyen.listen()
    assert adyen.ask("/v72/payments", PAY | wrong, status=status)["errorCode"] == code
    assert (adyen.world.payments(), adyen.told()) == ([], [])


def test_a_method_that_needs_line_items(adyen: Any) -> None:
    adyen.payment(method="klarna")
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    assert adyen.ask(path, body, status=422)["errorCode"] == "130"
    items = [{"id": "1", "quantity": 1, "amountIncludingTax": 100}]
    assert adyen.ask(path, body | {"lineItems": items})["lineItems"] == items
    whole = {"currency": EUR, "value": 10_000}
    assert adyen.ask(path, BASE | {"amount": whole})["amount"] == whole


def test_a_paypal_refund_may_name_its_capture(adyen: Any) -> None:
    adyen.payment(method="paypal", capture="manual")
    capture = adyen.modify("captures", 10_000)["pspReference"]
    adyen.items()
    named = adyen.modify("refunds", 100, fields={"capturePspReference": capture})
    assert named["capturePspReference"] == capture


# -- keys ----------------------------------------------------------------------------------------


def test_a_repeat_gets_the_first_answer_whatever_it_asks(adyen: Any) -> None:
    adyen.payment()
    first = adyen.modify("refunds", 100, key="k")
    assert adyen.modify("refunds", 100, key="k") == first
    assert adyen.modify("refunds", 999, key="k") == first
    assert adyen.modify("cancels", key="k") == first
    assert len(adyen.world.movements()) == 1
    adyen.now += 7 * 86_400
    assert adyen.modify("refunds", 100, key="k") != first  # forgotten: it runs anew


def test_a_refusal_is_repeated_too(adyen: Any) -> None:
    body = BASE | {"amount": AMOUNT}
    path = f"/v72/payments/{PSP}/refunds"
    first = adyen.ask(path, body, key="k", status=422)
    adyen.payment()
    assert adyen.ask(path, body, key="k", status=422) == first


@pytest.mark.parametrize(("status", "said"), [(422, True), (409, True), (422, False)])
def test_a_key_at_work(adyen: Any, status: int, said: bool) -> None:
    adyen.payment()
    adyen.control("settings", key_in_use_status=status, key_in_use_transient=said)
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    plan = adyen.request(path, body, key="k")
    met = adyen.send(path, body, key="k")
    assert met.status == status and b'"errorCode":"704"' in met.body
    assert ("transient-error" in met.headers) == said
    adyen.world.release(plan)
    assert adyen.send(path, body, key="k").body == plan.response.body
    assert len(adyen.world.movements()) == 1


def test_keys_have_an_end_and_are_said_back(adyen: Any) -> None:
    adyen.payment()
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    adyen.ask(path, body, key="k" * 65, status=422)
    response = adyen.send(path, body, key="k" * 64)
    assert response.headers["Idempotency-Key"] == "k" * 64
    assert f'"{response.headers["pspReference"]}"'.encode() in response.body


# -- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "code", "transient"),
    [
        ("unavailable", 503, "703", True),
        ("lock_timeout", 422, "704", True),
        ("rate_limit", 429, "000", False),
    ],
)
def test_nothing_is_done_or_kept(
    adyen: Any, kind: str, status: int, code: str, transient: bool
) -> None:
    adyen.payment()
    adyen.control("fault", kind=kind, count=1, payment=PSP)
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    response = adyen.send(path, body, key="k")
    assert response.status == status and f'"errorCode":"{code}"'.encode() in response.body
    assert response.headers.get("transient-error") == ("true" if transient else None)
    assert adyen.world.movements() == []
    adyen.ask(path, body, key="k")


@pytest.mark.parametrize(("after_work", "moved"), [(True, 1), (False, 0)])
def test_a_500_is_kept_and_tells_nothing(adyen: Any, after_work: bool, moved: int) -> None:
    adyen.payment()
    adyen.control("fault", kind="error_500", after_work=after_work, count=1)
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    first = adyen.send(path, body, key="k")
    assert first.status == 500 and "transient-error" not in first.headers
    assert adyen.send(path, body, key="k").body == first.body
    assert len(adyen.world.movements()) == moved


def test_a_lost_answer_is_found_by_repeating(adyen: Any) -> None:
    adyen.payment()
    adyen.control("fault", kind="lost_answer", count=1)
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    plan = adyen.request(path, body, key="k")
    adyen.world.release(plan)
    assert plan.action == "drop" and len(adyen.world.movements()) == 1
    adyen.ask(path, body, key="k")
    assert len(adyen.world.movements()) == 1


def test_refused_late_and_slow(adyen: Any) -> None:
    adyen.payment()
    path, body = f"/v72/payments/{PSP}/refunds", BASE | {"amount": AMOUNT}
    adyen.control("fault", kind="refuse", count=1)
    assert adyen.request(path, body).action == "refuse" and adyen.world.movements() == []
    adyen.control("fault", kind="latency", seconds=3, count=1)
    assert adyen.request(path, body, key="k").delay == 3
    adyen.control("fault", kind="latency", seconds=3, after_work=False, count=1)
    plan = adyen.request(path, body, key="k2")
    assert plan.start_after == 3 and len(adyen.world.movements()) == 1
    adyen.world.perform(plan)
    assert len(adyen.world.movements()) == 2


def test_one_seed_gives_one_history(adyen: Any) -> None:
    other = type(adyen)()
    for bench in (adyen, other):
        bench.payment()
    assert adyen.modify("refunds", 1) == other.modify("refunds", 1)
    another = type(adyen)(seed=2)
    another.payment()
    assert (
        another.modify("refunds", 2)["pspReference"] != adyen.modify("refunds", 2)["pspReference"]
    )
