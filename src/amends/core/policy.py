"""Whether a refund leaves by itself: an ordered table of conditions, each with what follows.

Every row is evaluated and its verdict kept; the first that applies decides. A row before it that
could not be evaluated gives review, never approval. A table is checked when it is saved, is
immutable from then on and named by the hash of its content.

Rules that hold whatever a policy says stand in `judge`: a person looks where refunds are stopped,
a dispute may take the money, or no provider can pay; a guess declines nobody whom the law gives
the right (edge 26).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import cel
import msgspec
from msgspec import Meta
from msgspec.structs import replace

from amends.core.amounts import PLAIN, Amounts, Fallback
from amends.core.conditions import (
    ArithmeticFailed,
    BadCondition,
    Condition,
    compiled,
    flat,
    holds,
)
from amends.core.fields import GUESSES, TYPES, Value
from amends.core.order import Verdict
from amends.core.requests import Amount
from amends.core.risk import Score, texts
from amends.kernel.canon import digest
from amends.kernel.check import invariant
from amends.kernel.currency import known
from amends.kernel.time import Instant

ROWS_MAX = 200
SIZE_MAX = 64 * 1024  # bytes of a whole table as JSON

Outcome = Literal["approve", "review", "decline"]
Role = Literal["agent", "reviewer", "finance", "admin"]
ROLES: tuple[Role, ...] = (
    "agent",
    "reviewer",
    "finance",
    "admin",
)  # each may as the last, and more
RowId = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
Code = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
Says = Annotated[str, Meta(max_length=500)]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True): ...


class Row(_Part, frozen=True):
    """One row: `when` it applies, what follows, the reason as a code and as a sentence for the
    customer.

    Of an approval: `returnless`, the goods stay; `wait_for`, it leaves once they are so far back: a
    carrier has them, they are here, somebody has looked at them (`wait_for_receipt`: "receipt");
    `store_credit_first`, as store credit where the customer's consent is recorded, else a person
    asks for it; `caps` it draws on. Of an approval or review: `partial_bp`, only so much of it
    (1/10,000) is given back; `restocking_bp` of the goods and `fee`, an amount by currency, are
    kept back. Of a review: the `approver`'s role at least, and whether it must be a
    `second_person` and not whoever asked. What the law grants is given whole, in money.
    """

    id: RowId
    when: str
    outcome: Outcome
    reason: Code = "policy"
    says: Says = ""
    returnless: bool = False
    wait_for_receipt: bool = False
    wait_for: Literal["", "shipment", "receipt", "inspection"] = ""
    store_credit_first: bool = False
    partial_bp: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    restocking_bp: Annotated[int, Meta(ge=0, le=9_999)] = 0
    fee: dict[str, Amount] = {}
    approver: Role | None = None
    second_person: bool = False
    caps: Annotated[tuple[RowId, ...], Meta(max_length=5)] = ()

    @property
    def waits(self) -> bool:
        """Whether it leaves only once the goods are back, as far as that is."""
        return self.wait_for_receipt or bool(self.wait_for)

    @property
    def so_far(self) -> Literal["", "shipment", "inspection"]:
        """How far, where that is not their receipt."""
        return "" if self.wait_for == "receipt" else self.wait_for


CapOf = Literal["customer", "card", "address", "device", "requester", "everybody"]


class Cap(_Part, frozen=True):
    """A limit `of` one subject `per` UTC day or month: an `amount` in functional minor units, a
    `count`, or both. What is over it goes to a person, or is declined. Where the subject is not
    known there is nothing to count, and a person looks."""

    of: CapOf
    per: Literal["day", "month"] = "day"
    amount: Annotated[int, Meta(ge=1)] | None = None
    count: Annotated[int, Meta(ge=1)] | None = None
    over: Literal["review", "decline"] = "review"


class Document(_Part, frozen=True):
    """A policy as it is written: rows in order, the last one `when = "true"`, and caps by name.
    `at_purchase`: an order is judged by the version that was in force when it was placed."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]
    rows: Annotated[tuple[Row, ...], Meta(min_length=1)]
    caps: dict[RowId, Cap] = {}
    at_purchase: bool = False


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a document: where (a JSON pointer), and a sentence."""

    pointer: str
    says: str


class BadPolicy(Exception):
    """A document that cannot be a policy, with everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer}: {fault.says}" for fault in self.faults))


