"""Amounts too small to be paid by themselves: what is held waits only while more may come, and what
was held together is paid once, for all that it was for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from amends.sim.checker.parts import counts, current_report, given_by
from amends.sim.checker.spec import Violation
from amends.sim.checker.view import GONE, Case, Payment, Refund

Found = Iterator[Violation]
BY_WISH = ("return", "goodwill", "price_adjustment", "subscription")  # else it is owed at once


def together_is_paid_once(case: Case) -> Found:
    """What is combined has moved nothing by itself and is a part of one refund, which has the
    amounts of all of them, by payment and component, and one movement for each payment or
    capture."""
    groups: dict[str, list[Refund]] = {}
    for refund in case.order.refunds:
        if refund.stage == "combined":
            groups.setdefault(refund.combined_in, []).append(refund)
    for name, parts in groups.items():
        whole = next((refund for refund in case.order.refunds if refund.id == name), None)
        if whole is None:
            yield case.wrong("I2", f"{parts[0].id} is combined in {name or 'nothing'}")
            continue
        for leg in (leg for part in parts for leg in part.legs):
            if leg.state not in GONE or leg.psp_refund_id:
                yield case.wrong("I2", f"{leg.id} is {leg.state}, {name} pays it")
        amount = sum(part.amount for part in parts)
        if whole.amount != amount or _legs([whole]) != _legs(parts):
            yield case.wrong("I2", f"{name} of {whole.amount} pays {amount} held together")
        if _for([whole]) != _for(parts):
            yield case.wrong("I6", f"{name} is for other parts than what was held")
        moves = Counter((leg.payment, leg.kind) for leg in whole.current if not leg.capture)
        if any(n > 1 for n in moves.values()):
            yield case.wrong(
                "I2", f"{name} is paid by {max(moves.values())} movements of a payment"
            )


def nothing_rests_held(case: Case, minimum: Mapping[str, int]) -> Found:
    """Only what is small and somebody's wish is held, and only until it comes to enough or nothing
    else of the order can be given back. What a dispute may take, or others took, waits."""
    held = [refund for refund in case.order.refunds if refund.stage == "held"]
    if not held or case.order.parked:
        return
    least = minimum.get(case.order.currency, 0)
    reasons = {
        event.body.get("refund"): event.body.get("reason")
        for event in case.events
        if event.type == "refund.requested"
    }
    for refund in held:
        if refund.amount >= least:
            yield case.wrong("liveness", f"{refund.id} of {refund.amount} is held, not {least}")
        if reasons.get(refund.id) not in BY_WISH:
            yield case.wrong("liveness", f"{refund.id} is owed ({reasons.get(refund.id)}) and held")
    waits = {dispute.payment for dispute in case.order.disputes}
    waits |= {payment.id for payment in case.order.payments if _left(payment) < 0}
    there = [r for r in held if not any(leg.payment in waits for leg in r.legs)]
    amount, rest = sum(refund.amount for refund in there), _rest(case)
    if amount >= least and there:
        yield case.wrong("liveness", f"{amount} is held together, {least} is enough")
    if rest <= 0 and there:
        yield case.wrong("liveness", f"{amount} rests held and nothing else can follow")


def nothing_small_leaves_alone(case: Case, minimum: Mapping[str, int]) -> Found:
    """Somebody's wish for less than is worth a movement has left by itself only if it was all that
    was left. What is left can be said of now only where nothing has come back since."""
    least, order = minimum.get(case.order.currency, 0), case.order
    back = any(leg.state in GONE for r in order.refunds if r.stage != "combined" for leg in r.legs)
    grown = any(event.type == "payment.updated" for event in case.events)
    if not least or back or grown or order.disputes or order.parked or _rest(case) <= 0:
        return
    wished = {
        event.body.get("refund")
        for event in case.events
        if event.type == "refund.requested" and event.body.get("reason") in BY_WISH
    }
    for refund in order.refunds:
        sent = any(leg.kind == "refund" for leg in refund.legs) and refund.stage == "active"
        alone = refund.id in wished - combining(case) and not refund.fallback_of
        if sent and alone and refund.amount < least:
            yield case.wrong("I2", f"{refund.id} of {refund.amount} was sent, {least} is enough")


def combining(case: Case) -> set[str]:
    """Refunds that pay what was held, for which nobody asked by themselves."""
    return {refund.combined_in for refund in case.order.refunds if refund.combined_in}


def _left(payment: Payment) -> int:
    gone = payment.pending_ours + payment.refunded_ours + payment.credited_ours
    others = payment.external + payment.disputed + payment.uncaptured
    return payment.captured - gone - others - payment.voiding


def _rest(case: Case) -> int:
    """What could still be given back without naming anything: no fee that was kept, and no charge
    that is not refundable."""
    report = current_report(case) or {}
    tips: dict[str, int] = {}
    tips |= {
        c["id"]: c["total"] for c in report.get("charges", ()) if not c.get("refundable", True)
    }
    rest = sum(max(0, _left(payment)) for payment in case.order.payments)
    held = (p for p in case.order.payments if not p.captured_peak)
    rest += sum(max(0, p.authorized - p.voiding - p.voided) for p in held)
    for refund in (refund for refund in case.order.refunds if counts(refund)):
        rest -= sum(fee.gross for fee in refund.breakdown.fees)
        for share in refund.breakdown.charges:
            if share.id in tips:
                tips[share.id] -= share.net + sum(tax.amount for tax in share.taxes)
    return rest - sum(tips.values())


def _legs(refunds: list[Refund]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for leg in (leg for refund in refunds for leg in refund.current):
        found[leg.payment, leg.kind] += leg.amount
    return found


def _for(refunds: list[Refund]) -> Counter[tuple[str, str, str]]:
    """What they give back and keep, by component."""
    found: Counter[tuple[str, str, str]] = Counter()
    for refund in refunds:
        parts = refund.breakdown
        found.update(given_by(refund))
        found["", "", "unallocated"] += parts.unallocated
        found["", "", "compensation"] += parts.compensation
        for kept in parts.kept:
            found["kept", kept.part, kept.kind or kept.promotion] += kept.gross
    return found
