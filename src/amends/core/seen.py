"""What a judgement sees of one request: the policy's fields, the features and their score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from amends.core.fields import Value
from amends.core.history import UNKNOWN, History
from amends.core.left import counts
from amends.core.order import Leg, Order, Payment, Refund, may_take, remaining
from amends.core.outside import past_limit
from amends.core.policy import Seen
from amends.core.quote import Portion, Quote
from amends.core.requests import RefundIn
from amends.core.risk import Features, features
from amends.core.shares import Breakdown
from amends.core.stock import back, shipped
from amends.core.stops import stopped
from amends.core.work import Work
from amends.kernel.money import convert
from amends.kernel.time import DAY, Instant

# The reasons for which goods are with the customer and can come back.
WITH_CUSTOMER = ("return", "wrong_item", "damaged")


def history_of(work: Work) -> History:
    """What rows know of the order's customer; nothing, where nobody looked."""
    return work.ctx.history.get(work.order.id, UNKNOWN)


def seen(work: Work, request: RefundIn, quote: Quote, question: str = "") -> tuple[Seen, Features]:
    """All of it, for a request and what it comes to; `question` is why a person looks anyway."""
    order, history = work.order, history_of(work)
    amount = convert(quote.amount, order.rate)
    shop = work.ctx.shop(order.source.connection)
    actor = work.recorded.actor
    risk = features(order, request, amount, history, shop, work.now, actor)
    score = work.ctx.scorer.score(risk)
    values: dict[str, Value] = {
        **_of_order(order, work.now),
        **_of_request(order, request, quote, amount),
        **_of_payment(work, order),
        **_of_customer(order, history, work.now),
        "risk.score_bp": score.score_bp,
        "risk.model": score.model,
        **_of_requester(actor),
    }
    rule = _house(work, quote) or question.replace("_", "-")
    return Seen(values, score, rule, request.statutory), risk


def _house(work: Work, quote: Quote) -> str:
    """The rule by which a person looks whatever the policy says, "" for none."""
    return in_the_way(work, quote.portions) or quote.rule


def in_the_way(work: Work, parts: Sequence[Portion | Leg]) -> str:
    """The rule by which a person looks before money leaves so, "" for none: what may have come to
    be since it was asked for as well."""
    if stopped(work.ctx.stops, work.order):
        return "refund-stop"
    if any(may_take(d) for d in work.order.disputes):
        return "payment-disputed"
    outside = next((p.why for p in parts if isinstance(p, Portion) and p.why), "")
    if outside:
        return outside.replace("_", "-")
    return "past-refund-window" if _past_limit(work, parts) else ""


def _past_limit(work: Work, parts: Sequence[Portion | Leg]) -> bool:
    """Whether a payment is older than its method is refunded. When it was captured is known to a
    day or so, so a person decides."""
    asked = {p.payment for p in parts if p.kind == "refund"}
    return any(past_limit(work, work.payment(name)) for name in asked)


def days_since(at: Instant, now: Instant) -> int:
    """Whole days, -1 where it is not known."""
    return max(0, now - at) // DAY if at else -1


def _of_order(order: Order, now: Instant) -> dict[str, Value]:
    captured = sum(p.captured for p in order.payments)
    gone = captured - sum(remaining(p) for p in order.payments)
    total = sum(max(p.captured, p.authorized) for p in order.payments)
    return {
        "order.connection": order.source.connection,
        "order.entity": order.entity,
        "order.country": order.country,
        "order.currency": order.currency,
        "order.age_days": days_since(order.placed_at, now),
        "order.total": convert(total, order.rate),
        "order.remaining": convert(order.remaining, order.rate),
        "order.refunds": sum(1 for r in order.refunds if counts(r)),
        "order.refunded_bp": 10_000 * gone // captured if captured else 0,
        "order.cancelled": order.cancelled,
        "order.delivered_days": days_since(order.delivery.delivered_at, now),
        "order.tracking": order.delivery.tracking or "",
        "dispute.open": any(may_take(d) for d in order.disputes),
        "dispute.count": len(order.disputes),
    }


def _of_request(order: Order, request: RefundIn, quote: Quote, amount: int) -> dict[str, Value]:
    units = quote.breakdown.units
    asked = [line for line in order.lines if line.id in units]
    sent = shipped(order)
    return {
        "lines.units": sum(units.values()),
        "lines.skus": tuple(sorted({line.sku for line in asked if line.sku})),
        "lines.categories": tuple(sorted({line.category for line in asked if line.category})),
        "refund.amount": amount,
        "refund.reason": request.reason,
        "refund.statutory": request.statutory,
        "refund.ad_hoc": request.amount is not None,
        "refund.whole": quote.amount == order.remaining,
        "refund.compensation": request.goodwill == "compensation",
        "goods.state": _goods(order, request, quote.breakdown, units, sent),
        "goods.shipped": any(sent[line.id] for line in asked),
    }


