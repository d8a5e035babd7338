"""Guards of the real engine, taken out one at a time, and the world that notices each.

    python -m tests.sim.mutations [NAME ...]      plays them and prints the table of the docs

Each patches the engine in this process; the same seeds of the same world without it are clean.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from amends.core import (
    asks,
    decide,
    events,
    facts,
    heard,
    holds,
    legs,
    lifecycle,
    news,
    order,
    postings,
    quote,
    releases,
    shares,
)
from amends.core.effects import Effect, Intent
from amends.core.order import Order
from amends.core.patience import pause_of
from amends.engine import actions, deliver, fold, intake, turn, world
from amends.engine.asks import Ask, Told
from amends.engine.fold import Fold
from amends.gateways import stripe
from amends.gateways.spec import Failure, Request, Response, Settings
from amends.kernel.outcome import Declined, Outcome
from amends.store import rows, sqlite
from amends.store.postgres import PostgresStore, PostgresTurn
from amends.store.spec import Retry, StoreUnavailable
from tests import postgres
from tests.sim import mutations_of_partners as of_partners
from tests.sim import mutations_of_small as of_small
from tests.sim.mutations_of_amounts import (
    any_goods,
    claim_stays,
    dispute_twice,
    fees_twice,
    goods_again,
    promotion_lost_again,
    wrong_rate,
)
from tests.sim.mutations_of_books import closed_is_open, number_left_out, numbered_again
from tests.sim.worlds import Mutate, Violation, shared, violations


class Mutation(msgspec.Struct, frozen=True):
    """A guard taken out: what it is, how, in which world, and within how many seeds it is found;
    `by` names the invariant, where the first to be found is not the one that counts money."""

    out: str
    mutate: Mutate
    world: str
    within: int = 1
    by: str = ""


# -- the wire ----------------------------------------------------------------------------------


def no_key(patch: pytest.MonkeyPatch) -> None:
    whole = stripe.write

    def write(intent: Intent, settings: Settings) -> Request:
        request = whole(intent, settings)
        kept = tuple(h for h in request.headers if h[0] != "Idempotency-Key")
        return Request(request.method, request.url, kept, request.body)

    patch.setattr(stripe, "write", write)


def new_keys(patch: pytest.MonkeyPatch) -> None:
    whole, sent = stripe.write, Counter[str]()

    def write(intent: Intent, settings: Settings) -> Request:
        key = getattr(intent, "key", "")
        if key:
            sent[key] += 1
            intent = replace(intent, key=f"{key}-{sent[key]}")  # type: ignore[type-var]
        return whole(intent, settings)

    patch.setattr(stripe, "write", write)


def no_look_up(patch: pytest.MonkeyPatch) -> None:
    def again(work: Any, leg_id: str) -> None:
        _, leg = work.leg(leg_id)
        pause = pause_of(leg)
        legs._round(work, leg_id, resend=True)
        work.put_leg(leg_id, doubt=True)
        legs.schedule(work, leg_id, "send", work.now + pause)

    patch.setattr(legs, "key_may_be_gone", lambda work, leg: False)
    patch.setitem(legs.TABLE_ACTIONS, "look", again)
    patch.setitem(legs.TABLE_ACTIONS, "again", again)


def timeout_is_no(patch: pytest.MonkeyPatch) -> None:
    whole = stripe.parse

    def parse(intent: Intent, result: Response | Failure) -> Outcome:
        if isinstance(result, Failure) and result.sent and getattr(intent, "key", ""):
            return Declined("timeout", result.reason)
        return whole(intent, result)

    patch.setattr(stripe, "parse", parse)


def early_wire(patch: pytest.MonkeyPatch) -> None:
    async def commit(self: turn.Turner, batch: list[Ask], poisoned: str = "") -> Fold:
        for _ in range(turn.RETRIES):
            made = Fold(self._world, batch, poisoned)
            try:
                async with self._store.turn() as open_turn:
                    await made.read(open_turn)
                    made.decide()
                    self._world.started(made.outgoing)
                    made.outgoing = []
                    await open_turn.write(made.batch)
                return made
            except Retry:
                made.undo()
            except world.BoardChanged:
                await self._world.learn_board()
            except BaseException:
                made.undo()
                raise
        raise StoreUnavailable("too many tries")

    patch.setattr(turn.Turner, "_commit", commit)


def _deaf_to(patch: pytest.MonkeyPatch, fact: type) -> None:
    patch.setitem(decide.HANDLERS, fact, lambda work, fact: None)


def deaf_to_disputes(patch: pytest.MonkeyPatch) -> None:
    _deaf_to(patch, facts.DisputeReported)


def captures_add_up(patch: pytest.MonkeyPatch) -> None:
    whole = decide.HANDLERS[facts.PaymentReported]

    def reported(work: Any, fact: facts.PaymentReported) -> None:
        payment = heard.payment_of(work.order, fact.connection, fact.psp_payment_ids)
        if payment is not None and fact.payment.captured > 0:
            both = payment.captured + fact.payment.captured
            fact = replace(fact, payment=replace(fact.payment, captured=both))
        whole(work, fact)

    patch.setitem(decide.HANDLERS, facts.PaymentReported, reported)


def deaf_to_fraud(patch: pytest.MonkeyPatch) -> None:
    _deaf_to(patch, facts.FraudWarned)


def deaf_to_failures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(heard, "_capture_failed", lambda work, payment, state: None)


# -- several at once ---------------------------------------------------------------------------


def no_lock(patch: pytest.MonkeyPatch) -> None:
    whole = PostgresStore.migrate

    async def lock(self: PostgresTurn, order_ids: Any) -> dict[str, Order]:
        sql = "SELECT state FROM orders WHERE id = ANY($1)"
        found = [rows.to_order(row[0]) for row in await self._fetch(sql, list(order_ids))]
        self._locked.update({order.id: order for order in found})
        return {order.id: order for order in found}

    async def migrate(self: PostgresStore) -> None:
        await whole(self)
        async with self.writing() as connection:
            for table in ("events", "entries", "postings", "documents_due"):
                sql = f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey CASCADE"
                await connection.execute(text(sql))

    patch.setattr(PostgresTurn, "lock", lock)
    patch.setattr(PostgresStore, "migrate", migrate)


def no_lease(patch: pytest.MonkeyPatch) -> None:
    whole = deliver.Deliverer._deliver

    async def deliver_(self: Any, item: fold.Outgoing, turner: Any) -> None:
        await whole(self, replace(item, until=2**62), turner)

    patch.setattr(deliver.Deliverer, "_deliver", deliver_)


def no_effect_left(patch: pytest.MonkeyPatch) -> None:
    whole = Fold._start

    def start(self: Fold, decision: Any) -> None:
        whole(self, decision)
        for out in self.outgoing:
            key = (out.effect.order, out.effect.id)
            if self.batch.effects.pop(key, None):
                self.batch.done.add(key)

    patch.setattr(Fold, "_start", start)


def no_lease_end(patch: pytest.MonkeyPatch) -> None:
    whole = rows.effect

    def effect(e: Effect, lease: Any) -> Any:
        return whole(e, replace(lease, until=2**62) if lease else None)

    patch.setattr(rows, "effect", effect)


# -- decisions ---------------------------------------------------------------------------------


def _no_row_checks(patch: pytest.MonkeyPatch) -> None:
    """The database takes amounts that its CHECK would refuse, which would park the order."""
    prepare = sqlite._prepare

    def unchecked(execute: Any) -> None:
        prepare(execute)
        execute("PRAGMA ignore_check_constraints = ON")

    patch.setattr(sqlite, "_prepare", unchecked)


def no_balance(patch: pytest.MonkeyPatch) -> None:
    def compute(of: Order, request: Any, *more: Any) -> Any:
        blank = replace(of, refunds=(), payments=tuple(map(_untouched, of.payments)))
        if request.amount is not None and len(blank.payments) == 1 and blank.remaining:
            (payment,) = blank.payments
            blank = replace(blank, payments=(replace(payment, captured=2**40),))
        return whole(blank, request, *more)

    whole = quote.compute
    _no_row_checks(patch)
    patch.setattr(asks, "compute", compute)
    patch.setattr(legs, "remaining", lambda payment: 2**40)
    patch.setattr(holds, "remaining", lambda payment: 2**40)


def _untouched(payment: Any) -> Any:
    names = ("pending_ours", "refunded_ours", "credited_ours", "external", "disputed", "voiding")
    return replace(payment, **dict.fromkeys(names, 0))


def answers_twice(patch: pytest.MonkeyPatch) -> None:
    _no_row_checks(patch)
    for word in ("said_succeeded", "heard_succeeded"):
        patch.setattr(lifecycle, "IGNORED", lifecycle.IGNORED - {("succeeded", word)})
        patch.setitem(lifecycle.TABLE, ("succeeded", word), ("succeeded", ("settle", "finish")))


def stale_news(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(legs, "asked_status", lambda leg, status, asked_at: f"said_{status}")


def whole_for_a_part(patch: pytest.MonkeyPatch) -> None:
    """A part of an authorization is released by releasing all of it."""
    whole = legs._fix_bytes
    fix = lambda work, leg: work.put_leg(whole(work, leg).id, rest=0)  # noqa: E731
    patch.setattr(legs, "_fix_bytes", fix)


def reversed_is_released(patch: pytest.MonkeyPatch) -> None:
    """What a reversal gave back is taken for an authorization that it let go."""

    def reported(work: Any, fact: facts.ReversalReported) -> None:
        payment = heard.payment_of(work.order, fact.connection, fact.psp_payment_ids)
        if payment is not None and fact.refund.status == "succeeded":
            releases.gone(work, payment.id)

    patch.setitem(decide.HANDLERS, facts.ReversalReported, reported)


def late_failure_unbooked(patch: pytest.MonkeyPatch) -> None:
    whole = legs.TABLE_ACTIONS["unsettle"]

    def unsettle(work: Any, leg_id: str) -> None:
        book = work.book
        work.book = lambda entry: None
        whole(work, leg_id)
        work.book = book

    patch.setitem(legs.TABLE_ACTIONS, "unsettle", unsettle)


def payout_from_revenue(patch: pytest.MonkeyPatch) -> None:
    """A payout, and its way back, come off sales returns; the debt to the customer stays."""
    whole = postings._entry

    def entry(of: Order, at: Any, kind: Any, *given: Any) -> Any:
        refund, leg, psp, lines, *more = given
        if kind in ("payout", "payout_failed"):
            names = {"refunds_payable": "sales_returns"}
            lines = [(names.get(account, account), amount) for account, amount in lines]
        return whole(of, at, kind, refund, leg, psp, lines, *more)

    patch.setattr(postings, "_entry", entry)


def nothing_converted(patch: pytest.MonkeyPatch) -> None:
    whole = postings._convert_sides

    def convert_sides(*given: Any) -> Any:
        return tuple(replace(posting, functional=0) for posting in whole(*given))

    patch.setattr(postings, "_convert_sides", convert_sides)


def hasty_no(patch: pytest.MonkeyPatch) -> None:
    whole = news._declined

    def declined(work: Any, leg: Any, *more: Any) -> None:
        whole(work, work.put_leg(leg.id, doubt=False), *more)

    patch.setattr(news, "_declined", declined)


def unreserved_review(patch: pytest.MonkeyPatch) -> None:
    _no_row_checks(patch)
    whole, approve = asks.reserve, asks.approve_all

    def reserve(work: Any, leg_id: str) -> None:
        refund, leg = work.leg(leg_id)
        if not (leg.state == "planned" and refund.stage == "review" and refund.decide_by):
            whole(work, leg_id)

    def approve_all(work: Any, refund_id: str) -> None:
        refund = work.refund(refund_id)
        if refund.decide_by:
            for leg in refund.legs:
                whole(work, leg.id)
        approve(work, refund_id)

    patch.setattr(asks, "reserve", reserve)
    patch.setattr(asks, "approve_all", approve_all)


def lost_cents(patch: pytest.MonkeyPatch) -> None:
    """Every tax is rounded down on its own, and the rest is called net."""

    def part(item_id: str, quantity: int, gross: int, left: Any) -> Any:
        whole = max(1, left.gross)
        taxes = tuple(
            shares.TaxShare(name, tax * gross // whole) for name, tax in left.taxes.items()
        )
        taxes = tuple(tax for tax in taxes if tax.amount)
        lost = 1 if gross == left.gross and taxes and taxes[0].amount > 1 else 0
        if lost:
            taxes = (shares.TaxShare(taxes[0].name, taxes[0].amount - 1), *taxes[1:])
        net = gross - sum(tax.amount for tax in taxes)
        return shares.LineShare(item_id, quantity, net, taxes)

    patch.setattr(quote, "_part", part)


def given_up(patch: pytest.MonkeyPatch) -> None:
    """What was not executed is called failed instead of tried again."""
    patch.setitem(lifecycle.TABLE, ("unknown", "not_found_late"), ("failed", ("release",)))


# -- messages and the trail --------------------------------------------------------------------


def duplicates_count(patch: pytest.MonkeyPatch) -> None:
    whole = Fold._inbox

    def inbox(self: Fold, ask: Ask, message: Any, results: Any) -> None:
        if (message.connection, message.message) not in self._seen:
            whole(self, ask, message, results)

    patch.setattr(Fold, "_is_known", lambda self, message, late: False)
    patch.setattr(Fold, "_inbox", inbox)


def hasty_ack(patch: pytest.MonkeyPatch) -> None:
    whole = turn.Turner.submit

    def submit(self: turn.Turner, ask: Ask) -> asyncio.Future[Told]:
        told = whole(self, ask)
        if ask.message is None or ask.late:
            return told
        told.add_done_callback(lambda done: done.cancelled() or done.exception())
        said: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        said.set_result(Told())
        return said

    patch.setattr(turn.Turner, "submit", submit)


def notes_on_the_trail(patch: pytest.MonkeyPatch) -> None:
    def apart(engine: Any, item: Any, fact: Any) -> Any:
        return replace(item, fact=replace(fact, note_hash=fact.request.note)), ()

    for module in (actions, intake):
        patch.setattr(module, "note_apart", apart)


def unchained(patch: pytest.MonkeyPatch) -> None:
    whole = events.chain
    patch.setattr(events, "chain", lambda previous, body: whole(order.GENESIS, body))


MUTATIONS: dict[str, Mutation] = {
    "no key": Mutation("the Idempotency-Key header", no_key, "late requests"),
    "new key per retry": Mutation("the key stays that of its attempt", new_keys, "late requests"),
    "resend without look-up": Mutation(
        "after an unknown outcome, and past the key's retention, first look", no_look_up, "silence"
    ),
    "no order lock": Mutation(
        "FOR UPDATE on orders, and the keys of the trail and the books that would refuse the second"
        " writer",
        no_lock,
        "two workers",
        by="I1",
    ),
    "no balance check": Mutation(
        "what is left of payment and lines, and the CHECK of the row", no_balance, "generous"
    ),
    "answer applied twice": Mutation(
        "news that says what is known already changes nothing", answers_twice, "quiet"
    ),
    "stale webhook goes backwards": Mutation(
        "a webhook is not the provider's newest word", stale_news, "out of order"
    ),
    "effect removed at send": Mutation(
        "the effect's row stays, leased, while its request is out", no_effect_left, "crashes"
    ),
    "lease without an end": Mutation("a lease runs out", no_lease_end, "crashes"),
    "late failure not booked": Mutation(
        "the entry that books a payout back", late_failure_unbooked, "out of order"
    ),
    "payout from revenue": Mutation(
        "what is paid out comes off what we owe", payout_from_revenue, "quiet"
    ),
    "nothing converted": Mutation(
        "the books in their own currency are the amounts at the rate", nothing_converted, "quiet"
    ),
    "intent after the wire": Mutation(
        "nothing leaves before its intent is committed", early_wire, "retries"
    ),
    "timeout is a no": Mutation(
        "a request without an answer may have been executed", timeout_is_no, "lost answers"
    ),
    "lease ignored": Mutation("the lease is looked at before the first byte", no_lease, "sleepers"),
    "dispute not heard": Mutation(
        "what a dispute took is no longer ours to refund", deaf_to_disputes, "others"
    ),
    "captures add up": Mutation(
        "what was captured is what was told, however often", captures_add_up, "others"
    ),
    "fraud warning not heard": Mutation(
        "a fraud warning counts for later refunds", deaf_to_fraud, "others"
    ),
    "failed capture not heard": Mutation(
        "what a capture took that failed later is no longer ours to refund",
        deaf_to_failures,
        "failed captures",
    ),
    "whole for a part": Mutation(
        "a part of an authorization is released by capturing the rest", whole_for_a_part, "held"
    ),
    "reversal taken for a release": Mutation(
        "what was captured unsaid and is reversed was refunded", reversed_is_released, "held", 2
    ),
    "review reserves nothing": Mutation(
        "what waits for a person is set aside", unreserved_review, "quiet"
    ),
    "a cent lost": Mutation(
        "the last part takes the exact residue of each tax", lost_cents, "quiet"
    ),
    "not executed, given up": Mutation(
        "what was not executed is tried again", given_up, "errors", by="liveness"
    ),
    "duplicate acted on": Mutation(
        "a message that is in the inbox is not folded again", duplicates_count, "quiet"
    ),
    "acknowledged before the commit": Mutation(
        "a webhook is answered after its commit", hasty_ack, "crashes"
    ),
    "note on the trail": Mutation("what a person wrote is kept apart", notes_on_the_trail, "quiet"),
    "trail not chained": Mutation("an event's hash covers the one before", unchained, "quiet"),
    "clawback taken twice": Mutation(
        "what was kept back of a promotion before counts", promotion_lost_again, "units"
    ),
    "fee taken twice": Mutation("a fee is kept back once", fees_twice, "units"),
    "dispute booked twice": Mutation(
        "what of a dispute is on the books already is not booked again", dispute_twice, "others"
    ),
    "exchanged at another rate": Mutation(
        "what left is booked at what the provider took for it", wrong_rate, "quiet"
    ),
    "claim not reversed": Mutation(
        "what ends unpaid is reversed on the books", claim_stays, "given up", 3
    ),
    "goods back twice": Mutation(
        "a parcel of returned goods is taken up once", goods_again, "quiet"
    ),
    "goods that never left": Mutation(
        "no unit comes back that was not shipped, or was back before", any_goods, "quiet"
    ),
    "number left out": Mutation(
        "credit notes are numbered without a gap", number_left_out, "quiet"
    ),
    "numbered again": Mutation("a credit note gets one number", numbered_again, "quiet"),
    "posted into a closed month": Mutation(
        "what is late for a closed month is posted after it", closed_is_open, "month's end", 2
    ),
    "held for ever": Mutation(
        "what is held is paid once it is enough", of_small.held_for_ever, "small amounts"
    ),
    "held and not owed": Mutation(
        "what is held is claimed on the books", of_small.held_and_not_owed, "small amounts"
    ),
    "small amounts sent": Mutation(
        "what is less than the minimum is held", of_small.small_leaves, "small amounts"
    ),
    "paid together for one": Mutation(
        "what is paid together is for all that was held",
        of_small.one_of_them_forgotten,
        "small amounts",
    ),
    **{name: Mutation(*found) for name, found in of_partners.TOLD.items()},
}


# -- the table of the docs ---------------------------------------------------------------------

HEAD = """| mutation | what was taken out | found by | seeds needed |
|---|---|---|---|
"""


def row(name: str, seed: int, by: list[Violation]) -> str:
    """One line of the table: the first seed that found it and what it broke there."""
    mutation = MUTATIONS[name]
    rules = ", ".join(sorted({violation[1] for violation in by})) or "**nothing**"
    said = f"{seed}, {mutation.within} allowed" if by else f"none of {mutation.within}"
    return f"| {name} | {mutation.out} | {rules} | {said} |\n"


def first(name: str, server: str) -> tuple[int, list[Violation]]:
    """The first seed that finds a mutation, and its violations; (0, []) if none does."""
    mutation = MUTATIONS[name]
    for seed in range(1, mutation.within + 1):
        with tempfile.TemporaryDirectory() as folder, place(mutation.world, server, folder) as url:
            if by := violations(
                mutation.world, seed, url, Path(folder), mutation.mutate, mutation.by
            ):
                return seed, by
    return 0, []


@contextmanager
def place(world: str, server: str, folder: str | Path) -> Iterator[str]:
    """The URL of an empty database for a world."""
    if not shared(world):
        yield f"sqlite:///{Path(folder) / 'amends.db'}"
        return
    with postgres.database(server, f"world_{uuid4().hex[:12]}") as url:
        yield url


def main() -> None:
    names = sys.argv[1:] or list(MUTATIONS)
    with postgres.supervised() as server:
        sys.stdout.write(HEAD)
        for name in names:
            sys.stdout.write(row(name, *first(name, server)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
