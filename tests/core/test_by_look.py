"""One order at a provider whose messages are only a reason to look: nothing is known of a payment
but what a look-up tells, and a refund is of one capture.

The provider here lets an authorization be captured in parts and released in between; the rest stays
open until a capture is said to be the last, or it is released. Answers are lost, late and doubled;
others capture, release and refund by hand; refunds end some time later; messages are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from amends.core.decision import Method, Terms
from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Effect,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.core.facts import (
    Answered,
    Approved,
    Canceled,
    EffectDue,
    LookedUp,
    OrderReported,
    PaymentToRead,
    RefundRequested,
    Rejected,
    Retried,
)
from amends.core.order import Refund
from amends.core.policy import built_in
from amends.core.requests import LinePick, PspIn, RefundIn, TenderIn
from amends.kernel.outcome import (
    Accepted,
    CaptureState,
    Declined,
    Outcome,
    PaymentState,
    RefundState,
    Unknown,
)
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from tests.core.desk import ENDED, STRIPE, Desk, contract_order

METHOD = Method(per_capture=True, within=180 * DAY)
TERMS = Terms(45 * DAY, 60 * SECOND, 45 * DAY, methods=(METHOD,))
WHOLE = 10_200
TOLD = ("captured_after_release", "exceeds_captured", "no_such_capture", "authorization_lost")


@dataclass
class Capture:
    id: str
    amount: int
    status: str = "done"  # or "pending": its money is to come, or "declined"


@dataclass
class Given:
    """One refund of one capture; `leg` is empty for one made by hand."""

    id: str
    capture: str
    amount: int
    status: Any
    leg: str = ""
    epoch: int = 0


@dataclass
class Provider:
    captures: list[Capture] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    closed: bool = False  # by a last capture or a release
    released: int = 0
    keys: dict[str, tuple[Intent, Any]] = field(default_factory=dict)

    @property
    def taken(self) -> list[Capture]:
        return [c for c in self.captures if c.status == "done"]

    @property
    def captured(self) -> int:
        return sum(c.amount for c in self.taken)

    @property
    def open(self) -> int:
        held = sum(c.amount for c in self.captures if c.status != "declined")
        return 0 if self.closed else WHOLE - held

    def room(self, capture: Capture) -> int:
        live = [g for g in self.given if g.capture == capture.id and g.status != "failed"]
        return capture.amount - sum(g.amount for g in live)

    def state(self) -> PaymentState:
        named = tuple(CaptureState(c.id, c.amount, "EUR") for c in self.taken)
        paid = sum(g.amount for g in self.given if g.status == "succeeded")
        gone = self.closed and not any(c.status != "declined" for c in self.captures)
        return PaymentState(WHOLE, self.captured, paid, gone, self.open, named)

    def look(self, intent: Intent) -> Outcome:
        if isinstance(intent, LookupRefundsIntent):
            known = (intent.capture, intent.charge)
            if not any(c.id in known for c in self.captures):
                return Declined("RESOURCE_NOT_FOUND")
        elif not self.captures:
            return Accepted(payment=self.state())
        return Accepted(payment=self.state(), refunds=tuple(map(self.describe, self.given)))

    def describe(self, g: Given) -> RefundState:
        return RefundState(
            g.id, g.status, g.amount, "EUR", g.leg, g.epoch, psp_capture_id=g.capture
        )

    def handle(self, intent: Intent) -> Outcome:
        if isinstance(intent, LookupPaymentIntent | LookupRefundsIntent):
            return self.look(intent)
        first = self.keys.get(intent.key)
        if first is None:
            first = self.keys[intent.key] = (intent, self.execute(intent))
        assert first[0] == intent, "one key, two bodies"
        made = first[1]
        return Accepted(refund=self.describe(made)) if isinstance(made, Given) else made

    def execute(self, intent: RefundIntent | CancelIntent | CaptureRestIntent) -> Any:
        if isinstance(intent, RefundIntent):
            held = next((c for c in self.taken if c.id == intent.capture), None)
            if held is None:
                return Declined("RESOURCE_NOT_FOUND")
            if self.room(held) < intent.amount:
                return Declined("REFUND_AMOUNT_EXCEEDED", kind="refunded")
            return self.give(held, intent.amount, "pending", intent.leg, intent.epoch)
        if self.closed:
            return self.ended(intent)
        if isinstance(intent, CancelIntent):
            self.release()
            return Accepted(payment=PaymentState(canceled=True, capturable=0))
        if intent.amount > self.open:
            return Declined("MAX_CAPTURE_AMOUNT_EXCEEDED")
        made = self.capture(intent.amount, last=True)
        named = (CaptureState(made.id, made.amount, "EUR"),)
        state = PaymentState(
            captured=made.amount, capturable=0, captures=named, psp_release_id=made.id
        )
        return Accepted(payment=state)

    def ended(self, intent: Intent) -> Outcome:
        """It says that it was captured, or voided, not by whom or how much."""
        if not self.captures:
            return Declined("VOIDED", kind="canceled")
        if isinstance(intent, CancelIntent):
            return Declined("PREVIOUSLY_CAPTURED", kind="captured")
        return Unknown("AUTHORIZATION_ALREADY_CAPTURED", stored=True)

    def capture(self, amount: int, last: bool, status: str = "done") -> Capture:
        made = Capture(f"CAP{len(self.captures) + 1}", amount, status)
        self.captures.append(made)
        if last or not self.open:
            self.release()
        return made

    def release(self) -> None:
        self.released, self.closed = self.open, True

    def give(self, held: Capture, amount: int, status: str, leg: str = "", epoch: int = 0) -> Given:
        made = Given(f"RE{len(self.given) + 1}", held.id, amount, status, leg, epoch)
        self.given.append(made)
        return made


class ByLook(RuleBasedStateMachine):
    @initialize(
        captures=st.sampled_from([[], [], [6000], [6000, 4200]]),
        up_to=st.sampled_from([10**9, 10**9, 3000]),
    )
    def start(self, captures: list[int], up_to: int) -> None:
        """Some of it may be captured before; its shop says how much, and not by which captures."""
        self.provider = Provider()
        for amount in captures:
            self.provider.capture(min(amount, self.provider.open), last=False)
        self.version = 1
        report = contract_order(tenders=(self.tender(),))
        self.desk = Desk(report, policy=built_in(up_to), terms={STRIPE: TERMS})
        self.late: list[Any] = []
        self.news = 0

    def tender(self, name: str = "pi_1", captured: int = -1) -> TenderIn:
        taken = self.provider.captured if captured < 0 else captured
        psp = PspIn(authorization="pi_1")
        return TenderIn(WHOLE, "payment", STRIPE, name, taken, psp)

    # -- people and the wire -------------------------------------------------------------------

    @rule(units=st.integers(1, 3))
    def ask_units(self, units: int) -> None:
        self.desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", units),))))

    @rule(amount=st.one_of(st.none(), st.integers(1, 6000)))
    def ask_amount(self, amount: int | None) -> None:
        self.desk.tell(RefundRequested(RefundIn(amount=amount)))

    @precondition(lambda self: self.desk.order.refunds)
    @rule(pick=st.integers(0, 20), fact=st.sampled_from([Approved, Rejected, Canceled, Retried]))
    def decide_on_a_refund(self, pick: int, fact: Any) -> None:
        refunds = self.desk.order.refunds
        self.desk.tell(fact(refunds[pick % len(refunds)].id), "person:lead")

    @rule(by_capture=st.booleans())
    def shop_reports(self, by_capture: bool) -> None:
        """A newer version: all that is captured, or the last capture by its own id."""
        self.version += 1
        tender = self.tender()
        if by_capture and self.provider.taken:
            last = self.provider.taken[-1]
            tender = self.tender(last.id, last.amount)
        newer = contract_order(version=self.version, tenders=(tender,))
        self.desk.tell(OrderReported(newer), "connection:shop-1")

    @precondition(lambda self: self.desk.rows)
    @rule(pick=st.integers(0, 20), how=st.sampled_from(["heard", "heard", "late", "lost", "never"]))
    def send(self, pick: int, how: str) -> None:
        rows = sorted(self.desk.rows.values(), key=lambda e: e.due)
        self.turn(rows[pick % len(rows)], how)

    def turn(self, row: Effect, how: str) -> None:
        lost = row.id in self.desk.leased
        self.desk.now = max(self.desk.now + (30 * SECOND if lost else 0), row.due)
        decision = self.desk.tell(EffectDue(row.id, lost), "system:deliver")
        for effect in decision.effects:
            if not effect.start:
                continue
            assert effect.intent is not None
            outcome = Unknown("timeout") if how == "never" else self.provider.handle(effect.intent)
            if how == "lost":
                outcome = Unknown("timeout")
            fact: Any = LookedUp(effect.payment, outcome, effect.leg, self.desk.now, effect.asked)
            if effect.kind == "send":
                fact = Answered(effect.leg, effect.epoch, effect.attempt, outcome, effect.asked)
            if how == "late":
                self.late.append(fact)
            else:
                self.desk.now += 40_000
                self.desk.tell(fact, f"connection:{STRIPE}")

    @precondition(lambda self: self.late)
    @rule(pick=st.integers(0, 20))
    def answer(self, pick: int) -> None:
        self.desk.now += 40_000
        self.desk.tell(self.late.pop(pick % len(self.late)), f"connection:{STRIPE}")

    @rule(pause=st.sampled_from([SECOND, MINUTE, HOUR, DAY]))
    def time_passes(self, pause: int) -> None:
        self.desk.now += pause

    # -- the provider --------------------------------------------------------------------------

    @precondition(lambda self: self.provider.open)
    @rule(whole=st.booleans(), last=st.booleans(), status=st.sampled_from(["done", "pending"]))
    def others_capture(self, whole: bool, last: bool, status: str) -> None:
        amount = self.provider.open if whole else min(3000, self.provider.open)
        self.provider.capture(amount, last, status)
        self.news += 1

    @precondition(lambda self: any(c.status == "pending" for c in self.provider.captures))
    @rule(status=st.sampled_from(["done", "declined"]))
    def money_comes_or_not(self, status: str) -> None:
        next(c for c in self.provider.captures if c.status == "pending").status = status
        self.news += 1

    @precondition(lambda self: self.provider.open)
    @rule()
    def others_release(self) -> None:
        self.provider.release()
        self.news += 1

    @precondition(lambda self: self.provider.taken)
    @rule(pick=st.integers(0, 20), amount=st.integers(1, 4000))
    def others_refund(self, pick: int, amount: int) -> None:
        held = self.provider.taken[pick % len(self.provider.taken)]
        if self.provider.room(held) >= amount:
            self.provider.give(held, amount, "succeeded")
            self.news += 1

    @precondition(lambda self: self.provider.given)
    @rule(pick=st.integers(0, 20), to=st.sampled_from(["succeeded", "succeeded", "failed"]))
    def refund_moves(self, pick: int, to: str) -> None:
        made = self.provider.given[pick % len(self.provider.given)]
        if made.status != "failed":
            made.status = to
            self.news += 1

    @precondition(lambda self: self.news)
    @rule(keep=st.booleans())
    def webhook(self, keep: bool) -> None:
        self.news -= 0 if keep else 1
        self.desk.tell(PaymentToRead(STRIPE, ("pi_1",)), f"connection:{STRIPE}")

    # -- what holds ----------------------------------------------------------------------------

    @invariant()
    def no_leg_moves_money_twice(self) -> None:
        if hasattr(self, "provider"):
            marks = [g.leg for g in self.provider.given if g.leg and g.status != "failed"]
            assert len(set(marks)) == len(marks), marks

    def teardown(self) -> None:
        if not hasattr(self, "provider"):
            return
        for fact in self.late:
            self.desk.tell(fact, f"connection:{STRIPE}")
        for capture in self.provider.captures:
            capture.status = capture.status.replace("pending", "done")
        for _ in range(3):
            self.desk.tell(PaymentToRead(STRIPE, ("pi_1",)), f"connection:{STRIPE}")
            self.drain()
        self.compare()

    def drain(self) -> None:
        for _ in range(400):
            rows = [row for row in self.desk.rows.values() if row.kind != "deadline"]
            rows.sort(key=lambda e: e.due)
            if not rows:
                return
            for made in self.provider.given:
                made.status = "succeeded" if made.status == "pending" else made.status
            self.turn(rows[0], "heard")
        raise AssertionError(f"never quiet: {self.desk.rows}")

    def compare(self) -> None:
        desk, provider, payment = self.desk, self.provider, self.desk.payment()
        assert not payment.busy
        paid = {g.leg: g.amount for g in provider.given if g.leg and g.status == "succeeded"}
        for _, leg in desk.legs():
            assert leg.state in (*ENDED, "planned"), f"{leg.id} rests {leg.state}"
            if leg.kind == "refund" and not leg.outside:
                assert (leg.state == "succeeded") == (paid.get(leg.id) == leg.amount), leg
        given = sum(g.amount for g in provider.given if g.status == "succeeded")
        assert payment.refunded_ours + payment.external == given
        assert payment.captured == provider.captured
        assert desk.balance(f"clearing:{STRIPE}") == -given
        owed = sum(r.claimed - paid_of(r) for r in desk.order.refunds if not r.external)
        assert desk.balance("refunds_payable") == -owed
        told = any(what in desk.raised() for what in TOLD)
        voided = sum(g.amount for _, g in desk.legs() if (g.kind, g.state) == ("void", "succeeded"))
        assert voided <= provider.released or told, (voided, provider.released)


def paid_of(refund: Refund) -> int:
    paid = [leg for leg in refund.legs if leg.state == "succeeded" and leg.kind != "void"]
    return sum(leg.amount for leg in paid)


@pytest.mark.slow
def test_a_provider_that_is_only_looked_at() -> None:
    run_state_machine_as_test(
        ByLook,
        settings=settings(
            max_examples=300,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
