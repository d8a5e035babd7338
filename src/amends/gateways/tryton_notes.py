"""Credit notes in Tryton: a customer invoice of negative amounts, exact to the minor unit.

Tryton computes taxes from its own rates. An invoice that comes with its taxes keeps their amounts
as long as their bases are those of its lines (`update_taxes` of trytond-account-invoice 8.2), so
the taxes as they were charged stand on it, and the tax report has base and tax. A tax that Tryton
would not compute on that day (its rate has ended, it is a group) goes on it as one entered by hand.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from amends.core.documents import Document, DocumentPart, DocumentTax
from amends.core.outlets import CreditNote
from amends.gateways.codecs import Json, text
from amends.gateways.spec import Failure, Request, Response
from amends.gateways.tryton_rest import (
    Asks,
    Erp,
    Names,
    account,
    account_name,
    add,
    create,
    currency,
    date,
    decimal,
    declined,
    delete,
    find,
    get,
    journal,
    link,
    money,
    number,
    one,
    party,
    press,
    record_id,
    rows,
    through,
)
from amends.kernel.currency import EXPONENT
from amends.kernel.money import major, scale
from amends.kernel.outcome import Accepted, Outcome

INVOICE = "account.invoice"
POSTED = ("posted", "paid")

_SOLD = (
    *("party.id", "invoice_address.id", "payment_term.id", "account.id", "journal.id"),
    *("number", "total_amount"),
    *("lines.product.id", "lines.account.id", "lines.unit.id", "lines.quantity"),
    *("taxes.tax.id",),
)
_SALE = (
    *("party.id", "party.account_receivable.id", "invoice_party.account_receivable.id"),
    *("invoices.id", "invoice_address.id", "payment_term.id"),
)
_TAX = (
    *("name", "rate", "type", "start_date", "end_date", "childs.id"),
    *("description", "invoice_account.id", "credit_note_account.id"),
)
_ACCOUNTS = {
    "line": "sales_returns",
    "shipping": "shipping_refunds",
    "charge": "charge_refunds",
    "fee": "fees_kept",
}
_PRICE_DIGITS = 4  # of a unit price, unless [product] price_decimal of trytond.conf says another
_LAST = (9999, 12, 31)


class Sold(msgspec.Struct, frozen=True):
    """What Tryton knows of the sale, by its ids; 0 where it knows nothing."""

    party: int
    address: int
    receivable: int
    term: int = 0
    journal: int = 0
    number: str = ""
    lines: tuple[Json, ...] = ()
    taxes: tuple[int, ...] = ()


class _Tax(msgspec.Struct, frozen=True):
    """A tax there. `computed`: Tryton computes it by itself on the day of the document."""

    record: Json
    computed: bool

    @property
    def id(self) -> int:
        return record_id(self.record)


class _Line(msgspec.Struct, frozen=True):
    """A part of the document with the signs of an invoice: what is given back is negative."""

    part: DocumentPart
    quantity: int
    net: int
    taxes: tuple[tuple[_Tax, int], ...]


def tell_credit_note(erp: Erp, told: CreditNote) -> Generator[Request, Response | Failure, Outcome]:
    """The credit note, posted. One that is there is finished, not made again."""
    found = yield from credit_notes(erp, told.key)
    if not found:
        values = yield from _invoice(erp, told)
        made = yield from create(erp, INVOICE, values)
        found = yield from credit_notes(erp, told.key, record_id(made))
    kept = next((note for note in found if text(note, "state") in POSTED), found[0])
    for other in found:
        if other is not kept and text(other, "state") == "draft":
            yield from delete(erp, INVOICE, record_id(other))
    if text(kept, "state") not in POSTED:
        _agrees(told.document, kept)
        kept = yield from press(erp, INVOICE, record_id(kept), "post", "number")
    return Accepted(reference=text(kept, "number"))


def credit_notes(
    erp: Erp, key: str, least: int = 0
) -> Generator[Request, Response | Failure, list[Json]]:
    """The credit notes of a key, in the order they were made. Raises Stopped if there is none
    although one must be (`least`)."""
    marked = [["reference", "=", key], ["company", "=", erp.of.id], ["type", "=", "out"]]
    marked.append(["state", "!=", "cancelled"])
    amounts = ("untaxed_amount", "tax_amount", "total_amount")
    found = yield from find(erp, INVOICE, marked, "state", "number", *amounts)
    if not found and least:
        raise declined("rights", "Tryton does not show this user the credit note it just made.")
    return found


def _agrees(document: Document, note: Json) -> None:
    """Raises Stopped if Tryton's figures are not those of the document: it stays a draft."""
    for field, minor in (
        ("untaxed_amount", document.net),
        ("tax_amount", document.tax),
        ("total_amount", document.gross),
    ):
        if number(note, field) != -Decimal(major(minor, document.currency)):
            raise declined(
                "amounts",
                f"Tryton makes {field} {number(note, field)} where the document has "
                f"{major(-minor, document.currency)}; the credit note is left a draft there.",
            )


