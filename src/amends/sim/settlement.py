"""What an account is kept in at a look-alike, and at what rates: another one each day."""

from fractions import Fraction
from zlib import crc32

import msgspec

DAY_S = 86_400
# Decimals of the amounts a look-alike counts in; others have two.
ZERO = frozenset("BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF".split())
THREE = frozenset("BHD IQD JOD KWD LYD OMR TND".split())


class Settlement(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`settle`: what comes in other currencies is exchanged into `currency`, at `rates` (its units
    for one unit of another, as text) that are up to `drift_bp` (1/10,000) off from day to day.
    Currencies without a rate are kept as they are."""

    currency: str
    rates: dict[str, str] = {}
    drift_bp: int = 0

    def rate(self, currency: str, at: float) -> Fraction | None:
        """Minor units for one minor unit on the day of Unix second `at`; None: it is kept."""
        said = self.rates.get(currency)
        if said is None or currency == self.currency:
            return None
        day = int(at) // DAY_S
        drift = crc32(f"{currency} {day}".encode()) % (2 * self.drift_bp + 1) - self.drift_bp
        scale = Fraction(10) ** (decimals(self.currency) - decimals(currency))
        return Fraction(said) * scale * (10_000 + drift) / 10_000


def decimals(currency: str) -> int:
    """Of a currency in capitals."""
    return 0 if currency in ZERO else 3 if currency in THREE else 2


def rounded(value: Fraction) -> int:
    """Half up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
