"""What a dispute takes, on the books: whole, at what it was worth that day, whatever its currency.
More than the payment ever was can only come of exchange: it is a loss of that, and nothing is owed
for it."""

from __future__ import annotations

from msgspec.structs import replace

from amends.core import fx, postings
from amends.core.order import Dispute, Payment
from amends.core.postings import Worth
from amends.core.work import Work
from amends.kernel.money import Rate, convert, share

# What follows from the rest, and does not make a message news.
BOOKED = {"booked": 0, "beyond": 0, "value": None, "fee": (0, 0), "fee_currency": ""}


def same(before: Dispute | None, after: Dispute) -> bool:
    """Whether a message says nothing new."""
    return before is not None and after == replace(before, **BOOKED)


def book(work: Work, payment: Payment, before: Dispute | None, after: Dispute) -> Dispute:
    """The dispute with what of it is on the books now, and the entries that lead there. What was
    taken in another currency counts as the whole payment until it ends (`withdrawn`)."""
    worth = _worth(work, payment, before, after)
    if after.currency and after.taken:
        what = {"what": "dispute_currency", "dispute": after.id}
        work.event("exception.raised", **what)
        after = replace(after, withdrawn=payment.captured, booked=_in_ours(work, worth))
    else:
        after = replace(after, booked=after.withdrawn)
    most = max(payment.captured_peak, payment.authorized)
    value = worth.functional if worth and fx.foreign(work.order) else None
    after = replace(after, beyond=max(0, after.booked - most), value=value)
    entry = postings.dispute(work.order, payment.connection, before, after, work.now, worth)
    if entry is not None:
        work.book(entry)
    if before is not None:
        after = replace(after, fee=before.fee, fee_currency=before.fee_currency)
    fee, currency = fx.charge(work, payment.connection, after, after.settled)
    return replace(after, fee=fee, fee_currency=currency)


def _worth(work: Work, payment: Payment, before: Dispute | None, after: Dispute) -> Worth | None:
    """What it holds is worth: by the provider's figures, else what was booked of it before, and at
    the rate of the day what it took since. None: at the order's rate."""
    if not (fx.foreign(work.order) or after.currency):
        return None
    booked = postings.dispute_value(work.order, before) if before else 0
    valued = before is not None and (before.value is not None or bool(before.currency))
    told, value = (before.settled if before else None), booked if valued else 0
    if said := fx.by_figures(work, payment.connection, after.settled, told, value):
        return said
    (was, currency), (now, other) = taken(before), taken(after)
    if not (was or now):
        return None
    if now and currency != other:  # nothing of what it held is in what it holds
        was = booked = 0
        valued = False
    if before is not None and now <= was:
        left = share(booked, now, was) if was else 0
        return Worth(left, "booked") if valued else None
    day = fx.of_the_day(work, now - was, other or work.order.currency)
    if day is None and valued:  # at the order's rate; in a currency without one it is worth nothing
        more = 0 if other else convert(now - was, work.order.rate)
        return Worth(booked + more, work.order.rate.source, work.order.rate.day)
    return replace(day, functional=booked + day.functional) if day else None


def taken(dispute: Dispute | None) -> tuple[int, str]:
    """What it holds and the currency that was taken in, "" for the order's."""
    if dispute is None:
        return 0, ""
    return (dispute.taken, dispute.currency) if dispute.currency else (dispute.withdrawn, "")


def _in_ours(work: Work, worth: Worth | None) -> int:
    """A functional amount in the order's currency; 0 where nobody knows what it is worth."""
    rate = work.order.rate
    if worth is None:
        return 0
    back = Rate(rate.quote, rate.base, rate.denominator, rate.numerator, rate.source)
    return convert(worth.functional, back)
