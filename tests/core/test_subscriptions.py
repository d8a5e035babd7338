"""Unused time of subscriptions: by second and by day, in several parts, and credit beside money."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.facts import Canceled, OrderCancelled, OrderReported, RefundRequested
from amends.core.left import left_over
from amends.core.order import Leg
from amends.core.period import Period, money_of
from amends.core.policy import built_in
from amends.core.quote import Quote, compute
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    LineIn,
    LinePick,
    PeriodIn,
    RefundIn,
    ShippingIn,
    SpanIn,
    TaxIn,
    TenderIn,
    UnusedIn,
)
from amends.kernel.outcome import Declined, RefundState
from amends.kernel.time import DAY, parse_rfc3339, rfc3339
from tests.core.desk import Desk, card, contract_order

NOV, DEC = "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"


def on(day: int, time: str = "00:00:00Z") -> str:
    return f"2026-11-{day:02}T{time}"


def plan(total: int = 3000, tax: int = 0, **period: Any) -> LineIn:
    taxes = (TaxIn("VAT", tax),) if tax else ()
    said = {"start": NOV, "end": DEC, "by": "day", **period}
    return LineIn("plan", 1, total, taxes=taxes, period=PeriodIn(**said))


def desk_of(line: LineIn, **changes: Any) -> Desk:
    report = contract_order(
        lines=(line,), shipping=(), tenders=(card(line.total),) if line.total else (), **changes
    )
    return Desk(report, functional="KWD" if report.currency == "KWD" else "EUR")


def asked(start: str, end: str | None = None) -> RefundIn:
    return RefundIn(reason="subscription", unused=(UnusedIn("plan", start, end),))


def quoted(desk: Desk, start: str, end: str | None = None) -> Quote:
    return compute(desk.order, asked(start, end))


def paid(desk: Desk, start: str, end: str | None = None) -> int:
    decision = desk.tell(RefundRequested(asked(start, end)))
    assert decision.refused is None, decision.refused
    return desk.refund().amount


def refusal(desk: Desk, request: RefundIn) -> tuple[Reason, dict[str, Any]]:
    refused = desk.tell(RefundRequested(request)).refused
    assert refused is not None
    return refused.reason, refused.extra


# -- by day and by second --------------------------------------------------------------------------


def test_a_day_that_has_begun_is_used() -> None:
    desk = desk_of(plan())
    assert quoted(desk, on(16)).amount == 1500
    assert quoted(desk, on(16, "00:00:01Z")).amount == 1400
    assert quoted(desk, on(15, "23:59:59+00:00")).amount == 1500
    assert quoted(desk, NOV).amount == 3000


def test_days_are_counted_from_the_start_whatever_the_zone() -> None:
    line = plan(start="2026-10-24T18:00:00+02:00", end="2026-10-27T18:00:00+01:00")
    period = desk_of(line).order.lines[0].period
    assert period is not None
    assert period.whole == 4  # three days of a calendar in which one has 25 hours
    assert period.unit(parse_rfc3339("2026-10-25T16:00:00Z")) == 1


def test_by_second_a_second_is_worth_what_it_is_of_the_whole() -> None:
    desk = desk_of(plan(total=259_200_000, by="second"))  # 100 for each second of 30 days
    assert quoted(desk, on(30, "23:59:50Z")).amount == 1000
    (time,) = quoted(desk, on(30, "23:59:50Z")).breakdown.unused
    assert (time.end - time.start, time.used) == (10, 30 * 86_400 - 10)


def test_tax_goes_back_as_it_was_charged() -> None:
    desk = desk_of(plan(total=3100, tax=500))
    (share,) = quoted(desk, on(16)).breakdown.lines
    assert (share.quantity, share.net, share.tax) == (0, 1300, 250)


def test_a_quote_shows_what_was_used_and_what_was_not() -> None:
    desk = desk_of(plan(credited=(SpanIn(on(21), on(26)),)))
    paid(desk, on(3), on(5))
    (time,) = quoted(desk, on(26)).breakdown.unused
    assert (time.start, time.end, time.used) == (25, 30, 30 - 2 - 5 - 5)


def test_a_day_of_which_two_parts_were_credited_is_one() -> None:
    parts = (SpanIn(on(5), on(5, "01:00:00Z")), SpanIn(on(5, "02:00:00Z"), on(6, "03:00:00Z")))
    desk = desk_of(plan(credited=parts))
    (time,) = quoted(desk, on(7)).breakdown.unused
    assert (time.end - time.start, time.used) == (24, 30 - 24 - 2)


# -- several refunds over one period ---------------------------------------------------------------


def test_an_outage_first_and_the_end_later() -> None:
    desk = desk_of(plan(total=1000))
    assert paid(desk, on(3), on(5)) == 67  # 66.67: what two of thirty days are worth
    assert paid(desk, on(21)) == 333
    assert refusal(desk, asked(on(4), on(6))) == (
        Reason.TIME_REFUNDED,
        {"line": "plan", "refunded": [[2, 4]]},
    )
    assert paid(desk, NOV, on(3)) + paid(desk, on(5), on(21)) == 600


def test_edge_23_all_that_went_back_counts_against_what_was_not_used() -> None:
    desk = desk_of(plan())
    goodwill = RefundIn(reason="goodwill", amount=1000)
    assert desk.tell(RefundRequested(goodwill)).refused is None
    assert paid(desk, on(16)) == 500
    assert paid(desk, on(15), on(16)) == 100


def test_what_failed_may_be_asked_for_again() -> None:
    desk = desk_of(plan())
    paid(desk, on(16))
    desk.due()
    desk.accept("failed")
    assert paid(desk, on(16)) == 1500


# -- credit and money ------------------------------------------------------------------------------


def test_edge_23_time_that_was_credited_is_not_paid_in_money() -> None:
    """An upgrade on the eleventh: the rest of the old plan was credited and spent on the new."""
    old = desk_of(plan(credited=(SpanIn(on(11), DEC),)))
    assert refusal(old, asked(on(11))) == (
        Reason.TIME_CREDITED,
        {"line": "plan", "credited": [[10, 30]]},
    )
    assert refusal(old, asked(on(5)))[0] == Reason.TIME_CREDITED
    assert paid(old, on(5), on(11)) == 600


def test_edge_23_money_never_exceeds_what_was_paid_less_what_was_used() -> None:
    """The new plan cost 60.00, of which 20.00 were paid by that credit and 40.00 in money."""
    new = desk_of(plan(total=4000, paid_by_credit=2000))
    whole, half = quoted(new, NOV), quoted(new, on(16))
    assert (whole.amount, whole.breakdown.unused[0].credit) == (4000, 2000)
    assert (half.amount, half.breakdown.unused[0].credit) == (1000, 2000)
    with pytest.raises(Refused) as nothing:
        quoted(new, on(22))
    assert nothing.value.refusal.reason == Reason.NOTHING_LEFT
    assert paid(new, on(16)) == 1000
    assert paid(new, NOV, on(16)) == 3000
    assert new.refund().breakdown.unused[0].credit == 0


def test_time_beside_lines_and_what_of_it_is_no_money() -> None:
    """Lines that are named go back beside the time; time that was paid by credit is no line's."""
    goods = LineIn("1", 1, 500)
    both = contract_order(lines=(plan(), goods), shipping=(), tenders=(card(3500),))
    time = (UnusedIn("plan", on(16)),)
    found = compute(Desk(both).order, RefundIn(lines=(LinePick("1", 1),), unused=time))
    assert [(share.id, share.gross) for share in found.breakdown.lines] == [
        ("1", 500),
        ("plan", 1500),
    ]
    paid_by_credit = (plan(total=4000, paid_by_credit=2000), goods)
    both = contract_order(lines=paid_by_credit, shipping=(), tenders=(card(4500),))
    time = (UnusedIn("plan", on(22)),)
    found = compute(Desk(both).order, RefundIn(lines=(LinePick("1", 1),), unused=time))
    assert [share.id for share in found.breakdown.lines] == ["1"]
    assert found.breakdown.unused[0].credit == 1800


