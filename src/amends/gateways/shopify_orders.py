"""What Shopify's messages about orders, refunds and returns mean.

An order is told whole each time, with its refunds; its payments are not in it, unless whoever sends
it adds them (`transactions`, as the Admin API lists them). Amounts are those the customer saw
(presentment). Source: shopify.dev, webhooks 2026-10 and the REST resources they are made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from amends.core.facts import (
    Addressed,
    CancelledLine,
    Fact,
    LinesCancelled,
    OrderCancelled,
    OrderReported,
    RefundedLine,
    RefundMade,
    ReturnAuthorized,
    ReturnCancelled,
)
from amends.core.requests import LinePick
from amends.gateways import shop_orders as shops
from amends.gateways.codecs import Json, Malformed, code_text, flag, part, required_text, text
from amends.gateways.spec import Settings
from amends.kernel.currency import known
from amends.kernel.money import share

_DONE = ("voided", "refunded")  # Shopify gave back, or released, all there was
_TAKEN = ("paid", "partially_refunded", "refunded")
_UNPAID = ("", "pending", "expired", "unpaid")
_WENT = ("success", "pending")  # of a transaction that did or will do what it says
_BACK = ("return", "legacy_restock")  # units that had left; a "cancel" never did
_NOT_SENT = ("cancelled", "error", "failure")  # of a fulfillment
_CREDITS = {"gift_card": "gift_card", "shopify_store_credit": "store_credit"}
_TRACKING = {
    "in_transit": "in_transit",
    "out_for_delivery": "in_transit",
    "attempted_delivery": "in_transit",
    "delivered": "delivered",
}


class _Coin(msgspec.Struct, frozen=True):
    """The customer's currency, and whether amounts without a currency beside them are in it too:
    they are the shop's."""

    code: str
    plain: bool


def order_facts(body: Json, settings: Settings) -> tuple[Addressed, ...]:
    """An order as it is now, what was cancelled of it, and the refunds made of it so far. One that
    nobody paid yet, or that none of our connections was paid for, is left out."""
    name = shops.required_id(body, "id", "id")
    facts: list[Fact] = []
    order = _order(body, name, settings) if "line_items" in body else None
    if order is not None:
        facts.append(OrderReported(order=shops.taken_over(order)))
    elif "line_items" in body:
        return ()
    facts += [_refund_made(refund, body, settings) for refund in shops.objects(body, "refunds")]
    over = text(body, "financial_status") in _DONE
    if text(body, "cancelled_at"):
        if not over:
            facts.append(OrderCancelled(shops.reason_of(text(body, "cancel_reason"))))
    elif lines := _cancelled(body):
        owed = _owed(body)
        more = _worth(lines, order) - (0 if owed is None else owed)
        if owed is None or owed > 0:  # else other goods are in their place, and paid by the same
            exchanged = owed is not None and more > sum(line.units for line in lines)
            facts.append(LinesCancelled(lines, exchanged=exchanged))
    return _about(name, settings, facts)


def _about(order: str, settings: Settings, facts: Iterable[Fact]) -> tuple[Addressed, ...]:
    return tuple(Addressed(fact, source=(settings.name, order)) for fact in facts)


# -- the order ---------------------------------------------------------------------------------


def _order(body: Json, name: str, settings: Settings) -> Json | None:
    coin = _coin(body)
    tenders = _tenders(body, coin, settings)
    if not tenders:
        return None
    order: Json = {
        "source": {"connection": settings.name, "order_id": name},
        "currency": coin.code,
        "version": _version(body),
        "placed_at": shops.said_at(text(body, "created_at")),
        "prices_include_tax": flag(body, "taxes_included") or False,
        "customer": _customer(body, name),
        "lines": [_line(line, body, coin) for line in shops.objects(body, "line_items")],
        "shipping": [
            _shipping(line, coin)
            for line in shops.objects(body, "shipping_lines")
            if not flag(line, "is_removed")
        ],
        "charges": _charges(body, coin),
        "tenders": tenders,
        "delivery": _delivery(body),
    }
    return shops.balanced(order, _total(body, coin))


