"""One order at a provider that answers no look-ups and tells everything by webhook, in any order.

The provider here takes every modification up, decides it some time later, and tells the outcome of
each by itself; what it told may come twice, late, or before the answer. Captures and refunds fail
after they succeeded; others capture, cancel and refund by hand; answers are lost.
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
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from amends.core.decision import Method, Terms
from amends.core.effects import CancelIntent, CaptureRestIntent, Effect, RefundIntent, ReverseIntent
from amends.core.facts import (
    Answered,
    Approved,
    Canceled,
    CaptureReported,
    DisputeReported,
    EffectDue,
    OrderCancelled,
    PaidOutside,
    PaymentReported,
    RefundReported,
    RefundRequested,
    Rejected,
    ReleaseReported,
    Retried,
    ReversalReported,
)
from amends.core.policy import built_in
from amends.core.requests import LinePick, RefundIn
from amends.kernel.outcome import (
    Accepted,
    CaptureState,
    Outcome,
    PaymentState,
    RefundState,
    ReleaseState,
    Unknown,
)
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from tests.core.desk import ENDED, STRIPE, Desk, card, contract_order

TERMS = Terms(7 * DAY, 0, 7 * DAY, lookup=False, reversal=True)
# A webhook moves a leg only this way; a refused release is unknown until its capture explains it.
RANK = {"sending": 0, "pending": 1, "unknown": 1, "succeeded": 2, "failed": 3, "canceled": 3}

Asked = RefundIntent | CancelIntent | CaptureRestIntent | ReverseIntent


@dataclass
class Made:
    """One modification there: taken up, then decided, then perhaps undone."""

    id: str
    what: str  # "refund", "cancel", "capture" or "reverse"; that one becomes what it does
    amount: int
    leg: str = ""
    epoch: int = 0
    state: str = "received"
    reverses: bool = False


@dataclass
class Provider:
    made: list[Made] = field(default_factory=list)
    keys: dict[str, Made] = field(default_factory=dict)
    told: list[Any] = field(default_factory=list)
    several: bool = False  # a capture leaves the rest open
    unsaid: bool = False  # something was captured of which nothing is told

    def total(self, what: str, *states: str) -> int:
        return sum(m.amount for m in self.made if m.what == what and m.state in states)

    @property
    def captured(self) -> int:
        return self.total("capture", "done")

    @property
    def ended(self) -> bool:
        """Nothing can be captured any more: canceled, or captured (the rest is let go, unless there
        may be several captures)."""
        captured = self.total("capture", "done", "undone")
        return bool((captured and not self.several) or self.total("cancel", "done"))

    def take_up(self, what: str, amount: int, leg: str = "", epoch: int = 0) -> Made:
        made = Made(f"MOD{len(self.made) + 1}", what, amount, leg, epoch)
        self.made.append(made)
        return made

    def asked(self, intent: Asked) -> Outcome:
        amount = 10_200 if isinstance(intent, CancelIntent | ReverseIntent) else intent.amount
        kinds = {RefundIntent: "refund", CancelIntent: "cancel", CaptureRestIntent: "capture"}
        what, made = kinds.get(type(intent), "reverse"), self.keys.get(intent.key)
        if made is None:
            made = self.take_up(what, amount, intent.leg, intent.epoch)
            made.reverses = what == "reverse"
            self.keys[intent.key] = made
        elif made.reverses:
            assert what == "reverse", "one key, two bodies"
            return Accepted(payment=PaymentState(psp_release_id=made.id))
        assert (made.what, made.amount) == (what, amount), "one key, two bodies"
        if made.what != "refund":
            return Accepted(payment=PaymentState(psp_release_id=made.id))
        state = RefundState(made.id, "pending", made.amount, "EUR", made.leg, made.epoch)
        return Accepted(refund=state)

    def decide(self, made: Made) -> None:
        """What becomes of it, by what is left there, and the webhook that says so."""
        if made.what == "reverse":
            captures = [m for m in self.made if (m.what, m.state) == ("capture", "done")]
            if len(captures) > 1:  # not after several partial ones
                made.state = "no"
                self.tell(made)
                return
            made.what = "refund" if self.captured else "cancel"
            made.amount = self.captured or made.amount
        if made.what == "refund":
            room = self.captured - self.total("refund", "done")
            made.state = "done" if made.amount <= room else "no"
        else:
            taken = self.total("capture", "done", "undone") if made.what == "capture" else 0
            made.state = "no" if self.ended or taken + made.amount > 10_200 else "done"
        self.tell(made)

    def undo(self, made: Made) -> None:
        made.state = "undone"
        self.tell(made)

    def tell(self, made: Made) -> None:
        done = made.state == "done"
        if made.reverses and made.state != "undone":
            status: Any = "succeeded" if done else "failed"
            state = RefundState(made.id, status, made.amount, "EUR", made.leg, made.epoch)
            self.told.append(ReversalReported(STRIPE, ("pi_1",), state))
            return
        if made.what == "refund":
            state = RefundState(
                made.id,
                "succeeded" if done else "failed",
                made.amount,
                "EUR",
                made.leg,
                made.epoch,
                "" if done else made.state,
            )
            self.told.append(RefundReported(STRIPE, ("pi_1",), state))
        elif made.what == "cancel":
            release = ReleaseState(made.id, done, made.leg, made.epoch)
            self.told.append(ReleaseReported(STRIPE, ("pi_1",), release))
        else:
            status = {"done": "succeeded", "no": "refused", "undone": "failed"}[made.state]
            capture = CaptureState(made.id, made.amount, "EUR", status, made.leg, made.epoch)
            self.told.append(CaptureReported(STRIPE, ("pi_1",), capture))


class WebhooksOnly(RuleBasedStateMachine):
    @initialize(
        several=st.booleans(),
        up_to=st.sampled_from([10**9, 10**9, 3000]),
        automatic=st.sampled_from([0, 0, 3000, 10_200]),
    )
    def start(self, several: bool, up_to: int, automatic: int) -> None:
        self.begin(several, up_to, automatic)

    def begin(self, several: bool, up_to: int, automatic: int) -> None:
        report = contract_order(tenders=(card(10_200, 0),))
        methods = (Method(per_capture=True),) if several else ()
        terms = replace(TERMS, methods=methods)
        self.desk = Desk(report, policy=built_in(up_to), terms={STRIPE: terms})
        self.provider = Provider(several=several)
        self.answers: list[Answered] = []
        if automatic:
            self.captured_by_itself(automatic)

    # -- people and the wire -------------------------------------------------------------------

    @rule(units=st.integers(1, 3))
    def ask_units(self, units: int) -> None:
        self.desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", units),))))

    @rule()
    def ask_all(self) -> None:
        self.desk.tell(RefundRequested(RefundIn()))

    @precondition(lambda self: self.desk.order.refunds)
    @rule(pick=st.integers(0, 20), fact=st.sampled_from([Approved, Rejected, Canceled, Retried]))
    def decide_on_a_refund(self, pick: int, fact: Any) -> None:
        refunds = self.desk.order.refunds
        self.desk.tell(fact(refunds[pick % len(refunds)].id), "person:lead")

    @precondition(lambda self: self.desk.order.refunds)
    @rule(pick=st.integers(0, 20))
    def paid_by_a_person(self, pick: int) -> None:
        refunds = self.desk.order.refunds
        self.desk.tell(PaidOutside(refunds[pick % len(refunds)].id, "TR-1"), "person:lead")

    @precondition(lambda self: self.desk.rows)
    @rule(pick=st.integers(0, 20), how=st.sampled_from(["heard", "late", "lost", "never"]))
    def send(self, pick: int, how: str) -> None:
        """A row comes due: its request arrives or not, its answer is heard, late or lost."""
        rows = sorted(self.desk.rows.values(), key=lambda e: e.due)
        self.turn(rows[pick % len(rows)], how)

    def turn(self, row: Effect, how: str) -> None:
        lost = row.id in self.desk.leased
        self.desk.now = max(self.desk.now + (30 * SECOND if lost else 0), row.due)
        decision = self.desk.tell(EffectDue(row.id, lost), "system:deliver")
        for effect in decision.effects:
            if not effect.start:
                continue
            assert effect.kind == "send", "nothing can be looked up"
            intent = effect.intent
            assert isinstance(intent, Asked)
            outcome = Unknown("timeout") if how == "never" else self.provider.asked(intent)
            if how == "lost":
                outcome = Unknown("timeout")
            fact = Answered(effect.leg, effect.epoch, effect.attempt, outcome, effect.asked)
            if how == "late":
                self.answers.append(fact)
            else:
                self.desk.tell(fact, f"connection:{STRIPE}")

    @precondition(lambda self: self.answers)
    @rule(pick=st.integers(0, 20))
    def answer(self, pick: int) -> None:
        self.desk.now += 40_000
        fact = self.answers.pop(pick % len(self.answers))
        self.desk.tell(fact, f"connection:{STRIPE}")

    @rule(pause=st.sampled_from([SECOND, MINUTE, HOUR, DAY, 3 * DAY]))
    def time_passes(self, pause: int) -> None:
        self.desk.now += pause

    # -- the provider --------------------------------------------------------------------------

    @rule(what=st.sampled_from(["capture", "capture", "cancel", "refund"]), whole=st.booleans())
    def by_hand(self, what: str, whole: bool) -> None:
        self.provider.decide(self.provider.take_up(what, 10_200 if whole else 3000))

    def captured_by_itself(self, amount: int) -> None:
        """Automatic capture: nothing is told of it, unless it is undone."""
        made = self.provider.take_up("capture", amount)
        made.state, self.provider.unsaid = "done", True

    @precondition(lambda self: self.provider.unsaid and self.provider.made[0].state == "done")
    @rule()
    def told_of_late(self) -> None:
        """The automatic capture is told of after all."""
        self.provider.unsaid = False
        self.provider.tell(self.provider.made[0])

    @rule()
    def order_cancelled(self) -> None:
        self.desk.tell(OrderCancelled())

    @precondition(lambda self: not self.provider.ended and not self.provider.captured)
    @rule()
    def expires(self) -> None:
        self.provider.take_up("cancel", 10_200).state = "done"
        gone = PaymentState(canceled=True, capturable=0)
        self.provider.told.append(PaymentReported(STRIPE, ("pi_1",), gone))

    @precondition(lambda self: any(m.state == "undone" for m in self.provider.made))
    @rule()
    def captured_again(self) -> None:
        """What a failed capture had taken is captured once more, under a new id."""
        undone = next(m for m in self.provider.made if m.state == "undone")
        if undone.what == "capture" and not self.provider.total("cancel", "done"):
            undone.state = "done again"
            again = self.provider.take_up("capture", undone.amount)
            again.state = "done"
            self.provider.tell(again)

    @rule(amount=st.sampled_from([0, 3000]), step=st.integers(1, 3))
    def dispute(self, amount: int, step: int) -> None:
        fact = DisputeReported(
            STRIPE, ("pi_1",), "D", 3000, "EUR", f"step {step}", True, amount, step
        )
        self.desk.tell(fact, f"connection:{STRIPE}")

    @precondition(lambda self: any(m.state == "received" for m in self.provider.made))
    @rule(pick=st.integers(0, 20))
    def decides(self, pick: int) -> None:
        waiting = [m for m in self.provider.made if m.state == "received"]
        self.provider.decide(waiting[pick % len(waiting)])

    @precondition(lambda self: any(m.state == "done" for m in self.provider.made))
    @rule(pick=st.integers(0, 20))
    def undoes(self, pick: int) -> None:
        done = [m for m in self.provider.made if m.state == "done" and m.what != "cancel"]
        if done:
            self.provider.undo(done[pick % len(done)])

    @precondition(lambda self: self.provider.told)
    @rule(pick=st.integers(0, 20), keep=st.booleans())
    def webhook(self, pick: int, keep: bool) -> None:
        told = self.provider.told
        fact = told[pick % len(told)]
        if not keep:
            told.remove(fact)
        self.hear(fact)

    def hear(self, fact: Any) -> None:
        before = {leg.id: leg for _, leg in self.desk.legs()}
        peak = self.desk.payment().captured_peak
        self.desk.tell(fact, f"connection:{STRIPE}")
        assert self.desk.payment().captured_peak >= peak
        for _, leg in self.desk.legs():
            was = before.get(leg.id)
            if was is not None and was.state != leg.state and (was.kind == leg.kind):
                assert RANK[leg.state] >= RANK[was.state], (was.state, leg.state)

    # -- the end -------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "provider"):
            return
        for _ in range(60):
            for fact in self.answers:
                self.desk.tell(fact, f"connection:{STRIPE}")
            self.answers = []
            for made in self.provider.made:
                if made.state == "received":
                    self.provider.decide(made)
            told, self.provider.told = self.provider.told, []
            for fact in told:
                self.hear(fact)
            rows = [row for row in self.desk.rows.values() if row.kind != "deadline"]
            if not rows:
                break
            self.turn(min(rows, key=lambda row: row.due), "heard")
        self.compare()

    def compare(self) -> None:
        """What we call paid was paid, once for a leg; and what is left is there."""
        payment, provider = self.desk.payment(), self.provider
        assert not payment.busy
        paid: dict[str, int] = {}
        for made in provider.made:
            if made.what == "refund" and made.leg and made.state == "done":
                paid[made.leg] = paid.get(made.leg, 0) + made.amount
        for _, leg in self.desk.legs():
            silent = leg.state == "unknown" and "key_ended" in leg.told  # it never arrived
            planned = leg.state == "planned"
            assert leg.state in ENDED or silent or planned, f"{leg.id} rests {leg.state}"
            if leg.kind == "refund" and not leg.outside:
                assert paid.get(leg.id, 0) <= leg.amount, "a leg paid twice"
                assert (leg.state == "succeeded") == (leg.id in paid) or self.contradicted(leg.id)
        if provider.unsaid:  # how much was captured only a reversal can show
            assert payment.refunded_ours <= sum(paid.values()) or self.desk.raised()
            if not self.desk.raised():
                early = sum(told.amount for told in payment.early if told.status == "succeeded")
                known = payment.refunded_ours + payment.external + early
                assert known == provider.total("refund", "done")
            return
        assert payment.captured - payment.uncaptured == provider.captured
        if any(leg.reverse for _, leg in self.desk.legs()) and self.desk.raised():
            return  # a capture that failed before or after it: only a person can tell
        if "contradicted" not in self.desk.raised():
            theirs = provider.total("refund", "done")
            assert payment.refunded_ours + payment.external == theirs

    def contradicted(self, leg_id: str) -> bool:
        """A success was told after a failure, or of a reversal what does not fit the captures: only
        a person can tell which is so."""
        reversed_ = any(leg.id == leg_id and leg.reverse for _, leg in self.desk.legs())
        return (reversed_ and "capture_failed" in self.desk.raised()) or any(
            e.type == "exception.raised" and e.body.get("leg") == leg_id for e in self.desk.events
        )


class Reversing(WebhooksOnly):
    """It begins with a cancel that was refused, and its reversal out."""

    @initialize(
        automatic=st.sampled_from([3000, 6000, 10_200]),
        how=st.sampled_from(["heard", "late", "lost", "never"]),
    )
    def start(self, automatic: int, how: str) -> None:
        self.begin(False, 10**9, automatic)
        self.desk.tell(RefundRequested(RefundIn()))
        self.turn(next(iter(self.desk.rows.values())), "heard")
        self.provider.decide(self.provider.made[-1])
        self.hear(self.provider.told.pop())
        for each in ("heard", how):  # the capture is waited for, and is not told
            self.turn(next(iter(self.desk.rows.values())), each)
        assert self.desk.leg().reverse


@pytest.mark.slow
@pytest.mark.parametrize("machine", [WebhooksOnly, Reversing])
def test_webhooks_alone_in_any_order(machine: type[WebhooksOnly]) -> None:
    run_state_machine_as_test(
        machine,
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
