"""What a world survives is found all the same: nothing dies unheard in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amends.engine.sweep import Sweeper
from amends.sim.play.hooks import Hooks
from amends.sim.play.node import Node
from amends.sim.play.run import play
from amends.sim.play.trouble import PROFILES
from amends.sim.play.wish import Wish


def wrongs(folder: Path, kind: str) -> list[str]:
    wish = Wish(
        1, f"sqlite:///{folder / 'a.db'}", folder, days=2, orders=4, profile=PROFILES["none"]
    )
    return [what for _, name, _, what in play(wish).violations if name == kind]


def defects(folder: Path) -> list[str]:
    return wrongs(folder, "defect")


def test_a_whole_world_has_none(tmp_path: Path) -> None:
    assert defects(tmp_path) == []


def test_an_error_that_the_engine_logs_and_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(sweeper: Sweeper) -> None:
        raise ValueError("a chore broke")

    monkeypatch.setattr(Sweeper, "_match_late", broken)
    found = defects(tmp_path)
    assert found
    assert all("sweep failed and goes on" in what for what in found)


def test_an_error_in_a_task_that_nobody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, died = Hooks.post, []

    async def once(hooks: Hooks, *given: Any, **named: Any) -> int | None:
        if not died:
            died.append(1)
            raise ValueError("a webhook broke the world")
        return await whole(hooks, *given, **named)

    monkeypatch.setattr(Hooks, "post", once)
    assert any("a webhook broke the world" in what for what in defects(tmp_path))


def test_an_order_that_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_heard_of(node: Node, *given: Any) -> tuple[int, Any]:
        return 404, {"code": "unknown_order"}

    monkeypatch.setattr(Node, "refund", never_heard_of)
    assert any("nobody knows of it" in what for what in wrongs(tmp_path, "seen"))
