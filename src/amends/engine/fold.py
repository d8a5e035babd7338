"""One turn's work between its reads and its writes: fold the asks over their orders.

The order of facts of one order is the order of commits: whoever holds the order's lock records and
decides in one transaction, so no process can decide a later fact before an earlier one.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from amends.core.caps import CapsNeeded
from amends.core.decide import decide, park, refuse
from amends.core.decision import NOTHING, Beside, Decision
from amends.core.effects import Effect
from amends.core.facts import (
    Addressed,
    EffectDue,
    Fact,
    LinesCancelled,
    LinesUnavailable,
    OrderCancelled,
    OrderReported,
    Recorded,
    RefundRequested,
    Unparked,
)
from amends.core.history import History
from amends.core.order import Order, psp_ids, same_ids
from amends.core.orders import order_id
from amends.core.reasons import SENTENCES, Reason, Refusal, Refused
from amends.core.requests import OrderKey, PspIn
from amends.core.signals import NO_SIGNALS, Signals
from amends.engine.asks import (
    Ask,
    Rendered,
    Result,
    Told,
    decode_facts,
    encode_facts,
    mismatch,
)
from amends.engine.notify import told
from amends.engine.world import BoardChanged, CapsGrew, Outgoing, World
from amends.kernel.check import invariant
from amends.kernel.time import DAY
from amends.store.spec import Answer, AnswerKey, Batch, Inbound, Lease, Turn, Wanted

log = structlog.get_logger()


# What a refund can be asked for by, so that its customer's history is read.
ASKING = (RefundRequested, LinesUnavailable, LinesCancelled, OrderCancelled, Unparked)


class _Read(NamedTuple):
    """What a fold read under its locks, as it was before anything was decided."""

    orders: dict[str, Order]
    routes: dict[tuple[str, str], str]
    answers: dict[AnswerKey, Answer]
    seen: set[tuple[str, str]]


class Fold:
    """One batch in the making."""

    def __init__(
        self,
        world: World,
        asks: list[Ask],
        poisoned: str = "",
        buckets: frozenset[str] = frozenset(),
    ) -> None:
        """`buckets` are those of caps that are known to be needed."""
        self.world, self.asks, self.poisoned, self._buckets = world, asks, poisoned, buckets
        self.batch = Batch()
        self.outgoing: list[Outgoing] = []
        self._taken: list[str] = []  # starts reserved in this fold, given back if it is undone
        self._spare: list[str] = []  # starts reserved before it that turned out not to be needed
        # By connection: how many more leave than starts were reserved for in this fold.
        self._unpaid: Counter[str] = Counter()
        self._orders: dict[str, Order] = {}
        self._routes: dict[tuple[str, str], str] = {}
        self._answers: dict[AnswerKey, Answer] = {}
        self._seen: set[tuple[str, str]] = set()
        self._waiting: list[Inbound] = []
        self._parked: list[Inbound] = []
        self._results: list[Callable[[], None]] = []
        self._mono = world.clock.monotonic()
        self._now = world.clock.now()
        self._ctx = world.ctx(self._now)
        self._board = world.board.number  # of which the context is; others may learn a newer one
        self._caps: dict[str, tuple[int, int]] = {}
        self._read = _Read({}, {}, {}, set())
        self._needed: set[str] = set()

    # -- reading -------------------------------------------------------------------------------

    async def read(self, turn: Turn) -> None:
        """Route, lock, then read: whatever is read after the locks is current."""
        facts = [item for ask in self.asks for item in ask.facts]
        refs = {ref for item in facts for ref in item.payments}
        named = _named(item.fact for item in facts if isinstance(item.fact, OrderReported))
        if refs or named:
            self._routes = await turn.routes(sorted(refs | named))
        wanted = {found for item in facts if (found := self._id(item))}
        self._orders = await turn.lock(sorted(wanted)) if wanted else {}
        if await turn.board() != self._board:
            raise BoardChanged
        await self._read_locked(turn, facts, [f"{c}/{p}" for c, p in sorted(named)])
        history = await self._history(turn, facts)
        if self._buckets:
            self._caps = await turn.caps(sorted(self._buckets))
        self._ctx = replace(self._ctx, history=history, caps=self._caps)
        self._read = _Read(
            dict(self._orders), dict(self._routes), dict(self._answers), set(self._seen)
        )

    async def _history(self, turn: Turn, facts: list[Addressed]) -> dict[str, History]:
        """What rows know of the customers whose refunds are asked for, by order."""
        asked = {self._id(item) for item in facts if isinstance(item.fact, ASKING)}
        wanted = {}
        for item in facts:
            if isinstance(item.fact, OrderReported) and self._id(item) in asked:
                wanted[self._id(item)] = _reported(item.fact)
        for name in asked & self._orders.keys():
            order = self._orders[name]
            wanted[name] = (order.entity, order.customer, prints(order.signals))
        wanted = {name: one for name, one in wanted.items() if one[1]}
        if not wanted:
            return {}
        found = await turn.history(sorted(set(wanted.values())), self._now // DAY)
        return {name: found[one[0], one[1]] for name, one in wanted.items() if one[:2] in found}

    def caps_missing(self) -> frozenset[str]:
        """Buckets to be locked before it can decide. Raises CapsGrew where some are locked already,
        also for those that something is given back to."""
        touched = {draw.bucket for draw in self.batch.draws} if self._buckets else set()
        missing = frozenset((self._needed | touched) - self._buckets)
        if missing and self._buckets:
            raise CapsGrew(missing)
        return missing

    async def again(self, turn: Turn, buckets: frozenset[str]) -> Fold:
        """The same batch decided anew, in the same transaction, now that the caps that its rules
        name are locked and known."""
        self.undo()
        fresh = Fold(self.world, self.asks, self.poisoned, buckets)
        fresh._now, fresh._mono = self._now, self._mono
        fresh._waiting, fresh._parked = self._waiting, self._parked
        fresh._caps = await turn.caps(sorted(buckets))
        fresh._ctx = replace(self._ctx, caps=fresh._caps)
        fresh._orders, fresh._routes, fresh._answers, fresh._seen = self._read
        return fresh

    async def _read_locked(self, turn: Turn, facts: list[Addressed], payments: list[str]) -> None:
        if keys := sorted({ask.key for ask in self.asks if ask.key}):
            self._answers = await turn.answers(keys)
        messages = {(m.connection, m.message) for ask in self.asks if (m := ask.message)}
        if messages:
            self._seen = await turn.seen(sorted(messages))
        refs = {
            f"{item.fact.order.source.connection}/{item.fact.order.source.order_id}"
            for item in facts
            if isinstance(item.fact, OrderReported)
        }
        refs |= {ref for ask in self.asks if ask.late and ask.message for ref in ask.message.refs}
        if refs or payments:
            self._waiting = await turn.waiting(sorted({*payments, *refs}))
        unparked = sorted({item.order for item in facts if isinstance(item.fact, Unparked)})
        if unparked:
            self._parked = await turn.parked(unparked)
            stored = [item.fact for row in self._parked for item in decode_facts(row.facts)]
            if late := _named(fact for fact in stored if isinstance(fact, OrderReported)):
                self._routes |= await turn.routes(sorted(late))

    def _id(self, item: Addressed) -> str:
        """The order a fact is about, "" if nothing here knows."""
        if isinstance(item.fact, OrderReported):
            return order_id(item.fact.order.source)
        if item.order:
            return item.order
        if item.source:
            return order_id(OrderKey(*item.source))
        for ref in item.payments:
            batch = self.batch
            found = self._routes.get(ref) or batch.routes.get(ref) or batch.aliases.get(ref)
            if found:
                return found
        return ""

    # -- deciding ------------------------------------------------------------------------------

    def decide(self) -> None:
        """Fold every ask, in the order in which they came."""
        for ask in self.asks:
            told = self._ask(ask)
            self._results.append(lambda ask=ask, told=told: ask.tell(told))  # type: ignore[misc]

    def tell(self) -> None:
        """After the commit: everybody hears what became of it."""
        self.world.moved(self._orders.values(), self.batch.refunds)
        for (_, _), (effect, lease) in self.batch.effects.items():
            if lease is None:
                self.world.scheduled(effect.due)
        if self.batch.tells:
            self.world.told({tell.connection for tell in self.batch.tells})
        for connection in self._spare:
            self.world.give_back(connection)
        for tell in self._results:
            tell()

    def undo(self) -> None:
        """Nothing of this fold happened: give back what it reserved."""
        for connection in self._taken:
            self.world.give_back(connection)
        self._taken.clear()

    def _ask(self, ask: Ask) -> Told:
        if ask.key is not None and (first := self._answers.get(ask.key)) is not None:
            differs = (
                "" if first.body_hash == ask.body_hash else mismatch(first.request, ask.request)
            )
            return Told(answer=first, replayed=True, mismatch=differs)
        if ask.message and self._is_known(ask.message, ask.late):
            return Told(duplicate=True)
        before = self._unpaid[ask.slot]
        results = tuple(self._fact(ask, item) for item in ask.facts)
        if ask.slot and self._unpaid[ask.slot] == before:
            self._spare.append(ask.slot)
        self._beside(ask, results)
        self.batch.quotes += ask.quotes
        if ask.message and not any(r.refused and r.order is None for r in results):
            self._inbox(ask, ask.message, results)  # what nothing was made of is not acknowledged
        return self._answer(ask, results)

    def _beside(self, ask: Ask, results: tuple[Result, ...]) -> None:
        """Texts that are kept beside a fact, if the fact is kept: decided, stored or waiting."""
        kept = [r for r in results if r.refused is None and (r.order or ask.message)]
        if kept:
            self.batch.people += ask.people
            order = next((r.order.id for r in kept if r.order), "")
            self.batch.notes += [replace(n, order=n.order or order) for n in ask.notes]

    def _is_known(self, message: Inbound, late: bool) -> bool:
        key = (message.connection, message.message)
        if late:  # it is known, and to be folded once: while its row still waits
            waits = any((row.connection, row.message) == key for row in self._waiting)
            return not waits or key in self.batch.inbox
        return key in self._seen

    def _answer(self, ask: Ask, results: tuple[Result, ...]) -> Told:
        if ask.render is None:
            return Told(results=results)
        rendered: Rendered = ask.render(results[0] if results else Result())
        if ask.key is None or not rendered.keep:
            return Told(results=results, rendered=rendered)
        answer = Answer(
            ask.key,
            ask.body_hash,
            ask.request,
            rendered.status,
            rendered.body,
            rendered.headers,
            self._now,
        )
        self._answers[ask.key] = answer
        self.batch.answers.append(answer)
        return Told(results=results, answer=answer, rendered=rendered)

    def _inbox(self, ask: Ask, message: Inbound, results: tuple[Result, ...]) -> None:
        """The webhook's own row: done, or waiting for its order or for a person."""
        self._seen.add((message.connection, message.message))
        waiting = [item for item, r in zip(ask.facts, results, strict=True) if r.unmatched]
        orders = {r.order.id for r in results if r.order}
        state = "unmatched" if waiting else "done" if ask.facts else "ignored"
        order = orders.pop() if len(orders) == 1 else ""
        row = replace(_still_waiting(message, waiting, order), state=state, order=order)
        self.batch.inbox[(row.connection, row.message)] = row

    def _fact(self, ask: Ask, item: Addressed) -> Result:
        found = self._id(item)
        order = self._orders.get(found)
        if order is None and not isinstance(item.fact, OrderReported):
            if ask.message and not any(_refs(item)):
                # Named by our own id, which no order can come to have: waiting would be for ever.
                return Result(
                    refused=Refusal(Reason.UNKNOWN_ORDER, SENTENCES[Reason.UNKNOWN_ORDER])
                )
            return Result(unmatched=True)
        recorded = Recorded(self.world.new_id(), self._now, ask.actor, item.fact)
        if isinstance(item.fact, OrderReported):
            return self._report(order, recorded, item.fact)
        invariant(order is not None, "only an OrderReported may start an order")
        result = self._fold_or_store(self._orders[found], recorded)
        if isinstance(item.fact, Unparked) and result.refused is None and not result.parked:
            self._resume(found)
            return replace(result, order=self._orders[found])
        return result

    def _fold_or_store(self, order: Order, recorded: Recorded) -> Result:
        """A parked order decides nothing but its unparking; the rest is kept for then."""
        if order.parked and not isinstance(recorded.fact, Unparked):
            return self._store_parked(order, recorded)
        return self._fold(order, recorded)

    def _report(self, order: Order | None, recorded: Recorded, fact: OrderReported) -> Result:
        identifier = order_id(fact.order.source)
        if refusal := self._belongs_elsewhere(fact, identifier):
            return self._refuse(order, recorded, refusal)
        if order is not None and order.parked:
            return self._store_parked(order, recorded)
        result = self._fold(order, recorded)
        if result.refused is None and result.order is not None:
            if order is None:
                self.batch.created.add(identifier)
            self._route(result.order)
            self._match_waiting(identifier)
            return replace(result, order=self._orders[identifier], created=order is None)
        return result

    def _belongs_elsewhere(self, fact: OrderReported, identifier: str) -> Refusal | None:
        """Two orders that share a payment would each give all of it back."""
        for tender in fact.order.tenders:
            ref = (tender.connection, tender.psp_payment_id)
            owner = self.batch.routes.get(ref) or self._routes.get(ref)
            if tender.kind == "payment" and owner not in (None, identifier):
                detail = f"{ref[1]} at {ref[0]} belongs to order {owner}."
                return Refusal(Reason.PAYMENT_TAKEN, detail, {"order": owner})
        return None

    def _refuse(self, order: Order | None, recorded: Recorded, refusal: Refusal) -> Result:
        """On the trail of the order that is there; a message is acknowledged with it."""
        if order is None or order.parked:
            return Result(order, refused=refusal)
        self._take(refuse(order, recorded, self._ctx, refusal))
        return Result(self._orders[order.id], refused=refusal)

    def _route(self, order: Order) -> None:
        for payment in order.payments:
            if payment.is_money:
                self.batch.routes[(payment.connection, payment.psp_payment_id)] = order.id

    def _alias(self, before: Order | None, order: Order) -> None:
        """Further ids the providers know its payments by, where they are new: messages name any."""
        known = {p.id: p for p in before.payments} if before else {}
        for payment in order.payments:
            was = known.get(payment.id)
            if was is not None and same_ids(was, payment):
                continue
            fresh = psp_ids(payment) - (psp_ids(was) if was else {payment.psp_payment_id})
            for psp_id in fresh:
                self.batch.aliases[(payment.connection, psp_id)] = order.id

    def _match_waiting(self, identifier: str) -> None:
        """Messages that came before their order, in the order in which they came. What one of them
        says of other orders waits on."""
        for row in self._waiting:
            key = (row.connection, row.message)
            row = self.batch.inbox.get(key, row)
            items = decode_facts(row.facts) if row.state == "unmatched" else ()
            mine = [self._id(item) == identifier for item in items]
            for item in itertools.compress(items, mine):
                recorded = Recorded(self.world.new_id(), self._now, row.actor, item.fact)
                self._fold_or_store(self._orders[identifier], recorded)
            if any(mine):
                left = [item for item, is_mine in zip(items, mine, strict=True) if not is_mine]
                self.batch.inbox[key] = _still_waiting(row, left, identifier)

    def _resume(self, identifier: str) -> None:
        """Fold what was stored while the order was parked, in order, until it parks again: the
        fact that parks it, and those after it, stay stored in their places."""
        for row in self._parked:
            if row.order != identifier or self._orders[identifier].parked:
                continue
            for item in decode_facts(row.facts):
                recorded = Recorded(row.message, self._now, row.actor, item.fact)
                self._fold_stored(self._orders[identifier], recorded)
            if not self._orders[identifier].parked:
                self.batch.inbox[(row.connection, row.message)] = replace(
                    row, state="done", facts=b"", refs=()
                )

    def _fold_stored(self, order: Order, recorded: Recorded) -> None:
        """A payment that another order took while this one was parked is not taken from it."""
        fact = recorded.fact
        if isinstance(fact, OrderReported) and (taken := self._belongs_elsewhere(fact, order.id)):
            self._refuse(order, recorded, taken)
            return
        self._fold(order, recorded, stored=True)
        if isinstance(fact, OrderReported):
            self._route(self._orders[order.id])

    def _fold(self, order: Order | None, recorded: Recorded, stored: bool = False) -> Result:
        """Decide one fact; a defect parks its order and stores the fact, unless it is `stored`."""
        if self.poisoned:
            return self._poison(order, recorded, self.poisoned, stored)
        try:
            decision = decide(order, recorded, self._ctx)
        except Refused as refused:
            return Result(order, refused=refused.refusal)
        except CapsNeeded as needed:
            self._needed |= needed.buckets
            return Result(order)
        except Exception as error:
            log.exception("poisoned fact", order=order.id if order else "", fact=recorded.id)
            return self._poison(order, recorded, f"{type(error).__name__}: {error}", stored)
        self._take(decision)
        self._start(decision)
        after = self._orders[decision.order.id]
        return Result(after, decision.refund, decision.refused)

    def _take(self, decision: Decision) -> None:
        """Add a decision to what will be written."""
        batch, before = self.batch, self._orders.get(decision.order.id)
        if self.world.subscribers:
            decision = told(before, decision, self.world.subscribers)
        order = decision.order
        self._orders[order.id] = order
        batch.orders[order.id] = order
        batch.events += decision.events
        batch.entries += decision.entries
        batch.documents += decision.documents
        batch.tells += decision.tells
        batch.moved += decision.moved
        if decision.beside is not NOTHING:
            self._take_beside(decision.beside)
        for effect in decision.effects:
            batch.effects[(order.id, effect.id)] = (effect, None)
            batch.done.discard((order.id, effect.id))
        for gone in decision.done:
            batch.effects.pop((order.id, gone), None)
            batch.done.add((order.id, gone))
        self._alias(before, order)
        known = {r.id: r for r in before.refunds} if before else {}
        batch.refunds.update((order.id, r.id) for r in order.refunds if known.get(r.id) is not r)

    def _take_beside(self, beside: Beside) -> None:
        batch = self.batch
        batch.tallies += beside.tallies
        batch.sights += beside.sights
        batch.judged += beside.judged
        batch.labels += beside.labels
        batch.draws += beside.draws
        for draw in beside.draws:  # what is not locked here is added without being looked at
            if draw.bucket in self._caps:
                amount, count = self._caps[draw.bucket]
                self._caps[draw.bucket] = (amount + draw.amount, count + draw.count)

    def _start(self, decision: Decision) -> None:
        """Effects that may leave now are decided to leave, in the same commit. The others wait for
        any process that has room."""
        for effect in decision.effects:
            if effect.start:
                lease = Lease(self.world.holder, self._now + self.world.lease_us)
                self.batch.effects[(effect.order, effect.id)] = (effect, lease)
                self.outgoing.append(Outgoing(effect, self._mono + self.world.lease_us))
                self._unpaid[effect.connection] += 1
            elif (
                effect.connection and effect.due <= self._now and self.world.take(effect.connection)
            ):
                self._leave(effect)

    def _leave(self, effect: Effect) -> None:
        """With the start that was reserved for it, which is given back if it does not: deciding it
        may let another effect go instead, or the same one anew, with a start of its own."""
        connection, order = effect.connection, self._orders[effect.order]
        before = self._unpaid[connection]
        self._taken.append(connection)
        if not order.parked:
            due = Recorded(self.world.new_id(), self._now, "system:deliver", EffectDue(effect.id))
            self._fold(order, due)
        if self._unpaid[connection] > before:
            self._unpaid[connection] -= 1
        else:
            self._taken.remove(connection)
            self.world.give_back(connection)

    # -- poison --------------------------------------------------------------------------------

    def _poison(self, order: Order | None, recorded: Recorded, why: str, stored: bool) -> Result:
        """Park the order with a reason that holds no data of the fact, and store the fact."""
        if order is None:
            detail = "The order could not be recorded; the defect has been logged."
            return Result(refused=Refusal(Reason.INTERNAL, detail))
        cause = why.partition(":")[0][:80]
        decision = park(order, recorded, self._ctx, cause)
        self._take(decision)
        after = self._orders[order.id]
        return Result(after, parked=True) if stored else self._store_parked(after, recorded)

    def _store_parked(self, order: Order, recorded: Recorded) -> Result:
        """Keep a fact for later, in order; what only concerns a lease, or the parking itself, is
        dropped instead."""
        if isinstance(recorded.fact, EffectDue | Unparked):
            return Result(order, parked=True)
        order = replace(order, stored=order.stored + 1)
        self._orders[order.id] = self.batch.orders[order.id] = order
        item = Addressed(recorded.fact, order=order.id)
        self.batch.inbox[("parked", recorded.id)] = Inbound(
            connection="parked",
            message=recorded.id,
            at=self._now,
            type=_name(recorded.fact),
            state="parked",
            actor=recorded.actor,
            facts=encode_facts([item]),
            order=order.id,
            seq=order.stored,
        )
        return Result(order, refund=f"rf_{recorded.id}", parked=True)


