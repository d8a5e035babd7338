"""Invariants that stay on in production: a broken one stops one order, never passes unseen."""

from __future__ import annotations


class InvariantBroken(AssertionError):
    """Something that must never be true is true. The order is parked; a person looks."""


def invariant(cond: bool, why: str) -> None:
    """Raise `InvariantBroken(why)` unless `cond`. Unlike `assert`, not removed by `python -O`."""
    if not cond:
        raise InvariantBroken(why)
