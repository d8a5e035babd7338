"""Orders in another currency than the books': what left is booked at what it was worth (I5, I7)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core import fx
from amends.core.decision import Ctx
from amends.core.facts import Approved, DisputeReported, Fact, PaidOutside, RefundRequested, Retried
from amends.core.order import Leg
from amends.core.postings import Entry
from amends.core.reasons import Reason, Refused
from amends.core.requests import LineIn, OrderIn, RefundIn, SettledIn
from amends.kernel.money import Rate, convert
from amends.kernel.outcome import Accepted, RefundState, Settled
from tests.core.desk import STRIPE, TERMS, Desk, card, contract_order

CLEARING = f"clearing:{STRIPE}"
FX = "fx_gain_loss"


class Market(Desk):
    """A desk whose rates are told by the day: `by_day` of the market, `set_` by configuration."""

    def __init__(
        self,
        report: OrderIn | None = None,
        by_day: dict[str, tuple[int, int]] | None = None,
        set_: dict[str, Rate] | None = None,
        functional: str = "EUR",
        **more: Any,
    ) -> None:
        self.by_day = by_day if by_day is not None else {"USD": (91, 100)}
        self.set_ = set_ or {}
        super().__init__(report or contract_order(currency="USD"), functional=functional, **more)

    def ctx(self) -> Ctx:
        return replace(super().ctx(), rates=self.set_, daily=self.daily)

    def daily(self, currency: str, day: str) -> Rate | None:
        found = self.by_day.get(currency)
        return Rate(currency, self.functional, *found, "ECB", day) if found else None

    def pay(self, settled: Settled | None = None, **wish: Any) -> Leg:
        """A refund that is paid at once."""
        self.tell(RefundRequested(RefundIn(**wish)))
        self.due()
        state = self.state(psp_id=f"re_{self.leg().id}")
        self.answer(Accepted(refund=replace(state, settled=settled)))
        return self.leg()

    def figures(
        self, settled: Settled | None, leg: Leg | None = None, status: Any = "succeeded"
    ) -> None:
        self.hear(replace(self.state(status, leg or self.leg()), settled=settled))

    def ours(self, account: str) -> int:
        """Functional balance."""
        lines = (p for entry in self.entries for p in entry.postings)
        return sum(p.functional for p in lines if p.account == account)

    def dispute(self, withdrawn: int, status: str = "needs_response", **more: Any) -> None:
        named = {"dispute": "dp_1", "amount": withdrawn, "currency": "USD", **more}
        ended = status in ("won", "lost")
        self.tell(
            DisputeReported(
                STRIPE, ("pi_1",), status=status, open=not ended, withdrawn=withdrawn, **named
            )
        )


def lines(entry: Entry) -> list[tuple[str, int, int]]:
    return [(p.account, p.amount, p.functional) for p in entry.postings]


# -- rates -------------------------------------------------------------------------------------


def rate_of(**given: Any) -> Rate:
    return Market(**given).order.rate


def test_the_rate_of_an_order_is_that_of_the_day_it_was_placed() -> None:
    days: list[str] = []
    desk = Market()
    ctx = replace(desk.ctx(), daily=lambda c, day: days.append(day))  # type: ignore[func-returns-value]
    report = contract_order(currency="USD", placed_at="2026-03-01T23:30:00-02:00")
    with pytest.raises(Refused) as refused:
        fx.order_rate(report, ctx, desk.now)
    assert days == ["2026-03-02"]
    assert refused.value.refusal.reason is Reason.NO_RATE
    assert refused.value.refusal.extra == {"currency": "USD", "day": "2026-03-02"}


def test_what_the_capture_brought_goes_before_the_market_and_that_before_what_is_set() -> None:
    fixed = {"USD": Rate("USD", "EUR", 88, 100, "config")}
    assert rate_of(set_=fixed).source == "ECB"
    assert rate_of(set_=fixed, by_day={}).source == "config"
    brought = replace(card(10_200), settled=SettledIn(9300, "EUR"))
    told = rate_of(report=contract_order(currency="USD", tenders=(brought,)), set_=fixed)
    assert (told.numerator, told.denominator, told.source) == (9300, 10_200, STRIPE)


def test_figures_that_are_not_of_all_of_it_do_not_count() -> None:
    one = replace(card(5000), settled=SettledIn(4500, "EUR"))
    other = replace(card(5200, None, "pi_2"), settled=SettledIn(4100, "GBP"))
    assert rate_of(report=contract_order(currency="USD", tenders=(one, other))).source == "ECB"


def test_a_capture_that_brought_nothing_has_no_rate() -> None:
    """It may be less than a cent, or not known to the shop: the day's counts."""
    nothing = replace(card(10_200), settled=SettledIn(0, "EUR"))
    some = replace(card(5000), settled=SettledIn(4500, "EUR"))
    rest = replace(card(5200, None, "pi_2"), settled=SettledIn(0, "EUR"))
    assert rate_of(report=contract_order(currency="USD", tenders=(nothing,))).source == "ECB"
    assert rate_of(report=contract_order(currency="USD", tenders=(some, rest))).source == STRIPE


