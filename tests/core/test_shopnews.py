"""What a shop tells of its orders: units it cancelled, and refunds it made."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace

from amends.core.facts import (
    CancelledLine,
    LinesCancelled,
    LinesUnavailable,
    OrderCancelled,
    RefundedLine,
    RefundMade,
    RefundReported,
    RefundRequested,
)
from amends.core.order import shown_state
from amends.core.outlets import Goods, LinesReleased, Outlet
from amends.core.requests import LinePick, RefundIn
from amends.kernel.outcome import Accepted, RefundState
from tests.core.desk import STRIPE, TEA, TERMS, Desk
from tests.core.test_policy import asked
from tests.core.test_stock import COSTED, desk_of

SHOP = "connection:shop-1"
ONE = LinesCancelled((CancelledLine("1", 1),))


def outside(amount: int, name: str = "re_9") -> RefundReported:
    return RefundReported(STRIPE, ("pi_1",), RefundState(name, "succeeded", amount, "EUR"))


def told(desk: Desk, *facts: object) -> None:
    for fact in facts:
        actor = SHOP if isinstance(fact, LinesCancelled | RefundMade) else f"connection:{STRIPE}"
        desk.tell(fact, actor)


def amounts(desk: Desk) -> list[int]:
    return [r.amount for r in desk.order.refunds if r.stage != "declined"]


def test_edge_07_a_count_told_twice_or_late_is_made_good_once() -> None:
    for counts in ((1, 2), (2, 1), (2, 2), (1, 2, 1)):
        desk = desk_of(TEA)
        for units in counts:
            told(desk, LinesCancelled((CancelledLine("1", units),)))
        assert sum(amounts(desk)) == 6400, counts


def test_edge_21_what_was_exchanged_for_other_goods_is_a_person_s() -> None:
    desk = desk_of(TEA)
    told(desk, replace(ONE, exchanged=True))
    (refund,) = desk.order.refunds
    assert (refund.stage, refund.amount) == ("review", 3200)
    assert refund.verdict is not None
    assert refund.verdict.code == "units_exchanged"


def test_units_of_a_line_that_is_not_there_are_no_news() -> None:
    desk = desk_of(TEA)
    before = desk.order
    told(desk, LinesCancelled((CancelledLine("9", 1),)), LinesCancelled((CancelledLine("1", 0),)))
    assert desk.order == before


def test_what_never_left_is_released_and_what_had_left_is_stock_again_elsewhere() -> None:
    desk = desk_of(COSTED)
    desk.outlets = (
        Outlet("erp", frozenset(["goods_returned", "lines_released"])),
        Outlet("shop-1", frozenset(["goods_returned", "lines_released"]), own_orders=True),
    )
    told(desk, LinesCancelled((CancelledLine("1", 3, 1),)))
    assert [(tell.connection, type(tell.telling).__name__) for tell in desk.tells] == [
        ("erp", "GoodsReturned"),
        ("erp", "LinesReleased"),
    ]
    released = desk.tells[1].telling
    assert isinstance(released, LinesReleased)
    assert released.lines == (Goods("1", "TEA", 2),)
    assert desk.balance("inventory") == 333
    assert desk.refund().amount == 9600


def test_units_that_were_refunded_already_are_a_question_for_a_person() -> None:
    desk = desk_of(TEA)
    asked(desk, RefundIn(lines=(LinePick("1", 1),)))
    told(desk, ONE)
    assert [shown_state(r) for r in desk.order.refunds] == ["sending", "review"]
    verdict = desk.refund().verdict
    assert verdict and verdict.rule == "units-refunded-before"


def test_nothing_is_left_to_ask_for_is_no_question() -> None:
    desk = desk_of(TEA)
    asked(desk, RefundIn(lines=(LinePick("1", 3),)))
    told(desk, ONE)
    assert len(desk.order.refunds) == 1


MADE = RefundMade("sr-1", 3200, "EUR", lines=(RefundedLine("1", 1, 3200),))


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])))
def test_edge_10_a_refund_of_the_shop_and_its_cancellation_pay_once_in_any_order(
    order: tuple[int, ...],
) -> None:
    """The provider reports it too; the money left once, and it is for that unit. Where the
    cancellation comes first nobody can know: amends pays, and a person is called as the shop tells
    of its own. Where only the provider has told, nobody knows of what: a person decides."""
    news = (MADE, outside(3200), ONE)
    desk = desk_of(TEA)
    told(desk, *(news[n] for n in order))
    (external,) = [r for r in desk.order.refunds if r.external]
    assert external.breakdown.units == {"1": 1}
    ours = [r for r in desk.order.refunds if not r.external]
    first, knew = order[0] == 2, order.index(0) < order.index(2)
    assert ("refunded_beside" in desk.raised()) != knew
    if knew:
        assert ours == []
    elif not first:
        assert [shown_state(r) for r in ours] == ["review"]
    told(desk, *news)
    assert len(desk.order.refunds) == 1 + len(ours), "told again, it is no news"


def test_edge_10_the_next_refund_sees_what_the_shop_gave_back() -> None:
    desk = desk_of(TEA)
    told(desk, MADE, outside(3200))
    assert desk.order.remaining == 6400
    left = desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 3),))))
    assert left.refused and left.refused.reason == "exceeds_quantity"


def test_the_echo_of_our_own_refund_is_no_second_one() -> None:
    desk = desk_of(COSTED)
    refund = asked(desk, RefundIn(lines=(LinePick("1", 1),)))
    told(desk, replace(MADE, mark=refund.id))
    assert len(desk.order.refunds) == 1
    assert desk.order.shop_refunds[0].ours == refund.id


@pytest.mark.parametrize("answered_first", [True, False])
def test_edge_10_an_echo_without_our_mark_is_known_by_the_providers_name(
    answered_first: bool,
) -> None:
    """Else it would count as a refund of the shop's own that is still looked for, and what the shop
    cancels next would be taken to be paid by it: nobody would ever refund that."""
    desk = desk_of(TEA)
    refund = asked(desk, RefundIn(lines=(LinePick("1", 1),)))
    desk.due()
    answer, echo = Accepted(refund=desk.state(psp_id="re_7")), replace(MADE, psp_refund_id="re_7")
    for step in (1, 2) if answered_first else (2, 1):
        if step == 1:
            desk.answer(answer)
        else:
            told(desk, echo)
    (known,) = desk.order.shop_refunds
    assert (known.ours, known.refund, known.unseen) == (refund.id, "", False)
    told(desk, ONE)
    assert [shown_state(r) for r in desk.order.refunds] == ["succeeded", "review"]
    told(desk, LinesCancelled((CancelledLine("1", 3),)))
    assert sum(r.breakdown.units["1"] for r in desk.order.refunds) == 3


def test_a_providers_name_that_is_of_no_refund_of_ours_is_the_shops_own() -> None:
    desk = desk_of(TEA)
    asked(desk, RefundIn(lines=(LinePick("1", 1),)))
    desk.due()
    desk.accept()
    told(desk, replace(MADE, psp_refund_id="re_8"), outside(3200, "re_8"))
    assert [r.external for r in desk.order.refunds] == [False, True]
    (known,) = desk.order.shop_refunds
    assert (known.ours, known.refund) == ("", desk.order.refunds[1].id)


def test_a_mark_that_is_not_ours_is_not_believed() -> None:
    desk = desk_of(TEA)
    told(desk, replace(MADE, mark="rf_somebody"), outside(3200))
    assert [r.external for r in desk.order.refunds] == [True]


def test_the_provider_is_asked_about_money_that_only_the_shop_has_told_of() -> None:
    desk = desk_of(TEA)
    told(desk, MADE)
    assert desk.order.refunds == ()
    assert desk.payment().reread
    desk.due_reread()
    assert desk.order.refunds == ()


def test_where_nothing_can_be_looked_up_the_shop_is_believed_if_it_names_the_refund() -> None:
    """The provider's own news of it is the same one then, and would be a second one else."""
    desk = Desk(terms={STRIPE: replace(TERMS, lookup=False)})
    told(desk, MADE)
    assert (desk.order.refunds, desk.raised()) == ((), ["shop_refund_unseen"])
    told(desk, replace(MADE, refund="sr-2", psp_refund_id="re_9"), outside(3200))
    assert [(r.external, r.amount) for r in desk.order.refunds] == [(True, 3200)]
    assert desk.order.remaining == 7000


