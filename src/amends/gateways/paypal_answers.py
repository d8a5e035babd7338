"""What PayPal's answers mean: HTTP status, issue and body to one of four outcomes.

Sources: the error schemas of PayPal's own OpenAPI files (Payments v2), which name every issue, and
developer.paypal.com on idempotency: a repeat under the same PayPal-Request-Id gives the latest
state of what the first request made, and a 500 may sit on a refund that was made. So a 5xx is
asked again with the same bytes, and nothing but a look-up is trusted where somebody else may have
acted.
"""

from __future__ import annotations

from typing import Literal

from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
)
from amends.gateways.codecs import (
    Json,
    Malformed,
    json_object,
    parts,
    required_text,
    text,
    whole,
)
from amends.gateways.paypal_objects import (
    authorization_state,
    capture_status,
    order_state,
    refund_state,
)
from amends.gateways.paypal_values import OF_CAPTURE, amount_in, check_kind, link_to, related, scrub
from amends.gateways.signatures import header
from amends.gateways.spec import Failure, Response, Token
from amends.gateways.wire import retry_after
from amends.kernel.outcome import (
    Accepted,
    CaptureState,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    Unknown,
)
from amends.kernel.time import SECOND

Kind = Literal["final", "funds", "captured", "refunded", "canceled"]

_TEXT_MAX = 300  # characters of a provider's sentence worth keeping

# Issues that are a definite no, but not a final one. A capture that is still pending (an eCheck)
# can be refunded once its money is there: a new attempt later, as for a balance that is short.
_REFUND_KINDS: dict[str, Kind] = {
    "CAPTURE_FULLY_REFUNDED": "refunded",
    "REFUND_AMOUNT_EXCEEDED": "refunded",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": "funds",
    "PENDING_CAPTURE": "funds",
}
_VOID_KINDS: dict[str, Kind] = {
    "PREVIOUSLY_VOIDED": "canceled",
    "PREVIOUSLY_CAPTURED": "captured",
}
_CAPTURE_KINDS: dict[str, Kind] = {
    "AUTHORIZATION_VOIDED": "canceled",
    "AUTHORIZATION_EXPIRED": "canceled",
    "AUTHORIZATION_DENIED": "canceled",
}
# Issues that say it was done before, not by whom or how much: the invoice_id is our own, so it was
# most likely us; a final capture may have taken less than the authorization. A look-up tells.
_DONE_BEFORE = ("DUPLICATE_INVOICE_ID", "AUTHORIZATION_ALREADY_CAPTURED")
_IN_PROGRESS = "PREVIOUS_REQUEST_IN_PROGRESS"
_BUSY = "RATE_LIMIT_REACHED"


def parse(intent: Intent, result: Response | Failure) -> Outcome:
    """What an answer, or none, means for `intent`. Never raises."""
    if isinstance(result, Failure):
        reason = scrub(result.reason)[:_TEXT_MAX]
        return Unknown(reason) if result.sent else NotSent(reason)
    reference = header(result.headers, "paypal-debug-id")
    if not 200 <= result.status < 300:
        return _refused(intent, result, reference)
    try:
        if result.status == 204 and isinstance(intent, CancelIntent):
            return Accepted(payment=PaymentState(canceled=True, capturable=0), reference=reference)
        return _accepted(intent, json_object(result.body), reference)
    except Malformed as error:
        reason = scrub(f"HTTP {result.status} that cannot be read: {error}")[:_TEXT_MAX]
        return Unknown(reason, alert=True, reference=reference)


# -- yes ---------------------------------------------------------------------------------------


def _accepted(intent: Intent, body: Json, reference: str) -> Outcome:
    if isinstance(intent, RefundIntent):
        return _refunded(intent, body, reference)
    if isinstance(intent, CaptureRestIntent):
        return _captured(intent, body, reference)
    if isinstance(intent, LookupRefundsIntent):
        return _found(intent, body, reference)
    if isinstance(intent, LookupPaymentIntent):
        return _authorized(intent, body, reference)
    _check_id(body, intent.psp_payment_id)  # a void that answers with what it voided
    return Accepted(payment=authorization_state(body, intent.currency), reference=reference)


def _refunded(intent: RefundIntent, body: Json, reference: str) -> Accepted:
    state = refund_state(body)
    if state.leg and (state.leg, state.epoch) != (intent.leg, intent.epoch):
        raise Malformed(f"the refund {state.psp_refund_id[:40]!r} is another one of ours")
    return Accepted(refund=state, reference=reference)


def _captured(intent: CaptureRestIntent, body: Json, reference: str) -> Outcome:
    """The rest was captured for good, so nothing can be captured any more. While the capture is
    pending its money does not count."""
    status = capture_status(body)
    amount = amount_in(body, intent.currency)
    if status in ("DECLINED", "FAILED"):
        return Unknown(f"capture {status}", stored=True, alert=True, reference=reference)
    if amount != intent.amount:
        raise Malformed(f"{amount} was captured where {intent.amount} was asked for")
    name = required_text(body, "id")
    made = CaptureState(name, amount, intent.currency)
    captured, named = (amount, (made,)) if status != "PENDING" else (-1, ())
    state = PaymentState(captured=captured, capturable=0, captures=named, psp_release_id=name)
    return Accepted(payment=state, reference=reference)


def _found(intent: LookupRefundsIntent, body: Json, reference: str) -> Accepted:
    """Refunds are listed nowhere but in the order, and a capture names its order: the first page
    is the capture, the second (the cursor is the order's id) the order."""
    if intent.cursor:
        return _ordered(intent, body, reference)
    asked = intent.capture or intent.charge or intent.psp_payment_id
    return Accepted(next=_order_of_capture(body, asked), reference=reference)


