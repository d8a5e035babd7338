"""What strikes everybody: providers and databases that are away, processes that end, and want of
money in one currency."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from amends.sim.play.node import prng_of
from amends.sim.play.people import SHORT, SHORT_FROM, SHORT_UNTIL

if TYPE_CHECKING:
    from amends.sim.play.play import World

NAP_S = (5.0, 30.0)  # how long a machine stands still
COMA_S = (25 * 3600.0, 27 * 3600.0)  # the same, for longer than the provider keeps keys


class Strikes:
    """Each of its works goes on until the world ends."""

    def __init__(self, world: World) -> None:
        self.world, self.wish = world, world.wish

    @property
    def _can_be_short(self) -> bool:
        profile = self.wish.profile
        return bool(profile.world) and "insufficient_balance" not in profile.without

    async def balance(self) -> None:
        """In one currency money runs out for a while."""
        short = [provider for provider in self.world.providers if provider.party.short]
        if not self._can_be_short or not short:
            await asyncio.Event().wait()
        await asyncio.sleep(SHORT_FROM)
        for provider in short:
            provider.control("balance", currency=SHORT.lower(), amount=0)
        self.world.say("", f"the balance in {SHORT} is zero: refunds are held")
        await asyncio.sleep((SHORT_UNTIL - SHORT_FROM) / 2)
        for provider in short:
            provider.control("balance", currency=SHORT.lower(), amount=0, refuse=True)
        self.world.say("", f"the balance in {SHORT} is zero: refunds are refused")
        await asyncio.sleep((SHORT_UNTIL - SHORT_FROM) / 2)
        for provider in short:
            provider.control("fund", currency=SHORT.lower(), amount=10**12)
        self.world.say("", f"the balance in {SHORT} is filled")
        await asyncio.Event().wait()

    async def events(self) -> None:
        """What strikes everybody."""
        prng = prng_of(self.wish.seed, "events")
        days = self.wish.days
        kinds = ("outage", "database_away", "crash", "two_workers", "sleep")
        count = round(self.wish.profile.world * days / 30)
        planned = sorted(
            (prng.uniform(0, days) * 86400, kind, prng.random())
            for kind in kinds
            for _ in range(count)
        )
        for at, kind, draw in planned:
            await self.world.until(at)
            if kind not in self.wish.profile.without:
                await self._event(kind, draw)
        await asyncio.Event().wait()

    async def _event(self, kind: str, draw: float) -> None:
        now = self.world.loop.time()
        if kind == "outage":
            away = self.world.providers[int(draw * 1000) % len(self.world.providers)]
            away.outage_until = now + 3600 * (1 + 3 * draw)
            self.world.say("", "the provider is away")
            away.struck(kind)
        elif kind == "database_away":
            self.world.away_until = now + 60 + 7200 * draw
            self.world.say("", "the database is away")
            self.world.troubles.struck(kind)
        elif kind == "crash" and self.world.nodes:
            self.world.crash(self.world.nodes[int(draw * len(self.world.nodes))], "any time")
        elif kind == "two_workers":
            self.world.troubles.struck(kind)
            self.world.later(self._second(3600 * (1 + 11 * draw)))
        elif kind == "sleep" and self.world.nodes:
            prng = prng_of(self.wish.seed, "sleep", round(now))
            prng.choice(self.world.nodes).tired_s = prng.uniform(*prng.choice((NAP_S, COMA_S)))

    async def _second(self, seconds: float) -> None:
        """A command beside the server, or one more worker beside the others."""
        node = await self.world.start_node(sends=self.wish.workers > 1)
        await self.world.calm_or(seconds)
        await self.world.leave(node)
