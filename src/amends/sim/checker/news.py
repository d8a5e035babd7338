"""I1: what others did to a payment, as the provider has it, against what we made of its news.

A message may be late or lost for ever, so the provider's present word counts once it was told. What
our document says without having been told is made up, whenever.
"""

from __future__ import annotations

from collections.abc import Iterator

from amends.sim.checker.spec import Violation
from amends.sim.checker.view import Case, Dispute, DisputeThere, Payment

Found = Iterator[Violation]


def disputes_are_the_providers(case: Case) -> Found:
    """What a dispute took and how it stands is what the provider says, once a stored message said
    so; before that it is something the provider said earlier."""
    if case.order.parked:
        return
    ours = {dispute.id: dispute for dispute in case.order.disputes}
    for payment in case.order.payments:
        for there in case.disputes.get(payment.psp_payment_id, ()):
            yield from _dispute(case, payment, ours.pop(there.id, None), there)
    for name in ours:
        yield case.wrong("I1", f"the provider knows of no dispute {name}")


def _dispute(case: Case, payment: Payment, here: Dispute | None, there: DisputeThere) -> Found:
    now = (there.id, there.status, there.withdrawn)
    told = {word for word in case.told.disputes if word[0] == there.id}
    newest = max((_place(word[1]) for word in told), default=0)
    valid = {now} if now in told else {word for word in told if _place(word[1]) == newest}
    if here is None and told:
        yield case.wrong("I1", f"told of {there.id}, {_what(there)}: it is nowhere")
    if here is None:
        return
    if _word(here.id, here.status, here.withdrawn) not in {_word(*word) for word in valid}:
        yield case.wrong("I1", f"{here.id} is {_what(here)}, the provider says {_what(there)}")
    if here.payment != payment.id:
        yield case.wrong("I1", f"{here.id} is of {payment.id}, not of {here.payment}")


_ENDS = {
    "warning_closed": "closed",
    "prevented": "closed",
    "second_chargeback": "lost",
    "issuer_response_timeframe_expired": "won",
    "RESOLVED_SELLER_FAVOUR": "won",
    "RESOLVED_BUYER_FAVOUR": "lost",
    "CANCELED_BY_BUYER": "closed",
}


def _place(status: str) -> int:
    """How far along a dispute is: an inquiry, a chargeback, its end. It does not go back."""
    if status in ("won", "lost", *_ENDS):
        return 2
    return 0 if status.startswith("warning_") else 1


def _word(name: str, status: str, withdrawn: int) -> tuple[str, str, int]:
    """How it stands, in our words: an end that nobody won or lost is just closed."""
    return name, _ENDS.get(status, status), withdrawn


def _what(dispute: Dispute | DisputeThere) -> str:
    return f"{dispute.status} with {dispute.withdrawn}"


def captured_is_the_providers(case: Case) -> Found:
    """We never take a payment for more than the provider captured, nor for less once stored
    messages said how much. So with what captures took that failed later and was not captured
    again: that is known by captures coming to more than was authorized."""
    for payment in case.order.payments:
        there = case.provider.get(payment.psp_payment_id)
        if there is None or case.order.parked:
            continue
        name = there.psp_payment_id
        made, undone = (of.get(name, {}) for of in (case.told.captures, case.told.undone))
        each = sum(made.values())
        told = (name, there.taken) in case.told.captured or each >= there.taken > 0
        if payment.captured > there.taken or (told and payment.captured < there.taken):
            what = f"{there.taken} of {name} is captured"
            yield case.wrong("I1", f"{what}, {payment.id} says {payment.captured}")
        again = max(0, sum((made | undone).values()) - there.authorized)
        failed = max(0, sum(undone.values()) - again)
        if not failed <= payment.uncaptured <= max(failed, there.missing):
            what = f"{there.missing} of {name} failed after its capture, {failed} told"
            yield case.wrong("I1", f"{what}, {payment.id} says {payment.uncaptured}")


def warnings_are_the_providers(case: Case) -> Found:
    """A fraud warning that a stored message told of counts for later refunds, and no other does."""
    if case.order.parked:
        return
    for payment in case.order.payments:
        for warning in case.warnings.get(payment.psp_payment_id, ()):
            if warning in case.told.warnings and warning not in case.order.alerts:
                yield case.wrong("I1", f"told of the warning {warning}: it is nowhere")
    known = {warning for warnings in case.warnings.values() for warning in warnings}
    for warning in sorted(set(case.order.alerts) - known):
        yield case.wrong("I1", f"the provider knows of no warning {warning}")
