"""A desk that folds facts into one order and keeps the rows an engine would keep.

It checks, after every decision, what must always hold; tests only say what happens. `rows` are the
effect rows: a decision upserts them and takes them away, and a row whose request is out is leased.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from amends.core.caps import CapsNeeded
from amends.core.decide import decide, decode_order, encode_order
from amends.core.decision import Beside, Ctx, Decision, Terms
from amends.core.effects import Effect, Intent
from amends.core.events import Event, sealed
from amends.core.facts import Answered, EffectDue, LookedUp, OrderReported, Recorded, RefundReported
from amends.core.history import UNKNOWN, Stop
from amends.core.left import claimed_parts
from amends.core.legs import effect_id
from amends.core.order import Leg, Order, Payment, Refund
from amends.core.outlets import Moved, Outlet, Tell
from amends.core.policy import Policy, built_in
from amends.core.postings import Entry
from amends.core.requests import (
    LineIn,
    OrderIn,
    OrderKey,
    ShippingIn,
    TaxIn,
    TenderIn,
)
from amends.kernel.canon import GENESIS, chain
from amends.kernel.ids import encode, tail
from amends.kernel.money import Rate
from amends.kernel.outcome import Accepted, Outcome, RefundState, RefundStatus
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND

STRIPE = "stripe-eu"
START = 1_790_000_000 * SECOND
TERMS = Terms(key_ttl=24 * HOUR, lookup_delay=5 * SECOND, indeterminate_after=24 * HOUR)
RATES = {"USD": Rate("USD", "EUR", 9137, 10_000, "config"), "JPY": Rate("JPY", "EUR", 61, 100, "c")}
LIVE = ("planned", "sending", "unknown", "pending", "requires_action", "awaiting_funds")
OPEN = ("pending", "requires_action", "awaiting_funds")
ENDED = ("succeeded", "failed", "canceled")

VAT = (TaxIn("VAT", 1600, "0.20"),)
TEA = LineIn("1", 3, 9600, sku="TEA", taxes=VAT, fulfilled=3)
PARCEL = ShippingIn("s1", 600, taxes=(TaxIn("VAT", 100, "0.20"),))


def card(amount: int, captured: int | None = None, name: str = "pi_1") -> TenderIn:
    """A card payment, captured whole unless said otherwise."""
    taken = amount if captured is None else captured
    return TenderIn(amount, "payment", STRIPE, name, taken)


def contract_order(**changes: Any) -> OrderIn:
    """The order of the contract: three teas at 32.00, a parcel at 6.00, paid by one card."""
    told = OrderIn(
        source=OrderKey("shop-1", "1001"),
        currency="EUR",
        lines=(TEA,),
        shipping=(PARCEL,),
        tenders=(card(10_200),),
    )
    return msgspec.structs.replace(told, **changes)


def recorded_id(number: int) -> str:
    return tail(encode("x", number.to_bytes(16, "big")))


def took_one(order: Order, psp_refund_id: str) -> Leg:
    return next(g for r in order.refunds for g in r.legs if g.psp_refund_id == psp_refund_id)


class Desk:
    """One order and its rows; `now` is the wall clock."""

    def __init__(
        self,
        report: OrderIn | None = None,
        policy: Policy | None = None,
        terms: dict[str, Terms] | None = None,
        functional: str = "EUR",
        captures: bool = False,
        outlets: tuple[Outlet, ...] = (),
    ) -> None:
        self.outlets = outlets
        self.tells: list[Tell] = []
        self.moved: list[Moved] = []
        self.functional = functional
        self.captures = captures  # they are booked
        self.history = UNKNOWN
        self.stops: tuple[Stop, ...] = ()
        self.earlier: tuple[Policy, ...] = ()
        self.shadows: tuple[Policy, ...] = ()
        self.caps: dict[str, tuple[int, int]] = {}  # the rows: what was drawn of each bucket
        self.locked: list[frozenset[str]] = []  # buckets asked for, by decision
        self.beside: list[Beside] = []
        self.now = START
        self.policy = policy or built_in(10**9)
        self.terms = terms or {STRIPE: TERMS}
        self.order: Order = None  # type: ignore[assignment]
        self.rows: dict[str, Effect] = {}
        self.leased: set[str] = set()
        self.events: list[Event] = []
        self.entries: list[Entry] = []
        self.claimed: Counter[tuple[str, str]] = Counter()  # on the books, by refund and account
        self.told: list[tuple[Recorded, Ctx]] = []
        self.refund_ids: list[str] = []
        self.tell(OrderReported(report or contract_order()), actor="connection:shop-1")

    # -- folding -------------------------------------------------------------------------------

    def ctx(self) -> Ctx:
        return Ctx(
            *(self.now, self.policy, self.functional, self.terms, RATES),
            captures=self.captures,
            stops=self.stops,
            earlier=self.earlier,
            shadows=self.shadows,
            history={self.order.id: self.history} if self.order else {},
            caps={},
            outlets=self.outlets,
        )

    def decided(self, recorded: Recorded, ctx: Ctx) -> Decision:
        """As a turn does it: asked again with the caps that were missing."""
        while True:
            try:
                return decide(self.order, recorded, ctx)
            except CapsNeeded as needed:
                self.locked.append(needed.buckets)
                known = {bucket: self.caps.get(bucket, (0, 0)) for bucket in needed.buckets}
                ctx = msgspec.structs.replace(ctx, caps={**(ctx.caps or {}), **known})

    def tell(self, fact: Any, actor: str = "key:support") -> Decision:
        """Fold one fact, keep what it leads to, and check what must always hold."""
        self.now += 1
        recorded = Recorded(recorded_id(len(self.told) + 1), self.now, actor, fact)
        ctx = self.ctx()
        self.told.append((recorded, ctx))
        decision = self.decided(recorded, ctx)
        self.beside.append(decision.beside)
        for draw in decision.beside.draws:
            amount, count = self.caps.get(draw.bucket, (0, 0))
            self.caps[draw.bucket] = (amount + draw.amount, count + draw.count)
        before, self.order = self.order, decision.order
        check_decision(before, decision)
        self.events += decision.events
        self.entries += decision.entries
        self.tells += decision.tells
        self.moved += decision.moved
        for effect in decision.effects:
            self.rows[effect.id] = effect
            self.leased.discard(effect.id)
            if effect.start:
                self.leased.add(effect.id)
        for done in decision.done:
            self.rows.pop(done, None)
            self.leased.discard(done)
        if decision.refund and decision.refund not in self.refund_ids:
            self.refund_ids.append(decision.refund)
        check_order(self.order)
        self.check_claims(decision)
        self.check_released()
        self.check_rows()
        return decision

    def check_claims(self, decision: Decision) -> None:
        """What is claimed for a refund, and its tax, is what is on the books for it."""
        for entry in decision.entries:
            if entry.kind in ("claim", "claim_lapsed"):
                for posting in entry.postings:
                    self.claimed[entry.refund, posting.account] += posting.amount
        for refund in self.order.refunds:
            parts = claimed_parts(refund)
            tax = sum(x.tax for x in parts.parts) - sum(x.tax for x in parts.held)
            assert self.claimed[refund.id, "tax_payable"] == tax, refund
            assert self.claimed[refund.id, "refunds_payable"] == -refund.claimed, refund

    def check_released(self) -> None:
        """What is called released was not captured, or a person was told that it was."""
        for p in self.order.payments:
            both = p.voided and p.voided + p.captured > p.authorized
            assert not both or "captured_after_release" in self.raised(), "released and captured"

    def check_rows(self) -> None:
        """Whoever keeps a payment busy holds a lease, so a crash is noticed; and every leg that is
        under way has a row or waits its turn: nothing is ever stuck."""
        for payment in self.order.payments:
            if payment.busy:
                mine = "reread" if payment.busy == "reread" else payment.busy
                row = f"fx_{tail(payment.id)}_all" if mine == "reread" else effect_id(payment.busy)
                assert row in self.leased, f"{payment.busy} is out and nobody would notice a crash"
            elif payment.reread and payment.captured_peak:
                assert f"fx_{tail(payment.id)}_all" in self.rows, "a re-read nobody will do"
        for refund, leg in self.legs():
            payment = self.order.payment(leg.payment)
            row = effect_id(leg.id)
            out = payment.busy == leg.id
            if row in self.leased:
                assert out, f"{leg.id} ({leg.state}) has a lease and nothing is out"
            if leg.state == "planned" or leg.state in ENDED or refund.external or out:
                continue
            waits = leg.state == "sending" and not leg.attempts
            others = [g for _, g in self.legs() if g.payment == leg.payment and g.id != leg.id]
            turn = payment.busy or any(
                (g.state == "sending" and not g.attempts and effect_id(g.id) in self.rows)
                or (leg.kind == g.kind == "void" and g.attempts and g.state in LIVE)
                for g in others
            )
            assert row in self.rows or (waits and turn), f"{leg.id} ({leg.state}) is forgotten"

    # -- shortcuts -----------------------------------------------------------------------------

    def legs(self) -> list[tuple[Refund, Leg]]:
        return [(r, g) for r in self.order.refunds for g in r.legs]

    def leg(self, number: int = -1) -> Leg:
        return self.legs()[number][1]

    def refund(self, number: int = -1) -> Refund:
        return self.order.refunds[number]

    def payment(self, number: int = 0) -> Payment:
        return self.order.payments[number]

    def due(self, leg: Leg | None = None, lost: bool = False) -> Intent | None:
        """The row of a leg (or the first waiting row) comes due; the intent that leaves, if any."""
        row = effect_id((leg or self.leg()).id)
        self.now = max(self.now, self.rows[row].due) if row in self.rows else self.now
        decision = self.tell(EffectDue(row, lost), actor="system:deliver")
        return next((e.intent for e in decision.effects if e.id == row and e.start), None)

    def due_reread(self, lost: bool = False) -> Intent | None:
        row = f"fx_{tail(self.payment().id)}_all"
        self.now = max(self.now, self.rows[row].due)
        decision = self.tell(EffectDue(row, lost), actor="system:deliver")
        return next((e.intent for e in decision.effects if e.id == row and e.start), None)

    def asked(self, row: str) -> int:
        """How far the order had come when the row's request left."""
        return self.rows[row].asked if row in self.rows else 0

    def answer(self, outcome: Outcome, leg: Leg | None = None) -> Decision:
        """The provider answers the last attempt of a leg."""
        leg = leg or self.leg()
        self.now += 50_000
        fact = Answered(leg.id, leg.epoch, leg.attempts, outcome, self.asked(effect_id(leg.id)))
        return self.tell(fact, actor=f"connection:{STRIPE}")

    def accept(self, status: RefundStatus = "succeeded", leg: Leg | None = None) -> Decision:
        return self.answer(Accepted(refund=self.state(status, leg)), leg)

    def state(
        self, status: RefundStatus = "succeeded", leg: Leg | None = None, psp_id: str = ""
    ) -> RefundState:
        """How the provider describes the refund a leg made there."""
        leg = leg or self.leg()
        name = psp_id or leg.psp_refund_id or f"re_{tail(leg.id)}_{leg.epoch}"
        return RefundState(name, status, leg.amount, self.order.currency, leg.id, leg.epoch)

    def found(self, *refunds: RefundState, leg: Leg | None = None) -> Decision:
        """A look-up for a leg is answered with these refunds."""
        leg = leg or self.leg()
        asked = self.now
        self.now += 50_000
        seen = self.asked(effect_id(leg.id))
        fact = LookedUp(leg.payment, Accepted(refunds=refunds), leg.id, asked, seen)
        return self.tell(fact, actor=f"connection:{STRIPE}")

    def reread(self, *refunds: RefundState) -> Decision:
        """A look-up of the whole first payment is answered."""
        asked = self.now
        self.now += 50_000
        seen = self.asked(f"fx_{tail(self.payment().id)}_all")
        fact = LookedUp(self.payment().id, Accepted(refunds=refunds), "", asked, seen)
        return self.tell(fact, actor=f"connection:{STRIPE}")

    def hear(self, state: RefundState, payment: str = "pi_1") -> Decision:
        """A webhook about a refund."""
        fact = RefundReported(STRIPE, (payment,), state)
        return self.tell(fact, actor=f"connection:{STRIPE}")

    def balance(self, account: str) -> int:
        return sum(p.amount for e in self.entries for p in e.postings if p.account == account)

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries]

    def raised(self) -> list[str]:
        return [e.body["what"] for e in self.events if e.type == "exception.raised"]


