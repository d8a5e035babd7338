"""What decides by itself: versions, drafts, stops, and the editor with what can be tried in it."""

from __future__ import annotations

import base64
from asyncio import Lock
from collections.abc import Awaitable, Callable
from typing import Any

from amends.core.policy import Document, hash_of
from amends.core.reasons import Reason, Refused
from amends.doors import examples
from amends.doors.console.rulebook import Place, follows, limit, places, toml
from amends.doors.console.web import Route, Visit
from amends.doors.pages import identifier
from amends.doors.pages import instant as read_instant
from amends.doors.policies import replays
from amends.doors.problems import STATUS
from amends.doors.replay_plot import picture
from amends.engine import case_desk, policies, policy_desk, queries
from amends.engine.asks import Rendered
from amends.engine.tryout import judged_of
from amends.engine.wiring import Engine
from amends.kernel.time import DAY

POLICIES, EDITOR = "/console/policies", "/console/policy"
TEXT_MAX = 256 * 1024  # bytes of the editor's form
TRIED = 10  # of the newest refunds
NAME_MAX = 100
WHY_MAX = 500
REPLAYS = {"30": 30, "90": 90}  # days

Work = Callable[[Visit, Document], Awaitable[dict[str, Any]]]


async def page(visit: Visit) -> Rendered:
    return await _page(visit)


async def _page(visit: Visit, status: int = 200, wrong: str = "") -> Rendered:
    engine = visit.engine
    await case_desk.fresh_board(engine)
    current = engine.ctx(engine.clock.now()).policy
    values = {
        "versions": await policy_desk.listed(engine),
        "drafts": await policy_desk.drafts(engine),
        "stops": await policy_desk.stops(engine, True),
        "current": current,
        "scopes": policies.SCOPES,
        "trades": examples.NAMES,
        "wrong": wrong,
    }
    return visit.page("policies.html", status, here="policies", **values)


async def version(visit: Visit) -> Rendered:
    """One version or draft, in words."""
    name = visit.path["name"]
    document = await _found(visit, name)
    books = visit.engine.config.ledger.functional_currency
    await case_desk.fresh_board(visit.engine)
    current = visit.engine.ctx(visit.engine.clock.now()).policy.table.document
    values = {
        "document": document,
        "name": name,
        "hash": hash_of(document),
        "rows": [(row, follows(row)) for row in document.rows],
        "caps": [(name, limit(cap, books)) for name, cap in document.caps.items()],
        "differs": policy_desk.differences(current, document),
    }
    return visit.page("policy.html", 200, here="policies", **values)


async def _found(visit: Visit, name: str) -> Document:
    if not 0 < len(name) <= NAME_MAX or not name.isascii() or not name.isprintable():
        raise Refused(Reason.UNKNOWN_POLICY)
    return await policy_desk.find(visit.engine, name)


# -- the editor ----------------------------------------------------------------------------------


async def editor(visit: Visit) -> Rendered:
    like, name = visit.query.get("like", ""), visit.query.get("from", "current")
    if like:
        if like not in examples.NAMES:
            raise Refused(Reason.NOT_FOUND, f"There are {', '.join(examples.NAMES)}.")
        return _editor(visit, examples.text(like))
    return _editor(visit, toml(await _found(visit, name)))


def _editor(
    visit: Visit,
    text: str,
    status: int = 200,
    wrong: str = "",
    faults: list[Place] | None = None,
    said: dict[str, Any] | None = None,
) -> Rendered:
    """`said`: what came of what was asked, by name; its `hash` is that of the text as it is."""
    nothing: dict[str, Any] = {
        "hash": "",
        "done": "",
        "tried": [],
        "replay": None,
        "plot": "",
        "differs": None,
    }
    values = {"text": text, "wrong": wrong, "faults": faults or [], **nothing, **(said or {})}
    values |= {"lines": text.count("\n") + 2, "asked": visit.form}
    return visit.page("editor.html", status, here="policies", **values)


def _working(work: Work) -> Callable[[Visit], Awaitable[Rendered]]:
    """Do something with the text of the editor's form, and show the editor again with it."""

    async def run(visit: Visit) -> Rendered:
        text = visit.form.get("text", "").replace("\r\n", "\n")
        try:
            document = policies.parse(text.encode(), "toml")
            policies.check(document)
            said = await work(visit, document)
        except Refused as refused:
            why = refused.refusal
            errors = why.extra.get("errors")
            if errors:
                return _editor(visit, text, STATUS[why.reason], "", places(text, errors))
            return _editor(visit, text, STATUS[why.reason], why.detail)
        if said.get("go"):
            return visit.go(said["go"])
        return _editor(visit, text, said={"hash": hash_of(document), **said})

    return run


async def _check(visit: Visit, document: Document) -> dict[str, Any]:
    await case_desk.fresh_board(visit.engine)
    current = visit.engine.ctx(visit.engine.clock.now()).policy.table.document
    rows = len(document.rows)
    told = f"{rows} {'row' if rows == 1 else 'rows'}, and nothing wrong."
    return {"done": told, "differs": policy_desk.differences(current, document)}


async def _draft(visit: Visit, document: Document) -> dict[str, Any]:
    row = await policies.put_draft(visit.engine, visit.actor, document, False)
    return {"done": f"The draft {row.name} is kept. It decides nothing."}


