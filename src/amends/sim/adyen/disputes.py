"""Disputes and warnings of fraud: opened, moved on and ended by the control API."""

from typing import Literal

from amends.sim.adyen.books import Books
from amends.sim.adyen.objects import Dispute, Payment
from amends.sim.wire import CommandRefused

RESPONSE_DAYS_S = 14 * 86_400
FINAL = ("won", "lost", "closed")

Opening = Literal["request_for_information", "notification", "chargeback"]
Ending = Literal["won", "reversed", "lost", "closed"]


def start(books: Books, payment: Payment, amount: int, code: str, stage: Opening) -> Dispute:
    """The shopper's bank asks, announces a chargeback, or takes the money at once."""
    dispute = Dispute(
        psp_reference=books.new_reference(), amount=amount, reason_code=code, status="open"
    )
    payment.disputes.append(dispute)
    if stage == "request_for_information":
        dispute.status = "inquiry"
        _tell(books, payment, dispute, "REQUEST_FOR_INFORMATION")
        return dispute
    _tell(books, payment, dispute, "NOTIFICATION_OF_CHARGEBACK")
    if stage == "chargeback":
        withdraw(books, payment, dispute)
    return dispute


def withdraw(books: Books, payment: Payment, dispute: Dispute) -> None:
    """The chargeback itself. Raises CommandRefused where the money is gone already."""
    if dispute.held or dispute.status in FINAL:
        raise CommandRefused(f"Dispute {dispute.psp_reference} is {dispute.status} already.")
    dispute.held, dispute.status = True, "chargeback"
    _tell(books, payment, dispute, "CHARGEBACK")


def finish(books: Books, payment: Payment, dispute: Dispute, ending: Ending) -> None:
    """The next or the last word. `reversed` gives the money back until a second chargeback
    (`lost`) takes it again or none comes any more (`won`); `closed` ends what never took money.
    Raises CommandRefused."""
    if dispute.status in FINAL:
        raise CommandRefused(f"Dispute {dispute.psp_reference} is {dispute.status} already.")
    never_took = dispute.status in ("inquiry", "open")
    if (ending == "closed") != never_took:
        raise CommandRefused(f"A dispute that is {dispute.status} cannot become {ending}.")
    if ending == "closed":
        _tell(books, payment, dispute, "INFORMATION_SUPPLIED")
    elif ending == "lost":
        again = dispute.status == "reversed"
        dispute.held = True
        event = "SECOND_CHARGEBACK" if again else "DISPUTE_DEFENSE_PERIOD_ENDED"
        _tell(books, payment, dispute, event, "Lost")
    else:
        if dispute.held:
            dispute.held = False
            _tell(books, payment, dispute, "CHARGEBACK_REVERSED")
        if ending == "won":
            _tell(books, payment, dispute, "ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "Won")
    dispute.status = ending


def _tell(
    books: Books, payment: Payment, dispute: Dispute, event: str, status: str = "Undefended"
) -> None:
    dispute.told = event.lower()
    card = {"chargebackReasonCode": dispute.reason_code, "chargebackSchemeCode": payment.method}
    books.emit(
        event,
        payment,
        dispute.psp_reference,
        dispute.amount,
        group=None,
        reason="Disputed by the cardholder",
        extra=card | {"disputeStatus": status},
    )


def warn(books: Books, payment: Payment, reason_code: str) -> str:
    """The issuer reports fraud; gives the warning's pspReference."""
    psp_reference = books.new_reference()
    books.warnings.append((psp_reference, payment.psp_reference))
    books.emit(
        "NOTIFICATION_OF_FRAUD",
        payment,
        psp_reference,
        payment.amount,
        group=None,
        reason="Reported as fraud by the issuer",
        extra={"nofReasonCode": reason_code, "nofSchemeCode": payment.method},
    )
    return psp_reference
