"""Reading JSON that others wrote: fields may be missing, null, of another type, or expanded.

Every reader here answers "not said" instead of failing; only a body that is no JSON object, or a
field the caller cannot do without, is `Malformed`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from amends.kernel.currency import EXPONENT
from amends.kernel.time import SECOND, Instant

Json = dict[str, Any]

_WHOLE_MAX = 2**53  # JSON numbers above this are not exact everywhere
_SECONDS_MAX = 10**11  # the year 5138; keeps microseconds inside a signed 64-bit integer


class Malformed(ValueError):
    """Not the shape its sender documents; the sentence names the field."""


def json_object(raw: bytes) -> Json:
    """The JSON object in `raw`. Raises Malformed: no UTF-8, no JSON, too deep, or no object."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Malformed("the body is not a JSON object")
    return value


def text(source: Json, key: str) -> str:
    """The string under `key`, or "" if there is none."""
    value = source.get(key)
    return value if isinstance(value, str) else ""


_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def code_text(source: Json, key: str) -> str:
    """The string under `key` if it is a code or a reference, which names nobody; else ""."""
    value = text(source, key)
    return value if _CODE.fullmatch(value) else ""


def whole(source: Json, key: str) -> int | None:
    """The exact integer under `key`, or None; true and false are no numbers."""
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < _WHOLE_MAX else None


def flag(source: Json, key: str) -> bool | None:
    """The boolean under `key`, or None."""
    value = source.get(key)
    return value if isinstance(value, bool) else None


def part(source: Json, key: str) -> Json:
    """The object under `key`, or an empty one."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def parts(source: Json, key: str) -> list[Json] | None:
    """The objects of the list under `key`; None if there is no list. Raises Malformed if one of
    its items is no object: a list that is only partly understood must not look complete."""
    value = source.get(key)
    if not isinstance(value, list):
        return None
    if not all(isinstance(item, dict) for item in value):
        raise Malformed(f"{key} holds something that is not an object")
    return value


def identifier(source: Json, key: str) -> str:
    """The id under `key`, given as a string or as the whole object (expanded); "" if neither."""
    value = source.get(key)
    return text(value, "id") if isinstance(value, dict) else text(source, key)


def required_text(source: Json, key: str) -> str:
    """The non-empty string under `key`. Raises Malformed."""
    value = text(source, key)
    if not value:
        raise Malformed(f"{key} is missing or not a text")
    return value


def required_whole(source: Json, key: str) -> int:
    """The integer under `key`. Raises Malformed."""
    value = whole(source, key)
    if value is None:
        raise Malformed(f"{key} is missing or not an integer")
    return value


def instant(source: Json, key: str) -> Instant:
    """Unix seconds under `key` as microseconds; 0 if there are none."""
    seconds = whole(source, key)
    return seconds * SECOND if seconds is not None and 0 < seconds < _SECONDS_MAX else 0


_DECIMAL = re.compile(r"(?=\d|\.\d)(\d{0,24})(?:\.(\d{1,30}))?", re.ASCII)


def minor_units(value: str, currency: str) -> int:
    """A decimal string of major units in ISO 4217 minor units, not below 0. It means the same with
    more zeros than the currency needs. Raises Malformed."""
    found = _DECIMAL.fullmatch(value)
    if currency not in EXPONENT or found is None:
        raise Malformed("missing or not an amount")
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > EXPONENT[currency]:
        raise Malformed(f"{value} {currency}, not a whole number of its minor units")
    digits = (found[1] or "0") + fraction.ljust(EXPONENT[currency], "0")
    if int(digits) >= _WHOLE_MAX:
        raise Malformed("larger than any amount")
    return int(digits)


# 13 to 19 digits, perhaps in groups; card numbers start with 2 to 6 (ISO/IEC 7812), which spares
# instants in milli- and microseconds.
_CARD_LIKE = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)", re.ASCII)


def blank_cards(line: str) -> str:
    """`line` with every number that could be a card's (length and check digit) blanked."""
    return _CARD_LIKE.sub(lambda match: "[card]" if _luhn(match[0]) else match[0], line)


_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")


def blank_people(line: str) -> str:
    """`line` without addresses of mail, which many parties repeat in what they say, and cards."""
    return blank_cards(_ADDRESS.sub("[address]", line))


def _luhn(number: str) -> bool:
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
