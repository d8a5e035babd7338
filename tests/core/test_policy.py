"""The policy: what can be saved, which row decides, and what holds whatever a policy says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.decide import weighed
from amends.core.facts import DisputeReported, Recorded, RefundRequested
from amends.core.fields import FIELDS, GUESSES, NAMES
from amends.core.history import UNKNOWN, History, Window
from amends.core.order import Refund, shown_state
from amends.core.policy import (
    BadPolicy,
    Cap,
    Document,
    Policy,
    Row,
    built_in,
    checked,
    evaluated,
    hash_of,
    with_table,
)
from amends.core.requests import LinePick, RefundIn
from amends.kernel.canon import digest
from amends.kernel.time import DAY
from tests.core.desk import START, STRIPE, Desk, contract_order, recorded_id

LAST = Row("rest", "true", "review")
TEA = RefundIn(lines=(LinePick("1", 1),))


def policy(*rows: Row, caps: dict[str, Cap] | None = None, **more: Any) -> Policy:
    """These rows, and review for the rest."""
    document = Document("test", (*rows, LAST), caps or {}, **more)
    return with_table(built_in(0), checked(document))


def asked(desk: Desk, request: RefundIn = TEA, actor: str = "key:support") -> Refund:
    decision = desk.tell(RefundRequested(request), actor)
    assert decision.refused is None, decision.refused
    return desk.refund()


# -- what can be saved ---------------------------------------------------------------------------


def faults(*rows: Row, caps: dict[str, Cap] | None = None) -> list[tuple[str, str]]:
    with pytest.raises(BadPolicy) as caught:
        checked(Document("test", rows, caps or {}))
    return [(fault.pointer, fault.says) for fault in caught.value.faults]


def row(outcome: Any, when: str = "true", **options: Any) -> Row:
    return Row("a", when, outcome, **options)


GUESS = "risk.score_bp > 1 && customer.refunds_30d > 9"


@pytest.mark.parametrize(
    ("first", "last", "pointer", "says"),
    [
        (row("review", "order.amont > 1"), LAST, "/rows/0/when", "no field `order.amont`"),
        (row("approve"), Row("b", "order.cancelled", "review"), "/rows/1/when", "last row"),
        (row("review"), row("review"), "/rows/1/id", "Two rows"),
        (row("decline", returnless=True), LAST, "/rows/0/returnless", "decline has no"),
        (row("decline", partial_bp=500), LAST, "/rows/0/partial_bp", "decline has no"),
        (row("approve", second_person=True), LAST, "/rows/0/second_person", "approve has no"),
        (row("review", caps=("day",)), LAST, "/rows/0/caps", "review has no caps"),
        (row("approve", caps=("day",)), LAST, "/rows/0/caps", "There is no cap 'day'"),
        (row("approve", fee={"XXQ": 1}), LAST, "/rows/0/fee/XXQ", "not an ISO 4217"),
        (
            row("approve", returnless=True, wait_for_receipt=True),
            LAST,
            "/rows/0/returnless",
            "not both",
        ),
        (row("decline", "risk.score_bp > 9000"), LAST, "/rows/0/outcome", "declines nobody"),
        (row("decline", GUESS), LAST, "/rows/0/outcome", "declines nobody"),
    ],
)
def test_what_cannot_be_saved(first: Row, last: Row, pointer: str, says: str) -> None:
    found = faults(first, last)
    assert any(p == pointer and says in s for p, s in found), found


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = faults(row("review", "x"), row("approve", "1"))
    pointers = ["/rows/1/when", "/rows/1/id", "/rows/0/when", "/rows/1/when"]
    assert [pointer for pointer, _ in found] == pointers


def test_a_cap_needs_a_limit() -> None:
    assert faults(LAST, caps={"day": Cap("customer")}) == [
        ("/caps/day", "A cap needs an amount, a count, or both.")
    ]


def test_a_table_of_a_megabyte_is_refused() -> None:
    long = tuple(Row(f"r{n}", "true || " * 200 + "true", "review") for n in range(700))
    pointers = [pointer for pointer, _ in faults(*long)]
    assert pointers[:2] == ["", "/rows"]


def test_every_field_can_be_asked() -> None:
    """Each of its type; and a request has a value for each."""
    texts = {"int": "{} > 1", "bool": "{}", "string": '{} == "x"', "strings": '"x" in {}'}
    rows = [Row(f"r{n}", texts[f.type].format(f.name), "review") for n, f in enumerate(FIELDS)]
    desk = Desk(policy=policy(*rows))
    refund = asked(desk)
    (judged,) = desk.beside[-1].judged
    values = dict(zip(NAMES, msgspec.json.decode(judged.fields), strict=True))
    assert values["refund.amount"] == refund.amount == 3200
    assert values["lines.skus"] == ["TEA"] and values["goods.state"] == "awaited"
    assert len(judged.rows) == len(FIELDS) + 1 and "!" not in judged.rows


def test_its_name_is_the_hash_of_its_content() -> None:
    one = Document("test", (Row("a", "order.cancelled", "approve"), LAST))
    assert hash_of(one) == hash_of(msgspec.json.decode(msgspec.json.encode(one), type=Document))
    assert hash_of(one) != hash_of(replace(one, rows=(LAST,)))
    assert built_in(1).version != built_in(2).version


# -- which row decides ---------------------------------------------------------------------------


def test_rows_13_and_14_the_first_row_that_applies_decides_and_every_row_is_kept() -> None:
    desk = Desk(
        policy=policy(
            Row("no", "order.cancelled", "decline"),
            Row(
                "first", "refund.amount > 100", "approve", reason="small", says="It is on its way."
            ),
            Row("second", "refund.amount > 200", "review"),
        )
    )
    verdict = asked(desk).verdict
    assert verdict and (verdict.outcome, verdict.rule, verdict.rows) == ("approve", "first", ".+++")
    assert (verdict.code, verdict.says) == ("small", "It is on its way.")


BROKEN = Row("broken", "1 / (order.refunds) > 0", "approve")


@pytest.mark.parametrize("outcome", ["approve", "decline"])
def test_a_row_that_fails_before_the_first_that_applies_gives_review(outcome: Any) -> None:
    after = Row("after", "refund.amount > 0", outcome)
    verdict = asked(Desk(policy=policy(BROKEN, after))).verdict
    assert verdict and (verdict.outcome, verdict.rule, verdict.rows) == ("review", "broken", "!++")
    assert verdict.code == "policy_error" and "division by zero" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("failing", "applies"),
    [
        ({"approver": "finance", "second_person": True}, {}),
        ({}, {"approver": "finance", "second_person": True}),
        ({"approver": "finance"}, {"approver": "reviewer", "second_person": True}),
    ],
)
def test_who_may_approve_is_not_lost_with_a_row_that_fails(
    failing: dict[str, Any], applies: dict[str, Any]
) -> None:
    """Else whoever can make a condition fail approves what it is to keep from them."""
    broken = Row("broken", "refund.amount / order.refunds > 0", "review", **failing)
    desk = Desk(policy=policy(broken, Row("after", "true", "review", **applies)))
    refund = asked(desk)
    assert refund.verdict and refund.verdict.code == "policy_error"
    assert (refund.approver, refund.second_person) == ("finance", True)


def test_a_row_that_fails_later_changes_nothing() -> None:
    verdict = asked(Desk(policy=policy(Row("a", "refund.amount > 0", "approve"), BROKEN))).verdict
    assert verdict and (verdict.outcome, verdict.rule, verdict.rows) == ("approve", "a", "+!+")


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["true", "order.cancelled", "refund.amount > 5", "1 / order.refunds > 0"]),
        st.sampled_from(["approve", "review", "decline"]),
    ),
    max_size=6,
)


@given(ROWS)
def test_edge_26_any_table_approves_only_by_a_row_that_says_so_and_after_none_that_failed(
    rows: list[tuple[str, Any]],
) -> None:
    table = policy(*(Row(f"r{n}", when, out) for n, (when, out) in enumerate(rows)))
    verdict = asked(Desk(policy=table)).verdict
    assert verdict
    applies = {"true": "+", "order.cancelled": ".", "refund.amount > 5": "+"}
    marks = [applies.get(when, "!") for when, _ in (*rows, ("true", "review"))]
    assert verdict.rows == "".join(marks)
    at = next(n for n, mark in enumerate(marks) if mark != ".")
    said = (*rows, ("true", "review"))[at][1] if marks[at] == "+" else "review"
    assert verdict.outcome == said


# -- what holds whatever a policy says -----------------------------------------------------------

YES = policy(Row("yes", "true", "approve"))


def test_edge_11_a_dispute_that_may_take_the_money_is_a_persons() -> None:
    desk = Desk(policy=YES)
    desk.tell(DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", "needs_response", True))
    verdict = asked(desk).verdict
    assert verdict and (verdict.outcome, verdict.rule) == ("review", "payment-disputed")
    desk = Desk(policy=policy(Row("no", "true", "decline")))
    desk.tell(DisputeReported(STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", "needs_response", True))
    verdict = asked(desk).verdict
    assert verdict and verdict.outcome == "decline", "to say no moves no money"


SUSPECT = History(first_day=1, d30=Window(refunds=9), d365=Window(refunds=30, orders=30))


@pytest.mark.parametrize(
    ("statutory", "when", "outcome", "code"),
    [
        (True, "customer.refunds_30d > 5 && order.age_days >= -1", "review", "granted_by_law"),
        (True, "risk.score_bp >= 0 && refund.amount > 0", "review", "granted_by_law"),
        (True, "order.age_days > 10", "decline", ""),
        (False, "customer.refunds_30d > 5 && order.age_days >= -1", "decline", ""),
    ],
)
def test_edge_26_what_the_law_grants_no_guess_declines(
    statutory: bool, when: str, outcome: str, code: str
) -> None:
    desk = Desk(
        contract_order(placed_at="2026-09-01T00:00:00Z"), policy=policy(Row("no", when, "decline"))
    )
    desk.history = SUSPECT
    verdict = asked(desk, replace(TEA, statutory=statutory)).verdict
    assert verdict and (verdict.outcome, verdict.code) == (outcome, code)


@pytest.mark.parametrize(("statutory", "outcome"), [(True, "review"), (False, "decline")])
def test_edge_26_what_the_law_grants_is_not_declined_for_want_of_a_good_guess(
    statutory: bool, outcome: str
) -> None:
    """A row that approves by the score before one that declines declines by the score."""
    trusted = Row("trusted", "risk.score_bp < 50", "approve")
    desk = Desk(policy=policy(trusted, Row("others", "refund.amount > 0", "decline")))
    verdict = asked(desk, replace(TEA, statutory=statutory)).verdict
    assert verdict and verdict.outcome == outcome


def test_guesses_are_the_customers_history_and_the_score() -> None:
    groups = {name.partition(".")[0] for name in GUESSES}
    assert groups == {"customer", "risk"} and "customer.id" not in GUESSES


def test_row_71_the_refund_is_scored_and_not_the_payment() -> None:
    """The same payment: a customer who asks back often is another risk than one who never did."""
    scores = []
    for history in (UNKNOWN, SUSPECT):
        desk = Desk(policy=YES)
        desk.history = history
        verdict = asked(desk).verdict
        assert verdict and verdict.model == "scorecard-2"
        scores.append(verdict.score_bp)
    assert scores[0] < scores[1]


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (Row("a", "true", "approve"), "sending"),
        (Row("a", "true", "approve", wait_for_receipt=True), "awaiting_return"),
        (Row("a", "true", "review"), "review"),
        (Row("a", "true", "decline"), "declined"),
    ],
)
def test_row_72_there_is_more_than_yes_and_no(row: Row, state: str) -> None:
    assert shown_state(asked(Desk(policy=policy(row)))) == state


# -- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_purchase", "placed", "rule"),
    [
        (False, "2026-08-01T00:00:00Z", "new"),
        (True, "2026-08-01T00:00:00Z", "old"),
        (True, "2026-09-15T00:00:00Z", "new"),
        (True, "2026-01-01T00:00:00Z", "small-and-trusted"),
        (True, "", "new"),
    ],
)
def test_row_16_an_order_is_judged_by_the_version_at_its_purchase_where_the_policy_says_so(
    at_purchase: bool, placed: str, rule: str
) -> None:
    new = policy(Row("new", "true", "review"), at_purchase=at_purchase)
    desk = Desk(contract_order(placed_at=placed), policy=replace(new, since=START - 10 * DAY))
    old = replace(policy(Row("old", "true", "decline")), since=START - 90 * DAY)
    desk.earlier = (old, built_in(10**9))
    verdict = asked(desk).verdict
    assert verdict and verdict.rule == rule


def test_row_17_a_shadow_is_judged_beside_and_decides_nothing() -> None:
    desk = Desk(policy=YES)
    draft = policy(Row("never", "true", "decline"))
    desk.shadows = (draft,)
    assert asked(desk).stage == "active"
    (judged,) = desk.beside[-1].judged
    assert msgspec.json.decode(judged.shadows) == [[draft.version, "never", "decline"]]


def test_units_of_a_line_that_is_named_twice_are_counted_together() -> None:
    many = Row("many", "lines.units >= 3", "review")
    desk = Desk(policy=policy(many, Row("yes", "true", "approve")))
    refund = asked(desk, RefundIn(lines=(LinePick("1", 1), LinePick("1", 2))))
    assert refund.verdict and refund.verdict.rule == "many"


def test_row_18_the_judgement_is_sealed_on_the_trail() -> None:
    """What was seen is kept beside, and its hash stands in the event."""
    desk = Desk(policy=YES)
    asked(desk)
    (judged,) = desk.beside[-1].judged
    body = next(e.body for e in desk.events if e.type == "refund.requested")
    assert body["seen"] == digest([judged.fields, judged.features])
    again = policy(Row("yes", "true", "approve"))
    rows, at, trouble = evaluated(
        again.table, dict(zip(NAMES, msgspec.json.decode(judged.fields), strict=True))
    )
    assert (rows, at, trouble) == (judged.rows, 0, "")


def test_a_quote_says_what_the_policy_would_and_nothing_is_kept() -> None:
    desk = Desk(policy=YES)
    recorded = Recorded(recorded_id(99), desk.now, "key:support", RefundRequested(TEA))
    found = weighed(desk.order, TEA, recorded, replace(desk.ctx(), caps=None))
    assert (found.verdict.outcome, found.quote.amount) == ("approve", 3200)
    assert desk.order.refunds == ()
