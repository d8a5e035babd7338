"""Worlds in which what was captured came undone, or more of an authorization was let go than was to
be, and nobody was told."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.checked import World


def uncaptured_again(w: World) -> None:
    """A person was told of one capture that failed, and not of the next one."""
    w.uncapture(9000)
    w.tell("paid_twice", 4100)
    w.payment["uncaptured"] = 12_000
    w.provider[0] |= {"captured": 0, "uncaptured": 12_000}
    again = {"payment": "pay_1", "psp_capture_id": "cap_2", "uncaptured": 3000}
    w.story["ord_1"].append(("payment.updated", again, ()))


def released(w: World, asked: int) -> None:
    """Somebody wanted to let go of so much; a request of ours let go of all."""
    w.orders["ord_2"]["refunds"][0]["legs"][0]["amount"] = asked
    w.movement(None)["key"] = "leg_v-1"


def captured_too(w: World) -> None:
    """The rest was captured where there was none."""
    released(w, 2000)
    w.movements.append(w.movement(None) | {"kind": "capture", "amount": 600})


def refused_unsaid(w: World) -> None:
    """A release that was under way is to be found out about again, and nobody had said no to it."""
    steps = [("sending", "pending"), ("pending", "unknown"), ("unknown", "succeeded")]
    named = {"leg": "leg_v", "psp_release_id": "cancel_1"}
    told = [("leg.moved", named | {"was": was, "now": now}, ()) for was, now in steps]
    w.story["ord_2"][-1:] = [*told[:-1], (*told[-1][:2], (1,))]


def refused_another(w: World) -> None:
    refused_unsaid(w)
    w.hear_item("CANCELLATION", "cancel_1", 2000)
    w.hear_item("CANCELLATION", "cancel_2", 2000, success="false")


def never_told(w: World) -> None:
    """Its provider took it up, and that is all that was ever heard."""
    leg = w.orders["ord_2"]["refunds"][0]["legs"][0]
    leg["state"] = w.story["ord_2"][-1][1]["now"] = "pending"


HOLDS: dict[str, tuple[Callable[[World], object], str]] = {
    "overdrawn by a capture that failed": (
        lambda w: w.uncapture(12_000),
        "I1: pay_1 is overdrawn by 4100, unsaid",
    ),
    "overdrawn by another capture that failed": (
        uncaptured_again,
        "I1: pay_1 is overdrawn by 4100, unsaid",
    ),
    "all let go instead of a part": (
        lambda w: released(w, 1500),
        "I1: 2000 of pi_2 was released by our hand, asked was 1500",
    ),
    "captured what was let go": (
        captured_too,
        "I1: pi_2 of 2000: 2000 was released and 600 captured by our hand",
    ),
    "captured and let go, nobody told": (
        lambda w: w.orders["ord_2"]["payments"][0].update(captured=500, captured_peak=500),
        "I1: pay_2 of 2000 has 500 captured and 2000 released, unsaid",
    ),
    "a release refused, nobody told": (
        refused_unsaid,
        "I9: leg_v went from pending back to unknown",
    ),
    "another release refused": (refused_another, "I9: leg_v went from pending back to unknown"),
    "a release nobody ever told of": (
        never_told,
        "liveness: leg_v is pending, whether it was released was never said",
    ),
}
