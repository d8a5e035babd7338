"""One order against a provider with its own truth, under every fault at once.

Answers are lost, late and doubled, webhooks come in any order, twice or never, people refund in the
dashboard, disputes open, keys are forgotten. After every step what must hold is checked (`Desk`);
at the end everything is let come to rest and compared with what the provider knows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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

from amends.core.amounts import Amounts
from amends.core.effects import Effect, Intent
from amends.core.facts import (
    Answered,
    Approved,
    Canceled,
    DisputeReported,
    EffectDue,
    LookedUp,
    OrderCancelled,
    PaidOutside,
    PaymentReported,
    RefundReported,
    RefundRequested,
    Rejected,
    Retried,
)
from amends.core.lifecycle import STATES
from amends.core.order import Leg, shown_state, taken
from amends.core.policy import Policy, built_in
from amends.core.requests import LinePick, RefundIn, TenderIn
from amends.kernel.money import convert
from amends.kernel.outcome import Declined, NotSent, Outcome, RefundStatus, Unknown
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from tests.core.desk import ENDED, OPEN, STRIPE, TERMS, Desk, card, contract_order
from tests.core.provider import PAYS, Account, Made, Provider

FORWARD = {
    **dict.fromkeys(("planned", "sending", "unknown"), 0),
    **dict.fromkeys(OPEN, 1),
    "succeeded": 2,
    "failed": 3,
    "canceled": 3,
}
FIRST = st.sampled_from(["succeeded", "succeeded", "pending", "requires_action"])
# What a provider's refund may become (facts of Stripe; "failed" to "succeeded" is edge 9).
NEXT: dict[str, tuple[RefundStatus, ...]] = {
    "pending": ("succeeded", "failed", "requires_action", "canceled"),
    "requires_action": ("pending", "succeeded", "failed", "canceled"),
    "awaiting_funds": ("succeeded", "failed"),
    "succeeded": ("failed", "requires_action"),
    "failed": ("succeeded",),
    "canceled": (),
}


@dataclass
class Out:
    """A request on the wire: executed or not, its answer not yet here."""

    effect: Effect
    asked_at: int
    outcome: Outcome


POLICIES = st.builds(
    built_in,
    st.sampled_from([10**9, 10**9, 3000]),
    amounts=st.builds(
        Amounts,
        allocation=st.sampled_from(["card_first", "proportional", "last_in_first_out"]),
        minimum=st.sampled_from([(), (), (("EUR", 700),)]),
        below_minimum=st.just("hold"),
    ),
    fallback=st.sampled_from(["none", "manual", "store_credit"]),
)


def by_hand(refund: str) -> PaidOutside:
    """A person paid it."""
    return PaidOutside(refund, "SEPA-1")


class Refunds(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.out: dict[str, Out] = {}  # by effect row
        self.late: list[Out] = []  # answers whose lease has run out
        self.webhooks: list[Any] = []
        self.disputed = ("", 0)  # how the dispute stands, and what it holds
        self.keys: dict[tuple[str, int], str] = {}
        self.sent_at: dict[str, int] = {}  # when a key was first sent
        self.taken = 0

    @initialize(
        split=st.lists(st.integers(500, 8000), min_size=0, max_size=2),
        captured=st.lists(st.booleans(), min_size=3, max_size=3),
        policy=POLICIES,
        booked=st.booleans(),
        gift=st.sampled_from([0, 0, 1500, 4000]),
        currency=st.sampled_from(["EUR", "USD"]),
    )
    def start(
        self,
        split: list[int],
        captured: list[bool],
        policy: Policy,
        booked: bool,
        gift: int,
        currency: str,
    ) -> None:
        amounts = [a for a in split if a]
        while sum(amounts) >= 10_200 - gift:
            amounts.pop()
        amounts.append(10_200 - gift - sum(amounts))
        self.accounts = {
            f"pi_{n}": Account(amount, amount if captured[n - 1] else 0)
            for n, amount in enumerate(amounts, 1)
        }
        tenders = tuple(card(a.authorized, a.captured, name) for name, a in self.accounts.items())
        if gift:
            tenders = (TenderIn(gift, "gift_card", reference="GC-1"), *tenders)
        report = contract_order(tenders=tenders, currency=currency)
        self.desk = Desk(report, policy=policy, captures=booked)
        self.provider = Provider(currency, self.accounts)

    # -- people --------------------------------------------------------------------------------

    @rule(units=st.integers(1, 3))
    def ask_units(self, units: int) -> None:
        self.desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", units),))))

    @rule(amount=st.integers(1, 6000), consent=st.sampled_from(["", "ticket-7"]))
    def ask_amount(self, amount: int, consent: str) -> None:
        self.desk.tell(RefundRequested(RefundIn(amount=amount, consent=consent)))

    @rule(shipping=st.one_of(st.just("full"), st.integers(1, 600)))
    def ask_shipping(self, shipping: Any) -> None:
        self.desk.tell(RefundRequested(RefundIn(shipping=shipping)))

    @rule()
    def ask_all(self) -> None:
        self.desk.tell(RefundRequested(RefundIn()))

    @rule()
    def cancel_order(self) -> None:
        self.desk.tell(OrderCancelled())

    @precondition(lambda self: self.desk.order.refunds)
    @rule(
        pick=st.integers(0, 50),
        fact=st.sampled_from([Approved, Approved, Rejected, Canceled, Retried, Retried, by_hand]),
    )
    def decide_on_a_refund(self, pick: int, fact: Any) -> None:
        refund = self.desk.order.refunds[pick % len(self.desk.order.refunds)]
        self.desk.tell(fact(refund.id), "person:lead")

    # -- the wire ------------------------------------------------------------------------------

    def due_rows(self, until: int | None = None) -> list[Effect]:
        free = [e for e in self.desk.rows.values() if e.id not in self.desk.leased]
        return sorted((e for e in free if until is None or e.due <= until), key=lambda e: e.due)

    def take(self, row: str, lost: bool = False) -> Out | None:
        """Lease a row and let what it starts reach the provider, or not."""
        decision = self.desk.tell(EffectDue(row, lost), "system:deliver")
        started = [e for e in decision.effects if e.id == row and e.start]
        if not started:
            return None
        (effect,) = started
        assert effect.intent is not None
        self.check_key(effect.intent)
        out = Out(effect, self.desk.now, Unknown("timeout"))
        self.out[row] = out
        return out

    def check_key(self, intent: Intent) -> None:
        """I3: one key per epoch, and no byte under it once the provider may have forgotten it."""
        key = getattr(intent, "key", "")
        if not key:
            return
        mark = (intent.leg, intent.epoch)  # type: ignore[union-attr]
        assert self.keys.setdefault(mark, key) == key
        sent_at = self.sent_at.setdefault(key, self.desk.now)
        leg = self.desk.order and next(g for _, g in self.desk.legs() if g.id == mark[0])
        assert self.desk.now < sent_at + TERMS.key_ttl or not leg.doubt, "a blind resend"

    @precondition(lambda self: self.due_rows())
    @rule(
        pick=st.integers(0, 20),
        how=st.sampled_from(["here", "here", "here", "never", "500", "funds", "refused"]),
        first=FIRST,
    )
    def send(self, pick: int, how: str, first: RefundStatus) -> None:
        """A row comes due. `never`: it does not arrive; `funds`: no money there."""
        rows = self.due_rows()
        row = rows[pick % len(rows)]
        self.desk.now = max(self.desk.now, row.due)
        out = self.take(row.id)
        if out is None or out.effect.intent is None or how == "never":
            return
        intent = out.effect.intent
        fresh = getattr(intent, "key", "") not in self.provider.keys
        if how == "500":
            out.outcome = self.provider.break_down(intent, self.desk.now)
        elif how == "refused":
            out.outcome = NotSent("connection refused") if fresh else Unknown("reset")
        elif how == "funds" and fresh and type(intent).__name__ == "RefundIntent":
            out.outcome = Declined("balance_insufficient", kind="funds")
        else:
            out.outcome = self.provider.handle(intent, self.desk.now, first)

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0, 20), lose=st.sampled_from([False, False, True]))
    def answer(self, pick: int, lose: bool) -> None:
        row = list(self.out)[pick % len(self.out)]
        out = self.out.pop(row)
        self.desk.now += 40_000
        if lose:
            out.outcome = Unknown("timeout")
        self.apply(out)

    def apply(self, out: Out) -> None:
        effect = out.effect
        if effect.kind == "send":
            fact: Any = Answered(
                effect.leg, effect.epoch, effect.attempt, out.outcome, effect.asked
            )
        else:
            fact = LookedUp(effect.payment, out.outcome, effect.leg, out.asked_at, effect.asked)
        before = self.leg(effect.leg) if effect.leg else None
        self.desk.tell(fact, f"connection:{STRIPE}")
        if before is None:
            return
        if isinstance(out.outcome, NotSent) and not before.doubt:
            self.sent_at.pop(before.key, None)  # nobody took the key up
        if before.kind == "void":
            return
        if before.doubt and before.state == "unknown" and isinstance(out.outcome, Declined):
            assert self.leg(effect.leg).state == "unknown", "I4: a no in doubt is no answer"

    @precondition(lambda self: self.due_rows())
    @rule(
        pick=st.integers(0, 20),
        arrives=st.booleans(),
        rounds=st.integers(1, 3),
        pause=st.sampled_from([SECOND, MINUTE, 23 * HOUR, DAY, 3 * DAY]),
        first=FIRST,
    )
    def a_bad_day(
        self, pick: int, arrives: bool, rounds: int, pause: int, first: RefundStatus
    ) -> None:
        """Answer after answer is lost, a look-up sees nothing yet, and then it is late."""
        rows = self.due_rows()
        row = rows[pick % len(rows)].id
        for _ in range(rounds):
            if row not in self.desk.rows or row in self.desk.leased:
                return
            self.desk.now = max(self.desk.now, self.desk.rows[row].due)
            out = self.take(row)
            if out is None or out.effect.intent is None:
                return
            outcome: Outcome = Unknown("timeout")
            if arrives or not hasattr(out.effect.intent, "key"):
                outcome = self.provider.handle(out.effect.intent, self.desk.now, first)
            if not hasattr(out.effect.intent, "key"):
                out.outcome = outcome
            self.apply(self.out.pop(row))
        self.desk.now += pause

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0, 20), answered_late=st.booleans(), first=FIRST)
    def crash(self, pick: int, answered_late: bool, first: RefundStatus) -> None:
        """Whoever waited is gone; another process takes the row over. The answer may still come."""
        row = list(self.out)[pick % len(self.out)]
        out = self.out.pop(row)
        self.desk.now += 30 * SECOND
        if answered_late:
            self.late.append(out)
        again = self.take(row, lost=True)
        if again is not None and again.effect.intent is not None:
            again.outcome = self.provider.handle(again.effect.intent, self.desk.now, first)

    @precondition(lambda self: self.late)
    @rule(pick=st.integers(0, 20))
    def late_answer(self, pick: int) -> None:
        self.apply(self.late.pop(pick % len(self.late)))

    # -- the provider --------------------------------------------------------------------------

    def tell_of(self, made: Made) -> None:
        fact = RefundReported(STRIPE, (made.payment,), self.provider.describe(made))
        self.webhooks.append(fact)

    @precondition(lambda self: self.provider.made)
    @rule(pick=st.integers(0, 20), to=st.integers(0, 3))
    def refund_moves(self, pick: int, to: int) -> None:
        made = self.provider.made[pick % len(self.provider.made)]
        ways = NEXT[made.status]
        room = self.accounts[made.payment].captured - self.provider.refunded(made.payment)
        if ways and (made.status != "failed" or room >= made.amount):
            made.status = ways[to % len(ways)]
        self.tell_of(made)

    @precondition(lambda self: any(made.leg for made in self.provider.made))
    @rule(pick=st.integers(0, 20), after_all=st.booleans())
    def it_bounces(self, pick: int, after_all: bool) -> None:
        """What we made fails late, is told, and may be paid by the provider after all."""
        ours = [made for made in self.provider.made if made.leg]
        made = ours[pick % len(ours)]
        account = self.accounts[made.payment]
        for status in ("succeeded", "failed", "succeeded")[: 3 if after_all else 2]:
            room = account.captured - self.provider.refunded(made.payment)
            if status not in (made.status, *NEXT[made.status]):
                return
            if made.status == "failed" and room < made.amount:
                return
            made.status = status  # type: ignore[assignment]
            self.tell_of(made)
            self.hear(self.webhooks.pop())

    @rule(name=st.integers(0, 2), amount=st.integers(1, 4000), first=FIRST)
    def dashboard(self, name: int, amount: int, first: RefundStatus) -> None:
        psp_id = list(self.accounts)[name % len(self.accounts)]
        if self.accounts[psp_id].captured - self.provider.refunded(psp_id) >= amount:
            self.tell_of(self.provider.refund(psp_id, amount, first, self.desk.now))

    @rule(name=st.integers(0, 2))
    def shop_captures(self, name: int) -> None:
        psp_id = list(self.accounts)[name % len(self.accounts)]
        account = self.accounts[psp_id]
        if not account.captured and not account.canceled:
            account.captured = account.authorized
        state = self.provider.payment_state(psp_id)
        self.webhooks.append(PaymentReported(STRIPE, (psp_id,), state))

    @rule(name=st.integers(0, 2))
    def authorization_expires(self, name: int) -> None:
        psp_id = list(self.accounts)[name % len(self.accounts)]
        if not self.accounts[psp_id].captured:
            self.accounts[psp_id].canceled = True
        state = self.provider.payment_state(psp_id)
        self.webhooks.append(PaymentReported(STRIPE, (psp_id,), state))

    @rule(amount=st.integers(0, 5000), status=st.sampled_from(["needs_response", "won", "lost"]))
    def dispute(self, amount: int, status: str) -> None:
        open_ = status == "needs_response"
        currency = self.desk.order.currency
        fact = DisputeReported(STRIPE, ("pi_1",), "dp_1", amount, currency, status, open_, amount)
        self.desk.tell(fact, f"connection:{STRIPE}")
        was, held = self.disputed
        if open_ and was in ("won", "lost"):
            return  # it opened before it ended
        again = (was, status) == ("won", "won")  # what was given back is not taken again
        self.disputed = status, min(amount, held) if again else amount

    @precondition(lambda self: self.webhooks)
    @rule(pick=st.integers(0, 20), how=st.sampled_from(["once", "once", "keep", "drop"]))
    def webhook(self, pick: int, how: str) -> None:
        """Delivered, delivered and kept to come again, or lost."""
        index = pick % len(self.webhooks)
        fact = self.webhooks[index]
        if how != "keep":
            del self.webhooks[index]
        if how != "drop":
            self.hear(fact)

    def hear(self, fact: Any) -> None:
        before = {g.id: g for _, g in self.desk.legs()}
        self.desk.tell(fact, f"connection:{STRIPE}")
        for _, leg in self.desk.legs():
            known, now = before.get(leg.id, leg), leg.state
            was = known.state if leg.id in before else "sending"
            late = known.kind != leg.kind  # a release that came too late gives back instead
            if was != now and now != "planned" and not late:
                assert FORWARD[now] > FORWARD[was], f"{leg.id} went from {was} to {now}"

    @rule(pause=st.sampled_from([SECOND, 10 * SECOND, MINUTE, HOUR, 23 * HOUR, DAY, 3 * DAY]))
    def time_passes(self, pause: int) -> None:
        self.desk.now += pause

    # -- what holds all along ------------------------------------------------------------------

    @invariant()
    def no_leg_moves_money_twice(self) -> None:
        """I2: as long as every 'not found' is true, one leg makes one refund at the provider."""
        if hasattr(self, "provider"):
            marks = Counter(made.leg for made in self.provider.made if made.leg)
            assert all(count == 1 for count in marks.values()), marks
            assert not self.provider.mixed, "one key, two bodies"

    @invariant()
    def nobody_is_sent_more_than_was_captured(self) -> None:
        if hasattr(self, "provider"):
            for payment in self.desk.order.payments:
                ours = payment.pending_ours + payment.refunded_ours + payment.credited_ours
                assert ours <= payment.captured_peak

    @invariant()
    def a_fallback_and_its_original_do_not_both_pay(self) -> None:
        """I12: one fallback a leg at most; should the first way pay after all, only money that a
        person had paid by then stays paid, and that is told."""
        if not hasattr(self, "provider"):
            return
        legs = {g.id: g for _, g in self.desk.legs()}
        pays = [g for g in legs.values() if g.pays_for]
        assert len({g.pays_for for g in pays}) == len(pays)
        for leg in pays:
            if leg.state in ("planned", "succeeded") and legs[leg.pays_for].state != "failed":
                assert (leg.kind, leg.state) == ("manual", "succeeded")
                assert "double_benefit" in self.desk.raised()

    @invariant()
    def credit_stays_on_its_tender(self) -> None:
        """A gift card gives and takes nothing but its own; what is booked for it is its legs'."""
        if hasattr(self, "provider"):
            cards = {p.id for p in self.desk.order.payments if not p.is_money}
            mine = [g for _, g in self.desk.legs() if g.payment in cards]
            assert {g.kind for g in mine} <= {"credit"}
            paid = sum(g.amount for g in mine if g.state == "succeeded")
            assert self.desk.balance("gift_cards") == -paid

    # -- the end -------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "provider"):
            return
        for fact in self.webhooks:
            self.hear(fact)
        for out in (*self.late, *self.out.values()):
            self.apply(out)
        self.late, self.out = [], {}
        self.desk.now += MINUTE
        self.drain()
        for made in self.provider.made:
            if made.status in OPEN:
                made.status = "succeeded"
        for name in self.accounts:
            state = self.provider.payment_state(name)
            self.hear(PaymentReported(STRIPE, (name,), state))
        for made in self.provider.made:
            self.tell_of(made)
            self.hear(self.webhooks[-1])
        self.drain()
        self.compare()

    def drain(self) -> None:
        """Everything that is due happens, faultlessly, until only daily look-ins are left."""
        for _ in range(1000):
            rows = [e for e in self.due_rows() if e.kind != "deadline"]
            if not rows:
                return
            if all(self.is_look_in(e) for e in rows):
                return
            row = next(e for e in rows if not self.is_look_in(e))
            self.desk.now = max(self.desk.now, row.due)
            out = self.take(row.id)
            if out is not None:
                assert out.effect.intent is not None
                out.outcome = self.provider.handle(out.effect.intent, self.desk.now, "succeeded")
                self.apply(self.out.pop(row.id))
        raise AssertionError(f"never quiet: {self.due_rows()}")

    def is_look_in(self, effect: Effect) -> bool:
        if not effect.leg or effect.kind != "lookup":
            return False
        leg = self.leg(effect.leg)
        # What waits for funds and was never made is sent then, not looked up.
        return leg.state in OPEN and (leg.state != "awaiting_funds" or bool(leg.psp_refund_id))

    def leg(self, leg_id: str) -> Leg:
        return next(g for _, g in self.desk.legs() if g.id == leg_id)

    def compare(self) -> None:
        desk, provider = self.desk, self.provider
        by_psp = {g.psp_refund_id: g for _, g in desk.legs() if g.psp_refund_id}
        assert set(by_psp) == {made.id for made in provider.made}
        for made in provider.made:
            leg = by_psp[made.id]
            ended = ("failed", "canceled")  # either way nothing left
            same = leg.state in ended if made.status in ended else leg.state == made.status
            assert same, f"{leg.id} is {leg.state}, {made.id} {made.status}"
            assert leg.amount == made.amount
            assert desk.order.payment(leg.payment).psp_payment_id == made.payment
        for payment in (p for p in desk.order.payments if p.is_money):
            paid = provider.paid(payment.psp_payment_id)
            assert payment.refunded_ours + payment.external == paid
            assert not payment.busy
            assert payment.pending_ours == sum(
                g.amount
                for _, g in desk.legs()
                if (g.payment, g.state) == (payment.id, "planned") and g.kind != "void"
            )
            account = self.accounts[payment.psp_payment_id]
            assert payment.captured == account.captured
            assert account.captured <= account.authorized
        status, taken = self.disputed
        left = sum(map(provider.paid, self.accounts)) + taken
        brought = sum(a.captured for a in self.accounts.values()) if desk.captures else 0
        assert desk.balance(f"clearing:{STRIPE}") == brought - left
        assert desk.balance("customer_receipts") == -brought
        held = min(taken, self.accounts["pi_1"].authorized)  # what is beyond it is exchange
        lost = held if status == "lost" else 0
        assert (desk.balance("disputed"), desk.balance("dispute_losses")) == (held - lost, lost)
        self.compare_functional(taken)
        self.compare_claims()
        self.a_fallback_and_its_original_do_not_both_pay()

    def compare_functional(self, taken: int) -> None:
        """At one rate each payment holds, functional, what came less what left, each as a whole:
        one that was given back whole holds nothing."""
        rate, ours = self.desk.order.rate, Counter[str]()
        for p in (p for entry in self.desk.entries for p in entry.postings):
            ours[p.account] += p.functional
        held = 0
        for name, account in self.accounts.items():
            left = self.provider.paid(name) + (taken if name == "pi_1" else 0)
            brought = account.captured if self.desk.captures else 0
            held += convert(brought, rate) - convert(left, rate)
        assert ours[f"clearing:{STRIPE}"] == held
        cards = [p.id for p in self.desk.order.payments if p.kind == "gift_card"]
        legs = [g for _, g in self.desk.legs() if g.payment in cards and g.state == "succeeded"]
        assert ours["gift_cards"] == -convert(sum(g.amount for g in legs), rate)

    def compare_claims(self) -> None:
        """What customers are owed on the books is what stands unpaid, less what was paid twice."""
        owed = 0
        for refund in self.desk.order.refunds:
            if refund.external:
                continue
            paid = sum(g.amount for g in refund.legs if g.state == "succeeded" and g.kind != "void")
            owed += refund.claimed - paid
            rests = ("review", "awaiting_return", "declined", "held", "combined")
            assert shown_state(refund) in (*ENDED, *rests)
        assert self.desk.balance("refunds_payable") == -owed
        self.compare_held()

    def compare_held(self) -> None:
        """What is held is too little and more may follow, or others have its money, or may."""
        order = self.desk.order
        away = {p.id for p in order.payments if taken(p) > p.captured}
        if self.disputed[0] == "needs_response" or self.disputed == ("lost", 0):
            away.add(next(p.id for p in order.payments if p.psp_payment_id == "pi_1"))
        there = {r.id: r.amount for r in order.refunds if r.stage == "held"}
        for refund in order.refunds:
            if away.intersection(leg.payment for leg in refund.legs):
                there.pop(refund.id, None)
        assert not there or (sum(there.values()) < 700 and order.remaining)


@pytest.mark.slow
def test_one_order_under_every_fault() -> None:
    run_state_machine_as_test(
        Refunds,
        settings=settings(
            max_examples=400,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_state_has_a_rank() -> None:
    assert set(FORWARD) == set(STATES)
    assert set(PAYS) < {*NEXT}
