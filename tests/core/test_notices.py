"""What a customer is told: once for each thing that happens, whatever is told again."""

from __future__ import annotations

from typing import Any

from amends.core.decision import Decision
from amends.core.facts import LinesUnavailable, RefundRequested, Rejected, Retried
from amends.core.notices import WHATS, notices
from amends.core.outlets import Notice
from amends.core.policy import built_in
from amends.core.requests import CustomerIn, LinePick, RefundIn, TenderIn
from amends.kernel.outcome import Declined, RefundState, Unknown
from tests.core.desk import Desk, card, contract_order

ADA = CustomerIn("c-1", "ada@example.com", "Ada Lovelace", "DE")


class Mailbox(Desk):
    """A desk that keeps what its customer was told."""

    def __init__(self, report: Any = None, **more: Any) -> None:
        self.mails: list[Notice] = []
        super().__init__(report or contract_order(customer=ADA), **more)

    def tell(self, fact: Any, actor: str = "key:support") -> Decision:
        before = self.order
        decision = super().tell(fact, actor)
        self.mails += notices(before, decision.order, decision.order.last_at)
        keys = [mail.key for mail in self.mails]
        assert len(set(keys)) == len(keys)
        assert {mail.what for mail in self.mails} <= set(WHATS)
        return decision

    def whats(self) -> list[str]:
        """What came since this was last asked."""
        found, self.mails = [mail.what for mail in self.mails], []
        return found


def ask(**fields: Any) -> RefundRequested:
    return RefundRequested(RefundIn(**({"reason": "return"} | fields)))


def test_one_mail_when_it_is_paid_at_once_whatever_is_told_again() -> None:
    desk = Mailbox()
    desk.tell(ask(lines=(LinePick("1", 1),)))
    assert desk.whats() == []
    desk.due()
    desk.accept()
    (mail,) = desk.mails
    assert (mail.what, mail.amount, mail.currency, mail.reason) == (
        *("refund_succeeded", 3200),
        *("EUR", "return"),
    )
    assert mail.items == ((1, "TEA"),)
    assert (mail.customer, mail.shop_order) == ("c-1", "1001")
    desk.whats()
    desk.hear(desk.state())
    desk.hear(desk.state("pending"))
    assert desk.whats() == []


def test_one_mail_when_it_is_taken_up_and_none_when_it_is_paid() -> None:
    desk = Mailbox()
    desk.tell(ask(amount=500))
    desk.due()
    desk.accept("pending")
    assert desk.whats() == ["refund_sent"]
    desk.hear(desk.state())
    assert desk.whats() == []


def test_nothing_while_nobody_knows() -> None:
    desk = Mailbox()
    desk.tell(ask(amount=500))
    desk.due()
    desk.answer(Unknown("no answer"))
    assert desk.whats() == []
    desk.found(desk.state())
    assert desk.whats() == ["refund_succeeded"]


def test_what_failed_after_it_was_told_is_told_and_what_never_was_is_not() -> None:
    desk = Mailbox()
    desk.tell(ask(amount=500))
    desk.due()
    desk.accept()
    desk.whats()
    desk.hear(desk.state("failed"))
    assert desk.whats() == ["refund_failed"]
    desk.tell(Retried(desk.refund().id))
    desk.due()
    desk.accept()
    assert desk.whats() == ["refund_succeeded"]
    desk.tell(ask(amount=300))
    desk.due()
    desk.answer(Declined("no"))
    assert desk.whats() == []


def test_declined_by_a_person() -> None:
    desk = Mailbox(policy=built_in(0))
    desk.tell(ask(amount=500))
    assert desk.whats() == []
    desk.tell(Rejected(desk.refund().id))
    assert desk.whats() == ["declined"]


def test_what_cannot_be_delivered_is_told_at_once() -> None:
    desk = Mailbox()
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    (mail,) = desk.mails
    assert (mail.what, mail.amount, mail.reason) == ("out_of_stock", 3200, "out_of_stock")
    desk.whats()
    desk.due()
    desk.accept()
    assert desk.whats() == ["refund_succeeded"]


def test_what_was_only_held_was_never_charged() -> None:
    held = contract_order(customer=ADA, tenders=(card(10_200, captured=0),))
    desk = Mailbox(held)
    desk.tell(LinesUnavailable((LinePick("1", 3),)))
    assert desk.whats() == ["out_of_stock_uncharged"]


def test_credit_is_told_apart_from_money() -> None:
    gift = TenderIn(1200, "gift_card", "", "gc-1")
    desk = Mailbox(contract_order(customer=ADA, tenders=(card(9_000), gift)))
    desk.tell(ask())
    leg = next(leg for _, leg in desk.legs() if leg.kind == "refund")
    assert desk.whats() == ["credit_given"]
    desk.due(leg)
    desk.accept(leg=desk.leg([g.id for _, g in desk.legs()].index(leg.id)))
    (mail,) = desk.mails
    assert (mail.what, mail.amount) == ("refund_succeeded", 9_000)


def test_nobody_is_told_of_fraud_or_of_what_others_made_or_without_a_customer() -> None:
    desk = Mailbox()
    desk.tell(ask(amount=500, reason="fraud"))
    desk.due()
    desk.accept()
    desk.hear(RefundState("re_theirs", "succeeded", 300, "EUR"))
    assert desk.whats() == []
    nobody = Mailbox(contract_order())
    nobody.tell(ask(amount=500))
    nobody.due()
    nobody.accept()
    assert nobody.whats() == []
