"""What people do with refunds in review: decide one or many, and move cases on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from amends.core.facts import Addressed, Approved, CaseMove, CaseMoved, Rejected
from amends.core.reasons import Reason, Refused
from amends.core.requests import ApproveReason, DeclineReason
from amends.engine.actions import Caller, ask_of
from amends.engine.asks import Told
from amends.engine.queries import PAGE_MAX
from amends.engine.wiring import Engine
from amends.kernel.canon import digest
from amends.kernel.time import Instant, rfc3339
from amends.store.spec import NoteText


async def approve(
    engine: Engine,
    caller: Caller,
    role: str,
    refund: str,
    shown: str = "",
    amount: int = 0,
    reason: ApproveReason = "as_asked",
) -> Told:
    """Approve a refund in review as it was shown, or `amount` of it. Raises Refused where there is
    no such refund."""
    return await _decide(engine, caller, Approved(refund, shown, role, amount, reason))


async def decline(
    engine: Engine, caller: Caller, refund: str, reason: DeclineReason = "other", why: str = ""
) -> Told:
    """Decline a refund in review; of `why` only a salted hash goes on the trail. Raises Refused."""
    order = await _order_of(engine, refund)
    note = _noted(engine, order, why)
    fact = Rejected(refund, note.hash, note.id, reason)
    return await _submit(engine, caller, order, fact, note, why)


async def _decide(engine: Engine, caller: Caller, fact: Approved) -> Told:
    return await _submit(engine, caller, await _order_of(engine, fact.refund), fact, _NONE, "")


class Move(NamedTuple):
    """How a case moves on (core.facts.CaseMoved), with a `note` in words."""

    what: CaseMove
    who: str = ""
    until: Instant = 0
    role: str = ""
    reference: str = ""
    note: str = ""
    outcome: Literal["", "approve", "decline"] = ""
    cites: tuple[int, ...] = ()


async def move(engine: Engine, caller: Caller, refund: str, said: Move) -> Told:
    """Move a case on. Raises Refused: there is no such refund, or something is not said."""
    wrong = _missing(said)
    if wrong:
        pointer, sentence = wrong
        raise Refused(Reason.VALIDATION, sentence, pointer=pointer)
    order = await _order_of(engine, refund)
    note = _noted(engine, order, said.note)
    fact = CaseMoved(
        *(refund, said.what, said.who, said.until, said.role, said.reference, note.id, note.hash),
        outcome=said.outcome,
        cites=said.cites,
    )
    return await _submit(engine, caller, order, fact, note, said.note)


_ID = re.compile(r"[!-~]{0,255}")  # what may stand on the trail (I15); the API takes the same


def _missing(said: Move) -> tuple[str, str] | None:
    for name, text in (("reference", said.reference), ("who", said.who)):
        if not _ID.fullmatch(text):
            return f"/{name}", f"The {name} is an id without spaces; what else there is is a note."
    if said.what == "attach" and not said.reference:
        return "/reference", "Say the reference of what is attached."
    if said.what in ("note", "ask") and not said.note.strip():
        return "/note", "Say it in a note."
    if said.what == "snooze" and not said.until:
        return "/until", "Say until when it is put off."
    return None


class Decision(NamedTuple):
    """One of several decisions."""

    refund: str
    approves: bool
    shown: str = ""
    reason: str = ""


async def decide_all(
    engine: Engine,
    caller_of: Callable[[str], Caller],
    role: str,
    decisions: Sequence[Decision],
    tell: Callable[[Awaitable[Told]], Awaitable[Any]],
) -> list[Any]:
    """Decide each for itself, under a key of its own that follows from the request's: a repeat
    gives the same results. `caller_of` makes the caller of one refund; `tell` what is told of it.
    Raises Refused where a refund is named twice, before any is decided."""
    names = [one.refund for one in decisions]
    if twice := next((n for n in names if names.count(n) > 1), ""):
        raise Refused(
            Reason.VALIDATION,
            f"{twice} is decided twice.",
            pointer=f"/decisions/{names.index(twice)}",
        )

    async def one(said: Decision) -> Any:
        caller = caller_of(said.refund)
        caller = msgspec.structs.replace(caller, key=f"bulk:{digest([caller.key, said.refund])}")
        if said.approves:
            reason: ApproveReason = said.reason or "as_asked"  # type: ignore[assignment]
            return await tell(approve(engine, caller, role, said.refund, said.shown, 0, reason))
        no: DeclineReason = said.reason or "other"  # type: ignore[assignment]
        return await tell(decline(engine, caller, said.refund, no))

    return await asyncio.gather(*(one(said) for said in decisions))


async def reviews(
    engine: Engine, filters: dict[str, str], cursor: str, limit: int
) -> dict[str, Any]:
    """Refunds that wait for a person, soonest due first, or that did: a page. Raises ValueError for
    a cursor of another list, or a filter's value that there is not."""
    now = engine.clock.now()
    page = await engine.store.reviews(filters, cursor, min(limit, PAGE_MAX), now)
    return {"items": [_item(item) for item in page.items], "next": page.next or None}


_INSTANTS = ("due", "snoozed_until", "created_at", "closed_at")


def _item(item: dict[str, Any]) -> dict[str, Any]:
    at = {n: rfc3339(item[n]) if item[n] else None for n in _INSTANTS}
    return item | at | {"asked": bool(item["asked"])}


# -- what they share -----------------------------------------------------------------------------


class _Note(NamedTuple):
    id: str = ""
    hash: str = ""
    texts: tuple[NoteText, ...] = ()


_NONE = _Note()


def _noted(engine: Engine, order: str, text: str) -> _Note:
    """A fact names its note and holds the salted hash; the text goes beside it (I15)."""
    if not text.strip():
        return _NONE
    name, salt = f"nt_{engine.new_id()}", engine.ids.salt()
    kept = NoteText(name, order, salt, text, engine.clock.now())
    return _Note(name, digest([salt, text]), (kept,))


async def _order_of(engine: Engine, refund: str) -> str:
    order = await engine.store.refund_order(refund)
    if order is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    return order


async def _submit(
    engine: Engine,
    caller: Caller,
    order: str,
    fact: Approved | Rejected | CaseMoved,
    note: _Note,
    text: str,
) -> Told:
    """The body that a repeat is held against says what the caller said: not who they are, nor what
    is made of the note."""
    plain = {"refund": fact.refund, "what": type(fact).__name__}
    plain |= {"shown": getattr(fact, "shown", "")}
    made = {"fact", "note_id", "note_hash", "why"} | (
        {"role"} if plain["what"] == "Approved" else set()
    )
    plain |= {n: v for n, v in msgspec.to_builtins(fact).items() if n not in made}
    plain |= {"note": digest([caller.key, text])} if text else {}
    ask = ask_of(caller, (Addressed(fact, order=order),), plain)
    ask.notes = note.texts
    return await engine.turner.submit(ask)
