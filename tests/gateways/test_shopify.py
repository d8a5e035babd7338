"""What is Shopify's alone: what its messages cannot mean, and how its orders are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.facts import OrderReported
from amends.core.orders import check_order
from amends.core.outlets import (
    Disposition,
    Goods,
    GoodsReturned,
    LinesReleased,
    Notice,
    PaidBack,
    RefundRecorded,
)
from amends.core.reasons import Refused
from amends.gateways import shopify
from amends.gateways.spec import Failure, Request, Response, Unreadable
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from tests.gateways.scripted import broken_off, play
from tests.gateways.shopify_table import (
    LINE,
    ORDER_ID,
    OTHER,
    OURS,
    SETTINGS,
    UNREADABLE,
    money,
    named,
    order,
    transaction,
)
from tests.gateways.table import NOW, dumps

AT: Any = {"at": NOW, "shop": "shop-1", "shop_order": str(ORDER_ID), "order": "ord_1"}
PAID = PaidBack("stripe-eu", "ch_1", "re_1", 1250)
REFUND = RefundRecorded(
    **AT, key="rf_1:shop", refund="rf_1", amount=1250, currency="EUR", reason="return", paid=(PAID,)
)


def returned(units: int = 1, disposition: Disposition = "restock", at: str = "") -> GoodsReturned:
    goods = (Goods(str(LINE), "TEA", units, disposition, at),)
    return GoodsReturned(**AT, key="ret_1:1", return_id="ret_1", lines=goods)


RELEASED = LinesReleased(**AT, key="rel_1", lines=(Goods(str(OTHER), "CUP", 1),))


class Party:
    """Shopify, as far as a talk sees it: one order, and the refunds made of it."""

    def __init__(self, **order: Any) -> None:
        self.refunds: list[dict[str, Any]] = []
        self.keys: dict[str, str] = {}
        self.bodies: list[dict[str, Any]] = []
        self.status = "SUCCESS"
        self.left = {str(LINE): [2, 1], str(OTHER): [1, 1]}  # not refunded, not sent
        self.order = {
            "id": f"gid://shopify/Order/{ORDER_ID}",
            "cancelledAt": None,
            "presentmentCurrencyCode": "EUR",
            "transactions": [
                {
                    "id": "gid://shopify/OrderTransaction/11",
                    "kind": "SALE",
                    "status": "SUCCESS",
                    "gateway": "stripe",
                    "authorizationCode": "ch_1",
                }
            ],
            **order,
        }

    def __call__(self, request: Request) -> Response:
        assert request.url == "https://example.myshopify.com/admin/api/2026-10/graphql.json"
        assert ("X-Shopify-Access-Token", "shpat_secret") in request.headers
        asked = json.loads(request.body)
        self.bodies.append(asked)
        variables = asked["variables"]
        if "refundCreate" in asked["query"]:
            assert "@idempotent(key: $key)" in asked["query"]
            return self.create(variables["input"], variables["key"])
        if "node(id" in asked["query"]:
            found = next(r for r in self.refunds if r["id"] == variables["id"])
            return data(node=self.shown(found))
        if variables["id"] != self.order["id"]:
            return data(order=None, nodes=[])
        notes = [{"id": refund["id"], "note": refund["note"]} for refund in self.refunds]
        lines = [self.line(name.rpartition("/")[2]) for name in variables["lines"]]
        return data(order={**self.order, "refunds": notes}, nodes=lines)

    def line(self, name: str) -> dict[str, Any] | None:
        if name not in self.left:
            return None
        refundable, unsent = self.left[name]
        said = {"refundableQuantity": refundable, "unfulfilledQuantity": unsent}
        return {"id": f"gid://shopify/LineItem/{name}", **said}

    def create(self, asked: dict[str, Any], key: str) -> Response:
        if key not in self.keys:
            for item in asked.get("refundLineItems", ()):
                left = self.left[item["lineItemId"].rpartition("/")[2]]
                left[0] -= item["quantity"]
                left[1] -= item["quantity"] if item["restockType"] == "CANCEL" else 0
                assert min(left) >= 0
            self.keys[key] = f"gid://shopify/Refund/{len(self.refunds) + 1}"
            self.refunds.append({**asked, "id": self.keys[key]})
        made = next(r for r in self.refunds if r["id"] == self.keys[key])
        return data(refundCreate={"refund": self.shown(made), "userErrors": []})

    def shown(self, refund: dict[str, Any]) -> dict[str, Any]:
        states = [{"id": "x", "status": self.status} for _ in refund["transactions"]]
        return {"id": refund["id"], "note": refund["note"], "transactions": {"nodes": states}}


def data(**held: Any) -> Response:
    return Response(200, {}, json.dumps({"data": held}).encode())


def errors(*codes: str, **extensions: Any) -> Response:
    said = [{"message": code, "extensions": {"code": code}} for code in codes]
    return Response(200, {}, json.dumps({"errors": said, "extensions": extensions}).encode())


def tell(telling: Any, party: Any, settings: Any = SETTINGS) -> Outcome:
    return play(shopify.talk(telling, settings, NOW), party)


# -- hearing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("topic", "body", "said"), UNREADABLE)
def test_what_cannot_be_read_says_why(topic: str, body: Any, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        shopify.read(dumps(body), named(topic), SETTINGS)
    assert said in str(caught.value)


def test_a_message_keeps_its_name_over_its_repeats() -> None:
    raw = dumps(order())
    assert (
        shopify.read(raw, named("orders/create"), SETTINGS).id == named("x")["x-shopify-webhook-id"]
    )
    bare = {"x-shopify-topic": "orders/create"}
    assert shopify.read(raw, bare, SETTINGS).id.startswith("sha256:")


def test_a_payment_that_is_not_named_is_refused_with_a_sentence_and_never_guessed() -> None:
    check_order(OURS)
    message = shopify.read(dumps(order(transactions=None)), named("orders/create"), SETTINGS)
    fact = message.facts[0].fact
    assert isinstance(fact, OrderReported)
    with pytest.raises(Refused) as caught:
        check_order(fact.order)
    assert caught.value.refusal.extra["pointer"] == "/tenders/0"


PAID_BY = {
    "id": "gid://shopify/OrderTransaction/11",
    "kind": "SALE",
    "status": "SUCCESS",
    "gateway": "stripe",
    "authorizationCode": "ch_1",
    "receiptJson": '{"id": "ch_1"}',
    "parentTransaction": None,
    "amountSet": {"presentmentMoney": {"amount": "38.9", "currencyCode": "EUR"}},
}


def completed(body: Any, answer: Response | Failure, topic: str = "orders/create") -> Any:
    talk = shopify.complete(dumps(body), named(topic), SETTINGS)
    return play(talk, lambda request: answer)  # type: ignore[arg-type]


def test_a_message_without_its_payments_asks_for_them() -> None:
    answer = data(order={"transactions": [PAID_BY]})
    whole = completed(order(transactions=None), answer)
    facts = shopify.read(whole, named("orders/create"), SETTINGS).facts
    assert facts == shopify.read(dumps(order()), named("orders/create"), SETTINGS).facts


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        (order(), "orders/create"),
        (order(transactions=None, financial_status="pending"), "orders/create"),
        (order(transactions=None, payment_gateway_names=["cash"]), "orders/create"),
        (order(transactions=None), "products/update"),
        ({"id": 1}, "refunds/create"),
    ],
)
def test_what_says_all_asks_nothing(body: Any, topic: str) -> None:
    with pytest.raises(StopIteration) as over:
        next(shopify.complete(dumps(body), named(topic), SETTINGS))
    assert over.value.value == dumps(body)


@pytest.mark.parametrize(
    "answer",
    [
        Response(503, {}, b""),
        Response(500, {}, b""),
        Response(200, {}, b"<html>"),
        Failure(True, "timeout"),
        errors("THROTTLED"),
        errors("INTERNAL_SERVER_ERROR"),
        data(order=None),
    ],
)
def test_what_cannot_be_had_now_is_no_message(answer: Response | Failure) -> None:
    assert isinstance(completed(order(transactions=None), answer), NotSent)


@given(answer=st.binary(max_size=30) | st.just(b'{"data":{"order":{"transactions":[{"id":[]}]}}}'))
def test_asking_never_raises(answer: bytes) -> None:
    found = completed(order(transactions=None), Response(200, {}, answer))
    assert isinstance(found, NotSent | bytes)


@given(data=st.data())
def test_whatever_it_is_made_of_an_order_comes_to_what_was_paid(data: Any) -> None:
    """Amounts are exact, and an order adds up whatever the shop's own rounding left."""
    lines = [
        {
            "id": at + 1,
            "quantity": data.draw(st.integers(1, 9)),
            "price_set": money(f"{data.draw(st.integers(0, 10**7))}.01"),
            "discount_allocations": [{"amount_set": money(str(data.draw(st.integers(0, 99))))}],
            "tax_lines": [],
        }
        for at in range(data.draw(st.integers(1, 4)))
    ]
    whole = sum(
        line["quantity"] * int(line["price_set"]["presentment_money"]["amount"].replace(".", ""))
        for line in lines
    )
    total = data.draw(st.integers(max(1, whole - 500), whole + 500))
    said = f"{total // 100}.{total % 100:02}"
    body = order(
        line_items=lines,
        shipping_lines=[],
        total_price_set=money(said),
        transactions=[transaction(amount=said)],
    )
    fact = shopify.read(dumps(body), named("orders/create"), SETTINGS).facts[0].fact
    assert isinstance(fact, OrderReported)
    check_order(fact.order)
    parts = sum(x.total for x in fact.order.lines) + sum(x.total for x in fact.order.charges)
    assert parts == total == fact.order.tenders[0].captured


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ""),
        ({"refund_transactions": "none"}, ""),
        ({"refund_transactions": "None"}, "manual or none"),
        ({"shop": "https://example.myshopify.com"}, "shop is"),
        ({"shop": "evil.test/x.myshopify.com"}, "shop is"),
        ({"location": "berlin"}, "number of a location"),
    ],
)
def test_settings_that_could_not_work_are_said(values: dict[str, str], said: str) -> None:
    found = shopify.trouble(replace(SETTINGS, values={**SETTINGS.values, **values}))
    assert said in found
    assert bool(found) is bool(said)


