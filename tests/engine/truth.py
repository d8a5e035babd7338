"""The independent check: what our rows say against what the provider did. Plain data in, sentences
out, one for everything that must never be; shared by the laboratory and by the chaos runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from amends.core.order import Leg, Order, Payment

GONE = ("failed", "canceled")
Movement = Mapping[str, Any]


def violations(orders: Iterable[Order], movements: Iterable[Movement]) -> list[str]:
    """Compare every leg of every order with the provider's movements of its payment."""
    by_payment: dict[str, list[Movement]] = defaultdict(list)
    for movement in movements:
        by_payment[movement["psp_payment_id"]].append(movement)
    found: list[str] = []
    for order in orders:
        for payment in order.payments:
            found += _payment(order, payment, by_payment[payment.psp_payment_id])
    return found


def _payment(order: Order, payment: Payment, made: list[Movement]) -> list[str]:
    legs = [g for r in order.refunds for g in r.legs if g.payment == payment.id]
    known = {g.psp_refund_id for g in legs if g.psp_refund_id}
    found = [problem for g in legs for problem in _leg(g, made)]
    live = [m for m in made if m["kind"] == "refund" and m["status"] not in GONE]
    if payment.captured_peak:
        found += [
            f"{m['psp_refund_id']} on {payment.psp_payment_id} is in no row of ours"
            for m in live
            if m["psp_refund_id"] not in known
        ]
    total = sum(m["amount"] for m in live)
    if payment.captured_peak and total > payment.captured_peak:
        found.append(f"{total} left {payment.psp_payment_id}, {payment.captured_peak} was taken")
    ours = [g for g in legs if g.kind == "refund" and not g.outside]
    for field, states in (("refunded_ours", ("succeeded",)), ("pending_ours", _OPEN)):
        rows = sum(g.amount for g in ours if g.state in states)
        if rows != getattr(payment, field):
            found.append(f"{payment.id}.{field} is {getattr(payment, field)}, its legs say {rows}")
    return found


_OPEN = ("planned", "sending", "unknown", "pending", "requires_action", "awaiting_funds")


def _leg(leg: Leg, made: list[Movement]) -> list[str]:
    """One leg moves money at most once, exactly once if it succeeded (I2)."""
    if leg.kind == "void":
        voids = [m for m in made if m["kind"] in ("void", "capture")]
        if leg.state == "succeeded" and len(voids) != 1:
            return [f"{leg.id} released, the provider did {len(voids)} of that"]
        return []
    mine = [m for m in made if m["kind"] == "refund" and _is_of(m, leg)]
    live = [m for m in mine if m["status"] not in GONE]
    if len(live) > 1:
        return [f"{leg.id} was paid {len(live)} times: {[m['key'] for m in live]}"]
    if leg.state == "succeeded" and [m["amount"] for m in live] != [leg.amount]:
        return [f"{leg.id} succeeded with {leg.amount}, the provider paid {live}"]
    if leg.state in GONE and live:
        return [f"{leg.id} is {leg.state}, the provider paid {live}"]
    if leg.state in ("planned", "awaiting_funds") and live:
        return [f"{leg.id} is {leg.state}, the provider paid {live}"]
    return []


def _is_of(movement: Movement, leg: Leg) -> bool:
    key = movement["key"] or ""
    return key.rpartition("-")[0] == leg.id or movement["psp_refund_id"] == leg.psp_refund_id
