"""What the signature checks of several parties share. Nothing here raises on what a stranger sent.

Texts are compared as bytes in constant time; a shared secret that is empty signs nothing.
"""

from __future__ import annotations

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
