"""I3: "not found" counts from the last byte, which may leave long after its intent was written."""

from __future__ import annotations

import msgspec
import pytest

from amends.core.facts import RefundRequested
from amends.core.requests import RefundIn
from amends.kernel.outcome import Unknown
from tests.core.desk import SECOND, STRIPE, TERMS, Desk

EAGER = {STRIPE: msgspec.structs.replace(TERMS, indeterminate_after=1 * SECOND)}


def sent() -> Desk:
    desk = Desk(terms=EAGER)
    desk.tell(RefundRequested(RefundIn(amount=500)))
    assert desk.due() is not None
    return desk


@pytest.mark.parametrize("end", ["timeout", "lost"])
def test_not_found_right_after_a_long_request_settles_nothing(end: str) -> None:
    """The provider may still be working on what it got when we stopped to listen."""
    desk = sent()
    if end == "lost":
        desk.now += 12 * SECOND
        desk.due(lost=True)
    else:
        desk.now += 6 * SECOND
        desk.answer(Unknown("no answer in time"))
    assert desk.due() is not None
    desk.found()
    assert desk.leg().epoch == 1, "a new key while the old one may still be executed"
