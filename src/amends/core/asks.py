"""Requests: what somebody wants of an order. Refusals raise `Refused`; nothing is changed then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from amends.core import claims, legs, sellers, small
from amends.core.amounts import NO_ROW, RowAmounts
from amends.core.caps import drawn
from amends.core.captures import refunds_made
from amends.core.effects import deadline_id
from amends.core.facts import (
    LinesUnavailable,
    OrderCancelled,
    PaidOutside,
    Recorded,
    RefundRequested,
    Unparked,
)
from amends.core.fields import NAMES
from amends.core.heard import payment_of
from amends.core.history import Draw, Judged
from amends.core.holds import reserve
from amends.core.left import left_over, paid_by_fallback, still_owed, taken_over, unclaimed
from amends.core.order import (
    Leg,
    Order,
    Payment,
    Refund,
    Verdict,
    all_failed,
    partly_failed,
    shown_state,
)
from amends.core.outside import method_of, pay, set_apart
from amends.core.policy import Outcome, Row, Seen, judge
from amends.core.quote import Portion, Quote, basis_of, changed, compute
from amends.core.reasons import Reason, Refusal, Refused
from amends.core.requests import LinePick, RefundIn
from amends.core.reviews import RECEIPT_FOR, REVIEW_FOR, set_deadline, tell_requested
from amends.core.risk import Features, texts
from amends.core.seen import goods_state, seen
from amends.core.stock import shipped
from amends.core.tallies import tell_asked
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
        found = weigh(work, request, fact.question)
    except Refused as refused:
        if fact.quote_hash and (refused.refusal.reason in _LEFT or _changed(work, fact)[0]):
            raise _stale(work, fact, refused.refusal.extra) from refused
        raise
    if fact.quote_hash and fact.quote_hash != found.quote.hash:
        raise _stale(work, fact, {})
    found, draws = _reserved(work, found)
    verdict, row = found.verdict, found.row
    waits = verdict.outcome == "approve" and row is not None and row.waits
    waits = waits and _not_back(work, found)
    refund = make(work, fact, found.quote, found.over, verdict, row, waits, draws)
    tell_asked(work, refund.amount, request.reason)
    if found.verdict.outcome == "approve" and not refund.awaits:
        approve_all(work, refund.id)
    tell_requested(work, refund.id, fact.note_hash, keep(work, refund, found))


def _not_back(work: Work, found: Weighed) -> bool:
    """Whether units are to come back as far as the row waits for."""
    so_far = found.row.so_far if found.row is not None else ""
    if not so_far:
        return found.seen.values["goods.state"] in ("awaited", "part")
    reason = str(found.seen.values["refund.reason"])
    units = found.quote.breakdown.units
    state = goods_state(work.order, reason, units, shipped(work.order), so_far=so_far)
    return state in ("awaited", "part")


def _json(values: Sequence[Any]) -> str:
    return msgspec.json.encode(values).decode()


class Weighed(NamedTuple):
    """What a request comes to, and what the policy says of it; `row` is the one whose options
    count."""

    quote: Quote
    over: tuple[str, ...]
    verdict: Verdict
    row: Row | None
    seen: Seen
    features: Features
    asked: int  # before what the row keeps back


def weigh(work: Work, request: RefundIn, question: str = "") -> Weighed:
    """Quote and judge. What the deciding row keeps back is taken off then: it is judged by what was
    asked for. `question`: a person looks, whatever the policy says. Raises Refused."""
    quote, over = quoted(work, request)
    asked = quote.amount
    see, features = seen(work, request, quote, question)
    verdict, row = judge(see, work.ctx.policy_for(work.order.placed_at))
    if row is not None and (less := _row_amounts(row)) != NO_ROW and not request.statutory:
        try:
            quote, over = quoted(work, request, less)
        except Refused as refused:  # by the row, and not by what was asked for: that has its quote
            verdict = _not_kept(verdict, row, refused)
    if row is not None and row.store_credit_first and not request.statutory:
        quote, verdict = _as_credit(request, quote, verdict)
    if verdict.outcome != "approve":
        verdict = replace(verdict, reasons=_explained(work, verdict, see, features))
    return Weighed(quote, over, verdict, row, see, features, asked)


def _not_kept(verdict: Verdict, row: Row, refused: Refused) -> Verdict:
    """A person looks at all that was asked for where the row keeps back what cannot be."""
    said = refused.refusal.detail.partition(". ")[0]  # the rest is for who asks
    reasons = (f"row {row.id!r}: {said}", *verdict.reasons)
    return replace(verdict, outcome="review", code="not_kept_back", says="", reasons=reasons)


def _row_amounts(row: Row) -> RowAmounts:
    return RowAmounts(row.restocking_bp, tuple(sorted(row.fee.items())), row.partial_bp)


def _as_credit(request: RefundIn, quote: Quote, verdict: Verdict) -> tuple[Quote, Verdict]:
    """As store credit where the customer took that; else a person asks (ADR 0006)."""
    if not request.consent:
        asked = verdict.outcome == "approve"
        return quote, replace(verdict, outcome="review", code="needs_consent") if asked else verdict
    return as_credit(quote), verdict


def as_credit(quote: Quote) -> Quote:
    """The same quote, with store credit for what providers would pay."""
    portions = tuple(replace(p, kind="credit") if p.kind == "refund" else p for p in quote.portions)
    return replace(quote, portions=portions, hash=digest([quote.hash, portions]))


def _explained(work: Work, verdict: Verdict, see: Seen, features: Features) -> tuple[str, ...]:
    """The reasons, with what made the score where that was not reckoned yet."""
    own = verdict.reasons[: len(verdict.reasons) - len(texts(see.score))]
    return (*own, *texts(work.ctx.scorer.explain(features)))


def _reserved(work: Work, found: Weighed) -> tuple[Weighed, tuple[Draw, ...]]:
    """What an approval draws of the caps its row names; where one has not so much left, a person
    looks, or it is declined as the cap says."""
    row, verdict = found.row, found.verdict
    if row is None or not row.caps or verdict.outcome != "approve":
        return found, ()
    policy = work.ctx.policy_for(work.order.placed_at)
    draws, full = drawn(work, policy, row, found.quote.amount)
    if not full:
        return found, draws
    declined = policy.table.document.caps[full].over == "decline" and not found.seen.statutory
    outcome: Outcome = "decline" if declined else "review"
    verdict = replace(verdict, outcome=outcome, rule=full, code="cap_exceeded", says="")
    return found._replace(verdict=verdict), ()


def _stale(work: Work, fact: RefundRequested, extra: dict[str, Any]) -> Refused:
    """That a quote no longer holds, and what changed."""
    names, sentence = _changed(work, fact)
    return Refused(Reason.QUOTE_STALE, sentence, **extra, changed=names)


def _changed(work: Work, fact: RefundRequested) -> tuple[list[str], str]:
    version = work.ctx.policy_for(work.order.placed_at).version
    return changed(fact.quote_basis, basis_of(work.order, version))


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


def quoted(
    work: Work, request: RefundIn, row: RowAmounts = NO_ROW
) -> tuple[Quote, tuple[str, ...]]:
    """The quote, less what a `row` of the policy keeps back, and the failed refunds whose standing
    claim it takes over because it needs their room: after a late failure the claim stands, but the
    money is back and may be asked for again; or because it needs their lines, where nobody is owed
    what failed. Nothing is given up before the refund is approved."""
    if request.currency not in (None, work.order.currency):
        raise Refused(
            Reason.OTHER_CURRENCY,
            f"The order is in {work.order.currency}; a refund is paid in that currency.",
            pointer="/currency",
        )
    order = work.order
    only = _payment_named(order, request) if request.payment is not None else ""
    steps, split = multiples(work), _by_capture(work)
    amounts = work.ctx.policy.amounts
    if row != NO_ROW:
        amounts = replace(amounts, row=row)
    given = taken_over(order)
    over = tuple(
        refund.id
        for refund in order.refunds
        if ((refund.claimed and all_failed(refund)) or partly_failed(refund))
        and refund.id not in given
        and not paid_by_fallback(order, refund)
    )
    quote = compute(order, request, only, over, steps, split, amounts)
    for spared in (over, *((name,) for name in over)):  # none of them, if that will do
        fewer = tuple(name for name in over if name not in spared)
        if fewer == over:
            continue
        try:
            beside = compute(order, request, only, fewer, steps, split, amounts)
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


def multiples(work: Work) -> dict[str, int]:
    """Of what a payment's refunds must be multiples, by payment."""
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


