"""What a person, a program or an agent may do. Every door calls these and nothing else.

Each takes the caller (`Caller`) and gives back what it is told after the commit. Business refusals
are in the results; Refused is raised only for what cannot be addressed to any order.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from amends.core.asks import check_request
from amends.core.decide import weighed
from amends.core.decision import Ctx
from amends.core.events import Event, link
from amends.core.facts import (
    Addressed,
    Basis,
    Canceled,
    Fact,
    OrderReported,
    PaidOutside,
    Recorded,
    RefundRequested,
    Retried,
    Unparked,
    WriteOffReversed,
    WrittenOff,
)
from amends.core.order import Order
from amends.core.orders import check_order, order_id
from amends.core.quote import Quote, basis_of
from amends.core.reasons import Reason, Refused
from amends.core.requests import OrderIn, OrderKey, RefundIn, SignalsIn
from amends.engine.asks import Ask, Rendered, Result, Told
from amends.engine.wiring import Engine
from amends.kernel.canon import digest
from amends.kernel.time import DAY, MINUTE, Instant, day_of
from amends.store.records import Head
from amends.store.spec import AnswerKey, NoteText, Person, Principal, QuoteRow

QUOTE_FOR = 30 * MINUTE
Render = Callable[[Result], Rendered]
RenderQuote = Callable[[Order, Quote, str, Instant], Rendered]

SCOPES = (
    "admin",
    "orders:write",
    "refunds:write",
    "refunds:approve",
    "policies:write",
    "read",
    "ledger:read",
)


class Caller(msgspec.Struct, frozen=True):
    """Who calls: `actor` goes on the trail ("key:support"), `principal` owns idempotency keys.

    `key` is the Idempotency-Key, "" for none; `route` what it was used on; `render` makes the
    answer inside the turn, so that it is stored in the commit of the decision.
    """

    actor: str
    principal: str
    route: str = ""
    key: str = ""
    render: Render | None = None


async def report_order(engine: Engine, caller: Caller, report: OrderIn) -> Told:
    """Record an order, or a newer version of it. Raises Refused for one that contradicts itself,
    also where it repeats a version that is known."""
    check_order(report)
    bare, people = person_apart(engine, OrderReported(report))
    plain = msgspec.to_builtins(report)
    for part in ("customer", "signals"):
        if part in plain:
            plain[part] = digest([caller.key, plain[part]])
    item = Addressed(bare, order=order_id(report.source))
    return await _submit(engine, caller, item, plain, people=people)


def person_apart(engine: Engine, fact: OrderReported) -> tuple[OrderReported, tuple[Person, ...]]:
    """Only id, country and age of the customer may reach a fact; the rest goes to `people` (I15),
    and of fingerprints there are only hashes."""
    report = fact.order
    if report.signals is not None:
        report = msgspec.structs.replace(report, signals=_hashed(report.signals))
    if report.customer is None:
        return OrderReported(report), ()
    c, at = report.customer, engine.clock.now()
    bare = msgspec.structs.replace(c, email="", name="")
    person = Person(report.entity, c.id, c.email, c.name, c.country, at)
    return OrderReported(msgspec.structs.replace(report, customer=bare)), (person,)


def _hashed(said: SignalsIn) -> SignalsIn:
    """Which fingerprints are the same can still be told, and nothing else of them."""
    texts = {name: getattr(said, name) for name in ("card", "address", "device")}
    hashes = {name: hashlib.sha256(t.encode()).hexdigest() for name, t in texts.items() if t}
    return msgspec.structs.replace(said, **hashes)


async def request_refund(engine: Engine, caller: Caller, request: RefundIn) -> Told:
    """Ask for money back. Raises Refused where no order is named or the quote is unknown."""
    check_request(request)
    plain = msgspec.to_builtins(request)
    if request.note:
        plain["note"] = digest([caller.key, request.note])
    item, notes = note_apart(engine, *await _address(engine, request))
    return await _submit(engine, caller, item, plain, notes=notes)


def note_apart(
    engine: Engine, item: Addressed, fact: RefundRequested
) -> tuple[Addressed, tuple[NoteText, ...]]:
    """A fact names its note and holds the salted hash; the text goes beside it (I15)."""
    text = fact.request.note
    if not text:
        return msgspec.structs.replace(item, fact=fact), ()
    note_id, salt = f"nt_{engine.new_id()}", engine.ids.salt()
    bare = msgspec.structs.replace(
        fact,
        request=msgspec.structs.replace(fact.request, note=""),
        note_id=note_id,
        note_hash=digest([salt, text]),
    )
    order = item.order or (order_id(OrderKey(*item.source)) if item.source else "")
    note = NoteText(note_id, order, salt, text, engine.clock.now())
    return msgspec.structs.replace(item, fact=bare), (note,)


async def quoted_fact(engine: Engine, request: RefundIn) -> tuple[str, RefundRequested]:
    """The order and the fact of a request that commits a quote. Raises Refused where there is no
    such quote, it is of another order than the one named, or its hash is not the one named."""
    row = await engine.store.quote(request.quote or "")
    if row is None:
        raise Refused(Reason.UNKNOWN_QUOTE)
    named = request.order
    if named is not None and (named if isinstance(named, str) else order_id(named)) != row.order:
        raise Refused(Reason.QUOTE_OF_ANOTHER_ORDER, order=row.order)
    if request.hash not in ("", row.hash):
        raise Refused(Reason.QUOTE_ALTERED)
    quoted = msgspec.json.decode(row.request, type=_Quoted)
    fields = {name: getattr(quoted, name) for name in RefundIn.__struct_fields__}
    bare = RefundIn(**{**fields, "note": request.note})
    return row.order, RefundRequested(bare, row.hash, row.expires_at, quote_basis=quoted.basis)


class _Quoted(RefundIn, frozen=True):
    """A quoted request as it is kept, with what its quote was made on."""

    basis: Basis | None = None


async def _address(engine: Engine, request: RefundIn) -> tuple[Addressed, RefundRequested]:
    if request.quote is not None:
        order, fact = await quoted_fact(engine, request)
        return Addressed(fact, order=order), fact
    fact = RefundRequested(request)
    if isinstance(request.order, str):
        return Addressed(fact, order=request.order), fact
    if request.order is not None:
        source = (request.order.connection, request.order.order_id)
        return Addressed(fact, order=order_id(request.order), source=source), fact
    if request.payment is not None:
        ref = (request.payment.connection, request.payment.psp_payment_id)
        return Addressed(fact, payments=(ref,)), fact
    raise Refused(Reason.VALIDATION, "Name the order, the payment or the quote.", pointer="/order")


async def make_quote(engine: Engine, caller: Caller, request: RefundIn, show: RenderQuote) -> Told:
    """The amount a request would come to; `show` makes the answer of (order, quote, quote id, end).
    Raises Refused, of which nothing is stored: a quote that cannot be made may be asked again."""
    check_request(request)
    if request.quote is not None:
        raise Refused(Reason.VALIDATION, "A quote is of an order.", pointer="/quote")
    plain = msgspec.to_builtins(request)
    plain["note"] = digest([caller.key, request.note])
    first = await _repeat(engine, caller, plain)
    if first.answer is not None:
        return first
    order = await _quoted_order(engine, request)
    now = engine.clock.now()
    bare = msgspec.structs.replace(request, note="")
    recorded = Recorded(engine.new_id(), now, caller.actor, RefundRequested(bare))
    ctx = await _quoting(engine, order, now)
    quote = weighed(order, bare, recorded, ctx).quote
    quote_id, ends = f"qt_{recorded.id}", now + QUOTE_FOR
    ask = ask_of(caller, (), plain)
    ask.render = lambda _: show(order, quote, quote_id, ends)
    fields = {name: getattr(bare, name) for name in RefundIn.__struct_fields__}
    kept = _Quoted(**fields, basis=basis_of(order, ctx.policy.version))
    ask.quotes = [QuoteRow(quote_id, order.id, msgspec.json.encode(kept), quote.hash, ends)]
    return await engine.turner.submit(ask)


async def _quoting(engine: Engine, order: Order, now: Instant) -> Ctx:
    """What a quote is judged by: as a request is, but that no cap is drawn on, nobody else with the
    same card, address or device is looked for, and no lock is held."""
    ctx = engine.ctx(now)
    if not order.customer:
        return ctx
    history = await engine.store.customer_history(order.entity, order.customer, now // DAY)
    return msgspec.structs.replace(ctx, history={order.id: history})


async def _repeat(engine: Engine, caller: Caller, plain: dict[str, Any]) -> Told:
    """The first answer under the caller's key, if there was one: looked up in a turn, where equal
    keys meet."""
    if not caller.key:
        return Told()
    ask = ask_of(caller, (), plain)
    ask.render = None
    return await engine.turner.submit(ask)


async def _quoted_order(engine: Engine, request: RefundIn) -> Order:
    item, _ = await _address(engine, request)
    identifier = item.order
    if not identifier and request.payment is not None:
        found = await engine.store.payment(request.payment.psp_payment_id)
        identifier = found[0] if found else ""
    order = await engine.store.order(identifier) if identifier else None
    if order is None:
        raise Refused(Reason.UNKNOWN_PAYMENT if request.payment else Reason.UNKNOWN_ORDER)
    return order


async def cancel(engine: Engine, caller: Caller, refund: str) -> Told:
    """Take a refund back before anything left."""
    return await _on_refund(engine, caller, refund, Canceled(refund))


async def retry(engine: Engine, caller: Caller, refund: str) -> Told:
    """Try a failed refund again."""
    return await _on_refund(engine, caller, refund, Retried(refund))


async def payout(engine: Engine, caller: Caller, fact: PaidOutside) -> Told:
    """Record that a person paid by other means what no provider pays, and under which reference."""
    more = {"reference": fact.reference, "way": fact.way, "consent": fact.consent}
    return await _on_refund(engine, caller, fact.refund, fact, more)


async def write_off(
    engine: Engine, caller: Caller, order: str, account: str, amount: int, why: str
) -> Told:
    """Write a small difference off one of an order's accounts."""
    fact = WrittenOff(account, amount, digest(why))
    plain = {"account": account, "amount": amount, "why": fact.why}
    return await _submit(engine, caller, Addressed(fact, order=order), plain)


