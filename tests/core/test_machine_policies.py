"""The same order, under policies that change, stops, goods that come back and people who give less:
what must hold of its money holds, and what was drawn of caps is what may still pay."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.facts import Approved, CaseMoved, ReturnReceived
from amends.core.history import Stop
from amends.core.order import FAILED
from amends.core.policy import Cap, Policy, Row, with_table
from amends.core.requests import LinePick
from amends.kernel.money import convert
from tests.core.test_machine import Refunds
from tests.core.test_policy import policy

CAPS = {
    "a-day": Cap("requester", amount=4000, count=3),
    "a-month": Cap("everybody", "month", amount=6000, over="decline"),
}


def yes(name: str, **options: Any) -> Policy:
    return policy(Row(name, "true", "approve", **options), caps=CAPS)


def small(name: str, **options: Any) -> Policy:
    """What is small is held until it comes to enough."""
    made = yes(name, **options)
    amounts = Amounts(minimum=(("EUR", 1000), ("USD", 1000)), below_minimum="hold")
    return with_table(replace(made, amounts=amounts), made.table)


RICH = st.sampled_from(
    [
        yes("yes"),
        yes("capped", caps=("a-day",)),
        yes("twice", caps=("a-day", "a-month")),
        yes("waits", wait_for_receipt=True),
        yes("waits-capped", wait_for_receipt=True, caps=("a-day",)),
        yes("half", partial_bp=5000),
        yes("fees", restocking_bp=1500, fee={"EUR": 40, "USD": 40}),
        yes("credit", store_credit_first=True),
        small("small-capped", caps=("a-day", "a-month")),
        policy(Row("look", "true", "review", partial_bp=7000)),
        policy(Row("no", "refund.amount < 700", "decline")),
    ]
)


class Judged(Refunds):
    """Refunds, and those who say which leave."""

    begun: frozenset[str] | set[str] = frozenset()
    held = False

    @rule(fresh=RICH)
    def publish(self, fresh: Policy) -> None:
        self.desk.policy = fresh

    @rule(units=st.integers(1, 3), name=st.sampled_from(["", "r1", "r2"]))
    def goods_come_back(self, units: int, name: str) -> None:
        self.desk.tell(ReturnReceived((LinePick("1", units),), name), "connection:shop-1")

    @rule(on=st.booleans())
    def stop(self, on: bool) -> None:
        held = Stop("stop_1", "all", "", "hash", "person:lead", self.desk.now)
        self.desk.stops = (held,) if on else ()

    @precondition(lambda self: self.desk.order.refunds)
    @rule(pick=st.integers(0, 50), part=st.integers(1, 99))
    def give_less(self, pick: int, part: int) -> None:
        refund = self.desk.order.refunds[pick % len(self.desk.order.refunds)]
        less = max(1, refund.amount * part // 100)
        self.desk.tell(Approved(refund.id, amount=less), "person:lead")

    @precondition(lambda self: self.desk.order.refunds)
    @rule(pick=st.integers(0, 50))
    def look_after(self, pick: int) -> None:
        refund = self.desk.order.refunds[pick % len(self.desk.order.refunds)]
        self.desk.tell(CaseMoved(refund.id, "assign", who="person:lead"), "person:lead")

    @invariant()
    def what_was_drawn_is_what_may_pay(self) -> None:
        """Every bucket holds what refunds that may still pay, or have paid, drew of it."""
        if not hasattr(self, "provider"):
            return
        drawn: Counter[str] = Counter()
        for refund in self.desk.order.refunds:
            if refund.stage in ("declined", "combined"):
                continue
            live = [g.amount for g in refund.legs if g.state not in FAILED and not g.replaced]
            worth = convert(sum(live), self.desk.order.rate)
            for draw in refund.draws if live else ():
                drawn[draw.bucket] += min(draw.amount, worth)
        assert {b: a for b, (a, _) in self.desk.caps.items() if a} == {
            b: a for b, a in drawn.items() if a
        }

    @invariant()
    def nothing_begins_under_a_stop(self) -> None:
        """What had not begun when the stop was set has not begun since."""
        if not hasattr(self, "provider"):
            return
        begun = {g.id for _, g in self.desk.legs() if g.attempts}
        if self.desk.stops and self.held:
            assert begun <= self.begun, "a first byte under a stop"
        self.begun, self.held = begun, bool(self.desk.stops)

    def teardown(self) -> None:
        if hasattr(self, "provider"):
            self.desk.stops = ()
        super().teardown()


@pytest.mark.slow
def test_one_order_under_every_fault_and_every_policy() -> None:
    run_state_machine_as_test(
        Judged,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
