"""Reading a whole payment again at its provider, as soon as it is free."""

from __future__ import annotations

from amends.core.effects import Effect
from amends.core.intents import whole_intent
from amends.core.patience import can_look
from amends.core.work import Work
from amends.kernel.ids import tail
from amends.kernel.time import Instant


def reread_id(payment_id: str) -> str:
    """The effect row of a look-up of a whole payment."""
    return f"fx_{tail(payment_id)}_all"


def reread(work: Work, payment_id: str, open_too: bool = False) -> None:
    """Ask the provider for everything it knows of this payment, as soon as it is free; `open_too`:
    even if nothing of it is captured. Where it cannot be asked, nothing."""
    if not can_look(work, payment_id):
        return
    payment = work.payment(payment_id)
    payment = work.put_payment(payment_id, reread=True, look=payment.look or open_too)
    if not payment.busy:
        schedule_reread(work, payment_id, work.now)


def schedule_reread(work: Work, payment_id: str, due: Instant) -> None:
    payment = work.payment(payment_id)
    effect = Effect(
        reread_id(payment_id), work.order.id, "lookup", payment.connection, payment_id, due
    )
    work.effect(effect)


def start_reread(work: Work, payment_id: str) -> None:
    """Under the lease just taken: list the payment's refunds, or, while nothing of it is captured,
    read the payment itself."""
    payment = work.put_payment(payment_id, busy="reread")
    method = work.ctx.terms[payment.connection].method(payment.method)
    intent = whole_intent(work.order, payment, method.per_capture)
    work.effect(
        Effect(
            reread_id(payment_id),
            work.order.id,
            "lookup",
            payment.connection,
            payment_id,
            work.now,
            start=True,
            intent=intent,
            asked=work.order.head_seq,
        )
    )
