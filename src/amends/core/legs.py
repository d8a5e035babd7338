"""Moving one leg: the table says where to, the actions here do what it says.

Reserve, payout and release change the numbers of I1 on the payment; sending and looking schedule
effects; every step that means something is an event. Delays are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from amends.core import postings
from amends.core.claims import claim, lapse
from amends.core.effects import Effect, EffectKind, LookupRefundsIntent
from amends.core.intents import look_intent, send_intent
from amends.core.lifecycle import Action, News, step
from amends.core.order import Leg, Payment, Refund, overdrawn, remaining
from amends.core.quote import refit
from amends.core.work import Work
from amends.kernel.check import invariant
from amends.kernel.ids import tail
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND, Instant

# An unknown outcome is first looked into after a second; later rounds wait longer, to ten minutes.
BACKOFF = (1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE)
FUNDS_AGAIN = 1 * HOUR  # a refused balance is seldom topped up sooner
FUNDS_LONG = 24  # rounds until a person is told
WATCH = 1 * DAY  # a pending refund is looked in on, in case its webhook is lost
STORED_ENOUGH = 3  # answers kept under the key: after these only look-ups can tell
KEY_MARGIN = 10 * MINUTE  # no resend so close to the end of the provider's key retention
PAID_BEFORE = "paid_before"  # why a leg failed that took the place of one that paid after all
STUCK_AFTER = 8  # fruitless rounds until a person is told

TABLE_ACTIONS: dict[Action, Callable[[Work, str], None]] = {}


def effect_id(leg_id: str) -> str:
    """One effect row per leg, whatever it is waiting to do."""
    return f"fx_{leg_id[4:]}"


def reread_id(payment_id: str) -> str:
    """The effect row of a look-up of a whole payment."""
    return f"fx_{tail(payment_id)}_all"


def move(work: Work, leg_id: str, news: News, **body: Any) -> None:
    """Apply one piece of news to a leg. `body` goes into the event (provider references, codes)."""
    _, leg = work.leg(leg_id)
    to, actions = step(leg.state, news)
    if to != leg.state:
        provider = news.startswith(("said_", "heard_"))
        work.put_leg(leg_id, state=to, moved=work.order.head_seq + 1 if provider else leg.moved)
    for action in actions:
        TABLE_ACTIONS[action](work, leg_id)
    if to != leg.state and "send" not in actions:
        work.event("leg.moved", leg=leg_id, was=leg.state, now=to, news=news, **body)
    elif body and actions:
        work.event("leg.news", leg=leg_id, state=to, news=news, **body)
    if to != leg.state and to in ("succeeded", "failed", "canceled"):
        kick(work, leg.payment)


def decide_leg(work: Work, leg_id: str, news: Literal["approve", "drop"]) -> None:
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
    wanted = payment.reread and payment.captured_peak > 0
    if wanted and reread_id(payment_id) not in work.effects:
        schedule_reread(work, payment_id, work.now)
    for refund in work.order.refunds:
        for leg in refund.legs:
            if leg.payment == payment_id and _waits(leg) and not blocked(work, leg):
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
        if not as_refund(work, leg_id):
            return
        leg = work.leg(leg_id)[1]
    if not leg.doubt and leg.kind == "refund" and overdrawn(work.order, refund.id, leg.payment):
        _taken(work, leg)
        return
    invariant(leg.attempts == 0 or not _key_may_be_gone(work, leg), "a key may have been forgotten")
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
    intent = send_intent(work.order, refund, leg, payment)
    work.effect(
        Effect(
            effect_id(leg_id),
            work.order.id,
            "send",
            payment.connection,
            payment.id,
            work.now,
            leg_id,
            leg.epoch,
            leg.attempts,
            True,
            intent,
            asked=work.order.head_seq,
        )
    )
    if leg.attempts == 1:
        work.event(
            "leg.sending",
            refund=refund.id,
            leg=leg_id,
            kind=leg.kind,
            key=leg.key,
            amount=leg.amount,
            connection=payment.connection,
            psp_payment_id=payment.psp_payment_id,
        )


def _fix_bytes(work: Work, leg: Leg) -> Leg:
    """What the request says besides the amount is settled with the first send of an epoch: the same
    key always has the same bytes, whatever is heard of the payment meanwhile (I3)."""
    payment = work.payment(leg.payment)
    if leg.kind == "void":
        return work.put_leg(leg.id, rest=payment.authorized - payment.voided - leg.amount)
    return work.put_leg(leg.id, full=leg.amount == payment.captured)


def as_refund(work: Work, leg_id: str) -> bool:
    """The authorization was captured before we could release it: this leg gives back captured
    money instead (edge 21). False if less was captured than it gives back: then it fails."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    if remaining(replace(payment, voiding=0)) < leg.amount:  # first come: others wait to be one too
        work.put_leg(leg_id, failure="exceeds_captured")
        move(work, leg_id, "said_failed", failure="exceeds_captured")
        work.event(
            "exception.raised", what="exceeds_captured", leg=leg_id, captured=payment.captured
        )
        return False
    work.put_leg(leg_id, kind="refund")
    work.put_payment(
        payment.id,
        voiding=payment.voiding - leg.amount,
        pending_ours=payment.pending_ours + leg.amount,
    )
    claim(work, refund.id)
    return True


