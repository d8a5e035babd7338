"""Writes the tables of docs/risk.md from the code they describe; the prose between is kept.

`python -m tests.core.risk_doc` writes them; a test holds that what is committed is what this would
write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from amends.core.scorecard import ROWS
from amends.core.traits import NAMES, TRAITS
from amends.sim.shoppers.kinds import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "risk.md"
POINTS = {1: "up", -1: "down", 0: ""}
UNITS = {
    "count": "number",
    "bp": "1/10,000",
    "days": "days",
    "money": "minor units",
    "flag": "0 or 1",
    "tracking": "0 to 4",
}


def features() -> str:
    rows = []
    for name in NAMES:
        trait = TRAITS[name]
        rows.append(f"| `{name}` | {trait.label} | {UNITS[trait.unit]} | {POINTS[trait.rises]} |")
    return "\n".join(["| feature | what it is | unit | risk |", "|---|---|---|---|", *rows])


def scorecard() -> str:
    rows = []
    for row in ROWS:
        steps = ", ".join(f"{at}: {points:+}" for at, points in row.steps)
        rows.append(f"| `{row.feature}` | {TRAITS[row.feature].label} | {steps} |")
    return "\n".join(["| feature | what it is | from: points |", "|---|---|---|", *rows])


def shoppers() -> str:
    rows = []
    for kind in KINDS:
        reasons = ", ".join(f"{reason} {share:.0%}" for reason, share in kind.reasons.items())
        waits = "{}–{}".format(*kind.waits) if kind.abuses else ""
        abuses = f"{kind.abuses:.0%}" if kind.abuses else ""
        shares = f"{kind.share:.2%}", f"{kind.orders_a_year:g}"
        rows.append(f"| {kind.name} | {' | '.join(shares)} | {abuses} | {reasons} | {waits} |")
    heads = "| kind | of customers | orders a year | abuses | as | days after delivery |"
    return "\n".join([heads, "|---|---|---|---|---|---|", *rows])


TABLES: dict[str, Callable[[], str]] = {
    "features": features,
    "scorecard": scorecard,
    "shoppers": shoppers,
}


def page(text: str) -> str:
    """The page with its tables as they should be; each is between two comments that name it."""
    for name, table in TABLES.items():
        ends = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        pattern = re.compile(re.escape(ends[0]) + ".*?" + re.escape(ends[1]), re.DOTALL)
        assert pattern.search(text), f"no place for the table {name}"
        text = pattern.sub(lambda _, t=table, e=ends: e[0] + t() + e[1], text)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
