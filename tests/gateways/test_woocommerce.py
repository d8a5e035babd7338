"""What is WooCommerce's alone: its greeting, its secrets, and how its orders are told."""

from __future__ import annotations

import base64
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
    RefundedPart,
    RefundRecorded,
)
from amends.gateways import woocommerce
from amends.gateways.spec import Failure, Genuine, NotGenuine, Request, Response, Unreadable
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from tests.gateways.scripted import broken_off, play
from tests.gateways.table import NOW, dumps
from tests.gateways.woocommerce_table import REFUND as THEIRS
from tests.gateways.woocommerce_table import SETTINGS, UNREADABLE, named, order, sign

AT: Any = {"at": NOW, "shop": "shop-2", "shop_order": "727", "order": "ord_1"}
PAID = PaidBack("stripe-us", "ch_1", "re_1", 645)
REFUND = RefundRecorded(
    **AT,
    key="rf_1:shop",
    refund="rf_1",
    amount=645,
    currency="USD",
    reason="return",
    parts=(RefundedPart("line", "315", 2, 600, 45), RefundedPart("charge", "difference", 0, 1)),
    paid=(PAID,),
)


def goods(line: str, units: int, what: Disposition = "restock") -> Goods:
    return Goods(line, "W-1", units, what)


def returned(*lines: Goods) -> GoodsReturned:
    return GoodsReturned(**AT, key="ret_1:1", return_id="ret_1", lines=lines)


BOTH = returned(goods("315", 1), goods("315", 1, "write_off"), goods("316", 1))
RELEASED = LinesReleased(**AT, key="rel_1", lines=(goods("316", 1),))
BASE = "https://shop.example/wp-json/wc/v3/orders/727"


class Party:
    """WooCommerce, as far as a talk sees it: one order, and the refunds made of it."""

    def __init__(self) -> None:
        self.refunds: list[dict[str, Any]] = []
        self.order = order()

    def __call__(self, request: Request) -> Response:
        token = base64.b64encode(b"ck_secret:cs_secret").decode()
        assert ("Authorization", f"Basic {token}") in request.headers
        if request.method == "POST":
            assert request.url == f"{BASE}/refunds"
            self.refunds.append({"id": 800 + len(self.refunds), **json.loads(request.body)})
            return said(self.refunds[-1])
        if request.url == f"{BASE}/refunds?per_page=100&page=1":
            return said([self.listed(refund) for refund in self.refunds])
        assert request.url == BASE
        listed = [{"id": r["id"], "reason": r["reason"], "total": "-1"} for r in self.refunds]
        return said({**self.order, "refunds": listed})

    def listed(self, refund: dict[str, Any]) -> dict[str, Any]:
        lines = [
            {
                "id": 9000 + at,
                "quantity": -item["quantity"],
                "meta_data": [{"key": "_refunded_item_id", "value": str(item["id"])}],
            }
            for at, item in enumerate(refund["line_items"])
        ]
        return {"id": refund["id"], "reason": refund["reason"], "line_items": lines}


def said(value: Any, status: int = 200) -> Response:
    return Response(status, {}, json.dumps(value).encode())


def tell(telling: Any, party: Any) -> Outcome:
    return play(woocommerce.talk(telling, SETTINGS, NOW), party)


