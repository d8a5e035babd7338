"""The independent checker: a world at rest against the invariants, and nothing else.

Written from the invariants I1 to I15 and never from `core`: it shares no type and no arithmetic
with the engine it checks, and counts movements of money and entries, never idempotency keys. Each
rule is one function; `docs/simulation.md` lists them. I14 and sealed checkpoints are checked
elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from amends.sim.checker import fx, ledger, money, news, parts, promises, trail
from amends.sim.checker.spec import Ask, Journal, Row, Snapshot, Violation
from amends.sim.checker.view import Case, Told, cases, event, listen

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
    ledger.disputes_are_booked,
    fx.figures_are_the_providers,
    fx.what_left_is_what_it_was_worth,
    fx.realised_is_recomputed,
    fx.fees_are_the_providers,
    parts.components_keep_their_originals,
    parts.the_report_is_kept,
    trail.head_is_the_last_event,
    trail.entries_are_sealed,
    trail.events_name_who_and_what,
    trail.legs_never_go_back,
    trail.unpaid_has_a_cause,
)

APPEND_ONLY: dict[str, tuple[str, ...]] = {
    "events": ("stream", "seq"),
    "entries": ("order_id", "number"),
    "postings": ("order_id", "entry", "line"),
}
Key = tuple[object, ...]


class Checker:
    """Checks one run. It remembers the quiet points before, for what may only grow.

    `shop` and `psps` name the connections whose messages the journal lists.
    """

    def __init__(self, shop: str = "shop-1", psps: tuple[str, ...] = ("stripe-eu",)) -> None:
        self._shop, self._psps = shop, psps
        self._kept: dict[str, dict[Key, Row]] = {table: {} for table in APPEND_ONLY}
        self._legs: dict[str, str] = {}  # leg id -> its state at the last quiet point
        self._peaks: dict[str, tuple[int, int]] = {}  # payment or order id -> what only grows
        self._told = Told()
        self._read: set[Key] = set()  # inbox rows whose news is in `_told`

    def check(self, snapshot: Snapshot, journal: Journal) -> list[Violation]:
        """Everything that is wrong while the world is at rest; in the order of the rules."""
        found, _ = self._check(snapshot, journal)
        return found

    def finish(self, snapshot: Snapshot, journal: Journal) -> list[Violation]:
        """`check`, and that everything acknowledged has come to its end: for the last quiet point
        of a run, days after the last fault."""
        found, known = self._check(snapshot, journal)
        for case in known:
            found += promises.everything_ended(case)
        found += promises.messages_are_matched(snapshot, _references(known))
        orders = {case.order.source.order_id: case for case in known}
        found += promises.most_succeeded(orders, journal, ENOUGH_PERCENT)
        return found

    def _check(self, snapshot: Snapshot, journal: Journal) -> tuple[list[Violation], list[Case]]:
        fresh, found = self._grown(snapshot)
        self._listen(snapshot)
        known = cases(snapshot, journal, self._told)
        for case in known:
            for rule in OF_ONE_ORDER:
                found += rule(case)
            found += self._never_back(case)
        found += self._promises(snapshot, journal, known)
        found += promises.nothing_personal(snapshot, journal, fresh)
        return found, known

    def _promises(
        self, snapshot: Snapshot, journal: Journal, known: list[Case]
    ) -> Iterator[Violation]:
        numbers = {case.order.source.order_id: case for case in known}
        ids = {case.order.id for case in known}
        parked = {case.order.id for case in known if case.order.parked}
        yield from promises.messages_are_on_disk(snapshot, journal, self._shop, self._psps)
        yield from promises.orders_are_on_disk(numbers, journal)
        yield from promises.nothing_is_left_lying(snapshot, parked)
        yield from ledger.no_strangers([*snapshot.rows["entries"], *snapshot.rows["postings"]], ids)
        refs = {
            (row["connection"], row["psp_payment_id"]): row["order_id"]
            for row in snapshot.rows["payment_refs"]
        }
        asks, inbox = promises.by_number(journal.asks), defaultdict(list)
        stored: set[str] = set()
        for row in snapshot.rows["inbox"]:
            inbox[row["order_id"]].append(row)
            if row["connection"] == "parked":
                stored.add(row["message"])
        for number, case in numbers.items():
            own = asks.get(number, [])
            yield from promises.payments_are_found(case, refs)
            yield from promises.asks_are_on_disk(case, own, stored)
            yield from trail.asked_once_made_once(case, own, inbox[case.order.id])

    # -- what needs the quiet points before ------------------------------------------------------

    def _grown(self, snapshot: Snapshot) -> tuple[dict[str, list[Row]], list[Violation]]:
        """The rows since the last quiet point; earlier ones must be there unchanged (I5, I10), and
        new events must continue their chains."""
        found: list[Violation] = []
        fresh: dict[str, list[Row]] = {}
        for table, key in APPEND_ONLY.items():
            now = {tuple(row[name] for name in key): row for row in snapshot.rows[table]}
            invariant = "I10" if table == "events" else "I5"
            if len(now) < len(snapshot.rows[table]):
                twice = len(snapshot.rows[table]) - len(now)
                found.append(Violation(invariant, "", f"{table} has {twice} rows of a place taken"))
            for name, row in self._kept[table].items():
                if now.get(name) != row:
                    what = "gone" if name not in now else "changed"
                    found.append(Violation(invariant, "", f"{table} {name} is {what}"))
            fresh[table] = [row for name, row in now.items() if name not in self._kept[table]]
        found += self._chained(fresh["events"])
        for table, rows in fresh.items():
            key = APPEND_ONLY[table]
            self._kept[table] |= {tuple(row[name] for name in key): dict(row) for row in rows}
        return fresh, found

    def _chained(self, fresh: list[Row]) -> Iterator[Violation]:
        heads = {key[0]: row for key, row in sorted(self._kept["events"].items(), key=_by_place)}
        streams: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(fresh, key=lambda row: row["seq"]):
            streams[row["stream"]].append(row)
        for stream, rows in streams.items():
            head = heads.get(stream, {"seq": 0, "hash": trail.GENESIS})
            events = [event(row) for row in rows]
            yield from trail.chain_holds(stream, events, head["seq"], head["hash"])

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


def _by_place(item: tuple[Key, Row]) -> tuple[str, int]:
    return item[1]["stream"], item[1]["seq"]


def _references(known: list[Case]) -> set[str]:
    """What an unmatched message may wait for, as its row spells it: "connection/id"."""
    found = {f"{c.order.source.connection}/{c.order.source.order_id}" for c in known}
    for case in known:
        found |= {f"{p.connection}/{p.psp_payment_id}" for p in case.order.payments}
    return found
