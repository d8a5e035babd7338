"""Every refusal of a quote says what was asked, what there is, and where in the request it stands;
and what tips an amount over is the last minor unit."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.decision import Method
from amends.core.facts import Canceled, RefundRequested
from amends.core.quote import basis_of, changed, compute
from amends.core.reasons import Reason
from amends.core.requests import (
    CaptureIn,
    ChargePick,
    LineAmount,
    LineIn,
    LinePick,
    PaymentKey,
    PspIn,
    RefundIn,
    ShippingIn,
    TenderIn,
)
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order
from tests.core.test_amounts import ask, desk_of
from tests.core.test_news import dispute
from tests.core.test_partly_failed import declined, paid
from tests.core.test_promotions import CLAWBACK, line, order_of, ten_off

SMALL = Amounts(minimum=(("EUR", 9_000),))


def told(desk: Desk, **asked: Any) -> tuple[Reason, str, dict[str, Any]]:
    found = desk.tell(RefundRequested(RefundIn(**asked))).refused
    assert found is not None
    return found.reason, found.detail, found.extra


@pytest.mark.parametrize(
    ("asked", "reason", "sentence", "extra"),
    [
        (
            {"lines": (LinePick("1", 1), LinePick("9", 1))},
            Reason.UNKNOWN_LINE,
            "The order has no line '9'; its lines are ['1'].",
            {"line": "9", "pointer": "/lines/1/id"},
        ),
        (
            {"adjustments": (LineAmount("9", 1),)},
            Reason.UNKNOWN_LINE,
            "The order has no line '9'; its lines are ['1'].",
            {"line": "9", "pointer": "/adjustments/0/id"},
        ),
        (
            {"charges": (ChargePick("w"), ChargePick("x"))},
            Reason.UNKNOWN_LINE,
            "The order has no charge 'x'; its charges are ['t', 'w'].",
            {"line": "x", "pointer": "/charges/1/id"},
        ),
        (
            {"charges": (ChargePick("t"),)},
            Reason.CHARGE_NOT_REFUNDABLE,
            "",
            {"charge": "t"},
        ),
        (
            {"charges": (ChargePick("w", 241),)},
            Reason.EXCEEDS_REMAINING,
            "240 of the charge 'w' is left, 241 was asked.",
            {"remaining": 240, "component": "charges"},
        ),
        (
            {"lines": (LinePick("1", 4),)},
            Reason.EXCEEDS_QUANTITY,
            "Line '1' has 3 units left, 4 were asked.",
            {"line": "1", "remaining_quantity": 3},
        ),
        (
            {"adjustments": (LineAmount("1", 9601),)},
            Reason.EXCEEDS_REMAINING,
            "9600 of the line '1' is left, 9601 was asked.",
            {"remaining": 9600, "line": "1"},
        ),
        (
            {"shipping": 601},
            Reason.EXCEEDS_REMAINING,
            "600 of the shipping is left, 601 was asked.",
            {"remaining": 600, "component": "shipping"},
        ),
        (
            {"amount": 10_941},
            Reason.EXCEEDS_REMAINING,
            "10940 EUR (minor units) is left, 10941 was asked.",
            {"remaining": 10_940},
        ),
    ],
)
def test_a_refusal_says_what_where_and_how_much(
    asked: dict[str, Any], reason: Reason, sentence: str, extra: dict[str, Any]
) -> None:
    found = told(desk_of(), **asked)
    assert (found[0], found[2]) == (reason, extra)
    assert found[1] == sentence or not sentence


def test_nothing_left_and_steps_say_so() -> None:
    desk = desk_of(charges=(), tenders=(card(10_200),))
    ask(desk)
    assert told(desk)[2] == {"remaining": 0}
    terms = {STRIPE: replace(TERMS, multiple_of=(("EUR", 100),))}
    assert told(Desk(terms=terms), amount=150)[1] == (
        "The provider pays EUR only in multiples of 100 minor units."
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (5_000, None),
        (5_001, Reason.EXCEEDS_TENDER),
        (9_999, Reason.EXCEEDS_TENDER),
        (10_200, Reason.EXCEEDS_TENDER),
        (10_201, Reason.EXCEEDS_REMAINING),
    ],
)
def test_more_than_the_tender_that_is_named_has_but_not_than_the_order(
    asked: int, reason: Reason | None
) -> None:
    gift = TenderIn(5_200, "gift_card", reference="G")
    desk = Desk(contract_order(tenders=(gift, card(5_000))))
    request = RefundIn(amount=asked, payment=PaymentKey(STRIPE, "pi_1"))
    found = desk.tell(RefundRequested(request)).refused
    assert (found and found.reason) == reason


def test_a_quote_names_its_order() -> None:
    desk = Desk()
    assert compute(desk.order, RefundIn(amount=1)).order == desk.order.id


def test_an_amount_is_of_what_was_worth_something() -> None:
    """A gift among the goods gives nothing back, to the last cent of the others."""
    goods = (LineIn("1", 1, 100), LineIn("2", 1, 0))
    desk = Desk(contract_order(lines=goods, shipping=(), tenders=(card(100),)))
    assert [share.id for share in ask(desk, amount=100).breakdown.lines] == ["1"]
    assert (
        told(Desk(contract_order(lines=goods, tenders=(card(700),))), lines=(LinePick("2", 1),))[0]
        is Reason.WORTH_NOTHING
    )


def test_an_amount_beyond_all_parts_is_of_none() -> None:
    desk = Desk(contract_order(lines=(), shipping=(ShippingIn("s1", 600),), tenders=(card(700),)))
    ask(desk, shipping="full")
    parts = ask(desk, amount=100).breakdown
    assert (parts.unallocated, parts.parts) == (100, ())


def test_an_amount_of_a_sale_that_is_undone_reaches_what_is_not_refundable_last() -> None:
    given = ask(desk_of(), amount=10_440, reason="cancelled").breakdown
    assert [charge.id for charge in given.charges] == ["w"]


def test_only_where_it_must_be_said_a_refund_is_of_one_capture() -> None:
    captures = (CaptureIn("A", 3_200), CaptureIn("B", 7_000))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 10_200, PspIn(captures=captures))
    order = Desk(contract_order(tenders=(tender,))).order
    (whole,) = compute(order, RefundIn()).portions
    assert (whole.amount, whole.capture) == (10_200, "")
    each = compute(order, RefundIn(), by_capture=frozenset((whole.payment,))).portions
    assert [(one.amount, one.capture) for one in each] == [(3_200, "A"), (7_000, "B")]


def test_what_no_known_capture_holds_is_not_quoted() -> None:
    captures = (CaptureIn("A", 3_200), CaptureIn("B", 6_000))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 10_200, PspIn(captures=captures))
    terms = {STRIPE: replace(TERMS, methods=(Method(per_capture=True),))}
    found = told(Desk(contract_order(tenders=(tender,)), terms=terms))
    assert (found[0], found[2]) == (Reason.CAPTURE_UNKNOWN, {"remaining": 9_200})


def test_too_little_says_the_least() -> None:
    desk = desk_of(SMALL)
    assert told(desk, amount=8_999, reason="return") == (
        Reason.BELOW_MINIMUM,
        "8999 EUR (minor units) was asked; the least refunded is 9000.",
        {"amount": 8_999, "minimum": 9_000},
    )
    assert told(desk, amount=1, reason="return")[0] is Reason.BELOW_MINIMUM
    assert ask(desk, amount=9_000, reason="return").amount == 9_000
    free = desk_of(SMALL, lines=(LineIn("1", 2, 0), LineIn("2", 1, 9_600)))
    assert told(free, lines=(LinePick("1", 1),))[0] is Reason.WORTH_NOTHING
    credit = Amounts(minimum=SMALL.minimum, below_minimum="credit")
    found = told(desk_of(credit), amount=8_999, reason="return")
    assert found[1].endswith(" As store credit it is given with the customer's `consent`.")


def test_what_is_left_is_little_only_where_nothing_else_could_follow() -> None:
    """A wrap that could still be given back: the goods alone are not all there is."""
    goods = {"lines": (LinePick("1", 3),), "shipping": "full", "reason": "return"}
    wanted = Amounts(minimum=(("EUR", 10_300),))
    assert told(desk_of(wanted), **goods)[0] is Reason.BELOW_MINIMUM
    assert ask(desk_of(wanted, charges=(), tenders=(card(10_200),)), **goods).amount == 10_200


def test_a_promotion_may_take_all_but_the_last_cent() -> None:
    """It is refused where nothing is left of what is worth something, not before."""
    kept = line("1", 1, 245, 24)
    assert ask(Desk(order_of(kept, line("2", 1, 27, 2)), policy=CLAWBACK), **one()).amount == 1
    found = told(Desk(order_of(kept, line("2", 1, 26, 2)), policy=CLAWBACK), **one())
    assert (found[0], found[2]) == (Reason.PROMOTION_EXCEEDS_REFUND, {"refund": 24, "lost": 24})
    found = told(Desk(order_of(kept, line("2", 1, 10, 1)), policy=CLAWBACK), **one())
    assert found[1] == "The return gives back 9 and loses 24 of a promotion."


def one() -> dict[str, Any]:
    return {"lines": (LinePick("2", 1),)}


def test_shipping_of_goods_that_cost_nothing_goes_back_whole() -> None:
    gift = contract_order(
        lines=(LineIn("1", 1, 0),), shipping=(ShippingIn("s1", 600),), tenders=(card(600),)
    )
    assert ask(Desk(gift), lines=(LinePick("1", 1),), shipping="proportional").amount == 600


def test_all_that_is_left_is_money_where_less_was_captured_than_sold() -> None:
    """5 was never captured: the rest does not make good what a promotion kept back before."""
    goods = (line("1", 1, 245, 24), line("2", 1, 100, 10))
    desk = Desk(order_of(*goods, tenders=(card(311, 306),)), policy=CLAWBACK)
    assert ask(desk, **one()).amount == 90 - 24
    rest = ask(desk)
    assert rest.amount == 306 - 66
    assert not any(share.quantity for share in rest.breakdown.lines)
    assert rest.breakdown.lost == ()


def test_the_last_cent_of_what_was_lost_comes_back_though_no_unit_is_left() -> None:
    """A cent of what a return gave back of a promotion could not be paid, and was given up: the
    line has its unit back all the same, by rounding, and the cent is still there for who asks."""
    goods = (line("1", 1, 245, 241), line("2", 1, 1000, 0))
    cards = (card(1003), card(1, name="pi_2"))
    report = order_of(*goods, promotion=ten_off(at_least=1100), tenders=cards)
    desk = Desk(report, policy=CLAWBACK)
    ask(desk, **one())
    paid(desk, 0)
    ask(desk, lines=(LinePick("1", 1),))
    assert [leg.amount for _, leg in desk.legs()] == [759, 244, 1]
    paid(desk, 1)
    desk.due(desk.leg(2))
    declined(desk, 2)
    desk.tell(Canceled(desk.refund().id))
    assert [share.quantity for share in desk.refund().breakdown.lines] == [1]
    rest = ask(desk).breakdown
    assert (rest.parts, [lost.gross for lost in rest.lost]) == ((), [-1])


def test_a_quote_is_made_on_what_the_order_is() -> None:
    desk = Desk()
    before = basis_of(desk.order, "p1")
    desk.tell(dispute(500))
    ask(desk, amount=100)
    names, sentence = changed(before, basis_of(desk.order, "p2"))
    assert names == ["refunds", "remaining", "disputes", "policy"]
    assert sentence == (
        "The order changed since the quote was made: 1 refunds count (were 0); "
        f"{desk.order.remaining} is left (was 10200); there are 1 disputes (were 0); "
        "another policy is in force. Ask for a new one."
    )
    assert changed(before, before)[1] == (
        "The order changed since the quote was made: what is left of it, or what the policy keeps "
        "back, is not what it was. "
        "Ask for a new one."
    )
