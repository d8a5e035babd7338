"""Orders and batches to write, with the shapes a real turn has; numbered, so that each differs."""

from __future__ import annotations

import msgspec

from amends.core.effects import Effect, RefundIntent
from amends.core.events import Event, link
from amends.core.order import Leg, Line, Order, Payment, Refund, Shipping, Tax, Tender
from amends.core.postings import Entry, Posting
from amends.core.requests import OrderKey
from amends.core.shares import Breakdown
from amends.kernel.ids import derived
from amends.kernel.money import Rate
from amends.store.spec import Answer, AnswerKey, Batch, Lease

NOW = 1_790_000_000_000_000
LEASE = Lease("process-1", NOW + 30_000_000)
EUR = Rate("EUR", "EUR", 1, 1, "same")


def an_order(n: int, prefix: str = "") -> Order:
    """An order of 102.00 EUR, captured, with one payment and nothing refunded."""
    order_id = derived("ord", prefix, str(n))
    pay_id = derived("pay", prefix, str(n))
    return Order(
        id=order_id,
        source=OrderKey("shop-1", f"{prefix}{n}"),
        currency="EUR",
        rate=EUR,
        placed_at=NOW,
        customer=f"c-{n}",
        country="DE",
        lines=(
            Line("1", 3, 9600, (Tax("VAT", 1600, "0.20"),), "TEA", "Green tea, 500 g – Bio 🍵"),
        ),
        shipping=(Shipping("s1", 600, (Tax("VAT", 100, "0.20"),), "Parcel"),),
        tenders=(Tender("payment", 10200, pay_id),),
        payments=(
            Payment(
                pay_id,
                "stripe-eu",
                f"pi_{prefix}{n}",
                10200,
                10200,
                10200,
                charge=f"ch_{prefix}{n}",
            ),
        ),
        last_at=NOW + n,
    )


def payment_of(order: Order, **changes: int) -> Order:
    """The order with its payment changed."""
    (payment,) = order.payments
    return msgspec.structs.replace(order, payments=(msgspec.structs.replace(payment, **changes),))


def recorded(order: Order, batch: Batch | None = None) -> tuple[Order, Batch]:
    """The batch that makes an order known, and the order as it is stored."""
    batch = batch or Batch()
    event = next_event(order, "order.recorded", {"total": 10200, "source": "shop-1"})
    order = tip(order, event)
    batch.created.add(order.id)
    batch.orders[order.id] = order
    batch.events.append(event)
    for payment in order.payments:
        batch.routes[payment.connection, payment.psp_payment_id] = order.id
    return order, batch


def refunded(
    order: Order,
    batch: Batch | None = None,
    amount: int = 3200,
    lease: Lease | None = LEASE,
    key: str = "",
) -> tuple[Order, Batch]:
    """The batch of one refund that is about to be sent: what a bench writes most."""
    batch = batch or Batch()
    number = len(order.refunds) + 1
    refund_id = derived("rf", order.id, str(number))
    payment = order.payments[0]
    leg = Leg(derived("leg", refund_id), "refund", payment.id, amount, "sending", attempts=1)
    refund = Refund(
        *(refund_id, "return", amount, "active", Breakdown(unallocated=amount), (leg,)),
        *("key:support", order.last_at, "0" * 64),
    )
    entry = an_entry(order, refund)
    first = next_event(order, "refund.requested", {"refund": refund.id, "amount": amount})
    order = tip(order, first)
    second = next_event(order, "leg.sending", {"leg": leg.id, "key": leg.key}, (entry.hash,))
    order = msgspec.structs.replace(
        payment_of(tip(order, second), pending_ours=payment.pending_ours + amount),
        refunds=(*order.refunds, refund),
        entries=entry.number,
    )
    batch.orders[order.id] = order
    batch.refunds.add((order.id, refund.id))
    batch.events += [first, second]
    batch.entries.append(entry)
    effect = an_effect(order, leg.id, amount)
    batch.effects[order.id, effect.id] = (effect, lease)
    batch.answers.append(an_answer(key or refund.id))
    return order, batch


def an_entry(order: Order, refund: Refund) -> Entry:
    tax = refund.amount // 6
    lines = (
        Posting("sales_returns", refund.amount - tax, refund.amount - tax),
        Posting("tax_payable", tax, tax),
        Posting("refunds_payable", -refund.amount, -refund.amount),
    )
    return Entry(
        *(order.id, order.entries + 1, order.last_at, "claim", "main", "EUR", "EUR"),
        *(refund.id, "", "", lines),
    )


def an_effect(order: Order, leg: str, amount: int = 3200, due: int = NOW) -> Effect:
    payment = order.payments[0]
    intent = RefundIntent(
        *(payment.connection, payment.psp_payment_id, order.currency),
        key=f"{leg}-1",
        amount=amount,
        order=order.id,
        refund="rf",
        leg=leg,
        epoch=1,
        reason="return",
    )
    return Effect(
        *(derived("ef", leg), order.id, "send", payment.connection, payment.id, due),
        *(leg, 1, 1, True, intent),
    )


def an_answer(key: str) -> Answer:
    return Answer(
        AnswerKey("key:support", "POST /v1/refunds", key),
        "b" * 64,
        b'{"reason":"return"}',
        201,
        b'{"id":"' + b"x" * 600 + b'"}',
        (("Content-Type", "application/json"),),
        NOW,
    )


def next_event(
    order: Order, kind: str, body: dict[str, object], entries: tuple[str, ...] = ()
) -> Event:
    return link(
        *(order.id, order.head_seq + 1, order.head_hash, order.last_at),
        *(kind, "key:support", f"f{order.head_seq}", "c" * 64, body, entries),  # type: ignore[arg-type]
    )


def tip(order: Order, event: Event) -> Order:
    return msgspec.structs.replace(order, head_seq=event.seq, head_hash=event.hash)