def test_a_credit_granted_for_time_that_was_refunded_contradicts_it() -> None:
    desk = desk_of(plan())
    paid(desk, on(16))
    again = contract_order(
        version=2,
        shipping=(),
        tenders=(card(3000),),
        lines=(plan(credited=(SpanIn(on(20), on(21)),)),),
    )
    refused = desk.tell(OrderReported(again)).refused
    assert refused is not None
    assert refused.reason == Reason.ORDER_CONFLICT
    other = contract_order(
        version=2,
        shipping=(),
        tenders=(card(3000),),
        lines=(plan(credited=(SpanIn(on(1), on(2)),)),),
    )
    assert desk.tell(OrderReported(other)).refused is None


def again(line: LineIn, **changes: Any) -> OrderReported:
    told = {"lines": (line,), "shipping": (), "tenders": (card(line.total),), "version": 2}
    return OrderReported(contract_order(**{**told, **changes}))


def after_all(desk: Desk, leg: Leg) -> None:
    """What had failed was paid by the provider nevertheless."""
    state = desk.state("succeeded", leg, leg.psp_refund_id)
    desk.hear(state)
    if desk.payment().reread and not desk.payment().busy:
        desk.due_reread()
        desk.reread(state)


def conflicts(desk: Desk, fact: OrderReported) -> bool:
    refused = desk.tell(fact).refused
    return refused is not None and refused.reason == Reason.ORDER_CONFLICT


