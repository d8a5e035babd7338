"""The chart of accounts, as data. An account that exists per connection is written `name:conn`."""

from __future__ import annotations

CHART: dict[str, str] = {
    "sales_returns": "Revenue given back: the net of refunded lines and goodwill.",
    "shipping_refunds": "Shipping revenue given back, net.",
    "charge_refunds": "Other charges given back, net: gift wrap, handling, duties, tips.",
    "fees_kept": "Revenue from fees kept back of refunds, net.",
    "goodwill": "Compensation paid to customers that leaves the price and its tax as they are.",
    "tax_payable": "Tax owed; a refund takes it back as it was charged.",
    "refunds_payable": "What customers are owed and have not been paid yet.",
    "clearing": "The balance at a provider, per connection.",
    "manual_payouts": "Paid to customers by hand, outside every provider; cleared by the bank.",
    "store_credit": "Store credit customers took instead of money, with their consent.",
    "memo_authorizations": "Off balance: money held for us at the customer's bank.",
    "memo_released": "Off balance: the counter side of authorizations released.",
}

OUTSIDE_ACCOUNT = {"manual": "manual_payouts", "credit": "store_credit"}  # by the kind of a leg


def clearing(connection: str) -> str:
    """The account of one provider's balance."""
    return f"clearing:{connection}"
