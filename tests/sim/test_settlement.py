"""An account kept in one currency: the look-alikes say what a movement took off the balance as the
providers do, our gateways read it, and the balance is the sum of it to the minor unit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

import pytest

from amends.core.effects import LookupRefundsIntent, RefundIntent
from amends.gateways import stripe
from amends.gateways.paypal_objects import refund_state
from amends.gateways.spec import Response, Settings
from amends.kernel.outcome import Accepted, RefundState, Settled
from amends.sim import wire
from amends.sim.settlement import Settlement
from tests.sim.adyen_bench import AdyenBench
from tests.sim.conftest import Bench
from tests.sim.paypal_bench import PayPalBench
from tests.sim.test_paypal_gateway import Wire

DAY = 86_400
IN_EURO: dict[str, Any] = {"currency": "EUR", "rates": {"USD": "0.9", "JPY": "0.006"}}
AT_STRIPE = Settings(
    name="stripe-eu",
    gateway="stripe",
    base_url="http://x/stripe",
    values={"api_key": "sk_test_sandbox"},
)


def intent(
    connection: str, payment: str, amount: int, key: str = "leg_1-1", **more: Any
) -> RefundIntent:
    return RefundIntent(
        connection=connection,
        psp_payment_id=payment,
        currency=more.pop("currency", "USD"),
        key=key,
        amount=amount,
        order="ord_1",
        refund="rf_1",
        leg=key.partition("-")[0],
        epoch=1,
        reason="return",
        figures=True,
        **more,
    )


def ask(bench: Bench, wanted: Any) -> Accepted:
    """What our gateway makes of the look-alike's answer."""
    request = stripe.write(wanted, AT_STRIPE)
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers}
    path = parts.path.removeprefix("/stripe")
    sent = wire.Request(request.method, path, parts.query, headers, request.body)
    plan = bench.world.handle(sent)
    bench.world.release(plan)
    assert plan.response is not None
    answer = Response(plan.response.status, dict(plan.response.headers), plan.response.body)
    outcome = stripe.parse(wanted, answer)
    assert isinstance(outcome, Accepted), outcome
    return outcome


def held(world: wire.World) -> dict[tuple[str, str], int]:
    return {(row["category"], row["currency"]): row["amount"] for row in world.balances()}


def figures(world: wire.World) -> list[tuple[str, int, int]]:
    return [(m.settled_currency, m.settled, m.settled_fee) for m in world.movements()]


def test_rates_are_others_each_day_within_their_bounds() -> None:
    market = Settlement(currency="EUR", rates={"USD": "0.9", "JPY": "0.006"}, drift_bp=100)
    rates = {market.rate("USD", day * DAY) for day in range(200)}
    assert len(rates) > 50
    assert all(rate and abs(rate / Fraction("0.9") - 1) <= Fraction(1, 100) for rate in rates)
    assert market.rate("JPY", 0) == market.rate("JPY", DAY - 1), "all day the same"
    yen = Settlement(currency="EUR", rates={"JPY": "0.006"}).rate("JPY", 0)
    assert yen == Fraction("0.6"), "cents for a yen"
    assert market.rate("EUR", 0) is market.rate("CHF", 0) is None


def test_stripe_tells_its_balance_transaction_where_it_is_expanded() -> None:
    bench = Bench()
    bench.world.control({"op": "settle", **IN_EURO})
    bench.world.control({"op": "payment", "id": "pi_1", "amount": 10_001, "currency": "usd"})
    made = ask(bench, intent("stripe-eu", "pi_1", 3333))
    assert made.refund is not None and made.refund.settled is not None
    told = made.refund.settled
    assert (told.currency, told.amount, told.fee) == ("EUR", 3000, 0)
    assert figures(bench.world) == [("EUR", 3000, 0)]
    listed = LookupRefundsIntent("stripe-eu", "pi_1", "USD", figures=True)
    assert [state.settled for state in ask(bench, listed).refunds] == [told]
    untold = ask(bench, LookupRefundsIntent("stripe-eu", "pi_1", "USD")).refunds[0].settled
    assert untold == Settled(told.id), "an id alone, as in webhooks"
    assert held(bench.world) == {
        ("charge", "EUR"): 9001,
        ("fee", "EUR"): -160,
        ("refund", "EUR"): -3000,
    }