def _invoice(erp: Erp, told: CreditNote) -> Asks:
    """All the fields of the credit note."""
    document = told.document
    sold = yield from sale(erp, told.shop_order or document.source_order, document.invoice)
    revenue = sold.journal or (yield from journal(erp, "sales_journal", "revenue"))
    money_id = yield from currency(erp, document.currency)
    parts = yield from _lines(erp, document, sold)
    products = yield from _products(erp, told, parts)
    lines = []
    for line in parts:
        product = products.get(_code(erp, told, line.part), {})
        lines.append((yield from _line_values(erp, document, line, product, sold)))
    values: Json = {
        "type": "out",
        "company": erp.of.id,
        "reference": told.key,
        "description": _description(told),
        "party": sold.party,
        "invoice_address": sold.address,
        "account": sold.receivable,
        "journal": revenue,
        "currency": money_id,
        "accounting_date": date(document.document_date),
        "lines": [["create", [{**line, "currency": money_id} for line in lines]]],
        "taxes": [["create", list(_tax_values(document, parts))]],
    }
    if sold.term:
        values["payment_term"] = sold.term
    return values


def _description(told: CreditNote) -> str:
    document = told.document
    names = (told.number, document.refund, f"order {told.shop_order or document.source_order}")
    back = f"reverses {', '.join(document.reverses)}" if document.reverses else ""
    return " · ".join(filter(None, (*names, back)))


# -- the sale ----------------------------------------------------------------------------------


def sale(
    erp: Erp, shop_order: str, invoice: str = ""
) -> Generator[Request, Response | Failure, Sold]:
    """What Tryton knows of an order: its sale by reference, its invoice by number or by the sale;
    else the party of the settings. Raises Stopped."""
    sales: list[Json] = []
    if shop_order:
        named = [["reference", "=", shop_order], ["company", "=", erp.of.id]]
        sales = yield from find(erp, "sale.sale", [*named, ["state", "!=", "cancelled"]], *_SALE)
    ways: list[Any] = [["id", "in", [record_id(i) for s in sales for i in rows(s, "invoices")]]]
    ways += [["number", "=", invoice]] if invoice else []
    ways += [["reference", "=", shop_order]] if shop_order else []
    posted = [["type", "=", "out"], ["company", "=", erp.of.id], ["state", "in", list(POSTED)]]
    found = yield from find(erp, INVOICE, [*posted, ["OR", *ways]], *_SOLD)
    invoices = [one for one in found if number(one, "total_amount") > 0]
    invoices.sort(key=lambda one: text(one, "number") != invoice)
    if invoices:
        numbered = text(invoices[0], "number") == invoice != ""
        own = [one for one in invoices if link(one, "party") == link(invoices[0], "party")]
        _of_one_party(shop_order, own if numbered else invoices)
        return _of_invoices(own)
    if sales:
        _of_one_party(shop_order, sales)
        its = sales[0]
        who = "invoice_party" if link(its, "invoice_party") else "party"
        receivable = yield from _receivable(erp, through(its, who))
        address = link(its, "invoice_address")
        return Sold(link(its, who), address, receivable, link(its, "payment_term"))
    its = yield from party(erp)
    address = next((record_id(a) for a in rows(its, "addresses")), 0)
    if not address:
        raise declined("party", f"The party {erp.setting('party')!r} has no address in Tryton.")
    return Sold(record_id(its), address, (yield from _receivable(erp, its)))


def _of_one_party(shop_order: str, found: list[Json]) -> None:
    """Raises Stopped if a reference leads to several customers: two shops may count alike."""
    parties = {link(one, "party") for one in found}
    if len(parties) > 1:
        raise declined(
            "sale",
            f"Tryton has sales of {len(parties)} parties with the reference {shop_order!r}: make "
            "their references differ, or tell the order with its `invoice`.",
        )


def _receivable(erp: Erp, its: Json) -> Names:
    """The account a party owes on: its own, or the default of the company. Raises Stopped."""
    if own := link(its, "account_receivable"):
        return own
    default = "default_account_receivable"
    chosen = yield from get(erp, "account.configuration", 1, f"{default}.id")
    if not link(chosen, default):
        raise declined("account", "Tryton has no default receivable account for the party.")
    return link(chosen, default)


