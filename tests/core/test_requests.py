"""What may be asked of an order, and what is refused: review, approval, cancel, retry, quotes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from amends.core.decide import decide, park, quote
from amends.core.facts import (
    Approved,
    Canceled,
    EffectDue,
    LinesUnavailable,
    OrderCancelled,
    OrderReported,
    Recorded,
    RefundRequested,
    Rejected,
    Retried,
    ReturnReceived,
    Unparked,
)
from amends.core.order import shown_state
from amends.core.policy import built_in
from amends.core.reasons import Reason, Refused
from amends.core.requests import LineIn, LinePick, PaymentKey, RefundIn
from amends.kernel.check import InvariantBroken
from amends.kernel.outcome import Declined, Unknown
from tests.core.desk import (
    DAY,
    PARCEL,
    STRIPE,
    TEA,
    TERMS,
    Desk,
    card,
    contract_order,
    recorded_id,
)

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
SHIPPING = RefundIn(shipping="full")
LEAD = "person:lead"


def in_review(second_person: bool = False) -> Desk:
    desk = Desk(policy=built_in(0, second_person))
    desk.tell(RefundRequested(ONE_TEA))
    assert shown_state(desk.refund()) == "review"
    return desk


def refusal(desk: Desk, fact: object, actor: str = "key:support") -> Reason:
    """The reason a fact is refused for; and that nothing else came of it."""
    before = desk.order
    decision = desk.tell(fact, actor)
    assert decision.refused is not None
    assert [e.type for e in decision.events] == ["refund.refused"]
    assert desk.order.payments == before.payments
    assert desk.order.refunds == before.refunds
    return decision.refused.reason


# -- review ------------------------------------------------------------------------------------


def test_a_refund_in_review_reserves() -> None:
    desk = in_review()
    assert desk.payment().pending_ours == 3200
    assert desk.order.remaining == 7000
    assert desk.kinds() == []
    decision = desk.tell(RefundRequested(RefundIn(amount=7001)))
    assert decision.refused is not None
    assert decision.refused.extra == {"remaining": 7000}


def test_approved_it_is_owed_and_sent() -> None:
    desk = in_review()
    desk.tell(Approved(desk.refund().id, desk.refund().shown), LEAD)
    assert desk.refund().decided_by == LEAD
    assert desk.kinds() == ["claim"]
    assert desk.due() is not None
    assert list(desk.rows) == [f"fx_{desk.leg().id[4:]}"], "the deadline is gone"


def test_approval_is_bound_to_what_was_shown() -> None:
    desk = in_review()
    assert refusal(desk, Approved(desk.refund().id, "0" * 64), LEAD) is Reason.SHOWN_CHANGED


def test_the_requester_may_not_approve_where_a_second_person_must() -> None:
    desk = in_review(second_person=True)
    assert refusal(desk, Approved(desk.refund().id)) is Reason.SELF_APPROVAL
    desk.tell(Approved(desk.refund().id), LEAD)
    assert shown_state(desk.refund()) == "sending"


def test_rejected_the_reserve_is_free_again() -> None:
    desk = in_review()
    desk.tell(Rejected(desk.refund().id), LEAD)
    assert shown_state(desk.refund()) == "declined"
    assert desk.order.remaining == 10_200
    assert not desk.rows
    for fact in (Approved, Rejected, Canceled, Retried):
        assert refusal(desk, fact(desk.refund().id), LEAD) is Reason.WRONG_STATE


def test_a_review_nobody_decides_is_overdue() -> None:
    desk = in_review()
    row = next(iter(desk.rows))
    desk.now = desk.rows[row].due
    decision = desk.tell(EffectDue(row), "system:deliver")
    assert [e.type for e in decision.events] == ["refund.overdue"]
    assert not desk.rows
    desk.tell(Approved(desk.refund().id), LEAD)
    assert shown_state(desk.refund()) == "sending"


@pytest.mark.parametrize("fact", [Approved, Rejected, Canceled, Retried])
def test_an_unknown_refund(fact: type) -> None:
    assert refusal(Desk(), fact("rf_nobody")) is Reason.UNKNOWN_REFUND


# -- cancel ------------------------------------------------------------------------------------


def test_canceled_before_a_byte_left() -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.tell(Canceled(desk.refund().id))
    assert shown_state(desk.refund()) == "canceled"
    assert desk.order.remaining == 10_200
    assert desk.kinds() == ["claim", "claim_lapsed"]
    assert not desk.rows
    assert desk.tell(EffectDue(f"fx_{desk.leg().id[4:]}")).effects == ()


def test_canceled_at_the_head_of_the_queue_the_next_one_goes() -> None:
    desk = Desk()
    for _ in range(3):
        desk.tell(RefundRequested(ONE_TEA))
        if len(desk.order.refunds) == 1:
            desk.due()
    desk.accept(leg=desk.leg(0))
    desk.tell(Canceled(desk.refund(1).id))
    assert desk.due(desk.leg(2)) is not None


def test_canceled_in_review() -> None:
    desk = in_review()
    desk.tell(Canceled(desk.refund().id))
    assert shown_state(desk.refund()) == "canceled"
    assert not desk.rows
    assert refusal(desk, Canceled(desk.refund().id)) is Reason.WRONG_STATE


def test_what_may_have_left_is_not_canceled() -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    assert refusal(desk, Canceled(desk.refund().id)) is Reason.WRONG_STATE
    desk.answer(Unknown("timeout"))
    assert refusal(desk, Canceled(desk.refund().id)) is Reason.WRONG_STATE


# -- retry -------------------------------------------------------------------------------------


def failed(request: RefundIn, desk: Desk | None = None) -> Desk:
    desk = desk or Desk()
    desk.tell(RefundRequested(request))
    desk.due()
    desk.answer(Declined("card_closed"))
    assert shown_state(desk.refund()) == "failed"
    return desk


def test_a_failed_refund_is_tried_again_under_a_new_leg() -> None:
    desk = failed(ONE_TEA)
    old = desk.leg()
    desk.tell(Retried(desk.refund().id), LEAD)
    assert desk.leg(0).replaced
    assert desk.leg().id != old.id
    assert desk.kinds() == ["claim", "claim_lapsed", "claim"]
    desk.due()
    desk.accept()
    assert shown_state(desk.refund()) == "succeeded"
    assert refusal(desk, Retried(desk.refund().id)) is Reason.WRONG_STATE


def test_a_retry_needs_room() -> None:
    desk = failed(RefundIn())
    desk.tell(RefundRequested(ONE_TEA))
    decision = desk.tell(Retried(desk.refund(0).id))
    assert decision.refused is not None
    assert decision.refused.reason is Reason.EXCEEDS_REMAINING
    assert decision.refused.extra["remaining"] == 7000


def test_a_retry_gives_nothing_back_twice() -> None:
    """I6: what the failed refund was for was given back by another one meanwhile."""
    desk = failed(SHIPPING)
    desk.tell(RefundRequested(SHIPPING))
    desk.due()
    desk.accept()
    assert refusal(desk, Retried(desk.refund(0).id)) is Reason.EXCEEDS_REMAINING


def test_a_retry_when_the_money_is_there_but_the_units_are_gone() -> None:
    other = LineIn("2", 1, 5000)
    report = contract_order(lines=(TEA, other), tenders=(card(15_200),))
    desk = failed(ONE_TEA, Desk(report))
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 3),))))
    assert desk.order.remaining == 5600
    assert refusal(desk, Retried(desk.refund(0).id)) is Reason.EXCEEDS_REMAINING


# -- quotes ------------------------------------------------------------------------------------


def quoted(desk: Desk, request: RefundIn) -> str:
    recorded = Recorded(recorded_id(999), desk.now, "key:support", RefundRequested(request))
    return quote(desk.order, request, recorded, desk.ctx()).hash


def test_a_quote_is_committed_unchanged() -> None:
    desk = Desk()
    bound = quoted(desk, ONE_TEA)
    desk.tell(RefundRequested(ONE_TEA, bound, desk.now + DAY))
    assert desk.refund().amount == 3200


def test_a_stale_quote() -> None:
    desk = Desk()
    bound = quoted(desk, RefundIn())
    desk.tell(RefundRequested(ONE_TEA))
    assert refusal(desk, RefundRequested(RefundIn(), bound, desk.now + DAY)) is Reason.QUOTE_STALE


def test_a_quote_whose_money_is_gone_is_stale_and_says_what_is_left() -> None:
    desk = Desk()
    request = RefundIn(amount=9000)
    bound = quoted(desk, request)
    desk.tell(RefundRequested(ONE_TEA))
    decision = desk.tell(RefundRequested(request, bound, desk.now + DAY))
    assert decision.refused is not None
    assert decision.refused.reason is Reason.QUOTE_STALE
    assert decision.refused.extra["remaining"] == 7000


def test_an_expired_quote_is_expired_even_if_it_is_stale_too() -> None:
    desk = Desk()
    bound = quoted(desk, RefundIn())
    assert refusal(desk, RefundRequested(RefundIn(), bound, desk.now)) is Reason.QUOTE_EXPIRED
    desk.tell(RefundRequested(ONE_TEA))
    assert refusal(desk, RefundRequested(RefundIn(), bound, desk.now)) is Reason.QUOTE_EXPIRED


def test_edge_17_a_third_currency_is_refused_and_so_is_an_unknown_payment() -> None:
    desk = Desk()
    assert refusal(desk, RefundRequested(RefundIn(currency="USD"))) is Reason.OTHER_CURRENCY
    named = RefundIn(payment=PaymentKey(STRIPE, "pi_9"))
    assert refusal(desk, RefundRequested(named)) is Reason.UNKNOWN_PAYMENT


def test_one_payment_of_several_is_kept_to() -> None:
    desk = Desk(contract_order(tenders=(card(5000), card(5200, None, "pi_2"))))
    desk.tell(RefundRequested(RefundIn(payment=PaymentKey(STRIPE, "pi_2"), amount=5200)))
    assert [leg.payment for _, leg in desk.legs()] == [desk.payment(1).id]
    desk.tell(RefundRequested(RefundIn()))
    assert desk.refund().amount == 5000


# -- shops -------------------------------------------------------------------------------------


def test_unavailable_lines_are_made_good() -> None:
    desk = Desk()
    decision = desk.tell(LinesUnavailable((LinePick("1", 2),)), "connection:shop-1")
    assert [e.type for e in decision.events] == ["lines.unavailable", "refund.requested"]
    assert (desk.refund().reason, desk.refund().amount) == ("out_of_stock", 6400)
    again = desk.tell(LinesUnavailable((LinePick("1", 2),)), "connection:shop-1")
    assert [e.type for e in again.events] == ["lines.unavailable", "refund.refused"]
    assert again.events[1].body["reason"] == Reason.EXCEEDS_QUANTITY


def test_a_sku_that_ran_out_is_what_has_not_left_of_it() -> None:
    """Three teas, one of them sent and none of the cups: two are made good, once."""
    desk = Desk(contract_order(lines=(replace(TEA, fulfilled=1),)))
    desk.tell(LinesUnavailable(skus=("TEA", "CUP")), "connection:shop-1")
    assert (desk.refund().reason, desk.refund().amount) == ("out_of_stock", 6400)
    for skus in (("TEA",), ("CUP",), ("",)):
        again = desk.tell(LinesUnavailable(skus=skus), "connection:shop-1")
        assert [e.type for e in again.events] == ["lines.unavailable"]


def test_a_cancellation_stands_although_its_refund_is_refused() -> None:
    """This provider pays in steps that the order's 102.00 do not come to."""
    desk = Desk(terms={STRIPE: replace(TERMS, multiple_of=(("EUR", 1000),))})
    decision = desk.tell(OrderCancelled(), "connection:shop-1")
    assert [e.type for e in decision.events] == ["order.cancelled", "refund.refused"]
    assert desk.order.cancelled
    assert desk.order.refunds == ()


