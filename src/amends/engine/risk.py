"""A trained model judges, with the scorecard to fall back on.

A model is LightGBM's own text and a JSON document of what else belongs to it: no pickle, nothing
that runs. Whatever is wrong with it, the scorecard judges and says why; never is anything approved
for want of a model. LightGBM ends the whole process over some texts that are cut short, so no text
is handed to it that is not, by its SHA-256, the one the document names.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import msgspec

from amends.core import scorecard
from amends.core.risk import NAMES, Features, Score
from amends.core.scorecard import WORST
from amends.core.traits import UNKNOWN, sentence
from amends.kernel.time import MINUTE, SECOND, Clock

KIND = "lightgbm-1"
BUDGET = 5 * SECOND // 1000  # microseconds of one score
SLOW = 3  # scores in a row over the budget
REST = MINUTE  # for which the scorecard then judges
FEWEST_POINTS = 10  # a reason of less is not told


class BadModel(Exception):
    """A model that cannot judge; the sentence says why."""


class Bins(msgspec.Struct, frozen=True):
    """Where values lay when the model was made: the edges between bins, and the share of each bin
    (one more than edges). Those not known are in a bin of their own, the first."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What belongs to a model's text. `x` and `y` are the isotonic calibration: raw scores, rising,
    and the probability at each. `thresholds` are scores by what they are for."""

    kind: str
    text_sha256: str
    features: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    thresholds: dict[str, int] = {}
    bins: dict[str, Bins] = {}
    measures: dict[str, float] = {}
    counts: dict[str, int] = {}
    simulated: bool = False
    tested: str = ""  # when its test began, RFC 3339
    seed: int = 0


def model_hash(text: str, meta: str) -> str:
    """By which a model is known: the SHA-256 of its text and its document."""
    return hashlib.sha256(f"{text}\0{meta}".encode()).hexdigest()


class Loaded:
    """A model that is ready. `name` is what a score calls it."""

    def __init__(self, text: str, meta: str) -> None:
        """Raises BadModel."""
        self.meta = _checked(text, meta)
        self.name = f"{KIND}:{model_hash(text, meta)[:16]}"
        self._numpy, self._booster = _booster(text)
        if tuple(self._booster.feature_name()) != NAMES:
            raise BadModel("model of other features: its text names others than its document")
        self._x, self._y = self.meta.x, self.meta.y

    def score_bp(self, features: Features) -> int:
        """Raises BadModel, and whatever LightGBM raises."""
        raw = self._booster.predict(self.row(features), raw_score=True, num_threads=1)[0]
        return to_bp(calibrated(float(raw), self._x, self._y))

    def contributions(self, features: Features) -> list[float]:
        """What each feature adds to the raw score, in the order of NAMES; exact."""
        found = self._booster.predict(self.row(features), pred_contrib=True, num_threads=1)[0]
        return [float(more) for more in found[:-1]]

    def row(self, features: Features) -> Any:
        """One row as LightGBM takes it: what is not known is missing, not a number."""
        values = msgspec.structs.astuple(features)
        return self._numpy.array([[math.nan if v == UNKNOWN else v for v in values]])


def _checked(text: str, meta: str) -> Meta:
    try:
        found = msgspec.json.decode(meta, type=Meta)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadModel(f"model broken: its document cannot be read ({error})") from None
    if found.kind != KIND:
        raise BadModel(f"model broken: it is of the kind {found.kind!r}, not {KIND!r}")
    if hashlib.sha256(text.encode()).hexdigest() != found.text_sha256:
        raise BadModel("model broken: its text is not the one its document names; it may be cut")
    if found.features != NAMES:
        raise BadModel(f"model of other features: {_difference(found.features)}")
    rising = all(a < b for a, b in zip(found.x, found.x[1:], strict=False))
    rising = rising and all(a <= b for a, b in zip(found.y, found.y[1:], strict=False))
    within = all(math.isfinite(a) for a in found.x) and all(0 <= b <= 1 for b in found.y)
    if not found.x or len(found.x) != len(found.y) or not rising or not within:
        raise BadModel("model broken: its calibration is not a rising line of probabilities")
    for name, bins in found.bins.items():
        if name not in (*NAMES, "score") or len(bins.shares) != len(bins.edges) + 2:
            raise BadModel(f"model broken: its bins of {name[:40]!r} are no bins of a feature")
    return found


def _difference(names: Sequence[str]) -> str:
    lacks = [name for name in NAMES if name not in names]
    more = [name for name in names if name not in NAMES]
    parts = [f"it lacks {', '.join(lacks)}"] if lacks else []
    parts += [f"it wants {', '.join(more)}"] if more else []
    return " and ".join(parts) or "they are in another order"


def _booster(text: str) -> tuple[Any, Any]:
    try:
        lightgbm, numpy = import_module("lightgbm"), import_module("numpy")
    except ImportError:
        raise BadModel("model missing: install LightGBM with `pip install amends[risk]`") from None
    try:
        return numpy, lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise BadModel(f"model broken: LightGBM cannot read it ({error})") from None


def calibrated(raw: float, x: Sequence[float], y: Sequence[float]) -> float:
    """The probability at a raw score, on straight lines between the points. Raises BadModel."""
    if not math.isfinite(raw):
        raise BadModel("model broken: it gave no number")
    place = bisect_right(x, raw)
    if place in (0, len(x)):
        return y[0] if place == 0 else y[-1]
    part = (raw - x[place - 1]) / (x[place] - x[place - 1])
    return y[place - 1] + part * (y[place] - y[place - 1])


def to_bp(probability: float) -> int:
    return min(max(int(probability * WORST + 0.5), 0), WORST)


class Scorer:
    """Judges by the champion; `why` says why it does not, "" while it does.

    The challenger's score is told beside, and never used.
    """

    def __init__(
        self,
        clock: Clock,
        champion: Loaded | None = None,
        challenger: Loaded | None = None,
        why: str = "model missing",
    ) -> None:
        self.why = "" if champion else why
        self._clock = clock
        self._champion, self._challenger = champion, challenger
        self._slow, self._until = 0, 0

    def score(self, features: Features) -> Score:
        """The risk. The champion's reasons cost a hundred times more: `explain` has them."""
        champion = self._champion
        if champion is None or self._rests():
            return fallen_back(features, self.why)
        started = self._clock.monotonic()
        try:
            score_bp = champion.score_bp(features)
        except Exception as error:  # noqa: BLE001 - it is told as the reason
            self.why = broken(error)
            return fallen_back(features, self.why)
        self._count(self._clock.monotonic() - started)
        return Score(score_bp, champion.name)

    def explain(self, features: Features) -> Score:
        """The same with its reasons: what each feature adds, in 1/1000 of the log of the odds."""
        found = self.score(features)
        champion = self._champion
        if champion is None or found.model != champion.name:
            return found
        try:
            parts = champion.contributions(features)
        except Exception as error:  # noqa: BLE001 - it is told as the reason
            return msgspec.structs.replace(found, reasons=((broken(error), 0),))
        return msgspec.structs.replace(found, reasons=in_words(features, parts))

    def beside(self, features: Features) -> Score | None:
        """The challenger's score, None without one or while it fails."""
        if self._challenger is None:
            return None
        try:
            return Score(self._challenger.score_bp(features), self._challenger.name)
        except Exception as error:  # noqa: BLE001 - it decides nothing, and is told as the reason
            return Score(0, self._challenger.name, ((broken(error), 0),))

    def _rests(self) -> bool:
        if self._until and self._clock.monotonic() >= self._until:
            self._until, self._slow, self.why = 0, 0, ""
        return bool(self._until)

    def _count(self, took: int) -> None:
        self._slow = self._slow + 1 if took > BUDGET else 0
        if self._slow >= SLOW:
            self._until = self._clock.monotonic() + REST
            self.why = f"model slow: {SLOW} scores in a row took over {BUDGET // 1000} ms"
        elif not self._until:
            self.why = ""


