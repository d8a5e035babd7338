"""How much: the exact amount of a refund, itemised, and the payments it goes back to.

Rules (invariant I6): every component (net and each stored tax of a line or shipping charge) gives
back at most what it was, over any sequence of partial refunds, and the last one takes the exact
residue. Units of a line share what is left of it; an ad-hoc amount is spread over what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from amends.core.amounts import PLAIN, Amounts
from amends.core.captures import capture_rooms, spread
from amends.core.facts import Basis
from amends.core.fees import given_back, kept_back, standing
from amends.core.left import (
    Left,
    Rest,
    counts,
    frees,
    given,
    left_over,
    named,
    take,
    taken_over,
    unclaimed,
)
from amends.core.order import LegKind, Order, Payment, Refund, room_of
from amends.core.parties import Party
from amends.core.promotions import at_stake, basket, bears, loss
from amends.core.reasons import Reason, Refused
from amends.core.requests import ChargePick, LineAmount, LinePick, RefundIn
from amends.core.shares import Breakdown, LineShare, TaxShare
from amends.core.tenders import exceeds_tender, is_mixed, portioned
from amends.core.unused import leans_on, needs_time
from amends.core.unused import pick as unused_time
from amends.kernel.canon import digest
from amends.kernel.check import invariant
from amends.kernel.money import allocate, share

DEPENDS = "depends-on-review"  # the rule of what was reckoned with a refund that is not decided


class Portion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one payment gives: kind "void" of an authorization, "refund" of captured money, where
    it must be said of which capture; "credit" of a gift card or store credit; "manual" for what its
    provider cannot pay, and `why`. `parties`: what sellers bear of it."""

    payment: str
    kind: LegKind
    amount: int
    capture: str = ""
    why: str = ""
    parties: tuple[Party, ...] = ()


class Quote(msgspec.Struct, frozen=True):
    """A computed amount; `hash` binds order, amount, breakdown, payments and what was left. `rule`
    is the one by which a person must look at it, whoever asks; `builds_on` the refunds in review it
    was reckoned with, as if they were approved."""

    order: str
    amount: int
    currency: str
    breakdown: Breakdown
    portions: tuple[Portion, ...]
    hash: str
    rule: str = ""
    builds_on: tuple[str, ...] = ()


def compute(
    order: Order,
    request: RefundIn,
    only: str = "",
    freed: Collection[str] = (),
    multiple_of: Mapping[str, int] | None = None,
    by_capture: frozenset[str] = frozenset(),
    amounts: Amounts = PLAIN,
) -> Quote:
    """The quote for a request. `only`: a payment id to stay within; `freed`: refunds whose standing
    claim it takes over; `by_capture`: payments whose refunds are each of one capture; `amounts`:
    what the policy says of how much. Raises Refused (unknown line, exceeds …, nothing left)."""
    needs_time(order, request)
    left = left_over(order, freed)
    before = list(given(order, freed))
    spare = 0  # what it leaves, where all that is left is asked
    room = [(p, room_of(p)) for p in order.payments if only in ("", p.id)]
    money = sum(amount for _, amount in room)
    if request.goodwill == "compensation":
        parts = Breakdown(compensation=request.amount or 0)
    elif request.amount is not None:
        parts = _spread(request.amount, _open(order, request, left), left)
        parts = given_back(parts, standing(order, freed))
        _check_not_credited(order, parts, money, left)
    elif request.by_parts:
        parts = _by_parts(order, request, [one for _, one in before], left)
    else:
        free = _free(order, before, left, money)
        parts = _everything(free, before, _open(order, request, left), left)
        spare = free - parts.total
    returned = any(line.quantity for line in parts.lines)
    rule = ""
    if returned or spare > 0:
        parts, rule = _less_lost(order, request, freed, parts)
    parts = replace(parts, fees=parts.fees or kept_back(request, amounts, order.currency, parts))
    amount = parts.total
    _check_minimum(order, request, amounts, amount, money)
    _check_there(order, parts, amount, money)
    waits = _builds_on(order, request, left, returned)
    rule = rule or (DEPENDS if waits else "")
    steps = multiple_of or {}
    shares = portioned(order, request, amounts.allocation, amount, room, steps)
    made = _bind(order, parts, amount, shares, steps, by_capture)
    return replace(made, rule=rule, builds_on=waits)


