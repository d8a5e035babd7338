"""Rows changed behind the back of the documents, and the sentence the checker must say about it."""

from __future__ import annotations

from collections.abc import Callable

from amends.sim.checker import Snapshot

Spoil = Callable[[Snapshot], object]


def row(snapshot: Snapshot, table: str, place: int, **columns: object) -> None:
    snapshot.rows[table][place].update(columns)


SPOILT: dict[str, tuple[Spoil, str]] = {
    "the payment's row": (
        lambda s: row(s, "payments", 0, pending_ours=0),
        "I1: the row of pay_1 has another pending_ours",
    ),
    "the leg's row": (
        lambda s: row(s, "legs", 0, state="failed"),
        "I2: the row of leg_a has another state",
    ),
    "the refund's row": (
        lambda s: row(s, "refunds", 0, amount_succeeded=0),
        "I2: the row of rf_a is not 3000 paid of 3000",
    ),
    "a refund shown as another": (
        lambda s: row(s, "refunds", 2, state="succeeded"),
        "I2: rf_c is shown succeeded, its legs are {'pending'}",
    ),
    "a row too many": (
        lambda s: s.rows["legs"].append(s.rows["legs"][0] | {"id": "leg_z"}),
        "I2: leg_z has a row and is not in the document",
    ),
    "an event edited": (
        lambda s: row(s, "events", 1, actor="key:thief"),
        "I10: event 2 of ord_1 does not follow 1",
    ),
    "an event taken out": (
        lambda s: s.rows["events"].pop(1),
        "I10: event 3 of ord_1 does not follow 1",
    ),
    "the last event taken out": (
        lambda s: s.rows["events"].pop(13),
        "I10: the head is 14, the trail ends 13",
    ),
    "an entry edited": (
        lambda s: row(s, "entries", 0, at=1),
        "I10: 1 entries in no event, 1 sealed but not there",
    ),
    "an entry taken out": (
        lambda s: s.rows["entries"].pop(0),
        "I5: entries are [2, 3, 4, 5, 6, 7], the order counts 7",
    ),
    "an entry of no order": (
        lambda s: s.rows["entries"].append(s.rows["entries"][0] | {"order_id": "ord_9"}),
        "I5: the books have entries of ord_9, which is no order",
    ),
    "nothing in the functional currency": (
        lambda s: [p.update(functional=0) for p in s.rows["postings"]],
        "I5: entry 1 (claim) has 0 for 2500 on sales_returns",
    ),
    "a cent off in the same currency": (
        lambda s: (row(s, "postings", 0, functional=2501), row(s, "postings", 1, functional=499)),
        "I5: entry 1 (claim) has 2501 for 2500 on sales_returns",
    ),
    "converted to another currency": (
        lambda s: row(s, "entries", 0, functional_currency="GBP"),
        "I5: entry 1 (claim) is converted to GBP",
    ),
    "unbalanced in the functional currency": (
        lambda s: row(s, "postings", 0, functional=1),
        "I5: entry 1 (claim) with 3 lines sums to [0, -2499]",
    ),
}
