"""A few rounds of chaos on each database; `python -m tests.chaos --rounds 200` plays many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run

ROUNDS = 3


@pytest.mark.slow
async def test_kill_9_on_sqlite(tmp_path: Path) -> None:
    report = await run(
        f"sqlite:///{tmp_path / 'amends.db'}", tmp_path, ROUNDS, 11, stored_errors=False
    )
    assert report.violations == []
    assert sum(report.kills.values()) >= ROUNDS


@pytest.mark.slow
async def test_kill_9_of_two_servers_and_a_worker(postgres_url: str, tmp_path: Path) -> None:
    report = await run(postgres_url, tmp_path, ROUNDS, 12, stored_errors=False)
    assert report.violations == []
    assert sum(report.kills.values()) >= ROUNDS
