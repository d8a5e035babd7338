"""Prefixed ids: `rf_01k…`. The random ones are time-ordered (UUIDv7 bytes come in from outside);
the derived ones are a hash of what they name, so that two processes agree without asking."""

from __future__ import annotations

from hashlib import sha256

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_SHIFTS = range(120, -1, -10)


def encode(prefix: str, raw: bytes) -> str:
    """`prefix_` and 26 Crockford base-32 characters of 16 bytes; keeps their order."""
    number = int.from_bytes(raw, "big")
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def derived(prefix: str, *parts: str) -> str:
    """An id that follows from its parts (128 bits of SHA-256 over them, length-prefixed)."""
    hasher = sha256()
    for part in parts:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(4, "big") + raw)
    return encode(prefix, hasher.digest()[:16])


def tail(identifier: str) -> str:
    """The part of an id after its prefix."""
    return identifier.rpartition("_")[2]
