"""What a customer is told of their refunds, and when: once for each thing that happens to them,
whatever is told again. Names and addresses are not known here (invariant I15).

Nothing is told of refunds that others made, who tell by themselves, nor where the reason is fraud:
whoever reads the order's mail may not be who paid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from amends.core.order import FAILED, Leg, Order, Refund, shown_state
from amends.core.outlets import Notice
from amends.kernel.time import Instant

What = Literal[
    "refund_sent",  # the provider has taken it up
    "refund_succeeded",  # it is paid
    "hold_released",  # an authorization: nothing was or will be charged
    "credit_given",  # as store credit or on a gift card
    "refund_failed",  # it was told to be on its way, and is not: somebody looks after it
    "declined",
    "awaiting_return",  # granted, once the goods are back
    "goods_received",
    "out_of_stock",  # what was bought cannot be delivered, and the money goes back
    "out_of_stock_uncharged",  # ... and was never taken
]
WHATS: tuple[What, ...] = get_args(What)

_TAKEN = ("pending", "succeeded")
_GROUPS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("refund", "reversal", "manual"), "refund"),
    (("void",), "hold_released"),
    (("credit",), "credit_given"),
)


def notices(before: Order | None, order: Order, now: Instant) -> tuple[Notice, ...]:
    """What became of the order's refunds between `before` and `order`, for its customer."""
    if not order.customer:
        return ()
    known = {r.id: r for r in before.refunds} if before else {}
    # One that is declined as another begins was approved for less.
    replaced = any(r.id not in known for r in order.refunds)
    found: list[Notice] = []
    for refund in order.refunds:
        was = known.get(refund.id)
        if was is not refund and not refund.external and refund.reason != "fraud":
            found += _of_refund(order, was, refund, now, replaced and was is not None)
    return tuple(found)


def _of_refund(
    order: Order, was: Refund | None, refund: Refund, now: Instant, replaced: bool
) -> Iterator[Notice]:
    state, earlier = shown_state(refund), shown_state(was) if was else ""
    ended = state in ("declined", "awaiting_return") and state != earlier
    if ended and not replaced and not refund.fallback_of:
        yield _notice(order, refund, state, now)
    if earlier == "awaiting_return" and state != earlier and state != "declined":
        yield _notice(order, refund, "goods_received", now)
    starts = refund.stage == "active" and (was is None or was.stage == "review")
    missing = refund.reason == "out_of_stock" and not refund.fallback_of
    if starts and missing:
        held = all(leg.kind == "void" for leg in refund.legs)
        what = "out_of_stock_uncharged" if held else "out_of_stock"
        yield _notice(order, refund, what, now)
    for kinds, what in _GROUPS:
        legs = _live(refund, kinds)
        old = {leg.id: leg for leg in _live(was, kinds)} if was else {}
        if legs and not (missing and what == "hold_released"):
            yield from _of_legs(order, refund, what, legs, old, now)


def _live(refund: Refund, kinds: tuple[str, ...]) -> list[Leg]:
    return [leg for leg in refund.legs if leg.kind in kinds and not leg.replaced]


def _of_legs(
    order: Order, refund: Refund, what: str, legs: list[Leg], old: dict[str, Leg], now: Instant
) -> Iterator[Notice]:
    """One word for all movements of a kind, when the last of them has been taken up; and one when
    the first of those comes undone."""
    taken = _TAKEN if what == "refund" else ("succeeded",)
    before = [old[leg.id] for leg in legs if leg.id in old]
    told = len(before) == len(legs) and all(leg.state in taken for leg in before)
    if not told and all(leg.state in taken for leg in legs):
        paid = all(leg.state == "succeeded" for leg in legs)
        name = what if what != "refund" else "refund_succeeded" if paid else "refund_sent"
        yield _notice(order, refund, name, now, legs)
    elif told and what == "refund":
        lost = [leg for leg in legs if leg.state in FAILED]
        if lost and not any(leg.state in FAILED for leg in before):
            yield _notice(order, refund, "refund_failed", now, lost)


def _notice(
    order: Order, refund: Refund, what: str, now: Instant, legs: list[Leg] | None = None
) -> Notice:
    """`key` names the attempt, so that what is tried again after a failure is told again."""
    of = legs[0] if legs else None
    titles = {line.id: line.title or line.sku for line in order.lines}
    parts = refund.breakdown.lines
    payment = order.payment(of.payment) if of else None
    money = payment is not None and payment.is_money
    known = [leg.expected for leg in legs or () if leg.expected]
    firsts, lasts = [days[0] for days in known], [days[-1] for days in known]
    return Notice(
        key=f"{of.key if of else refund.id}-{what}",
        at=now,
        entity=order.entity,
        order=order.id,
        shop=order.source.connection,
        shop_order=order.source.order_id,
        customer=order.customer,
        refund=refund.id,
        what=what,
        reason=refund.reason,
        amount=sum(leg.amount for leg in legs) if legs else refund.amount,
        currency=order.currency,
        expected=(min(firsts), max(lasts)) if legs and len(known) == len(legs) else (),
        items=tuple((p.quantity, titles[p.id]) for p in parts if p.quantity and titles.get(p.id)),
        way=(payment.method if money else payment.kind) if payment else "",
        reference=next((leg.bank_reference for leg in legs or () if leg.bank_reference), ""),
    )
