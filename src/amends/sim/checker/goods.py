"""I8: what came back of an order, from what its shop reported, against the books and the trail."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from amends.sim.checker.parts import current_report
from amends.sim.checker.spec import Return, Row, Violation
from amends.sim.checker.view import Case

Found = Iterator[Violation]


def restock_is_in_our_currency(case: Case) -> Found:
    """What goods had cost is in the currency of the books alone, and of no refund."""
    for entry in case.entries:
        if entry.row["kind"] != "restock":
            continue
        name = f"entry {entry.row['number']} (restock)"
        if entry.row["currency"] != case.order.rate.quote:
            yield case.wrong("I5", f"{name} is in {entry.row['currency']}")
        if any(amount != functional for _, amount, functional in entry.lines):
            yield case.wrong("I5", f"{name} is converted")
        if entry.row["refund_id"] or entry.row["leg_id"]:
            yield case.wrong("I8", f"{name} is of a refund")


def each_unit_comes_back_once(case: Case, returns: list[Return]) -> Found:
    """In stock again, at what it had cost, is each unit that was reported, once, and none that had
    not left. A parcel that has a name is taken up once. Of what is reported beyond what had left a
    person is told."""
    report = current_report(case)
    if report is None or case.order.parked:
        return
    parcels = _parcels(returns)
    told = sum(event.type == "return.received" for event in case.events)
    if told != len(parcels):
        yield case.wrong("I8", f"{len(parcels)} parcels came back, {told} are on the trail")
    units, left, beyond = _units(parcels), _left(case, report), _beyond(case)
    least = most = 0
    for line in report["lines"]:
        whole, cost, name = line["quantity"], line.get("cost", 0), line["id"]
        here = [min(units[name], n) for n in left[name]]
        low, high = ((2 * cost * n + whole) // (2 * whole) for n in here)  # half up
        least, most = least + low, most + high
    booked = sum(e.on("inventory") for e in case.entries if e.row["kind"] == "restock")
    if not least <= booked <= most:
        what = f"{least} to {most}" if least < most else f"{least}"
        yield case.wrong("I8", f"goods that had cost {what} came back, the books say {booked}")
    for name in sorted(units | beyond):
        low, high = left.get(name, (0, 0))
        if not max(0, units[name] - high) <= beyond[name] <= max(0, units[name] - low):
            what = f"{units[name]} of line {name} came back, {high} had left"
            yield case.wrong("I8", f"{what}, a person was told of {beyond[name]} too many")


def moved(rows: list[Row]) -> dict[str, Counter[str]]:
    """By order and line, the units that were moved back."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row["order_id"]][row["line"]] += row["units"]
    return found


def moves_are_the_parcels(case: Case, returns: list[Return], moves: Counter[str]) -> Found:
    """What keepers of stock are told came back of a line is what did: each unit once, and none that
    had not left."""
    report = current_report(case)
    if report is None or case.order.parked:
        return
    units, left = _units(_parcels(returns)), _left(case, report)
    for name in sorted(units | moves):
        least, most = (min(units[name], n) for n in left.get(name, (0, 0)))
        if not least <= moves[name] <= most:
            what = f"{moves[name]} units of line {name} were moved into stock"
            yield case.wrong("I8", f"{what}, {least} to {most} came back")


def _units(parcels: list[Return]) -> Counter[str]:
    units: Counter[str] = Counter()
    for parcel in parcels:
        for line, quantity in parcel.lines:
            units[line] += quantity
    return units


def _left(case: Case, report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """By line: at least and at most so many units had left."""
    short, found = _out_of_stock(case), {}
    for line in report["lines"]:
        whole, said, name = line["quantity"], line.get("fulfilled", 0), line["id"]
        found[name] = (said, said) if said else (max(0, whole - short[name]), whole)
    return found


def _parcels(returns: list[Return]) -> list[Return]:
    """Each once by its name; one without a name is another one each time."""
    first = {one.parcel: one for one in reversed(returns) if one.parcel}
    return [*first.values(), *(one for one in returns if not one.parcel)]


def _out_of_stock(case: Case) -> Counter[str]:
    """Units by line that the shop ever said it could not deliver."""
    short: Counter[str] = Counter()
    asked = [event.body for event in case.events if event.type == "refund.requested"]
    names = {body.get("refund") for body in asked if body.get("reason") == "out_of_stock"}
    for refund in case.order.refunds:
        if refund.id in names:
            short.update({share.id: share.quantity for share in refund.breakdown.lines})
    return short


def _beyond(case: Case) -> Counter[str]:
    """Units by line of which a person was told that they had never left."""
    beyond: Counter[str] = Counter()
    for event in case.events:
        if event.body.get("what") == "returned_beyond_shipped":
            beyond[event.body["line"]] += event.body["units"]
    return beyond
