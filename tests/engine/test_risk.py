"""A trained model judges; whatever is wrong with it, the scorecard does, and says why."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from amends.core import scorecard
from amends.core.risk import NAMES, Features
from amends.core.traits import TRAITS, UNKNOWN
from amends.engine import risk, risk_train
from amends.engine.drift import moved
from amends.engine.risk import BUDGET, REST, SLOW, BadModel, Loaded, Meta, Scorer, scorer_of
from amends.engine.risk_rows import BadRows, split
from amends.engine.risk_train import Made, train, tried
from amends.kernel.time import Instant
from tests.engine.risk_world import made_up

GOOD = Features(amount=900, refunds_90=0, card_others=0, account_age=800, units=1, tracking=2)
BAD = Features(amount=900, refunds_90=9, card_others=5, account_age=3, units=1, tracking=2)


class Ticks:
    """A clock whose steps are said beforehand; each reading takes `step`."""

    def __init__(self) -> None:
        self.at, self.step = 0, 0

    def now(self) -> Instant:
        return self.at

    def monotonic(self) -> Instant:
        self.at += self.step
        return self.at


@pytest.fixture(scope="module")
def made() -> Made:
    return train(split(made_up()))


@pytest.fixture(scope="module")
def model(made: Made) -> Loaded:
    return Loaded(made.text, made.meta)


def changed(made: Made, **changes: Any) -> str:
    """The document of a model with these fields changed."""
    meta = msgspec.json.decode(made.meta, type=Meta)
    return msgspec.json.encode(replace(meta, **changes)).decode()


def why(scorer: Scorer) -> str:
    """Why it is the scorecard that judges, after checking that it is."""
    found = scorer.score(BAD)
    card = scorecard.score(BAD)
    assert (found.score_bp, found.model) == (card.score_bp, scorecard.MODEL)
    assert found.reasons[:-1] == card.reasons
    said, points = found.reasons[-1]
    assert points == 0
    assert scorer.explain(BAD) == found
    return said.removeprefix("By scorecard: ")


# -- a model that is well ------------------------------------------------------------------------


def test_the_model_judges(made: Made, model: Loaded) -> None:
    scorer = Scorer(Ticks(), model)
    good, bad = scorer.score(GOOD), scorer.score(BAD)
    assert good.score_bp < 500 < 3000 < bad.score_bp
    assert good.model == bad.model == f"lightgbm-1:{made.hash[:16]}"
    assert good.reasons == ()
    assert scorer.why == ""


def test_reasons_add_up_to_the_score(model: Loaded) -> None:
    raw = float(model._booster.predict(model.row(BAD), raw_score=True)[0])
    found = model._booster.predict(model.row(BAD), pred_contrib=True)[0]
    assert math.fsum(found) == pytest.approx(raw)
    assert model.contributions(BAD) == [float(part) for part in found[:-1]]
    explained = Scorer(Ticks(), model).explain(BAD)
    assert explained.score_bp == model.score_bp(BAD)
    points = [more for _, more in explained.reasons]
    assert points == sorted(points, reverse=True)
    assert "refunds the customer asked for in 90 days: 9" in dict(explained.reasons)
    good = dict(Scorer(Ticks(), model).explain(GOOD).reasons)
    kind = "speaks for the customer: refunds the customer asked for in 90 days: 0"
    assert good[kind] < 0


def test_what_can_only_be_worse_never_lowers_the_risk(model: Loaded) -> None:
    for name in NAMES:
        if not TRAITS[name].rises or TRAITS[name].unit == "tracking":
            continue
        scores = [
            model.score_bp(Features(**{**dict(zip(NAMES, astuple(GOOD), strict=True)), name: n}))
            for n in (0, 1, 2, 3, 5, 9, 50, 400, 9000, 10**6)
        ]
        assert scores == sorted(scores, reverse=TRAITS[name].rises < 0), name


def test_the_same_rows_and_seed_are_the_same_model(made: Made) -> None:
    again = train(split(made_up()))
    assert (again.text, again.meta, again.hash) == (made.text, made.meta, made.hash)
    assert train(split(made_up()), seed=2).hash != made.hash
    both = hashlib.sha256(f"{made.text}\0{made.meta}".encode()).hexdigest()
    assert made.hash == both


def test_it_beats_chance_and_says_how_well_it_did(made: Made) -> None:
    meta = msgspec.json.decode(made.meta, type=Meta)
    assert meta.measures == made.curves["model"].figures
    assert meta.measures["auc"] > 0.7
    assert not meta.simulated
    assert set(made.curves) == {"model", "scorecard", "logistic"}
    assert [(c.scorer, c.alarms) for c in made.choices] == [
        (scorer, alarms) for scorer in ("scorecard", "model") for alarms in (1, 3, 10)
    ]
    assert msgspec.json.decode(train(split(made_up(truth=True))).meta, type=Meta).simulated, (
        "truth is known of simulated ones alone"
    )


def test_a_model_is_tried_again_and_drift_is_seen(made: Made, model: Loaded) -> None:
    again = tried(made.text, made.meta, split(made_up()))
    assert again.hash == made.hash
    was, now = made.curves["model"].figures, again.curves["model"].figures
    assert now["auc"] == pytest.approx(was["auc"], abs=0.01)
    assert max(moved(model, [e.features for e in made_up(seed=3)]).values()) < 0.1
    at = NAMES.index("units")
    rows = [(*e.features[:at], 9, *e.features[at + 1 :]) for e in made_up()]
    assert moved(model, rows)["units"] > 0.25


@given(st.lists(st.integers(-1, 10**9), min_size=len(NAMES), max_size=len(NAMES)))
@settings(max_examples=50, deadline=None)
def test_every_refund_has_a_score(model: Loaded, values: list[int]) -> None:
    assert 0 <= model.score_bp(Features(*values)) <= 10_000


# -- a model that is not -------------------------------------------------------------------------


def test_no_model_is_the_scorecard() -> None:
    assert why(scorer_of(Ticks(), None)) == "model missing"


BROKEN: dict[str, tuple[Callable[[Made], tuple[str, str]], str]] = {
    "cut short": (lambda m: (m.text[: len(m.text) // 2], m.meta), "it may be cut"),
    "empty": (lambda m: ("", m.meta), "it may be cut"),
    "no document": (lambda m: (m.text, m.meta[:-30]), "cannot be read"),
    "another document": (lambda m: (m.text, '{"kind": 1}'), "cannot be read"),
    "another kind": (lambda m: (m.text, changed(m, kind="pickle")), "of the kind 'pickle'"),
    "fewer features": (
        lambda m: (m.text, changed(m, features=NAMES[1:])),
        f"model of other features: it lacks {NAMES[0]}",
    ),
    "more features": (lambda m: (m.text, changed(m, features=(*NAMES, "moon"))), "it wants moon"),
    "another order": (
        lambda m: (m.text, changed(m, features=tuple(reversed(NAMES)))),
        "in another order",
    ),
    "no calibration": (lambda m: (m.text, changed(m, x=(), y=())), "not a rising line"),
    "falling calibration": (
        lambda m: (m.text, changed(m, x=(0.0, 1.0), y=(0.9, 0.1))),
        "not a rising line",
    ),
    "no probability": (
        lambda m: (m.text, changed(m, x=(0.0, 1.0), y=(0.1, 7.0))),
        "not a rising line",
    ),
    "a deep document": (lambda m: (m.text, '{"deep": ' + "[" * 200_000), "cannot be read"),
    "bins of nothing": (
        lambda m: (m.text, changed(m, bins={"moon": {"edges": (), "shares": (1.0, 0.0)}})),
        "its bins of 'moon'",
    ),
    "bins that do not fit": (
        lambda m: (m.text, changed(m, bins={"score": {"edges": (1.0,), "shares": (1.0,)}})),
        "its bins of 'score'",
    ),
    "not a model": (
        lambda m: ("tree", changed(m, text_sha256=hashlib.sha256(b"tree").hexdigest())),
        "LightGBM cannot read it",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_the_scorecard(made: Made, name: str) -> None:
    """LightGBM ends the process over a text that is cut short; here it never gets to see one."""
    spoilt, said = BROKEN[name]
    assert said in why(scorer_of(Ticks(), spoilt(made)))


def test_text_of_other_features_is_noticed(made: Made) -> None:
    text = made.text.replace("refunds_before", "refunds_behind")
    meta = changed(made, text_sha256=hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(BadModel, match="its text names others"):
        Loaded(text, meta)


def test_without_lightgbm_it_is_the_scorecard(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(risk, "import_module", none)
    monkeypatch.setattr(risk_train, "import_module", none)
    said = why(scorer_of(Ticks(), (made.text, made.meta)))
    assert said == "model missing: install LightGBM with `pip install amends[risk]`"
    with pytest.raises(BadRows, match=r"Training needs lightgbm: `pip install amends\[risk\]`"):
        train(split(made_up()))


class Spoilt(Loaded):
    """A model that fails in use."""

    def __init__(self, made: Made, fails: Callable[[], float]) -> None:
        super().__init__(made.text, made.meta)
        self._fails = fails
        self._booster = self

    def predict(self, row: Any, **kwargs: Any) -> list[float]:
        return [self._fails()]


def raises() -> float:
    raise ValueError("the disk is on fire")


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (lambda: math.nan, "model broken: it gave no number"),
        (lambda: math.inf, "model broken: it gave no number"),
        (raises, "model broken: the disk is on fire"),
    ],
)
def test_a_model_that_fails_is_the_scorecard(
    made: Made, fails: Callable[[], float], said: str
) -> None:
    scorer = Scorer(Ticks(), Spoilt(made, fails))
    assert why(scorer) == scorer.why == said


def test_a_slow_model_rests_for_a_minute(model: Loaded) -> None:
    clock = Ticks()
    scorer = Scorer(clock, model)
    clock.step = BUDGET + 1
    for _ in range(SLOW):
        assert scorer.score(BAD).model == model.name, "what it said is as good as ever"
    assert why(scorer) == "model slow: 3 scores in a row took over 5 ms"
    clock.step = 0
    clock.at += REST - 10 * BUDGET
    assert why(scorer).startswith("model slow")
    clock.at += 10 * BUDGET
    assert scorer.score(BAD).model == model.name
    assert scorer.why == ""


def test_one_quick_score_among_slow_ones_is_enough(model: Loaded) -> None:
    clock = Ticks()
    scorer = Scorer(clock, model)
    for n in range(12):
        clock.step = 0 if n % SLOW == SLOW - 1 else BUDGET + 1
        assert scorer.score(BAD).model == model.name


def test_a_challenger_is_told_and_never_used(made: Made, model: Loaded) -> None:
    other = train(split(made_up(seed=4)), seed=4)
    scorer = scorer_of(Ticks(), (made.text, made.meta), (other.text, other.meta))
    beside = scorer.beside(BAD)
    assert beside is not None
    assert beside.model == f"lightgbm-1:{other.hash[:16]}"
    assert scorer.score(BAD) == Scorer(Ticks(), model).score(BAD)
    alone = scorer_of(Ticks(), None, (other.text, other.meta))
    assert why(alone) == "model missing"
    assert alone.beside(BAD) == beside
    assert scorer_of(Ticks(), None, (other.text[:-9], other.meta)).beside(BAD) is None
    failing = Scorer(Ticks(), model, Spoilt(made, raises)).beside(BAD)
    assert failing is not None
    assert failing.reasons == (("model broken: the disk is on fire", 0),)


def test_what_is_not_known_is_missing_for_the_model(model: Loaded) -> None:
    row = [float(value) for value in model.row(Features(amount=5))[0]]
    for name, value in zip(NAMES, row, strict=True):
        assert math.isnan(value) == (getattr(Features(amount=5), name) == UNKNOWN)
