"""A provider with its own truth, told apart from everything core believes.

It executes a request at most once per key while it keeps the key, forgets keys when told to, shows
a new refund in its lists only after a while, and remembers every movement of money it made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.kernel.outcome import (
    Accepted,
    Declined,
    Outcome,
    PaymentState,
    RefundState,
    RefundStatus,
    Unknown,
)
from amends.kernel.time import HOUR, SECOND

KEEPS_KEYS = 24 * HOUR
SHOWS_AFTER = 4 * SECOND  # a list may lag behind by this much
PAYS = ("succeeded", "pending", "requires_action", "awaiting_funds")


@dataclass
class Made:
    """One refund there; `leg` is empty for one made by hand."""

    id: str
    payment: str
    amount: int
    status: RefundStatus
    at: int
    leg: str = ""
    epoch: int = 0


@dataclass
class Account:
    """One payment there."""

    authorized: int
    captured: int
    canceled: bool = False


@dataclass
class Kept:
    """What is stored under an idempotency key."""

    intent: Intent
    at: int
    outcome: Outcome
    refund: Made | None = None


@dataclass
class Provider:
    currency: str
    accounts: dict[str, Account]
    made: list[Made] = field(default_factory=list)
    keys: dict[str, Kept] = field(default_factory=dict)
    mixed: list[str] = field(default_factory=list)  # one key with two bodies: must stay empty

    def describe(self, made: Made) -> RefundState:
        return RefundState(
            made.id, made.status, made.amount, self.currency, made.leg, made.epoch, "", made.at
        )

    def payment_state(self, name: str) -> PaymentState:
        account = self.accounts[name]
        return PaymentState(
            account.authorized, account.captured, self.refunded(name), account.canceled
        )

    def refunded(self, name: str) -> int:
        """What is refunded or about to be."""
        return sum(m.amount for m in self.made if m.payment == name and m.status in PAYS)

    def paid(self, name: str) -> int:
        """What left the account for good, as far as anybody knows."""
        return sum(m.amount for m in self.made if m.payment == name and m.status == "succeeded")

    def handle(self, intent: Intent, now: int, first: RefundStatus) -> Outcome:
        """Execute a request that arrived. `first`: the status a new refund starts in."""
        if isinstance(intent, LookupRefundsIntent):
            shown = [m for m in self.made if m.payment == intent.psp_payment_id]
            shown = [m for m in shown if now >= m.at + SHOWS_AFTER]
            return Accepted(refunds=tuple(self.describe(m) for m in shown))
        if isinstance(intent, LookupPaymentIntent):
            return Accepted(payment=self.payment_state(intent.psp_payment_id))
        kept = self.keys.get(intent.key)
        if kept is not None and now < kept.at + KEEPS_KEYS:
            if kept.intent != intent:
                self.mixed.append(intent.key)
            return self._again(kept)
        kept = self._execute(intent, now, first)
        self.keys[intent.key] = kept
        return kept.outcome

    def break_down(self, intent: Intent, now: int) -> Outcome:
        """Fail with an error that is stored under the key, having executed nothing."""
        key = getattr(intent, "key", "")
        kept = self.keys.get(key)
        if key and (kept is None or now >= kept.at + KEEPS_KEYS):
            self.keys[key] = Kept(intent, now, Unknown("HTTP 500", stored=True))
        return Unknown("HTTP 500", stored=bool(key) and kept is None)

    def _again(self, kept: Kept) -> Outcome:
        if kept.refund is not None:
            return Accepted(refund=self.describe(kept.refund))
        return kept.outcome

    def _execute(self, intent: Intent, now: int, first: RefundStatus) -> Kept:
        account = self.accounts[intent.psp_payment_id]
        if isinstance(intent, RefundIntent):
            if account.captured - self.refunded(intent.psp_payment_id) < intent.amount:
                return Kept(intent, now, Declined("already_refunded", kind="refunded"))
            made = self.refund(intent.psp_payment_id, intent.amount, first, now)
            made.leg, made.epoch = intent.leg, intent.epoch
            return Kept(intent, now, Accepted(refund=self.describe(made)), made)
        state = self.payment_state(intent.psp_payment_id)
        if account.canceled:
            return Kept(intent, now, Declined("canceled", kind="canceled", payment=state))
        if account.captured:
            return Kept(intent, now, Declined("captured", kind="captured", payment=state))
        if isinstance(intent, CaptureRestIntent):
            account.captured = intent.amount
        else:
            assert isinstance(intent, CancelIntent)
            account.canceled = True
        return Kept(intent, now, Accepted(payment=self.payment_state(intent.psp_payment_id)))

    def refund(self, payment: str, amount: int, status: RefundStatus, now: int) -> Made:
        made = Made(f"re_{len(self.made) + 1}", payment, amount, status, now)
        self.made.append(made)
        return made
