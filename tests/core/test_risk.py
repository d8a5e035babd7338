"""Features of a refund as they were known when it was asked for, and the scorecard over them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, astuple

from amends.core.facts import FraudWarned, OrderReported, RefundRequested, ReturnReceived
from amends.core.history import UNKNOWN as NOBODY
from amends.core.history import History, Window
from amends.core.reasons import Refused
from amends.core.requests import CustomerIn, DeliveryIn, LineIn, LinePick, RefundIn, SignalsIn
from amends.core.risk import UNHEARD, Card, Features, Shop, features, score, texts
from amends.core.scorecard import BASE, ROWS
from amends.core.scorecard import score as scored
from amends.core.traits import NAMES, TRACKING, TRAITS, UNKNOWN, sentence
from amends.kernel.time import DAY, rfc3339
from tests.core import risk_doc
from tests.core.desk import START, TEA, Desk, card, contract_order

SINCE = START - 400 * DAY
DELIVERED = START - 3 * DAY
TOLD = contract_order(
    placed_at=rfc3339(START - 10 * DAY),
    customer=CustomerIn("c-1", since=rfc3339(SINCE)),
    lines=(TEA,),
    signals=SignalsIn("c" * 64, "a" * 64, "d" * 64, address_mismatch=True),
    delivery=DeliveryIn(rfc3339(DELIVERED), "delivered"),
)
ONE = RefundIn(lines=(LinePick("1", 1),))
YEAR = Window(
    orders=8,
    order_value=80_000,
    refunds=4,
    refund_value=40_000,
    not_received=1,
    disputes=2,
    not_returned=3,
    findings=1,
)
KNOWN = History(
    first_day=(START // DAY) - 100,
    d30=Window(orders=1, order_value=0, refunds=1, refund_value=1000),
    d90=Window(orders=2, order_value=20_000, refunds=2, refund_value=15_000, not_received=1),
    d365=YEAR,
    order_max=10_000,
    card_others=1,
    address_others=2,
    device_others=3,
)
USUAL = Shop(100, tuple(range(1000, 20_000, 1000)), {"tea": 800, "shoes": 3000})


def of(desk: Desk, request: RefundIn = ONE, amount: int = 3200, **given_: Any) -> dict[str, int]:
    """The features of a request by their names."""
    history = given_.get("history", KNOWN)
    shop, actor = given_.get("shop", USUAL), given_.get("actor", "key:support")
    return asdict(features(desk.order, request, amount, history, shop, desk.now, actor))


def test_every_feature_is_as_it_is_documented() -> None:
    assert list(TRAITS) == list(NAMES)
    written = risk_doc.PAGE.read_text(encoding="utf-8")
    assert written == risk_doc.page(written), "python -m tests.core.risk_doc writes it"


def test_what_is_known_of_an_order() -> None:
    found = of(Desk(TOLD))
    wanted = {
        "refunds_before": 0,
        "share_refunded_bp": 0,
        "fraud_warning": 0,
        "amount": 3200,
        "amount_of_order_bp": 3137,
        "not_received": 0,
        "units": 1,
        "unit_price": 3200,
        "days_since_order": 10,
        "days_since_delivery": 3,
        "tracking": TRACKING.index("delivered"),
        "address_mismatch": 1,
        "account_age": 400,
        "known_for": 100,
        "agent_requested": 0,
    }
    assert {name: found[name] for name in wanted} == wanted


def test_what_is_known_of_a_customer() -> None:
    found = of(Desk(TOLD))
    assert [found[f"{kind}_others"] for kind in ("card", "address", "device")] == [1, 2, 3]
    assert [found[f"refunds_{days}"] for days in (30, 90, 365)] == [1, 2, 4]
    assert [found[f"refund_value_{days}"] for days in (30, 90, 365)] == [1000, 15_000, 40_000]
    shares = [found[f"refund_share_{days}_bp"] for days in (30, 90, 365)]
    assert shares == [UNKNOWN, 7500, 5000], "of no purchases there is no share"
    assert (found["not_received_90"], found["not_received_365"]) == (1, 1)
    assert found["not_received_share_bp"] == 2500
    assert (found["disputes_365"], found["not_returned_365"], found["findings_365"]) == (2, 3, 1)
    assert found["orders_365"] == 8
    assert found["amount_of_largest_bp"] == 3200
    assert found["amount_of_usual_bp"] == 3200


def test_against_the_shop() -> None:
    desk = Desk(TOLD)
    assert of(desk, amount=999)["amount_rank_bp"] == 0
    assert of(desk, amount=1000)["amount_rank_bp"] == 500
    assert of(desk, amount=10**9)["amount_rank_bp"] == 9500
    few = Shop(99, USUAL.quantiles)
    assert of(desk, shop=few)["amount_rank_bp"] == UNKNOWN
    assert of(desk, shop=Shop(100, (5,)))["amount_rank_bp"] == UNKNOWN


def test_the_category_most_refunded() -> None:
    lines = (
        LineIn("1", 1, 100, category="tea"),
        LineIn("2", 2, 900, category="shoes"),
        LineIn("3", 1, 100, category="odd"),
    )
    desk = Desk(contract_order(lines=lines, shipping=(), tenders=(card(1100),)))
    assert of(desk, RefundIn())["category_refunded_bp"] == 3000
    assert of(desk, RefundIn())["unit_price"] == 450
    assert of(desk, RefundIn())["units"] == 4
    assert of(desk, RefundIn(lines=(LinePick("1", 1),)))["category_refunded_bp"] == 800
    assert of(desk, RefundIn(lines=(LinePick("3", 1),)))["category_refunded_bp"] == UNKNOWN
    by_amount = of(desk, RefundIn(amount=5))
    assert (by_amount["ad_hoc_amount"], by_amount["units"]) == (1, UNKNOWN)


def test_reasons_and_who_asks() -> None:
    desk = Desk(TOLD)
    missing = RefundIn(lines=ONE.lines, reason="not_received")
    found = of(desk, missing, actor="agent:helpdesk")
    assert (found["not_received"], found["delivered_after_all"]) == (1, 1)
    assert found["agent_requested"] == 1
    broken = of(desk, RefundIn(lines=ONE.lines, reason="wrong_item"))
    assert (broken["damaged"], broken["not_received"], broken["delivered_after_all"]) == (1, 0, 0)
    on_its_way = contract_order(delivery=DeliveryIn("", "in_transit"))
    assert of(Desk(on_its_way), missing)["delivered_after_all"] == 0


def test_what_is_not_known_is_never_zero() -> None:
    found = of(Desk(), history=NOBODY, shop=UNHEARD)
    unknown = {name for name, value in found.items() if value == UNKNOWN}
    assert unknown == {
        *("category_refunded_bp", "days_since_order", "days_since_delivery", "tracking"),
        *("address_mismatch", "account_age", "known_for", "card_others", "address_others"),
        *("device_others", "amount_of_largest_bp", "amount_of_usual_bp", "amount_rank_bp"),
        *[name for name in NAMES if name.split("_bp")[0].rsplit("_", 1)[-1] in ("30", "90", "365")],
        "not_received_share_bp",
    }
    assert score(features(Desk().order, ONE, 1, NOBODY, UNHEARD, START, "key:x")) == (BASE, ())


def test_amounts_are_those_of_the_books() -> None:
    """10.200 JPY are 62.22 EUR at the configured rate."""
    found = of(Desk(contract_order(currency="JPY")), amount=6222)
    assert (found["amount_of_order_bp"], found["unit_price"]) == (10_000, 1952)


def test_refunds_of_the_order_count() -> None:
    desk = Desk(TOLD)
    desk.tell(RefundRequested(ONE))
    desk.tell(FraudWarned("stripe-eu", ("pi_1",), "ef_1", True))
    found = of(desk)
    assert (found["refunds_before"], found["share_refunded_bp"]) == (1, 3137)
    assert found["fraud_warning"] == 1


# -- point in time -------------------------------------------------------------------------------


LATER = st.integers(1, 400 * DAY)


@given(LATER, LATER, LATER, st.sampled_from(TRACKING))
def test_what_lies_later_changes_nothing(since: int, placed: int, by: int, tracking: str) -> None:
    """An order that tells of times to come is as one that does not tell."""
    plain = contract_order(customer=CustomerIn("c-1"))
    told = contract_order(
        customer=CustomerIn("c-1", since=rfc3339(START + 1 + since)),
        placed_at=rfc3339(START + 1 + placed),
        delivery=DeliveryIn(rfc3339(START + 1 + by), tracking),  # type: ignore[arg-type]
    )
    missing = RefundIn(reason="not_received")
    assert of(Desk(told), missing) == of(Desk(plain), missing)


@given(st.lists(st.sampled_from(["newer", "warned", "returned", "asked"]), max_size=5))
def test_what_was_judged_stays_as_it_was(later: list[str]) -> None:
    desk = Desk(TOLD)
    desk.tell(RefundRequested(ONE))
    before = desk.refund().verdict
    for n, what in enumerate(later):
        if what == "newer":
            delivery = DeliveryIn("", "lost")
            changes: Any = {"version": n + 2, "delivery": delivery, "signals": SignalsIn()}
            desk.tell(OrderReported(contract_order(**changes)))
        elif what == "warned":
            desk.tell(FraudWarned("stripe-eu", ("pi_1",), f"ef_{n}", True))
        elif what == "returned":
            desk.tell(ReturnReceived((LinePick("1", 1),), f"rt_{n}"))
        else:
            desk.tell(RefundRequested(RefundIn(amount=1)))
    assert desk.order.refunds[0].verdict == before


# -- what a shop tells ---------------------------------------------------------------------------


def test_a_newer_version_replaces_what_it_says() -> None:
    desk = Desk(TOLD)
    desk.tell(OrderReported(contract_order(version=2)))
    assert desk.order.signals.card == "c" * 64
    assert desk.order.delivery.tracking == "delivered"
    assert desk.order.customer_since == SINCE
    newer = contract_order(
        version=3,
        customer=CustomerIn("c-1"),
        signals=SignalsIn(device="e" * 64),
        delivery=DeliveryIn("", "returned"),
    )
    desk.tell(OrderReported(newer))
    assert (desk.order.signals.card, desk.order.signals.device) == ("", "e" * 64)
    assert (desk.order.delivery.tracking, desk.order.delivery.delivered_at) == ("returned", 0)
    assert desk.order.customer_since == SINCE, "it is the same customer"
    desk.tell(OrderReported(contract_order(version=4, customer=CustomerIn("c-2"))))
    assert desk.order.customer_since == 0, "how old the account of another is, nobody said"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"customer": CustomerIn("c-1", since="yesterday")}, "/customer/since"),
        ({"delivery": DeliveryIn("2026-01-01")}, "/delivery/delivered_at"),
    ],
)
def test_a_time_is_one(changes: Any, pointer: str) -> None:
    with pytest.raises(Refused) as refused:
        Desk(contract_order(**changes))
    assert refused.value.refusal.extra["pointer"] == pointer
    assert "RFC 3339" in refused.value.refusal.detail


# -- the scorecard -------------------------------------------------------------------------------


def test_each_row_counts_its_steps() -> None:
    for row in ROWS:
        assert row.feature in NAMES
        starts = [at for at, _ in row.steps]
        assert starts == sorted(set(starts)), row.feature
        assert starts[0] >= 0, "what is not known gives no points"
        plain = dict.fromkeys(NAMES, UNKNOWN)
        for at, points in row.steps:
            found = scored(Features(**{**plain, row.feature: at}))
            assert found.score_bp == max(0, BASE + points)
            assert sum(more for _, more in found.reasons) == points
        below = {**plain, row.feature: starts[0] - 1}
        assert scored(Features(**below)).score_bp == BASE


VALUES = st.lists(st.integers(-1, 2_000_000), min_size=len(NAMES), max_size=len(NAMES))


@given(VALUES)
def test_a_score_is_the_sum_of_its_reasons(values: list[int]) -> None:
    values[NAMES.index("tracking")] %= 5
    found = scored(Features(*values))
    assert 0 <= found.score_bp <= 10_000
    assert found.score_bp == min(max(BASE + sum(p for _, p in found.reasons), 0), 10_000)
    points = [p for _, p in found.reasons]
    assert points == sorted(points, reverse=True)
    assert Card().explain(Features(*values)) == Card().score(Features(*values)) == found
    assert score(Features(*values)) == (found.score_bp, texts(found))


def test_more_of_what_can_only_be_worse_is_no_better() -> None:
    for row in ROWS:
        points = [points for _, points in row.steps]
        if TRAITS[row.feature].rises:
            assert points == sorted(points, reverse=TRAITS[row.feature].rises < 0), row.feature


def test_reasons_hold_the_numbers() -> None:
    total, reasons = score(Features(refunds_90=7, refund_share_90_bp=7600, account_age=800))
    assert total == 100 + 200 + 400 - 200
    assert reasons == (
        "share of 90 days' purchases asked back: 76 %",
        "refunds the customer asked for in 90 days: 7",
    )


def test_every_value_has_a_sentence() -> None:
    assert sentence("tracking", 1).endswith(": in transit")
    assert sentence("fraud_warning", 0).endswith(": no")
    for name in NAMES:
        assert sentence(name, UNKNOWN).endswith(": not known")
        assert len(astuple(Features())) == len(NAMES)


def test_all_of_them_are_integers() -> None:
    desk = Desk(TOLD)
    found = features(desk.order, ONE, 3200, KNOWN, USUAL, desk.now, "agent:x")
    assert {type(value) for value in astuple(found)} == {int}