@pytest.mark.parametrize(
    "changed",
    [
        {"by": "second"},
        {"start": "2026-10-16T00:00:00Z"},
        {"end": on(11)},
        {"end": "2027-01-01T00:00:00Z"},
        {"paid_by_credit": 100},
    ],
)
def test_a_period_counts_as_it_did_once_time_of_it_was_refunded(changed: dict[str, Any]) -> None:
    desk = desk_of(plan())
    assert desk.tell(again(plan(**changed))).refused is None
    desk = desk_of(plan())
    paid(desk, on(16))
    assert conflicts(desk, again(plan(**changed)))
    assert paid(desk, on(11), on(16)) == 500


@pytest.mark.parametrize(
    "request_",
    [
        RefundIn(reason="cancelled"),
        RefundIn(reason="return", lines=(LinePick("plan", 1),)),
        RefundIn(reason="goodwill", amount=1000),
    ],
)
def test_edge_23_credited_time_is_not_paid_in_money_for_whatever_reason(request_: RefundIn) -> None:
    desk = desk_of(plan(credited=(SpanIn(on(11), DEC),)))  # worth 20.00
    assert refusal(desk, RefundIn(reason="goodwill", amount=1001))[0] == Reason.EXCEEDS_REMAINING
    assert desk.tell(RefundRequested(request_)).refused is None
    assert desk.refund().amount == 1000
    nothing = (Reason.NOTHING_LEFT, Reason.WORTH_NOTHING)
    assert refusal(desk, RefundIn(reason="cancelled"))[0] in nothing
    assert desk.tell(again(plan())).refused is None  # the credit was taken back
    assert desk.tell(RefundRequested(RefundIn(reason="cancelled"))).refused is None
    assert desk.refund().amount == 2000


def test_edge_23_beyond_what_was_not_credited_there_is_not_a_cent() -> None:
    desk = desk_of(plan(credited=(SpanIn(NOV, DEC),)))
    refused = desk.tell(RefundRequested(RefundIn(reason="goodwill", amount=1))).refused
    assert refused is not None
    assert (refused.reason, refused.extra) == (Reason.EXCEEDS_REMAINING, {"remaining": 0})
    assert refused.detail == (
        "0 EUR (minor units) is left, 1 was asked: 3000 was given back as credit for time."
    )
    goods = plan(credited=(SpanIn(on(11), DEC),))
    desk = Desk(contract_order(lines=(goods,), shipping=(), tenders=(card(3100),)))
    assert refusal(desk, RefundIn(reason="goodwill", amount=1101))[1] == {"remaining": 1100}
    assert desk.tell(RefundRequested(RefundIn(reason="goodwill", amount=1100))).refused is None


