"""Every state a model can come to, breadth first: the way to a bad one is a shortest way."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass
class Found(Generic[S]):
    """What a search saw. `bad` is the number of the wrong state it ended at, -1 if none is."""

    states: list[S]
    edges: int = 0
    sources: list[list[int]] = field(default_factory=list)  # of each state, the states before it
    ways: list[tuple[int, str]] = field(default_factory=list)  # how each was first come to
    bad: int = -1

    def way(self, number: int) -> list[tuple[str, S]]:
        """The moves that lead to a state, each with what it led to."""
        steps = []
        while number:
            before, label = self.ways[number]
            steps.append((label, self.states[number]))
            number = before
        return steps[::-1]


def explore(
    start: S,
    moves: Callable[[S], Iterable[tuple[str, S]]],
    wrong: Callable[[S], str],
    same: Callable[[S], S],
    most: int = 1_000_000,
) -> Found[S]:
    """Visit all, or end at the first wrong state. `same` gives one state for all that are alike.
    Raises MemoryError past `most` states: a search that did not end has shown nothing."""
    found = Found([start], sources=[[]], ways=[(0, "")])
    numbers = {same(start): 0}
    with _uncollected():
        for place, state in enumerate(found.states):  # which grows meanwhile
            for label, after in moves(state):
                found.edges += 1
                number = numbers.setdefault(same(after), len(found.states))
                if number == len(found.states):
                    found.states.append(after)
                    found.sources.append([])
                    found.ways.append((place, label))
                    if wrong(after):
                        found.bad = number
                        return found
                found.sources[number].append(place)
            if len(found.states) > most:
                raise MemoryError(f"more than {most} states")
    return found


def hopeless(found: Found[S], good: Callable[[S], bool]) -> list[S]:
    """The states from which no way leads to a good one."""
    ahead = [number for number, state in enumerate(found.states) if good(state)]
    reached = set(ahead)
    while ahead:
        for before in found.sources[ahead.pop()]:
            if before not in reached:
                reached.add(before)
                ahead.append(before)
    return [state for number, state in enumerate(found.states) if number not in reached]


@contextmanager
def _uncollected() -> Iterator[None]:
    """A search makes millions of tuples and no cycles: looking for those takes half of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
