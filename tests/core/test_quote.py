"""How much: exact over any sequence of partial refunds, whatever the order was (I6)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.decision import Terms
from amends.core.facts import RefundRequested
from amends.core.order import Order
from amends.core.quote import Quote, adopted, compute
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    RefundIn,
    ShippingIn,
    TaxIn,
)
from amends.kernel.time import DAY, SECOND
from tests.core.desk import STRIPE, TEA, Desk, card, contract_order

NAMES = ("VAT", "city", "eco")


def taxes(most: int, exclusive: bool) -> st.SearchStrategy[tuple[TaxIn, ...]]:
    """Up to three taxes, of which two may share a name; inside `most` where prices include them."""
    cap = most if exclusive else most // 3
    amounts = st.integers(0, cap)
    return st.lists(st.builds(TaxIn, st.sampled_from(NAMES), amounts), max_size=3).map(tuple)


@st.composite
def orders(draw: st.DrawFn) -> OrderIn:
    included = draw(st.booleans())
    lines = []
    for number in range(draw(st.integers(1, 4))):
        total = draw(st.integers(0, 20_000))
        found = draw(taxes(total, not included))
        lines.append(LineIn(f"l{number}", draw(st.integers(1, 7)), total, taxes=found))
    shipping = []
    for number in range(draw(st.integers(0, 2))):
        total = draw(st.integers(0, 900))
        shipping.append(ShippingIn(f"s{number}", total, taxes=draw(taxes(total, not included))))
    items = (*lines, *shipping)
    whole = sum(i.total for i in items)
    whole += 0 if included else sum(t.amount for i in items for t in i.taxes)
    first = draw(st.integers(0, whole))
    paid = [
        card(amount, None, f"pi_{n}") for n, amount in enumerate((first, whole - first)) if amount
    ]
    return OrderIn(
        OrderKey("shop-1", "1"),
        draw(st.sampled_from(["EUR", "JPY", "USD"])),
        tuple(lines),
        tuple(paid) or (card(1),),
        prices_include_tax=included,
        shipping=tuple(shipping),
    )


def asks(order: OrderIn) -> st.SearchStrategy[RefundIn]:
    ids = st.sampled_from([line.id for line in order.lines])
    picks = st.lists(st.builds(LinePick, ids, st.integers(1, 4)), min_size=1, max_size=3)
    shipping = st.one_of(st.sampled_from(["none", "full"]), st.integers(1, 300))
    return st.one_of(
        st.builds(RefundIn, lines=picks.map(tuple), shipping=shipping),
        st.builds(RefundIn, shipping=shipping),
        st.builds(RefundIn, amount=st.integers(1, 8000)),
    )


def components(order: Order) -> dict[tuple[str, str], int]:
    """What each line and shipping charge was, by component."""
    found: dict[tuple[str, str], int] = {}
    for item in (*order.lines, *order.shipping):
        found[item.id, "net"] = item.total - sum(t.amount for t in item.taxes)
        for tax in item.taxes:
            found[item.id, tax.name] = found.get((item.id, tax.name), 0) + tax.amount
    return found


def given_back(order: Order) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for refund in order.refunds:
        for part in (*refund.breakdown.lines, *refund.breakdown.shipping):
            found[part.id, "net"] = found.get((part.id, "net"), 0) + part.net
            for share in part.taxes:
                found[part.id, share.name] = found.get((part.id, share.name), 0) + share.amount
    return found


@settings(max_examples=150)
@given(data=st.data())
def test_edge_14_any_sequence_ends_exactly_at_zero(data: st.DataObject) -> None:
    """Each component gives back at most what it was, and all of it once everything is back."""
    report = data.draw(orders())
    desk = Desk(report)
    whole = components(desk.order)
    assert all(value >= 0 for value in whole.values())
    for request in data.draw(st.lists(asks(report), max_size=6)):
        decision = desk.tell(RefundRequested(request))  # Desk checks every component
        if decision.refused:
            continue
        refund = desk.refund()
        assert refund.amount == refund.breakdown.total == sum(g.amount for g in refund.legs) > 0
        if request.amount is not None:
            assert refund.amount == request.amount
    left = desk.order.remaining
    rest = desk.tell(RefundRequested(RefundIn()))
    assert (rest.refused is None) == (left > 0)
    assert desk.order.remaining == 0
    if sum(whole.values()) == sum(p.captured for p in desk.order.payments):
        back = given_back(desk.order)
        assert {key: back.get(key, 0) for key in whole} == whole
        assert not any(refund.breakdown.unallocated for refund in desk.order.refunds)


@settings(max_examples=60)
@given(
    quantity=st.integers(1, 9),
    total=st.integers(1, 999),
    tax=st.integers(0, 300),
    data=st.data(),
)
def test_edge_14_units_in_any_order(quantity: int, total: int, tax: int, data: Any) -> None:
    """3 x 0.333: each unit is within one minor unit of the others, and they sum to the line."""
    line = LineIn("1", quantity, total, taxes=(TaxIn("VAT", min(tax, total)),))
    desk = Desk(contract_order(lines=(line,), shipping=(), tenders=(card(total),)))
    amounts = []
    for _ in range(quantity):
        decision = desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
        amounts.append(0 if decision.refused else desk.refund().amount)
    if total >= quantity:
        assert sum(amounts) == total
        assert max(amounts) - min(amounts) <= 1


def test_the_contracts_example() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
    (line,) = desk.refund().breakdown.lines
    assert (line.id, line.quantity, line.net, line.tax) == ("1", 1, 2667, 533)
    assert desk.refund().amount == 3200


@pytest.mark.parametrize(("currency", "total"), [("JPY", 1000), ("KWD", 1000), ("CLF", 7)])
def test_edge_16_minor_units_are_the_currencys_own(currency: str, total: int) -> None:
    line = LineIn("1", 3, total)
    report = contract_order(currency=currency, lines=(line,), shipping=(), tenders=(card(total),))
    order = Desk(report, functional=currency).order
    quotes = compute(order, RefundIn(lines=(LinePick("1", 1),)))
    assert quotes.amount == (2 * total + 3) // 6
    assert quotes.currency == currency


def test_taxes_on_top_of_prices() -> None:
    line = LineIn("1", 2, 1000, taxes=(TaxIn("state", 60), TaxIn("city", 25)))
    report = contract_order(
        lines=(line,), shipping=(), tenders=(card(1085),), prices_include_tax=False
    )
    order = Desk(report).order
    assert order.lines[0].total == 1085
    (part,) = compute(order, RefundIn(lines=(LinePick("1", 1),))).breakdown.lines
    assert (part.net, [(t.name, t.amount) for t in part.taxes]) == (
        500,
        [("state", 30), ("city", 13)],
    )


def quote_of(order: Order, **asked: Any) -> Quote:
    return compute(order, RefundIn(**asked))


def test_all_that_is_left_names_units_and_shipping() -> None:
    quote = quote_of(Desk().order)
    assert quote.amount == 10_200
    assert [(p.id, p.quantity) for p in quote.breakdown.lines] == [("1", 3)]
    assert quote.breakdown.shipping[0].gross == 600
    assert [(p.kind, p.amount) for p in quote.portions] == [("refund", 10_200)]


def test_edge_19_all_never_exceeds_what_the_payment_took() -> None:
    """The rest was paid by gift card, which does not come out of the card."""
    quote = quote_of(Desk(contract_order(tenders=(card(5000),))).order)
    assert quote.amount == 5000
    assert quote.breakdown.unallocated == 0


def test_portions_go_over_the_payments_in_order() -> None:
    report = contract_order(tenders=(card(4000), card(6200, 0, "pi_2")))
    quote = quote_of(Desk(report).order, amount=5000)
    assert [(p.kind, p.amount) for p in quote.portions] == [("refund", 4000), ("void", 1000)]


def test_an_order_without_details_is_unallocated() -> None:
    quote = quote_of(Desk(contract_order(lines=(), shipping=())).order, amount=500)
    assert quote.breakdown.unallocated == 500
    assert adopted(Desk().order, 99_999).unallocated == 99_999 - 10_200


def test_the_hash_binds_amount_breakdown_and_payments() -> None:
    order = Desk().order
    by_line = quote_of(order, lines=(LinePick("1", 1),))
    assert quote_of(order, lines=(LinePick("1", 1),)).hash == by_line.hash
    assert quote_of(order, amount=3200).hash != by_line.hash
    split = Desk(contract_order(tenders=(card(3000), card(7200, None, "pi_2")))).order
    assert quote_of(split, lines=(LinePick("1", 1),)).hash != by_line.hash


REFUSALS: list[tuple[dict[str, Any], Reason, dict[str, Any]]] = [
    (
        {"lines": (LinePick("9", 1),)},
        Reason.UNKNOWN_LINE,
        {"line": "9", "pointer": "/lines/0/id"},
    ),
    (
        {"lines": (LinePick("1", 4),)},
        Reason.EXCEEDS_QUANTITY,
        {"line": "1", "remaining_quantity": 3},
    ),
    (
        {"lines": (LinePick("1", 2), LinePick("1", 2))},
        Reason.EXCEEDS_QUANTITY,
        {"line": "1", "remaining_quantity": 1},
    ),
    ({"amount": 10_201}, Reason.EXCEEDS_REMAINING, {"remaining": 10_200}),
    ({"shipping": 601}, Reason.EXCEEDS_REMAINING, {"remaining": 600, "component": "shipping"}),
]


@pytest.mark.parametrize(("asked", "reason", "extra"), REFUSALS)
def test_refusals_say_what_is_left(
    asked: dict[str, Any], reason: Reason, extra: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as refused:
        quote_of(Desk().order, **asked)
    assert refused.value.refusal.reason is reason
    assert refused.value.refusal.extra == extra


def test_nothing_left() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn()))
    for asked in ({}, {"shipping": "full"}):
        with pytest.raises(Refused) as refused:
            quote_of(desk.order, **asked)
        assert refused.value.refusal.reason is Reason.NOTHING_LEFT


def test_multiples_the_provider_pays_in() -> None:
    terms = Terms(DAY, 5 * SECOND, DAY, multiple_of=(("EUR", 100),))
    desk = Desk(terms={STRIPE: terms})
    decision = desk.tell(RefundRequested(RefundIn(amount=150)))
    assert decision.refused is not None
    assert decision.refused.reason is Reason.AMOUNT_NOT_PAYABLE
    assert decision.refused.extra == {"multiple_of": 100, "amount": 150}
    assert desk.tell(RefundRequested(RefundIn(amount=200))).refused is None


@settings(max_examples=60)
@given(report=orders(), data=st.data())
def test_edge_10_what_others_gave_back_never_exceeds_a_component(
    report: OrderIn, data: st.DataObject
) -> None:
    desk = Desk(report)
    with contextlib.suppress(Refused):
        desk.tell(RefundRequested(data.draw(asks(report))))
    amount = data.draw(st.integers(0, 50_000))
    breakdown = adopted(desk.order, amount)
    assert breakdown.total == amount
    left = components(desk.order)
    for key, value in given_back(desk.order).items():
        left[key] -= value
    for part in (*breakdown.lines, *breakdown.shipping):
        assert 0 <= part.net <= left[part.id, "net"]
        assert all(0 < share.amount <= left[part.id, share.name] for share in part.taxes)


def test_the_tea_of_the_contract_is_the_tea_here() -> None:
    assert (TEA.total, TEA.taxes[0].amount) == (9600, 1600)
