"""PayPal's answers and webhooks folded into an order: what the edge cases come to here.

The core decides, the gateway translates, and a few scripted answers stand for PayPal. What an
engine does between them (the login, sending, the two steps of a look-up) is done by `Account`.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Decision, Terms
from amends.core.effects import CaptureRestIntent, Intent, LookupRefundsIntent, RefundIntent
from amends.core.facts import (
    Answered,
    DisputeReported,
    LookedUp,
    PaymentToRead,
    RefundRequested,
)
from amends.core.legs import effect_id
from amends.core.order import Leg
from amends.core.requests import LinePick, PspIn, RefundIn, TenderIn
from amends.core.rereads import reread_id
from amends.gateways import paypal
from amends.gateways.spec import Failure, Response
from amends.kernel.outcome import Accepted, Outcome
from amends.kernel.time import DAY, SECOND
from tests.core.desk import Desk, contract_order
from tests.gateways.paypal_money_table import answer, error, issue
from tests.gateways.paypal_table import (
    AUTH,
    CAPTURE,
    ORDER,
    SETTINGS,
    authorization,
    by_others,
    capture,
    dispute,
    event,
    money,
    order,
    refund,
)
from tests.gateways.table import dumps

ABLE = paypal.CAPABILITIES
TERMS = Terms(
    key_ttl=ABLE.key_ttl,
    lookup_delay=ABLE.lookup_delay,
    indeterminate_after=ABLE.key_ttl,
    void=ABLE.void,
    release_part=ABLE.release_part,
    methods=ABLE.methods,
)
ONE_TEA = RefundIn(lines=(LinePick("1", 1),))  # 32.00 of 102.00
WHOLE = capture(amount=money("102.00"))


class Account(Desk):
    """An order paid by PayPal: one capture of 102.00, or an authorization of as much."""

    def __init__(self, psp_id: str = CAPTURE, captured: int = 10_200, charge: str = "") -> None:
        paid = TenderIn(
            10_200, "payment", SETTINGS.name, psp_id, captured, PspIn(charge=charge, order=ORDER)
        )
        super().__init__(contract_order(tenders=(paid,)), terms={SETTINGS.name: TERMS})

    def tell(self, fact: Any, actor: str = "key:support") -> Decision:
        """What comes from PayPal is said by its connection."""
        theirs = isinstance(fact, Answered | LookedUp | PaymentToRead | DisputeReported)
        return super().tell(fact, f"connection:{SETTINGS.name}" if theirs else actor)

    def ask(self, request: RefundIn = ONE_TEA) -> Intent:
        self.tell(RefundRequested(request))
        return self.leaves()

    def leaves(self) -> Intent:
        intent = self.due()
        assert intent is not None
        return intent

    def says(self, intent: Intent, result: Response | Failure) -> Leg:
        """PayPal answers what was sent for the last leg."""
        paypal.write(intent, SETTINGS)
        self.answer(paypal.parse(intent, result))
        return self.leg()

    def shows(self, *refunds: dict[str, Any]) -> None:
        """The look-up that is due for the last leg finds these refunds at PayPal."""
        intent = self.leaves()
        assert isinstance(intent, LookupRefundsIntent)
        self.looked(_looked(intent, *refunds), self.leg())

    def reads(self, *refunds: dict[str, Any]) -> None:
        """The look-up of the whole payment that is due finds these."""
        intent = self.due_reread()
        assert isinstance(intent, LookupRefundsIntent)
        self.looked(_looked(intent, *refunds))

    def looked(self, outcome: Outcome, leg: Leg | None = None) -> None:
        """A look-up, just sent, is answered: for a leg, or for the payment."""
        row = effect_id(leg.id) if leg else reread_id(self.payment().id)
        name, asked_at = leg.id if leg else "", self.now
        self.now += 50_000
        self.tell(LookedUp(self.payment().id, outcome, name, asked_at, self.asked(row)))

    def hears(self, kind: str, resource: dict[str, Any], resource_type: str) -> None:
        """A webhook, its facts folded as they are read."""
        raw = dumps(event(kind, resource, resource_type))
        for item in paypal.read(raw, {}, SETTINGS).facts:
            self.tell(item.fact)

    def refunded(self, **changes: Any) -> dict[str, Any]:
        """The refund PayPal made for the last leg."""
        leg = self.leg()
        mark = f"amends.{self.order.id}.{leg.id}.{leg.epoch}"
        return refund(**{"custom_id": mark, **changes})


def _looked(intent: LookupRefundsIntent, *refunds: dict[str, Any]) -> Outcome:
    """Both steps, as an engine takes them: the capture names its order, the order lists."""
    first = paypal.parse(intent, answer(200, WHOLE))
    assert isinstance(first, Accepted)
    assert paypal.write(intent, SETTINGS).url.endswith(f"/captures/{CAPTURE}")
    following = replace(intent, cursor=first.next)
    assert paypal.write(following, SETTINGS).url.endswith(f"/orders/{ORDER}")
    listed = order({"captures": [WHOLE], "refunds": list(refunds)})
    return paypal.parse(following, answer(200, listed))


def _body(intent: Intent) -> bytes:
    return paypal.write(intent, SETTINGS).body


def test_a_refund() -> None:
    account = Account()
    intent = account.ask()
    assert isinstance(intent, RefundIntent)
    assert account.says(intent, answer(201, account.refunded())).state == "succeeded"
    assert account.payment().refunded_ours == 3200


def test_edge_02_a_timeout_is_settled_by_the_order_s_list() -> None:
    account = Account()
    leg = account.says(account.ask(), Failure(True, "no answer"))
    assert leg.state == "unknown"
    account.shows(account.refunded(), by_others(id="OTHER"))
    assert account.leg(0).state == "succeeded"
    assert account.payment().refunded_ours == 3200
    assert account.payment().external == 3200


def test_edge_02_a_later_no_is_unknown_too() -> None:
    """A 500 that sat on a refund that was made; the same bytes then meet "fully refunded"."""
    account = Account()
    first = account.ask(RefundIn())
    account.says(first, error(500, "INTERNAL_SERVER_ERROR"))
    account.shows()
    again = account.leaves()
    assert (_body(again), again) == (_body(first), first)
    assert account.says(again, issue("CAPTURE_FULLY_REFUNDED")).state == "unknown"
    account.shows(account.refunded(amount=money("102.00")))
    assert account.leg().state == "succeeded"


def test_edge_03_after_a_crash_the_one_refund_is_found() -> None:
    account = Account()
    account.ask()
    account.due(lost=True)
    account.shows(account.refunded())
    assert account.leg().state == "succeeded"
    assert account.kinds().count("payout") == 1


def test_edge_04_past_the_key_s_45_days_nothing_is_sent_again_unseen() -> None:
    account = Account()
    account.says(account.ask(), error(503, "SERVICE_UNAVAILABLE"))
    account.now += 45 * DAY
    account.shows(account.refunded())
    assert account.leg().state == "succeeded"
    assert account.leg().attempts == 1


def test_edge_04_an_invoice_id_seen_before_is_looked_up() -> None:
    """The second guard: PayPal knows our invoice_id though it has forgotten the key."""
    account = Account()
    leg = account.says(account.ask(), issue("DUPLICATE_INVOICE_ID"))
    assert leg.state == "unknown"
    account.shows(account.refunded())
    assert account.leg().state == "succeeded"


def test_edge_05_the_same_intent_has_the_same_bytes_and_another_amount_others() -> None:
    account = Account()
    intent = account.ask()
    assert isinstance(intent, RefundIntent)
    assert paypal.write(intent, SETTINGS) == paypal.write(intent, SETTINGS)
    assert _body(intent) != _body(replace(intent, amount=1))


def test_edge_06_a_webhook_before_the_answer_moves_nothing() -> None:
    account = Account()
    intent = account.ask()
    before = account.payment()
    account.hears("PAYMENT.CAPTURE.REFUNDED", account.refunded(), "refund")
    assert account.leg().state == "sending"
    assert replace(account.payment(), reread=False, look=False) == before
    account.says(intent, answer(201, account.refunded()))
    account.reads(account.refunded())
    assert account.leg().state == "succeeded"
    assert account.kinds().count("payout") == 1


@pytest.mark.parametrize("status", ["PENDING", "COMPLETED", "FAILED", "CANCELLED"])
def test_edge_07_stale_and_repeated_webhooks_change_nothing(status: str) -> None:
    account = Account()
    account.says(account.ask(), answer(201, account.refunded()))
    before, entries = account.order, len(account.entries)
    for _ in range(2):
        account.hears("PAYMENT.CAPTURE.REFUNDED", account.refunded(status=status), "refund")
        account.reads(account.refunded())
    assert account.order.refunds == before.refunds
    assert account.order.payments == before.payments
    assert len(account.entries) == entries


def test_edge_08_a_refund_that_fails_later_is_back_on_the_books() -> None:
    account = Account()
    account.says(account.ask(), answer(201, account.refunded()))
    account.hears("PAYMENT.REFUND.FAILED", account.refunded(status="FAILED"), "refund")
    account.reads(account.refunded(status="FAILED"))
    assert account.leg().state == "failed"
    assert account.payment().refunded_ours == 0
    assert "payout_failed" in account.kinds()


def test_edge_08_an_echeck_ends_by_a_look_up() -> None:
    account = Account()
    leg = account.says(account.ask(), answer(201, account.refunded(status="PENDING")))
    assert leg.state == "pending"
    account.shows(account.refunded())
    assert account.leg().state == "succeeded"


def test_edge_10_a_refund_made_at_paypal_s_own_site_is_adopted() -> None:
    account = Account()
    account.hears("PAYMENT.CAPTURE.REFUNDED", by_others(amount=money("99.00")), "refund")
    assert account.payment().external == 0  # the webhook's amount is nobody's word
    account.reads(by_others())
    assert account.payment().external == 3200
    assert account.refund().external


def test_edge_11_a_disputed_payment_is_not_paid_twice() -> None:
    account = Account()
    intent = account.ask()
    account.hears("CUSTOMER.DISPUTE.CREATED", dispute(), "dispute")
    for code in ("TRANSACTION_DISPUTED", "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"):
        outcome = paypal.parse(intent, issue(code))
        assert type(outcome).__name__ == "Declined"
    assert account.says(intent, issue("TRANSACTION_DISPUTED")).state == "failed"
    account.tell(RefundRequested(ONE_TEA))
    assert account.refund().stage == "review"  # frozen for a person while the case is open


def test_edge_12_a_claim_paypal_refunded_itself_leaves_nothing_to_refund() -> None:
    account = Account()
    intent = account.ask()
    ended = dispute(status="RESOLVED", dispute_outcome={"outcome_code": "ACCEPTED"})
    account.hears("CUSTOMER.DISPUTE.RESOLVED", ended, "dispute")
    assert account.says(intent, issue("CAPTURE_FULLY_REFUNDED")).state == "failed"
    account.reads(by_others(amount=money("102.00")))
    assert (account.payment().external, account.payment().refunded_ours) == (10_200, 0)


def test_edge_20_what_is_not_captured_is_voided() -> None:
    account = Account(AUTH, captured=0)
    intent = account.ask(RefundIn())
    assert intent.psp_payment_id == AUTH
    assert account.says(intent, answer(204, b"")).state == "succeeded"
    assert account.payment().voided == 10_200


def test_edge_20_a_part_is_released_by_a_final_capture_of_the_rest() -> None:
    """A partial on an unsettled sale never becomes a full void."""
    account = Account(AUTH, captured=0)
    intent = account.ask()
    assert isinstance(intent, CaptureRestIntent)
    assert b'"final_capture":true' in _body(intent)
    rest = capture(id="4CAP", amount=money("70.00"))
    assert account.says(intent, answer(201, rest)).state == "succeeded"
    assert (account.payment().voided, account.payment().captured) == (3200, 7000)


def test_edge_20_an_expired_authorization_is_gone() -> None:
    account = Account(AUTH, captured=0)
    account.says(account.ask(), issue("AUTHORIZATION_EXPIRED"))
    assert account.payment().voided == 10_200
    assert account.payment().captured == 0
    assert account.raised() == ["authorization_lost"]


def test_edge_20_a_capture_that_is_still_pending_waits_for_its_money() -> None:
    account = Account()
    leg = account.says(account.ask(), issue("PENDING_CAPTURE"))
    assert leg.state == "awaiting_funds"


def test_edge_21_the_capture_won_the_race() -> None:
    account = Account(AUTH, captured=0, charge=CAPTURE)
    leg = account.says(account.ask(RefundIn()), issue("PREVIOUSLY_CAPTURED"))
    assert leg.kind == "refund"
    refunding = account.leaves()
    assert paypal.write(refunding, SETTINGS).url.endswith(f"/captures/{CAPTURE}/refund")


def test_edge_21_captured_by_others_and_not_said_how_much_is_no_reason_to_refund() -> None:
    """A final capture of 70.00 by somebody else is just what was wanted: refunding 32.00 of it, as
    if all had been captured, would give too much back."""
    account = Account(AUTH, captured=0)
    leg = account.says(account.ask(), issue("AUTHORIZATION_ALREADY_CAPTURED"))
    assert (leg.state, leg.kind) == ("unknown", "void")
    looking = account.leaves()
    state = paypal.parse(looking, answer(200, authorization(status="CAPTURED")))
    account.looked(state, account.leg())
    assert account.leg().kind == "void"
    assert account.payment().captured == 0


def test_edge_22_a_balance_that_is_short_waits_and_comes_back_under_a_new_key() -> None:
    account = Account()
    first = account.ask()
    leg = account.says(first, issue("REFUND_FAILED_INSUFFICIENT_FUNDS"))
    assert leg.state == "awaiting_funds"
    second = account.leaves()
    assert isinstance(first, RefundIntent)
    assert isinstance(second, RefundIntent)
    assert (second.key != first.key, second.amount) == (True, first.amount)
    assert b"-2" in _body(second)  # its invoice_id is another one too


def test_not_found_counts_only_after_the_delay() -> None:
    account = Account()
    account.says(account.ask(), Failure(True, "no answer"))
    account.shows()
    assert account.leg().state == "unknown"
    assert ABLE.lookup_delay > 10 * SECOND
