"""Sellers on a marketplace: what of a refund each bears, what its provider takes back from them,
and what they owe us after it.

A refund is spread over what is left of each seller's part of the payment (by the lines it is for
where these name their sellers), so that over any sequence none bears more than its part and the
last takes the exact residue. It is settled with the first send of a leg and stays so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from amends.core import postings
from amends.core.chart import receivable
from amends.core.decision import Ctx
from amends.core.order import FAILED, Leg, Order, Payment, Refund
from amends.core.parties import Party, Seller, Split, parts_of
from amends.core.quote import Quote
from amends.core.reasons import Reason, Refused
from amends.core.requests import LineIn, OrderIn, PlatformFee, RefundIn, ShippingIn, TenderIn
from amends.core.shares import Breakdown
from amends.core.work import Work
from amends.kernel.canon import digest
from amends.kernel.money import allocate, share
from amends.kernel.outcome import RefundState


def check(report: OrderIn, ctx: Ctx) -> None:
    """What an order says of sellers adds up, and is something its provider does. Raises Refused."""
    for index, tender in enumerate(report.tenders):
        if tender.sellers:
            _check_tender(tender, ctx.splits.get(tender.connection), f"/tenders/{index}/sellers")
    known = {seller.account for tender in report.tenders for seller in tender.sellers}
    groups: tuple[tuple[str, Sequence[LineIn | ShippingIn]], ...] = (
        ("lines", report.lines),
        ("shipping", report.shipping),
    )
    for name, items in groups:
        for index, item in enumerate(items):
            if item.seller and item.seller not in known:
                raise Refused(
                    Reason.UNKNOWN_SELLER,
                    f"No tender has the seller {item.seller!r}; its sellers are {sorted(known)}.",
                    seller=item.seller,
                    pointer=f"/{name}/{index}/seller",
                )


def _check_tender(tender: TenderIn, split: Split | None, pointer: str) -> None:
    accounts = [seller.account for seller in tender.sellers]
    if tender.kind != "payment" or len(set(accounts)) < len(accounts):
        raise Refused(
            Reason.VALIDATION, "A payment names each of its sellers once.", pointer=pointer
        )
    for index, seller in enumerate(tender.sellers):
        if seller.fee > seller.amount:
            raise _off(f"{pointer}/{index}/fee", seller.amount, seller.fee)
    whole = sum(seller.amount for seller in tender.sellers)
    if whole > tender.amount:
        raise _off(pointer, tender.amount, whole)
    if tender.sellers_paid == "apart":
        return
    limit = split.sellers if split else 0
    if split is None or (limit and len(accounts) > limit):
        raise Refused(Reason.SPLIT_NOT_POSSIBLE, pointer=pointer, sellers=limit)
    if split.way == "fee" and whole < tender.amount:
        raise _off(pointer, tender.amount, whole)


def _off(pointer: str, stated: int, computed: int) -> Refused:
    return Refused(
        Reason.SELLERS_OFF,
        f"The payment or share is {stated}, what it is to hold or to be is {computed}: off by "
        f"{computed - stated}.",
        pointer=pointer,
        stated=stated,
        computed=computed,
        off_by=computed - stated,
    )


def said(order: Order, payment: Payment, tender: TenderIn) -> Payment:
    """The payment with the sellers a shop tells of; once one of them bore something of a refund, or
    what they were paid is on the books, what was told before stands."""
    borne = any(leg.parties for leg in _legs(order, payment))
    if borne or payment.paid_shares or not tender.sellers:
        return payment
    found = tuple(
        Seller(s.account, s.amount, s.fee, s.reference, s.fee_reference) for s in tender.sellers
    )
    return replace(payment, sellers=found, apart=tender.sellers_paid == "apart")


def mode_of(work: Work, request: RefundIn) -> PlatformFee | Literal[""]:
    """What becomes of the platform's fee, as a refund keeps it from its request on."""
    if not any(payment.sellers for payment in work.order.payments):
        return request.platform_fee or ""
    return request.platform_fee or work.ctx.policy.amounts.platform_fee


def fixed(work: Work, leg: Leg, unasked: bool = False) -> tuple[Party, ...]:
    """What sellers bear of a leg, and what is taken of them with it; as things stand. `unasked`:
    it left without a word of them."""
    payment = work.payment(leg.payment)
    if not payment.sellers:
        return ()
    refund, _ = work.leg(leg.id)
    takes = leg.kind == "refund" and not (leg.untaken or payment.apart or unasked)
    split = work.ctx.splits.get(payment.connection) if takes else None
    return borne(work.order, _asked(work, refund, leg), payment, split, leg.id)


