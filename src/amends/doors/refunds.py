"""Refunds and quotes over REST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from amends.core.facts import PaidOutside
from amends.core.order import Order, shown_state
from amends.core.quote import Quote
from amends.core.reasons import Reason
from amends.core.requests import RefundIn
from amends.doors import shapes
from amends.doors.calls import Asked, Call, Query, decode, fine, finish
from amends.doors.pages import (
    FILTER,
    PAGE,
    cursor,
    cursor_of_this_list,
    filters,
    identifier,
    limit,
)
from amends.doors.problems import problem, refuse
from amends.doors.shapes_policy import ApproveIn, DeclineIn
from amends.engine import actions, queries, review_desk
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result, Told
from amends.engine.views import parked_view, quote_view, refund_view
from amends.engine.wiring import RESTING, Engine
from amends.kernel.time import Instant

_REFUND = msgspec.json.Decoder(RefundIn)
_APPROVE = msgspec.json.Decoder(ApproveIn)
_DECLINE = msgspec.json.Decoder(DeclineIn)
_PAYOUT = msgspec.json.Decoder(shapes.PayoutIn)
Act = Callable[[Engine, Caller, str], Awaitable[Told]]


def render_new(request: RefundIn) -> Callable[[Result], Rendered]:
    """Makes the answer to a request, inside the turn that decides it."""

    def render(result: Result) -> Rendered:
        if result.refused is not None:
            return problem(result.refused)
        if result.order is None:
            named = Reason.UNKNOWN_PAYMENT if request.payment else Reason.UNKNOWN_ORDER
            return refuse(named)
        if result.parked:
            return fine(parked_view(result.order, result.refund), 201)
        return _shown(result.order, result.refund, 201)

    return render


def render_acted(refund_id: str) -> Callable[[Result], Rendered]:
    def render(result: Result) -> Rendered:
        if result.refused is not None:
            return problem(result.refused)
        if result.order is None:
            return refuse(Reason.UNKNOWN_REFUND)
        return _shown(result.order, refund_id, 200)

    return render


def _shown(order: Order, refund_id: str, status: int) -> Rendered:
    refund = order.refund(refund_id)
    if refund is None:
        return refuse(Reason.UNKNOWN_REFUND)
    return fine(refund_view(order, refund), status)


async def create(asked: Asked) -> Rendered:
    request = decode(_REFUND, asked.body)
    caller = asked.caller(render_new(request))
    told = await actions.request_refund(asked.engine, caller, request)
    answer = finish(told)
    if asked.wait and answer.status == 201 and not told.replayed:
        return await _waited(asked, told.results[0], answer)
    return answer


async def _waited(asked: Asked, result: Result, answer: Rendered) -> Rendered:
    """The refund as it is after the wait; the stored answer stays the one of the decision."""
    refund = result.order.refund(result.refund) if result.order else None
    if refund is None:  # parked: nothing will come of waiting
        return answer
    if shown_state(refund) not in RESTING:
        order = await asked.engine.wait_for(refund.id, asked.wait)
        if order is not None:
            answer = _shown(order, refund.id, 201)
        else:
            view = await queries.refund(asked.engine, refund.id)
            answer = fine(view, 201)
    applied = (*answer.headers, ("preference-applied", f"wait={asked.wait}"))
    return Rendered(answer.status, answer.body, applied)


async def quote(asked: Asked) -> Rendered:
    def render(order: Order, found: Quote, quote_id: str, ends: Instant) -> Rendered:
        return fine(quote_view(order, found, quote_id, ends), 201)

    request = decode(_REFUND, asked.body)
    told = await actions.make_quote(asked.engine, asked.caller(problem_of), request, render)
    return finish(told)


def problem_of(result: Result) -> Rendered:
    """A quote decides nothing: all its turn can tell is a refusal."""
    return problem(result.refused) if result.refused else refuse(Reason.INTERNAL)


async def read(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    return fine(await queries.refund(asked.engine, refund))


async def timeline(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    return fine({"items": await queries.timeline(asked.engine, refund), "next": None})


async def page(asked: Asked) -> Rendered:
    wanted = filters(asked.query)
    with cursor_of_this_list():
        found = await queries.refunds(asked.engine, wanted, cursor(asked.query), limit(asked.query))
    return fine(found)


async def approve(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    said = decode(_APPROVE, asked.body) if asked.body else ApproveIn()
    caller = asked.caller(render_acted(refund))
    words = (said.shown, said.amount or 0, said.reason)
    return finish(await review_desk.approve(asked.engine, caller, asked.role, refund, *words))


async def decline(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    said = decode(_DECLINE, asked.body) if asked.body else DeclineIn()
    caller = asked.caller(render_acted(refund))
    words = (refund, said.reason, said.why)
    return finish(await review_desk.decline(asked.engine, caller, *words))


async def payout(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    said = decode(_PAYOUT, asked.body)
    fact = PaidOutside(refund, said.reference, said.way, said.consent or "", said.shown, asked.role)
    caller = asked.caller(render_acted(refund))
    return finish(await actions.payout(asked.engine, caller, fact))


def _acting(act: Act) -> Callable[[Asked], Awaitable[Rendered]]:
    async def run(asked: Asked) -> Rendered:
        refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
        caller = asked.caller(render_acted(refund))
        return finish(await act(asked.engine, caller, refund))

    return run


APPROVING = (
    *(Reason.SELF_APPROVAL, Reason.SHOWN_CHANGED),
    *(Reason.ROLE_TOO_LOW, Reason.REFUNDS_STOPPED),
)
_KEY = (Reason.IDEMPOTENCY_KEY_MISSING, Reason.IDEMPOTENCY_MISMATCH)
_ACTED = (
    *(Reason.UNKNOWN_REFUND, Reason.FALLBACK_PAYS, Reason.WRONG_STATE, Reason.AMOUNT_CHANGED),
    *_KEY,
)
_HOW_MUCH = (
    Reason.OTHER_CURRENCY,
    *(Reason.UNKNOWN_ORDER, Reason.UNKNOWN_PAYMENT, Reason.UNKNOWN_LINE),
    *(
        Reason.EXCEEDS_QUANTITY,
        Reason.EXCEEDS_REMAINING,
        Reason.NOTHING_LEFT,
        Reason.WORTH_NOTHING,
        Reason.EXCEEDS_TENDER,
    ),
    *(Reason.CHARGE_NOT_REFUNDABLE, Reason.FEE_NOT_ALLOWED, Reason.FEE_EXCEEDS_REFUND),
    *(Reason.PROMOTION_EXCEEDS_REFUND, Reason.BELOW_MINIMUM),
    *(Reason.BAD_PERIOD, Reason.NO_PERIOD, Reason.TIME_REFUNDED, Reason.TIME_CREDITED),
    Reason.AMOUNT_NOT_PAYABLE,
    Reason.PARTIAL_NOT_POSSIBLE,
    Reason.RELEASE_NOT_POSSIBLE,
    Reason.CAPTURE_UNKNOWN,
)


def _action(name: str, scope: str, words: str, act: Act, more: tuple[Reason, ...] = ()) -> Call:
    return Call(
        f"{name}Refund",
        "POST",
        f"/v1/refunds/{{refund}}/{name}",
        words,
        _acting(act),
        scopes=(scope,),
        key="optional",
        answers={200: shapes.Refund},
        refusals=(*_ACTED, *more),
    )


CALLS = (
    Call(
        "createQuote",
        "POST",
        "/v1/quotes",
        "What a refund would come to, itemised; it can be committed unchanged for 30 minutes.",
        quote,
        scopes=("refunds:write",),
        body=RefundIn,
        body_name="QuoteIn",
        key="required",
        answers={201: shapes.Quote},
        refusals=(*_HOW_MUCH, *_KEY),
    ),
    Call(
        "createRefund",
        "POST",
        "/v1/refunds",
        "Give money back for an order. The decision is on disk when this answers.",
        create,
        scopes=("refunds:write",),
        body=RefundIn,
        key="required",
        waits=True,
        answers={201: (shapes.Refund, shapes.ParkedRefund)},
        refusals=(
            *(Reason.UNKNOWN_QUOTE, Reason.QUOTE_EXPIRED, Reason.QUOTE_STALE),
            *(Reason.QUOTE_OF_ANOTHER_ORDER, Reason.QUOTE_ALTERED),
            *(*_HOW_MUCH, *_KEY),
        ),
    ),
    Call(
        "listRefunds",
        "GET",
        "/v1/refunds",
        "Refunds, newest first: a page.",
        page,
        scopes=shapes.READ,
        query=(
            *PAGE,
            Query("state", "Only in this state.", FILTER),
            Query("order", "Only of this order.", FILTER),
            Query("connection", "Only with a leg at this connection.", FILTER),
            Query("psp_refund_id", "Only the one the provider calls so.", FILTER),
        ),
        answers={200: shapes.RefundPage},
        refusals=(Reason.NOT_FOUND,),
    ),
    Call(
        "readRefund",
        "GET",
        "/v1/refunds/{refund}",
        "One refund.",
        read,
        scopes=shapes.READ,
        answers={200: shapes.Refund},
        refusals=(Reason.UNKNOWN_REFUND,),
    ),
    Call(
        "readTimeline",
        "GET",
        "/v1/refunds/{refund}/timeline",
        "What happened to one refund, in order.",
        timeline,
        scopes=shapes.READ,
        answers={200: shapes.EventPage},
        refusals=(Reason.UNKNOWN_REFUND,),
    ),
    Call(
        "approveRefund",
        "POST",
        "/v1/refunds/{refund}/approve",
        "Approve a refund in review, as it was shown.",
        approve,
        scopes=("refunds:approve",),
        body=ApproveIn,
        body_required=False,
        key="optional",
        answers={200: shapes.Refund},
        refusals=(*_ACTED, *APPROVING, *_HOW_MUCH),
    ),
    Call(
        "declineRefund",
        "POST",
        "/v1/refunds/{refund}/decline",
        "Decline a refund in review, with a reason of a closed list.",
        decline,
        scopes=("refunds:approve",),
        body=DeclineIn,
        body_required=False,
        key="optional",
        answers={200: shapes.Refund},
        refusals=_ACTED,
    ),
    _action("cancel", "refunds:write", "Take back a refund before anything left.", actions.cancel),
    _action(
        *("retry", "refunds:write", "Try a failed refund again.", actions.retry),
        (
            *(Reason.EXCEEDS_REMAINING, Reason.METHOD_NOT_REFUNDABLE),
            *(Reason.PARTIAL_NOT_POSSIBLE, Reason.TOO_MANY_REFUNDS),
        ),
    ),
    Call(
        "payoutRefund",
        "POST",
        "/v1/refunds/{refund}/payout",
        "Record that the customer was paid by other means, where no provider pays.",
        payout,
        scopes=("refunds:approve",),
        body=shapes.PayoutIn,
        key="optional",
        answers={200: shapes.Refund},
        refusals=(
            *(*_ACTED, *APPROVING),
            Reason.EXCEEDS_REMAINING,
        ),
    ),
)
