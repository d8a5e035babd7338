"""How long to wait for a provider: until it can be asked again, until what it says settles an
attempt, and until a person is told that nothing was heard. Delays are microseconds."""

from __future__ import annotations

from amends.core.order import Leg
from amends.core.work import Work
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND, Instant

# An unknown outcome is first looked into after a second; later rounds wait longer, to ten minutes.
BACKOFF = (1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE)
# Where nothing can be looked up, rounds go on for days: the same bytes seldom tell more the tenth
# time. About thirty requests in a retention of seven days.
LONGER = (*BACKOFF, 30 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR)
KEY_MARGIN = 10 * MINUTE  # no resend so close to the end of the provider's key retention
UNHEARD_AFTER = 2 * DAY  # of the last byte, and no webhook: a person is told


def pause_of(leg: Leg, rounds: tuple[int, ...] = BACKOFF) -> int:
    """How long to wait before the next round."""
    return rounds[min(leg.tries, len(rounds) - 1)]


def can_look(work: Work, payment_id: str) -> bool:
    """Whether the provider answers look-ups; else only its webhooks and reports tell."""
    return work.ctx.terms[work.payment(payment_id).connection].lookup


def _alarms(work: Work, leg: Leg) -> tuple[tuple[Instant, str], ...]:
    """When a person is told of a leg that waits for a webhook: a while after its last byte, well
    before the provider may forget its key, and when it may have."""
    unheard = (leg.last_sent_at + UNHEARD_AFTER, "unheard")
    if leg.state != "unknown" or not leg.first_sent_at:
        return (unheard,)
    ttl = work.ctx.terms[work.payment(leg.payment).connection].key_ttl
    ending, ended = ttl - ttl // 4, max(0, ttl - KEY_MARGIN)
    return (
        unheard,
        (leg.first_sent_at + ending, "key_ending"),
        (leg.first_sent_at + ended, "key_ended"),
    )


def tell_late(work: Work, leg: Leg) -> Leg:
    if leg.outside:
        return leg  # nothing left here: nobody waits for word of it
    for at, what in _alarms(work, leg):
        if at <= work.now and what not in leg.told:
            leg = work.put_leg(leg.id, told=(*leg.told, what))
            work.event(
                "exception.raised", what=what, leg=leg.id, state=leg.state, key=leg.key, due=at
            )
    return leg


def key_may_be_gone(work: Work, leg: Leg) -> bool:
    """Whether the provider may have forgotten the key; it has not if it never took it up."""
    if not leg.first_sent_at:
        return False
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    return work.now >= leg.first_sent_at + max(0, terms.key_ttl - KEY_MARGIN)


def next_look(work: Work, leg: Leg, pause: int) -> Instant:
    """After the pause, but the look-up that can settle it is not missed; nor, where none can, the
    moment to tell a person."""
    if not can_look(work, leg.payment):
        told = [at for at, what in _alarms(work, leg) if what not in leg.told and at > work.now]
        return min((work.now + pause, *told))
    settle_at = settles_at(work, leg)
    return settle_at if work.now < settle_at < work.now + pause else work.now + pause


def settles_at(work: Work, leg: Leg) -> Instant:
    """From when on a "not found" closes the attempt: indeterminate_after since the first byte, and
    lookup_delay since the last."""
    terms = work.ctx.terms[work.payment(leg.payment).connection]
    return max(leg.first_sent_at + terms.indeterminate_after, leg.last_sent_at + terms.lookup_delay)