def test_a_restock_without_money_is_only_goods() -> None:
    desk = desk_of(COSTED)
    told(desk, RefundMade("sr-2", 0, "EUR", lines=(RefundedLine("1", 1, 0, 1),)))
    assert desk.order.refunds == ()
    assert desk.balance("inventory") == 333


def test_amounts_that_the_lines_do_not_explain_stay_unallocated() -> None:
    desk = desk_of(TEA)
    told(desk, replace(MADE, amount=4000), outside(4000))
    (external,) = desk.order.refunds
    assert (external.breakdown.unallocated, external.breakdown.total) == (800, 4000)


def test_a_refund_of_the_shop_in_another_currency_is_a_persons() -> None:
    desk = desk_of(TEA)
    told(desk, replace(MADE, currency="USD"))
    assert desk.raised() == ["currency_mismatch"]


def test_edge_10_units_of_a_refund_that_is_not_seen_yet_are_not_refunded_again() -> None:
    """One message of a shop tells its refund and what it cancelled; its provider is still to be
    asked about the money."""
    desk = desk_of(TEA)
    made = RefundMade("gid-1", 3200, "EUR", lines=(RefundedLine("1", 1, 3200),))
    told(desk, made, ONE)
    assert amounts(desk) == []
    told(desk, outside(3200))
    assert amounts(desk) == [3200]


def test_a_refund_of_no_lines_that_is_not_seen_yet_may_be_for_what_was_cancelled() -> None:
    desk = desk_of(TEA)
    told(desk, RefundMade("gid-1", 3200, "EUR"), ONE)
    assert [refund.stage for refund in desk.order.refunds] == ["review"]


def test_units_cancelled_before_that_are_out_of_stock_too_are_a_question_for_a_person() -> None:
    desk = desk_of(TEA)
    told(desk, ONE)
    desk.tell(LinesUnavailable((LinePick("1", 1),)), SHOP)
    assert [refund.stage for refund in desk.order.refunds] == ["active", "review"]


def test_a_cancellation_while_the_shops_refund_is_looked_for_is_a_persons() -> None:
    desk = desk_of(TEA)
    told(desk, MADE)
    desk.tell(OrderCancelled(), SHOP)
    assert [shown_state(r) for r in desk.order.refunds] == ["review"]


def test_who_is_told_is_part_of_what_a_decision_saw() -> None:
    desk = desk_of(TEA)
    plain = desk.ctx().digest
    desk.outlets = (Outlet("erp", frozenset(["credit_note"])),)
    assert desk.ctx().digest != plain
