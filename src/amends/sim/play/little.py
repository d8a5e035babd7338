"""What people ask whose story is over: where small amounts are held some ask for little, again and
again, and what is held for them is now and then taken back or paid by hand; where a month of the
books is closed they ask for a little in the seconds in which it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from amends.sim.play.books import AROUND_S, ENDS_S
from amends.sim.play.story import STEP

if TYPE_CHECKING:
    from amends.sim.play.people import Person

ASK, TAKEN_BACK, BY_HAND, ALL = 0.5, 0.1, 0.1, 0.3
REASONS = ("goodwill", "price_adjustment", "return")
SOON_S, LATE_S = 60.0, 86400.0


async def ask_as_a_month_ends(person: Person) -> None:
    """A goodwill of a few units, if that is still to come."""
    world, plan = person.world, person.plan
    at = ENDS_S + world.troubles.prng(plan.number, "as it ends").uniform(*AROUND_S)
    if world.wish.closes and asyncio.get_running_loop().time() < at:
        await world.until(at)
        amount = 5 * STEP.get(plan.currency, 1)
        await person.ask(False, by_message=False, reason="goodwill", amount=amount)


async def ask_little(person: Person) -> None:
    """Up to five times, and some of them at last for all that is left."""
    world, plan = person.world, person.plan
    least, step = world.wish.minimum.get(plan.currency, 0), STEP.get(plan.currency, 1)
    prng = world.troubles.prng(plan.number, "little")
    if not least or prng.random() >= ASK:
        return
    for _ in range(prng.randint(1, 5)):
        await world.pause(prng.uniform(SOON_S, LATE_S))
        amount = max(1, int(least * prng.uniform(0.05, 0.9)) // step) * step
        reason, way = prng.choice(REASONS), prng.random()
        ask = await person.ask(False, reason=reason, amount=amount)
        refund = world.refund(ask)
        if refund is None or refund.stage != "held":
            continue
        if way < TAKEN_BACK:
            await person.act("cancel", refund.id, "key:support")
        elif way < TAKEN_BACK + BY_HAND:
            await person.pay_by_hand(refund.id)
    if prng.random() < ALL:
        await person.ask(False)
