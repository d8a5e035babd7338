"""Three currencies: the customer's, in which an order is paid and given back; that in which its
provider settles; and that of the books. What leaves is booked at what it was worth that day.

The provider's own figures count first; else the rate of the day (`Ctx.daily`), else the configured
one (`Ctx.rates`). If there is none it is booked at the order's rate, and a person is told.
"""

from __future__ import annotations

from msgspec.structs import replace

from amends.core import postings
from amends.core.decision import Ctx
from amends.core.facts import LookedUp
from amends.core.order import Dispute, Leg, Order, Refund
from amends.core.postings import Worth
from amends.core.reasons import Reason, Refused
from amends.core.requests import OrderIn
from amends.core.rereads import reread
from amends.core.work import Work
from amends.kernel.money import Rate, convert, share
from amends.kernel.outcome import Settled
from amends.kernel.time import Instant, day_of, parse_rfc3339


def foreign(order: Order) -> bool:
    """Whether the order's currency is not that of the books."""
    return order.rate.base != order.rate.quote


def order_rate(report: OrderIn, ctx: Ctx, now: Instant) -> Rate:
    """The rate of a new order: by what its payments brought where the shop says it, else that of
    the day it was placed. Raises Refused."""
    currency = report.currency
    if currency == ctx.functional:
        return Rate(currency, currency, 1, 1, "same")
    at = parse_rfc3339(report.placed_at) if report.placed_at else now
    rate = _by_captures(report, ctx.functional) or rate_on(ctx, currency, at)
    if rate is None:
        raise Refused(
            Reason.NO_RATE,
            f"No rate from {currency} to {ctx.functional} is known for {day_of(at)}; set "
            f"[ledger.rates] {currency} in amends.toml.",
            currency=currency,
            day=day_of(at),
        )
    return rate


def _by_captures(report: OrderIn, functional: str) -> Rate | None:
    """What was captured against what it brought, if that is known of all of it; nothing is no
    rate."""
    paid = [tender for tender in report.tenders if tender.captured]
    brought = [t.settled.amount for t in paid if t.settled and t.settled.currency == functional]
    if not sum(brought) or len(brought) < len(paid):
        return None
    captured = sum(tender.captured for tender in paid)
    source = "+".join(dict.fromkeys(tender.connection for tender in paid))
    return Rate(report.currency, functional, sum(brought), captured, source)


def rate_on(ctx: Ctx, currency: str, at: Instant) -> Rate | None:
    """The rate from a currency to that of the books on the day of an instant, None if none is
    known."""
    if currency == ctx.functional:
        return Rate(currency, currency, 1, 1, "same", day_of(at))
    found = ctx.daily(currency, day_of(at)) if ctx.daily else None
    return found or ctx.rates.get(currency)


def by_figures(
    work: Work,
    connection: str,
    settled: Settled | None,
    before: Settled | None = None,
    value: int = 0,
) -> Worth | None:
    """What a provider's own figures come to: what they say as they did `before` stays at the
    `value` booked then (0: none was), the rest is at the rate of today. None where it exchanged
    nothing, or says nothing, or where nobody knows a rate of its currency."""
    if settled is None or settled.currency in ("", work.order.currency):
        return None
    was = 0
    if value and before is not None and before.currency == settled.currency:
        was = before.amount
        if was == settled.amount:
            return Worth(value, "booked")
    rate = rate_on(work.ctx, settled.currency, work.now)
    if rate is None:
        _tell_no_rate(work, settled.currency)
        return None
    day = rate.day or day_of(work.now)
    return Worth(_stepped(value, was, settled.amount, rate), connection, day, settled)


def _stepped(booked: int, was: int, now: int, rate: Rate) -> int:
    """What `now` comes to, functional: as far as it `was` there it stays at what that is `booked`
    as, and what is more is at the rate."""
    stays = min(abs(was), abs(now)) if was * now > 0 else 0
    kept = share(booked, stays, abs(was)) if stays else 0
    return kept + convert(now - stays if now > 0 else now + stays, rate)


def of_the_day(work: Work, amount: int, currency: str) -> Worth | None:
    """What an amount is worth at the rate of the day; None if that is the order's rate, or if there
    is none: then a person is told."""
    order = work.order
    rate = rate_on(work.ctx, currency, work.now)
    if rate is None:
        _tell_no_rate(work, currency)
        return None
    known = (order.rate.base, order.rate.numerator, order.rate.denominator)
    if (rate.base, rate.numerator, rate.denominator) == known:
        return None
    return Worth(convert(amount, rate), rate.source, rate.day)


def _tell_no_rate(work: Work, currency: str) -> None:
    """A person is told, once for what was heard."""
    said = {"what": "no_rate", "currency": currency}
    if not any(said.items() <= event.body.items() for event in work.events):
        work.event("exception.raised", **said)


