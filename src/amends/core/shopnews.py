"""What a shop tells of its own orders beside the orders themselves: units it cancelled, and refunds
it made. Both are told as they stand, so that a message told twice, or late, changes nothing."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from amends.core import stock
from amends.core.asks import BY_SHOP, request_or_say
from amends.core.facts import CancelledLine, LinesCancelled, RefundMade, RefundRequested
from amends.core.goods import Cancelled, ShopRefund
from amends.core.left import counts
from amends.core.news import refund_heard
from amends.core.order import Order, Refund
from amends.core.outlets import Goods, LinesReleased
from amends.core.patience import can_look
from amends.core.postings import external
from amends.core.quote import adopted_as
from amends.core.requests import LinePick, RefundIn, RefundReason
from amends.core.rereads import reread
from amends.core.work import Work
from amends.kernel.outcome import RefundState

EXCHANGED = "units_exchanged"  # why a person looks: other goods came in their place


def lines_cancelled(work: Work, fact: LinesCancelled) -> None:
    """What is new in the shop's count is made good, once (edges 21 and 24)."""
    fresh = [one for one in (_fresh(work.order, line) for line in fact.lines) if one]
    if not fresh:
        return
    listed = [[new.id, new.units, new.back] for new in fresh]
    work.event("lines.cancelled", lines=listed, reason=fact.reason)
    for new in fresh:
        _count(work, new)
    _take_back(work, fresh)
    _release(work, fresh)
    _make_good(work, fact.reason, EXCHANGED if fact.exchanged else "")


def _fresh(order: Order, told: CancelledLine) -> CancelledLine | None:
    """What is new in a line's count; None if nothing is, or there is no such line."""
    line = next((line for line in order.lines if line.id == told.id), None)
    if line is None:
        return None
    before = _known(order, told.id)
    units = max(0, min(told.units, line.quantity) - before.units)
    here = max(0, min(told.back, told.units, line.quantity) - before.back)
    return CancelledLine(told.id, units, here) if units or here else None


def _known(order: Order, line: str) -> Cancelled:
    return next((one for one in order.cancelled_lines if one.line == line), Cancelled(line, 0))


def _put(work: Work, changed: Cancelled) -> None:
    others = tuple(one for one in work.order.cancelled_lines if one.line != changed.line)
    work.change(cancelled_lines=(*others, changed))


def _count(work: Work, new: CancelledLine) -> None:
    one = _known(work.order, new.id)
    _put(work, replace(one, units=one.units + new.units, back=one.back + new.back))


def _take_back(work: Work, fresh: list[CancelledLine]) -> None:
    """Units that had left and that the shop has in stock again: a receipt, which it knows of."""
    stock.booked_by_shop(work, [(new.id, new.back) for new in fresh if new.back])


def _release(work: Work, fresh: list[CancelledLine]) -> None:
    """Units that never left: whoever reserved them lets them go; no stock rises."""
    order = work.order
    skus = {line.id: line.sku for line in order.lines}
    goods = tuple(
        Goods(new.id, skus[new.id], new.units - new.back) for new in fresh if new.units > new.back
    )
    if goods:
        counted = sum(one.units for one in order.cancelled_lines)
        work.tell(
            LinesReleased(
                key=f"{order.id}-c{counted}",
                at=work.now,
                entity=order.entity,
                order=order.id,
                shop=order.source.connection,
                shop_order=order.source.order_id,
                lines=goods,
            ),
            but=order.source.connection,
        )


def _make_good(work: Work, reason: RefundReason, question: str) -> None:
    """Ask for the money of what was cancelled and not given back. Units that the shop's own refunds
    name are given back, seen at the provider or not yet; where others were refunded of the line, or
    the shop does not say of what, it may be for the same, so a person looks."""
    order = work.order
    refunded, by_shop = _given_back(order)
    looked_for = [one for one in order.shop_refunds if one.unseen]
    untold = [r for r in order.refunds if r.external and counts(r) and not r.by_shop]
    picks, doubt = [], bool(untold) or not all(made.lines for made in looked_for)
    for one in order.cancelled_lines:
        due = one.units - one.asked
        if due <= 0:
            continue
        total = next(line.quantity for line in order.lines if line.id == one.line)
        paid = max(0, min(due, by_shop[one.line] - max(0, one.asked - refunded[one.line])))
        _put(work, replace(one, asked=one.units))
        left = total - refunded[one.line] - by_shop[one.line]
        if wanted := min(due - paid, left):
            doubt = doubt or refunded[one.line] > one.asked
            picks.append(LinePick(one.line, wanted))
    if picks:
        request = RefundIn(reason=reason, lines=tuple(picks))
        asked = RefundRequested(request, question=question or (BY_SHOP if doubt else ""))
        request_or_say(work, asked)


def _given_back(order: Order) -> tuple[Counter[str], Counter[str]]:
    """Units of each line that were refunded: by us; and by others, seen at the provider or not."""
    ours, others = Counter[str](), Counter[str]()
    for refund in order.refunds:
        if counts(refund):
            (others if refund.external else ours).update(refund.breakdown.units)
    for made in order.shop_refunds:
        if made.unseen:
            others.update({line: units for line, units, _ in made.lines})
    return ours, others


