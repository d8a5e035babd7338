"""Everybody who buys: each order comes when it is placed, and is forgotten when its story ends, so
that a month of any size is held in memory only as far as it is being lived."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from amends.sim.play import extras, goods
from amends.sim.play.node import prng_of
from amends.sim.play.people import Person
from amends.sim.play.story import Plan, make, spread

if TYPE_CHECKING:
    from amends.sim.play.play import World


async def crowd(world: World) -> None:
    """All of them to the end of their stories. Raises what the first of them dies of."""
    try:
        async with asyncio.TaskGroup() as living:
            for at, number in _when(world):
                await world.until(at)
                plan, prng = _planned(world, number)
                living.create_task(Person(world, plan, prng).live())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


def _when(world: World) -> list[tuple[float, int]]:
    """The instant and number of every order that is placed, in turn."""
    wish, found = world.wish, []
    numbers = (int(number) for number in wish.only) if wish.only else range(1, wish.orders + 1)
    for number in sorted(numbers):
        plan, _ = _planned(world, number)
        if plan.report["tenders"] and (not wish.personas or plan.persona in wish.personas):
            found.append((plan.at, number))
    return sorted(found)


def _planned(world: World, number: int) -> tuple[Plan, Random]:
    """One order and the source of all that comes after; without tenders where no provider takes
    it."""
    wish = world.wish
    prng = prng_of(wish.seed, "order", number)
    asks = wish.asking >= 1 or prng_of(wish.seed, "asks", number).random() < wish.asking
    plan = make(str(number), prng, wish.days, asks)
    # Each payment at one of the providers, drawn apart: a story with one is as it was.
    here = [provider.party for provider in world.providers]
    if not spread(plan, prng_of(wish.seed, "at", number), here):
        plan.report["tenders"] = []
    else:
        extras.add(plan, prng_of(wish.seed, "extras", number))
        goods.add(plan, prng_of(wish.seed, "goods", number))
    return plan, prng
