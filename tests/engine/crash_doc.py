"""Writes docs/crash-points.md: how many points there are to end at, of each tale and database.

`python -m tests.engine.crash_doc` plays every tale once on both databases and counts; the tests
play them once more for every point, and hold the page to what they counted.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import structlog

from amends.store.open import connect
from tests import postgres
from tests.engine.crash import Stage, play
from tests.engine.crash_tales import TALES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "crash-points.md"

HEAD = """# Crash points

Written by `python -m tests.engine.crash_doc`; do not edit.

`tests/engine/test_crash.py` plays each tale once for every point a process can end at: after every
statement of SQL (reads too), after `COMMIT`, before and after every request to the
provider, and around the line of a checkpoint. Statements are told at the driver, so nothing is
left out of a method that runs several. Not counted are the question whether anything is due, which
is asked all the time, and `BEGIN` of the rare writes that go through SQLAlchemy: neither changes
anything. On SQLite a statement for many rows is one point,
on PostgreSQL a turn writes all its tables in one statement. Then a fresh process goes on. At the
end every refund has come to the rest it should, the provider's own record has each movement
exactly once, the journal balances, the audit verifies and no lease or effect is left behind.

Three more plays go the same way and are not in the table: the process that recovers is killed as
well, at every point of its own, after each point of the first where something lasting had changed
(both databases); and one of two processes on one PostgreSQL is killed at every point it passes.

| tale | SQLite | PostgreSQL |
|---|---:|---:|
"""


def row(name: str, lite: int, pg: int) -> str:
    return f"| {name} | {lite} | {pg} |"


def counted() -> dict[tuple[str, str], int]:
    """What the page says, by tale and database."""
    found: dict[tuple[str, str], int] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0] in TALES:
            found[cells[0], "SQLite"] = int(cells[1])
            found[cells[0], "PostgreSQL"] = int(cells[2])
    return found


async def count(folder: Path, url: str) -> dict[str, int]:
    """The points of every tale, played once. An empty URL is SQLite."""
    template = folder / "template.db"
    store = connect(url or f"sqlite:///{template}")
    await store.migrate()
    await store.close()
    stage = Stage(template, folder, url)
    try:
        return {name: (await play(tale, stage, 0))[0][0].passed for name, tale in TALES.items()}
    finally:
        await stage.close()


def page(lite: dict[str, int], pg: dict[str, int]) -> str:
    rows = [row(name, lite[name], pg[name]) for name in TALES]
    total = row("**together**", sum(lite.values()), sum(pg.values()))
    return HEAD + "\n".join([*rows, total]) + "\n"


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        lite = asyncio.run(count(Path(one), ""))
        with postgres.supervised() as url:
            pg = asyncio.run(count(Path(two), url))
    PAGE.write_text(page(lite, pg), encoding="utf-8")


if __name__ == "__main__":
    main()
