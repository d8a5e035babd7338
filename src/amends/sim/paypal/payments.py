"""Authorizations and captures: hold, take, let go, renew, run out."""

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.paypal import refunds, views
from amends.sim.paypal.bodies import amount_of, flag_of, text_of
from amends.sim.paypal.books import Books
from amends.sim.paypal.errors import refused
from amends.sim.paypal.money import Json
from amends.sim.paypal.objects import Authorization, Capture, Payment

# The sum of all captures may be 115 % of what was authorized.
OVER_CAPTURE_PERCENT = 115
# What a capture is first; its money is the merchant's only when it is completed.
CAPTURE_WORDS = {"COMPLETED": "succeeded", "PENDING": "pending", "DECLINED": "failed"}
CAPTURE_REASONS = {"PENDING": "PENDING_REVIEW", "DECLINED": "DECLINED_BY_RISK_FRAUD_FILTERS"}


def register(books: Books, payment: Payment) -> None:
    """Put a payment on the books, under its order and, once it has one, its own id."""
    books.orders[payment.order] = payment
    if payment.id:
        books.payments[payment.id] = payment


def hold(
    books: Books,
    payment: Payment,
    authorization_id: str,
    amount: int,
    first: Authorization | None = None,
) -> Authorization:
    """Hold money; it is let go by itself when nobody captures it in time."""
    now, age = books.now(), books.settings.authorization_age_s
    held = Authorization(
        id=authorization_id,
        payment=payment,
        amount=amount,
        created=now,
        updated=now,
        expires=int(now + age),
        first=first,
    )
    payment.authorizations.append(held)
    books.authorizations[held.id] = held
    books.later(age, lambda: expire(books, held))
    return held


def take(
    books: Books,
    payment: Payment,
    capture_id: str,
    amount: int,
    status: str = "COMPLETED",
    *,
    final: bool = True,
    authorization: str = "",
    invoice_id: str = "",
) -> Capture:
    """Take money, or try to."""
    now = books.now()
    taken = Capture(
        id=capture_id,
        payment=payment,
        amount=amount,
        created=now,
        updated=now,
        status=status,
        reason=CAPTURE_REASONS.get(status, ""),
        final=final,
        invoice_id=invoice_id,
        authorization=authorization,
    )
    payment.captures.append(taken)
    payment.updated = now
    books.captures[taken.id] = taken
    if status == "COMPLETED":
        books.brought(taken)
    if status != "DECLINED":
        _show_captured(payment, now, final=final)
    return taken


def _show_captured(payment: Payment, now: int, *, final: bool) -> None:
    for held in payment.authorizations:
        if not held.closed:
            done = final or payment.promised >= held.amount
            held.status = "CAPTURED" if done else "PARTIALLY_CAPTURED"
            held.updated = now


def capture(books: Books, held: Authorization, body: Json, origin: Origin) -> Capture:
    """`POST /v2/payments/authorizations/{id}/capture`. Raises Refusal."""
    asked, final = amount_of(body), flag_of(body, "final_capture")
    invoice_id = text_of(body, "invoice_id", 127)
    for name, most in (("note_to_payer", 255), ("soft_descriptor", 22)):
        text_of(body, name, most)
    if body.get("payment_instruction"):
        raise refused("PLATFORM_FEE_NOT_ENABLED", "/payment_instruction")
    amount = None if asked is None else asked[0]
    if asked is not None and asked[1] != held.payment.currency:
        raise refused("AUTH_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code")
    if invoice_id and ("capture", invoice_id) in books.invoices:
        raise refused("DUPLICATE_INVOICE_ID", "/invoice_id")
    taken = capture_held(books, held, amount, origin, final=final, invoice_id=invoice_id)
    books.invoices.add(("capture", invoice_id))
    return taken


def capture_held(
    books: Books,
    held: Authorization,
    amount: int | None,
    origin: Origin,
    *,
    final: bool,
    invoice_id: str = "",
) -> Capture:
    """Capture of what is held; `amount` None is all that is left. Raises Refusal."""
    payment = held.payment
    if issue := books.take_forced("capture", payment.id) or _closed(held):
        raise refused(issue)
    amount = payment.capturable if amount is None else amount
    if payment.promised + amount > held.amount * OVER_CAPTURE_PERCENT // 100:
        raise refused("MAX_CAPTURE_AMOUNT_EXCEEDED", "/amount/value")
    status = books.take_capture_outcome(payment.id)
    taken = take(
        books,
        payment,
        books.new_id(),
        amount,
        status,
        final=final,
        authorization=held.id,
        invoice_id=invoice_id,
    )
    word = CAPTURE_WORDS[status]
    books.capturing[taken.id] = books.move("capture", payment, None, amount, word, origin)
    announce(books, taken, origin)
    refunds.fund_held(books, payment.currency)
    return taken


