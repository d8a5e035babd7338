"""Whether a refund leaves by itself: approve, review or decline, with the rule that said so.

The built-in policy has one parameter. `judge` is the seam: it sees a `Question` of plain values and
a `Policy`, and gives a `Verdict`; nothing else in the house knows what a policy looks like inside.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.core.order import Verdict
from amends.core.requests import Allocation, BelowMinimum, IfLost, PlatformFee
from amends.core.risk import MODEL, Features, score
from amends.kernel.canon import digest


class Amounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the policy says of how much. `restocking_bp` is 1/10,000 of the goods; the others are
    (currency, minor units) pairs. `promotion_lost` counts for promotions that do not say, and
    `allocation` for requests that do not say which tender gives how much."""

    promotion_lost: IfLost = "review"
    restocking_bp: int = 0
    return_label: tuple[tuple[str, int], ...] = ()
    handling: tuple[tuple[str, int], ...] = ()
    minimum: tuple[tuple[str, int], ...] = ()
    platform_fee: PlatformFee = "proportional"
    below_minimum: BelowMinimum = "refuse"
    allocation: Allocation = "card_first"


PLAIN = Amounts()

Fallback = Literal["none", "manual", "store_credit"]


class Policy(msgspec.Struct, frozen=True):
    """Parameters of the built-in policy; amounts in minor units of the functional currency."""

    auto_approve_up_to: int
    second_person: bool  # whoever asked may not approve (I11)
    version: str
    amounts: Amounts = PLAIN
    fallback: Fallback = "none"  # what pays where money cannot go back the way it came


class Question(msgspec.Struct, frozen=True):
    """What the policy is asked about. `functional_amount` is in the functional currency."""

    functional_amount: int
    reason: str
    disputed: bool
    features: Features
    past_limit: bool = False  # the provider may refuse: its method is refunded only for a while
    outside: str = ""  # why a part of it cannot be paid by its provider
    promotion: str = ""  # the rule by which a person looks at what of a promotion is lost or waived


def built_in(
    auto_approve_up_to: int,
    second_person: bool = False,
    amounts: Amounts = PLAIN,
    fallback: Fallback = "none",
) -> Policy:
    """The policy in force until another is published; its version is the hash of its content."""
    content: dict[str, object] = {
        "policy": "built-in-1",
        "auto_approve_up_to": auto_approve_up_to,
        "second_person": second_person,
    }
    if amounts != PLAIN:
        content["amounts"] = amounts
    if fallback != "none":
        content["fallback"] = fallback
    version = f"sha256:{digest(content)}"
    return Policy(auto_approve_up_to, second_person, version, amounts, fallback)


def judge(question: Question, policy: Policy) -> Verdict:
    """The first rule that applies decides. A score alone never declines anybody."""
    risk, reasons = score(question.features)
    if question.disputed:
        outcome, rule = "review", "payment-disputed"
    elif question.outside:
        outcome, rule = "review", question.outside.replace("_", "-")
    elif question.past_limit:
        outcome, rule = "review", "past-refund-window"
    elif question.promotion:
        outcome, rule = "review", question.promotion
    elif question.functional_amount > policy.auto_approve_up_to:
        outcome, rule = "review", "above-auto-approve"
    elif risk >= 5000:
        outcome, rule = "review", "risk-high"
    else:
        outcome, rule = "approve", "small-and-trusted"
    return Verdict(outcome, policy.version, rule, risk, MODEL, reasons)  # type: ignore[arg-type]