# -- telling -----------------------------------------------------------------------------------


def test_money_is_recorded_and_not_paid_again() -> None:
    party = Party()
    assert tell(REFUND, party) == Accepted(reference="gid://shopify/Refund/1")
    (made,) = party.refunds
    assert made["note"] == "amends rf_1 (rf_1:shop)"
    assert made["notify"] is False
    assert made["transactions"] == [
        {
            "orderId": f"gid://shopify/Order/{ORDER_ID}",
            "kind": "REFUND",
            "gateway": "manual",
            "amount": "12.50",
            "parentId": "gid://shopify/OrderTransaction/11",
        }
    ]
    assert "refundLineItems" not in made


def test_money_can_be_left_out_of_what_is_recorded() -> None:
    party = Party()
    values = {**SETTINGS.values, "refund_transactions": "none"}
    assert isinstance(tell(REFUND, party, replace(SETTINGS, values=values)), Accepted)
    assert party.refunds[0]["transactions"] == []


def test_a_payment_that_cannot_be_told_apart_is_not_named() -> None:
    sale = {**Party().order["transactions"][0], "authorizationCode": "other"}
    party = Party(transactions=[sale, {**sale, "id": "gid://shopify/OrderTransaction/12"}])
    assert isinstance(tell(REFUND, party), Accepted)
    assert "parentId" not in party.refunds[0]["transactions"][0]


