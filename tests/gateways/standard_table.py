"""What a shop says by Standard Webhooks and what it means, case by case."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from amends.core.facts import (
    Addressed,
    CancelledLine,
    LinesCancelled,
    LinesUnavailable,
    OrderCancelled,
    OrderReported,
    PaymentReported,
    RefundedLine,
    RefundMade,
    RefundRequested,
    ReturnAuthorized,
    ReturnCancelled,
    ReturnInspected,
    ReturnReceived,
    ReturnShipped,
)
from amends.core.outlets import Goods
from amends.core.requests import (
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    PaymentKey,
    RefundIn,
    TenderIn,
)
from amends.gateways import standard
from amends.gateways.spec import Settings
from amends.kernel.outcome import PaymentState
from tests.gateways.table import Heard, Table, dumps, judge

SETTINGS = Settings(name="shop-1", gateway="standard")
SHOP = ("shop-1", "1001")
KEY = OrderKey(*SHOP)


def sign(raw: bytes, secret: str, seconds: int) -> dict[str, str]:
    """The headers of a genuine message."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"msg_1.{seconds}.".encode() + raw, hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def message(kind: str, data: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": "2026-09-21T14:13:20Z", "data": data}


def order_data(**changes: Any) -> dict[str, Any]:
    return {
        "source": {"order_id": "1001"},
        "currency": "EUR",
        "lines": [{"id": "1", "quantity": 3, "total": 9600}],
        "tenders": [
            {"connection": "stripe-eu", "psp_payment_id": "pi_1", "amount": 9600, "captured": 9600}
        ],
        **changes,
    }


ORDER = OrderIn(
    source=KEY,
    currency="EUR",
    lines=(LineIn("1", 3, 9600),),
    tenders=(TenderIn(amount=9600, connection="stripe-eu", psp_payment_id="pi_1", captured=9600),),
)
PICK = {"id": "1", "quantity": 2}
PICKED = (LinePick("1", 2),)
CAPTURE = {"connection": "stripe-eu", "psp_payment_id": "pi_1", "amount": 9600}


def _heard(name: str, kind: str, data: Any, *facts: Addressed) -> Heard:
    return Heard(name, message(kind, data), facts)


def _captured(currency: str, **state: int) -> Addressed:
    fact = PaymentReported("stripe-eu", ("pi_1",), PaymentState(**state), currency)  # type: ignore[arg-type]
    return Addressed(fact, payments=(("stripe-eu", "pi_1"),))


def _bad(kind: str, data: Any) -> bytes:
    return dumps(message(kind, data))