def _asked(work: Work, refund: Refund, leg: Leg) -> list[Asked]:
    """What of a leg is for what, and what becomes of the fee there: where it pays several refunds
    together, as each of them said."""
    otherwise = work.ctx.policy.amounts.platform_fee
    together = [r for r in work.order.refunds if r.combined_in == refund.id]
    mine = [sum(g.amount for g in r.legs if g.payment == leg.payment) for r in together]
    if not any(mine):
        return [Asked(refund.breakdown, leg.amount, refund.platform_fee or otherwise)]
    return [
        Asked(one.breakdown, amount, one.platform_fee or otherwise)
        for one, amount in zip(together, allocate(leg.amount, mine), strict=True)
    ]


def quoted(work: Work, request: RefundIn, quote: Quote) -> Quote:
    """The quote with what each seller would bear of it as things stand."""
    order = work.order
    if not any(payment.sellers for payment in order.payments):
        return quote
    mode = request.platform_fee or work.ctx.policy.amounts.platform_fee
    portions = []
    for portion in quote.portions:
        payment = order.payment(portion.payment)
        split = work.ctx.splits.get(payment.connection)
        takes = split if portion.kind == "refund" and not payment.apart else None
        if portion.kind != "void":
            asked = [Asked(quote.breakdown, portion.amount, mode)]
            found = borne(order, asked, payment, takes)
            portion = replace(portion, parties=found)
        portions.append(portion)
    return replace(quote, portions=tuple(portions), hash=digest([quote.hash, portions]))


class Asked(NamedTuple):
    """An amount, what it is for, and what becomes of the platform's fee on it."""

    parts: Breakdown
    amount: int
    mode: PlatformFee


def borne(
    order: Order,
    asked: Sequence[Asked],
    payment: Payment,
    split: Split | None,
    without: str = "",
) -> tuple[Party, ...]:
    """What each seller of a payment bears of what is asked, in parts that with our own come to it;
    all legs but `without` count. `split` None: nothing is taken with it."""
    payment = _paid(payment)
    legs = [leg for leg in _legs(order, payment) if leg.id != without]
    alive = [leg for leg in legs if leg.state not in FAILED]
    made: list[Leg] = []
    for one in asked:
        parties = _shares(order, one, payment, [*alive, *made])
        made.append(Leg("", "refund", payment.id, one.amount, "planned", parties=parties))
    found = _bearing(made)
    keep = all(one.mode == "keep" for one in asked)
    amount = sum(one.amount for one in asked)
    return tuple(
        _taken(order, payment, split, legs, found[seller.account], amount, keep)
        for seller in payment.sellers
    )


def _shares(
    order: Order, asked: Asked, payment: Payment, alive: Sequence[Leg]
) -> tuple[Party, ...]:
    borne_ = _bearing(alive)
    gone = [borne_.get(s.account, Party(s.account, 0)) for s in payment.sellers]
    left = [max(0, s.amount - b.amount) for s, b in zip(payment.sellers, gone, strict=True)]
    left.append(_own_left(payment, alive))
    shares = _allot(asked.amount, _wanted(order, asked.parts, payment, left), left)
    found = []
    for place, seller in enumerate(payment.sellers):
        part, before = shares[place], gone[place]
        goes = share(max(0, seller.fee - before.part), part, left[place]) if part else 0
        rest = max(0, seller.fee - before.fee)
        fee = {"proportional": min(goes, rest), "full": rest if part else 0, "keep": 0}[asked.mode]
        found.append(Party(seller.account, part, goes, fee))
    return tuple(found)


def _taken(
    order: Order,
    payment: Payment,
    split: Split | None,
    legs: Sequence[Leg],
    party: Party,
    amount: int,
    keep: bool,
) -> Party:
    """With what the provider takes from him with `amount` of the payment: nothing where we hold as
    much of theirs, from a refund that failed after it was taken for it, or from a fee that went
    back in full."""
    held = _owed_to(legs, party.account)
    if split is None or not party.amount or held >= party.due > 0:
        return party
    if split.way == "transfer":
        return _reversed(payment, legs, party, amount, keep)
    taken = max(0, party.due)
    return replace(party, taken=taken - taken % dict(split.multiple_of).get(order.currency, 1))


