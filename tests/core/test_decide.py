"""The one function every change passes through: closed, pure, and loud about defects."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from amends.core.decide import HANDLERS, decide, park, quote
from amends.core.decision import Ctx
from amends.core.facts import (
    Addressed,
    Answered,
    Approved,
    Fact,
    Recorded,
    RefundRequested,
    decode_addressed,
    encode_fact,
)
from amends.core.order import LegState, Order, Verdict, remaining, room_of, shown_state, voidable
from amends.core.policy import Seen, built_in, judge
from amends.core.requests import RefundIn
from amends.core.risk import Features, Score, score
from amends.kernel.outcome import Accepted, Declined, NotSent, PaymentState, Unknown
from amends.kernel.time import DAY
from tests.core.desk import START, Desk, card, contract_order, recorded_id

REVIEW = built_in(0)


def test_every_fact_has_one_handler() -> None:
    assert set(HANDLERS) == set(get_args(Fact))


def test_deciding_changes_none_of_its_inputs() -> None:
    desk = Desk()
    before = msgspec.json.encode(desk.order)
    recorded = Recorded(recorded_id(9), desk.now, "key:a", RefundRequested(RefundIn()))
    first = decide(desk.order, recorded, desk.ctx())
    assert decide(desk.order, recorded, desk.ctx()) == first
    assert msgspec.json.encode(desk.order) == before


def test_a_quote_commits_nothing() -> None:
    desk = Desk()
    before = desk.order
    recorded = Recorded(recorded_id(9), desk.now, "key:a", RefundRequested(RefundIn()))
    assert quote(desk.order, RefundIn(), recorded, desk.ctx()).amount == 10_200
    assert desk.order == before


def test_time_on_an_order_never_goes_back() -> None:
    """Another process's clock is behind."""
    desk = Desk()
    desk.now += DAY
    desk.tell(RefundRequested(RefundIn(amount=100)))
    desk.now -= DAY
    desk.tell(RefundRequested(RefundIn(amount=100)))
    instants = [event.at for event in desk.events]
    assert instants == sorted(instants)


def test_the_context_is_in_every_event() -> None:
    desk = Desk()
    ctx = desk.ctx()
    assert ctx.digest == replace(ctx).digest
    assert ctx.digest != replace(ctx, now=ctx.now + 1).digest
    assert ctx.digest != replace(ctx, policy=REVIEW).digest
    assert ctx.digest != replace(ctx, terms={}).digest
    assert all(len(event.ctx) == 64 for event in desk.events)


def test_an_event_says_who_why_and_what_the_provider_called_it() -> None:
    """I10."""
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(reason="damaged"), note_hash="abc"), "key:support")
    desk.due()
    desk.accept()
    requested = next(e for e in desk.events if e.type == "refund.requested")
    assert (requested.actor, requested.body["reason"]) == ("key:support", "damaged")
    assert requested.body["note"] == "abc"
    sending = next(e for e in desk.events if e.type == "leg.sending")
    assert sending.body["psp_payment_id"] == "pi_1"
    moved = next(e for e in desk.events if e.type == "leg.moved")
    assert moved.body["psp_refund_id"] == desk.leg().psp_refund_id
    assert moved.actor == "connection:stripe-eu"


def test_a_refusal_is_on_the_trail_and_nothing_else() -> None:
    desk = Desk()
    decision = desk.tell(Approved("rf_none"), "key:eve")
    (event,) = decision.events
    assert event.body == {"reason": "unknown_refund", "asked": "Approved"}
    assert event.actor == "key:eve"


def test_parking_keeps_the_reason_on_the_trail() -> None:
    desk = Desk()
    recorded = Recorded(recorded_id(9), desk.now, "system:turn", RefundRequested(RefundIn()))
    decision = park(desk.order, recorded, desk.ctx(), "InvariantBroken")
    assert decision.order.parked == "InvariantBroken"
    assert decision.events[0].body == {"why": "InvariantBroken", "fact": recorded.id}


