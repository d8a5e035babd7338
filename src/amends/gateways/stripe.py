"""Stripe: requests as forms, signatures, and what the account can do.

Answers are read in `stripe_answers`, webhooks in `stripe_events`, objects and amounts in
`stripe_objects`. Source of the protocol: docs.stripe.com and the types of Stripe's own SDK for API
version 2026-10-28.endive, which every request pins.
"""

from __future__ import annotations

from collections.abc import Mapping

from amends.core.decision import Arrival, Method
from amends.core.effects import (
    CancelIntent,
    CaptureRestIntent,
    Intent,
    LookupPaymentIntent,
    LookupRefundsIntent,
    RefundIntent,
    ReverseIntent,
)
from amends.core.parties import Split
from amends.gateways.signatures import (
    header,
    hmac_sha256,
    recent,
    same,
    signed_seconds,
    usable,
    wire_bytes,
)
from amends.gateways.spec import (
    Capabilities,
    Genuine,
    NotGenuine,
    Request,
    Settings,
    Unwritable,
)
from amends.gateways.stripe_answers import parse
from amends.gateways.stripe_events import read
from amends.gateways.stripe_objects import MULTIPLE_OF, WIRE_EXPONENT, scrub, to_wire
from amends.gateways.wire import checked_key, form, segment
from amends.kernel.time import DAY, HOUR, SECOND, Instant

__all__ = ["CAPABILITIES", "live", "parse", "read", "scrub", "verify", "write"]

API = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"

CAPABILITIES = Capabilities(
    name="stripe",
    provider=True,
    partial=True,
    void=True,
    release_part=True,
    lookup=True,
    # Objects can be read as soon as they are written, so this covers only the time for which a
    # request whose last byte was sent may still be executing unanswered.
    lookup_delay=10 * SECOND,
    key_ttl=24 * HOUR,
    requests_per_second=25,  # per endpoint (docs.stripe.com/rate-limits)
    settings=("api_key",),
    secrets=("api_key",),
    decimals=WIRE_EXPONENT,
    multiple_of=MULTIPLE_OF,
    # docs.stripe.com/refunds; cards have no limit there.
    methods=(Method("bacs_debit", within=180 * DAY), Method("multibanco", within=180 * DAY)),
    # A destination charge pays one account (docs.stripe.com/connect/destination-charges). What was
    # reversed with a refund stays with the platform if the refund fails.
    split=Split("transfer", sellers=1, returns=False),
    # What banks take (support.stripe.com, "Customer refund processing time"). A card reversal makes
    # the charge vanish instead, and of wallets and instalments nothing is said.
    arrivals=(
        Arrival(
            *(5, 10, True),
            ways=("card", "sepa_debit", "bacs_debit", "us_bank_account", "ideal", "bancontact"),
        ),
    ),
)

_KEY_MAX = 255  # characters of an idempotency key
_PAGE = "100"  # the most a list answers at once

# Stripe knows three reasons; "fraudulent" also puts card and address on the account's block lists.
_REASONS = {"duplicate": "duplicate", "fraud": "fraudulent"}
_OTHER_REASON = "requested_by_customer"

_Fields = tuple[tuple[str, str], ...]


def write(intent: Intent, settings: Settings) -> Request:
    """The request for an intent; the same intent gives the same bytes. Raises Unwritable."""
    if isinstance(intent, RefundIntent):
        return _post("/v1/refunds", _refund_fields(intent), intent.key, settings)
    if isinstance(intent, CancelIntent):
        fields = (("cancellation_reason", _REASONS.get(intent.reason, _OTHER_REASON)),)
        return _post(_intent_path(intent.psp_payment_id, "cancel"), fields, intent.key, settings)
    if isinstance(intent, CaptureRestIntent):
        # final_capture is true unless said otherwise: the rest of the authorization is released.
        fields = (("amount_to_capture", str(to_wire(intent.amount, intent.currency))),)
        return _post(_intent_path(intent.psp_payment_id, "capture"), fields, intent.key, settings)
    if isinstance(intent, LookupRefundsIntent):
        query: _Fields = (_payment_field(intent.psp_payment_id), ("limit", _PAGE))
        if intent.figures:
            query = (*query, ("expand[]", "data.balance_transaction"))
        if intent.cursor:
            query = (*query, ("starting_after", intent.cursor))
        return _get(f"/v1/refunds?{form(query)}", settings)
    if isinstance(intent, ReverseIntent):
        raise Unwritable("Stripe has no reversal that finds out by itself what to do")
    return _get(_payment_path(intent), settings)


