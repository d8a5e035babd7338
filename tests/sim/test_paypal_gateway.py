"""Our gateway and PayPal's look-alike: what one writes the other understands, and back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.gateways import paypal as gateway
from amends.gateways.spec import Failure, Response, Settings, Token
from amends.gateways.spec import Request as Written
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, PaymentState, Unknown
from amends.sim import wire
from tests.sim.paypal_bench import PayPalBench, hold_to_documents

CONNECTION = Settings(
    name="paypal-eu",
    gateway="paypal",
    base_url="http://127.0.0.1:9400/paypal",
    values={"client_id": "sandbox", "client_secret": "sandbox_secret", "environment": "sandbox"},
)


class Wire:
    """What an engine does between them: the login, the token, the way."""

    def __init__(self, bench: PayPalBench) -> None:
        self.bench = bench
        self.token = self.login()

    def login(self) -> Token:
        token = gateway.token(self.carry(gateway.login(CONNECTION)))
        assert isinstance(token, Token)
        return token

    def carry(self, request: Written) -> Response | Failure:
        headers = {name.lower(): value for name, value in request.headers}
        path = urlsplit(request.url).path.removeprefix("/paypal")
        sent = wire.Request(request.method, path, "", headers, request.body)
        plan = self.bench.world.handle(sent)
        self.bench.world.release(plan)
        answer = plan.response
        if plan.action != "respond" or answer is None:
            return Failure(plan.action == "drop", "no answer")
        hold_to_documents(sent, answer)
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, lowered, answer.body)

    def ask(self, intent: Intent) -> Outcome:
        request = gateway.write(intent, CONNECTION)
        return gateway.parse(intent, self.carry(gateway.authorize(request, self.token)))

    def look(self, intent: LookupRefundsIntent) -> Accepted:
        """Both pages: the capture names its order, the order lists."""
        first = self.ask(intent)
        assert isinstance(first, Accepted)
        second = self.ask(replace(intent, cursor=first.next))
        assert isinstance(second, Accepted)
        return second


@pytest.fixture
def line(paypal: PayPalBench) -> Wire:
    return Wire(paypal)


def refund(amount: int, number: int = 1, **changes: Any) -> RefundIntent:
    fields = {
        "connection": "paypal-eu",
        "psp_payment_id": "CAP1",
        "currency": "EUR",
        "key": f"leg_{number}-1",
        "amount": amount,
        "order": "ord_1",
        "refund": f"rf_{number}",
        "leg": f"leg_{number}",
        "epoch": 1,
        "reason": "return",
    }
    return RefundIntent(**{**fields, **changes})


def look(payment: str = "CAP1", charge: str = "") -> LookupRefundsIntent:
    return LookupRefundsIntent(
        connection="paypal-eu", psp_payment_id=payment, currency="EUR", charge=charge
    )


def cancel(number: int = 1) -> CancelIntent:
    return CancelIntent(
        connection="paypal-eu",
        psp_payment_id="AUTH1",
        currency="EUR",
        key=f"leg_{number}-1",
        order="ord_1",
        refund="rf_1",
        leg=f"leg_{number}",
        epoch=1,
        reason="return",
    )


def rest(amount: int) -> CaptureRestIntent:
    return CaptureRestIntent(
        connection="paypal-eu",
        psp_payment_id="AUTH1",
        currency="EUR",
        key="leg_3-1",
        amount=amount,
        order="ord_1",
        refund="rf_3",
        leg="leg_3",
        epoch=1,
    )


def sums(outcome: Accepted) -> PaymentState:
    """What an answer says of the payment's money, without the names of its captures."""
    assert outcome.payment is not None
    return replace(outcome.payment, captures=(), psp_release_id="")


