"""What payment methods allow: whole or in part, how often, how long, and of which capture."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.decision import Method, Terms
from amends.core.effects import LookupPaymentIntent, RefundIntent
from amends.core.facts import CaptureReported, LookedUp, RefundRequested, Rejected, Retried
from amends.core.order import shown_state
from amends.core.requests import LinePick, PspIn, RefundIn, TenderIn
from amends.kernel.ids import tail
from amends.kernel.outcome import Accepted, CaptureState, Declined, PaymentState, Unknown
from tests.core.desk import DAY, HOUR, SECOND, STRIPE, Desk, contract_order

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
TEN = RefundIn(amount=1000)


def paid(method: Method, name: str = "klarna_account") -> Desk:
    terms = Terms(24 * HOUR, 5 * SECOND, 24 * HOUR, methods=(method, Method(count=99)))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 10_200, method=name)
    return Desk(contract_order(tenders=(tender,)), terms={STRIPE: terms})


def refused(desk: Desk, request: RefundIn = ONE_TEA) -> str:
    decision = desk.tell(RefundRequested(request))
    return decision.refused.reason if decision.refused else ""


def by_hand(desk: Desk) -> str:
    """Why the newest refund waits for a person to pay it, "" if its provider will."""
    return desk.leg().failure if desk.leg().kind == "manual" else ""


def test_edge_22_what_a_method_gives_nothing_back_of_a_person_pays() -> None:
    method = Method("klarna", refunds=False)
    desk = paid(method)
    assert refused(desk) == ""
    assert (by_hand(desk), desk.refund().stage) == ("method_not_refundable", "review")
    assert desk.refund().verdict is not None
    assert desk.refund().verdict.rule == "method-not-refundable"
    assert desk.rows.keys() == {f"fx_{tail(desk.refund().id)}_by"}, "nothing is to be sent"
    other = paid(method, "visa")
    assert refused(other) == ""
    assert by_hand(other) == ""


def test_a_method_that_is_refunded_whole_or_not_at_all() -> None:
    desk = paid(Method("klarna", partial=False))
    assert refused(desk) == "partial_not_possible"
    assert refused(desk, RefundIn()) == ""


def test_a_method_with_a_most_number_of_refunds() -> None:
    """The eleventh of ten is not sent; one that failed is not counted."""
    desk = paid(Method("klarna", count=2))
    assert refused(desk, TEN) == ""
    assert refused(desk, TEN) == ""
    assert refused(desk, TEN) == ""
    assert by_hand(desk) == "too_many_refunds"
    desk.tell(Rejected(desk.refund().id))
    desk.due(desk.leg(0))
    desk.answer(Declined("no"), desk.leg(0))
    assert refused(desk, TEN) == ""
    decision = desk.tell(Retried(desk.refund(0).id))
    assert decision.refused is not None
    assert decision.refused.reason == "too_many_refunds"


def test_past_its_limit_a_person_decides() -> None:
    desk = paid(Method("klarna", within=30 * DAY))
    desk.now += 29 * DAY
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.refund().stage == "active"
    desk.now += 2 * DAY
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.refund().stage == "review"
    assert desk.refund().verdict is not None
    assert desk.refund().verdict.rule == "past-refund-window"
    assert desk.leg().kind == "refund", "when it was captured is known to a day or so"
    desk.now += 2 * DAY
    desk.tell(RefundRequested(ONE_TEA))
    assert by_hand(desk) == "past_refund_limit"


def test_the_first_method_that_fits_counts() -> None:
    terms = Terms(0, 0, 0, methods=(Method("klarna_b2b", count=1), Method("klarna", count=2)))
    assert [terms.method(n).count for n in ("klarna_b2b", "klarna", "visa", "")] == [1, 2, 0, 0]


# -- what it is for ----------------------------------------------------------------------------


def intents(desk: Desk) -> list[RefundIntent]:
    found = []
    for _, leg in desk.legs():
        intent = desk.due(leg)
        assert isinstance(intent, RefundIntent)
        desk.accept(leg=next(g for _, g in desk.legs() if g.id == leg.id))
        found.append(intent)
    return found


def test_a_refund_says_what_it_is_for_where_that_is_needed() -> None:
    desk = paid(Method("klarna", lines=True))
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 2),), shipping="full")))
    (intent,) = intents(desk)
    assert [(x.id, x.quantity, x.amount, x.tax) for x in intent.lines] == [
        ("1", 2, 6400, 1067),
        ("s1", 0, 600, 100),
    ]
    other = paid(Method("klarna", lines=True), "visa")
    other.tell(RefundRequested(ONE_TEA))
    assert intents(other)[0].lines == ()


def test_the_same_key_says_the_same_lines() -> None:
    """Others take money meanwhile; what was sent first is what is sent again (I3)."""
    desk = paid(Method("klarna", lines=True))
    desk.tell(RefundRequested(ONE_TEA))
    first = desk.due()
    desk.answer(Unknown("timeout"))
    desk.due()
    desk.found()
    assert desk.due() == first


@settings(max_examples=60, deadline=None)
@given(amounts=st.lists(st.integers(1, 4000), min_size=1, max_size=3))
def test_lines_come_to_the_amount(amounts: list[int]) -> None:
    desk = paid(Method("klarna", lines=True))
    for amount in amounts:
        desk.tell(RefundRequested(RefundIn(amount=amount)))
    for intent in intents(desk):
        assert sum(line.amount for line in intent.lines) == intent.amount


# -- of which capture --------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    captures=st.lists(st.integers(500, 5000), min_size=2, max_size=4),
    amounts=st.lists(st.integers(1, 6000), min_size=1, max_size=5),
    fails=st.lists(st.integers(0, 3), max_size=1),
)
def test_no_capture_gives_back_more_than_it_took(
    captures: list[int], amounts: list[int], fails: list[int]
) -> None:
    terms = Terms(7 * DAY, 0, 7 * DAY, lookup=False, methods=(Method(per_capture=True),))
    whole = sum(captures)
    tender = TenderIn(whole, "payment", STRIPE, "pi_1", 0)
    desk = Desk(contract_order(lines=(), shipping=(), tenders=(tender,)), terms={STRIPE: terms})
    took = {f"CAP{n}": amount for n, amount in enumerate(captures)}
    for name, amount in took.items():
        hear(desk, name, amount)
    for n in fails:
        if f"CAP{n}" in took:
            hear(desk, f"CAP{n}", took[f"CAP{n}"], "failed")
            took[f"CAP{n}"] = 0
    for amount in amounts:
        desk.tell(RefundRequested(RefundIn(amount=amount)))
    for intent in intents(desk):
        took[intent.capture] -= intent.amount
    assert min(took.values()) >= 0


def hear(desk: Desk, name: str, amount: int, status: Any = "succeeded") -> None:
    state = CaptureState(name, amount, "EUR", status)
    desk.tell(CaptureReported(STRIPE, ("pi_1",), state), f"connection:{STRIPE}")


@pytest.mark.parametrize("asked", [5000, 7000])
def test_an_amount_is_one_refund_of_one_capture_if_one_holds_it(asked: int) -> None:
    terms = Terms(7 * DAY, 0, 7 * DAY, lookup=False, methods=(Method(per_capture=True),))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 0)
    desk = Desk(contract_order(tenders=(tender,)), terms={STRIPE: terms})
    hear(desk, "A", 3200)
    hear(desk, "B", 7000)
    desk.tell(RefundRequested(RefundIn(amount=asked)))
    assert [leg.capture for _, leg in desk.legs()] == ["B"]


def test_what_no_capture_holds_alone_leaves_as_one_refund_of_each() -> None:
    """Which captures there are is read only when it is to leave; it is asked for as one."""
    terms = Terms(45 * DAY, 0, 45 * DAY, methods=(Method(per_capture=True),))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 10_200, PspIn(authorization="pi_1"))
    desk = Desk(contract_order(tenders=(tender,)), terms={STRIPE: terms})
    for amount in (1200, 9000):
        desk.tell(RefundRequested(RefundIn(amount=amount)))
    assert desk.due(desk.leg(0)) is None
    assert isinstance(desk.due_reread(), LookupPaymentIntent)
    captures = (CaptureState("A", 3200, "EUR"), CaptureState("B", 7000, "EUR"))
    state = PaymentState(10_200, 10_200, 0, captures=captures)
    desk.tell(LookedUp(desk.payment().id, Accepted(payment=state)), f"connection:{STRIPE}")
    sent = []
    for number in range(3):
        intent = desk.due(desk.leg(number))
        assert isinstance(intent, RefundIntent)
        sent.append((intent.capture, intent.amount))
        desk.accept(leg=desk.leg(number))
    assert sent == [("A", 1200), ("A", 2000), ("B", 7000)]
    assert [shown_state(refund) for refund in desk.order.refunds] == ["succeeded", "succeeded"]
    assert (desk.payment().refunded_ours, desk.payment().pending_ours) == (10_200, 0)
    (split,) = [event.body for event in desk.events if event.body.get("news") == "split"]
    assert (split["amount"], split["legs"]) == (2000, [[desk.leg(2).id, 7000]])