# -- refunds the shop made ---------------------------------------------------------------------


def refund_made(work: Work, fact: RefundMade) -> None:
    """A refund in the shop's books: the echo of ours, or one that is adopted (edge 10)."""
    if any(known.id == fact.refund for known in work.order.shop_refunds):
        return
    ours = fact.mark if work.order.refund(fact.mark) else _made_here(work.order, fact.psp_refund_id)
    lines = tuple((line.id, line.quantity, line.amount) for line in fact.lines)
    known = ShopRefund(fact.refund, fact.amount, ours, "", fact.psp_refund_id, lines)
    work.change(shop_refunds=(*work.order.shop_refunds, known))
    work.event(
        "shop.refunded",
        shop_refund=fact.refund,
        amount=fact.amount,
        refund=ours,
        psp_refund_id=fact.psp_refund_id,
        lines=[[line.id, line.quantity, line.back] for line in fact.lines],
    )
    stock.booked_by_shop(work, [(line.id, line.back) for line in fact.lines if line.back])
    if ours or not fact.amount:
        return
    if fact.currency != work.order.currency:
        why = {"what": "currency_mismatch", "currency": fact.currency}
        work.event("exception.raised", **why, shop_refund=fact.refund)
        return
    _find(work, known)
    _check_beside(work, known)


def _check_beside(work: Work, told: ShopRefund) -> None:
    """Cancelled units that we have refunded, and that the shop names in a refund of its own: where
    the cancellation was told first nobody could know, so a person looks whether both have paid."""
    ours, by_shop = _given_back(work.order)
    for line, _, _ in told.lines:
        cancelled = _known(work.order, line).units
        if cancelled and ours[line] and ours[line] + by_shop[line] > cancelled:
            why = {"what": "refunded_beside", "shop_refund": told.id, "line": line}
            work.event("exception.raised", **why)


def _find(work: Work, told: ShopRefund) -> None:
    """The money of it: seen at the provider already, to be looked for there, or, where nothing can
    be looked up, as the shop says if it knows the provider's name of it. Without that the
    provider's own news could not be told from a second refund: a person is told."""
    explain(work)
    if next(one for one in work.order.shop_refunds if one.id == told.id).refund:
        return
    paid = [payment for payment in work.order.payments if payment.is_money]
    for payment in (one for one in paid if can_look(work, one.id)):
        reread(work, payment.id)
    blind = [payment for payment in paid if not can_look(work, payment.id)]
    if len(paid) == 1 and blind and told.psp_refund_id:
        state = RefundState(told.psp_refund_id, "succeeded", told.amount, work.order.currency)
        refund_heard(work, blind[0].id, state)
        explain(work)
    elif blind or not paid:
        work.event("exception.raised", what="shop_refund_unseen", shop_refund=told.id)


def explain(work: Work) -> None:
    """Refunds by others that the shop has told the lines of are for those lines, whichever news
    came first; so is one of ours that it knows only by the provider's name."""
    taken = {one.refund for one in work.order.shop_refunds}
    for told in work.order.shop_refunds:
        if not told.unseen:
            continue
        if ours := _made_here(work.order, told.psp_refund_id):
            others = tuple(one for one in work.order.shop_refunds if one.id != told.id)
            work.change(shop_refunds=(*others, replace(told, ours=ours)))
            continue
        found = next((r for r in work.order.refunds if _is(r, told) and r.id not in taken), None)
        if found is None:
            continue
        taken.add(found.id)
        others = tuple(one for one in work.order.shop_refunds if one.id != told.id)
        work.change(shop_refunds=(*others, replace(told, refund=found.id)))
        if told.lines:
            _allocate(work, found, told)


def _made_here(order: Order, name: str) -> str:
    """The refund of ours that the provider calls so, "" if none is: a shop that cannot keep our
    mark may still say that name, and its echo would be taken for a second refund."""
    made = ((r.id, leg) for r in order.refunds if not r.external for leg in r.legs)
    return next((refund for refund, leg in made if name and leg.psp_refund_id == name), "")


def _is(refund: Refund, told: ShopRefund) -> bool:
    if not (refund.external and counts(refund)) or refund.attempt_of:
        return False
    if told.psp_refund_id and any(leg.psp_refund_id == told.psp_refund_id for leg in refund.legs):
        return True
    return refund.amount == told.amount and not told.psp_refund_id


def _allocate(work: Work, refund: Refund, told: ShopRefund) -> None:
    parts = adopted_as(work.order, refund.amount, told.lines, refund.id)
    if parts == refund.breakdown:
        work.put_refund(refund.id, by_shop=True)
        return
    (leg,) = refund.legs
    after = work.put_refund(refund.id, breakdown=parts, by_shop=True)
    if leg.paid_at:
        work.book(external(work.order, refund, leg, work.now, back=True), refund)
        work.book(external(work.order, after, leg, work.now))
    work.event("refund.reallocated", refund=refund.id, shop_refund=told.id)
