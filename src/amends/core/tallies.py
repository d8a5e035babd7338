"""What a decision adds to its customer's day; nothing where the shop does not say who bought."""

from __future__ import annotations

from amends.core.history import Label, LabelSource, Sight, Tally
from amends.core.order import Refund, shown_state
from amends.core.work import Work
from amends.kernel.money import convert
from amends.kernel.time import DAY


def tally(work: Work, **counts: int) -> None:
    """Add to the customer's day."""
    order = work.order
    if order.customer:
        work.tallies.append(Tally(order.entity, order.customer, work.now // DAY, **counts))


def tell_bought(work: Work) -> None:
    """A new order, and the fingerprints it was seen with."""
    order = work.order
    worth = convert(sum(max(p.captured, p.authorized) for p in order.payments), order.rate)
    tally(work, orders=1, order_value=worth, order_max=worth)
    tell_sights(work)


def tell_sights(work: Work) -> None:
    """The fingerprints an order was seen with."""
    order, signals = work.order, work.order.signals
    if not order.customer:
        return
    if signals.card:
        work.sights.append(Sight("card", signals.card, order.entity, order.customer))
    if signals.address:
        work.sights.append(Sight("address", signals.address, order.entity, order.customer))
    if signals.device:
        work.sights.append(Sight("device", signals.device, order.entity, order.customer))


def tell_asked(work: Work, amount: int, reason: str) -> None:
    """A refund was asked for, whatever becomes of it."""
    missing = int(reason == "not_received")
    worth = convert(amount, work.order.rate)
    tally(work, refunds=1, refund_value=worth, not_received=missing)


def label(work: Work, refund: Refund, source: LabelSource, abuse: bool) -> None:
    """What a refund turned out to be, for training."""
    work.labels.append(Label(work.order.id, refund.id, work.now, source, abuse))


def learn_disputed(work: Work) -> None:
    """A new dispute: somebody who was paid back as well, or is about to be, wanted it twice."""
    tally(work, disputes=1)
    for refund in work.order.refunds:
        if shown_state(refund) in ("succeeded", "pending") and not refund.external:
            label(work, refund, "dispute", True)
