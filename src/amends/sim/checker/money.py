"""I1, I2, I3, I4, I12: the provider's movements against our legs, counted by movements."""

from __future__ import annotations

from collections.abc import Iterator

from amends.sim.checker.spec import Violation
from amends.sim.checker.view import (
    BY_HAND,
    GONE,
    OPEN,
    Case,
    Event,
    Leg,
    Movement,
    Payment,
    Refund,
    surfaced,
)

Found = Iterator[Violation]

# Waits of ours end by an effect; without one nothing would ever happen again.
WAITING = ("sending", "unknown", "pending", "requires_action", "awaiting_funds")


def never_more_than_captured(case: Case) -> Found:
    """I1: by the provider's movements and by our own legs, each on its own."""
    for payment in case.order.payments:
        live = [m for m in case.refunds_at(payment) if m.live]
        ours = sum(m.amount for m in live if not case.by_people(m))
        name, peak = payment.psp_payment_id, payment.captured_peak
        if ours > peak:
            yield case.wrong("I1", f"{ours} left {name} by our hand, {peak} was captured")
        whole, provider = sum(m.amount for m in live), case.provider.get(name)
        if provider is not None and whole > provider.taken:
            yield case.wrong("I1", f"{whole} left {name}, the provider took {provider.taken}")
        legs = sum(g.amount for g in _counted(case, payment, ("succeeded", *OPEN)))
        if legs > peak:
            yield case.wrong("I1", f"legs of {legs} stand on {name}, {peak} was captured")
        kinds = {leg.kind for leg in case.order.legs if leg.payment == payment.id}
        if payment.kind != "payment" and kinds - {"credit"}:
            yield case.wrong("I1", f"{payment.id} is a {payment.kind} and is paid out as {kinds}")


def columns_are_the_legs(case: Case) -> Found:
    """I1: what decides about the next refund is the sum of what is there; a review reserves."""
    for payment in case.order.payments:
        legs = [g for g in case.order.legs if g.payment == payment.id]
        expected = {
            "pending_ours": _sum(_counted(case, payment, OPEN))
            + _sum([g for g in legs if g.kind in BY_HAND and g.state in OPEN]),
            "refunded_ours": _sum(_counted(case, payment, ("succeeded",))),
            "credited_ours": _sum(
                [g for g in legs if g.kind in BY_HAND and g.state == "succeeded"]
            ),
            "external": _sum([g for g in legs if g.outside and g.state not in GONE]),
            "voiding": _sum([g for g in legs if g.kind == "void" and g.state in OPEN]),
            "disputed": sum(d.withdrawn for d in case.order.disputes if d.payment == payment.id),
        }
        for column, amount in expected.items():
            shown = getattr(payment, column)
            if shown != amount:
                yield case.wrong("I1", f"{payment.id}.{column} is {shown}, its parts are {amount}")
        yield from _released(case, payment, legs)
        if _overdrawn(payment) > _raised(case, payment):
            yield case.wrong("I1", f"{payment.id} is overdrawn by {_overdrawn(payment)}, unsaid")


def _counted(case: Case, payment: Payment, states: tuple[str, ...]) -> list[Leg]:
    return [
        leg
        for leg in case.order.legs
        if leg.payment == payment.id
        and leg.kind == "refund"
        and not leg.outside
        and leg.state in states
    ]


def _sum(legs: list[Leg]) -> int:
    return sum(leg.amount for leg in legs)


def _released(case: Case, payment: Payment, legs: list[Leg]) -> Found:
    """What we call released was let go by the provider (by us, by people or by expiry); and what
    we asked it to let go is not called failed when the whole is gone."""
    ours = _sum([g for g in legs if g.kind == "void" and g.state == "succeeded"])
    if payment.voided < ours:
        yield case.wrong("I1", f"{payment.id}.voided is {payment.voided}, its legs are {ours}")
    over = payment.captured + payment.voided - payment.authorized
    if over > 0 and not _told_of(case, payment, "captured_after_release"):
        what = f"{payment.captured} captured and {payment.voided} released"
        yield case.wrong("I1", f"{payment.id} of {payment.authorized} has {what}, unsaid")
    provider = case.provider.get(payment.psp_payment_id)
    gone = provider.released if provider else 0
    if payment.voided > gone:
        yield case.wrong("I2", f"{payment.voided} of {payment.id} is released, really {gone}")
    whole = provider is not None and not provider.captured and not case.order.parked
    for leg in legs:
        sent = leg.kind == "void" and leg.state in GONE and _intended(case, leg)
        if sent and whole and gone > payment.voided:
            yield case.wrong("I4", f"{leg.id} rests {leg.state} while {gone} is released")


