"""Goods that come back: some shops say what a line's units had cost them and how many were shipped,
and report what comes back of them, now and then twice, too much or of no line of the order. Drawn
from sources of its own, so that all else of a story is as it was."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from amends.sim.checker.spec import Return
from amends.sim.play.books import AROUND_S, ENDS_S
from amends.sim.play.post import Post
from amends.sim.play.story import CONTENT, Plan

if TYPE_CHECKING:
    from amends.sim.play.play import World

COSTS = 0.3  # of the orders
HELD_BACK, TOO_MANY, NOBODYS, UNNAMED, AGAIN = 0.3, 0.2, 0.1, 0.2, 0.3
SOON_S, LATE_S = 600.0, 3 * 86400.0


def add(plan: Plan, prng: Random) -> None:
    """What the lines had cost, in the currency of the books, and that not all of some has left."""
    if prng.random() >= COSTS or plan.persona == CONTENT:
        return
    for line in plan.report["lines"]:
        line["cost"] = prng.randint(1, 5000)
        if prng.random() < HELD_BACK and line["fulfilled"] > 1:
            line["fulfilled"] -= 1


class Parcels:
    """What comes back of one order, as its shop reports it. `what` names its sources."""

    def __init__(self, world: World, plan: Plan, what: str = "goods") -> None:
        self._world, self._plan, self._what = world, plan, what
        self._prng = world.troubles.prng(plan.number, what)
        tries = world.troubles.prng(plan.number, f"{what}-tries")
        self._post = Post(world, plan.number, tries, what)

    async def come(self) -> None:
        """Up to three, in the days after."""
        for place in range(1, self._prng.randint(1, 3) + 1):
            await self._world.pause(self._prng.uniform(SOON_S, LATE_S))
            await self._one(place)

    async def come_at_the_end(self) -> None:
        """One in the seconds in which a month ends."""
        await self._world.until(ENDS_S + self._prng.uniform(*AROUND_S))
        await self._one(1)

    async def _one(self, place: int) -> None:
        """It may be reported again under another message."""
        number, lines, prng = self._plan.number, self._plan.report["lines"], self._prng
        some = prng.sample(lines, prng.randint(1, len(lines)))
        picks = [{"id": line["id"], "quantity": _units(line, prng)} for line in some]
        picks += [{"id": "nobody", "quantity": 1}] if prng.random() < NOBODYS else []
        name = "" if prng.random() < UNNAMED else f"{self._what}-{number}-{place}"
        told: dict[str, Any] = {"order_id": number, "lines": picks}
        told |= {"return_id": name} if name else {}
        for _ in range(2 if prng.random() < AGAIN else 1):
            status, message = await self._post.send("return.received", told)
            if status // 100 == 2:
                units = [(pick["id"], pick["quantity"]) for pick in picks]
                self._world.journal.returns.append(Return(number, message, name, units))


def come_back(world: World, plan: Plan) -> None:
    """All of it, beside the order's story."""
    if any("cost" in line for line in plan.report["lines"]):
        world.later(Parcels(world, plan).come())
        if world.wish.closes and plan.at < ENDS_S:
            world.later(Parcels(world, plan, "month-end").come_at_the_end())


def _units(line: dict[str, Any], prng: Random) -> int:
    more = 1 if prng.random() < TOO_MANY else 0
    return prng.randint(1, line["quantity"]) + more
