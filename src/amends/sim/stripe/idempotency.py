"""Idempotency keys as Stripe keeps them.

The first execution's status and body are stored, whatever they are; a repeat gets them back;
another request under the key is refused; a key in use conflicts; an old key is forgotten and then
runs anew.
"""

from typing import Literal

import msgspec

from amends.sim.stripe.errors import Refusal, bad_parameter
from amends.sim.stripe.params import Params

KEY_LENGTH = 255


class Answer(msgspec.Struct, frozen=True):
    """What was answered."""

    status: int
    body: bytes
    request_id: str


class Record(msgspec.Struct, eq=False):
    """One key: the request it was first used with, and its answer once there is one."""

    key: str
    path: str
    params: Params
    first_used: float
    in_use: bool = True
    answer: Answer | None = None


class KeyStore:
    """All keys of one account, oldest first."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def claim(
        self, key: str, path: str, params: Params, now: float, age_s: float
    ) -> Record | Answer:
        """A new record to execute under, or the stored answer. Raises Refusal: 400 or 409."""
        if len(key) > KEY_LENGTH:
            raise bad_parameter(f"Idempotency keys may have {KEY_LENGTH} characters.", None)
        self._prune(now - age_s)
        record = self._records.get(key)
        if record is not None and record.first_used <= now - age_s and not record.in_use:
            del self._records[key]
            record = None
        if record is None:
            record = self._records[key] = Record(key, path, params, now)
            return record
        if record.path != path or record.params != params:
            raise _mismatch(key, "endpoint" if record.path != path else "parameters")
        if record.in_use or record.answer is None:
            raise _in_use(key)
        return record.answer

    def _prune(self, before: float) -> None:
        """Forget keys first used at or before this instant. A key in use stays."""
        while self._records:
            oldest = next(iter(self._records))
            record = self._records[oldest]
            if record.first_used > before or record.in_use:
                return
            del self._records[oldest]

    def forget(self, record: Record) -> None:
        """Drop a record whose execution never began."""
        del self._records[record.key]


def _mismatch(key: str, what: Literal["endpoint", "parameters"]) -> Refusal:
    message = (
        f"Keys for idempotent requests can only be used with the same {what} "
        "they were first used with. "
        f"Use another key than '{key}' to make a different request."
    )
    return Refusal(400, message, kind="idempotency_error")


def _in_use(key: str) -> Refusal:
    message = f"Another request with the idempotency key '{key}' is in progress. Try again later."
    return Refusal(
        409,
        message,
        code="idempotency_key_in_use",
        kind="idempotency_error",
        headers={"Stripe-Should-Retry": "true"},
    )
