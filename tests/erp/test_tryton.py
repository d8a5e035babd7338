"""gateways/tryton.py against a real Tryton."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from amends.core.outlets import Booked, Books, Goods, GoodsReturned, RefundPaid
from amends.gateways.tryton_rest import number
from amends.kernel.outcome import Declined, NotSent
from tests.erp.server import Tryton
from tests.erp.talking import (
    NOW,
    TODAY,
    accepted,
    broken_off,
    find,
    key,
    note,
    notes,
    on_hand,
    part,
    settings,
    tell,
)

VAT = ("VAT", "0.20")
LOW = ("VAT", "0.10")


def dec(record: dict[str, Any], field: str) -> Decimal:
    return number(record, field)


def paid(of: str, amount: int, **fields: Any) -> RefundPaid:
    given = {"account": "clearing:stripe-eu", "refund": "rf_1", "reference": "re_1", **fields}
    return RefundPaid(key=key(), at=NOW, note=of, amount=amount, currency="EUR", **given)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((part(2300, (*VAT, 460)),), id="plain"),
        pytest.param((part(2300, (*VAT, 461)),), id="tax not as Tryton rounds it"),
        pytest.param((part(1000, (*VAT, 200), quantity=3),), id="three for ten"),
        pytest.param((part(33333, (*VAT, 6667), quantity=700),), id="no price comes to it"),
        pytest.param((part(100, (*VAT, 21)), part(250, (*LOW, 24), id="2")), id="two rates"),
        pytest.param(
            (
                part(2300, (*VAT, 460)),
                part(500, (*VAT, 99), kind="shipping", id="s1", quantity=0),
                part(-300, ("VAT", "", -61), kind="fee", id="restocking", quantity=0),
            ),
            id="a fee is kept back",
        ),
        pytest.param((part(777, kind="other", id="", quantity=0),), id="no tax"),
        pytest.param((part(2, (*VAT, 0)),), id="no cent of tax"),
    ],
)
def test_a_credit_note_is_exact(tryton: Tryton, parts: Any) -> None:
    """Net, each tax and gross are the document's, whatever Tryton would make of its rates."""
    its = settings(tryton)
    told = note(*parts)
    outcome = accepted(told, its)
    (made,) = notes(its, told.key)
    assert (made["state"], made["number"]) == ("posted", outcome.reference)
    document = told.document
    for field, minor in (
        ("untaxed_amount", document.net),
        ("tax_amount", document.tax),
        ("total_amount", document.gross),
    ):
        assert dec(made, field) == Decimal(-minor).scaleb(-2)
    fields = ("tax.name", "amount", "type", "move_line.id")
    of = ["move_line.move.origin.reference", "=", told.key, "account.invoice"]
    lines = find(its, "account.tax.line", [of], *fields)
    assert sum(dec(one, "amount") for one in lines if one["type"] == "tax") == Decimal(
        -document.tax
    ).scaleb(-2)
    for name in {one["tax"]["name"] for one in lines}:
        base = sum(p.net for p in parts if f"VAT {p.taxes[0].rate or '0.20'}" == name)
        told_base = [one for one in lines if one["tax"]["name"] == name and one["type"] == "base"]
        assert sum(dec(one, "amount") for one in told_base) == Decimal(-base).scaleb(-2)


def test_it_is_of_the_sale(tryton: Tryton) -> None:
    its = settings(tryton)
    told = note(part(2300, (*VAT, 460)))
    accepted(told, its)
    fields = ("party.name", "lines.origin", "lines.product.code", "lines.quantity", "description")
    (made,) = find(its, "account.invoice", [["reference", "=", told.key]], *fields)
    assert made["party"]["name"] == "Ada Example"
    assert made["lines"][0]["origin"].startswith("account.invoice.line,")
    assert (made["lines"][0]["product"]["code"], made["lines"][0]["quantity"]) == ("TEA", -1)
    assert "rf_1" in made["description"]


def test_a_sale_tryton_does_not_know_is_the_guests(tryton: Tryton) -> None:
    its = settings(tryton)
    told = note(part(2300, (*VAT, 460)), shop_order="nowhere", source_order="nowhere")
    accepted(told, its)
    (made,) = find(its, "account.invoice", [["reference", "=", told.key]], "party.code")
    assert made["party"]["code"] == "GUESTS"


