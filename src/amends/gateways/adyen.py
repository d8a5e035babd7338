"""Adyen: modifications of a payment (Checkout API v72), each answered "received" and settled by
webhook. Nothing can be looked up.

Signatures are in `adyen_items`, webhooks in `adyen_events`, answers in `adyen_answers`, amounts and
our marks in `adyen_objects`. Source of the protocol: docs.adyen.com and Adyen's OpenAPI files
(Adyen/adyen-openapi@aa014f0c).
"""

from __future__ import annotations

import re
from typing import Any

from amends.core.decision import Arrival, Method
from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    RefundIntent,
    ReverseIntent,
)
from amends.core.parties import Split
from amends.gateways.adyen_answers import parse
from amends.gateways.adyen_events import read
from amends.gateways.adyen_items import is_key, verify
from amends.gateways.adyen_lines import NEED_LINES, line_items
from amends.gateways.adyen_objects import MULTIPLE_OF, WIRE_EXPONENT, mark, scrub, to_wire
from amends.gateways.adyen_splits import splits
from amends.gateways.codecs import Json
from amends.gateways.spec import Capabilities, Request, Settings, Unwritable
from amends.gateways.wire import checked_key, json_body, segment
from amends.kernel.time import DAY

__all__ = ["CAPABILITIES", "live", "parse", "read", "scrub", "trouble", "verify", "write"]

TEST_API = "https://checkout-test.adyen.com"
LIVE_API = "https://{prefix}-checkout-live.adyenpayments.com/checkout"
API_VERSION = "v72"

CAPABILITIES = Capabilities(
    name="adyen",
    provider=True,
    partial=True,
    void=True,
    # By a partial capture, after which Adyen cancels the rest; not on accounts for which Adyen's
    # support has switched on multiple partial captures: there the rest stays open.
    release_part=True,
    # Of the full amount, and not after several partial captures.
    reversal=True,
    lookup=False,
    # "At least 7 days", per company account; other copies of the page say 14 and 31. A region away
    # from the one that took the request keeps none, so one connection uses one endpoint.
    key_ttl=7 * DAY,
    requests_per_second=20,  # Adyen publishes none; 429 says when it is too fast
    settings=("api_key", "merchant_account", "environment"),
    secrets=("api_key",),
    decimals=WIRE_EXPONENT,
    multiple_of=MULTIPLE_OF,
    methods=(
        # A refund of these, a partial one at least, must say what it is for (Checkout API v72).
        *(Method(name, lines=True) for name in NEED_LINES),
        # Of a PayPal payment captured in parts it must say which capture (`capturePspReference`).
        Method("paypal", per_capture=True),
    ),
    # docs.adyen.com/platforms/online-payments/split-transactions/split-refunds. That a refund that
    # fails later is booked back to the same accounts is not said there, but follows from how it is
    # booked.
    split=Split("amounts", sellers=0),
    # docs.adyen.com/online-payments/refund gives the longest of all methods, and none for each.
    arrivals=(Arrival(0, 40, True),),
)

_KEY_MAX = 64  # characters of an idempotency key

# Adyen knows five reasons, one of them with a space.
_REASONS = {
    "return": "RETURN",
    "duplicate": "DUPLICATE",
    "fraud": "FRAUD",
    "out_of_stock": "OTHER",
    "goodwill": "OTHER",
    "price_adjustment": "OTHER",
}
_OTHER_REASON = "CUSTOMER REQUEST"

_TEST = "test"
_PREFIX = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", re.ASCII)


def write(intent: Intent, settings: Settings) -> Request:
    """The request for an intent; the same intent gives the same bytes. Raises Unwritable, for every
    look-up too: an unknown outcome is settled by the same bytes, then only by webhook or report."""
    if isinstance(intent, RefundIntent):
        reason = _REASONS.get(intent.reason, _OTHER_REASON)
        fields: Json = {"amount": _amount(intent), "merchantRefundReason": reason}
        if intent.lines:
            fields["lineItems"] = line_items(intent)
        if intent.capture and intent.method.startswith("paypal"):
            fields["capturePspReference"] = intent.capture
        if intent.sellers:
            fields["splits"] = splits(intent)
        return _post("refunds", intent, fields, settings)
    if isinstance(intent, CaptureRestIntent):
        return _post("captures", intent, {"amount": _amount(intent)}, settings)
    if isinstance(intent, CancelIntent):
        return _post("cancels", intent, {}, settings)
    if isinstance(intent, ReverseIntent):
        return _post("reversals", intent, {}, settings)
    raise Unwritable("Adyen answers no look-ups: only its webhooks and reports tell")


def _amount(intent: RefundIntent | CaptureRestIntent) -> dict[str, Any]:
    """Always said, for a full refund too: Adyen requires it."""
    return {"currency": intent.currency, "value": to_wire(intent.amount, intent.currency)}


def _post(
    action: str,
    intent: RefundIntent | CaptureRestIntent | CancelIntent | ReverseIntent,
    fields: dict[str, Any],
    settings: Settings,
) -> Request:
    account = settings.values.get("merchant_account", "")
    if not account:
        raise Unwritable("a modification needs a merchant account")
    marks = {"merchantAccount": account, "reference": mark(intent.leg, intent.epoch)}
    headers = (
        ("X-API-Key", settings.values.get("api_key", "")),
        ("Content-Type", "application/json"),
        ("idempotency-key", checked_key(intent.key, _KEY_MAX)),
    )
    path = f"/{API_VERSION}/payments/{segment(intent.psp_payment_id)}/{action}"
    return Request("POST", _base(settings) + path, headers, json_body(marks | fields))


def _base(settings: Settings) -> str:
    """Where the version of the API follows. Live endpoints are per company: `environment` is their
    prefix (Customer Area, Developers, API URLs), or "test"."""
    if settings.base_url:
        return settings.base_url.rstrip("/")
    prefix = settings.values.get("environment", "")
    if prefix == _TEST:
        return TEST_API
    if not _PREFIX.fullmatch(prefix):
        raise Unwritable('environment is neither "test" nor the prefix of a live endpoint')
    return LIVE_API.format(prefix=prefix)


def trouble(settings: Settings) -> str:
    """What is wrong with a connection's settings, "" if nothing is."""
    prefix = settings.values.get("environment", "")
    if prefix != _TEST and not _PREFIX.fullmatch(prefix):
        return (
            'environment must be "test", or the prefix of your live endpoint as the Customer Area '
            "shows it (Developers, API URLs)"
        )
    if not settings.webhook_secrets:
        return (
            "hmac_keys are missing: Adyen tells what became of a refund by webhook only, and each "
            "is signed by a key that you make in the Customer Area (Developers, Webhooks)"
        )
    if not all(is_key(secret) for secret in settings.webhook_secrets):
        return "a key of hmac_keys is not hexadecimal: copy it as the Customer Area shows it"
    return ""


def live(settings: Settings) -> bool | None:
    """Whether the connection is for real money, by its `environment`; keys do not tell."""
    environment = settings.values.get("environment", "")
    return environment != _TEST if environment else None
