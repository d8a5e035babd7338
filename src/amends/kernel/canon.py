"""Canonical JSON and its hash: audit chain, idempotency bodies and quotes all hash through here.

Canonical means: keys sorted, no blanks, UTF-8, integers only. Floats are refused, since two
machines may print one float in two ways and a hash must not depend on the printer.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from amends.kernel.check import invariant

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The one byte string that stands for `value` (structs, dicts, lists, strings, ints, None)."""
    return _encoder.encode(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, 64 hex digits."""
    return sha256(_encoder.encode(value)).hexdigest()


def digest_parsed(value: Any) -> str:
    """Like `digest`, for JSON that came from outside: a float anywhere in it is refused."""
    _refuse_floats(value)
    return digest(value)


def chain(previous: str, value: bytes) -> str:
    """The next link: SHA-256 over the previous link's 64 hex digits and the canonical bytes."""
    return sha256(previous.encode("ascii") + value).hexdigest()


GENESIS = "0" * 64  # what the first link of every chain stands on


def _refuse_floats(value: Any) -> None:
    invariant(not isinstance(value, float), "a float has no canonical form: use integers")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
