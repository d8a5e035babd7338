"""What of a refund is taken from sellers, as Adyen and PayPal are told it."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.effects import RefundIntent, SellerShare
from amends.gateways import adyen, paypal
from amends.gateways.adyen_objects import MULTIPLE_OF
from tests.gateways import adyen_money_table, adyen_table, paypal_money_table, paypal_table


def adyen_splits(intent: RefundIntent) -> list[dict[str, Any]]:
    body = json.loads(adyen.write(intent, adyen_table.SETTINGS).body)
    found: list[dict[str, Any]] = body.get("splits", [])
    assert not found or sum(item["amount"]["value"] for item in found) == body["amount"]["value"]
    return found


def said(item: dict[str, Any]) -> tuple[Any, ...]:
    value = item["amount"]["value"]
    return item["type"], item.get("account"), value, item.get("reference")


def test_adyen_is_told_what_each_account_bears_and_what_we_do() -> None:
    assert [said(item) for item in adyen_splits(adyen_money_table.SOLD)] == [
        ("BalanceAccount", "BA00000000000000000000001", 1800, "split-1"),
        ("Commission", None, 200, "split-1-fee"),
        ("Commission", None, 700, None),
        ("Commission", None, 300, None),
    ]
    assert adyen_splits(adyen_money_table.REFUND) == []


@given(
    shares=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=5),
    own=st.integers(0, 500),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "IDR", "CLP"]),
)
def test_adyen_splits_come_to_the_refund_in_any_currency(
    shares: list[tuple[int, int]], own: int, currency: str
) -> None:
    step = MULTIPLE_OF.get(currency, 1)
    sellers = tuple(
        # What is borne may be any amount, what is taken is one that can be carried.
        SellerShare(f"BA{n}", amount * step + own % step, min(taken, amount) * step)
        for n, (amount, taken) in enumerate(shares)
    )
    amount = sum(seller.amount for seller in sellers) + own
    amount += -amount % step or step
    adyen_splits(replace(adyen_money_table.SOLD, amount=amount, currency=currency, sellers=sellers))


def paypal_request(intent: RefundIntent) -> tuple[Any, str]:
    request = paypal.write(intent, paypal_table.SETTINGS)
    return json.loads(request.body), dict(request.headers).get("PayPal-Auth-Assertion", "")


def test_paypal_is_told_what_we_add_and_in_whose_name_we_ask() -> None:
    body, token = paypal_request(paypal_money_table.SOLD)
    (fee,) = body["payment_instruction"]["platform_fees"]
    assert fee == {"amount": {"currency_code": "EUR", "value": "0.20"}}
    head, claims, signature = token.split(".")
    assert signature == ""
    assert _decoded(head) == {"alg": "none"}
    client = paypal_table.SETTINGS.values["client_id"]
    assert _decoded(claims) == {"iss": client, "payer_id": "8XD4EPHK2ZYYG"}


def _decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_paypal_is_told_of_no_fee_that_is_kept_and_of_no_seller_that_is_not() -> None:
    kept = replace(paypal_money_table.SOLD, sellers=paypal_money_table.KEPT)
    body, token = paypal_request(kept)
    assert "payment_instruction" not in body
    assert token
    body, token = paypal_request(paypal_money_table.REFUND)
    assert "payment_instruction" not in body
    assert not token
