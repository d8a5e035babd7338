"""What may only grow: earlier entries, postings and events must be there unchanged (I5, I10), and
new events continue their chains. Of a row that was seen a hash is kept, so that a month of any size
is remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from amends.sim.checker import trail
from amends.sim.checker.spec import Row, Snapshot, Violation
from amends.sim.checker.view import event

APPEND_ONLY: dict[str, tuple[str, ...]] = {
    "events": ("stream", "seq"),
    "entries": ("order_id", "number"),
    "postings": ("order_id", "entry", "line"),
    "credit_notes": ("entity", "series", "number"),
}
Key = tuple[object, ...]


class Growth:
    """The rows of the quiet points before."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[Key, int]] = {table: {} for table in APPEND_ONLY}
        self._heads: dict[str, tuple[int, str]] = {}  # stream -> where it ended
        self._seen: dict[str, set[Key]] = {}

    def begin(self) -> None:
        """A quiet point: every row is going to be seen once more."""
        self._seen = {table: set() for table in APPEND_ONLY}

    def see(self, snapshot: Snapshot, found: list[Violation]) -> dict[str, list[Row]]:
        """The new rows of a part; adds what is wrong with it."""
        fresh: dict[str, list[Row]] = {}
        for table, key in APPEND_ONLY.items():
            kept, seen, new = self._kept[table], self._seen[table], []
            invariant = "I10" if table == "events" else "I5"
            twice = 0
            for row in snapshot.rows[table]:
                name = tuple(row[column] for column in key)
                twice += name in seen
                seen.add(name)
                if name not in kept:
                    new.append(row)
                elif kept[name] != _hash(row):
                    found.append(Violation(invariant, "", f"{table} {name} is changed"))
            if twice:
                found.append(Violation(invariant, "", f"{table} has {twice} rows of a place taken"))
            kept.update((tuple(row[column] for column in key), _hash(row)) for row in new)
            fresh[table] = new
        found += self._chained(fresh["events"])
        return fresh

    def end(self) -> Iterator[Violation]:
        """What was there and was not seen again."""
        for table, kept in self._kept.items():
            for name in kept.keys() - self._seen[table]:
                del kept[name]
                invariant = "I10" if table == "events" else "I5"
                yield Violation(invariant, "", f"{table} {name} is gone")
        self._seen = {}

    def _chained(self, fresh: list[Row]) -> Iterator[Violation]:
        streams: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(fresh, key=lambda row: row["seq"]):
            streams[row["stream"]].append(row)
        for stream, rows in streams.items():
            seq, head = self._heads.get(stream, (0, trail.GENESIS))
            yield from trail.chain_holds(stream, [event(row) for row in rows], seq, head)
            self._heads[stream] = (rows[-1]["seq"], rows[-1]["hash"])


def _hash(row: Row) -> int:
    return hash(tuple(row.items()))
