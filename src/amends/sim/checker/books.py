"""I5 over the books as a whole: months that are closed stay what they were reported, and documents
are numbered without a gap, each once, in the order in which they were issued."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from amends.sim.checker.spec import Journal, Row, Snapshot, Violation
from amends.sim.checker.view import Case, Entry

Found = Iterator[Violation]
Line = tuple[str, str]  # an account and the currency of its amounts

# What gives revenue and tax back is on paper; how it is settled, and compensation, is not.
ON_PAPER = ("sales_returns", "shipping_refunds", "charge_refunds", "fees_kept", "tax_payable")
OF_REFUNDS = ("claim", "claim_lapsed", "external")
WAITS_US = 3_600_000_000  # far more than the sweep needs where nothing strikes any more


def day_of(at: int) -> str:
    """The day of an instant in microseconds, UTC."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).date().isoformat()


def documents_are_their_entries(case: Case, notes: list[Row], due: list[Row]) -> Found:
    """What gives revenue and tax back has one document, numbered or soon to be, with its totals and
    day; of one order they are numbered as they were booked, and what reverses names what it
    reverses."""
    entries = {entry.row["number"]: entry for entry in case.entries if _on_paper(entry)[0]}
    written = Counter(row["entry"] for row in (*notes, *due))
    for number in sorted(written.keys() | entries.keys()):
        if written[number] != (number in entries):
            yield case.wrong("I5", f"entry {number} has {written[number]} documents")
    for row in (*notes, *due):
        if row["entry"] in entries:
            yield from _says_what_is_booked(case, entries[row["entry"]], json.loads(row["doc"]))
    yield from _in_turn(case, sorted(notes, key=_number))


def _says_what_is_booked(case: Case, entry: Entry, said: dict[str, Any]) -> Found:
    gross, tax = _on_paper(entry)
    expected = {
        "kind": "credit_note" if gross > 0 else "reversal",
        "refund": entry.row["refund_id"],
        "entity": entry.row["entity"],
        "currency": entry.row["currency"],
        "document_date": day_of(entry.row["at"]),
        "gross": gross,
        "tax": tax,
        "net": gross - tax,
    }
    for name, value in expected.items():
        if said.get(name) != value:
            what = f"the document of entry {entry.row['number']} has {name} {said.get(name)}"
            yield case.wrong("I5", f"{what}, booked is {value}")


def _in_turn(case: Case, notes: list[Row]) -> Found:
    last: dict[tuple[str, str], int] = {}
    given: dict[str, set[str]] = defaultdict(set)  # credit notes so far, by refund
    for row in notes:
        name, series = f"{row['series']}-{row['number']:06}", (row["entity"], row["series"])
        if row["entry"] < last.get(series, 0):
            yield case.wrong("I5", f"{name} is of entry {row['entry']}, numbered after a later one")
        last[series] = row["entry"]
        if row["kind"] == "credit_note":
            given[row["refund_id"]].add(name)
            continue
        reverses = json.loads(row["doc"]).get("reverses") or []
        if not reverses or not given[row["refund_id"]] >= set(reverses):
            yield case.wrong("I5", f"{name} reverses {reverses}, which is no note before it")


def _on_paper(entry: Entry) -> tuple[int, int]:
    """What an entry gives back of revenue and tax, and how much of it is tax."""
    if entry.row["kind"] not in OF_REFUNDS:
        return 0, 0
    return sum(entry.on(account) for account in ON_PAPER), entry.on("tax_payable")


class Books:
    """The books at one quiet point, gathered from its parts."""

    def __init__(self, journal: Journal) -> None:
        self._closed = journal.closed
        self._periods: list[Row] = []
        self._booked = {month: Counter[Line]() for month in journal.closed}
        self._ours = {month: Counter[Line]() for month in journal.closed}
        self._waiting: list[Violation] = []  # for a number, for too long
        self._numbers: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)

    def see(self, snapshot: Snapshot, known: list[Case]) -> Found:
        """A part; says what is wrong with the days its entries are posted on."""
        self._periods += snapshot.rows["periods"]
        for row in snapshot.rows["credit_notes"]:
            self._numbers[row["entity"], row["series"]].append((row["number"], row["at"]))
        late = {r["order_id"] for r in snapshot.rows["documents_due"] if _waits(r, snapshot.at)}
        for case in known:
            if case.order.id in late:
                self._waiting.append(case.wrong("liveness", "a document of it gets no number"))
            for entry in case.entries:
                if entry.row["posted_on"] and not self._is_first_open(entry.row):
                    name = f"entry {entry.row['number']} of {day_of(entry.row['at'])}"
                    yield case.wrong("I5", f"{name} is posted on {entry.row['posted_on']}")
                self._add(entry)

    def _is_first_open(self, row: Row) -> bool:
        """It was late for a closed month, and stands on the first day after it."""
        month = day_of(row["at"])[:7]
        ends = (p["period"] for p in self._periods if p["entity"] == row["entity"])
        return any(end >= month and _after(end) == row["posted_on"] for end in ends)

    def _add(self, entry: Entry) -> None:
        posted = entry.row["posted_on"] or day_of(entry.row["at"])
        for month, booked in self._booked.items():
            if posted[:7] <= month:
                for account, amount, functional in entry.lines:
                    booked[account, entry.row["currency"]] += amount
                    self._ours[month][account, entry.row["currency"]] += functional

    def whole(self, ended: bool) -> Found:
        """What is wrong with all together; `ended`: nothing strikes any more."""
        yield from self._waiting if ended else ()
        for (entity, series), given in sorted(self._numbers.items()):
            numbers = sorted(number for number, _ in given)
            if numbers != list(range(1, len(numbers) + 1)):
                what = f"{len(numbers)} documents, and its last is {numbers[-1]}"
                yield Violation("I5", "", f"series {series} of {entity} has {what}")
            issued = [at for _, at in sorted(given)]
            if issued != sorted(issued):
                yield Violation("I5", "", f"series {series} of {entity} goes back in time")
        for month, reported in sorted(self._closed.items()):
            if all(row["period"] != month for row in self._periods):
                yield Violation("I5", "", f"{month} was closed, and is not")
            yield from self._as_reported(month, reported)

    def _as_reported(self, month: str, reported: list[tuple[str, str, int, int]]) -> Found:
        then = {(account, currency): (n, ours) for account, currency, n, ours in reported}
        for line in sorted(then.keys() | self._booked[month].keys()):
            was, now = then.get(line, (0, 0)), (self._booked[month][line], self._ours[month][line])
            if was != now:
                what = f"{month} was closed with {was} on {line[0]} in {line[1]}"
                yield Violation("I5", "", f"{what}, now it has {now}")


def _after(month: str) -> str:
    """The first day after a month."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + 1}-01-01" if number == 12 else f"{year}-{number + 1:02}-01"


def _waits(row: Row, at: int) -> bool:
    return int(row["at"]) < at - WAITS_US


def _number(row: Row) -> tuple[str, str, int]:
    return row["entity"], row["series"], row["number"]
