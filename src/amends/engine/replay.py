"""A policy over history: what it would have decided of what was decided.

Each judgement was kept with the fields that it saw (core.history.Judged), so a draft is judged by
what was known then, and by the function that judges live. Memory is bounded: pages come and go, and
what is kept are sums, one pair of them a day, and the first so many cases.

Not in it: caps, whose buckets depend on all that was approved before; the customer's consent to
store credit; and house rules that stood behind a recorded no, of which nothing was kept but an open
dispute. The first two are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from amends.core.conditions import Type
from amends.core.explain import HOUSE
from amends.core.fields import NAMES, TYPES, Value
from amends.core.history import Judged
from amends.core.policy import Outcome, Policy, Seen, judge
from amends.core.scorecard import Score
from amends.kernel.time import Instant, day_of

PAGE = 2000  # judgements in memory at once
CASES = 100  # that are told one by one

_KINDS: Mapping[Type, Any] = {
    "int": int,
    "bool": bool,
    "string": str,
    "strings": tuple[str, ...],
    "ints": tuple[int, ...],
}
_fields = msgspec.json.Decoder(tuple[tuple(_KINDS[TYPES[name]] for name in NAMES)])  # type: ignore[misc]


class History(Protocol):
    """Where judgements are read from."""

    async def decisions(
        self, since: Instant, until: Instant, after: tuple[Instant, str, str] | None, limit: int
    ) -> list[Judged]: ...


class Total(msgspec.Struct):
    """So many, and what they ask for in functional minor units."""

    count: int = 0
    amount: int = 0

    def add(self, amount: int) -> None:
        self.count += 1
        self.amount += amount


class Case(msgspec.Struct, frozen=True):
    """One refund that would have another outcome."""

    order: str
    refund: str
    at: Instant
    amount: int
    old: Outcome
    old_rule: str
    new: Outcome
    new_rule: str


class Day(msgspec.Struct):
    """One UTC day: all, and what was and would be approved."""

    all: Total = msgspec.field(default_factory=Total)
    old: Total = msgspec.field(default_factory=Total)
    new: Total = msgspec.field(default_factory=Total)


class Replay(msgspec.Struct):
    """What a policy would have done.

    `matrix` is by old outcome, then new one; `rules` by the new rule, what it would have decided;
    `changed` those of another outcome, `moved` those of the same outcome by another rule. `cases`
    are the first of `changed`. `not_comparable` were kept by a version with other fields, `errors`
    could not be evaluated (a person looks), `house` stay with a person whatever the draft says.
    `capped` would be approved if caps allow, `credit` if the customer takes store credit.
    """

    policy: str
    version: str
    since: Instant
    until: Instant
    decisions: int = 0
    not_comparable: int = 0
    changed: Total = msgspec.field(default_factory=Total)
    moved: int = 0
    errors: int = 0
    house: int = 0
    capped: int = 0
    credit: int = 0
    matrix: dict[Outcome, dict[Outcome, Total]] = {}
    rules: dict[str, Total] = {}
    cases: list[Case] = []
    days: dict[str, Day] = {}

    def total(self, old: Outcome, new: Outcome) -> Total:
        return self.matrix.get(old, {}).get(new, Total())


Progress = Callable[[int, Instant], None]  # judgements so far, the instant it has come to


class Known(msgspec.Struct, frozen=True):
    """The ids of the rows of versions that are at hand: a rule that is one of them is no rule of
    the house, whatever it is called."""

    rows: Mapping[str, frozenset[str]] = {}

    def house(self, judged: Judged, values: Mapping[str, Value]) -> str:
        """The rule by which a person looked whatever the policy said, "" for none."""
        if judged.rule in HOUSE and judged.rule not in self.rows.get(judged.policy, frozenset()):
            return judged.rule
        return "payment-disputed" if values["dispute.open"] else ""


def known(policies: tuple[Policy, ...]) -> Known:
    return Known({p.version: frozenset(r.id for r in p.table.document.rows) for p in policies})


async def replay(
    store: History,
    draft: Policy,
    versions: Known,
    since: Instant,
    until: Instant,
    progress: Progress | None = None,
    page: int = PAGE,
) -> Replay:
    """Judge what was decided from `since` to before `until` by `draft`, which never acts."""
    found = Replay(draft.name, draft.version, since, until)
    after: tuple[Instant, str, str] | None = None
    while rows := await store.decisions(since, until, after, page):
        for judged in rows:
            _count(found, draft, versions, judged)
        after = (rows[-1].at, rows[-1].order, rows[-1].refund)
        if progress is not None:
            progress(found.decisions + found.not_comparable, after[0])
    return found


def values_of(judged: Judged) -> dict[str, Value] | None:
    """The fields that a judgement saw; None where they are not today's: nothing is guessed."""
    try:
        return dict(zip(NAMES, _fields.decode(judged.fields), strict=True))
    except msgspec.DecodeError:
        return None


def _count(found: Replay, draft: Policy, versions: Known, judged: Judged) -> None:
    values = values_of(judged)
    if values is None:
        found.not_comparable += 1
        return
    house = versions.house(judged, values)
    score = Score(judged.score_bp, judged.model)
    verdict, row = judge(Seen(values, score, house, judged.statutory), draft)
    old: Outcome = judged.outcome  # type: ignore[assignment]
    new, amount = verdict.outcome, judged.amount
    found.decisions += 1
    found.matrix.setdefault(old, {}).setdefault(new, Total()).add(amount)
    found.rules.setdefault(verdict.rule, Total()).add(amount)
    found.errors += verdict.code == "policy_error"
    found.house += bool(house) and verdict.rule == house
    if new == "approve" and row is not None:
        found.capped += bool(row.caps)
        found.credit += row.store_credit_first and not judged.statutory
    _count_day(found, judged, new)
    if new != old:
        found.changed.add(amount)
        if len(found.cases) < CASES:
            case = (judged.order, judged.refund, judged.at, amount)
            found.cases.append(Case(*case, old, judged.rule, new, verdict.rule))
    elif verdict.rule != judged.rule:
        found.moved += 1


def _count_day(found: Replay, judged: Judged, new: Outcome) -> None:
    day = found.days.setdefault(day_of(judged.at), Day())
    day.all.add(judged.amount)
    if judged.outcome == "approve":
        day.old.add(judged.amount)
    if new == "approve":
        day.new.add(judged.amount)
