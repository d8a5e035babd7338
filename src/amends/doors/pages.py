"""Values in addresses and parameters: pages, filters, ids, instants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from amends.core.reasons import Reason, Refused
from amends.doors.calls import Query
from amends.engine.queries import PAGE_MAX
from amends.kernel.time import Instant, parse_rfc3339

LIMIT = 50
_CURSOR = "[0-9A-Za-z_-]{1,1000}"
NUMBER = "[0-9]{1,15}"  # the cursor of a list of events

PAGE = (
    Query(
        "cursor",
        "`next` of the page before.",
        {"type": "string", "pattern": f"^{_CURSOR}$"},
    ),
    Query(
        "limit",
        f"Items of a page, {LIMIT} if not given.",
        {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": LIMIT},
    ),
)
FILTER_MAX = 255
FILTER = {"type": "string", "pattern": f"^[^\\u0000]{{1,{FILTER_MAX}}}$"}


def limit(query: Mapping[str, str]) -> int:
    """How many items. Raises Refused."""
    text = query.get("limit", str(LIMIT))
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > PAGE_MAX:
        detail = f"limit is a whole number from 1 to {PAGE_MAX}."
        raise Refused(Reason.VALIDATION, detail, parameter="limit")
    return int(text)


def cursor(query: Mapping[str, str], shape: str = _CURSOR) -> str:
    """The cursor, "" for the first page. Raises Refused for what cannot be one."""
    text = query.get("cursor")
    if text is not None and not re.fullmatch(shape, text):
        raise Refused(Reason.VALIDATION, "This is not a cursor.", parameter="cursor")
    return text or ""


def filters(query: Mapping[str, str]) -> dict[str, str]:
    """The other parameters. Raises Refused for an empty one, which would find nothing."""
    found = {name: text for name, text in query.items() if name not in ("cursor", "limit")}
    for name, text in found.items():
        if not 0 < len(text) <= FILTER_MAX:
            raise Refused(
                Reason.VALIDATION, f"{name} has 1 to {FILTER_MAX} characters.", parameter=name
            )
    return found


@contextmanager
def cursor_of_this_list() -> Iterator[None]:
    """A cursor of another list is a ValueError of the store: there is no such page."""
    try:
        yield
    except ValueError:
        detail = "This cursor was not made by this list: start again without one."
        raise Refused(Reason.NOT_FOUND, detail, parameter="cursor") from None


def identifier(text: str, unknown: Reason) -> str:
    """An id from an address; one that no row can have is unknown without asking the database."""
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise Refused(unknown)
    return text


def instant(text: str, parameter: str) -> Instant:
    """An RFC 3339 instant. Raises Refused."""
    try:
        if not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", text):
            raise ValueError("it has no date and time")
        return parse_rfc3339(text.upper())
    except (ValueError, OverflowError) as error:
        detail = f"{text[:40]!r} is not an instant like 2026-11-01T10:00:00Z: {error}."
        raise Refused(Reason.VALIDATION, detail, parameter=parameter) from None
