"""Small differences that nobody will explain, on a provider's balance or on what a seller owes: a
person writes them off, and takes that back if it was explained after all."""

from __future__ import annotations

from amends.core import postings
from amends.core.chart import clearing, receivable
from amends.core.facts import WriteOffReversed, WrittenOff
from amends.core.order import Order
from amends.core.reasons import Reason, Refused
from amends.core.work import Work
from amends.kernel.money import convert


def write_off(work: Work, fact: WrittenOff) -> None:
    """Dr write-offs, Cr the account by `amount`; below 0 the other way round. Raises Refused."""
    order = work.order
    if fact.account not in accounts(order):
        named = ", ".join(accounts(order))
        detail = f"The order has nothing on {fact.account}; its accounts are {named}."
        raise Refused(Reason.VALIDATION, detail, pointer="/account")
    if not fact.amount:
        raise Refused(Reason.VALIDATION, "There is nothing to write off.", pointer="/amount")
    most, was = work.ctx.write_off_up_to, _written_off(order, fact.account)
    if abs(convert(was + fact.amount, order.rate)) > most:
        raise Refused(Reason.WRITE_OFF_TOO_LARGE, most=most)
    entry = postings.write_off(order, fact.account, was, fact.amount, work.now)
    work.book(entry)
    made = (entry.number, fact.account, fact.amount)
    work.change(write_offs=(*order.write_offs, made))
    said = {"account": fact.account, "amount": fact.amount, "why": fact.why}
    work.event("ledger.written_off", entry=entry.number, **said)


def reverse(work: Work, fact: WriteOffReversed) -> None:
    """Raises Refused, also where it was reversed before. Nothing else that is booked can be taken
    back by hand: it follows from what happened."""
    order = work.order
    made = next((w for w in order.write_offs if w[0] == fact.entry), None)
    if made is None:
        raise Refused(Reason.NOT_REVERSIBLE, entry=fact.entry)
    number, account, amount = made
    was = _written_off(order, account)
    entry = postings.write_off(order, account, was, -amount, work.now)
    work.book(entry)
    work.change(write_offs=tuple(w for w in order.write_offs if w is not made))
    work.event("ledger.reversed", entry=entry.number, of=number, why=fact.why)


def _written_off(order: Order, account: str) -> int:
    """What stands written off of an account, in however many steps."""
    return sum(amount for _, name, amount in order.write_offs if name == account)


def accounts(order: Order) -> tuple[str, ...]:
    """The accounts of an order on which small differences stay."""
    ours = [clearing(p.connection) for p in order.payments if p.is_money]
    theirs = [receivable(s.account) for p in order.payments for s in p.sellers]
    return tuple(dict.fromkeys((*ours, *theirs)))
