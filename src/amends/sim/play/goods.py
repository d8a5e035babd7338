"""Goods that come back: some shops say what a line's units had cost them and how many were shipped,
and report what comes back of them, now and then twice, too much or of no line of the order. Drawn
from sources of its own, so that all else of a story is as it was."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from amends.sim.checker.spec import Return
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


async def come_back(world: World, plan: Plan) -> None:
    """Some of it, in up to three parcels; a parcel is reported again under another message."""
    number, lines = plan.number, plan.report["lines"]
    prng = world.troubles.prng(number, "goods")
    post = Post(world, number, world.troubles.prng(number, "goods-tries"), "goods")
    for place in range(1, prng.randint(1, 3) + 1):
        await world.pause(prng.uniform(SOON_S, LATE_S))
        some = prng.sample(lines, prng.randint(1, len(lines)))
        picks = [{"id": line["id"], "quantity": _units(line, prng)} for line in some]
        picks += [{"id": "nobody", "quantity": 1}] if prng.random() < NOBODYS else []
        name = "" if prng.random() < UNNAMED else f"ret-{number}-{place}"
        told: dict[str, Any] = {"order_id": number, "lines": picks}
        told |= {"return_id": name} if name else {}
        for _ in range(2 if prng.random() < AGAIN else 1):
            status, message = await post.send("return.received", told)
            if status // 100 == 2:
                units = [(pick["id"], pick["quantity"]) for pick in picks]
                world.journal.returns.append(Return(number, message, name, units))


def _units(line: dict[str, Any], prng: Random) -> int:
    more = 1 if prng.random() < TOO_MANY else 0
    return prng.randint(1, line["quantity"]) + more