def test_edge_23_an_order_that_is_cancelled_keeps_what_was_credited() -> None:
    desk = desk_of(plan(credited=(SpanIn(on(11), DEC),)))
    desk.tell(OrderCancelled("customer"))
    assert desk.refund().amount == 1000


def test_edge_23_no_credit_is_granted_for_a_line_that_went_back() -> None:
    desk = desk_of(plan())
    returned = RefundIn(reason="return", lines=(LinePick("plan", 1),))
    assert desk.tell(RefundRequested(returned)).refused is None
    assert conflicts(desk, again(plan(credited=(SpanIn(on(11), DEC),))))


def test_edge_23_goods_in_proportion_are_not_what_was_credited() -> None:
    """What goes back of shipping follows from what went back, not from a credit."""
    parcel = (ShippingIn("s1", 300),)
    line = plan(credited=(SpanIn(on(11), DEC),))
    desk = Desk(contract_order(lines=(line,), shipping=parcel, tenders=(card(3300),)))
    half = RefundIn(
        reason="subscription", unused=(UnusedIn("plan", on(6), on(11)),), shipping="proportional"
    )
    assert compute(desk.order, half).amount == 500 + 150


def test_edge_23_time_of_which_a_part_was_paid_is_asked_for_again_but_not_credited() -> None:
    two = (card(1000), TenderIn(2000, "gift_card", reference="G"))
    desk = Desk(contract_order(lines=(plan(),), shipping=(), tenders=two))
    assert paid(desk, on(16)) == 1500
    desk.due(desk.leg(0))
    desk.answer(Declined("closed", "no"), desk.leg(0))
    assert desk.tell(Canceled(desk.refund().id)).refused is None
    assert desk.refund().amount == 500
    (time,) = desk.refund().breakdown.unused
    assert (time.span, time.part) == ((15, 30), True)
    assert conflicts(desk, again(plan(credited=(SpanIn(on(11), DEC),)), tenders=two))
    assert paid(desk, on(16)) == 1000
    assert refusal(desk, asked(on(20)))[0] == Reason.TIME_REFUNDED


def test_edge_23_a_version_keeps_a_line_of_which_only_credit_went_back() -> None:
    """Paid by credit alone it has no share of the refund, and was not missed with the lines."""
    upgrade = LineIn("new", 1, 100, period=PeriodIn(NOV, DEC, "day", paid_by_credit=3000))
    desk = Desk(contract_order(lines=(plan(), upgrade), shipping=(), tenders=(card(3100),)))
    both = RefundIn(unused=(UnusedIn("plan", on(16)), UnusedIn("new", on(16))))
    assert desk.tell(RefundRequested(both)).refused is None
    assert [share.id for share in desk.refund().breakdown.lines] == ["plan"]
    assert conflicts(desk, again(plan()))


def test_edge_10_what_others_give_back_is_adopted_beside_what_is_held_for_a_review() -> None:
    """What a review is to take over is held back part by part, net and each tax at the worse of
    two cases; of a line of which time was credited that leaves less than nothing, which counts as
    nothing."""
    period = PeriodIn(NOV, DEC, "day", credited=(SpanIn(on(9), on(16)),))
    taxes = (TaxIn("VAT", 29), TaxIn("ECO", 11))
    line = LineIn("plan", 2, 169, taxes=taxes, period=period)
    tenders = (card(33), card(136, name="pi_2"))
    desk = Desk(contract_order(lines=(line,), shipping=(), tenders=tenders))
    desk.tell(RefundRequested(RefundIn(reason="damaged", lines=(LinePick("plan", 1),))))
    desk.due(desk.leg(0))
    desk.accept(leg=desk.leg(0))
    desk.due(desk.leg(1))
    desk.answer(Declined("expired_or_canceled_card"), desk.leg(1))
    desk.policy = built_in(0)
    desk.tell(RefundRequested(RefundIn(reason="price_adjustment", amount=76)))
    desk.tell(RefundRequested(RefundIn(reason="damaged", lines=(LinePick("plan", 2),))))
    assert desk.refund().takes_over
    assert left_over(desk.order).lines["plan"].gross == 0
    desk.hear(RefundState("re_1", "succeeded", 1, "EUR"), "pi_2")
    assert desk.payment(1).external == 1
    assert desk.refund().breakdown.unallocated == 1


