"""A refund that had failed pays after all, and others took its place or parts meanwhile (I6)."""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.facts import Approved, Canceled, RefundRequested, Retried
from amends.core.left import left_over
from amends.core.order import shown_state
from amends.core.policy import built_in
from amends.core.reasons import Reason
from amends.core.requests import (
    FeeIn,
    LineAmount,
    LineIn,
    LinePick,
    OrderIn,
    PaymentKey,
    RefundIn,
)
from amends.core.shares import LineShare, TaxShare
from amends.kernel.outcome import Declined, RefundState
from tests.core.desk import STRIPE, Desk, card, contract_order
from tests.core.test_promotions import CLAWBACK, line, order_of

NOBODY = built_in(0)  # a person looks at every refund


def ends(desk: Desk, number: int, pays: bool) -> None:
    """A leg is sent, and pays or is declined for good."""
    desk.due(desk.leg(number))
    if pays:
        desk.accept(leg=desk.leg(number))
    else:
        desk.answer(Declined("expired_or_canceled_card"), desk.leg(number))


def bounces(desk: Desk, number: int) -> None:
    """What was paid comes back: it is owed still. Where it had come back before it is looked up."""
    leg = desk.leg(number)
    state = desk.state("failed", leg)
    desk.hear(state, desk.order.payment(leg.payment).psp_payment_id)
    if leg.revived:
        desk.due_reread()
        desk.reread(state)
    assert desk.leg(number).state == "failed"


def pays_after_all(desk: Desk, number: int) -> None:
    """A leg of the first payment: the word alone may be old, so it is looked up."""
    state = desk.state("succeeded", desk.leg(number))
    desk.hear(state)
    desk.due_reread()
    desk.reread(state)
    assert desk.leg(number).state == "succeeded"


def balances(desk: Desk) -> dict[str, int]:
    """Of every account that is not at zero."""
    names = {posting.account for entry in desk.entries for posting in entry.postings}
    return {name: desk.balance(name) for name in names if desk.balance(name)}


# -- what fails of another one after its place was taken -------------------------------------------


def taken_then_failed() -> Desk:
    """All of 102.00 on two cards: 60.00 is declined and asked for anew, which is declined as well.
    Then the 42.00 that were paid bounce, and somebody gives 10.00 back by hand."""
    desk = Desk(contract_order(tenders=(card(6000), card(4200, name="pi_2"))))
    desk.tell(RefundRequested(RefundIn()))
    ends(desk, 0, pays=False)
    ends(desk, 1, pays=True)
    desk.tell(RefundRequested(RefundIn()))
    assert desk.refund(1).takes_over == (desk.refund(0).id,)
    ends(desk, 2, pays=False)
    bounces(desk, 1)
    desk.hear(RefundState("re_by_hand", "succeeded", 1000, "EUR"), "pi_2")
    assert (desk.refund(0).claimed, desk.refund(1).claimed) == (4200, 0)
    assert desk.refund(2).breakdown.unallocated == 0, "of what the declined one leaves"
    return desk


def test_what_fails_of_the_first_since_is_not_there_for_the_second_that_pays_after_all() -> None:
    """The second took over the 60.00; the 42.00 that failed since are owed for the first still. So
    of its own parts what was given by hand is gone, and that much is explained by nothing."""
    desk = taken_then_failed()
    pays_after_all(desk, 2)
    parts = desk.refund(1).breakdown
    assert (parts.total, parts.unallocated) == (6000, 1000)
    assert [item.gross for items in left_over(desk.order) for item in items.values()] == [0, 0]
    assert desk.raised()[-1] == "double_benefit"


def test_to_the_cent_the_last_one_takes_what_is_left() -> None:
    """A cent by hand is a cent of a line: the second gives back all of the rest, and no more."""
    goods = (LineIn("1", 1, 1000), LineIn("2", 1, 5))
    tenders = (card(2), card(1003, name="pi_2"))
    desk = Desk(contract_order(lines=goods, shipping=(), tenders=tenders))
    desk.tell(RefundRequested(RefundIn()))
    ends(desk, 0, pays=False)
    ends(desk, 1, pays=True)
    desk.tell(RefundRequested(RefundIn()))
    ends(desk, 2, pays=False)
    bounces(desk, 1)
    desk.hear(RefundState("re_by_hand", "succeeded", 1, "EUR"), "pi_2")
    pays_after_all(desk, 2)
    assert (desk.refund(1).amount, desk.refund(1).breakdown.unallocated) == (2, 1)
    assert [rest.net for rest in left_over(desk.order).lines.values()] == [0, 0]


def test_nor_is_it_for_a_retry() -> None:
    desk = taken_then_failed()
    refused = desk.tell(Retried(desk.refund(1).id)).refused
    assert refused is not None
    assert refused.reason == Reason.EXCEEDS_REMAINING
    assert "given back by another one" in refused.detail


KEPT: tuple[tuple[OrderIn, RefundIn, RefundIn], ...] = (
    (
        order_of(line("1", 3, 300, 30, 45)),
        RefundIn(lines=(LinePick("1", 1),)),
        RefundIn(),
    ),
    (
        contract_order(lines=(LineIn("1", 3, 270),), shipping=()),
        RefundIn(lines=(LinePick("1", 1),), fees=(FeeIn("restocking", 20),)),
        RefundIn(amount=230),
    ),
)


