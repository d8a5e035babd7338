"""Policies, drafts, replays and stops over REST."""

from __future__ import annotations

from typing import Any

import msgspec

from amends.core.policy import Document, hash_of
from amends.core.reasons import Reason, Refused
from amends.doors import shapes
from amends.doors import shapes_policy as told
from amends.doors.calls import Asked, Call, Query, decode, fine
from amends.doors.pages import identifier, instant
from amends.engine import policies, policy_desk
from amends.engine.asks import Rendered
from amends.engine.board import newest
from amends.kernel.time import DAY, rfc3339

_PUBLISH = msgspec.json.Decoder(told.PublishIn)
_POLICY = msgspec.json.Decoder(told.PolicyIn)
_DRAFT = msgspec.json.Decoder(told.DraftIn)
_REPLAY = msgspec.json.Decoder(told.ReplayIn)
_STOP = msgspec.json.Decoder(told.StopIn)
_LIFT = msgspec.json.Decoder(told.LiftIn)
replays = policy_desk.Replays()  # of the process, whoever asks

WRITE = ("policies:write",)


def _document(plain: dict[str, Any]) -> Document:
    """Raises Refused with everything that is wrong."""
    document = policies.parse(msgspec.json.encode(plain))
    policies.check(document)
    return document


async def versions(asked: Asked) -> Rendered:
    return fine({"items": await policy_desk.listed(asked.engine)})


async def publish(asked: Asked) -> Rendered:
    said = decode(_PUBLISH, asked.body)
    since = instant(said.effective_from, "effective_from") if said.effective_from else 0
    document = _document(said.policy)
    row = await policies.publish(asked.engine, asked.actor, document, since, said.why)
    rows = await asked.engine.store.policies()
    return fine(policy_desk.version_view(row, newest(rows, asked.engine.clock.now())), 201)


async def read(asked: Asked) -> Rendered:
    document = await policy_desk.find(asked.engine, _name(asked.path["version"]))
    plain = policy_desk.plain(document)
    return fine({"name": document.name, "hash": hash_of(document), "policy": plain})


def _name(text: str) -> str:
    """Of a version or draft; one that none can have is unknown without asking the database."""
    if not 0 < len(text) <= 100 or not text.isascii() or not text.isprintable():
        raise Refused(Reason.UNKNOWN_POLICY)
    return text


async def check(asked: Asked) -> Rendered:
    document = _document(decode(_POLICY, asked.body).policy)
    return fine({"ok": True, "rows": len(document.rows), "hash": hash_of(document)})


async def drafts(asked: Asked) -> Rendered:
    return fine({"items": await policy_desk.drafts(asked.engine)})


async def put_draft(asked: Asked) -> Rendered:
    said = decode(_DRAFT, asked.body)
    document = _document(said.policy)
    if document.name != asked.path["name"]:
        raise Refused(
            Reason.VALIDATION,
            "A draft is kept under the name that its policy has.",
            pointer="/policy/name",
        )
    row = await policies.put_draft(asked.engine, asked.actor, document, said.shadow)
    return fine(policy_desk.draft_view(row))


async def drop_draft(asked: Asked) -> Rendered:
    name = _name(asked.path["name"])
    before = await policy_desk.drafts(asked.engine)
    await policies.drop_draft(asked.engine, asked.actor, name)
    return fine(next((one for one in before if one["name"] == name), None))


async def replay(asked: Asked) -> Rendered:
    said = decode(_REPLAY, asked.body)
    if (said.policy is None) == (not said.name):
        raise Refused(Reason.VALIDATION, "Give a policy, or name one.", pointer="/name")
    now = asked.engine.clock.now()
    since = instant(said.since, "since") if said.since else now - 90 * DAY
    if said.policy is not None:
        document = _document(said.policy)
    else:
        document = await policy_desk.find(asked.engine, _name(said.name))
    found = await replays.run(asked.engine, document, since)
    return fine(policy_desk.replay_view(found))


async def stops(asked: Asked) -> Rendered:
    state = asked.query.get("state", "active")
    if state not in ("active", "all"):
        raise Refused(Reason.VALIDATION, "state is active or all.", parameter="state")
    return fine({"items": await policy_desk.stops(asked.engine, state == "active")})


