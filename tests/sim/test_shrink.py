"""A broken engine is found, its story made small, and the printed command shows it again."""

from __future__ import annotations

import json
import shlex

import msgspec
import pytest
from typer.testing import CliRunner

from amends.doors.cli import app
from amends.gateways.spec import Failure, Request, Response
from amends.sim.play.game import Game
from amends.sim.play.network import Wire
from amends.sim.play.shrink import REPLAYS, shrink, targeted
from amends.sim.play.timeline import clock, story
from amends.sim.play.trouble import GROUPS, KINDS, kinds_of, named
from amends.sim.play.wish import Line, Report

whole_send = Wire.send

# The work is done, or begins, after we heard of a failure: what a careless engine pays twice.
UNHEARD = {"lost_answer", "slow_answer", "slow_request", "silence", "error_500_done"}


async def careless(self: Wire, request: Request, timeout_seconds: float) -> Response | Failure:
    """A time-out is taken as "nothing was sent", and no key stops the second payment."""
    headers = tuple(pair for pair in request.headers if pair[0] != "Idempotency-Key")
    bare = msgspec.structs.replace(request, headers=headers)
    answer = await whole_send(self, bare, timeout_seconds)
    return Failure(False, answer.reason) if isinstance(answer, Failure) else answer


@pytest.mark.slow
def test_a_violation_is_made_small_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "simulate --seed 4 --days 6 --orders 20 --jobs 1"
    with monkeypatch.context() as broken:
        broken.setattr(Wire, "send", careless)
        told = CliRunner().invoke(app, [*words.split(), "--json"])
        assert told.exit_code == 1
        document = json.loads(told.stdout)
        (small,) = document["stories"]
        assert (document["violated"], small["again"]) == ([4], True)
        assert len(small["only"]) == 1
        assert small["replays"] <= REPLAYS
        kept = set(KINDS) - set(small["without"])
        assert kept & UNHEARD
        assert not kept & {*GROUPS["statement"], *GROUPS["world"], *GROUPS["story"]}
        invariant, number = small["violation"]
        assert f"VIOLATION {invariant}" in small["timeline"][-1]
        assert all(
            "order" not in line[:27] or f"order {number}" in line for line in small["timeline"]
        )

        program, *again = shlex.split(small["command"])
        assert (program, again[-1]) == ("amends", "--timeline")
        shown = CliRunner().invoke(app, again)
        assert shown.exit_code == 1
        assert small["timeline"][-1] in shown.stdout
    assert CliRunner().invoke(app, again).exit_code == 0


def report(**given: object) -> Report:
    usual = dict.fromkeys(Report.__struct_fields__, 0)
    empty = {"faults": {}, "states": {}, "violations": [], "chronicle": [], "store": ""}
    return Report(**{**usual, **empty, **given})  # type: ignore[arg-type]


def found(*orders: str, **given: object) -> Report:
    return report(violations=[(1.0, "I1", order, "too much") for order in orders], **given)


def test_what_needs_several_orders_keeps_them() -> None:
    needed = {"3", "11"}

    def replay(game: Game) -> Report:
        orders = set(game.only) or {str(n) for n in range(1, 21)}
        return found("3") if needed <= orders and "crash" not in game.without else found("4")

    small = shrink(Game(1, orders=20), ("I1", "3"), replay)
    assert set(small.game.only) >= needed
    assert len(small.game.only) <= 5
    assert "crash" not in small.game.without
    assert {"outage", *GROUPS["request"]} <= small.game.without
    assert small.replays <= REPLAYS


def test_what_does_not_come_back_says_so() -> None:
    small = shrink(Game(1, orders=8), ("I1", "3"), lambda _: report())
    assert (small.again, small.game) == (False, Game(1, orders=8))


def test_the_violation_to_look_at_is_one_about_an_order() -> None:
    assert targeted(found("", "7", "8")) == ("I1", "7")
    assert targeted(found("")) == ("I1", "")


def test_kinds_have_short_names() -> None:
    kinds = {*GROUPS["webhook"], "crash", "slow_answer"}
    assert named(kinds) == "webhook,crash,slow_answer"
    assert kinds_of(named(kinds).split(",")) == kinds
    with pytest.raises(ValueError, match="nonsense"):
        kinds_of(["nonsense"])


def test_a_story_begins_with_its_order_and_ends_with_the_violation() -> None:
    lines = [
        Line(0.0, "", "node-1 starts"),
        Line(90061.5, "17", "honest pays 100 EUR, 100 captured"),
        Line(90062.0, "", "the provider is away"),
        Line(90063.0, "17", "VIOLATION I1: too much"),
        Line(90064.0, "17", "VIOLATION I1: too much"),
    ]
    told = story(report(chronicle=lines), ("I1", "17"))
    assert [line.split() for line in told] == [
        "day 1 01:01:01.500 order 17 people honest pays 100 EUR, 100 captured".split(),
        "day 1 01:01:02.000 world the provider is away".split(),
        "day 1 01:01:03.000 order 17 checker VIOLATION I1: too much".split(),
    ]
    assert clock(0) == "day  0 00:00:00.000"


def test_the_command_makes_the_same_game() -> None:
    game = Game(
        *(42, 6.5, 20, "storm", frozenset(GROUPS["shop"])),
        only=("3", "17"),
        server="postgresql://me:secret@db/x",
        workers=1,
    )
    assert game.command() == (
        "amends simulate --seed 42 --days 6.5 --orders 20 --faults storm --without shop"
        " --only 3,17 --store 'postgresql://me:***@db/x' --workers 1 --timeline"
    )
    assert Game(1).command() == "amends simulate --seed 1 --timeline"


def test_only_the_usual_month_has_to_be_full() -> None:
    assert Game(5).whole
    assert Game(5, server="postgresql://db").whole
    assert not Game(5, only=("1",)).whole
    assert not Game(5, faults="calm").whole
    assert not Game(5, days=3).whole
