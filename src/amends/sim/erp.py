"""A party that is told by signed webhook what happened here, as an ERP, a warehouse or a shop's own
books would take it: it keeps accounts, stock by SKU, refunds and who has access, each thing once by
the id of its message, and says what came in an order that cannot be.

It shares nothing with the sender but the documented messages (docs/webhooks.md).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Json = dict[str, Any]
TOLERANCE_S = 300


class Answer(msgspec.Struct, frozen=True):
    """What it says to a request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Erp:
    """`clock` in Unix seconds. `shut` are ids of messages that it does not take, since what they
    are about lies in a period that it has closed."""

    def __init__(self, name: str, secret: str, clock: Callable[[], float]) -> None:
        self.name, self._clock = name, clock
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self.effects: list[tuple[str, str]] = []  # (id, type) of what it took, in turn
        self.accounts: Counter[tuple[str, str]] = Counter()  # account, currency: amount
        self.worth: Counter[tuple[str, str]] = Counter()  # the same in the books' own currency
        self.stock: Counter[tuple[str, str, str, str]] = Counter()  # order, line, SKU, disposition
        self.released: Counter[tuple[str, str]] = Counter()  # order, line
        self.refunds: dict[str, int] = {}  # recorded as made elsewhere: amount
        self.access: dict[str, bool] = {}  # by refund: whether its goods are accessible again
        self.days: list[str] = []  # whose books came
        self.complaints: list[str] = []
        self.shut: set[str] = set()
        self._owed: Counter[str] = Counter()  # by credit note
        self._seen: set[str] = set()

    def handle(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """One message. What was taken before is answered and changes nothing."""
        name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not self._genuine(name, stamp, headers.get("webhook-signature", ""), body):
            self.complaints.append(f"{name!r} is not signed by whom it says")
            return Answer(401)
        if name in self._seen:
            return Answer(204)
        if name in self.shut:
            return Answer(409, b"The fiscal period is closed.")
        message = json.loads(body)
        take: Callable[[str, Json], None] | None = {
            "erp.credit_note": self._credit_note,
            "erp.refund_paid": self._refund_paid,
            "erp.goods_returned": self._goods_returned,
            "erp.lines_released": self._lines_released,
            "erp.books": self._books,
            "shop.refund_recorded": self._refund_recorded,
            "access.changed": self._access_changed,
        }.get(message["type"])
        self._seen.add(name)
        self.effects.append((name, message["type"]))
        if take is not None:
            take(name, message["data"])
        return Answer(204)

    def _genuine(self, name: str, stamp: str, signature: str, body: bytes) -> bool:
        if not stamp.isdigit() or abs(int(stamp) - self._clock()) > TOLERANCE_S:
            return False
        mac = hmac.new(self._key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(mac).decode()}" in signature.split()

    # -- what it is told -------------------------------------------------------------------------

    def _book(self, name: str, lines: list[Json]) -> None:
        balance: Counter[str] = Counter()
        for line in lines:
            place = line["account"], line["currency"]
            self.accounts[place] += line["amount"]
            self.worth[place] += line["functional"]
            balance[line["currency"]] += line["amount"]
            balance[""] += line["functional"]
        if any(balance.values()):
            self.complaints.append(f"{name} does not balance: {dict(balance)}")

    def _credit_note(self, name: str, data: Json) -> None:
        self._owed[name] += data["document"]["gross"]
        self._book(name, data.get("booked", []))

    def _refund_paid(self, name: str, data: Json) -> None:
        note, back = data["note"], data.get("back", False)
        if note not in self._seen:
            self.complaints.append(f"{name} pays {note}, of which nothing is known yet")
        self._owed[note] += data["amount"] if back else -data["amount"]
        if self._owed[note] < 0:
            self.complaints.append(f"{name} pays {-self._owed[note]} more than {note} owes")
        self._book(name, data.get("booked", []))

    def _books(self, name: str, data: Json) -> None:
        self.days.append(data["day"])
        self._book(name, data["lines"])

    def _goods_returned(self, name: str, data: Json) -> None:
        for one in data["lines"]:
            place = data["order"], one["line"], one["sku"], one.get("disposition", "restock")
            self.stock[place] += one["units"]

    def _lines_released(self, name: str, data: Json) -> None:
        for one in data["lines"]:
            self.released[data["order"], one["line"]] += one["units"]

    def _refund_recorded(self, name: str, data: Json) -> None:
        if data["refund"] in self.refunds:
            self.complaints.append(f"{data['refund']} is recorded again, as {name}")
        self.refunds[data["refund"]] = data["amount"]

    def _access_changed(self, name: str, data: Json) -> None:
        granted = data.get("granted", False)
        if self.access.get(data["refund"], True) == granted:
            self.complaints.append(f"{name} changes nothing of who has access")
        self.access[data["refund"]] = granted

    def truth(self) -> Json:
        """All it knows, for whoever compares."""
        return {
            "name": self.name,
            "effects": list(self.effects),
            "accounts": [[*place, n, self.worth[place]] for place, n in self.accounts.items()],
            "stock": [[*place, units] for place, units in self.stock.items()],
            "released": [[*place, units] for place, units in self.released.items()],
            "refunds": dict(self.refunds),
            "access": dict(self.access),
            "days": list(self.days),
            "complaints": list(self.complaints),
        }