def test_an_order_in_the_currency_of_the_books_knows_no_exchange() -> None:
    desk = Market(contract_order(), by_day={})
    assert (desk.order.rate.numerator, desk.order.rate.source) == (1, "same")
    desk.pay(Settled("txn_1", "EUR", 10_200))
    assert desk.kinds() == ["claim", "payout"]
    assert desk.leg().settled is None, "it says nothing that was not known"
    assert all(entry.worth is None for entry in desk.entries)


# -- paid, and settled -------------------------------------------------------------------------


def test_edge_17_what_was_paid_is_booked_at_the_providers_figures() -> None:
    """102.00 USD were 92.82 EUR when they were captured; the refund took 94.11 EUR."""
    desk = Market()
    desk.pay(Settled("txn_1", "EUR", 9411))
    claim, payout = desk.entries
    assert lines(claim)[-1] == ("refunds_payable", -10_200, -9282)
    assert lines(payout) == [
        ("refunds_payable", 10_200, 9282),
        (CLEARING, -10_200, -9411),
        (FX, 0, 129),
    ]
    assert payout.worth is not None
    assert (payout.worth.functional, payout.worth.source) == (9411, STRIPE)
    assert (desk.ours("refunds_payable"), desk.balance("refunds_payable")) == (0, 0)


def test_edge_17_without_figures_it_is_the_rate_of_the_day_it_is_paid() -> None:
    desk = Market()
    desk.by_day["USD"] = (85, 100)
    desk.pay()
    assert lines(desk.entries[-1])[1:] == [(CLEARING, -10_200, -8670), (FX, 0, -612)]
    worth = desk.entries[-1].worth
    assert worth is not None and (worth.source, worth.settled) == ("ECB", None)


def test_at_the_orders_own_rate_nothing_is_realised() -> None:
    desk = Market()
    desk.pay(amount=3333)
    desk.pay(amount=3333)
    assert FX not in {p.account for e in desk.entries for p in e.postings}
    assert all(entry.worth is None for entry in desk.entries)
    assert desk.ours(CLEARING) == -6066  # each claim and payout is rounded as the whole it comes to


def test_figures_in_a_third_currency_are_valued_at_its_rate_of_the_day() -> None:
    desk = Market(by_day={"USD": (91, 100), "GBP": (120, 100)})
    desk.pay(Settled("txn_1", "GBP", 8000))
    assert lines(desk.entries[-1])[1:] == [(CLEARING, -10_200, -9600), (FX, 0, 318)]


def test_figures_that_exchange_nothing_are_the_rate_of_the_day() -> None:
    """A balance kept in dollars: what left is worth what dollars are worth that day."""
    desk = Market()
    desk.by_day["USD"] = (100, 100)
    desk.pay(Settled("txn_1", "USD", 10_200))
    assert lines(desk.entries[-1])[1:] == [(CLEARING, -10_200, -10_200), (FX, 0, 918)]
    assert desk.leg().settled is None


