"""Promotions lost by a return: what the kept basket would have cost under the terms at purchase.

What a customer gets back for units is what was paid for them. If what is kept no longer meets the
condition of a promotion, the discount on it was not earned: it is kept back, on each line it is on.
How much that is follows from what is kept and from nothing else, and a refund keeps back (or gives
back) the step to it from what was kept back before. So partial returns come to the same in any
order as one return of it all, nothing is taken twice, and a whole return loses nothing.

Only what a customer sends back by choice breaks a condition; units we could not deliver count as
kept. What was sold as it was sold is earned, whatever the terms that were told come to. An amount
is in the terms of the shop's prices: net where these are.

While a refund waits for a person, nobody knows what will be kept (quote.py): whatever bears on the
same promotions waits as well, and is approved only as long as it keeps back what is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from amends.core.left import counts, frees, given, waiting
from amends.core.order import Discount, Line, Order, Promotion, Refund
from amends.core.reasons import Reason, Refused
from amends.core.shares import Breakdown, Lost, TaxShare
from amends.kernel.money import allocate, share

BY_CHOICE = ("return",)

Part = tuple[Literal["line", "shipping"], str]
Key = tuple[str, Part]  # by promotion


class Terms(NamedTuple):
    """A promotion as it was sold: `units` of each line, `counting` those that make the basket with
    what all their units cost without it, `parts` what it took off, and of which discount."""

    promotion: Promotion
    units: Mapping[str, int]
    counting: Mapping[str, int]
    parts: Mapping[Part, int]
    discounts: Mapping[Part, Discount]
    net: bool


class Basket(msgspec.Struct, frozen=True):
    """Units by line: `chosen` is what is left by the customer's choice, `here` what is kept."""

    chosen: Mapping[str, int]
    here: Mapping[str, int]


class Loss(msgspec.Struct, frozen=True):
    """What a refund keeps back, and `rule` why a person is to look at it, "" if none has to."""

    items: tuple[Lost, ...] = ()
    rule: str = ""


def basket(order: Order, given: Iterable[tuple[str, Breakdown]]) -> Basket:
    """What is kept after refunds, each a reason and its parts."""
    chosen = {line.id: line.quantity for line in order.lines}
    here = dict(chosen)
    for reason, parts in given:
        for part in parts.lines:
            here[part.id] -= part.quantity
            chosen[part.id] -= part.quantity if (part.reason or reason) in BY_CHOICE else 0
    return Basket(chosen, here)


def loss(order: Order, before: Sequence[Breakdown], kept: Basket, waive: bool, law: bool) -> Loss:
    """What is lost once `kept` is what is left, less what refunds `before` kept back. `waive`: none
    of it is wanted; `law`: the return is one the law grants, so that a person decides."""
    taken = _taken(before)
    given_up = {lost.promotion for parts in before for lost in parts.lost if lost.waived}
    items: list[Lost] = []
    rules: set[str] = set()
    sold = _sold(order)
    for terms in sold:
        promotion = terms.promotion
        spared = waive or promotion.if_lost == "waive" or promotion.id in given_up
        lost = _lost_of(terms, kept)
        found = _steps(terms, lost, taken, spared) if lost or taken else []
        items += found
        if any(step.net + step.tax > 0 for step in found):
            rules.add(_rule(promotion, waive and promotion.id not in given_up, law))
    items += _of_nothing(sold, taken)
    return Loss(tuple(items), min((rule for rule in rules if rule), default=""))


def bears(refund: Refund) -> bool:
    """Whether a refund bears on what is lost: units come back with it, or it took something."""
    parts = refund.breakdown
    own = not refund.fallback_of  # else it pays what another one gives back
    return own and (bool(parts.lost) or any(line.quantity for line in parts.lines))


def at_stake(order: Order) -> bool:
    """Whether units that come back, or do not, change what is kept back."""
    return any(promotion.if_lost != "waive" for promotion in order.promotions) or any(
        not lost.waived for refund in order.refunds for lost in refund.breakdown.lost
    )


def check_right(order: Order, refund: Refund) -> None:
    """A refund about to be paid keeps back what is right beside all that are decided: together they
    keep back what follows from what is kept. Raises Refused."""
    if not bears(refund):
        return
    others = given(order, frees(refund), waiting(order) | {refund.id})
    every = [*others, (refund.reason, refund.breakdown)]
    found = loss(order, [parts for _, parts in every], basket(order, every), False, False)
    free = {promotion.id for promotion in order.promotions if promotion.if_lost == "waive"}
    if all(lost.waived and lost.promotion in free for lost in found.items):
        return
    raise Refused(
        Reason.AMOUNT_CHANGED,
        "What it keeps back of a promotion is not right any more: what is kept, or the order, is "
        "not what it was. Decline it if it waits, and ask for it anew.",
    )


