"""Moving one leg: the table says where to, the actions here do what it says.

Reserve, payout and release change the numbers of I1 on the payment; sending and looking schedule
effects; every step that means something is an event. Delays are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from amends.core.arrivals import UNDER_WAY, expect
from amends.core.captures import capture_rooms, spread
from amends.core.claims import claim
from amends.core.effects import Effect, EffectKind, Intent
from amends.core.holds import release, settle, unsettle
from amends.core.intents import look_intent, refund_lines, send_intent, unknown_capture
from amends.core.lifecycle import Action, News, step
from amends.core.order import FAILED, Leg, overdrawn, remaining
from amends.core.patience import (
    BACKOFF,
    LONGER,
    can_look,
    key_may_be_gone,
    next_look,
    pause_of,
    tell_late,
)
from amends.core.rereads import reread, reread_id, schedule_reread
from amends.core.reversals import REFUSED, reversible, tell_refused
from amends.core.sellers import fixed
from amends.core.shares import LineShare
from amends.core.work import Work
from amends.kernel.check import invariant
from amends.kernel.time import DAY, HOUR, Instant

CAPTURE_WAIT = 4 * HOUR  # a refused release: the capture that explains it is told by then
FUNDS_AGAIN = 1 * HOUR  # a refused balance is seldom topped up sooner
FUNDS_LONG = 24  # rounds until a person is told
WATCH = 1 * DAY  # a pending refund is looked in on, in case its webhook is lost
STORED_ENOUGH = 3  # answers kept under the key: after these only look-ups can tell
PAID_BEFORE = "paid_before"  # why a leg failed that took the place of one that paid after all
STUCK_AFTER = 8  # fruitless rounds until a person is told

TABLE_ACTIONS: dict[Action, Callable[[Work, str], None]] = {}


def effect_id(leg_id: str) -> str:
    """One effect row per leg, whatever it is waiting to do."""
    return f"fx_{leg_id[4:]}"


def move(work: Work, leg_id: str, news: News, **body: Any) -> None:
    """Apply one piece of news to a leg. `body` goes into the event (provider references, codes)."""
    _, leg = work.leg(leg_id)
    to, actions = step(leg.state, news)
    if to != leg.state:
        provider = news.startswith(("said_", "heard_")) or news == "refused"
        work.put_leg(leg_id, state=to, moved=work.order.head_seq + 1 if provider else leg.moved)
    for action in actions:
        TABLE_ACTIONS[action](work, leg_id)
    if to != leg.state and to in UNDER_WAY:
        body |= expect(work, leg_id)
    if to != leg.state and "send" not in actions:
        work.event("leg.moved", leg=leg_id, was=leg.state, now=to, news=news, **body)
    elif body and actions:
        work.event("leg.news", leg=leg_id, state=to, news=news, **body)
    if to != leg.state and to in ("succeeded", "failed", "canceled"):
        kick(work, leg.payment)


def decide_leg(work: Work, leg_id: str, news: Literal["approve", "drop", "credited"]) -> None:
    """A person's or the policy's word on a leg; the request's own event records it."""
    _, leg = work.leg(leg_id)
    to, actions = step(leg.state, news)
    work.put_leg(leg_id, state=to)
    for action in actions:
        TABLE_ACTIONS[action](work, leg_id)


def asked_status(leg: Leg, status: str, asked: int) -> News:
    """Whether a status is the newest word: it is if the request left after the event with which the
    leg last moved. Events are counted, since clocks of processes differ. A webhook was not asked
    for (0)."""
    said = 0 < asked >= leg.moved
    return f"{'said' if said else 'heard'}_{status}"  # type: ignore[return-value]


def kick(work: Work, payment_id: str) -> None:
    """Make the next thing that waits for this payment due, if the payment is free."""
    payment = work.payment(payment_id)
    if payment.busy:
        return
    wanted = payment.reread and (payment.captured_peak > 0 or payment.look)
    if wanted and reread_id(payment_id) not in work.effects:
        schedule_reread(work, payment_id, work.now)
    for refund in work.order.refunds:
        for leg in refund.legs:
            reads = payment.reread and leg.tries  # its capture is being looked for
            mine = leg.payment == payment_id and _waits(leg) and not reads
            if mine and not blocked(work, leg):
                schedule(work, leg.id, "send", work.now)
                return


