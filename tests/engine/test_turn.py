"""The batch turn: one transaction for all who wait, run again or cut in two when it must be."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from amends.core.decide import decide
from amends.core.decision import Ctx, Decision
from amends.core.facts import Addressed, Recorded, RefundRequested
from amends.core.order import Order
from amends.core.requests import RefundIn
from amends.engine import actions, fold
from amends.engine.actions import Caller
from amends.engine.asks import Ask, Told
from amends.kernel.check import InvariantBroken
from amends.store.spec import CommitUnknown, Retry, StoreUnavailable
from tests.engine.hooked import Faults, HookedStore
from tests.engine.lab import Lab, Node, states

POISON = 666
HEAVY = 667


async def shaky(lab: Lab) -> tuple[Node, Faults]:
    """A node whose database can be broken, as the only one."""
    faults = Faults()
    await lab.lose(lab.nodes[0])
    return await lab.node(lambda store: HookedStore(store, faults)), faults  # type: ignore[return-value,arg-type]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A request for 6.66 is a defect in `decide`, one for 6.67 makes a row the database refuses."""
    armed = {"on": True}

    def bad(order: Order | None, recorded: Recorded, ctx: Ctx) -> Decision:
        fact = recorded.fact
        asked = fact.request.amount if isinstance(fact, RefundRequested) else None
        if asked == POISON and armed["on"]:
            raise InvariantBroken("six six six")
        decision = decide(order, recorded, ctx)
        if asked == HEAVY and armed["on"]:
            (payment,) = decision.order.payments
            payment = replace(payment, pending_ours=2 * payment.captured_peak)
            return replace(decision, order=replace(decision.order, payments=(payment,)))
        return decision

    monkeypatch.setattr(fold, "decide", bad)
    return armed


def turns(faults: Faults) -> int:
    return faults.seen.count("commit")


async def test_asks_that_wait_go_in_one_transaction(lab: Lab) -> None:
    node, faults = await shaky(lab)
    orders = [await lab.order(str(n)) for n in range(20)]
    faults.seen.clear()
    await asyncio.gather(*(node.refund(order.id, amount=100) for order in orders))
    assert turns(faults) == 1
    await lab.settle()
    assert await lab.wrong() == []


async def test_an_idle_engine_turns_at_once(lab: Lab) -> None:
    node, faults = await shaky(lab)
    order = await lab.order()
    faults.seen.clear()
    await node.refund(order.id, amount=100)
    assert turns(faults) == 1


@pytest.mark.parametrize("point", ["lock.done", "write", "write.done", "commit"])
async def test_retry_runs_the_whole_turn_again(lab: Lab, point: str) -> None:
    node, faults = await shaky(lab)
    order = await lab.order()
    limit = node.engine.limits["stripe-eu"]
    faults.plan = [(point, Retry("deadlock")) for _ in range(3)]
    told = await node.refund(order.id, key="k", amount=100)
    assert told.answer is not None
    assert faults.plan == []
    await lab.settle()
    assert limit.in_flight == 0, "starts reserved in turns that never were are given back"
    assert len(node.transport.sent) == 1
    assert await lab.wrong() == []


async def test_a_turn_that_can_never_serialise_tells_its_callers(lab: Lab) -> None:
    node, faults = await shaky(lab)
    order = await lab.order()
    faults.always = ("commit", Retry("deadlock"))
    with pytest.raises(StoreUnavailable):
        await node.refund(order.id, amount=100)
    assert node.engine.limits["stripe-eu"].in_flight == 0
    faults.always = None
    await node.refund(order.id, amount=100)
    await lab.settle()
    assert await lab.wrong() == []


@pytest.mark.parametrize("point", ["begin", "lock", "write", "commit"])
async def test_a_database_that_is_away_acknowledges_nothing(lab: Lab, point: str) -> None:
    node, faults = await shaky(lab)
    order = await lab.order()
    faults.plan = [(point, StoreUnavailable("away"))]
    with pytest.raises(StoreUnavailable):
        await node.refund(order.id, key="k", amount=100)
    assert node.transport.sent == []
    assert node.engine.limits["stripe-eu"].in_flight == 0
    told = await node.refund(order.id, key="k", amount=100)
    assert not told.replayed
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert await lab.wrong() == []


