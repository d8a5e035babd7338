"""Every refusal amends can give: a closed list, one sentence each, in order of precedence."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Reason(StrEnum):
    """Stable codes; the `code` of a problem+json answer. Earlier members win over later ones."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    SIGNATURE_INVALID = "signature_invalid"
    WRONG_MODE = "wrong_mode"
    UNKNOWN_CONNECTION = "unknown_connection"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDEMPOTENCY_KEY_MISSING = "idempotency_key_missing"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    VALIDATION = "validation"
    UNKNOWN_ORDER = "unknown_order"
    UNKNOWN_PAYMENT = "unknown_payment"
    UNKNOWN_REFUND = "unknown_refund"
    UNKNOWN_QUOTE = "unknown_quote"
    UNKNOWN_RETURN = "unknown_return"
    UNKNOWN_CURRENCY = "unknown_currency"
    OTHER_CURRENCY = "other_currency"
    UNKNOWN_LINE = "unknown_line"
    DISCOUNTS_OFF = "discounts_off"
    TAXES_OFF = "taxes_off"
    TOTAL_OFF = "total_off"
    TENDERS_OFF = "tenders_off"
    SELLERS_OFF = "sellers_off"
    UNKNOWN_SELLER = "unknown_seller"
    SPLIT_NOT_POSSIBLE = "split_not_possible"
    BAD_PERIOD = "bad_period"
    NO_PERIOD = "no_period"
    PAYMENT_TAKEN = "payment_taken"
    ORDER_CONFLICT = "order_conflict"
    NO_RATE = "no_rate"
    QUOTE_OF_ANOTHER_ORDER = "quote_of_another_order"
    QUOTE_ALTERED = "quote_altered"
    QUOTE_EXPIRED = "quote_expired"
    QUOTE_STALE = "quote_stale"
    EXCEEDS_QUANTITY = "exceeds_quantity"
    EXCEEDS_REMAINING = "exceeds_remaining"
    TIME_REFUNDED = "time_refunded"
    TIME_CREDITED = "time_credited"
    NOTHING_LEFT = "nothing_left"
    WORTH_NOTHING = "worth_nothing"
    EXCEEDS_TENDER = "exceeds_tender"
    CHARGE_NOT_REFUNDABLE = "charge_not_refundable"
    FEE_NOT_ALLOWED = "fee_not_allowed"
    PROMOTION_EXCEEDS_REFUND = "promotion_exceeds_refund"
    FEE_EXCEEDS_REFUND = "fee_exceeds_refund"
    BELOW_MINIMUM = "below_minimum"
    AMOUNT_NOT_PAYABLE = "amount_not_payable"
    METHOD_NOT_REFUNDABLE = "method_not_refundable"
    PARTIAL_NOT_POSSIBLE = "partial_not_possible"
    TOO_MANY_REFUNDS = "too_many_refunds"
    RELEASE_NOT_POSSIBLE = "release_not_possible"
    CAPTURE_UNKNOWN = "capture_unknown"
    UNKNOWN_POLICY = "unknown_policy"
    BAD_POLICY = "bad_policy"
    UNKNOWN_STOP = "unknown_stop"
    PERIOD_CLOSED = "period_closed"
    PERIOD_NOT_OVER = "period_not_over"
    FALLBACK_PAYS = "fallback_pays"
    WRITE_OFF_TOO_LARGE = "write_off_too_large"
    NOT_REVERSIBLE = "not_reversible"
    WRONG_STATE = "wrong_state"
    SELF_APPROVAL = "self_approval"
    ROLE_TOO_LOW = "role_too_low"
    REFUNDS_STOPPED = "refunds_stopped"
    SHOWN_CHANGED = "shown_changed"
    AMOUNT_CHANGED = "amount_changed"
    RATE_LIMITED = "rate_limited"
    CERTIFICATE_AWAY = "certificate_away"
    SENDER_AWAY = "sender_away"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL = "internal"


