"""What Shopify says by webhook and what it means, case by case."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

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
from amends.core.requests import (
    ChargeIn,
    CustomerIn,
    DeliveryIn,
    DiscountIn,
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    ShippingIn,
    TaxIn,
    TenderIn,
    TotalsIn,
)
from amends.gateways import shopify
from amends.gateways.spec import Settings
from tests.gateways.table import Heard, Table, dumps, judge

SETTINGS = Settings(
    name="shop-1",
    gateway="shopify",
    values={"shop": "example.myshopify.com", "access_token": "shpat_secret", "location": "77"},
    tables={"payments": {"stripe": "stripe-eu", "cash": ""}, "locations": {"berlin": "88"}},
)
ORDER_ID = 820982911946154508  # more than 2^53
SHOP = ("shop-1", str(ORDER_ID))
LINE, OTHER = 487817672276298554, 487817672276298555
UPDATED = 1_790_000_000_123_000  # and so many transactions, refunds and parcels


def sign(raw: bytes, secret: str, seconds: int) -> dict[str, str]:
    """The one header that proves anything."""
    mac = hmac.new(secret.encode(), raw, hashlib.sha256).digest()
    return {"x-shopify-hmac-sha256": base64.b64encode(mac).decode()}


def named(event: str) -> dict[str, str]:
    return {
        "x-shopify-topic": event,
        "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "x-shopify-triggered-at": "2026-09-21T14:13:20.000000000Z",
    }


def money(amount: str, currency: str = "EUR", shop: str = "") -> dict[str, Any]:
    """A sum as Shopify tells it; `shop` is what it is in the shop's own currency, USD."""
    own = {"amount": shop or amount, "currency_code": "USD" if shop else currency}
    return {"shop_money": own, "presentment_money": {"amount": amount, "currency_code": currency}}


def order(**changes: Any) -> dict[str, Any]:
    """Two teas at 12.50, tax inside, and a cup, sent for 4.90; paid by one card."""
    return {
        "id": ORDER_ID,
        "admin_graphql_api_id": f"gid://shopify/Order/{ORDER_ID}",
        "created_at": "2026-09-20T09:00:00-04:00",
        "updated_at": "2026-09-21T10:13:20.123-04:00",
        "cancelled_at": None,
        "cancel_reason": None,
        "currency": "EUR",
        "presentment_currency": "EUR",
        "taxes_included": True,
        "financial_status": "paid",
        "email": "jo@example.com",
        "customer": {
            "id": 7,
            "first_name": "Jo",
            "last_name": "Doe",
            "email": "jo@example.com",
            "created_at": "2020-01-02T03:04:05Z",
        },
        "shipping_address": {"country_code": "DE"},
        "total_price": "38.90",
        "total_price_set": money("38.90"),
        "payment_gateway_names": ["stripe"],
        "line_items": [
            {
                "id": LINE,
                "sku": "TEA",
                "title": "Tea",
                "quantity": 2,
                "current_quantity": 2,
                "fulfillable_quantity": 1,
                "price": "12.50",
                "price_set": money("12.50"),
                "tax_lines": [{"title": "VAT", "price_set": money("3.99"), "rate": 0.19}],
                "discount_allocations": [],
            },
            {
                "id": OTHER,
                "sku": "CUP",
                "title": "Cup",
                "quantity": 1,
                "current_quantity": 1,
                "fulfillable_quantity": 1,
                "price_set": money("10.00"),
                "tax_lines": [],
                "discount_allocations": [{"amount_set": money("1.00")}],
            },
        ],
        "shipping_lines": [
            {"id": 5, "title": "Post", "price_set": money("4.90"), "tax_lines": []},
            {"id": 6, "title": "Gone", "price_set": money("9.90"), "is_removed": True},
        ],
        "refunds": [],
        "transactions": [transaction()],
        **changes,
    }


def transaction(**changes: Any) -> dict[str, Any]:
    return {
        "id": 11,
        "kind": "sale",
        "status": "success",
        "gateway": "stripe",
        "amount": "38.90",
        "currency": "EUR",
        "authorization": "ch_1",
        **changes,
    }