def _waits(leg: Leg) -> bool:
    return leg.state == "sending" and not leg.attempts


def unsent(leg: Leg) -> bool:
    """Nothing of the current epoch can have been executed."""
    live = leg.state in ("sending", "awaiting_funds")
    return live and not leg.in_flight and not leg.doubt


def blocked(work: Work, leg: Leg) -> bool:
    """Parts of one authorization are released one after the other: what is left to capture for the
    second depends on what became of the first."""
    return (
        _waits(leg)
        and leg.kind == "void"
        and any(
            other.payment == leg.payment
            and other.kind == "void"
            and other.id != leg.id
            and other.state in ("sending", "unknown", "pending")
            and other.attempts
            for refund in work.order.refunds
            for other in refund.legs
        )
    )


def schedule(work: Work, leg_id: str, kind: EffectKind, due: Instant) -> None:
    """The leg's effect row: what to do next, and when. While its request is out the row is leased,
    and stays so: a crash of whoever waits for the answer shows in the lease running out."""
    _, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    if payment.busy == leg_id:
        return
    work.effect(
        Effect(
            effect_id(leg_id),
            work.order.id,
            kind,
            payment.connection,
            payment.id,
            due,
            leg_id,
            leg.epoch,
            leg.attempts,
        )
    )


# -- sending -----------------------------------------------------------------------------------


def _go(work: Work, leg_id: str) -> None:
    """Due now if the payment is free; else `kick` calls it up."""
    _, leg = work.leg(leg_id)
    if work.payment(leg.payment).busy or blocked(work, leg):
        work.finish(effect_id(leg_id))
    else:
        schedule(work, leg_id, "send", work.now)


def _send(work: Work, leg_id: str) -> None:
    """The intent is written down, with its key, before a byte leaves (I3)."""
    refund, leg = work.leg(leg_id)
    if leg.kind == "void" and not leg.attempts and work.payment(leg.payment).captured_peak:
        if _left_uncaptured(work, leg) or not as_refund(work, leg_id):
            return
        leg = work.leg(leg_id)[1]
    if leg.kind == "void" and work.payment(leg.payment).gone and not leg.attempts:
        move(work, leg_id, "said_succeeded")
        return
    if leg.kind == "void" and leg.reverse and not leg.attempts and not reversible(work, leg):
        not_released(work, leg, "said_failed")
        return
    if not leg.doubt and leg.kind == "refund" and overdrawn(work.order, refund.id, leg.payment):
        _taken(work, leg)
        return
    if not leg.attempts and leg.kind == "refund":
        if not _has_capture(work, leg):
            return
        leg = work.leg(leg_id)[1]
    invariant(leg.attempts == 0 or not key_may_be_gone(work, leg), "a key may have been forgotten")
    if not leg.attempts:
        leg = _fix_bytes(work, leg)
    leg = work.put_leg(
        leg_id,
        attempts=leg.attempts + 1,
        first_sent_at=leg.first_sent_at or work.now,
        last_sent_at=work.now,
        in_flight=True,
        declined="",  # a "no" speaks for the attempts before it, not for this one (I4)
        unfunded=False,
    )
    payment = work.put_payment(leg.payment, busy=leg_id)
    _hand_out(work, leg, "send", send_intent(work.order, refund, leg, payment))
    if leg.attempts == 1:
        work.event(
            "leg.sending",
            refund=refund.id,
            leg=leg_id,
            kind="reversal" if leg.kind == "void" and leg.reverse else leg.kind,
            key=leg.key,
            amount=leg.amount,
            connection=payment.connection,
            psp_payment_id=payment.psp_payment_id,
            sellers=leg.parties,
        )


