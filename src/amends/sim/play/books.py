"""Whoever keeps the books: closes a month when it is over, at once or days later, as `amends ledger
close` does: by a process of its own, whose clock is ahead, also of some that still book."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from amends.kernel.time import SECOND
from amends.sim.play.node import START, Gone, Node, prng_of

if TYPE_CHECKING:
    from amends.sim.play.play import World

MONTH, ENDS_S = "2026-09", 812_800.0  # virtual seconds, see START
AROUND_S = (-3.0, 3.0)  # when others are busy
NEXT = "2026-10"
AT_ONCE, LATER_S = 0.7, 10 * 86400.0
EARLY_S = 4.0  # clocks are off by three


class Bookkeeper:
    """One work, to its end or the world's."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def work(self) -> None:
        if self.world.wish.closes:
            prng = prng_of(self.world.wish.seed, "books")
            at_once, later_s = prng.random() < AT_ONCE, prng.uniform(0, LATER_S)
            await self.world.until(ENDS_S + (-EARLY_S if at_once else later_s))
            while not await self._closes():
                self.world.say("", "whoever closes the month starts again")
        await asyncio.Event().wait()

    async def _closes(self) -> bool:
        """One process that tries until it is closed; False if it ended before that."""
        world = self.world
        node = await world.start_node(sends=False, ahead=True)
        try:
            while True:
                status, body = await node.close(MONTH)
                if status == 201 or body["code"] == "period_closed":
                    self._report(node)
                    await self._refuses(node)
                    return True
                await asyncio.sleep(0.1 if body["code"] == "period_not_over" else 60)
        except Gone:
            return False
        finally:
            await world.leave(node)

    def _report(self, node: Node) -> None:
        """What stood in the month when it was closed is what everybody is told."""
        last = round((START + ENDS_S) * SECOND) - 1
        world = self.world
        world.journal.closed[MONTH] = world.bridge.run(world.store.balances(last))
        world.say("", f"{node.name} closes {MONTH}")

    async def _refuses(self, node: Node) -> None:
        for month, reason in ((MONTH, "period_closed"), (NEXT, "period_not_over")):
            status, body = await node.close(month)
            if status != 503 and body["code"] != reason:
                self.world.wrong("", f"closing {month} was answered {status} {body}")
