"""Whether it stays as fast when there are many orders: 10 million against 100 thousand."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from bench import stock
from bench.engines import PROCESSES, engines
from bench.places import Place
from bench.plan import Curve, Plan, Point, Round, Row, median_cpu, summed_up

RATE = 200  # refunds a second, for p99
KIND = "postgresql"


@dataclass
class Stocked:
    """A database with so many orders, and what was measured on it, round by round."""

    orders: int
    place: Place
    load_s: float
    full: list[Round] = field(default_factory=list)  # as fast as it goes
    paced: list[Round] = field(default_factory=list)  # RATE refunds a second

    def measure(self, plan: Plan, number: int) -> None:
        picks = {"stock": self.orders, "seeds": 2 * plan.rounds, "seed": 2 * number}
        self.full.append(engines(plan, self.place, KIND, **picks))
        picks["seed"] += 1
        count = max(1, int(RATE * plan.seconds) // PROCESSES[KIND])
        pace = {"rate": RATE / PROCESSES[KIND], "refunds": count}
        self.paced.append(engines(plan, self.place, KIND, **picks, **pace))

    def point(self) -> Point:
        per_s = round(median(one.value for one in self.full), 1)
        return Point(self.orders, per_s, round(median(one.p99 for one in self.paced), 1))


def growth(plan: Plan) -> list[Row | Curve]:
    """The rows (`long` only) and the curve (`plot`) of the same measurements. The databases are
    all there at once and take turns in each round."""
    if not plan.long and not plan.plot:
        return [*_rows(plan)]
    sizes = plan.sizes if plan.long else plan.short_sizes
    with ExitStack() as stack:
        stocks, likes = [], stock.templates(plan.places)
        for orders in sizes:
            place = stack.enter_context(plan.places.fresh(KIND))
            stocks.append(Stocked(orders, place, stock.load(place, orders, likes)))
        for number in range(plan.rounds):
            for one in stocks:
                one.measure(plan, number)
    curve = Curve("orders", KIND, [one.point() for one in stocks])
    if not plan.long:
        return [*_rows(plan), curve]
    return [*_judged(_rows(plan), stocks[0], stocks[-1]), curve]


def _rows(plan: Plan) -> list[Row]:
    words = f"at {plan.sizes[-1]:,} orders against {plan.sizes[0]:,}, picked at random over all"
    absent = "" if plan.long else "--long only"
    return [
        Row("growth", f"throughput {words}; {KIND}", must=0.8, aim=0.95, absent=absent),
        Row("growth-p99", f"p99 {words}; {KIND}", unit="ms", must=0.8, aim=0.95, absent=absent),
    ]


def _judged(rows: list[Row], small: Stocked, large: Stocked) -> list[Row]:
    throughput, p99 = rows
    for before, after in zip(small.full, large.full, strict=True):
        after.reference = before.value
    summed_up(throughput, large.full)
    throughput.note = f"{large.orders:,} orders loaded in {large.load_s:.0f} s, 1 % with a refund"
    p99.value, p99.reference = large.point().p99, small.point().p99
    pairs = zip(small.paced, large.paced, strict=True)
    p99.ratio = round(median(before.p99 / after.p99 for before, after in pairs), 3)
    p99.cpu_s_per_1000 = median_cpu(large.paced)
    p99.note = f"{RATE} refunds/s offered, the provider's 20 ms included; few to many"
    return [throughput, p99.judge()]
