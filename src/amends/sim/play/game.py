"""A seed as it is asked for on the command line, played on a database of its own."""

from __future__ import annotations

import multiprocessing
import shlex
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import msgspec

from amends.sim.play.room import leave, room, shown
from amends.sim.play.run import play
from amends.sim.play.trouble import PROFILES, named
from amends.sim.play.wish import Report, Wish

DAYS, ORDERS, FAULTS = 30.0, 110, "default"
PROVIDERS = ("stripe",)
ASKS_LEAST = 200  # of a whole seed; fewer would prove little
TOUCHED_LEAST_PERCENT = 30
TOLD_MOST = 2000  # orders whose chronicle is kept; of more only that of some


class Game(msgspec.Struct, frozen=True):
    """One seed and how it is played. `only` keeps these order numbers alone, `without` leaves out
    these kinds of faults. `server` is the URL of a PostgreSQL that may make databases, "" a SQLite
    file. `workers` processes send; 0 is what the seed has by itself. Each payment is at one of
    `providers`. `asking`: the share of orders of which anybody asks anything. `keep`: a folder for
    database and settings that stay; "" is a temporary one. `partners`: an ERP and a shop's
    books are told what happens."""

    seed: int
    days: float = DAYS
    orders: int = ORDERS
    faults: str = FAULTS
    without: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()
    server: str = ""
    workers: int = 0
    providers: tuple[str, ...] = PROVIDERS
    asking: float = 1.0
    keep: str = ""
    partners: bool = True

    @property
    def usual_workers(self) -> int:
        """On PostgreSQL two in even seeds."""
        return 2 if self.server and self.seed % 2 == 0 else 1

    @property
    def whole(self) -> bool:
        """Whether it is the month that the least numbers were set for."""
        usual = Game(self.seed, server=self.server, workers=self.workers, providers=self.providers)
        return msgspec.structs.replace(self, keep="") == usual

    def play(self) -> Report:
        """Play it. Raises NoRoom when there is no database to be had."""
        profile = msgspec.structs.replace(PROFILES[self.faults], without=self.without)
        with room(self.server, str(self.seed), self.keep) as (store, folder):
            report = play(
                Wish(
                    self.seed,
                    store,
                    folder,
                    days=self.days,
                    orders=self.orders,
                    profile=profile,
                    only=self.only,
                    workers=self.workers or self.usual_workers,
                    providers=self.providers,
                    asking=self.asking,
                    chronicle=self.orders <= TOLD_MOST or bool(self.only),
                    keep=bool(self.keep),
                    partners=self.partners,
                )
            )
            if self.keep:
                leave(folder, store)
        if self.whole:
            _measure(report)
        return report

    def words(self) -> list[str]:
        """The options that make this game again."""
        found = ["--seed", str(self.seed)]
        if self.days != DAYS:
            found += ["--days", f"{self.days:g}"]
        if self.orders != ORDERS:
            found += ["--orders", str(self.orders)]
        if self.faults != FAULTS:
            found += ["--faults", self.faults]
        if self.without:
            found += ["--without", named(self.without)]
        if self.only:
            found += ["--only", ",".join(self.only)]
        if self.providers != PROVIDERS:
            found += ["--providers", ",".join(self.providers)]
        if not self.partners:
            found += ["--no-partners"]
        if self.asking != 1:
            found += ["--asking", f"{self.asking:g}"]
        if self.server:
            found += ["--store", shown(self.server)]
        if self.workers not in (0, self.usual_workers):
            found += ["--workers", str(self.workers)]
        return found

    def command(self) -> str:
        """What to type to see it again."""
        return shlex.join(["amends", "simulate", *self.words(), "--timeline"])


def _measure(report: Report) -> None:
    """A month in which little happens proves little, and is a violation."""
    if report.asks < ASKS_LEAST:
        said = f"a thin world: {report.asks} refunds asked, at least {ASKS_LEAST} are wanted"
        report.violations.append((report.days, "minimum", "", said))
    if report.touched * 100 < report.asks * TOUCHED_LEAST_PERCENT:
        said = f"a thin world: a fault touched {report.touched} of {report.asks} refunds"
        report.violations.append((report.days, "minimum", "", said))


def play_all(games: Sequence[Game], jobs: int) -> Iterator[Report]:
    """Their reports as they come, without chronicles; in this process if `jobs` is 1.

    Raises NoRoom, and BrokenProcessPool when one of the processes is killed.
    """
    if jobs == 1:
        for game in games:
            yield _told(game)
        return
    fresh = multiprocessing.get_context("spawn")
    stop = fresh.Event()
    with ProcessPoolExecutor(jobs, fresh, _heed, (stop,)) as pool:
        try:
            # Ctrl-C reaches every process of the terminal. One that it ends outside a game would
            # break the pool, and the others could not drop their databases any more.
            usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
            playing = [pool.submit(_deaf, game) for game in games]
            signal.signal(signal.SIGINT, usual)
            for done in as_completed(playing):
                yield done.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


_stops: list[Any] = []  # in a process of play_all: the event that says "no more"


def _heed(stop: Any) -> None:
    _stops.append(stop)


def _deaf(game: Game) -> Report:
    """Play in a process that hears of Ctrl-C only while it plays."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if any(stop.is_set() for stop in _stops):
            raise KeyboardInterrupt  # a pool hands out one more than it plays
        return _told(game)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _told(game: Game) -> Report:
    report = game.play()
    report.chronicle = []
    return report
