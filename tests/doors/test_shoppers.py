"""`amends simulate --abusers`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
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


DRAFT = """
name = "draft"
[[rows]]
id = "large"
when = "refund.amount > 9000"
outcome = "review"
[[rows]]
id = "rest"
when = "true"
outcome = "approve"
"""
LIVES = ("simulate", "--abusers", "150", "--days", "30", "--seed", "4")


def test_a_draft_over_history_and_in_force(tmp_path: Path) -> None:
    (tmp_path / "draft.toml").write_text(DRAFT)
    draft = ("--draft", str(tmp_path / "draft.toml"), "--keep", str(tmp_path / "kept"))
    said = CliRunner().invoke(app, [*LIVES, *draft, "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found["same"] and found["simulated"]
    assert sum(one["lived"]["count"] for one in found["rules"].values()) == found["refunds"] > 5
    assert found["rules"]["large"]["lived"] == found["outcomes"]["review"]["replayed"]
    # What was kept is an ordinary database, which other commands read.
    config = ("--config", str(tmp_path / "kept" / "past" / "amends.toml"))
    since = ("--since", "2026-01-01T00:00:00Z")
    again = CliRunner().invoke(app, ["policy", "replay", *draft[1:2], *since, *config, "--json"])
    assert json.loads(again.stdout)["decisions"] == found["refunds"], again.output
    books = CliRunner().invoke(app, ["ledger", "check", *config])
    assert books.exit_code == 0, books.output
    twice = CliRunner().invoke(app, [*LIVES, *draft])
    assert twice.exit_code == 1 and "is there already; name another folder" in twice.output


def test_it_says_it_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "draft.toml").write_text(DRAFT)
    lives = ("simulate", "--abusers", "60", "--days", "20")
    said = CliRunner().invoke(app, [*lives, "--draft", str(tmp_path / "draft.toml")])
    assert said.exit_code == 0, said.output
    assert "over history" in said.output and "in force decided is the same" in said.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file"),
        ("name = ", "It is not TOML"),
        (DRAFT.replace('"true"', '"false"'), "last row"),
    ],
    ids=("missing", "no TOML", "no policy"),
)
def test_a_draft_that_is_none_is_refused(text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "draft.toml").write_text(text)
    wide = {"COLUMNS": "300"}
    draft = ("--draft", str(tmp_path / "draft.toml"))
    said = CliRunner().invoke(app, [*LIVES, *draft], env=wide)
    assert said.exit_code == 1 and says in said.output, said.output


def test_a_draft_needs_shoppers() -> None:
    said = CliRunner().invoke(app, ["simulate", "--draft", "x.toml"], env={"COLUMNS": "200"})
    assert said.exit_code == 2 and "it goes with --abusers" in said.output
