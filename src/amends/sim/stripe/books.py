"""The state of a Stripe account: objects on shelves, the balance, events, and what is due later."""

import hashlib
import heapq
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from amends.sim.outbox import Outbox
from amends.sim.stripe.objects import (
    API_VERSION,
    BalanceTransaction,
    Charge,
    Dispute,
    EarlyFraudWarning,
    Event,
    EventData,
    EventRequest,
    Json,
    Payment,
    PaymentIntent,
    Refund,
)
from amends.sim.wire import Clock, Movement

DAY_S = 86_400


class Shown(Protocol):
    """Any object with an id and a time of creation."""

    id: str
    created: int


T = TypeVar("T", bound=Shown)

_encode = msgspec.json.Encoder().encode


class Shelf(Generic[T]):
    """All objects of one kind in the order they were made."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.items: list[T] = []
        self.place: dict[str, int] = {}

    def add(self, item: T) -> None:
        """Put an object at the end."""
        self.place[item.id] = len(self.items)
        self.items.append(item)

    def get(self, object_id: str) -> T | None:
        """The object, or None."""
        place = self.place.get(object_id)
        return None if place is None else self.items[place]


class Origin(msgspec.Struct, frozen=True):
    """What caused a change: an API request with its key, or neither (dashboard, bank, provider)."""

    request_id: str | None = None
    key: str | None = None


BY_OTHERS = Origin()


class Settings(msgspec.Struct, kw_only=True):
    """What control commands may set.

    `key_age_s`: idempotency keys are forgotten after this many seconds. `authorization_age_s`: when
    uncaptured authorizations expire. `list_delay_s`: how long a new refund stays invisible in
    lists. `refuse_over_refund` False: whatever is asked is paid, however little was captured.
    """

    key_age_s: float = DAY_S
    authorization_age_s: float = 7 * DAY_S
    list_delay_s: float = 0.0
    refuse_over_refund: bool = True


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """How a new refund turns out: its first status, and what it becomes `after_s` seconds later."""

    status: str = "succeeded"
    then: str | None = None
    after_s: float = 0.0
    failure_reason: str = "unknown"
    payment: str | None = None


class Books:
    """Everything one account holds. Amounts are minor units, times Unix seconds."""

    def __init__(self, clock: Clock, prng: Random, sign_clock: Clock) -> None:
        self.clock = clock
        self.prng = prng
        self.settings = Settings()
        self.outbox = Outbox(clock, prng, sign, sign_clock)
        self.by_intent: dict[str, Payment] = {}
        self.by_charge: dict[str, Payment] = {}
        self.intents: Shelf[PaymentIntent] = Shelf("payment_intent")
        self.charges: Shelf[Charge] = Shelf("charge")
        self.refunds: Shelf[Refund] = Shelf("refund")
        self.transactions: Shelf[BalanceTransaction] = Shelf("balance_transaction")
        self.disputes: Shelf[Dispute] = Shelf("dispute")
        self.warnings: Shelf[EarlyFraudWarning] = Shelf("early_fraud_warning")
        self.events: Shelf[Event] = Shelf("event")
        self.movements: list[Movement] = []
        self.movement_of: dict[str, Movement] = {}
        self.outcomes: list[tuple[Outcome, int | None]] = []
        # The balance is followed only in currencies where a control command set one.
        self.balance: dict[str, int] = {}
        self.refuse_when_short = False
        self.held: dict[str, list[Refund]] = {}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = 0

    def now(self) -> int:
        """Whole Unix seconds."""
        return int(self.clock())

    def new_id(self, prefix: str) -> str:
        """`re` -> `re_3…`: unique, and different in every run with another seed."""
        self._counter += 1
        return f"{prefix}_3{self._counter:09d}{self.prng.getrandbits(56):014x}"

    def later(self, seconds: float, change: Callable[[], None]) -> None:
        """Schedule a change of state."""
        self._counter += 1
        heapq.heappush(self._later, (self.clock() + seconds, self._counter, change))

    def run_due(self, now: float) -> None:
        """Make every scheduled change whose time has come."""
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()

    def next_change(self) -> float | None:
        """The instant of the next scheduled change, or None."""
        return self._later[0][0] if self._later else None

    def emit(
        self, event_type: str, subject: Any, origin: Origin, previous: Json | None = None
    ) -> None:
        """Record an event with a snapshot of its object and queue its webhooks."""
        event = Event(
            id=self.new_id("evt"),
            api_version=API_VERSION,
            created=self.now(),
            data=EventData(
                object=msgspec.Raw(_encode(subject)),
                previous_attributes=msgspec.UNSET if previous is None else previous,
            ),
            pending_webhooks=len(self.outbox.targets),
            request=EventRequest(origin.request_id, origin.key),
            type=event_type,
        )
        self.events.add(event)
        if self.outbox.targets:
            self.outbox.post(event.id, event_type, _encode(event), origin.request_id)

    def transact(
        self, kind: str, category: str, amount: int, currency: str, source: str, *, fee: int = 0
    ) -> BalanceTransaction:
        """Write one line on the balance; positive amounts come in."""
        now = self.now()
        line = BalanceTransaction(
            id=self.new_id("txn"),
            amount=amount,
            available_on=now,
            created=now,
            currency=currency,
            fee=fee,
            fee_details=_fee_details(fee, currency),
            net=amount - fee,
            reporting_category=category,
            source=source,
            type=kind,
        )
        self.transactions.add(line)
        if currency in self.balance:
            self.balance[currency] += line.net
        return line

    def move(
        self,
        kind: str,
        payment: Payment,
        refund_id: str | None,
        amount: int,
        status: str,
        origin: Origin,
    ) -> None:
        """Note a movement of money in the world's own truth."""
        movement = Movement(
            "stripe",
            payment.intent.id,
            refund_id,
            kind,
            amount,
            payment.intent.currency,
            status,
            origin.key,
            rfc3339(self.clock()),
        )
        self.movements.append(movement)
        if refund_id is not None:
            self.movement_of[refund_id] = movement

    def take_outcome(self, payment_id: str) -> Outcome:
        """How the next refund of this payment turns out; counted rules are used up."""
        for place, (outcome, left) in enumerate(self.outcomes):
            if outcome.payment not in (None, payment_id):
                continue
            if left is not None:
                self.outcomes[place : place + 1] = [(outcome, left - 1)] if left > 1 else []
            return outcome
        return Outcome()


def _fee_details(fee: int, currency: str) -> list[Json]:
    if not fee:
        return []
    detail = {"amount": fee, "application": None, "currency": currency, "type": "stripe_fee"}
    return [detail | {"description": "Processing fee"}]


def rfc3339(at: float) -> str:
    """Unix seconds -> `2026-11-22T14:00:00.000000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def sign(secret: str, body: bytes, at: int) -> Mapping[str, str]:
    """The headers of a webhook: HMAC-SHA256 keyed by the whole secret, its prefix included."""
    mac = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": f"t={at},v1={mac}",
        "User-Agent": "Stripe/1.0 (sandbox)",
    }
