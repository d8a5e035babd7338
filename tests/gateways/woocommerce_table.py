"""What WooCommerce says by webhook and what it means, case by case."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from amends.core.facts import Addressed, Fact, OrderCancelled, OrderReported, RefundMade
from amends.core.requests import (
    ChargeIn,
    CustomerIn,
    DiscountIn,
    LineIn,
    OrderIn,
    OrderKey,
    ShippingIn,
    TaxIn,
    TenderIn,
    TotalsIn,
)
from amends.gateways import woocommerce
from amends.gateways.spec import Settings
from tests.gateways.table import NOW, Heard, Table, judge

SETTINGS = Settings(
    name="shop-2",
    gateway="woocommerce",
    values={
        "store_url": "https://shop.example",
        "consumer_key": "ck_secret",
        "consumer_secret": "cs_secret",
    },
    tables={"payments": {"stripe": "stripe-us", "cod": "", "pw_gift_card": "gift_card"}},
)
SHOP = ("shop-2", "727")
MODIFIED = NOW


def sign(raw: bytes, secret: str, seconds: int) -> dict[str, str]:
    """The one header that proves anything."""
    mac = hmac.new(secret.encode(), raw, hashlib.sha256).digest()
    return {"x-wc-webhook-signature": base64.b64encode(mac).decode()}


def named(event: str) -> dict[str, str]:
    return {"x-wc-webhook-topic": event, "x-wc-webhook-delivery-id": "1b2c3d4e"}


def order(**changes: Any) -> dict[str, Any]:
    """Two of one thing, one of another after a coupon, shipping; net, with a state's tax."""
    return {
        "id": 727,
        "status": "processing",
        "currency": "USD",
        "date_created_gmt": "2026-09-20T13:00:00",
        "date_modified_gmt": "2026-09-21T14:13:20",
        "date_paid_gmt": "2026-09-20T13:00:05",
        "total": "27.35",
        "prices_include_tax": False,
        "customer_id": 0,
        "billing": {
            "first_name": "John",
            "last_name": "Doe",
            "country": "US",
            "email": "john.doe@example.com",
        },
        "shipping": {"country": "CA"},
        "payment_method": "stripe",
        "transaction_id": "ch_1",
        "line_items": [
            {
                "id": 315,
                "name": "Woo Single #1",
                "quantity": 2,
                "subtotal": "6.00",
                "total": "6.00",
                "total_tax": "0.45",
                "taxes": [{"id": 75, "total": "0.453333", "subtotal": "0.453333"}],
                "sku": "W-1",
                "price": 3,
            },
            {
                "id": 316,
                "name": "Ship Your Idea &ndash; Black",
                "quantity": 1,
                "subtotal": "12.00",
                "total": "10.00",
                "total_tax": "0.90",
                "taxes": [{"id": 75, "total": "0.9"}],
                "sku": "",
            },
        ],
        "tax_lines": [{"rate_id": 75, "label": "State Tax", "rate_percent": 7.5}],
        "shipping_lines": [
            {
                "id": 317,
                "method_title": "Flat Rate",
                "total": "10.00",
                "total_tax": "0.00",
                "taxes": [],
            }
        ],
        "fee_lines": [],
        "refunds": [],
        **changes,
    }


LINES = (
    LineIn(
        *("315", 2, 600, "W-1", "Woo Single #1"),
        taxes=(TaxIn("State Tax", 45, "0.075"),),
        subtotal=600,
    ),
    LineIn(
        *("316", 1, 1000, "", "Ship Your Idea – Black"),
        taxes=(TaxIn("State Tax", 90, "0.075"),),
        subtotal=1200,
        discounts=(DiscountIn(200, title="Coupons"),),
    ),
)
OURS = OrderIn(
    source=OrderKey(*SHOP),
    currency="USD",
    version=MODIFIED,
    placed_at="2026-09-20T13:00:00.000000Z",
    prices_include_tax=False,
    customer=CustomerIn("guest-727", "john.doe@example.com", "John Doe", "CA"),
    lines=LINES,
    shipping=(ShippingIn("317", 1000, "Flat Rate", subtotal=1000),),
    tenders=(TenderIn(2735, connection="stripe-us", psp_payment_id="ch_1", captured=2735),),
    totals=TotalsIn(total=2735),
)


def about(*facts: Fact) -> tuple[Addressed, ...]:
    return tuple(Addressed(fact, source=SHOP) for fact in facts)


def with_(**changes: Any) -> OrderReported:
    fields = {name: getattr(OURS, name) for name in OURS.__struct_fields__}
    return OrderReported(OrderIn(**{**fields, **changes}))


def _heard(name: str, event: str, body: Any, *facts: Fact) -> Heard:
    return Heard(name, body, about(*facts), event)


def _paid(amount: int, captured: int | None = None) -> dict[str, Any]:
    taken = amount if captured is None else captured
    tender = TenderIn(amount, "payment", "stripe-us", "ch_1", captured=taken)
    return {"tenders": (tender,), "totals": TotalsIn(total=amount)}


REFUND = {"id": 726, "reason": "too late", "total": "-10.00"}
OFF = "Difference to the order's total"

