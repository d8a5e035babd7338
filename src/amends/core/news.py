"""What providers tell when asked: answers to what we sent, and look-ups; and effects coming due.

An answer of an overtaken attempt is applied, never dropped; refunds nobody here asked for are
adopted. What webhooks tell is in `heard`, what becomes of releases in `releases`.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from amends.core import fallback, fx, legs, releases, revivals, sellers
from amends.core.facts import Answered, EffectDue, LookedUp
from amends.core.holds import reserve
from amends.core.intents import unknown_capture
from amends.core.lifecycle import News
from amends.core.order import Leg, Order, Payment, Refund
from amends.core.patience import BACKOFF, can_look, settles_at
from amends.core.quote import adopted
from amends.core.rereads import reread, reread_id, schedule_reread, start_reread
from amends.core.reversals import REFUSED, tell_refused
from amends.core.reviews import deadline_due
from amends.core.stops import LOOK_AGAIN, stopped
from amends.core.work import Work
from amends.kernel.check import invariant
from amends.kernel.ids import derived, tail
from amends.kernel.outcome import Accepted, Declined, NotSent, PaymentState, RefundState, Unknown
from amends.kernel.time import SECOND, Instant

BUSY_PAUSE = 1 * SECOND  # another effect of the payment is out
_TRACES = ("destination", "bank_reference", "bank_reference_type")
PAID_BY_CLOSED = "paid_by_closed_attempt"  # why a leg failed that needed no second payment


# -- effects coming due ------------------------------------------------------------------------


def effect_due(work: Work, fact: EffectDue) -> None:
    """We hold the lease of an effect: decide what leaves now."""
    leg = _leg_of_effect(work.order, fact.effect)
    if leg is not None:
        _leg_due(work, leg, fact)
        return
    for payment in work.order.payments:
        if reread_id(payment.id) == fact.effect:
            _reread_due(work, payment, fact)
            return
    if not deadline_due(work, fact.effect):
        work.finish(fact.effect)


def _leg_of_effect(order: Order, effect: str) -> Leg | None:
    return next((g for r in order.refunds for g in r.legs if legs.effect_id(g.id) == effect), None)


def _leg_due(work: Work, leg: Leg, fact: EffectDue) -> None:
    payment = work.payment(leg.payment)
    if fact.lost and payment.busy == leg.id:
        payment = work.put_payment(payment.id, busy="")
        if not leg.in_flight:  # counted, so that its late answer is older than the next one's
            work.event("leg.news", leg=leg.id, news="look_up_lost")
    if fact.lost and leg.in_flight:
        work.put_leg(leg.id, in_flight=False, last_sent_at=work.now)  # bytes may leave until then
        legs.move(work, leg.id, "lost")
        legs.kick(work, payment.id)
        return
    if payment.busy == leg.id:
        return  # its request is out already; the answer, or its lease running out, decides
    if payment.busy:
        legs.schedule(work, leg.id, "send", work.now + BUSY_PAUSE)
        return
    if legs.blocked(work, leg):
        work.finish(fact.effect)  # `kick` makes it due when its turn comes
        return
    if legs.unsent(leg) and stopped(work.ctx.stops, work.order):
        legs.schedule(work, leg.id, "send", work.now + LOOK_AGAIN)
        return
    fresh_funds = leg.state == "awaiting_funds" and not leg.psp_refund_id
    legs.move(work, leg.id, "funds_due" if fresh_funds else "due")
    legs.kick(work, payment.id)  # nothing left if the leg had ended: whoever waits may go


def _reread_due(work: Work, payment: Payment, fact: EffectDue) -> None:
    if fact.lost and payment.busy == "reread":
        payment = work.put_payment(payment.id, busy="")
        work.event("payment.updated", payment=payment.id, news="look_up_lost")
    if payment.busy == "reread":
        return
    if payment.busy:
        reread(work, payment.id)
        work.finish(fact.effect)  # `kick` makes it due again when the payment is free
    else:
        start_reread(work, payment.id)


# -- answers -----------------------------------------------------------------------------------


def answered(work: Work, fact: Answered) -> None:
    """What the provider said to one attempt."""
    refund, leg = work.leg(fact.leg)
    current = (fact.epoch, fact.attempt) == (leg.epoch, leg.attempts)
    asked = fact.asked if current else 0
    if current:
        leg = work.put_leg(leg.id, in_flight=False)
        if work.payment(leg.payment).busy == leg.id:
            work.put_payment(leg.payment, busy="")
    outcome = fact.outcome
    if isinstance(outcome, Accepted):
        _accepted(work, leg, outcome, fact.epoch, asked)
    elif current:
        _not_accepted(work, refund, leg, outcome)
    if current:
        legs.request_over(work, leg.id)
        legs.kick(work, leg.payment)
    elif work.payment(leg.payment).busy == leg.id and not work.leg(leg.id)[1].attempts:
        # It was for a release that has become a refund since, of which nothing has left.
        work.put_payment(leg.payment, busy="")
        legs.move(work, leg.id, "over")
        legs.kick(work, leg.payment)


def _accepted(work: Work, leg: Leg, outcome: Accepted, epoch: int, asked: int) -> None:
    if outcome.refund is not None:
        state = outcome.refund
        _check_echo(work, leg, state)
        if epoch != leg.epoch:
            _surfaced(work, leg, state)
        else:
            _apply_refund(work, leg, state, asked, outcome.reference)
    elif epoch != leg.epoch:
        return  # a release that has become a refund since
    elif outcome.payment is None:
        legs.move(work, leg.id, "unclear", why="the answer does not say what was done")
    else:
        _release_accepted(work, leg, outcome.payment, asked, outcome.reference)


def _release_accepted(
    work: Work, leg: Leg, state: PaymentState, asked: int, reference: str
) -> None:
    body = {"psp_release_id": state.psp_release_id, "reference": reference}
    if state.psp_release_id:
        leg = work.put_leg(leg.id, psp_release_id=state.psp_release_id)
    _name_captures(work, leg.payment, state)
    done = releases.void_news(work, leg, state, asked)
    if not done and leg.declined != REFUSED:  # its refusal may be told before its answer
        legs.move(work, leg.id, legs.asked_status(leg, "pending", asked), **body)


def _check_echo(work: Work, leg: Leg, state: RefundState) -> None:
    """What the provider says it did is what we asked for, or a person looks (the order parks)."""
    invariant(
        (state.amount, state.currency) == (leg.amount, work.order.currency),
        f"asked {leg.amount} {work.order.currency} for {leg.id}, the provider made "
        f"{state.amount} {state.currency} of it ({state.psp_refund_id})",
    )


def _apply_refund(
    work: Work, leg: Leg, state: RefundState, asked: int, reference: str = ""
) -> None:
    if not leg.psp_refund_id:
        leg = work.put_leg(leg.id, psp_refund_id=state.psp_refund_id)
    if state.failure_reason:
        work.put_leg(leg.id, failure=state.failure_reason)
    news = legs.asked_status(leg, state.status, asked)
    if leg.revived and news in ("heard_failed", "heard_canceled") and can_look(work, leg.payment):
        news = "heard_ended"
    traces, before = _traces(work, leg, state), work.order.head_seq
    fx.told(work, leg.id, state.settled)
    if state.status == "failed":
        fallback.mark(work, leg.id)
    legs.move(
        work,
        leg.id,
        news,
        psp_refund_id=state.psp_refund_id,
        psp_at=state.psp_at or work.now,  # where it does not say, when we were told
        reference=reference,
        failure=state.failure_reason,
        **traces,
    )
    fx.read_untold(work, leg.id, state.settled)
    if traces and work.order.head_seq == before:  # the only news in it
        work.event("leg.news", leg=leg.id, news="traced", **traces)
    if news.startswith("said_"):  # what was asked before this is older, though nothing changed
        now = work.leg(leg.id)[1]
        work.put_leg(leg.id, moved=max(now.moved, asked))
    if leg.outside:
        refund, _ = work.leg(leg.id)
        _send_no_more(work, refund.attempt_of)


def _traces(work: Work, leg: Leg, state: RefundState) -> dict[str, str]:
    """Which way the money goes and what a bank finds it by, as far as that is news."""
    told = {name: getattr(state, name) for name in _TRACES}
    fresh = {name: said for name, said in told.items() if said and said != getattr(leg, name)}
    if fresh:
        work.put_leg(leg.id, **fresh)
    return fresh


def _not_accepted(
    work: Work, refund: Refund, leg: Leg, outcome: Declined | NotSent | Unknown
) -> None:
    body: dict[str, Any] = {"attempt": leg.attempts, "reference": outcome.reference}
    if isinstance(outcome, Declined):
        _declined(work, leg, outcome, body)
        return
    if isinstance(outcome, NotSent):
        if not leg.doubt:  # the key was never used: its retention has not begun
            work.put_leg(leg.id, first_sent_at=0)
        news: News = "not_sent"
        if leg.surfaced and not leg.doubt:
            work.put_leg(leg.id, failure=PAID_BY_CLOSED)
            news = "declined"
        legs.move(work, leg.id, news, **body, why=outcome.reason)
    else:
        stored = leg.stored + 1 if outcome.stored else leg.stored
        # Between the intent and its end is when bytes were sent: "not found" counts from here.
        work.put_leg(leg.id, stored=stored, last_sent_at=work.now)
        legs.move(work, leg.id, "unclear", **body, why=outcome.reason)
    _honour_pause(work, leg.id, outcome.retry_after)
    if outcome.alert and not leg.tries:
        work.event("exception.raised", what="alert", leg=leg.id, why=outcome.reason)


def _honour_pause(work: Work, leg_id: str, retry_after: int) -> None:
    """Not before the provider's Retry-After."""
    effect = work.effects.get(legs.effect_id(leg_id))
    if effect is not None and retry_after and effect.due < work.now + retry_after:
        legs.schedule(work, leg_id, effect.kind, work.now + retry_after)


