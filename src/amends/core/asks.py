"""Requests: what somebody wants of an order. Refusals raise `Refused`; nothing is changed then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from amends.core import claims, legs, sellers, small
from amends.core.captures import refunds_made
from amends.core.disputed import may_take
from amends.core.effects import deadline_id
from amends.core.facts import (
    Approved,
    Canceled,
    LinesUnavailable,
    OrderCancelled,
    PaidOutside,
    Recorded,
    RefundRequested,
    Rejected,
    Retried,
    Unparked,
)
from amends.core.heard import payment_of
from amends.core.history import UNKNOWN
from amends.core.holds import reserve
from amends.core.left import counts, paid_by_fallback, still_owed, taken_over, unclaimed
from amends.core.order import (
    FAILED,
    SHOWN_ORDER,
    Leg,
    LegKind,
    Order,
    Payment,
    Refund,
    Verdict,
    all_failed,
    covered,
    overdrawn,
    partly_failed,
    room_of,
    shown_state,
)
from amends.core.outside import by_hand, method_of, past_limit, pay, set_apart
from amends.core.policy import Question, judge
from amends.core.quote import Portion, Quote, basis_of, changed, compute, fits
from amends.core.reasons import Reason, Refusal, Refused
from amends.core.reckoned import check_not_built_on, check_right
from amends.core.requests import RefundIn
from amends.core.reviews import REVIEW_FOR, set_deadline, tell_requested
from amends.core.risk import UNHEARD, features
from amends.core.work import Work
from amends.kernel.canon import digest
from amends.kernel.check import invariant
from amends.kernel.money import convert

# What a quote runs into if less is left than when it was made.
_LEFT = (Reason.EXCEEDS_QUANTITY, Reason.EXCEEDS_REMAINING, Reason.NOTHING_LEFT)


def request_refund(work: Work, fact: RefundRequested) -> None:
    """Quote, judge, reserve; send what is approved."""
    request = fact.request
    check_request(request)
    if fact.quote_expires and fact.quote_expires <= work.now:
        raise Refused(Reason.QUOTE_EXPIRED)
    try:
        quote, over = quoted(work, request)
    except Refused as refused:
        if fact.quote_hash and (refused.refusal.reason in _LEFT or _changed(work, fact)[0]):
            raise _stale(work, fact, refused.refusal.extra) from refused
        raise
    if fact.quote_hash and fact.quote_hash != quote.hash:
        raise _stale(work, fact, {})
    verdict = judge(_question(work, request, quote), work.ctx.policy)
    refund = _make(work, fact, quote, verdict, over)
    if verdict.outcome == "approve":
        approve_all(work, refund.id)
    tell_requested(work, refund.id, fact.note_hash)


def _stale(work: Work, fact: RefundRequested, extra: dict[str, Any]) -> Refused:
    """That a quote no longer holds, and what changed."""
    names, sentence = _changed(work, fact)
    return Refused(Reason.QUOTE_STALE, sentence, **extra, changed=names)


def _changed(work: Work, fact: RefundRequested) -> tuple[list[str], str]:
    return changed(fact.quote_basis, basis_of(work.order, work.ctx.policy.version))


def check_request(request: RefundIn) -> None:
    """What the shape of the body cannot say. Raises Refused."""
    named = [name for name in ("payment", "quote") if getattr(request, name) is not None]
    if request.order is not None and (request.payment is not None or request.quote is None):
        named.insert(0, "order")
    if len(named) > 1:
        raise Refused(
            Reason.VALIDATION,
            f"Name one of order, payment and quote, not {' and '.join(named)}.",
            pointer=f"/{named[1]}",
        )
    said = (request.fees, request.goodwill, request.promotions, request.statutory)
    said_more = (request.tenders, request.consent)
    if request.quote is not None and (
        not request.wants_all
        or said != (None, "price_reduction", "policy", False)
        or (*said_more, request.platform_fee) != ("policy", "", None)
    ):
        raise Refused(
            Reason.VALIDATION,
            "A quote is committed unchanged; its amount, lines and shipping are not given again.",
            pointer="/amount" if request.amount is not None else "/lines",
        )
    if request.hash and request.quote is None:
        raise Refused(Reason.VALIDATION, "The hash goes with its quote.", pointer="/hash")
    if request.amount is not None and (request.by_parts or request.fees):
        raise Refused(
            Reason.VALIDATION,
            "Give an amount, or lines, shipping, charges and fees, not both.",
            pointer="/amount",
        )
    if request.goodwill == "compensation" and (
        request.amount is None or request.reason != "goodwill"
    ):
        raise Refused(
            Reason.VALIDATION,
            "Compensation is an amount given for the reason goodwill; give both.",
            pointer="/goodwill",
        )


def quoted(work: Work, request: RefundIn) -> tuple[Quote, tuple[str, ...]]:
    """The quote, and the failed refunds whose standing claim it takes over because it needs
    their room: after a late failure the claim stands, but the money is back and may be asked for
    again; or because it needs their lines, where nobody is owed what failed. Nothing is given up
    before the refund is approved."""
    if request.currency not in (None, work.order.currency):
        raise Refused(
            Reason.OTHER_CURRENCY,
            f"The order is in {work.order.currency}; a refund is paid in that currency.",
            pointer="/currency",
        )
    order = work.order
    only = _payment_named(order, request) if request.payment is not None else ""
    multiples, split, amounts = _multiples(work), _by_capture(work), work.ctx.policy.amounts
    given = taken_over(order)
    over = tuple(
        refund.id
        for refund in order.refunds
        if ((refund.claimed and all_failed(refund)) or partly_failed(refund))
        and refund.id not in given
        and not paid_by_fallback(order, refund)
    )
    quote = compute(order, request, only, over, multiples, split, amounts)
    for spared in (over, *((name,) for name in over)):  # none of them, if that will do
        fewer = tuple(name for name in over if name not in spared)
        if fewer == over:
            continue
        try:
            beside = compute(order, request, only, fewer, multiples, split, amounts)
        except Refused:
            continue
        enough = not request.wants_all or beside.amount == quote.amount
        explained = beside.breakdown.unallocated <= quote.breakdown.unallocated
        owed = all(still_owed(work.refund(name)) > 0 for name in spared)
        enough = enough and (explained or owed)
        if enough and beside.amount <= unclaimed(order, only, {*fewer, *given}):
            quote, over = beside, fewer
    quote = small.credited(work, request, set_apart(work, quote))
    quote = sellers.quoted(work, request, quote)
    check_methods(work, quote.portions)
    return quote, over


def _payment_named(order: Order, request: RefundIn) -> str:
    invariant(request.payment is not None, "only called for a request that names its payment")
    name = request.payment
    found = name and payment_of(order, name.connection, (name.psp_payment_id,))
    if not found:
        raise Refused(Reason.UNKNOWN_PAYMENT, pointer="/payment")
    return found.id


def _multiples(work: Work) -> dict[str, int]:
    steps = {}
    for payment in work.order.payments:
        terms = work.ctx.terms.get(payment.connection)
        step = dict(terms.multiple_of).get(work.order.currency, 1) if terms else 1
        steps[payment.id] = step
    return steps


def _by_capture(work: Work) -> frozenset[str]:
    return frozenset(p.id for p in work.order.payments if method_of(work, p).per_capture)


def check_methods(work: Work, portions: Sequence[Portion]) -> None:
    """What the payment methods do not allow is refused here instead of there. Raises Refused."""
    for payment in work.order.payments:
        _check_release(work, payment, portions)
        parts = [p.amount for p in portions if (p.payment, p.kind) == (payment.id, "refund")]
        if not parts:
            continue
        method = method_of(work, payment)
        named = {"payment": payment.id, "method": payment.method}
        if not method.refunds:
            raise Refused(Reason.METHOD_NOT_REFUNDABLE, **named)
        if not method.partial and sum(parts) != payment.captured:
            raise Refused(Reason.PARTIAL_NOT_POSSIBLE, **named, captured=payment.captured)
        if method.count and refunds_made(work.order, payment) + len(parts) > method.count:
            raise Refused(Reason.TOO_MANY_REFUNDS, **named, limit=method.count)


def _check_release(work: Work, payment: Payment, portions: Sequence[Portion]) -> None:
    """What is only authorized is released whole, or in part, where the provider does that."""
    amount = sum(p.amount for p in portions if (p.payment, p.kind) == (payment.id, "void"))
    terms = work.ctx.terms.get(payment.connection)
    if not amount or terms is None:
        return
    whole = amount == payment.authorized - payment.voided
    if not (terms.void if whole else terms.release_part):
        raise Refused(Reason.RELEASE_NOT_POSSIBLE, payment=payment.id)


def _past_limit(work: Work, portions: Sequence[Portion]) -> bool:
    """Whether a payment is older than its method is refunded. When it was captured is known to a
    day or so, so a person decides."""
    return any(p.kind == "refund" and past_limit(work, work.payment(p.payment)) for p in portions)


def _ended(refund: Refund) -> bool:
    states = {leg.state for leg in refund.legs if not leg.replaced}
    return states <= {"succeeded", "failed", "canceled"}


def _question(work: Work, request: RefundIn, quote: Quote) -> Question:
    order = work.order
    amount = convert(quote.amount, order.rate)
    actor = work.recorded.actor
    return Question(
        functional_amount=amount,
        reason=request.reason,
        disputed=any(may_take(d) for d in order.disputes),
        past_limit=_past_limit(work, quote.portions),
        outside=next((p.why for p in quote.portions if p.why), ""),
        promotion=quote.rule,
        features=features(order, request, amount, UNKNOWN, UNHEARD, work.now, actor),
    )


def _make(
    work: Work, fact: RefundRequested, quote: Quote, verdict: Verdict, over: tuple[str, ...]
) -> Refund:
    """The refund with its planned legs, reserved; declined ones have none."""
    refund_id = f"rf_{work.recorded.id}"
    declined = verdict.outcome == "decline"
    planned = tuple(
        Leg(
            f"leg_{work.recorded.id}_{n}",
            p.kind,
            p.payment,
            p.amount,
            "planned",
            capture=p.capture,
            failure=p.why,
        )
        for n, p in enumerate(quote.portions, 1)
    )
    said = [refund_id, quote.amount, fact.request.reason, quote.breakdown, quote.portions]
    shown = digest([*said, "statutory"] if fact.request.statutory else said)
    refund = Refund(
        id=refund_id,
        reason=fact.request.reason,
        amount=quote.amount,
        stage="declined" if declined else "review",
        breakdown=quote.breakdown,
        legs=() if declined else planned,
        requested_by=work.recorded.actor,
        created_at=work.now,
        shown=shown,
        verdict=verdict,
        note=fact.note_id,
        takes_over=() if declined else over,
        platform_fee=sellers.mode_of(work, fact.request),
        builds_on=() if declined else quote.builds_on,
        small=small.to_be_held(work, fact.request, quote),
        decide_by=work.now + REVIEW_FOR if verdict.outcome == "review" else 0,
        statutory=fact.request.statutory,
        consent=fact.request.consent,
    )
    work.refund_id = refund_id
    work.change(refunds=(*work.order.refunds, refund))
    for leg in refund.legs:
        reserve(work, leg.id)
    if verdict.outcome == "review":
        set_deadline(work, refund)
    return refund


def approve_all(work: Work, refund_id: str, paid: PaidOutside | None = None) -> None:
    """It leaves, unless it is too small, and what a person has `paid` is booked."""
    claims.take_over(work, refund_id)
    if work.refund(refund_id).small:
        small.hold(work, refund_id)
        return
    refund = work.put_refund(refund_id, stage="active", decide_by=0)
    claims.claim(work, refund_id)
    for leg in refund.legs:
        if paid is not None and leg.kind == "manual":
            pay(work, leg.id, paid)
        else:  # credit is given at once: there is no provider to ask
            legs.decide_leg(work, leg.id, "credited" if leg.kind == "credit" else "approve")


def find(work: Work, refund_id: str) -> Refund:
    """Raises Refused."""
    refund = work.order.refund(refund_id)
    if refund is None:
        raise Refused(Reason.UNKNOWN_REFUND, refund=refund_id)
    work.refund_id = refund_id
    return refund


def _in_review(work: Work, refund_id: str) -> Refund:
    refund = find(work, refund_id)
    if refund.stage != "review":
        raise Refused(
            Reason.WRONG_STATE,
            f"The refund is {shown_state(refund)}; only one in review can be decided.",
            state=shown_state(refund),
        )
    return refund


def approve(work: Work, fact: Approved) -> None:
    """A person says yes to exactly what was shown (I11)."""
    refund = _in_review(work, fact.refund)
    if by_hand(refund):
        raise Refused(
            Reason.WRONG_STATE,
            "Its provider cannot pay this; pay it by other means and say so with `payout`, or "
            "decline it.",
            state=shown_state(refund),
        )
    check_approver(work, refund, fact.shown)
    check_still_there(work, refund)
    work.put_refund(refund.id, decided_by=work.recorded.actor)
    work.finish(deadline_id(refund.id))
    approve_all(work, refund.id)
    work.event("refund.approved", refund=refund.id, amount=refund.amount, shown=refund.shown)


def check_approver(work: Work, refund: Refund, shown: str) -> None:
    """Somebody else than who asked, where that is wanted, and of what was shown. Raises Refused."""
    if work.ctx.policy.second_person and work.recorded.actor == refund.requested_by:
        raise Refused(Reason.SELF_APPROVAL)
    if shown and shown != refund.shown:
        raise Refused(Reason.SHOWN_CHANGED, shown=refund.shown)


def check_still_there(work: Work, refund: Refund) -> None:
    """Neither the money nor what it is for was taken while the refund waited. Raises Refused."""
    for leg in refund.legs:
        short = overdrawn(work.order, refund.id, leg.payment)
        if short:
            raise Refused(
                Reason.EXCEEDS_REMAINING,
                "Money left the payment by others' hand while this waited; decline or cancel it "
                "instead.",
                remaining=max(0, leg.amount - short),
            )
    before = [work.refund(name) for name in refund.takes_over]
    if not all(all_failed(old) or partly_failed(old) for old in before):
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            "What this refund is for was given back by another one meanwhile; decline it instead.",
            remaining=0,
        )
    _check_built_on(work, refund)
    check_right(work.order, refund)


def _check_built_on(work: Work, refund: Refund) -> None:
    """What it was reckoned with was approved, and counts. Raises Refused."""
    others = [work.refund(name) for name in refund.builds_on]
    first = [other.id for other in others if other.stage == "review"]
    if first:
        raise Refused(
            Reason.AMOUNT_CHANGED,
            f"It was reckoned with refunds that are not decided; decide {first} first.",
            refunds=first,
        )
    gone = [other.id for other in others if not counts(other)]
    if gone:
        raise Refused(
            Reason.AMOUNT_CHANGED,
            f"It was reckoned with {gone}, of which nothing is paid now; decline it, and ask for "
            "it anew.",
            refunds=gone,
        )


def reject(work: Work, fact: Rejected) -> None:
    """A person says no; what was reserved is free again."""
    refund = _in_review(work, fact.refund)
    _drop_all(work, refund)
    work.put_refund(refund.id, stage="declined", decided_by=work.recorded.actor, decide_by=0)
    work.event("refund.declined", refund=refund.id, amount=refund.amount)


def cancel(work: Work, fact: Canceled) -> None:
    """Taken back before any byte left; or what failed of it, and is still owed, is given up."""
    refund = find(work, fact.refund)
    _check_no_fallback(work.order, refund)
    amount = refund.amount
    if refund.claimed and all_failed(refund) and not refund.external:
        claims.lapse(work, refund)
    elif partly_failed(refund) and _ended(refund):
        amount = claims.give_up_rest(work, refund.id)
    elif refund.stage == "declined" or any(
        leg.state not in ("planned", "sending") or leg.attempts
        for leg in refund.legs
        if not leg.replaced
    ):
        raise Refused(
            Reason.WRONG_STATE,
            f"The refund is {shown_state(refund)}; what may have left cannot be canceled.",
            state=shown_state(refund),
        )
    else:
        work.put_refund(refund.id, stage="active", decide_by=0)
        _drop_all(work, refund)
        claims.lapse(work, work.refund(refund.id))  # a retry: what failed before it was still owed
    check_not_built_on(work.order, refund)
    work.event("refund.canceled", refund=refund.id, amount=amount)


def _drop_all(work: Work, refund: Refund) -> None:
    work.finish(deadline_id(refund.id))
    for leg in refund.legs:
        if not leg.replaced:
            legs.decide_leg(work, leg.id, "drop")
            legs.kick(work, leg.payment)


def retry(work: Work, fact: Retried) -> None:
    """A failed refund once more: a new leg takes each failed one's place."""
    refund = find(work, fact.refund)
    failed = failed_legs(work, refund)
    for leg in failed:
        kind: LegKind = "refund" if work.payment(leg.payment).captured_peak else leg.kind
        check_methods(work, [Portion(leg.payment, kind, leg.amount)])
        legs.decide_leg(work, again(work, refund.id, leg, kind), "approve")
    claims.claim(work, refund.id)
    work.put_refund(refund.id, decided_by=work.recorded.actor)
    work.event("refund.retried", refund=refund.id, legs=[leg.id for leg in failed])


