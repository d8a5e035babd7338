"""Crash points, enumerated: wherever a process ends, the next one brings every refund to its end,
with the money moved exactly once (I2, I3, I13; edge 3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amends.core.order import shown_state
from amends.sim.play.bridge import inline
from tests.engine import crash_doc
from tests.engine.crash import Fuse, Stage, Tale, play
from tests.engine.crash_tales import TALES, TOGETHER
from tests.engine.lab import Lab

LASTING = ("COMMIT", "send", "sent", "line", "lined")  # after which the world is another
TRIES = (
    8  # PostgreSQL's answer and the provider's may come in either sequence: until it is as first
)


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Thousands of databases are opened and read: a hop to a thread costs more than the reading."""
    with inline():
        yield


@pytest.mark.parametrize("name", TALES)
async def test_every_crash_point(name: str, stage: Stage) -> None:
    whole = await every_point(TALES[name], stage)
    told = crash_doc.counted()[name, stage.kind]
    assert whole.passed == told, "python -m tests.engine.crash_doc"


async def test_one_of_two_processes_ends_at_every_point(pg_stage: Stage) -> None:
    await every_point(TOGETHER, pg_stage)


async def every_point(tale: Tale, stage: Stage) -> Fuse:
    """Raises AssertionError with the point at which a crash is not recovered from."""
    (whole,), lab = await play(tale, stage, at=0)
    assert lab.found == []
    check_ends(tale, lab, "without a crash")
    assert whole.passed > 10, "the story passes points to crash at"
    for at in range(1, whole.passed + 1):
        for _ in range(TRIES):
            (fuse,), lab = await play(tale, stage, at)
            where = f"at {at} of {whole.passed}: {fuse.points[-1]} after {fuse.points[-4:-1]}"
            check_ends(tale, lab, where)
            if fuse.points == whole.points[:at] or tale.others:  # two take turns as they come
                break
        else:
            pytest.fail(f"always another way than without a crash, {where}")
    return whole


def check_ends(tale: Tale, lab: Lab, where: str) -> None:
    assert lab.found == [], where
    shown = [shown_state(r) for order in lab.after for r in order.refunds]
    assert set(shown) <= set(tale.ends), where
    assert len(shown) == tale.refunds or not tale.refunds, where
    live = [m for m in lab.movements() if m["status"] not in ("failed", "canceled")]
    assert len(live) == shown.count("succeeded"), where


async def test_the_process_that_recovers_ends_too(stage: Stage) -> None:
    """The next process is killed at every point of its own, wherever the first left something that
    lasts: between two such points the database is as it was."""
    await twice(TALES["plain"], stage)


async def twice(tale: Tale, stage: Stage) -> int:
    (whole,), _ = await play(tale, stage, at=0)
    lasting = [at for at, point in enumerate(whole.points, 1) if point in LASTING]
    count = 0
    for at in lasting:
        (_, next_whole), lab = await play(tale, stage, at, then=0)
        check_ends(tale, lab, f"crashed at {at}")
        for then in range(1, next_whole.passed + 1):
            (_, fuse), lab = await play(tale, stage, at, then)
            where = f"crashed at {at} ({whole.points[at - 1]}), then at {then}: {fuse.points[-3:]}"
            assert fuse.points == next_whole.points[:then], where
            check_ends(tale, lab, where)
            count += 1
    return count
