"""What Adyen's webhooks say: items to facts, by their signed fields alone.

Only what is signed decides: not `reason`, nor `additionalData` with its `modification.action` and
`disputeStatus`, nor `eventDate`. Of the rest an `arn` is shown to people as it came. Items of other
merchant accounts have no facts (a webhook may be for a whole company), and neither have codes that
touch no refund, capture, cancellation, dispute or fraud warning. Sources: Adyen's Webhooks-v1 and
docs.adyen.com/risk-management/disputes-api.

After CAPTURE_FAILED Adyen may capture again within ten business days; how that would be told is not
documented, so it stays failed until a person says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

from amends.core.facts import (
    Addressed,
    CaptureReported,
    DisputeReported,
    Fact,
    FraudWarned,
    PaymentReported,
    RefundReported,
    ReleaseReported,
    ReversalReported,
)
from amends.gateways.adyen_items import ITEMS, Item, items
from amends.gateways.adyen_objects import WIRE_EXPONENT, from_wire, marked
from amends.gateways.codecs import Json, Malformed, json_object, part, parts, required_text, text
from amends.gateways.spec import Message, Settings, Unreadable
from amends.kernel.canon import digest
from amends.kernel.outcome import (
    CaptureState,
    CaptureStatus,
    PaymentState,
    RefundState,
    RefundStatus,
    ReleaseState,
)
from amends.kernel.time import Instant, parse_rfc3339

_Facts = tuple[Addressed, ...]

_LIVE = {"true": True, "false": False, "live": True, "test": False}

# Adyen's sentences on refused refunds, as labels: a sentence may name anybody, and is not signed.
_LABELS = {
    "hasn't been captured": "not_captured",
    "insufficient balance": "insufficient_balance",
    "not found": "not_found",
}


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine webhook. Raises Unreadable, and nothing else.

    `live` and `sent_at` are as the body says; they are not signed in a standard webhook.
    """
    try:
        body = json_object(raw)
        if ITEMS not in body:
            return _platform(body, raw)
        return _standard(body, settings)
    except Malformed as error:
        raise Unreadable(f"not an Adyen webhook as documented: {error}") from error


def _platform(body: Json, raw: bytes) -> Message:
    """A Platform or Management webhook: about accounts and reports, none of them about refunds."""
    said = text(body, "environment")
    return Message(
        id=f"platform:{sha256(raw).hexdigest()}",
        type=required_text(body, "type"),
        live=_LIVE.get(said),
    )


def _standard(body: Json, settings: Settings) -> Message:
    found = items(body)
    account = settings.values.get("merchant_account", "")
    ours = [item for item in found if item.account == account]
    return Message(
        id=_message_id(found),
        type="+".join(sorted({item.event for item in found})),
        facts=tuple(fact for item in ours for fact in _facts(item, settings.name)),
        live=_LIVE.get(text(body, "live")),
        sent_at=_sent_at(body),
    )


def _message_id(found: tuple[Item, ...]) -> str:
    """What the items say happened. Adyen sends no id; it calls deliveries of one `eventCode` and
    `pspReference` duplicates, and the latest the one to use, so one that says another success or
    amount than before is news."""
    news = sorted(
        f"{item.event}:{item.psp_reference}:{item.success}:{item.value}:{item.currency}"
        for item in found
    )
    return news[0] if len(news) == 1 else f"batch:{digest(news)}"


def _sent_at(body: Json) -> Instant:
    first = part((parts(body, ITEMS) or [{}])[0], "NotificationRequestItem")
    try:
        return max(0, parse_rfc3339(text(first, "eventDate")))
    except (ValueError, OverflowError):
        return 0


def _facts(item: Item, connection: str) -> _Facts:
    """None in a currency no order can have here. Adyen sends the webhooks of one address in turn:
    one that is refused holds up all others, of every shop of the account."""
    reader = _READERS.get((item.event, item.success))
    if reader is None or (item.currency and item.currency not in WIRE_EXPONENT):
        return ()
    try:
        return reader(item, connection)
    except Malformed as error:
        raise Malformed(f"{item.event}: {error}") from error


def _addressed(fact: Fact, connection: str, psp_payment_id: str) -> Addressed:
    return Addressed(fact, payments=((connection, psp_payment_id),))


def _modified(item: Item) -> str:
    """The payment a modification is of. Raises Malformed."""
    if not item.original_reference:
        raise Malformed("originalReference is missing")
    return item.original_reference


