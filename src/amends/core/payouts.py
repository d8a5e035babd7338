"""A person has paid what no provider pays: the refund ends, and the books say by which means."""

from __future__ import annotations

from amends.core import claims, small
from amends.core.answers import again, check_approver, check_still_there, failed_legs
from amends.core.asks import approve_all, find
from amends.core.effects import deadline_id
from amends.core.facts import PaidOutside
from amends.core.order import Leg, Refund, shown_state
from amends.core.outside import by_hand, pay
from amends.core.reasons import Reason, Refused
from amends.core.work import Work


def paid_outside(work: Work, fact: PaidOutside) -> None:
    """A person has paid by other means what no provider can, what failed there (I12), or what is
    held. Whatever else of a refund in review a provider can pay leaves with it."""
    refund = find(work, fact.refund)
    for name, said in (("reference", fact.reference), ("consent", fact.consent)):
        if said != said.strip():  # a line's end slips through the pattern of the API
            raise Refused(Reason.VALIDATION, pointer=f"/{name}")
    if fact.way == "store_credit" and not fact.consent:
        raise Refused(
            Reason.VALIDATION,
            "Store credit takes the place of money only with the customer's express consent; say "
            "where it is recorded.",
            pointer="/consent",
        )
    waits = refund.stage == "review" and by_hand(refund)
    held = refund.stage == "held"
    failed = [] if waits or held else _failed_money(work, refund)
    check_approver(work, refund, fact.shown, fact.role)
    if waits:
        fresh = [leg.id for leg in refund.legs if leg.kind == "manual"]
        check_still_there(work, refund)
        work.finish(deadline_id(refund.id))
        approve_all(work, refund.id, fact)
    elif held:
        check_still_there(work, refund)
        fresh = small.pay_by_hand(work, refund, fact)
    else:
        fresh = [again(work, refund.id, leg, "manual") for leg in failed]
        claims.claim(work, refund.id)
        for name in fresh:
            pay(work, name, fact)
    work.put_refund(refund.id, decided_by=work.recorded.actor)
    work.event(
        "refund.paid_outside",
        refund=refund.id,
        amount=sum(work.leg(name)[1].amount for name in fresh),
        way=fact.way,
        reference=fact.reference,
        consent=fact.consent,
        shown=refund.shown,
    )


def _failed_money(work: Work, refund: Refund) -> list[Leg]:
    failed = failed_legs(work, refund)
    if any(leg.kind == "void" for leg in failed):
        raise Refused(
            Reason.WRONG_STATE,
            "What failed is the release of an authorization: no money was taken that could be "
            "paid back.",
            state=shown_state(refund),
        )
    return failed
