"""What rows know of a customer at one instant, and what a decision adds to them.

A decision sees sums over whole UTC days, read in its own turn: what other processes have not
committed by then is not in them. Values are what was asked for, whatever became of it, so that
history does not depend on the policy. All amounts are functional minor units; customers and
fingerprints are ids and hashes (invariant I15).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.kernel.time import Instant

OTHERS_MAX = 20  # customers beyond so many that share a fingerprint are not counted


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sums over so many days, today included. `not_received` are refunds for that reason,
    `not_returned` refunds whose goods never came, `findings` parcels that held something else."""

    orders: int = 0
    order_value: int = 0
    refunds: int = 0
    refund_value: int = 0
    not_received: int = 0
    disputes: int = 0
    not_returned: int = 0
    findings: int = 0


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One customer before one request. `first_day` counts days since 1970-01-01, 0: nothing known.

    The `…_others` are other customers seen with the same card, address or device, at most
    OTHERS_MAX; `order_max` is the largest order of the last 365 days.
    """

    first_day: int = 0
    d30: Window = Window()
    d90: Window = Window()
    d365: Window = Window()
    order_max: int = 0
    card_others: int = 0
    address_others: int = 0
    device_others: int = 0


UNKNOWN = History()


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a decision adds to one customer's day; `order_max` is a maximum, the rest are sums."""

    entity: str
    customer: str
    day: int
    orders: int = 0
    order_value: int = 0
    order_max: int = 0
    refunds: int = 0
    refund_value: int = 0
    not_received: int = 0
    disputes: int = 0
    not_returned: int = 0
    findings: int = 0


SightKind = Literal["card", "address", "device"]


class Sight(msgspec.Struct, frozen=True):
    """A fingerprint seen with a customer; `value` is a SHA-256 in hex."""

    kind: SightKind
    value: str
    entity: str
    customer: str


class Judged(msgspec.Struct, frozen=True):
    """One judgement, as it was made: for replay, shadow policies and training.

    `fields` and `features` are JSON arrays of values in the order of `fields.NAMES` and
    `risk.NAMES`; `shadows` a JSON array of [policy, rule, outcome], one for each draft that ran
    beside, and ["model", name, score] of a challenger. `rows` has one character for each row of the
    policy: "." it does not apply, "+" it does, "!" it could not be evaluated.
    """

    order: str
    refund: str
    at: Instant
    policy: str
    rule: str
    outcome: str
    score_bp: int
    model: str
    amount: int
    fields: str
    features: str
    shadows: str
    rows: str
    statutory: bool


LabelSource = Literal["review", "dispute", "return", "person"]


class Label(msgspec.Struct, frozen=True):
    """What a refund turned out to be, as far as one source knows."""

    order: str
    refund: str
    at: Instant
    source: LabelSource
    abuse: bool


class Draw(msgspec.Struct, frozen=True):
    """What is taken of a cap's bucket with the reservation of the money; negative: given back."""

    bucket: str
    amount: int
    count: int


StopScope = Literal["all", "order", "customer", "connection"]


class Stop(msgspec.Struct, frozen=True):
    """A person stopped refunds: all of them, or those of one order, customer or connection.
    `why` is what was said; on the trail stands its hash."""

    id: str
    scope: StopScope
    key: str
    why: str
    actor: str
    at: Instant
