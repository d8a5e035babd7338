"""A model from what requests turned out to be: LightGBM, held to the direction of each feature,
calibrated on a later slice of time, and tested on one later still.

The same rows and seed give the same model, byte for byte.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import msgspec

from amends.core import scorecard
from amends.core.risk import NAMES, Features
from amends.core.traits import TRAITS, UNKNOWN
from amends.engine.risk import KIND, Bins, Loaded, Meta, calibrated, model_hash, to_bp
from amends.engine.risk_measure import (
    Choice,
    Curves,
    bins_of,
    choice,
    measured,
    threshold,
)
from amends.engine.risk_rows import BadRows, Example, Lesson, Split
from amends.kernel.time import rfc3339

ROUNDS = 200
SETTINGS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 5,
    "min_data_in_leaf": 10,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
BINS = 10
ALARMS = (1, 3, 10)  # % of the honest that a threshold is meant to hold up

Line = tuple[float, ...]


class Made(msgspec.Struct, frozen=True):
    """A model's two texts, and how it did on its test beside the others."""

    text: str
    meta: str
    curves: dict[str, Curves]  # "model", "scorecard", "logistic"
    choices: tuple[Choice, ...]  # of the scorecard and the model, at three thresholds each

    @property
    def hash(self) -> str:
        return model_hash(self.text, self.meta)


def train(split: Split, seed: int = 1) -> Made:
    """Fit, calibrate, test. Raises BadRows where the packages are missing."""
    lightgbm, numpy = packages("lightgbm"), packages("numpy")
    text = _fitted(lightgbm, numpy, split.fit, seed)
    booster = lightgbm.Booster(model_str=text)
    x, y = _calibration(booster, numpy, split.calibrate)
    earlier, later = (_judged(booster, numpy, s, (x, y)) for s in (split.calibrate, split.test))
    answers, amounts = of_test(split)
    curves = {
        "model": measured(later, answers, amounts),
        "scorecard": measured(by_card(split.test), answers, amounts),
        "logistic": measured(_logistic(numpy, split), answers, amounts),
    }
    choices = (
        *_choices("scorecard", by_card(split.calibrate), by_card(split.test), split),
        *_choices("model", earlier, later, split),
    )
    meta = Meta(
        kind=KIND,
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        features=NAMES,
        x=x,
        y=y,
        thresholds={f"{c.alarms}%": c.threshold_bp for c in choices if c.scorer == "model"},
        bins={
            **_bins([lesson.example for lesson in split.fit]),
            "score": bins_of([to_bp(one) for one in earlier], BINS),
        },
        measures=curves["model"].figures,
        counts=counts(split),
        simulated=all(lesson.example.truth is not None for lesson in split.fit),
        tested=rfc3339(split.tested),
        seed=seed,
    )
    document = msgspec.json.format(msgspec.json.encode(meta), indent=1).decode()
    return Made(text, document, curves, choices)


def _judged(
    booster: Any, numpy: Any, lessons: Sequence[Lesson], line: tuple[Line, Line]
) -> list[float]:
    raw = booster.predict(matrix(numpy, lessons), raw_score=True, num_threads=1)
    return [calibrated(float(one), *line) for one in raw]


def _choices(
    name: str, earlier: Sequence[float], later: Sequence[float], split: Split
) -> list[Choice]:
    """Thresholds are set on the slice that calibrates, and tried on the test."""
    known = [lesson.abuse for lesson in split.calibrate]
    answers, amounts = of_test(split)
    found = []
    for alarms in ALARMS:
        at = threshold(earlier, known, alarms / 100)
        found.append(choice(name, alarms, at, later, answers, amounts))
    return found


def packages(name: str) -> Any:
    """A package of the extra `risk`. Raises BadRows."""
    try:
        return import_module(name)
    except ImportError:
        raise BadRows(f"Training needs {name}: `pip install amends[risk]`.") from None


def matrix(numpy: Any, lessons: Sequence[Lesson]) -> Any:
    """Rows as LightGBM takes them: what is not known is missing."""
    rows = [lesson.example.features for lesson in lessons]
    found = numpy.array(rows, dtype=numpy.float64).reshape(len(rows), len(NAMES))
    found[found == UNKNOWN] = math.nan
    return found


def of_test(split: Split) -> tuple[list[bool], list[int]]:
    answers = [lesson.abuse for lesson in split.test]
    return answers, [lesson.example.amount for lesson in split.test]


def counts(split: Split) -> dict[str, int]:
    """How many requests each set has, and how many of them are abusive."""
    found: dict[str, int] = {}
    for name in ("fit", "calibrate", "test"):
        lessons: Sequence[Lesson] = getattr(split, name)
        found[name] = len(lessons)
        found[f"{name}_abuse"] = sum(lesson.abuse for lesson in lessons)
    return found


