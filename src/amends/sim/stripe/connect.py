"""Destination charges: what a payment transferred to a connected account, and taking it back.

A transfer is reversed, and its application fee given back, in proportion to what of the charge is
refunded by refunds that asked for it; the whole of each with the last of it. A refund that fails
undoes neither. The account's balance may go below zero, unless a control command made reversals
from it fail.
"""

import msgspec

from amends.sim.stripe.books import Books
from amends.sim.stripe.errors import refused
from amends.sim.stripe.objects import Payment, Refund


class Take(msgspec.Struct, frozen=True):
    """What a refund asks to be taken back besides."""

    transfer: bool = False
    fee: bool = False


def check(books: Books, payment: Payment, take: Take) -> None:
    """Raises Refusal when there is nothing to take back, or the account cannot give it."""
    charge = payment.charged
    if take.transfer and payment.transfer == 0:
        message = f"Cannot reverse transfer: charge {charge.id} has no associated transfer."
        raise refused(message, None, "reverse_transfer")
    if take.fee and not charge.application_fee_amount:
        message = f"Charge {charge.id} has no application fee to refund."
        raise refused(message, None, "refund_application_fee")
    if take.transfer and payment.destination in books.empty_accounts:
        message = f"The connected account {payment.destination} has insufficient funds for it."
        raise refused(message, "balance_insufficient", "reverse_transfer")


def transfer(books: Books, payment: Payment) -> None:
    """Pass a captured payment on, less the application fee, which the account pays back."""
    charge = payment.charged
    currency, fee = charge.currency, charge.application_fee_amount or 0
    charge.transfer_data = {"amount": None, "destination": payment.destination}
    books.transact("transfer", "transfer", -payment.transfer, currency, books.new_id("tr"))
    if fee:
        charge.application_fee = books.new_id("fee")
        books.transact("application_fee", "platform_earning", fee, currency, charge.id)


def take_back(books: Books, payment: Payment, refund: Refund, take: Take) -> None:
    """With a refund that was just made."""
    charge = payment.charged
    whole = charge.amount_captured
    if take.transfer:
        payment.reversed_for = min(whole, payment.reversed_for + refund.amount)
        amount = _in_proportion(payment.transfer, payment.reversed_for, whole) - payment.reversed
        payment.reversed += amount
        refund.transfer_reversal = books.new_id("trr")
        source = refund.transfer_reversal
        books.transact("transfer_refund", "transfer_reversal", amount, charge.currency, source)
    if take.fee:
        payment.fee_refunded_for = min(whole, payment.fee_refunded_for + refund.amount)
        due = _in_proportion(charge.application_fee_amount or 0, payment.fee_refunded_for, whole)
        fee = due - payment.fee_refunded
        payment.fee_refunded += fee
        source = charge.application_fee or charge.id
        kind = "application_fee_refund"
        books.transact(kind, "platform_earning_refund", -fee, charge.currency, source)


def _in_proportion(amount: int, part: int, whole: int) -> int:
    return (2 * amount * part + whole) // (2 * whole)