@pytest.mark.parametrize("times", [1, 3])
def test_figures_that_come_late_are_booked_once(times: int) -> None:
    desk = Market()
    desk.by_day["USD"] = (90, 100)
    leg = desk.pay()
    for _ in range(times):
        desk.figures(Settled("txn_1", "EUR", 9411), leg)
    assert desk.kinds() == ["claim", "payout", "fx_settled"]
    assert lines(desk.entries[-1]) == [(CLEARING, 0, -231), (FX, 0, 231)]
    assert (desk.ours(CLEARING), desk.ours(FX)) == (-9411, 129)


def test_figures_told_again_on_another_day_are_the_same_figures() -> None:
    desk = Market(by_day={"USD": (91, 100), "GBP": (120, 100)})
    leg = desk.pay(Settled("txn_1", "GBP", 8000))
    desk.by_day["GBP"] = (130, 100)
    desk.figures(Settled("txn_1", "GBP", 8000), leg)
    assert (desk.kinds(), desk.ours(CLEARING)) == (["claim", "payout"], -9600)


def test_late_figures_that_change_nothing_are_only_kept() -> None:
    desk = Market()
    leg = desk.pay()
    desk.figures(Settled("txn_1", "EUR", 9282), leg)
    assert desk.kinds() == ["claim", "payout"]
    assert desk.leg().settled == Settled("txn_1", "EUR", 9282)


def test_figures_told_while_it_is_under_way_count_when_it_is_paid() -> None:
    desk = Market()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.answer(Accepted(refund=replace(desk.state("pending"), settled=Settled("t", "EUR", 9411))))
    desk.hear(desk.state())
    assert desk.ours(CLEARING) == -9411


def test_a_message_that_has_figures_and_does_not_tell_them_is_read_once() -> None:
    desk = Market()
    desk.pay()
    desk.figures(Settled("txn_1"))
    intent = desk.due_reread()
    assert intent is not None and intent.figures  # type: ignore[union-attr]
    untold = replace(desk.state(), settled=Settled("txn_1"))
    desk.reread(untold)
    assert not desk.payment().reread, "asking again would bring the same"
    desk.figures(Settled("txn_1"))
    desk.due_reread()
    desk.reread(replace(desk.state(), settled=Settled("txn_1", "EUR", 9411)))
    assert desk.ours(CLEARING) == -9411


def test_figures_are_asked_for_only_where_they_matter() -> None:
    for currency, wanted in (("EUR", False), ("USD", True)):
        desk = Market(contract_order(currency=currency))
        desk.tell(RefundRequested(RefundIn(amount=500)))
        intent = desk.due()
        assert intent is not None and intent.figures is wanted  # type: ignore[union-attr]


def test_edge_17_a_late_failure_takes_the_payout_back_as_it_was_booked() -> None:
    desk = Market()
    desk.pay(Settled("txn_1", "EUR", 9411, 30))
    desk.by_day["USD"] = (70, 100)
    desk.hear(desk.state("failed"))
    assert desk.kinds() == ["claim", "payout", "provider_fee", "payout_failed", "provider_fee"]
    assert {a: desk.ours(a) for a in (CLEARING, FX, "provider_fees")} == {
        CLEARING: 0,
        FX: 0,
        "provider_fees": 0,
    }
    assert desk.ours("refunds_payable") == -9282, "the claim stands"
    desk.tell(Retried(desk.refund().id))
    desk.due()
    desk.answer(Accepted(refund=replace(desk.state(), settled=Settled("txn_2", "EUR", 9000))))
    assert (desk.ours("refunds_payable"), desk.ours(CLEARING), desk.ours(FX)) == (0, -9000, -282)


