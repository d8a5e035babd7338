"""Money that bought nothing: a checkout that expired with money held or taken gives it back by
itself, and so does a payment that succeeds after its order was given up."""

from __future__ import annotations

from typing import Literal

from amends.core import news, orders
from amends.core.asks import request_or_say
from amends.core.effects import Effect, checkout_id
from amends.core.facts import EffectDue, OrderReported, RefundRequested
from amends.core.order import Order
from amends.core.requests import RefundIn
from amends.core.work import Work
from amends.kernel.time import MINUTE

GIVEN_UP: Literal["cancelled"] = "cancelled"  # why its money goes back
GRACE = 5 * MINUTE  # for the shop's last word on it, which may be on its way


def report_order(work: Work, fact: OrderReported) -> None:
    """An order, or a checkout that goes on until it expires or is completed."""
    before = work.order
    orders.report_order(work, fact)
    until = work.order.expires_at
    if before.expired and not until and work.order.version > before.version:
        # The shop sold it all the same, and its money is on its way back.
        work.change(expired=False)
        work.event("exception.raised", what="completed_after_expiry")
    if until == before.expires_at:
        return
    name = checkout_id(work.order.id)
    if until and not work.order.cancelled:
        work.effect(Effect(name, work.order.id, "deadline", "", "", until + GRACE))
    else:
        work.finish(name)


def effect_due(work: Work, fact: EffectDue) -> None:
    """The end of the checkout, if it is that: what was held or taken for it goes back."""
    order = work.order
    if fact.effect != checkout_id(order.id):
        news.effect_due(work, fact)
        return
    work.finish(fact.effect)
    if order.expires_at and not order.cancelled:
        work.change(cancelled=True, expires_at=0, expired=True)
        work.event("order.cancelled", reason="expired")
        if work.order.remaining:
            request_or_say(work, RefundRequested(RefundIn(reason=GIVEN_UP)))


def late(work: Work, before: Order) -> None:
    """More was captured of an order that was given up before: it goes back too."""
    if not before.cancelled or not work.order.remaining:
        return
    was = sum(payment.captured for payment in before.payments)
    if sum(payment.captured for payment in work.order.payments) > was:
        request_or_say(work, RefundRequested(RefundIn(reason=GIVEN_UP)))
