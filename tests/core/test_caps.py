"""Caps (row 76 of the field, edge 25): so much for one customer, and never more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.amounts import Amounts, Fallback
from amends.core.facts import (
    Canceled,
    Retried,
)
from amends.core.order import shown_state
from amends.core.policy import Cap, Row, with_table
from amends.core.reasons import Reason
from amends.core.requests import (
    RefundIn,
)
from amends.kernel.outcome import Declined
from amends.kernel.time import DAY
from tests.core.desk import Desk, contract_order
from tests.core.test_policy import TEA, asked, policy
from tests.core.test_policy_options import TWO, bought, refusal, yes

DAY_CAP = {"a-day": Cap("customer", amount=5000, count=3)}


def capped(**more: Any) -> Desk:
    caps = {"a-day": replace(DAY_CAP["a-day"], **more)}
    return Desk(bought(), policy=policy(yes(caps=("a-day",)), caps=caps))


def ask(desk: Desk, amount: int, actor: str = "key:support") -> str:
    refund = asked(desk, RefundIn(amount=amount, reason="goodwill"), actor)
    assert refund.verdict
    return f"{shown_state(refund)} {refund.verdict.rule}"


def used(desk: Desk) -> tuple[int, int]:
    return next(iter(desk.caps.values()), (0, 0))


def test_edge_25_many_small_ones_add_up_against_the_cap() -> None:
    desk = capped()
    assert [ask(desk, 2000) for _ in range(4)] == [
        "sending yes",
        "sending yes",
        "review a-day",
        "review a-day",
    ]
    assert used(desk) == (4000, 2)
    assert ask(desk, 1000) == "sending yes", "what is left of it can still be drawn"
    assert ask(desk, 1) == "review a-day", "and no more often than it says"


def test_a_cap_may_decline_but_not_what_the_law_grants() -> None:
    desk = capped(over="decline", amount=100)
    assert ask(desk, 101) == "declined a-day"
    refund = asked(desk, replace(TEA, statutory=True))
    assert shown_state(refund) == "review"


def test_it_is_given_back_by_who_takes_it_back_or_fails_and_drawn_again_by_a_retry() -> None:
    desk = capped()
    ask(desk, 2000)
    desk.tell(Canceled(desk.refund().id))
    assert used(desk) == (0, 0)
    ask(desk, 2000)
    desk.due()
    desk.answer(Declined("charge_disputed", "no"))
    assert shown_state(desk.refund()) == "failed" and used(desk) == (0, 0)
    assert refusal(desk, Retried(desk.refund().id)) is None
    assert used(desk) == (2000, 1)


def test_edge_25_an_agent_goes_over_no_cap_by_trying_again() -> None:
    desk = capped()
    ask(desk, 2000, "agent:a")
    desk.due()
    desk.answer(Declined("charge_disputed", "no"))
    failed = desk.refund().id
    assert [ask(desk, 2000, "agent:a") for _ in range(2)] == ["sending yes"] * 2
    assert refusal(desk, Retried(failed), "agent:a") is Reason.ROLE_TOO_LOW
    assert used(desk) == (4000, 2)
    assert refusal(desk, Retried(failed)) is None, "a person may"
    assert used(desk) == (6000, 3)


def test_an_agent_tries_again_what_the_cap_still_has() -> None:
    desk = capped(amount=4000, count=2)
    ask(desk, 2000, "agent:a")
    desk.due()
    desk.answer(Declined("charge_disputed", "no"))
    failed = desk.refund().id
    assert ask(desk, 2000, "agent:a") == "sending yes"
    assert refusal(desk, Retried(failed), "agent:a") is None
    assert used(desk) == (4000, 2)


def test_small_amounts_that_are_paid_together_are_drawn_once() -> None:
    made = policy(yes(caps=("a-day",)), caps={"a-day": Cap("everybody", count=9)})
    amounts = Amounts(minimum=(("EUR", 500),), below_minimum="hold")
    desk = Desk(policy=with_table(replace(made, amounts=amounts), made.table))
    for _ in range(2):
        asked(desk, RefundIn(amount=300, reason="goodwill"))
    assert [shown_state(r) for r in desk.order.refunds] == ["combined", "combined", "sending"]
    assert used(desk) == (600, 2)
    desk.due()
    desk.answer(Declined("charge_disputed", "no"))
    assert used(desk) == (0, 0)
    assert refusal(desk, Retried(desk.refund().id)) is None
    assert used(desk) == (600, 2)


@pytest.mark.parametrize("fallback", ["none", "manual"])
def test_of_what_failed_in_part_that_part_is_given_back(fallback: Fallback) -> None:
    made = policy(yes(caps=("a-day",)), caps={"a-day": Cap("everybody", amount=99_999)})
    made = with_table(replace(made, fallback=fallback), made.table)
    desk = Desk(contract_order(**TWO), policy=made)
    refund = asked(desk, RefundIn())
    first, second = refund.legs
    desk.due(first)
    desk.answer(Declined("expired", "no", kind="final"), desk.order.refunds[0].legs[0])
    desk.due(second)
    desk.accept(leg=desk.order.refunds[0].legs[1])
    again = {"none": (5200, 1), "manual": (10_200, 2)}  # a fallback is a refund of its own
    assert used(desk) == again[fallback]
    if fallback == "none":
        assert refusal(desk, Canceled(refund.id)) is None
        assert used(desk) == (5200, 1), "the rest was paid"


def test_only_what_a_rule_that_applies_names_is_locked() -> None:
    caps = {"a-day": Cap("customer", count=9), "card": Cap("card", count=9)}
    small = Row("small", "refund.amount < 500", "approve")
    large = Row("large", "true", "approve", caps=("a-day",))
    desk = Desk(bought(), policy=policy(small, large, caps=caps))
    ask(desk, 400)
    assert desk.locked == []
    ask(desk, 500)
    assert [len(buckets) for buckets in desk.locked] == [1]
    assert next(iter(desk.locked[0])).startswith("a-day|customer|main/c-1|20")


def test_nobody_known_to_count_for_is_a_persons() -> None:
    desk = Desk(policy=policy(yes(caps=("a-day",)), caps=DAY_CAP))
    assert ask(desk, 1) == "review a-day"


def test_a_day_is_a_day_and_a_month_a_month() -> None:
    for per, states in (("day", ["sending", "sending"]), ("month", ["sending", "review"])):
        desk = capped(per=per, count=1)
        found = [ask(desk, 10).split()[0]]
        desk.now += DAY
        found.append(ask(desk, 10).split()[0])
        assert found == states


def test_edge_25_each_requester_has_its_own() -> None:
    desk = capped(of="requester", count=1)
    states = [ask(desk, 10, f"agent:{name}").split()[0] for name in "aab"]
    assert states == ["sending", "review", "sending"]
