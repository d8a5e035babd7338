"""What Stripe's answers mean: HTTP status, error and body to one of four outcomes.

Sources: docs.stripe.com/error-low-level (what is stored under an idempotency key),
docs.stripe.com/api/idempotent_requests, docs.stripe.com/error-codes.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.gateways.codecs import Json, Malformed, flag, json_object, part, parts, text
from amends.gateways.signatures import header
from amends.gateways.spec import Failure, Response
from amends.gateways.stripe_objects import moves_money, payment_state, refund_state, scrub
from amends.gateways.wire import retry_after
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, PaymentState, Unknown

Kind = Literal["final", "funds", "captured", "refunded", "canceled", "split"]

_TEXT_MAX = 300  # characters of a provider's sentence worth keeping

_KINDS: dict[str, Kind] = {
    "charge_already_refunded": "refunded",
    "balance_insufficient": "funds",
    "charge_already_captured": "captured",
    "charge_expired_for_capture": "canceled",
}
_BUSY_CODES = ("rate_limit", "lock_timeout")  # refused before the idempotency layer
_OVER_REFUND = re.compile(r"greater than (?:the )?unrefunded amount", re.IGNORECASE)
_SPLIT_PARAMS = ("reverse_transfer", "refund_application_fee")
_OF_SPLIT = re.compile(
    r"transfer reversal|revers\w+ (?:the|this|a) transfer|associated transfer|application fee"
    r"|(?:connected|destination) account",
    re.IGNORECASE,
)
_STATUS_IN_MESSAGE = re.compile(r"status of [`'\"]?(succeeded|canceled)\b")


def parse(intent: Intent, result: Response | Failure) -> Outcome:
    """What an answer, or none, means for `intent`. Never raises."""
    if isinstance(result, Failure):
        reason = scrub(result.reason)[:_TEXT_MAX]
        return Unknown(reason) if result.sent else NotSent(reason)
    reference = header(result.headers, "request-id")
    if not 200 <= result.status < 300:
        return _refused(intent, result, reference)
    try:
        return _accepted(intent, json_object(result.body), reference)
    except Malformed as error:
        reason = scrub(f"HTTP {result.status} that cannot be read: {error}")[:_TEXT_MAX]
        return Unknown(reason, alert=True, reference=reference)


def _accepted(intent: Intent, body: Json, reference: str) -> Accepted:
    if isinstance(intent, RefundIntent):
        return Accepted(refund=refund_state(body), reference=reference)
    if isinstance(intent, LookupRefundsIntent):
        return _page(body, reference)
    return Accepted(payment=payment_state(body), reference=reference)


def _page(body: Json, reference: str) -> Accepted:
    """One page of refunds. A page that is not understood whole is not understood: what is missing
    on it would count as never refunded."""
    refunds = parts(body, "data")
    if refunds is None:
        raise Malformed("data is missing or not a list")
    more = flag(body, "has_more")
    if more is None:
        raise Malformed("has_more is missing or not true or false")
    if more and not refunds:
        raise Malformed("has_more is true on an empty page")
    states = [refund_state(refund) for refund in refunds]
    paired = zip(states, refunds, strict=True)
    moved = tuple(state for state, refund in paired if moves_money(refund))
    following = states[-1].psp_refund_id if more else ""
    return Accepted(refunds=moved, next=following, reference=reference)


def _refused(intent: Intent, response: Response, reference: str) -> Outcome:
    """An answer that is no success. `Stripe-Should-Retry` goes before the status: true says that
    nothing is stored under the key, false that the same bytes would bring the same answer."""
    advice = header(response.headers, "stripe-should-retry").strip().lower()
    if advice == "true" and response.status != 429:
        return Unknown(
            f"HTTP {response.status}, to be repeated",
            retry_after=retry_after(response),
            reference=reference,
        )
    outcome = _by_status(intent, response, _error(response), reference)
    if advice == "false" and isinstance(outcome, Unknown):
        return msgspec.structs.replace(outcome, stored=True)
    return outcome


def _by_status(intent: Intent, response: Response, error: Json, reference: str) -> Outcome:
    status, code = response.status, text(error, "code")
    pause = retry_after(response)
    if status == 429 or (status < 500 and code in _BUSY_CODES):
        return NotSent(code or "HTTP 429", retry_after=pause, reference=reference)
    if status in (401, 403):
        return NotSent(_sentence(error) or f"HTTP {status}", alert=True, reference=reference)
    if status == 409 or code == "idempotency_key_in_use":
        return Unknown(code or "HTTP 409", retry_after=pause, reference=reference)
    if status < 500 and text(error, "type") == "idempotency_error":
        return Unknown("idempotency_error", stored=True, alert=True, reference=reference)
    if 400 <= status < 500 and status != 408:
        return _declined(intent, status, error, reference)
    return Unknown(
        f"HTTP {status}",
        stored=status == 500 and not _reads(intent),
        alert=status < 400,
        retry_after=pause,
        reference=reference,
    )


def _declined(intent: Intent, status: int, error: Json, reference: str) -> Outcome:
    """A definite no, if it is Stripe who says it: a 4xx without an error comes from something in
    between, which does not know what happened."""
    if not error:
        return Unknown(f"HTTP {status} without an error", alert=True, reference=reference)
    code = text(error, "code") or text(error, "type") or f"http_{status}"
    sentence = _sentence(error)
    payment = _payment_in(error)
    return Declined(
        code=code,
        text=sentence,
        kind=_kind(intent, code, sentence, error),
        payment=payment,
        reference=reference,
    )


def _kind(intent: Intent, code: str, sentence: str, error: Json) -> Kind:
    if isinstance(intent, RefundIntent):
        if _OVER_REFUND.search(sentence):
            return "refunded"
        if intent.sellers and _of_split(sentence, error):
            return "split"
        known = _KINDS.get(code, "final")
        return known if known in ("refunded", "funds") else "final"
    if not isinstance(intent, CancelIntent | CaptureRestIntent):
        return "final"
    if code == "payment_intent_unexpected_state":
        return _unexpected_state(sentence, error)
    return _KINDS.get(code, "final")


def _of_split(sentence: str, error: Json) -> bool:
    """Whether it is the seller's share that cannot be taken back (no money there, an account that
    is closed, a transfer that is not reversible), and not the refund that cannot be made. Stripe
    has no code for it: the parameter tells, or the words."""
    return text(error, "param") in _SPLIT_PARAMS or bool(_OF_SPLIT.search(sentence))


def _unexpected_state(sentence: str, error: Json) -> Kind:
    """Why an authorization can neither be canceled nor captured: by the status in the error's own
    PaymentIntent, or as its sentence says."""
    found = _STATUS_IN_MESSAGE.search(sentence)
    status = text(part(error, "payment_intent"), "status") or (found[1] if found else "")
    kinds: dict[str, Kind] = {"succeeded": "captured", "canceled": "canceled"}
    return kinds.get(status, "final")


def _payment_in(error: Json) -> PaymentState | None:
    payment = part(error, "payment_intent") or part(error, "charge")
    try:
        return payment_state(payment) if payment else None
    except Malformed:
        return None  # the error stands without it; `code` and `text` say what happened


def _error(response: Response) -> Json:
    try:
        return part(json_object(response.body), "error")
    except Malformed:
        return {}  # the status alone decides


def _sentence(error: Json) -> str:
    return scrub(text(error, "message"))[:_TEXT_MAX]


def _reads(intent: Intent) -> bool:
    """Look-ups change nothing and have no key."""
    return isinstance(intent, LookupRefundsIntent | LookupPaymentIntent)
