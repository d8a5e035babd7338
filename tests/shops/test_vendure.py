"""Vendure itself, with our plugin in it: what it tells is read, what it is told happens once."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.facts import (
    CancelledLine,
    Fact,
    LinesCancelled,
    OrderCancelled,
    OrderReported,
    RefundedLine,
    RefundMade,
)
from amends.core.orders import check_order
from amends.core.outlets import (
    Goods,
    GoodsReturned,
    LinesReleased,
    PaidBack,
    RefundedPart,
    RefundRecorded,
    Telling,
)
from amends.core.requests import OrderIn
from amends.gateways import vendure
from amends.gateways.spec import Failure, Genuine, Request, Response, Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome
from amends.kernel.time import SECOND
from tests.shops.vendure_kit import (
    PASSWORD,
    USER,
    Mailbox,
    Pay,
    ShopRefused,
    VendureShop,
    environment,
    installed,
    mailbox,
    send,
    vendure_shop,
)

SECRETS = tuple(f"whsec_{base64.b64encode(key).decode()}" for key in (b"new" * 8, b"old" * 8))
_numbers = count(1)


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    """Where the shop's webhooks arrive."""
    with mailbox() as found:
        yield found


@pytest.fixture(scope="module")
def shop(box: Mailbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VendureShop]:
    """One shop for all tests here: each looks at an order of its own."""
    with vendure_shop(tmp_path_factory.mktemp("vendure"), box.url, SECRETS) as found:
        yield found


@pytest.fixture
def settings(shop: VendureShop) -> Settings:
    """The shop as a connection."""
    return Settings(
        name="shop-1",
        gateway="vendure",
        base_url=shop.url,
        values={"username": USER, "password": PASSWORD},
        tables={"payments": {"card": "stripe-eu", "wallet": "store_credit"}},
        webhook_secrets=SECRETS,
    )


@pytest.fixture
def pay() -> Pay:
    """A card payment of its own."""
    return Pay(f"pi_{next(_numbers)}")


Heard = Callable[..., tuple[Fact, ...]]


@pytest.fixture
def heard(box: Mailbox, settings: Settings) -> Heard:
    """The facts in the newest webhook of an order that is as wanted."""

    def of(code: str, wanted: Callable[[Any], bool] = lambda data: True) -> tuple[Fact, ...]:
        headers, raw = box.wait_for(lambda data: data["code"] == code and wanted(data))
        now = int(headers["webhook-timestamp"]) * SECOND
        assert vendure.verify(raw, headers, SECRETS[1:], now) == Genuine()
        assert vendure.verify(raw + b" ", headers, SECRETS, now) != Genuine()
        found = vendure.read(raw, headers, settings).facts
        assert {one.source for one in found} == {("shop-1", code)}
        return tuple(one.fact for one in found)

    return of


def told(
    telling: Telling,
    settings: Settings,
    stop_after: int = 99,
    by: Callable[[Request], Response | Failure] = send,
) -> Outcome | None:
    """The conversation with the real shop, broken off after so many requests (None)."""
    talk = vendure.talk(telling, settings, 0)
    answer: Response | Failure | None = None
    for _ in range(stop_after + 1):
        try:
            request = next(talk) if answer is None else talk.send(answer)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        if _ == stop_after:
            break
        answer = by(request)
    talk.close()
    return None


def recorded(order: Any, amount: int, **changes: Any) -> RefundRecorded:
    """A refund that was paid here, of the order's first payment."""
    number = next(_numbers)
    payment = order["payments"][0]["transactionId"]
    paid = PaidBack("stripe-eu", payment, f"re_{number}", amount)
    fields: dict[str, Any] = {
        "key": f"ord_1-s{number}",
        "at": 0,
        "shop": "shop-1",
        "shop_order": order["code"],
        "refund": f"rf_{number}",
        "amount": amount,
        "currency": "EUR",
        "reason": "return",
        "paid": (paid,),
    }
    return RefundRecorded(**{**fields, **changes})


