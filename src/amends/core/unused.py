"""Unused time of a subscription: what of a line goes back for the part of its period that was not
used, over any number of refunds; never for time that was credited, and never twice.

All refunds of the line count against the money that goes with the unused time, whatever they were
for: money paid less what was used is the most that ever goes back this way (edge 23).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from amends.core.left import Rest, given, named
from amends.core.order import Line, Order, Refund
from amends.core.period import Period, Span, Unused, length, money_of, overlapping
from amends.core.reasons import Reason, Refused
from amends.core.requests import LineIn, OrderIn, PeriodIn, RefundIn, UnusedIn
from amends.core.shares import Breakdown
from amends.kernel.time import DAY, Instant, parse_rfc3339, rfc3339

LONGEST = 3653 * DAY  # of a period: more is a mistake, and seconds of it must stay small numbers


def check(report: OrderIn) -> None:
    """Every period is one. Raises Refused."""
    for index, line in enumerate(report.lines):
        if line.period is not None:
            period_of(line.period, f"/lines/{index}/period")


def period_of(said: PeriodIn, pointer: str) -> Period:
    """As it is kept. Raises Refused."""
    start, end = _instant(said.start, f"{pointer}/start"), _instant(said.end, f"{pointer}/end")
    if not start < end <= start + LONGEST:
        raise _bad("A period ends after it starts, and within ten years.", f"{pointer}/end")
    credited: list[tuple[Instant, Instant]] = []
    for index, one in enumerate(said.credited):
        where = f"{pointer}/credited/{index}"
        first, last = _instant(one.start, where), _instant(one.end, where)
        if not start <= first < last <= end:
            raise _bad("Credited time is within the period and ends after it starts.", where)
        if overlapping((first, last), credited):
            raise _bad("Time is credited once.", where)
        credited.append((first, last))
    return Period(start, end, said.by, said.paid_by_credit, tuple(sorted(credited)))


def kept(line: LineIn) -> Period | None:
    """The period of a line that was checked before."""
    return period_of(line.period, "/lines") if line.period is not None else None


def _instant(text: str, pointer: str) -> Instant:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise _bad(f"{text!r} is not an RFC 3339 time with a zone: {error}.", pointer) from None


def _bad(detail: str, pointer: str) -> Refused:
    return Refused(Reason.BAD_PERIOD, detail, pointer=pointer)


def check_not_both(before: Order, order: Order) -> None:
    """Time that was refunded is not credited by a newer version of the order, and counts as it did.
    Raises Refused."""
    was, now = ({line.id: line.period for line in o.lines} for o in (before, order))
    for one in (one for _, parts in given(order, ()) for one in parts.unused):
        old, new = was[one.line], now.get(one.line)
        kept_ = old and new and replace(old, credited=()) == replace(new, credited=())
        if not kept_ or new is None or overlapping(one.span, new.granted):
            raise Refused(
                Reason.ORDER_CONFLICT,
                f"Time of line {one.line!r} has a refund; keep its period, and report no credit "
                "for that time.",
            )


def needs_time(order: Order, request: RefundIn) -> None:
    """A subscription's refund says which time was not used. Raises Refused."""
    if request.reason != "subscription" or request.unused:
        return
    if any(line.period is not None for line in order.lines):
        raise Refused(
            Reason.VALIDATION,
            "Say which time of the subscription was not used: `unused`.",
            pointer="/unused",
        )


def pick(
    order: Order, request: RefundIn, before: Sequence[Breakdown], lines: dict[str, Rest]
) -> Iterator[tuple[str, int, Unused]]:
    """What each line gives back for the time that is asked: its id, how much, which units. `lines`
    is what is left of each. Raises Refused."""
    known = {line.id: line for line in order.lines}
    taken: list[Unused] = [one for parts in before for one in parts.unused]
    for index, asked in enumerate(request.unused):
        line = named(known, asked.line, "line", f"/unused/{index}/line")
        amount, unused = _one(asked, line, taken, lines[line.id], f"/unused/{index}")
        taken.append(unused)
        yield line.id, amount, unused


def _one(
    asked: UnusedIn, line: Line, taken: Sequence[Unused], left: Rest, pointer: str
) -> tuple[int, Unused]:
    if line.period is None:
        raise Refused(Reason.NO_PERIOD, line=line.id, pointer=pointer)
    period = line.period
    span = _span(asked, period, pointer)
    mine = [one for one in taken if one.line == line.id]
    paid = [one for one in mine if not one.part]
    _check_free(span, period, paid, line.id)
    units = length([span, *(one.span for one in paid)])
    money, credit = money_of(period, line.total, units)
    back = line.total - left.credited - left.gross  # for whatever reason
    credit = max(0, credit - sum(one.credit for one in mine))
    used = period.whole - units - length(period.granted)
    return min(max(0, money - back), left.gross), Unused(line.id, *span, credit, used)


def leans_on(request: RefundIn, refund: Refund) -> bool:
    """Whether what a request gives for its time depends on credit that a refund gives back."""
    lines = {asked.line for asked in request.unused}
    return any(one.credit and one.line in lines for one in refund.breakdown.unused)


def uncredited(period: Period, total: int, ones: Sequence[Unused]) -> int:
    """How much of the credit that goes with time that was given back nobody gives back; below zero
    where more is."""
    _, credit = money_of(period, total, length(one.span for one in ones if not one.part))
    return credit - sum(one.credit for one in ones)


def twice(ones: Sequence[Unused]) -> int:
    """How many units are given back more than once."""
    spans = [one.span for one in ones if not one.part]
    return sum(end - start for start, end in spans) - length(spans)


def _span(asked: UnusedIn, period: Period, pointer: str) -> Span:
    start = _instant(asked.start, f"{pointer}/start")
    end = period.end if asked.end is None else _instant(asked.end, f"{pointer}/end")
    if not period.start <= start < end <= period.end:
        raise _bad(
            f"The time is not within the period, {rfc3339(period.start)} to "
            f"{rfc3339(period.end)}, or does not end after it starts.",
            pointer,
        )
    found = period.within(start, end)
    if not length([found]):
        raise _bad(f"No whole {period.by} of the period is within the time.", pointer)
    return found


def _check_free(span: Span, period: Period, mine: Sequence[Unused], line: str) -> None:
    if again := overlapping(span, [one.span for one in mine]):
        raise Refused(
            Reason.TIME_REFUNDED,
            f"{_words(again, period)} of it was refunded before; ask for the rest.",
            line=line,
            refunded=[list(one) for one in again],
        )
    if credited := overlapping(span, period.granted):
        raise Refused(
            Reason.TIME_CREDITED,
            f"For {_words(credited, period)} of it a proration credit was granted; ask for the "
            "rest, or take the credit back first and report the order without it.",
            line=line,
            credited=[list(one) for one in credited],
        )


def _words(spans: Sequence[Span], period: Period) -> str:
    parts = (f"{a} to {b}" for a, b in spans)
    return f"{period.by}s {', '.join(parts)} of {period.whole}"
