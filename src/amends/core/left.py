"""What is left: of each line and charge of an order, after every refund that counts.

A refund that was paid in part, or gives some of its claim up, keeps its parts in proportion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from amends.core.order import FAILED, Charge, Line, Order, Refund, Shipping, covered, room_of
from amends.core.period import credited_of
from amends.core.reasons import Reason, Refused
from amends.core.shares import Breakdown, Fee, LineShare, Lost, TaxShare
from amends.kernel.money import scale, share

_Of = TypeVar("_Of")


class Rest(msgspec.Struct):
    """What is left of one line or charge. Since an amount was last taken off it, it is `units` that
    come to `base`: what they are worth is reckoned from there, so that it does not matter in how
    many steps they come back. `credited` of it was given back as credit, and is not as money."""

    quantity: int
    net: int
    taxes: dict[str, int]
    base: int
    units: int
    credited: int = 0
    over: int = 0  # what `hold` took of the parts beyond what the worse case leaves in all

    @property
    def gross(self) -> int:
        """What can be given back of it; what is held back of each part may come to more than that
        leaves beside the credit."""
        return max(0, self._uncredited)

    @property
    def short(self) -> bool:
        rest = self._uncredited + self.over
        return min(self.quantity, self.net, rest, *self.taxes.values()) < 0

    @property
    def _uncredited(self) -> int:
        return self.net + sum(self.taxes.values()) - self.credited

    def take(self, share_: LineShare) -> None:
        self.quantity -= share_.quantity
        self.net -= share_.net
        for tax in share_.taxes:
            self.taxes[tax.name] = self.taxes.get(tax.name, 0) - tax.amount
        if not share_.quantity:
            self.base, self.units = self.gross, self.quantity

    def worth(self, quantity: int) -> int:
        """Gross, of so many of the units that are left."""
        gone, gross = self.units - self.quantity + quantity, self.gross
        kept = self.base - share(self.base, gone, self.units)
        return min(gross, max(0, gross - kept))

    def hold(self, one: Rest, other: Rest) -> None:
        """Less by what is left in the `one` case and not in the `other`."""
        rest = self._uncredited - max(0, one._uncredited - other._uncredited)
        self.quantity -= max(0, one.quantity - other.quantity)
        self.net -= max(0, one.net - other.net)
        for name in one.taxes:
            self.taxes[name] -= max(0, one.taxes[name] - other.taxes[name])
        self.over += rest - self._uncredited
        self.base, self.units = self.gross, self.quantity


class Left(NamedTuple):
    """What is left of an order's lines, shipping charges and other charges, each by id."""

    lines: dict[str, Rest]
    shipping: dict[str, Rest]
    charges: dict[str, Rest]


def named(known: Mapping[str, _Of], name: str, what: str, pointer: str) -> _Of:
    """The line or charge that a request names. Raises Refused where the order has none such."""
    if name not in known:
        detail = f"The order has no {what} {name!r}; its {what}s are {sorted(known)}."
        raise Refused(Reason.UNKNOWN_LINE, detail, line=name, pointer=pointer)
    return known[name]


def counts(refund: Refund) -> bool:
    """Whether a refund uses up components: it may still pay, has paid, or its claim stands."""
    if refund.stage == "declined" or refund.fallback_of:  # it pays what its original gives back
        return False
    return refund.claimed > 0 or any(
        leg.state not in ("failed", "canceled") for leg in refund.legs if not leg.replaced
    )


def waiting(order: Order) -> frozenset[str]:
    """Refunds that a person is to decide."""
    return frozenset(refund.id for refund in order.refunds if refund.stage == "review")


def frees(refund: Refund) -> tuple[str, ...]:
    """Refunds of which it is to take over what failed. Once it was approved that is done: they are
    as much less, and what fails of them since is still theirs."""
    return refund.takes_over if refund.stage == "review" else ()


def taken_over(order: Order) -> frozenset[str]:
    """Refunds whose standing claim one in review is to take over."""
    return frozenset(name for refund in order.refunds for name in frees(refund))


