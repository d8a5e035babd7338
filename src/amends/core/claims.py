"""What we owe for a refund, on the books: recognised, given up, reduced to what may still be."""

from __future__ import annotations

from amends.core import postings
from amends.core.order import Refund
from amends.core.quote import shrunk
from amends.core.work import Work

_FAILED = ("failed", "canceled")


def claim(work: Work, refund_id: str) -> None:
    """Recognise what we owe for a refund, as far as that is not on the books already."""
    refund = work.refund(refund_id)
    owed = sum(
        g.amount
        for g in refund.legs
        if g.kind != "void" and not g.replaced and g.state not in _FAILED
    )
    if owed > refund.claimed and not refund.external:
        work.book(postings.claim(work.order, refund, owed, work.now))
        work.put_refund(refund_id, claimed=owed)


def lapse(work: Work, refund: Refund) -> None:
    """The claim ends unpaid: the entry that recognised it is reversed."""
    if refund.claimed:
        work.book(postings.claim_lapsed(work.order, refund, work.now))
        work.put_refund(refund.id, claimed=0)


def partly_failed(refund: Refund) -> bool:
    """Some of it failed, and the rest was paid or may still be."""
    failed = {leg.state in _FAILED for leg in refund.legs if not leg.replaced}
    return len(failed) > 1 and not refund.external


def give_up_rest(work: Work, refund_id: str) -> int:
    """What failed is owed no longer: the refund is the rest of it. How much was given up."""
    before = work.refund(refund_id)
    rest = [leg for leg in before.legs if leg.state not in _FAILED and not leg.replaced]
    amount = sum(leg.amount for leg in rest)
    for leg in before.legs:
        if leg.state in _FAILED:
            work.put_leg(leg.id, replaced=True)
    owed = sum(leg.amount for leg in rest if leg.kind != "void")
    after = work.put_refund(
        refund_id,
        amount=amount,
        breakdown=shrunk(before.breakdown, amount),
        claimed=min(before.claimed, owed),
    )
    if before.claimed:
        work.book(postings.claim_reduced(work.order, before, after, work.now))
    return before.amount - amount
