"""What a document says is what its entry booked, to the minor unit."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core import postings
from amends.core.documents import DocumentTax, document
from amends.core.facts import OrderCancelled, RefundRequested
from amends.core.order import Line, Refund, Shipping, Tax
from amends.core.requests import LinePick, RefundIn
from amends.kernel.money import Rate
from tests.core.desk import Desk
from tests.core.test_postings import RATES, order_at, refunds

LINES = (Line("1", 3, 0, (Tax("VAT", 0, "0.20"),), title="Tea"),)
FREIGHT = (Shipping("s", 0, (Tax("VAT", 0, "0.20"),), title="Parcel"),)


@given(refund=refunds(), rate=RATES, data=st.data())
def test_totals_are_the_entrys(refund: Refund, rate: Rate, data: st.DataObject) -> None:
    order = replace(order_at(rate), lines=LINES, shipping=FREIGHT, invoice="INV-7")
    first = data.draw(st.integers(1, refund.amount))
    claimed = replace(refund, claimed=first)
    entries = [postings.claim(order, refund, first, 1)]
    if first < refund.amount:
        entries.append(postings.claim(order, claimed, refund.amount, 1))
    entries.append(postings.claim_lapsed(order, replace(refund, claimed=refund.amount), 2))
    entries.append(postings.external(order, refund, refund.legs[0], 3))
    made = []
    for entry in entries:
        due = document(order, refund, entry)
        assert due is not None
        made.append(due.document)
        tax = sum(p.amount for p in entry.postings if p.account == "tax_payable")
        assert (due.at, due.document.tax) == (entry.at, tax)
        assert due.document.net + due.document.tax == due.document.gross
        assert due.document.invoice == "INV-7"
        whole = sum(p.net + sum(t.amount for t in p.taxes) for p in due.document.parts)
        assert whole == refund.amount
        assert due.document.whole == (abs(due.document.gross) == refund.amount)
    *claims, lapsed, external = made
    assert sum(c.gross for c in claims) == refund.amount == -lapsed.gross == external.gross
    assert (lapsed.kind, external.kind, claims[0].kind) == (
        "reversal",
        "credit_note",
        "credit_note",
    )


@given(refund=refunds(), rate=RATES)
def test_what_is_paid_or_released_has_no_document(refund: Refund, rate: Rate) -> None:
    order, leg = order_at(rate), refund.legs[0]
    for entry in (
        postings.payout(order, refund, leg, 1),
        postings.payout_failed(order, refund, leg, 1),
        postings.void(order, refund, leg, 1),
    ):
        assert document(order, refund, entry) is None


def test_a_refund_has_one_document_with_its_lines_and_taxes() -> None:
    desk = Desk()
    made = _told(desk, RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
    (due,) = made
    (part,) = due.document.parts
    assert (part.kind, part.id, part.quantity) == ("line", "1", 1)
    assert (part.net, part.taxes) == (2667, (DocumentTax("VAT", "0.20", 533),))
    assert due.document.whole
    assert (due.document.source_connection, due.document.source_order) == ("shop-1", "1001")
    assert _told(desk, OrderCancelled())[0].document.gross == 7000


def _told(desk: Desk, fact: Any) -> Any:
    return desk.tell(fact).documents