def _by_parts(
    order: Order, request: RefundIn, before: Sequence[Breakdown], left: Left
) -> Breakdown:
    lines = _pick_lines(request.lines, left.lines)
    lines += _adjust(request.adjustments, left.lines)
    times = []
    for name, amount, unused in unused_time(order, request, before, left.lines):
        part = _part(name, 0, amount, left.lines[name])
        left.lines[name].take(part)
        lines += (part,) if amount else ()
        times.append(unused)
    return Breakdown(
        lines=lines,
        unused=tuple(times),
        shipping=_pick_shipping(order, request, left),
        charges=_pick_charges(order, request, left),
    )


def _less_lost(
    order: Order, request: RefundIn, freed: Collection[str], parts: Breakdown
) -> tuple[Breakdown, str]:
    """The parts, less what the return loses of promotions if all that waits is approved, and the
    rule by which a person must look at it. Raises Refused where nothing would be left."""
    before = list(given(order, {*freed, *taken_over(order)}))
    if not order.promotions and not any(one.lost for _, one in before):
        return parts, ""
    kept = basket(order, (*before, (request.reason, parts)))
    held = [one for _, one in before]
    found = loss(order, held, kept, request.promotions == "waive", request.statutory)
    if not found.items:
        return parts, found.rule
    worth = parts.total
    parts = replace(parts, lost=found.items)
    if parts.total < min(worth, 1):  # below zero, or nothing of what is worth something
        raise Refused(
            Reason.PROMOTION_EXCEEDS_REFUND,
            f"The return gives back {worth} and loses {worth - parts.total} of a promotion.",
            refund=worth,
            lost=worth - parts.total,
        )
    return parts, found.rule


def _builds_on(order: Order, request: RefundIn, left: Left, returned: bool) -> tuple[str, ...]:
    """The refunds in review on whose goods it depends what this one is to give back: of promotions,
    of shipping in proportion to the goods, or because with them the sale is undone as a whole; or
    on the credit they give back for time."""
    waiting = [refund for refund in order.refunds if refund.stage == "review"]
    if not waiting:
        return ()
    whole = request.by_parts and (request.statutory or request.reason in UNDONE)
    depends = request.shipping == "proportional" or (whole and not _kept_any(left))
    goods = depends or (returned and at_stake(order))
    return tuple(r.id for r in waiting if (goods and bears(r)) or leans_on(request, r))


# Whose amount may be too small to be worth a payment; for any other reason it is owed.
BY_WISH = ("return", "goodwill", "price_adjustment", "subscription")


def _check_minimum(
    order: Order, request: RefundIn, amounts: Amounts, amount: int, money: int
) -> None:
    """Too little is not sent, unless it is all there is, or is owed in any case. The policy may
    hold it until there is more, or give credit where the customer takes that."""
    minimum = least(order, amounts)
    if not 0 < amount < minimum or not by_wish(request):
        return
    if amount >= rest_of(order, request, money):
        return
    if amounts.below_minimum == "hold" or (amounts.below_minimum == "credit" and request.consent):
        return
    credit = " As store credit it is given with the customer's `consent`."
    raise Refused(
        Reason.BELOW_MINIMUM,
        f"{amount} {order.currency} (minor units) was asked; the least refunded is {minimum}."
        + (credit if amounts.below_minimum == "credit" else ""),
        amount=amount,
        minimum=minimum,
    )


def rest_of(order: Order, request: RefundIn, money: int) -> int:
    """All that such a request could still give back of `money` without naming anything: not what
    was kept as a fee or given back as credit, nor charges that are not refundable."""
    left = left_over(order)
    free = _free(order, list(given(order, ())), left, money)
    stays = _worth(left.charges) - _worth(_open(order, request, left).charges)
    return max(0, free - stays)


def by_wish(request: RefundIn) -> bool:
    """Whether it may be too small to be paid by itself; what we owe in any case never is."""
    return request.reason in BY_WISH and not request.statutory


def least(order: Order, amounts: Amounts) -> int:
    """The least that is refunded of an order, 0 if any amount is."""
    return next((value for code, value in amounts.minimum if code == order.currency), 0)


def basis_of(order: Order, policy: str) -> Basis:
    """What a quote of this order is made on."""
    made = sum(1 for refund in order.refunds if counts(refund))
    return Basis(order.version, made, order.remaining, len(order.disputes), policy)


_WORDS = {
    "version": "the shop reported version {now} (was {was})",
    "refunds": "{now} refunds count (were {was})",
    "remaining": "{now} is left (was {was})",
    "disputes": "there are {now} disputes (were {was})",
    "policy": "another policy is in force",
}


