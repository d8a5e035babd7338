"""Worlds in which the provider exchanged, and what is said where the books hold it otherwise.

Order 1 is in dollars at 0.90; of refund `a` the provider took 27.90 EUR for 30.00 USD."""

from __future__ import annotations

from typing import Any

from tests.sim.broken import Change
from tests.sim.checked import CLEARING, World

FX = "fx_gain_loss"


def exchanged(w: World, took: int = 2790, booked: int = 2790, realised: int = 90) -> None:
    """As it should be: told, and booked as taken."""
    w.in_dollars(9, 10)
    w.leg("a")["settled"] = {"id": "txn_1", "currency": "EUR", "amount": 2790}
    w.movement("re_a").update(settled_currency="EUR", settled=took)
    entries = w.booked["ord_1"]
    place = next(i for i, e in enumerate(entries) if e[:3] == ("payout", "rf_a", "leg_a"))
    lines = [
        ("refunds_payable", 3000, booked - realised),
        (CLEARING, -3000, -booked),
        (FX, 0, realised),
    ]
    entries[place] = (*entries[place][:4], [line for line in lines if any(line[1:])])


def charged(w: World, amount: int = 30) -> None:
    """And a fee was taken, and is booked."""
    exchanged(w)
    w.leg("a")["settled"]["fee"] = 30
    w.movement("re_a").update(settled_fee=30)
    lines = [("provider_fees", amount, amount), (CLEARING, -amount, -amount)]
    w.booked["ord_1"].append(("provider_fee", "rf_a", "leg_a", "re_a", lines))
    w.story["ord_1"].append(("leg.news", {"leg": "leg_a", "news": "settled"}, ()))
    w.seal_last()


def _untold(w: World) -> None:
    exchanged(w)
    del w.leg("a")["settled"]


def _fee_unbooked(w: World) -> None:
    exchanged(w)
    w.leg("a")["settled"]["fee"] = 30
    w.movement("re_a").update(settled_fee=30)


def _books(**given: Any) -> Change:
    return lambda w: exchanged(w, **given)


WRONG_FX: dict[str, tuple[Change, str]] = {
    "other figures than the provider's": (
        _books(took=2791),
        "I5: leg_a was told ('EUR', 2790, 0), the provider took ('EUR', 2791, 0)",
    ),
    "figures nobody told": (_untold, "I5: leg_a is paid and was told no figures of it"),
    "booked at the order's rate": (
        _books(booked=2700, realised=0),
        "I5: leg_a took 2790 there, the books say 2700",
    ),
    "a cent of it not realised": (
        _books(realised=89),
        "I5: 89 is realised, what left comes to 90 (0)",
    ),
    "each payout of a payment rounded by itself": (  # 30.00 and 2.00 are 18 and 1, 32.00 are 20
        lambda w: w.in_dollars(61, 10_000),
        "I5: 0 is realised, what left comes to 1 (0)",
    ),
    "a fee that is nowhere": (_fee_unbooked, "I5: fees told {'EUR': 30}, the books say {}"),
    "a fee of another amount": (
        lambda w: charged(w, 31),
        "I5: fees told {'EUR': 30}, the books say {'EUR': 31}",
    ),
}
