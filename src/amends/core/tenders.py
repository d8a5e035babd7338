"""Which of the ways an order was paid gives back how much: by a rule, or as somebody named them.

Each tender gives back at most what is left of it, so that over any sequence none gives more than it
paid and the last refund takes the exact residue; none is ever paid out through another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amends.core.captures import in_turn
from amends.core.order import Order, Payment, room_of
from amends.core.reasons import Reason, Refused
from amends.core.requests import Allocation, RefundIn, TenderPick
from amends.kernel.money import allocate

Room = Sequence[tuple[Payment, int]]


def is_mixed(order: Order) -> bool:
    """Whether anything but money at providers paid for it."""
    return not all(payment.is_money for payment in order.payments)


def portioned(
    order: Order,
    request: RefundIn,
    otherwise: Allocation,
    amount: int,
    room: Room,
    steps: Mapping[str, int],
) -> list[tuple[Payment, int]]:
    """What of an amount, for which there is room, each tender gives: as the request says, else by
    `otherwise`. `steps`: what a payment's amounts must be multiples of. A withdrawal by law goes
    back in the proportion in which it was paid, unless the customer agreed to another. Raises
    Refused where a tender is named that is none, or for more than it has."""
    said = request.tenders
    if isinstance(said, tuple):
        return _named(order, said, amount, room)
    how = otherwise if said == "policy" else said
    if request.statutory and not request.consent and is_mixed(order):
        how = "proportional"
    if how == "proportional":
        return _in_proportion(amount, room, steps)
    if how == "last_in_first_out":
        return in_turn(amount, room[::-1])
    return in_turn(amount, sorted(room, key=lambda one: not one[0].is_money))


def _in_proportion(amount: int, room: Room, steps: Mapping[str, int]) -> list[tuple[Payment, int]]:
    """By what each has left. What a provider's steps leave over goes where there is room for it."""
    if len(room) < 2:
        return in_turn(amount, room)
    shares = [
        part - part % steps.get(payment.id, 1)
        for (payment, _), part in zip(
            room, allocate(amount, [left for _, left in room]), strict=True
        )
    ]
    rest = amount - sum(shares)
    by_step = sorted(range(len(room)), key=lambda i: -steps.get(room[i][0].id, 1))
    for i in by_step:
        payment, left = room[i]
        more = min(rest, left - shares[i])
        more -= more % steps.get(payment.id, 1)
        shares[i] += more
        rest -= more
    if rest:  # no way of paying it: one after the other says so best
        return in_turn(amount, room)
    return [(payment, part) for (payment, _), part in zip(room, shares, strict=True) if part]


def _named(
    order: Order, picks: Sequence[TenderPick], amount: int, room: Room
) -> list[tuple[Payment, int]]:
    left = {payment.id: available for payment, available in room}
    wanted: dict[str, int] = {}
    for index, pick in enumerate(picks):
        found = next((p for p in order.payments if pick.id in (p.id, p.psp_payment_id)), None)
        if found is None or found.id not in left:
            names = sorted(payment.id for payment, _ in room)
            raise Refused(
                Reason.UNKNOWN_PAYMENT,
                f"No tender {pick.id!r} can give this back; there are {', '.join(names)}.",
                pointer=f"/tenders/{index}/id",
            )
        wanted[found.id] = wanted.get(found.id, 0) + pick.amount
    if any(part > left[name] for name, part in wanted.items()):
        raise exceeds_tender(order)
    if sum(wanted.values()) != amount:
        raise Refused(
            Reason.VALIDATION,
            f"The tenders come to {sum(wanted.values())}, what is given back to {amount}.",
            pointer="/tenders",
        )
    return [(p, wanted[p.id]) for p, _ in room if p.id in wanted]


def exceeds_tender(order: Order) -> Refused:
    """That a tender has not so much left, and how much each has."""
    tenders = [
        {"id": p.id, "kind": p.kind, "name": p.psp_payment_id or None, "remaining": room_of(p)}
        for p in order.payments
    ]
    return Refused(Reason.EXCEEDS_TENDER, remaining=order.remaining, tenders=tenders)
