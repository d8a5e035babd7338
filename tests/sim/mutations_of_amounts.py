"""Guards of amounts and of the books, taken out; see `tests.sim.mutations`, which lists them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core import claims, decide, disputed, facts, fx, holds, promotions, quote, stock


def promotion_lost_again(patch: pytest.MonkeyPatch) -> None:
    """What refunds before kept back of a promotion is forgotten."""
    patch.setattr(promotions, "_taken", lambda before: {})


def fees_twice(patch: pytest.MonkeyPatch) -> None:
    whole = quote.kept_back
    patch.setattr(quote, "kept_back", lambda *given: whole(*given) * 2)


def dispute_twice(patch: pytest.MonkeyPatch) -> None:
    """What a dispute took is booked each time it is heard of."""
    whole = disputed.postings.dispute

    def dispute(order: Any, connection: str, before: Any, *more: Any) -> Any:
        forgotten = before and replace(before, booked=0)
        return whole(order, connection, forgotten, *more)

    patch.setattr(disputed.postings, "dispute", dispute)


def claim_stays(patch: pytest.MonkeyPatch) -> None:
    """What ends unpaid is owed no longer, but the books still say so."""

    def lapse(work: Any, refund: Any) -> None:
        work.put_refund(refund.id, claimed=0)

    for module in (claims, holds):
        patch.setattr(module, "lapse", lapse)


def wrong_rate(patch: pytest.MonkeyPatch) -> None:
    """What the provider says that it took is not believed: its rate is that of the order."""
    patch.setattr(fx, "by_figures", lambda *given: None)


def goods_again(patch: pytest.MonkeyPatch) -> None:
    """Each report of a parcel is another parcel."""
    whole = decide.HANDLERS[facts.ReturnReceived]

    def received(work: Any, fact: facts.ReturnReceived) -> None:
        whole(work, replace(fact, return_id=""))

    patch.setitem(decide.HANDLERS, facts.ReturnReceived, received)


def any_goods(patch: pytest.MonkeyPatch) -> None:
    """All that comes back had left."""
    patch.setattr(stock, "shipped", lambda order: {line.id: 1000 for line in order.lines})