def returned(order: Any, units: int, kind: Any = GoodsReturned) -> Any:
    """So many units of the order's first line came back, or are given up."""
    goods = (Goods(order["lines"][0]["id"], "MUG-01", units),)
    at = {"key": f"ord_1-m{next(_numbers)}", "at": 0, "shop_order": order["code"], "lines": goods}
    return kind(**at) if kind is LinesReleased else kind(**at, return_id="")


# -- what it tells ---------------------------------------------------------------------------------


def test_an_order_is_read_as_it_was_bought(shop: VendureShop, pay: Pay, heard: Heard) -> None:
    """24.95 and 19 % is 29.69 (three: 89.07), 9.99 and 7 % is 10.69, 4.95 and 19 % is 5.89."""
    bought = shop.buy({"MUG-01": 3, "BOOK-01": 1}, [pay])
    (fact,) = heard(bought["code"])
    assert isinstance(fact, OrderReported)
    order = fact.order
    assert isinstance(order, OrderIn)
    assert [(x.sku, x.title, x.quantity, x.total, x.fulfilled) for x in order.lines] == [
        ("MUG-01", "Mug", 3, 8907, 0),
        ("BOOK-01", "Book", 1, 1069, 0),
    ]
    assert [(x.rate, x.amount) for line in order.lines for x in line.taxes] == [
        ("0.19", 1422),
        ("0.07", 70),
    ]
    assert [(x.total, x.taxes[0].amount) for x in order.shipping] == [(589, 94)]
    assert [(t.connection, t.psp_payment_id, t.amount, t.captured) for t in order.tenders] == [
        ("stripe-eu", pay.transaction, 10565, 10565)
    ]
    assert bought["totalWithTax"] == 10565
    assert order.customer is not None
    assert (order.customer.email, order.customer.country) == ("ada@example.com", "DE")
    assert order.currency == "EUR"


def test_a_discount_on_the_order_is_in_its_lines(shop: VendureShop, pay: Pay, heard: Heard) -> None:
    shop.coupon("TEN", 10)
    bought = shop.buy({"MUG-01": 3, "BOOK-01": 1}, [pay], coupon="TEN")
    shop.cancel(bought["code"], {"MUG-01": 2})
    fact = heard(bought["code"], lambda data: data["lines"][0]["cancelled"] == 2)[0]
    assert isinstance(fact, OrderReported)
    check_order(fact.order)
    lines = fact.order.lines
    assert [(line.quantity, line.subtotal) for line in lines] == [(3, 8907), (1, 1069)]
    assert (
        sum(line.total for line in lines) + 589
        == bought["totalWithTax"]
        == bought["payments"][0]["amount"]
    )


@pytest.mark.parametrize(
    ("amount", "decimals", "precision", "kept"),
    [(1000, 0, 2, 100_000), (1505, 2, 2, 1505), (1500, 3, 2, 150), (1505, 3, 2, None)],
)
def test_edge_16_an_amount_is_what_vendure_keeps(
    amount: int, decimals: int, precision: int, kept: int | None
) -> None:
    """Hundredths of every currency, unless its MoneyStrategy says another; or it is refused."""
    record = Path(__file__).parents[2] / "integrations" / "vendure" / "record.js"
    code = "require('reflect-metadata');"
    code += f"console.log(require({str(record)!r}).kept({amount}, {decimals}, {precision}))"
    around = {**environment(), "APP_ROOT_PATH": str(record.parent)}  # no file is being run
    ran = subprocess.run(
        [installed(), "-e", code], env=around, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip() or None) == (None if kept is None else str(kept))
    assert ("keeps 2 decimals" in ran.stderr) == (kept is None)


def test_an_authorization_and_two_tenders(shop: VendureShop, heard: Heard) -> None:
    first = Pay(f"credit_{next(_numbers)}", "wallet", amount=1000)
    second = Pay(f"pi_{next(_numbers)}", authorize=True)
    bought = shop.buy({"MUG-01": 1}, [first, second])
    (fact,) = heard(bought["code"], lambda data: len(data["payments"]) == 2)
    assert isinstance(fact, OrderReported)
    assert [(t.kind, t.amount, t.captured) for t in fact.order.tenders] == [
        ("store_credit", 1000, 1000),
        ("payment", 2558, 0),
    ]
    shop.settle(bought["code"], payment=1)
    (later,) = heard(bought["code"], lambda data: data["payments"][1]["state"] == "Settled")
    assert isinstance(later, OrderReported)
    assert later.order.tenders[1].captured == 2558
    assert later.order.version > fact.order.version