OURS = OrderIn(
    source=OrderKey(*SHOP),
    currency="EUR",
    version=UPDATED + 1,
    placed_at="2026-09-20T13:00:00.000000Z",
    customer=CustomerIn("7", "jo@example.com", "Jo Doe", "DE", "2020-01-02T03:04:05.000000Z"),
    lines=(
        LineIn(
            *(str(LINE), 2, 2500, "TEA", "Tea"),
            taxes=(TaxIn("VAT", 399, "0.19"),),
            fulfilled=1,
            subtotal=2500,
        ),
        LineIn(
            *(str(OTHER), 1, 900, "CUP", "Cup"),
            subtotal=1000,
            discounts=(DiscountIn(100, title="Discounts"),),
        ),
    ),
    shipping=(ShippingIn("5", 490, "Post", subtotal=490),),
    tenders=(TenderIn(3890, connection="stripe-eu", psp_payment_id="ch_1", captured=3890),),
    totals=TotalsIn(total=3890),
)


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "id": 890088186047892319,
        "admin_graphql_api_id": "gid://shopify/Refund/890088186047892319",
        "order_id": ORDER_ID,
        "note": "Things were damaged",
        "refund_line_items": [refunded()],
        "transactions": [
            transaction(id=12, kind="refund", amount="12.50", authorization="re_1", parent_id=11)
        ],
        **changes,
    }


def refunded(**changes: Any) -> dict[str, Any]:
    return {
        "line_item_id": LINE,
        "quantity": 1,
        "restock_type": "no_restock",
        "subtotal": 12.5,
        "subtotal_set": money("12.50"),
        "total_tax_set": money("1.99"),
        **changes,
    }


def a_return(status: str) -> dict[str, Any]:
    item = {"quantity": 1, "fulfillment_line_item": {"line_item": {"id": LINE}}}
    return {
        "id": 123456789,
        "admin_graphql_api_id": "gid://shopify/Return/123456789",
        "order": {"id": ORDER_ID},
        "return_line_items": [item, item],
        "status": status,
    }


def about(*facts: Fact) -> tuple[Addressed, ...]:
    return tuple(Addressed(fact, source=SHOP) for fact in facts)


def _heard(name: str, event: str, body: Any, *facts: Fact) -> Heard:
    return Heard(name, body, about(*facts), event)


def _made(**changes: Any) -> RefundMade:
    said = {"amount": 1250, "psp_refund_id": "re_1", "lines": (RefundedLine(str(LINE), 1),)}
    return RefundMade("890088186047892319", currency="EUR", **{**said, **changes})


CANCELLED = {"cancelled_at": "2026-09-21T12:00:00-04:00", "cancel_reason": "inventory"}
FEWER = [
    {**order()["line_items"][0], "current_quantity": 1, "fulfillable_quantity": 0},
    order()["line_items"][1],
]
OURS_FEWER = (
    LineIn(
        *(str(LINE), 2, 2500, "TEA", "Tea"),
        taxes=(TaxIn("VAT", 399, "0.19"),),
        fulfilled=1,
        subtotal=2500,
    ),
    OURS.lines[1],
)


NEW = {
    "id": 3,
    "sku": "JAM",
    "title": "Jam",
    "quantity": 1,
    "current_quantity": 1,
    "fulfillable_quantity": 1,
    "price_set": money("12.50"),
    "tax_lines": [],
}
DIFFERENCE: dict[str, Any] = {
    "refund_line_items": [],
    "transactions": [transaction(id=12, kind="refund", amount="3.90", authorization="re_1")],
}
OURS_NEW = LineIn("3", 1, 1250, "JAM", "Jam", subtotal=1250)


def _swapped(**changes: Any) -> dict[str, Any]:
    """A tea taken out, a jam put in."""
    total = {"total_price": "51.40", "total_price_set": money("51.40")}
    return order(line_items=[*FEWER, NEW], **total, **changes)


def _with(happened: int = 1, **changes: Any) -> OrderReported:
    """Ours with these changes, so many things having happened to it."""
    changes["version"] = UPDATED + happened
    fields = {name: getattr(OURS, name) for name in OURS.__struct_fields__}
    return OrderReported(OrderIn(**{**fields, **changes}))


