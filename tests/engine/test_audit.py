"""The trail under attack: somebody who may write SQL edits, inserts and deletes what was sealed,
with the triggers out of the way, and `verify` names what was touched (I10)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import text

from amends.core.events import link
from amends.engine import audit
from amends.engine.seals import Sealer
from amends.kernel.canon import GENESIS
from amends.kernel.time import HOUR, MINUTE
from amends.store.cold import Cold
from amends.store.rows import event as event_row
from amends.store.schema import events, metadata
from tests.engine.lab import Lab


class Attacker:
    """Somebody with the database's password, and three sealed orders to work on."""

    def __init__(self, lab: Lab, ids: list[str]) -> None:
        self.lab, self.ids = lab, ids
        self.victim = ids[1]

    async def sql(self, *statements: str, **values: Any) -> None:
        """Run statements with the triggers asleep (PostgreSQL) or dropped (SQLite)."""
        store = self.lab.nodes[0].store
        assert isinstance(store, Cold)
        async with store.writing() as connection:
            if self.lab.url.startswith("sqlite"):
                named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
                for (name,) in (await connection.execute(text(named))).all():
                    await connection.execute(text(f"DROP TRIGGER {name}"))
            else:
                await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                await connection.execute(text(statement), {"victim": self.victim, **values})

    async def verify(self) -> audit.Report:
        return await audit.verify(self.lab.nodes[0].store, self.lab.config.audit_dir)

    async def named(self) -> set[str]:
        """The streams `verify` finds something wrong with."""
        report = await self.verify()
        assert report.ok == (not report.findings)
        return {finding.stream for finding in report.findings}


@pytest_asyncio.fixture
async def attacker(lab: Lab) -> AsyncIterator[Attacker]:
    ids = []
    for n in range(3):
        order = await lab.order(str(n))
        await lab.nodes[0].refund(order.id, amount=6000)
        ids.append(order.id)
    await lab.settle(HOUR)
    sealer = lab.nodes[0].engine.sealer
    await sealer.seal()
    lab.clock.forward(5 * MINUTE)
    later = await lab.order("later")
    await sealer.seal()
    found = Attacker(lab, [*ids, later.id])
    assert await found.named() == set()
    yield found


EVENT_EDITS = {
    "body": "UPDATE events SET body = replace(body, '6000', '5000') WHERE stream = :victim",
    "actor": "UPDATE events SET actor = 'key:nobody' WHERE stream = :victim AND seq = 2",
    "instant": "UPDATE events SET at = at + 1 WHERE stream = :victim AND seq = 2",
    "entries": "UPDATE events SET entries = '[]' WHERE stream = :victim AND seq = 2",
    "hash": f"UPDATE events SET hash = '{'0' * 64}' WHERE stream = :victim AND seq = 2",
    "deleted in the middle": "DELETE FROM events WHERE stream = :victim AND seq = 2",
    "first deleted": "DELETE FROM events WHERE stream = :victim AND seq = 1",
    "all from the second on": "DELETE FROM events WHERE stream = :victim AND seq > 1",
}


@pytest.mark.parametrize("what", EVENT_EDITS)
async def test_an_event_is_touched(attacker: Attacker, what: str) -> None:
    await attacker.sql(EVENT_EDITS[what])
    assert await attacker.named() == {attacker.victim}


