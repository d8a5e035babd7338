"""One leg of a refund fails for good while another pays: what is owed, and how it ends."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.decision import Decision
from amends.core.documents import Document
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
from amends.core.order import shown_state
from amends.core.reasons import Reason
from amends.core.requests import FeeIn, LineIn, LinePick, RefundIn, TaxIn, TenderIn
from amends.core.shares import Breakdown, LineShare, TaxShare
from amends.engine.proof import wrong
from amends.kernel.money import allocate
from amends.kernel.outcome import Accepted, Declined, PaymentState, RefundState, RefundStatus
from amends.store.spec import Books
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


# -- to the cent -------------------------------------------------------------------------------


class Paper(Desk):
    """A desk that keeps the documents too."""

    def __init__(self, lines: tuple[LineIn, ...], tenders: tuple[TenderIn, ...]) -> None:
        self.documents: list[Document] = []
        super().__init__(contract_order(lines=lines, shipping=(), tenders=tenders))

    def tell(self, fact: Any, actor: str = "key:support") -> Decision:
        decision = super().tell(fact, actor)
        self.documents += [due.document for due in decision.documents]
        return decision

    def end(self, number: int, pays: bool) -> None:
        """A leg is sent, and pays or is declined for good."""
        leg = self.leg(number)
        if self.due(leg) is None:
            return
        if not pays:
            declined(self, number)
        elif leg.kind == "void":
            self.answer(Accepted(payment=PaymentState(canceled=True)), self.leg(number))
        else:
            self.accept(leg=self.leg(number))

    def check(self) -> None:
        """Books that `amends ledger check` finds nothing in, and documents that say the same."""
        found = [finding.what for finding in wrong(Books(self.order, tuple(self.entries)))]
        assert found == []
        assert sum(document.tax for document in self.documents) == self.balance("tax_payable")
        assert self.balance("refunds_payable") == 0
        if self.refund().claimed == self.refund().amount:
            parts = self.refund().breakdown
            assert self.balance("tax_payable") == sum(part.tax for part in parts.parts)
            assert self.balance("sales_returns") == sum(part.net for part in parts.lines)


def line(name: str, total: int, tax: int) -> LineIn:
    return LineIn(name, 1, total, taxes=(TaxIn("VAT", tax),))


def test_a_release_that_is_given_up_leaves_books_and_credit_note_as_they_are() -> None:
    """12.10 of which 5.01 is only authorized and not released. What stays must not round by another
    cent than its claim did: an entry of that cent alone is on no document, and not on refunds
    payable either."""
    lines = (line("1", 1000, 166), line("2", 10, 1), line("3", 200, 13))
    desk = Paper(lines, (card(501, 0), card(709, name="pi_2")))
    desk.tell(RefundRequested(RefundIn()))
    desk.end(1, pays=True)
    desk.end(0, pays=False)
    desk.tell(Canceled(desk.refund().id))
    assert desk.kinds() == ["claim", "payout"]
    desk.check()


def test_what_is_given_up_may_leave_tax_where_there_was_none() -> None:
    """A line with 0.70 of tax less a fee with 0.70 of tax, on two cards, one of which declines:
    what is left of the two has taxes that differ by a cent, on an account that the claim had
    nothing on (I5)."""
    tax = (TaxIn("VAT", 70),)
    desk = Desk(
        contract_order(
            lines=(LineIn("1", 1, 1070, taxes=tax),),
            shipping=(),
            tenders=(card(200), card(870, name="pi_2")),
        )
    )
    desk.tell(
        RefundRequested(RefundIn(lines=(LinePick("1", 1),), fees=(FeeIn("restocking", 420, tax),)))
    )
    paid(desk, 0)
    desk.due(desk.leg(1))
    declined(desk, 1)
    assert shown_state(desk.refund()) == "failed"
    assert desk.tell(Canceled(desk.refund().id)).refused is None
    assert (desk.balance("refunds_payable"), abs(desk.balance("tax_payable"))) == (0, 1)


def test_what_is_left_of_a_part_names_no_tax_of_nothing() -> None:
    desk = Paper((line("1", 1100, 1),), (card(600, 0), card(500, name="pi_2")))
    desk.tell(RefundRequested(RefundIn()))
    desk.end(1, pays=True)
    desk.end(0, pays=False)
    desk.tell(Canceled(desk.refund().id))
    assert desk.refund().breakdown.lines == (LineShare("1", 0, 500),)


@pytest.mark.parametrize(
    ("lines", "cuts", "alike"),
    [
        ([(6, 4), (4, 2)], (8, 1, 1), True),
        ([(1, 0), (14, 6), (9, 1)], (9, 11, 4), False),
    ],
)
def test_two_releases_are_given_up_one_after_the_other(
    lines: list[tuple[int, int]], cuts: tuple[int, int, int], alike: bool
) -> None:
    """The first one's part is asked for anew while the second is out, and then that fails too. What
    stays are the parts that were claimed all the while; but where the new refund has a cent of
    those by then, they are kept a cent apart from the books, and no component exceeds its own."""
    captured, first, second = cuts
    tenders = (card(captured), card(first, 0, "pi_2"), card(second, 0, "pi_3"))
    desk = Paper(tuple(line(str(n), *one) for n, one in enumerate(lines)), tenders)
    desk.tell(RefundRequested(RefundIn()))
    order = {leg.payment: n for n, (_, leg) in enumerate(desk.legs())}
    paid_, failed, out = (order[payment.id] for payment in desk.order.payments)
    desk.end(paid_, pays=True)
    desk.end(failed, pays=False)
    desk.due(desk.leg(out))
    desk.tell(RefundRequested(RefundIn()))
    assert desk.refund().takes_over
    declined(desk, out)
    desk.tell(Canceled(desk.refund(0).id))
    whole = desk.refund(0)
    assert whole.claimed == whole.amount == captured
    tax = sum(part.tax for part in whole.breakdown.parts)
    assert (desk.balance("tax_payable") == tax, whole.claim_of is None) == (alike, alike)
    desk.hear(desk.state("failed", desk.leg(paid_)))
    desk.tell(Canceled(whole.id))
    assert {desk.balance(name) for name in ("tax_payable", "sales_returns")} == {0}


AMOUNTS = st.integers(1, 1000)


@given(
    totals=st.lists(st.tuples(AMOUNTS, st.integers(0, 1000)), min_size=1, max_size=4),
    cuts=st.tuples(st.integers(1, 10), st.integers(1, 10), st.integers(1, 10)),
    captured=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    pays=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_whatever_fails_of_it_books_documents_and_parts_agree(
    totals: list[tuple[int, int]],
    cuts: tuple[int, int, int],
    captured: tuple[bool, bool, bool],
    pays: tuple[bool, bool, bool],
) -> None:
    """All of an order goes back on three cards, captured or only authorized, which pay or decline;
    the rest is given up. Then what was paid bounces, and is given up as well."""
    lines = tuple(line(str(n), 10 + a + tax, tax) for n, (a, tax) in enumerate(totals))
    shares = allocate(sum(one.total for one in lines), cuts)
    tenders = tuple(
        card(share, share if taken else 0, f"pi_{n}")
        for n, (share, taken) in enumerate(zip(shares, captured, strict=True), 1)
        if share
    )
    desk = Paper(lines, tenders)
    desk.tell(RefundRequested(RefundIn()))
    for number in range(len(desk.legs())):
        desk.end(number, pays[number])
    desk.tell(Canceled(desk.refund().id))
    desk.check()
    for number, leg in enumerate(desk.refund().legs):
        if leg.kind == "refund" and leg.state == "succeeded":
            names = {p.id: p.psp_payment_id for p in desk.order.payments}
            desk.hear(desk.state("failed", desk.leg(number)), names[leg.payment])
    desk.tell(Canceled(desk.refund().id))
    assert not any(n for name, n in balances(desk).items() if not name.startswith("memo_"))
    assert sum(document.gross for document in desk.documents) == 0
