"""The protocol of a leg, searched whole: with every precaution no state is wrong (I2, I3, I4;
edges 2 to 4), without any one of them money is lost, and `core.decide` takes the model's steps."""

from __future__ import annotations

from random import Random

import pytest

from amends.core import legs
from tests.model import protocol_doc
from tests.model.protocol import ENOUGH, Guards, World, beyond, moves, rests, same, wrong
from tests.model.search import Found, explore, hopeless
from tests.model.twin import Twin, concern

# What goes wrong without it, and in how many moves at the least.
WITHOUT = {
    "stable_key": ("money moved twice", 10),
    "intent_first": ("the leg failed and the money is gone", 9),
    "retention": ("money moved twice", 14),
    "margin": ("money moved twice", 14),
    "lookup_delay": ("the leg failed and the money is gone", 13),
    "doubt": ("the leg failed and the money is gone", 11),
    "unknown": ("the leg failed and the money is gone", 4),
    "lease": ("the leg failed and the money is gone", 14),
    "lease_at_send": ("money moved twice", 13),
    "look_first": ("money moved twice", 12),
    "overtaken": ("the leg failed and the money is gone", 23),
}


@pytest.fixture(autouse=True)
def as_many_stored_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legs, "STORED_ENOUGH", ENOUGH)


def test_no_state_is_wrong_and_core_takes_the_same_steps() -> None:
    met: dict[tuple[object, ...], tuple[World, str, World]] = {}

    def noted(world: World) -> list[tuple[str, World]]:
        found = list(moves(world))
        for label, after in found:
            if (key := concern(world, label)) is not None:
                met.setdefault(key, (world, label, after))
        return found

    found = explore(World(), noted, wrong, same)
    assert found.bad == -1, protocol_doc.trace(found)
    assert hopeless(found, lambda world: rests(world.leg) or beyond(world)) == []
    assert protocol_doc.size(found) in protocol_doc.committed()
    assert len(met) > 300, "the model meets the engine in many situations"
    follow_all(found, list(met.values()))
    print(f"{len(found.states):,} states, {found.edges:,} moves, {len(met)} situations of core")


def follow_all(found: Found[World], met: list[tuple[World, str, World]]) -> None:
    """Every situation in which the engine decides, come to by a shortest way, on the real leg."""
    numbers = {id(world): number for number, world in enumerate(found.states)}
    for before, label, after in met:
        twin, at = Twin(), World()
        steps = [*found.way(numbers[id(before)]), (label, after)]
        for step, to in steps:
            try:
                twin.follow(at, step, to)
            except AssertionError as error:
                ways = "\n".join(name for name, _ in steps)
                raise AssertionError(f"{error}\n{twin.leg()}\n{to}\n{ways}") from error
            at = to


@pytest.mark.parametrize("seed", range(8))
def test_core_takes_the_same_steps_on_long_walks(seed: int) -> None:
    random = Random(seed)
    rested = 0
    for _ in range(40):
        twin, world = Twin(), World()
        for _ in range(80):
            ways = list(moves(world))
            if not ways:
                break
            # Which moves there are many of says nothing about how often they should be taken.
            kind = random.choice(
                sorted({label.removeprefix("A").removeprefix("B") for label, _ in ways})
            )
            label, after = random.choice([way for way in ways if way[0].endswith(kind)])
            twin.follow(world, label, after)
            assert not wrong(after)
            world = after
        rested += rests(world.leg)
    assert rested


@pytest.mark.parametrize("guard", Guards._fields)
def test_every_precaution_is_needed(guard: str) -> None:
    found = protocol_doc.without(guard)
    assert found.bad != -1, "nothing goes wrong without it"
    steps = found.way(found.bad)
    assert (wrong(found.states[found.bad]), len(steps)) == WITHOUT[guard]
    told = protocol_doc.trace(found)
    print(f"without {guard}:\n{told}")
    assert told in protocol_doc.committed(), "python -m tests.model.protocol_doc"
