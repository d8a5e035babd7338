"""What a WooCommerce order means (REST API v3, which its webhooks carry).

An order is rendered when its message is delivered: it is the state then, whatever the topic says,
and cancelled, refunded or failed are states of it and no topics. Totals of lines are net, with
their taxes beside them, whatever the shop shows.
"""

from __future__ import annotations

import html
from typing import Any

from amends.core.facts import Addressed, Fact, OrderCancelled, OrderReported, RefundMade
from amends.gateways import shop_orders as shops
from amends.gateways.codecs import Json, Malformed, part, required_text, text
from amends.gateways.spec import Settings
from amends.kernel.currency import known
from amends.kernel.money import allocate

# Nobody has paid yet, or will; an order in one of these that names a payment is read all the same.
_UNPAID = ("pending", "checkout-draft", "auto-draft", "draft", "trash", "failed", "on-hold")
_DONE = ("completed",)
_UTC = "Z"  # of times whose name ends in _gmt, which say no zone


def order_facts(body: Json, settings: Settings) -> tuple[Addressed, ...]:
    """An order as it is now, its cancellation, and the refunds made of it so far. One that nobody
    paid yet, or that none of our connections was paid for, is left out."""
    name = shops.required_id(body, "id", "id")
    facts: list[Fact] = []
    if "line_items" in body:
        order = _order(body, name, settings)
        if order is None:
            return ()
        facts.append(OrderReported(order=shops.taken_over(order)))
    if refunds := shops.objects(body, "refunds"):
        currency = _currency(body)
        facts += [_refund_made(refund, currency) for refund in refunds]
    if text(body, "status") == "cancelled":
        facts.append(OrderCancelled())
    return tuple(Addressed(fact, source=(settings.name, name)) for fact in facts)


def _currency(body: Json) -> str:
    currency = text(body, "currency")
    if not known(currency):
        raise Malformed(f"currency is missing or unknown: {currency[:10]!r}")
    return currency


def _refund_made(refund: Json, currency: str) -> RefundMade:
    """A refund as its order lists it: how much, and no lines. Its total is negative."""
    return RefundMade(
        refund=shops.required_id(refund, "id", "refunds.id"),
        amount=abs(shops.minor(refund.get("total"), currency, "refunds.total")),
        currency=currency,
        mark=shops.marked(text(refund, "reason")),
    )


# -- the order ---------------------------------------------------------------------------------


def _order(body: Json, name: str, settings: Settings) -> Json | None:
    currency = _currency(body)
    total = shops.minor(body.get("total"), currency, "total")
    tenders = _tenders(body, total, settings)
    if not tenders:
        return None
    rates = _rates(body)
    lines = [_line(item, body, currency, rates) for item in shops.objects(body, "line_items")]
    shipping = [
        _item(item, currency, rates, "method_title")
        for item in shops.objects(body, "shipping_lines")
    ]
    for fee in shops.objects(body, "fee_lines"):
        if not _not_negative(fee, currency):
            _less_tax([*lines, *shipping], _taxes(fee, currency, rates, -1))
    order: Json = {
        "source": {"connection": settings.name, "order_id": name},
        "currency": currency,
        "version": _version(body),
        "placed_at": shops.said_at(text(body, "date_created_gmt"), _UTC),
        "prices_include_tax": False,
        "customer": _customer(body, name),
        "lines": lines,
        "shipping": shipping,
        "charges": [
            {**_bare(_item(item, currency, rates, "name")), "kind": "other"}
            for item in shops.objects(body, "fee_lines")
            if _not_negative(item, currency)
        ],
        "tenders": tenders,
    }
    return shops.balanced(order, total)


def _version(body: Json) -> int:
    """Its last change, in microseconds, which WooCommerce tells in whole seconds: of two messages
    of one second the one with more refunds, or with its end, is the later."""
    at = shops.moment(required_text(body, "date_modified_gmt"), _UTC)
    refunds = min(len(shops.objects(body, "refunds")), 900)
    ended = text(body, "status") in ("cancelled", "refunded")
    return max(1, at) + 2 * refunds + ended


def _tenders(body: Json, total: int, settings: Settings) -> list[Json]:
    """WooCommerce knows one payment of an order, by what its provider calls it."""
    name, psp_payment_id = text(body, "payment_method"), text(body, "transaction_id").strip()
    paid = bool(text(body, "date_paid_gmt") or text(body, "date_paid"))
    waits = text(body, "status") in _UNPAID and not psp_payment_id
    ours = bool(name) and bool(shops.connection_of(settings, name))
    if total <= 0 or not ours or (waits and not paid):
        return []
    return [shops.tender(settings, name, psp_payment_id[:255], total, total if paid else 0)]


