"""What a refund is for, line by line, as the methods want it that pay by invoice or instalments.

Source: Adyen's OpenAPI files (Checkout v71 and v72, `lineItems` of a refund) for the methods and
fields; that `amountIncludingTax` is of one unit is docs.adyen.com's, not the schema's.
"""

from __future__ import annotations

from amends.core.effects import RefundIntent, RefundLine
from amends.gateways.adyen_objects import MULTIPLE_OF, to_wire
from amends.gateways.codecs import Json

# As Adyen's payment methods begin; Oney's are called facilypay in older accounts.
NEED_LINES = (
    "affirm",
    "afterpay",
    "atome",
    "clearpay",
    "facilypay",
    "klarna",
    "oney",
    "ratepay",
    "walley",
    "zip",
)


def line_items(intent: RefundIntent) -> list[Json]:
    """The lines, in Adyen's units; they come to the amount of the refund exactly. Raises
    Unwritable."""
    step = MULTIPLE_OF.get(intent.currency, 1)
    if any(line.amount % step or line.tax % step for line in intent.lines):
        return [_item(RefundLine("refund", 0, intent.amount), intent.currency)]
    return [_item(line, intent.currency) for line in intent.lines]


def _item(line: RefundLine, currency: str) -> Json:
    """So many units at the price of one, or, where that does not come out even, the line as one."""
    units = max(1, line.quantity)
    gross, tax = _wire(line.amount, currency), _wire(line.tax, currency)
    if gross % units or tax % units:
        units = 1
    return {
        "id": line.id,
        "description": line.id,
        "quantity": units,
        "amountIncludingTax": gross // units,
        "amountExcludingTax": (gross - tax) // units,
        "taxAmount": tax // units,
    }


def _wire(minor: int, currency: str) -> int:
    return to_wire(minor, currency) if minor else 0
