"""What is known of a refund when it is asked for, as features, and the risk they come to.

Everything is point in time: the order as it is before the request, and what rows know of its
customer (`history`). What lies after the request is not known; what is not known is UNKNOWN.
A score alone never declines anybody.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from amends.core import scorecard
from amends.core.history import History, Window
from amends.core.left import counts
from amends.core.order import Line, Order, remaining, shown_state
from amends.core.requests import RefundIn
from amends.core.scorecard import MODEL, Score
from amends.core.signals import NO_DELIVERY, Delivery
from amends.core.traits import NAMES, TRACKING, UNKNOWN, Features
from amends.kernel.money import convert
from amends.kernel.time import DAY, Instant

__all__ = ["MODEL", "NAMES", "UNHEARD", "Features", "Score", "Scorer", "Shop", "features", "score"]

QUANTILES = 19  # 5 % to 95 %
FEWEST = 100  # refunds of a shop before its distribution says anything
AGENT = "agent:"  # how the name of an agent begins on the trail


class Shop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shop's refunds as they are usually: how many there were, what 5, 10, … 95 % of them come to
    at most, and what share of each category's sales is refunded, in 1/10,000."""

    count: int = 0
    quantiles: tuple[int, ...] = ()
    categories: dict[str, int] = {}


UNHEARD = Shop()  # a shop of which nothing is known yet


class Scorer(Protocol):
    """Who judges: the scorecard, or a trained model with the scorecard to fall back on."""

    def score(self, features: Features) -> Score:
        """The risk; reasons only where they cost nothing."""
        ...

    def explain(self, features: Features) -> Score:
        """The same with its reasons."""
        ...

    def beside(self, features: Features) -> Score | None:
        """What a challenger would say, None without one; it decides nothing."""
        ...


class Card:
    """The scorecard as a scorer."""

    def beside(self, features: Features) -> Score | None:
        return None

    def score(self, features: Features) -> Score:
        return scorecard.score(features)

    def explain(self, features: Features) -> Score:
        return scorecard.score(features)


def score(features: Features) -> tuple[int, tuple[str, ...]]:
    """The scorecard's risk in 1/10,000 and what speaks for it, largest first."""
    found = scorecard.score(features)
    return found.score_bp, texts(found)


def texts(found: Score) -> tuple[str, ...]:
    """The sentences of a score, without those that speak for the customer."""
    return tuple([said for said, points in found.reasons if points >= 0])


def features(
    order: Order,
    request: RefundIn,
    amount_functional: int,
    history: History,
    shop: Shop,
    now: Instant,
    requested_by: str,
) -> Features:
    """What is known of a request, as NAMES has it. `amount_functional` is what it comes to."""
    return Features(
        *_of_order(order),
        *_of_request(order, request, amount_functional, shop, requested_by, now),
        *_of_delivery(order, now),
        *_of_customer(order, history, now),
        *_of_windows(history),
        *_against_others(amount_functional, history, shop),
    )


def _of_order(order: Order) -> tuple[int, ...]:
    captured = sum([p.captured for p in order.payments])
    gone = captured - sum([remaining(p) for p in order.payments])
    return (
        sum([counts(refund) for refund in order.refunds]),
        10_000 * gone // captured if captured else 0,
        bool(order.alerts) + 0,
        sum([shown_state(refund) == "failed" for refund in order.refunds]),
    )


def _of_request(
    order: Order, request: RefundIn, amount: int, shop: Shop, requested_by: str, now: Instant
) -> tuple[int, ...]:
    missing = request.reason == "not_received"
    picked = _picked(order, request)
    paid = convert(sum([max(p.captured, p.authorized) for p in order.payments]), order.rate)
    prices = [line.total // line.quantity for line, _ in picked]
    return (
        int(request.amount is not None),
        amount,
        _bp(amount, paid),
        int(missing),
        int(request.reason in ("damaged", "wrong_item")),
        int(missing and _delivery(order, now).tracking == "delivered"),
        int(requested_by.startswith(AGENT)),
        sum([units for _, units in picked]) if picked else UNKNOWN,
        convert(max(prices), order.rate) if prices else UNKNOWN,
        _category(picked, shop.categories),
    )


def _picked(order: Order, request: RefundIn) -> Sequence[tuple[Line, int]]:
    """The lines a request is about, with how many units: all of them where it names none."""
    if request.lines:
        known = {line.id: line for line in order.lines}
        return [(known[p.id], p.quantity) for p in request.lines if p.id in known]
    if request.wants_all:
        return [(line, line.quantity) for line in order.lines]
    return ()


def _category(picked: Sequence[tuple[Line, int]], shares: Mapping[str, int]) -> int:
    """Of the categories asked for, the one most refunded."""
    return max([shares.get(line.category, UNKNOWN) for line, _ in picked], default=UNKNOWN)


def _of_delivery(order: Order, now: Instant) -> tuple[int, ...]:
    mismatch = order.signals.address_mismatch
    delivery = _delivery(order, now)
    return (
        _days(order.placed_at, now),
        _days(delivery.delivered_at, now),
        TRACKING.index(delivery.tracking) if delivery.tracking else UNKNOWN,
        UNKNOWN if mismatch is None else int(mismatch),
        len(order.disputes),
    )


def _delivery(order: Order, now: Instant) -> Delivery:
    """As it was known: a parcel delivered later than now was not."""
    return order.delivery if order.delivery.delivered_at <= now else NO_DELIVERY


def _of_customer(order: Order, history: History, now: Instant) -> tuple[int, ...]:
    signals = order.signals
    seen = history.first_day * DAY
    return (
        _days(order.customer_since, now),
        _days(seen, now),
        history.card_others if signals.card else UNKNOWN,
        history.address_others if signals.address else UNKNOWN,
        history.device_others if signals.device else UNKNOWN,
    )


def _of_windows(history: History) -> tuple[int, ...]:
    """Sums of 30, 90 and 365 days; UNKNOWN of somebody who was never seen."""
    windows = (history.d30, history.d90, history.d365)
    _, quarter, year = windows
    if not history.first_day:
        return (UNKNOWN,) * 16
    return (
        year.orders,
        *[window.refunds for window in windows],
        *[window.refund_value for window in windows],
        *[_bp(window.refund_value, window.order_value) for window in windows],
        quarter.not_received,
        year.not_received,
        _bp(year.not_received, year.refunds),
        year.disputes,
        year.not_returned,
        year.findings,
    )


def _against_others(amount: int, history: History, shop: Shop) -> tuple[int, ...]:
    year: Window = history.d365
    known = shop.count >= FEWEST and len(shop.quantiles) == QUANTILES
    return (
        _bp(amount, history.order_max),
        _bp(amount * year.refunds, year.refund_value),
        bisect_right(shop.quantiles, amount) * 500 if known else UNKNOWN,
    )


def _days(since: Instant, now: Instant) -> int:
    """Whole days; UNKNOWN if it is not known since when, or said to be later than now."""
    return (now - since) // DAY if 0 < since <= now else UNKNOWN


def _bp(part: int, whole: int) -> int:
    """A ratio in 1/10,000, UNKNOWN of nothing; at most a hundredfold, beyond it says no more."""
    return min(10_000 * part // whole, 1_000_000) if whole > 0 else UNKNOWN