# -- what always holds -------------------------------------------------------------------------


def check_decision(before: Order | None, decision: Decision) -> None:
    """Chain, books and rows of one decision."""
    head = (before.head_seq, before.head_hash) if before else (0, GENESIS)
    seq, previous = head
    sealed_entries: list[str] = []
    for event in msgspec.json.decode(msgspec.json.encode(decision.events), type=list[Event]):
        seq += 1
        parts = (event.type, event.actor, event.fact, event.ctx, event.body, event.entries)
        assert (event.seq, event.previous) == (seq, previous)
        assert event.hash == chain(previous, sealed(event.stream, seq, event.at, *parts))
        previous = event.hash
        sealed_entries += event.entries
    assert (decision.order.head_seq, decision.order.head_hash) == (seq, previous)
    assert sealed_entries == [entry.hash for entry in decision.entries], "an entry without a seal"
    number = before.entries if before else 0
    for entry in decision.entries:
        number += 1
        assert entry.number == number
        assert entry.postings
        assert sum(p.amount for p in entry.postings) == 0
        assert sum(p.functional for p in entry.postings) == 0
    assert decision.order.entries == number
    assert not {e.id for e in decision.effects} & set(decision.done)
    if decision.refused:
        assert not decision.entries
        assert not decision.effects
    assert decode_order(encode_order(decision.order)) == decision.order


