"""What an account has at every provider: a clock, webhooks on their way, what is due later, and the
truth about the money it moved."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec

from amends.sim.outbox import Outbox
from amends.sim.settlement import Settlement, rounded
from amends.sim.wire import Clock, Movement


class Origin(msgspec.Struct, frozen=True):
    """What caused a change: an API request with its key, or neither (dashboard, bank, provider)."""

    request_id: str | None = None
    key: str | None = None


BY_OTHERS = Origin()


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """How a new refund turns out: its first status, and what it becomes `after_s` seconds later."""

    status: str = "succeeded"
    then: str | None = None
    after_s: float = 0.0
    failure_reason: str = "unknown"
    payment: str | None = None


class Account:
    """One account at the provider `gateway`. Amounts are minor units, times Unix seconds."""

    def __init__(self, gateway: str, clock: Clock, prng: Random, outbox: Outbox) -> None:
        self.gateway = gateway
        self.clock = clock
        self.prng = prng
        self.outbox = outbox
        self.movements: list[Movement] = []
        self.movement_of: dict[str, Movement] = {}
        # Its balance, by what moved it and currency; `settlement` None: all is kept as it comes.
        self.balances: dict[tuple[str, str], int] = {}
        self.settlement: Settlement | None = None
        self._outcomes: list[tuple[Outcome, int | None]] = []
        self._later: list[tuple[float, int, str | None, Callable[[], None]]] = []
        self._counter = 0

    def now(self) -> int:
        """Whole Unix seconds."""
        return int(self.clock())

    def number(self) -> int:
        """The next of this account's running numbers, for ids."""
        self._counter += 1
        return self._counter

    def later(self, seconds: float, change: Callable[[], None], group: str | None = None) -> None:
        """Schedule a change of state; `group` names the request that caused it."""
        heapq.heappush(self._later, (self.clock() + seconds, self.number(), group, change))

    def run_due(self, now: float) -> None:
        """Make every scheduled change whose time has come."""
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[3]()

    def hasten(self, group: str) -> None:
        """Make at once the first change that one request caused, whatever its due time."""
        mine = [entry for entry in self._later if entry[2] == group]
        if mine:
            first = min(mine)
            self._later.remove(first)
            heapq.heapify(self._later)
            first[3]()

    def next_change(self) -> float | None:
        """The instant of the next scheduled change, or None."""
        return self._later[0][0] if self._later else None

    def note(
        self,
        kind: str,
        payment_id: str,
        refund_id: str | None,
        amount: int,
        currency: str,
        status: str,
        origin: Origin,
    ) -> Movement:
        """Note a movement of money in the world's own truth; see `wire.Movement`."""
        at = rfc3339(self.clock())
        movement = Movement(
            self.gateway, payment_id, refund_id, kind, amount, currency, status, origin.key, at
        )
        self.movements.append(movement)
        if refund_id is not None:
            self.movement_of[refund_id] = movement
        return movement

    def exchanged(self, amount: int, currency: str) -> tuple[int, str]:
        """What an amount comes to on the balance now, and in which currency (in capitals)."""
        currency = currency.upper()
        rate = self.settlement.rate(currency, self.clock()) if self.settlement else None
        if self.settlement is None or rate is None:
            return amount, currency
        return rounded(amount * rate), self.settlement.currency

    def enter(self, category: str, amount: int, currency: str) -> None:
        """The balance changes: "charge", "refund", "dispute" or "fee"."""
        if amount:
            key = (category, currency.upper())
            self.balances[key] = self.balances.get(key, 0) + amount

    def balance_rows(self) -> list[dict[str, Any]]:
        """What the account holds, by what moved it and currency; see `wire.World.balances`."""
        return [
            {"gateway": self.gateway, "category": category, "currency": currency, "amount": amount}
            for (category, currency), amount in sorted(self.balances.items())
        ]

    def took_off(self, refund_id: str, amount: int, currency: str, fee: int = 0) -> None:
        """Note with a refund what it took off the balance."""
        movement = self.movement_of[refund_id]
        movement.settled, movement.settled_currency = amount, currency.upper()
        movement.settled_fee = fee

    def expect(self, outcome: Outcome, count: int | None) -> None:
        """How the next `count` refunds turn out (None: all). What names a payment comes first,
        then the newest."""
        named = sum(known.payment is not None for known, _ in self._outcomes)
        self._outcomes.insert(0 if outcome.payment is not None else named, (outcome, count))

    def take_outcome(self, payment_id: str) -> Outcome:
        """How the next refund of this payment turns out; counted rules are used up."""
        for place, (outcome, left) in enumerate(self._outcomes):
            if outcome.payment not in (None, payment_id):
                continue
            if left is not None:
                self._outcomes[place : place + 1] = [(outcome, left - 1)] if left > 1 else []
            return outcome
        return Outcome()


def rfc3339(at: float) -> str:
    """Unix seconds -> `2026-11-22T14:00:00.000000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
