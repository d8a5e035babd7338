"""Our requests and answers against an independent look-alike that keeps state.

`stripe-stateful-mock` (npm, MIT) knows charges and refunds, replays answers under their key and
refuses a key with other parameters. Install it with `npm ci` in `tests/gateways/stateful_mock`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

from amends.core.effects import Intent, LookupPaymentIntent, LookupRefundsIntent, RefundIntent
from amends.gateways import stripe
from amends.gateways.spec import Request, Response, Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, Unknown
from tests.gateways.stripe_money_table import REFUND

HERE = Path(__file__).parent / "stateful_mock"
_numbers = count(1)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where the look-alike listens, for as long as this module's tests run."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, which is not on this machine")
    if not (HERE / "node_modules" / "stripe-stateful-mock").is_dir():
        pytest.skip("needs stripe-stateful-mock: npm ci in tests/gateways/stateful_mock")
    environment = {**os.environ, "LOG_LEVEL": "silent"}
    process = subprocess.Popen(
        [node, "server.js"], cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def _send(request: Request) -> Response:
    sent = urllib.request.Request(
        request.url, request.body or None, dict(request.headers), method=request.method
    )
    try:
        with urllib.request.urlopen(sent, timeout=10) as got:
            headers = {name.lower(): value for name, value in got.headers.items()}
            return Response(got.status, headers, got.read())
    except urllib.error.HTTPError as error:
        headers = {name.lower(): value for name, value in error.headers.items()}
        with error:
            return Response(error.code, headers, error.read())


@pytest.fixture
def settings(base_url: str) -> Settings:
    """A connection to the look-alike."""
    values = {"api_key": "sk_test_51Table"}
    return Settings(name="stripe-eu", gateway="stripe", base_url=base_url, values=values)


@pytest.fixture
def ask(settings: Settings) -> Callable[[Intent], object]:
    """Writes an intent, sends it, and says what the answer means."""
    return lambda intent: stripe.parse(intent, _send(stripe.write(intent, settings)))


@pytest.fixture
def refund(settings: Settings) -> RefundIntent:
    """An intent to give back 32.00 of a fresh charge of 100.00, under a fresh key."""
    form = urlencode({"amount": 10000, "currency": "eur", "source": "tok_visa"}).encode()
    key = settings.values["api_key"]
    headers = (
        ("Authorization", f"Bearer {key}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    )
    made = _send(Request("POST", f"{settings.base_url}/v1/charges", headers, form))
    charge = msgspec.json.decode(made.body)["id"]
    return msgspec.structs.replace(REFUND, psp_payment_id=charge, key=f"leg_{next(_numbers)}-1")


def _list(refund: RefundIntent, cursor: str = "") -> LookupRefundsIntent:
    return LookupRefundsIntent(
        connection=refund.connection,
        psp_payment_id=refund.psp_payment_id,
        currency=refund.currency,
        cursor=cursor,
    )


Ask = Callable[[Intent], object]


def test_a_refund_is_made_and_carries_our_mark(ask: Ask, refund: RefundIntent) -> None:
    outcome = ask(refund)
    assert isinstance(outcome, Accepted)
    assert outcome.refund is not None
    assert (outcome.refund.amount, outcome.refund.currency) == (3200, "EUR")
    assert (outcome.refund.leg, outcome.refund.epoch) == (refund.leg, refund.epoch)
    assert outcome.refund.status == "succeeded"
    assert outcome.reference.startswith("req_")


def test_the_same_key_gives_the_same_refund(ask: Ask, refund: RefundIntent) -> None:
    first, second = ask(refund), ask(refund)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.refund == second.refund
    listed = ask(_list(refund))
    assert isinstance(listed, Accepted)
    assert listed.refunds == (first.refund,)


def test_many_at_once_under_one_key_are_one_refund(ask: Ask, refund: RefundIntent) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(ask, [refund] * 8))
    made = {outcome.refund for outcome in outcomes if isinstance(outcome, Accepted)}
    assert len(made) == 1
    listed = ask(_list(refund))
    assert isinstance(listed, Accepted)
    assert len(listed.refunds) == 1


def test_the_same_key_for_something_else_leaves_the_first_standing(
    ask: Ask, refund: RefundIntent
) -> None:
    first = ask(refund)
    other = ask(msgspec.structs.replace(refund, amount=3201))
    assert isinstance(first, Accepted)
    assert isinstance(other, Unknown)
    assert other.stored
    assert other.alert


def test_more_than_is_left_is_declined_and_changes_nothing(ask: Ask, refund: RefundIntent) -> None:
    ask(refund)
    outcome = ask(msgspec.structs.replace(refund, key=f"{refund.key}-2", amount=6801))
    assert isinstance(outcome, Declined)
    assert outcome.kind == "refunded"
    rest = ask(msgspec.structs.replace(refund, key=f"{refund.key}-3", amount=6800))
    assert isinstance(rest, Accepted)
    gone = ask(msgspec.structs.replace(refund, key=f"{refund.key}-4", amount=1))
    assert isinstance(gone, Declined)
    assert (gone.kind, gone.code) == ("refunded", "charge_already_refunded")


def test_the_charge_can_be_read(ask: Ask, refund: RefundIntent) -> None:
    ask(refund)
    outcome = ask(
        LookupPaymentIntent(
            connection="stripe-eu", psp_payment_id=refund.psp_payment_id, currency="EUR"
        )
    )
    assert isinstance(outcome, Accepted)
    assert outcome.payment is not None
    assert (outcome.payment.captured, outcome.payment.refunded) == (10000, 3200)


def test_a_list_of_several(ask: Ask, refund: RefundIntent) -> None:
    made = [
        ask(msgspec.structs.replace(refund, key=f"{refund.key}-{i}", leg=f"leg_{i}", amount=i))
        for i in range(1, 8)
    ]
    assert all(isinstance(outcome, Accepted) for outcome in made)
    listed = ask(_list(refund))
    assert isinstance(listed, Accepted)
    assert sorted(state.amount for state in listed.refunds) == list(range(1, 8))
    assert listed.next == ""
    following = ask(_list(refund, listed.refunds[0].psp_refund_id))
    assert isinstance(following, Accepted)
    assert len(following.refunds) == 6


def test_what_is_not_there_is_declined(ask: Ask, refund: RefundIntent) -> None:
    outcome = ask(msgspec.structs.replace(refund, psp_payment_id="ch_nobody"))
    assert isinstance(outcome, Declined)
    assert (outcome.kind, outcome.code) == ("final", "resource_missing")


def test_a_wrong_key_reaches_a_person(settings: Settings, refund: RefundIntent) -> None:
    wrong = msgspec.structs.replace(
        settings, values={"api_key": "rk_test_wrong_key_of_some_length"}
    )
    outcome = stripe.parse(refund, _send(stripe.write(refund, wrong)))
    assert isinstance(outcome, NotSent)
    assert outcome.alert
