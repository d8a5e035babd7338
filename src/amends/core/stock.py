"""Goods that came back: on the trail, and in the books as in stock again at what they had cost.

A unit comes back at most once, and only if it was shipped (invariant I8). Where the shop does not
say what was shipped of a line, all of it may have been but what was out of stock or cancelled.
Somebody looks at what came back before it counts as stock where a refund waits for that, or where
the receipt says so; what is written off was never stock again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from amends.core import postings
from amends.core.facts import ReturnInspected, ReturnReceived
from amends.core.goods import Receipt
from amends.core.left import counts
from amends.core.order import Line, Order
from amends.core.outlets import Disposition, Goods, GoodsReturned, Moved
from amends.core.reasons import Reason, Refused
from amends.core.requests import LinePick
from amends.core.work import Work
from amends.kernel.money import share

WORTH: tuple[Disposition, ...] = ("restock", "quarantine", "refurbish")  # it is stock, wherever


def return_received(work: Work, fact: ReturnReceived) -> None:
    """Goods came back. The same return, reported again, changes nothing."""
    order = work.order
    if fact.return_id and any(receipt.id == fact.return_id for receipt in order.receipts):
        return
    here = received(order)
    room = {name: units - here[name] for name, units in shipped(order).items()}
    picks = [
        LinePick(name, units)
        for pick in fact.lines or _authorized(order, fact.return_id)
        for name, units in _by_line(order, pick.id, pick.quantity, room)
    ]
    taken = _taken(picks, room)
    held = fact.inspect or _to_inspect(order, taken)
    lines = tuple((name, units, 0) for name, units in taken.items())
    waiting = tuple(taken.items()) if held else ()
    receipt = Receipt(fact.return_id, lines, waiting)
    told = Counter[str]()
    for pick in picks:
        told[pick.id] += pick.quantity
    work.change(receipts=(*order.receipts, receipt))
    if not held:
        place(work, len(work.order.receipts) - 1, _as_they_are(order, taken))
    listed = [[pick.id, pick.quantity] for pick in picks]
    more = {"inspect": True} if held else {}
    work.event("return.received", return_id=fact.return_id, lines=listed, **more)
    for name, beyond in (told - taken).items():
        work.event("exception.raised", what="returned_beyond_shipped", line=name, units=beyond)


def return_inspected(work: Work, fact: ReturnInspected) -> None:
    """What becomes of units that came back. Raises Refused for more than wait for it."""
    receipts = work.order.receipts
    at = next((n for n, one in enumerate(receipts) if one.id == fact.return_id), None)
    if at is None:
        raise Refused(Reason.UNKNOWN_RETURN, return_id=fact.return_id)
    waiting, wanted = Counter(dict(receipts[at].held)), Counter[str]()
    skus = {line.id: line.sku for line in work.order.lines}
    goods: list[Goods] = []
    for one in fact.goods:
        room = waiting - wanted
        for name, units in _by_line(work.order, one.line or one.sku, one.units, room):
            goods.append(replace(one, line=name, sku=skus.get(name, ""), units=units))
            wanted[name] += units
    if short := wanted - waiting:
        name = next(iter(short))
        detail = f"{waiting[name]} units of line {name!r} wait to be looked at, not {wanted[name]}."
        raise Refused(Reason.EXCEEDS_QUANTITY, detail, line=name, remaining_quantity=waiting[name])
    rest = tuple((waiting - wanted).items())
    work.change(receipts=_with(receipts, at, replace(receipts[at], held=rest)))
    place(work, at, goods)
    work.event(
        "return.inspected",
        return_id=fact.return_id,
        goods=[[g.line, g.units, g.disposition, g.location] for g in goods],
    )


def _by_line(order: Order, name: str, units: int, room: Mapping[str, int]) -> list[tuple[str, int]]:
    """Units of a line; or, by an SKU, of the lines that have it, as far as there is room: what is
    beyond that is of the last."""
    if any(line.id == name for line in order.lines):
        return [(name, units)]
    found: list[tuple[str, int]] = []
    for line in (line for line in order.lines if name and line.sku == name):
        step = max(0, min(units, room.get(line.id, 0)))
        found.append((line.id, step))
        units -= step
    if not found:
        return [(name, units)]
    found[-1] = (found[-1][0], found[-1][1] + units)
    return [(line, n) for line, n in found if n]


def booked_by_shop(work: Work, lines: Sequence[tuple[str, int]]) -> None:
    """Units that the order's shop has booked back itself: everybody else is told."""
    order, here = work.order, received(work.order)
    picks = [LinePick(name, units) for name, units in lines]
    room = {name: units - here[name] for name, units in shipped(order).items()}
    taken = _taken(picks, room)
    if not taken:
        return
    receipt = Receipt("", tuple((name, units, 0) for name, units in taken.items()))
    work.change(receipts=(*order.receipts, receipt))
    place(work, len(order.receipts), _as_they_are(order, taken), order.source.connection)
    work.event("return.received", return_id="", lines=[list(one) for one in taken.items()])


