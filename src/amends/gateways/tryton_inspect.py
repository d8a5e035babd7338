"""Holding the settings of a connection against what is in Tryton. Changes nothing there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

from amends.gateways.codecs import Json, Malformed, text
from amends.gateways.spec import Failure, Inspection, Request, Response, Settings
from amends.gateways.tryton_goods import SHIPMENT, warehouse
from amends.gateways.tryton_moves import MOVE
from amends.gateways.tryton_notes import INVOICE
from amends.gateways.tryton_rest import (
    Erp,
    Stopped,
    call,
    company,
    find,
    has_login,
    journal,
    link,
    party,
    period,
    signed_in,
    today,
)
from amends.kernel.outcome import Declined

Finds = Generator[Request, Response | Failure, Any]

_NEEDED = {  # the group that has the rights, by what they are rights to
    INVOICE: "Accounting",
    MOVE: "Accounting",
    SHIPMENT: "Stock",
    "stock.move": "Stock",
    "sale.sale": "Sales",
}
_READ_ONLY = ("sale.sale",)


def inspect(settings: Settings) -> Inspection:
    """What is wrong with the settings, as sentences that say what to do. Never raises."""
    sentences: list[str] = []
    erp = Erp(settings)
    try:
        erp = yield from company(erp)
    except (Stopped, Malformed) as error:
        return (_words(error),)
    for check in _CHECKS:
        try:
            sentences += yield from check(erp)
        except (Stopped, Malformed) as error:
            sentences.append(_words(error))
            if not (isinstance(error, Stopped) and isinstance(error.outcome, Declined)):
                break  # it is not there, or not itself: what else it says is of no use
    return tuple(dict.fromkeys(sentences))


def _words(error: Stopped | Malformed) -> str:
    if isinstance(error, Malformed):
        return f"Tryton's answer was not understood: {error}"
    outcome = error.outcome
    return str(getattr(outcome, "text", "") or getattr(outcome, "reason", "") or outcome)


def _rights(erp: Erp) -> Finds:
    """First of all: without them the other answers mislead."""
    given = yield from call(erp, "ir.model.access", "get_access", {"models": list(_NEEDED)})
    return list(_lacking(given if isinstance(given, dict) else {}))


def _lacking(given: Json) -> Iterator[str]:
    for model, group in _NEEDED.items():
        rights = given.get(model)
        if not isinstance(rights, dict):
            continue
        wanted = ("read",) if model in _READ_ONLY else ("read", "create", "write")
        lacking = [right for right in wanted if not rights.get(right)]
        if lacking:
            what = f"{' or '.join(lacking)} {model}"
            yield f"The user of api_key may not {what}: add it to the group {group}."


def _accounts(erp: Erp) -> Finds:
    mapped = erp.settings.tables.get("accounts", {})
    said = sorted(set(mapped.values()))
    domain = [["company", "=", erp.of.id], ["OR", ["code", "in", said], ["name", "in", said]]]
    found = yield from find(erp, "account.account", domain, "code", "name", "type.id", "closed")
    wrong = list(_not_there("accounts", mapped, found, "account", lambda its: link(its, "type")))
    if not any(name.partition(":")[0] == "clearing" for name in mapped):
        wrong.append(
            "No account for what providers hold, so payments of credit notes would wait: "
            'accounts = { clearing = "code" }.'
        )
    return wrong


def _taxes(erp: Erp) -> Finds:
    mapped = erp.settings.tables.get("taxes", {})
    said = sorted(set(mapped.values()))
    ids = [int(one) for one in said if one.isascii() and one.isdigit()]
    domain = [["company", "=", erp.of.id], ["OR", ["name", "in", said], ["id", "in", ids]]]
    fields = ("name", "invoice_account.id", "credit_note_account.id")
    found = yield from find(erp, "account.tax", domain, *fields)
    for tax in found:
        tax["code"] = str(tax.get("id"))
    wrong = list(_not_there("taxes", mapped, found, "tax"))
    wrong += [
        f"The tax {text(tax, 'name')!r} has no account for credit notes, or none for invoices."
        for tax in found
        if not (link(tax, "invoice_account") and link(tax, "credit_note_account"))
    ]
    return wrong


def _products(erp: Erp) -> Finds:
    mapped = erp.settings.tables.get("products", {})
    domain = [["code", "in", sorted(set(mapped.values()))]]
    found = yield from find(erp, "product.product", domain, "code")
    return list(_not_there("products", mapped, found, "product"))


def _locations(erp: Erp) -> Finds:
    yield from warehouse(erp)
    mapped = erp.settings.tables.get("locations", {})
    said = sorted(set(mapped.values()))
    domain = ["OR", ["code", "in", said], ["name", "in", said]]
    found = yield from find(erp, "stock.location", domain, "code", "name")
    return list(_not_there("locations", mapped, found, "location"))


def _not_there(
    table: str,
    mapped: Any,
    found: list[Json],
    noun: str,
    usable: Callable[[Json], object] = lambda its: True,
) -> Iterator[str]:
    known = {text(its, key): its for its in found for key in ("name", "code")}
    for ours, theirs in mapped.items():
        if theirs not in known:
            yield f"{table}: {ours} is to be {theirs!r}, and Tryton has no such {noun}."
        elif not usable(known[theirs]) or known[theirs].get("closed"):
            yield f"{table}: {ours} is to be {theirs!r}, on which nothing can be booked."


def _sales_journal(erp: Erp) -> Finds:
    yield from journal(erp, "sales_journal", "revenue")
    return []


def _payment_journal(erp: Erp) -> Finds:
    yield from journal(erp, "payment_journal", "cash")
    return []


def _books_journal(erp: Erp) -> Finds:
    yield from journal(erp, "journal", "general")
    return []


def _year(erp: Erp) -> Finds:
    """Today, by Tryton's own calendar."""
    day = yield from today(erp)
    yield from period(erp, day, "open")
    return []


def _party(erp: Erp) -> Finds:
    if erp.setting("party"):
        yield from party(erp)
    return []


def _login(erp: Erp) -> Finds:
    if has_login(erp):
        yield from signed_in(erp)
    return []


_CHECKS: tuple[Callable[[Erp], Finds], ...] = (
    *(_rights, _year, _accounts, _taxes, _products, _locations),
    *(_sales_journal, _payment_journal, _books_journal, _party, _login),
)