def _closed(held: Authorization) -> str:
    """The issue that says why nothing can be taken of it, or ""."""
    if held.expired:
        return "AUTHORIZATION_EXPIRED"
    issues = {
        "CAPTURED": "AUTHORIZATION_ALREADY_CAPTURED",
        "VOIDED": "AUTHORIZATION_VOIDED",
        "DENIED": "AUTHORIZATION_DENIED",
    }
    return issues.get(held.status, "")


def announce(books: Books, taken: Capture, origin: Origin) -> None:
    """The event of a capture's status."""
    event = f"PAYMENT.CAPTURE.{taken.status}"
    books.emit(event, "capture", views.capture(books, taken), origin)


def settle(books: Books, taken: Capture, status: str) -> None:
    """A pending capture ends: COMPLETED or DECLINED. Raises Refusal."""
    if taken.status != "PENDING":
        raise refused("TRANSACTION_REFUSED")
    taken.status, taken.updated = status, books.now()
    taken.reason = CAPTURE_REASONS.get(status, "")
    if taken.id in books.capturing:
        books.capturing[taken.id].status = CAPTURE_WORDS[status]
    if status == "COMPLETED":
        books.brought(taken)
    announce(books, taken, BY_OTHERS)
    refunds.fund_held(books, taken.payment.currency)


def void(books: Books, held: Authorization, origin: Origin) -> Authorization:
    """`POST /v2/payments/authorizations/{id}/void`: lets go what is still held. Raises Refusal."""
    if issue := books.take_forced("void", held.payment.id):
        raise refused(issue)
    if held.first is not None:
        raise refused("CANNOT_BE_VOIDED")
    if held.closed:
        raise refused("PREVIOUSLY_CAPTURED" if held.status == "CAPTURED" else "PREVIOUSLY_VOIDED")
    _let_go(books, held.payment, origin)
    return held


def expire(books: Books, held: Authorization) -> None:
    """The authorization runs out, unless it was renewed; the same event as a void."""
    if held.closed or held is not held.payment.authorizations[-1]:
        return
    for each in held.payment.authorizations:
        each.expired = True
    _let_go(books, held.payment, BY_OTHERS)


def _let_go(books: Books, payment: Payment, origin: Origin) -> None:
    books.move("void", payment, None, payment.capturable, "succeeded", origin)
    for held in payment.authorizations:
        held.status, held.updated = "VOIDED", books.now()
    resource = views.authorization(books, payment.authorizations[0])
    books.emit("PAYMENT.AUTHORIZATION.VOIDED", "authorization", resource, origin)


def reauthorize(books: Books, held: Authorization, body: Json, origin: Origin) -> Authorization:
    """`POST /v2/payments/authorizations/{id}/reauthorize`: once, up to 115 %. Raises Refusal.

    PayPal asks for three days to have passed; what it says before is not documented, so here they
    need not have.
    """
    asked, payment = amount_of(body), held.payment
    if issue := books.take_forced("reauthorize", payment.id) or _closed(held):
        raise refused("AUTHORIZATION_VOIDED" if issue == "AUTHORIZATION_EXPIRED" else issue)
    if held.first is not None or held is not payment.authorizations[-1]:
        raise refused("REAUTHORIZATION_NOT_SUPPORTED")
    amount, currency = (held.amount, payment.currency) if asked is None else asked
    if currency != payment.currency:
        raise refused("AUTH_CURRENCY_MISMATCH", "/amount/currency_code")
    if amount > held.amount * OVER_CAPTURE_PERCENT // 100:
        raise refused("TRANSACTION_REFUSED", "/amount/value")
    renewed = hold(books, payment, books.new_id(), amount, first=held)
    renewed.status = held.status
    resource = views.authorization(books, renewed)
    books.emit("PAYMENT.AUTHORIZATION.CREATED", "authorization", resource, origin)
    return renewed
