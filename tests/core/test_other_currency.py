"""A provider that counts a payment in another currency than its order says nothing we can add."""

from __future__ import annotations

from amends.core.facts import DisputeReported, PaymentReported
from amends.kernel.outcome import PaymentState
from tests.core.desk import STRIPE, Desk, card, contract_order


def dispute(currency: str, amount: int, withdrawn: int) -> DisputeReported:
    return DisputeReported(
        STRIPE, ("pi_1",), "dp_1", amount, currency, "needs_response", True, withdrawn
    )


def test_a_capture_told_in_another_currency_raises_nothing_to_refund() -> None:
    desk = Desk(contract_order(tenders=(card(10_200, 5000),)))
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=1_600_000), "JPY"))
    assert desk.payment().captured == 5000, "16,000 yen are no 16,000.00 euro"
    assert desk.raised() == ["currency_mismatch"]


def test_a_dispute_in_another_currency_freezes_the_payment() -> None:
    """How much of ours it took is not known, so nothing more leaves until somebody looks."""
    desk = Desk(contract_order())
    desk.tell(dispute("KWD", 300, 300))
    assert desk.order.remaining == 0
    assert "currency_mismatch" in desk.raised()
    desk.tell(dispute("KWD", 300, 0))
    assert desk.order.remaining == 10_200
