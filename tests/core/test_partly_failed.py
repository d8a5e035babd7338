"""One leg of a refund fails for good while another pays: what is owed, and how it ends."""

from __future__ import annotations

from collections import Counter

import pytest

from amends.core.facts import (
    Answered,
    Canceled,
    EffectDue,
    LinesUnavailable,
    RefundRequested,
    Retried,
)
from amends.core.left import shrunk
from amends.core.legs import effect_id
from amends.core.order import Breakdown, LineShare, TaxShare, shown_state
from amends.core.reasons import Reason
from amends.core.requests import LineIn, LinePick, RefundIn, TaxIn
from amends.kernel.outcome import Accepted, Declined, RefundState, RefundStatus
from tests.core.desk import Desk, card, contract_order


def half_paid() -> Desk:
    """102.00 on two cards; 50.00 is paid back, 52.00 is declined."""
    order = contract_order(tenders=(card(5000), card(5200, name="pi_2")))
    desk = Desk(order)
    desk.tell(RefundRequested(RefundIn()))
    for number, leg in enumerate(desk.refund().legs, 1):
        desk.tell(EffectDue(effect_id(leg.id)))
        made = RefundState(f"re_{number}", "succeeded", leg.amount, "EUR", leg.id, 1)
        outcome = Accepted(refund=made) if number == 1 else Declined("charge_not_refundable")
        desk.tell(Answered(leg.id, 1, 1, outcome))
    assert shown_state(desk.refund()) == "failed"
    return desk


def half_pending() -> Desk:
    """90.00 of 102.00 on two cards: 50.00 is under way, 40.00 is declined."""
    desk = Desk(contract_order(tenders=(card(5000), card(5200, name="pi_2"))))
    desk.tell(RefundRequested(RefundIn(amount=9000)))
    for number, outcome in enumerate((pending, declined)):
        desk.due(desk.leg(number))
        outcome(desk, number)
    return desk


def half_released() -> Desk:
    """100.00, half of it captured and paid back, half only authorized and not released."""
    line = LineIn("1", 1, 10_000, taxes=(TaxIn("VAT", 2000),))
    both = (card(5000), card(5000, 0, name="pi_2"))
    desk = Desk(contract_order(lines=(line,), shipping=(), tenders=both))
    desk.tell(RefundRequested(RefundIn()))
    paid(desk, 0)
    desk.due(desk.leg(1))
    declined(desk, 1)
    return desk


def pending(desk: Desk, number: int) -> None:
    desk.accept("pending", desk.leg(number))


def declined(desk: Desk, number: int) -> None:
    desk.answer(Declined("expired_or_canceled_card"), desk.leg(number))


def paid(desk: Desk, number: int) -> None:
    desk.due(desk.leg(number))
    desk.accept(leg=desk.leg(number))


def balances(desk: Desk) -> Counter[str]:
    found: Counter[str] = Counter()
    for entry in desk.entries:
        for posting in entry.postings:
            found[posting.account] += posting.amount
    return found


def test_what_failed_is_owed_until_somebody_decides() -> None:
    desk = half_paid()
    assert balances(desk)["refunds_payable"] == -5200


def test_cancel_gives_up_what_failed() -> None:
    desk = half_paid()
    decision = desk.tell(Canceled(desk.refund().id))
    assert [e.type for e in decision.events] == ["refund.canceled"]
    assert decision.events[0].body["amount"] == 5200
    refund = desk.refund()
    assert (refund.amount, refund.breakdown.total, refund.claimed) == (5000, 5000, 5000)
    assert shown_state(refund) == "succeeded"
    found = balances(desk)
    assert (found["refunds_payable"], found["clearing:stripe-eu"]) == (0, -5000)
    assert found["sales_returns"] + found["shipping_refunds"] + found["tax_payable"] == 5000


def test_giving_up_an_authorization_that_was_not_released_books_nothing() -> None:
    """It was never owed: what was claimed is what was paid."""
    desk = half_released()
    assert [leg.kind for leg in desk.refund().legs] == ["refund", "void"]
    desk.tell(Canceled(desk.refund().id))
    assert (desk.refund().amount, desk.refund().claimed) == (5000, 5000)
    assert desk.kinds() == ["claim", "payout"]


def test_lines_of_an_authorization_that_was_not_released_are_asked_for_again() -> None:
    """Nobody is owed it, so a request takes its place, and what is asked for is on the lines."""
    desk = half_released()
    before = desk.refund().id
    decision = desk.tell(RefundRequested(RefundIn()))
    rest = LineShare("1", 1, 4000, (TaxShare("VAT", 1000),))
    assert desk.refund().breakdown == Breakdown(lines=(rest,))
    assert (desk.refund().takes_over, desk.refund(0).amount) == ((before,), 5000)
    assert decision.events[0].type == "refund.superseded"


