"""Refund stops: a person says that nothing leaves, of one order, customer or connection, or at all.

A stop holds at once. What is asked for waits for a person, who cannot approve it either; what was
approved and has not begun to leave stays until the stop is lifted. What is on the wire, or may be,
is seen through: to look away would not bring it back.
"""

from __future__ import annotations

from collections.abc import Iterable

from amends.core.history import Stop
from amends.core.order import Order
from amends.core.reasons import Reason, Refused
from amends.kernel.time import MINUTE

LOOK_AGAIN = 1 * MINUTE  # what a stop holds back is tried again so long after


def stopped(stops: Iterable[Stop], order: Order) -> Stop | None:
    """The stop that holds an order's refunds, if any."""
    for stop in stops:
        if stop.scope == "all" or _names(stop, order):
            return stop
    return None


def _names(stop: Stop, order: Order) -> bool:
    if stop.scope == "order":
        return stop.key == order.id
    if stop.scope == "customer":
        return bool(order.customer) and stop.key == order.customer
    own = (order.source.connection, *(p.connection for p in order.payments))
    return stop.scope == "connection" and stop.key in own


def check_not_stopped(stops: Iterable[Stop], order: Order) -> None:
    """Raises Refused."""
    if stop := stopped(stops, order):
        raise Refused(Reason.REFUNDS_STOPPED, stop=stop.id, scope=stop.scope, by=stop.actor)