def broken(error: Exception) -> str:
    """One sentence of what went wrong with a model."""
    return str(error) if isinstance(error, BadModel) else f"model broken: {error}"


def fallen_back(features: Features, why: str) -> Score:
    """The scorecard's score, and why it is the scorecard's."""
    found = scorecard.score(features)
    return msgspec.structs.replace(found, reasons=(*found.reasons, (f"By scorecard: {why}", 0)))


def in_words(features: Features, parts: Sequence[float]) -> tuple[tuple[str, int], ...]:
    """What each feature adds, the largest first; below zero it speaks for the customer."""
    found = []
    for name, part in zip(NAMES, parts, strict=True):
        points = round(part * 1000)
        if abs(points) >= FEWEST_POINTS:
            said = sentence(name, getattr(features, name))
            found.append((said if points > 0 else f"speaks for the customer: {said}", points))
    return tuple(sorted(found, key=lambda one: -one[1]))


def scorer_of(
    clock: Clock,
    champion: tuple[str, str] | None,
    challenger: tuple[str, str] | None = None,
) -> Scorer:
    """A scorer of (text, document) pairs; of a champion that is no good it says why."""
    beside: Loaded | None = None
    if challenger is not None:
        try:
            beside = Loaded(*challenger)
        except BadModel:
            beside = None
    if champion is None:
        return Scorer(clock, None, beside)
    try:
        return Scorer(clock, Loaded(*champion), beside)
    except BadModel as error:
        return Scorer(clock, None, beside, str(error))