def _fix_bytes(work: Work, leg: Leg) -> Leg:
    """What the request says besides the amount is settled with the first send of an epoch: the same
    key always has the same bytes, whatever is heard of the payment meanwhile (I3)."""
    payment = work.payment(leg.payment)
    if leg.kind == "void":
        return work.put_leg(leg.id, rest=payment.authorized - payment.voided - leg.amount)
    lines: tuple[LineShare, ...] = ()
    if work.ctx.terms[payment.connection].method(payment.method).lines:
        lines = refund_lines(work.leg(leg.id)[0], leg)
    full, charge = leg.amount == payment.captured, payment.charge
    return work.put_leg(leg.id, full=full, lines=lines, charge=charge, parties=fixed(work, leg))


def _has_capture(work: Work, leg: Leg) -> bool:
    """Settles which capture a refund gives back from, where that must be said. If none is known yet
    the payment is read first; if no one holds it, it is one movement for each of several; if all
    together do not, it is read first too, and then not sent at all, and a person is told. One that
    failed since it was chosen holds nothing."""
    payment = work.payment(leg.payment)
    terms = work.ctx.terms[payment.connection]
    chosen = leg.capture and leg.capture not in payment.failed_captures
    if chosen or payment.charge or not terms.method(payment.method).per_capture:
        return True
    if unknown_capture(payment) and terms.lookup:
        return _read_first(work, leg)
    if not payment.captures:
        return True  # the payment is called by its capture
    parts = spread(leg.amount, capture_rooms(work.order, payment, sending=leg.id))
    if sum(amount for _, amount in parts) < leg.amount or (parts[1:] and _follows(work, leg)):
        return _read_first(work, leg)
    _split(work, leg, parts)
    return True


def _follows(work: Work, leg: Leg) -> bool:
    """Whether it takes the place of one that was sent: should that pay after all, it is found by
    its amount and stopped, so it stays one. What is asked for anew may be several."""
    refund, _ = work.leg(leg.id)
    same = (leg.payment, leg.amount)
    return any(g.replaced and g.attempts and (g.payment, g.amount) == same for g in refund.legs)


def _split(work: Work, leg: Leg, parts: list[tuple[str, int]]) -> None:
    """The leg keeps the first part; each other one is a leg that waits for its turn. Nothing of it
    has left, and what is set aside and owed is the same."""
    (first, amount), *others = parts
    work.put_leg(leg.id, capture=first, amount=amount)
    refund, _ = work.leg(leg.id)
    fresh = tuple(
        Leg(
            f"{leg.id.rpartition('_')[0]}_{number}",
            "refund",
            leg.payment,
            part,
            "sending",
            capture=name,
            instead_of=leg.instead_of,
        )
        for number, (name, part) in enumerate(others, len(refund.legs) + 1)
    )
    if fresh:
        work.put_refund(refund.id, legs=(*refund.legs, *fresh))
        named = [[g.id, g.amount] for g in fresh]
        work.event("leg.news", leg=leg.id, news="split", amount=amount, legs=named)


def _read_first(work: Work, leg: Leg) -> bool:
    payment = work.payment(leg.payment)
    if (leg.tries and not payment.reread) or not can_look(work, leg.payment):
        _fail(work, leg, "no_such_capture")
        return False
    work.put_leg(leg.id, tries=1)
    if not payment.reread:
        reread(work, payment.id)
    schedule(work, leg.id, "send", work.now + BACKOFF[4])
    return False


def _left_uncaptured(work: Work, leg: Leg) -> bool:
    """Whether others captured exactly what this release was to leave: then it is done."""
    payment = work.payment(leg.payment)
    if payment.captured != payment.authorized - payment.voided - leg.amount:
        return False
    move(work, leg.id, "said_succeeded")
    return True


