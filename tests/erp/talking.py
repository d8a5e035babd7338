"""Talking to a real Tryton in tests: tellings, and whoever sends what `talk` yields."""

from __future__ import annotations

import itertools
import urllib.error
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, TypeVar

from amends.core.documents import Document, DocumentPart, DocumentTax
from amends.core.outlets import CreditNote, Telling
from amends.gateways import tryton as gateway
from amends.gateways import tryton_rest as rest
from amends.gateways.spec import Failure, Request, Response, Settings
from amends.kernel.outcome import Accepted, Outcome
from amends.kernel.time import SECOND, Instant
from tests.erp import server
from tests.erp.server import Tryton

T = TypeVar("T")
TODAY = datetime.now(UTC).date().isoformat()  # the server's: what is posted there is of its day
NOW: Instant = int(datetime.now(UTC).timestamp()) * SECOND
_keys = itertools.count(1)


def key() -> str:
    return f"ord_1/{next(_keys)}"


def settings(erp: Tryton, login: bool = True, **tables: dict[str, str]) -> Settings:
    """As a shop would set it up; `login` for what is a wizard there."""
    values = {"api_key": str(erp.facts["key"]), "party": "GUESTS"}
    if login:
        values |= {"rpc_user": "clerk", "rpc_password": server.PASSWORD}
    codes: Any = erp.facts["accounts"]
    accounts = {"clearing": codes["cash"], "fees_kept": codes["revenue"]}
    accounts |= {"sales_returns": codes["revenue"], "provider_fees": codes["expense"]}
    return Settings(
        name="erp",
        gateway="tryton",
        base_url=erp.url,
        values=values,
        tables={
            "accounts": accounts,
            "products": {"shipping": "PARCEL"},
            "locations": {"quarantine": "QUA"},
            **tables,
        },
    )


def send(request: Request) -> Response | Failure:
    wanted = urllib.request.Request(
        request.url,
        data=request.body or None,
        headers=dict(request.headers),
        method=request.method,
    )
    try:
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            return Response(answer.status, _head(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        return Response(error.code, _head(error.headers), error.read())


def _head(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def driven(talk: Generator[Request, Response | Failure, T]) -> T:
    """The conversation, held."""
    try:
        request = next(talk)
        while True:
            request = talk.send(send(request))
    except StopIteration as ended:
        result: T = ended.value
        return result


def tell(told: Telling, its: Settings) -> Outcome:
    return driven(gateway.talk(told, its, NOW))


def accepted(told: Telling, its: Settings) -> Accepted:
    outcome = tell(told, its)
    assert isinstance(outcome, Accepted), outcome
    return outcome


def broken_off(told: Telling, its: Settings, after: int) -> bool:
    """The conversation, dropped when so many requests that change something were carried out: after
    one that only looks all is as it was before. False: it ended before."""
    talk = gateway.talk(told, its, NOW)
    try:
        request = next(talk)
        while after:
            after -= request.method != "GET"
            request = talk.send(send(request))
    except StopIteration:
        return False
    talk.close()
    return True


def find(its: Settings, model: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
    return driven(rest.find(rest.Erp(its), model, domain, *fields))


def notes(its: Settings, reference: str) -> list[dict[str, Any]]:
    fields = ("state", "number", "amount_to_pay", "untaxed_amount", "tax_amount", "total_amount")
    return find(its, "account.invoice", [["reference", "=", reference]], *fields)


def on_hand(its: Settings, product: str, location: str) -> float:
    """Units in a location, of all moves that are done."""
    domain = [["product.code", "=", product], ["state", "=", "done"]]
    fields = ("quantity", "from_location.code", "to_location.code")
    return sum(
        move["quantity"]
        * ((move["to_location"]["code"] == location) - (move["from_location"]["code"] == location))
        for move in find(its, "stock.move", domain, *fields)
    )


def part(net: int, *taxes: tuple[str, str, int], **fields: Any) -> DocumentPart:
    its: dict[str, Any] = {"kind": "line", "id": "1", "title": "Tea", "quantity": 1, **fields}
    return DocumentPart(net=net, taxes=tuple(DocumentTax(*tax) for tax in taxes), **its)


def note(
    *parts: DocumentPart, day: str = TODAY, currency: str = "EUR", **fields: Any
) -> CreditNote:
    """A credit note of order 1001, which is for its parts."""
    net = sum(one.net for one in parts)
    tax = sum(tax.amount for one in parts for tax in one.taxes)
    its: dict[str, Any] = {
        "kind": "credit_note",
        "order": "ord_1",
        "entry": 1,
        "refund": "rf_1",
        "entity": "main",
        "source_connection": "shop",
        "source_order": "1001",
        "invoice": "",
        "of": TODAY,
        "document_date": day,
        "reason": "return",
        "currency": currency,
        "net": net,
        "tax": tax,
        "gross": net + tax,
        "whole": True,
        "parts": parts,
    }
    order = fields.pop("shop_order", "1001")
    skus = fields.pop("skus", (("1", "TEA"), ("2", "MUG")))
    return CreditNote(
        key=fields.pop("key", None) or key(),
        at=NOW,
        order="ord_1",
        shop="shop",
        shop_order=order,
        document=Document(**{**its, **fields}),
        skus=skus,
    )


def sell(
    its: Settings, reference: str, product: str, quantity: int, price: str, tax_name: str
) -> None:
    """An order is entered, sent and invoiced there, as a shop's own integration does it."""
    erp = driven(rest.company(rest.Erp(its)))
    (party,) = find(its, "party.party", [["code", "=", "GUESTS"]], "addresses.id")
    (goods,) = find(its, "product.product", [["code", "=", product]], "default_uom.id")
    (tax,) = find(its, "account.tax", [["name", "=", tax_name]], "name")
    address = party["addresses"][0]["id"]
    (euro,) = find(its, "currency.currency", [["code", "=", "EUR"]], "code")
    (term, *_) = find(its, "account.invoice.payment_term", [], "name")
    line = {
        "type": "line",
        "product": goods["id"],
        "quantity": quantity,
        "unit": goods["default_uom"]["id"],
        "unit_price": rest.decimal(price),
        "taxes": rest.add([tax["id"]]),
    }
    made = driven(
        rest.create(
            erp,
            "sale.sale",
            {
                "party": party["id"],
                "currency": euro["id"],
                "payment_term": term["id"],
                "invoice_address": address,
                "shipment_address": address,
                "reference": reference,
                "lines": [["create", [line]]],
            },
        )
    )
    for button in ("quote", "confirm"):
        driven(rest.press(erp, "sale.sale", made["id"], button))
    (sale,) = find(its, "sale.sale", [["id", "=", made["id"]]], "shipments.id", "invoices.id")
    for button in ("assign_try", "pick", "pack", "do"):
        driven(rest.press(erp, "stock.shipment.out", sale["shipments"][0]["id"], button))
    driven(rest.press(erp, "account.invoice", sale["invoices"][0]["id"], "post"))
