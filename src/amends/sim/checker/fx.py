"""I5 and I7 where currencies differ: what left is booked at what the provider says it took off the
balance, and what that realised is computed anew from the provider's own record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from amends.sim.checker.spec import Violation
from amends.sim.checker.view import BY_HAND, Case, DisputeThere, Leg, Movement, Settled

Found = Iterator[Violation]

FX = "fx_gain_loss"


def figures_are_the_providers(case: Case) -> Found:
    """What a leg or a dispute was told of the balance is what the provider did to it; a refund that
    was exchanged and is paid has been told, unless it is still to be read."""
    for refund in case.order.refunds:
        for leg in refund.legs:
            movement = case.movement_of(leg)
            if leg.settled is not None and leg.settled.currency and movement is not None:
                said = (leg.settled.currency, leg.settled.amount, leg.settled.fee)
                if said != movement.figures:
                    what = f"{leg.id} was told {said}, the provider took {movement.figures}"
                    yield case.wrong("I5", what)
            if _must_be_told(case, leg, movement):
                yield case.wrong("I5", f"{leg.id} is paid and was told no figures of it")
    for dispute in case.order.disputes:
        there = _there(case, dispute.id)
        if there is None or not there.settled_currency or case.order.parked:
            continue
        if (there.id, there.status, there.withdrawn) not in case.told.disputes:
            continue  # the news of it is still to come
        told = dispute.settled or Settled()
        said = (told.currency, told.amount, told.fee)
        if said != (there.settled_currency, there.settled, there.settled_fee):
            yield case.wrong("I5", f"{dispute.id} was told {said}, the provider took another")


def _must_be_told(case: Case, leg: Leg, movement: Movement | None) -> bool:
    payment = next(p for p in case.order.payments if p.id == leg.payment)
    told = leg.settled is not None and bool(leg.settled.currency)
    if told or movement is None or leg.state != "succeeded" or case.order.parked:
        return False
    exchanged = movement.settled_currency not in ("", case.order.currency)
    due = case.to_be_read(payment) or payment.reread or bool(payment.busy)
    return exchanged and case.order.rate.converts and not due


def what_left_is_what_it_was_worth(case: Case) -> Found:
    """For each leg the account it was paid from holds, functional, what the provider took; nothing
    while it is not paid. What was given back came back to the cent."""
    for refund in case.order.refunds:
        for leg in (leg for leg in refund.legs if leg.kind != "void"):
            booked = _off(case, leg)
            if leg.state != "succeeded":
                if booked and _told(case, leg):
                    yield case.wrong("I5", f"{leg.id} is {leg.state}, {booked} of it has left")
            elif (value := _told(case, leg)) and booked != value:
                yield case.wrong("I5", f"{leg.id} took {value} there, the books say {booked}")


def _off(case: Case, leg: Leg) -> int:
    """What the entries of a leg took off the account it is paid from, functional."""
    mine = [e for e in case.entries if e.row["leg_id"] == leg.id]
    own = [e for e in mine if not e.row["kind"].startswith(("provider_fee", "seller_"))]
    lines = [line for entry in own for line in entry.lines]
    return -sum(ours for name, _, ours in lines if _paid_from(name))


def _paid_from(account: str) -> bool:
    return account.startswith("clearing:") or account in BY_HAND.values()


def valued(account: str) -> bool:
    """Whether what is on an account is booked at what it was worth, not at the order's rate."""
    return account == FX or _paid_from(account)


def _told(case: Case, leg: Leg) -> int:
    """What the provider took for it in the functional currency, 0 where it says nothing of that."""
    movement = case.movement_of(leg)
    told = leg.settled is not None and bool(leg.settled.currency)
    if movement is None or not told or not case.order.rate.converts:
        return 0
    return movement.settled if movement.settled_currency == case.order.rate.quote else 0


def realised_is_recomputed(case: Case) -> Found:
    """Gain and loss, summed over the order, come to what left less what was owed for it."""
    rate = case.order.rate
    booked = sum(ours for e in case.entries for name, _, ours in e.lines if name == FX)
    # Of a refund and what is its fallback all that was paid is rounded as one whole; of a payment
    # all that left an account and was not told.
    owed: Counter[str] = Counter()
    untold: Counter[tuple[str, str]] = Counter()
    expected = room = 0
    for refund in case.order.refunds:
        for leg in (g for g in refund.legs if g.kind != "void" and g.state == "succeeded"):
            owed[refund.fallback_of or refund.id] += leg.amount
            expected += _told(case, leg)
            if not _told(case, leg):
                untold[leg.payment, BY_HAND.get(leg.kind, "")] += leg.amount
    for dispute in case.order.disputes:
        told = dispute.settled
        expected -= rate.of(dispute.booked - dispute.beyond)
        if rate.converts and told is not None and told.currency == rate.quote:
            expected += told.amount
        else:
            untold[dispute.payment, ""] += dispute.booked
        room += abs(booked) if dispute.currency else 0
    expected += sum(map(rate.of, untold.values())) - sum(map(rate.of, owed.values()))
    if abs(booked - expected) > room:
        yield case.wrong("I5", f"{booked} is realised, what left comes to {expected} ({room})")


def fees_are_the_providers(case: Case) -> Found:
    """Fees stand on the books in the currency they were taken in, once, while what they were for
    stands; nothing else is on their account."""
    booked: Counter[str] = Counter()
    for entry in (e for e in case.entries if e.row["kind"] == "provider_fee"):
        booked[entry.row["currency"]] += entry.on("provider_fees")
    expected: Counter[str] = Counter()
    for refund in case.order.refunds:
        for leg in refund.legs:
            if leg.settled is not None and leg.state == "succeeded":
                expected[leg.settled.currency] += leg.settled.fee
    for dispute in case.order.disputes:
        if dispute.settled is not None:
            expected[dispute.settled.currency] += dispute.settled.fee
    if {c: n for c, n in booked.items() if n} != {c: n for c, n in expected.items() if n}:
        yield case.wrong("I5", f"fees told {dict(expected)}, the books say {dict(booked)}")


def _there(case: Case, name: str) -> DisputeThere | None:
    found = (d for each in case.disputes.values() for d in each if d.id == name)
    return next(found, None)