def _declined(work: Work, leg: Leg, outcome: Declined, body: dict[str, Any]) -> None:
    body |= {"code": outcome.code}  # its sentence may name a person: it goes to the log only (I15)
    if leg.kind == "void" and outcome.kind == "canceled" and not (leg.doubt and leg.rest):
        releases.gone(work, leg.payment)
    elif leg.kind == "void" and outcome.kind == "captured" and not leg.doubt:
        releases.captured_first(work, leg, outcome.payment)
    elif leg.doubt:
        work.put_leg(
            leg.id,
            declined=outcome.code or "declined",
            unfunded=outcome.kind == "funds",
            untaken=leg.untaken or outcome.kind == "split",
        )
        legs.move(work, leg.id, "doubted", **body)
    elif outcome.kind == "funds" and not leg.surfaced:
        legs.move(work, leg.id, "no_funds", **body)
    elif outcome.kind == "split" and not leg.surfaced:
        work.put_leg(leg.id, untaken=True)
        legs.move(work, leg.id, "untaken", **body)
        sellers.tell(work, leg)
    else:
        work.put_leg(leg.id, failure=outcome.code)
        if outcome.kind == "final":
            fallback.mark(work, leg.id)
        legs.move(work, leg.id, "declined", **body)
        if leg.kind == "void" and leg.reverse and leg.state in ("sending", "unknown"):
            tell_refused(work, leg)
        if outcome.kind == "refunded":  # somebody else gave it back: see what
            reread(work, leg.payment)


