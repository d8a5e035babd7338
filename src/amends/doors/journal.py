"""Journal entries as text: CSV, beancount, hledger, JSON lines. Amounts are exact.

An entry balances in its own currency and in the functional one. Beancount and hledger are told
both: each posting carries its total price (`@@`) in the functional currency.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any, Protocol

from amends.kernel.money import major
from amends.kernel.time import rfc3339

Item = dict[str, Any]

COLUMNS = (
    *("at", "order", "number", "kind", "entity", "refund", "leg", "psp_refund_id"),
    *("account", "amount", "currency", "functional_amount", "functional_currency"),
)
# Which of beancount's five roots an account belongs to.
_ROOTS = {
    "sales_returns": "Income",
    "shipping_refunds": "Income",
    "tax_payable": "Liabilities",
    "refunds_payable": "Liabilities",
    "clearing": "Assets",
    "manual_payouts": "Assets",
    "store_credit": "Liabilities",
    "memo_authorizations": "Equity",
    "memo_released": "Equity",
}


class Writer(Protocol):
    """Turns entries into text, one at a time: exports are as long as the books."""

    def begin(self) -> str: ...

    def entry(self, item: Item) -> str: ...


class Each:
    """A writer without memory."""

    def __init__(self, write: Callable[[Item], str]) -> None:
        self._write = write

    def begin(self) -> str:
        return ""

    def entry(self, item: Item) -> str:
        return self._write(item)


class Csv:
    """One line a posting; amounts in minor units, debit positive."""

    def begin(self) -> str:
        return _csv_line(COLUMNS)

    def entry(self, item: Item) -> str:
        common = {**item, "at": rfc3339(item["at"])}
        return "".join(
            _csv_line(
                {
                    **common,
                    "account": posting["account"],
                    "amount": posting["amount"],
                    "functional_amount": posting["functional"],
                }[name]
                for name in COLUMNS
            )
            for posting in item["postings"]
        )


def _csv_line(values: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(list(values))
    return line.getvalue()


class Beancount:
    """Opens each account on the day it is first used."""

    def __init__(self) -> None:
        self._open: set[str] = set()

    def begin(self) -> str:
        return 'option "title" "amends: refunds"\n'

    def entry(self, item: Item) -> str:
        day = rfc3339(item["at"])[:10]
        names = [beancount_account(posting["account"]) for posting in item["postings"]]
        fresh = [name for name in dict.fromkeys(names) if name not in self._open]
        self._open.update(fresh)
        lines = [f"{day} open {name}" for name in fresh]
        lines += ["", f'{day} * "{item["kind"]}" "{item["refund"]}"']
        lines += [
            f'  {name}: "{item[name]}"' for name in ("order", "leg", "psp_refund_id", "entity")
        ]
        lines += [f"  number: {item['number']}"]
        for name, posting in zip(names, item["postings"], strict=True):
            lines += [f"  {name}  {amount}" for amount in _amounts(posting, item)]
        return "\n".join(lines) + "\n"


def beancount_account(name: str) -> str:
    """`clearing:stripe-eu` is `Assets:Clearing:Stripe-eu`: each part begins with a capital."""
    kind, _, rest = name.partition(":")
    parts = [_ROOTS.get(kind, "Equity"), kind.replace("_", "-"), *([rest] if rest else [])]
    return ":".join(_part(part) for part in parts)


def _part(text: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in text)
    first = kept[0].upper() if kept else "X"
    return first + kept[1:] if first.isalnum() else f"X{kept}"


def hledger(item: Item) -> str:
    """A transaction of hledger's journal; order, leg and the provider's id as tags."""
    day = rfc3339(item["at"])[:10]
    tags = {name: item[name] for name in ("order", "leg", "psp_refund_id", "entity")}
    said = ", ".join(f"{name}:{value}" for name, value in tags.items() if value)
    lines = [f"{day} * {item['kind']} {item['refund']}".rstrip() + f"  ; {said}"]
    for posting in item["postings"]:
        name = beancount_account(posting["account"]).lower()
        lines += [f"    {name}  {amount}" for amount in _amounts(posting, item)]
    return "\n".join(lines) + "\n\n"


def _amounts(posting: Item, item: Item) -> list[str]:
    """What is posted: the amount with its price in the functional currency, unless they are one."""
    amount, functional = posting["amount"], posting["functional"]
    currency, ours = item["currency"], item["functional_currency"]
    if currency == ours:
        return [f"{major(amount, currency)} {currency}"]
    if amount == 0:  # nothing to carry a price: only the functional part, if there is one
        return [f"{major(functional, ours)} {ours}"] if functional else []
    price = f"{major(abs(functional), ours)} {ours}"
    return [f"{major(amount, currency)} {currency} @@ {price}"]


def json_line(item: Item) -> str:
    """As the API has it."""
    return json.dumps({**item, "at": rfc3339(item["at"])}) + "\n"


def plain(item: Item) -> str:
    """For reading."""
    said = f"{rfc3339(item['at'])[:19]}Z {item['kind']} {item['refund']} {item['order']}\n"
    return said + "".join(
        f"    {posting['account']:<32} {major(posting['amount'], item['currency']):>16} "
        f"{item['currency']}\n"
        for posting in item["postings"]
    )