def _told_of(case: Case, payment: Payment, what: str) -> bool:
    """Whether a person was told that of the payment."""
    return any(
        event.type == "exception.raised"
        and (event.body.get("what"), event.body.get("payment")) == (what, payment.id)
        for event in case.events
    )


def only_the_rest_is_released(case: Case) -> Found:
    """I1, by the provider's movements that requests made: what let go of an authorization is what
    was asked for, and with what they captured of it no more than was authorized. A release of a
    part that became one of the whole is gone for ever, and the rest will never be paid to us."""
    for payment in case.order.payments:
        made = [
            m for m in case.movements[payment.psp_payment_id] if m.asked and m.status not in GONE
        ]
        gone = sum(m.amount for m in made if m.kind == "void")
        taken = sum(m.amount for m in made if m.kind == "capture")
        legs = [g for g in case.order.legs if g.payment == payment.id and g.kind == "void"]
        asked = _sum([g for g in legs if _intended(case, g)])
        done = _sum([g for g in legs if g.state == "succeeded"])
        name = payment.psp_payment_id
        if gone > asked:
            yield case.wrong("I1", f"{gone} of {name} was released by our hand, asked was {asked}")
        if taken and taken + done > payment.authorized:
            what = f"{done} was released and {taken} captured by our hand"
            yield case.wrong("I1", f"{name} of {payment.authorized}: {what}")


def _overdrawn(payment: Payment) -> int:
    """Legitimate only where others took money too, and then a person has been told."""
    ours = payment.pending_ours + payment.refunded_ours + payment.credited_ours
    others = payment.external + payment.disputed + payment.uncaptured
    return max(0, ours + others - payment.captured)


def _raised(case: Case, payment: Payment) -> int:
    """Of how much too much a person was told since others last took money from the payment: the
    whole by "paid_twice", and what came on top by each "double_benefit" of a leg on it."""
    legs = {leg.id for leg in case.order.legs if leg.payment == payment.id}
    taken: dict[str, int] = {}
    told = 0
    for event in case.events:
        body, what = event.body, event.body.get("what")
        if _others_took(event, payment, taken, case):
            told = 0
        elif event.type != "exception.raised":
            continue
        elif what == "paid_twice" and body.get("payment") == payment.id:
            told = int(body.get("amount") or 0)
        elif what == "double_benefit" and body.get("leg") in legs:
            told += int(body.get("amount") or 0)
    return told


def _others_took(event: Event, payment: Payment, taken: dict[str, int], case: Case) -> bool:
    """A dispute took more than before (`taken`), a refund of others' was found, or a capture came
    undone."""
    body = event.body
    if event.type == "payment.updated" and body.get("payment") == payment.id:
        return bool(body.get("uncaptured"))
    if event.type == "dispute.updated" and body.get("payment") == payment.id:
        name, now = str(body.get("dispute")), int(body.get("withdrawn") or 0)
        more = now > taken.get(name, 0)
        taken[name] = now
        return more
    if event.type != "refund.adopted":
        return False
    found = (refund for refund in case.order.refunds if refund.id == body.get("refund"))
    return any(leg.payment == payment.id for refund in found for leg in refund.legs)


_BESIDE = ("authorized", "external", "disputed", "uncaptured", "voiding", "voided")


def rows_are_the_document(case: Case) -> Found:
    """The rows that queries and the CHECK read say what the document says."""
    order = case.order
    payments = {row["id"]: row for row in case.rows["payments"]}
    for payment in order.payments:
        row = payments.pop(payment.id, None)
        names = ("captured", "captured_peak", "pending_ours", "refunded_ours", "credited_ours")
        for name in (*names, *_BESIDE):
            if row is None or row[name] != getattr(payment, name):
                yield case.wrong("I1", f"the row of {payment.id} has another {name}")
    legs = {row["id"]: row for row in case.rows["legs"]}
    for leg in order.legs:
        row = legs.pop(leg.id, None)
        for name in ("kind", "state", "amount", "psp_refund_id"):
            if row is None or row[name] != getattr(leg, name):
                yield case.wrong("I2", f"the row of {leg.id} has another {name}")
    refunds = {row["id"]: row for row in case.rows["refunds"]}
    for refund in order.refunds:
        yield from _refund_row(case, refund, refunds.pop(refund.id, None))
    for left in (*payments, *legs, *refunds):
        yield case.wrong("I2", f"{left} has a row and is not in the document")


