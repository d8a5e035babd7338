"""What a person sees of one case before they decide it: why it waits row by row, what the risk is
made of, what the customer did before, and what was noted. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from amends.core.explain import Explained, explained
from amends.core.policy import Policy
from amends.engine import risk_shelf
from amends.engine.desk import RefundPage, refund_page
from amends.engine.wiring import Engine
from amends.kernel.time import Instant


class Bar(msgspec.Struct, frozen=True):
    """One part of the risk: its sentence, its points, and these in 1/100 of the largest."""

    text: str
    points: int
    wide: int


class Noted(msgspec.Struct, frozen=True):
    """Something that was noted, attached or asked; `text` is a person's own words."""

    at: Instant | str
    actor: str
    what: str
    text: str
    reference: str


class CasePage(msgspec.Struct, frozen=True):
    """A refund's page with what whoever decides it needs besides. `policy` is what people call the
    version that judged it, "" where that is not at hand; `bars` are of today's scorer on what was
    known then, nothing where that is not the score it was judged by."""

    page: RefundPage
    why: Explained | None
    policy: str
    bars: tuple[Bar, ...]
    noted: tuple[Noted, ...]


async def case_page(engine: Engine, refund_id: str) -> CasePage:
    """Raises Refused(UNKNOWN_REFUND)."""
    page = await refund_page(engine, refund_id)
    order, refund = page.order, page.refund
    policy = await _judge_of(engine, refund.verdict.policy if refund.verdict else "")
    return CasePage(
        page,
        explained(refund, order.currency, policy.table if policy else None),
        policy.name if policy else "",
        await _bars(engine, page),
        noted(page.timeline, await _texts(engine, order.id)),
    )


async def fresh_board(engine: Engine) -> None:
    """What decisions are made by is known as it is now; nothing is read where nothing changed."""
    if int((await engine.store.settings()).get("board", "0")) != engine.board.number:
        await engine.learn_board()


async def _judge_of(engine: Engine, version: str) -> Policy | None:
    await fresh_board(engine)
    ctx = engine.ctx(engine.clock.now())
    return next((one for one in (ctx.policy, *ctx.earlier) if one.version == version), None)


async def _bars(engine: Engine, page: RefundPage) -> tuple[Bar, ...]:
    refund = page.refund
    features = await risk_shelf.features_of(engine.store, refund.created_at, refund.id)
    if features is None or refund.verdict is None:
        return ()
    found = engine.board.scorer.explain(features)
    same = found.score_bp == refund.verdict.score_bp and found.model == refund.verdict.model
    return bars(found.reasons) if same else ()


def bars(reasons: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
    """As they are told, each as wide as it counts."""
    most = max((abs(points) for _, points in reasons), default=0)
    return tuple(Bar(text, n, 100 * abs(n) // most if most else 0) for text, n in reasons)


async def _texts(engine: Engine, order: str) -> dict[str, str]:
    return {note.id: note.text for note in await engine.store.notes(order)}


def noted(timeline: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> tuple[Noted, ...]:
    """What was said while it waited, oldest first."""
    found = []
    for event in timeline:
        body = event["body"]
        text, reference = texts.get(body.get("note_id", ""), ""), body.get("reference", "")
        if event["type"] == "refund.case" and (text or reference):
            what = body.get("what", "")
            found.append(Noted(event["at"], event["actor"], what, text, reference))
    return tuple(found)