def test_what_failed_late_is_on_stripes_balance_again_to_the_cent() -> None:
    bench = Bench()
    bench.world.control({"op": "settle", **IN_EURO, "drift_bp": 500})
    bench.world.control({"op": "payment", "id": "pi_1", "amount": 10_001, "currency": "jpy"})
    made = ask(bench, intent("stripe-eu", "pi_1", 777, currency="JPY")).refund
    assert made is not None
    before = held(bench.world)
    assert before["refund", "EUR"] < 0
    bench.now += 9 * DAY
    bench.world.control({"op": "fail_refund", "refund": made.psp_refund_id})
    assert held(bench.world)["refund", "EUR"] == 0


def test_a_dispute_at_stripe_brings_its_lines_and_its_fee() -> None:
    bench = Bench()
    bench.world.control({"op": "settle", **IN_EURO, "drift_bp": 500})
    bench.world.control({"op": "payment", "id": "pi_1", "amount": 10_000, "currency": "usd"})
    bench.world.control({"op": "open_dispute", "payment": "pi_1", "amount": 10_400})
    (row,) = bench.world.disputes()
    assert (row["withdrawn"], row["settled_currency"], row["settled_fee"]) == (10_400, "EUR", 1500)
    assert held(bench.world)["dispute", "EUR"] == -row["settled"]
    bench.now += 30 * DAY
    bench.world.control({"op": "close_dispute", "payment": "pi_1", "status": "won"})
    (won,) = bench.world.disputes()
    assert won["withdrawn"] == 0
    assert held(bench.world)["dispute", "EUR"] == -won["settled"] != 0, "at another day's rate"


def test_without_settling_a_balance_is_kept_in_each_currency() -> None:
    bench = Bench()
    bench.world.control({"op": "payment", "id": "pi_1", "amount": 10_000, "currency": "usd"})
    made = ask(bench, intent("stripe-eu", "pi_1", 500)).refund
    assert made is not None and made.settled is not None
    assert (made.settled.currency, made.settled.amount) == ("USD", 500)
    assert held(bench.world)["refund", "USD"] == -500


@pytest.mark.parametrize("back", [False, True])
def test_paypal_tells_its_breakdown_in_the_currency_the_account_is_kept_in(
    back: bool,
) -> None:
    bench = PayPalBench()
    bench.world.control({"op": "settle", **IN_EURO})
    bench.world.control({"op": "settings", "fees_back": back})
    bench.world.control({"op": "payment", "id": "PAY1", "amount": 10_000, "currency": "USD"})
    made = Wire(bench).ask(intent("paypal-eu", "PAY1", 3333))
    assert isinstance(made, Accepted) and made.refund is not None
    told = made.refund.settled
    assert told is not None
    fee = -75 if back else 0
    assert (told.currency, told.amount, told.fee) == ("EUR", 3000, fee)
    assert figures(bench.world)[-1] == ("EUR", 3000, fee)
    kept = held(bench.world)
    assert kept["refund", "EUR"] == -3000
    assert kept["fee", "EUR"] == -225 - fee


def test_a_fee_that_paypal_gives_back_is_told_without_an_exchange_too() -> None:
    bench = PayPalBench()
    bench.world.control({"op": "settings", "fees_back": True})
    bench.world.control({"op": "payment", "id": "PAY1", "amount": 10_000, "currency": "EUR"})
    made = Wire(bench).ask(intent("paypal-eu", "PAY1", 4000, currency="EUR"))
    assert isinstance(made, Accepted)
    state: RefundState | None = made.refund
    assert state is not None
    assert state.settled == Settled(state.psp_refund_id, "EUR", 4000, -100)


def test_what_left_another_payees_balance_is_not_told_of_ours() -> None:
    """The platform that asked pays a part of it: PayPal's figures are the payee's then."""
    plain = {"currency_code": "USD", "value": "30.00"}
    breakdown = {"net_amount": plain, "platform_fees": [{"amount": plain}]}
    told = {"id": "RE1", "amount": plain, "status": "COMPLETED"}
    assert refund_state({**told, "seller_payable_breakdown": {"net_amount": plain}}).settled
    assert refund_state({**told, "seller_payable_breakdown": breakdown}).settled is None


def test_adyen_keeps_each_currency_and_tells_no_figures() -> None:
    bench = AdyenBench()
    bench.world.control({"op": "payment", "id": "ad_1", "amount": 10_000, "currency": "USD"})
    bench.world.control({"op": "dashboard_refund", "payment": "ad_1", "amount": 2500})
    assert held(bench.world) == {("charge", "USD"): 10_000, ("refund", "USD"): -2500}
    assert figures(bench.world) == [("", 0, 0)]