def _version(body: Json) -> int:
    """Its last change, in microseconds, which Shopify may tell in whole seconds: of two messages of
    one second the one in which more has happened is the later."""
    happened = ("transactions", "fulfillments", "refunds")
    more = sum(len(shops.objects(body, key)) for key in happened)
    return max(1, shops.moment(required_text(body, "updated_at"))) + min(more, 999)


def _coin(body: Json) -> _Coin:
    """The customer's currency: theirs where Shopify says it, the shop's otherwise."""
    shop, seen = text(body, "currency"), text(body, "presentment_currency")
    currency = seen or shop
    if not known(currency):
        raise Malformed(f"currency is missing or unknown: {currency[:10]!r}")
    return _Coin(currency, currency == shop)


def _money(source: Json, key: str, coin: _Coin) -> Any:
    """The amount the customer saw, of `key_set` or, where there is only the plain one, of `key`.
    What is in another currency says nothing of ours."""
    seen = part(part(source, f"{key}_set"), "presentment_money")
    if seen:
        return seen.get("amount") if seen.get("currency_code") == coin.code else None
    return source.get(key) if coin.plain else None


def _amount(source: Json, key: str, coin: _Coin) -> int:
    """The same in minor units, 0 where it is not said."""
    value = _money(source, key, coin)
    return 0 if value is None else shops.rounded(value, coin.code, key)


def _total(body: Json, coin: _Coin) -> int:
    return shops.minor(_money(body, "total_price", coin), coin.code, "total_price")


def _line(line: Json, body: Json, coin: _Coin) -> Json:
    """One line; `total` is what all its units cost after every discount apportioned to it."""
    name = shops.required_id(line, "id", "line_items.id")
    quantity = shops.count(line, "quantity")
    if not quantity:
        raise Malformed(f"line_items {name}: quantity is missing")
    subtotal = quantity * _amount(line, "price", coin)
    off = min(subtotal, sum(_taken_off(line, coin)))
    return {
        "id": name,
        "quantity": quantity,
        "subtotal": subtotal,
        "total": subtotal - off,
        "discounts": [{"amount": off, "title": "Discounts"}] if off else [],
        "sku": shops.title(line, "sku"),
        "title": shops.title(line, "title"),
        "taxes": _taxes(line, coin),
        "fulfilled": min(quantity, _left_house(name, line, body)),
    }


def _taken_off(line: Json, coin: _Coin) -> list[int]:
    """What discounts took off a line, or off shipping."""
    return [_amount(item, "amount", coin) for item in shops.objects(line, "discount_allocations")]


def _left_house(name: str, line: Json, body: Json) -> int:
    """How many units of a line left: by the order's fulfillments, or where those are not in the
    message, what is neither gone nor still to be sent."""
    if not isinstance(body.get("fulfillments"), list):
        kept, to_send = (
            shops.count(line, f"{what}_quantity") for what in ("current", "fulfillable")
        )
        return max(0, kept - to_send) if "fulfillable_quantity" in line else 0
    sent = [s for s in shops.objects(body, "fulfillments") if text(s, "status") not in _NOT_SENT]
    items = [item for parcel in sent for item in shops.objects(parcel, "line_items")]
    return sum(shops.count(item, "quantity") for item in items if shops.shop_id(item, "id") == name)


def _shipping(line: Json, coin: _Coin) -> Json:
    """A shipping charge after discounts."""
    subtotal = _amount(line, "price", coin)
    cheaper = _money(line, "discounted_price", coin)
    off = min(subtotal, sum(_taken_off(line, coin)))
    if cheaper is not None:
        off = max(0, subtotal - shops.rounded(cheaper, coin.code, "discounted_price"))
    return {
        "id": shops.required_id(line, "id", "shipping_lines.id"),
        "subtotal": subtotal,
        "total": subtotal - off,
        "discounts": [{"amount": off, "title": "Discounts"}] if off else [],
        "title": shops.title(line, "title"),
        "taxes": _taxes(line, coin),
    }


def _taxes(source: Json, coin: _Coin) -> list[Json]:
    return [
        {
            "name": shops.title(tax, "title")[:255] or "Tax",
            "amount": _amount(tax, "price", coin),
            "rate": str(tax.get("rate", ""))[:40],
        }
        for tax in shops.objects(source, "tax_lines")[:20]
    ]


