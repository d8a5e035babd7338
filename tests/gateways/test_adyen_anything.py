"""Adyen may say anything at all, signed and in any order: no order is wedged by it.

What is told need not be possible there. After every step the desk checks what always holds (I1, I6,
books, leases); a defect in `decide` would raise. Only an amount that is not the one asked for may.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from amends.core.effects import CancelIntent
from amends.core.facts import (
    Answered,
    Approved,
    Canceled,
    EffectDue,
    OrderCancelled,
    PaidOutside,
    RefundRequested,
    Rejected,
    Retried,
)
from amends.core.policy import built_in
from amends.core.requests import LinePick, RefundIn
from amends.gateways import adyen
from amends.gateways.spec import Failure
from amends.kernel.check import InvariantBroken
from amends.kernel.time import DAY, HOUR
from tests.core.desk import Desk
from tests.gateways.adyen_money_table import error
from tests.gateways.adyen_table import one
from tests.gateways.test_adyen_life import TIMEOUT, Sendable, hear, paid, reference, taken_up

CODES = {
    "CAPTURE": "C",
    "CAPTURE_FAILED": "C",
    "CANCELLATION": "L",
    "CANCEL_OR_REFUND": "V",
    "REFUND": "R",
    "REFUND_FAILED": "RV",
    "REFUNDED_REVERSED": "RV",
    "TECHNICAL_CANCEL": "L",
    "EXPIRE": "L",
    "CHARGEBACK": "D",
    "CHARGEBACK_REVERSED": "D",
    "SECOND_CHARGEBACK": "D",
}
REFUSABLE = ("CAPTURE", "CANCELLATION", "CANCEL_OR_REFUND", "REFUND")
ASKED = (RefundIn(), RefundIn(lines=(LinePick("1", 1),)), RefundIn(amount=2500))
BAD = (TIMEOUT, Failure(False, "refused"), error(422, "167", "no"), error(422, "704"))


class Anything:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.desk: Desk = paid(captured=self.chance.choice([0, 0, 10_200]))
        self.out: list[tuple[Any, Sendable]] = []
        self.marks = ["1001"]

    def begin(self) -> None:
        """All is asked for; what is not known to be captured refuses its cancel."""
        self.desk.tell(RefundRequested(RefundIn()))
        self.due()
        _, intent = self.out[-1]
        if isinstance(intent, CancelIntent):
            hear(self.desk, one("CANCELLATION", success="false", merchantReference=self.marks[-1]))
        self.desk.policy = built_in(self.chance.choice([10**9, 3000]))

    def step(self) -> None:
        kinds = (self.ask, self.person, self.answer, self.say, self.say, self.due, self.due)
        self.chance.choice(kinds)()
        self.desk.now += self.chance.choice([0, 0, HOUR, DAY])

    def ask(self) -> None:
        asked: Any = RefundRequested(self.chance.choice(ASKED))
        self.desk.tell(OrderCancelled() if self.chance.random() < 0.1 else asked)

    def person(self) -> None:
        refund = self.chance.choice(self.desk.order.refunds).id
        said = [Approved, Rejected, Canceled, Retried, lambda name: PaidOutside(name, "TR-1")]
        self.desk.tell(self.chance.choice(said)(refund), "person:lead")

    def due(self) -> None:
        if not self.desk.rows:
            return
        row = self.chance.choice(sorted(self.desk.rows))
        self.desk.now = max(self.desk.now, self.desk.rows[row].due)
        told = self.desk.tell(EffectDue(row, row in self.desk.leased), "system:deliver")
        for effect in told.effects:
            if effect.start and isinstance(effect.intent, Sendable):
                self.out.append((effect, effect.intent))
                self.marks.append(reference(effect.intent))

    def answer(self) -> None:
        if not self.out:
            return
        effect, intent = self.out.pop(self.chance.randrange(len(self.out)))
        named = {"Refund": "R", "Cancel": "L", "Reverse": "V", "CaptureRest": "C"}
        kind = named[type(intent).__name__.removesuffix("Intent")]
        good = taken_up(intent, pspReference=kind + self.chance.choice("12"))
        outcome = adyen.parse(intent, self.chance.choice((good, good, good, *BAD)))
        fact = Answered(effect.leg, effect.epoch, effect.attempt, outcome, effect.asked)
        self.desk.tell(fact, "connection:adyen-eu")

    def say(self) -> None:
        code = self.chance.choice(list(CODES))
        name = self.chance.choice(CODES[code]) + self.chance.choice("12")
        mark = self.chance.choice(self.marks[-3:])
        amount = self.chance.choice([3000, 6000, 10_200, 12_000])
        if name[0] in "RV":  # of one refund only one amount is told
            legs = [leg for _, leg in self.desk.legs()]
            mine = [g.amount for g in legs if g.psp_refund_id == name or f"{g.id}." in mark]
            amount = mine[0] if mine else amount
        success = self.chance.choice(["true", "false"]) if code in REFUSABLE else "true"
        told = {"pspReference": name, "merchantReference": mark, "success": success}
        hear(self.desk, one(code, value=amount, **told))


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_whatever_is_told_wedges_no_order(first: int) -> None:
    for seed in range(first, first + 50):
        world = Anything(seed)
        world.begin()
        try:
            for _ in range(40):
                world.step()
        except InvariantBroken as stopped:
            if "the provider made" not in str(stopped):
                raise AssertionError(f"seed {seed}") from stopped