async def _shadow(visit: Visit, document: Document) -> dict[str, Any]:
    row = await policies.put_draft(visit.engine, visit.actor, document, True)
    return {
        "done": f"The draft {row.name} is kept, and judges every refund beside the one in force. "
        "It decides nothing."
    }


async def _try(visit: Visit, document: Document) -> dict[str, Any]:
    """One refund that is named, or the newest that were judged."""
    engine, named = visit.engine, visit.form.get("refund", "").strip()
    if named:
        name = identifier(named, Reason.UNKNOWN_REFUND)
        return {"tried": [await _tried(visit, document, name)]}
    found: list[tuple[Any, Any]] = []
    newest = await queries.refunds(engine, {}, "", 2 * TRIED)
    for item in newest["items"]:
        try:
            found.append(await _tried(visit, document, item["id"]))
        except Refused as refused:
            if refused.refusal.reason is not Reason.NOT_FOUND:
                raise
        if len(found) == TRIED:
            break
    if not found:
        raise Refused(Reason.NOT_FOUND, "No refund was judged yet that it could be tried on.")
    return {"tried": found}


async def _tried(visit: Visit, document: Document, refund: str) -> tuple[Any, Any]:
    """The judgement as it was, and as it would be."""
    judged = await judged_of(visit.engine, refund)
    return judged, await policy_desk.try_refund(visit.engine, document, refund)


async def _replay(visit: Visit, document: Document) -> dict[str, Any]:
    days = REPLAYS.get(visit.form.get("days", ""), 30)
    since = visit.engine.clock.now() - days * DAY
    found = await replays.run(visit.engine, document, since)
    drawn = picture(found, visit.engine.config.ledger.functional_currency)
    return {"replay": found, "days": days, "plot": base64.b64encode(drawn.encode()).decode()}


async def _publish(visit: Visit, document: Document) -> dict[str, Any]:
    why = visit.form.get("why", "").strip()[:WHY_MAX]
    if hash_of(document) != visit.form.get("hash", ""):
        raise Refused(
            Reason.SHOWN_CHANGED, "The text is not the one that was checked. Check it again."
        )
    if not why:
        raise Refused(Reason.VALIDATION, "Say why it is published.")
    said = visit.form.get("since", "").strip()
    since = read_instant(said, "since") if said else 0
    lock: Lock = visit.shared.setdefault("publishing", Lock())
    async with lock:
        rows = await visit.engine.store.policies()
        if rows and rows[-1].hash == hash_of(document) and not since:
            raise Refused(Reason.WRONG_STATE, "It was published already: nothing was done.")
        row = await policies.publish(visit.engine, visit.actor, document, since, why)
    return {"go": f"{POLICIES}/{row.number}?done=publish"}


async def drop(visit: Visit) -> Rendered:
    await policies.drop_draft(visit.engine, visit.actor, visit.path["name"])
    return visit.go(f"{POLICIES}?done=drop")


# -- stops ---------------------------------------------------------------------------------------


async def stop(visit: Visit) -> Rendered:
    form = visit.form
    scope, key = form.get("scope", ""), form.get("key", "").strip()[:255]
    why = form.get("why", "").strip()[:WHY_MAX]
    try:
        for row in await policies.stops(visit.engine):
            if (row.stop.scope, row.stop.key) == (scope, key):
                raise Refused(Reason.WRONG_STATE, "These refunds are stopped already.")
        if scope == "customer" and not await _is_known(visit.engine, key):
            raise Refused(
                Reason.VALIDATION,
                f"Nothing is known of a customer {key}; "
                "amends stop set also stops one who is still to come.",
            )
        await policies.set_stop(visit.engine, visit.actor, scope, key, why)  # type: ignore[arg-type]
    except Refused as refused:
        return await _page(visit, STATUS[refused.refusal.reason], refused.refusal.detail)
    return visit.go(f"{POLICIES}?done=stop")


async def _is_known(engine: Engine, customer: str) -> bool:
    return any(one.kind == "customer" for one in await engine.store.find(customer))


async def lift(visit: Visit) -> Rendered:
    name = identifier(visit.path["name"], Reason.UNKNOWN_STOP)
    try:
        why = visit.form.get("why", "").strip()[:WHY_MAX]
        await policies.lift_stop(visit.engine, visit.actor, name, why)
    except Refused as refused:
        return await _page(visit, STATUS[refused.refusal.reason], refused.refusal.detail)
    return visit.go(f"{POLICIES}?done=lift")


_WORKS: dict[str, tuple[str, Work]] = {
    "check": ("finance", _check),
    "draft": ("finance", _draft),
    "shadow": ("finance", _shadow),
    "try": ("finance", _try),
    "replay": ("finance", _replay),
    "publish": ("admin", _publish),
}

ROUTES = (
    Route("GET", POLICIES, "viewer", page),
    Route("GET", f"{POLICIES}/{{name}}", "viewer", version),
    Route("POST", f"{POLICIES}/{{name}}/drop", "finance", drop),
    Route("GET", EDITOR, "finance", editor),
    *(
        Route("POST", f"{EDITOR}/{name}", role, _working(work), TEXT_MAX)
        for name, (role, work) in _WORKS.items()
    ),
    Route("POST", "/console/stops", "finance", stop),
    Route("POST", "/console/stops/{name}/lift", "finance", lift),
)
