"""The providers' webhooks on their way to us, and what happens to them there."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from amends.sim import wire
from amends.sim.play.network import Provider
from amends.sim.play.node import Gone
from amends.sim.play.parties import ITEMS, Word

if TYPE_CHECKING:
    from amends.sim.play.play import World

HELD_S = 280.0  # so long a webhook may be on its way until its signature is too old
LATE_S = 3 * 3600.0  # the longest that no attempt of one arrives; the provider tries again
BATCHED = 0.3  # how often it comes with others, of how often a request is struck
SWALLOWED_S = 60.0  # how long everything about an order may be lost


class Hooks:
    """Every attempt to deliver a webhook comes through here."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.troubles = world.troubles
        self._loop = asyncio.get_running_loop()
        self._late: dict[str, float] = {}  # event id: no attempt arrives before
        # (provider, order number): all is lost until
        self._swallowed: dict[tuple[str, str], float] = {}
        self._heard: dict[str, int] = {}  # order number: how many we took

    async def deliver(self, provider: Provider, delivery: wire.Delivery, at_once: bool) -> None:
        """One attempt, with what happens to it on its way."""
        word = provider.party.word(delivery.body, provider.world)
        number = provider.party.number(word.payment)
        if delivery.attempt == 1:
            self.world.came_true(number, word, provider)
        if self._gets_no_answer(provider, delivery, number, word):
            provider.delivered(delivery, None)  # it is tried again
            return
        trouble = "" if at_once else provider.strikes(self.troubles.webhook(number))
        prng = self.troubles.prng(number, "hook-way")
        if trouble == "lose":
            until = self._loop.time() + prng.uniform(0.1, SWALLOWED_S)
            self._swallowed[provider.name, number] = until
        if self._is_lost(provider, number):
            provider.struck("lose", number)
            self._say(number, word, "lost for ever")
            provider.delivered(delivery, 200)  # something before us took it
            return
        if trouble == "delay" and (seconds := self._delay(prng)) > HELD_S:
            self._late[delivery.event_id] = self._loop.time() + seconds
            self._say(number, word, "no answer (delay)")
            provider.delivered(delivery, None)
            return
        if trouble in ("delay", "reorder"):
            await self._on_its_way(provider, number, trouble, prng)
        await self._arrive(provider, delivery, word, trouble)

    def _gets_no_answer(
        self, provider: Provider, delivery: wire.Delivery, number: str, word: Word
    ) -> bool:
        """Whether nothing about its order gets through, or this event is late."""
        if not self.troubles.on:
            return False
        if provider.silent(number):
            if delivery.attempt == 1:
                self._say(number, word, "no answer (silence)")
            return True
        late = self._late.get(delivery.event_id)
        if late is None:
            return False
        if late > self._loop.time():
            return True
        del self._late[delivery.event_id]
        provider.struck("delay", number)
        return False

    def _is_lost(self, provider: Provider, number: str) -> bool:
        until = self._swallowed.get((provider.name, number), 0.0)
        return self.troubles.on and until > self._loop.time()

    @staticmethod
    def _delay(prng: Random) -> float:
        """Half arrive as they were signed; the others are signed anew by the provider's retry."""
        return prng.uniform(1, prng.choice((HELD_S, LATE_S)))

    async def _on_its_way(
        self, provider: Provider, number: str, trouble: str, prng: Random
    ) -> None:
        seconds = prng.uniform(1, HELD_S if trouble == "delay" else 30)
        heard = self._heard.get(number, 0)
        waited = await self.world.calm_or(seconds)
        overtaken = trouble == "delay" or self._heard.get(number, 0) > heard
        if waited and overtaken:
            provider.struck(trouble, number)

    async def _arrive(
        self, provider: Provider, delivery: wire.Delivery, word: Word, trouble: str
    ) -> None:
        number = provider.party.number(word.payment)
        prng = self.troubles.prng(number, "hook-way")
        if provider.silent(number) and self.troubles.on:
            provider.delivered(delivery, None)
            return
        item = "" if trouble else self._beside(provider, number)
        bad = "bad_signature" if trouble == "bad_signature" else item
        trouble = trouble or item
        status = await self.post(provider, delivery, prng, bad)
        if bad and status not in (None, 503):
            provider.struck(bad, number)
            if status != (200 if bad == "foreign_item" else 401):
                self.world.wrong(number, f"a webhook with {bad} was answered {status}")
        self._say(number, word, f"{status or 'no answer'}{f' ({trouble})' if trouble else ''}")
        provider.delivered(delivery, status)
        if status != 200:
            return
        self._heard[number] = self._heard.get(number, 0) + 1
        provider.heard(number)
        if not item:  # a message with several is called otherwise
            self.world.journal.events.append(delivery.event_id)
        if trouble in ("duplicate", "late_duplicate"):
            await self._again(provider, delivery, number, trouble, prng)

    def _beside(self, provider: Provider, number: str) -> str:
        """What comes in one message with a webhook, "" for nothing."""
        kinds = tuple(kind for kind in provider.party.own if kind in ITEMS)
        return self.troubles.own(number, kinds, BATCHED)

    async def _again(
        self,
        provider: Provider,
        delivery: wire.Delivery,
        number: str,
        trouble: str,
        prng: Random,
    ) -> None:
        late = trouble == "late_duplicate"
        waited = not late or await self.world.calm_or(prng.uniform(60, HELD_S))
        if waited and await self.post(provider, delivery, prng) == 200:
            provider.struck(trouble, number)

    async def post(
        self, provider: Provider, delivery: wire.Delivery, prng: Random, bad: str = ""
    ) -> int | None:
        """The status we answer with, None if there is nobody to answer. `bad`: what is wrong with
        the message."""
        await asyncio.sleep(prng.uniform(0.002, 0.2))
        serving = [node for node in self.world.nodes if node.serves and node.sends]
        if not serving:
            return None
        party, body = provider.party, delivery.body
        if bad == "bad_signature":
            body = party.forged(body)
        elif bad:
            body = party.batch(body, bad, first=prng.random() < 0.5)
        try:
            return await prng.choice(serving).hear(party.connection, body, dict(delivery.headers))
        except Gone:
            return None

    def _say(self, number: str, word: Word, what: str) -> None:
        self.world.say(number, f"webhook {word.type} {word.id}: {what}")
