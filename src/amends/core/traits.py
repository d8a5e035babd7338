"""The features a risk is judged by: one fixed list, with what each says and which way it points.

All are integers as they were known when the refund was asked for: amounts in functional minor
units, ratios in 1/10,000, times in whole days, flags 0 or 1. What is not known is UNKNOWN, never 0.
The order of the list is the order of stored features; new ones go to the end.
"""

from __future__ import annotations

from typing import Literal

import msgspec

UNKNOWN = -1

# "none": no parcel is tracked. What is not known of it is UNKNOWN.
TRACKING = ("none", "in_transit", "delivered", "returned", "lost")


class Features(msgspec.Struct, frozen=True):
    """What is known about this order when the refund is asked for (no later facts)."""

    refunds_before: int = 0
    share_refunded_bp: int = 0  # of what was captured, before this refund
    fraud_warning: int = 0
    failed_before: int = 0
    ad_hoc_amount: int = 0
    amount: int = UNKNOWN
    amount_of_order_bp: int = UNKNOWN
    not_received: int = UNKNOWN
    damaged: int = UNKNOWN
    delivered_after_all: int = UNKNOWN
    agent_requested: int = UNKNOWN
    units: int = UNKNOWN
    unit_price: int = UNKNOWN
    category_refunded_bp: int = UNKNOWN
    days_since_order: int = UNKNOWN
    days_since_delivery: int = UNKNOWN
    tracking: int = UNKNOWN  # place in TRACKING
    address_mismatch: int = UNKNOWN
    disputes_here: int = UNKNOWN
    account_age: int = UNKNOWN
    known_for: int = UNKNOWN
    card_others: int = UNKNOWN
    address_others: int = UNKNOWN
    device_others: int = UNKNOWN
    orders_365: int = UNKNOWN
    refunds_30: int = UNKNOWN
    refunds_90: int = UNKNOWN
    refunds_365: int = UNKNOWN
    refund_value_30: int = UNKNOWN
    refund_value_90: int = UNKNOWN
    refund_value_365: int = UNKNOWN
    refund_share_30_bp: int = UNKNOWN
    refund_share_90_bp: int = UNKNOWN
    refund_share_365_bp: int = UNKNOWN
    not_received_90: int = UNKNOWN
    not_received_365: int = UNKNOWN
    not_received_share_bp: int = UNKNOWN
    disputes_365: int = UNKNOWN
    not_returned_365: int = UNKNOWN
    findings_365: int = UNKNOWN
    amount_of_largest_bp: int = UNKNOWN
    amount_of_usual_bp: int = UNKNOWN
    amount_rank_bp: int = UNKNOWN


NAMES: tuple[str, ...] = Features.__struct_fields__

Unit = Literal["count", "bp", "days", "money", "flag", "tracking"]


class Trait(msgspec.Struct, frozen=True):
    """One feature in words. `rises`: 1 if more of it can only mean more risk, -1 if only less, 0
    if it may be either; a trained model is held to it."""

    label: str
    unit: Unit
    rises: Literal[-1, 0, 1] = 0


TRAITS: dict[str, Trait] = {
    "refunds_before": Trait("refunds on this order before", "count", 1),
    "share_refunded_bp": Trait("share of the order already refunded", "bp", 1),
    "fraud_warning": Trait("early fraud warning on the payment", "flag", 1),
    "failed_before": Trait("failed refunds on this order", "count", 1),
    "ad_hoc_amount": Trait("an amount without lines", "flag"),
    "amount": Trait("amount asked for, in minor units of the books", "money", 1),
    "amount_of_order_bp": Trait("share of what the order cost that is asked for", "bp"),
    "not_received": Trait("said not to have been received", "flag"),
    "damaged": Trait("said to be damaged or the wrong item", "flag"),
    "delivered_after_all": Trait("not received, but delivered by the carrier's word", "flag", 1),
    "agent_requested": Trait("asked for by an agent", "flag"),
    "units": Trait("units asked for", "count"),
    "unit_price": Trait("dearest unit asked for, in minor units of the books", "money"),
    "category_refunded_bp": Trait("share of its category's sales that is refunded", "bp"),
    "days_since_order": Trait("days since the order was placed", "days"),
    "days_since_delivery": Trait("days since it was delivered", "days"),
    "tracking": Trait("what the carrier says of the parcel", "tracking"),
    "address_mismatch": Trait("addresses of bill and delivery that do not match", "flag", 1),
    "disputes_here": Trait("disputes on this order", "count", 1),
    "account_age": Trait("days since the customer's account was made", "days", -1),
    "known_for": Trait("days since the customer was first seen", "days", -1),
    "card_others": Trait("other customers with the same card", "count", 1),
    "address_others": Trait("other customers with the same address", "count", 1),
    "device_others": Trait("other customers with the same device", "count", 1),
    "orders_365": Trait("orders of the customer in 365 days", "count"),
    "refunds_30": Trait("refunds the customer asked for in 30 days", "count", 1),
    "refunds_90": Trait("refunds the customer asked for in 90 days", "count", 1),
    "refunds_365": Trait("refunds the customer asked for in 365 days", "count"),
    "refund_value_30": Trait(
        "value asked back in 30 days, in minor units of the books", "money", 1
    ),
    "refund_value_90": Trait(
        "value asked back in 90 days, in minor units of the books", "money", 1
    ),
    "refund_value_365": Trait("value asked back in 365 days, in minor units of the books", "money"),
    "refund_share_30_bp": Trait("share of 30 days' purchases asked back", "bp", 1),
    "refund_share_90_bp": Trait("share of 90 days' purchases asked back", "bp", 1),
    "refund_share_365_bp": Trait("share of 365 days' purchases asked back", "bp", 1),
    "not_received_90": Trait("not-received claims of the customer in 90 days", "count", 1),
    "not_received_365": Trait("not-received claims of the customer in 365 days", "count", 1),
    "not_received_share_bp": Trait("share of the customer's refunds for not received", "bp", 1),
    "disputes_365": Trait("disputes of the customer in 365 days", "count", 1),
    "not_returned_365": Trait("refunds in 365 days whose goods never came back", "count", 1),
    "findings_365": Trait("empty or swapped parcels in 365 days", "count", 1),
    "amount_of_largest_bp": Trait("amount against the customer's largest order", "bp"),
    "amount_of_usual_bp": Trait("amount against the customer's usual refund", "bp", 1),
    "amount_rank_bp": Trait("share of the shop's refunds that are smaller", "bp", 1),
}


def sentence(name: str, value: int) -> str:
    """A feature with its number: "refunds on this order before: 3"."""
    trait = TRAITS[name]
    if value == UNKNOWN:
        return f"{trait.label}: not known"
    if trait.unit == "flag":
        return trait.label if value else f"{trait.label}: no"
    if trait.unit == "bp":
        return f"{trait.label}: {value // 100} %"
    if trait.unit == "tracking":
        return f"{trait.label}: {TRACKING[value].replace('_', ' ')}"
    return f"{trait.label}: {value}"
