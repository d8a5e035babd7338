"""The shapes of policies, stops and reviews: small bodies that only doors know, and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from amends.core.facts import CaseMove
from amends.core.history import StopScope
from amends.core.policy import Role
from amends.core.requests import ApproveReason, DeclineReason
from amends.doors.shapes_told import When

Shown = Annotated[str, Meta(max_length=255)]
Why = Annotated[str, Meta(max_length=500)]
Note = Annotated[str, Meta(max_length=2000)]
Outcome = Literal["approve", "review", "decline"]
Mark = Literal["no", "applies", "error"]
Plain = dict[str, Any]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...


class ApproveIn(_Body, frozen=True):
    """`shown` of the refund as the approver saw it; "" approves it as it is now. `amount`, where
    less than was asked for is given."""

    shown: Shown = ""
    amount: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    reason: ApproveReason = "as_asked"


class DeclineIn(_Body, frozen=True):
    """Why, from a closed list; and in words, of which only a hash goes on the trail."""

    reason: DeclineReason = "other"
    why: Why = ""


class PublishIn(_Body, frozen=True):
    """A policy to put in force, now or from a later instant."""

    policy: Plain
    effective_from: Annotated[str, Meta(max_length=40)] | None = None
    why: Why = ""


class PolicyIn(_Body, frozen=True):
    """A policy to look at."""

    policy: Plain


class DraftIn(_Body, frozen=True):
    """A draft; `shadow`: every refund is judged by it too, and it decides nothing."""

    policy: Plain
    shadow: bool = False


class ReplayIn(_Body, frozen=True):
    """A policy, or the `name` of a draft or version, and since when."""

    policy: Plain | None = None
    name: Annotated[str, Meta(max_length=100)] = ""
    since: Annotated[str, Meta(max_length=40)] | None = None


class StopIn(_Body, frozen=True):
    """What is stopped, and why; only the hash of that goes on the trail."""

    scope: StopScope
    why: Annotated[str, Meta(min_length=1, max_length=500)]
    key: Annotated[str, Meta(max_length=255)] = ""


class LiftIn(_Body, frozen=True):
    """Why refunds may go on."""

    why: Annotated[str, Meta(min_length=1, max_length=500)]


class CaseIn(_Body, frozen=True):
    """How a review moves on: `who` it is assigned to (nobody, if not given), `until` when it is put
    off, the `role` it is handed up to, the `reference` that is attached; what is suggested as its
    `outcome`, and the order's events by number that bear that out; and a `note`."""

    what: CaseMove
    who: Annotated[str, Meta(pattern="^[!-~]{0,255}$")] = ""
    until: Annotated[str, Meta(max_length=40)] | None = None
    role: Role | None = None
    reference: Annotated[str, Meta(pattern="^[!-~]{0,255}$")] = ""
    note: Note = ""
    outcome: Literal["approve", "decline"] | None = None
    cites: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(max_length=100)] = ()


class DecisionIn(_Body, frozen=True):
    """One of several decisions; its reason is one of an approval's or a decline's."""

    refund: Annotated[str, Meta(min_length=1, max_length=255)]
    decision: Literal["approve", "decline"]
    shown: Shown = ""
    reason: ApproveReason | DeclineReason | None = None


class BulkIn(_Body, frozen=True):
    """Decisions, each for itself."""

    decisions: Annotated[tuple[DecisionIn, ...], Meta(min_length=1, max_length=100)]


# -- answers -------------------------------------------------------------------------------------


class PolicyVersion(msgspec.Struct):
    """A version that was published."""

    version: int
    hash: str
    name: str
    effective_from: When
    published_at: When
    published_by: str
    in_force: bool


class PolicyVersions(msgspec.Struct):
    """All of them, the newest first."""

    items: list[PolicyVersion]


class PolicyRead(msgspec.Struct):
    """A policy as it was written."""

    name: str
    hash: str
    policy: Plain


class PolicyChecked(msgspec.Struct):
    """That nothing is wrong with it."""

    ok: bool
    rows: int
    hash: str


class PolicyDraft(msgspec.Struct):
    """A draft."""

    name: str
    hash: str
    shadow: bool
    at: When
    actor: str


class PolicyDrafts(msgspec.Struct):
    """By name."""

    items: list[PolicyDraft]


class ReplayTotal(msgspec.Struct):
    """So many, and what they ask for, functional."""

    count: int
    amount: int


class ReplayCase(msgspec.Struct):
    """A refund that would have another outcome."""

    order: str
    refund: str
    at: When
    amount: int
    old: Outcome
    old_rule: str
    new: Outcome
    new_rule: str


class ReplayDay(msgspec.Struct):
    """One day: all, and what was and would be approved."""

    all: ReplayTotal
    old: ReplayTotal
    new: ReplayTotal


class ReplayResult(msgspec.Struct):
    """What a policy would have decided."""

    policy: str
    version: str
    since: When
    until: When
    decisions: int
    not_comparable: int
    changed: ReplayTotal
    moved: int
    errors: int
    house: int
    capped: int
    credit: int
    matrix: dict[str, dict[str, ReplayTotal]]
    rules: dict[str, ReplayTotal]
    cases: list[ReplayCase]
    days: dict[str, ReplayDay]


class StopItem(msgspec.Struct):
    """A stop, and why, in the words of whoever set it."""

    id: str
    scope: StopScope
    key: str
    why: str
    at: When
    actor: str
    lifted_at: When | None
    lifted_by: str | None


class Stops(msgspec.Struct):
    """Oldest first."""

    items: list[StopItem]


class ReviewItem(msgspec.Struct):
    """A refund that waits, or waited, for a person or for its goods."""

    order: str
    refund: str
    entity: str
    state: Literal["open", "closed"]
    role: str
    assignee: str
    due: When | None
    snoozed_until: When | None
    escalated: str
    asked: bool
    amount: int
    currency: str
    score_bp: int
    rule: str
    reason: str
    created_at: When | None
    closed_at: When | None


class ReviewPage(msgspec.Struct):
    """A page."""

    items: list[ReviewItem]
    next: str | None


class Decided(msgspec.Struct):
    """What became of one decision: the refund's `state`, or the refusal's `code` and sentence."""

    refund: str
    status: int
    state: str | None
    code: str | None
    detail: str | None


class BulkDecided(msgspec.Struct):
    """In the order of the request."""

    items: list[Decided]


class ExplainedRow(msgspec.Struct):
    """What one row came to."""

    row: str
    verdict: Mark


class Explanation(msgspec.Struct):
    """Why a refund was decided as it was."""

    refund: str
    order: str
    at: When
    outcome: Outcome
    sentence: str
    says: str
    code: str
    by: Literal["row", "house", "cap", "own"]
    rule: str
    condition: str
    options: Plain
    rows: list[ExplainedRow]
    policy: str
    policy_name: str
    score_bp: int
    model: str
    reasons: list[str]
    decided_by: str
