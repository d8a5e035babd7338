"""Crash points, enumerated: wherever a process ends, the next one brings every refund to its end,
with the money moved exactly once (I2, I3, I13; edge 3)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from amends.core.order import shown_state
from amends.kernel.time import HOUR
from amends.store.spec import StoreUnavailable
from tests.engine.crash import Fuse, Stage, Story, play
from tests.engine.lab import Lab, all_orders, report

KEY = "the-callers-key"


async def one_order(lab: Lab) -> None:
    await lab.order()


async def one_authorization(lab: Lab) -> None:
    await lab.order(capture="manual")


async def paid_back(lab: Lab) -> None:
    """A refund that succeeded and will fail after all."""
    order = await lab.order()
    await lab.nodes[0].refund(order.id, key=KEY)
    await lab.settle(HOUR)


async def ask(lab: Lab, **how: object) -> None:
    (order,) = await all_orders(lab.nodes[0].store)
    await lab.nodes[0].refund(order.id, key=KEY, **how)


async def plain(lab: Lab) -> None:
    await ask(lab)
    await lab.settle(HOUR)


async def order_and_refund(lab: Lab) -> None:
    """From the very first fact, two refunds on one payment."""
    lab.control("payment", id="pi_1", amount=10_000)
    order = await lab.nodes[0].report(report("1"))
    await asyncio.gather(
        lab.nodes[0].refund(order.id, key=KEY, amount=3000),
        lab.nodes[0].refund(order.id, key="another", amount=4000),
    )
    await lab.settle(HOUR)


async def nothing(lab: Lab) -> None:
    """The story begins with an empty database."""


async def lost_answer(lab: Lab) -> None:
    lab.control("fault", kind="lost_answer", count=1)
    await plain(lab)


async def hidden_answer(lab: Lab) -> None:
    """Lost, and the list does not show it yet: the same bytes are sent again."""
    lab.control("settings", list_delay_s=20)
    await lost_answer(lab)


async def late_failure(lab: Lab) -> None:
    (made,) = lab.movements()
    lab.control("fail_refund", refund=made["psp_refund_id"])
    await lab.settle(HOUR)


async def one_fails_one_waits(lab: Lab) -> None:
    """The first answer is lost, the second request waits, a webhook ends the first refund."""
    lab.control("refund_outcome", status="pending", then="failed", after_s=3, count=1)
    lab.control("fault", kind="lost_answer", count=1)
    (order,) = await all_orders(lab.nodes[0].store)
    await lab.nodes[0].refund(order.id, key=KEY, amount=4000)
    await lab.nodes[0].quiet()
    await lab.nodes[0].refund(order.id, key="another", amount=3000)
    await lab.settle(HOUR)


async def asked_again(lab: Lab) -> None:
    """What the caller does who had no answer: the same key again."""
    for order in await all_orders(lab.nodes[0].store):
        with suppress(StoreUnavailable):
            await lab.nodes[0].refund(order.id, key=KEY)


STORIES: dict[str, tuple[Story, Story, list[str]]] = {
    "plain": (plain, one_order, ["succeeded"]),
    "from nothing": (order_and_refund, nothing, ["succeeded"]),
    "void": (plain, one_authorization, ["succeeded"]),
    "lost answer": (lost_answer, one_order, ["succeeded"]),
    "hidden answer": (hidden_answer, one_order, ["succeeded"]),
    "late failure": (late_failure, paid_back, ["failed"]),
    "one fails, one waits": (one_fails_one_waits, one_order, ["failed", "succeeded"]),
}


@pytest.mark.parametrize("name", STORIES)
async def test_every_crash_point(name: str, stage: Stage) -> None:
    story, prepare, ends = STORIES[name]
    whole, lab = await play(story, prepare, stage, at=0)
    assert lab.found == []
    assert not whole.blown.is_set()
    assert whole.passed > 10, "the story passes points to crash at"
    for at in range(1, whole.passed + 1):
        await one_point(story, prepare, ends, stage, at, whole)


async def one_point(
    story: Story, prepare: Story, ends: list[str], stage: Stage, at: int, whole: Fuse
) -> None:
    fuse, lab = await play(story, prepare, stage, at)
    where = f"crashed at {at} of {whole.passed}: {fuse.points[-1]} after {fuse.points[-4:-1]}"
    assert fuse.blown.is_set(), where
    assert lab.found == [], where
    live = [m for m in lab.movements() if m["status"] not in ("failed", "canceled")]
    for order in lab.after:
        for refund in order.refunds:
            assert shown_state(refund) in ends, where
    paid = [r for o in lab.after for r in o.refunds if shown_state(r) == "succeeded"]
    assert len(live) == len(paid), where


async def test_a_caller_who_asks_again_after_a_crash_gets_one_refund(
    stage: Stage,
) -> None:
    """At every point of the plain story, the caller repeats its request at the next process."""

    async def insistent(lab: Lab) -> None:
        await plain(lab)

    whole, _ = await play(insistent, one_order, stage, at=0)
    for at in range(1, whole.passed + 1, 3):
        fuse, lab = await play(insistent, one_order, stage, at, again=asked_again)
        assert fuse.blown.is_set()
        assert lab.found == []
        (order,) = lab.after
        assert [shown_state(refund) for refund in order.refunds] == ["succeeded"]
        assert len(lab.movements()) == 1
