"""A checkout that expired, and a payment that succeeds after its order was given up, give their
money back by themselves. Access ends with its money, and the shop hears once of what was paid."""

from __future__ import annotations

import pytest

from amends.core.effects import checkout_id
from amends.core.facts import (
    EffectDue,
    OrderCancelled,
    OrderReported,
    PaymentReported,
    Retried,
    ReturnReceived,
)
from amends.core.order import shown_state
from amends.core.outlets import AccessChanged, Outlet, RefundRecorded, Tell
from amends.core.reasons import Reason
from amends.core.requests import LinePick, RefundIn
from amends.kernel.outcome import Declined, PaymentState
from amends.kernel.time import HOUR, MINUTE, rfc3339
from tests.core.desk import START, STRIPE, TEA, Desk, card, contract_order
from tests.core.test_policy import asked

SHOP = Outlet("shop-1", frozenset(["refund_recorded", "access_changed"]), own_orders=True)
UNTIL = START + HOUR


def checkout(captured: int = 0, **more: object) -> Desk:
    order = contract_order(tenders=(card(10_200, captured),), expires_at=rfc3339(UNTIL), **more)
    return Desk(order)


def expire(desk: Desk) -> None:
    row = checkout_id(desk.order.id)
    desk.now = max(desk.now, desk.rows[row].due if row in desk.rows else UNTIL)
    desk.tell(EffectDue(row), "system:deliver")


@pytest.mark.parametrize(("captured", "kind"), [(0, "void"), (10_200, "refund")])
def test_a_checkout_that_expired_gives_back_what_it_held_or_took(captured: int, kind: str) -> None:
    desk = checkout(captured)
    assert desk.rows[checkout_id(desk.order.id)].due == UNTIL + 5 * MINUTE
    assert desk.order.refunds == ()
    expire(desk)
    (refund,) = desk.order.refunds
    assert (refund.amount, refund.legs[0].kind, shown_state(refund)) == (10_200, kind, "sending")
    assert desk.order.cancelled
    expire(desk)
    assert len(desk.order.refunds) == 1


def test_one_that_was_completed_in_time_keeps_its_money() -> None:
    desk = checkout(10_200)
    desk.tell(
        OrderReported(contract_order(tenders=(card(10_200),), version=2)), "connection:shop-1"
    )
    assert checkout_id(desk.order.id) not in desk.rows
    expire(desk)
    assert desk.order.refunds == ()


def test_one_that_is_completed_after_it_expired_is_a_persons() -> None:
    desk = checkout(10_200)
    expire(desk)
    for version in (2, 3):
        done = contract_order(tenders=(card(10_200),), version=version)
        desk.tell(OrderReported(done), "connection:shop-1")
    assert desk.raised() == ["completed_after_expiry"]


def test_one_that_goes_on_longer_expires_later() -> None:
    desk = checkout(10_200)
    later = contract_order(tenders=(card(10_200),), version=2, expires_at=rfc3339(UNTIL + HOUR))
    desk.tell(OrderReported(later), "connection:shop-1")
    assert desk.rows[checkout_id(desk.order.id)].due == UNTIL + HOUR + 5 * MINUTE


def test_a_time_that_is_none_is_refused_by_its_name() -> None:
    desk = Desk()
    bad = contract_order(version=2, expires_at="tomorrow")
    refused = desk.tell(OrderReported(bad), "connection:shop-1").refused
    assert refused and refused.reason is Reason.VALIDATION
    assert refused.extra["pointer"] == "/expires_at"


def captured(desk: Desk, amount: int) -> None:
    news = PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=amount))
    desk.tell(news, f"connection:{STRIPE}")


def test_a_success_after_the_order_was_given_up_is_refunded_by_itself() -> None:
    desk = Desk(contract_order(tenders=(card(10_200, 0),)))
    desk.tell(OrderCancelled(), "connection:shop-1")
    desk.due()
    desk.answer(Declined("payment_already_captured", kind="captured"))
    captured(desk, 10_200)
    assert [shown_state(r) for r in desk.order.refunds if r.stage == "active"][-1] == "sending"
    assert desk.order.remaining == 0
    before = desk.order.refunds
    captured(desk, 10_200)
    assert desk.order.refunds == before, "told again, it is no news"


def test_a_success_that_nobody_knew_of_when_the_checkout_expired_goes_back_too() -> None:
    desk = checkout(4000)
    expire(desk)
    desk.due()
    desk.accept()
    captured(desk, 10_200)
    assert [r.amount for r in desk.order.refunds] == [4000, 6200]


def test_a_success_of_an_order_that_stands_is_no_reason_to_give_it_back() -> None:
    desk = Desk(contract_order(tenders=(card(10_200, 0),)))
    captured(desk, 10_200)
    assert desk.order.refunds == ()


# -- access, and the shop --------------------------------------------------------------------------

LICENCE = TEA.__class__(id="1", quantity=3, total=9600, sku="LIC", access=True)


def licensed() -> Desk:
    desk = Desk(contract_order(lines=(LICENCE,)))
    desk.outlets = (SHOP,)
    return desk


def of(desk: Desk, kind: type) -> list[Tell]:
    return [tell for tell in desk.tells if isinstance(tell.telling, kind)]


