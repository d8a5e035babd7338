"""I6: every component of an order against its original, from the shop's own report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from amends.sim.checker.spec import Violation
from amends.sim.checker.view import GONE, Case, Order, Refund, Share

Found = Iterator[Violation]
Component = tuple[
    str, str, str
]  # ("line", "shipping" or "charge", its id, "net", "units" or "tax NAME")


def components_keep_their_originals(case: Case) -> Found:
    """No component gives back more than it was; once all was given back, exactly that. A request in
    review may want the parts of what failed and is owed until it is approved: they count apart."""
    original = _original(case)
    for refund in case.order.refunds:
        taken = given_by(refund)
        money = sum(value for key, value in taken.items() if key[2] != "units")
        given = refund.breakdown
        money += given.unallocated + given.compensation - sum(kept.gross for kept in given.kept)
        if money != refund.amount:
            yield case.wrong("I6", f"{refund.id} of {refund.amount} has parts of {money}")
        if any(fee.gross == 0 for fee in given.fees):
            yield case.wrong("I6", f"{refund.id} keeps back a fee of nothing")
        for key, value in taken.items():
            if value < 0:
                yield case.wrong("I6", f"{refund.id} gives back {value} of {key}")
    count = [refund for refund in case.order.refunds if counts(refund)]
    decided = [refund for refund in count if refund.stage != "review"]
    unfailed = [refund for refund in count if not _still_owed(refund)]
    seen: set[str] = set()
    for refunds in (decided, unfailed) if len(decided) < len(count) else (count,):
        for violation in _kept(case, original, refunds):
            if violation.what not in seen:
                seen.add(violation.what)
                yield violation


def _kept(case: Case, original: Counter[Component], refunds: list[Refund]) -> Found:
    given: Counter[Component] = Counter()
    for refund in refunds:
        given.update(given_by(refund))
    for key, value in sorted(given.items()):
        if value > original[key]:
            yield case.wrong("I6", f"{key}: {value} was given back of {original[key]}")
    yield from _lost_of_what_was_sold(case, refunds)
    amount = sum(refund.amount - refund.breakdown.compensation for refund in refunds)
    fees: Counter[str] = Counter()
    for fee in (fee for refund in refunds for fee in refund.breakdown.fees):
        fees[fee.kind] += fee.gross
    unpaid: Counter[str] = Counter()  # given back before the refund that kept it ended so
    for refund in (refund for refund in case.order.refunds if not counts(refund)):
        for fee in refund.breakdown.fees:
            unpaid[fee.kind] += max(0, fee.gross)
    for kind, value in sorted(fees.items()):
        if value < -unpaid[kind]:
            yield case.wrong("I6", f"{-value} more of fees ({kind}) was given back than was kept")
    yield from _exact_at_the_end(case, original, given, amount + fees.total())


def _lost_of_what_was_sold(case: Case, refunds: list[Refund]) -> Found:
    """Over all refunds no more of a promotion is kept back than it took off what it was on, nothing
    once all units of that came back, and never less than nothing: but for what refunds that ended
    unpaid since were to keep back."""
    report = current_report(case)
    if report is None:
        return
    included = report.get("prices_include_tax", True)
    off: Counter[tuple[str, str, str]] = Counter()
    units = {line["id"]: line["quantity"] for line in report["lines"]}
    for on, name in (("line", "lines"), ("shipping", "shipping")):
        for item in report.get(name, ()):
            for part in item.get("discounts", ()):
                told = sum(tax["amount"] for tax in part.get("taxes", ()))
                tax = 0 if included else told or part["amount"]  # untold: no more than itself
                off[(part.get("of", ""), on, item["id"])] += part["amount"] + tax
    kept: Counter[tuple[str, str, str]] = Counter()
    unpaid: Counter[tuple[str, str, str]] = Counter()
    for refund in case.order.refunds:
        if not counts(refund):
            for lost in (lost for lost in refund.breakdown.kept if lost.promotion):
                unpaid[(lost.promotion, lost.on, lost.part)] += max(0, lost.gross)
    for refund in refunds:
        for share in refund.breakdown.lines:
            units[share.id] = units.get(share.id, 0) - share.quantity
        for lost in refund.breakdown.kept:
            if lost.promotion:
                kept[(lost.promotion, lost.on, lost.part)] += lost.gross
    for key, value in sorted(kept.items()):
        here = units.get(key[2], 0) if key[1] == "line" else sum(units.values())
        if not -unpaid[key] <= value <= (off[key] if here else 0):
            yield case.wrong("I6", f"{key}: {value} was kept back of a discount of {off[key]}")


def _still_owed(refund: Refund) -> bool:
    """Some of it failed and its claim stands."""
    return refund.claimed > 0 and any(leg.state in GONE for leg in refund.current)


def _exact_at_the_end(
    case: Case, original: Counter[Component], given: Counter[Component], amount: int
) -> Found:
    """Where the payments took no more than the order came to and all of it went back."""
    price = sum(value for key, value in original.items() if key[2] != "units")
    captured = sum(payment.captured for payment in case.order.payments)
    if not price or captured > price or amount < price:
        return
    for key, value in sorted(original.items()):
        if key[2] != "units" and given[key] != value:
            yield case.wrong("I6", f"{key}: {given[key]} of {value}, though all went back")


def time_goes_back_once(case: Case) -> Found:
    """Of the time a line was paid for no unit is given back by two refunds."""
    spans = [
        (one.line, one.start, one.end)
        for refund in case.order.refunds
        if counts(refund)
        for one in refund.breakdown.unused
        if not one.part
    ]
    for (line, _, end), (other, start, _) in pairwise(sorted(spans)):
        if line == other and start < end:
            yield case.wrong("I6", f"unit {start} of line {line} is given back twice")


def the_report_is_kept(case: Case) -> Found:
    """The document has the components the shop reported last (if it has that version)."""
    report = current_report(case)
    if report is not None and _of_report(report) != _of_parts(case.order):
        yield case.wrong("I6", f"version {case.order.version} is not what the shop reported")


def _original(case: Case) -> Counter[Component]:
    """From the shop's report; from the document only where the shop's last word was not taken."""
    report = current_report(case)
    if report is not None:
        return _of_report(report)
    return _of_parts(case.order)


def current_report(case: Case) -> dict[str, Any] | None:
    """The shop's last word of an order; None where it was not taken."""
    report = case.report
    return report if report and report.get("version", 1) == case.order.version else None


