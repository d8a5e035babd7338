"""What a model learns from: requests as they were judged, and what they turned out to be.

They come from a database, from a merchant's own CSV or from a simulation, and are the same to all
that follows. Labels come late and not for every request: one that nobody objected to counts as
honest only once it is older than `mature` days; a younger one is not used to learn.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from amends.core.history import Judged, Label
from amends.core.traits import NAMES, UNKNOWN
from amends.kernel.time import DAY, Instant, parse_rfc3339

MATURE = 45  # days after which silence counts as honest: most disputes and returns are in by then
TESTED = 0.7  # of the time: where the test begins
CALIBRATED = 0.65  # of what is mature by then: where calibration begins
CUSTOMERS = (50, 20, 30)  # % of customers to fit, to calibrate and to test
FEWEST = 10  # of either kind in each set


class BadRows(Exception):
    """What is given cannot be learned from; the sentence says why."""


class Example(msgspec.Struct, frozen=True):
    """One request: its features in the order of NAMES, and what is known of it.

    `abuse` is None while nobody said anything; `known_at` is when somebody did. `truth` is known of
    simulated ones alone. `weight` is the inverse of how likely somebody would have said something:
    1 where that is not known.
    """

    at: Instant
    customer: str
    features: tuple[int, ...]
    amount: int
    abuse: bool | None = None
    known_at: Instant = 0
    weight: float = 1.0
    truth: bool | None = None
    score_bp: int = UNKNOWN  # of the model that judged it then


class Lesson(msgspec.Struct, frozen=True):
    """An example with its answer."""

    example: Example
    abuse: bool


class Split(msgspec.Struct, frozen=True):
    """Three sets, each later than the one before, and no customer in two of them."""

    fit: tuple[Lesson, ...]
    calibrate: tuple[Lesson, ...]
    test: tuple[Lesson, ...]
    mature: int  # days
    tested: Instant  # when the test begins, and the model was made


def answered(examples: Iterable[Example], by: Instant, mature: int) -> list[Lesson]:
    """What can be learned on that day, of requests at least `mature` days old by then. Of younger
    ones only the abuse that came out at once would be known, so they are left out whatever is."""
    found = []
    for one in examples:
        if one.at + mature * DAY <= by:
            said = one.abuse if one.abuse is not None and one.known_at <= by else False
            found.append(Lesson(one, said))
    return found


def split(examples: Sequence[Example], mature: int = MATURE) -> Split:
    """By time and by customer. The model is made on the day the test begins, from what was known by
    then. The test's answers are those of the last day, or the truth where that is known. Raises
    BadRows."""
    if not examples:
        raise BadRows("There is nothing to learn from: no request has features.")
    first, last = min(e.at for e in examples), max(e.at for e in examples)
    mature = min(mature, (last - first) // DAY // 6)
    tested = first + int((last - first) * TESTED)
    calibrated = first + int((tested - mature * DAY - first) * CALIBRATED)
    groups: tuple[list[Example], ...] = ([], [], [])
    for one in examples:
        period = 0 if one.at < calibrated else 1 if one.at < tested else 2
        if _group(one.customer) == period:
            groups[period].append(one)
    test = groups[2]
    if all(one.truth is not None for one in test):
        lessons = [Lesson(one, bool(one.truth)) for one in test]
    else:
        lessons = answered(test, last, mature)
    fit, calibrate = (answered(groups[n], tested, mature) for n in (0, 1))
    found = Split(tuple(fit), tuple(calibrate), tuple(lessons), mature, tested)
    _check(found)
    return found


def _check(found: Split) -> None:
    for name, lessons in (("fit", found.fit), ("calibrate", found.calibrate), ("test", found.test)):
        bad = sum(lesson.abuse for lesson in lessons)
        if bad < FEWEST or len(lessons) - bad < FEWEST:
            raise BadRows(
                f"To {name} there are {len(lessons)} requests, {bad} of them abusive; at least "
                f"{FEWEST} of either kind are needed. Come back with more history or more labels."
            )


def _group(customer: str) -> int:
    """To which set a customer belongs, whatever the others are."""
    place = int.from_bytes(hashlib.sha256(customer.encode()).digest()[:4], "big") % 100
    return 0 if place < CUSTOMERS[0] else 1 if place < CUSTOMERS[0] + CUSTOMERS[1] else 2


# -- a merchant's own CSV ------------------------------------------------------------------------

NEEDED = ("at", "customer", "abuse", *NAMES)


def from_csv(path: Path) -> list[Example]:
    """The rows of a file with a header. Raises BadRows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_read(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRows(f"{path} cannot be read: {error}.") from None


def _read(file: TextIO) -> Iterator[Example]:
    rows = csv.DictReader(file)
    missing = [name for name in NEEDED if name not in (rows.fieldnames or ())]
    if missing:
        raise BadRows(f"The CSV has no column {_listed(missing)}; docs/risk.md says what each is.")
    for row in rows:
        try:
            if None in row or None in row.values():  # cut short, or a comma without quotes
                raise ValueError("it has not as many values as the header has columns")
            yield _example(row)
        except ValueError as error:
            raise BadRows(f"Line {rows.line_num} of the CSV: {error}.") from None


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _example(row: Mapping[str, str | None]) -> Example:
    at = parse_rfc3339(row["at"] or "")
    features = tuple(_whole(row, name) for name in NAMES)
    abuse = {"1": True, "0": False, "true": True, "false": False, "": None}
    said = (row["abuse"] or "").strip().lower()
    if said not in abuse:
        raise ValueError(f"abuse is 1, 0 or empty where nobody knows, not {said!r}")
    if not row["customer"]:
        raise ValueError("customer is empty; without it no customer can be kept to one set")
    known_at = parse_rfc3339(row["known_at"] or "") if row.get("known_at") else at
    weight = float(row.get("weight") or 1)
    if not 0 < weight <= 1000:
        raise ValueError(f"weight is above 0 and at most 1000, not {weight:g}")
    amount = max(0, features[NAMES.index("amount")])
    return Example(at, row["customer"], features, amount, abuse[said], known_at, weight)


def _whole(row: Mapping[str, str | None], name: str) -> int:
    text = (row[name] or "").strip()
    if not text:
        return UNKNOWN
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {text!r}") from None
    if not UNKNOWN <= value <= 10**15:
        raise ValueError(f"{name} is -1 (not known) or more, not {value}")
    return value


# -- what was judged here ------------------------------------------------------------------------


def from_judged(
    judged: Iterable[Judged], labels: Iterable[Label], customers: Mapping[str, str]
) -> list[Example]:
    """Judgements with the labels that came later. `customers` by order; an order nobody is known of
    is its own. Judgements with other features than today's are left out. Of several labels of one
    refund, one that says abuse counts: a dispute outweighs a review."""
    said: dict[tuple[str, str], Label] = {}
    for label in labels:
        before = said.get((label.order, label.refund))
        if before is None or (label.abuse, -label.at) > (before.abuse, -before.at):
            said[label.order, label.refund] = label
    found = []
    for one in judged:
        features = tuple(msgspec.json.decode(one.features or "[]", type=list[int]))
        if len(features) != len(NAMES):
            continue
        known = said.get((one.order, one.refund))
        customer = customers.get(one.order) or one.order
        example = Example(one.at, customer, features, one.amount, score_bp=one.score_bp)
        if known:
            example = msgspec.structs.replace(example, abuse=known.abuse, known_at=known.at)
        found.append(example)
    return found
