"""Reviews: who looks after a refund that a person is to decide, what was noted, and what it led to.

Nothing here moves money. What a person decides is in `asks`; what it says about the customer is
kept as a label for training, and counted in the customer's history.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from amends.core.asks import in_review
from amends.core.facts import CaseMoved
from amends.core.order import NO_CASE, Case, Refund, Suggestion
from amends.core.policy import ROLES, higher
from amends.core.reasons import Reason, Refused
from amends.core.tallies import label, tally
from amends.core.work import Work

NOT_AFTER = 30  # days: nothing is put off longer


def move(work: Work, fact: CaseMoved) -> None:
    """Assign, snooze, escalate, note, attach, or ask the customer for more. Raises Refused."""
    refund = in_review(work, fact.refund)
    case = refund.case or NO_CASE
    changes, told = _changed(work, case, fact)
    if changes:
        work.put_refund(refund.id, case=replace(case, **changes))
    work.event("refund.case", refund=refund.id, what=fact.what, **told)


def _changed(work: Work, case: Case, fact: CaseMoved) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of the case changes, and what the trail says of it."""
    noted = {"note": fact.note_hash, "note_id": fact.note_id}
    if fact.what == "assign":
        return {"assignee": fact.who}, {"who": fact.who or "nobody", **noted}
    if fact.what == "snooze":
        if fact.until <= work.now:
            raise Refused(
                Reason.VALIDATION, "Say an instant that is still to come.", pointer="/until"
            )
        return {"snoozed_until": fact.until}, {"until": fact.until, **noted}
    if fact.what == "escalate":
        if fact.role not in ROLES:
            raise Refused(Reason.VALIDATION, f"The roles are {', '.join(ROLES)}.", pointer="/role")
        if higher(fact.role, case.escalated) != fact.role:  # else whoever may not approve it could
            raise Refused(
                Reason.VALIDATION,
                f"It was handed up to {case.escalated}; it is not handed down.",
                pointer="/role",
            )
        fresh = {"escalated": fact.role, "assignee": "", "snoozed_until": 0}
        return fresh, {"role": fact.role, **noted}
    if fact.what == "ask":
        return {"asked": True}, noted
    if fact.what == "suggest":
        return _suggested(work, fact, noted)
    if fact.what == "attach":
        if not fact.reference:
            raise Refused(Reason.VALIDATION, "Say where the attachment is.", pointer="/reference")
        return {}, {"reference": fact.reference, **noted}
    return {}, noted


def _suggested(
    work: Work, fact: CaseMoved, noted: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A suggestion is taken down with its proofs: events that are on this order's trail."""
    if not fact.outcome:
        raise Refused(
            Reason.VALIDATION, "Say whether to approve or to decline.", pointer="/outcome"
        )
    unknown = [number for number in fact.cites if not 1 <= number <= work.order.head_seq]
    if unknown or not fact.cites:
        raise Refused(
            Reason.VALIDATION,
            f"Cite events of the order by number, 1 to {work.order.head_seq}; "
            + (f"there is no {unknown}." if unknown else "a suggestion needs a proof."),
            pointer="/cites",
        )
    cites = tuple(sorted(set(fact.cites)))
    made = Suggestion(fact.outcome, work.recorded.actor, cites, fact.note_id)
    return {"suggested": made}, {"outcome": fact.outcome, "cites": list(cites), **noted}


# What a person's reason says about the request: that it was abuse, that it was not, or neither.
ABUSE = {"abuse": True, "goods_not_as_sent": True, "goods_not_returned": True}
HONEST = ("as_asked", "verified")


def learn_declined(work: Work, refund: Refund, reason: str) -> None:
    """What a person's no teaches."""
    if reason in ABUSE:
        label(work, refund, "review", True)
    if reason == "goods_not_as_sent":
        tally(work, findings=1)
    elif reason == "goods_not_returned":
        tally(work, not_returned=1)


def learn_approved(work: Work, refund: Refund, reason: str) -> None:
    """What a person's yes teaches."""
    if reason in HONEST:
        label(work, refund, "review", False)
