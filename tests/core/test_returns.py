"""Returns: authorized, on their way, here, looked at; and the refunds that wait for them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.facts import (
    CancelledLine,
    LinesCancelled,
    RefundRequested,
    ReturnAuthorized,
    ReturnCancelled,
    ReturnInspected,
    ReturnReceived,
    ReturnShipped,
)
from amends.core.order import shown_state
from amends.core.outlets import Goods, GoodsReturned, Outlet
from amends.core.policy import Row
from amends.core.reasons import Reason
from amends.core.requests import LinePick, RefundIn
from amends.core.stock import held, received, shipped
from amends.kernel.outcome import Declined
from tests.core.desk import Desk
from tests.core.test_policy import asked, policy
from tests.core.test_stock import COSTED, back, desk_of

SHOP = "connection:shop-1"
ERP = Outlet("erp", frozenset(["goods_returned", "lines_released"]))


def waits_for(what: str) -> Desk:
    return Desk(policy=policy(Row("yes", "true", "approve", wait_for=what)))  # type: ignore[arg-type]


def authorized(desk: Desk, units: int = 1, name: str = "r1") -> None:
    desk.tell(ReturnAuthorized(name, (LinePick("1", units),)), SHOP)


def states(desk: Desk) -> list[str]:
    return [one.state for one in desk.order.returns]


def test_a_return_goes_through_its_states_and_never_back() -> None:
    desk = Desk()
    authorized(desk)
    authorized(desk, 2)
    assert desk.order.returns[0].lines == (("1", 1),), "told again, it changes nothing"
    for fact, state in (
        (ReturnShipped("r1"), "shipped"),
        (ReturnReceived((LinePick("1", 1),), "r1", inspect=True), "received"),
        (ReturnShipped("r1"), "received"),
        (ReturnCancelled("r1"), "received"),
        (ReturnInspected("r1", (Goods("1", "", 1),)), "inspected"),
    ):
        desk.tell(fact, SHOP)
        assert states(desk) == [state]


def test_a_receipt_without_lines_is_of_what_was_authorized() -> None:
    desk = desk_of(COSTED)
    authorized(desk, 2)
    desk.tell(ReturnReceived((), "r1"), SHOP)
    assert received(desk.order) == Counter({"1": 2})


def test_what_the_order_does_not_have_is_not_authorized() -> None:
    desk = Desk()
    said = desk.tell(ReturnAuthorized("r1", (LinePick("9", 1),)), SHOP).refused
    assert said and said.reason is Reason.UNKNOWN_LINE
    said = desk.tell(ReturnAuthorized("r1", (LinePick("1", 9),)), SHOP).refused
    assert said and said.reason is Reason.EXCEEDS_QUANTITY


@pytest.mark.parametrize(
    ("what", "leaves_at"), [("shipment", 1), ("receipt", 2), ("inspection", 3)]
)
def test_a_refund_leaves_as_soon_as_the_goods_are_so_far_back(what: str, leaves_at: int) -> None:
    desk = waits_for(what)
    authorized(desk)
    asked(desk)
    steps = (
        ReturnShipped("r1"),
        ReturnReceived((LinePick("1", 1),), "r1"),
        ReturnInspected("r1", (Goods("1", "TEA", 1, "write_off"),)),
    )
    for number, fact in enumerate(steps, 1):
        waits = number <= leaves_at
        assert shown_state(desk.refund()) == ("awaiting_return" if waits else "sending")
        if number == 3 and leaves_at < 3:
            return
        desk.tell(fact, SHOP)
    assert shown_state(desk.refund()) == "sending"


def test_a_parcel_that_is_cancelled_on_its_way_is_not_waited_for_as_here() -> None:
    desk = waits_for("receipt")
    authorized(desk)
    asked(desk)
    desk.tell(ReturnCancelled("r1"), SHOP)
    assert shown_state(desk.refund()) == "awaiting_return"


def test_goods_that_are_to_be_looked_at_are_no_stock_before() -> None:
    desk = desk_of(COSTED)
    desk.tell(ReturnReceived((LinePick("1", 3),), "r1", inspect=True))
    assert (desk.balance("inventory"), desk.moved) == (0, [])
    assert held(desk.order) == Counter({"1": 3})
    desk.tell(ReturnInspected("r1", (Goods("1", "", 1, "write_off"), Goods("1", "", 1, "restock"))))
    assert desk.balance("inventory") == 333, "what is written off was never stock again"
    desk.tell(ReturnInspected("r1", (Goods("1", "", 1, "quarantine", "Q1"),)))
    assert desk.balance("inventory") == 333 + 333
    told = [(m.goods.sku, m.goods.units, m.goods.disposition, m.goods.location) for m in desk.moved]
    assert told == [
        ("TEA", 1, "restock", ""),
        ("TEA", 1, "write_off", ""),
        ("TEA", 1, "quarantine", "Q1"),
    ]
    assert [m.number for m in desk.moved] == [1, 2, 3]


def test_no_more_is_looked_at_than_came_back() -> None:
    desk = desk_of(COSTED)
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1", inspect=True))
    said = desk.tell(ReturnInspected("r1", (Goods("1", "", 2),))).refused
    assert said and said.reason is Reason.EXCEEDS_QUANTITY
    said = desk.tell(ReturnInspected("r9", (Goods("1", "", 1),))).refused
    assert said and said.reason is Reason.UNKNOWN_RETURN
    assert desk.moved == []


def test_whoever_keeps_stock_is_told_but_not_by_whom_it_was_told() -> None:
    shop = Outlet("shop-1", frozenset(["goods_returned"]), own_orders=True)
    desk = desk_of(COSTED)
    desk.outlets = (ERP, shop)
    back(desk, 1, "r1")
    assert [tell.connection for tell in desk.tells] == ["erp", "shop-1"]
    desk.tell(ReturnReceived((LinePick("1", 1),), "r2"), SHOP)
    assert [tell.connection for tell in desk.tells[2:]] == ["erp"]
    (telling,) = {tell.telling for tell in desk.tells[2:]}
    assert isinstance(telling, GoodsReturned)
    assert telling.lines == (Goods("1", "TEA", 1),)
    assert [tell.number for tell in desk.tells] == [1, 2, 3]
    assert len({tell.telling.key for tell in desk.tells}) == 2


def test_edge_24_refund_then_cancel_then_receipt_stock_rises_by_what_was_shipped() -> None:
    """Two of three left; one was cancelled before it did."""
    desk = desk_of(replace(COSTED, fulfilled=2))
    desk.tell(LinesCancelled((CancelledLine("1", 1),)), SHOP)
    asked(desk, RefundIn(lines=(LinePick("1", 2),)))
    back(desk, 3, "r1")
    assert sum(m.goods.units for m in desk.moved) == 2
    assert desk.raised()[-1:] == ["returned_beyond_shipped"]


def test_edge_24_a_refund_that_fails_does_not_undo_a_receipt() -> None:
    desk = desk_of(COSTED)
    asked(desk, RefundIn(lines=(LinePick("1", 1),)))
    back(desk, 1, "r1")
    desk.due()
    desk.answer(Declined("charge_disputed"))
    assert received(desk.order) == Counter({"1": 1})
    assert desk.balance("inventory") == 333


_STEP = st.one_of(
    st.tuples(st.just("cancel"), st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.just("receive"), st.integers(1, 4), st.sampled_from(["a", "b", "c", ""])),
    st.tuples(st.just("held"), st.integers(1, 4), st.sampled_from(["d", "e"])),
    st.tuples(st.just("inspect"), st.integers(1, 4), st.sampled_from(["d", "e"])),
    st.tuples(st.just("refund"), st.integers(1, 3), st.just("")),
)


@given(st.lists(_STEP, max_size=12))
def test_units_are_conserved_whatever_comes_in_whatever_order(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """I8: what is stock again was received or had never left, once; inventory is never worth more
    than the goods had cost, and never less than nothing."""
    desk = desk_of(COSTED)
    for what, units, name in steps:
        if what == "cancel":
            told = CancelledLine("1", min(3, units), min(3, units, int(name)))
            desk.tell(LinesCancelled((told,)), SHOP)
        elif what in ("receive", "held"):
            desk.tell(ReturnReceived((LinePick("1", units),), name, inspect=what == "held"))
        elif what == "inspect":
            desk.tell(ReturnInspected(name, (Goods("1", "", units, "write_off"),)))
        else:
            desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", units),))))
        order = desk.order
        here, looked_at = received(order), held(order)
        moved = sum(m.goods.units for m in desk.moved)
        assert here["1"] <= 3
        assert moved == here["1"] - looked_at["1"]
        assert here["1"] <= shipped(order)["1"] or order.cancelled_lines
        assert 0 <= desk.balance("inventory") <= 1000
        assert sum(r.breakdown.units["1"] for r in order.refunds if r.stage != "declined") <= 3


def test_goods_that_are_named_by_their_sku_are_of_the_lines_that_have_it() -> None:
    other = replace(COSTED, id="2", quantity=1, total=3200, fulfilled=1, cost=400, taxes=())
    desk = desk_of(replace(COSTED, fulfilled=2), other)
    desk.tell(ReturnReceived((LinePick("TEA", 3),), "r1", inspect=True))
    assert held(desk.order) == Counter({"1": 2, "2": 1})
    desk.tell(ReturnInspected("r1", (Goods("", "TEA", 2, "write_off"), Goods("2", "", 1))))
    moved = [(m.goods.line, m.goods.units, m.goods.disposition) for m in desk.moved]
    assert moved == [("2", 1, "restock"), ("1", 2, "write_off")]
    desk.tell(ReturnReceived((LinePick("COFFEE", 1),), "r2"))
    assert desk.raised() == ["returned_beyond_shipped"]