def test_at_one_rate_a_late_failure_leaves_nothing_of_its_own_whatever_else_was_paid() -> None:
    """Two payments at two providers, 2 at 3:4 each: the second is worth less beside the first, and
    the first comes back whole."""
    other, rate = "stripe-us", Rate("USD", "EUR", 3, 4, "config")
    tenders = (card(2), replace(card(2, name="pi_2"), connection=other))
    report = contract_order(
        currency="USD", lines=(LineIn("1", 1, 4),), shipping=(), tenders=tenders
    )
    desk = Market(report, {}, {"USD": rate}, terms={STRIPE: TERMS, other: TERMS})
    desk.tell(RefundRequested(RefundIn(reason="cancelled")))
    for number in (0, 1):
        desk.due(desk.leg(number))
        desk.accept(leg=desk.leg(number))
    desk.hear(desk.state("failed", desk.leg(0)))
    assert (desk.balance(CLEARING), desk.ours(CLEARING)) == (0, 0)
    assert desk.ours(f"clearing:{other}") == -2


def test_what_pays_after_all_is_valued_on_that_day_and_not_as_it_was_before() -> None:
    desk = Market()
    desk.by_day["USD"] = (95, 100)
    desk.pay()
    desk.hear(desk.state("failed"))
    desk.by_day["USD"] = (91, 100)  # the order's own
    desk.hear(desk.state())
    desk.due_reread()
    desk.reread(desk.state())
    assert desk.leg().state == "succeeded"
    assert (desk.ours(CLEARING), desk.ours(FX)) == (-9282, 0)


def test_what_a_person_paid_is_valued_on_that_day() -> None:
    desk = Market()
    desk.tell(RefundRequested(RefundIn()))
    desk.due()
    desk.accept("failed")
    desk.by_day["USD"] = (95, 100)
    desk.tell(PaidOutside(desk.refund().id, "SEPA-1", shown=desk.refund().shown))
    assert (desk.ours("manual_payouts"), desk.ours(FX)) == (-9690, 408)
    assert desk.ours("refunds_payable") == 0


def test_a_rate_missing_when_it_is_paid_is_told_and_books_at_the_orders() -> None:
    desk = Market()
    del desk.by_day["USD"]
    leg = desk.pay()
    assert desk.raised() == ["no_rate"]
    assert desk.ours(CLEARING) == -9282
    desk.figures(Settled("txn_1", "EUR", 9411), leg)
    assert (desk.ours(CLEARING), desk.ours(FX)) == (-9411, 129)


def test_edge_10_what_others_gave_back_is_valued_too_and_comes_back_as_it_went() -> None:
    desk = Market()
    state = RefundState("re_x", "succeeded", 1000, "USD", settled=Settled("txn_1", "EUR", 950, 7))
    desk.hear(state)
    assert desk.kinds() == ["external", "provider_fee"]
    assert (desk.ours(CLEARING), desk.ours(FX)) == (-957, 40)
    desk.hear(replace(state, status="failed"))
    accounts = {p.account for e in desk.entries for p in e.postings}
    assert {desk.ours(account) for account in accounts} == {0}


# -- fees --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fee", [30, -245])
def test_a_fee_is_an_expense_on_the_providers_balance_in_its_currency(fee: int) -> None:
    """Kept fees move nothing; one that is charged or given back is booked where it moved."""
    desk = Market()
    desk.pay(Settled("txn_1", "EUR", 9411, fee))
    entry = desk.entries[-1]
    assert (entry.kind, entry.currency) == ("provider_fee", "EUR")
    assert lines(entry) == [("provider_fees", fee, fee), (CLEARING, -fee, -fee)]


def test_a_fee_in_the_currency_of_the_books_needs_no_exchange() -> None:
    desk = Market(contract_order())
    leg = desk.pay(Settled("txn_1", "EUR", 10_200, -255))
    desk.figures(Settled("txn_1", "EUR", 10_200, -255), leg)
    assert desk.kinds() == ["claim", "payout", "provider_fee"]
    assert (desk.ours("provider_fees"), desk.ours(CLEARING)) == (-255, -9945)


