"""What crosses between a pure look-alike world and whoever drives it.

A driver is either the HTTP shell (`serve`) or a simulator with virtual time. It hands a `Request`
to `World.handle`, gets a `Plan` back and plays it:

1. `plan.action == "refuse"`: close the connection, nothing was read or done.
2. `plan.start_after > 0`: wait that many seconds, then call `World.perform(plan)`.
3. Send each delivery of `plan.deliver_first` and report it with `World.delivered`.
4. Wait `plan.delay` seconds.
5. Call `World.release(plan)`, then send `plan.response`, or close the connection without
   a byte when `plan.action == "drop"`.

Webhooks that are due come from `World.due(now)`; each is reported once with `World.delivered`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

Clock = Callable[[], float]
"""Seconds since the Unix epoch."""


class Request(msgspec.Struct, frozen=True):
    """One HTTP request. Header names are lower case; `path` starts at the provider's own root."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Response(msgspec.Struct, frozen=True):
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Delivery(msgspec.Struct, frozen=True):
    """One attempt to deliver one webhook. `id` is unique per attempt, `event_id` per event."""

    id: int
    event_id: str
    attempt: int
    url: str
    headers: Mapping[str, str]
    body: bytes


class Plan(msgspec.Struct, eq=False):
    """What the driver must do with one request; see the module's text for the order of steps.

    `call` belongs to the world that made the plan and means nothing to a driver. Delays are
    seconds.
    """

    action: Literal["respond", "drop", "refuse"] = "respond"
    response: Response | None = None
    start_after: float = 0.0
    delay: float = 0.0
    deliver_first: tuple[Delivery, ...] = ()
    call: Any = None


class Movement(msgspec.Struct):
    """One movement of money the world made: its own truth, for a checker to compare with.

    `kind` is `refund`, `void` or `capture`; `amount` is in minor units; `key` is the idempotency
    key of the request or null (made in the dashboard or by the provider); `at` is RFC 3339 UTC.
    `settled` is what a refund took off the balance, in the currency that is kept in, and
    `settled_fee` besides (negative: a fee given back); "" and 0 while nothing was taken.
    """

    gateway: str
    psp_payment_id: str
    psp_refund_id: str | None
    kind: str
    amount: int
    currency: str
    status: str
    key: str | None
    at: str
    settled_currency: str = ""
    settled: int = 0
    settled_fee: int = 0


class CommandRefused(Exception):
    """A control command that cannot be done; the message is one sentence for the caller."""


class World(Protocol):
    """A provider's look-alike: a state machine without sockets, real clock or real randomness."""

    def reached_at(self, url: str) -> None:
        """Told where it stands; matters to a provider that names its own addresses."""

    def handle(self, request: Request) -> Plan:
        """Take one request in; does its work unless the plan has `start_after`."""

    def perform(self, plan: Plan) -> None:
        """Do the work of a plan that had `start_after`."""

    def release(self, plan: Plan) -> None:
        """Say that the answer is leaving (or is lost): its idempotency key is no longer in use."""

    def due(self, now: float) -> list[Delivery]:
        """Webhook attempts due at `now`; each must be reported with `delivered`."""

    def next_due(self) -> float | None:
        """The instant of the next webhook or scheduled change, or None."""

    def delivered(self, delivery: Delivery, status: int | None) -> None:
        """Report the receiver's HTTP status, or None when there was no answer."""

    @property
    def webhooks_pending(self) -> int:
        """How many webhooks wait or are being delivered."""

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one control command. Raises CommandRefused."""

    def movements(self) -> list[Movement]:
        """Every movement of money so far, oldest first."""

    def payments(self) -> list[dict[str, Any]]:
        """Every payment with its amounts, oldest first."""

    def disputes(self) -> list[dict[str, Any]]:
        """Every dispute: gateway, id, psp_payment_id, status, and `withdrawn`, what it holds now
        of the merchant's money without fees; where it is exchanged `settled`, `settled_currency`
        and `settled_fee` too, as of a movement."""

    def balances(self) -> list[dict[str, Any]]:
        """What the account holds in each currency: gateway, category ("charge", "refund",
        "dispute" or "fee", which it was moved by), currency, amount."""

    def warnings(self) -> list[dict[str, Any]]:
        """Every warning of fraud: gateway, id, psp_payment_id."""