@pytest.mark.parametrize(
    ("telling", "items"),
    [
        (returned(), [(LINE, 1, "RETURN", "gid://shopify/Location/77")]),
        (returned(at="berlin"), [(LINE, 1, "RETURN", "gid://shopify/Location/88")]),
        (returned(2, "write_off"), [(LINE, 2, "NO_RESTOCK", None)]),
        (RELEASED, [(OTHER, 1, "CANCEL", "gid://shopify/Location/77")]),
        (returned(5), [(LINE, 2, "RETURN", "gid://shopify/Location/77")]),
    ],
)
def test_goods_move_without_money(telling: Any, items: list[tuple[Any, ...]]) -> None:
    party = Party()
    assert tell(telling, party) == Accepted(reference="gid://shopify/Refund/1")
    (made,) = party.refunds
    assert made["transactions"] == []
    assert [
        (
            int(item["lineItemId"].rpartition("/")[2]),
            item["quantity"],
            item["restockType"],
            item.get("locationId"),
        )
        for item in made["refundLineItems"]
    ] == items


def test_units_come_back_at_most_once() -> None:
    """What the shop took back by itself is not taken back again (invariant I8)."""
    party = Party()
    party.left = {str(LINE): [0, 0], str(OTHER): [1, 0]}
    for telling in (returned(), RELEASED):
        assert isinstance(tell(telling, party), Accepted)
    assert party.refunds == []


