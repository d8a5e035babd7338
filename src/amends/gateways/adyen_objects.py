"""Adyen's amounts, our marks on its modifications, and what must not be logged.

Amounts: Adyen counts in minor units of its own, which differ from ISO 4217 for CLP and ISK (Adyen
two decimals, ISO none) and for CVE and IDR (Adyen none, ISO two). Source:
docs.adyen.com/development-resources/currency-codes. Everything outside these modules is in ISO 4217
minor units, upper-case codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from amends.gateways.codecs import Malformed, blank_cards
from amends.gateways.spec import Unwritable
from amends.kernel.currency import EXPONENT

_WIRE_ZERO = "CVE DJF GNF IDR JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_WIRE_TWO_THOUGH_ISO_NONE = "CLP ISK"
_WIRE_THREE = "BHD IQD JOD KWD LYD OMR TND"

# Currencies of other exponents (BIF, UYI, CLF, UYW) are not on Adyen's page: which unit it would
# count them in is not known, so they are not carried.
WIRE_EXPONENT: dict[str, int] = {
    **{code: 2 for code, iso in EXPONENT.items() if iso == 2},
    **dict.fromkeys(_WIRE_ZERO.split(), 0),
    **dict.fromkeys(_WIRE_TWO_THOUGH_ISO_NONE.split(), 2),
    **dict.fromkeys(_WIRE_THREE.split(), 3),
}

# In ISO 4217 minor units: what an amount must be a multiple of for Adyen to carry it.
MULTIPLE_OF: Mapping[str, int] = {"CVE": 100, "IDR": 100}

_CENT = 100  # wherever Adyen and ISO 4217 differ, they differ by two decimals

# A reference has at most 80 characters (Checkout API v72). No colon in it: Adyen joins what it
# signs by colons and escapes none. The longest mark has 77 characters.
_MARK = re.compile(r"amends\.([A-Za-z0-9_]{1,60})\.([0-9]{1,9})", re.ASCII)

_SECRETS = re.compile(
    r"\bAQE[\w+/=.*!$%&^<>~-]{12,}"  # API keys of all accounts start so
    r"|\b[0-9A-F]{64}\b",  # HMAC keys as the Customer Area shows them; our hashes are lower case
    re.ASCII,
)
_HEADERS = re.compile(
    r"(?i)\b(x-api-key)(['\"]?\s*[:=,]\s*['\"]?)[^\s'\",]+|\b(bearer|basic)(\s+)[\w.+/=~-]+",
    re.ASCII,
)


def to_wire(minor: int, currency: str) -> int:
    """An amount in Adyen's units. Raises Unwritable if Adyen cannot carry it exactly."""
    if currency not in WIRE_EXPONENT:
        raise Unwritable(f"Adyen carries no {currency}")
    if minor <= 0:
        raise Unwritable(f"Adyen carries no amount of {minor}")
    step = MULTIPLE_OF.get(currency, 1)
    if minor % step:
        raise Unwritable(f"Adyen carries {currency} only in multiples of {step} minor units")
    return minor * _CENT if WIRE_EXPONENT[currency] > EXPONENT[currency] else minor // step


def from_wire(value: int, currency: str) -> int:
    """Adyen's amount, not below 0, in ISO 4217 minor units of `currency`. Raises Malformed."""
    if currency not in WIRE_EXPONENT:
        raise Malformed(f"currency {currency[:8]!r} is not one Adyen and ISO 4217 share")
    if value < 0:
        raise Malformed("the amount is negative")
    if WIRE_EXPONENT[currency] <= EXPONENT[currency]:
        return value * MULTIPLE_OF.get(currency, 1)
    minor, rest = divmod(value, _CENT)
    if rest:
        raise Malformed(f"{value} of {currency} is not a whole number of its minor units")
    return minor


def mark(leg: str, epoch: int) -> str:
    """The `reference` of a modification: it comes back, signed, as `merchantReference`. Raises
    Unwritable if it could not be read back."""
    reference = f"amends.{leg}.{epoch}"
    if not _MARK.fullmatch(reference):
        raise Unwritable(f"{leg[:80]!r} is no id of a leg")
    return reference


def marked(reference: str) -> tuple[str, int]:
    """The leg and epoch a reference names; ("", 0) if it is not one of ours."""
    found = _MARK.fullmatch(reference)
    return (found[1], int(found[2])) if found else ("", 0)


def scrub(line: str) -> str:
    """`line` with API keys, HMAC keys, credentials and card numbers blanked, for logs."""
    return blank_cards(_HEADERS.sub(_hide, _SECRETS.sub("[secret]", line)))


def _hide(found: re.Match[str]) -> str:
    return f"{found[1] or found[3]}{found[2] or found[4]}[secret]"