def test_a_reversal_has_the_other_sign(tryton: Tryton) -> None:
    its = settings(tryton)
    told = note(part(-2300, (*VAT, -460), quantity=-1), kind="reversal", reverses=("CN-1",))
    accepted(told, its)
    (made,) = notes(its, told.key)
    assert dec(made, "total_amount") == Decimal("27.60")


def test_a_part_of_a_refund_comes_to_its_amounts(tryton: Tryton) -> None:
    its = settings(tryton)
    parts = (part(2300, (*VAT, 460)), part(-300, (*VAT, -60), kind="fee", id="x", quantity=0))
    told = note(*parts, net=1001, tax=199, gross=1200, whole=False)
    accepted(told, its)
    (made,) = notes(its, told.key)
    assert (dec(made, "untaxed_amount"), dec(made, "tax_amount")) == (
        Decimal("-10.01"),
        Decimal("-1.99"),
    )


def test_told_twice_it_is_there_once(tryton: Tryton) -> None:
    its = settings(tryton)
    told = note(part(2300, (*VAT, 460)))
    assert accepted(told, its) == accepted(told, its)
    assert len(notes(its, told.key)) == 1


def test_broken_off_anywhere_and_begun_anew_there_is_one_of_each(tryton: Tryton) -> None:
    """A crash after every request of a credit note, its payment, and goods that came back."""
    its = settings(tryton)
    after = 1
    broken = True
    while broken:
        told = note(part(2300, (*VAT, 460)))
        broken = broken_off(told, its, after)
        accepted(told, its)
        (made,) = notes(its, told.key)
        assert made["state"] == "posted"
        payment = paid(told.key, 2760)
        broken |= broken_off(payment, its, after)
        accepted(payment, its)
        moves = find(its, "account.move", [["description", "=", payment.key]], "state")
        assert [move["state"] for move in moves] == ["posted"]
        assert notes(its, told.key)[0]["state"] == "paid"
        goods = GoodsReturned(
            key=key(), at=NOW, return_id="r", shop_order="1002", lines=(Goods("1", "TEA", 1),)
        )
        before = on_hand(its, "TEA", "STO")
        broken |= broken_off(goods, its, after)
        accepted(goods, its)
        assert on_hand(its, "TEA", "STO") == before + 1
        after += 1
    assert after > 5


def test_a_payment_pays_in_parts(tryton: Tryton) -> None:
    its = settings(tryton)
    told = note(part(2300, (*VAT, 460)))
    accepted(told, its)
    first, rest = paid(told.key, 1000), paid(told.key, 1760)
    accepted(first, its)
    (made,) = notes(its, told.key)
    assert (made["state"], dec(made, "amount_to_pay")) == ("posted", Decimal("-17.60"))
    assert accepted(rest, its) == accepted(rest, its)
    assert notes(its, told.key)[0]["state"] == "paid"


def test_without_a_login_it_is_paid_and_left_to_be_reconciled(tryton: Tryton) -> None:
    its = settings(tryton, login=False)
    told = note(part(2300, (*VAT, 460)))
    accepted(told, its)
    accepted(paid(told.key, 2760), its)
    (made,) = notes(its, told.key)
    assert (made["state"], dec(made, "amount_to_pay")) == ("posted", Decimal(0))


def test_a_late_failure_opens_the_credit_note_again(tryton: Tryton) -> None:
    """Edge 8: the money is back on the account it came from, and the customer is owed it."""
    its = settings(tryton)
    told = note(part(2300, (*VAT, 460)))
    accepted(told, its)
    accepted(paid(told.key, 2760), its)
    back = paid(told.key, 2760, back=True)
    for after in range(1, 9):
        broken_off(back, its, after)
    accepted(back, its)
    accepted(back, its)
    (made,) = notes(its, told.key)
    assert (made["state"], dec(made, "amount_to_pay")) == ("posted", Decimal("-27.60"))
    accepted(paid(told.key, 2760, refund="rf_2", reference="re_2"), its)
    assert notes(its, told.key)[0]["state"] == "paid"


