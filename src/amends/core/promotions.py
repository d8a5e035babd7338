"""Promotions lost by a return: what the kept basket would have cost under the terms at purchase.

What a customer gets back for units is what was paid for them. If what is kept no longer meets the
condition of a promotion, the discount on it was not earned: it is kept back, on each line it is on.
How much that is follows from what is kept and from nothing else, and a refund keeps back (or gives
back) the step to it from what was kept back before. So partial returns come to the same in any
order as one return of it all, nothing is taken twice, and a whole return loses nothing.

Only what a customer sends back by choice breaks a condition; units we could not deliver count as
kept. An amount is in the terms of the shop's prices: net where these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from amends.core.order import Breakdown, Discount, Line, Lost, Order, Promotion, TaxShare
from amends.kernel.money import allocate, share

BY_CHOICE = ("return",)

Part = tuple[Literal["line", "shipping"], str]
Key = tuple[str, Part]  # by promotion


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
            chosen[part.id] -= part.quantity if reason in BY_CHOICE else 0
    return Basket(chosen, here)


def loss(order: Order, before: Sequence[Breakdown], kept: Basket, waive: bool, law: bool) -> Loss:
    """What is lost once `kept` is what is left, less what refunds `before` kept back. `waive`: none
    of it is wanted; `law`: the return is one the law grants, so that a person decides."""
    taken = _taken(before)
    given_up = {lost.promotion for parts in before for lost in parts.lost if lost.waived}
    touched = {promotion for (promotion, _), _ in taken}
    items: list[Lost] = []
    rules: set[str] = set()
    for promotion in order.promotions:
        if promotion.id not in touched and _holds(order, promotion, kept.chosen):
            continue
        parts = _discounts(order, promotion.id)
        whole = _lost_of(order, promotion, parts, kept)
        spared = waive or promotion.if_lost == "waive" or promotion.id in given_up
        found = _steps(order, promotion.id, parts, whole, taken, spared)
        items += found
        if any(step.net + step.tax > 0 for step in found):
            rules.add(_rule(promotion, waive and promotion.id not in given_up, law))
    if taken:
        items += _of_nothing(order, taken)
    return Loss(tuple(items), min((rule for rule in rules if rule), default=""))


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


def _discounts(order: Order, promotion: str) -> dict[Part, Discount]:
    """What a promotion took off, by line or shipping charge (as one discount each)."""
    found: dict[Part, Discount] = {}
    parts: list[tuple[Part, Discount]] = [
        (("line", line.id), part) for line in order.lines for part in line.discounts
    ]
    parts += [(("shipping", s.id), part) for s in order.shipping for part in s.discounts]
    for name, part in parts:
        if part.of == promotion:
            was = found.get(name, Discount(0))
            taxes = (*was.taxes, *part.taxes)
            found[name] = Discount(was.amount + part.amount, promotion, taxes)
    return found


def _lost_of(
    order: Order, promotion: Promotion, parts: Mapping[Part, Discount], kept: Basket
) -> dict[Part, int]:
    """How much of each discount is lost in all, in the shop's terms."""
    by_choice = {name: _on_kept(order, name, part, kept.chosen) for name, part in parts.items()}
    whole = sum(by_choice.values())
    lost = max(0, whole - _earned(order, promotion, kept.chosen, whole))
    if not lost:
        return dict.fromkeys(parts, 0)
    split = allocate(lost, list(by_choice.values()))
    return {
        name: _still_here(name, amount, kept) for name, amount in zip(by_choice, split, strict=True)
    }


def _still_here(name: Part, amount: int, kept: Basket) -> int:
    """Of what is lost on a part, what is on units that are kept."""
    if name[0] == "line":
        return share(amount, kept.here[name[1]], kept.chosen[name[1]]) if amount else 0
    return amount if any(kept.here.values()) else 0


def _on_kept(order: Order, name: Part, part: Discount, kept: Mapping[str, int]) -> int:
    """The part of a discount that is on what is kept; on shipping all of it, while anything is."""
    amount = part.amount - (sum(tax.amount for tax in part.taxes) if order.net_prices else 0)
    if name[0] == "shipping":
        return amount if any(kept.values()) else 0
    line = next(line for line in order.lines if line.id == name[1])
    return share(amount, kept[line.id], line.quantity)