def check_not_given_back(order: Order, refund: Refund) -> None:
    """What a refund that was just canceled kept back was not given back by another. Raises
    Refused."""
    kept: Counter[tuple[str, str, str]] = Counter()
    for other in order.refunds:
        if counts(other) and other.stage != "review":
            for lost in (lost for lost in other.breakdown.lost if not lost.waived):
                kept[lost.promotion, lost.on, lost.part] += lost.gross
    for lost in refund.breakdown.lost:
        if lost.gross > 0 and kept[lost.promotion, lost.on, lost.part] < 0:
            raise Refused(
                Reason.AMOUNT_CHANGED,
                "A later refund gave back what this one keeps back of a promotion. Cancel that one "
                "first, or pay this one.",
            )


def _rule(promotion: Promotion, waive: bool, law: bool) -> str:
    """Which rule sends a loss to a person."""
    if promotion.if_lost == "waive":
        return ""
    if waive:
        return "promotion-waived"
    return "promotion-lost" if law or promotion.if_lost == "review" else ""


def _taken(before: Sequence[Breakdown]) -> dict[tuple[Key, bool], Lost]:
    """What was kept back, and (True) shown as waived, per promotion and part."""
    found: dict[tuple[Key, bool], Lost] = {}
    for lost in (lost for parts in before for lost in parts.lost):
        key = (lost.promotion, (lost.on, lost.part)), lost.waived
        found[key] = _plus(found[key], lost) if key in found else lost
    return found


def _plus(one: Lost, other: Lost, sign: int = 1) -> Lost:
    taxes = {tax.name: tax.amount for tax in one.taxes}
    for tax in other.taxes:
        taxes[tax.name] = taxes.get(tax.name, 0) + sign * tax.amount
    named = tuple(TaxShare(name, amount) for name, amount in taxes.items() if amount)
    net = one.net + sign * other.net
    return replace(one, net=net, taxes=named)


def _sold(order: Order) -> list[Terms]:
    """Every promotion with what it took off, in the shop's terms, and what counts for it."""
    discounts: dict[str, dict[Part, Discount]] = {p.id: {} for p in order.promotions}
    for line in order.lines:
        _collect(discounts, ("line", line.id), line.discounts)
    for charge in order.shipping:
        _collect(discounts, ("shipping", charge.id), charge.discounts)
    units = {line.id: line.quantity for line in order.lines}
    terms = []
    for promotion in order.promotions:
        found = discounts[promotion.id]
        parts = {name: _off(order, part) for name, part in found.items()}
        counting = _counting(order, promotion, parts)
        terms.append(Terms(promotion, units, counting, parts, found, order.net_prices))
    return terms


def _collect(
    by_promotion: dict[str, dict[Part, Discount]], name: Part, discounts: Iterable[Discount]
) -> None:
    """The discounts of a part, by promotion; more than one of a promotion are as one."""
    for one in discounts:
        found = by_promotion.get(one.of)
        if found is not None:
            was = found.get(name)
            found[name] = one if was is None else _as_one(was, one)


def _as_one(one: Discount, other: Discount) -> Discount:
    return Discount(one.amount + other.amount, one.of, (*one.taxes, *other.taxes))


def _off(order: Order, part: Discount) -> int:
    return part.amount - (sum(tax.amount for tax in part.taxes) if order.net_prices else 0)


def _counting(order: Order, promotion: Promotion, parts: Mapping[Part, int]) -> dict[str, int]:
    """What all units of each line that counts cost without the promotion, in the shop's terms."""
    lines: Iterable[Line] = order.lines
    if promotion.lines:
        named = frozenset(promotion.lines)
        lines = (line for line in order.lines if line.id in named)
    prices = {}
    for line in lines:
        price = line.total - (sum(t.amount for t in line.taxes) if order.net_prices else 0)
        prices[line.id] = price + parts.get(("line", line.id), 0)
    return prices


def _lost_of(terms: Terms, kept: Basket) -> dict[Part, int]:
    """How much of each discount is lost in all, in the shop's terms; nothing where it is earned."""
    earned = _earned(terms, kept.chosen)
    if earned is None:
        return {}
    by_choice = {name: _on_kept(terms, name, off, kept.chosen) for name, off in terms.parts.items()}
    lost = sum(by_choice.values()) - earned
    if lost <= 0:
        return {}
    split = allocate(lost, list(by_choice.values()))
    return {
        name: _still_here(name, amount, kept) for name, amount in zip(by_choice, split, strict=True)
    }


