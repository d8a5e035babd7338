"""Why a refund was decided so: one sentence, the same with and without its policy at hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from amends.core.explain import HOUSE, OWN, explained, options_of, sentence
from amends.core.facts import Approved, CaseMove, CaseMoved
from amends.core.history import Stop
from amends.core.outside import WHY
from amends.core.policy import Cap, Row
from amends.core.requests import ApproveReason, CustomerIn, DeclineReason
from amends.core.shopnews import BY_SHOP, EXCHANGED
from tests.core import policy_doc
from tests.core.desk import Desk, contract_order
from tests.core.test_policy import asked, policy

DOCS = Path(__file__).resolve().parents[2] / "docs"
NONE = Row("none", "false", "decline", reason="never")


def desk_of(*rows: Row, **more: Any) -> Desk:
    desk = Desk(contract_order(customer=CustomerIn("c-1")), policy=policy(*rows, **more))
    asked(desk)
    return desk


def why(desk: Desk) -> str:
    return sentence(desk.refund(), "EUR")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            Row("all", "true", "approve", reason="fine"),
            "Approved: fine (row all). 32.00 EUR, risk",
        ),
        (Row("all", "true", "approve"), "Approved: row all applies. 32.00 EUR, risk"),
        (
            Row("all", "true", "review", reason="high_value", approver="finance"),
            "Sent to a person: high value (row all).",
        ),
        (
            Row("all", "true", "review", approver="finance", second_person=True),
            "Whoever approves is at least finance, who is not whoever asked.",
        ),
        (
            Row("all", "true", "review", second_person=True),
            "Whoever asked may not approve it.",
        ),
        (Row("all", "true", "approve", returnless=True), "The goods stay with the customer."),
        (
            Row("all", "true", "approve", wait_for_receipt=True),
            "It leaves once the goods are back.",
        ),
        (
            Row("all", "true", "approve", store_credit_first=True),
            "store credit needs the customer's consent, and none is recorded (row all).",
        ),
    ],
    ids=lambda value: value.id if isinstance(value, Row) else "",
)
def test_a_row_speaks(row: Row, said: str) -> None:
    desk = desk_of(NONE, row)
    assert said in why(desk)
    found = explained(desk.refund(), "EUR", desk.policy.table)
    assert found is not None
    assert found.sentence == why(desk)
    assert (found.kind, found.rule, found.condition) == ("row", "all", "true")
    assert found.options == options_of(row)
    assert found.rows[:2] == (("none", "no"), ("all", "applies"))
    bare = explained(desk.refund(), "EUR", None)
    assert bare is not None
    assert (bare.sentence, bare.kind) == (found.sentence, found.kind)
    assert (bare.condition, bare.options, bare.rows) == ("", {}, ())


def test_a_row_that_fails_is_said() -> None:
    desk = desk_of(
        Row("odd", "1 / (refund.amount - refund.amount) > 0", "approve"),
        Row("all", "true", "approve"),
    )
    assert "the row could not be evaluated" in why(desk)
    found = explained(desk.refund(), "EUR", desk.policy.table)
    assert found is not None
    assert found.rows[0] == ("odd", "error")


def test_a_cap_is_named() -> None:
    row = Row("all", "true", "approve", caps=("day",))
    caps = {"day": Cap("card", "day", count=1)}  # of no card that is known: a person looks
    desk = Desk(contract_order(), policy=policy(row, caps=caps))
    asked(desk)
    found = explained(desk.refund(), "EUR", desk.policy.table)
    assert found is not None
    assert (found.kind, found.rule) == ("cap", "day")
    assert "(cap day)" in found.sentence


def test_a_rule_of_the_house_and_what_people_did_are_said() -> None:
    desk = Desk(contract_order(), policy=policy(Row("all", "true", "approve")))
    desk.stops = (Stop("stop_1", "all", "", "hash", "person:lead", desk.now),)
    asked(desk)
    assert why(desk).startswith(f"Sent to a person: {HOUSE['refund-stop']} (rule refund-stop")
    found = explained(desk.refund(), "EUR", desk.policy.table)
    assert found is not None
    assert found.kind == "house"
    desk.tell(CaseMoved(desk.refund().id, "escalate", role="admin"), "person:ada")
    assert "It was handed up to admin." in why(desk)
    desk.stops = ()
    desk.tell(Approved(desk.refund().id, role="admin"), "person:lead")
    assert "person:lead decided: " in why(desk)


def test_every_rule_of_the_house_has_a_sentence() -> None:
    """Those that `seen` and promotions can say, found in their own words."""
    core = DOCS.parent / "src" / "amends" / "core"
    text = (core / "seen.py").read_text() + (core / "promotions.py").read_text()
    said = set(re.findall(r'return "([a-z]+(?:-[a-z]+)+)"', text))
    said |= {question.replace("_", "-") for question in (BY_SHOP, EXCHANGED)}
    assert said | {name.replace("_", "-") for name in WHY} == set(HOUSE)
    text = (core / "fallback.py").read_text() + (core / "less.py").read_text()
    assert all(f'"{rule}"' in text for rule in OWN)


def test_the_pages_say_what_there_is() -> None:
    text = policy_doc.PAGE.read_text(encoding="utf-8")
    assert policy_doc.page(text) == text, "run python -m tests.core.policy_doc"
    options = set(Row.__struct_fields__) - {"id", "when", "outcome"}
    assert [name for name in sorted(options) if f"| `{name}` |" not in text] == []
    assert [rule for rule in HOUSE if f"`{rule}`" not in text] == []
    reviews = (DOCS / "reviews.md").read_text(encoding="utf-8")
    words = (*get_args(ApproveReason), *get_args(DeclineReason), *get_args(CaseMove))
    assert [word for word in words if f"`{word}`" not in reviews] == []
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example
    policy_doc_rows = msgspec.toml.decode(example[1])["rows"]
    assert [row["id"] for row in policy_doc_rows] == ["high-value", "return", "everything-else"]