# -- hearing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("topic", "body", "said"), UNREADABLE)
def test_what_cannot_be_read_says_why(topic: str, body: Any, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        woocommerce.read(dumps(body), named(topic), SETTINGS)
    assert said in str(caught.value)


def test_the_greeting_is_known_and_proves_nothing() -> None:
    assert woocommerce.ping(b"webhook_id=17", {})
    assert woocommerce.verify(b"webhook_id=17", {}, ("secret",), NOW) != Genuine()
    for raw, headers in (
        (b"webhook_id=17&x=1", {}),
        (b"webhook_id=17\n", {}),
        (b"webhook_id=", {}),
        (b"{}", {}),
        (b"webhook_id=17", sign(b"webhook_id=17", "other", 0)),
        (b"webhook_id=17", named("order.created")),
    ):
        assert not woocommerce.ping(raw, headers)


def test_a_secret_is_what_its_entities_stand_for() -> None:
    """WordPress may keep `a&b"c` as `a&amp;b&quot;c`; it signs with the former."""
    headers = sign(b"{}", 'a&b"c', 0)
    assert woocommerce.verify(b"{}", headers, ('a&b"c',), NOW) == Genuine()
    assert isinstance(woocommerce.verify(b"{}", headers, ("a&amp;b&quot;c",), NOW), NotGenuine)


def test_messages_that_share_a_delivery_id_are_two() -> None:
    first, second = dumps(order()), dumps(order(status="completed"))
    headers = named("order.updated")
    ids = {woocommerce.read(raw, headers, SETTINGS).id for raw in (first, second, first)}
    assert len(ids) == 2


def version(**changes: Any) -> int:
    message = woocommerce.read(dumps(order(**changes)), named("order.updated"), SETTINGS)
    fact = message.facts[0].fact
    assert isinstance(fact, OrderReported)
    return fact.order.version


def test_news_of_one_second_is_ordered_by_what_cannot_be_undone() -> None:
    refunded = {"refunds": [THEIRS]}
    later = {"date_modified_gmt": "2026-09-21T14:13:21"}
    found = [
        version(),
        version(status="cancelled"),
        version(**refunded),
        version(**refunded, status="refunded"),
        version(**later),
    ]
    assert found == sorted(set(found))


@given(data=st.data())
def test_whatever_it_is_made_of_an_order_comes_to_its_total(data: Any) -> None:
    """Parts told finer than money can be, fees below nothing: an order adds up."""
    fine = st.integers(0, 10**7).map(lambda n: f"{n // 10**4}.{n % 10**4:04}")
    lines = [
        {
            "id": at + 1,
            "name": "x",
            "quantity": 1,
            "total": data.draw(fine),
            "total_tax": tax,
            "taxes": [{"id": 75, "total": tax}],
        }
        for at, tax in enumerate(data.draw(st.lists(fine, min_size=1, max_size=4)))
    ]
    parts = sum(round(10**4 * float(line[key])) for line in lines for key in ("total", "total_tax"))
    total = max(1, parts // 100 + data.draw(st.integers(-9, 9)))
    body = order(line_items=lines, shipping_lines=[], total=f"{total // 100}.{total % 100:02}")
    fact = woocommerce.read(dumps(body), named("order.updated"), SETTINGS).facts[0].fact
    assert isinstance(fact, OrderReported)
    kept = fact.order
    items = (*kept.lines, *kept.charges)
    come_to = sum(item.total + sum(tax.amount for tax in item.taxes) for item in items)
    if come_to == total:
        check_order(kept)
    else:  # its taxes alone are more than its total
        assert sum(line.total for line in kept.lines) < come_to - total


@given(data=st.data())
def test_no_more_tax_is_known_than_was_charged(data: Any) -> None:
    """A fee below nothing takes its tax with it, by the rates it has."""
    cents = st.integers(1, 10**6)

    def item(at: int, net: int, taxes: dict[int, int], sign: str = "") -> dict[str, Any]:
        told = [{"id": n, "total": f"{sign}{t // 100}.{t % 100:02}"} for n, t in taxes.items()]
        tax = sum(taxes.values())
        whole = {"total_tax": f"{sign}{tax // 100}.{tax % 100:02}", "taxes": told}
        return {
            "id": at,
            "name": "x",
            "quantity": 1,
            **whole,
            "total": f"{sign}{net // 100}.{net % 100:02}",
        }

    rates = st.dictionaries(st.sampled_from([75, 76]), cents, max_size=2)
    nets = data.draw(st.lists(cents, min_size=1, max_size=4))
    lines = [(net, data.draw(rates)) for net in nets]
    charged = {n: sum(taxes.get(n, 0) for _, taxes in lines) for n in (75, 76)}
    less = {n: data.draw(st.integers(0, most)) for n, most in charged.items()}
    off = data.draw(st.integers(1, max(1, sum(nets) - 1)))
    total = sum(nets) + sum(charged.values()) - off - sum(less.values())
    body = order(
        line_items=[item(n + 1, *line) for n, line in enumerate(lines)],
        shipping_lines=[],
        fee_lines=[item(99, off, {n: t for n, t in less.items() if t}, "-")],
        tax_lines=[{"rate_id": n, "label": f"T{n}", "rate_percent": n} for n in (75, 76)],
        total=f"{max(1, total) // 100}.{max(1, total) % 100:02}",
    )
    fact = woocommerce.read(dumps(body), named("order.updated"), SETTINGS).facts[0].fact
    assert isinstance(fact, OrderReported)
    for n in (75, 76):
        found = [t.amount for line in fact.order.lines for t in line.taxes if t.name == f"T{n}"]
        assert sum(found) == charged[n] - less[n]
    if total > 0:
        check_order(fact.order)


def test_the_key_is_not_sent_in_the_open() -> None:
    assert woocommerce.trouble(SETTINGS) == ""
    open_ = replace(SETTINGS, values={**SETTINGS.values, "store_url": "http://shop.example"})
    assert "https" in woocommerce.trouble(open_)


# -- telling -----------------------------------------------------------------------------------


def test_money_is_recorded_by_parts_and_not_paid_again() -> None:
    party = Party()
    assert tell(REFUND, party) == Accepted(reference="800")
    assert party.refunds == [
        {
            "id": 800,
            "reason": "amends rf_1 (rf_1:shop)",
            "api_refund": False,
            "api_restock": False,
            "amount": "6.45",
            "line_items": [
                {
                    "id": 315,
                    "quantity": 0,
                    "refund_total": 6.0,
                    "refund_tax": [{"id": 75, "refund_total": 0.45}],
                }
            ],
        }
    ]


def test_goods_move_without_money_what_is_sold_again_apart_from_what_is_not() -> None:
    party = Party()
    assert tell(BOTH, party) == Accepted(reference="801")
    found = [
        (r["amount"], r["api_restock"], r["api_refund"], r["line_items"]) for r in party.refunds
    ]
    assert found == [
        (
            "0",
            True,
            False,
            [
                {"id": 315, "quantity": 1, "refund_total": 0},
                {"id": 316, "quantity": 1, "refund_total": 0},
            ],
        ),
        ("0", False, False, [{"id": 315, "quantity": 1, "refund_total": 0}]),
    ]


def test_units_come_back_at_most_once() -> None:
    """What the shop took back by itself is not taken back again (invariant I8)."""
    party = Party()
    by_hand = {"id": 700, "reason": "by hand", "line_items": [{"id": 316, "quantity": 1}]}
    party.refunds.append(by_hand)
    assert tell(RELEASED, party) == Accepted(reference="727")
    assert tell(returned(goods("315", 5)), party) == Accepted(reference="801")
    assert party.refunds[1:][0]["line_items"] == [{"id": 315, "quantity": 2, "refund_total": 0}]


@pytest.mark.parametrize("telling", [REFUND, BOTH, RELEASED], ids=["money", "back", "free"])
@pytest.mark.parametrize("after", range(5))
def test_broken_off_anywhere_it_makes_its_documents_once(telling: Any, after: int) -> None:
    party, undisturbed = Party(), Party()
    broken_off(woocommerce.talk(telling, SETTINGS, NOW), party, after)
    expected = tell(telling, undisturbed)
    assert tell(telling, party) == expected == tell(telling, party)
    assert party.refunds == undisturbed.refunds


def test_a_released_authorization_is_no_refund_there() -> None:
    party = Party()
    telling = replace(REFUND, paid=(replace(PAID, kind="void"),))
    assert tell(telling, party) == Accepted(reference="727")
    assert party.refunds == []


def problem(status: int, code: str, words: str) -> Response:
    return said({"code": code, "message": words, "data": {"status": status}}, status)


REFUSED = "woocommerce_rest_cannot_create_order_refund"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            problem(500, REFUSED, "Invalid refund amount."),
            Declined(REFUSED, "Invalid refund amount."),
        ),
        (
            problem(500, REFUSED, "Cannot create order refund, please try again."),
            Unknown("Cannot create order refund, please try again."),
        ),
        (problem(500, "internal", "critical error"), Unknown("critical error")),
        (problem(400, "rest_invalid_param", "Bad"), Declined("rest_invalid_param", "Bad")),
        (problem(401, "no", "No key"), NotSent("No key", alert=True)),
        (Response(503, {}, b"<html>"), Unknown("HTTP 503")),
        (Response(429, {"retry-after": "3"}, b""), NotSent("HTTP 429", retry_after=3_000_000)),
        (Response(404, {}, b"<html>"), NotSent("HTTP 404", alert=True)),
        (Response(200, {}, b"<html>"), Unknown("an answer that is no JSON", alert=True)),
        (said({}), Unknown("WooCommerce names no refund", alert=True)),
        (Failure(False, "refused"), NotSent("refused")),
        (Failure(True, "timeout"), Unknown("timeout")),
    ],
)
def test_what_an_answer_means(answer: Response | Failure, outcome: Outcome) -> None:
    party = Party()
    assert tell(REFUND, lambda r: answer if r.method == "POST" else party(r)) == outcome


