"""The independent checker: a world at rest against the invariants, and nothing else.

Written from the invariants I1 to I15 and never from `core`: it shares no type and no arithmetic
with the engine it checks, and counts movements of money and entries, never idempotency keys. Each
rule is one function; `docs/simulation.md` lists them. I14 and sealed checkpoints are checked
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from amends.sim.checker import (
    fx,
    goods,
    ledger,
    money,
    news,
    parts,
    promises,
    sellers,
    small,
    trail,
)
from amends.sim.checker.growth import Growth
from amends.sim.checker.sight import Sight
from amends.sim.checker.spec import Ask, Journal, Row, Snapshot, Violation
from amends.sim.checker.view import Case, Told, cases, listen

__all__ = ["Ask", "Checker", "Journal", "Row", "Snapshot", "Violation"]

ENOUGH_PERCENT = 95  # of the refunds that could succeed

OF_ONE_ORDER: tuple[Callable[[Case], Iterator[Violation]], ...] = (
    money.never_more_than_captured,
    money.columns_are_the_legs,
    money.only_the_rest_is_released,
    money.rows_are_the_document,
    money.refunds_are_their_legs,
    money.each_movement_has_its_leg,
    money.succeeded_means_paid,
    money.waiting_legs_have_an_effect,
    money.never_both,
    news.disputes_are_the_providers,
    news.captured_is_the_providers,
    news.warnings_are_the_providers,
    ledger.entries_balance,
    ledger.entries_keep_to_their_accounts,
    ledger.functional_is_the_rate,
    ledger.the_rate_is_the_recorded_one,
    ledger.payable_is_what_is_owed,
    ledger.legs_are_booked,
    ledger.claims_stand,
    ledger.claims_name_their_parts,
    ledger.clearing_is_the_providers,
    ledger.captures_are_booked,
    ledger.disputes_are_booked,
    goods.restock_is_in_our_currency,
    fx.figures_are_the_providers,
    fx.what_left_is_what_it_was_worth,
    fx.realised_is_recomputed,
    fx.fees_are_the_providers,
    parts.components_keep_their_originals,
    parts.time_goes_back_once,
    parts.the_report_is_kept,
    small.together_is_paid_once,
    sellers.sellers_bear_their_parts,
    sellers.sellers_are_booked,
    trail.head_is_the_last_event,
    trail.entries_are_sealed,
    trail.events_name_who_and_what,
    trail.legs_never_go_back,
    trail.unpaid_has_a_cause,
)


class Checker:
    """Checks one run. It remembers the quiet points before, for what may only grow.

    `shop` and `psps` name the connections whose messages the journal lists.
    """

    def __init__(self, shop: str = "shop-1", psps: tuple[str, ...] = ("stripe-eu",)) -> None:
        self._shop, self._psps = shop, psps
        self._growth = Growth()
        self._legs: dict[str, str] = {}  # leg id -> its state at the last quiet point
        self._peaks: dict[str, tuple[int, int]] = {}  # payment or order id -> what only grows
        self._told = Told()
        self._read: set[tuple[str, str]] = set()  # inbox rows whose news is in `_told`

    def check(self, snapshot: Snapshot, journal: Journal) -> list[Violation]:
        """Everything that is wrong while the world is at rest; in the order of the rules."""
        return self.look((snapshot,), journal, final=False)

    def finish(self, snapshot: Snapshot, journal: Journal) -> list[Violation]:
        """`check`, and that everything acknowledged has come to its end: for the last quiet point
        of a run, days after the last fault."""
        return self.look((snapshot,), journal, final=True)

    def look(self, parts: Iterable[Snapshot], journal: Journal, final: bool) -> list[Violation]:
        """`check` or `finish` of a quiet point that comes in parts, each with all of its orders, so
        that only one is held at a time."""
        sight = Sight(journal)
        found: list[Violation] = []
        self._growth.begin()
        for snapshot in parts:
            fresh = self._growth.see(snapshot, found)
            self._listen(snapshot)
            known = cases(snapshot, journal, self._told)
            for case in known:
                for rule in OF_ONE_ORDER:
                    found += rule(case)
                found += self._never_back(case)
                if final:
                    found += promises.everything_ended(case)
            found += sight.of(snapshot, known, fresh)
        found += self._growth.end()
        found += sight.whole(self._shop, self._psps, ENOUGH_PERCENT if final else 0)
        return found

    # -- what needs the quiet points before ------------------------------------------------------

    def _listen(self, snapshot: Snapshot) -> None:
        """What messages have told us; remembered, since raw bodies expire."""
        unread = []
        for row in snapshot.rows["inbox"]:
            key = (row["connection"], row["message"])
            if row["connection"] in self._psps and row["state"] == "done" and key not in self._read:
                self._read.add(key)
                unread.append(row)
        listen(self._told, unread)

    def _never_back(self, case: Case) -> Iterator[Violation]:
        """I9 between quiet points: legs by the lattice, and what only grows."""
        for leg in case.order.legs:
            was = self._legs.get(leg.id, leg.state)
            if not trail.reachable(case, leg, was):
                yield case.wrong("I9", f"{leg.id} was {was} and is {leg.state}")
            self._legs[leg.id] = leg.state
        grows = [(p.id, (p.captured_peak, p.captured)) for p in case.order.payments]
        grows.append((case.order.id, (case.order.version, case.order.head_seq)))
        for name, now in grows:
            before = self._peaks.get(name, now)
            if now[0] < before[0] or now[1] < before[1]:
                yield case.wrong("I9", f"{name} went back from {before} to {now}")
            self._peaks[name] = now
