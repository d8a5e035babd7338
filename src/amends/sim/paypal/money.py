"""PayPal's money: decimal strings of major units, read as strictly as PayPal reads them.

Everything else here counts in ISO 4217 minor units, so that HUF and TWD, which have no decimals at
PayPal, are multiples of 100. Source: developer.paypal.com, currency codes.
"""

import re
from typing import Any

from amends.sim.paypal.errors import malformed, refused

Json = dict[str, Any]

SUPPORTED = frozenset(
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN SEK SGD THB TWD "
    "USD".split()
)
NO_DECIMALS = frozenset(("HUF", "JPY", "TWD"))
# Minor units in one that PayPal can say.
STEP = {"HUF": 100, "TWD": 100}

VALUE_LENGTH = 32
_VALUE = re.compile(r"(-?)(\d*)(?:\.(\d+))?", re.ASCII)


def shown(minor: int, currency: str) -> Json:
    """`1050, "EUR"` -> `{"currency_code": "EUR", "value": "10.50"}`."""
    if currency in NO_DECIMALS:
        return {"currency_code": currency, "value": str(minor // STEP.get(currency, 1))}
    units, cents = divmod(minor, 100)
    return {"currency_code": currency, "value": f"{units}.{cents:02d}"}


def read(raw: Any, field: str) -> tuple[int, str]:
    """The amount of a request: minor units above 0, and the currency. Raises Refusal.

    The value is a string; a JSON number is refused, as PayPal does.
    """
    if not isinstance(raw, dict):
        raise malformed("INVALID_PARAMETER_SYNTAX", field)
    currency, value = (_text(raw, key, field) for key in ("currency_code", "value"))
    if len(currency) != 3:
        raise malformed("INVALID_STRING_LENGTH", f"{field}/currency_code")
    found = _VALUE.fullmatch(value)
    if len(value) > VALUE_LENGTH or found is None or not (found[2] or found[3]):
        raise malformed("INVALID_PARAMETER_SYNTAX", f"{field}/value")
    if currency not in SUPPORTED:
        raise refused("INVALID_CURRENCY_CODE", f"{field}/currency_code")
    minor = _minor(found[2] or "0", found[3] or "", currency, f"{field}/value")
    if found[1] or minor == 0:
        raise refused("CANNOT_BE_ZERO_OR_NEGATIVE", f"{field}/value")
    return minor, currency


def _text(raw: Json, key: str, field: str) -> str:
    value = raw.get(key)
    if value is None:
        raise malformed("MISSING_REQUIRED_PARAMETER", f"{field}/{key}")
    if not isinstance(value, str):
        raise malformed("INVALID_PARAMETER_SYNTAX", f"{field}/{key}")
    return value


def _minor(units: str, fraction: str, currency: str, field: str) -> int:
    if currency in NO_DECIMALS:
        if fraction:
            raise refused("DECIMALS_NOT_SUPPORTED", field)
        return int(units) * STEP.get(currency, 1)
    if len(fraction) > 2:
        raise refused("DECIMAL_PRECISION", field)
    return int(units) * 100 + int(fraction.ljust(2, "0"))


def check(minor: int, currency: str) -> None:
    """An amount of the control API. Raises Refusal if PayPal could not say it."""
    if currency not in SUPPORTED:
        raise refused("INVALID_CURRENCY_CODE")
    if minor < 1:
        raise refused("CANNOT_BE_ZERO_OR_NEGATIVE")
    if minor % STEP.get(currency, 1):
        raise refused("DECIMALS_NOT_SUPPORTED")
