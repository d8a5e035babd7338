"""How a model did on its test, as one HTML page with pictures and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import msgspec

from amends.core.traits import TRAITS
from amends.doors.svg import STYLE, Axis, Look, Points, chart, legend
from amends.engine.risk import Meta
from amends.engine.risk_measure import LOOK, Curves
from amends.engine.risk_train import Made

LOOKS = {
    "model": Look("model", "#1f5fa8", dots=False),
    "scorecard": Look("scorecard", "#c2571a", 6, dots=False),
    "logistic": Look("logistic", "#4d7d3a", 2, dots=False),
    "even": Look("by chance, or exact", "#999", 3, dots=False),
}
FIGURES = {
    "auc": "area under ROC",
    "average_precision": "average precision",
    "recall_at_1": "abuse held up at 1 % false alarms",
    "recall_at_5": "abuse held up at 5 % false alarms",
    "brier": "Brier score (less is better)",
}
SIMULATED = (
    "<p class=warn><strong>These figures are simulated.</strong> The shoppers, honest and not, were"
    " made by a generator; what is said here of accuracy holds for them and for nobody else. No"
    " public set of labelled refunds is known to exist. Train on your own data before you rely on a"
    " model.</p>"
)
REAL = (
    "<p class=warn>Labels are late and selective: abuse that nobody found counts as honest here, so"
    " the true figures are not known. Requests younger than the maturity window were left out.</p>"
)
PAGE_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem"
    " .8rem;border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:"
    "left}.warn{background:#fff4d6;padding:.8rem 1rem;border-left:4px solid #b58100}"
    "svg{max-width:100%;height:auto}"
)


def page(made: Made, title: str, drift: Mapping[str, float] | None = None) -> str:
    """The whole page. `drift` is the PSI of each feature and of the score, where it is known."""
    meta = msgspec.json.decode(made.meta, type=Meta)
    parts = [
        f"<h1>{escape(title)}</h1>",
        SIMULATED if meta.simulated else REAL,
        _about(made, meta),
        _sets(meta),
        "<h2>Against the scorecard and a logistic baseline</h2>",
        _figures(made.curves),
        _pictures(made.curves),
        "<h2>Three thresholds</h2>",
        "<p>Set on the slice that calibrates, to hold up 1, 3 and 10 % of the honest there.</p>",
        _choices(made),
    ]
    if drift is not None:
        parts += ["<h2>Drift</h2>", _drift(drift)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{PAGE_STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _about(made: Made, meta: Meta) -> str:
    return (
        f"<p>Model <code>{made.hash}</code>, seed {meta.seed}, made as of {escape(meta.tested)}."
        " It learned from earlier requests, was calibrated on a later slice of them and tested on"
        " requests that came after; no customer is in two of the three.</p>"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _sets(meta: Meta) -> str:
    names = ("fit", "calibrate", "test")
    rows = [
        (name, f"{meta.counts[name]:,}", f"{meta.counts[f'{name}_abuse']:,}")
        for name in names
        if name in meta.counts
    ]
    return _table(("set", "requests", "of them abusive"), rows)


def _figures(curves: Mapping[str, Curves]) -> str:
    rows = [
        (words, *(f"{one.figures[name]:.3f}" for one in curves.values()))
        for name, words in FIGURES.items()
    ]
    return _table(("", *curves), rows)


def _choices(made: Made) -> str:
    heads = ("scorer", "threshold", "honest approved", "abuse stopped", "of its value")
    rows = [
        (
            one.scorer,
            f"{one.threshold_bp:,}",
            *(f"{s:.1%}" for s in (one.honest_approved, one.abuse_stopped, one.value_stopped)),
        )
        for one in made.choices
    ]
    return _table(heads, rows)


def _drift(drift: Mapping[str, float]) -> str:
    rows = [
        (TRAITS[name].label if name in TRAITS else "the score", f"{value:.3f}", _moved(value))
        for name, value in sorted(drift.items(), key=lambda one: -one[1])
    ]
    return _table(("feature", "PSI", ""), rows)


def _moved(psi: float) -> str:
    return "moved much" if psi > 0.25 else "moved" if psi > 0.1 else ""


EVEN: Points = [(0.0, 0.0), (1.0, 1.0)]
Curve = Callable[[Curves], tuple[tuple[float, float], ...]]
CHARTS: tuple[tuple[str, str, Curve, bool], ...] = (
    ("ROC: abuse held up", "honest held up", lambda one: one.roc, True),
    ("Precision: abuse in what is held up", "abuse held up", lambda one: one.precision, False),
    ("Calibration: abuse by tenths", "mean score", lambda one: one.calibration, True),
    (f"Cost in minor units, a look at {LOOK}", "share looked at", lambda one: one.cost, False),
)


def _pictures(curves: Mapping[str, Curves]) -> str:
    wide, high, left, top = 400.0, 260.0, 84.0, 70.0
    parts = []
    for place, (up, across, of, even) in enumerate(CHARTS):
        x = left + (place % 2) * (wide + 100)
        y = top + (place // 2) * (high + 90)
        lines: dict[str, Points] = {name: list(of(one)) for name, one in curves.items()}
        if even:
            lines["even"] = EVEN
        parts.append(chart((x, y, wide, high), lines, Axis(across), Axis(up), LOOKS))
    size = (left + 2 * wide + 130, top + 2 * high + 150)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}"'
        ' role="img" aria-label="ROC, precision and recall, calibration and cost of each scorer">'
        f"{STYLE}{legend(left, 20, list(LOOKS.values()), 170)}{''.join(parts)}</svg>"
    )