def test_a_fee_in_a_currency_without_a_rate_is_not_booked_and_a_person_is_told_once() -> None:
    for currency in ("EUR", "GBP"):
        desk = Market(contract_order(currency=currency), by_day={"GBP": (115, 100)})
        leg = desk.pay(Settled("txn_1", "USD", 11_000, 30))
        assert "provider_fee" not in desk.kinds()
        assert desk.raised() == ["no_rate"]
        desk.by_day["USD"] = (90, 100)
        desk.figures(Settled("txn_1", "USD", 11_000, 31), leg)
        assert desk.ours("provider_fees") == 28


# -- disputes ----------------------------------------------------------------------------------


def test_edge_13_a_dispute_beyond_the_payment_is_booked_whole_and_the_excess_is_exchange() -> None:
    desk = Market()
    desk.dispute(10_450, settled=Settled("dp_1", "EUR", 9650, 1500))
    assert lines(desk.entries[0]) == [
        (CLEARING, -10_450, -9650),
        ("disputed", 10_200, 9282),
        (FX, 250, 228),
        (FX, 0, 140),
    ]
    assert desk.kinds() == ["dispute", "provider_fee"]
    assert desk.order.remaining == 0
    assert "paid_twice" not in desk.raised()
    desk.dispute(10_450, "lost", settled=Settled("dp_1", "EUR", 9650, 1500))
    assert (desk.ours("disputed"), desk.ours("dispute_losses"), desk.ours(FX)) == (0, 9282, 368)


def test_edge_13_in_the_currency_of_the_books_too() -> None:
    desk = Market(contract_order())
    desk.dispute(10_450, currency="EUR")
    assert lines(desk.entries[0]) == [
        (CLEARING, -10_450, -10_450),
        ("disputed", 10_200, 10_200),
        (FX, 250, 250),
    ]
    assert desk.order.remaining == 0


def test_a_dispute_that_is_won_gives_back_at_another_rate() -> None:
    desk = Market()
    desk.dispute(10_200, settled=Settled("dp_1", "EUR", 9650))
    desk.dispute(0, "won", amount=10_200, settled=Settled("dp_1", "EUR", 110))
    assert desk.kinds() == ["dispute", "dispute_returned"]
    assert {a: desk.ours(a) for a in ("disputed", CLEARING, FX)} == {
        "disputed": 0,
        CLEARING: -110,
        FX: 110,
    }


def test_figures_of_a_message_that_was_overtaken_do_not_count() -> None:
    """It was won and told what came back; then "closed" arrives, written before the money came."""
    desk = Market()
    desk.dispute(10_200, settled=Settled("dp_1", "EUR", 9650, 1500))
    desk.dispute(0, "won", amount=10_200, settled=Settled("dp_1", "EUR", 110, 1500))
    before = desk.kinds()
    desk.dispute(10_200, "won", settled=Settled("dp_1", "EUR", 9650, 1500))
    assert desk.kinds() == before
    assert (desk.ours(CLEARING), desk.ours(FX)) == (-1610, 110)


def test_without_figures_a_dispute_is_valued_when_it_takes_and_comes_back_as_it_went() -> None:
    desk = Market()
    desk.by_day["USD"] = (95, 100)
    desk.dispute(10_200)
    assert (desk.ours("disputed"), desk.ours(CLEARING), desk.ours(FX)) == (9282, -9690, 408)
    desk.by_day["USD"] = (99, 100)
    desk.dispute(10_200, "under_review")
    assert desk.kinds() == ["dispute"], "another day is no news of it"
    desk.dispute(0, "won", amount=10_200)
    assert {desk.ours(a) for a in ("disputed", CLEARING, FX)} == {0}


