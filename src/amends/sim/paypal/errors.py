"""PayPal's refusals: a name, one issue that says what is wrong, one JSON shape.

Names and issues are those of the error schemas in PayPal's OpenAPI files; the sentences are ours.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from amends.sim.lookalike import Refusal

# Status -> the name PayPal gives it, and what it means.
NAMES: dict[int, tuple[str, str]] = {
    400: ("INVALID_REQUEST", "The request is malformed."),
    401: ("AUTHENTICATION_FAILURE", "The token is missing, unknown or no longer valid."),
    404: ("RESOURCE_NOT_FOUND", "There is nothing at this address."),
    409: ("RESOURCE_CONFLICT", "Another request stands in the way of this one."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The body is of a type that is not read here."),
    422: ("UNPROCESSABLE_ENTITY", "The request is understood and cannot be done."),
    429: ("RATE_LIMIT_REACHED", "Too many requests."),
    500: ("INTERNAL_SERVER_ERROR", "Something went wrong here; the outcome is unknown."),
    503: ("SERVICE_UNAVAILABLE", "The service is away for a moment."),
}

# What a refund, a capture, a void or a reauthorization can be refused for.
ISSUES: dict[str, str] = {
    "AUTHORIZATION_ALREADY_CAPTURED": "The authorization was captured for good.",
    "AUTHORIZATION_DENIED": "The authorization was denied.",
    "AUTHORIZATION_EXPIRED": "The authorization has run out.",
    "AUTHORIZATION_VOIDED": "The authorization was voided.",
    "AUTH_CAPTURE_CURRENCY_MISMATCH": "A capture is in the currency of its authorization.",
    "AUTH_CURRENCY_MISMATCH": "A reauthorization is in the currency of the first one.",
    "CANNOT_BE_NEGATIVE": "The amount must not be below zero.",
    "CANNOT_BE_VOIDED": "A reauthorization is voided by voiding the first authorization.",
    "CANNOT_BE_ZERO_OR_NEGATIVE": "The amount must be above zero.",
    "CAPTURE_FULLY_REFUNDED": "All of the capture was refunded before.",
    "CURRENCY_MISMATCH": "All amounts of one request are in the same currency.",
    "DECIMALS_NOT_SUPPORTED": "This currency has no decimals here.",
    "DECIMAL_PRECISION": "An amount has at most two decimals.",
    "DUPLICATE_INVOICE_ID": "This invoice id was used before.",
    "INVALID_CURRENCY_CODE": "This currency is not offered.",
    "MAX_CAPTURE_AMOUNT_EXCEEDED": "At most 115 per cent of the authorization can be captured.",
    "MAX_CAPTURE_COUNT_EXCEEDED": "No further capture of this authorization is possible.",
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": "No further refund of this capture is possible.",
    "PARTIAL_REFUND_NOT_ALLOWED": "This capture can only be refunded as a whole.",
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": "The merchant's account is locked or closed.",
    "PAYEE_ACCOUNT_RESTRICTED": "The merchant's account is restricted.",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "The buyer's account is locked or closed.",
    "PAYER_CANNOT_PAY": "The buyer cannot pay this.",
    "PENDING_CAPTURE": "The capture is still pending.",
    "PLATFORM_FEE_EXCEEDED": "More platform fee than there is to give back.",
    "PLATFORM_FEE_NOT_ENABLED": "This account takes no platform fees.",
    "PREVIOUSLY_CAPTURED": "A captured authorization cannot be voided.",
    "PREVIOUSLY_VOIDED": "The authorization is void already.",
    "REAUTHORIZATION_NOT_SUPPORTED": "A reauthorization cannot be authorized again.",
    "REFUND_AMOUNT_EXCEEDED": "More than what is left of the capture.",
    "REFUND_AMOUNT_TOO_LOW": "Converted, nothing is left of the amount.",
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "A refund is in the currency of its capture.",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": "The merchant's balance does not cover the refund.",
    "REFUND_IS_RESTRICTED": "Only whoever captured this can refund it.",
    "REFUND_NOT_ALLOWED": "The capture cannot be refunded.",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "The capture was charged back.",
    "REFUND_TIME_LIMIT_EXCEEDED": "The capture is too old to be refunded.",
    "TRANSACTION_DISPUTED": "While a case is open only all of the capture can be refunded.",
    "TRANSACTION_REFUSED": "PayPal does not allow it.",
}

_OTHER_ISSUES: dict[str, str] = {
    "ACTION_DOES_NOT_MATCH_INTENT": "The order was made for something else.",
    "ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE": "The case does not offer this action.",
    "INVALID_PARAMETER_SYNTAX": "The value is not what this field holds.",
    "INVALID_RESOURCE_ID": "There is no resource with this id.",
    "INVALID_STRING_LENGTH": "The value is too short or too long.",
    "MISSING_REQUIRED_PARAMETER": "A required value is missing.",
    "ORDER_ALREADY_AUTHORIZED": "The order was authorized before.",
    "ORDER_ALREADY_CAPTURED": "The order was captured before.",
    "ORDER_NOT_APPROVED": "The buyer has not approved the order.",
    "PREVIOUS_REQUEST_IN_PROGRESS": "An earlier request is still being worked on.",
}


class Problem(Refusal):
    """A request PayPal refuses. `field` is the JSON pointer of what is wrong."""

    def __init__(
        self,
        status: int,
        issue: str = "",
        *,
        field: str = "",
        headers: Mapping[str, str] | None = None,
        stored: bool = False,
    ) -> None:
        self.name, message = NAMES[status]
        self.issue = issue
        self._detail: dict[str, Any] = {}
        if issue:
            message = ISSUES.get(issue) or _OTHER_ISSUES[issue]
            self._detail = {"issue": issue, "description": message}
        if field:
            self._detail |= {"field": field, "location": "body"}
        super().__init__(status, message, stored=stored, headers=headers)

    def body(self) -> bytes:
        """The JSON of the answer, but for the `debug_id` of the request."""
        error: dict[str, Any] = {"name": self.name, "message": NAMES[self.status][1], "links": []}
        return msgspec.json.encode(error | ({"details": [self._detail]} if self._detail else {}))


class LoginRefused(Refusal):
    """A login that is refused, in the words of OAuth 2.0."""

    def __init__(self, status: int, error: str, sentence: str) -> None:
        super().__init__(status, sentence)
        self._error = {"error": error, "error_description": sentence}

    def body(self) -> bytes:
        """The JSON of the answer."""
        return msgspec.json.encode(self._error)


def refused(issue: str, field: str = "") -> Problem:
    """422: understood, and cannot be done."""
    return Problem(422, issue, field=field)


def malformed(issue: str, field: str = "") -> Problem:
    """400: not what the documentation says a request looks like."""
    return Problem(400, issue, field=field)


def missing() -> Problem:
    """404: no resource with this id."""
    return Problem(404, "INVALID_RESOURCE_ID")
