"""How a refund on a marketplace is split: what each seller's balance account bears, and what we do.

Source: Adyen's OpenAPI files (Checkout v71 and v72, `splits` of a refund) and docs.adyen.com on
split refunds: said in full, so that nothing is taken by the ratio of the payment; the same
references as the payment's; the amounts come to that of the refund.
"""

from __future__ import annotations

from amends.core.effects import RefundIntent
from amends.gateways.adyen_objects import MULTIPLE_OF, to_wire
from amends.gateways.codecs import Json


def splits(intent: RefundIntent) -> list[Json]:
    """In Adyen's units; they come to the amount of the refund exactly. What is not taken from a
    seller is commission: ours to bear. Raises Unwritable."""
    found = [
        _split("BalanceAccount", seller.taken, intent, seller.reference, seller.account)
        for seller in intent.sellers
        if seller.taken
    ]
    ours = [(seller.amount - seller.taken, seller.fee_reference) for seller in intent.sellers]
    ours.append((intent.amount - sum(seller.amount for seller in intent.sellers), ""))
    if MULTIPLE_OF.get(intent.currency, 1) > 1:  # each by itself might not be one
        ours = [(sum(amount for amount, _ in ours), "")]
    found += [_split("Commission", amount, intent, name) for amount, name in ours if amount]
    return found


def _split(kind: str, amount: int, intent: RefundIntent, reference: str, account: str = "") -> Json:
    value = {"currency": intent.currency, "value": to_wire(amount, intent.currency)}
    said = {"account": account, "reference": reference}
    return {"type": kind, "amount": value} | {name: text for name, text in said.items() if text}