def changed(was: Basis | None, now: Basis) -> tuple[list[str], str]:
    """What changed since a quote was made: the names of the fields, and a sentence."""
    names = [n for n in _WORDS if was is not None and getattr(was, n) != getattr(now, n)]
    told = [_WORDS[n].format(was=getattr(was, n), now=getattr(now, n)) for n in names]
    what = (
        "; ".join(told) or "what is left of it, or what the policy keeps back, is not what it was"
    )
    return names, f"The order changed since the quote was made: {what}. Ask for a new one."


def adopted(order: Order, amount: int, refund: str = "") -> Breakdown:
    """How an amount others gave back, adopted as `refund`, is allocated: over what all the others
    leave; the rest stays unallocated."""
    left = left_over(order, without=refund)
    return _spread(amount, left, left)


def adopted_as(
    order: Order, amount: int, told: Sequence[tuple[str, int, int]], refund: str
) -> Breakdown:
    """The same where the shop says what it is for: (id, units, gross or -1) of lines, shipping and
    charges, as far as that is there; what they do not explain stays unallocated."""
    left = left_over(order, without=refund)
    found: tuple[list[LineShare], ...] = ([], [], [])
    for name, units, said in told:
        for items, shares in zip(left, found, strict=True):
            if (rest := items.get(name)) is None:
                continue
            quantity = max(0, min(units, rest.quantity))
            gross = said if said >= 0 else rest.worth(quantity) if quantity else rest.gross
            part = _part(name, quantity, max(0, min(gross, rest.gross, amount)), rest)
            rest.take(part)
            amount -= part.gross
            shares.append(part)
    lines, shipping, charges = map(tuple, found)
    return Breakdown(lines, shipping, charges=charges, unallocated=amount)


def fits(order: Order, refund: Refund) -> bool:
    """Whether what a refund gives back is still there, the refund itself left out. A fallback pays
    for what its original gives back."""
    if refund.fallback_of:
        return True
    left = left_over(order, frees(refund), refund.id)
    take(left, refund.breakdown)
    return not any(item.short for items in left for item in items.values())


def refit(order: Order, refund: Refund) -> Breakdown:
    """The breakdown of a refund that pays after all: as it was, or over what others left of it.
    What a review was to take over of it is not the review's."""
    others = tuple(other for other in order.refunds if refund.id not in frees(other))
    order = replace(order, refunds=others)
    if fits(order, refund):
        return refund.breakdown
    left = left_over(order, frees(refund), refund.id)
    return _spread(refund.amount, left, left)


def _part(item_id: str, quantity: int, gross: int, left: Rest) -> LineShare:
    """`gross` of what is left, split over net and taxes in proportion to what is left of each."""
    names = list(left.taxes)
    weights = [left.net, *left.taxes.values()]
    parts = allocate(gross, weights) if gross else (0,) * len(weights)
    taxes = [TaxShare(name, part) for name, part in zip(names, parts[1:], strict=True) if part]
    return LineShare(item_id, quantity, parts[0], tuple(taxes))


def _pick_lines(picks: Sequence[LinePick], lines: dict[str, Rest]) -> tuple[LineShare, ...]:
    shares = []
    for index, pick in enumerate(picks):
        left = named(lines, pick.id, "line", f"/lines/{index}/id")
        if pick.quantity > left.quantity:
            raise Refused(
                Reason.EXCEEDS_QUANTITY,
                f"Line {pick.id!r} has {left.quantity} units left, {pick.quantity} were asked.",
                line=pick.id,
                remaining_quantity=left.quantity,
            )
        part = _part(pick.id, pick.quantity, left.worth(pick.quantity), left)
        left.take(part)  # the same line may be named twice
        shares.append(part)
    return tuple(shares)


def _adjust(wanted: Sequence[LineAmount], lines: dict[str, Rest]) -> tuple[LineShare, ...]:
    """Amounts off the price of lines whose units stay."""
    shares = []
    for index, one in enumerate(wanted):
        left = named(lines, one.id, "line", f"/adjustments/{index}/id")
        _check_left(one.amount, left.gross, f"line {one.id!r}", line=one.id)
        part = _part(one.id, 0, one.amount, left)
        left.take(part)
        shares.append(part)
    return tuple(shares)