def _charges(body: Json, coin: _Coin) -> list[Json]:
    """Duties, fees and a tip: what is paid for beside lines and shipping. Their taxes are in the
    totals that Shopify tells of them."""
    found = (
        ("duties", "duties", _amount(body, "original_total_duties", coin)),
        ("fees", "other", _amount(body, "original_total_additional_fees", coin)),
        ("tip", "tip", _amount(body, "total_tip_received", coin)),
    )
    return [
        {"id": name, "kind": kind, "total": amount, "taxes": []}
        for name, kind, amount in found
        if amount > 0
    ]


def _customer(body: Json, order: str) -> Json:
    """Who bought; a guest is known by the order alone."""
    customer = part(body, "customer")
    address = part(body, "shipping_address") or part(body, "billing_address")
    names = (text(customer, "first_name"), text(customer, "last_name"))
    return {
        "id": shops.shop_id(customer, "id") or f"guest-{order}"[:255],
        "email": (text(customer, "email") or text(body, "email"))[:500],
        "name": " ".join(name for name in names if name)[:500],
        "country": text(address, "country_code")[:2],
        "since": shops.said_at(text(customer, "created_at")),
    }


def _delivery(body: Json) -> Json | None:
    """How far the newest parcel is."""
    for sent in reversed(shops.objects(body, "fulfillments")):
        tracking = _TRACKING.get(text(sent, "shipment_status"))
        if tracking == "delivered":
            at = shops.said_at(text(sent, "updated_at"))
            return {"delivered_at": at, "tracking": "delivered"}
        if tracking:
            return {"tracking": tracking}
    return None


# -- how it was paid ---------------------------------------------------------------------------


def names_no_payment(body: Json, settings: Settings) -> bool:
    """Whether an order was paid by ways that are ours, and its message does not say by which
    payments."""
    if isinstance(body.get("transactions"), list) or "line_items" not in body:
        return False
    return text(body, "financial_status") not in _UNPAID and bool(_ways(body, settings))


def _ways(body: Json, settings: Settings) -> list[str]:
    """By Shopify's names."""
    told = body.get("payment_gateway_names")
    names = [n for n in told if isinstance(n, str)] if isinstance(told, list) else []
    return [name for name in names if _ours(settings, name)]


def _tenders(body: Json, coin: _Coin, settings: Settings) -> list[Json]:
    """The ways an order was paid that are ours; none if nobody paid it yet."""
    if isinstance(body.get("transactions"), list):
        return _by_transactions(shops.objects(body, "transactions"), coin.code, settings)
    if not names_no_payment(body, settings):
        return []
    # Which payment it was is not in the message: it stays unnamed, and the order says so.
    names = _ways(body, settings)
    name = next((n for n in names if n not in _CREDITS), names[0])
    total = _total(body, coin)
    captured = total if text(body, "financial_status") in _TAKEN else 0
    return [shops.tender(settings, _CREDITS.get(name, name), "", total, captured)]


def _ours(settings: Settings, name: str) -> bool:
    return bool(shops.connection_of(settings, name))


def _by_transactions(found: list[Json], currency: str, settings: Settings) -> list[Json]:
    """One tender for each payment: a sale, or an authorization with what was captured of it."""
    went = [item for item in found if text(item, "status") == "success"]
    tenders: list[Json] = []
    for item in went:
        kind, name = text(item, "kind"), text(item, "gateway")
        if kind not in ("sale", "authorization") or not _ours(settings, name):
            continue
        amount = _paid(item, currency)
        if kind == "sale":
            tenders.append(_tender(item, name, amount, amount, settings))
            continue
        captures = [c for c in went if _is_of(c, item) and text(c, "kind") == "capture"]
        taken = sum(_paid(capture, currency) for capture in captures)
        tenders.append(_tender(item, name, max(amount, taken), taken, settings))
    return tenders


def _is_of(item: Json, parent: Json) -> bool:
    return shops.shop_id(item, "parent_id") == shops.shop_id(parent, "id") != ""


