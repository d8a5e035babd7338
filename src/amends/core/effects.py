"""Effects: what is to be done outside, as data. An intent is everything a gateway needs to write
the request; the same intent always gives the same bytes under the same key (invariant I3)."""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.kernel.ids import tail
from amends.kernel.time import Instant


def deadline_id(refund_id: str) -> str:
    """The effect that says when a review is overdue."""
    return f"fx_{tail(refund_id)}_by"


def checkout_id(order_id: str) -> str:
    """The effect that says when a checkout has expired."""
    return f"fx_{tail(order_id)}_co"


class _Intent(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="intent"):
    """What every intent knows. `connection` is ours; psp ids are the provider's."""

    connection: str
    psp_payment_id: str
    currency: str


class RefundLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of the order a refund is for, where its provider must be told: `amount` is gross, of all
    units together; `quantity` 0: an amount, no units."""

    id: str
    quantity: int
    amount: int
    tax: int = 0


class SellerShare(msgspec.Struct, frozen=True, omit_defaults=True):
    """What its provider takes back of one seller with a refund: `taken`, of `amount` that he bears.
    The references are those of the payment's own bookings. `fee_too`: the provider gives its fee
    back besides."""

    account: str
    amount: int
    taken: int = 0
    reference: str = ""
    fee_reference: str = ""
    fee_too: bool = False


class RefundIntent(_Intent, frozen=True, tag="refund", kw_only=True):
    """Give `amount` back on a captured payment. `leg` and `epoch` go along as our own mark.
    `sellers`: those that the provider paid with the payment, and what it takes back of each.
    `figures`: what it takes off our balance there is asked for with it."""

    key: str
    amount: int
    order: str
    refund: str
    leg: str
    epoch: int
    reason: str
    full: bool = False
    charge: str = ""
    capture: str = ""
    method: str = ""
    lines: tuple[RefundLine, ...] = ()
    sellers: tuple[SellerShare, ...] = ()
    figures: bool = False


class CancelIntent(_Intent, frozen=True, tag="cancel", kw_only=True):
    """Release a whole authorization of which nothing was captured."""

    key: str
    order: str
    refund: str
    leg: str
    epoch: int
    reason: str


class ReverseIntent(_Intent, frozen=True, tag="reverse", kw_only=True):
    """Give all of a payment back: its provider refunds what was captured, or releases it."""

    key: str
    order: str
    refund: str
    leg: str
    epoch: int


class CaptureRestIntent(_Intent, frozen=True, tag="capture_rest", kw_only=True):
    """Release part of an authorization by capturing the rest, `amount`, for good."""

    key: str
    amount: int
    order: str
    refund: str
    leg: str
    epoch: int


class LookupRefundsIntent(_Intent, frozen=True, tag="lookup_refunds", kw_only=True):
    """List the refunds of a payment; `cursor` is the next page, `capture` one of its captures."""

    cursor: str = ""
    charge: str = ""
    capture: str = ""
    figures: bool = False  # as above


class LookupPaymentIntent(_Intent, frozen=True, tag="lookup_payment", kw_only=True):
    """Read the payment itself; `cursor` is where the rest of it is told, `psp_order` the order it
    hangs in there, if that is known."""

    cursor: str = ""
    psp_order: str = ""


Intent = (
    RefundIntent
    | CancelIntent
    | ReverseIntent
    | CaptureRestIntent
    | LookupRefundsIntent
    | LookupPaymentIntent
)
EffectKind = Literal["send", "lookup", "deadline"]


class Effect(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something due. `start`: decided to leave now, under a lease that was just taken.

    `leg` is empty for a look-up of a whole payment. `attempt` counts sends of this epoch.
    """

    id: str
    order: str
    kind: EffectKind
    connection: str
    payment: str
    due: Instant
    leg: str = ""
    epoch: int = 0
    attempt: int = 0
    start: bool = False
    intent: Intent | None = None
    asked: int = 0  # the order's last event when this left: what its answer can know of
