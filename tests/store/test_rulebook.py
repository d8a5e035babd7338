"""What decisions are made by: each change with its event, one after the other, seen by all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from amends.core.events import Event, link
from amends.core.history import Stop
from amends.kernel.check import InvariantBroken
from amends.store.records import DraftRow, Head, ModelRow, PolicyRow, StopRow
from amends.store.spec import RowRefused, Store
from tests.store.conftest import Another
from tests.store.examples import NOW
from tests.store.sql import rows_of, run

ME = "person:1"
POLICY = PolicyRow(1, "a" * 64, "First", '{"rows":[]}', NOW + 5, NOW, ME)
DRAFT = DraftRow("Stricter", "{}", "b" * 64, True, NOW, ME)
STOP = Stop("stop_1", "customer", "c-1", "d" * 64, ME, NOW)
MODEL = ModelRow("e" * 64, "lightgbm", "Autumn", "tree\n" * 100, '{"names":[]}', NOW, ME)


def told(kind: str, at: int = NOW) -> Callable[[Head], Event]:
    def make(head: Head) -> Event:
        body = {"hash": "a" * 64}
        return link(head.stream, head.seq + 1, head.hash, at, kind, ME, "f", "", body)  # type: ignore[arg-type]

    return make


def broken(head: Head) -> Event:
    raise RuntimeError("no event")


SAID = told("policy.published")


async def board(store: Store) -> int:
    async with store.turn() as turn:
        return await turn.board()


async def events(store: Store, stream: str) -> int:
    return len(await store.events(stream, "", 100))


async def test_versions_of_a_policy_follow_each_other(store: Store) -> None:
    assert await store.policies() == []
    event = await store.publish(POLICY, SAID)
    assert event == (await store.events("system:policy", "", 10))[0]
    second = replace(POLICY, number=2, hash="c" * 64)
    assert await store.publish(second, SAID) is not None
    assert await store.policies() == [POLICY, second]
    assert (await board(store), await events(store, "system:policy")) == (2, 2)


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_version_that_is_not_the_next_changes_nothing(store: Store, number: int) -> None:
    await store.publish(POLICY, SAID)
    assert await store.publish(replace(POLICY, number=number, hash="c" * 64), SAID) is None
    assert await store.policies() == [POLICY]
    assert (await board(store), await events(store, "system:policy")) == (1, 1)


async def test_of_two_who_publish_one_is_told(store: Store, another: Another) -> None:
    second = await another()
    ends = await asyncio.gather(
        *(s.publish(replace(POLICY, name=str(n)), SAID) for n, s in enumerate([store, second] * 3))
    )
    assert sum(end is not None for end in ends) == 1
    assert len(await store.policies()) == 1
    assert (await board(second), await events(store, "system:policy")) == (1, 1)


async def test_a_draft_is_replaced_and_dropped(store: Store) -> None:
    await store.put_draft(DRAFT, SAID)
    silent = replace(DRAFT, shadow=False, doc="[]", at=NOW + 1)
    await store.put_draft(replace(DRAFT, name="Also"), SAID)
    assert (await store.put_draft(silent, SAID)).seq == 3
    assert await store.drafts() == [replace(DRAFT, name="Also"), silent]
    assert (await store.drop_draft("Also", SAID)) is not None
    assert await store.drop_draft("Also", SAID) is None
    assert await store.drafts() == [silent]
    assert (await board(store), await events(store, "system:policy")) == (4, 4)


async def test_a_stop_holds_until_it_is_lifted(store: Store) -> None:
    later = replace(STOP, id="stop_0", scope="all", key="", at=NOW + 1)
    for stop in (later, STOP):
        await store.add_stop(stop, SAID)
    assert await store.stops(True) == [StopRow(STOP), StopRow(later)]
    assert await store.lift_stop("stop_1", NOW + 9, "person:2", "f" * 64, SAID) is not None
    lifted = StopRow(STOP, NOW + 9, "person:2", "f" * 64)
    assert await store.stops(True) == [StopRow(later)]
    assert await store.stops(False) == [lifted, StopRow(later)]
    for gone in ("stop_1", "stop_7"):
        assert await store.lift_stop(gone, NOW + 10, "person:3", "", SAID) is None
    assert await store.stops(False) == [lifted, StopRow(later)]
    assert (await board(store), await events(store, "system:stops")) == (3, 3)


async def test_a_stop_that_is_there_is_refused_whole(store: Store) -> None:
    await store.add_stop(STOP, SAID)
    with pytest.raises(RowRefused):
        await store.add_stop(replace(STOP, scope="all"), SAID)
    assert await store.stops(False) == [StopRow(STOP)]
    assert (await board(store), await events(store, "system:stops")) == (1, 1)


async def test_a_model_is_kept_once(store: Store) -> None:
    assert await store.add_model(MODEL, SAID) is not None
    assert await store.add_model(replace(MODEL, name="Winter"), SAID) is None
    assert await store.models() == [replace(MODEL, model="")]
    assert await store.model(MODEL.hash) == MODEL
    assert await store.model("0" * 64) is None
    assert (await board(store), await events(store, "system:models")) == (1, 1)


async def test_a_setting_is_set_once(store: Store) -> None:
    assert await store.settings() == {}
    for value in ("a", "a", "b"):
        await store.set_setting("model.champion", value, NOW, ME, told("model.promoted", NOW + 3))
    assert await store.settings() == {"board": "2", "model.champion": "b"}
    assert await rows_of(store, "settings") == [
        ("board", "2", NOW + 3, ME),
        ("model.champion", "b", NOW, ME),
    ]
    assert await events(store, "system:settings") == 2
    with pytest.raises(InvariantBroken):
        await store.set_setting("board", "9", NOW, ME, SAID)


async def test_without_its_event_nothing_changes(store: Store) -> None:
    await store.put_draft(DRAFT, SAID)
    for change in (
        store.publish(POLICY, broken),
        store.put_draft(replace(DRAFT, doc="[]"), broken),
        store.drop_draft(DRAFT.name, broken),
        store.add_stop(STOP, broken),
        store.add_model(MODEL, broken),
        store.set_setting("model.champion", "a", NOW, ME, broken),
    ):
        with pytest.raises(RuntimeError, match="no event"):
            await change
    assert await store.drafts() == [DRAFT]
    assert await store.policies() == await store.stops(False) == await store.models() == []
    assert await store.settings() == {"board": "1"}


async def test_changes_of_several_kinds_wait_in_line(store: Store, another: Another) -> None:
    """The board counts each of them, whichever process made it."""
    stores = [store, await another()]

    async def change(n: int) -> None:
        mine = stores[n % 2]
        await mine.add_stop(replace(STOP, id=f"stop_{n}"), SAID)
        await mine.put_draft(DRAFT, SAID)
        await mine.set_setting("model.champion", str(n), NOW, ME, SAID)

    await asyncio.gather(*(change(n) for n in range(6)))
    assert await board(store) == 18
    counts = [await events(store, f"system:{name}") for name in ("stops", "policy", "settings")]
    assert counts == [6, 6, 6]


async def test_a_turn_sees_the_board_as_it_was_committed(store: Store, another: Another) -> None:
    await run(store, "INSERT INTO settings VALUES ('board', '41', 0, '')")
    await store.add_stop(STOP, SAID)
    assert await board(await another()) == 42
