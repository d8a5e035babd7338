"""A draft over a simulated shop's history says what the draft in force decided of the same life."""

from __future__ import annotations

from pathlib import Path

import pytest

from amends.core.history import Judged
from amends.core.policy import Cap, Document, Row
from amends.engine import audit, policy_desk, proof
from amends.engine.replay import Replay, Total
from amends.sim.shoppers.compared import Compared, compared, judgements
from amends.sim.shoppers.trading import Shoppers, Stage, shop, trade

WHO = Shoppers(seed=5, customers=260, days=40)
DRAFT = Document(
    "draft",
    (
        Row("often", "customer.refunds_90d > 0", "review", reason="often"),
        Row("late", 'refund.reason == "return" && order.delivered_days > 15', "decline"),
        Row("large", "refund.amount > 12000 || risk.score_bp > 2500", "review", reason="large"),
        Row("back", 'refund.reason == "return"', "approve", wait_for_receipt=True),
        Row("rest", "true", "approve"),
    ),
)


async def both(draft: Document, folder: Path, who: Shoppers = WHO) -> Compared:
    """The draft beside the built-in policy, over that history, and in force."""
    asked, stage = who.asked(), Stage(who.seed)
    async with shop(folder / "past", stage) as engine:
        told: list[int] = []
        assert not await trade(engine, stage, who, asked, None, draft, told.append)
        assert (told[-1], sorted(told)) == (asked.events, told)
        found = await policy_desk.over_history(engine, draft, 0)
        assert found.decisions == asked.total > 30
        later = Stage(who.seed)
        async with shop(folder / "lived", later) as other:
            assert not await trade(other, later, who, asked, draft, None, told.append)
            assert (await proof.prove(other.store)).findings == ()
            assert (await audit.verify(other.store, other.config.audit_dir)).findings == ()
            return await compared(found, engine.store, other.store, draft)


async def test_a_replay_says_what_the_draft_decides(tmp_path: Path) -> None:
    """One row asks whether the customer asked before, one waits for goods, of which some never
    come: what was found out is only known where somebody waited for them."""
    found = await both(DRAFT, tmp_path)
    assert found.same
    assert (found.capped, found.consent, found.facts, found.unexplained) == (0, 0, 0, 0)
    assert min(found.rules[name].lived.count for name in ("often", "back", "rest")) > 1
    assert all(sides.replayed.count for sides in found.outcomes.values())
    assert set(found.outcomes) == {"approve", "review", "decline"}


async def test_what_a_replay_leaves_out_is_counted(tmp_path: Path) -> None:
    caps = {"few": Cap(of="everybody", per="day", count=1)}
    rest = (Row("credit", 'refund.reason == "damaged"', "approve", store_credit_first=True),)
    rest += (Row("rest", "true", "approve", caps=("few",)),)
    found = await both(Document("tight", rest, caps), tmp_path)
    assert not found.same
    assert found.rules["few"].replayed == Total()
    assert found.capped == found.rules["few"].lived.count > 0
    assert found.consent == found.outcomes["review"].lived.count - found.capped > 0
    assert (found.facts, found.unexplained) == (0, 0)


async def test_one_seed_is_one_life(tmp_path: Path) -> None:
    who = Shoppers(seed=9, customers=60, days=20)
    kept = []
    for name in ("one", "two"):
        stage = Stage(who.seed)
        async with shop(tmp_path / name, stage) as engine:
            await trade(engine, stage, who, who.asked(), DRAFT, None, lambda _: None)
            kept.append([one async for one in judgements(engine.store)])
    assert kept[0] == kept[1] != []


class Kept:
    """Judgements without a database."""

    def __init__(self, *rows: Judged) -> None:
        self.rows = list(rows)

    async def decisions(self, since: int, until: int, after: object, limit: int) -> list[Judged]:
        return [] if after else self.rows


def judged(order: str, outcome: str, fields: str = "[1]") -> Judged:
    """Its shadow said "approve" by "rest"."""
    said = ("sha256:x", "rest", outcome, 0, "s", 900, fields, "[]", '[["x","rest","approve"]]')
    return Judged(order, "rf_1", 1, *said, "", False)


@pytest.mark.parametrize(
    ("lived", "facts", "unexplained"),
    [
        ((judged("a", "approve"), judged("b", "approve")), 0, 0),
        ((judged("a", "approve"), judged("b", "review")), 0, 1),  # of the same facts
        ((judged("a", "approve"), judged("b", "review", "[2]")), 1, 0),
        ((judged("a", "approve"),), 0, 1),  # it was never decided
        ((judged("a", "approve"), judged("b", "approve"), judged("c", "approve")), 0, 1),
    ],
    ids=("same", "other", "other facts", "missing", "one more"),
)
async def test_what_cannot_be_explained_is_a_defect(
    lived: tuple[Judged, ...], facts: int, unexplained: int
) -> None:
    past = Kept(judged("a", "approve"), judged("b", "approve"))
    said = Replay("draft", "x", 0, 1)
    found = await compared(said, past, Kept(*lived), DRAFT)
    assert (found.facts, found.unexplained) == (facts, unexplained)
    assert not found.same, "this replay said nothing"
