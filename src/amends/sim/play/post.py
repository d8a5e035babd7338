"""A shop's signed messages about one order, each told until it is taken."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from amends.sim.play.node import START, Node
from amends.sim.play.story import SHOP, signed

if TYPE_CHECKING:
    from amends.sim.play.play import World


class Post:
    """`tries` is the source of how often something is tried, `prefix` of what its messages are
    called."""

    def __init__(self, world: World, number: str, tries: Random, prefix: str = "msg") -> None:
        self._world, self._number, self._tries, self._prefix = world, number, tries, prefix
        self._sent = 0

    async def send(self, kind: str, data: dict[str, Any], repeats: int = 0) -> tuple[int, str]:
        """One message, `repeats` more times when it was taken; its status and id."""
        world = self._world
        self._sent += 1
        name = f"{self._prefix}_{self._number}_{self._sent}"
        event = {"type": kind, "timestamp": "2026-09-21T00:00:00Z", "data": data}

        async def once(node: Node) -> tuple[int, Any]:
            at = int(START + asyncio.get_running_loop().time())
            raw, headers = signed(world.secret, name, at, event)
            return await node.hear(SHOP, raw, headers), None

        await self.way()
        status, _ = await world.answered(self._number, self._tries, once)
        for _ in range(repeats):
            await world.answered(self._number, self._tries, once)
        if status // 100 == 2:
            world.journal.messages.append(name)
        else:
            world.wrong(self._number, f"a signed {kind} was answered {status}")
        world.say(self._number, f"shop's {kind} {name}: {status}")
        return status, name

    async def way(self) -> None:
        """What a request is on its way."""
        await asyncio.sleep(self._tries.uniform(0.005, 0.2))
