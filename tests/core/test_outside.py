"""What no provider pays: a person does, by other means, under a reference; and both never do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.decide import quote
from amends.core.decision import Method, Terms
from amends.core.facts import (
    Approved,
    Canceled,
    DisputeReported,
    PaidOutside,
    Recorded,
    RefundRequested,
    Rejected,
    Retried,
)
from amends.core.order import shown_state
from amends.core.policy import built_in
from amends.core.requests import RefundIn, TenderIn
from amends.kernel.outcome import Declined, Unknown
from tests.core.desk import HOUR, SECOND, STRIPE, Desk, contract_order

TEN = RefundIn(amount=1000)
LEAD = "person:lead"
NEVER = Method("voucher", refunds=False)


def shop(
    *methods: Method,
    names: tuple[str, ...] = ("voucher",),
    second: bool = False,
    above: int = 10**9,
) -> Desk:
    """102.00 paid in equal parts by payments of these methods."""
    terms = Terms(24 * HOUR, 5 * SECOND, 24 * HOUR, methods=methods or (NEVER,))
    part = 10_200 // len(names)
    tenders = tuple(
        TenderIn(part, "payment", STRIPE, f"pi_{n}", part, method=name)
        for n, name in enumerate(names, 1)
    )
    return Desk(contract_order(tenders=tenders), built_in(above, second), {STRIPE: terms})


def asked(desk: Desk, request: RefundIn = TEN) -> str:
    desk.tell(RefundRequested(request))
    return desk.refund().id


def paid(desk: Desk, refund: str, actor: str = LEAD, **said: Any) -> str:
    """The reason a payout is refused for, "" if it is booked."""
    decision = desk.tell(PaidOutside(refund, "SEPA-1", **said), actor)
    return decision.refused.reason if decision.refused else ""


def test_it_waits_set_aside_and_is_booked_when_it_was_paid() -> None:
    desk = shop()
    refund = asked(desk)
    assert shown_state(desk.refund()) == "review"
    assert (desk.payment().pending_ours, desk.kinds()) == (1000, [])
    assert paid(desk, refund) == ""
    assert shown_state(desk.refund()) == "succeeded"
    assert (desk.payment().credited_ours, desk.payment().refunded_ours) == (1000, 0)
    assert desk.kinds() == ["claim", "payout"]
    assert desk.balance("manual_payouts") == -1000
    assert desk.balance("refunds_payable") == 0
    assert desk.balance(f"clearing:{STRIPE}") == 0
    assert (desk.leg().bank_reference, desk.leg().destination) == ("SEPA-1", "transfer")
    assert desk.refund().decided_by == LEAD
    last = desk.events[-1]
    assert (last.type, last.body["reference"]) == ("refund.paid_outside", "SEPA-1")
    assert (last.actor, last.body["amount"], last.body["way"]) == (LEAD, 1000, "transfer")


def test_it_is_paid_once() -> None:
    desk = shop()
    refund = asked(desk)
    assert paid(desk, refund) == ""
    assert paid(desk, refund) == "wrong_state"
    assert desk.balance("manual_payouts") == -1000


def test_the_provider_is_never_asked() -> None:
    desk = shop()
    decision = desk.tell(Approved(asked(desk)), LEAD)
    assert decision.refused is not None
    assert decision.refused.reason == "wrong_state"
    assert "payout" in decision.refused.detail
    assert not any(row.kind == "send" for row in desk.rows.values())


def test_declined_or_canceled_it_is_free_again() -> None:
    for fact in (Rejected, Canceled):
        desk = shop()
        desk.tell(fact(asked(desk)), LEAD)
        assert desk.order.remaining == 10_200
        assert paid(desk, desk.refund().id) == "wrong_state"


def test_only_what_fits_is_set_aside() -> None:
    desk = shop()
    asked(desk, RefundIn(amount=10_000))
    decision = desk.tell(RefundRequested(TEN))
    assert decision.refused is not None
    assert decision.refused.reason == "exceeds_remaining"


def test_the_one_who_asked_does_not_say_it_was_paid() -> None:
    desk = shop(second=True)
    refund = asked(desk)
    assert paid(desk, refund, "key:support") == "self_approval"
    assert paid(desk, refund, shown="another") == "shown_changed"
    assert paid(desk, refund, shown=desk.refund().shown) == ""


def test_edge_26_store_credit_takes_a_recorded_consent() -> None:
    desk = shop()
    refund = asked(desk)
    assert paid(desk, refund, way="store_credit") == "validation"
    assert paid(desk, refund, way="store_credit", consent="ticket-7") == ""
    assert (desk.leg().kind, desk.balance("store_credit")) == ("credit", -1000)
    assert desk.events[-1].body["consent"] == "ticket-7"


def test_what_its_provider_can_pay_leaves_when_the_rest_was_paid() -> None:
    desk = shop(names=("visa", "voucher"))
    refund = asked(desk, RefundIn())
    assert [leg.kind for _, leg in desk.legs()] == ["refund", "manual"]
    assert not desk.rows.keys() & {f"fx_{leg.id[4:]}" for _, leg in desk.legs()}
    assert paid(desk, refund) == ""
    assert shown_state(desk.refund()) == "sending"
    desk.due(desk.leg(0))
    desk.accept(leg=desk.leg(0))
    assert shown_state(desk.refund()) == "succeeded"
    assert (desk.balance("manual_payouts"), desk.balance(f"clearing:{STRIPE}")) == (-5100, -5100)
    assert desk.balance("refunds_payable") == 0


def test_edge_11_a_dispute_took_the_money_meanwhile() -> None:
    desk = shop()
    refund = asked(desk, RefundIn())
    taken = DisputeReported(
        STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", "needs_response", True, 10_200
    )
    desk.tell(taken, f"connection:{STRIPE}")
    assert paid(desk, refund) == "exceeds_remaining"
    desk.tell(Rejected(refund), LEAD)
    assert desk.refund().stage == "declined"


def test_a_quote_says_that_a_person_pays() -> None:
    desk = shop()
    recorded = Recorded("x" * 26, desk.now, "key:support", RefundRequested(TEN))
    found = quote(desk.order, TEN, recorded, desk.ctx())
    assert [(p.kind, p.why) for p in found.portions] == [("manual", "method_not_refundable")]
    plain = shop(names=("visa",))
    recorded = Recorded("x" * 26, plain.now, "key:support", RefundRequested(TEN))
    (portion,) = quote(plain.order, TEN, recorded, plain.ctx()).portions
    assert (portion.kind, portion.why) == ("refund", "")


def test_a_disputed_order_says_so_first() -> None:
    desk = shop()
    taken = DisputeReported(STRIPE, ("pi_1",), "dp_1", 100, "EUR", "needs_response", True, 100)
    desk.tell(taken, f"connection:{STRIPE}")
    asked(desk)
    assert desk.refund().verdict is not None
    assert desk.refund().verdict.rule == "payment-disputed"
    assert desk.leg().failure == "method_not_refundable"


# -- what failed at its provider -----------------------------------------------------------------


def failed(late: bool) -> tuple[Desk, str]:
    desk = shop(names=("visa",))
    refund = asked(desk)
    desk.due()
    if late:
        desk.accept()
        desk.hear(desk.state("failed"))
    else:
        desk.answer(Declined("account_closed"))
    assert shown_state(desk.refund()) == "failed"
    return desk, refund


@pytest.mark.parametrize("late", [False, True])
def test_edge_08_what_failed_is_paid_by_a_person(late: bool) -> None:
    desk, refund = failed(late)
    assert paid(desk, refund) == ""
    assert shown_state(desk.refund()) == "succeeded"
    assert desk.balance("refunds_payable") == 0
    assert desk.balance("manual_payouts") == -1000
    assert desk.balance(f"clearing:{STRIPE}") == 0
    assert desk.order.remaining == 9200
    assert desk.tell(Retried(refund)).refused is not None


def test_edge_09_the_provider_pays_after_all_and_a_person_is_told() -> None:
    desk, refund = failed(late=True)
    first = desk.leg(0)
    assert paid(desk, refund) == ""
    desk.hear(desk.state("succeeded", first))
    desk.due_reread()
    desk.reread(desk.state("succeeded", first))
    assert "double_benefit" in desk.raised()


def test_what_may_still_be_paid_there_is_not_paid_by_hand() -> None:
    desk = shop(names=("visa",))
    refund = asked(desk)
    assert paid(desk, refund) == "wrong_state"
    desk.due()
    desk.answer(Unknown("timeout"))
    assert paid(desk, refund) == "wrong_state"
    desk.due()
    desk.found(desk.state())
    assert paid(desk, refund) == "wrong_state"
    review = shop(names=("visa",), above=0)
    assert paid(review, asked(review)) == "wrong_state"


def test_a_release_that_failed_is_no_money_to_pay_back() -> None:
    terms = Terms(24 * HOUR, 5 * SECOND, 24 * HOUR)
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 0)
    desk = Desk(contract_order(tenders=(tender,)), terms={STRIPE: terms})
    refund = asked(desk, RefundIn())
    desk.due()
    desk.answer(Declined("no"))
    assert shown_state(desk.refund()) == "failed"
    assert paid(desk, refund) == "wrong_state"
    assert desk.payment().credited_ours == 0


@settings(max_examples=60, deadline=None)
@given(
    amounts=st.lists(st.integers(1, 6000), min_size=1, max_size=6),
    ends=st.lists(st.sampled_from(["paid", "credit", "declined", "wait"]), min_size=6, max_size=6),
)
def test_hands_and_providers_never_give_back_more_than_was_taken(
    amounts: list[int], ends: list[str]
) -> None:
    """I1 and I5, whatever a person does with each (the desk checks the sums of every step)."""
    desk = shop(Method("voucher", count=2))
    for amount, end in zip(amounts, ends, strict=False):
        if desk.tell(RefundRequested(RefundIn(amount=amount))).refused is not None:
            continue
        refund = desk.refund().id
        if desk.leg().kind == "refund":
            desk.due()
            desk.accept()
        elif end == "declined":
            desk.tell(Rejected(refund), LEAD)
        elif end != "wait":
            more = {"way": "store_credit", "consent": "c-1"} if end == "credit" else {}
            assert paid(desk, refund, **more) == ""
    given_back = desk.payment().refunded_ours + desk.payment().credited_ours
    assert given_back + desk.payment().pending_ours <= 10_200
    assert desk.balance("refunds_payable") == 0
