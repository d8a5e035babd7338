"""The chart of accounts, as data. An account that exists per connection is written `name:conn`.

A merchant's own numbers and names are laid over it (`Names`) where books are shown or exported;
the rows and their hashes keep the names of this chart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Root = Literal["Assets", "Liabilities", "Income", "Expenses", "Equity"]


class Account(msgspec.Struct, frozen=True):
    """What an account holds, and on which side of the books it stands. `each`: one a connection."""

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
    "manual_payouts": Account(
        "Assets", "Paid to customers by hand, outside every provider; cleared by the bank."
    ),
    "store_credit": Account(
        "Liabilities", "Store credit customers took instead of money, with their consent."
    ),
    "disputed": Account("Assets", "Taken back by customers' banks, and not given up by us yet."),
    "dispute_losses": Account("Expenses", "What lost disputes took."),
    "fx_gain_loss": Account(
        "Expenses", "What other rates cost since the payment: a loss; less than nothing: a gain."
    ),
    "write_offs": Account(
        "Expenses", "Small differences on providers' balances that nobody will explain."
    ),
    "provider_fees": Account(
        "Expenses", "What providers charge for refunds and disputes, less what they give back."
    ),
    "memo_authorizations": Account(
        "Equity", "Off balance: money held for us at the customer's bank."
    ),
    "memo_released": Account("Equity", "Off balance: the counter side of authorizations released."),
}

OUTSIDE_ACCOUNT = {"manual": "manual_payouts", "credit": "store_credit"}  # by the kind of a leg


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant calls an account."""

    number: str = ""
    name: str = ""


Names = Mapping[str, Name]


def clearing(connection: str) -> str:
    """The account of one provider's balance."""
    return f"clearing:{connection}"


def called(account: str, names: Names) -> Name:
    """The merchant's own name of an account: of it alone, else of its kind; empty if none."""
    return names.get(account) or names.get(account.partition(":")[0]) or Name()


def root(account: str) -> Root:
    """The side of the books an account stands on. Raises KeyError for one that is not ours."""
    return CHART[account.partition(":")[0]].root