class Table:
    """A checked document with its conditions compiled; `fields` are those that they read, each
    with what it is called there."""

    def __init__(self, document: Document, conditions: tuple[Condition, ...]) -> None:
        self.document = document
        self.rows = tuple(zip(document.rows, conditions, strict=True))
        read = {name for condition in conditions for name in condition.fields}
        self.fields = tuple([(flat(name), name) for name in sorted(read)])

    def context(self, values: Mapping[str, Value]) -> cel.Context:
        """What the conditions see: the fields that some of them read, and no other."""
        return cel.Context({called: values[name] for called, name in self.fields})


class Policy(msgspec.Struct, frozen=True):
    """What decides: settings and a table. `version` is the hash of both; it is in force `since`,
    and `name` is what people call it."""

    auto_approve_up_to: int
    second_person: bool  # whoever asked may not approve (I11)
    version: str
    amounts: Amounts = PLAIN
    fallback: Fallback = "none"  # what pays where money cannot go back the way it came
    table: Any = None  # Table; None only between construction and `with_table`
    since: Instant = 0
    name: str = "built-in"


def checked(document: Document) -> Table:
    """The table of a document. Raises BadPolicy with all that is wrong; of one that is too long
    only that, as its conditions are not looked at."""
    if faults := list(_length(document)):
        raise BadPolicy(faults)
    faults = list(_shape(document))
    conditions = []
    for index, row in enumerate(document.rows):
        try:
            condition = compiled(row.when, TYPES)
        except BadCondition as bad:
            faults.append(Fault(f"/rows/{index}/when", str(bad)))
            continue
        conditions.append(condition)
        faults += _row(document, index, row, condition)
    if faults:
        raise BadPolicy(faults)
    return Table(document, tuple(conditions))


def _length(document: Document) -> Iterator[Fault]:
    size = len(msgspec.json.encode(document))
    if size > SIZE_MAX:
        yield Fault("", f"The policy has {size:,} bytes; at most {SIZE_MAX:,} are taken.")
    if len(document.rows) > ROWS_MAX:
        yield Fault("/rows", f"There are {len(document.rows)} rows; at most {ROWS_MAX} are taken.")


def _shape(document: Document) -> Iterator[Fault]:
    last = document.rows[-1]
    if last.when.strip() != "true":
        yield Fault(
            f"/rows/{len(document.rows) - 1}/when",
            "The last row must be `true`, so that every refund has an answer.",
        )
    seen: set[str] = set()
    for index, row in enumerate(document.rows):
        if row.id in seen:
            yield Fault(f"/rows/{index}/id", f"Two rows are called {row.id!r}.")
        seen.add(row.id)
    for name, cap in document.caps.items():
        if cap.amount is None and cap.count is None:
            yield Fault(f"/caps/{name}", "A cap needs an amount, a count, or both.")


_APPROVING = ("returnless", "wait_for_receipt", "wait_for", "store_credit_first", "caps")
_PAYING = ("partial_bp", "restocking_bp", "fee")
_REVIEWING = ("approver", "second_person")


def _row(document: Document, index: int, row: Row, condition: Condition) -> Iterator[Fault]:
    here = f"/rows/{index}"
    wrong: tuple[str, ...] = ()
    if row.outcome != "approve":
        wrong += _APPROVING
    if row.outcome == "decline":
        wrong += _PAYING
    if row.outcome != "review":
        wrong += _REVIEWING
    for name in wrong:
        if getattr(row, name) != getattr(_PLAIN, name):
            yield Fault(f"{here}/{name}", f"A row that says {row.outcome} has no {name}.")
    if row.wait_for_receipt and row.wait_for:
        yield Fault(f"{here}/wait_for", "Say wait_for alone; wait_for_receipt is its older name.")
    if row.returnless and row.waits:
        yield Fault(f"{here}/returnless", "Goods either stay or are waited for, not both.")
    for name in row.caps:
        if name not in document.caps:
            names = ", ".join(sorted(document.caps)) or "none"
            yield Fault(f"{here}/caps", f"There is no cap {name!r}; there are: {names}.")
    for code in row.fee:
        if not known(code):
            yield Fault(f"{here}/fee/{code}", f"{code!r} is not an ISO 4217 currency.")
    if row.outcome == "decline" and condition.fields and condition.fields <= GUESSES:
        yield Fault(
            f"{here}/outcome",
            "A score or a customer's history alone declines nobody; send it to review, or ask for "
            "something of the order or the request as well.",
        )


_PLAIN = Row("plain", "true", "review")


# -- what is in force ----------------------------------------------------------------------------


