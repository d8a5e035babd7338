"""How long one refund's risk takes: by the scorecard, and by a trained model without reasons.

The model is of requests made up at random, as large as one of real ones would be.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from statistics import median
from time import perf_counter_ns

from amends.core import scorecard
from amends.core.traits import NAMES, Features
from amends.engine.clock import SystemClock
from amends.engine.risk import Loaded, Scorer
from amends.engine.risk_rows import Example, split
from amends.engine.risk_train import train
from amends.kernel.time import DAY
from bench.plan import Plan, Row, at

COUNT = 3000


def made_up() -> list[Example]:
    """Requests over most of a year, a tenth of them abusive."""
    random = Random(1)
    found = []
    for n in range(COUNT):
        values = [random.choice((-1, 0, 0, 0, 1, 2, 4, 8)) for _ in NAMES]
        abuse = values[NAMES.index("refunds_90")] + values[NAMES.index("card_others")] > 9
        asked = (DAY * (20_000 + 300 * n // COUNT), f"c-{random.randrange(COUNT)}")
        found.append(Example(*asked, tuple(values), 1000, abuse or n % 20 == 0, asked[0]))
    return found


def latency(plan: Plan) -> list[Row]:
    """Microseconds of one score each."""
    examples = made_up()
    made = train(split(examples))
    scorer = Scorer(SystemClock(), Loaded(made.text, made.meta))
    rows = [Features(*one.features) for one in examples[:200]]
    card = Row(
        "scorecard-p50",
        "p50 of one refund's risk by the scorecard, with its reasons",
        unit="us",
        must=15.0,
        aim=8.0,
        note="the most it may be; its features are there",
    )
    model = Row(
        "risk-p50",
        "p50 of one refund's risk by a trained model, without reasons",
        unit="us",
        must=100.0,
        aim=50.0,
        note="the most it may be; LightGBM on one thread, and the calibration",
    )
    return [
        _measured(plan, card, rows, scorecard.score),
        _measured(plan, model, rows, scorer.score),
    ]


def _measured(
    plan: Plan, row: Row, rows: list[Features], score: Callable[[Features], scorecard.Score]
) -> Row:
    found = []
    for _ in range(plan.rounds):
        taken = []
        for n in range(plan.count(1000)):
            begun = perf_counter_ns()
            score(rows[n % len(rows)])
            taken.append((perf_counter_ns() - begun) / 1000)
        found.append(at(sorted(taken), 0.5))
    row.value = round(median(found), 1)
    row.ok = row.must is not None and row.value <= row.must
    return row
