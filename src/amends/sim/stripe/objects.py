"""The objects Stripe shows, field for field in API version 2026-10-28; amounts are minor units."""

from typing import Any, TypeAlias

import msgspec

API_VERSION = "2026-10-28.endive"

Json: TypeAlias = dict[str, Any]


class PaymentIntent(msgspec.Struct, kw_only=True):
    """`pi_…`: what the customer is asked to pay."""

    id: str
    object: str = "payment_intent"
    amount: int
    amount_capturable: int = 0
    amount_details: Json = msgspec.field(default_factory=lambda: {"tip": {}})
    amount_received: int = 0
    application: str | None = None
    application_fee_amount: int | None = None
    automatic_payment_methods: Json | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    capture_method: str
    client_secret: str
    confirmation_method: str = "automatic"
    created: int
    currency: str
    customer: str | None = None
    customer_account: str | None = None
    description: str | None = None
    last_payment_error: Json | None = None
    latest_charge: str | None = None
    livemode: bool = False
    metadata: dict[str, str] = {}
    next_action: Json | None = None
    on_behalf_of: str | None = None
    payment_method: str | None = None
    payment_method_options: Json = {}
    payment_method_types: list[str]
    processing: Json | None = None
    receipt_email: str | None = None
    review: str | None = None
    setup_future_usage: str | None = None
    shipping: Json | None = None
    source: str | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    status: str
    transfer_data: Json | None = None
    transfer_group: str | None = None


class Charge(msgspec.Struct, kw_only=True):
    """`ch_…`: one attempt to pay. `amount_refunded` counts what was released uncaptured, too."""

    id: str
    object: str = "charge"
    amount: int
    amount_captured: int = 0
    amount_refunded: int = 0
    application: str | None = None
    application_fee: str | None = None
    application_fee_amount: int | None = None
    balance_transaction: str | None = None
    billing_details: Json
    calculated_statement_descriptor: str | None = None
    captured: bool = False
    created: int
    currency: str
    customer: str | None = None
    description: str | None = None
    disputed: bool = False
    failure_balance_transaction: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    fraud_details: Json = {}
    livemode: bool = False
    metadata: dict[str, str] = {}
    on_behalf_of: str | None = None
    outcome: Json | None
    paid: bool = True
    payment_intent: str
    payment_method: str | None = None
    payment_method_details: Json
    receipt_email: str | None = None
    receipt_number: str | None = None
    receipt_url: str | None = None
    refunded: bool = False
    review: str | None = None
    shipping: Json | None = None
    source: str | None = None
    source_transfer: str | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    status: str = "succeeded"
    transfer_data: Json | None = None
    transfer_group: str | None = None


class Refund(msgspec.Struct, kw_only=True):
    """`re_…` for cards, `pyr_…` for other methods.

    The optional fields are absent until they apply.
    """

    id: str
    object: str = "refund"
    amount: int
    balance_transaction: str | None = None
    charge: str
    created: int
    currency: str
    customer: str | None = None
    customer_account: str | None = None
    destination_details: Json | None
    failure_balance_transaction: str | msgspec.UnsetType = msgspec.UNSET
    failure_reason: str | msgspec.UnsetType = msgspec.UNSET
    instructions_email: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] = {}
    next_action: Json | msgspec.UnsetType = msgspec.UNSET
    payment_intent: str
    payment_method: str | None = None
    pending_reason: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | None = None
    receipt_number: str | None = None
    source_transfer_reversal: str | None = None
    status: str
    transfer_reversal: str | None = None


class BalanceTransaction(msgspec.Struct, kw_only=True):
    """`txn_…`: one line on the merchant's balance; `net = amount - fee`."""

    id: str
    object: str = "balance_transaction"
    amount: int
    available_on: int
    balance_type: str = "payments"
    created: int
    currency: str
    description: str | None = None
    exchange_rate: float | None = None
    fee: int
    fee_details: list[Json]
    net: int
    reporting_category: str
    source: str
    status: str = "available"
    type: str


