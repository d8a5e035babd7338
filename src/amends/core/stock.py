"""Goods that came back: on the trail, and in the books as in stock again at what they had cost.

A unit comes back at most once, and only if it was shipped (invariant I8). Where the shop does not
say what was shipped of a line, a receipt says that all of it may have been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from amends.core import postings
from amends.core.facts import ReturnReceived
from amends.core.order import Line, Order, Receipt
from amends.core.requests import LinePick
from amends.core.work import Work
from amends.kernel.money import share


def return_received(work: Work, fact: ReturnReceived) -> None:
    """Goods came back. The same return, reported again, changes nothing."""
    order = work.order
    if fact.return_id and any(receipt.id == fact.return_id for receipt in order.receipts):
        return
    back = _back(order)
    shipped = {line.id: line.fulfilled or line.quantity for line in order.lines}
    taken = _taken(fact.lines, {name: units - back[name] for name, units in shipped.items()})
    work.change(receipts=(*order.receipts, Receipt(fact.return_id, tuple(taken.items()))))
    cost = sum(
        _cost(line, back[line.id] + taken[line.id]) - _cost(line, back[line.id])
        for line in order.lines
    )
    if cost:
        work.book(postings.restock(order, cost, work.now))
    lines = [[pick.id, pick.quantity] for pick in fact.lines]
    work.event("return.received", return_id=fact.return_id, lines=lines)
    told = Counter[str]()
    for pick in fact.lines:
        told[pick.id] += pick.quantity
    for name, units in told.items():
        if units > taken[name]:
            more = units - taken[name]
            work.event("exception.raised", what="returned_beyond_shipped", line=name, units=more)


def _back(order: Order) -> Counter[str]:
    """Units that came back before, by line."""
    back = Counter[str]()
    for receipt in order.receipts:
        back.update(dict(receipt.lines))
    return back


def _taken(picks: Sequence[LinePick], room: dict[str, int]) -> Counter[str]:
    """What of a receipt had been shipped and was not back yet, by line."""
    taken = Counter[str]()
    for pick in picks:
        taken[pick.id] += max(0, min(pick.quantity, room.get(pick.id, 0) - taken[pick.id]))
    return +taken


def _cost(line: Line, units: int) -> int:
    """What so many units of a line had cost, of what all of them did."""
    return share(line.cost, min(units, line.quantity), line.quantity)
