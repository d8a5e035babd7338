"""From a seed with a violation to the smallest story that still has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from amends.sim.play.game import Game
from amends.sim.play.trouble import GROUPS
from amends.sim.play.wish import Report

REPLAYS = 25  # at most, of which so many go to leaving out orders
FOR_ORDERS = 12
SECONDS = 180.0  # of real time, after which no replay begins

Target = tuple[str, str]  # invariant and order number ("" for the whole world)
Replay = Callable[[Game], Report]


class Shrunk(msgspec.Struct):
    """The smallest game found, its report, and the violation it was held against. `again` False:
    the violation did not come back when the whole game was replayed."""

    game: Game
    report: Report
    target: Target
    replays: int
    again: bool = True


def targeted(report: Report) -> Target:
    """The violation to look at: the first about an order, else the first."""
    about = [(invariant, number) for _, invariant, number, _ in report.violations]
    return next((found for found in about if found[1]), about[0])


def has(report: Report, target: Target) -> bool:
    """Whether a run found this violation."""
    return any((invariant, number) == target for _, invariant, number, _ in report.violations)


def shrink(game: Game, target: Target, replay: Replay = Game.play) -> Shrunk:
    """Leave out orders, then kinds of faults, as long as the violation stays.

    Raises NoRoom when a replay finds no database.
    """
    return _Shrinking(game, target, replay).shrunk()


class _Shrinking:
    def __init__(self, game: Game, target: Target, replay: Replay) -> None:
        self.target, self._replay = target, replay
        self.game, self.report = msgspec.structs.replace(game, keep=""), None
        self.replays = 0
        self._until = time.monotonic() + SECONDS

    game: Game
    report: Report | None

    def shrunk(self) -> Shrunk:
        self._orders()
        self._kinds()
        again = True
        if self.report is None:
            self.replays += 1
            self.report = self._replay(self.game)
            again = has(self.report, self.target)
        return Shrunk(self.game, self.report, self.target, self.replays, again)

    def _holds(self, game: Game, most: int = REPLAYS) -> bool:
        """Whether this game still has the violation; if so it is what we go on from."""
        if self.replays >= most or time.monotonic() > self._until:
            return False
        self.replays += 1
        report = self._replay(game)
        if not has(report, self.target):
            return False
        self.game, self.report = game, report
        return True

    def _orders(self) -> None:
        """The order alone; else halves, quarters … are taken away as long as some can be."""
        number = self.target[1]
        if number and self._only((number,)):
            return
        left = self.game.only or tuple(str(n) for n in range(1, self.game.orders + 1))
        size = (len(left) + 1) // 2
        while size and len(left) > 1:
            for start in range(0, len(left), size):
                gone = set(left[start : start + size]) - {number}
                kept = tuple(order for order in left if order not in gone)
                if kept and len(kept) < len(left) and self._only(kept):
                    left = kept
                    break
            else:
                size //= 2
            size = min(size, (len(left) + 1) // 2)

    def _only(self, orders: tuple[str, ...]) -> bool:
        return self._holds(msgspec.structs.replace(self.game, only=orders), FOR_ORDERS)

    def _kinds(self) -> None:
        """All kinds at once; else group by group, then one kind after the other."""
        if self._leave_out(kind for kinds in GROUPS.values() for kind in kinds):
            return
        for kinds in GROUPS.values():
            if not self._leave_out(kinds):
                for kind in kinds:
                    if self.report is None or self.report.faults.get(kind):
                        self._leave_out((kind,))

    def _leave_out(self, kinds: Iterable[str]) -> bool:
        without = self.game.without | set(kinds)
        if without == self.game.without:
            return True
        return self._holds(msgspec.structs.replace(self.game, without=without))
