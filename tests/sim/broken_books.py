"""Rows of closed months and numbered documents with one thing wrong in each, and what is said of
it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from amends.sim.checker import Snapshot
from tests.sim.checked import AT, World, claim
from tests.sim.spoilt import row

MONTH = "2026-09"
FIRST = "2026-10-01"
Spoil = Callable[[Snapshot], object]
Change = Callable[[World], object]


def closed(w: World) -> None:
    """The month was closed and reported, but for its last entry, which came too late for it."""
    w.rows["periods"].append({"entity": "main", "period": MONTH, "at": AT})
    w.journal.closed[MONTH] = [
        ("clearing:stripe-eu", "EUR", -3000, -3000),
        ("memo_authorizations", "EUR", -2000, -2000),
        ("memo_released", "EUR", 2000, 2000),
        ("refunds_payable", "EUR", -1500, -1500),
        ("sales_returns", "EUR", 2917, 2917),
        ("shipping_refunds", "EUR", 833, 833),
        ("tax_payable", "EUR", 750, 750),
    ]


def late(snapshot: Snapshot, day: str = FIRST) -> None:
    """The last entry of order 1 is posted on another day."""
    last = max(e["number"] for e in snapshot.rows["entries"] if e["order_id"] == "ord_1")
    for entry in snapshot.rows["entries"]:
        if (entry["order_id"], entry["number"]) == ("ord_1", last):
            entry["posted_on"] = day


def reversed_claim(w: World) -> None:
    """What was claimed for refund c is not owed any more, as on paper."""
    w.booked["ord_1"].append(("claim_lapsed", *claim("c", -417, -83)[1:]))


def _note(place: int, **columns: Any) -> Spoil:
    return lambda snapshot: row(snapshot, "credit_notes", place, **columns)


def _said(place: int, **words: Any) -> Spoil:
    def spoil(snapshot: Snapshot) -> None:
        note = snapshot.rows["credit_notes"][place]
        note["doc"] = json.dumps(json.loads(note["doc"]) | words)

    return spoil


def _twice(snapshot: Snapshot) -> None:
    notes = snapshot.rows["credit_notes"]
    notes.append(notes[0] | {"number": len(notes) + 1})


def _swapped(snapshot: Snapshot) -> None:
    for place, number in ((0, 2), (1, 1)):
        row(snapshot, "credit_notes", place, number=number)


def _waits(snapshot: Snapshot) -> None:
    note = snapshot.rows["credit_notes"].pop()
    due = {name: note[name] for name in ("order_id", "entry", "doc")}
    snapshot.rows["documents_due"].append(due | {"at": AT - 2 * 3_600_000_000})


def _as_it_is(w: World) -> None:
    """Nothing is changed."""


WRONG_BOOKS: dict[str, tuple[Change, Spoil, str]] = {
    "a number left out": (
        _as_it_is,
        _note(3, number=5),
        "I5: series CN of main has 4 documents, and its last is 5",
    ),
    "a number given twice": (
        _as_it_is,
        _note(3, number=3),
        "I5: series CN of main has 4 documents, and its last is 3",
    ),
    "an entry on paper twice": (_as_it_is, _twice, "I5: entry 1 has 2 documents"),
    "a note that is lost": (
        _as_it_is,
        lambda s: s.rows["credit_notes"].pop(),
        "I5: entry 7 has 0 documents",
    ),
    "a note of nothing": (_as_it_is, _note(0, entry=2), "I5: entry 2 has 1 documents"),
    "issued before the one before it": (
        _as_it_is,
        _note(3, at=AT - 1),
        "I5: series CN of main goes back in time",
    ),
    "numbered in another order": (
        _as_it_is,
        _swapped,
        "I5: CN-000002 is of entry 1, numbered after a later one",
    ),
    "a note that waits for ever": (
        _as_it_is,
        _waits,
        "liveness: a document of it gets no number",
    ),
    "a cent more on paper": (
        _as_it_is,
        _said(0, gross=3001),
        "I5: the document of entry 1 has gross 3001, booked is 3000",
    ),
    "tax that was not booked": (
        _as_it_is,
        _said(0, tax=499),
        "I5: the document of entry 1 has tax 499, booked is 500",
    ),
    "another day on paper": (
        _as_it_is,
        _said(0, document_date="2026-10-01"),
        "I5: the document of entry 1 has document_date 2026-10-01, booked is 2026-09-21",
    ),
    "a reversal of nothing": (
        reversed_claim,
        _said(4, reverses=[]),
        "I5: CN-000005 reverses [], which is no note before it",
    ),
    "a reversal of another refund": (
        reversed_claim,
        _said(4, reverses=["CN-000001"]),
        "I5: CN-000005 reverses ['CN-000001'], which is no note before it",
    ),
    "posted into a closed month": (
        closed,
        lambda s: None,
        "I5: 2026-09 was closed with (-3000, -3000) on clearing:stripe-eu in EUR, now",
    ),
    "not posted on the first open day": (
        closed,
        lambda s: late(s, "2026-10-02"),
        "I5: entry 7 of 2026-09-21 is posted on 2026-10-02",
    ),
    "posted later though nothing is closed": (
        _as_it_is,
        late,
        "I5: entry 7 of 2026-09-21 is posted on 2026-10-01",
    ),
    "open again": (
        closed,
        lambda s: (late(s), s.rows["periods"].clear()),
        "I5: 2026-09 was closed, and is not",
    ),
}
