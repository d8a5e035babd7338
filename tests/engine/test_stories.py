"""Whole lives of refunds on both databases, ended by the independent check."""

from __future__ import annotations

from amends.kernel.time import HOUR
from tests.engine.lab import Lab, states


async def test_a_plain_refund(lab: Lab) -> None:
    order = await lab.order()
    told = await lab.nodes[0].refund(order.id, key="k1", amount=6000)
    assert told.answer is not None and told.answer.status == 201
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert [m["amount"] for m in lab.movements()] == [6000]
    assert await lab.wrong() == []


async def test_a_lost_answer_is_looked_up(lab: Lab) -> None:
    order = await lab.order()
    lab.control("fault", kind="lost_answer", count=1, path="/v1/refunds*")
    await lab.nodes[0].refund(order.id)
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert len(lab.movements()) == 1
    assert await lab.wrong() == []


async def test_a_void(lab: Lab) -> None:
    order = await lab.order(capture="manual")
    await lab.nodes[0].refund(order.id, reason="cancelled")
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert [m["kind"] for m in lab.movements()] == ["void"]
    assert await lab.wrong() == []


async def test_a_late_failure_puts_the_money_back(lab: Lab) -> None:
    lab.listen()
    order = await lab.order()
    await lab.nodes[0].refund(order.id)
    await lab.settle(HOUR)
    (made,) = lab.movements()
    lab.control("fail_refund", refund=made["psp_refund_id"])
    await lab.settle()
    after = await lab.one(order.id)
    assert states(after) == ["failed"]
    assert after.remaining == 10_000
    assert await lab.wrong() == []
