"""What an Adyen account holds. Amounts are in Adyen's minor units, currencies in upper case.

Adyen's units differ from ISO 4217 for CLP and ISK (two decimals) and for CVE and IDR (none).
"""

from typing import Literal

import msgspec

from amends.sim.account import Origin

METHOD_NEEDS_LINES = frozenset(
    "oney facilypay affirm afterpaytouch afterpay atome clearpay klarna klarna_paynow "
    "klarna_account ratepay walley zip".split()
)
"""Methods whose partial refunds name the items that go back."""

CARDS = frozenset("visa mc amex jcb cup diners discover maestro".split())

CURRENCIES = frozenset(
    "AED ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BMD BND BOB BRL BSD BWP BYN BZD CAD "
    "CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ "
    "GYD HKD HNL HTG HUF IDR ILS INR IQD ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP "
    "LKR LYD MAD MDL MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB "
    "PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD STN SVC SZL "
    "THB TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VND VUV WST XAF XCD XOF XPF YER ZAR "
    "ZMW".split()
)

Kind = Literal["refund", "cancel", "technical_cancel", "reversal", "capture"]


class Dispute(msgspec.Struct, kw_only=True):
    """A chargeback, or what may become one. `held`: its amount is with the customer now; `told`:
    the last code about it, in lower case."""

    psp_reference: str
    amount: int
    reason_code: str
    status: str
    held: bool = False
    told: str = ""


class Modification(msgspec.Struct, kw_only=True, eq=False):
    """What was asked of a payment, and how it stands: `received` until a webhook has told.

    `reference` is the merchant's own, sent back in webhooks; `amount` is 0 where none was asked.
    `borne` is what each balance account bears of a refund, the platform the rest.
    """

    psp_reference: str
    kind: Kind
    payment: "Payment"
    reference: str
    amount: int
    origin: Origin
    status: Literal["received", "succeeded", "failed"] = "received"
    borne: dict[str, int] = {}


class Payment(msgspec.Struct, kw_only=True, eq=False):
    """One authorised payment.

    `captured` and `refunded` are sums of what stands, `uncaptured` of captures that failed after
    they had succeeded; `open` is authorised and neither captured nor let go.
    """

    psp_reference: str
    reference: str
    amount: int
    currency: str
    method: str
    multicapture: bool
    open: int
    captured: int = 0
    refunded: int = 0
    uncaptured: int = 0
    gone: Literal["", "canceled", "expired"] = ""
    modifications: list[Modification] = []
    postponed: list[Modification] = []
    disputes: list[Dispute] = []

    @property
    def refundable(self) -> int:
        """Captured, and neither refunded nor charged back."""
        held = sum(dispute.amount for dispute in self.disputes if dispute.held)
        return max(0, self.captured - self.refunded - held)

    @property
    def status(self) -> str:
        """How the payment stands, for people."""
        if self.captured:
            return "captured"
        return self.gone or ("authorised" if self.open else "released")

    def captures(self, *statuses: str) -> list[Modification]:
        """Its captures that stand so, oldest first."""
        found = (m for m in self.modifications if m.kind == "capture")
        return [m for m in found if m.status in statuses]