def _check_no_fallback(order: Order, refund: Refund) -> None:
    if paid_by_fallback(order, refund):
        names = [r.id for r in order.refunds if r.fallback_of == refund.id]
        raise Refused(Reason.FALLBACK_PAYS, fallback=names[-1])


def failed_legs(work: Work, refund: Refund) -> list[Leg]:
    """What failed of a refund and may be paid another time. Raises Refused."""
    failed = [leg for leg in refund.legs if leg.state in FAILED and not leg.replaced]
    elsewhere = covered(work.order)
    if failed and all(leg.id in elsewhere for leg in failed):
        _check_no_fallback(work.order, refund)
    failed = [leg for leg in failed if leg.id not in elsewhere]
    if any(leg.surfaced for leg in failed):
        raise Refused(
            Reason.WRONG_STATE,
            "An earlier attempt of it paid after all and is a refund of its own on the books.",
            state=shown_state(refund),
        )
    if not failed or shown_state(refund) != SHOWN_ORDER[5] or refund.external:
        raise Refused(
            Reason.WRONG_STATE,
            f"The refund is {shown_state(refund)}; only what failed can be paid another time.",
            state=shown_state(refund),
        )
    if not fits(work.order, refund):
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            "What this refund was for was given back by another one meanwhile.",
            remaining=work.order.remaining,
        )
    if not counts(refund):
        check_right(work.order, refund)
    return failed


