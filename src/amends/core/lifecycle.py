"""The life of a leg, as one table: (state, news) -> (state, actions). `decide` is its only reader.

News that a provider *said* is its newest word (an answer or a look-up asked after the leg last
moved); *heard* is a webhook or an overtaken answer and may be stale, so it only moves forward, and
what would go sideways or back leads to a re-read instead (invariant I9). Every pair is here: moved,
ignored on purpose, or missing, which is a bug and raises.
"""

from __future__ import annotations

from typing import Literal, get_args

from amends.core.order import LegState
from amends.kernel.check import InvariantBroken

Action = Literal[
    "go",  # send when the payment is free
    "send",  # bytes may leave now, under the lease just taken
    "probe",  # ask again: the same bytes, or a look-up, whatever was scheduled
    "look",  # schedule a look-up
    "again",  # schedule the same bytes under the same key
    "renew",  # settled as not executed: a new attempt with a new key
    "wait_funds",  # a new attempt with a new key, later
    "await_capture",  # it was not released: wait for the capture that would explain it
    "watch",  # look in again some day, in case a webhook is lost
    "settle",  # the money left: reserve becomes refunded, book the payout
    "unsettle",  # it came back, or never left: book it back (I12)
    "reserve",  # it may still leave after all
    "release",  # it will not leave: give the reserve back
    "reread",  # ask the provider how it really is
    "finish",  # nothing more to do for the effect
]

News = Literal[
    "approve",
    "drop",
    "paid_outside",
    "credited",
    "clawed_back",
    "due",
    "funds_due",
    "lost",
    "declined",
    "doubted",
    "no_funds",
    "untaken",
    "not_sent",
    "unclear",
    "refused",
    "reversible",
    "not_found",
    "not_found_declined",
    "not_found_no_funds",
    "not_found_late",
    "lookup_failed",
    "over",
    "said_succeeded",
    "said_pending",
    "said_requires_action",
    "said_awaiting_funds",
    "said_failed",
    "said_canceled",
    "heard_succeeded",
    "heard_pending",
    "heard_requires_action",
    "heard_awaiting_funds",
    "heard_failed",
    "heard_canceled",
    "heard_ended",
]

STATES: tuple[LegState, ...] = get_args(LegState)
NEWS: tuple[News, ...] = get_args(News)

_OUT: tuple[LegState, ...] = ("sending", "unknown")  # the provider's word is still to come
_OPEN: tuple[LegState, ...] = ("pending", "requires_action", "awaiting_funds")
_ENDED: tuple[LegState, ...] = ("failed", "canceled")
SAME: tuple[tuple[LegState, News, News], ...] = (  # the news says what the leg already is
    ("succeeded", "said_succeeded", "heard_succeeded"),
    ("pending", "said_pending", "heard_pending"),
    ("requires_action", "said_requires_action", "heard_requires_action"),
    ("awaiting_funds", "said_awaiting_funds", "heard_awaiting_funds"),
    ("failed", "said_failed", "heard_failed"),
    ("canceled", "said_canceled", "heard_canceled"),
)

Step = tuple[LegState, tuple[Action, ...]]
TABLE: dict[tuple[LegState, News], Step] = {}
IGNORED: set[tuple[LegState, News]] = set()
IMPOSSIBLE: set[tuple[LegState, News]] = set()


def step(state: LegState, news: News) -> Step:
    """Where news leads a leg in `state`. A pair that cannot happen raises InvariantBroken."""
    if (state, news) in IGNORED:
        return state, ()
    found = TABLE.get((state, news))
    if found is None:
        raise InvariantBroken(f"a leg that is {state} cannot hear {news!r}")
    return found


def _row(states: tuple[LegState, ...], news: News, to: LegState | None, *actions: Action) -> None:
    for state in states:
        TABLE[(state, news)] = (to or state, actions)


def _ignore(states: tuple[LegState, ...], *news: News) -> None:
    IGNORED.update((state, item) for state in states for item in news)


def _fill_asking() -> None:
    """Our own steps: approval, sending, and what the absence of a clear answer leads to."""
    _row(("planned",), "approve", "sending", "go")
    _row(("planned", "sending"), "drop", "canceled", "release", "finish")
    _row(("planned",), "paid_outside", "succeeded", "settle")
    _row(("planned",), "credited", "succeeded", "settle")
    _row(("succeeded",), "clawed_back", "canceled", "unsettle", "finish")
    _row(("sending",), "due", None, "send")
    _row(("unknown", *_OPEN), "due", None, "probe")
    _row(("awaiting_funds",), "funds_due", "sending", "send")
    _row(("sending", "unknown"), "lost", "unknown", "look")
    _row(_OPEN, "lost", None, "watch")
    _row(("succeeded", *_ENDED), "due", None, "finish")
    _row(("succeeded", *_ENDED), "lost", None, "finish")
    _row(_OUT, "declined", "failed", "release")
    _row(_OUT, "doubted", "unknown", "look")
    _row(_OUT, "no_funds", "awaiting_funds", "wait_funds")
    _row(_OUT, "untaken", "sending", "renew")
    _row(_OUT, "not_sent", None, "again")
    _row(_OUT, "unclear", "unknown", "look")
    _row((*_OUT, *_OPEN), "refused", "unknown", "await_capture")
    _row(("unknown",), "reversible", "sending", "renew")
    _row(("unknown",), "not_found", None, "again")
    _row(("unknown",), "not_found_declined", "failed", "release")
    _row(("unknown",), "not_found_no_funds", "awaiting_funds", "wait_funds")
    _row(("unknown",), "not_found_late", "sending", "renew")
    _row(("unknown",), "lookup_failed", None, "look")
    _row(_OPEN, "lookup_failed", None, "watch")
    _row(_OPEN, "not_found", None, "watch")
    _row(("sending",), "over", None, "go")
    _row(("unknown",), "over", None, "look")
    _row(_OPEN, "over", None, "watch")
    _row(("succeeded", *_ENDED), "over", None, "finish")


