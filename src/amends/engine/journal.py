"""Journal entries as text: CSV, beancount, hledger, JSON lines. Amounts are exact.

An entry balances in its own currency and in the functional one. Beancount and hledger are told
both: each posting carries its total price (`@@`) in the functional currency. A price is all they
balance by, so each account's balance is asserted at the end: no cent can change unseen.
"""

from __future__ import annotations

import csv
import heapq
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, Protocol

from amends.core.chart import Names, called, root
from amends.kernel.canon import digest
from amends.kernel.money import major
from amends.kernel.time import day_of, rfc3339

Item = dict[str, Any]

COLUMNS = (
    *("at", "order", "number", "kind", "entity", "refund", "leg", "psp_refund_id"),
    *("account", "amount", "currency", "functional_amount", "functional_currency"),
    *("account_number", "account_name", "posted_on", "tax_point", "document_date"),
)


# Nothing is tolerated but what beancount itself loses: it divides a total price by the amount, to
# 28 digits, and multiplies again. The multiplier is of the last digit that an entry shows, the
# default for currencies that it shows none of: a billionth of a cent or less.
_BEANCOUNT = """\
option "title" "amends: refunds"
option "tolerance_multiplier" "0.0000001"
option "inferred_tolerance_default" "*:0.000000001"
"""


class Writer(Protocol):
    """Turns entries into text, one at a time: exports are as long as the books."""

    def begin(self) -> str: ...

    def entry(self, item: Item) -> str: ...

    def end(self) -> str: ...


class ByDay:
    """Entries, which come in the order they were recorded in, by the day they are posted on: late
    ones wait until that day is reached."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, int, Item]] = []
        self._count = 0

    def put(self, item: Item) -> Iterator[Item]:
        """One more; those whose turn it is."""
        self._count += 1
        heapq.heappush(self._waiting, (item["posted_on"], self._count, item))
        day = day_of(item["at"])
        while self._waiting and self._waiting[0][0] <= day:
            yield heapq.heappop(self._waiting)[2]

    def rest(self) -> Iterator[Item]:
        while self._waiting:
            yield heapq.heappop(self._waiting)[2]


class Each:
    """A writer without memory."""

    def __init__(self, write: Callable[[Item], str]) -> None:
        self._write = write

    def begin(self) -> str:
        return ""

    def entry(self, item: Item) -> str:
        return self._write(item)

    def end(self) -> str:
        return ""


class Csv:
    """One line a posting; amounts in minor units, debit positive."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def begin(self) -> str:
        return _csv_line(COLUMNS)

    def entry(self, item: Item) -> str:
        common = {**item, "at": rfc3339(item["at"])}
        return "".join(
            _csv_line({**common, **self._of(posting)}[name] for name in COLUMNS)
            for posting in item["postings"]
        )

    def _of(self, posting: Item) -> Item:
        theirs = called(posting["account"], self._names)
        return {
            "account": posting["account"],
            "amount": posting["amount"],
            "functional_amount": posting["functional"],
            "account_number": theirs.number,
            "account_name": theirs.name,
        }

    def end(self) -> str:
        return ""


