"""Whether an order adds up: its discounts, taxes, totals and tenders, as the shop tells them.

Nothing is put right here. What does not add up is refused, with the component that is off, what was
stated, what its parts come to, and the difference: money would be refunded by these figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from amends.core.left import named
from amends.core.reasons import Reason, Refused
from amends.core.requests import ChargeIn, LineIn, OrderIn, PromotionIn, ShippingIn

Item = LineIn | ShippingIn | ChargeIn


def items(report: OrderIn) -> Iterator[tuple[str, Item]]:
    """Every line, shipping charge and other charge, each with its JSON pointer."""
    groups: tuple[tuple[str, Sequence[Item]], ...] = (
        ("lines", report.lines),
        ("shipping", report.shipping),
        ("charges", report.charges),
    )
    for name, group in groups:
        for index, item in enumerate(group):
            yield f"/{name}/{index}", item


def taxes_of(item: Item) -> int:
    """All taxes of one item."""
    return sum(tax.amount for tax in item.taxes)


def check_sums(report: OrderIn) -> None:
    """Raises Refused where a stated sum is not what its parts come to."""
    for pointer, item in items(report):
        if report.prices_include_tax and taxes_of(item) > item.total:
            raise Refused(
                Reason.TAXES_OFF,
                f"The taxes come to {taxes_of(item)}, the total that contains them is "
                f"{item.total}: {taxes_of(item) - item.total} too much.",
                **_off(f"{pointer}/taxes", item.total, taxes_of(item)),
            )
        if not isinstance(item, ChargeIn):
            _check_discounts(item, pointer, report.prices_include_tax)
    _check_order_discounts(report)
    _check_promotions(report)
    if report.totals is not None:
        _check_totals(report)


def _off(pointer: str, stated: int, computed: int) -> dict[str, str | int]:
    return {
        "pointer": pointer,
        "stated": stated,
        "computed": computed,
        "off_by": computed - stated,
    }


def _same(reason: Reason, what: str, pointer: str, stated: int | None, computed: int) -> None:
    if stated is not None and stated != computed:
        raise Refused(
            reason,
            f"{what} are stated as {stated}, their parts come to {computed}: "
            f"off by {computed - stated}.",
            **_off(pointer, stated, computed),
        )


def _check_discounts(item: LineIn | ShippingIn, pointer: str, included: bool) -> None:
    off = sum(discount.amount for discount in item.discounts)
    name = f"The discounts of {item.id!r}"
    if isinstance(item, LineIn):
        if item.discount and item.discounts:
            _same(Reason.DISCOUNTS_OFF, name, f"{pointer}/discount", item.discount, off)
        off = off or item.discount
    if item.subtotal is not None:
        stated = item.subtotal - item.total
        _same(Reason.DISCOUNTS_OFF, name, f"{pointer}/subtotal", stated, off)
    for index, discount in enumerate(item.discounts):
        inside = sum(tax.amount for tax in discount.taxes)
        if included and inside > discount.amount:
            raise Refused(
                Reason.TAXES_OFF,
                f"The taxes of a discount come to {inside}, the discount is {discount.amount}.",
                **_off(f"{pointer}/discounts/{index}/taxes", discount.amount, inside),
            )


def _check_order_discounts(report: OrderIn) -> None:
    """What is apportioned to lines and shipping is the whole of each discount on the order."""
    apportioned: Counter[str] = Counter()
    known = {discount.id for discount in report.discounts} | {p.id for p in report.promotions}
    if len(known) < len(report.discounts) + len(report.promotions):
        raise Refused(
            Reason.VALIDATION,
            "Two discounts or promotions have the same id.",
            pointer="/discounts",
        )
    for pointer, item in items(report):
        parts = () if isinstance(item, ChargeIn) else item.discounts
        for index, part in enumerate(parts):
            if part.of and part.of not in known:
                raise Refused(
                    Reason.VALIDATION,
                    f"No discount or promotion of the order has the id {part.of!r}.",
                    pointer=f"{pointer}/discounts/{index}/of",
                )
            apportioned[part.of] += part.amount
    for index, discount in enumerate(report.discounts):
        _same(
            Reason.DISCOUNTS_OFF,
            f"The parts of discount {discount.id!r}",
            f"/discounts/{index}/amount",
            discount.amount,
            apportioned[discount.id],
        )


def _check_promotions(report: OrderIn) -> None:
    lines = {line.id: line for line in report.lines}
    for index, promotion in enumerate(report.promotions):
        for name in promotion.lines:
            named(lines, name, "line", f"/promotions/{index}/lines")
        if trouble := _incomplete(promotion):
            raise Refused(Reason.VALIDATION, trouble, pointer=f"/promotions/{index}")


def _incomplete(promotion: PromotionIn) -> str:
    if promotion.kind == "buy_get":
        missing = not promotion.buy or not promotion.get
        return "A promotion of kind buy_get says how many to `buy` and `get`." if missing else ""
    if not promotion.at_least:
        return f"A promotion of kind {promotion.kind} says what basket it needs: `at_least`."
    return ""


def _check_totals(report: OrderIn) -> None:
    totals = report.totals
    if totals is None:
        return
    found = [item for _, item in items(report)]
    taxes = sum(taxes_of(item) for item in found)
    discounts = sum(part.amount for line in report.lines for part in line.discounts)
    discounts += sum(part.amount for charge in report.shipping for part in charge.discounts)
    discounts += sum(x.discount for x in report.lines if not x.discounts)
    whole = sum(item.total for item in found) + (0 if report.prices_include_tax else taxes)
    same: tuple[tuple[Reason, str, int | None, int], ...] = (
        (Reason.TOTAL_OFF, "lines", totals.lines, sum(x.total for x in report.lines)),
        (Reason.TOTAL_OFF, "shipping", totals.shipping, sum(x.total for x in report.shipping)),
        (Reason.TOTAL_OFF, "charges", totals.charges, sum(x.total for x in report.charges)),
        (Reason.DISCOUNTS_OFF, "discounts", totals.discounts, discounts),
        (Reason.TAXES_OFF, "taxes", totals.taxes, taxes),
        (Reason.TOTAL_OFF, "total", totals.total, whole),
    )
    for reason, name, stated, computed in same:
        _same(reason, f"The {name} of the order", f"/totals/{name}", stated, computed)
    paid = sum(tender.amount for tender in report.tenders)
    _same(Reason.TENDERS_OFF, "The tenders (in /totals/total)", "/tenders", totals.total, paid)
