"""Orders: made by the shop, approved by the buyer (a control command), then captured or
authorized."""

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.paypal import payments, views
from amends.sim.paypal.bodies import amount_of, text_of
from amends.sim.paypal.books import Books
from amends.sim.paypal.errors import malformed, refused
from amends.sim.paypal.money import Json
from amends.sim.paypal.objects import Payment


def create(books: Books, body: Json) -> Payment:
    """`POST /v2/checkout/orders`, of one purchase unit. Raises Refusal."""
    intent, units = body.get("intent"), body.get("purchase_units")
    if intent is None or units is None:
        field = "/intent" if intent is None else "/purchase_units"
        raise malformed("MISSING_REQUIRED_PARAMETER", field)
    if intent not in ("CAPTURE", "AUTHORIZE"):
        raise malformed("INVALID_PARAMETER_SYNTAX", "/intent")
    if not isinstance(units, list) or len(units) != 1 or not isinstance(units[0], dict):
        raise malformed("INVALID_PARAMETER_SYNTAX", "/purchase_units")
    asked = amount_of(units[0])
    if asked is None:
        raise malformed("MISSING_REQUIRED_PARAMETER", "/purchase_units/@reference_id/amount")
    now = books.now()
    payment = Payment(
        id="",
        order=books.new_id(),
        amount=asked[0],
        currency=asked[1],
        created=now,
        updated=now,
        intent=intent,
        status="CREATED",
        custom_id=text_of(units[0], "custom_id", 127),
        invoice_id=text_of(units[0], "invoice_id", 127),
    )
    payments.register(books, payment)
    return payment


def approve(books: Books, payment: Payment) -> None:
    """The buyer says yes. Raises Refusal."""
    if payment.status != "CREATED":
        raise refused("ORDER_ALREADY_CAPTURED")
    payment.status, payment.updated = "APPROVED", books.now()
    resource = views.order(books, payment)
    books.emit("CHECKOUT.ORDER.APPROVED", "checkout-order", resource, BY_OTHERS)


def capture(books: Books, payment: Payment, origin: Origin) -> Payment:
    """`POST /v2/checkout/orders/{id}/capture`. Raises Refusal."""
    # What is said to an order that was made to be authorized is not published.
    _complete(payment, "CAPTURE", "TRANSACTION_REFUSED", "ORDER_ALREADY_CAPTURED")
    payment.id = books.new_id()
    payments.register(books, payment)
    status = books.take_capture_outcome(payment.id)
    taken = payments.take(books, payment, payment.id, payment.amount, status)
    payments.announce(books, taken, origin)
    return payment


def authorize(books: Books, payment: Payment, origin: Origin) -> Payment:
    """`POST /v2/checkout/orders/{id}/authorize`. Raises Refusal."""
    _complete(payment, "AUTHORIZE", "ACTION_DOES_NOT_MATCH_INTENT", "ORDER_ALREADY_AUTHORIZED")
    payment.id = books.new_id()
    payments.register(books, payment)
    held = payments.hold(books, payment, payment.id, payment.amount)
    payment.updated = held.created
    resource = views.authorization(books, held)
    books.emit("PAYMENT.AUTHORIZATION.CREATED", "authorization", resource, origin)
    return payment


def _complete(payment: Payment, intent: str, otherwise: str, again: str) -> None:
    if payment.intent != intent:
        raise refused(otherwise)
    if payment.status != "APPROVED":
        raise refused(again if payment.status == "COMPLETED" else "ORDER_NOT_APPROVED")
    payment.status = "COMPLETED"
