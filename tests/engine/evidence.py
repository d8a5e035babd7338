"""What the laboratory knows, in the form the simulator's checker reads: a Journal kept while a
story is played, beside the snapshot that the simulator takes too."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import pytest

from amends.core.requests import OrderIn
from amends.sim.checker import Ask, Checker, Journal, Violation
from amends.sim.play.evidence import snapshot, truth
from amends.sim.wire import Delivery
from tests.engine.lab import Lab, Node


class Scribe:
    """Keeps a journal of each laboratory by listening at its ways in."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._journals: WeakKeyDictionary[Lab, Journal] = WeakKeyDictionary()
        self._listen_to_asks(patch)
        self._listen_to_the_provider(patch)

    def journal(self, lab: Lab) -> Journal:
        return self._journals.setdefault(lab, Journal())

    def _listen_to_asks(self, patch: pytest.MonkeyPatch) -> None:
        refund, report = Node.refund, Node.report

        async def asking(node: Node, order: str, key: str = "", **more: Any) -> Any:
            journal = self.journal(node.lab)
            ask = Ask(f"ask-{len(journal.asks) + 1}", node.lab.clock.now(), order, more, key)
            journal.asks.append(ask)
            told = await refund(node, order, key, **more)
            if told.answer is not None:
                ask.status = told.answer.status
                words = told.answer.body.decode().split()
                ask.answer = {"id": words[0]} if ask.accepted else None
            return told

        async def reporting(node: Node, given: OrderIn) -> Any:
            order = await report(node, given)
            journal = self.journal(node.lab)
            number = given.source.order_id
            journal.reports[number] = msgspec.to_builtins(given)
            journal.orders_acked.append(number)
            return order

        patch.setattr(Node, "refund", asking)
        patch.setattr(Node, "report", reporting)

    def _listen_to_the_provider(self, patch: pytest.MonkeyPatch) -> None:
        deliver, control = Lab.deliver, Lab.control

        async def delivering(lab: Lab, delivery: Delivery) -> None:
            await deliver(lab, delivery)
            if lab.statuses[-1] == 200:
                self.journal(lab).events.append(delivery.event_id)

        def controlling(lab: Lab, op: str, **command: Any) -> dict[str, Any]:
            before = {m["psp_refund_id"]: m["status"] for m in lab.movements()}
            result = control(lab, op, **command)
            for movement in lab.movements():
                name = movement["psp_refund_id"]
                if op == "dashboard_refund" and name not in before:
                    self.journal(lab).dashboard.append(name)
                if movement["status"] == "failed" and before.get(name) == "succeeded":
                    self.journal(lab).bounced.append(name)
            return result

        patch.setattr(Lab, "deliver", delivering)
        patch.setattr(Lab, "control", controlling)

    async def check(self, lab: Lab, end: bool = False) -> list[Violation]:
        """What the simulator's checker finds wrong in a laboratory at rest."""
        whole, told = ("", ""), truth((lab.world,))
        # A laboratory has no sweep, whose chore it is.
        await lab.nodes[0].store.number_documents("CN", lab.clock.now(), 1000)
        facts = await snapshot(lab.nodes[0].store, whole, told, lab.clock.now())
        journal = self.journal(lab)
        numbers = {order["id"]: order["source"]["order_id"] for order in facts.orders}
        for ask in journal.asks:
            ask.number = numbers.get(ask.number, ask.number)
        checker = Checker()
        return checker.finish(facts, journal) if end else checker.check(facts, journal)
