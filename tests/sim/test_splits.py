"""Sellers at the look-alikes of Adyen and PayPal: what is accepted, counted and refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.adyen_bench import ACCOUNT, PSP, AdyenBench
from tests.sim.paypal_bench import FULL, PayPalBench

BA = "BA00000000000000000000001"


def split(kind: str, value: int, account: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "amount": {"value": value, "currency": "EUR"}}
    return found | ({"account": account} if account else {})


def test_adyen_counts_what_an_account_bears(adyen: AdyenBench) -> None:
    adyen.payment()
    parts = [split("BalanceAccount", 2700, BA), split("Commission", 300)]
    answer = adyen.modify("refunds", 3000, fields={"splits": parts})
    assert answer["splits"] == parts
    adyen.now += 60
    adyen.world.due(adyen.now)
    (row,) = adyen.world.payments()
    assert (row["refunded"], row["borne"]) == (3000, {BA: 2700})


@pytest.mark.parametrize(
    "parts",
    [
        [split("BalanceAccount", 2999, BA)],
        [split("BalanceAccount", 3000)],
        [split("Commission", 3000, BA)],
        [split("Commission", 3000), split("BalanceAccount", 0, BA)],
        [split("Unheard", 3000)],
    ],
)
def test_adyen_refuses_a_split_that_is_none(adyen: AdyenBench, parts: Any) -> None:
    adyen.payment()
    body = {"merchantAccount": ACCOUNT, "amount": {"currency": "EUR", "value": 3000}}
    answer = adyen.send(f"/v72/payments/{PSP}/refunds", body | {"splits": parts})
    assert answer.status in (400, 422)


def sold(paypal: PayPalBench) -> str:
    paypal.control(
        "payment", id="1CAPTURE", amount=10_000, seller="8XD4EPHK2ZYYG", platform_fee=900
    )
    return "/v2/payments/captures/1CAPTURE/refund"


def asked(amount: str, fee: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {"amount": {"currency_code": "EUR", "value": amount}}
    if fee:
        fees = [{"amount": {"currency_code": "EUR", "value": fee}}]
        body["payment_instruction"] = {"platform_fees": fees}
    return body


def test_paypal_takes_from_the_seller_what_the_platform_does_not_add(paypal: PayPalBench) -> None:
    path = sold(paypal)
    paypal.control("balance", currency="EUR", amount=1000)
    made = paypal.ask("POST", path, asked("50.00", "4.50"), status=201, headers=FULL)
    shown = made["seller_payable_breakdown"]
    assert (shown["platform_fees"][0]["amount"]["value"], shown["net_amount"]["value"]) == (
        "4.50",
        "45.50",
    )
    assert (
        paypal.ask("POST", path, asked("10.00"), status=201, headers=FULL)["status"] == "COMPLETED"
    )
    (row,) = paypal.world.payments()
    assert (row["refunded"], row["platform_fee_refunded"]) == (6000, 450)


def test_paypal_refuses_more_of_the_fee_than_is_left(paypal: PayPalBench) -> None:
    path = sold(paypal)
    error = paypal.ask("POST", path, asked("50.00", "9.01"), status=422)
    assert error["details"][0]["issue"] == "PLATFORM_FEE_EXCEEDED"