FACTS = [
    RefundRequested(RefundIn(amount=5)),
    Answered("leg_1", 1, 2, Unknown("timeout", stored=True)),
    Answered("leg_1", 1, 2, Declined("no", payment=PaymentState(captured=3))),
    Answered("leg_1", 1, 2, NotSent("refused", retry_after=5)),
    Answered("leg_1", 1, 2, Accepted(reference="req_1")),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda f: type(getattr(f, "outcome", f)).__name__)
def test_a_fact_can_wait_on_disk_and_come_back_unchanged(fact: Fact) -> None:
    stored = msgspec.json.encode(Addressed(fact, "ord_1"))
    assert decode_addressed(stored).fact == fact
    assert encode_fact(fact) in stored


# -- numbers of an order -----------------------------------------------------------------------


def test_what_is_left_counts_everything_that_left() -> None:
    payment = replace(
        Desk().payment(),
        pending_ours=1000,
        refunded_ours=200,
        credited_ours=30,
        external=4000,
        disputed=500,
        voiding=6,
    )
    assert remaining(payment) == 10_200 - 5736
    assert remaining(replace(payment, disputed=99_999)) == 0
    assert voidable(payment) == 0


def test_what_is_left_of_an_authorization() -> None:
    payment = Desk(contract_order(tenders=(card(10_200, 0),))).payment()
    assert (remaining(payment), voidable(payment), room_of(payment)) == (0, 10_200, 10_200)
    assert room_of(replace(payment, voiding=200, voided=1000)) == 9000


SHOWN: list[tuple[tuple[LegState, ...], str]] = [
    (("succeeded", "unknown"), "unknown"),
    (("succeeded", "requires_action", "sending"), "requires_action"),
    (("succeeded", "awaiting_funds"), "awaiting_funds"),
    (("pending", "sending"), "sending"),
    (("succeeded", "pending"), "pending"),
    (("succeeded", "failed"), "failed"),
    (("succeeded", "canceled"), "failed"),  # the provider canceled a part: it is still owed
    (("canceled",), "canceled"),
]


@pytest.mark.parametrize(("states", "shown"), SHOWN)
def test_a_refund_shows_the_first_of_its_legs_states(
    states: tuple[LegState, ...], shown: str
) -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(amount=5)))
    legs = tuple(replace(desk.leg(), state=state) for state in states)
    refund = replace(desk.refund(), legs=legs)
    assert shown_state(refund) == shown
    assert shown_state(replace(refund, stage="declined")) == "declined"


# -- policy and risk ---------------------------------------------------------------------------


def judged(amount: int = 100, house: str = "", risk: int = 0) -> Verdict:
    values = {"refund.amount": amount, "risk.score_bp": risk}
    return judge(Seen(values, Score(risk, "scorecard"), house, False), built_in(100)).verdict


def test_the_built_in_policy() -> None:
    assert judged().rule == "small-and-trusted"
    assert judged(101).rule == "above-auto-approve"
    assert judged(house="payment-disputed").rule == "payment-disputed"
    risky = judged(risk=5000)
    assert (risky.rule, risky.outcome) == ("risk-high", "review"), "a score declines nobody"


def test_the_policys_version_is_its_content() -> None:
    assert built_in(100).version == built_in(100).version
    assert built_in(100).version != built_in(101).version
    assert built_in(100, True).version != built_in(100).version


def test_the_score_is_bounded_and_says_why() -> None:
    assert score(Features()) == (100, ())
    total, reasons = score(Features(99, 10_000, 1, 99, 1))
    assert (total, len(reasons)) == (8150, 5)


def test_the_policy_is_asked_in_the_functional_currency() -> None:
    """10.200 JPY are 62.22 EUR at the configured rate."""
    desk = Desk(contract_order(currency="JPY"), policy=built_in(6222))
    desk.tell(RefundRequested(RefundIn()))
    assert shown_state(desk.refund()) == "sending"
    desk = Desk(contract_order(currency="JPY"), policy=built_in(6221))
    desk.tell(RefundRequested(RefundIn()))
    assert shown_state(desk.refund()) == "review"


def test_an_empty_context_has_no_terms() -> None:
    ctx = Ctx(START, REVIEW, "EUR")
    assert dict(ctx.terms) == {}
    assert isinstance(Desk().order, Order)
