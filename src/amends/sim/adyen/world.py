"""The Adyen look-alike: what is Adyen's own about the course of a request."""

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from amends.sim.account import Origin
from amends.sim.adyen.books import Books
from amends.sim.adyen.control import control, dispute_rows, payment_rows, warning_rows
from amends.sim.adyen.errors import (
    KEY_AT_WORK,
    KEYS_AWAY,
    Refusal,
    broken,
    invalid,
    transient,
    unreadable,
)
from amends.sim.adyen.payments import pay
from amends.sim.adyen.requests import ACTIONS, INVALID_FIELD, cancel_by_reference, modify
from amends.sim.faults import Target
from amends.sim.keys import Answer
from amends.sim.lookalike import Call, LookAlike
from amends.sim.wire import Clock, Request, Response

VERSIONS = ("v71", "v72")
KEY_LENGTH = 64
PAY = "pay"
MERCHANT_ACCOUNT = "TestMerchant"

_encode = msgspec.json.encode


class _Call(Call):
    """One request on its way through the world; `action` is "" for `/cancels`, and PAY for
    `/payments`."""

    action: str = ""
    payment: str = ""


class AdyenWorld(LookAlike[Books, _Call]):
    """An Adyen merchant account with its own truth. Nothing of it can be looked up."""

    def __init__(
        self,
        clock: Clock,
        prng: Random,
        *,
        api_key: str = "sk_test_sandbox",
        merchant_account: str = MERCHANT_ACCOUNT,
        sign_clock: Clock | None = None,
    ) -> None:
        self._api_key = api_key
        self._merchant_account = merchant_account
        super().__init__(clock, prng, sign_clock)

    def _open(self) -> Books:
        return Books(self._clock, self._prng, self._sign_clock, self._merchant_account)

    def _receive(self, request: Request) -> _Call:
        key = request.headers.get("idempotency-key") or None
        located = _locate(request.path)
        payment = located[0] if located is not None else ""
        target = Target(request.method, request.path, payment or None)
        return _Call(request, target, Origin(self.books.new_reference(), key))

    def _admit(self, call: _Call) -> Answer | None:
        if call.request.headers.get("x-api-key") != self._api_key:
            raise Refusal(401, "The API key is missing or unknown.", "000", "security")
        self._limit(call)
        located = _locate(call.request.path)
        if located is None:
            raise Refusal(404, "There is nothing at this address.", "000", "validation")
        if call.request.method != "POST":
            raise Refusal(405, "Only POST is taken here.", "000", "validation")
        call.payment, call.action = located
        if not call.request.headers.get("content-type", "").startswith("application/json"):
            raise unreadable("The body must be JSON and say so.")
        return None if call.origin.key is None else self._claim(call, call.origin.key)

    def _limit(self, call: _Call) -> None:
        limited = self.faults.take("rate_limit", call.target)
        if limited is not None:
            headers = {"Retry-After": str(limited.retry_after)}
            raise Refusal(429, "Too many requests.", "000", "internal", headers=headers)
        if self._strikes("lock_timeout", call):
            raise transient(422, "A request with this key is in progress.", KEY_AT_WORK)
        if self._strikes("unavailable", call):
            raise transient(503, "The keys cannot be read right now.", KEYS_AWAY)

    def _claim(self, call: _Call, key: str) -> Answer | None:
        """A key is the whole company account's: what else is asked under it is not looked at."""
        if len(key) > KEY_LENGTH:
            raise invalid(f"An idempotency key has at most {KEY_LENGTH} characters.", INVALID_FIELD)
        settings = self.books.settings
        record, new = self.keys.claim(
            key, call.request.path, call.request.body, self._clock(), settings.key_age_s
        )
        if new:
            call.record = record
            return None
        if record.in_use or record.answer is None:
            said, status = settings.key_in_use_transient, settings.key_in_use_status
            words = "The request with this key was processed or is in progress."
            raise transient(status, words, KEY_AT_WORK, said=said)
        return record.answer

    def _execute(self, call: _Call) -> tuple[int, bytes]:
        raw, origin = call.request.body, call.origin
        if call.action == PAY:
            return 200, _encode(pay(self.books, raw, origin))
        if call.action:
            return 201, _encode(modify(self.books, call.action, call.payment, raw, origin))
        return 201, _encode(cancel_by_reference(self.books, raw, origin))

    def _broken(self) -> Refusal:
        return broken()

    def _respond(self, call: _Call, answer: Answer, headers: Mapping[str, str]) -> Response:
        head = {
            "Content-Type": "application/json",
            "pspReference": answer.request_id,
            **headers,
        }
        if call.origin.key is not None:
            head["Idempotency-Key"] = call.origin.key
        return Response(answer.status, head, answer.body)

    def _repeat(self, call: _Call, answer: Answer) -> Response:
        return self._respond(call, answer, {})

    # Control

    def _steer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return control(self.books, self.faults, command)

    def payments(self) -> list[dict[str, Any]]:
        """Every payment with its amounts, oldest first."""
        return payment_rows(self.books)

    def disputes(self) -> list[dict[str, Any]]:
        """Every dispute and what it holds."""
        return dispute_rows(self.books)

    def warnings(self) -> list[dict[str, Any]]:
        """Every warning of fraud, oldest first."""
        return warning_rows(self.books)


def _locate(path: str) -> tuple[str, str] | None:
    """`/v72/payments/X/refunds` -> `X` and `refunds`; `/v72/payments` -> "" and PAY; `/v72/cancels`
    -> two empty texts; None for any other path."""
    parts = path.strip("/").split("/")
    if parts[0] not in VERSIONS:
        return None
    if parts[1:] == ["cancels"]:
        return "", ""
    if parts[1:] == ["payments"]:
        return "", PAY
    if len(parts) == 4 and parts[1] == "payments" and parts[3] in ACTIONS:
        return parts[2], parts[3]
    return None
