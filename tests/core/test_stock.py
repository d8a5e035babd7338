"""Goods that come back are in stock again, and in the books, at most once per unit shipped (I8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.facts import LinesUnavailable, OrderReported, RefundRequested, ReturnReceived
from amends.core.requests import LineIn, LinePick, RefundIn
from amends.core.stock import shipped
from amends.engine.proof import wrong
from amends.store.spec import Books
from tests.core.desk import TEA, Desk, card, contract_order

COSTED = replace(TEA, cost=1000)


def desk_of(*lines: LineIn, currency: str = "EUR") -> Desk:
    whole = sum(line.total for line in lines)
    return Desk(
        contract_order(
            lines=lines, shipping=(), tenders=(card(whole),), currency=currency, version=1
        )
    )


def back(desk: Desk, units: int, name: str = "", line: str = "1") -> None:
    desk.tell(ReturnReceived((LinePick(line, units),), name))


def test_edge_24_a_unit_is_in_stock_again_once_and_the_last_takes_the_residue() -> None:
    desk = desk_of(COSTED)
    for name in ("r1", "r1", "r2"):
        back(desk, 1, name)
    assert [e.kind for e in desk.entries] == ["restock", "restock"]
    assert (desk.balance("inventory"), desk.balance("cost_of_goods")) == (667, -667)
    back(desk, 1, "r3")
    assert desk.balance("inventory") == 1000
    back(desk, 1, "r4")
    assert desk.balance("inventory") == 1000
    assert desk.raised() == ["returned_beyond_shipped"]
    assert list(wrong(Books(desk.order, tuple(desk.entries)))) == []


def test_edge_24_what_was_not_shipped_does_not_come_back() -> None:
    desk = desk_of(replace(COSTED, fulfilled=1))
    back(desk, 2)
    assert desk.balance("inventory") == 333
    back(desk, 1, line="9")
    assert desk.raised() == ["returned_beyond_shipped"] * 2


def test_it_is_in_the_currency_of_the_books() -> None:
    desk = desk_of(COSTED, currency="USD")
    back(desk, 3)
    (entry,) = desk.entries
    assert (entry.currency, entry.functional_currency) == ("EUR", "EUR")
    assert {p.amount for p in entry.postings} == {p.functional for p in entry.postings}
    assert entry.hash in desk.events[-1].entries


def test_a_line_that_does_not_say_its_cost_is_on_the_trail_alone() -> None:
    desk = desk_of(TEA)
    back(desk, 3)
    assert desk.entries == []
    assert desk.events[-1].type == "return.received"


def test_a_refund_and_a_newer_report_leave_what_came_back() -> None:
    desk = desk_of(COSTED)
    back(desk, 2, "r1")
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 2),))))
    report = contract_order(lines=(COSTED,), shipping=(), tenders=(card(COSTED.total),), version=2)
    desk.tell(OrderReported(report))
    back(desk, 2, "r1")
    back(desk, 2, "r2")
    assert desk.balance("inventory") == 1000
    assert desk.raised() == ["returned_beyond_shipped"]


def test_edge_21_what_was_never_shipped_is_not_in_stock_again() -> None:
    """The shop does not say what it shipped, but that one of three was out of stock."""
    desk = desk_of(replace(COSTED, fulfilled=0))
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    back(desk, 3)
    assert desk.balance("inventory") == 667
    assert desk.raised() == ["returned_beyond_shipped"]


def test_a_line_comes_back_at_what_it_cost_though_that_is_told_anew() -> None:
    desk = desk_of(COSTED)
    back(desk, 1)
    for version, cost in ((2, 4000), (3, 0)):
        newer = replace(COSTED, cost=cost)
        report = {"lines": (newer,), "shipping": (), "tenders": (card(9600),), "version": version}
        desk.tell(OrderReported(contract_order(**report)))
        back(desk, 1)
    assert desk.balance("inventory") == 2667, "what has no cost told changes nothing"


@given(
    cost=st.integers(0, 10**9),
    quantity=st.integers(1, 20),
    shipped=st.integers(0, 20),
    units=st.lists(st.integers(1, 8), max_size=12),
)
def test_any_sequence_of_receipts(cost: int, quantity: int, shipped: int, units: list[int]) -> None:
    line = LineIn("1", quantity, 9600, cost=cost, fulfilled=min(shipped, quantity))
    desk = desk_of(line)
    for number, some in enumerate(units):
        back(desk, some, f"r{number}")
    most = line.fulfilled or quantity
    there = min(sum(units), most)
    assert abs(desk.balance("inventory") * quantity - cost * there) * 2 <= quantity
    assert desk.balance("inventory") <= cost
    if there == quantity:
        assert desk.balance("inventory") == cost


def test_units_out_of_stock_that_are_named_twice_were_never_shipped_twice() -> None:
    told = replace(TEA, fulfilled=0)
    desk = Desk(contract_order(lines=(told,)))
    desk.tell(LinesUnavailable((LinePick("1", 1), LinePick("1", 1))), "connection:shop-1")
    assert shipped(desk.order) == {"1": 1}