def place(work: Work, at: int, goods: Sequence[Goods], but: str = "") -> None:
    """Book units of a receipt where they go, and tell whoever keeps stock, `but` not who told us.
    What all units that came back had cost is taken as a whole, so that the last takes the rest."""
    order = work.order
    receipt = order.receipts[at]
    valued = received(order) - held(order) - _sum((one.line, one.units) for one in goods)
    spent = _spent(order)
    costs, gone = Counter[str](), Counter(dict(receipt.gone))
    lines = {line.id: line for line in order.lines}
    for one in sorted(goods, key=lambda one: one.disposition not in WORTH):
        valued[one.line] += one.units
        step = max(0, _cost(lines[one.line], valued[one.line]) - spent[one.line])
        spent[one.line] += step
        (costs if one.disposition in WORTH else gone)[one.line] += step
        _moved(work, receipt.id, one)
    booked = tuple((name, units, cost + costs[name]) for name, units, cost in receipt.lines)
    changed = replace(receipt, lines=booked, gone=tuple((+gone).items()))
    work.change(receipts=_with(order.receipts, at, changed))
    if cost := sum(costs.values()):
        work.book(postings.restock(order, cost, work.now))
    if goods:
        _tell(work, receipt.id, tuple(goods), but)


def _spent(order: Order) -> Counter[str]:
    """What of each line's cost is in stock again, or was written off."""
    spent = _sum(part for receipt in order.receipts for part in receipt.gone)
    spent.update(_sum((n, cost) for receipt in order.receipts for n, _, cost in receipt.lines))
    return spent


def _moved(work: Work, return_id: str, goods: Goods) -> None:
    number = work.order.moves + 1
    work.change(moves=number)
    source = work.recorded.actor
    work.moved.append(Moved(work.order.id, number, work.now, return_id, goods, source))


def _tell(work: Work, return_id: str, goods: tuple[Goods, ...], but: str) -> None:
    order = work.order
    kind, _, name = work.recorded.actor.partition(":")
    work.tell(
        GoodsReturned(
            key=f"{order.id}-m{order.moves}",
            at=work.now,
            entity=order.entity,
            order=order.id,
            shop=order.source.connection,
            shop_order=order.source.order_id,
            return_id=return_id,
            lines=goods,
        ),
        but or (name if kind == "connection" else ""),
    )


def _with(receipts: tuple[Receipt, ...], at: int, receipt: Receipt) -> tuple[Receipt, ...]:
    return (*receipts[:at], receipt, *receipts[at + 1 :])


def _as_they_are(order: Order, taken: Mapping[str, int]) -> list[Goods]:
    skus = {line.id: line.sku for line in order.lines}
    return [Goods(name, skus[name], units) for name, units in taken.items()]


def _authorized(order: Order, return_id: str) -> tuple[LinePick, ...]:
    """What was authorized of a return, for a receipt that names no lines."""
    found = next((one for one in order.returns if return_id and one.id == return_id), None)
    return tuple(LinePick(*line) for line in found.lines) if found else ()


def _to_inspect(order: Order, taken: Mapping[str, int]) -> bool:
    """Whether a refund of these lines waits until somebody has looked at them."""
    return any(
        refund.awaits and refund.awaits_for == "inspection" and refund.stage == "review"
        for refund in order.refunds
        if not taken.keys().isdisjoint(refund.breakdown.units)
    )


def received(order: Order) -> Counter[str]:
    """Units that came back, by line."""
    return _sum((name, units) for receipt in order.receipts for name, units, _ in receipt.lines)


def held(order: Order) -> Counter[str]:
    """... of which somebody is still to look at."""
    return _sum(line for receipt in order.receipts for line in receipt.held)


def on_the_way(order: Order) -> Counter[str]:
    """Units a carrier has scanned and nobody received."""
    here = {receipt.id for receipt in order.receipts}
    moving = [one for one in order.returns if one.state == "shipped" and one.id not in here]
    return _sum(line for one in moving for line in one.lines)


def back(order: Order, so_far: str = "") -> Counter[str]:
    """Units that are back so far that a refund may leave: received, or with `so_far` a carrier has
    them ("shipment"), or somebody looked at them ("inspection")."""
    if so_far == "inspection":
        return received(order) - held(order)
    return received(order) + on_the_way(order) if so_far == "shipment" else received(order)


def _sum(lines: Iterable[tuple[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for name, units in lines:
        total[name] += units
    return total


def shipped(order: Order) -> dict[str, int]:
    """Units that left, by line: as the shop says it, else all that it could deliver. Of access
    nothing does."""
    short: Counter[str] = Counter()
    for refund in order.refunds:
        if refund.reason == "out_of_stock" and counts(refund):
            short.update(refund.breakdown.units)
    never = {one.line: one.units - one.back for one in order.cancelled_lines}
    return {
        line.id: 0
        if line.access
        else line.fulfilled or line.quantity - max(short[line.id], never.get(line.id, 0))
        for line in order.lines
    }


def _taken(picks: Sequence[LinePick], room: dict[str, int]) -> Counter[str]:
    """What of a receipt had been shipped and was not back yet, by line."""
    taken = Counter[str]()
    for pick in picks:
        taken[pick.id] += max(0, min(pick.quantity, room.get(pick.id, 0) - taken[pick.id]))
    return +taken


def _cost(line: Line, units: int) -> int:
    """What so many units of a line had cost, of what all of them did."""
    return share(line.cost, min(units, line.quantity), line.quantity) if line.cost else 0