def _refund_row(case: Case, refund: Refund, row: dict[str, object] | None) -> Found:
    if row is None:
        yield case.wrong("I2", f"{refund.id} has no row")
        return
    paid = _sum([g for g in refund.legs if g.state == "succeeded"])
    if (row["amount"], row["amount_succeeded"]) != (refund.amount, paid):
        yield case.wrong("I2", f"the row of {refund.id} is not {paid} paid of {refund.amount}")
    states = {g.state for g in refund.current}
    shown = row["state"] if refund.stage == "active" else refund.stage
    if refund.stage == "active" and states == {"succeeded", "canceled"}:
        states = {"failed"}  # one part was paid and the other will not be: it failed in part
    if row["state"] != shown or (refund.stage == "active" and states and shown not in states):
        yield case.wrong("I2", f"{refund.id} is shown {row['state']}, its legs are {states}")
    if shown == "succeeded" and states != {"succeeded"}:
        yield case.wrong("I2", f"{refund.id} is shown succeeded, its legs are {states}")


def refunds_are_their_legs(case: Case) -> Found:
    """A refund's amount is what its legs move; in review all is reserved and nothing is sent."""
    for refund in case.order.refunds:
        whole = _sum(refund.current)
        if refund.stage != "declined" and whole != refund.amount:
            yield case.wrong("I2", f"{refund.id} of {refund.amount} has legs of {whole}")
        for leg in refund.legs:
            if (leg.state == "planned") != (
                refund.stage in ("review", "held")
            ) and leg.state not in GONE:
                yield case.wrong("I1", f"{leg.id} is {leg.state} in a refund in {refund.stage}")
            if leg.state == "planned" and leg.psp_refund_id:
                yield case.wrong("I3", f"{leg.id} is planned and was sent: {leg.psp_refund_id}")


def each_movement_has_its_leg(case: Case) -> Found:
    """I2 from the provider's side. A movement nobody's leg owns is allowed only while a leg of its
    amount is still being looked up, or if people made it and no message told us."""
    for payment in case.order.payments:
        doubtful = _unresolved(case, payment)
        for movement in case.refunds_at(payment):
            owners = case.owners(movement)
            what = f"{movement.psp_refund_id} of {movement.amount} on {movement.psp_payment_id}"
            if len(owners) > 1:
                yield case.wrong("I2", f"{what} is claimed by {[leg.id for _, leg in owners]}")
            for refund, leg in owners:
                yield from _owned(case, movement, refund, leg, what)
            if owners or not movement.live or case.order.parked:
                continue
            if case.by_people(movement):
                if case.was_told(movement) and not case.to_be_read(payment):
                    yield case.wrong("I1", f"{what}, made by people and told us, is on no book")
            elif movement.amount in doubtful:
                doubtful.remove(movement.amount)
            else:
                yield case.wrong("I2", f"{what} was paid by us and belongs to no leg")


def _unresolved(case: Case, payment: Payment) -> list[int]:
    """Amounts of the legs whose outcome is still to be looked up; the look-up is due."""
    return [
        leg.amount
        for leg in _counted(case, payment, ("sending", "unknown"))
        if not leg.psp_refund_id and _has_effect(case, leg)
    ]


def _owned(case: Case, movement: Movement, refund: Refund, leg: Leg, what: str) -> Found:
    if leg.amount != movement.amount:
        yield case.wrong("I2", f"{leg.id} of {leg.amount} owns {what}")
    if refund.external and not case.by_people(movement) and not _alone(case, movement):
        yield case.wrong("I2", f"{what} was adopted as others' doing, but it was ours: paid twice")
    if not refund.external and case.by_people(movement):
        yield case.wrong("I2", f"{leg.id} takes for its own {what}, which people made")
    if leg.state in GONE and movement.live and not case.order.parked:
        yield case.wrong("I4", f"{leg.id} rests {leg.state} while {what} is {movement.status}")
    if not refund.external and not _intended(case, leg):
        yield case.wrong("I3", f"{what} left without an intent of {leg.id} on the trail")
    if movement.status in ("succeeded", *GONE) and case.was_told(movement):
        ended = GONE if movement.status in GONE else ("succeeded",)
        if leg.state not in ended and not case.order.parked:
            yield case.wrong("I9", f"told {movement.status} of {what}, {leg.id} is {leg.state}")


