"""A person gives less than was asked for: the same things, the same ways, and a part kept back."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.decision import Method
from amends.core.facts import Approved, PaidOutside, RefundRequested
from amends.core.order import shown_state
from amends.core.policy import with_table
from amends.core.reasons import Reason
from amends.core.requests import (
    LineIn,
    LinePick,
    PaymentKey,
    PeriodIn,
    RefundIn,
    TenderPick,
    UnusedIn,
)
from amends.kernel.outcome import Declined
from amends.kernel.time import DAY
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order
from tests.core.test_policy import TEA, asked, policy
from tests.core.test_policy_options import LEAD, TWO, bought, look, refusal, yes


def test_a_person_gives_less_and_the_units_and_taxes_follow_the_same_rules() -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk, RefundIn(lines=(LinePick("1", 2),), shipping="full"))
    assert refusal(desk, Approved(refund.id, refund.shown, amount=5000)) is None
    before, after = desk.order.refunds
    assert (shown_state(before), shown_state(after)) == ("declined", "sending")
    assert (after.amount, after.instead_of, after.decided_by) == (5000, refund.id, LEAD)
    assert after.requested_by == refund.requested_by
    assert [(x.id, x.quantity) for x in after.breakdown.lines] == [("1", 2)]
    assert [fee.kind for fee in after.breakdown.fees] == ["reduction"]
    assert after.breakdown.fees[0].gross == refund.amount - 5000
    rest = asked(desk, RefundIn())
    assert rest.amount == 10_200 - refund.amount, "what was kept back is not left"


def test_an_amount_is_cut_too_and_never_raised() -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk, RefundIn(amount=900, reason="goodwill"))
    assert refusal(desk, Approved(refund.id, amount=901)) is Reason.VALIDATION
    assert refusal(desk, Approved(refund.id, amount=400)) is None
    assert [r.amount for r in desk.order.refunds] == [900, 400]


@pytest.mark.parametrize(
    "request_",
    [
        RefundIn(payment=PaymentKey(STRIPE, "pi_2"), amount=2000, reason="goodwill"),
        RefundIn(amount=2000, reason="goodwill", tenders="last_in_first_out"),
        replace(TEA, tenders=(TenderPick("pi_2", 2000), TenderPick("pi_1", 1200))),
    ],
)
def test_less_goes_back_the_ways_that_were_shown(request_: RefundIn) -> None:
    """And not the way the policy would have taken: the approver saw another card."""
    desk = Desk(contract_order(**TWO), policy=policy(look()))
    refund = asked(desk, request_)
    assert refusal(desk, Approved(refund.id, refund.shown, amount=refund.amount - 400)) is None
    shown = {leg.payment: leg.amount for leg in refund.legs}
    given = {leg.payment: leg.amount for leg in desk.refund().legs}
    assert sum(given.values()) == refund.amount - 400
    assert all(amount <= shown[name] for name, amount in given.items()), (shown, given)


def test_less_of_store_credit_is_store_credit() -> None:
    rich = yes(store_credit_first=True, wait_for_receipt=True)
    desk = Desk(bought(), policy=policy(rich))
    refund = asked(desk, replace(TEA, consent="ticket-7"))
    assert refusal(desk, Approved(refund.id, refund.shown, amount=1000)) is None
    assert [(leg.kind, leg.amount) for leg in desk.refund().legs] == [("credit", 1000)]


def test_less_of_what_its_provider_pays_no_more_is_not_sent() -> None:
    terms = replace(TERMS, methods=(Method("", within=180 * DAY),))
    desk = Desk(policy=policy(look()), terms={STRIPE: terms})
    desk.now += 179 * DAY
    refund = asked(desk)
    desk.now += 5 * DAY
    assert refusal(desk, Approved(refund.id, refund.shown, amount=100)) is Reason.WRONG_STATE
    assert shown_state(desk.refund()) == "review"


def test_less_of_unused_time_is_for_that_time() -> None:
    period = PeriodIn("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", by="day")
    line = LineIn("plan", 1, 3000, period=period)
    plan = contract_order(lines=(line,), shipping=(), tenders=(card(3000),))
    for end in (None, "2026-11-21T00:00:00Z"):
        desk = Desk(plan, policy=policy(look()))
        time = (UnusedIn("plan", "2026-11-16T00:00:00Z", end),)
        refund = asked(desk, RefundIn(reason="subscription", unused=time))
        assert refusal(desk, Approved(refund.id, refund.shown, amount=400)) is None
        after = desk.refund()
        assert (after.amount, after.breakdown.unused) == (400, refund.breakdown.unused)
        again = desk.tell(RefundRequested(RefundIn(reason="subscription", unused=time))).refused
        assert again and again.reason is Reason.TIME_REFUNDED


@pytest.mark.parametrize("order", [{}, {"lines": (), "shipping": ()}])
def test_edge_26_what_the_law_grants_is_not_cut(order: dict[str, Any]) -> None:
    desk = Desk(contract_order(**order), policy=policy(look()))
    request_ = RefundIn(amount=3200, statutory=True) if order else replace(TEA, statutory=True)
    refund = asked(desk, request_)
    assert refusal(desk, Approved(refund.id, amount=100)) is Reason.FEE_NOT_ALLOWED
    assert shown_state(desk.refund()) == "review" and len(desk.order.refunds) == 1


CARE = look(approver="finance", second_person=True)


def nobody_but_finance_and_another(desk: Desk) -> None:
    """What is in its place is paid by hand, but not by whoever asked, nor by a lower role."""
    paid = PaidOutside(desk.refund().id, "T-1", shown=desk.refund().shown, role="finance")
    assert refusal(desk, paid, "person:anna") is Reason.SELF_APPROVAL
    assert refusal(desk, replace(paid, role="reviewer")) is Reason.ROLE_TOO_LOW
    assert refusal(desk, paid) is None


def fails(desk: Desk) -> None:
    desk.due()
    desk.answer(Declined("expired_card", "no"))


def test_edge_25_less_is_paid_by_hand_by_whom_the_whole_may() -> None:
    desk = Desk(policy=policy(CARE))
    refund = asked(desk, actor="person:anna")
    assert refusal(desk, Approved(refund.id, refund.shown, "finance", 1000)) is None
    fails(desk)
    nobody_but_finance_and_another(desk)


def test_edge_25_a_fallback_is_paid_by_whom_the_refund_may() -> None:
    made = policy(CARE)
    desk = Desk(policy=with_table(replace(made, fallback="manual"), made.table))
    refund = asked(desk, actor="person:anna")
    assert refusal(desk, Approved(refund.id, refund.shown, "finance")) is None
    fails(desk)
    assert desk.refund().fallback_of == refund.id
    nobody_but_finance_and_another(desk)


def test_edge_25_small_amounts_together_are_paid_by_whom_each_may() -> None:
    """Also where the last of them may be paid by anybody."""
    careful = replace(CARE, when="refund.amount > 250")
    made = policy(careful, yes())
    amounts = Amounts(minimum=(("EUR", 500),), below_minimum="hold")
    desk = Desk(policy=with_table(replace(made, amounts=amounts), made.table))
    for amount in (300, 200):
        refund = asked(desk, RefundIn(amount=amount, reason="goodwill"), "person:anna")
        if shown_state(refund) == "review":
            assert refusal(desk, Approved(refund.id, refund.shown, "finance")) is None
    fails(desk)
    nobody_but_finance_and_another(desk)