def _paid(item: Json, currency: str) -> int:
    seen, said = part(part(item, "amount_set"), "presentment_money"), _coin_of(item)
    if said != currency:
        raise Malformed(f"a transaction is in {said[:10]!r}, the order in {currency}")
    return shops.minor(seen.get("amount") or item.get("amount"), currency, "transactions.amount")


def _coin_of(item: Json) -> str:
    seen = part(part(item, "amount_set"), "presentment_money")
    return text(seen, "currency_code") or text(item, "currency")


def _tender(item: Json, name: str, amount: int, captured: int, settings: Settings) -> Json:
    """Named by what the provider calls it (`authorization`), a gift card by its id."""
    receipt = part(item, "receipt")
    if name in _CREDITS:
        reference = shops.shop_id(receipt, "gift_card_id") or shops.shop_id(item, "id")
        return shops.tender(settings, _CREDITS[name], reference, amount, captured)
    return shops.tender(settings, name, shops.shop_id(item, "authorization"), amount, captured)


# -- refunds -----------------------------------------------------------------------------------


def refund_facts(body: Json, settings: Settings) -> tuple[Addressed, ...]:
    """A refund, or goods taken back without one: Shopify has done it already."""
    order = shops.required_id(body, "order_id", "order_id")
    return _about(order, settings, (_refund_made(body, {}, settings),))


def _refund_made(refund: Json, order: Json, settings: Settings) -> RefundMade:
    """What went back by ways that are ours. `order` tells whether prices hold their tax; without it
    the parts say no amounts."""
    name = shops.required_id(refund, "id", "refunds.id")
    went = [
        item
        for item in _transactions(refund)
        if text(item, "kind") == "refund" and _moved(item)
        if not text(item, "gateway") or _ours(settings, text(item, "gateway"))
    ]
    currency = _refund_currency(refund, went, order)
    included = flag(order, "taxes_included")
    names = {code_text(item, "authorization") for item in went}
    return RefundMade(
        refund=name,
        amount=sum(_paid(item, currency) for item in went),
        currency=currency,
        mark=shops.marked(text(refund, "note")),
        psp_refund_id=names.pop() if len(names) == 1 else "",
        lines=tuple(_refunded(refund, _Coin(currency, False), included)),
    )


def _refund_currency(refund: Json, went: list[Json], order: Json) -> str:
    """That of the money; of goods alone, that of the order or of the parts."""
    sets = [part(item, "subtotal_set") for item in shops.objects(refund, "refund_line_items")]
    sets += [part(refund, "total_duties_set")]
    seen = [part(found, "presentment_money") for found in sets]
    money = [part(part(item, "amount_set"), "presentment_money") for item in went]
    told = (
        *(text(found, "currency_code") for found in money),
        *(text(item, "currency") for item in went),
        *(text(order, key) for key in ("presentment_currency", "currency")),
        *(text(found, "currency_code") for found in seen),
    )
    return next((currency for currency in told if known(currency)), "")


def _refunded(refund: Json, coin: _Coin, included: bool | None) -> Iterable[RefundedLine]:
    ours = bool(shops.marked(text(refund, "note")))  # booked already by who told Shopify
    for item in shops.objects(refund, "refund_line_items"):
        units = shops.count(item, "quantity")
        back = units if text(item, "restock_type") in _BACK and not ours else 0
        name = shops.required_id(item, "line_item_id", "refund_line_items.line_item_id")
        net = _money(item, "subtotal", coin)
        tax = _amount(item, "total_tax", coin)
        gross = -1
        if net is not None and (included is not None or not tax):
            gross = shops.rounded(net, coin.code, "subtotal") + (0 if included else tax)
        yield RefundedLine(name, units, gross, back)
    for item in shops.objects(refund, "refund_shipping_lines"):
        name = shops.shop_id(part(item, "shipping_line"), "id")
        if name:
            yield RefundedLine(name, 0)