def left_over(order: Order, freed: Collection[str] = (), without: str = "") -> Left:
    """What is left of each line and charge after every refund that counts, all but `without`. Of
    those that are `freed` what failed is left. What a review is to take over is there for the
    review alone: what it does not need of that is owed still, should it be declined."""
    reviews = [r for r in order.refunds if frees(r) and r.id != without]
    free = {*freed, *(name for review in reviews for name in review.takes_over)}
    left = _after(order, free, {without})
    if reviews:
        approved = _after(order, free, {without})
        for review in reviews:
            declined = _after(order, free - {*review.takes_over}, {without, review.id})
            for parts, one, other in zip(left, approved, declined, strict=True):
                for name, part in parts.items():
                    part.hold(one[name], other[name])
    return left


def _after(order: Order, freed: Collection[str], without: Collection[str]) -> Left:
    left = Left(
        {line.id: _whole(line, line.quantity, _credited(line)) for line in order.lines},
        {charge.id: _whole(charge) for charge in order.shipping},
        {charge.id: _whole(charge) for charge in order.charges},
    )
    for _, parts in given(order, freed, without):
        take(left, parts)
    return left


def given(
    order: Order, freed: Collection[str], without: Collection[str] = ()
) -> Iterator[tuple[str, Breakdown]]:
    """Reason and parts of every refund that counts; of those that are `freed` what did not fail."""
    for refund in order.refunds:
        if counts(refund) and refund.id not in without:
            yield refund.reason, not_failed(refund) if refund.id in freed else refund.breakdown


def take(left: Left, parts: Breakdown) -> None:
    for items, shares in zip(left, (parts.lines, parts.shipping, parts.charges), strict=True):
        for part in shares:
            items[part.id].take(part)


def not_failed(refund: Refund) -> Breakdown:
    """The part of a refund that was paid or may still be: of what is claimed, where that is as
    much, so that parts and books round alike; but never more of a component than was its own."""
    legs = [leg for leg in refund.legs if not leg.replaced]
    alive = sum(leg.amount for leg in legs if leg.state not in FAILED)
    parts, claim = refund.breakdown, claimed_parts(refund)
    if refund.claimed >= alive and _components(claim) <= _components(parts):
        parts = claim
    return part_of(parts, alive)


def _components(parts: Breakdown) -> Counter[tuple[int, str, str]]:
    """What of each line and charge is given back, net ("") and each tax by its name."""
    found: Counter[tuple[int, str, str]] = Counter()
    for group, shares in enumerate((parts.lines, parts.shipping, parts.charges)):
        for part in shares:
            found[group, part.id, ""] += part.net
            for tax in part.taxes:
                found[group, part.id, tax.name] += tax.amount
    return found


def claimed_parts(refund: Refund) -> Breakdown:
    """What is claimed for a refund, as it is on the books."""
    if not refund.claimed:
        return Breakdown()
    return refund.claim_of or part_of(refund.breakdown, refund.claimed)


def still_owed(refund: Refund, only: str = "", but: Collection[str] = ()) -> int:
    """What failed of a refund and is owed all the same: an authorization never was. `but`: legs
    whose money a fallback gives."""
    failed = (g for g in refund.legs if g.state in FAILED and not g.replaced and g.id not in but)
    owed = (leg.amount for leg in failed if leg.kind != "void" and only in ("", leg.payment))
    return sum(owed) if refund.claimed else 0


def paid_by_fallback(order: Order, refund: Refund) -> bool:
    """Whether what failed of a refund, or a part of it, is another one's to pay."""
    return not covered(order).isdisjoint(leg.id for leg in refund.legs)


def unclaimed(order: Order, only: str, given: Collection[str]) -> int:
    """What can be given back without the money that failed refunds are still owed, but for those
    that are taken over."""
    payments = [p for p in order.payments if only in ("", p.id)]
    but = covered(order)
    owed = sum(still_owed(r, only, but) for r in order.refunds if r.id not in given)
    return sum(room_of(payment) for payment in payments) - owed


def _whole(item: Line | Shipping | Charge, quantity: int = 1, credit: int = 0) -> Rest:
    taxes: dict[str, int] = {}
    net = item.total
    for tax in item.taxes:
        taxes[tax.name] = taxes.get(tax.name, 0) + tax.amount
        net -= tax.amount
    return Rest(quantity, net, taxes, item.total - credit, quantity, credit)


