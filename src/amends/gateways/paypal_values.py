"""What is in PayPal's objects: amounts, times, links, our own mark on a refund, and secrets.

Amounts are decimal strings of major units; HUF, JPY and TWD take no decimals
(developer.paypal.com currency codes), of which HUF and TWD have two by ISO 4217. Everything outside
this file is in ISO 4217 minor units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from amends.gateways.codecs import Json, Malformed, blank_cards, minor_units, part, parts, text
from amends.gateways.spec import Unwritable
from amends.kernel.currency import EXPONENT
from amends.kernel.time import Instant, parse_rfc3339

_SUPPORTED = (
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN SEK SGD THB TWD "
    "USD"
)
_NO_DECIMALS = "HUF JPY TWD"

WIRE_EXPONENT: dict[str, int] = {
    **dict.fromkeys(_SUPPORTED.split(), 2),
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
}

# In ISO 4217 minor units: what an amount must be a multiple of for PayPal to carry it.
MULTIPLE_OF: Mapping[str, int] = {"HUF": 100, "TWD": 100}

_HREF = re.compile(
    r"/v[12]/(?:payments|checkout)/(refunds|captures|authorizations|orders)"
    r"/([A-Za-z0-9-]{1,64})(?=$|[/?#])",
    re.ASCII,
)

# A cursor that is the id of a capture; any other is an order's.
OF_CAPTURE = "capture:"

_OURS = "amends"
_MARK_MAX = 127  # characters of a custom_id and of an invoice_id
_MARK = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)  # what a custom_id may hold, but our separator

# Client ids and secrets have 80 characters and start with A or E, tokens with A21 and are longer:
# seen, not documented.
_SECRETS = re.compile(r"\b(?:A21[\w.-]{20,}|[AE][\w-]{79})(?![\w-])", re.ASCII)
_NAMED = re.compile(
    r"(?i)(\b(?:bearer|basic)\s+|(?:access_token|client_secret)[\"']?\s*[=:]\s*[\"']?)"
    r"[\w.+/=~-]+",
    re.ASCII,
)


def to_wire(minor: int, currency: str) -> Json:
    """An amount as PayPal's money. Raises Unwritable if PayPal cannot carry it exactly."""
    if currency not in WIRE_EXPONENT:
        raise Unwritable(f"PayPal carries no {currency}")
    if minor <= 0:
        raise Unwritable(f"PayPal carries no amount of {minor}")
    step = MULTIPLE_OF.get(currency, 1)
    if minor % step:
        raise Unwritable(f"PayPal carries {currency} only in multiples of {step} minor units")
    units, cents = divmod(minor, 10 ** EXPONENT[currency])
    value = f"{units}.{cents:02d}" if WIRE_EXPONENT[currency] else str(units)
    return {"currency_code": currency, "value": value}


def money(source: Json, key: str) -> tuple[int, str]:
    """The money under `key`: ISO minor units, not below 0, and the currency. Raises Malformed.

    A decimal string says what it means in any currency, so those PayPal no longer offers are read
    too.
    """
    held = part(source, key)
    currency = text(held, "currency_code").upper()
    try:
        return minor_units(text(held, "value"), currency), currency
    except Malformed as error:
        raise Malformed(f"{key} is {error}") from error


def amount_in(resource: Json, currency: str) -> int:
    """The resource's amount, which must be in that currency. Raises Malformed."""
    amount, found = money(resource, "amount")
    if found != currency:
        raise Malformed(f"its amount is in {found}, not in {currency}")
    return amount


def moment(source: Json, key: str) -> Instant:
    """The RFC 3339 time under `key`; 0 if there is none."""
    try:
        return max(0, parse_rfc3339(text(source, key)))
    except (ValueError, OverflowError):
        return 0


# -- our mark ----------------------------------------------------------------------------------


def mark(order: str, leg: str, epoch: int) -> str:
    """The custom_id by which a refund is known as ours. Raises Unwritable."""
    made = f"{_OURS}.{order}.{leg}.{epoch}"
    if not (_MARK.fullmatch(order) and _MARK.fullmatch(leg)) or len(made) > _MARK_MAX:
        raise Unwritable(f"{made!r} is no custom_id")
    return made


def marked(resource: Json) -> tuple[str, int]:
    """The leg and epoch in a custom_id of ours, or ("", 0)."""
    pieces = text(resource, "custom_id").split(".")
    if len(pieces) != 4 or pieces[0] != _OURS:
        return "", 0
    _, _, leg, epoch = pieces
    known = epoch.isascii() and epoch.isdigit() and len(epoch) < 10
    return (leg, int(epoch)) if leg and known else ("", 0)


# -- links -------------------------------------------------------------------------------------


def linked(resource: Json, *rels: str) -> tuple[tuple[str, str], ...]:
    """What the resource's links lead to: ("captures", id) and so on, of these relations, or of all
    if none is named."""
    links = parts(resource, "links") or []
    hrefs = [text(link, "href") for link in links if not rels or text(link, "rel") in rels]
    found = [match for href in hrefs if (match := _HREF.search(href))]
    return tuple((match[1], match[2]) for match in found)


def link_to(resource: Json, kind: str, *rels: str) -> str:
    """The first id of that kind the resource's links lead to, or ""."""
    return next((psp_id for found, psp_id in linked(resource, *rels) if found == kind), "")


def related(resource: Json) -> Json:
    """The ids of the things a payment hangs together with."""
    return part(part(resource, "supplementary_data"), "related_ids")


def check_kind(resource: Json, kind: str) -> None:
    """PayPal's objects do not name their type; their own address does. Raises Malformed."""
    if any(found != kind for found, _ in linked(resource, "self")):
        raise Malformed(f"this is none of the {kind}")


def scrub(line: str) -> str:
    """`line` with client secrets, tokens and card numbers blanked, for logs."""
    return blank_cards(_NAMED.sub(r"\1[secret]", _SECRETS.sub("[secret]", line)))