# -- look-ups ----------------------------------------------------------------------------------


def looked_up(work: Work, fact: LookedUp) -> None:
    """What a look-up found, for one leg or for the whole payment."""
    payment = work.payment(fact.payment)
    out = bool(fact.leg) and work.leg(fact.leg)[1].in_flight  # overtaken by a send
    if payment.busy == (fact.leg or "reread") and not out:
        payment = work.put_payment(payment.id, busy="")
    outcome = fact.outcome
    if not fact.leg:
        _reread_answered(work, payment, outcome, fact.asked)
    elif isinstance(outcome, Accepted):
        _, leg = work.leg(fact.leg)
        if outcome.payment is not None and leg.kind == "void":
            _void_looked_up(work, leg, outcome.payment, fact)
        else:
            _listed(work, payment.id, outcome.refunds, fact.asked)
            _absent_or_found(work, fact.leg, outcome.refunds, fact.asked_at)
    else:
        legs.move(work, fact.leg, "lookup_failed")
        _honour_pause(work, fact.leg, getattr(outcome, "retry_after", 0))
    if fact.leg and not out:
        legs.request_over(work, fact.leg)
    legs.kick(work, payment.id)


def _reread_answered(work: Work, payment: Payment, outcome: Any, asked: int) -> None:
    if isinstance(outcome, Accepted):
        _reread_found(work, payment, outcome, asked)
    elif isinstance(outcome, Declined):
        # What was reported before it was captured counts as an authorization until this says that
        # there is none: then it is a capture whose money was to come.
        held = "" if unknown_capture(payment) else payment.authorization
        work.put_payment(payment.id, reread_tries=0, authorization=held)
        work.finish(reread_id(payment.id))
        work.event(
            "exception.raised", what="reread_declined", payment=payment.id, code=outcome.code
        )
    else:
        tries = payment.reread_tries + 1
        if tries == legs.STUCK_AFTER:
            told = {"what": "stuck", "payment": payment.id, "tries": tries}
            work.event("exception.raised", **told)
        again = {"reread": True, "look": not payment.captured_peak, "reread_tries": tries}
        work.put_payment(payment.id, **again)
        pause = BACKOFF[min(tries, len(BACKOFF) - 1)]
        schedule_reread(work, payment.id, work.now + pause)