def test_time_that_two_refunds_paid_after_all_counts_once() -> None:
    desk = desk_of(plan())
    assert paid(desk, on(26)) == 500
    desk.due()
    desk.accept("failed")
    first = desk.leg()
    assert paid(desk, on(21)) == 1000
    after_all(desk, first)
    assert paid(desk, on(1), on(21)) == 1500  # all thirty days, less what went back


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "period",
    [
        {"end": NOV},
        {"end": "2026-10-01T00:00:00Z"},
        {"end": "2126-11-01T00:00:00Z"},
        {"start": "2026-11-01"},
        {"start": "soon"},
        {"credited": (SpanIn(on(5), on(4)),)},
        {"credited": (SpanIn("2026-10-31T00:00:00Z", on(4)),)},
        {"credited": (SpanIn(on(2), on(5)), SpanIn(on(4), on(6)))},
    ],
)
def test_a_period_that_is_none(period: dict[str, Any]) -> None:
    with pytest.raises(Refused) as found:
        desk_of(plan(**period))
    assert found.value.refusal.reason == Reason.BAD_PERIOD
    assert found.value.refusal.extra["pointer"].startswith("/lines/0/period")


@pytest.mark.parametrize("end", [on(11, "01:00:00Z"), on(11, "23:59:59Z"), on(10, "23:30:00Z")])
def test_an_outage_without_a_whole_day_gives_no_day_back(end: str) -> None:
    """A day that has begun was used, at either end."""
    desk = desk_of(plan())
    assert refusal(desk, asked(on(10, "23:00:00Z"), end))[0] == Reason.BAD_PERIOD
    assert quoted(desk, on(10, "23:00:00Z"), on(12, "01:00:00Z")).amount == 100


def test_the_last_day_is_whole_where_the_period_ends_in_it() -> None:
    desk = desk_of(plan(end="2026-11-30T12:00:00Z"))
    assert quoted(desk, on(30)).amount == 100


def test_time_that_is_none() -> None:
    desk = desk_of(plan())
    for start, end in ((DEC, None), (on(5), on(5)), ("2026-10-31T00:00:00Z", None), ("x", None)):
        assert refusal(desk, asked(start, end))[0] == Reason.BAD_PERIOD
    other = RefundIn(unused=(UnusedIn("other", on(5)),))
    assert refusal(desk, other)[0] == Reason.UNKNOWN_LINE
    reason, extra = refusal(desk, RefundIn(reason="subscription", amount=5))
    assert (reason, extra["pointer"]) == (Reason.VALIDATION, "/unused")
    plain = Desk(contract_order())
    assert refusal(plain, RefundIn(unused=(UnusedIn("1", on(5)),)))[0] == Reason.NO_PERIOD
    assert plain.tell(RefundRequested(RefundIn(reason="subscription", amount=5))).refused is None


# -- any period ------------------------------------------------------------------------------------


@given(
    total=st.integers(1, 10**7),
    credit=st.integers(0, 10**6),
    days=st.integers(1, 400),
    by=st.sampled_from(["second", "day"]),
    cuts=st.lists(st.integers(0, 400), max_size=5),
    order=st.randoms(use_true_random=False),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "USD"]),
)
def test_in_any_parts_and_order_the_whole_is_what_was_paid(
    total: int, credit: int, days: int, by: Any, cuts: list[int], order: Any, currency: str
) -> None:
    start = parse_rfc3339(NOV)
    line = plan(total, by=by, paid_by_credit=credit, end=rfc3339(start + days * DAY))
    desk = desk_of(line, currency=currency)
    bounds = sorted({0, days, *(cut for cut in cuts if cut < days)})
    spans = list(pairwise(bounds))
    order.shuffle(spans)
    period = desk.order.lines[0].period
    assert period is not None
    units, credited = 0, 0
    for first, last in spans:
        request = asked(rfc3339(start + first * DAY), rfc3339(start + last * DAY))
        refused = desk.tell(RefundRequested(request)).refused
        if refused is None:
            (time,) = desk.refund().breakdown.unused
            units += time.end - time.start
            credited += time.credit
            given = sum(refund.amount for refund in desk.order.refunds)
            used = (
                total + credit - (2 * (total + credit) * units + period.whole) // (2 * period.whole)
            )
            assert given <= max(0, total - used)
        else:
            assert refused.reason == Reason.NOTHING_LEFT
    given = sum(refund.amount for refund in desk.order.refunds)
    assert given + credited <= total + credit
    if not credit and units == period.whole:
        assert given == total
    if units:
        assert refusal(desk, asked(NOV))[0] == Reason.TIME_REFUNDED


