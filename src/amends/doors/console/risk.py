"""Who judges how risky a refund is, by what, and whether what it sees has changed."""

from __future__ import annotations

from typing import Any

from amends.core.reasons import Reason, Refused
from amends.core.scorecard import MODEL, ROWS
from amends.core.traits import NAMES, TRAITS, Features, sentence
from amends.doors.console.web import Route, Visit
from amends.doors.pages import identifier
from amends.engine import case_desk, risk_shelf
from amends.engine.asks import Rendered
from amends.engine.drift import DAYS, Drift


async def page(visit: Visit) -> Rendered:
    return await _page(visit)


async def _page(visit: Visit) -> Rendered:
    engine = visit.engine
    await case_desk.fresh_board(engine)
    models = await risk_shelf.listed(engine.store)
    roles = {one.role: one for one in models}
    champion, challenger = roles.get("champion"), roles.get("challenger")
    scorer = engine.board.scorer
    named = visit.query.get("refund", "").strip()
    drift = engine.drift
    if drift is not None and (champion is None or drift.model != champion.hash):
        drift = None  # of one that judged before
    values = {
        "models": models,
        "champion": champion,
        "challenger": challenger,
        "why": getattr(scorer, "why", "no model was promoted"),
        "card": MODEL,
        "rows": [_steps(row.feature, row.steps) for row in ROWS],
        "explained": await _explained(visit, named) if named else None,
        "drift": drift,
        "moved": _moved(drift),
        "days": DAYS,
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
        await visit.engine.learn_drift()
        return await _page(visit)
    finally:
        visit.shared["drifting"] = False


def _moved(drift: Drift | None) -> list[tuple[str, float]]:
    """By the features' labels, the largest first."""
    found = drift.found if drift is not None else {}
    told = [(TRAITS[name].label if name in TRAITS else name, psi) for name, psi in found.items()]
    return sorted(told, key=lambda one: -one[1])


ROUTES = (
    Route("GET", "/console/risk", "viewer", page),
    Route("POST", "/console/risk/drift", "finance", drift),
)
