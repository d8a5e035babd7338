"""What a document says is what its entry booked, to the minor unit."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core import postings
from amends.core.documents import DocumentTax, document
from amends.core.facts import Canceled, OrderCancelled, RefundRequested
from amends.core.order import Line, Refund, Shipping, Tax
from amends.core.requests import DiscountIn, LineIn, LinePick, OrderDiscountIn, RefundIn, TaxIn
from amends.core.shares import Breakdown
from amends.kernel.money import Rate
from amends.kernel.time import DAY, day_of
from tests.core.desk import Desk, card, contract_order
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
    entries.append(
        postings.claim_lapsed(order, replace(refund, claimed=refund.amount), Breakdown(), 2)
    )
    entries.append(postings.external(order, refund, refund.legs[0], 3))
    changed = refund.amount - refund.breakdown.compensation
    gross = []
    for entry in entries:
        due = document(order, refund, entry)
        if due is None:  # all of it is compensation
            gross.append(0)
            continue
        gross.append(due.document.gross)
        tax = sum(p.amount for p in entry.postings if p.account == "tax_payable")
        assert (due.at, due.document.tax) == (entry.at, tax)
        assert due.document.net + due.document.tax == due.document.gross
        assert due.document.invoice == "INV-7"
        whole = sum(p.net + sum(t.amount for t in p.taxes) for p in due.document.parts)
        assert whole == (-changed if entry.kind == "claim_lapsed" else changed)
        assert due.document.whole == (abs(due.document.gross) == abs(changed))
        assert (due.document.kind == "reversal") == (entry.kind == "claim_lapsed")
    *claims, lapsed, external = gross
    assert sum(claims) == changed == -lapsed == external
    back = document(order, refund, postings.external(order, refund, refund.legs[0], 4, back=True))
    assert back is None or (back.document.kind, back.document.gross) == ("reversal", -changed)


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


def test_the_parts_of_a_reversal_come_to_it() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),))))
    (due,) = desk.tell(Canceled(desk.refund().id)).documents
    told = due.document
    assert (told.kind, told.whole, told.gross) == ("reversal", True, -3200)
    (part,) = told.parts
    assert (part.quantity, part.net, part.taxes[0].amount) == (-1, -2667, -533)


def test_two_rates_of_one_name_are_two_on_the_document() -> None:
    """A bundle with two rates, less a discount that holds both; the same rate twice is one."""
    vat = (TaxIn("VAT", 300, "0.20"), TaxIn("VAT", 10, "0.05"), TaxIn("VAT", 20, "0.20"))
    off = DiscountIn(110, "x", taxes=(TaxIn("VAT", 15, "0.20"), TaxIn("VAT", 5, "0.05")))
    lines = (LineIn("1", 1, 2000, taxes=vat, subtotal=2110, discounts=(off,)),)
    discounts = (OrderDiscountIn("x", 110),)
    desk = Desk(contract_order(lines=lines, tenders=(card(2600),), discounts=discounts))
    (line,) = desk.order.lines
    named = [(tax.name, tax.amount) for tax in line.taxes]
    assert named == [("VAT 0.20", 320), ("VAT 0.05", 10)]
    assert [tax.name for tax in line.discounts[0].taxes] == ["VAT 0.20", "VAT 0.05"]
    (due,) = desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),)))).documents
    (part,) = due.document.parts
    assert {(tax.rate, tax.amount) for tax in part.taxes} == {("0.20", 320), ("0.05", 10)}


def test_edge_15_the_tax_is_that_which_was_charged_in_the_period_of_the_refund() -> None:
    """A year later, whatever the rate is by then; it names the document and the day of the sale."""
    desk = Desk(contract_order(invoice="INV-7", placed_at="2026-11-01T10:00:00Z"))
    desk.now += 366 * DAY
    (due,) = desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 1),)))).documents
    told = due.document
    assert (told.net, told.tax) == (2667, 533)
    assert told.parts[0].taxes[0].amount == 533
    assert (told.invoice, told.of) == ("INV-7", "2026-11-01")
    assert told.document_date == day_of(desk.now) > "2027-09"
