"""How the aggregate looks from outside: the promised shapes, as plain values ready for JSON.

Amounts are integers in minor units; instants become RFC 3339 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from amends.core.arrivals import UNDER_WAY
from amends.core.events import Event
from amends.core.explain import sentence
from amends.core.left import left_over
from amends.core.order import (
    FAILED,
    Leg,
    Order,
    Payment,
    Refund,
    amount_succeeded,
    covered,
    remaining,
    room_of,
    shown_state,
    voidable,
)
from amends.core.outside import WHY
from amends.core.parties import Party
from amends.core.period import Period
from amends.core.quote import Quote, fits
from amends.core.reasons import Reason, Refused
from amends.core.shares import Breakdown, LineShare, Lost
from amends.core.signals import NO_DELIVERY, NO_SIGNALS
from amends.kernel.time import Instant, rfc3339

_CREDIT = (
    "Store credit in its place only with the customer's express consent, and where that is "
    "recorded."
)
_IN_REVIEW = (
    "Pay the customer by other means and record it with `payout` and the payment's reference, or "
    f"decline the refund. {_CREDIT}"
)
_AFTER_FAILURE = (
    "Try it again with `retry`, or pay the customer by other means and record it with `payout` and "
    f"the payment's reference. {_CREDIT}"
)


def when(at: Instant) -> str | None:
    return rfc3339(at) if at else None


def order_view(order: Order) -> dict[str, Any]:
    """`GET /v1/orders/{id}`."""
    left = left_over(order)
    return {
        "id": order.id,
        "source": {"connection": order.source.connection, "order_id": order.source.order_id},
        "version": order.version,
        "entity": order.entity,
        "currency": order.currency,
        "placed_at": when(order.placed_at),
        "customer": order.customer or None,
        "remaining": order.remaining,
        "cancelled": order.cancelled,
        "parked": order.parked or None,
        "lines": [
            {
                "id": x.id,
                "sku": x.sku,
                "title": x.title,
                "quantity": x.quantity,
                "total": x.total,
                "remaining_quantity": left.lines[x.id].quantity,
                "remaining": left.lines[x.id].gross,
                **({"seller": x.seller} if x.seller else {}),
                **({"period": _period_view(x.period)} if x.period else {}),
                **({"category": x.category} if x.category else {}),
            }
            for x in order.lines
        ],
        "shipping": [
            {"id": x.id, "title": x.title, "total": x.total, "remaining": left.shipping[x.id].gross}
            for x in order.shipping
        ],
        "charges": [
            {
                "id": x.id,
                "kind": x.kind,
                "title": x.title,
                "total": x.total,
                "refundable": x.refundable,
                "remaining": left.charges[x.id].gross,
            }
            for x in order.charges
        ],
        "promotions": [
            {"id": x.id, "kind": x.kind, "if_lost": x.if_lost} for x in order.promotions
        ],
        "payments": [payment_view(order, p) for p in order.payments if p.is_money],
        "refunds": [refund_view(order, refund) for refund in order.refunds],
        "disputes": [
            {"id": d.id, "payment": d.payment, "amount": d.amount, "status": d.status}
            for d in order.disputes
        ],
        "tenders": [_tender_view(payment) for payment in order.payments],
        **_told_view(order),
        **_goods_view(order),
    }


def _goods_view(order: Order) -> dict[str, Any]:
    """What is known of its goods, and of its shop's refunds; nothing where that is nothing."""
    found: dict[str, Any] = {
        "returns": [return_view(order, name) for name in returns_of(order)],
        "cancelled_lines": [
            {"id": one.line, "quantity": one.units, "restocked": one.back}
            for one in order.cancelled_lines
        ],
        "shop_refunds": [
            {
                "id": one.id,
                "amount": one.amount,
                "by": "amends" if one.ours else "shop",
                "refund": one.ours or one.refund or None,
            }
            for one in order.shop_refunds
        ],
        "expires_at": when(order.expires_at),
    }
    return {name: value for name, value in found.items() if value}


