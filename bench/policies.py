"""How many policies a second: a table of ten rows with every row's verdict, against the bare
evaluator, which only runs the ten conditions as they are written, on the same values in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

import cel
from msgspec.structs import replace

from amends.core.fields import NAMES, TYPES, Value
from amends.core.policy import Document, Policy, Seen, built_in, checked, judge, with_table
from amends.core.policy import Row as PolicyRow
from amends.core.scorecard import Score
from bench.plan import Plan, Row

CASES = 200
BATCH = 1000  # judgements between two looks at the clock
CONDITIONS = (
    "dispute.count > 2",
    "risk.score_bp >= 7000",
    'refund.reason in ["fraud", "duplicate"] && order.refunds == 0',
    "refund.amount > 50000 || order.refunded_bp > 9500",
    'refund.reason == "not_received" && order.tracking == "delivered"',
    "customer.refunds_90d > 5 && customer.refunded_bp_365d > 5000",
    'order.age_days > 30 && refund.reason == "return" && !refund.statutory',
    '"final-sale" in lines.categories',
    "customer.card_others > 0 && refund.amount > 2000",
    "true",
)
EMPTY: dict[str, Value] = {"int": 0, "bool": False, "string": "", "strings": ()}


def document() -> Document:
    """What none of the first nine rows finds anything in is approved."""
    *rest, last = [PolicyRow(f"r{n}", when, "review") for n, when in enumerate(CONDITIONS, 1)]
    return Document("ten", (*rest, replace(last, outcome="approve")))


def policy() -> Policy:
    return with_table(built_in(0), checked(document()))


def cases() -> list[dict[str, Value]]:
    """Every field, with numbers that differ from case to case."""
    plain = {name: EMPTY[TYPES[name]] for name in NAMES}
    return [
        {
            **plain,
            "refund.amount": 100 * n,
            "order.age_days": n % 60,
            "customer.refunds_90d": n % 7,
            "refund.reason": ("return", "damaged", "not_received")[n % 3],
            "lines.categories": ("shoes", "final-sale") if n % 9 == 0 else ("shoes",),
        }
        for n in range(CASES)
    ]


def throughput(plan: Plan) -> list[Row]:
    """Both, in turns, in one process."""
    ten, found = policy(), cases()
    seen = [Seen(values, Score(100, "scorecard"), "", False) for values in found]
    programs = [cel.compile(condition) for condition in CONDITIONS]
    contexts = [_nested(ten, values) for values in found]

    def ours(n: int) -> None:
        judge(seen[n % CASES], ten)

    def bare(n: int) -> None:
        context = cel.Context(contexts[n % CASES])
        for program in programs:
            program.execute(context)

    pairs = [(_a_second(plan, ours), _a_second(plan, bare)) for _ in range(plan.rounds)]
    row = Row(
        "policy",
        "a policy of ten rows judged, every row's verdict kept, against the bare evaluator",
        unit="judgements/s",
        value=round(median(one for one, _ in pairs)),
        reference=round(median(other for _, other in pairs)),
        ratio=round(median(one / other for one, other in pairs), 2),
        must=0.5,
        aim=0.9,
        note="the same conditions on the same values, taken over into the evaluator in both",
    )
    return [row.judge()]


def _nested(ten: Policy, values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """The fields that are read, in groups, as conditions name them."""
    groups: dict[str, dict[str, Value]] = {}
    for _, name in ten.table.fields:
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = values[name]
    return groups


def _a_second(plan: Plan, once: Callable[[int], None]) -> float:
    count = max(BATCH, plan.count(2000))
    begun = perf_counter()
    for n in range(count):
        once(n)
    return count / (perf_counter() - begun)