@pytest.mark.parametrize("telling", [REFUND, returned(), RELEASED], ids=["money", "back", "free"])
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("keyed", [True, False])
def test_broken_off_anywhere_it_makes_one_document(telling: Any, after: int, keyed: bool) -> None:
    """A crash after any request: the one that begins anew finds what is there, be the key still
    known or not."""
    party = Party()
    broken_off(shopify.talk(telling, SETTINGS, NOW), party, after)
    if not keyed:
        party.keys.clear()
    assert tell(telling, party) == Accepted(reference="gid://shopify/Refund/1")
    assert tell(telling, party) == Accepted(reference="gid://shopify/Refund/1")
    assert len(party.refunds) == 1


def test_two_at_once_make_one_document() -> None:
    """Both looked before either made it: the key is the same."""
    party = Party()
    first, second = (shopify.talk(REFUND, SETTINGS, NOW) for _ in range(2))
    asked = [talk.send(party(next(talk))) for talk in (first, second)]
    assert asked[0] == asked[1]
    for talk, request in zip((first, second), asked, strict=True):
        with pytest.raises(StopIteration) as over:
            talk.send(party(request))
        assert over.value.value == Accepted(reference="gid://shopify/Refund/1")
    assert len(party.refunds) == 1


def test_a_transaction_that_failed_is_shown_to_a_person_each_time() -> None:
    party = Party()
    party.status = "FAILURE"
    for _ in range(2):
        found = tell(REFUND, party)
        assert isinstance(found, Declined)
        assert "its transaction failed" in found.text
    assert len(party.refunds) == 1


def test_a_released_authorization_is_a_persons_task_unless_the_order_is_cancelled() -> None:
    telling = replace(REFUND, paid=(replace(PAID, kind="void"),))
    found = tell(telling, Party())
    assert isinstance(found, Declined)
    assert "void it at Shopify" in found.text
    assert isinstance(tell(telling, Party(cancelledAt="2026-09-21T12:00:00Z")), Accepted)


def answers(*, create: Response | Failure) -> Any:
    """A party that says this to whatever would make something."""
    party = Party()
    return lambda request: create if b"refundCreate" in request.body else party(request)


def user_error(words: str) -> Response:
    return data(refundCreate={"refund": None, "userErrors": [{"field": None, "message": words}]})


