"""The policies of five trades: each with its decision table, whose every row decides some case."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from amends.core.explain import options_of
from amends.core.fields import NAMES, TYPES
from amends.core.policy import Document, Policy, Seen, built_in, checked, judge, with_table
from amends.core.scorecard import Score
from amends.doors import examples
from amends.engine.tryout import tried

# Of each trade: an ordinary request, and what differs from it -> outcome, row, options that count.
Line = tuple[dict[str, Any], str, str, tuple[str, ...]]

RETURN = {
    "refund.amount": 4900,
    "refund.reason": "return",
    "goods.shipped": True,
    "order.age_days": 12,
    "order.delivered_days": 9,
    "order.tracking": "delivered",
    "customer.known_days": 400,
    "customer.orders_365d": 8,
}
WAITS, CARES = ("wait_for_receipt",), ("approver", "second_person")

APPAREL: list[Line] = [
    ({}, "approve", "return", ("wait_for_receipt", "caps")),
    ({"order.delivered_days": 30}, "approve", "return", ("wait_for_receipt", "caps")),
    ({"order.delivered_days": 31}, "decline", "worn-after-30-days", ()),
    ({"order.delivered_days": -1, "order.age_days": 41}, "decline", "worn-after-30-days", ()),
    ({"order.delivered_days": 31, "refund.statutory": True}, "approve", "withdrawal", WAITS),
    ({"lines.categories": ["shoes", "final_sale"]}, "decline", "final-sale", ()),
    (
        {"lines.categories": ["final_sale"], "refund.statutory": True},
        *("approve", "withdrawal", WAITS),
    ),
    ({"refund.amount": 50_000}, "approve", "return", ("wait_for_receipt", "caps")),
    ({"refund.amount": 50_001}, "review", "high-value", CARES),
    ({"refund.amount": 50_001, "refund.statutory": True}, "review", "high-value", CARES),
    ({"payment.fraud_warning": True}, "review", "fraud-warning", ("second_person",)),
    ({"customer.findings_365d": 1}, "review", "history-of-abuse", ("approver",)),
    ({"customer.not_returned_365d": 1}, "approve", "return", ("wait_for_receipt", "caps")),
    ({"customer.not_returned_365d": 2}, "review", "history-of-abuse", ("approver",)),
    ({"risk.score_bp": 5999}, "approve", "return", ("wait_for_receipt", "caps")),
    ({"risk.score_bp": 6000}, "review", "risk-high", ()),
    ({"refund.reason": "not_received"}, "review", "said-delivered", ()),
    (
        {"refund.reason": "not_received", "order.tracking": "lost"},
        *("approve", "lost-parcel", ("caps",)),
    ),
    (
        {"refund.reason": "not_received", "order.tracking": "in_transit", "order.age_days": 22},
        *("approve", "lost-parcel", ("caps",)),
    ),
    (
        {"refund.reason": "not_received", "order.tracking": "in_transit"},
        *("review", "everything-else", ()),
    ),
    (
        {"refund.reason": "damaged", "refund.amount": 1500},
        *("approve", "faulty-and-cheap", ("returnless", "caps")),
    ),
    ({"refund.reason": "damaged"}, "approve", "faulty", ("wait_for_receipt", "caps")),
    ({"refund.reason": "cancelled", "goods.shipped": False}, "approve", "never-shipped", ()),
    ({"refund.reason": "cancelled"}, "review", "everything-else", ()),
    ({"refund.reason": "goodwill"}, "review", "everything-else", ()),
]
_KEPT = ("wait_for_receipt", "restocking_bp", "caps")
ELECTRONICS: list[Line] = [
    ({}, "approve", "return", ("wait_for_receipt", "caps")),
    ({"lines.categories": ["opened"]}, "approve", "opened", _KEPT),
    ({"order.delivered_days": 15}, "decline", "after-14-days", ()),
    ({"order.delivered_days": 15, "refund.statutory": True}, "approve", "withdrawal", WAITS),
    ({"lines.categories": ["in_ear"]}, "decline", "hygiene", ()),
    ({"lines.categories": ["in_ear"], "refund.statutory": True}, "approve", "withdrawal", WAITS),
    ({"refund.amount": 100_001}, "review", "high-value", CARES),
    ({"payment.fraud_warning": True}, "review", "fraud-warning", CARES),
    ({"customer.findings_365d": 1}, "review", "wrong-things-in-the-box", CARES),
    ({"customer.device_others": 3}, "review", "shared-with-others", ()),
    (
        {"customer.device_others": 3, "refund.statutory": True},
        *("approve", "withdrawal", WAITS),
    ),
    ({"refund.reason": "not_received"}, "review", "not-received", ()),
    ({"refund.reason": "damaged"}, "approve", "dead-on-arrival", ("wait_for_receipt", "caps")),
    ({"refund.reason": "damaged", "order.delivered_days": 31}, "review", "warranty", ()),
    ({"refund.reason": "damaged", "order.delivered_days": -1}, "review", "warranty", ()),
    ({"refund.reason": "out_of_stock", "goods.shipped": False}, "approve", "never-shipped", ()),
    ({"refund.reason": "price_adjustment"}, "review", "everything-else", ()),
]
DIGITAL: list[Line] = [
    ({}, "approve", "used", ("partial_bp", "caps")),
    ({"order.age_days": 15}, "decline", "after-14-days", ()),
    ({"order.age_days": 15, "refund.statutory": True}, "approve", "withdrawal", ()),
    ({"lines.categories": ["licence_key"]}, "decline", "keys-cannot-come-back", ()),
    ({"lines.categories": ["licence_key"], "refund.statutory": True}, "approve", "withdrawal", ()),
    ({"goods.shipped": False}, "approve", "never-delivered", ("caps",)),
    (
        {"goods.shipped": False, "lines.categories": ["licence_key"]},
        *("approve", "never-delivered", ("caps",)),
    ),
    ({"refund.reason": "damaged"}, "approve", "broken", ("caps",)),
    ({"refund.reason": "damaged", "risk.score_bp": 5000}, "review", "everything-else", ()),
    ({"refund.reason": "duplicate"}, "approve", "charged-twice", ("caps",)),
    ({"refund.amount": 20_001}, "review", "high-value", CARES),
    ({"refund.reason": "duplicate", "refund.amount": 20_001}, "review", "high-value", CARES),
    ({"customer.refunds_90d": 4}, "review", "serial-refunder", ("approver",)),
    ({"customer.refunds_90d": 4, "refund.statutory": True}, "approve", "withdrawal", ()),
    ({"payment.fraud_warning": True}, "review", "fraud-warning", ()),
]
_GIVEN = ("returnless", "caps")
SPOILED = {"refund.reason": "damaged", "refund.amount": 1290, "order.age_days": 0}
FOOD: list[Line] = [
    (SPOILED, "approve", "spoiled-and-small", _GIVEN),
    ({**SPOILED, "refund.amount": 3001}, "review", "everything-else", ()),
    ({**SPOILED, "order.age_days": 4}, "decline", "too-late", ()),
    ({**SPOILED, "order.age_days": 4, "refund.statutory": True}, "review", "withdrawal", ()),
    ({**SPOILED, "customer.refunds_30d": 4}, "review", "asks-every-week", ()),
    ({**SPOILED, "customer.refunded_bp_365d": 3001}, "approve", "spoiled-and-small", _GIVEN),
    (
        {**SPOILED, "customer.refunded_bp_365d": 3001, "customer.orders_365d": 10},
        *("review", "asks-every-week", ()),
    ),
    ({**SPOILED, "risk.score_bp": 6000}, "review", "everything-else", ()),
    (
        {**SPOILED, "refund.reason": "not_received", "refund.amount": 1501},
        *("review", "at-the-door", ()),
    ),
    ({**SPOILED, "refund.reason": "not_received"}, "approve", "never-came", _GIVEN),
    (
        {
            **SPOILED,
            "refund.reason": "not_received",
            "refund.amount": 9000,
            "order.tracking": "lost",
        },
        *("approve", "never-came", _GIVEN),
    ),
    ({**SPOILED, "refund.reason": "return"}, "decline", "changed-their-mind", ()),
    (
        {**SPOILED, "refund.reason": "goodwill", "refund.amount": 500},
        *("approve", "goodwill-and-small", ("caps",)),
    ),
    (
        {
            **SPOILED,
            "refund.reason": "goodwill",
            "refund.amount": 500,
            "requester.kind": "agent",
        },
        *("review", "everything-else", ()),
    ),
    ({**SPOILED, "refund.amount": 15_001}, "review", "high-value", CARES),
    ({**SPOILED, "payment.fraud_warning": True}, "review", "fraud-warning", ()),
    (
        {**SPOILED, "goods.shipped": False, "refund.reason": "cancelled"},
        *("approve", "never-left-the-kitchen", ()),
    ),
]
YEAR = {
    "refund.reason": "subscription",
    "lines.categories": ["yearly"],
    "order.age_days": 90,
    "refund.amount": 9000,
}
MONTH = {**YEAR, "lines.categories": ["monthly"], "order.age_days": 20, "refund.amount": 1500}
SUBSCRIPTIONS: list[Line] = [
    (YEAR, "approve", "yearly-unused", ("fee", "caps")),
    ({**YEAR, "order.age_days": 181}, "review", "everything-else", ()),
    ({**YEAR, "order.age_days": 14}, "approve", "first-14-days", ("caps",)),
    (MONTH, "decline", "monthly-runs-out", ()),
    ({**MONTH, "refund.statutory": True}, "approve", "withdrawal", ()),
    ({**MONTH, "order.age_days": 3}, "approve", "first-14-days", ("caps",)),
    ({**MONTH, "order.age_days": 3, "customer.refunds_365d": 3}, "review", "joins-and-leaves", ()),
    ({**MONTH, "refund.reason": "duplicate"}, "approve", "charged-twice", ("caps",)),
    (
        {**MONTH, "refund.reason": "cancelled", "order.cancelled": True},
        *("approve", "charged-after-cancelling", ("caps",)),
    ),
    ({**MONTH, "refund.reason": "cancelled"}, "review", "everything-else", ()),
    ({**YEAR, "refund.amount": 30_001}, "review", "high-value", CARES),
    ({**YEAR, "dispute.count": 1}, "review", "disputed-before", ("approver",)),
    ({**YEAR, "payment.fraud_warning": True}, "review", "fraud-warning", ()),
    (
        {**YEAR, "refund.reason": "goodwill", "refund.amount": 2000},
        *("approve", "outage", ("caps",)),
    ),
    (
        {
            **YEAR,
            "refund.reason": "goodwill",
            "refund.amount": 2000,
            "requester.kind": "agent",
        },
        *("review", "everything-else", ()),
    ),
]
TRADES = {
    "apparel": APPAREL,
    "electronics": ELECTRONICS,
    "digital": DIGITAL,
    "food-delivery": FOOD,
    "subscriptions": SUBSCRIPTIONS,
}


def policy_of(name: str) -> Policy:
    document = msgspec.toml.decode(examples.text(name), type=Document)
    return with_table(built_in(0), checked(document))


def test_there_is_a_table_for_every_example() -> None:
    assert set(TRADES) == set(examples.NAMES)


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in TRADES.items() for line in lines], ids=str
)
def test_decision_table(name: str, line: Line) -> None:
    case, outcome, row, options = line
    found = tried(policy_of(name), RETURN | case)
    assert (found.outcome, found.rule, tuple(sorted(found.options))) == (
        *(outcome, row),
        tuple(sorted(options)),
    )


@pytest.mark.parametrize("name", examples.NAMES)
def test_every_row_decides_some_case_and_speaks_to_the_customer(name: str) -> None:
    rows = policy_of(name).table.document.rows
    assert [row.id for row in rows if row.id not in {line[2] for line in TRADES[name]}] == []
    assert [row.id for row in rows if not row.says or row.reason == "policy"] == []
    assert 10 <= len(rows) <= 14


@pytest.mark.parametrize("name", examples.NAMES)
@pytest.mark.parametrize("guess", ["customer.findings_365d", "customer.refunds_365d"])
def test_no_history_declines_what_the_law_grants(name: str, guess: str) -> None:
    worst = {field: 10_000 for field in NAMES if TYPES[field] == "int"}
    worst |= {"refund.amount": 100, guess: 10_000, "refund.statutory": True}
    found = tried(policy_of(name), RETURN | worst)
    assert found.outcome != "decline"


@pytest.mark.parametrize("name", examples.NAMES)
def test_no_row_of_an_example_can_fail(name: str) -> None:
    """Whatever a field holds: no arithmetic in them overflows."""
    policy = policy_of(name)
    for number in (-1, 0, 2**63 - 1):
        values = tried(policy, {}).assumed | {
            field: number for field in NAMES if TYPES[field] == "int"
        }
        found = tried(policy, values)
        assert "error" not in {verdict for _, verdict in found.rows}


def test_options_are_those_that_a_row_says() -> None:
    row = policy_of("electronics").table.document.rows[0]
    assert options_of(row) == {"approver": "finance", "second_person": True}
    seen = Seen({}, Score(0, ""), "", False)
    verdict, ruled = judge(seen, built_in_true())
    assert (verdict.outcome, ruled is not None and options_of(ruled)) == ("approve", {})


def built_in_true() -> Policy:
    document = msgspec.json.decode(
        '{"name": "yes", "rows": [{"id": "yes", "when": "true", "outcome": "approve"}]}',
        type=Document,
    )
    return with_table(built_in(0), checked(document))
