"""People who sign in: rows of users, sessions and tries, written once for both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.kernel.time import Instant
from amends.store.cold import Cold
from amends.store.persons_spec import Make, Session, Tries, User
from amends.store.schema import sessions, tries, users

STREAM = "system:people"


class Persons(Cold):
    """Each write is a transaction of its own."""

    async def user(self, user_id: str) -> User | None:
        return _one_user(await self.fetch(select(users).where(users.c.id == user_id)))

    async def user_by_login(self, login: str) -> User | None:
        return _one_user(await self.fetch(select(users).where(users.c.login == login)))

    async def users(self) -> list[User]:
        found = await self.fetch(select(users).order_by(users.c.login))
        return [_user(row._mapping) for row in found]

    async def add_user(self, user: User, make: Make) -> bool:
        async with self.writing() as connection:
            # The lock of the stream keeps another one from taking the login in between.
            await self.lock_stream(connection, STREAM)
            taken = select(users.c.id).where(users.c.login == user.login)
            if (await connection.execute(taken)).first():
                return False
            await self.append_event(connection, STREAM, make)
            await connection.execute(insert(users).values(asdict(user)))
        return True

    async def change_user(self, before: User, after: User, make: Make) -> bool:
        was, now = asdict(before), asdict(after)
        changed = {name: value for name, value in now.items() if value != was[name]}
        same = and_(users.c.id == before.id, *(users.c[name] == was[name] for name in changed))
        async with self.writing() as connection:
            done = await connection.execute(update(users).where(same).values(changed))
            if done.rowcount != 1:
                return False
            await self.append_event(connection, STREAM, make)
            await connection.execute(delete(sessions).where(sessions.c.user_id == before.id))
        return True

    async def take_code(self, user: User, step: int) -> bool:
        fresh = and_(users.c.id == user.id, users.c.totp_step < step)
        async with self.writing() as connection:
            done = await connection.execute(update(users).where(fresh).values(totp_step=step))
            return done.rowcount == 1

    async def session(self, hashed: str) -> tuple[Session, User] | None:
        found = await self.fetch(select(sessions).where(sessions.c.hash == hashed))
        if not found:
            return None
        row = dict(found[0]._mapping)
        user = await self.user(row["user_id"])
        return (Session(user=row.pop("user_id"), **row), user) if user else None

    async def add_session(self, session: Session, make: Make) -> None:
        row = asdict(session)
        row["user_id"] = row.pop("user")
        over = delete(sessions).where(sessions.c.expires_at <= session.created_at)
        async with self.writing() as connection:
            await connection.execute(over)
            await self.append_event(connection, STREAM, make)
            await connection.execute(insert(sessions).values(row))

    async def touch_session(self, hashed: str, seen_at: Instant) -> None:
        async with self.writing() as connection:
            query = update(sessions).where(sessions.c.hash == hashed)
            await connection.execute(query.values(seen_at=seen_at))

    async def drop_session(self, hashed: str, make: Make) -> bool:
        async with self.writing() as connection:
            done = await connection.execute(delete(sessions).where(sessions.c.hash == hashed))
            if done.rowcount != 1:
                return False
            await self.append_event(connection, STREAM, make)
        return True

    async def note(self, make: Make) -> None:
        await self.append_system(STREAM, make)

    async def count_try(self, key: str, count: Callable[[Tries], Tries]) -> Tries:
        async with self.writing() as connection:
            await self.lock_stream(connection, f"tries {key}")
            query = select(tries.c.failures, tries.c.since, tries.c.locked_until)
            row = (await connection.execute(query.where(tries.c.key == key))).first()
            before = Tries(*row) if row else Tries()
            await _put(connection, key, asdict(count(before)), bool(row))
        return before

    async def forget_tries(self, keys: list[str], now: Instant, before: Instant) -> None:
        old = and_(tries.c.since < before, tries.c.locked_until <= now)
        gone = or_(tries.c.key.in_(keys), old)
        async with self.writing() as connection:
            await connection.execute(delete(tries).where(gone))


async def _put(connection: AsyncConnection, key: str, row: dict[str, Any], there: bool) -> None:
    if there:
        await connection.execute(update(tries).where(tries.c.key == key).values(row))
    else:
        await connection.execute(insert(tries).values(key=key, **row))


def _one_user(found: Any) -> User | None:
    return _user(found[0]._mapping) if found else None


def _user(row: Any) -> User:
    return User(**{name: row[name] for name in User.__struct_fields__})
