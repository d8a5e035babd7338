"""PaymentIntents and their charges: create, confirm, capture, cancel, expire."""

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.stripe import connect, refunds
from amends.sim.stripe.books import Books
from amends.sim.stripe.currencies import check_currency, check_multiple, check_smallest
from amends.sim.stripe.errors import Refusal, bad_parameter, missing, refused, unexpected_state
from amends.sim.stripe.objects import (
    BILLING_DETAILS,
    CARD_DETAILS,
    OUTCOME,
    Charge,
    Json,
    Payment,
    PaymentIntent,
)
from amends.sim.stripe.params import Reader, merge_metadata

CAPTURE_METHODS = frozenset(("automatic", "automatic_async", "manual"))
CANCELLATION_REASONS = frozenset(("abandoned", "duplicate", "fraudulent", "requested_by_customer"))
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
DECLINED_METHOD = "pm_card_chargeDeclined"
AUTHENTICATED_METHODS = ("pm_card_authenticationRequired", "pm_card_threeDSecure2Required")
# The processing fee of 1.5 % and 25 minor units is an example; no rate is promised.
FEE_PER_MILLE = 15
FEE_FIXED = 25


def find(books: Books, intent_id: str, param: str = "intent") -> Payment:
    """The payment of a PaymentIntent. Raises Refusal."""
    payment = books.by_intent.get(intent_id)
    if payment is None:
        raise missing("payment_intent", intent_id, param)
    return payment


def open_payment(books: Books, intent: PaymentIntent) -> Payment:
    """Put a new intent on the books."""
    payment = Payment(intent)
    books.intents.add(intent)
    books.by_intent[intent.id] = payment
    return payment


def create(books: Books, reader: Reader, origin: Origin) -> PaymentIntent:
    """`POST /v1/payment_intents`."""
    amount = reader.positive("amount")
    if amount is None:
        raise bad_parameter("Missing required param: amount.", "amount", "parameter_missing")
    currency = check_currency(reader.required("currency"))
    check_multiple(amount, currency, "amount")
    check_smallest(amount, currency)
    intent_id = books.new_id("pi")
    intent = PaymentIntent(
        id=intent_id,
        amount=amount,
        automatic_payment_methods=_automatic(reader),
        capture_method=reader.choice("capture_method", CAPTURE_METHODS) or "automatic",
        client_secret=f"{intent_id}_secret_{books.prng.getrandbits(64):016x}",
        created=books.now(),
        currency=currency,
        customer=reader.text("customer"),
        description=reader.text("description"),
        metadata=merge_metadata({}, reader.metadata()),
        payment_method=reader.text("payment_method"),
        payment_method_types=list(reader.strings("payment_method_types")) or ["card"],
        receipt_email=reader.text("receipt_email"),
        status="requires_payment_method",
    )
    confirmed = reader.boolean("confirm", False)
    if confirmed and intent.payment_method is None:
        raise bad_parameter("Confirming needs a payment_method.", "payment_method")
    payment = open_payment(books, intent)
    payment.multicapture = _wants_multicapture(reader)
    if intent.payment_method is not None:
        intent.status = "requires_confirmation"
    books.emit("payment_intent.created", intent, origin)
    if confirmed:
        pay(books, payment, origin)
    return intent


def _automatic(reader: Reader) -> Json | None:
    sent = reader.nested("automatic_payment_methods")
    if not sent:
        return None
    redirects = sent.get("allow_redirects", "always")
    return {"enabled": sent.get("enabled") == "true", "allow_redirects": redirects}


def _wants_multicapture(reader: Reader) -> bool:
    card = reader.nested("payment_method_options").get("card")
    return isinstance(card, dict) and card.get("request_multicapture") == "if_available"


def confirm(books: Books, payment: Payment, reader: Reader, origin: Origin) -> PaymentIntent:
    """`POST /v1/payment_intents/{id}/confirm`."""
    intent = payment.intent
    method = reader.text("payment_method") or intent.payment_method
    if intent.status not in CONFIRMABLE:
        raise unexpected_state(
            f"This PaymentIntent cannot be confirmed: its status is {intent.status}.", intent
        )
    if method is None:
        raise bad_parameter("Confirming needs a payment_method.", "payment_method")
    # A customer who was asked to authenticate has done so when the shop confirms again.
    authenticated = intent.status == "requires_action"
    intent.payment_method = method
    pay(books, payment, origin, authenticated=authenticated)
    return intent


def pay(books: Books, payment: Payment, origin: Origin, *, authenticated: bool = False) -> None:
    """Charge the payment method: authorize, and capture unless that is manual. Raises Refusal."""
    intent = payment.intent
    if intent.payment_method == DECLINED_METHOD:
        raise _declined(books, intent, origin)
    if intent.payment_method in AUTHENTICATED_METHODS and not authenticated:
        intent.status = "requires_action"
        intent.next_action = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        books.emit("payment_intent.requires_action", intent, origin)
        return
    intent.next_action = None
    charge = authorize(books, payment, books.new_id("ch"), "card")
    if intent.capture_method == "manual":
        books.emit("charge.succeeded", charge, origin)
        books.emit("payment_intent.amount_capturable_updated", intent, origin)
        return
    settle_capture(books, payment, intent.amount)
    books.emit("charge.succeeded", charge, origin)
    books.emit("payment_intent.succeeded", intent, origin)


