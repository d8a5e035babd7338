"""The checker can fail: each guard of the engine taken out is found by it, in a world that is clean
with the guard in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sim.mutations import HEAD, MUTATIONS, first, place
from tests.sim.worlds import RULES, WORLDS, found, shared, violations

ALONE = [name for name, mutation in MUTATIONS.items() if not shared(mutation.world)]
TOGETHER = [name for name, mutation in MUTATIONS.items() if shared(mutation.world)]
SEEDS = [
    (world, seed)
    for world in WORLDS
    for seed in range(1, max(m.within for m in MUTATIONS.values() if m.world == world) + 1)
]


@pytest.mark.parametrize("name", ALONE)
def test_it_is_found(name: str) -> None:
    seed, by = first(name, "")
    assert seed, f"nobody would notice: {MUTATIONS[name].out}"
    assert all(RULES.fullmatch(violation[1]) for violation in by)


@pytest.mark.parametrize("name", TOGETHER)
def test_it_is_found_between_two_workers(name: str, postgres_server: str) -> None:
    seed, by = first(name, postgres_server)
    assert seed, f"nobody would notice: {MUTATIONS[name].out}"
    assert all(RULES.fullmatch(violation[1]) for violation in by)


@pytest.mark.parametrize(("world", "seed"), [s for s in SEEDS if not shared(s[0])])
def test_the_same_seeds_are_clean(world: str, seed: int, tmp_path: Path) -> None:
    with place(world, "", tmp_path) as url:
        assert violations(world, seed, url, tmp_path) == []


@pytest.mark.parametrize(("world", "seed"), [s for s in SEEDS if shared(s[0])])
def test_the_same_seeds_are_clean_with_two_workers(
    world: str, seed: int, tmp_path: Path, postgres_server: str
) -> None:
    with place(world, postgres_server, tmp_path) as url:
        assert violations(world, seed, url, tmp_path) == []


def test_only_what_the_checker_says_counts() -> None:
    said = [(1.0, "I1", "7", "12 left"), (1.0, "I15", "", "a name"), (1.0, "liveness", "", "late")]
    others = [
        (1.0, "seen", "7", "of five asks for over half 2 were accepted"),
        (1.0, "defect", "", "logged: an order was parked"),
        (1.0, "minimum", "", "only 3 refunds were asked for"),
        (1.0, "I10", "", "audit: ord_1 3 does not follow"),
        (1.0, "liveness", "", "the world never becomes quiet"),
    ]
    assert found([*said, *others]) == said


def test_the_docs_list_every_mutation() -> None:
    """`python -m tests.sim.mutations` prints the table; each is in it."""
    told = (ROOT / "docs" / "simulation.md").read_text()
    assert HEAD in told
    table = told.split(HEAD)[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[0] for row in cells] == list(MUTATIONS)
    for name, out, rules, seeds in cells:
        mutation = MUTATIONS[name]
        assert out == mutation.out
        assert rules.startswith(("I", "liveness"))
        assert seeds.endswith(f", {mutation.within} allowed")
