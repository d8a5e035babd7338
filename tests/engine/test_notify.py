"""What subscribers are told, and when an endpoint that does not answer is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from amends.core.decision import Decision
from amends.core.events import EventType
from amends.core.facts import (
    Canceled,
    DisputeReported,
    FraudWarned,
    LinesUnavailable,
    OrderCancelled,
    OrderReported,
    RefundRequested,
    Rejected,
)
from amends.core.order import Order
from amends.core.outlets import Happened
from amends.core.policy import built_in
from amends.core.published import PUBLISHED, VERSION
from amends.core.requests import CustomerIn, LinePick, RefundIn
from amends.engine import notify
from amends.engine.notify import Health, after, enabled, next_try, published, subscribers, told
from amends.engine.views import order_view, refund_view
from amends.gateways.spec import Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, RefundState, Unknown
from amends.kernel.time import DAY, HOUR, SECOND
from tests.core.desk import STRIPE, Desk, contract_order

ALL = frozenset(PUBLISHED)
OF_ORDERS = ("order", "refund", "leg", "payment", "dispute", "fraud", "lines", "return", "shop")


class Told(Desk):
    """A desk whose every decision is published, checked and kept by name."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.heard: list[Happened] = []
        super().__init__(*args, **more)

    def tell(self, fact: Any, actor: str = "key:support") -> Decision:
        before: Order | None = self.order
        decision = super().tell(fact, actor)
        fresh = list(published(before, decision.order, decision.events, ALL))
        assert fresh == list(published(before, decision.order, decision.events, ALL))
        self.heard += fresh
        keys = [one.key for one in self.heard]
        assert len(set(keys)) == len(keys)
        return decision

    def names(self) -> list[str]:
        """What was heard since this was last asked."""
        found, self.heard = [one.type for one in self.heard], []
        return found

    def data(self, name: str) -> Any:
        (body,) = [json.loads(one.body) for one in self.heard if one.type == name]
        assert set(body) == {"type", "timestamp", "version", "data"}
        assert (body["type"], body["version"]) == (name, VERSION)
        return body["data"]


def ask(**fields: Any) -> RefundRequested:
    return RefundRequested(RefundIn(reason="return", **fields))


def test_a_refund_from_request_to_money() -> None:
    desk = Told()
    assert desk.names() == ["order.recorded"]
    desk.tell(ask(amount=500))
    assert desk.data("refund.created") == refund_view(desk.order, desk.refund())
    assert desk.names() == ["refund.created", "refund.approved", "refund.sending"]
    desk.due()
    desk.accept("pending")
    assert desk.names() == ["refund.pending"]
    desk.hear(desk.state("pending"))
    assert desk.names() == []
    desk.hear(desk.state("succeeded"))
    assert desk.data("refund.succeeded")["amount_succeeded"] == 500
    assert desk.names() == ["refund.succeeded"]
    desk.hear(desk.state("failed"))
    assert desk.names() == ["refund.failed"]


def test_a_refund_that_nobody_knows_the_outcome_of() -> None:
    desk = Told()
    desk.tell(ask(amount=500))
    desk.due()
    desk.names()
    desk.answer(Unknown("no answer in time"))
    assert desk.names() == ["refund.unknown"]


def test_a_review_is_opened_and_ends() -> None:
    desk = Told(policy=built_in(0))
    desk.names()
    desk.tell(ask(amount=500))
    assert desk.names() == ["refund.created", "review.opened"]
    desk.tell(Rejected(desk.refund().id))
    assert desk.names() == ["refund.declined"]


def test_whoever_asked_takes_it_back() -> None:
    desk = Told()
    desk.tell(ask(amount=500))
    desk.names()
    desk.tell(Canceled(desk.refund().id))
    assert desk.names() == ["refund.canceled"]


def test_news_of_the_shop() -> None:
    desk = Told()
    desk.tell(OrderReported(contract_order(version=2)))
    assert desk.data("order.updated") == order_view(desk.order)
    desk.names()
    desk.tell(LinesUnavailable((LinePick("1", 1),)))
    assert desk.data("lines.unavailable") == {"order": desk.order.id, "lines": [["1", 1]]}
    desk.names()
    desk.tell(OrderCancelled())
    assert desk.names()[0] == "order.cancelled"


def test_a_refund_that_others_made() -> None:
    desk = Told()
    desk.names()
    desk.hear(RefundState("re_theirs", "succeeded", 300, "EUR"))
    assert desk.names() == ["refund.adopted", "refund.succeeded"]


def test_a_dispute_is_opened_moves_and_is_closed() -> None:
    desk = Told()
    desk.names()
    for status, name in (
        ("needs_response", "dispute.opened"),
        ("under_review", "dispute.updated"),
        ("lost", "dispute.closed"),
    ):
        fact = DisputeReported(
            STRIPE, ("pi_1",), "dp_1", 10_200, "EUR", status, status != "lost", 10_200
        )
        desk.tell(fact)
        data = desk.data(name)
        assert (data["id"], data["order"], data["status"]) == ("dp_1", desk.order.id, status)
        assert name in desk.names()