def _amount(item: Item) -> int:
    if item.value is None:
        raise Malformed("the amount is missing")
    return from_wire(item.value, item.currency)


# -- refunds -------------------------------------------------------------------------------------


def _refund_as(
    status: RefundStatus,
    failure: str = "",
    fact: type[RefundReported | ReversalReported] = RefundReported,
) -> Callable[[Item, str], _Facts]:
    """A reader of items about one refund, which they name by its own pspReference; or about one
    reversal: all of the payment went back, as a refund or by cancelling it. Which of the two is not
    signed, so it is left out: the order knows."""

    def reader(item: Item, connection: str) -> _Facts:
        leg, epoch = marked(item.merchant_reference)
        state = RefundState(
            psp_refund_id=item.psp_reference,
            status=status,
            amount=_amount(item),
            currency=item.currency,
            leg=leg,
            epoch=epoch,
            failure_reason=failure or (_label(item.reason) if status == "failed" else ""),
            bank_reference=item.arn,
            bank_reference_type="acquirer_reference_number" if item.arn else "",
        )
        payment = _modified(item)
        return (_addressed(fact(connection, (payment,), state), connection, payment),)

    return reader


def _label(reason: str) -> str:
    said = reason.lower()
    return next((label for words, label in _LABELS.items() if words in said), "refused")


def _unreferenced(item: Item, connection: str) -> _Facts:
    """REFUND_WITH_DATA: a refund to a card, of a payment only where it names one."""
    return _refund_as("succeeded")(item, connection) if item.original_reference else ()


# -- payments ------------------------------------------------------------------------------------


def _payment(item: Item, connection: str, state: PaymentState) -> _Facts:
    payment = item.original_reference or item.psp_reference
    report = PaymentReported(connection, (payment,), state, item.currency)
    return (_addressed(report, connection, payment),)


def _authorised(item: Item, connection: str) -> _Facts:
    """Nothing of captures: with automatic capture there is no CAPTURE to come, and the item does
    not say which it is."""
    return _payment(item, connection, PaymentState(authorized=_amount(item)))


def _capture_as(status: CaptureStatus) -> Callable[[Item, str], _Facts]:
    """A reader of items about one capture, which Adyen tells each by itself and names by its own
    pspReference."""

    def reader(item: Item, connection: str) -> _Facts:
        leg, epoch = marked(item.merchant_reference)
        state = CaptureState(
            psp_capture_id=item.psp_reference,
            amount=_amount(item),
            currency=item.currency,
            status=status,
            leg=leg,
            epoch=epoch,
            failure_reason="" if status == "succeeded" else _label(item.reason),
        )
        payment = _modified(item)
        return (_addressed(CaptureReported(connection, (payment,), state), connection, payment),)

    return reader


def _release_as(done: bool) -> Callable[[Item, str], _Facts]:
    """A reader of items about one cancellation, named by its own pspReference."""

    def reader(item: Item, connection: str) -> _Facts:
        leg, epoch = marked(item.merchant_reference)
        failure = "" if done else _label(item.reason)
        state = ReleaseState(item.psp_reference, done, leg, epoch, failure)
        payment = _modified(item)
        return (_addressed(ReleaseReported(connection, (payment,), state), connection, payment),)

    return reader


def _canceled(item: Item, connection: str) -> _Facts:
    """The authorization is gone: canceled by the shop's reference, or (EXPIRE) run out. A technical
    cancel that names no payment is of one that was never made."""
    if item.event == "TECHNICAL_CANCEL" and not item.original_reference:
        return ()
    return _payment(item, connection, PaymentState(canceled=True, capturable=0))


# -- disputes ------------------------------------------------------------------------------------


def _dispute_as(
    status: str, is_open: bool, takes: int = -1, step: int = 0
) -> Callable[[Item, str], _Facts]:
    """A reader of items about one dispute, all of which have its pspReference. `takes`: 1 the
    disputed amount is with the customer now, 0 with us, -1 this code moves no money. It is a state
    and no sum: a second chargeback takes what the first one took. `step`: see `_step`.

    Some codes carry `originalReference` only if that is switched on for the webhook (Customer Area,
    Additional settings, Risk); without it Adyen implies `pspReference` to be the payment's.
    """

    def reader(item: Item, connection: str) -> _Facts:
        amount = _amount(item)
        payment = item.original_reference or item.psp_reference
        fact = DisputeReported(
            connection=connection,
            psp_payment_ids=(payment,),
            dispute=item.psp_reference,
            amount=amount,
            currency=item.currency,
            status=status,
            open=is_open,
            withdrawn=amount if takes == 1 else takes,
            step=step,
        )
        return (_addressed(fact, connection, payment),)

    return reader


