"""Any order and any sequence of partial refunds over every component (I6, edges 14, 16 and 18).

Orders have lines, shipping, charges, several taxes, discounts and promotions, in currencies of
none, two and three decimals, priced with tax or without; requests are by units, by amount, off the
price, of shipping and charges, with fees, as compensation, by choice or by law. The desk checks
every component after every step.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.amounts import Amounts
from amends.core.facts import RefundRequested
from amends.core.policy import built_in
from amends.core.requests import (
    ChargeIn,
    ChargePick,
    DiscountIn,
    FeeIn,
    LineAmount,
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    PromotionIn,
    RefundIn,
    ShippingIn,
    TaxIn,
    TierIn,
)
from tests.core.desk import Desk, card

CURRENCIES = ("JPY", "EUR", "KWD", "CLP", "BHD", "USD")
KINDS = ("threshold", "free_shipping", "buy_get")
CLAWBACK = built_in(10**9, amounts=Amounts(promotion_lost="clawback"))
NAMES = ("VAT", "city")


@st.composite
def taxes(draw: st.DrawFn, total: int) -> tuple[TaxIn, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=2))
    return tuple(TaxIn(name, draw(st.integers(0, total // 3))) for name in names)


@st.composite
def promotions(draw: st.DrawFn, lines: list[str]) -> PromotionIn:
    kind = draw(st.sampled_from(KINDS))
    counting = tuple(sorted(draw(st.sets(st.sampled_from(lines)))))
    if kind == "buy_get":
        buy, get = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        return PromotionIn("p", kind, buy=buy, get=get, lines=counting)
    least = draw(st.integers(2, 20_000))
    tier = TierIn(draw(st.integers(1, least - 1)), draw(st.integers(0, 2000)))
    tiers = (tier,) if draw(st.booleans()) else ()
    return PromotionIn("p", kind, at_least=least, tiers=tiers, lines=counting)


@st.composite
def orders(draw: st.DrawFn, promoted: bool = False) -> OrderIn:
    """Paid for in full by one or two cards."""
    names = [f"{n}" for n in range(draw(st.integers(1, 4)))]
    promotion = draw(promotions(names)) if promoted or draw(st.booleans()) else None

    def off() -> tuple[DiscountIn, ...]:
        """Of the promotion, or of nothing the order names."""
        if not draw(st.booleans()):
            return ()
        return (DiscountIn(draw(st.integers(1, 3000)), "p" if promotion else ""),)

    lines = []
    for name in names:
        total = draw(st.integers(0, 20_000))
        found = draw(taxes(total))
        lines.append(LineIn(name, draw(st.integers(1, 6)), total, taxes=found, discounts=off()))
    shipping, charges = [], []
    for name in names[: draw(st.integers(0, 2))]:
        total = draw(st.integers(0, 900))
        standard = draw(st.none() | st.integers(0, 900))
        found = draw(taxes(total))
        shipping.append(ShippingIn(name, total, taxes=found, discounts=off(), standard=standard))
    for name in names[: draw(st.integers(0, 2))]:
        total = draw(st.integers(0, 900))
        found = draw(taxes(total))
        charges.append(ChargeIn(name, "other", total, taxes=found, refundable=draw(st.booleans())))
    items = (*lines, *shipping, *charges)
    included = draw(st.booleans())
    whole = sum(i.total for i in items)
    whole += 0 if included else sum(t.amount for i in items for t in i.taxes)
    first = draw(st.integers(0, whole))
    shares = [amount for amount in (first, whole - first) if amount]
    return OrderIn(
        OrderKey("shop-1", "1"),
        draw(st.sampled_from(CURRENCIES)),
        tuple(lines),
        tuple(card(amount, None, f"pi_{n}") for n, amount in enumerate(shares)) or (card(0),),
        prices_include_tax=included,
        shipping=tuple(shipping),
        charges=tuple(charges),
        promotions=(promotion,) if promotion else (),
    )


@st.composite
def asks(draw: st.DrawFn, order: OrderIn) -> RefundIn:
    amount = st.integers(1, 1 + sum(line.total for line in order.lines) // 3)
    if draw(st.integers(0, 3)) == 0:
        compensation = draw(st.booleans())
        kind: Any = "compensation" if compensation else "price_reduction"
        reason: Any = "goodwill" if compensation else draw(st.sampled_from(["goodwill", "damaged"]))
        return RefundIn(amount=draw(amount), reason=reason, goodwill=kind)
    names = st.sampled_from([line.id for line in order.lines])
    whole = st.just(tuple(LinePick(line.id, line.quantity) for line in order.lines))
    single = st.sampled_from(order.lines).flatmap(
        lambda line: st.builds(LinePick, st.just(line.id), st.integers(1, line.quantity))
    )
    some = st.lists(single, max_size=3, unique_by=lambda pick: pick.id).map(tuple)
    off = st.lists(st.builds(LineAmount, names, st.integers(1, 500)), max_size=1).map(tuple)
    part = st.none() | st.integers(1, 300)
    named = st.sampled_from([charge.id for charge in order.charges] or [order.lines[0].id])
    charge = st.lists(st.builds(ChargePick, named, part), max_size=1)
    ways = ["none", "full", "proportional", *([17] if order.shipping else [])]
    fee = st.builds(FeeIn, st.sampled_from(["return_label", "restocking"]), st.integers(1, 400))
    request = RefundIn(
        lines=draw(some | whole),
        adjustments=draw(off),
        shipping=draw(st.sampled_from(ways)),
        charges=draw(st.sampled_from(["none", "none", "full"]) | charge.map(tuple)),
        fees=draw(st.sampled_from([None, ()]) | st.lists(fee, max_size=2).map(tuple)),
        statutory=draw(st.booleans()),
        promotions=draw(st.sampled_from(["policy", "policy", "waive"])),
        reason=draw(st.sampled_from(["return", "return", "damaged", "out_of_stock"])),
    )
    return request if request.by_parts else RefundIn(amount=draw(amount))


def desk_of(report: OrderIn) -> Desk:
    return Desk(report, policy=CLAWBACK, functional=report.currency)


def given_back(desk: Desk) -> dict[tuple[int, str, str], int]:
    """All that was given back, by component."""
    found: dict[tuple[int, str, str], int] = {}
    for refund in desk.order.refunds:
        parts = refund.breakdown
        for group, shares in enumerate((parts.lines, parts.shipping, parts.charges)):
            for share in shares:
                for name, amount in (("", share.net), *((t.name, t.amount) for t in share.taxes)):
                    key = group, share.id, name
                    found[key] = found.get(key, 0) + amount
    return found


def components(desk: Desk) -> dict[tuple[int, str, str], int]:
    """All there was."""
    found: dict[tuple[int, str, str], int] = {}
    for group, items in enumerate((desk.order.lines, desk.order.shipping, desk.order.charges)):
        for item in items:
            tax = sum(t.amount for t in item.taxes)
            for name, amount in (("", item.total - tax), *((t.name, t.amount) for t in item.taxes)):
                key = group, item.id, name
                found[key] = found.get(key, 0) + amount
    return found


@settings(max_examples=600)
@given(data=st.data())
def test_edge_14_and_16_every_component_to_the_minor_unit(data: st.DataObject) -> None:
    """The last refund takes the exact residue: what was paid is what was given back and what was
    kept back as fees, and nothing kept back for a promotion is left once nothing is kept."""
    report = data.draw(orders())
    desk = desk_of(report)
    paid = sum(payment.captured for payment in desk.order.payments)
    for request in data.draw(st.lists(asks(report), min_size=1, max_size=6)):
        decision = desk.tell(RefundRequested(request))
        if decision.refused is None:
            assert desk.refund().amount == desk.refund().breakdown.total > 0
            assert sum(leg.amount for leg in desk.refund().legs) == desk.refund().amount
    desk.tell(RefundRequested(RefundIn(reason="cancelled")))
    refunds = desk.order.refunds
    fees = sum(fee.gross for refund in refunds for fee in refund.breakdown.fees)
    given = sum(refund.amount for refund in refunds)
    if any(r.breakdown.compensation or r.breakdown.unallocated for r in refunds):
        assert given <= paid  # it took money of the goods, or of the fees
        return
    assert given + fees == paid
    whole = components(desk)
    assert {key: given_back(desk).get(key, 0) for key in whole} == whole
    lost = [one for r in refunds for one in r.breakdown.lost if not one.waived]
    assert sum(one.gross for one in lost) == 0


@settings(max_examples=500)
@given(report=orders(promoted=True), data=st.data())
def test_edge_18_the_sum_over_any_order_of_partial_returns_is_that_of_one(
    report: OrderIn, data: st.DataObject
) -> None:
    """Where each of them is paid: one worth less than what it loses is refused."""
    units = [line.id for line in report.lines for _ in range(line.quantity)]
    some = data.draw(st.lists(st.sampled_from(range(len(units))), unique=True, min_size=1))
    picked = [units[index] for index in some]
    once, parts = desk_of(report), desk_of(report)
    picks = tuple(LinePick(name, picked.count(name)) for name in dict.fromkeys(picked))
    whole = once.tell(RefundRequested(RefundIn(lines=picks)))
    steps = [parts.tell(RefundRequested(RefundIn(lines=(LinePick(n, 1),)))) for n in picked]
    if whole.refused is None and not any(step.refused for step in steps):
        assert sum(r.amount for r in parts.order.refunds) == once.refund().amount


@pytest.mark.parametrize("currency", CURRENCIES)
def test_edge_16_amounts_do_not_depend_on_the_currencys_decimals(currency: str) -> None:
    line = LineIn("1", 3, 1000, taxes=(TaxIn("VAT", 91),))
    report = OrderIn(OrderKey("shop-1", "1"), currency, (line,), (card(1000),))
    desk = desk_of(report)
    for _ in range(3):
        desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
    shares = [r.breakdown.lines[0] for r in desk.order.refunds]
    assert [(x.net, x.tax) for x in shares] == [(303, 30), (303, 31), (303, 30)]
