"""Adyen's webhooks as signed: the eight fields a signature covers, and whether it holds.

A standard webhook is `{"live", "notificationItems": [{"NotificationRequestItem": {…}}]}`, each
item signed on its own, inside: `additionalData.hmacSignature` is base64 HMAC-SHA256, under the
hex-decoded key, of eight values joined by colons, none escaped, absent ones empty, without a
timestamp (source: Adyen's own Python library 16.0.0). `live`, `reason`, `eventDate`,
`paymentMethod` and all of `additionalData` are not covered. Platform and Management webhooks have
no items; their header `HmacSignature` covers the raw body.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

import msgspec

from amends.gateways.codecs import Json, Malformed, code_text, json_object, part, parts, text
from amends.gateways.signatures import header, hmac_sha256, same, usable, wire_bytes
from amends.gateways.spec import Genuine, NotGenuine
from amends.kernel.time import Instant

ITEMS = "notificationItems"

_VALUE_MAX = 2**63  # int64 in Adyen's schema


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One notification item. `value` is in Adyen's units, None if absent; texts are "" if absent.

    All fields are signed but the last three: the signature itself, and two that may label something
    for people and decide nothing: `reason`, Adyen's sentence on a failure, and `arn`, the acquirer
    reference number of a refund to a card.
    """

    psp_reference: str
    original_reference: str
    account: str
    merchant_reference: str
    value: int | None
    currency: str
    event: str
    success: str
    signature: str = ""
    reason: str = ""
    arn: str = ""


def items(body: Json) -> tuple[Item, ...]:
    """The items of a standard webhook, at least one. Raises Malformed."""
    entries = parts(body, ITEMS)
    if not entries:
        raise Malformed(f"{ITEMS} is missing, empty or not a list")
    return tuple(_item(part(entry, "NotificationRequestItem")) for entry in entries)


def _item(source: Json) -> Item:
    """Signed values keep the types of Adyen's schema: a JSON true would read like "true" when
    joined, and not be what was signed."""
    amount, extra = part(source, "amount"), part(source, "additionalData")
    return Item(
        psp_reference=_between_colons(source, "pspReference", required=True),
        original_reference=_between_colons(source, "originalReference"),
        account=_signed_text(source, "merchantAccountCode"),
        merchant_reference=_signed_text(source, "merchantReference"),
        value=_signed_whole(amount, "value"),
        currency=_between_colons(amount, "currency"),
        event=_between_colons(source, "eventCode", required=True),
        success=_between_colons(source, "success", required=True),
        signature=text(extra, "hmacSignature"),
        reason=text(source, "reason"),
        arn=code_text(extra, "arn"),
    )


def _signed_text(source: Json, key: str) -> str:
    value = source.get(key)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{key} is not a text")
    return value or ""


def _between_colons(source: Json, key: str, required: bool = False) -> str:
    """A value with a colon in it could be two: what is signed says not where one ends. With none in
    these six, and the account compared to ours, only one reading is left."""
    value = _signed_text(source, key)
    if ":" in value or (required and not value):
        raise Malformed(f"{key} is missing or holds a colon")
    return value


def _signed_whole(source: Json, key: str) -> int | None:
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _VALUE_MAX:
        raise Malformed(f"{key} is not an integer")
    return value


def verify(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
) -> Genuine | NotGenuine:
    """Whether every item of `raw`, or `raw` as a whole, is signed by one of `secrets` (hex keys).
    Never raises. Nothing in it tells time, so a replay shows only in the message's id."""
    keys = _keys(secrets)
    body = _object(raw)
    if ITEMS not in body:
        return _verify_whole(raw, header(headers, "hmacsignature"), keys)
    try:
        found = items(body)
    except Malformed as error:
        return NotGenuine(f"not a webhook as Adyen documents it: {error}")
    if not all(_holds(item.signature, keys, _signed(item)) for item in found):
        return NotGenuine("an item is not signed by a key of this connection")
    return Genuine()


def _object(raw: bytes) -> Json:
    """The JSON object in a stranger's body; an empty one if there is none."""
    try:
        return json_object(raw)
    except Malformed:
        return {}


def _verify_whole(raw: bytes, signature: str, keys: list[bytes]) -> Genuine | NotGenuine:
    if _holds(signature, keys, raw):
        return Genuine()
    return NotGenuine("HmacSignature is missing or matches no key of this connection")


def _signed(item: Item) -> bytes:
    value = "" if item.value is None else str(item.value)
    references = (item.psp_reference, item.original_reference)
    ours = (item.account, item.merchant_reference)
    return wire_bytes(
        ":".join((*references, *ours, value, item.currency, item.event, item.success))
    )


def _holds(signature: str, keys: list[bytes], message: bytes) -> bool:
    """As text, not decoded: several base64 texts stand for the same bytes, only one is Adyen's."""
    expected = [base64.b64encode(hmac_sha256(key, message)).decode("ascii") for key in keys]
    return any(same(ours, signature) for ours in expected)


def _keys(secrets: Iterable[str]) -> list[bytes]:
    """The keys behind hex texts; one that is no hex, or empty, signs nothing."""
    return [key for secret in usable(secrets) if (key := _unhex(secret))]


def is_key(secret: str) -> bool:
    """Whether a text can be the key of a webhook."""
    return bool(_unhex(secret))


def _unhex(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        return b""