def test_nothing_in_it_says_who_the_customer_is() -> None:
    customer = CustomerIn("c-1", "ada@example.com", "Ada Lovelace", "DE")
    desk = Told(contract_order(customer=customer))
    desk.tell(ask(amount=500))
    desk.due()
    desk.accept()
    desk.tell(FraudWarned(STRIPE, ("pi_1",), "fw_1", True))
    bodies = "".join(one.body for one in desk.heard)
    assert "c-1" in bodies
    assert not [word for word in ("ada@", "Ada", "Lovelace") if word in bodies]


def test_every_event_of_an_order_is_published_or_left_out_on_purpose() -> None:
    known = {*notify.TABLE, *notify.UNTOLD}
    of_orders = {x for x in get_args(EventType) if x.partition(".")[0] in OF_ORDERS}
    assert of_orders <= known
    assert not set(notify.TABLE) & notify.UNTOLD


def test_every_name_that_can_be_subscribed_to_is_published_by_something() -> None:
    by_state = {"refund.created", "refund.approved", "refund.adopted", *notify._STATES.values()}
    by_event = {name for name, _ in notify.TABLE.values()}
    assert by_state | by_event | {"dispute.opened", "dispute.closed"} == ALL


# --- to whom --------------------------------------------------------------------------------------


def hooks(name: str, *events: str) -> Settings:
    lists = {"events": events} if events else {}
    return Settings(name=name, gateway="webhook", lists=lists)


def test_each_subscriber_is_told_what_it_wants() -> None:
    shop = Settings(name="shop-1", gateway="standard")
    to = subscribers(
        {"all": hooks("all"), "some": hooks("some", "refund.created", "order.*"), "shop-1": shop}
    )
    assert to["all"] == ALL
    assert set(to) == {"all", "some"}
    desk = Desk()
    before = desk.order
    decision = told(before, desk.tell(ask(amount=500)), to)
    numbers = [(tell.number, tell.connection, tell.telling.type) for tell in decision.tells]  # type: ignore[union-attr]
    assert numbers == [
        (before.told + 1, "all", "refund.created"),
        (before.told + 2, "some", "refund.created"),
        (before.told + 3, "all", "refund.approved"),
        (before.told + 4, "all", "refund.sending"),
    ]
    assert decision.order.told == before.told + 4


def test_nothing_is_built_that_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> Iterator[Happened]:
        raise AssertionError("built for nobody")

    monkeypatch.setattr(notify, "refund_view", never)
    monkeypatch.setattr(notify, "order_view", never)
    desk = Desk()
    before, decision = desk.order, desk.tell(ask(amount=500))
    assert told(before, decision, subscribers({"h": hooks("h", "dispute.*")})).tells == ()


# --- endpoints ------------------------------------------------------------------------------------

FIVE = 5 * DAY
LOST = Unknown("answered 500")


def test_an_endpoint_that_takes_nothing_for_days_is_disabled() -> None:
    health = after(Health("h"), Accepted(), DAY, FIVE)
    assert health == Health("h", took_at=DAY)
    health = after(health, LOST, 2 * DAY, FIVE)
    health = after(health, NotSent("refused"), 7 * DAY - 1, FIVE)
    assert not health.disabled_at
    stopped = after(health, LOST, 7 * DAY, FIVE)
    assert (stopped.disabled_at, stopped.failing_since) == (7 * DAY, 2 * DAY)
    assert "answered 500" in stopped.why
    assert after(stopped, Accepted(), 8 * DAY, FIVE) == stopped
    again = enabled(stopped)
    assert again == Health("h", took_at=DAY)
    assert not after(again, LOST, 9 * DAY, FIVE).disabled_at


def test_one_that_takes_something_now_and_then_is_not() -> None:
    health = Health("h")
    for day in range(1, 30):
        health = after(health, Accepted() if day % 4 == 0 else LOST, day * DAY, FIVE)
        assert not health.disabled_at


def test_one_that_is_gone_is_disabled_at_once() -> None:
    health = after(Health("h", DAY), Declined("gone", "Answered 410."), 2 * DAY, FIVE)
    assert health == Health("h", DAY, 0, 2 * DAY, "Answered 410.")


def test_what_it_refuses_for_the_events_sake_says_nothing_of_it() -> None:
    health = Health("h", DAY, 2 * DAY)
    assert after(health, Declined("unwritable"), 30 * DAY, FIVE) == health


def test_tries_follow_the_schedule_and_end() -> None:
    pauses = (5 * SECOND, HOUR)
    times = [next_try(pauses, tries, "evt_1", DAY) for tries in (1, 2, 3)]
    assert times[0] is not None
    assert times[1] is not None
    assert 5 * SECOND <= times[0] - DAY <= 5.5 * SECOND
    assert HOUR <= times[1] - DAY <= 1.1 * HOUR
    assert times[2] is None
    assert next_try(pauses, 1, "evt_1", DAY, asked=2 * HOUR) == DAY + 2 * HOUR
    assert len({next_try(pauses, 2, f"evt_{n}", DAY) for n in range(50)}) > 40
