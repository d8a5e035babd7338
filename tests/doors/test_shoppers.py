"""`amends simulate --abusers`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from amends.doors.cli import app


def test_it_tells_what_both_would_do_at_three_thresholds() -> None:
    said = CliRunner().invoke(app, ["simulate", "--abusers", "2000", "--seed", "3", "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert (found["seed"], found["customers"], found["simulated"]) == (3, 2000, True)
    for scorer in ("scorecard", "model"):
        mine = [one for one in found["choices"] if one["scorer"] == scorer]
        assert len(mine) == 3
        strict = sorted(mine, key=lambda one: one["threshold_bp"])
        stopped = [one["abuse_stopped"] for one in strict]
        approved = [one["honest_approved"] for one in strict]
        assert stopped == sorted(stopped, reverse=True), "a lower threshold stops more abuse"
        assert approved == sorted(approved), "and more of the honest"


def test_too_few_to_learn_from_are_refused() -> None:
    said = CliRunner().invoke(app, ["simulate", "--abusers", "99"], env={"COLUMNS": "200"})
    assert said.exit_code == 2 and "nothing can be learned" in said.output
