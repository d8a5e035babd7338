"""Reviews over REST: the queue, cases, several decisions at once, and why."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, get_args

import msgspec

from amends.core.reasons import Reason, Refused
from amends.core.requests import ApproveReason, DeclineReason
from amends.doors import shapes
from amends.doors import shapes_policy as told
from amends.doors.calls import Asked, Call, Query, decode, fine, finish
from amends.doors.pages import FILTER, PAGE, cursor, filters, identifier, instant, limit
from amends.doors.problems import problem
from amends.doors.refunds import render_acted
from amends.engine import policy_desk, review_desk
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Told

_CASE = msgspec.json.Decoder(told.CaseIn)
_BULK = msgspec.json.Decoder(told.BulkIn)
_REASONS = {"approve": get_args(ApproveReason), "decline": get_args(DeclineReason)}


async def page(asked: Asked) -> Rendered:
    wanted = filters(asked.query)
    if before := wanted.get("due_before"):
        wanted["due_before"] = str(max(0, instant(before, "due_before")))
    for name, allowed in (("state", ("open", "closed")), ("snoozed", ("no", "yes", "any"))):
        if wanted.get(name, allowed[0]) not in allowed:
            detail = f"{name} is {', '.join(allowed[:-1])} or {allowed[-1]}."
            raise Refused(Reason.VALIDATION, detail, parameter=name)
    at, many = cursor(asked.query), limit(asked.query)
    try:
        found = await review_desk.reviews(asked.engine, wanted, at, many)
    except ValueError:
        detail = "This cursor was not made by this list: start again without one."
        raise Refused(Reason.NOT_FOUND, detail, parameter="cursor") from None
    return fine(found)


async def case(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    said = decode(_CASE, asked.body)
    until = instant(said.until, "until") if said.until else 0
    words = (
        *(said.what, said.who, until, said.role or "", said.reference, said.note),
        *(said.outcome or "", said.cites),
    )
    caller = asked.caller(render_acted(refund))
    return finish(await review_desk.move(asked.engine, caller, refund, review_desk.Move(*words)))


async def bulk(asked: Asked) -> Rendered:
    said = decode(_BULK, asked.body)
    for index, one in enumerate(said.decisions):
        if one.reason is not None and one.reason not in _REASONS[one.decision]:
            raise Refused(
                Reason.VALIDATION,
                f"{one.reason} is no reason to {one.decision}.",
                pointer=f"/decisions/{index}/reason",
            )
    wanted = [
        review_desk.Decision(one.refund, one.decision == "approve", one.shown, one.reason or "")
        for one in said.decisions
    ]

    def caller_of(refund: str) -> Caller:
        return asked.caller(render_acted(refund))

    found = await review_desk.decide_all(asked.engine, caller_of, asked.role, wanted, _told)
    items = [_decided(one.refund, rendered) for one, rendered in zip(wanted, found, strict=True)]
    return fine({"items": items})


async def _told(telling: Awaitable[Told]) -> Rendered:
    try:
        return finish(await telling)
    except Refused as refused:
        return problem(refused.refusal)


def _decided(refund: str, rendered: Rendered) -> dict[str, Any]:
    body = msgspec.json.decode(rendered.body)
    names = ("state", "code", "detail")
    good = rendered.status == 200
    said = {n: body.get(n) if (n == "state") == good else None for n in names}
    return {"refund": refund, "status": rendered.status, **said}


async def explain(asked: Asked) -> Rendered:
    refund = identifier(asked.path["refund"], Reason.UNKNOWN_REFUND)
    return fine(await policy_desk.explain(asked.engine, refund))


def _one_of(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


_SNOOZED = _one_of("no", "yes", "any")
_TIME = {"type": "string", "format": "date-time"}

CALLS = (
    Call(
        "listReviews",
        "GET",
        "/v1/reviews",
        "Refunds that wait for a person, soonest due first; or that did, last closed first.",
        page,
        scopes=shapes.READ,
        query=(
            *PAGE,
            Query("state", "open, or closed.", _one_of("open", "closed")),
            Query("assignee", "Only of whoever looks after it.", FILTER),
            Query("role", "Only for this role.", FILTER),
            Query("due_before", "Only due before this instant.", _TIME),
            Query("snoozed", "no leaves out those put off, yes shows them.", _SNOOZED),
        ),
        answers={200: told.ReviewPage},
        refusals=(Reason.NOT_FOUND,),
    ),
    Call(
        "decideReviews",
        "POST",
        "/v1/reviews/bulk",
        "Decide up to 100 refunds in review, each for itself and with a result of its own.",
        bulk,
        scopes=("refunds:approve",),
        body=told.BulkIn,
        key="required",
        answers={200: told.BulkDecided},
        refusals=(Reason.IDEMPOTENCY_KEY_MISSING,),
    ),
    Call(
        "moveCase",
        "POST",
        "/v1/refunds/{refund}/case",
        "Assign, snooze, escalate, note, attach, or ask the customer for more.",
        case,
        scopes=("refunds:approve",),
        body=told.CaseIn,
        key="optional",
        answers={200: shapes.Refund},
        refusals=(
            *(Reason.UNKNOWN_REFUND, Reason.WRONG_STATE),
            *(Reason.IDEMPOTENCY_KEY_MISSING, Reason.IDEMPOTENCY_MISMATCH),
        ),
    ),
    Call(
        "explainRefund",
        "GET",
        "/v1/refunds/{refund}/explain",
        "Why a refund was decided as it was: a sentence, and its parts.",
        explain,
        scopes=shapes.READ,
        answers={200: told.Explanation},
        refusals=(Reason.UNKNOWN_REFUND, Reason.WRONG_STATE),
    ),
)