def test_what_is_owed_is_not_given_up_for_its_lines() -> None:
    """The payments took more than the lines explain: what is asked for beside is there."""
    line = LineIn("1", 1, 10_000)
    both = (card(5000), card(7000, name="pi_2"))
    desk = Desk(contract_order(lines=(line,), shipping=(), tenders=both))
    desk.tell(RefundRequested(RefundIn(amount=10_000)))
    paid(desk, 0)
    desk.due(desk.leg(1))
    declined(desk, 1)
    desk.tell(RefundRequested(RefundIn(amount=2000)))
    assert (desk.refund().takes_over, desk.refund().breakdown) == ((), Breakdown(unallocated=2000))
    assert desk.refund(0).claimed == 10_000


def test_asking_for_the_rest_takes_its_tax_along() -> None:
    desk = half_paid()
    decision = desk.tell(RefundRequested(RefundIn()))
    assert [e.type for e in decision.events] == ["refund.superseded", "refund.requested"]
    again = desk.refund(1)
    assert (again.amount, again.breakdown.unallocated) == (5200, 0)
    found = balances(desk)
    assert found["tax_payable"] == 1700
    assert found["refunds_payable"] == -5200


@pytest.mark.parametrize("ends", ["succeeded", "failed"])
def test_all_that_is_left_beside_one_under_way_takes_over_what_failed(ends: RefundStatus) -> None:
    """The first refund is what may still be paid of it; all of both is all of the order."""
    desk = half_pending()
    desk.tell(RefundRequested(RefundIn()))
    assert [(r.amount, r.breakdown.total) for r in desk.order.refunds] == [
        (5000, 5000),
        (5200, 5200),
    ]
    paid(desk, 2)
    desk.hear(desk.state(ends, desk.leg(0)))
    if ends == "failed":
        desk.tell(RefundRequested(RefundIn()))
        paid(desk, 3)
    found = balances(desk)
    assert sum(payment.refunded_ours for payment in desk.order.payments) == 10_200
    assert (found["refunds_payable"], found["tax_payable"]) == (0, 1700)


def test_what_may_still_be_paid_is_not_canceled() -> None:
    desk = half_pending()
    decision = desk.tell(Canceled(desk.refund().id))
    assert decision.refused is not None and decision.refused.reason == Reason.WRONG_STATE


def test_refused_news_of_the_shop_gives_nothing_up() -> None:
    """The refund it would have made room for is not made."""
    desk = half_paid()
    before, owed = desk.refund(), balances(desk)
    decision = desk.tell(LinesUnavailable((LinePick("nobody", 1),)), actor="connection:shop-1")
    assert [e.type for e in decision.events] == ["lines.unavailable", "refund.refused"]
    assert (desk.refund(), balances(desk)) == (before, owed)


def test_a_small_goodwill_beside_it_leaves_it_owed() -> None:
    order = contract_order(tenders=(card(5000), card(5200, name="pi_2")))
    desk = Desk(order)
    desk.tell(RefundRequested(RefundIn(amount=9000)))
    for number, leg in enumerate(desk.refund().legs, 1):
        desk.tell(EffectDue(effect_id(leg.id)))
        made = RefundState(f"re_{number}", "succeeded", leg.amount, "EUR", leg.id, 1)
        outcome = Accepted(refund=made) if number == 1 else Declined("charge_not_refundable")
        desk.tell(Answered(leg.id, 1, 1, outcome))
    decision = desk.tell(RefundRequested(RefundIn(amount=500, reason="goodwill")))
    assert [e.type for e in decision.events] == ["refund.requested"]
    assert balances(desk)["refunds_payable"] == -4500


def test_retry_pays_what_failed() -> None:
    desk = half_paid()
    desk.tell(Retried(desk.refund().id))
    leg = desk.refund().legs[-1]
    desk.tell(EffectDue(effect_id(leg.id)))
    made = RefundState("re_3", "succeeded", leg.amount, "EUR", leg.id, 1)
    desk.tell(Answered(leg.id, 1, 1, Accepted(refund=made)))
    assert shown_state(desk.refund()) == "succeeded"
    assert balances(desk)["refunds_payable"] == 0


def test_a_shrunk_breakdown_sums_to_what_was_paid() -> None:
    whole = half_paid().refund().breakdown
    for amount in range(0, whole.total + 1, 97):
        less = shrunk(whole, amount)
        assert less.total == amount
        for was, now in zip(whole.lines, less.lines, strict=True):
            assert 0 <= now.gross <= was.gross
            assert now.quantity in (0, was.quantity)
    assert shrunk(whole, whole.total) == whole
    assert shrunk(Breakdown(unallocated=10), 4) == Breakdown(unallocated=4)
