"""Where what providers can do crosses what happens to a payment: releases, several captures, and
what others do meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Method, Terms
from amends.core.effects import (
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
    ReverseIntent,
)
from amends.core.facts import (
    Approved,
    CaptureReported,
    DisputeReported,
    LookedUp,
    OrderReported,
    PaymentReported,
    PaymentToRead,
    RefundReported,
    RefundRequested,
    Rejected,
    ReleaseReported,
    Retried,
)
from amends.core.legs import effect_id
from amends.core.order import Leg, shown_state
from amends.core.policy import built_in
from amends.core.requests import CaptureIn, LinePick, PaymentKey, PspIn, RefundIn, TenderIn
from amends.core.rereads import reread_id
from amends.kernel.outcome import (
    Accepted,
    CaptureState,
    CaptureStatus,
    Declined,
    PaymentState,
    RefundState,
    ReleaseState,
    Unknown,
)
from tests.core.desk import DAY, HOUR, SECOND, STRIPE, Desk, card, contract_order

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))  # 32.00 of 102.00
WEBHOOKS_ONLY = Terms(7 * DAY, 0, 7 * DAY, lookup=False)
PER_CAPTURE = Terms(45 * DAY, 60 * SECOND, 45 * DAY, methods=(Method(per_capture=True),))


def paid(terms: Terms, captured: int = 0, up_to: int = 10**9) -> Desk:
    report = contract_order(tenders=(card(10_200, captured),))
    return Desk(report, policy=built_in(up_to), terms={STRIPE: terms})


def told(desk: Desk, fact: Any) -> None:
    desk.tell(fact, f"connection:{STRIPE}")


# -- what a provider does not do ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("void", "release_part", "whole", "part"),
    [
        (True, True, "", ""),
        (True, False, "", "release_not_possible"),
        (False, False, "release_not_possible", "release_not_possible"),
    ],
)
def test_edge_20_a_release_its_provider_does_not_do_is_refused(
    void: bool, release_part: bool, whole: str, part: str
) -> None:
    terms = Terms(HOUR, 0, HOUR, void=void, release_part=release_part)
    for request, reason in ((RefundIn(), whole), (ONE_TEA, part)):
        desk = paid(terms)
        decision = desk.tell(RefundRequested(request))
        assert (decision.refused.reason if decision.refused else "") == reason
        assert bool(desk.rows) == (not reason)


# -- an authorization that is gone -------------------------------------------------------------


def canceled(desk: Desk, name: str = "CANCEL1") -> None:
    told(desk, ReleaseReported(STRIPE, ("pi_1",), ReleaseState(name, True)))


def test_edge_20_a_release_that_waits_is_not_asked_for_once_all_is_gone() -> None:
    """Where a second cancellation is only refused it would be called failed, hours later."""
    desk = paid(WEBHOOKS_ONLY)
    desk.tell(RefundRequested(RefundIn()))
    canceled(desk)
    assert desk.due() is None
    assert (desk.leg().state, desk.payment().voided) == ("succeeded", 10_200)
    assert desk.kinds() == ["void"]
    assert not desk.rows


def test_edge_20_nor_is_one_that_is_approved_after_all_is_gone() -> None:
    desk = paid(WEBHOOKS_ONLY, up_to=0)
    desk.tell(RefundRequested(ONE_TEA))
    canceled(desk)
    assert (desk.payment().voided, desk.order.remaining) == (7000, 0)
    desk.tell(Approved(desk.refund().id), "person:lead")
    assert desk.due() is None
    assert (desk.leg().state, desk.payment().voided) == ("succeeded", 10_200)


def test_what_is_gone_is_not_left_once_its_release_is_declined() -> None:
    desk = paid(WEBHOOKS_ONLY, up_to=0)
    desk.tell(RefundRequested(RefundIn()))
    canceled(desk)
    desk.tell(Rejected(desk.refund().id), "person:lead")
    assert (desk.order.remaining, desk.payment().voided) == (0, 10_200)


def test_a_release_that_was_taken_up_and_does_not_show_is_told_once() -> None:
    """The capture of the rest was pending at the provider, and came to nothing: no news is to come.
    It is not called failed, since nothing says whether it is over."""
    desk = paid(PER_CAPTURE)
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.answer(Accepted(payment=PaymentState(capturable=0, psp_release_id="CAP1")))
    for capturable, times in ((0, 0), (10_200, 1), (10_200, 1)):
        desk.due()
        found = Accepted(payment=PaymentState(10_200, 0, 0, capturable=capturable))
        asked = desk.asked(effect_id(desk.leg().id))
        told(desk, LookedUp(desk.payment().id, found, desk.leg().id, desk.now, asked))
        assert (desk.leg().state, desk.raised()) == ("pending", ["not_released"] * times)


@pytest.mark.parametrize("terms", [WEBHOOKS_ONLY, PER_CAPTURE])
def test_edge_21_a_release_that_won_against_the_capture_a_shop_had_asked_for(terms: Terms) -> None:
    """The shop said captured when it asked; our cancellation was done first, and that is told."""
    desk = paid(terms)
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    if terms.lookup:
        desk.tell(OrderReported(contract_order(version=2)), "connection:shop-1")
        desk.answer(Accepted(payment=PaymentState(canceled=True, capturable=0)))
    else:
        desk.answer(Accepted(payment=PaymentState(psp_release_id="CANCEL1")))
        desk.tell(OrderReported(contract_order(version=2)), "connection:shop-1")
        canceled(desk)
    assert (desk.leg().state, desk.raised()) == ("succeeded", ["captured_after_release"])
    assert not desk.rows


@pytest.mark.parametrize("reversal", [True, False])
def test_edge_21_a_refused_release_is_reversed_only_where_that_is_done(reversal: bool) -> None:
    desk = paid(replace(WEBHOOKS_ONLY, reversal=reversal))
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.answer(Accepted(payment=PaymentState(psp_release_id="CANCEL1")))
    told(desk, ReleaseReported(STRIPE, ("pi_1",), ReleaseState("CANCEL1", False)))
    assert desk.due() is None
    assert isinstance(desk.due(), ReverseIntent) == reversal
    assert desk.leg().state == ("sending" if reversal else "failed")
    assert desk.raised() == ([] if reversal else ["release_refused"])


def test_a_shop_that_calls_captured_what_was_released_is_told_of() -> None:
    desk = paid(PER_CAPTURE)
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.answer(Accepted(payment=PaymentState(captured=7000)))
    assert not desk.raised()
    desk.tell(OrderReported(contract_order(version=2)), "connection:shop-1")
    desk.tell(OrderReported(contract_order(version=3)), "connection:shop-1")
    assert desk.raised() == ["captured_after_release"]


def test_what_was_canceled_and_never_captured_is_not_refundable_on_a_shop_s_word() -> None:
    """If the provider says so when it is asked; a message may be of an earlier charge (I9)."""
    desk = paid(PER_CAPTURE, 10_200)
    state = PaymentState(10_200, 0, 0, canceled=True, capturable=0)
    told(desk, PaymentReported(STRIPE, ("pi_1",), state))
    assert desk.order.remaining == 10_200
    told(desk, PaymentToRead(STRIPE, ("pi_1",)))
    desk.due_reread()
    asked = desk.asked(reread_id(desk.payment().id))
    told(desk, LookedUp(desk.payment().id, Accepted(payment=state), "", desk.now, asked))
    assert (desk.payment().captured, desk.payment().voided) == (0, 10_200)
    assert desk.order.remaining == 0
    assert desk.tell(RefundRequested(ONE_TEA)).refused is not None


# -- several captures --------------------------------------------------------------------------


def captured(desk: Desk, name: str, amount: int, status: CaptureStatus = "succeeded") -> None:
    state = CaptureState(name, amount, "EUR", status)
    told(desk, CaptureReported(STRIPE, ("pi_1",), state))


def read(desk: Desk, *captures: tuple[str, int]) -> None:
    """The payment is read again, and has these captures."""
    assert desk.due_reread() is not None
    named = tuple(CaptureState(name, amount, "EUR") for name, amount in captures)
    state = PaymentState(10_200, sum(c.amount for c in named), captures=named)
    asked = desk.asked(reread_id(desk.payment().id))
    told(desk, LookedUp(desk.payment().id, Accepted(payment=state), "", desk.now, asked))


def of_captures(*captures: tuple[str, int], name: str = "pi_1") -> Desk:
    """A payment whose shop names these captures of the authorization pi_1."""
    psp = PspIn(
        authorization="pi_1", captures=tuple(CaptureIn(name, amount) for name, amount in captures)
    )
    tender = TenderIn(10_200, "payment", STRIPE, name, 10_200, psp)
    return Desk(contract_order(tenders=(tender,)), terms={STRIPE: PER_CAPTURE})


def leaves(desk: Desk, leg: Leg) -> tuple[str, int]:
    intent = desk.due(leg)
    assert isinstance(intent, RefundIntent)
    return intent.capture, intent.amount


def test_a_capture_that_failed_since_it_was_chosen_gives_nothing_back() -> None:
    """It waits for funds; its capture fails; the other one has the money."""
    terms = Terms(7 * DAY, 0, 7 * DAY, lookup=False, methods=(Method(per_capture=True),))
    desk = paid(terms)
    captured(desk, "A", 6000)
    captured(desk, "B", 4200)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.leg().capture == "A"
    captured(desk, "A", 6000, "failed")
    assert leaves(desk, desk.leg()) == ("B", 3200)


def test_a_retry_is_of_a_capture_that_has_the_money_now() -> None:
    desk = paid(PER_CAPTURE)
    captured(desk, "A", 6000)
    captured(desk, "B", 4200)
    desk.tell(RefundRequested(ONE_TEA))
    assert leaves(desk, desk.leg()) == ("A", 3200)
    desk.answer(Declined("REFUND_AMOUNT_EXCEEDED"))
    taken = RefundState("re_by_hand", "succeeded", 5000, "EUR", psp_capture_id="A")
    told(desk, RefundReported(STRIPE, ("pi_1",), taken))
    desk.tell(Retried(desk.refund(0).id))
    retried = desk.refund(0).legs[-1]
    assert leaves(desk, retried) == ("B", 3200)


def test_edge_09_a_retry_of_what_was_sent_stays_one_so_that_it_can_be_stopped() -> None:
    """The first one pays after all, before the retry leaves: several could not be told to be it."""
    desk = of_captures(("A", 6000), ("B", 4200))
    desk.tell(RefundRequested(RefundIn(amount=6000)))
    assert leaves(desk, desk.leg()) == ("A", 6000)
    desk.answer(Declined("no"))
    by_hand = RefundState("re_by_hand", "succeeded", 1000, "EUR", psp_capture_id="A")
    told(desk, RefundReported(STRIPE, ("pi_1",), by_hand))
    desk.tell(Retried(desk.refund(0).id))
    assert desk.due(desk.refund(0).legs[-1]) is None
    read(desk, ("A", 6000), ("B", 4200))
    assert desk.due(desk.refund(0).legs[-1]) is None
    assert (shown_state(desk.refund(0)), desk.raised()) == ("failed", ["no_such_capture"])
    desk.tell(RefundRequested(RefundIn(amount=6000)))
    asked = [(leg.capture, leg.amount) for leg in desk.refund().legs]
    assert asked == [("A", 5000), ("B", 1000)]


def test_edge_09_of_two_retries_alike_the_one_that_has_not_left_is_stopped() -> None:
    desk = of_captures(("A", 2000), ("B", 2000), ("C", 6200))
    desk.tell(RefundRequested(RefundIn(amount=7000)))
    for number in (0, 1, 2):
        leaves(desk, desk.leg(number))
        desk.accept("succeeded" if number == 2 else "pending", desk.leg(number))
    for number in (0, 1):
        desk.hear(desk.state("failed", desk.leg(number)))
    desk.tell(Retried(desk.refund().id))
    leaves(desk, desk.leg(3))
    desk.accept("succeeded", desk.leg(3))
    desk.hear(desk.state("succeeded", desk.leg(1)))  # the second one pays after all
    desk.due_reread()
    desk.reread(desk.state("succeeded", desk.leg(1)))
    assert desk.leg(4).state == "failed", "2000 more would leave than was asked for"
    assert (desk.payment().refunded_ours, shown_state(desk.refund())) == (7000, "succeeded")


def test_what_no_capture_holds_is_read_and_then_given_back_from_several() -> None:
    """The shop told of one capture of two: the other is found, and the refund is of both."""
    desk = of_captures(("A", 6000))
    desk.tell(RefundRequested(RefundIn()))
    assert desk.due() is None
    read(desk, ("A", 6000), ("B", 4200))
    for number, of in ((0, ("A", 6000)), (1, ("B", 4200))):
        assert leaves(desk, desk.leg(number)) == of
        desk.accept(leg=desk.leg(number))
    assert (shown_state(desk.refund()), desk.payment().refunded_ours) == ("succeeded", 10_200)
    assert (desk.balance("refunds_payable"), desk.raised()) == (0, [])


def test_what_no_capture_holds_after_that_is_told() -> None:
    desk = of_captures(("A", 6000))
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    read(desk, ("A", 6000))
    desk.due()
    assert shown_state(desk.refund()) == "failed"
    assert desk.raised()[-1] in ("no_such_capture", "taken_by_others")


def test_a_capture_nobody_told_of_is_found_before_a_refund_of_it() -> None:
    desk = of_captures(("A", 3000))
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.due() is None
    read(desk, ("A", 3000), ("B", 7200))
    assert leaves(desk, desk.leg()) == ("B", 3200)
    assert not desk.raised()


def test_a_capture_its_provider_does_not_list_gives_nothing_back() -> None:
    """It was declined, or its money is to come: then it is listed one day."""
    desk = of_captures(("A", 6000), ("B", 4200))
    for listed, of in (([("B", 4200)], "B"), ([("A", 6000), ("B", 4200)], "A")):
        told(desk, PaymentToRead(STRIPE, ("pi_1",)))
        read(desk, *listed)
        desk.tell(RefundRequested(RefundIn(amount=100)))
        assert leaves(desk, desk.leg()) == (of, 100)
        desk.accept()


def test_called_by_one_of_its_captures_the_refunds_of_all_are_looked_for() -> None:
    """Only those of that one would be listed: a lost answer about another is never found."""
    desk = of_captures(("A", 6000), ("B", 4200), name="A")
    desk.tell(RefundRequested(RefundIn()))
    second = desk.leg()
    assert leaves(desk, second) == ("B", 4200)
    desk.answer(Unknown("timeout"))
    looking = desk.due()
    assert isinstance(looking, LookupRefundsIntent)
    assert (looking.psp_payment_id, looking.capture) == ("pi_1", "B")


def test_what_a_failed_capture_had_taken_can_be_captured_again() -> None:
    desk = paid(WEBHOOKS_ONLY)
    captured(desk, "A", 6000)
    captured(desk, "B", 4200)
    captured(desk, "A", 6000, "failed")
    assert desk.order.remaining == 4200
    captured(desk, "C", 6000)
    assert desk.order.remaining == 10_200
    desk.tell(RefundRequested(RefundIn()))
    assert leaves(desk, desk.leg()) == ("", 10_200)


def test_captured_by_our_own_release_its_time_to_refund_begins() -> None:
    limited = Method(within=30 * DAY)
    desk = paid(replace(WEBHOOKS_ONLY, methods=(limited,)))
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.answer(Accepted(payment=PaymentState(captured=7000)))
    assert desk.leg().state == "succeeded"
    desk.now += 31 * DAY
    desk.tell(RefundRequested(ONE_TEA))
    assert (desk.refund().stage, desk.refund().verdict.rule) == ("review", "past-refund-window")


def test_edge_12_a_lost_dispute_of_which_nobody_says_what_it_took_is_reviewed() -> None:
    """Where a message is not believed about money, the refund must not go out by itself as well."""
    for withdrawn, stage in ((-1, "review"), (3200, "active")):
        desk = paid(PER_CAPTURE, 10_200)
        fact = DisputeReported(STRIPE, ("pi_1",), "PP-D-1", 3200, "EUR", "lost", False, withdrawn)
        told(desk, fact)
        desk.tell(RefundRequested(ONE_TEA))
        assert desk.refund().stage == stage


@pytest.mark.parametrize("listed", [True, False])
def test_edge_12_money_that_went_back_and_is_no_refund_is_told(listed: bool) -> None:
    """PayPal took all of a capture back, over a lost case: it calls it refunded and lists none."""
    desk = paid(PER_CAPTURE, 10_200)
    told(desk, PaymentToRead(STRIPE, ("pi_1",)))
    assert desk.due_reread() is not None
    made = RefundState("R1", "succeeded", 10_200, "EUR", psp_capture_id="pi_1")
    found = Accepted(
        payment=PaymentState(10_200, 10_200, 10_200), refunds=(made,) if listed else ()
    )
    asked = desk.asked(reread_id(desk.payment().id))
    told(desk, LookedUp(desk.payment().id, found, "", desk.now, asked))
    assert desk.raised() == ([] if listed else ["refunded_unlisted"])


# -- one payment, several names ----------------------------------------------------------------


def named(name: str, taken: int, authorization: str = "", amount: int = 10_200) -> TenderIn:
    return TenderIn(amount, "payment", STRIPE, name, taken, PspIn(authorization=authorization))


@pytest.mark.parametrize("how", ["the shop says of which authorization", "it was read before"])
def test_a_payment_named_by_its_capture_later_is_still_one(how: str) -> None:
    """Counted as two, all of it could be given back twice."""
    desk = paid(PER_CAPTURE)
    said = "pi_1"
    if how == "it was read before":
        told(desk, PaymentToRead(STRIPE, ("pi_1",)))
        read(desk, ("CAP1", 10_200))
        said = ""
    newer = contract_order(version=2, tenders=(named("CAP1", 10_200, said),))
    desk.tell(OrderReported(newer), "connection:shop-1")
    assert len(desk.order.payments) == 1
    assert (desk.payment().captured, desk.order.remaining) == (10_200, 10_200)
    by_capture = RefundIn(payment=PaymentKey(STRIPE, "CAP1"))
    desk.tell(RefundRequested(by_capture))
    assert leaves(desk, desk.leg()) == ("CAP1", 10_200)


def test_captures_reported_as_a_tender_each_add_up() -> None:
    desk = paid(PER_CAPTURE)
    tenders = (named("CAP1", 6000, "pi_1", 6000), named("CAP2", 4200, "pi_1", 4200))
    desk.tell(OrderReported(contract_order(version=2, tenders=tenders)), "connection:shop-1")
    assert (len(desk.order.payments), desk.order.remaining) == (1, 10_200)
    other = Desk(contract_order(tenders=tenders), terms={STRIPE: PER_CAPTURE})
    assert (len(other.order.payments), other.order.remaining) == (2, 10_200)


def test_two_payments_of_one_order_there_stay_two() -> None:
    two = tuple(
        TenderIn(5100, "payment", STRIPE, name, 5100, PspIn(order="ORDER")) for name in ("A", "B")
    )
    desk = Desk(contract_order(tenders=two), terms={STRIPE: PER_CAPTURE})
    desk.tell(OrderReported(contract_order(version=2, tenders=two)), "connection:shop-1")
    assert (len(desk.order.payments), desk.order.remaining) == (2, 10_200)


def test_a_capture_reported_while_its_money_was_to_come_is_refunded_as_one() -> None:
    """An eCheck: reported with nothing captured, it is taken for an authorization, of which the
    provider knows nothing."""
    desk = paid(PER_CAPTURE)
    newer = contract_order(version=2, tenders=(card(10_200),))
    desk.tell(OrderReported(newer), "connection:shop-1")
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.due() is None
    assert isinstance(desk.due_reread(), LookupPaymentIntent)
    asked = desk.asked(reread_id(desk.payment().id))
    missing = Declined("INVALID_RESOURCE_ID")
    told(desk, LookedUp(desk.payment().id, missing, "", desk.now, asked))
    assert leaves(desk, desk.leg()) == ("", 3200)
    assert desk.raised() == ["reread_declined"]


def test_edge_05_the_same_key_names_the_same_charge() -> None:
    """A newer version of the order tells one more id while an answer is lost (I3): under the same
    key another resource would be asked for."""
    desk = paid(PER_CAPTURE, 10_200)
    desk.tell(RefundRequested(ONE_TEA))
    first = desk.due()
    desk.answer(Unknown("timeout"))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 10_200, PspIn(charge="CHARGE"))
    desk.tell(OrderReported(contract_order(version=2, tenders=(tender,))), "connection:shop-1")
    desk.due()
    desk.found()
    assert desk.due() == first


def test_news_of_an_order_there_is_read_for_every_payment_that_hangs_in_it() -> None:
    """A capture nobody here knows yet, of one of two payments: which of them is not said."""
    two = tuple(
        TenderIn(5100, "payment", STRIPE, name, 5100, PspIn(order="ORDER")) for name in ("A", "B")
    )
    desk = Desk(contract_order(tenders=two), terms={STRIPE: PER_CAPTURE})
    told(desk, PaymentToRead(STRIPE, ("CAPTURE", "ORDER")))
    assert [payment.reread for payment in desk.order.payments] == [True, True]
    told(desk, PaymentToRead(STRIPE, ("B", "ORDER")))
    assert set(desk.rows) == {reread_id(payment.id) for payment in desk.order.payments}
