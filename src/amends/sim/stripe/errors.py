"""Stripe's refusals: one exception, one JSON shape."""

from typing import Any

import msgspec

from amends.sim import lookalike

DOC_URL = "https://stripe.com/docs/error-codes/"


class Refusal(lookalike.Refusal):
    """A request that is refused.

    Refusals found while reading the parameters are not stored, refusals of the execution itself
    are. `extra` is merged into the error object.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        stored: bool = False,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(status, message, stored=stored, headers=headers)
        self.error = _error_object(message, code, param, kind) | (extra or {})

    def body(self) -> bytes:
        """The JSON of the answer."""
        return msgspec.json.encode({"error": self.error})


def _error_object(message: str, code: str | None, param: str | None, kind: str) -> dict[str, Any]:
    error: dict[str, Any] = {"message": message, "type": kind}
    if code is not None:
        error["code"] = code
        error["doc_url"] = DOC_URL + code.replace("_", "-")
    if param is not None:
        error["param"] = param
    return error


def bad_parameter(message: str, param: str | None, code: str | None = None) -> Refusal:
    """A parameter that is missing, unknown or malformed; never stored under the key."""
    return Refusal(400, message, code=code, param=param)


def refused(message: str, code: str | None = None, param: str | None = None) -> Refusal:
    """A refusal of the execution itself; stored under the key."""
    return Refusal(400, message, code=code, param=param, stored=True)


def missing(noun: str, object_id: str, param: str) -> Refusal:
    """An object that does not exist.

    404 and stored, since looking it up is part of the execution.
    """
    message = f"No such {noun}: '{object_id}'"
    return Refusal(404, message, code="resource_missing", param=param, stored=True)


def unexpected_state(message: str, intent: Any) -> Refusal:
    """A PaymentIntent in the wrong state; the error carries the intent as it is."""
    extra = {"payment_intent": msgspec.to_builtins(intent)}
    return Refusal(400, message, code="payment_intent_unexpected_state", stored=True, extra=extra)


def internal_error() -> Refusal:
    """A 500; it is stored under the key like any answer of an execution that began."""
    return Refusal(
        500,
        "Something went wrong on our end; the outcome is unknown.",
        kind="api_error",
        stored=True,
    )
