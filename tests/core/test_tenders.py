"""Which of the ways an order was paid gives back how much (item by rule, or as somebody said), and
gift cards and store credit, which are credited at once and never paid out through a card."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.decision import Method
from amends.core.facts import Approved, Canceled, OrderCancelled, OrderReported, RefundRequested
from amends.core.order import Order, Tax, remaining, room_of, shown_state
from amends.core.orders import check_order
from amends.core.policy import built_in
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    CaptureIn,
    CustomerIn,
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    PaymentKey,
    PspIn,
    RefundIn,
    TaxIn,
    TenderIn,
    TenderPick,
)
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order
from tests.core.test_quote import quote_of

RULES = ("card_first", "proportional", "last_in_first_out")


def gift(amount: int, reference: str = "") -> TenderIn:
    return TenderIn(amount, "gift_card", reference=reference)


def mixed(*tenders: TenderIn, **changes: Any) -> OrderIn:
    """The contract's 102.00, paid with a gift card of 30.00 before the card."""
    paid = tenders or (gift(3000, "GC-1"), card(7200))
    return contract_order(tenders=paid, **changes)


def desk_by(rule: Any = "card_first", report: OrderIn | None = None, **more: Any) -> Desk:
    policy = built_in(10**9, amounts=Amounts(allocation=rule))
    return Desk(report or mixed(), policy=policy, **more)


def ask(desk: Desk, **fields: Any) -> str:
    """ "" if it was done, else the reason."""
    refused = desk.tell(RefundRequested(RefundIn(**fields))).refused
    return str(refused.reason) if refused else ""


def parts(desk: Desk) -> list[tuple[str, int]]:
    return [(leg.kind, leg.amount) for leg in desk.refund().legs]


# -- rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("card_first", [("refund", 5000)]),
        ("proportional", [("credit", 1471), ("refund", 3529)]),
        ("last_in_first_out", [("refund", 5000)]),
    ],
)
def test_edge_19_each_rule_allocates_as_it_says(rule: Any, expected: list[Any]) -> None:
    asked = Desk(mixed())
    assert ask(asked, amount=5000, tenders=rule) == ""
    assert parts(asked) == expected
    by_policy = desk_by(rule)
    assert ask(by_policy, amount=5000) == ""
    assert parts(by_policy) == expected


def test_edge_19_last_in_goes_out_first() -> None:
    desk = desk_by("last_in_first_out", mixed(card(7200), gift(3000)))
    assert ask(desk, amount=5000) == ""
    assert parts(desk) == [("credit", 3000), ("refund", 2000)]


def test_edge_19_the_tenders_are_named_one_by_one() -> None:
    desk = Desk(mixed())
    picks = (TenderPick("GC-1", 2000), TenderPick("pi_1", 1200))
    assert ask(desk, lines=(LinePick("1", 1),), tenders=picks) == ""
    assert parts(desk) == [("credit", 2000), ("refund", 1200)]
    ours = desk.payment(0).id
    assert ask(desk, amount=1000, tenders=(TenderPick(ours, 1000),)) == ""
    assert parts(desk) == [("credit", 1000)]


def test_what_is_named_must_be_a_tender_and_come_to_the_amount() -> None:
    desk = Desk(mixed())
    assert ask(desk, amount=500, tenders=(TenderPick("GC-2", 500),)) == "unknown_payment"
    assert ask(desk, amount=500, tenders=(TenderPick("GC-1", 400),)) == "validation"


def test_edge_19_a_gift_card_is_not_cashed_out_through_the_card() -> None:
    """Nor the card through the gift card; and the refusal says what each has left."""
    desk = Desk(mixed())
    for name, amount in (("pi_1", 7201), ("GC-1", 3001)):
        before = desk.order.payments
        told = desk.tell(
            RefundRequested(RefundIn(amount=amount, tenders=(TenderPick(name, amount),)))
        )
        assert told.refused is not None
        assert str(told.refused.reason) == "exceeds_tender"
        left = [(t["name"], t["remaining"]) for t in told.refused.extra["tenders"]]
        assert left == [("GC-1", 3000), ("pi_1", 7200)]
        assert desk.order.payments == before


