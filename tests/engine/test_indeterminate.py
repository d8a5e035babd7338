"""An error the provider keeps under the key: the same bytes only bring the same answer. Look-ups
settle it, and what was not executed is closed and sent anew under another key (I3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from amends.kernel.time import DAY, HOUR, SECOND
from tests.engine.lab import Lab, laboratory, states

COUNT = 40


async def test_every_refund_ends_exactly_once(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path, indeterminate_after="5s") as lab:
        orders = [await lab.order(str(n)) for n in range(COUNT)]
        for n in range(COUNT):
            lab.control(
                "fault", kind="error_500", payment=f"pi_{n}", after_work=n % 2 == 0, count=1
            )
        began = lab.clock.now()
        await asyncio.gather(*(lab.nodes[0].refund(order.id) for order in orders))
        await lab.settle(HOUR)
        for order in orders:
            assert states(await lab.one(order.id)) == ["succeeded"]
        assert len(lab.movements()) == COUNT
        keys = sorted(m["key"].rpartition("-")[2] for m in lab.movements())
        assert keys == ["1"] * (COUNT // 2) + ["2"] * (COUNT // 2)
        # Five seconds, but not before the look-up that counts: lookup_delay after the last byte.
        assert lab.clock.now() - began < 20 * SECOND
        assert await lab.wrong() == []


async def test_by_default_a_new_key_waits_for_the_old_one_to_be_forgotten(lab: Lab) -> None:
    order = await lab.order()
    lab.control("fault", kind="error_500", after_work=False, count=1)
    began = lab.clock.now()
    await lab.nodes[0].refund(order.id)
    await lab.settle(2 * DAY)
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert lab.clock.now() - began >= DAY
    assert len(lab.movements()) == 1
    assert await lab.wrong() == []


async def test_an_attempt_that_surfaces_after_it_was_closed_is_counted_and_raised(
    db_url: str, tmp_path: Path
) -> None:
    """The provider's list hid it for longer than we were told to wait."""
    async with laboratory(db_url, tmp_path, indeterminate_after="5s") as lab:
        lab.listen()
        order = await lab.order()
        lab.control("settings", list_delay_s=3600)
        lab.control("webhook_fault", kind="delay", seconds=1800)
        lab.control("fault", kind="error_500", after_work=True, count=1)
        await lab.nodes[0].refund(order.id, amount=4000)
        await lab.settle(2 * HOUR)
        after = await lab.one(order.id)
        assert len(lab.movements()) == 2, "told to wait for five seconds only"
        (payment,) = after.payments
        assert payment.external + payment.refunded_ours == 8000, "all that left is counted"
        events = await lab.nodes[0].store.events(order.id, "", 100)
        raised = [e.body["what"] for e in events if e.type == "exception.raised"]
        assert "closed_attempt_surfaced" in raised
