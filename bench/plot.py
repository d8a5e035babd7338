"""Curves as a picture: throughput above, p99 below, over batch size, offered load and orders.

    python -m bench.plot bench/results/….json docs/performance.svg

SVG written by hand: a picture of three by two charts needs no library.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, TOP = 1080, 690, 102
LEFT, GAP_X, GAP_Y, BOTTOM, RIGHT = 74, 66, 76, 56, 26
# over what -> (title, what is across, whether by tens, whether p99 is by tens)
COLUMNS = {
    "batch": ("Batch size, 1,024 in flight", "facts in a turn, at most", True, True),
    "load": ("Offered load", "refunds/s offered", False, True),
    "orders": ("Orders; p99 at 200/s", "orders in the database", True, False),
}
KINDS = {"postgresql": ("PostgreSQL", "#1f5fa8", 0), "sqlite": ("SQLite", "#c2571a", 5)}
INK, GRID = "#222", "#ddd"

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """Values to pixels, with round values to write beside them."""

    ticks: tuple[float, ...]
    log: bool
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high, value = (self._at(v) for v in (self.ticks[0], self.ticks[-1], value))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def _at(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self.log else value


def ticks(values: Sequence[float], log: bool) -> tuple[float, ...]:
    """Round values from below the smallest to above the largest; from 0 on a linear axis."""
    low, high = min(values), max(values)
    if not log:
        step = _round_up(high / 5)
        return tuple(n * step for n in range(math.ceil(high / step - 1e-9) + 1))
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    found = [n * 10.0**power for power in range(first, last + 1) for n in steps]
    below = [n for n in found if n <= low * 1.001] or found[:1]
    above = [n for n in found if n >= high * 0.999] or found[-1:]
    return tuple(n for n in found if below[-1] <= n <= above[0])


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= value * 0.999)


def number(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if value >= size:
            return f"{value / (1000 if letter == 'k' else size):g}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def drawn(curves: Sequence[dict[str, Any]], under: str) -> str:
    """The whole picture; `under` is a line about the machine."""
    wide = (WIDTH - LEFT - RIGHT - 2 * GAP_X) / 3
    high = (HEIGHT - TOP - BOTTOM - GAP_Y) / 2
    parts = [_head(under)]
    for column, (over, (title, words, log, log_p99)) in enumerate(COLUMNS.items()):
        found = {c["kind"]: c["points"] for c in curves if c["over"] == over}
        x = LEFT + column * (wide + GAP_X)
        parts.append(_text(x, TOP - 32, title, "start", "title"))
        up = (("per_s", "refunds/s", False), ("p99", "p99, ms", log_p99))
        for row, (field, unit, log_y) in enumerate(up):
            y = TOP + row * (high + GAP_Y)
            lines = {
                kind: [(p["x"], p[field]) for p in points]
                for kind, points in found.items()
                if points
            }
            parts.append(_chart((x, y, wide, high), lines, (words, log), (unit, log_y)))
    return "\n".join([*parts, "</svg>", ""])


def _head(under: str) -> str:
    legend, x = [], LEFT
    for name, color, _ in KINDS.values():
        legend.append(f'<path d="M{x} 18h26" stroke="{color}" stroke-width="2.5"/>')
        legend.append(_text(x + 34, 23, name, "start"))
        x += 130
    legend.append(_text(x, 23, "provider answers after 20 ms, which p99 includes", "start"))
    legend.append(_text(LEFT, 43, under, "start", "small"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-label="Throughput and p99 over batch size, offered load and number of orders">\n'
        "<style>text{font:13px 'DejaVu Sans',Verdana,sans-serif;fill:" + INK + "}"
        ".small{font-size:11px;fill:#555}.title{font-weight:bold}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(legend)
    )


def _chart(
    box: tuple[float, float, float, float],
    lines: dict[str, Points],
    across: tuple[str, bool],
    up: tuple[str, bool],
) -> str:
    """One chart of lines by kind. `across` and `up` say what an axis shows and whether by tens."""
    x, y, wide, high = box
    parts = [_text(x, y - 10, up[0], "start"), _text(x + wide / 2, y + high + 38, across[0])]
    every = [point for points in lines.values() for point in points]
    if not every:
        return "\n".join([*parts, _text(x + wide / 2, y + high / 2, "not measured", css="small")])
    named = sorted({px for px, _ in every}) if across[1] else []
    x_ticks = tuple(named) if len(named) > 1 else ticks([px for px, _ in every], across[1])
    right = Scale(x_ticks, across[1], x, x + wide)
    rise = Scale(ticks([py for _, py in every], up[1]), up[1], y + high, y)
    for tick in rise.ticks:
        parts.append(f'<path d="M{x:g} {rise(tick)}h{wide:g}" stroke="{GRID}"/>')
        parts.append(_text(x - 7, rise(tick) + 4, number(tick), "end"))
    for tick in right.ticks:
        parts.append(f'<path d="M{right(tick)} {y + high:g}v5" stroke="{INK}"/>')
        parts.append(_text(right(tick), y + high + 19, number(tick)))
    parts.append(f'<path d="M{x:g} {y:g}v{high:g}h{wide:g}" fill="none" stroke="{INK}"/>')
    parts += [_line(points, right, rise, kind) for kind, points in lines.items()]
    return "\n".join(parts)


def _line(points: Points, right: Callable[[float], float], rise: Scale, kind: str) -> str:
    _, color, dash = KINDS[kind]
    at = [(right(px), rise(py)) for px, py in points]
    path = " ".join(f"{px},{py}" for px, py in at)
    dots = "".join(f'<circle cx="{px}" cy="{py}" r="3.2" fill="{color}"/>' for px, py in at)
    dashed = f' stroke-dasharray="{dash} 3"' if dash else ""
    line = f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{dashed}/>'
    return line + dots


def _text(x: float, y: float, words: str, anchor: str = "middle", css: str = "") -> str:
    style = f' class="{css}"' if css else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def under(report: dict[str, Any]) -> str:
    """The line about the machine and the day."""
    machine = report.get("machine") or {}
    return (
        f"{report['at'][:10]}, amends {report['version']}: {machine.get('cores')} cores of"
        f" {machine.get('cpu')}, load generator and database on them too"
    )


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(drawn(given["curves"], under(given)), encoding="utf-8")
