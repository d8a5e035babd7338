"""How well scores tell abuse from honesty, what they cost, and whether the world has drifted.

Everything is plain arithmetic over lists, so that every figure of a report can be checked by hand.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from amends.core.traits import UNKNOWN
from amends.engine.risk import Bins, to_bp

Point = tuple[float, float]

LOOK = 400  # what a person's look at one refund costs, minor units
STEPS = 200  # points of a curve, at most


class Curves(msgspec.Struct, frozen=True):
    """How one scorer did on one test. `figures` are shares from 0 to 1."""

    figures: dict[str, float]
    roc: tuple[Point, ...]  # share of honest held up, share of abuse held up
    precision: tuple[Point, ...]  # share of abuse held up, share of abuse in what is held up
    calibration: tuple[Point, ...]  # mean score of a tenth, share of abuse in it
    cost: tuple[Point, ...]  # share that a person looks at, cost in minor units


class Choice(msgspec.Struct, frozen=True):
    """What one threshold does on the test: whose score, meant to hold up `alarms` % of the honest,
    and what it came to. Shares are of requests, `value_stopped` is of the abusive value."""

    scorer: str
    alarms: int
    threshold_bp: int
    honest_approved: float
    abuse_stopped: float
    value_stopped: float


def measured(scores: Sequence[float], answers: Sequence[bool], amounts: Sequence[int]) -> Curves:
    """Everything about some scores; each is 0 to 1, higher is worse."""
    order = sorted(range(len(scores)), key=lambda n: -scores[n])
    roc, precision, cost = [(0.0, 0.0)], [], []
    bad, good = sum(answers), len(answers) - sum(answers)
    lost = sum(amount for amount, abuse in zip(amounts, answers, strict=True) if abuse)
    cost.append((0.0, float(lost)))
    caught, alarms, saved = 0, 0, 0
    for place, n in enumerate(order):
        caught += answers[n]
        alarms += not answers[n]
        saved += amounts[n] if answers[n] else 0
        if place + 1 < len(order) and scores[order[place + 1]] == scores[n]:
            continue  # equal scores are held up together
        roc.append((alarms / good, caught / bad))
        precision.append((caught / bad, caught / (caught + alarms)))
        cost.append(((place + 1) / len(order), float(lost - saved + LOOK * (place + 1))))
    figures = {
        "auc": round(area(roc), 4),
        "average_precision": round(average_precision(precision), 4),
        "recall_at_1": round(recall(roc, 0.01), 4),
        "recall_at_5": round(recall(roc, 0.05), 4),
        "brier": round(brier(scores, answers), 4),
    }
    tenths = calibration(scores, answers)
    return Curves(figures, thinned(roc), thinned(precision), tenths, thinned(cost))


def area(roc: Sequence[Point]) -> float:
    """Under a ROC curve: how often an abusive request scores above an honest one."""
    pairs = pairwise(roc)
    return math.fsum((bx - ax) * (ay + by) / 2 for (ax, ay), (bx, by) in pairs)


def average_precision(curve: Sequence[Point]) -> float:
    """Precision averaged over the abuse that is held up."""
    before, found = 0.0, []
    for held, precision in curve:
        found.append((held - before) * precision)
        before = held
    return math.fsum(found)


def recall(roc: Sequence[Point], alarms: float) -> float:
    """Share of abuse held up while no more than that share of honest requests is."""
    return max(held for false, held in roc if false <= alarms)


def threshold(scores: Sequence[float], answers: Sequence[bool], alarms: float) -> int:
    """The lowest score in 1/10,000 from which no more than that share of honest is held up."""
    honest = sorted(to_bp(s) for s, abuse in zip(scores, answers, strict=True) if not abuse)
    allowed = int(alarms * len(honest))
    return honest[-allowed - 1] + 1


def choice(
    name: str,
    alarms: int,
    threshold_bp: int,
    scores: Sequence[float],
    answers: Sequence[bool],
    amounts: Sequence[int],
) -> Choice:
    """What holding up every request from a threshold would have done."""
    held = [to_bp(score) >= threshold_bp for score in scores]
    bad, good = sum(answers), len(answers) - sum(answers)
    rows = list(zip(held, answers, amounts, strict=True))
    through = sum(not stopped and not abuse for stopped, abuse, _ in rows)
    caught = sum(stopped and abuse for stopped, abuse, _ in rows)
    value = sum(amount for _, abuse, amount in rows if abuse)
    saved = sum(amount for stopped, abuse, amount in rows if stopped and abuse)
    shares = (through / good, caught / bad, saved / max(1, value))
    return Choice(name, alarms, threshold_bp, *(round(one, 4) for one in shares))


def brier(scores: Sequence[float], answers: Sequence[bool]) -> float:
    """The mean square of what a probability is off by."""
    return math.fsum((s - a) ** 2 for s, a in zip(scores, answers, strict=True)) / len(scores)


def calibration(scores: Sequence[float], answers: Sequence[bool]) -> tuple[Point, ...]:
    """By tenths of the requests: what was said, and what was so."""
    order = sorted(range(len(scores)), key=lambda n: scores[n])
    found = []
    for tenth in range(10):
        part = order[len(order) * tenth // 10 : len(order) * (tenth + 1) // 10]
        if part:
            said = math.fsum(scores[n] for n in part) / len(part)
            found.append((said, sum(answers[n] for n in part) / len(part)))
    return tuple(found)


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """So many that a picture cannot tell, the first and the last among them."""
    if len(points) <= STEPS:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[last * n // (STEPS - 1)] for n in range(STEPS))


# -- drift ---------------------------------------------------------------------------------------


def bins_of(values: Sequence[float], count: int) -> Bins:
    """Bins that hold about as much each; equal values are in one."""
    known = sorted(v for v in values if v != UNKNOWN)
    edges = sorted({known[len(known) * n // count] for n in range(1, count)}) if known else []
    return Bins(tuple(edges), shares_in(values, edges))


def shares_in(values: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """The share of each bin: those not known first, then below the first edge, and so on."""
    found = [0] * (len(edges) + 2)
    for value in values:
        found[0 if value == UNKNOWN else bisect_right(edges, value) + 1] += 1
    return tuple(round(one / max(1, len(values)), 6) for one in found)


def psi(bins: Bins, values: Sequence[float]) -> float:
    """The population stability index of values against where they lay: below 0.1 nothing moved,
    above 0.25 much did. An empty bin counts as one in ten thousand."""
    least = 0.0001
    now = shares_in(values, bins.edges)
    pairs = ((max(a, least), max(b, least)) for a, b in zip(bins.shares, now, strict=True))
    return round(math.fsum((b - a) * math.log(b / a) for a, b in pairs), 4)


def share_from(scores_bp: Sequence[int], at: int) -> float:
    """The share of scores of at least so much."""
    ordered = sorted(scores_bp)
    return (len(ordered) - bisect_left(ordered, at)) / max(1, len(ordered))