def by_card(lessons: Sequence[Lesson]) -> list[float]:
    """The scorecard's risks, 0 to 1."""
    found = (scorecard.score(Features(*lesson.example.features)) for lesson in lessons)
    return [one.score_bp / 10_000 for one in found]


def by_model(model: Loaded, lessons: Sequence[Lesson]) -> list[float]:
    """A model's risks, 0 to 1."""
    found = (model.score_bp(Features(*lesson.example.features)) for lesson in lessons)
    return [one / 10_000 for one in found]


def _fitted(lightgbm: Any, numpy: Any, lessons: Sequence[Lesson], seed: int) -> str:
    data = lightgbm.Dataset(
        matrix(numpy, lessons),
        label=[int(lesson.abuse) for lesson in lessons],
        weight=[lesson.example.weight for lesson in lessons],
        feature_name=list(NAMES),
    )
    rises = [TRAITS[name].rises for name in NAMES]
    settings = {**SETTINGS, "seed": seed, "monotone_constraints": rises}
    text: str = lightgbm.train(settings, data, ROUNDS).model_to_string()
    return text


def _calibration(booster: Any, numpy: Any, lessons: Sequence[Lesson]) -> tuple[Line, Line]:
    """The isotonic line through the later slice, from the middle of each of its steps to the middle
    of the next (Oron and Flournoy 2017): on a step itself requests could not be told apart. Raises
    BadRows."""
    isotonic = packages("sklearn.isotonic")
    raw = booster.predict(matrix(numpy, lessons), raw_score=True, num_threads=1)
    weights = [lesson.example.weight for lesson in lessons]
    line = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted = line.fit_transform(raw, [float(one.abuse) for one in lessons], sample_weight=weights)
    steps: dict[float, list[tuple[float, float]]] = {}
    for x, y, weight in sorted(zip(map(float, raw), map(float, fitted), weights, strict=True)):
        steps.setdefault(round(y, 9), []).append((x, weight))
    middles = [
        (sum(x * w for x, w in step) / sum(w for _, w in step), y)
        for y, step in sorted(steps.items())
    ]
    if len(middles) < 2:
        raise BadRows("The model tells nothing apart on the later slice; it needs more labels.")
    return _prolonged(middles, float(min(raw)), float(max(raw)))


def _prolonged(
    middles: Sequence[tuple[float, float]], least: float, most: float
) -> tuple[Line, Line]:
    """As far as scores were seen, at the slopes of the first and the last piece."""
    (ax, ay), (bx, by), (yx, yy), (zx, zy) = *middles[:2], *middles[-2:]
    first = (least, max(0.0, ay - (ax - least) * (by - ay) / (bx - ax)))
    last = (most, min(1.0, zy + (most - zx) * (zy - yy) / (zx - yx)))
    ends = ([first] if least < ax else [], [last] if most > zx else [])
    points = [*ends[0], *middles, *ends[1]]
    return tuple(x for x, _ in points), tuple(y for _, y in points)


def _logistic(numpy: Any, split: Split) -> list[float]:
    """A baseline: what is not known is the median of what is."""
    linear, impute = packages("sklearn.linear_model"), packages("sklearn.impute")
    scaling, pipeline = packages("sklearn.preprocessing"), packages("sklearn.pipeline")
    steps = (
        impute.SimpleImputer(strategy="median", keep_empty_features=True),
        scaling.StandardScaler(),
        linear.LogisticRegression(max_iter=500),
    )
    model = pipeline.make_pipeline(*steps)
    model.fit(matrix(numpy, split.fit), [int(lesson.abuse) for lesson in split.fit])
    return [float(one) for one in model.predict_proba(matrix(numpy, split.test))[:, 1]]


def _bins(examples: Sequence[Example]) -> dict[str, Bins]:
    columns = zip(*(one.features for one in examples), strict=True)
    return {name: bins_of(list(column), BINS) for name, column in zip(NAMES, columns, strict=True)}


def tried(text: str, meta: str, split: Split) -> Made:
    """A model that is there, on the test set of these rows, with its own thresholds; the baselines
    are made anew. Raises BadModel and BadRows."""
    model = Loaded(text, meta)
    numpy = packages("numpy")
    answers, amounts = of_test(split)
    later = by_model(model, split.test)
    curves = {
        "model": measured(later, answers, amounts),
        "scorecard": measured(by_card(split.test), answers, amounts),
        "logistic": measured(_logistic(numpy, split), answers, amounts),
    }
    of_model = [
        choice("model", alarms, model.meta.thresholds[f"{alarms}%"], later, answers, amounts)
        for alarms in ALARMS
        if f"{alarms}%" in model.meta.thresholds
    ]
    card = _choices("scorecard", by_card(split.calibrate), by_card(split.test), split)
    return Made(text, meta, curves, (*card, *of_model))
