"""What is asked of Vendure's plugin, and what its answers mean. `tests/shops` asks the real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.orders import check_order
from amends.core.outlets import Goods, GoodsReturned, LinesReleased, PaidBack, RefundRecorded
from amends.core.outlets import RefundedPart as Part
from amends.gateways import standard, vendure
from amends.gateways.registry import CHECKS, INSPECTS, OUTLETS
from amends.gateways.spec import Failure, Request, Response, Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import MINUTE, SECOND
from tests.gateways.vendure_table import BOUGHT, SETTINGS

AT: dict[str, Any] = {"key": "ord_1-s1", "at": 0, "shop": "shop-1", "shop_order": "CODE1"}
CARD = PaidBack("stripe-eu", "pi_1", "re_1", 2969)
REFUND = RefundRecorded(
    **AT, refund="rf_1", amount=2969, currency="EUR", reason="return", paid=(CARD,)
)
BACK = GoodsReturned(**AT, return_id="r1", lines=(Goods("1", "MUG", 1), Goods("1", "MUG", 2)))
SIGNED = replace(SETTINGS, values={"username": "amends", "password": "pw"})


def told(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status, headers, json.dumps(body).encode())


def made(**fields: Any) -> Response:
    return told({"data": {"made": fields}})


def failed(code: str, message: str = "so it is") -> Response:
    return told({"errors": [{"message": message, "extensions": {"code": code}}], "data": None})


def converse(
    talk: Any, answers: Sequence[Response | Failure]
) -> tuple[list[Request], Outcome | tuple[str, ...]]:
    """All that is asked when these are the answers, and what comes of it."""
    asked, rest = [], list(answers)
    try:
        asked.append(next(talk))
        while True:
            asked.append(talk.send(rest.pop(0)))
    except StopIteration as end:
        assert not rest, "not all was asked for"
        return asked, end.value


def tell(
    telling: Any, *answers: Response | Failure, settings: Settings = SETTINGS
) -> tuple[list[Request], Any]:
    return converse(vendure.talk(telling, settings, 0), answers)


def said(request: Request) -> Any:
    return json.loads(request.body)["variables"]


def test_it_is_in_the_lists() -> None:
    assert OUTLETS["vendure"] is INSPECTS["vendure"] is CHECKS["vendure"] is vendure
    assert vendure.verify is standard.verify


def test_the_order_it_reads_is_one_that_is_taken() -> None:
    check_order(BOUGHT)


def test_a_refund_is_asked_for_with_its_mark() -> None:
    parts = (
        Part("line", "1", 1, 2495, 474),
        Part("line", "2", 0, 5),
        Part("shipping", "4", 0, 9, 1),
    )
    (asked,), outcome = tell(replace(REFUND, parts=parts), made(id="5"))
    assert outcome == Accepted(reference="5")
    assert (asked.method, asked.url) == ("POST", "https://shop.example/admin-api")
    assert dict(asked.headers)["vendure-api-key"] == "1:key"
    assert said(asked)["input"] == {
        "order": "CODE1",
        "mark": "amends rf_1 re_1",
        "transactionId": "re_1",
        "payment": "pi_1",
        "methods": ["card"],
        "amount": 2969,
        "decimals": 2,
        "shipping": 10,
        "lines": [{"orderLineId": "1", "quantity": 1}],
        "void": False,
    }


@pytest.mark.parametrize(("currency", "decimals"), [("JPY", 0), ("EUR", 2), ("KWD", 3)])
def test_edge_16_it_is_said_of_what_amounts_are(currency: str, decimals: int) -> None:
    """Vendure keeps hundredths of any currency; the plugin makes the one of the other."""
    (asked,), _ = tell(replace(REFUND, currency=currency), made(id="5"))
    assert said(asked)["input"]["decimals"] == decimals


def test_each_movement_is_a_refund_of_its_own() -> None:
    """What it is for is said once; one without a provider's name has the telling's."""
    credit = PaidBack("gift_card", "gc_1", "", 500, kind="credit")
    telling = replace(REFUND, paid=(CARD, credit), parts=(Part("line", "1", 1, 2495),))
    asked, outcome = tell(telling, made(id="5"), made(id="6"))
    assert outcome == Accepted(reference="5")
    first, second = (said(one)["input"] for one in asked)
    assert (first["lines"], second["lines"]) == ([{"orderLineId": "1", "quantity": 1}], [])
    assert (second["methods"], second["mark"]) == (["gift"], "amends rf_1 ord_1-s1.1")
    assert second["transactionId"] == "ord_1-s1.1"


def test_without_movements_it_is_the_amount() -> None:
    (asked,), _ = tell(replace(REFUND, paid=()), made(id="5"))
    fields = said(asked)["input"]
    assert (fields["amount"], fields["payment"], fields["methods"]) == (2969, "", ["card", "gift"])


@pytest.mark.parametrize(
    ("telling", "returned", "released"),
    [(BACK, 3, 0), (LinesReleased(**AT, lines=BACK.lines), 0, 3)],
    ids=["returned", "released"],
)
def test_goods_are_told_by_line(telling: Any, returned: int, released: int) -> None:
    (asked,), _ = tell(telling, made(id="1"))
    fields = said(asked)["input"]
    assert fields["mark"] == "amends ord_1-s1"
    assert sum(one["quantity"] for one in fields["returned"]) == returned
    assert sum(one["quantity"] for one in fields["released"]) == released


def test_what_is_not_stock_again_is_not_told() -> None:
    waste = tuple(replace(one, disposition="write_off") for one in BACK.lines)
    assert tell(replace(BACK, lines=waste)) == ([], Accepted())


def test_signing_in() -> None:
    token = {"vendure-auth-token": "tok"}
    (login, asked), outcome = tell(
        REFUND, told({"data": {"made": {"id": "1"}}}, **token), made(id="5"), settings=SIGNED
    )
    assert outcome == Accepted(reference="5")
    assert said(login) == {"name": "amends", "password": "pw"}
    assert dict(asked.headers)["Authorization"] == "Bearer tok"
    assert b"pw" not in asked.body


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (made(errorCode="INVALID_CREDENTIALS_ERROR", message="no such user"), "no such user"),
        (made(id="1"), "tokenMethod"),
    ],
)
def test_not_signed_in(answer: Response, why: str) -> None:
    _, outcome = tell(REFUND, answer, settings=SIGNED)
    assert isinstance(outcome, NotSent)
    assert outcome.alert
    assert why in outcome.reason


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Failure(sent=False, reason="refused"), NotSent("refused")),
        (Failure(sent=True, reason="timeout"), Unknown("timeout")),
        (told({}, 503, **{"retry-after": "7"}), NotSent("HTTP 503", retry_after=7 * SECOND)),
        (told({}, 429), NotSent("HTTP 429")),
        (Response(502, {}, b"<html>"), Unknown("HTTP 502 that cannot be read")),
        (Response(200, {}, b"[]"), Unknown("HTTP 200 that cannot be read", alert=True)),
        (told({"data": None}), Unknown("HTTP 200 without an answer", alert=True)),
        (
            made(errorCode="REFUND_AMOUNT_ERROR", message="no"),
            Declined("REFUND_AMOUNT_ERROR", "no"),
        ),
        (
            made(errorCode="REFUND_ORDER_STATE_ERROR", message="not yet"),
            Unknown("not yet", retry_after=MINUTE),
        ),
        (failed("FORBIDDEN", "no"), NotSent("Vendure: no", alert=True)),
        (failed("USER_INPUT_ERROR"), Declined("USER_INPUT_ERROR", "so it is")),
        (failed("INTERNAL_SERVER_ERROR", "locked"), Unknown("locked", alert=True)),
        (
            failed("GRAPHQL_VALIDATION_FAILED", "no field"),
            NotSent(
                "the amends plugin is not in Vendure, or another version: no field", alert=True
            ),
        ),
    ],
)
def test_what_an_answer_means(answer: Response | Failure, outcome: Outcome) -> None:
    _, found = tell(REFUND, answer)
    assert found == outcome


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "made", "errors", "errorCode", "extensions", "code", "id"]),
            inner,
            max_size=3,
        )
    ),
)


@given(body=st.binary(max_size=30) | _JSON.map(lambda one: json.dumps(one).encode()))
def test_no_answer_breaks_it(body: bytes) -> None:
    for settings in (SETTINGS, SIGNED):
        for talk in (vendure.talk(REFUND, settings, 0), vendure.inspect(settings)):
            answer = Response(200, {"vendure-auth-token": "t"}, body)
            found: Any = None
            try:
                next(talk)
                while True:
                    talk.send(answer)
            except StopIteration as end:
                found = end.value
            assert isinstance(found, Accepted | Declined | NotSent | Unknown | tuple)


def test_half_a_character_is_not_sent() -> None:
    asked, outcome = tell(replace(REFUND, shop_order="\ud800"))
    assert asked == []
    assert isinstance(outcome, Declined)


def test_inspection() -> None:
    def found(**about: Any) -> Any:
        return converse(vendure.inspect(SETTINGS), [made(**about)])[1]

    assert found(version=1, paymentMethods=["card", "gift"]) == ()
    other, unmapped, unknown = found(version=2, paymentMethods=["card", "cash"])
    assert "version 2" in other
    assert "'cash'" in unmapped
    assert "'gift'" in unknown
    (why,) = converse(vendure.inspect(SETTINGS), [failed("GRAPHQL_VALIDATION_FAILED")])[1]
    assert "plugin" in str(why)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (SETTINGS, ""),
        (SIGNED, ""),
        (replace(SETTINGS, base_url=""), "base_url"),
        (replace(SETTINGS, values={"username": "amends"}), "password"),
        (replace(SETTINGS, tables={}), "payments"),
    ],
)
def test_trouble(settings: Settings, why: str) -> None:
    found = vendure.trouble(settings)
    assert why in found
    assert bool(found) == bool(why)
