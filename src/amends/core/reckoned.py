"""What a refund was reckoned with: credit that one before it gave back, a fee that one kept back.

If that one ends unpaid, the later one gives back too much. So it is not canceled before it, and one
that waits for a person, or failed, is paid only as long as it is right. Where a provider refuses
the first one a person is told of credit that is missing, and the next refund makes up for it. What
is lost of promotions follows from all that is kept, and is looked at there (promotions.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from amends.core import promotions, unused
from amends.core.fees import kept
from amends.core.left import counts, frees, given, waiting
from amends.core.order import Order, Refund
from amends.core.reasons import Reason, Refused
from amends.core.shares import Breakdown
from amends.core.work import Work

Gaps = Counter[tuple[str, str]]


def check_right(order: Order, refund: Refund) -> None:
    """A refund about to be paid is right beside all that are decided. Raises Refused."""
    promotions.check_right(order, refund)
    others = _decided(order, refund, frees(refund))
    if _gaps(order, [*others, refund.breakdown]) - _gaps(order, others):
        raise Refused(
            Reason.AMOUNT_CHANGED,
            "It was reckoned with a refund that was not paid, or its time was refunded since. "
            "Decline it if it waits, and ask for it anew.",
        )


def check_not_built_on(order: Order, refund: Refund) -> None:
    """No other was reckoned with what was just canceled, `refund` as it was. Raises Refused."""
    promotions.check_not_given_back(order, refund)
    if _missing(order, refund):
        raise Refused(
            Reason.AMOUNT_CHANGED,
            "A later refund was reckoned with the credit that this one gives back, or gave back a "
            "fee that this one keeps. Cancel that one first, or pay this one.",
        )


def tell_if_built_on(work: Work, before: Order) -> None:
    """A person is told of what leaves for time whose credit nobody gives back any more."""
    for refund in before.refunds:
        if counts(refund) and not counts(work.refund(refund.id)):
            missing = _missing(work.order, refund)
            amount = sum(value for (what, _), value in missing.items() if what == "credit")
            if amount:
                name = refund.id
                work.event("exception.raised", what="time_overpaid", refund=name, amount=amount)


def _missing(order: Order, was: Refund) -> Gaps:
    """What is not there any more for the others, now that a refund is not what it `was`."""
    now = [parts for _, parts in given(order, (), waiting(order))]
    return _gaps(order, now) - _gaps(order, [*_decided(order, was), was.breakdown])


def _decided(order: Order, but: Refund, freed: tuple[str, ...] = ()) -> list[Breakdown]:
    return [parts for _, parts in given(order, freed, {*waiting(order), but.id})]


def _gaps(order: Order, every: Iterable[Breakdown]) -> Gaps:
    """By how much refunds give back more of each fee than they keep, more money for time than its
    credit leaves, and how many units of time twice."""
    parts = list(every)
    gaps: Gaps = Counter()
    for (kind, name), amount in kept(fee for one in parts for fee in one.fees).items():
        gaps[kind, name] = -amount
    for line in order.lines:
        if line.period is not None:
            mine = [one for each in parts for one in each.unused if one.line == line.id]
            gaps["credit", line.id] = unused.uncredited(line.period, line.total, mine)
            gaps["twice", line.id] = unused.twice(mine)
    return +gaps
