"""Sellers of a marketplace (I5, I6): what each bears, what was taken of him, and what he owes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from amends.sim.checker.spec import Violation
from amends.sim.checker.view import GONE, Case, Leg, Payment, Seller

Found = Iterator[Violation]


def sellers_bear_their_parts(case: Case) -> Found:
    """Of all that went or may go back no seller bears more than what he was paid with what was
    captured, nor gets more of the platform's fee back than he paid; and what they bear of a leg is
    not more than the leg."""
    for payment in case.order.payments:
        amounts: Counter[str] = Counter()
        fees: Counter[str] = Counter()
        for leg in (leg for leg in case.order.legs if leg.payment == payment.id):
            borne = sum(party.amount for party in leg.parties)
            if borne > leg.amount:
                yield case.wrong("I6", f"{leg.id} of {leg.amount} is borne by sellers as {borne}")
            for party in leg.parties if leg.state not in GONE else ():
                amounts[party.account] += party.amount
                fees[party.account] += party.fee
        own = {seller.account: seller for seller in payment.sellers}
        for account, amount in sorted(amounts.items()):
            known = own.get(account)
            most = _paid(payment, known) if known else (0, 0)
            if amount > most[0] or fees[account] > most[1]:
                bears = (amount, fees[account])
                yield case.wrong("I6", f"{account} of {payment.id} bears {bears} of {most}")


def _paid(payment: Payment, seller: Seller) -> tuple[int, int]:
    """What he was paid of a payment at most, and the fee on that, to the cent above."""
    captured = payment.captured_peak or payment.authorized
    whole = max(payment.authorized, captured)
    amount = seller.amount * captured // whole
    return amount, -(-seller.fee * captured // whole)


def sellers_are_booked(case: Case) -> Found:
    """The books hold for each seller what he bears of refunds that are paid, less the fee that goes
    back to him and less what was taken of him."""
    for leg in case.order.legs:
        yield from _booked(case, leg)
    named = {leg.id for leg in case.order.legs if leg.parties}
    for entry in case.entries:
        of_leg = entry.row["kind"].startswith("seller_") and entry.row["kind"] != "seller_paid"
        if of_leg and entry.row["leg_id"] not in named:
            yield case.wrong("I5", f"entry {entry.row['number']} is of a leg without sellers")


def _booked(case: Case, leg: Leg) -> Found:
    own = [e for e in case.entries if e.row["leg_id"] == leg.id]
    own = [e for e in own if e.row["kind"].startswith("seller_")]
    paid, took = leg.state == "succeeded", leg.took
    payment = next(p for p in case.order.payments if p.id == leg.payment) if leg.parties else None
    expected: Counter[str] = Counter()
    for party in leg.parties:
        due = party.amount - party.fee
        expected["seller_shares"] -= party.amount * paid
        expected["platform_fees"] += party.fee * paid
        expected[f"seller_receivable:{party.account}"] += due * paid - party.taken * took
        expected[f"clearing:{payment.connection if payment else ''}"] += party.taken * took
    accounts = {account for entry in own for account, _, _ in entry.lines}
    for account in sorted(accounts | set(expected)):
        booked = sum(entry.on(account) for entry in own)
        if booked != expected[account]:
            what = f"{leg.id} booked {booked} on {account}, is {expected[account]}"
            yield case.wrong("I5", what)