def _step(code: str) -> int:
    """How far a dispute has come: announced, under way, given back once. Items come in any order
    and no signed time orders them, so an earlier step must be known by its code."""
    if code in ("REQUEST_FOR_INFORMATION", "NOTIFICATION_OF_CHARGEBACK"):
        return 1
    return 3 if "ARBITRATION" in code else 2


def _fraud_warning(item: Item, connection: str) -> _Facts:
    payment = item.original_reference or item.psp_reference
    fact = FraudWarned(connection, (payment,), item.psp_reference, actionable=True)
    return (_addressed(fact, connection, payment),)


# Codes of a dispute under way, which move no money. Neither the acceptance of a pre-arbitration (by
# whom is not said) nor the end of a defense period (also of an inquiry) tells how it ends.
_OPEN_CODES = (
    "REQUEST_FOR_INFORMATION",
    "NOTIFICATION_OF_CHARGEBACK",
    "INFORMATION_SUPPLIED",
    "ISSUER_COMMENTS",
    "DISPUTE_DEFENSE_PERIOD_ENDED",
    "PREARBITRATION_OPEN",
    "PREARBITRATION_ACCEPTED",
    "PREARBITRATION_DECLINED",
    "SCHEME_ARBITRATION",
)
_WON_CODES = (
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED",
    "PREARBITRATION_WON",
    "PREARBITRATION_ISSUER_WITHDRAWN",
    "SCHEME_ARBITRATION_WON",
)
_LOST_CODES = ("SECOND_CHARGEBACK", "PREARBITRATION_LOST", "SCHEME_ARBITRATION_LOST")

_HAPPENED = "true"
_READERS: dict[tuple[str, str], Callable[[Item, str], _Facts]] = {
    ("REFUND", _HAPPENED): _refund_as("succeeded"),
    ("REFUND", "false"): _refund_as("failed"),
    # The event happened, so its success is "true": the refund failed.
    ("REFUND_FAILED", _HAPPENED): _refund_as("failed", "refund_failed"),
    ("REFUNDED_REVERSED", _HAPPENED): _refund_as("failed", "refunded_reversed"),
    ("POSTPONED_REFUND", _HAPPENED): _refund_as("pending"),
    ("REFUND_WITH_DATA", _HAPPENED): _unreferenced,
    ("CANCEL_OR_REFUND", _HAPPENED): _refund_as("succeeded", fact=ReversalReported),
    ("CANCEL_OR_REFUND", "false"): _refund_as("failed", fact=ReversalReported),
    ("AUTHORISATION", _HAPPENED): _authorised,
    ("CAPTURE", _HAPPENED): _capture_as("succeeded"),
    ("CAPTURE", "false"): _capture_as("refused"),
    # The event happened, so its success is "true": what the capture took went back.
    ("CAPTURE_FAILED", _HAPPENED): _capture_as("failed"),
    ("CANCELLATION", _HAPPENED): _release_as(True),
    ("CANCELLATION", "false"): _release_as(False),
    ("TECHNICAL_CANCEL", _HAPPENED): _canceled,
    ("EXPIRE", _HAPPENED): _canceled,
    ("NOTIFICATION_OF_FRAUD", _HAPPENED): _fraud_warning,
    ("CHARGEBACK", _HAPPENED): _dispute_as("chargeback", True, 1, 2),
    # Not final: a second chargeback may follow, and must not be undone by a late delivery of this.
    ("CHARGEBACK_REVERSED", _HAPPENED): _dispute_as("chargeback_reversed", True, 0, 3),
    **{
        (code, _HAPPENED): _dispute_as(code.lower(), True, step=_step(code)) for code in _OPEN_CODES
    },
    # The end says with whom the money is, whichever step moved it.
    **{(code, _HAPPENED): _dispute_as("won", False, 0) for code in _WON_CODES},
    **{(code, _HAPPENED): _dispute_as("lost", False, 1) for code in _LOST_CODES},
}
