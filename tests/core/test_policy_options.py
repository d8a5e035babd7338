"""What a policy's rows say besides yes and no: less, later, as credit, by whom, up to how much."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Method
from amends.core.facts import (
    Approved,
    CaseMoved,
    DisputeReported,
    EffectDue,
    OrderCancelled,
    PaidOutside,
    Rejected,
    Retried,
    ReturnReceived,
)
from amends.core.history import Stop
from amends.core.order import amount_succeeded, shown_state
from amends.core.policy import Row
from amends.core.reasons import Reason
from amends.core.requests import (
    CustomerIn,
    FeeIn,
    LineAmount,
    LinePick,
    RefundIn,
    TenderPick,
)
from amends.kernel.outcome import Declined
from amends.kernel.time import DAY, HOUR
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order
from tests.core.test_policy import TEA, asked, policy

LEAD = "person:lead"
TWO = {"tenders": (card(5000), card(5200, name="pi_2"))}


def yes(**options: Any) -> Row:
    return Row("yes", "true", "approve", **options)


def look(**options: Any) -> Row:
    return Row("look", "true", "review", **options)


def bought(**more: Any) -> Any:
    return contract_order(customer=CustomerIn("c-1"), **more)


def refusal(desk: Desk, fact: Any, actor: str = LEAD) -> Reason | None:
    decision = desk.tell(fact, actor)
    return decision.refused.reason if decision.refused else None


# -- how much ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "amount", "kept"),
    [
        ({"partial_bp": 5000}, 1600, {"reduction": 1600}),
        ({"restocking_bp": 1000}, 2880, {"restocking": 320}),
        ({"fee": {"EUR": 250, "USD": 900}}, 2950, {"handling": 250}),
        ({"partial_bp": 5000, "fee": {"EUR": 200}}, 1500, {"handling": 200, "reduction": 1500}),
        ({"fee": {"USD": 900}}, 3200, {}),
    ],
)
def test_a_row_keeps_back_what_it_says(
    options: dict[str, Any], amount: int, kept: dict[str, int]
) -> None:
    for row in (yes(**options), look(**options)):
        refund = asked(Desk(policy=policy(row)))
        assert refund.amount == amount
        assert {fee.kind: fee.gross for fee in refund.breakdown.fees} == kept


def test_it_is_kept_of_amounts_too_and_not_waived_by_who_asks() -> None:
    desk = Desk(policy=policy(yes(partial_bp=2500)))
    assert asked(desk, RefundIn(amount=1000, reason="goodwill")).amount == 250
    desk = Desk(policy=policy(yes(partial_bp=2500)))
    assert asked(desk, replace(TEA, fees=())).amount == 800


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ({"fee": {"EUR": 5000}}, TEA),
        (
            {"partial_bp": 5000},
            RefundIn(amount=900, reason="goodwill", tenders=(TenderPick("pi_2", 900),)),
        ),
    ],
)
def test_where_a_row_keeps_back_what_cannot_be_a_person_looks(
    options: dict[str, Any], request_: RefundIn
) -> None:
    """Nothing that was asked with could help whoever asks: it is the row that does not fit."""
    for row in (yes(**options), look(approver="finance", **options)):
        refund = asked(Desk(contract_order(**TWO), policy=policy(row)), request_)
        assert refund.verdict and (shown_state(refund), refund.verdict.code) == (
            "review",
            "not_kept_back",
        )
        assert refund.approver == (row.approver or "")
        assert refund.amount == (request_.amount or 3200)


def test_a_sale_that_is_cancelled_is_not_left_alone_for_a_fee() -> None:
    desk = Desk(policy=policy(yes(fee={"EUR": 99_999})))
    desk.tell(OrderCancelled(), "connection:shop-1")
    assert (shown_state(desk.refund()), desk.refund().amount) == ("review", 10_200)


def test_edge_26_of_what_the_law_grants_nothing_is_kept() -> None:
    desk = Desk(policy=policy(yes(partial_bp=5000, restocking_bp=2000, fee={"EUR": 300})))
    refund = asked(desk, replace(TEA, statutory=True))
    assert (refund.amount, refund.breakdown.fees) == (3200, ())


def test_it_is_judged_by_what_was_asked_for() -> None:
    """Else a row that takes half would let twice as much through the next time it is looked at."""
    row = Row("half", "refund.amount > 3000", "approve", partial_bp=5000)
    assert asked(Desk(policy=policy(row))).amount == 1600


# -- later ---------------------------------------------------------------------------------------


def test_it_waits_for_the_goods_and_leaves_when_they_are_back() -> None:
    desk = Desk(policy=policy(yes(wait_for_receipt=True)))
    refund = asked(desk, RefundIn(lines=(LinePick("1", 2),)))
    assert (shown_state(refund), refund.decide_by) == ("awaiting_return", desk.now + 14 * DAY)
    assert desk.order.remaining == 10_200 - 6400, "set aside"
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"), "connection:shop-1")
    assert shown_state(desk.refund()) == "awaiting_return", "one of two"
    desk.tell(ReturnReceived((LinePick("1", 1),), "r2"), "connection:shop-1")
    assert shown_state(desk.refund()) == "sending"


def test_goods_that_are_back_already_are_not_waited_for_and_count_once() -> None:
    desk = Desk(policy=policy(yes(wait_for_receipt=True)))
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"), "connection:shop-1")
    assert shown_state(asked(desk)) == "sending"
    assert shown_state(asked(desk)) == "awaiting_return", "that unit was another one's"


def test_units_that_come_back_one_by_one_let_one_refund_after_the_other_leave() -> None:
    desk = Desk(policy=policy(yes(wait_for_receipt=True)))
    for _ in range(2):
        asked(desk)
    for name, states in (("r1", ["sending", "awaiting_return"]), ("r2", ["sending"] * 2)):
        desk.tell(ReturnReceived((LinePick("1", 1),), name), "connection:shop-1")
        assert [shown_state(refund) for refund in desk.order.refunds] == states


def test_goods_that_stay_with_the_customer_are_not_waited_for_by_another() -> None:
    stays = Row("stays", "refund.amount < 3000", "approve", returnless=True)
    desk = Desk(policy=policy(stays, yes(wait_for_receipt=True)))
    asked(desk, replace(TEA, fees=(FeeIn("reduction", 1000),)))
    asked(desk)
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"), "connection:shop-1")
    assert [shown_state(refund) for refund in desk.order.refunds] == ["sending", "sending"]


@pytest.mark.parametrize(
    "request_",
    [
        replace(TEA, adjustments=(LineAmount("1", 100),)),
        RefundIn(lines=(LinePick("1", 2), LinePick("1", 1))),
    ],
)
def test_a_line_that_is_named_twice_is_waited_for_whole(request_: RefundIn) -> None:
    desk = Desk(policy=policy(yes(wait_for_receipt=True)))
    units = sum(pick.quantity for pick in request_.lines)
    for number in range(units):
        if number == 0:
            asked(desk, request_)
        assert shown_state(desk.refund()) == "awaiting_return", f"{number} are back"
        desk.tell(ReturnReceived((LinePick("1", 1),), f"r{number}"), "connection:shop-1")
    assert shown_state(desk.refund()) == "sending"


@pytest.mark.parametrize(
    ("order", "request_", "state"),
    [
        ({}, RefundIn(amount=9600), "review"),
        ({"lines": (), "shipping": ()}, RefundIn(), "review"),
        ({}, RefundIn(amount=9600, reason="goodwill"), "sending"),
        ({}, RefundIn(adjustments=(LineAmount("1", 900),)), "sending"),
        ({}, RefundIn(shipping="full"), "sending"),
    ],
)
def test_money_that_waits_for_goods_does_not_leave_as_an_amount_without_them(
    order: dict[str, Any], request_: RefundIn, state: str
) -> None:
    refund = asked(
        Desk(contract_order(**order), policy=policy(yes(wait_for_receipt=True))), request_
    )
    assert shown_state(refund) == state
    assert refund.verdict and refund.verdict.code == ("goods_not_said" if state == "review" else "")


def test_what_never_left_is_not_waited_for() -> None:
    never = replace(contract_order().lines[0], fulfilled=0)
    desk = Desk(contract_order(lines=(never,)), policy=policy(yes(wait_for_receipt=True)))
    assert shown_state(asked(desk, replace(TEA, reason="not_received"))) == "sending"


def test_a_person_may_let_it_go_before_and_looks_when_they_never_come() -> None:
    desk = Desk(policy=policy(yes(wait_for_receipt=True)))
    refund = asked(desk)
    assert refusal(desk, Approved(refund.id, refund.shown)) is None
    assert shown_state(desk.refund()) == "sending"
    desk = Desk(bought(), policy=policy(yes(wait_for_receipt=True)))
    refund = asked(desk)
    desk.now = refund.decide_by
    decision = desk.tell(EffectDue(f"fx_{refund.id[3:]}_by"), "system:deliver")
    assert shown_state(desk.refund()) == "review"
    assert [t.not_returned for t in decision.beside.tallies] == [1]
    assert desk.refund().decide_by == desk.now + 2 * DAY


def test_edge_11_goods_that_come_back_to_a_disputed_payment_let_nothing_leave() -> None:
    """An inquiry that has taken nothing yet leaves the money there: it may still take it."""
    desk = Desk(policy=policy(yes(wait_for_receipt=True)))
    asked(desk)
    told = DisputeReported(
        STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", "warning_needs_response", True, 0
    )
    desk.tell(told, f"connection:{STRIPE}")
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"), "connection:shop-1")
    assert shown_state(desk.refund()) == "review"
    assert desk.events[-1].body["held"] == "payment_disputed"
    assert desk.refund().decide_by == desk.now + 2 * DAY, "a person is told as of any review"
    assert refusal(desk, Approved(desk.refund().id)) is None, "who may say yes all the same"


def test_goods_that_come_back_too_late_for_the_provider_let_nothing_leave() -> None:
    terms = replace(TERMS, methods=(Method("", within=180 * DAY),))
    desk = Desk(policy=policy(yes(wait_for_receipt=True)), terms={STRIPE: terms})
    desk.now += 179 * DAY
    asked(desk)
    desk.now += 2 * DAY
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"), "connection:shop-1")
    assert shown_state(desk.refund()) == "review"
    assert desk.events[-1].body["held"] == "past_refund_window"


def test_returnless_goods_are_not_asked_for() -> None:
    refund = asked(Desk(policy=policy(yes(returnless=True))))
    assert refund.returnless and shown_state(refund) == "sending"


# -- as credit -----------------------------------------------------------------------------------


def test_store_credit_first_where_the_customer_agreed() -> None:
    desk = Desk(bought(), policy=policy(yes(store_credit_first=True)))
    refund = asked(desk, replace(TEA, consent="ticket-7"))
    assert [(g.kind, g.state, g.amount) for g in refund.legs] == [("credit", "succeeded", 3200)]
    assert amount_succeeded(refund) == 3200 and not desk.rows
    assert desk.order.remaining == 7000


@pytest.mark.parametrize(("statutory", "state"), [(False, "review"), (True, "sending")])
def test_without_consent_a_person_asks_and_the_law_wants_money(statutory: bool, state: str) -> None:
    desk = Desk(policy=policy(yes(store_credit_first=True)))
    refund = asked(desk, replace(TEA, statutory=statutory))
    assert shown_state(refund) == state
    assert refund.verdict and refund.verdict.code == ("" if statutory else "needs_consent")


# -- by whom (I11) -------------------------------------------------------------------------------


@pytest.mark.parametrize("pay", [False, True])
def test_edge_25_and_row_74_not_whoever_asked_and_not_below_the_role(pay: bool) -> None:
    desk = Desk(policy=policy(look(approver="finance", second_person=True)))
    refund = asked(desk, actor="person:anna")
    low = Approved(refund.id, refund.shown, role="reviewer")
    assert refusal(desk, low) is Reason.ROLE_TOO_LOW
    own = Approved(refund.id, refund.shown, role="finance")
    assert refusal(desk, own, "person:anna") is Reason.SELF_APPROVAL
    stale = Approved(refund.id, "something else", role="finance")
    assert refusal(desk, stale) is Reason.SHOWN_CHANGED
    assert shown_state(desk.refund()) == "review"
    assert refusal(desk, own, "person:bert") is None
    assert shown_state(desk.refund()) == "sending"


def test_edge_25_no_agent_approves_its_own_request() -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk, actor="agent:shopper")
    said = Approved(refund.id, refund.shown, role="admin")
    assert refusal(desk, said, "agent:shopper") is Reason.SELF_APPROVAL
    assert refusal(desk, said, LEAD) is None


def test_row_73_an_escalated_case_needs_that_role() -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk)
    desk.tell(CaseMoved(refund.id, "escalate", role="admin"), LEAD)
    assert refusal(desk, Approved(refund.id, role="finance")) is Reason.ROLE_TOO_LOW
    for lower in ("finance", "reviewer", "agent"):
        down = CaseMoved(refund.id, "escalate", role=lower)
        assert refusal(desk, down) is Reason.WRONG_STATE, "else whoever it kept out lets itself in"
    assert refusal(desk, CaseMoved(refund.id, "escalate", role="admin")) is None
    assert refusal(desk, Approved(refund.id, role="admin")) is None


@pytest.mark.parametrize("end", [Approved, Rejected])
def test_what_is_decided_is_not_decided_again(end: Any) -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk)
    assert refusal(desk, end(refund.id)) is None
    for again in (Approved(refund.id), Rejected(refund.id), CaseMoved(refund.id, "note")):
        assert refusal(desk, again) is Reason.WRONG_STATE


# -- cases ---------------------------------------------------------------------------------------


def test_row_73_a_case_is_assigned_snoozed_noted_and_the_customer_asked() -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk)
    desk.tell(CaseMoved(refund.id, "assign", who="person:bert"), LEAD)
    desk.tell(CaseMoved(refund.id, "snooze", until=desk.now + DAY), LEAD)
    desk.tell(CaseMoved(refund.id, "note", note_id="nt_1", note_hash="ab"), LEAD)
    desk.tell(CaseMoved(refund.id, "attach", reference="file-9"), LEAD)
    desk.tell(CaseMoved(refund.id, "ask"), LEAD)
    case = desk.refund().case
    assert case and (case.assignee, case.snoozed_until > desk.now, case.asked) == (
        "person:bert",
        True,
        True,
    )
    told = [e.body["what"] for e in desk.events if e.type == "refund.case"]
    assert told == ["assign", "snooze", "note", "attach", "ask"]
    desk.tell(CaseMoved(refund.id, "escalate", role="finance"), LEAD)
    case = desk.refund().case
    assert case and (case.assignee, case.snoozed_until, case.escalated) == ("", 0, "finance")


def test_row_75_an_agent_suggests_with_proofs_from_the_trail_and_decides_nothing() -> None:
    desk = Desk(policy=policy(look()))
    refund = asked(desk, actor="agent:helper")
    said = CaseMoved(refund.id, "suggest", outcome="decline", cites=(2, 1, 2), note_id="nt_1")
    assert refusal(desk, said, "agent:helper") is None
    case = desk.refund().case
    assert case and case.suggested
    found = case.suggested
    assert (found.outcome, found.by, found.cites) == ("decline", "agent:helper", (1, 2))
    assert shown_state(desk.refund()) == "review"
    assert desk.events[-1].body["cites"] == [1, 2]


@pytest.mark.parametrize(
    "fact",
    [
        CaseMoved("", "suggest", outcome="approve"),
        CaseMoved("", "suggest", outcome="approve", cites=(1, 99)),
        CaseMoved("", "suggest", outcome="approve", cites=(0,)),
        CaseMoved("", "suggest", cites=(1,)),
        CaseMoved("", "snooze", until=5),
        CaseMoved("", "escalate", role="boss"),
        CaseMoved("", "attach"),
    ],
)
def test_a_case_is_not_moved_to_nowhere(fact: CaseMoved) -> None:
    desk = Desk(policy=policy(look()))
    assert refusal(desk, replace(fact, refund=asked(desk).id)) is Reason.VALIDATION


@pytest.mark.parametrize(
    ("fact", "abuse", "tally"),
    [
        (Rejected("", reason="abuse"), True, {}),
        (Rejected("", reason="goods_not_as_sent"), True, {"findings": 1}),
        (Rejected("", reason="goods_not_returned"), True, {"not_returned": 1}),
        (Rejected("", reason="customer_withdrew"), None, {}),
        (Approved("", reason="verified"), False, {}),
        (Approved("", reason="goodwill"), None, {}),
    ],
)
def test_what_a_person_decides_is_learned_from(
    fact: Any, abuse: bool | None, tally: dict[str, int]
) -> None:
    desk = Desk(bought(), policy=policy(look()))
    decision = desk.tell(replace(fact, refund=asked(desk).id), LEAD)
    labels = decision.beside.labels
    assert [one.abuse for one in labels] == ([] if abuse is None else [abuse])
    found = [(t.findings, t.not_returned) for t in decision.beside.tallies]
    assert found == ([(tally.get("findings", 0), tally.get("not_returned", 0))] if tally else [])


# -- stops (row 15) ------------------------------------------------------------------------------


def stop(desk: Desk, scope: Any = "all", key: str = "") -> None:
    desk.stops = (Stop("stop_1", scope, key, "hash", LEAD, desk.now),)


@pytest.mark.parametrize(
    ("scope", "key", "holds"),
    [
        ("all", "", True),
        ("order", "the order", True),
        ("order", "ord_other", False),
        ("customer", "c-1", True),
        ("customer", "c-2", False),
        ("connection", STRIPE, True),
        ("connection", "shop-1", True),
        ("connection", "paypal-eu", False),
    ],
)
def test_row_15_a_stop_holds_what_it_names(scope: str, key: str, holds: bool) -> None:
    desk = Desk(bought(), policy=policy(yes()))
    stop(desk, scope, desk.order.id if key == "the order" else key)
    refund = asked(desk)
    assert refund.verdict and (refund.verdict.rule == "refund-stop") is holds
    if holds:
        assert refusal(desk, Approved(refund.id)) is Reason.REFUNDS_STOPPED
        desk.stops = ()
        assert refusal(desk, Approved(refund.id)) is None


def test_what_was_approved_and_has_not_left_stays_until_the_stop_is_lifted() -> None:
    desk = Desk(bought(), policy=policy(yes()))
    asked(desk)
    stop(desk)
    desk.due()
    assert not desk.leased and desk.order.refunds[0].legs[0].attempts == 0
    desk.now += HOUR
    desk.due()
    assert desk.order.refunds[0].legs[0].attempts == 0, "still"
    desk.stops = ()
    desk.now += HOUR
    desk.due()
    assert desk.order.refunds[0].legs[0].attempts == 1


def test_what_may_be_on_the_wire_is_seen_through() -> None:
    desk = Desk(bought(), policy=policy(yes()))
    asked(desk)
    desk.due()
    stop(desk)
    desk.accept()
    assert shown_state(desk.refund()) == "succeeded"


def test_no_retry_under_a_stop_and_what_a_person_paid_is_recorded_all_the_same() -> None:
    desk = Desk(bought(), policy=policy(yes()))
    asked(desk)
    desk.due()
    desk.answer(Declined("charge_disputed", "no"))
    stop(desk)
    assert refusal(desk, Retried(desk.refund().id)) is Reason.REFUNDS_STOPPED
    assert refusal(desk, PaidOutside(desk.refund().id, "T-1")) is None


def test_goods_that_come_back_under_a_stop_let_nothing_leave() -> None:
    desk = Desk(bought(), policy=policy(yes(wait_for_receipt=True)))
    asked(desk)
    stop(desk)
    desk.tell(ReturnReceived((LinePick("1", 1),), "r1"), "connection:shop-1")
    assert shown_state(desk.refund()) == "review"
    assert desk.events[-1].body["held"] == "refund_stop"
