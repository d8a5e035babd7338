"""What people do with refunds: through the same actions as every other door.

A form brings a key of its own, so that sending it twice is one action, and where to go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from amends.core.facts import PaidOutside
from amends.core.reasons import Reason, Refusal, Refused
from amends.doors.calls import encode, finish
from amends.doors.console import desk as pages
from amends.doors.console import reviews
from amends.doors.console.web import Route, Visit
from amends.doors.pages import identifier
from amends.doors.problems import STATUS, problem
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result, Told

KEY_MAX = 100

Do = Callable[[Visit, Caller, str], Awaitable[Told]]


class _Done(msgspec.Struct):
    """What is kept of an answer under the form's key."""

    parked: bool = False
    code: str = ""
    detail: str = ""


def _render(result: Result) -> Rendered:
    if result.refused is not None:
        return problem(result.refused)
    if result.order is None:
        return problem(Refusal(Reason.UNKNOWN_REFUND, "There is no such refund."))
    return Rendered(200, encode(_Done(parked=result.parked)))


async def _approve(visit: Visit, caller: Caller, refund: str) -> Told:
    return await actions.approve(visit.engine, caller, refund, visit.form.get("shown", ""))


async def _decline(visit: Visit, caller: Caller, refund: str) -> Told:
    return await actions.decline(visit.engine, caller, refund)


async def _cancel(visit: Visit, caller: Caller, refund: str) -> Told:
    return await actions.cancel(visit.engine, caller, refund)


async def _retry(visit: Visit, caller: Caller, refund: str) -> Told:
    return await actions.retry(visit.engine, caller, refund)


async def _payout(visit: Visit, caller: Caller, refund: str) -> Told:
    said = {name: visit.form.get(name, "").strip() for name in ("reference", "way", "consent")}
    try:
        fact = msgspec.convert(
            {
                "type": "paid_outside",
                "refund": refund,
                **said,
                "shown": visit.form.get("shown", ""),
            },
            PaidOutside,
        )
    except msgspec.ValidationError as error:
        raise Refused(Reason.VALIDATION, f"{error}.") from None
    if not fact.reference:
        raise Refused(Reason.VALIDATION, "Say under which reference the customer was paid.")
    return await actions.payout(visit.engine, caller, fact)


def _key(visit: Visit) -> str:
    key = visit.form.get("key", "")
    if not key or len(key) > KEY_MAX or not key.isascii() or not key.isalnum():
        raise Refused(Reason.MALFORMED, "This form has no key; load its page again.")
    return key


def _doing(name: str, do: Do) -> Callable[[Visit], Awaitable[Rendered]]:
    async def run(visit: Visit) -> Rendered:
        refund = identifier(visit.path["refund"], Reason.UNKNOWN_REFUND)
        route = f"POST /console/refunds/{refund}/{name}"
        caller = Caller(visit.actor, visit.actor, route, _key(visit), _render)
        try:
            answer = finish(await do(visit, caller, refund))
        except Refused as refused:
            if refused.refusal.reason is Reason.UNKNOWN_REFUND:
                raise
            answer = problem(refused.refusal)
        done = msgspec.json.decode(answer.body, type=_Done)
        from_case = visit.form.get("from") == "case"
        if answer.status >= 400:
            show = reviews.show_case if from_case else pages.show_refund
            return await show(visit, STATUS[Reason(done.code)], done.detail)
        after = "/console/reviews" if from_case else f"/console/refunds/{refund}"
        return visit.go(f"{after}?done={'parked' if done.parked else name}")

    return run


async def _unpark(visit: Visit) -> Rendered:
    order = identifier(visit.path["order"], Reason.UNKNOWN_ORDER)
    route = f"POST /console/orders/{order}/unpark"
    caller = Caller(visit.actor, visit.actor, route, _key(visit), _render)
    why = visit.form.get("why", "").strip()[:500]
    answer = finish(await actions.unpark(visit.engine, caller, order, why))
    if answer.status >= 400:
        done = msgspec.json.decode(answer.body, type=_Done)
        raise Refused(Reason(done.code), done.detail)
    return visit.go(f"/console/orders/{order}?done=unpark")


# The least role of each act; the buttons of engine/desk.py name the same, and a test compares.
ACTS: dict[str, tuple[str, Do]] = {
    "approve": ("reviewer", _approve),
    "decline": ("reviewer", _decline),
    "payout": ("reviewer", _payout),
    "cancel": ("agent", _cancel),
    "retry": ("agent", _retry),
}

ROUTES = (
    *(
        Route("POST", f"/console/refunds/{{refund}}/{name}", role, _doing(name, do))
        for name, (role, do) in ACTS.items()
    ),
    Route("POST", "/console/orders/{order}/unpark", "admin", _unpark),
)