def _taken(work: Work, leg: Leg) -> None:
    """Others took the money while this waited for its turn or for funds: it does not leave as well
    (edge 11), and a person is told."""
    work.put_leg(leg.id, failure="taken_by_others")
    move(work, leg.id, "said_failed", failure="taken_by_others")
    work.event("exception.raised", what="taken_by_others", leg=leg.id, amount=leg.amount)


def _key_may_be_gone(work: Work, leg: Leg) -> bool:
    """Whether the provider may have forgotten the key; it has not if it never took it up."""
    if not leg.first_sent_at:
        return False
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    return work.now >= leg.first_sent_at + max(0, terms.key_ttl - KEY_MARGIN)


# -- asking again ------------------------------------------------------------------------------


def _probe(work: Work, leg_id: str) -> None:
    """A look-up, or the same bytes again if that was scheduled and the key is surely still kept."""
    _, leg = work.leg(leg_id)
    resend = leg.state == "unknown" and leg.resend and not leg.surfaced
    if resend and not _key_may_be_gone(work, leg):
        _send(work, leg_id)
        return
    if not work.ctx.terms[work.payment(leg.payment).connection].lookup:
        _round(work, leg_id, resend=leg.resend)  # only a webhook or a statement can tell now
        schedule(work, leg_id, "lookup", work.now + WATCH)
        return
    payment = work.put_payment(leg.payment, busy=leg_id)
    work.effect(
        Effect(
            effect_id(leg_id),
            work.order.id,
            "lookup",
            payment.connection,
            payment.id,
            work.now,
            leg_id,
            leg.epoch,
            leg.attempts,
            True,
            look_intent(work.order, leg, payment),
            asked=work.order.head_seq,
        )
    )


def _pause(leg: Leg) -> int:
    return BACKOFF[min(leg.tries, len(BACKOFF) - 1)]


def _round(work: Work, leg_id: str, resend: bool) -> Leg:
    """One more fruitless round; a person is told when it has been too many."""
    _, leg = work.leg(leg_id)
    if leg.tries + 1 == STUCK_AFTER:
        work.event("exception.raised", what="stuck", leg=leg_id, state=leg.state, tries=leg.tries)
    return work.put_leg(leg_id, tries=leg.tries + 1, resend=resend)


def _look(work: Work, leg_id: str) -> None:
    _, leg = work.leg(leg_id)
    pause = _pause(leg)
    _round(work, leg_id, resend=not work.ctx.terms[work.payment(leg.payment).connection].lookup)
    leg = work.put_leg(leg_id, doubt=True)
    schedule(work, leg_id, "lookup", _next_look(work, leg, pause))


def _again(work: Work, leg_id: str) -> None:
    """The same bytes under the same key; once the key may be gone, or the provider keeps giving its
    stored error, only look-ups (I3)."""
    _, leg = work.leg(leg_id)
    pause = _pause(leg)
    if leg.state == "unknown" and _only_look(work, leg, pause):
        _round(work, leg_id, resend=False)
        schedule(work, leg_id, "lookup", _next_look(work, leg, pause))
        return
    _round(work, leg_id, resend=True)
    schedule(work, leg_id, "send", work.now + pause)


