"""How long a quote takes: the pure computation, for an order of twenty lines.

The order has two taxes a line, shipping, a further charge, a promotion and two refunds before; the
request is for a unit of every fourth line, with shipping in proportion and a fee.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

from amends.core.decide import decide, quote
from amends.core.decision import Ctx, Terms
from amends.core.facts import OrderReported, Recorded, RefundRequested
from amends.core.order import Order
from amends.core.policy import built_in
from amends.core.requests import (
    ChargeIn,
    DiscountIn,
    FeeIn,
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    PromotionIn,
    RefundIn,
    ShippingIn,
    TaxIn,
    TenderIn,
)
from amends.kernel.time import DAY, SECOND
from bench.plan import Plan, Row, at

LINES, NOW = 20, 1_790_000_000 * SECOND
CTX = Ctx(NOW, built_in(10**9), "EUR", {"psp": Terms(DAY, 5 * SECOND, DAY)})


def stocked(lines: int = LINES) -> Order:
    """The order, with its two refunds."""
    goods = tuple(
        LineIn(
            f"{n}",
            3,
            2700 + n,
            discounts=(DiscountIn(300, "ten"),),
            taxes=(TaxIn("state", 270), TaxIn("city", 90)),
        )
        for n in range(lines)
    )
    freight = (ShippingIn("s", 600, taxes=(TaxIn("state", 100),)),)
    wrap = (ChargeIn("w", "gift_wrap", 240, taxes=(TaxIn("state", 40),)),)
    whole = sum(item.total for item in (*goods, *freight, *wrap))
    report = OrderIn(
        OrderKey("shop", "1"),
        "EUR",
        goods,
        (TenderIn(whole, "payment", "psp", "pi_1", whole),),
        shipping=freight,
        charges=wrap,
        promotions=(PromotionIn("ten", "threshold", at_least=30_000, if_lost="clawback"),),
    )
    order = told(None, 0, OrderReported(report))
    for n in (1, 2):
        picked = RefundIn(lines=(LinePick(f"{n}", 1),))
        order = told(order, n, RefundRequested(picked))
    return order


def told(order: Order | None, number: int, fact: OrderReported | RefundRequested) -> Order:
    """The order after one more fact."""
    return decide(order, recorded(number, fact), CTX).order


def recorded(number: int, fact: OrderReported | RefundRequested) -> Recorded:
    """A fact under an id of its own."""
    return Recorded(f"{number:026d}", NOW, "key:bench", fact)


REQUEST = RefundIn(
    lines=tuple(LinePick(f"{n}", 1) for n in range(0, LINES, 4)),
    shipping="proportional",
    fees=(FeeIn("return_label", 490),),
)


def latency(plan: Plan) -> list[Row]:
    """Microseconds of one quote."""
    row = Row(
        "quote-p50",
        f"p50 of a quote for an order of {LINES} lines, in the process",
        unit="us",
        must=150.0,
        aim=75.0,
        note="the most it may be; no database, no HTTP",
    )
    order, fact = stocked(), recorded(9, RefundRequested(REQUEST))
    found = []
    for _ in range(plan.rounds):
        taken = []
        for _ in range(plan.count(1000)):
            begun = perf_counter_ns()
            quote(order, REQUEST, fact, CTX)
            taken.append((perf_counter_ns() - begun) / 1000)
        found.append(at(sorted(taken), 0.5))
    row.value = round(median(found), 1)
    row.ok = row.value <= 150.0
    return [row]