def test_cancelled_units_are_counted(shop: VendureShop, pay: Pay, heard: Heard) -> None:
    """Before they left, after they were delivered, and all of them."""
    bought = shop.buy({"MUG-01": 3}, [pay])
    code, line = bought["code"], bought["lines"][0]["id"]
    shop.cancel(code, {"MUG-01": 1})
    found = heard(code, lambda data: data["lines"][0]["cancelled"] == 1)
    assert found[1:] == (LinesCancelled((CancelledLine(line, 1),)),)
    shop.fulfil(code, {"MUG-01": 2})
    shop.cancel(code, {"MUG-01": 1})
    found = heard(code, lambda data: data["lines"][0]["cancelled"] == 2)
    assert found[1:] == (LinesCancelled((CancelledLine(line, 2, back=1),)),)
    assert isinstance(found[0], OrderReported)
    assert (found[0].order.lines[0].quantity, found[0].order.lines[0].fulfilled) == (3, 2)


def test_units_that_never_left_are_not_back(shop: VendureShop, pay: Pay, heard: Heard) -> None:
    """Vendure restocks a unit that was never sent if others of its line were."""
    bought = shop.buy({"MUG-01": 3}, [pay])
    code, line = bought["code"], bought["lines"][0]["id"]
    shop.fulfil(code, {"MUG-01": 2})
    before = shop.stock("MUG-01")
    shop.cancel(code, {"MUG-01": 1})
    assert shop.stock("MUG-01") == (before[0] + 1, before[1] - 1)  # a ghost
    found = heard(code, lambda data: data["lines"][0]["cancelled"] == 1)
    assert found[1:] == (LinesCancelled((CancelledLine(line, 1),)),)


def test_a_whole_order_is_cancelled(shop: VendureShop, pay: Pay, heard: Heard) -> None:
    code = shop.buy({"MUG-01": 2}, [pay])["code"]
    shop.cancel(code)
    report, cancelled = heard(code, lambda data: data["state"] == "Cancelled")
    assert cancelled == OrderCancelled()
    assert isinstance(report, OrderReported)
    assert report.order.shipping[0].total == 589


def test_a_refund_of_the_shop_is_told(shop: VendureShop, pay: Pay, heard: Heard) -> None:
    code = shop.buy({"MUG-01": 1}, [pay])["code"]
    made = shop.refund(code, 500)
    (_, fact) = heard(code, lambda data: bool(data["refunds"]))
    assert fact == RefundMade(made["id"], 500, "EUR", psp_refund_id=made["transactionId"])
    assert shop.paid_by_handler()[-1]["amount"] == 500


# -- what is recorded there ------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", range(4))
def test_a_refund_is_recorded_once(
    shop: VendureShop, settings: Settings, pay: Pay, heard: Heard, stop_after: int
) -> None:
    """Broken off anywhere and begun anew, it is one refund, that nobody pays a second time, and
    its echo is known as ours."""
    order = shop.buy({"MUG-01": 2}, [pay])
    line = order["lines"][0]["id"]
    paid_before, stock = shop.paid_by_handler(), shop.stock("MUG-01")
    parts = (RefundedPart("line", line, 1, 2495, 474), RefundedPart("shipping", "1", 0, 495, 94))
    telling = recorded(order, 3558, parts=parts)
    told(telling, settings, stop_after)
    first = told(telling, settings)
    assert first == told(telling, settings)
    (made,) = shop.refunds(order["code"])
    assert first == Accepted(reference=made["id"])
    assert (made["total"], made["state"]) == (3558, "Settled")
    assert made["transactionId"] == telling.paid[0].psp_refund_id
    assert made["lines"] == [{"orderLineId": line, "quantity": 1}]
    assert (shop.paid_by_handler(), shop.stock("MUG-01")) == (paid_before, stock)
    (_, echo) = heard(order["code"], lambda data: bool(data["refunds"]))
    known = telling.paid[0].psp_refund_id
    lines = (RefundedLine(line, 1),)
    assert echo == RefundMade(made["id"], 3558, "EUR", telling.refund, known, lines)