SENTENCES: dict[Reason, str] = {
    Reason.UNAUTHENTICATED: "Send an API key that exists: `Authorization: Bearer …`.",
    Reason.FORBIDDEN: "This key lacks the scope the call needs; make one with that scope.",
    Reason.SIGNATURE_INVALID: "The message is not signed by a secret of this connection.",
    Reason.WRONG_MODE: "A test message came to a live connection, or the other way round.",
    Reason.UNKNOWN_CONNECTION: "No connection of this name is configured in amends.toml.",
    Reason.TOO_LARGE: "The body is larger than 1 MiB; send less at once.",
    Reason.MALFORMED: "The body is not the JSON this call takes.",
    Reason.NOT_FOUND: "There is nothing at this address.",
    Reason.METHOD_NOT_ALLOWED: "This address does not take that method.",
    Reason.IDEMPOTENCY_KEY_MISSING: "Send an `Idempotency-Key` header of 1 to 255 characters.",
    Reason.IDEMPOTENCY_MISMATCH: "This Idempotency-Key was used for another request body.",
    Reason.VALIDATION: "A field has a value it cannot have.",
    Reason.UNKNOWN_ORDER: "No such order is known here; report the order first.",
    Reason.UNKNOWN_PAYMENT: "No order here was paid by this payment; report the order first.",
    Reason.UNKNOWN_REFUND: "No such refund is known here.",
    Reason.UNKNOWN_RETURN: "No such return is known here; authorize it, or report what came.",
    Reason.UNKNOWN_QUOTE: "No such quote is known here; ask for a quote again.",
    Reason.UNKNOWN_CURRENCY: "The currency is not one of ISO 4217; say its code in capitals.",
    Reason.OTHER_CURRENCY: "A refund is paid in the currency of its order; leave the other out.",
    Reason.UNKNOWN_LINE: "The order has no such line.",
    Reason.DISCOUNTS_OFF: "The discounts do not add up; put right the sum that is named.",
    Reason.TAXES_OFF: "The taxes do not add up; put right the sum that is named.",
    Reason.TOTAL_OFF: "The order does not add up; put right the sum that is named.",
    Reason.TENDERS_OFF: "The tenders are not what was paid; put right the sum that is named.",
    Reason.SELLERS_OFF: "The sellers' shares do not add up; put right the sum that is named.",
    Reason.UNKNOWN_SELLER: "No tender of the order has this seller; add the seller to the tender.",
    Reason.SPLIT_NOT_POSSIBLE: "The provider does not pay sellers so with a payment; say that they "
    "were paid apart from it: `sellers_paid: apart`.",
    Reason.BAD_PERIOD: "The time is not a period, or not within the one that was paid for.",
    Reason.NO_PERIOD: "The line was not paid for a period; report the period with the order.",
    Reason.PAYMENT_TAKEN: "A tender names a payment that belongs to another order.",
    Reason.ORDER_CONFLICT: "The new version of the order contradicts what already happened to it.",
    Reason.NO_RATE: "No rate to the ledger's currency is known for the day; set one under "
    "[ledger.rates], or a newer file of the ECB's as [ledger] ecb_file.",
    Reason.QUOTE_OF_ANOTHER_ORDER: "The quote is of another order than the one named with it; ask "
    "for a quote of this one.",
    Reason.QUOTE_ALTERED: "The hash is not the one the quote was made with; ask for a new one.",
    Reason.QUOTE_EXPIRED: "The quote has expired; ask for a new one.",
    Reason.QUOTE_STALE: "The order changed since the quote was made; ask for a new one.",
    Reason.EXCEEDS_QUANTITY: "More units are asked back than are left on the line.",
    Reason.EXCEEDS_REMAINING: "The amount is more than what is left to refund.",
    Reason.TIME_REFUNDED: "The time, or a part of it, was refunded before; ask for the rest.",
    Reason.TIME_CREDITED: "A credit was granted for the time; it is not paid in money as well.",
    Reason.NOTHING_LEFT: "Nothing is left to refund.",
    Reason.WORTH_NOTHING: "Nothing was paid, or is left, for the units that come back; name them "
    "together with others that are worth something.",
    Reason.EXCEEDS_TENDER: "A tender gives back no more than it paid, and one is never cashed out "
    "through another; ask of each what it has left.",
    Reason.CHARGE_NOT_REFUNDABLE: "The charge was sold as not refundable; leave it out.",
    Reason.FEE_NOT_ALLOWED: "The law allows no such fee here; leave it out.",
    Reason.PROMOTION_EXCEEDS_REFUND: "The return loses more of a promotion than it gives back; "
    "return more at once, or waive it with `promotions: waive`.",
    Reason.FEE_EXCEEDS_REFUND: "The fees are as much as what is given back, or more; lower them.",
    Reason.BELOW_MINIMUM: "The amount is below the least that is refunded; ask for more at once.",
    Reason.AMOUNT_NOT_PAYABLE: "The provider cannot pay this amount in this currency.",
    Reason.METHOD_NOT_REFUNDABLE: "The provider gives nothing back on this payment method.",
    Reason.PARTIAL_NOT_POSSIBLE: "This payment method is refunded whole or not at all.",
    Reason.TOO_MANY_REFUNDS: "The provider makes no further refund of this payment.",
    Reason.RELEASE_NOT_POSSIBLE: "Nothing of the payment is captured yet, and its provider "
    "releases no authorization, or none in part; ask again once it is captured.",
    Reason.CAPTURE_UNKNOWN: "It is not known which capture of the payment the money is left on; "
    "look at the payment at its provider.",
    Reason.UNKNOWN_POLICY: "No such policy or draft is known here; see `amends policy list`.",
    Reason.BAD_POLICY: "The policy cannot be used; each fault is named with its place.",
    Reason.UNKNOWN_STOP: "No such stop is in force.",
    Reason.PERIOD_CLOSED: "The period is closed and stays so; what is late is posted into "
    "the first open day, with its own date as its document's.",
    Reason.PERIOD_NOT_OVER: "The period has not ended yet; close it once its last day is over.",
    Reason.FALLBACK_PAYS: "What failed of this refund is paid by its fallback; act on that one, or "
    "decline it first.",
    Reason.WRITE_OFF_TOO_LARGE: "The difference is more than may be written off; find out what it "
    "is, or raise [ledger] write_off_up_to.",
    Reason.NOT_REVERSIBLE: "The order has no such write-off, or it was reversed before; the other "
    "entries follow from what happened.",
    Reason.WRONG_STATE: "The refund is in a state in which this cannot be done.",
    Reason.SELF_APPROVAL: "Whoever asked for the refund cannot approve it.",
    Reason.ROLE_TOO_LOW: "The policy asks for somebody with a higher role to decide this; escalate "
    "it.",
    Reason.REFUNDS_STOPPED: "Refunds are stopped here; whoever may lift stops can let this go on.",
    Reason.SHOWN_CHANGED: "The refund is not the one that was shown for approval; look again.",
    Reason.AMOUNT_CHANGED: "The amount is not right any more, since it was reckoned with refunds "
    "that are undecided, or ended unpaid; decide those first, or ask for it anew.",
    Reason.RATE_LIMITED: "Too many requests at once; wait a moment and repeat with the same key.",
    Reason.CERTIFICATE_AWAY: "The certificate of the message cannot be had now; send it again.",
    Reason.SENDER_AWAY: "What the message leaves out cannot be asked for now; send it again.",
    Reason.STORE_UNAVAILABLE: "The database is away; nothing was accepted. Repeat the request.",
    Reason.INTERNAL: "A defect in amends; nothing was accepted. It has been logged.",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why something was not done: a reason, a sentence on this case, what a program needs."""

    reason: Reason
    detail: str
    extra: dict[str, Any] = {}


class Refused(Exception):
    """Carries a `Refusal` out of a pure computation; never leaves the floor that raised it."""

    def __init__(self, reason: Reason, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or SENTENCES[reason])
        self.refusal = Refusal(reason, detail or SENTENCES[reason], extra)
