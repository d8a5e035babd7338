"""Goods that came back, in Tryton: customer return shipments, received and done.

One shipment for each place goods go to, since all of a shipment is put away in one; what is written
off goes from the input zone straight to a waste location, so that it is never on hand for a moment.
"""

from __future__ import annotations

from collections.abc import Generator

from amends.core.outlets import Goods, GoodsReturned
from amends.gateways.codecs import Json, text
from amends.gateways.spec import Failure, Request, Response
from amends.gateways.tryton_notes import Sold, sale
from amends.gateways.tryton_rest import (
    Asks,
    Does,
    Erp,
    Lists,
    create,
    decimal,
    declined,
    delete,
    find,
    get,
    link,
    number,
    one,
    press,
    record_id,
    rows,
    through,
    write,
)
from amends.kernel.outcome import Accepted, Outcome

SHIPMENT = "stock.shipment.out.return"

_WAREHOUSE = ("input_location.id", "storage_location.id", "waste_locations.id")
_PLACE = ("type", "code")


def tell_goods_returned(
    erp: Erp, told: GoodsReturned
) -> Generator[Request, Response | Failure, Outcome]:
    """The return shipments, done."""
    groups: dict[tuple[str, str], list[Goods]] = {}
    for goods in told.lines:
        if goods.units:
            groups.setdefault((goods.disposition, goods.location), []).append(goods)
    numbers = []
    for at, (_, group) in enumerate(sorted(groups.items())):
        key = told.key if not at else f"{told.key}/{at + 1}"
        numbers.append((yield from _returned(erp, told, key, group)))
    return Accepted(reference=", ".join(numbers))


def _returned(
    erp: Erp, told: GoodsReturned, key: str, goods: list[Goods]
) -> Generator[Request, Response | Failure, str]:
    """One shipment: found and finished, or made. Gives its number."""
    marked = [["reference", "=", key], ["company", "=", erp.of.id], ["state", "!=", "cancelled"]]
    found = yield from find(erp, SHIPMENT, marked, "state", "number", "warehouse.id")
    house = yield from warehouse(erp)
    place = yield from _place(erp, goods[0], house)
    if not found:
        values = yield from _shipment(erp, told, goods, house, place)
        made = yield from create(erp, SHIPMENT, {**values, "reference": key})
        found = [(yield from get(erp, SHIPMENT, record_id(made), "state", "number"))]
    kept = next((its for its in found if text(its, "state") != "draft"), found[0])
    for other in found:
        if other is not kept and text(other, "state") == "draft":
            yield from press(erp, SHIPMENT, record_id(other), "cancel")
            yield from delete(erp, SHIPMENT, record_id(other))
    state = text(kept, "state")
    if state == "draft":
        state = text(
            (yield from press(erp, SHIPMENT, record_id(kept), "receive", "state")), "state"
        )
    if state == "received":
        if text(place, "type") == "lost_found":
            yield from _to_waste(erp, record_id(kept), record_id(place))
        yield from press(erp, SHIPMENT, record_id(kept), "do")
    return text(kept, "number")


def warehouse(erp: Erp) -> Asks:
    """The warehouse goods come back to: the one that is named, or the only one. Raises Stopped."""
    said = erp.setting("warehouse")
    domain: list[object] = [["type", "=", "warehouse"]]
    if said:
        domain.append(["OR", ["code", "=", said], ["name", "=", said]])
    missing = f"Tryton has no warehouse {said!r}." if said else "Set `warehouse`: which is it?"
    return (yield from one(erp, "stock.location", domain, *_WAREHOUSE, missing=missing))


def _place(erp: Erp, goods: Goods, house: Json) -> Asks:
    """Where goods go: where somebody said, where the settings say, or the default."""
    said = goods.location or erp.named("locations", goods.disposition)
    if said:
        domain = ["OR", ["code", "=", said], ["name", "=", said]]
        missing = f"Tryton has no location {said!r}, by code or name."
        return (yield from one(erp, "stock.location", domain, *_PLACE, missing=missing))
    known = 0
    if goods.disposition == "restock":
        known = link(house, "storage_location")
    elif goods.disposition == "write_off":
        known = next((record_id(its) for its in rows(house, "waste_locations")), 0)
    if not known:
        name = goods.disposition
        raise declined(
            "location", f'Where does {name} go? Say it as locations = {{ {name} = "code" }}.'
        )
    return (yield from get(erp, "stock.location", known, *_PLACE))


def _shipment(erp: Erp, told: GoodsReturned, goods: list[Goods], house: Json, place: Json) -> Asks:
    """The fields of a shipment whose goods go to one place."""
    sold = yield from sale(erp, told.shop_order)
    customer = yield from get(erp, "party.party", sold.party, "customer_location.id")
    waste = text(place, "type") == "lost_found"
    moves = []
    for group in goods:
        move = yield from _move(erp, told, group, sold)
        move["from_location"] = link(customer, "customer_location")
        move["to_location"] = link(house, "input_location")
        moves.append(move)
    values: Json = {
        "company": erp.of.id,
        "customer": sold.party,
        "warehouse": record_id(house),
        "warehouse_input": link(house, "input_location"),
        "warehouse_storage": link(house, "storage_location") if waste else record_id(place),
        "moves": [["create", moves]],
    }
    if sold.address:
        values["contact_address"] = sold.address
    return values


def _move(erp: Erp, told: GoodsReturned, goods: Goods, sold: Sold) -> Asks:
    """Units that come in, of what went out for the sale where that is known: Tryton values them as
    it valued those."""
    code = erp.named("products", goods.sku) or goods.sku
    missing = f'Tryton has no product {code!r}: products = {{ sku = "code" }} says it.'
    product = yield from one(
        erp, "product.product", [["code", "=", code]], "default_uom.id", missing=missing
    )
    sent = yield from _sent(erp, told.shop_order, record_id(product))
    unit = link(sent, "unit") or link(product, "default_uom")
    price = number(sent, "unit_price")
    values: Json = {
        "company": erp.of.id,
        "product": record_id(product),
        "quantity": goods.units,
        "unit": unit,
        "unit_price": decimal(str(price)),
        "currency": link(sent, "currency") or erp.of.currency_id,
    }
    if sent:
        values["origin"] = f"stock.move,{record_id(sent)}"
    return values


def _sent(erp: Erp, shop_order: str, product: int) -> Asks:
    """What was sent of a product for an order; empty if Tryton does not know."""
    if not shop_order:
        return {}
    domain = [
        ["origin.sale.reference", "=", shop_order, "sale.line"],
        ["company", "=", erp.of.id],
        ["product", "=", product],
        ["state", "=", "done"],
        ["to_location.type", "=", "customer"],
    ]
    fields = ("unit.id", "unit_price", "currency.id")
    found = yield from find(erp, "stock.move", domain, *fields, limit=1)
    return found[0] if found else {}


def _to_waste(erp: Erp, shipment: int, place: int) -> Does:
    """What waits in the input zone goes to waste instead of into storage."""
    for move in (yield from _waiting(erp, shipment)):
        if link(move, "to_location") != place:
            yield from write(erp, "stock.move", record_id(move), {"to_location": place})


def _waiting(erp: Erp, shipment: int) -> Lists:
    domain = [["shipment", "=", f"{SHIPMENT},{shipment}"], ["state", "=", "draft"]]
    found = yield from find(erp, "stock.move", domain, "to_location.id", "from_location.type")
    return [move for move in found if text(through(move, "from_location"), "type") != "customer"]
