"""What sellers were paid with captures, in the books where these are kept, and bear of refunds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.facts import CaptureReported, OrderReported, PaymentReported
from amends.core.parties import Party, Split
from amends.core.requests import LineIn, PlatformFee, SellerIn
from amends.kernel.money import convert
from amends.kernel.outcome import CaptureState, PaymentState, RefundState
from tests.core.desk import STRIPE
from tests.core.test_sellers import (
    FEES,
    SPLITS,
    STRIPES,
    Market,
    ask,
    books,
    market,
    paid,
    refunded,
    sent,
)

A = SellerIn("a", 9000, 900)


def partly(captured: int, *sellers: SellerIn, **order: Any) -> Market:
    """100.00 of which so much is captured."""
    tender = replace(paid(*sellers), captured=captured)
    return market(captures=True, **{"splits": SPLITS, "tenders": (tender,), **order})


def hear(desk: Market, captured: int) -> None:
    desk.tell(PaymentReported(STRIPE, ("pi_1",), PaymentState(captured=captured)))


def told_again(desk: Market, amount: int, *sellers: SellerIn) -> None:
    """A newer version, of which so much is to pay and captured."""
    told = desk.told[0][0].fact
    assert isinstance(told, OrderReported)
    lines = (LineIn("1", 1, amount),)
    more = replace(told.order, version=2, lines=lines, tenders=(paid(*sellers, amount=amount),))
    assert desk.tell(OrderReported(more)).refused is None


def functional(desk: Market, account: str) -> int:
    return sum(p.functional for e in desk.entries for p in e.postings if p.account == account)


# -- of a part that was captured -------------------------------------------------------------------


@pytest.mark.parametrize("of", ["", "a"])
@pytest.mark.parametrize("splits", [SPLITS, STRIPES])
def test_of_a_part_that_was_captured_a_seller_bears_no_more_than_he_was_paid_with_it(
    splits: dict[str, Split], of: str
) -> None:
    """60.00 of 100.00 is captured: the seller of 90.00 was paid 54.00 with it, and given back whole
    it ends at zero on his account, his shares and the fees; whether a line is his or all is in
    proportion, and where the provider reckons itself what it takes (Stripe) as well."""
    desk = partly(6000, A, splits=splits, lines=(LineIn("1", 1, 10_000, seller=of),))
    assert books(desk)["seller_shares"] == 5400
    (party,) = refunded(desk)
    assert (party.amount, party.fee, party.taken) == (5400, 540, 4860)
    assert books(desk) == {"customer_receipts": -6000, "sales_returns": 6000}


def in_two(first: int, second: int, *sellers: SellerIn, **order: Any) -> Market:
    """A payment of two captures."""
    whole = first + second
    tender = replace(paid(*sellers, amount=whole), captured=0)
    lines = (LineIn("1", 1, whole, seller=sellers[0].account),)
    desk = partly(0, **{"lines": lines, "tenders": (tender,), **order})
    for name, amount in (("ch_1", first), ("ch_2", second)):
        capture(desk, CaptureState(name, amount, "EUR", "succeeded"))
    return desk


def fails(desk: Market, amount: int) -> None:
    """The second capture."""
    capture(desk, CaptureState("ch_2", amount, "EUR", "failed"))


def capture(desk: Market, state: CaptureState) -> None:
    desk.tell(CaptureReported(STRIPE, ("pi_1",), state))


def test_of_a_capture_that_failed_a_seller_bears_nothing() -> None:
    """What he was paid with it was taken back from him, and is on the books no more."""
    desk = in_two(6000, 4000, A)
    fails(desk, 4000)
    assert books(desk)["seller_shares"] == 5400
    (party,) = refunded(desk)
    assert (desk.leg().amount, party.amount) == (6000, 5400)
    assert "seller_shares" not in books(desk)


@pytest.mark.parametrize(
    ("mode", "cuts", "part"), [("full", (2,), 1), ("proportional", (2, 2, 3), 0)]
)
def test_what_went_back_of_a_fee_before_a_capture_failed_stays(
    mode: PlatformFee, cuts: tuple[int, ...], part: int
) -> None:
    """It may be more than all the fee on what is left, by a unit or as it was wished."""
    desk = in_two(8, 2, SellerIn("a", 10, 3), mode=mode)
    for cut in cuts:
        refunded(desk, amount=cut)
    assert desk.balance("platform_fees") == 0
    fails(desk, 2)
    ask(desk)
    assert [share.taken for share in sent(desk).sellers] == [8 - sum(cuts)]
    desk.accept()
    (party,) = desk.leg().parties
    assert (party.amount, party.part, party.fee) == (8 - sum(cuts), part, 0)


def test_what_others_give_back_of_a_capture_that_failed_is_not_his() -> None:
    """He bore 100.00 before it, and is paid 60.00 in the end: what is taken of him he is owed."""
    desk = in_two(6000, 4000, SellerIn("a", 10_000), splits=FEES)
    refunded(desk)
    fails(desk, 4000)
    desk.hear(RefundState("re_dashboard", "succeeded", 100, "EUR"))
    assert desk.leg().parties == (Party("a", 0, taken=100),)
    assert desk.balance("seller_receivable:a") == -100


@given(
    shares=st.lists(st.integers(1, 4000), min_size=1, max_size=4),
    fee=st.integers(0, 100),
    own=st.integers(0, 3000),
    steps=st.lists(st.tuples(st.integers(1, 4000), st.integers(0, 4000)), min_size=1, max_size=5),
    between=st.booleans(),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "USD"]),
)
def test_whatever_was_captured_is_borne_by_those_who_were_paid_it(
    shares: list[int],
    fee: int,
    own: int,
    steps: list[tuple[int, int]],
    between: bool,
    currency: str,
) -> None:
    """No seller bears more than he was paid, and given back whole it ends at zero. Where refunds
    are `between` captures, what was rounded off and was ours may be a seller's with the next one:
    then as many minor units may stay with the sellers."""
    whole = sum(shares) + own
    sellers = [SellerIn(f"a{n}", part, part * fee // 100) for n, part in enumerate(shares)]
    tender = replace(paid(*sellers, amount=whole), captured=0)
    desk = market(captures=True, splits=SPLITS, amount=whole, currency=currency, tenders=(tender,))
    captured = 0
    if not between:
        steps = [(sum(more for more, _ in steps), 1), *((0, back) for _, back in steps)]
    for more, back in (*steps, (0, whole)):
        captured = min(whole, captured + more)
        hear(desk, captured)
        if amount := min(back, captured - desk.payment().refunded_ours):
            refunded(desk, amount=amount)
        borne = [sum(leg.parties[n].amount for _, leg in desk.legs()) for n in range(len(sellers))]
        most = [seller.amount * captured // whole for seller in sellers]
        assert all(amount <= limit for amount, limit in zip(borne, most, strict=True))
    left = books(desk)
    assert left.pop("sales_returns") == -left.pop("customer_receipts") == captured
    assert 0 <= left.get("seller_shares", 0) <= (len(sellers) if between else 0)
    assert between or not left


# -- step by step ----------------------------------------------------------------------------------


def test_a_newer_version_with_a_larger_payment_books_of_a_share_only_what_is_not_booked() -> None:
    """Half was captured, and half of the share of 90.00 is booked. Of twice the payment, all
    captured, the share is all of it, and the entry is the step from what is on the books (I5)."""
    desk = partly(5000, A)
    told_again(desk, 20_000, A)
    assert desk.payment().captured == 20_000
    assert desk.balance("seller_shares") == 9000
    assert desk.balance("platform_fees") == -900


def test_a_capture_that_pays_a_seller_nothing_is_no_entry_of_sellers() -> None:
    """1.00 of 100.00 captured, a share of 0.10 of it all: no entry without postings."""
    desk = partly(0, SellerIn("a", 10, 1))
    hear(desk, 100)
    assert desk.kinds() == ["capture"]


def test_captures_in_parts_pay_sellers_in_parts_in_any_currency() -> None:
    """Where share and fee of a further capture come to the same few units, clearing moves by no
    amount, and by a functional part all the same: without that the entry does not balance, and a
    provider's message about a capture parks the order (I5)."""
    desk = partly(0, SellerIn("a", 11, 9), currency="USD")
    for captured in range(500, 10_001, 500):
        hear(desk, captured)
    for account, amount in (("seller_shares", 11), ("platform_fees", -9)):
        assert desk.balance(account) == amount
        assert functional(desk, account) == convert(amount, desk.order.rate)


def test_so_with_a_fee_of_a_tenth_in_yen() -> None:
    """JPY 1,000, of it 100 a seller's, the fee on that 10; 148 captured, and then 9 more."""
    sale = (LineIn("1", 1, 1000),)
    tender = replace(paid(SellerIn("a", 100, 10), amount=1000), captured=148)
    desk = partly(148, currency="JPY", lines=sale, tenders=(tender,))
    hear(desk, 157)
    assert (desk.balance("seller_shares"), desk.balance("platform_fees")) == (15, -2)
