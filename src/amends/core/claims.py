"""What we owe for a refund, on the books: recognised, given up, reduced to what may still be."""

from __future__ import annotations

import msgspec

from amends.core import postings
from amends.core.left import claimed_parts, counts, not_failed, part_of
from amends.core.order import FAILED, Leg, Refund, all_failed, partly_failed
from amends.core.quote import adopted
from amends.core.shares import Breakdown
from amends.core.work import Work


def claim(work: Work, refund_id: str) -> None:
    """Recognise what we owe for a refund, as far as that is not on the books already."""
    refund = work.refund(refund_id)
    owed = sum(
        g.amount
        for g in refund.legs
        if g.kind != "void" and not g.replaced and g.state not in FAILED
    )
    if owed > refund.claimed and not (refund.external or refund.fallback_of):
        work.book(postings.claim(work.order, refund, owed, work.now))
        work.put_refund(refund_id, claimed=owed, claim_of=None)


# Failures that say the money is not to be paid again: it is elsewhere, or there was none.
_ELSEWHERE = (
    *("taken_by_others", "paid_before", "paid_by_closed_attempt"),
    *("no_such_capture", "exceeds_captured"),
)


def fell_back(leg: Leg) -> bool:
    """Whether a leg has failed for good and a fallback is to pay; never what a dispute took, by
    whatever word a provider has for it (edge 11)."""
    elsewhere = leg.failure in _ELSEWHERE or "disputed" in leg.failure
    return leg.falls_back and leg.state == "failed" and not elsewhere


def lapse(work: Work, refund: Refund) -> None:
    """The claim ends unpaid: the entry that recognised it is reversed."""
    if refund.claimed:
        work.book(postings.claim_lapsed(work.order, refund, Breakdown(), work.now))
        work.put_refund(refund.id, claimed=0, claim_of=None)


def take_over(work: Work, refund_id: str) -> None:
    """An approved refund takes the place of what failed before it: that is owed no longer. What
    paid after all, or was given up, since it was quoted is left as it is."""
    for before in (work.refund(name) for name in work.refund(refund_id).takes_over):
        if partly_failed(before):
            amount = give_up_rest(work, before.id)
            work.event("refund.superseded", refund=before.id, amount=amount)
        elif before.claimed and all_failed(before):
            lapse(work, before)
            work.event("refund.superseded", refund=before.id)


def give_up_rest(work: Work, refund_id: str) -> int:
    """What failed is owed no longer: the refund is the rest of it. How much was given up. Where all
    of that was an authorization the claim stays as it is."""
    before = work.refund(refund_id)
    rest = [leg for leg in before.legs if leg.state not in FAILED and not leg.replaced]
    amount = sum(leg.amount for leg in rest)
    for leg in before.legs:
        if leg.state in FAILED:
            work.put_leg(leg.id, replaced=True)
    claimed = min(before.claimed, sum(leg.amount for leg in rest if leg.kind != "void"))
    parts, stands = not_failed(before), claimed_parts(before)
    if claimed < before.claimed:
        stands = part_of(stands, claimed)
        work.book(postings.claim_lapsed(work.order, before, stands, work.now), before)
    claim_of = stands if claimed and stands != parts else None
    work.put_refund(refund_id, amount=amount, breakdown=parts, claimed=claimed, claim_of=claim_of)
    return before.amount - amount


def explain_others(work: Work) -> None:
    """What others gave back, and nothing was left to explain when it was adopted, is for what was
    left since by refunds that ended unpaid."""
    for refund in work.order.refunds:
        if not refund.external or not refund.breakdown.unallocated or not counts(refund):
            continue
        if refund.by_shop:
            continue
        parts = adopted(work.order, refund.amount, refund.id)
        if parts.unallocated >= refund.breakdown.unallocated:
            continue
        (leg,) = refund.legs
        after = work.put_refund(refund.id, breakdown=parts)
        if leg.paid_at:
            work.book(postings.external(work.order, refund, leg, work.now, back=True), refund)
            work.book(postings.external(work.order, after, leg, work.now))
        work.event("refund.reallocated", refund=refund.id, breakdown=msgspec.to_builtins(parts))
