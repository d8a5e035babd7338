"""The chart of accounts, as data. An account that exists per connection is written `name:conn`,
one of a seller `name:account`.

A merchant's own numbers and names are laid over it (`Names`) where books are shown or exported;
the rows and their hashes keep the names of this chart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Root = Literal["Assets", "Liabilities", "Income", "Expenses", "Equity"]


class Account(msgspec.Struct, frozen=True):
    """What an account holds, and on which side of the books it stands. `each`: one a
    connection, or a seller."""

    root: Root
    holds: str
    each: bool = False


CHART: dict[str, Account] = {
    "sales_returns": Account("Income", "Revenue given back: the net of refunded lines, goodwill."),
    "shipping_refunds": Account("Income", "Shipping revenue given back, net."),
    "charge_refunds": Account(
        "Income", "Other charges given back, net: gift wrap, handling, duties, tips."
    ),
    "fees_kept": Account("Income", "Revenue from fees kept back of refunds, net."),
    "goodwill": Account(
        "Expenses", "Compensation paid to customers that leaves the price and its tax as they are."
    ),
    "tax_payable": Account("Liabilities", "Tax owed; a refund takes it back as it was charged."),
    "refunds_payable": Account("Liabilities", "What customers are owed and were not paid yet."),
    "clearing": Account("Assets", "The balance at a provider.", each=True),
    "customer_receipts": Account(
        "Liabilities",
        "Captured from customers, where captures are booked here; cleared by the sale in the books "
        "that recognise it.",
    ),
    "manual_payouts": Account(
        "Assets", "Paid to customers by hand, outside every provider; cleared by the bank."
    ),
    "store_credit": Account(
        "Liabilities",
        "Store credit given back to customers who paid with it, or took it instead of money.",
    ),
    "gift_cards": Account("Liabilities", "What was given back to gift cards."),
    "disputed": Account("Assets", "Taken back by customers' banks, and not given up by us yet."),
    "dispute_losses": Account("Expenses", "What lost disputes took."),
    "seller_receivable": Account(
        "Assets", "What sellers owe us for refunds; what we owe them is a credit.", each=True
    ),
    "seller_shares": Account("Expenses", "Sellers' shares of sales: what they bear of refunds."),
    "platform_fees": Account("Income", "The platform's fees given back to sellers with refunds."),
    "inventory": Account("Assets", "Goods in stock, at what they cost."),
    "cost_of_goods": Account("Expenses", "What goods had cost that were sold; back with them."),
    "fx_gain_loss": Account(
        "Expenses", "What other rates cost since the payment: a loss; less than nothing: a gain."
    ),
    "write_offs": Account("Expenses", "Small differences that nobody will explain."),
    "provider_fees": Account(
        "Expenses", "What providers charge for refunds and disputes, less what they give back."
    ),
    "memo_authorizations": Account(
        "Equity", "Off balance: money held for us at the customer's bank."
    ),
    "memo_released": Account("Equity", "Off balance: the counter side of authorizations released."),
}

OUTSIDE_ACCOUNT = {"manual": "manual_payouts", "credit": "store_credit"}  # by the kind of a leg
CREDITS = ("gift_cards", "store_credit")  # liabilities to somebody, whose balance is theirs


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant calls an account."""

    number: str = ""
    name: str = ""


Names = Mapping[str, Name]


def clearing(connection: str) -> str:
    """The account of one provider's balance."""
    return f"clearing:{connection}"


def receivable(account: str) -> str:
    """The account of one seller."""
    return f"seller_receivable:{account}"


def called(account: str, names: Names) -> Name:
    """The merchant's own name of an account: of it alone, else of its kind; empty if none."""
    return names.get(account) or names.get(account.partition(":")[0]) or Name()


def root(account: str) -> Root:
    """The side of the books an account stands on. Raises KeyError for one that is not ours."""
    return CHART[account.partition(":")[0]].root


def memo(account: str) -> bool:
    """Whether an account is off balance, for our own count alone."""
    return account.startswith("memo_")
