"""Models in the database: kept for good under their hashes, one of them champion, one challenger.

Who judges is a setting; changing it is an event of its own, and every process reads again when the
board is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from amends.core.events import Event, link
from amends.core.history import Judged, Label
from amends.core.reasons import Reason, Refused
from amends.core.risk import NAMES, Features, Score
from amends.engine.risk import KIND, BadModel, Loaded, Meta, Scorer, model_hash, scorer_of
from amends.engine.risk_rows import BadRows, Example, from_judged
from amends.kernel.time import Clock, Instant
from amends.store.records import Head, ModelRow
from amends.store.spec import Store

PAGE = 1000
FAR = 2**62  # later than any label

Role = Literal["champion", "challenger"]


class Listed(msgspec.Struct, frozen=True):
    """One model in a list. `role` is "" for one that does not judge."""

    hash: str
    name: str
    at: Instant
    actor: str
    role: Role | Literal[""]
    simulated: bool
    measures: dict[str, float]


class Explained(msgspec.Struct, frozen=True):
    """Why a refund was judged as it was: as it was then, and by today's scorer on the same
    features. `features` is {} where none were kept."""

    refund: str
    order: str
    at: Instant
    rule: str
    outcome: str
    score_bp: int
    model: str
    reasons: tuple[str, ...]
    features: dict[str, int]
    now: Score | None


async def put(
    store: Store, new_id: Callable[[], str], now: Instant, actor: str, model: tuple[str, str]
) -> str:
    """Keep a model, once; its hash. Raises BadModel for one that cannot judge."""
    text, meta = model
    loaded = Loaded(text, meta)
    found = model_hash(text, meta)
    body = {"model": found, "kind": KIND, "simulated": loaded.meta.simulated}
    row = ModelRow(found, KIND, loaded.name, text, meta, now, actor)

    def make(head: Head) -> Event:
        return link(
            head.stream, head.seq + 1, head.hash, now, "model.added", actor, new_id(), "", body
        )

    await store.add_model(row, make)
    return found


async def promote(
    store: Store, new_id: Callable[[], str], now: Instant, actor: str, role: Role, named: str
) -> bool:
    """Let a kept model judge, or ("") none. Whether that changed anything. Raises Refused for one
    that is not kept."""
    if named and await store.model(named) is None:
        raise Refused(
            Reason.VALIDATION,
            f"No model {named} is kept; `amends risk list` has those that are.",
            pointer="/model",
        )
    key = f"model.{role}"
    body = {"key": key, "value": named}

    def make(head: Head) -> Event:
        return link(
            head.stream, head.seq + 1, head.hash, now, "setting.changed", actor, new_id(), "", body
        )

    return await store.set_setting(key, named, now, actor, make) is not None


async def scorer(store: Store, clock: Clock) -> Scorer:
    """Who judges now, by the settings."""
    said = await store.settings()
    pairs = []
    for role in ("champion", "challenger"):
        named = said.get(f"model.{role}", "")
        row = await store.model(named) if named else None
        pairs.append((row.model, row.meta) if row is not None else None)
    return scorer_of(clock, *pairs)


async def listed(store: Store) -> list[Listed]:
    """Every model that was kept, oldest first."""
    said = await store.settings()
    roles: dict[str, Role] = {
        said.get("model.challenger", ""): "challenger",
        said.get("model.champion", ""): "champion",
    }
    found = []
    for row in await store.models():
        try:
            meta = msgspec.json.decode(row.meta, type=Meta)
        except msgspec.DecodeError as error:
            raise BadModel(
                f"model {row.hash} broken: its document cannot be read ({error})"
            ) from None
        found.append(
            Listed(
                row.hash,
                row.name,
                row.at,
                row.actor,
                roles.get(row.hash, ""),
                meta.simulated,
                meta.measures,
            )
        )
    return found


async def examples(store: Store, since: Instant, until: Instant) -> list[Example]:
    """What was judged in that time, with all that was said of it since. Raises BadRows."""
    judged: list[Judged] = []
    after: tuple[Instant, str, str] | None = None
    while page := await store.decisions(since, until, after, PAGE):
        judged += page
        after = (page[-1].at, page[-1].order, page[-1].refund)
    said: list[Label] = []
    last: tuple[Instant, str, str, str] | None = None
    while more := await store.labels(since, FAR, last, PAGE):
        said += more
        last = (more[-1].at, more[-1].order, more[-1].refund, more[-1].source)
    customers: dict[str, str] = {}
    for order_id in dict.fromkeys(one.order for one in judged):
        order = await store.order(order_id)
        customers[order_id] = f"{order.entity}/{order.customer}" if order and order.customer else ""
    found = from_judged(judged, said, customers)
    if not found:
        raise BadRows("The database has no judged refund with features in that time.")
    return found


async def explained(store: Store, clock: Clock, refund_id: str) -> Explained:
    """Why a refund was judged as it was. Raises Refused for one that is not known."""
    order_id = await store.refund_order(refund_id)
    order = await store.order(order_id) if order_id else None
    refund = order.refund(refund_id) if order else None
    if order is None or refund is None or refund.verdict is None:
        raise Refused(Reason.UNKNOWN_REFUND, refund=refund_id)
    verdict = refund.verdict
    features = await features_of(store, refund.created_at, refund_id)
    now = (await scorer(store, clock)).explain(features) if features else None
    return Explained(
        refund_id,
        order.id,
        refund.created_at,
        verdict.rule,
        verdict.outcome,
        verdict.score_bp,
        verdict.model,
        verdict.reasons,
        msgspec.structs.asdict(features) if features else {},
        now,
    )


async def features_of(store: Store, at: Instant, refund_id: str) -> Features | None:
    """Those it was judged by, None where other ones or none were kept."""
    after: tuple[Instant, str, str] | None = None
    while page := await store.decisions(at, at + 1, after, PAGE):
        for one in page:
            if one.refund == refund_id:
                values = msgspec.json.decode(one.features or "[]", type=list[int])
                return Features(*values) if len(values) == len(NAMES) else None
        after = (page[-1].at, page[-1].order, page[-1].refund)
    return None
