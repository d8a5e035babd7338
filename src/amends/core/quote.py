"""How much: the exact amount of a refund, itemised, and the payments it goes back to.

Rules (invariant I6): every component (net and each stored tax of a line or shipping charge) gives
back at most what it was, over any sequence of partial refunds, and the last one takes the exact
residue. Units of a line share what is left of it; an ad-hoc amount is spread over what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from amends.core.captures import capture_rooms, spread
from amends.core.order import (
    FAILED,
    Breakdown,
    LegKind,
    Line,
    LineShare,
    Order,
    Payment,
    Refund,
    Shipping,
    TaxShare,
    room_of,
)
from amends.core.reasons import Reason, Refused
from amends.core.requests import LinePick, RefundIn
from amends.kernel.canon import digest
from amends.kernel.money import allocate, share


class Portion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one payment gives: kind "void" of an authorization, "refund" of captured money, where
    it must be said of which capture; "manual" for what its provider cannot pay, and `why`."""

    payment: str
    kind: LegKind
    amount: int
    capture: str = ""
    why: str = ""


class Quote(msgspec.Struct, frozen=True):
    """A computed amount; `hash` binds order, amount, breakdown, payments and what was left."""

    order: str
    amount: int
    currency: str
    breakdown: Breakdown
    portions: tuple[Portion, ...]
    hash: str


class _Left(msgspec.Struct):
    """What is left of one line or shipping charge."""

    quantity: int
    net: int
    taxes: dict[str, int]

    @property
    def gross(self) -> int:
        return self.net + sum(self.taxes.values())

    @property
    def short(self) -> bool:
        return min(self.quantity, self.net, *self.taxes.values()) < 0

    def take(self, share_: LineShare) -> None:
        self.quantity -= share_.quantity
        self.net -= share_.net
        for tax in share_.taxes:
            self.taxes[tax.name] = self.taxes.get(tax.name, 0) - tax.amount

    def hold(self, one: _Left, other: _Left) -> None:
        """Less by what is left in the `one` case and not in the `other`."""
        self.quantity -= max(0, one.quantity - other.quantity)
        self.net -= max(0, one.net - other.net)
        for name in one.taxes:
            self.taxes[name] -= max(0, one.taxes[name] - other.taxes[name])


def compute(
    order: Order,
    request: RefundIn,
    only: str = "",
    freed: Collection[str] = (),
    multiple_of: Mapping[str, int] | None = None,
    by_capture: frozenset[str] = frozenset(),
) -> Quote:
    """The quote for a request. `only`: a payment id to stay within; `freed`: refunds whose standing
    claim it takes over; `by_capture`: payments whose refunds are each of one capture.
    Raises Refused (unknown line, exceeds …, nothing left)."""
    lines, shipping = left_over(order, freed)
    room = [(p, room_of(p)) for p in order.payments if only in ("", p.id)]
    money = sum(amount for _, amount in room)
    if request.amount is not None:
        breakdown = _spread(request.amount, lines, shipping)
    elif request.lines or request.shipping != "none":
        breakdown = Breakdown(
            lines=_pick_lines(request.lines, lines),
            shipping=_pick_shipping(request.shipping, shipping),
        )
    else:
        breakdown = _everything(money, lines, shipping)
    return _bind(order, breakdown, money, room, multiple_of or {}, by_capture)


def adopted(order: Order, amount: int, refund: str = "") -> Breakdown:
    """How an amount others gave back, adopted as `refund`, is allocated: over what all the others
    leave; the rest stays unallocated."""
    return _spread(amount, *left_over(order, without=refund))


def fits(order: Order, refund: Refund) -> bool:
    """Whether what a refund gives back is still there, the refund itself left out."""
    lines, shipping = left_over(order, refund.takes_over, refund.id)
    for parts, left in ((refund.breakdown.lines, lines), (refund.breakdown.shipping, shipping)):
        for part in parts:
            left[part.id].take(part)
    return not any(left.short for left in (*lines.values(), *shipping.values()))


def refit(order: Order, refund: Refund) -> Breakdown:
    """The breakdown of a refund that pays after all: as it was, or over what others left of it."""
    if fits(order, refund):
        return refund.breakdown
    return _spread(refund.amount, *left_over(order, refund.takes_over, refund.id))


def shrunk(parts: Breakdown, amount: int) -> Breakdown:
    """The breakdown of a refund of which only `amount` was paid, in proportion. A line keeps its
    units only where its whole share was paid; else it was given back as an amount."""
    shares = [*parts.lines, *parts.shipping]
    *gross, unallocated = allocate(amount, [*(part.gross for part in shares), parts.unallocated])
    made = tuple(_less(part, left) for part, left in zip(shares, gross, strict=True))
    return Breakdown(made[: len(parts.lines)], made[len(parts.lines) :], unallocated)