def _alone(case: Case, movement: Movement) -> bool:
    """An attempt of ours that was closed as not executed and surfaced, and nothing else pays: the
    leg moved money once (I3)."""
    for refund in case.order.refunds:
        for place, leg in enumerate(refund.legs):
            found = surfaced(case, leg)
            if movement in found:
                later = [g for g in refund.legs[place:] if _same(g, leg)]
                paid = [m for m in (case.movement_of(g) for g in later) if m and m.live]
                return not paid and sum(m.live for m in found) <= 1
    return False


def _same(one: Leg, other: Leg) -> bool:
    return (one.payment, one.amount) == (other.payment, other.amount)


def _intended(case: Case, leg: Leg) -> bool:
    return any(e.type == "leg.sending" and e.body.get("leg") == leg.id for e in case.events)


def succeeded_means_paid(case: Case) -> Found:
    """I2 from our side: exactly one live movement of that amount. The one exception is a refund
    the provider took back later without any message that reached us."""
    for leg in case.order.legs:
        if leg.kind != "refund" or leg.state != "succeeded":
            continue
        movement = case.movement_of(leg)
        if movement is None:
            yield case.wrong(
                "I2", f"{leg.id} succeeded, the provider made no {leg.psp_refund_id!r}"
            )
        elif not movement.live and not unheard_bounce(case, movement):
            yield case.wrong("I12", f"{leg.id} succeeded, the provider says {movement.status}")


def unheard_bounce(case: Case, movement: Movement) -> bool:
    """The world took it back after it had succeeded, and nothing told us (a lost webhook)."""
    bounced = movement.psp_refund_id in case.bounced and movement.status != "succeeded"
    return bounced and (not case.was_told(movement) or bool(case.order.parked))


def waiting_legs_have_an_effect(case: Case) -> Found:
    """I3: what waits has a row that will wake somebody, for the leg or, while another one of its
    payment is out, for the payment. A parked order waits for a person."""
    if case.order.parked:
        return
    for payment in case.order.payments:
        if payment.reread and not case.to_be_read(payment):
            yield case.wrong("I3", f"{payment.id} is to be read again and nothing is due for it")
    for refund in case.order.refunds:
        for leg in refund.legs:
            waits = leg.state in WAITING and refund.stage == "active"
            if waits and not _has_effect(case, leg):
                yield case.wrong("I3", f"{leg.id} is {leg.state} and nothing is due for it")


def _has_effect(case: Case, leg: Leg) -> bool:
    """Its own, or, before its turn has come, one that stands in its way: of what is out for its
    payment, or of another leg there that is being sent, looked up or released."""
    due = {str(row["leg_id"]) for row in case.rows["effects"] if row["payment_id"] == leg.payment}
    if leg.id in due or leg.state != "sending":
        return leg.id in due
    payment = next(p for p in case.order.payments if p.id == leg.payment)
    first = {
        other.id
        for other in case.order.legs
        if other.payment == leg.payment
        and (other.state in ("sending", "unknown") or "void" == other.kind == leg.kind)
    }
    return bool(due & first) or bool(payment.busy and due)


def never_both(case: Case) -> Found:
    """I12: a refund, its retried legs and its fallback together pay at most its amount."""
    paid = {refund.id: _live(case, refund) for refund in case.order.refunds}
    for refund in case.order.refunds:
        if paid[refund.id] > refund.amount:
            yield case.wrong("I12", f"{refund.id} of {refund.amount} paid {paid[refund.id]}")
        together = sum(paid[one.id] for one in case.family(refund))
        if together > max(refund.amount, paid[refund.id]) and not _told_twice(case, refund):
            yield case.wrong("I12", f"{refund.id} of {refund.amount} and its fallback: {together}")


def _told_twice(case: Case, refund: Refund) -> bool:
    """Whether a person was told that what failed of a refund is paid after all, beside money that
    somebody had paid by hand."""
    by_hand = {
        leg.pays_for
        for one in case.family(refund)
        for leg in one.legs
        if leg.kind == "manual" and leg.state == "succeeded"
    }
    return any(
        event.body.get("what") == "double_benefit" and event.body.get("leg") in by_hand
        for event in case.events
        if event.type == "exception.raised"
    )


def _live(case: Case, refund: Refund) -> int:
    made = (case.movement_of(leg) for leg in refund.legs)
    by_hand = [g for g in refund.legs if g.kind in BY_HAND and g.state == "succeeded"]
    return sum(m.amount for m in made if m is not None and m.live) + _sum(by_hand)
