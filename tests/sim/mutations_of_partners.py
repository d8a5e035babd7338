"""Guards of what others are told, taken out; see `tests.sim.mutations`, which lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core import stock
from amends.core.outlets import Booked
from amends.engine import daybooks
from amends.engine.outbox import Outbox
from amends.gateways import subscriber
from amends.kernel.outcome import Accepted, Unknown
from amends.store import outbox


def another_id(patch: pytest.MonkeyPatch) -> None:
    """Each try has an id of its own, so that nobody can know that it is one."""
    whole = subscriber.talk

    def talk(telling: Any, settings: Any, now: int) -> Any:
        return whole(replace(telling, key=f"{telling.key}-{now}"), settings, now)

    patch.setattr(subscriber, "talk", talk)


def out_of_turn(patch: pytest.MonkeyPatch) -> None:
    """What is ready is told, whatever waits before it."""
    head, _, rest = outbox._READY.partition("AND (NOT d.ordered")
    _, _, order = rest.partition("'stuck')))")
    patch.setattr(outbox, "_READY", head + order)


def no_answer_is_yes(patch: pytest.MonkeyPatch) -> None:
    whole = Outbox._came

    def came(self: Outbox, due: Any, outcome: Any) -> Any:
        return whole(self, due, Accepted() if isinstance(outcome, Unknown) else outcome)

    patch.setattr(Outbox, "_came", came)


def noted_twice(patch: pytest.MonkeyPatch) -> None:
    """The books of a day tell what credit notes and payments have told."""

    def nothing(tellings: Any) -> tuple[Booked, ...]:
        return ()

    patch.setattr(daybooks, "booked_of", nothing)


def stock_untold(patch: pytest.MonkeyPatch) -> None:
    """Of several lines that came back, those who keep stock hear of the first."""
    whole = stock._tell

    def tell(work: Any, return_id: str, goods: Any, but: str) -> None:
        whole(work, return_id, goods[:1], but)

    patch.setattr(stock, "_tell", tell)


def moved_twice(patch: pytest.MonkeyPatch) -> None:
    whole = stock._moved

    def moved(work: Any, return_id: str, goods: Any) -> None:
        whole(work, return_id, replace(goods, units=2 * goods.units))

    patch.setattr(stock, "_moved", moved)


# What was taken out, how, and the world it is found in.
TOLD: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None], str]] = {
    "another id each time": ("what is told again has the id it had", another_id, "told"),
    "told out of turn": ("of one order what is before comes first", out_of_turn, "told"),
    "no answer is a yes": ("what was not answered is told again", no_answer_is_yes, "told"),
    "told by the day too": (
        "the books of a day leave out what credit notes have told",
        noted_twice,
        "told",
    ),
    "stock not told": ("who keeps stock hears of all that came back", stock_untold, "told"),
    "moved twice": ("stock rises by what came back", moved_twice, "told"),
}