def returns_of(order: Order) -> tuple[str, ...]:
    """The names of its returns: those that were authorized, and others that have come."""
    came = (receipt.id for receipt in order.receipts if receipt.id)
    return tuple(dict.fromkeys([*(one.id for one in order.returns), *came]))


def return_view(order: Order, return_id: str) -> dict[str, Any]:
    """`GET /v1/returns/{id}`. Raises Refused(UNKNOWN_RETURN)."""
    asked = next((one for one in order.returns if one.id == return_id), None)
    came = next((one for one in order.receipts if one.id == return_id), None)
    if asked is None and came is None:
        raise Refused(Reason.UNKNOWN_RETURN)
    here = [(name, units) for name, units, _ in came.lines] if came else []
    return {
        "id": return_id,
        "order": order.id,
        "state": asked.state if asked else "received",
        "at": when(asked.at) if asked else None,
        "lines": _units_view(asked.lines if asked else ()),
        "received": _units_view(here),
        "to_inspect": _units_view(came.held if came else ()),
    }


def _units_view(lines: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"id": name, "quantity": units} for name, units in lines]


def parked_return_view(order: Order, return_id: str) -> dict[str, Any]:
    """What a caller is told of a return whose order waits for a person."""
    none: dict[str, Any] = {"lines": [], "received": [], "to_inspect": []}
    return {"id": return_id, "order": order.id, "state": "parked", "at": None, **none}


def _told_view(order: Order) -> dict[str, Any]:
    """What the shop told besides the money; which fingerprints there are, not what they are."""
    found: dict[str, Any] = {}
    if order.customer_since:
        found["customer_since"] = when(order.customer_since)
    if order.signals != NO_SIGNALS:
        kinds = [k for k in ("card", "address", "device") if getattr(order.signals, k)]
        mismatch = order.signals.address_mismatch
        found["signals"] = {"known": kinds, "address_mismatch": mismatch}
    if order.delivery != NO_DELIVERY:
        delivered_at, tracking = when(order.delivery.delivered_at), order.delivery.tracking
        found["delivery"] = {"delivered_at": delivered_at, "tracking": tracking}
    return found


def _period_view(period: Period) -> dict[str, Any]:
    credited = [{"start": when(a), "end": when(b)} for a, b in period.credited]
    return {
        "start": when(period.start),
        "end": when(period.end),
        "by": period.by,
        "paid_by_credit": period.paid_by_credit,
        "credited": credited,
    }


def _tender_view(payment: Payment) -> dict[str, Any]:
    sellers = [{"account": s.account, "amount": s.amount, "fee": s.fee} for s in payment.sellers]
    return {
        **({"sellers": sellers} if sellers else {}),
        "id": payment.id,
        "kind": payment.kind,
        "name": payment.psp_payment_id or None,
        "amount": max(payment.authorized, payment.captured),
        "remaining": room_of(payment),
    }


def payment_view(order: Order, payment: Payment) -> dict[str, Any]:
    """`GET /v1/payments/{id}`: the exposure on one payment."""
    return {
        "id": payment.id,
        "order": order.id,
        "connection": payment.connection,
        "psp_payment_id": payment.psp_payment_id,
        "currency": order.currency,
        "authorized": payment.authorized,
        "captured": payment.captured,
        "refunded": payment.refunded_ours,
        "pending": payment.pending_ours,
        "credited": payment.credited_ours,
        "external": payment.external,
        "disputed": payment.disputed,
        "uncaptured": payment.uncaptured,
        "voided": payment.voided,
        "voiding": payment.voiding,
        "releasable": voidable(payment),
        "remaining": remaining(payment),
        "kind": payment.kind,
    }


