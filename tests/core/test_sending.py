"""What leaves, under which key, and what the absence of a clear answer leads to (I2, I3, I4)."""

from __future__ import annotations

import pytest

from amends.core.decision import Terms
from amends.core.effects import LookupRefundsIntent, RefundIntent
from amends.core.facts import Answered, EffectDue, LookedUp, PaymentReported, RefundRequested
from amends.core.legs import STORED_ENOUGH, STUCK_AFTER, effect_id
from amends.core.order import LegState
from amends.core.patience import KEY_MARGIN
from amends.core.requests import LinePick, RefundIn
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, PaymentState, Unknown
from tests.core.desk import DAY, HOUR, MINUTE, SECOND, STRIPE, TERMS, Desk, card, contract_order

TIMEOUT = Unknown("timeout")
ONE_TEA = RefundIn(lines=(LinePick("1", 1),))
ALREADY = Declined("charge_already_refunded", kind="refunded")


def asked(request: RefundIn = ONE_TEA) -> Desk:
    """One tea is asked back and approved; nothing has left yet."""
    desk = Desk()
    desk.tell(RefundRequested(request))
    return desk


def sent(request: RefundIn = ONE_TEA) -> Desk:
    desk = asked(request)
    assert isinstance(desk.due(), RefundIntent)
    return desk


def doubtful() -> Desk:
    """The first attempt was lost."""
    desk = sent()
    desk.answer(TIMEOUT)
    assert desk.leg().state == "unknown"
    return desk


def test_the_intent_is_written_down_before_the_wire() -> None:
    desk = asked()
    intent = desk.due()
    assert isinstance(intent, RefundIntent)
    leg = desk.leg()
    assert (intent.key, intent.amount) == (leg.key, 3200) == (f"{leg.id}-1", 3200)
    assert leg.in_flight
    assert desk.payment().busy == leg.id
    assert desk.events[-1].type == "leg.sending"
    assert desk.events[-1].body["key"] == leg.key


def test_success() -> None:
    desk = sent()
    desk.accept()
    assert desk.leg().state == "succeeded"
    assert (desk.payment().refunded_ours, desk.payment().pending_ours) == (3200, 0)
    assert desk.kinds() == ["claim", "payout"]
    assert not desk.rows
    assert desk.balance("clearing:stripe-eu") == -3200
    assert desk.balance("refunds_payable") == 0


def test_edge_02_a_timeout_is_unknown_and_stays_reserved() -> None:
    desk = doubtful()
    assert desk.payment().pending_ours == 3200
    assert desk.order.remaining == 7000
    assert isinstance(desk.due(), LookupRefundsIntent)


def test_edge_02_found_by_look_up() -> None:
    desk = doubtful()
    desk.due()
    desk.found(desk.state())
    assert desk.leg().state == "succeeded"
    assert desk.leg().epoch == 1
    assert desk.kinds() == ["claim", "payout"]
    assert not desk.rows


def test_edge_02_not_found_sends_the_same_bytes_again() -> None:
    desk = asked()
    first = desk.due()
    for _ in range(4):
        desk.answer(TIMEOUT)
        desk.due()
        desk.found()
        again = desk.due()
        assert again == first


def test_edge_02_declined_in_doubt_stays_unknown() -> None:
    desk = doubtful()
    desk.due()
    desk.found()
    desk.due()
    desk.answer(ALREADY)
    assert desk.leg().state == "unknown"
    assert desk.payment().pending_ours == 3200
    desk.due()
    desk.found(desk.state())
    assert desk.leg().state == "succeeded"


def test_edge_02_declined_in_doubt_and_not_found_is_a_no() -> None:
    desk = doubtful()
    desk.due()
    desk.found()
    desk.due()
    desk.answer(ALREADY)
    desk.due()
    desk.found()  # too soon after the last byte to count
    assert desk.leg().state == "unknown"
    desk.now += TERMS.lookup_delay
    desk.tell(LookedUp(desk.payment().id, Accepted(), desk.leg().id, desk.now))
    assert desk.leg().state == "failed"
    assert desk.leg().failure == "charge_already_refunded"
    assert desk.payment().pending_ours == 0
    assert desk.kinds() == ["claim", "claim_lapsed"]


