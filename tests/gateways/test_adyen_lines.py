"""What a refund at Adyen says it is for, as the methods want it that need it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.effects import RefundIntent, RefundLine
from amends.gateways import adyen
from tests.gateways.adyen_money_table import REFUND
from tests.gateways.adyen_table import SETTINGS


def body(intent: RefundIntent) -> Any:
    return json.loads(adyen.write(intent, SETTINGS).body)


def test_units_that_come_out_even_are_priced_each() -> None:
    lines = (RefundLine("1", 2, 6400, 1066), RefundLine("s1", 0, 600, 100))
    said = body(replace(REFUND, amount=7000, lines=lines))["lineItems"]
    assert said == [
        {
            "id": "1",
            "description": "1",
            "quantity": 2,
            "amountIncludingTax": 3200,
            "amountExcludingTax": 2667,
            "taxAmount": 533,
        },
        {
            "id": "s1",
            "description": "s1",
            "quantity": 1,
            "amountIncludingTax": 600,
            "amountExcludingTax": 500,
            "taxAmount": 100,
        },
    ]


@given(
    lines=st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 10**6), st.integers(0, 10**5)), min_size=1
    ),
    currency=st.sampled_from(["EUR", "JPY", "CLP", "IDR"]),
)
def test_the_items_come_to_the_amount(lines: list[tuple[int, int, int]], currency: str) -> None:
    step = 100 if currency == "IDR" else 1
    parts = tuple(RefundLine(f"l{n}", q, a, min(a, t)) for n, (q, a, t) in enumerate(lines))
    whole = sum(part.amount for part in parts)
    if whole % step:
        return
    said = body(replace(REFUND, amount=whole, currency=currency, lines=parts))
    items = said["lineItems"]
    assert sum(i["quantity"] * i["amountIncludingTax"] for i in items) == said["amount"]["value"]
    assert all(
        i["amountIncludingTax"] == i["amountExcludingTax"] + i["taxAmount"] and i["quantity"] > 0
        for i in items
    )


def test_methods_that_need_no_lines_say_none() -> None:
    assert "lineItems" not in body(REFUND)


def test_only_paypal_is_told_which_capture() -> None:
    told = replace(REFUND, capture="CAP1", method="paypal")
    assert body(told)["capturePspReference"] == "CAP1"
    assert "capturePspReference" not in body(replace(told, method="visa"))
