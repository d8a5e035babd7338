"""Refusals as `application/problem+json` (RFC 9457): the one table from Reason to HTTP status."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from amends.core.reasons import SENTENCES, Reason, Refusal, Refused
from amends.engine.asks import Rendered

STATUS: dict[Reason, int] = {
    Reason.UNAUTHENTICATED: 401,
    Reason.FORBIDDEN: 403,
    Reason.SIGNATURE_INVALID: 401,
    Reason.WRONG_MODE: 403,
    Reason.UNKNOWN_CONNECTION: 404,
    Reason.TOO_LARGE: 413,
    Reason.MALFORMED: 400,
    Reason.NOT_FOUND: 404,
    Reason.METHOD_NOT_ALLOWED: 405,
    Reason.IDEMPOTENCY_KEY_MISSING: 400,
    Reason.IDEMPOTENCY_MISMATCH: 409,
    Reason.VALIDATION: 422,
    Reason.UNKNOWN_ORDER: 404,
    Reason.UNKNOWN_PAYMENT: 404,
    Reason.UNKNOWN_REFUND: 404,
    Reason.UNKNOWN_QUOTE: 404,
    Reason.UNKNOWN_RETURN: 404,
    Reason.UNKNOWN_CURRENCY: 422,
    Reason.OTHER_CURRENCY: 422,
    Reason.UNKNOWN_LINE: 404,
    Reason.DISCOUNTS_OFF: 422,
    Reason.TAXES_OFF: 422,
    Reason.TOTAL_OFF: 422,
    Reason.TENDERS_OFF: 422,
    Reason.BAD_PERIOD: 422,
    Reason.NO_PERIOD: 422,
    Reason.TIME_REFUNDED: 409,
    Reason.TIME_CREDITED: 409,
    Reason.SELLERS_OFF: 422,
    Reason.UNKNOWN_SELLER: 422,
    Reason.SPLIT_NOT_POSSIBLE: 422,
    Reason.PAYMENT_TAKEN: 409,
    Reason.ORDER_CONFLICT: 409,
    Reason.NO_RATE: 409,
    Reason.QUOTE_OF_ANOTHER_ORDER: 409,
    Reason.QUOTE_ALTERED: 409,
    Reason.QUOTE_EXPIRED: 409,
    Reason.QUOTE_STALE: 409,
    Reason.EXCEEDS_QUANTITY: 409,
    Reason.EXCEEDS_REMAINING: 409,
    Reason.NOTHING_LEFT: 409,
    Reason.WORTH_NOTHING: 409,
    Reason.EXCEEDS_TENDER: 409,
    Reason.CHARGE_NOT_REFUNDABLE: 409,
    Reason.FEE_NOT_ALLOWED: 409,
    Reason.PROMOTION_EXCEEDS_REFUND: 409,
    Reason.FEE_EXCEEDS_REFUND: 409,
    Reason.BELOW_MINIMUM: 409,
    Reason.AMOUNT_NOT_PAYABLE: 409,
    Reason.METHOD_NOT_REFUNDABLE: 409,
    Reason.PARTIAL_NOT_POSSIBLE: 409,
    Reason.TOO_MANY_REFUNDS: 409,
    Reason.RELEASE_NOT_POSSIBLE: 409,
    Reason.CAPTURE_UNKNOWN: 409,
    Reason.UNKNOWN_POLICY: 404,
    Reason.BAD_POLICY: 422,
    Reason.UNKNOWN_STOP: 404,
    Reason.PERIOD_CLOSED: 409,
    Reason.PERIOD_NOT_OVER: 409,
    Reason.FALLBACK_PAYS: 409,
    Reason.WRITE_OFF_TOO_LARGE: 409,
    Reason.NOT_REVERSIBLE: 409,
    Reason.WRONG_STATE: 409,
    Reason.SELF_APPROVAL: 403,
    Reason.ROLE_TOO_LOW: 403,
    Reason.REFUNDS_STOPPED: 409,
    Reason.SHOWN_CHANGED: 409,
    Reason.AMOUNT_CHANGED: 409,
    Reason.RATE_LIMITED: 429,
    Reason.CERTIFICATE_AWAY: 503,
    Reason.SENDER_AWAY: 503,
    Reason.STORE_UNAVAILABLE: 503,
    Reason.INTERNAL: 500,
}
# Stored under the key. A repeat of all others is computed anew: what was missing may be there by
# then (a rate too), and what was wrong may be sent right.
KEPT = (403, 409)
NOT_KEPT = (Reason.NO_RATE,)

_TYPE = ("content-type", "application/problem+json")
_MORE: dict[Reason, tuple[tuple[str, str], ...]] = {
    Reason.UNAUTHENTICATED: (("www-authenticate", "Bearer"),),
    Reason.TOO_LARGE: (("connection", "close"),),  # the rest of the body is not read
    Reason.RATE_LIMITED: (("retry-after", "1"),),
    Reason.CERTIFICATE_AWAY: (("retry-after", "60"),),
    Reason.SENDER_AWAY: (("retry-after", "60"),),
    Reason.STORE_UNAVAILABLE: (("retry-after", "1"),),
}
HEADERS = {reason: (_TYPE, *_MORE.get(reason, ())) for reason in Reason}
_encode = msgspec.json.Encoder().encode


def problem(refusal: Refusal) -> Rendered:
    """The answer that tells a refusal: type, title, status, detail, code, and what a program needs.

    `type` is a URN and resolves nowhere; `title` is the same for every case of a code."""
    reason = refusal.reason
    status = STATUS[reason]
    body: dict[str, Any] = {
        "type": f"urn:amends:{reason}",
        "title": SENTENCES[reason],
        "status": status,
        "detail": refusal.detail,
        "code": str(reason),
    }
    keep = status in KEPT and reason not in NOT_KEPT
    extra = refusal.extra.items()
    body |= {name: value for name, value in extra if value is not None and name not in body}
    return Rendered(status, _encode(body), HEADERS[reason], keep)


def refuse(reason: Reason, detail: str = "") -> Rendered:
    """A refusal that needs no more words than its own."""
    return problem(Refusal(reason, detail or SENTENCES[reason]))


_PLACE = re.compile(r" - at `(key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")


def invalid(error: msgspec.ValidationError) -> Refused:
    """What msgspec found wrong, with the JSON pointer (RFC 6901) of the value."""
    text = str(error)
    place = _PLACE.search(text)
    words = text[: place.start()] if place else text
    steps = [a or b for a, b in _STEP.findall(place[2])] if place else []
    if field := _FIELD.search(words):
        steps.append(field[1].replace("~", "~0").replace("/", "~1"))
    pointer = "".join(f"/{step}" for step in steps)
    return Refused(Reason.VALIDATION, f"{words.replace('`', '')}.", pointer=pointer)