def _of_invoices(invoices: list[Json]) -> Sold:
    first = invoices[0]
    return Sold(
        party=link(first, "party"),
        address=link(first, "invoice_address"),
        receivable=link(first, "account"),
        term=link(first, "payment_term"),
        journal=link(first, "journal"),
        number=text(first, "number"),
        lines=tuple(line for its in invoices for line in rows(its, "lines")),
        taxes=tuple(link(tax, "tax") for its in invoices for tax in rows(its, "taxes")),
    )


# -- lines -------------------------------------------------------------------------------------


def _code(erp: Erp, told: CreditNote, part: DocumentPart) -> str:
    """The code of a part's product there; "" if it has none."""
    if part.kind != "line":
        return erp.named("products", part.kind)
    sku = dict(told.skus).get(part.id, "")
    return erp.named("products", sku) or sku


def _products(
    erp: Erp, told: CreditNote, lines: tuple[_Line, ...]
) -> Generator[Request, Response | Failure, Mapping[str, Json]]:
    """The products there are, by code."""
    codes = sorted({code for line in lines if (code := _code(erp, told, line.part))})
    if not codes:
        return {}
    fields = ("code", "default_uom.id", "account_category.account_revenue.id")
    found = yield from find(erp, "product.product", [["code", "in", codes]], *fields)
    return {text(product, "code"): product for product in found}


def _line_values(
    erp: Erp, document: Document, line: _Line, product: Json, sold: Sold
) -> Generator[Request, Response | Failure, Json]:
    """The fields of one line; its origin is the line that was invoiced, where that is known."""
    bought = [b for b in sold.lines if product and link(b, "product") == record_id(product)]
    origin = bought[0] if bought else {}
    quantity, price = _priced(line.quantity, line.net, document.currency)
    title = line.part.title or line.part.id or line.part.kind
    if line.quantity not in (0, quantity):
        title = f"{abs(line.quantity)} × {title}"
    values: Json = {
        "type": "line",
        "company": erp.of.id,
        "quantity": quantity,
        "unit_price": decimal(price),
        "description": title,
        "account": (yield from _line_account(erp, line.part, product, origin, sold)),
    }
    if taxes := [tax.id for tax, _ in line.taxes if tax.computed and line.net]:
        values["taxes"] = add(taxes)
    if product:
        unit = link(origin, "unit") or link(product, "default_uom")
        values |= {"product": record_id(product), "unit": unit}
    if origin:
        values["origin"] = f"account.invoice.line,{record_id(origin)}"
    return values


def _line_account(erp: Erp, part: DocumentPart, product: Json, origin: Json, sold: Sold) -> Names:
    """The settings' account of its kind; else that of the line, the product or the sale."""
    own = _ACCOUNTS.get(part.kind, "sales_returns")
    if said := account_name(erp, own):
        return record_id((yield from account(erp, said)))
    category = through(product, "account_category")
    known = link(origin, "account") or link(category, "account_revenue")
    if known:
        return known
    if said := account_name(erp, "sales_returns"):
        return record_id((yield from account(erp, said)))
    known = next((link(line, "account") for line in sold.lines), 0)
    if not known:
        raise declined(
            "account", f'No account for {own} is known: accounts = {{ {own} = "code" }} says it.'
        )
    return known


def _priced(quantity: int, net: int, code: str) -> tuple[int, str]:
    """Quantity and unit price that come to `net`, to the minor unit; one unit at the amount where
    no price does. The price of a positive quantity has the sign of the net, and so on."""
    if not quantity:
        return (-1, major(-net, code)) if net < 0 else (1, major(net, code))
    steps = 10 ** (_PRICE_DIGITS - EXPONENT[code])  # of a price, in one minor unit
    price = (2 * net * steps + quantity) // (2 * quantity)
    if 2 * abs(price * quantity - net * steps) < steps:
        whole = str(abs(price)).rjust(_PRICE_DIGITS + 1, "0")
        sign = "-" if price < 0 else ""
        return quantity, f"{sign}{whole[:-_PRICE_DIGITS]}.{whole[-_PRICE_DIGITS:]}"
    return _priced(0, net, code)


# -- taxes -------------------------------------------------------------------------------------


def _lines(
    erp: Erp, document: Document, sold: Sold
) -> Generator[Request, Response | Failure, tuple[_Line, ...]]:
    """The parts of the document with the taxes there, each with the sign of an invoice."""
    known: dict[tuple[str, str], _Tax] = {}
    lines = []
    for part in exact_parts(document):
        taxes = []
        for tax in part.taxes:
            name = (tax.name, tax.rate or _rate(document, tax.name))
            if name not in known:
                known[name] = yield from _tax(erp, document, name, sold)
            taxes.append((known[name], -tax.amount))
        lines.append(_Line(part, -part.quantity, -part.net, tuple(taxes)))
    return tuple(lines)