def granted(desk: Desk) -> list[bool]:
    told = [tell.telling for tell in of(desk, AccessChanged)]
    return [one.granted for one in told if isinstance(one, AccessChanged)]


def test_access_ends_when_its_refund_leaves_and_is_there_again_when_that_fails() -> None:
    desk = licensed()
    asked(desk, RefundIn(lines=(LinePick("1", 2),)))
    assert granted(desk) == [False]
    first = of(desk, AccessChanged)[0].telling
    assert isinstance(first, AccessChanged)
    assert [(one.sku, one.units) for one in first.lines] == [("LIC", 2)]
    desk.due()
    desk.answer(Declined("card_closed"))
    assert granted(desk) == [False, True]


def test_access_never_comes_back_as_goods() -> None:
    desk = licensed()
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"))
    assert desk.moved == []


def test_money_without_units_ends_no_access() -> None:
    desk = licensed()
    asked(desk, RefundIn(amount=100, reason="goodwill"))
    assert granted(desk) == []


def test_the_shop_hears_once_of_what_was_paid_and_a_person_when_it_fails_after_all() -> None:
    desk = Desk()
    desk.outlets = (SHOP,)
    asked(desk, RefundIn(lines=(LinePick("1", 1),), shipping="full"))
    desk.due()
    assert of(desk, RefundRecorded) == []
    desk.accept("pending")
    desk.accept("succeeded")
    (told,) = of(desk, RefundRecorded)
    telling = told.telling
    assert isinstance(telling, RefundRecorded)
    assert (telling.key, telling.amount) == (desk.refund().id, 3800)
    assert sum(part.net + part.tax for part in telling.parts) == 3800
    assert [(paid.psp_payment_id, paid.amount) for paid in telling.paid] == [("pi_1", 3800)]
    desk.accept("failed")
    assert len(of(desk, RefundRecorded)) == 1
    assert desk.raised() == ["recorded_failed"]


def test_a_hold_that_was_released_is_no_refund_in_the_shop() -> None:
    desk = Desk(contract_order(tenders=(card(10_200, 0),)))
    desk.outlets = (SHOP,)
    asked(desk, RefundIn(reason="cancelled"))
    assert of(desk, RefundRecorded) == []


def test_a_shop_hears_of_what_was_paid_of_a_refund_that_failed_in_part() -> None:
    """Else it would give that back again; what is paid of the rest later is told then."""
    order = contract_order(tenders=(card(6000), card(4200, name="pi_2")))
    desk = Desk(order, outlets=(SHOP,))
    asked(desk, RefundIn())
    desk.accept(leg=desk.leg(0))
    desk.answer(Declined("insufficient_funds"), desk.leg(1))
    told = [tell.telling for tell in desk.tells]
    assert [one.amount for one in told if isinstance(one, RefundRecorded)] == [6000]
    desk.tell(Retried(desk.refund(0).id))
    desk.accept(leg=desk.leg())
    told = [tell.telling for tell in desk.tells]
    found = [one for one in told if isinstance(one, RefundRecorded)]
    assert [one.amount for one in found] == [6000, 4200]
    assert len({one.key for one in found}) == 2


def test_a_part_that_fails_after_its_shop_was_told_of_it_is_a_persons() -> None:
    order = contract_order(tenders=(card(6000), card(4200, name="pi_2")))
    desk = Desk(order, outlets=(SHOP,))
    asked(desk, RefundIn())
    desk.accept(leg=desk.leg(0))
    desk.answer(Declined("insufficient_funds"), desk.leg(1))
    assert "recorded_failed" not in desk.raised()
    desk.accept("failed", leg=desk.leg(0))
    assert desk.raised().count("recorded_failed") == 1


def test_what_is_paid_anew_of_it_is_not_recorded_again() -> None:
    order = contract_order(tenders=(card(6000), card(4200, name="pi_2")))
    desk = Desk(order, outlets=(SHOP,))
    asked(desk, RefundIn())
    desk.accept(leg=desk.leg(0))
    desk.answer(Declined("insufficient_funds"), desk.leg(1))
    desk.accept("failed", leg=desk.leg(0))
    desk.tell(Retried(desk.order.refunds[0].id), "user:ada")
    for leg in desk.order.refunds[0].legs:
        if not leg.replaced:
            desk.accept(leg=leg)
    recorded = [t.telling for t in desk.tells if isinstance(t.telling, RefundRecorded)]
    assert sum(one.amount for one in recorded) == 10_200


def test_who_is_connected_later_hears_of_no_payment_of_what_it_never_had() -> None:
    early, late = (
        Outlet(name, frozenset(["credit_note", "refund_paid"])) for name in ("erp", "erp-2")
    )
    payments = Outlet("till", frozenset(["refund_paid"]))
    desk = Desk(contract_order(tenders=(card(10_200),)), outlets=(early,))
    asked(desk, RefundIn(amount=1000, reason="goodwill"))
    desk.outlets = (early, late, payments)
    desk.accept()
    told = [(t.connection, type(t.telling).__name__) for t in desk.tells]
    assert told == [("erp", "CreditNote"), ("erp", "RefundPaid"), ("till", "RefundPaid")]
