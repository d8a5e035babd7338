"""People who sign in, and their sessions, written once for both databases."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, delete, exists, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from amends.kernel.time import Instant
from amends.store import rows
from amends.store.desk_spec import Make
from amends.store.judgements import Judging
from amends.store.records import Session, User
from amends.store.schema import sessions, tries, users

STREAM = "system:people"

_COLUMNS = tuple(column.name for column in users.columns)
_USER = text(
    f"INSERT INTO users ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) ON CONFLICT (login) DO NOTHING"
)
_OLD = "tries.since < CAST(:since AS bigint)"
_FAILED = f"CASE WHEN {_OLD} THEN 1 ELSE tries.failures + 1 END"
_TRY = text(
    "INSERT INTO tries (key, failures, since, locked_until) VALUES (:key, 1, :at,"
    " CASE WHEN CAST(:most AS bigint) <= 1 THEN CAST(:until AS bigint) ELSE 0 END)"
    f" ON CONFLICT (key) DO UPDATE SET failures = {_FAILED},"
    f" since = CASE WHEN {_OLD} THEN excluded.since ELSE tries.since END,"
    f" locked_until = CASE WHEN {_FAILED} >= CAST(:most AS bigint) THEN CAST(:until AS bigint)"
    " ELSE tries.locked_until END RETURNING locked_until"
)


class SigningIn(Judging):
    """Rare reads and writes of people who sign in."""

    # -- people ----------------------------------------------------------------------------------
    async def add_user(self, user: User, make: Make | None = None) -> bool:
        row = dict(zip(_COLUMNS, rows.user(user), strict=True))
        async with self.writing() as connection:
            if (await connection.execute(_USER, row)).rowcount != 1:
                return False
            await self._tell(connection, make)
        return True

    async def user(self, user_id: str) -> User | None:
        found = await self.fetch(select(users).where(users.c.id == user_id))
        return User(*found[0]) if found else None

    async def user_by_login(self, login: str) -> User | None:
        found = await self.fetch(select(users).where(users.c.login == login))
        return User(*found[0]) if found else None

    async def users(self) -> list[User]:
        return [User(*row) for row in await self.fetch(select(users).order_by(users.c.login))]

    async def change_user(
        self,
        user_id: str,
        changes: Mapping[str, str | int],
        expect: Mapping[str, str | int] | None = None,
        make: Make | None = None,
        leaves: str = "",
    ) -> bool:
        same: list[ColumnElement[bool]]
        same = [users.c[name] == value for name, value in (expect or {}).items()]
        if leaves:
            other = users.alias("other")
            in_ = (other.c.role == leaves, other.c.disabled_at == 0, other.c.id != user_id)
            same.append(exists().where(*in_))
        query = update(users).where(users.c.id == user_id, *same).values(dict(changes))
        async with self.writing() as connection:
            if leaves:  # of two who go at once, the second sees that the first has gone
                await self.lock_stream(connection, STREAM)
            if (await connection.execute(query)).rowcount != 1:
                return False
            await self._tell(connection, make)
        return True

    async def _tell(self, connection: AsyncConnection, make: Make | None) -> None:
        if make is not None:
            await self.append_event(connection, STREAM, make)

    # -- sessions --------------------------------------------------------------------------------
    async def add_session(self, session: Session) -> None:
        async with self.writing() as connection:
            await connection.execute(insert(sessions).values(rows.session(session)))

    async def session(self, session_hash: str) -> Session | None:
        found = await self.fetch(select(sessions).where(sessions.c.hash == session_hash))
        return Session(*found[0]) if found else None

    async def sessions(self, user_id: str) -> list[Session]:
        query = select(sessions).where(sessions.c.user_id == user_id)
        query = query.order_by(sessions.c.created_at, sessions.c.hash)
        return [Session(*row) for row in await self.fetch(query)]

    async def touch_session(self, session_hash: str, seen_at: Instant) -> bool:
        query = update(sessions).where(sessions.c.hash == session_hash).values(seen_at=seen_at)
        async with self.writing() as connection:
            return (await connection.execute(query)).rowcount == 1

    async def drop_session(self, session_hash: str) -> bool:
        async with self.writing() as connection:
            query = delete(sessions).where(sessions.c.hash == session_hash)
            return (await connection.execute(query)).rowcount == 1

    async def drop_sessions(self, user_id: str, but: str = "") -> int:
        query = delete(sessions).where(sessions.c.user_id == user_id, sessions.c.hash != but)
        async with self.writing() as connection:
            return (await connection.execute(query)).rowcount

    # -- places ----------------------------------------------------------------------------------
    async def count_try(
        self, key: str, at: Instant, since: Instant, most: int, until: Instant
    ) -> Instant:
        row = {"key": key, "at": at, "since": since, "most": most, "until": until}
        async with self.writing() as connection:
            locked: Instant = (await connection.execute(_TRY, row)).scalar_one()
        return locked

    async def locked_until(self, key: str) -> Instant:
        found = await self.fetch(select(tries.c.locked_until).where(tries.c.key == key))
        return found[0][0] if found else 0

    async def clear_tries(self, key: str) -> None:
        async with self.writing() as connection:
            await connection.execute(delete(tries).where(tries.c.key == key))

    async def forget_sign_ins(self, before: Instant) -> int:
        ended = delete(sessions).where(sessions.c.expires_at < before)
        old = delete(tries).where(tries.c.since < before, tries.c.locked_until < before)
        async with self.writing() as connection:
            done = [(await connection.execute(query)).rowcount for query in (ended, old)]
        return sum(done)