def built_in(
    auto_approve_up_to: int,
    second_person: bool = False,
    amounts: Amounts = PLAIN,
    fallback: Fallback = "none",
) -> Policy:
    """The policy in force until another is published."""
    rows = (
        Row("above-auto-approve", f"refund.amount > {auto_approve_up_to}", "review"),
        Row("risk-high", "risk.score_bp >= 5000", "review"),
        Row("small-and-trusted", "true", "approve"),
    )
    settings = Policy(auto_approve_up_to, second_person, "", amounts, fallback)
    return with_table(settings, checked(Document("built-in", rows)))


def with_table(settings: Policy, table: Table, since: Instant = 0) -> Policy:
    """The same settings with another table, in force from then on."""
    content: dict[str, object] = {
        "policy": table.document,
        "second_person": settings.second_person,
    }
    if settings.amounts != PLAIN:
        content["amounts"] = settings.amounts
    if settings.fallback != "none":
        content["fallback"] = settings.fallback
    return msgspec.structs.replace(
        settings,
        version=f"sha256:{digest(content)}",
        table=table,
        since=since,
        name=table.document.name,
    )


def higher(one: str, other: str) -> str:
    """The higher of two roles, "" being none."""
    return max(one, other, key=("", *ROLES).index)


def hash_of(document: Document) -> str:
    """What names a document, wherever it is in force."""
    return f"sha256:{digest(document)}"


# -- judging -------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a judgement sees: the policy's fields, the score, and the rule by which a person looks
    whatever the policy says ("" for none)."""

    values: Mapping[str, Value]
    score: Score
    house: str
    statutory: bool


class Ruled(NamedTuple):
    """A verdict, and the row whose options count (None where none does): a rule of the house adds
    a person's look, and takes nothing of what the row says of how much. Of rows that could not be
    evaluated only who may approve counts."""

    verdict: Verdict
    row: Row | None


def judge(seen: Seen, policy: Policy) -> Ruled:
    """The first row that applies decides, under the rules that always hold."""
    rows, at, trouble = evaluated(policy.table, seen.values)
    row, _ = policy.table.rows[at]
    outcome, rule, says, code = row.outcome, row.id, row.says, row.reason
    if trouble:
        outcome, says, code = "review", "", "policy_error"
    elif outcome == "decline" and seen.statutory and _guessed(policy.table, at):
        outcome, says, code = "review", "", "granted_by_law"
    elif seen.house and outcome != "decline":
        outcome, rule, says, code = "review", seen.house, "", seen.house.replace("-", "_")
    elif outcome == "approve" and row.waits and seen.values["goods.state"] == "not_said":
        outcome, says, code = "review", "", "goods_not_said"
    reasons = texts(seen.score)
    verdict = Verdict(
        outcome,
        policy.version,
        rule,
        seen.score.score_bp,
        seen.score.model,
        (f"row {row.id!r} could not be evaluated: {trouble}", *reasons) if trouble else reasons,
        rows=rows,
        code="" if code == "policy" else code,
        says=says,
    )
    if trouble:
        return Ruled(verdict, _caring(policy.table, rows, at))
    return Ruled(verdict, None if code == "granted_by_law" else row)


def _guessed(table: Table, at: int) -> bool:
    """Whether the row that declines asks for a guess, or is come to because a row before it, which
    would have approved, asked for one."""
    before = (condition for row, condition in table.rows[:at] if row.outcome == "approve")
    asked = (table.rows[at][1], *before)
    return not all(condition.fields.isdisjoint(GUESSES) for condition in asked)


def _caring(table: Table, marks: str, at: int) -> Row:
    """Who may approve what could not be evaluated: whoever may by each row that failed, and by the
    first that applies, one of which might have decided."""
    upto = marks.index("+")
    found = [
        row
        for index, (row, _) in enumerate(table.rows)
        if at <= index <= upto and marks[index] != "." and row.outcome == "review"
    ]
    approver = ""
    for row in found:
        approver = higher(approver, row.approver or "")
    wanted: Role | None = next((role for role in ROLES if role == approver), None)
    second = any(row.second_person for row in found)
    return replace(_PLAIN, approver=wanted, second_person=second)


def evaluated(table: Table, values: Mapping[str, Value]) -> tuple[str, int, str]:
    """Every row's verdict as one character each, the row that decides, and why it could not be
    evaluated, if that is why it decides."""
    context = table.context(values)
    marks: list[str] = []
    at, trouble = -1, ""
    for index, (_, condition) in enumerate(table.rows):
        try:
            applies = holds(condition, context)
        except ArithmeticFailed as failed:
            marks.append("!")
            if at < 0:
                at, trouble = index, str(failed)
            continue
        marks.append("+" if applies else ".")
        if applies and at < 0:
            at = index
    invariant(at >= 0, "the last row of a checked table always applies")
    return "".join(marks), at, trouble
