"""Figures of a report against what can be reckoned by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.traits import UNKNOWN
from amends.engine.risk import to_bp
from amends.engine.risk_measure import (
    LOOK,
    STEPS,
    bins_of,
    choice,
    measured,
    psi,
    shares_in,
    thinned,
    threshold,
)

SCORED = st.lists(
    st.tuples(st.integers(0, 20), st.booleans(), st.integers(1, 1000)), min_size=2, max_size=60
).filter(lambda rows: len({abuse for _, abuse, _ in rows}) == 2)


@given(SCORED)
def test_the_area_is_how_often_abuse_scores_higher(rows: list[tuple[int, bool, int]]) -> None:
    scores, answers, amounts = (
        [s / 20 for s, _, _ in rows],
        [a for _, a, _ in rows],
        [1] * len(rows),
    )
    bad = [s for s, abuse in zip(scores, answers, strict=True) if abuse]
    good = [s for s, abuse in zip(scores, answers, strict=True) if not abuse]
    wins = sum((b > g) + (b == g) / 2 for b in bad for g in good)
    found = measured(scores, answers, amounts)
    assert found.figures["auc"] == pytest.approx(wins / len(bad) / len(good), abs=1e-4)
    assert found.roc[0] == (0, 0)
    assert found.roc[-1] == (1, 1)
    assert found.precision[-1] == (1, pytest.approx(len(bad) / len(rows)))


@given(SCORED)
def test_costs_begin_with_all_abuse_and_end_with_all_looked_at(
    rows: list[tuple[int, bool, int]],
) -> None:
    found = measured(*([list(column) for column in zip(*rows, strict=True)]))  # type: ignore[arg-type]
    assert found.cost[0] == (0, sum(amount for _, abuse, amount in rows if abuse))
    assert found.cost[-1] == (1, LOOK * len(rows))


@given(SCORED, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_a_threshold_holds_up_no_more_honest_than_allowed(
    rows: list[tuple[int, bool, int]], alarms: float
) -> None:
    scores, answers = [s / 20 for s, _, _ in rows], [abuse for _, abuse, _ in rows]
    at = threshold(scores, answers, alarms)
    honest = [to_bp(s) for s, abuse in zip(scores, answers, strict=True) if not abuse]
    assert sum(s >= at for s in honest) <= alarms * len(honest)
    assert sum(s >= at - 1 for s in honest) > alarms * len(honest), "and none lower does"


def test_what_a_threshold_does() -> None:
    found = choice(
        "model", 1, 5000, [0.9, 0.5, 0.4, 0.1], [True, False, True, False], [30, 1, 10, 1]
    )
    assert (found.honest_approved, found.abuse_stopped, found.value_stopped) == (0.5, 0.5, 0.75)


def test_equal_scores_are_held_up_together() -> None:
    found = measured([0.5] * 4, [True, False, False, True], [1] * 4)
    assert found.roc == ((0, 0), (1, 1))
    assert found.figures["recall_at_1"] == 0


# -- drift ---------------------------------------------------------------------------------------

VALUES = st.lists(st.integers(-1, 50), min_size=1, max_size=200)


@given(VALUES)
def test_what_has_not_moved_has_no_drift(values: list[int]) -> None:
    bins = bins_of(values, 10)
    assert psi(bins, values) == 0
    assert len(bins.shares) == len(bins.edges) + 2
    assert sum(bins.shares) == pytest.approx(1, abs=1e-4)
    assert bins.shares[0] == pytest.approx(values.count(UNKNOWN) / len(values), abs=1e-6)


def test_drift_is_seen() -> None:
    bins = bins_of(list(range(1000)), 10)
    assert psi(bins, [n + 20 for n in range(1000)]) < 0.1
    assert psi(bins, [n // 2 for n in range(1000)]) > 0.25
    assert psi(bins, [UNKNOWN] * 1000) > 0.25, "nothing is known any more"
    assert psi(bins, []) > 0.25
    assert shares_in([1, 1, 5], [5]) == (
        0,
        pytest.approx(2 / 3, abs=1e-6),
        pytest.approx(1 / 3, abs=1e-6),
    )


def test_a_curve_keeps_its_ends() -> None:
    points = [(n / 1000, n / 1000) for n in range(1001)]
    found = thinned(points)
    assert (len(found), found[0], found[-1]) == (STEPS, points[0], points[-1])
