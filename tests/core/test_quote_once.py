"""A quote is committed once: committing it again, under whatever key, pays nothing more."""

from __future__ import annotations

import pytest

from amends.core.decide import quote
from amends.core.facts import Recorded, RefundRequested
from amends.core.reasons import Reason
from amends.core.requests import LinePick, RefundIn
from tests.core.desk import DAY, Desk, recorded_id

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
AD_HOC = RefundIn(amount=500)


@pytest.mark.parametrize("request_", [ONE_TEA, AD_HOC, RefundIn()])
def test_the_second_commit_is_stale(request_: RefundIn) -> None:
    desk = Desk()
    asked = Recorded(recorded_id(99), desk.now, "key:agent", RefundRequested(request_))
    made = quote(desk.order, request_, asked, desk.ctx())
    fact = RefundRequested(request_, made.hash, desk.now + DAY)
    assert desk.tell(fact).refused is None
    again = desk.tell(fact).refused
    assert again is not None and again.reason == Reason.QUOTE_STALE
    assert len(desk.order.refunds) == 1
