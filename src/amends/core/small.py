"""Amounts too small to be worth a movement of money: held until those of an order come to enough,
or given as store credit where the customer agreed to that.

What is held is set aside and on the books as a claim like any other; nothing of it has left. Once
what an order holds comes to the minimum, or nothing else of the order is left that could follow,
one refund pays it all: it has the parts of all of them and takes the place of their claims.
"""

from __future__ import annotations

from collections import Counter
from functools import reduce

from msgspec.structs import replace

from amends.core import claims, legs
from amends.core.amounts import Amounts
from amends.core.caps import together
from amends.core.effects import Effect, deadline_id
from amends.core.facts import PaidOutside
from amends.core.holds import reserve
from amends.core.order import Leg, LegKind, Order, Refund, may_take, room_of, taken
from amends.core.outside import pay
from amends.core.policy import higher
from amends.core.quote import Quote, by_wish, least, rest_of
from amends.core.requests import RefundIn
from amends.core.reviews import tell_requested
from amends.core.shares import Breakdown
from amends.core.stops import LOOK_AGAIN, stopped
from amends.core.work import Work
from amends.kernel.canon import digest
from amends.kernel.ids import derived, tail


def _is_small(order: Order, request: RefundIn, amounts: Amounts, quote: Quote) -> bool:
    """Below the minimum, and neither all that is left nor owed at once."""
    kinds = {portion.kind for portion in quote.portions}
    money = "refund" in kinds and kinds <= {"refund", "credit"}
    named = {portion.payment for portion in quote.portions} if request.payment else None
    room = sum(room_of(p) for p in order.payments if named is None or p.id in named)
    below = quote.amount < least(order, amounts) and money and by_wish(request)
    return below and quote.amount < rest_of(order, request, room)


def credited(work: Work, request: RefundIn, quote: Quote) -> Quote:
    """A small amount as store credit where the policy says so and the customer agreed."""
    amounts = work.ctx.policy.amounts
    wanted = amounts.below_minimum == "credit" and request.consent
    if not wanted or not _is_small(work.order, request, amounts, quote):
        return quote
    portions = tuple(replace(portion, kind="credit") for portion in quote.portions)
    return replace(quote, portions=portions, hash=digest([quote.hash, portions]))


def to_be_held(work: Work, request: RefundIn, quote: Quote) -> bool:
    """Whether a refund is held once it is approved."""
    amounts = work.ctx.policy.amounts
    return amounts.below_minimum == "hold" and _is_small(work.order, request, amounts, quote)


def hold(work: Work, refund_id: str) -> None:
    """It is owed from now on, and waits."""
    work.put_refund(refund_id, stage="held", decide_by=0)
    claims.claim(work, refund_id)


def pay_by_hand(work: Work, refund: Refund, fact: PaidOutside) -> list[str]:
    """A person does not wait for more; what was paid, by leg."""
    work.put_refund(refund.id, stage="active")
    for leg in refund.legs:
        if leg.kind == "credit":
            legs.decide_leg(work, leg.id, "credited")
        else:
            pay(work, leg.id, fact)
    return [leg.id for leg in refund.legs if leg.kind != "credit"]


def pay_out(work: Work) -> None:
    """One refund for all that is held and nobody else has taken, if that is enough, or nothing else
    is left to come; once no stop holds it."""
    order = work.order
    held = _there(order)
    amount = sum(refund.amount for refund in held)
    if not held or (
        amount < least(order, work.ctx.policy.amounts)
        and rest_of(order, RefundIn(), order.remaining)
    ):
        return
    if stopped(work.ctx.stops, order):
        again = deadline_id(held[-1].id)
        work.effect(Effect(again, order.id, "deadline", "", "", work.now + LOOK_AGAIN))
        return
    made = _combined(work, held)
    for refund in held:
        work.finish(deadline_id(refund.id))
        for leg in refund.legs:
            legs.decide_leg(work, leg.id, "drop")
        work.put_refund(refund.id, stage="combined", combined_in=made.id)
        work.event("refund.superseded", refund=refund.id, by=made.id, amount=refund.amount)
    work.change(refunds=(*work.order.refunds, made))
    for leg in made.legs:
        reserve(work, leg.id)
    claims.claim(work, made.id)
    for leg in made.legs:
        legs.decide_leg(work, leg.id, "credited" if leg.kind == "credit" else "approve")
    tell_requested(work, made.id)


def _there(order: Order) -> list[Refund]:
    """What is held and can be paid: nothing of a payment that a dispute may take, or of which so
    much left by others' hand that not all that is set aside is there; a person sees to that."""
    short = {payment.id for payment in order.payments if taken(payment) > payment.captured}
    short |= {dispute.payment for dispute in order.disputes if may_take(dispute)}
    held = (refund for refund in order.refunds if refund.stage == "held")
    return [refund for refund in held if not any(leg.payment in short for leg in refund.legs)]


def _combined(work: Work, held: list[Refund]) -> Refund:
    refund_id = derived("rf", *(refund.id for refund in held))
    sums: Counter[tuple[str, str, LegKind]] = Counter()
    for leg in (leg for refund in held for leg in refund.legs):
        sums[(leg.payment, leg.capture, leg.kind)] += leg.amount
    planned = tuple(
        Leg(f"leg_{tail(refund_id)}_{n}", kind, payment, amount, "planned", capture=capture)
        for n, ((payment, capture, kind), amount) in enumerate(sums.items(), 1)
    )
    parts = _together(held)
    amount = sum(refund.amount for refund in held)
    last = held[-1]
    return replace(
        last,
        id=refund_id,
        amount=amount,
        stage="active",
        breakdown=parts,
        legs=planned,
        requested_by=work.recorded.actor,
        takes_over=tuple(name for refund in held for name in refund.takes_over),
        consent=last.consent if all(refund.consent for refund in held) else "",
        created_at=work.now,
        shown=digest([refund_id, amount, last.reason, parts]),
        claimed=0,
        note="",
        small=False,
        approver=reduce(higher, (refund.approver for refund in held)),
        second_person=any(refund.second_person for refund in held),
        draws=together(draw for refund in held for draw in refund.draws),
        drew=(),
    )


def _together(held: list[Refund]) -> Breakdown:
    """The parts of all; a line that came back for another reason than the last one's says its."""
    parts = [refund.breakdown for refund in held]
    last = held[-1].reason
    lines = tuple(
        x if refund.reason == last else replace(x, reason=refund.reason)
        for refund in held
        for x in refund.breakdown.lines
    )
    return Breakdown(
        lines,
        tuple(x for one in parts for x in one.shipping),
        sum(one.unallocated for one in parts),
        tuple(x for one in parts for x in one.charges),
        tuple(x for one in parts for x in one.fees),
        tuple(x for one in parts for x in one.lost),
        sum(one.compensation for one in parts),
        tuple(x for one in parts for x in one.unused),
    )
