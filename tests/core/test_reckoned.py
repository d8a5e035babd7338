"""What a refund was reckoned with: an earlier one that gave credit back for time, or kept a fee,
ends unpaid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.facts import Approved, Canceled, RefundRequested, Rejected, Retried
from amends.core.order import Refund
from amends.core.period import length, money_of
from amends.core.policy import built_in
from amends.core.quote import DEPENDS
from amends.core.reasons import Reason
from amends.core.requests import FeeIn, LineIn, LinePick, RefundIn, TaxIn, UnusedIn
from amends.kernel.outcome import Declined
from tests.core.desk import Desk, card, contract_order
from tests.core.test_subscriptions import asked, desk_of, on, paid, plan, refusal

ALL = built_in(0)  # a person looks at every refund


def ask(desk: Desk, **wish: Any) -> Refund:
    decision = desk.tell(RefundRequested(RefundIn(**wish)))
    assert decision.refused is None, decision.refused
    return desk.refund()


def refused_by(desk: Desk, fact: Any, actor: str = "person:lead") -> str:
    refused = desk.tell(fact, actor).refused
    return str(refused.reason) if refused else ""


def declined(desk: Desk, number: int = 0) -> None:
    desk.due(desk.leg(number))
    desk.answer(Declined("expired_or_canceled_card"), desk.leg(number))


# -- time that was paid by credit ------------------------------------------------------------------


def credited() -> Desk:
    """30 days for 80.00, of which 50.00 was paid by credit."""
    return desk_of(plan(3000, paid_by_credit=5000))


def two_refunds() -> Desk:
    """Twenty days not used give back the credit and 3.33, the other ten then 26.67."""
    desk = credited()
    assert paid(desk, on(11)) == 333
    assert paid(desk, on(1), on(11)) == 2667
    return desk


def test_edge_23_what_gave_the_credit_back_is_not_canceled_before_what_builds_on_it() -> None:
    """By themselves ten days are worth 26.67 of credit and no money."""
    desk = two_refunds()
    first, second = desk.order.refunds
    assert refused_by(desk, Canceled(first.id)) == Reason.AMOUNT_CHANGED
    assert refused_by(desk, Canceled(second.id)) == ""
    assert refused_by(desk, Canceled(first.id)) == ""
    assert desk.raised() == []
    assert paid(desk, on(11)) == 333


def test_edge_23_what_gave_the_credit_back_and_is_refused_by_its_provider_is_told() -> None:
    desk = two_refunds()
    first = desk.refund(0)
    declined(desk)
    (told,) = [event.body for event in desk.events if event.type == "exception.raised"]
    assert told == {"what": "time_overpaid", "refund": first.id, "amount": 2667}
    assert refusal(desk, asked(on(21)))[0] == Reason.NOTHING_LEFT  # makes up for it
    assert refused_by(desk, Retried(first.id)) == ""
    assert sum(refund.amount for refund in desk.order.refunds) == 3000


def test_edge_23_time_that_was_asked_for_again_is_not_paid_by_a_retry_as_well() -> None:
    desk = desk_of(plan())
    assert paid(desk, on(16)) == 1500
    declined(desk)
    assert paid(desk, on(16)) == 1500
    assert refused_by(desk, Retried(desk.refund(0).id)) == Reason.AMOUNT_CHANGED


@pytest.mark.parametrize("ends", ["approved", "rejected"])
def test_edge_23_what_builds_on_credit_that_a_person_decides_waits_for_it(ends: str) -> None:
    desk = credited()
    desk.policy = ALL
    ask(desk, reason="subscription", unused=(UnusedIn("plan", on(11)),))
    desk.policy = built_in(10**9)
    first, second = desk.refund(), ask(desk, unused=(UnusedIn("plan", on(1), on(11)),))
    assert (second.stage, second.amount, second.builds_on) == ("review", 2667, (first.id,))
    assert second.verdict is not None
    assert second.verdict.rule == DEPENDS
    assert refused_by(desk, Approved(second.id)) == Reason.AMOUNT_CHANGED
    fact = Approved(first.id) if ends == "approved" else Rejected(first.id)
    assert refused_by(desk, fact) == ""
    expected = "" if ends == "approved" else Reason.AMOUNT_CHANGED
    assert refused_by(desk, Approved(second.id)) == expected


def test_edge_23_time_without_credit_waits_for_nobody() -> None:
    desk = desk_of(plan())
    desk.policy = ALL
    first = ask(desk, reason="subscription", unused=(UnusedIn("plan", on(11)),))
    desk.policy = built_in(10**9)
    assert paid(desk, on(1), on(11)) == 1000
    assert refused_by(desk, Rejected(first.id)) == ""
    assert desk.raised() == []


def test_edge_23_what_waits_is_not_approved_once_what_it_builds_on_is_gone() -> None:
    desk = credited()
    assert paid(desk, on(11)) == 333
    desk.policy = ALL
    second = ask(desk, unused=(UnusedIn("plan", on(1), on(11)),))
    assert second.builds_on == ()
    assert refused_by(desk, Canceled(desk.refund(0).id)) == ""
    assert refused_by(desk, Approved(second.id)) == Reason.AMOUNT_CHANGED


# -- fees ------------------------------------------------------------------------------------------


def shop() -> Desk:
    sale = (LineIn("1", 1, 1000), LineIn("2", 1, 1000))
    return Desk(contract_order(lines=sale, shipping=(), tenders=(card(2000),)))


def both_kept() -> Desk:
    """One refund keeps 0.30 for a label, one 0.40, and a third of 0.10 gives of both back."""
    desk = shop()
    ask(desk, lines=(LinePick("1", 1),), fees=(FeeIn("return_label", 30),))
    ask(desk, lines=(LinePick("2", 1),), fees=(FeeIn("handling", 40),))
    third = ask(desk, amount=10)
    assert fees_of(third) == {"return_label": -4, "handling": -6}
    return desk


def fees_of(refund: Refund) -> dict[str, int]:
    return {fee.kind: fee.gross for fee in refund.breakdown.fees}


def test_a_refund_of_whose_fee_another_gave_back_is_not_canceled_before_it() -> None:
    desk = both_kept()
    first, _, third = desk.order.refunds
    assert refused_by(desk, Canceled(first.id)) == Reason.AMOUNT_CHANGED
    assert refused_by(desk, Canceled(third.id)) == ""
    assert refused_by(desk, Canceled(first.id)) == ""


def test_what_was_given_back_of_a_fee_that_nobody_keeps_is_made_up_for() -> None:
    """The first refund is declined, so that of the other fee 0.40 less 0.10 can be given back."""
    desk = both_kept()
    declined(desk)
    assert desk.raised() == []
    ask(desk, lines=(LinePick("1", 1),), fees=())
    assert refusal(desk, RefundIn(amount=31)) == (Reason.EXCEEDS_REMAINING, {"remaining": 30})
    assert fees_of(ask(desk, amount=20)) == {"handling": -20}
    assert fees_of(ask(desk, amount=10)) == {"handling": -10}
    assert desk.order.remaining == 0


def test_a_fee_is_given_back_with_its_taxes_as_far_as_each_goes() -> None:
    """The tax of a fee that was declined is not taken from that of another."""
    desk = shop()
    vat, other = (TaxIn("VAT", 10),), (TaxIn("OTHER", 5),)
    ask(desk, lines=(LinePick("1", 1),), fees=(FeeIn("handling", 30, vat),))
    ask(desk, lines=(LinePick("2", 1),), fees=(FeeIn("handling", 30, other),))
    (fee,) = ask(desk, amount=12).breakdown.fees
    assert (fee.net, [(tax.name, tax.amount) for tax in fee.taxes]) == (
        -9,
        [("VAT", -2), ("OTHER", -1)],
    )
    declined(desk)
    ask(desk, lines=(LinePick("1", 1),), fees=())
    (fee,) = ask(desk, amount=18).breakdown.fees
    assert (fee.net, [(tax.name, tax.amount) for tax in fee.taxes]) == (-14, [("OTHER", -4)])


def test_a_fee_that_a_person_decides_is_not_given_back() -> None:
    """Nobody may ever keep it."""
    desk = shop()
    ask(desk, lines=(LinePick("1", 1),), fees=(FeeIn("return_label", 30),))
    desk.policy = ALL
    ask(desk, lines=(LinePick("2", 1),), fees=(FeeIn("handling", 40),))
    waits = ask(desk, amount=20)
    assert fees_of(waits) == {"return_label": -20}
    desk.policy = built_in(10**9)
    last = ask(desk, amount=20)
    assert (fees_of(last), last.breakdown.unallocated) == ({"return_label": -10}, 10)


def test_what_waits_gives_no_fee_back_that_is_not_kept_any_more() -> None:
    desk = shop()
    first = ask(desk, lines=(LinePick("1", 1),), fees=(FeeIn("return_label", 30),))
    ask(desk, lines=(LinePick("2", 1),), fees=())
    desk.policy = ALL
    waits = ask(desk, amount=20)
    assert fees_of(waits) == {"return_label": -20}
    assert refused_by(desk, Canceled(first.id)) == ""
    assert refused_by(desk, Approved(waits.id)) == Reason.AMOUNT_CHANGED


# -- any course of things --------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.sampled_from(["ask", "review"]), st.integers(0, 5)),
    st.tuples(
        st.sampled_from(["cancel", "decline", "retry", "approve", "reject"]), st.integers(0, 4)
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    total=st.integers(1, 100),
    credit=st.integers(0, 100),
    steps=st.lists(STEPS, min_size=3, max_size=12),
)
def test_edge_23_time_is_worth_what_stands_whatever_became_of_other_refunds(
    total: int, credit: int, steps: list[tuple[str, int]]
) -> None:
    """Six spans of five days: what is owed or was paid for those that stand is no more money than
    goes with them, but for a cent each of the rounding that the others had; unless a person was
    told. No time is paid for twice."""
    desk = desk_of(plan(total, paid_by_credit=credit))
    facts = {"cancel": Canceled, "retry": Retried, "approve": Approved, "reject": Rejected}
    for name, number in steps:
        if name in ("ask", "review"):
            desk.policy = ALL if name == "review" else built_in(10**9)
            end = on(5 * number + 6) if number < 5 else None
            desk.tell(RefundRequested(asked(on(5 * number + 1), end)))
        elif number < len(desk.order.refunds):
            refund = desk.refund(number)
            leg = refund.legs[-1]
            if name != "decline":
                desk.tell(facts[name](refund.id), "person:lead")
            elif leg.state == "sending" and not leg.attempts and desk.due(leg):
                now = desk.refund(number).legs[-1]
                desk.answer(Declined("expired_or_canceled_card"), now)
        stands = [r for r in desk.order.refunds if r.claimed]
        spans = [one.span for r in stands for one in r.breakdown.unused]
        period = desk.order.lines[0].period
        assert period is not None
        assert sum(end - start for start, end in spans) == length(spans)
        money, _ = money_of(period, total, length(spans))
        assert desk.raised() or sum(r.amount for r in stands) <= money + len(stands)