async def set_stop(asked: Asked) -> Rendered:
    said = decode(_STOP, asked.body)
    stop = await policies.set_stop(asked.engine, asked.actor, said.scope, said.key, said.why)
    view = {n: getattr(stop, n) for n in ("id", "scope", "key", "why", "actor")}
    return fine({**view, "at": rfc3339(stop.at), "lifted_at": None, "lifted_by": None}, 201)


async def lift(asked: Asked) -> Rendered:
    stop = identifier(asked.path["stop"], Reason.UNKNOWN_STOP)
    said = decode(_LIFT, asked.body)
    await policies.lift_stop(asked.engine, asked.actor, stop, said.why)
    every = await policy_desk.stops(asked.engine, False)
    return fine(next(one for one in every if one["id"] == stop))


_STATE = {"type": "string", "enum": ["active", "all"]}

CALLS = (
    Call(
        "listPolicies",
        "GET",
        "/v1/policies",
        "The versions that were published, the newest first.",
        versions,
        scopes=(*shapes.READ, *WRITE),
        answers={200: told.PolicyVersions},
    ),
    Call(
        "publishPolicy",
        "POST",
        "/v1/policies",
        "Put a policy in force, now or from a later instant.",
        publish,
        scopes=WRITE,
        body=told.PublishIn,
        answers={201: told.PolicyVersion},
        refusals=(Reason.BAD_POLICY,),
    ),
    Call(
        "readPolicy",
        "GET",
        "/v1/policies/{version}",
        "A policy: by its number, its hash, a draft's name, `current` or `built-in`.",
        read,
        scopes=(*shapes.READ, *WRITE),
        answers={200: told.PolicyRead},
        refusals=(Reason.UNKNOWN_POLICY,),
    ),
    Call(
        "checkPolicy",
        "POST",
        "/v1/policies/check",
        "Say everything that is wrong with a policy; nothing is kept.",
        check,
        scopes=(*shapes.READ, *WRITE),
        body=told.PolicyIn,
        answers={200: told.PolicyChecked},
        refusals=(Reason.BAD_POLICY,),
    ),
    Call(
        "replayPolicy",
        "POST",
        "/v1/policies/replay",
        "What a policy would have decided of 90 days at most; nothing happens. One at a time.",
        replay,
        scopes=WRITE,
        body=told.ReplayIn,
        answers={200: told.ReplayResult},
        refusals=(Reason.BAD_POLICY, Reason.UNKNOWN_POLICY),
    ),
    Call(
        "listDrafts",
        "GET",
        "/v1/policies/drafts",
        "The drafts, by name.",
        drafts,
        scopes=(*shapes.READ, *WRITE),
        answers={200: told.PolicyDrafts},
    ),
    Call(
        "putDraft",
        "PUT",
        "/v1/policies/drafts/{name}",
        "Keep a draft, or replace the one of that name.",
        put_draft,
        scopes=WRITE,
        body=told.DraftIn,
        answers={200: told.PolicyDraft},
        refusals=(Reason.BAD_POLICY,),
    ),
    Call(
        "dropDraft",
        "DELETE",
        "/v1/policies/drafts/{name}",
        "Drop a draft.",
        drop_draft,
        scopes=WRITE,
        answers={200: told.PolicyDraft},
        refusals=(Reason.UNKNOWN_POLICY,),
    ),
    Call(
        "listStops",
        "GET",
        "/v1/stops",
        "The stops that hold, oldest first; or all there ever were.",
        stops,
        scopes=(*shapes.READ, *WRITE),
        query=(Query("state", "active, or all.", _STATE),),
        answers={200: told.Stops},
    ),
    Call(
        "setStop",
        "POST",
        "/v1/stops",
        "Stop refunds at once: of one order, customer or connection, or all.",
        set_stop,
        scopes=("refunds:approve", *WRITE),
        body=told.StopIn,
        answers={201: told.StopItem},
    ),
    Call(
        "liftStop",
        "POST",
        "/v1/stops/{stop}/lift",
        "Let refunds go on.",
        lift,
        scopes=WRITE,
        body=told.LiftIn,
        answers={200: told.StopItem},
        refusals=(Reason.UNKNOWN_STOP,),
    ),
)
