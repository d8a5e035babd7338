"""What people look at before they change a policy: versions and drafts by name, what differs
between two of them, a draft over history, and why a refund was decided so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from amends.core.explain import explained, options_of
from amends.core.history import Judged
from amends.core.policy import Document, Policy, Row, built_in, hash_of, with_table
from amends.core.reasons import Reason, Refused
from amends.engine import policies
from amends.engine.board import newest
from amends.engine.replay import PAGE, Known, Progress, Replay, known, replay
from amends.engine.tryout import Tried, judged_of, tried, tried_again
from amends.engine.wiring import Engine
from amends.kernel.time import DAY, HOUR, Instant, rfc3339
from amends.store.records import DraftRow, PolicyRow, StopRow

SINCE_MAX = 90 * DAY  # of a replay that a server is asked for
ON_THE_WAY = 1 * HOUR  # a request that means so many days back may be that late
POLITE = 200  # judgements a server replays before it looks at others again


def as_policy(document: Document) -> Policy:
    """A document as a policy that is nowhere in force: named by the hash of its text alone, as a
    draft is. Raises Refused with all its faults."""
    table = policies.check(document)
    bare = with_table(built_in(0), table)
    return msgspec.structs.replace(bare, version=hash_of(document), name=document.name)


async def find(engine: Engine, name: str) -> Document:
    """The document that people call so: "built-in", "current", a version's number or the beginning
    of its hash, or a draft's name. Raises Refused."""
    rows = await engine.store.policies()
    if name in ("current", "built-in"):
        every = await versions(engine)
        document: Document = every[0 if name == "current" else -1].table.document
        return document
    if name.isascii() and name.isdigit():
        found = [row for row in rows if row.number == int(name)]
    else:
        bare = name.removeprefix("sha256:")
        found = [r for r in rows if len(bare) > 7 and r.hash[7:].startswith(bare)]
    if found:
        return _document(found[-1].doc)
    for draft in await engine.store.drafts():
        if draft.name == name:
            return _document(draft.doc)
    raise Refused(
        Reason.UNKNOWN_POLICY,
        f"There is no version or draft {name!r}; `amends policy list` and `drafts` show them.",
    )


def _document(doc: str) -> Document:
    return policies.parse(doc.encode())


# -- lists ---------------------------------------------------------------------------------------


async def listed(engine: Engine) -> list[dict[str, Any]]:
    """All versions, the newest first, and which of them is in force."""
    rows = await engine.store.policies()
    now = newest(rows, engine.clock.now())
    return [version_view(row, now) for row in reversed(rows)]


def version_view(row: PolicyRow, in_force: PolicyRow | None) -> dict[str, Any]:
    return {
        "version": row.number,
        "hash": row.hash,
        "name": row.name,
        "effective_from": rfc3339(row.effective_from),
        "published_at": rfc3339(row.at),
        "published_by": row.actor,
        "in_force": in_force is not None and row.number == in_force.number,
    }


def draft_view(row: DraftRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "hash": row.hash,
        "shadow": row.shadow,
        "at": rfc3339(row.at),
        "actor": row.actor,
    }


async def drafts(engine: Engine) -> list[dict[str, Any]]:
    """By name."""
    return [draft_view(row) for row in await engine.store.drafts()]


async def stops(engine: Engine, active: bool) -> list[dict[str, Any]]:
    """Those that hold, oldest first; or all there ever were."""
    return [stop_view(row) for row in await policies.stops(engine, active)]


def stop_view(row: StopRow) -> dict[str, Any]:
    stop = row.stop
    return {
        "id": stop.id,
        "scope": stop.scope,
        "why": stop.why,
        "key": stop.key,
        "at": rfc3339(stop.at),
        "actor": stop.actor,
        "lifted_at": rfc3339(row.lifted_at) if row.lifted_at else None,
        "lifted_by": row.lifted_by or None,
    }


def row_options(row: Row) -> dict[str, Any]:
    """What a row says beside its outcome and its reason, as plain values."""
    found: dict[str, Any] = msgspec.to_builtins(options_of(row))
    return found


def plain(document: Document) -> dict[str, Any]:
    """As its JSON is."""
    found: dict[str, Any] = msgspec.to_builtins(document)
    return found


# -- differences ---------------------------------------------------------------------------------


class Difference(msgspec.Struct, frozen=True):
    """One thing that is other: where, and what it was and is; None where it was or is not."""

    where: str
    old: Any
    new: Any


