"""Starts at a connection are reserved and given back one for one, whatever becomes of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from amends.core.legs import CAPTURE_WAIT
from amends.core.requests import LineIn, OrderIn, OrderKey, RefundIn, TenderIn
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result
from amends.engine.intake import receive
from amends.gateways.spec import Request, Response
from tests.engine.guarded import ADYEN, guarded
from tests.engine.lab import STRIPE, Lab, states
from tests.gateways.adyen_table import PSP, SECRET, one, seal


def authorized(number: str, amount: int) -> OrderIn:
    """An order of ten equal lines whose card is authorized and not captured."""
    lines = tuple(LineIn(str(n), 1, amount // 10) for n in range(10))
    tender = TenderIn(amount, "payment", STRIPE, f"pi_{number}", 0)
    return OrderIn(OrderKey("shop-1", number), "EUR", lines, (tender,))


async def test_a_leg_that_fails_as_it_is_due_gives_its_start_back(lab: Lab) -> None:
    """Its failure calls up the next one, which starts with a reservation of its own."""
    node = lab.nodes[0]
    limit = node.engine.limits[STRIPE]
    lab.control("payment", id="pi_1", amount=10_000, capture="manual")
    order = await node.report(authorized("1", 10_000))
    # The shop captured half of it, which nobody has told us yet.
    lab.control("dashboard_capture", payment="pi_1", amount=5000)
    node.transport.gate = asyncio.Event()
    await node.refund(order.id, amount=1000)
    await node.refund(order.id, amount=8000)  # these two wait for the first
    await node.refund(order.id, amount=500)
    node.transport.gate.set()
    await lab.settle()
    assert "failed" in states(await lab.one(order.id))
    assert limit.in_flight == 0, "a start that never ends starves the connection"


async def test_what_is_due_and_leaves_anew_has_one_start(
    db_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused release that is due is asked for as a reversal at once."""
    sent: list[Request] = []

    async def received(request: Request, timeout_seconds: float) -> Response:
        sent.append(request)
        made = {"status": "received", "pspReference": f"MADE{len(sent)}TABLE00082"}
        taken_up = json.loads(request.body) | made | {"paymentPspReference": PSP}
        return Response(201, {}, json.dumps(taken_up).encode())

    async with guarded(db_url, tmp_path) as house:
        monkeypatch.setattr(house.party, "send", received)
        order = await house.order(psp_payment_id=PSP, connection=ADYEN, captured=0)
        await house.refund(order, 10_000)
        await house.quiet()
        mark = json.loads(sent[0].body)["reference"]
        no = one("CANCELLATION", success="false", value=10_000, merchantReference=mark)
        await receive(house.engine, ADYEN, json.dumps(seal(no, SECRET)).encode(), {})
        house.clock.forward(CAPTURE_WAIT)
        await house.engine.sweeper.claim()
        await house.quiet()
        assert [request.url.rpartition("/")[2] for request in sent] == ["cancels", "reversals"]
        assert house.engine.limits[ADYEN].in_flight == 0


async def test_one_defect_in_a_batch_fails_one_caller(lab: Lab) -> None:
    """Whatever breaks outside of a decision, an answer that cannot be rendered or a row that can
    never be written, its neighbours in the batch are served."""
    node = lab.nodes[0]
    orders = [await lab.order(str(n)) for n in range(4)]

    def broken(result: Result) -> Rendered:
        raise KeyError("a defect")

    caller = Caller("key:s", "key:s", "POST /v1/refunds", "k", broken)
    asks = [node.refund(o.id, amount=100) for o in orders]
    bad = actions.request_refund(node.engine, caller, RefundIn(order=orders[1].id, amount=200))
    told = await asyncio.gather(*asks[:2], bad, *asks[2:], return_exceptions=True)
    assert [type(t).__name__ for t in told] == ["Told", "Told", "KeyError", "Told", "Told"]
    await lab.settle()
    assert [states(await lab.one(o.id)) for o in orders] == [["succeeded"]] * 4
    assert node.engine.limits[STRIPE].in_flight == 0
    assert await lab.wrong() == []
