"""Hard caps: so much for one customer, card, address, device or requester in a day or month,
counted where the money is reserved and given back where it is not paid after all.

The buckets are rows. `decide` is pure: where it needs one that its context does not hold it says so
(`CapsNeeded`), and is asked again once the rows are locked. So only what a rule that applies names
is ever locked (design section 2).
"""

from __future__ import annotations

from collections.abc import Iterable

from amends.core.history import Draw
from amends.core.order import FAILED, Order, Refund
from amends.core.policy import Cap, CapOf, Policy, Row
from amends.core.reasons import Reason, Refused
from amends.core.work import Work
from amends.kernel.money import convert
from amends.kernel.time import Instant, day_of


class CapsNeeded(Exception):
    """These buckets must be locked and read before the decision can be made."""

    def __init__(self, buckets: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(buckets)))
        self.buckets = buckets


def bucket_of(name: str, cap: Cap, order: Order, requester: str, now: Instant) -> str:
    """The bucket a refund draws on, "" where its subject is not known."""
    subject = _subject(cap.of, order, requester)
    if not subject:
        return ""
    day = day_of(now)
    return f"{name}|{cap.of}|{subject}|{day if cap.per == 'day' else day[:7]}"


def _subject(of: CapOf, order: Order, requester: str) -> str:
    if of == "requester":
        return requester
    if of == "everybody":
        return order.entity
    signals = order.signals
    found = {
        "customer": order.customer,
        "card": signals.card,
        "address": signals.address,
        "device": signals.device,
    }[of]
    return f"{order.entity}/{found}" if found else ""


def drawn(work: Work, policy: Policy, row: Row, amount: int) -> tuple[tuple[Draw, ...], str]:
    """What a refund of `amount` (order currency) draws of the caps its row names; and, where one of
    them has not so much left, nothing and that one's name. Raises CapsNeeded."""
    caps = {name: policy.table.document.caps[name] for name in row.caps}
    actor = work.recorded.actor
    buckets = {n: bucket_of(n, cap, work.order, actor, work.now) for n, cap in caps.items()}
    known = work.ctx.caps
    if known is None:  # a quote: nothing is reserved
        return (), ""
    missing = frozenset(b for b in buckets.values() if b and b not in known)
    if missing:
        raise CapsNeeded(missing)
    worth = convert(amount, work.order.rate)
    for name, cap in caps.items():
        bucket = buckets[name]
        if not bucket or _over(cap, known[bucket], worth):
            return (), name
    return tuple(Draw(bucket, worth, 1) for bucket in buckets.values()), ""


def _over(cap: Cap, used: tuple[int, int], worth: int) -> bool:
    amount, count = used
    too_much = cap.amount is not None and amount + worth > cap.amount
    return too_much or (cap.count is not None and count + 1 > cap.count)


def check_room(work: Work, refund: Refund) -> None:
    """Whether what failed of a refund still fits into the caps it gave it back to, where an agent
    tries it again; a person may go over them. Raises Refused and CapsNeeded."""
    known = work.ctx.caps
    if known is None or not work.recorded.actor.startswith("agent:"):
        return
    caps = work.ctx.policy_for(work.order.placed_at).table.document.caps
    draws = [(d, caps[name]) for d in refund.draws if (name := d.bucket.split("|")[0]) in caps]
    if missing := frozenset(d.bucket for d, _ in draws if d.bucket not in known):
        raise CapsNeeded(missing)
    drew = {d.bucket: d for d in refund.drew}
    for draw, cap in draws:
        amount, count = known[draw.bucket]
        mine = drew.get(draw.bucket, Draw(draw.bucket, 0, 0))
        if _over(cap, (amount - mine.amount, count - mine.count), draw.amount):
            raise Refused(
                Reason.ROLE_TOO_LOW,
                "An agent pays no more than what is left of a cap; a person can try it again.",
                role="agent",
            )


def settle(work: Work) -> None:
    """What will not be paid gives back what it drew, and what is paid after all draws it again."""
    for refund in work.order.refunds:
        if refund.draws and (now := _due(work.order, refund)) != refund.drew:
            work.draws += _between(refund.drew, now)
            work.put_refund(refund.id, drew=now)


def _due(order: Order, refund: Refund) -> tuple[Draw, ...]:
    """What a refund draws as far as it may pay, or has paid: of what failed, or is another one's to
    pay by now, nothing."""
    if refund.stage in ("declined", "combined"):
        return ()
    alive = sum(g.amount for g in refund.legs if g.state not in FAILED and not g.replaced)
    return capped(refund.draws, convert(alive, order.rate)) if alive else ()


def capped(draws: tuple[Draw, ...], worth: int) -> tuple[Draw, ...]:
    """The same draws for no more than `worth`, functional."""
    return tuple(Draw(d.bucket, min(d.amount, worth), d.count) for d in draws)


def together(every: Iterable[Draw]) -> tuple[Draw, ...]:
    """Their sums by bucket."""
    sums: dict[str, tuple[int, int]] = {}
    for draw in every:
        amount, count = sums.get(draw.bucket, (0, 0))
        sums[draw.bucket] = (amount + draw.amount, count + draw.count)
    return tuple(Draw(bucket, *both) for bucket, both in sums.items())


def _between(was: tuple[Draw, ...], now: tuple[Draw, ...]) -> list[Draw]:
    every = together((*(Draw(d.bucket, -d.amount, -d.count) for d in was), *now))
    return [draw for draw in every if draw.amount or draw.count]