def _only_look(work: Work, leg: Leg, pause: int) -> bool:
    """Whether the same bytes can tell nothing more, or must not go: their key may be gone, their
    stored answer is known well, they would only put off the look-up that closes the attempt, or
    another attempt has paid."""
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    closing = work.now + pause >= leg.first_sent_at + terms.indeterminate_after
    enough = leg.stored >= STORED_ENOUGH or (leg.stored > 0 and closing)
    return enough or leg.surfaced or _key_may_be_gone(work, leg)


def _next_look(work: Work, leg: Leg, pause: int) -> Instant:
    """After the pause, but the look-up that can settle it is not missed."""
    settle_at = settles_at(work, leg)
    return settle_at if work.now < settle_at < work.now + pause else work.now + pause


def settles_at(work: Work, leg: Leg) -> Instant:
    """From when on a "not found" closes the attempt: indeterminate_after since the first byte, and
    lookup_delay since the last."""
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    return max(leg.first_sent_at + terms.indeterminate_after, leg.last_sent_at + terms.lookup_delay)


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


# -- money -------------------------------------------------------------------------------------


def reserve(work: Work, leg_id: str) -> None:
    """Set the leg's amount aside on its payment. Without room, which only others' doing can cause,
    it is counted as external and a person is told: both may have paid (edge 9)."""
    _, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    if leg.kind == "void":
        work.put_payment(payment.id, voiding=payment.voiding + leg.amount)
    elif leg.outside or remaining(payment) < leg.amount:
        work.put_payment(payment.id, external=payment.external + leg.amount)
        if not leg.outside:
            work.put_leg(leg_id, outside=True)
            work.event("exception.raised", what="double_benefit", leg=leg_id, amount=leg.amount)
    else:
        work.put_payment(payment.id, pending_ours=payment.pending_ours + leg.amount)


def release(work: Work, leg_id: str) -> None:
    """It will not leave: give the amount back. A claim nobody pays lapses with its last leg."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    work.put_leg(leg_id, failure=leg.failure or leg.declined)
    if leg.kind == "void":
        work.put_payment(payment.id, voiding=payment.voiding - leg.amount)
    elif leg.outside:
        work.put_payment(payment.id, external=payment.external - leg.amount)
    else:
        work.put_payment(payment.id, pending_ours=payment.pending_ours - leg.amount)
    refund = work.refund(refund.id)
    ended = all(g.state in ("failed", "canceled") for g in refund.legs if not g.replaced)
    if ended and not any(g.was_paid for g in refund.legs):
        lapse(work, refund)


def _settle(work: Work, leg_id: str) -> None:
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    leg = work.put_leg(
        leg_id, paid_at=work.now, was_paid=True, tries=0, failure="", doubt=False, waits=0
    )
    if leg.kind == "void":
        _settle_void(work, refund, leg, payment)
    elif refund.external:
        work.book(postings.external(work.order, refund, leg, work.now))
    else:
        if not leg.outside:
            work.put_payment(
                payment.id,
                pending_ours=payment.pending_ours - leg.amount,
                refunded_ours=payment.refunded_ours + leg.amount,
            )
        claim(work, refund.id)
        work.book(postings.payout(work.order, refund, leg, work.now))


def _settle_void(work: Work, refund: Refund, leg: Leg, payment: Payment) -> None:
    changes: dict[str, int] = {
        "voiding": payment.voiding - leg.amount,
        "voided": payment.voided + leg.amount,
    }
    if leg.rest:  # part of it was released by capturing the rest
        captured = max(leg.rest, payment.captured)
        changes |= {"captured": captured, "captured_peak": max(captured, payment.captured_peak)}
    work.put_payment(payment.id, **changes)
    work.book(postings.void(work.order, refund, leg, work.now))


def _unsettle(work: Work, leg_id: str) -> None:
    """The money is back with us (I12); the claim stands."""
    refund, leg = work.leg(leg_id)
    payment = work.payment(leg.payment)
    work.put_leg(leg_id, paid_at=0)
    if leg.kind == "void":
        return  # a released authorization cannot come back; the news is on the trail
    if refund.external:
        work.put_payment(payment.id, external=payment.external - leg.amount)
        work.book(postings.external(work.order, refund, leg, work.now, back=True))
        return
    if leg.outside:
        work.put_payment(payment.id, external=payment.external - leg.amount)
    else:
        work.put_payment(payment.id, refunded_ours=payment.refunded_ours - leg.amount)
    work.book(postings.payout_failed(work.order, refund, leg, work.now))


# -- the rest ----------------------------------------------------------------------------------


def reread(work: Work, payment_id: str) -> None:
    """Ask the provider for everything it knows of this payment, as soon as it is free."""
    payment = work.put_payment(payment_id, reread=True)
    if not payment.busy:
        schedule_reread(work, payment_id, work.now)


def schedule_reread(work: Work, payment_id: str, due: Instant) -> None:
    payment = work.payment(payment_id)
    effect = Effect(
        reread_id(payment_id), work.order.id, "lookup", payment.connection, payment_id, due
    )
    work.effect(effect)


def start_reread(work: Work, payment_id: str) -> None:
    """Under the lease just taken: list the payment's refunds. What is wanted from now on is another
    one: this one may not show it."""
    payment = work.put_payment(payment_id, busy="reread", reread=False)
    intent = LookupRefundsIntent(
        payment.connection, payment.psp_payment_id, work.order.currency, charge=payment.charge
    )
    work.effect(
        Effect(
            reread_id(payment_id),
            work.order.id,
            "lookup",
            payment.connection,
            payment_id,
            work.now,
            start=True,
            intent=intent,
            asked=work.order.head_seq,
        )
    )


def _reread_leg(work: Work, leg_id: str) -> None:
    _, leg = work.leg(leg_id)
    reread(work, leg.payment)


def request_over(work: Work, leg_id: str) -> None:
    """The leg's request is no longer out; if its end scheduled nothing, the row is still leased."""
    row = effect_id(leg_id)
    if row not in work.effects and row not in work.done:
        move(work, leg_id, "over")