def _rate(document: Document, name: str) -> str:
    """What a tax without a rate has elsewhere on the document; "" if that is not one."""
    rates = {tax.rate for part in document.parts for tax in part.taxes if tax.name == name}
    rates.discard("")
    return rates.pop() if len(rates) == 1 else ""


def _tax(
    erp: Erp, document: Document, named: tuple[str, str], sold: Sold
) -> Generator[Request, Response | Failure, _Tax]:
    """The tax there: as the settings say; else of the same name; else of the same rate, on the
    invoice of the sale before elsewhere. Raises Stopped."""
    name, rate = named
    label = f"{name} {rate}".strip()
    said = erp.named("taxes", label, name)
    mine = ["company", "=", erp.of.id]
    missing = f"Tryton has no tax {said or label!r} of this company."
    if said:
        way = ["id", "=", int(said)] if said.isascii() and said.isdigit() else ["name", "=", said]
        found = yield from one(erp, "account.tax", [mine, way], *_TAX, missing=missing)
    else:
        kinds = ["OR", ["group", "=", None], ["group.kind", "in", ["sale", "both"]]]
        ways = [["name", "=", name], *([["rate", "=", decimal(rate)]] if _number(rate) else [])]
        domain = [mine, kinds, ["OR", *ways]]
        fits = yield from find(erp, "account.tax", domain, *_TAX)
        by_name = [tax for tax in fits if text(tax, "name") == name]
        there = [tax for tax in fits if record_id(tax) in sold.taxes]
        choice = next((some for some in (by_name, there, fits) if len(some) == 1), None)
        if choice is None:
            raise declined("tax", f'{missing} taxes = {{ "{label}" = "its name" }} says it.')
        found = choice[0]
    day = date(document.document_date)
    return _Tax(found, not rows(found, "childs") and _valid(found, _day(day, (0, 0, 0))))


def _number(rate: str) -> bool:
    try:
        return Decimal(rate).is_finite()
    except InvalidOperation:
        return False


def _valid(tax: Json, day: tuple[int, ...]) -> bool:
    since = _day(tax.get("start_date"), (0, 0, 0))
    return since <= day <= _day(tax.get("end_date"), _LAST)


def _day(value: Any, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(value, dict):
        return otherwise
    parts = tuple(value.get(field) for field in ("year", "month", "day"))
    return tuple(part if isinstance(part, int) else 0 for part in parts)


def _tax_values(document: Document, lines: tuple[_Line, ...]) -> Iterator[Json]:
    """The taxes of the invoice: one for each tax and sign of its base, as Tryton groups them."""
    sums: dict[tuple[int, bool], tuple[_Tax, int, int]] = {}
    for line in lines:
        for tax, amount in line.taxes:
            given = line.net < 0 or (not line.net and amount < 0)
            _, base, so_far = sums.get((tax.id, given), (tax, 0, 0))
            sums[(tax.id, given)] = (tax, base + line.net, so_far + amount)
    for (tax_id, given), (tax, base, amount) in sums.items():
        side = "credit_note_account" if given else "invoice_account"
        its = link(tax.record, side)
        if not its:
            raise declined("tax", f"The tax {text(tax.record, 'name')!r} has no {side} in Tryton.")
        yield {
            "tax": tax_id,
            "account": its,
            "description": text(tax.record, "description") or text(tax.record, "name"),
            "base": money(base, document.currency),
            "amount": money(amount, document.currency),
            "manual": not (tax.computed and base),
        }


def exact_parts(document: Document) -> tuple[DocumentPart, ...]:
    """The parts, so that they come to what the document is for: as they are, or, where it is for
    less, each less in proportion. Raises Stopped if neither does."""
    parts = document.parts
    taxes = [tax.amount for part in parts for tax in part.taxes]
    nets = [part.net for part in parts]
    if (sum(nets), sum(taxes)) == (document.net, document.tax):
        return parts
    less_net, less_tax = _scaled(document.net, nets), _scaled(document.tax, taxes)
    if less_net is None or less_tax is None:
        raise declined("document", "The parts of the document do not come to its amounts.")
    left = iter(less_tax)
    return tuple(
        DocumentPart(
            *(part.kind, part.id, part.title, 0, net),
            tuple(DocumentTax(tax.name, tax.rate, next(left)) for tax in part.taxes),
        )
        for part, net in zip(parts, less_net, strict=True)
    )


def _scaled(total: int, amounts: list[int]) -> tuple[int, ...] | None:
    sign = -1 if total < 0 or (not total and sum(amounts) < 0) else 1
    turned = [sign * amount for amount in amounts]
    if not 0 <= sign * total <= sum(turned):
        return None
    if not any(turned):
        return tuple(turned)
    if not sum(turned):
        return None
    return tuple(sign * amount for amount in scale(sign * total, turned))