def _credited(line: Line) -> int:
    """What of the money paid for it was given back as credit for time of its period."""
    return credited_of(line.period, line.total) if line.period is not None else 0


def shrunk(parts: Breakdown, amount: int) -> Breakdown:
    """The breakdown of a refund of which only `amount` was paid, in proportion. A line keeps its
    units only where its whole share was paid; else it was given back as an amount, and time it was
    for as time of which a part was paid."""
    made = list(parts.parts)
    held = list(parts.held)
    whole = [part.gross for part in made] + [-part.gross for part in held]
    *gross, unallocated, compensation = scale(
        amount, [*whole, parts.unallocated, parts.compensation]
    )
    less = [_less(part, left) for part, left in zip(made, gross, strict=False)]
    kept = [_kept(part, -left) for part, left in zip(held, gross[len(made) :], strict=True)]
    lines, shipping = len(parts.lines), len(parts.lines) + len(parts.shipping)
    return Breakdown(
        tuple(less[:lines]),
        tuple(less[lines:shipping]),
        unallocated,
        tuple(less[shipping:]),
        tuple(one for one in kept if isinstance(one, Fee) and one.gross),
        tuple(one for one in kept if isinstance(one, Lost)),
        compensation,
        tuple(replace(one, part=amount < parts.total) for one in parts.unused) if amount else (),
    )


def part_of(parts: Breakdown, amount: int) -> Breakdown:
    """So much of it: in proportion, and as it is where that is all."""
    return parts if amount == parts.total else shrunk(parts, amount)


def paid_for(parts: Breakdown, amount: int) -> tuple[LineShare, ...]:
    """The parts of a refund with what it gives back of a promotion (and of fees), less what is kept
    back of it, in proportion: they come to `amount`."""
    lines, shipping = list(parts.lines), list(parts.shipping)
    for lost in parts.lost:
        if lost.gross < 0 and not lost.waived:
            _add(lines if lost.on == "line" else shipping, lost)
    other = parts.unallocated + parts.compensation
    other -= sum(fee.gross for fee in parts.fees if fee.gross < 0)
    bare = Breakdown(tuple(lines), tuple(shipping), other, parts.charges)
    found = part_of(bare, amount)
    rest = (LineShare("other", 0, found.unallocated),) if found.unallocated else ()
    return tuple(part for part in (*found.parts, *rest) if part.gross)


def _add(shares: list[LineShare], lost: Lost) -> None:
    """What is given back for a line or shipping charge, to what is given back of it."""
    index = next((i for i, part in enumerate(shares) if part.id == lost.part), len(shares))
    was = shares[index] if index < len(shares) else LineShare(lost.part, 0, 0)
    taxes = {tax.name: tax.amount for tax in was.taxes}
    for tax in lost.taxes:
        taxes[tax.name] = taxes.get(tax.name, 0) - tax.amount
    named = tuple(TaxShare(name, amount) for name, amount in taxes.items() if amount)
    shares[index : index + 1] = [replace(was, net=was.net - lost.net, taxes=named)]


def _less(part: LineShare, gross: int) -> LineShare:
    if gross == part.gross:
        return part
    net, taxes = _scaled(part, gross)
    return LineShare(part.id, 0, net, taxes)


def _kept(part: Fee | Lost, gross: int) -> Fee | Lost:
    net, taxes = _scaled(part, gross)
    return replace(part, net=net, taxes=taxes)


def _scaled(part: LineShare | Fee | Lost, gross: int) -> tuple[int, tuple[TaxShare, ...]]:
    if gross == part.gross:
        return part.net, part.taxes
    sign = -1 if part.gross < 0 else 1
    values = [sign * part.net, *(sign * tax.amount for tax in part.taxes)]
    net, *taxes = (sign * value for value in scale(sign * gross, values))
    named = zip(part.taxes, taxes, strict=True)
    return net, tuple(TaxShare(t.name, amount) for t, amount in named if amount)
