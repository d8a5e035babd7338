"""Chaos: kill -9 at random moments under load, with a provider that loses answers.

    python -m tests.chaos --rounds 200 --store sqlite
    python -m tests.chaos --rounds 200 --store postgres --seed 7 --json report.json

Prints the figures; ends with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests import postgres
from tests.chaos.run import Report, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the report there")
    parser.add_argument("--keep", type=Path, help="folder for settings and logs (default: gone)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amends-chaos-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = one(given.store, folder, given.rounds, given.seed)
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
    show(report)
    print(encoded.decode())
    if given.json:
        given.json.write_bytes(encoded)
    return 1 if report.violations else 0


def one(store: str, folder: Path, rounds: int, seed: int) -> Report:
    def say(line: str) -> None:
        print(line, flush=True)

    if store == "sqlite":
        return asyncio.run(run(f"sqlite:///{folder / 'amends.db'}", folder, rounds, seed, say))
    with postgres.supervised() as server, postgres.database(server, "chaos") as url:
        return asyncio.run(run(url, folder, rounds, seed, say))


def show(report: Report) -> None:
    rows: list[tuple[str, object]] = [
        ("store", report.store),
        ("rounds", report.rounds),
        ("kills", ", ".join(f"{name} {n}" for name, n in report.kills.items())),
        ("seconds", report.seconds),
        ("quiet after", f"{report.settled_after} s"),
        *report.figures.items(),
        ("violations", len(report.violations)),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    sys.exit(main())
