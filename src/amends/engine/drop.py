"""Tellings as files in a folder, for books that we have no connector for: one file for each, named
by its day, kind and key. It appears whole or not at all, and told again it is the same bytes under
the same name. Nothing is ever taken away here: whoever reads the folder may.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from amends.core.chart import Names, called
from amends.core.outlets import (
    Booked,
    Books,
    CreditNote,
    GoodsReturned,
    RefundPaid,
    Telling,
    kind_of,
)
from amends.engine.config import ConnectionConfig
from amends.engine.journal import Beancount, cell
from amends.gateways.spec import Settings
from amends.kernel.canon import digest
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome
from amends.kernel.time import day_of

NAME_MAX = 150  # bytes of a key in a file's name; a longer one is there by its hash
MAIN = "amends.beancount"
_MAIN = 'plugin "beancount.plugins.auto_accounts"\ninclude "20*.beancount"\n'
_BOOKED = (
    *("kind", "key", "posted_on", "entity", "order", "shop", "shop_order", "refund"),
    *("reference", "number", "invoice"),
    *("account", "amount", "currency", "functional_amount", "functional_currency"),
    *("account_number", "account_name"),
)
_GOODS = (
    *("kind", "key", "posted_on", "entity", "order", "shop", "shop_order", "return_id"),
    *("line", "sku", "units", "disposition", "location"),
)
Bookings = CreditNote | RefundPaid | Books


class Dropper:
    """Writes what the connections of the gateway `files` are told."""

    def __init__(self, folder: Path, functional: str, names: Names) -> None:
        """`folder` is where the settings are, `functional` the currency of the books."""
        self._folder, self._functional, self._names = folder, functional, names

    async def send(self, telling: Telling, settings: Settings) -> Outcome:
        """Accepted once it is on the disk."""
        folder = self._folder / settings.values["folder"]
        beancount = settings.values.get("format") == "beancount"
        if isinstance(telling, GoodsReturned):
            ending, text = "csv", _goods(telling)
        elif not isinstance(telling, Bookings):
            return Declined("not_for_books", f"No file says {kind_of(telling)}.")
        elif beancount:
            ending, text = "beancount", self._entry(telling)
        else:
            ending, text = "csv", self._lines(telling)
        name = f"{_day(telling)}-{kind_of(telling)}-{_plain(telling.key)}.{ending}"
        try:
            if beancount:
                await asyncio.to_thread(_write, folder / MAIN, f"{Beancount({}).begin()}{_MAIN}")
            await asyncio.to_thread(_write, folder / name, text)
        except OSError as error:
            return NotSent(f"{folder} cannot be written: {error.strerror}")
        return Accepted(reference=name)

    def _lines(self, telling: Bookings) -> str:
        common = _common(telling)
        rows = []
        for one in _booked(telling):
            theirs = called(one.account, self._names)
            amounts = (one.account, one.amount, one.currency, one.functional, self._functional)
            row = dict(zip(_BOOKED[-7:], (*amounts, theirs.number, theirs.name), strict=True))
            rows.append({**common, **row})
        return _csv(_BOOKED, rows)

    def _entry(self, telling: Bookings) -> str:
        """A transaction for each currency: the books of a day have several, each balanced."""
        common, found = _common(telling), []
        for currency in dict.fromkeys(one.currency for one in _booked(telling)):
            postings = [
                {"account": one.account, "amount": one.amount, "functional": one.functional}
                for one in _booked(telling)
                if one.currency == currency
            ]
            item = {
                **{name: common.get(name, "") for name in ("kind", "order", "refund", "entity")},
                "leg": "",
                "psp_refund_id": common.get("reference", ""),
                "number": f'"{_plain(telling.key)}"',
                "posted_on": _day(telling),
                "document_date": _document_date(telling),
                "currency": currency,
                "functional_currency": self._functional,
                "postings": postings,
            }
            found.append(Beancount(self._names).transaction(item))
        return "".join(found)


def _booked(telling: Bookings) -> Sequence[Booked]:
    return telling.lines if isinstance(telling, Books) else telling.booked


def _day(telling: Telling) -> str:
    return telling.day if isinstance(telling, Books) else day_of(telling.at)


def _document_date(telling: Bookings) -> str:
    return telling.document.document_date if isinstance(telling, CreditNote) else _day(telling)


def _common(telling: Telling) -> dict[str, str]:
    found = {
        "kind": kind_of(telling),
        "key": telling.key,
        "posted_on": _day(telling),
        "entity": telling.entity,
        "order": telling.order,
        "shop": telling.shop,
        "shop_order": telling.shop_order,
    }
    if isinstance(telling, CreditNote):
        document = telling.document
        more = {"refund": document.refund, "number": telling.number, "invoice": document.invoice}
        return {**found, **more}
    if isinstance(telling, RefundPaid):
        return {**found, "refund": telling.refund, "reference": telling.reference}
    return found


def _goods(telling: GoodsReturned) -> str:
    common = {**_common(telling), "return_id": telling.return_id}
    rows = []
    for one in telling.lines:
        values = (one.line, one.sku, str(one.units), one.disposition, one.location)
        rows.append({**common, **dict(zip(_GOODS[-5:], values, strict=True))})
    return _csv(_GOODS, rows)


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(key: str) -> str:
    """A key as a part of a file's name, which says no folder."""
    name = quote(key, safe="")
    return name if len(name) <= NAME_MAX else digest(key)


def _write(path: Path, text: str) -> None:
    """Whole, on the disk, and under its name only then; again the same. Raises OSError."""
    data = text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_bytes() == data:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{id(data)}")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def droppers(
    connections: Mapping[str, ConnectionConfig], folder: Path, functional: str, names: Names
) -> dict[str, Dropper]:
    """Who writes the files of the connections, by gateway."""
    wanted = any(c.settings.gateway == "files" for c in connections.values())
    return {"files": Dropper(folder, functional, names)} if wanted else {}