def _reread_found(work: Work, payment: Payment, found: Accepted, asked: int) -> None:
    was_open = not payment.captured_peak
    work.put_payment(payment.id, reread_tries=0)
    work.finish(reread_id(payment.id))
    if found.payment is not None:
        _captures_listed(work, payment.id, found.payment)
        payment_news(work, payment.id, found.payment)
    _listed(work, payment.id, found.refunds, asked)
    if found.payment is not None and not was_open:
        _tell_unlisted(work, payment.id, found.payment)
    if was_open and work.payment(payment.id).captured_peak and not found.refunds:
        reread(work, payment.id)  # what was given back of the capture was not asked for yet


def _tell_unlisted(work: Work, payment_id: str, state: PaymentState) -> None:
    """More went back than the refunds that are listed: the provider took it, and of whose claim is
    not said. It cannot be booked from this; a person is told."""
    payment = work.payment(payment_id)
    ours = payment.pending_ours + payment.refunded_ours + payment.credited_ours
    more = state.refunded - ours - payment.external - payment.disputed
    if more > 0:
        told = {"what": "refunded_unlisted", "payment": payment_id, "amount": more}
        work.event("exception.raised", **told)


def _captures_listed(work: Work, payment_id: str, state: PaymentState) -> None:
    """The captures a provider lists are all there are: more cannot have been captured, and one that
    is known and not listed (declined, or its money is still to come) has nothing to give back."""
    _name_captures(work, payment_id, state)
    listed = {c.psp_capture_id for c in state.captures}
    payment = work.payment(payment_id)
    if listed:
        empty = tuple(name for name, _ in payment.captures if name not in listed)
        payment = work.put_payment(payment_id, failed_captures=empty)
    never = state.canceled and state.captured == 0  # captured by a shop's word, or a guess of ours
    if (state.captures or never) and 0 <= state.captured < payment.captured:
        work.put_payment(payment_id, captured=state.captured)
        work.event("payment.updated", payment=payment_id, captured=state.captured)
        raise_if_overpaid(work, payment_id)
        if never:
            releases.gone(work, payment_id)


def _name_captures(work: Work, payment_id: str, state: PaymentState) -> None:
    payment = work.payment(payment_id)
    held = payment.authorization == payment.psp_payment_id
    if held and any(c.psp_capture_id == payment.psp_payment_id for c in state.captures):
        payment = work.put_payment(payment_id, authorization="")  # it was a capture all along
    known = {payment.psp_payment_id, *dict(payment.captures)}
    fresh = tuple(
        (c.psp_capture_id, c.amount) for c in state.captures if c.psp_capture_id not in known
    )
    if fresh:
        work.put_payment(payment_id, captures=(*payment.captures, *fresh))


def _listed(work: Work, payment_id: str, refunds: tuple[RefundState, ...], asked: int) -> None:
    """Every refund the provider lists is one of ours, one adopted before, or adopted now."""
    for state in refunds:
        leg = _match(work.order, payment_id, state)
        if leg is None:
            _adopt(work, payment_id, state)
        else:
            _check_echo(work, leg, state)
            _apply_refund(work, leg, state, asked)