def again(work: Work, refund_id: str, leg: Leg, kind: LegKind) -> str:
    """Set aside again what a failed leg was to pay, as a new leg; its id. Of which captures, where
    that must be said, is settled when it leaves, by the room they have then. Raises Refused."""
    room = room_of(work.payment(leg.payment))
    if room < leg.amount:
        raise Refused(Reason.EXCEEDS_REMAINING, remaining=room)
    number = len(work.refund(refund_id).legs) + 1
    name = f"{leg.id.rpartition('_')[0]}_{number}"
    fresh = Leg(name, kind, leg.payment, leg.amount, "planned", instead_of=leg.id)
    work.put_leg(leg.id, replaced=True)
    work.put_refund(refund_id, legs=(*work.refund(refund_id).legs, fresh))
    reserve(work, name)
    return name


# -- what shops tell ---------------------------------------------------------------------------


def lines_unavailable(work: Work, fact: LinesUnavailable) -> None:
    """What cannot be delivered is made good at once (edge 21)."""
    work.event("lines.unavailable", lines=[[p.id, p.quantity] for p in fact.lines])
    _request_or_say(work, RefundIn(reason="out_of_stock", lines=fact.lines))


def order_cancelled(work: Work, fact: OrderCancelled) -> None:
    """All that is left goes back; nothing left is nothing to do."""
    if work.order.cancelled:
        return
    work.change(cancelled=True)
    work.event("order.cancelled", reason=fact.reason)
    if work.order.remaining:
        reason = "out_of_stock" if fact.reason == "out_of_stock" else "cancelled"
        _request_or_say(work, RefundIn(reason=reason))  # type: ignore[arg-type]


def _request_or_say(work: Work, request: RefundIn) -> None:
    """The shop's news stands whatever becomes of the refund it asks for."""
    try:
        request_refund(work, RefundRequested(request))
    except Refused as refused:
        refused_event(work, refused.refusal, "RefundRequested")


def refused_event(work: Work, refusal: Refusal, asked: str) -> None:
    """Nothing happened but that it was asked and refused; that is on the trail."""
    work.event(
        "refund.refused",
        reason=str(refusal.reason),
        asked=asked,
        remaining=refusal.extra.get("remaining"),
    )


def unpark(work: Work, fact: Unparked) -> None:
    """A person lets the order go on; the engine then folds what was stored, in order."""
    if not work.order.parked:
        raise Refused(Reason.WRONG_STATE, "The order is not parked.")
    work.change(parked="")  # `stored` goes on counting: what parks again keeps its place
    work.event("order.unparked", why=digest(fact.why) if fact.why else "")


def park(order: Order, recorded: Recorded, why: str, work: Work) -> None:
    """Stop deciding for this order; whatever arrives is stored until a person unparks it."""
    work.order = replace(order, parked=why)
    work.event("order.parked", why=why, fact=recorded.id)