def test_a_cancelled_order_with_nothing_left() -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn()))
    decision = desk.tell(OrderCancelled())
    assert [e.type for e in decision.events] == ["order.cancelled"]


def test_goods_that_came_back_are_on_the_trail() -> None:
    desk = Desk()
    decision = desk.tell(ReturnReceived((LinePick("1", 1),), "ret_1"))
    assert decision.events[0].body == {"return_id": "ret_1", "lines": [["1", 1]]}


# -- parked ------------------------------------------------------------------------------------


def test_a_parked_order_decides_nothing_until_a_person_lets_it() -> None:
    desk = Desk()
    recorded = Recorded(recorded_id(50), desk.now, "system:turn", RefundRequested(ONE_TEA))
    desk.order = park(desk.order, recorded, desk.ctx(), "a broken invariant").order
    with pytest.raises(InvariantBroken, match="parked"):
        decide(desk.order, recorded, desk.ctx())
    desk.tell(Unparked("looked at it"), LEAD)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.refund().amount == 3200
    assert refusal(desk, Unparked()) is Reason.WRONG_STATE


# -- orders ------------------------------------------------------------------------------------


def test_only_a_report_starts_an_order() -> None:
    desk = Desk()
    with pytest.raises(Refused) as refused:
        decide(None, Recorded(recorded_id(1), 1, "key:x", RefundRequested(ONE_TEA)), desk.ctx())
    assert refused.value.refusal.reason is Reason.UNKNOWN_ORDER