def _holds(order: Order, promotion: Promotion, kept: Mapping[str, int]) -> bool:
    """Whether the kept basket meets the condition as it was sold."""
    return promotion.kind != "buy_get" and _value(order, promotion, kept) >= promotion.at_least


def _value(order: Order, promotion: Promotion, kept: Mapping[str, int]) -> int:
    """What the basket that counts costs without the promotion."""
    return sum(
        share(_price(order, line, promotion.id), kept[line.id], line.quantity)
        for line in order.lines
        if not promotion.lines or line.id in promotion.lines
    )


def _earned(order: Order, promotion: Promotion, kept: Mapping[str, int], whole: int) -> int:
    """What the kept basket would have been given, at most `whole` (what is on it)."""
    if promotion.kind == "buy_get":
        counting = [
            (_price(order, line, promotion.id), kept[line.id], line.quantity)
            for line in order.lines
            if not promotion.lines or line.id in promotion.lines
        ]
        return _for_free(promotion, [one for one in counting if one[1]])
    value = _value(order, promotion, kept)
    if value >= promotion.at_least:
        return whole
    reached = [
        share(value, tier.off_bp, 10_000) + tier.off
        for tier in promotion.tiers
        if value >= tier.at_least
    ]
    return max(reached, default=0)


def _price(order: Order, line: Line, promotion: str) -> int:
    """What all units of a line cost without this promotion, in the shop's terms."""
    gross = line.total + sum(d.amount for d in line.discounts if d.of == promotion)
    if not order.net_prices:
        return gross
    off = sum(t.amount for d in line.discounts if d.of == promotion for t in d.taxes)
    return gross - off - sum(tax.amount for tax in line.taxes)


def _for_free(promotion: Promotion, counting: list[tuple[int, int, int]]) -> int:
    """Of every `buy` + `get` kept units the cheapest `get`."""
    free = sum(n for _, n, _ in counting) // (promotion.buy + promotion.get) * promotion.get
    off = 0
    for price, units, quantity in sorted(counting, key=lambda one: one[0] * 10**9 // one[2]):
        number = min(free, units)
        off += share(share(price, number, quantity), promotion.off_bp, 10_000)
        free -= number
    return off


def _steps(
    order: Order,
    promotion: str,
    parts: Mapping[Part, Discount],
    whole: Mapping[Part, int],
    taken: Mapping[tuple[Key, bool], Lost],
    spared: bool,
) -> list[Lost]:
    """The step from what was kept back before to what is lost now, part by part."""
    found = []
    for name, discount in parts.items():
        key = promotion, name
        none = Lost(promotion, name[1], 0, on=name[0])
        before = taken.get((key, False), none)
        shown = taken.get((key, True), none)
        target = _itemised(order, promotion, name, discount, whole[name])
        if spared:  # what was kept back before is given back as units come back, and no more taken
            real = target if target.gross <= before.gross else before
            beside = _plus(_plus(target, real, -1), shown, -1)
            found.append(replace(beside, waived=True))
        else:
            real = target
        found.append(_plus(real, before, -1))
    return [lost for lost in found if lost.net or lost.taxes]


def _itemised(order: Order, promotion: str, name: Part, discount: Discount, lost: int) -> Lost:
    """So much of a discount (in the shop's terms) with the tax that was saved on it."""
    if not lost:
        return Lost(promotion, name[1], 0, on=name[0])
    tax = sum(tax.amount for tax in discount.taxes)
    names = [part.name for part in discount.taxes]
    if order.net_prices:
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


def _of_nothing(order: Order, taken: Mapping[tuple[Key, bool], Lost]) -> list[Lost]:
    """What was kept back for a discount that a newer version of the order has no more."""
    known = {p.id: _discounts(order, p.id) for p in order.promotions}
    return [
        _plus(Lost(promotion, name[1], 0, on=name[0]), lost, -1)
        for ((promotion, name), waived), lost in taken.items()
        if not waived and name not in known.get(promotion, {}) and (lost.net or lost.taxes)
    ]
