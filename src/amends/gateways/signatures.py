"""What the signature checks of several parties share. Nothing here raises on what a stranger sent.

Texts are compared as bytes in constant time; a shared secret that is empty signs nothing.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256

from amends.kernel.time import SECOND, Instant

TOLERANCE = 300 * SECOND  # both Stripe's SDK and the Standard Webhooks library allow five minutes

_TIMESTAMP_DIGITS = 12  # Unix seconds until the year 33658


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of the header `name` (lower case, as `headers` are), or "" if it is absent."""
    return headers.get(name, "")


def usable(secrets: Iterable[str]) -> tuple[str, ...]:
    """The secrets that are not empty: a forger can sign with an empty one."""
    return tuple(secret for secret in secrets if secret)


def hmac_sha256(key: bytes, *message: bytes) -> bytes:
    """HMAC-SHA256 of the concatenated parts, 32 bytes; the body is not copied."""
    mac = hmac.new(key, digestmod=sha256)
    for piece in message:
        mac.update(piece)
    return mac.digest()


def wire_bytes(value: str) -> bytes:
    """The bytes of a text that may hold anything, lone surrogates included; never raises."""
    return value.encode("utf-8", "surrogatepass")


def same(expected: str, given: str) -> bool:
    """Whether two texts are equal, in time that does not tell where they differ."""
    return hmac.compare_digest(wire_bytes(expected), wire_bytes(given))


def signed_seconds(value: str) -> int | None:
    """A signed timestamp: ASCII digits only, Unix seconds. None for anything else (signs, blanks,
    underscores and other scripts' digits, all of which `int` would take)."""
    if not value.isascii() or not value.isdigit() or len(value) > _TIMESTAMP_DIGITS:
        return None
    return int(value)


def recent(seconds: int, now: Instant) -> bool:
    """Whether a signed timestamp is at most five minutes old, and at most five minutes ahead: one
    from the future would stay valid for as long as its signer's clock is wrong."""
    return abs(now - seconds * SECOND) <= TOLERANCE


def unbase64(value: str) -> bytes:
    """The bytes of a base64 text, padded or not; none if it is no base64."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return b""


def webhook_key(secret: str) -> bytes:
    """The key in a symmetric secret of Standard Webhooks, `whsec_` and base64; none if it holds
    none."""
    return unbase64(secret.removeprefix("whsec_"))


def webhook_signed(name: str, stamp: str, raw: bytes) -> bytes:
    """What a Standard Webhooks signature covers."""
    return wire_bytes(f"{name}.{stamp}.") + raw


def webhook_signature(key: bytes, signed: bytes) -> str:
    """The base64 text of a `v1` signature, padded, without its version."""
    return base64.b64encode(hmac_sha256(key, signed)).decode("ascii")