def _order_of_capture(body: Json, asked: str) -> str:
    check_kind(body, "captures")
    _check_id(body, asked)
    order = _order_of(body)
    if not order:
        raise Malformed("the capture does not name its order")
    return order


def _ordered(
    intent: LookupRefundsIntent | LookupPaymentIntent, body: Json, reference: str
) -> Accepted:
    _check_id(body, intent.cursor)
    payment, refunds = order_state(body, intent.psp_payment_id, intent.currency)
    return Accepted(payment=payment, refunds=refunds, reference=reference)


def _authorized(intent: LookupPaymentIntent, body: Json, reference: str) -> Accepted:
    """An authorization does not say how much of it was captured, or by which captures, also not one
    that is void: what was not captured before is let go by a void. If some may be, the second page
    (the cursor is the order's id) is its order, where that is named. What is no authorization is a
    capture whose money is still to come: that names its order."""
    if intent.cursor.startswith(OF_CAPTURE):
        return Accepted(next=_order_of_capture(body, intent.psp_payment_id), reference=reference)
    if intent.cursor:
        return _ordered(intent, body, reference)
    _check_id(body, intent.psp_payment_id)
    state = authorization_state(body, intent.currency)
    order = "" if state.captured == 0 else _order_of(body) or intent.psp_order
    return Accepted(payment=state, next=order, reference=reference)


def _order_of(body: Json) -> str:
    return text(related(body), "order_id") or link_to(body, "orders", "up")


def _check_id(body: Json, asked: str) -> None:
    found = required_text(body, "id")
    if found != asked:
        raise Malformed(f"asked for {asked[:40]!r}, got {found[:40]!r}")


# -- no, and maybe -----------------------------------------------------------------------------


def _refused(intent: Intent, response: Response, reference: str) -> Outcome:
    """An answer that is no success."""
    status, error = response.status, _error(response)
    reference = reference or text(error, "debug_id")
    issues, pause = _issues(error), retry_after(response)
    if status == 429 or (status < 500 and text(error, "name") == _BUSY):
        return NotSent(_code(error, status), retry_after=pause, reference=reference)
    if status in (401, 403):
        return NotSent(_sentence(error) or f"HTTP {status}", alert=True, reference=reference)
    if status == 409 or _IN_PROGRESS in issues:
        return Unknown(_code(error, status), retry_after=pause, reference=reference)
    if status == 404 and error and isinstance(intent, LookupPaymentIntent) and not intent.cursor:
        return Accepted(next=f"{OF_CAPTURE}{intent.psp_payment_id}", reference=reference)
    if 400 <= status < 500 and status != 408:
        return _declined(intent, status, error, reference)
    return Unknown(f"HTTP {status}", alert=status < 400, retry_after=pause, reference=reference)


def _declined(intent: Intent, status: int, error: Json, reference: str) -> Outcome:
    """A definite no, if it is PayPal who says it: a 4xx without its error comes from something in
    between, which does not know what happened."""
    if not error:
        return Unknown(f"HTTP {status} without an error", alert=True, reference=reference)
    before = next((issue for issue in _issues(error) if issue in _DONE_BEFORE), "")
    if before:
        return Unknown(before, stored=True, alert=True, reference=reference)
    code = _code(error, status)
    return Declined(code=code, text=_sentence(error), kind=_kind(intent, code), reference=reference)


def _kind(intent: Intent, code: str) -> Kind:
    if isinstance(intent, RefundIntent):
        return _REFUND_KINDS.get(code, "final")
    if isinstance(intent, CancelIntent):
        return _VOID_KINDS.get(code, "final")
    return _CAPTURE_KINDS.get(code, "final") if isinstance(intent, CaptureRestIntent) else "final"


def _error(response: Response) -> Json:
    """PayPal's error, or an empty object: `name` in the API, `error` where the token is refused."""
    try:
        body = json_object(response.body)
    except Malformed:
        return {}  # the status alone decides
    return body if text(body, "name") or text(body, "error") else {}


def _details(error: Json) -> list[Json]:
    try:
        return parts(error, "details") or []
    except Malformed:
        return []  # the error stands without them; `name` says what happened


def _issues(error: Json) -> list[str]:
    return [issue for detail in _details(error) if (issue := text(detail, "issue"))]


def _code(error: Json, status: int) -> str:
    issues = _issues(error)
    known = (*issues, text(error, "name"), text(error, "error"), f"HTTP {status}")
    return next(code for code in known if code)


def _sentence(error: Json) -> str:
    said = (
        *(text(detail, "description") for detail in _details(error)),
        text(error, "error_description"),
        text(error, "message"),
    )
    return scrub(next((sentence for sentence in said if sentence), ""))[:_TEXT_MAX]


# -- the login ---------------------------------------------------------------------------------


def token(result: Response | Failure) -> Token | NotSent:
    """What came of the login. Never raises; a login moves nothing, so its failure is NotSent."""
    if isinstance(result, Failure):
        return NotSent(f"no login: {scrub(result.reason)[:_TEXT_MAX]}")
    reference = header(result.headers, "paypal-debug-id")
    if not 200 <= result.status < 300:
        sentence = _sentence(_error(result)) or f"HTTP {result.status}"
        refused = 400 <= result.status < 500 and result.status not in (408, 429)
        return NotSent(f"no login: {sentence}", retry_after(result), refused, reference)
    try:
        body = json_object(result.body)
        value, seconds = required_text(body, "access_token"), whole(body, "expires_in")
    except Malformed as error:
        return NotSent(f"no login: {error}", alert=True, reference=reference)
    if not value.isascii() or not value.isprintable() or " " in value or not seconds:
        return NotSent("no login: no token that can be sent", alert=True, reference=reference)
    return Token(value, max(0, seconds) * SECOND)
