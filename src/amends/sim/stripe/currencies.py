"""Stripe's currencies: how many decimals, which multiples, which smallest payment.

Source: docs.stripe.com/currencies. Three-decimal currencies depend on the account; here they end in
zero.
"""

from amends.sim.stripe.errors import bad_parameter

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
# ISK and UGX have no decimals in life but are sent with two, which must be zero.
MULTIPLE_OF = {"isk": 100, "ugx": 100} | dict.fromkeys(THREE_DECIMAL, 10)
SUPPORTED = (
    ZERO_DECIMAL
    | THREE_DECIMAL
    | frozenset(
        "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd "
        "cad cdf chf  cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd "
        "hkd hnl htg huf idr ils  inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd "
        "mmk mnt mop mur mvr mwk mxn myr mzn  nad ngn nio nok npr nzd pab pen pgk php pkr pln qar "
        "ron rsd rub sar sbd scr sek sgd shp sle sos srd  std szl thb tjs top try ttd twd tzs uah "
        "ugx usd uyu uzs wst xcd yer zar zmw".split()
    )
)
SMALLEST_PAYMENT = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200,
    "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip


def check_currency(currency: str) -> str:
    """The lower-case code. Raises Refusal when Stripe does not know it."""
    lowered = currency.lower()
    if lowered not in SUPPORTED:
        raise bad_parameter(f"Invalid currency: {lowered}.", "currency")
    return lowered


def check_multiple(amount: int, currency: str, param: str) -> None:
    """Raises Refusal when the amount has decimals its currency does not have."""
    multiple = MULTIPLE_OF.get(currency, 1)
    if amount % multiple:
        raise bad_parameter(
            f"Invalid amount: amounts in {currency} must be a multiple of {multiple}", param
        )


def check_smallest(amount: int, currency: str) -> None:
    """Raises Refusal when a payment is below the smallest Stripe charges."""
    smallest = SMALLEST_PAYMENT.get(currency, 1)
    if amount < smallest:
        raise bad_parameter(
            f"Amount must be at least {display(smallest, currency)}", "amount", "amount_too_small"
        )


def display(amount: int, currency: str) -> str:
    """`1050, "eur"` -> `10.50 eur`."""
    if currency in ZERO_DECIMAL:
        return f"{amount} {currency}"
    places = 3 if currency in THREE_DECIMAL else 2
    whole, rest = divmod(amount, 10**places)
    return f"{whole}.{rest:0{places}d} {currency}"
