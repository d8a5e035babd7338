"""What a shop tells of an order while it is parked counts when it goes on, as if told then."""

from __future__ import annotations

import pytest

from amends.core.decide import decide
from amends.core.decision import Ctx, Decision
from amends.core.facts import Recorded, RefundRequested
from amends.core.order import Order
from amends.core.requests import OrderIn, TenderIn
from amends.engine import actions, fold
from amends.engine.actions import Caller
from amends.kernel.check import InvariantBroken
from tests.engine.lab import STRIPE, Lab, report

LEAD = Caller("key:lead", "key:lead")


def with_second(number: str, version: int) -> OrderIn:
    """The order again, paid for the rest with pi_new."""
    told = report(number, version=version)
    return OrderIn(
        told.source,
        told.currency,
        told.lines,
        (*told.tenders, TenderIn(5000, "payment", STRIPE, "pi_new", 5000)),
        version=version,
    )


async def parked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Order:
    """An order that a defect has parked; the defect is mended."""
    order = await lab.order("1")

    def broken(order: Order | None, recorded: Recorded, ctx: Ctx) -> Decision:
        if isinstance(recorded.fact, RefundRequested):
            raise InvariantBroken("a defect")
        return decide(order, recorded, ctx)

    with monkeypatch.context() as patch:
        patch.setattr(fold, "decide", broken)
        assert (await lab.nodes[0].refund(order.id, amount=100)).results[0].parked
    return order


async def test_its_new_payment_is_known_by_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await parked(lab, monkeypatch)
    lab.control("payment", id="pi_new", amount=5000)
    await lab.nodes[0].report(with_second("1", 2))
    await actions.unpark(lab.nodes[0].engine, LEAD, order.id)
    assert len((await lab.one(order.id)).payments) == 2
    taken = await actions.report_order(lab.nodes[0].engine, LEAD, with_second("2", 1))
    (result,) = taken.results
    assert result.refused is not None and result.refused.reason == "payment_taken"
    lab.listen()
    lab.control("dashboard_refund", payment="pi_new", amount=700)
    await lab.settle()
    assert any(refund.external for refund in (await lab.one(order.id)).refunds)
    assert await lab.wrong() == []


async def test_a_payment_another_order_took_meanwhile_stays_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await parked(lab, monkeypatch)
    lab.control("payment", id="pi_2", amount=10_000)
    lab.control("payment", id="pi_new", amount=5000)
    await lab.nodes[0].report(with_second("1", 2))
    other = await lab.nodes[0].report(with_second("2", 1))
    await actions.unpark(lab.nodes[0].engine, LEAD, order.id)
    owners = [o.id for o in await lab.orders() for p in o.payments if p.psp_payment_id == "pi_new"]
    assert owners == [other.id], "two orders would each give all of it back"
    events = await lab.nodes[0].store.events(order.id, "", 50)
    assert [e.body["reason"] for e in events if e.type == "refund.refused"] == ["payment_taken"]
    await lab.settle()
    assert await lab.wrong() == []


async def test_a_report_that_takes_a_payment_is_refused_on_the_trail(lab: Lab) -> None:
    """A webhook with it is acknowledged, so it must not vanish without a trace."""
    lab.control("payment", id="pi_new", amount=5000)
    lab.control("payment", id="pi_2", amount=10_000)
    order = await lab.order("1")
    await lab.nodes[0].report(with_second("2", 1))
    await actions.report_order(lab.nodes[0].engine, LEAD, with_second("1", 2))
    events = await lab.nodes[0].store.events(order.id, "", 50)
    assert [e.body["reason"] for e in events if e.type == "refund.refused"] == ["payment_taken"]