def test_a_dispute_taken_in_another_currency_is_booked_at_what_it_is_worth() -> None:
    """And the whole payment counts as taken until it ends: a person looks."""
    desk = Market(contract_order(), by_day={"GBP": (120, 100)})
    desk.dispute(9000, currency="GBP")
    assert lines(desk.entries[0]) == [
        (CLEARING, -10_800, -10_800),
        ("disputed", 10_200, 10_200),
        (FX, 600, 600),
    ]
    assert (desk.order.remaining, desk.payment().disputed) == (0, 10_200)
    assert desk.raised() == ["dispute_currency"]
    desk.dispute(0, "won", amount=9000, currency="GBP")
    assert {desk.ours(a) for a in ("disputed", CLEARING, FX)} == {0}
    assert desk.order.remaining == 10_200


def test_a_dispute_in_a_currency_nobody_knows_a_rate_of_is_not_booked() -> None:
    desk = Market(contract_order(), by_day={})
    desk.dispute(9000, currency="GBP")
    assert desk.entries == []
    assert desk.order.remaining == 0
    assert desk.raised() == ["no_rate", "dispute_currency"]


def test_a_dispute_that_is_won_comes_back_as_it_went_though_no_figures_are_told_again() -> None:
    desk = Market()
    desk.dispute(10_200, settled=Settled("dp_1", "EUR", 9411, 1500))
    desk.dispute(10_200, "under_review")
    assert desk.kinds() == ["dispute", "provider_fee"], "they are of what it holds still"
    desk.dispute(0, "won", amount=10_200)
    assert {a: desk.ours(a) for a in ("disputed", CLEARING, FX)} == {
        "disputed": 0,
        CLEARING: -1500,
        FX: 0,
    }
    assert desk.balance(CLEARING) + desk.balance("provider_fees") == 0


@pytest.mark.parametrize("currency", ["GBP", "EUR"])
def test_a_message_that_moves_no_money_leaves_a_dispute_in_another_currency_as_it_is(
    currency: str,
) -> None:
    """80.00 GBP stay 80.00 GBP: what counts as taken of the payment is another figure."""
    desk = Market(contract_order(), by_day={"GBP": (115, 100)})
    desk.dispute(8000, currency="GBP")
    before = desk.kinds(), desk.order.disputes[0]
    desk.dispute(-1, "under_review", amount=8000, currency=currency)
    after = desk.order.disputes[0]
    assert (desk.kinds(), after) == (before[0], replace(before[1], status="under_review"))
    assert (desk.ours(CLEARING), desk.order.remaining) == (-9200, 0)


def test_what_a_dispute_holds_in_another_currency_than_before_is_valued_anew() -> None:
    desk = Market(contract_order(), by_day={"GBP": (115, 100)})
    desk.dispute(8000, currency="GBP")
    desk.dispute(8500, currency="EUR")
    assert (desk.ours(CLEARING), desk.balance("disputed"), desk.ours(FX)) == (-8500, 8500, 0)
    assert desk.payment().disputed == 8500
    desk.dispute(8000, currency="GBP")
    assert desk.ours(CLEARING) == -9200


# -- any order, any rates, anything that happens -----------------------------------------------

RATES = st.tuples(st.integers(1, 10**5), st.integers(1, 10**5))
FIGURES = st.one_of(st.none(), st.integers(0, 10**6))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("refund"), st.integers(1, 6000), FIGURES),
        st.tuples(st.just("late"), st.integers(0, 9), st.integers(0, 10**6)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("retry"), st.integers(0, 9), FIGURES),
        st.tuples(st.just("rate"), RATES),
        st.tuples(st.just("dispute"), st.integers(0, 12_000), FIGURES),
        st.tuples(st.just("untold"), st.sampled_from(["USD", "GBP"])),
    ),
    max_size=10,
)


