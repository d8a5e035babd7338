"""People who sign in: logins, sessions, and places that fail too often."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from amends.core.events import Event, link
from amends.store.records import Head, Session, User
from amends.store.spec import RowRefused, Store
from tests.store.conftest import Another
from tests.store.examples import NOW

MINUTE = 60_000_000
ADA = User("usr_1", "ada", "Ada L.", "reviewer", "$argon2id$…", created_at=NOW)
SESSION = Session("a" * 64, "usr_1", "password", "csrf", NOW, NOW, NOW + MINUTE, "Firefox")


def told(head: Head) -> Event:
    body = {"user": "usr_1"}
    return link(head.stream, head.seq + 1, head.hash, NOW, "user.changed", "cli:me", "f", "", body)  # type: ignore[arg-type]


def broken(head: Head) -> Event:
    raise RuntimeError("no event")


async def events(store: Store) -> int:
    return len(await store.events("system:people", "", 100))


async def test_a_login_is_one_persons(store: Store) -> None:
    assert await store.add_user(ADA, told)
    assert not await store.add_user(replace(ADA, id="usr_2"), told)
    assert await store.add_user(replace(ADA, id="usr_3", login="Ada"))
    assert await store.user_by_login("ada") == await store.user("usr_1") == ADA
    assert await store.user_by_login("eve") is await store.user("usr_2") is None
    assert [user.login for user in await store.users()] == ["Ada", "ada"]
    assert await events(store) == 1
    with pytest.raises(RowRefused):
        await store.add_user(replace(ADA, login="bob"))


async def test_a_person_is_changed_if_nobody_was_faster(store: Store, another: Another) -> None:
    await store.add_user(ADA)
    stores = [store, await another()]
    taken = await asyncio.gather(
        *(s.change_user("usr_1", {"totp_step": 7}, {"totp_step": 0}, told) for s in stores)
    )
    assert sorted(taken) == [False, True]
    assert await store.user("usr_1") == replace(ADA, totp_step=7)
    assert not await store.change_user("usr_9", {"role": "admin"}, make=told)
    assert await store.change_user("usr_1", {"role": "admin", "failures": 2})
    assert await store.user("usr_1") == replace(ADA, totp_step=7, role="admin", failures=2)
    assert await events(store) == 1


async def test_without_its_event_nobody_is_changed(store: Store) -> None:
    await store.add_user(ADA)
    with pytest.raises(RuntimeError, match="no event"):
        await store.change_user("usr_1", {"role": "admin"}, make=broken)
    with pytest.raises(RuntimeError, match="no event"):
        await store.add_user(replace(ADA, id="usr_2", login="eve"), broken)
    assert await store.users() == [ADA]


async def test_a_session_until_it_is_dropped(store: Store) -> None:
    later = replace(SESSION, hash="b" * 64, created_at=NOW + 1)
    for session in (later, SESSION, replace(SESSION, hash="c" * 64, user_id="usr_2")):
        await store.add_session(session)
    assert await store.session("b" * 64) == later
    assert await store.touch_session("a" * 64, NOW + 5)
    seen = replace(SESSION, seen_at=NOW + 5)
    assert await store.sessions("usr_1") == [seen, later]
    assert await store.drop_session("b" * 64)
    assert not await store.drop_session("b" * 64)
    assert not await store.touch_session("b" * 64, NOW)
    assert await store.session("b" * 64) is None
    await store.add_session(later)
    assert await store.drop_sessions("usr_1", but="b" * 64) == 1
    assert await store.sessions("usr_1") == [later]
    assert await store.drop_sessions("usr_1") == 1
    assert len(await store.sessions("usr_2")) == 1


async def test_a_place_that_fails_too_often_is_locked(store: Store) -> None:
    async def fail(at: int) -> int:
        return await store.count_try("k", at, at - MINUTE, 3, at + 9 * MINUTE)

    assert await store.locked_until("k") == 0
    assert [await fail(NOW), await fail(NOW + 1)] == [0, 0]
    assert await fail(NOW + 2) == await store.locked_until("k") == NOW + 2 + 9 * MINUTE
    assert await store.locked_until("other") == 0
    await store.clear_tries("k")
    assert await fail(NOW + 3) == await store.locked_until("k") == 0


async def test_failures_of_long_ago_do_not_count(store: Store) -> None:
    for at in (NOW, NOW + 1, NOW + 2 * MINUTE, NOW + 2 * MINUTE + 1):
        assert await store.count_try("k", at, at - MINUTE, 3, at + MINUTE) == 0


async def test_one_failure_can_be_too_many(store: Store) -> None:
    assert await store.count_try("k", NOW, NOW - MINUTE, 1, NOW + 5) == NOW + 5


async def test_no_failure_goes_uncounted(store: Store, another: Another) -> None:
    stores = [store, await another()]
    ends = await asyncio.gather(
        *(stores[n % 2].count_try("k", NOW, NOW - MINUTE, 10, NOW + 5) for n in range(10))
    )
    assert sorted(ends) == [0] * 9 + [NOW + 5]


async def test_what_ended_is_forgotten(store: Store) -> None:
    await store.add_session(SESSION)
    await store.add_session(replace(SESSION, hash="b" * 64, expires_at=NOW + 3 * MINUTE))
    for key, at, until in (("old", NOW, 0), ("held", NOW, NOW + 9 * MINUTE), ("new", NOW + 5, 0)):
        await store.count_try(key, at, at - MINUTE, 1, until)
    assert await store.forget_sign_ins(NOW) == 0
    assert await store.forget_sign_ins(NOW + 1 + MINUTE) == 3
    assert await store.session("b" * 64) is not None
    assert await store.locked_until("held") == NOW + 9 * MINUTE


async def test_somebody_of_a_role_is_left(store: Store, another: Another) -> None:
    """Two who take it from each other at once, in two processes."""
    for name in ("usr_1", "usr_2"):
        await store.add_user(replace(ADA, id=name, login=name, role="admin"))
    stores = {"usr_1": store, "usr_2": await another()}
    done = await asyncio.gather(
        *(
            s.change_user(n, {"role": "viewer"}, make=told, leaves="admin")
            for n, s in stores.items()
        )
    )
    assert sorted(done) == [False, True]
    assert sorted(user.role for user in await store.users()) == ["admin", "viewer"]
    assert await events(store) == 1
    left = next(user.id for user in await store.users() if user.role == "admin")
    assert not await store.change_user(left, {"disabled_at": 1}, leaves="admin")
    await store.add_user(replace(ADA, id="usr_3", login="off", role="admin", disabled_at=1))
    assert not await store.change_user(left, {"disabled_at": 1}, leaves="admin")
