"""Who judges how risky a refund is, by what, and whether what it sees has changed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from amends.core.history import Judged
from amends.core.reasons import Reason, Refused
from amends.core.scorecard import MODEL, ROWS
from amends.core.traits import NAMES, TRAITS, Features, sentence
from amends.doors.console.web import Route, Visit
from amends.doors.pages import identifier
from amends.engine import case_desk, risk_shelf, risk_train
from amends.engine.asks import Rendered
from amends.engine.risk import Loaded
from amends.engine.risk_rows import Example
from amends.engine.wiring import Engine
from amends.kernel.time import DAY

DRIFT_DAYS = 30
DRIFT_MOST = 2000  # judgements that are looked at


async def page(visit: Visit) -> Rendered:
    return await _page(visit)


async def _page(visit: Visit, drift: Any = None) -> Rendered:
    engine = visit.engine
    await case_desk.fresh_board(engine)
    models = await risk_shelf.listed(engine.store)
    roles = {one.role: one for one in models}
    champion, challenger = roles.get("champion"), roles.get("challenger")
    scorer = engine.board.scorer
    named = visit.query.get("refund", "").strip()
    values = {
        "models": models,
        "champion": champion,
        "challenger": challenger,
        "why": getattr(scorer, "why", "no model was promoted"),
        "card": MODEL,
        "rows": [_steps(row.feature, row.steps) for row in ROWS],
        "explained": await _explained(visit, named) if named else None,
        "drift": drift,
        "days": DRIFT_DAYS,
    }
    return visit.page("risk.html", 200, here="risk", **values)


def _steps(feature: str, steps: tuple[tuple[int, int], ...]) -> tuple[str, list[tuple[str, int]]]:
    """A row of the scorecard in words: what it looks at, and the points from which value on."""
    told = [(sentence(feature, at).partition(": ")[2] or "yes", points) for at, points in steps]
    return TRAITS[feature].label, told


async def _explained(visit: Visit, named: str) -> dict[str, Any]:
    """What a refund was judged by, feature by feature."""
    name = identifier(named, Reason.UNKNOWN_REFUND)
    found = await risk_shelf.explained(visit.engine.store, visit.engine.clock, name)
    features = [(n, sentence(n, found.features[n])) for n in NAMES if n in found.features]
    now = visit.engine.board.scorer.explain(Features(**found.features)) if features else None
    bars = case_desk.bars(now.reasons) if now else ()
    return {"found": found, "features": features, "now": now, "bars": bars}


async def drift(visit: Visit) -> Rendered:
    """Reckon it now, one at a time in this process."""
    if visit.shared.get("drifting"):
        raise Refused(Reason.RATE_LIMITED, "It is being reckoned right now; wait for it.")
    visit.shared["drifting"] = True
    try:
        return await _page(visit, await _drift(visit.engine))
    finally:
        visit.shared["drifting"] = False


async def _drift(engine: Engine) -> dict[str, Any]:
    """The PSI of each feature of the newest judgements, the largest first."""
    now = engine.clock.now()
    champion = (await engine.store.settings()).get("model.champion", "")
    row = await engine.store.model(champion) if champion else None
    judged = await engine.store.decisions(now - DRIFT_DAYS * DAY, now + 1, None, DRIFT_MOST)
    seen = [_seen(one) for one in judged if one.features]
    seen = [one for one in seen if len(one.features) == len(NAMES)]
    if row is None or not seen:
        return {"count": len(seen), "found": []}
    found = await asyncio.to_thread(lambda: risk_train.drift(Loaded(row.model, row.meta), seen))
    told = [(TRAITS[name].label if name in TRAITS else name, psi) for name, psi in found.items()]
    return {"count": len(seen), "found": sorted(told, key=lambda one: -one[1])}


def _seen(judged: Judged) -> Example:
    features = msgspec.json.decode(judged.features, type=tuple[int, ...])
    return Example(judged.at, "", features, judged.amount)


ROUTES = (
    Route("GET", "/console/risk", "viewer", page),
    Route("POST", "/console/risk/drift", "finance", drift),
)