def _absent_or_found(
    work: Work, leg_id: str, refunds: tuple[RefundState, ...], asked_at: Instant
) -> None:
    """ "Not found" counts only long enough after the last byte; then it may settle the attempt."""
    _, leg = work.leg(leg_id)
    if any(state.psp_refund_id == leg.psp_refund_id for state in refunds):
        return
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    counts = not leg.in_flight and asked_at >= leg.last_sent_at + terms.lookup_delay
    news: News = "not_found"
    if counts and leg.declined:
        waits = leg.unfunded and not leg.surfaced
        news = "not_found_no_funds" if waits else "not_found_declined"
        if sellers.refused(leg) and not leg.surfaced:
            news = "not_found_late"  # as closed as an attempt gets: once more, without
            sellers.tell(work, leg)
        if news == "not_found_declined":
            fallback.mark(work, leg_id)
    elif counts and asked_at >= settles_at(work, leg):
        news = "not_found_declined" if leg.surfaced else "not_found_late"
    legs.move(work, leg_id, news)


def _void_looked_up(work: Work, leg: Leg, state: PaymentState, fact: LookedUp) -> None:
    if releases.void_news(work, leg, state, fact.asked):
        return
    if leg.state == "pending" and state.capturable > 0 and "not_released" not in leg.told:
        # It was taken up, and all of it stands: it came to nothing, or nothing shows yet.
        work.put_leg(leg.id, told=(*leg.told, "not_released"))
        work.event("exception.raised", what="not_released", leg=leg.id, amount=leg.amount)
    _absent_or_found(work, leg.id, (), fact.asked_at)


def _match(order: Order, payment_id: str, state: RefundState) -> Leg | None:
    """The leg a provider's refund belongs to: by its id there, else by our mark on it."""
    all_legs = [g for r in order.refunds for g in r.legs if g.payment == payment_id]
    for leg in all_legs:
        if leg.psp_refund_id == state.psp_refund_id:
            return leg
    for leg in all_legs:
        if leg.id != state.leg or leg.psp_refund_id or leg.kind == "void":
            continue
        if leg.epoch == state.epoch and leg.attempts:
            return leg
        # An attempt that was closed as not executed was executed after all, and the one that was
        # to follow has not left: it takes its place.
        if leg.epoch > state.epoch > 0 and legs.unsent(leg):
            return leg
    return None


def _adopt(work: Work, payment_id: str, state: RefundState) -> None:
    """A refund made by others, or by an attempt of ours that was closed as not executed: recorded
    whole, allocated, and raised where it pays what we pay too (edges 9 and 10)."""
    reversal = releases.reversed_by(work, payment_id, state)
    if not work.payment(payment_id).captured_peak or (reversal and reversal.kind == "void"):
        _too_early(work, payment_id, state)
        return
    refund_id = derived("rf", payment_id, state.psp_refund_id)
    leg = Leg(
        f"leg_{tail(refund_id)}_1",
        "refund",
        payment_id,
        state.amount,
        "pending",
        capture=state.psp_capture_id,
        psp_refund_id=state.psp_refund_id,
        outside=True,
        parties=sellers.asked_with(work, payment_id, state),
    )
    refund = Refund(
        id=refund_id,
        reason="external",
        amount=state.amount,
        stage="active",
        breakdown=adopted(work.order, state.amount),
        legs=(leg,),
        requested_by=f"external:{work.payment(payment_id).connection}",
        created_at=work.now,
        shown="",
        external=True,
    )
    invariant(
        state.currency == work.order.currency,
        f"{state.psp_refund_id} is in {state.currency}, the order in {work.order.currency}",
    )
    work.change(refunds=(*work.order.refunds, refund))
    reserve(work, leg.id)
    work.event(
        "refund.adopted",
        refund=refund_id,
        psp_refund_id=state.psp_refund_id,
        amount=state.amount,
        currency=state.currency,
        status=state.status,
        restock="undecided",
    )
    if state.status != "pending":
        _apply_refund(work, leg, state, work.order.head_seq)
    else:
        legs.watch(work, leg.id)
    if state.leg:
        work.put_refund(refund_id, attempt_of=state.leg)
        _send_no_more(work, state.leg)
        work.event(
            "exception.raised",
            what="closed_attempt_surfaced",
            leg=state.leg,
            psp_refund_id=state.psp_refund_id,
            amount=state.amount,
        )
    raise_if_overpaid(work, payment_id)