def test_a_refund_of_two_payments(shop: VendureShop, settings: Settings, pay: Pay) -> None:
    order = shop.buy({"MUG-01": 2}, [Pay("credit_x", "wallet", amount=1000), pay])
    paid = (
        PaidBack("stripe-eu", pay.transaction, "re_a", 4000),
        PaidBack("", "credit_x", "", 700, kind="credit"),
    )
    assert isinstance(told(recorded(order, 4700, paid=paid), settings), Accepted)
    wallet, card = (p["refunds"] for p in shop.order(order["code"])["payments"])
    assert [r["total"] for r in wallet] == [700]
    assert [(r["total"], r["transactionId"]) for r in card] == [(4000, "re_a")]


def test_more_than_was_paid_is_refused_in_its_words(
    shop: VendureShop, settings: Settings, pay: Pay
) -> None:
    order = shop.buy({"MUG-01": 1}, [pay])
    found = told(recorded(order, 99_999), settings)
    words = "The amount specified exceeds the refundable amount for this payment"
    assert found == Declined("REFUND_AMOUNT_ERROR", words)
    assert shop.refunds(order["code"]) == []


def test_an_authorization_that_was_released(shop: VendureShop, settings: Settings) -> None:
    order = shop.buy({"MUG-01": 1}, [Pay("pi_void", authorize=True)])
    before = shop.paid_by_handler()
    paid = PaidBack("stripe-eu", "pi_void", "", order["totalWithTax"], kind="void")
    telling = recorded(order, order["totalWithTax"], paid=(paid,))
    assert told(telling, settings) == told(telling, settings)
    assert shop.order(order["code"])["payments"][0]["state"] == "Cancelled"
    assert shop.paid_by_handler() == before


def test_goods_come_back_once(
    shop: VendureShop, settings: Settings, pay: Pay, heard: Heard
) -> None:
    """The whole of a line that was sent: Vendure's stock rises, and its line has so many less; what
    it tells of that is known."""
    order = shop.buy({"MUG-01": 2}, [pay])
    code = order["code"]
    shop.fulfil(code, {"MUG-01": 2})
    on_hand, allocated = shop.stock("MUG-01")
    telling = returned(order, 1)
    for stop in (1, 2, 99):
        told(telling, settings, stop)
    assert shop.stock("MUG-01") == (on_hand + 1, allocated)
    assert shop.order(code)["lines"][0]["quantity"] == 1
    found = heard(code, lambda data: data["lines"][0]["restocked"] == 1)
    assert [type(fact) for fact in found] == [OrderReported]
    shop.cancel(code, {"MUG-01": 1})
    found = heard(code, lambda data: data["lines"][0]["restocked"] == 2)
    line = order["lines"][0]["id"]
    assert found[1:] == (LinesCancelled((CancelledLine(line, 1, back=1),)),)
    told(returned(order, 1), settings)  # nothing of it is left to come back
    assert shop.stock("MUG-01") == (on_hand + 2, allocated)


def test_goods_of_a_line_that_is_not_sent_whole(
    shop: VendureShop, settings: Settings, pay: Pay
) -> None:
    """A unit that came back and one that will not be sent: no ghost, and the rest is still sent."""
    order = shop.buy({"MUG-01": 4}, [pay])
    code = order["code"]
    on_hand, allocated = shop.stock("MUG-01")
    shop.fulfil(code, {"MUG-01": 2})
    assert shop.stock("MUG-01") == (on_hand - 2, allocated - 2)
    assert isinstance(told(returned(order, 1), settings), Accepted)
    assert shop.stock("MUG-01") == (on_hand - 1, allocated - 2)
    telling = returned(order, 1, LinesReleased)
    assert told(telling, settings) == told(telling, settings)
    assert shop.stock("MUG-01") == (on_hand - 1, allocated - 3)
    shop.fulfil(code, {"MUG-01": 1})
    assert shop.stock("MUG-01") == (on_hand - 2, allocated - 4)
    assert shop.order(code)["state"] == "Delivered"


