"""The same batches give the same rows on SQLite and on PostgreSQL (invariant I14)."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from amends.core.history import Draw, Label, Sight, Tally
from amends.core.order import Order, Stage
from amends.store.open import connect
from amends.store.spec import Batch, Inbound, Lease, NoteText, Person, Retry, RowRefused, Store
from tests.store.examples import NOW, an_order, payment_of, recorded, refunded
from tests.store.sql import everything, write
from tests.store.test_judgements import a_judgement

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.integers(-(2**64), 2**64) | st.integers(0, 20_000)

REFUND = st.tuples(st.just("refund"), st.integers(0, 2), st.integers(1, 6000), st.booleans())
MONEY = st.tuples(st.just("money"), st.integers(0, 2), NUMBER, st.booleans())
PERSON = st.tuples(st.just("person"), TEXT, TEXT, NUMBER)
NOTE = st.tuples(st.just("note"), st.integers(0, 3), TEXT, st.just(0))
MESSAGE = st.tuples(
    st.just("message"),
    st.integers(0, 3),
    st.sampled_from(["done", "ignored", "unmatched", "parked"]),
    st.lists(TEXT, max_size=3),
)
DAY = st.tuples(st.just("day"), st.integers(0, 2), NUMBER, NUMBER)
LABEL = st.tuples(st.just("label"), st.integers(0, 2), NUMBER, st.booleans())
DRAW = st.tuples(st.just("draw"), st.integers(0, 2), NUMBER, NUMBER)
STAGE = st.tuples(st.just("stage"), st.integers(0, 2), st.booleans(), NUMBER)
Act = tuple[str, int | str, int | str, bool | int | list[str]]
TURNS = st.lists(
    st.lists(
        REFUND | MONEY | PERSON | NOTE | MESSAGE | DAY | LABEL | DRAW | STAGE,
        min_size=1,
        max_size=4,
    ),
    max_size=5,
)

_examples = itertools.count()


@pytest.fixture
async def both(postgres_url: str, tmp_path: Path) -> AsyncIterator[list[Store]]:
    stores = [connect(f"sqlite:///{tmp_path}/amends.db"), connect(postgres_url)]
    for store in stores:
        await store.migrate()
        await store.open()
    yield stores
    for store in stores:
        await store.close()


def batch_of(acts: list[Act], orders: list[Order], prefix: str) -> tuple[Batch, list[Order]]:
    """The batch of these acts on three orders, and the orders as they would be after it."""
    batch, orders = Batch(), list(orders)
    for place, act in enumerate(acts):
        match act:
            case ("refund", int(n), int(amount), leased):
                lease = Lease("p", NOW + 9) if leased else None
                orders[n], batch = refunded(orders[n], batch, amount, lease)
            case ("money", int(n), int(value), ours):
                column = "credited_ours" if ours else "external"
                orders[n] = payment_of(orders[n], **{column: value})
                batch.orders[orders[n].id] = orders[n]
            case ("person", str(name), str(id_), int(at)):
                batch.people.append(Person(prefix, id_, name, name, "", at))
            case ("note", int(id_), str(text), _):
                note_id = f"{prefix}-{id_}-{place}"
                batch.notes.append(NoteText(note_id, orders[0].id, "", text, 0))
            case ("message", int(n), str(state), list(refs)):
                row = Inbound(prefix, f"m{n}", n, "", state, "", refs=tuple(refs))
                batch.inbox[prefix, row.message] = row
            case ("stage", int(n), waits, int(due)):
                orders[n] = staged(orders[n], "review" if waits else "active", due, batch)
            case _:
                _known(batch, orders, prefix, act)
    return batch, orders


def _known(batch: Batch, orders: list[Order], prefix: str, act: Act) -> None:
    """What a decision says of the customer and of the refund."""
    match act:
        case ("day", int(n), int(value), int(largest)):
            tally = Tally(prefix, f"c{n}", 20_000, 1, value, largest)
            batch.tallies.append(tally)
            batch.sights.append(Sight("card", "a" * 64, prefix, f"c{n}"))
        case ("label", int(n), int(at), bool(abuse)):
            batch.labels.append(Label(orders[n].id, prefix, at, "person", abuse))
            batch.judged.append(a_judgement(n, at, order=orders[n].id, refund=prefix))
        case ("draw", int(n), int(amount), int(count)):
            batch.draws.append(Draw(f"{prefix}{n}", amount, count))


def staged(order: Order, stage: Stage, due: int, batch: Batch) -> Order:
    """Its last refund, if it has one, waits for a person or no longer does."""
    if not order.refunds:
        return order
    *others, last = order.refunds
    fresh = msgspec.structs.replace(last, stage=stage, decide_by=due)
    order = msgspec.structs.replace(order, refunds=(*others, fresh))
    batch.orders[order.id] = order
    batch.refunds.add((order.id, fresh.id))
    return order


async def outcome(store: Store, batch: Batch) -> str:
    try:
        await write(store, batch)
    except (Retry, RowRefused) as error:
        return type(error).__name__
    return "written"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=TURNS)
@example(turns=[[("message", 0, "done", [])], [("message", 0, "done", []), ("note", 0, "\0", 0)]])
async def test_the_same_batches_give_the_same_rows(
    both: list[Store], turns: list[list[Act]]
) -> None:
    prefix = f"x{next(_examples)}-"
    made = [recorded(an_order(n, prefix)) for n in range(3)]
    orders = [order for order, _ in made]
    for store in both:
        await write(store, *(batch for _, batch in made))
    for acts in turns:
        batch, after = batch_of(acts, orders, prefix)
        ends = {await outcome(store, batch) for store in both}
        # Two things wrong with one batch: which is met first may differ, nothing is written anyhow.
        assert ends == {"written"} or "written" not in ends
        if ends == {"written"}:
            orders = after
        sqlite, postgres = [await everything(store) for store in both]
        assert sqlite == postgres
    for store in both:
        assert [await store.order(order.id) for order in orders] == orders


async def test_the_same_reads(both: list[Store]) -> None:
    orders = [msgspec.structs.replace(an_order(n), last_at=NOW + n % 3) for n in range(12)]
    for store in both:
        for order in orders:
            order, batch = recorded(order)
            await write(store, batch, refunded(order)[1])
    one, other = both
    for page in ("orders", "refunds", "entries"):
        cursor = ""
        for _ in range(4):
            arguments: tuple[object, ...] = (cursor, 5) if page == "orders" else ({}, cursor, 5)
            first, second = [await getattr(store, page)(*arguments) for store in (one, other)]
            assert first == second
            cursor = first.next
            if not cursor:
                break
        assert not cursor
    assert await one.balances(None) == await other.balances(None)
    assert await one.streams("", 50) == await other.streams("", 50)
    assert await one.counts(NOW) == await other.counts(NOW)
    for store in both:
        batch = Batch()
        for n, order in enumerate(orders):
            batch.judged.append(a_judgement(n, NOW + n % 3, order=order.id))
            batch.tallies.append(Tally("main", f"c-{n % 3}", 20_000 - n * 29, n, n, n, n, n, n))
            batch.sights.append(Sight("card", f"{n % 2}", "main", f"c-{n % 3}"))
        await write(store, batch)
    assert await one.decisions(0, NOW + 2, None, 9) == await other.decisions(0, NOW + 2, None, 9)
    assert await one.amounts(0) == await other.amounts(0)
    wanted = [("main", f"c-{n}", (("card", "0"), ("card", "1"))) for n in range(4)]
    found = []
    for store in both:
        async with store.turn() as turn:
            found.append(await turn.history(wanted, 20_000))
    assert found[0] == found[1]
    assert found[0]["main", "c-1"].card_others == 2