def prints(signals: Signals) -> tuple[tuple[str, str], ...]:
    """The fingerprints of an order, as history is asked for by them."""
    kinds = (("card", signals.card), ("address", signals.address), ("device", signals.device))
    return tuple((kind, value) for kind, value in kinds if value)


def _reported(fact: OrderReported) -> Wanted:
    report = fact.order
    signals = report.signals
    found = Signals(signals.card, signals.address, signals.device) if signals else NO_SIGNALS
    return (report.entity, report.customer.id if report.customer else "", prints(found))


def _named(reports: Iterable[OrderReported]) -> set[tuple[str, str]]:
    """The payments that reported orders were paid with, by every id that was given of them."""
    return {
        (t.connection, psp_id)
        for report in reports
        for t in report.order.tenders
        if t.kind == "payment"
        for psp_id in (t.psp_payment_id, *_further(t.psp))
        if psp_id
    }


def _further(psp: PspIn) -> tuple[str, ...]:
    return (psp.order, psp.authorization, psp.charge, *(capture.id for capture in psp.captures))


def _name(fact: Fact) -> str:
    return type(fact).__name__


def _still_waiting(row: Inbound, waiting: list[Addressed], order: str) -> Inbound:
    """A message's row with what of it waits for an order; with nothing left, `order` is done."""
    return replace(
        row,
        state="unmatched" if waiting else "done",
        facts=encode_facts(waiting) if waiting else b"",
        refs=tuple(sorted({ref for item in waiting for ref in _refs(item)})),
        order="" if waiting else order,
    )


def _refs(item: Addressed) -> Iterable[str]:
    for connection, psp_payment_id in item.payments:
        yield f"{connection}/{psp_payment_id}"
    if item.source:
        yield f"{item.source[0]}/{item.source[1]}"