@given(
    total=st.integers(0, 10**9),
    credit=st.integers(0, 10**9),
    whole=st.integers(1, 10**5),
    units=st.integers(0, 10**5),
)
def test_money_and_credit_come_to_the_value_of_the_time(
    total: int, credit: int, whole: int, units: int
) -> None:
    period = Period(0, whole * DAY, "day", credit)
    units = min(units, whole)
    money, back = money_of(period, total, units)
    more, more_back = money_of(period, total, min(units + 1, whole))
    assert 0 <= money <= total
    assert 0 <= back <= credit
    assert (more >= money, more_back >= back) == (True, True)
    assert money_of(period, total, whole) == (total, credit)
    assert money_of(period, total, 0) == (0, 0)


SPANS = st.tuples(st.integers(0, 11), st.integers(1, 12)).filter(lambda one: one[0] < one[1])
STEPS = st.one_of(
    st.tuples(st.just("time"), SPANS),
    st.tuples(st.just("credit"), st.lists(SPANS, max_size=2)),
    st.tuples(st.just("amount"), st.integers(1, 4000)),
    st.tuples(st.sampled_from(["return", "all", "fail", "after all"]), st.none()),
    st.tuples(st.just("length"), st.integers(3, 15)),
)


@given(
    total=st.integers(1, 4000),
    beside=st.integers(0, 1000),
    taxed=st.booleans(),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    steps=st.lists(STEPS, min_size=2, max_size=9),
)
def test_edge_23_money_and_credit_never_come_to_more_than_was_paid(
    total: int, beside: int, taxed: bool, currency: str, steps: list[tuple[str, Any]]
) -> None:
    """Whatever is asked for whatever reason, and whatever the shop reports between."""
    start = parse_rfc3339(NOV)

    def at(day: int) -> str:
        return rfc3339(start + day * DAY)

    said: dict[str, Any] = {"end": at(12), "paid_by_credit": beside}
    tax = total // 6 if taxed else 0
    desk = desk_of(plan(total, tax, **said), currency=currency)
    for version, (name, what) in enumerate(steps, 2):
        if name in ("credit", "length"):
            told = dict(said)
            told |= {"end": at(what)} if name == "length" else {}
            spans = what if name == "credit" else ()
            told |= {"credited": tuple(SpanIn(at(a), at(b)) for a, b in spans)}
            fact = again(plan(total, tax, **told), version=version, currency=currency)
            desk.tell(fact)
        elif name == "time":
            desk.tell(RefundRequested(asked(at(what[0]), at(what[1]))))
        elif name == "amount":
            desk.tell(RefundRequested(RefundIn(reason="goodwill", amount=what)))
        elif name == "return":
            desk.tell(RefundRequested(RefundIn(lines=(LinePick("plan", 1),))))
        elif name == "all":
            desk.tell(RefundRequested(RefundIn(reason="cancelled")))
        elif desk.order.refunds and name == "fail":
            if desk.due():
                desk.accept("failed")
        elif desk.order.refunds and desk.leg().psp_refund_id:
            after_all(desk, desk.leg())
        period = desk.order.lines[0].period
        assert period is not None
        free = period.whole - sum(b - a for a, b in period.granted)
        given = sum(
            r.amount for r in desk.order.refunds if r.claimed or r.legs[0].state == "succeeded"
        )
        most = -((total + beside) * -free // period.whole)  # rounded up
        revived = any(step == "after all" for step, _ in steps)
        assert given <= (total if revived else min(total, most))