def refund_view(order: Order, refund: Refund) -> dict[str, Any]:
    """`POST /v1/refunds` and `GET /v1/refunds/{id}`."""
    return {
        "id": refund.id,
        "order": order.id,
        "state": "parked" if order.parked else shown_state(refund),
        "amount": refund.amount,
        "amount_succeeded": amount_succeeded(refund),
        "currency": order.currency,
        "reason": refund.reason,
        "breakdown": breakdown_view(refund.breakdown),
        **_unused_view(order, refund.breakdown),
        **_sellers_view(leg.parties for leg in refund.legs if leg.state not in FAILED),
        "legs": [
            _leg_view(order, leg)
            for leg in refund.legs
            if not leg.replaced and leg.state != "planned"
        ],
        "decision": _verdict_view(order, refund),
        "requested_by": refund.requested_by,
        "decided_by": refund.decided_by or None,
        "fallback_of": refund.fallback_of or None,
        **({"combined_in": refund.combined_in} if refund.combined_in else {}),
        **({"statutory": True} if refund.statutory else {}),
        **({"builds_on": list(refund.builds_on)} if refund.builds_on else {}),
        "shown": refund.shown or None,
        "decide_by": when(refund.decide_by),
        "created_at": when(refund.created_at),
        "expected_by": _expected(order, refund),
        "task": None if order.parked else _task(order, refund),
        "fallbacks": [one.id for one in order.refunds if one.fallback_of == refund.id],
    }


def _task(order: Order, refund: Refund) -> dict[str, Any] | None:
    """What a person has to do where no provider pays: to whom is owed how much, why nothing moves
    by itself, and how it ends. None for every other refund."""
    if refund.stage == "review":
        owed = [leg for leg in refund.legs if leg.kind == "manual"]
    elif shown_state(refund) == "failed" and not refund.external:
        done = covered(order)
        owed = [g for g in refund.legs if g.state in FAILED and not g.replaced and g.id not in done]
    else:
        owed = []
    given_up = any(leg.was_paid for leg in owed) and not refund.claimed
    if not owed or given_up or any(leg.kind == "void" for leg in owed) or not fits(order, refund):
        return None
    first = owed[0]
    return {
        "what": "manual_payout",
        "amount": sum(leg.amount for leg in owed),
        "currency": order.currency,
        "customer": order.customer or None,
        "why": WHY.get(first.failure, f"Its provider did not pay: {first.failure or 'no reason'}."),
        "how": _IN_REVIEW if refund.stage == "review" else _AFTER_FAILURE,
    }


def _expected(order: Order, refund: Refund) -> dict[str, str] | None:
    """Between which days the customer should see the money: only while all of it is on its way or
    paid, and wherever a provider says when."""
    legs = [leg for leg in refund.legs if not leg.replaced and leg.kind != "void"]
    known = [leg.expected for leg in legs if leg.state in UNDER_WAY and leg.expected]
    if order.parked or not legs or len(known) < len(legs) or shown_state(refund) not in UNDER_WAY:
        return None
    return _days(min(first for first, _ in known), max(last for _, last in known))


def _days(earliest: str, latest: str) -> dict[str, str]:
    return {"earliest": earliest, "latest": latest}


def parked_view(order: Order, refund_id: str) -> dict[str, Any]:
    """What a caller is told whose request waits because the order is parked."""
    return {
        "id": refund_id,
        "order": order.id,
        "state": "parked",
        "currency": order.currency,
        "detail": "The order is parked: a person must look at it. The request is kept and goes on "
        "in order once the order is unparked.",
    }


def _leg_view(order: Order, leg: Leg) -> dict[str, Any]:
    payment = order.payment(leg.payment)
    return {
        "id": leg.id,
        "kind": "reversal" if leg.kind == "void" and leg.reverse else leg.kind,
        "connection": payment.connection,
        "psp_payment_id": payment.psp_payment_id,
        "psp_refund_id": leg.psp_refund_id or None,
        "amount": leg.amount,
        "state": leg.state,
        "failure": leg.failure or None,
        "psp_release_id": leg.psp_release_id or None,
        "destination": leg.destination or None,
        "bank_reference": leg.bank_reference or None,
        "bank_reference_type": leg.bank_reference_type or None,
        "expected_by": _days(*leg.expected) if leg.expected and leg.state in UNDER_WAY else None,
        "tender": payment.id,
        "tender_kind": payment.kind,
    }