def as_refund(work: Work, leg_id: str) -> bool:
    """The authorization was captured before we could release it: this leg gives back captured
    money instead (edge 21). False if not all of what it gives back was captured: then it fails, and
    a person sees what of it is still owed."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    room = remaining(replace(payment, voiding=0))  # first come: others wait to be refunds too
    if min(room, payment.captured - leg.rest) < leg.amount:
        work.put_leg(leg_id, failure="exceeds_captured")
        move(work, leg_id, "said_failed", failure="exceeds_captured")
        work.event(
            "exception.raised", what="exceeds_captured", leg=leg_id, captured=payment.captured
        )
        return False
    work.put_leg(leg_id, kind="refund", declined="", reverse=False)
    work.put_payment(
        payment.id,
        voiding=payment.voiding - leg.amount,
        pending_ours=payment.pending_ours + leg.amount,
    )
    claim(work, refund.id)
    # It may not leave at once: what was booked is sealed by this (I10).
    work.event("leg.news", leg=leg_id, news="captured_first", kind="refund")
    return True


def _taken(work: Work, leg: Leg) -> None:
    """Others took the money while this waited for its turn or for funds: it does not leave as well
    (edge 11), and a person is told."""
    _fail(work, leg, "taken_by_others")


def _fail(work: Work, leg: Leg, why: str) -> None:
    work.put_leg(leg.id, failure=why)
    move(work, leg.id, "said_failed", failure=why)
    work.event("exception.raised", what=why, leg=leg.id, amount=leg.amount)


# -- asking again ------------------------------------------------------------------------------


def _probe(work: Work, leg_id: str) -> None:
    """A look-up, or the same bytes again if that was scheduled and the key is surely still kept."""
    _, leg = work.leg(leg_id)
    look = can_look(work, leg.payment)
    if not look and leg.declined == REFUSED:
        _refused_for_good(work, leg)
        return
    if not look:
        leg = tell_late(work, leg)
    resend = leg.state == "unknown" and leg.resend and not leg.surfaced
    if resend and not key_may_be_gone(work, leg):
        _send(work, leg_id)
        return
    if not look:  # only a webhook or a statement can tell now
        leg = _round(work, leg_id, resend=leg.resend)
        schedule(work, leg_id, "lookup", next_look(work, leg, WATCH))
        return
    payment = work.put_payment(leg.payment, busy=leg_id)
    _hand_out(work, leg, "lookup", look_intent(work.order, leg, payment))


def _hand_out(work: Work, leg: Leg, kind: EffectKind, intent: Intent) -> None:
    """The request of a leg that has its payment to itself leaves with this commit."""
    payment = work.payment(leg.payment)
    work.effect(
        Effect(
            effect_id(leg.id),
            work.order.id,
            kind,
            payment.connection,
            payment.id,
            work.now,
            leg.id,
            leg.epoch,
            leg.attempts,
            True,
            intent,
            asked=work.order.head_seq,
        )
    )


def _await_capture(work: Work, leg_id: str) -> None:
    work.put_leg(leg_id, declined=REFUSED, resend=False)
    schedule(work, leg_id, "lookup", work.now + CAPTURE_WAIT)


def _refused_for_good(work: Work, leg: Leg) -> None:
    """No capture that would explain it was told: some are never told, and only a reversal finds
    them. It has a key of its own; the cancel under the first one was refused for certain."""
    if not reversible(work, leg):
        not_released(work, leg, "not_found_declined")
        return
    work.put_leg(leg.id, reverse=True)
    move(work, leg.id, "reversible", code=REFUSED)


def not_released(work: Work, leg: Leg, news: News) -> None:
    """It ends so."""
    work.put_leg(leg.id, failure=REFUSED)
    move(work, leg.id, news, code=REFUSED)
    _finish(work, leg.id)
    tell_refused(work, leg)


def _round(work: Work, leg_id: str, resend: bool) -> Leg:
    """One more fruitless round; a person is told when it has been too many."""
    _, leg = work.leg(leg_id)
    if leg.tries + 1 == STUCK_AFTER:
        work.event("exception.raised", what="stuck", leg=leg_id, state=leg.state, tries=leg.tries)
    return work.put_leg(leg_id, tries=leg.tries + 1, resend=resend)


def _look(work: Work, leg_id: str) -> None:
    _, leg = work.leg(leg_id)
    if leg.declined == REFUSED:
        _await_capture(work, leg_id)
        return
    look = can_look(work, leg.payment)
    pause = pause_of(leg) if look else pause_of(leg, LONGER)
    if not look and leg.stored:  # the same bytes are not to be sent again
        pause = WATCH
    _round(work, leg_id, resend=not look and not leg.stored)
    leg = work.put_leg(leg_id, doubt=True)
    schedule(work, leg_id, "lookup", next_look(work, leg, pause))


def _again(work: Work, leg_id: str) -> None:
    """The same bytes under the same key; once the key may be gone, or the provider keeps giving its
    stored error, only look-ups (I3)."""
    _, leg = work.leg(leg_id)
    if leg.declined == REFUSED:
        _await_capture(work, leg_id)
        return
    long = leg.state == "unknown" and not can_look(work, leg.payment)
    pause = pause_of(leg, LONGER) if long else pause_of(leg)
    if leg.state == "unknown" and _only_look(work, leg, pause):
        _round(work, leg_id, resend=False)
        schedule(work, leg_id, "lookup", next_look(work, leg, pause))
        return
    leg = _round(work, leg_id, resend=True)
    schedule(work, leg_id, "send", next_look(work, leg, pause) if long else work.now + pause)


def _only_look(work: Work, leg: Leg, pause: int) -> bool:
    """Whether the same bytes can tell nothing more, or must not go: their key may be gone, their
    stored answer is known well, they would only put off the look-up that closes the attempt, or
    another attempt has paid."""
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    closing = work.now + pause >= leg.first_sent_at + terms.indeterminate_after
    enough = leg.stored >= STORED_ENOUGH or (leg.stored > 0 and closing)
    return enough or leg.surfaced or key_may_be_gone(work, leg)


def _renew(work: Work, leg_id: str) -> None:
    """Settled as not executed: close the attempt and open one under a new key, in this commit."""
    _, leg = work.leg(leg_id)
    work.event("leg.news", leg=leg_id, news="attempt_closed", key=leg.key, attempts=leg.attempts)
    fresh(work, leg_id)
    _go(work, leg_id)


def fresh(work: Work, leg_id: str) -> None:
    _, leg = work.leg(leg_id)
    work.put_leg(
        leg_id,
        epoch=leg.epoch + 1,
        attempts=0,
        first_sent_at=0,
        last_sent_at=0,
        in_flight=False,
        doubt=False,
        full=False,
        rest=0,
        resend=False,
        stored=0,
        tries=0,
        declined="",
        unfunded=False,
        told=(),
        psp_release_id="",
    )


def _wait_funds(work: Work, leg_id: str) -> None:
    _, leg = work.leg(leg_id)
    if leg.waits + 1 == FUNDS_LONG:
        work.event("exception.raised", what="stuck", leg=leg_id, state=leg.state, tries=FUNDS_LONG)
    work.put_leg(leg_id, waits=leg.waits + 1)
    fresh(work, leg_id)
    schedule(work, leg_id, "send", work.now + FUNDS_AGAIN)


def watch(work: Work, leg_id: str) -> None:
    """Look in some day, in case the webhook of its end is lost."""
    schedule(work, leg_id, "lookup", work.now + WATCH)


# -- the rest ----------------------------------------------------------------------------------


def _reread_leg(work: Work, leg_id: str) -> None:
    _, leg = work.leg(leg_id)
    if not can_look(work, leg.payment) and leg.state in FAILED:
        # A success told after the failure: old news, or paid after all. Nothing here can tell.
        work.event("exception.raised", what="contradicted", leg=leg_id, state=leg.state)
    reread(work, leg.payment)


def request_over(work: Work, leg_id: str) -> None:
    """The leg's request is no longer out; if its end scheduled nothing, the row is still leased."""
    row = effect_id(leg_id)
    if row not in work.effects and row not in work.done:
        move(work, leg_id, "over")


def _finish(work: Work, leg_id: str) -> None:
    """The effect row goes, unless its request is still out: then its answer takes it along."""
    _, leg = work.leg(leg_id)
    if not leg.in_flight and work.payment(leg.payment).busy != leg_id:
        work.finish(effect_id(leg_id))


TABLE_ACTIONS.update(
    {
        "go": _go,
        "send": _send,
        "probe": _probe,
        "look": _look,
        "again": _again,
        "renew": _renew,
        "await_capture": _await_capture,
        "wait_funds": _wait_funds,
        "watch": watch,
        "settle": settle,
        "unsettle": unsettle,
        "release": release,
        "reread": _reread_leg,
        "finish": _finish,
    }
)