def test_a_payment_of_what_is_not_there_is_for_a_person(tryton: Tryton) -> None:
    outcome = tell(paid("nothing", 100), settings(tryton))
    assert isinstance(outcome, Declined)
    assert "no posted credit note" in outcome.text


def test_goods_go_where_they_are_to_be(tryton: Tryton) -> None:
    """Restocked, set aside and thrown away: exactly these units, once."""
    its = settings(tryton)
    before = {place: on_hand(its, "TEA", place) for place in ("STO", "QUA", "WASTE", "IN")}
    lines = (
        Goods("1", "TEA", 2),
        Goods("1", "TEA", 1, "quarantine"),
        Goods("1", "TEA", 1, "write_off"),
    )
    told = GoodsReturned(key=key(), at=NOW, return_id="r1", shop_order="1002", lines=lines)
    assert accepted(told, its) == accepted(told, its)
    after = {place: on_hand(its, "TEA", place) for place in before}
    gained = {place: after[place] - before[place] for place in before}
    assert gained == {"STO": 2, "QUA": 1, "WASTE": 1, "IN": 0}


def test_goods_without_a_place_are_for_a_person(tryton: Tryton) -> None:
    lines = (Goods("1", "TEA", 1, "refurbish"),)
    told = GoodsReturned(key=key(), at=NOW, return_id="r1", shop_order="1002", lines=lines)
    outcome = tell(told, settings(tryton))
    assert isinstance(outcome, Declined)
    assert "locations = { refurbish" in outcome.text


@pytest.mark.parametrize("day", ["closed", "outside"])
def test_a_closed_period_is_for_a_person_in_its_own_words(tryton: Tryton, day: str) -> None:
    its = settings(tryton)
    when = str(tryton.facts[day])
    told = note(part(2300, (*VAT, 460)), day=when)
    outcome = tell(told, its)
    assert isinstance(outcome, Declined)
    assert "period" in outcome.text.lower()
    again = tell(told, its)
    assert isinstance(again, Declined)
    assert [one["state"] for one in notes(its, told.key)] == ["draft"]


def test_a_day_of_the_books_is_one_move(tryton: Tryton) -> None:
    its = settings(tryton)
    booked = (
        Booked("provider_fees", 500, "EUR", 500),
        Booked("clearing:stripe-eu", -300, "EUR", -300),
        Booked("clearing:stripe-us", -200, "USD", -230),
        Booked("memo_released", 100, "EUR", 100),
        Booked("memo_authorizations", -100, "EUR", -100),
    )
    told = Books(key=key(), at=NOW, day=TODAY, currency="EUR", lines=booked)
    assert accepted(told, its) == accepted(told, its)
    fields = ("state", "lines.debit", "lines.credit", "lines.amount_second_currency")
    (made,) = find(its, "account.move", [["description", "=", told.key]], *fields)
    assert made["state"] == "posted"
    assert sum(dec(line, "debit") for line in made["lines"]) == 5
    assert sorted(dec(line, "amount_second_currency") for line in made["lines"])[0] == Decimal(
        "-2.30"
    )
    assert len(made["lines"]) == 3


def test_an_account_that_is_not_mapped_names_itself(tryton: Tryton) -> None:
    told = Books(
        key=key(), at=NOW, day=TODAY, currency="EUR", lines=(Booked("goodwill", 1, "EUR", 1),)
    )
    outcome = tell(told, settings(tryton))
    assert isinstance(outcome, Declined)
    assert "goodwill" in outcome.text


def test_a_wrong_key_wants_a_person_and_loses_nothing(tryton: Tryton) -> None:
    its = settings(tryton)
    wrong = type(its)(**{**_fields(its), "values": {**its.values, "api_key": "wrong"}})
    outcome = tell(note(part(2300, (*VAT, 460))), wrong)
    assert isinstance(outcome, NotSent)
    assert outcome.alert


def _fields(its: Any) -> dict[str, Any]:
    return {name: getattr(its, name) for name in its.__struct_fields__}
