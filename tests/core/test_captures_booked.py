"""Captures in the books, where the merchant wants them there: each once, as far as they stand."""

from __future__ import annotations

from amends.core.facts import CaptureReported, PaymentReported, RefundRequested
from amends.core.requests import RefundIn
from amends.kernel.outcome import CaptureState, CaptureStatus, PaymentState
from tests.core.desk import STRIPE, Desk, card, contract_order

CLEARING, RECEIPTS = f"clearing:{STRIPE}", "customer_receipts"


def desk_of(captured: int, captures: bool = True, currency: str = "USD") -> Desk:
    report = contract_order(tenders=(card(10_200, captured),), currency=currency)
    return Desk(report, captures=captures)


def held(desk: Desk) -> tuple[int, int]:
    return desk.balance(CLEARING), desk.balance(RECEIPTS)


def functional(desk: Desk, account: str) -> int:
    return sum(p.functional for e in desk.entries for p in e.postings if p.account == account)


def hear(desk: Desk, captured: int) -> None:
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=captured)))


def capture(desk: Desk, name: str, amount: int, status: CaptureStatus = "succeeded") -> None:
    state = CaptureState(name, amount, "USD", status)
    desk.tell(CaptureReported(STRIPE, ("pi_1",), state))


def test_what_was_captured_with_the_order_is_booked_with_it() -> None:
    desk = desk_of(10_200)
    assert held(desk) == (10_200, -10_200)
    (entry,) = desk.entries
    assert (entry.kind, entry.refund) == ("capture", "")
    assert entry.hash in desk.events[0].entries


def test_each_capture_is_booked_once_and_a_refund_beside_it() -> None:
    desk = desk_of(0)
    assert desk.entries == []
    hear(desk, captured=4000)
    hear(desk, captured=4000)
    assert held(desk) == (4000, -4000)
    hear(desk, captured=10_200)
    assert held(desk) == (10_200, -10_200)
    assert [e.kind for e in desk.entries] == ["capture", "capture"]
    desk.tell(RefundRequested(RefundIn(amount=1000)))
    desk.accept()
    assert held(desk) == (9200, -10_200)


def test_what_a_capture_lost_is_booked_back_at_the_same_rate() -> None:
    desk = desk_of(0)
    amounts = {"ch_1": 3333, "ch_2": 3333, "ch_3": 3534}
    for name, amount in amounts.items():
        capture(desk, name, amount)
    assert held(desk) == (10_200, -10_200)
    for name, amount in amounts.items():
        capture(desk, name, amount, "failed")
    assert held(desk) == (0, 0)
    assert len(desk.entries) == 6
    assert (functional(desk, CLEARING), functional(desk, RECEIPTS)) == (0, 0)


def test_books_without_captures_have_none_until_they_are_wanted() -> None:
    desk = desk_of(10_200, captures=False)
    assert desk.entries == []
    desk.captures = True
    desk.tell(RefundRequested(RefundIn(amount=1000)))
    assert [e.kind for e in desk.entries].count("capture") == 1
    assert held(desk)[1] == -10_200
