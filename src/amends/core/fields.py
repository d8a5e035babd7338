"""What a policy may ask about: typed fields, in one fixed order, and their values for one request.

Amounts are functional minor units, whatever the order's currency; shares are 1/10,000; ages are
whole days. What is not known is -1 where it is a number and "" where it is a text. Fields marked
`guess` speak of the customer's history or of a score and not of this order: by them alone nobody is
declined, and no claim that the law grants (edge 26).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amends.core.conditions import Type


class Field(NamedTuple):
    """One field: its name with a dot, its type, what it says, and whether it is a guess."""

    name: str
    type: Type
    words: str
    guess: bool = False


FIELDS: tuple[Field, ...] = (
    Field("order.connection", "string", "the shop that reported the order"),
    Field("order.entity", "string", "the legal entity that sold"),
    Field("order.country", "string", "the customer's country, as the shop reports it"),
    Field("order.currency", "string", "the currency the customer paid in"),
    Field("order.age_days", "int", "days since the order was placed"),
    Field("order.total", "int", "what was paid or authorized"),
    Field("order.remaining", "int", "what is left to refund"),
    Field("order.refunds", "int", "refunds of the order before this one"),
    Field("order.refunded_bp", "int", "the share of what was captured that is gone"),
    Field("order.cancelled", "bool", "the shop cancelled it"),
    Field("order.delivered_days", "int", "days since it was delivered"),
    Field("order.tracking", "string", "none, in_transit, delivered, returned or lost"),
    Field("lines.units", "int", "units asked back"),
    Field("lines.skus", "strings", "articles asked back"),
    Field("lines.categories", "strings", "their categories"),
    Field("refund.amount", "int", "what is asked for, before what this policy keeps back"),
    Field("refund.reason", "string", "the reason given"),
    Field("refund.statutory", "bool", "a withdrawal that the law grants"),
    Field("refund.ad_hoc", "bool", "an amount without lines"),
    Field("refund.whole", "bool", "all that is left"),
    Field("refund.compensation", "bool", "goodwill that leaves the price as it is"),
    Field(
        "goods.state",
        "string",
        "received, part, awaited, not_said: which are to come back; or not_needed: none is",
    ),
    Field("goods.shipped", "bool", "some of what is asked back was shipped"),
    Field("payment.kind", "string", "payment, gift_card, store_credit, or several"),
    Field("payment.method", "string", "the first payment's method, as its provider names it"),
    Field("payment.connection", "string", "the first payment's connection"),
    Field("payment.captured", "bool", "something was captured"),
    Field("payment.age_days", "int", "days since the first capture was known"),
    Field("payment.fraud_warning", "bool", "an early fraud warning came"),
    Field("dispute.open", "bool", "a dispute may still take money"),
    Field("dispute.count", "int", "disputes of the order so far"),
    Field("customer.id", "string", "the shop's id of the customer"),
    Field("customer.known_days", "int", "days since the customer was first seen", True),
    Field("customer.orders_365d", "int", "orders in 365 days", True),
    Field("customer.order_value_365d", "int", "what they came to", True),
    Field("customer.refunds_30d", "int", "refunds asked for in 30 days", True),
    Field("customer.refunds_90d", "int", "in 90 days", True),
    Field("customer.refunds_365d", "int", "in 365 days", True),
    Field("customer.refund_value_30d", "int", "what they came to in 30 days", True),
    Field("customer.refund_value_90d", "int", "in 90 days", True),
    Field("customer.refund_value_365d", "int", "in 365 days", True),
    Field("customer.refunded_bp_365d", "int", "the share of 365 days' orders asked back", True),
    Field("customer.not_received_365d", "int", "claims that nothing arrived", True),
    Field("customer.disputes_365d", "int", "disputes", True),
    Field("customer.not_returned_365d", "int", "refunds whose goods never came back", True),
    Field("customer.findings_365d", "int", "parcels that held something else, or nothing", True),
    Field("customer.card_others", "int", "other customers with the same card", True),
    Field("customer.address_others", "int", "other customers at the same address", True),
    Field("customer.device_others", "int", "other customers on the same device", True),
    Field("risk.score_bp", "int", "the score, 0 to 10,000", True),
    Field("risk.model", "string", "what scored", True),
    Field("requester.kind", "string", "who asks: key, connection, person, agent or system"),
    Field("requester.id", "string", "its name or id"),
)

NAMES = tuple(field.name for field in FIELDS)
TYPES: Mapping[str, Type] = {field.name: field.type for field in FIELDS}
GUESSES = frozenset(field.name for field in FIELDS if field.guess)

Value = int | str | bool | tuple[str, ...]