class Dispute(msgspec.Struct, kw_only=True):
    """`dp_…`: a chargeback or an inquiry (`warning_…`)."""

    id: str
    object: str = "dispute"
    amount: int
    balance_transactions: list[BalanceTransaction]
    charge: str
    created: int
    currency: str
    enhanced_eligibility_types: list[str] = []
    evidence: Json
    evidence_details: Json
    intended_submission_method: str | None = None
    is_charge_refundable: bool
    livemode: bool = False
    metadata: dict[str, str] = {}
    network_reason_code: str | None
    payment_intent: str
    payment_method_details: Json
    reason: str
    status: str


class EarlyFraudWarning(msgspec.Struct, kw_only=True):
    """`issfr_…`: the card's issuer believes the payment was fraud."""

    id: str
    object: str = "radar.early_fraud_warning"
    actionable: bool = True
    charge: str
    created: int
    fraud_type: str
    livemode: bool = False
    payment_intent: str


class EventData(msgspec.Struct, kw_only=True):
    """A snapshot of the object, and what changed in it."""

    object: msgspec.Raw
    previous_attributes: Json | msgspec.UnsetType = msgspec.UNSET


class EventRequest(msgspec.Struct):
    """The API request that caused an event; both null when none did."""

    id: str | None
    idempotency_key: str | None


class Event(msgspec.Struct, kw_only=True):
    """`evt_…`: something that happened."""

    id: str
    object: str = "event"
    api_version: str
    created: int
    data: EventData
    livemode: bool = False
    pending_webhooks: int
    request: EventRequest
    type: str


class Payment(msgspec.Struct):
    """The world's own record of one payment, around the objects it shows.

    `refunded` is the sum of refunds that did not fail, `released` what was authorized and let go;
    the charge's `amount_refunded` is always their sum. `transfer` went to the account `destination`
    with the capture; `reversed` of it and `fee_refunded` of its fee were taken back.
    """

    intent: PaymentIntent
    charge: Charge | None = None
    refunds: list[Refund] = []
    disputes: list[Dispute] = []
    warning: EarlyFraudWarning | None = None
    multicapture: bool = False
    refunded: int = 0
    released: int = 0
    destination: str = ""
    transfer: int = 0
    reversed: int = 0
    fee_refunded: int = 0
    reversed_for: int = 0  # so much of refunds
    fee_refunded_for: int = 0

    @property
    def refundable(self) -> int:
        """What was captured and is not refunded yet, minor units."""
        return self.charge.amount_captured - self.refunded if self.charge is not None else 0

    @property
    def charged(self) -> Charge:
        """The charge of a payment that is known to have one.

        LookupError if it has none after all.
        """
        if self.charge is None:
            raise LookupError(f"{self.intent.id} has no charge")
        return self.charge

    def show_refunded(self) -> None:
        """Bring the charge's refunded amounts in line."""
        charge = self.charged
        charge.amount_refunded = self.refunded + self.released
        charge.refunded = charge.amount_refunded == charge.amount


BILLING_DETAILS: Json = {
    "address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")),
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}
OUTCOME: Json = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 20,
    "seller_message": "Payment complete.",
    "type": "authorized",
}
CARD_DETAILS: Json = {
    "card": {
        "amount_authorized": None,
        "brand": "visa",
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": "sandboxcard00001",
        "funding": "credit",
        "installments": None,
        "last4": "4242",
        "mandate": None,
        "network": "visa",
        "three_d_secure": None,
        "wallet": None,
    },
    "type": "card",
}
CARD_DESTINATION: Json = {
    "card": {
        "reference_status": "pending",
        "reference_type": "acquirer_reference_number",
        "type": "refund",
    },
    "type": "card",
}
BANK_DESTINATION: Json = {
    "eu_bank_transfer": {"reference": None, "reference_status": "pending"},
    "type": "eu_bank_transfer",
}
EVIDENCE_FIELDS = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure "
    "cancellation_rebuttal customer_communication customer_email_address customer_name "
    "customer_purchase_ip customer_signature duplicate_charge_documentation "
    "duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy "
    "refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation "
    "shipping_tracking_number uncategorized_file uncategorized_text"
).split()
