"""A draft over history against the same draft in force: every refund of one seed, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import msgspec

from amends.core.history import Judged
from amends.core.policy import Document
from amends.engine.replay import PAGE, History, Replay, Total


class Sides(msgspec.Struct, frozen=True):
    """What was said of the same: over history, and in force."""

    replayed: Total
    lived: Total

    @property
    def same(self) -> bool:
        return self.replayed == self.lived


class Compared(msgspec.Struct, frozen=True):
    """`rules` and `outcomes` by name. Of the refunds decided otherwise in force, `capped` fell to a
    cap, `consent` wants the customer's, `facts` saw what earlier decisions had left otherwise;
    `unexplained` is a defect."""

    rules: Mapping[str, Sides]
    outcomes: Mapping[str, Sides]
    refunds: int = 0
    capped: int = 0
    consent: int = 0
    facts: int = 0
    unexplained: int = 0

    @property
    def same(self) -> bool:
        """Whether every figure is the same."""
        return all(one.same for one in (*self.rules.values(), *self.outcomes.values()))


async def judgements(store: History) -> AsyncIterator[Judged]:
    """All that were made, in the order of time."""
    after: tuple[int, str, str] | None = None
    while rows := await store.decisions(0, 2**62, after, PAGE):
        for one in rows:
            yield one
        after = (rows[-1].at, rows[-1].order, rows[-1].refund)


async def compared(found: Replay, past: History, lived: History, draft: Document) -> Compared:
    """`found` is the replay of `draft` over `past`, where it ran beside another policy as a shadow;
    `lived` is the same life with it in force. Of one order nobody asks twice within an instant."""
    live = {(one.at, one.order): one async for one in judgements(lived)}
    refunds = len(live)
    rules: dict[str, Total] = {}
    outcomes: dict[str, Total] = {}
    for one in live.values():
        rules.setdefault(one.rule, Total()).add(one.amount)
        outcomes.setdefault(one.outcome, Total()).add(one.amount)
    why = dict.fromkeys(("capped", "consent", "facts", "unexplained"), 0)
    credit = {row.id for row in draft.rows if row.store_credit_first}
    async for before in judgements(past):
        after = live.pop((before.at, before.order), None)
        ((_, rule, outcome),) = msgspec.json.decode(before.shadows, type=list[list[str]])
        if after is None:
            why["unexplained"] += 1
        elif (after.rule, after.outcome) != (rule, outcome):
            why[_why(before, after, outcome, draft, credit)] += 1
    why["unexplained"] += len(live)
    by_outcome: dict[str, Total] = {}
    for row in found.matrix.values():
        for outcome, total in row.items():
            sum_ = by_outcome.setdefault(outcome, Total())
            sum_.count, sum_.amount = sum_.count + total.count, sum_.amount + total.amount
    return Compared(_beside(found.rules, rules), _beside(by_outcome, outcomes), refunds, **why)


def _why(before: Judged, after: Judged, outcome: str, draft: Document, credit: set[str]) -> str:
    if after.rule in draft.caps and outcome == "approve":
        return "capped"
    if after.rule in credit and (outcome, after.outcome) == ("approve", "review"):
        return "consent"
    same = (before.fields, before.features) == (after.fields, after.features)
    return "unexplained" if same else "facts"


def _beside(replayed: Mapping[str, Total], lived: Mapping[str, Total]) -> dict[str, Sides]:
    names = sorted({*replayed, *lived})
    return {n: Sides(replayed.get(n, Total()), lived.get(n, Total())) for n in names}
