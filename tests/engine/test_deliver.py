"""Effects out: leases, take-overs, overtaken answers, limits, pauses. One payment, one effect."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from amends.core.order import Order
from amends.engine.deliver import LEASE_US
from amends.kernel.time import HOUR, MINUTE, SECOND
from tests.engine.hooked import HookedStore
from tests.engine.lab import Lab, Node, laboratory, states


def posts(node: Node) -> list[str]:
    """Keys of what was sent, in order."""
    return [dict(r.headers)["Idempotency-Key"] for r in node.transport.sent if r.method == "POST"]


async def done(lab: Lab, order: Order, count: int = 1) -> None:
    """Everything was paid once."""
    assert states(await lab.one(order.id)) == ["succeeded"] * count
    assert len(lab.movements()) == count
    assert await lab.wrong() == []


async def test_a_lease_that_is_nearly_over_sends_nothing(lab: Lab) -> None:
    """The process slept between its commit and its first byte: another may be sending by now."""
    order = await lab.order()
    await lab.lose(lab.nodes[0])
    slept = []

    def oversleep(point: str) -> None:
        if point == "committed" and not slept:
            slept.append(1)
            lab.clock.forward(LEASE_US // 2 + 1)

    node = await lab.node(lambda store: HookedStore(store, oversleep))  # type: ignore[return-value,arg-type]
    limit = node.engine.limits["stripe-eu"]
    limit._failures = 5
    await node.refund(order.id)
    await node.quiet()
    assert node.transport.sent == []
    assert limit.in_flight == 0
    assert limit._failures == 5, "nothing was asked, so nothing is known of the party"
    assert not await node.engine.sweeper.claim(), "the lease holds"
    await lab.settle()
    await done(lab, order)


async def test_an_orphan_is_taken_over_when_its_lease_runs_out(lab: Lab) -> None:
    order = await lab.order()
    lost = lab.nodes[0]
    lost.transport.gate = asyncio.Event()
    other = await lab.node()
    await lost.refund(order.id)
    await lost.sending()
    await lab.lose(lost)
    lab.clock.forward(LEASE_US - 1)
    assert not await other.engine.sweeper.claim()
    lab.clock.forward(1)
    assert await other.engine.sweeper.claim()
    await lab.settle()
    await done(lab, order)
    assert posts(other) == [], "found by look-up, not sent again"


async def test_an_answer_that_comes_after_the_takeover_counts(lab: Lab) -> None:
    order = await lab.order()
    slow, other = lab.nodes[0], await lab.node()
    slow.transport.gate = asyncio.Event()
    await slow.refund(order.id)
    await slow.sending()
    lab.clock.forward(LEASE_US)
    assert await other.engine.sweeper.claim()
    assert states(await lab.one(order.id)) == ["unknown"]
    slow.transport.gate.set()
    await slow.quiet()
    await done(lab, order)
    await lab.settle()
    await done(lab, order)


async def test_an_answer_of_an_overtaken_attempt_is_applied(lab: Lab) -> None:
    """Attempt 2 is out and unanswered when the answer to attempt 1 arrives."""
    lab.control("settings", list_delay_s=600)
    order = await lab.order()
    slow, other = lab.nodes[0], await lab.node()
    slow.transport.gate = asyncio.Event()
    await slow.refund(order.id)
    await slow.sending()
    for _ in range(40):
        lab.clock.forward(SECOND)
        await other.engine.sweeper.claim()
        await other.quiet()
        if posts(other):
            break
    assert posts(other) == posts(slow), "the same bytes under the same key"
    assert states(await lab.one(order.id)) == ["unknown"]
    slow.transport.gate.set()
    await slow.quiet()
    await done(lab, order)
    await lab.settle()
    await done(lab, order)


async def test_what_a_command_decided_is_sent_by_a_server(lab: Lab) -> None:
    """A process that exits inserts its effects unleased."""
    order = await lab.order()
    command = await lab.node(sends=False)
    await command.refund(order.id)
    await command.quiet()
    assert command.transport.sent == []
    await lab.lose(command)
    assert await lab.nodes[0].engine.sweeper.claim()
    await lab.nodes[0].quiet()
    await done(lab, order)


async def test_one_effect_of_a_payment_at_a_time(lab: Lab) -> None:
    order = await lab.order()
    a, b = lab.nodes[0], await lab.node()
    for node in (a, b):
        node.transport.gate = asyncio.Event()
    for n in range(6):
        await (a, b)[n % 2].refund(order.id, amount=100 + n)
    for _ in range(5):
        await a.engine.sweeper.claim()
        await b.engine.sweeper.claim()
        await asyncio.sleep(0.01)
    assert len(posts(a)) + len(posts(b)) == 1
    for node in (a, b):
        assert node.transport.gate is not None
        node.transport.gate.set()
    await lab.settle()
    await done(lab, order, 6)


async def test_concurrency_is_respected(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path, concurrency=3) as lab:
        node = lab.nodes[0]
        orders = [await lab.order(str(n)) for n in range(10)]
        node.transport.gate = asyncio.Event()
        await asyncio.gather(*(node.refund(order.id) for order in orders))
        await node.engine.sweeper.claim()
        await asyncio.sleep(0.02)
        assert len(posts(node)) == 3
        node.transport.gate.set()
        await lab.settle()
        assert len(lab.movements()) == 10
        assert await lab.wrong() == []


async def test_rate_is_respected_over_two_processes(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path, rate=6) as lab:
        a, b = lab.nodes[0], await lab.node()
        for node in (a, b):
            await node.engine.sweeper._chores()
        await a.engine.sweeper._chores()
        lab.clock.forward(3 * SECOND)
        for node in (a, b):
            await node.engine.sweeper._chores()
        orders = [await lab.order(str(n)) for n in range(30)]
        started_at = lab.clock.now()
        await asyncio.gather(*((a, b)[n % 2].refund(o.id) for n, o in enumerate(orders)))
        for node in (a, b):
            await node.quiet()
        assert len(posts(a)) + len(posts(b)) <= 6, "a second's worth at once"
        seconds = 0
        while len(posts(a)) + len(posts(b)) < 30:
            for _ in range(10):
                lab.clock.forward(SECOND // 10)
                await lab.step()
            seconds = (lab.clock.now() - started_at) // SECOND
            assert len(posts(a)) + len(posts(b)) <= 6 * (seconds + 1)
            assert seconds < 20
        await lab.settle()
        assert len(lab.movements()) == 30
        assert await lab.wrong() == []


async def test_retry_after_is_honoured(lab: Lab) -> None:
    node = lab.nodes[0]
    first, second = await lab.order("1"), await lab.order("2")
    lab.control("fault", kind="rate_limit", retry_after=7, count=1)
    started_at = lab.clock.now()
    await node.refund(first.id)
    await node.quiet()
    await node.refund(second.id)
    while lab.clock.now() < started_at + 7 * SECOND:
        await lab.step()
        assert len(posts(node)) == 1, "nobody of this connection sends during the pause"
        lab.clock.forward(SECOND // 2)
    await lab.settle()
    assert len(posts(node)) == 3
    assert len(lab.movements()) == 2
    assert await lab.wrong() == []


async def test_a_party_that_is_away_is_left_alone_and_tried_again(lab: Lab) -> None:
    node = lab.nodes[0]
    orders = [await lab.order(str(n)) for n in range(40)]
    lab.control("fault", kind="refuse", method="any")
    await asyncio.gather(*(node.refund(order.id) for order in orders))
    await node.quiet()
    tried = len(node.transport.sent)
    for _ in range(60):
        await lab.step()
        lab.clock.forward(SECOND)
    probes = len(node.transport.sent) - tried
    assert 4 <= probes <= 12, f"{probes} in a minute"
    lab.control("clear_faults")
    await lab.settle()
    for order in orders:
        assert states(await lab.one(order.id)) == ["succeeded"]
    assert len(lab.movements()) == 40
    assert await lab.wrong() == []


async def test_look_ups_of_an_unknown_outcome_back_off(lab: Lab) -> None:
    node = lab.nodes[0]
    order = await lab.order()
    lab.control("fault", kind="lost_answer", count=1)
    lab.control("fault", kind="unavailable", method="GET", retry_after=0)
    started_at = lab.clock.now()
    await node.refund(order.id)
    times: list[int] = []
    while lab.clock.now() < started_at + 5 * MINUTE:
        before = len(node.transport.sent)
        await lab.step()
        if len(node.transport.sent) > before:
            times.append((lab.clock.now() - started_at) // SECOND)
        due = await lab.next_due()
        assert due is not None
        lab.clock.at = max(due, lab.clock.now() + 1)
    assert times[0] <= 5, "an unknown outcome is first looked into within 5 s"
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 30
    lab.control("clear_faults")
    await lab.settle()
    await done(lab, order)


@pytest.mark.parametrize("after_work", [True, False])
async def test_work_begun_after_we_stopped_to_listen(lab: Lab, after_work: bool) -> None:
    """ "Not found" does not count so soon after the last byte: the request may still be running."""
    order = await lab.order()
    lab.control("fault", kind="latency", seconds=8, after_work=after_work, count=1)
    await lab.nodes[0].refund(order.id)
    await lab.settle(HOUR)
    await done(lab, order)


async def test_a_look_up_lost_after_its_leg_ended_holds_nobody_back(lab: Lab) -> None:
    """The webhook ends the refund while its look-up is out; then the process that asked is killed.
    What waits for the payment goes when that lease has run out."""
    lab.listen()
    lab.control("refund_outcome", status="pending", then="failed", after_s=10, count=1)
    lab.control("fault", kind="lost_answer", count=1)
    lab.control("webhook_fault", kind="lose", count=1, type="refund.created")
    order = await lab.order()
    lost = lab.nodes[0]
    await lost.refund(order.id, amount=4000)
    await lost.quiet()
    lost.transport.gate = asyncio.Event()
    lab.clock.forward(SECOND)
    await lost.engine.sweeper.claim()
    while len(lost.transport.sent) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.0005)
    await lost.refund(order.id, amount=3000)
    other = await lab.node()
    lab.nodes.reverse()  # webhooks go to the other process
    lab.clock.forward(10 * SECOND)
    await lab.webhooks()
    assert states(await lab.one(order.id)) == ["failed", "sending"]
    await lab.lose(lost)
    await lab.settle()
    assert states(await lab.one(order.id)) == ["failed", "succeeded"]
    assert len(posts(other)) == 1
    assert await lab.wrong() == []