def _still_here(name: Part, amount: int, kept: Basket) -> int:
    """Of what is lost on a part, what is on units that are kept."""
    if name[0] == "line":
        return share(amount, kept.here[name[1]], kept.chosen[name[1]]) if amount else 0
    return amount if any(kept.here.values()) else 0


def _on_kept(terms: Terms, name: Part, off: int, kept: Mapping[str, int]) -> int:
    """The part of a discount that is on what is kept; on shipping all of it, while anything is."""
    if name[0] == "shipping":
        return off if any(kept.values()) else 0
    return share(off, kept[name[1]], terms.units[name[1]])


def _value(terms: Terms, kept: Mapping[str, int]) -> int:
    """What the basket that counts costs without the promotion."""
    units = terms.units
    return sum([share(price, kept[name], units[name]) for name, price in terms.counting.items()])


def _earned(terms: Terms, kept: Mapping[str, int]) -> int | None:
    """What the kept basket would have been given, None: all that is on it. What the shop gave
    beyond the terms it told (it rounds otherwise, or makes a dearer unit free) stays given, and a
    basket that was sold below its threshold has what it was sold with as its threshold."""
    promotion = terms.promotion
    if promotion.kind == "buy_get":
        beyond = max(0, sum(terms.parts.values()) - _for_free(terms, terms.units))
        return _for_free(terms, kept) + beyond
    value = _value(terms, kept)
    if value >= promotion.at_least or value >= sum(terms.counting.values()):
        return None
    reached = [
        share(value, tier.off_bp, 10_000) + tier.off
        for tier in promotion.tiers
        if value >= tier.at_least
    ]
    return max(reached, default=0)


def _for_free(terms: Terms, kept: Mapping[str, int]) -> int:
    """Of every `buy` + `get` kept units the cheapest `get`."""
    promotion = terms.promotion
    counting = [
        (price, kept[name], terms.units[name])
        for name, price in terms.counting.items()
        if kept[name]
    ]
    free = sum(n for _, n, _ in counting) // (promotion.buy + promotion.get) * promotion.get
    off = 0
    for price, units, quantity in sorted(counting, key=lambda one: one[0] * 10**9 // one[2]):
        number = min(free, units)
        off += share(share(price, number, quantity), promotion.off_bp, 10_000)
        free -= number
    return off


def _steps(
    terms: Terms,
    whole: Mapping[Part, int],
    taken: Mapping[tuple[Key, bool], Lost],
    spared: bool,
) -> list[Lost]:
    """The step from what was kept back before to what is lost now, part by part."""
    found = []
    promotion = terms.promotion.id
    for name in terms.parts:
        key = promotion, name
        none = Lost(promotion, name[1], 0, on=name[0])
        before = taken.get((key, False), none)
        shown = taken.get((key, True), none)
        target = _itemised(terms, name, whole.get(name, 0))
        if spared:  # what was kept back before is given back as units come back, and no more taken
            real = target if target.gross <= before.gross else before
            beside = _plus(_plus(target, real, -1), shown, -1)
            found.append(replace(beside, waived=True))
        else:
            real = target
        found.append(_plus(real, before, -1))
    return [lost for lost in found if lost.net or lost.taxes]


def _itemised(terms: Terms, name: Part, lost: int) -> Lost:
    """So much of a discount (in the shop's terms) with the tax that was saved on it."""
    promotion, discount = terms.promotion.id, terms.discounts[name]
    if not lost:
        return Lost(promotion, name[1], 0, on=name[0])
    tax = sum(tax.amount for tax in discount.taxes)
    names = [part.name for part in discount.taxes]
    if terms.net:
        net = discount.amount - tax
        taxes = [share(part.amount, lost, net) for part in discount.taxes]
        amounts = [lost, *taxes]
    else:
        weights = [discount.amount - tax, *(part.amount for part in discount.taxes)]
        amounts = list(allocate(lost, weights))
    named: dict[str, int] = {}
    for tax_name, amount in zip(names, amounts[1:], strict=True):
        named[tax_name] = named.get(tax_name, 0) + amount
    shares = tuple(TaxShare(tax_name, amount) for tax_name, amount in named.items() if amount)
    return Lost(promotion, name[1], amounts[0], shares, on=name[0])


def _of_nothing(sold: Iterable[Terms], taken: Mapping[tuple[Key, bool], Lost]) -> list[Lost]:
    """What was kept back for a discount that a newer version of the order has no more."""
    known = {terms.promotion.id: terms.parts for terms in sold}
    return [
        _plus(Lost(promotion, name[1], 0, on=name[0]), lost, -1)
        for ((promotion, name), waived), lost in taken.items()
        if not waived and name not in known.get(promotion, {}) and (lost.net or lost.taxes)
    ]
