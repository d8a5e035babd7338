"""Measure rows and print each as a line of JSON: `amends bench` reads them.

python -m bench --rows engine-sqlite,rest --seconds 2
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from contextlib import ExitStack
from types import FrameType

from bench.places import Places
from bench.rows import ROWS, Plan


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
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    kinds: tuple[str, ...] = ("postgresql", "sqlite")
    if given.store:
        kinds = ("sqlite",) if given.store.startswith("sqlite") else ("postgresql",)
    with ExitStack() as stack:
        plan = Plan(Places(given.store, stack), given.seconds, given.rounds, kinds)
        for name in chosen(given.rows, kinds):
            print(f"measuring {name}", file=sys.stderr, flush=True)
            for row in ROWS[name][1](plan):
                print(json.dumps(dataclasses.asdict(row)), flush=True)


def end(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    main()
