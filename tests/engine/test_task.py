"""What a person is told to do where no provider pays, and that it goes when it is done."""

from __future__ import annotations

from typing import Any

import pytest

from amends.core.facts import Canceled, RefundRequested, Retried
from amends.core.requests import RefundIn
from amends.engine.views import refund_view
from amends.kernel.outcome import Declined
from tests.core.desk import Desk
from tests.core.test_outside import asked, failed, paid, shop


def task(desk: Desk, number: int = 0) -> dict[str, Any] | None:
    found: dict[str, Any] | None = refund_view(desk.order, desk.refund(number))["task"]
    return found


def test_it_says_what_is_owed_and_how_it_ends() -> None:
    desk = shop(names=("visa", "voucher"))
    asked(desk, RefundIn())
    found = task(desk)
    assert found is not None
    assert (found["amount"], found["currency"]) == (5100, "EUR")
    assert found["why"] == "The provider gives nothing back on this payment method."
    assert "payout" in found["how"]
    assert "retry" not in found["how"]
    assert paid(desk, desk.refund().id) == ""
    assert task(desk) is None


@pytest.mark.parametrize("late", [False, True])
def test_what_failed_can_be_tried_again_or_paid_by_hand(late: bool) -> None:
    desk, refund = failed(late)
    found = task(desk)
    assert found is not None
    assert found["amount"] == 1000
    assert "retry" in found["how"]
    desk.tell(Retried(refund))
    assert task(desk) is None


def test_what_was_given_up_is_no_task() -> None:
    desk, refund = failed(late=True)
    desk.tell(Canceled(refund))
    assert task(desk) is None


def test_what_another_refund_gave_back_is_no_task() -> None:
    desk = shop(names=("visa",))
    asked(desk, RefundIn())
    desk.due()
    desk.answer(Declined("account_closed"))
    assert task(desk) is not None
    desk.tell(RefundRequested(RefundIn()))
    assert task(desk) is None


def test_a_refund_under_way_is_no_task() -> None:
    desk = shop(names=("visa",))
    asked(desk)
    assert task(desk) is None
    desk.due()
    desk.accept()
    assert task(desk) is None