def _rates(body: Json) -> dict[str, tuple[str, str]]:
    """The name of each tax rate of the order, and the rate as everywhere here ("0.19")."""
    return {
        shops.shop_id(tax, "rate_id"): (
            (shops.title(tax, "label") or shops.title(tax, "rate_code"))[:255],
            shops.fraction(tax.get("rate_percent")),
        )
        for tax in shops.objects(body, "tax_lines")
    }


def _line(item: Json, body: Json, currency: str, rates: dict[str, tuple[str, str]]) -> Json:
    quantity = shops.count(item, "quantity")
    if not quantity:
        raise Malformed("line_items.quantity is missing")
    return {
        **_item(item, currency, rates, "name"),
        "quantity": quantity,
        "sku": shops.title(item, "sku"),
        "fulfilled": quantity if text(body, "status") in _DONE else 0,
    }


def _item(item: Json, currency: str, rates: dict[str, tuple[str, str]], name: str) -> Json:
    """A line, a shipping charge or a fee: net, with its taxes, and what coupons took off."""
    total = shops.rounded(item.get("total"), currency, "total")
    said = item.get("subtotal")
    subtotal = total if said is None else max(total, shops.rounded(said, currency, "subtotal"))
    off = subtotal - total
    return {
        "id": shops.required_id(item, "id", "the id of a line"),
        "total": total,
        "subtotal": subtotal,
        "discounts": [{"amount": off, "title": "Coupons"}] if off else [],
        "title": html.unescape(shops.title(item, name)),
        "taxes": _taxes(item, currency, rates),
    }


def _bare(item: Json) -> Json:
    return {key: item[key] for key in ("id", "total", "title", "taxes")}


def _not_negative(fee: Json, currency: str) -> bool:
    """A fee below nothing is a discount in disguise: it goes off lines and shipping, as what these
    come to more than the total."""
    return shops.rounded(fee.get("total"), currency, "fee_lines.total") >= 0


def _less_tax(items: list[Json], off: list[Json]) -> None:
    """Takes taxes off those of the same name and rate, or else off all, in proportion: a discount
    lowers the tax that was charged, and no more of it is given back."""
    for less in off:
        charged = [tax for item in items for tax in item["taxes"]]
        alike = [tax for tax in charged if {**tax, "amount": 0} == {**less, "amount": 0}] or charged
        room = [tax["amount"] for tax in alike]
        if any(room):
            parts = allocate(min(less["amount"], sum(room)), room)
            for tax, part in zip(alike, parts, strict=True):
                tax["amount"] -= part
    for item in items:
        item["taxes"] = [tax for tax in item["taxes"] if tax["amount"]]


def _taxes(
    item: Json, currency: str, rates: dict[str, tuple[str, str]], sign: int = 1
) -> list[Json]:
    """The tax of an item by rate. `total_tax` is what counts; what its rates come to, which is kept
    finer than money can be, only splits it. `sign` -1: of what is below nothing."""
    whole = max(0, sign * _tax(item.get("total_tax"), currency))
    by_rate = [
        (shops.shop_id(tax, "id"), max(0, sign * _tax(tax.get("total"), currency)))
        for tax in shops.objects(item, "taxes")[:20]
    ]
    if not whole:
        return []
    if not any(amount for _, amount in by_rate):
        return [{"name": "Tax", "amount": whole}]
    split = allocate(whole, [amount for _, amount in by_rate])
    return [
        {
            "name": rates.get(rate, ("", ""))[0] or "Tax",
            "amount": part,
            "rate": rates.get(rate, ("", ""))[1],
        }
        for (rate, _), part in zip(by_rate, split, strict=True)
        if part
    ]


def _tax(value: Any, currency: str) -> int:
    return 0 if value in (None, "") else shops.rounded(value, currency, "tax")


def _customer(body: Json, order: str) -> Json:
    """Who bought; a guest is known by the order alone."""
    billing = part(body, "billing")
    names = (text(billing, "first_name"), text(billing, "last_name"))
    address = part(body, "shipping")
    return {
        "id": shops.shop_id(body, "customer_id") or f"guest-{order}"[:255],
        "email": text(billing, "email")[:500],
        "name": " ".join(name for name in names if name)[:500],
        "country": (text(address, "country") or text(billing, "country"))[:2],
    }
