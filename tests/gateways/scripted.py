"""Plays a talk of an outlet against a party that answers each request."""

from __future__ import annotations

from collections.abc import Callable

from amends.gateways.spec import Failure, Request, Response, Talk
from amends.kernel.outcome import Outcome

Party = Callable[[Request], "Response | Failure"]

MOST = 60  # requests; a talk that asks more goes in circles


def play(talk: Talk, party: Party) -> Outcome:
    """What the talk comes to."""
    return broken_off(talk, party, MOST) or _endless()


def broken_off(talk: Talk, party: Party, after: int) -> Outcome | None:
    """The same, but nothing is heard any more once the party has had so many requests: None if the
    talk was not over by then."""
    try:
        request = next(talk)
        for _ in range(after):
            answer = party(request)
            request = talk.send(answer)
    except StopIteration as over:
        outcome: Outcome = over.value
        return outcome
    talk.close()
    return None


def _endless() -> Outcome:
    raise AssertionError("the talk does not end")
