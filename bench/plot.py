"""Curves as a picture: throughput above, p99 below, over batch size, offered load and orders.

    python -m bench.plot bench/results/….json docs/performance.svg

Three by two charts in one picture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amends.doors.svg import STYLE, Axis, Look, chart, legend, text

WIDTH, HEIGHT, TOP = 1080, 690, 102
LEFT, GAP_X, GAP_Y, BOTTOM, RIGHT = 74, 66, 76, 56, 26
# over what -> (title, what is across, whether by tens, whether p99 is by tens)
COLUMNS = {
    "batch": ("Batch size, 1,024 in flight", "facts in a turn, at most", True, True),
    "load": ("Offered load", "refunds/s offered", False, True),
    "orders": ("Orders; p99 at 200/s", "orders in the database", True, False),
}
KINDS = {"postgresql": Look("PostgreSQL", "#1f5fa8"), "sqlite": Look("SQLite", "#c2571a", 5)}


def drawn(curves: Sequence[dict[str, Any]], under: str) -> str:
    """The whole picture; `under` is a line about the machine."""
    wide = (WIDTH - LEFT - RIGHT - 2 * GAP_X) / 3
    high = (HEIGHT - TOP - BOTTOM - GAP_Y) / 2
    parts = [_head(under)]
    for column, (over, (title, words, log, log_p99)) in enumerate(COLUMNS.items()):
        found = {c["kind"]: c["points"] for c in curves if c["over"] == over}
        x = LEFT + column * (wide + GAP_X)
        parts.append(text(x, TOP - 32, title, "start", "title"))
        up = (("per_s", "refunds/s", False), ("p99", "p99, ms", log_p99))
        for row, (field, unit, log_y) in enumerate(up):
            y = TOP + row * (high + GAP_Y)
            lines = {
                kind: [(p["x"], p[field]) for p in points]
                for kind, points in found.items()
                if points
            }
            axes = Axis(words, log, named=log), Axis(unit, log_y)
            parts.append(chart((x, y, wide, high), lines, *axes, KINDS))
    return "\n".join([*parts, "</svg>", ""])


def _head(under: str) -> str:
    x = LEFT + 130 * len(KINDS)
    words = "provider answers after 20 ms, which p99 includes"
    notes = text(x, 23, words, "start") + "\n" + text(LEFT, 43, under, "start", "small")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-label="Throughput and p99 over batch size, offered load and number of orders">\n'
        f"{STYLE}\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
        f"{legend(LEFT, 18, list(KINDS.values()))}\n{notes}"
    )


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