def test_a_refund_is_known_as_ours(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    outcome = line.ask(refund(3200))
    assert isinstance(outcome, Accepted) and outcome.refund is not None
    made = outcome.refund
    assert (made.status, made.amount, made.currency) == ("succeeded", 3200, "EUR")
    assert (made.leg, made.epoch) == ("leg_1", 1)
    assert made.psp_at == int(paypal.now) * 1_000_000
    found = line.look(look())
    assert found.refunds == (made,)
    assert sums(found) == PaymentState(captured=10_000, refunded=3200)
    assert found.payment is not None
    assert [taken.psp_capture_id for taken in found.payment.captures] == ["CAP1"]


def test_edge_05_the_same_bytes_again_are_the_same_refund(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    first, again = line.ask(refund(3200)), line.ask(refund(3200))
    assert isinstance(first, Accepted) and isinstance(again, Accepted)
    assert first.refund == again.refund
    assert len(paypal.world.movements()) == 1


def test_edge_02_a_lost_answer_is_settled_by_a_look(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    paypal.control("fault", kind="lost_answer", count=1)
    assert isinstance(line.ask(refund(3200)), Unknown)
    (found,) = line.look(look()).refunds
    assert (found.leg, found.status) == ("leg_1", "succeeded")


def test_edge_02_a_500_on_a_refund_that_was_made(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    paypal.control("fault", kind="error_500", count=1)
    assert isinstance(line.ask(refund(10_000)), Unknown)
    assert isinstance(line.ask(refund(10_000)), Accepted)
    assert len(paypal.world.movements()) == 1


def test_edge_04_past_the_key_the_invoice_id_still_guards(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    line.ask(refund(3200))
    paypal.now += 45 * 86_400
    line.token = line.login()
    outcome = line.ask(refund(3200))
    assert isinstance(outcome, Unknown) and outcome.stored
    assert len(paypal.world.movements()) == 1


def test_edge_08_a_refund_that_fails_later(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    outcome = line.ask(refund(3200))
    assert isinstance(outcome, Accepted) and outcome.refund is not None
    paypal.control("fail_refund", refund=outcome.refund.psp_refund_id)
    found = line.look(look())
    assert [(r.status, r.failure_reason) for r in found.refunds] == [("failed", "ECHECK")]
    assert sums(found) == PaymentState(captured=10_000, refunded=0)


def test_edge_10_what_people_refunded_is_listed_as_not_ours(
    paypal: PayPalBench, line: Wire
) -> None:
    paypal.captured(custom_id="order-1", invoice_id="INV-1")
    paypal.control("dashboard_refund", payment="CAP1", amount=500)
    paypal.control("reverse", payment="CAP1", amount=300)
    found = line.look(look())
    assert [(r.amount, r.leg, r.epoch) for r in found.refunds] == [(500, "", 0), (300, "", 0)]


def test_a_reversal_nobody_lists_is_seen_by_the_capture(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    paypal.control("reverse", payment="CAP1", listed=False)
    assert sums(line.look(look())) == PaymentState(captured=10_000, refunded=10_000)


@pytest.mark.parametrize(
    ("issue", "kind"),
    [
        ("CAPTURE_FULLY_REFUNDED", "refunded"),
        ("REFUND_AMOUNT_EXCEEDED", "refunded"),
        ("PENDING_CAPTURE", "funds"),
        ("REFUND_FAILED_INSUFFICIENT_FUNDS", "funds"),
        ("TRANSACTION_DISPUTED", "final"),
        ("PAYEE_ACCOUNT_RESTRICTED", "final"),
    ],
)
def test_a_refusal_is_a_no(paypal: PayPalBench, line: Wire, issue: str, kind: str) -> None:
    paypal.captured()
    paypal.control("refusal", issue=issue)
    outcome = line.ask(refund(3200))
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.kind) == (issue, kind)
    assert paypal.world.movements() == []


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("rate_limit", NotSent),
        ("lock_timeout", Unknown),
        ("unavailable", Unknown),
        ("refuse", NotSent),
    ],
)
def test_faults_have_their_outcome(
    paypal: PayPalBench, line: Wire, fault: str, outcome: type[Outcome]
) -> None:
    paypal.captured()
    paypal.control("fault", kind=fault, count=1)
    assert isinstance(line.ask(refund(3200)), outcome)
    assert isinstance(line.ask(refund(3200)), Accepted)


def test_a_token_that_is_void_means_another_login(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured()
    paypal.control("revoke_tokens")
    assert isinstance(line.ask(refund(3200)), NotSent)
    line.token = line.login()
    assert isinstance(line.ask(refund(3200)), Accepted)
    assert line.token.lifetime == 9 * 3600 * 1_000_000


def test_edge_20_a_void(paypal: PayPalBench, line: Wire) -> None:
    paypal.authorized()
    read = LookupPaymentIntent(connection="paypal-eu", psp_payment_id="AUTH1", currency="EUR")
    before = line.ask(read)
    assert isinstance(before, Accepted)
    assert before.payment == PaymentState(authorized=10_000, captured=0, capturable=10_000)
    for number in (1, 1):
        outcome = line.ask(cancel(number))
        assert isinstance(outcome, Accepted) and outcome.payment is not None
        assert (outcome.payment.canceled, outcome.payment.capturable) == (True, 0)
    again = line.ask(cancel(2))
    assert isinstance(again, Declined) and again.kind == "canceled"
    assert [m.kind for m in paypal.world.movements()] == ["void"]


def test_edge_21_a_capture_of_the_rest_then_a_refund_of_it(paypal: PayPalBench, line: Wire) -> None:
    paypal.authorized()
    outcome = line.ask(rest(7000))
    assert isinstance(outcome, Accepted)
    assert sums(outcome) == PaymentState(captured=7000, capturable=0)
    charge = paypal.row()["charge"]
    assert outcome.payment is not None and outcome.payment.psp_release_id == charge
    late = line.ask(cancel())
    assert isinstance(late, Declined) and late.kind == "captured"
    assert isinstance(line.ask(refund(1000, psp_payment_id="AUTH1", charge=charge)), Accepted)
    found = line.look(look("AUTH1", charge))
    assert sums(found) == PaymentState(10_000, 7000, 1000, False, 0)


def test_edge_16_forint_go_out_without_decimals(paypal: PayPalBench, line: Wire) -> None:
    paypal.captured(500_000, currency="HUF")
    outcome = line.ask(refund(320_000, currency="HUF"))
    assert isinstance(outcome, Accepted) and outcome.refund is not None
    assert outcome.refund.amount == 320_000
    assert paypal.world.movements()[0].amount == 320_000