HEARING = Table(
    gateway=woocommerce,
    settings=SETTINGS,
    secret='wc "secret" & more',
    other_secret="wc_secret_old",
    sign=sign,
    named=named,
    ages=False,
    timed=False,
    vectors=("woocommerce.json",),
    payloads=("woocommerce.json",),
    verify=woocommerce.verify,
    judge=lambda vectors, case: judge(woocommerce.verify, case, case["secrets"]),
    moves=("order.created", "order.updated"),
    type_of=lambda body: "none",
    heard=(
        _heard("an order", "order.created", order(), OrderReported(OURS)),
        _heard(
            "all of it sent",
            "order.updated",
            order(status="completed"),
            with_(
                lines=(
                    LineIn(
                        *("315", 2, 600, "W-1", "Woo Single #1"),
                        taxes=(TaxIn("State Tax", 45, "0.075"),),
                        fulfilled=2,
                        subtotal=600,
                    ),
                    LineIn(
                        *("316", 1, 1000, "", "Ship Your Idea – Black"),
                        taxes=(TaxIn("State Tax", 90, "0.075"),),
                        fulfilled=1,
                        subtotal=1200,
                        discounts=(DiscountIn(200, title="Coupons"),),
                    ),
                )
            ),
        ),
        _heard(
            "authorized and not captured",
            "order.created",
            order(status="on-hold", date_paid_gmt=None),
            with_(**_paid(2735, 0)),
        ),
        _heard(
            "paid by a transfer that nobody gives back: refused, with a sentence",
            "order.created",
            order(payment_method="bacs", transaction_id=""),
            with_(tenders=(TenderIn(2735, connection="bacs", captured=2735),)),
        ),
        _heard(
            "paid by gift card",
            "order.created",
            order(payment_method="pw_gift_card", transaction_id="GC-ID-1"),
            with_(tenders=(TenderIn(2735, "gift_card", captured=2735, reference="GC-ID-1"),)),
        ),
        _heard("paid at the door", "order.created", order(payment_method="cod")),
        _heard(
            "nobody paid yet",
            "order.created",
            order(status="pending", transaction_id="", date_paid_gmt=None),
        ),
        _heard(
            "a fee, and one that is a discount",
            "order.created",
            order(
                total="30.35",
                fee_lines=[
                    {"id": 9, "name": "Gift wrap", "total": "5.00", "total_tax": "0.00"},
                    {"id": 10, "name": "Loyal customer", "total": "-2.00", "total_tax": "0.00"},
                ],
            ),
            with_(
                lines=(
                    LineIn(
                        *("315", 2, 554, "W-1", "Woo Single #1"),
                        taxes=(TaxIn("State Tax", 45, "0.075"),),
                        subtotal=600,
                        discounts=(DiscountIn(46, title=OFF),),
                    ),
                    LineIn(
                        *("316", 1, 923, "", "Ship Your Idea – Black"),
                        taxes=(TaxIn("State Tax", 90, "0.075"),),
                        subtotal=1200,
                        discounts=(DiscountIn(200, title="Coupons"), DiscountIn(77, title=OFF)),
                    ),
                ),
                shipping=(
                    ShippingIn(
                        *("317", 923, "Flat Rate"),
                        subtotal=1000,
                        discounts=(DiscountIn(77, title=OFF),),
                    ),
                ),
                charges=(ChargeIn("9", "other", 500, "Gift wrap"),),
                **_paid(3035),
            ),
        ),
        _heard(
            "a discount with its tax, as a fee below nothing",
            "order.created",
            order(
                total="24.12",
                line_items=[order()["line_items"][1]],
                shipping_lines=[],
                fee_lines=[
                    {"id": 9, "name": "Gift wrap", "total": "20.00", "total_tax": "0.00"},
                    {
                        "id": 10,
                        "total": "-6.22",
                        "total_tax": "-0.56",
                        "taxes": [{"id": 75, "total": "-0.56"}],
                    },
                ],
            ),
            with_(
                lines=(
                    LineIn(
                        *("316", 1, 378, "", "Ship Your Idea – Black"),
                        taxes=(TaxIn("State Tax", 34, "0.075"),),
                        subtotal=1200,
                        discounts=(DiscountIn(200, title="Coupons"), DiscountIn(622, title=OFF)),
                    ),
                ),
                shipping=(),
                charges=(ChargeIn("9", "other", 2000, "Gift wrap"),),
                **_paid(2412),
            ),
        ),
        _heard(
            "cancelled",
            "order.updated",
            order(status="cancelled"),
            with_(version=MODIFIED + 1),
            OrderCancelled(),
        ),
        _heard(
            "refunded there",
            "order.updated",
            order(status="refunded", refunds=[REFUND]),
            with_(version=MODIFIED + 3),
            RefundMade("726", 1000, "USD"),
        ),
        _heard(
            "refunded here, and told of it",
            "order.updated",
            order(refunds=[{**REFUND, "reason": "amends rf_1 (rf_1:shop)"}]),
            with_(version=MODIFIED + 2),
            RefundMade("726", 1000, "USD", mark="rf_1"),
        ),
        _heard("gone", "order.deleted", {"id": 727}),
        _heard("a hook", "action.woocommerce_order_refunded", {"action": "x", "arg": 727}),
        _heard("a product", "product.updated", {"id": 794, "stock_quantity": 0}),
    ),
    unreadable=(
        ("no JSON", b"<order/>", "JSON"),
        ("a form", b"webhook_id=17", "JSON"),
    ),
)
UNREADABLE = (
    ("order.created", order(id=None), "id"),
    ("order.created", order(currency="usd"), "currency"),
    ("order.created", order(total="27.355"), "total"),
    ("order.created", order(date_modified_gmt=""), "date_modified_gmt"),
    ("order.updated", order(refunds=[{"id": 1, "total": "ten"}]), "refunds.total"),
    ("order.updated", order(line_items=[{"id": 1, "quantity": 0}]), "quantity"),
    ("", order(), "X-WC-Webhook-Topic"),
)