COST = {
    "requestedQueryCost": 40,
    "throttleStatus": {"maximumAvailable": 2000.0, "currentlyAvailable": 10, "restoreRate": 100.0},
}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            user_error("Refund amount is too high"),
            Declined("user_error", "Refund amount is too high"),
        ),
        (
            user_error("This request is currently in progress, please try again."),
            Unknown("This request is currently in progress, please try again.", alert=True),
        ),
        (errors("THROTTLED", cost=COST), NotSent("THROTTLED", retry_after=300_000)),
        (errors("THROTTLED"), NotSent("THROTTLED", retry_after=1_000_000)),
        (errors("ACCESS_DENIED"), NotSent("ACCESS_DENIED", alert=True)),
        (errors("INTERNAL_SERVER_ERROR"), Unknown("INTERNAL_SERVER_ERROR", alert=True)),
        (Response(429, {"retry-after": "2"}, b""), NotSent("HTTP 429", retry_after=2_000_000)),
        (Response(401, {}, b""), NotSent("HTTP 401", alert=True)),
        (Response(503, {}, b""), Unknown("HTTP 503")),
        (Failure(False, "refused"), NotSent("refused")),
        (Failure(True, "timeout"), Unknown("timeout")),
        (
            data(refundCreate={"refund": None, "userErrors": []}),
            Unknown("Shopify names no refund", alert=True),
        ),
    ],
)
def test_what_an_answer_means(answer: Response | Failure, outcome: Outcome) -> None:
    assert tell(REFUND, answers(create=answer)) == outcome


@pytest.mark.parametrize("answer", [Response(503, {}, b""), Failure(True, "timeout")])
def test_what_only_looked_sent_nothing(answer: Response | Failure) -> None:
    assert isinstance(tell(REFUND, lambda request: answer), NotSent)


@pytest.mark.parametrize("answer", [Response(500, {}, b""), errors("INTERNAL_SERVER_ERROR")])
def test_what_may_be_of_this_order_alone_stops_no_other(answer: Response) -> None:
    """NotSent would keep every telling of the connection waiting."""
    assert isinstance(tell(REFUND, lambda request: answer), Unknown)


def test_a_key_whose_first_try_failed_gets_another() -> None:
    party, tried = Party(), []

    def failed_once(request: Request) -> Response:
        if b"refundCreate" in request.body:
            tried.append(json.loads(request.body)["variables"]["key"])
            if len(tried) == 1:
                return user_error("A previous request with this idempotency key failed. Retry.")
        return party(request)

    assert isinstance(tell(REFUND, failed_once), Accepted)
    assert len(set(tried)) == 2


@pytest.mark.parametrize(
    ("telling", "said"),
    [
        (replace(REFUND, shop_order="1"), "no order"),
        (replace(REFUND, shop_order="../1"), "no id"),
        (replace(REFUND, currency="USD"), "EUR"),
        (replace(RELEASED, lines=(Goods("4", "X", 1),)), "no line '4'"),
        (
            Notice(
                key="n", at=NOW, customer="", refund="", what="", reason="", amount=1, currency=""
            ),
            "alone",
        ),
    ],
)
def test_what_cannot_be_told_is_a_persons(telling: Any, said: str) -> None:
    party = Party()
    found = tell(telling, party)
    assert isinstance(found, Declined)
    assert said in found.text
    assert party.refunds == []


def test_restocking_needs_a_location() -> None:
    values = {name: value for name, value in SETTINGS.values.items() if name != "location"}
    found = tell(returned(), Party(), replace(SETTINGS, values=values))
    assert isinstance(found, Declined)
    assert "location" in found.text


@given(bodies=st.lists(st.binary(max_size=30) | st.just(b'{"data":{"order":[]}}'), min_size=9))
def test_a_talk_never_raises(bodies: list[bytes]) -> None:
    said = iter(bodies)
    found = tell(REFUND, lambda request: Response(200, {}, next(said)))
    assert isinstance(found, NotSent | Unknown | Declined)