def _resume(work: Work, leg_id: str) -> None:
    """What had ended may pay after all. Where another leg or refund took its place and may have
    left meanwhile, both pay (edge 9): a person is told, and it is allocated to what is left."""
    work.put_leg(leg_id, revived=True)
    stop_retry(work, leg_id)
    _stop_successors(work, work.leg(leg_id)[0].id)
    refund, leg = work.leg(leg_id)
    fitting = refit(work.order, refund)
    if leg.replaced or fitting != refund.breakdown:
        work.put_refund(refund.id, breakdown=fitting)
        work.event("exception.raised", what="double_benefit", leg=leg_id, amount=leg.amount)
    reserve(work, leg_id)


def stop_retry(work: Work, leg_id: str) -> None:
    """A leg that was tried again turns out to pay. What took its place does not leave any more: it
    ends and the first one counts again, or, if it may have left, nothing follows it."""
    refund, leg = work.leg(leg_id)
    later = [g for g in refund.legs if not g.replaced and g.id != leg_id]
    heir = next((g for g in later if (g.payment, g.amount) == (leg.payment, leg.amount)), None)
    if not leg.replaced or heir is None:
        return
    if not unsent(heir):
        work.put_leg(heir.id, surfaced=heir.state not in ("succeeded", "failed", "canceled"))
        return
    work.put_leg(leg_id, replaced=False)
    work.put_leg(heir.id, replaced=True)
    _stop(work, heir)


def _stop_successors(work: Work, refund_id: str) -> None:
    """So do the legs of a refund that took its claim over, as far as they have not left."""
    for refund in work.order.refunds:
        if refund_id in refund.takes_over and refund.stage == "active":
            for leg in refund.legs:
                if unsent(leg) and not leg.replaced:
                    _stop(work, leg)


def _stop(work: Work, leg: Leg) -> None:
    work.put_leg(leg.id, failure=PAID_BEFORE)
    move(work, leg.id, "said_failed", failure=PAID_BEFORE)
    work.event("exception.raised", what="paid_before", leg=leg.id, amount=leg.amount)


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
        "wait_funds": _wait_funds,
        "watch": watch,
        "settle": _settle,
        "unsettle": _unsettle,
        "reserve": _resume,
        "release": release,
        "reread": _reread_leg,
        "finish": _finish,
    }
)