def _reversed(
    payment: Payment, legs: Sequence[Leg], party: Party, amount: int, keep: bool
) -> Party:
    """The provider reckons itself what goes with refunds that say so: of what it paid the seller,
    and of the fee, the part that these are of the whole payment, whoever's goods they were for."""
    seller = next(s for s in payment.sellers if s.account == party.account)
    whole = _whole(payment)
    said = [
        (leg.amount, one.fee_too)
        for leg in legs
        for one in leg.parties
        if one.account == party.account and one.taken and (leg.took or leg.state not in FAILED)
    ]
    back = _step(seller.amount, sum(n for n, _ in said), amount, whole)
    fee_too = seller.fee > 0 and not keep
    fee = _step(seller.fee, sum(n for n, too in said if too), amount, whole) if fee_too else 0
    if back <= fee:
        return party
    return replace(party, taken=back - fee, fee_too=fee_too)


def _whole(payment: Payment) -> int:
    """What there is of a payment: its captures, or before any the authorization."""
    return postings.received(payment) if payment.captured_peak else payment.authorized


def _paid(payment: Payment) -> Payment:
    """The payment with what its sellers were paid of it: their parts of what was captured."""
    found = parts_of(payment.sellers, _whole(payment), payment.authorized)
    return replace(payment, sellers=found)


def _step(of: int, before: int, more: int, whole: int) -> int:
    """What of a sum goes with `more` of the whole, where so much went `before`."""
    return share(of, min(before + more, whole), whole) - share(of, min(before, whole), whole)


def _legs(order: Order, payment: Payment) -> list[Leg]:
    return [leg for refund in order.refunds for leg in refund.legs if leg.payment == payment.id]


def _bearing(legs: Sequence[Leg]) -> dict[str, Party]:
    """What each seller bears of all these, by account."""
    found: dict[str, Party] = {}
    for one in (party for leg in legs for party in leg.parties):
        was = found.get(one.account) or Party(one.account, 0)
        amounts = was.amount + one.amount, was.part + one.part, was.fee + one.fee
        found[one.account] = Party(one.account, *amounts)
    return found


def _owed_to(legs: Sequence[Leg], account: str) -> int:
    """What we hold of a seller's money after all the legs of a payment; below zero: he owes us."""
    owed = 0
    for leg in legs:
        for party in leg.parties:
            if party.account != account:
                continue
            if leg.state not in FAILED:
                owed += party.taken - party.due
            elif leg.took:
                owed += party.taken
    return owed


def _own_left(payment: Payment, alive: Sequence[Leg]) -> int:
    own = _whole(payment) - sum(seller.amount for seller in payment.sellers)
    used = (leg.amount - sum(p.amount for p in leg.parties) for leg in alive if leg.parties)
    return max(0, own - sum(used))


def _wanted(order: Order, parts: Breakdown, payment: Payment, left: list[int]) -> list[int]:
    """By whose goods it is for, our own last; in proportion to what is left where no line and no
    delivery says whose it is."""
    lines = {line.id: line.seller for line in order.lines if line.seller}
    freight = {charge.id: charge.seller for charge in order.shipping if charge.seller}
    if not lines and not freight:
        return left
    by_seller: Counter[str] = Counter()
    for named, shares in ((lines, parts.lines), (freight, parts.shipping), ({}, parts.charges)):
        for one in shares:
            by_seller[named.get(one.id, "")] += max(0, one.gross)
    by_seller[""] += parts.unallocated + parts.compensation
    here = [seller.account for seller in payment.sellers]
    own = sum(n for account, n in by_seller.items() if account not in here)
    return [*(by_seller[account] for account in here), own]


def _allot(amount: int, wanted: Sequence[int], left: Sequence[int]) -> list[int]:
    """In proportion to what is `wanted` of each, at most what is `left`; the rest over what is left
    of the others, and what fits nowhere is the last one's: ours."""
    first = allocate(amount, wanted) if any(wanted) else (0,) * len(wanted)
    found = [min(part, rest) for part, rest in zip(first, left, strict=True)]
    room = [rest - part for part, rest in zip(found, left, strict=True)]
    over = amount - sum(found)
    if over and any(room):
        more = allocate(min(over, sum(room)), room)
        found = [part + extra for part, extra in zip(found, more, strict=True)]
    found[-1] += amount - sum(found)
    return found


