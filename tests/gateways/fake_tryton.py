"""A few models of Tryton in memory, as far as `gateways/tryton.py` needs them: what it makes of an
invoice is computed as trytond 8.2 does, so that a document that is not exact does not pass."""

from __future__ import annotations

import base64
import itertools
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from amends.gateways.spec import Failure, Request, Response

CENT = Decimal("0.01")
ACCOUNT = {"id": 9, "name": "Books", "code": "1", "type": {"id": 1}, "party_required": False}
TAX = {
    "id": 5,
    "name": "VAT 0.20",
    "description": "VAT",
    "childs": [],
    "invoice_account": {"id": 21},
    "credit_note_account": {"id": 22},
}
PARTY = {"id": 2, "addresses": [{"id": 3}], "account_receivable": {"id": 8}}
THERE: dict[str, list[dict[str, Any]]] = {
    "company.company": [{"id": 1, "currency": {"id": 1, "code": "EUR"}}],
    "account.journal": [{"id": 4}],
    "account.period": [{"id": 6}],
    "account.account": [ACCOUNT],
    "account.tax": [TAX],
    "party.party": [PARTY],
    "product.product": [{"id": 7, "code": "TEA", "default_uom": {"id": 1}}],
}
BUTTONS = {"post": "posted", "receive": "received", "do": "done"}


class Fake:
    """`refuse` answers before anything is looked at, once for each of its entries."""

    def __init__(self) -> None:
        self.made: dict[str, list[dict[str, Any]]] = {}
        self.refuse: list[Response | Failure] = []
        self._ids = itertools.count(100)

    def answer(self, request: Request) -> Response | Failure:
        if self.refuse:
            return self.refuse.pop(0)
        address = urlsplit(request.url)
        model, *rest = address.path.partition("/rest/model/")[2].split("/")
        body = msgspec.json.decode(request.body) if request.body else {}
        if request.method == "GET" and not rest:
            (packed,) = parse_qs(address.query)["d"]
            return _ok(self._found(model, msgspec.json.decode(base64.urlsafe_b64decode(packed))))
        if request.method == "GET":
            return _ok({"id": int(rest[0]), "default_account_receivable": {"id": 8}})
        if request.method == "POST" and not rest:
            return _ok(self._create(model, body))
        record = next(one for one in self.made[model] if one["id"] == int(rest[0]))
        if request.method == "DELETE":
            self.made[model].remove(record)
        elif len(rest) == 2:
            record |= {"state": BUTTONS[rest[1]], "number": f"N{record['id']}"}
        return _ok(record)

    def _found(self, model: str, domain: list[Any]) -> list[dict[str, Any]]:
        wanted = [clause for clause in domain if clause[0] in ("reference", "description")]
        if model not in THERE:
            return [
                one
                for one in self.made.get(model, [])
                if wanted and all(one.get(name) == value for name, _, value in wanted)
            ]
        return THERE[model]

    def _create(self, model: str, body: dict[str, Any]) -> dict[str, Any]:
        record = {**body, "id": next(self._ids), "state": "draft", "number": None}
        if model == "account.invoice":
            record |= _amounts(body)
        self.made.setdefault(model, []).append(record)
        return record


def _amounts(body: dict[str, Any]) -> dict[str, Any]:
    lines, taxes = body["lines"][0][1], body["taxes"][0][1]
    net = Decimal(0)
    bases: dict[bool, Decimal] = {}
    for line in lines:
        amount = (Decimal(str(line["quantity"])) * _decimal(line["unit_price"])).quantize(
            CENT, ROUND_HALF_EVEN
        )
        net += amount
        if line.get("taxes"):
            bases[amount >= 0] = bases.get(amount >= 0, Decimal(0)) + amount
    tax = Decimal(0)
    for one in taxes:
        base = _decimal(one["base"])
        if not one["manual"]:  # it computes anew what is not of its lines
            assert bases.pop(base >= 0) == base
            assert one["account"] == (21 if base >= 0 else 22)
        tax += _decimal(one["amount"])
    assert not bases
    figures = {"untaxed_amount": net, "tax_amount": tax, "total_amount": net + tax}
    return {name: {"__class__": "Decimal", "decimal": str(one)} for name, one in figures.items()}


def _decimal(value: dict[str, str]) -> Decimal:
    return Decimal(value["decimal"])


def _ok(value: Any) -> Response:
    return Response(200, {}, msgspec.json.encode(value))