def _goods(
    order: Order,
    request: RefundIn,
    parts: Breakdown,
    units: Mapping[str, int],
    sent: Mapping[str, int],
) -> str:
    """As `goods_state`; "not_said" where goods are with the customer and neither units nor lines
    are named: money that waits for goods would leave without them."""
    if request.reason not in WITH_CUSTOMER:
        return "not_needed"
    vague = not request.by_parts and not any(units.values())
    vague = vague and bool(parts.lines or parts.unallocated)
    vague = vague and (not order.lines or any(sent.values()))
    return "not_said" if vague else goods_state(order, request.reason, units, sent)


def goods_state(
    order: Order,
    reason: str,
    units: Mapping[str, int],
    sent: Mapping[str, int],
    of: str = "",
    so_far: str = "",
) -> str:
    """Whether the units that a refund is for are back: "not_needed", "awaited", "part" or
    "received". Units that were never shipped are refunded first; of those that came back each
    counts for one refund, the earlier ones first, and for none whose goods stay with the customer.
    `sent` is what was `shipped`; `of`: the refund, where it is one of the order's: those after it
    are not counted. `so_far`: what counts as back (see stock.back)."""
    if reason not in WITH_CUSTOMER or not any(units.values()):
        return "not_needed"
    here = back(order, so_far)
    before: Counter[str] = Counter()
    stays: Counter[str] = Counter()
    for refund in order.refunds:
        if refund.id == of:
            break
        if counts(refund):
            mine = stays if refund.returnless else before
            mine.update(refund.breakdown.units)
    wanted = got = 0
    for line in order.lines:
        if not (asked := units.get(line.id, 0)):
            continue
        never = max(0, line.quantity - sent[line.id] - stays[line.id])
        owed_before = max(0, before[line.id] - never)
        needed = max(0, before[line.id] + asked - never) - owed_before
        wanted += needed
        got += min(needed, max(0, here[line.id] - owed_before))
    if not wanted:
        return "not_needed"
    return "received" if got == wanted else "part" if got else "awaited"


def awaits_return(order: Order, refund: Refund) -> bool:
    """Whether units of a refund are still to come back."""
    units = refund.breakdown.units
    sent = shipped(order)
    state = goods_state(order, refund.reason, units, sent, refund.id, refund.awaits_for)
    return state in ("awaited", "part")


def _of_payment(work: Work, order: Order) -> dict[str, Value]:
    first: Payment | None = next((p for p in order.payments if p.is_money), None)
    kinds = {p.kind for p in order.payments}
    return {
        "payment.kind": kinds.pop() if len(kinds) == 1 else "several",
        "payment.method": first.method if first else "",
        "payment.connection": first.connection if first else "",
        "payment.captured": any(p.captured_peak for p in order.payments),
        "payment.age_days": days_since(first.captured_at if first else 0, work.now),
        "payment.fraud_warning": bool(order.alerts),
    }


def _of_customer(order: Order, history: History, now: Instant) -> dict[str, Value]:
    year = history.d365
    return {
        "customer.id": order.customer,
        "customer.known_days": now // DAY - history.first_day if history.first_day else -1,
        "customer.orders_365d": year.orders,
        "customer.order_value_365d": year.order_value,
        "customer.refunds_30d": history.d30.refunds,
        "customer.refunds_90d": history.d90.refunds,
        "customer.refunds_365d": year.refunds,
        "customer.refund_value_30d": history.d30.refund_value,
        "customer.refund_value_90d": history.d90.refund_value,
        "customer.refund_value_365d": year.refund_value,
        "customer.refunded_bp_365d": 10_000 * year.refund_value // year.order_value
        if year.order_value
        else 0,
        "customer.not_received_365d": year.not_received,
        "customer.disputes_365d": year.disputes,
        "customer.not_returned_365d": year.not_returned,
        "customer.findings_365d": year.findings,
        "customer.card_others": history.card_others,
        "customer.address_others": history.address_others,
        "customer.device_others": history.device_others,
    }


def _of_requester(actor: str) -> dict[str, Value]:
    kind, _, name = actor.partition(":")
    return {"requester.kind": kind, "requester.id": name}