def _cancelled(body: Json) -> tuple[CancelledLine, ...]:
    """Units that were taken out of the order and not paid back yet, counted over its whole life:
    edited away, or cancelled without a transaction. What Shopify refunded, what came back as a
    return, and what we told it ourselves is none of them."""
    settled: dict[str, int] = {}
    for refund in shops.objects(body, "refunds"):
        done = bool(shops.marked(text(refund, "note"))) or any(map(_moved, _transactions(refund)))
        for item in shops.objects(refund, "refund_line_items"):
            if done or text(item, "restock_type") == "return":
                name = shops.shop_id(item, "line_item_id")
                settled[name] = settled.get(name, 0) + shops.count(item, "quantity")
    found = []
    for line in shops.objects(body, "line_items"):
        name = shops.shop_id(line, "id")
        gone = shops.count(line, "quantity") - shops.count(line, "current_quantity")
        units = gone - settled.get(name, 0)
        if name and units > 0 and "current_quantity" in line:
            found.append(CancelledLine(name, units))
    return tuple(found)


def _owed(body: Json) -> int | None:
    """What the customer paid, or promised, beyond what the order comes to after its edits and what
    Shopify gave back; None where the message does not say. What we gave back is for these units."""
    coin = _coin(body)
    now = _money(body, "current_total_price", coin)
    if now is None or not isinstance(body.get("transactions"), list):
        return None
    went = [i for i in shops.objects(body, "transactions") if text(i, "status") == "success"]
    theirs = [r for r in shops.objects(body, "refunds") if not shops.marked(text(r, "note"))]
    given = [
        item
        for refund in theirs
        for item in _transactions(refund)
        if text(item, "kind") == "refund" and _moved(item)
    ]
    if any(_coin_of(item) != coin.code for item in (*went, *given)):
        return None
    taken = sum(_paid(item, coin.code) for item in went if text(item, "kind") == "sale")
    for item in (one for one in went if text(one, "kind") == "authorization"):
        captures = [c for c in went if _is_of(c, item) and text(c, "kind") == "capture"]
        captured = sum(_paid(capture, coin.code) for capture in captures)
        taken += max(_paid(item, coin.code), captured)
    back = sum(_paid(item, coin.code) for item in given)
    return taken - back - shops.rounded(now, coin.code, "current_total_price")


def _worth(cancelled: Iterable[CancelledLine], order: Json | None) -> int:
    """What these units cost, tax included, within one for each line."""
    lines = {line["id"]: line for line in (order or {"lines": []})["lines"]}
    included = order is None or order["prices_include_tax"]
    worth = 0
    for one in cancelled:
        if line := lines.get(one.id):
            tax = 0 if included else sum(tax["amount"] for tax in line["taxes"])
            worth += share(line["total"] + tax, one.units, line["quantity"])
    return worth


def _transactions(refund: Json) -> list[Json]:
    return shops.objects(refund, "transactions")


def _moved(item: Json) -> bool:
    """Whether a transaction gave money back, or released it."""
    return text(item, "kind") in ("refund", "void") and text(item, "status") in _WENT


# -- returns -----------------------------------------------------------------------------------


def return_facts(body: Json, settings: Settings) -> tuple[Addressed, ...]:
    """A return that was approved or opened again, cancelled, or closed: after that nothing more of
    it comes. A request alone authorizes nothing."""
    order = shops.shop_id(part(body, "order"), "id") or shops.shop_id(body, "order_id")
    if not order:
        raise Malformed("order.id is missing or no id")
    name = shops.required_id(body, "id", "id")
    status = text(body, "status").upper()
    if status == "OPEN":
        lines = tuple(_returned(body))
        return _about(order, settings, (ReturnAuthorized(name, lines),) if lines else ())
    over = status in ("CANCELED", "CANCELLED", "CLOSED")
    return _about(order, settings, (ReturnCancelled(name),) if over else ())


def _returned(body: Json) -> Iterable[LinePick]:
    units: dict[str, int] = {}
    for item in shops.objects(body, "return_line_items"):
        line = shops.shop_id(part(part(item, "fulfillment_line_item"), "line_item"), "id")
        if line and shops.count(item, "quantity"):
            units[line] = units.get(line, 0) + shops.count(item, "quantity")
    return (LinePick(line, quantity) for line, quantity in units.items())