def test_edge_03_a_crash_is_an_unknown_outcome() -> None:
    desk = asked()
    first = desk.due()
    desk.due(lost=True)
    assert desk.leg().state == "unknown"
    assert desk.payment().busy == ""
    assert isinstance(desk.due(), LookupRefundsIntent)
    desk.found()
    assert desk.due() == first


def test_edge_03_a_crash_during_a_look_up_looks_up_again() -> None:
    desk = doubtful()
    desk.due()
    assert isinstance(desk.due(lost=True), LookupRefundsIntent)


def test_edge_03_the_answer_of_an_overtaken_attempt_is_applied() -> None:
    desk = asked()
    desk.due()
    old = desk.leg()
    desk.due(lost=True)
    desk.due()
    desk.found()
    desk.due()
    assert desk.leg().attempts == 2
    desk.answer(Accepted(refund=desk.state()), old)
    assert desk.leg().state == "succeeded"
    desk.accept()
    assert desk.kinds() == ["claim", "payout"]
    assert not desk.rows
    assert not desk.payment().busy


def test_edge_04_past_the_keys_retention_only_look_ups() -> None:
    desk = doubtful()
    desk.due()
    desk.found()
    desk.now = desk.leg().first_sent_at + TERMS.key_ttl - KEY_MARGIN
    assert isinstance(desk.due(), LookupRefundsIntent), "a resend here may refund twice"
    desk.found()
    assert isinstance(desk.due(), LookupRefundsIntent)


def test_edge_04_an_attempt_never_found_is_closed_and_renewed() -> None:
    desk = doubtful()
    key = desk.leg().key
    for _ in range(200):
        intent = desk.due()
        if isinstance(intent, RefundIntent) and intent.key != key:
            break
        if isinstance(intent, RefundIntent):
            desk.answer(TIMEOUT)
        else:
            desk.found()
    assert desk.leg().epoch == 2
    assert desk.leg().first_sent_at >= desk.events[0].at + TERMS.indeterminate_after
    closed = [e for e in desk.events if e.body.get("news") == "attempt_closed"]
    assert [e.body["key"] for e in closed] == [key]


def test_a_stored_error_is_not_repeated_for_ever() -> None:
    desk = sent()
    sends = 1
    stored = Unknown("HTTP 500", stored=True)
    desk.answer(stored)
    for _ in range(200):
        intent = desk.due()
        if isinstance(intent, RefundIntent) and intent.epoch == 2:
            break
        if isinstance(intent, RefundIntent):
            sends += 1
            desk.answer(stored)
        else:
            desk.found()
    assert sends == STORED_ENOUGH
    assert desk.leg().epoch == 2
    assert desk.raised() == ["stuck"]
    assert STUCK_AFTER > STORED_ENOUGH


def test_indeterminate_after_is_per_connection() -> None:
    desk = Desk(terms={STRIPE: Terms(24 * HOUR, 5 * SECOND, 10 * MINUTE)})
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    desk.answer(Unknown("HTTP 500", stored=True))
    desk.now += 10 * MINUTE
    desk.due()
    desk.found()
    assert desk.leg().epoch == 2
    assert desk.leg().state == "sending"


def test_what_surfaces_before_the_new_attempt_left_takes_its_place() -> None:
    """The first attempt was closed as not executed, and turns out to have been: no second send."""
    desk = doubtful()
    late = desk.state()
    desk.now += DAY
    desk.due()
    desk.found()
    assert (desk.leg().epoch, desk.leg().attempts) == (2, 0)
    desk.hear(late)
    assert desk.leg().state == "succeeded"
    assert not desk.rows, "a second refund would leave"
    assert desk.kinds() == ["claim", "payout"]


def test_what_surfaces_after_the_new_attempt_is_counted_and_raised() -> None:
    desk = doubtful()
    late = desk.state()
    desk.now += DAY
    desk.due()
    desk.found()
    desk.due()
    desk.accept()
    desk.hear(late)
    assert desk.payment().refunded_ours == 3200
    assert desk.payment().external == 3200
    assert desk.balance("clearing:stripe-eu") == -6400
    assert "closed_attempt_surfaced" in desk.raised()


