"""Worlds in which a refund's fees, charges or lost promotions are wrong, and what is said of it."""

from __future__ import annotations

from typing import Any

from tests.sim.broken import Change
from tests.sim.checked import World, share


def _kept(net: int, given: int, **more: Any) -> Change:
    """The waiting refund of 400 gives back `given` more, and keeps `net` back."""

    def change(w: World) -> None:
        parts = {"lines": [share("L2", 0, 333 + given, 67)]}
        for name, item in more.items():
            parts[name] = [{"net": net, **item}]
        w.refund("d")["breakdown"] = parts

    return change


FEE = {"kind": "handling"}
LOST = {"promotion": "p", "part": "L2"}

WRONG_AMOUNTS: dict[str, tuple[Change, str]] = {
    "a fee beside the amount": (_kept(5, 0, fees=FEE), "I6: rf_d of 400 has parts of 395"),
    "a fee of nothing": (_kept(0, 0, fees=FEE), "I6: rf_d keeps back a fee of nothing"),
    "more fees given back than were kept": (
        _kept(-10, -10, fees=FEE),
        "I6: 10 more of fees (handling) was given back than was kept",
    ),
    "a promotion nobody sold": (
        _kept(10, 10, lost=LOST),
        "I6: ('p', 'line', 'L2'): 10 was kept back of a discount of 0",
    ),
    "more given back than was kept": (
        _kept(-10, -10, lost=LOST),
        "I6: ('p', 'line', 'L2'): -10 was kept back of a discount of 0",
    ),
    "a charge nobody paid": (
        _kept(10, -10, charges={"id": "W", "quantity": 0}),
        "I6: ('charge', 'W', 'net'): 10 was given back of 0",
    ),
    "compensation beside the amount": (
        lambda w: w.refund("d")["breakdown"].update(compensation=3),
        "I6: rf_d of 400 has parts of 403",
    ),
}