class Ledgerless:
    """What has left by the provider's word and by the days' rates, reckoned without the books."""

    def __init__(self, desk: Market) -> None:
        self.desk = desk
        self.worth: dict[str, int] = {}  # by leg
        self.taken = self.held = 0  # by the dispute: in dollars, and what that was worth

    def day(self, amount: int) -> int:
        return convert(amount, Rate("USD", "EUR", *self.desk.by_day["USD"], "ECB"))

    def dispute(self, now: int, said: int | None) -> None:
        if said is not None:
            self.held = said
        elif now > self.taken:
            self.held += self.day(now - self.taken)
        elif now < self.taken:
            self.held = (2 * self.held * now + self.taken) // (2 * self.taken)
        self.taken = now

    def realised(self) -> int:
        """What left less what was owed for it, each refund at the order's rate as a whole."""
        order, rate = self.desk.order, self.desk.order.rate
        paid = Counter(
            {
                refund.id: sum(g.amount for g in refund.legs if g.state == "succeeded")
                for refund in order.refunds
            }
        )
        owed = sum(convert(amount, rate) for amount in paid.values())
        return sum(self.worth.values()) - owed + self.held - convert(min(self.taken, 10_200), rate)


def play(desk: Market, model: Ledgerless, step: tuple[Any, ...]) -> None:
    kind, *given = step
    legs = [leg for _, leg in desk.legs() if leg.kind == "refund" and not leg.replaced]
    paid = [leg for leg in legs if leg.state == "succeeded"]
    failed = [leg for leg in legs if leg.state == "failed"]
    if kind == "rate":  # never exactly the order's: then nothing is valued anew
        desk.by_day["USD"] = (given[0][0] * 7 + 1, given[0][1] * 7)
    elif kind == "refund" and given[0] <= desk.order.remaining:
        _paid(desk, model, RefundRequested(RefundIn(amount=given[0])), given[1])
    elif kind == "retry" and failed:
        again = next(r for r, g in desk.legs() if g.id == failed[given[0] % len(failed)].id)
        if failed[0].amount <= desk.order.remaining and again.claimed:
            _paid(desk, model, Retried(again.id), given[1])
    elif kind == "fail" and paid:
        leg = paid[given[0] % len(paid)]
        desk.hear(desk.state("failed", leg))
        model.worth.pop(leg.id, None)
    elif kind == "late" and paid:
        leg = paid[given[0] % len(paid)]
        desk.figures(Settled("txn_l", "EUR", given[1]), leg)
        model.worth[leg.id] = given[1]
    elif kind == "dispute":
        settled = None if given[1] is None else Settled("dp_1", "EUR", given[1])
        desk.dispute(given[0], amount=5000, settled=settled)
        model.dispute(given[0], given[1])
    elif kind == "untold":
        desk.dispute(-1, amount=5000, currency=given[0])


def _paid(desk: Market, model: Ledgerless, fact: Fact, said: int | None) -> None:
    number = len(desk.legs())
    desk.tell(fact)
    if len(desk.legs()) == number:
        return
    leg = desk.leg()
    if leg.state == "planned":
        desk.tell(Approved(desk.refund().id, desk.refund().shown), "key:lead")
    if desk.due(leg) is None:
        return
    settled = None if said is None else Settled("txn", "EUR", said)
    made = desk.state(psp_id=f"re_{leg.id}")
    desk.answer(Accepted(refund=replace(made, settled=settled)), desk.leg())
    model.worth[leg.id] = model.day(leg.amount) if said is None else said


@settings(max_examples=300, deadline=None)
@given(first=RATES, steps=STEPS)
def test_whatever_happens_the_books_hold_what_left_and_what_that_realised(
    first: tuple[int, int], steps: list[tuple[Any, ...]]
) -> None:
    note(f"{first} {steps}")
    desk = Market(by_day={"USD": first})
    desk.by_day["USD"] = (first[0] * 7 + 1, first[1] * 7)
    model = Ledgerless(desk)
    for step in steps:
        play(desk, model, step)
    paid_all = all(
        g.state == "succeeded" for r in desk.order.refunds for g in r.legs if not g.replaced
    )
    if paid_all:
        assert (desk.balance("refunds_payable"), desk.ours("refunds_payable")) == (0, 0)
    left = sum(model.worth.values()) + model.held
    assert desk.ours(CLEARING) == -left
    assert desk.ours(FX) == model.realised()
