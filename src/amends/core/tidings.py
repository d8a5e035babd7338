"""What a decision means to others: to the order's shop, in which a refund that was paid here is
recorded once; to whoever grants access, which ends with its money; and to the customer.

A refund is recorded when its provider has taken it up: from then on the shop must not make it
again. One that fails after all stays in the shop's books, which have no way back; a person is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from amends.core.notices import notices
from amends.core.order import FAILED, Leg, Order, Refund, shown_state
from amends.core.outlets import (
    AccessChanged,
    Goods,
    PaidBack,
    RefundedPart,
    RefundRecorded,
    Telling,
)
from amends.core.work import Work

_TAKEN = ("pending", "succeeded")


def tell(work: Work, before: Order) -> None:
    """Whatever is news for them in what a decision changed."""
    if not work.ctx.outlets:
        return
    known = {refund.id: refund for refund in before.refunds}
    for refund in work.order.refunds:
        if known.get(refund.id) is not refund:
            _recorded(work, refund)
            _access(work, refund)
    for notice in notices(before, work.order, work.now):
        work.tell(notice)


def _mark(work: Work, refund: Refund, what: str) -> None:
    work.put_refund(refund.id, told=(*work.refund(refund.id).told, what))


def _recorded(work: Work, refund: Refund) -> None:
    """The shop hears of it when all of it was taken up, or the rest has failed; of what others made
    the shop may know, and a fallback pays what is recorded already."""
    if refund.external or refund.stage != "active":
        return
    legs = [leg for leg in refund.legs if not leg.replaced and leg.kind != "void"]
    whole = "recorded" in refund.told
    failed = any(leg.state in FAILED and (whole or leg.id in refund.told) for leg in legs)
    if failed and "recorded_failed" not in refund.told:
        _mark(work, refund, "recorded_failed")
        work.event("exception.raised", what="recorded_failed", refund=refund.id)
    if whole:
        return
    first = work.order.refund(refund.fallback_of) if refund.fallback_of else None
    if first is not None and "recorded" in first.told:
        return
    taken = [leg for leg in legs if leg.state in _TAKEN and leg.id not in refund.told]
    fresh = [leg for leg in taken if not _stands_for(refund, leg)]
    for leg in taken:
        if leg not in fresh:
            _mark(work, refund, leg.id)
    rest = [leg for leg in legs if leg.state not in _TAKEN]
    if legs and not rest:
        _mark(work, refund, "recorded")
    elif not fresh or any(leg.state not in FAILED for leg in rest):
        return
    if not fresh:
        return
    part = len(fresh) < len(legs)
    for leg in fresh if part else ():
        _mark(work, refund, leg.id)
    work.tell(_record(work, refund, fresh, part))


def _stands_for(refund: Refund, leg: Leg) -> bool:
    """Whether it pays anew what the shop has recorded already: of one that failed later on."""
    known = {one.id: one for one in refund.legs}
    while leg.instead_of in known:
        leg = known[leg.instead_of]
        if leg.id in refund.told:
            return True
    return False


def _record(work: Work, refund: Refund, legs: list[Leg], part: bool) -> RefundRecorded:
    """A `part` of a refund, the rest of which failed so far, is an amount of no lines."""
    order = work.order
    amount = sum(leg.amount for leg in legs)
    lines = (RefundedPart("other", "", 0, amount),) if part else tuple(_parts(order, refund))
    return RefundRecorded(
        key=f"{refund.id}-{legs[0].id}" if part else refund.id,
        at=work.now,
        entity=order.entity,
        order=order.id,
        shop=order.source.connection,
        shop_order=order.source.order_id,
        refund=refund.id,
        amount=amount,
        currency=order.currency,
        reason=refund.reason,
        parts=lines,
        paid=tuple(_paid(order, leg) for leg in legs),
    )


def _paid(order: Order, leg: Leg) -> PaidBack:
    payment = order.payment(leg.payment)
    name = payment.psp_payment_id
    return PaidBack(payment.connection, name, leg.psp_refund_id, leg.amount, leg.kind)


def _parts(order: Order, refund: Refund) -> Iterator[RefundedPart]:
    skus = {line.id: line.sku for line in order.lines}
    parts = refund.breakdown
    for part in parts.lines:
        sku = skus.get(part.id, "")
        yield RefundedPart("line", part.id, part.quantity, part.net, part.tax, sku)
    for part in parts.shipping:
        yield RefundedPart("shipping", part.id, 0, part.net, part.tax)
    for part in parts.charges:
        yield RefundedPart("charge", part.id, 0, part.net, part.tax)
    if rest := parts.unallocated + parts.compensation - sum(held.gross for held in parts.held):
        yield RefundedPart("other", "", 0, rest)


def _access(work: Work, refund: Refund) -> None:
    """Licences, files and seats end when their refund leaves, and are there again if it fails."""
    access = {line.id: line for line in work.order.lines if line.access}
    lines = tuple(
        Goods(name, access[name].sku, units)
        for name, units in refund.breakdown.units.items()
        if name in access and units
    )
    if not lines or refund.fallback_of:
        return
    given = [mark for mark in refund.told if mark in ("revoked", "granted")]
    revoked = given[-1:] == ["revoked"]
    ended = refund.external or refund.stage == "active"
    ended = ended and shown_state(refund) not in ("failed", "canceled")
    if ended != revoked:
        _mark(work, refund, "revoked" if ended else "granted")
        work.tell(_changed(work, refund, lines, granted=not ended, nth=len(given) + 1))


def _changed(
    work: Work, refund: Refund, lines: tuple[Goods, ...], granted: bool, nth: int
) -> Telling:
    order = work.order
    return AccessChanged(
        key=f"{refund.id}-a{nth}",
        at=work.now,
        entity=order.entity,
        order=order.id,
        shop=order.source.connection,
        shop_order=order.source.order_id,
        refund=refund.id,
        lines=lines,
        granted=granted,
    )