async def relinked(
    attacker: Attacker, stream: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """The whole chain made anew with another content, every hash right, the row's tip too."""
    found = await attacker.lab.nodes[0].store.events(attacker.victim, "", 500)
    previous = GENESIS
    made = []
    for event in found:
        body = msgspec.json.decode(msgspec.json.encode(event.body))
        change(body)
        fresh = link(
            *(stream, event.seq, previous, event.at, event.type, event.actor, event.fact),
            *(event.ctx, body, event.entries),
        )
        previous = fresh.hash
        made.append(fresh)
    columns = [column.name for column in events.columns]
    marks = ", ".join(f":{name}" for name in columns)
    await attacker.sql("DELETE FROM events WHERE stream = :stream", stream=stream)
    for fresh in made:
        values = dict(zip(columns, event_row(fresh), strict=True))
        values["stream"] = stream
        await attacker.sql(f"INSERT INTO events ({', '.join(columns)}) VALUES ({marks})", **values)
    tip = "UPDATE orders SET head_hash = :tip WHERE id = :stream"
    await attacker.sql(tip, tip=previous, stream=stream)


async def test_a_chain_made_anew_is_not_the_one_that_was_sealed(attacker: Attacker) -> None:
    def cheaper(body: dict[str, Any]) -> None:
        if "amount" in body:
            body["amount"] = 1

    await relinked(attacker, attacker.victim, cheaper)
    assert await attacker.named() == {attacker.victim}


async def test_an_event_is_inserted_at_the_end(attacker: Attacker) -> None:
    """Well linked; but the order's own row does not know it."""
    *_, last = await attacker.lab.nodes[0].store.events(attacker.victim, "", 500)
    fresh = link(
        *(last.stream, last.seq + 1, last.hash, last.at, "refund.approved", "key:me", "f", ""),
        *({"amount": 1}, ()),
    )
    columns = [column.name for column in events.columns]
    values = dict(zip(columns, event_row(fresh), strict=True))
    marks = ", ".join(f":{name}" for name in columns)
    await attacker.sql(f"INSERT INTO events ({', '.join(columns)}) VALUES ({marks})", **values)
    assert await attacker.named() == {attacker.victim}


OF_ORDER = [table.name for table in metadata.sorted_tables if "order_id" in table.columns]


async def test_a_whole_order_is_deleted_with_all_its_rows(attacker: Attacker) -> None:
    tables = [f"DELETE FROM {name} WHERE order_id = :victim" for name in OF_ORDER]
    await attacker.sql(
        *tables,
        "DELETE FROM events WHERE stream = :victim",
        "DELETE FROM orders WHERE id = :victim",
    )
    assert await attacker.named() == {attacker.victim}


async def test_only_the_orders_own_row_is_deleted(attacker: Attacker) -> None:
    await attacker.sql("DELETE FROM orders WHERE id = :victim")
    assert await attacker.named() == {attacker.victim}


async def test_a_whole_order_is_inserted_with_all_its_rows(attacker: Attacker) -> None:
    """A copy of a sealed order under another id, in the past, every hash right."""
    copy = "ord_00000000000000000000000000"
    for table in metadata.sorted_tables:
        names = [column.name for column in table.columns]
        key = "id" if table.name == "orders" else "order_id"
        if table.name != "orders" and table.name not in ("payments", "refunds", "legs"):
            continue
        await attacker.sql(
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {_copied(names, key)}"
            f" FROM {table.name} WHERE {key} = :victim",
            copy=copy,
        )
    await relinked(attacker, copy, lambda body: None)
    named = await attacker.named()
    assert copy in named
    report = await attacker.verify()
    assert any("never sealed" in finding.what for finding in report.findings)


def _copied(names: list[str], key: str) -> str:
    special = {key: ":copy", "source_order_id": "source_order_id || 'x'"}
    return ", ".join(special.get(name, name) for name in names)


BOOK_EDITS = {
    "amount": "UPDATE postings SET amount = amount + 1 WHERE order_id = :victim AND entry = 1",
    "account": "UPDATE postings SET account = 'x' WHERE order_id = :victim AND entry = 2",
    "line deleted": "DELETE FROM postings WHERE order_id = :victim AND entry = 1 AND line = 1",
    "entry deleted": "DELETE FROM entries WHERE order_id = :victim AND number = 1",
    "kind": "UPDATE entries SET kind = 'payout' WHERE order_id = :victim AND number = 1",
    "instant": "UPDATE entries SET at = at - 1 WHERE order_id = :victim AND number = 1",
    "entry moved": "UPDATE entries SET number = 99 WHERE order_id = :victim AND number = 2",
}


@pytest.mark.parametrize("what", BOOK_EDITS)
async def test_the_books_are_touched(attacker: Attacker, what: str) -> None:
    await attacker.sql(BOOK_EDITS[what])
    assert await attacker.named() == {attacker.victim}


async def test_an_entry_is_inserted(attacker: Attacker) -> None:
    entries = (
        "INSERT INTO entries SELECT order_id, 50, at, kind, entity, currency, functional_currency,"
        " refund_id, leg_id, psp_refund_id, posted_on, holder, worth FROM entries"
        " WHERE order_id = :victim AND number = 1"
    )
    postings = (
        "INSERT INTO postings SELECT order_id, 50, line, account, currency, amount, functional,"
        " entity, at FROM postings WHERE order_id = :victim AND entry = 1"
    )
    await attacker.sql(entries, postings)
    assert await attacker.named() == {attacker.victim}


# -- the checkpoints themselves --------------------------------------------------------------------


def lines(attacker: Attacker) -> tuple[Path, list[str]]:
    path = attacker.lab.config.audit_dir / "checkpoints.jsonl"
    return path, path.read_text().splitlines()


async def test_a_checkpoint_is_edited(attacker: Attacker) -> None:
    path, found = lines(attacker)
    first = json.loads(found[0])
    first["orders"] = 1
    path.write_text("\n".join([json.dumps(first), *found[1:]]) + "\n")
    assert "checkpoints" in await attacker.named()


async def test_a_checkpoint_is_taken_out(attacker: Attacker) -> None:
    path, found = lines(attacker)
    path.write_text("\n".join(found[1:]) + "\n")
    assert "checkpoints" in await attacker.named()


async def test_a_torn_last_line_is_a_crash_and_not_a_crime(attacker: Attacker) -> None:
    path, found = lines(attacker)
    path.write_text("\n".join(found) + '\n{"number":3,"at":17')
    assert (await attacker.verify()).ok


async def test_two_processes_that_start_at_once_share_one_key(tmp_path: Path, lab: Lab) -> None:
    sealers = [Sealer(lab.nodes[0].store, tmp_path / "new", lab.clock) for _ in range(5)]
    for sealer in sealers:
        sealer.prepare()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key.pem"]
