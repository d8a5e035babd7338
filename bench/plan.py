"""What is measured and what came of it: plans, rows, points of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.places import Places


@dataclass
class Row:
    """One line of the result. `ok` None: nothing must come of it, or it is absent. `aim` is what
    we want of it beyond `must`, in the same unit: a ratio, or milliseconds."""

    name: str
    what: str
    unit: str = "refunds/s"
    value: float | None = None
    reference: float | None = None
    ratio: float | None = None
    must: float | None = None
    aim: float | None = None
    ok: bool | None = None
    cpu_s_per_1000: dict[str, float] = field(default_factory=dict)
    note: str = ""
    absent: str = ""

    def judge(self) -> Row:
        if self.must is not None and self.ratio is not None:
            self.ok = self.ratio >= self.must
        return self


@dataclass(frozen=True)
class Plan:
    """How much to do. `seconds` is what one measurement takes, about; `plot` asks for curves too.
    `sizes` are the numbers of orders that growth is measured over when it may take `long`, else
    its curve has `short_sizes`."""

    places: Places
    seconds: float
    rounds: int
    kinds: tuple[str, ...]
    long: bool = False
    plot: bool = False
    sizes: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    short_sizes: tuple[int, ...] = (20_000, 200_000)

    def count(self, a_second: int) -> int:
        return max(20, int(self.seconds * a_second))


@dataclass
class Round:
    """One round of one row. `p99` is in milliseconds, the provider's answer included."""

    value: float
    reference: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    p99: float = 0.0


@dataclass(frozen=True)
class Point:
    """One point of a curve: refunds a second, and the milliseconds that 99 of 100 stay below, the
    provider's own 20 included."""

    x: float
    per_s: float
    p99: float


@dataclass(frozen=True)
class Curve:
    """What one database does over batch size, offered load or orders: `over` names which."""

    over: str
    kind: str
    points: list[Point]


def summed_up(row: Row, rounds: list[Round]) -> Row:
    """Medians of the rounds; the ratio is the median of the rounds' own ratios."""
    row.value = round(median(r.value for r in rounds), 1)
    if all(r.reference for r in rounds):
        row.reference = round(median(r.reference for r in rounds), 1)
        row.ratio = round(median(r.value / r.reference for r in rounds), 3)
    row.cpu_s_per_1000 = median_cpu(rounds)
    return row.judge()


def median_cpu(rounds: list[Round]) -> dict[str, float]:
    names = sorted({name for r in rounds for name in r.cpu})
    return {n: round(median(r.cpu.get(n, 0.0) for r in rounds), 3) for n in names}


def at(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the sorted values stays below."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