def check_order(order: Order) -> None:
    """I1 and I6, and that the numbers on payments are the sums over legs."""
    legs = [g for r in order.refunds for g in r.legs]
    for p in order.payments:
        mine = [g for g in legs if g.payment == p.id]
        ours = [g for g in mine if g.kind != "void" and not g.outside]
        paid = [g for g in ours if g.state == "succeeded"]
        assert p.pending_ours == sum(g.amount for g in ours if g.state in LIVE)
        assert p.refunded_ours == sum(g.amount for g in paid if g.kind == "refund")
        assert p.credited_ours == sum(g.amount for g in paid if g.kind in ("manual", "credit"))
        outside = [g for g in mine if g.outside and g.state in (*LIVE, "succeeded")]
        assert p.external == sum(g.amount for g in outside)
        voids = [g for g in mine if g.kind == "void"]
        assert p.voiding == sum(g.amount for g in voids if g.state in LIVE)
        assert p.voided >= sum(g.amount for g in voids if g.state == "succeeded")
        assert p.pending_ours + p.refunded_ours + p.credited_ours <= p.captured_peak
        counters = (p.pending_ours, p.refunded_ours, p.external, p.disputed, p.voiding, p.voided)
        assert min(counters) >= 0
    for refund in order.refunds:
        if refund.stage != "declined":
            assert refund.breakdown.total == refund.amount
    check_components(order)


