"""Refunds: what one may be refused for, how it turns out, and what happens to it afterwards."""

import msgspec

from amends.sim.account import BY_OTHERS, Origin, Outcome
from amends.sim.paypal import money, views
from amends.sim.paypal.bodies import amount_of, text_of
from amends.sim.paypal.books import Books
from amends.sim.paypal.errors import refused
from amends.sim.paypal.money import Json
from amends.sim.paypal.objects import GIVEN_BACK, TAKEN, Capture, Refund

# The words of the control API and of `wire.Movement` -> PayPal's.
STATUSES = {
    "pending": "PENDING",
    "succeeded": "COMPLETED",
    "failed": "FAILED",
    "canceled": "CANCELLED",
}
WORDS = {status: word for word, status in STATUSES.items()}
NEXT_STATUSES: dict[str, frozenset[str]] = {
    "PENDING": frozenset(("COMPLETED", "FAILED", "CANCELLED")),
    # A bank may still return the money after the refund was completed.
    "COMPLETED": frozenset(("FAILED",)),
    "FAILED": frozenset(),
    "CANCELLED": frozenset(),
}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be refunded; `amount` None is all that is left."""

    amount: int | None = None
    custom_id: str = ""
    invoice_id: str = ""
    note: str = ""
    added: int = 0


def _platform_fee(taken: Capture, body: Json) -> int:
    """What the platform adds, of the fee that it kept and has not given back. Raises Refusal."""
    instruction = body.get("payment_instruction")
    if not instruction:
        return 0
    payment, at = taken.payment, "/payment_instruction/platform_fees/0/amount"
    if not payment.seller:
        raise refused("PLATFORM_FEE_NOT_ENABLED", "/payment_instruction")
    fees = instruction.get("platform_fees") if isinstance(instruction, dict) else None
    if not fees:
        return 0
    added, currency = money.read(fees[0].get("amount"), at)
    stands = [given for given in payment.refunds if given.status not in GIVEN_BACK]
    if added > payment.platform_fee - sum(given.added for given in stands):
        raise refused("PLATFORM_FEE_EXCEEDED", at)
    if currency != payment.currency:
        raise refused("REFUND_CAPTURE_CURRENCY_MISMATCH", at)
    return added


def create(books: Books, taken: Capture, body: Json, origin: Origin) -> Refund:
    """`POST /v2/payments/captures/{id}/refund`. Raises Refusal."""
    amount = amount_of(body)
    wish = Wish(
        amount=None if amount is None else amount[0],
        custom_id=text_of(body, "custom_id", 127),
        invoice_id=text_of(body, "invoice_id", 127),
        note=text_of(body, "note_to_payer", 255),
    )
    wish = msgspec.structs.replace(wish, added=_platform_fee(taken, body))
    if amount is not None and amount[1] != taken.payment.currency:
        raise refused("REFUND_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code")
    return make(books, taken, wish, origin)


def make(books: Books, taken: Capture, wish: Wish, origin: Origin) -> Refund:
    """Make a refund if it is possible. Raises Refusal."""
    if issue := books.take_forced("refund", taken.payment.id):
        raise refused(issue)
    if books.settings.refuse_over_refund:
        _check(books, taken, wish)
    amount = (taken.rest or taken.amount) if wish.amount is None else wish.amount
    if wish.invoice_id and ("refund", wish.invoice_id) in books.invoices:
        raise refused("DUPLICATE_INVOICE_ID", "/invoice_id")
    currency = taken.payment.currency
    cost = wish.added if taken.payment.seller else amount
    short = books.balance.get(currency, cost) < cost
    if short and books.refuse_when_short:
        raise refused("REFUND_FAILED_INSUFFICIENT_FUNDS")
    # Whether a refund that failed gives its invoice id back is not documented: here it does not.
    books.invoices.add(("refund", wish.invoice_id))
    outcome = Outcome(status="pending") if short else books.take_outcome(taken.payment.id)
    given = _draw_up(books, taken, amount, wish)
    books.move("refund", taken.payment, given.id, amount, "pending", origin)
    _enter(books, given, STATUSES.get(outcome.status, "PENDING"), short=short)
    _announce(books, given, origin)
    if outcome.then is not None:
        then = STATUSES[outcome.then]
        books.later(outcome.after_s, lambda: _become(books, given, then))
    return given


def _check(books: Books, taken: Capture, wish: Wish) -> None:
    """Raises Refusal when there is not that much to refund, or nothing may be."""
    if taken.status == "PENDING":
        raise refused("PENDING_CAPTURE")
    if taken.status not in TAKEN:
        raise refused("REFUND_NOT_ALLOWED")
    cases = [case for case in taken.payment.disputes if case.open and case.capture is taken]
    if any(case.stage == "CHARGEBACK" for case in cases):
        raise refused("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK")
    if taken.rest <= 0:
        raise refused("CAPTURE_FULLY_REFUNDED")
    if wish.amount is not None and wish.amount > taken.rest:
        raise refused("REFUND_AMOUNT_EXCEEDED", "/amount/value")
    if cases and wish.amount not in (None, taken.rest):
        raise refused("TRANSACTION_DISPUTED")
    if books.clock() >= taken.created + books.settings.refund_age_s:
        raise refused("REFUND_TIME_LIMIT_EXCEEDED")
    if len(taken.refunds) >= books.settings.refunds_most:
        raise refused("MAX_NUMBER_OF_REFUNDS_EXCEEDED")


def _draw_up(books: Books, taken: Capture, amount: int, wish: Wish) -> Refund:
    now = books.now()
    given = Refund(
        id=books.new_id(),
        capture=taken,
        amount=amount,
        created=now,
        updated=now,
        custom_id=wish.custom_id,
        invoice_id=wish.invoice_id,
        note=wish.note,
        added=wish.added,
    )
    books.refunds[given.id] = given
    taken.payment.refunds.append(given)
    return given


def take_back(
    books: Books, taken: Capture, amount: int, event: str, origin: Origin, *, listed: bool = True
) -> Refund:
    """PayPal gives money back by itself. `listed` False: only the capture's status tells."""
    given = _draw_up(books, taken, amount, Wish())
    given.listed = listed
    books.move("refund", taken.payment, given.id, amount, "pending", BY_OTHERS)
    _enter(books, given, "COMPLETED", short=False)
    books.emit(event, "refund", views.refund(books, given), origin)
    return given


