"""The state of an Adyen account, and its webhooks: signed item by item, inside the body."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec

from amends.sim.account import Account, Origin
from amends.sim.adyen.objects import CARDS, Modification, Payment
from amends.sim.outbox import Outbox
from amends.sim.wire import Clock

DAY_S = 86_400
# Three soon, then growing pauses, then every eight hours until thirty days have gone.
RETRY_AFTER_S: tuple[float, ...] = (
    *(9, 18, 27, 120, 300, 600, 900, 1800, 3600, 7200, 14_400),
    *(28_800,) * 89,
)
LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"

_encode = msgspec.json.Encoder().encode


class Settings(msgspec.Struct, kw_only=True):
    """What control commands may set.

    `key_age_s`: idempotency keys are forgotten after this many seconds. `authorization_age_s`: when
    uncaptured authorizations expire. `outcome_delay_s`: from a request to what became of it.
    `postpone_refunds`: a refund waits for a capture under way. `key_in_use_status` and
    `key_in_use_transient`: what a key is answered whose first request is at work.
    `refuse_over_refund` False: whatever is asked is paid, however little was captured.
    """

    key_age_s: float = 7 * DAY_S
    authorization_age_s: float = 28 * DAY_S
    outcome_delay_s: float = 0.2
    postpone_refunds: bool = False
    key_in_use_status: int = 422
    key_in_use_transient: bool = True
    refuse_over_refund: bool = True


class Books(Account):
    """Everything one merchant account holds."""

    def __init__(
        self, clock: Clock, prng: Random, sign_clock: Clock, merchant_account: str
    ) -> None:
        outbox = Outbox(clock, prng, sign, sign_clock, RETRY_AFTER_S)
        super().__init__("adyen", clock, prng, outbox)
        self.merchant_account = merchant_account
        self.settings = Settings()
        self.by_reference: dict[str, Payment] = {}
        self.modifications: dict[str, Modification] = {}
        self.warnings: list[tuple[str, str]] = []  # (its pspReference, the payment's)

    def new_reference(self) -> str:
        """A pspReference: 16 letters and digits, unique; others with another seed."""
        left, text = self.number(), ""
        for _ in range(6):
            left, place = divmod(left, len(LETTERS))
            text = LETTERS[place] + text
        return text + "".join(self.prng.choice(LETTERS) for _ in range(10))

    def emit(
        self,
        event: str,
        payment: Payment,
        psp_reference: str,
        amount: int,
        *,
        group: str | None,
        reference: str = "",
        modifies: bool = True,
        success: bool = True,
        reason: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Queue one item about a payment. `modifies`: it has a pspReference of its own, and names
        the payment's as the original one."""
        item: dict[str, Any] = {
            "additionalData": {"paymentMethodVariant": payment.method, **(extra or {})},
            "amount": {"currency": payment.currency, "value": amount},
            "eventCode": event,
            "eventDate": _date(self.clock()),
            "merchantAccountCode": self.merchant_account,
            "merchantReference": reference or payment.reference,
            "paymentMethod": payment.method,
            "pspReference": psp_reference,
            "reason": reason,
            "success": "true" if success else "false",
        }
        if modifies:
            item["originalReference"] = payment.psp_reference
        # Adyen sends no id: what the item says is what tells one from another.
        event_id = ":".join((event, psp_reference, item["success"], str(amount), payment.currency))
        body = {"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}
        self.outbox.post(event_id, event, _encode(body), group)

    def told(
        self,
        change: Modification,
        event: str,
        *,
        success: bool = True,
        reason: str = "",
        amount: int | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Queue what became of a modification."""
        self.emit(
            event,
            change.payment,
            change.psp_reference,
            change.amount if amount is None else amount,
            group=change.origin.request_id,
            reference=change.reference,
            success=success,
            reason=reason,
            extra=extra,
        )

    def add(
        self, kind: Any, payment: Payment, reference: str, amount: int, origin: Origin
    ) -> Modification:
        """Take a modification up under its request's pspReference, or one of its own."""
        change = Modification(
            psp_reference=origin.request_id or self.new_reference(),
            kind=kind,
            payment=payment,
            reference=reference,
            amount=amount,
            origin=origin,
        )
        payment.modifications.append(change)
        self.modifications[change.psp_reference] = change
        return change

    def balance_rows(self) -> list[dict[str, Any]]:
        """Each currency is kept as it comes, and no figures are told."""
        self.balances = {}
        for payment in self.by_reference.values():
            self.enter("charge", payment.captured, payment.currency)
            self.enter("refund", -payment.refunded, payment.currency)
            held = sum(dispute.amount for dispute in payment.disputes if dispute.held)
            self.enter("dispute", -held, payment.currency)
        return super().balance_rows()

    def moved(self, kind: str, change: Modification, amount: int, status: str) -> None:
        """Note a movement of money that a modification made."""
        name, currency = change.payment.psp_reference, change.payment.currency
        self.note(kind, name, change.psp_reference, amount, currency, status, change.origin)


def arn(payment: Payment, number: int) -> Mapping[str, str]:
    """The acquirer's reference number of a refund to a card, of 23 digits."""
    return {"arn": f"7498{number:019d}"} if payment.method in CARDS else {}


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


SIGNED = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")


def sign(secret: str, body: bytes, at: int, *, forged: bool) -> tuple[Mapping[str, str], bytes]:
    """A webhook with the signature of each item in it: no time, nothing escaped, the key in hex."""
    key = bytes.fromhex(secret)
    if forged:
        key = bytes(byte ^ 0xFF for byte in key)
    message = msgspec.json.decode(body)
    for entry in message["notificationItems"]:
        item = entry["NotificationRequestItem"]
        values = [item.get(name, "") for name in SIGNED]
        values += [str(item["amount"]["value"]), item["amount"]["currency"]]
        values += [item["eventCode"], item["success"]]
        mac = hmac.new(key, ":".join(values).encode(), hashlib.sha256).digest()
        item["additionalData"]["hmacSignature"] = base64.b64encode(mac).decode()
    return {"Content-Type": "application/json; charset=utf-8"}, _encode(message)