def check_components(order: Order) -> None:
    """I6: no component gives back more than it was, however a review ends that is to take over what
    failed before it."""
    reviews = [r for r in order.refunds if r.stage == "review" and r.takes_over]
    check_parts(order, {name for r in reviews for name in r.takes_over})
    check_parts(order, {r.id for r in reviews})


def check_parts(order: Order, without: set[str]) -> None:
    left: dict[tuple[int, str, str], int] = {}
    for group, items in enumerate((order.lines, order.shipping, order.charges)):
        for item in items:
            left[group, item.id, "units"] = getattr(item, "quantity", 0)
            left[group, item.id, "net"] = item.total - sum(t.amount for t in item.taxes)
            for tax in item.taxes:
                key = group, item.id, f"tax {tax.name}"
                left[key] = left.get(key, 0) + tax.amount
    held: Counter[tuple[str, str, str]] = Counter()
    for refund in order.refunds:
        stands = refund.claimed or any(g.state in (*LIVE, "succeeded") for g in refund.legs)
        if refund.stage == "declined" or not stands or refund.id in without or refund.fallback_of:
            continue
        given = refund.breakdown
        for group, parts in enumerate((given.lines, given.shipping, given.charges)):
            for part in parts:
                assert part.net >= 0
                left[group, part.id, "units"] -= part.quantity
                left[group, part.id, "net"] -= part.net
                for share in part.taxes:
                    assert share.amount > 0
                    left[group, part.id, f"tax {share.name}"] -= share.amount
    assert all(value >= 0 for value in left.values()), left
    for refund in order.refunds:
        stands = refund.claimed or any(g.state in (*LIVE, "succeeded") for g in refund.legs)
        for one in (x for x in refund.breakdown.lost if not x.waived):
            # A refund that failed kept nothing back; what was given back since on its strength is
            # made up for by the next. What waits for a person is asked when it is approved.
            if refund.stage == "active" and (stands or one.gross > 0):
                held[one.promotion, one.on, one.part] += one.gross
        for fee in refund.breakdown.fees:
            if refund.stage in ("active", "held") and (stands or fee.gross > 0):
                held["fee", fee.kind, ""] += fee.gross
    assert all(value >= 0 for value in held.values()), held


__all__ = ["DAY", "HOUR", "MINUTE", "SECOND", "START", "Desk"]
