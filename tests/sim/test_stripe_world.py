"""The state machine itself, under virtual time."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DAY_S = 86_400


def test_same_seed_same_history(bench: Any) -> None:
    other = type(bench)()
    for each in (bench, other):
        each.payment()
        each.refund("pi_1", 100, key="k")
    assert bench.world.movements() == other.world.movements()


@pytest.mark.parametrize("header", ["", "Bearer sk_test_wrong", "Basic !!!", "Basic c2tfdGVzdA=="])
def test_only_the_api_key_opens(bench: Any, header: str) -> None:
    headers = {"authorization": header}
    error = bench.refuse("GET", "/v1/refunds", status=401, headers=headers)
    assert error["type"] == "invalid_request_error"


def test_basic_authentication(bench: Any) -> None:
    headers = {"authorization": "Basic c2tfdGVzdF9zYW5kYm94Og=="}
    assert bench.ask("GET", "/v1/refunds", headers=headers)["data"] == []


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "payment_intent"),
        ({"payment_intent": "pi_1", "charge": "ch_1"}, "payment_intent"),
        ({"payment_intent": "pi_1", "amount": "1.5"}, "amount"),
        ({"payment_intent": "pi_1", "amount": "0"}, "amount"),
        ({"payment_intent": "pi_1", "amount": "-5"}, "amount"),
        ({"payment_intent": "pi_1", "amout": "5"}, "amout"),
        ({"payment_intent": "pi_1", "reason": "because"}, "reason"),
        ({"payment_intent": "pi_1", "metadata[a][b]": "x"}, "metadata[a]"),
        ({"payment_intent": "pi_1", "metadata[k]": "v" * 501}, "metadata[k]"),
        ({"payment_intent": "pi_1", "expand[]": "nonsense"}, "expand"),
    ],
)
def test_bad_parameters_are_refused_and_not_stored(
    bench: Any, params: dict[str, str], param: str
) -> None:
    bench.payment()
    error = bench.refuse("POST", "/v1/refunds", params, key="k")
    assert error["param"] == param
    assert bench.refund("pi_1", 100, key="k")["status"] == "succeeded"


def test_refusals_of_the_execution_are_stored(bench: Any) -> None:
    bench.payment(amount=100)
    params = {"payment_intent": "pi_1", "amount": 101}
    first = bench.send("POST", "/v1/refunds", params, key="k")
    again = bench.send("POST", "/v1/refunds", params, key="k")
    assert (first.status, first.body) == (again.status, again.body)
    assert "Idempotent-Replayed" in again.headers and "Idempotent-Replayed" not in first.headers


@pytest.mark.parametrize(
    ("currency", "good", "bad"), [("isk", 500, 550), ("ugx", 500, 501), ("kwd", 500, 505)]
)
def test_amounts_follow_their_currency(bench: Any, currency: str, good: int, bad: int) -> None:
    bench.payment(amount=10_000, currency=currency)
    params = {"payment_intent": "pi_1", "amount": bad}
    assert bench.refuse("POST", "/v1/refunds", params)["param"] == "amount"
    assert bench.refund("pi_1", good)["amount"] == good


def test_smallest_payment(bench: Any) -> None:
    params = {"amount": 49, "currency": "jpy"}
    assert bench.refuse("POST", "/v1/payment_intents", params)["code"] == "amount_too_small"
    bench.ask("POST", "/v1/payment_intents", params | {"amount": 50})
    assert bench.refuse("POST", "/v1/payment_intents", params | {"currency": "xyz"})


def test_an_authorization_is_not_refunded_but_canceled(bench: Any) -> None:
    bench.payment(capture="manual")
    error = bench.refuse("POST", "/v1/refunds", {"payment_intent": "pi_1"})
    assert error["code"] == "charge_not_refundable"
    bench.ask("POST", "/v1/payment_intents/pi_1/cancel", key="v")
    assert [(m.kind, m.amount, m.key) for m in bench.world.movements()] == [("void", 10_000, "v")]
    error = bench.refuse("POST", "/v1/payment_intents/pi_1/cancel")
    assert error["payment_intent"]["status"] == "canceled"


def test_several_captures(bench: Any) -> None:
    bench.payment(capture="manual", multicapture=True)
    path, part = "/v1/payment_intents/pi_1/capture", {"amount_to_capture": 4_000}
    intent = bench.ask("POST", path, part | {"final_capture": "false"})
    assert (intent["status"], intent["amount_capturable"]) == ("requires_capture", 6_000)
    intent = bench.ask("POST", path, part)
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 8_000)
    assert bench.refuse("POST", path)["code"] == "payment_intent_unexpected_state"
    bench.payment("pi_2", capture="manual")
    path = "/v1/payment_intents/pi_2/capture"
    assert bench.refuse("POST", path, {"final_capture": "false"})["param"] == "final_capture"
    error = bench.refuse("POST", path, {"amount_to_capture": 10_001})
    assert error["code"] == "amount_too_large"


def test_an_authorization_expires(bench: Any) -> None:
    bench.payment(capture="manual")
    bench.listen()
    assert bench.world.next_due() == bench.now + 7 * DAY_S
    bench.now += 7 * DAY_S
    assert bench.types() == ["charge.expired", "payment_intent.canceled"]
    intent = bench.ask("GET", "/v1/payment_intents/pi_1")
    assert (intent["status"], intent["cancellation_reason"]) == ("canceled", "expired")
    charge = bench.ask("GET", "/v1/charges/ch_1")
    assert charge["refunded"] and charge["amount_captured"] == 0


def test_a_key_belongs_to_one_request(bench: Any) -> None:
    bench.payment()
    refund = bench.refund("pi_1", 100, key="k")
    for path, params in (
        ("/v1/refunds", {"payment_intent": "pi_1", "amount": 200}),
        ("/v1/payment_intents/pi_1/cancel", {}),
    ):
        assert bench.refuse("POST", path, params, key="k")["type"] == "idempotency_error"
    # The order of parameters does not matter, and reading ignores keys.
    params = {"amount": 100, "payment_intent": "pi_1"}
    assert bench.ask("POST", "/v1/refunds", params, key="k")["id"] == refund["id"]
    assert bench.ask("GET", "/v1/refunds", key="k")["data"][0]["id"] == refund["id"]
    assert bench.refuse("POST", "/v1/refunds", params, key="k" * 256)["type"]


def test_a_forgotten_key_runs_anew(bench: Any) -> None:
    bench.payment()
    first = bench.refund("pi_1", 100, key="k")
    bench.now += DAY_S - 1
    assert bench.refund("pi_1", 100, key="k")["id"] == first["id"]
    bench.now += 1
    assert bench.refund("pi_1", 100, key="k")["id"] != first["id"]
    assert len(bench.world.movements()) == 2


def test_a_key_in_use_conflicts_until_the_answer_leaves(bench: Any) -> None:
    bench.payment()
    bench.control("fault", kind="latency", count=1, seconds=3)
    params = {"payment_intent": "pi_1", "amount": 100}
    slow = bench.request("POST", "/v1/refunds", params, key="k")
    assert slow.delay == 3 and len(bench.world.movements()) == 1
    error = bench.refuse("POST", "/v1/refunds", params, key="k", status=409)
    assert error["code"] == "idempotency_key_in_use"
    bench.world.release(slow)
    assert bench.send("POST", "/v1/refunds", params, key="k").body == slow.response.body


def test_work_that_starts_late(bench: Any) -> None:
    bench.payment()
    bench.control("fault", kind="latency", count=1, seconds=3, after_work=False)
    params = {"payment_intent": "pi_1", "amount": 100}
    slow = bench.request("POST", "/v1/refunds", params, key="k")
    assert slow.start_after == 3 and bench.world.movements() == []
    assert bench.refuse("POST", "/v1/refunds", params, key="k", status=409)
    bench.world.perform(slow)
    bench.world.release(slow)
    assert json.loads(slow.response.body)["amount"] == 100


@pytest.mark.parametrize(("after_work", "moved"), [(True, 1), (False, 0)])
def test_a_500_stays_under_its_key(bench: Any, after_work: bool, moved: int) -> None:
    bench.payment()
    bench.control("fault", kind="error_500", count=1, after_work=after_work)
    params = {"payment_intent": "pi_1", "amount": 100}
    for _ in range(3):
        error = bench.refuse("POST", "/v1/refunds", params, key="k", status=500)
        assert error["type"] == "api_error"
    assert len(bench.world.movements()) == moved


@pytest.mark.parametrize(
    ("kind", "status"), [("rate_limit", 429), ("lock_timeout", 429), ("unavailable", 503)]
)
def test_limits_store_nothing(bench: Any, kind: str, status: int) -> None:
    bench.payment()
    bench.control("fault", kind=kind, count=1)
    params = {"payment_intent": "pi_1", "amount": 100}
    bench.refuse("POST", "/v1/refunds", params, key="k", status=status)
    assert bench.world.movements() == []
    assert bench.ask("POST", "/v1/refunds", params, key="k")["amount"] == 100


def test_faults_choose_their_requests(bench: Any) -> None:
    bench.payment()
    bench.payment("pi_2")
    bench.control("fault", kind="refuse", payment="pi_2", path="/v1/refunds", skip=1, count=1)
    for payment, action in (
        ("pi_1", "respond"),
        ("pi_2", "respond"),
        ("pi_1", "respond"),
        ("pi_2", "refuse"),
        ("pi_2", "respond"),
    ):
        plan = bench.request("POST", "/v1/refunds", {"payment_intent": payment, "amount": 1})
        assert plan.action == action
    bench.control("fault", kind="refuse", method="any")
    assert bench.request("GET", "/v1/refunds").action == "refuse"
    assert bench.control("clear_faults", kind="latency")["removed"] == 0
    assert bench.control("clear_faults")["removed"] == 1


def test_faults_by_probability(bench: Any) -> None:
    bench.payment()
    bench.control("fault", kind="refuse", method="GET", probability=0.5)
    actions = [bench.request("GET", "/v1/refunds").action for _ in range(100)]
    assert 25 < actions.count("refuse") < 75


def test_a_lost_answer_is_replayed(bench: Any) -> None:
    bench.payment()
    bench.control("fault", kind="lost_answer", count=2)
    params = {"payment_intent": "pi_1", "amount": 100}
    for _ in range(2):
        lost = bench.request("POST", "/v1/refunds", params, key="k")
        assert lost.action == "drop"
        bench.world.release(lost)
    assert bench.ask("POST", "/v1/refunds", params, key="k")["amount"] == 100
    assert len(bench.world.movements()) == 1


def test_pending_then_succeeded(bench: Any) -> None:
    bench.payment()
    bench.listen()
    bench.control("refund_outcome", status="pending", then="succeeded", after_s=60, count=1)
    refund = bench.refund("pi_1", 100)
    assert (refund["status"], refund["pending_reason"]) == ("pending", "processing")
    assert bench.types() == ["refund.created", "charge.refunded"]
    bench.now += 60
    updated = bench.events()
    assert [e["type"] for e in updated] == ["refund.updated", "charge.refund.updated"]
    assert updated[0]["data"]["previous_attributes"]["status"] == "pending"
    assert bench.world.movements()[0].status == "succeeded"
    assert bench.refund("pi_1", 100)["status"] == "succeeded"


def test_failure_after_success_gives_the_money_back(bench: Any) -> None:
    bench.payment(amount=100)
    bench.listen()
    refund = bench.refund("pi_1", 100)
    bench.events()
    bench.control("fail_refund", refund=refund["id"], failure_reason="expired_or_canceled_card")
    assert bench.types() == ["refund.failed", "refund.updated", "charge.refund.updated"]
    refund = bench.ask("GET", f"/v1/refunds/{refund['id']}")
    assert (refund["status"], refund["failure_reason"]) == ("failed", "expired_or_canceled_card")
    line = bench.ask("GET", f"/v1/balance_transactions/{refund['failure_balance_transaction']}")
    assert (line["type"], line["net"]) == ("refund_failure", 100)
    assert not bench.ask("GET", "/v1/charges/ch_1")["refunded"]
    assert bench.refund("pi_1", 100)["status"] == "succeeded"


def test_short_balance_holds_refunds_until_funded(bench: Any) -> None:
    bench.payment()
    bench.control("balance", currency="eur", amount=150)
    assert bench.refund("pi_1", 100)["status"] == "succeeded"
    held = [bench.refund("pi_1", amount) for amount in (200, 300)]
    assert [r["pending_reason"] for r in held] == ["insufficient_funds"] * 2
    assert held[0]["balance_transaction"] is None
    assert bench.control("fund", currency="eur", amount=200) == {"available": 50, "released": 1}
    statuses = [bench.ask("GET", f"/v1/refunds/{r['id']}")["status"] for r in held]
    assert statuses == ["succeeded", "pending"]
    bench.control("fail_refund", refund=held[1]["id"], failure_reason="insufficient_funds")
    assert bench.control("fund", currency="eur", amount=500)["released"] == 0


def test_short_balance_fails_other_methods_and_may_refuse(bench: Any) -> None:
    bench.payment(method="sepa_debit")
    bench.control("balance", currency="eur", amount=0)
    refund = bench.refund("pi_1", 100)
    assert refund["id"].startswith("pyr_")
    assert (refund["status"], refund["failure_reason"]) == ("failed", "insufficient_funds")
    bench.control("balance", currency="eur", amount=0, refuse=True)
    error = bench.refuse("POST", "/v1/refunds", {"payment_intent": "pi_1"})
    assert error["code"] == "balance_insufficient"


def test_a_dispute_stops_pending_refunds(bench: Any) -> None:
    bench.payment()
    bench.control("refund_outcome", status="pending")
    refund = bench.refund("pi_1", 100)
    bench.listen()
    bench.control("open_dispute", payment="pi_1", amount=12_000)
    assert bench.types() == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "refund.failed",
        "refund.updated",
        "charge.refund.updated",
    ]
    refund = bench.ask("GET", f"/v1/refunds/{refund['id']}")
    assert refund["failure_reason"] == "charge_for_pending_refund_disputed"
    assert bench.world.payments()[0]["disputed"] == 12_000
    bench.control("close_dispute", payment="pi_1", status="won")
    assert bench.types() == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]
    assert bench.refund("pi_1", 100)["status"] == "pending"


def test_an_inquiry_takes_nothing(bench: Any) -> None:
    bench.payment()
    bench.control("open_dispute", payment="pi_1", status="warning_needs_response")
    assert bench.world.payments()[0]["disputed"] == 0
    assert bench.refund("pi_1")["status"] == "succeeded"
    bench.control("close_dispute", payment="pi_1", status="warning_closed")


def test_made_in_the_dashboard(bench: Any) -> None:
    bench.payment()
    bench.listen()
    bench.control("dashboard_refund", payment="pi_1", amount=300)
    created = bench.events()[0]
    assert created["request"] == {"id": None, "idempotency_key": None}
    assert created["data"]["object"]["metadata"] == {}
    bench.payment("pi_2", capture="manual")
    bench.control("dashboard_capture", payment="pi_2", amount=700)
    bench.payment("pi_3", capture="manual")
    bench.control("dashboard_cancel", payment="pi_3")
    moved = [(m.kind, m.amount, m.key) for m in bench.world.movements()]
    assert moved == [("refund", 300, None), ("capture", 700, None), ("void", 10_000, None)]


def test_a_new_refund_may_be_invisible_in_lists(bench: Any) -> None:
    bench.payment()
    bench.control("settings", list_delay_s=5)
    refund = bench.refund("pi_1", 100)
    listing = ("GET", "/v1/refunds", {"payment_intent": "pi_1"})
    assert bench.ask(*listing)["data"] == []
    assert bench.ask("GET", f"/v1/refunds/{refund['id']}")["id"] == refund["id"]
    bench.now += 5
    assert len(bench.ask(*listing)["data"]) == 1


def test_lists_by_time_and_their_refusals(bench: Any) -> None:
    bench.payment()
    for _ in range(3):
        bench.refund("pi_1", 100)
        bench.now += 10
    at = int(bench.now) - 20
    window = {"created[gte]": at, "created[lt]": at + 10}
    assert len(bench.ask("GET", "/v1/refunds", window)["data"]) == 1
    assert len(bench.ask("GET", "/v1/refunds", {"created": at})["data"]) == 1
    for bad in (
        {"limit": 101},
        {"created[gte]": "x"},
        {"created[near]": 1},
        {"starting_after": "re_x", "ending_before": "re_y"},
    ):
        assert bench.refuse("GET", "/v1/refunds", bad)["type"] == "invalid_request_error"
    assert bench.refuse("GET", "/v1/refunds", {"starting_after": "re_x"}, status=404)
    assert bench.refuse("GET", "/v1/nothing", status=404)


def test_partial_capture_shows_the_released_rest_as_refunded(bench: Any) -> None:
    bench.payment(capture="manual", captured=6_000)
    charge = bench.ask("GET", "/v1/charges/ch_1")
    assert (charge["amount_captured"], charge["amount_refunded"]) == (6_000, 4_000)
    assert bench.refund("pi_1")["amount"] == 6_000
    assert bench.ask("GET", "/v1/charges/ch_1")["refunded"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("refund", "repeat", "fail", "settle", "dashboard", "pending", "lose")),
        st.integers(1, 600),
    ),
    max_size=40,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_no_more_leaves_than_was_captured(bench: Any, steps: list[tuple[str, int]]) -> None:
    bench = type(bench)()  # A fresh world for every example.
    bench.payment(amount=1_000)
    for number, (step, amount) in enumerate(steps):
        _play(bench, step, amount, number)
        left = sum(
            m.amount for m in bench.world.movements() if m.status not in ("failed", "canceled")
        )
        charge = bench.ask("GET", "/v1/charges/ch_1")
        assert left == charge["amount_refunded"] <= 1_000
        lines = bench.ask("GET", "/v1/balance_transactions", {"limit": 100})["data"]
        assert sum(line["amount"] for line in lines) == 1_000 - left
    keys = [m.key for m in bench.world.movements() if m.key]
    assert len(keys) == len(set(keys))


def _play(bench: Any, step: str, amount: int, number: int) -> None:
    refunds = [m for m in bench.world.movements() if m.psp_refund_id]
    if step == "pending":
        bench.control("refund_outcome", status="pending", count=1)
    elif step == "lose":
        bench.control("fault", kind="lost_answer", count=1)
    elif step == "settle":
        bench.control("settle_refunds")
    elif step == "fail":
        alive = [m for m in refunds if m.status not in ("failed", "canceled")]
        if alive:
            bench.control("fail_refund", refund=alive[amount % len(alive)].psp_refund_id)
    elif step == "dashboard":
        if amount <= 1_000 - bench.world.payments()[0]["refunded"]:
            bench.control("dashboard_refund", payment="pi_1", amount=amount)
    else:
        key = f"k{number}" if step == "refund" else f"k{amount % 5}"
        params = {"payment_intent": "pi_1", "amount": amount}
        bench.world.release(bench.request("POST", "/v1/refunds", params, key=key))