# -- what is paid ------------------------------------------------------------------------------


def worth_of(work: Work, leg: Leg) -> Worth | None:
    """What a leg that was paid just now is worth; None: its amount at the order's rate."""
    if not foreign(work.order):
        return None
    said = by_figures(work, work.payment(leg.payment).connection, leg.settled)
    return said or of_the_day(work, leg.amount, work.order.currency)


def book_paid(work: Work, refund: Refund, leg: Leg, external: bool) -> None:
    """The entries of a leg that was paid just now."""
    worth = worth_of(work, leg)
    leg = work.put_leg(leg.id, value=0, valued=False)
    make = postings.external if external else postings.payout
    entry = make(work.order, refund, leg, work.now, worth=worth)
    work.book(entry)
    if worth is not None:
        work.put_leg(leg.id, value=worth.functional, valued=True)
    leg_fee(work, leg.id)


def leg_fee(work: Work, leg_id: str, back: bool = False) -> None:
    """Book what the provider charged for a refund, or gave back, as far as it is not booked; or
    that it came back with the refund, at what it was booked as."""
    refund, leg = work.leg(leg_id)
    said = replace(leg.settled, fee=0) if back and leg.settled else leg.settled
    fee, currency = charge(work, work.payment(leg.payment).connection, leg, said, refund.id)
    if (fee, currency) != (leg.fee, leg.fee_currency):
        work.put_leg(leg_id, fee=fee, fee_currency=currency)


def charge(
    work: Work, connection: str, of: Leg | Dispute, said: Settled | None, refund: str = ""
) -> tuple[tuple[int, int], str]:
    """Book the step to the fee that is told: what of it is on the books then, and its currency. A
    fee in another currency takes the place of the first. One in a currency that nobody knows a rate
    of is not booked, and a person is told."""
    if said is None or not said.currency:
        return of.fee, of.fee_currency
    held = {of.fee_currency or said.currency: of.fee}
    was = held.get(said.currency, (0, 0))
    if said.currency in held and said.fee == was[0]:
        return of.fee, of.fee_currency
    rate = rate_on(work.ctx, said.currency, work.now) if said.fee else None
    if said.fee and rate is None:
        _tell_no_rate(work, said.currency)
        return of.fee, of.fee_currency
    now = {said.currency: (said.fee, _stepped(was[1], was[0], said.fee, rate) if rate else 0)}
    leg = of if isinstance(of, Leg) else None
    for currency in {**held, **now}:
        before, after = held.get(currency, (0, 0)), now.get(currency, (0, 0))
        step = (after[0] - before[0], after[1] - before[1])
        if step != (0, 0):
            worth = Worth(step[1], connection, day_of(work.now), said)
            work.book(
                postings.provider_fee(
                    work.order, connection, refund, leg, step, worth, currency, work.now
                )
            )
    return now[said.currency], said.currency if said.fee else ""


def told(work: Work, leg_id: str, settled: Settled | None) -> None:
    """The provider's figures on a refund. Those that come after it was booked as paid are booked
    beside it, once."""
    _, leg = work.leg(leg_id)
    if settled is None or not settled.currency or settled == leg.settled:
        return
    if _plain(work.order, leg, settled):
        return
    before = leg.settled
    leg = work.put_leg(leg_id, settled=settled)
    if leg.paid_at:
        _book_late(work, leg, before)


def read_untold(work: Work, leg_id: str, settled: Settled | None) -> None:
    """Where a message says that there are figures, and not which, its payment is read; not again if
    that is what was just read."""
    _, leg = work.leg(leg_id)
    there = settled is not None and not settled.currency
    there = there and not isinstance(work.recorded.fact, LookedUp)
    if there and leg.paid_at and leg.settled is None and foreign(work.order):
        reread(work, leg.payment)


def _plain(order: Order, leg: Leg, settled: Settled) -> bool:
    """Whether figures say nothing but the amount that is known."""
    return (settled.currency, settled.amount, settled.fee) == (order.currency, leg.amount, 0)


def _book_late(work: Work, leg: Leg, told_before: Settled | None) -> None:
    refund, _ = work.leg(leg.id)
    worth = None
    if foreign(work.order):
        connection = work.payment(leg.payment).connection
        worth = by_figures(work, connection, leg.settled, told_before, leg.value)
    before = work.order.entries
    if worth is not None and worth.functional != postings.leg_value(work.order, leg):
        work.book(postings.settled(work.order, refund, leg, worth, work.now))
    if worth is not None:
        leg = work.put_leg(leg.id, value=worth.functional, valued=True)
    leg_fee(work, leg.id)
    if work.order.entries > before:
        work.event("leg.news", leg=leg.id, news="settled", settled=leg.settled)