def breakdown_view(parts: Breakdown) -> dict[str, Any]:
    return {
        "lines": [_share_view(part) for part in parts.lines],
        "shipping": {
            "net": sum(part.net for part in parts.shipping),
            "tax": sum(part.tax for part in parts.shipping),
        },
        "fees": [{"kind": f.kind, "net": f.net, "tax": f.tax} for f in parts.fees],
        "charges": [{"id": c.id, "net": c.net, "tax": c.tax} for c in parts.charges],
        "promotions": [_lost_view(lost) for lost in parts.lost],
        "compensation": parts.compensation,
        "unallocated": parts.unallocated,
    }


def _unused_view(order: Order, parts: Breakdown) -> dict[str, Any]:
    """The time of periods that is given back; nothing where none is."""
    periods = {line.id: line.period for line in order.lines if line.period is not None}
    found = [
        {
            "line": one.line,
            "by": periods[one.line].by,
            "period": periods[one.line].whole,
            "start": one.start,
            "end": one.end,
            "unused": one.end - one.start,
            "used": one.used,
            "credit": one.credit,
        }
        for one in parts.unused
        if one.line in periods
    ]
    return {"unused": found} if found else {}


def _sellers_view(parties: Iterable[tuple[Party, ...]]) -> dict[str, Any]:
    """What each seller bears, over all payments; nothing where the platform sold it all itself."""
    sums: dict[str, list[int]] = {}
    for party in (party for some in parties for party in some):
        before = sums.setdefault(party.account, [0, 0, 0])
        more = (party.amount, party.fee, party.taken)
        sums[party.account] = [one + other for one, other in zip(before, more, strict=True)]
    if not sums:
        return {}
    named = ("amount", "fee", "taken")
    found = [
        {"account": account, **dict(zip(named, values, strict=True))}
        for account, values in sums.items()
    ]
    return {"sellers": found}


def _lost_view(lost: Lost) -> dict[str, Any]:
    return {
        "id": lost.promotion,
        lost.on: lost.part,
        "net": lost.net,
        "tax": lost.tax,
        "waived": lost.waived,
    }


def _share_view(part: LineShare) -> dict[str, Any]:
    return {"id": part.id, "quantity": part.quantity, "net": part.net, "tax": part.tax}


def _verdict_view(order: Order, refund: Refund) -> dict[str, Any] | None:
    verdict = refund.verdict
    if verdict is None:
        return None
    whole, parts = divmod(verdict.score_bp, 10_000)
    return {
        "outcome": verdict.outcome,
        "policy": verdict.policy,
        "rule": verdict.rule,
        "risk": {
            "score": float(f"{whole}.{parts:04d}"),
            "model": verdict.model,
            "reasons": list(verdict.reasons),
        },
        "code": verdict.code,
        "says": verdict.says,
        "sentence": sentence(refund, order.currency),
    }


def quote_view(order: Order, quote: Quote, quote_id: str, expires_at: Instant) -> dict[str, Any]:
    """`POST /v1/quotes`."""
    return {
        "id": quote_id,
        "order": order.id,
        "amount": quote.amount,
        "currency": quote.currency,
        "breakdown": breakdown_view(quote.breakdown),
        **_unused_view(order, quote.breakdown),
        **_sellers_view(portion.parties for portion in quote.portions),
        "tenders": [
            {
                "payment": portion.payment,
                "connection": order.payment(portion.payment).connection,
                "psp_payment_id": order.payment(portion.payment).psp_payment_id,
                "kind": portion.kind,
                "amount": portion.amount,
                "tender_kind": order.payment(portion.payment).kind,
            }
            for portion in quote.portions
        ],
        "expires_at": when(expires_at),
        "hash": quote.hash,
    }


def event_view(event: Event) -> dict[str, Any]:
    """One line of a timeline or of the audit trail."""
    return {
        "stream": event.stream,
        "seq": event.seq,
        "at": when(event.at),
        "type": event.type,
        "actor": event.actor,
        "fact": event.fact,
        "body": event.body,
        "previous": event.previous,
        "hash": event.hash,
    }