def _declined(books: Books, intent: PaymentIntent, origin: Origin) -> Refusal:
    error = {"code": "card_declined", "decline_code": "generic_decline", "type": "card_error"}
    intent.status = "requires_payment_method"
    intent.last_payment_error = error | {"message": "Your card was declined."}
    intent.payment_method = None
    books.emit("payment_intent.payment_failed", intent, origin)
    refusal = unexpected_state("Your card was declined.", intent)
    refusal.status = 402
    refusal.error |= error
    return refusal


def authorize(books: Books, payment: Payment, charge_id: str, method_type: str) -> Charge:
    """Make the charge; the money is held, nothing is captured yet."""
    intent = payment.intent
    details = CARD_DETAILS if method_type == "card" else {"type": method_type, method_type: {}}
    charge = Charge(
        id=charge_id,
        amount=intent.amount,
        billing_details=BILLING_DETAILS,
        created=books.now(),
        currency=intent.currency,
        customer=intent.customer,
        description=intent.description,
        metadata=dict(intent.metadata),
        outcome=OUTCOME,
        payment_intent=intent.id,
        payment_method=intent.payment_method,
        payment_method_details=details,
    )
    payment.charge = charge
    books.charges.add(charge)
    books.by_charge[charge.id] = payment
    intent.latest_charge = charge.id
    intent.amount_capturable = intent.amount
    intent.status = "requires_capture"
    if intent.capture_method == "manual":
        books.later(books.settings.authorization_age_s, lambda: expire(books, payment))
    return charge


def settle_capture(books: Books, payment: Payment, amount: int, *, final: bool = True) -> None:
    """Take held money, and let the rest go when this capture is the final one."""
    intent, charge = payment.intent, payment.charged
    fee = books.exchanged(amount, intent.currency)[0] * FEE_PER_MILLE // 1000 + FEE_FIXED
    kind = "charge" if charge.payment_method_details["type"] == "card" else "payment"
    line = books.transact(kind, "charge", amount, intent.currency, charge.id, fee=fee)
    charge.balance_transaction = line.id
    charge.amount_captured += amount
    charge.captured = True
    intent.amount_received += amount
    intent.amount_capturable -= amount
    if final:
        payment.released = intent.amount_capturable
        intent.amount_capturable = 0
        payment.show_refunded()
        intent.status = "succeeded"
    if final and payment.destination:
        payment.transfer = payment.transfer or charge.amount_captured
        connect.transfer(books, payment)


def capture(books: Books, payment: Payment, reader: Reader, origin: Origin) -> PaymentIntent:
    """`POST /v1/payment_intents/{id}/capture`."""
    intent = payment.intent
    asked = reader.positive("amount_to_capture")
    final = reader.boolean("final_capture", True)
    intent_metadata = merge_metadata(intent.metadata, reader.metadata())
    if asked is not None:
        check_multiple(asked, intent.currency, "amount_to_capture")
    if intent.status != "requires_capture":
        raise unexpected_state(
            f"This PaymentIntent could not be captured because it has a status of {intent.status}. "
            "Only a PaymentIntent with a status of requires_capture may be captured.",
            intent,
        )
    amount = intent.amount_capturable if asked is None else asked
    if amount > intent.amount_capturable:
        message = "The amount to capture is greater than the amount that can be captured."
        raise refused(message, "amount_too_large", "amount_to_capture")
    if not final and not payment.multicapture:
        raise refused("final_capture=false needs multicapture.", None, "final_capture")
    intent.metadata = intent_metadata
    settle_capture(books, payment, amount, final=final)
    books.move("capture", payment, None, amount, "succeeded", origin)
    books.emit("charge.captured", payment.charge, origin)
    event = "succeeded" if final else "amount_capturable_updated"
    books.emit(f"payment_intent.{event}", intent, origin)
    refunds.fund_held(books, intent.currency)
    return intent


def cancel(books: Books, payment: Payment, reader: Reader, origin: Origin) -> PaymentIntent:
    """`POST /v1/payment_intents/{id}/cancel`: lets an authorization go."""
    intent = payment.intent
    reason = reader.choice("cancellation_reason", CANCELLATION_REASONS)
    if intent.status not in CANCELABLE:
        listed = ", ".join(CANCELABLE)
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent.status}. "
            f"Only a PaymentIntent with one of the following statuses may be canceled: {listed}.",
            intent,
        )
    before = None if payment.charge is None else payment.charge.amount_refunded
    _let_go(books, payment, reason, origin)
    if payment.charge is not None:
        previous = {"amount_refunded": before, "refunded": False}
        books.emit("charge.refunded", payment.charge, origin, previous)
    books.emit("payment_intent.canceled", intent, origin)
    return intent


def expire(books: Books, payment: Payment) -> None:
    """The authorization runs out: no money moved, though the charge then shows as refunded."""
    if payment.intent.status != "requires_capture" or payment.charge is None:
        return
    _let_go(books, payment, "expired", BY_OTHERS)
    books.emit("charge.expired", payment.charge, BY_OTHERS, {"refunded": False})
    books.emit("payment_intent.canceled", payment.intent, BY_OTHERS)


def _let_go(books: Books, payment: Payment, reason: str | None, origin: Origin) -> None:
    intent = payment.intent
    if payment.charge is not None:
        payment.released = intent.amount_capturable
        payment.show_refunded()
        books.move("void", payment, None, intent.amount_capturable, "succeeded", origin)
    intent.amount_capturable = 0
    intent.status = "canceled"
    intent.canceled_at = books.now()
    intent.cancellation_reason = reason