def make(
    work: Work,
    fact: RefundRequested,
    quote: Quote,
    over: tuple[str, ...],
    verdict: Verdict,
    row: Row | None = None,
    waits: bool = False,
    draws: tuple[Draw, ...] = (),
) -> Refund:
    """The refund with its planned legs, reserved; declined ones have none. `waits`: it is approved
    once its goods are back."""
    refund_id = f"rf_{work.recorded.id}"
    declined = verdict.outcome == "decline"
    looks = row if row is not None and row.outcome == "review" else None
    patience = RECEIPT_FOR if waits else REVIEW_FOR
    planned = tuple(
        Leg(
            f"leg_{work.recorded.id}_{n}",
            p.kind,
            p.payment,
            p.amount,
            "planned",
            capture=p.capture,
            failure=p.why,
            destination="store_credit" if _instead(work, p) else "",
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
        decide_by=work.now + patience if waits or verdict.outcome == "review" else 0,
        statutory=fact.request.statutory,
        consent=fact.request.consent,
        awaits=waits,
        awaits_for=row.so_far if waits and row is not None else "",
        returnless=verdict.outcome == "approve" and row is not None and row.returnless,
        approver=(looks.approver or "") if looks else "",
        second_person=looks.second_person if looks else False,
        draws=draws,
    )
    work.refund_id = refund_id
    work.change(refunds=(*work.order.refunds, refund))
    for leg in refund.legs:
        reserve(work, leg.id)
    if refund.decide_by:
        set_deadline(work, refund)
    return refund


def _instead(work: Work, portion: Portion) -> bool:
    return portion.kind == "credit" and work.payment(portion.payment).is_money


def keep(work: Work, refund: Refund, found: Weighed) -> str:
    """The judgement as it was made, for replay and training; its hash, for the trail."""
    ctx, see, verdict = work.ctx, found.seen, found.verdict
    shadows = [
        [shadow.version, ruled.verdict.rule, ruled.verdict.outcome]
        for shadow, ruled in ((shadow, judge(see, shadow)) for shadow in ctx.shadows)
    ]
    if rival := ctx.scorer.beside(found.features):
        shadows.append(["model", rival.model, str(rival.score_bp)])
    judged = Judged(
        work.order.id,
        refund.id,
        work.now,
        verdict.policy,
        verdict.rule,
        verdict.outcome,
        verdict.score_bp,
        verdict.model,
        convert(found.asked, work.order.rate),
        _json([see.values[name] for name in NAMES]),
        _json(msgspec.structs.astuple(found.features)),
        _json(shadows) if shadows else "[]",
        verdict.rows,
        see.statutory,
    )
    work.judged.append(judged)
    return digest([judged.fields, judged.features])


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


def in_review(work: Work, refund_id: str) -> Refund:
    refund = find(work, refund_id)
    if refund.stage != "review":
        raise Refused(
            Reason.WRONG_STATE,
            f"The refund is {shown_state(refund)}; only one in review can be decided.",
            state=shown_state(refund),
        )
    return refund


def ended(refund: Refund) -> bool:
    states = {leg.state for leg in refund.legs if not leg.replaced}
    return states <= {"succeeded", "failed", "canceled"}


def drop_all(work: Work, refund: Refund) -> None:
    """Nothing of it leaves: its legs are dropped, and whoever waited for their payments goes on."""
    work.finish(deadline_id(refund.id))
    for leg in refund.legs:
        if not leg.replaced:
            legs.decide_leg(work, leg.id, "drop")
            legs.kick(work, leg.payment)


# -- what shops tell ---------------------------------------------------------------------------


BY_SHOP = "units_refunded_before"  # why a person looks at what a shop says of its lines


def lines_unavailable(work: Work, fact: LinesUnavailable) -> None:
    """What cannot be delivered is made good at once (edge 21)."""
    lines = (*fact.lines, *_unsent(work.order, fact.skus))
    work.event("lines.unavailable", lines=[[p.id, p.quantity] for p in lines])
    if lines:  # without one it would be a request for all that is left
        cancelled = {one.line for one in work.order.cancelled_lines if one.asked}
        doubt = any(pick.id in cancelled for pick in fact.lines)  # it may be news of the same units
        request = RefundIn(reason="out_of_stock", lines=lines)
        request_or_say(work, RefundRequested(request, question=BY_SHOP if doubt else ""))


def _unsent(order: Order, skus: Sequence[str]) -> Iterator[LinePick]:
    """Units of these SKUs that have not left and were not given back; what was, is taken to be of
    those first."""
    left = left_over(order).lines
    for line in (line for line in order.lines if line.sku and line.sku in skus):
        units = left[line.id].quantity - line.fulfilled
        if units > 0:
            yield LinePick(line.id, units)


def order_cancelled(work: Work, fact: OrderCancelled) -> None:
    """All that is left goes back; nothing left is nothing to do."""
    if work.order.cancelled:
        return
    work.change(cancelled=True)
    work.event("order.cancelled", reason=fact.reason)
    if work.order.remaining:
        reason = "out_of_stock" if fact.reason == "out_of_stock" else "cancelled"
        request = RefundIn(reason=reason)  # type: ignore[arg-type]
        unseen = any(one.unseen for one in work.order.shop_refunds)
        request_or_say(work, RefundRequested(request, question=BY_SHOP if unseen else ""))


def request_or_say(work: Work, asked: RefundRequested) -> None:
    """The shop's news stands whatever becomes of the refund it asks for."""
    try:
        request_refund(work, asked)
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
