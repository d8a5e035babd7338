"""Goods that came back: on the trail, and in the books as in stock again at what they had cost.

A unit comes back at most once, and only if it was shipped (invariant I8). Where the shop does not
say what was shipped of a line, all of it may have been but what was out of stock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from amends.core import postings
from amends.core.facts import ReturnReceived
from amends.core.left import counts
from amends.core.order import Line, Order, Receipt
from amends.core.requests import LinePick
from amends.core.work import Work
from amends.kernel.money import share


def return_received(work: Work, fact: ReturnReceived) -> None:
    """Goods came back. The same return, reported again, changes nothing."""
    order = work.order
    if fact.return_id and any(receipt.id == fact.return_id for receipt in order.receipts):
        return
    back, booked = Counter[str](), Counter[str]()
    for name, units, cost in (line for receipt in order.receipts for line in receipt.lines):
        back[name] += units
        booked[name] += cost
    taken = _taken(fact.lines, {n: units - back[n] for n, units in shipped(order).items()})
    costs = {
        line.id: _cost(line, back[line.id] + taken[line.id]) - booked[line.id]
        for line in order.lines
        if line.cost and taken[line.id]
    }
    lines = tuple((name, units, costs.get(name, 0)) for name, units in taken.items())
    work.change(receipts=(*order.receipts, Receipt(fact.return_id, lines)))
    if cost := sum(costs.values()):
        work.book(postings.restock(order, cost, work.now))
    told = Counter[str]()
    for pick in fact.lines:
        told[pick.id] += pick.quantity
    picks = [[pick.id, pick.quantity] for pick in fact.lines]
    work.event("return.received", return_id=fact.return_id, lines=picks)
    for name, more in (told - taken).items():
        work.event("exception.raised", what="returned_beyond_shipped", line=name, units=more)


def shipped(order: Order) -> dict[str, int]:
    """Units that left, by line: as the shop says it, else all that it could deliver."""
    short: Counter[str] = Counter()
    for refund in order.refunds:
        if refund.reason == "out_of_stock" and counts(refund):
            short.update(refund.breakdown.units)
    return {line.id: line.fulfilled or line.quantity - short[line.id] for line in order.lines}


def _taken(picks: Sequence[LinePick], room: dict[str, int]) -> Counter[str]:
    """What of a receipt had been shipped and was not back yet, by line."""
    taken = Counter[str]()
    for pick in picks:
        taken[pick.id] += max(0, min(pick.quantity, room.get(pick.id, 0) - taken[pick.id]))
    return +taken


def _cost(line: Line, units: int) -> int:
    """What so many units of a line had cost, of what all of them did."""
    return share(line.cost, min(units, line.quantity), line.quantity)
