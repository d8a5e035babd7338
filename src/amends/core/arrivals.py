"""When a customer should see the money: where a provider says so, and never before it took the
refund up."""

from __future__ import annotations

from amends.core.order import LegState
from amends.core.work import Work
from amends.kernel.time import day_after

UNDER_WAY: tuple[LegState, ...] = ("pending", "succeeded")


def expect(work: Work, leg_id: str) -> dict[str, str]:
    """Notes between which days a refund is seen that was just taken up or paid, and gives them for
    the trail; nothing for a release, or where no number is known."""
    _, leg = work.leg(leg_id)
    if leg.kind != "refund":
        return {}
    payment = work.payment(leg.payment)
    arrival = work.ctx.terms[payment.connection].arrival(leg.destination or payment.method)
    if arrival is None:
        return {}
    first, last = (
        day_after(work.now, days, arrival.business) for days in (arrival.earliest, arrival.latest)
    )
    work.put_leg(leg_id, expected=(first, last))
    return {"expected_from": first, "expected_by": last}
