"""`decide(order, recorded, ctx) -> Decision`: every change of state passes through here.

Pure: the same order, fact and context give the same decision, byte for byte (invariant I14).
A refusal changes nothing but the trail; a broken invariant raises, and the engine parks the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from amends.core import (
    answers,
    asks,
    caps,
    cases,
    checkouts,
    claims,
    fallback,
    heard,
    news,
    payouts,
    receipts,
    reckoned,
    shopnews,
    small,
    tidings,
    writeoffs,
)
from amends.core.decision import Ctx, Decision
from amends.core.facts import (
    Answered,
    Approved,
    Canceled,
    CaptureReported,
    CaseMoved,
    DisputeReported,
    EffectDue,
    FraudWarned,
    LinesCancelled,
    LinesUnavailable,
    LookedUp,
    OrderCancelled,
    OrderReported,
    PaidOutside,
    PaymentReported,
    PaymentToRead,
    Recorded,
    RefundMade,
    RefundReported,
    RefundRequested,
    Rejected,
    ReleaseReported,
    Retried,
    ReturnAuthorized,
    ReturnCancelled,
    ReturnInspected,
    ReturnReceived,
    ReturnShipped,
    ReversalReported,
    Unparked,
    WriteOffReversed,
    WrittenOff,
)
from amends.core.order import Order
from amends.core.orders import first_version
from amends.core.quote import Quote
from amends.core.reasons import Reason, Refusal, Refused
from amends.core.requests import RefundIn
from amends.core.work import Work
from amends.kernel.check import invariant

HANDLERS: dict[type, Callable[[Work, Any], None]] = {
    OrderReported: checkouts.report_order,
    OrderCancelled: asks.order_cancelled,
    RefundRequested: asks.request_refund,
    LinesUnavailable: asks.lines_unavailable,
    LinesCancelled: shopnews.lines_cancelled,
    RefundMade: shopnews.refund_made,
    ReturnAuthorized: receipts.return_authorized,
    ReturnShipped: receipts.return_shipped,
    ReturnReceived: receipts.return_received,
    ReturnInspected: receipts.return_inspected,
    ReturnCancelled: receipts.return_cancelled,
    Approved: answers.approve,
    Rejected: answers.reject,
    CaseMoved: cases.move,
    Canceled: answers.cancel,
    Retried: answers.retry,
    PaidOutside: payouts.paid_outside,
    EffectDue: checkouts.effect_due,
    Answered: news.answered,
    LookedUp: news.looked_up,
    RefundReported: heard.refund_reported,
    PaymentReported: heard.payment_reported,
    CaptureReported: heard.capture_reported,
    ReleaseReported: heard.release_reported,
    ReversalReported: heard.reversal_reported,
    PaymentToRead: heard.payment_to_read,
    DisputeReported: heard.dispute_reported,
    FraudWarned: heard.fraud_warned,
    WrittenOff: writeoffs.write_off,
    WriteOffReversed: writeoffs.reverse,
    Unparked: asks.unpark,
}


def decide(order: Order | None, recorded: Recorded, ctx: Ctx) -> Decision:
    """What one fact leads to. `order` None: not known yet, which only OrderReported may start.

    Raises Refused when there is no order to refuse on, InvariantBroken on a defect.
    """
    start = first_version(recorded, ctx) if order is None else order
    invariant(
        not start.parked or isinstance(recorded.fact, Unparked), "a parked order decides nothing"
    )
    work = Work(start, recorded, ctx)
    try:
        _check_owner(start, recorded)
        HANDLERS[type(recorded.fact)](work, recorded.fact)
        checkouts.late(work, start)
        small.pay_out(work)
        shopnews.explain(work)
        claims.explain_others(work)
        reckoned.tell_if_built_on(work, start)
        fallback.start_due(work)
        caps.settle(work)
        tidings.tell(work, start)
    except Refused as refused:
        if order is None:
            raise
        return refuse(order, recorded, ctx, refused.refusal)
    return work.decision()


def _check_owner(order: Order, recorded: Recorded) -> None:
    """A connection speaks only for its own orders and payments, however it came by an id."""
    kind, _, name = recorded.actor.partition(":")
    if kind != "connection":
        return
    own = {order.source.connection, *(p.connection for p in order.payments)}
    if name not in own:
        raise Refused(Reason.FORBIDDEN, f"The order does not belong to connection {name!r}.")


def refuse(order: Order, recorded: Recorded, ctx: Ctx, refusal: Refusal) -> Decision:
    """Nothing happened but that it was asked and refused; that is on the trail."""
    work = Work(order, recorded, ctx)
    asks.refused_event(work, refusal, type(recorded.fact).__name__)
    return work.decision(refusal)


def park(order: Order, recorded: Recorded, ctx: Ctx, why: str) -> Decision:
    """Stop deciding for an order whose fact could not be folded; `why` holds no personal data."""
    work = Work(order, recorded, ctx)
    asks.park(order, recorded, why, work)
    return work.decision()


def quote(order: Order, request: RefundIn, recorded: Recorded, ctx: Ctx) -> Quote:
    """The amount a request would come to now, without committing anything. Raises Refused."""
    return asks.quoted(Work(order, recorded, ctx), request)[0]


def weighed(order: Order, request: RefundIn, recorded: Recorded, ctx: Ctx) -> asks.Weighed:
    """The same, with what the policy would say, and less what its row keeps back. Raises
    Refused."""
    return asks.weigh(Work(order, recorded, ctx), request)


encode_order = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(Order).decode