def _fill_said() -> None:
    """The provider's newest word is the truth, even where it goes back."""
    _row((*_OUT, *_OPEN), "said_succeeded", "succeeded", "settle", "finish")
    _row((*_OUT, *_OPEN), "said_failed", "failed", "release", "finish")
    _row((*_OUT, *_OPEN), "said_canceled", "canceled", "release", "finish")
    _row(("succeeded",), "said_failed", "failed", "unsettle", "finish")
    _row(("succeeded",), "said_canceled", "canceled", "unsettle", "finish")
    _row(_ENDED, "said_succeeded", "succeeded", "reserve", "settle", "finish")
    opening: tuple[tuple[News, LegState], ...] = (
        ("said_pending", "pending"),
        ("said_requires_action", "requires_action"),
        ("said_awaiting_funds", "awaiting_funds"),
    )
    for news, to in opening:
        _row((*_OUT, *_OPEN), news, to, "watch")
        _row(("succeeded",), news, to, "unsettle", "reserve", "watch")
        _row(_ENDED, news, to, "reserve", "watch")


def _fill_heard() -> None:
    """Forward at once; sideways and back only after a re-read."""
    _row((*_OUT, *_OPEN), "heard_succeeded", "succeeded", "settle", "finish")
    _row((*_OUT, *_OPEN), "heard_failed", "failed", "release", "finish")
    _row((*_OUT, *_OPEN), "heard_canceled", "canceled", "release", "finish")
    _row(("succeeded",), "heard_failed", "failed", "unsettle", "finish")
    _row(("succeeded",), "heard_canceled", "canceled", "unsettle", "finish")
    _row((*_OUT, *_OPEN, "succeeded"), "heard_ended", None, "reread")  # it had ended once before
    _row(_OUT, "heard_pending", "pending", "watch")
    _row(_OUT, "heard_requires_action", "requires_action", "watch")
    _row(_OUT, "heard_awaiting_funds", "awaiting_funds", "watch")
    _row(_OPEN, "heard_pending", None, "reread")
    _row(_OPEN, "heard_requires_action", None, "reread")
    _row(_OPEN, "heard_awaiting_funds", None, "reread")
    _row(("succeeded",), "heard_requires_action", None, "reread")
    _row(_ENDED, "heard_succeeded", None, "reread")
    _row(_ENDED, "heard_requires_action", None, "reread")


def _fill_ignored() -> None:
    """Known to arrive, known to change nothing."""
    for state, said, heard in SAME:
        for news in (said, heard):
            TABLE.pop((state, news), None)
            IGNORED.add((state, news))
    _ignore(_ENDED, "heard_ended")
    _ignore(("failed",), "said_canceled", "heard_canceled")
    _ignore(("canceled",), "said_failed", "heard_failed")
    _ignore(("succeeded", *_ENDED), "heard_pending", "heard_awaiting_funds")
    overtaken: tuple[News, ...] = ("declined", "doubted", "no_funds", "not_sent", "unclear")
    _ignore((*_OPEN, "succeeded", *_ENDED), *overtaken, "untaken")
    _ignore(("succeeded", *_ENDED), "refused")
    _ignore(("sending", *_OPEN, "succeeded", *_ENDED), "reversible")
    settled: tuple[News, ...] = ("not_found_declined", "not_found_no_funds", "not_found_late")
    _ignore(("sending", "succeeded", *_ENDED), "not_found", *settled, "lookup_failed")
    _ignore(_OPEN, *settled)
    _ignore(_ENDED, "drop")


def _fill_impossible() -> None:
    """Nothing was sent for a planned leg, so nothing can be heard of it; what left or was decided
    is neither approved again nor dropped. `decide` refuses those requests before they get here."""
    decided = ("approve", "drop", "paid_outside", "credited")
    IMPOSSIBLE.update(("planned", news) for news in NEWS if news not in decided)
    for news in ("approve", "paid_outside", "credited"):
        IMPOSSIBLE.update((state, news) for state in STATES if state != "planned")
    IMPOSSIBLE.update((state, "drop") for state in ("unknown", *_OPEN, "succeeded"))
    IMPOSSIBLE.update((state, "clawed_back") for state in STATES if state != "succeeded")
    IMPOSSIBLE.update((state, "funds_due") for state in STATES if state != "awaiting_funds")


_fill_asking()
_fill_said()
_fill_heard()
_fill_ignored()
_fill_impossible()
