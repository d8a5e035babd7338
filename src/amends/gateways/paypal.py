"""PayPal: requests as JSON, the login, and what the account can do.

A payment is known by what PayPal calls its transaction: the capture, or the authorization while
nothing is captured of it. One that began as an authorization is refunded by its captures, each by
its own id, in the intent's `capture` or `charge`. Answers are read in `paypal_answers`, webhooks in
`paypal_events`, signatures in `paypal_signatures`, objects in `paypal_objects`, what they hold in
`paypal_values`.
Source of the protocol: PayPal's own OpenAPI files, Payments v2 (2.9) and Orders v2 (2.13).
"""

from __future__ import annotations

import base64

import msgspec

from amends.core.decision import Arrival, Method
from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupRefundsIntent,
    RefundIntent,
    ReverseIntent,
)
from amends.core.parties import Split
from amends.gateways.codecs import Json
from amends.gateways.paypal_answers import parse, token
from amends.gateways.paypal_events import read
from amends.gateways.paypal_signatures import certificate_url, verify
from amends.gateways.paypal_values import (
    MULTIPLE_OF,
    OF_CAPTURE,
    WIRE_EXPONENT,
    mark,
    scrub,
    to_wire,
)
from amends.gateways.signatures import wire_bytes
from amends.gateways.spec import Capabilities, Request, Settings, Token, Unwritable
from amends.gateways.wire import checked_key, json_body, segment
from amends.kernel.time import DAY, SECOND

__all__ = [
    "CAPABILITIES",
    "authorize",
    "certificate_url",
    "live",
    "login",
    "parse",
    "read",
    "scrub",
    "token",
    "trouble",
    "verify",
    "write",
]

API = {"live": "https://api-m.paypal.com", "sandbox": "https://api-m.sandbox.paypal.com"}

CAPABILITIES = Capabilities(
    name="paypal",
    provider=True,
    partial=True,
    void=True,
    release_part=True,
    lookup=True,
    # PayPal does not say how soon an order shows a refund, nor how long a request may still run
    # that was given up here: a generous guess, during which "not found" means nothing.
    lookup_delay=60 * SECOND,
    key_ttl=45 * DAY,  # of PayPal-Request-Id in Payments v2 (Orders v2 keeps it six hours)
    requests_per_second=10,  # PayPal publishes no limit; it answers 429 above it
    settings=("client_id", "client_secret", "environment"),
    secrets=("client_secret",),
    decimals=WIRE_EXPONENT,
    multiple_of=MULTIPLE_OF,
    # A refund is of one capture, within 180 days of it (PayPal's help; REFUND_TIME_LIMIT_EXCEEDED).
    methods=(Method(per_capture=True, within=180 * DAY),),
    # The seller is the payee of the whole payment (developer.paypal.com/docs/multiparty).
    split=Split("fee", sellers=1),
    # PayPal's help, "Where is my refund?" (faq1212): the same day on its own balance, on a card
    # mostly two to five business days but up to 30 days; how a wallet was filled is not told here.
    arrivals=(Arrival(2, 30, False, ways=("card",)), Arrival(0, 30, False)),
)

_KEY_MAX = 108  # characters of a request id in Orders v2; Payments v2 names no limit

_Head = tuple[tuple[str, str], ...]


def write(intent: Intent, settings: Settings) -> Request:
    """The request for an intent, without its token; the same intent gives the same bytes. Raises
    Unwritable."""
    if isinstance(intent, RefundIntent):
        path = f"/v2/payments/captures/{segment(_capture(intent))}/refund"
        return _post(path, _refund_body(intent), intent.key, settings, _on_behalf(intent, settings))
    if isinstance(intent, CancelIntent):
        return _post(_authorization(intent, "/void"), None, intent.key, settings)
    if isinstance(intent, CaptureRestIntent):
        path = _authorization(intent, "/capture")
        return _post(path, _capture_body(intent), intent.key, settings)
    if isinstance(intent, ReverseIntent):
        raise Unwritable("PayPal has no reversal that finds out by itself what to do")
    if intent.cursor.startswith(OF_CAPTURE):
        capture = segment(intent.cursor.removeprefix(OF_CAPTURE))
        return _get(f"/v2/payments/captures/{capture}", settings)
    if intent.cursor:
        return _get(f"/v2/checkout/orders/{segment(intent.cursor)}", settings)
    if not isinstance(intent, LookupRefundsIntent):
        return _get(_authorization(intent), settings)
    return _get(f"/v2/payments/captures/{segment(_capture(intent))}", settings)