async def reverse(engine: Engine, caller: Caller, order: str, entry: int, why: str) -> Told:
    """Take a write-off back."""
    fact = WriteOffReversed(entry, digest(why))
    plain = {"entry": entry, "why": fact.why}
    return await _submit(engine, caller, Addressed(fact, order=order), plain)


async def unpark(engine: Engine, caller: Caller, order: str, why: str = "") -> Told:
    """Let a parked order go on; what was stored is folded in order."""
    fact = Unparked(digest(why) if why else "")
    return await _submit(engine, caller, Addressed(fact, order=order), {"why": fact.why})


async def _on_refund(
    engine: Engine, caller: Caller, refund: str, fact: Fact, more: dict[str, str] | None = None
) -> Told:
    order = await engine.store.refund_order(refund)
    if order is None:
        raise Refused(Reason.UNKNOWN_REFUND)
    plain = {"refund": refund, "what": type(fact).__name__, "shown": getattr(fact, "shown", "")}
    plain |= more or {}
    return await _submit(engine, caller, Addressed(fact, order=order), plain)


async def _submit(
    engine: Engine,
    caller: Caller,
    item: Addressed,
    plain: dict[str, Any],
    people: tuple[Person, ...] = (),
    notes: tuple[NoteText, ...] = (),
) -> Told:
    ask = ask_of(caller, (item,), plain)
    ask.people, ask.notes = people, notes
    return await engine.turner.submit(ask)


