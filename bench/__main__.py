"""Measure rows and print each as a line of JSON: `amends bench` reads them.

python -m bench --rows engine-sqlite,rest --seconds 2

The first line holds the machine's facts (`machine`), the others a `row` or a `curve` each.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from contextlib import ExitStack
from types import FrameType
from typing import Any

from bench import curves
from bench.facts import facts
from bench.places import Places
from bench.plan import Curve, Plan, Row
from bench.rows import ROWS


def chosen(names: str, kinds: tuple[str, ...]) -> list[str]:
    """Rows whose name begins with one of the names, all without any. Raises SystemExit."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(row.startswith(name) for row in ROWS):
            raise SystemExit(f"There is no row {name}; rows are {', '.join(ROWS)}.")
    return [
        row
        for row, (kind, _) in ROWS.items()
        if (not wanted or any(row.startswith(name) for name in wanted))
        and (not kind or kind in kinds)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rows", default="")
    parser.add_argument("--store", default="")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--plot", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    kinds: tuple[str, ...] = ("postgresql", "sqlite")
    if given.store:
        kinds = ("sqlite",) if given.store.startswith("sqlite") else ("postgresql",)
    names = chosen(given.rows, kinds)
    with ExitStack() as stack:
        places = Places(given.store, stack)
        say("machine", facts(places.server if "postgresql" in kinds else ""))
        plan = Plan(places, given.seconds, given.rounds, kinds, given.long, given.plot)
        for name in names:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            for found in ROWS[name][1](plan):
                show(found)
        for kind in kinds if given.plot else ():
            print(f"measuring the curves of {kind}", file=sys.stderr, flush=True)
            show(curves.over_batch(plan, kind))
            show(curves.over_load(plan, kind))


def show(found: Row | Curve) -> None:
    say("row" if isinstance(found, Row) else "curve", dataclasses.asdict(found))


def say(what: str, value: Any) -> None:
    print(json.dumps({what: value}), flush=True)


def end(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    main()
