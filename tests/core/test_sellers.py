"""Refunds of sales that a platform made for others: who bears what, and who owes whom after it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.amounts import Amounts
from amends.core.effects import RefundIntent
from amends.core.facts import Approved, OrderReported, PaymentReported, RefundRequested, Retried
from amends.core.parties import Party, Split
from amends.core.policy import built_in
from amends.core.reasons import Reason, Refused
from amends.core.requests import (
    LineIn,
    LinePick,
    PlatformFee,
    RefundIn,
    SellerIn,
    ShippingIn,
    TenderIn,
)
from amends.kernel.money import convert
from amends.kernel.outcome import Accepted, Declined, PaymentState, Unknown
from amends.kernel.time import HOUR
from tests.core.desk import STRIPE, Desk, contract_order

STRIPES = {STRIPE: Split("transfer", sellers=1, returns=False)}
SPLITS = {STRIPE: Split("amounts", sellers=0)}
FEES = {STRIPE: Split("fee", sellers=1)}


class Market(Desk):
    """A desk whose provider pays sellers with the payment."""

    def __init__(self, splits: dict[str, Split], **more: Any) -> None:
        self.splits = splits
        super().__init__(**more)

    def ctx(self) -> Any:
        return replace(super().ctx(), splits=self.splits)


def paid(*sellers: SellerIn, amount: int = 10_000, apart: bool = False) -> TenderIn:
    return TenderIn(
        amount,
        "payment",
        STRIPE,
        "pi_1",
        amount,
        sellers=sellers,
        sellers_paid="apart" if apart else "with_payment",
    )


ONE = SellerIn("acct_1", 10_000, 1_000)


def market(
    *sellers: SellerIn,
    splits: dict[str, Split] | None = None,
    mode: PlatformFee = "proportional",
    amount: int = 10_000,
    apart: bool = False,
    captures: bool = False,
    **order: Any,
) -> Market:
    plain = {
        "lines": (LineIn("1", 1, amount),),
        "shipping": (),
        "tenders": (paid(*(sellers or (ONE,)), amount=amount, apart=apart),),
    }
    policy = built_in(10**9, amounts=Amounts(platform_fee=mode))
    report = contract_order(**{**plain, **order})
    given = STRIPES if splits is None else splits
    ours = "KWD" if order.get("currency") == "KWD" else "EUR"
    return Market(given, report=report, policy=policy, captures=captures, functional=ours)


def ask(desk: Market, **asked: Any) -> None:
    decision = desk.tell(RefundRequested(RefundIn(**asked)))
    assert decision.refused is None, decision.refused


def sent(desk: Market) -> RefundIntent:
    found = desk.due()
    assert isinstance(found, RefundIntent)
    return found


def refunded(desk: Market, **asked: Any) -> tuple[Party, ...]:
    """Asked, sent and paid; what the sellers bear of it."""
    ask(desk, **asked)
    sent(desk)
    desk.accept()
    return desk.leg().parties


def books(desk: Market) -> dict[str, int]:
    held: Counter[str] = Counter()
    for entry in desk.entries:
        for line in entry.postings:
            held[line.account] += line.amount
    return {name: amount for name, amount in held.items() if amount}


def refusal(**changes: Any) -> tuple[Reason, dict[str, Any]]:
    with pytest.raises(Refused) as found:
        market(**changes)
    return found.value.refusal.reason, found.value.refusal.extra


# -- the platform's fee ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "parties"),
    [
        ("proportional", [(3333, 333, 3000), (3333, 333, 2999), (3334, 334, 3001)]),
        ("keep", [(3333, 0, 3333), (3333, 0, 3333), (3334, 0, 3334)]),
        ("full", [(3333, 1000, 3000), (3333, 0, 2999), (3334, 0, 3001)]),
    ],
)
def test_the_fee_goes_back_in_proportion_or_at_once_or_not(
    mode: PlatformFee, parties: list[tuple[int, int, int]]
) -> None:
    desk = market(mode=mode)
    for amount, expected in zip((3333, 3333, 3334), parties, strict=True):
        (party,) = refunded(desk, amount=amount)
        assert (party.amount, party.fee, party.taken) == expected
    fees = {"proportional": 1000, "keep": 0, "full": 1000}[mode]
    assert desk.balance("platform_fees") == fees
    assert desk.balance("seller_shares") == -10_000
    assert desk.balance("seller_receivable:acct_1") == 0
    assert desk.balance(f"clearing:{STRIPE}") == -fees


def test_a_request_says_what_becomes_of_the_fee() -> None:
    desk = market(mode="keep")
    (party,) = refunded(desk, amount=5000, platform_fee="proportional")
    assert (party.fee, party.taken) == (500, 4500)
    (rest,) = refunded(desk)
    assert (rest.part, rest.fee, rest.taken) == (500, 0, 5000)


def test_what_a_provider_cannot_give_back_at_once_is_owed_to_the_seller() -> None:
    desk = market(mode="full")
    refunded(desk, amount=1000)
    # All the fee of 10.00 goes back with a tenth of the sale; Stripe gives back a tenth of it.
    assert desk.balance("seller_receivable:acct_1") == (1000 - 1000) - (1000 - 100)


def test_a_policy_that_changes_after_a_request_does_not_change_it() -> None:
    """An approval is of what was shown (I11)."""
    desk = market(mode="keep")
    desk.policy = built_in(1, amounts=Amounts(platform_fee="keep"))
    ask(desk, reason="goodwill")
    refund = desk.refund()
    assert refund.stage == "review"
    desk.policy = built_in(1, amounts=Amounts(platform_fee="full"))
    assert desk.tell(Approved(refund.id, refund.shown), actor="user:boss").refused is None
    sent(desk)
    assert [party.fee for party in desk.leg().parties] == [0]


def test_a_transfer_is_reversed_in_proportion_to_the_payment_whoevers_goods_it_is_for() -> None:
    lines = (
        LineIn("1", 1, 5000, seller="acct_1"),
        LineIn("2", 1, 3000, seller="acct_1"),
        LineIn("3", 1, 2000),
    )
    desk = market(SellerIn("acct_1", 8000, 800), lines=lines)
    (party,) = refunded(desk, lines=(LinePick("1", 1),))
    assert (party.amount, party.fee, party.taken) == (5000, 500, 4000 - 400)
    assert books(desk)["seller_receivable:acct_1"] == 4500 - 3600
    (party,) = refunded(desk, lines=(LinePick("3", 1),))
    assert (party.amount, party.taken) == (0, 0)
    (party,) = refunded(desk)
    assert (party.amount, party.taken) == (3000, 2400 - 240)


def test_a_fee_that_is_kept_is_not_asked_back_though_less_is_taken_than_is_borne() -> None:
    lines = (LineIn("1", 1, 5000, seller="acct_1"), LineIn("2", 1, 5000))
    desk = market(SellerIn("acct_1", 8000, 800), lines=lines, mode="keep")
    ask(desk, lines=(LinePick("1", 1),))
    (share,) = sent(desk).sellers
    assert (share.amount, share.taken, share.fee_too) == (5000, 4000, False)


@pytest.mark.parametrize("modes", [("keep", "full"), ("full", "keep"), ("keep", "keep")])
@pytest.mark.parametrize("splits", [STRIPES, SPLITS])
def test_small_refunds_paid_together_keep_what_each_said_of_the_fee(
    modes: tuple[PlatformFee, PlatformFee], splits: dict[str, Split]
) -> None:
    amounts = Amounts(minimum=(("EUR", 100),), below_minimum="hold")
    desk = market(splits=splits)
    desk.policy = built_in(10**9, amounts=amounts)
    for mode in modes:
        ask(desk, reason="goodwill", amount=50, platform_fee=mode)
    assert sent(desk).amount == 100
    desk.accept()
    (party,) = desk.leg().parties
    assert (party.amount, party.part) == (100, 10)
    assert party.fee == (1000 if "full" in modes else 0)


# -- what is sent ----------------------------------------------------------------------------------


def test_the_same_bytes_leave_again_whatever_was_refunded_meanwhile() -> None:
    desk = market(splits=SPLITS)
    ask(desk, amount=1000)
    first = sent(desk)
    desk.answer(Unknown("no answer"))
    desk.found()
    again = desk.due()
    while not isinstance(again, RefundIntent):
        desk.found()
        again = desk.due()
    assert again == first
    assert [(s.account, s.amount, s.taken) for s in first.sellers] == [("acct_1", 1000, 900)]


def test_sellers_paid_apart_are_not_in_the_request_and_owe() -> None:
    desk = market(SellerIn("acct_1", 6000, 600), SellerIn("acct_2", 3000), apart=True)
    ask(desk, amount=5000)
    assert sent(desk).sellers == ()
    desk.accept()
    assert books(desk) == {
        "sales_returns": 5000,
        f"clearing:{STRIPE}": -5000,
        "seller_receivable:acct_1": 2700,
        "seller_receivable:acct_2": 1500,
        "platform_fees": 300,
        "seller_shares": -4500,
    }


def test_a_plain_order_has_no_parties_and_no_further_entries() -> None:
    desk = Market(STRIPES, report=contract_order())
    assert refunded(desk, amount=500) == ()
    assert desk.kinds() == ["claim", "payout"]
    assert "sellers" not in next(e.body for e in desk.events if e.type == "leg.sending")


# -- by line ---------------------------------------------------------------------------------------


def two_sellers(**more: Any) -> Market:
    lines = (
        LineIn("1", 1, 6000, seller="acct_1"),
        LineIn("2", 2, 3000, seller="acct_2"),
        LineIn("3", 1, 500),
    )
    return market(
        SellerIn("acct_1", 6000, 600),
        SellerIn("acct_2", 3500, 350),
        splits=SPLITS,
        lines=lines,
        shipping=(ShippingIn("s1", 500, seller="acct_2"),),
        **more,
    )


def test_the_seller_of_the_line_bears_it() -> None:
    desk = two_sellers()
    first, second = refunded(desk, lines=(LinePick("2", 1),))
    assert (first.amount, second.amount, second.fee, second.taken) == (0, 1500, 150, 1350)
    first, second = refunded(desk, lines=(LinePick("3", 1),))
    assert (first.amount, second.amount) == (0, 0)
    assert desk.balance("seller_receivable:acct_1") == 0
    first, second = refunded(desk)
    assert (first.amount, first.fee) == (6000, 600)
    assert (second.amount, second.fee) == (2000, 200)
    assert desk.balance("seller_shares") == -9500


def test_a_seller_bears_no_more_than_the_part_he_was_paid() -> None:
    desk = market(
        SellerIn("acct_1", 6000),
        SellerIn("acct_2", 4000),
        splits=SPLITS,
        lines=(LineIn("1", 1, 6500, seller="acct_1"), LineIn("2", 1, 3500, seller="acct_2")),
    )
    first, second = refunded(desk, lines=(LinePick("1", 1),))
    assert (first.amount, second.amount) == (6000, 500)


# -- edge 22: the seller was paid out --------------------------------------------------------------

NO_MONEY = Declined("balance_insufficient", kind="split")


def test_edge_22_a_seller_paid_out_already_is_a_receivable_and_the_customer_is_paid() -> None:
    desk = market()
    ask(desk, amount=4000)
    assert [s.taken for s in sent(desk).sellers] == [3600]
    first = desk.leg().key
    desk.answer(NO_MONEY)
    assert desk.refund().legs[-1].state == "sending"
    again = sent(desk)
    assert (again.sellers, again.amount, again.key == first) == ((), 4000, False)
    desk.accept()
    assert desk.leg().state == "succeeded"
    assert desk.balance("seller_receivable:acct_1") == 3600
    assert desk.balance(f"clearing:{STRIPE}") == -4000
    assert desk.raised() == ["seller_owes"]


def test_edge_22_in_doubt_it_goes_without_only_once_the_first_is_known_not_to_be_there() -> None:
    desk = market()
    ask(desk, amount=4000)
    sent(desk)
    desk.answer(Unknown("no answer"))
    desk.found()
    while not isinstance(desk.due(), RefundIntent):
        desk.found()
    desk.answer(NO_MONEY)
    assert desk.leg().state == "unknown"
    desk.due()
    desk.now += HOUR
    desk.found()
    assert (desk.leg().state, desk.leg().epoch) == ("sending", 2)
    assert sent(desk).sellers == ()
    desk.accept()
    assert desk.balance("seller_receivable:acct_1") == 3600


def test_a_refusal_for_want_of_our_own_money_waits_as_ever() -> None:
    desk = market()
    ask(desk, amount=4000)
    sent(desk)
    desk.answer(Declined("balance_insufficient", kind="funds"))
    assert desk.leg().state == "awaiting_funds"


# -- late failure ----------------------------------------------------------------------------------


@pytest.mark.parametrize("returns", [False, True])
def test_a_late_failure_leaves_nobody_with_anothers_money(returns: bool) -> None:
    desk = market(splits={STRIPE: Split("amounts", returns=returns)})
    refunded(desk, amount=4000)
    desk.hear(desk.state("failed"))
    assert desk.leg().state == "failed"
    assert desk.balance("seller_receivable:acct_1") == (0 if returns else -3600)
    assert desk.balance(f"clearing:{STRIPE}") == (0 if returns else 3600)
    desk.tell(Retried(desk.refund().id))
    again = sent(desk)
    assert [s.taken for s in again.sellers] == [3600 if returns else 0]
    desk.accept()
    assert desk.balance("seller_receivable:acct_1") == 0
    assert desk.balance(f"clearing:{STRIPE}") == -400
    assert desk.balance("seller_shares") == -4000


def test_what_was_taken_and_stayed_is_not_booked_again_when_it_is_paid_after_all() -> None:
    desk = market(mode="keep")
    refunded(desk, amount=4000)
    desk.hear(desk.state("failed"))
    assert desk.balance("seller_receivable:acct_1") == -4000
    desk.hear(desk.state("succeeded"))
    desk.due_reread()
    desk.reread(desk.state("succeeded"))
    assert desk.leg().state == "succeeded"
    assert desk.balance("seller_receivable:acct_1") == 0
    assert desk.balance(f"clearing:{STRIPE}") == 0


def test_what_we_owe_a_seller_is_not_taken_from_him() -> None:
    desk = market(splits=FEES, mode="full")
    (first,) = refunded(desk, amount=500)
    assert (first.fee, first.taken) == (1000, 0)
    assert desk.balance("seller_receivable:acct_1") == -500
    (second,) = refunded(desk, amount=400)
    assert (second.fee, second.taken) == (0, 0)
    (third,) = refunded(desk, amount=400)
    assert third.taken == 400
    assert desk.balance("seller_receivable:acct_1") == -100


def test_what_is_taken_is_an_amount_the_provider_carries() -> None:
    desk = market(splits={STRIPE: Split("amounts", multiple_of=(("EUR", 100),))})
    (party,) = refunded(desk, amount=3300)
    assert (party.due, party.taken) == (2970, 2900)
    assert desk.balance("seller_receivable:acct_1") == 70


def test_shares_stay_once_something_was_borne() -> None:
    desk = market()
    other = SellerIn("acct_2", 5000, 100)

    def told(version: int) -> Any:
        return contract_order(
            version=version,
            lines=(LineIn("1", 1, 10_000),),
            shipping=(),
            tenders=(paid(other),),
        )

    assert desk.tell(OrderReported(told(2))).refused is None
    assert [s.account for s in desk.payment().sellers] == ["acct_2"]
    refunded(desk, amount=100)
    again = replace(told(3), tenders=(paid(ONE),))
    assert desk.tell(OrderReported(again)).refused is None
    assert [s.account for s in desk.payment().sellers] == ["acct_2"]


def test_what_ends_unpaid_is_borne_by_nobody() -> None:
    desk = market()
    ask(desk, amount=4000)
    sent(desk)
    desk.answer(Declined("no", kind="final"))
    assert books(desk) == {}
    (party,) = refunded(desk)
    assert (party.amount, party.fee) == (10_000, 1000)


def test_what_was_not_asked_for_was_not_taken() -> None:
    """The shop tells of the sellers once the refund is out: they owe their parts."""
    plain = TenderIn(10_000, "payment", STRIPE, "pi_1", 10_000)
    desk = market(tenders=(plain,))
    ask(desk, reason="goodwill")
    assert sent(desk).sellers == ()
    told = contract_order(
        lines=(LineIn("1", 1, 10_000),), shipping=(), tenders=(paid(ONE),), version=2
    )
    assert desk.tell(OrderReported(told)).refused is None
    desk.accept()
    assert [party.taken for party in desk.leg().parties] == [0]
    assert desk.balance("seller_receivable:acct_1") == 9000


# -- bad input -------------------------------------------------------------------------------------


def test_shares_that_do_not_add_up_are_refused() -> None:
    reason, extra = refusal(tenders=(paid(SellerIn("a", 9000), SellerIn("b", 1001)),))
    assert reason == Reason.SELLERS_OFF
    assert (extra["stated"], extra["computed"], extra["off_by"]) == (10_000, 10_001, 1)
    reason, extra = refusal(tenders=(paid(SellerIn("a", 500, 501)),))
    assert (reason, extra["pointer"]) == (Reason.SELLERS_OFF, "/tenders/0/sellers/0/fee")
    reason, _ = refusal(tenders=(paid(SellerIn("a", 9999)),), splits=FEES)
    assert reason == Reason.SELLERS_OFF


def test_a_line_names_a_seller_that_a_tender_has() -> None:
    reason, extra = refusal(lines=(LineIn("1", 1, 10_000, seller="acct_9"),))
    assert (reason, extra["pointer"]) == (Reason.UNKNOWN_SELLER, "/lines/0/seller")


def test_a_provider_pays_as_many_sellers_with_a_payment_as_it_can() -> None:
    two = paid(SellerIn("a", 5000), SellerIn("b", 5000))
    assert refusal(tenders=(two,))[0] == Reason.SPLIT_NOT_POSSIBLE
    assert refusal(splits={})[0] == Reason.SPLIT_NOT_POSSIBLE
    assert market(tenders=(two,), splits=SPLITS).payment().sellers
    assert market(apart=True, splits={}).payment().apart
    assert refusal(tenders=(paid(ONE, ONE),))[0] == Reason.VALIDATION


# -- where captures are booked ---------------------------------------------------------------------


def test_what_sellers_were_paid_is_booked_with_the_capture_and_ends_at_the_fee() -> None:
    desk = market(captures=True)
    assert desk.kinds() == ["capture", "seller_paid"]
    assert books(desk) == {
        "customer_receipts": -10_000,
        "seller_shares": 10_000,
        "platform_fees": -1000,
        f"clearing:{STRIPE}": 1000,
    }
    refunded(desk)
    assert books(desk) == {
        "customer_receipts": -10_000,
        "sales_returns": 10_000,
    }


def test_captures_in_parts_pay_sellers_in_parts() -> None:
    desk = market(captures=True, tenders=(replace(paid(SellerIn("a", 3333, 100)), captured=0),))
    assert desk.kinds() == []
    for captured in (3333, 6666, 10_000):
        state = PaymentState(captured=captured)
        desk.tell(PaymentReported(STRIPE, ("pi_1",), state))
    assert desk.balance("seller_shares") == 3333
    assert desk.balance("platform_fees") == -100
    assert desk.balance(f"clearing:{STRIPE}") == 10_000 - 3233
    apart = market(captures=True, apart=True)
    assert apart.kinds() == ["capture"]


# -- any sequence ----------------------------------------------------------------------------------


@given(
    parts=st.lists(st.integers(0, 5000), min_size=1, max_size=4),
    fees=st.lists(st.integers(0, 100), min_size=4, max_size=4),
    own=st.integers(0, 3000),
    cuts=st.lists(st.integers(1, 4000), max_size=6),
    modes=st.lists(st.sampled_from(["proportional", "keep", "full"]), min_size=7, max_size=7),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "USD"]),
)
def test_over_any_sequence_the_shares_are_the_refund_and_the_last_takes_the_residue(
    parts: list[int], fees: list[int], own: int, cuts: list[int], modes: Any, currency: str
) -> None:
    whole = sum(parts) + own
    if not whole:
        return
    sellers = tuple(
        SellerIn(f"a{n}", part, part * fee // 100)
        for n, (part, fee) in enumerate(zip(parts, fees, strict=False))
        if part
    )
    desk = market(
        amount=whole, splits=SPLITS, currency=currency, tenders=(paid(*sellers, amount=whole),)
    )
    for number, cut in enumerate([*cuts, whole]):
        left = desk.order.remaining
        if left:
            refunded(desk, amount=min(cut, left), platform_fee=modes[number])
        leg = desk.leg()
        assert sum(p.amount for p in leg.parties) <= leg.amount
        # Nothing is taken while we owe them as much: a fee was given back before its time.
        assert all(p.taken in (0, max(0, p.due)) for p in leg.parties)
        assert "full" in modes or all(p.taken == max(0, p.due) for p in leg.parties)
    for place, seller in enumerate(sellers):
        mine = [leg.parties[place] for _, leg in desk.legs()]
        assert sum(p.amount for p in mine) == seller.amount
        assert sum(p.part for p in mine) == seller.fee
        assert sum(p.fee for p in mine) <= seller.fee
        if set(modes[: len(cuts) + 1]) == {"proportional"}:
            assert sum(p.fee for p in mine) == seller.fee
        owes = sum(p.due - p.taken for p in mine)
        assert desk.balance(f"seller_receivable:{seller.account}") == owes
    assert desk.balance("seller_shares") == -sum(seller.amount for seller in sellers)
    settled = all(p.due == p.taken for _, leg in desk.legs() for p in leg.parties)
    functional: Counter[str] = Counter()
    for entry in desk.entries:
        for line in entry.postings:
            functional[line.account] += line.functional
    if settled:
        assert not any(functional[f"seller_receivable:{s.account}"] for s in sellers)


@given(
    seller=st.integers(1, 10_000),
    fee=st.integers(0, 100),
    cuts=st.lists(st.integers(1, 4000), max_size=5),
    modes=st.lists(st.sampled_from(["proportional", "keep", "full"]), min_size=6, max_size=6),
    late=st.integers(-1, 5),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "USD"]),
)
def test_what_is_taken_is_what_a_provider_that_reckons_itself_takes(
    seller: int, fee: int, cuts: list[int], modes: Any, late: int, currency: str
) -> None:
    """Reckoned here a second time: of transfer and fee in proportion to the whole payment, over all
    refunds that say so; what fails late is not undone there."""
    one = SellerIn("acct_1", seller, seller * fee // 100)
    desk = market(one, currency=currency)
    known = Counter[str]()

    def due(of: int, part: int) -> int:
        return (2 * of * min(part, 10_000) + 10_000) // 20_000

    for number, cut in enumerate([*cuts, 10_000]):
        amount = min(cut, desk.order.remaining)
        if not amount:
            break
        ask(desk, reason="goodwill", amount=amount, platform_fee=modes[number])
        intent = sent(desk)
        taken = 0
        if any(share_.taken for share_ in intent.sellers):
            before = due(seller, known["transfer"]) - due(one.fee, known["fee"])
            known["transfer"] += amount
            known["fee"] += amount * intent.sellers[0].fee_too
            taken = due(seller, known["transfer"]) - due(one.fee, known["fee"]) - before
        desk.answer(Accepted(refund=desk.state(psp_id=f"re_{number}")))
        assert sum(party.taken for party in desk.leg().parties) == taken
        if number == late:
            desk.hear(desk.state("failed"))
        lines = [
            line
            for entry in desk.entries
            for line in entry.postings
            if line.account == "seller_receivable:acct_1"
        ]
        owes, ours = sum(x.amount for x in lines), sum(x.functional for x in lines)
        assert ours == convert(owes, desk.order.rate)