def _less(part: LineShare, gross: int) -> LineShare:
    if gross == part.gross:
        return part
    net, *taxes = allocate(gross, [part.net, *(tax.amount for tax in part.taxes)])
    named = zip(part.taxes, taxes, strict=True)
    return LineShare(part.id, 0, net, tuple(TaxShare(t.name, amount) for t, amount in named))


def counts(refund: Refund) -> bool:
    """Whether a refund uses up components: it may still pay, has paid, or its claim stands."""
    if refund.stage == "declined":
        return False
    return refund.claimed > 0 or any(
        leg.state not in ("failed", "canceled") for leg in refund.legs if not leg.replaced
    )


def taken_over(order: Order) -> frozenset[str]:
    """Refunds whose standing claim one in review is to take over."""
    return frozenset(
        name for refund in order.refunds if refund.stage == "review" for name in refund.takes_over
    )


def left_over(
    order: Order, freed: Collection[str] = (), without: str = ""
) -> tuple[dict[str, _Left], dict[str, _Left]]:
    """What is left of each line and shipping charge after every refund that counts, all but
    `without`. Of those that are `freed` what failed is left. What a review is to take over is there
    for the review alone: what it does not need of that is owed still, should it be declined."""
    reviews = [r for r in order.refunds if r.takes_over and r.stage == "review" and r.id != without]
    given = {*freed, *(name for review in reviews for name in review.takes_over)}
    left = _after(order, given, {without})
    if reviews:
        approved = _after(order, given, {without})
        for review in reviews:
            declined = _after(order, given - {*review.takes_over}, {without, review.id})
            for parts, one, other in zip(left, approved, declined, strict=True):
                for name, part in parts.items():
                    part.hold(one[name], other[name])
    return left


def _after(
    order: Order, freed: set[str], without: set[str]
) -> tuple[dict[str, _Left], dict[str, _Left]]:
    lines = {line.id: _whole(line, line.quantity) for line in order.lines}
    shipping = {charge.id: _whole(charge, 1) for charge in order.shipping}
    for refund in order.refunds:
        if not counts(refund) or refund.id in without:
            continue
        parts = _not_failed(refund) if refund.id in freed else refund.breakdown
        for part in parts.lines:
            lines[part.id].take(part)
        for part in parts.shipping:
            shipping[part.id].take(part)
    return lines, shipping


def _not_failed(refund: Refund) -> Breakdown:
    """The part of a refund that was paid or may still be."""
    legs = [leg for leg in refund.legs if not leg.replaced]
    alive = sum(leg.amount for leg in legs if leg.state not in FAILED)
    return shrunk(refund.breakdown, alive) if alive < refund.amount else refund.breakdown


def still_owed(refund: Refund, only: str = "") -> int:
    """What failed of a refund and is owed all the same: an authorization never was."""
    failed = (leg for leg in refund.legs if leg.state in FAILED and not leg.replaced)
    owed = (leg.amount for leg in failed if leg.kind != "void" and only in ("", leg.payment))
    return sum(owed) if refund.claimed else 0


def unclaimed(order: Order, only: str, given: Collection[str]) -> int:
    """What can be given back without the money that failed refunds are still owed, but for those
    that are taken over."""
    payments = [p for p in order.payments if only in ("", p.id)]
    owed = sum(still_owed(r, only) for r in order.refunds if r.id not in given)
    return sum(room_of(payment) for payment in payments) - owed


def _whole(item: Line | Shipping, quantity: int) -> _Left:
    taxes: dict[str, int] = {}
    for tax in item.taxes:
        taxes[tax.name] = taxes.get(tax.name, 0) + tax.amount
    return _Left(quantity, item.total - sum(taxes.values()), taxes)


def _part(item_id: str, quantity: int, gross: int, left: _Left) -> LineShare:
    """`gross` of what is left, split over net and taxes in proportion to what is left of each."""
    names = list(left.taxes)
    weights = [left.net, *left.taxes.values()]
    parts = allocate(gross, weights) if gross else (0,) * len(weights)
    taxes = tuple(
        TaxShare(name, amount) for name, amount in zip(names, parts[1:], strict=True) if amount
    )
    return LineShare(item_id, quantity, parts[0], taxes)


def _pick_lines(picks: Sequence[LinePick], lines: dict[str, _Left]) -> tuple[LineShare, ...]:
    shares = []
    for index, pick in enumerate(picks):
        left = lines.get(pick.id)
        if left is None:
            raise Refused(
                Reason.UNKNOWN_LINE,
                f"The order has no line {pick.id!r}; its lines are {sorted(lines)}.",
                line=pick.id,
                pointer=f"/lines/{index}/id",
            )
        if pick.quantity > left.quantity:
            raise Refused(
                Reason.EXCEEDS_QUANTITY,
                f"Line {pick.id!r} has {left.quantity} units left, {pick.quantity} were asked.",
                line=pick.id,
                remaining_quantity=left.quantity,
            )
        part = _part(pick.id, pick.quantity, share(left.gross, pick.quantity, left.quantity), left)
        left.take(part)  # the same line may be named twice
        shares.append(part)
    return tuple(shares)