def _refund_body(intent: RefundIntent) -> Json:
    """The amount is always said, the whole rest too: without one PayPal gives back whatever is
    left at that moment, which another refund may have changed.

    No note_to_payer: the buyer reads it, and reasons are ours. The invoice_id is a second guard:
    PayPal refuses one it has seen, also when it no longer knows the key. It holds the epoch, since
    PayPal does not say whether a refund that failed gives its invoice_id back.
    """
    body: Json = {
        "amount": to_wire(intent.amount, intent.currency),
        "custom_id": mark(intent.order, intent.leg, intent.epoch),
        "invoice_id": f"{intent.leg}-{intent.epoch}",
    }
    ours = intent.amount - sum(seller.taken for seller in intent.sellers)
    if intent.sellers and ours:
        fee = {"amount": to_wire(ours, intent.currency)}
        body["payment_instruction"] = {"platform_fees": [fee]}
    return body


def _on_behalf(intent: RefundIntent, settings: Settings) -> _Head:
    """In whose name a platform asks: PayPal takes a refund from the account that was paid, less
    what the platform adds. An unsigned token, as PayPal wants it."""
    if not intent.sellers:
        return ()
    (seller,) = intent.sellers
    claims = {"iss": settings.values.get("client_id", ""), "payer_id": seller.account}
    parts = (json_body({"alg": "none"}), json_body(claims))
    token = ".".join(base64.urlsafe_b64encode(x).decode("ascii").rstrip("=") for x in parts)
    return (("PayPal-Auth-Assertion", f"{token}."),)


def _capture_body(intent: CaptureRestIntent) -> Json:
    """Final, said aloud: PayPal's own default keeps the rest of the authorization. No invoice_id:
    the order's own stays on what the buyer and the books see."""
    return {"amount": to_wire(intent.amount, intent.currency), "final_capture": True}


def _capture(intent: RefundIntent | LookupRefundsIntent) -> str:
    return intent.capture or intent.charge or intent.psp_payment_id


def _authorization(intent: Intent, action: str = "") -> str:
    return f"/v2/payments/authorizations/{segment(intent.psp_payment_id)}{action}"


def _post(path: str, body: Json | None, key: str, settings: Settings, more: _Head = ()) -> Request:
    head: _Head = (
        ("Content-Type", "application/json"),
        ("PayPal-Request-Id", checked_key(key, _KEY_MAX)),
        ("Prefer", "return=representation"),
        *more,
    )
    raw = b"" if body is None else json_body(body)
    return Request("POST", _base(settings) + path, head, raw)


def _get(path: str, settings: Settings) -> Request:
    return Request("GET", _base(settings) + path, (("Accept", "application/json"),))


def _base(settings: Settings) -> str:
    base = settings.base_url or API.get(settings.values.get("environment", ""), "")
    if not base:
        raise Unwritable('environment is neither "live" nor "sandbox"')
    return base.rstrip("/")


def login(settings: Settings) -> Request:
    """The request for a token (OAuth 2.0 client credentials). Raises Unwritable."""
    values = settings.values
    pair = f"{values.get('client_id', '')}:{values.get('client_secret', '')}"
    head: _Head = (
        ("Authorization", f"Basic {base64.b64encode(wire_bytes(pair)).decode('ascii')}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    )
    body = b"grant_type=client_credentials"
    return Request("POST", f"{_base(settings)}/v1/oauth2/token", head, body)


def authorize(request: Request, token: Token) -> Request:
    """The request with the token in its head."""
    head = (("Authorization", f"Bearer {token.value}"), *request.headers)
    return msgspec.structs.replace(request, headers=head)


def trouble(settings: Settings) -> str:
    """What is wrong with a connection's settings, "" if nothing is."""
    if settings.values.get("environment", "") not in API:
        return 'environment must be "live" or "sandbox"'
    return ""


def live(settings: Settings) -> bool | None:
    """Whether the connection is for real money, by its environment: credentials do not tell."""
    return {"live": True, "sandbox": False}.get(settings.values.get("environment", ""))
