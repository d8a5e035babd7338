"""A seller's sale over REST, with the look-alike's own record of what it took back."""

from __future__ import annotations

import json
from typing import Any

from amends.core.chart import Name
from amends.engine.journal import ledger_account
from amends.engine.proof import prove

from .conftest import Shop, order_body

SELLER = {"account": "acct_1", "amount": 10200, "fee": 1020}


async def sold(shop: Shop, **tender: Any) -> str:
    payment = {"id": "pi_1", "amount": 10200, "currency": "eur"}
    payment |= {"destination": "acct_1", "application_fee": 1020}
    shop.sandbox.control({"op": "payment", **payment})
    body = order_body()
    body["tenders"][0] |= {"sellers": [SELLER], **tender}
    answer = await shop.call("POST", "/v1/orders", body)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def there(shop: Shop) -> tuple[int, int, int]:
    """Refunded, reversed and fee given back, as the provider has it."""
    rows = json.loads(shop.sandbox.payments())["items"]
    (row,) = [row for row in rows if row["psp_payment_id"] == "pi_1"]
    return row["refunded"], row["reversed"], row["fee_refunded"]


async def balances(shop: Shop) -> dict[str, int]:
    rows = (await shop.call("GET", "/v1/ledger/balances")).json()["balances"]
    return {row["account"]: row["amount"] for row in rows if row["amount"]}


async def test_share_and_fee_go_back_with_the_refund(shop: Shop) -> None:
    order = await sold(shop)
    quote = (await shop.call("POST", "/v1/quotes", {"order": order, "amount": 3200})).json()
    share = {"account": "acct_1", "amount": 3200, "fee": 320, "taken": 2880}
    assert quote["sellers"] == [share]
    refund = await shop.refund({"quote": quote["id"]})
    assert (refund["state"], refund["sellers"]) == ("succeeded", [share])
    await shop.refund({"order": order})
    assert there(shop) == (10200, 10200, 1020)
    booked = await balances(shop)
    assert booked["clearing:stripe-eu"] == -10200 + 10200 - 1020
    assert (booked["platform_fees"], booked["seller_shares"]) == (1020, -10200)
    assert "seller_receivable:acct_1" not in booked
    assert (await prove(shop.engine.store)).findings == ()
    shown = (await shop.call("GET", f"/v1/orders/{order}")).json()
    assert shown["tenders"][0]["sellers"] == [SELLER]


async def test_edge_22_a_seller_paid_out_owes_and_the_customer_is_paid(shop: Shop) -> None:
    order = await sold(shop)
    shop.sandbox.control({"op": "connected_account", "account": "acct_1", "reversible": False})
    refund = await shop.refund({"order": order, "amount": 3200})
    assert (refund["state"], refund["sellers"][0]["taken"]) == ("succeeded", 0)
    assert there(shop) == (3200, 0, 0)
    booked = await balances(shop)
    assert booked["clearing:stripe-eu"] == -3200
    assert booked["seller_receivable:acct_1"] == 2880
    assert (await prove(shop.engine.store)).findings == ()


async def test_what_an_order_says_of_sellers_adds_up(shop: Shop) -> None:
    body = order_body()
    for sellers, code in (
        ([SELLER | {"amount": 10201}], "422 sellers_off"),
        ([SELLER, {"account": "acct_2", "amount": 1}], "422 sellers_off"),
        ([{"account": "a", "amount": 1}, {"account": "b", "amount": 1}], "422 split_not_possible"),
        ([{"account": "ann@example.com", "amount": 1}], "422 validation"),
    ):
        body["tenders"][0]["sellers"] = sellers
        assert await shop.code("POST", "/v1/orders", body) == code
    body["tenders"][0]["sellers"] = [SELLER]
    body["lines"][0]["seller"] = "acct_2"
    assert await shop.code("POST", "/v1/orders", body) == "422 unknown_seller"


async def test_an_order_without_sellers_shows_none(shop: Shop) -> None:
    refund = await shop.refund({"order": await shop.order(), "amount": 100})
    assert "sellers" not in refund


def test_a_sellers_account_has_a_name_in_the_journal_and_may_have_the_merchants() -> None:
    account = "seller_receivable:acct_1"
    own, other = (ledger_account(name, {}) for name in (account, f"{account}x"))
    assert own.startswith("Assets:Seller-receivable:Acct-1")
    assert own != other
    all_of_them = {"seller_receivable": Name("1410", "Sellers")}
    assert ledger_account(account, all_of_them).startswith("Assets:1410-Sellers:Acct-1")
    assert ledger_account(account, {account: Name("1411")}) == "Assets:1411"
    assert ledger_account("seller_shares", {}) == "Expenses:Seller-shares"
    assert ledger_account("platform_fees", {}) == "Income:Platform-fees"
