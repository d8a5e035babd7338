"""gateways/tryton.py, without one; tests/erp has a real one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.documents import Document, DocumentPart, DocumentTax
from amends.core.outlets import (
    Booked,
    Books,
    CreditNote,
    Goods,
    GoodsReturned,
    LinesReleased,
    RefundPaid,
    Telling,
)
from amends.gateways import tryton
from amends.gateways.spec import Failure, Response, Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from tests.gateways.fake_tryton import Fake

AT = 1_795_000_000_000_000
SETTINGS = Settings(
    name="erp",
    gateway="tryton",
    base_url="https://erp.example/shop/",
    values={"api_key": "k", "party": "GUESTS", "rpc_user": "u", "rpc_password": "p"},
    tables={"accounts": {"clearing": "1", "sales_returns": "1"}, "taxes": {"VAT": "5"}},
)


def note(*parts: DocumentPart, **fields: Any) -> CreditNote:
    net = sum(part.net for part in parts)
    tax = sum(one.amount for part in parts for one in part.taxes)
    its = {
        "kind": "credit_note",
        "order": "ord_1",
        "entry": 1,
        "refund": "rf_1",
        "entity": "main",
        "source_connection": "shop",
        "source_order": "1001",
        "invoice": "",
        "of": "2026-11-01",
        "document_date": "2026-11-23",
        "reason": "return",
        "currency": "EUR",
        "net": net,
        "tax": tax,
        "gross": net + tax,
        "whole": True,
        "parts": parts,
        **fields,
    }
    return CreditNote(key="k1", at=AT, document=Document(**its), skus=(("1", "TEA"),))


def part(net: int, tax: int, quantity: int = 1, kind: str = "line") -> DocumentPart:
    return DocumentPart(kind, "1", "Tea", quantity, net, (DocumentTax("VAT", "0.20", tax),))


def held(told: Telling, fake: Fake, after: int = 10_000) -> Outcome | None:
    """The conversation; None: dropped after so many answers."""
    talk = tryton.talk(told, SETTINGS, AT)
    try:
        request = next(talk)
        for _ in range(after):
            request = talk.send(fake.answer(request))
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    talk.close()
    return None


def half_made(told: CreditNote, fake: Fake) -> dict[str, Any]:
    """The draft of a conversation that ended right after it was made."""
    after = 0
    while not fake.made.get("account.invoice"):
        held(told, fake, after)
        after += 1
    (draft,) = fake.made["account.invoice"]
    return draft


ONE_OF_EACH: tuple[Telling, ...] = (
    note(part(2300, 460)),
    RefundPaid(
        key="p", at=AT, note="k1", refund="rf", amount=1, currency="EUR", account="clearing:x"
    ),
    GoodsReturned(key="g", at=AT, return_id="r", lines=(Goods("1", "TEA", 1),)),
    Books(
        key="b", at=AT, day="2026-11-23", currency="EUR", lines=(Booked("clearing", 1, "EUR", 1),)
    ),
)

parts = st.builds(
    part,
    net=st.integers(-10_000, 1_000_000),
    tax=st.integers(-2_000, 200_000),
    quantity=st.integers(0, 5_000),
    kind=st.sampled_from(["line", "shipping", "charge", "fee", "promotion"]),
)


@given(st.lists(parts, min_size=1, max_size=4), st.integers(0, 20))
def test_a_credit_note_is_exact_and_once_wherever_it_was_broken_off(
    given_back: list[DocumentPart], after: int
) -> None:
    """Whatever a line's price and the taxes are: Tryton's own arithmetic comes to the document."""
    fake = Fake()
    told = note(*given_back)
    held(told, fake, after)
    assert isinstance(held(told, fake), Accepted)
    (made,) = fake.made["account.invoice"]
    assert made["state"] == "posted"
    assert Decimal(made["total_amount"]["decimal"]) == Decimal(-told.document.gross).scaleb(-2)


@given(
    parts=st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 2_000)), min_size=1),
    data=st.data(),
)
def test_a_part_of_a_refund_is_exact(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    net = data.draw(st.integers(0, sum(one for one, _ in parts)))
    tax = data.draw(st.integers(0, sum(one for _, one in parts)))
    fake = Fake()
    told = note(*(part(*one) for one in parts), net=net, tax=tax, gross=net + tax, whole=False)
    assert isinstance(held(told, fake), Accepted)


def test_what_does_not_come_to_the_document_is_not_posted() -> None:
    told = note(part(100, 20), net=200, tax=20, gross=220, whole=False)
    outcome = held(told, Fake())
    assert isinstance(outcome, Declined)
    fake = Fake()
    told = note(part(2300, 460))
    half_made(told, fake)["tax_amount"] = {"__class__": "Decimal", "decimal": "-4.61"}
    outcome = held(told, fake)
    assert isinstance(outcome, Declined)
    assert outcome.code == "amounts"
    assert fake.made["account.invoice"][0]["state"] == "draft"


def test_what_is_there_is_only_looked_at() -> None:
    fake = Fake()
    told = note(part(2300, 460))
    first = held(told, fake)
    talk = tryton.talk(told, SETTINGS, AT)
    request = next(talk)
    with pytest.raises(StopIteration) as ended:
        while request.method == "GET":
            request = talk.send(fake.answer(request))
    assert ended.value.value == first


def test_of_two_drafts_one_is_left() -> None:
    """The first request was given up, and arrived after all."""
    fake = Fake()
    told = note(part(2300, 460))
    late = half_made(told, fake)
    fake.made["account.invoice"].append({**late, "id": 999})
    assert held(told, fake) == Accepted(reference=f"N{late['id']}")
    assert len(fake.made["account.invoice"]) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Failure(False, "refused"), NotSent("refused")),
        (Failure(True, "lost"), Unknown("lost")),
        (
            Response(503, {"retry-after": "2"}, b"<p>could not obtain lock</p>"),
            NotSent("could not obtain lock", retry_after=2_000_000),
        ),
        (
            Response(400, {}, b'{"message": "The period is closed.", "description": "Open it."}'),
            Declined("http_400", "The period is closed. Open it."),
        ),
        (Response(500, {}, b"<h1>Oops</h1>"), Unknown("Oops", alert=True)),
        (Response(502, {}, b""), Unknown("Tryton answered 502")),
        (Response(408, {}, b""), Unknown("Tryton answered 408")),
    ],
)
def test_what_an_answer_means(answer: Response | Failure, outcome: Outcome) -> None:
    """Wherever in the conversation it comes, and the telling is done with the next try."""
    told = note(part(2300, 460))
    for after in range(10):
        fake = Fake()
        talk = tryton.talk(told, SETTINGS, AT)
        request = next(talk)
        for _ in range(after):
            request = talk.send(fake.answer(request))
        with pytest.raises(StopIteration) as ended:
            talk.send(answer)
        assert ended.value.value == outcome
        assert isinstance(held(told, fake), Accepted)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_rights_want_a_person_and_are_tried_again(status: int) -> None:
    fake = Fake()
    fake.refuse = [Response(status, {}, b"")]
    outcome = held(note(part(1, 0)), fake)
    assert isinstance(outcome, NotSent)
    assert outcome.alert


ANSWERS = st.one_of(
    st.builds(Failure, st.booleans(), st.text(max_size=5)),
    st.builds(
        Response,
        st.sampled_from([200, 200, 200, 204, 400, 404, 500, 503, 999]),
        st.just({}),
        st.one_of(
            st.binary(max_size=20),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                lambda some: (
                    st.lists(some, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["id", "state", "currency", "code", "result", "error"]),
                        some,
                    )
                ),
                max_leaves=8,
            ).map(msgspec.json.encode),
        ),
    ),
)


@given(st.sampled_from(ONE_OF_EACH), st.integers(0, 12), st.data())
def test_no_answer_makes_it_raise(told: Telling, after: int, data: st.DataObject) -> None:
    """After a conversation that went well for a while, anything may be said."""
    fake = Fake()
    for talk in (tryton.talk(told, SETTINGS, AT), tryton.inspect(SETTINGS)):
        try:
            request = next(talk)
            for at in range(40):
                good = at < after and "/rpc/" not in request.url and "/rest/" in request.url
                said = data.draw(ANSWERS) if not good else _answered(fake, request)
                request = talk.send(said)
        except StopIteration:
            continue


def _answered(fake: Fake, request: Any) -> Response | Failure:
    """What the fake says, as far as it goes."""
    try:
        return fake.answer(request)
    except (KeyError, StopIteration, AssertionError):
        return Response(200, {}, b"{}")


def _sale(name: int, party: int) -> dict[str, Any]:
    who = {"id": party, "account_receivable": {"id": 8}}
    return {"id": name, "reference": "1001", "party": who, "invoice_address": {"id": party + 1}}


def _invoice(name: int, party: int, number: str) -> dict[str, Any]:
    whose = {"party": {"id": party}, "invoice_address": {"id": 3}, "account": {"id": 8}}
    return {**whose, "id": name, "number": number, "total_amount": 12, "state": "posted"}


class Shops(Fake):
    """Invoices of several shops under one reference."""

    def __init__(self, *invoices: dict[str, Any]) -> None:
        super().__init__()
        self.invoices = list(invoices)

    def _found(self, model: str, domain: list[Any]) -> list[dict[str, Any]]:
        sold = model == "account.invoice" and any(clause[0] == "OR" for clause in domain)
        return self.invoices if sold else super()._found(model, domain)


def test_two_shops_orders_of_one_name_are_no_one_s() -> None:
    """A credit note for another customer is worse than none."""
    fake = Fake()
    fake.made["sale.sale"] = [_sale(70, 2), _sale(71, 12)]
    outcome = held(note(part(2300, 460)), fake)
    assert isinstance(outcome, Declined)
    assert "'1001'" in outcome.text
    assert "account.invoice" not in fake.made
    fake = Shops(_invoice(50, 2, "INV-1"), _invoice(51, 12, "INV-2"))
    assert isinstance(held(note(part(2300, 460)), fake), Declined)
    assert "account.invoice" not in fake.made


def test_the_number_of_the_invoice_says_whose_it_is() -> None:
    fake = Shops(_invoice(50, 2, "INV-1"), _invoice(51, 12, "INV-2"))
    assert isinstance(held(note(part(2300, 460), invoice="INV-2"), fake), Accepted)
    assert [one["party"] for one in fake.made["account.invoice"]] == [12]


def test_two_sales_of_one_party_are_one() -> None:
    fake = Fake()
    fake.made["sale.sale"] = [_sale(70, 2), _sale(71, 2)]
    assert isinstance(held(note(part(2300, 460)), fake), Accepted)


def test_only_the_key_is_told_and_only_to_tryton() -> None:
    talk = tryton.talk(ONE_OF_EACH[0], SETTINGS, AT)
    request = next(talk)
    assert request.url.startswith("https://erp.example/shop/rest/model/company.company?")
    assert dict(request.headers)["Authorization"] == "Bearer k"
    assert not request.from_message


def test_of_what_it_is_not_told_it_says_so() -> None:
    fake = Fake()
    outcome = held(LinesReleased(key="k", at=AT, lines=()), fake)
    assert isinstance(outcome, Declined)


def test_an_address_is_needed() -> None:
    assert "base_url" in tryton.trouble(Settings(name="erp", gateway="tryton"))
    assert not tryton.trouble(SETTINGS)