def test_not_sent_may_be_repeated_and_starts_no_retention() -> None:
    desk = asked()
    first = desk.due()
    desk.answer(NotSent("connection refused"))
    assert desk.leg().state == "sending"
    assert not desk.leg().doubt
    assert desk.due() == first
    desk.answer(NotSent("rate_limit", retry_after=90 * SECOND))
    assert desk.rows[effect_id(desk.leg().id)].due >= desk.now + 89 * SECOND
    desk.now += 3 * DAY
    assert desk.due() == first
    desk.answer(Declined("expired_or_canceled_card"))
    assert desk.leg().state == "failed", "no attempt before was in doubt"


def test_not_sent_with_an_alert_tells_a_person_once() -> None:
    desk = sent()
    for _ in range(3):
        desk.answer(NotSent("HTTP 401", alert=True))
        desk.due()
    assert desk.raised().count("alert") == 1


def test_declined_is_a_no_and_the_claim_lapses() -> None:
    desk = sent()
    desk.answer(Declined("charge_disputed"))
    assert desk.leg().state == "failed"
    assert desk.order.remaining == 10_200
    assert desk.kinds() == ["claim", "claim_lapsed"]
    assert all(desk.balance(a) == 0 for a in ("sales_returns", "tax_payable", "refunds_payable"))


def test_already_refunded_by_others_is_read_again() -> None:
    desk = sent()
    desk.answer(ALREADY)
    assert desk.leg().state == "failed"
    assert isinstance(desk.due_reread(), LookupRefundsIntent)


def test_edge_22_no_funds_waits_and_tries_under_a_new_key() -> None:
    desk = sent()
    desk.answer(Declined("balance_insufficient", kind="funds"))
    assert desk.leg().state == "awaiting_funds"
    assert desk.payment().pending_ours == 3200
    intent = desk.due()
    assert isinstance(intent, RefundIntent)
    assert intent.epoch == 2
    desk.accept()
    assert desk.leg().state == "succeeded"


@pytest.mark.parametrize("state", ["pending", "requires_action", "awaiting_funds"])
def test_what_is_open_is_looked_in_on_daily(state: LegState) -> None:
    desk = sent()
    desk.accept(state)  # type: ignore[arg-type]
    assert desk.leg().state == state
    for _ in range(3):
        before = desk.now
        assert isinstance(desk.due(), LookupRefundsIntent)
        assert desk.now >= before + DAY - MINUTE
        desk.found(desk.state(state))  # type: ignore[arg-type]
    desk.due()
    desk.found(desk.state("succeeded"))
    assert desk.leg().state == "succeeded"


def test_an_open_refund_missing_from_a_look_up_is_looked_in_on_again() -> None:
    desk = sent()
    desk.accept("pending")
    desk.due()
    desk.found()
    assert desk.leg().state == "pending"
    assert isinstance(desk.due(), LookupRefundsIntent)
    desk.tell(LookedUp(desk.payment().id, TIMEOUT, desk.leg().id, desk.now))
    assert isinstance(desk.due(), LookupRefundsIntent)


def test_a_look_up_that_fails_when_a_webhook_had_settled_it_leaves_no_row() -> None:
    desk = doubtful()
    desk.due()
    desk.hear(desk.state())
    desk.tell(LookedUp(desk.payment().id, TIMEOUT, desk.leg().id, desk.now))
    assert desk.leg().state == "succeeded"
    assert not desk.rows


def test_a_payments_effects_go_one_at_a_time() -> None:
    desk = Desk()
    desk.tell(RefundRequested(ONE_TEA))
    desk.tell(RefundRequested(ONE_TEA))
    first, second = (leg for _, leg in desk.legs())
    assert desk.due(first) is not None
    assert desk.due(second) is None
    desk.accept(leg=desk.leg(0))
    assert desk.due(second) is not None


def test_a_webhook_while_the_request_is_out_leaves_its_lease_alone() -> None:
    """Else nobody would notice a crash of whoever waits for the answer."""
    desk = sent()
    desk.hear(desk.state("pending"))
    assert desk.leg().state == "pending"
    assert effect_id(desk.leg().id) in desk.leased
    desk.due(lost=True)
    assert not desk.payment().busy
    assert desk.leg().state == "pending"


