"""The support desk: what waits for a person is approved or declined."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from amends.sim.play.node import Node
from amends.sim.play.people import HOUR, short

if TYPE_CHECKING:
    from amends.sim.play.play import World


class Desk:
    """The support desk: looks at reviews a few times a day."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def work(self) -> None:
        while True:
            await self.world.pause(6 * HOUR)
            await self.look()

    async def look(self) -> None:
        for refund, number in self.world.reviews():
            prng = self.world.troubles.prng(number, "desk")
            tries = self.world.troubles.prng(number, "desk-tries")
            what = "decline" if prng.random() < 0.15 else "approve"
            if self.world.is_by_hand(number, refund):
                await self._pay(tries, number, refund)
                continue
            if what == "decline" and refund not in self.world.declined:
                self.world.declined.add(refund)
                self._excuse(number, refund)
            await self._act(tries, number, what, refund)
        await self._tell_again()

    async def _tell_again(self) -> None:
        """What a partner refused is told again, once its period is open."""
        stuck = self.world.stuck()
        for partner in self.world.partners if stuck else ():
            partner.reopen()
        for order, number in stuck:
            prng = self.world.troubles.prng("", "desk-tells")
            again = partial(Node.tell_again, order=order, number=number)
            await self.world.answered("", prng, again)

    def _excuse(self, number: str, refund: str) -> None:
        """A request by message was told no id: the first of its order that may be meant."""
        asks = [ask for ask in self.world.journal.asks if ask.number == number]
        if any(ask.answer and ask.answer.get("id") == refund for ask in asks):
            return  # see World.turned_down
        for ask in asks:
            if ask.door == "message" and ask.should_succeed:
                ask.should_succeed = False
                return

    async def _pay(self, prng: Random, number: str, refund: str) -> None:
        """By other means: the money could not go back the way it came."""
        paid = {"way": "transfer", "reference": f"by-hand-{number}"}
        status, body = await self.world.answered(
            number, prng, lambda node: node.payout("key:lead", refund, paid)
        )
        self.world.say(number, f"the desk: pays {refund} by hand: {status} {short(body)}")

    async def _act(self, prng: Random, number: str, what: str, refund: str) -> None:
        status, body = await self.world.answered(
            number, prng, lambda node: node.act(what, "key:lead", refund)
        )
        self.world.say(number, f"the desk: {what} {refund}: {status} {short(body)}")