def ask_of(caller: Caller, facts: tuple[Addressed, ...], plain: dict[str, Any]) -> Ask:
    return Ask(
        facts,
        caller.actor,
        asyncio.get_running_loop().create_future(),
        key=AnswerKey(caller.principal, caller.route, caller.key) if caller.key else None,
        body_hash=digest(plain),
        request=msgspec.json.encode(plain),
        render=caller.render,
    )


# -- keys --------------------------------------------------------------------------------------


def hash_key(secret: str) -> str:
    """Keys are 256 random bits, so a plain SHA-256 of them is enough to store."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def create_key(
    engine: Engine, actor: str, name: str, scopes: tuple[str, ...]
) -> tuple[Principal, str]:
    """A new API key; the secret is in the answer and nowhere else. Raises Refused."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes or not name:
        raise Refused(
            Reason.VALIDATION,
            f"Scopes are {', '.join(SCOPES)}; {', '.join(unknown) or 'none'} given.",
            pointer="/scopes",
        )
    secret = f"amk_{secrets.token_urlsafe(32)}"
    principal = Principal(f"prn_{engine.new_id()}", name, scopes, engine.clock.now())
    body = {"principal": principal.id, "name": name, "scopes": list(scopes)}
    await _system_event(engine, actor, "key.created", body)  # first: no key without its event
    await engine.store.add_principal(principal, hash_key(secret))
    return principal, secret


async def revoke_key(engine: Engine, actor: str, principal_id: str) -> bool:
    """Whether there was such a key to revoke."""
    done = await engine.store.revoke(principal_id, engine.clock.now())
    if done:
        await _system_event(engine, actor, "key.revoked", {"principal": principal_id})
    return done


async def close_period(engine: Engine, period: str, entity: str, actor: str) -> None:
    """Close a month of an entity's books ("2026-10"), and all before it, for good.

    Raises Refused: it is no month, is not over yet, or is closed already; nobody is that entity.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", period):
        raise Refused(Reason.VALIDATION, f"{period!r} is no month; write it like 2026-10.")
    now, fact = engine.clock.now(), engine.new_id()
    if day_of(now)[:7] <= period:
        raise Refused(Reason.PERIOD_NOT_OVER, f"{period} has not ended yet, in UTC.")
    body = {"entity": entity, "period": period}

    def make(head: Head) -> Event:
        return link(
            head.stream, head.seq + 1, head.hash, now, "period.closed", actor, fact, "", body
        )

    if entity != "main" and not await engine.store.has_orders(entity):
        raise Refused(
            Reason.VALIDATION,
            f"No order is of the legal entity {entity!r}; look at how it is spelt.",
            pointer="/entity",
        )
    if not await engine.store.close_period(entity, period, now, actor, make):
        raise Refused(Reason.PERIOD_CLOSED, f"{period} is closed already, and stays so.")


async def _system_event(engine: Engine, actor: str, type_: Any, body: dict[str, Any]) -> None:
    now, fact = engine.clock.now(), engine.new_id()

    def make(head: Head) -> Any:
        return link("system:keys", head.seq + 1, head.hash, now, type_, actor, fact, "", body)

    await engine.store.append_system("system:keys", make)
