"""What people do with refunds: through the same actions as every other door.

A form brings a key of its own, so that sending it twice is one action, and where to go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import msgspec

from amends.core.cases import NOT_AFTER
from amends.core.facts import PaidOutside
from amends.core.reasons import Reason, Refusal, Refused
from amends.core.requests import ApproveReason, DeclineReason
from amends.doors.calls import encode, finish
from amends.doors.console import desk as pages
from amends.doors.console import reviews
from amends.doors.console.web import Route, Visit
from amends.doors.console.words import VERBS
from amends.doors.pages import identifier
from amends.doors.problems import STATUS, problem
from amends.engine import actions, review_desk
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result, Told
from amends.engine.review_desk import Decision, Move
from amends.gateways.codecs import Malformed, minor_units
from amends.kernel.money import major
from amends.kernel.time import DAY, Instant

KEY_MAX = 100
TEXT_MAX = 2000  # of a note
NAME_MAX = 255  # of a reference
PICK = "pick-"  # how the fields of ticked refunds begin
NOTHING = "nothing"  # what a form showed that does not say; no refund's hash

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
    reason = _approve_reason(visit.form.get("reason", ""))
    amount = await _amount(visit, refund)
    shown = visit.form.get("shown") or NOTHING
    return await review_desk.approve(
        visit.engine, caller, visit.me.role, refund, shown, amount, reason
    )


async def _decline(visit: Visit, caller: Caller, refund: str) -> Told:
    reason = _decline_reason(visit.form.get("reason", ""))
    why = visit.form.get("why", "").strip()[:TEXT_MAX]
    return await review_desk.decline(visit.engine, caller, refund, reason, why)


def _approve_reason(said: str) -> ApproveReason:
    """Raises Refused."""
    found: ApproveReason = _chosen(said or "as_asked", ApproveReason, "approve")
    return found


def _decline_reason(said: str) -> DeclineReason:
    """Raises Refused."""
    found: DeclineReason = _chosen(said, DeclineReason, "decline")
    return found


def _chosen(said: str, reasons: Any, verb: str) -> Any:
    if said not in get_args(reasons):
        raise Refused(Reason.VALIDATION, f"Choose a reason to {verb} it from the list.")
    return said


async def _amount(visit: Visit, refund: str) -> int:
    """The smaller amount that was typed, in minor units; 0 for none. Raises Refused."""
    typed = visit.form.get("amount", "").strip()
    if not typed:
        return 0
    order_id = await visit.engine.store.refund_order(refund)
    order = await visit.engine.store.order(order_id) if order_id else None
    found = order.refund(refund) if order else None
    if order is None or found is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    code = order.currency
    most = major(found.amount, code)
    try:
        amount = minor_units(typed.removesuffix(code).strip(), code)
    except Malformed:
        amount = 0
    if not 0 < amount <= found.amount:
        raise Refused(
            Reason.VALIDATION,
            f"{typed} cannot be given: write an amount of more than nothing and at most {most} "
            f"{code}, with a point before its smaller unit, like {most}; leave the field empty "
            "for all of it.",
        )
    return amount if amount < found.amount else 0


async def _cancel(visit: Visit, caller: Caller, refund: str) -> Told:
    return await actions.cancel(visit.engine, caller, refund)


async def _retry(visit: Visit, caller: Caller, refund: str) -> Told:
    return await actions.retry(visit.engine, caller, refund)


async def _payout(visit: Visit, caller: Caller, refund: str) -> Told:
    said = {name: visit.form.get(name, "").strip() for name in ("reference", "way", "consent")}
    more = {"shown": visit.form.get("shown") or NOTHING, "role": visit.me.role}
    try:
        fact = msgspec.convert(
            {"type": "paid_outside", "refund": refund, **said, **more}, PaidOutside
        )
    except msgspec.ValidationError as error:
        raise Refused(Reason.VALIDATION, f"{error}.") from None
    if not fact.reference:
        raise Refused(Reason.VALIDATION, "Say under which reference the customer was paid.")
    return await actions.payout(visit.engine, caller, fact)


# -- cases ---------------------------------------------------------------------------------------


async def _case(visit: Visit, caller: Caller, refund: str) -> Told:
    return await review_desk.move(visit.engine, caller, refund, _move(visit))


def _move(visit: Visit) -> Move:
    """What a form says of a case. Raises Refused."""
    form, what = visit.form, visit.form.get("what", "")
    note = form.get("note", "").strip()[:TEXT_MAX]
    if what == "take":
        return Move("assign", who=visit.actor)
    if what == "leave":
        return Move("assign")
    if what == "snooze":
        return Move("snooze", until=_until(visit), note=note)
    if what == "escalate":
        return Move("escalate", role=form.get("role", ""), note=note)
    if what == "note":
        return Move("note", note=note)
    if what == "ask":
        return Move("ask", note=note)
    if what == "attach":
        return Move("attach", reference=form.get("reference", "").strip()[:NAME_MAX], note=note)
    raise Refused(Reason.VALIDATION, "Choose what is to be done with the case.")


def _until(visit: Visit) -> Instant:
    """An instant of the page's choices, so that sending a form twice says the same twice."""
    said = visit.form.get("until", "")
    most = visit.engine.clock.now() + NOT_AFTER * DAY
    if not (said.isascii() and said.isdigit() and len(said) < 20) or int(said) > most:
        raise Refused(Reason.VALIDATION, f"Put it off for {NOT_AFTER} days at most.")
    return int(said)


