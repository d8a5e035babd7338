"""Rare writes: keys, system events, checkpoints, heartbeats, the expiry of raw bodies."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from amends.core.events import Event, link
from amends.kernel.canon import GENESIS
from amends.kernel.check import InvariantBroken
from amends.store import cold as cold_module
from amends.store.records import Head
from amends.store.spec import Batch, Checkpoint, Inbound, Principal, RowRefused, Store
from tests.store.conftest import Another
from tests.store.examples import NOW
from tests.store.sql import rows_of, write

SUPPORT = Principal("key_1", "support", ("refunds:write", "orders:read"), NOW)


async def test_keys_are_found_by_their_hash_until_revoked(store: Store) -> None:
    agent = Principal("key_2", "agent", (), NOW + 1)
    await store.add_principal(agent, "b" * 64)
    await store.add_principal(SUPPORT, "a" * 64)
    assert await store.principal("a" * 64) == SUPPORT
    assert await store.principal("c" * 64) is None
    assert await store.principals() == [SUPPORT, agent]
    assert await store.revoke("key_1", NOW + 5)
    assert not await store.revoke("key_1", NOW + 6)
    assert not await store.revoke("key_3", NOW + 6)
    assert await store.principal("a" * 64) is None
    revoked = msgspec.structs.replace(SUPPORT, revoked_at=NOW + 5)
    assert await store.principals() == [revoked, agent]


async def test_one_key_has_one_holder(store: Store) -> None:
    await store.add_principal(SUPPORT, "a" * 64)
    with pytest.raises(RowRefused):
        await store.add_principal(msgspec.structs.replace(SUPPORT, id="key_2"), "a" * 64)


def follows(head: Head) -> Event:
    body = {"key": "key_1"}
    return link(
        *(head.stream, head.seq + 1, head.hash, NOW, "key.created", "cli:root", "f", "c", body)
    )


async def test_system_events_chain(store: Store, another: Another) -> None:
    """Two processes append at once; every event follows the one before."""
    second = await another()
    appended = [s.append_system("system:keys", follows) for s in (store, second) for _ in range(8)]
    made = await asyncio.gather(*appended)
    events = await store.events("system:keys", "", 100)
    assert sorted(made, key=lambda event: event.seq) == events
    assert [event.seq for event in events] == list(range(1, 17))
    assert [event.previous for event in events] == [GENESIS, *(e.hash for e in events[:-1])]
    assert await store.streams("", 5) == [Head("system:keys", 16, events[-1].hash)]
    assert await store.order_ids("", 5) == []


async def test_a_system_event_that_breaks_its_chain_is_not_written(store: Store) -> None:
    await store.append_system("system:keys", follows)
    with pytest.raises(InvariantBroken, match="chain"):
        await store.append_system("system:keys", lambda head: follows(Head(head.stream, 0, "x")))
    with pytest.raises(InvariantBroken, match="no system stream"):
        await store.append_system("ord_1", follows)
    assert len(await rows_of(store, "events")) == 1


async def test_checkpoints_are_written_once(store: Store) -> None:
    assert await store.last_checkpoint() is None
    heads = (Head("ord_1", 3, "a" * 64), Head("system:keys", 1, "b" * 64))
    first = Checkpoint(1, NOW, 1, heads, GENESIS, "key-1", "sig")
    second = Checkpoint(2, NOW + 1, 1, (), "c" * 64, "key-1", "sig")
    assert await store.add_checkpoint(first)
    assert not await store.add_checkpoint(msgspec.structs.replace(first, signature="other"))
    assert await store.last_checkpoint() == first
    assert await store.add_checkpoint(second)
    assert await store.last_checkpoint() == second


async def test_heartbeats_tell_who_lives(store: Store) -> None:
    assert await store.heartbeat("p1", NOW, NOW - 10) == 1
    assert await store.heartbeat("p2", NOW + 5, NOW - 5) == 2
    assert await store.heartbeat("p1", NOW + 6, NOW - 4) == 2
    assert await store.heartbeat("p1", NOW + 16, NOW + 6) == 1


async def test_raw_bodies_expire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_module, "EXPIRE_ROWS", 2)
    batch = Batch()
    for n in range(8):
        row = Inbound("s", f"m{n}", NOW + n, "t", "done", "a", raw=b"body" if n else b"")
        batch.inbox[row.connection, row.message] = row
    await write(store, batch)
    assert await store.expire_raw(NOW + 6) == 5
    assert await store.expire_raw(NOW + 6) == 0
    assert [row[6] for row in await rows_of(store, "inbox")] == [None] * 6 + [b"body"] * 2