def _of_report(report: dict[str, Any]) -> Counter[Component]:
    found: Counter[Component] = Counter()
    included = report.get("prices_include_tax", True)
    for kind, name in (("line", "lines"), ("shipping", "shipping"), ("charge", "charges")):
        for item in report.get(name, ()):
            taxes = item.get("taxes", ())
            inside = sum(tax["amount"] for tax in taxes) if included else 0
            found[(kind, item["id"], "net")] += item["total"] - inside
            found[(kind, item["id"], "units")] += item.get("quantity", 1)
            for tax in taxes:
                found[(kind, item["id"], f"tax {tax['name']}")] += tax["amount"]
    return found


def _of_parts(order: Order) -> Counter[Component]:
    found: Counter[Component] = Counter()
    groups = (("line", order.lines), ("shipping", order.shipping), ("charge", order.charges))
    for kind, parts in groups:
        for part in parts:
            found[(kind, part.id, "net")] += part.total - sum(tax.amount for tax in part.taxes)
            found[(kind, part.id, "units")] += part.quantity
            for tax in part.taxes:
                found[(kind, part.id, f"tax {tax.name}")] += tax.amount
    return found


def given_by(refund: Refund) -> Counter[Component]:
    """What a refund gives back, by component."""
    found: Counter[Component] = Counter()
    groups: tuple[tuple[str, list[Share]], ...] = (
        ("line", refund.breakdown.lines),
        ("shipping", refund.breakdown.shipping),
        ("charge", refund.breakdown.charges),
    )
    for kind, shares in groups:
        for share in shares:
            found[(kind, share.id, "net")] += share.net
            found[(kind, share.id, "units")] += share.quantity
            for tax in share.taxes:
                found[(kind, share.id, f"tax {tax.name}")] += tax.amount
    return found


def counts(refund: Refund) -> bool:
    """It may still pay, has paid, or its claim stands."""
    if refund.stage == "declined" or refund.fallback_of:  # it pays what its original gives back
        return False
    return refund.claimed > 0 or any(leg.state not in GONE for leg in refund.current)
