"""A provider that counts a payment in another currency than its order says nothing we can add."""

from __future__ import annotations

from amends.core.facts import PaymentReported
from amends.kernel.outcome import PaymentState
from tests.core.desk import STRIPE, Desk, card, contract_order


def test_a_capture_told_in_another_currency_raises_nothing_to_refund() -> None:
    desk = Desk(contract_order(tenders=(card(10_200, 5000),)))
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=1_600_000), "JPY"))
    assert desk.payment().captured == 5000, "16,000 yen are no 16,000.00 euro"
    assert desk.raised() == ["currency_mismatch"]
