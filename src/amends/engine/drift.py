"""Whether what is judged today still looks like what the model in force was made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from amends.core.risk import NAMES, Features
from amends.engine.risk import BadModel, Loaded
from amends.engine.risk_measure import psi
from amends.kernel.time import DAY, Instant
from amends.store.spec import Store

DAYS = 30
MOST = 2000  # judgements that are looked at, the newest

Values = tuple[int, ...]  # of the features, in the order of NAMES


class Drift(msgspec.Struct, frozen=True):
    """The population stability index of each feature and of the score ("score") of `count`
    judgements, against those the `model` was made of."""

    model: str
    count: int
    found: Mapping[str, float]


async def drifted(store: Store, now: Instant) -> Drift | None:
    """Of the newest judgements; None where no model judges, or one that cannot be read, which is
    told as the reason of the fallback. Raises StoreUnavailable."""
    champion = (await store.settings()).get("model.champion", "")
    row = await store.model(champion) if champion else None
    if row is None:
        return None
    judged = await store.newest_decisions(now - DAYS * DAY, MOST)
    seen = [_values(one.features) for one in judged if one.features]
    seen = [values for values in seen if len(values) == len(NAMES)]
    if not seen:
        return Drift(champion, 0, {})
    try:
        model = await asyncio.to_thread(Loaded, row.model, row.meta)
        return Drift(champion, len(seen), await asyncio.to_thread(moved, model, seen))
    except BadModel:
        return None


def _values(features: str) -> Values:
    return msgspec.json.decode(features, type=Values)


def moved(model: Loaded, rows: Sequence[Values]) -> dict[str, float]:
    """The PSI of each feature and of the score against where they lay when the model was made.
    Raises BadModel."""
    columns = zip(*rows, strict=True)
    values: dict[str, list[float]] = {
        name: list(column) for name, column in zip(NAMES, columns, strict=True)
    }
    values["score"] = [model.score_bp(Features(*row)) for row in rows]
    return {name: psi(bins, values[name]) for name, bins in model.meta.bins.items()}
