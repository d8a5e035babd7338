"""Whether what is judged has moved from what the model in force learned."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from amends.core.risk import NAMES
from amends.doors.meter import Meter
from amends.engine import drift, risk_shelf
from amends.engine.risk_rows import split
from amends.engine.risk_train import train
from amends.kernel.time import DAY, HOUR
from tests.engine.lab import Lab
from tests.engine.risk_world import made_up


async def judged(lab: Lab, count: int) -> None:
    node = lab.nodes[0]
    for _ in range(count):
        number = str(len(await lab.orders()) + 1)
        order = await lab.order(number)
        await node.refund(order.id, amount=100)
        lab.clock.forward(HOUR)


async def champion(lab: Lab) -> str:
    engine, made = lab.nodes[0].engine, train(split(made_up()))
    words = (engine.store, engine.new_id, engine.clock.now(), "cli:lead")
    name = await risk_shelf.put(*words, (made.text, made.meta))
    await risk_shelf.promote(*words, "champion", name)
    return name


async def test_without_a_model_nothing_can_have_moved(lab: Lab) -> None:
    await judged(lab, 1)
    engine = lab.nodes[0].engine
    await engine.learn_usual()
    assert engine.drift is None
    assert b"amends_risk_drift_psi" not in Meter(engine).text({})


async def test_the_newest_judgements_are_looked_at(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, name = lab.nodes[0].engine, await champion(lab)
    await engine.learn_drift()
    assert engine.drift == drift.Drift(name, 0, {})
    await judged(lab, 5)
    monkeypatch.setattr(drift, "MOST", 3)
    await engine.learn_drift()
    found = engine.drift
    assert found is not None and (found.model, found.count) == (name, 3)
    assert set(found.found) == {*NAMES, "score"}
    shown = Meter(engine).text({})
    assert f'amends_risk_drift_psi{{feature="score"}} {found.found["score"]}'.encode() in shown
    newest = await engine.store.newest_decisions(0, 2)
    every = await engine.store.decisions(0, 2**62, None, 9)
    assert newest == [every[-1], every[-2]]
    lab.clock.forward(31 * DAY)
    await engine.learn_drift()
    assert engine.drift is not None and engine.drift.count == 0


async def test_a_broken_model_has_no_drift(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, name = lab.nodes[0].engine, await champion(lab)
    await judged(lab, 1)
    row = await engine.store.model(name)
    assert row is not None

    async def torn(_: str) -> object:
        return replace(row, model=row.model[:100])

    monkeypatch.setattr(engine.store, "model", torn)
    assert await drift.drifted(engine.store, engine.clock.now()) is None
