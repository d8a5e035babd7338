"""Every statement of a busy day finds its rows by an index, and every index serves a statement."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import Connection, event, text

from amends.core.documents import DueDocument
from amends.core.history import Draw, Label, Sight, Tally
from amends.store.outbox_spec import Came, Counted
from amends.store.reads import encode_cursor
from amends.store.records import ShopStats
from amends.store.schema import metadata
from amends.store.spec import Inbound, NoteText, Store
from amends.store.sqlite import SqliteTurn
from tests.store.conftest import POSTGRES, SQLITE
from tests.store.examples import NOW, an_order, recorded, refunded
from tests.store.sql import cold, write
from tests.store.test_credit_notes import NOTE
from tests.store.test_judgements import a_judgement
from tests.store.test_ledger import a_batch, an_entry
from tests.store.test_outbox import books
from tests.store.test_rulebook import DRAFT, MODEL, POLICY, SAID, STOP
from tests.store.test_signins import ADA, SESSION

# What sums up or lists all there is reads all there is.
WHOLE = ("periods", "postings", "principals", "processes", "settings", "shop_stats")
WHOLE += ("policies", "drafts", "models", "stops", "users", "stock_counts")
LAST = ("checkpoints",)  # read from its end, one row


async def a_busy_day(store: Store) -> None:
    """Every call of a turn and every cold one, on one order."""
    order, batch = recorded(an_order(1))
    await write(store, batch)
    order, batch = refunded(order)
    for state in ("done", "unmatched", "parked"):
        row = Inbound("s", state, NOW, "t", state, "a", b"raw", b"[]", ("s/1",), order.id)
        batch.inbox[row.connection, row.message] = row
    batch.notes.append(NoteText("n", order.id, "", "", NOW))
    batch.done.add((order.id, "ef_gone"))
    waiting = {"order": order.id, "refund": order.refunds[0].id}
    batch.documents.append(DueDocument(NOW, msgspec.structs.replace(NOTE, **waiting)))
    refund = order.refunds[0]
    batch.tallies.append(Tally("main", "c-1", 20_000, 1))
    batch.sights.append(Sight("card", "a" * 64, "main", "c-1"))
    batch.judged.append(a_judgement(1, order=order.id))
    batch.labels.append(Label(order.id, refund.id, NOW, "review", True))
    batch.draws.append(Draw("day", 1, 1))
    async with store.turn() as turn:
        await turn.board()
        await turn.history([("main", "c-1", (("card", "a" * 64),))], 20_000)
        await turn.caps(["day"])
        await turn.answers([answer.key for answer in batch.answers])
        await turn.routes([("stripe-eu", "pi_1")])
        await turn.lock([order.id])
        await turn.seen([("s", "done")])
        await turn.write(batch)
        await turn.waiting(["s/1"])
        await turn.parked([order.id])
    await store.claim("p", NOW, NOW, {"stripe-eu": 1})
    await store.next_due()
    await store.counts(NOW)
    await store.unmatched_routed(10)
    await store.expire_raw(NOW)
    for name in (order.payments[0].id, "ch_1"):
        await store.payment(name)
    await store.orders("", 10)
    for filters in ({}, {"state": "review"}, {"order": order.id}, {"psp_refund_id": "re_1"}):
        await store.refunds(filters, "", 10)
    await store.refund_order(refund.id)
    await store.events(order.id, "", 10)
    for filters in ({}, {"order": order.id}, {"refund": refund.id}, {"holder": "GC-1"}):
        await store.entries(filters, "", 10)
    await store.credits("GC-1")
    await store.number_documents("CN", NOW, 10)
    await store.documents_due(10)
    for filters in ({}, {"order": order.id}, {"refund": refund.id}):
        await store.credit_notes(filters, "", 10)
    await store.balances(NOW)
    await store.last_kept()
    await store.closed()
    await store.books("", 10)
    await store.streams("", 10)
    await store.changed_heads(NOW)
    await store.order_ids("", 10)
    await store.last_checkpoint()
    await store.notes(order.id)
    await store.quote("qt_1")
    await store.person("main", "c-1")
    await store.principal("a" * 64)
    await a_day_at_the_desk(store)
    await a_day_of_telling(store)


async def a_day_of_telling(store: Store) -> None:
    await store.claim_tells("p", NOW, NOW, {"erp": 1})
    await store.came("p", [Came("ord_1", 1, "done", NOW)], NOW)
    await store.add_tells("books:main", "erp", [(1, books(1))])
    for filters in ({}, {"state": "stuck"}, {"order": "ord_1"}):
        await store.tells(filters, "", 10)
    await store.tell_doc("ord_1", 1)
    await store.move_tell("ord_1", 1, "open", NOW)
    await store.told_between("erp", "main", 0, NOW)
    await store.tell_row("ord_1", 1)
    await store.lanes()
    await store.day_booked("main", 0, NOW)
    await store.add_counts(NOW, "me", [Counted("TEA", "", 1)])
    await store.stock_report(0, NOW)


async def a_day_at_the_desk(store: Store) -> None:
    """What decisions are made by and leave behind, and who signs in."""
    await store.publish(POLICY, SAID)
    await store.policies()
    await store.put_draft(DRAFT, SAID)
    await store.drafts()
    await store.drop_draft(DRAFT.name, SAID)
    await store.add_stop(STOP, SAID)
    for active in (True, False):
        await store.stops(active)
    await store.lift_stop(STOP.id, NOW, "me", "", SAID)
    await store.add_model(MODEL, SAID)
    await store.models()
    await store.model(MODEL.hash)
    await store.set_setting("model.champion", "a", NOW, "me", SAID)
    await store.settings()
    await store.decisions(0, NOW, (1, "", ""), 10)
    await store.labels(0, NOW, (1, "", "", ""), 10)
    cursors = [encode_cursor((1, "", "")), ""]
    for cursor in cursors:
        await store.reviews({}, cursor, 10, NOW)
        await store.reviews({"state": "closed", "assignee": "me"}, cursor, 10, NOW)
    await store.amounts(NOW)
    await store.put_shop_stats(ShopStats("shop-1", NOW, "{}"))
    await store.shop_stats()
    await store.add_user(ADA)
    await store.user(ADA.id)
    await store.user_by_login(ADA.login)
    await store.users()
    await store.change_user(ADA.id, {"role": "admin"}, {"role": "viewer"})
    await store.add_session(SESSION)
    await store.session(SESSION.hash)
    await store.sessions(ADA.id)
    await store.touch_session(SESSION.hash, NOW)
    await store.drop_session(SESSION.hash)
    await store.drop_sessions(ADA.id)
    await store.count_try("k", NOW, NOW, 3, NOW)
    await store.locked_until("k")
    await store.clear_tries("k")
    await store.forget_sign_ins(NOW)
    await a_day_at_the_console(store)


async def a_day_at_the_console(store: Store) -> None:
    """What its pages read."""
    await store.find("pi_1")
    for days in (store.refund_days, store.refund_times, store.outcomes, store.disputed):
        await days(NOW, 10)
    for connection in ("", "s"):
        await store.messages(connection, encode_cursor((NOW, "s", "m")), 10)
    await store.heard()
    await store.queue_mark()
    await store.orders_of(["ord_1", "ord_2"])
    await store.customer_history("main", "c-1", 1)
    await store.customer_orders("main", "c-1", 10)
    await store.newest_decisions(NOW, 10)
    for before in (0, 5):
        await store.recent_events("system:people", before, 10)


@pytest.mark.parametrize("store_url", [POSTGRES], indirect=True)
async def test_plans_of_postgresql(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, tuple[Any, ...]]] = []
    fetch = asyncpg.Connection.fetch

    async def hear(self: Any, sql: str, *arguments: Any, **more: Any) -> Any:
        said.append((sql, arguments))
        return await fetch(self, sql, *arguments, **more)

    def heard(_: Connection, __: Any, sql: str, arguments: Any, *___: Any) -> None:
        said.append((sql, arguments))

    monkeypatch.setattr(asyncpg.Connection, "fetch", hear)
    event.listen(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    await a_busy_day(store)
    monkeypatch.undo()
    raw = await asyncpg.connect(store_url)
    # With so few rows a scan is always cheapest: ask what else there is.
    await raw.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    assert len(said) > 40
    plans = {
        sql: "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN {sql}", *arguments))
        for sql, arguments in said
        if re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)", sql)
    }
    await raw.close()
    for sql, plan in plans.items():
        scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
        assert scanned <= set(WHOLE), f"{sql}\n{plan}"
    indexes = {i.name for table in metadata.tables.values() for i in table.indexes}
    together = "\n".join(plans.values())
    assert {name for name in indexes if not re.search(rf"\b{name}\b", together)} == set()


@pytest.mark.parametrize("store_url", [SQLITE], indirect=True)
async def test_plans_of_sqlite(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    said: set[str] = set()
    each = SqliteTurn._each

    async def hear(self: SqliteTurn, sql: str, keys: Any) -> Any:
        said.add(sql)
        return await each(self, sql, keys)

    def heard(_: Connection, __: Any, sql: str, *___: Any) -> None:
        said.add(sql)

    monkeypatch.setattr(SqliteTurn, "_each", hear)
    event.listen(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    await a_busy_day(store)
    event.remove(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    plans: list[str] = []
    async with cold(store).reading() as connection:
        for sql in said:
            if re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)", sql):
                asked = re.sub(r"\?\d*|:\w+", "NULL", sql)
                found = await connection.execute(text(f"EXPLAIN QUERY PLAN {asked}"))
                plans += [f"{row[3]} IN {sql}" for row in found]
    scans = [plan for plan in plans if re.match(r"SCAN (?!CONSTANT)", plan)]
    tables = "|".join(metadata.tables)
    whole = [plan for plan in scans if re.match(rf"SCAN ({tables})\b(?! USING)", plan)]
    assert {plan.split()[1] for plan in whole} <= {*WHOLE, *LAST}, "\n".join(whole)


@pytest.mark.parametrize("store_url", [SQLITE], indirect=True)
async def test_what_changed_is_found_by_its_instant(store: Store) -> None:
    """Each minute, however many orders there are: not by going through all of them in order."""
    said: list[str] = []

    def heard(_: Connection, __: Any, sql: str, *___: Any) -> None:
        said.append(sql)

    event.listen(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    await store.changed_heads(NOW)
    await store.born(NOW)
    event.remove(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    asked = [re.sub(r"\?|:\w+", "NULL", sql) for sql in said if "events" in sql]
    assert len(asked) == 2
    async with cold(store).reading() as connection:
        for sql in asked:
            found = await connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))
            plan = [row[3] for row in found]
            assert any("events_at" in step for step in plan), plan
            assert not [step for step in plan if step.startswith("SCAN events")], plan


@pytest.mark.parametrize("store_url", [SQLITE], indirect=True)
async def test_the_postings_of_a_page_of_entries_are_found_by_their_orders(store: Store) -> None:
    """Not by going through all there are, for each page and each order that is verified."""
    order, batch = recorded(an_order(1))
    await write(store, batch, a_batch(an_entry(order, NOW), an_entry(order, NOW)))
    said: list[str] = []

    def heard(_: Connection, __: Any, sql: str, *___: Any) -> None:
        said.append(sql)

    event.listen(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    assert await store.entry_hashes(order.id)
    event.remove(cold(store).engine.sync_engine, "before_cursor_execute", heard)
    (asked,) = [re.sub(r"\?|:\w+", "NULL", sql) for sql in said if "FROM postings" in sql]
    async with cold(store).reading() as connection:
        found = await connection.execute(text(f"EXPLAIN QUERY PLAN {asked}"))
        plan = [row[3] for row in found]
    assert not [step for step in plan if step.startswith("SCAN postings")], plan


async def test_a_scan_would_be_seen(store: Store) -> None:
    """The two tests above can fail: a statement without an index is one that scans."""
    async with cold(store).reading() as connection:
        sqlite = connection.dialect.name == "sqlite"
        explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        query = f"{explain} SELECT order_id FROM refunds WHERE requested_by = 'x'"
        plan = str((await connection.execute(text(query))).all())
        assert ("SCAN refunds" if sqlite else "Seq Scan on refunds") in plan
