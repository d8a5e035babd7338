"""Parties that answer a refund at once and list the refunds of a payment: their bytes through
gateway and core, as the edge cases ask. What only Stripe does of it is below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Decision, Terms
from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.core.facts import Answered, LookedUp, RefundRequested
from amends.core.legs import effect_id
from amends.core.order import Leg
from amends.core.requests import LinePick, RefundIn, TenderIn
from amends.core.rereads import reread_id
from amends.gateways.spec import Failure, Genuine, Response
from amends.kernel.time import DAY
from tests.core.desk import Desk, contract_order
from tests.gateways import mollie_table, stripe_money_table, stripe_table
from tests.gateways.stripe_table import PI, dispute, event, intent, move
from tests.gateways.table import NOW, MoneyTable, Table

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))  # 32.00 of 102.00
TIMEOUT = Failure(True, "no answer in 6 s")


@dataclass(frozen=True)
class Party:
    """One such party. `made` is a refund in its words, of a leg or (None) of somebody else's hand;
    `page` its list, `told` its message of a refund, `words` its statuses."""

    money: MoneyTable
    hearing: Table
    payment: str
    made: Callable[[Leg | None, str, int], dict[str, Any]]
    answer: Callable[[int, Any], Response]
    page: Callable[..., Response]
    told: Callable[[dict[str, Any]], dict[str, Any]]
    words: dict[str, str]
    short: str  # the status of a refund that waits for money


def _stripe_made(leg: Leg | None, status: str, amount: int) -> dict[str, Any]:
    marks = {"amends_leg": leg.id, "amends_epoch": str(leg.epoch)} if leg else {}
    name = "re_1" if leg else "re_9"
    short = {"status": "pending", "pending_reason": "insufficient_funds"}
    said = short if status == "short" else {"status": status}
    return stripe_table.refund(id=name, amount=amount, metadata=marks, **said)


def _mollie_made(leg: Leg | None, status: str, amount: int) -> dict[str, Any]:
    marks = mollie_table.marks(leg.id, str(leg.epoch)) if leg else None
    name = mollie_table.REFUND_ID if leg else "re_others"
    value = mollie_table.money(f"{amount // 100}.{amount % 100:02d}")
    return mollie_table.refund(id=name, amount=value, metadata=marks, status=status)


PARTIES = {
    "stripe": Party(
        money=stripe_money_table.MONEY,
        hearing=stripe_table.HEARING,
        payment=PI,
        made=_stripe_made,
        answer=stripe_money_table.answer,
        page=stripe_money_table.page,
        told=lambda refund: event("refund.updated", refund),
        words={"succeeded": "succeeded", "pending": "pending", "failed": "failed"},
        short="short",
    ),
    "mollie": Party(
        money=mollie_table.MONEY,
        hearing=mollie_table.HEARING,
        payment=mollie_table.PAYMENT,
        made=_mollie_made,
        answer=mollie_table.answer,
        page=mollie_table.page,
        told=lambda refund: mollie_table.event(f"refund.{refund['status']}", refund),
        words={"succeeded": "refunded", "pending": "pending", "failed": "failed"},
        short="queued",
    ),
}


class Account(Desk):
    """An order of 102.00, paid at that party."""

    def __init__(self, party: Party, captured: int = 10_200) -> None:
        self.party = party
        self.connection = party.money.settings.name
        able = party.money.gateway.CAPABILITIES
        terms = Terms(
            key_ttl=able.key_ttl,
            lookup_delay=able.lookup_delay,
            indeterminate_after=able.key_ttl,
            void=able.void,
            release_part=able.release_part,
            methods=able.methods,
        )
        paid = TenderIn(10_200, "payment", self.connection, party.payment, captured)
        super().__init__(contract_order(tenders=(paid,)), terms={self.connection: terms})

    def ask(self, request: RefundIn = ONE_TEA) -> Intent:
        self.tell(RefundRequested(request))
        return self.leaves()

    def leaves(self) -> Intent:
        """What leaves now for the last leg; it can be written."""
        found = self.due()
        assert found is not None
        self.party.money.gateway.write(found, self.party.money.settings)
        return found

    def heard(self, fact: Any) -> Decision:
        return self.tell(fact, f"connection:{self.connection}")

    def says(self, asked: Intent, result: Response | Failure) -> Leg:
        """The party answers what was sent for the last leg."""
        leg = self.leg()
        self.now += 50_000
        outcome = self.party.money.gateway.parse(asked, result)
        self.heard(
            Answered(leg.id, leg.epoch, leg.attempts, outcome, self.asked(effect_id(leg.id)))
        )
        return self.leg()

    def made(self, status: str = "succeeded", amount: int = 3200) -> dict[str, Any]:
        """The refund it made for the last leg."""
        return self.party.made(self.leg(), self.party.words.get(status, status), amount)

    def others(self, amount: int = 3200) -> dict[str, Any]:
        """A refund from its dashboard."""
        return self.party.made(None, self.party.words["succeeded"], amount)

    def done(self, status: str = "succeeded") -> Response:
        return self.party.answer(201, self.made(status))

    def shows(self, *refunds: dict[str, Any]) -> None:
        """The look-up that is due for the last leg finds these."""
        looking, leg = self.leaves(), self.leg()
        assert isinstance(looking, LookupRefundsIntent)
        self.looked(looking, leg.id, effect_id(leg.id), refunds)

    def reads(self, *refunds: dict[str, Any]) -> None:
        """The look-up of the whole payment that is due finds these."""
        looking = self.due_reread()
        assert isinstance(looking, LookupRefundsIntent)
        self.looked(looking, "", reread_id(self.payment().id), refunds)

    def looked(self, looking: Intent, leg: str, row: str, refunds: Any) -> None:
        outcome = self.party.money.gateway.parse(looking, self.party.page(*refunds))
        asked_at, seen = self.now, self.asked(row)
        self.now += 50_000
        self.heard(LookedUp(self.payment().id, outcome, leg, asked_at, seen))

    def hears(self, message: dict[str, Any]) -> None:
        """A webhook, signed, verified, read and folded."""
        table = self.party.hearing
        raw, headers = table.genuine(message)
        assert table.verify(raw, headers, (table.secret,), NOW) == Genuine()
        for item in table.gateway.read(raw, headers, self.party.money.settings).facts:
            self.heard(item.fact)

    def body(self, asked: Intent) -> bytes:
        return self.party.money.gateway.write(asked, self.party.money.settings).body


@pytest.fixture(params=PARTIES.values(), ids=PARTIES)
def account(request: pytest.FixtureRequest) -> Account:
    return Account(request.param)


def test_edge_02_a_lost_answer_is_found_in_the_list(account: Account) -> None:
    assert account.says(account.ask(), TIMEOUT).state == "unknown"
    assert account.payment().pending_ours == 3200
    account.shows(account.made())
    assert account.leg().state == "succeeded"
    assert (account.leg().attempts, account.payment().refunded_ours) == (1, 3200)


def test_edge_02_what_is_not_found_leaves_again_with_the_same_bytes(account: Account) -> None:
    first = account.ask()
    account.says(first, TIMEOUT)
    account.shows()
    again = account.leaves()
    while isinstance(again, LookupRefundsIntent):  # not believed before its delay
        account.looked(again, account.leg().id, effect_id(account.leg().id), ())
        again = account.leaves()
    assert (again, account.body(again)) == (first, account.body(first))


def test_edge_03_after_a_crash_the_one_refund_is_found(account: Account) -> None:
    account.ask()
    account.due(lost=True)
    account.shows(account.made())
    assert (account.leg().state, account.kinds().count("payout")) == ("succeeded", 1)


def test_edge_04_past_the_key_s_retention_it_is_looked_up_and_not_sent(account: Account) -> None:
    account.says(account.ask(), TIMEOUT)
    account.now += account.party.money.gateway.CAPABILITIES.key_ttl
    account.shows(account.made())
    assert (account.leg().state, account.leg().attempts) == ("succeeded", 1)


def test_edge_05_a_key_seen_with_other_bytes_is_looked_up(account: Account) -> None:
    """Nothing was executed for this request; what the first one came to, the list tells."""
    asked = account.ask()
    assert isinstance(asked, RefundIntent)
    assert account.body(asked) != account.body(replace(asked, amount=1))
    refusal = {
        "stripe": stripe_money_table.error(400, type="idempotency_error"),
        "mollie": mollie_table.error(400),
    }[account.party.money.gateway.CAPABILITIES.name]
    assert account.says(asked, refusal).state == "unknown"
    account.shows(account.made())
    assert account.leg().state == "succeeded"


def test_edge_06_the_webhook_comes_before_the_answer(account: Account) -> None:
    asked = account.ask()
    account.hears(account.party.told(account.made()))
    account.says(asked, account.done())
    assert (account.leg().state, len(account.legs())) == ("succeeded", 1)
    assert account.kinds().count("payout") == 1


def test_edge_07_what_is_told_again_or_late_changes_nothing(account: Account) -> None:
    account.says(account.ask(), account.done())
    before, entries = account.order.refunds, len(account.entries)
    for status in ("succeeded", "pending", "succeeded"):
        account.hears(account.party.told(account.made(status)))
        assert (account.order.refunds, len(account.entries)) == (before, entries)


def test_edge_08_a_refund_that_fails_days_later_puts_the_money_back(account: Account) -> None:
    account.says(account.ask(), account.done())
    account.now += 9 * DAY
    for _ in range(2):
        account.hears(account.party.told(account.made("failed")))
    assert (account.leg().state, account.payment().refunded_ours) == ("failed", 0)
    assert account.kinds().count("payout_failed") == 1


def test_edge_10_a_refund_from_the_dashboard_is_adopted(account: Account) -> None:
    for _ in range(2):
        account.hears(account.party.told(account.others(5000)))
    assert (account.payment().external, account.order.remaining) == (5000, 5200)
    assert account.refund().external


def test_edge_22_a_refund_that_waits_for_money_is_not_done(account: Account) -> None:
    leg = account.says(account.ask(), account.party.answer(201, account.made(account.party.short)))
    assert (leg.state, account.payment().pending_ours) == ("awaiting_funds", 3200)
    assert "payout" not in account.kinds()
    account.hears(account.party.told(account.made()))
    assert (account.leg().state, account.payment().refunded_ours) == ("succeeded", 3200)


# --- what only Stripe does of it ---------------------------------------------------------------


@pytest.fixture
def stripe() -> Account:
    return Account(PARTIES["stripe"])


def test_edge_02_a_stored_500_is_looked_up_and_a_later_no_is_unknown(stripe: Account) -> None:
    first = stripe.ask(RefundIn())
    assert stripe.says(first, stripe_money_table.error(500, type="api_error")).state == "unknown"
    stripe.shows(stripe.made(amount=10_200))
    assert (stripe.leg().state, stripe.leg().attempts) == ("succeeded", 1)


def test_edge_10_a_charge_refunded_by_others_is_read_again(stripe: Account) -> None:
    refunded = stripe_table.charge(amount=10_200, amount_captured=10_200, amount_refunded=5000)
    stripe.hears(event("charge.refunded", refunded))
    stripe.reads(stripe.others(5000))
    assert (stripe.payment().external, stripe.order.remaining) == (5000, 5200)


def test_edge_11_a_refund_that_a_dispute_fails_is_unwound_and_none_follows(stripe: Account) -> None:
    stripe.says(stripe.ask(), stripe.done("pending"))
    stripe.hears(event("charge.dispute.created", dispute(amount=10_200)))
    taken = dispute(amount=10_200, balance_transactions=[move(-10_200)])
    stripe.hears(event("charge.dispute.funds_withdrawn", taken))
    why = "charge_for_pending_refund_disputed"
    failed = {**stripe.made("failed"), "failure_reason": why}
    stripe.hears(event("refund.failed", failed))
    assert (stripe.leg().state, stripe.leg().failure) == ("failed", why)
    assert (stripe.payment().pending_ours, stripe.payment().disputed) == (0, 10_200)
    assert stripe.order.remaining == 0


def test_edge_12_warning_and_dispute_and_refund_are_one_exposure(stripe: Account) -> None:
    warning = {"id": "issfr_1", "object": "radar.early_fraud_warning", "payment_intent": PI}
    stripe.hears(event("radar.early_fraud_warning.created", warning))
    asked = stripe.ask()
    taken = dispute(amount=10_200, balance_transactions=[move(-10_200)])
    stripe.hears(event("charge.dispute.funds_withdrawn", taken))
    assert stripe.says(asked, stripe_money_table.error(400, "charge_disputed")).state == "failed"
    assert (stripe.payment().disputed, stripe.order.remaining) == (10_200, 0)
    back = dispute(amount=10_200, status="won", balance_transactions=[move(-10_200), move(10_200)])
    stripe.hears(event("charge.dispute.closed", back))
    assert (stripe.payment().disputed, stripe.order.remaining) == (0, 10_200)


def test_edge_20_all_of_an_authorization_is_canceled() -> None:
    account = Account(PARTIES["stripe"], captured=0)
    asked = account.ask(RefundIn())
    assert isinstance(asked, CancelIntent)
    gone = intent(amount=10_200, status="canceled", amount_received=0)
    assert account.says(asked, stripe_money_table.answer(200, gone)).state == "succeeded"
    assert account.payment().voided == 10_200


def test_edge_20_a_part_of_an_authorization_never_becomes_a_cancel() -> None:
    account = Account(PARTIES["stripe"], captured=0)
    asked = account.ask()
    assert isinstance(asked, CaptureRestIntent)
    assert account.body(asked) == b"amount_to_capture=7000"
    rest = intent(amount=10_200, amount_received=7000)
    assert account.says(asked, stripe_money_table.answer(200, rest)).state == "succeeded"
    assert (account.payment().voided, account.payment().captured) == (3200, 7000)


def test_edge_22_a_balance_that_is_short_is_tried_again_under_a_new_key(stripe: Account) -> None:
    first = stripe.ask()
    refused = stripe_money_table.error(400, "balance_insufficient")
    assert stripe.says(first, refused).state == "awaiting_funds"
    second = stripe.leaves()
    assert isinstance(first, RefundIntent) and isinstance(second, RefundIntent)
    assert (second.key != first.key, second.amount) == (True, first.amount)
