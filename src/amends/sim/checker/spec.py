"""What the checker is given, and what it says: structs of builtins only.

A `Snapshot` is what the database and the provider say at one quiet point; a `Journal` is what the
people of the world know, whoever kept it. Amounts are minor units; instants of the database are
microseconds.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgspec

Row = dict[str, Any]


class Snapshot(msgspec.Struct):
    """What is on disk and at the provider at `at` (virtual microseconds), while nothing moves.

    `orders` holds the parsed `orders.state` of every order; `rows` every row of payments, refunds,
    legs, events, entries, postings, effects, inbox, idempotency, payment_refs, people, notes,
    credit_notes, documents_due, deliveries (without their text), stock_moves and periods, column
    name -> value as stored. `movements` and `provider_payments` are the items of the look-alike's
    `GET /control/refunds` and `payments`.
    `provider_disputes` have id, psp_payment_id, status and withdrawn (what is held now, without
    fees), `provider_warnings` (of fraud) id and psp_payment_id. `partners`, in the
    first part, are those who are told: what each took (id, type) in turn, its accounts, stock,
    refunds and access, and what it complains of.
    """

    at: int
    orders: list[dict[str, Any]]
    rows: dict[str, list[Row]]
    movements: list[dict[str, Any]]
    provider_payments: list[dict[str, Any]]
    provider_disputes: list[dict[str, Any]] = []
    provider_warnings: list[dict[str, Any]] = []
    partners: list[dict[str, Any]] = []


class Ask(msgspec.Struct):
    """A refund somebody asked for. A repeat under the same key or message id is one more Ask.

    `number` is the shop's order number, `door` "api" or "message", `message` the webhook's id or
    "". `status` 0 was never answered; `answer` has "id" (refund) for a 2xx at the API.
    `should_succeed`: by the people's own arithmetic it fits, and nothing the world does to it
    forbids that it ends paid.
    """

    id: str
    at: int
    number: str
    body: dict[str, Any]
    key: str = ""
    door: str = "api"
    message: str = ""
    status: int = 0
    answer: dict[str, Any] | None = None
    should_succeed: bool = False
    faults: list[str] = []

    @property
    def accepted(self) -> bool:
        """Whether its caller holds a 2xx."""
        return 200 <= self.status < 300


class Return(msgspec.Struct):
    """Goods the shop said came back, in a `message` that was answered 2xx: (line id, units) of one
    `parcel`, "" if it has no name. What is told again is one more Return."""

    number: str
    message: str
    parcel: str
    lines: list[tuple[str, int]]


class Journal(msgspec.Struct):
    """What people know. `reports`: by shop order number, the last report as the shop sent it.

    `messages`, `events`, `orders_acked`: ids of shop messages, ids of provider events and order
    numbers that were answered 2xx. `dashboard`: psp_refund_ids made by people at the provider.
    `bounced`: psp_refund_ids that were taken back after they had succeeded. `personal`: strings
    that may stand nowhere but in `people` and raw bodies. `captures`: they are booked.
    `returns`: what shops told came back.
    `closed`: by month ("2026-09") that was closed, what then stood in it and before: account,
    currency, amount and functional amount. `minimum`: by currency, less is held.
    """

    reports: MutableMapping[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    asks: list[Ask] = []
    messages: list[str] = []
    events: list[str] = []
    orders_acked: list[str] = []
    dashboard: list[str] = []
    bounced: list[str] = []
    personal: list[str] = []
    captures: bool = False
    returns: list[Return] = []
    closed: dict[str, list[tuple[str, str, int, int]]] = {}
    minimum: dict[str, int] = {}


class Violation(msgspec.Struct, frozen=True):
    """One thing that must never be: `invariant` "I1".."I15" or "liveness", the shop's order number
    or "", and one sentence with the figures."""

    invariant: str
    order: str
    what: str
