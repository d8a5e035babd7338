"""What Adyen's answers mean: HTTP status, error code and body to one of four outcomes.

A modification that was taken up is answered by 201 and `status: received`, which is no outcome:
that comes by webhook. Sources: docs.adyen.com/development-resources/api-idempotency (only what
carries the header `transient-error: true` may be repeated), Adyen's OpenAPI CheckoutService-v72.
"""

from __future__ import annotations

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    RefundIntent,
    ReverseIntent,
)
from amends.gateways.adyen_objects import from_wire, mark, scrub
from amends.gateways.codecs import (
    Json,
    Malformed,
    json_object,
    part,
    required_text,
    required_whole,
    text,
    whole,
)
from amends.gateways.signatures import header
from amends.gateways.spec import Failure, Response, Unwritable
from amends.gateways.wire import retry_after
from amends.kernel.outcome import (
    Accepted,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    RefundState,
    Unknown,
)

_TEXT_MAX = 300  # characters of a provider's sentence worth keeping

# Of the idempotency layer: its store is away; the key is at work, or its request was processed.
_KEY_CODES = ("703", "704")

_Sendable = RefundIntent | CancelIntent | ReverseIntent | CaptureRestIntent


def parse(intent: Intent, result: Response | Failure) -> Outcome:
    """What an answer, or none, means for `intent`. Never raises."""
    if isinstance(result, Failure):
        reason = scrub(result.reason)[:_TEXT_MAX]
        return Unknown(reason) if result.sent else NotSent(reason)
    if not 200 <= result.status < 300:
        return _refused(result)
    reference = header(result.headers, "pspreference")
    try:
        return _received(intent, json_object(result.body), reference)
    except (Malformed, Unwritable) as error:
        reason = scrub(f"HTTP {result.status} that cannot be read: {error}")[:_TEXT_MAX]
        return Unknown(reason, alert=True, reference=reference)


def _received(intent: Intent, body: Json, reference: str) -> Accepted:
    """Taken up, under a reference of its own. No cancel, reversal or capture says anything of the
    payment yet. Raises Malformed, also where the answer is to another request than ours: Adyen does
    not say what a key does that is used for two."""
    if not isinstance(intent, _Sendable):
        raise Malformed("Adyen has no look-up, so nobody asked")
    if text(body, "status") != "received":
        raise Malformed("status is not received")
    psp_reference = required_text(body, "pspReference")
    _check_is_ours(intent, body)
    reference = reference or psp_reference
    if isinstance(intent, RefundIntent):
        return Accepted(refund=_refund(intent, body, psp_reference), reference=reference)
    if isinstance(intent, CaptureRestIntent) and _amount(body) != (intent.amount, intent.currency):
        raise Malformed(f"another amount than the {intent.amount} {intent.currency} asked for")
    return Accepted(payment=PaymentState(psp_release_id=psp_reference), reference=reference)


def _check_is_ours(intent: _Sendable, body: Json) -> None:
    asked = {
        "paymentPspReference": intent.psp_payment_id,
        "reference": mark(intent.leg, intent.epoch),
    }
    for key, value in asked.items():
        if text(body, key) not in ("", value):
            raise Malformed(f"{key} is not the one asked for")


def _refund(intent: RefundIntent, body: Json, psp_reference: str) -> RefundState:
    """The refund as answered, with Adyen's amount, which `decide` holds against ours."""
    amount, currency = _amount(body)
    return RefundState(
        psp_refund_id=psp_reference,
        status="pending",
        amount=amount,
        currency=currency,
        leg=intent.leg,
        epoch=intent.epoch,
    )


def _amount(body: Json) -> tuple[int, str]:
    amount = part(body, "amount")
    currency = required_text(amount, "currency")
    return from_wire(required_whole(amount, "value"), currency), currency


def _refused(response: Response) -> Outcome:
    error = _error(response)
    status, code = response.status, _code(error)
    reference = text(error, "pspReference") or header(response.headers, "pspreference")
    pause = retry_after(response)
    if status == 429:
        return NotSent(code or "HTTP 429", retry_after=pause, reference=reference)
    if status in (401, 403):
        return NotSent(_sentence(error) or f"HTTP {status}", alert=True, reference=reference)
    repeatable = header(response.headers, "transient-error").strip().lower() == "true"
    refused = 400 <= status < 500 and status not in (408, 409, 425) and code not in _KEY_CODES
    if refused and error and not repeatable:
        return _declined(status, code, error, reference)
    return Unknown(
        f"HTTP {status}, errorCode {code}" if code else f"HTTP {status}",
        # Without the header the same bytes are not to be repeated: only a webhook can tell. What
        # is not Adyen's word (a gateway's page) says nothing of that.
        stored=not repeatable and (bool(error) or status == 500),
        alert=status < 400 or (refused and not error),
        retry_after=pause,
        reference=reference,
    )


def _declined(status: int, code: str, error: Json, reference: str) -> Declined:
    """A definite no: the request was not valid. Whether there is anything left to refund, or
    whether it was captured, is only checked afterwards and told by webhook."""
    code = code or text(error, "errorType") or f"http_{status}"
    return Declined(code=code, text=_sentence(error), reference=reference)


def _error(response: Response) -> Json:
    """The error as Adyen words it, or {} for anybody else's body."""
    try:
        body = json_object(response.body)
    except Malformed:
        return {}
    return body if _code(body) or text(body, "errorType") or text(body, "message") else {}


def _code(error: Json) -> str:
    number = whole(error, "errorCode")
    return text(error, "errorCode") if number is None else str(number)


def _sentence(error: Json) -> str:
    return scrub(text(error, "message"))[:_TEXT_MAX]