def _too_early(work: Work, payment_id: str, state: RefundState) -> None:
    """Providers dress the release of an authorization as a refund; no money moved. Should a capture
    have happened that we have not heard of, its news brings the re-read; at a provider that lists
    nothing, what was told is kept until then."""
    payment = work.payment(payment_id)
    if can_look(work, payment_id):
        work.put_payment(payment_id, reread=True)
        return
    told = [kept for kept in payment.early if kept.psp_refund_id == state.psp_refund_id]
    if not told or told[0].status in ("pending", "succeeded"):
        others = tuple(kept for kept in payment.early if kept not in told)
        work.put_payment(payment_id, early=(*others, state))


def adopt_early(work: Work, payment_id: str) -> None:
    """A capture is known now: the refunds by others that were told before it are adopted."""
    payment = work.payment(payment_id)
    if payment.early and payment.captured_peak:
        work.put_payment(payment_id, early=())
        for state in payment.early:
            refund_heard(work, payment_id, state)


def payment_news(work: Work, payment_id: str, state: PaymentState) -> None:
    """What is said of a payment as a whole: captures only grow, a release is final."""
    payment = work.payment(payment_id)
    if state.captured > payment.captured:
        take_more(work, payment_id, state.captured)
    elif state.canceled and not payment.captured_peak:
        releases.gone(work, payment_id)


def take_more(work: Work, payment_id: str, captured: int, psp_capture_id: str = "") -> None:
    """More was captured than was known, `captured` in all: for releases that are out, and for what
    waited for it."""
    releases.take_capture(work, payment_id, captured)
    work.event(
        "payment.updated", payment=payment_id, captured=captured, psp_capture_id=psp_capture_id
    )
    releases.after_capture(work, payment_id)
    releases.tell_if_both(work, payment_id)
    adopt_early(work, payment_id)
    legs.kick(work, payment_id)


def refund_heard(work: Work, payment_id: str, state: RefundState) -> None:
    """A refund as a webhook tells it: ours, adopted before, or somebody else's to adopt."""
    leg = _match(work.order, payment_id, state)
    if leg is None:
        _adopt(work, payment_id, state)
        return
    if leg.reverse:  # we asked for no amount: where this one is another, a person was told
        state = replace(state, amount=leg.amount)
    _check_echo(work, leg, state)
    _apply_refund(work, leg, state, 0)


def _send_no_more(work: Work, leg_id: str) -> None:
    """While the leg is paid by an attempt that was closed, what is out now is followed to its end,
    and nothing follows it (I2). Should that attempt fail, it goes on."""
    paid = any(
        leg.state not in ("failed", "canceled")
        for refund in work.order.refunds
        if refund.attempt_of == leg_id
        for leg in refund.legs
    )
    for refund in work.order.refunds:
        for leg in refund.legs:
            if leg.id == leg_id:
                work.put_leg(leg.id, surfaced=paid)
                if paid:
                    revivals.stop_retry(work, leg.id)


def _surfaced(work: Work, leg: Leg, state: RefundState) -> None:
    """An answer to an attempt that was closed as not executed: it was executed after all."""
    found = _match(work.order, leg.payment, state)
    if found is None:
        _adopt(work, leg.payment, state)
    else:
        _apply_refund(work, found, state, 0)


def raise_if_overpaid(work: Work, payment_id: str) -> None:
    payment = work.payment(payment_id)
    ours = payment.pending_ours + payment.refunded_ours + payment.credited_ours
    disputed = payment.disputed - _beyond(work.order, payment)
    over = ours + payment.external + disputed + payment.uncaptured - payment.captured
    if over > 0:
        work.event("exception.raised", what="paid_twice", payment=payment_id, amount=over)


def _beyond(order: Order, payment: Payment) -> int:
    """What disputes took beyond the payment, which was exchange: nobody else was paid that."""
    own = (d for d in order.disputes if d.payment == payment.id and not d.currency)
    return sum(d.beyond for d in own)
