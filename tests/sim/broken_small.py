"""Worlds in which small amounts are held or were paid together, right at first, with one thing
broken in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amends.sim.checker import Ask
from tests.sim.checked import AT, World, _refund, claim, share

Change = Callable[[World], object]


def together(w: World) -> None:
    """Refund c of 500 pays what was held as f and g."""
    for name, net, tax in (("f", 167, 33), ("g", 250, 50)):
        parts = {"lines": [share("L2", 0, net, tax)]}
        refund = _refund(name, "canceled", parts, stage="combined", combined_in="rf_c")
        refund["legs"][0]["psp_refund_id"] = ""
        w.orders["ord_1"]["refunds"].append(refund)


def held(w: World, name: str = "h", least: int = 500) -> None:
    """A return of 100 waits until there is more; less than `least` does."""
    w.journal.minimum = {"EUR": least}
    parts = {"lines": [share("L2", 0, 83, 17)]}
    w.orders["ord_1"]["refunds"].append(_refund(name, "planned", parts, stage="held", claimed=100))
    w.payment["pending_ours"] += 100
    answer = {"id": f"rf_{name}"}
    w.journal.asks.append(Ask(name, AT, "1", {}, key=f"k-{name}", status=201, answer=answer))
    w.booked["ord_1"].append(claim(name, 83, 17))
    asked = {"refund": f"rf_{name}", "reason": "return", "amount": 100}
    w.story["ord_1"].append(("refund.requested", asked, ()))
    w.seal_last()


def _broken(first: Change, change: Change) -> Change:
    def broken(w: World) -> None:
        first(w)
        change(w)

    return broken


def _leg(name: str, **changes: Any) -> Change:
    return lambda w: w.leg(name).update(changes)


def _other_parts(w: World) -> None:
    w.refund("f")["breakdown"] = {"lines": [share("L2", 0, 166, 34)]}


def _in_two(w: World) -> None:
    leg = w.leg("c")
    leg["amount"] = 250
    w.refund("c")["legs"].append(leg | {"id": "leg_c2"})


def _owed(w: World) -> None:
    w.story["ord_1"][-1][1]["reason"] = "not_received"


def _sent(w: World) -> None:
    """Nothing of the order came back, and a part of it is left."""
    w.journal.minimum = {"EUR": 501}
    w.refund("b").update(stage="combined", combined_in="rf_a")


RIGHT_SMALL = (together, held, _broken(held, lambda w: held(w, "i")))
WRONG_SMALL: dict[str, tuple[Change, str]] = {
    "combined in nothing": (
        _broken(together, lambda w: w.refund("f").update(combined_in="rf_x")),
        "I2: rf_f is combined in rf_x",
    ),
    "paid beside what pays it": (
        _broken(together, _leg("f", state="succeeded")),
        "I2: leg_f is succeeded, rf_c pays it",
    ),
    "more than was held": (
        _broken(together, lambda w: w.orders["ord_1"]["refunds"].pop()),
        "I2: rf_c of 500 pays 200 held together",
    ),
    "for something else": (
        _broken(together, _other_parts),
        "I6: rf_c is for other parts than what was held",
    ),
    "paid in two": (
        _broken(together, _in_two),
        "I2: rf_c is paid by 2 movements of a payment",
    ),
    "held though it is enough": (
        lambda w: held(w, least=100),
        "liveness: rf_h of 100 is held, not 100",
    ),
    "held though they come to enough": (
        _broken(held, lambda w: held(w, "i", 150)),
        "liveness: 200 is held together, 150 is enough",
    ),
    "held though nothing can follow": (
        _broken(held, lambda w: w.payment.update(captured=4200, captured_peak=4200)),
        "liveness: 100 rests held and nothing else can follow",
    ),
    "held though it is owed": (
        _broken(held, _owed),
        "liveness: rf_h is owed (not_received) and held",
    ),
    "held and not claimed": (
        _broken(held, lambda w: w.refund("h").update(claimed=0)),
        "I5: rf_h claims 0, the books 100",
    ),
    "sent though it is small": (_sent, "I2: rf_c of 500 was sent, 501 is enough"),
}
