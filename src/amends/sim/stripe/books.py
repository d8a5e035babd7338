"""The state of a Stripe account: objects on shelves, the balance, events, and what is due later."""

import hashlib
import hmac
from collections.abc import Mapping
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from amends.sim.account import Account, Origin
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
from amends.sim.wire import Clock

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


class Books(Account):
    """Everything one account holds."""

    def __init__(self, clock: Clock, prng: Random, sign_clock: Clock) -> None:
        super().__init__("stripe", clock, prng, Outbox(clock, prng, sign, sign_clock))
        self.settings = Settings()
        self.by_intent: dict[str, Payment] = {}
        self.by_charge: dict[str, Payment] = {}
        self.intents: Shelf[PaymentIntent] = Shelf("payment_intent")
        self.charges: Shelf[Charge] = Shelf("charge")
        self.refunds: Shelf[Refund] = Shelf("refund")
        self.transactions: Shelf[BalanceTransaction] = Shelf("balance_transaction")
        self.disputes: Shelf[Dispute] = Shelf("dispute")
        self.warnings: Shelf[EarlyFraudWarning] = Shelf("early_fraud_warning")
        self.events: Shelf[Event] = Shelf("event")
        # The balance is followed only in currencies where a control command set one.
        self.balance: dict[str, int] = {}
        self.refuse_when_short = False
        self.held: dict[str, list[Refund]] = {}
        # Connected accounts from which no transfer can be reversed.
        self.empty_accounts: set[str] = set()

    def new_id(self, prefix: str) -> str:
        """`re` -> `re_3…`: unique, and different in every run with another seed."""
        return f"{prefix}_3{self.number():09d}{self.prng.getrandbits(56):014x}"

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
        self,
        kind: str,
        category: str,
        amount: int,
        currency: str,
        source: str,
        *,
        fee: int = 0,
        undoes: BalanceTransaction | None = None,
    ) -> BalanceTransaction:
        """Write one line on the balance; positive amounts come in. It is in the currency the
        account settles in, as `fee` is, at the rate of today or of the line it `undoes`."""
        now = self.now()
        paid, paid_in = amount, currency
        settled, kept_in = self.exchanged(amount, currency)
        rate = self.settlement.rate(currency.upper(), now) if self.settlement else None
        if undoes is not None:
            settled, kept_in, fee = -undoes.amount, undoes.currency, -undoes.fee
        amount, currency = settled, kept_in.lower()
        line = BalanceTransaction(
            id=self.new_id("txn"),
            amount=amount,
            available_on=now,
            created=now,
            currency=currency,
            exchange_rate=None if rate is None else round(rate.numerator / rate.denominator, 6),
            fee=fee,
            fee_details=_fee_details(fee, currency),
            net=amount - fee,
            reporting_category=category,
            source=source,
            type=kind,
        )
        self.transactions.add(line)
        self.enter(category.partition("_")[0], amount, currency)
        self.enter("fee", -fee, currency)
        if paid_in in self.balance:
            self.balance[paid_in] += paid - fee
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
        name, currency = payment.intent.id, payment.intent.currency
        self.note(kind, name, refund_id, amount, currency, status, origin)


def _fee_details(fee: int, currency: str) -> list[Json]:
    if not fee:
        return []
    detail = {"amount": fee, "application": None, "currency": currency, "type": "stripe_fee"}
    return [detail | {"description": "Processing fee"}]


def sign(secret: str, body: bytes, at: int, *, forged: bool) -> tuple[Mapping[str, str], bytes]:
    """A webhook: HMAC-SHA256 keyed by the whole secret, its prefix included."""
    key = f"{secret}-forged" if forged else secret
    mac = hmac.new(key.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": f"t={at},v1={mac}",
        "User-Agent": "Stripe/1.0 (sandbox)",
    }
    return headers, body