def _pick_shipping(wanted: str | int, shipping: dict[str, _Left]) -> tuple[LineShare, ...]:
    if wanted == "none":
        return ()
    left = sum(charge.gross for charge in shipping.values())
    amount = left if wanted == "full" else int(wanted)
    if amount > left:
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            f"{left} of the shipping is left, {amount} was asked.",
            remaining=left,
            component="shipping",
        )
    return _spread_over(amount, shipping)


def _spread_over(amount: int, items: dict[str, _Left]) -> tuple[LineShare, ...]:
    weights = [max(0, item.gross) for item in items.values()]
    if not amount or not any(weights):
        return ()
    parts = zip(items, allocate(amount, weights), strict=True)
    return tuple(_part(name, 0, gross, items[name]) for name, gross in parts if gross)


def _spread(amount: int, lines: dict[str, _Left], shipping: dict[str, _Left]) -> Breakdown:
    """An amount without lines: in proportion to what is left of everything; what no component can
    explain stays unallocated."""
    goods = sum(item.gross for item in lines.values())
    freight = sum(item.gross for item in shipping.values())
    explained = min(amount, goods + freight)
    if not explained:
        return Breakdown(unallocated=amount)
    for_goods, for_freight = allocate(explained, [goods, freight])
    return Breakdown(
        lines=_spread_over(for_goods, lines),
        shipping=_spread_over(for_freight, shipping),
        unallocated=amount - explained,
    )


def _everything(money: int, lines: dict[str, _Left], shipping: dict[str, _Left]) -> Breakdown:
    """All that is left: whole lines with their units where the money covers them exactly."""
    whole = sum(item.gross for item in (*lines.values(), *shipping.values()))
    if money < whole:
        return _spread(money, lines, shipping)
    return Breakdown(
        lines=tuple(
            _part(name, item.quantity, item.gross, item)
            for name, item in lines.items()
            if item.quantity or item.gross
        ),
        shipping=_spread_over(sum(item.gross for item in shipping.values()), shipping),
        unallocated=money - whole,
    )


def _bind(
    order: Order,
    breakdown: Breakdown,
    money: int,
    room: Sequence[tuple[Payment, int]],
    multiple_of: Mapping[str, int],
    by_capture: frozenset[str],
) -> Quote:
    amount = breakdown.total
    if not amount:
        raise Refused(Reason.NOTHING_LEFT, remaining=money)
    if amount > money:
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            f"{money} {order.currency} (minor units) is left, {amount} was asked.",
            remaining=money,
        )
    whole = _portions(amount, room)
    portions = tuple(p for one in whole for p in _by_capture(order, one, by_capture))
    _check_payable(order, portions, multiple_of)
    # What is left, and what of it nobody is owed, is in it: a quote is committed once (the same
    # parts may be there twice) and gives no claim up that was not there when it was made.
    free = unclaimed(order, "", ())
    plan = digest([order.id, amount, order.currency, breakdown, portions, money, free])
    return Quote(order.id, amount, order.currency, breakdown, portions, plan)


def _portions(amount: int, room: Iterable[tuple[Payment, int]]) -> Iterable[Portion]:
    for payment, available in room:
        part = min(amount, available)
        if part:
            yield Portion(payment.id, "refund" if payment.captured_peak else "void", part)
            amount -= part


def _by_capture(order: Order, whole: Portion, by_capture: frozenset[str]) -> Iterable[Portion]:
    """A portion of a payment with several captures, one for each capture it is taken from."""
    payment = order.payment(whole.payment)
    if whole.kind != "refund" or whole.payment not in by_capture or len(payment.captures) < 2:
        yield whole
        return
    parts = spread(whole.amount, capture_rooms(order, payment))
    placed = sum(amount for _, amount in parts)
    if placed < whole.amount:
        raise Refused(Reason.CAPTURE_UNKNOWN, remaining=placed)
    for name, amount in parts:
        yield Portion(whole.payment, whole.kind, amount, name)


def _check_payable(
    order: Order, portions: Sequence[Portion], multiple_of: Mapping[str, int]
) -> None:
    for portion in portions:
        step = multiple_of.get(portion.payment, 1)
        if portion.amount % step:
            raise Refused(
                Reason.AMOUNT_NOT_PAYABLE,
                f"The provider pays {order.currency} only in multiples of {step} minor units.",
                multiple_of=step,
                amount=portion.amount,
            )
