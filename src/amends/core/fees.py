"""Fees kept back of a refund: by the request, else by policy; never more than what is given back.

In a withdrawal that the law grants there is none for restocking or handling (edge 26): the customer
bears the cost of sending the goods back at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec.structs import replace

from amends.core.amounts import NO_ROW, Amounts, RowAmounts
from amends.core.left import given, waiting
from amends.core.order import Order
from amends.core.reasons import Reason, Refused
from amends.core.requests import FeeIn, FeeKind, RefundIn
from amends.core.shares import Breakdown, Fee, TaxShare
from amends.kernel.money import allocate, share

BY_LAW = ("return_label",)  # all that may be kept back in a statutory withdrawal


def kept_back(
    request: RefundIn, amounts: Amounts, currency: str, parts: Breakdown
) -> tuple[Fee, ...]:
    """The fees of a refund of these parts. Raises Refused."""
    asked = by_policy(request, amounts, currency, parts) if request.fees is None else request.fees
    asked = (*asked, *by_row(request, amounts.row, currency, parts, asked))
    for index, fee in enumerate(request.fees or ()):
        _check(fee, request.statutory, f"/fees/{index}")
    fees = tuple(_fee(fee, parts) for fee in asked if fee.amount)
    kept = sum(fee.gross for fee in fees)
    if kept and kept >= (whole := parts.total):
        raise Refused(
            Reason.FEE_EXCEEDS_REFUND,
            f"The fees come to {kept}, what is given back to {whole}: nothing would be paid. "
            "Ask with lower fees, or with none: `fees: []`.",
            fees=kept,
            refund=whole,
        )
    return fees


def standing(order: Order, freed: Collection[str]) -> list[Fee]:
    """What others keep back and give back: of what waits for a person only what it gives back."""
    every = [fee for _, one in given(order, freed) for fee in one.fees]
    decided = [fee for _, one in given(order, freed, waiting(order)) for fee in one.fees]
    return [fee for fee in every if fee.gross < 0] + [fee for fee in decided if fee.gross > 0]


def kept(fees: Iterable[Fee]) -> Counter[tuple[FeeKind, str]]:
    """How much of each kind is kept back: net (""), and of each tax by its name."""
    sums: Counter[tuple[FeeKind, str]] = Counter()
    for fee in fees:
        sums[fee.kind, ""] += fee.net
        for tax in fee.taxes:
            sums[fee.kind, tax.name] += tax.amount
    return sums


def given_back(parts: Breakdown, before: Sequence[Fee]) -> Breakdown:
    """What an amount gives back beyond all components is of the fees that were kept back `before`,
    each with its tax, as far as they go. More may have been given back of one than was kept: where
    a provider refused the refund that kept it, the others make up for that."""
    every = kept(before)
    back = min(parts.unallocated, every.total())
    if back <= 0:
        return parts
    left = +every
    split = dict(zip(left, allocate(back, list(left.values())), strict=True))
    fees = []
    for kind in dict.fromkeys(kind for kind, _ in left):
        taxes = tuple(TaxShare(n, -a) for (k, n), a in split.items() if k == kind and n and a)
        fee = Fee(kind, -split.get((kind, ""), 0), taxes)
        fees += [fee] if fee.gross else []
    return replace(parts, unallocated=parts.unallocated - back, fees=tuple(fees))


def by_policy(
    request: RefundIn, amounts: Amounts, currency: str, parts: Breakdown
) -> Sequence[FeeIn]:
    """What the policy keeps back where a customer sends units back by choice."""
    units = any(line.quantity for line in parts.lines)
    if request.reason != "return" or not units or not request.lines:
        return ()
    found = [FeeIn("return_label", fee) for code, fee in amounts.return_label if code == currency]
    if not request.statutory:
        goods = sum(line.gross for line in parts.lines)
        found += [FeeIn("handling", fee) for code, fee in amounts.handling if code == currency]
        found.append(FeeIn("restocking", share(goods, amounts.restocking_bp, 10_000)))
    return found


def by_row(
    request: RefundIn, row: RowAmounts, currency: str, parts: Breakdown, asked: Iterable[FeeIn]
) -> Iterator[FeeIn]:
    """What the policy's row keeps back besides; nothing of what the law grants."""
    if request.statutory or row == NO_ROW:
        return
    goods = sum(line.gross for line in parts.lines)
    kept_ = [FeeIn("restocking", share(goods, row.restocking_bp, 10_000))]
    kept_ += [FeeIn("handling", fee) for code, fee in row.fee if code == currency]
    yield from (fee for fee in kept_ if fee.amount)
    rest = parts.total - sum(fee.amount for fee in (*asked, *kept_))
    less = share(rest, 10_000 - row.partial_bp, 10_000) if rest > 0 else 0
    if less:
        yield FeeIn("reduction", less)


def _check(fee: FeeIn, statutory: bool, pointer: str) -> None:
    if statutory and fee.kind not in BY_LAW:
        raise Refused(
            Reason.FEE_NOT_ALLOWED,
            f"A {fee.kind.replace('_', ' ')} fee cannot be kept back in a withdrawal that the law "
            "grants; only the cost of sending the goods back can (return_label).",
            kind=fee.kind,
            pointer=pointer,
        )
    if sum(tax.amount for tax in fee.taxes or ()) > fee.amount:
        raise Refused(
            Reason.VALIDATION,
            "The taxes of the fee are more than the fee that contains them.",
            pointer=f"{pointer}/taxes",
        )


def _fee(fee: FeeIn, parts: Breakdown) -> Fee:
    if fee.taxes is not None:
        named = tuple(TaxShare(tax.name, tax.amount) for tax in fee.taxes if tax.amount)
        return Fee(fee.kind, fee.amount - sum(tax.amount for tax in named), named)
    weights: dict[str, int] = {"": parts.unallocated + parts.compensation}
    for part in parts.parts:
        weights[""] += part.net
        for tax in part.taxes:
            weights[tax.name] = weights.get(tax.name, 0) + tax.amount
    if not any(weights.values()):
        return Fee(fee.kind, fee.amount)
    net, *taxes = allocate(fee.amount, list(weights.values()))
    names = list(weights)[1:]
    shares = zip(names, taxes, strict=True)
    return Fee(fee.kind, net, tuple(TaxShare(name, amount) for name, amount in shares if amount))
