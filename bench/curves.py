"""Throughput and p99 over the size of a batch and over the load that is offered, for the plot."""

from __future__ import annotations

from bench.engines import PROCESSES, engines
from bench.plan import Curve, Plan, Point

BATCHES = (1, 8, 32, 128, 512)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.2)  # of the capacity


def over_batch(plan: Plan, kind: str) -> Curve:
    """As fast as it goes, when a turn takes at most so many facts."""
    points = []
    for batch in BATCHES:
        with plan.places.fresh(kind) as place:
            one = engines(plan, place, kind, batch=batch)
        points.append(Point(batch, round(one.value, 1), round(one.p99, 1)))
    return Curve("batch", kind, points)


def over_load(plan: Plan, kind: str) -> Curve:
    """An open loop at shares of what a closed one reached just before."""
    with plan.places.fresh(kind) as place:
        capacity = engines(plan, place, kind).value
    points = []
    for share in SHARES:
        rate = share * capacity / PROCESSES[kind]
        count = max(1, int(rate * plan.seconds))
        with plan.places.fresh(kind) as place:
            one = engines(plan, place, kind, rate=rate, refunds=count)
        points.append(Point(round(share * capacity, 1), round(one.value, 1), round(one.p99, 1)))
    return Curve("load", kind, points)