def refused(leg: Leg) -> bool:
    """Whether the provider refused to take from sellers what the attempt that is out asks for."""
    return leg.untaken and any(party.taken for party in leg.parties)


def tell(work: Work, leg: Leg) -> None:
    """The customer is paid all the same, and a person sees to the seller."""
    taken = sum(party.taken for party in leg.parties)
    work.event("exception.raised", what="seller_owes", leg=leg.id, amount=taken)


def book(work: Work, leg_id: str) -> None:
    """A leg was paid: what sellers bear of it is owed by them, less what was taken with it."""
    refund, leg = work.leg(leg_id)
    parties = leg.parties or fixed(work, leg, unasked=True)
    leg = work.put_leg(leg_id, parties=_within(work, leg, parties))
    owed = _owed(work.order, leg)
    if any(party.amount for party in leg.parties):
        work.book(postings.seller_share(work.order, refund, leg, work.now, owed))
    if any(party.taken for party in leg.parties) and not leg.took:
        owed.update({receivable(party.account): party.due for party in leg.parties})
        work.book(postings.seller_taken(work.order, refund, leg, work.now, owed))
        work.put_leg(leg_id, took=True)


def _within(work: Work, leg: Leg, parties: Sequence[Party]) -> tuple[Party, ...]:
    """The parties of a leg that was paid, none with more than is left of his part: where what took
    its place was paid as well (edge 9), the rest is between us and the customer."""
    payment = _paid(work.payment(leg.payment))
    others = [g for g in _legs(work.order, payment) if g.paid_at and g.id != leg.id]
    borne_ = _bearing(others)
    found = []
    for party in parties:
        seller = next(s for s in payment.sellers if s.account == party.account)
        gone = borne_.get(party.account, Party(party.account, 0))
        amount = max(0, min(party.amount, seller.amount - gone.amount))
        part = max(0, min(party.part, seller.fee - gone.part)) if amount else 0
        fee = max(0, min(party.fee, seller.fee - gone.fee)) if amount else 0
        found.append(replace(party, amount=amount, part=part, fee=fee))
    return tuple(found)


def book_others(work: Work, leg_id: str) -> None:
    """A refund that others made was paid. What was taken with it only its provider knows, unless
    all of any refund is the one's who was paid, or an attempt of ours asked for it."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    split = work.ctx.splits.get(payment.connection)
    if not leg.parties and payment.sellers and split and split.way == "fee" and not payment.apart:
        asked = Asked(refund.breakdown, leg.amount, "keep")
        (payee,) = borne(work.order, [asked], payment, split, leg_id)
        payee = replace(payee, amount=leg.amount, taken=leg.amount)
        leg = work.put_leg(leg_id, parties=(payee,))
    if leg.parties:
        book(work, leg_id)


def asked_with(work: Work, payment_id: str, state: RefundState) -> tuple[Party, ...]:
    """What the attempt of a leg that a refund is marked with asked of sellers, as far as that is
    known: the leg may be of an order elsewhere."""
    legs = _legs(work.order, work.payment(payment_id))
    same = (leg for leg in legs if (leg.id, leg.amount) == (state.leg, state.amount))
    return next((leg.parties for leg in same), ())


def book_back(work: Work, leg_id: str) -> None:
    """It came back: they bear nothing. What was taken from them comes back as well, or stays with
    us and is owed to them, as the provider does it."""
    refund, leg = work.leg(leg_id)
    owed = _owed(work.order, leg)
    if any(party.amount for party in leg.parties):
        before = Counter(owed)
        before.update({receivable(party.account): party.due for party in leg.parties})
        work.book(postings.seller_share(work.order, refund, leg, work.now, before, back=True))
    split = work.ctx.splits.get(work.payment(leg.payment).connection)
    if leg.took and (split is None or split.returns):
        work.book(postings.seller_taken(work.order, refund, leg, work.now, owed, back=True))
        work.put_leg(leg_id, took=False)


def _owed(order: Order, leg: Leg) -> Counter[str]:
    """What each seller owes on the books, by account, but for his part of this leg's amount."""
    owed: Counter[str] = Counter()
    for other in (g for refund in order.refunds for g in refund.legs):
        for party in other.parties:
            paid = other.paid_at > 0 and other.id != leg.id
            owed[receivable(party.account)] += party.due * paid - party.taken * other.took
    return owed
