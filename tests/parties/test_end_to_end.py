"""Vendure to amends to Stripe's look-alike to Tryton, no person in between (issue 7): a unit that
was delivered is cancelled in the shop, and every book follows. The same with each process killed in
the middle once, and with every message of the shop sent twice and out of order.

Needs `make tryton vendure`, as `make test` does it; skipped where they cannot be installed.
"""

from __future__ import annotations

import itertools
import signal
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from amends.gateways.tryton_rest import decimal, number
from tests.erp import talking
from tests.parties.street import Street, until
from tests.shops.vendure_kit import Pay

UNIT = 2969  # 24.95 and VAT of 19 %
SOLD = 3
_numbers = itertools.count(1)


class Story:
    """Three mugs are paid, sent and delivered: in the shop and, by their own integration, in the
    ERP. One comes back."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.payment = f"pi_street_{next(_numbers)}"
        self.notes = len(self.paid_notes())
        self.pay()
        order = street.shop.buy({"MUG-01": SOLD}, [Pay(self.payment)])
        self.code = str(order["code"])
        street.shop.fulfil(self.code, {"MUG-01": SOLD})
        talking.sell(street.its, self.code, "MUG-01", SOLD, "24.95", "VAT 0.19")
        self.in_shop, self.in_erp = street.shop.stock("MUG-01")[0], self.on_hand()

    def pay(self) -> None:
        self.street.paid(self.payment, SOLD * UNIT + 495)

    def goes_back(self) -> None:
        self.street.shop.cancel(self.code, {"MUG-01": 1}, "returned")

    # -- what each party says ------------------------------------------------------------------

    def moved(self) -> list[dict[str, Any]]:
        return [m for m in self.street.moved() if m["psp_payment_id"] == self.payment]

    def refunds(self) -> list[dict[str, Any]]:
        found = self.street.refunds()
        return [r for r in found if self.payment in str(self.street.refund(r["id"]))]

    def recorded(self) -> list[tuple[int, str]]:
        return [(r["total"], r["state"]) for r in self.street.shop.refunds(self.code)]

    def paid_notes(self) -> list[dict[str, Any]]:
        fields = ("number", "untaxed_amount", "tax_amount", "total_amount")
        paid = [["type", "=", "out"], ["state", "=", "paid"], ["total_amount", "<", decimal("0")]]
        return talking.find(self.street.its, "account.invoice", paid, *fields)

    def on_hand(self) -> float:
        return talking.on_hand(self.street.its, "MUG-01", "STO")

    def everybody_told(self) -> bool:
        rows = self.street.told()
        return bool(rows) and all(row["state"] == "done" for row in rows)

    def is_settled(self) -> None:
        """Every book says the same, once."""
        (moved,) = until("one refund at the provider", self.moved)
        assert (moved["kind"], moved["amount"]) == ("refund", UNIT)
        until("it is paid here", lambda: [r["state"] for r in self.refunds()] == ["succeeded"])
        until("the shop shows it", lambda: self.recorded() == [(UNIT, "Settled")])
        until("the credit note is paid", lambda: len(self.paid_notes()) == self.notes + 1)
        note = max(self.paid_notes(), key=lambda one: str(one["number"]))
        figures = [number(note, f) for f in ("untaxed_amount", "tax_amount", "total_amount")]
        assert figures == [Decimal("-24.95"), Decimal("-4.74"), Decimal("-29.69")]
        until("the return is in the ERP", lambda: self.on_hand() == self.in_erp + 1)
        assert self.street.shop.stock("MUG-01")[0] == self.in_shop + 1
        until("everybody was told", self.everybody_told)
        assert self.street.shop.paid_by_handler() == [], "the shop paid nothing again"
        assert (len(self.moved()), len(self.refunds()), len(self.recorded())) == (1, 1, 1)
        assert len(self.paid_notes()) == self.notes + 1


def test_a_unit_that_comes_back_is_made_good_in_every_book(street: Street) -> None:
    story = Story(street)
    story.goes_back()
    story.is_settled()
    assert street.shop.stock("MUG-01")[0] == story.on_hand() == 100 - SOLD + 1


@pytest.mark.parametrize("victim", ["amends", "sandbox", "tryton", "shop"])
def test_each_process_may_be_killed_in_the_middle(street: Street, victim: str) -> None:
    """The look-alike of Stripe has no memory, unlike what it stands for: it is away when it is
    asked, and is told of the payment again when it is back."""
    story = Story(street)
    process: Any = getattr(street, victim)
    if victim in ("tryton", "sandbox"):
        process.stop(signal.SIGKILL)
    story.goes_back()
    if victim != "shop":
        until("the money is under way", story.moved if victim == "tryton" else story.refunds)
    process.stop(signal.SIGKILL)
    process.start()
    street.ready()
    if victim == "sandbox":
        street.listen()
        story.pay()
    story.is_settled()


@pytest.mark.parametrize("seed", [1, 2])
def test_messages_that_come_twice_and_out_of_order_change_nothing(
    street: Street, seed: int
) -> None:
    prng = Random(seed)
    street.post.holds = True
    story = Story(street)
    before = len(street.post.came)
    story.goes_back()
    until("the shop has told of it", lambda: len(street.post.came) > before)
    street.post.holds = False
    assert story.moved() == []
    assert set(street.post.again(prng)) <= {200, 204}
    until("the shop shows it", story.recorded)
    assert set(street.post.again(prng)) <= {200, 204}
    story.is_settled()
