"""Whether a refund leaves by itself: approve, review or decline, with the rule that said so.

The built-in policy has one parameter. `judge` is the seam: it sees a `Question` of plain values and
a `Policy`, and gives a `Verdict`; nothing else in the house knows what a policy looks like inside.
"""

from __future__ import annotations

import msgspec

from amends.core.order import Verdict
from amends.core.risk import MODEL, Features, score
from amends.kernel.canon import digest


class Policy(msgspec.Struct, frozen=True):
    """Parameters of the built-in policy; amounts in minor units of the functional currency."""

    auto_approve_up_to: int
    second_person: bool  # whoever asked may not approve (I11)
    version: str


class Question(msgspec.Struct, frozen=True):
    """What the policy is asked about. `functional_amount` is in the functional currency."""

    functional_amount: int
    reason: str
    disputed: bool
    features: Features
    past_limit: bool = False  # the provider may refuse: its method is refunded only for a while
    outside: str = ""  # why a part of it cannot be paid by its provider


def built_in(auto_approve_up_to: int, second_person: bool = False) -> Policy:
    """The policy in force until another is published; its version is the hash of its content."""
    content = {
        "policy": "built-in-1",
        "auto_approve_up_to": auto_approve_up_to,
        "second_person": second_person,
    }
    return Policy(auto_approve_up_to, second_person, f"sha256:{digest(content)}")


def judge(question: Question, policy: Policy) -> Verdict:
    """The first rule that applies decides. A score alone never declines anybody."""
    risk, reasons = score(question.features)
    if question.disputed:
        outcome, rule = "review", "payment-disputed"
    elif question.outside:
        outcome, rule = "review", question.outside.replace("_", "-")
    elif question.past_limit:
        outcome, rule = "review", "past-refund-window"
    elif question.functional_amount > policy.auto_approve_up_to:
        outcome, rule = "review", "above-auto-approve"
    elif risk >= 5000:
        outcome, rule = "review", "risk-high"
    else:
        outcome, rule = "approve", "small-and-trusted"
    return Verdict(outcome, policy.version, rule, risk, MODEL, reasons)  # type: ignore[arg-type]