def _check_left(amount: int, left: int, what: str, **extra: str) -> None:
    if amount > left:
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            f"{left} of the {what} is left, {amount} was asked.",
            remaining=left,
            **extra,
        )


def _pick_shipping(order: Order, request: RefundIn, left: Left) -> tuple[LineShare, ...]:
    """By words, in proportion to the goods, or an amount; after a whole withdrawal by law no less
    of each than standard delivery. What was given back before counts: it is never given twice."""
    shipping, wanted = left.shipping, request.shipping
    whole = _worth(shipping)
    owed = _shipping_owed(order, left) if request.statutory and request.lines else {}
    if wanted == "proportional":  # all of it with the last unit: no less than what is owed
        found = _in_proportion(order, left).items()
        return tuple(_part(name, 0, amount, shipping[name]) for name, amount in found if amount)
    amount = wanted if isinstance(wanted, int) else whole if wanted == "full" else 0
    _check_left(amount, whole, "shipping", component="shipping")
    if not owed:
        return _spread_over(amount, shipping)
    beyond = [charge.gross - owed[name] for name, charge in shipping.items()]
    more = max(0, amount - sum(owed.values()))
    split = allocate(more, beyond) if more else (0,) * len(beyond)
    each = ((name, owed[name] + extra) for name, extra in zip(shipping, split, strict=True))
    return tuple(_part(name, 0, amount, shipping[name]) for name, amount in each if amount)


def _shipping_owed(order: Order, left: Left) -> dict[str, int]:
    """Of each charge: standard delivery goes back with the whole of the goods (edge 26)."""
    if _kept_any(left):
        return {}
    owed = {}
    for charge in order.shipping:
        standard = charge.total if charge.standard is None else charge.standard
        owed[charge.id] = max(0, standard - (charge.total - left.shipping[charge.id].gross))
    return owed


def _kept_any(left: Left) -> bool:
    """Whether a unit stays with the customer."""
    return any(item.quantity for item in left.lines.values())


def _in_proportion(order: Order, left: Left) -> dict[str, int]:
    """Of each shipping charge the part that all goods given back are of the goods, less what of it
    was given back before."""
    goods = sum([line.total for line in order.lines]) - _credit(left)
    gone = goods - _worth(left.lines)
    found = {}
    for charge in order.shipping:
        rest = left.shipping[charge.id].gross
        due = share(charge.total, gone, goods) if goods else charge.total
        found[charge.id] = min(rest, max(0, due - (charge.total - rest)))
    return found


def _pick_charges(order: Order, request: RefundIn, left: Left) -> tuple[LineShare, ...]:
    if request.charges == "none":
        return ()
    charges = left.charges
    can = _refundable(order, request, left)
    if request.charges == "full":
        picks: Sequence[ChargePick] = [ChargePick(name) for name in charges if name in can]
    else:
        picks = request.charges
    shares = []
    for index, pick in enumerate(picks):
        rest = named(charges, pick.id, "charge", f"/charges/{index}/id")
        if pick.id not in can:
            raise Refused(Reason.CHARGE_NOT_REFUNDABLE, charge=pick.id)
        amount = rest.gross if pick.amount is None else pick.amount
        _check_left(amount, rest.gross, f"charge {pick.id!r}", component="charges")
        part = _part(pick.id, 0, amount, rest)
        rest.take(part)
        shares.append(part)
    return tuple(part for part in shares if part.gross)


# A sale that is undone as a whole gives back also what was sold as not refundable.
UNDONE = ("cancelled", "duplicate", "fraud")


def _refundable(order: Order, request: RefundIn, left: Left) -> frozenset[str]:
    """Charges that can be given back: all of them where nothing of the sale is left."""
    undone = request.reason in UNDONE or request.statutory
    undone = undone and (request.wants_all or not _kept_any(left))
    return frozenset(charge.id for charge in order.charges if charge.refundable or undone)


def _open(order: Order, request: RefundIn, left: Left) -> Left:
    """What of it can be given back without being named."""
    if not order.charges:
        return left
    can = _refundable(order, request, left)
    charges = {name: item for name, item in left.charges.items() if name in can}
    return left._replace(charges=charges)


def _spread_over(amount: int, items: dict[str, Rest]) -> tuple[LineShare, ...]:
    if not amount:
        return ()
    weights = [item.gross for item in items.values()]
    parts = zip(items, allocate(amount, weights), strict=True)
    return tuple(_part(name, 0, gross, items[name]) for name, gross in parts if gross)


