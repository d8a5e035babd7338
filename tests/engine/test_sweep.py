"""What nobody pushes: deadlines, messages before their order, seals; and a sweep that survives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amends.engine.clock import SystemClock
from amends.engine.wiring import Engine
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from amends.store.open import connect
from amends.store.spec import Retry, StoreUnavailable
from tests.engine.hooked import Faults, HookedStore, HookedTurn
from tests.engine.lab import Lab, Loopback, Node, laboratory, report, states


async def test_a_message_before_its_order_waits_for_it(lab: Lab) -> None:
    """A refund made in the provider's dashboard is told before the shop tells the order."""
    lab.listen()
    lab.control("payment", id="pi_1", amount=10_000)
    lab.control("dashboard_refund", payment="pi_1", amount=700)
    assert await lab.webhooks() > 0
    assert set(lab.statuses) == {200}, "on disk, so acknowledged"
    order = await lab.nodes[0].report(report("1"))
    await lab.settle()
    after = await lab.one(order.id)
    assert [(r.external, r.amount) for r in after.refunds] == [(True, 700)]
    assert after.remaining == 9300
    counts = await lab.nodes[0].store.counts(lab.clock.now())
    assert counts["inbox_unmatched"] == 0
    assert await lab.wrong() == []


class BlindTurn(HookedTurn):
    """A turn that does not see a message whose transaction is still open."""

    async def waiting(self, refs: list[str]) -> list[Any]:
        return []


class BlindStore(HookedStore):
    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Any]:
        async with self._store.turn() as turn:
            yield BlindTurn(turn, self.on)


async def test_a_message_that_raced_its_order_is_found_by_the_sweep(lab: Lab) -> None:
    lab.listen()
    lab.control("payment", id="pi_1", amount=10_000)
    lab.control("dashboard_refund", payment="pi_1", amount=700)
    await lab.webhooks()
    blind = await lab.node(lambda store: BlindStore(store, lambda point: None))  # type: ignore[return-value,arg-type]
    order = await blind.report(report("1"))
    await lab.lose(blind)
    assert (await lab.one(order.id)).refunds == ()
    for _ in range(3):
        await lab.nodes[0].engine.sweeper._match_late()
    await lab.settle()
    after = await lab.one(order.id)
    assert [r.amount for r in after.refunds] == [700]
    assert await lab.wrong() == []