async def test_an_answer_outlasts_an_outage(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider's answer is kept while the database is away, and stored when it is back."""
    monkeypatch.setattr("amends.engine.turn.PAUSE_SECONDS", 0.01)
    node, faults = await shaky(lab)
    order = await lab.order()
    node.transport.gate = asyncio.Event()
    await node.refund(order.id, amount=100)
    faults.always = ("begin", StoreUnavailable("away"))
    node.transport.gate.set()
    faults.seen.clear()
    async with asyncio.timeout(10):
        while faults.seen.count("begin") < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    with pytest.raises(StoreUnavailable):
        await node.refund(order.id, amount=100)
    faults.always = None
    await node.quiet()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert len(node.transport.sent) == 1
    assert await lab.wrong() == []


async def test_a_commit_nobody_knows_of_is_found_by_its_key(lab: Lab) -> None:
    node, faults = await shaky(lab)
    order = await lab.order()
    faults.plan = [("committed", CommitUnknown("broke at COMMIT"))]
    with pytest.raises(StoreUnavailable):
        await node.refund(order.id, key="k", amount=100)
    told = await node.refund(order.id, key="k", amount=100)
    assert told.replayed
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert len(lab.movements()) == 1
    assert await lab.wrong() == []


@pytest.mark.parametrize("amount", [POISON, HEAVY])
async def test_a_poisoned_fact_parks_its_order_alone(
    lab: Lab, poison: dict[str, bool], amount: int
) -> None:
    node = lab.nodes[0]
    orders = [await lab.order(str(n)) for n in range(8)]
    bad = orders[3]
    asks = [
        node.refund(o.id, key=f"k{o.id}", amount=amount if o.id == bad.id else 100) for o in orders
    ]
    told = await asyncio.gather(*asks)
    for order, answer in zip(orders, told, strict=True):
        assert answer.results[0].parked == (order.id == bad.id)
        assert answer.answer is not None and answer.answer.status == 201
    await lab.settle()
    for order in orders:
        after = await lab.one(order.id)
        assert bool(after.parked) == (order.id == bad.id)
        assert states(after) == ([] if order.id == bad.id else ["succeeded"])
    assert await lab.wrong() == []


@pytest.mark.parametrize("amount", [POISON, HEAVY])
async def test_a_parked_order_keeps_what_arrives_and_resumes_in_order(
    lab: Lab, poison: dict[str, bool], amount: int
) -> None:
    node = lab.nodes[0]
    order = await lab.order()
    await node.refund(order.id, amount=amount)
    for more in (101, 102, 103):
        told = await node.refund(order.id, amount=more)
        assert told.results[0].parked
    await lab.settle()
    assert node.transport.sent == []
    poison["on"] = False
    await unpark(node, order.id)
    await lab.settle()
    after = await lab.one(order.id)
    assert [refund.amount for refund in after.refunds] == [amount, 101, 102, 103]
    assert states(after) == ["succeeded"] * 4
    assert await lab.wrong() == []


async def test_unparking_too_early_loses_nothing(lab: Lab, poison: dict[str, bool]) -> None:
    """The defect is still there: the order parks again, with every stored fact in its place."""
    node = lab.nodes[0]
    order = await lab.order()
    for amount in (POISON, 101, 102):
        await node.refund(order.id, amount=amount)
    for _ in range(2):
        await unpark(node, order.id)
        assert (await lab.one(order.id)).parked
    await node.refund(order.id, amount=103)
    poison["on"] = False
    await unpark(node, order.id)
    await lab.settle()
    after = await lab.one(order.id)
    assert not after.parked
    assert [refund.amount for refund in after.refunds] == [POISON, 101, 102, 103]
    assert await lab.wrong() == []


async def test_unparking_into_a_row_the_database_refuses(lab: Lab, poison: dict[str, bool]) -> None:
    node = lab.nodes[0]
    order = await lab.order()
    for amount in (HEAVY, 101):
        await node.refund(order.id, amount=amount)
    await unpark(node, order.id)
    assert (await lab.one(order.id)).parked
    poison["on"] = False
    await unpark(node, order.id)
    await lab.settle()
    after = await lab.one(order.id)
    assert [refund.amount for refund in after.refunds] == [HEAVY, 101]
    assert await lab.wrong() == []


async def unpark(node: Node, order: str) -> None:
    caller = Caller("key:lead", "key:lead")
    told = await actions.unpark(node.engine, caller, order)
    assert told.results[0].refused is None


async def test_an_outage_in_the_middle_of_a_bisection_repeats_nothing(
    lab: Lab, poison: dict[str, bool]
) -> None:
    """What the first half committed is not folded again when the second half has to wait."""
    node, faults = await shaky(lab)
    good, bad = await lab.order("1"), await lab.order("2")
    faults.plan = [("commit", None), ("commit", StoreUnavailable("away"))]
    asks = [patient(good.id, 100), patient(bad.id, HEAVY)]
    await asyncio.gather(*(node.engine.turner.submit(ask) for ask in asks))
    await lab.settle()
    assert states(await lab.one(good.id)) == ["succeeded"], "asked for once, paid once"
    assert (await lab.one(bad.id)).stored == 1
    assert await lab.wrong() == []


def patient(order: str, amount: int) -> Ask:
    fact = RefundRequested(RefundIn(order=order, amount=amount))
    future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
    return Ask((Addressed(fact, order=order),), "key:support", future, patient=True)