def _spread(amount: int, first: Left, left: Left) -> Breakdown:
    """An amount without lines: in proportion to what is left of all in `first`, then of the rest;
    what no component can explain stays unallocated."""
    sums = [_worth(items) for items in first]
    explained = min(amount, sum(sums))
    lines, shipping, charges = allocate(explained, sums) if explained else (0, 0, 0)
    rest = {name: item for name, item in left.charges.items() if name not in first.charges}
    more = min(amount - explained, _worth(rest))
    return Breakdown(
        lines=_spread_over(lines, first.lines),
        shipping=_spread_over(shipping, first.shipping),
        unallocated=amount - explained - more,
        charges=(*_spread_over(charges, first.charges), *_spread_over(more, rest)),
    )


def _worth(items: dict[str, Rest]) -> int:
    return sum([item.gross for item in items.values()])


def _credit(left: Left) -> int:
    """What of the money for the lines was given back as credit for time."""
    return sum([item.credited for item in left.lines.values()])


def _free(order: Order, before: Sequence[tuple[str, Breakdown]], left: Left, money: int) -> int:
    """What of the money neither was kept as a fee nor is the price of time that was credited."""
    fees = sum(fee.gross for _, one in before for fee in one.fees)
    return min(money, max(0, order.remaining - fees - _credit(left)))


def _check_not_credited(order: Order, parts: Breakdown, money: int, left: Left) -> None:
    """Of an amount nothing is for time that a credit was granted for (edge 23). Raises Refused."""
    credit = _credit(left)
    rest = max(0, money - credit)
    if credit and parts.unallocated and parts.total > rest:
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            f"{rest} {order.currency} (minor units) is left, {parts.total} was asked: {credit} was "
            "given back as credit for time.",
            remaining=rest,
        )


def _everything(
    free: int, before: Sequence[tuple[str, Breakdown]], first: Left, left: Left
) -> Breakdown:
    """All that is left: whole lines with their units where the money (less what was kept back as
    fees) covers them exactly. What was lost of promotions comes back with the goods."""
    lost = sum(one.gross for _, parts in before for one in parts.lost if not one.waived)
    whole = sum(_worth(items) for items in first)
    stays = _worth(left.charges) - _worth(first.charges)
    if free < whole + lost:
        return _spread(free, first, first)
    return Breakdown(
        lines=tuple(
            _part(name, item.quantity, item.gross, item)
            for name, item in first.lines.items()
            if item.quantity or item.gross
        ),
        shipping=_spread_over(_worth(first.shipping), first.shipping),
        unallocated=max(0, free - whole - lost - stays),
        charges=_spread_over(_worth(first.charges), first.charges),
    )


def _bind(
    order: Order,
    breakdown: Breakdown,
    amount: int,
    shares: Sequence[tuple[Payment, int]],
    multiple_of: Mapping[str, int],
    by_capture: frozenset[str],
) -> Quote:
    whole = (Portion(payment.id, _kind(payment), part) for payment, part in shares)
    portions = tuple(p for one in whole for p in _by_capture(order, one, by_capture))
    invariant(sum(p.amount for p in portions) == amount, f"tenders of {order.id} are not {amount}")
    _check_payable(order, portions, multiple_of)
    # What is left that nobody is owed is in it: a quote is committed once (the same parts may be
    # there twice) and gives no claim up that was not there when it was made.
    free = unclaimed(order, "", ())
    plan = digest([order.id, amount, order.currency, breakdown, portions, free])
    return Quote(order.id, amount, order.currency, breakdown, portions, plan)


def _check_there(order: Order, parts: Breakdown, amount: int, money: int) -> None:
    """`money` is what the tenders that may give it have left."""
    invariant(amount >= 0, f"a refund of {order.id} came to {amount}")
    if not amount and money and any(line.quantity for line in parts.lines):
        raise Refused(Reason.WORTH_NOTHING, remaining=money)
    if not amount:
        raise Refused(Reason.NOTHING_LEFT, remaining=money)
    if amount > money and amount <= order.remaining and is_mixed(order):
        raise exceeds_tender(order)
    if amount > money:
        raise Refused(
            Reason.EXCEEDS_REMAINING,
            f"{money} {order.currency} (minor units) is left, {amount} was asked.",
            remaining=money,
        )


def _kind(payment: Payment) -> LegKind:
    if not payment.is_money:
        return "credit"
    return "refund" if payment.captured_peak else "void"


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