def test_edge_19_a_request_of_one_payment_stays_within_it() -> None:
    desk = Desk(mixed())
    key = PaymentKey(STRIPE, "pi_1")
    assert ask(desk, payment=key, amount=8000) == "exceeds_tender"
    assert ask(desk, payment=key, amount=20_000) == "exceeds_remaining"
    assert ask(desk, payment=key, amount=7200) == ""
    assert parts(desk) == [("refund", 7200)]


def test_edge_26_a_withdrawal_by_law_goes_back_as_it_was_paid() -> None:
    """In proportion, whatever the policy says, unless the customer agreed to another way; an order
    paid by cards alone is not touched by it."""
    asked = {"amount": 5100, "statutory": True}
    desk = desk_by("last_in_first_out", mixed(card(7200), gift(3000)))
    assert ask(desk, **asked) == ""
    assert parts(desk) == [("refund", 3600), ("credit", 1500)]
    agreed = desk_by("last_in_first_out", mixed(card(7200), gift(3000)))
    assert ask(agreed, **asked, consent="ticket-7") == ""
    assert parts(agreed) == [("credit", 3000), ("refund", 2100)]
    cards = Desk(mixed(card(7200), card(3000, None, "pi_2")))
    assert ask(cards, **asked) == ""
    assert parts(cards) == [("refund", 5100)]


def test_a_rule_keeps_to_what_providers_pay_in() -> None:
    """What does not fit the steps of one goes where there is room for it."""
    steps = {STRIPE: replace(TERMS, multiple_of=(("EUR", 100),))}
    desk = desk_by("proportional", mixed(gift(3000), card(7200)), terms=steps)
    assert ask(desk, amount=5050) == ""
    assert parts(desk) == [("credit", 1550), ("refund", 3500)]
    assert ask(desk, tenders=(TenderPick("pi_1", 50),), amount=50) == "amount_not_payable"


def test_rules_release_what_is_only_authorized() -> None:
    desk = desk_by("proportional", mixed(gift(3000), card(7200, 0)))
    assert ask(desk, amount=1020) == ""
    assert parts(desk) == [("credit", 300), ("void", 720)]