def test_a_repeat_or_an_older_version_changes_nothing() -> None:
    desk = Desk(contract_order(version=3))
    before = desk.order
    for version in (1, 3):
        desk.tell(OrderReported(contract_order(version=version, lines=())))
    assert desk.order == before


def test_a_newer_version_is_taken_over() -> None:
    desk = Desk()
    desk.tell(OrderReported(contract_order(version=2, tenders=(card(12_000),))))
    assert desk.order.version == 2
    assert desk.payment().captured == 12_000
    desk.tell(OrderReported(contract_order(version=3, tenders=(card(5000),))))
    assert desk.payment().captured == 12_000, "a shop's word does not take captured money away"


CONFLICTS = {
    "a line is gone": {"lines": (LineIn("2", 1, 100),)},
    "less units": {"lines": (LineIn("1", 1, 9600, taxes=TEA.taxes),)},
    "less tax": {"lines": (LineIn("1", 3, 9600),)},
    "less money": {"lines": (LineIn("1", 3, 3000, taxes=TEA.taxes),)},
    "another currency": {"currency": "USD"},
}


@pytest.mark.parametrize("changes", CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_newer_version_must_hold_what_happened(changes: dict[str, object]) -> None:
    desk = Desk()
    desk.tell(RefundRequested(RefundIn(lines=(LinePick("1", 2),))))
    fact = OrderReported(contract_order(version=2, **changes))
    assert refusal(desk, fact) is Reason.ORDER_CONFLICT


def test_an_order_stays_in_the_books_of_its_legal_entity() -> None:
    desk = Desk()
    moved = OrderReported(contract_order(version=2, entity="other"))
    assert refusal(desk, moved) is Reason.ORDER_CONFLICT
    assert desk.order.version == 1


BAD = {
    "/currency": {"currency": "XXQ"},
    "/lines": {"lines": (TEA, TEA)},
    "/shipping": {"shipping": (PARCEL, PARCEL)},
    "/tenders/0/captured": {"tenders": (card(10, 11),)},
    "/tenders/0": {"tenders": (card(10, 10, ""),)},
    "/placed_at": {"placed_at": "2026-11-01T10:00:00"},
}


@pytest.mark.parametrize("pointer", BAD)
def test_an_order_that_cannot_be(pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        Desk(contract_order(**BAD[pointer]))
    code = Reason.UNKNOWN_CURRENCY if pointer == "/currency" else Reason.VALIDATION
    assert refused.value.refusal.reason is code
    assert refused.value.refusal.extra["pointer"] == pointer


def test_an_order_needs_a_connection_and_a_rate() -> None:
    with pytest.raises(Refused) as refused:
        Desk(terms={"paypal": TERMS})
    assert refused.value.refusal.reason is Reason.UNKNOWN_CONNECTION
    with pytest.raises(Refused) as refused:
        Desk(contract_order(currency="GBP"))
    assert refused.value.refusal.reason is Reason.NO_RATE


# -- determinism (I14) -------------------------------------------------------------------------


def test_the_same_facts_in_the_same_contexts_give_the_same_bytes() -> None:
    desk = in_review()
    desk.tell(Approved(desk.refund().id), LEAD)
    desk.due()
    desk.answer(Unknown("timeout"))
    desk.due()
    desk.found(desk.state())
    desk.hear(desk.state("failed"))
    order = None
    events, entries = [], []
    for recorded, ctx in desk.told:
        decision = decide(order, recorded, ctx)
        order = decision.order
        events += decision.events
        entries += decision.entries
    assert order == desk.order
    assert events == desk.events
    assert [e.hash for e in entries] == [e.hash for e in desk.entries]
