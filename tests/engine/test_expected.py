"""When the customer should see the money: shown once the provider has taken it up, from what
providers say of each way, and never while nobody knows."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.decision import Arrival, Terms
from amends.core.facts import RefundRequested
from amends.core.policy import built_in
from amends.core.requests import RefundIn, TenderIn
from amends.engine.views import refund_view
from amends.gateways.registry import PROVIDERS
from amends.kernel.outcome import Declined, RefundStatus, Unknown
from amends.kernel.time import DAY, HOUR, SECOND, day_after, rfc3339
from tests.core.desk import START, STRIPE, Desk, contract_order

CARD = Arrival(5, 10, True, ways=("card", "visa"))
MONDAY = START  # 2026-09-21


def desk(*arrivals: Arrival, method: str = "visa", above: int = 10**9) -> Desk:
    terms = Terms(24 * HOUR, 5 * SECOND, 24 * HOUR, arrivals=arrivals or (CARD,))
    tender = TenderIn(10_200, "payment", STRIPE, "pi_1", 10_200, method=method)
    found = Desk(contract_order(tenders=(tender,)), built_in(above), {STRIPE: terms})
    found.tell(RefundRequested(RefundIn(amount=1000)))
    return found


def shown(found: Desk) -> tuple[Any, Any]:
    view = refund_view(found.order, found.refund())
    legs = [leg["expected_by"] for leg in view["legs"]]
    return view["expected_by"], legs[0] if legs else None


@pytest.mark.parametrize(
    ("days", "business", "date"),
    [
        (0, True, "2026-09-21"),
        (4, True, "2026-09-25"),
        (5, True, "2026-09-28"),
        (10, True, "2026-10-05"),
        (5, False, "2026-09-26"),
        (30, False, "2026-10-21"),
    ],
)
def test_business_days_leave_the_weekend_out(days: int, business: bool, date: str) -> None:
    assert rfc3339(MONDAY).startswith("2026-09-21T")
    assert day_after(MONDAY, days, business) == date


def test_from_a_weekend_the_first_business_day_is_monday() -> None:
    saturday = MONDAY + 5 * DAY
    assert day_after(saturday, 0, True) == "2026-09-26"
    assert day_after(saturday, 1, True) == "2026-09-28"


@pytest.mark.parametrize("status", ["pending", "succeeded"])
def test_dates_are_shown_once_the_provider_took_it_up(status: RefundStatus) -> None:
    found = desk()
    assert shown(found) == (None, None)
    found.due()
    assert shown(found) == (None, None)
    found.accept(status)
    days = {"earliest": "2026-09-28", "latest": "2026-10-05"}
    assert shown(found) == (days, days)
    moved = next(e.body for e in found.events if e.type == "leg.moved")
    assert (moved["expected_from"], moved["expected_by"]) == ("2026-09-28", "2026-10-05")


@pytest.mark.parametrize("status", ["awaiting_funds", "requires_action", "failed", "canceled"])
def test_no_date_is_shown_where_no_money_is_under_way(status: RefundStatus) -> None:
    found = desk()
    found.due()
    found.accept(status)
    assert shown(found) == (None, None)


def test_no_date_while_it_is_reviewed_refused_or_unknown() -> None:
    assert shown(desk(above=0)) == (None, None)
    for outcome in (Unknown("timeout"), Declined("no"), Declined("poor", kind="funds")):
        found = desk()
        found.due()
        found.answer(outcome)
        assert shown(found) == (None, None)


def test_a_late_failure_takes_the_date_away() -> None:
    found = desk()
    found.due()
    found.accept()
    found.hear(found.state("failed"))
    assert found.leg().state == "failed"
    assert shown(found) == (None, None)


def test_the_way_it_takes_goes_before_the_method() -> None:
    found = desk(Arrival(0, 1, False, ways=("card_reversal",)), CARD)
    found.due()
    found.hear(replace(found.state(), destination="card_reversal"))
    assert shown(found)[0] == {"earliest": "2026-09-21", "latest": "2026-09-22"}


def test_where_nobody_says_when_there_is_no_date() -> None:
    found = desk(method="gift")
    found.due()
    found.accept()
    assert shown(found) == (None, None)


def test_numbers_of_providers_are_in_order() -> None:
    for provider in PROVIDERS.values():
        for arrival in provider.CAPABILITIES.arrivals:
            assert 0 <= arrival.earliest <= arrival.latest
    assert PROVIDERS["stripe"].CAPABILITIES.arrivals[0].ways[0] == "card"
