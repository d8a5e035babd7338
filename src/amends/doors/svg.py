"""Charts of lines as SVG, written by hand: a picture of a few lines needs no library."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

INK, GRID = "#222", "#ddd"
STYLE = (
    "<style>text{font:13px 'DejaVu Sans',Verdana,sans-serif;fill:" + INK + "}"
    ".small{font-size:11px;fill:#555}.title{font-weight:bold}</style>"
)

Points = list[tuple[float, float]]
Box = tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True)
class Look:
    """How a line is drawn: its name in the legend, its color, dots at its points or none; `dash` of
    0 is a whole line."""

    name: str
    color: str
    dash: int = 0
    dots: bool = True


@dataclass(frozen=True)
class Axis:
    """What an axis shows, and whether by tens; `named`: its ticks are the values there are."""

    words: str
    log: bool = False
    named: bool = False


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


def chart(
    box: Box,
    lines: Mapping[str, Points],
    across: Axis,
    up: Axis,
    looks: Mapping[str, Look],
) -> str:
    """One chart of lines by the keys of `looks`."""
    x, y, wide, high = box
    parts = [text(x, y - 10, up.words, "start"), text(x + wide / 2, y + high + 38, across.words)]
    every = [point for points in lines.values() for point in points]
    if not every:
        return "\n".join([*parts, text(x + wide / 2, y + high / 2, "not measured", css="small")])
    named = sorted({px for px, _ in every}) if across.named else []
    x_ticks = tuple(named) if len(named) > 1 else ticks([px for px, _ in every], across.log)
    right = Scale(x_ticks, across.log, x, x + wide)
    rise = Scale(ticks([py for _, py in every], up.log), up.log, y + high, y)
    for tick in rise.ticks:
        parts.append(f'<path d="M{x:g} {rise(tick)}h{wide:g}" stroke="{GRID}"/>')
        parts.append(text(x - 7, rise(tick) + 4, number(tick), "end"))
    for tick in right.ticks:
        parts.append(f'<path d="M{right(tick)} {y + high:g}v5" stroke="{INK}"/>')
        parts.append(text(right(tick), y + high + 19, number(tick)))
    parts.append(f'<path d="M{x:g} {y:g}v{high:g}h{wide:g}" fill="none" stroke="{INK}"/>')
    parts += [_line(points, right, rise, looks[key]) for key, points in lines.items()]
    return "\n".join(parts)


def _line(points: Points, right: Callable[[float], float], rise: Scale, look: Look) -> str:
    at = [(right(px), rise(py)) for px, py in points]
    path = " ".join(f"{px},{py}" for px, py in at)
    circles = (f'<circle cx="{px}" cy="{py}" r="3.2" fill="{look.color}"/>' for px, py in at)
    dots = "".join(circles) if look.dots else ""
    dashed = f' stroke-dasharray="{look.dash} 3"' if look.dash else ""
    stroke = f'stroke="{look.color}" stroke-width="2"'
    return f'<polyline points="{path}" fill="none" {stroke}{dashed}/>' + dots


def legend(x: float, y: float, looks: Sequence[Look], step: float = 130) -> str:
    """The names of lines, side by side."""
    parts = []
    for look in looks:
        dashed = f' stroke-dasharray="{look.dash} 3"' if look.dash else ""
        stroke = f'stroke="{look.color}" stroke-width="2.5"'
        parts.append(f'<path d="M{x:g} {y:g}h26" {stroke}{dashed}/>')
        parts.append(text(x + 34, y + 5, look.name, "start"))
        x += step
    return "\n".join(parts)


def text(x: float, y: float, words: str, anchor: str = "middle", css: str = "") -> str:
    style = f' class="{css}"' if css else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{style}>{escape(words)}</text>'
