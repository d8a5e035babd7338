"""Early fraud warnings: made by card issuers, settled by a refund or overtaken by a dispute."""

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.stripe.books import Books
from amends.sim.stripe.objects import EarlyFraudWarning, Payment


def warn(books: Books, payment: Payment, fraud_type: str) -> EarlyFraudWarning:
    """The issuer reports fraud on a charge."""
    charge = payment.charged
    warning = EarlyFraudWarning(
        id=books.new_id("issfr"),
        actionable=not charge.disputed and not charge.refunded,
        charge=charge.id,
        created=books.now(),
        fraud_type=fraud_type,
        payment_intent=payment.intent.id,
    )
    payment.warning = warning
    books.warnings.add(warning)
    books.emit("radar.early_fraud_warning.created", warning, BY_OTHERS)
    return warning


def settle(books: Books, payment: Payment, origin: Origin) -> None:
    """Nothing can be done about the warning any more."""
    warning = payment.warning
    if warning is not None and warning.actionable:
        warning.actionable = False
        previous = {"actionable": True}
        books.emit("radar.early_fraud_warning.updated", warning, origin, previous)


def settle_after_refund(books: Books, payment: Payment, origin: Origin) -> None:
    """A full refund answers the warning."""
    if payment.charge is not None and payment.charge.refunded:
        settle(books, payment, origin)
