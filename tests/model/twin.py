"""The real leg beside the model's: every move of the model that concerns the engine is told to
`core.decide` as a fact, and the real leg must come out as the model's did."""

from __future__ import annotations

from amends.core.decision import Terms
from amends.core.effects import LookupRefundsIntent, RefundIntent
from amends.core.facts import Answered, EffectDue, LookedUp, RefundReported, RefundRequested
from amends.core.legs import effect_id
from amends.core.patience import KEY_MARGIN
from amends.core.requests import RefundIn
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, RefundState, Unknown
from tests.core.desk import HOUR, START, STRIPE, Desk
from tests.model.protocol import (
    ENOUGH,
    INDETERMINATE,
    LOOKUP_DELAY,
    MARGIN,
    NAMES,
    RETENTION,
    Leg,
    Worker,
    World,
    rests,
)

TICK = 1000 * HOUR  # so long that all pauses between rounds pass within one
HALF = TICK // 2  # a limit lies between two ticks: what happens within one does not matter
TERMS = Terms(
    key_ttl=(RETENTION - MARGIN) * TICK - HALF + KEY_MARGIN,
    lookup_delay=LOOKUP_DELAY * TICK - HALF,
    indeterminate_after=INDETERMINATE * TICK - HALF,
)


class Twin:
    """One order with one refund of a part of its payment, followed through a model's moves."""

    def __init__(self) -> None:
        self.desk = Desk(terms={STRIPE: TERMS})
        self.desk.tell(RefundRequested(RefundIn(amount=3000)))
        self.ticks = 0
        self.attempt = [0, 0]  # the attempt each worker last took to send
        self.asked = [0, 0]  # when it last asked for the list

    def follow(self, before: World, label: str, after: World) -> None:
        """Do what the model did; raises AssertionError where the real leg does something else."""
        if label == "time passes":
            self.ticks += 1
            self.desk.now = START + self.ticks * TICK
        elif label.startswith("a webhook"):
            self._hear(before, after)
        elif "takes the row" in label:
            self._take(NAMES.index(label[0]), label)
        elif "records" in label:
            who = NAMES.index(label[0])
            self._record(who, before.workers[who])
        assert self.leg() == plain(after.leg), f"after {label}"
        if not rests(after.leg):
            leased = effect_id(self.desk.leg().id) in self.desk.leased
            assert leased == (after.lease != -1), f"the lease after {label}"

    def leg(self) -> Leg:
        """The real leg in the model's words."""
        real = self.desk.leg()
        return plain(
            Leg(
                real.state,
                real.epoch,
                real.in_flight,
                real.doubt,
                bool(real.declined),
                real.resend,
                min(real.stored, ENOUGH),
                self._ago(real.first_sent_at, INDETERMINATE),
                self._ago(real.last_sent_at, LOOKUP_DELAY),
            )
        )

    def _ago(self, at: int, most: int) -> int:
        return min(self.ticks - (at - START) // TICK, most) if at else -1

    def _take(self, who: int, label: str) -> None:
        row = effect_id(self.desk.leg().id)
        lost = " over" in label
        if not lost:  # nothing keeps a worker from coming later than the row says
            self.desk.now = max(self.desk.now, self.desk.rows[row].due)
            assert self.desk.now < START + self.ticks * TICK + HALF, "a pause longer than a tick"
        decision = self.desk.tell(EffectDue(row, lost))
        out = next((e.intent for e in decision.effects if e.id == row and e.start), None)
        if "to send" in label:
            assert isinstance(out, RefundIntent)
            self.attempt[who] = self.desk.leg().attempts
        elif "to look" in label:
            assert isinstance(out, LookupRefundsIntent)
            self.asked[who] = self.desk.now
        else:
            assert out is None

    def _record(self, who: int, worker: Worker) -> None:
        leg = self.desk.leg()
        if worker.doing == "told":
            outcome = self._outcome(worker)
            self.desk.tell(Answered(leg.id, worker.epoch, self.attempt[who], outcome))
            return
        lists = (self._refund(leg.epoch),) if worker.said == "found" else ()
        outcome = Accepted(refunds=lists) if worker.said != "failed" else Unknown("timeout")
        self.desk.tell(LookedUp(leg.payment, outcome, leg.id, self.asked[who]))

    def _outcome(self, worker: Worker) -> Outcome:
        return {
            "refunded": Accepted(refund=self._refund(worker.epoch)),
            "declined": Declined("charge_already_refunded"),
            "not sent": NotSent("refused"),
            "silence": Unknown("timeout"),
            "error": Unknown("HTTP 500", stored=True),
        }[worker.said]

    def _hear(self, before: World, after: World) -> None:
        (epoch,) = {epoch for epoch, _ in before.moved}
        self.desk.tell(RefundReported(STRIPE, ("pi_1",), self._refund(epoch)))

    def _refund(self, epoch: int) -> RefundState:
        leg = self.desk.leg()
        return RefundState(f"re_{epoch}", "succeeded", leg.amount, "EUR", leg.id, epoch)


def plain(leg: Leg) -> Leg:
    """Of a leg at rest only its state and epoch are compared."""
    return Leg(leg.state, leg.epoch) if rests(leg) else leg


def concern(before: World, label: str) -> tuple[object, ...] | None:
    """What a decision could tell apart of a move; None if the engine decides nothing in it."""
    if label.startswith("a webhook"):
        return "hears", before.leg, tuple(sorted({epoch for epoch, _ in before.moved}))
    if "takes the row" in label:
        return label[2:], before.leg
    if "records" in label:
        worker = before.workers[NAMES.index(label[0])]
        what = (worker.doing, worker.said, worker.current, worker.proves)
        return (*what, worker.epoch == before.leg.epoch, before.leg, before.lease != -1)
    return None
