"""What kinds of shoppers there are, and what each does, as data.

The rates are assumptions, set so that the kinds overlap: honest people have bad luck, share their
address with a flat, return much because shoes do not fit; abusers buy honestly too, and some have
old accounts. One figure is taken from outside: 13.7 % of the value that is returned is abusive
(National Retail Federation and Appriss Retail, 2023 survey in the US). `docs/risk.md` has them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ABUSIVE_VALUE = 0.137  # of the value asked back; the shares below are set to come near it


@dataclass(frozen=True)
class Goods:
    """A category: cents of a usual unit, and how often an order of it is honestly sent back."""

    price: int
    sent_back: float


GOODS = {
    "apparel": Goods(4500, 0.24),
    "shoes": Goods(8000, 0.27),
    "electronics": Goods(22_000, 0.08),
    "home": Goods(6000, 0.09),
    "beauty": Goods(2800, 0.04),
}
EVERYTHING = {"apparel": 4.0, "shoes": 2.0, "electronics": 1.5, "home": 2.0, "beauty": 1.5}
DEAR = {"electronics": 5.0, "shoes": 2.0, "apparel": 1.0}

HONEST_REASONS = {
    "return": 0.74,
    "damaged": 0.09,
    "wrong_item": 0.06,
    "not_received": 0.06,
    "goodwill": 0.05,
}


@dataclass(frozen=True)
class Kind:
    """One kind of shopper. Probabilities are of one order unless said otherwise.

    `share` of all customers are it; `sends_back` multiplies the honest rate of the goods, `unlucky`
    the chance that a parcel is lost. `abuses`: the order is abused, for one of `reasons`, `waits`
    days after it was delivered; `part` of its value is asked for as an amount, if not 0, and then
    `again` some of the rest. Of an abused one `empty` is found empty or swapped, `kept` never comes
    back, `disputed` is charged back besides. `agent`: a program asks. `fresh`: the account is new.
    `ring`: so many share what they are known by.
    """

    name: str
    share: float
    orders_a_year: float = 6.0
    categories: dict[str, float] = field(default_factory=lambda: EVERYTHING)
    sends_back: float = 1.0
    unlucky: float = 1.0
    abuses: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)
    waits: tuple[int, int] = (2, 20)
    part: float = 0.0
    again: float = 0.0
    empty: float = 0.0
    kept: float = 0.0
    disputed: float = 0.0
    agent: float = 0.04
    fresh: float = 0.15
    ring: int = 0

    @property
    def honest(self) -> bool:
        return not self.abuses


KINDS: tuple[Kind, ...] = (
    Kind("plain", 0.80),
    Kind("tries on", 0.10, 12.0, {"apparel": 5.0, "shoes": 4.0, "beauty": 1.0}, sends_back=2.4),
    Kind("bad luck", 0.04, unlucky=9.0),
    Kind("regular", 0.0322, 26.0, sends_back=0.7, fresh=0.02),
    Kind(
        "wardrobing",
        0.0095,
        11.0,
        {"apparel": 5.0, "shoes": 3.0, "electronics": 1.0},
        abuses=0.45,
        reasons={"return": 0.85, "damaged": 0.15},
        waits=(12, 29),
        empty=0.08,
        kept=0.05,
    ),
    Kind(
        "never received",
        0.0055,
        9.0,
        abuses=0.4,
        reasons={"not_received": 1.0},
        waits=(1, 9),
        disputed=0.06,
    ),
    Kind(
        "empty box",
        0.004,
        8.0,
        DEAR,
        abuses=0.4,
        reasons={"return": 0.7, "wrong_item": 0.3},
        waits=(3, 25),
        empty=0.55,
        kept=0.25,
        fresh=0.35,
    ),
    Kind(
        "serial small",
        0.005,
        20.0,
        abuses=0.5,
        reasons={"goodwill": 0.4, "damaged": 0.6},
        waits=(1, 12),
        part=0.3,
        again=0.35,
        agent=0.1,
    ),
    Kind(
        "ring",
        0.005,
        10.0,
        DEAR,
        abuses=0.5,
        reasons={"not_received": 0.6, "return": 0.4},
        waits=(1, 8),
        empty=0.35,
        kept=0.3,
        fresh=0.8,
        ring=6,
    ),
    Kind(
        "charges back",
        0.0035,
        8.0,
        abuses=0.35,
        reasons={"not_received": 0.5, "damaged": 0.3, "return": 0.2},
        waits=(2, 40),
        kept=0.4,
        disputed=0.5,
    ),
    Kind(
        "by agent",
        0.0018,
        16.0,
        abuses=0.5,
        reasons={"not_received": 0.4, "damaged": 0.4, "goodwill": 0.2},
        waits=(0, 5),
        part=0.5,
        agent=0.85,
        fresh=0.5,
    ),
)