def _key(visit: Visit) -> str:
    key = visit.form.get("key", "")
    if not key or len(key) > KEY_MAX or not key.isascii() or not key.isalnum():
        raise Refused(Reason.MALFORMED, "This form has no key; load its page again.")
    return key


def _doing(name: str, do: Do) -> Callable[[Visit], Awaitable[Rendered]]:
    async def run(visit: Visit) -> Rendered:
        refund = identifier(visit.path["refund"], Reason.UNKNOWN_REFUND)
        caller = _caller(visit, refund, name)
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
        if name == "case":
            what = visit.form.get("what", "")
            return visit.go(f"/console/reviews/{refund}?done={'parked' if done.parked else what}")
        after = "/console/reviews" if from_case else f"/console/refunds/{refund}"
        return visit.go(f"{after}?done={'parked' if done.parked else name}")

    return run


def _caller(visit: Visit, refund: str, name: str) -> Caller:
    route = f"POST /console/refunds/{refund}/{name}"
    return Caller(visit.actor, visit.actor, route, _key(visit), _render)


async def _decide_all(visit: Visit) -> Rendered:
    """Approve or decline what is ticked, each for itself; the queue tells what came of each."""
    approves = visit.form.get("decide") == "approve"
    picked = {n.removeprefix(PICK): s for n, s in visit.form.items() if n.startswith(PICK)}
    try:
        if not picked:
            raise Refused(Reason.VALIDATION, "Tick the refunds that are to be decided.")
        if approves:
            reason: str = _approve_reason(visit.form.get("approve_reason", ""))
        else:
            reason = _decline_reason(visit.form.get("decline_reason", ""))
        _key(visit)
    except Refused as refused:
        why = refused.refusal
        return await reviews.show_queue(visit, STATUS[why.reason], why.detail)
    wanted = [Decision(n, approves, shown or NOTHING, reason) for n, shown in picked.items()]

    def caller_of(refund: str) -> Caller:
        return _caller(visit, refund, "decide")

    told = await review_desk.decide_all(visit.engine, caller_of, visit.me.role, wanted, _told)
    found = [(one.refund, said) for one, said in zip(wanted, told, strict=True)]
    return await reviews.show_queue(visit, decided=found, approved=approves)


async def _told(telling: Awaitable[Told]) -> str:
    """Why not, "" for what was done."""
    try:
        answer = finish(await telling)
    except Refused as refused:
        return refused.refusal.detail
    done = msgspec.json.decode(answer.body, type=_Done)
    return VERBS["parked"] if done.parked else done.detail


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
    Route("POST", "/console/refunds/{refund}/case", "agent", _doing("case", _case)),
    Route("POST", "/console/reviews", "reviewer", _decide_all),
    Route("POST", "/console/orders/{order}/unpark", "admin", _unpark),
)
