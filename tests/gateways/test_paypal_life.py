"""PayPal payments with several ids: an order, an authorization, and captures of it.

A webhook is only a reason to look; what the look-up of the order says is applied. A refund names
the one capture it gives back from.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Decision
from amends.core.effects import CaptureRestIntent, Intent, LookupPaymentIntent, RefundIntent
from amends.core.facts import (
    Answered,
    DisputeReported,
    LookedUp,
    OrderReported,
    PaymentReported,
    PaymentToRead,
    RefundRequested,
)
from amends.core.legs import effect_id
from amends.core.order import Leg
from amends.core.requests import CaptureIn, LinePick, PspIn, RefundIn, TenderIn
from amends.core.rereads import reread_id
from amends.gateways import paypal
from amends.gateways.spec import Response
from amends.kernel.outcome import Accepted, Outcome, PaymentState
from amends.kernel.time import DAY
from tests.core.desk import Desk, contract_order
from tests.gateways.paypal_money_table import answer, error, issue
from tests.gateways.paypal_table import (
    AUTH,
    ORDER,
    SETTINGS,
    authorization,
    by_others,
    capture,
    dispute,
    event,
    link,
    money,
    order,
    refund,
)
from tests.gateways.table import dumps
from tests.gateways.test_paypal_stories import TERMS

ONE_TEA = RefundIn(lines=(LinePick("1", 1),))  # 32.00 of 102.00
FIRST, SECOND = "4CAP11111111111AA", "4CAP22222222222BB"
BOTH = ((FIRST, 7000), (SECOND, 3200))


class Account(Desk):
    """An order of 102.00, authorized at PayPal; `captures` of it are known from its shop."""

    def __init__(self, *captures: tuple[str, int], captured: int = -1, order_id: str = "") -> None:
        psp = PspIn(
            order=order_id,
            authorization=AUTH,
            captures=tuple(CaptureIn(name, amount) for name, amount in captures),
        )
        taken = sum(amount for _, amount in captures) if captured < 0 else captured
        paid = TenderIn(10_200, "payment", SETTINGS.name, AUTH, taken, psp)
        super().__init__(contract_order(tenders=(paid,)), terms={SETTINGS.name: TERMS})

    def tell(self, fact: Any, actor: str = "key:support") -> Decision:
        theirs = isinstance(fact, Answered | LookedUp | PaymentToRead | DisputeReported)
        return super().tell(fact, f"connection:{SETTINGS.name}" if theirs else actor)

    def leaves(self, leg: Leg | None = None) -> Intent:
        intent = self.due(leg)
        assert intent is not None
        return intent

    def url(self, intent: Intent) -> str:
        return paypal.write(intent, SETTINGS).url

    def hears(self, kind: str, resource: dict[str, Any], resource_type: str) -> None:
        raw = dumps(event(kind, resource, resource_type))
        for item in paypal.read(raw, {}, SETTINGS).facts:
            self.tell(item.fact)

    def reads(self, *pages: dict[str, Any]) -> None:
        """The re-read that is due, page after page as an engine takes them."""
        self.told_of(self.due_reread(), "", *pages)

    def looks(self, leg: Leg, *pages: dict[str, Any]) -> None:
        self.told_of(self.due(leg), leg.id, *pages)

    def told_of(self, intent: Intent | None, leg: str, *pages: dict[str, Any]) -> None:
        outcome: Outcome | None = None
        for page in pages:
            assert intent is not None
            paypal.write(intent, SETTINGS)
            outcome = paypal.parse(intent, answer(200, page))
            assert isinstance(outcome, Accepted)
            if outcome.next:
                intent = type(intent)(**{**_fields(intent), "cursor": outcome.next})
        assert isinstance(outcome, Accepted)
        assert not outcome.next, "there was one page more"
        row = effect_id(leg) if leg else reread_id(self.payment().id)
        asked_at = self.now
        self.now += 50_000
        self.tell(LookedUp(self.payment().id, outcome, leg, asked_at, self.asked(row)))

    def says(self, leg: Leg, intent: Intent, result: Response) -> None:
        self.answer(paypal.parse(intent, result), leg)


def _fields(intent: Intent) -> dict[str, Any]:
    return {name: getattr(intent, name) for name in intent.__struct_fields__}


def taken(name: str, value: str, **changes: Any) -> dict[str, Any]:
    return capture(id=name, amount=money(value), **changes)


def given(leg: Leg, of: str, value: str, **changes: Any) -> dict[str, Any]:
    """A refund of ours as PayPal lists it, of one capture."""
    name = changes.pop("id", f"R{leg.id[-6:].upper()}")
    links = [link("self", f"payments/refunds/{name}"), link("up", f"payments/captures/{of}")]
    mark = f"amends.ord_x.{leg.id}.{leg.epoch}"
    return refund(id=name, amount=money(value), custom_id=mark, links=links, **changes)


def page(*captures: dict[str, Any], refunds: Any = (), **changes: Any) -> dict[str, Any]:
    held = authorization(amount=money("102.00"), **{"status": "CAPTURED", **changes})
    return order({"authorizations": [held], "captures": list(captures), "refunds": list(refunds)})


WHOLE_AUTH = authorization(amount=money("102.00"))
GONE_AUTH = authorization(amount=money("102.00"), status="CAPTURED")
VOID_AUTH = authorization(amount=money("102.00"), status="VOIDED")


def test_a_refund_over_two_captures_is_a_leg_for_each() -> None:
    desk = Account(*BOTH)
    desk.tell(RefundRequested(RefundIn()))
    legs = [leg for _, leg in desk.legs()]
    assert [(leg.capture, leg.amount) for leg in legs] == list(BOTH)
    for at, (name, _) in enumerate(BOTH):
        intent = desk.leaves(desk.leg(at))
        leg = desk.leg(at)
        assert desk.url(intent).endswith(f"/captures/{name}/refund")
        value = f"{leg.amount // 100}.{leg.amount % 100:02d}"
        desk.says(leg, intent, answer(201, given(leg, name, value)))
    assert [leg.state for _, leg in desk.legs()] == ["succeeded", "succeeded"]
    assert (desk.payment().refunded_ours, desk.order.remaining) == (10_200, 0)


def test_what_fits_into_one_capture_is_one_leg() -> None:
    desk = Account(*BOTH)
    desk.tell(RefundRequested(ONE_TEA))
    desk.tell(RefundRequested(ONE_TEA))
    desk.tell(RefundRequested(ONE_TEA))
    names = [leg.capture for _, leg in desk.legs()]
    assert names == [FIRST, FIRST, SECOND]


def test_what_others_gave_back_of_a_capture_is_not_given_back_of_it_again() -> None:
    desk = Account(*BOTH)
    theirs = by_others(
        amount=money("70.00"),
        links=[link("up", f"payments/captures/{FIRST}")],
    )
    desk.hears("PAYMENT.CAPTURE.REFUNDED", theirs, "refund")
    desk.reads(
        taken(FIRST, "70.00"), page(taken(FIRST, "70.00"), taken(SECOND, "32.00"), refunds=[theirs])
    )
    assert (desk.leg().capture, desk.payment().external) == (FIRST, 7000)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.leg().capture == SECOND


def test_money_of_an_unknown_capture_is_not_taken_from_any() -> None:
    """32.00 were taken by a dispute, of which capture is not said: neither is sure to hold them."""
    desk = Account((FIRST, 5200), (SECOND, 5000))
    fact = DisputeReported(SETTINGS.name, (AUTH,), "PP-1", 3200, "EUR", "lost", False, 3200)
    desk.tell(fact)
    decision = desk.tell(RefundRequested(RefundIn(amount=7000)))
    assert decision.refused is not None
    assert (decision.refused.reason, decision.refused.extra["remaining"]) == (
        "capture_unknown",
        3800,
    )
    assert desk.tell(RefundRequested(RefundIn(amount=3800))).refused is None


@pytest.mark.parametrize("name", [FIRST, AUTH, ORDER])
def test_a_message_is_of_the_payment_by_any_of_its_ids(name: str) -> None:
    desk = Account(*BOTH, order_id=ORDER)
    desk.tell(PaymentToRead(SETTINGS.name, (name,)))
    assert desk.due_reread() is not None
    other = Account(*BOTH, order_id=ORDER)
    other.tell(PaymentToRead(SETTINGS.name, ("SOMEBODY-ELSE",)))
    assert not other.rows


def test_an_authorization_is_read_again_and_so_is_the_order_it_was_captured_in() -> None:
    desk = Account()
    desk.hears("PAYMENT.CAPTURE.COMPLETED", taken(FIRST, "70.00"), "capture")
    assert not desk.rows, "it names neither the authorization nor the order we know"
    body = taken(FIRST, "70.00")
    body["supplementary_data"] = {"related_ids": {"authorization_id": AUTH, "order_id": ORDER}}
    desk.hears("PAYMENT.CAPTURE.COMPLETED", body, "capture")
    desk.reads(GONE_AUTH, page(taken(FIRST, "70.00")))
    payment = desk.payment()
    assert (payment.captured, payment.captures) == (7000, ((FIRST, 7000),))
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.url(desk.leaves()).endswith(f"/captures/{FIRST}/refund")


@pytest.mark.parametrize("how", ["webhook", "shop"])
def test_edge_20_a_capture_whose_money_was_still_to_come_is_found_when_it_came(how: str) -> None:
    """An eCheck: the shop knows the capture, and that nothing was taken by it yet. It is read as an
    authorization first, which it is not."""
    tender = TenderIn(10_200, "payment", SETTINGS.name, FIRST, 0)
    desk = Account.__new__(Account)
    Desk.__init__(desk, contract_order(tenders=(tender,)), terms={SETTINGS.name: TERMS})
    if how == "webhook":
        desk.hears("PAYMENT.CAPTURE.COMPLETED", taken(FIRST, "102.00"), "capture")
    else:
        paid = replace(tender, captured=10_200)
        news = OrderReported(contract_order(version=2, tenders=(paid,)))
        Desk.tell(desk, news, "connection:shop-1")
        desk.tell(RefundRequested(ONE_TEA))
        assert desk.due() is None
    looking = desk.due_reread()
    assert isinstance(looking, LookupPaymentIntent)
    elsewhere = paypal.parse(looking, error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"))
    assert isinstance(elsewhere, Accepted)
    looking = replace(looking, cursor=elsewhere.next)
    assert desk.url(looking).endswith(f"/v2/payments/captures/{FIRST}")
    pages = taken(FIRST, "102.00"), order({"captures": [taken(FIRST, "102.00")]})
    desk.told_of(looking, "", *pages)
    if how == "webhook":
        desk.reads(*pages)  # what was given back of it
        desk.tell(RefundRequested(ONE_TEA))
    assert desk.payment().captured == 10_200
    assert desk.url(desk.leaves()).endswith(f"/captures/{FIRST}/refund")


def test_an_authorization_that_still_stands_is_one_page() -> None:
    desk = Account()
    desk.hears("PAYMENT.AUTHORIZATION.CREATED", WHOLE_AUTH, "authorization")
    desk.reads(WHOLE_AUTH)
    assert (desk.payment().captured, desk.payment().voided) == (0, 0)
    assert not desk.rows


def test_an_authorization_voided_by_others_is_found_so() -> None:
    desk = Account()
    desk.hears("PAYMENT.AUTHORIZATION.VOIDED", WHOLE_AUTH, "authorization")
    desk.reads(VOID_AUTH, page(status="VOIDED"))
    assert (desk.payment().voided, desk.order.remaining) == (10_200, 0)


def test_edge_20_what_was_captured_before_a_void_is_found_and_told() -> None:
    """A void lets go what is left; that something was captured before it is only in the order."""
    desk = Account()
    desk.tell(RefundRequested(RefundIn()))
    intent = desk.leaves()
    desk.says(desk.leg(), intent, Response(204, {}, b""))
    assert desk.leg().state == "succeeded"
    desk.hears("PAYMENT.AUTHORIZATION.VOIDED", WHOLE_AUTH, "authorization")
    desk.reads(VOID_AUTH, page(taken(FIRST, "30.00"), status="VOIDED"))
    assert (desk.payment().captured, desk.order.remaining) == (3000, 3000)
    assert desk.raised() == ["captured_after_release"]


def test_edge_21_a_void_in_doubt_that_lost_against_a_capture_becomes_a_refund_of_it() -> None:
    desk = Account()
    desk.tell(RefundRequested(RefundIn()))
    intent = desk.leaves()
    desk.says(desk.leg(), intent, issue("AUTHORIZATION_ALREADY_CAPTURED"))
    looking = desk.due()
    assert isinstance(looking, LookupPaymentIntent)
    desk.told_of(looking, desk.leg().id, GONE_AUTH, page(taken(FIRST, "102.00")))
    assert desk.leg().kind == "refund"
    desk.due()  # of which capture is read first
    desk.reads(GONE_AUTH, page(taken(FIRST, "102.00")))
    refunding = desk.leaves()
    assert desk.url(refunding).endswith(f"/captures/{FIRST}/refund")


def test_edge_21_a_void_that_waits_becomes_a_refund_that_waits_for_its_capture() -> None:
    """It is booked as owed when it turns, though it cannot leave yet: that stands on the trail."""
    desk = Account()
    desk.tell(RefundRequested(RefundIn()))
    desk.tell(PaymentReported(SETTINGS.name, (AUTH,), PaymentState(captured=10_200)))
    assert desk.due() is None
    assert (desk.leg().kind, desk.events[-1].type) == ("refund", "leg.news")
    assert desk.events[-1].body["news"] == "captured_first"
    desk.reads(GONE_AUTH, page(taken(FIRST, "102.00")))
    assert desk.url(desk.leaves()).endswith(f"/captures/{FIRST}/refund")


def test_captured_by_the_shop_s_word_alone_the_captures_are_read_before_a_refund() -> None:
    desk = Account(captured=10_200)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.due() is None, "no capture is known: nothing is sent against the authorization"
    assert desk.rows[effect_id(desk.leg().id)].due > desk.now, "it would come due at once for ever"
    desk.reads(GONE_AUTH, page(taken(FIRST, "70.00"), taken(SECOND, "32.00")))
    intent = desk.leaves()
    assert isinstance(intent, RefundIntent)
    assert (intent.capture, intent.amount) == (FIRST, 3200)


def test_less_was_captured_than_the_shop_said() -> None:
    desk = Account(captured=10_200)
    desk.tell(RefundRequested(RefundIn()))
    assert desk.due() is None
    desk.reads(GONE_AUTH, page(taken(FIRST, "70.00")))
    assert desk.payment().captured == 7000
    assert desk.due() is None
    assert (desk.leg().state, desk.order.remaining) == ("failed", 7000)


def test_no_capture_at_all_is_told_to_a_person() -> None:
    desk = Account(captured=10_200)
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.due() is None
    desk.reads(WHOLE_AUTH)
    assert desk.due() is None
    assert (desk.leg().state, desk.raised()) == ("failed", ["no_such_capture"])
    assert not desk.rows


def test_a_capture_of_the_rest_names_itself_and_a_later_refund_finds_it() -> None:
    desk = Account()
    desk.tell(RefundRequested(ONE_TEA))
    intent = desk.leaves()
    assert isinstance(intent, CaptureRestIntent)
    desk.says(desk.leg(), intent, answer(201, taken(FIRST, "70.00")))
    assert (desk.payment().captured, desk.payment().captures) == (7000, ((FIRST, 7000),))
    assert desk.leg().psp_release_id == FIRST
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.url(desk.leaves()).endswith(f"/captures/{FIRST}/refund")


def test_edge_04_after_180_days_a_person_decides() -> None:
    desk = Account(*BOTH)
    desk.now += 181 * DAY
    desk.tell(RefundRequested(ONE_TEA))
    assert desk.refund().stage == "review"
    assert desk.refund().verdict is not None
    assert desk.refund().verdict.rule == "past-refund-window"


def test_an_open_case_is_read_too() -> None:
    desk = Account(*BOTH)
    case = dispute(disputed_transactions=[{"seller_transaction_id": SECOND}])
    desk.hears("CUSTOMER.DISPUTE.CREATED", case, "dispute")
    assert desk.order.disputes[0].payment == desk.payment().id
    assert desk.due_reread() is not None