def differences(old: Document, new: Document) -> list[Difference]:
    """What differs between two documents: rows by their id, what they say, and their order."""
    found: list[Difference] = []
    before, after = ({r.id: r for r in d.rows} for d in (old, new))
    found += [Difference(f"row {name}", _row(before[name]), None) for name in before.keys() - after]
    found += [Difference(f"row {name}", None, _row(after[name])) for name in after.keys() - before]
    found.sort(key=lambda one: (one.new is not None, one.where))
    for name in (name for name in after if name in before):
        one, other = _row(before[name]), _row(after[name])
        found += _fields(f"row {name}", one, other)
    kept = [[n for n in side if n in before and n in after] for side in (before, after)]
    if kept[0] != kept[1]:
        found.append(Difference("order of rows", kept[0], kept[1]))
    one, other = plain(old), plain(new)
    found += _fields("caps", one.get("caps", {}), other.get("caps", {}))
    found += _fields(
        "policy", *({n: v for n, v in d.items() if n not in ("rows", "caps")} for d in (one, other))
    )
    return found


def _row(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(row)
    return found


def _fields(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterable[Difference]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield Difference(f"{where}, {name}", old.get(name), new.get(name))


# -- history -------------------------------------------------------------------------------------


async def versions(engine: Engine) -> tuple[Policy, ...]:
    """Every version that is or was in force, as decisions name them; the built-in one is last."""
    await engine.learn_board()
    ctx = engine.ctx(engine.clock.now())
    return (ctx.policy, *ctx.earlier)


async def over_history(
    engine: Engine,
    document: Document,
    since: Instant,
    progress: Progress | None = None,
    page: int = PAGE,
) -> Replay:
    """A document over what was decided since then. Raises Refused where it has faults."""
    draft = as_policy(document)
    rows = known(await versions(engine))
    return await replay(engine.store, draft, rows, since, engine.clock.now() + 1, progress, page)


class Replays:
    """Replays that a server is asked for: one at a time, and politely, as the loop that they run in
    decides refunds."""

    def __init__(self) -> None:
        self._busy = asyncio.Lock()

    async def run(self, engine: Engine, document: Document, since: Instant) -> Replay:
        """Raises Refused: one runs already, it goes too far back, or the document has faults."""
        if engine.clock.now() - since > SINCE_MAX + ON_THE_WAY:
            raise Refused(
                Reason.VALIDATION,
                f"A server replays {SINCE_MAX // DAY} days at most; `amends policy replay` all.",
                pointer="/since",
            )
        if self._busy.locked():
            raise Refused(Reason.RATE_LIMITED, "A replay runs already; ask again in a moment.")
        async with self._busy:
            return await over_history(engine, document, since, page=POLITE)


def replay_view(found: Replay) -> dict[str, Any]:
    """A replay as plain values."""
    view: dict[str, Any] = msgspec.to_builtins(found)
    view |= {"since": rfc3339(found.since), "until": rfc3339(found.until)}
    view["cases"] = [{**case, "at": rfc3339(case["at"])} for case in view["cases"]]
    return view


async def try_refund(engine: Engine, document: Document, refund: str) -> Tried:
    """What a document would say of a refund that was judged. Raises Refused."""
    judged: Judged = await judged_of(engine, refund)
    rows: Known = known(await versions(engine))
    return tried_again(as_policy(document), rows, judged)


def try_case(document: Document, case: dict[str, Any]) -> Tried:
    """What a document says of a case. Raises Refused."""
    return tried(as_policy(document), case)


# -- why -----------------------------------------------------------------------------------------


async def explain(engine: Engine, refund_id: str) -> dict[str, Any]:
    """Why a refund was decided as it was. Raises Refused where it is not known, or was not
    decided here."""
    order_id = await engine.store.refund_order(refund_id)
    order = await engine.store.order(order_id) if order_id else None
    refund = order.refund(refund_id) if order else None
    if order is None or refund is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    verdict = refund.verdict
    policy = None
    if verdict is not None:
        every = await versions(engine)
        policy = next((p for p in every if p.version == verdict.policy), None)
    found = explained(refund, order.currency, policy.table if policy else None)
    if found is None or verdict is None:
        raise Refused(
            Reason.WRONG_STATE, "Others made this refund at the provider: nothing here decided it."
        )
    return {
        "refund": refund.id,
        "order": order.id,
        "at": rfc3339(refund.created_at),
        "outcome": verdict.outcome,
        "sentence": found.sentence,
        "says": verdict.says,
        "code": verdict.code,
        "by": found.kind,
        "rule": found.rule,
        "condition": found.condition,
        "options": msgspec.to_builtins(found.options),
        "rows": [{"row": row, "verdict": said} for row, said in found.rows],
        "policy": verdict.policy,
        "policy_name": policy.name if policy else "",
        "score_bp": verdict.score_bp,
        "model": verdict.model,
        "reasons": list(verdict.reasons),
        "decided_by": refund.decided_by,
    }
