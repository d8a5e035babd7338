"""What a model learns from: split by time and by customer, late labels, and bad files."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.history import Judged, Label
from amends.core.traits import NAMES, UNKNOWN
from amends.engine.risk_rows import (
    MATURE,
    NEEDED,
    BadRows,
    Example,
    answered,
    from_csv,
    from_judged,
    split,
)
from amends.kernel.time import DAY, rfc3339
from tests.engine.risk_world import START, made_up

ZEROS = tuple(0 for _ in NAMES)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return made_up()


def test_no_customer_is_in_two_sets_and_no_set_reaches_into_the_next(
    examples: list[Example],
) -> None:
    found = split(examples)
    sets = [[one.example for one in part] for part in (found.fit, found.calibrate, found.test)]
    customers = [{one.customer for one in part} for part in sets]
    for n in range(3):
        assert customers[n]
        assert not customers[n] & set().union(*customers[n + 1 :])
    for before, after in pairwise(sets):
        assert max(one.at for one in before) < min(one.at for one in after)


def test_a_model_knows_nothing_that_came_out_later(examples: list[Example]) -> None:
    """All abuse comes out on the last day: what is learned from is all honest, so there is nothing
    to learn; the test knows it."""
    last = examples[-1].at
    late = [replace(one, known_at=last) for one in examples]
    with pytest.raises(BadRows, match=r"To fit there are \d+ requests, 0 of them abusive"):
        split(late)
    day = split(examples).tested
    for part in (split(examples).fit, split(examples).calibrate):
        assert all(one.example.at + MATURE * DAY <= day for one in part)


def test_silence_counts_as_honest_only_once_it_is_old() -> None:
    young, old = START, START - MATURE * DAY
    silent = Example(0, "c", ZEROS, 1)
    asked = [replace(silent, at=old), replace(silent, at=young)]
    found = answered(asked, START, MATURE)
    assert [(one.example.at, one.abuse) for one in found] == [(old, False)]
    found_out = replace(silent, at=young, abuse=True, known_at=young)
    assert answered([found_out], START, MATURE) == [], "only the quick ones would be known"
    later = replace(silent, at=old, abuse=True, known_at=START + 1)
    assert [one.abuse for one in answered([later], START, MATURE)] == [False]
    assert [one.abuse for one in answered([later], START + 1, MATURE)] == [True]


def test_the_truth_counts_in_the_test_alone() -> None:
    examples = made_up(truth=True)
    lied = [replace(one, truth=not one.abuse) for one in examples]
    found = split(lied)
    assert all(one.abuse != one.example.abuse for one in found.test)
    assert all(one.abuse == one.example.abuse for one in (*found.fit, *found.calibrate))


def test_nothing_is_no_lesson() -> None:
    with pytest.raises(BadRows, match="nothing to learn from"):
        split([])
    with pytest.raises(BadRows, match="at least 10 of either kind"):
        split(made_up(60))


@given(st.integers(20, 60), st.integers(0, 400))
@settings(max_examples=10, deadline=None)
def test_a_short_history_has_a_short_maturity(days: int, mature: int) -> None:
    """However short, what is mature is a part of it."""
    examples = made_up(3000, days=days)
    assert split(examples, mature).mature == min(mature, (examples[-1].at - START) // DAY // 6)


# -- a merchant's own CSV ------------------------------------------------------------------------


def write(path: Path, rows: list[dict[str, Any]], names: tuple[str, ...] = NEEDED) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


ROW = {"at": "2026-01-02T00:00:00Z", "customer": "c-1", "abuse": "1", **dict.fromkeys(NAMES, "")}


def test_a_csv_is_read(tmp_path: Path) -> None:
    more = {"known_at": "2026-02-01T00:00:00Z", "weight": "2.5", "amount": "700"}
    path = write(tmp_path / "a.csv", [{**ROW, **more}, ROW], (*NEEDED, "known_at", "weight"))
    first, second = from_csv(path)
    assert (first.abuse, first.weight, first.amount) == (True, 2.5, 700)
    assert first.known_at - first.at == 30 * DAY
    assert first.features[NAMES.index("amount")] == 700
    assert set(second.features) == {UNKNOWN}
    assert (second.known_at, second.weight) == (second.at, 1.0)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("amount",), "no column amount;"),
        (("customer", "amount", "units"), "no column customer, amount and units;"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, missing: tuple[str, ...], said: str) -> None:
    names = tuple(name for name in NEEDED if name not in missing)
    with pytest.raises(BadRows, match=said):
        from_csv(write(tmp_path / "a.csv", [ROW], names))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": "1.5"}, "Line 2 of the CSV: amount is a whole number, not '1.5'"),
        ({"amount": "-2"}, "amount is -1"),
        ({"amount": str(10**16)}, "amount is -1"),
        ({"abuse": "maybe"}, "abuse is 1, 0 or empty"),
        ({"at": "yesterday"}, "Line 2"),
        ({"customer": ""}, "customer is empty"),
        ({"weight": "0"}, "weight is above 0"),
        ({"weight": "nan"}, "weight is above 0"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    path = write(tmp_path / "a.csv", [{**ROW, **changes}], (*NEEDED, "weight"))
    with pytest.raises(BadRows) as found:
        from_csv(path)
    assert said in str(found.value)


@pytest.mark.parametrize("line", ["2026-01-02T00:00:00Z,c-1", ",".join(ROW.values()) + ",1"])
def test_a_line_that_was_cut_is_no_lesson(tmp_path: Path, line: str) -> None:
    """It would count as a request of which nothing is known."""
    path = write(tmp_path / "a.csv", [ROW])
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(BadRows, match=r"Line 3 of the CSV: it has not as many values"):
        from_csv(path)


def test_what_is_no_csv_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00at")
    for path in (tmp_path / "none.csv", tmp_path / "b.csv", tmp_path):
        with pytest.raises(BadRows, match="cannot be read"):
            from_csv(path)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadRows, match="no column at"):
        from_csv(tmp_path / "empty.csv")


# -- what was judged here ------------------------------------------------------------------------


def judged(number: int, features: Any = ZEROS) -> Judged:
    text = msgspec.json.encode(features).decode()
    name = f"rf_{number}"
    values = (START + number, "policy", "rule", "approve", 7, "scorecard-2", 500)
    return Judged(f"ord_{number}", name, *values, "[]", text, "[]", "", False)


def label(number: int, at: int, source: Any, abuse: bool) -> Label:
    return Label(f"ord_{number}", f"rf_{number}", at, source, abuse)


def test_judgements_meet_their_labels() -> None:
    said = [
        label(1, 5, "review", False),
        label(1, 9, "dispute", True),
        label(1, 8, "return", True),
        label(2, 4, "review", False),
    ]
    rows = [judged(1), judged(2), judged(3), judged(4, [1, 2])]
    found = from_judged(rows, said, {"ord_1": "main/c-1", "ord_2": ""})
    assert [(e.abuse, e.known_at) for e in found] == [(True, 8), (False, 4), (None, 0)]
    assert [e.customer for e in found] == ["main/c-1", "ord_2", "ord_3"]
    assert [e.score_bp for e in found] == [7, 7, 7]
    assert rfc3339(found[0].at) == rfc3339(START + 1)