@pytest.mark.parametrize(("report", "first", "second"), KEPT, ids=["promotion", "fee"])
def test_a_retry_is_right_beside_what_is_still_owed(
    report: OrderIn, first: RefundIn, second: RefundIn
) -> None:
    """A unit of 0.90 is given back less 0.20, on three cards, one of which declines; all that is
    left gives back what was kept of the rest, and is declined. Then another card's part bounces: it
    is owed, with what is kept of it, so that the second is as right as it was."""
    cards = (card(20), card(30, name="pi_2"), card(220, name="pi_3"))
    desk = Desk(contract_order(**{**fields(report), "tenders": cards}), policy=CLAWBACK)
    desk.tell(RefundRequested(first))
    for number, pays in enumerate((True, False, True)):
        ends(desk, number, pays)
    desk.tell(RefundRequested(second))
    again = desk.refund()
    assert sum(one.gross for one in again.breakdown.held) == -11
    for number, _ in enumerate(again.legs, 3):
        ends(desk, number, pays=False)
    bounces(desk, 0)
    assert (desk.refund(0).claimed, desk.refund(1).claimed) == (40, 0)
    assert desk.tell(Retried(again.id)).refused is None


def fields(report: OrderIn) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__struct_fields__}


# -- what waits for a person, and was to take its place --------------------------------------------


def test_a_review_is_called_off_when_what_it_was_to_take_over_pays_after_all() -> None:
    """What was paid is what it always was for, on the books and in its parts."""
    desk = Desk(contract_order())
    desk.tell(RefundRequested(RefundIn()))
    ends(desk, 0, pays=True)
    bounces(desk, 0)
    before = desk.refund(0)
    desk.policy = NOBODY
    desk.tell(RefundRequested(RefundIn()))
    assert desk.refund(1).takes_over == (before.id,)
    pays_after_all(desk, 0)
    assert desk.refund(0).breakdown == before.breakdown
    assert desk.raised()[-1:] == ["paid_before"]
    waited = desk.refund(1)
    assert (shown_state(waited), waited.legs[0].failure) == ("canceled", "paid_before")
    assert desk.payment().pending_ours == 0
    bounces(desk, 0)
    desk.tell(Canceled(before.id))
    assert balances(desk) == {}


def test_nor_does_it_wait_for_money_alone() -> None:
    """Of an order without lines both would fit in: it is one amount of money all the same."""
    desk = Desk(contract_order(lines=(), shipping=()))
    desk.tell(RefundRequested(RefundIn()))
    ends(desk, 0, pays=True)
    bounces(desk, 0)
    desk.policy = NOBODY
    desk.tell(RefundRequested(RefundIn(amount=4000)))
    assert desk.refund(1).takes_over == (desk.refund(0).id,)
    pays_after_all(desk, 0)
    assert shown_state(desk.refund(1)) == "canceled"
    assert (desk.payment().refunded_ours, desk.payment().external) == (10_200, 0)


def partly_taken(amount: int) -> Desk:
    """All of 102.00 on three cards: 30.00 bounce, 42.00 are paid, 30.00 bounce. A review asks for
    an amount off the price of the tea on the last card."""
    tenders = (card(3000), card(4200, name="pi_2"), card(3000, name="pi_3"))
    desk = Desk(contract_order(tenders=tenders))
    desk.tell(RefundRequested(RefundIn()))
    for number in range(3):
        ends(desk, number, pays=True)
    bounces(desk, 0)
    bounces(desk, 2)
    desk.policy = NOBODY
    only, off = PaymentKey(STRIPE, "pi_3"), (LineAmount("1", amount),)
    desk.tell(RefundRequested(RefundIn(payment=only, adjustments=off)))
    assert desk.refund(1).takes_over == (desk.refund(0).id,)
    return desk


def test_a_review_that_finds_no_room_beside_what_is_paid_is_called_off() -> None:
    """Of the 96.00 for tea 67.76 are in the 72.00 that are paid after all: 29.00 is too much."""
    desk = partly_taken(2900)
    before = desk.refund(0).breakdown
    pays_after_all(desk, 0)
    assert shown_state(desk.refund(1)) == "canceled"
    assert desk.refund(0).breakdown == before
    bounces(desk, 0)
    bounces(desk, 1)
    desk.tell(Canceled(desk.refund(0).id))
    assert balances(desk) == {}


def test_a_review_that_finds_room_beside_what_is_paid_waits_on() -> None:
    desk = partly_taken(2000)
    before = desk.refund(0).breakdown
    pays_after_all(desk, 0)
    assert (desk.refund(0).breakdown, desk.refund(1).stage) == (before, "review")
    assert "double_benefit" not in desk.raised()
    assert desk.tell(Approved(desk.refund(1).id), "person:lead").refused is None
    assert (desk.refund(0).amount, desk.refund(1).amount) == (7200, 2000)
    tea = LineShare("1", 0, 1667, (TaxShare("VAT", 333),))
    assert desk.refund(1).breakdown.lines == (tea,)
