"""What Vendure's plugin says and what it means, case by case."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from amends.core.facts import (
    Addressed,
    CancelledLine,
    LinesCancelled,
    OrderCancelled,
    OrderReported,
    RefundedLine,
    RefundMade,
)
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
from amends.gateways import vendure
from amends.gateways.spec import Settings
from tests.gateways.standard_table import message, sign
from tests.gateways.table import Heard, Table, dumps, judge

SETTINGS = Settings(
    name="shop-1",
    gateway="vendure",
    base_url="https://shop.example",
    values={"api_key": "1:key"},
    tables={"payments": {"card": "stripe-eu", "gift": "gift_card"}},
)
SHOP = ("shop-1", "CODE1")
NINETEEN = [{"name": "VAT", "rate": "19"}]
TEN = [{"name": "VAT", "rate": "10"}]


def line(**changes: Any) -> dict[str, Any]:
    given = {"id": "1", "sku": "MUG", "title": "Mug", "placed": 3, "cancelled": 0, "fulfilled": 0}
    given |= {"total": 8907, "net": 7485, "undiscounted": 8907, "taxes": NINETEEN}
    return {**given, "restocked": 0, "byAmends": {"cancelled": 0, "restocked": 0}, **changes}


def payment(**changes: Any) -> dict[str, Any]:
    return {
        "method": "card",
        "transactionId": "pi_1",
        "state": "Settled",
        "amount": 8907,
        **changes,
    }


def order(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"code": "CODE1", "state": "PaymentSettled", "version": 7}
    given |= {"placedAt": "2026-09-21T14:13:20.000Z", "currency": "EUR", "customer": None}
    given |= {"lines": [line()], "shipping": [], "surcharges": [], "payments": [payment()]}
    return {**given, "refunds": [], **changes}


BOUGHT = OrderIn(
    source=OrderKey(*SHOP),
    version=7,
    placed_at="2026-09-21T14:13:20.000Z",
    currency="EUR",
    lines=(LineIn("1", 3, 8907, "MUG", "Mug", taxes=(TaxIn("VAT", 1422, "0.19"),)),),
    tenders=(
        TenderIn(8907, connection="stripe-eu", psp_payment_id="pi_1", captured=8907, method="card"),
    ),
)


def _bought(**changes: Any) -> OrderReported:
    return OrderReported(replace(BOUGHT, **changes))


def _heard(name: str, data: Any, *facts: Any) -> Heard:
    told = tuple(Addressed(fact, source=SHOP) for fact in facts)
    return Heard(name, message("order.changed", data), told)


def _line_in(**changes: Any) -> tuple[LineIn, ...]:
    return (replace(BOUGHT.lines[0], **changes),)


def _off(amount: int) -> tuple[DiscountIn, ...]:
    return (DiscountIn(amount, title="Discounts"),)


def _less(amount: int) -> tuple[DiscountIn, ...]:
    return (DiscountIn(amount, title="Difference to the order's total"),)


def _card(amount: int) -> tuple[TenderIn, ...]:
    return (replace(BOUGHT.tenders[0], amount=amount, captured=amount),)


def _cancelled(units: int, back: int = 0) -> LinesCancelled:
    return LinesCancelled((CancelledLine("1", units, back),))


REFUND = {
    "id": "5",
    "state": "Settled",
    "total": 2969,
    "reason": "too big",
    "transactionId": "re_1",
    "lines": [{"id": "1", "quantity": 1}],
}
_MADE = RefundMade("5", 2969, "EUR", "", "re_1", (RefundedLine("1", 1),))
_SENT = {"fulfilled": 3}

HEARING = Table(
    gateway=vendure,
    settings=SETTINGS,
    secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    other_secret="whsec_Z3JlZW4gYXBwbGVzIGFuZCByZWQ=",
    sign=sign,
    vectors=(),  # its `verify` is that of `standard`,
    payloads=(),
    verify=vendure.verify,
    judge=lambda document, case: judge(vendure.verify, case, case["secrets"]),
    heard=(
        _heard("bought", order(), _bought()),
        Heard("of another type", message("product.changed", {}), ()),
        _heard("not paid by anything", order(payments=[payment(state="Declined")])),
        _heard(
            "authorized after a card was declined",
            order(payments=[payment(state="Declined"), payment(state="Authorized")]),
            _bought(
                tenders=(
                    TenderIn(8907, connection="stripe-eu", psp_payment_id="pi_1", method="card"),
                )
            ),
        ),
        _heard(
            "by a gift card, with shipping, a surcharge and a customer",
            order(
                payments=[payment(method="gift", transactionId="gc_1", amount=9996)],
                shipping=[
                    {
                        "id": "4",
                        "title": "Parcel",
                        "total": 589,
                        "net": 495,
                        "undiscounted": 700,
                        "taxes": NINETEEN,
                    }
                ],
                surcharges=[{"id": "9", "title": "Wrap", "total": 500, "net": 500, "taxes": []}],
                customer={"id": "1", "email": "ada@example.com", "name": "Ada", "country": ""},
            ),
            _bought(
                tenders=(TenderIn(9996, "gift_card", captured=9996, reference="gc_1"),),
                shipping=(
                    ShippingIn("4", 589, "Parcel", (TaxIn("VAT", 94, "0.19"),), 700, _off(111)),
                ),
                charges=(ChargeIn("9", "other", 500, "Wrap"),),
                customer=CustomerIn("1", "ada@example.com", "Ada"),
            ),
        ),
        _heard(
            "a price lowered after the sale",
            order(
                surcharges=[{"id": "9", "title": "", "total": -119, "net": -100, "taxes": NINETEEN}]
            ),
            _bought(
                lines=_line_in(
                    total=8788,
                    taxes=(TaxIn("VAT", 1403, "0.19"),),
                    subtotal=8907,
                    discounts=_off(119),
                )
            ),
        ),
        _heard(
            "a line that was taken out", order(lines=[line(), line(id="2", placed=0)]), _bought()
        ),
        _heard(
            "in yen, of which Vendure keeps hundredths",
            order(
                currency="JPY",
                precision=2,
                lines=[line(total=84_150, net=76_500, undiscounted=99_000, taxes=TEN)],
                shipping=[
                    {
                        "id": "4",
                        "title": "Parcel",
                        "undiscounted": 50_000,
                        "taxes": TEN,
                        "total": 50_000,
                        "net": 45_455,
                    }
                ],
                payments=[payment(amount=134_200)],
                refunds=[{**REFUND, "total": 50_000}],
            ),
            _bought(
                currency="JPY",
                lines=_line_in(
                    total=842,
                    taxes=(TaxIn("VAT", 77, "0.1"),),
                    subtotal=990,
                    discounts=_off(148),
                ),
                shipping=(ShippingIn("4", 500, "Parcel", (TaxIn("VAT", 45, "0.1"),)),),
                tenders=_card(1342),
                totals=TotalsIn(total=1342),
            ),
            RefundMade("5", 500, "JPY", "", "re_1", (RefundedLine("1", 1),)),
        ),
        _heard(
            "in yen, two halves of which are paid as none",
            order(
                currency="JPY",
                lines=[
                    line(total=50_050, net=50_050, undiscounted=50_050, taxes=[]),
                    line(id="2", total=50_050, net=50_050, undiscounted=50_050, taxes=[]),
                ],
                payments=[payment(amount=100_100)],
            ),
            _bought(
                currency="JPY",
                lines=(
                    *_line_in(total=500, taxes=(), discounts=_less(1)),
                    *_line_in(id="2", total=501, taxes=()),
                ),
                tenders=_card(1001),
                totals=TotalsIn(total=1001),
            ),
        ),
        _heard(
            "in dinars, of which Vendure keeps hundredths",
            order(currency="KWD"),
            _bought(
                currency="KWD",
                lines=_line_in(total=89_070, taxes=(TaxIn("VAT", 14_220, "0.19"),)),
                tenders=_card(89_070),
            ),
        ),
        _heard(
            "in yen, kept whole",
            order(currency="JPY", precision=0),
            _bought(currency="JPY"),
        ),
        _heard("cancelled", order(lines=[line(cancelled=1)]), _bought(), _cancelled(1)),
        _heard(
            "cancelled after it was delivered",
            order(lines=[line(**_SENT, cancelled=2, restocked=2)]),
            _bought(lines=_line_in(fulfilled=3)),
            _cancelled(2, back=2),
        ),
        _heard(
            "restocked by Vendure though it never left",
            order(lines=[line(fulfilled=2, cancelled=1, restocked=1)]),
            _bought(lines=_line_in(fulfilled=2)),
            _cancelled(1),
        ),
        _heard(
            "cancelled by the shop and by amends",
            order(
                lines=[
                    line(
                        **_SENT,
                        cancelled=3,
                        restocked=3,
                        byAmends={"cancelled": 2, "restocked": 2},
                    )
                ]
            ),
            _bought(lines=_line_in(fulfilled=3)),
            _cancelled(1, back=1),
        ),
        _heard(
            "cancelled as a whole",
            order(state="Cancelled", lines=[line(cancelled=3)]),
            _bought(),
            OrderCancelled(),
        ),
        _heard(
            "cancelled as a whole by amends",
            order(
                state="Cancelled",
                lines=[line(cancelled=3, byAmends={"cancelled": 3, "restocked": 0})],
            ),
            _bought(),
        ),
        _heard("refunded by the shop", order(refunds=[REFUND]), _bought(), _MADE),
        _heard("to be refunded", order(refunds=[{**REFUND, "state": "Pending"}]), _bought()),
        _heard(
            "refunded by amends",
            order(refunds=[{**REFUND, "reason": "amends rf_01k re_1"}]),
            _bought(),
            RefundMade("5", 2969, "EUR", "rf_01k", "re_1", (RefundedLine("1", 1),)),
        ),
    ),
    unreadable=tuple(
        (name, dumps(message("order.changed", data)), said)
        for name, data, said in (
            ("no order", {}, "code"),
            ("no lines", order(lines=None), "lines"),
            ("an unknown payment method", order(payments=[payment(method="cash")]), "'cash'"),
            ("a payment without a name", order(payments=[payment(method="")]), "method"),
            ("tax at no rate", order(lines=[line(taxes=[])]), "no rate"),
            ("a rate that is none", order(lines=[line(taxes=[{"rate": "much"}])]), "rate"),
            ("more net than gross", order(lines=[line(net=9000)]), "net"),
            ("no currency", order(currency=""), "currency"),
            ("a currency that is none", order(currency="XXY"), "currency"),
            (
                "half a yen paid",
                order(currency="JPY", payments=[payment(amount=890_750)]),
                "JPY",
            ),
            (
                "half a yen refunded",
                order(currency="JPY", refunds=[{**REFUND, "total": 50}]),
                "JPY",
            ),
            ("a precision that is none", order(precision=-1), "precision"),
            ("a total that is none", order(lines=[line(total="1")]), "total"),
            ("less than nothing", order(lines=[line(total=-1, net=-1)]), "total"),
            (
                "a discount of nothing",
                order(
                    lines=[line(total=0, net=0)],
                    surcharges=[{"id": "9", "total": -5, "net": -5, "taxes": []}],
                ),
                "surcharge",
            ),
        )
    ),
)
