"""Seeds that are always played, on both databases, and that a seed is all a run follows from.

A seed that once failed goes into SEEDS, as small as `amends simulate` made it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amends.sim.play.game import Game
from amends.sim.play.run import play
from amends.sim.play.trouble import GROUPS
from amends.sim.play.wish import Report, Wish
from tests.sim.mutations import place
from tests.sim.worlds import _only

SOURCE = Path(__file__).resolve().parents[2] / "src"

SEEDS = {
    "sqlite": (Game(1), Game(2, days=12, orders=40, faults="storm")),
    "postgres": (
        Game(6, days=12, orders=40),
        Game(4, days=8, orders=25, faults="storm"),
        Game(5, days=8, orders=25),
    ),
}
SMALL = Game(7, days=6, orders=15)


def named(game: Game) -> str:
    return f"{game.seed}-{game.faults}"


@pytest.mark.slow
@pytest.mark.parametrize("game", SEEDS["sqlite"], ids=named)
def test_a_month_on_sqlite(game: Game) -> None:
    holds(game.play())


@pytest.mark.slow
@pytest.mark.parametrize("game", SEEDS["postgres"], ids=named)
def test_a_month_on_postgres(game: Game, postgres_server: str) -> None:
    report = on(game, postgres_server).play()
    holds(report)
    assert bool(report.met_locks) == (game.seed % 2 == 0), "two workers meet, one does not"


def holds(report: Report) -> None:
    """Nothing violated, and there was something to survive, of every group."""
    assert report.violations == []
    for group, kinds in GROUPS.items():
        if group == "own":
            continue  # of what Stripe does not have
        assert sum(report.faults.get(kind, 0) for kind in kinds) > 0, group
    assert report.quiet_points >= 5
    assert report.movements > 0


@pytest.mark.slow
def test_a_seed_is_all_it_follows_from(postgres_server: str) -> None:
    # I14: the same hashes again, in another process that hashes otherwise, on another database.
    first = SMALL.play()
    assert (first.violations, len(first.fingerprint)) == ([], 64)
    assert SMALL.play().fingerprint == first.fingerprint
    assert elsewhere(SMALL) == first.fingerprint
    replayed = on(SMALL, postgres_server).play()
    assert (replayed.store, replayed.fingerprint) == ("postgresql", first.fingerprint)
    assert Game(8, days=6, orders=15).play().fingerprint != first.fingerprint


@pytest.mark.slow
def test_two_workers_follow_from_the_seed_too(postgres_server: str) -> None:
    game = Game(8, days=5, orders=30, server=postgres_server)
    first = game.play()
    assert first.met_locks
    assert game.play().fingerprint == first.fingerprint


@pytest.mark.slow
def test_a_dispute_over_what_waits_for_funds(tmp_path: Path) -> None:
    """The balance is short, somebody asks then disputes: it does not leave as well (edge-11)."""
    profile = _only("insufficient_balance", world=0.001)
    who: dict[str, Any] = {"personas": ("disputer",), "only": ("1182",)}
    with place("others", "", tmp_path) as url:
        report = play(Wish(1, url, tmp_path, days=6.0, orders=2000, profile=profile, **who))
    assert report.violations == []


def on(game: Game, server: str) -> Game:
    return Game(game.seed, game.days, game.orders, game.faults, server=server)


def elsewhere(game: Game) -> str:
    """The fingerprint by the command, in a process whose sets have another order."""
    done = subprocess.run(
        [sys.executable, "-m", "amends.doors.cli", "simulate", *game.words(), "--json"],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: str = json.loads(done.stdout)["fingerprint"]
    return found