def test_the_share_of_a_payment_is_taken_from_its_captures() -> None:
    """Where its provider gives back by capture: each its own portion, none over what it took."""
    terms = {STRIPE: replace(TERMS, methods=(Method(per_capture=True),))}
    captures = (CaptureIn("cap_1", 4000), CaptureIn("cap_2", 3200))
    twice = replace(card(7200), psp=PspIn(captures=captures))
    for rule, cards in (("proportional", 5000), ("card_first", 7200), ("last_in_first_out", 7200)):
        desk = desk_by(rule, mixed(gift(3000), twice), terms=terms)
        assert ask(desk, amount=cards * 10_200 // 7200 if rule == "proportional" else 7200) == ""
        legs = [leg for leg in desk.refund().legs if leg.kind == "refund"]
        assert [leg.capture for leg in legs] == ["cap_1", "cap_2"]
        assert sum(leg.amount for leg in legs) == cards
        took = {c.id: c.amount for c in captures}
        assert all(leg.amount <= took[leg.capture] for leg in legs)


def test_a_quote_binds_the_tenders() -> None:
    order = Desk(mixed()).order
    hashes = {quote_of(order, amount=5000, tenders=rule).hash for rule in ("card_first", RULES[1])}
    assert len(hashes) == 2


def test_the_default_is_part_of_the_policy() -> None:
    versions = {built_in(1, amounts=Amounts(allocation=rule)).version for rule in RULES}  # type: ignore[arg-type]
    assert len(versions) == 3
    assert built_in(1).version in versions


# -- gift cards and store credit ---------------------------------------------------------------


def test_edge_19_a_gift_card_is_credited_at_once_and_booked() -> None:
    desk = Desk(mixed())
    assert ask(desk) == ""
    card_leg, credit = sorted(desk.refund().legs, key=lambda leg: leg.kind, reverse=True)
    assert (credit.state, card_leg.state) == ("succeeded", "sending")
    assert desk.balance("gift_cards") == -3000
    assert desk.balance("refunds_payable") == -7200
    assert [e.holder for e in desk.entries] == ["", "GC-1"]
    assert desk.order.remaining == 0
    assert desk.payment(0).credited_ours == 3000
    desk.due(card_leg)
    desk.accept(leg=desk.refund().legs[0])
    assert shown_state(desk.refund()) == "succeeded"
    assert desk.balance("refunds_payable") == 0


def test_store_credit_is_the_customers() -> None:
    who = CustomerIn("c-1", country="DE")
    desk = Desk(mixed(TenderIn(3000, "store_credit"), card(7200), customer=who))
    assert ask(desk, amount=100, tenders=(TenderPick(desk.payment(0).id, 100),)) == ""
    assert (desk.entries[-1].holder, desk.balance("store_credit")) == ("c-1", -100)
    nobody = Desk(mixed(TenderIn(3000, "store_credit"), card(7200)))
    assert ask(nobody, amount=100, tenders="last_in_first_out") == ""
    assert ask(nobody, amount=100, tenders=(TenderPick(nobody.payment(0).id, 100),)) == ""
    assert nobody.entries[-1].holder == nobody.order.id


def test_a_gift_card_without_a_name_is_named_by_its_place() -> None:
    desk = Desk(mixed(gift(1000), gift(2000), card(7200)))
    one, two, _ = desk.order.payments
    assert one.id != two.id
    assert (
        ask(desk, amount=3000, tenders=(TenderPick(one.id, 1000), TenderPick(two.id, 2000))) == ""
    )
    assert [e.holder for e in desk.entries if e.holder] == [one.id, two.id]


def test_a_newer_report_does_not_double_a_gift_card() -> None:
    """It may say the card's name for the first time, or leave it out."""
    desk = Desk(mixed(gift(3000), card(7200)))
    first = desk.payment(0).id
    for version, name in ((2, "GC-1"), (3, ""), (4, "GC-1")):
        desk.tell(OrderReported(mixed(gift(3000, name), card(7200), version=version)))
        assert desk.order.version == version
        assert [p.id for p in desk.order.payments].count(first) == len(desk.order.payments) - 1 == 1
        assert desk.order.remaining == 10_200
    assert desk.payment(0).psp_payment_id == "GC-1"


def sold(total: int, *gifts: TenderIn, version: int = 1) -> OrderIn:
    lines = (LineIn("1", 1, total),)
    return contract_order(lines=lines, shipping=(), tenders=(*gifts, card(5000)), version=version)


@pytest.mark.parametrize(
    ("total", "put_right"), [(8000, gift(3000, "G")), (10_000, gift(5000, "H"))]
)
def test_edge_19_a_gift_card_paid_what_its_shop_said_last(total: int, put_right: TenderIn) -> None:
    """Another amount, or another card: nobody but the shop knows, so that its last word counts. A
    payment never shrinks so (orders.py), since its provider may have told more."""
    desk = Desk(sold(10_000, gift(5000, "G")))
    assert desk.tell(OrderReported(sold(total, put_right, version=2))).refused is None
    assert desk.order.remaining == total
    assert ask(desk) == ""
    assert desk.refund().amount == total


@pytest.mark.parametrize(
    ("total", "put_right"), [(8000, gift(3000, "G")), (10_000, gift(5000, "H")), (5000, None)]
)
def test_edge_19_a_gift_card_keeps_what_it_gave_back(
    total: int, put_right: TenderIn | None
) -> None:
    """What it gave back it had paid, and a version that has it otherwise would give that twice."""
    desk = Desk(sold(10_000, gift(5000, "G")))
    assert ask(desk, amount=3001, tenders=(TenderPick("G", 3001),)) == ""
    gifts = (put_right,) if put_right else ()
    refused = desk.tell(OrderReported(sold(total, *gifts, version=2))).refused
    assert refused is not None
    assert refused.reason == Reason.ORDER_CONFLICT
    assert refused.detail == "Tender 'G' gave 3001 back; keep it, with no less than that."
    less = sold(8001, gift(3001, "G"), version=2)
    assert desk.tell(OrderReported(less)).refused is None
    assert desk.order.remaining == 5000


def test_two_tenders_of_one_name_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        check_order(mixed(gift(1000, "GC-1"), gift(2000, "GC-1"), card(7200)))
    assert refused.value.refusal.extra["pointer"] == "/tenders/1/reference"
    with pytest.raises(Refused):
        check_order(contract_order(tenders=(replace(card(10_200), reference="GC-1"),)))


def test_a_review_holds_the_credit_until_it_is_approved() -> None:
    desk = Desk(mixed(), policy=built_in(100))
    assert ask(desk, tenders="proportional", amount=1020) == ""
    assert [leg.state for leg in desk.refund().legs] == ["planned", "planned"]
    assert desk.payment(0).pending_ours == 300
    assert not desk.entries
    desk.tell(Approved(desk.refund().id), "person:lead")
    assert [leg.state for leg in desk.refund().legs] == ["succeeded", "sending"]
    assert desk.tell(Canceled(desk.refund().id)).refused is not None


def test_a_dropped_review_gives_the_credit_back_to_no_one() -> None:
    desk = Desk(mixed(), policy=built_in(100))
    ask(desk, tenders="last_in_first_out")
    desk.tell(Canceled(desk.refund().id))
    assert desk.order.remaining == 10_200
    assert not desk.entries


def test_a_canceled_order_credits_and_releases() -> None:
    desk = Desk(mixed(gift(3000), card(7200, 0)))
    desk.tell(OrderCancelled())
    assert sorted(parts(desk)) == [("credit", 3000), ("void", 7200)]
    assert desk.balance("gift_cards") == -3000
    assert desk.order.remaining == 0


def test_credit_is_converted_as_the_whole_claim() -> None:
    """What is paid by card and credited comes to zero in the functional currency too."""
    report = mixed(gift(3333), card(6867), currency="USD")
    desk = desk_by("proportional", report)
    for amount in (101, 203, 307, 10_200 - 611):
        assert ask(desk, amount=amount) == ""
        leg = desk.refund().legs[1]
        desk.due(leg)
        desk.accept(leg=desk.refund().legs[1])
    owed = [p for e in desk.entries for p in e.postings if p.account == "refunds_payable"]
    assert (sum(p.amount for p in owed), sum(p.functional for p in owed)) == (0, 0)


# -- any order, any rule, any sequence ---------------------------------------------------------


@st.composite
def paid(draw: st.DrawFn) -> OrderIn:
    """One to four tenders of any kind."""
    tenders = []
    for n in range(draw(st.integers(1, 4))):
        amount = draw(st.integers(1, 9000))
        kind = draw(st.sampled_from(["card", "card", "gift", "named", "credit"]))
        named = gift(amount, f"GC-{n}" if kind == "named" else "")
        other = TenderIn(amount, "store_credit") if kind == "credit" else named
        tenders.append(card(amount, None, f"pi_{n}") if kind == "card" else other)
    whole = sum(tender.amount for tender in tenders)
    tax = draw(st.integers(0, whole // 4))
    line = LineIn("1", draw(st.integers(1, 5)), whole, taxes=(TaxIn("VAT", tax),))
    currency = draw(st.sampled_from(["JPY", "EUR", "KWD", "USD"]))
    return OrderIn(OrderKey("shop-1", "1"), currency, (line,), tuple(tenders))


@st.composite
def wishes(draw: st.DrawFn, order: Order) -> RefundIn:
    """By a rule, or named: within what each tender has left, or just beyond it."""
    if draw(st.booleans()):
        how: Any = draw(st.sampled_from(("policy", *RULES)))
        statutory = draw(st.booleans())
        return RefundIn(amount=draw(st.integers(1, 6000)), tenders=how, statutory=statutory)
    picks = [
        TenderPick(payment.id, draw(st.integers(1, room_of(payment) + 1)))
        for payment in order.payments
        if draw(st.booleans())
    ]
    picks = picks or [TenderPick(order.payments[0].id, 1)]
    return RefundIn(amount=sum(pick.amount for pick in picks), tenders=tuple(picks))


@settings(max_examples=150, deadline=None)
@given(st.data(), paid(), st.sampled_from(RULES))
def test_edge_19_tenders_give_what_they_took_and_no_more(
    data: st.DataObject, report: OrderIn, rule: Any
) -> None:
    """After any sequence each has given at most what it paid; after the last, exactly that, and
    what was given comes to the original in all and by tender."""
    functional = "KWD" if report.currency == "KWD" else "EUR"
    desk = desk_by(rule, report, functional=functional)
    paid_by = {p.id: p.captured for p in desk.order.payments}
    for _ in range(data.draw(st.integers(0, 6))):
        wish = data.draw(wishes(desk.order))
        named = isinstance(wish.tenders, tuple)
        over = named and any(
            pick.amount > room_of(desk.order.payment(pick.id))
            for pick in wish.tenders  # type: ignore[union-attr]
        )
        left = desk.order.remaining
        refused = desk.tell(RefundRequested(wish)).refused
        why = str(refused.reason) if refused else ""
        if wish.amount > left:  # type: ignore[operator]
            assert why in ("exceeds_remaining", "nothing_left")
        else:
            assert why == ("exceeds_tender" if over else "")
        assert left - desk.order.remaining == (0 if refused else wish.amount)
    if desk.order.remaining:
        assert ask(desk) == ""
    legs = [leg for refund in desk.order.refunds for leg in refund.legs]
    assert {n: sum(g.amount for g in legs if g.payment == n) for n in paid_by} == paid_by
    assert all(remaining(p) == 0 for p in desk.order.payments)
    kinds = {p.id: "refund" if p.is_money else "credit" for p in desk.order.payments}
    assert all(leg.kind == kinds[leg.payment] for leg in legs), "cashed out through another"
    given_back = sum(refund.breakdown.total for refund in desk.order.refunds)
    assert given_back == sum(tender.amount for tender in report.tenders)
    taxes = [t for r in desk.order.refunds for p in r.breakdown.lines for t in p.taxes]
    assert sum(t.amount for t in taxes) == sum(t.amount for t in _taxes(desk.order))


def _taxes(order: Order) -> tuple[Tax, ...]:
    return tuple(tax for line in order.lines for tax in line.taxes)


@given(st.permutations([(300, ""), (1000, ""), (300, ""), (700, "A"), (50, "1")]), st.data())
def test_edge_19_the_same_tenders_in_another_order_are_the_same(
    told: list[tuple[int, str]], data: st.DataObject
) -> None:
    """A newer report lists the gift cards otherwise, and perhaps says what one of them is called:
    it makes no money, and each keeps what it gave."""

    def reported(cards: list[tuple[int, str]], version: int) -> OrderIn:
        tenders = tuple(TenderIn(n, "gift_card", reference=name) for n, name in cards)
        lines = (LineIn("1", 1, 2350),)
        return contract_order(lines=lines, shipping=(), tenders=tenders, version=version)

    desk = Desk(reported(told, 1))
    assert ask(desk, amount=800, tenders="proportional") == ""
    before = {p.id: (p.captured, remaining(p)) for p in desk.order.payments}
    newer = data.draw(st.permutations(told))
    if data.draw(st.booleans()):
        place = newer.index((1000, ""))
        newer[place] = (1000, "B")
    desk.tell(OrderReported(reported(newer, 2)))
    assert desk.order.version == 2
    assert {p.id: (p.captured, remaining(p)) for p in desk.order.payments} == before


@pytest.mark.parametrize("cards", [((800, ""), (2600, "")), ((2600, ""), (800, ""))])
@pytest.mark.parametrize("newer", [((1000, "B"), (2900, "A")), ((2900, "A"), (1000, "B"))])
def test_edge_19_cards_without_a_reference_are_told_apart_by_what_they_gave_back(
    cards: tuple[tuple[int, str], ...], newer: tuple[tuple[int, str], ...]
) -> None:
    """26.00, all given back, and 8.00; then they are named and corrected upwards: only one reading
    gives none of them less than it gave back."""

    def reported(told: tuple[tuple[int, str], ...], version: int) -> OrderIn:
        tenders = tuple(TenderIn(n, "gift_card", reference=name) for n, name in told)
        lines = (LineIn("1", 1, sum(n for n, _ in told)),)
        return contract_order(lines=lines, shipping=(), tenders=tenders, version=version)

    desk = Desk(reported(cards, 1))
    spent = next(p for p in desk.order.payments if p.captured == 2600)
    assert ask(desk, amount=2600, tenders=(TenderPick(spent.id, 2600),)) == ""
    assert desk.tell(OrderReported(reported(newer, 2))).refused is None
    held = {p.psp_payment_id: (p.captured, remaining(p)) for p in desk.order.payments}
    assert held == {"A": (2900, 300), "B": (1000, 1000)}