HEARING = Table(
    gateway=shopify,
    settings=SETTINGS,
    secret="hush",
    other_secret="hush hush",
    sign=sign,
    named=named,
    ages=False,
    timed=False,
    vectors=("shopify.json",),
    payloads=("shopify.json",),
    verify=shopify.verify,
    judge=lambda vectors, case: judge(shopify.verify, case, case["secrets"]),
    moves=("orders/", "refunds/", "returns/approve", "returns/close", "returns/reopen"),
    type_of=lambda body: "none",
    heard=(
        _heard("an order", "orders/create", order(), OrderReported(OURS)),
        _heard(
            "an order whose payment is not in the message: it is refused with a sentence",
            "orders/create",
            order(transactions=None),
            _with(0, tenders=(TenderIn(3890, connection="stripe-eu", captured=3890),)),
        ),
        _heard(
            "authorized, captured in two parts",
            "orders/paid",
            order(
                transactions=[
                    transaction(kind="authorization"),
                    transaction(id=12, kind="capture", amount="30.00", parent_id=11),
                    transaction(id=13, kind="capture", amount="8.00", parent_id=11),
                    transaction(id=14, kind="capture", amount="0.90", status="failure"),
                ]
            ),
            _with(4, tenders=(TenderIn(3890, "payment", "stripe-eu", "ch_1", captured=3800),)),
        ),
        _heard(
            "a gift card, store credit and a card",
            "orders/create",
            order(
                transactions=[
                    transaction(amount="28.90"),
                    transaction(
                        id=12, gateway="gift_card", amount="6.00", receipt={"gift_card_id": 9}
                    ),
                    transaction(id=13, gateway="shopify_store_credit", amount="4.00"),
                ]
            ),
            _with(
                3,
                tenders=(
                    TenderIn(2890, "payment", "stripe-eu", "ch_1", captured=2890),
                    TenderIn(600, "gift_card", captured=600, reference="9"),
                    TenderIn(400, "store_credit", captured=400, reference="13"),
                ),
            ),
        ),
        _heard(
            "what the customer saw counts, not what it came to in the shop's currency",
            "orders/create",
            order(
                currency="USD",
                total_price="42.00",
                total_price_set=money("38.90", shop="42.00"),
                total_tip_received="1.00",
            ),
            OrderReported(OURS),
        ),
        _heard(
            "duties and a tip",
            "orders/create",
            order(
                total_price_set=money("45.90"),
                original_total_duties_set=money("5.00"),
                total_tip_received="2.00",
                transactions=[transaction(amount="45.90")],
            ),
            _with(
                charges=(ChargeIn("duties", "duties", 500), ChargeIn("tip", "tip", 200)),
                tenders=(TenderIn(4590, "payment", "stripe-eu", "ch_1", captured=4590),),
                totals=TotalsIn(total=4590),
            ),
        ),
        _heard(
            "parts that come to less than the total",
            "orders/create",
            order(total_price_set=money("38.91"), transactions=[transaction(amount="38.91")]),
            _with(
                charges=(ChargeIn("difference", "other", 1, "Difference to the order's total"),),
                tenders=(TenderIn(3891, "payment", "stripe-eu", "ch_1", captured=3891),),
                totals=TotalsIn(total=3891),
            ),
        ),
        _heard(
            "delivered",
            "orders/fulfilled",
            order(
                fulfillments=[
                    {
                        "status": "success",
                        "shipment_status": "delivered",
                        "updated_at": "2026-09-22T10:00:00Z",
                        "line_items": [{"id": LINE, "quantity": 1}],
                    },
                    {"status": "cancelled", "line_items": [{"id": OTHER, "quantity": 1}]},
                ]
            ),
            _with(3, delivery=DeliveryIn("2026-09-22T10:00:00.000000Z", "delivered")),
        ),
        _heard(
            "nobody paid yet",
            "orders/create",
            order(financial_status="pending", transactions=None),
        ),
        _heard(
            "paid by what is none of ours",
            "orders/create",
            order(transactions=[transaction(gateway="cash")]),
        ),
        _heard(
            "out of stock",
            "orders/cancelled",
            order(**CANCELLED),
            OrderReported(OURS),
            OrderCancelled("out_of_stock"),
        ),
        _heard(
            "cancelled, and Shopify released the money already",
            "orders/cancelled",
            order(**CANCELLED, financial_status="voided"),
            OrderReported(OURS),
        ),
        _heard(
            "a unit edited away",
            "orders/updated",
            order(line_items=FEWER),
            _with(lines=OURS_FEWER),
            LinesCancelled((CancelledLine(str(LINE), 1),)),
        ),
        _heard(
            "a unit edited away, and all of it owed",
            "orders/updated",
            order(line_items=FEWER, current_total_price="26.40"),
            _with(lines=OURS_FEWER),
            LinesCancelled((CancelledLine(str(LINE), 1),)),
        ),
        _heard(
            "a unit exchanged for a thing of its price: nothing is owed",
            "orders/updated",
            _swapped(current_total_price="38.90"),
            _with(lines=(*OURS_FEWER, OURS_NEW), totals=None),
        ),
        _heard(
            "a unit exchanged for a thing that is not paid yet: nothing is owed",
            "orders/updated",
            _swapped(current_total_price="51.40"),
            _with(lines=(*OURS_FEWER, OURS_NEW), totals=None),
        ),
        _heard(
            "a unit exchanged for a thing that costs less: a person says what is owed",
            "orders/updated",
            _swapped(current_total_price="35.00"),
            _with(lines=(*OURS_FEWER, OURS_NEW), totals=None),
            LinesCancelled((CancelledLine(str(LINE), 1),), exchanged=True),
        ),
        _heard(
            "exchanged, and Shopify gave the difference back",
            "orders/updated",
            _swapped(current_total_price="35.00", refunds=[refund(**DIFFERENCE)]),
            _with(2, lines=(*OURS_FEWER, OURS_NEW), totals=None),
            _made(amount=390, lines=()),
        ),
        _heard(
            "a unit edited away of an order that was also paid in another currency",
            "orders/updated",
            order(
                line_items=FEWER,
                current_total_price="38.90",
                transactions=[transaction(), transaction(gateway="cash", currency="USD")],
            ),
            _with(2, lines=OURS_FEWER),
            LinesCancelled((CancelledLine(str(LINE), 1),)),
        ),
        _heard(
            "a unit that Shopify refunded is made good already",
            "orders/updated",
            order(line_items=FEWER, refunds=[refund()]),
            _with(2, lines=OURS_FEWER),
            _made(lines=(RefundedLine(str(LINE), 1, 1250),)),
        ),
        _heard(
            "a unit that we told it of is ours",
            "orders/updated",
            order(line_items=FEWER, refunds=[refund(note="amends ret_1 (dlv_1)", transactions=[])]),
            _with(2, lines=OURS_FEWER),
            _made(
                amount=0,
                psp_refund_id="",
                mark="ret_1",
                lines=(RefundedLine(str(LINE), 1, 1250),),
            ),
        ),
        _heard(
            "a unit cancelled without its money",
            "orders/updated",
            order(
                line_items=FEWER,
                refunds=[
                    refund(transactions=[], refund_line_items=[refunded(restock_type="cancel")])
                ],
            ),
            _with(2, lines=OURS_FEWER),
            _made(
                amount=0,
                psp_refund_id="",
                lines=(RefundedLine(str(LINE), 1, 1250),),
            ),
            LinesCancelled((CancelledLine(str(LINE), 1),)),
        ),
        _heard("a refund made there", "refunds/create", refund(), _made()),
        _heard(
            "a refund made there, part of it in cash, which is none of ours",
            "refunds/create",
            refund(
                transactions=[
                    *refund()["transactions"],
                    transaction(id=13, kind="refund", gateway="cash", amount="3.00"),
                ]
            ),
            _made(),
        ),
        _heard(
            "a refund made there whose parts tell all",
            "refunds/create",
            refund(refund_line_items=[refunded(total_tax_set=money("0.00"))]),
            _made(lines=(RefundedLine(str(LINE), 1, 1250),)),
        ),
        _heard(
            "the echo of ours",
            "refunds/create",
            refund(note="Sorry! amends rf_1 (rf_1:shop) by Jo"),
            _made(mark="rf_1"),
        ),
        _heard(
            "goods alone",
            "refunds/create",
            refund(transactions=[], refund_line_items=[refunded(restock_type="return")]),
            _made(amount=0, psp_refund_id="", lines=(RefundedLine(str(LINE), 1, back=1),)),
        ),
        _heard(
            "the echo of goods we told of, which are booked already",
            "refunds/create",
            refund(
                note="amends ret_1 (ord_1-m1)",
                transactions=[],
                refund_line_items=[refunded(restock_type="return")],
            ),
            _made(amount=0, psp_refund_id="", mark="ret_1"),
        ),
        _heard(
            "a refund that failed moved nothing",
            "refunds/create",
            refund(transactions=[transaction(kind="refund", status="failure")]),
            _made(amount=0, psp_refund_id=""),
        ),
        _heard(
            "a return approved",
            "returns/approve",
            a_return("OPEN"),
            ReturnAuthorized("123456789", (LinePick(str(LINE), 2),)),
        ),
        _heard("a return asked for", "returns/request", a_return("REQUESTED")),
        _heard("a return over", "returns/close", a_return("CLOSED"), ReturnCancelled("123456789")),
        _heard(
            "a stock level", "inventory_levels/update", {"inventory_item_id": 1, "available": 0}
        ),
        _heard("an edit", "orders/edited", {"order_edit": {"order_id": 1}}),
    ),
    unreadable=(
        ("no JSON", b"<order/>", "JSON"),
        ("no object", b"[]", "object"),
    ),
)
UNREADABLE = (
    ("orders/create", order(id=None), "id"),
    ("orders/create", order(presentment_currency="XYZ"), "currency"),
    ("orders/create", order(updated_at=None), "updated_at"),
    ("orders/create", order(total_price_set=money("38.905")), "total_price"),
    ("orders/create", order(total_price_set=money("38.90", "USD")), "total_price"),
    ("orders/create", order(transactions=[transaction(currency="USD")]), "transaction"),
    ("orders/create", refund(), "another thing"),
    ("refunds/create", order(), "another thing"),
    ("refunds/create", refund(order_id=None), "order_id"),
    ("returns/approve", {"id": 1, "status": "OPEN"}, "order.id"),
    ("", order(), "X-Shopify-Topic"),
)


def raw_order(**changes: Any) -> bytes:
    return dumps(order(**changes))
