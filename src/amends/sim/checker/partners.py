"""Those who are told: nothing told twice, nothing lost, in order; the ERP's accounts are the
ledger, its stock is what came back (I8)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from amends.sim.checker.spec import Row, Snapshot, Violation
from amends.sim.checker.view import Case

Found = Iterator[Violation]

OFF_BALANCE = "memo_"
# Each stands for itself and may be given up; all else is told in order, until it was taken.
APART = ("notice", "event")
ACCOUNTS, STOCK = "credit_note", "goods_returned"


class Partners:
    """One quiet point: what is written of a part is kept until all parts are there."""

    def __init__(self) -> None:
        self._there: list[Row] = []
        self._rows: dict[str, list[Row]] = defaultdict(list)  # by connection
        self._booked: Counter[tuple[str, str]] = Counter()  # account, currency: amount
        self._worth: Counter[tuple[str, str]] = Counter()
        self._moves: Counter[tuple[str, str, str, str]] = Counter()
        self._numbers: dict[str, str] = {}  # of orders

    def see(self, snapshot: Snapshot, known: list[Case]) -> None:
        """Take a part in."""
        self._there += snapshot.partners
        for row in snapshot.rows["deliveries"]:
            self._rows[row["connection"]].append(row)
        for row in snapshot.rows["postings"] if self._rows else ():
            if not row["account"].startswith(OFF_BALANCE):
                self._booked[row["account"], row["currency"]] += row["amount"]
                self._worth[row["account"], row["currency"]] += row["functional"]
        for row in snapshot.rows["stock_moves"]:
            place = row["order_id"], row["line"], row["sku"], row["disposition"]
            self._moves[place] += row["units"]
        self._numbers.update({case.order.id: case.order.source.order_id for case in known})

    def whole(self, ended: bool) -> Found:
        """What is wrong with all together; once all was told, also where they differ from us."""
        for there in self._there:
            name, rows = there["name"], self._rows[there["name"]]
            for complaint in there["complaints"]:
                yield Violation("liveness", "", f"{name} says: {complaint}")
            yield from self._told_once(name, there["effects"], rows)
            yield from self._in_turn(name, there["effects"], rows)
            if ended:
                yield from self._all_told(name, rows)
                if any(row["kind"] == ACCOUNTS for row in rows):
                    yield from self._accounts_are_the_ledger(there)
                if any(row["kind"] == STOCK for row in rows):
                    yield from self._stock_is_what_moved(there)

    def _told_once(self, name: str, effects: list[list[str]], rows: list[Row]) -> Found:
        """What it took was to be told, what we say it took it did, and nothing has two names."""
        took = {key for key, _ in effects}
        keys = Counter(row["key"] for row in rows)
        for key, times in keys.items():
            if times > 1:
                yield Violation("I2", "", f"{name} is to be told {key} {times} times")
        for key in sorted(took - keys.keys()):
            yield Violation("I3", "", f"{name} was told {key}, which is written nowhere")
        for row in rows:
            if row["state"] == "done" and row["key"] not in took:
                number = self._numbers.get(row["order_id"], "")
                yield Violation("liveness", number, f"{name} never heard of {row['key']}")

    def _in_turn(self, name: str, effects: list[list[str]], rows: list[Row]) -> Found:
        """Of one order what is told in order came so."""
        turn = {row["key"]: row for row in rows if row["kind"] not in APART}
        last: dict[str, int] = {}
        for key, _ in effects:
            row = turn.get(key)
            if row is None:
                continue
            if row["number"] < last.get(row["order_id"], -1):
                number = self._numbers.get(row["order_id"], "")
                yield Violation("I9", number, f"{name} was told {key} after what followed it")
            last[row["order_id"]] = row["number"]

    def _all_told(self, name: str, rows: list[Row]) -> Found:
        for row in rows:
            number, what = self._numbers.get(row["order_id"], ""), f"{row['kind']} {row['key']}"
            if row["state"] == "open":
                yield Violation("liveness", number, f"{name} was never told {what}")
            elif row["state"] == "dropped" and row["kind"] not in APART:
                yield Violation("liveness", number, f"{what} was given up, {name} needs it")
            elif row["state"] == "stuck" and not row["detail"]:
                yield Violation("liveness", number, f"{name} refused {what} without a word")

    def _accounts_are_the_ledger(self, there: Row) -> Found:
        """Account by account, in each currency and in the books' own."""
        theirs = {(account, currency): (n, w) for account, currency, n, w in there["accounts"]}
        for place in sorted(theirs.keys() | self._booked.keys() | self._worth.keys()):
            ours = self._booked[place], self._worth[place]
            if theirs.get(place, (0, 0)) != ours:
                account, currency = place
                what = f"the ledger has {ours} {currency} on {account}"
                yield Violation("I5", "", f"{what}, {there['name']} {theirs.get(place, (0, 0))}")

    def _stock_is_what_moved(self, there: Row) -> Found:
        theirs = {tuple(row[:4]): row[4] for row in there["stock"]}
        for place in sorted(theirs.keys() | self._moves.keys()):
            if theirs.get(place, 0) != self._moves[place]:
                number = self._numbers.get(place[0], "")
                what = f"{self._moves[place]} units of line {place[1]} came back"
                said = f"{there['name']} has {theirs.get(place, 0)}"
                yield Violation("I8", number, f"{what} ({place[3]}), {said}")
