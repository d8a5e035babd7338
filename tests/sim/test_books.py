"""What the database itself refuses of the books: there the checker finds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core import work
from amends.sim.play.run import play
from amends.sim.play.wish import Report, Wish
from amends.store import ledger
from tests.sim.mutations import place
from tests.sim.worlds import WORLDS, found

CLOSES = 2  # a seed in which the clock that closes is ahead of the one that books


def played(world: str, seed: int, folder: Path) -> Report:
    with place(world, "", folder) as url:
        return play(Wish(seed, url, folder, **WORLDS[world]))


def test_what_is_late_is_posted_on_the_first_open_day(tmp_path: Path) -> None:
    report = played("month's end", CLOSES, tmp_path)
    assert report.violations == []
    assert report.posted_late > 0


def test_no_entry_gets_into_a_closed_month(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Undated, it waits until its own day is open: seconds, by a clock that was behind."""
    monkeypatch.setattr(work, "dated", lambda entry, closed: entry)
    report = played("month's end", CLOSES, tmp_path)
    assert found(report.violations) == []
    assert report.posted_late == 0


def test_no_number_is_given_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The next document that is to have it gets none and waits, and the log says so."""
    whole = ledger._numbered

    async def numbered(*given: Any) -> Any:
        return [replace(note, number=1) for note in await whole(*given)]

    monkeypatch.setattr(ledger, "_numbered", numbered)
    report = played("quiet", 1, tmp_path)
    assert {violation[1] for violation in found(report.violations)} == {"liveness"}
    assert any("sweep failed" in violation[3] for violation in report.violations)
