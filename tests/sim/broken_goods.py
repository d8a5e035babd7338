"""Worlds in which goods came back, right at first, with one thing broken in each."""

from __future__ import annotations

from collections.abc import Callable

from amends.sim.checker.spec import Return
from tests.sim.checked import Doc, World

Change = Callable[[World], object]
BACK: Doc = {"return_id": "ret-1", "lines": [["L1", 1]]}


def returned(w: World) -> None:
    """One of two units that had cost 901 in all came back, and its parcel was reported twice."""
    line = w.journal.reports["1"]["lines"][0]
    line |= {"cost": 901, "fulfilled": 2}
    told = [Return("1", name, "ret-1", [("L1", 1)]) for name in ("msg_r", "msg_s")]
    w.journal.returns = told
    restock(w, 451)
    move(w, 1)
    w.story["ord_1"].append(("return.received", BACK, ()))
    w.seal_last()


def move(w: World, units: int, line: str = "L1") -> None:
    place = {"order_id": "ord_1", "line": line, "sku": "S1", "disposition": "restock"}
    w.rows["stock_moves"].append(place | {"units": units})


def restock(w: World, cost: int, refund: str = "") -> None:
    lines = [("inventory", cost), ("cost_of_goods", -cost)]
    w.booked["ord_1"].append(("restock", refund, "", "", lines))


def returned_in_dollars(w: World) -> None:
    """What the order was paid in says nothing of what its goods had cost."""
    returned(w)
    w.in_dollars(1, 1)


def too_many(w: World) -> None:
    """Two more came back in a parcel without a name than had left; a person was told of one."""
    returned(w)
    w.journal.returns.append(Return("1", "msg_t", "", [("L1", 3)]))
    restock(w, 450)
    move(w, 1)
    w.story["ord_1"].append(("return.received", {"lines": [["L1", 3]]}, ()))
    w.seal_last()
    told = {"what": "returned_beyond_shipped", "line": "L1", "units": 2}
    w.story["ord_1"].append(("exception.raised", told, ()))


def out_of_stock(w: World) -> None:
    """A line of which the shop never said that it left, and said that it could not: who came back
    with it may have had it all the same."""
    w.journal.reports["1"]["lines"][1]["cost"] = 300
    w.journal.returns = [Return("1", "msg_r", "", [("L2", 1)])]
    w.refund("c")["breakdown"]["lines"][0]["quantity"] = 1
    asked = next(body for _, body, _ in w.story["ord_1"] if body.get("refund") == "rf_c")
    asked["reason"] = "out_of_stock"
    w.story["ord_1"].append(("return.received", {"lines": [["L2", 1]]}, ()))
    told = {"what": "returned_beyond_shipped", "line": "L2", "units": 1}
    w.story["ord_1"].append(("exception.raised", told, ()))


def _again(change: Change, first: Change = returned) -> Change:
    def broken(w: World) -> None:
        first(w)
        change(w)

    return broken


def _twice(w: World) -> None:
    w.story["ord_1"].append(("return.received", BACK, ()))
    restock(w, 450)
    w.seal_last()


def _unbooked(w: World) -> None:
    w.booked["ord_1"].pop()
    w.story["ord_1"][-1] = ("return.received", BACK, ())


def _untold(w: World) -> None:
    w.story["ord_1"][-1][1]["units"] = 1


RIGHT_GOODS = (returned, returned_in_dollars, too_many, out_of_stock)
WRONG_GOODS: dict[str, tuple[Change, str]] = {
    "a parcel taken up twice": (
        _again(_twice),
        "I8: 1 parcels came back, 2 are on the trail",
    ),
    "goods in stock again twice": (
        _again(_twice),
        "I8: goods that had cost 451 came back, the books say 901",
    ),
    "goods not in stock again": (
        _again(_unbooked),
        "I8: goods that had cost 451 came back, the books say 0",
    ),
    "goods that never left": (
        _again(lambda w: w.journal.reports["1"]["lines"][0].update(fulfilled=1), too_many),
        "I8: goods that had cost 451 came back, the books say 901",
    ),
    "moved into stock twice": (
        _again(lambda w: move(w, 1)),
        "I8: 2 units of line L1 were moved into stock, 1 to 1 came back",
    ),
    "moved into stock, and nothing came": (
        lambda w: move(w, 1, "L2"),
        "I8: 1 units of line L2 were moved into stock, 0 to 0 came back",
    ),
    "back and not moved": (
        _again(lambda w: w.rows["stock_moves"].clear()),
        "I8: 0 units of line L1 were moved into stock, 1 to 1 came back",
    ),
    "nobody told of one too many": (
        _again(_untold, too_many),
        "I8: 4 of line L1 came back, 2 had left, a person was told of 1 too many",
    ),
    "goods of a refund": (
        lambda w: restock(w, 1, "rf_a"),
        "I8: entry 8 (restock) is of a refund",
    ),
    "a restock on other accounts": (
        lambda w: w.booked["ord_1"].append(
            ("restock", "", "", "", [("inventory", 1), ("sales_returns", -1)])
        ),
        "I5: entry 8 (restock) is on sales_returns",
    ),
}
