"""Worlds with a sale made for a seller, right at first, with one thing broken in each."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.checked import CLEARING, World

OWES = "seller_receivable:acct_1"


def market(w: World) -> None:
    """Refund `a` of 3,000 is of a sale of acct_1's, a tenth of it the platform's fee, and 2,700 was
    taken from him with it."""
    w.payment["sellers"] = [{"account": "acct_1", "amount": 12_000, "fee": 1200}]
    party = {"account": "acct_1", "amount": 3000, "part": 300, "fee": 300, "taken": 2700}
    w.leg("a").update(parties=[party], took=True)
    book(w, "seller_share", (OWES, 2700), ("platform_fees", 300), ("seller_shares", -3000))
    book(w, "seller_taken", (OWES, -2700), (CLEARING, 2700))


def book(w: World, kind: str, *lines: tuple[str, int]) -> None:
    w.booked["ord_1"].append((kind, "rf_a", "leg_a", "re_a", list(lines)))
    w.story["ord_1"].append(("leg.news", {"leg": "leg_a", "news": "booked"}, ()))
    w.seal_last()


def _broken(change: Callable[[World], object]) -> Callable[[World], None]:
    def broken(w: World) -> None:
        market(w)
        change(w)

    return broken


def _not_known(w: World) -> None:
    w.leg("a")["took"] = False


def _of_nobody(w: World) -> None:
    w.leg("a")["parties"] = []


def _seller(**changes: int) -> Callable[[World], None]:
    return lambda w: w.payment["sellers"][0].update(changes)


def _party(**changes: int) -> Callable[[World], None]:
    return lambda w: w.leg("a")["parties"][0].update(changes)


def _elsewhere(w: World) -> None:
    book(w, "seller_share", (OWES, 5), ("sales_returns", -5))


def _same_time(w: World) -> None:
    for name, start, end in (("a", 3, 9), ("c", 8, 12)):
        w.refund(name)["breakdown"]["unused"] = [{"line": "L1", "start": start, "end": end}]


SELLERS: dict[str, tuple[Callable[[World], object], str]] = {
    "a fee that went back and is not booked": (
        _broken(_party(fee=301)),
        "I5: leg_a booked 300 on platform_fees, is 301",
    ),
    "taken, and nobody knows": (_broken(_not_known), f"I5: leg_a booked 2700 on {CLEARING}, is 0"),
    "a share of nobody": (_broken(_of_nobody), "I5: entry 8 is of a leg without sellers"),
    "more than the seller was paid": (
        _broken(_seller(amount=2999)),
        "I6: acct_1 of pay_1 bears (3000, 300) of (2999, 1200)",
    ),
    "more of the fee than was paid": (
        _broken(_seller(fee=299)),
        "I6: acct_1 of pay_1 bears (3000, 300) of (12000, 299)",
    ),
    "more than was captured of the seller's part": (
        _broken(lambda w: w.payment.update(authorized=60_000)),
        "I6: acct_1 of pay_1 bears (3000, 300) of (2400, 240)",
    ),
    "more than the leg": (
        _broken(_party(amount=3001)),
        "I6: leg_a of 3000 is borne by sellers as 3001",
    ),
    "the same time twice": (_same_time, "I6: unit 8 of line L1 is given back twice"),
    "a share of sales": (_broken(_elsewhere), "I5: entry 10 (seller_share) is on sales_returns"),
}
