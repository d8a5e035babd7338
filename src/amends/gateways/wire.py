"""What the requests and answers of several providers share."""

from __future__ import annotations

from urllib.parse import quote

from amends.gateways.signatures import header
from amends.gateways.spec import Response, Unwritable
from amends.kernel.time import SECOND


def segment(psp_id: str) -> str:
    """An id as one segment of a path; an id of another shape must not reach another endpoint.
    Raises Unwritable."""
    if not psp_id.strip("."):
        raise Unwritable(f"{psp_id!r} is no id of a payment")
    try:
        return quote(psp_id, safe="")
    except UnicodeEncodeError as error:
        raise Unwritable(f"{psp_id!r} is no id of a payment") from error


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
