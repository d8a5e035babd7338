"""Mollie: refunds of payments (API v2), look-ups, and the signed webhooks of its newer kind.

Sources: Mollie's own documentation, mollie/api-documentation (create, get and list refunds, API
idempotency) and docs.mollie.com (refund statuses, webhooks of the Refunds API, next-gen webhooks).
Its older webhooks are a bare `id=tr_…` that nobody signs, and are refused. Not here: chargebacks,
of which the webhooks seen say nothing; the release of authorizations; organisation tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from amends.core.decision import Arrival, Method
from amends.core.effects import Intent, LookupPaymentIntent, LookupRefundsIntent, RefundIntent
from amends.core.facts import Addressed, RefundReported
from amends.gateways.codecs import (
    Json,
    Malformed,
    blank_cards,
    json_object,
    minor_units,
    part,
    parts,
    required_text,
    text,
)
from amends.gateways.signatures import header, hmac_sha256, same, usable, wire_bytes
from amends.gateways.spec import (
    Capabilities,
    Failure,
    Genuine,
    Message,
    NotGenuine,
    Request,
    Response,
    Settings,
    Unreadable,
    Unwritable,
)
from amends.gateways.wire import checked_key, form, json_body, retry_after, segment
from amends.kernel.currency import EXPONENT
from amends.kernel.outcome import (
    Accepted,
    Declined,
    NotSent,
    Outcome,
    PaymentState,
    RefundState,
    RefundStatus,
    Unknown,
)
from amends.kernel.time import HOUR, SECOND, Instant, parse_rfc3339

__all__ = ["CAPABILITIES", "live", "parse", "read", "scrub", "trouble", "verify", "write"]

API = "https://api.mollie.com"

CAPABILITIES = Capabilities(
    name="mollie",
    provider=True,
    partial=True,
    lookup=True,
    lookup_delay=60 * SECOND,  # Mollie does not say; a generous guess
    # The documentation seen says 24 hours, and is an old copy of it. Too short a time only means to
    # look up sooner instead of repeating; too long a one could pay twice.
    key_ttl=1 * HOUR,
    requests_per_second=10,  # Mollie publishes no limit; it answers 429 above it
    settings=("api_key",),
    secrets=("api_key",),
    methods=(Method("paysafecard", refunds=False), Method("giftcard", refunds=False)),
    # Mollie's help: processed on the next working day (article 115000327685), and seen up to three
    # days later outside the Netherlands; on a card within 14 calendar days (115000106049).
    arrivals=(
        Arrival(1, 14, False, ways=("creditcard",)),
        Arrival(
            *(1, 4, True),
            ways=("ideal", "bancontact", "banktransfer", "directdebit", "eps", "kbc", "belfius"),
        ),
    ),
)

_KEY_MAX = 36  # characters: Mollie recommends a UUID, and names no limit
_PAGE = "250"  # the most a list answers at once
_TEXT_MAX = 300  # characters of a provider's sentence worth keeping

_STATUSES: dict[str, RefundStatus] = {
    "queued": "awaiting_funds",  # the balance is short; it goes on by itself
    "pending": "pending",
    "processing": "pending",
    "refunded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
_LIVE = {"live": True, "test": False}
_MODE = re.compile(r"(live|test)_\w+", re.ASCII)
_SECRETS = re.compile(r"\b(?:live|test|access)_\w{20,}", re.ASCII)
_BEARER = re.compile(r"(?i)\b(bearer)\s+[\w.+/=~-]+", re.ASCII)


# -- requests ----------------------------------------------------------------------------------


def write(intent: Intent, settings: Settings) -> Request:
    """The request for an intent; the same intent gives the same bytes. Raises Unwritable."""
    path = f"/v2/payments/{segment(intent.psp_payment_id)}"
    if isinstance(intent, RefundIntent):
        marks = {"amends_order": intent.order, "amends_refund": intent.refund}
        marks |= {"amends_leg": intent.leg, "amends_epoch": str(intent.epoch)}
        fields = {"amount": _to_wire(intent.amount, intent.currency), "metadata": marks}
        head = (
            *_head(settings),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", checked_key(intent.key, _KEY_MAX)),
        )
        return Request("POST", _url(f"{path}/refunds", settings), head, json_body(fields))
    if isinstance(intent, LookupRefundsIntent):
        query = [("limit", _PAGE), *([("from", intent.cursor)] if intent.cursor else [])]
        path = f"{path}/refunds?{form(query)}"
        return Request("GET", _url(path, settings), _head(settings))
    if isinstance(intent, LookupPaymentIntent):
        return Request("GET", _url(path, settings), _head(settings))
    raise Unwritable("authorizations at Mollie are not released from here")


def _to_wire(minor: int, currency: str) -> Json:
    """An amount as Mollie's: a decimal string with as many decimals as the currency has. One with
    others is refused by Mollie, so it can never mean another amount."""
    if currency not in EXPONENT or minor <= 0:
        raise Unwritable(f"Mollie carries no {minor} {currency}")
    digits = str(minor).rjust(EXPONENT[currency] + 1, "0")
    cut = len(digits) - EXPONENT[currency]
    value = f"{digits[:cut]}.{digits[cut:]}" if EXPONENT[currency] else digits
    return {"currency": currency, "value": value}


def _head(settings: Settings) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {settings.values.get('api_key', '')}"),)


def _url(path: str, settings: Settings) -> str:
    return (settings.base_url or API).rstrip("/") + path


# -- answers -----------------------------------------------------------------------------------


def parse(intent: Intent, result: Response | Failure) -> Outcome:
    """What an answer, or none, means for `intent`. Never raises."""
    if isinstance(result, Failure):
        reason = scrub(result.reason)[:_TEXT_MAX]
        return Unknown(reason) if result.sent else NotSent(reason)
    if not 200 <= result.status < 300:
        return _refused(result)
    try:
        return _accepted(intent, json_object(result.body))
    except Malformed as error:
        reason = scrub(f"HTTP {result.status} that cannot be read: {error}")[:_TEXT_MAX]
        return Unknown(reason, alert=True)


def _accepted(intent: Intent, body: Json) -> Accepted:
    if isinstance(intent, RefundIntent):
        state = _refund(body)
        asked = (intent.amount, intent.currency, intent.leg, intent.epoch)
        if (state.amount, state.currency, state.leg, state.epoch) != asked:
            raise Malformed(f"the refund {state.psp_refund_id[:40]!r} is not the one asked for")
        return Accepted(refund=state)
    if isinstance(intent, LookupRefundsIntent):
        return _page(body)
    return Accepted(payment=_payment(body, intent))


def _page(body: Json) -> Accepted:
    """One page of refunds; one that is not understood whole is not understood."""
    refunds = parts(part(body, "_embedded"), "refunds")
    if refunds is None or "_links" not in body:
        raise Malformed("_embedded.refunds or _links is missing")
    following = text(part(part(body, "_links"), "next"), "href")
    cursor = (parse_qs(urlsplit(following).query).get("from") or [""])[0] if following else ""
    if bool(following) != bool(cursor):
        raise Malformed("_links.next names no refund to go on from")
    return Accepted(refunds=tuple(_refund(refund) for refund in refunds), next=cursor)


def _payment(body: Json, intent: Intent) -> PaymentState:
    """What is captured is only said of a payment that is paid."""
    if text(body, "resource") != "payment" or text(body, "id") != intent.psp_payment_id:
        raise Malformed("this is not the payment that was asked for")
    amount, status = _amount(body, "amount", intent.currency), required_text(body, "status")
    said = "amountCaptured" in body
    captured = _amount(body, "amountCaptured", intent.currency) if said else amount
    refunded = part(body, "amountRefunded")
    return PaymentState(
        authorized=amount if status in ("authorized", "paid") else -1,
        captured=captured if status == "paid" else -1,
        refunded=_amount(body, "amountRefunded", intent.currency) if refunded else -1,
        canceled=status in ("canceled", "expired"),
    )


def _refused(response: Response) -> Outcome:
    """A 400 is what a key gets that was used for other bytes, a 409 a request that overtook its
    first, or that looks like another refund: none of them says what became of ours."""
    status, error = response.status, _error(response)
    words = scrub(text(error, "detail") or text(error, "title"))[:_TEXT_MAX]
    if status == 429:
        return NotSent(words or "HTTP 429", retry_after=retry_after(response))
    if status in (401, 403):
        return NotSent(words or f"HTTP {status}", alert=True)
    if status in (404, 410, 422) and words:
        return Declined(code=f"http_{status}", text=words)
    unclear = status < 500 and status not in (408, 409)
    return Unknown(
        words or f"HTTP {status}",
        stored=status == 400,
        alert=unclear or status == 409,
        retry_after=retry_after(response),
    )


def _error(response: Response) -> Json:
    try:
        body = json_object(response.body)
    except Malformed:
        return {}  # the status alone decides
    return body if body.get("status") == response.status else {}


# -- objects -----------------------------------------------------------------------------------


def _refund(source: Json) -> RefundState:
    """A refund; a status this version does not know counts as pending."""
    if text(source, "resource") not in ("refund", ""):
        raise Malformed("resource is not a refund")
    marks = part(source, "metadata")
    currency = text(part(source, "amount"), "currency").upper()
    return RefundState(
        psp_refund_id=required_text(source, "id"),
        status=_STATUSES.get(text(source, "status"), "pending"),
        amount=_amount(source, "amount", currency),
        currency=currency,
        leg=text(marks, "amends_leg"),
        epoch=_epoch(text(marks, "amends_epoch")),
        psp_at=_moment(source),
    )


def _amount(source: Json, key: str, currency: str) -> int:
    held = part(source, key)
    if text(held, "currency").upper() != currency:
        raise Malformed(f"{key} is missing or not in {currency or 'any currency'}")
    try:
        return minor_units(text(held, "value"), currency)
    except Malformed as error:
        raise Malformed(f"{key} is {error}") from error


def _epoch(mark: str) -> int:
    return int(mark) if mark.isascii() and mark.isdigit() and len(mark) < 10 else 0


def _moment(source: Json) -> Instant:
    try:
        return max(0, parse_rfc3339(text(source, "createdAt")))
    except (ValueError, OverflowError):
        return 0


# -- webhooks ----------------------------------------------------------------------------------


def verify(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
) -> Genuine | NotGenuine:
    """Whether one of `secrets` signed `raw`: `X-Mollie-Signature: sha256=<hex HMAC-SHA256>`, of
    which there are two for a day after a new secret. Never raises. Nothing in it tells time, so a
    replay shows only in the event's id."""
    given = header(headers, "x-mollie-signature").split(",")
    expected = [f"sha256={hmac_sha256(wire_bytes(key), raw).hex()}" for key in usable(secrets)]
    matches = [same(ours, theirs.strip(" ")) for ours in expected for theirs in given]
    if any(matches):
        return Genuine()
    return NotGenuine("X-Mollie-Signature is missing or by no secret of this connection")


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine message. One page of the documentation shows an event with the refund
    in it, `{"resource": "event", "id", "type", "_embedded": {"entity"}}`, another the refund alone:
    both are read. Raises Unreadable, and nothing else."""
    try:
        event = json_object(raw)
        if text(event, "resource") == "refund":
            event = _event_of(event)
        if text(event, "resource") != "event":
            raise Malformed("resource is not event")
        kind = required_text(event, "type")
        entity = part(part(event, "_embedded"), "entity")
        facts = (_refund_fact(entity, settings.name),) if kind.startswith("refund.") else ()
        return Message(
            id=required_text(event, "id"),
            type=kind,
            facts=facts,
            live=_LIVE.get(text(entity, "mode")),
            sent_at=_moment(event),
        )
    except Malformed as error:
        raise Unreadable(f"not a Mollie event as documented: {error}") from error


def _event_of(refund: Json) -> Json:
    """The event a refund that came alone stands for; each of its statuses is one message."""
    status = required_text(refund, "status")
    return {
        "resource": "event",
        "id": f"{required_text(refund, 'id')}:{status}",
        "type": f"refund.{status}",
        "createdAt": text(refund, "createdAt"),
        "_embedded": {"entity": refund},
    }


def _refund_fact(entity: Json, connection: str) -> Addressed:
    if not entity:
        raise Malformed("it holds no entity: choose the full payload for this webhook at Mollie")
    payment = required_text(entity, "paymentId")
    fact = RefundReported(connection, (payment,), _refund(entity))
    return Addressed(fact, payments=((connection, payment),))


# -- settings and logs -------------------------------------------------------------------------


def trouble(settings: Settings) -> str:
    """What is wrong with a connection's settings, "" if nothing is."""
    if live(settings) is None:
        return "api_key must be an API key of a website profile: it begins with live_ or test_"
    return ""


def live(settings: Settings) -> bool | None:
    """Whether the key is for real money, by its prefix; None if it does not tell."""
    found = _MODE.fullmatch(settings.values.get("api_key", ""))
    return found[1] == "live" if found else None


def scrub(line: str) -> str:
    """`line` with API keys, tokens and card numbers blanked, for logs."""
    return blank_cards(_BEARER.sub(r"\1 [secret]", _SECRETS.sub("[secret]", line)))
