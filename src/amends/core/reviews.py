"""A refund as it begins: on the trail, and with a deadline where a person is to look at it."""

from __future__ import annotations

from typing import Any

from amends.core.effects import Effect, deadline_id
from amends.core.order import Refund, shown_state
from amends.core.shares import Breakdown
from amends.core.tallies import tally
from amends.core.work import Work
from amends.kernel.check import invariant
from amends.kernel.time import DAY

REVIEW_FOR = 2 * DAY  # a review older than this is overdue
RECEIPT_FOR = 14 * DAY  # goods that are not back by then: a person looks


def set_deadline(work: Work, refund: Refund) -> None:
    """Somebody is told when nobody has decided by then."""
    name, due = deadline_id(refund.id), refund.decide_by
    work.effect(Effect(name, work.order.id, "deadline", "", "", due))


def deadline_due(work: Work, effect: str) -> bool:
    """Nobody has decided by then, or the goods never came: a person looks. Whether there is another
    deadline to come."""
    refund = next((r for r in work.order.refunds if deadline_id(r.id) == effect), None)
    if refund is None or refund.stage != "review":
        return False
    work.event("refund.overdue", refund=refund.id, decide_by=refund.decide_by)
    if not refund.awaits:
        return False
    tally(work, not_returned=1)
    work.finish(effect)
    decide_by = work.now + REVIEW_FOR
    set_deadline(work, work.put_refund(refund.id, awaits=False, decide_by=decide_by))
    return True


def tell_requested(work: Work, refund_id: str, note_hash: str = "", seen: str = "") -> None:
    """The event of a refund's beginning, with the policy's word on it; `seen` is the hash of what
    that was given on."""
    refund = work.refund(refund_id)
    verdict = refund.verdict
    invariant(verdict is not None, "a request always has a verdict")
    work.event(
        "refund.requested",
        refund=refund.id,
        reason=refund.reason,
        amount=refund.amount,
        currency=work.order.currency,
        breakdown=_itemised(refund.breakdown),
        legs=[
            {"leg": g.id, "kind": g.kind, "payment": g.payment, "amount": g.amount}
            | ({"why": g.failure} if g.failure else {})
            for g in refund.legs
        ],
        state=shown_state(refund),
        verdict=_plain(verdict),
        **({"statutory": True} if refund.statutory else {}),
        shown=refund.shown,
        note=note_hash,
        seen=seen,
        fallback_of=refund.fallback_of,
    )


def _itemised(parts: Breakdown) -> dict[str, Any]:
    """Lines, shipping and what they do not explain; anything else only where there is some."""
    always = ("lines", "shipping", "unallocated")
    return {name: value for name, value in _plain(parts).items() if name in always or value}


def _plain(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
