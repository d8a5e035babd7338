"""What is promised to all: gathered from the parts of one quiet point, and judged as a whole where
no part can tell."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from amends.sim.checker import books, goods, ledger, partners, promises, small, trail
from amends.sim.checker.spec import Journal, Row, Snapshot, Violation
from amends.sim.checker.view import Case

Found = Iterator[Violation]


class Sight:
    """One quiet point."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asks = promises.by_number(journal.asks)
        self._returns = promises.by_number(journal.returns)
        self._books = books.Books(journal)
        self._partners = partners.Partners()
        self._personal = promises.by_beginning(journal.personal)
        self._numbers: set[str] = set()  # of orders
        self._messages: Counter[tuple[str, str]] = Counter()
        self._waiting: list[Row] = []  # messages
        self._references: set[str] = set()
        self._paid: dict[str, int] = {}  # order number: how many of what could succeed did

    def of(self, snapshot: Snapshot, known: list[Case], fresh: Mapping[str, list[Row]]) -> Found:
        """What is wrong with a part; `fresh` are its new rows of what may only grow."""
        ids = {case.order.id for case in known}
        parked = {case.order.id for case in known if case.order.parked}
        yield from promises.nothing_is_left_lying(snapshot, parked)
        yield from ledger.no_strangers([*snapshot.rows["entries"], *snapshot.rows["postings"]], ids)
        refs = {
            (row["connection"], row["psp_payment_id"]): row["order_id"]
            for row in snapshot.rows["payment_refs"]
        }
        yield from self._books.see(snapshot, known)
        self._partners.see(snapshot, known)
        moved = goods.moved(snapshot.rows["stock_moves"])
        notes, due = (_by_order(snapshot.rows[name]) for name in ("credit_notes", "documents_due"))
        inbox, stored = defaultdict(list), set()
        for row in snapshot.rows["inbox"]:
            self._messages[row["connection"], row["message"]] += 1
            inbox[row["order_id"]].append(row)
            if row["connection"] == "parked":
                stored.add(row["message"])
            if row["state"] in ("unmatched", "parked"):
                self._waiting.append(row)
        for case in known:
            number = case.order.source.order_id
            asks = self._asks.get(number, [])
            yield from promises.payments_are_found(case, refs)
            yield from promises.asks_are_on_disk(case, asks, stored)
            yield from promises.fees_are_those_asked(case, asks)
            returns = self._returns.get(number, [])
            yield from goods.each_unit_comes_back_once(case, returns)
            yield from goods.moves_are_the_parcels(case, returns, moved[case.order.id])
            yield from small.nothing_rests_held(case, self._journal.minimum)
            yield from small.nothing_small_leaves_alone(case, self._journal.minimum)
            own = notes[case.order.id], due[case.order.id]
            yield from books.documents_are_their_entries(case, *own)
            yield from trail.asked_once_made_once(case, asks, inbox[case.order.id])
            self._numbers.add(number)
            self._paid[number] = promises.succeeded(case, asks)
            self._references |= promises.references(case)
        yield from promises.nothing_personal(snapshot, self._personal, fresh)

    def whole(self, shop: str, psps: tuple[str, ...], share: int) -> Found:
        """What is wrong with all together. At the end at least `share` percent of what could
        succeed must have, and no message may wait for an order that is there."""
        yield from promises.messages_are_on_disk(self._messages, self._journal, shop, psps)
        yield from promises.orders_are_on_disk(self._numbers, self._journal)
        yield from self._books.whole(ended=share > 0)
        yield from self._partners.whole(ended=share > 0)
        if share:
            yield from promises.messages_are_matched(self._waiting, self._references)
            yield from promises.most_succeeded(self._paid, self._asks, share)


def _by_order(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["order_id"]].append(row)
    return found
