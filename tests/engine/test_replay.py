"""A draft over history says what it says as a shadow, and what it would say live; it never acts."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest

from amends.core.fields import NAMES
from amends.core.history import Judged
from amends.core.order import Order, Refund
from amends.core.policy import Document, Row
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    CustomerIn,
    DeliveryIn,
    LineIn,
    OrderIn,
    OrderKey,
    RefundReason,
    SignalsIn,
    TaxIn,
    TenderIn,
)
from amends.engine import policies, policy_desk
from amends.engine.replay import Known, Replay, replay
from amends.engine.tryout import PLAIN
from amends.kernel.time import DAY, HOUR, rfc3339
from tests.engine.lab import STRIPE, Lab, laboratory

LIVE = Document(
    "live",
    (
        Row("large", "refund.amount > 5000", "review", reason="large"),
        Row("late", 'refund.reason == "return" && order.delivered_days > 20', "decline"),
        Row("rest", "true", "approve"),
    ),
)
DRAFT = Document(
    "draft",
    (
        Row("by-law", "refund.statutory", "approve"),
        Row("often", "customer.refunds_30d > 1", "review", reason="often"),
        Row("trusted", "customer.refunds_30d == 0 && refund.amount <= 7000", "approve"),
        Row("late", 'refund.reason == "return" && order.delivered_days > 10', "decline"),
        Row("risky", "risk.score_bp > 2000 || 100 / (customer.refunds_30d - 1) > 1000", "review"),
        Row("rest", "true", "approve"),
    ),
)
REASONS: tuple[RefundReason, ...] = ("return", "damaged", "not_received", "cancelled", "goodwill")
ORDERS = 48


async def busy_month(lab: Lab, seed: int) -> None:
    """Orders of a dozen customers and what they ask for, all from one seed."""
    random = Random(seed)
    node = lab.nodes[0]
    for number in range(ORDERS):
        amount = random.choice((2_000, 6_000, 9_000))
        lab.control("payment", id=f"pi_{number}", amount=amount, capture="automatic")
        order = await node.report(varied(number, amount, random, lab.clock.now()))
        lab.clock.forward(random.randint(1, 6) * HOUR)
        for _ in range(random.choice((1, 1, 2))):
            part = random.randint(1, amount // 2)
            reason = random.choice(REASONS)
            law = reason == "return" and random.random() < 0.2
            ask = {"amount": part, "reason": reason, "statutory": law}
            (result,) = (await node.refund(order.id, **ask)).results
            assert result.refused is None, result.refused
        await node.quiet()


def varied(number: int, amount: int, random: Random, now: int) -> OrderIn:
    line = LineIn("1", 1, amount, taxes=(TaxIn("VAT", amount // 6, "0.20"),), fulfilled=1)
    payment = TenderIn(amount, "payment", STRIPE, f"pi_{number}", amount)
    delivered = rfc3339(now - random.randint(0, 30) * DAY)
    return OrderIn(
        OrderKey("shop-1", str(number)),
        "EUR",
        (line,),
        (payment,),
        placed_at=rfc3339(now - 40 * DAY),
        customer=CustomerIn(f"c-{random.randint(1, 12)}"),
        signals=SignalsIn(card=f"card-{random.randint(1, 6)}"),
        delivery=DeliveryIn(delivered, "delivered"),
    )


async def judgements(lab: Lab) -> list[Judged]:
    return await lab.nodes[0].store.decisions(0, 2**62, None, 10_000)


async def test_history_shadow_and_life_agree(
    db_url: str, tmp_path: Path, sqlite_template: Path
) -> None:
    """The three ways to know what a draft does: over history, beside the live one, in force. Its
    rows ask for nothing that an earlier decision changes."""
    async with laboratory_with(db_url, tmp_path / "one", LIVE) as lab:
        engine = lab.nodes[0].engine
        row = await policies.put_draft(engine, "cli:lead", DRAFT, shadow=True)
        await busy_month(lab, 7)
        kept = await judgements(lab)
        found = await policy_desk.over_history(engine, DRAFT, 0)
        assert found.decisions == len(kept) > ORDERS
        beside = [s for j in kept for s in msgspec.json.decode(j.shadows)]
        assert {s[0] for s in beside} == {row.hash}
        rules = Counter(s[1] for s in beside)
        assert {name: total.count for name, total in found.rules.items()} == rules
        pairs = Counter((j.outcome, s[2]) for j in kept for s in msgspec.json.decode(j.shadows))
        assert counted(found) == pairs
        assert len(pairs) > 4, "the draft is to differ in many ways"
        assert 0 < found.errors < rules["risky"], "some cannot be evaluated, some are risky"
        before = states(await lab.orders())
        assert await policy_desk.over_history(engine, DRAFT, 0) == found
        assert states(await lab.orders()) == before
        assert await lab.wrong() == []
    fresh = tmp_path / "fresh.db"
    shutil.copy(sqlite_template, fresh)
    async with laboratory_with(f"sqlite:///{fresh}", tmp_path / "two", DRAFT) as lab:
        await busy_month(lab, 7)
        live = await judgements(lab)
        assert [(j.rule, j.outcome) for j in live] == [(s[1], s[2]) for s in beside]


async def test_changes_are_counted_and_told(lab: Lab) -> None:
    engine = lab.nodes[0].engine
    await policies.publish(engine, "cli:lead", LIVE)
    await busy_month(lab, 3)
    kept = await judgements(lab)
    found = await policy_desk.over_history(engine, DRAFT, 0)
    assert found.changed.count == sum(
        total.count for old, row in found.matrix.items() for new, total in row.items() if old != new
    )
    whole = sum(total.amount for row in found.matrix.values() for total in row.values())
    assert whole == sum(j.amount for j in kept)
    assert len(found.cases) == found.changed.count
    assert all(case.old != case.new for case in found.cases)
    days = list(found.days.values())
    assert sum(day.all.count for day in days) == found.decisions
    assert sum(day.old.count for day in days) == sum(j.outcome == "approve" for j in kept)
    same = await policy_desk.over_history(engine, LIVE, 0)
    assert (same.changed.count, same.moved) == (0, 0)
    half = await policy_desk.over_history(engine, DRAFT, kept[len(kept) // 2].at)
    assert half.decisions == sum(j.at >= kept[len(kept) // 2].at for j in kept)


async def test_pages_come_and_go(lab: Lab) -> None:
    engine = lab.nodes[0].engine
    await busy_month(lab, 5)
    told: list[int] = []
    whole = await policy_desk.over_history(engine, DRAFT, 0)
    paged = await policy_desk.over_history(
        engine, DRAFT, 0, lambda count, at: told.append(count), page=7
    )
    assert paged == whole
    assert told == [*range(7, whole.decisions, 7), whole.decisions]


class Kept:
    """Judgements without a database."""

    def __init__(self, *rows: Judged) -> None:
        self.rows = list(rows)

    async def decisions(
        self, since: int, until: int, after: tuple[int, str, str] | None, limit: int
    ) -> list[Judged]:
        left = [r for r in self.rows if after is None or (r.at, r.order, r.refund) > after]
        return left[:limit]


def judged(rule: str, outcome: str = "review", fields: str = "", **case: object) -> Judged:
    values = [({**PLAIN, **case})[name] for name in NAMES]
    kept = fields or msgspec.json.encode(values).decode()
    at = 1_790_000_000_000_000
    return Judged(
        "ord_1",
        f"rf_{rule}",
        at,
        "sha256:x",
        rule,
        outcome,
        0,
        "s",
        900,
        kept,
        "[]",
        "[]",
        "",
        False,
    )


YES = Document("yes", (Row("yes", "true", "approve"),))
NO = Document("no", (Row("no", 'refund.reason == "return"', "decline"), *YES.rows))


@pytest.mark.parametrize(
    ("rule", "draft", "outcome", "stays"),
    [
        ("refund-stop", YES, "review", True),
        ("payment-disputed", YES, "review", True),
        ("past-refund-window", YES, "review", True),
        ("refund-stop", NO, "decline", False),  # a draft may decline what is stopped
        ("some-row", YES, "approve", False),
    ],
    ids=str,
)
async def test_a_draft_lifts_no_rule_of_the_house(
    rule: str, draft: Document, outcome: str, stays: bool
) -> None:
    found = await replay(Kept(judged(rule)), policy_desk.as_policy(draft), Known(), 0, 2**62)
    assert list(found.matrix["review"]) == [outcome]
    assert found.house == stays
    named = Known({"sha256:x": frozenset({rule})})  # a row of that version that is called so
    again = await replay(Kept(judged(rule)), policy_desk.as_policy(draft), named, 0, 2**62)
    assert again.house == 0


async def test_a_dispute_keeps_a_person_also_where_the_old_policy_declined() -> None:
    row = judged("late", "decline", **{"dispute.open": True})
    found = await replay(Kept(row), policy_desk.as_policy(YES), Known(), 0, 2**62)
    assert found.total("decline", "review").count == 1


@pytest.mark.parametrize("fields", ["[]", "[1,2,3]", "{}", "", "[" + "0," * 60 + "0]"])
async def test_what_other_versions_kept_is_counted_and_not_guessed(fields: str) -> None:
    rows = (judged("old", fields=fields or "nothing"), judged("today"))
    found = await replay(Kept(*rows), policy_desk.as_policy(YES), Known(), 0, 2**62)
    assert (found.decisions, found.not_comparable) == (1, 1)


async def test_what_cannot_be_replayed_is_counted() -> None:
    capped = msgspec.convert(
        {
            "name": "capped",
            "caps": {"c": {"of": "customer", "count": 1}},
            "rows": [
                {"id": "all", "when": "true", "outcome": "approve", "caps": ["c"]}
                | {"store_credit_first": True}
            ],
        },
        Document,
    )
    rows = (judged("a"), judged("b"))
    found = await replay(Kept(*rows), policy_desk.as_policy(capped), Known(), 0, 2**62)
    assert (found.capped, found.credit) == (2, 2)


async def test_a_server_replays_one_at_a_time_and_90_days(lab: Lab) -> None:
    engine = lab.nodes[0].engine
    now = engine.clock.now()
    replays = policy_desk.Replays()
    with pytest.raises(Refused) as refused:
        await replays.run(engine, YES, now - 91 * DAY)
    assert refused.value.refusal.reason is Reason.VALIDATION
    first = asyncio.ensure_future(replays.run(engine, YES, now - DAY))
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await replays.run(engine, YES, now - DAY)
    assert refused.value.refusal.reason is Reason.RATE_LIMITED
    assert (await first).decisions == 0
    assert (await replays.run(engine, YES, now - DAY)).decisions == 0


def counted(found: Replay) -> Counter[tuple[str, str]]:
    cells = ((o, n, t.count) for o, row in found.matrix.items() for n, t in row.items())
    return Counter({(old, new): count for old, new, count in cells})


def states(orders: list[Order]) -> list[Refund]:
    return [refund for order in orders for refund in order.refunds]


@asynccontextmanager
async def laboratory_with(url: str, folder: Path, document: Document) -> AsyncIterator[Lab]:
    async with laboratory(url, folder) as lab:
        await policies.publish(lab.nodes[0].engine, "cli:lead", document)
        yield lab