def test_a_look_up_lost_after_a_webhook_settled_it_lets_the_next_one_go() -> None:
    desk = doubtful()
    desk.due()
    desk.hear(desk.state("failed"))
    desk.tell(RefundRequested(ONE_TEA))
    desk.due(desk.leg(0), lost=True)
    assert desk.due(desk.leg(1)) is not None


def test_a_row_claimed_twice_leaves_the_request_that_is_out_alone() -> None:
    desk = sent()
    row = effect_id(desk.leg().id)
    desk.tell(EffectDue(row))
    assert row in desk.leased
    desk.accept()
    assert not desk.rows


def test_a_reread_claimed_twice_leaves_the_one_that_is_out_alone() -> None:
    desk = sent()
    desk.answer(ALREADY)
    desk.due_reread()
    desk.due_reread()
    assert desk.leased
    desk.reread()
    assert not desk.rows


def test_a_look_up_of_before_the_last_send_settles_nothing() -> None:
    desk = doubtful()
    desk.due()
    desk.found()
    desk.due()
    assert desk.leg().in_flight
    asked_at = desk.now + TERMS.indeterminate_after + DAY
    desk.tell(LookedUp(desk.payment().id, Accepted(), desk.leg().id, asked_at))
    assert desk.leg().epoch == 1, "bytes may be on the wire"


def test_the_same_key_always_has_the_same_bytes() -> None:
    """Even if more was captured meanwhile, which changes what the whole of it is."""
    report = contract_order(tenders=(card(10_200, 3200),))
    desk = Desk(report)
    desk.tell(RefundRequested(ONE_TEA))
    first = desk.due()
    desk.answer(TIMEOUT)
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=10_200)))
    desk.due()
    desk.found()
    assert desk.due() == first


def test_a_provider_that_cannot_be_asked_is_never_asked() -> None:
    terms = Terms(24 * HOUR, 5 * SECOND, 24 * HOUR, lookup=False)
    desk = Desk(terms={STRIPE: terms})
    desk.tell(RefundRequested(ONE_TEA))
    desk.due()
    for _ in range(200):
        desk.answer(TIMEOUT)
        intent = desk.due()
        if intent is None:
            break
        assert isinstance(intent, RefundIntent)
    assert desk.now >= desk.leg().first_sent_at + terms.key_ttl - KEY_MARGIN
    assert desk.leg().state == "unknown"
    assert "stuck" in desk.raised()
    desk.hear(desk.state())
    assert desk.leg().state == "succeeded"


OUTCOMES: list[Outcome] = [TIMEOUT, NotSent("refused"), ALREADY, Declined("no"), Accepted()]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("status", ["pending", "succeeded", "failed"])
def test_an_answer_after_the_webhook_frees_the_payment(status: str, outcome: Outcome) -> None:
    desk = sent()
    desk.hear(desk.state(status))  # type: ignore[arg-type]
    desk.answer(outcome)
    assert desk.leg().state == status
    assert not desk.payment().busy


def test_edge_06_webhook_before_the_answer() -> None:
    desk = sent()
    desk.hear(desk.state())
    assert desk.leg().state == "succeeded"
    desk.accept()
    assert desk.kinds() == ["claim", "payout"]
    assert len(desk.order.refunds) == 1
    assert not desk.rows


def test_an_answer_for_an_unknown_attempt_changes_nothing() -> None:
    desk = sent()
    desk.tell(Answered(desk.leg().id, 1, 7, Declined("no")))
    assert desk.leg().state == "sending"
    assert desk.payment().busy


@pytest.mark.parametrize("code", ["balance_insufficient", ""])
def test_no_funds_in_doubt_waits_for_funds_once_a_look_up_agrees(code: str) -> None:
    """edge-22: the first answer was lost, and the same bytes again are told that the balance is
    short. Nothing was executed: it is tried again later, and has not failed."""
    desk = sent()
    desk.answer(Unknown("timeout"))
    desk.due()
    desk.found()
    desk.due()
    desk.answer(Declined(code, kind="funds"))
    assert desk.leg().state == "unknown", "I4: a no in doubt is no answer"
    desk.now += TERMS.lookup_delay
    desk.due()
    desk.found()
    leg = desk.leg()
    assert (leg.state, leg.epoch, leg.unfunded, leg.declined) == ("awaiting_funds", 2, False, "")
    assert desk.due() is not None, "another attempt leaves, under another key"
