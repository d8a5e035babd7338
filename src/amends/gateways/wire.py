"""What the requests and answers of several providers share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from urllib.parse import quote, quote_plus

import msgspec

from amends.gateways.codecs import Json
from amends.gateways.signatures import header
from amends.gateways.spec import Response, Unwritable
from amends.kernel.time import SECOND

_NO_TEXT = "a field holds half a character, which no UTF-8 can say"


def segment(psp_id: str) -> str:
    """An id as one segment of a path; an id of another shape must not reach another endpoint.
    Raises Unwritable."""
    if not psp_id.strip("."):
        raise Unwritable(f"{psp_id!r} is no id of a payment")
    try:
        return quote(psp_id, safe="")
    except UnicodeEncodeError as error:
        raise Unwritable(f"{psp_id!r} is no id of a payment") from error


def form(fields: Iterable[tuple[str, str]]) -> str:
    """Fields as a form, or as the query of an address, the way `urlencode` writes them; the names
    are few, so each is quoted once. Raises Unwritable."""
    try:
        return "&".join(f"{_quoted(name)}={quote_plus(value)}" for name, value in fields)
    except UnicodeEncodeError as error:
        raise Unwritable(_NO_TEXT) from error


@cache
def _quoted(name: str) -> str:
    return quote_plus(name)


def json_body(fields: Json) -> bytes:
    """Fields as JSON. Raises Unwritable."""
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError as error:
        raise Unwritable(_NO_TEXT) from error


def checked_key(key: str, most: int) -> str:
    """The idempotency key, if a header of `most` characters can carry it. Raises Unwritable."""
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= most:
        raise Unwritable(f"an idempotency key has 1 to {most} printable ASCII characters")
    return key


def retry_after(response: Response) -> int:
    """The pause asked for, in microseconds; 0 if none, or as a date (there is no clock here)."""
    value = header(response.headers, "retry-after").strip()
    if not value.isascii() or not value.isdigit() or len(value) > 6:
        return 0
    return int(value) * SECOND
