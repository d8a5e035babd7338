"""Policies, drafts and stops: written by people, read by every process before it decides.

A version is immutable and named by the hash of its text. What is in force, which drafts run beside
it and what is stopped is the board: each change raises its number in its own commit, and a turn
that reads another number than its process knows reads the board again first. So a stop holds for
every turn that begins after its commit, in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from amends.core.events import Event, EventType, link
from amends.core.history import Stop, StopScope
from amends.core.policy import (
    BadPolicy,
    Document,
    Fault,
    Table,
    checked,
    hash_of,
)
from amends.core.reasons import Reason, Refused
from amends.engine.wiring import Engine
from amends.kernel.canon import digest
from amends.kernel.time import Instant, rfc3339
from amends.store.records import DraftRow, Head, PolicyRow, StopRow

SCOPES: tuple[StopScope, ...] = ("all", "order", "customer", "connection")
NAMED = ("current", "built-in")  # what these words find is never a draft
SIZE_MAX = 1024 * 1024  # of a text that is looked at at all
DOTS_MAX = 5_000  # of TOML: reading a key a.a.a.… takes the square of its parts, for minutes


def parse(raw: bytes, kind: Literal["json", "toml"] = "json") -> Document:
    """A document from its text. Raises Refused with the place of what does not fit."""
    if len(raw) > SIZE_MAX:
        raise _bad([Fault("", f"The policy has {len(raw):,} bytes; no policy is that long.")])
    if kind == "toml" and (dots := raw.count(b".")) > DOTS_MAX:
        raise _bad([Fault("", f"The policy has {dots:,} points; at most {DOTS_MAX:,} are taken.")])
    decode = msgspec.json.decode if kind == "json" else msgspec.toml.decode
    try:
        return decode(raw, type=Document)
    except msgspec.ValidationError as error:
        raise _bad([Fault(_pointer(str(error)), str(error).partition(" - at ")[0])]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad([Fault("", f"It is not {kind.upper()}: {error}")]) from None
    except ValueError:  # an integer of thousands of digits
        raise _bad([Fault("", "A number is too large.")]) from None


def _pointer(text: str) -> str:
    """The place in a message of msgspec: "… - at `$.rows[1].when`" as a JSON pointer."""
    path = text.partition(" - at `$")[2].rstrip("`")
    return path.replace(".", "/").replace("[", "/").replace("]", "")


def _bad(faults: list[Fault]) -> Refused:
    detail = " ".join(f"{fault.pointer or '/'}: {fault.says}" for fault in faults[:5])
    plain = [{"pointer": fault.pointer, "detail": fault.says} for fault in faults]
    return Refused(Reason.BAD_POLICY, detail, errors=plain)


def check(document: Document) -> Table:
    """Its table. Raises Refused with everything that is wrong."""
    try:
        return checked(document)
    except BadPolicy as bad:
        raise _bad(list(bad.faults)) from None


# -- changes -------------------------------------------------------------------------------------


async def publish(
    engine: Engine, actor: str, document: Document, effective_from: Instant = 0, why: str = ""
) -> PolicyRow:
    """Put a policy in force, from now or from a later instant. Raises Refused: it has faults, or
    should have been in force before now."""
    check(document)
    now = engine.clock.now()
    if effective_from and effective_from < now:
        raise Refused(
            Reason.VALIDATION,
            "A policy cannot be in force before it is published.",
            pointer="/effective_from",
        )
    while True:
        last = await engine.store.policies()
        row = PolicyRow(
            number=len(last) + 1,
            hash=hash_of(document),
            name=document.name,
            doc=msgspec.json.encode(document).decode(),
            effective_from=effective_from or now,
            at=now,
            actor=actor,
        )
        body = {
            "number": row.number,
            "hash": row.hash,
            "name": row.name,
            "effective_from": rfc3339(row.effective_from),
            "why": digest(why) if why else "",
        }
        if await engine.store.publish(row, _event(engine, actor, "policy.published", body)):
            return row


async def put_draft(
    engine: Engine, actor: str, document: Document, shadow: bool = False
) -> DraftRow:
    """Keep a draft under its name; `shadow`: it runs beside the live one. Raises Refused."""
    check(document)
    if document.name in NAMED or document.name.isdigit():
        said = f"{document.name} is another policy's name; give the draft one of its own."
        raise _bad([Fault("/name", said)])
    doc = msgspec.json.encode(document).decode()
    row = DraftRow(document.name, doc, hash_of(document), shadow, engine.clock.now(), actor)
    body = {"name": row.name, "hash": row.hash, "shadow": shadow}
    await engine.store.put_draft(row, _event(engine, actor, "policy.drafted", body))
    return row


async def drop_draft(engine: Engine, actor: str, name: str) -> None:
    """Raises Refused where there is none."""
    event = _event(engine, actor, "policy.dropped", {"name": name})
    if await engine.store.drop_draft(name, event) is None:
        raise Refused(Reason.UNKNOWN_POLICY)


async def draft(engine: Engine, name: str) -> Document:
    """A draft by its name. Raises Refused."""
    for row in await engine.store.drafts():
        if row.name == name:
            return parse(row.doc.encode())
    raise Refused(Reason.UNKNOWN_POLICY)


async def set_stop(engine: Engine, actor: str, scope: StopScope, key: str, why: str) -> Stop:
    """Stop refunds at once. Raises Refused, also for an order or a connection that there is not:
    who misspells it would read that refunds are stopped, while they leave. A customer may be still
    to come."""
    if scope not in SCOPES or (scope == "all") == bool(key) or not why.strip():
        raise Refused(
            Reason.VALIDATION,
            "A stop is of one order, customer or connection, named by `key`, or of all, without a "
            "key; and it says why.",
            pointer="/why" if not why.strip() else "/key",
        )
    if scope == "order" and await engine.store.order(key) is None:
        raise Refused(
            Reason.VALIDATION,
            f"There is no order {key} here: its id begins with ord_; search for the shop's.",
            pointer="/key",
        )
    if scope == "connection" and engine.connections and key not in engine.connections:
        raise Refused(
            Reason.VALIDATION,
            f"There is no connection {key}; there are {', '.join(sorted(engine.connections))}.",
            pointer="/key",
        )
    stop = Stop(f"stop_{engine.new_id()}", scope, key, why, actor, engine.clock.now())
    body = {"stop": stop.id, "scope": scope, "key": key, "why": digest(why)}
    await engine.store.add_stop(stop, _event(engine, actor, "stop.set", body, "system:stops"))
    return stop


async def lift_stop(engine: Engine, actor: str, stop: str, why: str) -> None:
    """Let refunds go on. Raises Refused where no such stop holds."""
    if not why.strip():
        raise Refused(Reason.VALIDATION, "Say why it is lifted.", pointer="/why")
    body = {"stop": stop, "why": digest(why)}
    event = _event(engine, actor, "stop.lifted", body, "system:stops")
    lifted = await engine.store.lift_stop(stop, engine.clock.now(), actor, why, event)
    if lifted is None:
        raise Refused(Reason.UNKNOWN_STOP)


async def stops(engine: Engine, active: bool = True) -> list[StopRow]:
    return await engine.store.stops(active)


def _event(
    engine: Engine,
    actor: str,
    type_: EventType,
    body: dict[str, Any],
    stream: str = "system:policy",
) -> Callable[[Head], Event]:
    now, fact = engine.clock.now(), engine.new_id()
    said = {name: value for name, value in body.items() if value not in ("", None)}

    def make(head: Head) -> Event:
        return link(stream, head.seq + 1, head.hash, now, type_, actor, fact, "", said)

    return make