def _csv_line(values: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([cell(value) for value in values])
    return line.getvalue()


def cell(value: Any) -> Any:
    """A value for CSV. A text that a spreadsheet would take for a formula is marked as a text: ids
    are what a shop, or whoever has a key, says they are."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t"))
    return f"'{value}" if formula else value


class _Totals:
    """What the accounts of an export come to, by currency, and on which day it ends."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], int] = {}
        self.day = ""

    def add(self, day: str, account: str, currency: str, amount: int) -> None:
        self.day = max(self.day, day)
        self.sums[account, currency] = self.sums.get((account, currency), 0) + amount

    def under(self, account: str, currency: str) -> int:
        """What an account and those below it come to: beancount counts them together."""
        below = f"{account}:"
        return sum(
            amount
            for (name, code), amount in self.sums.items()
            if code == currency and (name == account or name.startswith(below))
        )


class Beancount:
    """Opens each account on the day it is first used, and asserts its balance on the day after the
    last. By itself beancount lets gaps of half a cent pass, so its file says that none do."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._open: set[str] = set()
        self._totals = _Totals()

    def begin(self) -> str:
        return _BEANCOUNT

    def entry(self, item: Item) -> str:
        day = item["posted_on"]
        names = [ledger_account(posting["account"], self._names) for posting in item["postings"]]
        fresh = [name for name in dict.fromkeys(names) if name not in self._open]
        self._open.update(fresh)
        for name, posting in zip(names, item["postings"], strict=True):
            for amount, currency, _ in _amounts(posting, item):
                self._totals.add(day, name, currency, amount)
        return "".join(f"{day} open {name}\n" for name in fresh) + self.transaction(item)

    def transaction(self, item: Item) -> str:
        """An entry alone, for a file that opens its accounts itself."""
        links = "".join(f" ^{item[name]}" for name in ("refund", "order") if item[name])
        head = f"{item['posted_on']} * {_quoted(item['kind'])} {_quoted(item['refund'])}{links}"
        lines = ["", head]
        lines += [
            f"  {name}: {_quoted(item[name])}"
            for name in ("order", "leg", "psp_refund_id", "entity")
        ]
        lines += [f"  document_date: {item['document_date']}"]
        lines += [f"  number: {item['number']}"]
        for posting in item["postings"]:
            name = ledger_account(posting["account"], self._names)
            for amount, currency, price in _amounts(posting, item):
                lines += [f"  {name}  {major(amount, currency)} {currency}{price}"]
        return "\n".join(lines) + "\n"

    def end(self) -> str:
        if not self._totals.sums:
            return ""
        day = (date.fromisoformat(self._totals.day) + timedelta(days=1)).isoformat()
        lines = []
        for name, currency in sorted(self._totals.sums):
            amount = major(self._totals.under(name, currency), currency)
            lines.append(f"{day} balance {name}  {amount} {currency}")
        return "\n" + "\n".join(lines) + "\n"


class Hledger:
    """Declares each account and currency before its first use, as the strict checks want it, but
    no format of a currency: with one hledger rounds to it and lets smaller gaps pass. The last
    transaction moves nothing and asserts every balance."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._declared: set[str] = set()
        self._totals = _Totals()

    def begin(self) -> str:
        return ""

    def entry(self, item: Item) -> str:
        day = item["posted_on"]
        tags = {name: item[name] for name in ("order", "leg", "psp_refund_id", "entity")}
        tags |= {"document_date": item["document_date"]}
        said = ", ".join(f"{name}:{_plain(value)}" for name, value in tags.items() if value)
        code = f"({item['refund']}) " if item["refund"] else ""
        lines = [f"{day} * {code}{item['kind']}  ; {said}"]
        for posting in item["postings"]:
            name = ledger_account(posting["account"], self._names).lower()
            for amount, currency, price in _amounts(posting, item):
                self._totals.add(day, name, currency, amount)
                lines += [f"    {name}  {major(amount, currency)} {currency}{price}"]
        return "".join(self._declare(item)) + "\n".join(lines) + "\n\n"

    def _declare(self, item: Item) -> Iterator[str]:
        accounts = [ledger_account(p["account"], self._names).lower() for p in item["postings"]]
        for name in accounts:
            if name not in self._declared:
                yield f"account {name}\n"
        currencies = (item["currency"], item["functional_currency"])
        for currency in dict.fromkeys(currencies):
            if currency not in self._declared:
                yield f"commodity {currency}\n"
        self._declared.update(accounts, currencies)

    def end(self) -> str:
        if not self._totals.sums:
            return ""
        lines = [f"{self._totals.day} * balances"]
        for (name, currency), amount in sorted(self._totals.sums.items()):
            zero = f"{major(0, currency)} {currency}"
            lines += [f"    {name}  {zero} = {major(amount, currency)} {currency}"]
        return "\n".join(lines) + "\n"


def ledger_account(account: str, names: Names) -> str:
    """An account as beancount takes it: `clearing:stripe-eu` is `Assets:Clearing:Stripe-eu`, or
    `Assets:1360-Stripe` where the merchant's number and name for it are known."""
    theirs = called(account, names)
    kind, _, connection = account.partition(":")
    own = "-".join(part for part in (theirs.number, theirs.name) if part)
    parts = [_part(own or kind)]
    if connection and (account not in names or not own):
        parts.append(_one_of_its_kind(connection))
    return ":".join([root(account), *parts])


def _part(text: str) -> str:
    """One part of an account's name, as beancount wants it: a capital or a digit, then letters,
    digits and hyphens. A script without capitals gets one before it."""
    kinds = [unicodedata.category(char) for char in text]
    kept = "".join(
        char if kind[0] == "L" or kind == "Nd" else " "
        for char, kind in zip(text, kinds, strict=True)
    )
    joined = "-".join(kept.split())
    named = joined[:1].upper() + joined[1:]
    return named if unicodedata.category(named[:1] or " ") in ("Lu", "Nd") else f"X{named}"


def _one_of_its_kind(name: str) -> str:
    """A connection's or a seller's part, with a few digits of its hash where the part alone could
    be another's: they are told apart by what no account's name can hold, or by capitals alone."""
    part = _part(name)
    return part if part.lower() == name else f"{part}-{digest(name)[:6]}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(text: str) -> str:
    """A tag's value ends at a comma or with its line."""
    return re.sub(r"[,\s]+", " ", text)


def _amounts(posting: Item, item: Item) -> list[tuple[int, str, str]]:
    """What is posted: the amount, its currency and its price in the functional currency, "" if
    they are one. A price has no sign: where the functional part goes the other way, the account
    has what that is more as a posting of its own."""
    amount, functional = posting["amount"], posting["functional"]
    currency, ours = item["currency"], item["functional_currency"]
    if currency == ours:
        return [(amount, currency, "")]
    if amount == 0:  # nothing to carry a price: only the functional part, if there is one
        return [(functional, ours, "")] if functional else []
    priced = (amount, currency, f" @@ {major(abs(functional), ours)} {ours}")
    return [priced, (2 * functional, ours, "")] if amount * functional < 0 else [priced]


def json_line(item: Item) -> str:
    """As the API has it."""
    return json.dumps({**item, "at": rfc3339(item["at"])}) + "\n"


def credit_note(item: Item) -> str:
    """A document in one line."""
    amount = f"{major(item['gross'], item['currency'])} {item['currency']}"
    reverses = f" reverses {', '.join(item['reverses'])}" if item["reverses"] else ""
    return (
        f"{item['name'] or 'without number':<16} {item['document_date']} {item['kind']:<11} "
        f"{amount:>16} {item['refund']}{reverses}"
    )


def plain(item: Item) -> str:
    """For reading."""
    said = f"{rfc3339(item['at'])[:19]}Z {item['kind']} {item['refund']} {item['order']}\n"
    return said + "".join(
        f"    {posting['account']:<32} {major(posting['amount'], item['currency']):>16} "
        f"{item['currency']}\n"
        for posting in item["postings"]
    )
