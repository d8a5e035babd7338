"""One decision in the making: the order as it changes, and what the change leads to."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from amends.core.decision import NOTHING, Beside, Ctx, Decision
from amends.core.documents import DueDocument, document
from amends.core.effects import Effect
from amends.core.events import Event, EventType, link
from amends.core.facts import Recorded
from amends.core.history import Draw, Judged, Label, Sight, Tally
from amends.core.order import Leg, Order, Payment, Refund
from amends.core.outlets import Moved, Tell, Telling
from amends.core.postings import Entry, capture, dated, paid_with, received, sellers_paid
from amends.core.reasons import Refusal
from amends.core.told import of_entry
from amends.kernel.time import Instant


class Work:
    """Collects; the only mutable thing in core, alive for one `decide`."""

    def __init__(self, order: Order, recorded: Recorded, ctx: Ctx) -> None:
        self.order = order
        self.recorded = recorded
        self.ctx = ctx
        self.now: Instant = max(ctx.now, recorded.at, order.last_at)
        self.events: list[Event] = []
        self.entries: list[Entry] = []
        self.documents: list[DueDocument] = []
        self.effects: dict[str, Effect] = {}
        self.done: set[str] = set()
        self.refund_id = ""
        self.tallies: list[Tally] = []
        self.sights: list[Sight] = []
        self.judged: list[Judged] = []
        self.labels: list[Label] = []
        self.draws: list[Draw] = []
        self.tells: list[Tell] = []
        self.moved: list[Moved] = []
        self._booked: list[str] = []

    def decision(self, refused: Refusal | None = None) -> Decision:
        return Decision(
            replace(self.order, last_at=self.now) if self.events else self.order,
            tuple(self.events),
            tuple(self.entries),
            tuple(self.effects.values()),
            tuple(sorted(self.done)),
            refused,
            self.refund_id,
            tuple(self.documents),
            Beside(
                tuple(self.tallies),
                tuple(self.sights),
                tuple(self.judged),
                tuple(self.labels),
                tuple(self.draws),
            )
            if self.tallies or self.sights or self.judged or self.labels or self.draws
            else NOTHING,
            tuple(self.tells),
            tuple(self.moved),
        )

    def event(self, type_: EventType, **body: Any) -> None:
        """Record it, sealing the entries booked since the event before."""
        if self.ctx.captures:
            self._book_captures()
        order = self.order
        event = link(
            order.id,
            order.head_seq + 1,
            order.head_hash,
            self.now,
            type_,
            self.recorded.actor,
            self.recorded.id,
            self.ctx.digest,
            {name: value for name, value in body.items() if value not in ("", None, ())},
            tuple(self._booked),
        )
        self._booked.clear()
        self.events.append(event)
        self.order = replace(order, head_seq=event.seq, head_hash=event.hash)

    def _book_captures(self) -> None:
        for payment in self.order.payments:
            entry = capture(self.order, payment, self.now)
            if entry is not None:
                self.book(entry)
                self.put_payment(payment.id, receipt=received(payment))
            entry = sellers_paid(self.order, payment, self.now)
            if entry is not None:
                self.book(entry)
                shares, fees = paid_with(payment)
                self.put_payment(payment.id, paid_shares=shares, paid_fees=fees)

    def book(self, entry: Entry, of: Refund | None = None) -> None:
        """A journal entry, dated into an open period; the next event seals it. `of`: its refund as
        the entry saw it, where that has changed since."""
        entry = dated(entry, self.ctx.closed.get(entry.entity, ""))
        self.entries.append(entry)
        refund = of or (self.refund(entry.refund) if entry.refund else None)
        due = document(self.order, refund, entry) if refund is not None else None
        if due is not None:
            self.documents.append(due)
        self._booked.append(entry.hash)
        self.order = replace(self.order, entries=entry.number)
        if self.ctx.outlets and refund is not None:
            self._tell_books(refund.fallback_of or refund.id, entry, due)

    def _tell_books(self, refund_id: str, entry: Entry, due: DueDocument | None) -> None:
        """What an entry means to an ERP: a credit note, or that one was paid."""
        known = self.order.refund(refund_id)
        before = known.notes_told if known else ()
        told, notes = of_entry(self.order, before, entry, due, self.ctx.outlets)
        if notes != before and known is not None:
            self.put_refund(refund_id, notes_told=notes)
        for telling, to in told:
            self.tell(telling, to=to)

    def tell(self, telling: Telling, but: str = "", to: tuple[str, ...] | None = None) -> None:
        """Whoever takes such tellings is told, `but` not the connection that we know it from; of
        these only, if `to` names some."""
        for outlet in self.ctx.outlets:
            meant = outlet.name != but and (to is None or outlet.name in to)
            if meant and outlet.wants(telling):
                number = self.order.told + 1
                self.tells.append(Tell(self.order.id, number, outlet.name, telling))
                self.order = replace(self.order, told=number)

    def effect(self, effect: Effect) -> None:
        self.effects[effect.id] = effect
        self.done.discard(effect.id)

    def finish(self, effect_id: str) -> None:
        self.effects.pop(effect_id, None)
        self.done.add(effect_id)

    def change(self, **fields: Any) -> None:
        self.order = replace(self.order, **fields)

    def payment(self, payment_id: str) -> Payment:
        return self.order.payment(payment_id)

    def put_payment(self, payment_id: str, **fields: Any) -> Payment:
        payments = self.order.payments
        for at, payment in enumerate(payments):
            if payment.id == payment_id:
                changed = replace(payment, **fields)
                others = (*payments[:at], changed, *payments[at + 1 :])
                self.order = replace(self.order, payments=others)
                return changed
        raise LookupError(f"order {self.order.id} has no payment {payment_id}")

    def refund(self, refund_id: str) -> Refund:
        for refund in self.order.refunds:  # a plain loop: these look-ups are most of a decision
            if refund.id == refund_id:
                return refund
        raise LookupError(f"order {self.order.id} has no refund {refund_id}")

    def put_refund(self, refund_id: str, **fields: Any) -> Refund:
        refunds = self.order.refunds
        for at, refund in enumerate(refunds):
            if refund.id == refund_id:
                changed = replace(refund, **fields)
                others = (*refunds[:at], changed, *refunds[at + 1 :])
                self.order = replace(self.order, refunds=others)
                return changed
        raise LookupError(f"order {self.order.id} has no refund {refund_id}")

    def leg(self, leg_id: str) -> tuple[Refund, Leg]:
        for refund in self.order.refunds:
            for leg in refund.legs:
                if leg.id == leg_id:
                    return refund, leg
        raise LookupError(f"order {self.order.id} has no leg {leg_id}")

    def put_leg(self, leg_id: str, **fields: Any) -> Leg:
        refunds = self.order.refunds
        for at, refund in enumerate(refunds):
            for place, leg in enumerate(refund.legs):
                if leg.id == leg_id:
                    changed = replace(leg, **fields)
                    legs = (*refund.legs[:place], changed, *refund.legs[place + 1 :])
                    others = (*refunds[:at], replace(refund, legs=legs), *refunds[at + 1 :])
                    self.order = replace(self.order, refunds=others)
                    return changed
        raise LookupError(f"order {self.order.id} has no leg {leg_id}")