@pytest.mark.parametrize(
    "answer", [Response(503, {}, b""), Failure(True, "timeout"), Response(200, {}, b"<html>")]
)
def test_what_only_looked_sent_nothing(answer: Response | Failure) -> None:
    assert isinstance(tell(REFUND, lambda request: answer), NotSent)


def test_what_may_be_of_this_order_alone_stops_no_other() -> None:
    """NotSent would keep every telling of the connection waiting."""
    broken = problem(500, "internal_server_error", "A critical error on this website.")
    assert isinstance(tell(REFUND, lambda request: broken), Unknown)


@pytest.mark.parametrize(
    ("telling", "text"),
    [
        (replace(REFUND, shop_order="../1"), "no id"),
        (replace(REFUND, currency="EUR"), "USD"),
        (returned(goods("4", 1)), "no line '4'"),
        (
            Notice(
                key="n", at=NOW, customer="", refund="", what="", reason="", amount=1, currency=""
            ),
            "alone",
        ),
    ],
)
def test_what_cannot_be_told_is_a_persons(telling: Any, text: str) -> None:
    party = Party()
    found = tell(telling, party)
    assert isinstance(found, Declined)
    assert text in found.text
    assert party.refunds == []


def test_an_order_that_is_not_there_is_a_persons() -> None:
    gone = problem(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
    assert isinstance(tell(REFUND, lambda request: gone), Declined)


@given(bodies=st.lists(st.binary(max_size=30) | st.just(b'{"id":727,"refunds":7}'), min_size=9))
def test_a_talk_never_raises(bodies: list[bytes]) -> None:
    heard = iter(bodies)
    found = tell(BOTH, lambda request: Response(200, {}, next(heard)))
    assert isinstance(found, NotSent | Unknown | Declined)