def _refund_fields(intent: RefundIntent) -> _Fields:
    """The amount is always said, the whole rest too: an amount left out means whatever is left at
    the moment of execution, which another refund may have changed."""
    return (
        _payment_field(intent.psp_payment_id),
        ("amount", str(to_wire(intent.amount, intent.currency))),
        ("reason", _REASONS.get(intent.reason, _OTHER_REASON)),
        ("metadata[amends_order]", intent.order),
        ("metadata[amends_refund]", intent.refund),
        ("metadata[amends_leg]", intent.leg),
        ("metadata[amends_epoch]", str(intent.epoch)),
        *_split_fields(intent),
        *((("expand[]", "balance_transaction"),) if intent.figures else ()),
    )


def _split_fields(intent: RefundIntent) -> _Fields:
    """Stripe reverses the transfer of a destination charge in proportion, and gives the application
    fee back in proportion where that is said too; each amount is its own reckoning. The fee alone
    would be paid by the platform twice, so it never goes alone."""
    taken = sum(seller.taken for seller in intent.sellers)
    if not taken:
        return ()
    fee = any(seller.fee_too for seller in intent.sellers)
    found = (("reverse_transfer", "true"),)
    return (*found, ("refund_application_fee", "true")) if fee else found


def _is_charge(psp_payment_id: str) -> bool:
    return psp_payment_id.startswith(("ch_", "py_"))


def _payment_field(psp_payment_id: str) -> tuple[str, str]:
    return ("charge" if _is_charge(psp_payment_id) else "payment_intent", psp_payment_id)


def _intent_path(psp_payment_id: str, action: str) -> str:
    if _is_charge(psp_payment_id):
        raise Unwritable(
            f"Stripe releases an authorization by its PaymentIntent; {psp_payment_id} is a charge"
        )
    return f"/v1/payment_intents/{segment(psp_payment_id)}/{action}"


def _payment_path(intent: LookupPaymentIntent) -> str:
    kind = "charges" if _is_charge(intent.psp_payment_id) else "payment_intents"
    return f"/v1/{kind}/{segment(intent.psp_payment_id)}"


def _post(path: str, fields: _Fields, key: str, settings: Settings) -> Request:
    headers = (
        *_headers(settings),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Idempotency-Key", checked_key(key, _KEY_MAX)),
    )
    return Request("POST", _url(path, settings), headers, form(fields).encode("ascii"))


def _get(path: str, settings: Settings) -> Request:
    return Request("GET", _url(path, settings), _headers(settings))


def _headers(settings: Settings) -> _Fields:
    return (
        ("Authorization", f"Bearer {settings.values.get('api_key', '')}"),
        ("Stripe-Version", API_VERSION),
    )


def _url(path: str, settings: Settings) -> str:
    return (settings.base_url or API).rstrip("/") + path


def verify(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
) -> Genuine | NotGenuine:
    """Whether one of `secrets` signed `raw` within five minutes of `now`. Never raises.

    `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]`: hex HMAC-SHA256 under the whole secret,
    its `whsec_` included, of the timestamp, a full stop and the raw body. While a secret is being
    rolled there are two v1; other schemes are ignored. Stripe's SDK also takes timestamps of any
    future; here five minutes are the most on both sides.
    """
    stamps, signatures = _signature_parts(header(headers, "stripe-signature"))
    if len(stamps) != 1 or not signatures:
        return NotGenuine("Stripe-Signature is missing or not t=…,v1=…")
    seconds = signed_seconds(stamps[0])
    if seconds is None:
        return NotGenuine("the timestamp is not a number")
    signed = wire_bytes(stamps[0]) + b"."
    expected = [hmac_sha256(wire_bytes(key), signed, raw).hex() for key in usable(secrets)]
    matches = [same(ours, theirs) for ours in expected for theirs in signatures]
    if not any(matches):
        return NotGenuine("no signature matches a secret of this connection")
    if not recent(seconds, now):
        return NotGenuine("the timestamp is more than five minutes off")
    return Genuine()


def _signature_parts(value: str) -> tuple[list[str], list[str]]:
    """The timestamps and the v1 signatures of a Stripe-Signature header."""
    pairs = [item.partition("=") for item in value.split(",")]
    stamps = [found for name, _, found in pairs if name == "t"]
    return stamps, [found for name, _, found in pairs if name == "v1" and found]


def live(settings: Settings) -> bool | None:
    """Whether the key is for real money, by its prefix; None if it does not tell."""
    key = settings.values.get("api_key", "")
    if key.startswith(("sk_live_", "rk_live_")):
        return True
    return False if key.startswith(("sk_test_", "rk_test_")) else None
