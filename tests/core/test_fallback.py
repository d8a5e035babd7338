"""Where money cannot go back the way it came, a fallback pays it, and never both do (I12)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.facts import (
    Approved,
    Canceled,
    DisputeReported,
    PaidOutside,
    RefundRequested,
    Rejected,
    Retried,
)
from amends.core.order import Leg, Refund, shown_state
from amends.core.policy import built_in
from amends.core.requests import CustomerIn, LinePick, RefundIn, TenderIn
from amends.engine.views import refund_view
from amends.kernel.outcome import Accepted, Declined, RefundState
from tests.core.desk import STRIPE, Desk, card, contract_order

WHO = CustomerIn("c-1", country="DE")


def desk_with(fallback: Any = "store_credit", **changes: Any) -> Desk:
    return Desk(contract_order(customer=WHO, **changes), policy=built_in(10**9, fallback=fallback))


def paid(desk: Desk, **fields: Any) -> Refund:
    """Asked for and paid by the provider."""
    asked = {"lines": (LinePick("1", 1),), "consent": "ticket-7"} | fields
    desk.tell(RefundRequested(RefundIn(**asked)))
    refund = desk.refund()
    for place, _ in enumerate(refund.legs):
        leg = desk.refund().legs[place]
        if leg.kind == "refund":
            desk.due(leg)
            desk.accept(leg=desk.refund().legs[place])
    return desk.refund()


def bounces(desk: Desk, refund: Refund, why: str = "expired_or_canceled_card") -> None:
    """A webhook tells that the money of its first leg came back."""
    leg = desk.order.refund(refund.id).legs[0]  # type: ignore[union-attr]
    state = RefundState(
        *(leg.psp_refund_id, "failed", leg.amount, desk.order.currency, leg.id, leg.epoch),
        failure_reason=why,
    )
    desk.hear(state)


def again(desk: Desk, refund: Refund, status: Any = "succeeded") -> None:
    """The provider says that it has paid after all."""
    leg = desk.order.refund(refund.id).legs[0]  # type: ignore[union-attr]
    desk.hear(desk.state(status, leg))
    desk.due_reread()
    desk.reread(desk.state(status, leg))


def fallbacks(desk: Desk) -> list[Refund]:
    return [refund for refund in desk.order.refunds if refund.fallback_of]


def why(desk: Desk, fact: Any, actor: str = "person:lead") -> str:
    refused = desk.tell(fact, actor).refused
    return str(refused.reason) if refused else ""


def payable(desk: Desk) -> tuple[int, int]:
    lines = [p for e in desk.entries for p in e.postings if p.account == "refunds_payable"]
    return -sum(p.amount for p in lines), -sum(p.functional for p in lines)


def total(desk: Desk) -> dict[str, int]:
    """What stands on each account."""
    names = {p.account for e in desk.entries for p in e.postings}
    return {name: desk.balance(name) for name in sorted(names) if desk.balance(name)}


# -- it starts ---------------------------------------------------------------------------------


def test_edge_08_a_late_failure_becomes_store_credit() -> None:
    """In the same decision, without touching the claim or its credit note."""
    desk = desk_with()
    refund = paid(desk)
    booked = desk.kinds()
    assert booked == ["claim", "payout"]
    bounces(desk, refund)
    (fallback,) = fallbacks(desk)
    assert (fallback.fallback_of, fallback.amount) == (refund.id, 3200)
    assert (shown_state(fallback), shown_state(desk.refund(0))) == ("succeeded", "failed")
    assert [(g.kind, g.state, g.pays_for) for g in fallback.legs] == [
        ("credit", "succeeded", refund.legs[0].id)
    ]
    assert desk.kinds() == [*booked, "payout_failed", "payout"]
    assert desk.entries[-1].holder == "c-1"
    assert payable(desk) == (0, 0)
    assert total(desk) == {"sales_returns": 2667, "store_credit": -3200, "tax_payable": 533}
    assert desk.order.remaining == 10_200 - 3200
    assert desk.events[-1].body["fallback_of"] == refund.id


def test_edge_08_the_default_is_no_fallback() -> None:
    desk = desk_with("none")
    bounces(desk, paid(desk))
    assert not fallbacks(desk)
    assert payable(desk) == (3200, 3200)


@pytest.mark.parametrize("units", [1, 3])
def test_edge_26_the_lawful_default_is_a_persons_task(units: int) -> None:
    desk = desk_with("manual")
    refund = paid(desk, lines=(LinePick("1", units),))
    amount = 3200 * units
    bounces(desk, refund)
    (fallback,) = fallbacks(desk)
    assert shown_state(fallback) == "review"
    task = refund_view(desk.order, fallback)["task"]
    assert (task["what"], task["amount"], task["customer"]) == ("manual_payout", amount, "c-1")
    assert "expired_or_canceled_card" in task["why"]
    original = refund_view(desk.order, desk.refund(0))
    assert (original["task"], original["fallbacks"]) == (None, [fallback.id])
    assert why(desk, Approved(fallback.id)) == "wrong_state"
    assert why(desk, PaidOutside(fallback.id, "SEPA-1")) == ""
    assert shown_state(desk.refund()) == "succeeded"
    assert payable(desk) == (0, 0)
    assert desk.balance("manual_payouts") == -amount


@pytest.mark.parametrize(
    "fields", [{"consent": ""}, {"statutory": True}, {"statutory": True, "consent": ""}]
)
def test_edge_26_store_credit_takes_consent_and_never_a_claim_by_law(fields: Any) -> None:
    desk = desk_with()
    bounces(desk, paid(desk, **fields))
    (fallback,) = fallbacks(desk)
    assert (shown_state(fallback), fallback.legs[0].kind) == ("review", "manual")
    assert desk.balance("store_credit") == 0


def test_a_leg_refused_for_good_falls_back_and_its_claim_stands() -> None:
    """The method is closed: nothing was paid, and the credit note is not reversed."""
    desk = desk_with()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),), consent="ticket-7")))
    desk.due()
    desk.answer(Declined("expired_card"))
    assert len(fallbacks(desk)) == 1
    assert desk.kinds() == ["claim", "payout"]
    assert total(desk) == {"sales_returns": 2667, "store_credit": -3200, "tax_payable": 533}


def test_what_may_have_been_taken_by_others_does_not_fall_back() -> None:
    """ "Already refunded" is for a look at the provider; a disputed payment pays the customer."""
    desk = desk_with()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
    desk.due()
    desk.answer(Declined("charge_already_refunded", kind="refunded"))
    assert not fallbacks(desk)
    desk = desk_with()
    refund = paid(desk)
    bounces(desk, refund, "charge_for_pending_refund_disputed")
    assert not fallbacks(desk)
    desk = desk_with()
    refund = paid(desk)
    open_ = DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", "needs_response", True, 0)
    desk.tell(open_, f"connection:{STRIPE}")
    bounces(desk, refund)
    assert not fallbacks(desk)
    assert payable(desk) == (3200, 3200)


def test_a_cancellation_there_is_nobodys_failure() -> None:
    desk = desk_with()
    refund = paid(desk)
    desk.hear(desk.state("canceled", refund.legs[0]))
    assert not fallbacks(desk)


def test_a_gift_card_beside_it_stays_credited() -> None:
    desk = desk_with(tenders=(card(7200), TenderIn(3000, "gift_card", reference="GC-1")))
    refund = paid(desk, lines=())
    bounces(desk, refund)
    (fallback,) = fallbacks(desk)
    assert fallback.amount == 7200
    assert (desk.balance("gift_cards"), desk.balance("store_credit")) == (-3000, -7200)
    assert payable(desk) == (0, 0)


# -- never both --------------------------------------------------------------------------------


def test_edge_09_store_credit_is_taken_back_when_the_provider_pays_after_all() -> None:
    desk = desk_with()
    refund = paid(desk)
    bounces(desk, refund)
    again(desk, refund)
    (fallback,) = fallbacks(desk)
    assert (shown_state(fallback), shown_state(desk.refund(0))) == ("canceled", "succeeded")
    (told,) = [e.body for e in desk.events if e.body.get("what") == "double_benefit"]
    assert (told["fallback"], told["clawed_back"]) == (fallback.id, 3200)
    assert payable(desk) == (0, 0)
    assert total(desk) == {"clearing:stripe-eu": -3200, "sales_returns": 2667, "tax_payable": 533}
    assert [e.holder for e in desk.entries] == ["", "", "", "c-1", "c-1", ""]
    payment = desk.payment()
    assert (payment.refunded_ours, payment.credited_ours, payment.external) == (3200, 0, 0)


def test_edge_09_a_payout_not_made_yet_is_called_off() -> None:
    desk = desk_with("manual")
    refund = paid(desk)
    bounces(desk, refund)
    again(desk, refund, "requires_action")
    (fallback,) = fallbacks(desk)
    assert (shown_state(fallback), fallback.legs[0].failure) == ("canceled", "paid_before")
    assert why(desk, PaidOutside(fallback.id, "SEPA-1")) == "wrong_state"
    assert "double_benefit" not in desk.raised()
    assert not [row for row in desk.rows.values() if row.kind == "deadline"]


@pytest.mark.parametrize("lines", [1, 3])
def test_edge_09_a_payout_that_was_made_is_told_to_a_person(lines: int) -> None:
    """Whether or not there is room left on the payment; and it is on the books."""
    desk = desk_with("manual")
    refund = paid(desk, lines=(LinePick("1", lines),), shipping="full")
    amount = refund.amount
    bounces(desk, refund)
    desk.tell(PaidOutside(fallbacks(desk)[0].id, "SEPA-1"), "person:lead")
    again(desk, refund)
    assert "double_benefit" in desk.raised()
    assert payable(desk)[0] == -amount, "the customer owes it"
    assert desk.balance("manual_payouts") == -amount
    assert desk.payment().refunded_ours + desk.payment().external == amount


def test_edge_09_it_bounces_again_after_all() -> None:
    """No second fallback: the claim is owed, and a person sees it."""
    desk = desk_with()
    refund = paid(desk)
    bounces(desk, refund)
    again(desk, refund)
    leg = desk.refund(0).legs[0]
    desk.hear(desk.state("failed", leg))
    desk.due_reread()
    desk.reread(desk.state("failed", leg))
    assert shown_state(desk.refund(0)) == "failed"
    assert len(fallbacks(desk)) == 1
    assert payable(desk) == (3200, 3200)
    assert refund_view(desk.order, desk.refund(0))["task"]["amount"] == 3200
    assert why(desk, PaidOutside(refund.id, "SEPA-1")) == ""
    assert payable(desk) == (0, 0)


@pytest.mark.parametrize("policy", ["manual", "store_credit"])
def test_edge_08_a_failure_told_twice_falls_back_once(policy: Any) -> None:
    desk = desk_with(policy)
    refund = paid(desk)
    for _ in range(3):
        bounces(desk, refund)
    assert len(fallbacks(desk)) == 1


@pytest.mark.parametrize("policy", ["manual", "store_credit"])
def test_the_original_is_left_alone_while_its_fallback_lives(policy: Any) -> None:
    desk = desk_with(policy)
    refund = paid(desk)
    bounces(desk, refund)
    for fact in (Retried(refund.id), PaidOutside(refund.id, "SEPA-1"), Canceled(refund.id)):
        told = desk.tell(fact, "person:lead").refused
        assert told is not None
        assert str(told.reason) == "fallback_pays"
        assert told.extra["fallback"] == fallbacks(desk)[0].id


@pytest.mark.parametrize("end", [Rejected, Canceled])
@pytest.mark.parametrize("late", [True, False])
def test_a_declined_fallback_leaves_the_claim_owed(end: Any, late: bool) -> None:
    """As before: it can be tried again, paid by hand or given up; nothing falls back anew."""
    for then in ("retry", "payout", "cancel", "ask"):
        desk = desk_with("manual")
        if late:
            refund = paid(desk)
            bounces(desk, refund)
        else:
            desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
            desk.due()
            desk.answer(Declined("expired_card"))
            refund = desk.refund(0)
        assert why(desk, end(fallbacks(desk)[0].id)) == ""
        assert payable(desk) == (3200, 3200)
        if then == "payout":
            assert why(desk, PaidOutside(refund.id, "SEPA-1")) == ""
        elif then == "cancel":
            assert why(desk, Canceled(refund.id)) == ""
        elif then == "retry":
            assert why(desk, Retried(refund.id)) == ""
            leg = desk.refund(0).legs[-1]
            desk.due(leg)
            desk.answer(Declined("expired_card"), desk.refund(0).legs[-1])
            assert (len(fallbacks(desk)), payable(desk)) == (1, (3200, 3200))
        else:
            desk.tell(RefundRequested(RefundIn()))
            assert desk.refund().takes_over == (refund.id,)
            assert desk.refund().amount == 10_200
        if then in ("payout", "cancel"):
            assert payable(desk) == (0, 0)


def test_edge_08_a_new_request_does_not_take_what_the_fallback_pays() -> None:
    for policy in ("manual", "store_credit"):
        desk = desk_with(policy)
        bounces(desk, paid(desk))
        desk.tell(RefundRequested(RefundIn()))
        asked = desk.refund()
        assert (asked.amount, asked.takes_over) == (7000, ())
        assert sum(line.quantity for line in asked.breakdown.lines) == 2


@pytest.mark.parametrize("policy", ["manual", "store_credit"])
@pytest.mark.parametrize("first", range(3300, 3340, 3))
def test_one_leg_of_several_falls_back_and_the_claim_comes_to_zero(policy: Any, first: int) -> None:
    """In the functional currency too, where the parts are rounded."""
    cards = (card(first), card(10_201 - first, None, "pi_2"))
    report = contract_order(currency="USD", customer=WHO, tenders=cards)
    desk = Desk(report, policy=built_in(10**9, fallback=policy))
    refund = paid(desk, lines=())
    bounces(desk, refund)
    (fallback,) = fallbacks(desk)
    assert fallback.amount == first
    second = desk.refund(0).legs[1]
    desk.hear(desk.state("failed", second), "pi_2")
    assert [one.amount for one in fallbacks(desk)] == [first, 10_201 - first]
    if policy == "manual":
        for one in fallbacks(desk):
            desk.tell(PaidOutside(one.id, "SEPA-1"), "person:lead")
    assert payable(desk) == (0, 0)


def test_whoever_asked_does_not_pay_it_out_alone() -> None:
    desk = Desk(contract_order(), policy=built_in(10**9, second_person=True, fallback="manual"))
    refund = paid(desk)
    bounces(desk, refund)
    (fallback,) = fallbacks(desk)
    assert why(desk, PaidOutside(fallback.id, "SEPA-1"), refund.requested_by) == "self_approval"
    assert why(desk, PaidOutside(fallback.id, "SEPA-1")) == ""


def test_the_fallback_is_part_of_the_policy() -> None:
    ways: list[Any] = ["none", "manual", "store_credit"]
    assert len({built_in(1, fallback=way).version for way in ways}) == 3
    assert built_in(1).version == built_in(1, fallback="none").version


def test_what_a_look_up_finds_failed_falls_back_too() -> None:
    desk = desk_with()
    refund = paid(desk)
    leg = refund.legs[0]
    state = RefundState(leg.psp_refund_id, "failed", leg.amount, "EUR", leg.id, leg.epoch)
    desk.hear(desk.state("requires_action", leg))
    desk.due_reread()
    desk.reread(state)
    assert len(fallbacks(desk)) == 1


# -- what others did meanwhile -----------------------------------------------------------------


def dashboard(desk: Desk, amount: int) -> None:
    """Somebody gave money back at the provider, and it is told."""
    desk.hear(RefundState("re_people", "succeeded", amount, desk.order.currency))


def test_money_that_others_gave_back_is_not_given_again() -> None:
    """Neither where it would overdraw the payment, nor where a review holds what is left of it."""
    desk = desk_with()
    desk.tell(RefundRequested(RefundIn(consent="ticket-7")))
    desk.due()
    dashboard(desk, 10_200)
    desk.answer(Declined("charge_already_refunded"), desk.leg(0))
    assert (fallbacks(desk), payable(desk)) == ([], (0, 0))
    desk = desk_with()
    refund = paid(desk)
    desk.policy = built_in(100, fallback="store_credit")
    desk.tell(RefundRequested(RefundIn()))
    dashboard(desk, 3200)
    bounces(desk, refund)
    assert (fallbacks(desk), payable(desk)) == ([], (3200, 3200))
    desk.tell(Rejected(desk.order.refunds[1].id), "person:lead")
    assert not fallbacks(desk), "what fell due then is not started by something else later"


def test_what_a_review_takes_over_does_not_fall_back() -> None:
    two = (card(4000), card(6200, None, "pi_2"))
    for approved in (False, True):
        desk = desk_with("none", tenders=two)
        refund = paid(desk, lines=())
        bounces(desk, refund)
        desk.policy = built_in(10**9 if approved else 100, fallback="store_credit")
        desk.tell(RefundRequested(RefundIn()))
        assert desk.refund().takes_over == (refund.id,)
        second = desk.refund(0).legs[1]
        desk.hear(desk.state("failed", second), "pi_2")
        started = [one.amount for one in fallbacks(desk)]
        assert started == ([6200] if approved else []), "only what the other one has not taken over"


def test_a_first_try_that_was_replaced_does_not_fall_back() -> None:
    """It was tried again and paid; the first one pays as well, and comes back."""
    desk = desk_with("none")
    refund = paid(desk)
    first = refund.legs[0]
    bounces(desk, refund)
    desk.tell(Retried(refund.id), "person:lead")
    desk.due(desk.leg())
    desk.answer(Accepted(refund=desk.state("succeeded", desk.leg(), "re_again")))
    again(desk, refund)
    desk.policy = built_in(10**9, fallback="store_credit")
    state = desk.state("failed", first)
    desk.hear(state)
    while [row for row in desk.rows if row.endswith("_all")]:
        desk.due_reread()
        desk.reread(state, desk.state("succeeded", desk.leg()))
    assert [leg.state for leg in desk.refund(0).legs] == ["failed", "succeeded"]
    assert not fallbacks(desk)


def test_units_that_a_fallback_pays_for_are_gone() -> None:
    """Also where the order was paid more than its lines say."""
    desk = desk_with("manual", tenders=(card(20_000),))
    bounces(desk, paid(desk))
    refused = desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 3),)))).refused
    assert refused is not None
    assert str(refused.reason) == "exceeds_quantity"


def test_what_a_fallback_pays_is_not_owed_beside_it() -> None:
    """So a request that leaves enough for what is owed takes no claim over."""
    desk = desk_with("manual")
    bounces(desk, paid(desk))
    desk.tell(Rejected(fallbacks(desk)[0].id), "person:lead")
    desk.policy = built_in(10**9, fallback="store_credit")
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),), consent="ticket-7")))
    leg = desk.leg()
    desk.due(leg)
    desk.answer(Declined("expired_card"), desk.legs()[-1][1])
    assert [shown_state(one) for one in fallbacks(desk)] == ["declined", "succeeded"]
    desk.tell(RefundRequested(RefundIn(amount=3800)))
    assert (desk.refund().amount, desk.refund().takes_over) == (3800, ())


# -- any sequence ------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 6000)),
    st.tuples(st.sampled_from(["bounce", "bounce", "after all", "again"]), st.integers(0, 9)),
    st.tuples(st.sampled_from(["refuse", "hand", "hand", "reject", "cancel"]), st.integers(0, 9)),
    st.tuples(st.sampled_from(["retry", "send", "send"]), st.integers(0, 9)),
)


class Tale:
    """One order paid by a card, a gift card or both, and what the provider knows of its refunds."""

    def __init__(self, policy: Any, consent: str) -> None:
        tenders = (card(8200), TenderIn(2000, "gift_card", reference="GC-1"))
        report = contract_order(customer=WHO, tenders=tenders, currency="USD")
        self.desk = Desk(report, policy=built_in(10**9, fallback=policy))
        self.consent = consent
        self.there: dict[str, str] = {}  # what became of each leg that was sent

    def step(self, what: str, number: int) -> None:
        order = self.desk.order
        refund = order.refunds[number % len(order.refunds)] if order.refunds else None
        facts: dict[str, Any] = {
            "hand": PaidOutside(refund.id if refund else "", "SEPA-1"),
            "reject": Rejected(refund.id if refund else ""),
            "cancel": Canceled(refund.id if refund else ""),
            "retry": Retried(refund.id if refund else ""),
        }
        if what == "ask":
            self.desk.tell(RefundRequested(RefundIn(amount=number, consent=self.consent)))
        elif what in facts and refund is not None:
            self.desk.tell(facts[what], "person:lead")
        elif what in ("send", "refuse"):
            self.send("failed" if what == "refuse" else "succeeded")
        elif what in ("bounce", "after all", "again") and self.there:
            name = list(self.there)[number % len(self.there)]
            self.tell(name, {"bounce": "failed", "after all": "succeeded"}.get(what, ""))

    def legs(self) -> dict[str, Leg]:
        return {leg.id: leg for _, leg in self.desk.legs()}

    def send(self, end: str) -> None:
        for leg in self.legs().values():
            if leg.state == "sending" and not leg.attempts:
                self.desk.due(leg)
                now = self.legs()[leg.id]
                if end == "failed" and now.attempts:
                    self.desk.answer(Declined("expired_card"), now)
                elif now.attempts:
                    self.there[leg.id] = "succeeded"
                    self.desk.answer(Accepted(refund=self.state(leg.id)), now)
                return

    def tell(self, name: str, status: str) -> None:
        """Moved there where it can, told, and looked at should the order want that."""
        gone = sum(self.legs()[n].amount for n, s in self.there.items() if s == "succeeded")
        room = status != "succeeded" or gone + self.legs()[name].amount <= 8200
        if status and room:
            self.there[name] = status
        self.desk.hear(self.state(name))
        while [row for row in self.desk.rows.values() if row.id.endswith("_all")]:
            self.desk.due_reread()
            self.desk.reread(*(self.state(other) for other in self.there))

    def state(self, name: str) -> RefundState:
        status: Any = self.there[name]
        return self.desk.state(status, self.legs()[name], f"re_{name}")

    def check(self) -> None:
        legs = self.legs()
        pays = [leg for leg in legs.values() if leg.pays_for]
        assert len({leg.pays_for for leg in pays}) == len(pays), "a second fallback"
        for leg in pays:
            if leg.state not in ("failed", "canceled") and legs[leg.pays_for].state != "failed":
                assert (leg.kind, leg.state) == ("manual", "succeeded"), "both pay"
                assert "double_benefit" in self.desk.raised()
            assert leg.kind == "manual" or self.consent
        own = [r for r in self.desk.order.refunds if not r.external]
        paid = sum(g.amount for r in own for g in r.legs if g.paid_at)
        assert payable(self.desk)[0] == sum(r.claimed for r in own) - paid
        if not payable(self.desk)[0] and all(r.claimed in (0, r.amount) for r in own):
            assert payable(self.desk)[1] == 0
        credits = [g for g in legs.values() if g.kind == "credit" and g.state == "succeeded"]
        cards = sum(g.amount for g in credits if not self.desk.order.payment(g.payment).is_money)
        assert self.desk.balance("gift_cards") == -cards
        assert self.desk.balance("store_credit") == cards - sum(g.amount for g in credits)
        held = {p.id for p in self.desk.order.payments if not p.is_money}
        assert {g.kind for g in legs.values() if g.payment in held} <= {"credit"}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["manual", "store_credit"]),
    st.sampled_from(["", "ticket-7"]),
    st.lists(STEPS, min_size=4, max_size=25),
)
def test_edge_09_whatever_happens_both_do_not_pay(
    policy: str, consent: str, steps: list[tuple[str, int]]
) -> None:
    tale = Tale(policy, consent)
    for what, number in (("ask", 3000), ("send", 0), ("bounce", 0), *steps):
        tale.step(what, number)
        tale.check()
