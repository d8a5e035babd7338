"""Requests made up at random, with a risk that hangs on a few of their features: quick to make, and
what a model must find in them is known."""

from __future__ import annotations

import math
from random import Random

from amends.core.traits import NAMES, UNKNOWN
from amends.engine.risk_rows import Example
from amends.kernel.time import DAY, Instant

START: Instant = 1_780_000_000_000_000


def made_up(
    count: int = 4000, seed: int = 1, days: int = 300, truth: bool = False
) -> list[Example]:
    """So many requests over so many days, in their order; a tenth or so is abusive. All of them are
    labelled within a day."""
    random = Random(seed)
    found = []
    for n in range(count):
        at = START + days * DAY * n // count
        values = dict.fromkeys(NAMES, UNKNOWN)
        asked, others = random.choice((0, 0, 0, 1, 2, 4, 9)), random.choice((0, 0, 0, 0, 1, 5))
        values |= {"refunds_90": asked, "card_others": others}
        values |= {"amount": random.randrange(500, 30_000), "account_age": random.randrange(900)}
        values |= {"tracking": random.choice((UNKNOWN, 0, 1, 2)), "units": random.randrange(4)}
        odds = -4 + 0.35 * asked + 0.5 * others - 0.001 * values["account_age"]
        abuse = random.random() < 1 / (1 + math.exp(-odds))
        customer = f"c-{random.randrange(count // 2 + 1)}"
        example = Example(at, customer, tuple(values.values()), values["amount"], abuse, at + DAY)
        found.append(example if not truth else Example(*_with_truth(example), truth=abuse))
    return found


def _with_truth(one: Example) -> tuple[Instant, str, tuple[int, ...], int, bool | None, Instant]:
    return one.at, one.customer, one.features, one.amount, one.abuse, one.known_at
