"""`amends simulate`: what it takes, what it says, how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from amends.doors import commands_simulate
from amends.doors.cli import app
from amends.sim.play.game import Game
from amends.sim.play.trouble import GROUPS, KINDS, OWN
from amends.sim.play.wish import Report


def simulate(*words: str) -> Any:
    return CliRunner().invoke(app, ["simulate", *words], env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "5"), "1..500"),
        (("--seeds", "5..4"), "1..500"),
        (("--seeds", "1..2", "--seed", "3"), "--seed"),
        (("--seeds", "1..2", "--timeline"), "single seed"),
        (("--workers", "2"), "PostgreSQL"),
        (("--store", "mysql://x"), "postgresql://"),
        (("--without", "rain"), "rain"),
        (("--only", "7", "--orders", "6"), "no order 7"),
        (("--only", "x"), "no order x"),
        (("--faults", "hail"), "storm"),
        (("--days", "0"), "--days"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_wrong_usage(words: tuple[str, ...], said: str) -> None:
    told = simulate(*words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert said in told.stderr


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    told = simulate("--store", "postgresql://me:secret@127.0.0.1:9/x")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "There is no database to play on" in told.stderr
    assert "secret" not in told.stderr


def test_several_seeds_are_one_document() -> None:
    told = simulate("--seeds", "2..3", "--orders", "4", "--days", "2", "--json")
    assert told.exit_code == 0, told.stdout
    document = json.loads(told.stdout)
    assert (document["seeds"], document["violated"], document["stories"]) == ([2, 3], [], [])
    assert [run["seed"] for run in document["runs"]] == [2, 3]
    assert all("chronicle" not in run for run in document["runs"])
    counts = {kind: count for kinds in document["faults"].values() for kind, count in kinds.items()}
    assert set(counts) == set(KINDS)
    assert set(document["faults"]) == set(GROUPS)
    never = {kind for kind, count in counts.items() if not count["struck"]}
    assert set(document["never_struck"]) == never - set(OWN)  # Stripe has none of these
    assert document["asks"] == sum(run["asks"] for run in document["runs"])
    assert document["years_per_second"] > 0
    assert document["peak_mb"] > 0


def test_one_seed_is_told_from_the_first_line() -> None:
    told = simulate("--seed", "2", "--orders", "4", "--only", "1,3", "--days", "2", "--timeline")
    assert told.exit_code == 0, told.stdout
    assert "node-1 starts" in told.stdout
    assert "order 3 " in told.stdout
    assert "order 2 " not in told.stdout
    assert "Zero violations." in told.stdout
    assert "Never struck: " in told.stdout


@dataclass
class Stub:
    """Reports without a world."""

    violations: list[tuple[float, str, str, str]]

    def __call__(self, games: list[Game], jobs: int) -> list[Report]:
        given = (30.0, 300, 100, 250, 240, 5, {"crash": 3}, {}, self.violations, "f" * 64)
        return [Report(g.seed, "sqlite", *given, 1.0, 100, 0) for g in games]


def test_a_thin_world_is_a_violation_that_is_not_made_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thin = [(30.0, "minimum", "", "a thin world: 3 refunds asked")]
    monkeypatch.setattr(commands_simulate, "play_all", Stub(thin))
    told = simulate("--seeds", "4..5")
    assert told.exit_code == 1
    assert "2 of 2 seeds violated." in told.stdout
    assert "a thin world" in told.stdout
    assert "Replay: amends simulate --seed 5 --timeline" in told.stdout


def test_what_a_violated_seed_met_is_not_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    thin = [(30.0, "minimum", "", "a thin world: 3 refunds asked")]
    monkeypatch.setattr(commands_simulate, "play_all", Stub(thin))
    document = json.loads(simulate("--seeds", "4..5", "--json").stdout)
    assert document["faults"]["statement"]["crash"] == {"struck": 6, "survived": 0}
