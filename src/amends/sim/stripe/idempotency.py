"""Idempotency keys as Stripe keeps them.

The first execution's status and body are stored, whatever they are; a repeat gets them back;
another request under the key is refused; a key in use conflicts; an old key is forgotten and then
runs anew.
"""

from typing import Literal

from amends.sim.keys import Answer, KeyStore, Record
from amends.sim.stripe.errors import Refusal, bad_parameter
from amends.sim.stripe.params import Params

KEY_LENGTH = 255


def claim(
    keys: KeyStore, key: str, path: str, params: Params, now: float, age_s: float
) -> Record | Answer:
    """A new record to execute under, or the stored answer. Raises Refusal: 400 or 409."""
    if len(key) > KEY_LENGTH:
        raise bad_parameter(f"Idempotency keys may have {KEY_LENGTH} characters.", None)
    record, new = keys.claim(key, path, params, now, age_s)
    if new:
        return record
    if record.path != path or record.asked != params:
        raise _mismatch(key, "endpoint" if record.path != path else "parameters")
    if record.in_use or record.answer is None:
        raise _in_use(key)
    return record.answer


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
