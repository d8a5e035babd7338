"""What a PayPal account holds, in our own words; `views` says how PayPal shows it.

Amounts are minor units, times Unix seconds. One order has one purchase unit, and one payment.
"""

from __future__ import annotations

import msgspec

# Of a refund: the money is the merchant's again.
GIVEN_BACK = ("FAILED", "CANCELLED")
# Of a capture: the money was taken.
TAKEN = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")


class Payment(msgspec.Struct, eq=False, kw_only=True):
    """The money of one order. `id` is the first transaction's: an authorization or a capture.

    `status` is the order's. `method` is `paypal` or `card`. `seller` is the payee, where that is
    not the merchant, and `platform_fee` what the merchant kept of it.
    """

    id: str
    order: str
    amount: int
    currency: str
    created: int
    updated: int
    intent: str = "CAPTURE"
    status: str = "COMPLETED"
    method: str = "paypal"
    custom_id: str = ""
    invoice_id: str = ""
    seller: str = ""
    platform_fee: int = 0
    authorizations: list[Authorization] = []
    captures: list[Capture] = []
    refunds: list[Refund] = []
    disputes: list[Dispute] = []

    @property
    def captured(self) -> int:
        """What was taken and is here."""
        return sum(c.amount for c in self.captures if c.status in TAKEN)

    @property
    def promised(self) -> int:
        """What was captured or still may be: pending captures count."""
        return self.captured + sum(c.amount for c in self.captures if c.status == "PENDING")

    @property
    def refunded(self) -> int:
        """What went back or is on its way."""
        return sum(refund.amount for refund in self.refunds if refund.status not in GIVEN_BACK)

    @property
    def capturable(self) -> int:
        """What is still held and could be captured within the authorized amount."""
        if not self.authorizations or self.authorizations[-1].closed:
            return 0
        return max(0, self.authorizations[-1].amount - self.promised)


class Authorization(msgspec.Struct, eq=False, kw_only=True):
    """Money that is held. `first` is the authorization this one renews, `expired` how it ended."""

    id: str
    payment: Payment
    amount: int
    created: int
    updated: int
    expires: int
    status: str = "CREATED"
    first: Authorization | None = None
    expired: bool = False

    @property
    def closed(self) -> bool:
        """Whether nothing can be captured of it any more."""
        return self.status not in ("CREATED", "PARTIALLY_CAPTURED")


class Settled(msgspec.Struct, frozen=True):
    """What a capture brought on the balance or a refund took off it, and its fee (of a refund: what
    was given back), in the currency the account is kept in."""

    amount: int
    fee: int
    currency: str


class Capture(msgspec.Struct, eq=False, kw_only=True):
    """Money that was taken. `reason` says why it is pending or declined."""

    id: str
    payment: Payment
    amount: int
    created: int
    updated: int
    status: str = "COMPLETED"
    reason: str = ""
    final: bool = True
    invoice_id: str = ""
    authorization: str = ""
    settled: Settled | None = None

    @property
    def refunds(self) -> list[Refund]:
        """Those of this capture, listed or not."""
        return [refund for refund in self.payment.refunds if refund.capture is self]

    @property
    def rest(self) -> int:
        """What is not refunded; pending refunds count as gone."""
        gone = sum(refund.amount for refund in self.refunds if refund.status not in GIVEN_BACK)
        return self.amount - gone


class Refund(msgspec.Struct, eq=False, kw_only=True):
    """Money that went back. `listed` False: no order ever shows it. `added` is what the platform
    adds of its fee, where the payee is a seller."""

    id: str
    capture: Capture
    amount: int
    created: int
    updated: int
    status: str = "PENDING"
    custom_id: str = ""
    invoice_id: str = ""
    note: str = ""
    listed: bool = True
    debited: bool = False
    added: int = 0

    @property
    def cost(self) -> int:
        """What of it the account that asked pays; the payee pays the rest."""
        return self.added if self.capture.payment.seller else self.amount

    settled: Settled | None = None


class Dispute(msgspec.Struct, eq=False, kw_only=True):
    """A case about a capture. `outcome` is PayPal's code once it is resolved; `paid` what PayPal
    gave back for it."""

    id: str
    capture: Capture
    amount: int
    created: int
    updated: int
    due: int
    reason: str
    status: str
    stage: str
    channel: str
    outcome: str = ""
    paid: int = 0
    evidences: list[dict[str, object]] = []

    @property
    def open(self) -> bool:
        return self.status != "RESOLVED"


Shown = Payment | Authorization | Capture | Refund | Dispute