def test_all_units_given_up_here_cancel_the_order_there(
    shop: VendureShop, settings: Settings, pay: Pay, heard: Heard
) -> None:
    """... of which it tells nothing that amends would have to make good."""
    order = shop.buy({"MUG-01": 2}, [pay])
    told(returned(order, 2, LinesReleased), settings)
    assert shop.order(order["code"])["state"] == "Cancelled"
    found = heard(order["code"], lambda data: data["state"] == "Cancelled")
    assert [type(fact) for fact in found] == [OrderReported]


def test_goods_that_are_not_stock_again_are_not_told(
    shop: VendureShop, settings: Settings, pay: Pay
) -> None:
    order = shop.buy({"MUG-01": 1}, [pay])
    telling = returned(order, 1)
    waste = replace(telling, lines=(replace(telling.lines[0], disposition="write_off"),))
    assert told(waste, settings, stop_after=0) == Accepted()


# -- the connection --------------------------------------------------------------------------------


def test_an_order_it_does_not_have(shop: VendureShop, settings: Settings) -> None:
    nowhere = {"code": "NOWHERE", "payments": [{"transactionId": "pi"}]}
    assert told(recorded(nowhere, 5), settings) == Declined(
        "USER_INPUT_ERROR", "There is no order NOWHERE"
    )


def test_a_wrong_password(settings: Settings) -> None:
    wrong = replace(settings, values={"username": USER, "password": "guess"})
    found = told(returned({"code": "X", "lines": [{"id": "1"}]}, 1), wrong)
    assert isinstance(found, NotSent)
    assert found.alert


def test_an_api_key(shop: VendureShop, settings: Settings, pay: Pay) -> None:
    """In place of a name and a password: no signing in."""
    roles = shop.admin("{ roles { items { id code } } }")["items"]
    role = next(one["id"] for one in roles if "super" in one["code"])
    given = {"roleIds": [role], "translations": [{"languageCode": "en", "name": "amends"}]}
    made = shop.admin(
        "mutation ($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }", i=given
    )
    keyed = replace(settings, values={"api_key": made["apiKey"]})
    order = shop.buy({"MUG-01": 1}, [pay])
    assert isinstance(told(recorded(order, 100), keyed, stop_after=1), Accepted | None)
    assert len(shop.refunds(order["code"])) == 1


def test_inspection(settings: Settings) -> None:
    assert inspected(settings) == ()
    other = replace(settings, tables={"payments": {"card": "stripe-eu", "cash": "stripe-eu"}})
    wallet, cash = inspected(other)
    assert "'wallet'" in wallet
    assert "'cash'" in cash
    (wrong,) = inspected(replace(settings, values={"username": USER, "password": "guess"}))
    assert "signing in" in wrong


def inspected(settings: Settings) -> tuple[str, ...]:
    """What an inspection of the real shop says."""
    talk = vendure.inspect(settings)
    answer: Response | None = None
    while True:
        try:
            request = next(talk) if answer is None else talk.send(answer)
        except StopIteration as end:
            return tuple(end.value)
        answer = send(request)


def test_nothing_is_lost_while_amends_is_away(
    box: Mailbox, shop: VendureShop, pay: Pay, heard: Heard
) -> None:
    """Refused, and killed before it could tell: what happened is told after all."""
    box.status = 503
    try:
        order = shop.buy({"MUG-01": 2}, [pay])
        shop.cancel(order["code"], {"MUG-01": 1})
        assert not any(json.loads(raw)["data"]["code"] == order["code"] for _, raw in box.came)
        shop.stop(SIGKILL)
    finally:
        box.status = 204
        if shop.process is None:
            shop.start()
    found = heard(order["code"], lambda data: data["lines"][0]["cancelled"] == 1)
    line = order["lines"][0]["id"]
    assert found[1:] == (LinesCancelled((CancelledLine(line, 1),)),)


def test_the_plugin_refuses_what_vendure_does(shop: VendureShop, pay: Pay) -> None:
    """Its own refunds still go by the payment handler, and are refused beyond what was paid."""
    code = shop.buy({"BOOK-01": 1}, [pay])["code"]
    with pytest.raises(ShopRefused, match="exceeds the refundable amount"):
        shop.refund(code, 99_999)
