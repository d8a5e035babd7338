"""The control API: its truth, its commands, and its refusals."""

import asyncio
import re
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest

from amends.sim import serve as shell
from amends.sim.adyen.control import COMMANDS as ADYEN
from amends.sim.paypal.control import COMMANDS as PAYPAL
from amends.sim.stripe.control import COMMANDS as STRIPE


def test_movements_have_the_promised_shape(served: Any, client: Any) -> None:
    served.control("payment", id="pi_1", amount=500)
    refund = client.v1.refunds.create({"payment_intent": "pi_1"}, {"idempotency_key": "k"})
    (item,) = served.refunds()
    at = item.pop("at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", at)
    assert item == {
        "gateway": "stripe",
        "psp_payment_id": "pi_1",
        "psp_refund_id": refund.id,
        "kind": "refund",
        "amount": 500,
        "currency": "eur",
        "status": "succeeded",
        "key": "k",
        "settled_currency": "EUR",
        "settled": 500,
        "settled_fee": 0,
    }
    charge, fee, given_back = served.get("/control/balances")["items"]
    assert (charge["category"], charge["amount"]) == ("charge", 500)
    assert (fee["category"], fee["amount"]) == ("fee", -32)
    assert given_back == {
        "gateway": "stripe",
        "category": "refund",
        "currency": "EUR",
        "amount": -500,
    }


def test_payments_show_their_amounts(served: Any) -> None:
    answer = served.control(
        "payments", count=3, prefix="pi_b", each={"amount": 700, "capture": "manual"}
    )
    assert answer == {"ok": True, "made": 3}
    items = served.get("/control/payments")["items"]
    assert [item["psp_payment_id"] for item in items] == ["pi_b1", "pi_b2", "pi_b3"]
    assert items[0] == {
        "gateway": "stripe",
        "psp_payment_id": "pi_b1",
        "charge": "ch_b1",
        "currency": "eur",
        "status": "requires_capture",
        "authorized": 700,
        "captured": 0,
        "capturable": 700,
        "refunded": 0,
        "disputed": 0,
    }


def test_a_list_of_commands(served: Any) -> None:
    commands = [{"op": "payment", "id": f"pi_{n}", "amount": 100} for n in range(3)]
    status, answer = served.post(commands)
    assert status == 200 and len(answer["results"]) == 3
    assert served.get("/control/status")["webhooks_pending"] == 0


@pytest.mark.parametrize(
    "command",
    [
        {},
        "text",
        {"op": "nonsense"},
        {"op": "payment"},
        {"op": "payment", "id": "pi_1", "amount": 0},
        {"op": "payment", "id": "pi/1", "amount": 1},
        {"op": "payment", "id": "pi_9", "amount": 1, "currency": "zzz"},
        {"op": "payment", "id": "pi_9", "amount": 1, "captured": 2},
        {"op": "payment", "id": "pi_taken", "amount": 1},
        {"op": "payment", "id": "pi_9", "amount": 1, "colour": "red"},
        {"op": "payment", "id": "pi_9", "amount": 1, "gateway": "nobody"},
        {"op": "payments", "count": 1, "each": {}},
        {"op": "webhook", "url": "ftp://x", "secret": "s"},
        {"op": "webhook_fault", "kind": "sabotage"},
        {"op": "fault", "kind": "sabotage"},
        {"op": "fault", "kind": "refuse", "count": 0},
        {"op": "fault", "kind": "refuse", "probability": 2},
        {"op": "refund_outcome", "status": "failed", "then": "succeeded"},
        {"op": "refund_outcome", "failure_reason": "mood"},
        {"op": "refund_outcome", "count": 0},
        {"op": "settle_refund"},
        {"op": "settle_refund", "refund": "re_unknown"},
        {"op": "fail_refund", "refund": "re_unknown"},
        {"op": "fail_refund", "refund": "re_unknown", "failure_reason": "mood"},
        {"op": "dashboard_refund", "payment": "pi_unknown"},
        {"op": "dashboard_refund", "payment": "pi_taken", "amount": 101},
        {"op": "dashboard_refund", "payment": "pi_taken", "amount": 0},
        {"op": "dashboard_cancel", "payment": "pi_taken"},
        {"op": "dashboard_capture", "payment": "pi_taken"},
        {"op": "expire", "payment": "pi_taken"},
        {"op": "open_dispute", "payment": "pi_taken", "reason": "mood"},
        {"op": "open_dispute", "payment": "pi_taken", "status": "won"},
        {"op": "open_dispute", "payment": "pi_taken", "amount": 0},
        {"op": "close_dispute", "payment": "pi_taken", "status": "won"},
        {"op": "fund", "currency": "eur", "amount": 1},
        {"op": "settings", "key_age_s": "long"},
        {"op": "advance"},
        {"op": "advance", "seconds": -1},
    ],
)
def test_bad_commands_are_refused_with_a_sentence(served: Any, command: Any) -> None:
    served.control("payment", id="pi_taken", amount=100)
    status, answer = served.post(command)
    assert status == 400 and not answer["ok"]
    assert answer["error"].endswith(".") and len(answer["error"]) > 15
    assert len(served.get("/control/payments")["items"]) == 1 and served.refunds() == []


def test_every_command_is_documented() -> None:
    text = shell.__doc__ or ""
    ops = {*STRIPE, *ADYEN, *PAYPAL, "fault", "clear_faults", "advance", "reset"}
    assert {op for op in ops if f'"op": "{op}"' not in text} == set()


@pytest.mark.parametrize("path", ["/", "/nobody/v2/x", "/control/nothing", "/control"])
def test_other_paths(served: Any, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(served.url + path, timeout=10)
    with refused.value as answer:  # it holds the connection
        assert answer.code == 404


def test_serve_says_when_it_is_ready_and_listens_on_this_host_only() -> None:
    async def play() -> str:
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(shell.serve(0, seed=1, ready=url.set_result))
        found = await url
        host, port = found.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10):
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return host

    assert asyncio.run(play()) == "127.0.0.1"