async def test_a_review_that_nobody_decides_is_overdue_once(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        lab.config = replace(lab.config, policy=replace(lab.config.policy, auto_approve_up_to=0))
        await lab.lose(lab.nodes[0])
        node = await lab.node()
        order = await lab.order()
        await node.refund(order.id)
        assert states(await lab.one(order.id)) == ["review"]
        await lab.settle(10 * DAY)
        events = await node.store.events(order.id, "", 100)
        overdue = [event for event in events if event.type == "refund.overdue"]
        assert len(overdue) == 1
        assert overdue[0].at >= lab.clock.at - 8 * DAY
        assert states(await lab.one(order.id)) == ["review"], "nobody is declined by a clock"
        assert await lab.wrong() == []


async def test_a_seal_every_minute_over_what_changed(lab: Lab) -> None:
    node = lab.nodes[0]
    sweeper = node.engine.sweeper
    await lab.order()
    for _ in range(30):
        await sweeper._chores()
        lab.clock.forward(10 * SECOND)
    (only,) = await checkpoints(node)
    assert only["orders"] == 1
    await lab.order("2")
    for _ in range(12):
        await sweeper._chores()
        lab.clock.forward(10 * SECOND)
    assert [c["orders"] for c in await checkpoints(node)] == [1, 2]
    assert await lab.wrong() == []


async def checkpoints(node: Node) -> list[dict[str, Any]]:
    last = await node.store.last_checkpoint()
    path = node.lab.config.audit_dir / "checkpoints.jsonl"
    lines = path.read_text().splitlines()
    assert last is not None and last.number == len(lines)
    return [json.loads(line) for line in lines]


async def test_no_room_after_all_gives_the_lease_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the limit and the claim another start took the room."""
    order = await lab.order()
    command = await lab.node(sends=False)
    await command.refund(order.id)
    await lab.lose(command)
    node = lab.nodes[0]
    limit = node.engine.limits["stripe-eu"]
    with monkeypatch.context() as patch:
        patch.setattr(limit, "take", lambda: False)
        await node.engine.sweeper.claim()
    assert await node.engine.sweeper.claim(), "it need not wait for a lease nobody uses"
    await lab.settle(HOUR)
    assert states(await lab.one(order.id)) == ["succeeded"]


# -- a process in real time -----------------------------------------------------------------------


class RealTime(Node):
    """An engine with its own turner and sweeper, as a server has them."""


@asynccontextmanager
async def running(lab: Lab, faults: Faults) -> AsyncIterator[RealTime]:
    await lab.lose(lab.nodes[0])
    store = connect(lab.url)
    await store.open()
    transport = Loopback(lab)
    hooked: Any = HookedStore(store, faults)
    engine = Engine(lab.config, hooked, transport=transport)
    node = RealTime(lab, engine, store, transport)
    lab.nodes.append(node)
    await engine.start()
    yield node


async def until(found: Any, what: str) -> None:
    """Poll a condition, with an end."""
    for _ in range(2000):
        if found():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"never: {what}")


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ("claim", Retry("deadlock")),
        ("claim", StoreUnavailable("away")),
        ("next_due", RuntimeError("a defect")),
        ("heartbeat", Retry("deadlock")),
        ("unmatched_routed", RuntimeError("a defect")),
        ("changed_heads", OSError("disk")),
        ("expire_raw", RuntimeError("a defect")),
    ],
    ids=str,
)
async def test_the_sweep_survives_whatever_a_chore_raises(
    db_url: str, tmp_path: Path, point: str, error: Exception
) -> None:
    faults = Faults()
    faults.plan = [(point, error)]
    async with laboratory(db_url, tmp_path) as lab:
        order = await lab.order()
        command = await lab.node(sends=False)
        await command.refund(order.id)
        await lab.lose(command)
        async with running(lab, faults) as node:
            await until(lambda: not faults.plan, f"{point} was called")
            await until(lambda: node.transport.sent, "the effect leaves all the same")
            assert node.engine.alive
            await node.engine.stop()


async def test_a_folder_that_cannot_be_written_stops_no_refund(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        order = await lab.order()
        command = await lab.node(sends=False)
        await command.refund(order.id)
        await lab.lose(command)
        async with running(lab, Faults()) as node:
            (lab.config.audit_dir / "key.pem").unlink()
            await until(lambda: node.transport.sent, "the effect leaves all the same")
            await node.quiet()
            assert node.engine.alive
            await node.engine.stop()


async def test_stopping_while_the_database_is_away_ends(db_url: str, tmp_path: Path) -> None:
    """Answers still on the way are given up: their leases run out and somebody looks them up."""
    faults = Faults()
    async with laboratory(db_url, tmp_path) as lab:
        order = await lab.order()
        async with running(lab, faults) as node:
            node.transport.gate = asyncio.Event()
            await node.refund(order.id)
            await until(lambda: node.transport.sent, "sent")
            faults.always = ("begin", StoreUnavailable("away"))
            node.transport.gate.set()
            async with asyncio.timeout(10):
                await node.engine.stop()
        faults.always = None
        lab.nodes.clear()
        await node.store.close()
        await lab.node()
        lab.clock.at = max(lab.clock.at, SystemClock().now()) + MINUTE
        await lab.settle()
        assert states(await lab.one(order.id)) == ["succeeded"]
        assert len(lab.movements()) == 1


async def test_stopping_in_the_middle_of_a_claim_ends(db_url: str, tmp_path: Path) -> None:
    """What was claimed last is handed in and its answer taken, or its lease runs out."""
    entered, go = asyncio.Event(), asyncio.Event()

    class SlowClaims(HookedStore):
        async def claim(self, *arguments: Any) -> Any:
            found = await self._store.claim(*arguments)
            if found:
                entered.set()
                await go.wait()
            return found

    async with laboratory(db_url, tmp_path) as lab:
        order = await lab.order()
        command = await lab.node(sends=False)
        await command.refund(order.id)
        await lab.lose(command)
        await lab.lose(lab.nodes[0])
        store = connect(lab.url)
        await store.open()
        engine = Engine(lab.config, SlowClaims(store, Faults()), transport=Loopback(lab))  # type: ignore[arg-type]
        await engine.start()
        await asyncio.wait_for(entered.wait(), 10)
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.wait_for(stopping, 10)
        await store.close()
        await lab.node()
        assert states(await lab.one(order.id)) in (["succeeded"], ["sending"])