HEARING = Table(
    gateway=standard,
    settings=SETTINGS,
    secret="whsec_dGhlIHNob3AncyBzZWNyZXQsIDI0Kw==",
    other_secret="whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA==",
    sign=sign,
    vectors=("standardwebhooks.json",),
    payloads=("standardwebhooks.json",),
    verify=standard.verify,
    judge=lambda vectors, case: judge(standard.verify, case, case["secrets"]),
    moves=("order.cancelled", "inventory.out_of_stock", "return."),
    heard=(
        _heard(
            "order made",
            "order.created",
            order_data(),
            Addressed(OrderReported(ORDER), source=SHOP),
        ),
        _heard(
            "order changed, its connection named",
            "order.updated",
            order_data(source={"connection": "shop-1", "order_id": "1001"}),
            Addressed(OrderReported(ORDER), source=SHOP),
        ),
        _heard(
            "order cancelled",
            "order.cancelled",
            {"order_id": 1001, "reason": "whim"},
            Addressed(OrderCancelled(), source=SHOP),
        ),
        _heard(
            "our order cancelled, for a reason we know",
            "order.cancelled",
            {"order": "ord_1", "reason": "out_of_stock"},
            Addressed(OrderCancelled("out_of_stock"), order="ord_1"),
        ),
        _heard(
            "refund of the shop's order",
            "refund.requested",
            {"order": "1001", "amount": 500},
            Addressed(RefundRequested(RefundIn(order=KEY, amount=500)), source=SHOP),
        ),
        _heard(
            "refund of the shop's order, in full words",
            "refund.requested",
            {"order": {"order_id": "1001"}, "reason": "damaged", "lines": [PICK]},
            Addressed(
                RefundRequested(RefundIn(order=KEY, reason="damaged", lines=PICKED)), source=SHOP
            ),
        ),
        _heard(
            "refund of our order",
            "refund.requested",
            {"order": "ord_1"},
            Addressed(RefundRequested(RefundIn(order="ord_1")), order="ord_1"),
        ),
        _heard(
            "refund of a payment",
            "refund.requested",
            {"payment": {"connection": "stripe-eu", "psp_payment_id": "pi_1"}},
            Addressed(
                RefundRequested(RefundIn(payment=PaymentKey("stripe-eu", "pi_1"))),
                payments=(("stripe-eu", "pi_1"),),
            ),
        ),
        _heard(
            "refund as quoted",
            "refund.requested",
            {"quote": "qt_1"},
            Addressed(RefundRequested(RefundIn(quote="qt_1"))),
        ),
        _heard(
            "units that cannot be had",
            "inventory.unavailable",
            {"order": "1001", "lines": [{"id": 1, "quantity": 2, "sku": "TEA"}]},
            Addressed(LinesUnavailable(PICKED), source=SHOP),
        ),
        _heard(
            "goods are back",
            "return.received",
            {"order_id": "1001", "return_id": 7, "lines": [PICK, {"sku": "TEA", "quantity": 1}]},
            Addressed(ReturnReceived((*PICKED, LinePick("TEA", 1)), "7"), source=SHOP),
        ),
        _heard(
            "all that was to come is back",
            "return.received",
            {"order_id": "1001", "return_id": "R-7"},
            Addressed(ReturnReceived((), "R-7"), source=SHOP),
        ),
        _heard(
            "goods may come back",
            "return.authorized",
            {"order": 1001, "return_id": "R-7", "lines": [PICK]},
            Addressed(ReturnAuthorized("R-7", PICKED), source=SHOP),
        ),
        _heard(
            "a parcel is under way",
            "return.shipped",
            {"order": "ord_1", "return_id": "R-7"},
            Addressed(ReturnShipped("R-7"), order="ord_1"),
        ),
        _heard(
            "what becomes of goods",
            "return.inspected",
            {
                "order_id": "1001",
                "return_id": 7,
                "lines": [
                    {**PICK, "disposition": "restock", "location": "berlin"},
                    {"sku": "CUP", "quantity": 1, "disposition": "write_off"},
                ],
            },
            Addressed(
                ReturnInspected(
                    "7",
                    (Goods("1", "", 2, "restock", "berlin"), Goods("CUP", "CUP", 1, "write_off")),
                ),
                source=SHOP,
            ),
        ),
        _heard(
            "nothing more comes",
            "return.cancelled",
            {"order_id": "1001", "return_id": "R-7"},
            Addressed(ReturnCancelled("R-7"), source=SHOP),
        ),
        _heard(
            "units cancelled so far",
            "order.lines_cancelled",
            {"order": 1001, "reason": "out_of_stock", "lines": [{**PICK, "back": 1}]},
            Addressed(LinesCancelled((CancelledLine("1", 2, 1),), "out_of_stock"), source=SHOP),
        ),
        _heard(
            "a refund made in the shop",
            "refund.created",
            {
                "order": 1001,
                "refund_id": 9,
                "amount": 3200,
                "currency": "EUR",
                "mark": "rf_1",
                "psp_refund_id": "re_1",
                "lines": [{**PICK, "amount": 3000, "back": 2}, {"id": "s1", "quantity": 0}],
            },
            Addressed(
                RefundMade(
                    *("9", 3200, "EUR", "rf_1", "re_1"),
                    (RefundedLine("1", 2, 3000, 2), RefundedLine("s1", 0)),
                ),
                source=SHOP,
            ),
        ),
        _heard(
            "a SKU that ran out under two orders",
            "inventory.out_of_stock",
            {"sku": "TEA", "order_ids": ["1001", 1002]},
            *(
                Addressed(LinesUnavailable(skus=("TEA",)), source=("shop-1", number))
                for number in ("1001", "1002")
            ),
        ),
        _heard("money taken", "payment.captured", CAPTURE, _captured("", captured=9600)),
        _heard(
            "money taken, all said",
            "payment.captured",
            {**CAPTURE, "authorized": 10000, "currency": "EUR", "order": "1001"},
            _captured("EUR", captured=9600, authorized=10000),
        ),
        _heard("not for us", "newsletter.opened", {"anything": [1.5]}),
    ),
    unreadable=(
        ("no JSON", b"<order/>", "JSON"),
        ("no type", dumps({"data": {}}), "type"),
        ("no data", _bad("order.cancelled", None), "data"),
        ("no source", _bad("order.created", order_data(source=None)), "order_id"),
        (
            "another shop's order",
            _bad("order.created", order_data(source={"connection": "shop-2", "order_id": "1"})),
            "data.source.connection",
        ),
        ("misspelt field", _bad("order.created", order_data(tottal=1)), "tottal"),
        (
            "half a unit",
            _bad("order.created", order_data(lines=[{"id": "1", "quantity": 0.5, "total": 1}])),
            "data.lines[0].quantity",
        ),
        ("no tender", _bad("order.created", order_data(tenders=[])), "data.tenders"),
        ("which order", _bad("order.cancelled", {"reason": "whim"}), "data.order_id"),
        ("truth is no id", _bad("order.cancelled", {"order": True}), "data.order"),
        (
            "another shop's order refunded",
            _bad("refund.requested", {"order": {"connection": "shop-2", "order_id": "1"}}),
            "data.order.connection",
        ),
        ("refund of what", _bad("refund.requested", {"amount": 5}), "order, payment and quote"),
        (
            "refund of two things",
            _bad("refund.requested", {"order": "1", "quote": "qt_1"}),
            "order, payment and quote",
        ),
        (
            "refund of nothing",
            _bad("refund.requested", {"order": "1", "amount": 0}),
            "data.amount",
        ),
        ("no lines", _bad("inventory.unavailable", {"order": "1", "lines": []}), "data.lines"),
        (
            "what came back",
            _bad("return.received", {"order": "1", "lines": [{"quantity": 1}]}),
            "neither id nor sku",
        ),
        ("which return", _bad("return.shipped", {"order": "1"}), "return_id"),
        ("return of what", _bad("return.authorized", {"order": "1", "return_id": 1}), "data.lines"),
        (
            "what becomes of it",
            _bad(
                "return.inspected",
                {"order": "1", "return_id": 1, "lines": [{**PICK, "disposition": "burn"}]},
            ),
            "disposition",
        ),
        (
            "how much was refunded",
            _bad("refund.created", {"order": "1", "refund_id": 1, "currency": "EUR"}),
            "amount",
        ),
        ("out of what", _bad("inventory.out_of_stock", {"order_ids": ["1"]}), "sku"),
        ("whose payment", _bad("payment.captured", {"amount": 5}), "connection"),
    ),
)
