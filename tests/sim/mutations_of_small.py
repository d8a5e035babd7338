"""Guards of what is too small to be paid by itself, taken out; see `tests.sim.mutations`, which
lists them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core import small


def held_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(small, "pay_out", lambda work: None)


def held_and_not_owed(patch: pytest.MonkeyPatch) -> None:
    def hold(work: Any, refund_id: str) -> None:
        work.put_refund(refund_id, stage="held", decide_by=0)

    patch.setattr(small, "hold", hold)


def small_leaves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(small, "to_be_held", lambda *given: False)


def one_of_them_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What is paid together says only what the last one was for."""
    whole = small._together

    def together(held: list[Any]) -> Any:
        rest = sum(refund.breakdown.total for refund in held[:-1])
        parts = whole(held[-1:])
        return replace(parts, unallocated=parts.unallocated + rest)

    patch.setattr(small, "_together", together)
