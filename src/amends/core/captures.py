"""Payments that were captured more than once, at providers where a refund is of one capture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from amends.core.order import Leg, Order, Payment

_Of = TypeVar("_Of")

_GONE = ("failed", "canceled")


def capture_rooms(order: Order, payment: Payment, sending: str = "") -> tuple[tuple[str, int], ...]:
    """What each capture of a payment can still give back, at most; for the leg that is `sending`
    what waits for its turn and has no capture yet does not count.

    What left by others' hand and is not known to be of one capture counts against each of them: a
    refund against the wrong capture is refused there at best.
    """
    legs = _refunds(order, payment)
    if sending:
        legs = [leg for leg in legs if leg.id != sending and not _waits(leg)]
    loose = payment.disputed + sum(leg.amount for leg in legs if not leg.capture)
    rooms = []
    for name, amount in payment.captures:
        if name not in payment.failed_captures:
            gone = loose + sum(leg.amount for leg in legs if leg.capture == name)
            rooms.append((name, max(0, amount - gone)))
    return tuple(rooms)


def _waits(leg: Leg) -> bool:
    return not (leg.capture or leg.attempts or leg.outside)


def _refunds(order: Order, payment: Payment) -> list[Leg]:
    return [
        leg
        for refund in order.refunds
        for leg in refund.legs
        if leg.payment == payment.id and leg.kind == "refund" and leg.state not in _GONE
    ]


def spread(amount: int, rooms: tuple[tuple[str, int], ...]) -> list[tuple[str, int]]:
    """An amount over captures: one that holds it whole, else one after the other. It comes to less
    than asked if there is not room enough."""
    for name, room in rooms:
        if room >= amount:
            return [(name, amount)]
    return in_turn(amount, rooms)


def in_turn(amount: int, rooms: Iterable[tuple[_Of, int]]) -> list[tuple[_Of, int]]:
    """An amount over what has room for it, one after the other."""
    parts = []
    for one, room in rooms:
        part = min(room, amount)
        if part:
            parts.append((one, part))
            amount -= part
    return parts


def refunds_made(order: Order, payment: Payment) -> int:
    """How many refunds of a payment were made, are under way or are set aside."""
    return len(_refunds(order, payment))
