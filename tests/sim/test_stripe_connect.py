"""Destination charges at the look-alike: what is taken back of a connected account, and refused."""

from __future__ import annotations

from typing import Any

import pytest

SPLIT = {"reverse_transfer": "true", "refund_application_fee": "true"}


def sold(bench: Any, amount: int = 10_000, fee: int = 1000, **more: Any) -> None:
    bench.payment(amount=amount, destination="acct_1", application_fee=fee, **more)


def refund(bench: Any, amount: int | None = None, **more: Any) -> Any:
    params = {"payment_intent": "pi_1"} | ({} if amount is None else {"amount": amount}) | more
    return bench.ask("POST", "/v1/refunds", params)


def row(bench: Any) -> tuple[int, int, int]:
    (found,) = bench.world.payments()
    return found["transferred"], found["reversed"], found["fee_refunded"]


def lines(bench: Any) -> int:
    """What the platform's balance came to."""
    listed = bench.ask("GET", "/v1/balance_transactions", {"limit": 100})["data"]
    return sum(line["net"] for line in listed)


def test_transfer_and_fee_come_back_in_proportion_and_the_last_takes_the_rest(bench: Any) -> None:
    sold(bench)
    before = lines(bench)
    made = refund(bench, 3333, **SPLIT)
    assert made["transfer_reversal"].startswith("trr_")
    assert row(bench) == (10_000, 3333, 333)
    refund(bench, 3333, **SPLIT)
    refund(bench, **SPLIT)
    assert row(bench) == (10_000, 10_000, 1000)
    assert lines(bench) - before == -1000


def test_what_is_not_asked_for_stays_with_the_account(bench: Any) -> None:
    sold(bench)
    assert refund(bench, 5000, reverse_transfer="true")["transfer_reversal"]
    assert refund(bench, 1000)["transfer_reversal"] is None
    assert row(bench) == (10_000, 5000, 0)
    refund(bench, 2000, **SPLIT)
    assert row(bench) == (10_000, 7000, 200), "nor is it taken with the next"


def test_a_part_may_have_been_transferred(bench: Any) -> None:
    sold(bench, fee=0, transfer=9000)
    refund(bench, 5000, reverse_transfer="true")
    assert row(bench) == (9000, 4500, 0)


def test_a_failed_refund_gives_the_account_nothing_back(bench: Any) -> None:
    sold(bench)
    made = refund(bench, **SPLIT)
    bench.control("fail_refund", refund=made["id"])
    assert row(bench) == (10_000, 10_000, 1000)


@pytest.mark.parametrize("flag", ["reverse_transfer", "refund_application_fee"])
def test_what_was_not_transferred_cannot_be_taken_back(bench: Any, flag: str) -> None:
    bench.payment()
    error = bench.refuse("POST", "/v1/refunds", {"payment_intent": "pi_1", flag: "true"})
    assert error["param"] == flag


def test_an_account_that_cannot_give_refuses_and_the_refund_goes_without(bench: Any) -> None:
    sold(bench)
    bench.control("connected_account", account="acct_1", reversible=False)
    params = {"payment_intent": "pi_1", **SPLIT}
    error = bench.refuse("POST", "/v1/refunds", params)
    assert (error["code"], error["param"]) == ("balance_insufficient", "reverse_transfer")
    assert bench.world.movements() == []
    assert refund(bench)["status"] == "succeeded"
    assert row(bench) == (10_000, 0, 0)
    bench.control("connected_account", account="acct_1")
    with pytest.raises(Exception, match="destination"):
        bench.payment("pi_2", amount=100, application_fee=10)