def _enter(books: Books, given: Refund, status: str, *, short: bool) -> None:
    """Put a refund into a status, and its money where that says."""
    given.status = status
    given.updated = books.now()
    books.movement_of[given.id].status = WORDS[status]
    if status in GIVEN_BACK:
        if given.debited:
            books.debit_back(given)
        given.debited = False
    elif not short and not given.debited:
        given.debited = True
        books.debit(given)
    _show_refunded(given.capture, given.updated)


def _show_refunded(taken: Capture, now: int) -> None:
    """Bring the capture's status in line with what has gone; pending refunds do not count yet."""
    if taken.status not in TAKEN:
        return
    gone = sum(refund.amount for refund in taken.refunds if refund.status == "COMPLETED")
    status = "PARTIALLY_REFUNDED" if gone else "COMPLETED"
    taken.status = "REFUNDED" if gone >= taken.amount else status
    taken.updated = now


def _announce(books: Books, given: Refund, origin: Origin) -> None:
    """The event of a new refund; one that waits for an eCheck is announced as made too."""
    event = "PAYMENT.REFUND.FAILED" if given.status == "FAILED" else "PAYMENT.CAPTURE.REFUNDED"
    if given.status != "FAILED" or books.settings.refund_events:
        books.emit(event, "refund", views.refund(books, given), origin)


def turn(books: Books, given: Refund, status: str, origin: Origin) -> None:
    """Move a refund to its next status and say so. Raises Refusal when it cannot go there."""
    if status not in NEXT_STATUSES[given.status]:
        raise refused("REFUND_NOT_ALLOWED")
    _enter(books, given, status, short=False)
    if books.settings.refund_events:
        event = f"PAYMENT.REFUND.{status}"
        books.emit(event, "refund", views.refund(books, given), origin)
    if status in GIVEN_BACK:
        fund_held(books, given.capture.payment.currency)


def _become(books: Books, given: Refund, status: str) -> None:
    # Somebody may have settled it first; then the schedule is void.
    if status in NEXT_STATUSES[given.status]:
        turn(books, given, status, BY_OTHERS)


def fund_held(books: Books, currency: str) -> int:
    """Let refunds that waited for money be completed, oldest first; gives how many were."""
    funded = 0
    for given in books.refunds.values():
        if given.debited or given.status != "PENDING":
            continue
        if given.capture.payment.currency != currency:
            continue
        if books.balance.get(currency, given.cost) < given.cost:
            break
        turn(books, given, "COMPLETED", BY_OTHERS)
        funded += 1
    return funded
